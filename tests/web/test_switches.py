"""The page of the switches: who may see it, what it says of each, and what its buttons do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents import actions as agents
from dialer import clock, live, switches
from dialer.engine import lease
from dialer.engine.lease import Lease, Listeners
from dialer.models import Node, Repair
from tests.factories import make_attempt, make_campaign, make_member, make_node, make_operator, make_route

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAME = "127.0.0.1:8021"


@pytest.fixture(autouse=True)
def now(settings: Any) -> Iterator[time_machine.Traveller]:
    settings.FREESWITCH_URL = f"esl://:secret@{NAME}"
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def heard(node: Node, monkeypatch: pytest.MonkeyPatch, *stand_by: str) -> None:
    """Let a switch have a listener, and others that stand by."""
    known = lease.listeners()
    known[node.pk] = Listeners("dialer-1:17", list(stand_by))
    monkeypatch.setattr(lease, "listeners", lambda: known)


def only(**fields: Any) -> dict[str, Any]:
    """Return what is shown of the only switch."""
    Node.objects.update(**fields)
    [shown] = switches.read()["switches"]
    return dict(shown)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    node = make_node(name=NAME, last_event_at=NOON)
    heard(node, monkeypatch, "dialer-2:17")
    return node


# --- what it says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "tone", "label", "why"),
    [
        ({}, "good", "connected", ""),
        ({"connected": False}, "bad", "not connected", "does not answer"),
        ({"last_event_at": NOON - timedelta(seconds=11)}, "bad", "not heard", "says nothing"),
        ({"enabled": False}, "wrap", "drained", "no call left"),
        ({"ready": False}, "warn", "paused", "says itself"),
        (
            {"blocked_until": NOON + timedelta(seconds=4), "blocked_reason": "CHAN_NOT_IMPLEMENTED"},
            "bad", "refuses calls", "It said: CHAN_NOT_IMPLEMENTED",
        ),
        ({"blocked_until": NOON - timedelta(seconds=4), "blocked_reason": "X"}, "good", "connected", ""),
        ({"max_calls": 0}, "warn", "full", "as many calls as it may"),
        ({"rate": 4.5}, "warn", "slowed down", "refused calls"),
    ],
)  # fmt: skip
def test_its_state_in_words(node: Node, fields: dict[str, Any], tone: str, label: str, why: str) -> None:
    shown = only(**fields)
    assert (shown["tone"], shown["label"]) == (tone, label)
    assert why in shown["why"]
    assert shown["hears"] == "dialer-1:17"
    assert shown["stand_by"] == ["dialer-2:17"]


def test_a_switch_that_nobody_hears_says_so_whatever_was_noted_last() -> None:
    make_node(name=NAME, connected=True, last_event_at=NOON, listener="dialer-1:17")
    shown = only()
    assert (shown["tone"], shown["label"], shown["hears"], shown["connected"]) == ("bad", "no listener", "", False)


def test_a_switch_whose_listeners_try_in_vain_to_reach_it_is_not_connected(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = lease.listeners()
    known[node.pk] = Listeners("", ["dialer-1:17", "dialer-2:17"])
    monkeypatch.setattr(lease, "listeners", lambda: known)
    shown = only(connected=False, sessions=9)
    assert (shown["label"], shown["stand_by"], shown["sessions"]) == (
        "not connected", ["dialer-1:17", "dialer-2:17"], None,
    )  # fmt: skip


def test_a_configured_switch_that_was_never_heard_is_shown_too() -> None:
    [shown] = switches.read()["switches"]
    assert (shown["id"], shown["name"], shown["label"], shown["setup"]) == (None, NAME, "no listener", "")


def test_one_that_is_not_configured_any_more_gets_no_calls(node: Node, settings: Any) -> None:
    settings.FREESWITCH_URL = "esl://:secret@elsewhere:8021"
    elsewhere, gone = sorted(switches.read()["switches"], key=lambda shown: shown["name"], reverse=True)
    assert (gone["label"], elsewhere["label"]) == ("not configured", "no listener")


def test_draining_shows_how_many_calls_are_left(node: Node) -> None:
    make_route()
    campaign = make_campaign()
    for _ in range(2):
        make_attempt(make_member(campaign), make_operator(campaign), node=node)
    shown = only(enabled=False)
    assert (shown["label"], shown["why"], shown["calls"]) == ("draining", "2 calls go on to their end.", 2)


def test_what_it_carries_and_what_it_may(node: Node) -> None:
    make_route()
    campaign = make_campaign()
    for age in (1, 5, 9, 11):
        sent = NOON - timedelta(seconds=age)
        make_attempt(make_member(campaign), make_operator(campaign), node=node, sending_at=sent)
    operator = make_operator(registered=False)
    agents.set_registered(operator.extension, node.pk, True, NOON)
    shown = only(
        sessions=9, sessions_allowed=1000, sessions_of_others=1, sessions_per_second=3, rate_allowed=30, rate=7.25,
        version="1.10.12", started_at=NOON - timedelta(days=3), restarted_at=NOON - timedelta(hours=2), weight=3,
    )  # fmt: skip
    expected = {
        "calls": 4, "calls_limit": 474, "per_second": 0.3, "rate_limit": 9.5, "pace": 7.2, "sessions": 9,
        "sessions_allowed": 1000, "sessions_per_second": 3, "rate_allowed": 30, "version": "1.10.12", "weight": 3,
        "phones": 1, "heard_at": live.ms(NOON), "started_at": live.ms(NOON - timedelta(days=3)),
        "restarted_at": live.ms(NOON - timedelta(hours=2)),
    }  # fmt: skip
    assert {name: shown[name] for name in expected} == expected
    assert only(max_rate=5)["rate_limit"] == 5
    assert only(restarted_at=NOON - timedelta(days=2))["restarted_at"] is None


def test_repairs_are_counted_by_kind_and_the_newest_lead_to_their_attempts(node: Node) -> None:
    make_route()
    campaign = make_campaign()
    attempt = make_attempt(make_member(campaign, ["+380501112233"]), make_operator(campaign), node=node)
    old = NOON - timedelta(hours=25)
    for at, kind in [(old, "absent"), (NOON, "switch_restarted"), (NOON, "switch_restarted"), (NOON, "late_end")]:
        Repair.objects.create(at=at, attempt=attempt, node=node, kind=kind, detail="It was so.")
    found = switches.read()
    assert found["switches"][0]["repairs"] == found["repairs"]["total"] == 3
    assert [(kind["label"], kind["count"]) for kind in found["repairs"]["kinds"]] == [
        ("call of a switch that was started again", 2),
        ("end that came late", 1),
    ]
    newest = found["repairs"]["newest"][0]
    assert (newest["label"], newest["switch"]) == ("End that came late", NAME)
    assert newest["attempt"] == f"{attempt.pk}: 380501112233"
    assert newest["url"] == f"/subscribers/{attempt.member_id}/?upto={attempt.pk}#attempt-{attempt.pk}"


def test_listeners_are_read_from_their_locks() -> None:
    first, second = make_node(name=NAME), make_node(name="127.0.0.1:8031")
    with Lease(first.pk, "dialer-1:17") as hears, Lease(first.pk, "dialer-2:17") as waits:
        assert hears.take()
        assert not waits.take()
        shown = {one["name"]: (one["hears"], one["stand_by"]) for one in switches.read()["switches"]}
    assert shown == {first.name: ("dialer-1:17", ["dialer-2:17"]), second.name: ("", [])}


def test_the_number_of_statements_is_constant(node: Node) -> None:
    def statements() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            switches.read()
        return len(queries)

    few = statements()
    make_route()
    campaign = make_campaign()
    for number in range(3):
        other = make_node(last_event_at=clock.now())
        attempt = make_attempt(make_member(campaign), make_operator(campaign), node=other, core_uuid=uuid4())
        Repair.objects.create(at=NOON, attempt=attempt, node=other, kind=f"kind {number}")
    assert statements() == few <= 8


# --- who may ----------------------------------------------------------------------------------------------------


def test_the_page_brings_its_first_snapshot_and_is_found_from_the_system(supervisor: Client, node: Node) -> None:
    page = supervisor.get("/switches/").content
    found = re.search(rb'<script id="snapshot" type="application/json">(.+?)</script>', page)
    assert found
    assert json.loads(found[1])["switches"][0]["name"] == NAME
    assert b'href="/switches/" aria-current="page">Switches' in page
    assert supervisor.get("/switches.json").json()["switches"][0]["name"] == NAME
    assert b'href="/switches/"' in supervisor.get("/system/").content


def test_it_is_for_supervisors_alone(node: Node) -> None:
    stranger, agent = Client(), Client()
    agent.force_login(User.objects.create_user("agent"))
    assert stranger.get("/switches/")["Location"] == "/login/?next=/switches/"
    assert stranger.get("/switches.json").status_code == 401
    assert agent.get("/switches/").status_code == 403
    assert agent.get("/switches.json").status_code == 403
    for client, status in ((stranger, 401), (agent, 403)):
        assert client.post(f"/switches/{node.pk}/drain").status_code == status
    node.refresh_from_db()
    assert node.enabled


def test_drain_and_resume_say_what_they_did_and_show_it_at_once(supervisor: Client, node: Node) -> None:
    assert supervisor.get("/switches.json").json()["switches"][0]["label"] == "connected"
    answer = supervisor.post(f"/switches/{node.pk}/drain").json()
    assert answer == {"tone": "good", "message": f"{NAME}: No new call is placed on it; those it has go on."}
    assert supervisor.get("/switches.json").json()["switches"][0]["label"] == "drained"
    assert supervisor.post(f"/switches/{node.pk}/resume").status_code == 200
    assert supervisor.get("/switches.json").json()["switches"][0]["label"] == "connected"
    assert supervisor.post("/switches/12345/drain").status_code == 404
    assert supervisor.get(f"/switches/{node.pk}/drain").status_code == 405


def test_staff_without_the_permission_may_look_only(node: Node) -> None:
    user = User.objects.create_user("trainee", is_staff=True)
    client = Client()
    client.force_login(user)
    assert b'data-may-drain="no"' in client.get("/switches/").content
    assert client.post(f"/switches/{node.pk}/drain").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="change_node"))
    assert b'data-may-drain="yes"' in client.get("/switches/").content
    assert client.post(f"/switches/{node.pk}/drain").status_code == 200


def test_another_site_drains_nothing(node: Node) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("olena"))
    assert client.post(f"/switches/{node.pk}/drain").status_code == 403
    node.refresh_from_db()
    assert node.enabled
