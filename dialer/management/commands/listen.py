"""``manage.py listen``: hear the switches, and keep the ledger true to them."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dialer.engine.listener import listen
from dialer.signals import event_of
from dialer.switch.nodes import configured


class Command(BaseCommand):
    help = (
        "Listen to the events of the switches of FREESWITCH_URL, or of one of them, in order, and reconcile the ledger "
        "with them. Of several listeners of a switch one hears it; the others stand by and take over within seconds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--node", help="host:port of the only switch to listen to.")

    def handle(self, *args: Any, node: str | None = None, **options: Any) -> None:
        switches = {found.name: found for found in configured()}
        if node is not None and node not in switches:
            raise CommandError(f"FREESWITCH_URL does not name “{node}”, only {', '.join(switches)}.")
        stopping = event_of(signal.SIGTERM, signal.SIGINT)
        if not listen([switches[node]] if node else list(switches.values()), stopping):
            raise CommandError("A listener failed; see above.")
