"""Tables of subscribers: CSV and XLSX files, and what their columns mean.

A table has a heading and a subscriber a line. Columns: ``name``, ``priority``, ``timezone``, ``expire``,
``caller_id``, ``external_id``, ``number_1``, ``number_2`` … or ``numbers`` (separated by ``;``), ``variables`` (a JSON
object) and ``var:NAME`` for one variable. Those that an export adds (``state`` …) are read over. Empty cells say
nothing.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import openpyxl
from django.core.exceptions import ValidationError

from members.rows import OWN_FIELDS, Faults

SEPARATORS = ",;\t|"
NUMBER_COLUMN = re.compile(r"number(_\d+)?")
VARIABLE_COLUMN = re.compile(r"var:(.+)", re.DOTALL)
EXPORTED_ONLY = frozenset({"state", "end_cause", "counted"})

Cell = str | int | float | bool | datetime | None


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


def read_csv(text: str) -> Table:
    """Read a CSV file whose separator is a comma, a semicolon, a tab or a bar, whichever its heading has most of.

    Raises ``TableRefused`` with every line that has more or fewer values than the heading.
    """
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    heading_line = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=heading_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    found: list[tuple[int, list[str]]] = []
    begins = 1
    try:
        for record in reader:
            if any(value.strip() for value in record):
                found.append((begins, record))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise TableRefused({begins: {"": [f"This is no line of a CSV file ({error})."]}}) from None
    return _table(found)


def read_xlsx(content: bytes) -> Table:
    """Read the first sheet of an XLSX workbook. Raises ``TableRefused``."""
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        found = list(enumerate(([*record] for record in book.worksheets[0].iter_rows(values_only=True)), 1))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, IndexError, OSError, SyntaxError):
        raise TableRefused({1: {"": ["This file is no XLSX workbook."]}}) from None
    filled = [(line, record) for line, record in found if any(cell not in (None, "") for cell in record)]
    if filled:
        # A sheet is as wide as its widest formatting: what has neither a heading nor a value is no column.
        width = max(place for _, record in filled for place, cell in enumerate(record, 1) if cell not in (None, ""))
        filled = [(line, [*record, *[None] * width][:width]) for line, record in filled]
    return _table(filled)


def _table(found: Sequence[tuple[int, Sequence[Any]]]) -> Table:
    if not found:
        raise TableRefused({1: {"": ["The file is empty."]}})
    (line, names), *records = found
    heading = ["" if name is None else re.sub(r"\s+", "_", str(name).strip()) for name in names]
    heading = [name if VARIABLE_COLUMN.fullmatch(name) else name.lower() for name in heading]
    faults: dict[int, Faults] = {}
    if told := _faults_of(heading):
        faults[line] = {"": told}
    for at, record in records:
        if len(record) != len(heading):
            faults[at] = {"": [f"It has {len(record)} values, the heading has {len(heading)}."]}
    if faults:
        raise TableRefused(faults)
    return Table(heading, [record for _, record in records], [at for at, _ in records])


def _faults_of(heading: Sequence[str]) -> list[str]:
    told = [f"Column {place} has no heading." for place, name in enumerate(heading, 1) if not name]
    for name in dict.fromkeys(filter(None, heading)):
        if heading.count(name) > 1:
            told.append(f"“{name}” heads {heading.count(name)} columns.")
        if not _is_known(name):
            told.append(f"“{name}” is no column that can be loaded.")
    if not any(name == "numbers" or NUMBER_COLUMN.fullmatch(name) for name in heading):
        told.append("No column has numbers: one must be called number_1 (or numbers).")
    if told:
        told.append(f"Those known are {', '.join(OWN_FIELDS)}, number_1, number_2 …, numbers and var:NAME.")
    return told


def _is_known(name: str) -> bool:
    return (
        name in OWN_FIELDS
        or name == "numbers"
        or name in EXPORTED_ONLY
        or bool(NUMBER_COLUMN.fullmatch(name) or VARIABLE_COLUMN.fullmatch(name))
    )


def rows_of(table: Table) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return the records as rows of an upload, and for each the column that a path of its fields came from."""
    read = [_row(dict(zip(table.heading, record, strict=True))) for record in table.records]
    return [row for row, _ in read], [columns for _, columns in read]


def by_line(table: Table, columns: Sequence[Mapping[str, str]], faults: Mapping[int, Faults]) -> dict[int, Faults]:
    """Return the faults of rows by the lines and columns that they came from."""
    found: dict[int, Faults] = {}
    for index, of_row in faults.items():
        told: Faults = {}
        for path, several in of_row.items():
            told.setdefault(columns[index].get(path, path), []).extend(several)
        found[table.lines[index]] = told
    return found


def _row(record: Mapping[str, Cell]) -> tuple[dict[str, Any], dict[str, str]]:
    row: dict[str, Any] = {}
    columns: dict[str, str] = {}
    variables: dict[str, Any] = {}
    numbers: list[dict[str, str]] = []
    for column, cell in record.items():
        if _text(cell) == "" or column in EXPORTED_ONLY:
            continue
        variable = VARIABLE_COLUMN.fullmatch(column)
        if variable:
            variables[variable[1]] = _text(cell)
        elif column == "numbers" or NUMBER_COLUMN.fullmatch(column):
            for number in _text(cell).split(";") if column == "numbers" else [_text(cell)]:
                if number.strip():
                    columns[f"communications[{len(numbers)}].number"] = column
                    numbers.append({"number": number})
        elif column == "variables":
            row["variables"] = _json(_text(cell))
        elif column == "priority":
            row["priority"] = _whole(cell)
        elif column == "expire":
            row["expire"] = cell if isinstance(cell, datetime) else _text(cell)
        else:
            row[column] = unescape(_text(cell))
    if variables and isinstance(row.setdefault("variables", {}), dict):
        row["variables"] |= variables
    row["communications"] = numbers
    first = next(name for name in record if name == "numbers" or NUMBER_COLUMN.fullmatch(name))
    return row, {"communications": first, **columns}


def _text(cell: Cell) -> str:
    """Write a cell as it was meant: a sheet keeps numbers, dates and truths as such."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "minutes")
    return str(cell).strip()


def _whole(cell: Cell) -> int | str:
    text = _text(cell)
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # the row's own check says what it must be


FORMULA = tuple("=+-@")


def escape(text: str) -> str:
    """Write free text so that no spreadsheet takes it for a formula: those it would take begin with an apostrophe."""
    return f"'{text}" if text.startswith(FORMULA) else text


def unescape(text: str) -> str:
    """Return the text that ``escape`` wrote."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def decode(content: bytes, charset: str) -> str:
    """Decode a file. Raises ``TableRefused`` at the line where it is not written in that character set."""
    try:
        return content.decode(charset)
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        name = charset.removesuffix("-sig").upper()
        told = f"This is not {name} (byte {start + 1}). Choose the character set of the file, or save it as UTF-8."
        raise TableRefused({content[:start].count(b"\n") + 1: {"": [told]}}) from None
