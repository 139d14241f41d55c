"""Each thing that must always hold: a ledger of real calls holds it all, and every way to break it is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.db.models import Model

from agents.models import Operator
from dialer import clock
from dialer.engine import invariants
from dialer.models import Attempt, Node
from members.models import Communication, DoNotCall, Member
from members.uploads.models import Upload
from tests.engine.story import Story
from tests.factories import make_attempt, make_campaign, make_gateway, make_member, make_operator, make_route

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)


def ended_attempt(**fields: Any) -> Attempt:
    """Add an attempt that was counted and whose caches agree; it began a minute ago and lasted ten seconds."""
    campaign = fields.pop("campaign", None) or make_campaign()
    make_route(make_gateway(capacity=5))
    member = fields.pop("member", None) or make_member(campaign)
    began = fields.pop("began", clock.now() - timedelta(minutes=1))
    attempt = make_attempt(
        member,
        **{
            "reserved_at": began,
            "sending_at": began,
            "operator_ringing_at": began + SECOND,
            "operator_answered_at": began + 2 * SECOND,
            "subscriber_created_at": began + 2 * SECOND,
            "ended_at": began + 10 * SECOND,
            **fields,
        },
    )
    Member.objects.filter(pk=member.pk).update(counted=member.counted + 1, tried=True)
    change(number_of(attempt), tries=1)
    return attempt


def live_attempt(**fields: Any) -> Attempt:
    """Add an attempt that lives and holds its operator and subscriber."""
    make_route()
    attempt = make_attempt(make_member(make_campaign()), **fields)
    Operator.objects.filter(pk=attempt.operator_id).update(state="reserved", current_attempt=attempt)
    return attempt


def number_of(attempt: Attempt) -> Communication:
    assert attempt.communication
    return attempt.communication


def change(row: Model, **values: Any) -> None:
    """Write past every action."""
    type(row)._default_manager.filter(pk=row.pk).update(**values)


def without(table: str, *constraints: str) -> None:
    """Let a table break rules that the database itself holds, until the test's transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name in constraints:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
            cursor.execute(f"DROP INDEX IF EXISTS {name}")


def found() -> set[tuple[int, str]]:
    """Return the violations, each with its first words."""
    return {(violation.invariant, violation.text) for violation in invariants.find_violations()}


def only(invariant: int, *words: str) -> None:
    """Assert that there are violations, all of one invariant, and that the words are told."""
    violations = invariants.find_violations()
    assert {violation.invariant for violation in violations} == {invariant}, violations
    told = "\n".join(violation.text for violation in violations)
    assert all(word in told for word in words), told


# --- what holds -------------------------------------------------------------------------------------------------


def test_an_empty_database_has_no_violation() -> None:
    assert not found()


def test_a_busy_a_success_and_a_live_call_have_no_violation() -> None:
    with time_machine.travel(clock.now(), tick=False) as traveller:
        story = Story(operator={"wrap_up_time": 0}, retry_wait=0)
        story.operator_answers()
        traveller.shift(5)
        story.both_end(5, "USER_BUSY")
        traveller.shift(1)
        story.reserve()
        traveller.shift(40)
        story.talk(30)
        assert not found()
        make_member(story.campaign)
        Node.objects.update(last_event_at=clock.now())
        story.reserve()
        story.operator_answers()
        assert not found()


def test_builders_of_these_tests_make_nothing_that_is_found() -> None:
    ended_attempt()
    live_attempt()
    assert not found()


# --- 1: one at a time -------------------------------------------------------------------------------------------


def test_two_live_attempts_of_one_operator_are_found() -> None:
    without("dialer_attempt", "attempt_live_operator_once")
    first = live_attempt()
    make_attempt(make_member(first.campaign), first.operator)
    assert any(invariant == 1 and text.startswith("Operator") for invariant, text in found())


def test_lives_that_overlapped_in_the_past_are_found() -> None:
    first = ended_attempt()
    second = ended_attempt(campaign=first.campaign, operator=first.operator, began=first.reserved_at + 5 * SECOND)
    only(1, f"Operator {first.operator_id}", f"attempt {second.pk}")


def test_one_that_began_when_the_other_ended_does_not_overlap() -> None:
    first = ended_attempt()
    assert first.ended_at
    ended_attempt(campaign=first.campaign, operator=first.operator, began=first.ended_at)
    assert not found()


