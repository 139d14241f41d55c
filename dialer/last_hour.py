"""The last hour of campaigns: its curve, its talk, and when a list would be done at its pace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from campaigns import hours
from campaigns.hours import Hours

BARS: Final = 30
BAR: Final = timedelta(minutes=2)
HOUR: Final = BARS * BAR
LEAST_ENDED: Final = 10
"""Subscribers that must have ended before their pace says anything."""
FARTHEST: Final = timedelta(days=60)
"""How far ahead a forecast looks."""


@dataclass(slots=True)
class LastHour:
    """What a campaign did within ``BARS`` bars of ``BAR`` each, the oldest first; the last one is under way."""

    dialled: list[int] = field(default_factory=lambda: [0] * BARS)
    """Attempts whose subscriber's phone was called, by bar."""
    connected: list[int] = field(default_factory=lambda: [0] * BARS)
    talk: float = 0.0
    """Seconds, of the talks that have ended."""
    ended: int = 0
    """Subscribers who were called and have ended while ``Asked`` says that it worked."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A campaign, and when it worked last: what its pace is taken from."""

    campaign_id: int
    since: datetime
    until: datetime


def read(campaigns: Iterable[Asked], now: datetime) -> dict[int, LastHour]:
    """Read the last hour of campaigns. Two statements, on what this hour has."""
    asked = list(campaigns)
    found = {campaign.campaign_id: LastHour() for campaign in asked}
    width = BAR.total_seconds()
    since = datetime.fromtimestamp(now.timestamp() // width * width, now.tzinfo) - (BARS - 1) * BAR
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT campaign_id, floor(extract(epoch FROM reserved_at - %(since)s) / %(width)s)::integer,
                   count(subscriber_created_at), count(bridged_at),
                   coalesce(extract(epoch FROM sum(talk_ended_at - bridged_at)), 0)
            FROM dialer_attempt
            WHERE reserved_at >= %(since)s AND campaign_id = ANY(%(ids)s)
            GROUP BY 1, 2
            """,
            {"since": since, "width": width, "ids": list(found)},
        )
        for campaign, bar, dialled, connected, talk in cursor.fetchall():
            hour, place = found[campaign], min(bar, BARS - 1)
            hour.dialled[place] += dialled
            hour.connected[place] += connected
            hour.talk += float(talk)
        cursor.execute(
            """
            SELECT asked.id, count(*)
            FROM unnest(%(ids)s::bigint[], %(since)s::timestamptz[], %(until)s::timestamptz[])
                AS asked(id, since, until)
            JOIN members_member AS m ON m.campaign_id = asked.id AND m.state = 'ended' AND NOT m.hidden
                AND m.ended_at BETWEEN asked.since AND asked.until AND m.counted > 0
            GROUP BY asked.id
            """,
            {
                "ids": list(found),
                "since": [campaign.since for campaign in asked],
                "until": [campaign.until for campaign in asked],
            },
        )
        for campaign, ended in cursor.fetchall():
            found[campaign].ended = ended
    return found


def done_at(left: int, ended: int, took: timedelta, week: Hours, now: datetime) -> datetime | None:
    """Return when the rest of a list would have ended within the open hours of its calendar, if it goes on as fast as
    ``ended`` subscribers in ``took``. ``None``: not within ``FARTHEST``, or the calendar ends before.
    """
    needed = took * left / ended
    at = now
    while at < now + FARTHEST:
        opening = hours.next_opening(week, "", at)
        if opening is None:
            return None
        closing = hours.open_until(week, "", opening)
        if closing is None or opening + needed <= closing:
            return opening + needed
        needed -= closing - opening
        at = closing
    return None
