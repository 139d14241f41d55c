"""How a socket asks the database: in one of a few threads, with a connection that goes back at once.

Sockets live for hours; what they would hold, nobody else could have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

T = TypeVar("T")

THREADS = 4
"""Fewer than the connections of the web's pool, so that sockets never keep requests waiting."""

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sockets")


async def ask(function: Callable[..., T], *args: object) -> T:
    """Return what ``function`` answers, run in a thread."""

    def run() -> T:
        try:
            return function(*args)
        finally:
            connections.close_all()

    return await asyncio.get_running_loop().run_in_executor(_threads, run)
