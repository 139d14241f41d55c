"""What attempts, the clock and people do to subscribers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign
from dialer import clock
from dialer.errors import Refused
from dialer.models import Attempt, Outcome, ResultReport
from members import actions
from members.models import MEMBER_EDGES, Communication, DoNotCall, Member, MemberState, StopReason
from members.rows import RowsRefused
from tests import factories
from tests.members.conftest import RecordingEngine

MINUTE = timedelta(minutes=1)
W, R, L, H, E = MemberState


def let_go(attempt: Attempt, **keywords: Any) -> bool:
    """Let an attempt's subscriber go as after an unanswered call that counted, but for ``keywords``."""
    plain: dict[str, Any] = {
        "now": clock.now(),
        "communication_id": attempt.communication_id,
        "tried": True,
        "counted": True,
        "minus_in_row": 0,
        "stop_number_cause": None,
        "end_cause": None,
        "success": False,
        "not_before": None,
        "await_result": False,
    }
    return actions.let_go(attempt.member_id, attempt.pk, **plain | keywords)


def apply_result(attempt: Attempt, **keywords: Any) -> bool:
    """Apply the result “not successful, go on”, but for ``keywords``."""
    plain: dict[str, Any] = {
        "now": clock.now(),
        "reset_counters": False,
        "stop_ids": [],
        "reactivate_id": None,
        "new_number": None,
        "request_next": False,
        "extra_attempts": 0,
        "end_cause": None,
        "success": False,
        "not_before": None,
        "counted": True,
        "minus_in_row": 0,
    }
    return actions.apply_result(attempt.member_id, attempt.pk, **plain | keywords)


def on_call(campaign: Campaign, numbers: list[str] | None = None, **fields: Any) -> tuple[Member, Attempt]:
    member = factories.make_member(campaign, numbers, **fields)
    return member, factories.make_attempt(member)


def awaiting(campaign: Campaign, numbers: list[str] | None = None, **fields: Any) -> tuple[Member, Attempt]:
    """Return a subscriber who was bridged and is held for the result."""
    member, attempt = on_call(campaign, numbers, **fields)
    assert let_go(attempt, counted=False, await_result=True)
    Attempt.objects.filter(pk=attempt.pk).update(
        ended_at=clock.now(), outcome=Outcome.AWAITING_RESULT, cause="NORMAL_CLEARING"
    )
    member.refresh_from_db()
    return member, attempt


def in_state(campaign: Campaign, state: MemberState) -> Member:
    """Return a subscriber in a state, brought there by the actions."""
    if state == L:
        return on_call(campaign)[0]
    if state == H:
        return awaiting(campaign)[0]
    member = factories.make_member(campaign)
    if state == W:
        actions.set_callback(member, clock.now() + MINUTE)
    if state == E:
        actions.end_member(member)
    member.refresh_from_db()
    assert member.state == state
    return member


def queryset(member: Member) -> QuerySet[Member]:
    return Member.objects.filter(pk=member.pk)


# --- the edges --------------------------------------------------------------------------------------------------


def held_by(member: Member) -> Attempt:
    """Return the attempt that holds him, or one that does not."""
    return member.current_attempt or factories.make_attempt(member, ended_at=clock.now())


def stop_and_reactivate(member: Member) -> None:
    actions.add_number(member, "1")
    number = member.communications.all()[0]
    actions.stop_number(number)
    actions.reactivate_number(number)


