"""Supervisors on calls: one listens, whispers to the operator or speaks to both, by a leg of his own.

His phone is rung, and when he answers his leg hears that of the operator. It belongs to no attempt, takes no line of a
campaign, and changes nothing of the call; the call's end ends it. What a supervisor wishes is written first and done
after commit; ``act`` reads what is wished for under the row's lock, so that the last wish holds whatever overtakes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from agents.models import Operator
from dialer import clock, verbs
from dialer.errors import Refused
from dialer.esl.client import Outcome
from dialer.esl.errors import EslError
from dialer.models import Attempt, Coaching, CoachingMode, Node
from dialer.switch import commands, events
from dialer.switch.nodes import configured, placer

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

    from dialer.switch.nodes import Line, Placer

log = logging.getLogger(__name__)

RINGS_FOR = 20
"""Seconds for which a supervisor's phone rings."""
SENT_WITHIN = timedelta(seconds=10)
"""Real time after which one that was asked for and not sent is given up."""
JUDGED_AFTER = timedelta(seconds=3)
"""Real time after sending before which a leg is not looked for."""

Told: TypeAlias = (
    events.LegCreated
    | events.LegProgress
    | events.LegAnswered
    | events.LegBridged
    | events.LegUnbridged
    | events.LegHungUp
    | events.JobDone
)


# --- what supervisors ask ---------------------------------------------------------------------------------------


def coach(attempt_id: int, mode: str, *, by: AbstractBaseUser, extension: str = "") -> Coaching:
    """Ring a supervisor's phone to let him on a call, or change how he is on it; returns what was noted.

    His phone is ``extension``, or else that of the operator who he is himself. Raises ``ValidationError``,
    ``DoesNotExist``, or ``Refused``: NOT_TALKING, OWN_CALL, COACHING (he is on another call), PHONE_TAKEN.
    """
    if mode not in CoachingMode.values:
        raise ValidationError({"mode": _("One of %s.") % ", ".join(CoachingMode.values)})
    with transaction.atomic():
        attempt = Attempt.objects.select_related("operator").get(pk=attempt_id)
        his = Coaching.objects.live().select_for_update(no_key=True).filter(supervisor=by.pk).first()
        if his is not None and his.attempt_id == attempt_id and his.stopped_at is None:
            _change(his, CoachingMode(mode))
            return his
        if his is not None:
            raise Refused("COACHING", _("Your phone is still on a call: stop that first."))
        if attempt.ended_at or attempt.bridged_at is None or attempt.talk_ended_at or attempt.node_id is None:
            raise Refused("NOT_TALKING", _("The two do not talk: nobody can be listened to."))
        if attempt.operator.user_id == by.pk:
            raise Refused("OWN_CALL", _("This call is your own."))
        return _begin(attempt, CoachingMode(mode), by, phone_of(by, extension))


def phone_of(by: AbstractBaseUser, typed: str = "") -> str:
    """Return the extension on which a supervisor hears calls: the one he typed, or his own as an operator.

    Raises ``ValidationError`` at ``extension`` when there is none, or when it is the phone of another operator.
    """
    his = Operator.objects.filter(user=by.pk, archived=False).first()
    extension = typed.strip() or (his.extension if his is not None and not his.contact else "")
    if not extension:
        told = _("Which phone shall ring? Write the extension that your phone registers as.")
        raise ValidationError({"extension": told})
    try:
        Operator._meta.get_field("extension").run_validators(extension)
        commands.extension_dial(extension)
    except (ValidationError, ValueError):
        raise ValidationError({"extension": _("Letters, digits, “_”, “.” and “-” only, 32 at most.")}) from None
    other = Operator.objects.filter(extension=extension, archived=False).exclude(user=by.pk).first()
    if other is not None:
        told = _("%(extension)s is the phone of the operator %(name)s: write your own.")
        raise ValidationError({"extension": told % {"extension": extension, "name": other.name}})
    return extension


