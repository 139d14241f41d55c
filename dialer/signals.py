"""Signals that end a process, as an event that its threads can wait for."""

from __future__ import annotations

import os
import signal
import threading


def event_of(*numbers: signal.Signals) -> threading.Event:
    """Return an event that the first of these signals sets. For the main thread, of a program without an event loop.

    The interpreter itself writes a byte for each signal, and a thread that reads it sets the event. The lock of an
    event is not reentrant: a handler that called ``set`` and was interrupted there by the next signal, as in the burst
    that the death of a parent brings, or that interrupted somebody within ``wait``, would wait for itself for ever.
    """
    told = threading.Event()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def pass_on() -> None:
        os.read(reader, 1)
        told.set()

    for number in numbers:
        signal.signal(number, _nothing)
    threading.Thread(target=pass_on, name="signals", daemon=True).start()
    return told


def _nothing(*_: object) -> None:
    """Keep the signal from ending the process."""
