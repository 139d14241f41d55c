"""Tells the web processes that something about operators has changed, without ever holding up who says so.

A thread of its own sends what has gathered since its last message. Nothing is decided by a message: the web processes
read the database when they get one, and every few seconds anyway.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Collection

from channels.layers import get_channel_layer

log = logging.getLogger(__name__)

LAYER = "wakes"
"""The channel layer; it is not the default one, so that a socket lives without the broker."""
GROUP = "operators"
SEND_SECONDS = 2.0


class Teller:
    """Gathers and sends; its thread starts with the first thing to tell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._ids: set[int] = set()
        self._all = False
        self._thread: threading.Thread | None = None

    def tell(self, operator_ids: Collection[int]) -> None:
        """Have these operators read anew, or all of them when none is named. Returns at once."""
        with self._lock:
            self._ids.update(operator_ids)
            self._all |= not operator_ids
            # A fork leaves the thread behind.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="teller", daemon=True)
                self._thread.start()
        self._news.set()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            while True:
                self._news.wait()
                self._news.clear()
                with self._lock:
                    ids = None if self._all else sorted(self._ids)
                    self._ids, self._all = set(), False
                try:
                    runner.run(self._send(ids))
                except Exception as error:
                    log.warning("The broker did not take news of operators (%s); their clients see it later.", error)

    @staticmethod
    async def _send(ids: list[int] | None) -> None:
        layer = get_channel_layer(LAYER)
        assert layer is not None, "CHANNEL_LAYERS lacks it"
        async with asyncio.timeout(SEND_SECONDS):
            await layer.group_send(GROUP, {"type": "operators.changed", "ids": ids})


teller = Teller()
