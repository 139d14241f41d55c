"""Lists of any length for the benchmark, made by set statements in the final state that uploads leave."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection, transaction

GATEWAYS = 3
"""Gateways; the lines of the last one are all taken in the hard list."""
OPERATORS = 1000
FIFTY = 50
CLOSED = "Pacific/Apia"
"""A zone whose subscribers are never open in the hard list's calendar."""


@dataclass(frozen=True, slots=True)
class Group:
    """One list: ``campaigns`` campaigns that share ``members`` subscribers."""

    name: str
    first_campaign: int
    campaigns: int
    hard: bool = False


GROUPS = (
    Group("one campaign", 1, 1),
    Group("fifty campaigns", 101, FIFTY),
    # All of the highest priority are not due, half of the others are in a closed zone, and the next hundred thousand
    # (or a tenth) are on a full gateway.
    Group("hard cases", 201, 1, hard=True),
)


def load(members: int) -> None:
    """Fill an empty, migrated database: every group with so many subscribers of one number each."""
    with transaction.atomic():
        make_common()
        for group in GROUPS:
            make_group(group, members)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def make_common() -> None:
    """Make what all lists share: calendars, gateways, a route, a switch, operators."""
    with connection.cursor() as cursor:
        cursor.execute(_COMMON, {"gateways": GATEWAYS, "operators": OPERATORS})


