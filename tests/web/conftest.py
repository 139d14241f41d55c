"""Who looks at the pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from dialer import clock, verbs
from tests import factories


@pytest.fixture(autouse=True)
def _no_shared_reading() -> Iterator[None]:
    """What one test saw is not for the next one."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def supervisor(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("olena", password="correct horse", first_name="Olena"))
    return client


@pytest.fixture
def house(redis: Any, db: None) -> None:
    """All is well: a switch was heard just now and the dial loop runs."""
    factories.make_node(name="127.0.0.1:8021", last_event_at=clock.now())
    redis.set(verbs.PASS_KEY, "1", ex=verbs.PASS_TTL)
