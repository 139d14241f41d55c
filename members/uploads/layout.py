"""How a file of a list is read: its kind, character set and separator, and what each of its columns is. Pure."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import pytz
from django.core.exceptions import ValidationError
from django.utils.translation import gettext

from dialer import channel_variables
from members.rows import LARGEST, Faults

E = TypeVar("E", bound=StrEnum)

MAX_COLUMNS = 16_384
"""As many as a sheet of XLSX has."""
MAX_DESCRIPTION = 120


class FileKind(StrEnum):
    """What a file holds. A zip is opened: it must hold exactly one such file."""

    CSV = "csv"
    """Any separated text."""
    XLSX = "xlsx"


class Destination(StrEnum):
    """What a column is loaded as."""

    NOTHING = "nothing"
    NAME = "name"
    NUMBER = "number"
    NUMBERS = "numbers"
    """Several in a cell, separated by ``;``."""
    PRIORITY = "priority"
    EXPIRE = "expire"
    TIME_ZONE = "time_zone"
    CALLER_ID = "caller_id"
    EXTERNAL_ID = "external_id"
    VARIABLE = "variable"
    """One, by the column's ``name``."""
    VARIABLES = "variables"
    """A JSON object."""
    REASON = "reason"
    """Of do-not-call numbers alone."""


