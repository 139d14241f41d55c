"""The subscribers of a campaign: found, changed many at a time, added and edited by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from django.contrib import messages
from django.core import signing
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from rest_framework.exceptions import ValidationError

from campaigns.models import Campaign, CauseRule
from dialer import clock
from dialer.exports import ATTEMPT_DEFAULTS, FileFormat
from dialer.pages import for_supervisors
from dialer.readings import COUNTS_TIMES, shared
from dialer.web import frame
from dialer.web.subscribers_forms import SubscriberForm, SubscribersForm, without
from members import actions, exports
from members.admin import run_after
from members.models import END_CAUSES, Member, MemberState
from members.page_forms import MembersFilters
from members.views import need

VIEW: Final = "members.view_member"
MOST_COUNTED: Final = 10_000
"""A list is counted so far; beyond it there are more."""
BATCH: Final = 500
"""Subscribers that are changed at once."""
WORKS_FOR: Final = 3.0
"""Real seconds after which a request that changes many lets the next one go on."""
TONES: Final = {
    MemberState.WAITING: "off", MemberState.READY: "good", MemberState.LIVE: "talk", MemberState.HELD: "wrap",
    MemberState.ENDED: "off",
}  # fmt: skip
DO: Final = {
    "reset": "members.change_member",
    "end": "members.change_member",
    "delete": "members.delete_member",
    "export": VIEW,
}
"""What may be done with many, and the right that it asks for."""


def tone_of(member: Member) -> str:
    """Return the tone of a subscriber's state."""
    return "good" if member.success else str(TONES[MemberState(member.state)])


# --- the list ---------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@for_supervisors
def subscribers(request: HttpRequest, campaign_id: int) -> HttpResponse:
    """Show those that are asked for, a page at a time; a cursor says after whom the page begins."""
    need(request, VIEW)
    campaign = frame.find(request, campaign_id)
    with timezone.override(campaign.calendar.time_zone):
        form = SubscribersForm(campaign, request.GET, request.user)
        shown = {"campaign": campaign, "tab": "subscribers", "form": form, **_may(request)}
        if form.is_valid():
            try:
                shown |= _page(request, campaign, form)
            except ValidationError:
                messages.warning(request, _("This page of the list is no more: here is the first one."))
                return redirect(f"{request.path}?{without(request.GET, 'cursor')}")
        causes = CauseRule.objects.filter(campaign=campaign).values_list("cause", flat=True)
        shown["causes"] = [*END_CAUSES, *sorted(causes)]
        return render(request, "subscribers/list.html", shown, status=400 if form.errors else 200)


def _page(request: HttpRequest, campaign: Campaign, form: SubscribersForm) -> dict[str, Any]:
    cursor = request.GET.get("cursor") or None
    rows, after = form.page(request.user, cursor)
    now = clock.now()
    for member in rows:
        member.campaign = campaign
        member.tone = tone_of(member)
        its = sorted(member.communications.all(), key=lambda number: (bool(number.stopped), -number.priority))
        member.first = member.next_communication or (its[0] if its else None)
        member.others = len(its) - 1
        member.is_due = member.ended_at is None and member.due_at <= now
    address = without(request.GET, "cursor")
    return {
        "rows": rows,
        "order": form.order,
        "filters": without(request.GET, "cursor", "sort"),
        "first_url": f"{request.path}?{address}" if cursor else "",
        "next_url": f"{request.path}?{address}{'&' if address else ''}cursor={after}" if after else "",
        "found": counted(campaign, form, request),
        "most": number_format(MOST_COUNTED, force_grouping=True),
    }


def counted(campaign: Campaign, form: MembersFilters, request: HttpRequest) -> dict[str, Any]:
    """Tell how many match: up to ``MOST_COUNTED``, kept for a while. One statement at most."""
    asked = without(request.GET, "cursor", "sort")
    key = f"subscribers:count:{campaign.pk}:{sha256(asked.encode()).hexdigest()[:32]}"
    found = form.rows(request.user).order_by()
    count = shared(key, lambda: found[: MOST_COUNTED + 1].count(), times=COUNTS_TIMES)
    more = count > MOST_COUNTED
    return {"count": count, "more": more, "shown": number_format(min(count, MOST_COUNTED), force_grouping=True)}


def _may(request: HttpRequest) -> dict[str, bool]:
    may = request.user.has_perm
    return {
        "may_add": may("members.add_member"),
        "may_change": may("members.change_member"),
        "may_delete": may("members.delete_member"),
    }


# --- many at a time ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Progress:
    """How far a change of many has come: up to whom, and what became of those."""

    upto: int
    after: int = 0
    seen: int = 0
    done: int = 0
    later: int = 0

    def seal(self) -> str:
        return signing.dumps(asdict(self), salt="subscribers")

    @classmethod
    def unseal(cls, text: str) -> Progress:
        """Raises ``signing.BadSignature``."""
        return cls(**signing.loads(text, salt="subscribers"))


