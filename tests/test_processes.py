"""The supervisor: starts again what dies, ends everything, leaves no orphan."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dialer import processes
from dialer.processes import Program, Supervisor

SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


def program(name: str, code: str, **fields: object) -> Program:
    return Program(name, processes.python("-c", code), **fields)  # type: ignore[arg-type]


class House:
    """A supervisor and what it said."""

    def __init__(self, *programs: Program, **options: object) -> None:
        self.lines: list[tuple[str, str]] = []
        self.notices: list[str] = []
        self.supervisor = Supervisor(
            programs, show=self._show, notice=self.notices.append, first_pause=0.1, **options  # type: ignore[arg-type]
        )  # fmt: skip

    def _show(self, name: str, line: str) -> bool:
        self.lines.append((name, line))
        return False

    def pid(self, name: str) -> int:
        """Return the process of a program, once it has one."""
        eventually(lambda: self.supervisor.pid(name) is not None, f"{name} has a process")
        pid = self.supervisor.pid(name)
        assert pid is not None
        return pid


@pytest.fixture
def house() -> Iterator[Callable[..., House]]:
    """Return what starts a house that ends with the test."""
    houses: list[House] = []

    def start(*programs: Program, **options: object) -> House:
        houses.append(House(*programs, **options))
        houses[-1].supervisor.start()
        return houses[-1]

    yield start
    for one in houses:
        one.supervisor.stop()


def eventually(holds: Callable[[], object], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_lines_of_a_child_come_with_its_name_and_are_kept(house: Callable[..., House], tmp_path: Path) -> None:
    one = house(program("talker", "print('one'); print('two', flush=True)" + f"; {SLEEP}"), log_dir=tmp_path)
    eventually(lambda: len(one.lines) == 2, "both lines")
    assert one.lines == [("talker", "one"), ("talker", "two")]
    assert (tmp_path / "talker.log").read_text() == "one\ntwo\n"


def test_a_child_gets_the_environment_of_the_house_and_its_own(house: Callable[..., House]) -> None:
    code = f"import os; print(os.environ['SHARED'], os.environ['OWN'], flush=True); {SLEEP}"
    one = house(program("child", code, env={"OWN": "mine"}), env={"SHARED": "all"})
    eventually(lambda: ("child", "all mine") in one.lines, "the line")


def test_what_was_killed_starts_again(house: Callable[..., House]) -> None:
    one = house(program("child", SLEEP), program("other", SLEEP))
    first, other = one.pid("child"), one.pid("other")
    one.supervisor.kill("child")
    eventually(lambda: one.supervisor.pid("child") not in {None, first}, "it runs again")
    assert one.supervisor.starts("child") == 2
    assert one.pid("other") == other
    assert "child ended (by SIGKILL); it starts again in 0.1 s." in one.notices


def test_the_pauses_grow_while_it_keeps_dying(house: Callable[..., House]) -> None:
    one = house(program("child", "raise SystemExit(3)"))
    eventually(lambda: one.supervisor.starts("child") >= 4, "four starts")
    pauses = [notice.rsplit(" ", 2)[1] for notice in one.notices if "starts again" in notice]
    assert pauses[:3] == ["0.1", "0.2", "0.4"]
    assert "child ended (exit status 3); it starts again in 0.1 s." in one.notices


def test_the_last_words_of_one_that_failed_are_told(house: Callable[..., House]) -> None:
    one = house(program("child", "raise SystemExit('no such scenario')", restart=False))
    eventually(lambda: "child ended (exit status 1)." in one.notices, "it ended")
    assert "  child | no such scenario" in one.notices


def test_one_that_need_not_run_on_is_not_started_again(house: Callable[..., House]) -> None:
    one = house(program("child", "pass", restart=False))
    eventually(lambda: "child ended (exit status 0)." in one.notices, "it ended")
    time.sleep(0.5)
    assert one.supervisor.starts("child") == 1
    assert one.supervisor.pid("child") is None


def test_stop_ends_everything_the_last_started_first(house: Callable[..., House]) -> None:
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('bye', flush=True)));"
    code += "print('ready', flush=True); time.sleep(60)"
    one = house(program("first", code), program("second", code))
    eventually(lambda: one.lines.count(("first", "ready")) + one.lines.count(("second", "ready")) == 2, "both run")
    pids = [one.pid("first"), one.pid("second")]
    one.supervisor.stop()
    assert [name for name, line in one.lines if line == "bye"] == ["second", "first"]
    assert not any(map(is_alive, pids))


def test_stop_kills_what_does_not_end_in_time(house: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.3)
    one = house(program("child", STUBBORN))
    eventually(lambda: ("child", "ready") in one.lines, "it runs")
    pid = one.pid("child")
    one.supervisor.stop()
    assert not is_alive(pid)
    assert "child did not end in time and is killed." in one.notices


def test_a_killed_child_takes_its_own_children_along(house: Callable[..., House]) -> None:
    code = f"""
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", {SLEEP!r}]).pid, flush=True)
time.sleep(60)
"""
    one = house(program("child", code, restart=False))
    eventually(lambda: one.lines, "the grandchild's pid")
    grandchild = int(one.lines[0][1])
    os.kill(one.pid("child"), signal.SIGKILL)
    eventually(lambda: not is_alive(grandchild), "the grandchild ended")


def test_a_killed_supervisor_leaves_no_orphan() -> None:
    script = f"""
        import sys, time
        from dialer.processes import Program, Supervisor, python
        house = Supervisor([Program("child", python("-c", {SLEEP!r}))])
        house.start()
        print(house.pid("child"), flush=True)
        time.sleep(60)
    """
    supervisor = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, cwd=processes.PROJECT
    )
    assert supervisor.stdout is not None
    child = int(supervisor.stdout.readline())
    eventually(lambda: b"sleep" in Path(f"/proc/{child}/cmdline").read_bytes(), "it became its command")
    supervisor.kill()
    supervisor.communicate()
    eventually(lambda: not is_alive(child), "the child ended")


def test_those_after_one_with_a_port_start_when_it_answers(house: Callable[..., House]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = f"""
import socket, time
time.sleep(0.5)
listening = socket.create_server(("127.0.0.1", {port}))
print("listens", flush=True)
time.sleep(60)
"""
    one = house(program("server", server, port=port), program("client", f"print('starts', flush=True); {SLEEP}"))
    eventually(lambda: len(one.lines) == 2, "both lines")
    assert one.lines == [("server", "listens"), ("client", "starts")]


def test_one_with_a_port_that_dies_holds_nobody_up(house: Callable[..., House]) -> None:
    one = house(program("server", "raise SystemExit(1)", port=1), program("client", SLEEP))
    assert one.pid("client")


def test_each_switch_has_a_listener() -> None:
    one = processes.stack(nodes=["a:8021"], beat_schedule=Path("beat"))
    two = processes.stack(nodes=["a:8021", "b:8021"], beat_schedule=Path("beat"), port=8000)
    assert [program.name for program in one] == ["listener", "dial", "worker", "uploads", "beat"]
    assert [program.name for program in two] == [
        "listener-a:8021", "listener-b:8021", "dial", "worker", "uploads", "beat", "web"
    ]  # fmt: skip
