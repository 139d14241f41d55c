"""The operators' desk: the one page that an operator has open all day. What lives on it comes by his socket."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from agents.models import Operator
from dialer import clock
from dialer import live as live_page
from dialer.web import desk_reading as reading
from dialer.web import overview
from dialer.web.phone import in_page, reaches_the_switch

P = ParamSpec("P")


def _operator_of(request: HttpRequest) -> Operator | None:
    return Operator.objects.filter(user=request.user.pk, archived=False).first()


def for_operators(view: Callable[Concatenate[HttpRequest, Operator, P], HttpResponseBase]) -> Callable[
    Concatenate[HttpRequest, P], HttpResponseBase
]:  # fmt: skip
    """Give a page to who is an operator: others are sent to the log-in, or refused when they are logged in."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        him = _operator_of(request)
        if him is None:
            raise PermissionDenied
        return view(request, him, *args, **kwargs)

    return guarded


def for_operators_scripts(view: Callable[Concatenate[HttpRequest, Operator, P], HttpResponseBase]) -> Callable[
    Concatenate[HttpRequest, P], HttpResponseBase
]:  # fmt: skip
    """As ``for_operators``, for what the desk asks for by itself: 401 and 403 instead of a page."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return JsonResponse({"message": _("You are logged out.")}, status=401)
        him = _operator_of(request)
        if him is None:
            return JsonResponse({"message": _("This is for operators.")}, status=403)
        return view(request, him, *args, **kwargs)

    return guarded


def home(request: HttpRequest) -> HttpResponseBase:
    """Show the overview to supervisors, and lead operators, who have no other page, to their desk."""
    if request.user.is_authenticated and not request.user.is_staff and _operator_of(request) is not None:
        return redirect("desk")
    return overview.overview(request)


@require_safe
@never_cache
@reaches_the_switch
@for_operators
def desk(request: HttpRequest, him: Operator) -> HttpResponse:
    """Show the desk."""
    shown = {
        "him": him,
        "clock_now": live_page.ms(clock.now()),
        "clock_factor": f"{clock.FACTOR:g}",
        "keys": _keys(in_page(him)),
        "phone_in_page": in_page(him),
        **reading.day(him),
        "call_backs": reading.call_backs(him),
    }
    return render(request, "desk/desk.html", shown)


def _keys(phone_in_page: bool) -> list[tuple[str, str]]:
    """Return the hotkeys of the desk itself: none that a disposition may have, and none that depends on a layout."""
    phone = [("m", _("Mute")), ("h", _("Hold"))] if phone_in_page else []
    return [
        ("F2", _("Available")),
        ("F4", _("Available (On Demand)")),
        ("F8", _("On Break, with its reason")),
        ("F9", _("Logged Out")),
        ("0", _("Ready: ends the wrap-up, or has the next call")),
        ("End", _("Hang up")),
        *phone,
        ("1 … 9, a … z", _("Give the result that shows this key")),
        ("=", _("More time for the result")),
        ("Enter", _("The whole form of the result")),
        ("Esc", _("Close what is open, leave a field")),
        ("?", _("This list")),
    ]


@require_safe
@never_cache
@for_operators_scripts
def call(request: HttpRequest, him: Operator, attempt_id: int) -> HttpResponse:
    """Give what is known of the one whom he is to speak to, and what may be said of the call."""
    attempt = reading.find(him, attempt_id)
    if attempt is None:
        return JsonResponse({"message": _("This is no call of yours.")}, status=404)
    numbers = reading.numbers(attempt)
    shown = {
        "attempt": attempt,
        "zone": reading.zone_of(attempt),
        "opening": reading.opening(attempt),
        "numbers": numbers,
        "stories": reading.story_of(attempt),
        **reading.text_of(attempt, him),
    }
    number = attempt.communication.number if attempt.communication else attempt.digits
    told: dict[str, Any] = {
        "attempt": attempt.pk,
        "number": reading.grouped(number, attempt.campaign.default_region),
        "zone": shown["zone"],
        "numbers": numbers,
        "dispositions": reading.dispositions(attempt.campaign),
        "opens": reverse("desk-opens", args=[attempt.pk]),
        "text": render_to_string("desk/text.html", shown, request),
        "story": render_to_string("desk/story.html", shown, request),
    }
    return JsonResponse(told)


@require_safe
@never_cache
@for_operators_scripts
def opens(request: HttpRequest, him: Operator, attempt_id: int) -> HttpResponse:
    """Tell whether the calendar is open for the subscriber of a call of his at an instant (``at``, ISO 8601)."""
    attempt = reading.find(him, attempt_id)
    if attempt is None:
        return JsonResponse({"message": _("This is no call of yours.")}, status=404)
    try:
        at = datetime.fromisoformat(request.GET.get("at", ""))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not clock.now().year - 1 < at.year < clock.now().year + 3:
        return JsonResponse({"message": _("A date and time with its offset, of this year or the next.")}, status=400)
    return JsonResponse(reading.opening(attempt, at))


@require_safe
@never_cache
@for_operators_scripts
def day(request: HttpRequest, him: Operator) -> HttpResponse:
    """Give his figures of today."""
    return render(request, "desk/day.html", reading.day(him))


@require_safe
@never_cache
@for_operators_scripts
def call_backs(request: HttpRequest, him: Operator) -> HttpResponse:
    """Give those whom he is to call back."""
    return render(request, "desk/call_backs.html", {"call_backs": reading.call_backs(him)})
