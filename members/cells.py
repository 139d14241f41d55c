"""Cells of spreadsheets: what they hold, and how free text is kept from being a formula. Pure."""

from __future__ import annotations

from datetime import datetime

Cell = str | float | int | bool | datetime | None

FORMULA = tuple("=+-@")


def as_text(cell: Cell) -> str:
    """Write a cell as it was meant: a sheet keeps numbers, dates and truths as such."""
    if isinstance(cell, str):
        return cell.strip()
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "minutes")
    return str(cell)


def escape(text: str) -> str:
    """Write free text so that no spreadsheet takes it for a formula: those it would take begin with an apostrophe."""
    return f"'{text}" if text.startswith(FORMULA) else text


def unescape(text: str) -> str:
    """Return the text that ``escape`` wrote."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text
