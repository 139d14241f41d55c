"""What a simulated day is like: read from TOML, strictly, with errors that name the key.

Spans are seconds of rule time, shares are from 0 to 1. Only the tables ``[switch]``, ``[subscribers]``,
``[operators]``, ``[gateways]`` and ``[faults]`` are ours; other tables of the file belong to whoever else reads it.

A span is a number, or a table: ``{min, max}`` spreads it evenly; with ``mean`` it is exponential, cut to ``min`` and
``max``. Outcomes are a table of weights: ``answer``, ``busy``, ``no_answer``, ``rejected``, ``unallocated``, or any
hangup cause of the switch by name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

from dialer.simulator.causes import CAUSES, WITH_LONE_DESTROY, WITHOUT_CHANNEL

SHIPPED: Final = Path(__file__).parent / "scenarios"
ANSWER: Final = "answer"
NO_ANSWER: Final = "NO_ANSWER"
LOST: Final = "LOST"
"""A way to fail: the command is taken, and nothing is heard of it ever."""

_NAMES = {
    "busy": "USER_BUSY",
    "no_answer": NO_ANSWER,
    "rejected": "CALL_REJECTED",
    "unallocated": "UNALLOCATED_NUMBER",
}
_FAULT_WAYS = {
    "DESTINATION_OUT_OF_ORDER": 1.0,
    "INVALID_GATEWAY": 1.0,
    "NETWORK_OUT_OF_ORDER": 1.0,
    "NORMAL_TEMPORARY_FAILURE": 1.0,
}
_TABLES = ("switch", "subscribers", "operators", "gateways", "faults")

T = TypeVar("T")


class ScenarioError(Exception):
    """A scenario cannot be read; the message names the file and the key, and says what it takes."""


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time that differs from call to call, in seconds of rule time."""

    min: float
    max: float
    mean: float | None = None
    """Exponential with this mean; without it, even."""

    def draw(self, dice: Random) -> float:
        if self.mean is None:
            return dice.uniform(self.min, self.max)
        return min(self.max, max(self.min, dice.expovariate(1 / self.mean)))


@dataclass(frozen=True, slots=True)
class Weights:
    """Names to choose from by weight."""

    of: Mapping[str, float]

    def draw(self, dice: Random) -> str:
        return dice.choices(list(self.of), list(self.of.values()))[0]


@dataclass(frozen=True, slots=True)
class Restart:
    """The switch stops ``at`` seconds after its start, is away for ``down`` seconds, and begins with nothing."""

    at: float
    down: float = 5.0
    graceful: bool = False
    """Hang up every leg with SYSTEM_SHUTDOWN and say goodbye. Else all is gone at once."""


@dataclass(frozen=True, slots=True)
class SwitchPlan:
    hostname: str = "simulator"
    domain: str = "simulator.invalid"
    sessions_per_second: int = 500
    max_sessions: int = 5000
    heartbeat: float = 20.0
    profiles: tuple[str, ...] = ("internal", "external")
    restarts: tuple[Restart, ...] = ()
    disconnects: tuple[float, ...] = ()
    """Seconds after the start at which every client loses its connection; calls go on."""


@dataclass(frozen=True, slots=True)
class SubscriberPlan:
    """How the people behind the numbers behave."""

    outcomes: Weights = Weights({ANSWER: 0.35, NO_ANSWER: 0.35, "USER_BUSY": 0.2, "CALL_REJECTED": 0.1})
    ring: Span = Span(2, 20)
    """From the creation of the leg to the answer or refusal."""
    talk: Span = Span(5, 120, 40)
    """From the bridge until one of the two hangs up."""
    hangs_up: float = 0.7
    """Share of conversations that the subscriber ends; the operator ends the others."""
    patience: Span = Span(8, 30)
    """From his answer until he hangs up if nobody speaks to him."""
    early_media: float = 0.1
    """Share of calls whose network says something (183) before the answer."""


@dataclass(frozen=True, slots=True)
class OperatorPlan:
    """How the operators behave, and their phones."""

    extensions: tuple[str, ...] = ("1001-1100",)
    """The users of the directory: extensions and ranges of them."""
    outcomes: Weights = Weights({ANSWER: 1.0})
    answer: Span = Span(0.5, 4)
    """From the creation of the leg to the answer or refusal."""
    leaves_early: float = 0.0
    """Share of answered rings after which he hangs up if he is not bridged within ``leaves_after``."""
    leaves_after: Span = Span(1, 10)
    registered: bool = True
    """Whether the phones are registered at the start."""
    flapping: float = 0.0
    """Share of periods in which a phone loses its registration."""
    period: float = 300.0
    away: Span = Span(5, 60)
    """How long a phone that has lost its registration stays away."""

    def all_extensions(self) -> list[str]:
        found: list[str] = []
        for item in self.extensions:
            first, dash, last = item.partition("-")
            found += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)] if dash else [item]
        return found


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """The carrier behind a gateway."""

    capacity: int = 0
    """Calls that it carries at once; 0: any number."""
    full: str = "NORMAL_CIRCUIT_CONGESTION"
    """The cause with which it refuses calls over its capacity."""
    congested: float = 0.0
    """Share of calls that it refuses so although it has room."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What goes wrong between us and the switch, or in it, without anybody's doing."""

    failing_legs: float = 0.0
    """Share of legs that fail before they ring."""
    ways: Weights = Weights(_FAULT_WAYS)
    """Causes by weight, each failing in its own manner; LOST: taken, and never heard of again."""
    refused_commands: float = 0.0
    """Share of background commands answered ``-ERR``: nothing was done."""
    lost_events: float = 0.0
    doubled_events: float = 0.0
    late_events: float = 0.0
    lateness: Span = Span(0.1, 5)


