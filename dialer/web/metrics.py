"""The figures of the house for those who watch it by machines: ``/metrics`` for Prometheus, and log events.

Nothing is counted in a process: each reading asks the database and Redis, so that any of several web servers answers
the same, and a restart loses nothing. What grows with the ledger is read seldom (a tenth of the time at most).
"""

from __future__ import annotations

import hmac
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count, Min, Q
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from redis import RedisError

from agents.models import Operator, OperatorState, OperatorStatus
from campaigns.models import Campaign, Gateway
from dialer import clock, live
from dialer.engine import nodes
from dialer.models import ABANDONMENT_DAYS, Attempt, Node, Outcome, Repair
from dialer.readings import COUNTS_TIMES, shared
from dialer.web import broker
from dialer.webhooks.models import Delivery, DeliveryState
from members.uploads.models import RUNNING_STATES, Upload

log = logging.getLogger("dialer.figures")

PREFIX: Final = "dialer_"
SHOWN_AFTER: Final = timedelta(days=1)
"""A campaign is told of while it is at work, and for so long after its state has changed last."""
LATENCY_OVER: Final = timedelta(minutes=15)
LATENCY_OF: Final = 2000
"""Newest attempts of that time that latencies are taken from, at most."""
QUANTILES: Final = (0.5, 0.95, 0.99)
PARTS: Final = {
    "dispatch": ("GREATEST(operator_free_at, member_due_at)", "reserved_at"),
    "send": ("reserved_at", "sending_at"),
    "ring": ("sending_at", "LEAST(operator_ringing_at, subscriber_created_at)"),
    "operator_answer": ("operator_ringing_at", "operator_answered_at"),
    "subscriber_answer": ("subscriber_created_at", "subscriber_answered_at"),
    "bridge": ("GREATEST(operator_answered_at, subscriber_answered_at)", "bridged_at"),
}
"""What a call's way is made of: from which instant of its attempt to which."""
REPAIRED_OVER: Final = timedelta(hours=24)
SUBJECTS: Final = ("campaign", "gateway", "queue", "switch")
"""The labels that name what a figure is of: each such thing has log events of its own."""


# --- reading ----------------------------------------------------------------------------------------------------


class Figures:
    """A collector of Prometheus that reads when it is asked. Fourteen statements at most."""

    def collect(self) -> Iterator[Metric]:
        """Yield every figure that can be read now; ``dialer_up`` tells what did not answer."""
        up = gauge("up", "Whether it answers: 1 or 0.", ["component"])
        try:
            found = list(_of_database())
            up.add_metric(["database"], 1)
            yield from found
        except DatabaseError:
            log.warning("The database gave no figures.", exc_info=True)
            up.add_metric(["database"], 0)
        try:
            found = list(_of_broker())
            up.add_metric(["redis"], 1)
            yield from found
        except (RedisError, OSError) as error:
            log.warning("Redis gave no figures: %s", error)
            up.add_metric(["redis"], 0)
        yield up


def gauge(name: str, help_: str, labels: Iterable[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, help_, labels=list(labels))


def counter(name: str, help_: str, labels: Iterable[str] = ()) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, help_, labels=list(labels))


def filled(family: Any, samples: Iterable[tuple[Iterable[object], float]]) -> Metric:
    """Return a family with its samples: values of the labels, and the figure."""
    for labels, value in samples:
        family.add_metric([str(label) for label in labels], value)
    metric: Metric = family
    return metric


def single(name: str, help_: str, value: float) -> Metric:
    return filled(gauge(name, help_), [((), value)])


def _of_database() -> Iterator[Metric]:
    now = clock.now()
    campaigns = _campaigns(now)
    ids = [campaign.pk for campaign in campaigns]
    yield from _of_operators()
    yield from _of_lines(campaigns)
    yield filled(
        gauge(
            "campaign_info", "A campaign at work, or that was within a day: always 1.", ("campaign", "name", "state")
        ),
        (((one.pk, one.name, one.state), 1) for one in campaigns),
    )
    yield filled(
        gauge("campaign_limit", "Lines that a campaign may use.", ["campaign"]),
        (((one.pk,), one.limit) for one in campaigns),
    )
    key = f"metrics:ledger:{','.join(map(str, ids))}"
    yield from shared(key, lambda: list(_of_ledger(ids, now)), times=COUNTS_TIMES)
    yield from shared("metrics:latency", lambda: list(_of_latency(now)), times=COUNTS_TIMES)
    yield from _of_switches(now)
    yield from _of_background(now)


