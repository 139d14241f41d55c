"""Fire the events of the switch: what stands in each of them, and what gets lost, doubled or late on its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol
from uuid import uuid4

from dialer.esl.wire import Event
from dialer.simulator import behaviour
from dialer.simulator.leg import NETWORK, STAMP, Leg
from dialer.simulator.scenario import Scenario
from dialer.simulator.timers import Timers

_FROM: Final = {
    "BACKGROUND_JOB": ("mod_event_socket.c", "api_exec", "1580"),
    "CHANNEL_ANSWER": ("switch_channel.c", "switch_channel_perform_mark_answered", "3848"),
    "CHANNEL_BRIDGE": ("switch_ivr_bridge.c", "switch_ivr_multi_threaded_bridge", "1689"),
    "CHANNEL_CREATE": ("switch_core_state_machine.c", "switch_core_session_run", "626"),
    "CHANNEL_DESTROY": ("switch_core_session.c", "switch_core_session_perform_destroy", "1588"),
    "CHANNEL_HANGUP": ("switch_channel.c", "switch_channel_perform_hangup", "3447"),
    "CHANNEL_HANGUP_COMPLETE": ("switch_core_state_machine.c", "switch_core_session_reporting_state", "943"),
    "CHANNEL_ORIGINATE": ("switch_core_state_machine.c", "switch_core_session_run", "632"),
    "CHANNEL_OUTGOING": ("switch_core_session.c", "switch_core_session_outgoing_channel", "768"),
    "CHANNEL_PARK": ("switch_ivr.c", "switch_ivr_park", "1002"),
    "CHANNEL_PROGRESS": ("switch_channel.c", "switch_channel_perform_mark_ring_ready_value", "3507"),
    "CHANNEL_PROGRESS_MEDIA": ("switch_channel.c", "switch_channel_perform_mark_pre_answered", "3562"),
    "CHANNEL_UNBRIDGE": ("switch_ivr_bridge.c", "switch_ivr_multi_threaded_bridge", "1879"),
    "CHANNEL_UNPARK": ("switch_ivr.c", "switch_ivr_park", "1213"),
    "CUSTOM": ("sofia_reg.c", "sofia_reg_handle_register_token", "2082"),
    "HEARTBEAT": ("switch_core.c", "send_heartbeat", "92"),
    "RECORD_START": ("switch_ivr_async.c", "record_callback", "1482"),
    "RECORD_STOP": ("switch_ivr_async.c", "send_record_stop_event", "1241"),
}
"""Which line of the switch's source fires an event: it says so in each."""
_ELSEWHERE = ("switch_event.c", "switch_event_fire_detailed", "2000")
_TWIN_EVENTS: Final = {
    "CHANNEL_CREATE",
    "CHANNEL_PROGRESS",
    "CHANNEL_PROGRESS_MEDIA",
    "CHANNEL_ANSWER",
    "CHANNEL_HANGUP",
    "CHANNEL_HANGUP_COMPLETE",
    "CHANNEL_DESTROY",
}


class Audience(Protocol):
    """Who hears the events."""

    def wants(self, name: str, subclass: str) -> bool:
        """Tell whether anybody has asked for such events; building one that nobody wants would be wasted."""
        ...

    def tell(self, event: Event) -> None: ...


