"""What the people and phones behind a call do: the same in every run of the same day.

All functions are pure. A subscriber's behaviour follows from (seed, digits, n-th leg to these digits), an operator's
from (seed, extension, n-th ring), and nothing else: neither the order of calls nor their instants.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Final

from dialer.simulator.scenario import ANSWER, NO_ANSWER, FaultPlan, OperatorPlan, SubscriberPlan

RINGS_ON: Final = NO_ANSWER
"""The outcome of a phone that rings until the caller gives up."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens on one leg. Spans are seconds of rule time; ``None`` is never."""

    outcome: str = ANSWER
    """``answer``, or the cause with which the phone or its network refuses; NO_ANSWER rings on."""
    after: float = 0.0
    """From the creation of the leg to the outcome. A refusal within 20 ms comes before any ringing."""
    talks: float | None = None
    """From the bridge until the conversation ends."""
    other_hangs_up: bool = False
    """Whether the other one ends it."""
    patience: float | None = None
    """From the answer until he hangs up, if he is not bridged before."""
    early_media: bool = False
    """Whether the network says something (183) instead of ringing (180)."""
    fault: str = ""
    """The cause with which the leg fails before it rings, by no one's doing."""


def dice(seed: int, *about: object) -> Random:
    """Return the source of chance for one question about the day; no two questions share theirs."""
    question = "\0".join(map(str, (seed, *about))).encode()
    return Random(int.from_bytes(blake2b(question, digest_size=16).digest(), "big"))


def subscriber(plan: SubscriberPlan, faults: FaultPlan, seed: int, digits: str, leg: int) -> Behaviour:
    """Return what the subscriber at these digits does when he is dialled for the ``leg``-th time, from 1."""
    chance = dice(seed, "subscriber", digits, leg)
    return Behaviour(
        outcome=plan.outcomes.draw(chance),
        after=plan.ring.draw(chance),
        talks=plan.talk.draw(chance),
        other_hangs_up=chance.random() >= plan.hangs_up,
        patience=plan.patience.draw(chance),
        early_media=chance.random() < plan.early_media,
        fault=_fault(faults, chance),
    )


def operator(plan: OperatorPlan, faults: FaultPlan, seed: int, extension: str, ring: int) -> Behaviour:
    """Return what the operator at this extension does at his ``ring``-th ring, from 1."""
    chance = dice(seed, "operator", extension, ring)
    outcome, after = plan.outcomes.draw(chance), plan.answer.draw(chance)
    leaves, leaves_after = chance.random() < plan.leaves_early, plan.leaves_after.draw(chance)
    return Behaviour(outcome, after, patience=leaves_after if leaves else None, fault=_fault(faults, chance))


def _fault(faults: FaultPlan, chance: Random) -> str:
    fails, way = chance.random() < faults.failing_legs, faults.ways.draw(chance)
    return way if fails else ""


def absence(plan: OperatorPlan, seed: int, extension: str, period: int) -> tuple[float, float] | None:
    """Return when the phone of an extension is away in a period counted from 0: seconds after the start, from and to.

    Absences of one phone never touch: each ends within its period.
    """
    chance = dice(seed, "registration", extension, period)
    away = min(plan.away.draw(chance), plan.period / 2)
    begins = (period + chance.uniform(0, 0.5)) * plan.period
    return (begins, begins + away) if chance.random() < plan.flapping else None
