"""The description of the interface (OpenAPI 3.1): what every call has in common is written here, once."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from dialer.api.idempotency import HEADER


class KeyScheme(OpenApiAuthenticationExtension):
    """The two headers, both needed."""

    target_class = "dialer.api.authentication.KeyAuthentication"
    name = ["AccessToken", "Key"]  # noqa: RUF012

    def get_security_definition(self, auto_schema: AutoSchema) -> Any:
        return [
            {"type": "apiKey", "in": "header", "name": "X-Access-Token", "description": "The token of the key."},
            {"type": "apiKey", "in": "header", "name": "X-Key", "description": "The id of the key."},
        ]


class Description(AutoSchema):
    """Adds what every call of a kind has."""

    def get_override_parameters(self) -> list[Any]:
        if self.method != "POST":
            return []
        told = "Sent again with the same key (24 hours), the request acts once and is answered the same."
        return [OpenApiParameter(HEADER, OpenApiTypes.STR, OpenApiParameter.HEADER, description=told)]


def finish(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Return the description."""
    return result
