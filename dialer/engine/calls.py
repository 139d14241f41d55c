"""The transitions of a call: what the switch tells becomes the ledger, through guarded updates.

Each function here runs in a transaction and locks the rows of one attempt in the order operator, subscriber, number,
attempt. Events may come doubled, late, out of order or not at all: a later stage fills the earlier ones, an instant is
set once and comes from the event's own time stamp, and an attempt ends once, when both its legs are known to have
ended or never to have been.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import singledispatch
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from uuid import UUID, uuid4

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q

from agents import actions as agents
from agents.models import Operator
from campaigns import actions as campaigns
from campaigns.fields import allowed_variables
from campaigns.models import Campaign, ConnectOrder
from dialer import clock, verbs
from dialer.engine import coaching, dispatch, nodes, plans, policy, results
from dialer.errors import Refused
from dialer.models import Attempt, CallRecord, KillReason, Node, OperatorTry, Outcome, Repair, ResultState
from dialer.switch import commands, events
from members import actions as members
from members.models import Communication, Member

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

log = logging.getLogger(__name__)
T = TypeVar("T")

GATEWAY_REFUSALS = frozenset({"INVALID_GATEWAY", "GATEWAY_DOWN", "NETWORK_OUT_OF_ORDER"})
"""Refusals whose culprit is the gateway; of the others it is the node."""
REFUSALS = GATEWAY_REFUSALS | {
    "INVALID_PROFILE",
    "CHAN_NOT_IMPLEMENTED",
    "SYSTEM_SHUTDOWN",
    "DESTINATION_OUT_OF_ORDER",
    "USAGE",
}
"""Errors without a channel by which the switch or a gateway, not a person's phone, refused the call."""
REFUSED_IN_A_ROW = 3
"""Calls with one operator that a switch which takes others may refuse before it is put down to his phone."""
LEFT_ALONE = timedelta(seconds=1)
"""How much later than the other a leg must end to have been left alone; two that end together differ by less."""
CREATED = {"operator": "operator_ringing_at", "subscriber": "subscriber_created_at"}
"""The instants at which the legs began."""


Order: TypeAlias = str | commands.Originate
"""A command on legs that exist, or one that begins a leg."""
CallEvent: TypeAlias = (
    events.LegCreated
    | events.LegProgress
    | events.LegAnswered
    | events.LegBridged
    | events.LegUnbridged
    | events.LegHungUp
    | events.JobDone
)


@dataclass(slots=True)
class Stage:
    """An attempt, locked, with its operator: enough for what does not end it."""

    attempt: Attempt
    operator: Operator
    changed: set[str] = field(default_factory=set)
    orders: list[Order] = field(default_factory=list)
    """Commands for the switch, to be sent once the transaction has committed."""

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

    def set(self, **values: Any) -> None:
        """Set fields of the attempt, whatever they hold."""
        for name, value in values.items():
            setattr(self.attempt, name, value)
        self.changed |= set(values)

    @property
    def live(self) -> bool:
        return self.attempt.ended_at is None

    @property
    def subscriber_first(self) -> bool:
        return self.attempt.connect_order == ConnectOrder.SUBSCRIBER_FIRST


@dataclass(slots=True, kw_only=True)
class Held(Stage):
    """An attempt and all the rows it holds, locked: what is needed to end it."""

    member: Member
    numbers: list[Communication]


@contextmanager
def _staged(attempt_id: int) -> Iterator[Stage]:
    """Lock an attempt and its operator, in a transaction. Two statements."""
    with transaction.atomic():
        attempt, operator = _lock_with_operator(attempt_id)
        rows = Stage(attempt, operator)
        yield rows
        rows.save()


@contextmanager
def held(attempt_id: int) -> Iterator[Held | None]:
    """Lock an attempt and what it holds, in a transaction; ``None`` when there is no such attempt. Five statements."""
    with transaction.atomic():
        ids = Attempt.objects.filter(pk=attempt_id).values_list("operator_id", "member_id").first()
        if ids is None:
            yield None
            return
        operator = Operator.objects.select_for_update(no_key=True).get(pk=ids[0])
        member = Member.objects.select_for_update(no_key=True).get(pk=ids[1])
        numbers = list(Communication.objects.select_for_update(no_key=True).filter(member=member).order_by("pk"))
        attempt = Attempt.objects.select_for_update(no_key=True).get(pk=attempt_id)
        if attempt.operator_id != operator.pk:
            # A pass gave it another one meanwhile; he is its own, so nobody else wants his row for long.
            operator = Operator.objects.select_for_update(no_key=True).get(pk=attempt.operator_id)
        rows = Held(attempt, operator, member=member, numbers=numbers)
        yield rows
        rows.save()


