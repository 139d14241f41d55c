"""One for each web process: reads for all its operators at once, and keeps their leases.

It reads when a message of the broker says so, and everything every few seconds, so that a lost message is made good.
Its statements do not grow with the sockets. It lives while there are any.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, Protocol
from uuid import UUID
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

from dialer.sockets import actions, database, sign_in, views
from dialer.sockets.sign_in import Identity
from dialer.sockets.teller import GROUP, LAYER
from dialer.sockets.views import View

log = logging.getLogger(__name__)

READ_EVERY = 3.0
"""Seconds (real) after which everything is read again, whether or not anything said so."""
GATHER = 0.02
"""Seconds that news wait for more of them."""
RENEW_EVERY = 10.0
RETRY_AFTER = 1.0


class Listener(Protocol):
    """What the hub needs of an operator's socket."""

    id: UUID
    identity: Identity | None

    def show(self, view: View) -> None:
        """Have the client shown this, or what is newer by the time it can take it. Returns at once."""

    def expel(self) -> None:
        """End it: what let it in holds no more. Returns at once."""


class Hub:
    """The sockets of operators in one event loop."""

    def __init__(self) -> None:
        self._sockets: dict[int, set[Listener]] = defaultdict(set)
        self._views: dict[int, View] = {}
        self._changed: set[int] = set()
        self._all = False
        self._news = asyncio.Event()
        self._reading = asyncio.Lock()
        """Readings follow each other, so that none is shown after a later one."""
        self._tasks: list[asyncio.Task[None]] = []

    async def join(self, socket: Listener, operator_id: int) -> None:
        """Make a client present, and show it what there is before this returns. Raises what the database raises."""
        self._sockets[operator_id].add(socket)
        if not self._tasks:
            loops: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (self._listen, self._read, self._renew)
            self._tasks = [asyncio.create_task(_again(each)) for each in loops]
        await database.ask(actions.connect, socket.id, operator_id)
        await self._show({operator_id})

    async def leave(self, socket: Listener, operator_id: int) -> None:
        """Note the end of a client. When the database does not take it, its lease runs out."""
        self._sockets[operator_id].discard(socket)
        if not self._sockets[operator_id]:
            del self._sockets[operator_id]
            self._views.pop(operator_id, None)
        if not self._sockets:
            for task in self._tasks:
                task.cancel()
            self._tasks = []
        try:
            await database.ask(actions.disconnect, socket.id, operator_id)
        except Exception as error:
            log.warning("The end of a client could not be noted (%s); its lease runs out.", error)

    def wake(self, operator_ids: list[int] | None) -> None:
        """Read these operators, or all of them, at once."""
        if operator_ids is None:
            self._all = True
        else:
            self._changed.update(operator_ids)
        self._news.set()

    async def _listen(self) -> None:
        layer = get_channel_layer(LAYER)
        assert layer is not None, "CHANNEL_LAYERS lacks it"
        channel = await layer.new_channel()
        await layer.group_add(GROUP, channel)
        try:
            while True:
                message = await layer.receive(channel)
                self.wake(message["ids"])
        finally:
            await layer.group_discard(GROUP, channel)

    async def _read(self) -> None:
        read_all_at = time.monotonic() + READ_EVERY
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, read_all_at - time.monotonic())):
                    await self._news.wait()
            await asyncio.sleep(GATHER)
            self._news.clear()
            changed, everybody = self._changed, self._all or time.monotonic() >= read_all_at
            self._changed, self._all = set(), False
            if everybody:
                read_all_at = time.monotonic() + READ_EVERY
                changed = set(self._sockets)
            wanted = changed & self._sockets.keys()
            if wanted:
                await self._show(wanted)

    async def _show(self, operator_ids: set[int]) -> None:
        async with self._reading:
            known = {pk: self._views[pk].unfinished() for pk in operator_ids if pk in self._views}
            found = await database.ask(views.read, operator_ids, known)
            for operator_id, view in found.items():
                # Who left meanwhile has nobody to show it to.
                if operator_id in self._sockets:
                    self._views[operator_id] = view
                    for socket in self._sockets[operator_id]:
                        socket.show(view)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            there = {socket: pk for pk, sockets in self._sockets.items() for socket in sockets}
            good = await database.ask(
                sign_in.still_good, {socket.identity for socket in there if socket.identity is not None}
            )
            for socket in there:
                if socket.identity is not None and socket.identity not in good:
                    socket.expel()
            stay = {socket.id: pk for socket, pk in there.items() if socket.identity in good}
            await database.ask(actions.renew, stay)
            for client_id, operator_id in stay.items():
                if all(socket.id != client_id for socket in self._sockets.get(operator_id, ())):
                    # It left while its lease was renewed, which may have begun it anew.
                    await database.ask(actions.disconnect, client_id, operator_id)


async def _again(loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run one of the hub's loops; begin it anew when the database or the broker failed it."""
    while True:
        try:
            await loop()
        except Exception as error:
            log.warning("%s failed (%s: %s); again in a second.", loop.__name__, type(error).__name__, error)
        await asyncio.sleep(RETRY_AFTER)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def here() -> Hub:
    """Return the hub of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]
