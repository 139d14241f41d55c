"""Results of calls: taken, stored until the call ends, applied, timed out, or refused and kept all the same."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
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
    known = frozenset(member.communications.values_list("digits", flat=True))
    result, faults = policy.read_result(body, partial(_digits, known=known, region=campaign.default_region))
    if result is None:
        raise ValidationError(faults)
    attempt = _attempt_meant(member, result)
    try:
        if attempt is None:
            raise Refused("NOT_CONNECTED", "There was no such call with this subscriber.")
        verdict = _take(attempt, campaign, result, body)
    except Refused as refusal:
        _keep(member, attempt, body, Verdict.REFUSED, refusal.message, by)
        raise
    _keep(member, attempt, body, verdict, "", by)
    return {"attempt": attempt.pk, "result": verdict}


def _attempt_meant(member: Member, result: policy.Result) -> Attempt | None:
    """The attempt that a result is about: the one it names, else his last that was connected, else his last."""
    his = Attempt.objects.filter(member=member)
    if result.attempt is not None:
        return his.filter(pk=result.attempt).first()
    return his.filter(bridged_at__isnull=False).order_by("-pk").first() or his.order_by("-pk").first()


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
        given.result, given.result_at, given.comment = said, now, result.comment
        rows.changed |= {"result", "result_at", "comment", "result_state"}
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
