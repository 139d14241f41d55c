"""Tables of subscribers whose headings say themselves what their columns are: what an export writes, and reads again.

A table has a heading and a subscriber a line. Columns: ``name``, ``priority``, ``timezone``, ``expire``,
``caller_id``, ``external_id``, ``number_1``, ``number_2`` … or ``numbers`` (separated by ``;``), ``variables`` (a JSON
object) and ``var:NAME`` for one variable. Those that an export adds (``state`` …) are read over. Empty cells say
nothing. Files of other headings are for ``members.uploads``, which also reads these.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.utils.translation import gettext

from members.cells import Cell
from members.rows import OWN_FIELDS, Faults
from members.uploads import opening, reading
from members.uploads.layout import Column, Destination, FileKind, Layout
from members.uploads.opening import FileRefused
from members.uploads.reading import Mapped, Record

SEPARATORS = ",;\t|"
NUMBER_COLUMN = re.compile(r"number(_\d+)?")
VARIABLE_COLUMN = re.compile(r"var:(.+)", re.DOTALL)
EXPORTED_ONLY = frozenset({"state", "end_cause", "counted"})
DESTINATIONS = {
    **{name: Destination(name) for name in OWN_FIELDS if name != "timezone"},
    "timezone": Destination.TIME_ZONE,
    "numbers": Destination.NUMBERS,
    **dict.fromkeys(EXPORTED_ONLY, Destination.NOTHING),
}


class TableRefused(ValidationError):
    """A file that cannot be taken: ``lines`` maps a line of the file to its faults by column, line 1 is the heading."""

    def __init__(self, lines: Mapping[int, Faults]) -> None:
        self.lines = {line: lines[line] for line in sorted(lines)}
        super().__init__(
            [
                f"Line {line}, {column}: {told}" if column else f"Line {line}: {told}"
                for line, faults in self.lines.items()
                for column, several in faults.items()
                for told in several
            ]
        )


@dataclass(frozen=True)
class Table:
    """A heading, and records with the line of the file that each begins at."""

    heading: Sequence[str]
    records: Sequence[Sequence[Cell]]
    lines: Sequence[int]


def decode(content: bytes, charset: str) -> str:
    """Decode a file. Raises ``TableRefused`` at the line where it is not written in that character set."""
    lines: list[str] = []
    try:
        lines += reading.Lines(io.BytesIO(content), charset)
    except FileRefused as refused:
        line = sum(1 for _ in reading.Lines(io.BytesIO(content[: (refused.byte or 1) - 1] + b"?"), charset))
        raise TableRefused({line: {"": [f"{refused.told} (Byte {refused.byte}.)"]}}) from None
    return "".join(lines)


def read_csv(text: str) -> Table:
    """Read a CSV file whose separator is a comma, a semicolon, a tab or a bar, whichever its heading has most of.

    Raises ``TableRefused`` with every line that has more or fewer values than the heading.
    """
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    heading_line = next((line for line in text.splitlines() if line.strip()), "")
    layout = Layout(separator=max(SEPARATORS, key=heading_line.count), heading=False)
    try:
        found = list(reading.of_text(io.BytesIO(text.encode()), layout))
    except FileRefused as refused:
        raise TableRefused({refused.line or 1: {"": [_no_line(refused.told)]}}) from None
    if broken := {record.line: {"": [_no_line(record.fault)]} for record in found if record.fault}:
        raise TableRefused(broken)
    return _table(found)


def _no_line(why: str) -> str:
    return gettext("This is no line of a CSV file. %s") % why


def read_xlsx(content: bytes) -> Table:
    """Read the first sheet of an XLSX workbook. Raises ``TableRefused``."""
    try:
        with opening.unzipped(io.BytesIO(content)):
            found = list(reading.of_workbook(io.BytesIO(content), Layout(kind=FileKind.XLSX)))
    except FileRefused as refused:
        told = gettext("This file is no XLSX workbook that can be read. %s") % refused.told
        raise TableRefused({refused.line or 1: {"": [told]}}) from None
    width = max((len(record.cells) for record in found), default=0)
    return _table([Record(record.line, [*record.cells, *[None] * width][:width]) for record in found])


def _table(found: Sequence[Record]) -> Table:
    if not found:
        raise TableRefused({1: {"": [gettext("The file is empty.")]}})
    first, *records = found
    heading = ["" if name is None else re.sub(r"\s+", "_", str(name).strip()) for name in first.cells]
    heading = [name if VARIABLE_COLUMN.fullmatch(name) else name.lower() for name in heading]
    faults: dict[int, Faults] = {}
    if told := _faults_of(heading):
        faults[first.line] = {"": told}
    for record in records:
        if len(record.cells) != len(heading):
            faults[record.line] = {"": [f"It has {len(record.cells)} values, the heading has {len(heading)}."]}
    if faults:
        raise TableRefused(faults)
    return Table(heading, [record.cells for record in records], [record.line for record in records])


def _faults_of(heading: Sequence[str]) -> list[str]:
    told = [f"Column {place} has no heading." for place, name in enumerate(heading, 1) if not name]
    for name in dict.fromkeys(filter(None, heading)):
        if heading.count(name) > 1:
            told.append(f"“{name}” heads {heading.count(name)} columns.")
        if _column(name) is None:
            told.append(f"“{name}” is no column that can be loaded.")
    if not any(name == "numbers" or NUMBER_COLUMN.fullmatch(name) for name in heading):
        told.append("No column has numbers: one must be called number_1 (or numbers).")
    if told:
        told.append(f"Those known are {', '.join(OWN_FIELDS)}, number_1, number_2 …, numbers and var:NAME.")
    return told


def _column(name: str) -> Column | None:
    if variable := VARIABLE_COLUMN.fullmatch(name):
        return Column(Destination.VARIABLE, variable[1])
    if NUMBER_COLUMN.fullmatch(name):
        return Column(Destination.NUMBER)
    destination = DESTINATIONS.get(name)
    return Column(destination) if destination else None


def rows_of(table: Table) -> list[Mapped]:
    """Return the records as rows of an upload, with the columns that they came from, and faults of cells."""
    read = reading.compile_rows(Layout(columns=tuple(_column(name) or Column() for name in table.heading)))
    return [read(Record(line, cells)) for line, cells in zip(table.lines, table.records, strict=True)]


def by_line(table: Table, mapped: Iterable[Mapped], faults: Mapping[int, Faults]) -> dict[int, Faults]:
    """Return the faults of cells, and those of rows by their places, by the lines and columns that they came from."""
    found: dict[int, Faults] = {}
    for index, (_raw, columns, at_fault) in enumerate(mapped):
        told: Faults = {_heading(table, column): list(several) for column, several in at_fault.items()}
        for path, several in faults.get(index, {}).items():
            column = columns.get(path)
            # What the cell itself is at fault for is told once.
            if column is None or column not in at_fault:
                told.setdefault(path if column is None else table.heading[column], []).extend(several)
        if told:
            found[table.lines[index]] = told
    return found


def _heading(table: Table, column: int | None) -> str:
    return "" if column is None else table.heading[column]
