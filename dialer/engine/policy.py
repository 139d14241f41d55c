"""The rules as pure functions: facts and ``now`` in, a decision out. Knows no model, touches nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush

SUCCESS_CAUSE = "NORMAL_CLEARING"


# --- the end of an attempt --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """What a campaign says of ends. Times in seconds."""

    retry_wait: int
    max_retries: int
    min_duration: int
    wait_for_result: bool
    wrap_up_time: int
    minus_limit: int
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
    refused: bool = False
    """The switch or a gateway refused: no leg of the subscriber was created."""
    lost: bool = False
    """We failed: a crash, a restart, a leg that vanished."""
    subscriber_first: bool = False


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """What is known of the subscriber when an attempt on him ends."""

    counted: int
    minus_in_row: int
    extra_attempts: int
    active_numbers: int
    """Numbers that are not stopped, the dialled one included."""
    expire_at: datetime | None = None
    end_requested: bool = False


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
    """Return the attempt's cause: that of the subscriber's leg, made plain."""
    if facts.subscriber_first and facts.subscriber_answered and not facts.bridged:
        return "ABANDONED"
    if facts.killed_by_person:
        return "MANAGER_REQUEST"
    cause = facts.subscriber_cause if facts.subscriber_created else facts.operator_cause
    if not cause:
        return SUCCESS_CAUSE if facts.bridged else ("LOST" if facts.lost else "ORIGINATOR_CANCEL")
    if facts.subscriber_created and (
        cause == "ALLOTTED_TIMEOUT" or (cause == "NORMAL_CLEARING" and not facts.subscriber_answered)
    ):
        return "NO_ANSWER"
    return cause


def decide_end(facts: AttemptFacts, member: MemberFacts, rules: Rules, now: datetime) -> EndDecision:
    """Decide what the end of an attempt means for its subscriber."""
    cause = plain_cause(facts)
    ended = facts.subscriber_ended_at or facts.ended_at or now
    wait = ended + timedelta(seconds=rules.retry_wait)
    if facts.bridged:
        if rules.wait_for_result:
            deadline = ended + timedelta(seconds=rules.wrap_up_time)
            return EndDecision(cause, "awaiting_result", False, member.minus_in_row, result_deadline=deadline)
        if facts.talk_seconds >= rules.min_duration:
            return EndDecision(cause, "success", True, 0, end_cause=SUCCESS_CAUSE, success=True)
        return _go_on(cause, "retry", True, 0, member, rules, now, wait)
    if not facts.subscriber_created:
        return _go_on(cause, "refunded", False, member.minus_in_row, member, rules, now, None)
    if cause == "ABANDONED":
        return _go_on(cause, "abandoned", True, 0, member, rules, now, wait)
    if facts.killed_by_person or facts.operator_left or facts.lost:
        return _go_on(cause, "refunded", False, member.minus_in_row, member, rules, now, wait)
    match rules.treatments.get(cause, "retry"):
        case "error" if not rules.error_stops_number_only:
            return EndDecision(cause, "error", True, 0, stop_number_cause=cause, end_cause=cause)
        case "error":
            last = cause if member.active_numbers <= 1 else None
            decision = _go_on(cause, "error", True, 0, member, rules, now, wait, last)
            return EndDecision(
                cause, "error", True, 0, stop_number_cause=cause, end_cause=decision.end_cause, not_before=wait
            )
        case "ok" if cause != SUCCESS_CAUSE:
            return EndDecision(cause, "success", True, 0, end_cause=cause, success=True)
        case "minus":
            in_row = member.minus_in_row + 1
            if rules.minus_limit and in_row >= rules.minus_limit:
                return _go_on(cause, "retry", True, 0, member, rules, now, wait)
            return _go_on(cause, "minus", False, in_row, member, rules, now, wait)
    return _go_on(cause, "retry", True, 0, member, rules, now, wait)


def _go_on(
    cause: str, outcome: str, counted: bool, minus_in_row: int, member: MemberFacts, rules: Rules, now: datetime,
    not_before: datetime | None, end_cause: str | None = None,
) -> EndDecision:  # fmt: skip
    """The attempt itself does not end him: a person, his expiry or the maximum may."""
    if end_cause is None:
        if member.end_requested:
            end_cause = "MANAGER_REQUEST"
        elif member.expire_at is not None and member.expire_at <= now:
            end_cause = "MEMBER_EXPIRED"
        elif member.counted + counted >= rules.max_retries + member.extra_attempts:
            end_cause = "MAX_TRY_COUNT"
    return EndDecision(cause, outcome, counted, minus_in_row, end_cause=end_cause, not_before=not_before)


# --- the operator -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OperatorFacts:
    """His parameters (seconds), his count, and what became of his leg."""

    wrap_up_time: int
    max_no_answer: int
    busy_delay: int
    reject_delay: int
    no_answer_delay: int
    no_answer_count: int
    answered: bool
    bridged: bool
    cause: str
    ended_at: datetime
    left: bool = False
    """He hung up himself while the subscriber rang."""
    ended_by_others: bool = False
    """The attempt was withdrawn, refused or lost, or a person hung up, while he was ringing or not yet rung."""
    hold_until: datetime | None = None
    """The campaign keeps him in wrap-up until the result or this instant."""


@dataclass(frozen=True, slots=True)
class OperatorDecision:
    state: str
    """waiting or wrap_up."""
    wrap_up_until: datetime | None
    ready_at: datetime | None
    no_answer_count: int
    forced_break: bool


def decide_operator(facts: OperatorFacts) -> OperatorDecision:
    """Decide what an attempt's end means for its operator."""

    def after(seconds: int) -> datetime:
        return facts.ended_at + timedelta(seconds=seconds)

    if facts.bridged:
        until = facts.hold_until or (after(facts.wrap_up_time) if facts.wrap_up_time else None)
        return OperatorDecision("wrap_up" if until else "waiting", until, None, 0, False)
    if facts.answered:
        return OperatorDecision("waiting", None, after(facts.reject_delay) if facts.left else None, 0, False)
    if facts.ended_by_others:
        return OperatorDecision("waiting", None, None, facts.no_answer_count, False)
    match facts.cause:
        case "USER_BUSY":
            return OperatorDecision("waiting", None, after(facts.busy_delay), facts.no_answer_count, False)
        case "CALL_REJECTED":
            return OperatorDecision("waiting", None, after(facts.reject_delay), facts.no_answer_count, False)
        case "USER_NOT_REGISTERED" | "SUBSCRIBER_ABSENT":
            return OperatorDecision("waiting", None, None, facts.no_answer_count, False)
    count = facts.no_answer_count + 1
    forced = bool(facts.max_no_answer) and count >= facts.max_no_answer
    return OperatorDecision("waiting", None, after(facts.no_answer_delay), count, forced)


