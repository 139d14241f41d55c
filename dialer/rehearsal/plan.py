"""What a rehearsal plays: the ``[rehearsal]`` tables of a scenario, read strictly, with errors that name the key.

Spans and instants are seconds of rule time; instants count from the moment the campaigns begin. The other tables of
the file say how the switch and the people behave, and belong to the simulator.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

Fields = Mapping[str, Any]


class PlanError(Exception):
    """The plan cannot be read; the message names the file and the key."""


@dataclass(frozen=True, slots=True)
class CalendarPlan:
    """Opening hours, the same on all days, on the wall clock of the zone: ``09:00-12:00, 12:30-18:00``."""

    name: str = "always"
    time_zone: str = "Europe/Kyiv"
    hours: str = "00:00-24:00"


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """Which gateway dials the numbers that a pattern matches."""

    gateway: str
    pattern: str = ""
    campaign: str = ""
    call_timeout: int | None = None


@dataclass(frozen=True, slots=True)
class OperatorsPlan:
    """Operators that are alike: a range of extensions, in campaigns, with any of their parameters."""

    extensions: str
    campaigns: Sequence[str]
    level: int = 1
    contact: str = ""
    """Begin of the outside numbers at which they are called, followed by the extension; through ``gateway``."""
    gateway: str = ""
    parameters: Fields = field(default_factory=dict)

    def numbers(self) -> list[str]:
        first, _, last = self.extensions.partition("-")
        return [str(number) for number in range(int(first), int(last or first) + 1)]


@dataclass(frozen=True, slots=True)
class MembersPlan:
    """Subscribers that are alike: ``numbers`` each, of twelve digits, with these priorities in turn."""

    count: int
    prefix: str
    numbers: int = 1
    priorities: Sequence[int] = (0,)
    zones: Sequence[str] = ("",)
    expire_after: float | None = None


@dataclass(frozen=True, slots=True)
class ResultsPlan:
    """How operators report results, by chance. What is left of ``reported`` is never reported."""

    reported: float = 1.0
    during: float = 0.3
    """Share of reports that come while they still talk."""
    delay: tuple[float, float] = (1.0, 10.0)
    """From the end of the call to the other reports."""
    success: float = 0.5
    reset: float = 0.0
    next_after: float = 0.0
    """Share of failures that say when to call again: in ten seconds."""
    next_number: float = 0.0
    """Share of failures that name a new number for the next attempt."""
    stop_number: float = 0.0
    """Share of failures that stop the number that was called."""


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """A campaign with any of its parameters, its subscribers, and when it is RUN (``None``: by a cue alone)."""

    name: str
    calendar: str
    members: Sequence[MembersPlan]
    causes: Fields = field(default_factory=dict)
    results: ResultsPlan | None = None
    run_at: float | None = 0.0
    parameters: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cue:
    """What somebody does at an instant: ``run`` or ``stop`` a campaign, or ``kill`` a process."""

    at: float
    action: str
    target: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole rehearsal."""

    about: str
    campaigns: Sequence[CampaignPlan]
    operators: Sequence[OperatorsPlan]
    routes: Sequence[RoutePlan]
    gateways: Mapping[str, int]
    """Lines by name."""
    calendars: Sequence[CalendarPlan] = (CalendarPlan(),)
    cues: Sequence[Cue] = ()
    start: datetime = datetime(2025, 3, 5, 8, 0, tzinfo=UTC)
    """Rule time at the beginning."""
    deadline: float = 7200.0
    """Whoever is not done by then is stuck."""
    same_endings: bool = False
    """Whether two runs with one seed end every subscriber the same way."""
    back_after: float | None = None
    """A supervisor takes operators out of a forced break after so long; ``None``: never."""


PROCESSES = ("dial", "worker", "beat", "listener", "simulator", "database", "broker")
"""What may be killed in the middle."""
ACTIONS = ("run", "stop", "kill")


def load(path: str | Path) -> Plan:
    """Read the plan of a scenario file. Raises ``PlanError``."""
    try:
        data = tomllib.loads(Path(path).read_text("utf-8"))
        if "rehearsal" not in data:
            raise PlanError("There is no table [rehearsal]: this scenario says how people behave, not whom to call.")
        return parse(data["rehearsal"])
    except FileNotFoundError:
        raise PlanError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, PlanError) as error:
        raise PlanError(f"{path}: {error}") from None


