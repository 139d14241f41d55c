"""``manage.py bench_statistics``: what a page of statistics costs in a short ledger and in a long one, in one run."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from dialer.benchmark import statistics
from dialer.benchmark.command import BenchCommand


class Command(BenchCommand):
    help = (
        "Ask for the statistics of the same while in a ledger of a hundred thousand attempts and in one of a million, "
        "by turns, on databases of its own, and print milliseconds and ratios. Takes some five minutes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--quick", action="store_true", help="Thirty and sixty thousand: to see that it works.")
        parser.add_argument("--rounds", type=int, default=7, help="Readings of each kind; the median counts.")

    def measure(self, options: dict[str, Any]) -> None:
        sizes = (30_000, 60_000) if options["quick"] else (100_000, 1_000_000)
        found = statistics.measure(sizes, options["rounds"], self.stderr.write)
        statistics.report(sizes, found, self.stdout.write)
