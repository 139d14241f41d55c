"""The settings that a site has, and what the compose files make of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.docker import compose

SECRETS = ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "EVENT_SOCKET_PASSWORD", "DIRECTORY_PASSWORD",
           "CDR_PASSWORD")  # fmt: skip
SITE = {
    "SIP_DOMAIN": "sip.example.org",
    "EXTERNAL_IP": "203.0.113.7",
    "ALLOWED_HOSTS": "dialer.example.org",
    **{name: f"{name.lower().replace('_', '-')}-{'x' * 20}" for name in SECRETS},
}
"""What must be set for ``compose.yaml``, and nothing else."""
FURTHER = SITE | {
    "EVENT_SOCKET_ADDRESS": "10.0.0.6",
    "EVENT_SOCKET_ALLOW": "10.0.0.5/32",
    "APP_URL": "https://dialer.example.org",
    "DATABASE_URL": "postgresql://dialer:x@10.0.0.5/dialer",
    "REDIS_URL": "redis://10.0.0.5:6379/0",
}
"""What must be set for ``compose.switch.yaml``."""
SETTINGS = {"compose.yaml": SITE, "compose.switch.yaml": FURTHER}


@pytest.fixture(params=compose.FILES)
def file(request: pytest.FixtureRequest) -> str:
    """Return the name of each compose file in turn."""
    return str(request.param)


@pytest.fixture
def loaded(file: str) -> dict[str, Any]:
    """Return each compose file with a site's settings in it."""
    return compose.load(file, SETTINGS[file])


@pytest.fixture
def services(loaded: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = loaded["services"]
    return found
