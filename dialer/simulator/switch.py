"""The switch itself, without sockets: legs, the applications that they run, and their ends.

It answers the commands of ``api`` through ``originate``, ``bridge``, ``hang_up`` and the like, and tells an audience
what happens. Which events come, in which order and with which headers, was recorded from a FreeSWITCH 1.11 and is
compared with those recordings in the tests. Where the recordings differ among themselves, the order is left to chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeAlias

from dialer.simulator import behaviour, causes, dialstring, listing
from dialer.simulator.behaviour import RINGS_ON
from dialer.simulator.counts import Counts
from dialer.simulator.events import Announcer, Audience
from dialer.simulator.leg import NETWORK, Leg, Reply
from dialer.simulator.router import Refused, Router, ignores_early_media
from dialer.simulator.scenario import ANSWER, LOST, Scenario
from dialer.simulator.timers import Timer, Timers

Step: TypeAlias = Callable[[], object]

VERSION: Final = "1.11.2-release+git~20260809T162310Z~3f13ad1b1d~64bit"
READABLE_VERSION: Final = "1.11.2-release git 3f13ad1 2026-08-09 16:23:10Z 64bit"
TICK: Final = 0.02
"""Seconds in which the switch does one thing after another; also until a phone on the network says something."""
LIST_LAG: Final = 0.15
"""Seconds by which the list of registrations lags behind the registrations and their events."""
MESSAGE_SECONDS: Final = 1.0
"""How long every file plays."""
_SILENCE: Final = "silence_stream://"


class Switch:
    """One run of a FreeSWITCH after the other; ``boot`` begins one."""

    def __init__(self, scenario: Scenario, seed: int, timers: Timers, audience: Audience, counts: Counts) -> None:
        self.scenario = scenario
        self.seed = seed
        self.counts = counts
        self.router = Router(scenario, seed, timers, counts)
        self.on_shutdown: Callable[[bool], None] = lambda restart: None
        """What the process does when it is told to shut down; whether to come back is the argument."""
        self.deliveries: dict[str, Sequence[float]] = {}
        """What a test wants of events by name: the seconds after which each arrives; none: it is lost."""
        self._timers = timers
        self._audience = audience
        self._runs = 0
        self._listed = set(self.router.registered)
        """The phones that the list of registrations holds."""
        self.boot()

    def boot(self) -> None:
        """Begin a run with a new Core-UUID and no legs. Registrations stay: the switch keeps them on disk."""
        self._runs += 1
        self.started = self._timers.now()
        self.events = Announcer(self.scenario, self.seed, self._runs, self._timers, self._audience, self.deliveries)
        self.router.boot(self.events)
        if self.scenario.switch.heartbeat:
            self._in_this_run(self.scenario.switch.heartbeat, self._heartbeat)

    def lose_everything(self) -> None:
        """End the run, as a power cut does: no leg says goodbye."""
        for leg in self.legs.values():
            leg.stop_timers()
            leg.call.ended_at = self._instant()
        self._runs += 1  # what was planned in this run is void
        self.events.fall_silent()
        self.router.boot(self.events)

    @property
    def legs(self) -> dict[str, Leg]:
        return self.router.legs

    @property
    def globals(self) -> Mapping[str, str]:
        """The variables of the switch as a whole."""
        plan = self.scenario.switch
        return {
            "core_uuid": self.events.core_uuid,
            "hostname": plan.hostname,
            "domain": plan.domain,
            "conf_dir": "/etc/freeswitch",
            "recordings_dir": "/var/lib/freeswitch/recordings",
        }

    # --- time -----------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._timers.now() * 1_000_000)

    def _instant(self) -> datetime:
        return datetime.fromtimestamp(self._timers.now(), UTC)

    def _in_this_run(self, seconds: float, action: Step) -> Timer:
        run = self._runs
        return self._timers.later(seconds, lambda: action() if run == self._runs else None)

    def soon(self, action: Step) -> None:
        """Do something after the answer to the command that asked for it."""
        self._in_this_run(0, action)

    def _on(self, leg: Leg, seconds: float, action: Step) -> Timer:
        """Plan something that only happens if the leg lives so long."""
        timer = self._timers.later(seconds, action)
        leg.timers.append(timer)
        return timer

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
            "Max-Sessions": str(self.router.max_sessions),
            "Session-Per-Sec": str(self.router.sessions_per_second - self.router.sessions_this_second),
            "Session-Per-Sec-Last": str(self.router.sessions_this_second),
            "Session-Per-Sec-Max": str(self.router.sessions_per_second),
            "Session-Per-Sec-FiveMin": str(self.router.sessions_this_second),
            "Session-Since-Startup": str(self.router.sessions_since_startup),
            "Session-Peak-Max": str(self.router.peak_sessions),
            "Session-Peak-FiveMin": str(self.router.peak_sessions),
            "Idle-CPU": "97.000000",
        }
        self.events.tell("HEARTBEAT", lambda: headers)

    # --- phones that register -------------------------------------------------------------------------------------

    def register(self, extension: str) -> None:
        """Let a phone register, or refresh its registration."""
        self.router.directory.add(extension)
        self.router.registered.add(extension)
        self._timers.later(LIST_LAG, lambda: self._listed.add(extension))
        self.events.registration("register", extension)

    def unregister(self, extension: str, *, expired: bool = False, last: bool = True) -> None:
        """Let a phone leave, or be silent until its registration has expired; with ``last`` he has no other one."""
        if last:
            self.router.registered.discard(extension)
            self._timers.later(LIST_LAG, lambda: self._listed.discard(extension))
        self.events.registration("expire" if expired else "unregister", extension)

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

    # --- ringing and answering ------------------------------------------------------------------------------------

    def originate(self, argument: str, reply: Reply) -> None:
        """Do the command ``originate``; the reply comes when the first leg is answered or has failed."""
        try:
            request = dialstring.read_originate(argument)
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
            leg = self.router.create(replace(destination, variables={**said, **destination.variables}), request.timeout)
        except (Refused, dialstring.ParseError) as failure:
            if failure.cause != LOST:
                reply(f"-ERR {failure.cause}\n")
            return
        leg.report, leg.program = reply, list(request.program)
        self._ring(leg)

    def _ring(self, leg: Leg) -> None:
        """Call the phone, and plan what its owner does, and when we lose patience."""
        self.events.leg(leg, "CHANNEL_OUTGOING")
        leg.begin()
        leg.presence = leg.variables.get("presence_id", "")
        self.events.leg(leg, "CHANNEL_CREATE")
        self.events.leg(leg, "CHANNEL_ORIGINATE")
        acts, own = leg.behaviour, leg.variables
        if acts.outcome not in (ANSWER, RINGS_ON) and acts.after <= TICK:
            self._on(leg, TICK, partial(self._refuse, leg))
        else:
            self._on(leg, TICK, partial(self._progress, leg))
            if acts.outcome != RINGS_ON:
                happens = self._answer if acts.outcome == ANSWER else self._refuse
                self._on(leg, max(acts.after, TICK * 1.01), partial(happens, leg))
        # The switch counts whole seconds: an originate ends up to one early, a leg up to one late.
        timeout = leg.timeout
        if leg.originator is None and own.get("originate_timeout", "").isdigit():
            timeout = int(own["originate_timeout"]) or timeout
        self._on(leg, max(TICK * 2, timeout - leg.dice.random()), partial(self._give_up, leg, "NO_ANSWER"))
        if own.get("leg_timeout", "").isdigit():
            seconds = int(own["leg_timeout"]) + leg.dice.random()
            self._on(leg, seconds, partial(self._give_up, leg, "ALLOTTED_TIMEOUT"))

    def _give_up(self, leg: Leg, cause: str) -> None:
        if not leg.picked_up:
            self.hang_up(leg, cause)

    def _progress(self, leg: Leg) -> None:
        media = leg.behaviour.early_media
        now, originator = self._now(), leg.originator
        leg.ring(now, media=media)
        if originator:
            originator.callee_name, originator.callee_number = leg.callee_name, leg.callee_number
            if media:
                originator.times["progress_media"] = now
        self.events.leg(leg, "CHANNEL_PROGRESS_MEDIA" if media else "CHANNEL_PROGRESS")
        leg.rang()
        if media and not ignores_early_media(leg.variables):
            self._pick_up(leg)

    def _refuse(self, leg: Leg) -> None:
        leg.state, leg.state_number = "CS_CONSUME_MEDIA", 7
        self.hang_up(leg, leg.behaviour.outcome, "recv_refuse")

    def _answer(self, leg: Leg) -> None:
        leg.call.answered_at = self._instant()
        leg.answer(self._now())
        self.events.leg(leg, "CHANNEL_ANSWER")
        leg.call_state = "ACTIVE"
        if leg.behaviour.patience is not None:
            leg.patience = self._on(
                leg, leg.behaviour.patience, partial(self.hang_up, leg, "NORMAL_CLEARING", "recv_bye")
            )
        self._pick_up(leg)

    def _pick_up(self, leg: Leg) -> None:
        """Go on with the call once there is media."""
        if leg.picked_up:
            return
        leg.picked_up = True
        self._on(leg, self._pause(leg), partial(self._go_on, leg))

    def _go_on(self, leg: Leg) -> None:
        if leg.by_directory:
            leg.variables["originate_endpoint"] = "user"
            self.events.leg(leg, "CHANNEL_OUTGOING")
        if leg.originator:
            self._bridge_to_second(leg.originator, leg)
            return
        self._report(leg, f"+OK {leg.uuid}\n")
        self._on(leg, self._pause(leg), partial(self._next, leg))

    @staticmethod
    def _pause(leg: Leg) -> float:
        return leg.dice.choice((0.0, TICK))

    def _report(self, leg: Leg, answer: str) -> None:
        reply, leg.report = leg.report, None
        if reply:
            reply(answer)

    # --- applications ---------------------------------------------------------------------------------------------

    def _next(self, leg: Leg) -> None:
        """Run the leg's next application; after the last one it hangs up."""
        program = leg.program
        if leg.cause:
            return
        if not program:
            self.hang_up(leg, "NORMAL_CLEARING")
            return
        application, argument = program.pop(0)
        argument = dialstring.expand(argument, {**self.globals, **leg.variables})
        leg.execute(application, argument)
        match application:
            case "park":
                leg.parked = True
                self.events.leg(leg, "CHANNEL_PARK")
            case "bridge":
                self._dial_second(leg, argument)
            case "intercept":
                self._intercept(leg, argument)
            case "eavesdrop":
                self._eavesdrop(leg, argument)
            case "echo":
                pass
            case "sleep":
                self._on(leg, int(argument) / 1000 if argument.isdigit() else 0, partial(self._next, leg))
            case "playback":
                seconds = _playing_time(leg, argument)
                if seconds < math.inf:
                    self._on(leg, seconds, partial(self._next, leg))
            case "answer" | "set" | "unset":
                if application != "answer":
                    self.set_variable(leg, *argument.partition("=")[::2])
                self._next(leg)
            case "record_session":
                self._record(leg, argument)
                self._next(leg)
            case "hangup":
                self.hang_up(leg, causes.named(argument))
            case "transfer":
                self.hang_up(leg, "NO_ROUTE_DESTINATION")
            case _:
                self.hang_up(leg, "DESTINATION_OUT_OF_ORDER")

    def run(self, leg: Leg, program: Iterable[tuple[str, str]]) -> None:
        """Take a leg away from what it does, and let it run these applications; one that only rings goes on ringing."""
        if leg.cause or not leg.picked_up:
            return
        self._release(leg)
        leg.program = list(program)
        self._on(leg, 0, partial(self._next, leg))

    def set_variable(self, leg: Leg, name: str, value: str) -> None:
        """Set a variable of a leg, or unset it by an empty value. The switch does not tell upper from lower case."""
        known = next((known for known in leg.variables if known.lower() == name.lower()), name)
        if value:
            leg.variables[known] = value
        else:
            leg.variables.pop(known, None)

    def _dial_second(self, first: Leg, dial: str) -> None:
        first.variables |= {"originate_disposition": "failure", "DIALSTATUS": "INVALIDARGS"}
        timeout = first.variables.get("call_timeout", "")
        try:
            destination = dialstring.read_destination(dial)
            destination = replace(destination, variables={**_exported(first), **destination.variables})
            second = self.router.create(
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
        if cause in causes.ANSWERED_ON:
            if first.program:
                return [partial(self._next, first)]
            cause = "NORMAL_CLEARING"
        return [partial(self._end, first, cause), partial(self._complete, first), partial(self._destroy, first)]

    @staticmethod
    def _note_disposition(first: Leg, second: Leg | None, cause: str) -> None:
        first.variables |= {"originate_disposition": cause, "DIALSTATUS": causes.dial_status(cause)}
        if cause != "SUCCESS":
            first.variables["originate_failed_cause"] = cause
        if second:
            first.variables["originate_causes"] = f"{second.uuid};{'NONE' if cause == 'SUCCESS' else cause}"

    def _bridge_to_second(self, first: Leg, second: Leg) -> None:
        self._note_disposition(first, second, "SUCCESS")
        first.variables.pop("originate_signal_bond", None)
        first.face(second, first=True)
        self._bridge(first, second)

    def _bridge(self, first: Leg, second: Leg) -> None:
        """Let two legs hear each other, until one of them ends it."""
        if first.cause or second.cause:
            return
        first.variables.pop("uuid_bridge", None)
        first.join(second, self._now())
        self.events.bridge(first, second, "CHANNEL_BRIDGE")
        first.joined()
        if first.variables.get("bridge_pre_execute_aleg_app") == "record_session":
            leads_to = first.variables.get("bridge_pre_execute_aleg_data", "")
            first.execute("record_session", leads_to)
            self._record(first, leads_to)
        for leg, other in ((first, second), (second, first)):
            acts = leg.behaviour
            leg.call.bridged_at = self._instant()
            if leg.patience:
                leg.patience.cancel()
            if acts.talks is not None:
                ends = other if acts.other_hangs_up else leg
                self._on(leg, acts.talks, partial(self.hang_up, ends, "NORMAL_CLEARING", "recv_bye"))

    def bridge(self, first: Leg, second: Leg) -> None:
        """Bridge two legs that were called one by one, as ``uuid_bridge`` does: each leaves what it does."""
        for leg in (first, second):
            if leg.report and leg.dice.random() < 0.5:
                self._report(leg, "-ERR ORIGINATOR_CANCEL\n")  # taken away before its originate saw the answer
        self._in_this_run(TICK, partial(self._meet, first, second, (second, first)))

    def _intercept(self, leg: Leg, argument: str) -> None:
        """Take another leg over: it leaves what it does and is bridged to this one."""
        target = self.legs.get(argument.split(" ")[-1])
        alone = leg.variables.get("intercept_unbridged_only") == "true"
        if target is None or not target.up or (alone and (target.first or target.second)):
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
            leg.program = []
        first.state, first.state_number = "CS_SOFT_EXECUTE", 3
        self._in_this_run(TICK, partial(self._bridge, first, second))

    def _eavesdrop(self, leg: Leg, argument: str) -> None:
        """Let a leg listen to another, until that one ends."""
        target = self.legs.get(argument)
        if target is None or target is leg or not target.up:
            self._next(leg)
            return
        leg.listens_to = target
        target.listeners.append(leg)

    def _listens_no_more(self, leg: Leg) -> None:
        target, leg.listens_to = leg.listens_to, None
        if target:
            target.listeners.remove(leg)

    def _left_by(self, listener: Leg) -> None:
        """Let a leg go on that listened to one which has ended."""
        if listener.listens_to and listener.listens_to.cause:
            self._listens_no_more(listener)
            self._next(listener)

    def _record(self, leg: Leg, path: str) -> None:
        """Begin a recording, as far as events tell of one: there is no sound to be kept."""
        if path:
            leg.recordings.append(path)
            self.events.leg(leg, "RECORD_START", {"Record-File-Path": path})

    def _release(self, leg: Leg) -> None:
        """Take a leg away from its application and from the leg that it is bridged to, which ends."""
        leg.stop_timers()
        self._unpark(leg)
        self._listens_no_more(leg)
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
        if leg.report:
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
        if first.program:
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
        own = leg.variables
        leg.ended_by = by
        leg.call.cause, leg.call.ended_at = cause, self._instant()
        if by == "recv_refuse":
            status = str(causes.sip(cause))
            if not leg.behaviour.fault:  # else nobody on the network has said it
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
            if other and not other.cause and leg in (other.first, other.second, other.originator):
                other.variables.pop("bridge_to", None)
                other.variables["last_bridge_hangup_cause"] = cause
                if "proto_specific_hangup_cause" in own:
                    other.variables["last_bridge_proto_specific_hangup_cause"] = own["proto_specific_hangup_cause"]
        self._listens_no_more(leg)
        for listener in leg.listeners:
            self._on(listener, TICK, partial(self._left_by, listener))
        self.events.leg(leg, "CHANNEL_HANGUP")
        if by == "recv_bye":
            own["sip_hangup_disposition"] = by

    def _unpark(self, leg: Leg) -> None:
        if leg.parked:
            leg.parked = False
            self.events.leg(leg, "CHANNEL_UNPARK")

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
        self.events.bridge(first, second, "CHANNEL_UNBRIDGE")
        if not first.cause:
            first.state = "CS_EXECUTE"  # back in its dialplan

    def _complete(self, leg: Leg) -> None:
        if leg.completed or not leg.cause:
            return
        by = leg.ended_by
        for path in leg.recordings:
            self.events.leg(leg, "RECORD_STOP", {"Record-File-Path": path})
        leg.variables["sip_hangup_disposition"] = by
        if by == "send_cancel":
            leg.variables["sip_invite_failure_status"] = "487"
        leg.complete(self._now())
        self.events.leg(leg, "CHANNEL_HANGUP_COMPLETE")

    def _destroy(self, leg: Leg) -> None:
        if leg.destroyed or not leg.completed:
            return
        leg.destroyed, leg.state_number = True, 12
        self.events.leg(leg, "CHANNEL_DESTROY")
        self.router.forget(leg)

    # --- lists ----------------------------------------------------------------------------------------------------

    def channels(self) -> list[dict[str, str]]:
        """Return the rows of ``show channels``."""
        return listing.channels(self.legs.values(), self.scenario.switch.hostname)

    def registrations(self) -> list[dict[str, str]]:
        """Return the rows of ``show registrations``."""
        plan = self.scenario.switch
        return listing.registrations(self._listed, plan.domain, plan.hostname, int(self._timers.now()) + 3600)


def _playing_time(leg: Leg, what: str) -> float:
    """Return for how many seconds an argument of ``playback`` sounds, by itself and by the limits set on the leg."""
    delimiter = leg.variables.get("playback_delimiter", "")[:1]
    seconds = sum(map(_length, what.split(delimiter) if delimiter else [what]))
    limit = leg.variables.get("playback_timeout_sec", "")
    return min(seconds, int(limit)) if limit.isdigit() and int(limit) > 1 else seconds


def _length(what: str) -> float:
    if what.startswith(_SILENCE):
        milliseconds = what.removeprefix(_SILENCE).partition(",")[0]
        return int(milliseconds) / 1000 if milliseconds.isdigit() else math.inf
    if what.startswith("local_stream://") or what.endswith(";loops=-1"):
        return math.inf
    return MESSAGE_SECONDS


def _exported(leg: Leg) -> dict[str, str]:
    """Return the variables that a leg hands on to those whom it calls."""
    names = leg.variables.get("export_vars", "")
    wanted = [name for name in ("export_vars", *dialstring.separate(names, ",", 256)) if names]
    known = {name.lower(): value for name, value in leg.variables.items()}
    return {name: known[name.lower()] for name in wanted if name.lower() in known}
