"""Webhooks by real workers, which are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.db import connection

from agents import actions as agents
from agents.models import OperatorStatus
from dialer import clock, verbs
from dialer.webhooks import tasks
from dialer.webhooks.models import Delivery, DeliveryState, Subscription
from tests import factories
from tests.webhooks.receivers import Got, Receiver, subscribe, with_status


def database_url() -> str:
    """Return the address of the database of the tests."""
    found = connection.settings_dict
    who = f"{quote(found['USER'], safe='')}:{quote(found['PASSWORD'], safe='')}@" if found["USER"] else ""
    if found["HOST"].startswith("/"):
        return f"postgresql://{who}/{found['NAME']}?{urlencode({'host': found['HOST']})}"
    return f"postgresql://{who}{found['HOST']}:{found['PORT']}/{found['NAME']}"


def eventually(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It never came to hold."
        time.sleep(0.05)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Return what starts a default worker on the database and the broker of the tests."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        own = {"DATA_DIR": str(tmp_path), "DATABASE_URL": database_url(), "REDIS_URL": settings.REDIS_URL}
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "dialer",
            "worker",
            "-Q",
            "default",
            "-P",
            "threads",
            "-c",
            "2",
        ]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        environment = {**os.environ, **own, "DJANGO_SETTINGS_MODULE": "dialer.settings"}
        started.append(subprocess.Popen([*command, *quiet], env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_what_a_killed_worker_was_sending_is_sent_by_the_next_one(
    worker: Callable[[], subprocess.Popen[bytes]], receiver: Receiver
) -> None:
    def hang(handler: BaseHTTPRequestHandler, got: Got) -> None:
        time.sleep(2)

    receiver.answer = hang
    subscribe(receiver.url)
    agents.set_status(factories.make_operator().pk, OperatorStatus.ON_BREAK)
    killed = worker()
    tasks.sweep.delay()
    eventually(lambda: receiver.got, 40)
    killed.kill()
    killed.wait()
    assert Delivery.objects.get().attempts == 0, "it died before it could note anything"
    receiver.answer = with_status(204)
    worker()
    tasks.sweep.delay()
    with verbs.redis() as broker:
        eventually(lambda: broker.llen("default") == 0, 40)
    time.sleep(1)
    assert len(receiver.got) == 1, "the lease of the dead one still runs"
    Subscription.objects.update(leased_until=clock.now() - timedelta(seconds=1))

    def delivered() -> bool:
        tasks.sweep.delay()
        time.sleep(0.5)
        return Delivery.objects.get().state == DeliveryState.DELIVERED

    eventually(delivered, 40)
    assert len(receiver.got) == 2
    assert receiver.ids[0] == receiver.ids[1]
