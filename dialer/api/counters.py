"""Counts in Redis that forget themselves: tries of a log-in, requests of a key."""

from __future__ import annotations

import logging
from functools import cache
from typing import NamedTuple

from django.conf import settings
from redis import Redis, RedisError

log = logging.getLogger(__name__)


class Count(NamedTuple):
    """How often something was done since the first time, and how many seconds until that is forgotten."""

    times: int
    seconds: int


@cache
def _redis() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def add(name: str, seconds: int) -> Count:
    """Count once more; ``seconds`` (real) after the first time the count begins anew. One round trip.

    Without Redis nothing is counted (0): who must see that it is down has to be able to log in.
    """
    try:
        with _redis().pipeline() as pipeline:
            pipeline.set(name, 0, ex=seconds, nx=True)
            pipeline.incr(name)
            pipeline.pttl(name)
            _, count, left = pipeline.execute()
    except (RedisError, OSError) as error:
        log.warning("Redis does not count “%s”: %s", name.partition(":")[0], error)
        return Count(0, 0)
    return Count(int(count), max(1, -(-int(left) // 1000)))


def forget(name: str) -> None:
    """Begin anew."""
    try:
        _redis().delete(name)
    except (RedisError, OSError) as error:
        log.warning("Redis does not forget “%s”: %s", name.partition(":")[0], error)
