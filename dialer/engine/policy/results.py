"""What the reported result of a call means, or that none came. Times are in seconds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dialer.engine.policy.ends import SUCCESS_CAUSE, MemberFacts, Rules

COMMENT_LENGTH = 10_000
LONGEST_WAIT = 366 * 24 * 3600
"""Seconds; the longest ``next_after_sec``."""
LARGEST_ID = 2**63 - 1
FIELDS = frozenset(
    {
        "success", "reset_retries", "reset_retr", "next_after_sec", "next_communication", "stop_communications",
        "comment", "attempt", "call_back_at", "call_back_mine", "do_not_call", "disposition",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """A result as it was reported, valid in itself."""

    success: bool
    reset: bool = False
    next_after_sec: int | None = None
    next_communication: str | None = None
    """The number of the next attempt, as typed."""
    stop: tuple[str, ...] = ()
    """Digits of the numbers that get no more attempts."""
    stop_all: bool = False
    """All numbers but the next one."""
    call_back_at: datetime | None = None
    """When he is to be called back, before all others that are due then."""
    call_back_mine: bool = False
    """By the operator of this call, for as long as the campaign waits for him."""
    do_not_call: bool = False
    """None of his numbers is called any more, by any campaign."""
    comment: str = ""
    attempt: int | None = None


class _Reader:
    """Reads the fields of a body; null is as good as not given."""

    def __init__(self, body: Mapping[str, object], digits_of: Callable[[str], str]) -> None:
        self._body = body
        self._digits_of = digits_of
        self.faults: dict[str, list[str]] = {}

    def fault(self, name: str, text: str) -> None:
        self.faults.setdefault(name, []).append(text)

    def unknown(self) -> None:
        for name in self._body:
            if name not in FIELDS:
                self.fault(name, "There is no such field.")

    def success(self) -> bool:
        value = self._body.get("success")
        if not isinstance(value, bool):
            self.fault("success", "Required: true or false.")
        return value is True

    def flag(self, name: str) -> bool | None:
        value = self._body.get(name)
        if value is not None and not isinstance(value, bool):
            self.fault(name, "true or false.")
            return None
        return value

    def reset(self) -> bool:
        said = {self.flag("reset_retries"), self.flag("reset_retr")} - {None}
        if len(said) > 1:
            self.fault("reset_retries", "reset_retries and reset_retr say different things.")
        return said == {True}

    def call_back(self) -> tuple[datetime | None, bool]:
        """Return when he is to be called back, and whether by the same operator."""
        value, mine = self._body.get("call_back_at"), self.flag("call_back_mine") or False
        if value is None or (isinstance(value, str) and not value.strip()):
            if mine:
                self.fault("call_back_at", "Say when, if it is to be the same operator.")
            return None, False
        at = _instant(value)
        if at is None:
            self.fault("call_back_at", "A date and time with its offset: 2026-03-09T10:00:00+02:00.")
        elif self._body.get("next_after_sec") is not None:
            self.fault("call_back_at", "Either this or next_after_sec.")
        return at, mine

    def whole(self, name: str, most: int, text: str) -> int | None:
        value = self._body.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            self.fault(name, text)
            return None
        return value

    def following(self) -> tuple[str | None, str]:
        """Return the number of the next attempt as typed, and its digits; blank counts as none."""
        value = self._body.get("next_communication")
        if value is None or (isinstance(value, str) and not value.strip()):
            return None, ""
        return str(value).strip(), self._digits("next_communication", value)

    def stopped(self) -> tuple[bool, tuple[str, ...]]:
        """Return whether all stop, else the digits of those that do."""
        value = self._body.get("stop_communications")
        if value is None or value == "all":
            return value == "all", ()
        several = value if isinstance(value, list) else [value]
        return False, tuple(dict.fromkeys(self._digits("stop_communications", number) for number in several))

    def comment(self) -> str:
        value = self._body.get("comment")
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > COMMENT_LENGTH:
            self.fault("comment", f"A text of at most {COMMENT_LENGTH} characters.")
            return ""
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value):
            self.fault("comment", "It holds what is no character: NUL, or half of a surrogate pair.")
        return value

    def _digits(self, name: str, number: object) -> str:
        if not isinstance(number, str):
            self.fault(name, "A number is a text.")
            return ""
        try:
            return self._digits_of(number)
        except ValueError as error:
            self.fault(name, str(error))
            return ""


def _instant(value: object) -> datetime | None:
    with contextlib.suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        return at.astimezone(UTC) if at is not None and at.tzinfo is not None else None
    return None


def read_result(
    body: Mapping[str, object], digits_of: Callable[[str], str]
) -> tuple[Result | None, dict[str, list[str]]]:
    """Read the body of a result; return it, or ``None`` and every fault by field.

    A disposition has been made fields before (``dispositions.complete``); its name says nothing more here.
    ``digits_of`` makes a number plain, or raises ``ValueError`` with what is wrong about it. A success ignores all
    other fields but ``comment`` and ``attempt``, whatever they hold.
    """
    read = _Reader(body, digits_of)
    read.unknown()
    success, comment = read.success(), read.comment()
    attempt = read.whole("attempt", LARGEST_ID, "The number of an attempt.")
    if success:
        return (None, read.faults) if read.faults else (Result(True, comment=comment, attempt=attempt), {})
    reset = read.reset()
    wait = read.whole("next_after_sec", LONGEST_WAIT, f"A whole number of seconds from 0 to {LONGEST_WAIT}.")
    following, next_digits = read.following()
    stop_all, stop = read.stopped()
    if next_digits and next_digits in stop:
        read.fault("stop_communications", "The number of the next attempt cannot be stopped.")
    call_back_at, mine = read.call_back()
    never = read.flag("do_not_call") or False
    if never:
        for name, said in (("next_communication", following), ("call_back_at", call_back_at)):
            if said is not None:
                read.fault(name, "He is not to be called any more.")
    if read.faults:
        return None, read.faults
    return Result(
        False, reset, wait, following, stop, stop_all or never, call_back_at, mine, never, comment, attempt
    ), {}


@dataclass(frozen=True, slots=True)
class ResultDecision:
    """What a result, or that none came, means for the subscriber; how his numbers change is ``Result``'s to say."""

    outcome: str
    counted: bool
    end_cause: str | None
    success: bool
    not_before: datetime | None
    extra_attempts: int = 0
    """Attempts granted over the maximum."""


