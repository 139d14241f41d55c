"""What all tests share. The servers behind them are started by tests/settings.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.utils import translation
from redis import Redis

from tests import settings as test_settings


@pytest.fixture
def redis() -> Iterator[Redis]:
    """Return a client of this worker's own Redis database, empty."""
    with Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
        yield client


@pytest.fixture(autouse=True)
def _empty_redis(request: pytest.FixtureRequest) -> None:
    """A test that uses the database may wake the dial loop; what it left in Redis is not for the next one."""
    if {"db", "transactional_db"} & set(request.fixturenames):
        with Redis.from_url(settings.REDIS_URL) as client:
            client.flushdb()


@pytest.fixture(autouse=True)
def _no_language() -> Iterator[None]:
    """The language of a page that a test asked for is not that of the next test."""
    yield
    translation.deactivate()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let nothing run on after the tests."""
    if test_settings.services is not None:
        test_settings.services.stop()
