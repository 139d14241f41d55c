"""Wall-clock arithmetic of calendars: pure, exact across daylight-saving changes, by pytz alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import pytz

DAY = 1440
"""Minutes of a day; also 24:00, the end of it."""
HORIZON = 366 * 9
"""Days after which a search for an opening gives up: a calendar may open on 29 February alone."""

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Holiday:
    date: date
    yearly: bool
    ranges: Ranges = ()


@dataclass(frozen=True, slots=True)
class Hours:
    zone: str
    first_date: date | None
    last_date: date | None
    weekly: tuple[Ranges, ...]
    holidays: tuple[Holiday, ...]


def make(
    *, zone: str, first_date: date | None = None, last_date: date | None = None,
    weekly: Mapping[int, Iterable[tuple[int, int]]], holidays: Iterable[Holiday] = (),
) -> Hours:  # fmt: skip
    return Hours(zone, first_date, last_date, tuple(tuple(sorted(weekly.get(d, ()))) for d in range(1, 8)), tuple(holidays))


def _zones(hours: Hours, zones: str) -> list[str]:
    return zones.split("|") if zones else [hours.zone]


def _ranges(hours: Hours, day: date) -> Ranges:
    if (hours.first_date and day < hours.first_date) or (hours.last_date and day > hours.last_date):
        return ()
    for holiday in hours.holidays:
        if not holiday.yearly and holiday.date == day:
            return holiday.ranges
    for holiday in hours.holidays:
        if holiday.yearly and (holiday.date.month, holiday.date.day) == (day.month, day.day):
            return holiday.ranges
    return hours.weekly[day.isoweekday() - 1]


def _is_open_in(hours: Hours, zone: str, instant: datetime) -> bool:
    local = instant.astimezone(pytz.timezone(zone))
    minute = local.hour * 60 + local.minute
    return any(a <= minute < b for a, b in _ranges(hours, local.date()))


def is_open(hours: Hours, zones: str, instant: datetime) -> bool:
    return all(_is_open_in(hours, zone, instant) for zone in _zones(hours, zones))


def has_expired(hours: Hours, instant: datetime) -> bool:
    return hours.last_date is not None and instant.astimezone(pytz.timezone(hours.zone)).date() > hours.last_date


def _next(hours: Hours, zones: str, instant: datetime, want: bool) -> datetime | None:
    if is_open(hours, zones, instant) == want:
        return instant
    at = instant.replace(second=0, microsecond=0)
    for _ in range(60 * 24 * 8):
        at += timedelta(minutes=1)
        if is_open(hours, zones, at) == want:
            return at
    return None


def next_opening(hours: Hours, zones: str, instant: datetime) -> datetime | None:
    return _next(hours, zones, instant, True)


def open_until(hours: Hours, zones: str, instant: datetime) -> datetime | None:
    return _next(hours, zones, instant, False)
