"""The switch itself, without sockets: legs, the applications that they run, their ends, and the events of all that.

It answers the commands of ``api`` through ``originate``, ``bridge``, ``hang_up`` and the like, and tells an audience
what happens. Which events come, in which order and with which headers, was recorded from a FreeSWITCH 1.11 and is
compared with those recordings in the tests. Where the recordings differ among themselves, the order is left to chance.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Final, Literal, Protocol, TypeAlias
from uuid import uuid4

from dialer.esl.wire import Event
from dialer.simulator import behaviour, causes, dialstring
from dialer.simulator.behaviour import RINGS_ON, Behaviour
from dialer.simulator.counts import Counts
from dialer.simulator.dialstring import Destination
from dialer.simulator.leg import NETWORK, STAMP, Leg
from dialer.simulator.scenario import ANSWER, LOST, Scenario
from dialer.simulator.timers import Timer, Timers

Party: TypeAlias = Literal["subscriber", "operator"]
Reply: TypeAlias = Callable[[str], None]
Step: TypeAlias = Callable[[], object]

VERSION: Final = "1.11.2-release+git~20260809T162310Z~3f13ad1b1d~64bit"
READABLE_VERSION: Final = "1.11.2-release git 3f13ad1 2026-08-09 16:23:10Z 64bit"
TICK: Final = 0.02
"""Seconds in which the switch does one thing after another; also until a phone on the network says something."""
MESSAGE_SECONDS: Final = 3.0
"""How long every file plays."""
LOG_LENGTH: Final = 100_000
"""Calls that are remembered."""

_CORE = ("switch_core.c", "send_heartbeat", "92")
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
    "CHANNEL_PROGRESS_MEDIA": ("switch_channel.c", "switch_channel_perform_mark_pre_answered", "3587"),
    "CHANNEL_UNBRIDGE": ("switch_ivr_bridge.c", "switch_ivr_multi_threaded_bridge", "1879"),
    "CHANNEL_UNPARK": ("switch_ivr.c", "switch_ivr_park", "1213"),
    "CUSTOM": ("sofia_reg.c", "sofia_reg_handle_register_token", "2082"),
}
"""Which line of the switch's source fires an event; it says so in each."""
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