def test_a_number_called_by_two_campaigns_at_once_is_found() -> None:
    first = ended_attempt()
    second = ended_attempt(member=make_member(make_campaign(), [first.digits]))
    only(1, f"Number {first.digits}", str(second.pk))


def test_a_subscriber_called_twice_at_once_is_found() -> None:
    member = make_member(make_campaign(), ["101", "102"])
    first = ended_attempt(member=member)
    second = Communication.objects.get(member=member, digits="102")
    ended_attempt(
        member=Member.objects.get(pk=member.pk), communication=second, digits="102", counted_before=1,
        began=first.reserved_at + SECOND,
    )  # fmt: skip
    Communication.objects.filter(member=member).update(tries=1)
    only(1, f"Subscriber {member.pk}")


# --- 2: limits --------------------------------------------------------------------------------------------------


def test_more_live_attempts_than_the_limit_at_a_decision_are_found() -> None:
    campaign = make_campaign()
    ended_attempt(campaign=campaign, limit_then=2)
    ended_attempt(campaign=campaign, limit_then=2)
    assert not found()
    ended_attempt(campaign=campaign, limit_then=2)
    only(2, f"Campaign {campaign.pk} had 3 live attempts", "a limit of 2")


def test_a_limit_lowered_during_calls_is_no_violation() -> None:
    campaign = make_campaign()
    began = clock.now() - timedelta(minutes=2)
    for _ in range(3):
        ended_attempt(campaign=campaign, limit_then=3, began=began)
    ended_attempt(campaign=campaign, limit_then=1, began=began + 10 * SECOND)
    assert not found()


def test_more_lines_than_the_capacity_at_a_decision_are_found() -> None:
    gateway = make_gateway()
    for _ in range(2):
        ended_attempt(gateway=gateway, capacity_then=1)
    only(2, f"Gateway {gateway.pk} had 2 lines", "a capacity of 1")


def test_the_lines_of_outside_operators_count() -> None:
    gateway = make_gateway()
    ended_attempt(gateway=gateway, capacity_then=2, operator_gateway=gateway, operator_capacity_then=2)
    assert not found()
    ended_attempt(operator_gateway=gateway, operator_capacity_then=2)
    only(2, f"Gateway {gateway.pk} had 3 lines")


# --- 3: starts --------------------------------------------------------------------------------------------------


def test_a_start_after_the_calendar_closed_is_found() -> None:
    attempt = ended_attempt()
    change(attempt, open_until=attempt.subscriber_created_at)
    only(3, "the calendar was open until")


def test_a_start_after_the_expiry_is_found() -> None:
    attempt = ended_attempt()
    change(attempt, expire_then=attempt.subscriber_created_at)
    only(3, "expired")


def test_an_attempt_over_the_maximum_is_found() -> None:
    without("dialer_attempt", "attempt_under_the_maximum")
    change(ended_attempt(), maximum_then=0)
    only(3, "over the maximum of 0")


def test_a_decision_by_another_count_than_the_ledgers_is_found() -> None:
    first = ended_attempt(began=clock.now() - timedelta(minutes=5))
    second = ended_attempt(member=Member.objects.get(pk=first.member_id), counted_before=0)
    change(number_of(first), tries=2)
    only(3, f"Attempt {second.pk} was decided by 0 counted attempts; the ledger has 1")


def test_counting_starts_again_after_a_reset() -> None:
    first = ended_attempt(began=clock.now() - timedelta(minutes=5))
    Member.objects.filter(pk=first.member_id).update(counted=0, counts_after=first.pk)
    second = ended_attempt(member=Member.objects.get(pk=first.member_id), counted_before=0)
    assert not found()
    Member.objects.filter(pk=first.member_id).update(counted=0, counts_after=second.pk)
    change(number_of(first), tries=0)
    assert not found(), "of an earlier reset only the count itself is left"


def test_a_call_to_a_stopped_number_is_found() -> None:
    attempt = ended_attempt()
    number = number_of(attempt)
    change(number, stopped="person", stopped_at=attempt.reserved_at + SECOND)
    assert not found()
    change(number, stopped_at=attempt.reserved_at - SECOND)
    only(3, f"Attempt {attempt.pk}", "stopped (person)")


def test_a_call_to_a_number_on_the_do_not_call_list_is_found() -> None:
    attempt = ended_attempt()
    entry = DoNotCall.objects.create(digits=attempt.digits, created_at=attempt.reserved_at + SECOND)
    assert not found()
    change(entry, created_at=attempt.reserved_at - SECOND)
    only(3, "do-not-call")
    change(entry, campaign=make_campaign())
    assert not found()


