"""Pages of numbers that must not be called, and of exports."""

from __future__ import annotations

from typing import Any, TypeVar

import pytz
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from campaigns.models import Campaign
from dialer import clock
from dialer.api import scope
from dialer.pages import for_supervisors
from members import actions, numbers
from members.models import DoNotCall
from members.page_forms import AskedForm, AttemptsAskedForm, ListedForm, MembersAskedForm
from members.uploads.models import Upload, UploadKind

M = TypeVar("M", bound=Model)

PAGE = 100
"""Rows of a page."""
LISTS = 5
"""Uploads that are shown beside them."""


def campaigns_of(request: HttpRequest) -> QuerySet[Campaign]:
    """Return the campaigns whose lists the user may see."""
    return scope.campaigns(request.user).order_by("name")


def visible(rows: QuerySet[M], request: HttpRequest) -> QuerySet[M]:
    """Return those rows that the user may see: of his campaigns, and of none."""
    return scope.within(rows, request.user, common=True)


def may_change(request: HttpRequest, campaign: Campaign | None) -> bool:
    """Tell whether the user may change what belongs to a campaign; ``None``: what holds for all of them."""
    return scope.may_change(request.user, campaign.pk if campaign else None)


def need(request: HttpRequest, right: str) -> None:
    """Refuse whoever lacks a right."""
    if not request.user.has_perm(right):
        raise PermissionDenied


def zone_of(request: HttpRequest) -> str:
    """Return the zone of the instants in a form, as the browser told it; UTC when it told none that is known."""
    given = request.POST.get("zone", "")
    return given if given in pytz.all_timezones_set else "UTC"


@never_cache
@for_supervisors
def do_not_call(request: HttpRequest) -> HttpResponse:
    """Show the numbers that must not be called, and take one more."""
    need(request, "members.view_donotcall")
    form = ListedForm(campaigns_of(request), may_change(request, None))
    if request.method == "POST":
        need(request, "members.add_donotcall")
        with timezone.override(zone_of(request)):
            form = ListedForm(campaigns_of(request), may_change(request, None), request.POST)
            if form.is_valid():
                given = form.cleaned_data
                entry = actions.add_do_not_call(
                    given["digits"], given["campaign"], given["expire_at"], given["reason"], by=request.user
                )
                messages.success(request, _("%s is on the list.") % entry.digits)
                return redirect("do-not-call")
    lists = Upload.objects.filter(kind=UploadKind.DO_NOT_CALL).order_by("-pk")
    shown = {"form": form, "uploads": visible(lists, request)[:LISTS], **_listed(request), **_may(request)}
    return render(request, "uploads/do_not_call.html", shown, status=400 if form.errors else 200)


def _may(request: HttpRequest) -> dict[str, bool]:
    return {
        "may_add": request.user.has_perm("members.add_donotcall"),
        "may_remove": request.user.has_perm("members.delete_donotcall"),
    }


def _listed(request: HttpRequest) -> dict[str, Any]:
    """Return a page of entries, the newest first: those that begin or end with some digits, of a list or of all."""
    asked = {name: request.GET.get(name, "") for name in ("q", "for", "before")}
    found = visible(DoNotCall.objects.select_related("campaign"), request).order_by("-pk")
    if digits := numbers.digits_of(asked["q"]):
        found = found.filter(Q(digits__startswith=digits) | Q(digits__endswith=digits))
    elif asked["q"].strip():
        found = found.none()
    if asked["for"] == "every":
        found = found.filter(campaign=None)
    elif asked["for"].isdecimal():
        found = found.filter(campaign_id=int(asked["for"]))
    if asked["before"].isdecimal():
        found = found.filter(pk__lt=int(asked["before"]))
    entries = list(found[: PAGE + 1])
    now = clock.now()
    for entry in entries:
        entry.is_over = entry.expire_at is not None and entry.expire_at <= now  # type: ignore[attr-defined]
    more = {**asked, "before": str(entries[PAGE - 1].pk)} if len(entries) > PAGE else None
    return {
        "entries": entries[:PAGE], "q": asked["q"], "chosen": asked["for"], "campaigns": campaigns_of(request),
        "next_url": more and f"?{urlencode(more)}",
    }  # fmt: skip


@require_POST
@for_supervisors
def remove_do_not_call(request: HttpRequest, entry_id: int) -> HttpResponse:
    """Take a number off its list."""
    need(request, "members.delete_donotcall")
    entry = get_object_or_404(visible(DoNotCall.objects.select_related("campaign"), request), pk=entry_id)
    if not may_change(request, entry.campaign):
        raise PermissionDenied
    actions.remove_do_not_call(entry.digits, entry.campaign, by=request.user)
    messages.success(request, _("%s is off the list and may be called again.") % entry.digits)
    back = request.POST.get("back", "")
    return redirect(back if url_has_allowed_host_and_scheme(back, allowed_hosts=None) else "do-not-call")


@require_safe
@never_cache
@for_supervisors
def export(request: HttpRequest, campaign_id: int) -> HttpResponseBase:
    """Show what can be exported of a campaign and how many rows are asked for, or give the file."""
    campaign = get_object_or_404(campaigns_of(request).select_related("calendar"), pk=campaign_id)
    what = "attempts" if request.GET.get("what") == "attempts" else "members"
    need(request, "dialer.view_attempt" if what == "attempts" else "members.view_member")
    kind: type[AskedForm] = AttemptsAskedForm if what == "attempts" else MembersAskedForm
    asked: Any = request.GET if "format" in request.GET else {"format": "csv", "zone": campaign.calendar.time_zone}
    chosen = request.GET.getlist("columns") if asked is request.GET else list(kind.defaults)
    found, faults = None, []
    with timezone.override(asked["zone"] if asked.get("zone") in pytz.all_timezones_set else "UTC"):
        form = kind(campaign, asked)
        if form.is_valid():
            try:
                if "file" in request.GET:
                    return form.file(request.user, chosen)
            except ValidationError as error:
                faults = error.messages
            found = form.rows(request.user).count()
        shown = {
            "campaign": campaign, "tab": "export", "what": what, "form": form, "found": found,
            "found_shown": found is not None and number_format(found, force_grouping=True),
            "columns": [(name, column.title, name in chosen) for name, column in kind.columns.items()],
            "column_faults": faults,
        }  # fmt: skip
        return render(request, "uploads/export.html", shown, status=400 if "file" in request.GET else 200)