# --- who gets whom ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CampaignLines:
    id: int
    priority: int
    served: int
    lines_left: int
    strategy: str


@dataclass(frozen=True, slots=True)
class FreeOperator:
    id: int
    call_timeout: int
    gateway: int | None
    idle_since: datetime | None
    calls: int
    talk_seconds: int


@dataclass(frozen=True, slots=True)
class TierPlace:
    operator: int
    level: int
    position: int


@dataclass(frozen=True, slots=True)
class Candidate:
    member: int
    digits: str
    gateway: int
    sticky_operator: int | None
    suits: Callable[[int], bool]
    """Whether he may be claimed by an operator whose phone rings so many seconds."""


@dataclass(frozen=True, slots=True)
class Match:
    campaign: int
    operator: int
    member: int


def _rank(operator: FreeOperator, strategy: str) -> tuple[object, ...]:
    match strategy:
        case "fewest_calls":
            return (operator.calls, operator.id)
        case "least_talk":
            return (operator.talk_seconds, operator.id)
        case "random":
            return (random.random(),)  # noqa: S311 - no secret hangs on it
    return (operator.idle_since.timestamp() if operator.idle_since else 0.0, operator.id)


def allot(
    *, campaigns: Sequence[CampaignLines], operators: Iterable[FreeOperator], tiers: Mapping[int, Sequence[TierPlace]],
    lines: Mapping[int, int], candidates: Mapping[int, Sequence[Candidate]], most: int,
) -> list[Match]:  # fmt: skip
    """Decide who gets whom, line by line: the highest priority first, equals by the least recently served."""
    free = {operator.id: operator for operator in operators}
    left = dict(lines)
    queues: dict[int, list[int]] = {}
    for campaign in campaigns:
        places = [place for place in tiers.get(campaign.id, ()) if place.operator in free]
        places.sort(key=lambda p, s=campaign.strategy: (p.level, p.position, _rank(free[p.operator], s)))  # type: ignore[misc]
        queues[campaign.id] = [place.operator for place in places]
    waiting = {campaign.id: list(candidates.get(campaign.id, ())) for campaign in campaigns}
    lines_left = {campaign.id: campaign.lines_left for campaign in campaigns}
    heap = [(-c.priority, c.served, c.id) for c in campaigns if c.lines_left and waiting[c.id]]
    heapify(heap)
    turn = max((c.served for c in campaigns), default=0)
    digits: set[str] = set()
    matches: list[Match] = []
    while heap and len(matches) < most:
        priority, _, campaign_id = heappop(heap)
        match = _first(waiting[campaign_id], queues[campaign_id], free, left, digits)
        if match is None:
            continue
        candidate, operator = match
        waiting[campaign_id].remove(candidate)
        del free[operator.id]
        left[candidate.gateway] -= 1
        if operator.gateway is not None:
            left[operator.gateway] -= 1
        digits.add(candidate.digits)
        matches.append(Match(campaign_id, operator.id, candidate.member))
        lines_left[campaign_id] -= 1
        turn += 1
        if lines_left[campaign_id]:
            heappush(heap, (priority, turn, campaign_id))
    return matches


