"""The page of the switches and what its buttons do; the probes."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from dialer import health
from dialer import live as live_page
from dialer import switches as switches_page
from dialer.api import scope
from dialer.engine import nodes
from dialer.errors import Refused
from dialer.models import Node
from dialer.pages import for_supervisors, for_supervisors_scripts


@require_safe
@never_cache
@for_supervisors
def switches(request: HttpRequest) -> HttpResponse:
    """Show the switches, who hears them, what they carry, and what was repaired."""
    shown = {
        "snapshot": json.loads(switches_page.snapshot_json(scope.of(request.user))),
        "tab": "switches",
        "may_drain": request.user.has_perm("dialer.change_node"),
    }
    return render(request, "switches.html", shown)


@require_GET
@never_cache
@for_supervisors_scripts
def switches_json(request: HttpRequest) -> HttpResponse:
    """Give what the page of the switches shows now."""
    return HttpResponse(switches_page.snapshot_json(scope.of(request.user)), content_type="application/json")


@require_POST
@for_supervisors_scripts
def drain(request: HttpRequest, node_id: int) -> HttpResponse:
    """Give a switch no new calls, and answer so in words."""
    return _act_on_switch(request, node_id, nodes.drain, _("No new call is placed on it; those it has go on."))


@require_POST
@for_supervisors_scripts
def resume(request: HttpRequest, node_id: int) -> HttpResponse:
    """Give a switch calls again, and answer so in words."""
    return _act_on_switch(request, node_id, nodes.resume, _("It is given calls again."))


def _act_on_switch(request: HttpRequest, node_id: int, act: Callable[..., Node], done: str) -> JsonResponse:
    if not request.user.has_perm("dialer.change_node"):
        return JsonResponse({"message": _("You may look, but not drain or resume switches.")}, status=403)
    try:
        node = act(node_id, by=request.user)
    except Refused as refusal:
        return JsonResponse({"tone": "bad", "code": refusal.code, "message": refusal.message}, status=404)
    finally:
        switches_page.forget(scope.of(request.user))
        live_page.forget()
    return JsonResponse({"tone": "good", "message": f"{node}: {done}"})


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that this web server lives, whatever it stands on. For probes."""
    return HttpResponse("ok", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer whether calls can be placed and followed: 200 or 503, with each check. For probes; needs no log-in."""
    checks = health.read()
    ready = health.is_ready(checks)
    return JsonResponse({"ready": ready, "checks": checks}, status=200 if ready else 503)
