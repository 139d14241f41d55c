"""``manage.py export_directory``: operators as a file of the switch's directory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents import directory
from agents.models import OperatorPhone

FILE = "operators.xml"


class Command(BaseCommand):
    help = (
        "Write the operators who have a phone password into DIR/operators.xml, for a switch that does not ask us "
        "(mod_xml_curl) but reads files. Run it again, and `reloadxml` on the switch, after each change. Phones in the "
        "page are not among them: their passwords last for minutes, so the switch has to ask."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="DIR", type=Path, help="The folder of the switch's directory.")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        operators = list(directory.phones().filter(phone=OperatorPhone.HARD))
        try:
            write(folder / FILE, directory.exported(operators))
        except OSError as error:
            raise CommandError(f"DIR: {folder / FILE} cannot be written: {error.strerror}.") from error
        self.stdout.write(f"{len(operators)} operators in {folder / FILE}")


def write(path: Path, text: str) -> None:
    """Replace a file at once, readable by its group: it holds what phones log in with."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text)
            os.fchmod(file.fileno(), 0o640)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
