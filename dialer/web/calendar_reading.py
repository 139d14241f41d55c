"""What pages tell of a calendar: its hours in words, its next days in several zones, warnings, what a change changes.

All of it is computed by ``campaigns.hours``, of a calendar as the database has it or as somebody is about to save it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from itertools import groupby
from typing import Any, Final

from django.utils.dates import WEEKDAYS_ABBR
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from campaigns import hours
from campaigns.fields import clock_text
from campaigns.hours import Hours
from campaigns.models import ACTIVE_STATES, Campaign
from dialer.api import scope
from dialer.engine import lanes
from dialer.readings import shared

DAYS: Final = 14
"""Days that the timeline shows, and in which an end or a change of the clock is warned of."""
ROWS: Final = 8
"""Zones of subscribers that it draws beside the calendar's own."""
LOOKED_AT: Final = 60
"""Zones of the subscribers of a campaign that are looked at: a page is drawn anew while somebody types."""


# --- words ------------------------------------------------------------------------------------------------------


def ranges_words(ranges: Iterable[tuple[int, int]]) -> str:
    """Write ranges of a day for people: ``09:00–13:00, 14:00–18:00``."""
    return ", ".join(f"{clock_text(start)}–{clock_text(end)}" for start, end in ranges)


def week_words(week: Hours) -> str:
    """Write working hours for people: ``Mon–Fri 09:00–18:00; Sat 10:00–14:00``."""
    if not any(week.weekly):
        return _("No working hours")
    if all(ranges == ((0, hours.DAY),) for ranges in week.weekly):
        return _("Every day, around the clock")
    told = []
    for ranges, same in groupby(range(7), key=lambda day: week.weekly[day]):
        days = [str(WEEKDAYS_ABBR[day]) for day in same]
        if ranges:
            joined = days[0] if len(days) == 1 else f"{days[0]}{', ' if len(days) == 2 else '–'}{days[-1]}"
            told.append(f"{joined} {ranges_words(ranges)}")
    return "; ".join(told)


def day_words(day: date) -> str:
    """Write a date of these weeks with its weekday."""
    return date_format(day, "D j M")


def when(instant: datetime, zone: str, now: datetime) -> str:
    """Write an instant on the wall clock of a zone: today's with the time alone."""
    local, today = hours.wall_clock(zone, instant), hours.wall_clock(zone, now).date()
    if local.date() == today:
        return _("today %(time)s") % {"time": f"{local:%H:%M}"}
    if local.date() == today + timedelta(days=1):
        return _("tomorrow %(time)s") % {"time": f"{local:%H:%M}"}
    shape = "D j M" if abs((local.date() - today).days) < 200 else "D j M Y"
    return f"{date_format(local.date(), shape)} {local:%H:%M}"


def length(minutes: float) -> str:
    """Write minutes as hours: ``8:30``."""
    whole = round(minutes)
    return f"{whole // 60}:{whole % 60:02}"


def _signed(span: timedelta) -> str:
    """Write by how much a clock is ahead, or behind: ``+2:00``."""
    return f"{'+' if span > timedelta() else '−'}{length(abs(span).total_seconds() / 60)}"


def some(names: Sequence[str], most: int = 3) -> str:
    """Write the first of several names, and how many there are besides."""
    named = ", ".join(names[:most])
    if len(names) <= most:
        return named
    return _("%(names)s and %(count)d more") % {"names": named, "count": len(names) - most}


def zones_words(zones: str) -> str:
    """Write the zones of a subscriber; with several, all must be open."""
    return zones.replace("|", " + ").replace("_", " ")


# --- now --------------------------------------------------------------------------------------------------------


def standing(week: Hours, now: datetime) -> dict[str, Any]:
    """Tell whether a calendar is open by its own clock, and until when."""
    if hours.never_opens(week):
        return {"tone": "bad", "label": _("never opens"), "told": ""}
    opening = hours.next_opening(week, "", now)
    if opening is None:
        return {"tone": "bad", "label": _("over"), "told": _("It never opens again.")}
    if opening > now:
        return {"tone": "off", "label": _("closed"), "told": _("opens %s") % when(opening, week.zone, now)}
    closing = hours.open_until(week, "", now)
    told = _("closes %s") % when(closing, week.zone, now) if closing else _("without a break for weeks")
    return {"tone": "good", "label": _("open"), "told": told}


