"""What the board of operators shows: one reading for all viewers, in a constant number of statements.

As on the live page instants are milliseconds since 1970 in rule time, and words come from here. What they did today is
read from the ledger, and kept for some seconds: "today" begins at midnight in the zone of most calendars.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db.models import Count, QuerySet
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from agents.models import AWAY_STATUSES, READY_STATUSES, Operator, OperatorState, OperatorStatus, Tier
from campaigns.models import Campaign
from dialer import clock, live, readings
from dialer.api import scope
from dialer.api.scope import Scope
from dialer.models import Coaching, Outcome
from dialer.statistics.queries import Asked, Duty
from dialer.statistics.queries import read as read_statistics
from dialer.statistics.ranges import Preset, Range, of_preset
from dialer.templatetags.spans import duration

_KEY = "operators:"
_EMPTY: tuple[Any, ...] = (None, "")


def snapshot_json(only: Scope = None) -> str:
    """Return what the board shows now, as JSON, with the calls of all campaigns or of some.

    However many viewers of the same campaigns ask, the database is read once a second.
    """
    body = readings.shared(_key("board", only), lambda: _as_json(read(only)))
    return f'{{"now":{live.ms(clock.now())},"factor":{clock.FACTOR:g},{body[1:]}'


def _as_json(found: dict[str, Any]) -> str:
    """Write a reading for the page. What is empty of an operator is left out: with a thousand it is a third of all."""
    lean = [{name: value for name, value in row.items() if value not in _EMPTY} for row in found["operators"]]
    return json.dumps({**found, "operators": lean}, separators=(",", ":"), ensure_ascii=False)


def forget(only: Scope = None) -> None:
    """Let the next viewer see what was just done, instead of the last second's reading."""
    cache.delete_many([_key("board"), _key("board", only)])


def _key(name: str, only: Scope = None) -> str:
    """Return under which name a reading is kept: words are of a language, and calls of campaigns."""
    return f"{_KEY}{name}:{get_language()}{scope.mark(only)}"


def read(only: Scope = None) -> dict[str, Any]:
    """Read what the board shows. Nine statements at most, of which two are made each second."""
    today = shared_today(only)
    tiers = readings.shared(_key("tiers", only), lambda: _campaigns_of_operators(only), times=readings.COUNTS_TIMES)
    return {
        "since": live.ms(today.range.start),
        "zone": today.range.zone,
        "campaigns": [{"id": pk, "name": name} for pk, name in tiers.names.items()],
        "operators": rows(Operator.objects.filter(archived=False), only, today.duties, tiers.of, who_coaches(only)),
    }


# --- today ------------------------------------------------------------------------------------------------------


class Today:
    """What the ledger says of today, by operator."""

    def __init__(self, range_: Range, duties: list[Duty]) -> None:
        self.range = range_
        self.duties = {duty.operator: duty for duty in duties}


def shared_today(only: Scope) -> Today:
    """Return what the ledger says of today, read again after ten times as long as it took."""
    return readings.shared(_key("today", only), lambda: _read_today(only), times=readings.COUNTS_TIMES)


def _read_today(only: Scope) -> Today:
    """Four statements at most."""
    today = of_preset(Preset.TODAY, zone_of_the_house(), clock.now())
    return Today(today, read_statistics(Asked(today, only)).operators)


def zone_of_the_house() -> str:
    """Return the zone that most campaigns keep to; UTC while there are none. One statement."""
    zones = Campaign.objects.order_by().values_list("calendar__time_zone").annotate(count=Count("*"))
    found = zones.order_by("-count", "calendar__time_zone").values_list("calendar__time_zone", flat=True).first()
    return found or "UTC"


# --- who serves what --------------------------------------------------------------------------------------------


