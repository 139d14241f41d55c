"""``/metrics`` and the log events: who may ask, what they say, and that it costs the same however much there is."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from celery import current_app
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from campaigns.models import CampaignState
from dialer import heartbeats, verbs
from dialer.engine import tasks
from dialer.logs import JsonFormatter
from dialer.models import Outcome, Repair
from dialer.web import broker, metrics
from dialer.web.tasks import log_figures
from dialer.webhooks.models import Delivery, Event, Subscription
from tests.factories import (
    make_attempt,
    make_campaign,
    make_gateway,
    make_member,
    make_node,
    make_operator,
    make_route,
)

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def noon() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def read(client: Client | None = None, **headers: str) -> dict[str, float]:
    """Return the samples of /metrics as ``name{label="value",…}``, read by Prometheus' own parser."""
    answer = (client or Client()).get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"].startswith("text/plain; version=")
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


# --- who may ask ------------------------------------------------------------------------------------------------


def test_without_a_token_it_is_for_this_machine_alone() -> None:
    assert Client(REMOTE_ADDR="127.0.0.1").get("/metrics").status_code == 200
    assert Client(REMOTE_ADDR="::1").get("/metrics").status_code == 200
    for address in ("192.0.2.7", "", "unix:"):
        refused = Client(REMOTE_ADDR=address).get("/metrics")
        assert (refused.status_code, b"METRICS_TOKEN" in refused.content) == (403, True)


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP"])
def test_what_a_proxy_on_this_machine_hands_on_is_not_from_here(header: str) -> None:
    assert Client().get("/metrics", headers={header: "127.0.0.1"}).status_code == 403


def test_with_a_token_it_is_for_who_knows_it(settings: Any) -> None:
    settings.METRICS_TOKEN = "f" * 40
    far = Client(REMOTE_ADDR="192.0.2.7")
    assert read(far, Authorization=f"Bearer {'f' * 40}")["dialer_up[database]"] == 1
    for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "f" * 40}, {"Authorization": "Bearer ü"}):
        refused = Client().get("/metrics", headers=given)
        assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Bearer")


