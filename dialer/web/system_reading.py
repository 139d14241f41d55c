"""What the system page shows: the processes, the servers behind them and what waits, and what to do about each fault.

One reading for all viewers of the same campaigns, in a constant number of statements, made once a second.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, Final

from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Min, Q
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from redis import RedisError

from dialer import clock, switches, verbs
from dialer.api import scope
from dialer.api.scope import Scope
from dialer.heartbeats import Process
from dialer.readings import COUNTS_TIMES, shared
from dialer.web import broker, checking
from dialer.webhooks.models import Delivery, DeliveryState, Subscription
from members.uploads.models import RUNNING_STATES, Upload

LATE: Final = 10.0
"""Real seconds without a pass of the dial loop, or a tick of beat, each of which comes every second."""
BEHIND: Final = 30.0
"""Real seconds that a message may wait."""
SLOW: Final = 50.0
"""Milliseconds that a question which needs no work may take."""
LONG_TRANSACTION: Final = 300.0
"""Seconds after which a transaction holds others up: rows that it may still see cannot be cleaned."""
FULL: Final = 0.9
STANDS: Final = timedelta(minutes=10)
"""Real time without progress after which an upload is told to stand."""
LISTED: Final = 20
PARKED: Final = "system:parked"
PACKAGES: Final = ("Django", "celery", "redis", "psycopg", "channels")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that does not work, and what to do."""

    tone: str
    title: str
    remedy: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """PostgreSQL or Redis, as it answered."""

    name: str
    version: str
    milliseconds: float
    facts: list[tuple[str, str]] = field(default_factory=list)


def shared_reading(only: Scope) -> dict[str, Any]:
    """Return what the page shows, read once a second however many look at it."""
    return shared(f"system:{get_language()}{scope.mark(only)}", lambda: read(only))


def read(only: Scope) -> dict[str, Any]:
    """Read what the page shows. Fourteen statements at most; Redis may be away."""
    of_broker, redis, result = _from_redis()
    database, of_database = _database()
    of_switches = switches.read(only)["switches"]
    uploads, webhooks = _uploads(only), _webhooks(only)
    problems = [
        *_of_broker(of_broker),
        *_of_switches(of_switches),
        *of_database,
        *_of_redis(redis),
        *_of_webhooks(webhooks),
        *_of_uploads(uploads),
        *_of_invariants(result),
    ]
    return {
        "problems": sorted(problems, key=lambda problem: problem.tone != "bad"),
        "queues": [_queue(queue) for queue in of_broker.queues] if of_broker else [],
        "others": _others(of_broker, of_switches),
        "loop": of_broker,
        "parts": _parts(of_broker),
        "servers": [server for server in (database, redis) if server],
        "uploads": uploads,
        "webhooks": webhooks,
        "switches": of_switches,
        "versions": [
            ("Python", platform.python_version()),
            *((name, version(name)) for name in PACKAGES),
            *((f"FreeSWITCH {one['name']}", one["version"].split(" ")[0]) for one in of_switches if one["version"]),
        ],
    }


# --- Redis: queues, workers, the dial loop ----------------------------------------------------------------------


def _from_redis() -> tuple[broker.Broker | None, Server | None, dict[str, Any] | None]:
    """Return what Redis tells of the background, of itself, and of the last check of the invariants."""
    try:
        with verbs.redis() as client:
            client.ping()
            since = time.monotonic()
            client.ping()
            took = 1000 * (time.monotonic() - since)
            info: Any = client.info()
        return broker.read(), _redis(info, took), checking.read()[0]
    except (RedisError, OSError):
        return None, None, None


def _redis(info: dict[str, Any], took: float) -> Server:
    most = int(info.get("maxmemory", 0))
    used = filesizeformat(info["used_memory"])
    memory = _("%(used)s of %(most)s") % {"used": used, "most": filesizeformat(most)} if most else used
    return Server(
        "Redis", info["redis_version"], took,
        [
            (_("Memory"), memory),
            (_("Clients"), str(info["connected_clients"])),
            (_("When full"), info.get("maxmemory_policy", "noeviction")),
        ],
    )  # fmt: skip


def _of_broker(found: broker.Broker | None) -> Iterator[Problem]:
    if found is None:
        yield Problem(
            "bad", _("Redis does not answer."),
            _("Nothing wakes the workers: no new call is placed. Start Redis, and see that REDIS_URL is right."),
        )  # fmt: skip
        return
    if found.pass_age is None or found.pass_age > LATE:
        told = _("never within a day") if found.pass_age is None else _("%d s ago") % found.pass_age
        yield Problem(
            "bad", _("The dial loop does not run."),
            _("Its last pass was %s. Start its worker, and beat: celery -A dialer worker -Q dial -P solo.") % told,
        )  # fmt: skip
    if found.beat_age is None or found.beat_age > LATE:
        yield Problem(
            "bad", _("Beat does not tick."),
            _("Nothing is done by the clock: start exactly one, celery -A dialer beat."),
        )  # fmt: skip
    for queue in found.queues:
        if not any(worker.alive for worker in queue.workers):
            yield Problem(
                "bad", _("No worker takes the queue “%s”.") % queue.name,
                _("Start one: celery -A dialer worker -Q %s.") % queue.name,
            )  # fmt: skip
        elif queue.oldest is not None and queue.oldest > BEHIND:
            yield Problem(
                "warn", _("The queue “%s” is behind.") % queue.name,
                _("Its oldest message waits for %d s. Start more workers for it, or see in their logs what they do.")
                % queue.oldest,
            )  # fmt: skip


