"""What a page of statistics costs in a ledger of a hundred thousand attempts and in one of a million.

Both have the same attempts each day, so that the longer one only goes further back, and the same while is asked of both
by turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, transaction
from django.test import RequestFactory
from django.test.utils import override_settings

from dialer import clock
from dialer.benchmark import databases, lists
from dialer.statistics import queries
from dialer.statistics.queries import Asked
from dialer.statistics.ranges import Range
from dialer.web.statistics import everything

Sizes = tuple[int, int]
AIM = 1.5
"""A while may cost this many times what it costs in the short ledger."""
AIM_MS = 300
A_DAY = 20_000
"""Attempts each day."""
CAMPAIGNS = 10
OPERATORS = 100
GROUP = lists.Group("statistics", 1, CAMPAIGNS)
WORK: dict[str, Callable[[datetime], Any]] = {
    "page of a day": lambda end: _page(end, 1),
    "page of 4 days": lambda end: _page(end, 4),
    "a day, all campaigns": lambda end: queries.read(Asked(_days(end, 1))),
    "a day, one campaign": lambda end: queries.read(Asked(_days(end, 1), frozenset({1}))),
    "a day, one operator": lambda end: queries.read(Asked(_days(end, 1), operator=1)),
    "4 days, all campaigns": lambda end: queries.read(Asked(_days(end, 4))),
}


@dataclass(slots=True)
class Measured:
    """How long a piece of work took, in each ledger."""

    milliseconds: dict[int, list[float]] = field(default_factory=dict)

    def median(self, size: int) -> float:
        return statistics.median(self.milliseconds[size])

    def ratio(self, sizes: Sizes) -> float:
        """Return the median of the ratios of works that followed one another."""
        short, long = (self.milliseconds[size] for size in sizes)
        return statistics.median(after / before for before, after in zip(short, long, strict=True))


def measure(sizes: Sizes, rounds: int, say: Callable[[str], None]) -> dict[str, Measured]:
    """Make both ledgers on the throwaway server that the settings name, and work on them by turns."""
    end = clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for size in sizes:
        began = time.monotonic()
        databases.use(f"bench_statistics_{size}", create=True)
        call_command("migrate", verbosity=0)
        load(size, end)
        say(f"A ledger of {size:,} attempts made in {time.monotonic() - began:.0f} s")
    # Addresses of static files as they are: nobody has collected them here.
    plain = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    with override_settings(STORAGES=settings.STORAGES | plain):
        return _by_turns(sizes, rounds, end)


def _by_turns(sizes: Sizes, rounds: int, end: datetime) -> dict[str, Measured]:
    found = {name: Measured({size: [] for size in sizes}) for name in WORK}
    for turn in range(rounds):
        for name, work in WORK.items():
            # One right after the other, and whose turn is first changes: the machine may become slower meanwhile.
            for size in sizes if turn % 2 else sizes[::-1]:
                databases.use(f"bench_statistics_{size}")
                cache.clear()
                work(end)  # the first on a connection warms it up
                cache.clear()
                began = time.perf_counter()
                work(end)
                found[name].milliseconds[size].append((time.perf_counter() - began) * 1000)
    return found


def load(size: int, end: datetime) -> None:
    """Fill an empty, migrated database with so many attempts that ended before ``end``, and what operators were."""
    with transaction.atomic():
        lists.make_common()
        lists.make_group(GROUP, size // 5)
        User.objects.create_superuser("bench")
        make_attempts(size, size // 5, end, CAMPAIGNS)
        with connection.cursor() as cursor:
            cursor.execute(_PERIODS)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def make_attempts(size: int, members: int, end: datetime, campaigns: int) -> None:
    """Add attempts that ended before ``end`` to the first so many campaigns and subscribers, which have none."""
    values: dict[str, Any] = {
        "size": size, "members": members, "end": end, "gap": timedelta(days=1) / A_DAY,
        "operators": OPERATORS, "campaigns": campaigns,
    }  # fmt: skip
    with connection.cursor() as cursor:
        for statement in (_SECOND_NUMBERS, _ATTEMPTS):
            cursor.execute(statement, values)


def _days(end: datetime, days: int) -> Range:
    return Range(end - timedelta(days=days), end, "UTC")


def _page(end: datetime, days: int) -> None:
    start, until = (f"{instant:%Y-%m-%dT%H:%M}" for instant in (end - timedelta(days=days), end))
    asked = {"preset": "between", "start": start, "end": until, "zone": "UTC"}
    request = RequestFactory().get("/statistics/", asked)
    request.user = User.objects.get(username="bench")
    answer = everything(request)
    if answer.status_code != 200:
        raise RuntimeError(f"The page answered {answer.status_code}.")


# Half of the subscribers have a second number.
_SECOND_NUMBERS = """
INSERT INTO members_communication (id, member_id, campaign_id, number, dial, digits, priority, description, tries,
    stopped, stop_cause, route_id)
