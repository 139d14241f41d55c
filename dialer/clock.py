"""The one source of the current instant for rules.

A rehearsal runs a whole day in minutes: with ``CLOCK_FACTOR=20`` every process of the stack sees twenty seconds of
rule time pass in one real second, all from the same anchor, so their instants agree. In production the factor is 1
and ``now()`` is the plain UTC time.

Rules (retries, hours, wrap-up, deadlines) use ``now()``. Transports, leases and heartbeats use real, monotonic
seconds (``time.monotonic``) and never this module; ``real_seconds`` translates a span of rule time for them.
"""

import os
import time
from datetime import UTC, datetime, timedelta

FACTOR: float = float(os.environ.get("CLOCK_FACTOR", "1"))
"""Seconds of rule time per real second; above zero."""

_START: float | None = float(os.environ["CLOCK_START"]) if os.environ.get("CLOCK_START") else None
"""Rule time (seconds since 1970) at the anchor; unset: rule time starts equal to real time."""

_ANCHOR: float = float(os.environ.get("CLOCK_ANCHOR", "0"))
"""Real time (seconds since 1970) at which rule time was ``CLOCK_START``; shared by all processes of a rehearsal."""

if FACTOR <= 0:
    raise ValueError(f"CLOCK_FACTOR must be above zero, not {FACTOR}. Unset it, or give for example 20.")


def timestamp() -> float:
    """Return the current rule time in seconds since 1970."""
    if _START is None:
        return time.time()
    return _START + (time.time() - _ANCHOR) * FACTOR


def now() -> datetime:
    """Return the current rule time, aware, in UTC."""
    return datetime.fromtimestamp(timestamp(), UTC)


def real_seconds(rule_seconds: float) -> float:
    """Translate a span of rule time into real seconds (for sleeping and for timers of a transport)."""
    return rule_seconds / FACTOR


def real_age(instant: datetime) -> timedelta:
    """Return how much real time has passed since a stored rule instant."""
    return (now() - instant) / FACTOR