class Announcer:
    """The voice of one run of the switch: its Core-UUID, and the sequence of its events."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        run: int,
        timers: Timers,
        audience: Audience,
        deliveries: Mapping[str, Sequence[float]],
    ) -> None:
        self.core_uuid = str(uuid4())
        self._deliveries = deliveries
        self._scenario = scenario
        self._seed = seed
        self._run = run
        self._timers = timers
        self._audience = audience
        self._sequence = 0
        self._silent = False

    def fall_silent(self) -> None:
        """End the run: nothing of it is heard any more, not even what is late."""
        self._silent = True

    def tell(self, name: str, headers: Callable[[], Mapping[str, str]], *, subclass: str = "", body: str = "") -> None:
        """Fire an event. Its headers are only built if somebody wants it."""
        self._sequence += 1
        if self._silent or not self._audience.wants(name, subclass):
            return
        event = Event({**self._first_headers(name, subclass), **headers()}, body)
        for delay in self._delays(name):
            if delay:
                self._timers.later(delay, partial(self._tell_late, event))
            else:
                self._audience.tell(event)

    def _delays(self, name: str) -> Sequence[float]:
        """Return when an event reaches its audience: at once, as a rule; never, several times or late, in others."""
        if name in self._deliveries:
            return self._deliveries[name]
        faults = self._scenario.faults
        if not (faults.lost_events or faults.doubled_events or faults.late_events):
            return (0.0,)
        chance = behaviour.dice(self._seed, "event", self._run, self._sequence)
        if chance.random() < faults.lost_events:
            return ()
        times = 2 if chance.random() < faults.doubled_events else 1
        return [faults.lateness.draw(chance) if chance.random() < faults.late_events else 0.0 for _ in range(times)]

    def _tell_late(self, event: Event) -> None:
        if not self._silent:
            self._audience.tell(event)

    def _first_headers(self, name: str, subclass: str) -> dict[str, str]:
        now = int(self._timers.now() * 1_000_000)
        moment = datetime.fromtimestamp(now // 1_000_000, UTC)
        hostname = self._scenario.switch.hostname
        file, function, line = _FROM.get(name, _ELSEWHERE)
        return {
            **({"Event-Subclass": subclass} if subclass else {}),
            "Event-Name": name,
            "Core-UUID": self.core_uuid,
            "FreeSWITCH-Hostname": hostname,
            "FreeSWITCH-Switchname": hostname,
            "FreeSWITCH-IPv4": NETWORK,
            "FreeSWITCH-IPv6": "::1",
            "Event-Date-Local": moment.strftime(STAMP),
            "Event-Date-GMT": moment.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "Event-Date-Timestamp": str(now),
            "Event-Calling-File": file,
            "Event-Calling-Function": function,
            "Event-Calling-Line-Number": line,
            "Event-Sequence": str(self._sequence),
        }

    def leg(self, leg: Leg, name: str, more: Mapping[str, str] | None = None) -> None:
        """Fire an event of a leg, and that of its other half if it has one."""
        with_variables = name != "CHANNEL_OUTGOING"
        self.tell(name, lambda: {**leg.headers(with_variables=with_variables), **(more or {})})
        if leg.twin and name in _TWIN_EVENTS:
            of_twin = {
                "Channel-Name": leg.name.removesuffix("-a") + "-b",
                "Unique-ID": leg.twin,
                "Call-Direction": "inbound",
                "Presence-Call-Direction": "inbound",
                "Caller-Unique-ID": leg.twin,
                "variable_uuid": leg.twin,
                "variable_direction": "inbound",
            }
            self.tell(name, lambda: {**leg.headers(), **of_twin})

    def bridge(self, first: Leg, second: Leg, name: str) -> None:
        """Fire an event of two legs: it comes once, from the first."""
        ends = {"Bridge-A-Unique-ID": first.uuid, "Bridge-B-Unique-ID": second.uuid}
        self.tell(name, lambda: {**ends, **first.headers()})

    def nameless_end(self, uuid: str, session: int) -> None:
        """Fire all that is heard of a leg whose gateway or profile does not exist."""
        headers = {
            "Channel-State": "CS_NONE",
            "Channel-Call-State": "DOWN",
            "Channel-State-Number": "0",
            "Channel-Name": "N/A",
            "Unique-ID": uuid,
            "Call-Direction": "outbound",
            "Presence-Call-Direction": "outbound",
            "Channel-HIT-Dialplan": "false",
            "Channel-Call-UUID": uuid,
            "Answer-State": "ringing",
            "variable_direction": "outbound",
            "variable_is_outbound": "true",
            "variable_uuid": uuid,
            "variable_call_uuid": uuid,
            "variable_session_id": str(session),
        }
        self.tell("CHANNEL_DESTROY", lambda: headers)

    def job(self, uuid: str, command: str, argument: str, answer: str) -> None:
        """Tell how a background command ended."""
        headers = {"Job-UUID": uuid, "Job-Command": command} | ({"Job-Command-Arg": argument} if argument else {})
        self.tell("BACKGROUND_JOB", lambda: headers, body=answer)

    def registration(self, what: str, extension: str) -> None:
        """Tell that a phone has registered (``register``), left (``unregister``) or been silent (``expire``)."""
        domain = self._scenario.switch.domain
        user, host = ("user", "host") if what == "expire" else ("from-user", "from-host")
        headers = {
            "profile-name": "internal",
            user: extension,
            host: domain,
            "contact": f'"" <sip:{extension}@{NETWORK}:5071;transport=udp>',
            "call-id": f"{extension}@{NETWORK}",
            "expires": "3600" if what == "register" else "0",
            "network-ip": NETWORK,
            "network-port": "5071",
            "username": extension,
            "realm": domain,
            "user-agent": "simulated phone",
        }
        if what == "register":
            headers |= {"status": "Registered(UDP)", "rpid": "unknown", "presence-hosts": domain}
        self.tell("CUSTOM", lambda: headers, subclass=f"sofia::{what}")
