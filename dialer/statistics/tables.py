"""Statistics as tables: one description for the page, for REST and for files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytz
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dialer.models import Outcome
from dialer.statistics.queries import COUNTS, DUTY, PARTS, Asked, Counts, Figures, occupancy
from dialer.statistics.ranges import Step

Cell = str | int | float | datetime | None
Text = str | Promise


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name for programs, its title for people, and what its cells are.

    ``kind``: text, instant, count, seconds, percent, or id, which people are not shown.
    """

    name: str
    title: Text
    kind: str = "count"
    hint: Text = ""
    words: Mapping[Any, Text] = field(default_factory=dict)
    """What cells are called, where programs are told a code."""


@dataclass(slots=True)
class Table:
    """Rows under columns; ``total`` is one row more, of all of them, without texts."""

    name: str
    title: Text
    columns: Sequence[Column]
    rows: list[list[Cell]]
    note: Text
    total: list[Cell] = field(default_factory=list)

    def as_dicts(self) -> list[dict[str, Cell]]:
        return [self._as_dict(row) for row in self.rows]

    def total_as_dict(self) -> dict[str, Cell]:
        return self._as_dict(self.total)

    def _as_dict(self, row: Sequence[Cell]) -> dict[str, Cell]:
        return {column.name: cell for column, cell in zip(self.columns, row, strict=True)}


_ATTEMPTS = Column("attempts", gettext_lazy("Attempts"), hint=gettext_lazy("Those that are live are among them."))
_DIALLED = Column("dialled", gettext_lazy("Dialled"), hint=gettext_lazy("The subscriber's phone was called."))
_CONNECTED = Column("connected", gettext_lazy("Connected"), hint=gettext_lazy("The two talked."))
_SUCCESS = Column("success", gettext_lazy("Success"))
_RATE = Column(
    "connect_rate", gettext_lazy("Connect rate"), "percent", gettext_lazy("Connected, of those that were dialled.")
)
_TALK = Column("talk_seconds", gettext_lazy("Talk"), "seconds", gettext_lazy("Of calls that are over."))

_OF_ATTEMPTS = (
    _ATTEMPTS,
    Column("live", gettext_lazy("Live"), hint=gettext_lazy("Those that have not ended.")),
    _DIALLED,
    Column("answered", gettext_lazy("Answered"), hint=gettext_lazy("By the subscriber.")),
    _CONNECTED,
    _SUCCESS,
    Column("abandoned", gettext_lazy("Abandoned"), hint=gettext_lazy("Answered, and no operator took it.")),
    _TALK,
    _RATE,
)

PART_TITLES: dict[str, Text] = {
    "waiting": gettext_lazy("Waiting for a subscriber and a line"),
    "sending": gettext_lazy("Giving the order to call"),
    "switch": gettext_lazy("Until a phone rings"),
    "operator_rings": gettext_lazy("The operator's phone rings"),
    "subscriber_rings": gettext_lazy("The subscriber is called"),
    "connecting": gettext_lazy("Connecting the two"),
    "total": gettext_lazy("In all"),
}

