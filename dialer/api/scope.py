"""Which campaigns somebody is limited to. One who is limited sees and changes what belongs to them, through every door.

What belongs to no campaign, as a route for all of them, he may see but not change.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final, TypeVar

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from rest_framework.exceptions import PermissionDenied

from campaigns.models import Calendar, Campaign
from dialer.api.models import CampaignAccess

Rows = TypeVar("Rows", bound=QuerySet[Any])

ALL: Final = "access.all_campaigns"
"""The right of those whom nothing limits."""

Scope = frozenset[int] | None
"""The ids of the campaigns that somebody is limited to; ``None`` for all."""


def of(user: Any) -> Scope:
    """Return what a user is limited to. One query at most."""
    if user.has_perm(ALL):
        return None
    found = list(CampaignAccess.objects.filter(user=user.pk).values_list("campaign", flat=True))
    return frozenset(campaign for campaign in found if campaign is not None) if found else None


def mark(only: Scope) -> str:
    """Return what tells a reading of some campaigns from others, for the end of its key."""
    return "" if only is None else ":" + sha256(repr(sorted(only)).encode()).hexdigest()


def within(rows: Rows, user: Any, path: str = "campaign", *, common: bool = False) -> Rows:
    """Return those rows that a user may see; ``path`` leads to their campaign.

    ``common``: those of no campaign are everybody's. One query more at most.
    """
    ids = of(user)
    if ids is None:
        return rows
    inside = Q(**{f"{path}__in": ids})
    return rows.filter(inside | Q(**{f"{path}__isnull": True}) if common else inside)


def campaigns(user: Any) -> QuerySet[Campaign]:
    """Return the campaigns that a user may see."""
    return within(Campaign.objects.all(), user, "pk")


def may_change(user: Any, campaign_id: int | None) -> bool:
    """Tell whether a user may change what belongs to a campaign; ``None``: what belongs to none, or to all."""
    ids = of(user)
    return ids is None or campaign_id in ids


def may_change_calendar(user: Any, calendar: Calendar) -> bool:
    """Tell whether a user may change a calendar: no campaign beyond his own has it."""
    ids = of(user)
    return ids is None or not calendar.campaigns.exclude(pk__in=ids).exists()


def need(user: Any, *campaign_ids: int | None) -> None:
    """Raise ``PermissionDenied`` unless a user may change what belongs to each of some campaigns."""
    if not all(may_change(user, campaign_id) for campaign_id in campaign_ids):
        raise PermissionDenied(_("You are limited to some campaigns, and this is for more than those."))


def need_all(user: Any) -> None:
    """Raise ``PermissionDenied`` for somebody who is limited: what he wishes is for campaigns beyond his own."""
    need(user, None)
