"""What always holds, checked on the database as it stands.

The ledger is replayed against what each attempt was decided by, and what is kept elsewhere against the ledger. Each
check is one statement that returns the rows at fault; all read one snapshot, so a dialer that runs may be checked too.

1. At most one live attempt per operator, per subscriber, and per dialled number across all campaigns.
2. At each decision, live attempts ≤ the limit of the campaign and ≤ the capacity of the gateway.
3. No attempt starts outside the calendar, after the subscriber's expiry, over his maximum, on a stopped or
   do-not-call number.
4. One decision dials at most once.
5. Every attempt ends exactly once, with a cause, and nobody stays reserved.
6. What was counted is what happened: what is cached agrees with the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from agents.models import OPERATOR_EDGES
from dialer import clock

SHOWN = 1000
"""Violations of one check at most that are returned; a database so broken needs no longer list."""
NOTICED_WITHIN = timedelta(seconds=90)
"""Real time that whoever watches a call gets, on top of the call's own timers, to end one that has died."""
LONGEST_TALK = timedelta(hours=12)
RECORDS_AGREE_WITHIN = timedelta(seconds=2)
"""How much a talk may differ from what the switch wrote of one of its legs."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that does not hold: which invariant, in words, and the rows that show it."""

    invariant: int
    text: str
    ids: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {"invariant": self.invariant, "text": self.text, "ids": self.ids}


@dataclass(frozen=True, slots=True)
class Check:
    """A statement whose rows are violations; ``text`` speaks of its columns, those after the first ``ids`` are told
    in words only."""

    invariant: int
    text: str
    ids: int
    sql: str


def find_violations(now: datetime | None = None) -> list[Violation]:
    """Return what does not hold, by invariant; empty on a sound database. One statement a check, no locks."""
    at = now or clock.now()
    values = {
        "now": at,
        "noticed_within": NOTICED_WITHIN * clock.FACTOR,
        "longest_talk": LONGEST_TALK,
        "records_agree_within": RECORDS_AGREE_WITHIN,
        "operator_edges": [f"{before} {after}" for before, those in OPERATOR_EDGES.items() for after in those],
        "shown": SHOWN,
    }
    with _snapshot():
        return [violation for check in CHECKS for violation in _run(check, values)]


def count_unrecorded() -> int:
    """Count the legs of ended attempts that have no call record, since the first one that is kept; they may still come.

    0 when there are no records at all.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*)
            FROM (
                SELECT operator_uuid, ended_at FROM dialer_attempt WHERE operator_ringing_at IS NOT NULL
                UNION ALL
                SELECT subscriber_uuid, ended_at FROM dialer_attempt WHERE subscriber_created_at IS NOT NULL
                UNION ALL
                SELECT uuid, ended_at FROM dialer_operatortry WHERE ringing_at IS NOT NULL
            ) AS leg(uuid, ended_at)
            WHERE ended_at >= (SELECT min(ended_at) FROM dialer_callrecord)
              AND NOT EXISTS (SELECT FROM dialer_callrecord AS r WHERE r.uuid = leg.uuid)
            """
        )
        return int(cursor.fetchone()[0])


@contextmanager
def _snapshot() -> Iterator[None]:
    """Let all statements read the same instant of the database (inside a transaction of the caller: its own)."""
    of_ours = not connection.in_atomic_block
    with transaction.atomic():
        if of_ours:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _run(check: Check, values: dict[str, Any]) -> list[Violation]:
    with connection.cursor() as cursor:
        cursor.execute(f"{check.sql} LIMIT %(shown)s", values)
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [
        Violation(check.invariant, check.text.format(**row), {name: row[name] for name in names[: check.ids]})
        for row in rows
    ]


# --- 1 ----------------------------------------------------------------------------------------------------------


_HELD = "SELECT id AS attempt, {0} AS key, reserved_at AS at, ended_at FROM dialer_attempt"
# Subscriber first an attempt may hold one operator after another; who was let go before its end is among its tries.
_HELD_OPERATORS = """
    SELECT id AS attempt, operator_id AS key, COALESCE(operator_reserved_at, reserved_at) AS at, ended_at
    FROM dialer_attempt WHERE seeking_since IS NULL
    UNION ALL
    SELECT attempt_id, operator_id, reserved_at, ended_at FROM dialer_operatortry
"""