COLUMNS: dict[str, tuple[Column, ...]] = {
    "calls": (Column("since", gettext_lazy("From"), "instant"), *_OF_ATTEMPTS),
    "hours_of_day": (Column("hour", gettext_lazy("Hour"), "text"), _ATTEMPTS, _DIALLED, _CONNECTED, _SUCCESS, _RATE),
    "causes": (
        Column("cause", gettext_lazy("Cause"), "text"),
        Column("outcome", gettext_lazy("Outcome"), "text", words=dict(Outcome.choices)),
        Column("attempts", gettext_lazy("Attempts")),
        Column("share", gettext_lazy("Share"), "percent", gettext_lazy("Of the attempts that have ended.")),
    ),
    "dispositions": (
        Column("disposition", gettext_lazy("Disposition"), "text", words={"": gettext_lazy("none")}),
        Column("calls", gettext_lazy("Calls"), hint=gettext_lazy("Attempts that were connected.")),
        Column("share", gettext_lazy("Share"), "percent", gettext_lazy("Of the connected calls.")),
    ),
    "numbers": (
        Column("position", gettext_lazy("Number"), words={0: gettext_lazy("removed since")}),
        _DIALLED, _CONNECTED, _SUCCESS, _RATE,
    ),
    "tries": (
        Column("attempt", gettext_lazy("Counted attempt")),
        _SUCCESS,
        Column("share", gettext_lazy("Share"), "percent", gettext_lazy("Of all successes.")),
        Column("up_to", gettext_lazy("Up to here"), "percent", gettext_lazy("Of all successes, with those before.")),
    ),
    "operators": (
        Column("operator", gettext_lazy("Operator's id"), "id"),
        Column("name", gettext_lazy("Operator"), "text"),
        Column("attempts", gettext_lazy("Attempts")),
        Column("connected", gettext_lazy("Calls"), hint=gettext_lazy("Attempts that were connected.")),
        _SUCCESS,
        Column("waiting", gettext_lazy("Waiting"), "seconds"),
        Column("ringing", gettext_lazy("Ringing"), "seconds",
               gettext_lazy("From being reserved until the two talk, or nobody answers.")),
        Column("talking", gettext_lazy("Talking"), "seconds"),
        Column("wrap_up", gettext_lazy("Wrap-up"), "seconds"),
        Column("not_ready", gettext_lazy("Not ready"), "seconds",
               gettext_lazy("On demand, and he has not said that he is ready.")),
        Column("on_break", gettext_lazy("On break"), "seconds"),
        Column("occupancy", gettext_lazy("Occupancy"), "percent",
               gettext_lazy("Ringing, talking and wrap-up, of these and waiting together.")),
    ),
    "next_call": (
        Column("part", gettext_lazy("Part"), "text", words=PART_TITLES),
        Column("mean", gettext_lazy("Mean"), "seconds"),
        Column("median", gettext_lazy("Median"), "seconds"),
        Column("p95", gettext_lazy("95 % within"), "seconds"),
        Column("share", gettext_lazy("Share"), "percent", gettext_lazy("Of the mean time to the next call.")),
    ),
}  # fmt: skip
"""The columns of each table."""

TITLES: dict[str, Text] = {
    "calls": gettext_lazy("Calls over time"),
    "hours_of_day": gettext_lazy("Connect rate by hour of day"),
    "causes": gettext_lazy("Causes"),
    "dispositions": gettext_lazy("Results by disposition"),
    "numbers": gettext_lazy("Connect rate by number"),
    "tries": gettext_lazy("Attempts to success"),
    "operators": gettext_lazy("Operators"),
    "next_call": gettext_lazy("Time to the next call"),
}


def build(asked: Asked, figures: Figures, step: Step, *, operators: bool = True) -> dict[str, Table]:
    """Return all tables by name; those of the operators only for who may see them."""
    rows: dict[str, list[list[Cell]]] = {
        "calls": _calls(asked, figures, step),
        "hours_of_day": _hours_of_day(asked, figures),
        "causes": _causes(figures),
        "dispositions": _dispositions(figures),
        "numbers": [
            [place, *(int(counts[word]) for word in ("dialled", "connected", "success")), rate(counts)]
            for place, counts in figures.numbers
        ],
        "tries": _tries(figures),
        "operators": [_duty([him.operator, him.name], him.counts, him.seconds) for him in figures.operators],
        "next_call": _next_call(figures),
    }  # fmt: skip
    notes: dict[str, Text] = {
        "calls": _("An attempt is told where it was reserved."),
        "hours_of_day": _("On the wall clock of %s.") % asked.range.zone,
        "dispositions": _("What operators called their connected calls."),
        "numbers": _("A subscriber's numbers in the order in which they were entered."),
        "tries": _("With which of his counted attempts a subscriber was a success."),
        "operators": _("Attempts are those asked for; an operator's time is all his time, for whichever campaign."),
        "next_call": _("Of connected calls, from the operator's release to the talk; the means add up."),
    }
    found = {
        name: Table(name, TITLES[name], columns, rows[name], notes.get(name, ""))
        for name, columns in COLUMNS.items()
        if operators or name != "operators"
    }
    found["calls"].total = [None, *_counts(figures.total)]
    if operators:
        counts, seconds = _team(figures)
        found["operators"].total = _duty([None, None], counts, seconds)
    return found