def make_group(group: Group, members: int) -> None:
    """Make the campaigns of a list with so many subscribers of one number each."""
    parameters = {
        "first": group.first_campaign,
        "campaigns": group.campaigns,
        "members": members,
        "from": (group.first_campaign - 1) * 100_000,
        "hard": group.hard,
        "full": min(100_000, members // 10),
        "calendar": 2 if group.hard else 1,
        "gateways": GATEWAYS,
        "closed": CLOSED,
    }
    with connection.cursor() as cursor:
        for statement in (_CAMPAIGNS, _TIERS, _MEMBERS, _NUMBERS):
            cursor.execute(statement, parameters)


def only(group: Group, operators: int) -> None:
    """Let one group run with so many free operators, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE campaigns_campaign SET state = 'idle'")
        cursor.execute(
            "UPDATE campaigns_campaign SET state = 'running' WHERE id BETWEEN %s AND %s",
            [group.first_campaign, group.first_campaign + group.campaigns - 1],
        )
        cursor.execute("UPDATE agents_operator SET registered = false WHERE id > %s", [operators])
        cursor.execute("UPDATE dialer_node SET last_event_at = now() + interval '1 hour'")


_COMMON = """
INSERT INTO campaigns_calendar (id, name, time_zone) VALUES (1, 'always', 'UTC'), (2, 'all but one zone', 'UTC');
INSERT INTO campaigns_calendarrange (calendar_id, weekday, start, "end")
SELECT 1, day, 0, 1440 FROM generate_series(1, 7) AS day;
-- Open around the present hour of UTC: noon in Apia is far from it.
INSERT INTO campaigns_calendarrange (calendar_id, weekday, start, "end")
SELECT 2, day, greatest(0, minute - 240), least(1440, minute + 240)
FROM generate_series(1, 7) AS day,
     (SELECT extract(hour FROM now() AT TIME ZONE 'UTC')::int * 60 AS minute) AS clock;
INSERT INTO campaigns_gateway (id, name, dial_string, capacity, enabled, block_step, blocked_reason)
SELECT id, 'trunk-' || id, 'sofia/gateway/{gateway}/{number}', CASE WHEN id = %(gateways)s THEN 0 ELSE 5000 END, true,
       0, ''
FROM generate_series(1, %(gateways)s) AS id;
INSERT INTO campaigns_route (id, position, name, pattern, gateway_id, strip, prepend, caller_id, variables, enabled)
VALUES (1, 0, '', '', 1, 0, '', '', '{}', true);
INSERT INTO dialer_node (id, name, enabled, connected, block_step, blocked_reason, listener, version, weight, ready,
    sessions_of_others, tokens)
VALUES (1, '127.0.0.1:8021', true, true, 0, '', '', '', 1, true, 0, 0);
INSERT INTO agents_operator (id, name, extension, contact, call_timeout, wrap_up_time, max_no_answer, busy_delay,
    reject_delay, no_answer_delay, status, next_status, forced_break, state, no_answer_count, registered, uses_client,
    client_connected, call_centre_mode, calls, talk_seconds, archived, phone, page_phone_a1, sip_password_a1,
    change_reason)
SELECT id, 'Operator ' || id, id::text, '', 15, 10, 3, 15, 15, 10, 'available', '', false, 'waiting', 0, true, false,
       false, false, 0, 0, false, 'hard', '', '', ''
FROM generate_series(1, %(operators)s) AS id;
"""

_CAMPAIGNS = """
INSERT INTO campaigns_campaign (id, name, type, calendar_id, priority, "limit", retry_wait, max_retries, min_duration,
    wait_for_result, wrap_up_time, originate_timeout, variables, connect_order, strategy, caller_id,
    error_stops_number_only, minus_limit, wrap_up_until_result, state, completion, completion_left, abandon_message,
    abandonment_cap, answer_window, record, waiting_sound, default_region, zone_from_number, zoned_by, script,
    desk_links, call_back_grace, wrap_up_extension, coaching_shown)
SELECT id, 'Campaign ' || id, 'progressive', %(calendar)s, id %% 5, 1000, 60, 5, 10, false, 60, 60, '{}',
       'operator_first', 'longest_idle', '', false, 20, false, 'idle', '', 0, '', 3, 2,
       false, 'ringback', '', 'off', 'off', '', '[]', 3600, 120, true
FROM generate_series(%(first)s, %(first)s + %(campaigns)s - 1) AS id
"""

_TIERS = """
INSERT INTO agents_tier (campaign_id, operator_id, level, position)
SELECT campaign, operator.id, 1 + operator.id %% 3, 1
FROM generate_series(%(first)s, %(first)s + %(campaigns)s - 1) AS campaign, agents_operator AS operator
WHERE (operator.id + campaign) %% %(campaigns)s < 2
"""

_MEMBERS = """
INSERT INTO members_member (id, campaign_id, name, caller_id, priority, time_zone, variables, created_at, state, due_at,
    callback, tried, zones, next_communication_id, next_gateway_id, counted, minus_in_row, extra_attempts, counts_after,
    end_cause, success, end_requested, hidden)
SELECT %(from)s + n, %(first)s + n %% %(campaigns)s, 'Subscriber ' || n, '',
       CASE WHEN NOT %(hard)s THEN n %% 3 WHEN n %% 4 = 0 THEN 9 WHEN n <= %(full)s THEN 5 ELSE n %% 3 END,
       '', '{}', now(),
       CASE WHEN %(hard)s AND n %% 4 = 0 THEN 'waiting' ELSE 'ready' END,
       CASE WHEN %(hard)s AND n %% 4 = 0 THEN now() + interval '1 day'
            ELSE now() - (n %% 1000) * interval '1 second' END,
       false, n %% 2 = 0,
       CASE WHEN NOT %(hard)s THEN (ARRAY['', 'Europe/Kyiv', 'America/New_York'])[1 + n %% 3]
            WHEN n %% 2 = 0 THEN %(closed)s ELSE '' END,
       %(from)s + n,
       CASE WHEN %(hard)s AND n <= %(full)s THEN %(gateways)s ELSE 1 + n %% 2 END,
       0, 0, 0, 0, '', false, false, false
FROM generate_series(1, %(members)s) AS n
"""

_NUMBERS = """
INSERT INTO members_communication (id, member_id, campaign_id, number, dial, digits, priority, description, tries,
    stopped, stop_cause, route_id)
SELECT id, id, campaign_id, number, number, number, 0, '', 0, '', '', 1
FROM (
    SELECT id, campaign_id, (380000000000 + id)::text AS number FROM members_member
    WHERE campaign_id BETWEEN %(first)s AND %(first)s + %(campaigns)s - 1
) AS numbered
"""
