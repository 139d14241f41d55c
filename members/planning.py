"""What a subscriber's next attempt would take: his next number, its gateway, when he is due, and which zones count.

The claim reads these columns and computes nothing, so they are written here whenever numbers, tries, routes, time zones
or do-not-call lists change: in set statements, for one subscriber as for a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from django.db import connection, transaction
from django.db.models import F

from campaigns.models import Campaign
from dialer import clock, locks, verbs
from members import rows
from members.models import Communication, Member

T = TypeVar("T")

BATCH = 5000
"""Rows that one statement changes at most where a whole list is planned anew."""

LISTED_OF_C = """(
    SELECT max(d.expire_at) AS until, count(*) > count(d.expire_at) AS forever
    FROM members_donotcall AS d
    WHERE d.digits = c.digits AND (d.campaign_id IS NULL OR d.campaign_id = c.campaign_id)
      AND (d.expire_at IS NULL OR d.expire_at > %(now)s)
)"""
"""SQL: until when the lists hold a number ``c`` back, if they do."""

# The number for an attempt: the one that a result named, else among those with a route that are not stopped the one
# with the fewest tries, then the highest priority, then the first entered. A number on a do-not-call list for ever is
# passed over; one listed for a time counts from then, so that another that can be called before goes first.
_PLAN = f"""
UPDATE members_member AS m
SET next_communication_id = pick.id,
    next_gateway_id = pick.gateway_id,
    due_at = GREATEST(asked.due_at, pick.listed_until),
    due_at_unlisted = CASE WHEN pick.listed_until > asked.due_at THEN asked.due_at END,
    state = CASE
        WHEN pick.id IS NOT NULL AND GREATEST(asked.due_at, pick.listed_until) <= %(now)s THEN 'ready'
        ELSE 'waiting'
    END
FROM (
    SELECT id, campaign_id, requested_communication_id, COALESCE(due_at_unlisted, due_at) AS due_at
    -- OFFSET 0 keeps the planner at the primary key: by the statistics of a minute ago it may hold a partial index
    -- over these states for empty, and read all of it for each row.
    FROM (SELECT * FROM members_member WHERE id = ANY(%(ids)s) OFFSET 0) AS locked
    WHERE state IN ('waiting', 'ready')
) AS asked
LEFT JOIN LATERAL (
    SELECT c.id, r.gateway_id, listed.until AS listed_until
    -- For the same reason his numbers are read first: never all those of a route.
    FROM (SELECT * FROM members_communication WHERE member_id = asked.id AND stopped = '' OFFSET 0) AS c
    JOIN campaigns_route AS r ON r.id = c.route_id
    CROSS JOIN LATERAL {LISTED_OF_C} AS listed
    WHERE NOT listed.forever
    ORDER BY c.id IS NOT DISTINCT FROM asked.requested_communication_id DESC,
             GREATEST(asked.due_at, %(now)s, listed.until), c.tries, c.priority DESC, c.id
    LIMIT 1
) AS pick ON TRUE
WHERE m.id = asked.id
"""  # noqa: S608


@transaction.atomic
def plan(member_ids: Iterable[int], now: datetime | None = None) -> None:
    """Choose the next number of subscribers who may be called again, and make those ready who are due.

    One without a number that has a route waits. Those on a call, held or ended are left alone. Two statements: the
    rows are locked before they are read, so that no choice is made from what somebody is changing.
    """
    ids = locks.no_key(Member, member_ids)
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(_PLAN, {"ids": ids, "now": now or clock.now()})


# A campaign's own routes come before the common ones, each by position.
ROUTE_OF_C = """(
    SELECT r.id FROM campaigns_route AS r
    WHERE r.enabled AND (r.campaign_id IS NULL OR r.campaign_id = c.campaign_id) AND c.digits ~ r.pattern
    ORDER BY r.campaign_id IS NULL, r.position, r.id
    LIMIT 1
)"""
"""SQL: the route of a number ``c``."""

_RESOLVE = f"UPDATE members_communication AS c SET route_id = {ROUTE_OF_C} WHERE c.id = ANY(%(ids)s)"  # noqa: S608

# Whose route is another now, or leads through another gateway than the one planned.
_CHANGED = f"""
SELECT c.id, c.member_id
FROM (
    SELECT c.id, c.member_id, c.route_id, {ROUTE_OF_C} AS route
    FROM members_communication AS c
    WHERE c.campaign_id = %(campaign)s AND c.digits > %(after)s AND c.digits <= %(upto)s
    OFFSET 0  -- each number finds its route once
) AS c
JOIN members_member AS m ON m.id = c.member_id
LEFT JOIN campaigns_route AS r ON r.id = c.route
WHERE c.route_id IS DISTINCT FROM c.route
   OR (m.next_communication_id = c.id AND m.next_gateway_id IS DISTINCT FROM r.gateway_id)
