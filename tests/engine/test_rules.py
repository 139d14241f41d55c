"""The rules of who is called by whom and when, on the real database through passes of the dial loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from agents import actions as agents
from agents.models import Operator, OperatorState, OperatorStatus, Tier
from campaigns import actions as campaigns
from campaigns.models import Calendar, Campaign, CampaignState, Gateway, Route
from dialer import clock
from dialer.engine import calls, dispatch, tidy
from dialer.engine.invariants import find_violations
from dialer.models import Attempt, Node
from dialer.switch import events
from members import actions as members
from members import planning
from members.models import Communication, DoNotCall, Member, MemberState
from tests.engine.story import Story
from tests.factories import (
    make_calendar,
    make_campaign,
    make_gateway,
    make_member,
    make_node,
    make_number,
    make_operator,
    make_route,
)

pytestmark = pytest.mark.django_db

MONDAY = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
"""Noon in Kyiv, ten in London, five in the morning in New York."""
OFFICE_HOURS = {weekday: [(9 * 60, 18 * 60)] for weekday in range(1, 6)}


def running(calendar: Calendar | None = None, **fields: Any) -> Campaign:
    campaign = make_campaign(calendar, **fields)
    Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
    campaign.refresh_from_db()
    return campaign


def claim(at: datetime | None = None) -> list[Attempt]:
    """Run a pass (at an instant) and return what it claimed, in the order in which it was decided."""
    with time_machine.travel(at or clock.now(), tick=False):
        if not Node.objects.exists():
            make_node()
        Node.objects.update(last_event_at=clock.now())
        found = dispatch.run_pass().claimed
    return list(Attempt.objects.filter(pk__in=found).order_by("pk"))


def called(attempts: Iterable[Attempt]) -> list[int]:
    return [attempt.member_id for attempt in attempts]


def served_by(attempts: Iterable[Attempt]) -> list[int]:
    return [attempt.operator_id for attempt in attempts]


def finish(attempts: Iterable[Attempt]) -> None:
    """End live attempts as never sent, without touching what their subscribers or operators were."""
    for attempt in attempts:
        Attempt.objects.filter(pk=attempt.pk).update(ended_at=clock.now(), outcome="refunded", cause="WITHDRAWN")
        Member.objects.filter(pk=attempt.member_id).update(state=MemberState.READY, current_attempt=None)
        Operator.objects.filter(pk=attempt.operator_id).update(state=OperatorState.WAITING, current_attempt=None)


def reload(*rows: Any) -> None:
    for row in rows:
        row.refresh_from_db()


# --- campaigns --------------------------------------------------------------------------------------------------


def test_campaigns_that_share_operators_are_served_in_order_of_priority() -> None:
    make_route()
    low, high = running(priority=1), running(priority=2)
    for _ in range(3):
        make_operator(low, high)
    low_ones = [make_member(low) for _ in range(2)]
    high_ones = [make_member(high) for _ in range(2)]
    assert called(claim()) == [*(m.pk for m in high_ones), low_ones[0].pk]


def test_a_lower_campaign_gets_a_line_only_when_no_higher_one_can_use_it_now() -> None:
    make_route(make_gateway(capacity=2))
    low, high = running(priority=1), running(priority=2, limit=1)
    for _ in range(3):
        make_operator(low, high)
    for campaign in (low, low, high, high):
        make_member(campaign)
    assert [attempt.campaign_id for attempt in claim()] == [high.pk, low.pk]


def test_nothing_is_held_back_for_a_higher_campaign_that_has_nobody_due() -> None:
    make_route()
    low, high = running(priority=1), running(priority=2)
    make_operator(low, high)
    make_member(high, due_at=clock.now() + timedelta(seconds=5))
    member = make_member(low)
    assert called(claim()) == [member.pk]


def test_equals_take_turns_the_least_recently_served_first() -> None:
    make_route()
    campaigns_ = [running() for _ in range(3)]
    operator = make_operator(*campaigns_)
    for campaign in campaigns_:
        for _ in range(2):
            make_member(campaign)
    order = []
    for _ in range(5):
        attempts = claim()
        order += [attempt.campaign_id for attempt in attempts]
        finish(attempts)
        Member.objects.filter(pk__in=called(attempts)).update(due_at=clock.now())
    first, second, third = (campaign.pk for campaign in campaigns_)
    assert order == [first, second, third, first, second]
    assert Operator.objects.get(pk=operator.pk).state == OperatorState.WAITING


# --- operators --------------------------------------------------------------------------------------------------


def test_the_tier_level_then_the_position_choose_the_operator() -> None:
    make_route()
    campaign = running()
    third, second, first = (make_operator(campaign) for _ in range(3))
    Tier.objects.filter(operator=third).update(level=2, position=1)
    Tier.objects.filter(operator=second).update(level=1, position=2)
    Tier.objects.filter(operator=first).update(level=1, position=1)
    for _ in range(3):
        make_member(campaign)
    assert served_by(claim()) == [first.pk, second.pk, third.pk]


@pytest.mark.parametrize(
    ("strategy", "order"), [("longest_idle", [1, 2, 0]), ("fewest_calls", [2, 0, 1]), ("least_talk", [0, 2, 1])]
)
def test_among_equals_of_a_tier_the_strategy_of_the_campaign_chooses(strategy: str, order: list[int]) -> None:
    make_route()
    campaign, now = running(strategy=strategy), clock.now()
    operators = [
        make_operator(campaign, idle_since=now - timedelta(seconds=idle), calls=calls, talk_seconds=talk)
        for idle, calls, talk in ((10, 5, 0), (90, 9, 900), (50, 1, 300))
    ]
    for _ in range(3):
        make_member(campaign)
    assert served_by(claim()) == [operators[index].pk for index in order]


def test_the_random_strategy_gives_everyone_a_turn() -> None:
    make_route()
    campaign = running(strategy="random")
    operators = [make_operator(campaign) for _ in range(3)]
    make_member(campaign)
    seen = set()
    for _ in range(60):
        attempts = claim()
        seen |= set(served_by(attempts))
        finish(attempts)
        if len(seen) == 3:
            break
    assert seen == {operator.pk for operator in operators}


@pytest.mark.parametrize(
    ("fields", "free"),
    [
        ({}, True),
        ({"status": OperatorStatus.ON_DEMAND}, True),
        ({"status": OperatorStatus.ON_BREAK, "state": OperatorState.IDLE}, False),
        ({"status": OperatorStatus.ON_DEMAND, "state": OperatorState.IDLE}, False),
        ({"registered": False}, False),
        ({"ready_at": datetime(2100, 1, 1, tzinfo=UTC)}, False),
        ({"ready_at": datetime(2020, 1, 1, tzinfo=UTC)}, True),
        ({"uses_client": True}, False),
        ({"uses_client": True, "client_connected": True}, False),
        ({"uses_client": True, "call_centre_mode": True}, False),
        ({"uses_client": True, "client_connected": True, "call_centre_mode": True}, True),
        ({"archived": True, "status": OperatorStatus.LOGGED_OUT, "state": OperatorState.IDLE}, False),
    ],
)
def test_an_operator_gets_calls_only_if_all_his_conditions_hold(fields: dict[str, Any], free: bool) -> None:
    make_route()
    campaign = running()
    make_operator(campaign, **fields)
    make_member(campaign)
    assert len(claim()) == free


def test_an_operator_who_is_not_assigned_to_the_campaign_gets_none_of_its_calls() -> None:
    make_route()
    campaign = running()
    make_operator(running())
    make_member(campaign)
    assert claim() == []


def test_his_client_lost_for_longer_than_the_grace_logs_him_out() -> None:
    make_route()
    campaign = running()
    operator = make_operator(campaign, uses_client=True, client_connected=True, call_centre_mode=True)
    make_member(campaign)
    agents.client_lost(operator.pk)
    assert claim() == []
    claim(clock.now() + timedelta(seconds=59))
    reload(operator)
    assert operator.status == OperatorStatus.AVAILABLE
    claim(clock.now() + timedelta(seconds=61))
    reload(operator)
    assert (operator.status, operator.state) == (OperatorStatus.LOGGED_OUT, OperatorState.IDLE)


def test_one_on_demand_is_idle_after_a_bridged_call_and_its_wrap_up_until_he_says_ready() -> None:
    story = Story(operator={"status": OperatorStatus.ON_DEMAND, "wrap_up_time": 10})
    make_member(story.campaign)
    story.talk(20)
    assert claim(story.at(25 + 9)) == []
    assert story.now()[1].state == OperatorState.WRAP_UP
    assert claim(story.at(25 + 11)) == []
    assert story.now()[1].state == OperatorState.IDLE
    agents.ready(story.operator.pk)
    assert served_by(claim(story.at(25 + 12))) == [story.operator.pk]


def test_after_his_wrap_up_an_operator_goes_on_by_himself() -> None:
    story = Story(operator={"wrap_up_time": 10})
    make_member(story.campaign)
    story.talk(20)
    assert claim(story.at(25 + 9.9)) == []
    assert served_by(claim(story.at(25 + 10))) == [story.operator.pk]


def test_an_outside_operator_needs_no_phone_and_takes_a_line_of_his_gateway_too() -> None:
    make_route(make_gateway(capacity=5))
    campaign, own = running(), make_gateway(capacity=1)
    first, second = (
        make_operator(campaign, registered=False, contact="0441234567", gateway=own) for _ in range(2)
    )  # fmt: skip
    for _ in range(2):
        make_member(campaign)
    attempts = claim()
    assert served_by(attempts) == [first.pk]
    assert attempts[0].operator_gateway_id == own.pk
    assert claim() == []
    Gateway.objects.filter(pk=own.pk).update(capacity=2)
    assert served_by(claim()) == [second.pk]


def test_both_legs_through_one_gateway_take_two_of_its_lines() -> None:
    gateway = make_gateway(capacity=1)
    make_route(gateway)
    campaign = running()
    make_operator(campaign, registered=False, contact="0441234567", gateway=gateway)
    make_member(campaign)
    assert claim() == []
    Gateway.objects.filter(pk=gateway.pk).update(capacity=2)
    assert len(claim()) == 1


# --- subscribers ------------------------------------------------------------------------------------------------


def test_call_backs_then_priority_then_retries_then_the_longest_waiting_come_first() -> None:
    make_route()
    campaign, now = running(), clock.now()
    rows: dict[str, dict[str, Any]] = {
        "never called, late": {"due_at": now - timedelta(seconds=10)},
        "never called, early": {"due_at": now - timedelta(seconds=20)},
        "retry, late": {"tried": True, "due_at": now - timedelta(seconds=5)},
        "retry, early": {"tried": True, "due_at": now - timedelta(seconds=6)},
        "important": {"priority": 5, "due_at": now - timedelta(seconds=1)},
        "unimportant retry": {"priority": -5, "tried": True, "due_at": now - timedelta(days=5)},
        "call-back": {"callback": True, "priority": -9, "due_at": now - timedelta(seconds=1)},
    }
    ids = {make_member(campaign, **fields).pk: name for name, fields in rows.items()}
    for _ in rows:
        make_operator(campaign)
    assert [ids[member] for member in called(claim())] == [
        "call-back", "important", "retry, early", "retry, late", "never called, early", "never called, late",
        "unimportant retry",
    ]  # fmt: skip


def test_the_order_holds_across_zones_and_gateways() -> None:
    calendar = make_calendar()
    make_route(pattern="^38")
    make_route(pattern="^44", position=1)
    campaign = running(calendar)
    wanted = [
        make_member(campaign, [number], priority=priority, zones=zones)
        for priority, (number, zones) in enumerate(
            [
                ("380501", ""),
                ("441", "Europe/London"),
                ("380502", "Europe/London"),
                ("442", ""),
                ("380503", "Asia/Tokyo"),
            ]
        )
    ]
    for _ in wanted:
        make_operator(campaign)
    assert called(claim()) == [member.pk for member in reversed(wanted)]


def test_a_call_back_for_one_operator_is_made_by_him_alone_until_his_time_is_over() -> None:
    make_route()
    campaign = running()
    other, own = make_operator(campaign), make_operator(campaign)
    member = make_member(campaign)
    Operator.objects.filter(pk=own.pk).update(ready_at=clock.now() + timedelta(hours=3))
    at = clock.now() + timedelta(minutes=5)
    members.set_callback(member, at, own, timedelta(minutes=30))
    assert claim(at + timedelta(minutes=1)) == []
    Operator.objects.filter(pk=own.pk).update(ready_at=None)
    attempts = claim(at + timedelta(minutes=2))
    assert served_by(attempts) == [own.pk]
    finish(attempts)
    Operator.objects.filter(pk=own.pk).update(ready_at=clock.now() + timedelta(hours=3))
    assert served_by(claim(at + timedelta(minutes=31))) == [other.pk]


def test_the_number_with_the_fewest_tries_then_the_highest_priority_then_the_first_is_called() -> None:
    make_route()
    campaign = running()
    make_operator(campaign)
    member = make_member(campaign, ["380501", "380502", "380503", "380504"])
    for digits, tries, priority in (("380501", 1, 9), ("380502", 0, 1), ("380503", 0, 2), ("380504", 0, 2)):
        Communication.objects.filter(digits=digits).update(tries=tries, priority=priority)
    planning.plan([member.pk])
    assert [attempt.digits for attempt in claim()] == ["380503"]


def test_a_number_without_a_route_is_passed_over_until_one_matches() -> None:
    make_route(pattern="^44")
    campaign = running()
    make_operator(campaign)
    member = make_member(campaign, ["380501", "441"])
    attempts = claim()
    assert [attempt.digits for attempt in attempts] == ["441"]
    finish(attempts)
    Communication.objects.filter(digits="441").update(tries=1)
    make_route(pattern="^38", position=5)
    planning.resolve_routes(campaign.pk)
    planning.plan([member.pk])
    assert [attempt.digits for attempt in claim()] == ["380501"]
    assert not member.communications.exclude(stopped="").exists()


def test_nobody_is_claimed_who_would_have_expired_when_the_operators_phone_has_rung() -> None:
    make_route()
    campaign, now = running(), clock.now()
    slow = make_operator(campaign, call_timeout=15)
    member = make_member(campaign, expire_at=now + timedelta(seconds=10))
    assert claim(now) == []
    quick = make_operator(campaign, call_timeout=7)
    Tier.objects.filter(operator=quick).update(level=9)
    other = make_member(campaign)
    attempts = claim(now)
    assert {(a.member_id, a.operator_id) for a in attempts} == {(member.pk, quick.pk), (other.pk, slow.pk)}


def test_the_expired_end_and_those_on_a_call_do_not() -> None:
    make_route()
    campaign, now = running(), clock.now()
    make_operator(campaign)
    talking = make_member(campaign, priority=1, expire_at=now + timedelta(seconds=100))
    waiting = make_member(campaign, expire_at=now + timedelta(seconds=100))
    assert called(claim(now)) == [talking.pk]
    claim(now + timedelta(seconds=100))
    reload(talking, waiting)
    assert (waiting.state, waiting.end_cause) == (MemberState.ENDED, "MEMBER_EXPIRED")
    assert talking.state == MemberState.LIVE


def test_a_do_not_call_number_is_never_claimed_even_if_it_was_planned_before_it_was_listed() -> None:
    make_route()
    campaign = running()
    make_operator(campaign)
    member = make_member(campaign)
    DoNotCall.objects.create(digits=member.communications.get().digits, created_at=clock.now())
    assert claim() == []
    DoNotCall.objects.all().delete()
    assert called(claim()) == [member.pk]


def test_a_do_not_call_entry_of_one_campaign_leaves_others_alone() -> None:
    make_route()
    first, second = running(), running()
    make_operator(first, second)
    number = make_number()
    make_member(first, [number])
    member = make_member(second, [number])
    members.add_do_not_call(number, campaign=first)
    assert called(claim()) == [member.pk]


def test_a_number_listed_for_a_time_is_called_after_it_and_another_number_meanwhile() -> None:
    make_route()
    campaign, now = running(), clock.now()
    make_operator(campaign)
    member = make_member(campaign, ["380501", "380502"])
    alone = make_member(campaign, ["380503"])
    for digits in ("380501", "380503"):
        members.add_do_not_call(digits, expire_at=now + timedelta(hours=1))
    attempts = claim()
    assert [(attempt.member_id, attempt.digits) for attempt in attempts] == [(member.pk, "380502")]
    reload(alone, campaign)
    assert (alone.state, campaign.state) == (MemberState.WAITING, CampaignState.RUNNING)
    finish(attempts)
    members.end_member(member)
    assert called(claim(now + timedelta(minutes=59))) == []
    assert called(claim(now + timedelta(minutes=60))) == [alone.pk]


def test_a_number_that_is_on_a_call_is_not_called_by_another_campaign() -> None:
    make_route()
    first, second = running(priority=1), running()
    make_operator(first, second), make_operator(first, second)
    number = make_number()
    member = make_member(first, [number])
    make_member(second, [number])
    assert called(claim()) == [member.pk]
    assert claim() == []


def test_a_lowered_maximum_ends_those_over_it_and_holds_in_the_claim() -> None:
    make_route()
    campaign = running(max_retries=5)
    make_operator(campaign)
    over, granted, under = (make_member(campaign) for _ in range(3))
    Member.objects.filter(pk=over.pk).update(counted=2, priority=9)
    Member.objects.filter(pk=granted.pk).update(counted=2, extra_attempts=1, priority=5)
    Campaign.objects.filter(pk=campaign.pk).update(max_retries=2)
    attempts = claim()
    assert called(attempts) == [granted.pk]
    assert (attempts[0].maximum_then, attempts[0].counted_before) == (3, 2)
    Campaign.objects.filter(pk=campaign.pk).update(max_retries=5)
    campaigns.update_campaign(campaign.pk, max_retries=2)
    reload(over, under)
    assert (over.state, over.end_cause) == (MemberState.ENDED, "MAX_TRY_COUNT")
    assert under.state == MemberState.READY


def test_whom_his_operator_did_not_answer_for_goes_to_the_next_one_at_once() -> None:
    story = Story(operator={"no_answer_delay": 10})
    other = make_operator(story.campaign)
    story.operator_rings()
    story.hangs_up("operator", 15, "NO_ANSWER")
    attempts = claim(story.at(16))
    assert (called(attempts), served_by(attempts)) == ([story.member.pk], [other.pk])
    assert story.now()[2].counted == 0


def test_after_the_wait_he_is_called_again_by_itself() -> None:
    story = Story(retry_wait=60)
    story.operator_answers()
    story.both_end(10, "USER_BUSY")
    assert claim(story.at(69.9)) == []
    assert called(claim(story.at(70))) == [story.member.pk]


# --- refunds and refusals ---------------------------------------------------------------------------------------


def outside(**more: Any) -> dict[str, Any]:
    return {"registered": False, "contact": "0441234567", "gateway": make_gateway(), **more}


@pytest.mark.parametrize("cause", ["GATEWAY_DOWN", "NETWORK_OUT_OF_ORDER", "INVALID_GATEWAY"])
def test_a_gateway_that_is_down_rests_and_rings_no_operator_meanwhile(
    cause: str, django_capture_on_commit_callbacks: Any
) -> None:
    story = Story()
    story.operator_rings()
    story.tell(events.LegAnswered, "operator", 1)
    story.job(1)
    with django_capture_on_commit_callbacks(execute=True):
        story.hangs_up("operator", 1.1, cause, originate_disposition=cause)
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.cause, member.counted, operator.ready_at) == ("refunded", cause, 0, None)
    assert attempt.gateway.blocked_reason == cause
    assert claim(story.at(1.5)) == []
    assert len(claim(story.at(2.5))) == 1


def test_the_end_of_an_earlier_call_does_not_end_the_rest_of_a_gateway(
    django_capture_on_commit_callbacks: Any,
) -> None:
    story = Story()
    story.bridged(5)
    gateway = story.attempt.gateway
    for seconds, pause in ((10, 1), (12, 2)):
        campaigns.block_gateway(gateway.pk, "GATEWAY_DOWN", story.at(seconds))
        gateway.refresh_from_db()
        assert gateway.blocked_until == story.at(seconds + pause)
    with django_capture_on_commit_callbacks(execute=True):
        story.both_end(13)
    gateway.refresh_from_db()
    assert (gateway.blocked_until, gateway.block_step) == (story.at(14), 2)


def test_the_gateway_of_an_outside_operator_rests_when_it_refused_his_leg(
    django_capture_on_commit_callbacks: Any,
) -> None:
    story = Story(operator=outside())
    with django_capture_on_commit_callbacks(execute=True):
        story.job(0.1, "GATEWAY_DOWN")
    attempt, operator, member = story.now()
    assert (attempt.outcome, operator.no_answer_count, member.counted) == ("refunded", 0, 0)
    assert attempt.operator_gateway is not None
    assert (attempt.operator_gateway.blocked_reason, attempt.gateway.blocked_reason) == ("GATEWAY_DOWN", "")


def test_an_outside_operator_who_cannot_be_reached_rests_like_one_who_does_not_answer() -> None:
    story = Story(operator=outside(no_answer_delay=10))
    story.operator_rings()
    story.hangs_up("operator", 3, "SUBSCRIBER_ABSENT")
    operator = story.now()[1]
    assert (operator.no_answer_count, operator.ready_at) == (1, story.at(13))
    assert claim(story.at(4)) == []


def test_a_shutdown_of_the_switch_while_the_operator_rings_is_not_his_fault() -> None:
    story = Story()
    story.operator_rings()
    story.hangs_up("operator", 3, "SYSTEM_SHUTDOWN")
    attempt, operator, member = story.now()
    assert (attempt.outcome, operator.no_answer_count, operator.ready_at) == ("refunded", 0, None)
    assert member.state == MemberState.READY


def test_a_shutdown_of_the_switch_while_the_subscriber_rings_is_not_counted() -> None:
    story = Story(retry_wait=60)
    story.operator_answers()
    story.both_end(10, "SYSTEM_SHUTDOWN")
    attempt, _, member = story.now()
    assert (attempt.outcome, attempt.counted, attempt.cause) == ("refunded", False, "SYSTEM_SHUTDOWN")
    assert (member.counted, member.due_at) == (0, story.at(70))


def test_a_leg_that_was_left_alone_by_the_operator_and_hung_up_by_us_is_not_counted() -> None:
    story = Story(retry_wait=60)
    story.operator_answers()
    story.hangs_up("operator", 6, "NORMAL_CLEARING", originate_disposition="ORIGINATOR_CANCEL")
    story.hangs_up("subscriber", 12, "NORMAL_CLEARING")
    attempt, _, member = story.now()
    assert (attempt.outcome, attempt.counted, member.due_at) == ("refunded", False, story.at(12 + 60))


def test_what_nobody_sent_is_withdrawn_after_ten_seconds_and_claimed_again_at_once() -> None:
    story = Story()
    Attempt.objects.filter(pk=story.attempt.pk).update(sending_at=None)
    with time_machine.travel(story.at(11), tick=False):
        tidy.run()
    attempt, _, member = story.now()
    assert (attempt.cause, attempt.outcome, attempt.counted) == ("WITHDRAWN", "refunded", False)
    assert called(claim(story.at(11))) == [member.pk]


def test_a_person_who_hangs_up_before_it_was_sent_is_not_answered_with_another_call_at_once() -> None:
    story = Story(retry_wait=60)
    Attempt.objects.filter(pk=story.attempt.pk).update(sending_at=None)
    calls.hang_up(story.attempt.pk)
    attempt, operator, member = story.now()
    assert (attempt.cause, attempt.outcome, operator.state) == ("MANAGER_REQUEST", "refunded", OperatorState.WAITING)
    assert attempt.ended_at is not None
    assert member.due_at == attempt.ended_at + timedelta(seconds=60)


def test_stop_withdraws_what_was_not_sent_and_cuts_nothing() -> None:
    story = Story()
    campaigns.stop(story.campaign.pk)
    assert story.now()[0].ended_at is None
    Attempt.objects.filter(pk=story.attempt.pk).update(sending_at=None)
    campaigns.run(story.campaign.pk)
    campaigns.stop(story.campaign.pk)
    attempt, _, member = story.now()
    assert (attempt.cause, member.state, member.counted) == ("WITHDRAWN", MemberState.READY, 0)


# --- lines ------------------------------------------------------------------------------------------------------


def test_for_a_gateway_that_is_full_off_or_backing_off_nobody_is_reserved_and_others_go_on() -> None:
    bad = make_gateway(capacity=1)
    make_route(bad, pattern="^38")
    make_route(pattern="^44", position=1)
    campaign, now = running(), clock.now()
    for _ in range(2):
        make_operator(campaign)
    first, second = make_member(campaign, ["380501"], priority=9), make_member(campaign, ["441"])
    for trouble, cure in (
        ({"capacity": 0}, {"capacity": 1}),
        ({"enabled": False}, {"enabled": True}),
        ({"blocked_until": now + timedelta(seconds=4)}, {"blocked_until": now}),
    ):
        Gateway.objects.filter(pk=bad.pk).update(**trouble)
        attempts = claim(now)
        assert called(attempts) == [second.pk]
        finish(attempts)
        Gateway.objects.filter(pk=bad.pk).update(**cure)
    assert called(claim(now)) == [first.pk, second.pk]


def test_a_block_of_a_gateway_ends_by_itself() -> None:
    gateway = make_gateway()
    make_route(gateway)
    campaign, now = running(), clock.now()
    make_operator(campaign), make_member(campaign)
    campaigns.block_gateway(gateway.pk, "GATEWAY_DOWN", now)
    assert claim(now + timedelta(seconds=0.9)) == []
    assert len(claim(now + timedelta(seconds=1))) == 1


def test_an_attempt_keeps_what_it_was_decided_by() -> None:
    gateway = make_gateway(capacity=7)
    route = make_route(gateway, variables={"call_timeout": "25", "who": "route", "route": "r"})
    campaign = running(limit=3, max_retries=4, variables={"who": "campaign", "campaign": "c"})
    make_operator(campaign, call_timeout=12)
    member = make_member(campaign, variables={"who": "member"}, expire_at=clock.now() + timedelta(days=1))
    (attempt,) = claim()
    Campaign.objects.filter(pk=campaign.pk).update(limit=1, max_retries=1)
    Route.objects.filter(pk=route.pk).update(enabled=False)
    reload(attempt, member)
    assert (attempt.limit_then, attempt.capacity_then, attempt.maximum_then) == (3, 7, 4)
    assert (attempt.operator_timeout, attempt.subscriber_timeout) == (12, 25)
    assert attempt.expire_then == member.expire_at
    assert attempt.variables == {"who": "member", "campaign": "c", "route": "r"}


# --- time -------------------------------------------------------------------------------------------------------


def office(**fields: Any) -> Calendar:
    return make_calendar(weekly=OFFICE_HOURS, **fields)


def test_a_subscriber_is_called_only_while_the_calendar_is_open_on_his_own_wall_clock() -> None:
    make_route()
    campaign = running(office())
    for _ in range(5):
        make_operator(campaign)
    at_home = make_member(campaign)
    london = make_member(campaign, time_zone="Europe/London", zones="Europe/London")
    new_york = make_member(campaign, time_zone="America/New_York", zones="America/New_York")
    unsure = make_member(campaign, zones="Europe/London|America/New_York")
    assert called(claim(MONDAY)) == [at_home.pk, london.pk]
    late = MONDAY.replace(hour=14, minute=30)  # half past four in Kyiv, half past nine in New York
    assert called(claim(late)) == [new_york.pk, unsure.pk]


def test_nobody_is_claimed_when_it_would_be_closed_before_the_operator_answers() -> None:
    make_route()
    campaign = running(office())
    make_operator(campaign, call_timeout=15)
    make_member(campaign)
    closes = datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
    # His phone rings for up to 16 s, and the command takes its way.
    assert claim(closes - timedelta(seconds=17)) == []
    attempts = claim(closes - timedelta(seconds=18))
    assert len(attempts) == 1
    assert attempts[0].open_until == closes


def test_outside_the_hours_a_campaign_sleeps_until_the_opening_and_wakes_by_itself() -> None:
    make_route()
    campaign = running(office())
    make_operator(campaign), make_member(campaign)
    opens = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)
    assert claim(datetime(2026, 3, 2, 20, 0, tzinfo=UTC)) == []
    reload(campaign)
    assert (campaign.state, campaign.sleeping_until) == (CampaignState.SLEEPING, opens)
    assert claim(opens - timedelta(seconds=1)) == []
    assert len(claim(opens)) == 1
    reload(campaign)
    assert (campaign.state, campaign.sleeping_until) == (CampaignState.RUNNING, None)


def test_a_campaign_sleeps_until_the_earliest_opening_among_the_zones_of_those_who_wait() -> None:
    make_route()
    campaign = running(office())
    make_operator(campaign)
    for zone in ("America/New_York", "Asia/Tokyo"):
        make_member(campaign, zones=zone)
    claim(datetime(2026, 3, 2, 9, 30, tzinfo=UTC))  # open in Kyiv, where nobody waits
    reload(campaign)
    assert (campaign.state, campaign.sleeping_until) == (
        CampaignState.SLEEPING,
        datetime(2026, 3, 2, 14, 0, tzinfo=UTC),
    )
    Member.objects.filter(zones="America/New_York").update(zones="")
    claim(datetime(2026, 3, 2, 9, 31, tzinfo=UTC))
    reload(campaign)
    assert campaign.state == CampaignState.RUNNING


def test_before_its_first_date_a_campaign_sleeps_until_it_opens() -> None:
    make_route()
    campaign = running(office(first_date=date(2026, 3, 9)))
    make_operator(campaign), make_member(campaign)
    assert claim(MONDAY) == []
    reload(campaign)
    assert campaign.sleeping_until == datetime(2026, 3, 9, 7, 0, tzinfo=UTC)


def test_when_the_last_date_is_over_the_campaign_ends_and_those_left_stay_as_they_are() -> None:
    make_route()
    campaign = running(office(last_date=date(2026, 3, 2)))
    make_operator(campaign)
    member = make_member(campaign)
    claim(datetime(2026, 3, 2, 21, 59, tzinfo=UTC))
    reload(campaign)
    assert campaign.state != CampaignState.RUNNING
    assert claim(datetime(2026, 3, 2, 22, 0, tzinfo=UTC)) == []
    reload(campaign, member)
    assert (campaign.state, campaign.completion) == (CampaignState.COMPLETED, "CALENDAR_EXPIRED")
    assert (member.state, member.end_cause) == (MemberState.READY, "")
    with time_machine.travel(datetime(2026, 3, 3, 8, 0, tzinfo=UTC), tick=False):
        assert campaigns.run(campaign.pk) == "CALENDAR_EXPIRED"


def test_the_end_of_the_calendar_cuts_no_call() -> None:
    make_route()
    campaign = running(office(last_date=date(2026, 3, 2)))
    make_operator(campaign), make_member(campaign)
    attempts = claim(MONDAY)
    claim(datetime(2026, 3, 2, 22, 0, tzinfo=UTC))
    reload(campaign)
    assert campaign.state != CampaignState.COMPLETED
    finish(attempts)
    claim(datetime(2026, 3, 2, 22, 1, tzinfo=UTC))
    reload(campaign)
    assert campaign.completion == "CALENDAR_EXPIRED"


def test_a_campaign_does_not_complete_while_somebody_is_on_a_call_or_awaits_a_result() -> None:
    story = Story(wait_for_result=True)
    story.talk(20)
    claim(story.at(26))
    story.campaign.refresh_from_db()
    assert story.campaign.state == CampaignState.RUNNING
    members.end_member(story.member)
    claim(story.at(27))
    story.campaign.refresh_from_db()
    assert story.campaign.completion == "LIST_COMPLETE"


# --- more than one pass reads ---


def until_all_is_claimed() -> None:
    """Run passes as a worker does: until one says that there is no more to claim at once."""
    while dispatch.run_pass().full:
        pass


def test_a_lower_campaign_gets_no_operator_while_a_higher_one_has_subscribers_who_were_not_read() -> None:
    """The first of both lists are the same people, whom the highest campaign calls."""
    make_node(last_event_at=clock.now() + timedelta(hours=1))
    make_route()
    highest, middle, lowest = running(priority=3, limit=6), running(priority=2, limit=1), running(priority=1)
    numbers = [make_number() for _ in range(8)]
    for number in numbers:
        make_member(highest, [number])
        make_member(middle, [number])
    make_member(lowest)
    for _ in range(7):
        make_operator(highest, middle, lowest)
    until_all_is_claimed()
    count = [Attempt.objects.filter(campaign=campaign).count() for campaign in (highest, middle, lowest)]
    assert count == [6, 1, 0]


def test_call_backs_for_one_who_cannot_make_them_hold_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """He serves another campaign by now, and there are more of them than a pass reads."""
    monkeypatch.setattr(dispatch, "ROWS", 1)
    make_node(last_event_at=clock.now() + timedelta(hours=1))
    make_route()
    campaign, other = running(), running()
    gone, _ = make_operator(other), make_operator(campaign)
    make_member(other, due_at=clock.now() + timedelta(hours=1))
    later = clock.now() + timedelta(hours=1)
    for _ in range(6):
        make_member(campaign, callback=True, sticky_operator=gone, sticky_until=later)
    member = make_member(campaign)
    until_all_is_claimed()
    assert called(Attempt.objects.all()) == [member.pk]


# --- two at once ------------------------------------------------------------------------------------------------


def in_threads(*jobs: Callable[[], Any]) -> None:
    """Run jobs at the same time, each on a connection of its own; raise what any of them raised."""
    errors: list[BaseException] = []

    def work(job: Callable[[], Any]) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


@pytest.mark.django_db(transaction=True)
def test_passes_at_the_same_time_claim_nobody_twice_and_exceed_nothing() -> None:
    make_node(last_event_at=clock.now() + timedelta(hours=1))
    make_route(make_gateway(capacity=12))
    campaigns_ = [running(limit=8) for _ in range(2)]
    for _ in range(20):
        make_operator(*campaigns_)
    for campaign in campaigns_:
        for _ in range(20):
            make_member(campaign)
    in_threads(*[dispatch.run_pass] * 4)
    live = list(Attempt.objects.live())
    assert len(live) == 12
    for name in ("operator_id", "member_id", "digits"):
        assert len({getattr(attempt, name) for attempt in live}) == 12
    assert Operator.objects.filter(state=OperatorState.RESERVED).count() == 12
    assert Member.objects.filter(state=MemberState.LIVE).count() == 12
    assert all(Attempt.objects.filter(campaign=campaign).count() <= 8 for campaign in campaigns_)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("locked", [True, False])
def test_the_lock_of_the_pass_is_what_keeps_the_capacity(locked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pass has read what is free and stands still while another runs: without the lock the last line goes twice."""
    make_node(last_event_at=clock.now() + timedelta(hours=1))
    make_route(make_gateway(capacity=1))
    for priority in (2, 1):
        campaign = running(priority=priority)
        make_operator(campaign), make_member(campaign)
    has_read, other_done = threading.Event(), threading.Event()
    read = dispatch.Room.read

    def read_and_wait(*args: Any) -> Any:
        room = read(*args)
        if not has_read.is_set():
            has_read.set()
            other_done.wait(1.5)
        return room

    def other() -> None:
        has_read.wait(10)
        dispatch.run_pass()
        other_done.set()

    monkeypatch.setattr(dispatch.Room, "read", read_and_wait)
    if not locked:
        monkeypatch.setattr(dispatch, "lock_pass", lambda: None)
    in_threads(dispatch.run_pass, other)
    assert Attempt.objects.live().count() == (1 if locked else 2)