def for_each(items: Iterable[T], do: Callable[[T], bool]) -> int:
    """Do something with attempts, or what belongs to them, one by one; return how often it did anything.

    One with which it fails must not keep out those behind it: it is logged and left. Raises ``DatabaseError`` when the
    database does not answer.
    """
    done = 0
    for item in items:
        try:
            done += do(item)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("It could not be used or ended: %s", item)
    return done


def _lock_with_operator(attempt_id: int) -> tuple[Attempt, Operator]:
    of_attempt = Attempt.objects.filter(pk=attempt_id).values("operator_id")
    operator = Operator.objects.select_for_update(no_key=True).get(pk__in=of_attempt)
    attempt = Attempt.objects.select_for_update(no_key=True).get(pk=attempt_id)
    if attempt.operator_id != operator.pk:  # as in ``held``
        operator = Operator.objects.select_for_update(no_key=True).get(pk=attempt.operator_id)
    return attempt, operator


# --- events -----------------------------------------------------------------------------------------------------


def apply(event: CallEvent) -> list[Order]:
    """Apply one event of a call; return the commands that the switch must get for it, to be sent by the caller.

    An event of no attempt of ours changes nothing.
    """
    if not isinstance(event, events.JobDone) and event.role == "supervisor":
        return list(coaching.apply(event))
    attempt_id = _attempt_of(event)
    if attempt_id is None:
        return list(coaching.apply(event)) if isinstance(event, events.JobDone) else _of_an_earlier_try(event)
    if isinstance(event, events.LegHungUp) or (isinstance(event, events.JobDone) and not event.ok):
        with held(attempt_id) as rows:
            assert rows is not None  # attempts are never deleted
            if isinstance(event, events.LegHungUp):
                _hung_up(event, rows)
            else:
                _job_failed(event, rows)
            return rows.orders
    with _staged(attempt_id) as stage:
        _apply(event, stage)
        if stage.live and stage.attempt.kill_reason and isinstance(event, events.LegCreated | events.LegAnswered):
            # The wish to hang up came before the leg.
            stage.orders.append(commands.hang_up(event.leg, "MANAGER_REQUEST"))
        return stage.orders


def _attempt_of(event: CallEvent) -> int | None:
    if isinstance(event, events.JobDone):
        found = Attempt.objects.filter(Q(job_uuid=event.job_uuid) | Q(operator_job_uuid=event.job_uuid))
    else:
        found = Attempt.objects.filter(Q(operator_uuid=event.leg) | Q(subscriber_uuid=event.leg))
    return found.values_list("pk", flat=True).first()


def _of_an_earlier_try(event: CallEvent) -> list[Order]:
    """Hang up a leg of an operator who was given up, if it comes all the same: another one takes the subscriber."""
    if not isinstance(event, events.LegCreated | events.LegBridged):
        return []
    given_up = OperatorTry.objects.filter(uuid=event.leg).select_related("attempt").first()
    if given_up is None:
        return []
    repair(given_up.attempt, "late_leg", f"The leg of an operator who was given up came at {event.at:%H:%M:%S.%f}.")
    return [commands.hang_up(event.leg, "ORIGINATOR_CANCEL")]


def _role(event: Any, rows: Stage) -> str:
    return "operator" if event.leg == rows.attempt.operator_uuid else "subscriber"


@singledispatch
def _apply(event: Any, rows: Stage) -> None:
    """Events that tell nothing of a call's course."""


@_apply.register
def _(event: events.LegCreated, rows: Stage) -> None:
    if not rows.live:
        # It ended in our books, yet the switch has just begun it: nobody must talk on it.
        rows.orders.append(commands.hang_up(event.leg, "ORIGINATOR_CANCEL"))
        repair(
            rows.attempt, "late_leg", f"A leg of an ended attempt was created at {event.at:%H:%M:%S.%f} and hung up."
        )
        return
    rows.orders += _variables_to_set(rows.attempt, event.leg)
    if _role(event, rows) == "operator":
        rows.set_once("operator_ringing_at", event.at)
        agents.receiving(rows.attempt.operator_id, rows.attempt.pk, event.at)
        if rows.subscriber_first and rows.attempt.subscriber_ended_at:
            rows.orders.append(commands.hang_up(event.leg, "ORIGINATOR_CANCEL"))
    else:
        if not rows.subscriber_first:
            _operator_answered(rows, event.at)
        rows.set_once("subscriber_created_at", event.at)


def _variables_to_set(attempt: Attempt, leg: UUID) -> list[str]:
    """Return the commands that set on a leg what the originate string could not carry unchanged."""
    if not attempt.variables:
        return []
    try:
        found = commands.sort_variables(attempt.variables, allowed_variables())
    except ValueError as error:
        log.error("Variables of attempt %s: %s", attempt.pk, error, extra={"attempt": attempt.pk})
        return []
    return [commands.set_variable(leg, name, text) for name, text in found.by_setvar.items()]


