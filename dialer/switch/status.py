"""What a switch says of itself: how long it runs, what it carries, what it allows.

From its answer to ``status``. A heartbeat knows less, and its ``Session-Per-Sec`` is what is left of the current
second, not what is allowed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

STATUS = "status"

_UP = re.compile(r"UP (\d+) years?, (\d+) days?, (\d+) hours?, (\d+) minutes?, (\d+) seconds?")
_VERSION = re.compile(r"^FreeSWITCH \(Version (.*)\) is (ready|not ready)", re.MULTILINE)
_SESSIONS = re.compile(r"^(\d+) session\(s\) - peak", re.MULTILINE)
_RATE = re.compile(r"^(-?\d+) session\(s\) per Sec out of max (\d+)", re.MULTILINE)
_MOST = re.compile(r"^(\d+) session\(s\) max", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Status:
    """A session is a leg, ours or another's."""

    up: timedelta
    version: str
    ready: bool
    """Not while it is paused or shuts down: it refuses every leg then."""
    sessions: int
    sessions_per_second: int
    """Begun in the last whole second."""
    rate_allowed: int
    """It refuses the session that reaches this number within a second."""
    sessions_allowed: int


def read_status(answer: str) -> Status | None:
    """Read the answer to ``STATUS``; ``None`` when it is in words that are not known."""
    up, version, sessions, rate, most = (line.search(answer) for line in (_UP, _VERSION, _SESSIONS, _RATE, _MOST))
    if not (up and version and sessions and rate and most):
        return None
    years, days, hours, minutes, seconds = map(int, up.groups())
    return Status(
        up=timedelta(days=365 * years + days, hours=hours, minutes=minutes, seconds=seconds),
        version=version[1][:120],
        ready=version[2] == "ready",
        sessions=int(sessions[1]),
        sessions_per_second=max(0, int(rate[1])),  # below 0 for a second after the limit was lowered
        rate_allowed=int(rate[2]),
        sessions_allowed=int(most[1]),
    )
