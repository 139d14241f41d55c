"""The page of a campaign's attempts: what its filters find, its pages, the way to a file, and who may see it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign
from dialer.api.models import CampaignAccess
from dialer.models import Attempt, Outcome
from tests.factories import make_attempt, make_campaign, make_member, make_operator, make_route

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""14:00 in Kyiv, where the calendars are."""


@pytest.fixture(autouse=True)
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def campaign() -> Campaign:
    make_route()
    return make_campaign(name="Renewals", default_region="UA")


def call(campaign: Campaign, name: str, number: str, *, ago: int, talk: int | None = None, **fields: Any) -> Attempt:
    """Add a call of some minutes ago that has ended, after a talk of so many seconds if there was one."""
    begin = NOON - timedelta(minutes=ago)
    if talk is not None:
        fields |= {
            "subscriber_created_at": begin, "subscriber_answered_at": begin, "bridged_at": begin,
            "talk_ended_at": begin + timedelta(seconds=talk), "outcome": Outcome.SUCCESS, "cause": "NORMAL_CLEARING",
        }  # fmt: skip
    ended = {"reserved_at": begin, "ended_at": begin + timedelta(seconds=60), **fields}
    return make_attempt(make_member(campaign, [number], name=name), **ended)


def listed(client: Client, campaign: Campaign, query: str = "") -> list[str]:
    answer = client.get(f"/campaigns/{campaign.pk}/attempts/?{query}")
    assert answer.status_code == 200, answer.content.decode()
    return [attempt.member.name for attempt in answer.context["rows"]]


def staff(*rights: str, campaigns: tuple[Campaign, ...] = ()) -> Client:
    user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
    for right in rights:
        app, codename = right.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    CampaignAccess.objects.bulk_create(CampaignAccess(user=user, campaign=campaign) for campaign in campaigns)
    client = Client()
    client.force_login(user)
    return client


def test_every_filter_finds_and_leaves_out(supervisor: Client, campaign: Campaign) -> None:
    olha = make_operator(campaign, name="Olha")
    call(campaign, "long", "+380501111111", ago=180, talk=50, operator=olha)
    call(campaign, "short", "+380502222222", ago=60, talk=49, disposition="Sold, again")
    call(campaign, "busy", "+380503333333", ago=30, cause="USER_BUSY")
    make_attempt(make_member(campaign, name="live"))
    call(make_campaign(), "of others", "+380504444444", ago=10)
    for query, found in {
        "": ["live", "busy", "short", "long"],
        "sort=id": ["long", "short", "busy", "live"],
        "outcome=success": ["short", "long"],
        "cause=USER_BUSY": ["busy"],
        "disposition=Sold, again": ["short"],
        "disposition=Sold": [],
        f"operator={olha.pk}": ["long"],
        "live=yes": ["live"],
        "live=no": ["busy", "short", "long"],
        "number=050 222-22-22": ["short"],
        "talk_from=50": ["long"],
        "talk_from=49": ["short", "long"],
        "reserved_from=2026-11-23T13:00": ["live", "busy", "short"],
        "reserved_before=2026-11-23T13:00": ["long"],
        "reserved_from=2026-11-23T11:00&reserved_before=2026-11-23T13:30&sort=id": ["long", "short"],
        "outcome=error": [],
    }.items():
        assert listed(supervisor, campaign, query) == found, query


@pytest.mark.parametrize(
    ("query", "field", "told"),
    [("number=many", "Number", "many"), ("talk_from=-1", "Talked for, seconds", "0"), ("outcome=x", "Outcome", "x")],
)
def test_what_cannot_be_asked_is_told_by_its_field(
    supervisor: Client, campaign: Campaign, query: str, field: str, told: str
) -> None:
    answer = supervisor.get(f"/campaigns/{campaign.pk}/attempts/?{query}")
    assert answer.status_code == 400
    shown = html.unescape(answer.content.decode())
    assert told in shown[shown.index(f"<b>{field}</b>") :]


def test_pages_go_on_where_the_last_one_ended(
    supervisor: Client, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dialer.web.attempts.PAGE", 2)
    for place in range(5):
        call(campaign, f"{place}", f"+38050000000{place}", ago=50 - place)
    for query, order in {"": "43210", "reserved_from=2020-01-01T00:00": "43210", "sort=id": "01234"}.items():
        found, address = "", f"/campaigns/{campaign.pk}/attempts/?{query}"
        for _page in range(3):
            answer = supervisor.get(address)
            found += "".join(attempt.member.name for attempt in answer.context["rows"])
            address = answer.context["next_url"]
        assert (found, address) == (order, "")
    answer = supervisor.get(f"/campaigns/{campaign.pk}/attempts/?cursor=nonsense&cause=USER_BUSY")
    assert answer["Location"] == f"/campaigns/{campaign.pk}/attempts/?cause=USER_BUSY"


def test_the_file_has_what_the_page_has(supervisor: Client, campaign: Campaign) -> None:
    call(campaign, "long", "+380501111111", ago=180, talk=50)
    call(campaign, "short", "+380502222222", ago=60, talk=5)
    shown = supervisor.get(f"/campaigns/{campaign.pk}/attempts/?talk_from=10&cause=&sort=id")
    address = shown.context["export_url"]
    asked = parse_qs(urlsplit(address).query)
    assert (asked["what"], asked["talk_from"]) == (["attempts"], ["10"])
    assert supervisor.get(address).context["found"] == 1
    rows = supervisor.get(f"{address}&file=1").getvalue().decode()
    assert "long" in rows
    assert "short" not in rows


def test_a_page_asks_as_often_for_many_as_for_one(supervisor: Client, campaign: Campaign) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as asked:
            listed(supervisor, campaign)
        return len(asked)

    call(campaign, "first", "+380501111111", ago=5)
    statements()
    one = statements()
    for place in range(15):
        call(campaign, f"{place}", f"+3805022222{place:02}", ago=5)
    assert statements() <= one <= 16


def test_a_row_leads_to_its_story(supervisor: Client, campaign: Campaign) -> None:
    attempt = call(campaign, "Anna", "+380501111111", ago=5)
    shown = supervisor.get(f"/campaigns/{campaign.pk}/attempts/").content.decode()
    address = f"/subscribers/{attempt.member_id}/?upto={attempt.pk}"
    assert f'href="{address}#attempt-{attempt.pk}"' in shown
    assert f'id="attempt-{attempt.pk}"' in supervisor.get(address).content.decode()


def test_it_is_for_those_who_may_see_attempts_of_this_campaign(campaign: Campaign) -> None:
    address = f"/campaigns/{campaign.pk}/attempts/"
    assert staff("members.view_member").get(address).status_code == 403
    assert staff("dialer.view_attempt").get(address).status_code == 200
    assert staff("dialer.view_attempt", campaigns=(make_campaign(),)).get(address).status_code == 404
    assert Client().get(address).status_code == 302


def test_without_the_right_to_subscribers_no_row_leads_to_one(campaign: Campaign) -> None:
    attempt = call(campaign, "Anna", "+380501111111", ago=5)
    shown = staff("dialer.view_attempt").get(f"/campaigns/{campaign.pk}/attempts/").content.decode()
    assert "Anna" in shown
    assert f"/subscribers/{attempt.member_id}/" not in shown