def _overlap(who: str, holds: str) -> Check:
    return Check(
        1,
        who + " {key} got attempt {attempt} at {at:%Y-%m-%d %H:%M:%S.%f} while an earlier one lived.",
        2,
        f"""
        SELECT attempt, key, at FROM (
            SELECT attempt, key, at,
                   max(COALESCE(ended_at, 'infinity')) OVER (
                       PARTITION BY key ORDER BY at, attempt ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                   ) AS busy_until
            FROM ({holds}) AS held
        ) AS attempt
        WHERE at < busy_until
        """,  # noqa: S608
    )


_ONE_AT_A_TIME = (
    _overlap("Operator", _HELD_OPERATORS),
    _overlap("Subscriber", _HELD.format("member_id")),
    _overlap("Number", _HELD.format("digits")),
)

# --- 2 ----------------------------------------------------------------------------------------------------------

# Live attempts as the sum of +1 at each reservation and -1 at each end. At one instant ends come first (an attempt
# lives in [reserved, ended)), then all reservations of that instant together.
_WITHIN_LIMITS = (
    Check(
        2,
        "Campaign {campaign} had {live} live attempts at attempt {attempt}, decided by a limit of {most}.",
        2,
        """
        SELECT attempt, campaign, live, most FROM (
            SELECT attempt, campaign, most,
                   sum(change) OVER (PARTITION BY campaign ORDER BY at, change RANGE UNBOUNDED PRECEDING) AS live
            FROM (
                SELECT id AS attempt, campaign_id AS campaign, limit_then AS most, reserved_at AS at, 1 AS change
                FROM dialer_attempt
                UNION ALL
                SELECT NULL, campaign_id, NULL, ended_at, -1 FROM dialer_attempt WHERE ended_at > reserved_at
            ) AS changes
        ) AS replayed
        WHERE live > most
        """,
    ),
    Check(
        2,
        "Gateway {gateway} had {live} lines in use at attempt {attempt}, decided by a capacity of {most}.",
        2,
        """
        SELECT attempt, gateway, live, most FROM (
            SELECT attempt, gateway, most,
                   sum(change) OVER (PARTITION BY gateway ORDER BY at, change RANGE UNBOUNDED PRECEDING) AS live
            FROM (
                SELECT line.attempt, line.gateway, line.capacity AS most, instant.at, instant.change
                FROM (
                    SELECT id, gateway_id, capacity_then, reserved_at, ended_at FROM dialer_attempt
                    UNION ALL
                    SELECT id, operator_gateway_id, operator_capacity_then,
                           COALESCE(operator_reserved_at, reserved_at), ended_at FROM dialer_attempt
                    UNION ALL
                    SELECT attempt_id, gateway_id, capacity_then, reserved_at, ended_at FROM dialer_operatortry
                ) AS line(attempt, gateway, capacity, reserved_at, ended_at)
                CROSS JOIN LATERAL (VALUES (line.reserved_at, 1), (line.ended_at, -1)) AS instant(at, change)
                WHERE line.gateway IS NOT NULL
                  AND (instant.change = 1 OR line.ended_at > line.reserved_at)
            ) AS changes
        ) AS replayed
        WHERE live > most
        """,
    ),
)

# --- 3 ----------------------------------------------------------------------------------------------------------

