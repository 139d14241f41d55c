"""Results of calls: taken, stored until the call ends, applied, timed out, or refused and kept all the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction

from agents import actions as agents
from campaigns.models import Campaign
from dialer import clock, verbs
from dialer.engine import calls, policy
from dialer.errors import Refused
from dialer.models import Attempt, Outcome, ResultReport, ResultState
from members import actions as members
from members import numbers
from members.models import Communication, Member

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    from dialer.engine.calls import Held

Verdict = ResultReport.Verdict


def report_result(
    campaign_id: int, member_id: int, body: dict[str, Any], *, by: AbstractBaseUser | AnonymousUser | None = None
) -> dict[str, Any]:
    """Take the result of a call that was reported for a subscriber; return what became of it.

    During the call it is stored, after it applied at once; the same again acts once. Raises ``DoesNotExist`` for an
    unknown campaign or subscriber, ``ValidationError`` with every fault by field, and ``Refused`` when no result is
    awaited, another one was given, or it is about another attempt. What is refused is kept with its attempt; so this
    must not run in a transaction that an exception rolls back.
    """
    campaign = Campaign.objects.get(pk=campaign_id)
    member = Member.objects.get(pk=member_id, campaign=campaign, hidden=False)
    if not isinstance(body, dict):
        raise ValidationError({"success": ["The body is a JSON object with the field success."]})
    known = dict(member.communications.values_list("digits", "number"))
    attempt = _attempt_meant(member, body.get("attempt"))
    whole, faults = _complete(campaign, attempt, body, known)
    result, others = policy.read_result(whole, partial(_digits, known=known, region=campaign.default_region))
    if result is None or faults:
        raise ValidationError(others | faults)
    try:
        if attempt is None:
            raise Refused("NOT_CONNECTED", "There was no such call with this subscriber.")
        with transaction.atomic():
            if result.do_not_call:
                # Before any other lock: no pass claims from here to the end of the transaction.
                asked = f"Asked in call {attempt.pk}"
                members.add_many_do_not_call([members.Listing(digits, reason=asked) for digits in known], by=by)
            verdict = _take(attempt, campaign, result, whole)
    except Refused as refusal:
        _keep(member, attempt, body, Verdict.REFUSED, refusal.message, by)
        raise
    _keep(member, attempt, body, verdict, "", by)
    return {"attempt": attempt.pk, "result": verdict}


def _attempt_meant(member: Member, named: object) -> Attempt | None:
    """The attempt that a result is about: the one it names, else his last that was connected, else his last."""
    his = Attempt.objects.filter(member=member)
    if isinstance(named, int) and not isinstance(named, bool) and 0 <= named <= policy.LARGEST_ID:
        return his.filter(pk=named).first()
    if named is not None:
        return None  # a fault of the body, told with the others
    return his.filter(bridged_at__isnull=False).order_by("-pk").first() or his.order_by("-pk").first()


def _complete(
    campaign: Campaign, attempt: Attempt | None, body: dict[str, Any], known: Mapping[str, str]
) -> tuple[dict[str, Any], policy.Faults]:
    """Return a result with what its disposition stands for, and what is wrong with that by field."""
    named = body.get("disposition")
    if named is None or named == "":
        return body, {}
    # One that is offered no more may be on the screen of a desk still.
    found = campaign.dispositions.filter(name=named).first() if isinstance(named, str) else None
    if found is None:
        offered = campaign.dispositions.filter(archived=False).values_list("name", flat=True)
        told = f"One of: {', '.join(offered)}." if offered else "This campaign defines none."
        return body, {"disposition": [told]}
    disposition = policy.Disposition(
        name=found.name, meaning=found.meaning, requires=frozenset(found.requires), wait=found.wait, stop=found.stop,
        reset_retries=found.reset_retries,
    )  # fmt: skip
    return policy.complete(body, disposition, known.get(attempt.digits, attempt.digits) if attempt else "")


def _keep(
    member: Member, attempt: Attempt | None, body: dict[str, Any], verdict: str, reason: str,
    by: AbstractBaseUser | AnonymousUser | None,
) -> None:  # fmt: skip
    ResultReport.objects.create(
        member=member, attempt=attempt, received_at=clock.now(), body=body, verdict=verdict, reason=reason[:300],
        by_id=by.pk if by is not None else None,
    )  # fmt: skip


def _take(attempt: Attempt, campaign: Campaign, result: policy.Result, body: dict[str, Any]) -> str:
    with calls.held(attempt.pk) as rows:
        assert rows is not None
        given = rows.attempt
        said = {name: value for name, value in body.items() if name != "attempt"}
        if given.result_state in (ResultState.STORED, ResultState.APPLIED):
            if given.result == said:
                return Verdict.REPEATED
            raise Refused("ALREADY_GIVEN", "Another result of this call was given already.")
        if given.result_state == ResultState.TIMED_OUT:
            raise Refused("TIMED_OUT", "The time for a result of this call is over.")
        if given.bridged_at is None:
            raise Refused("NOT_CONNECTED", "This call has not been connected.")
        if not campaign.wait_for_result and given.result_state != ResultState.AWAITED:
            raise Refused("MODE_OFF", "This campaign does not wait for results.")
        if rows.member.current_attempt_id != given.pk:
            raise Refused("NOT_AWAITED", "This is not the call whose result is awaited.")
        now = clock.now()
        if given.result_deadline is not None and now > given.result_deadline:
            raise Refused("TIMED_OUT", "The time for a result of this call is over.")
        _check_next(rows, campaign, result)
        _check_call_back(rows, result, now)
        given.result, given.result_at, given.comment = said, now, result.comment
        given.disposition = body.get("disposition") or ""
        rows.changed |= {"result", "result_at", "comment", "disposition", "result_state"}
        verbs.tell_operators(given.operator_id)
        if rows.live:
            given.result_state = ResultState.STORED
            return Verdict.STORED
        digits_of = _digits_of(rows, campaign.default_region)
        _apply(rows, campaign, result, digits_of, received=now, now=now)
        if campaign.wrap_up_until_result:
            agents.end_wrap_up_for(given.pk, now)
        return Verdict.APPLIED


def _check_next(rows: Held, campaign: Campaign, result: policy.Result) -> None:
    """Refuse a next number that belongs to another subscriber of the campaign."""
    if result.success or result.next_communication is None:
        return
    digits = _digits_of(rows, campaign.default_region)(result.next_communication)
    other = Communication.objects.filter(campaign=rows.member.campaign_id, digits=digits).exclude(member=rows.member)
    if other.exists():
        raise Refused("NUMBER_TAKEN", f"next_communication: {result.next_communication} belongs to another subscriber.")


def _check_call_back(rows: Held, result: policy.Result, now: datetime) -> None:
    """Refuse a call back that cannot be made. Raises ``ValidationError``."""
    at, expire_at = result.call_back_at, rows.member.expire_at
    if at is not None and at > now + timedelta(seconds=policy.LONGEST_WAIT):
        raise ValidationError({"call_back_at": ["At most a year from now."]})
    if at is not None and expire_at is not None and at >= expire_at:
        raise ValidationError({"call_back_at": [f"He expires before that, at {expire_at.isoformat()}."]})


def apply_stored(rows: Held, campaign: Campaign) -> None:
    """Apply the result that was stored during the call, which has just ended and holds its subscriber.

    A next number that another subscriber has got meanwhile, or that the campaign's region does not know, is left out,
    with a row of repair.
    """
    body = rows.attempt.result or {}
    digits_of = _digits_of(rows, campaign.default_region)
    result, faults = policy.read_result(body, digits_of)
    if result is None:
        # It was valid when it came: the campaign has another region now. Its numbers are taken as they were typed.
        digits_of = _digits_of(rows, "")
        result, faults = policy.read_result(body, digits_of)
    if result is None:
        raise ValueError(f"A stored result is not valid: {faults}")
    now = clock.now()
    rows.member.refresh_from_db()
    received = rows.attempt.result_at or now
    try:
        with transaction.atomic():
            _apply(rows, campaign, result, digits_of, received=received, now=now)
    except (Refused, ValidationError) as refusal:
        told = refusal.message if isinstance(refusal, Refused) else " ".join(refusal.messages)
        calls.repair(rows.attempt, "result_in_part", f"The rest of the result was applied. {told}")
        _apply(rows, campaign, replace(result, next_communication=None), digits_of, received=received, now=now)


def _apply(
    rows: Held, campaign: Campaign, result: policy.Result, digits_of: Callable[[str], str],
    *, received: datetime, now: datetime,
) -> None:  # fmt: skip
    following = digits_of(result.next_communication) if result.next_communication else None
    known = next((number for number in rows.numbers if number.digits == following), None)
    stopped = [
        number.pk
        for number in rows.numbers
        if (result.stop_all or number.digits in result.stop) and number.digits != following
    ]
    active = {number.pk for number in rows.numbers if not number.stopped} - set(stopped)
    comes_back = following is not None and (known is None or known.pk not in active)
    decision = policy.decide_result(
        result,
        calls.member_facts(rows),
        calls.rules_of(campaign),
        active_after=len(active) + comes_back,
        call_ended=rows.attempt.subscriber_ended_at or rows.attempt.ended_at or now,
        received=received,
        now=now,
    )
    members.apply_result(
        rows.member.pk,
        rows.attempt.pk,
        now=now,
        reset_counters=result.reset,
        stop_ids=stopped,
        reactivate_id=known.pk if known else None,
        new_number=result.next_communication if following and known is None else None,
        request_next=following is not None,
        extra_attempts=decision.extra_attempts,
        end_cause=decision.end_cause,
        success=decision.success,
        not_before=decision.not_before,
        callback=result.call_back_at is not None,
        sticky_operator_id=rows.attempt.operator_id if result.call_back_mine else None,
        counted=decision.counted,
        minus_in_row=0,
    )
    _settle(rows, decision, ResultState.APPLIED)
    verbs.wake()


def _digits(number: str, *, known: Collection[str], region: str) -> str:
    """Return the digits of a number in a result: one of his own as typed, else by the campaign's region."""
    typed = numbers.clean(number).digits
    return typed if typed in known or not region else numbers.clean(number, region).digits


