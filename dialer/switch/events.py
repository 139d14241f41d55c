"""What a switch tells us, as typed events.

A leg is known by its Unique-ID, which we chose. Instants are the switch's own, in UTC, to the microsecond. Legs that
came in (the other half of a loopback call carries our variables too) and events of no use to us are no events here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias
from uuid import UUID

from dialer.esl.wire import Event

SUBSCRIPTION = (
    "CHANNEL_CREATE",
    "CHANNEL_PROGRESS",
    "CHANNEL_PROGRESS_MEDIA",
    "CHANNEL_ANSWER",
    "CHANNEL_BRIDGE",
    "CHANNEL_UNBRIDGE",
    "CHANNEL_HANGUP_COMPLETE",
    "CHANNEL_DESTROY",
    "BACKGROUND_JOB",
    "HEARTBEAT",
    "sofia::register",
    "sofia::unregister",
    "sofia::expire",
    "dialer::status",
)
"""What a listener asks for, so that ``parse`` has all it reads."""

Role: TypeAlias = Literal["operator", "subscriber", "supervisor"]
"""A supervisor's leg listens to an operator's, and belongs to no attempt."""

_SENT_ON = re.compile(r"(blind|att):[0-9a-f-]{36}")
_TRANSFERS = {"blind": "BLIND_TRANSFER", "att": "ATTENDED_TRANSFER"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    at: datetime
    core_uuid: UUID | None
    """The run of the switch that tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _LegEvent(_Told):
    leg: UUID
    attempt_id: int | None
    """What we wrote on the leg; empty on legs that are not ours, and on those that failed before they had variables."""
    role: Role | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegCreated(_LegEvent):
    """The switch has begun to call a phone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegProgress(_LegEvent):
    """The phone rings, or its network says something (``media``)."""

    media: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LegAnswered(_LegEvent):
    """Somebody answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegBridged(_LegEvent):
    """This leg and ``other`` hear each other. One event for both."""

    other: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegUnbridged(_LegEvent):
    """The two no longer hear each other. One event for both."""

    other: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegHungUp(_LegEvent):
    """A leg has ended, at ``at``: when it hung up, however late the event came. All its earlier instants are here."""

    cause: str
    created_at: datetime | None
    progress_at: datetime | None
    answered_at: datetime | None
    bridged_at: datetime | None
    """When it was bridged last."""
    originate_disposition: str
    """On an operator's leg: how dialling the subscriber ended: SUCCESS, a cause, or ``failure`` while it rang."""
    last_bridge_hangup_cause: str
    by_phone: bool
    """The phone itself ended it: it hung up (``recv_bye``), refused or cancelled."""
    sent_on: str = ""
    """It left a call that goes on without it: BLIND_TRANSFER or ATTENDED_TRANSFER."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegDestroyed(_LegEvent):
    """Nothing of the leg is left. It comes alone, without variables, when a gateway or profile does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDone(_Told):
    """A background command has ended. An originate: answered, or failed, before its leg's own end or after it."""

    job_uuid: UUID
    ok: bool
    cause: str
    """Empty when ok; USAGE when the switch did not understand the command."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(_Told):
    """A phone of this user of the directory has registered, or refreshed its registration."""

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unregistered(_Told):
    """A phone of this user has left or has not refreshed in time. Another phone of his may still be registered."""

    user: str
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusWanted(_Told):
    """Someone dialled a service number: the dialplan fired ``dialer::status`` with ``extension`` and ``status``."""

    extension: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(_Told):
    """The switch lives; it says so every 20 seconds."""

    sessions: int


SwitchEvent: TypeAlias = (
    LegCreated
    | LegProgress
    | LegAnswered
    | LegBridged
    | LegUnbridged
    | LegHungUp
    | LegDestroyed
    | JobDone
    | Registered
    | Unregistered
    | StatusWanted
    | Heartbeat
)


def parse(event: Event) -> SwitchEvent | None:
    """Return what an event means to us, or ``None``. Never raises: a switch may say anything."""
    at = read_instant(event.get("Event-Date-Timestamp"))
    if at is None:
        return None
    core = read_uuid(event.get("Core-UUID"))
    match event.name, event.subclass:
        case "BACKGROUND_JOB", _:
            return _job(event, at, core)
        case "HEARTBEAT", _:
            return Heartbeat(at=at, core_uuid=core, sessions=_number(event.get("Session-Count")) or 0)
        case "CUSTOM", "sofia::register":
            return Registered(at=at, core_uuid=core, user=event.get("from-user"))
        case "CUSTOM", "sofia::unregister":
            return Unregistered(at=at, core_uuid=core, user=event.get("from-user"), expired=False)
        case "CUSTOM", "sofia::expire":
            return Unregistered(at=at, core_uuid=core, user=event.get("user"), expired=True)
        case "CUSTOM", "dialer::status":
            return StatusWanted(at=at, core_uuid=core, extension=event.get("extension"), status=event.get("status"))
    return _leg(event, at, core)


def _leg(event: Event, at: datetime, core: UUID | None) -> SwitchEvent | None:
    leg = read_uuid(event.get("Unique-ID"))
    if leg is None or event.get("Call-Direction") != "outbound":
        return None
    attempt = _number(event.get("variable_dialer_attempt"))
    role: Role | None = None
    match event.get("variable_dialer_leg"):
        case "operator":
            role = "operator"
        case "subscriber":
            role = "subscriber"
        case "supervisor":
            role = "supervisor"

    match event.name:
        case "CHANNEL_CREATE":
            return LegCreated(at=at, core_uuid=core, leg=leg, attempt_id=attempt, role=role)
        case "CHANNEL_PROGRESS" | "CHANNEL_PROGRESS_MEDIA" as name:
            media = name == "CHANNEL_PROGRESS_MEDIA"
            return LegProgress(at=at, core_uuid=core, leg=leg, attempt_id=attempt, role=role, media=media)
        case "CHANNEL_ANSWER":
            return LegAnswered(at=at, core_uuid=core, leg=leg, attempt_id=attempt, role=role)
        case "CHANNEL_BRIDGE":
            return LegBridged(at=at, core_uuid=core, leg=leg, attempt_id=attempt, role=role, other=_other(event, leg))
        case "CHANNEL_UNBRIDGE":
            return LegUnbridged(at=at, core_uuid=core, leg=leg, attempt_id=attempt, role=role, other=_other(event, leg))
        case "CHANNEL_DESTROY":
            return LegDestroyed(at=at, core_uuid=core, leg=leg, attempt_id=attempt, role=role)
        case "CHANNEL_HANGUP_COMPLETE":
            sent_on = _SENT_ON.fullmatch(event.get("variable_transfer_to"))
            return LegHungUp(
                at=read_instant(event.get("Caller-Channel-Hangup-Time")) or at,
                core_uuid=core,
                leg=leg,
                attempt_id=attempt,
                role=role,
                cause=event.get("Hangup-Cause") or event.get("variable_hangup_cause"),
                created_at=read_instant(event.get("Caller-Channel-Created-Time")),
                progress_at=read_instant(event.get("Caller-Channel-Progress-Time"))
                or read_instant(event.get("Caller-Channel-Progress-Media-Time")),
                answered_at=read_instant(event.get("Caller-Channel-Answered-Time")),
                bridged_at=read_instant(event.get("Caller-Channel-Bridged-Time")),
                originate_disposition=event.get("variable_originate_disposition"),
                last_bridge_hangup_cause=event.get("variable_last_bridge_hangup_cause"),
                by_phone=event.get("variable_sip_hangup_disposition").startswith("recv_"),
                sent_on=_TRANSFERS[sent_on[1]] if sent_on else "",
            )
    return None


def _job(event: Event, at: datetime, core: UUID | None) -> JobDone | None:
    job = read_uuid(event.get("Job-UUID"))
    if job is None:
        return None
    text = event.body.strip()
    ok = text.startswith("+OK")
    word = re.fullmatch(r"-ERR ([A-Z][A-Z0-9_]*)", text)
    cause = "" if ok else word[1] if word else "USAGE"
    return JobDone(at=at, core_uuid=core, job_uuid=job, ok=ok, cause=cause, text=text)


def _other(event: Event, leg: UUID) -> UUID | None:
    ends = (read_uuid(event.get("Bridge-A-Unique-ID")), read_uuid(event.get("Bridge-B-Unique-ID")))
    return next((end for end in ends if end != leg), None)


def read_instant(microseconds: str) -> datetime | None:
    """Read microseconds since 1970; the switch says 0 for what has not happened."""
    number = _number(microseconds)
    try:
        return _EPOCH + timedelta(microseconds=number) if number else None
    except OverflowError:
        return None


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def read_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
