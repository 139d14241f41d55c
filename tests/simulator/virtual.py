"""A switch without sockets, whose time passes as fast as the test can run."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from dialer.esl.wire import Event
from dialer.simulator.api import execute
from dialer.simulator.counts import Counts
from dialer.simulator.scenario import Scenario
from dialer.simulator.switch import Switch

START = 1_800_000_000.0


class Planned:
    """An action on the heap of ``VirtualTimers``."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        self.action = None


class VirtualTimers:
    """Rule time that passes when told to."""

    def __init__(self) -> None:
        self._now = START
        self._heap: list[tuple[float, int, Planned]] = []
        self._order = count()

    def now(self) -> float:
        return self._now

    def later(self, seconds: float, action: Callable[[], object]) -> Planned:
        planned = Planned(action)
        heapq.heappush(self._heap, (self._now + seconds, next(self._order), planned))
        return planned

    def run(self, seconds: float) -> None:
        end = self._now + seconds
        while self._heap and self._heap[0][0] <= end:
            self._now, _, planned = heapq.heappop(self._heap)
            if planned.action:
                planned.action()
        self._now = end


class VirtualSwitch:
    """A switch with its own time, everything it told and every answer it gave, in order."""

    def __init__(self, scenario: Scenario | None = None, seed: int = 1) -> None:
        self.timers = VirtualTimers()
        self.told: list[Event] = []
        self.answers: list[str] = []
        self.switch = Switch(scenario or Scenario(), seed, self.timers, self, Counts(None, START))

    def wants(self, name: str, subclass: str) -> bool:
        return True

    def tell(self, event: Event) -> None:
        self.told.append(event)

    def run(self, seconds: float = 120.0) -> None:
        self.timers.run(seconds)

    def api(self, line: str) -> list[str]:
        """Give a command; its answers are added to the list when they come."""
        answers: list[str] = []
        command, _, argument = line.partition(" ")
        execute(self.switch, command, argument, answers.append)
        return answers

    def bgapi(self, line: str, job: str = "job") -> None:
        command, _, argument = line.partition(" ")
        execute(self.switch, command, argument, lambda text: self.switch.events.job(job, command, argument, text))

    def names(self) -> list[str]:
        return [event.name for event in self.told if event.name != "HEARTBEAT"]
