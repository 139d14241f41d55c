"""Subscriber first: his phone; when he has answered he waits, and an operator takes him."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from uuid import uuid4

import pytest

from dialer.switch import commands
from dialer.switch.events import JobDone, LegAnswered, LegBridged, LegCreated, LegHungUp, LegProgress
from tests.contract.stage import ANSWERS, BUSY, NO_PHONE, REJECTS, RINGS, Stage, Story, carrier, number

STAYS, LEAVES, SLOW, AT_ONCE = "1000", "1003", "1004", "1005"
"""Operators: one who stays on the line, one who hangs up 1.5 s after he answered, one who answers after 2 s, and one
whose phone answers by itself."""
CALM = ["created", "ringing", "answered"]


def ring_another(stage: Stage, story: Story, operator: str, name: str = "second") -> None:
    """Ring one more operator for the same subscriber."""
    plan = dataclasses.replace(
        story.plan, operator_uuid=uuid4(), operator_job_uuid=uuid4(), operator_dial=commands.extension_dial(operator)
    )
    story.add_operator(plan, name)
    stage.place(commands.ring_operator(plan))


@pytest.mark.parametrize(
    ("subscriber", "operator", "leaves"),
    [
        (carrier(ANSWERS, 0.2, 2), STAYS, "subscriber"),
        (carrier(ANSWERS, 0.2), LEAVES, "operator"),
    ],
)
def test_an_operator_takes_him_and_they_talk_until_one_hangs_up(
    stage: Stage, subscriber: str, operator: str, leaves: str
) -> None:
    story = stage.subscriber_first(subscriber, operator, answer_window=10)
    stage.hear(story, LegAnswered, "subscriber")
    assert story.of("operator") == []
    stage.ring_operator(story)
    stage.hear_all(story)
    assert story.of("subscriber") == [*CALM, "ended NORMAL_CLEARING", "gone"]
    assert story.of("operator") == [*CALM, "bridged", "unbridged", "ended NORMAL_CLEARING", "gone"]
    assert (story.of("job"), story.of("operator's job")) == (["ok"], ["ok"])
    bridged = story.one(LegBridged)
    assert bridged.other == story.plan.subscriber_uuid
    assert story.before(story.one(LegAnswered, "operator"), bridged)
    for who in ("operator", "subscriber"):
        end = story.one(LegHungUp, who)
        assert end.by_phone == (who == leaves)
        assert end.bridged_at is not None
        assert abs(end.bridged_at - bridged.at) < timedelta(seconds=0.2)
        assert end.answered_at is not None
        assert end.answered_at <= end.bridged_at <= end.at


def test_an_operator_whose_phone_answers_by_itself_takes_him_at_once(stage: Stage) -> None:
    """Rung as soon as the answer is told, he may be there before the switch has begun to let the other one wait."""
    for _ in range(5):
        story = stage.subscriber_first(carrier(ANSWERS, 0.1), AT_ONCE, answer_window=10)
        answered = stage.hear(story, LegAnswered, "subscriber")
        stage.ring_operator(story)
        assert stage.hear(story, LegBridged).at - answered.at < timedelta(seconds=0.5)
        stage.pass_time(0.2)
        assert stage.line.existing(story.legs) == set(story.legs)
        assert not story.all(LegHungUp)


@pytest.mark.parametrize(
    ("first", "told", "job"),
    [
        ("2000", ["created", "ringing", "ended USER_BUSY", "gone"], "failed USER_BUSY"),
        ("3000", ["created", "ringing", "ended CALL_REJECTED", "gone"], "failed CALL_REJECTED"),
        ("4000", ["created", "ringing", "ended NO_ANSWER", "gone"], "failed NO_ANSWER"),
        (NO_PHONE, [], "failed USER_NOT_REGISTERED"),
    ],
)
def test_when_one_operator_fails_the_next_takes_him(stage: Stage, first: str, told: list[str], job: str) -> None:
    story = stage.subscriber_first(carrier(ANSWERS, 0.2), first, answer_window=10, operator_timeout=1)
    stage.hear(story, LegAnswered, "subscriber")
    stage.ring_operator(story)
    stage.hear(story, JobDone, "operator's job")
    ring_another(stage, story, LEAVES)
    stage.hear_all(story)
    assert (story.of("operator"), story.of("operator's job")) == (told, [job])
    assert story.of("second") == [*CALM, "bridged", "unbridged", "ended NORMAL_CLEARING", "gone"]
    assert story.of("subscriber") == [*CALM, "ended NORMAL_CLEARING", "gone"]


@pytest.mark.parametrize("sound", ["ringback", "music", "silence"])
def test_when_nobody_takes_him_the_switch_itself_ends_the_wait(stage: Stage, sound: str) -> None:
    story = stage.hear_all(stage.subscriber_first(carrier(ANSWERS, 0.2), waiting_sound=sound, answer_window=2))
    assert story.of("subscriber") == [*CALM, "ended NORMAL_CLEARING", "gone"]
    end = story.one(LegHungUp)
    assert end.answered_at is not None
    assert 1.9 < (end.at - end.answered_at).total_seconds() < 3
    assert (end.by_phone, end.bridged_at) == (False, None)


def test_the_message_follows_the_wait_and_can_still_be_interrupted(stage: Stage) -> None:
    message = f"{stage.raw.api('global_getvar conf_dir').strip()}/sorry.wav"
    alone = stage.subscriber_first(carrier(ANSWERS, 0.2), message=message)
    taken = stage.subscriber_first(carrier(ANSWERS, 0.2), AT_ONCE, message=message)
    stage.hear(taken, LegAnswered, "subscriber")
    stage.pass_time(2.2)
    stage.ring_operator(taken)
    stage.hear(taken, LegBridged)
    end = stage.hear(alone, LegHungUp, "subscriber")
    assert end.answered_at is not None
    assert 2.8 < (end.at - end.answered_at).total_seconds() < 4
    stage.pass_time(0.5)
    assert stage.line.existing(taken.legs) == set(taken.legs)


def test_a_message_that_the_switch_does_not_have_is_passed_over(stage: Stage) -> None:
    story = stage.hear_all(stage.subscriber_first(carrier(ANSWERS, 0.2), message="/nowhere/at/all.wav"))
    assert story.of("subscriber") == [*CALM, "ended NORMAL_CLEARING", "gone"]


def test_a_subscriber_who_hangs_up_while_the_operator_rings_is_not_bridged(stage: Stage) -> None:
    story = stage.subscriber_first(carrier(ANSWERS, 0.2, 0.5), SLOW, answer_window=10)
    stage.hear(story, LegAnswered, "subscriber")
    stage.ring_operator(story)
    end = stage.hear(story, LegHungUp, "subscriber")
    assert (end.cause, end.by_phone, end.bridged_at) == ("NORMAL_CLEARING", True, None)
    assert story.of("operator") == ["created", "ringing"]
    stage.hear_all(story)
    assert story.of("operator") == [*CALM, "ended NORMAL_CLEARING", "gone"]
    late = story.one(LegHungUp, "operator")
    assert late.at - story.one(LegAnswered, "operator").at < timedelta(seconds=0.5)
    assert not late.by_phone


def test_an_operator_who_rings_for_nobody_can_be_called_off(stage: Stage) -> None:
    story = stage.subscriber_first(carrier(ANSWERS, 0.2, 0.5), "4000", answer_window=10)
    stage.hear(story, LegAnswered, "subscriber")
    stage.ring_operator(story)
    stage.hear(story, LegHungUp, "subscriber")
    assert stage.line.kill(story.plan.operator_uuid, "ORIGINATOR_CANCEL")
    stage.hear_all(story)
    assert story.of("operator") == ["created", "ringing", "ended ORIGINATOR_CANCEL", "gone"]
    assert story.of("operator's job") == ["failed ORIGINATOR_CANCEL"]


def test_who_answers_second_does_not_take_him_away_from_the_first(stage: Stage) -> None:
    story = stage.subscriber_first(carrier(ANSWERS, 0.2), AT_ONCE, answer_window=10)
    stage.hear(story, LegAnswered, "subscriber")
    stage.ring_operator(story)
    stage.hear(story, LegBridged)
    ring_another(stage, story, "1001")
    end = stage.hear(story, LegHungUp, "second")
    assert (end.cause, end.bridged_at) == ("NORMAL_CLEARING", None)
    stage.pass_time(0.3)
    assert story.of("operator")[-1] == "bridged"
    assert stage.line.existing(story.legs) == {story.plan.operator_uuid, story.plan.subscriber_uuid}


@pytest.mark.parametrize(("what", "cause"), [(BUSY, "USER_BUSY"), (REJECTS, "CALL_REJECTED"), (RINGS, "NO_ANSWER")])
def test_a_subscriber_who_does_not_answer_fails_his_job(stage: Stage, what: str, cause: str) -> None:
    story = stage.hear_all(stage.subscriber_first(carrier(what), subscriber_timeout=1))
    assert story.of("subscriber") == ["created", "ringing", f"ended {cause}", "gone"]
    assert story.of("job") == [f"failed {cause}"]
    assert story.one(LegHungUp).by_phone == (what != RINGS)


@pytest.mark.parametrize("who", ["subscriber", "operator"])
def test_killing_one_who_talks_ends_the_other_normally(stage: Stage, who: str) -> None:
    story = stage.subscriber_first(carrier(ANSWERS, 0.2), AT_ONCE, answer_window=10)
    stage.hear(story, LegAnswered, "subscriber")
    stage.ring_operator(story)
    stage.hear(story, LegBridged)
    victim = next(leg for leg, name in story.legs.items() if name == who)
    assert stage.line.kill(victim, "MANAGER_REQUEST")
    stage.hear_all(story)
    ends = {name: story.one(LegHungUp, name).cause for name in ("subscriber", "operator")}
    assert ends == {"subscriber": "NORMAL_CLEARING", "operator": "NORMAL_CLEARING", who: "MANAGER_REQUEST"}


def test_killing_him_while_he_waits_leaves_an_operator_who_rings_alone(stage: Stage) -> None:
    story = stage.subscriber_first(carrier(ANSWERS, 0.2), SLOW, answer_window=10)
    stage.hear(story, LegAnswered, "subscriber")
    stage.ring_operator(story)
    stage.hear(story, LegProgress, "operator")
    assert stage.line.kill(story.plan.subscriber_uuid, "MANAGER_REQUEST")
    stage.hear_all(story)
    assert story.of("subscriber") == [*CALM, "ended MANAGER_REQUEST", "gone"]
    assert story.of("operator") == [*CALM, "ended NORMAL_CLEARING", "gone"]


def test_it_also_goes_through_a_dialplan_of_the_switch(stage: Stage) -> None:
    """A loopback call has two halves; the one that we know is ours, and the other is none of our legs."""
    dial = f"loopback/{number(ANSWERS, 0.2, 1.5)}/contract"
    story = stage.subscriber_first(dial, AT_ONCE, answer_window=10)
    stage.hear(story, LegAnswered, "subscriber")
    stage.ring_operator(story)
    stage.hear_all(story)
    assert story.of("subscriber") == [*CALM, "ended NORMAL_CLEARING", "gone"]
    assert story.of("operator") == [*CALM, "bridged", "unbridged", "ended NORMAL_CLEARING", "gone"]
    assert len(story.all(LegCreated)) == 2
