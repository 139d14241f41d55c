"""The wall-clock arithmetic of calendars: pure, and exact across daylight-saving changes, by pytz alone.

A calendar is read on the wall clock of a zone: the calendar's own, or a subscriber's. Working hours are half-open
ranges of whole minutes, so that nothing starts in a minute that is closed on that clock: in the hour that a spring
change leaves out there is no wall clock to be open on, and the hour that an autumn change repeats is open twice.

``zones`` is one zone, several joined by "|" that must all be open, or nothing for the calendar's own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise

import pytz

DAY = 1440
"""Minutes of a day; as the end of a range, 24:00."""
CYCLE = 146_097
"""Days of 400 years: behind the last dated holiday the dates of a calendar come round with their weekdays."""
LAST_DAY = date(9900, 1, 1)
"""The last date that is looked at: what is reckoned from it can still be told."""
HORIZON = 9 * 366
"""Days from the first opening of one after which the search for an instant at which several zones are open ends in
vain: a calendar may open on 29 February alone, and 2096 to 2104 lie eight years apart."""
CLOSES_WITHIN = 32
"""Days for which ``open_until`` looks ahead."""

Ranges = tuple[tuple[int, int], ...]
Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Holiday:
    """A date with hours of its own, in that year or every year; without ranges it is closed all day."""

    date: date
    yearly: bool = False
    ranges: Ranges = ()


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """The opening hours of a calendar. Compared by identity, so that what was computed for it can be kept with it."""

    zone: str
    first_date: date | None
    last_date: date | None
    weekly: tuple[Ranges, ...]
    """Ranges of Monday to Sunday, sorted."""
    holidays: tuple[Holiday, ...]
    _fixed: dict[date, Ranges] = field(repr=False)
    """Ranges of the holidays of one year alone."""
    _yearly: dict[tuple[int, int], Ranges] = field(repr=False)
    """Ranges of those of every year, by month and day."""
    _openings: dict[str, tuple[datetime, datetime | None]] = field(default_factory=dict, repr=False)
    """For zones: an instant, and the opening next to it."""

    def on(self, day: date) -> Ranges:
        """Return the ranges of a date. A holiday beats the weekday, one of that very year beats a yearly one."""
        if (self.first_date and day < self.first_date) or (self.last_date and day > self.last_date):
            return ()
        holiday = self._fixed.get(day)
        if holiday is None:
            holiday = self._yearly.get((day.month, day.day))
        return self.weekly[day.weekday()] if holiday is None else holiday


def make(
    *,
    zone: str,
    first_date: date | None = None,
    last_date: date | None = None,
    weekly: Mapping[int, Iterable[tuple[int, int]]],
    holidays: Iterable[Holiday] = (),
) -> Hours:
    """Make hours from ranges by ISO weekday (Monday is 1), in any order; equal ones are the same object."""
    week = tuple(tuple(sorted((start, end) for start, end in weekly.get(weekday, ()))) for weekday in range(1, 8))
    return _made(zone, first_date, last_date, week, tuple(holidays))


@lru_cache(maxsize=256)
def _made(
    zone: str,
    first_date: date | None,
    last_date: date | None,
    weekly: tuple[Ranges, ...],
    holidays: tuple[Holiday, ...],
) -> Hours:
    fixed = {day.date: day.ranges for day in holidays if not day.yearly}
    yearly = {(day.date.month, day.date.day): day.ranges for day in holidays if day.yearly}
    return Hours(zone, first_date, last_date, weekly, holidays, fixed, yearly)


def validate(hours: Hours) -> dict[str, list[str]]:
    """Tell what is wrong with hours, by field: ``time_zone``, ``last_date``, ``ranges``, ``holidays``."""
    faults: dict[str, list[str]] = {}
    if hours.zone not in pytz.all_timezones_set:
        faults["time_zone"] = [f"“{hours.zone}” is not a time zone. Use an IANA name, for example Europe/Kyiv."]
    if hours.first_date and hours.last_date and hours.last_date < hours.first_date:
        faults["last_date"] = ["The last date is before the first date."]
    for weekday, ranges in enumerate(hours.weekly):
        faults.setdefault("ranges", []).extend(_range_faults(ranges, _WEEKDAYS[weekday]))
    for holiday in hours.holidays:
        faults.setdefault("holidays", []).extend(_range_faults(sorted(holiday.ranges), str(holiday.date)))
    keys = [(day.yearly, (day.date.month, day.date.day) if day.yearly else day.date) for day in hours.holidays]
    if len(set(keys)) < len(keys):
        faults.setdefault("holidays", []).append("Two holidays are on the same date.")
    faults = {name: texts for name, texts in faults.items() if texts}
    if not faults and never_opens(hours):
        faults["ranges"] = ["This calendar never opens. Add working hours on a day between its dates."]
    return faults


def never_opens(hours: Hours) -> bool:
    """Tell whether no date of hours that are otherwise sound has working hours."""
    return _open_day(hours, date.min) is None


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _range_faults(ranges: Iterable[tuple[int, int]], day: str) -> Iterator[str]:
    known = list(ranges)
    for start, end in known:
        if not 0 <= start < end <= DAY:
            yield f"{day}: {_text(start, end)} does not run forward within the day."
    for first, second in pairwise(known):
        if second[0] < first[1]:
            yield f"{day}: {_text(*first)} and {_text(*second)} overlap."


def _text(start: int, end: int) -> str:
    return f"{start // 60:02}:{start % 60:02}–{end // 60:02}:{end % 60:02}"


@lru_cache(maxsize=4096)
def _open_day(hours: Hours, day: date) -> date | None:
    """Return the first date from ``day`` on that has working hours; ``None`` when none will ever come."""
    first = max(day, hours.first_date or day)
    behind = max([first, *hours._fixed])
    last = min(behind.toordinal() + CYCLE, (hours.last_date or LAST_DAY).toordinal(), LAST_DAY.toordinal())
    days: Iterable[date]
    if any(hours.weekly) or any(hours._yearly.values()):
        days = map(date.fromordinal, range(first.toordinal(), last + 1))
    else:
        days = (day for day in sorted(hours._fixed) if first <= day <= LAST_DAY)
    return next((day for day in days if hours.on(day)), None)


# --- zones ------------------------------------------------------------------------------------------------------


def _zones(hours: Hours, zones: str) -> list[str]:
    return zones.split("|") if zones else [hours.zone]


@lru_cache(maxsize=1024)
def _offsets(zone: str) -> tuple[list[datetime], list[timedelta]]:
    """Return when the offset of a zone changes (naive UTC), and the offset before the first, after the first, ….

    pytz knows the changes up to 2037; later ones are as the last.
    """
    known = pytz.timezone(zone)
    if isinstance(known, pytz.tzinfo.DstTzInfo):
        changes = list(known._utc_transition_times)  # type: ignore[attr-defined]
        offsets = [info[0] for info in known._transition_info]  # type: ignore[attr-defined]
        # The first "change" of pytz is the beginning of time itself.
        return changes[1:], offsets
    return [], [known.utcoffset(None) or timedelta()]


Clock = tuple[tuple[datetime | None, timedelta], ...]


@lru_cache(maxsize=1024)
def clock_of(zone: str) -> Clock:
    """Return what tells the clock of a zone from others: its offset, and the changes of it since 2026 (naive UTC)."""
    changes, offsets = _offsets(zone)
    now = bisect_right(changes, datetime(2026, 1, 1))  # noqa: DTZ001
    return ((None, offsets[now]), *zip(changes[now:], offsets[now + 1 :], strict=True))


def _local(zone: str, instant: datetime) -> datetime:
    """Read the wall clock of a zone: naive."""
    naive = instant.astimezone(UTC).replace(tzinfo=None)
    changes, offsets = _offsets(zone)
    return naive + offsets[bisect_right(changes, naive)]


def instant(zone: str, wall_clock: datetime) -> datetime:
    """Return the instant (UTC) that a wall clock of a zone (naive) shows.

    A time that it shows twice means the one in standard time; one that it skips lies as long after the change as it
    seems.
    """
    local: datetime = pytz.timezone(zone).localize(wall_clock, is_dst=False)
    return local.astimezone(UTC)


@lru_cache(maxsize=8192)
def next_midnight(zone: str, now: datetime) -> datetime:
    """Return the instant (UTC) at which the next day of a zone begins."""
    tomorrow = _local(zone, now).date() + timedelta(days=1)
    return instant(zone, datetime.combine(tomorrow, time.min))


def _intervals_on(hours: Hours, zone: str, day: date) -> Sequence[Interval]:
    """Return when it is open on a date of a zone's wall clock, as true instants, sorted."""
    ranges = hours.on(day)
    return _instants_of(ranges, zone, day) if ranges else ()


