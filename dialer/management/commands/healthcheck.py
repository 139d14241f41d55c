"""``manage.py healthcheck``: whether one process of the house does its work, for whoever looks after its container."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.http.request import validate_host

from dialer import health, heartbeats

SECONDS = 5.0
"""How long the web may take to answer."""
QUIET = {"dial": 30.0, "default": 30.0, "uploads": 30.0, heartbeats.BEAT: 15.0}
"""Real seconds without a sign of life, by process, after which it does not do its work."""


class Command(BaseCommand):
    help = "Say in one line whether a process works; the exit status is 1 when it does not."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "process",
            choices=["web", *QUIET, "listener"],
            help="The web server, the worker of a queue and beat on this machine; or what a listener hears.",
        )
        parser.add_argument("--node", help="listener: host:port of its switch. Without it, each switch must be heard.")

    def handle(self, *args: Any, process: str, node: str | None = None, **options: Any) -> None:
        if process == "web":
            works, told = web()
        elif process == "listener":
            works, told = listener(node)
        else:
            works, told = sign_of(process)
        self.stdout.write(f"{process}: {told}")
        if not works:
            sys.exit(1)


def web() -> tuple[bool, str]:
    """Ask the web server of this machine."""
    bound = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.BIND_ADDRESS, settings.BIND_ADDRESS)  # noqa: S104
    host = f"[{bound}]" if ":" in bound else bound
    request = urllib.request.Request(f"http://{host}:{settings.PORT}/healthz", headers={"Host": _admitted()})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310 (http, ours)
            return True, "answers"
    except urllib.error.HTTPError as error:
        return False, f"answers with status {error.code}"
    except OSError as error:
        return False, f"does not answer at {host}:{settings.PORT} ({error})"


def _admitted() -> str:
    """Return a host name that the web server answers to."""
    if validate_host("localhost", settings.ALLOWED_HOSTS):
        return "localhost"
    return str(settings.ALLOWED_HOSTS[0]).lstrip(".") if settings.ALLOWED_HOSTS else "localhost"


def sign_of(process: str) -> tuple[bool, str]:
    """Look for the last sign of life that a worker or beat left."""
    age = heartbeats.age(process)
    if age is None:
        return False, f"has left no sign of life in {heartbeats.path(process)}"
    return age <= QUIET[process], f"gave its last sign of life {age:.0f} s ago"


def listener(node: str | None) -> tuple[bool, str]:
    """Ask the database which switches are heard."""
    heard = health.heard()
    if heard is None:
        return False, "the database does not answer"
    if node is not None:
        if node not in heard:
            return False, f"FREESWITCH_URL does not name {node}"
        heard = {node: heard[node]}
    if not heard:
        return False, "FREESWITCH_URL names no switch"
    deaf = [name for name, ok in heard.items() if not ok]
    return not deaf, f"does not hear {', '.join(deaf)}" if deaf else f"hears {', '.join(heard)}"
