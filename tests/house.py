"""The product in one process, for tests that dial: a listener in a thread, and passes run by the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from dialer.engine import invariants, tasks
from dialer.engine.listener import Listener
from dialer.models import Attempt
from dialer.simulator.thread import SimulatorThread
from dialer.switch.nodes import configured


class House:
    """The product around the switch of ``FREESWITCH_URL``; the test itself is the dial worker and beat."""

    listener: Listener
    thread: threading.Thread

    def until(self, condition: Callable[[], object], seconds: float = 20) -> None:
        """Run passes until something holds; fail when it does not within so many seconds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"It never came to hold. {list(Attempt.objects.values())}"
            tasks.dispatch_pass()
            tasks.tidy_up()
            time.sleep(0.05)

    def listen(self) -> None:
        self.listener = Listener(configured()[0])
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        try:
            self.listener.listen_until_stopped()
        finally:
            connections.close_all()

    def deafen(self) -> None:
        """Stop the listener, as a crash of it would."""
        self.listener.stopping.set()
        self.thread.join(10)


class SimulatedHouse(House):
    """The product around one simulated switch."""

    def __init__(self, simulator: SimulatorThread) -> None:
        self.simulator = simulator


@pytest.fixture
def house(settings: Any) -> Iterator[SimulatedHouse]:
    with SimulatorThread() as simulator:
        settings.FREESWITCH_URL = simulator.url
        found = SimulatedHouse(simulator)
        found.listen()
        yield found
        found.deafen()
        assert invariants.find_violations() == []