def _instants_of(ranges: Ranges, zone: str, day: date) -> list[Interval]:
    """Return when the wall clock of a zone is within ranges of a date, as true instants, sorted."""
    midnight = datetime.combine(day, time())
    changes, offsets = _offsets(zone)
    # No zone is further than a day from UTC; each stretch of constant offset sees its own part of the date.
    first = bisect_right(changes, midnight - timedelta(days=1))
    last = bisect_right(changes, midnight + timedelta(days=2))
    found = []
    for index in range(first, last + 1):
        for start, end in ranges:
            opens = midnight + timedelta(minutes=start) - offsets[index]
            closes = midnight + timedelta(minutes=end) - offsets[index]
            if index:
                opens = max(opens, changes[index - 1])
            if index < len(changes):
                closes = min(closes, changes[index])
            if opens < closes:
                found.append((opens.replace(tzinfo=UTC), closes.replace(tzinfo=UTC)))
    return sorted(found)


def _days_around(zone: str, instant: datetime, days: int) -> Iterator[date]:
    """Yield the dates on which an instant from ``instant`` on may fall: a date may come again after a change."""
    today = _local(zone, instant).date()
    for offset in range(-1, days):
        try:
            yield today + timedelta(offset)
        except OverflowError:
            return


# --- questions --------------------------------------------------------------------------------------------------


