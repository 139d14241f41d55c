"""Time as the simulated switch uses it: rule time, so that a faster clock makes a faster switch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from dialer import clock


class Timer(Protocol):
    """Something that will happen, unless cancelled."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """What the switch asks of its surroundings."""

    def now(self) -> float:
        """Return the rule time, in seconds since 1970."""
        ...

    def later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Do something after so many seconds of rule time, and after what was planned before for the same instant."""
        ...


class LoopTimers:
    """The rule clock of the project, on an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return clock.timestamp()

    def later(self, seconds: float, action: Callable[[], object]) -> Timer:
        return self._loop.call_later(clock.real_seconds(seconds), action)
