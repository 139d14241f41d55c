"""Create legs: where a dial string leads, what limits stand in the way, and how the one behind it will behave."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from typing import Final
from uuid import uuid4

from dialer.simulator import behaviour, causes, dialstring
from dialer.simulator.behaviour import Behaviour
from dialer.simulator.counts import Counts
from dialer.simulator.dialstring import Destination
from dialer.simulator.events import Announcer
from dialer.simulator.leg import NETWORK, Call, Leg, Party
from dialer.simulator.scenario import LOST, Scenario
from dialer.simulator.timers import Timers

LOG_LENGTH: Final = 100_000
"""Calls that are remembered."""


class Refused(Exception):
    """No leg was created, for this cause."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class _Route:
    """Where a dial string leads."""

    endpoint: str
    profile: str
    gateway: str
    number: str
    channel: str
    """The name of the channel."""


class Router:
    """Everything that decides about a new leg. Carriers, phones and people outlive a restart; limits do not."""

    def __init__(self, scenario: Scenario, seed: int, timers: Timers, counts: Counts) -> None:
        self.calls: deque[Call] = deque(maxlen=LOG_LENGTH)
        self.overrides: dict[tuple[Party, str], deque[Behaviour]] = {}
        """What a test wants of somebody: the first entry for the next call, the last one for all that follow."""
        self.gateways_down: set[str] = set()
        self.load: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        """The most calls that each gateway was given at once."""
        self.directory: set[str] = set(scenario.extensions)
        self.registered: set[str] = set(self.directory if scenario.operators.registered else ())
        self._scenario = scenario
        self._seed = seed
        self._timers = timers
        self._counts = counts

    def boot(self, announcer: Announcer) -> None:
        """Begin a run of the switch: no legs, and its limits as they are set at a start."""
        self.legs: dict[str, Leg] = {}
        self.paused = False
        self.max_sessions = self._scenario.switch.max_sessions
        self.sessions_per_second = self._scenario.switch.sessions_per_second
        self.sessions_since_startup = 0
        self.peak_sessions = 0
        self.sessions_this_second = 0
        self._second = 0
        self._most_this_second = self.sessions_per_second
        self._announcer = announcer
        self.load.clear()

    def create(self, destination: Destination, timeout: float, originator: Leg | None = None) -> Leg:
        """Create a leg, or raise ``Refused``. ``timeout`` is when its originate gives up, in seconds."""
        uuid = destination.variables.get("origination_uuid") or str(uuid4())
        route = self._route(destination)
        digits = route.number.removeprefix("+")
        party = self._party(route.endpoint, digits)
        instant = datetime.fromtimestamp(self._timers.now(), UTC)
        call = Call(digits, party, uuid, route.gateway, destination.variables, instant)
        self.calls.append(call)
        try:
            self._check_directory(route, originator)
            self._check_limits(uuid)
            self._check_route(uuid, route)
            acts, dice = self._behaviour(party, digits)
            acts = self._through_faults(uuid, acts, second=originator is not None)
        except Refused as refusal:
            call.cause, call.ended_at = refusal.cause, instant
            raise
        leg = Leg(
            uuid,
            route.channel,
            route.number,
            self._variables(destination.variables, uuid, route, originator),
            call=call,
            behaviour=self._through_gateway(route.gateway, acts, dice),
            dice=dice,
            now=int(self._timers.now() * 1_000_000),
            originator=originator,
        )
        leg.by_directory = route.endpoint == "user"
        leg.timeout = _directory_timeout(leg, originator, timeout) if leg.by_directory else timeout
        leg.twin = str(uuid4()) if route.endpoint == "loopback" else ""
        self.legs[uuid] = leg
        self.peak_sessions = max(self.peak_sessions, len(self.legs))
        if route.gateway:
            self.load[route.gateway] += 1
            self.peak[route.gateway] = max(self.peak[route.gateway], self.load[route.gateway])
        return leg

    def forget(self, leg: Leg) -> None:
        """Let a leg that has ended free what it held."""
        del self.legs[leg.uuid]
        if leg.call.gateway:
            self.load[leg.call.gateway] -= 1

    def _route(self, destination: Destination) -> _Route:
        endpoint, target = destination.endpoint, destination.target
        match endpoint, target.split("/"):
            case "user", [*_]:
                number = target.partition("@")[0]
                return _Route(endpoint, "internal", "", number, f"sofia/internal/{number}@{NETWORK}:5071")
            case "loopback", [number, *_]:
                return _Route(endpoint, "", "", number, f"loopback/{number}-a")
            case "sofia", ["gateway", gateway, number]:
                return _Route(endpoint, "external", gateway, number, f"sofia/external/{number}")
            case "sofia", [profile, number]:
                return _Route(endpoint, profile, "", number.partition("@")[0], f"sofia/{target}")
            case "error", [cause]:
                raise Refused(causes.named(cause))
        raise Refused("CHAN_NOT_IMPLEMENTED")

    def _party(self, endpoint: str, digits: str) -> Party:
        named = endpoint == "user" or digits in self._scenario.extensions or ("operator", digits) in self.overrides
        return "operator" if named else "subscriber"

    def _check_directory(self, route: _Route, originator: Leg | None) -> None:
        if route.endpoint != "user":
            return
        if route.number not in self.directory:
            raise Refused("SUBSCRIBER_ABSENT")
        if originator:
            originator.variables |= {"dialed_user": route.number, "dialed_domain": self._scenario.switch.domain}
        if route.number not in self.registered:
            raise Refused("USER_NOT_REGISTERED")

    def _check_limits(self, uuid: str) -> None:
        """Refuse what the switch cannot take; it says the same of all of it. A limit of N a second lets N - 1 pass."""
        self._begin_second()
        if self.paused or uuid in self.legs:
            raise Refused("DESTINATION_OUT_OF_ORDER")
        self.sessions_this_second += 1
        if self.sessions_this_second >= self._most_this_second or len(self.legs) >= self.max_sessions:
            raise Refused("DESTINATION_OUT_OF_ORDER")
        self.sessions_since_startup += 1

    def limit_rate(self, sessions_per_second: int) -> None:
        """Set how many sessions may begin in a second, from the next second on."""
        self._begin_second()
        self.sessions_per_second = sessions_per_second

    def _begin_second(self) -> None:
        second = int(self._timers.now())
        if second != self._second:
            self._second, self.sessions_this_second = second, 0
            self._most_this_second = self.sessions_per_second

    def _check_route(self, uuid: str, route: _Route) -> None:
        if route.gateway and self._scenario.gateway(route.gateway) is None:
            self._refuse_nameless(uuid, "INVALID_GATEWAY")
        if route.gateway in self.gateways_down:
            self._refuse_nameless(uuid, "GATEWAY_DOWN")
        if route.endpoint == "sofia" and not route.gateway and route.profile not in self._scenario.switch.profiles:
            self._refuse_nameless(uuid, "INVALID_PROFILE")

    def _refuse_nameless(self, uuid: str, cause: str) -> None:
        self._announcer.nameless_end(uuid, self.sessions_since_startup)
        raise Refused(cause)

    def _behaviour(self, party: Party, key: str) -> tuple[Behaviour, Random]:
        count = self._counts.next(party, key)
        dice = behaviour.dice(self._seed, "leg", party, key, count)
        scenario = self._scenario
        if wanted := self.overrides.get((party, key)):
            return (wanted.popleft() if len(wanted) > 1 else wanted[0]), dice
        if party == "operator":
            return behaviour.operator(scenario.operators, scenario.faults, self._seed, key, count), dice
        return behaviour.subscriber(scenario.subscriber_plan(key), scenario.faults, self._seed, key, count), dice

    def _through_faults(self, uuid: str, acts: Behaviour, *, second: bool) -> Behaviour:
        fault = acts.fault
        if fault in causes.WITH_LONE_DESTROY:
            self._refuse_nameless(uuid, fault)
        if fault in causes.WITHOUT_CHANNEL or (fault == LOST and not second):
            raise Refused(fault)
        if not fault:
            return acts
        return replace(acts, outcome="NORMAL_TEMPORARY_FAILURE" if fault == LOST else fault, after=0)

    def _through_gateway(self, gateway: str, acts: Behaviour, dice: Random) -> Behaviour:
        plan = self._scenario.gateway(gateway) if gateway else None
        if plan is None:
            return acts
        full = plan.capacity and self.load[gateway] >= plan.capacity
        return replace(acts, outcome=plan.full, after=0) if full or dice.random() < plan.congested else acts

    def _variables(self, said: Mapping[str, str], uuid: str, route: _Route, originator: Leg | None) -> dict[str, str]:
        """Return what a channel carries from its first event on: the switch's own, and what the command said."""
        found = {
            "direction": "outbound",
            "is_outbound": "true",
            "uuid": uuid,
            "session_id": str(self.sessions_since_startup),
            "channel_name": route.channel,
        }
        if route.gateway:
            found["sip_gateway_name"] = route.gateway
        if route.endpoint != "loopback":
            found["sip_profile_name"] = "gateway" if route.gateway else route.profile
            found["sofia_profile_name"] = route.profile
        if route.endpoint == "user":
            domain = self._scenario.switch.domain
            found |= {"dialed_user": route.number, "dialed_domain": domain, "presence_id": f"{route.number}@{domain}"}
        if originator:
            found |= {
                "max_forwards": "70",
                "originator": originator.uuid,
                "signal_bond": originator.uuid,
                "originating_leg_uuid": originator.uuid,
            }
        found |= said
        if originator and "ignore_early_media" in originator.variables:
            found.setdefault("ignore_early_media", originator.variables["ignore_early_media"])
        endpoint = "loopback" if route.endpoint == "loopback" else "sofia"
        early = "false" if ignores_early_media(found) else "true"
        return found | {"originate_early_media": early, "originate_endpoint": endpoint}


def ignores_early_media(variables: Mapping[str, str]) -> bool:
    """Tell whether an originate waits for the answer, whatever the network says before."""
    return variables.get("ignore_early_media", "").lower() in ("true", "yes", "on", "1", "t", "enabled", "consume")


def _directory_timeout(leg: Leg, originator: Leg | None, timeout: float) -> float:
    """Return after how long the call to the phones of a user gives up: it is a call of its own within ours."""
    outer = (originator or leg).variables
    for inner in (leg.variables.get("originate_timeout"), outer.get("call_timeout"), leg.variables.get("leg_timeout")):
        if inner and inner.isdigit() and int(inner):
            return min(timeout, int(inner))
    return min(timeout, dialstring.DEFAULT_TIMEOUT)