@_apply.register
def _(event: events.LegProgress, rows: Stage) -> None:
    if rows.live and _role(event, rows) == "subscriber":
        rows.set_once("subscriber_created_at", event.at)
        rows.set_once("subscriber_ringing_at", event.at)


@_apply.register
def _(event: events.LegAnswered, rows: Stage) -> None:
    if not rows.live:
        return
    if _role(event, rows) == "operator":
        _operator_answered(rows, event.at)
    else:
        rows.set_once("subscriber_created_at", event.at)
        rows.set_once("subscriber_answered_at", event.at)


@_apply.register
def _(event: events.LegBridged, rows: Stage) -> None:
    if rows.live:
        _bridged(rows, event.at)


@_apply.register
def _(event: events.LegUnbridged, rows: Stage) -> None:
    if rows.live and rows.attempt.bridged_at:
        rows.set_once("talk_ended_at", event.at)


@_apply.register
def _(event: events.JobDone, rows: Stage) -> None:
    if not rows.live:
        return
    if rows.subscriber_first and event.job_uuid == rows.attempt.job_uuid:
        rows.set_once("subscriber_created_at", event.at)
        rows.set_once("subscriber_answered_at", event.at)
        # Not at CHANNEL_ANSWER: a leg that is taken over before its own job is done fails that job.
        if (originate := _begin_ring(rows)) is not None:
            rows.orders.append(originate)
    else:
        _operator_answered(rows, event.at)


def _job_failed(event: events.JobDone, rows: Held) -> None:
    # Where there was a channel its own end tells more, and has come or will come.
    if not rows.live:
        return
    if not rows.subscriber_first:
        if rows.attempt.operator_ringing_at is None:
            rows.set_once("operator_cause", event.cause)
            rows.set_once("operator_ended_at", event.at)
            end(rows, refused=event.cause in REFUSALS and not _is_his_phones(event.cause, rows.attempt))
    elif event.job_uuid == rows.attempt.operator_job_uuid:
        if rows.attempt.operator_ringing_at is None:
            _operator_gone(rows, event.cause, event.at, refused=event.cause in REFUSALS)
    elif rows.attempt.subscriber_created_at is None:
        rows.set_once("subscriber_cause", event.cause)
        end(rows, refused=True)


def _is_his_phones(cause: str, attempt: Attempt) -> bool:
    """Tell whether an operator's own phone is what refuses, in the words of a full switch: always his calls, while
    those of others ring."""
    before = Attempt.objects.ended().filter(operator=attempt.operator_id, node=attempt.node_id).order_by("-pk")
    last = list(before.values_list("pk", "operator_cause", "operator_ringing_at")[:REFUSED_IN_A_ROW])
    if cause not in nodes.LIMITS or [row[1:] for row in last] != [(cause, None)] * REFUSED_IN_A_ROW:
        return False
    return Attempt.objects.filter(pk__gt=last[-1][0], node=attempt.node_id, operator_ringing_at__isnull=False).exists()


def _hung_up(event: events.LegHungUp, rows: Held) -> None:
    if not rows.live:
        _correct(event, rows)
        return
    attempt = rows.attempt
    if _role(event, rows) == "operator":
        rows.set_once("operator_ringing_at", event.created_at or event.at)
        if event.answered_at:
            _operator_answered(rows, event.answered_at)
        if event.bridged_at:
            _bridged(rows, event.bridged_at)
        if rows.subscriber_first and not attempt.bridged_at:
            _operator_gone(rows, event.cause, event.at)
            return
        rows.set_once("operator_cause", event.cause)
        rows.set_once("operator_ended_at", event.at)
        if not rows.subscriber_first:
            _subscriber_from_operators_end(event, rows)
        if event.sent_on and attempt.bridged_at:
            # He sent the subscriber on: that talk is none of ours, and nobody takes the leg for a lone one.
            rows.set_once("subscriber_cause", event.sent_on)
            rows.set_once("subscriber_ended_at", event.at)
    else:
        rows.set_once("subscriber_created_at", event.created_at or event.at)
        rows.set_once("subscriber_answered_at", event.answered_at)
        if event.bridged_at:
            _bridged(rows, event.bridged_at)
        rows.set_once("subscriber_cause", event.cause)
        rows.set_once("subscriber_ended_at", event.at)
        if rows.subscriber_first and attempt.operator_sending_at and not attempt.operator_ended_at:
            # Bridged, he goes by himself; ringing, he would ring on for nobody.
            rows.orders += [] if attempt.bridged_at else [commands.hang_up(attempt.operator_uuid, "ORIGINATOR_CANCEL")]
    if event.by_phone:
        rows.set_once("ended_by", _role(event, rows))
    if attempt.bridged_at:
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