# --- 4: dialled once --------------------------------------------------------------------------------------------


def test_a_leg_of_two_attempts_is_found() -> None:
    first, second = ended_attempt(), ended_attempt()
    change(second, job_uuid=first.operator_uuid)
    only(4, str(first.operator_uuid))


def test_legs_of_an_attempt_that_was_never_sent_are_found() -> None:
    change(ended_attempt(), sending_at=None)
    only(4, "never marked as sent")


def test_a_call_sent_after_its_end_is_found() -> None:
    attempt = ended_attempt()
    change(attempt, sending_at=attempt.reserved_at + 11 * SECOND)
    only(4, "after it had ended")


# --- 5: ended once ----------------------------------------------------------------------------------------------


def test_an_end_without_a_cause_is_found() -> None:
    without("dialer_attempt", "attempt_ends_with_a_cause")
    change(ended_attempt(), cause="")
    only(5, "neither live nor ended with a cause")


def test_an_end_before_the_beginning_is_found() -> None:
    attempt = ended_attempt()
    change(attempt, ended_at=attempt.reserved_at - SECOND, sending_at=attempt.reserved_at - SECOND)
    only(5, "ended before it was reserved")


def test_an_operator_held_by_an_ended_attempt_is_found() -> None:
    attempt = ended_attempt()
    change(attempt.operator, state="reserved", current_attempt=attempt)
    only(5, f"Operator {attempt.operator_id} is held by attempt {attempt.pk}")


def test_an_operator_held_by_an_attempt_of_another_is_found() -> None:
    attempt = live_attempt()
    change(attempt.operator, state="waiting", current_attempt=None)
    change(make_operator(), state="reserved", current_attempt=attempt)
    only(5, "has ended or is not his", "does not hold its operator")


def test_a_subscriber_held_by_an_ended_attempt_is_found() -> None:
    attempt = ended_attempt()
    change(attempt.member, state="live", current_attempt=attempt)
    only(5, f"Subscriber {attempt.member_id} (live) is held by attempt {attempt.pk}")


def test_a_subscriber_held_for_a_result_that_is_not_awaited_is_found() -> None:
    attempt = ended_attempt()
    change(attempt.member, state="held", current_attempt=attempt)
    only(5, f"Subscriber {attempt.member_id} (held)")


def test_a_live_attempt_that_does_not_hold_its_subscriber_is_found() -> None:
    attempt = live_attempt()
    change(attempt.member, state="waiting", current_attempt=None)
    only(5, "does not hold its subscriber")


@pytest.mark.parametrize(
    ("stage", "seconds"),
    [
        ("reserved_at", 10),
        ("sending_at", 17),
        ("operator_answered_at", 62),
        ("operator_ended_at", 5),
        ("bridged_at", 12 * 3600),
    ],
)
def test_an_attempt_older_than_any_timer_allows_is_found(stage: str, seconds: int) -> None:
    now = clock.now()
    attempt = live_attempt(reserved_at=now, sending_at=now if stage != "reserved_at" else None)
    if stage == "bridged_at":
        change(attempt, operator_answered_at=now, subscriber_answered_at=now)
    change(attempt, **{stage: now})
    allowed = timedelta(seconds=seconds) + invariants.NOTICED_WITHIN
    assert not invariants.find_violations(now + allowed - SECOND)
    (violation,) = invariants.find_violations(now + allowed + SECOND)
    assert violation.invariant == 5
    assert violation.ids == {"attempt": attempt.pk}


def test_a_subscriber_held_long_after_the_deadline_of_his_result_is_found() -> None:
    now = clock.now()
    attempt = live_attempt(reserved_at=now, sending_at=now)
    change(
        attempt, ended_at=now, cause="NORMAL_CLEARING", outcome="awaiting_result", result_state="awaited",
        result_deadline=now + 60 * SECOND, bridged_at=now, operator_answered_at=now, subscriber_answered_at=now,
    )  # fmt: skip
    change(attempt.operator, state="waiting", current_attempt=None, calls=1)
    change(attempt.member, state="held")
    assert not found()
    (violation,) = invariants.find_violations(now + 60 * SECOND + invariants.NOTICED_WITHIN + SECOND)
    assert violation.ids == {"member": attempt.member_id, "attempt": attempt.pk}


