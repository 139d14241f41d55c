"""A supervisor's leg hears a call, speaks in it as he was told to, and ends with it."""

from __future__ import annotations

from dialer.switch import commands
from dialer.switch.events import JobDone, LegAnswered, LegBridged, LegHungUp
from tests.contract.stage import ANSWERS, Stage, Story, carrier

HEARD = {
    "listen": {"call"},
    "whisper": {"call", "operator"},
    "barge": {"call", "operator", "subscriber"},
}
"""Whom a supervisor hears, and who hears him."""


def a_call(stage: Stage, leaves_after: float = 0.0) -> Story:
    story = stage.operator_first(carrier(ANSWERS, 0.1, leaves_after))
    stage.hear(story, LegBridged)
    return story


def test_he_hears_the_call_and_is_heard_by_those_whom_each_mode_names(stage: Stage) -> None:
    story = a_call(stage)
    coaching = stage.coach(story, "listen")
    stage.hear(story, JobDone, "supervisor's job")
    stage.pass_time(0.3)
    assert stage.sound(story, coaching) == HEARD["listen"]
    for mode in ("whisper", "barge", "whisper", "listen"):
        orders = commands.change_mode(coaching.leg_uuid, coaching.target_uuid, mode)
        assert stage.line.carry_out(orders)
        stage.pass_time(0.3)
        assert stage.sound(story, coaching) == HEARD[mode], mode
    assert "ended NORMAL_CLEARING" not in " ".join(story.of("supervisor"))


def test_it_can_begin_in_any_mode(stage: Stage) -> None:
    for mode in ("whisper", "barge"):
        story = a_call(stage)
        coaching = stage.coach(story, mode)
        stage.hear(story, JobDone, "supervisor's job")
        stage.pass_time(0.3)
        assert stage.sound(story, coaching) == HEARD[mode]
        stage.line.kill(story.plan.operator_uuid, "NORMAL_CLEARING")
        stage.hear(story, LegHungUp, "supervisor")


def test_his_leg_ends_with_the_call(stage: Stage) -> None:
    story = a_call(stage, leaves_after=2)
    stage.coach(story, "listen")
    stage.hear_all(story)
    assert story.of("supervisor") == ["created", "ringing", "answered", "ended NORMAL_CLEARING", "gone"]
    assert story.of("supervisor's job") == ["ok"]
    assert story.before(story.one(LegHungUp, "operator"), story.one(LegHungUp, "supervisor"))


def test_the_call_goes_on_when_he_leaves(stage: Stage) -> None:
    story = a_call(stage)
    coaching = stage.coach(story, "barge")
    stage.hear(story, JobDone, "supervisor's job")
    assert stage.line.kill(coaching.leg_uuid, "NORMAL_CLEARING")
    stage.hear(story, LegHungUp, "supervisor")
    stage.pass_time(0.5)
    assert not story.all(LegHungUp, "operator")
    assert not story.all(LegHungUp, "subscriber")
    assert stage.line.existing(story.legs) == {story.plan.operator_uuid, story.plan.subscriber_uuid}


def test_his_leg_is_told_as_a_supervisors_and_of_no_attempt(stage: Stage) -> None:
    story = a_call(stage, leaves_after=1)
    stage.coach(story, "listen")
    stage.hear_all(story)
    his = [event for event in story.told if story.who(event) == "supervisor"]
    assert {(event.attempt_id, event.role) for event in his} == {(None, "supervisor")}  # type: ignore[union-attr]
    assert len(story.all(LegBridged)) == 1  # the bridge of the two; he is in none


def test_a_call_that_is_over_when_he_answers_leaves_him_nothing_to_hear(stage: Stage) -> None:
    story = a_call(stage)
    stage.line.kill(story.plan.operator_uuid, "NORMAL_CLEARING")
    stage.hear(story, LegHungUp, "operator")
    stage.coach(story, "listen")
    stage.hear(story, LegHungUp, "supervisor")
    stage.hear_all(story)
    assert story.of("supervisor")[-2:] == ["ended NORMAL_CLEARING", "gone"]
    answered, ended = story.one(LegAnswered, "supervisor"), story.one(LegHungUp, "supervisor")
    assert (ended.at - answered.at).total_seconds() < 1


def test_a_supervisor_who_does_not_answer_changes_nothing(stage: Stage) -> None:
    story = a_call(stage)
    stage.coach(story, "listen", "4000")
    assert stage.hear(story, LegHungUp, "supervisor").cause == "NO_ANSWER"
    assert stage.line.existing([story.plan.operator_uuid]) == {story.plan.operator_uuid}