def _operator_answered(rows: Stage, at: datetime) -> None:
    rows.set_once("operator_ringing_at", at)
    if rows.set_once("operator_answered_at", at):
        agents.in_call(rows.attempt.operator_id, rows.attempt.pk, at)


def _bridged(rows: Stage, at: datetime) -> None:
    _operator_answered(rows, at)
    rows.set_once("subscriber_created_at", at)
    rows.set_once("subscriber_answered_at", at)
    if rows.set_once("bridged_at", at):
        verbs.tell_operators(rows.attempt.operator_id)


def _correct(event: events.LegHungUp, rows: Held) -> None:
    """Let the late end of a leg complete what an ended attempt knows, with a row of repair; never its outcome."""
    role, attempt = _role(event, rows), rows.attempt
    if _is_known(role, attempt):
        return  # doubled
    dialled, bridged, talked = attempt.subscriber_created_at, attempt.bridged_at, round(attempt.talk_seconds)
    reckoned = getattr(attempt, f"{role}_ended_at")
    rows.set(**{f"{role}_cause": event.cause, f"{role}_ended_at": event.at})
    rows.set_once(CREATED[role], event.created_at or event.at)
    rows.set_once(f"{role}_answered_at", event.answered_at)
    if event.by_phone:
        rows.set_once("ended_by", role)
    if event.bridged_at:
        _bridged(rows, event.bridged_at)
    if attempt.bridged_at:
        if attempt.talk_ended_at in (None, reckoned):
            rows.set(talk_ended_at=event.at)
        more = round(attempt.talk_seconds) - talked
        agents.correct_talk(attempt.operator_id, more, calls=0 if bridged else 1)
    if attempt.subscriber_created_at and not dialled:
        members.count_late_try(attempt.communication_id, attempt.pk)
    told = f"The end of the {role}'s leg ({event.cause}) came after the attempt had ended."
    if attempt.bridged_at and not bridged:
        told += f" It had been a talk of {attempt.talk_seconds:.0f} s."
    repair(attempt, "late_end", told)


def _is_known(role: str, attempt: Attempt) -> bool:
    """Tell whether the ledger has a leg and its end."""
    return bool(getattr(attempt, f"{role}_cause") and getattr(attempt, CREATED[role]))


def is_known(record: CallRecord, attempt: Attempt) -> bool:
    """Tell whether the ledger has what a record tells; an operator who was given up has been let go, whatever it is."""
    if record.uuid not in (attempt.operator_uuid, attempt.subscriber_uuid):
        return True
    return _is_known("operator" if record.uuid == attempt.operator_uuid else "subscriber", attempt)


def apply_record(record: CallRecord) -> bool:
    """Apply the end of a leg that its record tells, with a row of repair; ``False`` when the ledger has it already."""
    with held(record.attempt_id) as rows:
        assert rows is not None  # attempts are never deleted
        return _apply_record(record, rows)


def _is_closed_by_records(rows: Held) -> bool:
    for record in CallRecord.objects.filter(attempt=rows.attempt).order_by("-role"):  # as ``records.settle``
        _apply_record(record, rows)
    return not rows.live


def _apply_record(record: CallRecord, rows: Held) -> bool:
    if is_known(record, rows.attempt):
        return False
    if rows.live:
        repair(rows.attempt, "record", f"The record of the {record.role}'s leg told of its end ({record.cause}).")
    _hung_up(
        events.LegHungUp(
            at=record.ended_at, core_uuid=record.core_uuid, leg=record.uuid, attempt_id=None, role=None,
            cause=record.cause, created_at=record.created_at, progress_at=None, answered_at=record.answered_at,
            bridged_at=record.bridged_at, originate_disposition=record.originate_disposition,
            last_bridge_hangup_cause="", by_phone=record.by_phone,
        ),
        rows,
    )  # fmt: skip
    if record.uuid in (rows.attempt.operator_uuid, rows.attempt.subscriber_uuid):
        # Until now they may have been reckoned from what the other leg's record told of the bridge.
        rows.set(**{CREATED[record.role]: record.created_at})
        if record.answered_at:
            rows.set(**{f"{record.role}_answered_at": record.answered_at})
    return True


def repair(
    attempt: Attempt | None, kind: str, detail: str, node: Node | None = None, *, level: int = logging.WARNING
) -> None:
    """Write a correction of the ledger where a supervisor can read it, and log it."""
    Repair.objects.create(
        at=clock.now(), attempt=attempt, node=node or (attempt.node if attempt else None), kind=kind, detail=detail
    )
    log.log(level, "Repair %s: %s", kind, detail, extra={"attempt": attempt.pk if attempt else None})