def test_whoever_was_let_go_while_a_pass_reads_is_reserved_after_his_call_had_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """He is free by then; an attempt that claimed to be older than that end would be a second call at one time."""
    story = Story()
    seeking = dispatch.seeking

    def meanwhile() -> list[Attempt]:
        calls.not_sent(story.attempt.pk, "GATEWAY_DOWN", refused=False)
        return seeking()

    monkeypatch.setattr(dispatch, "seeking", meanwhile)
    [attempt] = Attempt.objects.filter(pk__in=dispatch.run_pass().claimed)
    earlier, operator, member = story.now()
    assert (attempt.member_id, attempt.operator_id) == (member.pk, operator.pk)
    assert earlier.ended_at is not None
    assert earlier.ended_at <= attempt.reserved_at
    assert operator.state_since == attempt.reserved_at
    assert find_violations() == []


@pytest.mark.django_db(transaction=True)
def test_a_campaign_whose_change_takes_long_holds_up_no_other() -> None:
    make_node(last_event_at=clock.now() + timedelta(hours=1))
    make_route()
    changed, other = running(), running()
    for campaign in (changed, other):
        make_operator(campaign), make_member(campaign)
    is_locked, passed = threading.Event(), threading.Event()

    def change() -> None:
        with transaction.atomic():
            Campaign.objects.select_for_update(no_key=True).get(pk=changed.pk)
            is_locked.set()
            assert passed.wait(5), "the pass waits for the change"

    def run_pass() -> None:
        is_locked.wait(10)
        assert len(dispatch.run_pass().claimed) == 1
        passed.set()

    in_threads(change, run_pass)
    assert Attempt.objects.get().campaign == other
    assert called(claim()) == [changed.members.get().pk]


# --- the cost ---------------------------------------------------------------------------------------------------


def test_the_statements_of_a_pass_do_not_grow_with_campaigns_subscribers_or_calls() -> None:
    make_node(last_event_at=clock.now() + timedelta(hours=1))
    make_route(make_gateway(capacity=500))
    counts = []
    for number_of_campaigns, number_of_members in ((1, 10), (50, 200)):
        Campaign.objects.update(state=CampaignState.STOPPED)
        several = [running() for _ in range(number_of_campaigns)]
        for index in range(number_of_members):
            make_member(several[index % number_of_campaigns])
        for index in range(number_of_members // 2):
            make_operator(several[index % number_of_campaigns])
        with CaptureQueriesContext(
            connection,
        ) as captured:
            claimed = dispatch.run_pass().claimed
        assert len(claimed) == number_of_members // 2
        counts.append(len(captured))
    assert counts[0] == counts[1], counts
    assert counts[1] <= 45


def test_the_statements_of_a_pass_that_finds_nothing_are_few() -> None:
    make_node(last_event_at=clock.now() + timedelta(hours=1))
    with CaptureQueriesContext(connection) as captured:
        assert dispatch.run_pass().claimed == []
    assert len(captured) <= 17
