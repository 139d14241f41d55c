"""Run the processes of the house as children: prefix their output, start again what dies, end all of it together.

``manage.py run`` uses it for the real stack, ``manage.py rehearse`` for one that it kills pieces of. No child outlives
the supervisor, even if that is killed: the kernel then ends them (Linux).
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import logging
import logging.handlers
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.1
STOP_SECONDS = 10.0
HEAD_START_SECONDS = 0.3
ANSWER_SECONDS = 10.0
LONGEST_PAUSE = 30.0
SETTLED_SECONDS = 60.0
"""One that lived so long did not die of its start: its next pause is short again."""
LOG_BYTES, LOG_FILES = 10_000_000, 3


@dataclass(frozen=True)
class Program:
    """What to run under which name."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    restart: bool = True
    port: int | None = None
    """Where it listens on this machine: those after it in the list start when it answers, or ten seconds later."""


def python(*arguments: str) -> list[str]:
    """Return the command that runs this Python with arguments."""
    return [sys.executable, *arguments]


def stack(
    *, nodes: Sequence[str], beat_schedule: Path, port: int | None = None, bind: str = "127.0.0.1"
) -> list[Program]:
    """Return the programs of one house but for the simulator, in the order of their start.

    ``nodes`` are the names of the switches: each has a listener of its own. Without a port there is no web.
    """
    celery = ("-m", "celery", "-A", "dialer")
    # One process each, so that a kill hits all of it. No chatter between workers: a message only wakes.
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    programs = [
        *(
            Program(
                "listener" if len(nodes) == 1 else f"listener-{node}", python("manage.py", "listen", "--node", node)
            )
            for node in nodes
        ),
        Program("dial", python(*celery, "worker", "-Q", "dial", "-n", "dial@%h", "-P", "solo", *quiet)),
        Program(
            "worker", python(*celery, "worker", "-Q", "default", "-n", "worker@%h", "-P", "threads", "-c", "4", *quiet)
        ),
        # A list of a million takes minutes, in which the other worker has what cannot wait.
        Program(
            "uploads",
            python(*celery, "worker", "-Q", "uploads", "-n", "uploads@%h", "-P", "threads", "-c", "2", *quiet),
        ),
        Program("beat", python(*celery, "beat", "--schedule", str(beat_schedule))),
    ]
    if port is not None:
        web = ["-m", "uvicorn", "dialer.asgi:application", "--host", bind, "--port", str(port)]
        # Bytes of a WebSocket message: what a client may send, whatever its letters; the default is 16 MB.
        web += ["--ws-max-size", "262144"]
        programs.append(
            Program("web", python(*web, "--no-access-log", "--lifespan", "off", "--timeout-graceful-shutdown", "3"))
        )
    return programs


def simulator(port: int, password: str, scenario: str, seed: int, state: Path) -> Program:
    """Return the program of the simulated switch, on a port of this machine; ``state`` outlives its kills."""
    options = ["--listen", f"127.0.0.1:{port}", f"--password={password}", "--scenario", scenario, "--seed", str(seed)]
    options += ["--state", str(state)]
    return Program("simulator", python("manage.py", "simulate", *options), port=port)


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    reader: threading.Thread | None = None
    started_at: float = 0.0
    start_at: float | None = 0.0
    """When to start it (monotonic); ``None`` while it runs, or is not wanted."""
    pause: float = 1.0
    starts: int = 0
    tail: collections.deque[str] = field(default_factory=lambda: collections.deque(maxlen=10))