# --- subscriber first -------------------------------------------------------------------------------------------


def begin_ring(attempt_id: int) -> commands.Originate | None:
    """Note that the operator of an answered subscriber is rung now; return the command, to be sent once.

    ``None`` when there is nobody to ring for: the attempt or the subscriber's leg has ended, or he is rung already.
    """
    with _staged(attempt_id) as rows:
        return _begin_ring(rows)


def _begin_ring(rows: Stage) -> commands.Originate | None:
    attempt, now = rows.attempt, clock.now()
    if not rows.live or attempt.kill_reason or attempt.operator_sending_at or attempt.seeking_since:
        return None
    if attempt.subscriber_answered_at is None or attempt.subscriber_ended_at:
        return None
    left = policy.seconds_left(attempt.subscriber_answered_at, attempt.answer_window or 0, now)
    if left < 1:
        _seek(rows, "ALLOTTED_TIMEOUT", now, by_others=True)
        return None
    rows.set_once("operator_job_uuid", uuid4())
    rows.set(operator_sending_at=now, operator_timeout=min(attempt.operator_timeout, left))
    try:
        return plans.ring(attempt)
    except ValueError as error:
        log.error("The operator of attempt %s cannot be rung: %s", attempt.pk, error, extra={"attempt": attempt.pk})
        _seek(rows, policy.NOT_SAYABLE, now, by_others=True)
        return None


def ring_failed(attempt_id: int, job_uuid: UUID, cause: str) -> None:
    """Give up an operator whose ringing never began, or of whose leg nothing is known; the next one is sought."""
    with held(attempt_id) as rows:
        if rows is not None and rows.live and rows.attempt.operator_job_uuid == job_uuid:
            _operator_gone(rows, cause, clock.now(), refused=cause in REFUSALS, by_others=True)


def _operator_gone(rows: Held, cause: str, at: datetime, *, refused: bool = False, by_others: bool = False) -> None:
    """An operator who was rung for an answered subscriber did not take him: the next one, while he is there."""
    attempt = rows.attempt
    if refused:
        gateway_id, tried_at, now = attempt.operator_gateway_id, attempt.operator_sending_at, clock.now()
        transaction.on_commit(lambda: _block(attempt.node, gateway_id, cause, tried_at, now), robust=True)
    if attempt.subscriber_ended_at is None and not attempt.kill_reason:
        _seek(rows, cause, at, by_others=by_others or refused)
        return
    rows.set_once("operator_cause", cause)
    rows.set_once("operator_ended_at", at)
    end_if_over(rows)


def _seek(rows: Stage, cause: str, at: datetime, *, by_others: bool) -> None:
    """Let the operator go; until the answer window is over the next pass brings another one."""
    attempt, now = rows.attempt, clock.now()
    OperatorTry.objects.create(
        attempt=attempt,
        operator_id=attempt.operator_id,
        uuid=attempt.operator_uuid,
        job_uuid=attempt.operator_job_uuid,
        gateway_id=attempt.operator_gateway_id,
        capacity_then=attempt.operator_capacity_then,
        reserved_at=attempt.operator_reserved_at or attempt.reserved_at,
        sending_at=attempt.operator_sending_at,
        ringing_at=attempt.operator_ringing_at,
        answered_at=attempt.operator_answered_at,
        ended_at=min(at, now),  # as in ``end``
        cause=cause[:64],
    )
    attempt.operator_cause, attempt.operator_ended_at = cause[:64], at
    _release_operator(rows, hold_until=None, ended_by_others=by_others, now=now)
    rows.set(
        seeking_since=at,
        operator_uuid=uuid4(),
        operator_job_uuid=None,
        operator_gateway_id=None,
        operator_capacity_then=None,
        operator_reserved_at=None,
        operator_sending_at=None,
        operator_ringing_at=None,
        operator_answered_at=None,
        operator_ended_at=None,
        operator_cause="",
    )
    verbs.wake()


# --- ends -------------------------------------------------------------------------------------------------------


def end_if_over(rows: Held) -> bool:
    """End the attempt when both its legs are known to have ended or never to have been."""
    attempt = rows.attempt
    if rows.subscriber_first:
        rung = attempt.operator_sending_at is not None
        over = attempt.subscriber_ended_at is not None and (not rung or attempt.operator_ended_at is not None)
        return over and end(rows, lost=attempt.subscriber_cause == "SYSTEM_SHUTDOWN")
    if attempt.operator_ended_at is None:
        return False
    if attempt.subscriber_created_at is not None and attempt.subscriber_ended_at is None:
        return False
    # Until he answers any other cause may be his own phone's.
    refusals = REFUSALS if attempt.operator_answered_at else {"SYSTEM_SHUTDOWN"}
    refused = attempt.subscriber_created_at is None and attempt.operator_cause in refusals
    return end(rows, refused=refused, lost=attempt.subscriber_cause == "SYSTEM_SHUTDOWN")


