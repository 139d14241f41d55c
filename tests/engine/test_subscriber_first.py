"""Subscriber first: he is dialled, and when he has answered, the operator's phone rings; nobody is left waiting."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from agents import actions as agents
from agents.models import Operator, OperatorState, OperatorStatus
from campaigns import hours
from campaigns.models import Campaign, ConnectOrder
from dialer import clock
from dialer.engine import abandonment, calls, dispatch, invariants
from dialer.models import Attempt, OperatorTry, Outcome
from dialer.switch import commands, events
from members.models import Member, MemberState
from tests.engine.story import Story
from tests.factories import make_calendar, make_campaign, make_member, make_node, make_operator, make_route

pytestmark = pytest.mark.django_db


class Tale(Story):
    """A story whose campaign dials the subscriber first."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**{"connect_order": ConnectOrder.SUBSCRIBER_FIRST, "answer_window": 20, **more})

    def refresh(self) -> Attempt:
        self.attempt = Attempt.objects.get(pk=self.attempt.pk)
        return self.attempt

    def subscriber_answers(self, seconds: float = 5) -> list[Any]:
        """Let him answer; return the orders that the switch gets for it."""
        self.tell(events.LegCreated, "subscriber", 0.1)
        self.tell(events.LegProgress, "subscriber", 0.2, media=False)
        self.tell(events.LegAnswered, "subscriber", seconds)
        before = len(self.orders)
        self.job(seconds)
        self.refresh()
        return self.orders[before:]

    def operator_job(self, seconds: float, cause: str = "") -> None:
        job = self.refresh().operator_job_uuid
        assert job is not None
        self.orders += calls.apply(
            events.JobDone(
                at=self.at(seconds), core_uuid=self.core, job_uuid=job, ok=not cause, cause=cause,
                text=f"-ERR {cause}" if cause else "+OK",
            )
        )  # fmt: skip

    def operator_takes(self, seconds: float = 8) -> None:
        self.refresh()
        self.tell(events.LegCreated, "operator", seconds - 2)
        self.tell(events.LegAnswered, "operator", seconds)
        self.operator_job(seconds)
        self.tell(events.LegBridged, "operator", seconds, other=self.attempt.subscriber_uuid)

    def operator_fails(self, seconds: float, cause: str) -> UUID:
        """Let the operator's leg end unanswered; return its id."""
        leg = self.refresh().operator_uuid
        self.tell(events.LegCreated, "operator", seconds - 1)
        self.hangs_up("operator", seconds, cause)
        self.refresh()
        return leg

    def bring(self) -> list[int]:
        """Let a pass look for another operator, and the worker ring him."""
        brought = dispatch.run_pass().brought
        self.orders += [order for attempt in brought if (order := calls.begin_ring(attempt))]
        self.refresh()
        return brought


def ringing(orders: list[Any]) -> list[str]:
    return [order.command for order in orders if isinstance(order, commands.Originate)]


def sound() -> None:
    assert invariants.find_violations() == []


def test_the_operator_is_reserved_from_the_beginning_and_rung_when_the_subscriber_has_answered() -> None:
    tale = Tale()
    _, operator, _ = tale.now()
    assert operator.state == OperatorState.RESERVED
    (command,) = ringing(tale.subscriber_answers())
    assert f"&intercept({tale.attempt.subscriber_uuid})" in command
    assert f"user/{tale.operator.extension}" in command
    assert tale.attempt.operator_sending_at is not None


def test_the_operator_is_rung_once_however_often_the_answer_is_told() -> None:
    tale = Tale()
    assert len(ringing(tale.subscriber_answers())) == 1
    tale.job(5)
    assert calls.begin_ring(tale.attempt.pk) is None
    assert len(ringing(tale.orders)) == 1


def test_a_bridged_call_is_decided_by_its_talk_and_the_wait_is_recorded() -> None:
    tale = Tale(min_duration=10)
    tale.subscriber_answers(5)
    tale.operator_takes(8)
    attempt, operator, _ = tale.now()
    assert operator.state == OperatorState.IN_CALL
    assert attempt.answer_to_bridge == pytest.approx(3)
    tale.refresh()
    tale.both_end(20)
    attempt, operator, member = tale.now()
    assert (attempt.outcome, attempt.cause) == (Outcome.SUCCESS, "NORMAL_CLEARING")
    assert operator.state == OperatorState.WRAP_UP
    assert member.end_cause == "NORMAL_CLEARING"
    sound()