class Refused(Exception):
    """No leg was created, for this cause."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


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


@dataclass(slots=True)
class _Life:
    """What the switch remembers of a leg beside what its events tell."""

    call: Call
    timeout: float
    """Seconds after which its originate gives up, with NO_ANSWER."""
    report: Reply | None = None
    """Where the originate that created it must still be answered."""
    program: list[tuple[str, str]] = field(default_factory=list)
    """The applications to run, with their arguments."""
    by_directory: bool = False
    twin: str = ""
    """The other half of a loopback call."""
    picked_up: bool = False
    patience: Timer | None = None
    ended_by: str = ""


class Switch:
    """One run of a FreeSWITCH after the other; ``boot`` begins one."""

    def __init__(self, scenario: Scenario, seed: int, timers: Timers, audience: Audience, counts: Counts) -> None:
        self.scenario = scenario
        self.seed = seed
        self.counts = counts
        self.calls: deque[Call] = deque(maxlen=LOG_LENGTH)
        self.overrides: dict[tuple[Party, str], deque[Behaviour]] = {}
        """What tests want of somebody: the first entry for the next call, the last one for all that follow."""
        self.gateways_down: set[str] = set()
        self.load: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        """The most calls that each gateway carried or was asked to carry at once."""
        self.directory: set[str] = set(scenario.extensions)
        self.registered: set[str] = set(self.directory if scenario.operators.registered else ())
        self.on_shutdown: Callable[[bool], None] = lambda restart: None
        self._timers = timers
        self._audience = audience
        self._runs = 0
        self.boot()

    def boot(self) -> None:
        """Begin a run with a new Core-UUID and no legs. Registrations stay: the switch keeps them on disk."""
        self.core_uuid = str(uuid4())
        self.started = self._timers.now()
        self.legs: dict[str, Leg] = {}
        self.paused = False
        self.max_sessions = self.scenario.switch.max_sessions
        self.sessions_per_second = self.scenario.switch.sessions_per_second
        self.sessions_since_startup = 0
        self.peak_sessions = 0
        self._lives: dict[str, _Life] = {}
        self._second, self._sessions_this_second = 0, 0
        self._sequence = 0
        self._runs += 1
        self.load.clear()
        if self.scenario.switch.heartbeat:
            self._in_this_run(self.scenario.switch.heartbeat, self._heartbeat)

    def lose_everything(self) -> None:
        """End the run as a power cut does: no leg says goodbye."""
        for leg in self.legs.values():
            for timer in leg.timers:
                timer.cancel()
            self._lives[leg.uuid].call.ended_at = self._instant()
        self.legs, self._lives = {}, {}
        self._runs += 1  # what was planned in this run is void

    # --- time and events ------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._timers.now() * 1_000_000)

    def _instant(self) -> datetime:
        return datetime.fromtimestamp(self._timers.now(), UTC)

    def _in_this_run(self, seconds: float, action: Step) -> Timer:
        run = self._runs
        return self._timers.later(seconds, lambda: action() if run == self._runs else None)

    def _on(self, leg: Leg, seconds: float, action: Step) -> Timer:
        """Plan something that only happens if the leg lives so long."""
        timer = self._timers.later(seconds, action)
        leg.timers.append(timer)
        return timer

    def tell(self, name: str, headers: Callable[[], Mapping[str, str]], *, subclass: str = "", body: str = "") -> None:
        """Fire an event. Its headers are only built if somebody wants it."""
        self._sequence += 1
        if not self._audience.wants(name, subclass):
            return
        event = Event({**self._first_headers(name, subclass), **headers()}, body)
        faults = self.scenario.faults
        if not (faults.lost_events or faults.doubled_events or faults.late_events):
            self._audience.tell(event)
            return
        chance = behaviour.dice(self.seed, "event", self._runs, self._sequence)
        if chance.random() < faults.lost_events:
            return
        delays = [0.0] * (2 if chance.random() < faults.doubled_events else 1)
        for delay in (faults.lateness.draw(chance) if chance.random() < faults.late_events else 0.0 for _ in delays):
            if delay:
                self._in_this_run(delay, partial(self._audience.tell, event))
            else:
                self._audience.tell(event)

    def _first_headers(self, name: str, subclass: str) -> dict[str, str]:
        now = self._now()
        moment = datetime.fromtimestamp(now // 1_000_000, UTC)
        file, function, line = _FROM.get(name, _CORE)
        headers = {"Event-Subclass": subclass} if subclass else {}
        return {
            **headers,
            "Event-Name": name,
            "Core-UUID": self.core_uuid,
            "FreeSWITCH-Hostname": self.scenario.switch.hostname,
            "FreeSWITCH-Switchname": self.scenario.switch.hostname,
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

    def _tell(self, leg: Leg, name: str) -> None:
        """Fire an event of a leg, and that of its other half if it has one."""
        with_variables = name != "CHANNEL_OUTGOING"
        self.tell(name, lambda: leg.headers(with_variables=with_variables))
        twin = self._lives[leg.uuid].twin
        if twin and name in _TWIN_EVENTS:
            of_twin = {
                "Channel-Name": leg.name.removesuffix("-a") + "-b",
                "Unique-ID": twin,
                "Call-Direction": "inbound",
                "Presence-Call-Direction": "inbound",
                "Caller-Unique-ID": twin,
                "variable_uuid": twin,
                "variable_direction": "inbound",
            }
            self.tell(name, lambda: {**leg.headers(), **of_twin})

    def _tell_bridge(self, first: Leg, second: Leg, name: str) -> None:
        ends = {"Bridge-A-Unique-ID": first.uuid, "Bridge-B-Unique-ID": second.uuid}
        self.tell(name, lambda: {**ends, **first.headers()})

    def job_done(self, job_uuid: str, command: str, argument: str, answer: str) -> None:
        """Tell how a background command ended."""
        headers = {"Job-UUID": job_uuid, "Job-Command": command}
        if argument:
            headers["Job-Command-Arg"] = argument
        self.tell("BACKGROUND_JOB", lambda: headers, body=answer)

    def uptime(self) -> str:
        seconds = self._timers.now() - self.started
        units = (("year", 31_536_000), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
        left, words = int(seconds), []
        for unit, length in units:
            count, left = divmod(left, length)
            words.append(f"{count} {unit}{'' if count == 1 else 's'}")
        fraction = int(seconds % 1 * 1_000_000)
        return ", ".join((*words, f"{fraction // 1000} milliseconds", f"{fraction % 1000} microseconds"))

    def _heartbeat(self) -> None:
        self._in_this_run(self.scenario.switch.heartbeat, self._heartbeat)
        headers = {
            "Event-Info": "System Ready",
            "Up-Time": self.uptime(),
            "FreeSWITCH-Version": VERSION,
            "Uptime-msec": str(int((self._timers.now() - self.started) * 1000)),
            "Session-Count": str(len(self.legs)),
            "Max-Sessions": str(self.max_sessions),
            "Session-Per-Sec": str(self.sessions_per_second),
            "Session-Per-Sec-Last": str(self._sessions_this_second),
            "Session-Per-Sec-Max": str(self.sessions_per_second),
            "Session-Per-Sec-FiveMin": str(self._sessions_this_second),
            "Session-Since-Startup": str(self.sessions_since_startup),
            "Session-Peak-Max": str(self.peak_sessions),
            "Session-Peak-FiveMin": str(self.peak_sessions),
            "Idle-CPU": "97.000000",
        }
        self.tell("HEARTBEAT", lambda: headers)

    # --- phones that register -------------------------------------------------------------------------------------

    def register(self, extension: str) -> None:
        """Let a phone register, or refresh its registration."""
        self.directory.add(extension)
        self.registered.add(extension)
        self._tell_registration("register", extension, expired=False)

    def unregister(self, extension: str, *, expired: bool = False) -> None:
        """Let a phone leave, or be silent until its registration has expired."""
        self.registered.discard(extension)
        self._tell_registration("expire" if expired else "unregister", extension, expired=expired)

    def _tell_registration(self, what: str, extension: str, *, expired: bool) -> None:
        domain = self.scenario.switch.domain
        user = ("user", "host") if expired else ("from-user", "from-host")
        headers = {
            "profile-name": self.scenario.switch.profiles[0] if self.scenario.switch.profiles else "internal",
            user[0]: extension,
            user[1]: domain,
            "contact": self.contact(extension),
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

    def contact(self, extension: str) -> str:
        return f'"" <sip:{extension}@{NETWORK}:5071;transport=udp>'

    def flap(self) -> None:
        """Let phones lose and find their registrations, period by period, from now until the end of the process."""
        plan = self.scenario.operators
        if not plan.flapping or not plan.period:
            return
        elapsed = self._timers.now() - self.counts.start
        period = int(elapsed // plan.period)
        for extension in sorted(self.scenario.extensions):
            absence = behaviour.absence(plan, self.seed, extension, period)
            if absence and absence[1] > elapsed:
                self._timers.later(max(0.0, absence[0] - elapsed), partial(self.unregister, extension, expired=True))
                self._timers.later(absence[1] - elapsed, partial(self.register, extension))
        self._timers.later((period + 1) * plan.period - elapsed, self.flap)

    # --- creating legs --------------------------------------------------------------------------------------------

    def originate(self, argument: str, reply: Reply) -> None:
        """Do the command ``originate``; the reply comes when the first leg is answered or has failed."""
        try:
            request = dialstring.read_originate(dialstring.expand(argument, {"core_uuid": self.core_uuid}))
        except dialstring.UsageError:
            reply(dialstring.USAGE)
            return
        try:
            destination = dialstring.read_destination(request.dial)
            caller = {
                "origination_caller_id_name": request.caller_name,
                "origination_caller_id_number": request.caller_number,
            }
            said = {name: value for name, value in caller.items() if value}
            leg = self._create(replace(destination, variables={**said, **destination.variables}), request.timeout)
        except (Refused, dialstring.ParseError) as failure:
            if failure.cause != LOST:
                reply(f"-ERR {failure.cause}\n")
            return
        life = self._lives[leg.uuid]
        life.report, life.program = reply, [(request.application, request.argument)]
        self._ring(leg)

    def _create(self, destination: Destination, timeout: float, originator: Leg | None = None) -> Leg:
        """Create a leg, or raise ``Refused`` for the cause by which the switch has none."""
        variables, endpoint = destination.variables, destination.endpoint
        uuid = variables.get("origination_uuid") or str(uuid4())
        profile, gateway, number = self._route(endpoint, destination.target)
        digits = number.removeprefix("+")
        party: Party = "subscriber"
        if endpoint == "user" or ("operator", digits) in self.overrides or digits in self.scenario.extensions:
            party = "operator"
        call = Call(digits, party, uuid, gateway, variables, self._instant())
        self.calls.append(call)
        try:
            self._check_directory(endpoint, number)
            self._check_limits(uuid)
            self._check_route(uuid, profile, gateway)
            acts, dice = self._behaviour(party, digits)
            acts = self._through_faults(uuid, acts, second=originator is not None)
        except Refused as refusal:
            call.cause, call.ended_at = refusal.cause, self._instant()
            raise
        acts = self._through_gateway(gateway, acts, dice)
        name = f"loopback/{number}-a" if endpoint == "loopback" else f"sofia/{profile}/{number}"
        if endpoint == "user" or (endpoint == "sofia" and not gateway):
            name = f"{name}@{NETWORK}:5071" if endpoint == "user" else f"sofia/{destination.target}"
        self.sessions_since_startup += 1
        leg = Leg(
            uuid,
            name,
            number,
            self._first_variables(destination, uuid, name, profile, gateway, number, originator),
            behaviour=acts,
            dice=dice,
            now=self._now(),
            originator=originator,
        )
        leg.gateway = gateway
        if endpoint == "user":
            leg.presence = f"{number}@{self.scenario.switch.domain}"
            timeout = min(timeout, self._directory_timeout(variables, originator))
        self.legs[uuid] = leg
        self.peak_sessions = max(self.peak_sessions, len(self.legs))
        twin = str(uuid4()) if endpoint == "loopback" else ""
        self._lives[uuid] = _Life(call, timeout, by_directory=endpoint == "user", twin=twin)
        if gateway:
            self.load[gateway] += 1
            self.peak[gateway] = max(self.peak[gateway], self.load[gateway])
        return leg

    def _route(self, endpoint: str, target: str) -> tuple[str, str, str]:
        """Return profile, gateway and number of a dial string."""
        first_profile = self.scenario.switch.profiles[0] if self.scenario.switch.profiles else ""
        match endpoint, target.split("/"):
            case "user", [*_]:
                return first_profile, "", target.partition("@")[0]
            case "loopback", [number, *_]:
                return "", "", number
            case "sofia", ["gateway", gateway, number]:
                return "external", gateway, number
            case "sofia", [profile, number]:
                return profile, "", number.partition("@")[0]
            case "error", [cause]:
                raise Refused(causes.named(cause))
        raise Refused("CHAN_NOT_IMPLEMENTED")

    def _check_directory(self, endpoint: str, number: str) -> None:
        if endpoint == "user" and number not in self.directory:
            raise Refused("SUBSCRIBER_ABSENT")
        if endpoint == "user" and number not in self.registered:
            raise Refused("USER_NOT_REGISTERED")

    def _check_limits(self, uuid: str) -> None:
        """Refuse what the switch cannot take; it says the same of all of it. A limit of N a second lets N - 1 pass."""
        second = int(self._timers.now())
        if second != self._second:
            self._second, self._sessions_this_second = second, 0
        if self.paused or uuid in self.legs:
            raise Refused("DESTINATION_OUT_OF_ORDER")
        self._sessions_this_second += 1
        if self._sessions_this_second >= self.sessions_per_second or len(self.legs) >= self.max_sessions:
            raise Refused("DESTINATION_OUT_OF_ORDER")

    def _check_route(self, uuid: str, profile: str, gateway: str) -> None:
        if gateway and self.scenario.gateway(gateway) is None:
            self._fail_without_name(uuid, "INVALID_GATEWAY")
        if gateway in self.gateways_down:
            self._fail_without_name(uuid, "GATEWAY_DOWN")
        if profile and not gateway and profile not in self.scenario.switch.profiles:
            self._fail_without_name(uuid, "INVALID_PROFILE")

    def _fail_without_name(self, uuid: str, cause: str) -> None:
        """Refuse a leg of which only a CHANNEL_DESTROY without variables of ours tells."""
        self.sessions_since_startup += 1
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
            "variable_session_id": str(self.sessions_since_startup),
        }
        self.tell("CHANNEL_DESTROY", lambda: headers)
        raise Refused(cause)

    def _behaviour(self, party: Party, key: str) -> tuple[Behaviour, Random]:
        count = self.counts.next(party, key)
        dice = behaviour.dice(self.seed, "leg", party, key, count)
        if wanted := self.overrides.get((party, key)):
            return (wanted.popleft() if len(wanted) > 1 else wanted[0]), dice
        scenario = self.scenario
        if party == "operator":
            return behaviour.operator(scenario.operators, scenario.faults, self.seed, key, count), dice
        return behaviour.subscriber(scenario.subscriber_plan(key), scenario.faults, self.seed, key, count), dice

    def _through_faults(self, uuid: str, acts: Behaviour, *, second: bool) -> Behaviour:
        fault = acts.fault
        if fault in causes.WITH_LONE_DESTROY:
            self._fail_without_name(uuid, fault)
        if fault in causes.WITHOUT_CHANNEL or (fault == LOST and not second):
            raise Refused(fault)
        return replace(acts, outcome="NORMAL_TEMPORARY_FAILURE" if fault == LOST else fault, after=0) if fault else acts

    def _through_gateway(self, gateway: str, acts: Behaviour, dice: Random) -> Behaviour:
        plan = self.scenario.gateway(gateway) if gateway else None
        if plan is None:
            return acts
        full = plan.capacity and self.load[gateway] >= plan.capacity
        return replace(acts, outcome=plan.full, after=0) if full or dice.random() < plan.congested else acts

    def _first_variables(
        self,
        destination: Destination,
        uuid: str,
        name: str,
        profile: str,
        gateway: str,
        number: str,
        originator: Leg | None,
    ) -> dict[str, str]:
        found = {
            "direction": "outbound",
            "is_outbound": "true",
            "uuid": uuid,
            "session_id": str(self.sessions_since_startup),
            "channel_name": name,
        }
        if destination.endpoint != "loopback":
            found["sip_profile_name"] = "gateway" if gateway else profile
            found["sofia_profile_name"] = profile
        if gateway:
            found["sip_gateway_name"] = gateway
        if destination.endpoint == "user":
            domain = self.scenario.switch.domain
            found |= {"dialed_user": number, "dialed_domain": domain, "presence_id": f"{number}@{domain}"}
        if originator:
            found |= {
                "max_forwards": "70",
                "originator": originator.uuid,
                "signal_bond": originator.uuid,
                "originating_leg_uuid": originator.uuid,
            }
        found |= destination.variables
        if originator and "ignore_early_media" in originator.variables:
            found.setdefault("ignore_early_media", originator.variables["ignore_early_media"])
        endpoint = "loopback" if destination.endpoint == "loopback" else "sofia"
        return found | {"originate_early_media": "false", "originate_endpoint": endpoint}

    @staticmethod
    def _directory_timeout(variables: Mapping[str, str], originator: Leg | None) -> float:
        """Return after how long the call to the phones of a user gives up: it is a call of its own within ours."""
        for timeout in (
            variables.get("originate_timeout"),
            (originator.variables if originator else variables).get("call_timeout"),
            variables.get("leg_timeout"),
        ):
            if timeout and timeout.isdigit() and int(timeout):
                return int(timeout)
        return dialstring.DEFAULT_TIMEOUT

    # --- ringing and answering ------------------------------------------------------------------------------------

    def _ring(self, leg: Leg) -> None:
        """Call the phone, and plan what its owner does, and when we lose patience."""
        self._tell(leg, "CHANNEL_OUTGOING")
        leg.begin()
        self._tell(leg, "CHANNEL_CREATE")
        self._tell(leg, "CHANNEL_ORIGINATE")
        acts, own = leg.behaviour, leg.variables
        if acts.outcome not in (ANSWER, RINGS_ON) and acts.after <= TICK:
            self._on(leg, TICK, partial(self._refuse, leg))
        else:
            self._on(leg, TICK, partial(self._progress, leg))
            if acts.outcome != RINGS_ON:
                happens = self._answer if acts.outcome == ANSWER else self._refuse
                self._on(leg, max(acts.after, TICK * 1.01), partial(happens, leg))
        # The switch counts whole seconds: an originate ends up to one early, a leg up to one late.
        timeout = self._lives[leg.uuid].timeout
        if leg.originator is None and own.get("originate_timeout", "").isdigit():
            timeout = int(own["originate_timeout"]) or timeout
        self._on(leg, max(TICK * 2, timeout - leg.dice.random()), partial(self.hang_up, leg, "NO_ANSWER"))
        if own.get("leg_timeout", "").isdigit():
            self._on(leg, int(own["leg_timeout"]) + leg.dice.random(), partial(self._allot, leg))

    def _allot(self, leg: Leg) -> None:
        if not leg.answered:
            self.hang_up(leg, "ALLOTTED_TIMEOUT")

    def _progress(self, leg: Leg) -> None:
        media = leg.behaviour.early_media
        leg.ring(self._now(), media=media)
        self._tell(leg, "CHANNEL_PROGRESS_MEDIA" if media else "CHANNEL_PROGRESS")
        leg.rang()
        if media and leg.variables.get("ignore_early_media", "").lower() not in ("true", "yes", "on", "1", "consume"):
            self._pick_up(leg)

    def _refuse(self, leg: Leg) -> None:
        self.hang_up(leg, leg.behaviour.outcome, "recv_refuse")

    def _answer(self, leg: Leg) -> None:
        for timer in leg.timers:  # nobody waits for the answer any more
            timer.cancel()
        leg.timers.clear()
        life = self._lives[leg.uuid]
        life.call.answered_at = self._instant()
        leg.answer(self._now())
        self._tell(leg, "CHANNEL_ANSWER")
        leg.call_state = "ACTIVE"
        if leg.behaviour.patience is not None:
            life.patience = self._on(
                leg, leg.behaviour.patience, partial(self.hang_up, leg, "NORMAL_CLEARING", "recv_bye")
            )
        self._pick_up(leg)

    def _pick_up(self, leg: Leg) -> None:
        """Go on with the call once there is media."""
        life = self._lives[leg.uuid]
        if life.picked_up:
            return
        life.picked_up = True
        self._on(leg, self._pause(leg), partial(self._go_on, leg))

    def _go_on(self, leg: Leg) -> None:
        life = self._lives[leg.uuid]
        if life.by_directory:
            self._tell(leg, "CHANNEL_OUTGOING")
        if leg.originator:
            self._bridge_to_second(leg.originator, leg)
            return
        self._report(leg, f"+OK {leg.uuid}\n")
        self._on(leg, self._pause(leg), partial(self._next, leg))

    @staticmethod
    def _pause(leg: Leg) -> float:
        return leg.dice.choice((0.0, TICK))

    def _report(self, leg: Leg, answer: str) -> None:
        life = self._lives[leg.uuid]
        reply, life.report = life.report, None
        if reply:
            reply(answer)

    # --- applications ---------------------------------------------------------------------------------------------

    def _next(self, leg: Leg) -> None:
        """Run the leg's next application; after the last one it hangs up."""
        program = self._lives[leg.uuid].program
        if leg.cause:
            return
        if not program:
            self.hang_up(leg, "NORMAL_CLEARING")
            return
        application, argument = program.pop(0)
        leg.execute(application, argument)
        match application:
            case "park":
                leg.parked = True
                self._tell(leg, "CHANNEL_PARK")
            case "bridge":
                self._dial_second(leg, argument)
            case "intercept":
                self._intercept(leg, argument)
            case "echo":
                pass
            case "playback" | "sleep":
                seconds = int(argument) / 1000 if application == "sleep" and argument.isdigit() else MESSAGE_SECONDS
                self._on(leg, seconds, partial(self._next, leg))
            case "answer" | "record_session" | "set":
                if application == "set":
                    self.set_variable(leg, *argument.partition("=")[::2])
                self._next(leg)
            case "hangup":
                self.hang_up(leg, causes.named(argument))
            case "transfer":
                self.hang_up(leg, "NO_ROUTE_DESTINATION")
            case _:
                self.hang_up(leg, "DESTINATION_OUT_OF_ORDER")

    def run(self, leg: Leg, program: Iterable[tuple[str, str]]) -> None:
        """Take a leg away from what it does, and let it run these applications."""
        self._release(leg)
        self._lives[leg.uuid].program = list(program)
        self._on(leg, 0, partial(self._next, leg))

    def set_variable(self, leg: Leg, name: str, value: str) -> None:
        """Set a variable of a leg, or unset it by an empty value; names differ in more than their case."""
        known = next((known for known in leg.variables if known.lower() == name.lower()), name)
        if value:
            leg.variables[known] = value
        else:
            leg.variables.pop(known, None)

    def _dial_second(self, first: Leg, dial: str) -> None:
        first.variables |= {"originate_disposition": "failure", "DIALSTATUS": "INVALIDARGS"}
        timeout = first.variables.get("call_timeout", "")
        try:
            destination = dialstring.read_destination(dialstring.expand(dial, first.variables))
            second = self._create(
                destination, int(timeout) if timeout.isdigit() else dialstring.DEFAULT_TIMEOUT, originator=first
            )
        except (Refused, dialstring.ParseError) as failure:
            self._end_in_order(first, self._bridge_failed(first, failure.cause))
            return
        first.second = second
        first.call_state = "RING_WAIT"
        first.variables["originate_signal_bond"] = second.uuid
        first.variables["originated_legs"] = f"{second.uuid};{second.callee_name};{second.callee_number}"
        self._ring(second)

    def _bridge_failed(self, first: Leg, cause: str) -> list[Step]:
        """Return what follows for a leg whose second leg failed."""
        first.call_state = "ACTIVE"
        second, first.second = first.second, None
        self._note_disposition(first, second, cause)
        if first.cause:
            return []
        first.variables["originate_failed_cause"] = cause
        if cause in causes.ANSWERED_ON:
            if self._lives[first.uuid].program:
                return [partial(self._next, first)]
            cause = "NORMAL_CLEARING"
        return [partial(self._end, first, cause), partial(self._complete, first), partial(self._destroy, first)]

    @staticmethod
    def _note_disposition(first: Leg, second: Leg | None, cause: str) -> None:
        first.variables |= {"originate_disposition": cause, "DIALSTATUS": causes.dial_status(cause)}
        if second:
            first.variables["originate_causes"] = f"{second.uuid};{cause}"

    def _bridge_to_second(self, first: Leg, second: Leg) -> None:
        self._note_disposition(first, second, "SUCCESS")
        first.variables["originate_causes"] = f"{second.uuid};NONE"
        first.variables.pop("originate_signal_bond", None)
        first.callee_name, first.callee_number = second.callee_name, second.callee_number
        first.face(second, first=True)
        self._bridge(first, second)

    def _bridge(self, first: Leg, second: Leg) -> None:
        """Let two legs hear each other, until one of them ends it."""
        if first.cause or second.cause:
            return
        first.join(second, self._now())
        self._tell_bridge(first, second, "CHANNEL_BRIDGE")
        first.joined()
        for leg, other in ((first, second), (second, first)):
            life, acts = self._lives[leg.uuid], leg.behaviour
            life.call.bridged_at = self._instant()
            if life.patience:
                life.patience.cancel()
            if acts.talks is not None:
                ends = other if acts.other_hangs_up else leg
                self._on(leg, acts.talks, partial(self.hang_up, ends, "NORMAL_CLEARING", "recv_bye"))

    def bridge(self, first: Leg, second: Leg) -> None:
        """Bridge two legs that were called one by one, as ``uuid_bridge`` does: each leaves what it does."""
        for leg in (first, second):
            if self._lives[leg.uuid].report and leg.dice.random() < 0.5:
                self._report(leg, "-ERR ORIGINATOR_CANCEL\n")  # taken away before its originate saw the answer
        self._in_this_run(TICK, partial(self._meet, first, second, (second, first)))

    def _intercept(self, leg: Leg, argument: str) -> None:
        """Take another leg over: it leaves what it does and is bridged to this one."""
        target = self.legs.get(argument.split(" ")[-1])
        if target is None or not target.up:
            self._next(leg)
            return
        self._in_this_run(TICK, partial(self._meet, leg, target, (target,)))

    def _meet(self, first: Leg, second: Leg, released: Iterable[Leg]) -> None:
        if not (first.up and second.up):
            for leg in (first, second):
                if not leg.cause:
                    self.hang_up(leg, "NORMAL_CLEARING")
            return
        now = self._now()
        name, number = second.caller_name, second.caller_number
        first.transfer(second, now, first=True)
        second.transfer(first, now, first=False)
        first.face(second, first=True)
        first.other_leg |= {"Other-Leg-Caller-ID-Name": name, "Other-Leg-Caller-ID-Number": number}
        second.face(first, first=False)
        for leg in released:
            leg.state_number = 8
            self._release(leg)
        for leg in (first, second):
            leg.parked = False
            self._lives[leg.uuid].program = []
        first.state, first.state_number = "CS_SOFT_EXECUTE", 3
        self._in_this_run(TICK, partial(self._bridge, first, second))

    def _release(self, leg: Leg) -> None:
        """Take a leg away from its application and from the leg that it is bridged to, which ends."""
        for timer in leg.timers:
            timer.cancel()
        leg.timers.clear()
        self._unpark(leg)
        other = leg.second or leg.first
        if other is None:
            return
        self._unbridge(leg if leg.second else other)
        leg.first = leg.second = other.first = other.second = None
        self.hang_up(other, "NORMAL_CLEARING" if other.answered else "ORIGINATOR_CANCEL")

    # --- the end of legs ------------------------------------------------------------------------------------------

    def hang_up(self, leg: Leg, cause: str, by: str = "") -> None:
        """End a leg, and with it what hangs on it. ``by`` is how: ``recv_bye``, ``recv_refuse``, or by ourselves."""
        if leg.cause:
            return
        second, first, originator = leg.second, leg.first, leg.originator
        bridged = bool(second and second.first is leg)
        self._end(leg, cause, by)
        own: list[Step] = [partial(self._complete, leg), partial(self._destroy, leg)]
        if self._lives[leg.uuid].report:
            own = self._mixed(leg, own[:1], [partial(self._report, leg, f"-ERR {cause}\n")]) + own[1:]
        own.insert(0, partial(self._unpark, leg))
        if second and not second.cause:
            self._end(second, "NORMAL_CLEARING" if bridged else "ORIGINATOR_CANCEL")
            if not bridged:
                own.insert(0, partial(self._note_disposition, leg, second, "ORIGINATOR_CANCEL"))
            own.insert(0, partial(self._unbridge, leg))
            own = self._mixed(leg, own, [partial(self._complete, second), partial(self._destroy, second)])
        elif second:
            own.insert(0, partial(self._unbridge, leg))
        elif first:
            own = [own[0], own[1], partial(self._unbridge, first), *self._mixed(leg, own[2:], self._alone(first))]
        elif originator and originator.second is leg:
            then: list[Step] = [*self._bridge_failed(originator, cause)]
            own = self._mixed(leg, own, then) if cause == "NO_ANSWER" else own[:2] + self._mixed(leg, own[2:], then)
        self._end_in_order(leg, own)

    def _alone(self, first: Leg) -> list[Step]:
        """Return what follows for the first of two legs when the second has left the bridge."""
        if self._lives[first.uuid].program:
            return [partial(self._next, first)]
        return [
            partial(self._end, first, "NORMAL_CLEARING"),
            partial(self._complete, first),
            partial(self._destroy, first),
        ]

    def hang_up_all(self, cause: str) -> None:
        """End every leg with the same cause."""
        legs = [leg for leg in self.legs.values() if not leg.cause]
        for leg in legs:
            self._end(leg, cause)
        for leg in legs:
            report = partial(self._report, leg, f"-ERR {cause}\n")
            ends = [partial(step, leg) for step in (self._unpark, self._unbridge, self._complete, self._destroy)]
            self._end_in_order(leg, [report, *ends])

    @staticmethod
    def _mixed(leg: Leg, *rows: list[Step]) -> list[Step]:
        """Mix rows of steps by chance, keeping the order within each."""
        order = [at for at, row in enumerate(rows) for _ in row]
        leg.dice.shuffle(order)
        steps = [iter(row) for row in rows]
        return [next(steps[at]) for at in order]

    def _end_in_order(self, leg: Leg, steps: list[Step]) -> None:
        self._in_this_run(self._pause(leg), lambda: [step() for step in steps])

    def _end(self, leg: Leg, cause: str, by: str = "") -> None:
        """Let a leg hang up: its first event of the end. Further steps make the others; each does nothing twice."""
        if leg.cause:
            return
        by = by or ("send_bye" if leg.answered else "send_cancel")
        life, own = self._lives[leg.uuid], leg.variables
        life.ended_by = by
        life.call.cause, life.call.ended_at = cause, self._instant()
        if by == "recv_refuse":
            status = str(causes.sip(cause))
            leg.network = NETWORK
            own |= {
                "sip_hangup_disposition": by,
                "sip_term_status": status,
                "sip_invite_failure_status": status,
                "proto_specific_hangup_cause": f"sip:{status}",
            }
        elif by == "recv_bye":
            own |= {"sip_term_status": "200", "proto_specific_hangup_cause": "sip:200"}
        leg.hang_up(cause, self._now())
        for other in (leg.first, leg.second, leg.originator):
            if other and not other.cause and leg in (other.first, other.second):
                other.variables["last_bridge_hangup_cause"] = cause
                if "proto_specific_hangup_cause" in own:
                    other.variables["last_bridge_proto_specific_hangup_cause"] = own["proto_specific_hangup_cause"]
        self._tell(leg, "CHANNEL_HANGUP")
        if by == "recv_bye":
            own["sip_hangup_disposition"] = by

    def _unpark(self, leg: Leg) -> None:
        if leg.parked:
            leg.parked = False
            self._tell(leg, "CHANNEL_UNPARK")

    def _unbridge(self, first: Leg) -> None:
        second = first.second
        if second is None or second.first is not first:
            return
        first.second = second.first = None
        for leg, other in ((first, second), (second, first)):
            leg.variables.pop("bridge_to", None)
            if other.cause:
                leg.variables["bridge_hangup_cause"] = other.cause
        second.call_uuid = second.variables["call_uuid"] = second.uuid
        self._tell_bridge(first, second, "CHANNEL_UNBRIDGE")

    def _complete(self, leg: Leg) -> None:
        if leg.completed or not leg.cause:
            return
        by = self._lives[leg.uuid].ended_by
        leg.variables["sip_hangup_disposition"] = by
        if by == "send_cancel":
            leg.variables["sip_invite_failure_status"] = "487"
        leg.complete(self._now())
        self._tell(leg, "CHANNEL_HANGUP_COMPLETE")

    def _destroy(self, leg: Leg) -> None:
        if leg.destroyed or not leg.completed:
            return
        leg.destroyed, leg.state_number = True, 12
        self._tell(leg, "CHANNEL_DESTROY")
        del self.legs[leg.uuid], self._lives[leg.uuid]
        if leg.gateway:
            self.load[leg.gateway] -= 1

    # --- lists ----------------------------------------------------------------------------------------------------

    def channels(self) -> list[dict[str, str]]:
        """Return the rows of ``show channels``."""
        return [self._row(leg) for leg in self.legs.values() if not leg.completed]

    def _row(self, leg: Leg) -> dict[str, str]:
        created = leg.times["created"] // 1_000_000
        codec = dict.fromkeys(("codec", "rate", "bit_rate"), "")
        if leg.answered:
            codec = {"codec": "PCMU", "rate": "8000", "bit_rate": "64000"}
        codecs = {f"{way}_{name}": value for way in ("read", "write") for name, value in codec.items()}
        return {
            "uuid": leg.uuid,
            "direction": leg.direction,
            "created": datetime.fromtimestamp(created, UTC).strftime(STAMP),
            "created_epoch": str(created),
            "name": leg.name,
            "state": leg.state,
            "cid_name": leg.caller_name,
            "cid_num": leg.caller_number,
            "ip_addr": leg.network,
            "dest": leg.destination,
            "application": leg.application,
            "application_data": leg.argument,
            "dialplan": "",
            "context": "default",
            **codecs,
            "secure": "",
            "hostname": self.scenario.switch.hostname,
            "presence_id": leg.presence,
            "presence_data": "",
            "accountcode": "",
            "callstate": leg.call_state,
            "callee_name": leg.callee_name,
            "callee_num": leg.callee_number,
            "callee_direction": "",
            "call_uuid": leg.call_uuid,
            "sent_callee_name": "",
            "sent_callee_num": "",
            "initial_cid_name": leg.caller_name,
            "initial_cid_num": leg.original_number,
            "initial_ip_addr": leg.network,
            "initial_dest": leg.destination,
            "initial_dialplan": "",
            "initial_context": "default",
        }

    def registrations(self) -> list[dict[str, str]]:
        """Return the rows of ``show registrations``."""
        domain = self.scenario.switch.domain
        return [
            {
                "reg_user": extension,
                "realm": domain,
                "token": f"{extension}@{NETWORK}",
                "url": f"sofia/internal/sip:{extension}@{NETWORK}:5071",
                "expires": str(int(self._timers.now()) + 3600),
                "network_ip": NETWORK,
                "network_port": "5071",
                "network_proto": "udp",
                "hostname": self.scenario.switch.hostname,
                "metadata": "",
            }
            for extension in sorted(self.registered)
        ]
