"""What a switch tells besides calls, what it answers, and what it does not take."""

from __future__ import annotations

import wave
from pathlib import Path
from uuid import uuid4

import pytest

from dialer.switch import commands
from dialer.switch.events import (
    JobDone,
    LegAnswered,
    LegBridged,
    LegHungUp,
    LegProgress,
    Registered,
    StatusWanted,
    Unregistered,
)
from tests.contract.stage import ANSWERS, RINGS, RealStage, Stage, carrier, phones

# --- phones -----------------------------------------------------------------------------------------------------------


def test_a_snapshot_tells_which_phones_are_registered(stage: Stage) -> None:
    stage.soon(lambda: stage.line.registrations() == phones().keys())


def test_a_phone_that_leaves_and_comes_back_is_told_of(stage: Stage) -> None:
    stage.unregister("1002")
    try:
        left = stage.receive(Unregistered, lambda event: event.user == "1002")
        assert not left.expired
        stage.soon(lambda: "1002" not in stage.line.registrations())
    finally:
        stage.register("1002")
    back = stage.receive(Registered, lambda event: event.user == "1002")
    assert back.core_uuid == stage.line.core_uuid
    assert back.at > left.at
    stage.soon(lambda: stage.line.registrations() == phones().keys())


def test_a_service_number_tells_who_wants_which_status(stage: Stage) -> None:
    stage.dial_service_number("1000", "On Break")
    wanted = stage.receive(StatusWanted)
    assert (wanted.extension, wanted.status) == ("1000", "On Break")


# --- questions --------------------------------------------------------------------------------------------------------


def test_a_leg_exists_from_its_creation_to_its_end(stage: Stage) -> None:
    story = stage.attempt(carrier(RINGS))
    assert stage.line.existing(story.legs) == set()
    stage.place(commands.operator_first(story.plan))
    stage.hear(story, LegProgress, "operator")
    assert stage.line.existing(story.legs) == {story.plan.operator_uuid}
    stage.hear(story, LegProgress, "subscriber")
    assert stage.line.existing(story.legs) == set(story.legs)
    stage.soon(lambda: {str(leg) for leg in story.legs} <= stage.line.channels())  # the list lags behind
    stage.line.kill(story.plan.operator_uuid, "MANAGER_REQUEST")
    stage.hear_all(story)
    assert stage.line.existing(story.legs) == set()
    stage.soon(lambda: not {str(leg) for leg in story.legs} & stage.line.channels())


def test_a_variable_can_be_set_on_a_leg_that_lives(stage: Stage) -> None:
    story = stage.operator_first(carrier(RINGS))
    stage.hear(story, LegProgress, "subscriber")
    leg = story.plan.subscriber_uuid
    assert stage.line.carry_out([commands.set_variable(leg, "note", "Петренко, Іван {x}")])
    assert stage.variable(leg, "note") == "Петренко, Іван {x}"
    assert stage.variable(leg, "another") is None
    assert not stage.line.carry_out([commands.set_variable(uuid4(), "note", "x")])


def test_the_switch_says_what_it_carries_and_allows(stage: Stage) -> None:
    before = stage.line.status()
    assert before is not None
    assert before.ready
    with stage.limit("sps", 17), stage.limit("max_sessions", 4000), stage.paused():
        during = stage.line.status()
    assert during is not None
    assert (during.ready, during.rate_allowed, during.sessions_allowed) == (False, 17, 4000)
    after = stage.line.status()
    assert after is not None
    assert (after.ready, after.rate_allowed) == (True, before.rate_allowed)
    story = stage.operator_first(carrier(ANSWERS, 0.1))
    stage.hear(story, LegBridged)
    busy = stage.line.status()
    assert busy is not None
    assert busy.sessions >= 2


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["operator_first", "subscriber_first"])
@pytest.mark.parametrize("limit", ["sps", "max_sessions", "pause"])
def test_what_the_switch_cannot_take_fails_its_job_alone(stage: Stage, limit: str, order: str) -> None:
    talking = stage.operator_first(carrier(ANSWERS, 0.1))
    stage.hear(talking, LegBridged)
    story = stage.attempt(carrier(ANSWERS), connect_order=order)
    with stage.paused() if limit == "pause" else stage.limit(limit, 1):
        stage.place(commands.originate(story.plan))
        job = stage.hear(story, JobDone)
    assert (job.ok, job.cause) == (False, "DESTINATION_OUT_OF_ORDER")
    stage.pass_time(0.3)
    assert story.told == [job]
    assert stage.line.existing(talking.legs) == set(talking.legs)
    again = stage.operator_first(carrier(ANSWERS, 0.1))
    stage.hear(again, LegBridged)


def test_an_operator_whose_subscriber_the_switch_cannot_take_is_hung_up(stage: Stage) -> None:
    story = stage.operator_first(carrier(ANSWERS), "1004")
    stage.hear(story, LegProgress, "operator")
    with stage.limit("max_sessions", 1):
        stage.hear_all(story)
    assert story.of("subscriber") == []
    end = story.one(LegHungUp, "operator")
    assert (end.cause, end.originate_disposition) == ("DESTINATION_OUT_OF_ORDER", "DESTINATION_OUT_OF_ORDER")


# --- recordings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["operator_first", "subscriber_first"])
def test_a_conversation_is_recorded_from_the_bridge_on(stage: Stage, order: str) -> None:
    folder = stage.raw.api("global_getvar recordings_dir").strip()
    path = f"{folder}/contract/{order}-{uuid4()}.wav"
    stage.raw.subscribe(["RECORD_START", "RECORD_STOP"])
    story = stage.attempt(carrier(ANSWERS, 0.5, 2), "1000", record_to=path, connect_order=order, answer_window=10)
    stage.place(commands.originate(story.plan))
    if order == "subscriber_first":
        stage.hear(story, LegAnswered, "subscriber")
        stage.ring_operator(story)
    bridged = stage.hear(story, LegBridged)
    begins = stage.receive_raw("RECORD_START", story.plan.operator_uuid)
    assert begins.get("Record-File-Path") == path
    assert int(begins.get("Event-Date-Timestamp")) >= bridged.at.timestamp() * 1_000_000 - 1
    stage.hear_all(story)
    assert stage.receive_raw("RECORD_STOP", story.plan.operator_uuid).get("Record-File-Path") == path
    if isinstance(stage, RealStage) and Path(folder).is_dir():  # the switch is on this machine
        talk = (story.one(LegHungUp, "operator").at - bridged.at).total_seconds()
        with wave.open(path) as file:
            assert file.getnchannels() == 2
            assert talk - 1 < file.getnframes() / file.getframerate() < talk + 0.5
            sound = file.readframes(file.getnframes())
        left = [sound[at : at + 2] for at in range(0, len(sound), 4)]
        right = [sound[at : at + 2] for at in range(2, len(sound), 4)]
        assert all(len(set(side)) > 10 for side in (left, right)), "one of the two is not to be heard"
        Path(path).unlink()


def test_without_a_conversation_there_is_no_recording(stage: Stage) -> None:
    stage.raw.subscribe(["RECORD_START"])
    folder = stage.raw.api("global_getvar recordings_dir").strip()
    story = stage.operator_first(carrier(RINGS), record_to=f"{folder}/{uuid4()}.wav", subscriber_timeout=1)
    stage.hear_all(story)
    assert stage.raw.receive(0.2) is None
