"""What the REST interface costs: adding subscribers one by one and in arrays beside raw COPY, and a page of a long list
beside one of a short list.

A server runs on each of two databases, with ten thousand subscribers and attempts and with a million. Its client sends
one request after the other.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.contrib.auth.models import Group as Role
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction

from campaigns.models import Campaign
from dialer import clock
from dialer.api import actions
from dialer.benchmark import databases, lists
from dialer.benchmark.server import running
from dialer.benchmark.statistics import make_attempts

AIM_PAGE = 1.5
"""A page of the long list may take so many times as long as one of the short list."""
LISTED = lists.Group("listed", 1, 1)
TARGET = lists.Group("target", 101, 1)
BATCHES = (1, 100, 10_000)
"""Subscribers of one request."""
REQUESTS = 200
"""Requests of one batch size, if that many are not more subscribers than asked for."""
LISTS = ("members", "attempts")
PAGES = {
    "subscribers": "members?limit=100",
    "newest first": "members?limit=100&sort=-created",
    "by when they are due": "members?limit=100&sort=due",
    "by attempts": "members?limit=100&sort=-attempts",
    "by state": "members?limit=100&state=ready",
    "by time zone": "members?limit=100&called_in=Europe/Kyiv",
    "by operator": "members?limit=100&operator=7",
    "far into the list": "members?limit=100&cursor={members}",
    "by number": "members?number={number}",
    "by the beginnings of names": "members?limit=20&search={name}",
    "by the end of a number": "members?limit=20&search={end}",
    "attempts": "attempts?limit=100",
    "attempts by when they ended": "attempts?limit=100&sort=ended",
    "attempts by cause": "attempts?limit=100&cause=USER_BUSY",
    "attempts by disposition": "attempts?limit=100&disposition=Sale",
    "attempts by operator": "attempts?limit=100&operator=7",
    "attempts of a while": "attempts?limit=100&reserved_before={instant}",
    "far into the attempts": "attempts?limit=100&cursor={attempts}",
    "attempts by number": "attempts?number={number}",
}
_NAMES = """
UPDATE members_member SET name = initcap(translate(left(md5(id::text), 8), '0123456789', 'ghijklmnop')) || ' Kovalenko'
WHERE campaign_id = %s
"""
"""Everybody has a name of his own, and a surname that all share."""
HEADERS = {"Content-Type": "application/json"}


@dataclass(slots=True)
class Measured:
    """What one run found."""

    added: int
    short: int
    long: int
    """Subscribers: those that are added, and those of the two lists, which have as many attempts."""
    raw_rate: float = 0.0
    """Subscribers a second."""
    rates: dict[int, float] = field(default_factory=dict)
    """The same, by subscribers of one request."""
    pages: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Milliseconds of a page of the short and of the long list: medians."""

    @property
    def growth(self) -> dict[str, float]:
        return {name: long / short for name, (short, long) in self.pages.items()}

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"growth": self.growth}


