"""The door at which a switch knocks over HTTP: it logs in as ``freeswitch``, with a password of that door alone."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

USERNAME = "freeswitch"
"""Who the switch says it is."""

View = Callable[[HttpRequest], HttpResponse]


def for_switches(password_setting: str) -> Callable[[View], View]:
    """Let a view be reached by POST with Basic log-in alone; without that setting the door is shut (503)."""

    def guard(view: View) -> View:
        @csrf_exempt  # no browser comes here, and no session counts
        @require_POST
        @wraps(view)
        def guarded(request: HttpRequest) -> HttpResponse:
            password = getattr(settings, password_setting)
            if not password:
                return HttpResponse(f"{password_setting} is not set.", status=503, content_type="text/plain")
            if not _logged_in(request, password):
                refusal = HttpResponse("Log in as the switch.", status=401, content_type="text/plain")
                refusal["WWW-Authenticate"] = 'Basic realm="switch"'
                return refusal
            return view(request)

        return guarded

    return guard


def _logged_in(request: HttpRequest, password: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    expected = base64.b64encode(f"{USERNAME}:{password}".encode()).decode()
    return scheme.lower() == "basic" and hmac.compare_digest(given.strip().encode(), expected.encode())