@dataclass(frozen=True)
class Scenario:
    """A day. ``numbers`` are patterns on the digits, the first that matches wins, with a plan of their own."""

    switch: SwitchPlan = field(default_factory=SwitchPlan)
    subscribers: SubscriberPlan = field(default_factory=SubscriberPlan)
    numbers: tuple[tuple[re.Pattern[str], SubscriberPlan], ...] = ()
    operators: OperatorPlan = field(default_factory=OperatorPlan)
    gateways: Mapping[str, GatewayPlan] = field(default_factory=lambda: {"*": GatewayPlan()})
    """By name or pattern of a name (``*``), the first that matches wins; a gateway that none matches is unknown."""
    faults: FaultPlan = field(default_factory=FaultPlan)

    def subscriber_plan(self, digits: str) -> SubscriberPlan:
        return next((plan for pattern, plan in self.numbers if pattern.search(digits)), self.subscribers)

    def gateway(self, name: str) -> GatewayPlan | None:
        return next((plan for pattern, plan in self.gateways.items() if fnmatchcase(name, pattern)), None)

    @cached_property
    def extensions(self) -> frozenset[str]:
        return frozenset(self.operators.all_extensions())


def load(name: str | Path) -> Scenario:
    """Read a scenario from a file, or by the name of one that is shipped; raises ``ScenarioError``."""
    path = Path(name)
    if not path.suffix and not path.exists():
        path = SHIPPED / f"{name}.toml"
    try:
        return parse(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise ScenarioError(f"There is no scenario {name}. Give a file, or one of {shipped}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError(f"{path}: {error}") from None
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


def parse(data: Mapping[str, Any]) -> Scenario:
    """Read a scenario from the tables of a file; tables of others are passed over."""
    ours = {name: _Table(name, data.get(name, {})) for name in _TABLES}
    rows = ours["subscribers"].take("numbers", _list_of_tables, list[Any]())
    tables = [_Table(f"subscribers.numbers[{at}]", row) for at, row in enumerate(rows)]
    subscribers = ours["subscribers"].fill(SubscriberPlan(), _SUBSCRIBERS)
    return Scenario(
        switch=ours["switch"].fill(SwitchPlan(), _SWITCH),
        subscribers=subscribers,
        numbers=tuple(_number(table, subscribers) for table in tables),
        operators=ours["operators"].fill(OperatorPlan(), _OPERATORS),
        gateways=_gateways(data.get("gateways")),
        faults=ours["faults"].fill(FaultPlan(), _FAULTS),
    )


def _number(table: _Table, others: SubscriberPlan) -> tuple[re.Pattern[str], SubscriberPlan]:
    pattern = table.take("pattern", _pattern, None)
    if pattern is None:
        raise ScenarioError(f"{table.name}.pattern is missing: a regular expression on the digits.")
    return pattern, table.fill(others, _SUBSCRIBERS)


def _gateways(data: Any) -> Mapping[str, GatewayPlan]:
    if data is None:
        return {"*": GatewayPlan()}
    table = _Table("gateways", data)
    return {name: _Table(f"gateways.{name}", row).fill(GatewayPlan(), _GATEWAY) for name, row in table.rows.items()}


class _Table:
    """One table of the file; what nobody takes from it is an error."""

    def __init__(self, name: str, rows: Any) -> None:
        if not isinstance(rows, dict):
            raise ScenarioError(f"{name} is not a table.")
        self.name = name
        self.rows: dict[str, Any] = dict(rows)

    def take(self, key: str, read: Callable[[Any], T], default: T) -> T:
        if key not in self.rows:
            return default
        try:
            return read(self.rows.pop(key))
        except (TypeError, ValueError) as error:
            raise ScenarioError(f"{self.name}.{key}: {error}") from None

    def fill(self, plan: T, readers: Mapping[str, Callable[[Any], Any]]) -> T:
        """Return the plan with what the table says; every key must be one of the plan's."""
        names = [name.name for name in fields(plan)]  # type: ignore[arg-type]
        if unknown := self.rows.keys() - set(names):
            raise ScenarioError(f"{self.name}.{min(unknown)} is unknown. Known here: {', '.join(names)}.")
        found = {name: self.take(name, readers[name], getattr(plan, name)) for name in names}
        return replace(plan, **found)  # type: ignore[type-var]


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ValueError(f"{value!r} is not a number of seconds.")
    return float(value)


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is not a share from 0 to 1.")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a whole number from 0.")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a text.")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not true or false.")
    return value