class Caller:
    """Sends requests over a held connection."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.headers = HEADERS | headers

    def ask(self, path: str, body: Any = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        self.connection.request("GET" if body is None else "POST", f"/api/v2/dialer{path}", sent, self.headers)
        answer = self.connection.getresponse()
        told = answer.read()
        if answer.status not in {200, 201}:
            raise RuntimeError(f"{path}: {answer.status} {told[:500]!r}")
        return json.loads(told)


def measure(added: int, short: int, long: int, tries: int, say: Callable[[str], None]) -> Measured:
    """Run once, on the throwaway servers that the settings name; each page is asked for ``tries`` times."""
    measured = Measured(added, short, long)
    with TemporaryDirectory() as folder:
        databases.use("bench_short", create=True)
        call_command("migrate", verbosity=0)
        headers = _make_scene()
        databases.copy("bench_raw", "bench_short")
        databases.copy("bench_long", "bench_short")
        with _server("bench_short", short) as first, _server("bench_long", long) as second:
            say(f"lists of {short:,} and {long:,} made")
            _time_pages(measured, [Caller(port, headers) for port in (first, second)], tries, say)
            _time_posts(measured, Caller(first, headers), say)
        databases.use("bench_short")
        target = TARGET.first_campaign
        tables = ("members_member", "members_communication")
        rows = {table: databases.write_out(table, f"campaign_id = {target}", Path(folder)) for table in tables}
        members = Campaign.objects.get(pk=target).members.count()
        databases.use("bench_raw")
        measured.raw_rate = members / databases.copy_in(rows)
    return measured


def _make_scene() -> dict[str, str]:
    """Make what both lists share, and a caller; return the headers of his key."""
    with transaction.atomic():
        lists.make_common()
        lists.make_group(TARGET, 0)
    user = User.objects.create_user("crm")
    user.groups.add(Role.objects.get(name="Integration"))
    made = actions.log_in(user)
    return {"X-Key": str(made.key.pk), "X-Access-Token": made.token}


@contextmanager
def _server(database: str, members: int) -> Iterator[int]:
    """Fill a database, and run a server on it; give its port."""
    databases.use(database)
    with transaction.atomic():
        lists.make_group(LISTED, members)
        make_attempts(members, members, clock.now(), LISTED.campaigns)
    with connection.cursor() as cursor:
        cursor.execute(_NAMES, [LISTED.first_campaign])
        # What was made in SQL named its ids itself.
        for table in ("members_member", "members_communication"):
            cursor.execute(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))")  # noqa: S608
        cursor.execute("VACUUM ANALYZE")
    with running() as server:
        yield server.port


def _time_pages(measured: Measured, callers: list[Caller], tries: int, say: Callable[[str], None]) -> None:
    """Ask for each page of both lists in turn, so that a machine that becomes slower does so for both."""
    path = f"/{LISTED.first_campaign}/"
    queries: list[dict[str, str]] = []
    for caller in callers:
        known: dict[str, str] = {}
        for listed in LISTS:
            page = caller.ask(f"{path}{listed}?limit=100")
            for _ in range(min(20, measured.short // 200)):
                page = caller.ask(f"{path}{listed}?limit=100&cursor={page['cursor']}")
            known[listed] = page["cursor"]
        attempt = page["results"][50]
        one = caller.ask(f"{path}members/{attempt['member']}")
        number = one["communications"][0]["number"]
        known |= {"number": number, "end": number[-6:], "name": one["name"][:-4], "instant": attempt["reserved_at"]}
        queries.append({name: query.format(**known).replace(" ", "%20") for name, query in PAGES.items()})
    for name in PAGES:
        took: tuple[list[float], list[float]] = ([], [])
        for _ in range(tries):
            for caller, query, times in zip(callers, queries, took, strict=True):
                began = time.perf_counter()
                caller.ask(path + query[name])
                times.append((time.perf_counter() - began) * 1000)
        measured.pages[name] = (statistics.median(took[0]), statistics.median(took[1]))
        say(f"{name}: {measured.growth[name]:.2f}")


def _time_posts(measured: Measured, caller: Caller, say: Callable[[str], None]) -> None:
    serial = count()

    def rows(some: int) -> list[dict[str, Any]]:
        return [
            {
                "name": f"Олена Ковальчук {at}",
                "external_id": f"crm-{at}",
                "variables": {"debt": str(at % 5000)},
                "communications": [{"number": f"+380501{at:07}"}, {"number": f"+380671{at:07}"}],
            }
            for at in (next(serial) for _ in range(some))
        ]

    for batch in BATCHES:
        batch = min(batch, measured.added)
        bodies = [rows(batch) for _ in range(max(1, min(REQUESTS, measured.added // batch)))]
        began = time.monotonic()
        for body in bodies:
            caller.ask(f"/{TARGET.first_campaign}/members", body[0] if batch == 1 else body)
        measured.rates[batch] = batch * len(bodies) / (time.monotonic() - began)
        say(f"{batch:,} at once: {measured.rates[batch]:,.0f} a second")


def report(measured: Measured, write: Callable[[str], None]) -> None:
    """Write what was measured as a table and as JSON, with what was aimed at."""
    write("Subscribers a second, of two numbers each")
    write(f"{'raw COPY':<30}{measured.raw_rate:>12,.0f}")
    for batch, rate in measured.rates.items():
        write(f"{f'POST of {batch:,}':<30}{rate:>12,.0f}  {rate / measured.raw_rate:.3f} of raw COPY's")
    write(f"Milliseconds of a page, {measured.short:,} and {measured.long:,} subscribers and attempts")
    for name, (short, long) in measured.pages.items():
        ratio = measured.growth[name]
        aim = databases.verdict(ratio <= AIM_PAGE, f"{AIM_PAGE}")
        write(f"{name:<30}{short:>12.1f}{long:>12.1f}{ratio:>8.2f}  {aim}".rstrip())
    write(json.dumps(measured.as_dict()))
