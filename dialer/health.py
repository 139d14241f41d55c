"""Whether the house can work, for probes: the database, the broker, the dial loop, beat, and who hears the switches.

Nothing that is looked at can hold the answer up, and many probes cost no more than one each second.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from dialer import clock, heartbeats, verbs
from dialer.engine.nodes import HEARD_WITHIN
from dialer.models import Node
from dialer.switch import nodes

log = logging.getLogger(__name__)
T = TypeVar("T")

Checks = dict[str, dict[str, Any]]
"""By name: ``ok``, what was found, and ``why`` it is not. No addresses and no texts of errors: anyone may ask."""

LATE = 10.0
"""Real seconds without a pass of the dial loop, or a tick of beat, each of which comes every second."""
CONNECT_SECONDS = 2
STATEMENT_SECONDS = 2
LIMIT = 5.0
"""Real seconds after which what has not answered does not answer."""
KEPT_FOR = 1.0
"""Real seconds for which one look serves all who ask."""

_lock = threading.Lock()
_kept: tuple[float, Checks] | None = None


def read() -> Checks:
    """Look at everything, or return what was seen within the last second. Takes ``LIMIT`` seconds at most."""
    global _kept
    with _lock:
        if _kept is None or time.monotonic() - _kept[0] > KEPT_FOR:
            checks = look_at(look_at_database, look_at_broker)
            _kept = time.monotonic(), checks
        return _kept[1]


def forget() -> None:
    """Let the next reading look again."""
    global _kept
    with _lock:
        _kept = None


def is_ready(checks: Checks) -> bool:
    """Tell whether calls can be placed and followed."""
    return all(check["ok"] for check in checks.values())


def look_at(*looks: Callable[[], Checks]) -> Checks:
    """Look at several things at once. Those that do not come back in time have not answered."""
    started = [(look, _Look(look)) for look in looks]
    deadline = time.monotonic() + LIMIT
    checks: Checks = {}
    for look, under_way in started:
        checks |= under_way.result(deadline) or _silent(look)
    return checks


class _Look(threading.Thread, Generic[T]):
    """One look, in a thread of its own that nobody has to wait for; its own limits end it soon."""

    def __init__(self, of: Callable[[], T]) -> None:
        super().__init__(name=of.__name__, daemon=True)
        self._of = of
        self._found: T | None = None
        self.start()

    def run(self) -> None:
        try:
            self._found = self._of()
        except Exception as error:
            log.warning("A probe failed: %s", error)

    def result(self, deadline: float) -> T | None:
        """Return what was found by this instant of ``time.monotonic()``, if anything."""
        self.join(max(0.0, deadline - time.monotonic()))
        return self._found


def _silent(look: Callable[[], Checks]) -> Checks:
    """Return what is known when a look found nothing."""
    if look is look_at_broker:
        return {
            "broker": _bad("It does not answer."),
            "dial_loop": _bad("Unknown: the broker does not answer."),
            "beat": _bad("Unknown: the broker does not answer."),
        }
    return {
        "database": _bad("It does not answer."),
        "migrations": _bad("Unknown: the database does not answer."),
        "listeners": _bad("Unknown: the database does not answer."),
    }


def _bad(why: str, **found: Any) -> dict[str, Any]:
    return {"ok": False, "why": why, **found}


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def look_at_database() -> Checks:
    """Look at the database, its migrations, and what the listeners wrote last. Raises ``DatabaseError``."""
    with _own_connection() as line:
        missing = len(_migrations() - set(MigrationRecorder(line).applied_migrations()))
        if missing:
            return {
                "database": {"ok": True},
                "migrations": _bad("Run manage.py migrate.", missing=missing),
                "listeners": _bad("Unknown until the migrations are applied."),
            }
        return {"database": {"ok": True}, "migrations": {"ok": True}, "listeners": _listeners()}


@contextlib.contextmanager
def _own_connection() -> Iterator[BaseDatabaseWrapper]:
    """Give this thread a new connection with short limits; only for a thread of its own."""
    line = connections["default"].copy()
    options = {name: value for name, value in line.settings_dict["OPTIONS"].items() if name != "pool"}
    line.settings_dict["OPTIONS"] = options | {"connect_timeout": CONNECT_SECONDS}
    connections["default"] = line
    try:
        with line.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", [f"{STATEMENT_SECONDS}s"])
        yield line
    finally:
        line.close()


@functools.cache
def _migrations() -> frozenset[tuple[str, str]]:
    """Return the migrations that this code wants applied."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return frozenset(key for key, migration in loader.disk_migrations.items() if not migration.replaces)


def _listeners() -> dict[str, Any]:
    """Tell of each switch, by its place in FREESWITCH_URL, whether its events are heard. One that is, is enough."""
    switches = _subscriptions()
    if not switches:
        return _bad("FREESWITCH_URL names no switch.", switches=[])
    told = [{"switch": place, **heard} for place, heard in enumerate(switches.values(), 1)]
    if not any(heard["ok"] for heard in told):
        return _bad("No listener hears its switch.", switches=told)
    return {"ok": True, "switches": told}


def heard() -> dict[str, bool] | None:
    """Return by name which switches a listener hears, or ``None`` when the database does not answer in time."""

    def look() -> dict[str, bool]:
        with _own_connection():
            return {name: told["ok"] for name, told in _subscriptions().items()}

    return _Look(look).result(time.monotonic() + LIMIT)


def _subscriptions() -> dict[str, dict[str, Any]]:
    """Return by the names of the configured switches whether a listener hears them, and when it last said so."""
    try:
        configured = nodes.configured()
    except ValueError:
        return {}
    known = {node.name: node for node in Node.objects.filter(name__in=[switch.name for switch in configured])}
    told = {}
    for switch in configured:
        node = known.get(switch.name)
        age = None if node is None or node.last_event_at is None else clock.real_age(node.last_event_at)
        told[switch.name] = {
            "ok": node is not None and node.connected and age is not None and age < HEARD_WITHIN,
            "seconds_ago": None if age is None else round(age.total_seconds(), 1),
        }
    return told


# --- Redis ------------------------------------------------------------------------------------------------------------


def look_at_broker() -> Checks:
    """Look at the broker, and at the marks that the dial loop and beat left there. Raises ``RedisError``."""
    return {
        "dial_loop": _recent(verbs.last_pass_age(), "No pass of the dial loop for too long: does its worker run?"),
        "beat": _recent(heartbeats.beat_age(), "No tick for too long: does beat run?"),
        "broker": {"ok": True},
    }


def _recent(age: float | None, why: str) -> dict[str, Any]:
    seconds = None if age is None else round(age, 1)
    return {"ok": True, "seconds_ago": seconds} if age is not None and age <= LATE else _bad(why, seconds_ago=seconds)
