"""The operators' desk: who gets it, what it shows of a call, and whose calls those are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.models import Operator, OperatorStatus
from campaigns import actions
from campaigns.models import Campaign
from dialer.models import Attempt, Outcome
from members.models import Communication, Member
from tests.factories import make_attempt, make_calendar, make_campaign, make_member, make_operator, make_route

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""14:00 on a Monday in Kyiv, where the calendars are."""
SOLD: dict[str, Any] = {"name": "Sold", "meaning": "success", "hotkey": "1"}
LATER: dict[str, Any] = {"name": "Later", "meaning": "call_back", "hotkey": "2", "requires": ["comment"]}


@pytest.fixture(autouse=True)
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def campaign() -> Campaign:
    make_route()
    found = make_campaign(
        name="Renewals",
        wait_for_result=True,
        script="Hello {name}, this is {operator}. You owe {debt}.",
        desk_links=[{"name": "CRM", "url": "https://crm.example/{external_id}"}],
        default_region="UA",
    )
    actions.set_dispositions(found.pk, [SOLD, LATER])
    return found


@pytest.fixture
def bob(campaign: Campaign) -> Operator:
    return make_operator(campaign, name="Bob", user=User.objects.create_user("bob", password="correct horse battery"))


def client_of(operator: Operator) -> Client:
    client = Client()
    assert operator.user is not None
    client.force_login(operator.user)
    return client


def call_of(operator: Operator, campaign: Campaign, **fields: Any) -> Attempt:
    member = make_member(campaign, ["+380501234567", "+380671234567"], name="<Olha>", external_id="a/7")
    return make_attempt(member, operator, variables={"debt": 20}, **fields)


# --- who gets it ------------------------------------------------------------------------------------------------


def test_an_operator_who_logs_in_lands_on_his_desk(bob: Operator) -> None:
    client = Client()
    answer = client.post("/login/", {"username": "bob", "password": "correct horse battery"}, follow=True)
    assert answer.redirect_chain[-1] == ("/desk/", 302)
    assert "Bob" in answer.content.decode()
    assert "Extension" in answer.content.decode()


def test_a_supervisor_lands_on_the_overview_and_has_no_desk(supervisor: Client) -> None:
    assert 'href="/desk/"' not in supervisor.get("/").content.decode()
    assert supervisor.get("/desk/").status_code == 403
    assert supervisor.get("/desk/day/").status_code == 403


def test_a_supervisor_who_takes_calls_has_both(bob: Operator) -> None:
    User.objects.filter(operator=bob).update(is_staff=True)
    client = client_of(bob)
    assert 'href="/desk/"' in client.get("/").content.decode()
    assert 'href="/"' in client.get("/desk/").content.decode()


def test_one_who_has_left_has_no_desk(bob: Operator) -> None:
    Operator.objects.filter(pk=bob.pk).update(archived=True, status=OperatorStatus.LOGGED_OUT, state="idle")
    assert client_of(bob).get("/desk/").status_code == 403


def test_strangers_are_sent_to_the_log_in(bob: Operator, campaign: Campaign) -> None:
    attempt = call_of(bob, campaign)
    assert Client().get("/desk/").headers["Location"] == "/login/?next=/desk/"
    for path in ("/desk/day/", "/desk/call-backs/", f"/desk/call/{attempt.pk}/", f"/desk/call/{attempt.pk}/opens"):
        assert Client().get(path).status_code == 401


def test_it_changes_nothing(bob: Operator, campaign: Campaign) -> None:
    attempt, client = call_of(bob, campaign), client_of(bob)
    for path in ("/desk/", "/desk/day/", "/desk/call-backs/", f"/desk/call/{attempt.pk}/"):
        assert client.post(path).status_code == 405


# --- a call -----------------------------------------------------------------------------------------------------


