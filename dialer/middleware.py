"""What every answer of the web carries."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

POLICY = "; ".join(
    (
        "default-src 'self'",
        # Tabler draws its arrows and ticks from data addresses.
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Only what this server serves as a file runs or is applied: no inline script or style, nothing from elsewhere."""


def policy_reaching(address: str) -> str:
    """Return ``POLICY`` for a page that also connects to this WebSocket, and to nothing else elsewhere."""
    return f"{POLICY}; connect-src 'self' {address}" if address else POLICY


class ContentSecurityPolicyMiddleware:
    """Send ``POLICY`` with every answer but the debug page of an error, which is one page with all inline."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not (settings.DEBUG and response.status_code in {404, 500}):
            response.headers.setdefault("Content-Security-Policy", POLICY)
        return response
