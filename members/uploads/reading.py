"""Reading the rows of a file by a layout: streamed, in flat memory, with the line of each. Pure."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from datetime import time as time_of_day
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import openpyxl
from django.utils.translation import gettext

from campaigns import hours
from members.cells import Cell, as_text, unescape
from members.uploads.layout import OF_NUMBERS, Column, Destination, FileKind, Layout
from members.uploads.opening import FileRefused as FileRefused
from members.uploads.opening import opened

MAX_LINE = 12_000_000
"""Characters of a line, and of a cell: what is longer is no list, or a quote that is never closed."""
MOST_ROWS = 1_048_576
"""Of a sheet."""
PIECE = 1 << 18
KEPT_ROWS = 512
"""First rows of a workbook that are kept."""

csv.field_size_limit(MAX_LINE)


@dataclass(slots=True)
class Record:
    """A row of a file."""

    line: int
    """Where it begins, from 1; in a workbook its row."""
    cells: Sequence[Cell]
    fault: str = ""
    """Why it cannot be read."""


@dataclass(frozen=True, slots=True)
class Preview:
    """How a file begins."""

    headings: list[str]
    records: list[Record]
    width: int
    """Columns of the widest of them."""


def records(path: Path, layout: Layout, tell_lines: Callable[[int | None], None] | None = None) -> Iterator[Record]:
    """Yield the rows of a file, but its heading and those that are empty.

    Ragged rows come as they are, those of a workbook filled up to the columns of the layout. ``tell_lines`` is told at
    the beginning about how many lines there are, if that can be known. Raises ``FileRefused``.
    """
    return itertools.islice(_all_records(path, layout, tell_lines), int(layout.heading), None)


def headings(path: Path, layout: Layout) -> list[str]:
    """Return what the first line names the columns; nothing without a heading. Raises ``FileRefused``."""
    return preview(path, layout, 0).headings


def preview(path: Path, layout: Layout, limit: int = 20) -> Preview:
    """Return the heading and the first rows of a file, whatever its size. Raises ``FileRefused``."""
    wanted = limit + layout.heading
    found = _first_records(path, layout, wanted)
    if not found and wanted:
        raise FileRefused(gettext("The file is empty."))
    named = [as_text(cell) for cell in found[0].cells] if layout.heading else []
    return Preview(named, found[int(layout.heading) :], max((len(record.cells) for record in found), default=0))


def _first_records(path: Path, layout: Layout, wanted: int) -> list[Record]:
    """Return the first rows. Those of a workbook are kept: it takes seconds to open one of many texts, and each choice
    on the page asks anew."""
    if layout.kind != FileKind.XLSX or wanted > KEPT_ROWS:
        return list(itertools.islice(_all_records(path, layout), wanted))
    _need_readable(layout)
    kept = _first_of_workbook(path, path.stat().st_mtime_ns)[:wanted]
    width = len(layout.columns)
    return [replace(record, cells=[*record.cells, *[None] * (width - len(record.cells))]) for record in kept]


@lru_cache(maxsize=16)
def _first_of_workbook(path: Path, _changed: int) -> tuple[Record, ...]:
    return tuple(itertools.islice(_all_records(path, Layout(kind=FileKind.XLSX)), KEPT_ROWS))


def _all_records(
    path: Path, layout: Layout, tell_lines: Callable[[int | None], None] | None = None
) -> Iterator[Record]:
    _need_readable(layout)
    if tell_lines and layout.kind == FileKind.CSV:
        tell_lines(_count_lines(path))
    with opened(path, layout.kind) as file:
        if layout.kind == FileKind.XLSX:
            yield from of_workbook(file, layout, tell_lines)
        else:
            yield from of_text(file, layout)


def _count_lines(path: Path) -> int:
    ends = {b"\n": 0, b"\r": 0}
    with opened(path, FileKind.CSV) as file:
        while piece := file.read(1 << 20):
            for end in ends:
                ends[end] += piece.count(end)
    return (ends[b"\n"] or ends[b"\r"]) + 1


def _need_readable(layout: Layout) -> None:
    for several in layout.reading_faults().values():
        raise FileRefused(several[0])


# --- text -------------------------------------------------------------------------------------------------------


def of_text(file: IO[bytes], layout: Layout) -> Iterator[Record]:
    """Yield the rows of a text. Raises ``FileRefused`` where its character set, or a quote, ends the reading."""
    lines = Lines(file, layout.charset)
    reader = csv_reader(lines, layout)
    begins = 1
    while True:
        try:
            for cells in reader:
                if cells and (cells[0].strip() or any(map(str.strip, cells))):
                    yield Record(begins, cells)
                begins = reader.line_num + 1
            return
        except csv.Error as error:
            if lines.ended or (reader.line_num > begins and "limit" in str(error)):
                raise _never_closed(layout, begins) from None
            told = gettext(
                "A quoted cell goes on behind its closing %(quote)s. Double each %(quote)s inside a cell, or choose"
                " another quote, or none."
            ) % {"quote": layout.quote}
            yield Record(begins, _as_it_stands(lines.last, layout), told)
            begins = reader.line_num + 1
        except FileRefused as refused:
            refused.line = reader.line_num + 1
            raise


def csv_reader(lines: Iterable[str], layout: Layout) -> Any:
    """Return a reader of rows that raises ``csv.Error`` for wrong quotes, and can go on behind them."""
    if layout.quote:
        return csv.reader(lines, delimiter=layout.separator, quotechar=layout.quote, strict=True)
    return csv.reader(lines, delimiter=layout.separator, quotechar=None, quoting=csv.QUOTE_NONE, strict=True)


def _as_it_stands(line: str, layout: Layout) -> list[str]:
    """Return the cells of a line whose quotes are wrong, as well as one can."""
    return next(csv.reader([line], delimiter=layout.separator, quotechar=layout.quote or None), [])


def _never_closed(layout: Layout, line: int) -> FileRefused:
    told = gettext(
        "The quote %(quote)s that opens a cell here is never closed. Close it, or choose another quote, or none."
    )
    return FileRefused(told % {"quote": layout.quote}, line)


EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?(?=[\r\n])', re.IGNORECASE)
"""The line by which Excel is told the separator of the lines below."""


class Lines:
    """Lines of an encoded text with their ends: LF, CR LF or CR."""

    def __init__(self, file: IO[bytes], charset: str) -> None:
        self.file = file
        self.charset = "utf-8" if codecs.lookup(charset).name == "utf-8-sig" else charset
        self.last = ""
        """The line that was read last."""
        self.ended = False
        """All were read."""
        self.separator = ""
        """What the file itself says of it."""

    def __iter__(self) -> Iterator[str]:
        for text in self._texts():
            for line in io.StringIO(text, newline=""):
                self.last = line
                yield line
        self.ended = True

    def _texts(self) -> Iterator[str]:
        """Yield the text in pieces that end where a line does."""
        decode = codecs.getincrementaldecoder(self.charset)().decode
        rest, read, refused = "", 0, None
        while True:
            piece = self.file.read(PIECE)
            try:
                text = decode(piece, not piece)
            except UnicodeDecodeError as error:
                # What the decoder kept from the piece before stands before this one.
                good = max(error.start - (len(error.object) - len(piece)), 0)
                refused = self._refusal(read + error.start - (len(error.object) - len(piece)) + 1)
                text = decode(piece[:good])
            except UnicodeError:
                refused, text = self._refusal(None), ""
            if not read:
                text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
                if said := EXCEL_SEPARATOR.match(text):
                    self.separator = said[1]
                    text = text[said.end() :]
            read += len(piece)
            text = rest + text
            if not piece:
                yield text
                if refused:
                    raise refused
                return
            # The line feed of a carriage return may be in the next piece.
            end = len(text) - 1 if text.endswith("\r") else len(text)
            end = max(text.rfind("\n", 0, end), text.rfind("\r", 0, end)) + 1
            yield text[:end]
            rest = text[end:]
            if refused:
                raise refused
            if len(rest) > MAX_LINE:
                told = gettext("A line is longer than %d characters. This is no list, or not in this character set.")
                raise FileRefused(told % MAX_LINE)

    def _refusal(self, byte: int | None) -> FileRefused:
        told = gettext("This is not %s. Choose the character set of the file, or save it as UTF-8.")
        return FileRefused(told % self.charset.upper(), byte=byte)


# --- workbooks --------------------------------------------------------------------------------------------------


def of_workbook(
    file: IO[bytes], layout: Layout, tell_lines: Callable[[int | None], None] | None = None
) -> Iterator[Record]:
    """Yield the rows of the first visible sheet, filled up to the columns of the layout. Raises ``FileRefused``."""
    width = len(layout.columns)
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        sheets = book.worksheets
        sheet = next((sheet for sheet in sheets if sheet.sheet_state == "visible"), sheets[0])
        if tell_lines:
            tell_lines(sheet.max_row)
        sheet.reset_dimensions()  # some programs write them wrong, and cells beyond them would be left out
        for line, row in enumerate(sheet.iter_rows(values_only=True), 1):
            if line > MOST_ROWS:
                raise FileRefused(gettext("A sheet has at most %d rows. Split the list.") % MOST_ROWS, line)
            filled = len(row)
            while filled and row[filled - 1] in (None, ""):
                filled -= 1
            if filled:
                cells = [_cell(cell) for cell in row[:filled]]
                yield Record(line, cells + [None] * (width - filled))
    except (
        zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError, IndexError, AttributeError, OSError,
        SyntaxError,
    ) as error:  # fmt: skip
        if isinstance(error, FileRefused):
            raise
        told = gettext("The workbook is damaged. Open it in a spreadsheet, and save it again as XLSX or as CSV.")
        raise FileRefused(told) from None


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, str | int | float | datetime):
        return value
    if isinstance(value, time_of_day | timedelta):
        return str(value)
    return as_text(str(value))


# --- rows -------------------------------------------------------------------------------------------------------

CellFaults = dict[int | None, list[str]]
"""What is wrong with cells, by their columns from 0; at ``None`` with the whole row."""
Mapped = tuple[dict[str, Any], dict[str, int], CellFaults]
"""A row as ``members.rows`` reads it, the column that each path of it came from, and what is wrong with cells."""

PLAIN = {
    Destination.NAME: "name",
    Destination.TIME_ZONE: "timezone",
    Destination.CALLER_ID: "caller_id",
    Destination.EXTERNAL_ID: "external_id",
    Destination.REASON: "reason",
}
CUT = re.compile(r"\s*[+-]?\d([.,]\d+)?E\+\d{1,3}\s*", re.IGNORECASE)
"""A number as a spreadsheet writes it that thinks it too long."""
MOST_EXACT = 10**15
"""A spreadsheet keeps the digits of numbers below."""


def row_of(record: Record, layout: Layout) -> Mapped:
    """Return what a row says. For many rows take ``compile_rows``."""
    return compile_rows(layout)(record)


@lru_cache(maxsize=8)
def compile_rows(layout: Layout) -> Callable[[Record], Mapped]:
    """Return a function that maps the records of a file.

    What it returns as columns is shared between rows: nobody may change it. Empty cells say nothing. Dates become
    instants when the layout names their zone.
    """
    return _Mapper(layout)


class _Mapper:
    """Maps records by a layout. It is called for each row of a million: what does not depend on a row stands here."""

    def __init__(self, layout: Layout) -> None:
        placed = list(enumerate(layout.columns))
        of = Destination
        parsers: dict[Destination, tuple[str, Callable[[Any], Any]]] = {
            of.PRIORITY: ("priority", _whole),
            of.EXPIRE: ("expire", _date_reader(layout.expire_format, layout.expire_zone)),
            of.VARIABLES: ("variables", _json),
        }
        self.width = len(placed)
        self.texts = [(index, PLAIN[column.destination]) for index, column in placed if column.destination in PLAIN]
        self.parsed = [
            (index, *parsers[column.destination]) for index, column in placed if column.destination in parsers
        ]
        self.variables = [(index, column.name) for index, column in placed if column.destination == of.VARIABLE]
        self.numbers = [
            (index, column.destination == of.NUMBERS, _number(column))
            for index, column in placed
            if column.destination in OF_NUMBERS
        ]
        self.exact = [i for i, column in placed if column.destination in OF_NUMBERS | {of.EXTERNAL_ID}]
        self.columns = {key: index for index, key in self.texts} | {key: index for index, key, _ in self.parsed}
        for index, _ in self.variables[:1]:
            self.columns.setdefault("variables", index)
        for index, *_ in self.numbers[:1]:
            self.columns["communications"] = index
        self.columns_of: dict[tuple[int, ...], dict[str, int]] = {}

    def __call__(self, record: Record) -> Mapped:
        cells: Sequence[Any] = record.cells
        if record.fault:
            return {}, {}, {None: [record.fault]}
        if len(cells) != self.width:
            if len(cells) < self.width or any(map(as_text, cells[self.width :])):
                return {}, {}, {None: [_ragged(len(cells), self.width)]}
            cells = cells[: self.width]
        raw: dict[str, Any] = {}
        faults: CellFaults = {}
        for index in self.exact:
            cell = cells[index]
            if (type(cell) is not str or "E+" in cell or "e+" in cell) and (told := _inexact(cell)):
                faults[index] = [told]
        for index, key in self.texts:
            if text := _free_text(cells[index]):
                raw[key] = text
        for index, key, parse in self.parsed:
            try:
                value = parse(cells[index])
            except ValueError as error:
                faults[index] = [str(error)]
            else:
                if value is not None:
                    raw[key] = value
        if self.variables:
            own = {name: text for index, name in self.variables if (text := _free_text(cells[index]))}
            given = raw.setdefault("variables", own) if own else own
            if given is not own and isinstance(given, dict):
                raw["variables"] = given | own
        raw["communications"], places = self._numbers(cells, faults)
        return raw, self.columns_of.get(places) or self._columns(places), faults

    def _numbers(self, cells: Sequence[Any], faults: CellFaults) -> tuple[list[dict[str, Any]], tuple[int, ...]]:
        """Return the numbers of a row, and of each the column that it stands in."""
        found = []
        places = []
        for index, several, described in self.numbers:
            cell = cells[index]
            if cell is None or index in faults:
                continue
            text = cell if type(cell) is str else as_text(cell)
            for typed in text.split(";") if several else (text,):
                if typed and not typed.isspace():
                    # An apostrophe is what keeps a spreadsheet from cutting it.
                    found.append({"number": typed[1:] if typed[0] == "'" else typed, **described})
                    places.append(index)
        return found, tuple(places)

    def _columns(self, places: tuple[int, ...]) -> dict[str, int]:
        found = self.columns | {f"communications[{number}].number": place for number, place in enumerate(places)}
        if len(self.columns_of) < 1000:
            self.columns_of[places] = found
        return found


def _free_text(cell: Any) -> str:
    text = cell.strip() if type(cell) is str else as_text(cell)
    return unescape(text) if text[:1] == "'" else text


def _number(column: Column) -> dict[str, Any]:
    """Return what a column says of its numbers."""
    said = {"priority": column.priority, "description": column.description}
    return {name: value for name, value in said.items() if value}


def _ragged(has: int, width: int) -> str:
    told = gettext("It has %(has)d values, the file has %(width)d columns. Look for a separator too many or too few.")
    return told % {"has": has, "width": width}


def _inexact(cell: Any) -> str:
    """Tell what a spreadsheet has done to a number; empty when it is all there."""
    if isinstance(cell, str):
        if not CUT.fullmatch(cell):
            return ""
    elif isinstance(cell, bool) or not isinstance(cell, int | float):
        return ""
    elif abs(cell) < MOST_EXACT:
        if float(cell).is_integer():
            return ""
        return gettext("This is a number with decimals. Format the column as text, and write the number in full.")
    shown = cell.strip() if isinstance(cell, str) else f"{cell:g}"
    told = gettext("The spreadsheet has cut the number to “%s”. Format the column as text, and fill it in again.")
    return told % shown


def _whole(cell: Any) -> int | str | None:
    text = as_text(cell)
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if not text:
        return None
    raise ValueError(gettext("“%s” is no whole number.") % text[:40])


def _json(cell: Any) -> Any:
    text = as_text(cell)
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        told = gettext('“%s” is no JSON. Write the variables as {"language": "uk", "debt": 200}.')
        raise ValueError(told % text[:40]) from None


# --- dates ------------------------------------------------------------------------------------------------------

ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d")
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
END_OF_DAY = time_of_day(23, 59, 59)


def _date_reader(text_format: str, zone: str) -> Callable[[Any], datetime | None]:
    """Return what reads a cell as the instant (without a zone: the wall clock) until which it lasts."""
    timed = bool(text_format) and _tells_time(text_format)

    def placed(value: datetime) -> datetime:
        if value.tzinfo or not zone:
            return value
        try:
            return hours.instant(zone, value)
        except (ValueError, OverflowError):
            raise ValueError(gettext("%s is beyond what a calendar knows.") % value) from None

    @lru_cache(maxsize=4096)
    def parsed(text: str) -> datetime:
        try:
            value = datetime.strptime(text, text_format) if text_format else parse_iso(text)  # noqa: DTZ007
        except ValueError:
            raise ValueError(_no_date(text, text_format)) from None
        if text_format and not timed:
            value = datetime.combine(value, END_OF_DAY, value.tzinfo)
        return placed(value)

    def read(cell: Any) -> datetime | None:
        if isinstance(cell, datetime):
            is_day = cell.time() == time_of_day()
            return placed(datetime.combine(cell, END_OF_DAY, cell.tzinfo) if is_day else cell)
        text = as_text(cell)
        return parsed(text) if text else None

    return read


def parse_iso(text: str) -> datetime:
    """Read an ISO date, with or without a time; without one it lasts to the end of its day. Raises ``ValueError``."""
    if ISO_DAY.fullmatch(text):
        return datetime.combine(datetime.fromisoformat(text), END_OF_DAY)
    if not ISO_TIME.fullmatch(text):
        raise ValueError
    return datetime.fromisoformat(text)


def _tells_time(text_format: str) -> bool:
    day = datetime(2031, 12, 25, 18, 45)  # noqa: DTZ001 (a wall clock)
    return datetime.strptime(day.strftime(text_format), text_format).hour != 0  # noqa: DTZ007


def _no_date(text: str, text_format: str) -> str:
    if not text_format:
        told = gettext("“%s” is no date. Write it as 2026-12-31 or 2026-12-31 18:00, or choose the format of dates.")
        return told % text[:40]
    example = datetime(2026, 12, 31, 18, 0).strftime(text_format)  # noqa: DTZ001 (a wall clock)
    told = gettext("“%(text)s” is no date of the chosen format. Write it as %(example)s, or choose another format.")
    return told % {"text": text[:40], "example": example}