class Supervisor:
    """Runs programs until ``stop()``. Its methods may be called from any thread.

    ``show(name, line)`` gets every line that a child writes and says whether it showed it; ``notice(text)`` gets what
    the supervisor itself has to say, with the last unshown lines of a child that died. Both are called from its
    threads. With a log folder each child's lines are kept in ``NAME.log`` too.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        env: Mapping[str, str] | None = None,
        log_dir: Path | None = None,
        show: Callable[[str, str], bool] = lambda name, line: False,
        notice: Callable[[str], None] = lambda text: None,
        first_pause: float = 1.0,
    ) -> None:
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._log_dir = log_dir
        self._show = show
        self._notice = notice
        self._first_pause = first_pause
        self._children = {program.name: _Child(program, pause=first_pause) for program in programs}
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._up = threading.Event()
        # The kernel ends a child with the thread that started it: one thread starts them all and lives to the end.
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all programs, in order; return once each has a process."""
        self._thread.start()
        self._up.wait()

    def pid(self, name: str) -> int | None:
        """Return the process of a program, or ``None`` while it has none."""
        with self._lock:
            process = self._children[name].process
            return process.pid if process is not None and process.poll() is None else None

    def starts(self, name: str) -> int:
        """Return how often a program was started."""
        return self._children[name].starts

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a program a signal. It is started again if it dies of it."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            process = self._children[name].process
            if process is not None and process.poll() is None:
                os.killpg(process.pid, number)

    def stop(self) -> None:
        """End all programs, the last started first; kill what is left after ten seconds. Twice is harmless."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    # In the supervisor's thread

    def _watch(self) -> None:
        try:
            while not self._ending.is_set():
                for child in self._children.values():
                    with self._lock:
                        self._look_after(child)
                    if not self._up.is_set():
                        self._await(child)
                self._up.set()
                self._ending.wait(POLL_SECONDS)
        finally:
            self._up.set()
            self._end_all()

    def _await(self, child: _Child) -> None:
        """Wait until a program that others need answers."""
        port = child.program.port
        deadline = time.monotonic() + ANSWER_SECONDS
        while port is not None and time.monotonic() < deadline and not self._ending.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            if self.pid(child.program.name) is None:
                return  # it died; the rest starts all the same, and waits as it would for any switch
            self._ending.wait(0.05)

    def _look_after(self, child: _Child) -> None:
        name, now = child.program.name, time.monotonic()
        if child.process is not None and child.process.poll() is not None:
            status = self._bury(child)
            if now - child.started_at > SETTLED_SECONDS:
                child.pause = self._first_pause
            if child.program.restart:
                child.start_at = now + child.pause
                self._notice(f"{name} ended ({_in_words(status)}); it starts again in {child.pause:g} s.")
                child.pause = min(child.pause * 2, LONGEST_PAUSE)
            else:
                self._notice(f"{name} ended ({_in_words(status)}).")
        if child.start_at is not None and now >= child.start_at:
            self._spawn(child)

    def _spawn(self, child: _Child) -> None:
        child.tail.clear()
        child.process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(os.getpid()), *child.program.command],
            env={**self._env, **child.program.env},
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the supervisor, and a kill takes the child's own children along.
            start_new_session=True,
        )
        child.starts += 1
        child.started_at, child.start_at = time.monotonic(), None
        child.reader = threading.Thread(target=self._read, args=(child, child.process), daemon=True)
        child.reader.start()

    def _read(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        name = child.program.name
        log: logging.Handler | None = None
        if self._log_dir is not None:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            log = logging.handlers.RotatingFileHandler(
                self._log_dir / f"{name}.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
            )
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            if log is not None:
                log.emit(logging.makeLogRecord({"msg": line}))
            if not self._show(name, line):
                child.tail.append(line)
        if log is not None:
            log.close()

    def _bury(self, child: _Child) -> int:
        """Forget a dead process and what it left behind; tell its last words unless it went in peace."""
        process = child.process
        assert process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if child.reader is not None:
            child.reader.join(1)
        child.process = None
        if process.returncode != 0 and not self._ending.is_set():
            for line in child.tail:
                self._notice(f"  {child.program.name} | {line}")
        return process.returncode

    def _end_all(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        running = [(child, child.process) for child in reversed(self._children.values()) if child.process is not None]
        for _, process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            # A little ahead of the next one, so that those who give work to others end before them.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(HEAD_START_SECONDS)
        for child, process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._notice(f"{child.program.name} did not end in time and is killed.")
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self._bury(child)


def _in_words(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"


def _become(arguments: list[str]) -> None:
    """Turn this process into the child's command, with the promise that it ends with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    parent, *command = arguments
    if os.getppid() != int(parent):  # it died before the promise
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 (a list of ours, no shell)


if __name__ == "__main__":
    _become(sys.argv[1:])
