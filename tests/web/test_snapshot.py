"""What the live page shows is what there is, in a constant number of statements."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Operator, OperatorState, OperatorStatus
from campaigns.models import Campaign, CampaignState, Completion
from dialer import clock, live, readings, verbs
from dialer.models import Attempt, Outcome
from members.models import MemberState
from tests import factories
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


def ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def only_campaign() -> dict[str, Any]:
    [campaign] = live.read()["campaigns"]
    return dict(campaign)


def end(member: Any, cause: str, *, success: bool = False, hidden: bool = False) -> None:
    type(member).objects.filter(pk=member.pk).update(
        state=MemberState.ENDED, end_cause=cause, success=success, ended_at=clock.now(), hidden=hidden
    )


class TestCampaigns:
    def test_progress_counts_every_subscriber_once(self, house: None) -> None:
        make_route()
        campaign = make_campaign()
        everyone = [make_member(campaign) for _ in range(9)]
        for member in everyone[:3]:
            end(member, "NORMAL_CLEARING", success=True)
        end(everyone[3], "MAX_TRY_COUNT")
        end(everyone[4], "MAX_TRY_COUNT")
        end(everyone[5], "UNALLOCATED_NUMBER")
        make_attempt(everyone[6])
        make_member(campaign, due_at=clock.now() + timedelta(hours=1))
        shown = only_campaign()
        assert shown["total"] == 10
        assert (shown["done"], shown["success"], shown["ended"]) == (6, 3, 3)
        assert (shown["live"], shown["held"], shown["waiting"]) == (1, 0, 3)
        assert shown["ends"] == [("MAX_TRY_COUNT", 2), ("UNALLOCATED_NUMBER", 1)]
        assert shown["done"] + shown["live"] + shown["held"] + shown["waiting"] == shown["total"]

    def test_the_deleted_are_not_shown(self, house: None) -> None:
        make_route()
        campaign = make_campaign()
        end(make_member(campaign), "MANAGER_REQUEST", hidden=True)
        assert only_campaign()["total"] == 0

    def test_lines_attempts_and_connect_rate(self, house: None) -> None:
        make_route()
        campaign = make_campaign(limit=7)
        now = clock.now()
        make_attempt(make_member(campaign))
        make_attempt(make_member(campaign))
        for bridged in (True, False, False, False):
            make_attempt(
                make_member(campaign),
                subscriber_created_at=now,
                bridged_at=now if bridged else None,
                talk_ended_at=now if bridged else None,
                ended_at=now,
            )
        make_attempt(make_member(campaign), ended_at=now, outcome=Outcome.REFUNDED, cause="ORIGINATOR_CANCEL")
        shown = only_campaign()
        assert (shown["lines"], shown["limit"]) == (2, 7)
        assert shown["attempts"] == 7
        assert (shown["connected"], shown["dialled"]) == (1, 4), "of those whose phone was called"
        assert live.read()["recent"]["dialled"] == 4

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"state": CampaignState.IDLE}, "never run"),
            ({"state": CampaignState.STOPPED}, "nobody is called"),
            ({"state": CampaignState.STOPPING}, "no call is left"),
            ({"state": CampaignState.COMPLETED, "completion": Completion.LIST_COMPLETE}, "everyone is processed"),
            ({"state": CampaignState.COMPLETED, "completion": Completion.CALENDAR_EXPIRED}, "the calendar has ended"),
            (
                {"state": CampaignState.COMPLETED, "completion": Completion.NOTHING_TO_DIAL, "completion_left": 12},
                "nobody left can be dialled (12 left)",
            ),
        ],
    )
    def test_the_state_says_why(self, house: None, fields: dict[str, Any], why: str) -> None:
        make_campaign(**fields)
        assert only_campaign()["why"] == why

    @time_machine.travel(datetime(2026, 2, 6, 20, tzinfo=UTC), tick=False)
    def test_sleeping_tells_the_opening_on_the_calendars_clock(self, house: None) -> None:
        campaign = make_campaign(
            state=CampaignState.SLEEPING, sleeping_until=datetime(2026, 2, 9, 7, tzinfo=UTC)
        )  # fmt: skip
        assert only_campaign()["label"] == "Sleeping"
        assert only_campaign()["why"] == "until Mon 09:00 Europe/Kyiv"
        Campaign.objects.filter(pk=campaign.pk).update(sleeping_until=datetime(2026, 3, 30, 6, tzinfo=UTC))
        assert only_campaign()["why"] == "until Mon 30 Mar 09:00 Europe/Kyiv"

    def test_a_running_one_tells_what_holds_it_back(self, house: None) -> None:
        gateway = make_gateway(capacity=1)
        make_route(gateway)
        campaign = make_campaign(state=CampaignState.RUNNING, limit=2)
        first, second = make_member(campaign), make_member(campaign)
        assert only_campaign()["why"] == "no operator is assigned"
        operator = make_operator(campaign)
        assert only_campaign()["why"] == "dialling"
        make_attempt(first, operator)
        assert only_campaign()["why"] == "dialling, no line of its gateways is free"
        type(gateway).objects.update(capacity=5)
        Operator.objects.update(
            state=OperatorState.RECEIVING, current_attempt=Attempt.objects.get(operator=operator)
        )  # fmt: skip
        assert only_campaign()["why"] == "dialling, every operator is busy"
        make_attempt(second)
        assert only_campaign()["why"] == "dialling at its limit"

    def test_those_at_work_come_first_then_by_priority(self, house: None) -> None:
        make_campaign(name="done", priority=99, state=CampaignState.COMPLETED, completion=Completion.LIST_COMPLETE)
        make_campaign(name="low", priority=1, state=CampaignState.RUNNING)
        make_campaign(name="high", priority=5, state=CampaignState.SLEEPING, sleeping_until=clock.now())
        assert [campaign["name"] for campaign in live.read()["campaigns"]] == ["high", "low", "done"]

    def test_more_than_the_page_shows_are_counted(self, house: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "CAMPAIGNS", 2)
        for _ in range(5):
            make_campaign()
        shown = live.read()
        assert (len(shown["campaigns"]), shown["more_campaigns"]) == (2, 3)


class TestLines:
    def test_a_gateways_lines_are_those_of_all_campaigns_and_of_outside_operators(self, house: None) -> None:
        gateway, other = make_gateway(name="a", capacity=4), make_gateway(name="b", capacity=2)
        make_route(gateway)
        for _ in range(2):
            make_attempt(make_member(make_campaign()))
        make_attempt(make_member(make_campaign()), operator_gateway=other)
        shown = {gateway["name"]: (gateway["used"], gateway["capacity"]) for gateway in live.read()["gateways"]}
        assert shown == {"a": (3, 4), "b": (1, 2)}

    def test_a_gateway_that_refuses_says_why(self, house: None) -> None:
        make_gateway(name="carrier", blocked_until=clock.now() + timedelta(minutes=1), blocked_reason="GATEWAY_DOWN")
        shown = live.read()
        assert "GATEWAY_DOWN" in shown["gateways"][0]["note"]
        [alert] = shown["alerts"]
        assert alert["title"] == "Gateway carrier refuses calls."

    def test_one_that_is_switched_off_is_no_alarm(self, house: None) -> None:
        make_gateway(enabled=False)
        shown = live.read()
        assert (shown["gateways"][0]["note"], shown["alerts"]) == ("switched off", [])


class TestOperators:
    @pytest.mark.parametrize(
        ("status", "state", "words"),
        [
            (OperatorStatus.LOGGED_OUT, OperatorState.IDLE, ("Logged Out", "Idle", "Logged Out")),
            (OperatorStatus.ON_BREAK, OperatorState.IDLE, ("On Break", "Idle", "On Break")),
            (OperatorStatus.ON_DEMAND, OperatorState.IDLE, ("Available (On Demand)", "Idle", "Idle")),
            (OperatorStatus.AVAILABLE, OperatorState.WAITING, ("Available", "Waiting", "Waiting")),
        ],
    )
    def test_words_of_the_free(self, house: None, status: str, state: str, words: tuple[str, str, str]) -> None:
        make_operator(status=status, state=state)
        [shown] = live.read()["operators"]
        assert (shown["status"], shown["state"], shown["shown"]) == words

    @pytest.mark.parametrize(
        ("state", "word"),
        [
            (OperatorState.RESERVED, "Reserved"),
            (OperatorState.RECEIVING, "Receiving"),
            (OperatorState.IN_CALL, "In a queue call"),
        ],
    )
    def test_one_on_a_call_shows_with_whom(self, house: None, state: str, word: str) -> None:
        make_route()
        operator = make_operator()
        attempt = make_attempt(make_member(make_campaign(), ["+380 44 000 11 22"], name="Ірина Мельник"), operator)
        since = clock.now() - timedelta(seconds=42)
        Operator.objects.update(state=state, state_since=since, current_attempt=attempt)
        [shown] = live.read()["operators"]
        assert (shown["shown"], shown["since"]) == (word, ms(since))
        assert (shown["with"], shown["number"]) == ("Ірина Мельник", "+380 44 000 11 22")
        assert shown["talks"] is False, "the subscriber's phone may still ring"
        Attempt.objects.update(bridged_at=since)
        assert live.read()["operators"][0]["talks"] is True

    def test_wrap_up(self, house: None) -> None:
        make_operator(state=OperatorState.WRAP_UP, wrap_up_until=clock.now())
        assert live.read()["operators"][0]["shown"] == "Wrap up"

    def test_a_forced_break_is_shown_as_forced(self, house: None) -> None:
        make_operator(status=OperatorStatus.ON_BREAK, state=OperatorState.IDLE, forced_break=True)
        [shown] = live.read()["operators"]
        assert (shown["forced"], shown["note"]) == (True, "forced: calls were not answered")

    def test_what_keeps_an_available_one_from_calls(self, house: None) -> None:
        until = clock.now() + timedelta(seconds=12)
        make_operator(name="1", registered=False)
        make_operator(name="2", uses_client=True)
        make_operator(name="3", uses_client=True, client_connected=True)
        make_operator(name="4", ready_at=until)
        make_operator(name="5", registered=False, contact="+380440000000", gateway=make_gateway())
        shown = live.read()["operators"]
        assert [operator["note"] for operator in shown] == [
            "phone not registered", "client not connected", "call-centre mode off", "", "",
        ]  # fmt: skip
        assert shown[3]["rests_until"] == ms(until)
        assert [operator["phone"] for operator in shown] == [False, True, True, True, None]

    def test_a_status_chosen_during_the_call_is_told(self, house: None) -> None:
        make_operator(next_status=OperatorStatus.ON_BREAK)
        assert live.read()["operators"][0]["note"] == "then On Break"

    def test_those_who_have_left_are_not_shown(self, house: None) -> None:
        make_operator(archived=True)
        assert live.read()["operators"] == []


class TestAttempts:
    def test_a_live_one_shows_its_stage_and_an_ended_one_its_outcome(self, house: None) -> None:
        make_route()
        campaign, now = make_campaign(name="Survey"), clock.now()
        talked = now - timedelta(seconds=70)
        make_attempt(
            make_member(campaign), ended_at=now, outcome=Outcome.SUCCESS, cause="NORMAL_CLEARING",
            bridged_at=talked, talk_ended_at=now,
        )  # fmt: skip
        make_attempt(make_member(campaign), sending_at=now, operator_ringing_at=now)
        make_attempt(make_member(campaign), sending_at=now, bridged_at=talked)
        talking, ringing, ended = live.read()["attempts"]
        assert (talking["live"], talking["label"], talking["talks_since"]) == (True, "talking", ms(talked))
        assert (ringing["live"], ringing["label"], ringing["talk"]) == (True, "operator ringing", None)
        assert (ended["live"], ended["label"], ended["cause"]) == (False, "Success", "NORMAL_CLEARING")
        assert (ended["talk"], ended["talks_since"], ended["campaign"]) == (70, None, "Survey")

    def test_the_last_thirty_the_newest_first(self, house: None) -> None:
        make_route()
        campaign, operator = make_campaign(), make_operator()
        made = [make_attempt(make_member(campaign), operator, ended_at=clock.now()).pk for _ in range(33)]
        assert [attempt["id"] for attempt in live.read()["attempts"]] == made[:2:-1]

    def test_causes_are_counted_the_most_frequent_first(self, house: None) -> None:
        make_route()
        campaign, operator, now = make_campaign(), make_operator(), clock.now()
        for cause, outcome in [
            ("NO_ANSWER", Outcome.RETRY), ("NO_ANSWER", Outcome.RETRY), ("UNALLOCATED_NUMBER", Outcome.ERROR),
        ]:  # fmt: skip
            make_attempt(make_member(campaign), operator, ended_at=now, cause=cause, outcome=outcome)
        assert live.read()["causes"] == [
            {"cause": "NO_ANSWER", "count": 2, "tone": "off"},
            {"cause": "UNALLOCATED_NUMBER", "count": 1, "tone": "bad"},
        ]


class TestAlerts:
    def test_none_when_all_is_well(self, house: None) -> None:
        assert live.read()["alerts"] == []

    def test_a_switch_that_was_never_there(self, redis: Any) -> None:
        redis.set(verbs.PASS_KEY, "1", ex=verbs.PASS_TTL)
        assert [alert["code"] for alert in live.read()["alerts"]] == ["no switch"]

    def test_a_switch_that_is_lost_and_comes_back(self, house: None) -> None:
        lost = make_node(name="10.0.0.9:8021", connected=False)
        [alert] = live.read()["alerts"]
        assert (alert["tone"], alert["title"]) == ("bad", "Switch 10.0.0.9:8021 is disconnected.")
        type(lost).objects.filter(pk=lost.pk).update(connected=True, last_event_at=clock.now())
        assert live.read()["alerts"] == []

    def test_a_switch_that_is_paused(self, house: None) -> None:
        make_node(name="10.0.0.9:8021", ready=False, last_event_at=clock.now())
        [alert] = live.read()["alerts"]
        assert alert["title"] == "Switch 10.0.0.9:8021 is paused."

    def test_a_listener_that_was_killed_is_noticed_by_its_silence(self, house: None) -> None:
        node = make_node(name="10.0.0.9:8021")
        type(node).objects.filter(pk=node.pk).update(connected=True, last_event_at=clock.now() - timedelta(seconds=30))
        assert [alert["title"] for alert in live.read()["alerts"]] == ["Switch 10.0.0.9:8021 is disconnected."]

    def test_no_pass_lately(self, house: None, redis: Any) -> None:
        redis.set(verbs.PASS_KEY, "1", ex=verbs.PASS_TTL - 42)
        shown = live.read()
        [alert] = shown["alerts"]
        assert alert["title"] == "The dial loop does not run."
        assert "42 s ago" in alert["text"]
        assert math.isclose(shown["pass_at"], ms(clock.now()) - 42_000, abs_tol=3_000)

    def test_no_pass_ever(self, house: None, redis: Any) -> None:
        redis.delete(verbs.PASS_KEY)
        assert [alert["code"] for alert in live.read()["alerts"]] == ["loop"]

    def test_redis_is_down(self, house: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("django.conf.settings.REDIS_URL", "unix:///nonexistent/redis.sock?db=0")
        [alert] = live.read()["alerts"]
        assert alert["title"] == "Redis does not answer."


class TestCost:
    def fill(self, campaigns: int, operators: int) -> None:
        for _ in range(campaigns):
            campaign = make_campaign(state=CampaignState.RUNNING)
            make_attempt(make_member(campaign), make_operator(campaign))
            make_attempt(make_member(campaign), make_operator(campaign), ended_at=clock.now())
            for _ in range(operators):
                make_operator(campaign)

    def statements(self) -> int:
        cache.clear()
        with CaptureQueriesContext(
            connection,
        ) as captured:
            live.read()
        return len(captured)

    def test_the_number_of_statements_is_constant(self, house: None) -> None:
        make_route()
        self.fill(campaigns=2, operators=1)
        few = self.statements()
        self.fill(campaigns=38, operators=5)
        for _ in range(5):
            make_node(last_event_at=clock.now())
        assert self.statements() == few <= 15

    def test_many_viewers_cost_one_reading(self, house: None) -> None:
        with CaptureQueriesContext(connection) as captured:
            for _ in range(50):
                live.snapshot_json()
        assert len(captured) <= 15

    def test_counting_takes_a_tenth_of_the_time_at_most(self, house: None, monkeypatch: pytest.MonkeyPatch) -> None:
        kept: dict[str, float] = {}
        monkeypatch.setattr(cache, "set", lambda key, value, timeout: kept.__setitem__(key, timeout))
        with time_machine.travel(0, tick=False):
            monkeypatch.setattr(readings.time, "monotonic", iter((10.0, 10.5)).__next__)
            readings.shared("slow", lambda: 1, times=readings.COUNTS_TIMES)
            monkeypatch.setattr(readings.time, "monotonic", iter((20.0, 20.001)).__next__)
            readings.shared("fast", lambda: 1, times=readings.COUNTS_TIMES)
        assert kept == {"slow": 5.0, "fast": 1.0}

    @pytest.mark.django_db(transaction=True)
    def test_counts_are_read_from_the_index_alone(self) -> None:
        make_route()
        campaign = make_campaign()
        factories.actions.add_members(
            campaign, [{"communications": [{"number": factories.make_number()}]} for _ in range(2000)]
        )
        with CaptureQueriesContext(connection) as captured:
            live._count_members([campaign.pk])
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE members_member")
            cursor.execute("EXPLAIN " + captured.captured_queries[0]["sql"])
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert "Index Only Scan using member_by_state" in plan


class TestClock:
    def test_the_page_gets_now_and_the_factor(self, house: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "FACTOR", 20.0)
        before = ms(clock.now())
        shown = json.loads(live.snapshot_json())
        assert shown["factor"] == 20
        assert before <= shown["now"] <= ms(clock.now())

    def test_now_is_fresh_when_the_reading_is_shared(self, house: None) -> None:
        with time_machine.travel(datetime(2026, 2, 6, 20, tzinfo=UTC), tick=False) as travel:
            first = json.loads(live.snapshot_json())["now"]
            travel.shift(0.4)
            assert json.loads(live.snapshot_json())["now"] == first + 400


def test_a_campaign_that_fell_back_to_operator_first_says_so() -> None:
    campaign = make_campaign(connect_order="subscriber_first", operator_first_until=clock.now() + timedelta(hours=3))
    Campaign.objects.filter(pk=campaign.pk).update(state="running")
    [told] = live.read()["campaigns"]
    assert "operator first until" in told["why"]
    assert "too many were abandoned" in told["why"]
