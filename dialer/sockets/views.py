"""What an operator's client is shown, read from the database, and the messages that lead from one reading to the next.

A message is made of two readings, never of an event: whatever was missed in between is told with the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from django.db.models import Q

from agents.api import STATES, STATUSES
from agents.models import Operator, OperatorState
from campaigns.models import Campaign
from dialer.models import Attempt, OperatorTry, ResultState

Message: TypeAlias = dict[str, Any]

GIVEN = (ResultState.STORED, ResultState.APPLIED)


@dataclass(frozen=True, slots=True)
class View:
    """What one operator is shown."""

    state: Message
    calls: dict[int, Message] = field(default_factory=dict)
    """By attempt: the live one once his phone is rung, the last one, and those whose result is awaited."""
    campaigns: dict[int, Message] = field(default_factory=dict)
    """Those that he serves."""

    def snapshot(self) -> Message:
        """Return the message that shows all of it."""
        return {
            "type": "snapshot",
            "state": self.state,
            "calls": list(self.calls.values()),
            "campaigns": list(self.campaigns.values()),
        }

    def unfinished(self) -> set[int]:
        """Return the attempts that have more to tell."""
        return {
            attempt
            for attempt, call in self.calls.items()
            if call["ended_at"] is None or call["result"] == ResultState.AWAITED
        }


def read(operator_ids: Collection[int], known: Mapping[int, Collection[int]]) -> dict[int, View]:
    """Read what these operators are shown; ``known``: attempts by operator that they were told of and not the end of.

    Four statements, whatever there is. An operator who does not exist is left out.
    """
    operators = {operator.pk: operator for operator in Operator.objects.filter(pk__in=operator_ids)}
    views = {pk: View(_state(operator)) for pk, operator in operators.items()}
    last = {operator.last_attempt_id for operator in operators.values()} - {None}
    told = {attempt for ids in known.values() for attempt in ids}
    attempts = Attempt.objects.select_related("member", "communication", "campaign").filter(
        Q(operator__in=operators, ended_at__isnull=True, operator_ringing_at__isnull=False)
        | Q(operator__in=operators, result_state=ResultState.AWAITED)
        | Q(pk__in=last | told)
    )
    found = {attempt.pk: attempt for attempt in attempts.order_by("pk")}
    for attempt in found.values():
        if attempt.operator_id in views and _was_rung(attempt):
            views[attempt.operator_id].calls[attempt.pk] = _call(attempt)
    _show_calls_that_went_on(views, found, known)
    served = Campaign.objects.filter(tiers__operator__in=operators)
    for operator_id, pk, name, state in served.values_list("tiers__operator_id", "id", "name", "state"):
        views[operator_id].campaigns[pk] = {"id": pk, "name": name, "state": state}
    return views


def _was_rung(attempt: Attempt) -> bool:
    """Tell whether the phone of the operator who holds it was rung: until then there is nothing to show."""
    return attempt.seeking_since is None and attempt.operator_ringing_at is not None


def _show_calls_that_went_on(
    views: Mapping[int, View], found: Mapping[int, Attempt], known: Mapping[int, Collection[int]]
) -> None:
    """Let calls that another operator was given end for those who did not take them. One statement, if any."""
    gone = [
        (operator_id, attempt)
        for operator_id, attempts in known.items()
        for attempt in attempts
        if operator_id in views and attempt in found and attempt not in views[operator_id].calls
    ]
    if not gone:
        return
    tried = OperatorTry.objects.filter(attempt__in={attempt for _operator, attempt in gone}).order_by("pk")
    tries = {(each.operator_id, each.attempt_id): each for each in tried}
    for operator_id, attempt in gone:
        gave_up = tries.get((operator_id, attempt))
        ended_at = gave_up.ended_at if gave_up else found[attempt].seeking_since or found[attempt].reserved_at
        views[operator_id].calls[attempt] = _call(found[attempt]) | {
            "ringing_at": _iso(gave_up.ringing_at) if gave_up else None,
            "connected_at": None,
            "ended_at": _iso(ended_at),
            "cause": gave_up.cause if gave_up else "",
            "talk": 0,
            "result": "",
            "result_wanted": False,
            "result_until": None,
        }


def _state(operator: Operator) -> Message:
    until = None
    if operator.state == OperatorState.WRAP_UP:
        until = operator.wrap_up_until
    elif operator.state == OperatorState.WAITING:
        until = operator.ready_at
    return {
        "operator": {"id": operator.pk, "name": operator.name, "extension": operator.extension},
        "status": STATUSES[operator.status],
        "next_status": STATUSES.get(operator.next_status),
        "status_since": _iso(operator.status_since),
        "forced_break": operator.forced_break,
        "state": STATES[operator.state],
        "since": _iso(operator.state_since),
        "until": _iso(until),
        "call_centre_mode": operator.call_centre_mode,
        "phone_registered": operator.registered,
    }


def _call(attempt: Attempt) -> Message:
    live = attempt.ended_at is None
    may_report = live and attempt.bridged_at is not None and attempt.campaign.wait_for_result
    awaited = attempt.result_state == ResultState.AWAITED
    return {
        "attempt": attempt.pk,
        "campaign": {"id": attempt.campaign_id, "name": attempt.campaign.name},
        "member": attempt.member_id,
        "name": attempt.member.name,
        "external_id": attempt.member.external_id,
        "number": attempt.communication.number if attempt.communication else attempt.digits,
        "variables": attempt.variables,
        "ringing_at": _iso(attempt.operator_ringing_at),
        "connected_at": _iso(attempt.bridged_at),
        "ended_at": _iso(attempt.ended_at),
        "cause": attempt.cause,
        "talk": round(attempt.talk_seconds),
        "result": attempt.result_state,
        "result_wanted": awaited or (may_report and not attempt.result_state),
        "result_until": _iso(attempt.result_deadline) if awaited else None,
    }


def _iso(instant: datetime | None) -> str | None:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z") if instant else None


# --- from one reading to the next -------------------------------------------------------------------------------


def differences(old: View, new: View) -> Iterator[Message]:
    """Yield the messages that tell what has changed, the stages of a call in their order."""
    for attempt, call in new.calls.items():
        yield from _stages(old.calls.get(attempt), call)
    if new.state != old.state:
        yield {"type": "state", **new.state}
    for campaign_id, campaign in new.campaigns.items():
        if campaign != old.campaigns.get(campaign_id):
            yield {"type": "campaign", **campaign, "assigned": True}
    for campaign_id, campaign in old.campaigns.items():
        if campaign_id not in new.campaigns:
            yield {"type": "campaign", **campaign, "assigned": False}


def _stages(old: Message | None, new: Message) -> Iterator[Message]:
    attempt = new["attempt"]
    if old is None:
        yield {"type": "call", **new}
    was: Mapping[str, Any] = old or {}
    if new["connected_at"] and not was.get("connected_at"):
        yield {"type": "connected", "attempt": attempt, "at": new["connected_at"]}
    if new["ended_at"] and not was.get("ended_at"):
        yield {
            "type": "ended", "attempt": attempt, "at": new["ended_at"], "cause": new["cause"], "talk": new["talk"]
        }  # fmt: skip
    wanted = (new["result_wanted"], new["result_until"])
    if new["result_wanted"] and wanted != (was.get("result_wanted"), was.get("result_until")):
        yield {"type": "result_wanted", "attempt": attempt, "until": new["result_until"]}
    if new["result"] != was.get("result", ""):
        if new["result"] in GIVEN:
            yield {"type": "result_taken", "attempt": attempt, "applied": new["result"] == ResultState.APPLIED}
        elif new["result"] == ResultState.TIMED_OUT:
            yield {"type": "result_timed_out", "attempt": attempt}
