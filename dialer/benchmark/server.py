"""A web server of its own for a benchmark, on the database in use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dialer.benchmark import databases

STARTS_WITHIN = 60
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Return how long it has computed. Linux alone."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running() -> Iterator[Server]:
    """Run a server, and end it. Raises ``RuntimeError`` when it does not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environ = os.environ | {"DATABASE_URL": databases.address(), "LOG_LEVEL": "WARNING", "DATABASE_POOL": "true"}
    environ["API_REQUESTS_PER_MINUTE"] = "1000000"
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "dialer.asgi:application", "--port", str(port), "--log-level", "warning"],
        env=environ,
    )
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError("The server did not start.") from None
                time.sleep(0.1)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait()
