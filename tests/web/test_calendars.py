"""Pages of calendars: what they show and save, to whom, what they warn of, and what two who change one are told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from campaigns import hours
from campaigns.models import Calendar, Campaign, CampaignState, Holiday
from dialer.api.models import CampaignAccess
from dialer.web import calendar_forms, calendar_reading
from tests.factories import make_calendar, make_campaign, make_member, make_route

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
"""Noon in Kyiv, where the calendars are; a Monday."""
OFFICE = {weekday: [(540, 1080)] for weekday in range(1, 6)}
RIGHTS = ("view_calendar", "add_calendar", "change_calendar", "delete_calendar", "view_campaign")


@pytest.fixture(autouse=True)
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def office() -> Calendar:
    return make_calendar(weekly=OFFICE, name="Office")


def staff(*rights: str, campaigns: tuple[Campaign, ...] = ()) -> Client:
    """Return the client of one who is staff, with these rights, limited to these campaigns if any are given."""
    user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
    for codename in rights:
        user.user_permissions.add(Permission.objects.get(content_type__app_label="campaigns", codename=codename))
    CampaignAccess.objects.bulk_create(CampaignAccess(user=user, campaign=campaign) for campaign in campaigns)
    client = Client()
    client.force_login(user)
    return client


def sent(client: Client, calendar: Calendar | None, **changed: Any) -> dict[str, Any]:
    """Return what the page's form would send, as the page shows it."""
    page = client.get(f"/calendars/{calendar.pk}/" if calendar else "/calendars/new/")
    form, editor = page.context["form"], page.context["editor"]
    data: dict[str, Any] = {name: form[name].value() or "" for name in form.fields}
    for weekday in range(1, 8):
        data[f"day_{weekday}"] = re.search(
            rf'name="day_{weekday}" (?:value="([^"]*)")?', page.content.decode()
        ).group(1) or ""  # type: ignore[union-attr]  # fmt: skip
    days = editor.days
    data |= {"days-TOTAL_FORMS": len(days.forms), "days-INITIAL_FORMS": len(days.forms), "seen": editor.seen}
    for row in days.forms:
        for name in ("date", "name", "hours"):
            value = row[name].value()
            data[f"{row.prefix}-{name}"] = row.fields[name].prepare_value(value) if value else ""
        if row["yearly"].value():
            data[f"{row.prefix}-yearly"] = "on"
    return data | changed


def save(client: Client, calendar: Calendar | None, **changed: Any) -> Any:
    data = sent(client, calendar, **changed)
    return client.post(f"/calendars/{calendar.pk}/" if calendar else "/calendars/new/", data)


def week_of(calendar: Calendar) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for item in calendar.ranges.all():
        found.setdefault(item.weekday, []).append((item.start, item.end))
    return found


def preview(client: Client, calendar: Calendar, **changed: Any) -> str:
    answer = client.post(f"/calendars/{calendar.pk}/preview", sent(client, calendar, **changed))
    assert answer.status_code == 200
    return answer.content.decode()


# --- the list ---------------------------------------------------------------------------------------------------


def test_the_list_tells_how_each_stands(supervisor: Client, office: Calendar) -> None:
    make_campaign(office, name="Renewals")
    make_calendar(name="Ended", last_date=date(2026, 11, 1))
    make_calendar(name="Night", weekly={1: [(0, 360), (1320, 1440)], 6: [(600, 840)], 7: [(600, 840)]})
    page = supervisor.get("/calendars/").content.decode()
    assert "Mon–Fri 09:00–18:00" in page
    assert "closes today 18:00" in page
    assert "Renewals" in page
    assert "It ended in the past: its last date was 1 Nov 2026." in page
    assert "Mon 00:00–06:00, 22:00–24:00; Sat, Sun 10:00–14:00" in page
    assert "opens today 22:00" in page


def test_an_empty_list_tells_the_next_step(supervisor: Client) -> None:
    assert "Add the first calendar" in supervisor.get("/calendars/").content.decode()


