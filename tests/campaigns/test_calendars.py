"""A calendar as the database has it is checked by whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from campaigns import actions
from campaigns.models import Calendar, CalendarRange, Holiday
from tests import factories


def refusal(calendar: Calendar) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as refused:
        actions.check_calendar(calendar.pk)
    return refused.value.message_dict


def test_a_sound_calendar_passes(db: None) -> None:
    actions.check_calendar(factories.make_calendar().pk)


def test_a_calendar_that_never_opens_is_refused(db: None) -> None:
    assert set(refusal(factories.make_calendar(weekly={}))) == {"ranges"}


def test_overlapping_ranges_are_refused(db: None) -> None:
    calendar = factories.make_calendar(weekly={2: [(540, 720), (700, 800)]})
    assert "overlap" in refusal(calendar)["ranges"][0]


def test_an_unknown_zone_is_refused(db: None) -> None:
    assert set(refusal(factories.make_calendar(time_zone="Europe/Atlantis"))) == {"time_zone"}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"start": 600, "end": 600}, "end"),
        ({"start": 600, "end": 1441}, "end"),
        ({"start": 600, "end": 700, "weekday": 8}, "weekday"),
    ],
)
def test_the_fields_of_a_range(db: None, fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CalendarRange(**{"calendar": factories.make_calendar(), "weekday": 1, **fields}).full_clean()
    assert wrong in refused.value.message_dict


def test_as_hours_reads_ranges_and_holidays_in_two_queries(db: None, django_assert_num_queries: Any) -> None:
    calendar = factories.make_calendar(weekly={1: [(540, 720), (780, 1080)], 7: [(600, 1440)]})
    Holiday.objects.create(calendar=calendar, date="2026-12-24", name="Eve", hours=[[540, 780]])
    with django_assert_num_queries(2):
        found = calendar.as_hours()
    assert found.weekly == (((540, 720), (780, 1080)), (), (), (), (), (), ((600, 1440),))
    assert found.holidays[0].ranges == ((540, 780),)
