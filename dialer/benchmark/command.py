"""What the commands that measure have in common: servers of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from django.core.management.base import BaseCommand

from dialer import embedded

INSIDE = "DIALER_BENCH_INSIDE"


class BenchCommand(BaseCommand):
    """A command whose ``measure`` has a throwaway PostgreSQL and Redis as its only ones."""

    def handle(self, *args: Any, **options: Any) -> None:
        if os.environ.get(INSIDE) == "1":
            self.measure(options)
            return
        services = embedded.start("bench", throwaway=True)
        try:
            # It goes from one database to another, which a pool would not notice.
            environ = os.environ | services.environ() | {INSIDE: "1", "DATABASE_POOL": "false"}
            sys.exit(subprocess.run([sys.executable, *sys.argv], env=environ, check=False).returncode)
        finally:
            services.stop()

    def measure(self, options: dict[str, Any]) -> None:
        """Measure, and print what was found."""
        raise NotImplementedError
