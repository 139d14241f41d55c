"""Who may what: four roles, as groups of Django, and what an endpoint asks for.

A role has at least these rights after each ``migrate``: what an administrator adds to a group stays, what he takes away
comes back. For another mixture he makes a group of his own.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import Group, Permission
from django.db import DEFAULT_DB_ALIAS
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission

APPS = ("access", "agents", "campaigns", "dialer", "members", "uploads", "webhooks")

LOOK: Final = (
    "agents.view_operator", "campaigns.view_calendar", "campaigns.view_campaign", "campaigns.view_gateway",
    "campaigns.view_route", "dialer.view_attempt", "members.view_member", "access.see_live",
)  # fmt: skip
LIST: Final = ("members.add_member", "members.change_member", "members.delete_member")

ROLES: Final[dict[str, tuple[str, ...]]] = {
    # Every right of our own apps.
    "Administrator": ("*",),
    # Runs campaigns and leads operators; lines, routes and keys of others are not his.
    "Supervisor": (
        *LOOK, *LIST,
        "campaigns.add_calendar", "campaigns.change_calendar", "campaigns.delete_calendar",
        "campaigns.add_campaign", "campaigns.change_campaign", "campaigns.delete_campaign",
        "members.view_donotcall", "members.add_donotcall", "members.change_donotcall", "members.delete_donotcall",
        "agents.add_operator", "agents.change_operator", "dialer.view_node",
        "access.add_accesskey", "access.run_campaign", "access.report_any_result", "access.hang_up",
        "access.change_status", "dialer.coach_attempt", "dialer.view_coaching",
    ),
    # Takes calls: his own status, his own calls and their results.
    "Operator": ("access.take_calls", "access.report_result"),
    # A CRM: hands over lists, runs campaigns, reports results, changes the status of operators, and is told of what
    # happens; no set-up.
    "Integration": (
        *LOOK, *LIST,
        "webhooks.view_event", "webhooks.view_delivery", "webhooks.view_subscription", "webhooks.add_subscription",
        "webhooks.change_subscription", "webhooks.delete_subscription",
        "members.view_donotcall", "members.add_donotcall", "members.change_donotcall", "members.delete_donotcall",
        "access.add_accesskey", "access.run_campaign", "access.report_any_result", "access.change_status",
    ),
}  # fmt: skip


def keep_roles(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Make the groups of the roles, and give each the rights that it lacks."""
    everything = list(
        Permission.objects.using(using).filter(content_type__app_label__in=APPS).select_related("content_type")
    )
    for role, rights in ROLES.items():
        group, _made = Group.objects.using(using).get_or_create(name=role)
        group.permissions.add(*(right for right in everything if rights == ("*",) or _name(right) in rights))


def _name(right: Permission) -> str:
    return f"{right.content_type.app_label}.{right.codename}"


ANYONE: Final = None
"""An endpoint that asks for no log-in."""
SIGNED_IN: Final[tuple[str, ...]] = ()
"""An endpoint for everybody who is logged in."""


class ByRole(BasePermission):
    """Lets in whoever has one of the rights that ``needs`` of the view names for the method."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Tell whether the user has the right; a method that the view does not know is answered 405, not 403."""
        method = "GET" if request.method == "HEAD" else request.method
        if method not in view.needs:
            raise MethodNotAllowed(request.method)
        rights = view.needs[method]
        if rights is ANYONE:
            return True
        user = request.user
        return bool(user and user.is_authenticated and (rights == SIGNED_IN or any(map(user.has_perm, rights))))