@require_POST
@for_supervisors
def many(request: HttpRequest, campaign_id: int) -> HttpResponseBase:
    """Tell what would become of those who are chosen, or of all that match; on confirmation do it, in batches."""
    campaign = frame.find(request, campaign_id)
    do = request.POST.get("do", "")
    back = _back(request, campaign)
    if do not in DO:
        messages.error(request, _("Choose what to do with them."))
        return redirect(back)
    need(request, VIEW)
    need(request, DO[do])
    given, told = _asked(request)
    if told:
        messages.warning(request, told)
        return redirect(back)
    if do == "export":
        return redirect(export_address(campaign, given))
    with timezone.override(campaign.calendar.time_zone):
        form = MembersFilters(campaign, given)
        if not form.is_valid():
            messages.error(request, _("What they were found by cannot be read: filter again."))
            return redirect(back)
        found = form.rows(request.user)
        shown = {
            "campaign": campaign, "tab": "subscribers", "do": do, "back": back, "all": "all" in request.POST,
            "filters": request.POST.get("filters", ""), "chosen": request.POST.getlist("chosen"),
        }  # fmt: skip
        if "confirmed" not in request.POST:
            return render(request, "subscribers/many.html", shown | _fate(do, found))
        return _go_on(request, do, found, shown)


def _asked(request: HttpRequest) -> tuple[QueryDict, str]:
    """Return which subscribers a form is about, as an address asks for them, or what is missing."""
    if "all" in request.POST:
        return QueryDict(without(QueryDict(request.POST.get("filters", "")), "cursor", "sort", "chosen")), ""
    chosen = [pk for pk in request.POST.getlist("chosen") if pk.isdecimal() and len(pk) <= 18]
    given = QueryDict(mutable=True)
    given["chosen"] = ",".join(chosen)
    return given, "" if chosen else _("Choose subscribers first, or all that match.")


