"""Run the simulated switch on a port: start, restart, stop, and the interruptions that a scenario wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from dialer import clock
from dialer.simulator.controls import Controls
from dialer.simulator.counts import Counts
from dialer.simulator.scenario import Restart, Scenario
from dialer.simulator.sessions import Session, Sessions
from dialer.simulator.switch import Switch
from dialer.simulator.timers import LoopTimers

PASSWORD: Final = "ClueCon"  # noqa: S105  what every FreeSWITCH comes with; a test of log-ins needs some
SHUTDOWN: Final = "The system is being shut down."
SHUTDOWN_SECONDS: Final = 0.2
"""Seconds of rule time from the last hang-up of a shutdown to the goodbye."""

T = TypeVar("T")


class Simulator(Controls):
    """A switch on an event loop: ``async with Simulator(…) as simulator``.

    ``state`` names a file that remembers how often everybody was called: a simulator that was killed and comes back
    with the same file and seed goes on with the same day. Port 0 chooses a free one, kept through restarts.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        seed: int = 1,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        password: str = PASSWORD,
        state: Path | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.password = password
        self.turns_away = False
        self.sessions: set[Session] = set()
        self.stopped = asyncio.Event()
        """Set when the switch was told to shut down, and stays down."""
        self._scenario = scenario or Scenario()
        self._seed = seed
        self._state = state
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def _do(self, action: Callable[[], T]) -> T:
        return action()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin the day: boot the switch, listen, and plan what the scenario wants of it."""
        loop = asyncio.get_running_loop()
        timers = LoopTimers(loop)
        self._counts = Counts(self._state, clock.timestamp())
        self.switch = Switch(self._scenario, self._seed, timers, Sessions(self.sessions), self._counts)
        self.switch.on_shutdown = self._told_to_shut_down
        await self._listen()
        self.switch.flap()
        passed = clock.timestamp() - self._counts.start
        for restart in self._scenario.switch.restarts:
            if restart.at >= passed:
                timers.later(restart.at - passed, partial(self._spawn_restart, restart))
        for instant in self._scenario.switch.disconnects:
            if instant >= passed:
                timers.later(instant - passed, self.drop_connections)

    async def stop(self, *, graceful: bool = True) -> None:
        """End for good."""
        for task in list(self._tasks):
            task.cancel()
        await self._go_down(graceful=graceful)
        self._counts.close()

    async def restart(self, down: float = 0.0, *, graceful: bool = False) -> None:
        """Stop, stay away for ``down`` seconds of rule time, and come back with a new Core-UUID and no calls."""
        await self._go_down(graceful=graceful)
        await asyncio.sleep(clock.real_seconds(down))
        self.switch.boot()
        await self._listen()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Session(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _go_down(self, *, graceful: bool) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        if graceful:
            self.switch.hang_up_all("SYSTEM_SHUTDOWN")
            await asyncio.sleep(clock.real_seconds(SHUTDOWN_SECONDS))
            for session in list(self.sessions):
                session.say_goodbye(SHUTDOWN)
        else:
            self.drop_connections()
        self.switch.lose_everything()
        await asyncio.sleep(0)

    def _told_to_shut_down(self, restart: bool) -> None:
        self._spawn(self.restart(down=1.0, graceful=True) if restart else self._go_down_for_good())

    async def _go_down_for_good(self) -> None:
        await self._go_down(graceful=True)
        self.stopped.set()

    def _spawn_restart(self, plan: Restart) -> None:
        self._spawn(self.restart(plan.down, graceful=plan.graceful))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
