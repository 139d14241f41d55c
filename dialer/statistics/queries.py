"""What the ledger says of a while, in a constant number of statements that read no more than the while has.

An attempt belongs to the hour in which it was reserved, so that each is told once and all figures of an hour are of
the same attempts; those that are live are among them. What operators did is told by time instead: by their periods,
and by talks as the ledger has them, both cut at the ends of the while and at the present.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from dialer import clock
from dialer.statistics.ranges import Range

COUNTS = ("attempts", "live", "dialled", "answered", "connected", "success", "abandoned", "talk_seconds")
"""What is counted of attempts. Talk is that of calls which are over."""
PARTS = ("waiting", "sending", "switch", "operator_rings", "subscriber_rings", "connecting")
"""What the time to the next call is made of, in order."""
DUTY = ("waiting", "ringing", "talking", "wrap_up", "not_ready", "on_break")
"""What an operator's time is made of."""
BUSY = ("ringing", "talking", "wrap_up")
"""What of it is work on calls."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Of which attempts."""

    range: Range
    campaigns: frozenset[int] | None = None
    """``None``: of all."""
    operator: int | None = None


Counts = dict[str, float]


@dataclass(slots=True)
class Spread:
    """Seconds: of connected calls, the mean, the median and the 95th of a hundred."""

    mean: float
    median: float
    p95: float


@dataclass(slots=True)
class Duty:
    """An operator's figures: of his attempts that were asked for, and his time, whatever campaign it was spent on."""

    operator: int
    name: str
    counts: Counts
    seconds: Counts
    """By the words of ``DUTY``."""

    @property
    def occupancy(self) -> float | None:
        """Percent of the time in which he worked on calls or waited for one; ``None`` when there was none."""
        return occupancy(self.seconds)


@dataclass(slots=True)
class Figures:
    """What was found."""

    hours: list[tuple[datetime, Counts]] = field(default_factory=list)
    """By the beginning of the hour; those without attempts are left out."""
    total: Counts = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    causes: list[tuple[str, str, int]] = field(default_factory=list)
    """Cause, outcome, attempts that ended so; the most frequent first."""
    numbers: list[tuple[int, Counts]] = field(default_factory=list)
    """By which number of the subscriber was dialled, as they were entered; 0 for those taken away since."""
    dispositions: list[tuple[str, int]] = field(default_factory=list)
    """What operators called their calls, empty for those that they did not, and how many; the most frequent first."""
    tries: list[tuple[int, int]] = field(default_factory=list)
    """With which counted attempt a subscriber was a success, and how many were."""
    parts: dict[str, Spread] = field(default_factory=dict)
    """Of the time to the next call, by the words of ``PARTS`` and ``total``; empty when no call was connected."""
    connected: int = 0
    """How many calls that is of."""
    operators: list[Duty] = field(default_factory=list)


def occupancy(seconds: Mapping[str, float]) -> float | None:
    busy = sum(seconds[word] for word in BUSY)
    whole = busy + seconds["waiting"]
    return 100 * busy / whole if whole > 0 else None


def read(asked: Asked) -> Figures:
    """Read all figures. Three statements, in a transaction."""
    hours = asked.range.hours()
    filters, values = _filters(asked)
    with transaction.atomic(), connection.cursor() as cursor:
        # Compiling would take longer than the work, and what is sorted here is short.
        cursor.execute("SELECT set_config('jit', 'off', true), set_config('work_mem', '32MB', true)")
        cursor.execute(_ATTEMPTS.format(filters=filters), {**values, "hours": hours})
        found = [json.loads(part) if isinstance(part, str) else part for part in cursor.fetchall()[0]]
        by_hour, causes, dispositions, numbers, tries, parts, by_operator = (part or [] for part in found)
        operators = _duties(asked, {operator: counts for operator, *counts in by_operator})
    figures = Figures(
        hours=[(hours[bucket - 1], dict(zip(COUNTS, counts, strict=True))) for bucket, *counts in by_hour],
        causes=[(cause, outcome, count) for cause, outcome, count in causes],
        dispositions=[(name, count) for name, count in dispositions],
        numbers=[(place, dict(zip(("dialled", "connected", "success"), counts, strict=True)))
                 for place, *counts in numbers],
        tries=[(place, count) for place, count in tries],
        operators=operators,
    )  # fmt: skip
    for _hour, counts in figures.hours:
        for word, count in counts.items():
            figures.total[word] += count
    if parts and parts[0]:
        figures.connected = parts[0]
        for word, (mean, (median, p95)) in zip((*PARTS, "total"), parts[1:], strict=True):
            figures.parts[word] = Spread(mean, median, p95)
    return figures


def _filters(asked: Asked) -> tuple[str, dict[str, Any]]:
    """Return the conditions on attempts (a), and their values."""
    filters = "a.reserved_at >= %(start)s AND a.reserved_at < %(end)s"
    values: dict[str, Any] = {"start": asked.range.start, "end": asked.range.end}
    if asked.campaigns is not None:
        filters += " AND a.campaign_id = ANY(%(campaigns)s)"
        values["campaigns"] = sorted(asked.campaigns)
    if asked.operator is not None:
        filters += " AND a.operator_id = %(operator)s"
        values["operator"] = asked.operator
    return filters, values