def test_the_list_asks_the_same_of_many(supervisor: Client, office: Calendar) -> None:
    make_route()
    make_member(make_campaign(office, state=CampaignState.RUNNING))
    with CaptureQueriesContext(connection, ) as few:  # fmt: skip
        supervisor.get("/calendars/")
    for _ in range(15):
        make_campaign(make_calendar(weekly=OFFICE), state=CampaignState.RUNNING)
    with CaptureQueriesContext(connection) as many:
        supervisor.get("/calendars/")
    assert len(many) <= len(few)


# --- who may ----------------------------------------------------------------------------------------------------


def test_it_is_for_those_who_may(office: Calendar) -> None:
    assert Client().get("/calendars/").status_code == 302
    for path in ("/calendars/", "/calendars/new/", f"/calendars/{office.pk}/", f"/calendars/{office.pk}/delete/"):
        assert staff().get(path).status_code == 403, path
    viewer = staff("view_calendar")
    page = viewer.get(f"/calendars/{office.pk}/")
    assert page.status_code == 200
    assert "You can see this calendar but not change it." in page.content.decode()
    assert "disabled" in page.content.decode()
    assert 'name="do" value="preset:office"' not in page.content.decode()
    assert save(viewer, office, name="Mine").status_code == 403
    assert viewer.post(f"/calendars/{office.pk}/preview", sent(viewer, office)).status_code == 403
    assert viewer.post(f"/calendars/{office.pk}/delete/").status_code == 403
    assert viewer.get("/calendars/new/").status_code == 403
    assert Calendar.objects.get().name == "Office"


def test_who_is_limited_changes_none_that_others_have(office: Calendar) -> None:
    his, other = make_campaign(office, name="His"), make_campaign(office, name="Foreign")
    limited = staff(*RIGHTS, campaigns=(his,))
    page = limited.get(f"/calendars/{office.pk}/").content.decode()
    assert "campaigns beyond yours have it, too" in page
    assert "Foreign" not in page
    assert "Foreign" not in limited.get("/calendars/").content.decode()
    assert save(limited, office, name="Mine").status_code == 403
    assert limited.post(f"/calendars/{office.pk}/preview", sent(limited, office)).status_code == 403
    other.delete()
    assert save(limited, office, name="Mine").status_code == 302
    office.refresh_from_db()
    assert office.name == "Mine"


# --- saving -----------------------------------------------------------------------------------------------------


def test_a_calendar_is_added(supervisor: Client) -> None:
    answer = save(
        supervisor, None, name="Nights", time_zone="America/New_York", first_date="2026-12-01", last_date="2027-03-31",
        day_1="22:00-24:00", day_2="00:00-06:07, 22:00-24:00", day_3="", day_4="", day_5="",
        **{"days-TOTAL_FORMS": 1, "days-0-date": "2026-12-24", "days-0-name": "Eve", "days-0-hours": "09:00-13:00"},
    )  # fmt: skip
    added = Calendar.objects.get()
    assert answer.url == f"/calendars/{added.pk}/"
    assert (added.name, added.time_zone, added.last_date) == ("Nights", "America/New_York", date(2027, 3, 31))
    assert week_of(added) == {1: [(1320, 1440)], 2: [(0, 367), (1320, 1440)]}
    assert added.holidays.values_list("date", "name", "hours").get() == (date(2026, 12, 24), "Eve", [[540, 780]])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": ""}, "This field is required."),
        ({"day_1": "9-25"}, "is not a time of day"),
        ({"day_1": "09:00-13:00, 12:00-14:00"}, "overlap"),
        ({"day_7": "22:00-06:00"}, "write 22:00-24:00 here and 00:00-06:00 on Monday"),
        ({"last_date": "2026-01-01", "first_date": "2026-02-01"}, "The last date is before the first date."),
        ({"time_zone": "Europe/Atlantis"}, "is not a time zone"),
        ({f"day_{weekday}": "" for weekday in range(1, 8)}, "This calendar never opens."),
        ({"days-TOTAL_FORMS": 1, "days-0-date": "2026-12-24", "days-0-name": ""}, "This field is required."),
        (
            {
                "days-TOTAL_FORMS": 2, "days-0-date": "2026-12-24", "days-0-name": "a", "days-0-yearly": "on",
                "days-1-date": "2027-12-24", "days-1-name": "b", "days-1-yearly": "on",
            },
            "This calendar has a holiday on that date already.",
        ),
        ({"seen": "forged"}, "This page is out of date. Load it again."),
    ],
)  # fmt: skip
def test_what_cannot_be_saved_says_why(
    supervisor: Client, office: Calendar, changed: dict[str, Any], told: str
) -> None:
    answer = save(supervisor, office, **changed)
    assert answer.status_code == 400
    assert told in answer.content.decode()
    office.refresh_from_db()
    assert (office.name, week_of(office), office.holidays.count()) == ("Office", OFFICE, 0)