ACTIONS: dict[str, Callable[[Member], Any]] = {
    "hold": lambda m: actions.hold([(m.pk, held_by(m).pk)]),
    "let_go": lambda m: let_go(held_by(m)),
    "let_go, waiting": lambda m: let_go(held_by(m), not_before=clock.now() + MINUTE),
    "let_go, held": lambda m: let_go(held_by(m), await_result=True),
    "let_go, ended": lambda m: let_go(held_by(m), end_cause="NORMAL_CLEARING", success=True),
    "apply_result": lambda m: apply_result(held_by(m)),
    "apply_result, waiting": lambda m: apply_result(held_by(m), not_before=clock.now() + MINUTE),
    "apply_result, ended": lambda m: apply_result(held_by(m), end_cause="NORMAL_CLEARING", success=True),
    "make_due_ready": lambda m: actions.make_due_ready(clock.now() + 2 * MINUTE),
    "expire_due": lambda m: (queryset(m).update(expire_at=clock.now()), actions.expire_due(clock.now())),
    "end_over_maximum": lambda m: (queryset(m).update(counted=99), actions.end_over_maximum(m.campaign_id)),
    "end_members": lambda m: actions.end_members(queryset(m)),
    "reset_members": lambda m: actions.reset_members(queryset(m)),
    "delete_members": lambda m: (held_by(m), actions.delete_members(queryset(m))),
    "anonymise": lambda m: (held_by(m), actions.anonymise(queryset(m))),
    "stop_number": lambda m: actions.stop_number(m.communications.get()),
    "stop and reactivate": stop_and_reactivate,
    "add_do_not_call": lambda m: actions.add_do_not_call(m.communications.get().digits),
    "update_member": lambda m: actions.update_member(m, {"name": "Anna", "timezone": "Asia/Tokyo"}),
}


@pytest.mark.parametrize("state", MemberState)
@pytest.mark.parametrize("action", ACTIONS)
def test_no_action_leaves_the_edges(campaign: Campaign, state: MemberState, action: str) -> None:
    """Every action on every state: it changes the state along an edge, or not at all."""
    member = in_state(campaign, state)
    ACTIONS[action](member)
    after = factories.states([member])[0]
    assert after == state or after in MEMBER_EDGES[state]


REACHED = {
    "hold": {R: L},
    "let_go": {L: R},
    "let_go, waiting": {L: W},
    "let_go, held": {L: H},
    "let_go, ended": {L: E},
    "apply_result": {H: R},
    "apply_result, waiting": {H: W},
    "apply_result, ended": {H: E},
    "make_due_ready": {W: R},
    "expire_due": {W: E, R: E},
    "end_over_maximum": {W: E, R: E},
    "end_members": {W: E, R: E, H: E},
    "reset_members": {E: R},
    "add_do_not_call": {R: W},
    "stop_number": {W: E, R: E},
}


@pytest.mark.parametrize("action", REACHED)
def test_where_an_action_leads(campaign: Campaign, action: str) -> None:
    for state in MemberState:
        member = in_state(campaign, state)
        ACTIONS[action](member)
        assert factories.states([member])[0] == REACHED[action].get(state, state), state


# --- attempts ---------------------------------------------------------------------------------------------------


def test_hold_takes_the_ready_in_one_statement(campaign: Campaign) -> None:
    members = [factories.make_member(campaign) for _ in range(3)]
    actions.end_member(members[1])
    pairs = [(member.pk, factories.make_attempt(member, ended_at=clock.now()).pk) for member in members]
    with CaptureQueriesContext(connection) as captured:
        assert actions.hold(pairs) == {members[0].pk, members[2].pk}
    assert len(captured) == 1
    assert actions.hold([]) == set()


def test_another_attempt_cannot_let_him_go(campaign: Campaign) -> None:
    member, attempt = on_call(campaign)
    other = factories.make_attempt(factories.make_member(campaign))
    other.member_id = member.pk
    assert not let_go(other)
    assert let_go(attempt)
    assert not let_go(attempt)


def test_a_try_counts_for_the_number_and_for_the_order(campaign: Campaign) -> None:
    member, attempt = on_call(campaign, ["1", "2"])
    let_go(attempt, minus_in_row=0)
    member.refresh_from_db()
    assert (member.counted, member.tried) == (1, True)
    assert list(member.communications.values_list("digits", "tries")) == [("1", 1), ("2", 0)]
    assert next_digits(member) == "2"


def test_an_attempt_whose_leg_never_was_changes_nothing_but_his_state(campaign: Campaign) -> None:
    member, attempt = on_call(campaign)
    let_go(attempt, tried=False, counted=False)
    member.refresh_from_db()
    assert (member.state, member.counted, member.tried, member.communications.get().tries) == (R, 0, False, 0)


def test_he_waits_until_not_before(campaign: Campaign) -> None:
    member, attempt = on_call(campaign)
    later = clock.now() + MINUTE
    let_go(attempt, not_before=later, minus_in_row=4, counted=False)
    member.refresh_from_db()
    assert (member.state, member.due_at, member.minus_in_row, member.counted) == (W, later, 4, 0)


