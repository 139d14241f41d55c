"""The page of a campaign's operators: who serves it, in which order; adding many at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from agents.models import Operator, Tier
from campaigns import actions
from campaigns.actions import ChangedMeanwhile
from campaigns.models import Campaign
from dialer import clock
from dialer.api import scope
from dialer.web import operators_board as board
from dialer.web.campaign_forms import PlaceForm, clash, seal, unseal
from dialer.web.campaigns import CHANGE, changes, forget, of_campaign, page

VIEW: Final = "agents.view_operator"
SHOWN: Final = 100
"""Operators on a page."""
FOUND: Final = 50
"""Operators that a search offers to add."""

Places = dict[int, tuple[int, int]]


@of_campaign(VIEW)
def operators(request: HttpRequest, campaign: Campaign) -> HttpResponseBase:
    """Show who serves a campaign; change levels and positions, and take operators away."""
    faults: dict[int, str] = {}
    seen: Places = {}
    if changes(request):
        seen, mine = _sent(request.POST, faults)
        if not faults and _save(request, campaign, seen, mine, faults):
            return redirect(request.get_full_path())
    text = request.GET.get("q", "").strip()
    tiers = _tiers(campaign, text)
    at = Paginator(tiers, SHOWN).get_page(request.GET.get("page"))
    shown_now = {tier.operator_id: (tier.level, tier.position) for tier in at}
    shown = {
        "q": text,
        "at": at,
        "rows": _rows(request, at.object_list, faults),
        "sealed": seal({str(operator): place for operator, place in (shown_now | seen).items()}),
        "count": Tier.objects.filter(campaign=campaign).count() if text else at.paginator.count,
        "place": PlaceForm(),
        "fault": faults.get(0) or (_("Nothing is saved yet: what is wrong is told at the operator.") if faults else ""),
        **_found(request, campaign),
    }
    return page(request, campaign, "campaign-operators", "campaigns/operators.html", shown, bad=bool(faults))


def _tiers(campaign: Campaign, text: str) -> QuerySet[Tier]:
    tiers = Tier.objects.filter(campaign=campaign).select_related("operator")
    return tiers.filter(_matches(text, "operator__")) if text else tiers


def _matches(text: str, path: str = "") -> Q:
    return Q(**{f"{path}name__icontains": text}) | Q(**{f"{path}extension__istartswith": text})


def _rows(request: HttpRequest, tiers: Iterable[Tier], faults: dict[int, str]) -> list[dict[str, Any]]:
    """Return the rows of the table, with what each operator does now. One statement."""
    known = list(tiers)
    people = Operator.objects.filter(pk__in=[tier.operator_id for tier in known])
    found = {row["id"]: row for row in board.rows(people, scope.of(request.user), {}, {})}
    return [
        {
            "tier": tier,
            "now": found[tier.operator_id],
            "level": request.POST.get(f"level-{tier.operator_id}", tier.level),
            "position": request.POST.get(f"position-{tier.operator_id}", tier.position),
            "fault": faults.get(tier.operator_id, ""),
        }
        for tier in known
    ]


def _sent(data: QueryDict, faults: dict[int, str]) -> tuple[Places, Places]:
    """Read what the page showed, and what was made of it. Faults are told by operator; of the page itself, by 0."""
    try:
        seen = {int(operator): (place[0], place[1]) for operator, place in unseal(data.get("seen", "")).items()}
    except ValidationError as error:
        faults[0] = error.messages[0]
        return {}, {}
    chosen = {int(operator) for operator in data.getlist("operator") if operator.isdecimal()}
    mine = dict(seen)
    for operator in seen:
        form = PlaceForm({name: data.get(f"{name}-{operator}", "") for name in ("level", "position")})
        if "remove" in data and operator in chosen:
            del mine[operator]
        elif form.is_valid():
            mine[operator] = form.place
        else:
            faults[operator] = form.told()
    return seen, mine


def _save(request: HttpRequest, campaign: Campaign, seen: Places, mine: Places, faults: dict[int, str]) -> bool:
    try:
        actions.set_places(campaign.pk, mine, seen=seen)
    except ChangedMeanwhile as changed:
        for operator, now in changed.now.items():
            if now is None:
                seen.pop(operator)
                faults[operator] = _("Somebody else took him away while you were editing. Save again to add him.")
            else:
                seen[operator] = now
                faults[operator] = clash(_("level %d, position %d") % now)
        return False
    except ValidationError as error:
        faults[0] = " ".join(error.messages)
        return False
    forget(request)
    removed, moved = len(seen) - len(mine), sum(seen[operator] != place for operator, place in mine.items())
    told = []
    if removed:
        told.append(
            ngettext("%d operator is taken away; a call of his goes on.",
                     "%d operators are taken away; their calls go on.", removed) % removed
        )  # fmt: skip
    if moved:
        told.append(
            ngettext("%d operator has another place from the next call on.",
                     "%d operators have other places from the next call on.", moved) % moved
        )  # fmt: skip
    messages.success(request, " ".join(told) or _("Nothing was changed."))
    return True


# --- adding -----------------------------------------------------------------------------------------------------


@of_campaign(VIEW)
@require_safe
def search(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    """Give the operators that may be added, as a part of the page."""
    if not request.user.has_perm(CHANGE):
        raise PermissionDenied
    return render(request, "campaigns/operators_found.html", {"campaign": campaign, **_found(request, campaign)})


def _found(request: HttpRequest, campaign: Campaign) -> dict[str, Any]:
    """Return the operators who do not serve a campaign yet and match what is looked for. Two statements."""
    text = request.GET.get("find", "").strip()
    serves = Tier.objects.filter(campaign=campaign, operator=OuterRef("pk"))
    others = Operator.objects.filter(~Exists(serves), archived=False)
    if text:
        others = others.filter(_matches(text))
    found = board.rows(Operator.objects.filter(pk__in=others.order_by("name", "pk").values("pk")[:FOUND]), None, {}, {})
    return {"find": text, "found": found, "found_in_all": others.count(), "has_operators": Operator.objects.exists()}


@of_campaign(CHANGE)
@require_POST
def add(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    """Let operators serve a campaign: those that are chosen, or all that were looked for."""
    form = PlaceForm(request.POST)
    if not form.is_valid():
        messages.error(request, form.told())
        return redirect("campaign-operators", campaign.pk)
    chosen = {int(operator) for operator in request.POST.getlist("add") if operator.isdecimal()}
    known = set(Operator.objects.filter(pk__in=chosen, archived=False).values_list("pk", flat=True))
    serve = set(Tier.objects.filter(campaign=campaign, operator__in=known).values_list("operator", flat=True))
    new = dict.fromkeys(known - serve, form.place)
    if not new:
        messages.warning(request, _("Choose operators first."))
        return redirect("campaign-operators", campaign.pk)
    try:
        actions.set_places(campaign.pk, new, seen={})
    except ChangedMeanwhile:
        messages.warning(request, _("Somebody else added some of them meanwhile. Look again."))
        return redirect("campaign-operators", campaign.pk)
    forget(request)
    free = Operator.objects.filter(pk__in=new).free(clock.now()).count()
    told = ngettext("%(count)d operator serves “%(campaign)s” now, %(free)d of them free.",
                    "%(count)d operators serve “%(campaign)s” now, %(free)d of them free.", len(new))  # fmt: skip
    messages.success(request, told % {"count": len(new), "campaign": campaign, "free": free})
    return redirect("campaign-operators", campaign.pk)
