"""The description of the interface: it is the one that is kept, it is valid, and it can be read in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from dialer.api import docs
from dialer.api.idempotency import HEADER
from tests.api.test_access import MAY, endpoints

KEPT = Path(__file__).parents[2] / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docs.description())
    return found


def test_it_is_the_one_that_is_kept(description: dict[str, Any]) -> None:
    assert yaml.safe_load(KEPT.read_text()) == description, (
        "The interface changed. If it was meant to: .venv/bin/python manage.py spectacular --file docs/openapi.yaml"
    )


def test_it_is_valid_and_its_maker_warns_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    validate_schema(SchemaGenerator().get_schema(request=None, public=True))
    assert "Warning" not in capsys.readouterr().err


def test_every_endpoint_is_described(description: dict[str, Any]) -> None:
    paths = {re.sub(r"<str:(\w+)>", r"{\1}", path) for _name, path, _view in endpoints()}
    assert set(description["paths"]) == paths
    methods = {method for methods in MAY.values() for method in methods}
    assert methods == {"GET", "POST", "PUT", "PATCH", "DELETE"}


def test_every_call_has_words_a_tag_and_the_answers_that_it_may_get(description: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in description["tags"]}
    for path, calls in description["paths"].items():
        for method, call in calls.items():
            where = f"{method} {path}"
            assert call["summary"], where
            assert call["description"], where
            assert set(call["tags"]) <= tags, where
            assert {"401", "429"} <= set(call["responses"]), where
            assert ("404" in call["responses"]) is ("{" in path), where
            names = {parameter["name"] for parameter in call.get("parameters", [])}
            assert (HEADER in names) is (method == "post" and path != "/login"), where


def test_every_body_refuses_unknown_fields(description: dict[str, Any]) -> None:
    bodies = {name: schema for name, schema in description["components"]["schemas"].items() if name.endswith("Request")}
    assert len(bodies) > 20
    for name, schema in bodies.items():
        assert "oneOf" in schema or schema["additionalProperties"] is False, name


def test_the_requests_of_the_document_are_its_examples(description: dict[str, Any]) -> None:
    body = description["paths"]["/api/v2/dialer/{campaign}/members"]["post"]["requestBody"]
    (example,) = body["content"]["application/json"]["examples"].values()
    assert example["value"]["communications"][1] == {"number": "3434534534534", "priority": 2}
    path = "/api/v2/dialer/{campaign}/members/{member}/status"
    examples = description["paths"][path]["put"]["requestBody"]["content"]["application/json"]["examples"]
    assert any("reset_retr" in item["value"] for item in examples.values())


@pytest.mark.django_db
def test_it_is_served_as_a_file() -> None:
    answer = Client().get("/api/v2/openapi.json")
    assert answer.json()["openapi"].startswith("3.1")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/docs", "/api/redoc"])
def test_it_can_be_read_with_nothing_from_elsewhere(path: str) -> None:
    answer = Client().get(path)
    page = answer.content.decode()
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    for link in links:
        assert link.startswith("/static/"), link
        assert finders.find(link.removeprefix("/static/")), link
    assert "<script>" not in page
    assert "/api/v2/openapi.json" in page
    assert "script-src" not in answer.headers["Content-Security-Policy"], "scripts come from this server alone"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