def _campaigns(now: datetime) -> list[Campaign]:
    """One statement."""
    shown = Q(state__in=live.AT_WORK) | Q(state_since__gt=now - SHOWN_AFTER)
    return list(Campaign.objects.filter(shown).order_by("pk"))


def _of_operators() -> Iterator[Metric]:
    """One statement."""
    found: Counter[tuple[str, str]] = Counter()
    registered = forced = 0
    rows = (
        Operator.objects.filter(archived=False).order_by().values_list("status", "state")
        .annotate(
            count=Count("*"),
            phones=Count("pk", filter=Q(registered=True)),
            breaks=Count("pk", filter=Q(forced_break=True)),
        )
    )  # fmt: skip
    for status, state, count, phones, breaks in rows:
        found[status, state] = count
        registered += phones
        forced += breaks
    # Those that nobody is in are told too, so that a graph falls to 0 instead of ending.
    known = {(status, state): 0 for status in OperatorStatus.values for state in OperatorState.values} | dict(found)
    yield filled(
        gauge("operators", "Operators by status and state.", ("status", "state")),
        ((key, count) for key, count in known.items()),
    )
    yield single("operators_registered", "Operators whose phone is registered.", registered)
    yield single("operators_forced_break", "Operators on a forced break.", forced)


STAGES: Final = (
    "reserved", "sent", "operator_ringing", "operator_answered", "calling", "connecting", "talking",
)  # fmt: skip
"""What ``Attempt.stage`` says of a live one, as label values."""


def _of_lines(campaigns: list[Campaign]) -> Iterator[Metric]:
    """Two statements: the live attempts, of which there are as many as lines at most, and the gateways."""
    stages: Counter[tuple[int, str]] = Counter(
        {(campaign.pk, stage): 0 for campaign in campaigns if campaign.state in live.AT_WORK for stage in STAGES}
    )
    used: Counter[int | None] = Counter()
    for attempt in Attempt.objects.live().only(
        "campaign_id", "gateway_id", "operator_gateway_id", "ended_at", "bridged_at", "subscriber_answered_at",
        "subscriber_created_at", "operator_answered_at", "operator_ringing_at", "sending_at",
    ):  # fmt: skip
        stages[attempt.campaign_id, attempt.stage.replace(" ", "_")] += 1
        used[attempt.gateway_id] += 1
        if attempt.operator_gateway_id:
            used[attempt.operator_gateway_id] += 1
    yield filled(
        gauge("live_attempts", "Attempts that have not ended, by campaign and stage.", ("campaign", "stage")),
        ((key, count) for key, count in stages.items()),
    )
    gateways = list(Gateway.objects.all())
    yield filled(
        gauge("lines_used", "Lines of a gateway that calls hold.", ["gateway"]),
        (((gateway.name,), used[gateway.pk]) for gateway in gateways),
    )
    yield filled(
        gauge("lines", "Lines that a gateway has; 0 while it is switched off.", ["gateway"]),
        (((gateway.name,), gateway.capacity if gateway.enabled else 0) for gateway in gateways),
    )


