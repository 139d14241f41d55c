"""Statistics for whoever asks: within his campaigns, and not read anew each time."""

from __future__ import annotations

import time
from datetime import datetime
from hashlib import sha256
from typing import Any, cast

from django.core.cache import cache
from django.db.models import Count
from django.utils.translation import gettext as _

from campaigns.models import Campaign
from dialer.api import scope
from dialer.statistics import queries, tables
from dialer.statistics.queries import Asked, Figures
from dialer.statistics.ranges import LONGEST, Range, Step
from dialer.statistics.tables import Table

KEPT_FOR = 5
"""Seconds that figures are kept at least."""
KEPT_LONGER = 20
"""They are kept for so many times as long as it took to read them: who looks at a long while again need not wait."""
KEPT_MOST = 300
SEE_OPERATORS = "agents.view_operator"


def asked_by(user: Any, campaign: Campaign | None, asked_range: Range, operator: int | None = None) -> Asked:
    """Return what a user asks for: a campaign that he may see, or all those he may."""
    campaigns = scope.of(user) if campaign is None else frozenset({campaign.pk})
    return Asked(asked_range, campaigns, operator)


def read(asked: Asked) -> Figures:
    """Return figures, those of some seconds ago (of a long while, of some minutes) for whoever asks the same."""
    key = sha256(repr(asked).encode()).hexdigest()
    found = cache.get(f"statistics:{key}")
    if found is None:
        began = time.monotonic()
        found = queries.read(asked)
        kept_for = min(KEPT_MOST, max(KEPT_FOR, KEPT_LONGER * (time.monotonic() - began)))
        cache.set(f"statistics:{key}", found, kept_for)
    return cast(Figures, found)


def report(user: Any, asked: Asked, step: Step) -> dict[str, Table]:
    """Return the tables that a user may see."""
    return tables.build(asked, read(asked), step, operators=user.has_perm(SEE_OPERATORS))


def usual_zone(user: Any, campaign: Campaign | None = None) -> str:
    """Return the zone of a campaign's calendar, or of most calendars that the user's campaigns have."""
    if campaign is not None:
        return campaign.calendar.time_zone
    zones = scope.campaigns(user).order_by().values_list("calendar__time_zone").annotate(count=Count("pk"))
    most = zones.order_by("-count", "calendar__time_zone").first()
    return str(most[0]) if most else "UTC"


def fault_of(start: datetime, end: datetime) -> str:
    """Tell why a while cannot be asked for; empty when it can."""
    if end <= start:
        return _("The end must be after the beginning.")
    if end - start > LONGEST:
        return _("At most %d days at once.") % LONGEST.days
    return ""
