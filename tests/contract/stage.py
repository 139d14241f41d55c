"""A switch with the people of docker/freeswitch/test on it, real or simulated, and what it tells of their calls.

A number says how whoever it reaches behaves: one digit what happens, four the milliseconds until then, four the
milliseconds from the answer until he hangs up (0000: he stays); see docker/freeswitch/test/contract.xml.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from uuid import UUID, uuid4
from xml.etree import ElementTree

from dialer.esl.client import Connection, Outcome
from dialer.esl.wire import Event
from dialer.models import Coaching
from dialer.simulator.behaviour import RINGS_ON, Behaviour
from dialer.simulator.scenario import ANSWER, GatewayPlan, OperatorPlan, Scenario, SwitchPlan
from dialer.simulator.thread import SimulatorThread
from dialer.switch import commands
from dialer.switch.commands import CallPlan, CoachPlan, Originate
from dialer.switch.events import (
    JobDone,
    LegAnswered,
    LegBridged,
    LegCreated,
    LegDestroyed,
    LegHungUp,
    LegProgress,
    LegUnbridged,
    SwitchEvent,
)
from dialer.switch.nodes import SwitchNode

FOLDER = Path(__file__).parents[2] / "docker" / "freeswitch" / "test"
TONE_OF_THE_CALL, HUM = 300, 1000
"""Hertz of what the two of a call say, now and then, and of what a supervisor hums."""
PATIENCE = 15.0
"""Real seconds in which anything that a test awaits must come."""
NO_PHONE, NOBODY = "9000", "9999"
"""An extension of the directory whose phone is not registered, and one that the directory does not know."""

HUMS = "0"
ANSWERS, BUSY, REJECTS, RINGS, UNALLOCATED, EARLY_MEDIA, FAILS, ANSWERS_LOOKING = "12345678"
_REFUSALS = {
    BUSY: "USER_BUSY",
    REJECTS: "CALL_REJECTED",
    UNALLOCATED: "UNALLOCATED_NUMBER",
    FAILS: "NORMAL_TEMPORARY_FAILURE",
}

LegEvent: TypeAlias = LegCreated | LegProgress | LegAnswered | LegBridged | LegUnbridged | LegHungUp | LegDestroyed
T = TypeVar("T", bound=SwitchEvent)


def number(what: str, after: float = 0.3, hangs_up_after: float = 0.0) -> str:
    """Return a number whose owner behaves so; spans are seconds."""
    return f"{what}{round(after * 1000):04}{round(hangs_up_after * 1000):04}"


def carrier(what: str, after: float = 0.3, hangs_up_after: float = 0.0) -> str:
    """Return a dial string that reaches such a subscriber through a gateway."""
    return f"sofia/gateway/contract/{number(what, after, hangs_up_after)}"


@cache
def phones() -> dict[str, str]:
    """Return the extensions that have a phone, with the number that says how its owner behaves."""
    found = {}
    for gateway in ElementTree.parse(FOLDER / "phones.xml").getroot().iter("gateway"):
        said = {param.get("name"): param.get("value") or "" for param in gateway.iter("param")}
        found[said["username"]] = said["extension"]
    return found


def behaviour(digits: str) -> Behaviour:
    """Return what a simulated person does who has this number."""
    what, after, stays = digits[0], int(digits[1:5]) / 1000, int(digits[5:9]) / 1000 or None
    if what == RINGS:
        return Behaviour(RINGS_ON)
    if what in _REFUSALS:
        return Behaviour(_REFUSALS[what], after)
    return Behaviour(ANSWER, after, talks=stays, patience=stays, early_media=what == EARLY_MEDIA)


class Story:
    """What the switch told of the legs and jobs of one attempt, in order."""

    def __init__(self, plan: CallPlan) -> None:
        self.plan = plan
        self.legs = {plan.operator_uuid: "operator", plan.subscriber_uuid: "subscriber"}
        self.jobs = {plan.job_uuid: "job", plan.operator_job_uuid: "operator's job"}
        self.told: list[SwitchEvent] = []

    def add_operator(self, plan: CallPlan, name: str) -> None:
        """Hear of another operator's leg too."""
        self.legs[plan.operator_uuid] = name
        self.jobs[plan.operator_job_uuid] = f"{name}'s job"

    def add_supervisor(self, plan: CoachPlan) -> None:
        """Hear of a supervisor's leg too."""
        self.legs[plan.leg_uuid] = "supervisor"
        self.jobs[plan.job_uuid] = "supervisor's job"

    def concerns(self, event: SwitchEvent) -> bool:
        return getattr(event, "leg", None) in self.legs or getattr(event, "job_uuid", None) in self.jobs

    def all(self, kind: type[T], who: str = "") -> list[T]:
        return [event for event in self.told if isinstance(event, kind) and (not who or self.who(event) == who)]

    def one(self, kind: type[T], who: str = "") -> T:
        """Return the event of this kind, which must have come once."""
        (found,) = self.all(kind, who)
        return found

    def who(self, event: SwitchEvent) -> str:
        if isinstance(event, JobDone):
            return self.jobs[event.job_uuid]
        return self.legs[event.leg] if isinstance(event, LegEvent) else ""

    def of(self, who: str) -> list[str]:
        """Return what was told of one leg or job, in words."""
        return [_word(event) for event in self.told if self.who(event) == who]

    def before(self, first: SwitchEvent, then: SwitchEvent) -> bool:
        return self.told.index(first) < self.told.index(then)