SELECT %(members)s + n, n, 1 + n %% %(campaigns)s, number, number, number, 0, '', 0, '', '', 1
FROM (SELECT n, (390000000000 + n)::text AS number FROM generate_series(2, %(members)s, 2) AS n) AS numbered
"""

# The last of them ended before the end of the while; half of the dialled are connected, for one to six minutes.
_ATTEMPTS = """
INSERT INTO dialer_attempt (id, campaign_id, member_id, communication_id, number_position, operator_id,
    gateway_id, route_id, node_id, digits, connect_order, operator_uuid, subscriber_uuid, job_uuid, operator_free_at,
    reserved_at, sending_at, operator_ringing_at, operator_answered_at, subscriber_created_at, subscriber_ringing_at,
    subscriber_answered_at, bridged_at, talk_ended_at, operator_ended_at, subscriber_ended_at, ended_at, limit_then,
    capacity_then, maximum_then, counted_before, zones_then, operator_timeout, subscriber_timeout, variables,
    variables_left_out, operator_cause, subscriber_cause, cause, ended_by, outcome, counted, kill_reason, result_state,
    comment, recording, disposition, extended)
SELECT n, 1 + member %% %(campaigns)s, member,
       CASE WHEN n %% 3 = 0 AND member %% 2 = 0 THEN %(members)s + member ELSE member END,
       CASE WHEN n %% 3 = 0 AND member %% 2 = 0 THEN 2 ELSE 1 END,
       1 + n %% %(operators)s, 1, 1, 1, (380000000000 + member)::text, 'operator_first', gen_random_uuid(),
       gen_random_uuid(), gen_random_uuid(), at - interval '9 s', at, at + interval '40 ms', at + interval '300 ms',
       at + interval '3 s', at + interval '4 s', at + interval '5 s',
       CASE WHEN connected THEN at + interval '14 s' END, CASE WHEN connected THEN at + interval '14.2 s' END,
       CASE WHEN connected THEN ended END, ended, ended, ended, 1000, 5000, 5, n %% 5, '', 15, 60,
       '{"debt": "20000", "language": "uk"}', '[]', 'NORMAL_CLEARING', cause, cause, '',
       CASE WHEN connected THEN 'success' ELSE 'retry' END, true, '', '', '', '',
       CASE WHEN connected THEN (ARRAY['Sale', 'Call back', 'No interest'])[1 + n / 2 %% 3] ELSE '' END, 0
FROM (
    SELECT n, 1 + (n * 7919::bigint) %% %(members)s AS member, n %% 2 = 0 AS connected,
           %(end)s - interval '10 min' - (%(size)s - n) * %(gap)s AS at,
           %(end)s - interval '10 min' - (%(size)s - n) * %(gap)s
               + CASE WHEN n %% 2 = 0 THEN (60 + n %% 300) * interval '1 s' ELSE interval '25 s' END AS ended,
           CASE WHEN n %% 2 = 0 THEN 'NORMAL_CLEARING'
                ELSE (ARRAY['NO_ANSWER', 'USER_BUSY', 'SUBSCRIBER_ABSENT', 'CALL_REJECTED'])[1 + n / 2 %% 4] END
               AS cause
    FROM generate_series(1, %(size)s) AS n
) AS made
"""

_PERIODS = """
INSERT INTO agents_operatorperiod (operator_id, since, status, state, forced_break, attempt_id, reason)
SELECT a.operator_id, stage.since, 'available', stage.state, false,
       CASE WHEN stage.state <> 'waiting' THEN a.id END, ''
FROM dialer_attempt AS a
CROSS JOIN LATERAL (VALUES
    (a.reserved_at, 'reserved'), (a.operator_ringing_at, 'receiving'), (a.operator_answered_at, 'in_call'),
    (a.ended_at, 'wrap_up'), (a.ended_at + interval '5 s', 'waiting')
) AS stage(since, state)
ORDER BY stage.since
"""


def report(sizes: Sizes, found: dict[str, Measured], write: Callable[[str], None]) -> None:
    """Write the medians and their ratios, with what was aimed at."""
    short, long = sizes
    write(f"{'milliseconds, median':<24}{f'{short:,}':>12}{f'{long:,}':>12}{'ratio':>9}")
    for name, measured in found.items():
        before, after, ratio = measured.median(short), measured.median(long), measured.ratio(sizes)
        missed = [] if ratio <= AIM else [f"aim: {AIM}"]
        if name == "page of a day" and after > AIM_MS:
            missed.append(f"aim: {AIM_MS} ms")
        verdict = f"  ({', '.join(missed)})" if missed else ""
        write(f"{name:<24}{before:>12.1f}{after:>12.1f}{ratio:>9.2f}{verdict}")
    write(f"A day has {A_DAY:,} attempts of {OPERATORS} operators and {CAMPAIGNS} campaigns.")