def parse(data: Fields) -> Plan:
    """Read a plan from the table ``[rehearsal]``. Raises ``PlanError``."""
    plan: Plan = _fill(
        "rehearsal",
        data,
        Plan,
        campaigns=lambda at, rows: _rows(at, rows, _campaign),
        operators=lambda at, rows: _rows(at, rows, _with_parameters(OperatorsPlan)),
        routes=lambda at, rows: _rows(at, rows, lambda its, row: _fill(its, row, RoutePlan)),
        calendars=lambda at, rows: _rows(at, rows, lambda its, row: _fill(its, row, CalendarPlan)),
        cues=lambda at, rows: _rows(at, rows, lambda its, row: _fill(its, row, Cue)),
    )
    _check_names(plan)
    return plan


def kill(text: str) -> Cue:
    """Read ``NAME@SECONDS``, as the command line has it. Raises ``PlanError``."""
    name, _, at = text.partition("@")
    try:
        cue = Cue(float(at), "kill", name)
    except ValueError:
        raise PlanError(f"“{text}”: a kill is NAME@SECONDS, for example dial@30.") from None
    _check_cue(cue, ())
    return cue


def _fill(at: str, data: Any, cls: type[T], **read: Callable[[str, Any], Any]) -> T:
    """Make a dataclass from a table, whose keys must be its fields."""
    if not isinstance(data, Mapping):
        raise PlanError(f"{at} is not a table.")
    known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
    if unknown := data.keys() - known.keys():
        raise PlanError(f"{at}.{min(unknown)} is unknown. Known here: {', '.join(known)}.")
    for name, item in known.items():
        if name not in data and item.default is MISSING and item.default_factory is MISSING:
            raise PlanError(f"{at}.{name} is missing.")
    return cls(**{key: read[key](f"{at}.{key}", value) if key in read else value for key, value in data.items()})


def _rows(at: str, rows: Any, read: Callable[[str, Any], T]) -> list[T]:
    if not isinstance(rows, list):
        raise PlanError(f"{at} is not a list of tables: write [[{at}]].")
    return [read(f"{at}[{place}]", row) for place, row in enumerate(rows)]


def _with_parameters(cls: type[T], **read: Callable[[str, Any], Any]) -> Callable[[str, Any], T]:
    """Let every key that is no field of the dataclass be a parameter of the row that is built."""
    own = {item.name for item in fields(cls)} - {"parameters"}  # type: ignore[arg-type]

    def fill(at: str, data: Any) -> T:
        if not isinstance(data, Mapping):
            raise PlanError(f"{at} is not a table.")
        ours = {key: value for key, value in data.items() if key in own}
        others = {key: value for key, value in data.items() if key not in own}
        return _fill(at, {**ours, "parameters": others}, cls, **read)

    return fill


def _campaign(at: str, data: Any) -> CampaignPlan:
    return _with_parameters(
        CampaignPlan,
        members=lambda its, rows: _rows(its, rows, lambda one, row: _fill(one, row, MembersPlan)),
        results=lambda its, row: _fill(its, row, ResultsPlan),
    )(at, data)


def _check_names(plan: Plan) -> None:
    """Refuse names of what is not in the plan."""
    campaigns = {campaign.name for campaign in plan.campaigns}
    calendars = {calendar.name for calendar in plan.calendars}
    for what, name, known in (
        *(("calendar", campaign.calendar, calendars) for campaign in plan.campaigns),
        *(("gateway", route.gateway, set(plan.gateways)) for route in plan.routes),
        *(("campaign", route.campaign, campaigns | {""}) for route in plan.routes),
        *(("gateway", operators.gateway, {*plan.gateways, ""}) for operators in plan.operators),
        *(("campaign", name, campaigns) for operators in plan.operators for name in operators.campaigns),
    ):
        if name not in known:
            raise PlanError(f"There is no {what} “{name}” in this rehearsal.")
    for cue in plan.cues:
        _check_cue(cue, campaigns)


def _check_cue(cue: Cue, campaigns: set[str] | tuple[()]) -> None:
    if cue.action not in ACTIONS:
        raise PlanError(f"“{cue.action}” is no action; there are {', '.join(ACTIONS)}.")
    known = PROCESSES if cue.action == "kill" else sorted(campaigns)
    if cue.target not in known:
        raise PlanError(f"“{cue.target}” cannot be chosen to {cue.action}; there are {', '.join(known)}.")