def test_what_was_typed_stays_when_it_cannot_be_saved(supervisor: Client, office: Calendar) -> None:
    page = save(supervisor, office, name="New name", day_1="9-25", **{
        "days-TOTAL_FORMS": 1, "days-0-date": "2026-12-24", "days-0-name": "Eve",
    }).content.decode()  # fmt: skip
    assert 'value="New name"' in page
    assert 'value="9-25"' in page
    assert 'value="Eve"' in page


def test_a_special_day_is_changed_and_removed(supervisor: Client, office: Calendar) -> None:
    for day, name in ((date(2026, 12, 24), "Eve"), (date(2026, 12, 31), "Sylvester")):
        Holiday.objects.create(calendar=office, date=day, name=name)
    save(supervisor, office, **{"days-0-hours": "9-13", "days-1-DELETE": "on"})
    assert list(office.holidays.values_list("name", "hours")) == [("Eve", [[540, 780]])]


def test_buttons_shape_the_week_and_write_nothing(supervisor: Client, office: Calendar) -> None:
    week = supervisor.post(f"/calendars/{office.pk}/", sent(supervisor, office, do="preset:shop", name="x"))
    assert week.context["form"]["day_6"].value() == "09:00-20:00"
    assert week.context["form"]["name"].value() == "x"
    data = sent(supervisor, office, do="copy", copy_from="2", copy_to="weekend", day_2="10:05-11:07")
    week = supervisor.post(f"/calendars/{office.pk}/", data)
    assert [week.context["form"][f"day_{day}"].value() for day in (1, 2, 6, 7)] == [
        "09:00-18:00", "10:05-11:07", "10:05-11:07", "10:05-11:07",
    ]  # fmt: skip
    data = sent(supervisor, office, do="add", new_date="2026-12-24", new_name="Eve", new_yearly="on")
    added = supervisor.post(f"/calendars/{office.pk}/", data)
    assert [(row["date"].value(), row["yearly"].value()) for row in added.context["editor"].days] == [
        ("2026-12-24", True)
    ]
    assert week_of(office) == OFFICE
    assert office.holidays.count() == 0


# --- two who change one -----------------------------------------------------------------------------------------


def test_changes_of_two_are_both_kept(supervisor: Client, office: Calendar) -> None:
    Holiday.objects.create(calendar=office, date=date(2026, 12, 24), name="Eve")
    first = sent(supervisor, office, day_1="10:00-18:00")
    second = sent(supervisor, office, day_2="11:00-18:00", **{"days-0-hours": "09:00-12:00"})
    for data in (first, second):
        assert supervisor.post(f"/calendars/{office.pk}/", data).status_code == 302
    assert week_of(office)[1] == [(600, 1080)]
    assert week_of(office)[2] == [(660, 1080)]
    assert office.holidays.get().hours == [[540, 720]]