# One pass over the attempts of the while; all else is made of what it keeps. Older attempts do not know which number of
# the subscriber theirs was: each of these is looked up by its subscriber alone, as a join might read the numbers of
# everybody. Lengths by date_part, which counts in floats: extract counts in decimals, at several times the price.
_ATTEMPTS = """
WITH a AS MATERIALIZED (
    SELECT a.member_id, a.communication_id, a.number_position, a.operator_id, a.outcome, a.cause,
           a.counted_before + 1 AS try,
           width_bucket(a.reserved_at, %(hours)s::timestamptz[]) AS bucket,
           a.ended_at IS NULL AS live,
           a.subscriber_created_at IS NOT NULL AS dialled,
           a.subscriber_answered_at IS NOT NULL AS answered,
           a.bridged_at IS NOT NULL AS connected,
           a.disposition,
           a.outcome = 'success' AS success,
           a.outcome = 'abandoned' AS abandoned,
           GREATEST(0, date_part('epoch', a.talk_ended_at - a.bridged_at)) AS talk,
           a.operator_free_at, a.reserved_at, a.sending_at, a.operator_ringing_at, a.operator_answered_at,
           a.subscriber_created_at, a.subscriber_answered_at, a.bridged_at
    FROM dialer_attempt AS a
    WHERE {filters}
),
part AS (
    SELECT waiting, sending, switch, operator_rings, subscriber_rings,
           total - waiting - sending - switch - operator_rings - subscriber_rings AS connecting, total
    FROM (
        SELECT date_part('epoch', reserved_at - free) AS waiting,
               date_part('epoch', sent - reserved_at) AS sending,
               date_part('epoch', LEAST(operator_ringing_at, subscriber_created_at) - sent) AS switch,
               date_part('epoch', operator_answered_at - operator_ringing_at) AS operator_rings,
               date_part('epoch', subscriber_answered_at - subscriber_created_at) AS subscriber_rings,
               date_part('epoch', bridged_at - free) AS total
        FROM (
            SELECT *, LEAST(COALESCE(operator_free_at, reserved_at), reserved_at) AS free,
                   COALESCE(sending_at, reserved_at) AS sent
            FROM a
            WHERE operator_ringing_at IS NOT NULL AND operator_answered_at IS NOT NULL
              AND subscriber_created_at IS NOT NULL AND subscriber_answered_at IS NOT NULL AND bridged_at IS NOT NULL
        ) AS bridged
    ) AS told
)
SELECT
    (SELECT json_agg(json_build_array(bucket, attempts, live, dialled, answered, connected, success, abandoned, talk)
                     ORDER BY bucket)
     FROM (SELECT bucket, count(*) AS attempts, count(*) FILTER (WHERE live) AS live,
                  count(*) FILTER (WHERE dialled) AS dialled, count(*) FILTER (WHERE answered) AS answered,
                  count(*) FILTER (WHERE connected) AS connected, count(*) FILTER (WHERE success) AS success,
                  count(*) FILTER (WHERE abandoned) AS abandoned, COALESCE(sum(talk), 0) AS talk
           FROM a GROUP BY bucket) AS hour),
    (SELECT json_agg(json_build_array(cause, outcome, attempts) ORDER BY attempts DESC, cause, outcome)
     FROM (SELECT cause, outcome, count(*) AS attempts FROM a WHERE NOT live GROUP BY cause, outcome) AS cause),
    (SELECT json_agg(json_build_array(disposition, calls) ORDER BY calls DESC, disposition)
     FROM (SELECT disposition, count(*) AS calls FROM a WHERE connected GROUP BY disposition) AS disposition),
    (SELECT json_agg(json_build_array(place, dialled, connected, success) ORDER BY place)
     FROM (SELECT place, count(*) AS dialled, count(*) FILTER (WHERE connected) AS connected,
                  count(*) FILTER (WHERE success) AS success
           FROM (SELECT connected, success,
                        COALESCE(number_position, (
                            SELECT count(*) FROM members_communication AS c
                            WHERE c.member_id = a.member_id AND c.id <= a.communication_id
                        )) AS place
                 FROM a WHERE dialled) AS number
           GROUP BY place) AS place),
    (SELECT json_agg(json_build_array(try, successes) ORDER BY try)
     FROM (SELECT try, count(*) AS successes FROM a WHERE success GROUP BY try) AS try),
    (SELECT json_build_array(count(*), {spreads}) FROM part),
    (SELECT json_agg(json_build_array(operator_id, attempts, connected, success, talk))
     FROM (SELECT operator_id, count(*) AS attempts, count(*) FILTER (WHERE connected) AS connected,
                  count(*) FILTER (WHERE success) AS success, COALESCE(sum(talk), 0) AS talk
           FROM a GROUP BY operator_id) AS operator)
""".replace(
    "{spreads}",
    ", ".join(
        f"json_build_array(avg({word}), percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY {word}))"
        for word in (*PARTS, "total")
    ),
)