_ALLOWED_TO_START = (
    Check(
        3,
        "Attempt {attempt} started at {started:%Y-%m-%d %H:%M:%S.%f}; the calendar was open until"
        " {open_until:%Y-%m-%d %H:%M:%S}.",
        1,
        """
        SELECT id AS attempt, subscriber_created_at AS started, open_until
        FROM dialer_attempt WHERE subscriber_created_at >= open_until
        """,
    ),
    Check(
        3,
        "Attempt {attempt} started at {started:%Y-%m-%d %H:%M:%S.%f}; its subscriber had expired at"
        " {expired:%Y-%m-%d %H:%M:%S}.",
        1,
        """
        SELECT id AS attempt, subscriber_created_at AS started, expire_then AS expired
        FROM dialer_attempt WHERE subscriber_created_at >= expire_then
        """,
    ),
    Check(
        3,
        "Attempt {attempt} was made after {counted_before} counted ones, over the maximum of {maximum_then}.",
        1,
        """
        SELECT id AS attempt, counted_before, maximum_then
        FROM dialer_attempt WHERE counted_before >= maximum_then
        """,
    ),
    # A reset takes the count back to nothing; after the last one (counts_after) there is none.
    Check(
        3,
        "Attempt {attempt} was decided by {counted_before} counted attempts; the ledger has {counted}.",
        2,
        """
        SELECT attempt, member, counted_before, counted FROM (
            SELECT a.id AS attempt, a.member_id AS member, a.counted_before, m.counts_after,
                   CASE WHEN lag(a.id) OVER his > m.counts_after OR a.id <= m.counts_after
                        THEN COALESCE(lag(a.counted_before + a.counted::int) OVER his, 0) ELSE 0 END AS counted
            FROM dialer_attempt AS a JOIN members_member AS m ON m.id = a.member_id
            WINDOW his AS (PARTITION BY a.member_id ORDER BY a.id)
        ) AS replayed
        WHERE counted_before <> counted AND (counted_before <> 0 OR attempt > counts_after)
        """,
    ),
    Check(
        3,
        "Attempt {attempt} was reserved for a number that had been stopped ({reason}).",
        2,
        """
        SELECT a.id AS attempt, c.id AS communication, c.stopped AS reason
        FROM members_communication AS c JOIN dialer_attempt AS a ON a.communication_id = c.id
        WHERE c.stopped <> '' AND a.reserved_at > c.stopped_at
          AND a.subscriber_created_at IS NOT NULL AND a.kill_reason = ''
        """,
    ),
    # One that was reserved while the entry was being written is withdrawn (kill_reason), whatever the switch did.
    Check(
        3,
        "Attempt {attempt} was reserved for a number that was on the do-not-call list.",
        2,
        """
        SELECT a.id AS attempt, d.id AS entry
        FROM members_donotcall AS d JOIN dialer_attempt AS a ON a.digits = d.digits
        WHERE (d.campaign_id IS NULL OR d.campaign_id = a.campaign_id) AND a.reserved_at > d.created_at
          AND (d.expire_at IS NULL OR a.reserved_at < d.expire_at)
          AND a.subscriber_created_at IS NOT NULL AND a.kill_reason = ''
        """,
    ),
)

# --- 4 ----------------------------------------------------------------------------------------------------------

_DIALLED_ONCE = (
    Check(
        4,
        "Leg or job {uuid} belongs to {uses} attempts, {attempt} among them.",
        2,
        """
        SELECT min(known.attempt) AS attempt, known.uuid::text AS uuid, count(*) AS uses
        FROM (
            SELECT a.id, its.uuid
            FROM dialer_attempt AS a
            CROSS JOIN LATERAL (
                VALUES (a.operator_uuid), (a.subscriber_uuid), (a.job_uuid), (a.operator_job_uuid)
            ) AS its(uuid)
            UNION ALL
            SELECT t.attempt_id, its.uuid
            FROM dialer_operatortry AS t CROSS JOIN LATERAL (VALUES (t.uuid), (t.job_uuid)) AS its(uuid)
        ) AS known(attempt, uuid)
        WHERE known.uuid IS NOT NULL
        GROUP BY known.uuid HAVING count(*) > 1
        """,
    ),
    Check(
        4,
        "Attempt {attempt} has legs, but was never marked as sent.",
        1,
        """
        SELECT id AS attempt FROM dialer_attempt
        WHERE sending_at IS NULL
          AND COALESCE(operator_ringing_at, operator_answered_at, subscriber_created_at, bridged_at) IS NOT NULL
        """,
    ),
    Check(
        4,
        "Attempt {attempt} was sent at {sent:%Y-%m-%d %H:%M:%S.%f}, after it had ended.",
        1,
        "SELECT id AS attempt, sending_at AS sent FROM dialer_attempt WHERE sending_at > ended_at",
    ),
)

# --- 5 ----------------------------------------------------------------------------------------------------------