def _pattern(value: Any) -> re.Pattern[str]:
    try:
        return re.compile(_text(value))
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}.") from None


def _span(value: Any) -> Span:
    if not isinstance(value, dict):
        return Span(_seconds(value), _seconds(value))
    if unknown := value.keys() - {"min", "max", "mean"}:
        raise ValueError(f"“{min(unknown)}” is unknown. A span has min, max and perhaps mean.")
    if "max" not in value:
        raise ValueError("a span has min, max and perhaps mean; max is missing.")
    span = Span(
        _seconds(value.get("min", 0)), _seconds(value["max"]), _seconds(value["mean"]) if "mean" in value else None
    )
    if span.min > span.max or span.mean == 0:
        raise ValueError("min is over max, or mean is 0.")
    return span


def _weights(value: Any, name: Callable[[str], str]) -> Weights:
    if not isinstance(value, dict) or not value:
        raise ValueError("a table of weights is wanted, for example {answer = 0.4, busy = 0.6}.")
    found = {}
    for key, weight in value.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0:
            raise ValueError(f"{key}: {weight!r} is not a weight from 0.")
        found[name(key)] = float(weight)
    if not sum(found.values()):
        raise ValueError("all weights are 0.")
    return Weights(found)


def _outcome(name: str) -> str:
    cause = _NAMES.get(name, name)
    if cause != ANSWER and (cause not in CAUSES or cause in WITHOUT_CHANNEL | WITH_LONE_DESTROY):
        known = ", ".join((ANSWER, *_NAMES))
        raise ValueError(f"“{name}” is none of {known}, nor a cause that a phone or carrier gives.")
    return cause


def _cause(value: Any) -> str:
    if value not in CAUSES:
        raise ValueError(f"{value!r} is not a hangup cause of the switch.")
    return str(value)


def _outcomes(value: Any) -> Weights:
    return _weights(value, _outcome)


def _ways(value: Any) -> Weights:
    return _weights(value, lambda name: name if name == LOST else _cause(name))


def read_extensions(value: Any) -> tuple[str, ...]:
    """Check extensions and ranges of them; ``ValueError`` on anything else."""
    items = value if isinstance(value, list) else [value]
    for item in items:
        if not isinstance(item, str) or not re.fullmatch(r"[0-9]+-[0-9]+|[A-Za-z0-9_.+*#]+", item):
            raise ValueError(f"{item!r} is not an extension (“1001”) or a range of them (“1001-1020”).")
    return tuple(items)


def _list_of_tables(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("a list of tables is wanted: [[subscribers.numbers]].")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of texts is wanted.")
    return tuple(map(_text, value))


def _instants(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of seconds is wanted.")
    return tuple(sorted(map(_seconds, value)))


def _restarts(value: Any) -> tuple[Restart, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of tables is wanted, for example [{at = 300, down = 5, graceful = true}].")
    readers = {"at": _seconds, "down": _seconds, "graceful": _truth}
    try:
        found = [_Table(f"[{at}]", row).fill(Restart(at=-1), readers) for at, row in enumerate(value)]
    except ScenarioError as error:
        raise ValueError(str(error)) from None
    if any(restart.at < 0 for restart in found):
        raise ValueError("at is missing: the seconds after the start.")
    return tuple(sorted(found, key=lambda restart: restart.at))


_SWITCH = {
    "hostname": _text,
    "domain": _text,
    "sessions_per_second": _count,
    "max_sessions": _count,
    "heartbeat": _seconds,
    "profiles": _texts,
    "restarts": _restarts,
    "disconnects": _instants,
}
_SUBSCRIBERS = {
    "outcomes": _outcomes,
    "ring": _span,
    "talk": _span,
    "hangs_up": _share,
    "patience": _span,
    "early_media": _share,
}
_OPERATORS = {
    "extensions": read_extensions,
    "outcomes": _outcomes,
    "answer": _span,
    "leaves_early": _share,
    "leaves_after": _span,
    "registered": _truth,
    "flapping": _share,
    "period": _seconds,
    "away": _span,
}
_GATEWAY = {"capacity": _count, "full": _cause, "congested": _share}
_FAULTS = {
    "failing_legs": _share,
    "ways": _ways,
    "refused_commands": _share,
    "lost_events": _share,
    "doubled_events": _share,
    "late_events": _share,
    "lateness": _span,
}
