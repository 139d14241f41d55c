"""The transitions of a call: what the switch tells becomes the ledger, through guarded updates.

Each function here runs in a transaction and locks the rows of one attempt in the order operator, subscriber, number,
attempt. Events may come doubled, late, out of order or not at all: a later stage fills the earlier ones, an instant is
set once and comes from the event's own time stamp, and an attempt ends once, when both its legs are known to have
ended or never to have been.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import singledispatch
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from agents import actions as agents
from agents.models import Operator
from campaigns import actions as campaigns
from campaigns.models import Campaign
from dialer import clock, verbs
from dialer.engine import policy
from dialer.errors import Refused
from dialer.models import Attempt, KillReason, Node, Outcome, Repair, ResultState
from dialer.switch import events
from members import actions as members
from members.models import Communication, Member

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

log = logging.getLogger(__name__)

REFUSALS = frozenset(
    {"INVALID_GATEWAY", "INVALID_PROFILE", "CHAN_NOT_IMPLEMENTED", "SYSTEM_SHUTDOWN", "DESTINATION_OUT_OF_ORDER", "USAGE"}
)
"""Errors of a job without a channel by which the switch, not a person's phone, refused the call."""
GATEWAY_REFUSALS = frozenset({"INVALID_GATEWAY", "GATEWAY_DOWN"})
"""Of these the gateway is the culprit; of the other refusals, the node."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A leg that must be hung up once the transaction has committed."""

    leg: UUID
    cause: str


@dataclass(slots=True)
class Held:
    """An attempt and the rows it holds, all locked."""

    attempt: Attempt
    operator: Operator
    member: Member
    numbers: list[Communication]
    changed: set[str] = field(default_factory=set)
    kills: list[Kill] = field(default_factory=list)

    def set_once(self, name: str, value: Any) -> bool:
        """Set a field of the attempt that is still empty; return whether it was."""
        if value is None or getattr(self.attempt, name):
            return False
        setattr(self.attempt, name, value)
        self.changed.add(name)
        return True

    def save(self) -> None:
        """Write what was set."""
        if self.changed:
            self.attempt.save(update_fields=sorted(self.changed))
            self.changed.clear()

    @property
    def live(self) -> bool:
        return self.attempt.ended_at is None


@contextmanager
def held(attempt_id: int) -> Iterator[Held | None]:
    """Lock an attempt and what it holds, in a transaction; ``None`` when there is no such attempt. Four statements."""
    with transaction.atomic():
        ids = Attempt.objects.filter(pk=attempt_id).values_list("operator_id", "member_id").first()
        if ids is None:
            yield None
            return
        operator = Operator.objects.select_for_update(no_key=True).get(pk=ids[0])
        member = Member.objects.select_for_update(no_key=True).get(pk=ids[1])
        numbers = list(Communication.objects.select_for_update(no_key=True).filter(member=member).order_by("pk"))
        attempt = Attempt.objects.select_for_update(no_key=True).get(pk=attempt_id)
        rows = Held(attempt, operator, member, numbers)
        yield rows
        rows.save()


# --- events -----------------------------------------------------------------------------------------------------


def apply(event: events.SwitchEvent, node: Node) -> list[Kill]:
    """Apply one event of a call; return the legs to hang up. An event of no attempt of ours changes nothing."""
    attempt_id = _attempt_of(event)
    if attempt_id is None:
        return []
    with held(attempt_id) as rows:
        if rows is None:
            return []
        _apply(event, rows)
        if rows.live and rows.attempt.kill_reason and isinstance(event, events.LegCreated | events.LegAnswered):
            rows.kills.append(Kill(event.leg, "MANAGER_REQUEST"))  # the wish to hang up came before the leg
        return rows.kills


