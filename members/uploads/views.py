"""Pages of uploads: the history of a list, and one page for each upload, whose body follows its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from campaigns.models import Campaign
from dialer import clock
from dialer.errors import Refused
from dialer.pages import for_supervisors
from members.uploads import actions
from members.uploads.api import ADDS, SEES, rejected_file
from members.uploads.forms import ReadingForm, destinations_of
from members.uploads.layout import FileKind, Layout
from members.uploads.models import (
    REJECTED_KINDS,
    RUNNING_STATES,
    DuplicateRule,
    FaultKind,
    Upload,
    UploadKind,
    UploadState,
    UploadTemplate,
)
from members.views import campaigns_of, may_change, need, visible, zone_of

PAGE = 50
"""Uploads of a page."""
WAITS_FOR = 5
"""Seconds after which a page says that no worker has taken what it waits for."""

TONES = {
    UploadState.NEW: "off", UploadState.CHECKING: "ring", UploadState.CHECKED: "talk", UploadState.LOADING: "ring",
    UploadState.LOADED: "good", UploadState.UNDOING: "ring", UploadState.UNDONE: "wrap",
    UploadState.CANCELLED: "break", UploadState.FAILED: "bad",
}  # fmt: skip


# --- which ones, and who may ------------------------------------------------------------------------------------


def uploads_of(request: HttpRequest) -> QuerySet[Upload]:
    """Return the uploads whose rows the user may see."""
    kinds = [kind for kind, right in SEES.items() if request.user.has_perm(right)]
    return visible(Upload.objects.filter(kind__in=kinds), request).select_related("campaign__calendar")


def one_of(request: HttpRequest, upload_id: int) -> Upload:
    return get_object_or_404(uploads_of(request), pk=upload_id)


def may_add(request: HttpRequest, kind: str, campaign: Campaign | None) -> bool:
    """Tell whether the user may upload such rows."""
    return request.user.has_perm(ADDS[UploadKind(kind)]) and may_change(request, campaign)


def need_to_add(request: HttpRequest, upload: Upload) -> None:
    """Refuse whoever may not upload such rows."""
    if not may_add(request, upload.kind, upload.campaign):
        raise PermissionDenied


# --- the history ------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@for_supervisors
def of_campaign(request: HttpRequest, campaign_id: int) -> HttpResponse:
    """Show what was uploaded into a campaign, and take a file."""
    need(request, SEES[UploadKind.MEMBERS])
    campaign = get_object_or_404(campaigns_of(request), pk=campaign_id)
    if request.method == "POST":
        return _begin(request, UploadKind.MEMBERS, campaign)
    return _history(request, UploadKind.MEMBERS, campaign)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@for_supervisors
def of_do_not_call(request: HttpRequest) -> HttpResponse:
    """Show what was uploaded of numbers that must not be called, and take a file."""
    need(request, SEES[UploadKind.DO_NOT_CALL])
    if request.method == "POST":
        given = request.POST.get("campaign", "")
        campaign = get_object_or_404(campaigns_of(request), pk=int(given)) if given.isdecimal() else None
        return _begin(request, UploadKind.DO_NOT_CALL, campaign)
    return _history(request, UploadKind.DO_NOT_CALL, None)


def _history(
    request: HttpRequest, kind: UploadKind, campaign: Campaign | None, fault: str = "", status: int = 200
) -> HttpResponse:
    found = uploads_of(request).filter(kind=kind).order_by("-pk").defer("report", "layout")
    if campaign:
        found = found.filter(campaign=campaign)
    before = request.GET.get("before", "")
    if before.isdecimal():
        found = found.filter(pk__lt=int(before))
    uploads = list(found[: PAGE + 1])
    for upload in uploads:
        upload.tone = TONES[UploadState(upload.state)]  # type: ignore[attr-defined]
        upload.left_out = upload.skipped + upload.refused  # type: ignore[attr-defined]
    shown = {
        "campaign": campaign,
        "tab": "uploads",
        "campaigns": campaigns_of(request) if kind == UploadKind.DO_NOT_CALL else None,
        "may_everywhere": may_change(request, None),
        "uploads": uploads[:PAGE],
        "next_url": f"?before={uploads[PAGE - 1].pk}" if len(uploads) > PAGE else None,
        "may_upload": request.user.has_perm(ADDS[kind]),
        "limit": settings.UPLOAD_LIMIT_MB * 1_000_000,
        "limit_shown": f"{settings.UPLOAD_LIMIT_MB} MB",
        "fault": fault,
    }
    return render(request, "uploads/history.html", shown, status=status)


def _begin(request: HttpRequest, kind: UploadKind, campaign: Campaign | None) -> HttpResponse:
    """Take a file; a script is told its address, or why not, as JSON."""
    if not may_add(request, kind, campaign):
        raise PermissionDenied
    scripted = request.headers.get("Accept") == "application/json"
    file = request.FILES.get("file")
    try:
        if file is None:
            raise ValidationError({"file": _("Choose a file.")})
        upload = actions.begin(file, file_name=file.name or "", campaign=campaign, kind=kind, by=request.user)
    except ValidationError as error:
        told = " ".join(error.messages)
        if scripted:
            return JsonResponse({"message": told}, status=400)
        return _history(request, kind, campaign, told, status=400)
    if scripted:
        return JsonResponse({"url": _url(upload)}, status=201)
    return redirect(_url(upload))


def _url(upload: Upload) -> str:
    return reverse("upload", args=[upload.pk])


# --- one upload -------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@for_supervisors
def one(request: HttpRequest, upload_id: int) -> HttpResponse:
    """Show where an upload stands, and take how it is read: to be checked so, or to be saved as a template."""
    upload = one_of(request, upload_id)
    if request.method == "POST":
        need_to_add(request, upload)
        return _take_reading(request, upload)
    edits = upload.may_check and may_add(request, upload.kind, upload.campaign)
    if edits and (upload.state == UploadState.NEW or "edit" in request.GET):
        return _show_reading(request, upload)
    return render(request, "uploads/upload.html", _stage(request, upload))


def _take_reading(request: HttpRequest, upload: Upload) -> HttpResponse:
    if not upload.path:
        messages.error(request, _("The file is deleted: upload it again."))
        return redirect(_url(upload))
    with timezone.override(zone_of(request)):
        form = _form(request, upload, request.POST)
        saves = request.POST.get("do") == "save"
        faults = list(form.told())
        # What was guessed for another reading than that on the page is shown before it is acted upon.
        if not faults and not form.reads_anew:
            try:
                return _keep_reading(request, upload, form, request.POST.get("template_name", "") if saves else None)
            except ValidationError as error:
                faults = [("", told) for told in error.messages]
            except Refused as refusal:
                messages.error(request, refusal.message)
                return redirect(_url(upload))
        return _show_reading(request, upload, form, faults)


def _keep_reading(request: HttpRequest, upload: Upload, form: ReadingForm, template: str | None) -> HttpResponse:
    """Set the layout, and have it checked, or saved under a name."""
    given = form.cleaned_data
    _need_rule(request, given["on_duplicate"], given["auto_run"])
    with transaction.atomic():
        actions.set_layout(
            upload, layout=form.raw, on_duplicate=given["on_duplicate"], by=request.user,
            auto_run=given["auto_run"] and upload.kind == UploadKind.MEMBERS,
            reason=given["reason"], expire_at=given["expire_at"],
        )  # fmt: skip
        if template is None:
            actions.check(upload, by=request.user)
            return redirect(_url(upload))
        saved = actions.save_template(template, upload, by=request.user)
    messages.success(request, _("The template “%s” is saved.") % saved.name)
    return redirect(f"{_url(upload)}?edit=1")


def _need_rule(request: HttpRequest, rule: str, auto_run: bool) -> None:
    """Refuse rules of loading that do more than the user may."""
    if rule == DuplicateRule.UPDATE:
        need(request, "members.change_member")
    if auto_run:
        need(request, "access.run_campaign")


def _form(
    request: HttpRequest, upload: Upload, data: Any = None, template: UploadTemplate | None = None
) -> ReadingForm:
    layout = Layout.from_json(template.layout if template else upload.layout)
    rule = template.on_duplicate if template else ""
    return ReadingForm(upload, layout, data, rule, request.user.has_perm("access.run_campaign"))


def _show_reading(
    request: HttpRequest, upload: Upload, form: ReadingForm | None = None, faults: list[tuple[str, str]] | None = None
) -> HttpResponse:
    template = None
    chosen = request.GET.get("template", "")
    if form is None:
        if chosen.isdecimal():
            template = UploadTemplate.objects.filter(kind=upload.kind, pk=int(chosen)).first()
        try:
            form = _form(request, upload, template=template)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            form = _form(request, upload)
    headings = form.preview.headings if form.preview else []
    templates = actions.templates_for(upload.kind, headings)
    for one_template in templates:
        one_template.fits = actions.fits(one_template, headings)  # type: ignore[attr-defined]
    suggested = templates[0] if templates and templates[0].fits and request.method == "GET" else None  # type: ignore[attr-defined]
    shown = {
        **_stage(request, upload, "uploads/reading.html"),
        **_reading(form, faults),
        "templates": templates,
        "suggested": None if template or upload.checked_at else suggested,
        "used": template.pk if template else None,
        "template_name": request.POST.get("template_name", template.name if template else ""),
        "rules": _rules(request, upload),
        "rule": form["on_duplicate"].value(),
    }
    return render(request, "uploads/upload.html", shown, status=400 if faults else 200)


def _reading(form: ReadingForm, faults: list[tuple[str, str]] | None = None) -> dict[str, Any]:
    """Return what is shown of how a file is read."""
    titles = dict(destinations_of(form.upload.kind))
    told = list(form.told()) if faults is None else faults
    return {
        "form": form,
        "destinations": list(titles.items()),
        "heads": [(column, titles.get(column.destination, "") if column.destination != "nothing" else "")
                  for column in form.columns],
        "first_rows": form.shown_rows(),
        "refused": form.refused,
        "faults": told if not form.refused or faults else [],
        "ambiguous": form.ambiguous(),
        "loaded_columns": sum(column.destination != "nothing" for column in form.columns),
    }  # fmt: skip


@require_POST
@never_cache
@for_supervisors
def preview(request: HttpRequest, upload_id: int) -> HttpResponse:
    """Give the parts of the page that a choice of how the file is read changes; nothing is written."""
    upload = one_of(request, upload_id)
    need_to_add(request, upload)
    if not upload.path:
        raise Http404
    with timezone.override(zone_of(request)):
        form = _form(request, upload, request.POST)
        headings = form.preview.headings if form.preview else []
        templates = actions.templates_for(upload.kind, headings) if form.reads_anew else []
        shown = {
            **_reading(form), "upload": upload, "live": True, "templates": templates,
            "template_name": request.POST.get("template_name", ""),
        }  # fmt: skip
        return render(request, "uploads/reading_live.html", shown)


def _stage(request: HttpRequest, upload: Upload, stage: str = "") -> dict[str, Any]:
    """Return what the page of an upload shows in the state that it is in."""
    by_state = {UploadState.CHECKED: "uploads/report.html"} | dict.fromkeys(RUNNING_STATES, "uploads/progress.html")
    stage = stage or by_state.get(UploadState(upload.state), "uploads/summary.html")
    adds = may_add(request, upload.kind, upload.campaign)
    shown: dict[str, Any] = {
        "upload": upload,
        "stage": stage,
        "tone": TONES[UploadState(upload.state)],
        "steps": _steps(upload, stage),
        "history_url": reverse("uploads", args=[upload.campaign_id])
        if upload.kind == UploadKind.MEMBERS
        else reverse("do-not-call-uploads"),
        "may_upload": adds,
        "may_undo": request.user.has_perm("members.delete_member") and may_change(request, upload.campaign),
        "read_as": _read_as(upload.layout),
    }
    if stage == "uploads/progress.html":
        shown |= _progress(upload)
    elif stage == "uploads/report.html":
        shown |= {"report": _report(upload), **_loading(request, upload)}
    elif stage == "uploads/summary.html":
        shown |= {"report": _report(upload), "headline": _headline(upload)}
    shown["rule"] = shown.get("rule", upload.on_duplicate)
    shown["rule_title"] = _short(DuplicateRule(shown["rule"]))
    return shown


def _steps(upload: Upload, stage: str) -> list[dict[str, Any]]:
    """Return the steps of an upload, each with whether it is done, the present one, or where it stopped."""
    titles = [_("Columns"), _("Check"), _("Load"), _("Done")]
    last = len(titles) - 1
    places = {UploadState.CHECKING: 1, UploadState.CHECKED: 2, UploadState.LOADING: 2}
    now = 0 if stage == "uploads/reading.html" else places.get(UploadState(upload.state), last)
    stopped = now == last and upload.state in (UploadState.FAILED, UploadState.CANCELLED)
    if stopped:
        now = 2 if upload.checked_at else 1
    found = []
    for place, title in enumerate(titles):
        tone = "is-done" if place < now or now == last else "is-now" if place == now else "is-next"
        found.append({"title": title, "tone": "is-stopped" if stopped and place == now else tone, "now": place == now})
    return found


def _read_as(layout: Mapping[str, Any]) -> str:
    if layout.get("kind") == FileKind.XLSX:
        return "XLSX"
    separator = {"\t": _("tab")}.get(layout.get("separator", ""), layout.get("separator", ""))
    return f"{layout.get('charset', '')}  {separator}"


def _short(rule: DuplicateRule) -> str:
    return str(rule.label).partition(":")[0]


def _rules(request: HttpRequest, upload: Upload) -> list[dict[str, Any]]:
    """Return the rules of duplicates that the user may choose, with their consequence in words."""
    is_list = upload.kind == UploadKind.DO_NOT_CALL
    told = {
        DuplicateRule.STOP: _("Loads nothing while any row is faulty or a duplicate."),
        DuplicateRule.SKIP: _("Leaves them out and loads the rest. A file tells which, and why."),
        DuplicateRule.UPDATE: _("Those on the list get the reason and the end of the file; faulty rows are left out.")
        if is_list
        else _("Those who are in the campaign get the data of the file, and new numbers. Nobody is called again for it."
               " Faulty rows are left out."),
    }  # fmt: skip
    return [
        {"value": rule.value, "title": _short(rule), "told": told[rule]}
        for rule in DuplicateRule
        if rule != DuplicateRule.UPDATE or request.user.has_perm("members.change_member")
    ]


def _loading(request: HttpRequest, upload: Upload) -> dict[str, Any]:
    """Return what loading would do by the rule that is chosen on the page, and by each of the others."""
    rules = _rules(request, upload)
    asked = request.GET.get("on_duplicate", upload.on_duplicate)
    if asked not in [rule["value"] for rule in rules]:
        asked = DuplicateRule.STOP.value
    chosen = copy(upload)
    chosen.on_duplicate = asked
    counts = {kind["kind"]: kind["count"] for kind in upload.report}
    updated = 0
    if asked == DuplicateRule.UPDATE:
        updated = max(upload.duplicates - counts.get(FaultKind.TWICE, 0) - counts.get(FaultKind.SEVERAL, 0), 0)
    left_out = upload.faulty + upload.duplicates - updated
    if upload.kind == UploadKind.MEMBERS:
        added = ngettext("%(n)s subscriber is added", "%(n)s subscribers are added", upload.good)
    else:
        added = ngettext("%(n)s number is listed", "%(n)s numbers are listed", upload.good)
    told = [added % {"n": _count(upload.good)}]
    if updated:
        told.append(ngettext("%(n)s is updated", "%(n)s are updated", updated) % {"n": _count(updated)})
    if left_out:
        told.append(ngettext("%(n)s row is left out", "%(n)s rows are left out", left_out) % {"n": _count(left_out)})
    return {
        "rules": rules if upload.faulty or upload.duplicates else [],
        "rule": asked,
        "obstacle": chosen.obstacle,
        "outcome": "" if chosen.obstacle else ", ".join(told) + ".",
    }


def _count(number: int) -> str:
    return number_format(number, force_grouping=True)


def _report(upload: Upload) -> list[dict[str, Any]]:
    """Return the faults by kind, the columns by what heads them."""
    headings = _headings(upload)
    found = []
    for kind in upload.report:
        first = [
            {**fault, "heading": "" if fault["column"] is None else _heading(headings, fault["column"])}
            for fault in kind["first"]
        ]
        rejected = kind["kind"] in REJECTED_KINDS
        tone = "warn" if kind["kind"] in (FaultKind.TWICE, FaultKind.TAKEN, FaultKind.SEVERAL) else "bad"
        found.append({
            "title": FaultKind(kind["kind"]).label if kind["kind"] in FaultKind.values else kind["title"],
            "count": kind["count"], "first": first, "more": max(kind["count"] - len(first), 0),
            "tone": tone if rejected else "held", "rejected": rejected,
        })  # fmt: skip
    return found


def _headings(upload: Upload) -> list[str]:
    if not upload.path:
        return []
    try:
        return actions.reading.headings(upload.file, Layout.from_json(upload.layout))
    except (actions.FileRefused, ValidationError, OSError):
        return []


def _heading(headings: list[str], place: int) -> str:
    return (headings[place].strip() if place < len(headings) else "") or _("Column %d") % (place + 1)


def _headline(upload: Upload) -> str:
    match upload.state:
        case UploadState.LOADED:
            return _("The list is loaded")
        case UploadState.UNDONE:
            return _("The upload is undone")
        case UploadState.CANCELLED:
            return _("It was cancelled before its end")
        case UploadState.FAILED:
            return _("It stopped before its end")
    return _("The file is not checked")


# --- under way --------------------------------------------------------------------------------------------------


def _progress(upload: Upload) -> dict[str, Any]:
    waited = clock.real_age(upload.started_at).total_seconds() if upload.started_at else 0.0
    return {"left": _span(upload.seconds_left), "waits": upload.beat_at is None and waited > WAITS_FOR}


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@require_safe
@never_cache
@for_supervisors
def progress(request: HttpRequest, upload_id: int) -> HttpResponse:
    """Give how far an upload is; once it is in a final state, the page's body instead, which asks no more."""
    upload = one_of(request, upload_id)
    if upload.running and request.GET.get("state") == upload.state:
        return render(request, "uploads/progress_now.html", {"upload": upload, **_progress(upload)})
    answer = render(request, "uploads/stage.html", _stage(request, upload))
    answer["HX-Retarget"], answer["HX-Reswap"] = "#stage", "outerHTML"
    return answer