def test_what_both_changed_is_not_overwritten_silently(supervisor: Client, office: Calendar) -> None:
    Holiday.objects.create(calendar=office, date=date(2026, 12, 24), name="Eve")
    first = sent(supervisor, office, day_1="10:00-18:00", last_date="2027-05-01", **{"days-0-name": "Christmas Eve"})
    second = sent(supervisor, office, day_1="11:00-18:00", last_date="2027-06-01", **{"days-0-name": "Holy Eve"})
    assert supervisor.post(f"/calendars/{office.pk}/", first).status_code == 302
    answer = supervisor.post(f"/calendars/{office.pk}/", second)
    page = answer.content.decode()
    assert answer.status_code == 400
    for theirs in ("“10:00-18:00”", "“2027-05-01”", "“Christmas Eve, closed”"):
        assert f"Somebody else set this to {theirs}" in page
    assert week_of(office)[1] == [(600, 1080)]
    # Told of it, he may insist.
    second["seen"] = answer.context["editor"].seen
    assert supervisor.post(f"/calendars/{office.pk}/", second).status_code == 302
    assert week_of(office)[1] == [(660, 1080)]
    assert office.holidays.get().name == "Holy Eve"


# --- what a change does to running campaigns --------------------------------------------------------------------


def test_saving_tells_first_what_changes_for_running_campaigns(supervisor: Client, office: Calendar) -> None:
    for name in ("Renewals", "Survey"):
        make_campaign(office, name=name, state=CampaignState.RUNNING)
    make_campaign(office, name="Idle")
    answer = save(supervisor, office, day_1="09:00-16:00")
    page = answer.content.decode()
    assert "2 campaigns close earlier: today 16:00 instead of today 18:00. (Renewals, Survey)" in page
    assert "Not saved yet." in page
    assert week_of(office) == OFFICE
    assert save(supervisor, office, day_1="09:00-16:00", told=answer.context["told"]).status_code == 302
    assert week_of(office)[1] == [(540, 960)]


def test_what_was_told_of_another_change_does_not_count(supervisor: Client, office: Calendar) -> None:
    make_campaign(office, state=CampaignState.RUNNING)
    told = save(supervisor, office, day_1="09:00-16:00").context["told"]
    assert save(supervisor, office, day_1="", told=told).status_code == 200
    assert week_of(office) == OFFICE


@pytest.mark.parametrize(
    ("at", "changed", "told"),
    [
        (NOON, {"day_1": ""}, "1 campaign falls asleep at once; it opens tomorrow 09:00."),
        (NOON, {"last_date": "2026-11-22"}, "1 campaign ends: the last date is over."),
        (NOON, {"day_1": "09:00-20:00"}, "1 campaign closes later: today 20:00 instead of today 18:00."),
        (NOON + timedelta(hours=9), {"day_2": "08:00-18:00"},
         "1 campaign opens earlier: tomorrow 08:00 instead of tomorrow 09:00."),
        (NOON + timedelta(hours=9), {"day_2": ""}, "1 campaign opens later: Wed 25 Nov 09:00 instead of tomorrow"),
        (NOON + timedelta(hours=9), {"day_1": "09:00-24:00"}, "1 campaign opens and dials at once."),
        (NOON, {"day_3": "10:00-18:00"}, None),
    ],
)  # fmt: skip
def test_each_consequence_has_its_words(
    supervisor: Client, office: Calendar, now: Any, at: datetime, changed: dict[str, str], told: str | None
) -> None:
    make_campaign(office, state=CampaignState.SLEEPING)
    now.move_to(at)
    page = preview(supervisor, office, **changed)
    assert "When it is saved:" in page if told else "When it is saved:" not in page
    assert (told or "") in page


def test_consequences_go_by_the_zones_of_subscribers(supervisor: Client, office: Calendar) -> None:
    make_route()
    campaign = make_campaign(office, state=CampaignState.SLEEPING)
    make_member(campaign, zones="America/New_York")
    page = preview(supervisor, office, day_1="10:00-18:00")
    # Nine in New York is 16:00 in Kyiv.
    assert "1 campaign opens later: today 17:00 instead of today 16:00." in page


# --- warnings and the timeline ----------------------------------------------------------------------------------


def test_a_preview_writes_nothing_and_costs_little(supervisor: Client, office: Calendar) -> None:
    make_route()
    campaign = make_campaign(office, state=CampaignState.RUNNING)
    make_member(campaign, zones="America/New_York")
    data = sent(supervisor, office, day_1="10:00-18:00", name="Other")
    with CaptureQueriesContext(connection) as asked:
        supervisor.post(f"/calendars/{office.pk}/preview", data)
    assert not [query for query in asked if re.match("INSERT|UPDATE|DELETE", query["sql"])]
    assert len(asked) < 20
    assert week_of(office) == OFFICE