def _of_ledger(ids: list[int], now: datetime) -> Iterator[Metric]:
    """Count the attempts of some campaigns. Two statements, on indexes alone."""
    outcomes = dict.fromkeys(((pk, outcome) for pk in ids for outcome in Outcome.values), 0)
    causes: Counter[tuple[int, str]] = Counter()
    awaited: Counter[int] = Counter(dict.fromkeys(ids, 0))
    rows = (
        Attempt.objects.ended().filter(campaign__in=ids).order_by().values_list("campaign_id", "outcome", "cause")
        .annotate(count=Count("*"))
    )  # fmt: skip
    for campaign, outcome, cause, count in rows:
        causes[campaign, cause] += count
        outcomes[campaign, outcome] += count
    for (campaign, outcome), count in list(outcomes.items()):
        if outcome == Outcome.AWAITING_RESULT:
            awaited[campaign] = count
            del outcomes[campaign, outcome]
    yield filled(
        counter("attempts", "Attempts that have ended, by campaign and outcome.", ("campaign", "outcome")),
        ((key, count) for key, count in outcomes.items()),
    )
    yield filled(
        counter("causes", "Attempts that have ended, by campaign and cause.", ("campaign", "cause")),
        ((key, count) for key, count in causes.items()),
    )
    yield filled(
        gauge("results_awaited", "Calls whose result is awaited.", ["campaign"]),
        (((campaign,), count) for campaign, count in awaited.items()),
    )
    since = now - timedelta(days=ABANDONMENT_DAYS)
    answered = (
        Attempt.objects.filter(campaign__in=ids, subscriber_answered_at__gt=since).order_by()
        .values_list("campaign_id")
        .annotate(answered=Count("*"), abandoned=Count("pk", filter=Q(outcome=Outcome.ABANDONED)))
    )  # fmt: skip
    yield filled(
        gauge(
            "abandonment_ratio",
            f"Of the calls that subscribers answered within {ABANDONMENT_DAYS} days, those that nobody took: 0 to 1.",
            ["campaign"],
        ),
        (((campaign,), abandoned / all_) for campaign, all_, abandoned in answered),
    )


