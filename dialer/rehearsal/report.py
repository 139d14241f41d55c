"""What became of a rehearsal: numbers from the ledger, and what does not hold."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import Count, Q, Value
from django.db.models.functions import Coalesce, NullIf

from agents.models import Operator
from campaigns.models import Campaign, CampaignState, Completion, ConnectOrder, Gateway
from dialer import clock
from dialer.engine import invariants
from dialer.engine.invariants import Violation
from dialer.models import Attempt, OperatorTry, Outcome, Repair
from dialer.rehearsal.play import OVER, Played
from members.models import OPEN_STATES, Member, MemberState

NOT_COUNTED = (Outcome.MINUS, Outcome.REFUNDED)


def outcome(played: Played, calls: Path) -> dict[str, Any]:
    """Return everything that is told of a rehearsal, as JSON takes it. Spans are seconds of rule time, latencies real
    milliseconds."""
    attempts = list(Attempt.objects.order_by("pk"))
    ended = [attempt for attempt in attempts if attempt.ended_at]
    found = [*invariants.find_violations(), *dialled_more_than_once(attempts, calls)]
    return {
        "done": played.done,
        "rule_seconds": round((played.ended - played.began).total_seconds()),
        "members": Member.objects.count(),
        "ended": _counts(Member.objects.filter(state=MemberState.ENDED).values_list("end_cause")),
        "successes": Member.objects.filter(success=True).count(),
        "left": _counts(Member.objects.exclude(state=MemberState.ENDED).values_list("campaign__name")),
        "campaigns": {
            campaign.name: campaign.completion or str(campaign.state) for campaign in Campaign.objects.order_by("pk")
        },
        "attempts": {
            "all": len(attempts),
            "counted": sum(attempt.counted for attempt in ended),
            "refunded": sum(attempt.outcome in NOT_COUNTED for attempt in ended),
            "abandoned": sum(attempt.outcome == Outcome.ABANDONED for attempt in ended),
            "by_outcome": dict(sorted(Counter(attempt.outcome for attempt in ended).items())),
            "by_cause": dict(sorted(Counter(attempt.cause for attempt in ended).items())),
        },
        "results": played.results,
        "peak_lines": {"campaigns": _campaign_peaks(attempts), "gateways": _gateway_peaks(attempts)},
        "operators": operator_seconds(ended, played),
        "forced_breaks_ended": played.ended_breaks,
        "dispatch_latency_ms": percentiles(dispatch_latencies(attempts, played)),
        "repairs": _counts(Repair.objects.values_list("kind")),
        "killed": played.killed,
        "stuck": stuck(played),
        "violations": [violation.as_dict() for violation in found],
        "endings": endings(),
    }


def _counts(rows: Any) -> dict[str, int]:
    return {str(key): number for key, number in rows.annotate(number=Count("*")).order_by(rows.query.values_select[0])}


def endings() -> str:
    """Return a digest of how everyone ended: the same for two runs in which each subscriber ended the same way."""
    rows = Member.objects.order_by("campaign__name", "external_id").values_list(
        "campaign__name", "external_id", "end_cause"
    )
    return hashlib.sha256("\n".join("\t".join(map(str, row)) for row in rows).encode()).hexdigest()[:16]


# --- who is stuck -----------------------------------------------------------------------------------------------


def stuck(played: Played) -> list[str]:
    """Return in words whoever is not done and has no explanation.

    Explained are those whom a stopped campaign, the end of a calendar or a missing route has left.
    """
    explained = Q(campaign__state__in=[CampaignState.STOPPED, CampaignState.IDLE]) | Q(
        campaign__completion__in=[Completion.CALENDAR_EXPIRED, Completion.NOTHING_TO_DIAL]
    )
    left = Member.objects.filter(state__in=OPEN_STATES).exclude(explained)
    return [
        *(
            f"Campaign {campaign.name} is {campaign.state}"
            for campaign in Campaign.objects.exclude(state__in=[*OVER, CampaignState.IDLE])
        ),
        *(f"Subscriber {member} is {member.state}" for member in left.order_by("pk")[:100]),
        *(f"Attempt {attempt} is {attempt.stage}" for attempt in Attempt.objects.live()),
        *(
            f"Subscriber {member} awaits a result"
            for member in Member.objects.filter(state=MemberState.HELD).order_by("pk")
        ),
        *(f"Operator {operator} is held" for operator in Operator.objects.filter(current_attempt__isnull=False)),
    ]


# --- lines ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """A line taken (+1) or given back (-1)."""

    at: datetime
    change: int
    attempt: Attempt


def _changes(attempts: Iterable[Attempt]) -> list[Change]:
    """Return when lines were taken and given back, in order; at one instant they are given back first."""
    found = [Change(attempt.reserved_at, 1, attempt) for attempt in attempts]
    found += [Change(attempt.ended_at, -1, attempt) for attempt in attempts if attempt.ended_at]
    return sorted(found, key=lambda change: (change.at, change.change))


def _gateways_of(attempt: Attempt) -> list[int]:
    return [pk for pk in (attempt.gateway_id, attempt.operator_gateway_id) if pk is not None]


def _peaks(changes: Iterable[tuple[int, int]]) -> Counter[int]:
    live: Counter[int] = Counter()
    peaks: Counter[int] = Counter()
    for key, change in changes:
        live[key] += change
        peaks[key] = max(peaks[key], live[key])
    return peaks


def _campaign_peaks(attempts: Sequence[Attempt]) -> dict[str, int]:
    peaks = _peaks((change.attempt.campaign_id, change.change) for change in _changes(attempts))
    return {campaign.name: peaks[campaign.pk] for campaign in Campaign.objects.order_by("pk")}


def _gateway_peaks(attempts: Sequence[Attempt]) -> dict[str, int]:
    peaks = _peaks((pk, change.change) for change in _changes(attempts) for pk in _gateways_of(change.attempt))
    return {gateway.name: peaks[gateway.pk] for gateway in Gateway.objects.order_by("pk")}


# --- operators --------------------------------------------------------------------------------------------------


def operator_seconds(ended: Sequence[Attempt], played: Played) -> dict[str, int]:
    """Return what all operators together did, in seconds from the beginning to the end.

    ``ring``: their phones rang; ``dial``: they waited for a subscriber who was being called; ``talk``; ``wrap_up``;
    ``idle``: what is left, breaks included.
    """
    total: defaultdict[str, float] = defaultdict(float)
    wrap_ups = dict(Operator.objects.values_list("pk", "wrap_up_time"))
    of: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in ended:
        if attempt.seeking_since is None:  # else it held nobody in the end
            of[attempt.operator_id].append(attempt)
    for tried in OperatorTry.objects.all():
        total["ring"] += _seconds(tried.ringing_at, tried.answered_at or tried.ended_at)
    for operator, his in of.items():
        for attempt, following in zip(
            his, [*(later.operator_reserved_at or later.reserved_at for later in his[1:]), played.ended], strict=True
        ):
            end = attempt.operator_ended_at or attempt.ended_at
            total["ring"] += _seconds(attempt.operator_ringing_at, attempt.operator_answered_at or end)
            total["dial"] += _seconds(attempt.operator_answered_at, attempt.bridged_at or end)
            total["talk"] += _seconds(attempt.bridged_at, attempt.talk_ended_at)
            if attempt.bridged_at and end:
                wrapped = end + timedelta(seconds=wrap_ups[operator])
                total["wrap_up"] += _seconds(end, min(wrapped, max(end, following)))
    span = _seconds(played.began, played.ended) * len(wrap_ups)
    spans = {name: round(total[name]) for name in ("ring", "dial", "talk", "wrap_up")}
    return {"count": len(wrap_ups), **spans, "idle": max(0, round(span - sum(spans.values())))}


def _seconds(since: datetime | None, until: datetime | None) -> float:
    return max(0.0, (until - since).total_seconds()) if since and until else 0.0


# --- latency ----------------------------------------------------------------------------------------------------


def dispatch_latencies(attempts: Sequence[Attempt], played: Played) -> list[float]:
    """Return for each call that was sent how long it could have been sent before: real milliseconds.

    It could be sent once its operator was free, its subscriber due, nobody on his number (another campaign may have it
    too), a line of its campaign and of its gateways free, the campaign running and everything usable.
    """
    free_since = _free_since(attempts)
    wraps = dict(Operator.objects.values_list("pk", "wrap_up_time"))
    found = []
    last: dict[int, Attempt] = {}
    last_on: dict[str, datetime | None] = {}
    for attempt in attempts:
        before, last[attempt.operator_id] = last.get(attempt.operator_id), attempt
        number_free, last_on[attempt.digits] = last_on.get(attempt.digits), attempt.ended_at
        if attempt.sending_at is None:
            continue
        operator_free = attempt.operator_free_at
        if before and before.bridged_at and before.operator_ended_at and operator_free:
            # Not when the wrap-up was seen to be over, but when it was.
            over = before.operator_ended_at + timedelta(seconds=wraps[attempt.operator_id])
            operator_free = min(operator_free, over)
        unusable = (
            played.sightings.last(kind, pk, attempt.reserved_at)
            for kind, pk in (
                ("operator", attempt.operator_id),
                ("campaign", attempt.campaign_id),
                ("node", attempt.node_id),
                *(("gateway", pk) for pk in _gateways_of(attempt)),
            )
        )
        since = [
            played.began, operator_free, attempt.member_due_at, number_free, free_since.get(attempt.pk), *unusable,
        ]  # fmt: skip
        waited = attempt.sending_at - max(instant for instant in since if instant)
        found.append(max(0.0, clock.real_seconds(waited.total_seconds()) * 1000))
    return found


def _free_since(attempts: Sequence[Attempt]) -> dict[int, datetime]:
    """Return for each attempt since when its campaign and its gateways had had a line left; none if always."""
    live: Counter[tuple[str, int]] = Counter()
    freed: dict[tuple[str, int], datetime] = {}
    found: dict[int, datetime] = {}
    capacities = dict(Gateway.objects.values_list("pk", "capacity"))
    limits = dict(Campaign.objects.values_list("pk", "limit"))
    for change in _changes(attempts):
        attempt = change.attempt
        keys = [("campaign", attempt.campaign_id), *(("gateway", pk) for pk in _gateways_of(attempt))]
        if change.change > 0:
            since = [freed[key] for key in keys if key in freed]
            if since:
                found[attempt.pk] = max(since)
        for key in keys:
            most = limits[key[1]] if key[0] == "campaign" else capacities[key[1]]
            if change.change < 0 and live[key] >= most:
                freed[key] = change.at
            live[key] += change.change
    return found


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return how many there are, and p50, p95, p99 and the greatest, rounded to a tenth."""
    if len(values) < 2:
        return {"count": len(values)}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    chosen = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(values)}
    return {"count": len(values), **{name: round(value, 1) for name, value in chosen.items()}}


