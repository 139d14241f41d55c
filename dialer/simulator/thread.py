"""The simulated switch in a thread of its own, for tests that talk to it over a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from dialer.simulator.controls import Controls
from dialer.simulator.scenario import ANSWER, OperatorPlan, Scenario, Span, SubscriberPlan, Weights
from dialer.simulator.server import PASSWORD, Simulator

T = TypeVar("T")

START_SECONDS: Final = 10.0
PROMPT: Final = Scenario(
    subscribers=SubscriberPlan(
        outcomes=Weights({ANSWER: 1.0}),
        ring=Span(0.1, 0.1),
        talk=Span(0.5, 0.5),
        hangs_up=1.0,
        patience=Span(30, 30),
        early_media=0.0,
    ),
    operators=OperatorPlan(answer=Span(0.1, 0.1)),
)
"""Everybody answers after a tenth of a second; the subscriber hangs up after half a second of talk."""


class SimulatorThread(Controls):
    """A simulator that runs beside the test: ``with SimulatorThread() as simulator``.

    ``host``, ``port``, ``password`` and ``url`` say where it is. Every method may be called from any thread, and has
    had its effect when it returns.
    """

    def __init__(
        self,
        scenario: Scenario = PROMPT,
        seed: int = 1,
        *,
        port: int = 0,
        password: str = PASSWORD,
        state: Path | None = None,
    ) -> None:
        self.password = password
        self._arguments: dict[str, Any] = {"port": port, "password": password, "state": state}
        self._scenario = scenario
        self._seed = seed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()
        self._simulator = self._wait(self._begin())
        self.switch, self.sessions = self._simulator.switch, self._simulator.sessions
        self.host, self.port = self._simulator.host, self._simulator.port

    async def _begin(self) -> Simulator:
        simulator = Simulator(self._scenario, self._seed, **self._arguments)
        await simulator.start()
        return simulator

    @property
    def url(self) -> str:
        """Its address, as FREESWITCH_URL wants it."""
        return f"esl://:{self.password}@{self.host}:{self.port}"

    def restart(self, down: float = 0.0, *, graceful: bool = False) -> None:
        """Restart the switch; returns when it listens again, on the same port."""
        self._wait(self._simulator.restart(down, graceful=graceful))

    def stop(self, *, graceful: bool = False) -> None:
        """End for good. A second time does nothing."""
        if self._loop.is_closed():
            return
        self._wait(self._simulator.stop(graceful=graceful))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()

    def turn_away(self, turned: bool = True) -> None:
        self._simulator.turn_away(turned)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _do(self, action: Callable[[], T]) -> T:
        async def act() -> T:
            return action()

        return self._wait(act())