def _queue(queue: broker.Queue) -> dict[str, Any]:
    does = {
        "dial": _("places the calls"),
        "default": _("results, webhooks, plans"),
        "uploads": _("checks and loads lists"),
    }
    return {
        "name": queue.name,
        "does": does[queue.name],
        "depth": queue.depth,
        "oldest": queue.oldest,
        "alive": [_process(one) for one in queue.workers if one.alive],
        "silent": [_process(one) for one in queue.workers if not one.alive],
    }


def _process(process: Process) -> str:
    return f"{process.host}:{process.pid}"


def _others(found: broker.Broker | None, of_switches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the processes that take no queue."""
    listed = []
    if found:
        ticks = found.beat_age is not None and found.beat_age <= LATE
        listed.append(
            {
                "name": "beat", "does": _("the clock of the background"), "ok": ticks,
                "told": _("last tick %.0f s ago") % found.beat_age if found.beat_age is not None else _("no tick yet"),
            }
        )  # fmt: skip
    for one in of_switches:
        hears = one["hears"]
        told = _("%(listener)s, %(count)d stand by") % {"listener": hears, "count": len(one["stand_by"])}
        listed.append(
            {
                "name": "listen", "does": _("hears %s") % one["name"], "ok": bool(hears),
                "told": told if hears else _("nobody hears it"),
            }
        )  # fmt: skip
    if found:
        alive = [_process(one) for one in found.web if one.alive]
        listed.append(
            {"name": "web", "does": _("pages and REST"), "ok": True, "told": ", ".join(alive) or _("this one")}
        )
    return listed


def _parts(found: broker.Broker | None) -> list[tuple[str, float]]:
    """Return what the last pass spent its time on, in milliseconds."""
    if found is None or found.last_pass is None:
        return []
    names = {
        "sweep": _("What the clock has changed"),
        "states": _("States of campaigns"),
        "lock": _("Waiting for its turn"),
        "claim": _("Choosing whom to call"),
        "place": _("Placing the calls"),
    }
    return [(names.get(part, part), 1000 * seconds) for part, seconds in found.last_pass.parts.items()]


def _of_redis(redis: Server | None) -> Iterator[Problem]:
    if redis is None:
        return
    if redis.milliseconds > SLOW:
        yield Problem(
            "warn", _("Redis is slow."),
            _("An answer took %d ms. Look at its load, and at the network between.") % redis.milliseconds,
        )  # fmt: skip
    if redis.facts[-1][1] != "noeviction":
        yield Problem(
            "warn", _("Redis may throw messages away when it is full."), _("Set its maxmemory-policy to noeviction.")
        )


# --- PostgreSQL -------------------------------------------------------------------------------------------------


def _database() -> tuple[Server, list[Problem]]:
    """Ask the database of itself. Two statements."""
    since = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        took = 1000 * (time.monotonic() - since)
        cursor.execute(
            "SELECT current_setting('server_version'), pg_database_size(current_database()),"
            " current_setting('max_connections')::int, count(*),"
            " min(xact_start) FILTER (WHERE pid <> pg_backend_pid() AND datname = current_database())"
            " FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        told, bytes_, most, sessions, oldest = cursor.fetchone()
    open_for = 0.0 if oldest is None else max(0.0, time.time() - oldest.timestamp())
    server = Server(
        "PostgreSQL", told.split(" ")[0], took,
        [
            (_("Size"), filesizeformat(bytes_)),
            (_("Sessions"), _("%(used)s of %(most)s") % {"used": sessions, "most": most}),
            (_("Longest transaction"), _("%d s") % round(open_for)),
        ],
    )  # fmt: skip
    problems = []
    if took > SLOW:
        problems.append(
            Problem("warn", _("PostgreSQL is slow."),
                    _("An empty statement took %d ms. Look at its load, and at the network between.") % took)
        )  # fmt: skip
    if sessions > FULL * most:
        problems.append(
            Problem("warn", _("PostgreSQL has hardly a session left."),
                    _("%(used)d of %(most)d are in use. Raise max_connections, or run fewer processes.")
                    % {"used": sessions, "most": most})
        )  # fmt: skip
    if open_for > LONG_TRANSACTION:
        problems.append(
            Problem("warn", _("A transaction is open for %d minutes.") % (open_for / 60),
                    _("It keeps old rows alive, which slows all down. Find it in pg_stat_activity, and end it."))
        )  # fmt: skip
    return server, problems


# --- switches, webhooks, uploads, invariants --------------------------------------------------------------------


def _of_switches(found: list[dict[str, Any]]) -> Iterator[Problem]:
    if not found:
        yield Problem(
            "bad", _("No switch is configured."), _("Set FREESWITCH_URL, and start manage.py listen."),
            reverse("switches"),
        )  # fmt: skip
    for one in found:
        if one["tone"] in ("bad", "warn"):
            title = _("Switch %(switch)s: %(state)s.") % {"switch": one["name"], "state": one["label"]}
            yield Problem(one["tone"], title, one["why"], reverse("switches"))


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a webhook has not delivered."""

    subscription: Subscription
    pending: int
    oldest: datetime | None
    parked: int


def _webhooks(only: Scope) -> list[Waiting]:
    """Return the webhooks that wait, fail or gave something up, those that fail first. Three statements."""
    pending, parked = _pending(), _parked()
    found = Subscription.objects.filter(Q(pk__in={*pending, *parked}) | Q(failures__gt=0))
    if only is not None:
        found = found.filter(campaign__in=only)
    return _waiting(found.order_by("-failures", "name")[:LISTED], pending, parked)


def waiting_of(webhooks: Iterable[Subscription]) -> list[Waiting]:
    """Return what some webhooks have not delivered, in their order. Two statements and theirs."""
    return _waiting(webhooks, _pending(), _parked())


def _waiting(
    webhooks: Iterable[Subscription], pending: dict[int, tuple[int, datetime]], parked: dict[int, int]
) -> list[Waiting]:
    found = []
    for one in webhooks:
        count, oldest = pending.get(one.pk, (0, None))
        found.append(Waiting(one, count, oldest, parked.get(one.pk, 0)))
    return found


def _pending() -> dict[int, tuple[int, datetime]]:
    """Return how many deliveries of each webhook wait, and since when the oldest. One statement."""
    found = Delivery.objects.filter(state=DeliveryState.PENDING).order_by().values_list("subscription_id")
    return {
        pk: (count, oldest) for pk, count, oldest in found.annotate(count=Count("*"), oldest=Min("created_at"))
    }  # fmt: skip


def _parked() -> dict[int, int]:
    found: dict[int, int] = shared(PARKED, _count_parked, times=COUNTS_TIMES)
    return found


def forget_parked() -> None:
    """Let the next viewer see what was just taken back."""
    cache.delete(PARKED)


def _count_parked() -> dict[int, int]:
    """One statement; it reads the whole log, so it is kept for a while."""
    found = Delivery.objects.filter(state=DeliveryState.PARKED).order_by().values_list("subscription_id")
    return dict(found.annotate(count=Count("*")).values_list("subscription_id", "count"))


def _of_webhooks(found: list[Waiting]) -> Iterator[Problem]:
    for one in found:
        subscription = one.subscription
        url = reverse("system-webhook", args=[subscription.pk])
        if subscription.failures:
            yield Problem(
                "warn", _("The webhook “%s” fails.") % subscription.name,
                _("%(failures)d tries in a row did. Its log says what was answered; “Send a test” tries it now.")
                % {"failures": subscription.failures}, url,
            )  # fmt: skip
        if one.parked:
            yield Problem(
                "warn", ngettext(
                    "%(count)d event for “%(webhook)s” was given up.",
                    "%(count)d events for “%(webhook)s” were given up.", one.parked,
                ) % {"count": one.parked, "webhook": subscription.name},
                _("Mend the receiver, then “Send again” those given up."), url,
            )  # fmt: skip


def _uploads(only: Scope) -> list[Upload]:
    """One statement."""
    found = Upload.objects.filter(state__in=RUNNING_STATES).select_related("campaign").order_by("pk")
    if only is not None:
        found = found.filter(Q(campaign__in=only) | Q(campaign__isnull=True))
    return list(found[:LISTED])


def _of_uploads(found: list[Upload]) -> Iterator[Problem]:
    for one in found:
        if clock.real_age(one.changed_at) > STANDS:
            yield Problem(
                "warn", _("The upload of %s stands.") % one.file_name,
                _("It has not moved for ten minutes. See whether a worker takes the queue “uploads”."),
                reverse("upload", args=[one.pk]),
            )  # fmt: skip


def _of_invariants(result: dict[str, Any] | None) -> Iterator[Problem]:
    if result and result.get("total"):
        yield Problem(
            "bad", _("%d things in the ledger are not as they must be.") % result["total"],
            _("The last check of the invariants names them."), reverse("system-invariants"),
        )  # fmt: skip


def instant(told: str) -> datetime:
    """Return an instant that was kept as text."""
    return datetime.fromisoformat(told).astimezone(UTC)
