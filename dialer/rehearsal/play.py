"""Play a plan over the real stack: its processes, its cues, its people; and watch until everyone is done."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from django import db
from django.db.models import Q
from redis import Redis, RedisError

from agents.models import AWAY_STATUSES, Operator
from campaigns import actions as campaigns
from campaigns.models import Campaign, CampaignState, Gateway
from dialer import clock, processes, verbs
from dialer.embedded import Services
from dialer.errors import Refused
from dialer.models import Attempt, Node
from dialer.rehearsal import people
from dialer.rehearsal.plan import Cue, Plan
from members.models import HELD_STATES, Member, MemberState

log = logging.getLogger(__name__)

LEAD = 6.0
"""Real seconds that the stack gets to come up before the rule clock shows the beginning."""
UP_WITHIN = 60.0
"""Real seconds within which it must be up."""
STEP = 0.1
"""Real seconds between two looks."""
PROGRESS_EVERY = 3.0
"""Real seconds between two lines of progress."""
OVER = (CampaignState.COMPLETED, CampaignState.STOPPED)


class NotUp(Exception):
    """The stack did not come up; the message says what is missing."""


@dataclass(slots=True)
class Sightings:
    """When something could not be used: operators away, gateways backing off, switches gone, campaigns at rest.

    Seen each step, so that a wait that has such a reason is not taken for the dial loop's own.
    """

    seen: dict[tuple[str, int], list[datetime]] = field(default_factory=lambda: defaultdict(list))

    def look(self, now: datetime) -> None:
        """Note what cannot be used now. Four statements."""
        resting = Campaign.objects.exclude(state=CampaignState.RUNNING)
        away = Operator.objects.filter(Q(status__in=AWAY_STATUSES) | Q(registered=False, contact=""))
        blocked = Gateway.objects.filter(blocked_until__gt=now)
        gone = Node.objects.filter(Q(connected=False) | Q(blocked_until__gt=now))
        for kind, found in (("campaign", resting), ("operator", away), ("gateway", blocked), ("node", gone)):
            for pk in found.values_list("pk", flat=True):
                self.seen[kind, pk].append(now)

    def last(self, kind: str, pk: int | None, before: datetime) -> datetime | None:
        """Return the last time before an instant at which it could not be used."""
        instants = self.seen.get((kind, pk or 0), [])
        place = bisect_left(instants, before)
        return instants[place - 1] if place else None


@dataclass(slots=True)
class Played:
    """What the play itself knows of its course; the rest is in the database."""

    began: datetime
    ended: datetime
    done: bool
    """Whether everyone was done before the deadline."""
    sightings: Sightings
    killed: list[dict[str, float | str]]
    results: dict[str, int]
    ended_breaks: int


class Play:
    """One rehearsal. ``say`` gets lines for a human."""

    def __init__(
        self, plan: Plan, *, scenario: Path, seed: int, kills: Iterable[Cue], services: Services, folder: Path,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.plan = plan
        self.services = services
        self.say = say
        self.state = folder / "calls"
        """Where the simulated switch writes whom it called, one line for each call."""
        self.cues = sorted(
            [
                *plan.cues,
                *kills,
                *(Cue(item.run_at, "run", item.name) for item in plan.campaigns if item.run_at is not None),
            ],
            key=lambda cue: cue.at,
        )
        self.ids = dict(Campaign.objects.values_list("name", "pk"))
        self.sightings = Sightings()
        self.reporters = people.reporters(plan, seed, self.ids)
        self.overseer = people.Supervisor(plan.back_after)
        self.killed: list[dict[str, float | str]] = []
        self.supervisor = self._processes(scenario, seed, folder)

    def _processes(self, scenario: Path, seed: int, folder: Path) -> processes.Supervisor:
        port, password = free_port(), secrets.token_urlsafe(12)
        switch = processes.simulator(port, password, str(scenario), seed, self.state)
        return processes.Supervisor(
            [switch, *processes.stack(nodes=[f"127.0.0.1:{port}"], beat_schedule=folder / "beat-schedule")],
            env={"SIMULATOR_URL": f"esl://:{password}@127.0.0.1:{port}"},
            log_dir=folder / "logs",
            notice=self.say,
            first_pause=0.5,
        )

    def run(self) -> Played:
        """Start everything, play until all is done or the deadline is over, and end everything.

        Raises ``NotUp``.
        """
        with self.supervisor:
            self._await_stack()
            began = clock.now()
            self.say("The campaigns begin.")
            done = self._watch(began)
            ended = clock.now()
        return Played(
            began, ended, done, self.sightings, self.killed, dict(self.reporters.given), self.overseer.ended_breaks
        )

    def _await_stack(self) -> None:
        """Wait until the switch is heard, and the rule clock shows the beginning."""
        deadline = time.monotonic() + UP_WITHIN
        while not Node.objects.filter(connected=True).exists():
            if time.monotonic() > deadline:
                raise NotUp(f"The listener does not hear the switch after {UP_WITHIN:.0f} s.")
            time.sleep(STEP)
        time.sleep(max(0.0, clock.real_seconds((self.plan.start - clock.now()).total_seconds())))

    def _watch(self, began: datetime) -> bool:
        told = 0.0
        while True:
            now = clock.now()
            second = (now - began).total_seconds()
            try:
                self._step(now, second)
                if not self.cues and self._is_done():
                    return True
                if time.monotonic() - told >= PROGRESS_EVERY:
                    told = time.monotonic()
                    self._tell(second)
            except (db.OperationalError, RedisError) as error:
                log.info("A server does not answer: %s", error)
                db.connections.close_all()
            if second > self.plan.deadline:
                return False
            time.sleep(STEP)

    def _step(self, now: datetime, second: float) -> None:
        self.sightings.look(now)
        while self.cues and self.cues[0].at <= second:
            self._play(self.cues[0], second)
            del self.cues[0]
        self.overseer.step(now)
        self.reporters.step(now)

    def _play(self, cue: Cue, second: float) -> None:
        match cue.action:
            case "kill":
                self.say(f"{second:6.0f} s  {cue.target} is killed.")
                self.killed.append({"process": cue.target, "at": round(second, 1)})
                self._kill(cue.target)
            case "run":
                self.say(f"{second:6.0f} s  RUN {cue.target}: {campaigns.run(self.ids[cue.target])}")
            case "stop":
                try:
                    self.say(f"{second:6.0f} s  STOP {cue.target}: {campaigns.stop(self.ids[cue.target])}")
                except Refused as refusal:
                    self.say(f"{second:6.0f} s  STOP {cue.target} is refused: {refusal.message}")

    def _kill(self, name: str) -> None:
        match name:
            case "database":
                pid = int((self.services.folder / "postgres" / "postmaster.pid").read_text().split()[0])
                os.kill(pid, signal.SIGKILL)
            case "broker":
                with verbs.redis() as client:
                    os.kill(server_pid(client), signal.SIGKILL)
            case _:
                self.supervisor.kill(name)

    def _is_done(self) -> bool:
        return not (
            Campaign.objects.exclude(state__in=[*OVER, CampaignState.IDLE]).exists()
            or Attempt.objects.live().exists()
            or Member.objects.filter(state__in=HELD_STATES).exists()
        )

    def _tell(self, second: float) -> None:
        total = Member.objects.count()
        ended = Member.objects.filter(state=MemberState.ENDED).count()
        live = Attempt.objects.live()
        talks = live.filter(bridged_at__isnull=False, talk_ended_at__isnull=True).count()
        states = ", ".join(f"{item.name} {item.state}" for item in Campaign.objects.order_by("pk"))
        self.say(f"{second:6.0f} s  {ended}/{total} ended, {live.count()} calls, {talks} talk; {states}")


def server_pid(client: Redis) -> int:
    """Return the process of a Redis server of this machine."""
    return int(client.info("server")["process_id"])


def free_port() -> int:
    """Return a port of this machine that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clock_start(plan: Plan, speed: float) -> datetime:
    """Return the rule time at which the processes start, so that the plan's beginning is shown when they are up."""
    return plan.start - timedelta(seconds=LEAD * speed)