@pytest.mark.parametrize(
    ("cause", "outcome", "counted"),
    [("USER_BUSY", Outcome.RETRY, True), ("UNALLOCATED_NUMBER", Outcome.ERROR, True),
     ("NORMAL_TEMPORARY_FAILURE", Outcome.MINUS, False)],
)  # fmt: skip
def test_a_subscriber_who_does_not_answer_is_treated_by_his_cause_and_the_operator_was_never_rung(
    cause: str, outcome: str, counted: bool
) -> None:
    tale = Tale()
    tale.tell(events.LegCreated, "subscriber", 0.1)
    tale.hangs_up("subscriber", 5, cause)
    attempt, operator, _ = tale.now()
    assert (attempt.cause, attempt.outcome, attempt.counted) == (cause, outcome, counted)
    assert (operator.state, operator.ready_at, operator.no_answer_count) == (OperatorState.WAITING, None, 0)
    assert ringing(tale.orders) == []
    sound()


def test_when_the_operator_fails_the_next_free_one_is_rung_for_what_is_left_of_the_window() -> None:
    tale = Tale(answer_window=20)
    tale.subscriber_answers(0.5)
    second = make_operator(tale.campaign, call_timeout=60)
    leg = tale.operator_fails(2, "CALL_REJECTED")
    attempt, first, _ = tale.now()
    assert attempt.seeking_since is not None
    assert (first.state, first.current_attempt_id) == (OperatorState.WAITING, None)
    assert first.ready_at == tale.at(2) + timedelta(seconds=first.reject_delay)
    assert tale.bring() == [attempt.pk]
    attempt = tale.attempt
    assert attempt.operator == second
    assert attempt.operator_uuid != leg
    assert 10 <= attempt.operator_timeout <= 20
    assert f"user/{second.extension}" in ringing(tale.orders)[-1]
    tried = OperatorTry.objects.get()
    assert (tried.operator, tried.uuid, tried.cause) == (first, leg, "CALL_REJECTED")
    tale.operator_takes(6)
    tale.refresh()
    tale.both_end(30)
    attempt, _, _ = tale.now()
    assert attempt.outcome == Outcome.SUCCESS
    assert Operator.objects.get(pk=second.pk).calls == 1
    assert Operator.objects.get(pk=first.pk).calls == 0
    sound()


def test_an_operator_who_failed_is_not_rung_again_for_the_same_subscriber() -> None:
    tale = Tale(operator={"reject_delay": 0})
    tale.subscriber_answers()
    tale.operator_fails(6, "CALL_REJECTED")
    assert tale.bring() == []
    _, operator, _ = tale.now()
    assert operator.state == OperatorState.WAITING
    sound()


def test_an_answered_subscriber_comes_before_those_who_have_not_been_called() -> None:
    tale = Tale()
    important = make_campaign(priority=99)
    Campaign.objects.filter(pk=important.pk).update(state="running")
    make_member(important, ["+380509999999"])
    tale.subscriber_answers(0.5)
    tale.operator_fails(1, "NO_ANSWER")
    both = make_operator(important, tale.campaign)
    report = dispatch.run_pass()
    assert (report.brought, report.claimed) == ([tale.attempt.pk], [])
    assert tale.refresh().operator == both


def test_a_stopped_campaign_still_brings_an_operator_to_whoever_has_answered() -> None:
    tale = Tale()
    tale.subscriber_answers(0.5)
    make_operator(tale.campaign)
    Campaign.objects.filter(pk=tale.campaign.pk).update(state="stopping")
    tale.operator_fails(1, "NO_ANSWER")
    assert tale.bring() == [tale.attempt.pk]


def test_nobody_is_rung_once_the_window_is_nearly_over() -> None:
    tale = Tale(answer_window=20)
    tale.subscriber_answers(0.1)
    make_operator(tale.campaign)
    tale.operator_fails(1, "NO_ANSWER")
    Attempt.objects.update(subscriber_answered_at=clock.now() - timedelta(seconds=19))
    assert tale.bring() == []


def test_one_who_answered_and_was_never_bridged_is_abandoned_counted_and_called_again_after_the_wait() -> None:
    tale = Tale(retry_wait=60)
    tale.subscriber_answers()
    tale.operator_fails(10, "NO_ANSWER")
    tale.hangs_up("subscriber", 25, "NORMAL_CLEARING", answered_at=tale.at(5))
    attempt, operator, member = tale.now()
    assert (attempt.outcome, attempt.cause, attempt.counted) == (Outcome.ABANDONED, "ABANDONED", True)
    assert operator.no_answer_count == 1
    assert (member.state, member.due_at) == (MemberState.WAITING, tale.at(25) + timedelta(seconds=60))
    sound()