def test_a_number_stops_for_an_error_cause_and_the_next_one_is_called(campaign: Campaign) -> None:
    member, attempt = on_call(campaign, ["1", "2"])
    let_go(attempt, stop_number_cause="UNALLOCATED_NUMBER")
    member.refresh_from_db()
    stopped = member.communications.get(digits="1")
    assert (stopped.stopped, stopped.stop_cause) == (StopReason.CAUSE, "UNALLOCATED_NUMBER")
    assert next_digits(member) == "2"


def test_with_his_last_number_he_ends_with_its_cause(campaign: Campaign) -> None:
    member, attempt = on_call(campaign)
    let_go(attempt, stop_number_cause="UNALLOCATED_NUMBER")
    member.refresh_from_db()
    assert (member.state, member.end_cause, member.success) == (E, "UNALLOCATED_NUMBER", False)


def test_an_end_keeps_its_cause_and_whether_it_was_a_success(campaign: Campaign) -> None:
    now = clock.now()
    member, attempt = on_call(campaign)
    let_go(attempt, now=now, end_cause="NORMAL_CLEARING", success=True)
    member.refresh_from_db()
    assert (member.end_cause, member.success, member.ended_at) == ("NORMAL_CLEARING", True, now)
    assert (member.current_attempt, member.next_communication, member.next_gateway) == (None, None, None)


def test_a_maximum_lowered_during_the_call_ends_him_after_it(campaign: Campaign) -> None:
    member, attempt = on_call(campaign, counted=2)
    Campaign.objects.update(max_retries=3)
    let_go(attempt)
    member.refresh_from_db()
    assert (member.end_cause, member.counted) == ("MAX_TRY_COUNT", 3)


def test_a_number_that_a_person_stopped_during_the_call_stays_his(campaign: Campaign) -> None:
    member, attempt = on_call(campaign, ["1", "2"])
    actions.stop_number(member.communications.get(digits="1"))
    let_go(attempt, stop_number_cause="UNALLOCATED_NUMBER")
    assert member.communications.get(digits="1").stopped == StopReason.PERSON


def test_all_numbers_stopped_during_the_call_end_him_after_it(campaign: Campaign) -> None:
    member, attempt = on_call(campaign)
    actions.stop_number(member.communications.get())
    assert factories.states([member]) == [L]
    let_go(attempt)
    member.refresh_from_db()
    assert member.end_cause == "NO_COMMUNICATIONS"


def test_the_number_that_a_result_named_is_used_once(campaign: Campaign) -> None:
    member, attempt = awaiting(campaign, ["1", "2"])
    named = member.communications.get(digits="1")
    apply_result(attempt, reactivate_id=named.pk, request_next=True)
    member.refresh_from_db()
    assert member.next_communication == named  # though it has more tries
    withdrawn = factories.make_attempt(member)
    let_go(withdrawn, tried=False, counted=False)
    Attempt.objects.filter(pk=withdrawn.pk).update(ended_at=clock.now(), outcome=Outcome.REFUNDED, cause="x")
    member.refresh_from_db()
    assert member.next_communication == named  # it has not been tried yet
    let_go(factories.make_attempt(member))
    member.refresh_from_db()
    assert member.requested_communication is None
    assert next_digits(member) == "2"


# --- results ----------------------------------------------------------------------------------------------------


def test_he_is_held_until_the_result(campaign: Campaign) -> None:
    member, attempt = awaiting(campaign)
    assert (member.state, member.current_attempt) == (H, attempt)
    assert member.counted == 0
    apply_result(attempt, not_before=clock.now() + MINUTE)
    member.refresh_from_db()
    assert (member.state, member.counted, member.current_attempt) == (W, 1, None)
    assert not apply_result(attempt)


def test_a_success_ends_him(campaign: Campaign) -> None:
    member, attempt = awaiting(campaign)
    apply_result(attempt, end_cause="NORMAL_CLEARING", success=True, counted=False)
    member.refresh_from_db()
    assert (member.state, member.end_cause, member.success) == (E, "NORMAL_CLEARING", True)