_ENDED_ONCE = (
    Check(
        5,
        "Attempt {attempt} is neither live nor ended with a cause.",
        1,
        """
        SELECT id AS attempt FROM dialer_attempt
        WHERE (ended_at IS NULL) <> (outcome = '' AND cause = '') OR (ended_at IS NOT NULL AND '' IN (outcome, cause))
        """,
    ),
    Check(
        5,
        "Attempt {attempt} ended before it was reserved.",
        1,
        "SELECT id AS attempt FROM dialer_attempt WHERE ended_at < reserved_at",
    ),
    Check(
        5,
        "Operator {operator} is held by attempt {attempt}, which has ended or is not his.",
        2,
        """
        SELECT o.id AS operator, a.id AS attempt
        FROM agents_operator AS o JOIN dialer_attempt AS a ON a.id = o.current_attempt_id
        WHERE a.ended_at IS NOT NULL OR a.operator_id <> o.id OR a.seeking_since IS NOT NULL
        """,
    ),
    Check(
        5,
        "Attempt {attempt} lives, but does not hold its operator {operator}.",
        2,
        """
        SELECT a.id AS attempt, o.id AS operator
        FROM dialer_attempt AS a JOIN agents_operator AS o ON o.id = a.operator_id
        WHERE a.ended_at IS NULL AND a.seeking_since IS NULL AND o.current_attempt_id IS DISTINCT FROM a.id
        """,
    ),
    Check(
        5,
        "Attempt {attempt} lives, but does not hold its subscriber {member}.",
        2,
        """
        SELECT a.id AS attempt, m.id AS member
        FROM dialer_attempt AS a JOIN members_member AS m ON m.id = a.member_id
        WHERE a.ended_at IS NULL AND (m.current_attempt_id IS DISTINCT FROM a.id OR m.state <> 'live')
        """,
    ),
    Check(
        5,
        "Subscriber {member} ({state}) is held by attempt {attempt}, which does not hold him any more.",
        2,
        """
        SELECT m.id AS member, a.id AS attempt, m.state
        FROM members_member AS m JOIN dialer_attempt AS a ON a.id = m.current_attempt_id
        WHERE a.member_id <> m.id
           OR (m.state = 'live' AND a.ended_at IS NOT NULL)
           OR (m.state = 'held' AND (a.ended_at IS NULL OR a.result_state <> 'awaited'))
        """,
    ),
    Check(
        5,
        "Attempt {attempt} has been {stage} since {since:%Y-%m-%d %H:%M:%S}: nobody noticed that it died.",
        1,
        """
        SELECT attempt, stage, since FROM (
            SELECT id AS attempt, stage.name AS stage, stage.since, stage.longest
            FROM dialer_attempt AS a
            CROSS JOIN LATERAL (
                SELECT * FROM (VALUES
                    (1, 'left alone on one leg', LEAST(operator_ended_at, subscriber_ended_at), interval '5 seconds'),
                    (2, 'talking', bridged_at, %(longest_talk)s),
                    (3, 'waiting for an operator', CASE WHEN answer_window IS NOT NULL THEN subscriber_answered_at END,
                     (answer_window + 60) * interval '1 second'),
                    (3, 'calling its subscriber', CASE WHEN answer_window IS NULL THEN operator_answered_at END,
                     (subscriber_timeout + 2) * interval '1 second'),
                    (4, 'sent', sending_at, (CASE WHEN answer_window IS NULL THEN operator_timeout
                     ELSE subscriber_timeout END + 2) * interval '1 second'),
                    (5, 'reserved', reserved_at, interval '10 seconds')
                ) AS known(rank, name, since, longest)
                WHERE since IS NOT NULL ORDER BY rank LIMIT 1
            ) AS stage
            WHERE a.ended_at IS NULL
        ) AS live
        WHERE since + longest + %(noticed_within)s < %(now)s
        """,
    ),
    Check(
        5,
        "Subscriber {member} is held for the result of attempt {attempt}, which was due until"
        " {deadline:%Y-%m-%d %H:%M:%S}.",
        2,
        """
        SELECT m.id AS member, a.id AS attempt, a.result_deadline AS deadline
        FROM members_member AS m JOIN dialer_attempt AS a ON a.id = m.current_attempt_id
        WHERE m.state = 'held' AND a.result_deadline + %(noticed_within)s < %(now)s
        """,
    ),
)

# --- 6 ----------------------------------------------------------------------------------------------------------