def _of_latency(now: datetime) -> Iterator[Metric]:
    """Tell how long the parts of a call's way took of late. One statement, on the newest attempts."""
    picked = ", ".join(
        f"percentile_cont(ARRAY[{', '.join(map(str, QUANTILES))}]) WITHIN GROUP (ORDER BY"
        f" GREATEST(0, extract(epoch FROM {end} - {start}))) FILTER (WHERE {end} IS NOT NULL AND {start} IS NOT NULL),"
        f" count({end} - {start})"
        for start, end in PARTS.values()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {picked} FROM (SELECT * FROM dialer_attempt WHERE reserved_at > %s"  # noqa: S608 (constants)
            " ORDER BY id DESC LIMIT %s) AS newest",
            [now - LATENCY_OVER * clock.FACTOR, LATENCY_OF],
        )
        row = cursor.fetchone()
    minutes = LATENCY_OVER.total_seconds() / 60
    told = f"of the newest attempts of {minutes:.0f} minutes, {LATENCY_OF} at most."
    latency = gauge("latency_seconds", f"How long a part of the way to a talk took, {told}", ("part", "quantile"))
    measured = gauge("latency_attempts", f"How many the latencies are taken from, {told}", ["part"])
    for place, part in enumerate(PARTS):
        values, count = row[2 * place : 2 * place + 2]
        measured.add_metric([part], count)
        for quantile, value in zip(QUANTILES, values or (), strict=False):
            latency.add_metric([part, str(quantile)], float(value))
    yield latency
    yield measured


def _of_switches(now: datetime) -> Iterator[Metric]:
    """Three statements."""
    switches, usable, calls = list(Node.objects.all()), set(nodes.usable(now)), nodes.live_by_node()
    yield filled(
        gauge("switch_usable", "Whether a switch takes calls now: 1 or 0.", ["switch"]),
        (((one.name,), one.pk in usable) for one in switches),
    )
    yield filled(
        gauge("switch_calls", "Live attempts on a switch.", ["switch"]),
        (((one.name,), calls.get(one.pk, 0)) for one in switches),
    )


def _of_background(now: datetime) -> Iterator[Metric]:
    """Webhooks, uploads and repairs. Four statements; those that grow are read seldom."""
    pending = Delivery.objects.filter(state=DeliveryState.PENDING).aggregate(count=Count("*"), oldest=Min("created_at"))
    parked = shared("metrics:parked", count_parked, times=COUNTS_TIMES)
    yield single("webhooks_pending", "Deliveries that wait.", pending["count"])
    yield single(
        "webhooks_oldest_seconds",
        "Age of the oldest delivery that waits; 0 when none does.",
        age(pending["oldest"], now),
    )
    yield single("webhooks_parked", "Deliveries that were given up, and are kept.", parked)
    yield single("uploads_running", "Uploads that are being checked, loaded or undone.",
                 Upload.objects.filter(state__in=RUNNING_STATES).count())  # fmt: skip
    repairs = shared("metrics:repairs", lambda: count_repairs(now), times=COUNTS_TIMES)
    yield filled(
        gauge("repairs_last_day", "Corrections of the ledger within 24 hours, by kind.", ["kind"]),
        (((kind,), count) for kind, count in repairs.items()),
    )


def count_parked() -> int:
    """Count the deliveries that were given up. One statement."""
    return Delivery.objects.filter(state=DeliveryState.PARKED).count()


def count_repairs(now: datetime) -> dict[str, int]:
    """Count the repairs of the last day by kind. One statement, on the newest rows."""
    newest = Repair.objects.order_by("-pk").values("kind", "at")[:10_000]
    found: Counter[str] = Counter(row["kind"] for row in newest if row["at"] > now - REPAIRED_OVER)
    return dict(found)


def age(since: datetime | None, now: datetime) -> float:
    """Return how many seconds ago something was; 0 for never."""
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def _of_broker() -> Iterator[Metric]:
    """Queues, workers and the dial loop. No statement: Redis alone."""
    found = broker.read()
    yield filled(
        gauge("queue_messages", "Messages that wait in a queue.", ["queue"]),
        (((queue.name,), queue.depth) for queue in found.queues),
    )
    yield filled(
        gauge("queue_oldest_seconds", "Age of the oldest message of a queue; 0 when there is none.", ["queue"]),
        (((queue.name,), queue.oldest or 0.0) for queue in found.queues),
    )
    yield filled(
        gauge("workers", "Workers of a queue that gave a sign of life of late.", ["queue"]),
        (((queue.name,), len([one for one in queue.workers if one.alive])) for queue in found.queues),
    )
    if found.pass_age is not None:
        yield single("pass_age_seconds", "Since the last pass of the dial loop.", found.pass_age)
    if found.beat_age is not None:
        yield single("beat_age_seconds", "Since the last tick of beat.", found.beat_age)
    if found.last_pass is not None:
        yield filled(
            gauge("pass_seconds", "How long the parts of the last pass took.", ["part"]),
            (((part,), seconds) for part, seconds in found.last_pass.parts.items()),
        )
        yield single("pass_claimed", "Calls that the last pass reserved.", found.last_pass.claimed)


# --- for Prometheus ---------------------------------------------------------------------------------------------

registry = CollectorRegistry(auto_describe=False)
registry.register(Figures())


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Give the figures in Prometheus' text format, to who knows the token, or to this machine when none is set."""
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {settings.METRICS_TOKEN}".encode()):
            answer = HttpResponse("Give the token: Authorization: Bearer …\n", "text/plain", 401)
            answer["WWW-Authenticate"] = "Bearer"
            return answer
    elif not is_from_here(request):
        return HttpResponse("For this machine alone, until METRICS_TOKEN is set.\n", "text/plain", 403)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def is_from_here(request: HttpRequest) -> bool:
    """Tell whether a request comes from this machine and was handed on by no proxy."""
    if any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip")):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


# --- for logs ---------------------------------------------------------------------------------------------------


def log_events() -> int:
    """Log the same figures as events with keys, one for the house and one for each campaign, gateway, queue and
    switch; return how many."""
    since = time.monotonic()
    events: defaultdict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for family in registry.collect():
        for sample in family.samples:
            subject = next(((label, sample.labels[label]) for label in SUBJECTS if label in sample.labels), ("", ""))
            rest = [value for label, value in sample.labels.items() if label != subject[0]]
            if family.name == f"{PREFIX}campaign_info":
                events[subject] |= {"name_of_campaign": sample.labels["name"], "state": sample.labels["state"]}
            else:
                name = sample.name.removeprefix(PREFIX).removesuffix("_total")
                events[subject]["_".join([name, *rest])] = _number(sample.value)
    for (label, value), keys in sorted(events.items()):
        extra = {"figures": label or "house", **({label: value} if label else {}), **keys}
        log.info("Figures of %s", f"{label} {value}" if label else "the house", extra=extra)
    log.debug("Figures read in %d ms", 1000 * (time.monotonic() - since))
    return len(events)


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else round(value, 6)