def told(operator: Operator, attempt: Attempt) -> dict[str, Any]:
    answer = client_of(operator).get(f"/desk/call/{attempt.pk}/")
    assert answer.status_code == 200
    return dict(answer.json())


def test_a_call_has_its_script_its_links_and_what_may_be_said_of_it(bob: Operator, campaign: Campaign) -> None:
    found = told(bob, call_of(bob, campaign))
    assert found["number"] == "+380 50 123 4567"
    assert '<mark title="name">&lt;Olha&gt;</mark>' in found["text"]
    assert '<mark title="operator">Bob</mark>' in found["text"]
    assert '<mark title="debt">20</mark>' in found["text"]
    assert 'href="https://crm.example/a%2F7" target="_blank" rel="noopener noreferrer"' in found["text"]
    assert [each["name"] for each in found["dispositions"]] == ["Sold", "Later"]
    assert [each["asks"] for each in found["dispositions"]] == [[], ["call_back_at", "comment"]]
    assert found["zone"] == "Europe/Kyiv"


def test_a_call_back_that_waits_asks_for_no_time(bob: Operator, campaign: Campaign) -> None:
    actions.set_dispositions(campaign.pk, [{**LATER, "wait": 3600, "requires": []}])
    (later,) = told(bob, call_of(bob, campaign))["dispositions"]
    assert later["asks"] == []


def test_archived_dispositions_are_not_offered(bob: Operator, campaign: Campaign) -> None:
    campaign.dispositions.filter(name="Later").update(archived=True)
    assert [each["name"] for each in told(bob, call_of(bob, campaign))["dispositions"]] == ["Sold"]


def test_a_call_tells_of_those_before_it_and_of_the_numbers(bob: Operator, campaign: Campaign) -> None:
    alice = make_operator(campaign, name="Alice")
    before = call_of(
        alice, campaign, ended_at=NOON - timedelta(hours=1), reserved_at=NOON - timedelta(hours=2), disposition="Later",
        comment="After <lunch>",
    )  # fmt: skip
    Communication.objects.filter(member=before.member_id, number="+380671234567").update(stopped="result")
    attempt = make_attempt(before.member, bob)
    found = told(bob, attempt)
    assert "After &lt;lunch&gt;" in found["story"]
    assert "Alice" in found["story"]
    assert "Later" in found["story"]
    assert [(each["dialled"], each["stopped"]) for each in found["numbers"]] == [(True, False), (False, True)]
    later = make_attempt(make_member(campaign), alice, disposition="Sold")
    assert later.member_id != before.member_id


@pytest.mark.parametrize("path", ["", "opens?at=2026-11-24T09:00:00%2B02:00"])
def test_the_call_of_another_is_not_his(bob: Operator, campaign: Campaign, path: str) -> None:
    alice = make_operator(campaign, name="Alice")
    attempt = call_of(alice, campaign)
    answer = client_of(bob).get(f"/desk/call/{attempt.pk}/{path}")
    assert answer.status_code == 404
    assert "Olha" not in answer.content.decode()
    assert client_of(bob).get(f"/desk/call/{2**62}/").status_code == 404


def test_a_call_that_went_on_to_another_is_his_no_more(bob: Operator, campaign: Campaign) -> None:
    attempt = call_of(bob, campaign)
    Attempt.objects.filter(pk=attempt.pk).update(seeking_since=NOON)
    assert client_of(bob).get(f"/desk/call/{attempt.pk}/").status_code == 404


def test_it_is_told_whether_the_calendar_is_open_then(bob: Operator) -> None:
    office = make_campaign(make_calendar(weekly={day: [(9 * 60, 18 * 60)] for day in range(1, 6)}))
    attempt = make_attempt(make_member(office), bob)
    client = client_of(bob)

    def opens(at: str) -> dict[str, Any]:
        return dict(client.get(f"/desk/call/{attempt.pk}/opens", {"at": at}).json())

    assert opens("2026-11-24T10:00:00+02:00")["open"]
    closed = opens("2026-11-24T20:00:00+02:00")
    assert not closed["open"]
    assert "Wed 25 Nov, 09:00 (Europe/Kyiv)" in closed["told"]
    assert "18:00" in told(bob, attempt)["story"]


