"""Subscriber first: who takes a subscriber who has answered and waits, and when too many waited in vain."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dialer.engine.policy.allotment import RANKS, FreeOperator, TierPlace

ABANDONMENT_FROM = 100
"""Answered calls before their rate of abandonment means anything."""
SHORTEST_RING = 2
"""Seconds of the answer window below which it is not worth while to ring another operator."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An answered subscriber whose operator failed."""

    attempt: int
    campaign: int
    priority: int
    """His campaign's; bigger is served first."""
    answered_at: datetime
    window: int
    """Seconds from the answer in which an operator must take him."""
    tried: Collection[int]
    """Operators who were rung for him."""


def seconds_left(answered_at: datetime, window: int, now: datetime) -> int:
    """Return the whole seconds that are left of an answer window, never below 0."""
    return max(0, int((answered_at + timedelta(seconds=window) - now).total_seconds()))


def bring(
    waiting: Sequence[Waiting], *, operators: Sequence[FreeOperator], tiers: Mapping[int, Sequence[TierPlace]],
    strategies: Mapping[int, str], lines: Mapping[int, int], now: datetime,
) -> list[tuple[int, int]]:  # fmt: skip
    """Decide which free operator takes whom of those who wait: pairs of attempt and operator.

    By priority of the campaigns, then who has waited longest; each gets the best operator of his campaign who has not
    been rung for him: by tier and then the campaign's strategy, as for any call. An outside operator needs a free line
    of his gateway (``lines``). He whose window is nearly over gets nobody: a phone that rings once is only a nuisance.
    """
    free = {operator.id: operator for operator in operators}
    left = dict(lines)
    pairs = []
    for one in sorted(waiting, key=lambda w: (-w.priority, w.answered_at, w.attempt)):
        if seconds_left(one.answered_at, one.window, now) < SHORTEST_RING:
            continue
        rank = RANKS[strategies[one.campaign]]
        suitable = [
            (place.level, place.position, rank(free[place.operator]), place.operator)
            for place in tiers.get(one.campaign, ())
            if place.operator in free and place.operator not in one.tried and _has_line(free[place.operator], left)
        ]
        if suitable:
            chosen = free.pop(min(suitable)[-1])
            if chosen.gateway is not None:
                left[chosen.gateway] -= 1
            pairs.append((one.attempt, chosen.id))
    return pairs


def _has_line(operator: FreeOperator, lines: Mapping[int, int]) -> bool:
    return operator.gateway is None or lines.get(operator.gateway, 0) > 0


def too_many_abandoned(answered: int, abandoned: int, cap: float) -> bool:
    """Tell whether more than ``cap`` percent of the answered calls were abandoned."""
    return answered >= ABANDONMENT_FROM and abandoned * 100 > cap * answered