def is_open(hours: Hours, zones: str, instant: datetime) -> bool:
    """Tell whether all these zones are open at an instant."""
    return all(_is_open_in(hours, zone, instant) for zone in _zones(hours, zones))


def _is_open_in(hours: Hours, zone: str, instant: datetime) -> bool:
    local = _local(zone, instant)
    minute = local.hour * 60 + local.minute
    return any(start <= minute < end for start, end in hours.on(local.date()))


def has_expired(hours: Hours, instant: datetime) -> bool:
    """Tell whether the last date is over in the calendar's own zone."""
    return hours.last_date is not None and _local(hours.zone, instant).date() > hours.last_date


def next_opening(hours: Hours, zones: str, instant: datetime) -> datetime | None:
    """Return the first instant, not before the given one, at which all these zones are open; ``None``: never again."""
    known = hours._openings.get(zones)
    if known is not None and known[0] <= instant and (known[1] is None or instant <= known[1]):
        return known[1]
    opening = _find_opening(hours, _zones(hours, zones), instant)
    hours._openings[zones] = instant, opening
    return opening


def _find_opening(hours: Hours, zones: list[str], instant: datetime) -> datetime | None:
    candidate, end = instant, None
    while end is None or candidate <= end:
        latest = candidate
        for zone in zones:
            opening = _opening_in(hours, zone, latest)
            if opening is None:
                return None
            latest = opening
        if latest == candidate:
            return candidate
        candidate = latest
        end = end or latest + timedelta(days=HORIZON)
    return None


def _opening_in(hours: Hours, zone: str, instant: datetime) -> datetime | None:
    if _is_open_in(hours, zone, instant):
        return instant
    # A date may come again after a change.
    day = _open_day(hours, _local(zone, instant).date() - timedelta(days=1))
    while day is not None:
        for opens, closes in _intervals_on(hours, zone, day):
            if instant < closes:
                return max(opens, instant)
        day = _open_day(hours, day + timedelta(days=1))
    return None


def open_until(hours: Hours, zones: str, instant: datetime) -> datetime | None:
    """Return when the first of these zones closes after an instant at which all are open.

    The instant itself when one is closed; ``None`` when none closes within ``CLOSES_WITHIN`` days.
    """
    ends = [_open_in_until(hours, zone, instant) for zone in _zones(hours, zones)]
    return min((end for end in ends if end is not None), default=None)


def _open_in_until(hours: Hours, zone: str, instant: datetime) -> datetime | None:
    until = instant
    for day in _days_around(zone, instant, CLOSES_WITHIN):
        for opens, closes in _intervals_on(hours, zone, day):
            if opens <= until < closes:
                until = closes
            elif opens > until:
                return until
    return until if until < instant + timedelta(days=CLOSES_WITHIN - 2) else None


# --- several zones, and what a page draws -----------------------------------------------------------------------


def opens_for_any(hours: Hours, several: Iterable[str], instant: datetime) -> datetime | None:
    """Return the first instant, not before the given one, at which one of ``several`` ``zones`` is open."""
    openings = (next_opening(hours, zones, instant) for zones in several)
    return min((opening for opening in openings if opening is not None), default=None)


