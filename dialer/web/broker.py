"""What Redis tells of the background: queues, workers, the dial loop. Raises ``RedisError``, or ``OSError``."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

from dialer import heartbeats, verbs
from dialer.heartbeats import Process

QUEUES: Final = ("dial", "default", "uploads")


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of Celery and its workers."""

    name: str
    depth: int
    oldest: float | None
    """Real seconds since its oldest message was sent; ``None`` when there is none, or it does not say."""
    workers: list[Process] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LastPass:
    """What the last pass of the dial loop told of itself."""

    claimed: int
    parts: dict[str, float]
    """Real seconds that each took."""


@dataclass(frozen=True, slots=True)
class Broker:
    """What Redis knows."""

    queues: list[Queue]
    web: list[Process]
    pass_age: float | None
    beat_age: float | None
    last_pass: LastPass | None


def read() -> Broker:
    """Read all of it, in four round trips however much there is."""
    with verbs.redis() as client:
        with client.pipeline(transaction=False) as line:
            for queue in QUEUES:
                line.llen(queue)
                # Messages are pushed at the left and taken from the right.
                line.lindex(queue, -1)
            line.pttl(verbs.PASS_KEY)
            line.pttl(heartbeats.BEAT_KEY)
            line.get(verbs.PASS_REPORT_KEY)
            *of_queues, since_pass, since_beat, report = line.execute()
        processes = heartbeats.processes(client)
    return Broker(
        queues=[
            Queue(
                name, of_queues[2 * place], _age_of(of_queues[2 * place + 1]),
                [process for process in processes if process.kind == name],
            )
            for place, name in enumerate(QUEUES)
        ],
        web=[process for process in processes if process.kind == heartbeats.WEB],
        pass_age=_age(since_pass),
        beat_age=_age(since_beat),
        last_pass=_report(report),
    )  # fmt: skip


def _age(left: int) -> float | None:
    return None if left < 0 else verbs.PASS_TTL - left / 1000


def _age_of(message: bytes | None) -> float | None:
    """Return how old a message is; they are written as JSON."""
    try:
        sent: Any = json.loads(message or "{}").get("headers", {}).get(heartbeats.SENT_AT)
        return None if sent is None else max(0.0, time.time() - float(sent))
    except (ValueError, TypeError, AttributeError):
        return None


def _report(written: bytes | None) -> LastPass | None:
    if written is None:
        return None
    told = json.loads(written)
    return LastPass(told["claimed"], told["parts"])