"""  # noqa: S608

_UPTO = """
SELECT max(digits) FROM (
    SELECT digits FROM members_communication WHERE campaign_id = %s AND digits > %s ORDER BY digits LIMIT %s
) AS batch
"""


def resolve_routes(campaign_id: int | None = None, communication_ids: Sequence[int] | None = None) -> None:
    """Write the route of each number, and plan anew whom that changes.

    With ``communication_ids`` (whose subscribers are new, or locked by the caller) in one statement, and without
    planning. Otherwise for all numbers of a campaign, or of every campaign: in batches, each in a transaction of its
    own; a batch that nothing changes only reads.
    """
    if communication_ids is not None:
        with connection.cursor() as cursor:
            cursor.execute(_RESOLVE, {"ids": list(communication_ids)})
        return
    campaigns = [campaign_id] if campaign_id else list(Campaign.objects.order_by("pk").values_list("pk", flat=True))
    for campaign in campaigns:
        with transaction.atomic():
            # Uploads hold this row for share: once it was ours, none is under way that saw only the old routes.
            locks.no_key(Campaign, [campaign])
        after = ""
        while upto := _last_of_batch(campaign, after):
            _resolve_between(campaign, after, upto)
            after = upto
    verbs.wake()


def _last_of_batch(campaign_id: int, after: str) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(_UPTO, [campaign_id, after, BATCH])
        return cursor.fetchone()[0]


def _resolve_between(campaign_id: int, after: str, upto: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, {"campaign": campaign_id, "after": after, "upto": upto})
        changed = cursor.fetchall()
    if changed:
        members = sorted({member for _, member in changed})
        with transaction.atomic():
            locks.no_key(Member, members)  # subscribers before their numbers
            resolve_routes(communication_ids=[number for number, _ in changed])
            plan(members)


# --- zones ------------------------------------------------------------------------------------------------------

_TO_ZONE = """
SELECT m.id, m.zones, m.time_zone, campaign.zone_from_number, ARRAY(
    SELECT c.dial FROM members_communication AS c
    WHERE c.member_id = m.id AND m.time_zone = '' AND campaign.zone_from_number <> 'off'
    ORDER BY c.priority DESC, c.id
)
FROM members_member AS m JOIN campaigns_campaign AS campaign ON campaign.id = m.campaign_id
WHERE m.id = ANY(%s)
"""

_ZONE = """
UPDATE members_member AS m SET zones = row.zones
FROM unnest(%s::bigint[], %s::text[]) AS row(id, zones) WHERE m.id = row.id
"""


@transaction.atomic
def zone(member_ids: Iterable[int]) -> None:
    """Write which zones must be open for subscribers, as ``rows.zones_of`` rules.

    Three statements, or two when it changes nothing: the rows are locked before they are read.
    """
    ids = locks.no_key(Member, member_ids)
    with connection.cursor() as cursor:
        cursor.execute(_TO_ZONE, [ids])
        found = [
            (pk, zones)
            for pk, zones_now, own, by, dials in cursor.fetchall()
            if (zones := rows.zones_of(own, dials, by)) != zones_now
        ]
        if found:
            cursor.execute(_ZONE, [[pk for pk, _ in found], [zones for _, zones in found]])


REZONING = 0x7A6F6E65
"""Key of the advisory lock ("zone"): one process at a time zones whole campaigns anew."""


def rezone_changed() -> None:
    """Zone the subscribers anew of every campaign that takes zones from numbers in another way than they have them.

    In batches, each in a transaction of its own. Does nothing while another process does it; one that died in the
    middle is gone over again from the beginning.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [REZONING])
        if not cursor.fetchone()[0]:
            return
        try:
            for campaign in list(Campaign.objects.exclude(zone_from_number=F("zoned_by")).order_by("pk")):
                _rezone(campaign)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [REZONING])


def _rezone(campaign: Campaign) -> None:
    with transaction.atomic():
        # Uploads hold this row for share: once it was ours, none is under way that saw only the old way.
        locks.no_key(Campaign, [campaign.pk])
    without_own = Member.objects.filter(campaign=campaign.pk, time_zone="").order_by("pk")
    for batch in batches(list(without_own.values_list("pk", flat=True))):
        zone(batch)
    Campaign.objects.filter(pk=campaign.pk, zone_from_number=campaign.zone_from_number).update(
        zoned_by=campaign.zone_from_number
    )
    verbs.wake()


def plan_those_with(digits: Iterable[str], campaign_id: int | None = None) -> None:
    """Plan anew every subscriber (of a campaign, or of all) who has one of these numbers."""
    numbers = Communication.objects.filter(digits__in=list(digits))
    if campaign_id is not None:
        numbers = numbers.filter(campaign=campaign_id)
    for batch in batches(list(numbers.values_list("member_id", flat=True))):
        plan(batch)


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a long list into those that one statement takes."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