class Tiers:
    """The campaigns that operators serve."""

    def __init__(self, only: Scope) -> None:
        found = Tier.objects.filter(operator__archived=False).order_by("campaign__name", "campaign_id")
        if only is not None:
            found = found.filter(campaign__in=only)
        self.names: dict[int, str] = {}
        self.of: defaultdict[int, list[int]] = defaultdict(list)
        for operator, campaign, name in found.values_list("operator_id", "campaign_id", "campaign__name"):
            self.names[campaign] = name
            self.of[operator].append(campaign)


def _campaigns_of_operators(only: Scope) -> Tiers:
    """One statement."""
    return Tiers(only)


# --- who listens ------------------------------------------------------------------------------------------------


def who_coaches(only: Scope) -> dict[int, list[dict[str, Any]]]:
    """Return the supervisors on calls by attempt, those first who came first. One statement."""
    live_ones = Coaching.objects.live().filter(stopped_at__isnull=True).order_by("pk")
    if only is not None:
        live_ones = live_ones.filter(attempt__campaign__in=only)
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for coaching in live_ones.select_related("supervisor"):
        him = coaching.supervisor
        name = (him.get_full_name() or him.get_username()) if him else "–"
        found[coaching.attempt_id].append(
            {
                "user": coaching.supervisor_id,
                "by": name,
                "mode": coaching.mode,
                "on": coaching.answered_at is not None,
            }
        )
    return dict(found)


# --- rows -------------------------------------------------------------------------------------------------------

SHOWN = (
    "id", "name", "extension", "contact", "status", "next_status", "status_since", "forced_break", "state",
    "state_since", "ready_at", "wrap_up_until", "registered", "uses_client", "client_connected", "call_centre_mode",
    "no_answer_count", "current_attempt_id", "current_attempt__member_id", "current_attempt__member__name",
    "current_attempt__digits", "current_attempt__communication__number", "current_attempt__reserved_at",
    "current_attempt__bridged_at", "current_attempt__talk_ended_at", "current_attempt__campaign_id",
    "current_attempt__campaign__name", "last_attempt__ended_at", "last_attempt__outcome", "last_attempt__cause",
    "last_attempt__campaign_id",
)  # fmt: skip


def rows(
    operators: QuerySet[Operator],
    only: Scope,
    done: Mapping[int, Duty],
    campaigns: Mapping[int, list[int]],
    coached: Mapping[int, list[dict[str, Any]]] | None = None,
) -> list[dict[str, Any]]:
    """Read operators as the board shows them; with whom they talk, and the last call, if it is for a campaign that may
    be shown. One statement."""
    # Translated once, not once an operator.
    labels = {value: str(label) for value, label in [*OperatorStatus.choices, *OperatorState.choices]}
    outcomes = {value: str(label) for value, label in Outcome.choices}
    now = clock.now()
    return [
        _operator(row, labels, now)
        | _call(row, only, coached or {})
        | _last_call(row, outcomes, only)
        | _done(done.get(row["id"]))
        | {"campaigns": campaigns.get(row["id"], [])}
        for row in operators.order_by("name", "pk").values(*SHOWN)
    ]


def _operator(row: Mapping[str, Any], labels: Mapping[str, str], now: datetime) -> dict[str, Any]:
    status, state = row["status"], row["state"]
    away = status in AWAY_STATUSES and state == OperatorState.IDLE
    if away:
        tone = "break" if status == OperatorStatus.ON_BREAK else "off"
    else:
        tone = live.OPERATOR_TONES[state]
    rests = state == OperatorState.WAITING and row["ready_at"] is not None and row["ready_at"] > now
    return {
        "id": row["id"],
        "name": row["name"],
        "extension": row["extension"],
        "status": labels[status],
        "shown": labels[status if away else state],
        "group": status if away else state,
        "tone": tone,
        "since": live.ms(row["status_since"] if away else row["state_since"]),
        "until": live.ms(row["wrap_up_until"]),
        "rests_until": live.ms(row["ready_at"]) if rests else None,
        "forced": row["forced_break"],
        "note": note(row, labels),
        "phone": None if row["contact"] else row["registered"],
        "client": _client(row),
        "may": _may(row),
    }


