"""Signals that end a process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

WAITS = """
import signal
from dialer.signals import event_of
told = event_of(signal.SIGTERM, signal.SIGINT)
print("ready", flush=True)
told.wait()
for _ in range(100_000):
    told.wait(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("told", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_told(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "told\n"
        assert process.wait(10) == 0


def test_a_burst_of_signals_blocks_nobody() -> None:
    """Whose handler sets an event itself stands still here for ever."""
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            deadline = time.monotonic() + 10
            while process.poll() is None and time.monotonic() < deadline:
                process.send_signal(signal.SIGTERM)
                time.sleep(0.00001)
            process.kill()
            assert (process.stdout.read(), process.wait()) == ("told\n", 0)