def end(rows: Held, *, refused: bool = False, lost: bool = False) -> bool:
    """End a live attempt, once: decide by the rules, and let the operator and the subscriber go.

    ``refused``: the switch or a gateway did not take the call; it gets none for a while. ``lost``: we failed.
    """
    attempt, member = rows.attempt, rows.member
    if not rows.live:
        return False
    now = clock.now()
    ended_at = max(filter(None, (attempt.operator_ended_at, attempt.subscriber_ended_at)), default=now)
    if attempt.sending_at:
        # A switch reads its clock in ticks of 20 ms: what fails at once seems to have ended before it was sent.
        ended_at = max(ended_at, attempt.sending_at)
    ended_at = min(ended_at, now)  # a switch's clock may be ahead of ours, and the next call may be reserved now
    campaign = Campaign.objects.prefetch_related("causes").get(pk=attempt.campaign_id)
    decision = policy.decide_end(
        _attempt_facts(attempt, ended_at, lost=lost), member_facts(rows), rules_of(campaign), now
    )
    stored = attempt.result_state == ResultState.STORED
    awaits = decision.outcome == Outcome.AWAITING_RESULT
    if awaits and not stored:
        attempt.result_state, attempt.result_deadline = ResultState.AWAITED, decision.result_deadline
    attempt.cause = decision.cause[:64]
    attempt.outcome = decision.outcome
    attempt.counted = decision.counted
    attempt.ended_at = ended_at
    rows.changed |= {"cause", "outcome", "counted", "ended_at", "result_state", "result_deadline"}
    if not attempt.bridged_at:
        rows.set(recording="")
    rows.save()
    if attempt.seeking_since is None:  # else he was let go before
        waits = awaits and not stored and campaign.wrap_up_until_result
        hold_until = attempt.result_deadline if waits else None
        _release_operator(rows, hold_until=hold_until, ended_by_others=refused or lost, now=now)
    members.let_go(
        member.pk,
        attempt.pk,
        now=now,
        communication_id=attempt.communication_id,
        tried=attempt.subscriber_created_at is not None,
        counted=decision.counted,
        minus_in_row=decision.minus_in_row,
        stop_number_cause=decision.stop_number_cause,
        end_cause=decision.end_cause,
        success=decision.success,
        not_before=decision.not_before,
        await_result=awaits,
    )
    if awaits and stored:
        results.apply_stored(rows, campaign)
    if attempt.outcome == Outcome.ABANDONED:
        verbs.send("dialer.engine.tasks.mind_abandonment")
    # After commit: gateways are locked before operators everywhere.
    if refused:
        transaction.on_commit(lambda: _block_the_culprit(attempt, now), robust=True)
    elif attempt.subscriber_ringing_at or attempt.subscriber_answered_at:
        transaction.on_commit(lambda: _unblock(attempt), robust=True)
    verbs.wake()
    log.info(
        "attempt ended",
        extra={
            "attempt": attempt.pk,
            "campaign": attempt.campaign_id,
            "call_uuid": str(attempt.subscriber_uuid),
            "cause": attempt.cause,
            "outcome": attempt.outcome,
        },
    )
    return True


def _attempt_facts(attempt: Attempt, ended_at: datetime, *, lost: bool) -> policy.AttemptFacts:
    return policy.AttemptFacts(
        operator_cause=attempt.operator_cause,
        subscriber_cause=attempt.subscriber_cause,
        subscriber_created=attempt.subscriber_created_at is not None,
        subscriber_answered=attempt.subscriber_answered_at is not None,
        bridged=attempt.bridged_at is not None,
        talk_seconds=attempt.talk_seconds,
        subscriber_ended_at=attempt.subscriber_ended_at,
        ended_at=ended_at,
        operator_left=_operator_left(attempt),
        killed_by_person=attempt.kill_reason == KillReason.PERSON,
        withdrawn=attempt.sending_at is None or attempt.kill_reason == KillReason.WITHDRAWN,
        lost=lost,
        subscriber_first=attempt.connect_order == ConnectOrder.SUBSCRIBER_FIRST,
        result_stored=attempt.result_state == ResultState.STORED,
    )


def _operator_left(attempt: Attempt) -> bool:
    """Tell whether the operator's leg ended by itself while the subscriber's phone rang.

    The subscriber's then ends with it, or is hung up once it was left alone.
    """
    if attempt.connect_order == ConnectOrder.SUBSCRIBER_FIRST:
        return False
    if attempt.operator_answered_at is None or attempt.bridged_at or attempt.kill_reason != KillReason.NONE:
        return False
    if attempt.subscriber_cause == "ORIGINATOR_CANCEL":
        return attempt.operator_cause != "ORIGINATOR_CANCEL"
    operator_ended, subscriber_ended = attempt.operator_ended_at, attempt.subscriber_ended_at
    return bool(operator_ended and subscriber_ended and subscriber_ended - operator_ended > LEFT_ALONE)


