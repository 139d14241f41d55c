"""``manage.py bench_uploads``: what it costs to check and load a list, beside raw COPY, in one run."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from dialer.benchmark import uploads
from dialer.benchmark.command import BenchCommand


class Command(BenchCommand):
    help = (
        "Check and load a list of subscribers while a campaign dials, copy the same rows raw into the same tables, on "
        "databases of its own, and print the ratios. A million take some ten minutes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rows", type=int, default=1_000_000, help="Subscribers of the list.")

    def measure(self, options: dict[str, Any]) -> None:
        uploads.report(uploads.measure(options["rows"], self.stderr.write), self.stdout.write)
