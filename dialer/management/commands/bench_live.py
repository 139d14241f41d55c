"""``manage.py bench_live``: what the overview costs while it is open."""

from __future__ import annotations

import json
import os
from typing import Any

from django.core.management.base import CommandError, CommandParser

from dialer.benchmark import live
from dialer.benchmark.command import BenchCommand


class Command(BenchCommand):
    help = (
        "Look at the overview of a thousand operators in fifty campaigns with a Chromium, while they change each "
        "second, and print what the server computes and what memory the page takes, at first and at last."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seconds", type=int, default=300, help="How long it is looked at; an hour is 3600.")

    def measure(self, options: dict[str, Any]) -> None:
        # Playwright's own event loop is no reason for Django to refuse the database.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        try:
            found = live.measure(options["seconds"], self.stderr.write)
        except RuntimeError as error:
            raise CommandError(str(error)) from error
        live.report(found, self.stdout.write)
        self.stdout.write(json.dumps(found.as_dict()))
