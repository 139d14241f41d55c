"""What goes on, for supervisors: read once a second for all listeners of a web process, sent as what has changed."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from django.utils.translation import override

from dialer import live, readings
from dialer.api.scope import Scope
from dialer.sockets import database, sign_in
from dialer.sockets.hub import RENEW_EVERY
from dialer.sockets.sign_in import Identity
from dialer.sockets.views import Message

log = logging.getLogger(__name__)

READ_EVERY = readings.READ_EVERY
"""Seconds (real); a reading is kept for as long."""
BY_ROW = ("switches", "campaigns", "curves", "gateways", "operators", "attempts")
"""Lists whose rows have an id: of these only the rows that changed are sent."""
RUNNING = ("now", "factor", "pass_at")
"""What is new each second: it goes along, and is no reason for a message."""


class Listener(Protocol):
    """What the feed needs of a supervisor's socket."""

    identity: Identity | None

    def offer(self) -> None:
        """Have it fetch what is new. Returns at once."""

    def expel(self) -> None:
        """End it: what let it in holds no more. Returns at once."""


def differences(old: Message, new: Message) -> Message | None:
    """Return what turns one reading into the next, ``None`` when nothing has changed.

    ``rows``: of each list the rows that are new or other (``set``), the ids of those that are gone, and the order of
    ids if it is another; ``values``: everything else that is other.
    """
    rows: Message = {}
    for name in BY_ROW:
        before = {row["id"]: row for row in old[name]}
        after = {row["id"]: row for row in new[name]}
        change: Message = {}
        if changed := [row for pk, row in after.items() if before.get(pk) != row]:
            change["set"] = changed
        if gone := [pk for pk in before if pk not in after]:
            change["gone"] = gone
        if [pk for pk in before if pk in after] + [pk for pk in after if pk not in before] != list(after):
            change["order"] = list(after)
        if change:
            rows[name] = change
    values = {name: value for name, value in new.items() if name not in BY_ROW and old.get(name) != value}
    if not rows and not values.keys() - set(RUNNING):
        return None
    return {"type": "changes", "rows": rows, "values": values}


class Feed:
    """The readings of one event loop in one language: of all campaigns, of those that its listeners are limited to, or
    of one. It reads while somebody listens.
    """

    def __init__(self, only: Scope, campaign: int | None, language: str) -> None:
        self.only, self.campaign, self.language = only, campaign, language
        self.version = 0
        self._reading: Message | None = None
        self._changes = ""
        self._snapshot = ""
        self._listeners: set[Listener] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def join(self, listener: Listener) -> None:
        self._listeners.add(listener)
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._look_again())]
        elif self._reading is not None:
            listener.offer()

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners:
            for task in self._tasks:
                task.cancel()
            self._tasks, self._reading = [], None
            self._changes = self._snapshot = ""

    def since(self, version: int | None) -> str:
        """Return what leads from a version to this one, as a JSON object: the changes, or the whole from further."""
        return self._changes if version is not None and version == self.version - 1 else self._snapshot

    async def _read(self) -> None:
        while True:
            try:
                reading, changes, texts = await database.ask(
                    _read, self._reading, self.only, self.campaign, self.language
                )
            except Exception as error:
                log.warning("What goes on could not be read (%s); again in a second.", error)
            else:
                if changes:
                    self.version += 1
                    self._reading, (self._changes, self._snapshot) = reading, texts
                    for listener in self._listeners:
                        listener.offer()
            await asyncio.sleep(READ_EVERY)

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            there = {listener.identity for listener in self._listeners if listener.identity is not None}
            try:
                good = await database.ask(sign_in.still_good, there)
            except Exception as error:
                log.warning("It could not be looked up who may still listen (%s).", error)
                continue
            for listener in self._listeners:
                if listener.identity not in good:
                    listener.expel()


def _read(
    before: Message | None, only: Scope, campaign: int | None, language: str
) -> tuple[Message, bool, tuple[str, str]]:
    """Read what goes on; return it, whether it is other than before, and the texts of the change and of the whole."""
    with override(language):
        reading: Message = json.loads(live.snapshot_json(only, campaign))
    changes = differences(before, reading) if before is not None else {}
    if changes is None:
        return reading, False, ("", "")
    return reading, True, (_text(changes), _text({"type": "snapshot", "live": reading}))


def _text(message: Any) -> str:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[Scope, int | None, str], Feed]] = WeakKeyDictionary()


def here(only: Scope, campaign: int | None, language: str) -> Feed:
    """Return the feed of the running event loop: of all campaigns, of some, or of one whoever asks."""
    if campaign is not None:
        only = None
    feeds = _feeds.setdefault(asyncio.get_running_loop(), {})
    key = only, campaign, language
    return feeds.setdefault(key, Feed(*key))
