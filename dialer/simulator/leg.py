"""One channel: its state, its caller profile and variables, and the headers by which events tell of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Final, Literal, TypeAlias

from dialer.simulator import causes
from dialer.simulator.behaviour import Behaviour
from dialer.simulator.timers import Timer

Party: TypeAlias = Literal["subscriber", "operator"]
Reply: TypeAlias = Callable[[str], None]
"""Where the answer to a command goes."""

STAMP: Final = "%Y-%m-%d %H:%M:%S"
NO_CALLER_NUMBER: Final = "0000000000"
OUTBOUND_CALL: Final = "Outbound Call"
NETWORK: Final = "127.0.0.1"
_TIMES: Final = ("created", "answered", "progress", "progress_media", "hangup")
_CODEC: Final = {
    f"Channel-{way}-Codec-{name}": value
    for way in ("Read", "Write")
    for name, value in (("Name", "PCMU"), ("Rate", "8000"), ("Bit-Rate", "64000"))
}


@dataclass(slots=True)
class Call:
    """A leg that somebody asked for, whether it came to be or not. Instants are rule time, in UTC."""

    number: str
    """Digits of the subscriber, or extension of the operator."""
    party: Party
    uuid: str
    gateway: str
    variables: Mapping[str, str]
    at: datetime
    answered_at: datetime | None = None
    bridged_at: datetime | None = None
    ended_at: datetime | None = None
    cause: str = ""


class Leg:
    """A channel. Instants are microseconds since 1970, 0 while they have not come."""

    def __init__(
        self,
        uuid: str,
        name: str,
        destination: str,
        variables: Mapping[str, str],
        *,
        call: Call,
        behaviour: Behaviour,
        dice: Random,
        now: int,
        originator: Leg | None = None,
    ) -> None:
        self.uuid = uuid
        self.name = name
        self.destination = destination
        self.variables: dict[str, str] = dict(variables)
        self.call = call
        self.behaviour = behaviour
        self.dice = dice
        self.direction = self.logical_direction = "outbound"
        self.timers: list[Timer] = []
        self.presence = ""

        self.state, self.state_number, self.call_state = "CS_NONE", 1, "DOWN"
        self.answer_state = "ringing"
        self.in_dialplan = False
        self.call_uuid = uuid
        self.application = self.argument = ""
        self.parked = False
        self.cause = ""
        """Why it ended; empty while it lives."""
        self.ended_by = ""
        """In SIP's terms: ``recv_bye``, ``send_bye``, ``recv_refuse``, ``send_cancel``."""
        self.completed = self.destroyed = False

        self.by_directory = False
        """Whether it was called as a user of the directory."""
        self.twin = ""
        """The other half of a loopback call."""
        self.timeout = 0.0
        """Seconds after which its originate gives up, with NO_ANSWER."""
        self.report: Reply | None = None
        """Where the originate that created it must still be answered."""
        self.program: list[tuple[str, str]] = []
        """The applications to run, with their arguments."""
        self.recordings: list[str] = []
        """Files in which it is being recorded."""
        self.listens_to: Leg | None = None
        """The leg that it hears by ``eavesdrop``; how it speaks there, its variables say."""
        self.listeners: list[Leg] = []
        """Those that hear this one."""
        self.picked_up = False
        self.patience: Timer | None = None

        self.originator = originator
        """The leg whose bridge created this one."""
        self.second: Leg | None = None
        """The leg that this one's bridge has created, or that it is bridged to as the first of the two."""
        self.first: Leg | None = None
        """The leg that is bridged to this one as the first of the two."""
        self.bridged = 0
        self.times = dict.fromkeys(_TIMES, 0)
        self.times["created"] = self.profile_created = now
        self.profile_index = 1
        self.transfer_source = ""
        self.other_leg: dict[str, str] = {}

        self.callee_name, self.callee_number = OUTBOUND_CALL, destination
        self.caller_name: str
        self.caller_number: str
        self.ani: str
        self.network: str
        own_name = self.variables.get("origination_caller_id_name", "")
        own_number = self.variables.get("origination_caller_id_number", "")
        if originator:
            self.caller_name = own_name or originator.caller_name
            self.caller_number = own_number or originator.caller_number
            self.ani, self.network = originator.ani, originator.network
            self.other_leg = {"Other-Type": "originator", **originator.profile("Other-Leg", with_times=False)}
        else:
            self.caller_name, self.caller_number = own_name, own_number or NO_CALLER_NUMBER
            self.ani, self.network = self.caller_number, ""
        self.original_number = self.caller_number

    @property
    def answered(self) -> bool:
        return self.times["answered"] > 0

    @property
    def up(self) -> bool:
        """Whether a bridge to it can be made: it lives, and there is media."""
        return not self.cause and self.answer_state in ("answered", "early")

    def heard_by(self) -> tuple[Leg, ...]:
        """Return whom its phone is heard by where it listens: the leg there, the one beyond it, both or none."""
        target = self.listens_to
        if target is None:
            return ()
        beyond = target.second or target.first
        near = (target,) if self.variables.get("eavesdrop_whisper_bleg") == "true" else ()
        far = (beyond,) if beyond and self.variables.get("eavesdrop_whisper_aleg") == "true" else ()
        return near + far

    # --- what happens to it ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Leave the state in which only CHANNEL_OUTGOING tells of it."""
        self.state, self.state_number = "CS_INIT", 2
        if self.originator:
            self.call_uuid = self.originator.uuid
        self.variables["call_uuid"] = self.call_uuid

    def ring(self, now: int, *, media: bool) -> None:
        self.state, self.state_number = "CS_CONSUME_MEDIA", 7
        self.times["progress_media" if media else "progress"] = now
        self.answer_state = "early" if media else "ringing"
        if media:
            self.variables["endpoint_disposition"] = "EARLY MEDIA"
        self.network = NETWORK
        self.callee_name = self.callee_number

    def rang(self) -> None:
        """Settle what an event of ringing still called DOWN."""
        self.call_state = "EARLY" if self.answer_state == "early" else "RINGING"

    def answer(self, now: int) -> None:
        self.times["answered"] = now
        self.answer_state = "answered"

    def execute(self, application: str, argument: str) -> None:
        """Begin an application, the first of them by turning the caller into the callee of the dialplan."""
        self.state, self.state_number = "CS_EXECUTE", 4
        if not self.in_dialplan:
            self.in_dialplan = True
            if self.answered:
                self.variables["endpoint_disposition"] = "ANSWER"
            self.variables["pre_transfer_caller_id_number"] = self.caller_number
            self.variables["channel_cid_flipped"] = "yes"
            if self.caller_name:
                self.variables["pre_transfer_caller_id_name"] = self.caller_name
            self.caller_name, self.caller_number, self.callee_name, self.callee_number = (
                self.callee_name,
                self.callee_number,
                self.caller_name,
                self.caller_number,
            )
        self.application, self.argument = application, argument
        self.variables["current_application"] = application
        if argument:
            self.variables["current_application_data"] = argument
        else:
            self.variables.pop("current_application_data", None)

    def join(self, other: Leg, now: int) -> None:
        """Become the first of two bridged legs."""
        self.second, other.first = other, self
        for leg in (self, other):
            leg.bridged = now
            leg.call_state = "ACTIVE"
        other.state, other.state_number = "CS_EXCHANGE_MEDIA", 5
        other.call_uuid = other.variables["call_uuid"] = self.uuid
        if other.answered:
            other.variables["endpoint_disposition"] = "ANSWER"
        self.variables["signal_bond"] = other.uuid

    def joined(self) -> None:
        """Settle what CHANNEL_BRIDGE does not yet tell."""
        assert self.second
        for leg, other in ((self, self.second), (self.second, self)):
            leg.variables |= {
                "bridge_to": other.uuid,
                "last_bridge_to": other.uuid,
                "bridge_channel": other.name,
                "bridge_uuid": other.uuid,
                "signal_bond": other.uuid,
                "last_sent_callee_id_name": other.callee_name or other.callee_number,
                "last_sent_callee_id_number": other.callee_number,
            }

    def transfer(self, other: Leg, now: int, *, first: bool) -> None:
        """Leave what it does, to be bridged to ``other``, which has been called by a command of its own."""
        self.variables |= {
            "bridge_channel": other.name,
            "bridge_uuid": other.uuid,
            "signal_bond": other.uuid,
            "original_destination_number": self.destination,
            "original_caller_id_name": self.caller_name,
            "original_caller_id_number": self.caller_number,
        }
        self.transfer_source = f"{now // 1_000_000}:{self.uuid}:uuid_br:{other.uuid}"
        self.variables |= {"transfer_history": self.transfer_source, "transfer_source": self.transfer_source}
        self.profile_index, self.profile_created = self.profile_index + 1, now
        if first:
            self.variables["uuid_bridge"] = other.uuid
            self.logical_direction = "inbound"
        else:
            self.in_dialplan = False
            self.caller_name, self.caller_number = other.caller_name, other.caller_number

    def face(self, other: Leg, *, first: bool) -> None:
        """Show the other leg of the bridge in every event from now on."""
        kind = "originatee" if first else "originator"
        self.other_leg = {"Other-Type": kind, **other.profile("Other-Leg", with_times=first)}

    def hang_up(self, cause: str, now: int) -> None:
        self.cause = cause
        self.times["hangup"] = now
        self.answer_state, self.state_number = "hangup", 10
        other = self.first or self.second
        if self.bridged and other and not other.cause:
            self.variables["last_bridge_role"] = "originatee" if self.first else "originator"
        self.stop_timers()

    def stop_timers(self) -> None:
        """Let nothing of what was planned for it happen."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()

    def complete(self, now: int) -> None:
        """Write what the switch knows of a call only when it is over."""
        self.state, self.state_number, self.call_state = "CS_REPORTING", 11, "HANGUP"
        self.completed = True
        self.variables.pop("bridge_to", None)
        self.variables |= {
            "hangup_cause": self.cause,
            "hangup_cause_q850": str(causes.q850(self.cause)),
            "digits_dialed": "none",
            **self._stamps(now),
            **self._durations(now),
        }
        if self.application:
            self.variables["last_app"] = self.application
            if self.argument:
                self.variables["last_arg"] = self.argument
        name = self.caller_name
        self.variables["caller_id"] = f'"{name}" <{self.caller_number}>' if name else self.caller_number

    def _stamps(self, now: int) -> dict[str, str]:
        instants = {
            "start": self.times["created"],
            "profile_start": self.profile_created,
            "answer": self.times["answered"],
            "bridge": self.bridged,
            "progress": self.times["progress"],
            "progress_media": self.times["progress_media"],
            "end": now,
        }
        found = {
            f"{name}_stamp": datetime.fromtimestamp(at // 1_000_000, UTC).strftime(STAMP)
            for name, at in instants.items()
            if at
        }
        for name, at in {**instants, "last_hold": 0, "resurrect": 0}.items():
            found |= {f"{name}_epoch": str(at // 1_000_000), f"{name}_uepoch": str(at)}
        return found | dict.fromkeys(("hold_accum_seconds", "hold_accum_usec", "hold_accum_ms"), "0")

    def _durations(self, now: int) -> dict[str, str]:
        start, answered = self.times["created"], self.times["answered"]
        spans = {
            "duration": (start, now),
            "billsec": (answered, now if answered else 0),
            "progresssec": (start, self.times["progress"]),
            "answersec": (start, answered),
            "waitsec": (start, self.bridged),
            "progress_mediasec": (start, self.times["progress_media"]),
            "flow_billsec": (start, now if answered else 0),
        }
        found = {}
        for name, (begin, end) in spans.items():
            stem, span = name.removesuffix("sec"), max(0, end - begin) if end else 0
            found[name] = str(end // 1_000_000 - begin // 1_000_000 if span else 0)
            exact = ("mduration", "uduration") if name == "duration" else (f"{stem}msec", f"{stem}usec")
            found |= {exact[0]: str(span // 1000), exact[1]: str(span)}
        return found

    # --- what events tell of it -----------------------------------------------------------------------------------

    def headers(self, *, with_variables: bool = True) -> dict[str, str]:
        """Return what every event of this leg tells."""
        found = {
            "Channel-State": self.state,
            "Channel-Call-State": self.call_state,
            "Channel-State-Number": str(self.state_number),
            "Channel-Name": self.name,
            "Unique-ID": self.uuid,
            "Call-Direction": self.direction,
            "Presence-Call-Direction": self.direction,
            "Channel-HIT-Dialplan": "true" if self.in_dialplan else "false",
        }
        if self.presence:
            found["Channel-Presence-ID"] = self.presence
        found["Channel-Call-UUID"] = self.call_uuid
        found["Answer-State"] = self.answer_state
        if self.cause:
            found["Hangup-Cause"] = self.cause
        if self.answered or (self.times["progress_media"] and self.in_dialplan):
            found |= _CODEC
        found |= self.profile("Caller", with_times=True)
        found |= self.other_leg
        if with_variables:
            for name, value in self.variables.items():
                found["variable_" + name] = value
        return found

    def profile(self, prefix: str, *, with_times: bool) -> dict[str, str]:
        """Return who calls whom by this leg. Seen from another leg, its direction is the other's to choose."""
        own = prefix == "Caller"
        found = {
            "Direction": self.direction,
            "Logical-Direction": self.logical_direction if own else "inbound",
            "Caller-ID-Name": self.caller_name,
            "Caller-ID-Number": self.caller_number,
            "Orig-Caller-ID-Number": self.original_number,
            "Callee-ID-Name": self.callee_name,
            "Callee-ID-Number": self.callee_number,
            "Network-Addr": self.network,
            "ANI": self.ani,
            "Destination-Number": self.destination,
            "Unique-ID": self.uuid,
            "Source": "src/switch_ivr_originate.c",
            "Transfer-Source": self.transfer_source if own else "",
            "Context": "default",
            "Channel-Name": self.name,
            "Profile-Index": str(self.profile_index) if own else "",
        }
        times = self.times if with_times else dict.fromkeys(_TIMES, 0)
        found = {f"{prefix}-{name}": value for name, value in found.items() if value}
        return found | {
            f"{prefix}-Profile-Created-Time": str(self.profile_created if with_times else 0),
            f"{prefix}-Channel-Created-Time": str(times["created"]),
            f"{prefix}-Channel-Answered-Time": str(times["answered"]),
            f"{prefix}-Channel-Progress-Time": str(times["progress"]),
            f"{prefix}-Channel-Progress-Media-Time": str(times["progress_media"]),
            f"{prefix}-Channel-Hangup-Time": str(times["hangup"]),
            f"{prefix}-Channel-Transfer-Time": "0",
            f"{prefix}-Channel-Resurrect-Time": "0",
            f"{prefix}-Channel-Bridged-Time": str(self.bridged if own else 0),
            f"{prefix}-Channel-Last-Hold": "0",
            f"{prefix}-Channel-Hold-Accum": "0",
            f"{prefix}-Screen-Bit": "true",
            f"{prefix}-Privacy-Hide-Name": "false",
            f"{prefix}-Privacy-Hide-Number": "false",
        }
