"""What the events of a call make of the attempt, the operator and the subscriber."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
import time_machine

from agents import actions as agents
from agents.models import OperatorState, OperatorStatus
from dialer.engine import calls, invariants
from dialer.errors import Refused
from dialer.models import Repair
from dialer.switch import events
from members.models import MemberState
from tests.engine.story import Story

pytestmark = pytest.mark.django_db


def test_a_talk_of_at_least_the_minimum_ends_the_subscriber_as_a_success() -> None:
    story = Story(min_duration=10)
    story.talk(12)
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.cause, attempt.counted) == ("success", "NORMAL_CLEARING", True)
    assert attempt.talk_seconds == 12
    assert (member.state, member.end_cause, member.success) == (MemberState.ENDED, "NORMAL_CLEARING", True)
    assert operator.state == OperatorState.WRAP_UP
    assert operator.wrap_up_until == story.at(17) + timedelta(seconds=operator.wrap_up_time)
    assert (operator.calls, operator.talk_seconds) == (1, 12)


def test_a_shorter_talk_is_counted_and_retried_after_the_wait() -> None:
    story = Story(min_duration=10, retry_wait=60)
    story.talk(9)
    attempt, _, member = story.now()
    assert (attempt.outcome, attempt.counted, member.counted) == ("retry", True, 1)
    assert member.state == MemberState.WAITING
    assert member.due_at == story.at(14 + 60)


def test_the_states_of_an_operator_follow_his_call() -> None:
    story = Story()
    seen = [story.now()[1].state]
    story.operator_rings()
    seen.append(story.now()[1].state)
    story.bridged()
    seen.append(story.now()[1].state)
    story.both_end(30)
    seen.append(story.now()[1].state)
    assert seen == ["reserved", "receiving", "in_call", "wrap_up"]


@pytest.mark.parametrize(
    ("cause", "outcome", "counted", "state"),
    [
        ("USER_BUSY", "retry", True, "waiting"),
        ("SOMETHING_NEW", "retry", True, "waiting"),
        ("UNALLOCATED_NUMBER", "error", True, "ended"),
        ("NETWORK_OUT_OF_ORDER", "minus", False, "waiting"),
        ("ALLOTTED_TIMEOUT", "retry", True, "waiting"),
    ],
)
def test_a_cause_of_a_call_that_was_never_bridged_is_treated_as_the_campaign_says(
    cause: str, outcome: str, counted: bool, state: str
) -> None:
    story = Story()
    story.operator_answers()
    story.both_end(10, cause)
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.counted, member.state) == (outcome, counted, state)
    assert attempt.cause == ("NO_ANSWER" if cause == "ALLOTTED_TIMEOUT" else cause)
    assert attempt.subscriber_cause == cause
    assert member.communications.get().tries == 1
    assert (operator.state, operator.ready_at) == (OperatorState.WAITING, None)
    if state == "ended":
        assert member.end_cause == cause


@pytest.mark.parametrize(
    ("cause", "count", "delay"),
    [("NO_ANSWER", 1, "no_answer_delay"), ("USER_BUSY", 0, "busy_delay"), ("CALL_REJECTED", 0, "reject_delay")],
)
def test_an_operator_who_does_not_take_the_call_rests_and_the_subscriber_is_due_at_once(
    cause: str, count: int, delay: str
) -> None:
    story = Story()
    story.operator_rings()
    story.hangs_up("operator", 15, cause)
    story.job(15, cause)
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.counted, member.counted) == ("refunded", False, 0)
    assert member.state == MemberState.READY
    assert operator.no_answer_count == count
    assert operator.ready_at == story.at(15) + timedelta(seconds=getattr(operator, delay))


@pytest.mark.parametrize("how", ["BLIND_TRANSFER", "ATTENDED_TRANSFER"])
def test_who_sends_a_subscriber_on_is_free_and_the_talk_that_goes_on_is_none_of_ours(how: str) -> None:
    story = Story()
    story.bridged(5)
    story.hangs_up("operator", 25, "NORMAL_CLEARING", by_phone=True, sent_on=how)
    attempt, operator, member = story.now()
    assert (attempt.ended_at, attempt.subscriber_cause) == (story.at(25), how)
    assert attempt.talk_seconds == 20
    assert operator.state == OperatorState.WRAP_UP
    assert member.state == MemberState.ENDED
    # The subscriber talks on with another, and hangs up some time.
    story.hangs_up("subscriber", 900, "NORMAL_CLEARING")
    assert story.now()[0].subscriber_cause == how
    assert story.now()[0].talk_seconds == 20
    assert not Repair.objects.exists()
    assert story.orders == []


def test_too_many_calls_without_an_answer_force_a_break() -> None:
    story = Story(operator={"max_no_answer": 1})
    story.operator_rings()
    story.hangs_up("operator", 15, "NO_ANSWER")
    _, operator, _ = story.now()
    assert (operator.status, operator.forced_break, operator.state) == (
        OperatorStatus.ON_BREAK,
        True,
        OperatorState.IDLE,
    )
    operator = agents.set_status(operator.pk, OperatorStatus.AVAILABLE)
    assert (operator.no_answer_count, operator.forced_break) == (0, False)


def test_an_unregistered_phone_is_told_by_the_job_alone_and_gets_no_calls_until_it_registers() -> None:
    story = Story()
    story.job(0.1, "USER_NOT_REGISTERED")
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.operator_cause) == ("refunded", "USER_NOT_REGISTERED")
    assert (operator.registered, operator.no_answer_count, operator.state) == (False, 0, OperatorState.WAITING)
    assert member.counted == 0


def test_a_refusal_of_the_switch_is_not_counted_and_the_switch_rests(django_capture_on_commit_callbacks) -> None:  # type: ignore[no-untyped-def]
    story = Story()
    with django_capture_on_commit_callbacks(execute=True):
        story.job(0.1, "DESTINATION_OUT_OF_ORDER")
    attempt, operator, member = story.now()
    story.node.refresh_from_db()
    assert (attempt.outcome, member.counted, operator.no_answer_count) == ("refunded", 0, 0)
    assert story.node.blocked_until is not None
    assert story.node.blocked_reason == "DESTINATION_OUT_OF_ORDER"


def test_a_gateway_that_does_not_exist_rests_and_says_why(django_capture_on_commit_callbacks) -> None:  # type: ignore[no-untyped-def]
    story = Story()
    story.operator_rings()
    story.tell(events.LegAnswered, "operator", 1)
    story.job(1)
    with django_capture_on_commit_callbacks(execute=True):
        story.hangs_up("operator", 1.1, "INVALID_GATEWAY", originate_disposition="INVALID_GATEWAY")
    attempt, operator, member = story.now()
    attempt.gateway.refresh_from_db()
    assert (attempt.outcome, member.counted) == ("refunded", 0)
    assert attempt.gateway.blocked_reason == "INVALID_GATEWAY"
    assert (operator.state, operator.ready_at) == (OperatorState.WAITING, None)


def test_an_operator_who_leaves_while_the_subscriber_rings_waits_the_reject_delay_and_nothing_is_counted() -> None:
    story = Story(retry_wait=60)
    story.operator_answers()
    story.hangs_up("operator", 6, "NORMAL_CLEARING", originate_disposition="ORIGINATOR_CANCEL", by_phone=True)
    story.hangs_up("subscriber", 6, "ORIGINATOR_CANCEL")
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.counted) == ("refunded", False)
    assert operator.ready_at == story.at(6) + timedelta(seconds=operator.reject_delay)
    assert member.due_at == story.at(6 + 60)


def test_the_events_of_an_end_mean_the_same_in_every_order() -> None:
    ends = []
    for order in permutations(range(4)):
        story = Story()
        story.bridged(5)
        steps = [
            lambda s=story: s.hangs_up("subscriber", 30, "NORMAL_CLEARING"),
            lambda s=story: s.hangs_up("operator", 30, "NORMAL_CLEARING", originate_disposition="SUCCESS"),
            lambda s=story: s.tell(events.LegUnbridged, "operator", 30, other=None),
            lambda s=story: s.job(1),
        ]
        for index in order:
            steps[index]()
        attempt, operator, member = story.now()
        ends.append((attempt.outcome, attempt.talk_seconds, operator.state, member.state, member.counted))
    assert set(ends) == {("success", 25.0, "wrap_up", "ended", 1)}


def test_a_doubled_event_changes_nothing() -> None:
    story = Story()
    story.talk(12)
    before = story.now()
    story.both_end(40, "USER_BUSY")
    story.job(41, "USER_BUSY")
    after = story.now()
    assert before[0].ended_at == after[0].ended_at
    assert (after[1].calls, after[2].counted) == (1, 1)
    assert not Repair.objects.exists()


def test_the_end_of_a_leg_tells_what_lost_events_did_not() -> None:
    story = Story()
    story.operator_rings()
    story.hangs_up(
        "subscriber", 35, "NORMAL_CLEARING", created_at=story.at(1), answered_at=story.at(5), bridged_at=story.at(5)
    )
    story.hangs_up(
        "operator",
        35,
        "NORMAL_CLEARING",
        answered_at=story.at(1),
        bridged_at=story.at(5),
        originate_disposition="SUCCESS",
    )
    attempt, _, member = story.now()
    assert (attempt.outcome, attempt.talk_seconds, member.success) == ("success", 30.0, True)
    assert attempt.operator_answered_at == story.at(1) or attempt.operator_answered_at == story.at(5)


def test_a_leg_of_an_ended_attempt_is_hung_up_at_once_and_written_to_repairs() -> None:
    story = Story()
    calls.lose(story.attempt.pk, "absent", at=None)
    story.operator_rings(20)
    assert story.orders == [f"uuid_kill {story.attempt.operator_uuid} ORIGINATOR_CANCEL"]
    assert set(Repair.objects.values_list("kind", flat=True)) == {"absent", "late_leg"}


def test_a_lost_call_that_was_never_dialled_is_due_at_once_and_not_counted() -> None:
    story = Story()
    assert calls.lose(story.attempt.pk, "absent", at=None)
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.counted, operator.state) == ("refunded", False, OperatorState.WAITING)
    assert (member.state, member.counted) == (MemberState.READY, 0)
    assert not calls.lose(story.attempt.pk, "absent", at=None)


def test_a_person_hangs_up_an_unanswered_call_and_it_is_not_counted() -> None:
    story = Story(retry_wait=60)
    story.operator_answers()
    calls.hang_up(story.attempt.pk)
    story.hangs_up("operator", 6, "MANAGER_REQUEST", originate_disposition="ORIGINATOR_CANCEL")
    story.hangs_up("subscriber", 6, "ORIGINATOR_CANCEL")
    attempt, operator, member = story.now()
    assert (attempt.cause, attempt.outcome, attempt.counted) == ("MANAGER_REQUEST", "refunded", False)
    assert member.due_at == story.at(66)
    assert (operator.state, operator.ready_at) == (OperatorState.WAITING, None)
    with pytest.raises(Refused):
        calls.hang_up(story.attempt.pk)


def test_a_wish_to_hang_up_holds_for_legs_that_come_later() -> None:
    story = Story()
    calls.hang_up(story.attempt.pk)
    story.operator_rings()
    assert story.orders == [f"uuid_kill {story.attempt.operator_uuid} MANAGER_REQUEST"]


def test_a_status_chosen_during_a_call_holds_after_the_wrap_up() -> None:
    story = Story(operator={"wrap_up_time": 10})
    story.bridged()
    agents.set_status(story.operator.pk, OperatorStatus.ON_BREAK)
    story.both_end(30)
    operator = story.now()[1]
    assert (operator.status, operator.state) == (OperatorStatus.AVAILABLE, OperatorState.WRAP_UP)
    agents.end_wrap_ups(story.at(41))
    operator = story.now()[1]
    assert (operator.status, operator.state) == (OperatorStatus.ON_BREAK, OperatorState.IDLE)


def test_the_maximum_ends_a_subscriber() -> None:
    story = Story(max_retries=1)
    story.operator_answers()
    story.both_end(10, "USER_BUSY")
    _, _, member = story.now()
    assert (member.state, member.end_cause, member.success) == (MemberState.ENDED, "MAX_TRY_COUNT", False)


def test_expiry_during_a_call_lets_it_finish_and_a_success_beats_it() -> None:
    for talk, cause in ((3, "MEMBER_EXPIRED"), (20, "NORMAL_CLEARING")):
        story = Story()
        story.bridged()
        from members.models import Member

        Member.objects.filter(pk=story.member.pk).update(expire_at=story.at(0))
        story.both_end(5 + talk)
        assert story.now()[2].end_cause == cause


def test_a_call_that_failed_at_once_did_not_end_before_it_was_sent() -> None:
    story = Story()
    story.operator_answers(0.1)
    story.hangs_up("subscriber", -0.02, "USER_BUSY")
    story.hangs_up("operator", -0.02, "USER_BUSY", originate_disposition="USER_BUSY")
    attempt, _, _ = story.now()
    assert attempt.sending_at is not None
    assert attempt.ended_at == attempt.sending_at
    assert invariants.find_violations() == []


def test_a_switch_whose_clock_is_ahead_ends_no_call_later_than_we_heard_of_it() -> None:
    """Whom it lets go may be called at once: the next attempt must not look as if it had begun before that end."""
    story = Story()
    ahead = timedelta(seconds=3)
    story.operator_rings()
    with time_machine.travel(story.at(2), tick=False):
        gone = events.LegHungUp(
            at=story.at(2) + ahead, core_uuid=story.core, leg=story.attempt.operator_uuid, attempt_id=None, role=None,
            cause="NO_ROUTE_DESTINATION", created_at=None, progress_at=None, answered_at=None, bridged_at=None,
            originate_disposition="", last_bridge_hangup_cause="", by_phone=False,
        )  # fmt: skip
        calls.apply(gone)
    assert story.now()[0].ended_at == story.at(2)


@pytest.mark.parametrize("leg", ["operator", "subscriber"])
def test_the_ledger_says_who_hung_up_first(leg: str) -> None:
    story = Story()
    story.bridged()
    other = "subscriber" if leg == "operator" else "operator"
    story.hangs_up(other, 30.01, "NORMAL_CLEARING")  # its event may overtake
    story.hangs_up(leg, 30, "NORMAL_CLEARING", by_phone=True)
    assert story.now()[0].ended_by == leg
