"""Which backend speaks event socket, and what its absence or a wrong name says."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest

from dialer.esl import wire
from dialer.esl.backends import connection_class
from dialer.esl.client import Connection, Outcome
from dialer.esl.errors import BackendMissing
from dialer.esl.wire import Event
from dialer.switch.commands import Originate
from dialer.switch.events import Heartbeat
from dialer.switch.nodes import SwitchNode
from tests.esl.scripted import Peer, switch


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where python-ESL has not been installed."""
    import_module = importlib.import_module

    def missing(name: str, package: str | None = None) -> Any:
        if name == "_ESL":
            raise ModuleNotFoundError("No module named '_ESL'", name="_ESL")
        return import_module(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    monkeypatch.delitem(sys.modules, "dialer.esl.python_esl", raising=False)


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    """Start a process of the house with such settings."""
    return subprocess.run(
        [sys.executable, "-c", "import django; django.setup()"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "dialer.settings", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_our_own_is_the_default(settings: Any) -> None:
    assert settings.ESL_BACKEND == "own"
    assert connection_class("own") is Connection


def test_an_empty_setting_is_none() -> None:
    """As a file of compose leaves it."""
    assert start(ESL_BACKEND="").returncode == 0


def test_a_wrong_name_stops_the_start_and_says_what_to_set() -> None:
    ended = start(ESL_BACKEND="pyesl")
    assert ended.returncode != 0
    assert "ImproperlyConfigured: ESL_BACKEND is “pyesl”. Set it to own (the default) or python-esl." in ended.stderr


@pytest.mark.usefixtures("without_library")
def test_one_that_is_not_installed_says_how_to_install_it() -> None:
    with pytest.raises(BackendMissing, match=r"pip install --no-build-isolation python-ESL==1\.4\.18") as raised:
        connection_class("python-esl")
    assert "pip install swig==3.0.12" in str(raised.value)
    assert "make python-esl" in str(raised.value)


def test_the_setting_decides_who_talks_to_a_switch(settings: Any, backend: type[Connection]) -> None:
    settings.ESL_BACKEND = "own" if backend is Connection else "python-esl"
    order = Originate("originate user/1 &park()", uuid4(), {}, [])

    def script(peer: Peer) -> None:
        peer.log_in()
        peer.read()
        heartbeat = Event({"Event-Name": "HEARTBEAT", "Event-Date-Timestamp": "1000000"})
        peer.send(wire.encode_reply("+OK event listener enabled json"), wire.encode_event_json(heartbeat))
        peer.accept_job()
        peer.expect("exit")

    with switch(script) as port, SwitchNode("127.0.0.1", port, "ClueCon").connect() as line:
        assert type(line._connection) is backend
        line.subscribe()
        assert [reply.outcome for reply in line.place([order])] == [Outcome.ACCEPTED]
        assert isinstance(line.receive(2), Heartbeat)