@pytest.mark.parametrize("at", ["", "tomorrow", "2026-11-24T10:00:00", "9999-01-01T00:00:00+00:00"])
def test_a_time_that_is_none_is_refused(bob: Operator, campaign: Campaign, at: str) -> None:
    attempt = call_of(bob, campaign)
    assert client_of(bob).get(f"/desk/call/{attempt.pk}/opens", {"at": at}).status_code == 400


def test_a_call_is_read_in_few_statements_whatever_its_story(bob: Operator, campaign: Campaign) -> None:
    attempt, client = call_of(bob, campaign), client_of(bob)
    with CaptureQueriesContext(connection) as few:
        client.get(f"/desk/call/{attempt.pk}/")
    older = make_operator(campaign)
    Attempt.objects.filter(pk=attempt.pk).update(ended_at=NOON, outcome=Outcome.RETRY, cause="BUSY")
    Operator.objects.filter(pk=bob.pk).update(current_attempt=None, state="waiting")
    for _ in range(5):
        last = make_attempt(attempt.member, older, ended_at=NOON)
    Attempt.objects.filter(pk=last.pk).update(operator=bob)
    with CaptureQueriesContext(connection) as many:
        client.get(f"/desk/call/{last.pk}/")
    assert len(many) <= len(few) + 2


# --- his day ----------------------------------------------------------------------------------------------------


def test_his_day_counts_his_calls_alone(bob: Operator, campaign: Campaign) -> None:
    alice = make_operator(campaign, name="Alice")
    for operator, disposition in ((bob, "Sold"), (bob, "Sold"), (bob, "Later"), (alice, "Never")):
        make_attempt(
            make_member(campaign), operator, reserved_at=NOON - timedelta(minutes=9),
            bridged_at=NOON - timedelta(minutes=8), talk_ended_at=NOON - timedelta(minutes=6),
            ended_at=NOON - timedelta(minutes=6), disposition=disposition,
        )  # fmt: skip
    text = client_of(bob).get("/desk/day/").content.decode()
    assert "<dt>Connected</dt><dd>3</dd>" in text
    assert "<dt>Average</dt><dd>2:00</dd>" in text
    assert text.index("Sold") < text.index("Later")
    assert "Never" not in text


def test_a_day_without_calls_has_its_zeros(bob: Operator) -> None:
    text = client_of(bob).get("/desk/day/").content.decode()
    assert "<dt>Calls</dt><dd>0</dd>" in text
    assert "<dt>Average</dt><dd>–</dd>" in text


def test_his_call_backs_are_listed_the_soonest_first(bob: Operator, campaign: Campaign) -> None:
    alice = make_operator(campaign, name="Alice")

    def promise(name: str, minutes: int, operator: Operator) -> None:
        due = NOON + timedelta(minutes=minutes)
        make_member(
            campaign, name=name, callback=True, due_at=due, sticky_operator=operator,
            sticky_until=due + timedelta(hours=1),
        )  # fmt: skip

    promise("Late", -5, bob)
    promise("Tomorrow", 1500, bob)
    promise("Soon", 5, bob)
    promise("Hers", 1, alice)
    text = client_of(bob).get("/desk/call-backs/").content.decode()
    assert [name for name in ("Late", "Soon", "Tomorrow") if name in text] == ["Late", "Soon", "Tomorrow"]
    assert text.index("Late") < text.index("Soon") < text.index("Tomorrow")
    assert "Hers" not in text
    assert text.count(">due<") == 1
    Member.objects.filter(name="Soon").update(hidden=True)
    assert "Soon" not in client_of(bob).get("/desk/call-backs/").content.decode()