def test_it_is_exempt_from_the_redirect_to_https(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_REDIRECT_EXEMPT = [r"^metrics$"]
    assert Client().get(reverse("metrics")).status_code == 200


# --- what it says -----------------------------------------------------------------------------------------------


def test_operators_lines_and_live_attempts(noon: Any, redis: Redis) -> None:
    gateway = make_gateway(name="kyiv", capacity=30)
    make_route(gateway)
    campaign = make_campaign(limit=9, state=CampaignState.RUNNING)
    talking = make_operator(campaign)
    make_attempt(make_member(campaign), talking, sending_at=NOON, bridged_at=NOON)
    make_attempt(make_member(campaign), make_operator(campaign), operator_gateway=gateway)
    make_operator(status="on_break", state="idle", forced_break=True, registered=False)
    make_operator(archived=True, status="logged_out", state="idle")
    found = read()
    assert found["dialer_operators[waiting][available]"] == 2
    assert found["dialer_operators[idle][on_break]"] == 1
    assert found["dialer_operators[idle][logged_out]"] == 0
    assert (found["dialer_operators_registered"], found["dialer_operators_forced_break"]) == (2, 1)
    assert (found["dialer_lines_used[kyiv]"], found["dialer_lines[kyiv]"]) == (3, 30)
    stages = {stage: found[f"dialer_live_attempts[{campaign.pk}][{stage}]"] for stage in metrics.STAGES}
    assert stages == dict.fromkeys(metrics.STAGES, 0) | {"talking": 1, "reserved": 1}
    assert found[f"dialer_campaign_limit[{campaign.pk}]"] == 9
    assert found[f"dialer_campaign_info[{campaign.pk}][{campaign.name}][running]"] == 1


def test_counters_come_from_the_ledger_and_never_go_back(noon: Any, redis: Redis) -> None:
    make_route()
    campaign = make_campaign(state=CampaignState.RUNNING)
    for outcome in (Outcome.SUCCESS, Outcome.RETRY, Outcome.RETRY, Outcome.ABANDONED, Outcome.AWAITING_RESULT):
        make_attempt(
            make_member(campaign), ended_at=NOON, outcome=outcome, subscriber_answered_at=NOON, cause=f"C_{outcome}"
        )
    found = read()
    assert found[f"dialer_attempts_total[{campaign.pk}][retry]"] == 2
    assert found[f"dialer_attempts_total[{campaign.pk}][success]"] == 1
    assert found[f"dialer_attempts_total[{campaign.pk}][minus]"] == 0
    assert f"dialer_attempts_total[{campaign.pk}][awaiting_result]" not in found, "it would go back with the result"
    assert found[f"dialer_results_awaited[{campaign.pk}]"] == 1
    assert found[f"dialer_causes_total[{campaign.pk}][C_retry]"] == 2
    assert found[f"dialer_abandonment_ratio[{campaign.pk}]"] == 0.2


def test_campaigns_that_rest_for_long_are_left_out(noon: Any, redis: Redis) -> None:
    make_route()
    old = make_campaign(state=CampaignState.STOPPED, state_since=NOON - timedelta(days=2))
    new = make_campaign(state=CampaignState.STOPPED, state_since=NOON - timedelta(hours=2))
    make_attempt(make_member(old), ended_at=NOON)
    found = "\n".join(read())
    assert f"campaign_limit[{new.pk}]" in found
    assert f"_total[{old.pk}]" not in found


def test_the_parts_of_the_latency(noon: Any, redis: Redis) -> None:
    make_route()
    campaign = make_campaign()

    def ago(seconds: float) -> datetime:
        return NOON - timedelta(seconds=seconds)

    make_attempt(
        make_member(campaign), operator_free_at=ago(60), member_due_at=ago(31), reserved_at=ago(30),
        sending_at=ago(29.5), operator_ringing_at=ago(29), operator_answered_at=ago(24),
        subscriber_created_at=ago(23), subscriber_answered_at=ago(11), bridged_at=ago(10.75),
    )  # fmt: skip
    make_attempt(make_member(campaign), reserved_at=NOON - timedelta(hours=1), sending_at=NOON)
    found = read()
    told = {part: found[f"dialer_latency_seconds[{part}][0.5]"] for part in metrics.PARTS}
    assert told == {
        "dispatch": 1.0, "send": 0.5, "ring": 0.5, "operator_answer": 5.0, "subscriber_answer": 12.0, "bridge": 0.25,
    }  # fmt: skip
    assert {found[f"dialer_latency_attempts[{part}]"] for part in metrics.PARTS} == {1}, "the old one is not of late"


def test_without_attempts_no_latency_is_told(redis: Redis) -> None:
    found = read()
    assert found["dialer_latency_attempts[dispatch]"] == 0
    assert not any(name.startswith("dialer_latency_seconds") for name in found)


def test_webhooks_uploads_repairs_and_switches(noon: Any, redis: Redis) -> None:
    subscription = Subscription.objects.create(name="CRM", types=["attempt.ended"], created_at=NOON)
    for state, minutes in (("pending", 3), ("pending", 1), ("parked", 9)):
        event = Event.objects.create(type="attempt.ended", at=NOON, payload={})
        Delivery.objects.create(
            subscription=subscription, event=event, state=state, created_at=NOON - timedelta(minutes=minutes)
        )
    node = make_node(name="one:8021", last_event_at=NOON)
    make_node(name="two:8021", connected=False)
    for kind, hours in (("late_end", 1), ("late_end", 2), ("absent", 25)):
        Repair.objects.create(at=NOON - timedelta(hours=hours), node=node, kind=kind)
    found = read()
    assert (found["dialer_webhooks_pending"], found["dialer_webhooks_oldest_seconds"]) == (2, 180)
    assert (found["dialer_webhooks_parked"], found["dialer_uploads_running"]) == (1, 0)
    assert found["dialer_repairs_last_day[late_end]"] == 2
    assert "dialer_repairs_last_day[absent]" not in found
    assert (found["dialer_switch_usable[one:8021]"], found["dialer_switch_usable[two:8021]"]) == (1, 0)


def test_queues_tell_their_depth_and_how_old_their_oldest_message_is(redis: Redis) -> None:
    for _ in range(3):
        current_app.send_task("dialer.engine.tasks.tidy", queue="default")
    found = read()
    assert (found["dialer_queue_messages[default]"], found["dialer_queue_messages[dial]"]) == (3, 0)
    assert 0 < found["dialer_queue_oldest_seconds[default]"] < 30
    assert found["dialer_queue_oldest_seconds[dial]"] == 0
    [_, queue, _] = broker.read().queues
    oldest = json.loads(redis.lindex("default", -1) or "")["headers"][heartbeats.SENT_AT]
    newest = json.loads(redis.lindex("default", 0) or "")["headers"][heartbeats.SENT_AT]
    assert oldest < newest
    assert queue.oldest is not None


@pytest.mark.parametrize("message", [b"{}", b"[1]", b"no json", b'{"headers": {"sent_at": "soon"}}'])
def test_a_message_of_others_has_no_age(redis: Redis, message: bytes) -> None:
    redis.lpush("default", message)
    [_, queue, _] = broker.read().queues
    assert (queue.depth, queue.oldest) == (1, None)


def test_processes_are_alive_for_a_while_after_each_sign_and_then_forgotten(redis: Redis) -> None:
    heartbeats.show("default", "uploads")
    redis.sadd(heartbeats.PROCESSES_KEY, "default elsewhere 17", "default gone 18")
    redis.set(f"{heartbeats.PROCESSES_KEY}:default elsewhere 17", "1", ex=heartbeats.PROCESS_TTL - 60)
    found = read()
    assert [found[f"dialer_workers[{queue}]"] for queue in broker.QUEUES] == [0, 1, 1]
    [_, queue, _] = broker.read().queues
    assert [(one.host, one.alive) for one in queue.workers if one.host == "elsewhere"] == [("elsewhere", False)]
    assert redis.scard(heartbeats.PROCESSES_KEY) == 3, "who left no key is forgotten"
    heartbeats.leave_for_good("default", "uploads")
    assert read()["dialer_workers[default]"] == 0


def test_a_pass_tells_of_itself(redis: Redis) -> None:
    assert "dialer_pass_age_seconds" not in read(), "none was seen"
    tasks.dispatch_pass()
    redis.set(heartbeats.BEAT_KEY, "1", ex=verbs.PASS_TTL - 7)
    found = read()
    assert 0 <= found["dialer_pass_age_seconds"] < 10
    assert 7 <= found["dialer_beat_age_seconds"] < 17
    parts = ["sweep", "states", "lock", "claim", "place"]
    assert all(0 <= found[f"dialer_pass_seconds[{part}]"] < 5 for part in parts)
    assert found["dialer_pass_claimed"] == 0


def test_what_does_not_answer_is_told_and_the_rest_stays(
    redis: Redis, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (read()["dialer_up[database]"], read()["dialer_up[redis]"]) == (1, 1)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    found = read()
    assert (found["dialer_up[database]"], found["dialer_up[redis]"]) == (1, 0)
    assert "dialer_operators_registered" in found

    def fail(now: datetime) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(metrics, "_campaigns", fail)
    assert read()["dialer_up[database]"] == 0


def test_the_number_of_statements_is_constant(redis: Redis) -> None:
    def statements() -> int:
        cache.clear()
        with CaptureQueriesContext(connection) as queries:
            read()
        return len(queries)

    make_campaign(state=CampaignState.RUNNING)
    few = statements()
    for _ in range(3):
        make_route()
        campaign = make_campaign(state=CampaignState.RUNNING)
        make_attempt(make_member(campaign), make_operator(campaign))
        make_attempt(make_member(campaign), make_operator(campaign), ended_at=NOON)
        make_node()
    assert statements() == few <= 16


# --- log events -------------------------------------------------------------------------------------------------


def test_the_same_figures_are_logged_by_what_they_are_of(
    noon: Any, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    make_route(make_gateway(name="kyiv", capacity=30))
    campaign = make_campaign(name="Renewals", state=CampaignState.RUNNING)
    make_attempt(make_member(campaign), make_operator(campaign), sending_at=NOON)
    with caplog.at_level(logging.INFO, "dialer.figures"):
        log_figures()
    events = [
        json.loads(JsonFormatter().format(record)) for record in caplog.records if record.name == "dialer.figures"
    ]
    by_subject = {(event["figures"], str(event.get(event["figures"], ""))): event for event in events}
    house, his = by_subject["house", ""], by_subject["campaign", str(campaign.pk)]
    assert (house["operators_available_waiting"], house["up_database"]) == (1, 1)
    assert (his["name_of_campaign"], his["state"], his["live_attempts_sent"]) == ("Renewals", "running", 1)
    assert (his["attempts_success"], his["campaign_limit"]) == (0, campaign.limit)
    assert by_subject["gateway", "kyiv"]["lines_used"] == 1
    assert by_subject["queue", "dial"]["queue_messages"] == 0
