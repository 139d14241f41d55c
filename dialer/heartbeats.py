"""Signs of life of the processes: files for whoever looks after one of them, and marks in Redis for all.

A worker leaves one for each of its queues, from the loop in which it also takes messages: one that is stuck in a task,
or has lost the broker, leaves none. Beat leaves its own after each message that the broker took, a web server from its
first request on.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps
from celery.signals import after_task_publish, beat_init, before_task_publish
from redis import RedisError

from dialer import embedded, verbs

log = logging.getLogger(__name__)

EVERY = 5.0
"""Real seconds between two signs of a worker; beat gives one each second, with the tick of the dial loop."""
BEAT = "beat"
BEAT_KEY = "beat:tick"
"""Set by beat for ``verbs.PASS_TTL``, as a pass sets ``verbs.PASS_KEY``."""
WEB = "web"
PROCESSES_KEY = "processes"
"""The names of the processes that gave signs: ``queue host pid``, or ``web host pid``."""
PROCESS_TTL = 3600
"""Real seconds after which one that gives none any more is forgotten; what is left of its key tells how old it is."""
ALIVE_WITHIN = 20.0
"""Real seconds: several signs, so that one that was late counts."""
SENT_AT = "sent_at"
"""The header of a message that says when it was sent, in seconds since 1970 (real time)."""


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


@dataclass(frozen=True, slots=True)
class Process:
    """A process that gave signs of life."""

    kind: str
    """A queue, or ``web``."""
    host: str
    pid: str
    age: float
    """Real seconds since the last one."""

    @property
    def alive(self) -> bool:
        return self.age < ALIVE_WITHIN


def show(*kinds: str) -> None:
    """Tell all others that this process lives. Raises nothing: without Redis nobody could read it."""
    names = [_name(kind) for kind in kinds]
    try:
        with verbs.redis() as client, client.pipeline(transaction=False) as line:
            line.sadd(PROCESSES_KEY, *names)
            for name in names:
                line.set(f"{PROCESSES_KEY}:{name}", "1", ex=PROCESS_TTL)
            line.execute()
    except (RedisError, OSError) as error:
        log.debug("Redis took no sign of life: %s", error)


def leave_for_good(*kinds: str) -> None:
    """Tell all others that this process has ended as it should."""
    names = [_name(kind) for kind in kinds]
    try:
        with verbs.redis() as client:
            client.srem(PROCESSES_KEY, *names)
            client.delete(*(f"{PROCESSES_KEY}:{name}" for name in names))
    except (RedisError, OSError) as error:
        log.debug("Redis did not take the end of a process: %s", error)


def _name(kind: str) -> str:
    return f"{kind} {socket.gethostname()} {os.getpid()}"


def processes(client: Any) -> list[Process]:
    """Return who gave signs of late, by kind, host and id. Raises ``RedisError``."""
    names = sorted(name.decode() for name in client.smembers(PROCESSES_KEY))
    if not names:
        return []
    with client.pipeline(transaction=False) as line:
        for name in names:
            line.pttl(f"{PROCESSES_KEY}:{name}")
        left = line.execute()
    if gone := [name for name, rest in zip(names, left, strict=True) if rest < 0]:
        client.srem(PROCESSES_KEY, *gone)
    return [
        Process(kind, host, pid, PROCESS_TTL - rest / 1000)
        for (kind, host, pid), rest in zip((name.split(" ", 2) for name in names), left, strict=True)
        if rest >= 0
    ]


class WebHeartbeat:
    """Lets a web server, which this wraps, give signs from its first request on."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._begun = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._give, name="heartbeat", daemon=True).start()
        await self._application(scope, receive, send)

    @staticmethod
    def _give() -> None:
        while True:
            show(WEB)
            time.sleep(EVERY)


class WorkerHeartbeat(bootsteps.StartStopStep):
    """Lets a worker give signs for as long as it runs."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._timer: Any = None
        self._queues: list[str] = []

    def start(self, parent: Any) -> None:
        self._queues = queues = list(parent.app.amqp.queues.consume_from)

        def give() -> None:
            for queue in queues:
                leave(queue)
            show(*queues)

        self._timer = parent.timer.call_repeatedly(EVERY, give)

    def stop(self, parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            leave_for_good(*self._queues)


def install(app: Celery) -> None:
    """Let the workers and beat of an application give signs, and messages say when they were sent."""
    app.steps["worker"].add(WorkerHeartbeat)
    before_task_publish.connect(_stamp, weak=False)
    beat_init.connect(_watch_beat, weak=False)


def _stamp(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None:
        headers[SENT_AT] = time.time()


def _watch_beat(**_: Any) -> None:
    after_task_publish.connect(_sent, weak=False)


def _sent(**_: Any) -> None:
    leave(BEAT)
    try:
        with verbs.redis() as client:
            client.set(BEAT_KEY, "1", ex=verbs.PASS_TTL)
    except RedisError as error:
        log.warning("Redis did not take the mark of beat: %s", error)
