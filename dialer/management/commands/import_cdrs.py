"""``manage.py import_cdrs DIR``: take in the call records that the switch could not post."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dialer import cdr


class Command(BaseCommand):
    help = (
        "Take in the call records that a switch wrote to files because it could not post them. Each file is moved to "
        "DIR/imported/DATE, or to DIR/refused with the reason beside it; then it ends with status 1."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", metavar="DIR", type=Path, help="The err-log-dir of mod_json_cdr.")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        if not folder.is_dir():
            raise CommandError(f"{folder} is no folder. Name the err-log-dir of mod_json_cdr.")
        try:
            found = cdr.import_folder(folder)
        except OSError as error:
            raise CommandError(f"{error}. Let this account write in {folder}: each file is moved away.") from None
        self.stdout.write(", ".join(f"{count} {word}" for word, count in sorted(found.items())) or "nothing new")
        if found[cdr.REFUSED]:
            raise CommandError(f"{found[cdr.REFUSED]} files are no call records: see {folder / cdr.REFUSED}.")
        if found[cdr.UNREADABLE]:
            raise CommandError(f"{found[cdr.UNREADABLE]} files cannot be read: let this account read them.")
