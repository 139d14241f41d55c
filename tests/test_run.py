"""``manage.py run`` as a newcomer meets it: it prints where to go, goes on where it was, and ends without a trace."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dialer.embedded import PROJECT

pytestmark = pytest.mark.slow


class House:
    """One ``manage.py run`` on folders and ports of its own."""

    def __init__(self, base: Path, *ports: int) -> None:
        self.base = base
        self.data = base / "data"
        self.web = f"http://localhost:{ports[0]}/"
        own = {"DATA_DIR": self.data, "EMBEDDED_DIR": base, "PORT": ports[0], "SIMULATOR_PORT": ports[1]}
        dropped = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE"}
        self.env = {key: value for key, value in os.environ.items() if key not in dropped}
        self.env |= {key: str(value) for key, value in own.items()}
        self.process: subprocess.Popen[str] | None = None
        self.lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []

    def run(self, *options: str) -> None:
        self.said = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "run", *options],
            cwd=PROJECT, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.put(line.rstrip())

    def wait_for(self, pattern: str, seconds: float = 90) -> re.Match[str]:
        """Return the first line from now on that matches."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                line = self.lines.get(timeout=0.5)
            except queue.Empty:
                assert self.process is None or self.process.poll() is None, "it has ended\n" + "\n".join(self.said)
                continue
            self.said.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"not within {seconds} s: {pattern}\n" + "\n".join(self.said))

    def wait_for_calls(self, *, more_than: int, seconds: float = 120) -> int:
        """Return how many calls were bridged, once they are more."""
        deadline = time.monotonic() + seconds
        with psycopg.connect(f"postgresql://dialer@/dialer?host={self.base}/main/run", autocommit=True) as database:
            while True:
                row = database.execute("SELECT count(*) FROM dialer_attempt WHERE bridged_at IS NOT NULL").fetchone()
                assert row is not None
                if row[0] > more_than:
                    return int(row[0])
                assert time.monotonic() < deadline, f"{row[0]} calls within {seconds} s"
                time.sleep(0.2)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, as Ctrl-C in a terminal does, and return the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def processes(self) -> dict[int, str]:
        """Return what runs for this house: it has its folder in its environment or its command."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment, command = (process / "environ").read_bytes(), (process / "cmdline").read_bytes()
            except OSError:
                continue
            if command and os.fsencode(self.base) in environment + command:
                found[int(process.name)] = command.replace(b"\0", b" ").decode()
        return found

    def assert_gone(self, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while left := self.processes():
            assert time.monotonic() < deadline, f"still there: {left}"
            time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def house() -> Iterator[House]:
    base = Path("/var/tmp", f"progressive-dialer-tests-{os.getpid()}-{time.monotonic_ns()}")
    house = House(base, free_port(), free_port())
    yield house
    if house.process is not None and house.process.poll() is None:
        house.process.kill()
        house.process.wait()
    house.assert_gone()
    shutil.rmtree(base, ignore_errors=True)


def test_it_says_where_to_go_dials_goes_on_where_it_was_and_ends_without_a_trace(house: House) -> None:
    house.run()
    assert house.wait_for(r"http://\S+")[0] == house.web
    password = house.wait_for(r"Log in as supervisor with the password (\S+)")[1]
    kept = house.data / "supervisor-password"
    assert kept.read_text() == password
    assert kept.stat().st_mode & 0o777 == 0o600
    his = house.wait_for(r"as operator with the password (\S+)")[1]
    assert (house.data / "operator-password").read_text() == his
    with urllib.request.urlopen(house.web, timeout=10) as page:
        assert page.status == 200
    bridged = house.wait_for_calls(more_than=0)
    assert (house.data / "logs" / "web.log").exists()
    assert house.end() == 0
    house.assert_gone()

    house.run()
    house.wait_for(r"Log in as supervisor; the first password is in .*supervisor-password")
    house.wait_for(r"at the desk, as operator; his is in .*operator-password")
    assert kept.read_text() == password
    house.wait_for_calls(more_than=bridged)
    assert house.end(signal.SIGTERM) == 0
    house.assert_gone()


def test_a_second_one_on_the_same_data_is_refused(house: House) -> None:
    house.run("--no-demo")
    house.wait_for("Starting simulator")
    second = subprocess.run(
        [sys.executable, "manage.py", "run"], cwd=PROJECT, env=house.env, text=True, capture_output=True, check=False
    )
    assert second.returncode == 1
    assert "It runs already" in second.stderr
    assert house.end() == 0


def test_a_taken_port_is_told_with_what_to_do(house: House) -> None:
    with socket.create_server(("127.0.0.1", int(house.env["PORT"]))):
        house.run("--no-demo")
        port = int(house.env["PORT"])
        house.wait_for(rf"Port {port} cannot be used .* choose another: PORT={port + 1} make run")
    assert house.process is not None
    assert house.process.wait(30) == 1


@pytest.mark.faults
def test_a_killed_one_leaves_nothing_behind_and_the_next_goes_on(house: House) -> None:
    house.run("--no-demo")
    house.wait_for("Log in as supervisor")
    assert house.end(signal.SIGKILL) == -signal.SIGKILL
    house.assert_gone()
    house.run("--no-demo")
    house.wait_for("the first password is in")
    assert house.end() == 0


@pytest.mark.faults
@pytest.mark.parametrize("part", ["simulator", "listener", "dial", "worker", "uploads", "beat", "web", "embedded.py"])
def test_a_killed_part_comes_back(house: House, part: str) -> None:
    words = {"simulator": "simulate --listen", "listener": "listen --node", "dial": "-Q dial", "worker": "-Q default"}
    words |= {"uploads": "-Q uploads", "beat": "dialer beat", "web": "uvicorn"}

    def found() -> int | None:
        return next((pid for pid, command in house.processes().items() if words.get(part, part) in command), None)

    house.run("--no-demo")
    house.wait_for("Log in as supervisor")
    first = found()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while found() in {None, first}:
        assert time.monotonic() < deadline, f"{part} did not come back"
        time.sleep(0.1)
    assert house.end() == 0