@require_safe
@never_cache
@for_supervisors
def rejected(request: HttpRequest, upload_id: int) -> HttpResponseBase:
    """Give the rows that were left out, with the reason beside each."""
    upload = one_of(request, upload_id)
    if not upload.rejected_exists:
        raise Http404
    return rejected_file(upload, head_only=request.method == "HEAD")


# --- buttons ----------------------------------------------------------------------------------------------------


def _load(request: HttpRequest, upload: Upload) -> None:
    need_to_add(request, upload)
    rule = request.POST.get("on_duplicate", upload.on_duplicate)
    _need_rule(request, rule, upload.auto_run)
    actions.load(upload, by=request.user, on_duplicate=rule)


def _cancel(request: HttpRequest, upload: Upload) -> None:
    need_to_add(request, upload)
    actions.cancel(upload, by=request.user)


def _undo(request: HttpRequest, upload: Upload) -> None:
    need(request, "members.delete_member")
    if not may_change(request, upload.campaign):
        raise PermissionDenied
    actions.undo(upload, by=request.user)


def _forget(request: HttpRequest, upload: Upload) -> None:
    need_to_add(request, upload)
    actions.forget(upload, by=request.user)
    messages.success(request, _("The file is deleted."))


ACTS: Mapping[str, Callable[[HttpRequest, Upload], None]] = {
    "load": _load, "cancel": _cancel, "undo": _undo, "forget": _forget,
}  # fmt: skip


@require_POST
@for_supervisors
def act(request: HttpRequest, upload_id: int, act: str) -> HttpResponse:
    """Do what a button says, and show where the upload stands then."""
    if act not in ACTS:
        raise Http404
    upload = one_of(request, upload_id)
    try:
        ACTS[act](request, upload)
    except Refused as refusal:
        messages.error(request, refusal.message)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect(_url(upload))
