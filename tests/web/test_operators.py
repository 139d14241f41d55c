"""Pages of operators: who may see them, what the board and the page of one say, and what their buttons do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission, User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents import actions as agents
from agents import directory
from agents.models import Operator, OperatorState, OperatorStatus, Tier
from campaigns.models import Campaign
from dialer import live
from dialer.api.models import CampaignAccess
from dialer.models import Attempt, KillReason, Outcome
from dialer.web import operators_board as board
from tests.factories import make_attempt, make_campaign, make_member, make_node, make_operator, make_route
from tests.statistics.conftest import periods

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
    return make_campaign(name="Renewals")


def shown(**fields: Any) -> dict[str, Any]:
    """Return what the board shows of an operator who is like that."""
    operator = make_operator(**fields)
    return next(dict(row) for row in board.read()["operators"] if row["id"] == operator.pk)


def staff(*rights: str, campaigns: tuple[Campaign, ...] = ()) -> Client:
    """Return the client of one who is staff, with these rights, limited to these campaigns if any are given."""
    user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
    for right in ("agents.view_operator", *rights):
        app, codename = right.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    CampaignAccess.objects.bulk_create(CampaignAccess(user=user, campaign=campaign) for campaign in campaigns)
    client = Client()
    client.force_login(user)
    return client


def on_a_call(campaign: Campaign, **fields: Any) -> Attempt:
    """Let an operator talk for a minute by now."""
    operator = make_operator(campaign)
    attempt = make_attempt(
        make_member(campaign, ["+380501112233"], name="Anna"), operator,
        node=make_node(), reserved_at=NOON - timedelta(seconds=80), sending_at=NOON - timedelta(seconds=80),
        operator_answered_at=NOON - timedelta(seconds=75), subscriber_created_at=NOON - timedelta(seconds=74),
        subscriber_answered_at=NOON - timedelta(seconds=60), bridged_at=NOON - timedelta(seconds=60), **fields,
    )  # fmt: skip
    since = NOON - timedelta(seconds=75)
    assert agents.reserve([(operator.pk, attempt.pk)], since)
    assert agents.in_call(operator.pk, attempt.pk, since)
    return attempt


# --- the board --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "group", "tone", "note", "may"),
    [
        ({}, "waiting", "free", "", ""),
        ({"registered": False}, "waiting", "free", "phone not registered", ""),
        ({"registered": False, "uses_client": True, "client_connected": True}, "waiting", "free", "phone not", ""),
        ({"uses_client": True}, "waiting", "free", "client not connected", ""),
        ({"uses_client": True, "client_connected": True}, "waiting", "free", "call-centre mode off", ""),
        ({"state": "wrap_up", "wrap_up_until": NOON + timedelta(seconds=9)}, "wrap_up", "wrap", "", "ready"),
        ({"status": "on_demand", "state": "idle"}, "idle", "off", "has not said", "ready"),
        ({"status": "on_break", "state": "idle"}, "on_break", "break", "", "end_break"),
        (
            {"status": "on_break", "state": "idle", "forced_break": True, "no_answer_count": 3},
            "on_break", "break", "forced: 3 calls in a row not answered", "end_break",
        ),
        ({"status": "logged_out", "state": "idle"}, "logged_out", "off", "", ""),
    ],
)  # fmt: skip
def test_what_the_board_says_of_him(fields: dict[str, Any], group: str, tone: str, note: str, may: str) -> None:
    row = shown(**fields)
    assert (row["group"], row["tone"], row["may"]) == (group, tone, may)
    assert row["note"].startswith(note)
    assert bool(row["note"]) == bool(note)


def test_since_when_is_that_of_what_is_shown() -> None:
    hour, minute = NOON - timedelta(hours=1), NOON - timedelta(minutes=1)
    away = shown(status="on_break", state="idle", status_since=hour, state_since=minute)
    waits = shown(status_since=hour, state_since=minute)
    assert (away["since"], waits["since"]) == (live.ms(hour), live.ms(minute))


def test_pauses_and_presence() -> None:
    row = shown(ready_at=NOON + timedelta(seconds=9), uses_client=True, client_connected=True)
    assert (row["rests_until"], row["client"], row["phone"]) == (live.ms(NOON + timedelta(seconds=9)), "mode", True)
    assert shown(ready_at=NOON - timedelta(seconds=9))["rests_until"] is None
    assert shown(uses_client=True)["client"] == "off"
    assert shown()["client"] == ""


def test_a_call_and_with_whom(campaign: Campaign) -> None:
    attempt = on_a_call(campaign)
    [row] = board.read()["operators"]
    assert row["call"] == {
        "talks": True, "since": live.ms(NOON - timedelta(seconds=60)), "attempt": attempt.pk, "with": "Anna",
        "number": "+380501112233", "campaign": "Renewals",
    }  # fmt: skip
    assert (row["group"], row["tone"], row["campaigns"]) == ("in_call", "talk", [campaign.pk])


def test_the_last_call_and_the_figures_of_today(campaign: Campaign) -> None:
    operator = make_operator(campaign, state_since=NOON - timedelta(hours=1), status_since=NOON - timedelta(hours=1))
    ended: dict[str, Any] = {}
    for minutes in (24 * 60, 30, 20):  # yesterday's counts nothing
        at = NOON - timedelta(minutes=minutes)
        ended = {
            "reserved_at": at, "sending_at": at, "operator_answered_at": at, "subscriber_created_at": at,
            "subscriber_answered_at": at, "bridged_at": at, "talk_ended_at": at + timedelta(minutes=6),
            "ended_at": at + timedelta(minutes=6),
        }  # fmt: skip
        last = make_attempt(make_member(campaign), operator, **ended)
    Operator.objects.filter(pk=operator.pk).update(last_attempt=last)
    [row] = board.read()["operators"]
    assert (row["calls"], row["talk"], row["talk_told"]) == (2, 12 * 60, "12 m 00 s")
    assert row["occupancy"] == 17, "12 minutes of talk; his hour of waiting is told by his periods"
    assert row["last"] == {"at": live.ms(ended["ended_at"]), "label": "Retry", "tone": "off", "cause": "NO_ANSWER"}


def test_successes_and_breaks_of_today(campaign: Campaign) -> None:
    operator = make_operator(campaign, status="on_break", state="idle")
    periods(
        operator,
        (NOON - timedelta(minutes=30), "available", "waiting"), (NOON - timedelta(minutes=7), "on_break", "idle"),
    )  # fmt: skip
    times = dict.fromkeys(("reserved_at", "bridged_at", "talk_ended_at", "ended_at"), NOON - timedelta(minutes=20))
    make_attempt(make_member(campaign), operator, outcome="success", **times)
    [row] = board.read()["operators"]
    assert (row["calls"], row["success"], row["breaks"], row["breaks_told"]) == (1, 1, 7 * 60, "7 m 00 s")


def test_today_begins_at_midnight_where_most_calendars_are(campaign: Campaign) -> None:
    found = board.read()
    assert (found["zone"], found["since"]) == ("Europe/Kyiv", live.ms(datetime(2026, 11, 22, 22, 0, tzinfo=UTC)))


def test_without_campaigns_it_is_a_day_of_utc() -> None:
    found = board.read()
    assert (found["zone"], found["operators"], found["campaigns"]) == ("UTC", [], [])


def test_those_who_left_are_not_shown() -> None:
    make_operator(archived=True, status="logged_out", state="idle")
    assert board.read()["operators"] == []


def test_the_number_of_statements_is_constant(campaign: Campaign) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            board.read()
        return len(queries)

    few = statements()
    on_a_call(campaign)
    for _ in range(5):
        make_operator(campaign, make_campaign())
    cache.clear()
    assert statements() == few <= 9
    assert statements() == 2, "what the ledger says is kept for a while"


# --- who may see what -------------------------------------------------------------------------------------------


def test_the_page_brings_its_first_snapshot_and_is_found_from_the_others(supervisor: Client) -> None:
    make_operator(name="Bohdan")
    page = supervisor.get("/operators/").content
    found = re.search(rb'<script id="snapshot" type="application/json">(.+?)</script>', page)
    assert found
    assert json.loads(found[1])["operators"][0]["name"] == "Bohdan"
    assert supervisor.get("/operators.json").json()["operators"][0]["name"] == "Bohdan"
    assert b'href="/operators/" aria-current="page"' in page
    assert b'href="/operators/"' in supervisor.get("/do-not-call/").content


def test_they_are_for_supervisors_alone(campaign: Campaign) -> None:
    attempt = on_a_call(campaign)
    stranger, agent, trainee = Client(), Client(), Client()
    agent.force_login(User.objects.create_user("agent"))
    trainee.force_login(User.objects.create_user("trainee", is_staff=True))
    at = f"/operators/{attempt.operator_id}"
    for path in ("/operators/", f"{at}/", f"{at}/edit/", "/operators/new/"):
        assert stranger.get(path)["Location"].startswith("/login/")
        assert agent.get(path).status_code == 403
        assert trainee.get(path).status_code == 403
    for path in ("/operators.json", f"{at}/now"):
        assert [client.get(path).status_code for client in (stranger, agent, trainee)] == [401, 403, 403]
    for path in (f"{at}/status", f"{at}/ready", f"{at}/end-break", f"/operators/calls/{attempt.pk}/hang-up"):
        assert [client.post(path).status_code for client in (stranger, agent, trainee)] == [401, 403, 403]
    attempt.refresh_from_db()
    assert attempt.kill_reason == KillReason.NONE


def test_nothing_changes_by_get(supervisor: Client) -> None:
    operator = make_operator()
    for path in ("status?status=on_break", "ready", "end-break"):
        assert supervisor.get(f"/operators/{operator.pk}/{path}").status_code == 405
    assert supervisor.get("/operators/calls/1/hang-up").status_code == 405


def test_who_is_limited_sees_the_calls_of_his_campaigns_alone(campaign: Campaign) -> None:
    other = make_campaign(name="Secret")
    attempt = on_a_call(other)
    Operator.objects.filter(pk=attempt.operator_id).update(last_attempt=attempt)
    limited = staff("access.hang_up", "dialer.view_attempt", campaigns=(campaign,))
    found = limited.get("/operators.json").json()
    [row] = found["operators"]
    assert (set(row["call"]), "last" in row, row["calls"], row["campaigns"]) == ({"talks", "since"}, False, 0, [])
    assert found["campaigns"] == []
    for path in (f"/operators/{attempt.operator_id}/", f"/operators/{attempt.operator_id}/now"):
        page = limited.get(path).content
        assert b"A call of another campaign" in page
        assert b"Anna" not in page
        assert b"Secret" not in page
        assert b"Hang up" not in page
    assert limited.post(f"/operators/calls/{attempt.pk}/hang-up").status_code == 404
    attempt.refresh_from_db()
    assert attempt.kill_reason == KillReason.NONE
    theirs = staff("dialer.view_attempt", campaigns=(other,)).get("/operators.json").json()["operators"]
    assert theirs[0]["call"]["with"] == "Anna"


# --- buttons ----------------------------------------------------------------------------------------------------


def test_a_status_is_chosen_with_a_reason_and_by_whom() -> None:
    operator = make_operator()
    client = staff("access.change_status")
    answer = client.post(f"/operators/{operator.pk}/status", {"status": "on_break", "reason": " Lunch "})
    assert answer.json() == {"tone": "good", "message": f"{operator}: On Break, Idle."}
    operator.refresh_from_db()
    assert (operator.status, operator.change_reason) == (OperatorStatus.ON_BREAK, "Lunch")
    assert operator.changed_by is not None
    page = client.get(f"/operators/{operator.pk}/").content.decode()
    assert "Lunch" in page
    assert operator.changed_by.username in page


def test_a_form_leads_back_with_a_message(supervisor: Client) -> None:
    operator = make_operator()
    answer = supervisor.post(
        f"/operators/{operator.pk}/status", {"status": "logged_out", "next": f"/operators/{operator.pk}/"}, follow=True
    )
    assert answer.redirect_chain == [(f"/operators/{operator.pk}/", 302)]
    assert b"Logged Out, Idle." in answer.content
    away = supervisor.post(f"/operators/{operator.pk}/ready", {"next": "https://elsewhere.example/"})
    assert away["Location"] == "/operators/", "no door to other sites"


def test_during_a_call_the_status_is_stored(supervisor: Client, campaign: Campaign) -> None:
    attempt = on_a_call(campaign)
    answer = supervisor.post(f"/operators/{attempt.operator_id}/status", {"status": "on_break"}).json()
    assert answer["message"].endswith("is on a call: On Break holds after it.")
    page = supervisor.get(f"/operators/{attempt.operator_id}/").content.decode()
    assert "after the call" in page
    assert board.read()["operators"][0]["note"] == "then On Break"


@pytest.mark.parametrize("forced", [True, False])
def test_a_break_is_ended(supervisor: Client, forced: bool) -> None:
    operator = make_operator(status="on_break", state="idle", forced_break=forced, no_answer_count=3)
    page = supervisor.get(f"/operators/{operator.pk}/").content
    assert (b"3 calls in a row were not answered" in page) == forced
    assert supervisor.post(f"/operators/{operator.pk}/end-break").status_code == 200
    operator.refresh_from_db()
    assert (operator.status, operator.state) == (OperatorStatus.AVAILABLE, OperatorState.WAITING)
    assert not operator.forced_break
    again = supervisor.post(f"/operators/{operator.pk}/end-break")
    assert (again.status_code, again.json()["message"]) == (409, f"{operator} is on no break.")


def test_a_wrap_up_is_ended(supervisor: Client) -> None:
    operator = make_operator(state="wrap_up", wrap_up_until=NOON + timedelta(minutes=5))
    assert b"End the wrap-up" in supervisor.get(f"/operators/{operator.pk}/").content
    assert supervisor.post(f"/operators/{operator.pk}/ready").status_code == 200
    operator.refresh_from_db()
    assert operator.state == OperatorState.WAITING


def test_a_call_is_hung_up_once_and_by_name(supervisor: Client, campaign: Campaign) -> None:
    attempt = on_a_call(campaign)
    assert b"Hang up" in supervisor.get(f"/operators/{attempt.operator_id}/").content
    assert supervisor.post(f"/operators/calls/{attempt.pk}/hang-up").status_code == 200
    attempt.refresh_from_db()
    assert attempt.kill_reason == KillReason.PERSON
    assert attempt.killed_by is not None
    over = make_attempt(make_member(campaign), ended_at=NOON)
    assert supervisor.post(f"/operators/calls/{over.pk}/hang-up").status_code == 409
    assert supervisor.post("/operators/calls/987654/hang-up").status_code == 404


def test_what_cannot_be_is_refused_in_words(supervisor: Client) -> None:
    operator = make_operator(status="on_break", state="idle")
    assert supervisor.post(f"/operators/{operator.pk}/status", {"status": "asleep"}).status_code == 400
    refused = supervisor.post(f"/operators/{operator.pk}/ready")
    assert (refused.status_code, "becomes Available first" in refused.json()["message"]) == (409, True)
    assert supervisor.post("/operators/987654/ready").status_code == 404
    assert supervisor.get("/operators/987654/").status_code == 404


def test_the_board_shows_at_once_what_was_done(supervisor: Client) -> None:
    operator = make_operator()
    assert supervisor.get("/operators.json").json()["operators"][0]["group"] == "waiting"
    supervisor.post(f"/operators/{operator.pk}/status", {"status": "on_break"})
    assert supervisor.get("/operators.json").json()["operators"][0]["group"] == "on_break"


# --- the page of one --------------------------------------------------------------------------------------------


def test_the_living_part_is_sent_only_when_it_differs(supervisor: Client, now: time_machine.Traveller) -> None:
    operator = make_operator()
    page = supervisor.get(f"/operators/{operator.pk}/").content.decode()
    found = re.search(r'hx-get="([^"]+)"', page)
    assert found
    now.shift(10)
    assert supervisor.get(found[1]).status_code == 204
    agents.set_status(operator.pk, OperatorStatus.ON_BREAK)
    answer = supervisor.get(found[1])
    assert answer.status_code == 200
    assert b"On Break" in answer.content
    assert found[1].encode() not in answer.content, "the next question is about what is seen now"


def test_what_he_needs_to_get_calls_is_listed(supervisor: Client, campaign: Campaign) -> None:
    operator = make_operator(campaign, registered=False, uses_client=True, client_connected=True)
    page = supervisor.get(f"/operators/{operator.pk}/").content.decode()
    items = re.findall(r'<li data-tone="(good|bad)">.*?<span>(.+?)<span', page)
    assert items == [
        ("bad", "His phone is registered"), ("good", "His client is connected"), ("bad", "Its call-centre mode is on"),
        ("good", "His status is Available or Available (On Demand)"), ("good", "His state is Waiting"),
        ("bad", "A campaign that he serves runs"),
    ]  # fmt: skip


def test_why_he_gets_no_call_is_told_in_full_to_who_may_see_his_campaigns(campaign: Campaign) -> None:
    other = make_campaign(name="Secret")
    operator = make_operator(campaign, other)
    for client, full in ((staff(campaigns=(campaign,)), False), (staff(campaigns=(campaign, other)), True)):
        for path in (f"/operators/{operator.pk}/", f"/operators/{operator.pk}/why"):
            page = client.get(path).content.decode()
            assert ("None of his campaigns runs now" in page) == full
            assert ("In no campaign that runs now" in page) == (not full)
            assert full or "Secret" not in page


def test_his_tiers_calls_and_parameters(supervisor: Client, campaign: Campaign) -> None:
    operator = make_operator(campaign, wrap_up_time=77)
    Tier.objects.update(level=2, position=5)
    attempt = make_attempt(make_member(campaign, ["+380509998877"]), operator, ended_at=NOON)
    page = supervisor.get(f"/operators/{operator.pk}/").content.decode()
    for link in (
        f"/subscribers/{attempt.member_id}/?upto={attempt.pk}#attempt-{attempt.pk}",
        f"/campaigns/{campaign.pk}/operators/",
    ):
        assert f'<a href="{link}">' in page
        assert supervisor.get(link).status_code == 200
    assert f'id="attempt-{attempt.pk}"' in supervisor.get(f"/subscribers/{attempt.member_id}/").content.decode()
    assert "/admin/dialer/attempt/" not in page
    assert re.search(r'Renewals</a></th><td>\w+</td><td class="end">2</td><td class="end">5</td>', page)
    for told in ("+380509998877", "NO_ANSWER", ">77 s<", "Retry"):
        assert told in page
    alone = make_operator()
    assert "He serves no campaign," in supervisor.get(f"/operators/{alone.pk}/").content.decode()


def test_who_may_not_see_subscribers_gets_no_link_to_them(campaign: Campaign) -> None:
    operator = make_operator(campaign)
    attempt = make_attempt(make_member(campaign), operator, ended_at=NOON)
    user = User.objects.create_user("reader", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_operator", "view_attempt", "view_campaign"])
    )
    client = Client()
    client.force_login(user)
    answer = client.get(f"/operators/{operator.pk}/")
    assert answer.status_code == 200
    page = answer.content.decode()
    assert str(attempt.member) in page
    assert "/subscribers/" not in page


def test_a_page_costs_the_same_with_many_calls(supervisor: Client, campaign: Campaign) -> None:
    operator = make_operator(campaign)

    def statements() -> int:
        cache.clear()
        with CaptureQueriesContext(connection) as queries:
            supervisor.get(f"/operators/{operator.pk}/")
        return len(queries)

    make_attempt(make_member(campaign), operator, ended_at=NOON)
    few = statements()
    for _ in range(5):
        make_attempt(make_member(campaign), operator, ended_at=NOON, outcome=Outcome.SUCCESS)
        Tier.objects.create(campaign=make_campaign(), operator=operator)
    assert statements() == few


# --- his parameters ---------------------------------------------------------------------------------------------

FIELDS = {
    "name": "Bohdan", "extension": "2001", "call_timeout": "20", "wrap_up_time": "5", "max_no_answer": "3",
    "busy_delay": "1", "reject_delay": "2", "no_answer_delay": "3",
}  # fmt: skip


def test_a_new_operator_gets_a_phone_password_that_works_and_is_shown_once(supervisor: Client) -> None:
    answer = supervisor.post("/operators/new/", {**FIELDS, "make_phone_password": "on"}, follow=True)
    operator = Operator.objects.get(extension="2001")
    assert answer.redirect_chain == [(f"/operators/{operator.pk}/", 302)]
    found = re.search(r"logs in as 2001 at dialer\.local with the password (\w+)\.", answer.content.decode())
    assert found
    assert operator.sip_password_a1 == directory.digest_a1("2001", "dialer.local", found[1])
    assert (operator.call_timeout, operator.status) == (20, OperatorStatus.LOGGED_OUT)
    assert found[1] not in supervisor.get(f"/operators/{operator.pk}/").content.decode()


def test_a_password_that_was_typed_is_taken_and_none_is_made(supervisor: Client) -> None:
    typed = {**FIELDS, "make_phone_password": "on", "phone_password": "correct horse"}
    page = supervisor.post("/operators/new/", typed, follow=True).content.decode()
    assert "with the password" not in page
    assert Operator.objects.get().sip_password_a1 == directory.digest_a1("2001", "dialer.local", "correct horse")


def test_faults_are_told_at_their_fields_and_what_was_typed_stays(supervisor: Client) -> None:
    make_operator(extension="2001")
    bad = {**FIELDS, "name": "Ihor", "call_timeout": "0", "contact": "050", "phone_password": "short"}
    answer = supervisor.post("/operators/new/", bad)
    page = answer.content.decode()
    assert answer.status_code == 400
    for field in ("extension", "call_timeout", "gateway", "phone_password"):
        assert f'id="id_{field}_error"' in page
    assert 'value="Ihor"' in page
    assert Operator.objects.count() == 1


def test_parameters_are_changed_and_the_rest_stays(supervisor: Client) -> None:
    operator = make_operator(sip_password_a1="kept", busy_delay=9)
    page = supervisor.get(f"/operators/{operator.pk}/edit/").content.decode()
    assert f'value="{operator.extension}"' in page
    changed = {**FIELDS, "extension": operator.extension, "busy_delay": "44", "uses_client": "on"}
    assert supervisor.post(f"/operators/{operator.pk}/edit/", changed).status_code == 302
    operator.refresh_from_db()
    assert (operator.busy_delay, operator.uses_client, operator.sip_password_a1) == (44, True, "kept")
    assert operator.state == OperatorState.WAITING


def test_who_leaves_is_logged_out(supervisor: Client) -> None:
    operator = make_operator()
    left = {**FIELDS, "extension": operator.extension, "archived": "on"}
    supervisor.post(f"/operators/{operator.pk}/edit/", left)
    operator.refresh_from_db()
    assert (operator.archived, operator.status) == (True, OperatorStatus.LOGGED_OUT)
    page = supervisor.get(f"/operators/{operator.pk}/").content
    assert b"kept for the records" in page
    assert b'form="f-status"' not in page


def test_a_log_in_belongs_to_one_operator(supervisor: Client) -> None:
    bob, eve = (User.objects.create_user(name) for name in ("bob", "eve"))
    make_operator(user=bob)
    page = supervisor.get("/operators/new/").content.decode()
    assert "eve" in page
    assert ">bob<" not in page
    assert supervisor.post("/operators/new/", {**FIELDS, "user": bob.pk}).status_code == 400
    assert supervisor.post("/operators/new/", {**FIELDS, "user": eve.pk}).status_code == 302


def test_the_rights_to_add_and_to_edit_are_asked_for(campaign: Campaign) -> None:
    operator = make_operator()
    looks = staff()
    page = looks.get(f"/operators/{operator.pk}/").content
    assert (b"/edit/" in page, b'form="f-status"' in page, b"Last calls" in page) == (False, False, False)
    assert looks.get(f"/operators/{operator.pk}/edit/").status_code == 403
    assert looks.post("/operators/new/", FIELDS).status_code == 403
    assert staff("agents.change_operator").get(f"/operators/{operator.pk}/edit/").status_code == 200
    assert staff("agents.add_operator").get("/operators/new/").status_code == 200


def test_a_supervisor_by_his_role_may_all_of_it() -> None:
    user = User.objects.create_user("olha", is_staff=True)
    user.groups.add(Group.objects.get(name="Supervisor"))
    client = Client()
    client.force_login(user)
    operator = make_operator()
    assert client.post(f"/operators/{operator.pk}/status", {"status": "on_break"}).status_code == 200
    assert client.get("/operators/new/").status_code == 200
    assert b"End the break" in client.get("/operators/").content
