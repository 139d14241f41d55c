"""One subscriber: who he is, what blocks him now, his numbers, the story of his attempts, and what is done with him."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from dialer import channel_variables, clock
from dialer.api import scope
from dialer.engine import why
from dialer.errors import Refused
from dialer.models import Attempt
from dialer.pages import for_supervisors
from dialer.readings import COUNTS_TIMES, shared
from dialer.web import story
from dialer.web.campaign_forms import add_faults
from dialer.web.subscribers import tone_of
from dialer.web.subscribers_forms import PromiseForm, SubscriberForm
from members import actions
from members.models import HELD_STATES, Communication, DoNotCall, Member, MemberState, ZoneSource
from members.views import need

VIEW: Final = "members.view_member"
CHANGE: Final = "members.change_member"
STORIES: Final = 5
"""Attempts that a page tells of."""


def find(request: HttpRequest, member_id: int) -> Member:
    """Return a subscriber whom this user may see, be he hidden. Raises ``Http404``."""
    found = scope.within(
        Member.objects.select_related(
            "campaign__calendar", "next_communication", "requested_communication", "sticky_operator", "upload",
            "current_attempt__operator",
        ),
        request.user,
    )  # fmt: skip
    member = found.filter(pk=member_id).first()
    if member is None:
        raise Http404(_("There is no subscriber %d.") % member_id)
    return member


@require_safe
@never_cache
@for_supervisors
def subscriber(request: HttpRequest, member_id: int) -> HttpResponse:
    """Show a subscriber."""
    need(request, VIEW)
    member = find(request, member_id)
    with timezone.override(member.campaign.calendar.time_zone):
        return render(request, "subscribers/one.html", _shown(request, member))


@require_safe
@never_cache
@for_supervisors
def subscriber_now(request: HttpRequest, member_id: int) -> HttpResponse:
    """Give the part of his page that changes by itself; nothing (204) while it is as the asker has seen it.

    Of one who was deleted meanwhile it says so, and does not ask again.
    """
    need(request, VIEW)
    try:
        member = find(request, member_id)
    except Http404 as error:
        return render(request, "subscribers/gone.html", {"told": str(error)})
    with timezone.override(member.campaign.calendar.time_zone):
        shown = _shown(request, member)
        if request.GET.get("seen") == shown["seen"]:
            return HttpResponse(status=204)
        return render(request, "subscribers/now.html", shown | {"again": True})


def _shown(request: HttpRequest, member: Member, promise: PromiseForm | None = None) -> dict[str, Any]:
    may = request.user.has_perm
    shown = {
        "member": member,
        "campaign": member.campaign,
        "tone": tone_of(member),
        "numbers": _numbers(member),
        "variables": [(name, channel_variables.as_text(value)) for name, value in sorted(member.variables.items())],
        "zone_from": ZoneSource(member.zone_from).label,
        "maximum": member.campaign.max_retries + member.extra_attempts,
        "blockers": None if member.hidden else _blockers(member),
        "is_held": member.state in HELD_STATES,
        "has_ended": member.state == MemberState.ENDED,
        "is_live": member.state == MemberState.LIVE,
        "promise": promise or PromiseForm(member),
        "may_change": may(CHANGE) and not member.hidden,
        "may_delete": may("members.delete_member") and not member.hidden,
        "may_list": may("members.add_donotcall"),
        "may_unlist": may("members.delete_donotcall"),
        "may_unlist_everywhere": scope.may_change(request.user, None),
        "may_hang_up": may("access.hang_up"),
        **_stories(request, member),
    }
    # Of what lives the mark says whether it has changed: it is sent again only then.
    body = render_to_string("subscribers/now_body.html", shown)
    state = render_to_string("subscribers/state.html", shown)
    seen = sha256(f"{body}{state}".encode()).hexdigest()[:16]
    return shown | {"body": body, "state": state, "seen": seen, "may_change_by_itself": not member.hidden}


def _blockers(member: Member) -> list[why.Blocker]:
    """Tell what holds him back; kept for a second, however many look."""
    return shared(f"subscribers:why:{get_language()}:{member.pk}", lambda: why.of_member(member.pk), times=COUNTS_TIMES)


def _numbers(member: Member) -> list[Communication]:
    """Return his numbers in the order of their priority, each with the entry that it must not be called by."""
    found = list(
        Communication.objects.filter(member=member).select_related("route__gateway").order_by("-priority", "pk")
    )
    listed: dict[str, DoNotCall] = {}
    entries = DoNotCall.objects.filter(
        Q(campaign=None) | Q(campaign=member.campaign_id), digits__in=[number.digits for number in found]
    )
    # That of every campaign goes before that of one, which is read after it.
    for entry in entries.exclude(expire_at__lte=clock.now()).order_by("campaign_id"):
        listed[entry.digits] = entry if entry.campaign_id is None else listed.get(entry.digits, entry)
    for number in found:
        number.listed = listed.get(number.digits)  # type: ignore[attr-defined]
        number.is_next = number.pk == member.next_communication_id  # type: ignore[attr-defined]
    return found


def _stories(request: HttpRequest, member: Member) -> dict[str, Any]:
    """Return a page of his attempts, the newest first, from the one that the address names. Five statements at most."""
    if not request.user.has_perm("dialer.view_attempt"):
        return {"may_view_attempts": False, "stories": []}
    found = story.told_with(Attempt.objects.filter(member=member).order_by("-pk"))
    upto = request.GET.get("upto", "")
    if upto.isdecimal() and len(upto) <= 18:
        found = found.filter(pk__lte=int(upto))
    attempts = list(found[: STORIES + 1])
    return {
        "may_view_attempts": True,
        "stories": [story.of(attempt) for attempt in attempts[:STORIES]],
        "older": attempts[STORIES].pk if len(attempts) > STORIES else None,
        "upto": upto,
    }


# --- what is done with him --------------------------------------------------------------------------------------


@never_cache
@for_supervisors
def edit(request: HttpRequest, member_id: int) -> HttpResponse:
    """Change what is known of him."""
    need(request, CHANGE)
    member = find(request, member_id)
    if member.hidden:
        raise Http404(_("Subscriber %d is deleted.") % member_id)
    with timezone.override(member.campaign.calendar.time_zone):
        form = SubscriberForm(member.campaign, request.POST if request.method == "POST" else None, member)
        if form.is_bound and form.keep(request.user):
            messages.success(request, _("“%s” is saved.") % member)
            return redirect("subscriber", member.pk)
        shown = {
            "campaign": member.campaign, "member": member, "form": form,
            "back": reverse("subscriber", args=[member.pk]),
        }  # fmt: skip
        return render(request, "subscribers/edit.html", shown, status=400 if form.is_bound else 200)


@require_POST
@for_supervisors
def call_back(request: HttpRequest, member_id: int) -> HttpResponse:
    """Promise him a call at an instant by his own clock."""
    need(request, CHANGE)
    member = _seen(request, member_id)
    with timezone.override(member.zones_that_count[0]):
        form = PromiseForm(member, request.POST)
        if form.is_valid():
            given = form.cleaned_data
            try:
                actions.set_callback(member, given["at"], given["operator"], form.sticky_for, by=request.user)
            except ValidationError as error:
                add_faults(form, error)
            except Refused as refusal:
                form.add_error(None, refusal.message)
            else:
                told = date_format(localtime(given["at"]), "DATETIME_FORMAT")
                messages.success(
                    request,
                    _("He is called back at %(at)s (%(zone)s).") % {"at": told, "zone": member.zones_that_count[0]},
                )
                return redirect("subscriber", member.pk)
        return render(request, "subscribers/one.html", _shown(request, member, form), status=400)


def _stop(request: HttpRequest, number: Communication) -> str:
    need(request, CHANGE)
    actions.stop_number(number, by=request.user)
    return _("%s is called no more.") % number


def _start(request: HttpRequest, number: Communication) -> str:
    need(request, CHANGE)
    actions.reactivate_number(number, by=request.user)
    return _("%s may be called again.") % number


def _list(request: HttpRequest, number: Communication) -> str:
    need(request, "members.add_donotcall")
    campaign = number.member.campaign
    # By its digits: the campaign may have had another region when it was entered.
    actions.add_many_do_not_call([actions.Listing(number.digits)], campaign, by=request.user)
    return _("%(number)s is on the do-not-call list of %(campaign)s.") % {"number": number, "campaign": campaign}


def _unlist(request: HttpRequest, number: Communication) -> str:
    """Take it off the list that the user may change: that of the campaign, and that of every campaign."""
    need(request, "members.delete_donotcall")
    campaign = number.member.campaign
    removed = actions.remove_do_not_call(number.digits, campaign, by=request.user)
    if scope.may_change(request.user, None):
        removed = actions.remove_do_not_call(number.digits, by=request.user) or removed
    if DoNotCall.objects.filter(digits=number.digits, campaign=None).exclude(expire_at__lte=clock.now()).exists():
        raise Refused("NOT_YOURS", _("%s is on the list of every campaign, which you may not change.") % number)
    return _("%s is on no do-not-call list any more.") % number if removed else _("%s was on no list.") % number


ACTS: Final[Mapping[str, Callable[[HttpRequest, Communication], str]]] = {
    "stop": _stop,
    "start": _start,
    "do-not-call": _list,
    "may-call": _unlist,
}
"""What may be done with a number."""


@require_POST
@for_supervisors
def number_act(request: HttpRequest, member_id: int, number_id: int, act: str) -> HttpResponse:
    """Stop a number, let it be called again, put it on a do-not-call list or take it off."""
    need(request, VIEW)
    if act not in ACTS:
        raise Http404
    member = _seen(request, member_id)
    number = get_object_or_404(Communication.objects.select_related("member__campaign"), pk=number_id, member=member)
    try:
        messages.success(request, ACTS[act](request, number))
    except Refused as refusal:
        messages.error(request, refusal.message)
    return redirect("subscriber", member.pk)


def _seen(request: HttpRequest, member_id: int) -> Member:
    """Return a subscriber who is not hidden. Raises ``Http404``."""
    member = find(request, member_id)
    if member.hidden:
        raise Http404(_("Subscriber %d is deleted.") % member_id)
    return member
