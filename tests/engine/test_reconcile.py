"""What dies without an event is noticed, released and written to repairs."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from agents.models import OperatorState
from dialer import clock
from dialer.engine import reconcile, tidy
from dialer.engine.reconcile import Reconciler
from dialer.models import Attempt, Repair
from members.models import MemberState
from tests.engine.story import Story

pytestmark = pytest.mark.django_db


class Switch:
    """Answers as a line to a switch that has just these legs."""

    def __init__(self, core: UUID) -> None:
        self.core_uuid = core
        self.legs: set[UUID] = set()
        self.killed: list[UUID] = []

    def existing(self, legs: list[UUID]) -> set[UUID]:
        return self.legs & set(legs)

    def kill(self, leg: UUID, cause: str) -> bool:
        self.killed.append(leg)
        return leg in self.legs


def look(reconciler: Reconciler, *, after: float = 0.0) -> None:
    """Look once more, as if ``after`` real seconds had passed since the last time."""
    reconciler.missed = {attempt: seen - after for attempt, seen in reconciler.missed.items()}
    reconciler.step(force=True)


def sent_ago(story: Story, seconds: float) -> None:
    Attempt.objects.filter(pk=story.attempt.pk).update(sending_at=clock.now() - timedelta(seconds=seconds))


def test_a_call_that_the_switch_denies_twice_is_ended_without_being_counted() -> None:
    story = Story()
    sent_ago(story, 16)
    reconciler = Reconciler(story.node, Switch(story.core))  # type: ignore[arg-type]
    look(reconciler)
    assert story.now()[0].ended_at is None
    look(reconciler, after=2)
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.counted) == ("refunded", False)
    assert (operator.state, member.state) == (OperatorState.WAITING, MemberState.READY)
    assert Repair.objects.get().kind == "absent"


def test_one_denial_is_no_evidence() -> None:
    story = Story()
    sent_ago(story, 16)
    switch = Switch(story.core)
    reconciler = Reconciler(story.node, switch)  # type: ignore[arg-type]
    look(reconciler)
    switch.legs = {story.attempt.operator_uuid}
    look(reconciler, after=2)
    switch.legs = set()
    look(reconciler, after=2)
    assert story.now()[0].ended_at is None


def test_nothing_is_judged_within_15_seconds_of_sending() -> None:
    story = Story()
    sent_ago(story, 14)
    reconciler = Reconciler(story.node, Switch(story.core))  # type: ignore[arg-type]
    look(reconciler)
    look(reconciler, after=5)
    assert story.now()[0].ended_at is None


def test_a_call_that_the_switch_has_is_left_alone() -> None:
    story = Story()
    story.bridged()
    sent_ago(story, 600)
    switch = Switch(story.core)
    switch.legs = {story.attempt.operator_uuid, story.attempt.subscriber_uuid}
    reconciler = Reconciler(story.node, switch)  # type: ignore[arg-type]
    look(reconciler)
    look(reconciler, after=2)
    assert story.now()[0].ended_at is None


def test_a_leg_left_alone_for_5_seconds_is_hung_up() -> None:
    story = Story()
    story.bridged()
    switch = Switch(story.core)
    switch.legs = {story.attempt.operator_uuid}
    Attempt.objects.filter(pk=story.attempt.pk).update(subscriber_ended_at=clock.now() - timedelta(seconds=4))
    reconciler = Reconciler(story.node, switch)  # type: ignore[arg-type]
    look(reconciler)
    assert switch.killed == []
    Attempt.objects.filter(pk=story.attempt.pk).update(subscriber_ended_at=clock.now() - timedelta(seconds=6))
    look(reconciler)
    assert switch.killed == [story.attempt.operator_uuid]
    assert story.now()[0].ended_at is None  # its own end tells


def test_a_lone_leg_that_is_gone_ends_the_attempt() -> None:
    story = Story()
    story.bridged(5)
    ended = clock.now() - timedelta(seconds=6)
    Attempt.objects.filter(pk=story.attempt.pk).update(
        subscriber_ended_at=ended, talk_ended_at=ended, bridged_at=ended - timedelta(seconds=30)
    )
    look(Reconciler(story.node, Switch(story.core)))  # type: ignore[arg-type]
    attempt, operator, member = story.now()
    assert (attempt.outcome, member.success, operator.state) == ("success", True, OperatorState.WRAP_UP)


def test_what_was_sent_to_an_earlier_run_of_the_switch_has_ended() -> None:
    story = Story()
    story.operator_answers()
    assert Reconciler(story.node, Switch(uuid4())).end_lost_cores() == 1  # type: ignore[arg-type]
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.counted, operator.state) == ("refunded", False, OperatorState.WAITING)
    assert attempt.subscriber_ended_at is not None
    assert member.due_at >= attempt.subscriber_ended_at + timedelta(seconds=story.campaign.retry_wait)


@pytest.mark.parametrize("end", ["end_lost_cores", "step"])
def test_an_attempt_that_cannot_be_ended_keeps_nobody_else_waiting(end: str) -> None:
    """A bug of ours in one call must not end the listener, again and again, for all calls of its switch."""
    broken, other = Story(), Story()
    broken.bridged()
    Attempt.objects.filter(pk=broken.attempt.pk).update(result_state="stored", result={"success": "never"})
    core = uuid4() if end == "end_lost_cores" else broken.core
    Attempt.objects.update(core_uuid=broken.core, sending_at=clock.now() - timedelta(seconds=30))
    reconciler = Reconciler(broken.node, Switch(core))  # type: ignore[arg-type]
    if end == "step":
        look(reconciler)
        look(reconciler, after=2)
    else:
        reconciler.end_lost_cores()
    assert broken.now()[0].ended_at is None
    assert other.now()[0].ended_at is not None


def test_a_broken_attempt_keeps_no_result_from_timing_out() -> None:
    broken = Story()
    Attempt.objects.filter(pk=broken.attempt.pk).update(
        sending_at=None, reserved_at=clock.now() - timedelta(seconds=11), bridged_at=clock.now(),
        result_state="stored", result={"success": "never"},
    )  # fmt: skip
    other = Story()
    Attempt.objects.filter(pk=other.attempt.pk).update(sending_at=None, reserved_at=clock.now() - timedelta(seconds=11))
    tidy.run()
    assert other.now()[0].ended_at is not None


def test_a_reservation_that_nobody_sent_is_withdrawn_after_10_seconds() -> None:
    story = Story()
    Attempt.objects.filter(pk=story.attempt.pk).update(sending_at=None)
    tidy.run()
    assert story.now()[0].ended_at is None
    Attempt.objects.filter(pk=story.attempt.pk).update(reserved_at=clock.now() - timedelta(seconds=11))
    tidy.run()
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.counted) == ("refunded", False)
    assert (operator.state, member.state) == (OperatorState.WAITING, MemberState.READY)


def test_the_clock_of_a_rehearsal_does_not_shorten_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    sent_ago(story, 100)
    monkeypatch.setattr(reconcile.clock, "FACTOR", 20.0)
    reconciler = Reconciler(story.node, Switch(story.core))  # type: ignore[arg-type]
    look(reconciler)
    look(reconciler, after=2)
    assert story.now()[0].ended_at is None
