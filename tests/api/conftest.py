"""Who calls the interface."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.test import Client

from agents.models import Operator
from campaigns.models import Campaign
from dialer.api import actions
from tests import factories

PASSWORD = "correct horse battery"


@dataclass
class Caller:
    """A program that calls the interface with a key, as JSON."""

    headers: dict[str, str] = field(default_factory=dict)
    client: Client = field(default_factory=Client)
    user: User | None = None

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request; ``path`` without a leading slash is below /api/v2."""
        content: dict[str, Any] = (
            {} if body is None else {"data": body if isinstance(body, str | bytes) else json.dumps(body)}
        )
        return self.client.generic(
            method,
            path if path.startswith("/") else f"/api/v2/{path}",
            content_type="application/json",
            headers=self.headers | {name.replace("_", "-"): value for name, value in headers.items()},
            **content,
        )

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("PUT", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self("DELETE", path, **headers)


def user_in(role: str | None, name: str = "") -> User:
    """Add a user in the group of a role (``None``: in none; ``superuser``)."""
    name = name or (role or "nobody").lower()
    if role == "superuser":
        return User.objects.create_superuser(name, password=PASSWORD)
    user = User.objects.create_user(name, password=PASSWORD)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def caller_for(user: User) -> Caller:
    """Return who calls with a key of that user."""
    made = actions.log_in(user)
    return Caller({"X-Access-Token": made.token, "X-Key": str(made.key.pk)}, user=user)


@pytest.fixture(autouse=True)
def _no_shared_reading() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def stranger(db: None) -> Caller:
    return Caller()


@pytest.fixture
def as_role(db: None) -> Callable[[str], Caller]:
    return lambda role: caller_for(user_in(role))


@pytest.fixture
def crm(db: None) -> Caller:
    """A CRM in the role Integration."""
    return caller_for(user_in("Integration", "crm"))


@pytest.fixture
def admin(db: None) -> Caller:
    return caller_for(user_in("Administrator", "root"))


@pytest.fixture
def supervisor(db: None) -> Caller:
    return caller_for(user_in("Supervisor", "olena"))


@pytest.fixture
def campaign(db: None) -> Campaign:
    """A campaign whose numbers have a common route."""
    factories.make_route()
    return factories.make_campaign()


@pytest.fixture
def operator(campaign: Campaign) -> Operator:
    return factories.make_operator(campaign, user=user_in("Operator", "ivan"))


def problem(response: Any, status: int) -> dict[str, Any]:
    """Return a problem, its shape checked."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert set(found) == {"type", "title", "status", "detail", "code", "errors"}
    assert found["status"] == status
    assert found["detail"]
    assert all(isinstance(told, list) and told for told in found["errors"].values())
    return found


def faults(response: Any) -> dict[str, list[str]]:
    """Return the faults of a request that was refused as invalid, by field."""
    found: dict[str, list[str]] = problem(response, 400)["errors"]
    return found
