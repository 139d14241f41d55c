"""Pages of the system: whether everything works and what to do where it does not, repairs, invariants."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from redis import RedisError

from dialer import clock, switches
from dialer.api import scope
from dialer.errors import Refused
from dialer.models import Node
from dialer.pages import for_supervisors
from dialer.web import checking
from dialer.web.system_reading import instant, shared_reading

PAGE: Final = 100
"""Repairs on a page."""
WHILES: Final = {
    "1h": (timedelta(hours=1), gettext_lazy("Last hour")),
    "24h": (timedelta(hours=24), gettext_lazy("Last 24 hours")),
    "7d": (timedelta(days=7), gettext_lazy("Last 7 days")),
}
RULES: Final = {
    1: gettext_lazy("One live attempt for each operator, subscriber and number"),
    2: gettext_lazy("Never over the limit of a campaign, or the lines of a gateway"),
    3: gettext_lazy("Only within hours, before expiry, under the maximum, on numbers that may be called"),
    4: gettext_lazy("A decision dials once"),
    5: gettext_lazy("Every attempt ends once, with a cause, and nobody stays reserved"),
    6: gettext_lazy("What was counted is what happened"),
}
"""What the checks of each number see to."""


@require_safe
@never_cache
@for_supervisors
def system(request: HttpRequest) -> HttpResponse:
    """Show whether everything works, and what to do where it does not."""
    shown = shared_reading(scope.of(request.user))
    return render(request, "system/system.html", {**shown, "tab": "system", "now": clock.now()})


@require_safe
@never_cache
@for_supervisors
def repairs(request: HttpRequest) -> HttpResponse:
    """Show what later evidence has corrected in the ledger, the newest first."""
    asked = {name: request.GET.get(name, "") for name in ("kind", "switch", "within", "before")}
    found = switches.repairs_of(scope.of(request.user))
    if asked["kind"]:
        found = found.filter(kind=asked["kind"])
    if asked["switch"].isdecimal():
        found = found.filter(node_id=int(asked["switch"]))
    if asked["within"] in WHILES:
        found = found.filter(at__gt=clock.now() - WHILES[asked["within"]][0])
    if asked["before"].isdecimal():
        found = found.filter(pk__lt=int(asked["before"]))
    rows = list(found[: PAGE + 1])
    more = {**asked, "before": str(rows[PAGE - 1].pk)} if len(rows) > PAGE else None
    shown = {
        "tab": "repairs",
        "rows": [(row, capfirst(switches.in_words(row.kind))) for row in rows[:PAGE]],
        "asked": asked,
        "filtered": any(asked[name] for name in ("kind", "switch", "within")),
        "kinds": [(kind, capfirst(str(label))) for kind, label in switches.KINDS.items()],
        "nodes": Node.objects.order_by("name"),
        "whiles": [(name, label) for name, (_length, label) in WHILES.items()],
        "next_url": more and f"?{urlencode(more)}",
    }
    return render(request, "system/repairs.html", shown)


# --- invariants -------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@for_supervisors
def invariants(request: HttpRequest) -> HttpResponse:
    """Show what the last check of the invariants found."""
    shown: dict[str, Any] = {"tab": "invariants", "rules": RULES.items(), "may_check": _may_check(request)}
    try:
        result, running = checking.read()
    except (RedisError, OSError):
        shown["away"] = True
        return render(request, "system/invariants.html", shown)
    if result:
        result["at"] = instant(result["at"])
        by_rule = [violation["invariant"] for violation in result.get("violations", ())]
        shown["faults"] = {rule: by_rule.count(rule) for rule in RULES}
    if running:
        running["at"] = instant(running["at"])
    # They name rows of all campaigns.
    shown |= {"result": result, "running": running, "may_see": scope.of(request.user) is None}
    return render(request, "system/invariants.html", shown)


@require_POST
@for_supervisors
def check_invariants(request: HttpRequest) -> HttpResponse:
    """Have the invariants checked in the background."""
    if not _may_check(request):
        raise PermissionDenied
    try:
        checking.start(request.user.get_username())
    except Refused as refusal:
        messages.warning(request, refusal.message)
    except (RedisError, OSError):
        messages.error(request, _("Redis does not answer: nothing can be checked in the background."))
    return redirect("system-invariants")


def _may_check(request: HttpRequest) -> bool:
    return request.user.has_perm("dialer.view_node") and scope.of(request.user) is None
