"""Subscribers from and to files: CSV and XLSX, in the admin and for the demo, all through ``actions.add_members``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import tablib
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.html import conditional_escape
from import_export import fields, resources
from import_export.formats import base_formats
from import_export.results import Result, RowResult

from campaigns.models import Campaign
from members import actions, cells, tables
from members.models import Member
from members.rows import OWN_FIELDS, Faults, RowsRefused
from members.tables import Table, TableRefused

PREVIEWED = 50
"""Good rows that a preview shows; every bad one is shown."""


@dataclass(frozen=True, slots=True)
class LoadCounts:
    """What a file brought."""

    members: int
    numbers: int


def load_csv(campaign: Campaign, text: str, *, auto_run: bool = False, by: actions.Person = None) -> LoadCounts:
    """Add the subscribers of a CSV file, all or none; the columns stand in ``members.tables``.

    Raises ``TableRefused`` (a ``ValidationError``) with every fault by line and column.
    """
    return load_table(campaign, tables.read_csv(text), auto_run=auto_run, by=by)


def load_table(campaign: Campaign, table: Table, *, auto_run: bool = False, by: actions.Person = None) -> LoadCounts:
    """Add the subscribers of a table, all or none. Raises as ``load_csv``."""
    mapped = tables.rows_of(table)
    rows = [raw for raw, _columns, _faults in mapped]
    if any(faults for _raw, _columns, faults in mapped):
        raise TableRefused(tables.by_line(table, mapped, actions.check_members(campaign, rows)))
    try:
        members = actions.add_members(campaign, rows, auto_run=auto_run, by=by)
    except RowsRefused as error:
        raise TableRefused(tables.by_line(table, mapped, error.rows)) from None
    return LoadCounts(len(members), sum(len(row["communications"]) for row in rows))


# --- formats ----------------------------------------------------------------------------------------------------


class TableDataset(tablib.Dataset):
    """A data set that still knows the table it was made of."""

    def __init__(self, table: Table) -> None:
        super().__init__(*(list(record) for record in table.records), headers=list(table.heading))
        self.table = table


class CSV(base_formats.CSV):
    """CSV in a character set; what is broken is refused and told, line by line."""

    charset = "utf-8-sig"
    title = "csv"

    def get_title(self) -> str:
        return self.title

    def is_binary(self) -> bool:
        return True  # decoded here, where a wrong character set can be told

    def get_read_mode(self) -> str:
        return "rb"

    def create_dataset(self, in_stream: bytes, **kwargs: Any) -> TableDataset:
        return TableDataset(tables.read_csv(tables.decode(in_stream, self.charset)))

    def export_data(self, dataset: tablib.Dataset, **kwargs: Any) -> str:
        # The mark tells spreadsheets that this is UTF-8.
        return "\N{ZERO WIDTH NO-BREAK SPACE}" + dataset.export("csv")


class WindowsCyrillicCSV(CSV):
    charset = "windows-1251"
    title = "csv, Windows Cyrillic (1251)"


class WindowsLatinCSV(CSV):
    charset = "windows-1252"
    title = "csv, Windows Western (1252)"


class UTF16CSV(CSV):
    charset = "utf-16"
    title = "csv, Unicode (UTF-16)"


class XLSX(base_formats.XLSX):
    """The first sheet of a workbook."""

    def create_dataset(self, in_stream: bytes, **kwargs: Any) -> TableDataset:
        return TableDataset(tables.read_xlsx(in_stream))


IMPORT_FORMATS = [CSV, WindowsCyrillicCSV, WindowsLatinCSV, UTF16CSV, XLSX]
EXPORT_FORMATS = [CSV, XLSX]


# --- the resource of the admin ----------------------------------------------------------------------------------


class ShortResult(Result):
    """A result whose preview stays short."""

    def valid_rows(self) -> list[RowResult]:
        return super().valid_rows()[:PREVIEWED]


class MemberResource(resources.ModelResource):
    """Loads a table into one campaign, all or nothing, and writes subscribers as such a table.

    A dry run checks every row; the real one hands them all to ``actions.add_members`` at once.
    """

    name = fields.Field()
    priority = fields.Field(attribute="priority")
    timezone = fields.Field(attribute="time_zone")
    expire = fields.Field()
    caller_id = fields.Field(attribute="caller_id")
    external_id = fields.Field()
    numbers = fields.Field()
    variables = fields.Field()
    state = fields.Field(attribute="get_state_display")
    end_cause = fields.Field(attribute="end_cause")
    counted = fields.Field(attribute="counted")

    class Meta:
        model = Member
        fields = (
            "name", "priority", "timezone", "expire", "caller_id", "external_id", "numbers", "variables", "state",
            "end_cause", "counted",
        )  # fmt: skip
        import_id_fields = ()

    def __init__(self, campaign: Campaign | None = None, by: actions.Person = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign = campaign
        self.by = by
        self.faults: dict[int, Faults] = {}
        self.lines: Sequence[int] = ()

    @classmethod
    def get_result_class(cls) -> type[Result]:
        return ShortResult

    def get_user_visible_fields(self) -> list[fields.Field]:
        return [field for field in self.get_import_fields() if field.column_name in {*OWN_FIELDS, "numbers"}]

    # Import

    def before_import(self, dataset: TableDataset, **kwargs: Any) -> None:
        assert self.campaign is not None
        mapped = tables.rows_of(dataset.table)
        faults = actions.check_members(self.campaign, [raw for raw, _columns, _faults in mapped])
        self.faults = tables.by_line(dataset.table, mapped, faults)
        self.lines = dataset.table.lines

    def import_row(self, row: Any, instance_loader: Any, **kwargs: Any) -> RowResult:
        result = RowResult()
        faults = self.faults.get(self.lines[kwargs["row_number"] - 1])
        if faults:
            result.import_type = RowResult.IMPORT_TYPE_INVALID
            result.validation_error = ValidationError(faults)
        else:
            result.import_type = RowResult.IMPORT_TYPE_NEW
            result.diff = [conditional_escape("" if cell is None else cell) for cell in row.values()]
        return result

    def after_import(self, dataset: TableDataset, result: Result, **kwargs: Any) -> None:
        result.diff_headers = dataset.headers
        for row in result.invalid_rows:
            row.number = self.lines[row.number - 1]
        if not kwargs["dry_run"] and not self.faults:
            assert self.campaign is not None
            load_table(self.campaign, dataset.table, by=self.by)

    # Export

    def iter_queryset(self, queryset: QuerySet[Member]) -> Iterator[Member]:
        return queryset.prefetch_related("communications").iterator(chunk_size=2000)

    def dehydrate_name(self, member: Member) -> str:
        return cells.escape(member.name)

    def dehydrate_external_id(self, member: Member) -> str:
        return cells.escape(member.external_id or "")

    def dehydrate_expire(self, member: Member) -> str:
        return member.expire_at.isoformat(timespec="seconds") if member.expire_at else ""

    def dehydrate_numbers(self, member: Member) -> str:
        return "; ".join(number.number for number in member.communications.all())

    def dehydrate_variables(self, member: Member) -> str:
        return json.dumps(member.variables, ensure_ascii=False) if member.variables else ""


class UploadStorage:
    """Keeps an uploaded file between its preview and the confirmation, for a day at most."""

    KEPT_FOR = 24 * 3600

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        self.name = name or uuid4().hex

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path(settings.DATA_DIR) / "uploads" / self.name

    def save(self, data: bytes) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in self.path.parent.iterdir():
            if old.stat().st_mtime < time.time() - self.KEPT_FOR:
                old.unlink(missing_ok=True)
        self.path.write_bytes(data)

    def read(self) -> bytes:
        return self.path.read_bytes()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