def note(row: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Tell what is out of the ordinary."""
    if row["forced_break"]:
        return _("forced: %d calls in a row not answered") % row["no_answer_count"]
    if row["next_status"]:
        return _("then %s") % labels[row["next_status"]]
    if row["status"] in READY_STATUSES:
        if not row["registered"] and not row["contact"]:
            return _("phone not registered")
        if row["uses_client"] and not row["client_connected"]:
            return _("client not connected")
        if row["uses_client"] and not row["call_centre_mode"]:
            return _("call-centre mode off")
        if row["state"] == OperatorState.IDLE:
            return _("has not said that he is ready")
    return ""


def _client(row: Mapping[str, Any]) -> str:
    """Tell of his client, in a word for the page: ``on``, ``mode`` (call-centre mode is off), ``off``, or nothing for
    who needs none."""
    if row["client_connected"]:
        return "on" if row["call_centre_mode"] or not row["uses_client"] else "mode"
    return "off" if row["uses_client"] else ""


def _may(row: Mapping[str, Any]) -> str:
    """Tell what a supervisor would most likely do for him, in a word for the page."""
    if row["state"] == OperatorState.WRAP_UP or (
        row["state"] == OperatorState.IDLE and row["status"] in READY_STATUSES
    ):
        return "ready"
    return "end_break" if row["status"] == OperatorStatus.ON_BREAK else ""


def _call(row: Mapping[str, Any], only: Scope, coached: Mapping[int, list[dict[str, Any]]]) -> dict[str, Any]:
    """Tell of the call that he is on, and who else is."""
    if row["current_attempt_id"] is None:
        return {}
    talks = row["current_attempt__bridged_at"] is not None and row["current_attempt__talk_ended_at"] is None
    call: dict[str, Any] = {
        "talks": talks,
        "since": live.ms(row["current_attempt__bridged_at" if talks else "current_attempt__reserved_at"]),
    }
    if only is None or row["current_attempt__campaign_id"] in only:
        call |= {
            "attempt": row["current_attempt_id"],
            "with": row["current_attempt__member__name"] or f"#{row['current_attempt__member_id']}",
            "number": row["current_attempt__communication__number"] or row["current_attempt__digits"],
            "campaign": row["current_attempt__campaign__name"],
        }
        if row["current_attempt_id"] in coached:
            call["coached"] = coached[row["current_attempt_id"]]
    return {"call": call}


def _last_call(row: Mapping[str, Any], outcomes: Mapping[str, str], only: Scope) -> dict[str, Any]:
    """Tell of the call before."""
    outcome = row["last_attempt__outcome"]
    if not outcome or not (only is None or row["last_attempt__campaign_id"] in only):
        return {"last": None}
    return {
        "last": {
            "at": live.ms(row["last_attempt__ended_at"]),
            "label": outcomes[outcome],
            "tone": live.OUTCOME_TONES.get(Outcome(outcome), "off"),
            "cause": row["last_attempt__cause"],
        }
    }


def _done(duty: Duty | None) -> dict[str, Any]:
    """Tell what he did today: calls, successes, seconds of talk and of breaks, and the share of his time on duty that
    he was on calls."""
    nothing = {"calls": 0, "success": 0, "talk": 0, "talk_told": duration(0), "breaks": 0, "breaks_told": duration(0)}
    if duty is None:
        return nothing | {"occupancy": None}
    occupancy, talk, breaks = duty.occupancy, round(duty.seconds["talking"]), round(duty.seconds["on_break"])
    return {
        "calls": round(duty.counts["connected"]),
        "success": round(duty.counts["success"]),
        "talk": talk,
        "talk_told": duration(talk),
        "breaks": breaks,
        "breaks_told": duration(breaks),
        "occupancy": None if occupancy is None else round(occupancy),
    }