def _begin(attempt: Attempt, mode: CoachingMode, by: AbstractBaseUser, extension: str) -> Coaching:
    now = clock.now()
    try:
        with transaction.atomic():
            row = Coaching.objects.create(
                attempt=attempt,
                supervisor_id=by.pk,
                extension=extension,
                mode=mode,
                modes=[[mode, now.isoformat()]],
                target_uuid=attempt.operator_uuid,
                node_id=attempt.node_id,
                core_uuid=attempt.core_uuid,
                asked_at=now,
            )
    except IntegrityError:
        raise Refused("PHONE_TAKEN", _("The phone %s is on a call already.") % extension) from None
    verbs.send("dialer.engine.tasks.coach", row.pk)
    log.info("coaching asked for", extra={"attempt": attempt.pk, "mode": mode, "user": by.pk})
    return row


def _change(row: Coaching, mode: CoachingMode) -> None:
    if row.mode == mode:
        return
    row.mode = mode
    row.modes = [*row.modes, [mode, clock.now().isoformat()]]
    row.save(update_fields=["mode", "modes"])
    _tell(row)
    verbs.send("dialer.engine.tasks.coach", row.pk)


def stop(attempt_id: int, *, by: AbstractBaseUser) -> None:
    """Take a supervisor off a call. Raises ``Refused`` (NOT_COACHING) when he is not on it."""
    with transaction.atomic():
        live = Coaching.objects.live().select_for_update(no_key=True)
        row = live.filter(supervisor=by.pk, attempt=attempt_id).first()
        if row is None:
            raise Refused("NOT_COACHING", _("You are not on this call."))
        if row.sending_at is None:
            _end(row, "MANAGER_REQUEST", clock.now())
            return
        row.stopped_at = row.stopped_at or clock.now()
        row.save(update_fields=["stopped_at"])
        verbs.send("dialer.engine.tasks.coach", row.pk)


# --- what the switch is told ------------------------------------------------------------------------------------


def act(coaching_id: int) -> None:
    """Bring the switch to what is wished for: ring, speak otherwise, hang up. Nothing is rung twice."""
    row = Coaching.objects.live().select_related("attempt", "node", "supervisor").filter(pk=coaching_id).first()
    if row is None:
        return
    switch = next((switch for switch in configured() if row.node and switch.name == row.node.name), None)
    if switch is None:
        _finish(row.pk, "SWITCH_NOT_CONFIGURED")
    elif row.sending_at is None:
        _place(row, placer(switch))
    else:
        try:
            _adjust(row.pk, placer(switch).line())
        except EslError as error:
            log.error("Coaching %s could not be changed: %s", row.pk, error, extra={"attempt": row.attempt_id})


def _place(row: Coaching, held: Placer) -> None:
    if row.attempt.ended_at:
        _finish(row.pk, "CALL_ENDED")
        return
    plan = commands.CoachPlan(
        coaching_id=row.pk,
        job_uuid=row.job_uuid,
        leg_uuid=row.leg_uuid,
        target_uuid=row.target_uuid,
        extension=row.extension,
        mode=row.mode,
        caller_name=row.attempt.operator.name,
        timeout=RINGS_FOR,
    )
    unsent = Coaching.objects.live().filter(pk=row.pk, sending_at__isnull=True, mode=row.mode)
    if not unsent.update(sending_at=clock.now()):
        # Another task sends it, or the wish has changed: its own task is on the way.
        return
    (reply,) = held.place([commands.coach(plan)], core=row.core_uuid)
    if reply.outcome in (Outcome.NOT_SENT, Outcome.REFUSED):
        log.error("Coaching %s was not sent: %s", row.pk, reply.text, extra={"attempt": row.attempt_id})
        _finish(row.pk, reply.outcome.name)


def _adjust(coaching_id: int, line: Line) -> None:
    with transaction.atomic():
        row = Coaching.objects.live().select_for_update(no_key=True).filter(pk=coaching_id).first()
        if row is None:
            return
        if row.stopped_at is not None:
            line.kill(row.leg_uuid, "NORMAL_CLEARING")
        elif row.answered_at is not None:
            line.carry_out(commands.change_mode(row.leg_uuid, row.target_uuid, row.mode))


# --- what the switch tells --------------------------------------------------------------------------------------


