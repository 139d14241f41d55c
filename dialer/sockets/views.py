"""What an operator's client is shown, read from the database, and the messages that lead from one reading to the next.

A message is made of two readings, never of an event: whatever was missed in between is told with the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from django.db.models import Case, OuterRef, Q, Subquery, When

from agents.api import STATES, STATUSES
from agents.models import Operator, OperatorState, OperatorStatus
from campaigns.models import Campaign, ConnectOrder
from dialer.models import Attempt, Coaching, CoachingMode, KillReason, OperatorTry, ResultState
from dialer.sockets.models import Client

Message: TypeAlias = dict[str, Any]

COACHED_AS = Subquery(
    Coaching.objects.live()
    .filter(attempt=OuterRef("pk"), answered_at__isnull=False)
    .order_by(Case(When(mode=CoachingMode.BARGE, then=0), When(mode=CoachingMode.WHISPER, then=1), default=2))
    .values("mode")[:1]
)
"""How the supervisor who is on a call does most of those who are: who speaks to both comes before who listens."""
GIVEN = (ResultState.STORED, ResultState.APPLIED)


@dataclass(frozen=True, slots=True)
class View:
    """What one operator is shown."""

    state: Message
    calls: dict[int, Message] = field(default_factory=dict)
    """By attempt: the live one from its reservation on, the last one, and those whose result is awaited."""
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

    Five statements at most, whatever there is. An operator who does not exist is left out.
    """
    operators = {operator.pk: operator for operator in Operator.objects.filter(pk__in=operator_ids)}
    views = {pk: View(_state(operator)) for pk, operator in operators.items()}
    last = {operator.last_attempt_id for operator in operators.values()} - {None}
    told = {attempt for ids in known.values() for attempt in ids}
    attempts = Attempt.objects.annotate(coached_as=COACHED_AS)
    attempts = attempts.select_related("member", "communication", "campaign__calendar", "operator").filter(
        Q(operator__in=operators, ended_at__isnull=True)
        | Q(operator__in=operators, result_state=ResultState.AWAITED)
        | Q(pk__in=last | told)
    )
    found = {attempt.pk: attempt for attempt in attempts.order_by("pk")}
    for attempt in found.values():
        holder = attempt.operator_id
        if holder in views and _is_shown(attempt, known.get(holder, ())):
            views[holder].calls[attempt.pk] = _call(attempt, operators[holder])
    _show_calls_that_went_on(views, found, known)
    for operator in operators.values():
        if his_last := views[operator.pk].calls.get(operator.last_attempt_id or 0):
            views[operator.pk].state["extendable"] = his_last["result_extendable"]
    leading = Client.objects.filter(operator__in=operators, leads_since__isnull=False).order_by("leads_since", "pk")
    for operator_id, client_id in leading.values_list("operator_id", "pk"):
        views[operator_id].state["leader"] = str(client_id)
    served = Campaign.objects.filter(tiers__operator__in=operators)
    for operator_id, pk, name, state in served.values_list("tiers__operator_id", "id", "name", "state"):
        views[operator_id].campaigns[pk] = {"id": pk, "name": name, "state": state}
    return views


def _is_shown(attempt: Attempt, known: Collection[int]) -> bool:
    """Tell whether its operator has anything of it: one that never rang his phone is of interest while it is live."""
    began = attempt.operator_ringing_at is not None or attempt.ended_at is None
    return attempt.seeking_since is None and (began or attempt.pk in known)


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
        views[operator_id].calls[attempt] = _call(found[attempt], found[attempt].operator) | {
            "stage": "ended",
            "ringing_at": _iso(gave_up.ringing_at) if gave_up else None,
            "connected_at": None,
            "ended_at": _iso(ended_at),
            "cause": gave_up.cause if gave_up else "",
            "talk": 0,
            "result": "",
            "result_wanted": False,
            "result_until": None,
            "coached": "",
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
        "reason": operator.change_reason if operator.status == OperatorStatus.ON_BREAK else "",
        "state": STATES[operator.state],
        "since": _iso(operator.state_since),
        "until": _iso(until),
        "call_centre_mode": operator.call_centre_mode,
        "phone_registered": operator.registered,
        "extendable": 0,
        "leader": None,
    }


