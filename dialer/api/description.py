"""The description of the interface (OpenAPI 3.1): what many calls have in common is written here, once."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from dialer.api import errors, guard
from dialer.api.idempotency import HEADER
from dialer.api.roles import ANYONE

ABOUT = f"""\
**Log in** with `POST /login`, or let an administrator make a key, and send two headers with every call:
`X-Access-Token` (the token) and `X-Key` (the id of the key). Who is logged in to the pages may call from here too.

**Ids** are whole numbers. **Instants** are ISO 8601 with an offset, and are answered in UTC. Unknown fields and unknown
parameters of an address are faults. A `null` is a field not given, but in a PATCH, where it takes a value away.

**What went wrong** is told in one shape, `application/problem+json`: `code` is for programs, `detail` for people, and
`errors` names every fault by the path of its field, as `communications[0].number`. A wish that the state of things does
not allow is a 409 with its reason as `code`.

**Sent twice**: a POST with an `Idempotency-Key` acts once. Sent again within a day with the same key and the same body,
it is answered the same (`Idempotent-Replayed: true`); with another body it is a 409.

**Lists** that can be long come in pages; `next` is the address of the next one.

**Limits**: each key has its number of calls a minute; who is over it is answered 429, with `Retry-After`. After
{guard.PER_ACCOUNT} wrong passwords an account is locked for that address for a quarter of an hour.
"""

TAGS = {
    "access": "Log-in and keys.",
    "members": "Subscribers: the people to call, and their numbers.",
    "results": "What an operator says of a call.",
    "campaigns": "Lists to dial and the rules to dial them by.",
    "calendars": "When campaigns may dial.",
    "operators": "Who takes calls.",
    "lines": "Gateways and routes.",
    "uploads": "Lists from files: sent, checked as a whole, loaded in the background, and taken out again.",
    "do-not-call": "Numbers that must not be called: by one campaign or by any, for ever or for a time.",
    "attempts": "The ledger: each call, and what came of it.",
    "live": "What goes on now.",
    "webhooks": "Being told of what happens.",
}

_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
PROBLEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "400": ("What was sent is at fault; `errors` says what of it.", {}),
    "401": ("Nobody is logged in with that.", {"WWW-Authenticate": {"schema": {"type": "string"}}}),
    "403": ("The role does not allow it.", {}),
    "404": ("There is no such thing, or it is not for you.", {}),
    "409": ("The state of things does not allow it; `code` says why.", {}),
    "413": ("The body is too large.", {}),
    "415": ("The body is not of the type that is described here.", {}),
    "429": ("Too many calls, or too many wrong passwords.", _RETRY_AFTER),
}

PROBLEM = {
    "type": "object",
    "description": "What went wrong.",
    "properties": {
        "type": {"type": "string", "description": f"`{errors.TYPE}` and the code in lower case."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people."},
        "code": {"type": "string", "description": "For programs.", "examples": ["INVALID", "NO_ROUTE"]},
        "errors": {
            "type": "object",
            "description": "Faults by the path of the field.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
    "required": ["type", "title", "status", "detail", "code", "errors"],
    "additionalProperties": False,
    "examples": [
        {
            "type": f"{errors.TYPE}invalid",
            "title": "Bad Request",
            "status": 400,
            "detail": "1 field is at fault.",
            "code": "INVALID",
            "errors": {"communications[0].number": ["“12a” holds “a”: a number is made of the digits 0-9, *, # and …"]},
        }
    ],
}


class KeyScheme(OpenApiAuthenticationExtension):
    """The two headers, both needed."""

    target_class = "dialer.api.authentication.KeyAuthentication"
    name = ["AccessToken", "Key"]  # noqa: RUF012

    def get_security_definition(self, auto_schema: AutoSchema) -> Any:
        """Return one scheme for each header."""
        return [
            {"type": "apiKey", "in": "header", "name": "X-Access-Token", "description": "The token of the key."},
            {"type": "apiKey", "in": "header", "name": "X-Key", "description": "The id of the key."},
        ]


class Description(AutoSchema):
    """Adds what every call of a kind has."""

    def get_override_parameters(self) -> list[Any]:
        """Return the header that a POST may have."""
        if self.method != "POST" or self.view.needs["POST"] is ANYONE:
            return []
        told = "Sent again with the same key within a day, the request acts once and is answered the same."
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
        return [OpenApiParameter(HEADER, schema, OpenApiParameter.HEADER, description=told)]


def finish(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Return the description, with the answers that every call may get and the strictness of every body."""
    result["info"]["description"] = ABOUT
    result["tags"] = [{"name": name, "description": told} for name, told in TAGS.items()]
    components = result["components"]
    for name, schema in components["schemas"].items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    components["schemas"]["Problem"] = PROBLEM
    components["responses"] = {
        f"Problem{status}": {
            "description": told,
            "content": {errors.CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": headers} if headers else {}),
        }
        for status, (told, headers) in PROBLEMS.items()
    }
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            _finish(path, method, operation)
    return _plain(result)


def _finish(path: str, method: str, operation: dict[str, Any]) -> None:
    parameters = operation.get("parameters", [])
    for parameter in parameters:
        if parameter["in"] == "path" and parameter["name"] == "key":
            parameter["schema"] = {"type": "string", "format": "uuid"}
        elif parameter["in"] == "path" and parameter["name"] == "operator":
            parameter["description"] = "His id, or `me`."
        elif parameter["in"] == "path":
            parameter["schema"] = {"type": "integer", "minimum": 1}
    for status, response in operation["responses"].items():
        response["description"] = response["description"] or HTTPStatus(int(status)).phrase
    statuses = {"401", "429"}
    if path != "/login":
        statuses |= {"403"}
    if "{" in path:
        statuses |= {"404"}
    if method != "get" or any(parameter["in"] == "query" for parameter in parameters):
        statuses |= {"400"} if method != "delete" else set()
    if method in ("post", "put", "patch"):
        statuses |= {"413", "415"}
    if method != "get" and path != "/login":
        statuses |= {"409"}
    for status in sorted(statuses):
        operation["responses"].setdefault(status, {"$ref": f"#/components/responses/Problem{status}"})


def _plain(value: Any) -> Any:
    """Return a part of the description without what only its maker reads, and without what it makes wrong."""
    if isinstance(value, dict):
        # A text that may be blank and has a pattern that takes a blank fits both.
        blank = {"type": "string", "maxLength": 0} in value.get("oneOf", [])
        return {
            "anyOf" if blank and name == "oneOf" else name: _plain(inner)
            for name, inner in value.items()
            if name != "x-spec-enum-id"
        }
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
