"""The result of a call: what its fields may hold, and what it means. Without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.engine.policy import (
    MemberFacts,
    Result,
    ResultDecision,
    Rules,
    decide_no_result,
    decide_result,
    read_result,
)
from dialer.engine.policy.results import COMMENT_LENGTH, LONGEST_WAIT
from members import numbers

ENDED = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
RECEIVED = ENDED + timedelta(seconds=20)
RULES = Rules(
    retry_wait=60, max_retries=5, min_duration=10, wait_for_result=True, wrap_up_time=45, minus_limit=20,
    error_stops_number_only=False, treatments={},
)  # fmt: skip
FRESH = MemberFacts(counted=0, minus_in_row=0, extra_attempts=0, active_numbers=2)
GO_ON = Result(success=False)


def digits_of(text: str) -> str:
    return numbers.clean(text).digits


def read(**body: Any) -> Result:
    result, faults = read_result(body, digits_of)
    assert result is not None, faults
    return result


def faults_of(**body: Any) -> set[str]:
    result, faults = read_result(body, digits_of)
    assert (result is None) == bool(faults)
    assert all(text for texts in faults.values() for text in texts)
    return set(faults)


def decide(
    result: Result = GO_ON, member: MemberFacts = FRESH, *, active: int = 2, received: datetime = RECEIVED,
    now: datetime = RECEIVED,
) -> ResultDecision:  # fmt: skip
    return decide_result(
        result, member, RULES, active_after=active, call_ended=ENDED, received=received, now=now
    )  # fmt: skip


# --- reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "true", 1, 0, [], {}])
def test_success_is_required_and_a_boolean(value: object) -> None:
    assert faults_of(success=value) == {"success"}
    assert faults_of() == {"success"}


@pytest.mark.parametrize("name", ["reset_retries", "reset_retr"])
def test_reset_retries_is_a_boolean_under_both_its_names(name: str) -> None:
    assert read(success=False, **{name: True}).reset
    assert not read(success=False, **{name: False}).reset
    assert faults_of(success=False, **{name: "yes"}) == {name}
    assert faults_of(success=False, **{name: 1}) == {name}


def test_the_two_names_of_reset_retries_must_not_contradict_each_other() -> None:
    assert faults_of(success=False, reset_retries=True, reset_retr=False) == {"reset_retries"}
    assert read(success=False, reset_retries=True, reset_retr=True).reset


@pytest.mark.parametrize("value", [-1, 1.5, "60", True, LONGEST_WAIT + 1, [60]])
def test_next_after_sec_is_a_whole_number_from_zero(value: object) -> None:
    assert faults_of(success=False, next_after_sec=value) == {"next_after_sec"}


@pytest.mark.parametrize("value", [0, 1, LONGEST_WAIT])
def test_next_after_sec_may_be_zero(value: int) -> None:
    assert read(success=False, next_after_sec=value).next_after_sec == value


def test_next_communication_is_a_number_as_typed() -> None:
    assert read(success=False, next_communication=" +38 (050) 111-22-33 ").next_communication == "+38 (050) 111-22-33"
    assert read(success=False, next_communication="  ").next_communication is None
    for wrong in ("call me", "12a", 380501112233, ["1"], "1" * 33):
        assert faults_of(success=False, next_communication=wrong) == {"next_communication"}


def test_stop_communications_is_an_array_a_string_or_all() -> None:
    assert read(success=False, stop_communications=["+380 50", "44"]).stop == ("38050", "44")
    assert read(success=False, stop_communications="38050").stop == ("38050",)
    result = read(success=False, stop_communications="all", next_communication="38050")
    assert (result.stop_all, result.stop) == (True, ())
    for wrong in (5, ["44", 5], ["x"], {"a": 1}, True, "everything"):
        assert faults_of(success=False, stop_communications=wrong) == {"stop_communications"}


def test_a_number_cannot_be_both_stopped_and_next_however_it_is_typed() -> None:
    assert faults_of(success=False, next_communication="+380 50", stop_communications=["38050"]) == {
        "stop_communications"
    }


def test_a_comment_is_a_text_that_can_be_kept() -> None:
    assert read(success=True, comment="Дякую\n🙂").comment == "Дякую\n🙂"
    for wrong in (5, "x" * (COMMENT_LENGTH + 1), "a\0b", "\ud800"):
        assert faults_of(success=True, comment=wrong) == {"comment"}


def test_attempt_is_a_number() -> None:
    assert read(success=True, attempt=7).attempt == 7
    for wrong in ("7", True, 1.5, -1, 2**70):
        assert faults_of(success=True, attempt=wrong) == {"attempt"}


def test_an_unknown_field_is_a_fault_and_every_fault_is_named() -> None:
    assert faults_of(success="yes", nonsense=1, next_after_sec=-5, next_communication="x", stop_communications=[1]) == {
        "success", "nonsense", "next_after_sec", "next_communication", "stop_communications",
    }  # fmt: skip


def test_null_is_as_good_as_not_given() -> None:
    names = ("reset_retries", "reset_retr", "next_after_sec", "next_communication", "stop_communications", "comment")
    assert read(success=False, attempt=None, **dict.fromkeys(names)) == GO_ON


def test_a_success_ignores_all_other_fields_but_the_comment_and_the_attempt() -> None:
    ignored: dict[str, Any] = {
        "reset_retr": 5,
        "next_after_sec": -1,
        "next_communication": "x",
        "stop_communications": 5,
    }
    assert read(success=True, comment="ok", attempt=3, **ignored) == Result(True, comment="ok", attempt=3)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from(
    [
        "success",
        "reset_retries",
        "reset_retr",
        "next_after_sec",
        "next_communication",
        "stop_communications",
        "comment",
        "call_back_at",
        "call_back_mine",
        "do_not_call",
        "disposition",
        "x",
    ]
)


@given(st.dictionaries(fields, json_values))
def test_any_body_is_a_result_or_has_its_faults_by_field(body: dict[str, Any]) -> None:
    result, faults = read_result(body, digits_of)
    assert (result is None) == bool(faults)
    assert set(faults) <= {*body, "success", "reset_retries", "call_back_at"}


# --- what it means ----------------------------------------------------------------------------------------------


def test_a_success_ends_him_with_normal_clearing() -> None:
    decision = decide(Result(True), replace(FRESH, expire_at=ENDED, end_requested=True, counted=9))
    assert (decision.outcome, decision.end_cause, decision.success) == ("success", "NORMAL_CLEARING", True)
    assert decision.counted


def test_without_success_it_is_counted_and_goes_on_after_the_wait_from_the_end_of_the_call() -> None:
    decision = decide()
    assert (decision.outcome, decision.counted, decision.end_cause) == ("retry", True, None)
    assert decision.not_before == ENDED + timedelta(seconds=60)


@pytest.mark.parametrize(("received", "base"), [(RECEIVED, RECEIVED), (ENDED - timedelta(seconds=9), ENDED)])
def test_next_after_sec_replaces_the_wait_from_the_later_of_call_end_and_receipt(
    received: datetime, base: datetime
) -> None:
    decision = decide(replace(GO_ON, next_after_sec=5), received=received)
    assert decision.not_before == base + timedelta(seconds=5)


def test_no_active_number_left_ends_him_as_no_communications() -> None:
    assert decide(active=0).end_cause == "NO_COMMUNICATIONS"


def test_at_the_maximum_he_ends_as_max_try_count_unless_the_counters_are_reset() -> None:
    last = replace(FRESH, counted=4)
    assert decide(GO_ON, last).end_cause == "MAX_TRY_COUNT"
    assert decide(replace(GO_ON, reset=True), last).end_cause is None


def test_a_next_number_asked_for_at_the_maximum_is_one_extra_attempt_granted() -> None:
    asks = replace(GO_ON, next_communication="38050")
    decision = decide(asks, replace(FRESH, counted=4))
    assert (decision.end_cause, decision.extra_attempts) == (None, 1)
    assert decide(asks, replace(FRESH, counted=3)).extra_attempts == 0
    again = decide(asks, replace(FRESH, counted=5, extra_attempts=1))
    assert (again.end_cause, again.extra_attempts) == (None, 1)


@given(counted=st.integers(0, 12), extras=st.integers(0, 4), asks=st.booleans(), reset=st.booleans())
def test_who_goes_on_has_an_attempt_left_and_who_ends_is_granted_none(
    counted: int, extras: int, asks: bool, reset: bool
) -> None:
    result = Result(False, reset=reset, next_communication="38050" if asks else None)
    decision = decide(result, replace(FRESH, counted=counted, extra_attempts=extras))
    then = 0 if reset else counted + 1
    maximum = 5 + (0 if reset else extras) + decision.extra_attempts
    assert (decision.end_cause is None) == (then < maximum)
    assert not (decision.end_cause and decision.extra_attempts)
    assert not (asks and decision.end_cause)


def test_expiry_lets_the_result_finish_and_then_ends_him() -> None:
    assert decide(member=replace(FRESH, expire_at=RECEIVED)).end_cause == "MEMBER_EXPIRED"
    asks = replace(GO_ON, next_communication="38050")
    expired = decide(asks, replace(FRESH, expire_at=ENDED, counted=4))
    assert (expired.end_cause, expired.extra_attempts) == ("MEMBER_EXPIRED", 0)


def test_one_whom_a_person_ended_during_the_call_ends_after_its_result() -> None:
    assert decide(member=replace(FRESH, end_requested=True)).end_cause == "MANAGER_REQUEST"


def test_no_result_is_counted_not_successful_and_goes_on_not_before_the_wait() -> None:
    late = ENDED + timedelta(seconds=45)
    decision = decide_no_result(FRESH, RULES, call_ended=ENDED, now=late)
    assert (decision.outcome, decision.counted, decision.success, decision.end_cause) == ("retry", True, False, None)
    assert decision.not_before == ENDED + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("member", "end_cause"),
    [
        (replace(FRESH, counted=4), "MAX_TRY_COUNT"),
        (replace(FRESH, expire_at=ENDED), "MEMBER_EXPIRED"),
        (replace(FRESH, active_numbers=0), "NO_COMMUNICATIONS"),
        (replace(FRESH, end_requested=True), "MANAGER_REQUEST"),
    ],
)
def test_without_a_result_the_ends_are_the_same(member: MemberFacts, end_cause: str) -> None:
    assert decide_no_result(member, RULES, call_ended=ENDED, now=RECEIVED).end_cause == end_cause