def _stage(attempt: Attempt) -> tuple[str, datetime]:
    """Return how far a call is, for its operator, and since when; whose phone rings first depends on its order."""
    subscriber_first = attempt.connect_order == ConnectOrder.SUBSCRIBER_FIRST
    rings = "ringing", attempt.operator_ringing_at
    dials = "dialling", attempt.subscriber_created_at or (None if subscriber_first else attempt.operator_answered_at)
    for stage, since in (
        ("ended", attempt.ended_at),
        ("connected", attempt.bridged_at),
        *((rings, dials) if subscriber_first else (dials, rings)),
    ):
        if since:
            return stage, since
    return "reserved", attempt.operator_reserved_at or attempt.reserved_at


def _ended_by(attempt: Attempt) -> str:
    """Return who ended a call: a word, empty when nobody in particular did."""
    if attempt.kill_reason != KillReason.PERSON:
        return attempt.ended_by
    return "operator" if attempt.killed_by_id and attempt.killed_by_id == attempt.operator.user_id else "supervisor"


def _call(attempt: Attempt, operator: Operator) -> Message:
    live = attempt.ended_at is None
    may_report = live and attempt.bridged_at is not None and attempt.campaign.wait_for_result
    awaited = attempt.result_state == ResultState.AWAITED
    wraps_up = operator.state == OperatorState.WRAP_UP and operator.last_attempt_id == attempt.pk
    extendable = max(0, attempt.campaign.wrap_up_extension - attempt.extended) if awaited or wraps_up else 0
    stage, since = _stage(attempt)
    return {
        "attempt": attempt.pk,
        "attempt_number": attempt.counted_before + 1,
        "stage": stage,
        "since": _iso(since),
        "campaign": {"id": attempt.campaign_id, "name": attempt.campaign.name},
        "member": attempt.member_id,
        "name": attempt.member.name,
        "external_id": attempt.member.external_id,
        "number": attempt.communication.number if attempt.communication else attempt.digits,
        "time_zone": attempt.member.time_zone or attempt.campaign.calendar.time_zone,
        "variables": attempt.variables,
        "reserved_at": _iso(attempt.operator_reserved_at or attempt.reserved_at),
        "dialled_at": _iso(attempt.subscriber_created_at),
        "answered_at": _iso(attempt.subscriber_answered_at),
        "ringing_at": _iso(attempt.operator_ringing_at),
        "connected_at": _iso(attempt.bridged_at),
        "ended_at": _iso(attempt.ended_at),
        "cause": attempt.cause,
        "ended_by": _ended_by(attempt),
        "talk": round(attempt.talk_seconds),
        "disposition": attempt.disposition,
        "result": attempt.result_state,
        "result_wanted": awaited or (may_report and not attempt.result_state),
        "result_until": _iso(attempt.result_deadline) if awaited else None,
        "result_extendable": extendable,
        "coached": _coached(attempt),
    }


def _coached(attempt: Attempt) -> str:
    """Return how a supervisor is on a call, as far as its operator is told; one who speaks to both is always told."""
    mode: str = getattr(attempt, "coached_as", None) or ""
    told = attempt.campaign.coaching_shown or mode == CoachingMode.BARGE
    return mode if told and attempt.ended_at is None else ""


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
    was: Mapping[str, Any] = old or {}
    if old is None and not new["ringing_at"]:
        yield {"type": "reserved", **new}
    elif new["ringing_at"] and not was.get("ringing_at"):
        yield {"type": "call", **new}
    if old is not None and new["stage"] != old["stage"]:
        yield {"type": "stage", "attempt": attempt, "stage": new["stage"], "at": new["since"]}
    if new["connected_at"] and not was.get("connected_at"):
        yield {"type": "connected", "attempt": attempt, "at": new["connected_at"]}
    if new["ended_at"] and not was.get("ended_at"):
        yield {
            "type": "ended", "attempt": attempt, "at": new["ended_at"], "cause": new["cause"], "talk": new["talk"],
            "ended_by": new["ended_by"],
        }  # fmt: skip
    if new["coached"] != was.get("coached", ""):
        yield {"type": "coached", "attempt": attempt, "mode": new["coached"]}
    wanted = (new["result_wanted"], new["result_until"])
    if new["result_wanted"] and wanted != (was.get("result_wanted"), was.get("result_until")):
        yield {"type": "result_wanted", "attempt": attempt, "until": new["result_until"]}
    if new["result"] != was.get("result", ""):
        if new["result"] in GIVEN:
            yield {"type": "result_taken", "attempt": attempt, "applied": new["result"] == ResultState.APPLIED}
        elif new["result"] == ResultState.TIMED_OUT:
            yield {"type": "result_timed_out", "attempt": attempt}