OF_OPERATOR = ("attempts", "connected", "success", "talk_seconds")


def _duties(asked: Asked, counted: Mapping[int, list[float]]) -> list[Duty]:
    """Read what operators did: of those asked for, who had attempts or was on duty. One statement."""
    start, until = asked.range.start, min(asked.range.end, clock.now())
    who, talks = "TRUE", ""
    if asked.operator is not None:
        who, talks = "o.id = %(operator)s", "AND a.operator_id = %(operator)s"
    elif asked.campaigns is not None:
        who = """(o.id = ANY(%(seen)s) OR EXISTS (
            SELECT FROM agents_tier AS t WHERE t.operator_id = o.id AND t.campaign_id = ANY(%(campaigns)s)))"""
    values = {
        "start": start, "until": max(start, until), "operator": asked.operator, "seen": list(counted),
        "campaigns": sorted(asked.campaigns or ()),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_DUTIES.format(who=who, talks=talks), values)
        rows = cursor.fetchall()
    found = []
    for operator, name, waiting, held, in_call, wrap_up, not_ready, on_break, talking in rows:
        of_attempts = counted.get(operator)
        # In a call, yet not talking: he hears how the subscriber's phone rings.
        ringing = held + max(0.0, in_call - talking)
        seconds = dict(zip(DUTY, (waiting, ringing, talking, wrap_up, not_ready, on_break), strict=True))
        if of_attempts or sum(seconds.values()) > 0:
            counts = dict(zip(OF_OPERATOR, of_attempts or (0, 0, 0, 0), strict=True))
            found.append(Duty(operator, name, counts, seconds))
    return found


# An operator's periods are the last one that began before the while and those that began in it: one stretch of an
# index. His talks are those of the attempts reserved in it or within an hour before; one that held him at its beginning
# may be older.
_DUTIES = """
WITH o AS MATERIALIZED (
    SELECT o.id, o.name, first.since, first.attempt_id
    FROM agents_operator AS o
    LEFT JOIN LATERAL (
        SELECT since, attempt_id FROM agents_operatorperiod
        WHERE operator_id = o.id AND since <= %(start)s ORDER BY since DESC, id DESC LIMIT 1
    ) AS first ON TRUE
    WHERE {who}
),
talk AS (
    SELECT a.operator_id AS operator, a.bridged_at, a.talk_ended_at
    FROM dialer_attempt AS a
    WHERE a.reserved_at >= %(start)s::timestamptz - interval '1 hour' AND a.reserved_at < %(until)s
      AND a.bridged_at IS NOT NULL {talks}
    UNION ALL
    SELECT a.operator_id, a.bridged_at, a.talk_ended_at
    FROM o CROSS JOIN LATERAL (
        SELECT operator_id, bridged_at, talk_ended_at FROM dialer_attempt
        WHERE id = o.attempt_id AND reserved_at < %(start)s::timestamptz - interval '1 hour' OFFSET 0
    ) AS a
    WHERE a.bridged_at IS NOT NULL
),
talked AS (
    SELECT operator, sum(GREATEST(0, date_part('epoch',
               LEAST(COALESCE(talk_ended_at, %(until)s), %(until)s) - GREATEST(bridged_at, %(start)s))))
               AS seconds
    FROM talk GROUP BY operator
)
SELECT o.id, o.name, COALESCE(s.waiting, 0), COALESCE(s.held, 0), COALESCE(s.in_call, 0), COALESCE(s.wrap_up, 0),
       COALESCE(s.not_ready, 0), COALESCE(s.on_break, 0), COALESCE(t.seconds, 0)
FROM o
CROSS JOIN LATERAL (
    SELECT sum(seconds) FILTER (WHERE state = 'waiting') AS waiting,
           sum(seconds) FILTER (WHERE state IN ('reserved', 'receiving')) AS held,
           sum(seconds) FILTER (WHERE state = 'in_call') AS in_call,
           sum(seconds) FILTER (WHERE state = 'wrap_up') AS wrap_up,
           sum(seconds) FILTER (WHERE state = 'idle' AND status IN ('available', 'on_demand')) AS not_ready,
           sum(seconds) FILTER (WHERE state = 'idle' AND status = 'on_break') AS on_break
    FROM (
        SELECT status, state, GREATEST(0, date_part('epoch',
                   lead(since, 1, %(until)s) OVER (ORDER BY since, id) - GREATEST(since, %(start)s)))
                   AS seconds
        FROM agents_operatorperiod
        WHERE operator_id = o.id AND since >= COALESCE(o.since, %(start)s) AND since < %(until)s
    ) AS period
) AS s
LEFT JOIN talked AS t ON t.operator = o.id
ORDER BY o.name, o.id
"""
