"""Call records of the switch: they close what the events missed, and audit the ledger.

A record comes once its leg is over, before the leg's own event or after it, twice, or days later out of a file. So it
is kept, and used only when the event has had its time.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from enum import StrEnum

from django.db.models import Q

from dialer import clock
from dialer.engine import calls
from dialer.models import Attempt, CallRecord, OperatorTry
from dialer.switch.records import LegRecord

log = logging.getLogger(__name__)

EVENT_MAY_COME = timedelta(seconds=5)
"""Real time after its record in which the end of a leg may still be told: some switches write the record first."""
BATCH = 200
"""Attempts that one run closes at most."""


class Taken(StrEnum):
    """What became of a record."""

    NEW = "new"
    KNOWN = "known"
    """It came before."""
    FOREIGN = "foreign"
    """The leg is none of ours."""


def take(record: LegRecord) -> Taken:
    """Keep a call record. That of an attempt which has ended corrects at once what the ledger does not know of it."""
    attempt, role = _find(record)
    if attempt is None:
        log.debug("A record of leg %s, which is none of ours.", record.leg)
        return Taken.FOREIGN
    kept, new = CallRecord.objects.get_or_create(
        uuid=record.leg,
        defaults={
            "attempt": attempt,
            "role": role,
            "core_uuid": record.core_uuid,
            "received_at": clock.now(),
            "created_at": record.created_at,
            "answered_at": record.answered_at,
            "bridged_at": record.bridged_at,
            "ended_at": record.ended_at,
            "cause": record.cause,
            "originate_disposition": record.originate_disposition,
            "by_phone": record.by_phone,
        },
    )
    if new and attempt.ended_at is not None:
        calls.apply(_event(kept))
    return Taken.NEW if new else Taken.KNOWN


def _find(record: LegRecord) -> tuple[Attempt | None, str]:
    attempt = Attempt.objects.filter(Q(operator_uuid=record.leg) | Q(subscriber_uuid=record.leg)).first()
    if attempt is not None:
        return attempt, "operator" if attempt.operator_uuid == record.leg else "subscriber"
    tried = OperatorTry.objects.filter(uuid=record.leg).select_related("attempt").first()
    return (tried.attempt, "operator") if tried is not None else (None, "")


def _event(kept: CallRecord) -> calls.CallEvent:
    return LegRecord(
        leg=kept.uuid,
        core_uuid=kept.core_uuid,
        created_at=kept.created_at,
        progress_at=None,
        answered_at=kept.answered_at,
        bridged_at=kept.bridged_at,
        ended_at=kept.ended_at,
        cause=kept.cause,
        originate_disposition=kept.originate_disposition,
        last_bridge_hangup_cause="",
        by_phone=kept.by_phone,
    ).as_event()


def close_unheard() -> int:
    """Close the legs of live attempts that have a record and whose end nothing told; return how many attempts.

    The subscriber's comes first: what the operator's leg alone tells of him is less.
    """
    now = clock.now()
    overdue = CallRecord.objects.filter(
        attempt__ended_at__isnull=True, received_at__lt=now - EVENT_MAY_COME * clock.FACTOR
    ).select_related("attempt")
    closed: set[int] = set()
    for kept in overdue.order_by("attempt", "-role")[: 2 * BATCH]:
        if not _is_heard(kept):
            # Its orders are for a leg left alone, which the listener hangs up in any case.
            calls.apply(_event(kept))
            calls.repair(kept.attempt, "record", f"The record of the {kept.role}'s leg told of its end ({kept.cause}).")
            closed.add(kept.attempt_id)
    return len(closed)


def _is_heard(kept: CallRecord) -> bool:
    attempt = kept.attempt
    if kept.uuid == attempt.subscriber_uuid:
        return attempt.subscriber_ended_at is not None
    # An operator who was given up has been let go, whatever his leg did.
    return kept.uuid != attempt.operator_uuid or attempt.operator_ended_at is not None