def member_facts(rows: Held) -> policy.MemberFacts:
    member = rows.member
    return policy.MemberFacts(
        counted=member.counted,
        minus_in_row=member.minus_in_row,
        extra_attempts=member.extra_attempts,
        active_numbers=sum(not number.stopped for number in rows.numbers),
        dialled_active=any(n.pk == rows.attempt.communication_id and not n.stopped for n in rows.numbers),
        expire_at=member.expire_at,
        end_requested=member.end_requested,
    )


def rules_of(campaign: Campaign) -> policy.Rules:
    """Return a campaign's rules of ends; its causes must be prefetched, or cost a query."""
    return policy.Rules(
        retry_wait=campaign.retry_wait,
        max_retries=campaign.max_retries,
        min_duration=campaign.min_duration,
        wait_for_result=campaign.wait_for_result,
        wrap_up_time=campaign.wrap_up_time,
        minus_limit=campaign.minus_limit,
        error_stops_number_only=campaign.error_stops_number_only,
        treatments={rule.cause: rule.treatment for rule in campaign.causes.all()},
    )


def _release_operator(rows: Stage, *, hold_until: datetime | None, ended_by_others: bool, now: datetime) -> None:
    attempt, operator = rows.attempt, rows.operator
    at = attempt.operator_ended_at or attempt.ended_at or now
    decision = policy.decide_operator(
        policy.OperatorFacts(
            wrap_up_time=operator.wrap_up_time,
            max_no_answer=operator.max_no_answer,
            busy_delay=operator.busy_delay,
            reject_delay=operator.reject_delay,
            no_answer_delay=operator.no_answer_delay,
            no_answer_count=operator.no_answer_count,
            answered=attempt.operator_answered_at is not None,
            bridged=attempt.bridged_at is not None,
            cause=attempt.operator_cause,
            ended_at=at,
            left=_operator_left(attempt),
            registers=not operator.contact,
            ended_by_others=ended_by_others or attempt.kill_reason != KillReason.NONE or attempt.sending_at is None,
            hold_until=hold_until,
        )
    )
    agents.release(
        operator.pk,
        attempt.pk,
        now=now,
        at=at,
        state=decision.state,
        wrap_up_until=decision.wrap_up_until,
        ready_at=decision.ready_at,
        no_answer_count=decision.no_answer_count,
        forced_break=decision.forced_break,
        bridged=attempt.bridged_at is not None,
        talk_seconds=attempt.talk_seconds,
    )
    if (
        attempt.operator_cause in policy.NOT_REGISTERED
        and not attempt.operator_answered_at
        and attempt.node_id is not None
    ):
        # The switch knows better than our books: he gets no calls there until he registers again.
        agents.set_registered(operator.extension, attempt.node_id, False, at)


def _block_the_culprit(attempt: Attempt, now: datetime) -> None:
    reason = attempt.operator_cause or attempt.subscriber_cause or "refused"
    # Until he answers it is the operator's own leg that was refused; only an outside operator's takes a gateway.
    dialled = attempt.operator_answered_at or attempt.connect_order == ConnectOrder.SUBSCRIBER_FIRST
    gateway_id = attempt.gateway_id if dialled else attempt.operator_gateway_id
    _block(attempt.node, gateway_id, reason, attempt.operator_answered_at or attempt.sending_at, now)


def _block(node: Node | None, gateway_id: int | None, reason: str, tried_at: datetime | None, now: datetime) -> None:
    if reason in GATEWAY_REFUSALS and gateway_id is not None:
        campaigns.block_gateway(gateway_id, reason, now)
    elif node is not None:
        nodes.refused(node, reason, tried_at, now)


def _unblock(attempt: Attempt) -> None:
    rang_at = attempt.subscriber_ringing_at or attempt.subscriber_answered_at
    campaigns.unblock_gateway(attempt.gateway_id, rang_at)
    if attempt.operator_gateway_id is not None:
        campaigns.unblock_gateway(attempt.operator_gateway_id, attempt.operator_ringing_at)


def withdraw(attempt_id: int, *, by: AbstractBaseUser | AnonymousUser | None = None, person: bool = False) -> bool:
    """End an attempt that was reserved and not sent; ``False`` when it was sent meanwhile, or has ended."""
    with held(attempt_id) as rows:
        if rows is None or not rows.live or rows.attempt.sending_at is not None:
            return False
        rows.set_once("kill_reason", KillReason.PERSON if person else KillReason.WITHDRAWN)
        rows.set_once("killed_by", by)
        return end(rows)