def _digits_of(rows: Held, region: str) -> Callable[[str], str]:
    known = frozenset(number.digits for number in rows.numbers)
    return partial(_digits, known=known, region=region)


def _settle(rows: Held, decision: policy.ResultDecision, state: ResultState) -> None:
    """Write into the attempt what it finally meant."""
    rows.attempt.outcome, rows.attempt.counted, rows.attempt.result_state = decision.outcome, decision.counted, state
    rows.changed |= {"outcome", "counted", "result_state"}
    rows.save()


def extend(attempt_id: int, seconds: int) -> dict[str, datetime | None]:
    """Put off the end of an operator's wrap-up after this call, and of the time for its result, by so many seconds.

    Returns ``wrap_up_until`` and ``result_until``. Raises ``Refused``: TOO_LONG when the campaign does not allow so
    much in all, OVER when neither runs any more.
    """
    with calls.held(attempt_id) as rows:
        if rows is None:
            raise Attempt.DoesNotExist
        given, now = rows.attempt, clock.now()
        most = Campaign.objects.values_list("wrap_up_extension", flat=True).get(pk=given.campaign_id)
        left = max(0, most - given.extended)
        if seconds > left:
            raise Refused("TOO_LONG", f"This campaign allows {left} s more.")
        by = timedelta(seconds=seconds)
        wrap_up_until = agents.extend_wrap_up(given.operator_id, given.pk, by, now)
        deadline = given.result_deadline
        if given.result_state != ResultState.AWAITED or deadline is None or deadline <= now:
            deadline = None
        if wrap_up_until is None and deadline is None:
            raise Refused("OVER", "The wrap-up of this call is over, and its result is not awaited.")
        if deadline is not None:
            deadline += by
            rows.set(result_deadline=deadline)
        rows.set(extended=given.extended + seconds)
        verbs.tell_operators(given.operator_id)
        return {"wrap_up_until": wrap_up_until, "result_until": deadline}


