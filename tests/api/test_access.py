"""Who may what: every endpoint and method for every role. A new endpoint fails here until it has its line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls.resolvers import URLPattern

from campaigns.models import Campaign
from dialer.api import urls
from dialer.api.views import Endpoint
from tests import factories
from tests.api.conftest import Caller, caller_for, problem, user_in

ROLES = ("Administrator", "Supervisor", "Integration", "Operator", "nobody")
"""``nobody`` is logged in and in no role; whoever is not logged in is refused everywhere but at the log-in."""

A, S, I, O, N = ROLES  # noqa: E741
STAFF, SET_UP, ADMINISTRATORS, EVERYBODY = (A, S, I), (A, S), (A,), ROLES
OPERATORS, INTEGRATORS = (A, S, I, O), (A, I)

MAY: dict[str, dict[str, tuple[str, ...]]] = {
    "api-login": {"POST": EVERYBODY},
    "api-logout": {"POST": EVERYBODY},
    "api-keys": {"GET": EVERYBODY, "POST": STAFF},
    "api-key": {"GET": EVERYBODY, "PATCH": EVERYBODY, "DELETE": EVERYBODY},
    "api-calendars": {"GET": STAFF, "POST": SET_UP},
    "api-calendar": {"GET": STAFF, "PATCH": SET_UP, "DELETE": SET_UP},
    "api-gateways": {"GET": STAFF, "POST": ADMINISTRATORS},
    "api-gateway": {"GET": STAFF, "PATCH": ADMINISTRATORS, "DELETE": ADMINISTRATORS},
    "api-routes": {"GET": STAFF, "POST": ADMINISTRATORS},
    "api-route": {"GET": STAFF, "PATCH": ADMINISTRATORS, "DELETE": ADMINISTRATORS},
    "api-operators": {"GET": STAFF, "POST": SET_UP},
    "api-operator": {"GET": OPERATORS, "PATCH": SET_UP},
    "api-operator-status": {"PUT": OPERATORS},
    "api-operator-ready": {"POST": OPERATORS},
    "api-operator-why": {"GET": OPERATORS},
    "api-attempts": {"GET": OPERATORS},
    "api-attempt": {"GET": OPERATORS},
    "api-attempt-hangup": {"POST": (A, S, O)},
    "api-attempt-coaching": {"GET": SET_UP, "POST": SET_UP, "DELETE": SET_UP},
    "api-all-statistics": {"GET": STAFF},
    "api-live": {"GET": STAFF},
    "api-events": {"GET": INTEGRATORS},
    "api-webhooks": {"GET": INTEGRATORS, "POST": INTEGRATORS},
    "api-webhook": {"GET": INTEGRATORS, "PATCH": INTEGRATORS, "DELETE": INTEGRATORS},
    "api-webhook-test": {"POST": INTEGRATORS},
    "api-deliveries": {"GET": INTEGRATORS},
    "api-delivery-again": {"POST": INTEGRATORS},
    "api-campaigns": {"GET": STAFF, "POST": SET_UP},
    "api-campaign": {"GET": STAFF, "PATCH": SET_UP, "DELETE": SET_UP},
    "api-campaign-state": {"PUT": STAFF},
    "api-causes": {"GET": STAFF, "PUT": SET_UP},
    "api-dispositions": {"GET": STAFF, "PUT": SET_UP},
    "api-tiers": {"GET": STAFF, "PUT": SET_UP},
    "api-statistics": {"GET": STAFF},
    "api-funnel": {"GET": STAFF},
    "api-campaign-attempts": {"GET": OPERATORS},
    "api-attempts-export": {"GET": OPERATORS},
    "api-members": {"GET": STAFF, "POST": STAFF},
    "api-members-count": {"GET": STAFF},
    "api-members-reset": {"POST": STAFF},
    "api-members-export": {"GET": STAFF},
    "api-member": {"GET": STAFF, "PATCH": STAFF, "DELETE": STAFF},
    "api-member-status": {"PUT": OPERATORS},
    "api-member-why": {"GET": STAFF},
    "api-member-end": {"POST": STAFF},
    "api-member-callback": {"PUT": STAFF},
    "api-communications": {"POST": STAFF},
    "api-communication": {"PATCH": STAFF, "DELETE": STAFF},
    "api-campaign-do-not-call": {"GET": STAFF, "POST": STAFF},
    "api-campaign-do-not-call-remove": {"POST": STAFF},
    "api-do-not-call": {"GET": STAFF, "POST": STAFF},
    "api-do-not-call-remove": {"POST": STAFF},
    "api-do-not-call-uploads": {"GET": STAFF, "POST": STAFF},
    "api-uploads": {"GET": STAFF, "POST": STAFF},
    "api-upload": {"GET": STAFF, "PUT": STAFF, "DELETE": STAFF},
    "api-upload-preview": {"GET": STAFF},
    "api-upload-check": {"POST": STAFF},
    "api-upload-load": {"POST": STAFF},
    "api-upload-cancel": {"POST": STAFF},
    "api-upload-undo": {"POST": STAFF},
    "api-upload-faults": {"GET": STAFF},
    "api-upload-rejected": {"GET": STAFF},
    "api-upload-templates": {"GET": STAFF, "POST": STAFF},
    "api-upload-template": {"GET": STAFF, "DELETE": STAFF},
    "api-do-not-call-entry": {"GET": STAFF, "DELETE": STAFF},
}


def endpoints() -> Iterator[tuple[str, str, type[Endpoint]]]:
    """Yield name, path and view of every endpoint."""
    for pattern in urls.urlpatterns:
        view = getattr(pattern.callback, "cls", None) if isinstance(pattern, URLPattern) else None
        if view is not None and issubclass(view, Endpoint):
            yield str(pattern.name), f"/{pattern.pattern}", view


PARAMETERS = (
    "campaign", "member", "communication", "calendar", "gateway", "route", "operator", "attempt", "webhook", "delivery",
    "entry", "upload", "template",
)  # fmt: skip
CALLS = [(name, path, method) for name, path, view in endpoints() for method in view.needs]


def test_every_endpoint_and_method_has_its_line() -> None:
    assert {name: set(view.needs) for name, _path, view in endpoints()} == {
        name: set(methods) for name, methods in MAY.items()
    }


def test_every_method_of_an_endpoint_says_what_it_needs() -> None:
    for name, _path, view in endpoints():
        methods = {method.upper() for method in view.http_method_names if hasattr(view, method)} - {"HEAD"}
        assert methods == set(view.needs), name


def test_no_address_of_the_interface_is_outside_of_it() -> None:
    """Whatever answers below /api is an endpoint, or gives the description."""
    others = {
        str(pattern.name)
        for pattern in urls.urlpatterns
        if str(pattern.name) not in MAY
    }  # fmt: skip
    assert others == {"api-openapi", "api-docs", "api-redoc", "None"}


@pytest.fixture(scope="module")
def keys(django_db_setup: Any, django_db_blocker: Any) -> Iterator[dict[str, Caller]]:
    with django_db_blocker.unblock():
        yield (made := {role: caller_for(user_in(None if role == "nobody" else role)) for role in ROLES})
        User.objects.filter(pk__in=[him.user.pk for him in made.values() if him.user]).delete()


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "path", "method"), CALLS, ids=lambda value: str(value).removeprefix("/api/v2/"))
def test_who_may_call_it(keys: dict[str, Caller], name: str, path: str, method: str) -> None:
    """A refused role gets 403; one that may gets whatever else comes of an empty request for nobody."""
    address = path
    for parameter in PARAMETERS:
        address = address.replace(f"<str:{parameter}>", "999999999")
    address = address.replace("<str:key>", "00000000-0000-0000-0000-000000000000")
    stranger = Caller()(method, address, None if method in ("GET", "DELETE") else {})
    if name == "api-login":
        assert stranger.status_code == 400
    else:
        problem(stranger, 401)
    for role in ROLES:
        answer = keys[role](method, address, None if method in ("GET", "DELETE") else {})
        assert (answer.status_code != 403) is (role in MAY[name][method]), (role, answer.content)
        assert answer.status_code < 500


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "method"), [(path, "GET") for name, path, view in endpoints() if "GET" in view.needs])
def test_a_head_is_as_a_get_and_other_methods_are_named(admin: Caller, path: str, method: str) -> None:
    address = path.replace("<str:key>", str(admin.headers["X-Key"]))
    campaign: Campaign = factories.make_campaign()
    address = address.replace("<str:campaign>", str(campaign.pk)).replace("<str:", "").replace(">", "")
    assert admin("HEAD", address).status_code == admin.get(address).status_code
    answer = admin("OPTIONS", address)
    assert problem(answer, 405)["code"] == "METHOD_NOT_ALLOWED"
    assert "GET" in answer.headers["Allow"]
