"""The switches as the database knows them: which take calls now, and which get none for a while."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from campaigns.actions import back_off
from dialer import clock
from dialer.models import Node

HEARD_WITHIN = timedelta(seconds=10)
"""Real time within which its listener must have written that it hears: a call that nobody hears is not placed."""


def usable(now: datetime) -> list[int]:
    """Return the ids of the switches that take calls now. One statement."""
    unblocked = Q(blocked_until__isnull=True) | Q(blocked_until__lte=now)
    return list(
        Node.objects.filter(
            unblocked, enabled=True, connected=True, last_event_at__gt=now - HEARD_WITHIN * clock.FACTOR
        ).values_list("pk", flat=True)
    )


def block(node: Node, reason: str, now: datetime) -> None:
    """Give a switch that refuses no calls for 1, 2, 4 … 60 s; a call that goes through unblocks it."""
    if node.blocked_until is not None and node.blocked_until > now:
        return
    Node.objects.filter(pk=node.pk, block_step=node.block_step).update(
        blocked_until=now + back_off(node.block_step), block_step=node.block_step + 1, blocked_reason=reason[:200]
    )


def unblock(node_id: int) -> None:
    """Note that a switch takes calls again."""
    Node.objects.filter(pk=node_id, block_step__gt=0).update(blocked_until=None, block_step=0, blocked_reason="")
