"""Calendars on the wall clocks of the world, against an oracle that looks at every minute."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import pytest
import pytz
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns import hours
from campaigns.hours import Holiday, Hours

ZONES = (
    "Europe/Kyiv",
    "America/Havana",  # changes at midnight
    "Asia/Beirut",  # changes at midnight
    "Pacific/Apia",
    "Australia/Lord_Howe",  # by half an hour
    "Asia/Kathmandu",  # 45 minutes
    "America/St_Johns",  # half an hour
    "Africa/Casablanca",
    "US/Eastern",  # an old name
    "UTC",
)
WORKDAYS = {weekday: [(9 * 60, 18 * 60)] for weekday in range(1, 6)}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def kyiv(**changes: object) -> Hours:
    return hours.make(**{"zone": "Europe/Kyiv", "weekly": WORKDAYS, **changes})  # type: ignore[arg-type]


def is_open_by_the_clock(calendar: Hours, zone: str, instant: datetime) -> bool:
    local = instant.astimezone(pytz.timezone(zone))
    return any(start <= local.hour * 60 + local.minute < end for start, end in calendar.on(local.date()))


@st.composite
def weeks(draw: st.DrawFn) -> dict[int, list[tuple[int, int]]]:
    week: dict[int, list[tuple[int, int]]] = {}
    for weekday in draw(st.sets(st.integers(1, 7), min_size=1)):
        edges = sorted(draw(st.sets(st.integers(0, 1440), min_size=2, max_size=4)))
        week[weekday] = list(zip(edges[::2], edges[1::2], strict=False))
    return week


@st.composite
def instants_near_a_change(draw: st.DrawFn, zone: str) -> datetime:
    changes = [c for c in getattr(pytz.timezone(zone), "_utc_transition_times", []) if 1990 < c.year < 2037]
    base = draw(st.sampled_from(changes)) if changes else datetime(2026, 5, 1, tzinfo=UTC)
    return base.replace(tzinfo=UTC) + timedelta(seconds=draw(st.integers(-3 * 86400, 86400)))


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(ZONES), weeks())
def test_the_next_opening_and_closing_are_true_instants_across_daylight_saving(
    data: st.DataObject, zone: str, week: dict[int, list[tuple[int, int]]]
) -> None:
    instant = data.draw(instants_near_a_change(zone))
    calendar = hours.make(zone=zone, weekly=week)
    open_now = is_open_by_the_clock(calendar, zone, instant)
    assert hours.is_open(calendar, "", instant) == open_now
    following = instant
    while is_open_by_the_clock(calendar, zone, following) == open_now and following < instant + timedelta(days=9):
        following = following.replace(second=0, microsecond=0) + timedelta(minutes=1)
    if open_now:
        assert hours.next_opening(calendar, "", instant) == instant
        if following < instant + timedelta(days=8):
            assert hours.open_until(calendar, "", instant) == following
    else:
        assert hours.next_opening(calendar, "", instant) == following


@st.composite
def holidays_near(draw: st.DrawFn, day: date) -> list[Holiday]:
    ranges = st.sampled_from([(), ((0, 1440),), ((600, 720), (1380, 1440)), ((0, 150),)])
    several = st.builds(Holiday, st.integers(-3, 3).map(lambda days: day + timedelta(days)), st.booleans(), ranges)
    return draw(st.lists(several, max_size=4, unique_by=lambda holiday: (holiday.date, holiday.yearly)))


@settings(max_examples=100, deadline=None)
@given(st.data(), st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True), weeks())
def test_all_candidate_zones_are_open_with_their_holidays_and_dates_exactly_when_each_clock_says_so(
    data: st.DataObject, zones: list[str], week: dict[int, list[tuple[int, int]]]
) -> None:
    instant = data.draw(instants_near_a_change(zones[0]))
    holidays = data.draw(holidays_near(instant.date()))
    first = data.draw(st.sampled_from([None, instant.date(), instant.date() + timedelta(days=1)]))
    last = data.draw(st.sampled_from([None, instant.date() + timedelta(days=1), instant.date() + timedelta(days=2)]))
    calendar = hours.make(zone="UTC", weekly=week, holidays=holidays, first_date=first, last_date=last)
    joined = "|".join(zones)

    def ranges_on(day: date) -> Iterable[tuple[int, int]]:
        if (first and day < first) or (last and day > last):
            return ()
        dated = [holiday for holiday in holidays if holiday.date == day and not holiday.yearly]
        yearly = [
            holiday for holiday in holidays
            if holiday.yearly and (holiday.date.month, holiday.date.day) == (day.month, day.day)
        ]  # fmt: skip
        return (dated or yearly)[0].ranges if dated or yearly else week.get(day.isoweekday(), ())

    def all_open(moment: datetime) -> bool:
        clocks = [moment.astimezone(pytz.timezone(zone)) for zone in zones]
        return all(
            any(start <= clock.hour * 60 + clock.minute < end for start, end in ranges_on(clock.date()))
            for clock in clocks
        )

    open_now, limit = all_open(instant), instant + timedelta(days=2)
    assert hours.is_open(calendar, joined, instant) == open_now
    following = instant
    while all_open(following) == open_now and following < limit:
        following = following.replace(second=0, microsecond=0) + timedelta(minutes=1)
    opening, closing = hours.next_opening(calendar, joined, instant), hours.open_until(calendar, joined, instant)
    answer = closing if open_now else opening
    assert (opening if open_now else closing) == instant
    if following < limit:
        assert answer == following
    else:
        assert answer is None or answer >= limit - timedelta(minutes=1)


def test_hours_are_half_open_to_the_minute() -> None:
    calendar = kyiv()
    assert not hours.is_open(calendar, "", at("2026-11-23 06:59:59"))
    assert hours.is_open(calendar, "", at("2026-11-23 07:00:00"))
    assert hours.is_open(calendar, "", at("2026-11-23 15:59:59"))
    assert not hours.is_open(calendar, "", at("2026-11-23 16:00:00"))


def test_several_ranges_a_day_and_24_00_as_an_end() -> None:
    calendar = hours.make(zone="UTC", weekly={1: [(0, 60), (1380, 1440)], 2: [(0, 30)]})
    assert hours.is_open(calendar, "", at("2026-11-23 23:59:30"))
    assert hours.open_until(calendar, "", at("2026-11-23 23:00:00")) == at("2026-11-24 00:30:00")
    assert not hours.is_open(calendar, "", at("2026-11-23 01:00:00"))


def test_nothing_is_open_in_the_hour_that_spring_leaves_out() -> None:
    calendar = hours.make(zone="Europe/Kyiv", weekly={7: [(180, 240)]})  # 03:00-04:00 does not exist on 29 March 2026
    opening = hours.next_opening(calendar, "", at("2026-03-28 00:00:00"))
    assert opening == at("2026-04-05 00:00:00")


def test_the_hour_that_autumn_repeats_is_open_twice() -> None:
    calendar = hours.make(zone="Europe/Kyiv", weekly={7: [(180, 240)]})
    assert hours.is_open(calendar, "", at("2026-10-25 00:30:00"))
    assert hours.is_open(calendar, "", at("2026-10-25 01:30:00"))
    assert hours.open_until(calendar, "", at("2026-10-25 00:30:00")) == at("2026-10-25 02:00:00")


def test_a_subscriber_in_another_zone_is_called_by_his_own_wall_clock() -> None:
    calendar = kyiv()
    morning_in_kyiv = at("2026-11-23 08:00:00")
    assert hours.is_open(calendar, "", morning_in_kyiv)
    assert not hours.is_open(calendar, "America/New_York", morning_in_kyiv)
    assert hours.next_opening(calendar, "America/New_York", morning_in_kyiv) == at("2026-11-23 14:00:00")


def test_of_several_candidate_zones_all_must_be_open() -> None:
    calendar = kyiv()
    both = "America/New_York|Europe/Kyiv"
    assert hours.next_opening(calendar, both, at("2026-11-23 08:00:00")) == at("2026-11-23 14:00:00")
    assert hours.open_until(calendar, both, at("2026-11-23 14:00:00")) == at("2026-11-23 16:00:00")


def test_candidate_zones_whose_hours_never_meet_have_no_opening() -> None:
    calendar = hours.make(zone="UTC", weekly={1: [(600, 660)]})
    assert hours.next_opening(calendar, "Asia/Tokyo|America/New_York", at("2026-11-23 08:00:00")) is None


def test_a_holiday_is_closed_all_day_and_a_short_day_has_hours_of_its_own() -> None:
    calendar = kyiv(holidays=[Holiday(date(2026, 11, 23)), Holiday(date(2026, 11, 24), ranges=((600, 720),))])
    assert hours.next_opening(calendar, "", at("2026-11-23 08:00:00")) == at("2026-11-24 08:00:00")
    assert hours.open_until(calendar, "", at("2026-11-24 08:00:00")) == at("2026-11-24 10:00:00")


def test_a_holiday_on_a_closed_weekday_opens_it() -> None:
    calendar = kyiv(holidays=[Holiday(date(2026, 11, 22), ranges=((600, 720),))])
    assert hours.is_open(calendar, "", at("2026-11-22 08:30:00"))


def test_a_yearly_holiday_returns_and_one_of_that_very_year_beats_it() -> None:
    calendar = kyiv(
        holidays=[Holiday(date(2020, 8, 24), yearly=True), Holiday(date(2026, 8, 24), ranges=((600, 720),))]
    )
    assert not hours.is_open(calendar, "", at("2027-08-24 08:00:00"))
    assert hours.is_open(calendar, "", at("2026-08-24 08:00:00"))


def test_a_calendar_open_on_29_february_alone_waits_for_the_leap_year() -> None:
    calendar = hours.make(
        zone="UTC", weekly={}, holidays=[Holiday(date(2024, 2, 29), yearly=True, ranges=((600, 660),))]
    )
    assert hours.validate(calendar) == {}
    assert hours.next_opening(calendar, "", at("2026-01-01 00:00:00")) == at("2028-02-29 10:00:00")
    assert hours.next_opening(calendar, "", at("2096-03-01 00:00:00")) == at("2104-02-29 10:00:00")


EVERY_DATE = [date(2024, 1, 1) + timedelta(days=offset) for offset in range(366)]
LEAP_DAY = Holiday(date(2024, 2, 29), yearly=True, ranges=((600, 660),))


@pytest.mark.parametrize(
    ("changes", "instant", "opening"),
    [
        ({"weekly": WORKDAYS, "first_date": date(2039, 1, 3)}, "2026-11-23 08:00:00", "2039-01-03 09:00:00"),
        (
            {"weekly": {}, "holidays": [Holiday(date(2040, 1, 2), ranges=((600, 660),))]},
            "2026-11-23 08:00:00", "2040-01-02 10:00:00",
        ),
        (
            {"weekly": {}, "holidays": [LEAP_DAY, Holiday(date(2096, 2, 29))]},
            "2092-03-01 00:00:00", "2104-02-29 10:00:00",
        ),
        (
            {
                "weekly": {1: [(600, 660)]},
                "holidays": [Holiday(day, yearly=True) for day in EVERY_DATE if day != LEAP_DAY.date],
            },
            "2026-11-23 08:00:00", "2044-02-29 10:00:00",
        ),
    ],
    ids=["first_date", "short_day", "leap_day_closed_once", "leap_day_on_a_monday"],
)  # fmt: skip
def test_an_opening_is_found_however_many_years_away(changes: dict[str, object], instant: str, opening: str) -> None:
    calendar = kyiv(zone="UTC", **changes)
    assert hours.validate(calendar) == {}
    assert hours.next_opening(calendar, "", at(instant)) == at(opening)


def test_a_calendar_of_dated_short_days_alone_has_no_opening_behind_the_last() -> None:
    calendar = kyiv(weekly={}, holidays=[Holiday(date(2026, 11, 23), ranges=((600, 660),))])
    assert hours.next_opening(calendar, "", at("2026-11-23 09:00:00")) is None


def test_before_the_first_date_it_is_closed_until_then() -> None:
    calendar = kyiv(first_date=date(2026, 12, 1))
    assert hours.next_opening(calendar, "", at("2026-11-23 08:00:00")) == at("2026-12-01 07:00:00")


def test_it_expires_when_the_last_date_is_over_in_its_own_zone() -> None:
    calendar = kyiv(last_date=date(2026, 11, 23))
    assert not hours.has_expired(calendar, at("2026-11-23 21:59:59"))
    assert hours.has_expired(calendar, at("2026-11-23 22:00:00"))
    assert hours.next_opening(calendar, "", at("2026-11-23 16:00:00")) is None


def test_the_dates_are_read_on_the_subscribers_wall_clock() -> None:
    calendar = hours.make(
        zone="Europe/Kyiv", weekly={d: [(0, 1440)] for d in range(1, 8)}, last_date=date(2026, 11, 23)
    )
    over_in_tokyo = at("2026-11-23 15:00:00")
    assert hours.is_open(calendar, "", over_in_tokyo)
    assert not hours.is_open(calendar, "Asia/Tokyo", over_in_tokyo)


def test_a_date_that_a_zone_skipped_is_never_open() -> None:
    calendar = hours.make(zone="Pacific/Apia", weekly={}, holidays=[Holiday(date(2011, 12, 30), ranges=((0, 1440),))])
    assert hours.next_opening(calendar, "", at("2011-12-28 00:00:00")) is None


def test_a_calendar_that_is_always_open_has_no_end() -> None:
    calendar = hours.make(zone="UTC", weekly={weekday: [(0, 1440)] for weekday in range(1, 8)})
    assert hours.open_until(calendar, "", at("2026-11-23 08:00:00")) is None


def test_an_answer_that_was_kept_is_not_given_for_another_instant() -> None:
    calendar = kyiv()
    saturday, friday = at("2026-11-28 08:00:00"), at("2026-11-27 08:00:00")
    assert hours.next_opening(calendar, "", saturday) == at("2026-11-30 07:00:00")
    assert hours.next_opening(calendar, "", friday) == friday
    assert hours.next_opening(calendar, "", at("2026-11-30 16:30:00")) == at("2026-12-01 07:00:00")


@pytest.mark.parametrize(
    ("changes", "name", "part"),
    [
        ({"zone": "Europe/Nowhere"}, "time_zone", "IANA"),
        ({"weekly": {}}, "ranges", "never opens"),
        ({"weekly": {1: [(600, 700), (650, 800)]}}, "ranges", "overlap"),
        ({"weekly": {1: [(700, 600)]}}, "ranges", "forward"),
        ({"weekly": {1: [(0, 1441)]}}, "ranges", "forward"),
        ({"first_date": date(2026, 2, 1), "last_date": date(2026, 1, 1)}, "last_date", "before"),
        ({"first_date": date(2026, 11, 21), "last_date": date(2026, 11, 22)}, "ranges", "never opens"),
        ({"first_date": date(9999, 12, 31)}, "ranges", "never opens"),
        ({"holidays": [Holiday(day, yearly=True) for day in EVERY_DATE]}, "ranges", "never opens"),
        ({"holidays": [Holiday(date(2026, 1, 1), True), Holiday(date(2025, 1, 1), True)]}, "holidays", "same date"),
        ({"holidays": [Holiday(date(2026, 1, 1), ranges=((0, 60), (30, 90)))]}, "holidays", "overlap"),
    ],
)
def test_a_calendar_that_breaks_a_rule_is_refused_at_its_field(
    changes: dict[str, object], name: str, part: str
) -> None:
    assert part in " ".join(hours.validate(kyiv(**changes))[name])


@pytest.mark.parametrize("changes", [{}, {"last_date": date(9999, 12, 31)}, {"last_date": date(2020, 1, 1)}])
def test_a_good_calendar_has_no_faults(changes: dict[str, object]) -> None:
    assert hours.validate(kyiv(**changes)) == {}
