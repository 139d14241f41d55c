"""``manage.py listen``: hear one switch, and keep the ledger true to it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dialer.engine.listener import Listener
from dialer.switch.nodes import configured


class Command(BaseCommand):
    help = "Listen to the events of one switch, in order, and reconcile the ledger with it. One such process a switch."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--node", help="host:port of the switch; needed when FREESWITCH_URL names several.")

    def handle(self, *args: Any, node: str | None = None, **options: Any) -> None:
        nodes = {found.name: found for found in configured()}
        if node is None and len(nodes) != 1:
            raise CommandError(f"FREESWITCH_URL names several switches; choose one with --node: {', '.join(nodes)}.")
        chosen = nodes.get(node) if node else next(iter(nodes.values()))
        if chosen is None:
            raise CommandError(f"FREESWITCH_URL does not name “{node}”, only {', '.join(nodes)}.")
        Listener(chosen).run()
