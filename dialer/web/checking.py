"""The invariants, checked in the background when somebody asks; what was found stays in Redis to be looked at."""

from __future__ import annotations

import json
import logging
import time
from typing import Any, Final

from django.utils.translation import gettext as _

from dialer import clock, verbs
from dialer.engine import invariants
from dialer.errors import Refused

log = logging.getLogger(__name__)

RESULT_KEY: Final = "invariants:result"
RUNNING_KEY: Final = "invariants:running"
LONGEST: Final = 1800
"""Real seconds after which a check that has not come back is taken for dead."""
SHOWN: Final = 200
"""Violations that are kept."""


def start(by: str) -> None:
    """Have the invariants checked by a worker. Raises ``Refused`` (RUNNING) while that goes on, or ``RedisError``."""
    running = json.dumps({"at": clock.now().isoformat(), "by": by})
    with verbs.redis() as client:
        if not client.set(RUNNING_KEY, running, nx=True, ex=LONGEST):
            raise Refused("RUNNING", _("A check runs already: wait for what it finds."))
    verbs.send("dialer.web.tasks.check_invariants", by)


def run(by: str) -> None:
    """Check, and keep what was found: when, how long it took, and the first violations."""
    since, at = time.monotonic(), clock.now().isoformat()
    found: dict[str, Any] = {"at": at, "by": by, "checks": len(invariants.CHECKS)}
    try:
        violations = invariants.find_violations()
        found |= {
            "total": len(violations),
            "violations": [violation.as_dict() for violation in violations[:SHOWN]],
            "unrecorded": invariants.count_unrecorded(),
        }
        log.log(logging.WARNING if violations else logging.INFO, "Invariants checked: %d violations", len(violations))
    except Exception as error:
        log.exception("The invariants could not be checked.")
        found["failed"] = f"{type(error).__name__}: {error}"[:300]
    found["seconds"] = round(time.monotonic() - since, 3)
    with verbs.redis() as client, client.pipeline() as line:
        line.set(RESULT_KEY, json.dumps(found, default=str))
        line.delete(RUNNING_KEY)
        line.execute()


def read() -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return what the last check found, and the check that runs now. Raises ``RedisError``."""
    with verbs.redis() as client:
        result, running = client.mget(RESULT_KEY, RUNNING_KEY)
    return json.loads(result) if result else None, json.loads(running) if running else None
