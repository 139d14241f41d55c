"""Call records of the switch: they close what the events missed, and audit the ledger.

A record comes once its leg is over: before the leg's own event (a switch without a queue of records writes them first)
or after it, twice, or days later out of a file. So it is kept, and what it tells is used only when the event has had
its time, or when the attempt would otherwise end without it.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.db.models import Q

from dialer import clock
from dialer.engine import calls
from dialer.models import Attempt, CallRecord, OperatorTry
from dialer.switch.records import LegRecord

EVENT_MAY_COME = timedelta(seconds=5)
"""Real time after its record in which the end of a leg may still be told by its event."""
BATCH = 200
"""Records that one run uses at most."""
FORGOTTEN_AT_ONCE = 10_000


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
        _settle([kept])
    return Taken.NEW if new else Taken.KNOWN


def _find(record: LegRecord) -> tuple[Attempt | None, str]:
    attempt = Attempt.objects.filter(Q(operator_uuid=record.leg) | Q(subscriber_uuid=record.leg)).first()
    if attempt is not None:
        return attempt, "operator" if attempt.operator_uuid == record.leg else "subscriber"
    tried = OperatorTry.objects.filter(uuid=record.leg).select_related("attempt").first()
    return (tried.attempt, "operator") if tried is not None else (None, "")


def settle() -> int:
    """Let the records whose event did not come tell of the ends of their legs; return how many told something new.

    Records of one attempt are used together, the subscriber's first: what the operator's tells of him is less.
    """
    overdue = CallRecord.objects.filter(
        settled=False, received_at__lt=clock.now() - EVENT_MAY_COME * clock.FACTOR
    ).order_by("received_at")[:BATCH]
    attempts = {record.attempt_id for record in overdue}
    if not attempts:
        return 0
    waiting = CallRecord.objects.filter(settled=False, attempt__in=attempts)
    return _settle(list(waiting.select_related("attempt").order_by("attempt", "-role")))


def _settle(records: list[CallRecord]) -> int:
    unknown = (record for record in records if not calls.is_known(record, record.attempt))  # as a rule none: no lock
    # Its orders are for a leg left alone, which the listener hangs up in any case.
    used = calls.for_each(unknown, calls.apply_record)
    CallRecord.objects.filter(pk__in=[record.pk for record in records]).update(settled=True)
    return used


def forget_old() -> int:
    """Delete the records that have been kept for ``CDRS_KEPT_DAYS``; return how many. In bounded statements."""
    old = CallRecord.objects.filter(received_at__lt=clock.now() - timedelta(days=settings.CDRS_KEPT_DAYS))
    forgotten = 0
    while batch := list(old.order_by("received_at").values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE]):
        forgotten += CallRecord.objects.filter(pk__in=batch).delete()[0]
    return forgotten
