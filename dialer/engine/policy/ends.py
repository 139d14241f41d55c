"""What the end of an attempt means for its subscriber. Times are in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SUCCESS_CAUSE = "NORMAL_CLEARING"
ABANDONED = "ABANDONED"
LOST = "LOST"
NOT_SAYABLE = "NOT_SAYABLE"
"""Cause of an attempt that cannot be put into a command: no switch could be told its number, route or variables."""
UNSAYABLE_WAIT = 60
"""Seconds until it is tried again at least: nothing else would hold back the next try, nor the one after it."""
OF_A_KILL = frozenset({"", "MANAGER_REQUEST", "ORIGINATOR_CANCEL", "NORMAL_CLEARING"})
"""The causes that a leg may have when we hung up; with any other it had ended by itself just before."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a campaign says of ends."""

    retry_wait: int
    max_retries: int
    min_duration: int
    wait_for_result: bool
    wrap_up_time: int
    minus_limit: int
    """After so many minus causes in a row one is counted; 0: never."""
    error_stops_number_only: bool
    treatments: Mapping[str, str]
    """Treatment (error, retry, ok, minus) by cause; an unlisted cause is a retry."""


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """What is known of an attempt when it ends."""

    operator_cause: str = ""
    subscriber_cause: str = ""
    subscriber_created: bool = False
    subscriber_answered: bool = False
    bridged: bool = False
    talk_seconds: float = 0.0
    subscriber_ended_at: datetime | None = None
    ended_at: datetime | None = None
    operator_left: bool = False
    """The operator's leg ended by itself before the bridge, not with the subscriber's."""
    killed_by_person: bool = False
    withdrawn: bool = False
    """It was never sent, or taken back before the subscriber's leg was known, and no person asked to hang up."""
    lost: bool = False
    """We failed: a crash, a restart, a leg that vanished."""
    subscriber_first: bool = False
    result_stored: bool = False
    """A result was taken during the call: it rules, whatever the campaign says of results by now."""


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """What is known of the subscriber when an attempt on him ends, that attempt not yet counted."""

    counted: int
    minus_in_row: int
    extra_attempts: int
    active_numbers: int
    """Numbers that are not stopped."""
    dialled_active: bool = True
    """Whether the dialled number is one of them; a person may have stopped it during the call."""
    expire_at: datetime | None = None
    end_requested: bool = False
    """A person ended him during the call: he ends after it."""

    def end_after(self, *, counted: int, maximum: int, active_numbers: int, now: datetime) -> str | None:
        """Return the cause that ends him although the attempt itself does not; ``None`` when he goes on.

        A person's wish comes first, then want of numbers, expiry, and the maximum.
        """
        if self.end_requested:
            return "MANAGER_REQUEST"
        if active_numbers == 0:
            return "NO_COMMUNICATIONS"
        if self.expire_at is not None and self.expire_at <= now:
            return "MEMBER_EXPIRED"
        return "MAX_TRY_COUNT" if counted >= maximum else None


@dataclass(frozen=True, slots=True)
class EndDecision:
    """What the end of an attempt means."""

    cause: str
    outcome: str
    counted: bool
    minus_in_row: int
    stop_number_cause: str | None = None
    end_cause: str | None = None
    success: bool = False
    not_before: datetime | None = None
    """The next attempt is not earlier; ``None``: at once."""
    result_deadline: datetime | None = None
    """A result is awaited until then."""


def plain_cause(facts: AttemptFacts) -> str:
    """Return the attempt's cause: that of the subscriber's leg, made plain; without one, why he was not dialled."""
    if facts.subscriber_first and facts.subscriber_answered and not facts.bridged:
        return ABANDONED
    dialled = facts.subscriber_created or facts.subscriber_first
    cause = facts.subscriber_cause if dialled else facts.operator_cause
    if cause in OF_A_KILL:
        if facts.killed_by_person:
            return "MANAGER_REQUEST"
        if facts.withdrawn:
            return "WITHDRAWN"
    if not cause:
        if facts.bridged:
            return SUCCESS_CAUSE
        return LOST if facts.lost else "ORIGINATOR_CANCEL"
    if facts.subscriber_created and (
        cause == "ALLOTTED_TIMEOUT" or (cause == "NORMAL_CLEARING" and not facts.subscriber_answered)
    ):
        return "NO_ANSWER"
    return cause


