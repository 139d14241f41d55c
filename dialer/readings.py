"""Readings of the database that all viewers share: however many ask, each is made once in a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from django.core.cache import cache

T = TypeVar("T")

READ_EVERY = 1.0
"""Seconds (real) that a reading is kept."""
COUNTS_TIMES = 10
COUNTS_LONGEST = 60.0
"""Counts of whole lists are kept so many times as long as they took, at most so many seconds: 10 % of the time."""

_lock = threading.RLock()


def shared(key: str, read: Callable[[], T], *, times: float = 0) -> T:
    """Return a reading that this process keeps for a second, or ``times`` as long as it took if that is longer."""
    found: T | None = cache.get(key)
    if found is None:
        with _lock:
            found = cache.get(key)
            if found is None:
                since = time.monotonic()
                found = read()
                took = time.monotonic() - since
                cache.set(key, found, max(READ_EVERY, min(took * times, COUNTS_LONGEST)))
    return found
