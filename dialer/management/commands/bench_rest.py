"""``manage.py bench_rest``: what adding subscribers over REST costs, and pages of a long list."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dialer import embedded
from dialer.benchmark import rest

INSIDE = "DIALER_BENCH_INSIDE"


class Command(BaseCommand):
    help = (
        "Add subscribers over REST, one by one and in arrays, beside raw COPY of the same rows, and ask for pages of a "
        "long list beside a short one, on databases of its own, and print the ratios."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--added", type=int, default=100_000, help="Subscribers that are added at most.")
        parser.add_argument("--short", type=int, default=10_000, help="Subscribers of the short list.")
        parser.add_argument("--long", type=int, default=1_000_000, help="Subscribers of the long list.")
        parser.add_argument("--tries", type=int, default=30, help="Times that each page is asked for.")

    def handle(self, *args: Any, **options: Any) -> None:
        if os.environ.get(INSIDE) != "1":
            services = embedded.start("bench", throwaway=True)
            try:
                # It goes from one database to another, which a pool would not notice.
                environ = os.environ | services.environ() | {INSIDE: "1", "DATABASE_POOL": "false"}
                sys.exit(subprocess.run([sys.executable, *sys.argv], env=environ, check=False).returncode)
            finally:
                services.stop()
        found = rest.measure(options["added"], options["short"], options["long"], options["tries"], self.stderr.write)
        rest.report(found, self.stdout.write)