# --- whose clocks count -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """A campaign that has a calendar, and the zones of those of its subscribers who may still be called ("": its)."""

    campaign: Campaign
    zones: Sequence[str]

    @property
    def active(self) -> bool:
        return self.campaign.state in ACTIVE_STATES


def uses_of(calendar_id: int, user: Any) -> list[Use]:
    """Return the campaigns of a calendar that a user may see, with the zones of their subscribers. Bounded reads."""
    campaigns = list(scope.campaigns(user).filter(calendar=calendar_id).order_by("name"))
    ids = sorted(campaign.pk for campaign in campaigns)
    zones: Mapping[int, list[str]] = (
        shared(f"calendar:zones:{','.join(map(str, ids))}", lambda: lanes.callable_zones(ids), times=10) if ids else {}
    )
    return [Use(campaign, zones[campaign.pk]) for campaign in campaigns]


# --- warnings ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Warned:
    tone: str
    text: str


def warnings(week: Hours, uses: Sequence[Use], now: datetime) -> list[Warned]:
    """Tell what is wrong, or soon will be, with a calendar that can be saved (or never opens, which cannot)."""
    if hours.never_opens(week):
        return [Warned("bad", _("This calendar never opens. Add working hours on a day between its dates."))]
    return [*_of_dates(week, now), *_of_zones(week, uses, now), *_of_clocks(week, uses, now)]


def _of_dates(week: Hours, now: datetime) -> Iterable[Warned]:
    last = week.last_date
    if last and hours.has_expired(week, now):
        text = _("It ended in the past: its last date was %(date)s. Its campaigns end, and RUN starts none.")
        yield Warned("bad", text % {"date": date_format(last, "j M Y")})
        return
    if hours.next_opening(week, "", now) is None:
        yield Warned("bad", _("It never opens again by its own clock: no working hours are left before its last date."))
    if last:
        left = (last - hours.wall_clock(week.zone, now).date()).days
        if left <= DAYS:
            text = ngettext(
                "It expires soon: its last date, %(date)s, is in %(count)d day.",
                "It expires soon: its last date, %(date)s, is in %(count)d days.",
                left,
            )
            text = text if left else _("It expires today: %(date)s is its last date.")
            yield Warned("warn", text % {"date": day_words(last), "count": left})


def _of_zones(week: Hours, uses: Sequence[Use], now: datetime) -> Iterable[Warned]:
    if hours.has_expired(week, now):
        return
    for use in uses:
        looked_at = use.zones[:LOOKED_AT]
        never = [zones for zones in looked_at if hours.next_opening(week, zones, now) is None]
        if never and len(never) == len(use.zones):
            text = _("No subscriber of “%(name)s” is ever inside these hours: nobody can be called (%(zones)s).")
        elif never:
            text = _("Some subscribers of “%(name)s” are never inside these hours and are not called: %(zones)s.")
        else:
            continue
        named = [zones_words(zones or week.zone) for zones in never]
        yield Warned("bad", text % {"name": use.campaign, "zones": some(named)})


def _of_clocks(week: Hours, uses: Sequence[Use], now: datetime) -> Iterable[Warned]:
    days = hours.local_days(week.zone, now, DAYS)
    single = dict.fromkeys([week.zone])
    for use in uses:
        single |= dict.fromkeys(zone for zones in use.zones[:LOOKED_AT] if zones for zone in zones.split("|"))
    found: dict[hours.Disturbed, list[str]] = {}
    for zone in single:
        for part in hours.disturbed(week, zone, now, days[-1].end):
            found.setdefault(part, []).append(zone)
    for part, zones in sorted(found.items(), key=lambda item: (item[0].date, item[0].start)):
        text = (
            _("On %(date)s the clock is set back in %(zones)s: %(hours)s of the working hours comes twice.")
            if part.doubled
            else _("On %(date)s the clock is set forward in %(zones)s: %(hours)s of the working hours is left out.")
        )
        span = ranges_words([(part.start, part.end)])
        yield Warned("warn", text % {"date": day_words(part.date), "zones": some(zones), "hours": span})