def test_a_preview_tells_what_cannot_be_read(supervisor: Client, office: Calendar) -> None:
    page = preview(supervisor, office, day_1="9-25")
    assert "This cannot be read yet:" in page
    assert "Monday: " in page


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({f"day_{weekday}": "" for weekday in range(1, 8)}, "This calendar never opens."),
        ({"last_date": "2026-11-22"}, "It ended in the past"),
        ({"last_date": "2026-11-30"}, "its last date, Mon 30 Nov, is in 7 days."),
        ({"last_date": "2026-11-23"}, "It expires today"),
        ({"last_date": "2026-12-24"}, None),
    ],
)
def test_warnings_of_dates(supervisor: Client, office: Calendar, changed: dict[str, str], told: str | None) -> None:
    page = preview(supervisor, office, **changed)
    assert (told in page) if told else ("alert-triangle" not in page)


def test_zones_that_are_never_inside_are_warned_of(supervisor: Client) -> None:
    make_route()
    narrow = make_calendar(weekly={1: [(540, 600)]})
    campaign = make_campaign(narrow, name="Far")
    make_member(campaign, zones="Asia/Tokyo|America/New_York")
    page = supervisor.get(f"/calendars/{narrow.pk}/").content.decode()
    assert "No subscriber of “Far” is ever inside these hours" in page
    assert "Asia/Tokyo + America/New York" in page
    make_member(campaign, zones="America/New_York")
    cache.clear()
    page = supervisor.get(f"/calendars/{narrow.pk}/").content.decode()
    assert "Some subscribers of “Far” are never inside these hours" in page


def test_a_change_of_the_clock_is_marked_and_warned_of(now: Any) -> None:
    calendar = make_calendar()
    now.move_to(datetime(2027, 3, 20, 10, 0, tzinfo=UTC))
    supervisor = staff(*RIGHTS)
    page = supervisor.get(f"/calendars/{calendar.pk}/")
    days = page.context["timeline"]["days"]
    assert [(day["date"], day["length"]) for day in days if day["length"]] == [(date(2027, 3, 28), "23 h")]
    assert "the clock is set forward in Europe/Kyiv: 03:00–04:00 of the working hours is left out" in (
        page.content.decode()
    )
    assert page.context["timeline"]["rows"][0]["total"] == "335:00"
    now.move_to(datetime(2027, 10, 20, 10, 0, tzinfo=UTC))
    supervisor = staff(*RIGHTS)
    page = supervisor.get(f"/calendars/{calendar.pk}/")
    assert [day["length"] for day in page.context["timeline"]["days"] if day["length"]] == ["25 h"]
    assert "03:00–04:00 of the working hours comes twice" in page.content.decode()


def test_the_timeline_shows_the_zones_of_subscribers_on_the_calendars_clock(
    supervisor: Client, office: Calendar
) -> None:
    make_route()
    campaign = make_campaign(office, name="World")
    zones = ["America/New_York", "Asia/Tokyo", "Asia/Dubai", "Europe/Paris", "Europe/Rome", "Europe/Oslo",
             "Europe/Riga", "Asia/Seoul", "Asia/Manila", "Asia/Almaty"]  # fmt: skip
    for zone in zones:
        make_member(campaign, zones=zone)
    page = supervisor.get(f"/calendars/{office.pk}/")
    found = page.context["timeline"]
    assert len(found["rows"]) == 1 + calendar_reading.ROWS
    assert found["more"] == 2
    assert "And 2 more zones." in page.content.decode()
    york = next(row for row in found["rows"] if row["zones"] == "America/New York")
    assert york["cells"][0]["told"] == "16:00–24:00"
    assert york["cells"][1]["told"] == "00:00–01:00, 16:00–24:00"
    assert york["apart"] == "−7:00"


