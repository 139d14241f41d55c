"""The pages that show how things stand and what their buttons do; log-in; the probes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from campaigns import actions
from campaigns.actions import RunAnswer
from campaigns.models import Campaign, CampaignState
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
def live(request: HttpRequest) -> HttpResponse:
    """Show what goes on."""
    shown = {
        "snapshot": json.loads(live_page.snapshot_json(scope.of(request.user))),
        "may_run": request.user.has_perm("campaigns.change_campaign"),
    }
    return render(request, "live.html", shown)


@require_GET
@never_cache
@for_supervisors_scripts
def live_json(request: HttpRequest) -> HttpResponse:
    """Give what the live page shows now."""
    return HttpResponse(live_page.snapshot_json(scope.of(request.user)), content_type="application/json")


@require_POST
@for_supervisors_scripts
def run(request: HttpRequest, campaign_id: int) -> HttpResponse:
    """RUN, and answer what came of it in words."""

    def start(campaign: Campaign) -> tuple[str, str]:
        answer = actions.run(campaign.pk, by=request.user)
        tone = "good" if answer in (RunAnswer.STARTED, RunAnswer.UNCHANGED) else "warn"
        return tone, f"{campaign}: {answer.label}"

    return _act(request, campaign_id, start)


@require_POST
@for_supervisors_scripts
def stop(request: HttpRequest, campaign_id: int) -> HttpResponse:
    """STOP, and answer what came of it in words."""

    def end(campaign: Campaign) -> tuple[str, str]:
        stopped = actions.stop(campaign.pk, by=request.user) == CampaignState.STOPPED
        told = _("Stopped.") if stopped else _("No new call is placed; calls under way go on to their end.")
        return "good", f"{campaign}: {told}"

    return _act(request, campaign_id, end)


def _act(request: HttpRequest, campaign_id: int, act: Callable[[Campaign], tuple[str, str]]) -> HttpResponse:
    """Act, and answer a form that names the ``next`` page by that page with a message, a script by JSON."""
    answer = _acted(request, campaign_id, act)
    if "next" not in request.POST:
        status = answer.pop("status", 200)
        return JsonResponse(answer, status=status)
    level = {"good": messages.SUCCESS, "warn": messages.WARNING}.get(answer.get("tone", ""), messages.ERROR)
    messages.add_message(request, level, answer["message"])
    back = request.POST["next"]
    safe = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return redirect(back if safe else "live")


def _acted(request: HttpRequest, campaign_id: int, act: Callable[[Campaign], tuple[str, str]]) -> dict[str, Any]:
    if not request.user.has_perm("campaigns.change_campaign"):
        return {"message": _("You may look, but not run or stop campaigns."), "status": 403}
    campaign = scope.campaigns(request.user).filter(pk=campaign_id).first()
    if campaign is None:
        return {"message": _("This campaign is gone."), "status": 404}
    try:
        tone, message = act(campaign)
    except Refused as refusal:
        return {"tone": "bad", "code": refusal.code, "message": refusal.message, "status": 409}
    finally:
        live_page.forget(only=scope.of(request.user))
    return {"tone": tone, "message": message}


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