OF_NUMBERS = frozenset({Destination.NUMBER, Destination.NUMBERS})
OF_DO_NOT_CALL = frozenset({Destination.NOTHING, *OF_NUMBERS, Destination.EXPIRE, Destination.REASON})
SEVERAL = frozenset({Destination.NOTHING, *OF_NUMBERS, Destination.VARIABLE})
"""Destinations that several columns may have."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one column is."""

    destination: Destination = Destination.NOTHING
    name: str = ""
    """Of the variable."""
    priority: int = 0
    """Of the number: the highest is tried first, the first column of equals."""
    description: str = ""
    """Of the number."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is read."""

    kind: FileKind = FileKind.CSV
    charset: str = "utf-8"
    separator: str = ","
    quote: str = '"'
    """Empty: none, every separator separates and every line end ends a row."""
    heading: bool = True
    """The first line names the columns and is not loaded."""
    columns: tuple[Column, ...] = ()
    expire_format: str = ""
    """As of ``strptime``; empty: ISO. A date without a time lasts to the end of its day."""
    expire_zone: str = ""
    """IANA name of the zone that dates are written in; empty: the calendar's."""

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return {**asdict(self), "columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_json(cls, raw: object) -> Layout:
        """Read a layout; fields that are not given have their defaults.

        Raises ``ValidationError`` with every fault by the path of its field.
        """
        reader = _Reader(raw, cls)
        layout = cls(
            kind=reader.choice("kind", FileKind, FileKind.CSV),
            charset=reader.text("charset", "utf-8"),
            separator=reader.text("separator", ","),
            quote=reader.text("quote", '"'),
            heading=reader.truth("heading", True),
            columns=tuple(
                _column(column, f"columns[{place}]", reader.faults)
                for place, column in enumerate(reader.list("columns"))
            ),
            expire_format=reader.text("expire_format", ""),
            expire_zone=reader.text("expire_zone", ""),
        )
        if faults := reader.faults or layout.reading_faults():
            raise ValidationError(faults)
        return layout

    def faults(self, kind: str, allowed: Collection[str] | None = None) -> Faults:
        """Tell by the path of the field why a file cannot be loaded this way; empty when it can.

        ``kind``: an ``UploadKind``. ``allowed``: otherwise refused variables that an administrator allowed; without it
        only their spelling is looked at.
        """
        return {**self.reading_faults(), **self._column_faults(kind == "do_not_call", allowed)}

    def reading_faults(self) -> Faults:
        """Tell by the path of the field why a file cannot even be shown this way."""
        found: Faults = {}
        if not is_charset(self.charset):
            told = gettext("“%s” is no character set. Choose one of the list, for example utf-8 or windows-1251.")
            found["charset"] = [told % self.charset[:40]]
        if len(self.separator) != 1 or self.separator in "\r\n\0":
            found["separator"] = [gettext("The separator is one character, and no end of a line.")]
        if self.quote and (len(self.quote) != 1 or self.quote in "\r\n\0 "):
            found["quote"] = [gettext("The quote is one character, or empty where the file quotes nothing.")]
        elif self.quote == self.separator:
            found["quote"] = [gettext("The quote cannot be the separator.")]
        if len(self.columns) > MAX_COLUMNS:
            found["columns"] = [gettext("At most %d columns.") % MAX_COLUMNS]
        if self.expire_format and not is_date_format(self.expire_format):
            told = gettext("“%s” does not tell day, month and year. Write it as %%d.%%m.%%Y or %%Y-%%m-%%d %%H:%%M.")
            found["expire_format"] = [told % self.expire_format[:40]]
        if self.expire_zone and self.expire_zone not in pytz.all_timezones_set:
            told = gettext("“%s” is not a time zone. Use an IANA name, for example Europe/Kyiv.")
            found["expire_zone"] = [told % self.expire_zone[:64]]
        return found

    def _column_faults(self, do_not_call: bool, allowed: Collection[str] | None) -> Faults:
        found: Faults = {}
        destinations = [column.destination for column in self.columns]
        if not OF_NUMBERS.intersection(destinations):
            found["columns"] = [gettext("No column has numbers: choose “Number” for at least one.")]
        counted = Counter(destinations)
        named = Counter(column.name for column in self.columns if column.destination == Destination.VARIABLE)
        for place, column in enumerate(self.columns):
            path = f"columns[{place}]"
            if counted[column.destination] > 1 and column.destination not in SEVERAL:
                found[f"{path}.destination"] = [gettext("Another column is loaded as this already.")]
            elif do_not_call and column.destination not in OF_DO_NOT_CALL:
                found[f"{path}.destination"] = [gettext("A do-not-call list has numbers, reasons and dates alone.")]
            elif not do_not_call and column.destination == Destination.REASON:
                found[f"{path}.destination"] = [gettext("Only a do-not-call list has reasons.")]
            elif column.destination == Destination.VARIABLE:
                if told := _name_fault(column.name, allowed):
                    found[f"{path}.name"] = [told]
                elif named[column.name] > 1:
                    found[f"{path}.name"] = [gettext("Another column is loaded as this variable already.")]
        return found


def _name_fault(name: str, allowed: Collection[str] | None) -> str:
    if not name:
        return gettext("Name the variable.")
    try:
        channel_variables.check_name(name, {name} if allowed is None else allowed)
    except ValueError as error:
        return str(error)
    return ""


NO_CHARSETS = frozenset({"charmap", "idna", "punycode", "raw-unicode-escape", "unicode-escape"})
"""Ways to write a text in another one, which Python keeps among its character sets."""


def is_charset(name: str) -> bool:
    """Tell whether Python decodes text from it."""
    try:
        if codecs.lookup(name).name.replace("_", "-") in NO_CHARSETS:
            return False
        codec = codecs.lookup(name)
        return codec._is_text_encoding and isinstance(codecs.decode(b"", name), str)  # what text itself asks it for
    except (LookupError, ValueError):
        return False


def is_date_format(text: str) -> bool:
    """Tell whether a format of ``strptime`` reads back the day that it wrote."""
    day = datetime(2031, 12, 25, 18, 45)  # noqa: DTZ001 (a wall clock)
    try:
        return datetime.strptime(day.strftime(text), text).replace(tzinfo=None).date() == day.date()  # noqa: DTZ007
    except (ValueError, IndexError):
        return False


class _Reader:
    """Takes typed fields out of a JSON object and collects what is wrong with them."""

    def __init__(self, raw: object, of: type[Layout | Column], path: str = "", faults: Faults | None = None) -> None:
        self.faults: Faults = {} if faults is None else faults
        self.path = path
        self.raw: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        if not isinstance(raw, Mapping):
            self.faults[path or "layout"] = [gettext("This must be a JSON object.")]
        known = [field.name for field in fields(of)]
        for name in self.raw:
            if name not in known:
                self.fault(str(name), gettext("Unknown field; those known are %s.") % ", ".join(known))

    def fault(self, name: str, told: str) -> None:
        self.faults.setdefault(f"{self.path}.{name}" if self.path else name, []).append(told)

    def _typed(self, name: str, default: Any, is_right: Callable[[Any], bool], told: str) -> Any:
        value = self.raw.get(name)
        if value is None:
            return default
        if not is_right(value):
            self.fault(name, told)
            return default
        return value

    def text(self, name: str, default: str) -> str:
        return str(self._typed(name, default, lambda value: isinstance(value, str), gettext("This must be text.")))

    def truth(self, name: str, default: bool) -> bool:
        told = gettext("This must be true or false.")
        return bool(self._typed(name, default, lambda value: isinstance(value, bool), told))

    def list(self, name: str) -> list[object]:
        return list(self._typed(name, [], lambda value: isinstance(value, list), gettext("This must be an array.")))

    def integer(self, name: str) -> int:
        told = gettext("This must be a whole number between %(least)d and %(most)d.") % {
            "least": -LARGEST,
            "most": LARGEST,
        }
        return int(self._typed(name, 0, lambda value: type(value) is int and -LARGEST <= value <= LARGEST, told))

    def choice(self, name: str, of: type[E], default: E) -> E:
        values = [item.value for item in of]
        told = gettext("This must be one of %s.") % ", ".join(values)
        return of(self._typed(name, default, lambda value: isinstance(value, str) and value in values, told))


def _column(raw: object, path: str, faults: Faults) -> Column:
    reader = _Reader(raw, Column, path, faults)
    description = reader.text("description", "").strip()
    if len(description) > MAX_DESCRIPTION:
        reader.fault("description", gettext("At most %d characters.") % MAX_DESCRIPTION)
    return Column(
        destination=reader.choice("destination", Destination, Destination.NOTHING),
        name=reader.text("name", "").strip(),
        priority=reader.integer("priority"),
        description=description,
    )