def test_a_result_that_resets_sets_all_counters_to_zero_and_starts_no_stopped_number(campaign: Campaign) -> None:
    member, attempt = awaiting(campaign, ["1", "2", "3"], counted=3, extra_attempts=1, tried=True)
    member.communications.filter(digits="2").update(stopped=StopReason.CAUSE, stop_cause="X", tries=4)
    apply_result(attempt, reset_counters=True)
    member.refresh_from_db()
    assert (member.counted, member.minus_in_row, member.extra_attempts, member.tried) == (0, 0, 0, False)
    assert member.counts_after == attempt.pk
    assert list(member.communications.values_list("tries", "stopped")) == [(0, ""), (0, "cause"), (0, "")]


def test_a_result_stops_numbers_for_good(campaign: Campaign) -> None:
    member, attempt = awaiting(campaign, ["1", "2", "3"])
    numbers = {number.digits: number for number in member.communications.all()}
    Communication.objects.filter(pk=numbers["2"].pk).update(stopped=StopReason.CAUSE, stop_cause="X")
    actions.stop_number(numbers["3"])
    apply_result(attempt, stop_ids=[number.pk for number in numbers.values()])
    member.refresh_from_db()
    assert member.end_cause == "NO_COMMUNICATIONS"
    assert list(member.communications.values_list("stopped", flat=True)) == ["result", "result", "person"]
    assert actions.reset_members(queryset(member)) == 0


def test_a_new_number_comes_next_above_the_highest_priority(campaign: Campaign) -> None:
    member, attempt = awaiting(campaign, ["1", "2"])
    member.communications.filter(digits="2").update(priority=7)
    apply_result(attempt, new_number="+38 (050) 77", request_next=True)
    member.refresh_from_db()
    added = member.communications.get(digits="3805077")
    assert (added.number, added.dial, added.priority) == ("+38 (050) 77", "+3805077", 8)
    assert member.next_communication == added


def test_a_new_number_of_another_subscriber_is_refused_and_changes_nothing(campaign: Campaign) -> None:
    member, attempt = awaiting(campaign, ["1"])
    factories.make_member(campaign, ["2"])
    with pytest.raises(Refused) as refused:
        apply_result(attempt, new_number="2", request_next=True)
    assert refused.value.code == "NUMBER_TAKEN"
    assert factories.states([member]) == [H]


def test_a_stopped_number_that_is_named_starts_again(campaign: Campaign) -> None:
    member, attempt = awaiting(campaign, ["1", "2"])
    named = member.communications.get(digits="2")
    actions.stop_number(named)
    apply_result(
        attempt, stop_ids=[member.communications.get(digits="1").pk], reactivate_id=named.pk, request_next=True
    )
    member.refresh_from_db()
    assert member.next_communication == named


def test_the_maximum_ends_him_unless_one_more_was_granted(campaign: Campaign) -> None:
    member, attempt = awaiting(campaign, counted=4)
    apply_result(attempt)
    other, other_attempt = awaiting(campaign, counted=4)
    apply_result(other_attempt, extra_attempts=1)
    member.refresh_from_db()
    other.refresh_from_db()
    assert (member.end_cause, member.counted) == ("MAX_TRY_COUNT", 5)
    assert (other.state, other.extra_attempts) == (R, 1)


# --- the clock --------------------------------------------------------------------------------------------------


def test_the_due_become_ready_in_bounded_batches_the_longest_due_first(campaign: Campaign) -> None:
    now = clock.now()
    members = [factories.make_member(campaign, due_at=now + n * MINUTE) for n in (3, 1, 2, 9)]
    assert actions.make_due_ready(now + 5 * MINUTE, limit=2) == 2
    assert factories.states(members) == [W, R, R, W]
    assert actions.make_due_ready(now + 5 * MINUTE) == 1
    assert actions.make_due_ready(now + 5 * MINUTE) == 0