def _first(
    candidates: list[Candidate], queue: list[int], free: Mapping[int, FreeOperator], left: Mapping[int, int],
    digits: set[str],
) -> tuple[Candidate, FreeOperator] | None:  # fmt: skip
    queue[:] = [operator for operator in queue if operator in free] if any(o not in free for o in queue[:8]) else queue
    for candidate in candidates:
        if left.get(candidate.gateway, 0) < 1 or candidate.digits in digits:
            continue
        for operator_id in queue:
            operator = free.get(operator_id)
            if operator is None or (candidate.sticky_operator and candidate.sticky_operator != operator_id):
                continue
            if operator.gateway is not None:
                needed = 2 if operator.gateway == candidate.gateway else 1
                if left.get(operator.gateway, 0) < needed:
                    continue
            if candidate.suits(operator.call_timeout):
                return candidate, operator
    return None


# --- results ----------------------------------------------------------------------------------------------------

COMMENT_LENGTH = 10_000
FIELDS = frozenset(
    {
        "success",
        "reset_retries",
        "reset_retr",
        "next_after_sec",
        "next_communication",
        "stop_communications",
        "comment",
        "attempt",
    }
)
LONGEST_WAIT = 366 * 24 * 3600
"""Seconds; the longest ``next_after_sec``."""


@dataclass(frozen=True, slots=True)
class Result:
    """A result as it was reported, valid in itself. Numbers are as typed."""

    success: bool
    reset: bool = False
    next_after_sec: int | None = None
    next_communication: str | None = None
    stop: tuple[str, ...] = ()
    stop_all: bool = False
    comment: str = ""
    attempt: int | None = None


