"""The body of the dial loop: one pass serves all running campaigns.

A pass sweeps what the clock has changed, lets campaigns fall asleep, wake up and complete, claims operators,
subscribers, numbers and lines in sets, and after commit places the calls. The number of statements does not grow
with subscribers, calls or campaigns. Nothing is decided by the message that started it: a pass that runs twice, late
or not at all changes only latency.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING
from uuid import uuid4

from django.db import connection, transaction
from django.db.models import Count, F, Max, Q

from agents import actions as agents
from agents.models import Operator, Tier
from campaigns import actions as campaigns_actions
from campaigns import hours
from campaigns.models import ACTIVE_STATES, Campaign, CampaignState, Completion, ConnectOrder, Gateway, Route
from dialer import clock, verbs
from dialer.engine import lanes, policy
from dialer.models import Attempt, Node
from members import actions as members
from members.models import HELD_STATES, Member, MemberState

if TYPE_CHECKING:
    from dialer.engine.lanes import Lane, Ready

log = logging.getLogger(__name__)

PASS_LOCK = 0x6469_616C
"""Key of the advisory lock ("dial"): one pass at a time, and whatever else reserves takes it too."""
BATCH = 250
"""Claims of one pass at most; a pass that fills it asks for another."""
SEND_WITHIN = 5.0
"""Seconds (real, of this worker's own clock) after ``sending_at`` in which a command may still be sent."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """One attempt that this pass reserved."""

    attempt_id: int
    campaign_id: int


@dataclass(slots=True)
class PassReport:
    """What a pass did."""

    claimed: list[int] = field(default_factory=list)
    """Ids of the attempts it reserved."""
    full: bool = False
    """The batch was filled: there may be more to claim at once."""


def sweep(now: datetime) -> None:
    """Apply what the clock alone has changed: ends of wrap-up, lost clients, due and expired subscribers.

    Five statements, each bounded and reading a partial index.
    """
    agents.end_wrap_ups(now)
    agents.lose_clients(now)
    members.make_due_ready(now)
    members.expire_due(now)
    members.clear_past_stickies(now)


def run_pass() -> PassReport:
    """Sweep, mind the campaigns' states and claim, in this order; return what was claimed, not yet placed."""
    now = clock.now()
    sweep(now)
    mind_states(now)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [PASS_LOCK])
        _forget_wake()
        return _claim(clock.now())


def _forget_wake() -> None:
    """Let the next wake through: whatever it wakes for comes too late for the reads of this pass."""
    try:
        with verbs.redis() as client:
            client.delete(verbs.WAKE_KEY)
    except Exception as error:  # the broker only wakes: without it beat goes on
        log.warning("The wake key could not be deleted (%s); it expires by itself.", error)


# --- states -----------------------------------------------------------------------------------------------------


def mind_states(now: datetime) -> None:
    """Let active campaigns fall asleep, wake up or complete, and stopping ones stop.

    Reads in a constant number of statements; each change is an action of its own, in a transaction of its own, that
    passes over a campaign whose row is locked (an upload): the next pass comes back to it.
    """
    watched = list(
        Campaign.objects.filter(state__in=[*ACTIVE_STATES, CampaignState.STOPPING])
        .select_related("calendar")
        .prefetch_related("calendar__ranges", "calendar__holidays")
    )
    if not watched:
        return
    ids = [campaign.pk for campaign in watched]
    with_live = set(Attempt.objects.live().filter(campaign__in=ids).values_list("campaign_id", flat=True).distinct())
    busy = with_live | set(
        Campaign.objects.filter(pk__in=ids, members__state__in=HELD_STATES).values_list("pk", flat=True).distinct()
    )
    zones = lanes.callable_zones(ids)
    for campaign in watched:
        if campaign.state == CampaignState.STOPPING:
            if campaign.pk not in with_live:
                campaigns_actions.finish_stopping(campaign.pk)
            continue
        _mind_state(campaign, zones[campaign.pk], busy=campaign.pk in busy, now=now)


def _mind_state(campaign: Campaign, zones: list[str], *, busy: bool, now: datetime) -> None:
    calendar = campaign.calendar.as_hours()
    openings = [hours.next_opening(calendar, zone, now) for zone in zones]
    possible = [opening for opening in openings if opening is not None]
    if hours.has_expired(calendar, now) or (zones and not possible):
        if not busy:
            campaigns_actions.complete(campaign.pk, Completion.CALENDAR_EXPIRED)
    elif not zones:
        if not busy:
            left = campaign.members.filter(state__in=[MemberState.WAITING, MemberState.READY]).count()
            reason = Completion.NOTHING_TO_DIAL if left else Completion.LIST_COMPLETE
            campaigns_actions.complete(campaign.pk, reason, left)
    elif min(possible) > now:
        if campaign.state == CampaignState.RUNNING or campaign.sleeping_until != min(possible):
            campaigns_actions.fall_asleep(campaign.pk, min(possible))
    elif campaign.state == CampaignState.SLEEPING:
        campaigns_actions.wake_up(campaign.pk)
