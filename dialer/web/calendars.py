"""Pages of calendars: the list, and the editor with its week, its special days and what they come to."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import ProtectedError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from campaigns import actions
from campaigns.models import ACTIVE_STATES, Calendar, Weekday
from dialer import clock, live
from dialer.api import scope
from dialer.engine import lanes
from dialer.pages import for_supervisors
from dialer.readings import shared
from dialer.web import calendar_reading as reading
from dialer.web.calendar_forms import COPY_TO, PRESETS, Editor, Found, ImportForm, apply

VIEW: Final = "campaigns.view_calendar"
ADD: Final = "campaigns.add_calendar"
CHANGE: Final = "campaigns.change_calendar"
DELETE: Final = "campaigns.delete_calendar"
MOST: Final = 500
"""Calendars that the list shows."""
NAMED: Final = 3
"""Campaigns of a calendar that it names."""


def _need(request: HttpRequest, right: str) -> None:
    if not request.user.has_perm(right):
        raise PermissionDenied


def _find(request: HttpRequest, calendar_id: int) -> Calendar:
    """Return a calendar with its hours. Raises ``Http404``, or ``PermissionDenied`` for who may not see it."""
    _need(request, VIEW)
    found = Calendar.objects.prefetch_related("ranges", "holidays").filter(pk=calendar_id).first()
    if found is None:
        raise Http404(_("There is no calendar %d.") % calendar_id)
    return found


def _may(request: HttpRequest, right: str, calendar: Calendar) -> bool:
    """Tell whether somebody may do this to a calendar: no campaign beyond his own may have it."""
    return request.user.has_perm(right) and scope.may_change_calendar(request.user, calendar)


# --- the list ---------------------------------------------------------------------------------------------------


@never_cache
@for_supervisors
def calendars(request: HttpRequest) -> HttpResponse:
    """List calendars: their hours, who uses them, how they stand, and what is wrong with them."""
    _need(request, VIEW)
    now = clock.now()
    found = list(Calendar.objects.prefetch_related("ranges", "holidays")[: MOST + 1])
    users: dict[int, list[Any]] = {}
    for campaign in scope.campaigns(request.user).order_by("name"):
        users.setdefault(campaign.calendar_id, []).append(campaign)
    active = sorted(
        campaign.pk for campaigns in users.values() for campaign in campaigns if campaign.state in ACTIVE_STATES
    )
    key = f"calendars:zones{scope.mark(frozenset(active))}"
    zones = shared(key, lambda: lanes.callable_zones(active), times=10) if active else {}
    rows = []
    for calendar in found[:MOST]:
        week, campaigns = calendar.as_hours(), users.get(calendar.pk, [])
        uses = [reading.Use(campaign, zones[campaign.pk]) for campaign in campaigns if campaign.pk in zones]
        rows.append(
            {
                "calendar": calendar,
                "words": reading.week_words(week),
                "special": len(week.holidays),
                "standing": reading.standing(week, now),
                "warnings": reading.warnings(week, uses, now),
                "campaigns": campaigns[:NAMED],
                "more": len(campaigns[NAMED:]),
            }
        )
    shown = {"rows": rows, "truncated": len(found) > MOST, "most": MOST, "may_add": request.user.has_perm(ADD)}
    return render(request, "calendars/list.html", shown)


# --- the editor -------------------------------------------------------------------------------------------------


@never_cache
@for_supervisors
def new(request: HttpRequest) -> HttpResponse:
    """Add a calendar."""
    _need(request, ADD)
    return _edit(request, None)


@never_cache
@for_supervisors
def calendar(request: HttpRequest, calendar_id: int) -> HttpResponse:
    """Show and change a calendar."""
    found = _find(request, calendar_id)
    if request.method == "POST" and not _may(request, CHANGE, found):
        raise PermissionDenied
    return _edit(request, found)


def _edit(request: HttpRequest, found: Calendar | None) -> HttpResponse:
    if request.method != "POST":
        return _page(request, Editor(found))
    do = request.POST.get("do", "save")
    if do != "save":
        editor = Editor(found, apply(do, request.POST), check=False)
        return _page(request, editor, searched=do in ("import", "take"))
    editor = Editor(found, request.POST)
    if not editor.is_valid():
        return _page(request, editor, bad=True)
    saved, untold = _save(request, editor)
    if saved is None:
        return _page(request, editor, untold=untold, bad=not untold)
    live.forget(only=scope.of(request.user))
    messages.success(request, _("“%s” is saved.") % saved if found else _("“%s” is added.") % saved)
    return redirect("calendar", saved.pk)


def _save(request: HttpRequest, editor: Editor) -> tuple[Calendar | None, list[str]]:
    """Save a calendar whose writer knows what follows for running campaigns; else return that, and save nothing."""
    before = editor.calendar.as_hours() if editor.calendar else None
    with transaction.atomic():
        try:
            saved = editor.keep()
        except ValidationError as error:
            editor.form.add_error(None, error)
            return None, []
        if saved is None:
            transaction.set_rollback(True)
            return None, []
        if before is not None:
            # Anew: what others changed in the meantime is part of it.
            after = Calendar.objects.get(pk=saved.pk).as_hours()
            told = reading.consequences(before, after, reading.uses_of(saved.pk, request.user), clock.now())
            if told and reading.mark(told) != request.POST.get("told"):
                transaction.set_rollback(True)
                return None, told
    return saved, []


def _page(
    request: HttpRequest, editor: Editor, *, untold: list[str] | None = None, searched: bool = False, bad: bool = False
) -> HttpResponse:
    found = editor.calendar
    may_change = _may(request, CHANGE, found) if found else True
    if not may_change:
        for field in editor.form.fields.values():
            field.disabled = True
    importing = ImportForm(editor.data if editor.data and editor.data.get("import-country") else None,
                           zone=str(editor.form["time_zone"].value() or ""))  # fmt: skip
    holidays: list[Found] = []
    if searched and importing.is_bound and importing.is_valid():
        holidays = importing.find(editor.typed_days())
    shown = {
        "calendar": found,
        "editor": editor,
        "form": editor.form,
        "action": request.path,
        "preview_url": reverse("calendar-preview-of", args=[found.pk]) if found else reverse("calendar-preview"),
        "may_change": may_change,
        "limited": found is not None and not may_change and request.user.has_perm(CHANGE),
        "may_delete": found is not None and _may(request, DELETE, found),
        "presets": PRESETS.items(),
        "weekdays": Weekday.choices,
        "copy_to": [(key, label) for key, (label, _days) in COPY_TO.items()],
        "importing": importing,
        "found": holidays,
        "searched": searched and importing.is_bound and importing.is_valid(),
        "any_public": any(not day.kind for day in holidays),
        "untold": untold,
        **_read(request, editor),
    }
    return render(request, "calendars/calendar.html", shown, status=400 if bad else 200)


def _read(request: HttpRequest, editor: Editor) -> dict[str, Any]:
    """Tell what a calendar would come to as it is typed; of one that cannot be read, why."""
    now, week = clock.now(), editor.hours()
    uses = reading.uses_of(editor.calendar.pk, request.user) if editor.calendar else []
    shown: dict[str, Any] = {"uses": uses, "running": sum(use.active for use in uses)}
    if week is None:
        return {**shown, "faults": editor.faults()}
    told, was = [], ""
    if editor.calendar:
        before = editor.calendar.as_hours()
        told = reading.consequences(before, week, uses, now)
        minutes = reading.open_minutes(before, now)
        was = reading.length(minutes) if minutes != reading.open_minutes(week, now) else ""
    return {
        **shown,
        "words": reading.week_words(week),
        "standing": reading.standing(week, now),
        "warnings": reading.warnings(week, uses, now),
        "timeline": reading.timeline(week, uses, now),
        "open_for": reading.length(reading.open_minutes(week, now)),
        "was_open_for": was,
        "consequences": told,
        "told": reading.mark(told),
    }


@for_supervisors
@require_POST
def preview(request: HttpRequest, calendar_id: int | None = None) -> HttpResponse:
    """Tell what a calendar would come to that is being typed. Writes nothing."""
    if calendar_id is None:
        _need(request, ADD)
        found = None
    else:
        found = _find(request, calendar_id)
        if not _may(request, CHANGE, found):
            raise PermissionDenied
    editor = Editor(found, request.POST)
    shown = {"calendar": found, "may_change": True, "is_preview": True, **_read(request, editor)}
    return render(request, "calendars/preview.html", shown)


# --- deletion ---------------------------------------------------------------------------------------------------


@never_cache
@for_supervisors
def delete(request: HttpRequest, calendar_id: int) -> HttpResponse:
    """Tell what keeps a calendar, or delete it."""
    found = _find(request, calendar_id)
    if not _may(request, DELETE, found):
        raise PermissionDenied
    if request.method == "POST":
        try:
            actions.delete_calendar(found)
        except ProtectedError:
            messages.error(request, _("“%s” is used by a campaign, and stays.") % found)
            return redirect("calendar-delete", calendar_id)
        messages.success(request, _("“%s” is deleted.") % found)
        return redirect("calendars")
    used = list(scope.campaigns(request.user).filter(calendar=found).order_by("name"))
    return render(request, "calendars/delete.html", {"calendar": found, "used": used})
