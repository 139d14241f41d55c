"""The switches as the database knows them: which take calls now and how many, and what refusals teach of that.

The lock of the pass makes the share-out serial, whichever dial worker does it; so each row of a switch holds its own
bucket of tokens.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Count, Q
from django.utils.translation import gettext

from agents.models import Operator, Registration
from campaigns.actions import back_off
from dialer import clock, verbs
from dialer.engine.policy import pace
from dialer.errors import Refused
from dialer.models import Attempt, Node

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
    from django.db.models import QuerySet

log = logging.getLogger(__name__)

HEARD_WITHIN = timedelta(seconds=10)
"""Real time within which its listener must have written that it hears: a call that nobody hears is not placed."""
LIMITS = frozenset({"DESTINATION_OUT_OF_ORDER"})
"""What a switch answers, without a channel, when a limit of its own is reached: sessions, or sessions per second. It
says the same while it is paused."""
LAST_STEP = 6
"""The step of the longest pause: a switch may refuse calls for weeks."""
SECOND = timedelta(seconds=1)
LOOKED_INTO = 1000
"""Newest attempts among which those of the last second are looked for."""


def usable(now: datetime) -> list[int]:
    """Return the ids of the switches that take calls now, but for their limits. One statement."""
    return list(_usable(now).values_list("pk", flat=True))


def _usable(now: datetime) -> QuerySet[Node]:
    unblocked = Q(blocked_until__isnull=True) | Q(blocked_until__lte=now)
    return Node.objects.filter(
        unblocked, enabled=True, connected=True, ready=True, last_event_at__gt=now - HEARD_WITHIN * clock.FACTOR
    )


def limits_of(node: Node) -> pace.Limits:
    """Return what bounds the calls of a switch."""
    return pace.Limits(
        max_calls=node.max_calls,
        max_rate=node.max_rate,
        sessions_allowed=node.sessions_allowed,
        sessions_of_others=node.sessions_of_others,
        rate_allowed=node.rate_allowed,
    )


def live_by_node() -> dict[int | None, int]:
    """Count the live attempts of each switch. One statement over the partial index of live ones."""
    counted = Attempt.objects.live().order_by().values_list("node_id").annotate(count=Count("*"))
    return dict(counted.values_list("node_id", "count"))


@dataclass(slots=True)
class Share:
    """The calls that switches take now, while a pass, which holds its lock, shares them out."""

    places: dict[int, pace.Place] = field(default_factory=dict)
    tokens: dict[int, float] = field(default_factory=dict)
    """Of the switches that have a rate."""
    slow: bool = False
    """A rate alone holds calls back: a moment later there may be more."""
    _reached: dict[int, set[int]] = field(default_factory=dict)
    """Where the phones of operators are registered; of others it is not known, or does not matter."""
    _began: set[int] = field(default_factory=set)

    @classmethod
    def read(cls, operators: Collection[Operator], now: datetime) -> Share:
        """Read what the switches take, and where these operators can be rung. Three statements."""
        share = cls()
        live = live_by_node()
        for node in _usable(now):
            limits, calls = limits_of(node), live.get(node.pk, 0)
            at_once = pace.calls_at_once(limits)
            left = None if at_once is None else max(0, at_once - calls)
            if (rate := pace.rate(limits, node.rate)) is not None:
                since = clock.real_age(node.tokens_at).total_seconds() if node.tokens_at else float("inf")
                share.tokens[node.pk] = pace.tokens(node.tokens, rate, since)
                drawn = int(share.tokens[node.pk])
                share.slow |= rate > 0 and (left is None or drawn < left)
                left = drawn if left is None else min(left, drawn)
            share.places[node.pk] = pace.Place(node.pk, node.weight, calls, left)
        phones = [operator.pk for operator in operators if not operator.contact]
        found: dict[int, set[int]] = defaultdict(set)
        for operator, node_id in Registration.objects.filter(operator__in=phones, registered=True).values_list(
            "operator_id", "node_id"
        ):
            found[operator].add(node_id)
        share._reached = dict(found)
        return share

    @property
    def left(self) -> float:
        """How many calls all switches together take now."""
        return sum(float("inf") if place.left is None else place.left for place in self.places.values())

    def reaches(self, node_id: int | None, operator: Operator) -> bool:
        """Tell whether a switch can ring an operator."""
        return node_id in self._reached.get(operator.pk, (node_id,))

    def has_room(self, operator: Operator) -> bool:
        """Tell whether a switch that can ring an operator takes a call now."""
        return self._lightest(operator) is not None

    def take(self, operator: Operator) -> int | None:
        """Return the switch for a call with an operator, which then has one more; ``None``: none takes it."""
        place = self._lightest(operator)
        if place is None:
            return None
        place.calls += 1
        if place.left is not None:
            place.left -= 1
        if place.id in self.tokens:
            self.tokens[place.id] -= 1
            self._began.add(place.id)
        return place.id

    def _lightest(self, operator: Operator) -> pace.Place | None:
        return pace.lightest(place for place in self.places.values() if self.reaches(place.id, operator))

    def save(self, now: datetime) -> None:
        """Write the buckets that calls were taken from. One statement, and none without a rate."""
        spent = [Node(pk=pk, tokens=self.tokens[pk], tokens_at=now) for pk in sorted(self._began)]
        if spent:
            Node.objects.bulk_update(spent, ["tokens", "tokens_at"])


# --- what refusals and calls teach ------------------------------------------------------------------------------


def refused(node: Node, reason: str, tried_at: datetime | None, now: datetime) -> None:
    """Note that a switch refused a leg that was tried at ``tried_at``, before there was a channel.

    For a limit of its own, while it took others: it is given half as many calls a second. It took none, or it was
    for another reason: it gets none for a while.
    """
    since = tried_at and tried_at - SECOND * clock.FACTOR
    if reason not in LIMITS or since is None:
        block(node, reason, now)
        return
    newest = Attempt.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    counted = Attempt.objects.filter(pk__gt=newest - LOOKED_INTO, node=node).aggregate(
        sent=Count("pk", filter=Q(sending_at__gte=since)),
        taken=Count("pk", filter=Q(operator_ringing_at__gte=since) | Q(subscriber_created_at__gte=since)),
    )
    if counted["taken"]:
        slow_down(node, counted["sent"], tried_at, now)
    else:
        block(node, reason, now)


def slow_down(node: Node, sent: int, tried_at: datetime | None, now: datetime) -> None:
    """Give a switch that refused some of the ``sent`` calls of a second half as many; once for all that it refused of
    those tried before."""
    unknown = Q(slowed_at__isnull=True) | Q(slowed_at__lt=tried_at)
    was = Node.objects.filter(pk=node.pk).values_list("rate", flat=True).first()
    rate = pace.slowed(was, sent)
    if Node.objects.filter(unknown, pk=node.pk).update(rate=rate, slowed_at=now):
        log.warning("Switch %s has refused calls: it is given %.1f a second for now.", node.name, rate)


def took_calls(node_id: int, now: datetime) -> None:
    """Note that a switch has begun legs in this last second: what blocked it is over, and its pace quickens."""
    Node.objects.filter(pk=node_id, block_step__gt=0, blocked_until__lte=now).update(
        blocked_until=None, block_step=0, blocked_reason=""
    )
    node = Node.objects.filter(pk=node_id, rate__isnull=False, slowed_at__lte=now - SECOND * clock.FACTOR).first()
    if node is not None and node.rate is not None:
        # What was refused meanwhile has set another pace, which stands.
        Node.objects.filter(pk=node_id, slowed_at=node.slowed_at).update(
            rate=pace.quickened(node.rate, limits_of(node))
        )


def block(node: Node, reason: str, now: datetime) -> None:
    """Give a switch that refuses no calls for 1, 2, 4 … 60 s; after one that went through it is 1 s again."""
    if node.blocked_until is not None and node.blocked_until > now:
        return
    Node.objects.filter(pk=node.pk, block_step=node.block_step).update(
        blocked_until=now + back_off(node.block_step),
        block_step=min(node.block_step + 1, LAST_STEP),
        blocked_reason=reason[:200],
    )


# --- what a person asks -----------------------------------------------------------------------------------------


def drain(node_id: int, *, by: AbstractBaseUser | AnonymousUser | None = None) -> Node:
    """Give a switch no new calls; those it has go on. Raises ``Refused`` (UNKNOWN)."""
    return configure(node_id, by=by, enabled=False)


def resume(node_id: int, *, by: AbstractBaseUser | AnonymousUser | None = None) -> Node:
    """Give a switch calls again, at once. Raises ``Refused`` (UNKNOWN)."""
    return configure(node_id, by=by, enabled=True)


@transaction.atomic
def configure(node_id: int, *, by: AbstractBaseUser | AnonymousUser | None = None, **changes: Any) -> Node:
    """Change what a person rules of a switch: ``enabled``, ``weight``, ``max_calls``, ``max_rate``.

    It holds for the next call. Raises ``Refused`` (UNKNOWN), ``ValidationError`` by field.
    """
    node = Node.objects.select_for_update(no_key=True).filter(pk=node_id).first()
    if node is None:
        raise Refused("UNKNOWN", gettext("There is no such switch."))
    for name, value in changes.items():
        setattr(node, name, value)
    node.full_clean()
    node.save(update_fields=list(changes))
    log.info("Switch %s: %s.", node.name, changes, extra={"by": getattr(by, "pk", None)})
    verbs.wake()
    return node