def decide_result(
    result: Result, member: MemberFacts, rules: Rules, *, active_after: int, call_ended: datetime, received: datetime,
    now: datetime,
) -> ResultDecision:  # fmt: skip
    """Decide what a result means. ``active_after``: numbers that are not stopped once the result is applied.

    ``next_after_sec`` runs from the later of call end and receipt, the wait between retries from the call end. At the
    maximum the number that was asked for, or the call back, gets its attempt all the same.
    """
    if result.success:
        return ResultDecision("success", True, SUCCESS_CAUSE, True, None)
    counted = 0 if result.reset else member.counted + 1
    maximum = rules.max_retries + (0 if result.reset else member.extra_attempts)
    asked_for = result.next_communication is not None or result.call_back_at is not None
    extra = max(0, counted - maximum + 1) if asked_for else 0
    end_cause = member.end_after(counted=counted, maximum=maximum + extra, active_numbers=active_after, now=now)
    if result.call_back_at is not None:
        not_before = max(call_ended, result.call_back_at)
    elif result.next_after_sec is None:
        not_before = call_ended + timedelta(seconds=rules.retry_wait)
    else:
        not_before = max(call_ended, received) + timedelta(seconds=result.next_after_sec)
    return ResultDecision("retry", True, end_cause, False, not_before, 0 if end_cause else extra)


def decide_no_result(member: MemberFacts, rules: Rules, *, call_ended: datetime, now: datetime) -> ResultDecision:
    """Decide what it means that no result came in time: counted, not successful, again after the wait."""
    nothing = Result(success=False)
    return decide_result(
        nothing, member, rules, active_after=member.active_numbers, call_ended=call_ended, received=call_ended, now=now
    )