# --- what the switch says ---------------------------------------------------------------------------------------


def dialled_more_than_once(attempts: Sequence[Attempt], calls: Path) -> list[Violation]:
    """Compare the ledger with the switch's own list of the calls it made: a line for each, ``subscriber DIGITS``.

    To each number it must have made at most as many calls as were sent, and at least as many as the ledger has.
    """
    made = Counter(line.partition(" ")[2] for line in calls.read_text("utf-8").splitlines()[1:])
    # To the switch a number is a number, whoever answers there; an extension is dialled as such.
    of_operators = dict(Operator.objects.values_list("pk", Coalesce(NullIf("contact", Value("")), "extension")))
    sent: Counter[str] = Counter()
    known: Counter[str] = Counter()
    legs = [(attempt.digits, attempt.sending_at, attempt.subscriber_created_at) for attempt in attempts]
    for attempt in attempts:
        # Subscriber first an operator is rung once the subscriber has answered.
        first = attempt.connect_order == ConnectOrder.OPERATOR_FIRST
        ordered_at = attempt.sending_at if first else attempt.operator_sending_at
        legs.append((of_operators[attempt.operator_id].removeprefix("+"), ordered_at, attempt.operator_ringing_at))
    legs += [
        (of_operators[tried.operator_id].removeprefix("+"), tried.sending_at, tried.ringing_at)
        for tried in OperatorTry.objects.all()
    ]
    for digits, ordered, created in legs:
        sent[digits] += ordered is not None
        known[digits] += created is not None
    found = [
        Violation(4, f"Number {digits} was dialled {count} times for {sent[digits]} calls sent.", {"digits": digits})
        for digits, count in made.items()
        if count > sent[digits]
    ]
    found += [
        Violation(
            6, f"Number {digits} has {count} calls in the ledger; the switch made {made[digits]}.", {"digits": digits}
        )
        for digits, count in known.items()
        if count > made[digits]
    ]
    return found