def test_the_expired_end_but_for_those_on_a_call(campaign: Campaign) -> None:
    now = clock.now()
    expired = factories.make_member(campaign, expire_at=now)
    later = factories.make_member(campaign, expire_at=now + MINUTE)
    talking, attempt = on_call(campaign, expire_at=now)
    held, held_attempt = awaiting(campaign, expire_at=now)
    assert actions.expire_due(now) == 1
    expired.refresh_from_db()
    assert (expired.end_cause, expired.success, expired.ended_at) == ("MEMBER_EXPIRED", False, now)
    assert factories.states([later, talking, held]) == [R, L, H]
    let_go(attempt)
    apply_result(held_attempt, end_cause="NORMAL_CLEARING", success=True)  # a success beats it
    assert actions.expire_due(now) == 1
    talking.refresh_from_db()
    held.refresh_from_db()
    assert (talking.end_cause, held.end_cause) == ("MEMBER_EXPIRED", "NORMAL_CLEARING")


def test_a_lowered_maximum_ends_those_who_have_reached_it(campaign: Campaign) -> None:
    members = [factories.make_member(campaign, counted=n) for n in (1, 2, 3)]
    granted = factories.make_member(campaign, counted=2, extra_attempts=1)
    other = factories.make_member(factories.make_campaign(), counted=4)
    Campaign.objects.filter(pk=campaign.pk).update(max_retries=2)
    assert actions.end_over_maximum(campaign.pk) == 2
    assert factories.states([*members, granted, other]) == [R, E, E, R, R]
    assert Member.objects.get(pk=members[1].pk).end_cause == "MAX_TRY_COUNT"


def test_after_its_time_a_sticky_operator_has_no_privilege(campaign: Campaign) -> None:
    now, operator = clock.now(), factories.make_operator(campaign)
    past, still = factories.make_member(campaign), factories.make_member(campaign)
    actions.set_callback(past, now, operator, MINUTE)
    actions.set_callback(still, now, operator, 5 * MINUTE)
    assert actions.clear_past_stickies(now + 2 * MINUTE) == 1
    past.refresh_from_db()
    still.refresh_from_db()
    assert (past.sticky_operator, past.sticky_until, past.callback) == (None, None, True)
    assert still.sticky_operator == operator


@pytest.mark.parametrize("sweep", ["make_due_ready", "expire_due", "clear_past_stickies"])
def test_a_sweep_is_one_statement(campaign: Campaign, sweep: str) -> None:
    factories.make_member(campaign, due_at=clock.now() - MINUTE)
    with CaptureQueriesContext(connection) as captured:
        getattr(actions, sweep)(clock.now())
    assert len([query for query in captured if "SAVEPOINT" not in query["sql"]]) == 1


# --- call-backs -------------------------------------------------------------------------------------------------


def test_a_call_back_is_due_at_its_time(campaign: Campaign) -> None:
    at, operator = clock.now() + 10 * MINUTE, factories.make_operator(campaign)
    member = actions.set_callback(factories.make_member(campaign), at, operator, 30 * MINUTE)
    assert (member.state, member.callback, member.due_at) == (W, True, at)
    assert (member.sticky_operator, member.sticky_until) == (operator, at + 30 * MINUTE)


def test_the_call_that_was_made_uses_up_the_call_back(campaign: Campaign) -> None:
    operator = factories.make_operator(campaign)
    member = actions.set_callback(factories.make_member(campaign), clock.now(), operator)
    let_go(factories.make_attempt(member))
    member.refresh_from_db()
    assert (member.callback, member.sticky_operator, member.sticky_until) == (False, None, None)


def test_a_withdrawn_attempt_leaves_the_call_back(campaign: Campaign) -> None:
    operator = factories.make_operator(campaign)
    member = actions.set_callback(factories.make_member(campaign), clock.now(), operator)
    let_go(factories.make_attempt(member), tried=False, counted=False)
    member.refresh_from_db()
    assert (member.callback, member.sticky_operator) == (True, operator)


@pytest.mark.parametrize("mode", ["live", "held"])
def test_a_call_back_promised_during_the_call_holds_after_it(campaign: Campaign, mode: str) -> None:
    operator, at = factories.make_operator(campaign), clock.now() + 60 * MINUTE
    member, attempt = on_call(campaign) if mode == "live" else awaiting(campaign)
    actions.set_callback(member, at, operator)
    soon = clock.now() + MINUTE
    assert let_go(attempt, not_before=soon) if mode == "live" else apply_result(attempt, not_before=soon)
    member.refresh_from_db()
    assert (member.state, member.callback, member.due_at, member.sticky_operator) == (W, True, at, operator)