_COUNTED_AS_HAPPENED = (
    Check(
        6,
        "Upload {upload} has added {left} subscribers who were not taken out again, but {there} are there.",
        1,
        # Fewer may be: people delete some.
        """
        SELECT u.id AS upload, u.added - u.undone AS "left", came.there
        FROM uploads_upload AS u
        JOIN (
            SELECT upload_id, count(*) AS there FROM members_member WHERE upload_id IS NOT NULL GROUP BY upload_id
        ) AS came ON came.upload_id = u.id
        WHERE came.there > u.added - u.undone
        """,
    ),
    Check(
        6,
        "Attempt {attempt} meant “{outcome}” and is {not_}counted.",
        1,
        """
        SELECT id AS attempt, outcome, CASE WHEN counted THEN '' ELSE 'not ' END AS not_
        FROM dialer_attempt
        WHERE ended_at IS NOT NULL AND counted <> (outcome IN ('success', 'retry', 'error', 'abandoned'))
        """,
    ),
    Check(
        6,
        "Attempt {attempt} meant “{outcome}”, but its subscriber was {not_}left waiting after his answer.",
        1,
        # Unless his answer, or the bridge, became known only when the attempt had ended.
        """
        SELECT id AS attempt, outcome, CASE WHEN outcome = 'abandoned' THEN 'not ' ELSE '' END AS not_
        FROM dialer_attempt AS a
        WHERE ended_at IS NOT NULL AND (outcome = 'abandoned') <> (
            connect_order = 'subscriber_first' AND subscriber_answered_at IS NOT NULL AND bridged_at IS NULL
        )
        AND NOT EXISTS (SELECT FROM dialer_repair WHERE attempt_id = a.id AND kind = 'late_end')
        """,
    ),
    Check(
        6,
        "Attempt {attempt} is of another campaign, subscriber or number than it says.",
        1,
        """
        SELECT a.id AS attempt
        FROM dialer_attempt AS a
        JOIN members_member AS m ON m.id = a.member_id
        LEFT JOIN members_communication AS c ON c.id = a.communication_id
        WHERE a.campaign_id <> m.campaign_id OR c.member_id <> m.id OR c.digits <> a.digits
        """,
    ),
    Check(
        6,
        "Attempt {attempt} was bridged, but lacks the answer of a leg.",
        1,
        """
        SELECT id AS attempt FROM dialer_attempt
        WHERE bridged_at IS NOT NULL AND (operator_answered_at IS NULL OR subscriber_answered_at IS NULL)
        """,
    ),
    Check(
        6,
        "Attempt {attempt} has ended; its result is “{result}” and its outcome “{outcome}”.",
        1,
        """
        SELECT id AS attempt, result_state AS result, outcome FROM dialer_attempt
        WHERE ended_at IS NOT NULL AND (
            (outcome = 'awaiting_result') <> (result_state = 'awaited')
            OR result_state = 'stored'
            OR (result_state = 'applied' AND result IS NULL)
            OR (result_state <> '' AND bridged_at IS NULL)
        )
        """,
    ),
    Check(
        6,
        "Subscriber {member} counts {kept_counted} attempts and {kept_minus} minus ones in a row; the ledger has"
        " {counted} and {minus}.",
        1,
        """
        SELECT m.id AS member, m.counted AS kept_counted, m.minus_in_row AS kept_minus,
               COALESCE(ledger.counted, 0) AS counted, COALESCE(ledger.minus, 0) AS minus
        FROM members_member AS m
        LEFT JOIN (
            SELECT member, count(*) FILTER (WHERE counted) AS counted,
                   count(*) FILTER (WHERE outcome = 'minus' AND attempt > COALESCE(last_counted, 0)) AS minus
            FROM (
                SELECT a.member_id AS member, a.id AS attempt, a.outcome, a.counted,
                       max(a.id) FILTER (WHERE a.counted) OVER (PARTITION BY a.member_id) AS last_counted
                FROM dialer_attempt AS a JOIN members_member AS m ON m.id = a.member_id
                WHERE a.ended_at IS NOT NULL AND a.id > m.counts_after
            ) AS his
            GROUP BY member
        ) AS ledger ON ledger.member = m.id
        WHERE m.counted <> COALESCE(ledger.counted, 0) OR m.minus_in_row <> COALESCE(ledger.minus, 0)
        """,
    ),
    Check(
        6,
        "Number {communication} has {kept} tries; the ledger has {tries}.",
        1,
        """
        SELECT c.id AS communication, c.tries AS kept, COALESCE(ledger.tries, 0) AS tries
        FROM members_communication AS c
        LEFT JOIN (
            SELECT a.communication_id, count(*) AS tries
            FROM dialer_attempt AS a JOIN members_member AS m ON m.id = a.member_id
            WHERE a.ended_at IS NOT NULL AND a.subscriber_created_at IS NOT NULL AND a.id > m.counts_after
            GROUP BY a.communication_id
        ) AS ledger ON ledger.communication_id = c.id
        WHERE c.tries <> COALESCE(ledger.tries, 0)
        """,
    ),
    Check(
        6,
        "Subscriber {member} ended with {end_cause}; by the ledger he {fault}.",
        1,
        """
        SELECT member, end_cause, fault FROM (
            SELECT m.id AS member, m.end_cause, CASE
                WHEN m.success AND NOT his.success THEN 'had no success'
                WHEN his.success AND NOT m.success THEN 'was a success'
                WHEN m.end_cause IN ('MAX_TRY_COUNT') AND m.counted = 0 THEN 'had no counted attempt'
                WHEN NOT m.success AND NOT his.error AND m.end_cause NOT IN
                    ('MAX_TRY_COUNT', 'MEMBER_EXPIRED', 'NO_COMMUNICATIONS', 'MANAGER_REQUEST')
                    THEN 'had no attempt that ended so'
            END AS fault
            FROM members_member AS m
            LEFT JOIN LATERAL (
                SELECT COALESCE(bool_or(a.outcome = 'success'), FALSE) AS success,
                       COALESCE(bool_or(a.outcome = 'error' AND a.cause = m.end_cause), FALSE) AS error
                FROM dialer_attempt AS a
                WHERE a.member_id = m.id AND a.ended_at IS NOT NULL AND a.id > m.counts_after
            ) AS his ON TRUE
            WHERE m.state = 'ended'
        ) AS ended
        WHERE fault IS NOT NULL
        """,
    ),
    Check(
        6,
        "Subscriber {member} was a success in attempt {attempt}, yet he is {state}.",
        2,
        """
        SELECT m.id AS member, a.id AS attempt, m.state
        FROM dialer_attempt AS a JOIN members_member AS m ON m.id = a.member_id
        WHERE a.outcome = 'success' AND a.id > m.counts_after AND m.state <> 'ended'
        """,
    ),
    # Each call adds its talk in whole seconds.
    Check(
        6,
        "Operator {operator} has {kept_calls} calls and {kept_talk} s of talk; the ledger has {calls} and {talk:.1f}.",
        1,
        """
        SELECT o.id AS operator, o.calls AS kept_calls, o.talk_seconds AS kept_talk,
               COALESCE(ledger.calls, 0) AS calls, COALESCE(ledger.talk, 0)::float AS talk
        FROM agents_operator AS o
        LEFT JOIN (
            SELECT operator_id, count(*) AS calls,
                   sum(GREATEST(0, extract(epoch FROM talk_ended_at - bridged_at))) AS talk
            FROM dialer_attempt WHERE ended_at IS NOT NULL AND bridged_at IS NOT NULL GROUP BY operator_id
        ) AS ledger ON ledger.operator_id = o.id
        WHERE o.calls <> COALESCE(ledger.calls, 0)
           OR abs(o.talk_seconds - COALESCE(ledger.talk, 0)) > 0.5 * o.calls
        """,
    ),
    # A period lasts until the next one: they overlap when one begins before its predecessor, in the order in which
    # they were written, and something is missing between two of which the one cannot follow the other.
    Check(
        6,
        "Period {period} of operator {operator} begins before the one it ends.",
        2,
        """
        SELECT period, operator FROM (
            SELECT id AS period, operator_id AS operator, since, lag(since) OVER his AS before
            FROM agents_operatorperiod WINDOW his AS (PARTITION BY operator_id ORDER BY id)
        ) AS periods
        WHERE since < before
        """,
    ),
    Check(
        6,
        "Period {period} of operator {operator} ({state}) cannot follow {before}: one is missing.",
        2,
        """
        SELECT period, operator, state, before FROM (
            SELECT id AS period, operator_id AS operator, status, state,
                   lag(status) OVER his AS status_before, lag(state) OVER his AS before
            FROM agents_operatorperiod WINDOW his AS (PARTITION BY operator_id ORDER BY id)
        ) AS periods
        WHERE before IS NOT NULL AND NOT (state = before AND status <> status_before)
          AND NOT (before || ' ' || state) = ANY(%(operator_edges)s)
        """,
    ),
    Check(
        6,
        "Operator {operator} is {status} and {state}; his last period says {kept_status} and {kept_state}.",
        1,
        """
        SELECT o.id AS operator, o.status, o.state, last.status AS kept_status, last.state AS kept_state
        FROM agents_operator AS o
        LEFT JOIN LATERAL (
            SELECT status, state FROM agents_operatorperiod
            WHERE operator_id = o.id ORDER BY since DESC, id DESC LIMIT 1
        ) AS last ON TRUE
        WHERE COALESCE(o.state_since, o.status_since) IS NOT NULL
          AND (last.status IS DISTINCT FROM o.status OR last.state IS DISTINCT FROM o.state)
        """,
    ),
)