def _word(event: SwitchEvent) -> str:
    match event:
        case LegCreated():
            return "created"
        case LegProgress(media=media):
            return "early media" if media else "ringing"
        case LegAnswered():
            return "answered"
        case LegBridged():
            return "bridged"
        case LegUnbridged():
            return "unbridged"
        case LegHungUp(cause=cause):
            return f"ended {cause}"
        case LegDestroyed():
            return "gone"
        case JobDone(ok=ok, cause=cause):
            return "ok" if ok else f"failed {cause}"
    return type(event).__name__


class Stage(ABC):
    """A switch to try. ``line`` takes orders, ``ears`` hears."""

    def __init__(self, node: SwitchNode) -> None:
        self.node = node
        self.line = node.connect()
        self.ears = node.connect()
        self.raw = Connection(node.host, node.port, node.password)
        self.raw.connect()
        self.ears.subscribe()
        self._stories: list[Story] = []

    def close(self) -> None:
        """Hang up whoever is still there, and take leave."""
        for story in self._stories:
            for leg in story.legs:
                self.line.kill(leg, "NORMAL_CLEARING")
        for line in (self.line, self.ears):
            line.close()
        self.raw.exit()

    # --- calls ----------------------------------------------------------------------------------------------------

    def attempt(self, subscriber: str, operator: str = "1000", **changes: Any) -> Story:
        """Return the story, yet to begin, of an attempt to bring a subscriber and an operator together.

        ``subscriber`` is a dial string, ``operator`` an extension or a dial string.
        """
        plan = CallPlan(
            **{
                "attempt_id": 4711,
                "job_uuid": uuid4(),
                "operator_job_uuid": uuid4(),
                "operator_uuid": uuid4(),
                "subscriber_uuid": uuid4(),
                "operator_dial": operator if "/" in operator else commands.extension_dial(operator),
                "subscriber_dial": subscriber,
                "operator_timeout": 5,
                "subscriber_timeout": 5,
                "operator_caller_id": "380441234567",
                "caller_id": "+4930000000",
                "answer_window": 2,
                **changes,
            }
        )
        self._prepare(plan)
        self._stories.append(story := Story(plan))
        return story

    def place(self, *originates: Originate) -> None:
        """Send the commands; the switch must take them."""
        assert [reply.outcome for reply in self.line.place(originates)] == [Outcome.ACCEPTED] * len(originates)

    def operator_first(self, subscriber: str, operator: str = "1000", **changes: Any) -> Story:
        story = self.attempt(subscriber, operator, **changes)
        self.place(commands.operator_first(story.plan))
        return story

    def subscriber_first(self, subscriber: str, operator: str = "1000", **changes: Any) -> Story:
        story = self.attempt(subscriber, operator, connect_order="subscriber_first", **changes)
        self.place(commands.subscriber_first(story.plan))
        return story

    def ring_operator(self, story: Story) -> None:
        self.place(commands.ring_operator(story.plan))

    def coach(self, story: Story, mode: str, extension: str = "5000") -> CoachPlan:
        """Ring a supervisor's phone for the operator's leg of a story."""
        if extension in phones():
            self.behaves(extension)
        plan = CoachPlan(
            coaching_id=17, job_uuid=uuid4(), leg_uuid=uuid4(), target_uuid=story.plan.operator_uuid,
            extension=extension, mode=mode, caller_name="Olena Operator", timeout=5,
        )  # fmt: skip
        story.add_supervisor(plan)
        self.place(commands.coach(plan))
        return plan

    def hear(self, story: Story, kind: type[T], who: str = "") -> T:
        """Return the first event of this kind in a story, as soon as it has come."""
        self._listen(story, lambda: bool(story.all(kind, who)), f"{kind.__name__} of {who or 'anybody'}")
        return story.all(kind, who)[0]

    def hear_all(self, story: Story, *, quiet: float = 0.3) -> Story:
        """Hear a story to its end: every leg that was created has gone, every job that was sent is done."""

        def over() -> bool:
            created = {event.leg for event in story.all(LegCreated)}
            ended = {event.leg for event in story.all(LegHungUp)} & {event.leg for event in story.all(LegDestroyed)}
            return created <= ended and bool(story.all(JobDone))

        self._listen(story, over, "the end of all")
        self.pass_time(quiet)
        assert over(), [f"{story.who(event)} {_word(event)}" for event in story.told]
        return story

    def pass_time(self, seconds: float) -> None:
        """Hear what comes in so many seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._keep(self.ears.receive(left))

    def _listen(self, story: Story, done: Callable[[], bool], awaited: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            event = self.ears.receive(max(0.0, deadline - time.monotonic()))
            told = [f"{story.who(event)} {_word(event)}" for event in story.told]
            assert event is not None, f"{awaited} did not come; heard: {told}"
            self._keep(event)

    def _keep(self, event: SwitchEvent | None) -> None:
        for story in self._stories:
            if event is not None and story.concerns(event):
                story.told.append(event)

    def receive(self, kind: type[T], matching: Callable[[T], bool] = lambda event: True) -> T:
        """Return the next event of this kind, whatever else is told before."""
        deadline = time.monotonic() + PATIENCE
        while (event := self.ears.receive(max(0.0, deadline - time.monotonic()))) is not None:
            if isinstance(event, kind) and matching(event):
                return event
        raise AssertionError(f"{kind.__name__} did not come.")

    def receive_raw(self, name: str, leg: UUID) -> Event:
        """Return the next event of this name that ``raw``, which must have asked for it, hears of a leg."""
        deadline = time.monotonic() + PATIENCE
        while (event := self.raw.receive(max(0.0, deadline - time.monotonic()))) is not None:
            if event.name == name and event.get("Unique-ID") == str(leg):
                return event
        raise AssertionError(f"{name} did not come.")

    def variable(self, leg: UUID, name: str) -> str | None:
        """Return a variable as it stands on a leg; ``None`` when it has none of that name."""
        found = self.raw.api(f"uuid_getvar {leg} {name}")
        return None if found == "_undef_" else found

    # --- the switch -----------------------------------------------------------------------------------------------

    @contextmanager
    def limit(self, which: str, most: int) -> Iterator[None]:
        """Set ``sps`` or ``max_sessions`` for a while; a new rate counts from the next second on."""
        before = self.raw.api(f"fsctl {which}").split()[-1]
        self.raw.api(f"fsctl {which} {most}")
        try:
            time.sleep(1.1 if which == "sps" else 0)
            yield
        finally:
            self.raw.api(f"fsctl {which} {before}")
            time.sleep(1.1 if which == "sps" else 0)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.raw.api("fsctl pause")
        try:
            yield
        finally:
            self.raw.api("fsctl resume")

    @staticmethod
    def soon(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something is so: the lists of a switch lag behind its events."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "It did not come true."
            time.sleep(0.1)

    def _prepare(self, plan: CallPlan) -> None:
        """Let those whom the plan calls behave as their numbers say."""
        for dial in (plan.operator_dial, plan.subscriber_dial):
            kind, _, rest = dial.partition("/")
            who = rest.split("/")[-1 if kind == "sofia" else 0]
            if (kind == "user" and who in phones()) or (kind != "user" and len(who) >= 9):
                self.behaves(who)

    @abstractmethod
    def sound(self, story: Story, coaching: CoachPlan | Coaching) -> set[str]:
        """Return who hears whom now: ``call`` if the supervisor hears the call, and who of the two hears him."""

    @abstractmethod
    def behaves(self, who: str) -> None:
        """Let the owner of an extension or of a number behave as his number says."""

    @abstractmethod
    def register(self, extension: str) -> None:
        """Let a phone register again."""

    @abstractmethod
    def unregister(self, extension: str) -> None: ...

    @abstractmethod
    def dial_service_number(self, extension: str, status: str) -> None:
        """Let a phone dial the number by which its owner says how he is."""


class SimulatedStage(Stage):
    def __init__(self, simulator: SimulatorThread) -> None:
        self._simulator = simulator
        super().__init__(SwitchNode(simulator.host, simulator.port, simulator.password))

    def sound(self, story: Story, coaching: CoachPlan | Coaching) -> set[str]:
        target, heard_by = self._simulator.listening(str(coaching.leg_uuid))
        call = {"call"} if target == str(story.plan.operator_uuid) else set()
        return call | {story.legs[UUID(leg)] for leg in heard_by}

    @staticmethod
    def simulator() -> SimulatorThread:
        """Return a simulated switch that has the gateway, the phones and the directory of the real one."""
        return SimulatorThread(
            Scenario(
                switch=SwitchPlan(heartbeat=0),
                operators=OperatorPlan(extensions=(*phones(), NO_PHONE)),
                gateways={"contract": GatewayPlan()},
            )
        )

    def behaves(self, who: str) -> None:
        if who in phones():
            self._simulator.operator(who).behaves(behaviour(phones()[who]))
        else:
            self._simulator.subscriber(who).behaves(behaviour(who))

    def register(self, extension: str) -> None:
        self._simulator.operator(extension).register()

    def unregister(self, extension: str) -> None:
        self._simulator.operator(extension).unregister()

    def dial_service_number(self, extension: str, status: str) -> None:
        self._simulator.fire("dialer::status", extension=extension, status=status)


class RealStage(Stage):
    def sound(self, story: Story, coaching: CoachPlan | Coaching) -> set[str]:
        """Listen at the phones themselves, for longer than a tone of the call and its pause last."""
        numbers = {phones()[story.plan.operator_dial.partition("/")[2]]: "operator", phones()["5000"]: "call"}
        numbers[story.plan.subscriber_dial.rpartition("/")[2]] = "subscriber"
        self.raw.subscribe(["DETECTED_TONE"])
        rows = commands.read_rows(self.raw.api(commands.SHOW_CHANNELS))
        keys = {}
        for row in rows:
            if row["direction"] != "inbound" or row["dest"] not in numbers:
                continue
            who = numbers[row["dest"]]
            keys[key := f"{who}-{uuid4()}"] = who
            hum = TONE_OF_THE_CALL if who == "call" else HUM
            self.raw.api(f"uuid_broadcast {row['uuid']} stop_tone_detect::")
            self.raw.api(f"uuid_broadcast {row['uuid']} 'tone_detect::{key} {hum} r'")
        assert set(keys.values()) == {"operator", "subscriber", "call"}
        found, deadline = set(), time.monotonic() + 2.0
        while (event := self.raw.receive(max(0.0, deadline - time.monotonic()))) is not None:
            found.add(keys.get(event.get("Detected-Tone"), ""))
        return found - {""}

    def behaves(self, who: str) -> None:
        """The dialplan of the switch sees to it."""

    def register(self, extension: str) -> None:
        self.raw.api(f"sofia profile external register phone-{extension}")

    def unregister(self, extension: str) -> None:
        self.raw.api(f"sofia profile external unregister phone-{extension}")

    def dial_service_number(self, extension: str, status: str) -> None:
        self.raw.bgapi(
            f"originate {{contract_extension={extension},contract_status='{status}'}}loopback/9/contract &hangup()",
            uuid4(),
        )
