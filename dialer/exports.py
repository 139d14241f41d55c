"""Lists as files, CSV or XLSX, of any size.

Which rows go into a file is asked once, at the beginning: who is added meanwhile is not in it, and nobody is twice.
They are then read in pages, each for itself, as the receiver takes them: memory stays flat, and a slow receiver holds
neither a transaction nor a connection.
"""

from __future__ import annotations

import csv
import io
import json
import re
from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any, Generic, TypeVar

import pytz
import xlsxwriter
from channels.db import database_sync_to_async
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet, TextChoices
from django.http import StreamingHttpResponse
from django.utils.functional import Promise
from django.utils.http import content_disposition_header
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from campaigns.fields import check_time_zone
from campaigns.models import Campaign
from dialer import clock
from dialer.models import Attempt
from members.cells import escape

R = TypeVar("R")
T = TypeVar("T")
M = TypeVar("M", bound=Model)

PAGE = 5000
"""Rows that are read at once."""
MOST_ROWS_OF_A_SHEET = 1_048_576
"""Of XLSX, the heading included; more go into another sheet."""
MOST_CHARACTERS = 32_767
"""Of a cell of XLSX."""
MOST_DIGITS = 10**15
"""A spreadsheet keeps whole numbers below this exactly."""

Value = str | int | float | bool | datetime | Mapping[str, Any] | list[Any] | None


class FileFormat(TextChoices):
    """What kind of file."""

    CSV = "csv", _("CSV")
    XLSX = "xlsx", _("Excel (XLSX)")