# A row for each leg that the switch wrote a record of: what the ledger knows, and what was written. A leg that came
# when its attempt had ended, and was hung up for that, is in the repairs alone.
_RECORDED = """
    SELECT a.id AS attempt, r.role, r.cause AS written, r.answered_at, r.bridged_at, r.ended_at,
           a.talk_ended_at, a.bridged_at AS known_bridged, leg.created AS known_created,
           leg.answered AS known_answered, leg.cause
    FROM dialer_callrecord AS r
    JOIN dialer_attempt AS a ON a.id = r.attempt_id
    JOIN LATERAL (
        SELECT * FROM (VALUES
            (a.operator_uuid, a.operator_ringing_at, a.operator_answered_at, a.operator_cause),
            (a.subscriber_uuid, a.subscriber_created_at, a.subscriber_answered_at, a.subscriber_cause)
        ) AS his(uuid, created, answered, cause)
        UNION ALL
        SELECT uuid, ringing_at, answered_at, cause FROM dialer_operatortry WHERE attempt_id = a.id
    ) AS leg ON leg.uuid = r.uuid
    WHERE a.ended_at IS NOT NULL AND r.settled
      AND NOT EXISTS (SELECT FROM dialer_repair WHERE attempt_id = a.id AND kind = 'late_leg')
"""
_AS_THE_SWITCH_WROTE = (
    Check(
        6,
        "The {role}'s leg of attempt {attempt} ended with “{cause}”; the switch wrote {written}.",
        1,
        f"SELECT attempt, role, cause, written FROM ({_RECORDED}) AS leg WHERE cause <> written",  # noqa: S608
    ),
    Check(
        6,
        "The {role}'s leg of attempt {attempt} {fault}, as the switch wrote.",
        1,
        f"""
        SELECT attempt, role, fault FROM (
            SELECT attempt, role, CASE
                WHEN known_created IS NULL THEN 'existed'
                WHEN answered_at IS NOT NULL AND known_answered IS NULL THEN 'was answered'
                WHEN answered_at IS NULL AND known_answered IS NOT NULL THEN 'was not answered'
                WHEN bridged_at IS NOT NULL AND known_bridged IS NULL THEN 'was bridged'
            END AS fault
            FROM ({_RECORDED}) AS leg
        ) AS found
        WHERE fault IS NOT NULL
        """,  # noqa: S608
    ),
    # From the bridge to the end of this leg; the other one may have gone some instants before.
    Check(
        6,
        "Attempt {attempt} was a talk of {talk:.1f} s; the record of its {role}'s leg says {written:.1f} s.",
        1,
        f"""
        SELECT attempt, role, talk::float AS talk, written::float AS written FROM (
            SELECT attempt, role, extract(epoch FROM talk_ended_at - known_bridged) AS talk,
                   extract(epoch FROM ended_at - bridged_at) AS written
            FROM ({_RECORDED}) AS leg
            WHERE bridged_at IS NOT NULL AND known_bridged IS NOT NULL
        ) AS talks
        WHERE abs(talk - written) > extract(epoch FROM %(records_agree_within)s::interval)
        """,  # noqa: S608
    ),
)

CHECKS = (
    *_ONE_AT_A_TIME,
    *_WITHIN_LIMITS,
    *_ALLOWED_TO_START,
    *_DIALLED_ONCE,
    *_ENDED_ONCE,
    *_COUNTED_AS_HAPPENED,
    *_AS_THE_SWITCH_WROTE,
)
