"""Whatever goes wrong is told in one shape, and names what to mend."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, override_settings

from campaigns.models import Campaign
from dialer.api import parsers
from tests import factories
from tests.api.conftest import Caller, caller_for, faults, problem, user_in

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v2", "/api/v2/nothing", "/api/v2/dialer/", "/api/v3/keys"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_address_that_does_not_exist(crm: Caller, path: str, method: str) -> None:
    assert path in problem(crm(method, path), 404)["detail"]


def test_pages_elsewhere_keep_their_own_404() -> None:
    assert Client().get("/nothing").headers["Content-Type"].startswith("text/html")


def test_a_body_that_is_not_json_is_told_by_line_and_column(crm: Caller) -> None:
    detail = problem(crm.post("keys", '{\n  "name": CRM\n}'), 400)["detail"]
    assert "line 2, column 11" in detail


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"\xff", "UTF-8"),
        ("{\"a\": NaN}", "NaN"),
        ("{\"a\": 1e999}", "1e999"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": "\\u0000"}', "U+0000"),
        ('{"a": "\\ud800"}', "surrogate"),
        ("[" * 100_000, "nested"),
        ("9" * 5000, "digits"),
        ("", "JSON"),
    ],
)  # fmt: skip
def test_what_no_text_or_number_can_be_is_refused(crm: Caller, body: str | bytes, told: str) -> None:
    answer = crm.post("keys", body)
    if body == "":
        assert set(faults(answer)) == {"name", "expires"}, "no body is an empty one"
    else:
        assert told in problem(answer, 400)["detail"]


def test_an_escaped_backslash_before_u0000_is_text() -> None:
    assert parsers.loads(b'{"a": "\\\\u0000", "b": "\\ud83d\\ude00"}') == {"a": "\\u0000", "b": "😀"}


def test_only_json_is_read(crm: Caller) -> None:
    answer = Client().post("/api/v2/keys", {"name": "x"}, headers=crm.headers)
    assert "multipart/form-data" in problem(answer, 415)["detail"]


def test_a_body_over_a_megabyte_is_too_large(crm: Caller) -> None:
    problem(crm.post("keys", b" " * (1024 * 1024 + 1)), 413)


def test_a_browser_gets_json_too(crm: Caller) -> None:
    assert crm.get("keys", Accept="text/html").headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("body", ["[]", "5", '"text"', "null", "[{}]"])
def test_a_body_that_is_no_object_is_a_fault_of_the_body(crm: Caller, body: str) -> None:
    assert set(faults(crm.post("keys", body))) <= {"body", "name", "expires"}


def test_what_nobody_foresaw_is_logged_and_tells_nothing(
    crm: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr("dialer.api.sessions._keys_of", fail)
    crm.client.raise_request_exception = False
    found = problem(crm.get("keys"), 500)
    assert "42" not in json.dumps(found)
    assert "the secret is 42" in caplog.text


def test_a_database_that_cannot_answer_is_asked_again_later(crm: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("dialer.api.sessions._keys_of", fail)
    crm.client.raise_request_exception = False
    answer = crm.get("keys")
    problem(answer, 503)
    assert answer.headers["Retry-After"] == "5"


def test_two_who_add_the_same_name_at_once_are_told_by_a_conflict(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.make_gateway(name="trunk")
    monkeypatch.setattr("campaigns.models.Gateway.full_clean", lambda self: None)
    monkeypatch.setattr("rest_framework.validators.UniqueValidator.__call__", lambda *_: None)
    assert problem(admin.post("gateways", {"name": "trunk"}), 409)["code"] == "DUPLICATE"


class TestThrottle:
    @override_settings(API_REQUESTS_PER_MINUTE=3)
    def test_a_key_has_its_number_of_calls_a_minute(self, redis: Any) -> None:
        user = user_in("Integration")
        him, another = caller_for(user), caller_for(user)
        assert [him.get("keys").status_code for _ in range(3)] == [200] * 3
        answer = him.get("keys")
        assert problem(answer, 429)["code"] == "THROTTLED"
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert another.get("keys").status_code == 200

    @override_settings(API_REQUESTS_PER_MINUTE=1)
    def test_strangers_count_by_address(self, redis: Any) -> None:
        body = {"username": "a", "password": "b"}
        assert [Caller().post("/login", body).status_code for _ in range(2)] == [401, 429]


def test_a_post_that_answers_nothing_is_repeated_as_nothing(supervisor: Caller, campaign: Campaign) -> None:
    from tests.engine.story import Story

    story = Story()
    path = f"attempts/{story.attempt.pk}/hangup"
    first, again = (supervisor.post(path, Idempotency_Key="one") for _ in range(2))
    assert (first.status_code, again.status_code) == (204, 204)
    assert again.headers["Idempotent-Replayed"] == "true"
