"""The phone in the page: a page of its own for it, and the secret that it registers with at the switch."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from agents import actions
from agents.models import Operator, OperatorPhone
from dialer import clock
from dialer.api import counters
from dialer.errors import Refused
from dialer.middleware import policy_reaching

WINDOW = 15 * 60
"""Seconds (real) in which secrets are counted."""
PER_USER = 40
"""Secrets of one user in that time: a page that is loaded anew takes one, and one that stays open one an hour."""

View = Callable[[HttpRequest], HttpResponseBase]


def reaches_the_switch(view: View) -> View:
    """Let the scripts of this page connect to the switch's WebSocket, which no other page may."""

    @wraps(view)
    def reaching(request: HttpRequest) -> HttpResponseBase:
        response = view(request)
        response.headers["Content-Security-Policy"] = policy_reaching(settings.PHONE_WSS_URL)
        return response

    return reaching


def in_page(operator: Operator | None) -> bool:
    """Tell whether an operator speaks through the page, so that ``desk/phone.html`` belongs on his desk."""
    return operator is not None and operator.phone == OperatorPhone.PAGE and not operator.archived


def _operator(request: HttpRequest) -> Operator | None:
    return Operator.objects.filter(user=request.user.pk, archived=False).first()


@require_safe
@never_cache
@reaches_the_switch
def phone(request: HttpRequest) -> HttpResponse:
    """Show the phone alone, in a window of its own."""
    if not request.user.is_authenticated:
        return redirect(f"{settings.LOGIN_URL}?next={request.path}")
    operator = _operator(request)
    if operator is None:
        raise PermissionDenied
    shown = {"him": operator, "in_page": in_page(operator)}
    return render(request, "desk/phone_alone.html", shown, status=200 if shown["in_page"] else 403)


@require_POST
@never_cache
def secret(request: HttpRequest) -> HttpResponse:
    """Give the operator who is logged in what his phone in the page registers with; the one before is void.

    401: logged out, 403: his phone is elsewhere, 404: he is no operator, 429: too often, 503: the switch has no address
    for browsers.
    """
    if not request.user.is_authenticated:
        return _refusal(401, _("You are logged out. Log in again."))
    operator = _operator(request)
    if operator is None:
        return _refusal(404, _("You are no operator: your account belongs to none."))
    if not settings.PHONE_WSS_URL:
        return _refusal(
            503, _("Phones in the page are not set up yet. Tell your administrator: PHONE_WSS_URL is not set.")
        )
    asked = counters.add(f"phone:{request.user.pk}", WINDOW)
    if asked.times > PER_USER:
        refusal = _refusal(429, _("Too many tries. Try again in %d s.") % asked.seconds)
        refusal["Retry-After"] = str(asked.seconds)
        return refusal
    try:
        made, until = actions.give_phone_secret(
            operator.pk, settings.SIP_DOMAIN, timedelta(minutes=settings.PHONE_LOGIN_MINUTES)
        )
    except Refused as refused:
        return _refusal(403, refused.message)
    return JsonResponse(
        {
            "user": operator.extension,
            "name": operator.name,
            "domain": settings.SIP_DOMAIN,
            "secret": made,
            "expires": until.isoformat(),
            "seconds": round(clock.real_seconds((until - clock.now()).total_seconds())),
            "address": settings.PHONE_WSS_URL,
            "ice_servers": ice_servers(operator.extension, until),
            "transfers": settings.PHONE_TRANSFERS,
        }
    )


def ice_servers(user: str, until: datetime) -> list[dict[str, Any]]:
    """Return the STUN and TURN servers as browsers want them; the log-in of a relay ends with the secret.

    It is what coturn calls the REST API: a name that tells when it ends, and the HMAC of that name as the password.
    """
    found: list[dict[str, Any]] = []
    for server in settings.PHONE_ICE_SERVERS:
        if not server.startswith("turn"):
            found.append({"urls": server})
            continue
        name = f"{round(until.timestamp())}:{user}"
        digest = hmac.digest(settings.PHONE_TURN_SECRET.encode(), name.encode(), hashlib.sha1)
        found.append({"urls": server, "username": name, "credential": base64.b64encode(digest).decode()})
    return found


def _refusal(status: int, message: str) -> JsonResponse:
    return JsonResponse({"message": message}, status=status)
