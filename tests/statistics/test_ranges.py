"""Whiles and their hours on the wall clock of a zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
import pytz
from hypothesis import given
from hypothesis import strategies as st

from dialer.statistics.ranges import Preset, Range, Step, midnight, of_preset

NOW = datetime(2026, 5, 4, 22, 30, tzinfo=UTC)
"""Half past one of the fifth in Kyiv."""


@pytest.mark.parametrize(
    ("preset", "first", "after"),
    [
        (Preset.TODAY, "2026-05-05", "2026-05-06"),
        (Preset.YESTERDAY, "2026-05-04", "2026-05-05"),
        (Preset.LAST_7_DAYS, "2026-04-29", "2026-05-06"),
        (Preset.LAST_30_DAYS, "2026-04-06", "2026-05-06"),
        (Preset.THIS_MONTH, "2026-05-01", "2026-05-06"),
    ],
)
def test_a_preset_is_whole_days_of_the_zone(preset: str, first: str, after: str) -> None:
    found = of_preset(preset, "Europe/Kyiv", NOW)
    there = pytz.timezone("Europe/Kyiv")
    assert [f"{end.astimezone(there):%Y-%m-%d %H:%M}" for end in (found.start, found.end)] == [
        f"{first} 00:00", f"{after} 00:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("day", "zone", "begins"),
    [
        (date(2026, 3, 29), "Asia/Beirut", "2026-03-28T22:00:00+00:00"),  # midnight is skipped: it begins at one
        (date(2026, 11, 1), "America/Havana", "2026-11-01T04:00:00+00:00"),  # midnight comes twice: the first
        (date(2026, 7, 1), "Asia/Kathmandu", "2026-06-30T18:15:00+00:00"),
    ],
)
def test_a_day_begins_with_its_first_instant(day: date, zone: str, begins: str) -> None:
    assert midnight(day, zone) == datetime.fromisoformat(begins)


def test_a_change_of_half_an_hour_keeps_hours_full() -> None:
    zone = "Australia/Lord_Howe"
    day = Range(midnight(date(2026, 4, 5), zone), midnight(date(2026, 4, 6), zone), zone)
    clock = [hour.astimezone(pytz.timezone(zone)) for hour in day.hours()]
    assert day.end - day.start == timedelta(hours=24.5)
    assert [f"{hour:%H:%M}" for hour in clock[:5]] == ["00:00", "01:00", "01:30", "02:00", "03:00"]


def test_a_week_is_told_by_the_hour_and_a_month_by_the_day() -> None:
    assert of_preset(Preset.LAST_7_DAYS, "UTC", NOW).step == Step.HOUR
    month = of_preset(Preset.LAST_30_DAYS, "UTC", NOW)
    assert month.step == Step.DAY
    assert len(month.steps(Step.DAY)) == 30


@given(
    start=st.integers(0, 3 * 366 * 24 * 60).map(
        lambda minute: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    ),
    minutes=st.integers(1, 20_000),
    zone=st.sampled_from(
        [
            "UTC",
            "Europe/Kyiv",
            "America/New_York",
            "Asia/Kathmandu",
            "Australia/Lord_Howe",
            "Asia/Beirut",
            "Pacific/Apia",
        ]
    ),
)
def test_hours_and_days_cover_a_while_without_a_gap(start: datetime, minutes: int, zone: str) -> None:
    asked = Range(start, start + timedelta(minutes=minutes), zone)
    hours, days = asked.hours(), asked.steps(Step.DAY)
    for found, longest in ((hours, timedelta(hours=1)), (days, timedelta(hours=25))):
        assert found[0] <= start
        assert found[-1] < asked.end
        assert all(timedelta(0) < after - before <= longest for before, after in pairwise(found))
        assert asked.end - found[-1] <= longest
    assert {hour.astimezone(pytz.timezone(zone)).date() for hour in hours} >= {
        day.astimezone(pytz.timezone(zone)).date() for day in days
    }
