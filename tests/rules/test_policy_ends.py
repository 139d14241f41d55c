"""What the end of an attempt means for its subscriber: the rules, without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.models import DEFAULT_CAUSES
from dialer.engine.policy import AttemptFacts, MemberFacts, Rules, decide_end, plain_cause

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ENDED = NOW - timedelta(seconds=3)
WAIT = ENDED + timedelta(seconds=60)
RULES = Rules(
    retry_wait=60, max_retries=5, min_duration=10, wait_for_result=False, wrap_up_time=45, minus_limit=20,
    error_stops_number_only=False, treatments={cause: str(treatment) for cause, treatment in DEFAULT_CAUSES.items()},
)  # fmt: skip
FRESH = MemberFacts(counted=0, minus_in_row=0, extra_attempts=0, active_numbers=1)
RANG = AttemptFacts(subscriber_created=True, subscriber_ended_at=ENDED, ended_at=NOW)


def unanswered(cause: str, **more: object) -> AttemptFacts:
    return replace(RANG, subscriber_cause=cause, operator_cause=cause, **more)  # type: ignore[arg-type]


def talked(seconds: float, cause: str = "NORMAL_CLEARING", **more: object) -> AttemptFacts:
    return replace(
        RANG, subscriber_cause=cause, subscriber_answered=True, bridged=True, talk_seconds=seconds, **more,  # type: ignore[arg-type]
    )  # fmt: skip


causes = st.sampled_from([*DEFAULT_CAUSES, "ALLOTTED_TIMEOUT", "SOMETHING_NEW", "MANAGER_REQUEST", ""])
facts = st.builds(
    AttemptFacts,
    operator_cause=causes,
    subscriber_cause=causes,
    subscriber_created=st.booleans(),
    subscriber_answered=st.booleans(),
    bridged=st.booleans(),
    talk_seconds=st.floats(0, 100),
    subscriber_ended_at=st.sampled_from([None, ENDED]),
    ended_at=st.sampled_from([None, NOW]),
    operator_left=st.booleans(),
    killed_by_person=st.booleans(),
    withdrawn=st.booleans(),
    lost=st.booleans(),
    subscriber_first=st.booleans(),
    result_stored=st.booleans(),
)
members = st.builds(
    MemberFacts,
    counted=st.integers(0, 6),
    minus_in_row=st.integers(0, 25),
    extra_attempts=st.integers(0, 2),
    active_numbers=st.integers(1, 3),
    dialled_active=st.just(True),
    expire_at=st.sampled_from([None, NOW - timedelta(seconds=1), NOW + timedelta(days=1)]),
    end_requested=st.booleans(),
)
rules = st.builds(
    replace,
    st.just(RULES),
    max_retries=st.integers(1, 6),
    min_duration=st.integers(0, 30),
    wait_for_result=st.booleans(),
    minus_limit=st.integers(0, 22),
    error_stops_number_only=st.booleans(),
)


# --- the cause --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "cause"),
    [
        (unanswered("USER_BUSY"), "USER_BUSY"),
        (unanswered("ALLOTTED_TIMEOUT"), "NO_ANSWER"),
        (unanswered("NORMAL_CLEARING"), "NO_ANSWER"),
        (unanswered("NORMAL_CLEARING", subscriber_answered=True), "NORMAL_CLEARING"),
        (unanswered("ORIGINATOR_CANCEL", killed_by_person=True), "MANAGER_REQUEST"),
        (unanswered("MANAGER_REQUEST", killed_by_person=True), "MANAGER_REQUEST"),
        (talked(3, killed_by_person=True), "MANAGER_REQUEST"),
        (unanswered("USER_BUSY", killed_by_person=True), "USER_BUSY"),
        (talked(3, "USER_BUSY"), "USER_BUSY"),
        (talked(3, "", lost=True), "NORMAL_CLEARING"),
        (AttemptFacts(operator_cause="CALL_REJECTED"), "CALL_REJECTED"),
        (AttemptFacts(withdrawn=True), "WITHDRAWN"),
        (AttemptFacts(withdrawn=True, operator_cause="MANAGER_REQUEST"), "WITHDRAWN"),
        (AttemptFacts(withdrawn=True, killed_by_person=True), "MANAGER_REQUEST"),
        (AttemptFacts(withdrawn=True, lost=True, operator_cause="NOT_SENT"), "NOT_SENT"),
        (AttemptFacts(lost=True), "LOST"),
        (unanswered("", lost=True), "LOST"),
        (unanswered("NORMAL_CLEARING", subscriber_answered=True, subscriber_first=True), "ABANDONED"),
    ],
)
def test_the_cause_is_that_of_the_subscribers_leg_made_plain(attempt: AttemptFacts, cause: str) -> None:
    assert plain_cause(attempt) == cause


def test_a_leg_that_ended_by_itself_just_before_we_hung_up_keeps_its_own_cause_and_treatment() -> None:
    decision = decide_end(unanswered("UNALLOCATED_NUMBER", killed_by_person=True), FRESH, RULES, NOW)
    assert (decision.outcome, decision.end_cause) == ("error", "UNALLOCATED_NUMBER")


# --- the four treatments ----------------------------------------------------------------------------------------


def test_an_error_ends_the_subscriber_at_once_with_this_cause() -> None:
    decision = decide_end(unanswered("UNALLOCATED_NUMBER"), replace(FRESH, active_numbers=3), RULES, NOW)
    assert (decision.outcome, decision.counted, decision.success) == ("error", True, False)
    assert (decision.end_cause, decision.stop_number_cause) == ("UNALLOCATED_NUMBER", "UNALLOCATED_NUMBER")


NUMBER_ONLY = replace(RULES, error_stops_number_only=True)


def test_an_error_that_stops_only_the_number_lets_the_others_go_on_after_the_wait() -> None:
    decision = decide_end(unanswered("UNALLOCATED_NUMBER"), replace(FRESH, active_numbers=2), NUMBER_ONLY, NOW)
    assert (decision.outcome, decision.counted, decision.end_cause) == ("error", True, None)
    assert (decision.stop_number_cause, decision.not_before) == ("UNALLOCATED_NUMBER", WAIT)


@pytest.mark.parametrize(
    ("member", "end_cause"),
    [
        (replace(FRESH, active_numbers=1), "UNALLOCATED_NUMBER"),
        (replace(FRESH, active_numbers=1, dialled_active=False), None),
        (replace(FRESH, active_numbers=0, dialled_active=False), "UNALLOCATED_NUMBER"),
        (replace(FRESH, active_numbers=2, counted=4), "MAX_TRY_COUNT"),
        (replace(FRESH, active_numbers=2, expire_at=NOW), "MEMBER_EXPIRED"),
        (replace(FRESH, active_numbers=1, end_requested=True), "MANAGER_REQUEST"),
    ],
)
def test_with_his_last_number_stopped_by_an_error_the_subscriber_ends_with_that_cause(
    member: MemberFacts, end_cause: str | None
) -> None:
    assert decide_end(unanswered("UNALLOCATED_NUMBER"), member, NUMBER_ONLY, NOW).end_cause == end_cause


@pytest.mark.parametrize("cause", ["USER_BUSY", "ALLOTTED_TIMEOUT", "NORMAL_CLEARING", "NEVER_HEARD_OF"])
def test_a_retry_is_counted_and_comes_again_after_the_wait(cause: str) -> None:
    decision = decide_end(unanswered(cause), FRESH, RULES, NOW)
    assert (decision.outcome, decision.counted, decision.end_cause) == ("retry", True, None)
    assert decision.not_before == WAIT


def test_at_the_maximum_a_retry_ends_as_max_try_count_and_extra_attempts_are_granted_over_it() -> None:
    member = replace(FRESH, counted=4)
    assert decide_end(unanswered("USER_BUSY"), member, RULES, NOW).end_cause == "MAX_TRY_COUNT"
    assert decide_end(unanswered("USER_BUSY"), replace(member, extra_attempts=1), RULES, NOW).end_cause is None
    lowered = replace(RULES, max_retries=2)
    assert decide_end(unanswered("USER_BUSY"), member, lowered, NOW).end_cause == "MAX_TRY_COUNT"


def test_a_cause_under_ok_ends_as_a_success_with_this_cause_but_normal_clearing_needs_a_talk() -> None:
    ok = replace(RULES, treatments={"USER_BUSY": "ok", "NORMAL_CLEARING": "ok"})
    decision = decide_end(unanswered("USER_BUSY"), FRESH, ok, NOW)
    assert (decision.outcome, decision.success, decision.end_cause, decision.counted) == (
        "success",
        True,
        "USER_BUSY",
        True,
    )
    answered = unanswered("NORMAL_CLEARING", subscriber_answered=True)
    decision = decide_end(answered, FRESH, ok, NOW)
    assert (decision.outcome, decision.success, decision.counted) == ("retry", False, True)


def test_a_minus_is_not_counted_and_comes_again_after_the_wait() -> None:
    decision = decide_end(unanswered("GATEWAY_DOWN"), replace(FRESH, minus_in_row=3), RULES, NOW)
    assert (decision.outcome, decision.counted, decision.minus_in_row) == ("minus", False, 4)
    assert decision.not_before == WAIT


def test_of_twenty_minuses_in_a_row_one_is_counted_so_that_a_list_can_end() -> None:
    member, counted = replace(FRESH, counted=0), 0
    for _ in range(100):
        decision = decide_end(unanswered("GATEWAY_DOWN"), member, RULES, NOW)
        counted += decision.counted
        member = replace(member, counted=counted, minus_in_row=decision.minus_in_row)
    assert counted == 5
    assert decision.end_cause == "MAX_TRY_COUNT"


def test_with_a_limit_of_zero_a_minus_is_never_counted() -> None:
    member = replace(FRESH, minus_in_row=10_000)
    assert not decide_end(unanswered("GATEWAY_DOWN"), member, replace(RULES, minus_limit=0), NOW).counted


@pytest.mark.parametrize(
    ("attempt", "left"), [(unanswered("USER_BUSY"), 0), (talked(1), 0), (AttemptFacts(operator_cause="NO_ANSWER"), 7)]
)
def test_minuses_are_in_a_row_until_something_else_is_counted(attempt: AttemptFacts, left: int) -> None:
    assert decide_end(attempt, replace(FRESH, minus_in_row=7), RULES, NOW).minus_in_row == left


# --- the bridged ------------------------------------------------------------------------------------------------


@given(cause=causes, talk=st.floats(0, 30), killed=st.booleans(), lost=st.booleans(), member=members)
def test_a_bridged_call_is_decided_by_the_talk_whatever_cause_ended_it(
    cause: str, talk: float, killed: bool, lost: bool, member: MemberFacts
) -> None:
    decision = decide_end(talked(talk, cause, killed_by_person=killed, lost=lost), member, RULES, NOW)
    assert decision.counted
    assert decision.success == (talk >= 10)
    if decision.success:
        assert decision.end_cause == "NORMAL_CLEARING"
    else:
        assert (decision.outcome, decision.not_before) == ("retry", WAIT)


@given(attempt=facts, member=members)
def test_where_a_result_is_awaited_it_alone_decides_a_bridged_call(attempt: AttemptFacts, member: MemberFacts) -> None:
    attempt = replace(attempt, bridged=True, subscriber_ended_at=ENDED)
    decision = decide_end(attempt, member, replace(RULES, wait_for_result=True), NOW)
    assert (decision.outcome, decision.counted, decision.end_cause) == ("awaiting_result", False, None)
    assert decision.result_deadline == ENDED + timedelta(seconds=45)


def test_a_result_that_was_taken_rules_although_the_campaign_no_longer_waits_for_results() -> None:
    assert decide_end(talked(20, result_stored=True), FRESH, RULES, NOW).outcome == "awaiting_result"


# --- what is not the subscriber's doing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attempt",
    [
        AttemptFacts(operator_cause="NO_ANSWER"),
        AttemptFacts(operator_cause="DESTINATION_OUT_OF_ORDER"),
        AttemptFacts(lost=True),
        AttemptFacts(lost=True, subscriber_first=True, subscriber_cause="NOT_SENT"),
        AttemptFacts(withdrawn=True),
    ],
)
def test_a_leg_that_was_never_created_costs_nothing_and_he_is_due_at_once(attempt: AttemptFacts) -> None:
    decision = decide_end(attempt, replace(FRESH, counted=4, minus_in_row=3), RULES, NOW)
    assert (decision.outcome, decision.counted, decision.minus_in_row) == ("refunded", False, 3)
    assert (decision.not_before, decision.end_cause) == (None, None)


@pytest.mark.parametrize(
    "attempt",
    [
        unanswered("ORIGINATOR_CANCEL", operator_left=True),
        unanswered("", lost=True),
        AttemptFacts(lost=True, subscriber_first=True, ended_at=ENDED),
        unanswered("ORIGINATOR_CANCEL", withdrawn=True),
        unanswered("ORIGINATOR_CANCEL", killed_by_person=True),
        AttemptFacts(killed_by_person=True, ended_at=ENDED),
    ],
)
def test_a_call_that_others_broke_off_costs_nothing_and_comes_again_after_the_wait(attempt: AttemptFacts) -> None:
    decision = decide_end(attempt, replace(FRESH, counted=4), RULES, NOW)
    assert (decision.outcome, decision.counted) == ("refunded", False)
    assert (decision.not_before, decision.end_cause) == (WAIT, None)


def test_one_who_answered_and_was_never_bridged_is_abandoned_counted_and_called_again_after_the_wait() -> None:
    attempt = unanswered("NORMAL_CLEARING", subscriber_answered=True, subscriber_first=True, operator_left=True)
    decision = decide_end(attempt, FRESH, RULES, NOW)
    assert (decision.cause, decision.outcome, decision.counted) == ("ABANDONED", "abandoned", True)
    assert decision.not_before == WAIT


# --- ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expires", "requested", "numbers", "counted", "end_cause"),
    [
        (False, False, 1, 0, None),
        (False, False, 1, 4, "MAX_TRY_COUNT"),
        (True, False, 1, 4, "MEMBER_EXPIRED"),
        (True, False, 0, 4, "NO_COMMUNICATIONS"),
        (True, True, 0, 4, "MANAGER_REQUEST"),
    ],
)
def test_a_persons_wish_comes_before_want_of_numbers_expiry_and_the_maximum(
    expires: bool, requested: bool, numbers: int, counted: int, end_cause: str | None
) -> None:
    member = MemberFacts(
        counted, 0, 0, numbers, expire_at=NOW if expires else NOW + timedelta(seconds=1), end_requested=requested
    )
    assert decide_end(unanswered("USER_BUSY"), member, RULES, NOW).end_cause == end_cause


def test_a_success_beats_expiry_and_a_persons_wish() -> None:
    member = replace(FRESH, expire_at=ENDED, end_requested=True)
    assert decide_end(talked(10), member, RULES, NOW).end_cause == "NORMAL_CLEARING"


@given(attempt=facts, member=members, rules=rules)
def test_every_end_is_one_decision_that_hangs_together(
    attempt: AttemptFacts, member: MemberFacts, rules: Rules
) -> None:
    decision = decide_end(attempt, member, rules, NOW)
    assert decision.cause
    assert decision.success == (decision.outcome == "success")
    assert (decision.outcome == "awaiting_result") == (decision.result_deadline is not None)
    assert decision.counted == (decision.outcome in {"success", "retry", "error", "abandoned"})
    if decision.success:
        assert decision.end_cause
    if decision.outcome not in {"awaiting_result", "success", "error"}:
        over = member.counted + decision.counted >= rules.max_retries + member.extra_attempts
        assert decision.end_cause or not over, "nobody over the maximum is called again"
    if not attempt.bridged and not attempt.subscriber_created and decision.outcome != "abandoned":
        assert not decision.counted, "who was never dialled is never charged"


@given(attempt=facts, member=members, rules=rules)
def test_the_next_attempt_is_never_earlier_than_the_wait_after_the_end_of_his_leg(
    attempt: AttemptFacts, member: MemberFacts, rules: Rules
) -> None:
    decision = decide_end(attempt, member, rules, NOW)
    if decision.outcome in {"retry", "minus", "abandoned"}:
        ended = attempt.subscriber_ended_at or attempt.ended_at or NOW
        assert decision.not_before == ended + timedelta(seconds=rules.retry_wait)


def test_every_default_cause_has_the_treatment_that_the_campaign_says() -> None:
    outcomes = {"error": "error", "retry": "retry", "ok": "retry", "minus": "minus"}  # the only ok is NORMAL_CLEARING
    for (cause, treatment), answered in product(DEFAULT_CAUSES.items(), (False, True)):
        decision = decide_end(unanswered(cause, subscriber_answered=answered), FRESH, RULES, NOW)
        assert decision.outcome == outcomes[treatment], cause