def test_when_the_subscriber_leaves_the_operators_phone_stops_ringing_and_he_is_free_without_a_count() -> None:
    tale = Tale()
    tale.subscriber_answers()
    tale.tell(events.LegCreated, "operator", 6)
    tale.hangs_up("subscriber", 7, "NORMAL_CLEARING", answered_at=tale.at(5))
    assert commands.hang_up(tale.attempt.operator_uuid, "ORIGINATOR_CANCEL") in tale.orders
    assert tale.now()[0].ended_at is None
    tale.hangs_up("operator", 7.1, "ORIGINATOR_CANCEL")
    attempt, operator, _ = tale.now()
    assert attempt.outcome == Outcome.ABANDONED
    assert (operator.state, operator.no_answer_count, operator.ready_at) == (OperatorState.WAITING, 0, None)
    sound()


def test_a_leg_of_the_operator_that_comes_after_the_subscriber_left_is_hung_up() -> None:
    tale = Tale()
    tale.subscriber_answers()
    tale.hangs_up("subscriber", 6, "NORMAL_CLEARING", answered_at=tale.at(5))
    tale.orders.clear()
    tale.tell(events.LegCreated, "operator", 6.1)
    assert tale.orders == [commands.hang_up(tale.attempt.operator_uuid, "ORIGINATOR_CANCEL")]


def test_an_unregistered_operator_is_told_by_the_job_alone_and_the_next_one_is_sought() -> None:
    tale = Tale()
    tale.subscriber_answers()
    tale.operator_job(5.2, "USER_NOT_REGISTERED")
    attempt, operator, _ = tale.now()
    assert attempt.seeking_since is not None
    assert not operator.registered
    assert OperatorTry.objects.get().cause == "USER_NOT_REGISTERED"


def test_a_refusal_of_the_operators_leg_is_not_his_fault(django_capture_on_commit_callbacks: Any) -> None:
    tale = Tale()
    tale.subscriber_answers()
    with django_capture_on_commit_callbacks(execute=True):
        tale.operator_job(5.2, "DESTINATION_OUT_OF_ORDER")
    _, operator, _ = tale.now()
    assert (operator.no_answer_count, operator.ready_at) == (0, None)


def test_a_refused_dial_is_not_counted_and_due_at_once(django_capture_on_commit_callbacks: Any) -> None:
    tale = Tale()
    with django_capture_on_commit_callbacks(execute=True):
        tale.job(0.1, "INVALID_GATEWAY")
    attempt, operator, member = tale.now()
    assert (attempt.cause, attempt.outcome, attempt.counted) == ("INVALID_GATEWAY", Outcome.REFUNDED, False)
    attempt.gateway.refresh_from_db()
    assert attempt.gateway.blocked_reason == "INVALID_GATEWAY"
    assert operator.state == OperatorState.WAITING
    assert member.state == MemberState.READY
    sound()


def test_a_leg_of_an_operator_who_was_given_up_is_hung_up() -> None:
    tale = Tale()
    tale.subscriber_answers()
    given_up = tale.attempt.operator_uuid
    assert tale.attempt.operator_job_uuid is not None
    calls.ring_failed(tale.attempt.pk, tale.attempt.operator_job_uuid, "LOST")
    late = events.LegBridged(
        at=tale.at(9), core_uuid=tale.core, leg=given_up, attempt_id=None, role=None, other=tale.attempt.subscriber_uuid
    )
    assert calls.apply(late) == [commands.hang_up(given_up, "ORIGINATOR_CANCEL")]


def test_a_person_who_hangs_up_ends_it_without_another_operator() -> None:
    tale = Tale()
    tale.subscriber_answers()
    make_operator(tale.campaign)
    tale.tell(events.LegCreated, "operator", 6)
    calls.hang_up(tale.attempt.pk)
    tale.hangs_up("operator", 7, "MANAGER_REQUEST")
    assert tale.bring() == []
    tale.hangs_up("subscriber", 7, "MANAGER_REQUEST", answered_at=tale.at(5))
    attempt, _, _ = tale.now()
    assert attempt.ended_at is not None
    sound()


def test_the_end_of_a_leg_tells_of_a_bridge_whose_events_were_lost() -> None:
    tale = Tale(min_duration=5)
    tale.subscriber_answers()
    taken = tale.at(8)
    tale.hangs_up("operator", 20, "NORMAL_CLEARING", created_at=tale.at(6), answered_at=taken, bridged_at=taken)
    tale.hangs_up("subscriber", 20, "NORMAL_CLEARING", answered_at=tale.at(5), bridged_at=taken)
    attempt, _, member = tale.now()
    assert attempt.talk_seconds == pytest.approx(12)
    assert member.success
    sound()