def apply(event: Told) -> list[str]:
    """Apply an event of a supervisor's leg, or of a job that is no attempt's; return commands for the switch."""
    if isinstance(event, events.LegProgress | events.LegAnswered | events.LegBridged | events.LegUnbridged):
        return []  # that he hears the call, the end of its job tells: from then on he can be told to speak otherwise
    with transaction.atomic():
        rows = Coaching.objects.select_for_update(no_key=True)
        mine = {"job_uuid": event.job_uuid} if isinstance(event, events.JobDone) else {"leg_uuid": event.leg}
        row = rows.filter(**mine).first()
        if row is None:
            return []
        match event:
            case events.LegCreated():
                if row.ended_at or row.stopped_at:
                    return [commands.hang_up(row.leg_uuid, "ORIGINATOR_CANCEL")]
            case events.LegHungUp():
                row.answered_at = row.answered_at or event.answered_at
                _end(row, event.cause or "UNKNOWN", event.at)
            case events.JobDone(ok=True):
                _heard(row, event.at)
            case events.JobDone():
                _end(row, event.cause, event.at)
    return []


def _heard(row: Coaching, at: datetime) -> None:
    """Note that he has answered, and see to what he wished for while his phone rang."""
    if row.ended_at or row.answered_at:
        return
    row.answered_at = at
    row.save(update_fields=["answered_at"])
    _tell(row)
    if len(row.modes) > 1 or row.stopped_at:
        verbs.send("dialer.engine.tasks.coach", row.pk)


def _end(row: Coaching, cause: str, at: datetime) -> None:
    if row.ended_at:
        return
    row.ended_at, row.cause = max(at, row.asked_at), cause[:64]
    row.save(update_fields=["answered_at", "ended_at", "cause"])
    _tell(row)


def _finish(coaching_id: int, cause: str) -> None:
    with transaction.atomic():
        row = Coaching.objects.live().select_for_update(no_key=True).filter(pk=coaching_id).first()
        if row is not None:
            _end(row, cause, clock.now())


def _tell(row: Coaching) -> None:
    """Have the operator's clients shown who is on his call now."""
    verbs.tell_operators(*Attempt.objects.filter(pk=row.attempt_id).values_list("operator_id", flat=True))


# --- the ledger against the switch ------------------------------------------------------------------------------


def end_all(node: Node, *, other_than: UUID | None = None) -> None:
    """End those on a switch that runs no more, but for those sent to one run of it."""
    lost = Coaching.objects.live().filter(node=node)
    if other_than is not None:
        lost = lost.exclude(core_uuid=other_than)
    for pk in list(lost.values_list("pk", flat=True)):
        _finish(pk, "LOST")


@dataclass(slots=True)
class Watch:
    """Holds the ledger of one switch against what it answers for each leg; asked with the calls' own look."""

    node: Node
    line: Line
    missed: set[UUID] = field(default_factory=set)
    """Legs that were absent at the last look."""

    def step(self, now: datetime) -> None:
        """End those never sent, or whose leg is absent twice; hang up those whose call is over or who were stopped."""
        rows = list(Coaching.objects.live().filter(node=self.node).select_related("attempt"))
        sent: list[Coaching] = []
        since: dict[int, datetime] = {}
        for row in rows:
            if row.sending_at is None:
                if row.asked_at < now - SENT_WITHIN * clock.FACTOR:
                    _finish(row.pk, "NOT_SENT")
            elif row.sending_at < now - JUDGED_AFTER * clock.FACTOR:
                sent.append(row)
                since[row.pk] = row.sending_at
        present = self.line.existing([row.leg_uuid for row in sent]) if sent else set()
        absent = set()
        for row in sent:
            if row.leg_uuid not in present:
                absent.add(row.leg_uuid)
                if row.leg_uuid in self.missed:
                    _finish(row.pk, "LOST")
            elif row.attempt.ended_at or row.stopped_at:
                self.line.kill(row.leg_uuid, "NORMAL_CLEARING")
            elif row.answered_at is None and since[row.pk] < now - timedelta(seconds=RINGS_FOR + 5):
                # No phone rings for so long: the event that he has answered was lost.
                with transaction.atomic():
                    _heard(Coaching.objects.select_for_update(no_key=True).get(pk=row.pk), now)
        self.missed = absent
