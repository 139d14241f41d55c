"""What people do during a rehearsal beside talking: operators report results, a supervisor ends forced breaks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from agents import actions as agents
from agents.models import Operator, OperatorStatus
from dialer import verbs
from dialer.errors import Refused
from dialer.models import Attempt, ResultState
from dialer.rehearsal.plan import Plan, ResultsPlan


@dataclass(slots=True)
class Report:
    """A result that an operator will report."""

    attempt: int
    campaign: int
    member: int
    body: dict[str, Any]
    delay: float | None
    """From the end of the call; ``None``: while they talk."""


@dataclass(slots=True)
class Reporters:
    """The operators of campaigns that wait for results. What they say follows from seed, subscriber and n-th talk."""

    seed: int
    plans: dict[int, ResultsPlan]
    """By campaign."""
    given: Counter[str] = field(default_factory=Counter)
    """Reports by what became of them."""
    _seen: int = 0
    _talks: Counter[int] = field(default_factory=Counter)
    _known: set[int] = field(default_factory=set)
    _coming: list[Report] = field(default_factory=list)

    def step(self, now: datetime) -> None:
        """Make up what will be said of the calls that were bridged since, and say what is due. A few statements."""
        if not self.plans:
            return
        for attempt in (
            Attempt.objects.filter(campaign__in=self.plans, bridged_at__isnull=False, pk__gt=self._settled())
            .exclude(pk__in=self._known)
            .select_related("member")
            .order_by("pk")
        ):
            self._known.add(attempt.pk)
            self._talks[attempt.member_id] += 1
            report = self._make_up(attempt, self._talks[attempt.member_id])
            if report is not None:
                self._coming.append(report)
        ends = dict(
            Attempt.objects.filter(pk__in=[report.attempt for report in self._coming]).values_list("pk", "ended_at")
        )
        self._coming = [report for report in self._coming if not self._say(report, ends[report.attempt], now)]

    def _settled(self) -> int:
        """Return an attempt before which no call can be bridged any more."""
        first_live = Attempt.objects.live().order_by("pk").values_list("pk", flat=True).first()
        last = Attempt.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        before, self._seen = self._seen, (first_live or last + 1) - 1
        return before

    def _make_up(self, attempt: Attempt, talk: int) -> Report | None:
        plan = self.plans[attempt.campaign_id]
        dice = Random(f"{self.seed}/result/{attempt.member.external_id}/{talk}")  # noqa: S311
        if dice.random() >= plan.reported:
            return None
        delay = None if dice.random() < plan.during else dice.uniform(*plan.delay)
        body: dict[str, Any] = {
            "attempt": attempt.pk,
            "success": dice.random() < plan.success,
            "comment": f"Talk {talk}",
        }
        if not body["success"]:
            if dice.random() < plan.reset:
                body["reset_retries"] = True
            if dice.random() < plan.next_after:
                body["next_after_sec"] = 10
            if dice.random() < plan.next_number:
                body["next_communication"] = f"+{attempt.digits[:12]}{talk}"
            if dice.random() < plan.stop_number:
                body["stop_communications"] = [attempt.digits]
        return Report(attempt.pk, attempt.campaign_id, attempt.member_id, body, delay)

    def _say(self, report: Report, ended_at: datetime | None, now: datetime) -> bool:
        """Report what is due; ``False`` when it is not."""
        if report.delay is not None and (ended_at is None or now < ended_at + timedelta(seconds=report.delay)):
            return False
        try:
            answer = verbs.report_result(report.campaign, report.member, report.body)
            self.given[str(answer["result"])] += 1
        except Refused as refusal:
            self.given[refusal.code] += 1
        return True

    @property
    def idle(self) -> bool:
        """Whether nothing more will be said of the calls so far."""
        return not self._coming

    def unheard(self) -> int:
        """Return how many results are still awaited."""
        return Attempt.objects.filter(result_state=ResultState.AWAITED).count()


@dataclass(slots=True)
class Supervisor:
    """Takes operators out of forced breaks, a while after each began."""

    back_after: float | None
    ended_breaks: int = 0

    def step(self, now: datetime) -> None:
        if self.back_after is None:
            return
        since = now - timedelta(seconds=self.back_after)
        for operator in Operator.objects.filter(forced_break=True, status_since__lte=since):
            agents.set_status(operator.pk, OperatorStatus.AVAILABLE, reason="rehearsal")
            self.ended_breaks += 1


def reporters(plan: Plan, seed: int, ids: dict[str, int]) -> Reporters:
    """Return the reporters of a plan; ``ids`` are its campaigns by name."""
    return Reporters(seed, {ids[item.name]: item.results for item in plan.campaigns if item.results is not None})