TABLES = (
    "agents_operator", "campaigns_campaign", "campaigns_gateway", "dialer_attempt", "dialer_node", "dialer_operatortry",
    "dialer_repair", "dialer_resultreport", "members_communication", "members_member",
)  # fmt: skip


def keep_tables(folder: Path) -> None:
    """Write what the database holds into CSV files, as evidence that outlives it."""
    with connection.cursor() as cursor:
        for table in TABLES:
            with cursor.copy(f"COPY {table} TO STDOUT WITH CSV HEADER") as rows:
                (folder / f"{table}.csv").write_bytes(b"".join(rows))


def summary(told: dict[str, Any]) -> list[str]:
    """Return an outcome in a few lines for a human."""
    attempts, latency, operators = told["attempts"], told["dispatch_latency_ms"], told["operators"]

    def listed(counts: dict[str, Any]) -> str:
        return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"

    lines = [
        f"{told['members']} subscribers in {told['rule_seconds']} s: {listed(told['ended'])}",
        f"left: {listed(told['left'])}",
        f"campaigns: {listed(told['campaigns'])}",
        f"{attempts['all']} attempts, {attempts['counted']} counted, {attempts['refunded']} not: "
        f"{listed(attempts['by_cause'])}",
        f"peak lines: {listed(told['peak_lines']['campaigns'])}; {listed(told['peak_lines']['gateways'])}",
        f"operators, seconds: {listed({k: v for k, v in operators.items() if k != 'count'})}",
        f"dispatch latency, real ms: {listed(latency)}",
        f"repairs: {listed(told['repairs'])}",
        f"endings: {told['endings']}",
    ]
    lines += [f"STUCK: {text}" for text in told["stuck"][:20]]
    lines += [f"VIOLATION of {item['invariant']}: {item['text']}" for item in told["violations"][:20]]
    if not told["stuck"] and not told["violations"]:
        lines.append("Nobody stuck, no violation.")
    return lines
