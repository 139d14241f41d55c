"""What a real switch told of calls, as typed events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.esl.wire import Decoder, Event
from dialer.switch import events
from dialer.switch.events import (
    Heartbeat,
    JobDone,
    LegAnswered,
    LegBridged,
    LegCreated,
    LegDestroyed,
    LegHungUp,
    LegProgress,
    LegUnbridged,
    Registered,
    StatusWanted,
    SwitchEvent,
    Unregistered,
    parse,
)

CAPTURES = Path(__file__).parent.parent / "esl" / "captures"
CORE = UUID("f3a1874f-6d9c-4ecd-9177-9745e964d9e0")


def told(name: str) -> list[SwitchEvent]:
    """Return what a recording tells, its variables under the names that we give ours."""
    ours = {"variable_dlr_call_id": "variable_dialer_attempt", "variable_dlr_leg": "variable_dialer_leg"}
    roles = {"agent": "operator", "cust": "subscriber"}
    found = []
    for frame in Decoder().feed((CAPTURES / name).read_bytes()):
        if isinstance(frame, Event):
            headers = {ours.get(header, header): value for header, value in frame.headers.items()}
            if role := headers.get("variable_dialer_leg"):
                headers["variable_dialer_leg"] = roles[role]
            if (event := parse(Event(headers, frame.body))) is not None:
                found.append(event)
    return found


def at(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def test_a_bridged_call_from_ring_to_end() -> None:
    story = told("bridged.txt")
    operator, subscriber = UUID("6f51d5e0-fd8a-4c4c-8396-9a272b9c6585"), UUID("cedffdc2-0a92-41e3-aaf0-504e0ad4732d")
    assert [(type(event), getattr(event, "role", None)) for event in story] == [
        (LegCreated, "operator"),
        (LegProgress, "operator"),
        (LegAnswered, "operator"),
        (JobDone, None),
        (LegCreated, "subscriber"),
        (LegProgress, "subscriber"),
        (LegAnswered, "subscriber"),
        (LegBridged, "operator"),
        (LegHungUp, "subscriber"),
        (LegUnbridged, "operator"),
        (LegDestroyed, "subscriber"),
        (LegHungUp, "operator"),
        (LegDestroyed, "operator"),
    ]
    assert {event.core_uuid for event in story} == {CORE}
    assert {event.attempt_id for event in story if not isinstance(event, JobDone)} == {4711}  # type: ignore[union-attr]
    job, bridged, ended = story[3], story[7], story[8]
    assert isinstance(job, JobDone)
    assert (job.ok, job.cause, job.job_uuid) == (True, "", UUID("7804d35c-90b1-4575-a31d-3831b13bd678"))
    assert isinstance(bridged, LegBridged)
    assert (bridged.leg, bridged.other, bridged.at) == (operator, subscriber, at(1795398345512154))
    assert ended == LegHungUp(
        at=at(1795398350512131),
        core_uuid=CORE,
        leg=subscriber,
        attempt_id=4711,
        role="subscriber",
        cause="NORMAL_CLEARING",
        created_at=at(1795398344492195),
        progress_at=at(1795398344492195),
        answered_at=at(1795398345512154),
        bridged_at=at(1795398345512154),
        originate_disposition="",
        last_bridge_hangup_cause="",
        by_phone=True,
    )


def test_a_busy_operator_never_answered_and_the_job_says_why() -> None:
    story = told("operator_busy.txt")
    ended = next(event for event in story if isinstance(event, LegHungUp))
    job = next(event for event in story if isinstance(event, JobDone))
    assert (ended.role, ended.cause, ended.answered_at, ended.bridged_at) == ("operator", "USER_BUSY", None, None)
    assert ended.by_phone
    assert (job.ok, job.cause, job.text) == (False, "USER_BUSY", "-ERR USER_BUSY")


def test_a_busy_subscriber_is_told_on_the_operators_leg_too() -> None:
    subscriber, operator = (event for event in told("subscriber_busy.txt") if isinstance(event, LegHungUp))
    assert (subscriber.role, subscriber.cause, subscriber.answered_at) == ("subscriber", "USER_BUSY", None)
    assert (operator.role, operator.cause, operator.originate_disposition) == ("operator", "USER_BUSY", "USER_BUSY")
    assert operator.answered_at
    assert not operator.by_phone


def test_a_phone_that_is_not_registered_is_told_by_the_job_alone() -> None:
    assert [event.cause for event in told("user_not_registered.txt") if isinstance(event, JobDone)] == [
        "USER_NOT_REGISTERED",
        "SUBSCRIBER_ABSENT",
    ]


def test_legs_that_came_in_are_not_ours_though_they_carry_our_variables() -> None:
    headers = {
        "Event-Name": "CHANNEL_CREATE",
        "Event-Date-Timestamp": "1795398345512154",
        "Unique-ID": str(CORE),
        "Call-Direction": "inbound",
        "variable_dialer_attempt": "1",
        "variable_dialer_leg": "operator",
    }
    assert parse(Event(headers)) is None
    assert isinstance(parse(Event({**headers, "Call-Direction": "outbound"})), LegCreated)


@pytest.mark.parametrize(
    ("body", "ok", "cause"),
    [
        ("+OK 6f51d5e0-fd8a-4c4c-8396-9a272b9c6585\n", True, ""),
        ("-ERR NO_ANSWER\n", False, "NO_ANSWER"),
        ("-USAGE: <call url> <exten>|&<application_name>(<app_args>)\n", False, "USAGE"),
        ("-ERR nosuchcommand Command not found!\n", False, "USAGE"),
        ("", False, "USAGE"),
    ],
)
def test_how_a_job_ended(body: str, ok: bool, cause: str) -> None:
    headers = {"Event-Name": "BACKGROUND_JOB", "Event-Date-Timestamp": "1", "Job-UUID": str(CORE)}
    done = parse(Event(headers, body))
    assert isinstance(done, JobDone)
    assert (done.ok, done.cause, done.job_uuid) == (ok, cause, CORE)


def test_phones_come_and_go() -> None:
    def custom(subclass: str, **headers: str) -> SwitchEvent | None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        stamp = {"Event-Name": "CUSTOM", "Event-Date-Timestamp": "1000000", "Core-UUID": str(CORE)}
        return parse(Event({**stamp, "Event-Subclass": subclass, **named}))

    then = at(1000000)
    assert custom("sofia::register", from_user="1001") == Registered(at=then, core_uuid=CORE, user="1001")
    left = custom("sofia::unregister", from_user="1001")
    assert left == Unregistered(at=then, core_uuid=CORE, user="1001", expired=False)
    gone = custom("sofia::expire", user="1001")
    assert gone == Unregistered(at=then, core_uuid=CORE, user="1001", expired=True)
    wanted = custom("dialer::status", extension="1001", status="Available")
    assert wanted == StatusWanted(at=then, core_uuid=CORE, extension="1001", status="Available")
    assert custom("sofia::gateway_state") is None


def test_a_heartbeat_tells_how_many_sessions_there_are() -> None:
    beat = parse(Event({"Event-Name": "HEARTBEAT", "Event-Date-Timestamp": "1", "Session-Count": "7"}))
    assert isinstance(beat, Heartbeat)
    assert beat.sessions == 7


HEADERS = [
    "Event-Date-Timestamp", "Core-UUID", "Unique-ID", "Call-Direction", "Job-UUID", "Hangup-Cause", "Session-Count",
    "variable_dialer_attempt", "variable_dialer_leg", "Caller-Channel-Answered-Time", "Caller-Channel-Hangup-Time",
    "Bridge-A-Unique-ID", "Event-Subclass",
]  # fmt: skip


@given(
    st.sampled_from([*(name for name in events.SUBSCRIPTION if "::" not in name), "CUSTOM", "RE_SCHEDULE"]),
    st.dictionaries(
        st.sampled_from(HEADERS),
        st.one_of(
            st.text(max_size=20), st.sampled_from([str(CORE), "outbound", "0", "9" * 18, "9" * 30, "operator", "²"])
        ),
    ),
    st.text(max_size=20),
)
def test_a_switch_may_say_anything(name: str, headers: dict[str, str], body: str) -> None:
    parse(Event({"Event-Name": name, **headers}, body))