def time_out(attempt_id: int) -> bool:
    """Let a subscriber go whose result did not come in time; ``False`` when it came after all."""
    with calls.held(attempt_id) as rows:
        now = clock.now()
        if rows is None or rows.attempt.result_state != ResultState.AWAITED:
            return False
        if rows.attempt.result_deadline is None or rows.attempt.result_deadline > now:
            return False
        campaign = Campaign.objects.prefetch_related("causes").get(pk=rows.attempt.campaign_id)
        decision = policy.decide_no_result(
            calls.member_facts(rows),
            calls.rules_of(campaign),
            call_ended=rows.attempt.subscriber_ended_at or rows.attempt.ended_at or now,
            now=now,
        )
        goes_on = members.apply_result(
            rows.member.pk, attempt_id, now=now, reset_counters=False, stop_ids=[], reactivate_id=None, new_number=None,
            request_next=False, extra_attempts=0, end_cause=decision.end_cause, success=False,
            not_before=decision.not_before, counted=decision.counted, minus_in_row=0,
        )  # fmt: skip
        if not goes_on:
            # A person ended him while the result was awaited: what he then was counted for stays as it was.
            decision = replace(decision, outcome=Outcome.REFUNDED, counted=False)
        _settle(rows, decision, ResultState.TIMED_OUT)
        verbs.wake()
        verbs.tell_operators(rows.attempt.operator_id)
        return True
