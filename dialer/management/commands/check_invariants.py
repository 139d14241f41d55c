"""``manage.py check_invariants``: replay the ledger of this database against the rules that always hold."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dialer.engine import invariants


class Command(BaseCommand):
    help = "Check what always holds, on the database as it stands; the exit status is 1 when something does not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print the violations as JSON.")

    def handle(self, *args: Any, json: bool = False, **options: Any) -> None:
        violations = invariants.find_violations()
        if json:
            self.stdout.write(as_json(violations))
        else:
            for violation in violations:
                self.stdout.write(f"{violation.invariant}. {violation.text}")
            self.stdout.write(told(violations))
            if unrecorded := invariants.count_unrecorded():
                self.stdout.write(f"{unrecorded} legs have no call record (yet).")
        if violations:
            sys.exit(1)


def as_json(violations: list[invariants.Violation]) -> str:
    return json.dumps([violation.as_dict() for violation in violations], indent=2, ensure_ascii=False)


def told(violations: list[invariants.Violation]) -> str:
    """Return the verdict in one line."""
    if not violations:
        return f"All holds: {len(invariants.CHECKS)} checks, no violation."
    return f"{len(violations)} violations."
