"""Signs of life of the Celery processes: files for whoever looks after one of them, and beat's mark for all.

A worker leaves one for each of its queues, from the loop in which it also takes messages: one that is stuck in a task,
or has lost the broker, leaves none. Beat leaves its own after each message that the broker took.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps
from celery.signals import after_task_publish, beat_init
from redis import RedisError

from dialer import embedded, verbs

log = logging.getLogger(__name__)

EVERY = 5.0
"""Real seconds between two signs of a worker; beat gives one each second, with the tick of the dial loop."""
BEAT = "beat"
BEAT_KEY = "beat:tick"
"""Set by beat for ``verbs.PASS_TTL``, as a pass sets ``verbs.PASS_KEY``."""


def path(name: str) -> Path:
    """Return the file of a process: ``beat``, or the name of a worker's queue."""
    return embedded.data_dir() / "heartbeats" / name


def leave(name: str) -> None:
    """Note that a process lives. A file that cannot be written is logged: the process works all the same."""
    try:
        path(name).parent.mkdir(parents=True, exist_ok=True)
        path(name).touch()
    except OSError as error:
        log.warning("The heartbeat of %s could not be noted: %s", name, error)


def age(name: str) -> float | None:
    """Return how many real seconds ago a process on this machine gave its last sign, ``None`` if it never did."""
    try:
        return max(0.0, time.time() - path(name).stat().st_mtime)
    except OSError:
        return None


def beat_age() -> float | None:
    """Return how many real seconds ago beat sent something, ``None`` if not for a day. Raises ``RedisError``."""
    with verbs.redis() as client:
        left = int(client.pttl(BEAT_KEY))
    return None if left < 0 else verbs.PASS_TTL - left / 1000


class WorkerHeartbeat(bootsteps.StartStopStep):
    """Lets a worker give signs for as long as it runs."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        queues = list(parent.app.amqp.queues.consume_from)

        def give() -> None:
            for queue in queues:
                leave(queue)

        self._timer = parent.timer.call_repeatedly(EVERY, give)

    def stop(self, parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()


def install(app: Celery) -> None:
    """Let the workers and beat of an application give signs."""
    app.steps["worker"].add(WorkerHeartbeat)
    beat_init.connect(_watch_beat, weak=False)


def _watch_beat(**_: Any) -> None:
    after_task_publish.connect(_sent, weak=False)


def _sent(**_: Any) -> None:
    leave(BEAT)
    try:
        with verbs.redis() as client:
            client.set(BEAT_KEY, "1", ex=verbs.PASS_TTL)
    except RedisError as error:
        log.warning("Redis did not take the mark of beat: %s", error)
