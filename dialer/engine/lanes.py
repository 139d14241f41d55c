"""The reads of the claim: who is ready, by lane, without ever scanning a list.

A *lane* is the part of a campaign's ready subscribers that one decision lets through or holds back: the same zones,
gateway and sticky operator. Lanes are found by hopping over the index ``member_claim`` (one probe a lane), the best
of a lane are its first entries, and no read grows with the length of the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db import connection


class Lane(NamedTuple):
    """Ready subscribers of a campaign that share zones, gateway and sticky operator (0: none)."""

    campaign: int
    zones: str
    gateway: int
    sticky: int


@dataclass(frozen=True, slots=True)
class Ready:
    """One ready subscriber and the number that would be dialled, as the claim reads them."""

    lane: Lane
    member: int
    communication: int
    route: int
    digits: str
    expire_at: datetime | None
    due_at: datetime
    counted: int
    extra: int
    order: tuple[bool, int, bool, datetime, int]
    """Sorts the best first: call-backs, priority, those tried before, the longest waiting."""


_LANES = """
WITH RECURSIVE lane AS (
    SELECT first.*
    FROM unnest(%(campaigns)s::bigint[]) AS asked(id)
    CROSS JOIN LATERAL (
        SELECT campaign_id, zones, next_gateway_id, COALESCE(sticky_operator_id, 0) AS sticky
        FROM members_member
        WHERE state = 'ready' AND campaign_id = asked.id
        ORDER BY campaign_id, zones, next_gateway_id, COALESCE(sticky_operator_id, 0)
        LIMIT 1
    ) AS first
  UNION ALL
    SELECT following.*
    FROM lane
    CROSS JOIN LATERAL (
        SELECT campaign_id, zones, next_gateway_id, COALESCE(sticky_operator_id, 0) AS sticky
        FROM members_member AS m
        WHERE state = 'ready' AND m.campaign_id = lane.campaign_id
          AND (m.zones, m.next_gateway_id, COALESCE(m.sticky_operator_id, 0))
              > (lane.zones, lane.next_gateway_id, lane.sticky)
        ORDER BY campaign_id, zones, next_gateway_id, COALESCE(sticky_operator_id, 0)
        LIMIT 1
    ) AS following
)
SELECT campaign_id, zones, next_gateway_id, sticky FROM lane
"""


def ready_lanes(campaigns: Iterable[int]) -> list[Lane]:
    """Return the lanes that have a ready subscriber. One statement, one index probe a lane."""
    with connection.cursor() as cursor:
        cursor.execute(_LANES, {"campaigns": list(campaigns)})
        return [Lane(*row) for row in cursor.fetchall()]


_CALLABLE_ZONES = """
WITH RECURSIVE zone AS (
    SELECT first.*
    FROM unnest(%(campaigns)s::bigint[]) AS asked(id)
    CROSS JOIN LATERAL (
        SELECT campaign_id, zones FROM members_member
        WHERE state IN ('waiting', 'ready') AND next_communication_id IS NOT NULL AND campaign_id = asked.id
        ORDER BY campaign_id, zones LIMIT 1
    ) AS first
  UNION ALL
    SELECT following.*
    FROM zone
    CROSS JOIN LATERAL (
        SELECT campaign_id, m.zones FROM members_member AS m
        WHERE state IN ('waiting', 'ready') AND next_communication_id IS NOT NULL
          AND m.campaign_id = zone.campaign_id AND m.zones > zone.zones
        ORDER BY campaign_id, m.zones LIMIT 1
    ) AS following
)
SELECT campaign_id, zones FROM zone
"""


def callable_zones(campaigns: Iterable[int]) -> dict[int, list[str]]:
    """Return for each campaign the zones of those who may still be called, due or not. One statement."""
    found: dict[int, list[str]] = {campaign: [] for campaign in campaigns}
    with connection.cursor() as cursor:
        cursor.execute(_CALLABLE_ZONES, {"campaigns": list(found)})
        for campaign, zones in cursor.fetchall():
            found[campaign].append(zones)
    return found


ON_A_CALL = "EXISTS (SELECT FROM dialer_attempt AS a WHERE a.digits = c.digits AND a.ended_at IS NULL)"
"""SQL: whether a number ``c`` is on a live call, of whichever campaign."""
LISTED = """EXISTS (
          SELECT FROM members_donotcall AS d
          WHERE d.digits = c.digits AND (d.campaign_id IS NULL OR d.campaign_id = m.campaign_id)
            AND (d.expire_at IS NULL OR d.expire_at > %(now)s)
      )"""
"""SQL: whether a do-not-call list holds a number ``c`` of ``m`` back at ``now``."""

CONDITIONS: dict[str, str] = {
    "unexpired": "(m.expire_at IS NULL OR m.expire_at > lane.unexpired)",
    "under_maximum": "m.counted < lane.maximum + m.extra_attempts",
    "active": "c.stopped = ''",
    "routed": "c.route_id IS NOT NULL",
    "number_free": f"NOT {ON_A_CALL}",
    "unlisted": f"NOT {LISTED}",
}
"""SQL: what must hold of a ready subscriber ``m`` and his next number ``c`` at ``now``, in a ``lane`` with the
``maximum`` of his campaign and the instant at which he must be ``unexpired``. The claim asks for all of it, ``why``
for each."""

_BEST = f"""
SELECT best.*
FROM unnest(%(campaigns)s::bigint[], %(zones)s::text[], %(gateways)s::bigint[], %(stickies)s::bigint[],
            %(maximums)s::int[], %(unexpired)s::timestamptz[], %(depths)s::int[])
     AS lane(campaign, zones, gateway, sticky, maximum, unexpired, depth)
