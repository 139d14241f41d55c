"""A house of one's own: a database, a broker and a clock that have nothing to do with the real ones.

Settings and the clock are read from the environment when a process starts. So a command that wants a house of its own
starts itself again, once, in an environment that names servers nobody else knows.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Mapping
from datetime import datetime

from django.db import connection

from dialer import embedded

MARK = "OWN_HOUSE"
"""Set to the name of the house in its own processes."""
ELSEWHERE = ("DATABASE_URL", "REDIS_URL", "FREESWITCH_URL", "SIMULATOR_URL")
"""What would lead into the real house."""


def enter(kind: str, env: Mapping[str, str]) -> embedded.Services:
    """Return the servers of this process's own house, running, with an empty database; they are gone with the process.

    The first call never returns: the command starts again in the house, with ``env`` on top of its environment.
    Raises ``EmbeddedError`` where the embedded servers do not run.
    """
    if name := os.environ.get(MARK):
        services = embedded.start(name, throwaway=True)
        _keep_what_is_committed()
        return services
    name = f"{kind}-{secrets.token_hex(4)}"
    kept = {
        key: value
        for key, value in os.environ.items()
        if key.removesuffix("_FILE") not in ELSEWHERE and not key.startswith("CLOCK_")
    }
    in_house = {**kept, **embedded.addresses(name).environ(), **env, MARK: name}
    return os.execve(sys.executable, [sys.executable, *sys.argv], in_house)  # noqa: S606 (our own command, no shell)


def clock_env(factor: float, start: datetime | None = None) -> dict[str, str]:
    """Return what makes every process of the house read one clock: ``factor`` times as fast, from ``start`` on."""
    anchor = time.time()
    return {
        "CLOCK_FACTOR": str(factor),
        "CLOCK_START": str(anchor if start is None else start.timestamp()),
        "CLOCK_ANCHOR": str(anchor),
    }


def _keep_what_is_committed() -> None:
    """Let a commit survive the death of the server, as on a real one; the death of the machine it need not survive.

    It is the database's own default, so that it also holds for connections of other processes.
    """
    with connection.cursor() as cursor:
        cursor.execute("ALTER DATABASE dialer SET synchronous_commit = on")
    connection.close()
