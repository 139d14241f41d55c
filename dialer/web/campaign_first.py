"""The way to the first campaign: what is missing before it can run, step by step. What is there already is skipped.

No state of its own: each step is done when the database says so, so one may leave and come back, or do a step
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache

from agents.models import Operator, Tier
from campaigns import actions
from campaigns.models import ACTIVE_STATES, Calendar, Campaign, CampaignState, Gateway, Route
from dialer import clock
from dialer.api import scope
from dialer.pages import for_supervisors
from dialer.web import frame
from dialer.web import operators_board as board
from dialer.web.campaign_forms import LinesForm, NewCampaignForm, QuickCalendarForm
from dialer.web.campaigns import CHANGE, calendar_now, forget, may_add, need
from members.models import Member

STEPS: Final = {
    "calendar": gettext_lazy("Calendar"),
    "campaign": gettext_lazy("Campaign"),
    "operators": gettext_lazy("Operators"),
    "lines": gettext_lazy("Gateway and route"),
    "list": gettext_lazy("Subscribers"),
    "run": gettext_lazy("RUN"),
}
OFFERED: Final = 200
"""Operators that are offered to be assigned."""


@dataclass(slots=True)
class Step:
    """One of the steps: whether it is done, and what there is of it or is missing."""

    name: str
    label: str
    done: bool
    told: str
    now: bool = False


@never_cache
@for_supervisors
def first(request: HttpRequest, campaign_id: int | None = None) -> HttpResponseBase:
    """Show the steps, the first one that is not done open (or the one that is asked for), and do the open one."""
    need(request, "campaigns.view_campaign")
    campaign = frame.find(request, campaign_id) if campaign_id else None
    steps = _steps(campaign)
    asked = request.POST.get("step") or request.GET.get("step", "")
    reachable = [step.name for step in steps if campaign or step.name in ("calendar", "campaign")]
    missing = [step.name for step in steps if not step.done and step.name in reachable]
    name = asked if asked in reachable else (missing or reachable)[0]
    part = PARTS[name](request, campaign)
    if isinstance(part, HttpResponse):
        return part
    for step in steps:
        step.now = step.name == name
    at = reachable.index(name)
    shown = {
        "campaign": campaign,
        "steps": steps,
        "reachable": reachable,
        "open": name,
        "next": reachable[at + 1] if at + 1 < len(reachable) else "",
        "is_done": next(step.done for step in steps if step.now),
        **part,
    }
    return render(
        request, "campaigns/first.html", shown, status=400 if getattr(part.get("form"), "errors", None) else 200
    )


def _steps(campaign: Campaign | None) -> list[Step]:
    """Tell of each step what is there. Eight statements at most."""
    found = {"calendar": _calendar_step(campaign)}
    if campaign is None:
        found["campaign"] = (False, _("It needs a name."))
        later = _("After the campaign.")
        found |= dict.fromkeys(("operators", "lines", "list", "run"), (False, later))
    else:
        found["campaign"] = (True, campaign.name)
        assigned = Tier.objects.filter(campaign=campaign, operator__archived=False).count()
        found["operators"] = (bool(assigned), ngettext("%d assigned", "%d assigned", assigned) % assigned)
        gateways = list(_routes(campaign).values_list("gateway__name", flat=True)[:3])
        found["lines"] = (bool(gateways), ", ".join(dict.fromkeys(gateways)) or _("No route dials for it."))
        listed = Member.objects.filter(campaign=campaign).exists()
        found["list"] = (listed, _("There are subscribers.") if listed else _("Nobody is on its list."))
        runs = campaign.state != CampaignState.IDLE
        found["run"] = (runs, campaign.get_state_display())
    return [Step(name, str(label), *found[name]) for name, label in STEPS.items()]


def _calendar_step(campaign: Campaign | None) -> tuple[bool, str]:
    if campaign:
        return True, campaign.calendar.name
    count = Calendar.objects.count()
    return bool(count), ngettext("%d calendar", "%d calendars", count) % count if count else _("There is none.")


def _routes(campaign: Campaign) -> Any:
    """Return the routes that could dial for a campaign."""
    return Route.objects.filter(Q(campaign=campaign) | Q(campaign=None), enabled=True, gateway__enabled=True)


def _go(campaign: Campaign | None, **query: str) -> HttpResponse:
    answer = redirect("campaign-first-of", campaign.pk) if campaign else redirect("campaign-first")
    if query:
        answer["Location"] += "?" + "&".join(f"{name}={value}" for name, value in query.items())
    return answer


Part = dict[str, Any] | HttpResponse


def _posted(request: HttpRequest, form: Callable[..., forms.BaseForm], **given: Any) -> Any:
    """Return a form, filled in if it was sent."""
    return form(request.POST if request.method == "POST" else None, **given)


def _calendar(request: HttpRequest, campaign: Campaign | None) -> Part:
    may = request.user.has_perm("campaigns.add_calendar")
    if campaign:
        return {"calendar": campaign.calendar, "calendar_now": calendar_now(campaign.calendar)}
    form = _posted(request, QuickCalendarForm, zone=board.zone_of_the_house()) if may else None
    if form and form.is_bound and form.is_valid() and (calendar := form.add()):
        messages.success(request, _("The calendar “%s” is added. Its holidays can be set later.") % calendar)
        return _go(None, step="campaign", calendar=str(calendar.pk))
    return {"form": form, "calendars": list(Calendar.objects.order_by("name")[:20])}


def _campaign(request: HttpRequest, campaign: Campaign | None) -> Part:
    if campaign:
        return {}
    known = scope.campaigns(request.user).order_by("-pk")[:10]
    if not may_add(request):
        return {"known": known}
    chosen = request.GET.get("calendar", "")
    calendars = list(Calendar.objects.order_by("name")[:2])
    calendar = Calendar.objects.filter(pk=chosen).first() if chosen.isdecimal() else None
    if calendar is None and len(calendars) == 1:
        calendar = calendars[0]
    form = _posted(request, NewCampaignForm, calendar=calendar)
    if form.is_bound and form.is_valid() and (added := form.add()):
        forget(request)
        messages.success(request, _("“%s” is added.") % added)
        return _go(added)
    return {"form": form, "known": known, "has_calendars": bool(calendars)}


def _operators(request: HttpRequest, campaign: Campaign | None) -> Part:
    assert campaign is not None
    others = Operator.objects.filter(archived=False).exclude(tiers__campaign=campaign).order_by("name", "pk")
    may = request.user.has_perm(CHANGE)
    if request.method == "POST":
        need(request, CHANGE)
        chosen = {int(operator) for operator in request.POST.getlist("add") if operator.isdecimal()}
        new = set(others.filter(pk__in=chosen).values_list("pk", flat=True))
        if new:
            actions.set_places(campaign.pk, dict.fromkeys(new, (1, 1)), seen={})
            forget(request)
            told = ngettext("%d operator is assigned.", "%d operators are assigned.", len(new)) % len(new)
            messages.success(request, told)
            return _go(campaign)
        messages.warning(request, _("Choose operators first."))
    return {
        "others": list(others[:OFFERED]) if request.user.has_perm("agents.view_operator") else [],
        "may": may,
        "may_add_operator": request.user.has_perm("agents.add_operator"),
    }


def _lines(request: HttpRequest, campaign: Campaign | None) -> Part:
    assert campaign is not None
    shown = {"known_routes": list(_routes(campaign).select_related("gateway")[:10])}
    if not request.user.has_perm("campaigns.add_route"):
        return shown
    may_add_gateway = request.user.has_perm("campaigns.add_gateway")
    if not may_add_gateway and not Gateway.objects.exists():
        return shown
    form = _posted(request, LinesForm, may_add_gateway=may_add_gateway)
    if form.is_bound and form.is_valid() and (route := form.add(campaign)):
        forget(request)
        messages.success(request, _("Its numbers are dialled through %s.") % route.gateway)
        return _go(campaign)
    return shown | {"form": form}


def _list(request: HttpRequest, campaign: Campaign | None) -> Part:
    return {"may": request.user.has_perm("members.add_member")}


def _run(request: HttpRequest, campaign: Campaign | None) -> Part:
    assert campaign is not None
    assigned = Operator.objects.filter(tiers__campaign=campaign)
    return {
        "calendar_now": calendar_now(campaign.calendar),
        "free": assigned.free(clock.now()).count(),
        "assigned": assigned.filter(archived=False).count(),
        "runs": campaign.state in ACTIVE_STATES,
        "may": request.user.has_perm(CHANGE),
    }


PARTS: Final[dict[str, Callable[[HttpRequest, Campaign | None], Part]]] = {
    "calendar": _calendar,
    "campaign": _campaign,
    "operators": _operators,
    "lines": _lines,
    "list": _list,
    "run": _run,
}
