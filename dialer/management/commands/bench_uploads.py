"""``manage.py bench_uploads``: what it costs to check and load a list, beside raw COPY, in one run."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dialer import embedded
from dialer.benchmark import uploads

INSIDE = "DIALER_BENCH_INSIDE"


class Command(BaseCommand):
    help = (
        "Check and load a list of subscribers while a campaign dials, copy the same rows raw into the same tables, on "
        "databases of its own, and print the ratios. A million take some ten minutes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rows", type=int, default=1_000_000, help="Subscribers of the list.")

    def handle(self, *args: Any, **options: Any) -> None:
        if os.environ.get(INSIDE) != "1":
            services = embedded.start("bench", throwaway=True)
            try:
                # It goes from one database to another, which a pool would not notice.
                environ = os.environ | services.environ() | {INSIDE: "1", "DATABASE_POOL": "false"}
                sys.exit(subprocess.run([sys.executable, *sys.argv], env=environ, check=False).returncode)
            finally:
                services.stop()
        uploads.report(uploads.measure(options["rows"], self.stderr.write), self.stdout.write)
