"""Subscribers as they are uploaded: what a row may hold, and every fault of it named by field.

A row is the body of ``POST …/members``: ``name``, ``priority``, ``timezone``, ``expire``, ``variables``,
``external_id`` and ``communications``, each with ``number``, ``priority`` and ``description``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytz
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from campaigns import hours
from campaigns.fields import variable_faults
from campaigns.models import ZoneFromNumber
from members import numbers

OWN_FIELDS = {
    "name": "name",
    "priority": "priority",
    "timezone": "time_zone",
    "expire": "expire_at",
    "variables": "variables",
    "caller_id": "caller_id",
    "external_id": "external_id",
}
"""What a row says of the subscriber himself, and the field of the model that keeps it."""
FIELDS = (*OWN_FIELDS, "communications")
NUMBER_FIELDS = ("number", "priority", "description")
LARGEST = 2**31 - 1
"""Of the integers that a priority may be."""

Faults = dict[str, list[str]]
"""What is wrong, in words, by the path of the field."""


class RowsRefused(ValidationError):
    """Rows that cannot be taken, with every fault of each.

    ``rows`` maps the place of a row (from 0) to its faults; ``message_dict`` has them all by path, with ``[3].`` before
    the path of the fourth row where there were several.
    """

    def __init__(self, rows: Mapping[int, Faults], total: int) -> None:
        self.rows = {index: rows[index] for index in sorted(rows)}
        super().__init__(
            {
                f"[{index}].{path}" if total > 1 else path: told
                for index, faults in self.rows.items()
                for path, told in faults.items()
            }
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """What the campaign says of how rows are read."""

    zone: str = ""
    """The calendar's: an ``expire`` without an offset is read on its wall clock; without a zone it is a fault."""
    region: str = ""
    """The country in which numbers are typed, and made international; empty: they stay as typed."""
    allowed: Collection[str] = ()
    """Otherwise refused variables that an administrator allowed."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a row, understood."""

    number: str
    dial: str
    digits: str
    priority: int = 0
    description: str = ""
    path: str = "number"
    """Where faults of it are told."""


@dataclass(frozen=True, slots=True)
class Row:
    """A subscriber of an upload, understood."""

    name: str = ""
    priority: int = 0
    time_zone: str = ""
    expire_at: datetime | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    caller_id: str = ""
    external_id: str | None = None
    numbers: tuple[Number, ...] = ()

    def zones(self, by: str) -> str:
        """Return the zones that must be open for him, as ``zones_of`` rules."""
        if by == ZoneFromNumber.OFF:
            return self.time_zone
        by_priority = sorted(self.numbers, key=lambda number: -number.priority)
        return zones_of(self.time_zone, (number.dial for number in by_priority), by)


def read(raw: object, rules: Rules) -> tuple[Row, Faults]:
    """Read one row; return it and its faults (a field at fault has its default)."""
    reader = _Reader(raw, FIELDS)
    if not isinstance(raw, Mapping):
        return Row(), reader.faults
    row = replace(reader.row(rules), numbers=reader.numbers("communications", rules))
    return row, reader.faults


def read_changes(raw: object, rules: Rules) -> tuple[dict[str, Any], Faults]:
    """Read those fields of a row that are given, but no numbers; return the values by the model's names, and faults."""
    reader = _Reader(raw, tuple(OWN_FIELDS))
    row = reader.row(rules)
    given = [OWN_FIELDS[name] for name in reader.raw if name in OWN_FIELDS]
    return {name: getattr(row, name) for name in given}, reader.faults


def read_number(raw: object, rules: Rules, path: str = "") -> tuple[Number | None, Faults]:
    """Read one entry of ``communications``; ``None`` for it when its number is at fault."""
    reader = _Reader(raw, NUMBER_FIELDS, path)
    if not isinstance(raw, Mapping):
        return None, reader.faults
    priority, description = reader.integer("priority"), reader.text("description", 120)
    typed = reader.text("number", numbers.MAX_TYPED)
    if path + "number" in reader.faults:
        return None, reader.faults
    try:
        cleaned = numbers.clean(typed, rules.region)
    except ValueError as error:
        reader.fault("number", str(error))
        return None, reader.faults
    return Number(typed, cleaned.dial, cleaned.digits, priority, description, path + "number"), reader.faults


def read_all(raws: Sequence[object], rules: Rules) -> tuple[list[Row], dict[int, Faults]]:
    """Read rows that come together; return them, and their faults by place, what two rows share among them."""
    rows: list[Row] = []
    faults: dict[int, Faults] = defaultdict(dict)
    number_in: dict[str, int] = {}
    external_id_in: dict[str, int] = {}
    for index, raw in enumerate(raws):
        row, found = read(raw, rules)
        rows.append(row)
        for number in row.numbers:
            first = number_in.setdefault(number.digits, index)
            if first != index:
                found.setdefault(number.path, []).append(f"{number.number} is in row {first + 1} already.")
        if row.external_id and (first := external_id_in.setdefault(row.external_id, index)) != index:
            found.setdefault("external_id", []).append(f"“{row.external_id}” is in row {first + 1} already.")
        if found:
            faults[index] = found
    return rows, faults


