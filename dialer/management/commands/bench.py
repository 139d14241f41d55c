"""``manage.py bench``: what a pass of the dial loop costs, on short lists and on long ones, in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import CommandParser
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from dialer.benchmark import databases, lists
from dialer.benchmark.command import BenchCommand
from dialer.engine import dispatch, why
from members.models import Member

AIM = 1.5
"""A pass over the long list may cost this many times one over the short list."""


@dataclass(slots=True)
class Measured:
    """The passes over one list by so many operators."""

    milliseconds: list[float] = field(default_factory=list)
    claims: int = 0
    statements: set[int] = field(default_factory=set)

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)


class Command(BenchCommand):
    help = (
        "Measure a pass of the dial loop at ten thousand and a million waiting subscribers, by turns, on a database "
        "of its own, and print the ratios. Takes some ten minutes, most of them to make the lists."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--quick", action="store_true", help="Five and fifty thousand: to see that it works.")
        parser.add_argument("--rounds", type=int, default=7, help="Passes of each kind; the median counts.")

    def measure(self, options: dict[str, Any]) -> None:
        sizes = (5_000, 50_000) if options["quick"] else (10_000, 1_000_000)
        for size in sizes:
            began = time.monotonic()
            databases.use(f"bench_{size}", create=True)
            call_command("migrate", verbosity=0)
            lists.load(size)
            self.stderr.write(f"{len(lists.GROUPS)} lists of {size:,} made in {time.monotonic() - began:.0f} s")
        self.report(sizes, self.passes(sizes, options["rounds"]))
        self.report_why(sizes, options["rounds"])

    def passes(self, sizes: tuple[int, ...], rounds: int) -> dict[tuple[str, int, int], Measured]:
        """Run passes and roll them back, short and long lists by turns; the first of each on a connection warms up."""
        found: dict[tuple[str, int, int], Measured] = {}
        for _ in range(rounds):
            for size in sizes:
                databases.use(f"bench_{size}")
                for group in lists.GROUPS:
                    for operators in (10, lists.OPERATORS):
                        measured = found.setdefault((group.name, operators, size), Measured())
                        self.one_pass(group, operators)
                        milliseconds, claims, statements = self.one_pass(group, operators)
                        measured.milliseconds.append(milliseconds)
                        measured.claims = claims
                        measured.statements.add(statements)
        return found

    @staticmethod
    def one_pass(group: lists.Group, operators: int) -> tuple[float, int, int]:
        with transaction.atomic():
            lists.only(group, operators)
            with CaptureQueriesContext(connection) as queries:
                began = time.perf_counter()
                report = dispatch.run_pass()
                milliseconds = (time.perf_counter() - began) * 1000
            transaction.set_rollback(True)
        return milliseconds, len(report.claimed), len(queries)

    def report(self, sizes: tuple[int, ...], found: dict[tuple[str, int, int], Measured]) -> None:
        head = ("operators", "waiting", "claims", "ms", "claims/s", "statements")
        self.stdout.write(f"{'list':<16}" + "".join(f"{word:>11}" for word in head))
        for (name, operators, size), measured in sorted(found.items()):
            cells = (
                operators,
                f"{size:,}",
                measured.claims,
                f"{measured.median:.1f}",
                f"{measured.claims / measured.median * 1000:,.0f}",
                "/".join(map(str, sorted(measured.statements))),
            )
            self.stdout.write(f"{name:<16}" + "".join(f"{cell:>11}" for cell in cells))
        self.stdout.write("")
        short, long = sizes
        for name, operators in sorted({(name, operators) for name, operators, _ in found}):
            ratio = found[name, operators, long].median / found[name, operators, short].median
            verdict = "" if ratio <= AIM else f"  (aim: {AIM})"
            self.stdout.write(f"{long:,} against {short:,}: {ratio:.2f}  {name}, {operators} operators{verdict}")
        counts = sorted({count for measured in found.values() for count in measured.statements})
        self.stdout.write(f"Statements of a pass: {', '.join(map(str, counts))}")

    def report_why(self, sizes: tuple[int, ...], rounds: int) -> None:
        """Ask why nobody of the first list is called: of the last in its order, and of all of them."""
        campaign = lists.GROUPS[0].first_campaign
        for size in sizes:
            databases.use(f"bench_{size}")
            last = Member.objects.filter(campaign=campaign).latest("pk").pk
            for name, ask in (
                ("a subscriber", lambda last=last: why.of_member(last)),
                ("a campaign", lambda: why.of_campaign(campaign)),
            ):
                took = statistics.median(self.one_answer(ask) for _ in range(rounds))
                self.stdout.write(f"Why, for {name} of {size:,}: {took:.0f} ms")

    @staticmethod
    def one_answer(ask: Callable[[], object]) -> float:
        cache.clear()  # of this process: answers about whole lists are kept for a while
        began = time.perf_counter()
        ask()
        return (time.perf_counter() - began) * 1000