def test_the_calendar_need_only_be_open_now_since_nobody_rings_before_the_subscriber() -> None:
    make_node(last_event_at=clock.now() + timedelta(hours=1))
    make_route()
    calendar = make_calendar()
    closes = clock.now() + timedelta(seconds=5)
    for order, claimed in ((ConnectOrder.OPERATOR_FIRST, 0), (ConnectOrder.SUBSCRIBER_FIRST, 1)):
        campaign = make_campaign(calendar, connect_order=order)
        make_operator(campaign, call_timeout=15)
        make_member(campaign, [f"+38050111{claimed}"], expire_at=closes)
        Story.start_campaign(campaign)
        assert len(dispatch.run_pass().claimed) == claimed


# --- the rate of abandonment ------------------------------------------------------------------------------------


def answered(tale: Tale, calls_: int, abandoned: int, days_ago: float = 1) -> None:
    """Add ended attempts of the campaign to the ledger: so many answered, so many of them abandoned."""
    at = clock.now() - timedelta(days=days_ago)
    model = Attempt.objects.get(pk=tale.attempt.pk)
    rows = []
    for number in range(calls_):
        lost = number < abandoned
        rows.append(
            Attempt(
                campaign=model.campaign, member=model.member, operator=model.operator, gateway=model.gateway,
                digits=model.digits, connect_order=model.connect_order, reserved_at=at, sending_at=at,
                subscriber_created_at=at, subscriber_answered_at=at, ended_at=at, operator_uuid=uuid4(),
                limit_then=1, capacity_then=1, maximum_then=5, counted_before=0, operator_timeout=1,
                subscriber_timeout=1, cause="ABANDONED" if lost else "NORMAL_CLEARING", counted=True,
                outcome=Outcome.ABANDONED if lost else Outcome.SUCCESS,
            )
        )  # fmt: skip
    Attempt.objects.bulk_create(rows)


def fallen_back(tale: Tale) -> bool:
    abandonment.mind()
    campaign = Campaign.objects.get(pk=tale.campaign.pk)
    return campaign.operator_first_until is not None and campaign.operator_first_until > clock.now()


def test_from_a_hundred_answered_calls_on_a_rate_over_the_cap_makes_the_campaign_operator_first() -> None:
    tale = Tale(abandonment_cap=3)
    answered(tale, 99, 4)
    assert not fallen_back(tale)
    answered(tale, 1, 0)
    assert fallen_back(tale)
    campaign = Campaign.objects.get(pk=tale.campaign.pk)
    assert campaign.operator_first_until == hours.next_midnight(campaign.calendar.time_zone, clock.now())


def test_a_rate_at_the_cap_is_not_over_it() -> None:
    tale = Tale(abandonment_cap=3)
    answered(tale, 100, 3)
    assert not fallen_back(tale)


def test_calls_of_more_than_thirty_days_ago_do_not_count() -> None:
    tale = Tale(abandonment_cap=3)
    answered(tale, 100, 50, days_ago=31)
    answered(tale, 100, 3)
    assert not fallen_back(tale)


def test_fallen_back_it_rings_the_operator_first_until_a_day_starts_below_the_cap() -> None:
    tale = Tale(abandonment_cap=3)
    answered(tale, 100, 4)
    assert fallen_back(tale)
    make_member(tale.campaign, ["+380507777777"])
    make_operator(tale.campaign)
    (attempt_id,) = dispatch.run_pass().claimed
    assert Attempt.objects.get(pk=attempt_id).connect_order == ConnectOrder.OPERATOR_FIRST
    # The next day starts, still above: another day.
    Campaign.objects.update(operator_first_until=clock.now() - timedelta(seconds=1))
    assert fallen_back(tale)
    # And one starts below.
    answered(tale, 100, 0)
    Campaign.objects.update(operator_first_until=clock.now() - timedelta(seconds=1))
    assert not fallen_back(tale)
    assert Campaign.objects.get(pk=tale.campaign.pk).operator_first_until is None


def test_statuses_chosen_while_the_subscriber_rings_hold_after_the_call() -> None:
    tale = Tale(operator={"wrap_up_time": 0})
    agents.set_status(tale.operator.pk, OperatorStatus.ON_BREAK)
    assert ringing(tale.subscriber_answers())
    tale.operator_takes()
    tale.refresh()
    tale.both_end(30)
    _, operator, _ = tale.now()
    assert operator.status == OperatorStatus.ON_BREAK
    assert operator.state == OperatorState.IDLE


def test_a_member_is_held_by_one_attempt_whoever_is_rung_for_him() -> None:
    tale = Tale()
    tale.subscriber_answers()
    tale.operator_fails(6, "USER_BUSY")
    assert Member.objects.get(pk=tale.member.pk).current_attempt_id == tale.attempt.pk
    sound()
