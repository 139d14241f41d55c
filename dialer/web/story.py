"""The story of an attempt: both legs drawn to scale, and each step in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final

from django.db.models import QuerySet
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from campaigns.models import ConnectOrder
from dialer import clock
from dialer.admin import COURSE
from dialer.channel_variables import as_text
from dialer.live import OUTCOME_TONES
from dialer.models import (
    STAGES,
    Attempt,
    Coaching,
    CoachingMode,
    KillReason,
    OperatorTry,
    Outcome,
    ResultReport,
)

WIDTH: Final = 1000
"""Of the drawing, in units of its own."""
THINNEST: Final = 3
TICKS: Final = 6
"""Marks of time below it, at most."""
STEPS_OF_TIME: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
BEFORE_IT: Final = {"operator_free_at", "member_due_at"}
"""Instants that may lie long before an attempt."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a leg's bar."""

    x: float
    width: float
    tone: str
    told: str


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg, or the legs of several operators one after the other."""

    name: str
    who: str
    cause: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Step:
    """What happened, and how long after the reservation."""

    at: datetime
    after: str
    told: str
    more: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """An attempt as its subscriber's page shows it."""

    attempt: Attempt
    number: str
    label: str
    tone: str
    legs: Sequence[Leg]
    ticks: Sequence[str]
    steps: Sequence[Step]
    facts: Sequence[tuple[str, str]] = field(default=())

    @property
    def talk(self) -> float | None:
        return self.attempt.talk_seconds if self.attempt.talk_ended_at else None


def standing(attempt: Attempt) -> tuple[str, str]:
    """Return the outcome of an attempt, or its stage while it lives, in words, and its tone."""
    if not attempt.outcome:
        return str(STAGES[attempt.stage]), "talk"
    outcome = Outcome(attempt.outcome)
    return str(outcome.label), OUTCOME_TONES.get(outcome, "off")


def told_with(attempts: QuerySet[Attempt]) -> QuerySet[Attempt]:
    """Return attempts with all that their stories tell; four statements more for all of them."""
    return attempts.select_related(
        "operator", "gateway", "node", "route", "communication", "killed_by", "operator_gateway"
    ).prefetch_related("tries__operator", "result_reports__by", "repairs", "coachings__supervisor")


def of(attempt: Attempt) -> Story:
    """Tell the story of an attempt that was read with ``told_with``."""
    now = clock.now()
    tries = sorted(attempt.tries.all(), key=lambda one: one.pk)
    end = max(attempt.ended_at or now, attempt.reserved_at + timedelta(seconds=1))
    step, marks = _scale((end - attempt.reserved_at).total_seconds())
    label, tone = standing(attempt)
    draw = _Drawing(attempt.reserved_at, step * marks)
    return Story(
        attempt=attempt,
        number=str(attempt.communication or attempt.digits),
        label=label,
        tone=tone,
        legs=[_operators(attempt, tries, draw, end), _subscriber(attempt, draw, end)],
        ticks=[_clock(place * step) for place in range(marks + 1)],
        steps=_steps(attempt, tries),
        facts=list(_facts(attempt, tries)),
    )


def _scale(seconds: float) -> tuple[int, int]:
    """Return a round step of seconds, and how many of them hold so long a call."""
    step = next((step for step in STEPS_OF_TIME if seconds <= step * TICKS), ceil(seconds / TICKS / 3600) * 3600)
    return step, max(1, ceil(seconds / step))


def _clock(seconds: int) -> str:
    if seconds < 60:
        return _("%d s") % seconds
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


@dataclass(frozen=True, slots=True)
class _Drawing:
    start: datetime
    seconds: int

    def parts(self, marks: Iterable[tuple[datetime | None, str, str]], end: datetime) -> list[Part]:
        """Return the parts that begin at these instants (those that there are), each until the next, the last until
        ``end``."""
        known = [(instant, tone, told) for instant, tone, told in marks if instant is not None]
        found = []
        for place, (instant, tone, told) in enumerate(known):
            until = max(instant, min(known[place + 1][0] if place + 1 < len(known) else end, end))
            length = (until - instant).total_seconds()
            if length:
                x = self._x(instant)
                width = max(self._x(until) - x, THINNEST)
                found.append(Part(round(x, 1), round(width, 1), tone, f"{told}: " + _("%.1f s") % length))
        return found

    def _x(self, instant: datetime) -> float:
        share = (instant - self.start).total_seconds() / self.seconds
        return WIDTH * min(max(share, 0.0), 1.0)


def _operators(attempt: Attempt, tries: Sequence[OperatorTry], draw: _Drawing, end: datetime) -> Leg:
    parts: list[Part] = []
    for one in tries:
        who = one.operator.name
        parts += draw.parts(
            [
                (one.sending_at, "held", _("%s is rung") % who),
                (one.ringing_at, "ring", _("%s's phone rings") % who),
                (one.answered_at, "wrap", _("%s has answered") % who),
            ],
            one.ended_at,
        )
    operator_first = attempt.connect_order == ConnectOrder.OPERATOR_FIRST
    if attempt.seeking_since is None or attempt.operator_answered_at:
        parts += draw.parts(
            [
                (attempt.reserved_at if operator_first else attempt.operator_reserved_at, "off", _("reserved")),
                (attempt.sending_at if operator_first else attempt.operator_sending_at, "held", _("sent")),
                (attempt.operator_ringing_at, "ring", _("his phone rings")),
                (attempt.operator_answered_at, "wrap", _("answered, waits")),
                (attempt.bridged_at, "talk", _("talk")),
                (attempt.talk_ended_at, "off", _("after the talk")),
            ],
            attempt.operator_ended_at or attempt.talk_ended_at or end,
        )
    return Leg(_("Operator"), attempt.operator.name, attempt.operator_cause, parts)


