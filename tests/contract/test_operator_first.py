"""Operator first: his phone, then the subscriber's, then both together."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from dialer.switch import commands
from dialer.switch.events import JobDone, LegAnswered, LegBridged, LegCreated, LegHungUp, LegProgress, LegUnbridged
from tests.contract.stage import (
    ANSWERS,
    BUSY,
    EARLY_MEDIA,
    FAILS,
    NO_PHONE,
    NOBODY,
    REJECTS,
    RINGS,
    UNALLOCATED,
    Stage,
    Story,
    carrier,
)

STAYS, LEAVES = "1000", "1003"
"""An operator who stays on the line, and one who hangs up 1.5 s after he answered."""
CALM = ["created", "ringing", "answered"]


def instants_are_sane(story: Story) -> None:
    """The end of a leg tells the same instants as the events before it, in order, to the microsecond."""
    for who in ("operator", "subscriber"):
        end = story.one(LegHungUp, who)
        told = [instant for instant in (end.created_at, end.progress_at, end.answered_at, end.bridged_at) if instant]
        assert told == sorted(told)
        assert told[-1] <= end.at
        for kind, instant in (
            (LegCreated, end.created_at),
            (LegProgress, end.progress_at),
            (LegAnswered, end.answered_at),
        ):
            for event in story.all(kind, who):
                assert instant is not None
                assert abs(event.at - instant) < timedelta(seconds=0.2)
    if bridges := story.all(LegBridged):
        end = story.one(LegHungUp, "subscriber")
        assert end.bridged_at is not None
        assert abs(bridges[0].at - end.bridged_at) < timedelta(seconds=0.2)


def test_the_two_talk_until_the_subscriber_hangs_up(stage: Stage) -> None:
    story = stage.operator_first(carrier(ANSWERS, 0.3, 1))
    stage.hear_all(story)
    assert story.of("operator") == [*CALM, "bridged", "unbridged", "ended NORMAL_CLEARING", "gone"]
    assert story.of("subscriber") == [*CALM, "ended NORMAL_CLEARING", "gone"]
    assert story.of("job") == ["ok"]
    assert story.before(story.one(LegAnswered, "operator"), story.one(LegCreated, "subscriber"))
    bridged = story.one(LegBridged)
    assert story.before(story.one(LegAnswered, "subscriber"), bridged)
    assert bridged.other == story.plan.subscriber_uuid
    assert story.one(LegUnbridged).other == story.plan.subscriber_uuid
    operator, subscriber = story.one(LegHungUp, "operator"), story.one(LegHungUp, "subscriber")
    assert (subscriber.by_phone, operator.by_phone) == (True, False)
    assert operator.originate_disposition == "SUCCESS"
    assert operator.last_bridge_hangup_cause == "NORMAL_CLEARING"
    assert 0.5 < (subscriber.at - bridged.at).total_seconds() < 1.5
    instants_are_sane(story)


def test_every_event_of_a_leg_names_its_attempt_and_role(stage: Stage) -> None:
    story = stage.operator_first(carrier(ANSWERS, 0.1, 0.3))
    stage.hear_all(story)
    for event in story.told:
        if not isinstance(event, JobDone):
            assert (event.attempt_id, event.role) == (4711, story.who(event))  # type: ignore[union-attr]
        assert event.core_uuid == stage.line.core_uuid


def test_the_two_talk_until_the_operator_hangs_up(stage: Stage) -> None:
    story = stage.operator_first(carrier(ANSWERS, 0.1), LEAVES)
    stage.hear_all(story)
    assert story.of("operator") == [*CALM, "bridged", "unbridged", "ended NORMAL_CLEARING", "gone"]
    assert story.of("subscriber") == [*CALM, "ended NORMAL_CLEARING", "gone"]
    assert story.one(LegHungUp, "operator").by_phone
    assert not story.one(LegHungUp, "subscriber").by_phone
    instants_are_sane(story)


@pytest.mark.parametrize(("operator", "cause"), [("2000", "USER_BUSY"), ("3000", "CALL_REJECTED")])
def test_an_operator_who_refuses_ends_it_before_the_subscriber_is_called(
    stage: Stage, operator: str, cause: str
) -> None:
    story = stage.hear_all(stage.operator_first(carrier(ANSWERS), operator))
    assert story.of("operator") == ["created", "ringing", f"ended {cause}", "gone"]
    assert story.of("job") == [f"failed {cause}"]
    assert story.of("subscriber") == []
    assert story.one(LegHungUp).by_phone


def test_an_operator_who_does_not_answer_is_given_at_least_his_time(stage: Stage) -> None:
    story = stage.hear_all(stage.operator_first(carrier(ANSWERS), "4000", operator_timeout=1))
    assert story.of("operator") == ["created", "ringing", "ended NO_ANSWER", "gone"]
    assert story.of("job") == ["failed NO_ANSWER"]
    end = story.one(LegHungUp)
    assert end.created_at is not None
    assert 1 <= (end.at - end.created_at).total_seconds() < 2.5
    assert not end.by_phone


@pytest.mark.parametrize(("operator", "cause"), [(NO_PHONE, "USER_NOT_REGISTERED"), (NOBODY, "SUBSCRIBER_ABSENT")])
def test_of_a_phone_that_cannot_be_found_only_the_job_tells(stage: Stage, operator: str, cause: str) -> None:
    story = stage.hear_all(stage.operator_first(carrier(ANSWERS), operator))
    assert [story.who(event) for event in story.told] == ["job"]
    assert story.of("job") == [f"failed {cause}"]


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        (BUSY, "USER_BUSY"),
        (REJECTS, "CALL_REJECTED"),
        (FAILS, "NORMAL_TEMPORARY_FAILURE"),
        (UNALLOCATED, "UNALLOCATED_NUMBER"),
    ],
)
def test_a_subscriber_who_fails_ends_the_operators_leg_with_his_cause(stage: Stage, what: str, cause: str) -> None:
    story = stage.hear_all(stage.operator_first(carrier(what, 0 if what in (FAILS, UNALLOCATED) else 0.3)))
    assert story.of("operator") == [*CALM, f"ended {cause}", "gone"]
    rings = [] if what in (FAILS, UNALLOCATED) else ["ringing"]
    assert story.of("subscriber") == ["created", *rings, f"ended {cause}", "gone"]
    assert story.of("job") == ["ok"]
    operator, subscriber = story.one(LegHungUp, "operator"), story.one(LegHungUp, "subscriber")
    assert (subscriber.by_phone, operator.by_phone) == (True, False)
    assert (operator.originate_disposition, operator.last_bridge_hangup_cause) == (cause, cause)
    assert operator.bridged_at is subscriber.bridged_at is subscriber.answered_at is None


def test_a_subscriber_who_does_not_answer_has_used_up_his_time(stage: Stage) -> None:
    story = stage.hear_all(stage.operator_first(carrier(RINGS), subscriber_timeout=1))
    assert story.of("subscriber") == ["created", "ringing", "ended ALLOTTED_TIMEOUT", "gone"]
    assert story.of("operator") == [*CALM, "ended ALLOTTED_TIMEOUT", "gone"]
    end = story.one(LegHungUp, "subscriber")
    assert end.created_at is not None
    assert 1 <= (end.at - end.created_at).total_seconds() < 2.5
    assert not end.by_phone


def test_a_short_answer_is_bridged_and_over(stage: Stage) -> None:
    story = stage.hear_all(stage.operator_first(carrier(ANSWERS, 0.2, 0.2)))
    assert story.of("operator") == [*CALM, "bridged", "unbridged", "ended NORMAL_CLEARING", "gone"]
    talk = story.one(LegHungUp, "subscriber").at - story.one(LegBridged).at
    assert talk < timedelta(seconds=0.6)


def test_what_the_network_says_before_the_answer_is_no_answer(stage: Stage) -> None:
    story = stage.operator_first(carrier(EARLY_MEDIA, 1, 0.5))
    stage.hear(story, LegProgress, "subscriber")
    stage.pass_time(0.4)
    assert story.of("subscriber") == ["created", "early media"]
    stage.hear_all(story)
    assert story.of("subscriber") == ["created", "early media", "answered", "ended NORMAL_CLEARING", "gone"]
    assert story.before(story.one(LegAnswered, "subscriber"), story.one(LegBridged))
    instants_are_sane(story)


def test_an_operator_who_leaves_while_the_subscriber_rings_cancels_the_call(stage: Stage) -> None:
    story = stage.hear_all(stage.operator_first(carrier(RINGS), LEAVES))
    assert story.of("operator") == [*CALM, "ended NORMAL_CLEARING", "gone"]
    assert story.of("subscriber") == ["created", "ringing", "ended ORIGINATOR_CANCEL", "gone"]
    operator, subscriber = story.one(LegHungUp, "operator"), story.one(LegHungUp, "subscriber")
    assert (operator.by_phone, subscriber.by_phone) == (True, False)
    assert operator.originate_disposition == "ORIGINATOR_CANCEL"


def test_killing_the_operator_while_he_rings_ends_it(stage: Stage) -> None:
    story = stage.operator_first(carrier(ANSWERS), "4000")
    stage.hear(story, LegProgress, "operator")
    assert stage.line.kill(story.plan.operator_uuid, "MANAGER_REQUEST")
    stage.hear_all(story)
    assert story.of("operator") == ["created", "ringing", "ended MANAGER_REQUEST", "gone"]
    assert story.of("job") == ["failed MANAGER_REQUEST"]


def test_killing_the_operator_while_the_subscriber_rings_cancels_the_call(stage: Stage) -> None:
    story = stage.operator_first(carrier(RINGS))
    stage.hear(story, LegProgress, "subscriber")
    assert stage.line.kill(story.plan.operator_uuid, "MANAGER_REQUEST")
    stage.hear_all(story)
    assert story.of("operator")[-2] == "ended MANAGER_REQUEST"
    assert story.of("subscriber") == ["created", "ringing", "ended ORIGINATOR_CANCEL", "gone"]


def test_killing_the_subscriber_while_he_rings_ends_both(stage: Stage) -> None:
    story = stage.operator_first(carrier(RINGS))
    stage.hear(story, LegProgress, "subscriber")
    assert stage.line.kill(story.plan.subscriber_uuid, "MANAGER_REQUEST")
    stage.hear_all(story)
    assert story.of("subscriber")[-2] == "ended MANAGER_REQUEST"
    assert story.of("operator")[-2] == "ended MANAGER_REQUEST"


@pytest.mark.parametrize(("victim", "other"), [("operator", "subscriber"), ("subscriber", "operator")])
def test_killing_one_who_talks_ends_the_other_normally(stage: Stage, victim: str, other: str) -> None:
    story = stage.operator_first(carrier(ANSWERS, 0.1))
    stage.hear(story, LegBridged)
    legs = {who: leg for leg, who in story.legs.items()}
    assert stage.line.kill(legs[victim], "MANAGER_REQUEST")
    stage.hear_all(story)
    assert (story.of(victim)[-2], story.of(other)[-2]) == ("ended MANAGER_REQUEST", "ended NORMAL_CLEARING")
    assert not stage.line.kill(legs[victim], "MANAGER_REQUEST")


def test_a_second_call_with_a_living_id_fails_and_leaves_the_first_alone(stage: Stage) -> None:
    story = stage.operator_first(carrier(ANSWERS, 0.1))
    stage.hear(story, LegBridged)
    again = stage.attempt(carrier(ANSWERS), operator_uuid=story.plan.operator_uuid)
    stage.place(commands.operator_first(again.plan))
    job = stage.hear(again, JobDone)
    assert (job.ok, job.cause) == (False, "DESTINATION_OUT_OF_ORDER")
    stage.pass_time(0.3)
    assert stage.line.existing([story.plan.operator_uuid, story.plan.subscriber_uuid]) == set(story.legs)


def test_an_unknown_gateway_fails_with_a_lone_end_of_the_leg(stage: Stage) -> None:
    story = stage.hear_all(stage.operator_first("sofia/gateway/nowhere/100000000"))
    assert story.of("subscriber") == ["gone"]
    assert story.of("operator") == [*CALM, "ended INVALID_GATEWAY", "gone"]
    assert story.one(LegHungUp).originate_disposition == "INVALID_GATEWAY"


def test_an_unknown_way_to_dial_is_not_implemented(stage: Stage) -> None:
    story = stage.hear_all(stage.operator_first("carrierpigeon/100000000"))
    assert story.of("subscriber") == []
    assert story.of("operator") == [*CALM, "ended CHAN_NOT_IMPLEMENTED", "gone"]


@pytest.mark.parametrize("command", ["orignate user/1000 &park()", "originate user/1000"])
def test_a_command_that_the_switch_does_not_understand_is_a_job_of_no_cause(stage: Stage, command: str) -> None:
    job = uuid4()
    stage.place(commands.Originate(command, job, {}, []))
    done = stage.receive(JobDone, lambda event: event.job_uuid == job)
    assert (done.ok, done.cause) == (False, "USAGE")


@pytest.mark.parametrize("sound", ["ringback", "music", "silence"])
def test_an_operator_who_waits_is_bridged_whatever_he_hears(stage: Stage, sound: str) -> None:
    story = stage.hear_all(stage.operator_first(carrier(ANSWERS, 1, 0.3), waiting_sound=sound))
    assert story.of("operator") == [*CALM, "bridged", "unbridged", "ended NORMAL_CLEARING", "gone"]
