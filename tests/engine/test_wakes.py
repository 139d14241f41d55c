"""Wakes and timers: many make one pass, the nearest timer holds, and a broker that is down stops nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app

from dialer import verbs

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Keep what would be sent, each with its options; no timer or wake is set before."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: found.append({"name": name, **options}))
    keys = (verbs.WAKE_KEY, f"{verbs.WAKE_KEY}:timer")
    with verbs.redis() as client:
        client.delete(*keys)
        yield found
        client.delete(*keys)


def test_many_wakes_make_one_pass(sent: list[dict[str, Any]], django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        verbs.wake()
        verbs.wake()
    assert [task["name"] for task in sent] == ["dialer.engine.tasks.dispatch"]


def test_a_timer_gives_way_to_a_nearer_one_and_to_no_later_one(sent: list[dict[str, Any]]) -> None:
    verbs.wake_in(0.9)
    verbs.wake_in(0.95)
    verbs.wake_in(0.2)
    verbs.wake_in(0.5)
    assert [task["countdown"] for task in sent] == [0.9, 0.2]


def test_a_broker_that_is_down_stops_nothing(monkeypatch: pytest.MonkeyPatch, settings: Any, caplog: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    verbs.wake_in(0.1)
    assert "beat will" in caplog.text