def closes_for_all(hours: Hours, several: Collection[str], instant: datetime) -> datetime | None:
    """Return the first instant, not before the given one, at which none of ``several`` ``zones`` is open.

    ``None``: not within ``CLOSES_WITHIN`` days.
    """
    until, end = instant, instant + timedelta(days=CLOSES_WITHIN)
    while until < end:
        closings = [open_until(hours, zones, until) for zones in several]
        if None in closings:
            return None
        latest = max((closing for closing in closings if closing is not None), default=until)
        if latest == until:
            return until
        until = latest
    return None


def intervals(hours: Hours, zones: str, since: datetime, until: datetime) -> list[Interval]:
    """Return when all these zones are open between two instants, sorted; what meets is one."""
    found = [(since, until)]
    for zone in _zones(hours, zones):
        found = _meet(found, _intervals_in(hours, zone, since, until))
    return found


def _intervals_in(hours: Hours, zone: str, since: datetime, until: datetime) -> list[Interval]:
    days = _days_around(zone, since, (until - since).days + 3)
    # A date may come again after a change, and then its parts lie among those of the next one.
    parts = sorted(part for day in days for part in _intervals_on(hours, zone, day) if part[1] > since)
    joined: list[Interval] = []
    for opens, closes in parts:
        if joined and opens <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], closes)
        else:
            joined.append((opens, closes))
    return [(max(opens, since), min(closes, until)) for opens, closes in joined if opens < until]


def _meet(one: list[Interval], other: list[Interval]) -> list[Interval]:
    """Return what lies in both of two sorted lists."""
    found, first, second = [], 0, 0
    while first < len(one) and second < len(other):
        opens, closes = max(one[first][0], other[second][0]), min(one[first][1], other[second][1])
        if opens < closes:
            found.append((opens, closes))
        if one[first][1] < other[second][1]:
            first += 1
        else:
            second += 1
    return found


@dataclass(frozen=True, slots=True)
class ClockChange:
    """An instant at which the clock of a zone is set forward, or back."""

    instant: datetime
    before: timedelta
    after: timedelta

    @property
    def shift(self) -> timedelta:
        """By how much it is set forward (back: negative)."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class LocalDay:
    """A date of a zone: when it begins and ends. Where the clock is changed it is shorter or longer than 24 hours."""

    date: date
    start: datetime
    end: datetime
    changes: tuple[ClockChange, ...]


def clock_changes(zone: str, since: datetime, until: datetime) -> list[ClockChange]:
    """Return when the clock of a zone is changed, from one instant to before another."""
    changes, offsets = _offsets(zone)
    first = bisect_left(changes, since.astimezone(UTC).replace(tzinfo=None))
    last = bisect_left(changes, until.astimezone(UTC).replace(tzinfo=None))
    return [
        ClockChange(changes[index].replace(tzinfo=UTC), offsets[index], offsets[index + 1])
        for index in range(first, last)
        if offsets[index] != offsets[index + 1]
    ]


def local_days(zone: str, now: datetime, count: int) -> list[LocalDay]:
    """Return so many days of a zone's wall clock, today the first; a date that is left out is none of them."""
    found: list[LocalDay] = []
    day = _local(zone, now).date()
    while len(found) < count:
        if parts := _instants_of(((0, DAY),), zone, day):
            start, end = parts[0][0], max(closes for _, closes in parts)
            found.append(LocalDay(day, start, end, tuple(clock_changes(zone, start, end))))
        day += timedelta(days=1)
    return found


@dataclass(frozen=True, slots=True)
class Disturbed:
    """A part of working hours (minutes of a date) that a change of the clock leaves out, or has come twice."""

    date: date
    start: int
    end: int
    doubled: bool


def disturbed(hours: Hours, zone: str, since: datetime, until: datetime) -> list[Disturbed]:
    """Return the parts of working hours that the clock of a zone skips or doubles between two instants."""
    found = []
    for change in clock_changes(zone, since, until):
        naive = change.instant.replace(tzinfo=None)
        first, last = sorted((naive + change.before, naive + change.after))
        while first < last:
            midnight = datetime.combine(first.date(), time.min)
            stop = min(last, midnight + timedelta(days=1))
            low, high = (int((moment - midnight).total_seconds()) // 60 for moment in (first, stop))
            for start, end in hours.on(first.date()):
                if start < high and low < end:
                    doubled = change.shift < timedelta()
                    found.append(Disturbed(first.date(), max(start, low), min(end, high), doubled))
            first = stop
    return found


def wall_clock(zone: str, instant: datetime) -> datetime:
    """Read the wall clock of a zone at an instant: naive."""
    return _local(zone, instant)
