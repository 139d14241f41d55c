"""Run the whole dialer on this machine."""

from __future__ import annotations

import fcntl
import json
import logging
import re
import secrets
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError

from agents import actions as agents
from agents.models import Operator
from dialer import embedded, processes, static_files
from dialer.management.commands import demo as demonstration
from dialer.signals import event_of
from dialer.switch import nodes

ANSWER_SECONDS = 60
COLOURS = (36, 33, 35, 32, 34, 96)
LEVEL = re.compile(r"\d{4}-\d\d-\d\dT\S+ (DEBUG|INFO|WARNING|ERROR|CRITICAL) ")
LOUD = {"WARNING", "ERROR", "CRITICAL"}
USERNAME = "supervisor"
DESK_USER = "operator"


class Command(BaseCommand):
    help = (
        "Prepare the database and run everything: web, dial worker, worker, beat, listener and, unless FREESWITCH_URL "
        "names a switch, the simulator with a demo. Ctrl-C ends it; the next run goes on where it was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--verbose", action="store_true", help="Show every line, not only warnings.")
        parser.add_argument("--no-demo", action="store_true", help="Load no demo on the first run.")
        parser.add_argument("--scenario", default=settings.SIMULATOR_SCENARIO, help="How the simulated people behave.")
        parser.add_argument("--seed", type=int, default=1, help="The simulator's dice.")

    def handle(self, *args: Any, **options: Any) -> None:
        stopped = event_of(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if not options["verbose"]:
            logging.getLogger().setLevel(logging.WARNING)
        settings.DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self.only_one()
        ports = {"PORT": settings.PORT} | ({"SIMULATOR_PORT": settings.SIMULATOR_PORT} if settings.SIMULATED else {})
        for name, port in ports.items():
            check_port_is_free(name, settings.BIND_ADDRESS if name == "PORT" else "127.0.0.1", port)

        if embedded.unset():
            self.say("Starting PostgreSQL and Redis …")
            try:
                embedded.use()
            except embedded.EmbeddedError as error:
                raise CommandError(str(error)) from error
        self.say("Preparing the database …")
        call_command("migrate", interactive=False, verbosity=0)
        if not settings.DEBUG:
            static_files.collect()
        log_in = self.first_run(demo=settings.SIMULATED and not options["no_demo"])

        env: dict[str, str] = {}
        programs: list[processes.Program] = []
        if settings.SIMULATED:
            port, password = settings.SIMULATOR_PORT, secrets.token_urlsafe(12)
            names = [f"127.0.0.1:{port}"]
            env["SIMULATOR_URL"] = f"esl://:{password}@{names[0]}"
            state = settings.DATA_DIR / "simulator-state"
            programs.append(processes.simulator(port, password, options["scenario"], options["seed"], state))
        else:
            names = [node.name for node in nodes.configured()]
        programs += processes.stack(
            nodes=names,
            beat_schedule=settings.DATA_DIR / "beat-schedule",
            port=settings.PORT,
            bind=settings.BIND_ADDRESS,
        )
        supervisor = processes.Supervisor(
            programs,
            env=env,
            log_dir=settings.DATA_DIR / "logs",
            show=self.shower([program.name for program in programs], everything=options["verbose"]),
            notice=self.say,
        )
        self.say("Starting " + ", ".join(program.name for program in programs) + " …")
        with supervisor:
            if self.answers(stopped):
                self.say(f"\n  {self.style.SUCCESS(address_of_web())}\n  {log_in}\n")
                self.say(f"Ctrl-C ends it. Logs are in {shown(settings.DATA_DIR / 'logs')}; warnings follow.")
            while not stopped.wait(1):
                for services in embedded.held():
                    services.ensure()
            self.say("\nEnding …")
        for services in embedded.held():
            services.stop()
        lock.close()
        self.say("Ended.")

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def only_one(self) -> IO[str]:
        """Return the lock that lets one house run on one data folder."""
        lock = open(settings.DATA_DIR / "run.lock", "a")  # noqa: SIM115 (held while we run)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandError(f"It runs already, on the data folder {shown(settings.DATA_DIR)}.") from error
        return lock

    def first_run(self, *, demo: bool) -> str:
        """Make a supervisor, and load the demo, if nobody can log in yet. Return how to log in."""
        users = get_user_model().objects
        kept, of_desk = password_file(USERNAME), password_file(DESK_USER)
        if users.filter(is_superuser=True, is_active=True).exists():
            if kept.exists() and users.filter(username=USERNAME).exists():
                told = f"Log in as {USERNAME}; the first password is in {shown(kept)}"
                if of_desk.exists() and users.filter(username=DESK_USER).exists():
                    told += f"\n  or, to take calls at the desk, as {DESK_USER}; his is in {shown(of_desk)}"
                return told
            return "Log in with your own name and password."
        desk = ""
        if demo and "demo" in get_commands():
            self.say("Loading the demo …")
            call_command("demo", verbosity=0)
            desk = self.desk_user()
        password = kept_password(USERNAME)
        users.create_superuser(USERNAME, password=password)
        return f"Log in as {USERNAME} with the password {password} (kept in {shown(kept)}){desk}"

    def desk_user(self) -> str:
        """Let somebody log in as the demo's operator at the desk, unless he can; return how."""
        users, name = get_user_model().objects, DESK_USER
        him = Operator.objects.filter(extension=demonstration.DESK[0], user=None).first()
        if him is None or users.filter(username=name).exists():
            return ""
        password = kept_password(name)
        user = users.create_user(name, password=password)
        user.groups.add(Group.objects.get(name="Operator"))
        agents.update_operator(him.pk, user=user)
        told = f"or, to take calls at the desk, as {name} with the password {password}"
        return f"\n  {told} (kept in {shown(password_file(name))})"

    def shower(self, names: list[str], *, everything: bool) -> Callable[[str, str], bool]:
        """Return what prints the lines of the children: those without a level go with the line before them."""
        width = max(map(len, names))
        colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
        loud = dict.fromkeys(names, False)
        lock = threading.Lock()

        def show(name: str, line: str) -> bool:
            level = level_of(line)
            if level is not None:
                loud[name] = level in LOUD
            if not everything and not loud[name]:
                return False
            prefix = f"{name:>{width}} |"
            if self.stdout.isatty():
                prefix = f"\033[{colour[name]}m{prefix}\033[0m"
            with lock:
                self.say(f"{prefix} {line}")
            return True

        return show

    def answers(self, stopped: threading.Event) -> bool:
        """Wait until the web answers. Say so and return False if it does not."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline and not stopped.is_set():
            try:
                with urllib.request.urlopen(f"{address_of_web()}admin/login/", timeout=2):  # noqa: S310 (http, ours)
                    return True
            except urllib.error.HTTPError:
                return True
            except OSError:
                stopped.wait(0.1)
        if not stopped.is_set():
            self.say(f"The web does not answer yet; look into {shown(settings.DATA_DIR / 'logs' / 'web.log')}.")
        return False


def address_of_web() -> str:
    host = "localhost" if settings.BIND_ADDRESS in {"127.0.0.1", "0.0.0.0", "::"} else settings.BIND_ADDRESS  # noqa: S104
    return f"http://{host}:{settings.PORT}/"


def level_of(line: str) -> str | None:
    """Return the level of a log line in either format, or ``None`` if it has none."""
    if line.startswith("{"):
        try:
            return str(json.loads(line)["level"])
        except (ValueError, KeyError, TypeError):
            return None
    found = LEVEL.match(line)
    return found[1] if found else None


def password_file(username: str) -> Path:
    return Path(settings.DATA_DIR, f"{username}-password")


def kept_password(username: str) -> str:
    """Make a first password for a user, and keep it in a file that its owner alone can read."""
    kept = password_file(username)
    kept.unlink(missing_ok=True)
    return embedded.keep_once(kept, lambda: secrets.token_urlsafe(9))


def shown(path: Path) -> str:
    """Return a path as one types it from the project's folder."""
    return str(path.relative_to(settings.BASE_DIR) if path.is_relative_to(settings.BASE_DIR) else path)


def check_port_is_free(name: str, host: str, port: int) -> None:
    """Raise ``CommandError`` with what to do if something listens on a port."""
    with socket.socket() as probe:
        # As the servers do: connections of an earlier run that are still closing are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} cannot be used ({error.strerror}). "
                f"End what has it, or choose another: {name}={port + 1} make run"
            ) from error
