"""Pages of webhooks: how each goes, the log of its deliveries, a test, and what was given up sent again."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from dialer.api import scope
from dialer.errors import Refused
from dialer.pages import for_supervisors
from dialer.web import system_reading as reading
from dialer.webhooks import actions
from dialer.webhooks.models import Delivery, DeliveryState, Subscription

VIEW: Final = "webhooks.view_subscription"
VIEW_LOG: Final = "webhooks.view_delivery"
CHANGE: Final = "webhooks.change_subscription"
PAGE: Final = 100
"""Deliveries on a page."""
AGAIN_AT_ONCE: Final = 10_000
"""Of those given up, the oldest: so many are sent again by one press."""
TONES: Final = {DeliveryState.PENDING: "talk", DeliveryState.DELIVERED: "good", DeliveryState.PARKED: "bad"}


@require_safe
@never_cache
@for_supervisors
def webhooks(request: HttpRequest) -> HttpResponse:
    """Show all webhooks that the user may see, and how each goes."""
    _need(request, VIEW)
    found = scope.within(Subscription.objects.select_related("campaign").order_by("name"), request.user)
    shown = {
        "tab": "webhooks",
        "rows": reading.waiting_of(found),
        "may_add": request.user.has_perm("webhooks.add_subscription"),
        "may_view_log": request.user.has_perm(VIEW_LOG),
    }
    return render(request, "system/webhooks.html", shown)


@require_safe
@never_cache
@for_supervisors
def webhook(request: HttpRequest, webhook_id: int) -> HttpResponse:
    """Show the log of a webhook's deliveries, the newest first."""
    _need(request, VIEW)
    _need(request, VIEW_LOG)
    found = _find(request, webhook_id)
    asked = {name: request.GET.get(name, "") for name in ("state", "before")}
    log = Delivery.objects.filter(subscription=found).select_related("event").order_by("-pk")
    if asked["state"] in DeliveryState.values:
        log = log.filter(state=asked["state"])
    if asked["before"].isdecimal():
        log = log.filter(pk__lt=int(asked["before"]))
    rows = list(log[: PAGE + 1])
    more = {**asked, "before": str(rows[PAGE - 1].pk)} if len(rows) > PAGE else None
    [standing] = reading.waiting_of(Subscription.objects.select_related("campaign").filter(pk=found.pk))
    shown = {
        "tab": "webhooks",
        "webhook": found,
        "standing": standing,
        "rows": [(row, TONES[DeliveryState(row.state)]) for row in rows[:PAGE]],
        "states": DeliveryState.choices,
        "asked": asked,
        "may_change": request.user.has_perm(CHANGE),
        "next_url": more and f"?{urlencode(more)}",
    }
    return render(request, "system/webhook.html", shown)


@require_POST
@for_supervisors
def send_test(request: HttpRequest, webhook_id: int) -> HttpResponse:
    """Send a test and tell what came of it."""
    _need(request, CHANGE)
    found = _find(request, webhook_id)
    try:
        delivery = actions.send_test(found)
    except Refused as refusal:
        messages.error(request, refusal.message)
        return redirect("system-webhook", found.pk)
    if delivery.state == DeliveryState.DELIVERED:
        told = _("Delivered: answered %(status)d in %(ms)d ms.")
        messages.success(request, told % {"status": delivery.status_code, "ms": delivery.milliseconds})
    else:
        messages.error(request, _("Not delivered. %s") % delivery.error)
    return redirect("system-webhook", found.pk)


@require_POST
@for_supervisors
def send_again(request: HttpRequest, webhook_id: int) -> HttpResponse:
    """Send again what was given up: one ``delivery``, or the oldest of all."""
    _need(request, CHANGE)
    found = _find(request, webhook_id)
    one = request.POST.get("delivery", "")
    parked = Delivery.objects.filter(subscription=found, state=DeliveryState.PARKED).order_by("pk")
    chosen = [int(one)] if one.isdecimal() else list(parked.values_list("pk", flat=True)[:AGAIN_AT_ONCE])
    count = actions.send_again(found, chosen)
    reading.forget_parked()
    messages.success(request, ngettext("%d waits again.", "%d wait again.", count) % count)
    return redirect("system-webhook", found.pk)


def _need(request: HttpRequest, right: str) -> None:
    if not request.user.has_perm(right):
        raise PermissionDenied


def _find(request: HttpRequest, webhook_id: int) -> Subscription:
    """Return a webhook that the user may see. Raises ``Http404``."""
    found = scope.within(Subscription.objects.filter(pk=webhook_id), request.user).first()
    if found is None:
        raise Http404(_("There is no webhook %d.") % webhook_id)
    return found
