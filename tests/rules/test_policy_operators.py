"""What the end of an attempt means for its operator: the rules, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.engine.policy import OperatorFacts, decide_operator

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
RANG = OperatorFacts(
    wrap_up_time=10, max_no_answer=3, busy_delay=15, reject_delay=16, no_answer_delay=11, no_answer_count=1,
    answered=False, bridged=False, cause="NO_ANSWER", ended_at=AT,
)  # fmt: skip


def after(seconds: int) -> datetime:
    return AT + timedelta(seconds=seconds)


def test_after_a_bridged_call_he_wraps_up_and_his_count_is_zero() -> None:
    decision = decide_operator(replace(RANG, answered=True, bridged=True, cause="NORMAL_CLEARING"))
    assert (decision.state, decision.wrap_up_until, decision.no_answer_count) == ("wrap_up", after(10), 0)
    assert decision.ready_at is None


def test_with_a_wrap_up_time_of_zero_he_waits_at_once() -> None:
    decision = decide_operator(replace(RANG, answered=True, bridged=True, wrap_up_time=0))
    assert (decision.state, decision.wrap_up_until) == ("waiting", None)


@pytest.mark.parametrize(("own", "until"), [(10, 45), (0, 45), (90, 90)])
def test_where_the_campaign_says_so_he_stays_in_wrap_up_until_the_result_or_its_deadline(own: int, until: int) -> None:
    decision = decide_operator(
        replace(RANG, answered=True, bridged=True, wrap_up_time=own, hold_until=after(45))
    )  # fmt: skip
    assert (decision.state, decision.wrap_up_until) == ("wrap_up", after(until))


@pytest.mark.parametrize(("left", "ready_at"), [(False, None), (True, after(16))])
def test_answered_and_never_bridged_he_waits_at_once_but_if_he_hung_up_himself_the_reject_delay(
    left: bool, ready_at: datetime | None
) -> None:
    decision = decide_operator(replace(RANG, answered=True, left=left, cause="NORMAL_CLEARING"))
    assert (decision.state, decision.ready_at, decision.no_answer_count) == ("waiting", ready_at, 0)


@pytest.mark.parametrize("cause", ["NO_ANSWER", "ALLOTTED_TIMEOUT", "NORMAL_TEMPORARY_FAILURE", "SOMETHING_NEW"])
def test_no_answer_and_any_cause_without_a_rule_is_counted_and_he_rests(cause: str) -> None:
    decision = decide_operator(replace(RANG, cause=cause))
    assert (decision.no_answer_count, decision.ready_at, decision.forced_break) == (2, after(11), False)


def test_at_the_maximum_of_no_answers_in_a_row_a_break_is_forced() -> None:
    assert decide_operator(replace(RANG, no_answer_count=2)).forced_break
    assert decide_operator(replace(RANG, no_answer_count=9)).forced_break


def test_with_a_maximum_of_zero_no_break_is_forced() -> None:
    assert not decide_operator(replace(RANG, max_no_answer=0, no_answer_count=1000)).forced_break


@pytest.mark.parametrize(("cause", "delay"), [("USER_BUSY", 15), ("CALL_REJECTED", 16)])
def test_busy_and_rejected_have_delays_of_their_own_and_leave_the_count(cause: str, delay: int) -> None:
    decision = decide_operator(replace(RANG, cause=cause, no_answer_count=2))
    assert (decision.no_answer_count, decision.ready_at, decision.forced_break) == (2, after(delay), False)


@pytest.mark.parametrize("cause", ["USER_NOT_REGISTERED", "SUBSCRIBER_ABSENT"])
def test_a_phone_that_is_not_registered_is_not_his_fault(cause: str) -> None:
    decision = decide_operator(replace(RANG, cause=cause))
    assert (decision.no_answer_count, decision.ready_at, decision.state) == (1, None, "waiting")


@pytest.mark.parametrize("cause", ["USER_NOT_REGISTERED", "SUBSCRIBER_ABSENT"])
def test_an_outside_number_cannot_register_again_so_it_is_a_call_without_an_answer(cause: str) -> None:
    decision = decide_operator(replace(RANG, cause=cause, registers=False))
    assert (decision.no_answer_count, decision.ready_at) == (2, after(11))


@pytest.mark.parametrize("cause", ["", "ORIGINATOR_CANCEL", "MANAGER_REQUEST", "NO_ANSWER"])
def test_withdrawn_or_ended_by_others_he_waits_at_once_and_nothing_is_counted(cause: str) -> None:
    decision = decide_operator(replace(RANG, cause=cause, ended_by_others=True))
    assert (decision.state, decision.ready_at, decision.no_answer_count) == ("waiting", None, 1)


@pytest.mark.parametrize("cause", ["ORIGINATOR_CANCEL", "LOSE_RACE"])
def test_when_the_subscriber_leaves_while_he_rings_he_waits_at_once_and_nothing_is_counted(cause: str) -> None:
    decision = decide_operator(replace(RANG, cause=cause, no_answer_count=2))
    assert (decision.state, decision.ready_at, decision.no_answer_count) == ("waiting", None, 2)
    assert not decision.forced_break


def test_one_whose_phone_never_rang_waits_at_once_and_nothing_is_counted() -> None:
    decision = decide_operator(replace(RANG, cause=""))
    assert (decision.state, decision.ready_at, decision.no_answer_count) == ("waiting", None, 1)


@given(
    st.builds(
        OperatorFacts, wrap_up_time=st.integers(0, 60), max_no_answer=st.integers(0, 4), busy_delay=st.integers(0, 60),
        reject_delay=st.integers(0, 60), no_answer_delay=st.integers(0, 60), no_answer_count=st.integers(0, 5),
        answered=st.booleans(), bridged=st.booleans(), ended_at=st.just(AT), left=st.booleans(),
        cause=st.sampled_from(["", "NO_ANSWER", "USER_BUSY", "CALL_REJECTED", "USER_NOT_REGISTERED"]),
        ended_by_others=st.booleans(), registers=st.booleans(), hold_until=st.sampled_from([None, after(45)]),
    )
)  # fmt: skip
def test_he_is_in_wrap_up_exactly_when_it_has_an_end_and_only_after_a_bridged_call(facts: OperatorFacts) -> None:
    decision = decide_operator(facts)
    assert (decision.state == "wrap_up") == (decision.wrap_up_until is not None)
    assert decision.state == "waiting" or facts.bridged
    assert decision.no_answer_count in {0, facts.no_answer_count, facts.no_answer_count + 1}
    assert not decision.forced_break or decision.no_answer_count > facts.no_answer_count