def _attempt_of(event: events.SwitchEvent) -> int | None:
    if isinstance(event, events.JobDone):
        found = Attempt.objects.filter(job_uuid=event.job_uuid)
    else:
        found = Attempt.objects.filter(Q(operator_uuid=event.leg) | Q(subscriber_uuid=event.leg))
    return found.values_list("pk", flat=True).first()


def _role(event: Any, rows: Held) -> str:
    return "operator" if event.leg == rows.attempt.operator_uuid else "subscriber"


@singledispatch
def _apply(event: Any, rows: Held) -> None:
    """Events that tell nothing of a call's course."""


@_apply.register
def _(event: events.LegCreated, rows: Held) -> None:
    if not rows.live:
        # It ended in our books, yet the switch has just begun it: nobody must talk on it.
        rows.kills.append(Kill(event.leg, "ORIGINATOR_CANCEL"))
        repair(rows.attempt, "late_leg", f"A leg of an ended attempt was created at {event.at:%H:%M:%S.%f} and hung up.")
        return
    if _role(event, rows) == "operator":
        rows.set_once("operator_ringing_at", event.at)
        agents.receiving(rows.operator.pk, rows.attempt.pk, event.at)
    else:
        _operator_answered(rows, event.at)
        rows.set_once("subscriber_created_at", event.at)


@_apply.register
def _(event: events.LegProgress, rows: Held) -> None:
    if rows.live and _role(event, rows) == "subscriber":
        rows.set_once("subscriber_created_at", event.at)
        rows.set_once("subscriber_ringing_at", event.at)


@_apply.register
def _(event: events.LegAnswered, rows: Held) -> None:
    if not rows.live:
        return
    if _role(event, rows) == "operator":
        _operator_answered(rows, event.at)
    else:
        rows.set_once("subscriber_created_at", event.at)
        rows.set_once("subscriber_answered_at", event.at)


@_apply.register
def _(event: events.LegBridged, rows: Held) -> None:
    if rows.live:
        _bridged(rows, event.at)


@_apply.register
def _(event: events.LegUnbridged, rows: Held) -> None:
    if rows.live and rows.attempt.bridged_at:
        rows.set_once("talk_ended_at", event.at)


@_apply.register
def _(event: events.JobDone, rows: Held) -> None:
    if not rows.live:
        return
    if event.ok:
        _operator_answered(rows, event.at)
    elif rows.attempt.operator_ringing_at is None:
        # No channel was ever created: the job alone tells how it ended.
        rows.set_once("operator_cause", event.cause)
        rows.set_once("operator_ended_at", event.at)
        end(rows, refused=event.cause in REFUSALS)


@_apply.register
def _(event: events.LegHungUp, rows: Held) -> None:
    if not rows.live:
        _correct(event, rows)
        return
    if event.bridged_at:
        _bridged(rows, event.bridged_at)
    if _role(event, rows) == "operator":
        if event.answered_at:
            _operator_answered(rows, event.answered_at)
        rows.set_once("operator_ringing_at", event.created_at or event.at)
        rows.set_once("operator_cause", event.cause)
        rows.set_once("operator_ended_at", event.at)
        _subscriber_from_operators_end(event, rows)
    else:
        rows.set_once("subscriber_created_at", event.created_at or event.at)
        rows.set_once("subscriber_answered_at", event.answered_at)
        rows.set_once("subscriber_cause", event.cause)
        rows.set_once("subscriber_ended_at", event.at)
    if rows.attempt.bridged_at:
        rows.set_once("talk_ended_at", event.at)
    end_if_over(rows)


def _subscriber_from_operators_end(event: events.LegHungUp, rows: Held) -> None:
    """Learn of a subscriber's leg whose own events were lost from what the operator's leg says of its bridge."""
    told = event.originate_disposition
    if rows.attempt.subscriber_created_at or not rows.attempt.operator_answered_at or not told:
        return
    if told in REFUSALS or told == "failure":
        return
    rows.set_once("subscriber_created_at", rows.attempt.operator_answered_at)
    repair(rows.attempt, "lost_events", f"The subscriber's leg is known from the operator's alone ({told}).")


