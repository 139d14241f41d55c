"""The description as a file and as pages: Swagger UI, from which one can call, and Redoc, to read."""

from __future__ import annotations

import json
from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from dialer.middleware import POLICY

# Both put styles into the page as they run, and Redoc searches in a worker of its own making.
PAGE_POLICY = f"{POLICY}; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:"


@cache
def description() -> bytes:
    """Return the description as JSON. It is the same as long as the process lives."""
    found = SchemaGenerator().get_schema(request=None, public=True)
    return json.dumps(found, indent=1, ensure_ascii=False).encode()


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """Give the description."""
    return HttpResponse(description(), content_type="application/vnd.oai.openapi+json;version=3.1")


@require_safe
@ensure_csrf_cookie
def swagger(request: HttpRequest) -> HttpResponse:
    """Show the description, with a button to try each call; who is logged in to the pages calls as himself."""
    return _page(request, "api/swagger.html")


@require_safe
def redoc(request: HttpRequest) -> HttpResponse:
    """Show the description as one page to read."""
    return _page(request, "api/redoc.html")


def _page(request: HttpRequest, template: str) -> HttpResponse:
    response = render(request, template)
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    return response