# --- 6: counted as happened -------------------------------------------------------------------------------------


def success(attempt: Attempt) -> None:
    """Let an attempt and its subscriber agree that it was a success of 40 seconds."""
    began = attempt.reserved_at + 3 * SECOND
    change(
        attempt, outcome="success", cause="NORMAL_CLEARING", bridged_at=began, subscriber_answered_at=began,
        talk_ended_at=began + 40 * SECOND, ended_at=began + 40 * SECOND,
    )  # fmt: skip
    change(attempt.operator, calls=1, talk_seconds=40)
    change(
        attempt.member, state="ended", success=True, end_cause="NORMAL_CLEARING", ended_at=clock.now(),
        next_communication=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (lambda a: change(a, counted=False), "not counted"),
        (lambda a: change(a, outcome="minus"), "meant “minus” and is counted"),
        (lambda a: change(a, campaign=make_campaign()), "of another campaign"),
        (lambda a: change(a, digits="1"), "of another campaign, subscriber or number"),
        (lambda a: change(a, subscriber_answered_at=None), "lacks the answer"),
        (lambda a: change(a, result_state="stored"), "its result is “stored”"),
        (lambda a: change(a, result_state="applied"), "its result is “applied”"),
        (lambda a: change(a.member, counted=2), "counts 2 attempts and 0 minus ones"),
        (lambda a: change(a.member, minus_in_row=3), "counts 1 attempts and 3 minus ones"),
        (lambda a: change(a.communication, tries=7), "has 7 tries; the ledger has 1"),
        (lambda a: change(a.member, success=False), "he was a success"),
        (lambda a: change(a, outcome="retry"), "he had no success"),
        (
            lambda a: change(a.member, state="waiting", success=False, end_cause="", ended_at=None),
            "was a success in attempt",
        ),
        (lambda a: change(a.operator, calls=2), "has 2 calls"),
        (lambda a: change(a.operator, talk_seconds=41), "41 s of talk; the ledger has 1 and 40.0"),
    ],
)
def test_what_is_counted_otherwise_than_it_happened_is_found(breaks: Callable[[Attempt], None], words: str) -> None:
    attempt = ended_attempt()
    success(attempt)
    assert not found()
    breaks(attempt)
    only(6, words)


def test_an_end_cause_that_no_attempt_had_is_found() -> None:
    attempt = ended_attempt(cause="UNALLOCATED_NUMBER", outcome="error")
    change(attempt.member, state="ended", end_cause="UNALLOCATED_NUMBER", ended_at=clock.now())
    assert not found()
    change(attempt.member, end_cause="NO_ROUTE")
    only(6, "NO_ROUTE")


def test_the_minus_attempts_in_a_row_are_those_since_the_last_counted() -> None:
    campaign = make_campaign()
    make_route()
    member = make_member(campaign)
    for minutes, outcome, before in ((9, "minus", 0), (7, "retry", 0), (5, "minus", 1), (3, "refunded", 1)):
        make_attempt(
            member, outcome=outcome, cause="X", counted=outcome == "retry", counted_before=before,
            reserved_at=clock.now() - timedelta(minutes=minutes), ended_at=clock.now() - timedelta(minutes=minutes - 1),
        )  # fmt: skip
    change(member, counted=1, minus_in_row=1)
    assert not found()
    change(member, minus_in_row=2)
    only(6, "the ledger has 1 and 1")


def test_an_upload_that_added_more_than_it_says_is_found() -> None:
    campaign = make_campaign()
    upload = Upload.objects.create(
        campaign=campaign, created_at=clock.now(), changed_at=clock.now(), size=1, added=2, undone=1, state="loaded"
    )
    members = [make_member(campaign), make_member(campaign)]
    change(members[0], upload=upload)
    assert not found()
    change(members[1], upload=upload)
    only(6, "has added 1 subscribers")


# --- the command ------------------------------------------------------------------------------------------------


def test_the_command_says_that_all_holds() -> None:
    out = StringIO()
    call_command("check_invariants", stdout=out)
    assert "All holds" in out.getvalue()


def test_the_command_tells_violations_and_fails() -> None:
    attempt = ended_attempt()
    change(attempt.member, counted=2)
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_invariants", "--json", stdout=out)
    assert ended.value.code == 1
    (violation,) = json.loads(out.getvalue())
    assert violation["invariant"] == 6
    assert violation["ids"] == {"member": attempt.member_id}
