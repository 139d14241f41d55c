"""The pages of do-not-call numbers and of exports: who may, what they find, and what their buttons do."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from dialer import clock
from members import actions
from members.models import DoNotCall
from tests.factories import make_attempt, make_campaign, make_member, make_operator, make_route

pytestmark = pytest.mark.django_db


def person(*rights: str) -> Client:
    """Return a member of the staff with some rights alone."""
    user = User.objects.create_user("trainee", is_staff=True)
    for right in rights:
        app, codename = right.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client = Client()
    client.force_login(user)
    return client


def text_of(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode("utf-8-sig")


def numbers_shown(answer: Any) -> list[str]:
    return [entry.digits for entry in answer.context["entries"]]


# --- do not call ------------------------------------------------------------------------------------------------


def test_a_number_is_added_for_every_campaign_or_one_until_an_instant_in_the_time_of_who_adds_it(
    supervisor: Client,
) -> None:
    campaign = make_campaign()
    given = {"digits": "+38 (067) 123-45-67", "campaign": "", "expire_at": "", "reason": "Asked by phone", "zone": ""}
    answer = supervisor.post("/do-not-call/", given, follow=True)
    assert answer.redirect_chain == [("/do-not-call/", 302)]
    assert b"380671234567 is on the list." in answer.content
    until = {"digits": "0501112233", "campaign": campaign.pk, "expire_at": "2030-01-31T12:00", "zone": "Europe/Kyiv"}
    supervisor.post("/do-not-call/", until)
    everywhere, one = DoNotCall.objects.order_by("pk")
    assert (everywhere.digits, everywhere.campaign, everywhere.reason) == ("380671234567", None, "Asked by phone")
    assert (one.campaign, one.expire_at) == (campaign, datetime(2030, 1, 31, 10, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"digits": ""}, "This field is required."),
        ({"digits": "many"}, "many"),
        ({"digits": "0671234567", "expire_at": "2020-01-01T00:00"}, "This instant has passed."),
        ({"digits": "380671111111"}, "This number is on the list already."),
        ({"digits": "0671234567", "campaign": "12345"}, "Select a valid choice."),
    ],
)
def test_what_is_wrong_is_told_at_the_field_and_what_was_typed_stays(
    supervisor: Client, given: dict[str, str], told: str
) -> None:
    actions.add_do_not_call("380671111111")
    answer = supervisor.post("/do-not-call/", {"reason": "typed long", **given})
    assert answer.status_code == 400
    page = answer.content.decode()
    assert told in page
    assert 'value="typed long"' in page
    assert DoNotCall.objects.count() == 1


def test_numbers_are_found_by_their_beginning_or_end_and_by_list(supervisor: Client) -> None:
    campaign = make_campaign()
    actions.add_do_not_call("380671234567")
    actions.add_do_not_call("380501112233", campaign)
    found = {
        query: numbers_shown(supervisor.get(f"/do-not-call/{query}"))
        for query in (
            "",
            "?q=38067",
            "?q=2233",
            "?q=%2B38 050",
            "?q=1234",
            "?q=name",
            "?for=every",
            f"?for={campaign.pk}",
        )
    }
    assert found == {
        "": ["380501112233", "380671234567"], "?q=38067": ["380671234567"], "?q=2233": ["380501112233"],
        "?q=%2B38 050": ["380501112233"], "?q=1234": [], "?q=name": [], "?for=every": ["380671234567"],
        f"?for={campaign.pk}": ["380501112233"],
    }  # fmt: skip


def test_a_long_list_goes_on_at_older_entries_and_keeps_what_was_asked(supervisor: Client) -> None:
    now = clock.now()
    DoNotCall.objects.bulk_create(DoNotCall(digits=f"38067{n:07}", created_at=now) for n in range(150))
    first = supervisor.get("/do-not-call/?q=38067")
    second = supervisor.get("/do-not-call/" + first.context["next_url"])
    assert len(numbers_shown(first)) == 100
    assert len(numbers_shown(second)) == 50
    assert not set(numbers_shown(first)) & set(numbers_shown(second))
    assert second.context["next_url"] is None
    assert second.context["q"] == "38067"


def test_an_entry_whose_time_is_over_says_so(supervisor: Client) -> None:
    old = clock.now() - timedelta(days=2)
    DoNotCall.objects.create(digits="380671234567", created_at=old, expire_at=old)
    assert b'<tr class="is-over">' in supervisor.get("/do-not-call/").content


def test_a_removed_number_may_be_called_again_and_one_stays_where_one_was(supervisor: Client) -> None:
    entry = actions.add_do_not_call("380671234567")
    answer = supervisor.post(f"/do-not-call/{entry.pk}/remove", {"back": "/do-not-call/?q=38"}, follow=True)
    assert answer.redirect_chain[0][0] == "/do-not-call/?q=38"
    assert b"380671234567 is off the list" in answer.content
    assert not DoNotCall.objects.exists()
    assert supervisor.post(f"/do-not-call/{entry.pk}/remove").status_code == 404


def test_nobody_is_led_to_another_site(supervisor: Client) -> None:
    entry = actions.add_do_not_call("380671234567")
    answer = supervisor.post(f"/do-not-call/{entry.pk}/remove", {"back": "https://example.org/"})
    assert answer["Location"] == "/do-not-call/"


def test_each_right_opens_its_part_of_the_list() -> None:
    entry = actions.add_do_not_call("380671234567")
    looks = person("members.view_donotcall")
    page = looks.get("/do-not-call/").content
    assert b"380671234567" in page
    assert b"Add a number" not in page
    assert b"Remove 380671234567" not in page
    assert looks.post("/do-not-call/", {"digits": "0501112233"}).status_code == 403
    assert looks.post(f"/do-not-call/{entry.pk}/remove").status_code == 403
    assert DoNotCall.objects.count() == 1


def test_the_pages_are_for_supervisors_alone() -> None:
    campaign = make_campaign()
    agent = Client()
    agent.force_login(User.objects.create_user("agent"))
    for path in ("/do-not-call/", f"/campaigns/{campaign.pk}/export/"):
        assert Client().get(path)["Location"] == f"/login/?next={path}"
        assert agent.get(path).status_code == 403


# --- exports ----------------------------------------------------------------------------------------------------


def test_subscribers_are_counted_as_one_chooses_and_exported_with_the_chosen_columns(supervisor: Client) -> None:
    campaign = make_campaign()
    make_member(campaign, ["+380501112233", "+380671234567"], name="Olena", variables={"debt": 200})
    make_member(campaign, ["+380501112244"], name="Taras")
    make_member(make_campaign(), ["+380501112255"], name="Olena of another campaign")
    path = f"/campaigns/{campaign.pk}/export/"
    assert supervisor.get(path).context["found"] == 2
    asked = {"format": "csv", "zone": "Europe/Kyiv", "search": "ole", "columns": ["name", "state"]}
    assert supervisor.get(path, asked).context["found"] == 1
    answer = supervisor.get(path, {**asked, "more": "number_2, var:debt", "file": "1"})
    assert "attachment" in answer["Content-Disposition"]
    assert list(csv.DictReader(io.StringIO(text_of(answer)))) == [
        {"name": "Olena", "state": "waiting", "number_2": "+380671234567", "var:debt": "200"}
    ]


def test_attempts_as_a_workbook(supervisor: Client) -> None:
    make_route()
    campaign = make_campaign()
    attempt = make_attempt(make_member(campaign, ["+380501112233"]), make_operator(campaign))
    asked = {"what": "attempts", "format": "xlsx", "zone": "UTC", "columns": ["attempt", "number"]}
    path = f"/campaigns/{campaign.pk}/export/"
    assert supervisor.get(path, {**asked, "live": "no"}).context["found"] == 0
    answer: Any = supervisor.get(path, {**asked, "live": "yes", "file": "1"})
    sheet = openpyxl.load_workbook(io.BytesIO(b"".join(answer.streaming_content))).worksheets[0]
    assert list(sheet.values) == [("attempt", "number"), (attempt.pk, "380501112233")]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"columns": []}, "Choose at least one column."),
        ({"columns": ["name"], "more": "numbr_1"}, "There is no column “numbr_1”."),
        ({"columns": ["name"], "zone": "Kyiv"}, "“Kyiv” is not a time zone."),
        ({"columns": ["name"], "ended_from": "yesterday"}, "Enter a valid date/time."),
    ],
)
def test_what_cannot_be_exported_is_told_on_the_page(supervisor: Client, asked: dict[str, Any], told: str) -> None:
    campaign = make_campaign()
    query = {"format": "csv", "zone": "UTC", "file": "1", **asked}
    answer = supervisor.get(f"/campaigns/{campaign.pk}/export/", query)
    assert answer.status_code == 400
    assert told in answer.content.decode()


def test_the_bounds_of_dates_are_on_the_wall_clock_of_the_chosen_zone(supervisor: Client) -> None:
    campaign = make_campaign()
    member = make_member(campaign, ["+380501112233"])
    actions.end_member(member)
    member.refresh_from_db()
    assert member.ended_at
    before = (member.ended_at + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    path = f"/campaigns/{campaign.pk}/export/"
    asked = {"format": "csv", "columns": ["name"], "ended_before": before}
    assert supervisor.get(path, {**asked, "zone": "UTC"}).context["found"] == 1
    assert supervisor.get(path, {**asked, "zone": "Europe/Kyiv"}).context["found"] == 0


def test_attempts_are_for_those_who_may_see_them() -> None:
    campaign = make_campaign()
    client = person("members.view_member")
    assert client.get(f"/campaigns/{campaign.pk}/export/").status_code == 200
    assert client.get(f"/campaigns/{campaign.pk}/export/?what=attempts").status_code == 403