# --- the next days ----------------------------------------------------------------------------------------------


def timeline(week: Hours, uses: Sequence[Use], now: datetime) -> dict[str, Any]:
    """Lay out the next days on the calendar's own clock: a row for it, and one for each zone of subscribers."""
    days = hours.local_days(week.zone, now, DAYS)
    served: dict[str, list[str]] = {}
    for use in uses:
        for zones in use.zones:
            if zones and zones != week.zone:
                served.setdefault(zones, []).append(use.campaign.name)
    shown = sorted(served)[:ROWS]
    dated = {day.date for day in week.holidays if not day.yearly}
    yearly = {(day.date.month, day.date.day) for day in week.holidays if day.yearly}
    return {
        "days": [
            {
                "date": day.date,
                "weekday": WEEKDAYS_ABBR[day.date.weekday()],
                "weekend": day.date.weekday() > 4,
                "special": day.date in dated or (day.date.month, day.date.day) in yearly,
                "length": _length_of(day),
            }
            for day in days
        ],
        "rows": [
            _row(week, "", days, now, []),
            *(
                _row(week, zones, days, now, [] if len(served[zones]) == len(uses) else served[zones])
                for zones in shown
            ),
        ],
        "more": len(served) - len(shown),
        "zone": week.zone,
    }


def _length_of(day: hours.LocalDay) -> str:
    """Tell how long a day is on which the clock is changed; empty for others."""
    minutes = round((day.end - day.start).total_seconds() / 60)
    if not day.changes and minutes == hours.DAY:
        return ""
    return _("%(hours)s h") % {"hours": minutes // 60 if minutes % 60 == 0 else length(minutes)}


def _row(week: Hours, zones: str, days: list[hours.LocalDay], now: datetime, campaigns: list[str]) -> dict[str, Any]:
    open_ = hours.intervals(week, zones, days[0].start, days[-1].end)
    parts = zones.split("|") if zones else [week.zone]
    cells = [_cell(week.zone, day, open_, parts, now) for day in days]
    apart = hours.wall_clock(parts[0], now) - hours.wall_clock(week.zone, now)
    return {
        "zones": zones_words(zones or week.zone),
        "own": not zones,
        "apart": _signed(apart) if apart and len(parts) == 1 else "",
        "campaigns": ", ".join(campaigns),
        "cells": cells,
        "total": length(sum(cell["minutes"] for cell in cells)),
        "never": not open_,
    }


def _cell(
    own: str, day: hours.LocalDay, open_: list[hours.Interval], zones: list[str], now: datetime
) -> dict[str, Any]:
    def minute(instant: datetime) -> int:
        return round((instant - day.start).total_seconds() / 60)

    def clock(instant: datetime) -> str:
        return "24:00" if instant == day.end else f"{hours.wall_clock(own, instant):%H:%M}"

    inside = [(max(opens, day.start), min(closes, day.end)) for opens, closes in open_
              if opens < day.end and closes > day.start]  # fmt: skip
    changes = [
        {
            "x": minute(change.instant),
            "told": _("%(zone)s: the clock is set %(shift)s h")
            % {
                "zone": zone,
                "shift": _signed(change.shift),
            },
        }
        for zone in zones
        for change in hours.clock_changes(zone, day.start, day.end)
    ]
    minutes = sum(minute(closes) - minute(opens) for opens, closes in inside)
    return {
        "width": minute(day.end),
        "bars": [{"x": minute(opens), "width": minute(closes) - minute(opens)} for opens, closes in inside],
        "changes": changes,
        "now": minute(now) if day.start <= now < day.end else None,
        "minutes": minutes,
        "length": length(minutes) if minutes else "",
        "told": ", ".join(f"{clock(opens)}–{clock(closes)}" for opens, closes in inside) or _("closed"),
    }


# --- what saving changes ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Turn:
    """How a campaign stands with a calendar, and when that turns next."""

    state: str
    at: datetime | None = None


def _turn(week: Hours, zones: Sequence[str], now: datetime) -> _Turn:
    if hours.has_expired(week, now):
        return _Turn("ended")
    opening = hours.opens_for_any(week, zones, now)
    if opening is None:
        return _Turn("never")
    if opening > now:
        return _Turn("closed", opening)
    return _Turn("open", hours.closes_for_all(week, zones, now))


def consequences(before: Hours, after: Hours, uses: Iterable[Use], now: datetime) -> list[str]:
    """Tell what becomes of the running campaigns of a calendar next, where that is not as it was."""
    found: dict[tuple[_Turn, _Turn], list[str]] = {}
    for use in uses:
        if use.active and before is not after:
            zones = use.zones[:LOOKED_AT] or [""]
            turns = _turn(before, zones, now), _turn(after, zones, now)
            if turns[0] != turns[1]:
                found.setdefault(turns, []).append(use.campaign.name)
    return [_told(was, will, names, after.zone, now) for (was, will), names in found.items()]


def _told(was: _Turn, will: _Turn, names: list[str], zone: str, now: datetime) -> str:
    if will.state == "ended":
        text = ngettext("%(count)d campaign ends: the last date is over.",
                        "%(count)d campaigns end: the last date is over.", len(names))  # fmt: skip
    elif will.state == "never":
        text = ngettext("%(count)d campaign never opens again: nobody left can be called.",
                        "%(count)d campaigns never open again: nobody left can be called.", len(names))  # fmt: skip
    elif was.state == "open" and will.state == "closed":
        text = ngettext("%(count)d campaign falls asleep at once; it opens %(will)s.",
                        "%(count)d campaigns fall asleep at once; they open %(will)s.", len(names))  # fmt: skip
    elif was.state != "open" and will.state == "open":
        text = ngettext("%(count)d campaign opens and dials at once.",
                        "%(count)d campaigns open and dial at once.", len(names))  # fmt: skip
    elif will.state == "open":
        earlier = will.at is not None and (was.at is None or will.at < was.at)
        text = (
            ngettext("%(count)d campaign closes earlier: %(will)s instead of %(was)s.",
                     "%(count)d campaigns close earlier: %(will)s instead of %(was)s.", len(names))
            if earlier
            else ngettext("%(count)d campaign closes later: %(will)s instead of %(was)s.",
                          "%(count)d campaigns close later: %(will)s instead of %(was)s.", len(names))
        )  # fmt: skip
    elif was.at is None or (will.at is not None and will.at < was.at):
        text = ngettext("%(count)d campaign opens earlier: %(will)s instead of %(was)s.",
                        "%(count)d campaigns open earlier: %(will)s instead of %(was)s.", len(names))  # fmt: skip
    else:
        text = ngettext("%(count)d campaign opens later: %(will)s instead of %(was)s.",
                        "%(count)d campaigns open later: %(will)s instead of %(was)s.", len(names))  # fmt: skip
    never = _("in weeks") if was.state == "open" or will.state == "open" else _("never")
    told = text % {
        "count": len(names),
        "will": when(will.at, zone, now) if will.at else never,
        "was": when(was.at, zone, now) if was.at else never,
    }
    return f"{told} ({some(names, 5)})"


def mark(told: Sequence[str]) -> str:
    """Return what tells these consequences from others: who saves has been told them."""
    return sha256("\n".join(told).encode()).hexdigest()[:20] if told else ""


def open_minutes(week: Hours, now: datetime) -> int:
    """Count the open minutes of the next days by the calendar's own clock."""
    days = hours.local_days(week.zone, now, DAYS)
    open_ = hours.intervals(week, "", days[0].start, days[-1].end)
    return round(sum((closes - opens).total_seconds() for opens, closes in open_) / 60)
