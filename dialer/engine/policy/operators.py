"""What the end of an attempt means for its operator. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

NOT_REGISTERED = frozenset({"USER_NOT_REGISTERED", "SUBSCRIBER_ABSENT"})
"""The causes of a phone that the switch does not know where to find."""
OF_OTHERS = frozenset({"ORIGINATOR_CANCEL", "LOSE_RACE"})
"""The causes of a phone that stopped ringing because the other side of the call had left."""


@dataclass(frozen=True, slots=True)
class OperatorFacts:
    """His parameters, his count, and what became of his leg."""

    wrap_up_time: int
    max_no_answer: int
    """Calls in a row without an answer that force a break; 0: never."""
    busy_delay: int
    reject_delay: int
    no_answer_delay: int
    no_answer_count: int
    answered: bool
    bridged: bool
    cause: str
    """Hangup cause of his leg; empty when he never had one, or its end is not known."""
    ended_at: datetime
    left: bool = False
    """He hung up himself while the subscriber's phone rang."""
    ended_by_others: bool = False
    """The attempt was withdrawn, refused or lost, or a person hung up, while he was ringing or not yet rung."""
    registers: bool = True
    """His phone registers; ``False`` for an outside number, which nothing but a delay can hold back."""
    hold_until: datetime | None = None
    """The campaign keeps him in wrap-up until the result, or this instant, its deadline."""


@dataclass(frozen=True, slots=True)
class OperatorDecision:
    """What he does next."""

    state: str
    """waiting or wrap_up."""
    wrap_up_until: datetime | None
    ready_at: datetime | None
    """No calls before; ``None``: at once."""
    no_answer_count: int
    forced_break: bool


def decide_operator(facts: OperatorFacts) -> OperatorDecision:
    """Decide what an attempt's end means for its operator."""

    def after(seconds: int) -> datetime | None:
        return facts.ended_at + timedelta(seconds=seconds) if seconds else None

    if facts.bridged:
        until = max(filter(None, (after(facts.wrap_up_time), facts.hold_until)), default=None)
        return OperatorDecision("wrap_up" if until else "waiting", until, None, 0, False)
    if facts.answered:
        return OperatorDecision("waiting", None, after(facts.reject_delay) if facts.left else None, 0, False)
    count = facts.no_answer_count
    if facts.ended_by_others or not facts.cause or facts.cause in OF_OTHERS:
        return OperatorDecision("waiting", None, None, count, False)
    if facts.cause == "USER_BUSY":
        return OperatorDecision("waiting", None, after(facts.busy_delay), count, False)
    if facts.cause == "CALL_REJECTED":
        return OperatorDecision("waiting", None, after(facts.reject_delay), count, False)
    if facts.cause in NOT_REGISTERED and facts.registers:
        return OperatorDecision("waiting", None, None, count, False)
    count += 1
    forced = 0 < facts.max_no_answer <= count
    return OperatorDecision("waiting", None, after(facts.no_answer_delay), count, forced)
