"""``manage.py simulate``: a FreeSWITCH that is not there, with people who answer or do not."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dialer.simulator.scenario import Scenario, ScenarioError, load, read_extensions
from dialer.simulator.server import PASSWORD, Simulator


class Command(BaseCommand):
    help = (
        "Stand in for a FreeSWITCH: speak event socket, and let subscribers, operators, carriers and faults behave by "
        "a scenario and a seed. The same seed gives the same day."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--listen", default="127.0.0.1:8021", help="host:port; port 0 takes a free one and says it."
        )
        parser.add_argument("--password", default=PASSWORD, help="What clients log in with.")
        parser.add_argument("--scenario", default="demo", help="A TOML file, or the name of a scenario of ours.")
        parser.add_argument("--seed", type=int, default=1, help="The dice of the day.")
        parser.add_argument(
            "--operators", help="Extensions of the directory in place of the scenario's: 1001-1020,2001."
        )
        parser.add_argument(
            "--state", type=Path, help="A file to remember who was called how often, if this is killed."
        )

    def handle(self, *args: Any, listen: str, password: str, seed: int, state: Path | None, **options: Any) -> None:
        host, colon, port = listen.rpartition(":")
        if not colon or not port.isdigit():
            raise CommandError(f"--listen takes host:port, not “{listen}”.")
        try:
            scenario = load(options["scenario"])
            if options["operators"]:
                extensions = read_extensions(options["operators"].split(","))
                scenario = replace(scenario, operators=replace(scenario.operators, extensions=extensions))
        except (ScenarioError, ValueError) as error:
            raise CommandError(str(error)) from None
        try:
            asyncio.run(self.run(scenario, seed, host or "127.0.0.1", int(port), password, state))
        except OSError as error:
            raise CommandError(f"{listen} cannot be used: {error}.") from None

    async def run(self, scenario: Scenario, seed: int, host: str, port: int, password: str, state: Path | None) -> None:
        loop = asyncio.get_running_loop()
        async with Simulator(scenario, seed, host=host, port=port, password=password, state=state) as simulator:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, simulator.stopped.set)
            self.stdout.write(f"Simulated switch on {host}:{simulator.port}, seed {seed}.")
            self.stdout.flush()
            await simulator.stopped.wait()
