"""Which while statistics are asked of, on the wall clock of a zone, and its hours. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import pytz
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

HOUR = timedelta(hours=1)
LONGEST = timedelta(days=400)
BY_THE_HOUR = timedelta(days=8)
"""Up to this length a while is told by the hour, beyond it by the day."""


class Preset(TextChoices):
    """Whiles that have a name."""

    TODAY = "today", _("Today")
    YESTERDAY = "yesterday", _("Yesterday")
    LAST_7_DAYS = "last_7_days", _("7 days")
    LAST_30_DAYS = "last_30_days", _("30 days")
    THIS_MONTH = "this_month", _("This month")


class Step(TextChoices):
    """How finely a while is told."""

    HOUR = "hour", _("by the hour")
    DAY = "day", _("by the day")


@dataclass(frozen=True, slots=True)
class Range:
    """From an instant to another, which is not in it, and the zone on whose wall clock it is told."""

    start: datetime
    end: datetime
    zone: str

    @property
    def step(self) -> Step:
        return Step.HOUR if self.end - self.start <= BY_THE_HOUR else Step.DAY

    def hours(self) -> list[datetime]:
        """Return the beginnings of its hours on that wall clock, the first of which may lie before it."""
        there = pytz.timezone(self.zone)
        found = [_full_hour(self.start, there)]
        while (following := found[-1] + HOUR) < self.end:
            # Where the clock is changed by half an hour, full hours come earlier or later by that.
            full = _full_hour(following, there)
            found.append(full if full > found[-1] else following)
        return found

    def steps(self, step: Step) -> list[datetime]:
        """Return the beginnings of its hours or days on that wall clock."""
        if step == Step.HOUR:
            return self.hours()
        there = pytz.timezone(self.zone)
        first, last = (instant.astimezone(there).date() for instant in (self.start, self.end))
        days = [midnight(first + timedelta(days=count), self.zone) for count in range((last - first).days + 1)]
        return [day for day in days if day < self.end]


def of_preset(preset: str, zone: str, now: datetime) -> Range:
    """Return a while that has a name, in whole days of a zone, today's among them to its end."""
    today = now.astimezone(pytz.timezone(zone)).date()
    first, after = today, today + timedelta(days=1)
    match Preset(preset):
        case Preset.YESTERDAY:
            first, after = today - timedelta(days=1), today
        case Preset.LAST_7_DAYS:
            first = today - timedelta(days=6)
        case Preset.LAST_30_DAYS:
            first = today - timedelta(days=29)
        case Preset.THIS_MONTH:
            first = today.replace(day=1)
    return Range(midnight(first, zone), midnight(after, zone), zone)


def midnight(day: date, zone: str) -> datetime:
    """Return when a day begins in a zone: its first instant, where the clock skips midnight."""
    there = pytz.timezone(zone)
    at = datetime.combine(day, time())
    try:
        return there.localize(at, is_dst=None)
    except pytz.AmbiguousTimeError:
        return there.localize(at, is_dst=True)
    except pytz.NonExistentTimeError:
        # Read by the clock before the change, it is the very instant of the change.
        return there.normalize(there.localize(at, is_dst=False))


def _full_hour(instant: datetime, there: pytz.BaseTzInfo) -> datetime:
    clock = instant.astimezone(there)
    since = timedelta(minutes=clock.minute, seconds=clock.second, microseconds=clock.microsecond)
    return there.normalize(clock - since)