MEDIA_TYPES = {
    FileFormat.CSV: "text/csv; charset=utf-8",
    FileFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """A column of a file; its name, by which it is chosen, heads it."""

    title: str | Promise
    """For people."""
    read: Callable[[R], Value]


TELEPHONES = re.compile(r"[+-]?[0-9*# .()\[\]-]+(; *[+-]?[0-9*# .()\[\]-]+)*")


def safe(cell: T) -> T | str:
    """Return a cell so that no spreadsheet takes it for a formula; telephone numbers keep their plus."""
    return escape(cell) if isinstance(cell, str) and not TELEPHONES.fullmatch(cell) else cell


class FileAnswer(StreamingHttpResponse):
    """An answer that is made as it is sent, under ASGI too, where other iterators would be gathered first."""

    def __init__(self, parts: Iterator[bytes], **keywords: Any) -> None:
        super().__init__(parts, **keywords)
        self.parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # What is around the call gives the connection back after each part.
        while (part := await database_sync_to_async(next)(self.parts, None)) is not None:
            yield part


def choose(names: Sequence[str], known: Callable[[str], Column[R] | None], told: str) -> dict[str, Column[R]]:
    """Return columns by name. Raises ``ValidationError`` at ``columns`` for one that is unknown or named twice."""
    found = {name: known(name) for name in names}
    faults = [
        gettext("There is no column “%(name)s”. Those known are %(known)s.") % {"name": name[:80], "known": told}
        for name, column in found.items()
        if column is None
    ]
    faults += [gettext("“%s” is named twice.") % name[:80] for name in found if names.count(name) > 1]
    if not names:
        faults = [gettext("Choose at least one column.")]
    if faults:
        raise ValidationError({"columns": faults})
    return {name: column for name, column in found.items() if column is not None}


def answer(
    campaign: Campaign, found: QuerySet[M], load: Callable[[Sequence[int]], Iterable[R]],
    columns: Mapping[str, Column[R]], *, what: str, file_format: str, zone: str = "",
) -> FileAnswer:  # fmt: skip
    """Return rows as a file to download, in the order of their ids.

    ``load`` returns what the columns read for some of them, in that order; those that are gone meanwhile are left out.
    ``what`` names the rows: it stands in the name of the file beside the campaign and the date. ``zone`` is that of
    all instants; empty: the calendar's. Raises ``ValidationError`` at ``format`` or ``zone``.
    """
    if file_format not in FileFormat.values:
        raise ValidationError({"format": gettext("This must be one of: %s.") % ", ".join(FileFormat.values)})
    zone = zone or campaign.calendar.time_zone
    try:
        check_time_zone(zone)
    except ValidationError as error:
        raise ValidationError({"zone": error.messages}) from None
    kind = FileFormat(file_format)
    rows = _rows(_Ids(found), load, [_writer(column, zone) for column in columns.values()])
    day = localtime(clock.now(), pytz.timezone(zone)).date()
    return _file([Sheet(what, list(columns), rows)], f"{campaign.name} {what} {day}", kind)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table of a file: what it is called, its heading, and pages of rows."""

    name: str
    heading: Sequence[str]
    pages: Iterable[Sequence[Sequence[str | int | float | bool]]]


def tables(found: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Value]]]], *, name: str, file_format: FileFormat,
           zone: str) -> FileAnswer:  # fmt: skip
    """Return short tables as a file to download: XLSX, a sheet for each, or CSV of one alone.

    ``found``: heading and rows by the name of the sheet; ``zone`` is that of all instants.
    """
    there = pytz.timezone(zone)
    sheets = [
        Sheet(title, heading, [[[_in_file(cell, there) for cell in row] for row in rows]])
        for title, (heading, rows) in found.items()
    ]
    return _file(sheets, name, file_format)


def _file(sheets: Sequence[Sheet], name: str, kind: FileFormat) -> FileAnswer:
    parts = _csv(sheets[0].heading, sheets[0].pages) if kind == FileFormat.CSV else _xlsx(sheets)
    safe_name = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]+', "_", f"{name}.{kind}")
    return FileAnswer(
        parts,
        content_type=MEDIA_TYPES[kind],
        headers={"Content-Disposition": content_disposition_header(True, safe_name)},
    )


class _Ids:
    """The ids of rows, kept on disk: eight bytes each."""

    def __init__(self, found: QuerySet[Any]) -> None:
        self.kept: IO[bytes] = TemporaryFile()  # noqa: SIM115 (it lives as long as the answer)
        some = array("q")
        for pk in found.order_by("pk").values_list("pk", flat=True).distinct().iterator(chunk_size=PAGE):
            some.append(pk)
            if len(some) == PAGE:
                self.kept.write(some)
                some = array("q")
        self.kept.write(some)
        self.kept.seek(0)

    def pages(self) -> Iterator[array[int]]:
        with self.kept:
            while page := self.kept.read(PAGE * 8):
                yield array("q", page)


def _rows(
    ids: _Ids, load: Callable[[Sequence[int]], Iterable[R]], writers: Sequence[Callable[[R], str | int | float | bool]]
) -> Iterator[list[list[str | int | float | bool]]]:
    """Yield the cells of a page of rows at a time."""
    for page in ids.pages():
        yield [[write(row) for write in writers] for row in load(page)]


def _writer(column: Column[R], zone: str) -> Callable[[R], str | int | float | bool]:
    """Return what reads a cell of a column, in the form that it has in a file."""
    read, there = column.read, pytz.timezone(zone)

    def write(row: R) -> str | int | float | bool:
        return _in_file(read(row), there)

    return write


def _in_file(value: Value, there: tzinfo) -> str | int | float | bool:
    """Return a cell in the form that it has in a file."""
    if isinstance(value, str):
        return safe(value)
    if value is None:
        return ""
    if isinstance(value, int | float):  # a truth is one, too
        return value
    if isinstance(value, datetime):
        return localtime(value, there).isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    return json.dumps(value, ensure_ascii=False) if value else ""


def _csv(heading: Sequence[str], pages: Iterable[Sequence[Sequence[Any]]]) -> Iterator[bytes]:
    """Yield a CSV file: commas, UTF-8 with the mark by which spreadsheets know it."""
    written = io.StringIO()
    writer = csv.writer(written)

    def taken() -> bytes:
        text = written.getvalue()
        written.seek(0)
        written.truncate()
        return text.encode()

    written.write("\N{ZERO WIDTH NO-BREAK SPACE}")
    writer.writerow(heading)
    yield taken()
    for page in pages:
        writer.writerows([_in_csv(cell) for cell in row] for row in page)
        yield taken()


def _in_csv(cell: str | int | float | bool) -> str | int | float:
    return ("true" if cell else "false") if isinstance(cell, bool) else cell


def _xlsx(sheets: Iterable[Sheet]) -> Iterator[bytes]:
    """Yield an XLSX workbook, written to disk first.

    Nothing is yielded after each page: only there does the web server notice that nobody waits for it any more.
    """
    with TemporaryDirectory() as folder, TemporaryFile() as kept:
        book = xlsxwriter.Workbook(kept, {"constant_memory": True, "tmpdir": folder, "in_memory": False})
        for asked in sheets:
            sheet, line, part = _sheet(book, asked, 1), 1, 1
            for page in asked.pages:
                for row in page:
                    if line == MOST_ROWS_OF_A_SHEET:
                        part += 1
                        sheet, line = _sheet(book, asked, part), 1
                    for place, cell in enumerate(row):
                        _write(sheet, line, place, cell)
                    line += 1
                yield b""
        book.close()
        kept.seek(0)
        while piece := kept.read(1024 * 1024):
            yield piece


def _sheet(book: Any, asked: Sheet, part: int) -> Any:
    sheet = book.add_worksheet(asked.name if part == 1 else f"{asked.name} {part}")
    sheet.freeze_panes(1, 0)
    for place, cell in enumerate(asked.heading):
        sheet.write_string(0, place, cell)
    return sheet


def _write(sheet: Any, line: int, place: int, cell: str | int | float | bool) -> None:
    if isinstance(cell, bool):
        sheet.write_boolean(line, place, cell)
    elif isinstance(cell, float) or (isinstance(cell, int) and abs(cell) < MOST_DIGITS):
        sheet.write_number(line, place, cell)
    elif cell != "":
        text = str(cell)
        sheet.write_string(line, place, text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…")


# --- attempts ---------------------------------------------------------------------------------------------------

ATTEMPT_COLUMNS: dict[str, Column[Attempt]] = {
    "attempt": Column(_("Attempt"), lambda attempt: attempt.pk),
    "member": Column(_("Subscriber's id"), lambda attempt: attempt.member_id),
    "external_id": Column(_("External id"), lambda attempt: attempt.member.external_id),
    "name": Column(_("Name"), lambda attempt: attempt.member.name),
    "number": Column(_("Number"), lambda attempt: attempt.digits),
    "operator": Column(_("Operator"), lambda attempt: attempt.operator.name),
    "extension": Column(_("Operator's extension"), lambda attempt: attempt.operator.extension),
    "gateway": Column(_("Gateway"), lambda attempt: attempt.gateway.name),
    "switch": Column(_("Switch"), lambda attempt: attempt.node.name if attempt.node else None),
    "connect_order": Column(_("Connect order"), lambda attempt: attempt.connect_order),
    "stage": Column(_("Furthest stage"), lambda attempt: attempt.stage),
    "reserved_at": Column(_("Reserved"), lambda attempt: attempt.reserved_at),
    "operator_ringing_at": Column(_("Operator rang"), lambda attempt: attempt.operator_ringing_at),
    "operator_answered_at": Column(_("Operator answered"), lambda attempt: attempt.operator_answered_at),
    "subscriber_created_at": Column(_("Subscriber called"), lambda attempt: attempt.subscriber_created_at),
    "subscriber_ringing_at": Column(_("Subscriber rang"), lambda attempt: attempt.subscriber_ringing_at),
    "subscriber_answered_at": Column(_("Subscriber answered"), lambda attempt: attempt.subscriber_answered_at),
    "bridged_at": Column(_("Connected"), lambda attempt: attempt.bridged_at),
    "talk_ended_at": Column(_("Talk ended"), lambda attempt: attempt.talk_ended_at),
    "ended_at": Column(_("Ended"), lambda attempt: attempt.ended_at),
    "talk_seconds": Column(_("Talk, seconds"), lambda attempt: attempt.talk_seconds),
    "cause": Column(_("Cause"), lambda attempt: attempt.cause),
    "operator_cause": Column(_("Cause of the operator's leg"), lambda attempt: attempt.operator_cause),
    "subscriber_cause": Column(_("Cause of the subscriber's leg"), lambda attempt: attempt.subscriber_cause),
    "ended_by": Column(_("Hung up by"), lambda attempt: attempt.ended_by),
    "outcome": Column(_("Outcome"), lambda attempt: attempt.outcome),
    "counted": Column(_("Counted"), lambda attempt: attempt.counted),
    "disposition": Column(_("Disposition"), lambda attempt: attempt.disposition),
    "result_state": Column(_("Result"), lambda attempt: attempt.result_state),
    "result": Column(_("Result as reported"), lambda attempt: attempt.result),
    "result_at": Column(_("Reported"), lambda attempt: attempt.result_at),
    "comment": Column(_("Comment"), lambda attempt: attempt.comment),
    "recording": Column(_("Recording"), lambda attempt: attempt.recording),
}
"""Those of attempts."""

ATTEMPT_DEFAULTS = tuple(
    name for name in ATTEMPT_COLUMNS if name not in {"extension", "switch", "connect_order", "stage", "recording"}
)
"""The columns where none are chosen."""


def attempts(
    campaign: Campaign, found: QuerySet[Attempt], *, columns: Sequence[str] = (), file_format: str = FileFormat.CSV,
    zone: str = "",
) -> FileAnswer:  # fmt: skip
    """Return attempts of a campaign as a file, the oldest first. Raises ``ValidationError`` as ``answer``."""
    chosen = choose(columns or ATTEMPT_DEFAULTS, ATTEMPT_COLUMNS.get, ", ".join(ATTEMPT_COLUMNS))

    def load(ids: Sequence[int]) -> Iterable[Attempt]:
        those = Attempt.objects.filter(pk__in=ids).order_by("pk")
        return those.select_related("member", "operator", "gateway", "node")

    return answer(
        campaign, found, load, chosen, what=gettext("attempts"), file_format=file_format, zone=zone
    )  # fmt: skip
