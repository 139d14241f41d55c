"""A web server on a port of this machine, and clients of it over real connections."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connections
from django.test import Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from agents.models import Operator
from dialer.api import actions
from tests import factories
from tests.web_entry import application


@dataclass
class Screen:
    """A client that remembers what it was told, and answers pings unless it is told not to."""

    connection: ClientConnection
    alive: bool = True
    kept: list[dict[str, Any]] = field(default_factory=list)
    """What came before the answer to a command."""

    def receive(self, seconds: float = 5) -> dict[str, Any]:
        """Return the next message. Raises ``TimeoutError``, ``ConnectionClosed``."""
        if self.kept:
            return self.kept.pop(0)
        message: dict[str, Any] = json.loads(self.connection.recv(timeout=seconds))
        if message["type"] == "ping" and self.alive:
            self.say(type="pong")
        return message

    def until(self, kind: str, seconds: float = 8, **values: Any) -> dict[str, Any]:
        """Return the next message of a kind with these values, passing over others."""
        deadline = time.monotonic() + seconds
        passed = []
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = self.receive(left)
            except TimeoutError:
                break
            if message["type"] == kind and all(message.get(name) == value for name, value in values.items()):
                return message
            passed.append(message)
        raise AssertionError(f"No {kind} with {values} came, but {passed}")

    def say(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return its answer; what comes before it is received after it."""
        self.say(type=kind, id=f"my {kind}", **fields)
        before = []
        while (message := self.receive()).get("id") != f"my {kind}":
            before.append(message)
        self.kept = before
        return message

    def close_code(self, seconds: float = 5) -> int:
        """Return the code with which the server ends this."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.receive(seconds)
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006
        raise AssertionError("It is open still.")


Opener = Callable[..., Screen]


@dataclass
class Web:
    """Where the server listens."""

    port: int

    def url(self, path: str) -> str:
        place, _mark, asked = path.partition("?")
        return f"ws://127.0.0.1:{self.port}/ws/{place}/{'?' if asked else ''}{asked}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def web(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """Run the web server in a thread."""
    # Without a pool each request would leave its connection behind in a thread of its own.
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    cache.clear()
    config = uvicorn.Config(
        application(), host="127.0.0.1", port=free_port(), lifespan="off", log_config=None, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline, "The web server did not start."
        time.sleep(0.01)
    yield Web(config.port)
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()
    cache.clear()


@pytest.fixture
def opened(web: Web) -> Iterator[Opener]:
    """Open sockets, and close them in the end."""
    stack = contextlib.ExitStack()

    def open_socket(path: str = "operator", **options: Any) -> Screen:
        port = options.pop("port", web.port)
        headers = options.pop("headers", None)
        opening = connect(Web(port).url(path), additional_headers=headers, proxy=None, close_timeout=1, **options)
        return Screen(stack.enter_context(opening))

    with stack:
        yield open_socket


@pytest.fixture
def bob(transactional_db: None) -> Operator:
    """An operator who works through a client and is at work, but has none connected."""
    user = User.objects.create_user("bob", password="correct horse battery")
    return factories.make_operator(factories.make_campaign(wait_for_result=True), user=user, uses_client=True)


def key_of(user: Any) -> dict[str, str]:
    made = actions.log_in(user)
    return {"X-Access-Token": made.token, "X-Key": str(made.key.pk)}


def cookie_of(user: User, **others: str) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    cookies = {"sessionid": client.cookies["sessionid"].value, **others}
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


def eventually(condition: Callable[[], object], seconds: float = 8) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It never came to hold."
        time.sleep(0.02)
