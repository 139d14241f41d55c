"""The ledger against the switch: what died without an event is noticed, released and written to repairs.

The evidence is what the switch answers to ``uuid_exists`` for a leg, twice, two seconds apart, and its Core-UUID; never
a list of channels, which lags.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Q

from campaigns.models import ConnectOrder
from dialer import clock
from dialer.engine import calls, coaching
from dialer.models import Attempt, Node

if TYPE_CHECKING:
    from dialer.switch.nodes import Line

log = logging.getLogger(__name__)

JUDGED_AFTER = timedelta(seconds=15)
"""Real time after sending before which an attempt without news is never judged."""
ASK_AGAIN_AFTER = 2.0
"""Real seconds between the two answers that together mean that a leg is absent."""
UNRUNG_AFTER = timedelta(seconds=3)
"""Real time after which an operator whose phone should ring for an answered subscriber is looked for."""
LONE_LEG = timedelta(seconds=5)
"""How long a leg may be left alone before it is hung up."""
EVERY = 2.0
"""Real seconds between two looks at the ledger."""


def end_gone(node: Node) -> int:
    """End the attempts that were sent to a switch of which it is reckoned that it runs no more; return how many."""
    coaching.end_all(node)
    ended = _end_all(node, "switch_gone")
    if ended:
        log.warning("Switch %s is gone; %d calls are taken to have ended with it, see the repairs.", node, ended)
    return ended


def _end_all(node: Node, kind: str, *, other_than: UUID | None = None) -> int:
    """End all attempts that were sent to a switch, but for those sent to one run of it."""
    sent = Attempt.objects.live().filter(node=node, sending_at__isnull=False)
    if other_than is not None:
        sent = sent.exclude(core_uuid=other_than)
    lose = partial(calls.lose, kind=kind, at=node.last_event_at, level=logging.INFO)
    return calls.for_each(list(sent.values_list("pk", flat=True)), lose)


@dataclass(slots=True)
class Reconciler:
    """Watches the attempts of one node; the listener of the node calls ``step`` between events."""

    node: Node
    line: Line
    missed: dict[int, float] = field(default_factory=dict)
    """Attempts whose legs were all absent once: when (monotonic seconds)."""
    unrung: set[UUID] = field(default_factory=set)
    """Legs of operators that were absent once, though they should ring for an answered subscriber."""
    last_step: float = 0.0
    coachings: coaching.Watch = field(init=False)

    def __post_init__(self) -> None:
        self.coachings = coaching.Watch(self.node, self.line)

    def end_lost_cores(self) -> int:
        """End the attempts that were sent to an earlier run of this switch: their calls died with it."""
        coaching.end_all(self.node, other_than=self.line.core_uuid)
        ended = _end_all(self.node, "switch_restarted", other_than=self.line.core_uuid)
        if ended:
            log.warning("Switch %s was started again; %d calls had ended with it, see the repairs.", self.node, ended)
        return ended

    def step(self, *, force: bool = False) -> None:
        """Look once, at most every two seconds: absent calls are ended, lone legs hung up."""
        if not force and time.monotonic() - self.last_step < EVERY:
            return
        self.last_step = time.monotonic()
        now = clock.now()
        attempts = list(
            Attempt.objects.live().filter(
                node=self.node, core_uuid=self.line.core_uuid, sending_at__lt=now - JUDGED_AFTER * clock.FACTOR
            )
        )
        self._hang_up_lone_legs(now)
        self._mind_unrung(now)
        self.coachings.step(now)
        present = self.line.existing(
            [leg for attempt in attempts for leg in (attempt.operator_uuid, attempt.subscriber_uuid)]
        )
        missed: dict[int, float] = {}
        gone: list[int] = []
        for attempt in attempts:
            if attempt.operator_uuid in present or attempt.subscriber_uuid in present:
                continue
            first = self.missed.get(attempt.pk, self.last_step)
            if self.last_step - first >= ASK_AGAIN_AFTER * 0.9:
                gone.append(attempt.pk)
            else:
                missed[attempt.pk] = first
        calls.for_each(gone, partial(calls.lose, kind="absent", at=self.node.last_event_at))
        self.missed = missed

    def _mind_unrung(self, now: datetime) -> None:
        """Ring for an answered subscriber whom the events forgot; give up an operator whose leg never came to be."""
        overdue = now - UNRUNG_AFTER * clock.FACTOR
        waiting = Attempt.objects.live().filter(
            node=self.node, connect_order=ConnectOrder.SUBSCRIBER_FIRST, subscriber_answered_at__lt=overdue,
            subscriber_ended_at__isnull=True, seeking_since__isnull=True, operator_ringing_at__isnull=True,
        )  # fmt: skip
        for attempt in waiting.filter(operator_sending_at__isnull=True):
            if (originate := calls.begin_ring(attempt.pk)) is not None:
                self.line.carry_out([originate])
        lost = list(waiting.filter(operator_sending_at__lt=overdue))
        present = self.line.existing([attempt.operator_uuid for attempt in lost]) if lost else set()
        absent = [attempt for attempt in lost if attempt.operator_uuid not in present]
        for attempt in absent:
            if attempt.operator_uuid in self.unrung and attempt.operator_job_uuid is not None:
                calls.ring_failed(attempt.pk, attempt.operator_job_uuid, "LOST")
        self.unrung = {attempt.operator_uuid for attempt in absent}

    def _hang_up_lone_legs(self, now: datetime) -> None:
        alone = now - LONE_LEG * clock.FACTOR
        gone: list[int] = []
        for attempt in Attempt.objects.live().filter(
            Q(operator_ended_at__lt=alone, subscriber_ended_at__isnull=True)
            | Q(subscriber_ended_at__lt=alone, operator_ended_at__isnull=True),
            node=self.node,
        ):
            leg = attempt.subscriber_uuid if attempt.operator_ended_at else attempt.operator_uuid
            if not self.line.kill(leg, "NORMAL_CLEARING"):
                gone.append(attempt.pk)
        calls.for_each(gone, partial(calls.lose, kind="lone_leg_absent", at=now))