def read_result(
    body: Mapping[str, object], digits_of: Callable[[str], str]
) -> tuple[Result | None, dict[str, list[str]]]:
    """Read the body of a result; return it, or every fault by field.

    ``digits_of`` makes a number plain, or raises ``ValueError`` with what is wrong about it.
    """
    faults: dict[str, list[str]] = {}

    def fault(name: str, text: str) -> None:
        faults.setdefault(name, []).append(text)

    for name in body:
        if name not in FIELDS:
            fault(name, "There is no such field.")
    success = body.get("success")
    if not isinstance(success, bool):
        fault("success", "Required: true or false.")
    resets = [body[name] for name in ("reset_retries", "reset_retr") if name in body]
    if any(not isinstance(value, bool) for value in resets):
        fault("reset_retries", "true or false.")
    elif len(set(resets)) > 1:
        fault("reset_retries", "reset_retries and reset_retr say different things.")
    wait = body.get("next_after_sec")
    if wait is not None and (isinstance(wait, bool) or not isinstance(wait, int) or not 0 <= wait <= LONGEST_WAIT):
        fault("next_after_sec", f"A whole number of seconds from 0 to {LONGEST_WAIT}.")
    following = body.get("next_communication")
    plain_next = ""
    if following is not None:
        plain_next = _plain(following, "next_communication", digits_of, fault)
    stop = body.get("stop_communications")
    stop_all = stop == "all"
    numbers: list[object] = [] if stop is None or stop_all else stop if isinstance(stop, list) else [stop]
    plain_stop = [_plain(number, "stop_communications", digits_of, fault) for number in numbers]
    if plain_next and plain_next in plain_stop:
        fault("stop_communications", "The number of the next attempt cannot be stopped.")
    comment = body.get("comment", "")
    if not isinstance(comment, str) or len(comment) > COMMENT_LENGTH:
        fault("comment", f"A text of at most {COMMENT_LENGTH} characters.")
    attempt = body.get("attempt")
    if attempt is not None and (isinstance(attempt, bool) or not isinstance(attempt, int)):
        fault("attempt", "The number of an attempt.")
    if faults:
        return None, faults
    return (
        Result(
            success=bool(success),
            reset=bool(resets and resets[0]),
            next_after_sec=wait if isinstance(wait, int) else None,
            next_communication=str(following).strip() if following is not None else None,
            stop=tuple(plain_stop),
            stop_all=stop_all,
            comment=str(comment),
            attempt=attempt if isinstance(attempt, int) else None,
        ),
        {},
    )


def _plain(number: object, name: str, digits_of: Callable[[str], str], fault: Callable[[str, str], None]) -> str:
    if not isinstance(number, str):
        fault(name, "A number is a text.")
        return ""
    try:
        return digits_of(number)
    except ValueError as error:
        fault(name, str(error))
        return ""


@dataclass(frozen=True, slots=True)
class ResultDecision:
    """What a result, or that none came, means for the subscriber; how his numbers change is ``Result``'s to say."""

    outcome: str
    counted: bool
    end_cause: str | None
    success: bool
    not_before: datetime | None
    extra_attempts: int = 0


def decide_result(
    result: Result, member: MemberFacts, rules: Rules, *, active_after: int, call_ended: datetime, received: datetime
) -> ResultDecision:
    """Decide what a result means. ``active_after``: numbers that are not stopped once the result is applied."""
    if result.success:
        return ResultDecision("success", True, SUCCESS_CAUSE, True, None)
    base = max(call_ended, received) if result.next_after_sec is not None else call_ended
    wait = rules.retry_wait if result.next_after_sec is None else result.next_after_sec
    counted_after = 0 if result.reset else member.counted + 1
    maximum = rules.max_retries + (0 if result.reset else member.extra_attempts)
    end_cause = None
    extra = 0
    if member.end_requested:
        end_cause = "MANAGER_REQUEST"
    elif active_after == 0:
        end_cause = "NO_COMMUNICATIONS"
    elif member.expire_at is not None and member.expire_at <= received:
        end_cause = "MEMBER_EXPIRED"
    elif counted_after >= maximum:
        if result.next_communication is not None:
            extra = counted_after - maximum + 1  # the number that was asked for gets its attempt
        else:
            end_cause = "MAX_TRY_COUNT"
    return ResultDecision("retry", True, end_cause, False, base + timedelta(seconds=wait), extra)


def decide_no_result(member: MemberFacts, rules: Rules, *, call_ended: datetime, now: datetime) -> ResultDecision:
    """Decide what it means that no result came in time: counted, not successful."""
    not_before = call_ended + timedelta(seconds=rules.retry_wait)
    end_cause = None
    if member.end_requested:
        end_cause = "MANAGER_REQUEST"
    elif member.active_numbers == 0:
        end_cause = "NO_COMMUNICATIONS"
    elif member.expire_at is not None and member.expire_at <= now:
        end_cause = "MEMBER_EXPIRED"
    elif member.counted + 1 >= rules.max_retries + member.extra_attempts:
        end_cause = "MAX_TRY_COUNT"
    return ResultDecision("retry", True, end_cause, False, not_before)