def test_a_call_back_does_not_shorten_the_pause_between_retries(campaign: Campaign) -> None:
    member, attempt = on_call(campaign)
    actions.set_callback(member, clock.now() + MINUTE)
    pause_over = clock.now() + 5 * MINUTE
    let_go(attempt, not_before=pause_over)
    member.refresh_from_db()
    assert (member.callback, member.due_at) == (True, pause_over)


def test_a_call_back_that_cannot_be_is_refused(campaign: Campaign) -> None:
    now = clock.now()
    member = factories.make_member(campaign, expire_at=now + MINUTE)
    with pytest.raises(ValidationError, match="expires"):
        actions.set_callback(member, now + 2 * MINUTE)
    with pytest.raises(ValidationError, match="not assigned"):
        actions.set_callback(member, now, factories.make_operator())
    actions.end_member(member)
    with pytest.raises(Refused):
        actions.set_callback(member, now)


# --- ending, resetting, deleting --------------------------------------------------------------------------------


def test_a_person_ends_him_at_once_or_after_his_call(campaign: Campaign) -> None:
    open_, (talking, attempt) = factories.make_member(campaign), on_call(campaign)
    assert actions.end_members(Member.objects.all()) == actions.EndCount(ended=1, after_call=1)
    open_.refresh_from_db()
    assert (open_.end_cause, open_.success) == ("MANAGER_REQUEST", False)
    let_go(attempt)
    talking.refresh_from_db()
    assert (talking.state, talking.end_cause, talking.end_requested) == (E, "MANAGER_REQUEST", False)
    with pytest.raises(Refused):
        actions.end_member(open_)


def test_one_who_is_not_being_called_yet_is_not_called_after_his_end(
    campaign: Campaign, engine: RecordingEngine
) -> None:
    waiting, (reserved, attempt), (talking, other) = (
        factories.make_member(campaign),
        on_call(campaign),
        on_call(campaign),
    )
    Attempt.objects.filter(pk=other.pk).update(subscriber_created_at=clock.now())
    actions.end_members(Member.objects.filter(pk__in=[waiting.pk, reserved.pk, talking.pk]))
    assert engine.withdrawn == [([attempt.digits], campaign.pk)]


def test_reset_begins_anew(campaign: Campaign) -> None:
    member, attempt = on_call(campaign, ["1", "2", "3", "4"])
    numbers = {number.digits: number for number in member.communications.all()}
    let_go(attempt, end_cause="MAX_TRY_COUNT", stop_number_cause="UNALLOCATED_NUMBER", minus_in_row=3)
    Attempt.objects.update(ended_at=clock.now(), outcome=Outcome.RETRY, cause="x", counted=True)
    Communication.objects.filter(pk=numbers["2"].pk).update(stopped=StopReason.RESULT)
    Communication.objects.filter(pk=numbers["3"].pk).update(stopped=StopReason.PERSON)
    assert actions.count_resettable(Member.objects.all()) == 1
    assert actions.reset_members(Member.objects.all()) == 1
    member.refresh_from_db()
    assert (member.state, member.end_cause, member.ended_at) == (R, "", None)
    assert (member.counted, member.minus_in_row, member.extra_attempts, member.tried) == (0, 0, 0, False)
    assert member.counts_after == attempt.pk
    assert list(member.communications.values_list("tries", "stopped")) == [
        (0, ""),
        (0, "result"),
        (0, "person"),
        (0, ""),
    ]


def test_reset_leaves_the_successful_unless_asked_for(campaign: Campaign) -> None:
    member, attempt = on_call(campaign)
    let_go(attempt, end_cause="NORMAL_CLEARING", success=True)
    assert (actions.count_resettable(queryset(member)), actions.reset_members(queryset(member))) == (0, 0)
    assert actions.count_resettable(queryset(member), include_successful=True) == 1
    assert actions.reset_members(queryset(member), include_successful=True) == 1
    assert factories.states([member]) == [R]


def test_reset_passes_over_those_who_could_not_be_called(campaign: Campaign) -> None:
    expired = factories.make_member(campaign, expire_at=clock.now() - MINUTE)
    stopped, hidden = factories.make_member(campaign), factories.make_member(campaign)
    actions.stop_number(stopped.communications.get())
    factories.make_attempt(hidden, ended_at=clock.now())
    actions.delete_members(queryset(hidden))
    actions.end_members(queryset(expired))
    assert actions.reset_members(Member.objects.all()) == 0