CROSS JOIN LATERAL (
    SELECT m.campaign_id, m.zones, m.next_gateway_id, lane.sticky, m.id, m.next_communication_id, c.route_id, c.digits,
           m.expire_at, m.due_at, m.counted, m.extra_attempts, m.callback, m.priority, m.tried
    FROM members_member AS m
    JOIN members_communication AS c ON c.id = m.next_communication_id
    WHERE m.state = 'ready' AND m.campaign_id = lane.campaign AND m.zones = lane.zones
      AND m.next_gateway_id = lane.gateway AND COALESCE(m.sticky_operator_id, 0) = lane.sticky
      AND {" AND ".join(CONDITIONS.values())}
    ORDER BY m.campaign_id, m.zones, m.next_gateway_id, COALESCE(m.sticky_operator_id, 0),
             m.callback DESC, m.priority DESC, m.tried DESC, m.due_at, m.id
    LIMIT lane.depth
) AS best
"""  # noqa: S608


def best_of(
    lanes: Mapping[Lane, int], *, maximums: Sequence[int], unexpired: Sequence[datetime], now: datetime
) -> list[Ready]:
    """Return the best subscribers of each lane who may be called now, as many as the lane's depth says, in order.

    ``maximums`` is the maximum of counted attempts of each lane's campaign, ``unexpired`` the instant at which a
    subscriber must not have expired yet. One statement; passes over numbers on a live call or on a do-not-call list.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _BEST,
            {
                "campaigns": [lane.campaign for lane in lanes],
                "zones": [lane.zones for lane in lanes],
                "gateways": [lane.gateway for lane in lanes],
                "stickies": [lane.sticky for lane in lanes],
                "maximums": list(maximums),
                "unexpired": list(unexpired),
                "depths": list(lanes.values()),
                "now": now,
            },
        )
        return [
            Ready(
                lane=Lane(*row[:4]),
                member=row[4],
                communication=row[5],
                route=row[6],
                digits=row[7],
                expire_at=row[8],
                due_at=row[9],
                counted=row[10],
                extra=row[11],
                order=(not row[12], -row[13], not row[14], row[9], row[4]),
            )
            for row in cursor.fetchall()
        ]


_ORDER = (("callback", ">"), ("priority", ">"), ("tried", ">"), ("due_at", "<"), ("id", "<"))
"""The order of ``_BEST`` within a lane: the column, and how those before differ in it."""

_BEFORE = [
    " AND ".join([f"m.{same} = his.{same}" for same, _ in _ORDER[:place]] + [f"m.{column} {differs} his.{column}"])
    for place, (column, differs) in enumerate(_ORDER)
]
"""SQL: those before a subscriber ``his``, in ranges of the index that do not meet."""


def _count(ranges: Sequence[str]) -> str:
    several = " UNION ALL ".join(
        f"""
        SELECT FROM members_member AS m
        JOIN members_communication AS c ON c.id = m.next_communication_id
        WHERE m.state = 'ready' AND m.campaign_id = lane.campaign AND m.zones = lane.zones
          AND m.next_gateway_id = lane.gateway AND COALESCE(m.sticky_operator_id, 0) = lane.sticky
          AND {" AND ".join(CONDITIONS.values())} AND {within}
        """
        for within in ranges
    )
    return f"""
        WITH lane AS (
            SELECT *, %(now)s::timestamptz AS unexpired
            FROM unnest(%(campaigns)s::bigint[], %(zones)s::text[], %(gateways)s::bigint[], %(stickies)s::bigint[],
                        %(maximums)s::int[]) AS asked(campaign, zones, gateway, sticky, maximum)
        )
        SELECT its.campaign, (
            SELECT count(*) FROM (
                SELECT FROM lane
                {"JOIN members_member AS his ON his.id = %(member)s" if "his." in several else ""}
                CROSS JOIN LATERAL ({several}) AS before
                WHERE lane.campaign = its.campaign
                LIMIT %(most)s
            ) AS counted
        )
        FROM (SELECT DISTINCT campaign FROM lane) AS its
    """  # noqa: S608


_COUNT_BEFORE = _count(_BEFORE)
_COUNT_ALL = _count(["TRUE"])


def count_before(
    lanes: Mapping[Lane, int], *, member: int | None, now: datetime, most: int
) -> dict[int, int]:  # fmt: skip
    """Count for each campaign those in some lanes of it who may be called now and come before a subscriber.

    ``lanes`` are given with the maximum of counted attempts of each lane's campaign; without a ``member`` all count.
    Counts to ``most``. One statement; reads no further.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT_ALL if member is None else _COUNT_BEFORE,
            {
                "campaigns": [lane.campaign for lane in lanes],
                "zones": [lane.zones for lane in lanes],
                "gateways": [lane.gateway for lane in lanes],
                "stickies": [lane.sticky for lane in lanes],
                "maximums": list(lanes.values()),
                "now": now,
                "most": most,
                "member": member,
            },
        )
        return dict(cursor.fetchall())