def decide_end(facts: AttemptFacts, member: MemberFacts, rules: Rules, now: datetime) -> EndDecision:
    """Decide what the end of an attempt means for its subscriber.

    A bridged call is decided by its talk or by its result, whatever cause ended it; one that was never bridged by the
    treatment of its cause, unless its end was not the subscriber's doing.
    """
    cause = plain_cause(facts)
    ended = facts.subscriber_ended_at or facts.ended_at or now
    if facts.bridged:
        if rules.wait_for_result or facts.result_stored:
            deadline = ended + timedelta(seconds=rules.wrap_up_time)
            return EndDecision(cause, "awaiting_result", False, member.minus_in_row, result_deadline=deadline)
        if facts.talk_seconds >= rules.min_duration:
            return EndDecision(cause, "success", True, 0, end_cause=SUCCESS_CAUSE, success=True)
    elif cause == ABANDONED:
        return _go_on(cause, "abandoned", True, 0, member, rules, now, ended)
    elif cause == "MANAGER_REQUEST" and facts.killed_by_person:
        return _go_on(cause, "refunded", False, member.minus_in_row, member, rules, now, ended)
    elif not facts.subscriber_created:
        # Subscriber first without any news his phone may have rung; not when it is known why nothing was sent.
        wait_from = ended if cause == LOST and facts.subscriber_first else None
        decision = _go_on(cause, "refunded", False, member.minus_in_row, member, rules, now, wait_from)
        if cause == NOT_SAYABLE:
            return replace(decision, not_before=now + timedelta(seconds=max(UNSAYABLE_WAIT, rules.retry_wait)))
        return decision
    elif facts.operator_left or facts.lost or cause == "WITHDRAWN":
        return _go_on(cause, "refunded", False, member.minus_in_row, member, rules, now, ended)
    else:
        match rules.treatments.get(cause, "retry"):
            case "error" if rules.error_stops_number_only:
                return _stop_number(cause, member, rules, now, ended)
            case "error":
                return EndDecision(cause, "error", True, 0, stop_number_cause=cause, end_cause=cause)
            case "ok" if cause != SUCCESS_CAUSE:  # that one is ruled by the minimum duration: no talk, no success
                return EndDecision(cause, "success", True, 0, end_cause=cause, success=True)
            case "minus":
                in_row = member.minus_in_row + 1
                if not rules.minus_limit or in_row < rules.minus_limit:
                    return _go_on(cause, "minus", False, in_row, member, rules, now, ended)
    return _go_on(cause, "retry", True, 0, member, rules, now, ended)


def _go_on(
    cause: str, outcome: str, counted: bool, minus_in_row: int, member: MemberFacts, rules: Rules, now: datetime,
    ended: datetime | None,
) -> EndDecision:  # fmt: skip
    """The attempt itself does not end him. ``ended``: the wait between retries runs from then; ``None``: no wait."""
    end_cause = member.end_after(
        counted=member.counted + counted,
        maximum=rules.max_retries + member.extra_attempts,
        active_numbers=member.active_numbers,
        now=now,
    )
    not_before = None if ended is None else ended + timedelta(seconds=rules.retry_wait)
    return EndDecision(cause, outcome, counted, minus_in_row, end_cause=end_cause, not_before=not_before)


def _stop_number(cause: str, member: MemberFacts, rules: Rules, now: datetime, ended: datetime) -> EndDecision:
    """An error that stops only its number; with his last one the subscriber ends, with that cause."""
    end_cause = member.end_after(
        counted=member.counted + 1,
        maximum=rules.max_retries + member.extra_attempts,
        active_numbers=member.active_numbers - member.dialled_active,
        now=now,
    )
    if end_cause == "NO_COMMUNICATIONS":
        end_cause = cause
    not_before = ended + timedelta(seconds=rules.retry_wait)
    return EndDecision(cause, "error", True, 0, stop_number_cause=cause, end_cause=end_cause, not_before=not_before)