def test_reset_works_in_batches(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("members.planning.BATCH", 2)
    members = [factories.make_member(campaign) for _ in range(5)]
    assert actions.end_members(Member.objects.all()).ended == 5
    assert actions.reset_members(Member.objects.all()) == 5
    assert factories.states(members) == [R] * 5


def test_only_who_was_never_called_is_deleted(campaign: Campaign) -> None:
    fresh, called = factories.make_member(campaign), factories.make_member(campaign)
    talking, attempt = on_call(campaign)
    factories.make_attempt(called, ended_at=clock.now())
    assert actions.delete_members(Member.objects.all()) == actions.DeleteCount(deleted=1, hidden=2)
    assert not queryset(fresh).exists()
    called.refresh_from_db()
    talking.refresh_from_db()
    assert (called.hidden, called.end_cause) == (True, "MANAGER_REQUEST")
    assert (talking.hidden, talking.state, talking.end_requested) == (True, L, True)
    let_go(attempt)
    assert factories.states([talking]) == [E]
    assert not Member.objects.visible().exists()


def test_a_deleted_number_may_be_uploaded_again(campaign: Campaign) -> None:
    actions.delete_members(queryset(factories.make_member(campaign, ["1"])))
    assert factories.make_member(campaign, ["1"])


def test_nothing_tells_who_an_anonymised_subscriber_was(campaign: Campaign) -> None:
    row = {
        "name": "Anna Kovalenko", "external_id": "crm-1", "variables": {"debt": 5},
        "communications": [{"number": "+380501112233", "description": "mobile"}],
    }  # fmt: skip
    member = actions.add_members(campaign, [row])[0]
    result = {"success": False, "comment": "Anna was angry", "next_communication": "380441112233", "next_after_sec": 5}
    attempt = factories.make_attempt(
        member, ended_at=clock.now(), comment="Anna was angry", result=result, variables={"debt": 5}
    )
    ResultReport.objects.create(member=member, attempt=attempt, received_at=clock.now(), body=result, verdict="applied")
    assert actions.anonymise(queryset(member)) == 1
    member.refresh_from_db()
    attempt.refresh_from_db()
    number = member.communications.get()
    assert (member.name, member.external_id, member.variables, member.hidden) == ("", None, {}, True)
    assert number.number == number.dial == number.digits == attempt.digits == f"*#*{number.pk}"
    assert (number.description, number.stopped) == ("", StopReason.PERSON)
    assert (attempt.comment, attempt.variables, attempt.result) == ("", {}, {"success": False, "next_after_sec": 5})
    assert ResultReport.objects.get().body == {"success": False, "next_after_sec": 5}
    assert actions.anonymise(queryset(member)) == 1  # twice is once


def test_who_was_never_called_is_deleted_instead_and_who_talks_has_to_wait(campaign: Campaign) -> None:
    factories.make_member(campaign)
    talking, attempt = on_call(campaign, name="Anna")
    assert actions.anonymise(Member.objects.all()) == 1
    talking.refresh_from_db()
    assert (talking.name, talking.state) == ("Anna", L)
    let_go(attempt)
    assert actions.anonymise(Member.objects.all()) == 1
    assert Member.objects.get().name == ""


# --- changes and numbers ----------------------------------------------------------------------------------------


def test_a_change_writes_what_is_given_alone(campaign: Campaign) -> None:
    member = factories.make_member(campaign, name="Anna", priority=3)
    actions.update_member(member, {"timezone": "Asia/Tokyo", "external_id": "7"})
    member.refresh_from_db()
    assert (member.name, member.priority, member.time_zone, member.zones) == ("Anna", 3, "Asia/Tokyo", "Asia/Tokyo")
    actions.update_member(member, {"timezone": "", "name": None})
    member.refresh_from_db()
    assert (member.name, member.zones, member.external_id) == ("", "", "7")


def test_a_change_is_refused_by_field(campaign: Campaign) -> None:
    factories.make_member(campaign, external_id="7")
    member = factories.make_member(campaign)
    with pytest.raises(RowsRefused) as refused:
        actions.update_member(
            member, {"timezone": "Mars", "variables": {"api_x": "1"}, "external_id": "7", "communications": []}
        )
    assert set(refused.value.message_dict) == {"timezone", "variables", "external_id", "communications"}


def test_a_number_is_added_stopped_started_and_deleted(campaign: Campaign, engine: RecordingEngine) -> None:
    member = factories.make_member(campaign, ["1"])
    added = actions.add_number(member, "+2", priority=5, description="office")
    assert next_digits(member) == "2"
    actions.stop_number(added)
    assert next_digits(member) == "1"
    assert engine.withdrawn == [(["2"], campaign.pk)]
    actions.reactivate_number(added)
    assert next_digits(member) == "2"
    actions.update_number(added, priority=-1, description="")
    assert next_digits(member) == "1"
    actions.delete_number(member.communications.get(digits="1"))
    assert next_digits(member) == "2"


def next_digits(member: Member) -> str | None:
    member.refresh_from_db()
    return member.next_communication.digits if member.next_communication else None


def test_a_bad_or_taken_number_is_told_at_its_field(campaign: Campaign) -> None:
    member = factories.make_member(campaign, ["1"])
    factories.make_member(campaign, ["2"])
    for number, told in (("x", "“x”"), ("1", "already"), ("2", "belongs to another")):
        with pytest.raises(RowsRefused, match=told) as refused:
            actions.add_number(member, number)
        assert list(refused.value.message_dict) == ["number"]


def test_a_called_number_and_the_last_one_cannot_be_deleted(campaign: Campaign) -> None:
    member, _ = on_call(campaign, ["1", "2"])
    for number in (member.communications.get(digits="1"), factories.make_member(campaign).communications.get()):
        with pytest.raises(Refused):
            actions.delete_number(number)


def test_without_a_number_that_may_be_called_he_ends(campaign: Campaign) -> None:
    member = factories.make_member(campaign, ["1", "2"])
    for number in member.communications.all():
        actions.stop_number(number)
    member.refresh_from_db()
    assert (member.state, member.end_cause) == (E, "NO_COMMUNICATIONS")


# --- do not call ------------------------------------------------------------------------------------------------


def test_a_listed_number_is_passed_over_and_attempts_on_it_withdrawn(
    campaign: Campaign, engine: RecordingEngine
) -> None:
    here, there = (
        factories.make_member(campaign, ["1", "2"]),
        factories.make_member(factories.make_campaign(), ["1", "2"]),
    )
    actions.add_do_not_call("+1", campaign, reason="asked")
    assert (next_digits(here), next_digits(there)) == ("2", "1")
    actions.add_do_not_call("1")
    assert (next_digits(here), next_digits(there)) == ("2", "2")
    assert engine.withdrawn == [(["1"], campaign.pk), (["1"], None)]
    assert actions.remove_do_not_call("1")
    assert not actions.remove_do_not_call("1")
    assert (next_digits(here), next_digits(there)) == ("2", "1")
    assert here.communications.get(digits="1").stopped == ""


def test_a_number_listed_for_a_time_counts_from_its_end(campaign: Campaign) -> None:
    until = clock.now() + 60 * MINUTE
    member, other = factories.make_member(campaign, ["1"]), factories.make_member(campaign, ["2", "3"])
    actions.add_do_not_call("1", None, until)
    actions.add_do_not_call("2", None, until)
    assert (next_digits(member), member.state, member.due_at) == ("1", W, until)
    assert (next_digits(other), other.state) == ("3", R)
    actions.make_due_ready(until)
    assert factories.states([member]) == [R]


def test_listing_again_gives_new_terms(campaign: Campaign) -> None:
    actions.add_do_not_call("1", None, clock.now() + MINUTE, "first")
    actions.add_do_not_call("1", None, None, "second")
    entry = DoNotCall.objects.get()
    assert (entry.expire_at, entry.reason) == (None, "second")


def test_a_listing_that_says_nothing_is_refused(campaign: Campaign) -> None:
    for arguments, field in ((("x",), "digits"), (("1", None, clock.now()), "expire_at")):
        with pytest.raises(ValidationError) as refused:
            actions.add_do_not_call(*arguments)
        assert list(refused.value.message_dict) == [field]