def rate(counts: Counts) -> float | None:
    """Return how many percent of the dialled were connected; ``None`` when nobody was."""
    return _percent(counts["connected"], counts["dialled"])


def _percent(part: float, whole: float) -> float | None:
    return round(100 * part / whole, 2) if whole else None


def _counts(counts: Counts) -> list[Cell]:
    return [
        *(round(counts[word], 3) if word == "talk_seconds" else int(counts[word]) for word in COUNTS),
        rate(counts),
    ]


def _merged(
    keys: Sequence[Any], figures: Figures, key: Callable[[datetime], Any]
) -> list[tuple[Any, Counts]]:  # fmt: skip
    """Return counts by other whiles than hours, those without attempts too."""
    sums: dict[Any, Counts] = {one: dict.fromkeys(COUNTS, 0) for one in keys}
    for hour, counts in figures.hours:
        for word, count in counts.items():
            sums[key(hour)][word] += count
    return list(sums.items())


def _calls(asked: Asked, figures: Figures, step: Step) -> list[list[Cell]]:
    begins = asked.range.steps(step)
    # The first hour may begin before the while, and the day before that hour.
    merged = _merged(begins, figures, lambda hour: begins[max(0, bisect_right(begins, hour) - 1)])
    return [[since, *_counts(counts)] for since, counts in merged]


def _hours_of_day(asked: Asked, figures: Figures) -> list[list[Cell]]:
    there = pytz.timezone(asked.range.zone)
    words = ("attempts", "dialled", "connected", "success")
    return [
        [f"{hour:02}:00", *(int(counts[word]) for word in words), rate(counts)]
        for hour, counts in _merged(range(24), figures, lambda hour: hour.astimezone(there).hour)
    ]


def _causes(figures: Figures) -> list[list[Cell]]:
    ended = sum(count for _cause, _outcome, count in figures.causes)
    return [[cause, outcome, count, _percent(count, ended)] for cause, outcome, count in figures.causes]


def _dispositions(figures: Figures) -> list[list[Cell]]:
    if not any(name for name, _count in figures.dispositions):
        return []
    calls = sum(count for _name, count in figures.dispositions)
    return [[name, count, _percent(count, calls)] for name, count in figures.dispositions]


def _tries(figures: Figures) -> list[list[Cell]]:
    whole, before = sum(count for _place, count in figures.tries), 0
    rows: list[list[Cell]] = []
    for place, count in figures.tries:
        before += count
        rows.append([place, count, _percent(count, whole), _percent(before, whole)])
    return rows


def _duty(who: Sequence[Cell], counts: Counts, seconds: Counts) -> list[Cell]:
    busy = occupancy(seconds)
    return [
        *who, *(int(counts[word]) for word in ("attempts", "connected", "success")),
        *(round(seconds[word], 3) for word in DUTY), None if busy is None else round(busy, 2),
    ]  # fmt: skip


def _team(figures: Figures) -> tuple[Counts, Counts]:
    """Return the sums of all operators."""
    counts = {word: sum(him.counts[word] for him in figures.operators) for word in ("attempts", "connected", "success")}
    return counts, {word: sum(him.seconds[word] for him in figures.operators) for word in DUTY}


def _next_call(figures: Figures) -> list[list[Cell]]:
    if not figures.parts:
        return []
    whole = figures.parts["total"].mean
    return [
        [word, round(spread.mean, 3), round(spread.median, 3), round(spread.p95, 3),
         _percent(spread.mean, whole)]
        for word, spread in ((word, figures.parts[word]) for word in (*PARTS, "total"))
    ]  # fmt: skip
