"""How things stand, live: everywhere and in one campaign; RUN and STOP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from campaigns import actions
from campaigns.actions import RunAnswer
from campaigns.models import Campaign, CampaignState
from dialer import live
from dialer.api import scope
from dialer.errors import Refused
from dialer.pages import for_supervisors, for_supervisors_scripts
from dialer.web import frame

SOCKET = "/ws/live/"


@require_safe
@never_cache
@for_supervisors
def overview(request: HttpRequest) -> HttpResponse:
    """Show what goes on."""
    shown = {
        "snapshot": json.loads(live.snapshot_json(scope.of(request.user))),
        "snapshot_url": reverse("live-json"),
        "socket_path": SOCKET,
        "may_run": request.user.has_perm("campaigns.change_campaign"),
    }
    return render(request, "live/overview.html", shown)


@require_GET
@never_cache
@for_supervisors_scripts
def overview_json(request: HttpRequest) -> HttpResponse:
    """Give what the overview shows now."""
    return HttpResponse(live.snapshot_json(scope.of(request.user)), content_type="application/json")


@require_safe
@never_cache
@for_supervisors
def campaign(request: HttpRequest, campaign_id: int) -> HttpResponse:
    """Show what goes on in a campaign."""
    found = frame.find(request, campaign_id)
    shown = {
        "campaign": found,
        "tab": "campaign-live",
        "snapshot": json.loads(live.snapshot_json(campaign=found.pk)),
        "snapshot_url": reverse("campaign-live-json", args=[found.pk]),
        "socket_path": f"{SOCKET}?campaign={found.pk}",
        "may_run": request.user.has_perm("campaigns.change_campaign"),
    }
    return render(request, "live/campaign.html", shown)


@require_GET
@never_cache
@for_supervisors_scripts
def campaign_json(request: HttpRequest, campaign_id: int) -> HttpResponse:
    """Give what the live page of a campaign shows now."""
    found = frame.find(request, campaign_id)
    return HttpResponse(live.snapshot_json(campaign=found.pk), content_type="application/json")


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
        live.forget(only=scope.of(request.user), campaign=campaign_id)
    return {"tone": tone, "message": message}