def zones_of(own: str, dials: Iterable[str], by: str) -> str:
    """Return the zones that must be open for a subscriber, joined by “|”; empty for the calendar's.

    ``own``: his time zone, which goes before all else. ``dials``: his numbers in the order of their priority, the first
    entered of equals first; the first one that tells a zone decides, be it stopped or not: he does not move with it.
    ``by``: a ``ZoneFromNumber``.
    """
    if own or by == ZoneFromNumber.OFF:
        return own
    zones: tuple[str, ...] = next(filter(None, map(numbers.zones_of, dials)), ())
    return "|".join(zones) if by == ZoneFromNumber.INTERSECTION or len(zones) == 1 else ""


class _Reader:
    """Takes the fields out of one JSON object and collects what is wrong with them. A null is a field not given."""

    def __init__(self, raw: object, known: Sequence[str], path: str = "") -> None:
        self.faults: Faults = {}
        self.path = path
        self.raw: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        if not isinstance(raw, Mapping):
            self.faults[path.rstrip(".") or NON_FIELD_ERRORS] = ["This must be a JSON object."]
        for name in self.raw:
            if name not in known:
                self.fault(str(name), f"Unknown field; those known are {', '.join(known)}.")

    def fault(self, name: str, told: str) -> None:
        self.faults.setdefault(self.path + name, []).append(told)

    def row(self, rules: Rules) -> Row:
        return Row(
            name=self.text("name", 200),
            priority=self.integer("priority"),
            time_zone=self.zone("timezone"),
            expire_at=self.instant("expire", rules.zone),
            variables=self.variables("variables", rules.allowed),
            caller_id=self.caller_id("caller_id"),
            external_id=self.text("external_id", 100) or None,
        )

    def text(self, name: str, length: int) -> str:
        value = self.raw.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.fault(name, f"This must be text, not {_kind(value)}.")
            return ""
        value = value.strip()
        if len(value) > length:
            self.fault(name, f"This is {len(value)} characters long: at most {length}.")
            return ""
        for char in "" if value.isprintable() else value:
            if unicodedata.category(char) in {"Cc", "Cs"}:
                self.fault(name, f"This holds the control character U+{ord(char):04X}.")
                return ""
        return value

    def caller_id(self, name: str) -> str:
        value = self.text(name, 32)
        if value and not re.fullmatch(r"\+?[0-9*#]+", value):
            self.fault(name, "This must be a number: digits, “*” and “#”, with or without a “+” before them.")
            return ""
        return value

    def integer(self, name: str) -> int:
        value = self.raw.get(name)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool):
            self.fault(name, f"This must be a whole number, not {_kind(value)}.")
            return 0
        if not -LARGEST <= value <= LARGEST:
            self.fault(name, f"This must be between {-LARGEST} and {LARGEST}.")
            return 0
        return value

    def zone(self, name: str) -> str:
        zone = self.text(name, 64)
        if zone and zone not in pytz.all_timezones_set:
            self.fault(name, f"“{zone}” is not a time zone. Use an IANA name, for example Europe/Kyiv.")
            return ""
        return zone

    def instant(self, name: str, zone: str) -> datetime | None:
        value = self.raw.get(name)
        if not isinstance(value, datetime):
            text = self.text(name, 40)
            if not text:
                return None
            try:
                if not re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text):
                    raise ValueError
                value = datetime.fromisoformat(text)
            except ValueError:
                example = "2026-12-31 18:00 or 2026-12-31T18:00+02:00"
                self.fault(name, f"“{text}” is not a date with a time. Write it as {example}.")
                return None
        if not (value.tzinfo or zone):
            self.fault(name, "This has no offset. Write it as 2026-12-31T18:00:00+02:00 or 2026-12-31T16:00:00Z.")
            return None
        try:
            return value.astimezone(UTC) if value.tzinfo else hours.instant(zone, value)
        except (ValueError, OverflowError):
            self.fault(name, f"{value} is beyond what a calendar knows.")
            return None

    def variables(self, name: str, allowed: Collection[str]) -> Mapping[str, Any]:
        value = self.raw.get(name)
        if value is None:
            return {}
        faults = variable_faults(value, allowed)
        if faults:
            self.faults[self.path + name] = faults
            return {}
        return dict(value)

    def numbers(self, name: str, rules: Rules) -> tuple[Number, ...]:
        value = self.raw.get(name)
        if value is not None and not isinstance(value, list | tuple):
            self.fault(name, f"This must be an array of numbers, not {_kind(value)}.")
            return ()
        if not value:
            self.fault(name, "A subscriber needs at least one number.")
            return ()
        found: dict[str, Number] = {}
        for place, raw in enumerate(value):
            number, faults = read_number(raw, rules, f"{self.path}{name}[{place}].")
            self.faults.update(faults)
            if number and number.digits in found:
                self.faults.setdefault(number.path, []).append(f"{number.number} is twice in this subscriber.")
            elif number:
                found[number.digits] = number
        return tuple(found.values())


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "an array" if isinstance(value, list | tuple) else "an object"
