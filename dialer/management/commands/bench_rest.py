"""``manage.py bench_rest``: what adding subscribers over REST costs, and pages of a long list."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from dialer.benchmark import rest
from dialer.benchmark.command import BenchCommand


class Command(BenchCommand):
    help = (
        "Add subscribers over REST, one by one and in arrays, beside raw COPY of the same rows, and ask for pages of a "
        "long list beside a short one, on databases of its own, and print the ratios."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--added", type=int, default=100_000, help="Subscribers that are added at most.")
        parser.add_argument("--short", type=int, default=10_000, help="Subscribers of the short list.")
        parser.add_argument("--long", type=int, default=1_000_000, help="Subscribers of the long list.")
        parser.add_argument("--tries", type=int, default=30, help="Times that each page is asked for.")

    def measure(self, options: dict[str, Any]) -> None:
        found = rest.measure(options["added"], options["short"], options["long"], options["tries"], self.stderr.write)
        rest.report(found, self.stdout.write)