# --- public holidays --------------------------------------------------------------------------------------------


def look_up(client: Client, calendar: Calendar, **asked: Any) -> Any:
    wish = {"import-country": "DE", "import-region": "", "import-year": 2027, "import-until": 2027, "do": "import"}
    return client.post(f"/calendars/{calendar.pk}/", sent(client, calendar, **{**wish, **asked}))


def test_public_holidays_are_looked_up_chosen_and_saved(supervisor: Client, office: Calendar) -> None:
    Holiday.objects.create(calendar=office, date=date(2020, 5, 1), name="Labour", yearly=True)
    found = look_up(supervisor, office).context["found"]
    named = {day.date: day for day in found}
    assert named[date(2027, 1, 1)].name == "New Year's Day"
    assert named[date(2027, 5, 1)].known
    assert date(2027, 1, 6) not in named
    bavarian = look_up(supervisor, office, **{"import-region": "BY"}).context["found"]
    assert date(2027, 1, 6) in {day.date for day in bavarian if not day.kind}

    taken = sent(supervisor, office, do="take", take=[named[date(2027, 1, 1)].value, named[date(2027, 5, 1)].value])
    page = supervisor.post(f"/calendars/{office.pk}/", taken)
    assert [(row["date"].value(), row["name"].value()) for row in page.context["editor"].days] == [
        ("2020-05-01", "Labour"), ("2027-01-01", "New Year's Day"),
    ]  # fmt: skip
    assert office.holidays.count() == 1
    data = sent(supervisor, office, **{"days-TOTAL_FORMS": 2, "days-1-date": "2027-01-01", "days-1-name": "New Year"})
    supervisor.post(f"/calendars/{office.pk}/", data)
    assert office.holidays.count() == 2


def test_days_that_are_worked_by_law_are_not_proposed(supervisor: Client, office: Calendar) -> None:
    page = look_up(supervisor, office, **{"import-country": "UA"})
    assert page.context["found"]
    assert not [day for day in page.context["found"] if not day.kind]
    assert "None of these is a day off for all there" in page.content.decode()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"import-country": "XX"}, "Select a valid choice."),
        ({"import-until": 2026}, "Not before the first year, and 10 years at most."),
        ({"import-until": 2099}, "Not before the first year, and 10 years at most."),
    ],
)
def test_a_look_up_says_what_is_wrong(supervisor: Client, office: Calendar, asked: Any, told: str) -> None:
    assert told in look_up(supervisor, office, **asked).content.decode()


def test_names_are_in_the_language_of_the_page(now: Any) -> None:
    form = {"import-country": "DE", "import-year": 2027, "import-until": 2027}
    with translation.override("uk"):
        asked = calendar_forms.ImportForm(form)
        assert asked.is_valid()
        assert asked.find([])[0].name == "Новий рік"


# --- deletion ---------------------------------------------------------------------------------------------------


def test_one_that_is_used_stays(supervisor: Client, office: Calendar) -> None:
    campaign = make_campaign(office, name="Renewals")
    page = supervisor.get(f"/calendars/{office.pk}/delete/").content.decode()
    assert "A campaign has this calendar, so it stays." in page
    assert "Renewals" in page
    supervisor.post(f"/calendars/{office.pk}/delete/")
    assert Calendar.objects.filter(pk=office.pk).exists()
    campaign.delete()
    assert supervisor.post(f"/calendars/{office.pk}/delete/")["Location"] == "/calendars/"
    assert not Calendar.objects.filter(pk=office.pk).exists()


def test_the_words_of_a_week() -> None:
    week = hours.make(zone="UTC", weekly={weekday: [(0, 1440)] for weekday in range(1, 8)})
    assert calendar_reading.week_words(week) == "Every day, around the clock"
    assert calendar_reading.week_words(hours.make(zone="UTC", weekly={})) == "No working hours"
    week = hours.make(zone="UTC", weekly={1: [(0, 60)], 3: [(0, 60)], 4: [(0, 60)]})
    assert calendar_reading.week_words(week) == "Mon 00:00–01:00; Wed, Thu 00:00–01:00"