def lose(attempt_id: int, kind: str, *, at: datetime | None, level: int = logging.WARNING) -> bool:
    """End an attempt whose legs the switch no longer has, though no event told of their end; write a repair.

    What its records tell comes first. ``at`` is the last instant at which its legs may have lived: a talk of whose end
    nothing tells is reckoned to have lasted until then.
    """
    with held(attempt_id) as rows:
        if rows is None or not rows.live:
            return False
        attempt = rows.attempt
        if _is_closed_by_records(rows):
            return True
        known = (
            attempt.sending_at,
            attempt.operator_answered_at,
            attempt.subscriber_created_at,
            attempt.bridged_at,
            at,
        )
        ended = max(filter(None, known), default=clock.now())
        if attempt.bridged_at:
            rows.set_once("talk_ended_at", attempt.subscriber_ended_at or attempt.operator_ended_at or ended)
        if not rows.subscriber_first or attempt.operator_sending_at:
            rows.set_once("operator_ended_at", ended)
        if attempt.subscriber_created_at:
            rows.set_once("subscriber_ended_at", ended)
        detail = f"No event told of its end; it is reckoned to have ended at {ended:%Y-%m-%d %H:%M:%S} UTC."
        repair(attempt, kind, detail, level=level)
        # What the subscriber's own leg told holds, whatever became of the operator's.
        return end(rows, lost=attempt.subscriber_cause in ("", "SYSTEM_SHUTDOWN"))


def not_sent(attempt_id: int, reason: str, *, refused: bool) -> bool:
    """End an attempt whose command the switch did not take: nothing was dialled."""
    with held(attempt_id) as rows:
        if rows is None or not rows.live:
            return False
        rows.set_once("subscriber_cause" if rows.subscriber_first else "operator_cause", reason[:64])
        return end(rows, refused=refused, lost=not refused)


# --- what people ask --------------------------------------------------------------------------------------------


def hang_up(attempt_id: int, *, by: AbstractBaseUser | AnonymousUser | None = None) -> None:
    """End a live call on a person's request: withdrawn when it was not sent yet, else its legs are hung up.

    Raises ``Refused`` (ENDED) when it is over.
    """
    if withdraw(attempt_id, by=by, person=True):
        return
    with held(attempt_id) as rows:
        if rows is None or not rows.live:
            raise Refused("ENDED", "This call is over.")
        rows.set_once("kill_reason", KillReason.PERSON)
        rows.set_once("kill_sent_at", clock.now())
        rows.set_once("killed_by", by)
    verbs.send("dialer.engine.tasks.hang_up", attempt_id)


def withdraw_unsent(*, campaign_id: int | None = None, operator_id: int | None = None) -> int:
    """End the attempts of a campaign or operator that are reserved and not yet sent; return how many."""
    found = Attempt.objects.live().filter(sending_at__isnull=True).order_by("operator_id")
    if campaign_id is not None:
        found = found.filter(campaign=campaign_id)
    if operator_id is not None:
        found = found.filter(operator=operator_id)
    return sum(withdraw(attempt_id) for attempt_id in list(found.values_list("pk", flat=True)))


def withdraw_number(digits: Collection[str], *, campaign_id: int | None = None) -> int:
    """End the attempts on these numbers whose subscriber's leg does not exist yet; return how many.

    Takes the pass lock: until the caller's transaction ends no pass claims, so that what it writes holds for every
    later claim. What was sent already is hung up; should the leg appear all the same, the listener hangs it up.
    """
    dispatch.lock_pass()
    found = Attempt.objects.live().filter(digits__in=digits, subscriber_created_at__isnull=True).order_by("operator_id")
    if campaign_id is not None:
        found = found.filter(campaign=campaign_id)
    ended = 0
    for attempt_id in list(found.values_list("pk", flat=True)):
        if withdraw(attempt_id):
            ended += 1
            continue
        with held(attempt_id) as rows:
            if rows is not None and rows.live and rows.attempt.subscriber_created_at is None:
                rows.set_once("kill_reason", KillReason.WITHDRAWN)
                rows.set_once("kill_sent_at", clock.now())
                verbs.send("dialer.engine.tasks.hang_up", attempt_id)
                ended += 1
    return ended


def legs_of(attempt_id: int) -> tuple[str | None, list[UUID]]:
    """Return the name of the switch of a live attempt and its legs, the operator's first; none when it is over."""
    live = Attempt.objects.live().filter(pk=attempt_id)
    found = live.values_list("node__name", "operator_uuid", "subscriber_uuid").first()
    return (found[0], [found[1], found[2]]) if found else (None, [])