def _back(request: HttpRequest, campaign: Campaign) -> str:
    asked = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(asked, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return asked
    return reverse("subscribers", args=[campaign.pk])


def export_address(campaign: Campaign, given: QueryDict, what: str = "members") -> str:
    """Return where a list is exported with the same filters, with the usual columns."""
    query = QueryDict(without(given, "cursor", "sort"), mutable=True)
    query.update({"what": what, "format": FileFormat.CSV.value, "zone": campaign.calendar.time_zone})
    query.setlist("columns", list(exports.DEFAULTS if what == "members" else ATTEMPT_DEFAULTS))
    return f"{reverse('export', args=[campaign.pk])}?{query.urlencode()}"


def _fate(do: str, found: QuerySet[Member]) -> dict[str, Any]:
    """Tell what would become of subscribers: how many change, and who does not and why. Three statements at most."""
    by_state: dict[tuple[str, bool], int] = {
        (state, success): count
        for state, success, count in found.order_by().values_list("state", "success").annotate(count=Count("pk"))
    }
    total = sum(by_state.values())
    ended = by_state.get((MemberState.ENDED, False), 0)
    successful = by_state.get((MemberState.ENDED, True), 0)
    live = by_state.get((MemberState.LIVE, False), 0)
    if do == "reset":
        all_, without_success = (
            actions.count_resettable(found, include_successful=include) for include in (True, False)
        )  # fmt: skip
        changes = [(_("Called again from the beginning"), without_success, "good")]
        kept = [
            (_("Not ended: they stay as they are"), total - ended - successful),
            (_("Ended with success"), all_ - without_success),
            (_("Expired, or no number of theirs could start"), ended + successful - all_),
        ]
        more = all_ - without_success
        return {"total": total, "changes": changes, "kept": [one for one in kept if one[1]], "more": more}
    if do == "end":
        changes = [
            (_("End at once, with MANAGER_REQUEST"), total - ended - successful - live, "bad"),
            (_("End after the call they are on"), live, "warn"),
        ]
        kept = [(_("Have ended already: they stay as they are"), ended + successful)]
    else:
        called = found.filter(attempts__isnull=False).order_by().values("pk").distinct().count()
        changes = [
            (_("Never called: deleted for good"), total - called, "bad"),
            (_("Called before: ended and hidden, their attempts are kept"), called, "warn"),
        ]
        kept = [(_("On a call, which goes on to its end"), live)]
    return {"total": total, "changes": changes, "kept": [one for one in kept if one[1]], "more": 0}


def _go_on(request: HttpRequest, do: str, found: QuerySet[Member], shown: dict[str, Any]) -> HttpResponse:
    """Change as many as a request may take, and tell how far it is, or that all is done."""
    include = "include_successful" in request.POST
    last = Member.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    try:
        progress = Progress.unseal(request.POST["progress"]) if "progress" in request.POST else Progress(last)
    except signing.BadSignature:
        messages.error(request, _("This page is out of date. Load it again."))
        return redirect(shown["back"])
    act = ACTS[do]
    until = time.monotonic() + WORKS_FOR
    while True:
        ahead = found.filter(pk__gt=progress.after, pk__lte=progress.upto).order_by("pk")
        ids = list(ahead.values_list("pk", flat=True)[:BATCH])
        if not ids:
            break
        done, later = act(Member.objects.filter(pk__in=ids), include, request.user)
        progress.after, progress.seen = ids[-1], progress.seen + len(ids)
        progress.done, progress.later = progress.done + done, progress.later + later
        if time.monotonic() > until:
            going = {"progress": progress, "include_successful": include}
            return render(request, "subscribers/many_going.html", shown | going)
    level = messages.SUCCESS if progress.done + progress.later else messages.WARNING
    messages.add_message(request, level, _told(do, progress))
    then = _after(do, shown["back"], shown["campaign"])
    if "HX-Request" in request.headers:
        return HttpResponse(headers={"HX-Redirect": then})
    return redirect(then)


def _after(do: str, back: str, campaign: Campaign) -> str:
    """Return where to go when all is done: back, but to the list where one was deleted from his own page."""
    if do == "delete":
        with suppress(Resolver404):
            if resolve(urlsplit(back).path).view_name == "subscriber":
                return reverse("subscribers", args=[campaign.pk])
    return back


def _reset(members: QuerySet[Member], include: bool, by: Any) -> tuple[int, int]:
    return actions.reset_members(members, include_successful=include, by=by), 0


def _end(members: QuerySet[Member], include: bool, by: Any) -> tuple[int, int]:
    count = actions.end_members(members, by=by)
    return count.ended, count.after_call


def _delete(members: QuerySet[Member], include: bool, by: Any) -> tuple[int, int]:
    count = actions.delete_members(members, by=by)
    return count.deleted, count.hidden


ACTS: Final[dict[str, Callable[[QuerySet[Member], bool, Any], tuple[int, int]]]] = {
    "reset": _reset,
    "end": _end,
    "delete": _delete,
}


def _told(do: str, progress: Progress) -> str:
    """Tell what became of them, and of those who could not be changed."""
    done, later, rest = progress.done, progress.later, progress.seen - progress.done - progress.later
    if do == "reset":
        told = [ngettext("%d subscriber is called again.", "%d subscribers are called again.", done) % done]
        if rest:
            told.append(
                ngettext(
                    "%d stayed as he was: not ended, successful, expired, or without a number that could start.",
                    "%d stayed as they were: not ended, successful, expired, or without a number that could start.",
                    rest,
                )
                % rest
            )
    elif do == "end":
        told = [ngettext("%d subscriber has ended.", "%d subscribers have ended.", done) % done]
        if later:
            told.append(
                ngettext("%d is on a call and ends after it.", "%d are on calls and end after them.", later) % later
            )
        if rest:
            told.append(ngettext("%d had ended already.", "%d had ended already.", rest) % rest)
    else:
        told = [ngettext("%d subscriber is deleted.", "%d subscribers are deleted.", done) % done]
        if later:
            told.append(
                ngettext(
                    "%d had been called: he is ended and hidden, his attempts are kept.",
                    "%d had been called: they are ended and hidden, their attempts are kept.",
                    later,
                )
                % later
            )
    return " ".join(told)


# --- by hand ----------------------------------------------------------------------------------------------------


@never_cache
@for_supervisors
def add(request: HttpRequest, campaign_id: int) -> HttpResponse:
    """Add a subscriber by hand, and start the campaign if that is wished."""
    need(request, "members.add_member")
    campaign = frame.find(request, campaign_id)
    may_run = request.user.has_perm("campaigns.change_campaign")
    with timezone.override(campaign.calendar.time_zone):
        form = SubscriberForm(campaign, request.POST if request.method == "POST" else None, may_run=may_run)
        if form.is_bound and (added := form.add(request.user)):
            messages.success(request, _("“%s” is added.") % added)
            if form.cleaned_data.get("run_after"):
                run_after(request, campaign)
            if "another" in request.POST:
                return redirect("subscriber-add", campaign.pk)
            return redirect("subscriber", added.pk)
        shown = {
            "campaign": campaign,
            "tab": "subscribers",
            "form": form,
            "back": reverse("subscribers", args=[campaign.pk]),
        }
        return render(request, "subscribers/edit.html", shown, status=400 if form.is_bound else 200)
