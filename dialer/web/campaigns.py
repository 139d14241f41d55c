"""Pages of one campaign: what it is, its parameters, its variables and its causes; add, copy and delete."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, ProtectedError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from agents.models import Tier
from campaigns import actions, hours
from campaigns.models import (
    ACTIVE_STATES,
    DEFAULT_CAUSES,
    AllowedVariable,
    Calendar,
    Campaign,
    Route,
)
from dialer import clock, live
from dialer.api import scope
from dialer.engine import why
from dialer.models import Attempt
from dialer.pages import for_supervisors
from dialer.readings import COUNTS_TIMES, shared
from dialer.web import frame
from dialer.web.campaign_forms import (
    CauseSettingsForm,
    CausesForm,
    CloneForm,
    GeneralForm,
    NewCampaignForm,
    ParametersForm,
    SettingsForm,
    VariablesForm,
    told_of,
)
from members.models import Member

CHANGE: Final = "campaigns.change_campaign"
ADD: Final = "campaigns.add_campaign"
DELETE: Final = "campaigns.delete_campaign"
LAST_ATTEMPTS: Final = 10_000
"""Attempts of a campaign among which causes are counted."""

View = Callable[[HttpRequest, Campaign], HttpResponseBase]


def of_campaign(right: str = "campaigns.view_campaign") -> Callable[[View], Callable[..., HttpResponseBase]]:
    """Let a page of a campaign be seen by who has a right and may see that campaign."""

    def guard(view: View) -> Callable[..., HttpResponseBase]:
        @never_cache
        @for_supervisors
        @wraps(view)
        def guarded(request: HttpRequest, campaign_id: int) -> HttpResponseBase:
            need(request, right)
            return view(request, frame.find(request, campaign_id))

        return guarded

    return guard


def need(request: HttpRequest, right: str) -> None:
    """Raise ``PermissionDenied`` for who has not a right."""
    if not request.user.has_perm(right):
        raise PermissionDenied


def changes(request: HttpRequest, right: str = CHANGE) -> bool:
    """Tell whether a request changes something. Raises ``PermissionDenied`` for who may not."""
    if request.method != "POST":
        return False
    need(request, right)
    return True


def may_add(request: HttpRequest) -> bool:
    """Tell whether somebody may add campaigns: who is limited to some adds none."""
    return request.user.has_perm(ADD) and scope.of(request.user) is None


def forget(request: HttpRequest) -> None:
    """Let the live pages read anew."""
    live.forget(only=scope.of(request.user))


# --- general ----------------------------------------------------------------------------------------------------


@of_campaign()
def general(request: HttpRequest, campaign: Campaign) -> HttpResponseBase:
    """Show and change what a campaign is called, its calendar and its priority; tell how it stands."""
    form = GeneralForm(request.POST if changes(request) else None, instance=campaign)
    if saved := _settings(request, form):
        return saved
    shown = {
        "form": form,
        "calendar_now": calendar_now(campaign.calendar),
        "may_clone": may_add(request),
        "may_delete": request.user.has_perm(DELETE),
    }
    return page(request, campaign, "campaign", "campaigns/general.html", shown, bad=bool(form.errors))


def calendar_now(calendar: Calendar) -> dict[str, Any]:
    """Tell whether a calendar is open by its own clock, and until when."""
    now, week = clock.now(), calendar.as_hours()
    opening = hours.next_opening(week, "", now)
    if opening is None:
        return {"tone": "bad", "label": _("over"), "until": None, "told": _("It never opens again.")}
    if opening > now:
        return {"tone": "off", "label": _("closed"), "until": opening, "told": _("opens")}
    closing = hours.open_until(week, "", now)
    return {"tone": "good", "label": _("open"), "until": closing, "told": _("closes") if closing else ""}


@never_cache
@for_supervisors
def new(request: HttpRequest) -> HttpResponse:
    """Add a campaign."""
    if not may_add(request):
        raise PermissionDenied
    chosen = request.GET.get("calendar", "")
    calendar = Calendar.objects.filter(pk=chosen).first() if chosen.isdecimal() else None
    form = NewCampaignForm(request.POST if request.method == "POST" else None, calendar=calendar)
    if form.is_bound and form.is_valid() and (campaign := form.add()):
        forget(request)
        messages.success(
            request, _("“%s” is added. It has the usual parameters and causes, and runs with RUN.") % campaign
        )
        return redirect("campaign-operators", campaign.pk)
    shown = {"form": form, "has_calendars": Calendar.objects.exists()}
    return render(request, "campaigns/new.html", shown, status=400 if form.errors else 200)


@of_campaign(ADD)
def clone(request: HttpRequest, campaign: Campaign) -> HttpResponseBase:
    """Copy a campaign, but for its subscribers."""
    if not may_add(request):
        raise PermissionDenied
    form = CloneForm(campaign, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and (copy := form.add()):
        forget(request)
        told = _("“%(copy)s” is a copy of “%(original)s”, idle and without subscribers.")
        messages.success(request, told % {"copy": copy, "original": campaign})
        return redirect("campaign", copy.pk)
    shown = {"form": form, "parts": _parts(campaign)}
    return page(request, campaign, "campaign", "campaigns/clone.html", shown, bad=bool(form.errors))


@of_campaign(DELETE)
def delete(request: HttpRequest, campaign: Campaign) -> HttpResponseBase:
    """Tell what deleting a campaign takes along, and delete it."""
    if request.method == "POST":
        try:
            actions.delete_campaign(campaign.pk)
        except ProtectedError:
            messages.error(request, _("“%s” has subscribers or calls by now, and stays.") % campaign)
            return redirect("campaign", campaign.pk)
        forget(request)
        messages.success(request, _("“%s” is deleted.") % campaign)
        return redirect("live")
    kept_by = {
        "members": Member.objects.filter(campaign=campaign).exists(),
        "attempts": Attempt.objects.filter(campaign=campaign).exists(),
    }
    shown = {"parts": _parts(campaign), "kept_by": kept_by, "kept": any(kept_by.values())}
    return page(request, campaign, "campaign", "campaigns/delete.html", shown)


def _parts(campaign: Campaign) -> dict[str, int]:
    """Count what a campaign consists of."""
    return {
        "tiers": Tier.objects.filter(campaign=campaign).count(),
        "routes": Route.objects.filter(campaign=campaign).count(),
        "causes": campaign.causes.count(),
        "dispositions": campaign.dispositions.filter(archived=False).count(),
        "variables": len(campaign.variables),
    }


# --- parameters -------------------------------------------------------------------------------------------------


@require_safe
@of_campaign("members.view_member")
def funnel(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    """Show where the list stands, as a part of a page."""
    return render(request, "why/funnel.html", {"funnel": why.of_campaign(campaign.pk)})


@of_campaign()
def parameters(request: HttpRequest, campaign: Campaign) -> HttpResponseBase:
    """Show and change every parameter."""
    form = ParametersForm(request.POST if changes(request) else None, instance=campaign)
    if saved := _settings(request, form):
        return saved
    fallen_back = campaign.operator_first_until
    shown = {
        "form": form,
        "fallen_back": fallen_back if fallen_back and fallen_back > clock.now() else None,
        "answering": SimpleLazyObject(lambda: Attempt.objects.filter(campaign=campaign).answering(clock.now())),
    }
    return page(request, campaign, "campaign-parameters", "campaigns/parameters.html", shown, bad=bool(form.errors))


# --- variables --------------------------------------------------------------------------------------------------


@of_campaign()
def variables(request: HttpRequest, campaign: Campaign) -> HttpResponseBase:
    """Show and change the variables that each call of a campaign carries."""
    form = VariablesForm(campaign, request.POST if changes(request) else None)
    if request.method == "POST" and (kept := form.keep()) is not None:
        told = [
            one % ", ".join(names)
            for one, names in zip((_("added: %s"), _("changed: %s"), _("removed: %s")), kept, strict=True)
            if names
        ]
        text = _("Saved: %s. It holds from the next call.") % "; ".join(told) if told else _("Nothing was changed.")
        messages.success(request, text)
        return redirect(request.path)
    shown = {"form": form, "allowed": list(AllowedVariable.objects.values_list("name", flat=True))}
    bad = request.method == "POST"
    return page(request, campaign, "campaign-variables", "campaigns/variables.html", shown, bad=bad)


# --- causes -----------------------------------------------------------------------------------------------------


@of_campaign()
def causes(request: HttpRequest, campaign: Campaign) -> HttpResponseBase:
    """Show and change what a campaign makes of each cause."""
    data = request.POST if changes(request) else None
    form, settings = CausesForm(campaign, data), CauseSettingsForm(data, instance=campaign)
    if data is not None and settings.is_valid():
        with transaction.atomic():
            moved, changed = form.keep(), settings.keep()
            if moved is None or changed is None:
                transaction.set_rollback(True)
        if moved is not None and changed is not None:
            messages.success(request, _told_of_causes(moved, told_of(changed) if changed else ""))
            return redirect(request.path)
    happened = causes_of(campaign)
    shown = {
        "form": form,
        "settings": settings,
        "columns": form.columns(happened),
        "differs": {cause: treatment for cause, treatment in form.chosen.items() if treatment} != DEFAULT_CAUSES,
        "counted": sum(happened.values()),
    }
    return page(request, campaign, "campaign-causes", "campaigns/causes.html", shown, bad=data is not None)


@of_campaign(CHANGE)
@require_POST
def restore_causes(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    """Give a campaign the treatments that a new one has."""
    actions.restore_default_causes(campaign.pk)
    messages.success(request, _("The causes are the defaults again, with the next call that ends."))
    return redirect("campaign-causes", campaign.pk)


def causes_of(campaign: Campaign) -> dict[str, int]:
    """Count the causes of the last attempts that never became a talk. One statement, bounded, kept for a while."""

    def read() -> dict[str, int]:
        last = Attempt.objects.filter(campaign=campaign).order_by("-pk").values("pk")[:LAST_ATTEMPTS]
        found = (
            Attempt.objects.filter(pk__in=last, subscriber_created_at__isnull=False, bridged_at__isnull=True)
            .exclude(cause="")
            .order_by()
            .values_list("cause")
            .annotate(count=Count("*"))
        )
        return dict(found)

    return shared(f"campaign:causes:{campaign.pk}", read, times=COUNTS_TIMES)


def _told_of_causes(moved: dict[str, tuple[str, str]], settings: str) -> str:
    told = []
    if moved:
        names = ", ".join(f"{cause} {before} → {after}" for cause, (before, after) in moved.items())
        told.append(
            ngettext("%(count)d cause moved: %(names)s.", "%(count)d causes moved: %(names)s.", len(moved))
            % {"count": len(moved), "names": names}
        )
        told.append(_("It holds for calls that end from now on."))
    return " ".join([*told, settings] if settings else told) or _("Nothing was changed.")


# --- parts of the pages -----------------------------------------------------------------------------------------


def _settings(request: HttpRequest, form: SettingsForm) -> HttpResponse | None:
    """Save a form that was sent; return where to go then, or ``None`` when the page is to be shown."""
    if not form.is_bound or not form.is_valid():
        return None
    saved = form.keep()
    if saved is None:
        return None
    forget(request)
    messages.success(request, told_of(saved))
    return redirect(request.path)


def page(
    request: HttpRequest, campaign: Campaign, tab: str, template: str, shown: dict[str, Any], *, bad: bool = False
) -> HttpResponse:
    """Show a page of a campaign; one with faults is answered 400. Who may not change it sees its fields read-only."""
    may_change = request.user.has_perm(CHANGE)
    for form in (shown.get("form"), shown.get("settings")):
        if isinstance(form, SettingsForm) and not may_change:
            form.lock_fields()
    shown = {
        "campaign": campaign,
        "tab": tab,
        "may_change": may_change,
        "runs": campaign.state in ACTIVE_STATES,
        **shown,
    }
    return render(request, template, shown, status=400 if bad else 200)
