"""The page of a campaign's routes: its own and the common ones in their order, and which would take a number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Count, F, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from campaigns import actions
from campaigns.models import Campaign, Gateway, Route
from dialer import clock
from dialer.api import scope
from dialer.engine import plans
from dialer.models import Attempt
from dialer.pages import for_supervisors
from dialer.web import frame
from dialer.web.campaign_forms import RouteForm
from dialer.web.campaigns import forget, need, of_campaign, page
from members import numbers, planning
from members.models import DoNotCall

VIEW: Final = "campaigns.view_route"
MOST: Final = 500
"""Routes on the page."""


@dataclass(slots=True)
class Tried:
    """What would become of a number in a campaign."""

    number: str
    fault: str = ""
    dial: str = ""
    digits: str = ""
    route: Route | None = None
    dialled: str = ""
    caller_id: str = ""
    rings: int = 0
    listed: bool = False


@of_campaign(VIEW)
@require_safe
def routes(request: HttpRequest, campaign: Campaign) -> HttpResponseBase:
    """Show the routes of a campaign in the order in which they are tried."""
    number = request.GET.get("number", "").strip()
    tried = try_number(campaign, number) if number else None
    found = list(
        Route.objects.filter(Q(campaign=campaign) | Q(campaign=None))
        .select_related("gateway")
        .order_by(F("campaign").asc(nulls_last=True), "position", "pk")[:MOST]
    )
    lines = _lines({route.gateway_id for route in found})
    matching = _matching(found, tried.digits) if tried and tried.digits else set()
    taken = tried.route.pk if tried and tried.route else 0
    rows = [
        {
            "route": route,
            "own": route.campaign_id is not None,
            "lines": lines[route.gateway_id],
            "state": gateway_now(route.gateway),
            "takes": route.pk == taken,
            "matches": route.pk in matching,
        }
        for route in found
    ]
    own = [row for row in rows if row["own"]]
    shown = {
        "tried": tried,
        "number": number,
        "own": own,
        "common": [row for row in rows if not row["own"]],
        "may_add": request.user.has_perm("campaigns.add_route"),
        "may_edit": request.user.has_perm("campaigns.change_route"),
        "may_delete": request.user.has_perm("campaigns.delete_route"),
        "may_edit_common": request.user.has_perm("campaigns.change_route") and scope.of(request.user) is None,
        "has_gateways": Gateway.objects.exists(),
    }
    return page(request, campaign, "campaign-routes", "campaigns/routes.html", shown)


def gateway_now(gateway: Gateway) -> dict[str, str]:
    """Tell whether a gateway takes calls."""
    if not gateway.enabled:
        return {"tone": "off", "label": _("off"), "note": ""}
    if gateway.blocked_until and gateway.blocked_until > clock.now():
        left = round((gateway.blocked_until - clock.now()).total_seconds())
        return {"tone": "bad", "label": _("no calls for %d s") % max(1, left), "note": gateway.blocked_reason}
    return {"tone": "good", "label": _("in service"), "note": ""}


def _lines(gateways: set[int]) -> Counter[int]:
    """Count the lines of gateways that calls of any campaign take now. Two statements."""
    live = Attempt.objects.live().order_by()
    counts = Counter[int]()
    for name in ("gateway", "operator_gateway"):
        rows = live.filter(**{f"{name}__in": gateways}).values_list(name).annotate(count=Count("*"))
        for gateway, count in rows:
            counts[gateway] += count
    return counts


def _matching(routes: list[Route], digits: str) -> set[int]:
    """Return which of these routes have a pattern that a number matches, as PostgreSQL reads it. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM campaigns_route WHERE id = ANY(%s) AND enabled AND %s ~ pattern",
            [[route.pk for route in routes], digits],
        )
        return {row[0] for row in cursor.fetchall()}


def try_number(campaign: Campaign, number: str) -> Tried:
    """Tell which route a number would take in a campaign, and what would be dialled, by the code that dials."""
    try:
        clean = numbers.clean(number, campaign.default_region)
    except ValueError as error:
        return Tried(number, fault=str(error))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {planning.ROUTE_OF_C} FROM (SELECT %s AS digits, %s AS campaign_id) AS c",  # noqa: S608
            [clean.digits, campaign.pk],
        )
        found = cursor.fetchone()[0]
    route = Route.objects.select_related("gateway").get(pk=found) if found else None
    listed = DoNotCall.objects.filter(
        Q(campaign=campaign) | Q(campaign=None), Q(expire_at=None) | Q(expire_at__gt=clock.now()), digits=clean.digits
    )
    return Tried(
        number,
        dial=clean.dial,
        digits=clean.digits,
        route=route,
        dialled=plans.dialled(clean.dial, route.gateway, route) if route else "",
        caller_id=(route.caller_id if route else "") or campaign.caller_id,
        rings=(route.call_timeout if route else None) or campaign.originate_timeout,
        listed=listed.exists(),
    )


# --- changes ----------------------------------------------------------------------------------------------------


@of_campaign("campaigns.add_route")
def add(request: HttpRequest, campaign: Campaign) -> HttpResponseBase:
    """Add a route of a campaign."""
    return _edit(request, campaign, Route(campaign=campaign))


@never_cache
@for_supervisors
def edit(request: HttpRequest, campaign_id: int, route_id: int) -> HttpResponseBase:
    """Change a route of a campaign."""
    campaign, route = _find(request, campaign_id, route_id, "campaigns.change_route")
    return _edit(request, campaign, route)


def _edit(request: HttpRequest, campaign: Campaign, route: Route) -> HttpResponseBase:
    form = RouteForm(request.POST if request.method == "POST" else None, instance=route)
    if form.is_bound and form.is_valid() and (saved := form.keep()):
        forget(request)
        told = _("The route “%s” is saved. The numbers of the campaign find their routes again within moments.")
        messages.success(request, told % saved)
        return redirect("campaign-routes", campaign.pk)
    shown = {"form": form, "route": route if route.pk else None, "has_gateways": Gateway.objects.exists()}
    return page(request, campaign, "campaign-routes", "campaigns/route.html", shown, bad=bool(form.errors))


@require_POST
@never_cache
@for_supervisors
def move(request: HttpRequest, campaign_id: int, route_id: int) -> HttpResponse:
    """Move a route up or down among those of its campaign."""
    campaign, route = _find(request, campaign_id, route_id, "campaigns.change_route")
    actions.move_route(route, -1 if "up" in request.POST else 1)
    messages.success(request, _("“%s” has another place. Numbers find their routes again within moments.") % route)
    return redirect("campaign-routes", campaign.pk)


@require_POST
@never_cache
@for_supervisors
def delete(request: HttpRequest, campaign_id: int, route_id: int) -> HttpResponse:
    """Delete a route of a campaign."""
    campaign, route = _find(request, campaign_id, route_id, "campaigns.delete_route")
    name = str(route)
    actions.delete_route(route)
    forget(request)
    messages.success(request, _("The route “%s” is deleted. Its numbers find another, or none.") % name)
    return redirect("campaign-routes", campaign.pk)


def _find(request: HttpRequest, campaign_id: int, route_id: int, right: str) -> tuple[Campaign, Route]:
    """Return a campaign and a route of its own. Raises ``Http404`` and ``PermissionDenied``."""
    need(request, right)
    campaign = frame.find(request, campaign_id)
    route = Route.objects.filter(pk=route_id, campaign=campaign).select_related("gateway").first()
    if route is None:
        raise Http404(_("There is no such route in this campaign."))
    if not scope.may_change(request.user, campaign.pk):
        raise PermissionDenied
    return campaign, route
