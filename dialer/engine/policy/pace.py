"""How many calls a switch gets, and how fast: its limits and ours, a bucket of tokens, a pace that refusals teach.

A rate is in calls per second. A call takes two legs, each of which is a session to the switch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LEGS = 2
"""Sessions of a switch that a call takes."""
SESSIONS_USED = 0.95
"""Part of the sessions left by others that our calls may fill: what they do meanwhile is known later."""
SECOND_USED = 0.8
"""Part of what a switch allows in a second that our calls may use: second legs come in bunches, and others call too."""
SCARCE = 0.1
"""Calls for each session that a switch allows in a second, at least: where a call of both its legs hardly fits."""
BURST = 0.1
"""Seconds of its rate that a switch may be given at once, besides one call: passes come no more often."""
LEAST = 0.5
"""The slowest pace; who bears less is given no calls for a while instead."""
STEP = 0.5
"""How much faster it gets with each second in which calls go through."""
UNPACED = 30.0
"""The pace that is none any more, where no limit is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds the calls of a switch; ``None``: nothing does."""

    max_calls: int | None = None
    """Set by a person: calls at once."""
    max_rate: int | None = None
    """Set by a person: new calls in any second."""
    sessions_allowed: int | None = None
    """The switch's own: sessions at once."""
    sessions_of_others: int = 0
    rate_allowed: int | None = None
    """The switch's own: sessions begun in a second. It refuses the one that reaches this number."""


def calls_at_once(limits: Limits) -> int | None:
    """Return how many calls a switch may have."""
    bounds = [] if limits.max_calls is None else [limits.max_calls]
    if limits.sessions_allowed is not None:
        left = max(0, limits.sessions_allowed - limits.sessions_of_others)
        bounds.append(int(left * SESSIONS_USED) // LEGS)
    return min(bounds, default=None)


def rate(limits: Limits, pace: float | None = None) -> float | None:
    """Return how many new calls per second a switch may be given; ``pace`` is what its refusals have taught."""
    bounds = [] if pace is None else [pace]
    if limits.max_rate is not None:
        # So that a full bucket and what drips in during a second are less than one call more.
        bounds.append((limits.max_rate - 0.01) / (1 + BURST))
    if limits.rate_allowed is not None:
        sessions = max(0, limits.rate_allowed - 1)
        # In its fullest second both legs of what a full bucket and its rate let through, and a leg of one before.
        fits = ((sessions - 1) / LEGS - 1) / (1 + BURST)
        bounds.append(max(sessions * SCARCE, fits * SECOND_USED))
    return min(bounds, default=None)


def tokens(had: float, per_second: float, seconds: float) -> float:
    """Return what is in a bucket ``seconds`` after it held ``had``: one token a call, none while the rate is 0."""
    most = 1 + per_second * BURST if per_second else 0.0
    return min(most, had + per_second * max(0.0, seconds))


def slowed(pace: float | None, sent: int) -> float:
    """Return the pace of a switch that refused some of the ``sent`` calls it got within a second: half of it."""
    return max(LEAST, min(math.inf if pace is None else pace, sent) / 2)


def quickened(pace: float, limits: Limits) -> float | None:
    """Return the pace after a second in which calls went through; ``None``: none is kept any more."""
    top = rate(limits)
    faster = pace + STEP
    return faster if faster < (UNPACED if top is None else top) else None


@dataclass(slots=True)
class Place:
    """A switch that takes calls, while they are shared out."""

    id: int
    weight: int
    calls: int
    """Live ones."""
    left: int | None
    """How many more it takes now; ``None``: any number."""


def lightest(places: Iterable[Place]) -> Place | None:
    """Return the switch that the next call belongs on: of those with room the one with the fewest calls by weight."""
    with_room = [place for place in places if place.left is None or place.left > 0]
    return min(with_room, key=lambda place: ((place.calls + 1) / place.weight, place.id), default=None)
