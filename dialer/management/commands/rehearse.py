"""``manage.py rehearse``: a scenario from end to end over the real stack, faster than life."""

from __future__ import annotations

import json as json_module
import logging
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from dialer.embedded import EmbeddedError
from dialer.rehearsal import house, play, report, stage
from dialer.rehearsal.plan import Cue, Plan, PlanError, kill, load
from dialer.signals import event_of

FASTEST = 20.0
"""Beyond that the wire itself would take noticeable rule time."""


class Command(BaseCommand):
    help = (
        "Play a scenario through Celery, listener and simulator, on a database and a broker of its own, and tell what "
        "became of everyone. The exit status is 1 when an invariant does not hold or anyone is stuck."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--scenario", required=True, help="A TOML file, or the name of a scenario of ours.")
        parser.add_argument("--seed", type=int, default=1, help="The same seed gives the same people.")
        parser.add_argument(
            "--speed", type=float, default=10.0, help=f"Rule seconds per real one; at most {FASTEST:g}."
        )
        parser.add_argument(
            "--json", action="store_true", help="Print the outcome as JSON, and nothing else, to stdout."
        )
        parser.add_argument(
            "--kill", action="append", default=[], metavar="NAME@SECONDS",
            help="Kill (SIGKILL) a process at this rule second; it is started again. "
            "dial, worker, beat, listener, simulator, database or broker. May be given several times.",
        )  # fmt: skip
        parser.add_argument("--keep", action="store_true", help="Keep the logs, and the database until Ctrl-C.")

    def handle(self, *args: Any, scenario: str, seed: int, speed: float, json: bool, **options: Any) -> None:
        if not 0 < speed <= FASTEST:
            raise CommandError(f"--speed is {speed:g}; it must be above 0 and at most {FASTEST:g}.")
        path = find_scenario(scenario)
        try:
            plan = load(path)
            kills = [kill(text) for text in options["kill"]]
            services = house.enter("rehearsal", house.clock_env(speed, play.clock_start(plan, speed)))
        except (PlanError, EmbeddedError) as error:
            raise CommandError(str(error)) from error
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: sys.exit(128 + received))
        logging.disable(logging.INFO)  # here, not in the processes of the stack: their logs are in files
        folder = settings.DATA_DIR / "rehearsals" / services.name
        folder.mkdir(parents=True)
        fine, kept = False, options["keep"]
        try:
            told = self.rehearse(plan, path, seed, kills, services, folder)
            told = {"scenario": path.stem, "seed": seed, "speed": speed, **told}
            fine = not told["stuck"] and not told["violations"]
            if not fine:
                kept = True
                report.keep_tables(folder)
            for line in report.summary(told):
                self.say(line)
            if json:
                self.stdout.write(json_module.dumps(told, indent=2, ensure_ascii=False))
            if options["keep"]:
                self.wait(services.environ())
        except play.NotUp as error:
            kept = True
            raise CommandError(str(error)) from error
        except Exception:
            kept = True
            raise
        finally:
            connections.close_all()
            services.stop()
            if kept:
                self.say(f"Logs are in {folder}.")
            else:
                shutil.rmtree(folder)
        if not fine:
            sys.exit(1)

    def rehearse(
        self, plan: Plan, path: Path, seed: int, kills: list[Cue], services: Any, folder: Path
    ) -> dict[str, Any]:
        self.say(f"{path.stem}: {plan.about}")
        self.say("Setting the stage …")
        call_command("migrate", interactive=False, verbosity=0)
        stage.build(plan)
        the_play = play.Play(
            plan, scenario=path, seed=seed, kills=kills, services=services, folder=folder, say=self.say
        )
        played = the_play.run()
        connections.close_all()
        return report.outcome(played, the_play.state)

    def say(self, text: str) -> None:
        self.stderr.write(text)
        self.stderr.flush()

    def wait(self, environ: dict[str, str]) -> None:
        """Keep the house open until Ctrl-C."""
        self.say("Until Ctrl-C the database is open to other processes with this environment:")
        for name, value in environ.items():
            self.say(f"  {name}='{value}'")
        event_of(signal.SIGINT).wait()


def find_scenario(name: str) -> Path:
    """Return the file of a scenario, given by its path or, of those that are shipped, by its name."""
    shipped = settings.BASE_DIR / "dialer" / "simulator" / "scenarios"
    path = Path(name)
    return path if path.suffix or path.exists() else shipped / f"{name}.toml"