def _operator_answered(rows: Held, at: datetime) -> None:
    rows.set_once("operator_ringing_at", at)
    if rows.set_once("operator_answered_at", at):
        agents.in_call(rows.operator.pk, rows.attempt.pk, at)


def _bridged(rows: Held, at: datetime) -> None:
    _operator_answered(rows, at)
    rows.set_once("subscriber_created_at", at)
    rows.set_once("subscriber_answered_at", at)
    rows.set_once("bridged_at", at)


def _correct(event: events.LegHungUp, rows: Held) -> None:
    """Let the late end of a leg correct what an ended attempt knows of it, with a row of repair; never its outcome."""
    role = _role(event, rows)
    if getattr(rows.attempt, f"{role}_cause"):
        return  # doubled
    rows.set_once(f"{role}_cause", event.cause)
    rows.set_once(f"{role}_ended_at", event.at)
    repair(rows.attempt, "late_end", f"The end of the {role}'s leg ({event.cause}) came after the attempt had ended.")


def repair(attempt: Attempt | None, kind: str, detail: str, node: Node | None = None) -> None:
    """Write a correction of the ledger where a supervisor can read it."""
    Repair.objects.create(at=clock.now(), attempt=attempt, node=node or (attempt.node if attempt else None), kind=kind, detail=detail)
    log.warning("Repair %s: %s", kind, detail, extra={"attempt": attempt.pk if attempt else None})


# --- ends -------------------------------------------------------------------------------------------------------


def end_if_over(rows: Held) -> bool:
    """End the attempt when both its legs are known to have ended or never to have been."""
    attempt = rows.attempt
    if attempt.operator_ended_at is None:
        return False
    if attempt.subscriber_created_at is not None and attempt.subscriber_ended_at is None:
        return False
    told = attempt.operator_cause if attempt.operator_answered_at and attempt.subscriber_created_at is None else ""
    return end(rows, refused=told in REFUSALS)


def withdraw(attempt_id: int, *, by: AbstractBaseUser | None = None, person: bool = False) -> bool:
    """End an attempt that was reserved and not sent; ``False`` when it was sent meanwhile, or has ended."""
    with held(attempt_id) as rows:
        if rows is None or not rows.live or rows.attempt.sending_at is not None:
            return False
        rows.set_once("kill_reason", KillReason.PERSON if person else KillReason.WITHDRAWN)
        rows.set_once("killed_by", by)
        return end(rows)


def lose(attempt_id: int, kind: str, *, at: datetime | None) -> bool:
    """End an attempt whose legs the switch no longer has, though no event told of their end; write a repair.

    ``at`` is the last instant at which they may have lived: a talk is reckoned to have lasted until then.
    """
    with held(attempt_id) as rows:
        if rows is None or not rows.live:
            return False
        attempt = rows.attempt
        known = [attempt.sending_at, attempt.operator_answered_at, attempt.subscriber_created_at, attempt.bridged_at]
        ended = max([instant for instant in (*known, at) if instant is not None], default=clock.now())
        if attempt.bridged_at:
            rows.set_once("talk_ended_at", attempt.subscriber_ended_at or attempt.operator_ended_at or ended)
        rows.set_once("operator_ended_at", ended)
        if attempt.subscriber_created_at:
            rows.set_once("subscriber_ended_at", ended)
        repair(attempt, kind, f"No event told of its end; it is reckoned to have ended at {ended:%Y-%m-%d %H:%M:%S} UTC.")
        return end(rows, lost=True)


def not_sent(attempt_id: int, reason: str, *, refused: bool) -> bool:
    """End an attempt whose command the switch did not take: nothing was dialled."""
    with held(attempt_id) as rows:
        if rows is None or not rows.live:
            return False
        rows.set_once("operator_cause", reason[:64])
        return end(rows, refused=refused, lost=not refused)
