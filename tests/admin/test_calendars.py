"""A calendar is set up in the admin; what is wrong with it is told at the field."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.urls import reverse

from campaigns import actions
from campaigns.models import Calendar, CalendarRange
from tests import factories
from tests.admin.conftest import Browser, faults

ADD = reverse("admin:campaigns_calendar_add")
MONDAY = {"name": "Office", "time_zone": "Europe/Kyiv", "ranges__0__start": "09:00", "ranges__0__end": "18:00"}


def change(calendar: Calendar) -> str:
    return reverse("admin:campaigns_calendar_change", args=[calendar.pk])


def test_a_new_calendar_has_a_row_for_each_weekday_and_keeps_those_with_times(browser: Browser) -> None:
    friday = {"ranges__4__start": "9", "ranges__4__end": "24:00"}
    assert browser.send(ADD, **MONDAY, **friday).status_code == 302

    calendar = Calendar.objects.get()
    assert list(calendar.ranges.values_list("weekday", "start", "end")) == [(1, 540, 1080), (5, 540, 1440)]
    assert browser.client.get(reverse("admin:campaigns_calendar_changelist")).status_code == 200


def test_holidays_with_and_without_hours(browser: Browser) -> None:
    christmas = browser.add_row(ADD, "holidays", date="2026-12-25", name="Christmas", yearly="on", hours="")
    assert browser.send(ADD, **MONDAY, **christmas).status_code == 302
    calendar = Calendar.objects.get()
    eve = browser.add_row(change(calendar), "holidays", date="2026-12-24", name="Eve", hours="09:00-13:00, 14:00-15:00")
    assert browser.send(change(calendar), **eve).status_code == 302

    assert list(calendar.holidays.values_list("date", "yearly", "hours")) == [
        (date(2026, 12, 24), False, [[540, 780], [840, 900]]),
        (date(2026, 12, 25), True, []),
    ]


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"ranges__0__start": "", "ranges__0__end": ""}, "ranges", "never opens"),
        ({"time_zone": "Europe/Atlantis"}, "time_zone", "not a time zone"),
        ({"first_date": "2026-05-02", "last_date": "2026-05-01"}, "last_date", "before the first"),
        ({"first_date": "2026-05-02", "last_date": "2026-05-03"}, "ranges", "never opens"),
        ({"ranges__0__start": "18:00", "ranges__0__end": "09:00"}, "ranges-0-end", "later than"),
        ({"ranges__0__start": "18:00", "ranges__0__end": "18:00"}, "ranges-0-end", "later than"),
        ({"ranges__0__end": "24:01"}, "ranges-0-end", "not a time of day"),
        ({"ranges__0__start": "nine"}, "ranges-0-start", "not a time of day"),
        ({"ranges__0__end": ""}, "ranges-0-end", "required"),
        ({"ranges__1__weekday": "1", "ranges__1__start": "17:59", "ranges__1__end": "20:00"},
         "ranges-1-start", "Monday 09:00–18:00 and Monday 17:59–20:00 overlap"),
        ({"ranges__1__weekday": "1", "ranges__1__start": "10:00", "ranges__1__end": "11:00"},
         "ranges-1-start", "overlap"),
        ({"ranges__0__weekday": "8"}, "ranges-0-weekday", "valid choice"),
        ({"name": ""}, "name", "required"),
    ],
)  # fmt: skip
def test_a_bad_calendar_is_refused_at_the_field(
    browser: Browser, changes: dict[str, Any], field: str, told: str
) -> None:
    found = faults(browser.send(ADD, **MONDAY | changes))

    assert list(found) == [field]
    assert told in found[field][0]
    assert not Calendar.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ({"hours": "09:00-13:00, 12:00-14:00"}, "holidays-0-hours", "overlap"),
        ({"hours": "9 to 13"}, "holidays-0-hours", "not a range"),
        ({"hours": "13:00-09:00"}, "holidays-0-hours", "ends before it starts"),
        ({"date": "2026-02-30"}, "holidays-0-date", "valid date"),
    ],
)
def test_a_bad_holiday_is_refused_at_the_field(browser: Browser, fields: dict[str, str], field: str, told: str) -> None:
    row = browser.add_row(ADD, "holidays", **{"date": "2026-05-01", "name": "May Day", "hours": "", **fields})
    found = faults(browser.send(ADD, **MONDAY, **row))

    assert list(found) == [field]
    assert told in found[field][0]


def test_two_holidays_on_one_day_of_the_year_are_refused(browser: Browser) -> None:
    first = browser.add_row(ADD, "holidays", date="2026-12-25", name="Christmas", yearly="on")
    second = {"holidays-1-date": "2027-12-25", "holidays-1-name": "Again", "holidays-1-yearly": "on"}
    found = faults(browser.send(ADD, **MONDAY, **first | second | {"holidays-TOTAL_FORMS": 2}))
    assert list(found) == ["holidays-1-date"]


def test_a_calendar_that_only_a_holiday_opens_is_no_fault(browser: Browser) -> None:
    day = browser.add_row(ADD, "holidays", date="2026-05-01", name="Election", hours="09:00-20:00")
    assert browser.send(ADD, name="Once", time_zone="UTC", **day).status_code == 302


def test_taking_the_last_hours_away_is_refused(browser: Browser) -> None:
    calendar = factories.make_calendar(weekly={1: [(540, 1080)]})
    found = faults(browser.send(change(calendar), ranges__0__DELETE="on"))
    assert list(found) == ["ranges"]
    assert calendar.ranges.exists()


def test_hours_that_change_places_with_deleted_ones_are_no_overlap(browser: Browser) -> None:
    calendar = factories.make_calendar(weekly={1: [(540, 1080)]})
    row = browser.add_row(change(calendar), "ranges", weekday="1", start="10:00", end="12:00")
    assert browser.send(change(calendar), ranges__0__DELETE="on", **row).status_code == 302
    assert list(calendar.ranges.values_list("start", "end")) == [(600, 720)]


def test_hours_that_somebody_else_added_meanwhile_count(browser: Browser) -> None:
    calendar = factories.make_calendar(weekly={1: [(540, 720)]})
    row = browser.add_row(change(calendar), "ranges", weekday="1", start="13:00", end="18:00")
    sent = browser.form(change(calendar)) | row
    CalendarRange.objects.create(calendar=calendar, weekday=1, start=14 * 60, end=15 * 60)

    found = faults(browser.client.post(change(calendar), sent))

    assert list(found) == ["ranges-1-end"], "at the one of the two that is on the page"


def test_a_calendar_is_locked_while_it_is_saved(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    calendar = factories.make_calendar()
    locked: list[int] = []
    lock = actions.lock_calendar

    def note(calendar_id: int) -> Calendar:
        locked.append(calendar_id)
        return lock(calendar_id)

    monkeypatch.setattr(actions, "lock_calendar", note)

    browser.client.get(change(calendar))
    assert locked == []
    assert browser.send(change(calendar), name="Renamed").status_code == 302
    assert set(locked) == {calendar.pk}


def test_a_calendar_that_a_campaign_uses_cannot_be_deleted(browser: Browser) -> None:
    calendar = factories.make_campaign().calendar
    assert browser.client.post(reverse("admin:campaigns_calendar_delete", args=[calendar.pk])).status_code == 403

    unused = factories.make_calendar()
    response = browser.client.post(reverse("admin:campaigns_calendar_delete", args=[unused.pk]), {"post": "yes"})
    assert response.status_code == 302
    assert list(Calendar.objects.all()) == [calendar]