def _subscriber(attempt: Attempt, draw: _Drawing, end: datetime) -> Leg:
    parts = draw.parts(
        [
            (attempt.subscriber_created_at, "held", _("dialled")),
            (attempt.subscriber_ringing_at, "ring", _("his phone rings, or early media")),
            (attempt.subscriber_answered_at, "break", _("answered, waits")),
            (attempt.bridged_at if attempt.subscriber_created_at else None, "talk", _("talk")),
            (attempt.talk_ended_at if attempt.subscriber_created_at else None, "off", _("after the talk")),
        ],
        attempt.subscriber_ended_at or attempt.talk_ended_at or end,
    )
    return Leg(_("Subscriber"), str(attempt.communication or attempt.digits), attempt.subscriber_cause, parts)


def _steps(attempt: Attempt, tries: Sequence[OperatorTry]) -> list[Step]:
    """Tell all that happened, in its order: the switch's instants, operators who did not take it, results, repairs."""
    found: list[tuple[datetime, str, str, str]] = []
    more = {
        "operator_ended_at": attempt.operator_cause,
        "subscriber_ended_at": attempt.subscriber_cause,
        "ended_at": attempt.cause,
        "kill_sent_at": _killed(attempt),
    }
    for name, word in COURSE.items():
        instant = getattr(attempt, name)
        if instant is not None and name not in BEFORE_IT:
            found.append((instant, capfirst(str(word)), more.get(name, ""), ""))
    for one in tries:
        told = _("%s was rung for him and did not take the call") % one.operator.name
        found.append((one.sending_at or one.reserved_at, told, one.cause, "warn"))
    for report in attempt.result_reports.all():
        told = _("Result reported by %s") % report.by if report.by else _("Result reported")
        found.append((report.received_at, told, _reported(report), _tone_of(report)))
    found += [
        (repair.at, _("Repaired by later evidence: %s") % repair.kind, repair.detail, "warn")
        for repair in attempt.repairs.all()
    ]
    found.sort(key=lambda step: step[0])
    return [
        Step(instant, _("%+.1f s") % (instant - attempt.reserved_at).total_seconds(), told, extra, tone)
        for instant, told, extra, tone in found
    ]


def _killed(attempt: Attempt) -> str:
    if not attempt.kill_reason:
        return ""
    told = str(KillReason(attempt.kill_reason).label)
    return f"{told}: {attempt.killed_by}" if attempt.killed_by else told


def _reported(report: ResultReport) -> str:
    told = [str(report.get_verdict_display()), report.reason]
    body = report.body if isinstance(report.body, dict) else {}
    told += [f"{name}: {as_text(value)}" for name, value in body.items() if name != "attempt"]
    return " · ".join(filter(None, told))


def _tone_of(report: ResultReport) -> str:
    return "bad" if report.verdict == ResultReport.Verdict.REFUSED else "good"


def _facts(attempt: Attempt, tries: Sequence[OperatorTry]) -> Iterable[tuple[str, str]]:
    """Yield what else is known: each with its name."""
    yield _("Hung up first"), _first_to_hang_up(attempt)
    if attempt.cause:
        yield _("Counted"), _("yes") if attempt.counted else _("no")
    wait = attempt.answer_to_bridge
    if wait is not None:
        yield _("Answer to bridge"), _("%.1f s") % wait
    if attempt.result_state:
        yield _("Result"), str(attempt.get_result_state_display())
    if attempt.disposition:
        yield _("Disposition"), attempt.disposition
    for coaching in sorted(attempt.coachings.all(), key=lambda one: one.pk):
        yield _("Supervisor on the call"), _coached(coaching)
    if attempt.comment:
        yield _("Comment"), attempt.comment
    if attempt.recording:
        yield _("Recording"), attempt.recording
    if attempt.connect_order != ConnectOrder.OPERATOR_FIRST:
        yield _("Connect order"), str(attempt.get_connect_order_display())
        yield _("Operators tried"), ", ".join([*(one.operator.name for one in tries), attempt.operator.name])
    yield _("Gateway"), attempt.gateway.name
    if attempt.operator_gateway:
        yield _("Operator's gateway"), attempt.operator_gateway.name
    if attempt.node:
        yield _("Switch"), attempt.node.name
    if attempt.variables_left_out:
        yield _("Variables left out"), ", ".join(map(str, attempt.variables_left_out))


def _coached(coaching: Coaching) -> str:
    """Tell who it was, and what he did, in order."""
    who = str(coaching.supervisor or "–")
    if coaching.answered_at is None:
        return f"{who}: " + (_("his phone did not answer") if coaching.ended_at else _("his phone rings"))
    return f"{who}: " + ", ".join(str(CoachingMode(mode).label) for mode, _at in coaching.modes)


def _first_to_hang_up(attempt: Attempt) -> str:
    if attempt.kill_reason:
        return _("we did (%s)") % _killed(attempt)
    named: dict[str, Any] = {"operator": _("the operator"), "subscriber": _("the subscriber")}
    if attempt.ended_by:
        return str(named[attempt.ended_by])
    return _("the switch, or nobody told") if attempt.ended_at else _("under way")
