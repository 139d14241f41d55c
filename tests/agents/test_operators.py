"""Statuses that a person chooses, states that the system keeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from agents import actions
from agents.models import BUSY_STATES, OPERATOR_EDGES, Operator, OperatorState, OperatorStatus
from campaigns.models import Campaign
from dialer import clock
from dialer.errors import Refused
from dialer.models import Attempt
from members.models import Member, MemberState
from tests import factories

S = OperatorState
LOGGED_OUT, AVAILABLE, ON_DEMAND, ON_BREAK = OperatorStatus


@pytest.fixture
def campaign(db: None) -> Campaign:
    factories.make_route()
    return factories.make_campaign()


@pytest.fixture
def alice(campaign: Campaign) -> Operator:
    """Return an operator who is available, waiting and registered."""
    return factories.make_operator(campaign, name="Alice")


def reserve(operator: Operator, **fields: Any) -> Attempt:
    """Reserve an operator for a new subscriber of his campaign."""
    campaign = Campaign.objects.get(tiers__operator=operator)
    attempt = factories.make_attempt(factories.make_member(campaign), operator, **fields)
    assert actions.reserve([(operator.pk, attempt.pk)], clock.now()) == {operator.pk}
    operator.refresh_from_db()
    return attempt


def bring(operator: Operator, state: OperatorState) -> Attempt | None:
    """Bring an available operator into a state along its edges; return the attempt that holds him, if any."""
    if state == S.IDLE:
        actions.set_status(operator.pk, LOGGED_OUT)
    if state in (S.IDLE, S.WAITING):
        return None
    now = clock.now()
    attempt = reserve(operator, sending_at=now)
    if state == S.RECEIVING:
        assert actions.receiving(operator.pk, attempt.pk, now)
    elif state in (S.IN_CALL, S.WRAP_UP):
        assert actions.in_call(operator.pk, attempt.pk, now)
    if state == S.WRAP_UP:
        assert release(operator, attempt, state=S.WRAP_UP, wrap_up_until=now + timedelta(seconds=10), bridged=True)
        return None
    return attempt


def release(operator: Operator, attempt: Attempt, **changes: Any) -> bool:
    """Let an operator go, by default waiting at once after a leg that was never bridged."""
    now = clock.now()
    shape: dict[str, Any] = {
        "state": S.WAITING,
        "wrap_up_until": None,
        "ready_at": None,
        "no_answer_count": 0,
        "forced_break": False,
        "bridged": False,
        "talk_seconds": 0.0,
    }
    return actions.release(operator.pk, attempt.pk, now=now, at=now, **shape | changes)


def now_of(operator: Operator) -> Operator:
    operator.refresh_from_db()
    return operator


# --- the edges --------------------------------------------------------------------------------------------------


def to_idle(operator: Operator, attempt: Attempt | None) -> None:
    """Each way to Idle: an absence chosen now, or chosen during the call that ends now."""
    actions.set_status(operator.pk, ON_BREAK)
    if attempt:
        release(operator, attempt)


def to_waiting(operator: Operator, attempt: Attempt | None) -> None:
    if attempt:
        release(operator, attempt)
    elif operator.state == S.WRAP_UP:
        actions.ready(operator.pk)
    else:
        actions.set_status(operator.pk, AVAILABLE)


def to_reserved(operator: Operator, attempt: Attempt | None) -> None:
    member = factories.make_member(Campaign.objects.get(tiers__operator=operator))
    other = factories.make_operator()
    another = factories.make_attempt(member, other)
    actions.reserve([(operator.pk, another.pk)], clock.now())


def to_wrap_up(operator: Operator, attempt: Attempt | None) -> None:
    if attempt:
        until = clock.now() + timedelta(seconds=10)
        release(operator, attempt, state=S.WRAP_UP, wrap_up_until=until, bridged=True, talk_seconds=12.4)


TRANSITIONS: dict[OperatorState, Callable[[Operator, Attempt | None], None]] = {
    S.IDLE: to_idle,
    S.WAITING: to_waiting,
    S.RESERVED: to_reserved,
    S.RECEIVING: lambda operator, attempt: void(actions.receiving(operator.pk, id_of(attempt), clock.now())),
    S.IN_CALL: lambda operator, attempt: void(actions.in_call(operator.pk, id_of(attempt), clock.now())),
    S.WRAP_UP: to_wrap_up,
}


def void(_: object) -> None:
    """Take an answer that does not matter."""


def id_of(attempt: Attempt | None) -> int:
    return attempt.pk if attempt else 0


@pytest.mark.parametrize("target", OperatorState)
@pytest.mark.parametrize("source", OperatorState)
def test_a_state_changes_along_the_edges_and_no_others(
    alice: Operator, source: OperatorState, target: OperatorState
) -> None:
    attempt = bring(alice, source)
    assert now_of(alice).state == source

    TRANSITIONS[target](alice, attempt)

    allowed = target in OPERATOR_EDGES[source]
    assert now_of(alice).state == (target if allowed else source)


# --- an attempt holds him ---------------------------------------------------------------------------------------


def test_two_attempts_never_reserve_one_operator(alice: Operator) -> None:
    first = reserve(alice)
    member = factories.make_member(first.campaign)
    second = factories.make_attempt(member, factories.make_operator())

    assert actions.reserve([(alice.pk, second.pk)], clock.now()) == set()
    assert now_of(alice).current_attempt == first


def test_an_attempt_that_does_not_hold_him_changes_nothing(alice: Operator) -> None:
    attempt = reserve(alice)
    now = clock.now()

    assert not actions.receiving(alice.pk, attempt.pk + 1, now)
    assert not actions.in_call(alice.pk, attempt.pk + 1, now)
    attempt_of_another = Attempt(pk=attempt.pk + 1)
    assert not release(alice, attempt_of_another)
    assert now_of(alice).state == S.RESERVED


def test_a_doubled_or_late_event_changes_nothing(alice: Operator) -> None:
    attempt = reserve(alice)
    at = clock.now()
    assert actions.in_call(alice.pk, attempt.pk, at)
    assert not actions.in_call(alice.pk, attempt.pk, at + timedelta(seconds=1))
    assert not actions.receiving(alice.pk, attempt.pk, at), "ringing was told late"
    assert now_of(alice).state_since == at

    assert release(alice, attempt)
    assert not release(alice, attempt)


# --- release, by shape ------------------------------------------------------------------------------------------


def test_after_a_bridged_call_he_wraps_up_and_then_waits(alice: Operator) -> None:
    attempt = bring(alice, S.IN_CALL)
    assert attempt
    over = clock.now()
    assert actions.release(
        alice.pk, attempt.pk, now=over, at=over, state=S.WRAP_UP, wrap_up_until=over + timedelta(seconds=10),
        ready_at=None, no_answer_count=0, forced_break=False, bridged=True, talk_seconds=61.6,
    )  # fmt: skip
    now_of(alice)
    assert (alice.state, alice.calls, alice.talk_seconds) == (S.WRAP_UP, 1, 62)
    assert (alice.current_attempt, alice.last_attempt) == (None, attempt)

    assert actions.end_wrap_ups(over + timedelta(seconds=9.9)) == 0
    assert actions.end_wrap_ups(over + timedelta(seconds=10)) == 1
    assert (now_of(alice).state, alice.wrap_up_until) == (S.WAITING, None)
    assert alice.idle_since == over + timedelta(seconds=10), "the longest idle counts from the end of the wrap-up"


def test_a_leg_that_was_never_bridged_leaves_him_waiting_at_once(alice: Operator) -> None:
    idle_since = alice.idle_since
    attempt = bring(alice, S.IN_CALL)
    assert attempt
    assert release(alice, attempt, no_answer_count=0)

    assert (now_of(alice).state, alice.calls) == (S.WAITING, 0)
    assert alice.idle_since == idle_since, "he keeps his place among the longest idle"


def test_delays_and_counts_are_kept(alice: Operator) -> None:
    attempt = bring(alice, S.RECEIVING)
    assert attempt
    later = clock.now() + timedelta(seconds=15)
    assert release(alice, attempt, ready_at=later, no_answer_count=2)

    assert (now_of(alice).state, alice.ready_at, alice.no_answer_count) == (S.WAITING, later, 2)
    assert alice.idle_since == later, "who takes no calls is not the longest idle again at once"
    assert not Operator.objects.free(clock.now()).exists()
    assert Operator.objects.free(later).get() == alice


def test_too_many_calls_without_an_answer_force_a_break(alice: Operator) -> None:
    attempt = bring(alice, S.RECEIVING)
    assert attempt
    assert release(alice, attempt, no_answer_count=3, forced_break=True)

    assert (now_of(alice).status, alice.state, alice.forced_break) == (ON_BREAK, S.IDLE, True)

    actions.set_status(alice.pk, AVAILABLE)
    assert (now_of(alice).state, alice.forced_break, alice.no_answer_count) == (S.WAITING, False, 0)


def test_an_absence_that_he_chose_himself_is_no_forced_break(alice: Operator) -> None:
    attempt = bring(alice, S.RECEIVING)
    assert attempt
    actions.set_status(alice.pk, LOGGED_OUT)
    assert release(alice, attempt, no_answer_count=3, forced_break=True)

    assert (now_of(alice).status, alice.forced_break, alice.no_answer_count) == (LOGGED_OUT, False, 0)
    assert alice.next_status == ""


def test_a_forced_break_wins_over_a_ready_status_chosen_while_it_rang(alice: Operator) -> None:
    attempt = bring(alice, S.RECEIVING)
    assert attempt
    actions.set_status(alice.pk, ON_DEMAND)
    assert release(alice, attempt, no_answer_count=3, forced_break=True)

    assert (now_of(alice).status, alice.forced_break) == (ON_BREAK, True)


def test_one_on_demand_is_idle_after_a_bridged_call_until_he_says_ready(alice: Operator) -> None:
    actions.set_status(alice.pk, ON_DEMAND)
    assert now_of(alice).state == S.WAITING
    bring(alice, S.WRAP_UP)
    actions.end_wrap_ups(clock.now() + timedelta(minutes=1))
    assert (now_of(alice).status, alice.state) == (ON_DEMAND, S.IDLE)

    actions.ready(alice.pk)
    assert now_of(alice).state == S.WAITING


def test_one_on_demand_without_wrap_up_is_idle_after_a_bridged_call(alice: Operator) -> None:
    actions.set_status(alice.pk, ON_DEMAND)
    attempt = bring(alice, S.IN_CALL)
    assert attempt
    assert release(alice, attempt, bridged=True)
    assert now_of(alice).state == S.IDLE


def test_one_on_demand_waits_on_after_a_call_that_was_never_bridged(alice: Operator) -> None:
    actions.set_status(alice.pk, ON_DEMAND)
    attempt = bring(alice, S.RECEIVING)
    assert attempt
    assert release(alice, attempt)
    assert now_of(alice).state == S.WAITING


def test_the_result_ends_the_wrap_up_that_waits_for_it(alice: Operator) -> None:
    bring(alice, S.WRAP_UP)
    attempt_id = now_of(alice).last_attempt_id
    assert attempt_id
    now = clock.now()

    assert actions.end_wrap_up_for(attempt_id + 1, now) == 0
    assert actions.end_wrap_up_for(attempt_id, now) == 1
    assert (now_of(alice).state, alice.idle_since) == (S.WAITING, now)


# --- ready ------------------------------------------------------------------------------------------------------


def test_ready_ends_the_wrap_up_early(alice: Operator) -> None:
    bring(alice, S.WRAP_UP)
    actions.ready(alice.pk)
    assert (now_of(alice).state, alice.wrap_up_until) == (S.WAITING, None)


def test_ready_lets_the_status_chosen_during_the_call_hold(alice: Operator) -> None:
    attempt = bring(alice, S.IN_CALL)
    assert attempt
    actions.set_status(alice.pk, ON_BREAK)
    release(alice, attempt, state=S.WRAP_UP, wrap_up_until=clock.now() + timedelta(seconds=10), bridged=True)
    assert (now_of(alice).status, alice.state) == (AVAILABLE, S.WRAP_UP)

    actions.ready(alice.pk)
    assert (now_of(alice).status, alice.next_status, alice.state) == (ON_BREAK, "", S.IDLE)


def test_ready_of_one_who_waits_changes_nothing(alice: Operator) -> None:
    since = alice.state_since
    assert actions.ready(alice.pk).state_since == since


@pytest.mark.parametrize("state", [S.IDLE, *BUSY_STATES])
def test_ready_is_refused_on_a_call_and_in_an_absence(alice: Operator, state: OperatorState) -> None:
    bring(alice, state)
    with pytest.raises(Refused) as refused:
        actions.ready(alice.pk)
    assert refused.value.code == "WRONG_STATE"


# --- statuses ---------------------------------------------------------------------------------------------------


def test_a_status_chosen_while_reserved_and_unsent_withdraws_the_attempt(alice: Operator) -> None:
    attempt = reserve(alice)
    then = actions.set_status(alice.pk, ON_BREAK)

    attempt.refresh_from_db()
    assert attempt.ended_at
    assert not attempt.counted
    assert Member.objects.get(pk=attempt.member_id).state == MemberState.READY
    assert (then.status, then.state, then.next_status) == (ON_BREAK, S.IDLE, "")


def test_the_status_he_has_withdraws_nothing(alice: Operator) -> None:
    attempt = reserve(alice)
    actions.set_status(alice.pk, AVAILABLE)
    attempt.refresh_from_db()
    assert attempt.ended_at is None


@pytest.mark.parametrize("state", [S.RESERVED, S.RECEIVING, S.IN_CALL])
def test_a_status_chosen_during_a_call_holds_after_it(alice: Operator, state: OperatorState) -> None:
    attempt = bring(alice, state)
    assert attempt
    then = actions.set_status(alice.pk, LOGGED_OUT)
    assert (then.status, then.next_status, then.state) == (AVAILABLE, LOGGED_OUT, state)

    release(alice, attempt)
    assert (now_of(alice).status, alice.next_status, alice.state) == (LOGGED_OUT, "", S.IDLE)


def test_a_status_chosen_during_a_call_can_be_taken_back(alice: Operator) -> None:
    bring(alice, S.IN_CALL)
    actions.set_status(alice.pk, LOGGED_OUT)
    actions.set_status(alice.pk, AVAILABLE)
    assert now_of(alice).next_status == ""


def test_an_absence_chosen_in_wrap_up_holds_at_once(alice: Operator) -> None:
    bring(alice, S.WRAP_UP)
    then = actions.set_status(alice.pk, ON_BREAK)
    assert (then.status, then.state, then.wrap_up_until) == (ON_BREAK, S.IDLE, None)


def test_another_ready_status_chosen_in_wrap_up_does_not_end_it(alice: Operator) -> None:
    bring(alice, S.WRAP_UP)
    then = actions.set_status(alice.pk, ON_DEMAND)
    assert (then.status, then.state) == (ON_DEMAND, S.WRAP_UP)


def test_who_comes_on_duty_is_idle_since_then(alice: Operator) -> None:
    actions.set_status(alice.pk, LOGGED_OUT)
    long_ago = clock.now() - timedelta(hours=9)
    Operator.objects.update(idle_since=long_ago)

    actions.set_status(alice.pk, AVAILABLE)
    assert (now_of(alice).idle_since or long_ago) > long_ago


def test_an_unknown_status_is_a_fault_of_the_field(alice: Operator) -> None:
    with pytest.raises(ValidationError) as refused:
        actions.set_status(alice.pk, "asleep")
    assert set(refused.value.message_dict) == {"status"}


def test_one_who_is_archived_is_logged_out_and_stays_so(alice: Operator) -> None:
    actions.update_operator(alice.pk, archived=True)
    assert (now_of(alice).status, alice.state) == (LOGGED_OUT, S.IDLE)

    with pytest.raises(Refused) as refused:
        actions.set_status(alice.pk, AVAILABLE)
    assert refused.value.code == "ARCHIVED"


def test_one_who_is_archived_during_a_call_finishes_it(alice: Operator) -> None:
    attempt = bring(alice, S.IN_CALL)
    assert attempt
    actions.update_operator(alice.pk, archived=True)
    assert now_of(alice).state == S.IN_CALL
    release(alice, attempt)
    assert (now_of(alice).status, alice.state) == (LOGGED_OUT, S.IDLE)


def test_an_outside_number_needs_a_gateway(alice: Operator) -> None:
    with pytest.raises(ValidationError) as refused:
        actions.update_operator(alice.pk, contact="+380441112233")
    assert set(refused.value.message_dict) == {"gateway"}


# --- who is free, and why not -----------------------------------------------------------------------------------


def test_a_free_operator_meets_every_condition(alice: Operator) -> None:
    assert Operator.objects.free(clock.now()).get() == alice


def at(**fields: Any) -> Callable[[Operator], None]:
    return lambda operator: void(Operator.objects.filter(pk=operator.pk).update(**fields))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (at(registered=False), ["phone not registered"]),
        (at(ready_at=datetime.fromisoformat("2099-01-01T09:00Z")), ["no calls for"]),
        (at(uses_client=True), ["client not connected"]),
        (at(uses_client=True, client_connected=True), ["call-centre mode off"]),
        (lambda operator: void(bring(operator, S.IDLE)), ["Logged Out"]),
        (lambda operator: void(bring(operator, S.RESERVED)), ["Reserved"]),
        (lambda operator: void(bring(operator, S.WRAP_UP)), ["Wrap up"]),
        (at(status=ON_BREAK, state=S.IDLE, forced_break=True), ["forced break"]),
        (at(status=LOGGED_OUT, state=S.IDLE, archived=True, registered=False),
         ["archived", "Logged Out", "phone not registered"]),
    ],
)  # fmt: skip
def test_one_who_misses_a_condition_is_not_free_and_is_told_why(
    alice: Operator, spoil: Callable[[Operator], None], told: list[str]
) -> None:
    Campaign.objects.update(state="running")
    spoil(alice)

    assert not Operator.objects.free(clock.now()).exists()
    obstacles = Operator.objects.with_obstacles(clock.now()).get(pk=alice.pk).obstacles()
    assert [found.startswith(word) for found, word in zip(obstacles, told, strict=True)] == [True] * len(told)


def test_one_who_is_free_has_no_obstacle_but_that_nothing_runs(alice: Operator) -> None:
    def obstacles() -> list[str]:
        return Operator.objects.with_obstacles(clock.now()).get().obstacles()

    assert obstacles() == ["in no campaign that runs now"]
    Campaign.objects.update(state="running")
    assert obstacles() == []


def test_one_with_an_outside_number_needs_no_registration(alice: Operator) -> None:
    at(registered=False, contact="+380441112233", gateway=factories.make_gateway())(alice)
    assert Operator.objects.free(clock.now()).get() == alice


# --- registrations ----------------------------------------------------------------------------------------------


@pytest.fixture
def node(db: None) -> int:
    return factories.make_node().pk


def test_a_registration_is_noted_by_extension(alice: Operator, node: int) -> None:
    later = clock.now() + timedelta(seconds=1)
    assert actions.set_registered(alice.extension, node, False, later)
    assert not now_of(alice).registered
    assert not actions.set_registered("nobody", node, True, later)


def test_older_news_of_a_registration_change_nothing(alice: Operator, node: int) -> None:
    now = clock.now()
    assert actions.set_registered(alice.extension, node, False, now + timedelta(seconds=5))
    assert not actions.set_registered(alice.extension, node, True, now + timedelta(seconds=4))
    assert not now_of(alice).registered


def test_a_snapshot_of_registrations_sets_everyone(alice: Operator, node: int) -> None:
    bob = factories.make_operator(registered=False)
    carol = factories.make_operator()
    taken = clock.now() + timedelta(seconds=1)

    assert actions.set_registrations({alice.extension, bob.extension, "4711"}, node, taken) == 2

    assert [now_of(operator).registered for operator in (alice, bob, carol)] == [True, True, False]
    assert actions.set_registrations({alice.extension, bob.extension}, node, taken) == 0


def test_news_that_are_older_than_a_snapshot_come_too_late(alice: Operator, node: int) -> None:
    """Events that were buffered while the snapshot was taken are applied after it."""
    taken = clock.now() + timedelta(seconds=10)
    actions.set_registrations({alice.extension}, node, taken)

    assert not actions.set_registered(alice.extension, node, False, taken - timedelta(seconds=1))
    assert now_of(alice).registered


def test_a_snapshot_leaves_newer_news_alone(alice: Operator, node: int) -> None:
    newer = clock.now() + timedelta(seconds=10)
    actions.set_registered(alice.extension, node, False, newer)
    assert actions.set_registrations({alice.extension}, node, newer - timedelta(seconds=1)) == 0
    assert not now_of(alice).registered


def test_a_phone_that_one_switch_does_not_know_may_be_registered_on_another(alice: Operator, node: int) -> None:
    other, now = factories.make_node().pk, clock.now()
    bob = factories.make_operator(registered=False)
    actions.set_registrations({alice.extension}, node, now)
    actions.set_registrations({bob.extension}, other, now)
    assert now_of(alice).registered
    assert now_of(bob).registered

    # News of one switch are never too old for what another one has said meanwhile.
    assert actions.set_registered(alice.extension, node, False, now + timedelta(milliseconds=1))
    assert not now_of(alice).registered
    assert now_of(bob).registered


# --- presence ---------------------------------------------------------------------------------------------------


@pytest.fixture
def bob(campaign: Campaign) -> Operator:
    """Return an operator who works through a client that is connected, in call-centre mode."""
    operator = factories.make_operator(campaign, name="Bob", uses_client=True)
    actions.client_connected(operator.pk)
    actions.set_call_centre_mode(operator.pk, True)
    return operator


def test_one_who_works_through_a_client_needs_it_connected_and_in_call_centre_mode(bob: Operator) -> None:
    assert Operator.objects.free(clock.now()).get() == bob

    actions.set_call_centre_mode(bob.pk, False)
    assert not Operator.objects.free(clock.now()).exists()

    actions.set_call_centre_mode(bob.pk, True)
    actions.client_lost(bob.pk)
    assert not Operator.objects.free(clock.now()).exists()


def test_a_lost_client_logs_him_out_after_a_grace_of_60_seconds(bob: Operator) -> None:
    actions.client_lost(bob.pk)
    lost = now_of(bob).client_lost_at
    assert lost

    assert actions.lose_clients(lost + timedelta(seconds=59)) == 0
    assert now_of(bob).status == AVAILABLE
    assert actions.lose_clients(lost + timedelta(seconds=60)) == 1
    assert (now_of(bob).status, bob.state) == (LOGGED_OUT, S.IDLE)
    assert actions.lose_clients(lost + timedelta(seconds=61)) == 0


def test_a_client_that_comes_back_within_the_grace_changes_nothing(bob: Operator) -> None:
    actions.client_lost(bob.pk)
    actions.client_connected(bob.pk)
    assert actions.lose_clients(clock.now() + timedelta(minutes=5)) == 0
    assert now_of(bob).status == AVAILABLE


def test_the_grace_counts_from_the_first_loss(bob: Operator) -> None:
    actions.client_lost(bob.pk)
    lost = now_of(bob).client_lost_at
    actions.client_lost(bob.pk)
    assert now_of(bob).client_lost_at == lost


@pytest.mark.parametrize("state", BUSY_STATES)
def test_a_live_call_goes_on_when_the_client_is_lost(bob: Operator, state: OperatorState) -> None:
    attempt = bring(bob, state)
    assert attempt
    actions.client_lost(bob.pk)
    actions.lose_clients(clock.now() + timedelta(minutes=2))
    assert (now_of(bob).state, bob.status, bob.next_status) == (state, AVAILABLE, LOGGED_OUT)

    release(bob, attempt)
    assert (now_of(bob).state, bob.status) == (S.IDLE, LOGGED_OUT)


def test_a_wrap_up_ends_with_the_log_out(bob: Operator) -> None:
    bring(bob, S.WRAP_UP)
    actions.client_lost(bob.pk)
    actions.lose_clients(clock.now() + timedelta(minutes=2))
    assert (now_of(bob).state, bob.status, bob.wrap_up_until) == (S.IDLE, LOGGED_OUT, None)


def test_one_who_does_not_work_through_a_client_may_lose_one(alice: Operator) -> None:
    actions.client_connected(alice.pk)
    actions.client_lost(alice.pk)
    assert actions.lose_clients(clock.now() + timedelta(hours=1)) == 0
    assert now_of(alice).status == AVAILABLE


# --- costs ------------------------------------------------------------------------------------------------------


def test_the_sweeps_are_one_statement_each(alice: Operator, django_assert_num_queries: Any) -> None:
    for _ in range(3):
        factories.make_operator(state=S.WRAP_UP, wrap_up_until=clock.now())
    now = clock.now()
    with django_assert_num_queries(1 + 2):  # and the savepoint of a transaction inside the test's
        assert actions.end_wrap_ups(now) == 3
    with django_assert_num_queries(1 + 2):
        actions.lose_clients(now)
