"""``manage.py import_directory``: the users of an existing directory become operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from agents import actions, directory_files
from agents.directory_files import Found, Reading
from agents.models import Operator


class Command(BaseCommand):
    help = (
        "Make operators of the users of a FreeSWITCH directory who have the agent attribute (a param or variable "
        "agent=true, or cc-agent=true), with their parameters (agent-call-timeout, agent-wrap-up-time, "
        "agent-max-no-answer, agent-busy-delay, agent-reject-delay, agent-no-answer-delay) and phone passwords. Those "
        "who exist get what the directory says and keep the rest. With a fault anywhere nothing is written."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", metavar="PATH", type=Path, help="An XML file, or a folder of them.")
        parser.add_argument("--dry-run", action="store_true", help="Tell what would change, and change nothing.")
        parser.add_argument("--all", action="store_true", help="Take users without the agent attribute too.")
        parser.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE",
            help="What $${NAME} stands for in the files; may be given several times.",
        )  # fmt: skip

    def handle(self, *args: Any, path: Path, **options: Any) -> None:
        variables = {"domain": settings.SIP_DOMAIN, **dict(map(assignment, options["set"]))}
        try:
            reading = directory_files.read(path, settings.SIP_DOMAIN, variables, everyone=options["all"])
        except OSError as error:
            raise CommandError(f"PATH: {path} cannot be read: {error.strerror}.") from error
        with transaction.atomic():
            told, faults = take(reading)
            if faults or options["dry_run"]:
                transaction.set_rollback(True)
        for line in told:
            self.stdout.write(line)
        self.summary(reading)
        if faults:
            told_faults = "\n".join(f"  {fault}" for fault in faults)
            raise CommandError(f"Nothing was written, {len(faults)} faults:\n{told_faults}")
        if options["dry_run"]:
            self.stdout.write("Nothing was written (--dry-run).")

    def summary(self, reading: Reading) -> None:
        self.stdout.write(f"{len(reading.operators)} operators in {reading.files} files.")
        if reading.others:
            shown = ", ".join(reading.others[:10]) + (", …" if len(reading.others) > 10 else "")
            self.stdout.write(f"{len(reading.others)} users are no agents (--all takes them): {shown}")
        if reading.left:
            names = ", ".join(f"{name} ({count})" for name, count in sorted(reading.left.items()))
            self.stdout.write(f"Not taken over, as it means nothing here: {names}")


def assignment(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandError(f"--set: “{text}” is not NAME=VALUE.")
    return name, value


def take(reading: Reading) -> tuple[list[str], list[str]]:
    """Write what was read; return a line on each operator, and the faults. Must run in a transaction."""
    told, faults = [], list(reading.faults)
    extensions = [found.extension for found in reading.operators]
    known = {him.extension: him for him in Operator.objects.filter(extension__in=extensions)}
    for found in reading.operators:
        try:
            with transaction.atomic():
                told.append(write(found, known.get(found.extension)))
        except ValidationError as error:
            for name, messages in error.message_dict.items():
                faults.append(f"{found.file}: user {found.extension}: {name}: {' '.join(messages)}")
    return told, faults


def write(found: Found, him: Operator | None) -> str:
    """Create or change an operator; return what was done, in words. Raises ``ValidationError`` by field."""
    notes = [*found.notes]
    if him is None:
        fields = {"name": found.extension, **found.fields}
        actions.create_operator(extension=found.extension, **fields)
        done = f"new, {fields['name']}"
    else:
        changes = {name: value for name, value in found.fields.items() if getattr(him, name) != value}
        if changes:
            actions.update_operator(him.pk, **changes)
        done = ", ".join(in_words(name, getattr(him, name), value) for name, value in changes.items()) or "as he was"
        if him.archived:
            notes.append("archived, and stays so")
        if him.sip_password_a1 and not found.fields.get("sip_password_a1"):
            notes = [note for note in notes if not note.startswith("no phone password")]
    return f"{found.extension}: {done}" + "".join(f" ({note})" for note in notes)


def in_words(name: str, old: Any, new: Any) -> str:
    return "phone password" if name == "sip_password_a1" else f"{name} {old} → {new}"
