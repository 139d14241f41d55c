"""What the live page shows: one reading for all viewers, in a constant number of statements.

Instants are milliseconds since 1970 in rule time, so that the page's running times agree with the rules whatever the
factor of the clock. Words come from here, places and running times from the page.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytz
from django.core.cache import cache
from django.db import connection
from django.db.models import Case, Count, IntegerField, Value, When
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from redis import RedisError

from agents.models import AWAY_STATUSES, READY_STATUSES, Operator, OperatorState, OperatorStatus, Tier
from campaigns import hours
from campaigns.models import ACTIVE_STATES, Campaign, CampaignState, Gateway, Route
from dialer import clock, last_hour, verbs
from dialer.api import scope
from dialer.api.scope import Scope
from dialer.engine import lanes, nodes
from dialer.last_hour import LastHour
from dialer.models import STAGES, Attempt, Node, Outcome
from dialer.readings import COUNTS_TIMES, shared
from members.models import OPEN_STATES, Member, MemberState

CAMPAIGNS = 50
"""Campaigns that the page shows: those that run first, then the others by their last change."""
ATTEMPTS = 30
"""Last attempts that it lists."""
RECENT = 500
"""Last attempts of a campaign that its connect rate and the causes are taken from."""
FULL_TIME = timedelta(minutes=10)
"""How long a campaign must have run for its pace to be counted on."""
LATE = 5.0
"""Real seconds without a pass of the dial loop, which runs each second, after which the page says so."""

AT_WORK = (*ACTIVE_STATES, CampaignState.STOPPING)
"""States of campaigns that come first, with all their figures."""

OPERATOR_TONES: dict[str, str] = {
    OperatorState.WAITING: "free",
    OperatorState.RESERVED: "held",
    OperatorState.RECEIVING: "ring",
    OperatorState.IN_CALL: "talk",
    OperatorState.WRAP_UP: "wrap",
    OperatorState.IDLE: "off",
}
TONES_IN_ORDER = ("free", "held", "ring", "talk", "wrap", "break", "off")
OUTCOME_TONES = {
    Outcome.SUCCESS: "good",
    Outcome.ERROR: "bad",
    Outcome.ABANDONED: "bad",
    Outcome.MINUS: "warn",
    Outcome.AWAITING_RESULT: "wrap",
}
CAMPAIGN_TONES = {
    CampaignState.RUNNING: "good",
    CampaignState.SLEEPING: "wrap",
    CampaignState.STOPPING: "warn",
    CampaignState.COMPLETED: "talk",
}


def snapshot_json(only: Scope = None, campaign: int | None = None) -> str:
    """Return what the page shows now, as JSON: of all campaigns, of some, or of one with its operators and gateways.

    However many viewers of the same campaigns ask, the database is read once a second.
    """
    body = shared(
        _key(only, campaign),
        lambda: json.dumps(read(only, campaign), separators=(",", ":"), ensure_ascii=False),
    )
    return f'{{"now":{ms(clock.now())},"factor":{clock.FACTOR:g},{body[1:]}'


def _key(only: Scope, campaign: int | None = None) -> str:
    """Return under which name a reading is kept: words are of a language, and calls of campaigns."""
    return f"live:snapshot:{get_language()}{_of(only, campaign)}"


def _of(only: Scope, campaign: int | None = None) -> str:
    """Return what tells a reading of some campaigns from others, as the end of its key."""
    return scope.mark(only) if campaign is None else f":of:{campaign}"


def forget(only: Scope = None, campaign: int | None = None) -> None:
    """Let the next viewer see what was just done, instead of the last second's reading."""
    cache.delete_many({_key(None), _key(only), _key(None, campaign)})


def read(only: Scope = None, campaign: int | None = None) -> dict[str, Any]:
    """Read what the page shows: of all campaigns, of some, or of one with its operators and gateways.

    Fifteen statements at most, whatever there is; those that grow with it are shared.
    """
    now = clock.now()
    of = _of(only, campaign)
    if campaign is not None:
        only = frozenset({campaign})
    visible = Campaign.objects.all() if only is None else Campaign.objects.filter(pk__in=only)
    campaigns = list(
        visible.select_related("calendar")
        .annotate(
            place=Case(
                When(state__in=AT_WORK, then=Value(0)),
                default=Value(1),
                output_field=IntegerField(),
            )
        )
        .order_by("place", "-priority", "-state_since", "pk")[:CAMPAIGNS]
    )
    house = _House.read(campaigns, of, now)
    pass_age, redis_answers = _pass_age()
    gateways = [
        gateway
        for gateway in house.lines.gateways
        if campaign is None or gateway.pk in house.lines.routed[campaign] | house.lines.routed[None]
    ]
    return {
        "alerts": [
            *_alerts_of_loop(pass_age, redis_answers),
            *_alerts_of_switches(house.switches, house.usable, now),
            *_alerts_of_gateways(gateways, now),
        ],
        "pass_at": None if pass_age is None else ms(now - timedelta(seconds=pass_age * clock.FACTOR)),
        "switches": [
            {
                "id": node.pk,
                "name": node.name,
                "tone": "good" if node.pk in house.usable else "bad",
                "label": _("connected") if node.pk in house.usable else _("no calls"),
                "heard_at": ms(node.last_event_at),
            }
            for node in house.switches
        ],
        "campaigns": [_campaign(shown, house) for shown in campaigns],
        "curves": [
            {"id": pk, "dialled": hour.dialled, "connected": hour.connected}
            for pk, hour in house.hours.items()
            if any(hour.dialled)
        ],
        "more_campaigns": max(0, visible.count() - CAMPAIGNS) if len(campaigns) == CAMPAIGNS else 0,
        "gateways": [
            {
                "id": gateway.pk,
                "name": gateway.name,
                "used": house.lines.used[gateway.pk],
                "capacity": gateway.capacity,
                "note": _note_of_gateway(gateway, now),
            }
            for gateway in gateways
        ],
        "causes": house.ledger.causes(),
        "recent": house.ledger.recent,
        "per_minute": house.ledger.per_minute,
        "operators": _operators(now, only, campaign),
        "attempts": [_attempt(attempt) for attempt in _last_attempts(only)],
    }


# --- campaigns --------------------------------------------------------------------------------------------------


def standing_of(campaign: Campaign) -> dict[str, Any]:
    """Return of one campaign what the live page shows of each. Eleven statements at most; whole lists are counted
    seldom."""
    return _campaign(campaign, _House.read([campaign], _of(None, campaign.pk), clock.now()))


Parts = Counter[tuple[str, str, bool]]
"""Subscribers by state, end cause and success."""


def _count_members(ids: list[int]) -> dict[int, Parts]:
    """Count the subscribers of campaigns. One statement, on the index alone."""
    found: dict[int, Parts] = defaultdict(Counter)
    for campaign, state, cause, success, count in (
        Member.objects.visible()
        .filter(campaign__in=ids)
        .order_by()
        .values_list("campaign_id", "state", "end_cause", "success")
        .annotate(count=Count("*"))
    ):
        found[campaign][state, cause, success] = count
    return dict(found)


@dataclass(frozen=True, slots=True)
class _Ledger:
    """What the attempts of the campaigns shown tell."""

    attempts: dict[int, int]
    dialled: Counter[int]
    """Of each campaign's last attempts, those whose subscriber's phone was called."""
    connected: Counter[int]
    ended: Counter[tuple[str, str]]
    """Of all campaigns' last attempts, by cause and outcome."""
    per_minute: int

    @property
    def recent(self) -> dict[str, int]:
        return {"dialled": self.dialled.total(), "connected": self.connected.total(), "of": RECENT}

    def causes(self) -> list[dict[str, Any]]:
        by_cause: dict[str, Counter[str]] = defaultdict(Counter)
        for (cause, outcome), count in self.ended.items():
            by_cause[cause][outcome] += count
        ordered = sorted(by_cause.items(), key=lambda item: (-item[1].total(), item[0]))
        return [
            {"cause": cause, "count": outcomes.total(), "tone": OUTCOME_TONES.get(Outcome(_most(outcomes)), "off")}
            for cause, outcomes in ordered
        ]


def _most(counts: Counter[str]) -> str:
    return counts.most_common(1)[0][0]


def _read_ledger(ids: list[int], now: datetime) -> _Ledger:
    """Read the attempts of campaigns: all are counted on an index, the last ``RECENT`` of each looked into. Two
    statements."""
    attempts = dict(
        Attempt.objects.filter(campaign__in=ids)
        .order_by()
        .values_list("campaign_id")
        .annotate(count=Count("*"))
        .values_list("campaign_id", "count")
    )
    found = _Ledger(attempts, Counter(), Counter(), Counter(), 0)
    in_last_minute = 0
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT asked.id, last.cause, last.outcome, count(last.subscriber_created_at), count(last.bridged_at),
                   count(*) FILTER (WHERE last.reserved_at > %(now)s - interval '1 minute'), count(*)
            FROM unnest(%(ids)s::bigint[]) AS asked(id)
            CROSS JOIN LATERAL (
                SELECT cause, outcome, subscriber_created_at, bridged_at, reserved_at
                FROM dialer_attempt AS a WHERE a.campaign_id = asked.id
                ORDER BY a.id DESC LIMIT %(recent)s
            ) AS last
            GROUP BY asked.id, last.cause, last.outcome
            """,
            {"ids": ids, "now": now, "recent": RECENT},
        )
        for campaign, cause, outcome, dialled, connected, young, count in cursor.fetchall():
            in_last_minute += young
            if outcome:
                found.dialled[campaign] += dialled
                found.connected[campaign] += connected
                found.ended[cause, outcome] += count
    return _Ledger(attempts, found.dialled, found.connected, found.ended, in_last_minute)


@dataclass(frozen=True, slots=True)
class _Lines:
    """Which lines are taken, by whom."""

    gateways: list[Gateway]
    used: Counter[int] = field(default_factory=Counter)
    """By gateway, the lines of outside operators among them."""
    live: Counter[int] = field(default_factory=Counter)
    """Attempts by campaign."""
    routed: dict[int | None, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Gateways of routes that are enabled, by the campaign of the route; ``None`` for the common ones."""
    serves: dict[int | None, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Those of them that may take a call now, full or not."""

    @classmethod
    def read(cls, now: datetime) -> _Lines:
        """Three statements."""
        lines = cls(list(Gateway.objects.all()))
        for campaign, gateway, outside, count in (
            Attempt.objects.live()
            .order_by()
            .values_list("campaign_id", "gateway_id", "operator_gateway_id")
            .annotate(count=Count("*"))
        ):
            lines.live[campaign] += count
            lines.used[gateway] += count
            if outside:
                lines.used[outside] += count
        usable = {gateway.pk for gateway in lines.gateways if gateway.enabled and not _is_blocked(gateway, now)}
        routes = Route.objects.filter(enabled=True).order_by().values_list("campaign_id", "gateway_id").distinct()
        for owner, gateway in routes:
            lines.routed[owner].add(gateway)
            if gateway in usable:
                lines.serves[owner].add(gateway)
        return lines

    def are_full(self, campaign_id: int) -> bool:
        """Tell whether no gateway that may take a call of this campaign has a free line."""
        capacity = {gateway.pk: gateway.capacity for gateway in self.gateways}
        return all(
            self.used[gateway] >= capacity[gateway] for owner in (campaign_id, None) for gateway in self.serves[owner]
        )


@dataclass(slots=True)
class _Staff:
    """Operators of a campaign."""

    by_tone: Counter[str] = field(default_factory=Counter)
    """By what they do, whichever campaign it is for: as their tiles are coloured."""
    on_duty: int = 0

    @property
    def assigned(self) -> int:
        return self.by_tone.total()


def _count_staff(ids: list[int]) -> defaultdict[int, _Staff]:
    """Count the operators of campaigns. One statement."""
    found: defaultdict[int, _Staff] = defaultdict(_Staff)
    for campaign, status, state, count in (
        Tier.objects.filter(campaign__in=ids, operator__archived=False)
        .order_by()
        .values_list("campaign_id", "operator__status", "operator__state")
        .annotate(count=Count("*"))
    ):
        found[campaign].by_tone[_tone_of_operator(status, state)] += count
        if status in READY_STATUSES:
            found[campaign].on_duty += count
    return found


@dataclass(frozen=True, slots=True)
class _House:
    """All that is read to show campaigns."""

    now: datetime
    members: dict[int, Parts]
    ledger: _Ledger
    hours: dict[int, LastHour]
    zones: dict[int, list[str]]
    """Zones of those who may still be called, of campaigns that RUN would start."""
    lines: _Lines
    staff: defaultdict[int, _Staff]
    switches: list[Node]
    usable: set[int]

    @classmethod
    def read(cls, campaigns: Sequence[Campaign], of: str, now: datetime) -> _House:
        """Eleven statements at most. ``of`` ends the keys under which what grows with the lists is shared."""
        ids = [campaign.pk for campaign in campaigns]
        resting = [campaign.pk for campaign in campaigns if campaign.state not in ACTIVE_STATES]
        asked = [last_hour.Asked(campaign.pk, *_working(campaign, now)) for campaign in campaigns]
        return cls(
            now=now,
            members=shared(f"live:members{of}", lambda: _count_members(ids), times=COUNTS_TIMES),
            ledger=shared(f"live:ledger{of}", lambda: _read_ledger(ids, now), times=COUNTS_TIMES),
            hours=shared(f"live:hour{of}", lambda: last_hour.read(asked, now), times=COUNTS_TIMES),
            zones=shared(f"live:zones{of}", lambda: lanes.callable_zones(resting), times=COUNTS_TIMES),
            lines=_Lines.read(now),
            staff=_count_staff(ids),
            switches=list(Node.objects.filter(enabled=True)),
            usable=set(nodes.usable(now)),
        )


def _working(campaign: Campaign, now: datetime) -> tuple[datetime, datetime]:
    """Return the last hour in which a campaign dialled, or as much of it as is known."""
    since = campaign.state_since
    if campaign.state == CampaignState.RUNNING and since is not None:
        return max(since, now - last_hour.HOUR), now
    until = since or now
    return until - last_hour.HOUR, until


def _campaign(campaign: Campaign, house: _House) -> dict[str, Any]:
    pk, parts = campaign.pk, house.members.get(campaign.pk, Counter())
    of = Counter[str]()
    for (state, _cause, success), count in parts.items():
        of["success" if success else state] += count
    ends = Counter({cause: count for (_state, cause, success), count in parts.items() if cause and not success})
    state = CampaignState(campaign.state)
    live, staff, hour = house.lines.live[pk], house.staff[pk], house.hours.get(pk, LastHour())
    left = parts.total() - of["success"] - of[MemberState.ENDED]
    ends_at, ends_note = _forecast(campaign, left, hour, house.now)
    return {
        "id": pk,
        "name": campaign.name,
        "priority": campaign.priority,
        "state": state,
        "label": campaign.get_state_display(),
        "tone": CAMPAIGN_TONES.get(state, "off"),
        "why": _why(campaign, of, house) + _fallen_back(campaign),
        "since": ms(campaign.state_since),
        "active": state in ACTIVE_STATES,
        "at_work": state in AT_WORK,
        "would": _would_stop(live) if state in ACTIVE_STATES else _would_run(campaign, of, house),
        "total": parts.total(),
        "done": parts.total() - left,
        "success": of["success"],
        "ended": of[MemberState.ENDED],
        "live": of[MemberState.LIVE],
        "held": of[MemberState.HELD],
        "waiting": sum(of[open_state] for open_state in OPEN_STATES),
        "ends": ends.most_common(),
        "lines": live,
        "limit": campaign.limit,
        "attempts": house.ledger.attempts.get(pk, 0),
        "dialled": house.ledger.dialled[pk],
        "connected": house.ledger.connected[pk],
        "talk": round(hour.talk),
        "talks": sum(hour.connected),
        "zone": campaign.calendar.time_zone,
        "ends_at": ms(ends_at),
        "ends_note": ends_note,
        "on_duty": staff.on_duty,
        "assigned": staff.assigned,
        "staff": [[tone, staff.by_tone[tone]] for tone in TONES_IN_ORDER if staff.by_tone[tone]],
    }


def _forecast(campaign: Campaign, left: int, hour: LastHour, now: datetime) -> tuple[datetime | None, str]:
    """Return when the list would be done at the pace of the last hour, and why it would not."""
    since, until = _working(campaign, now)
    if campaign.state not in ACTIVE_STATES or not left:
        return None, ""
    if until - since < FULL_TIME or hour.ended < last_hour.LEAST_ENDED:
        return None, _("not known yet")
    week = campaign.calendar.as_hours()
    ends_at = last_hour.done_at(left, hour.ended, until - since, week, now)
    if ends_at is not None:
        return ends_at, ""
    if hours.has_expired(week, now + last_hour.FARTHEST):
        return None, _("its calendar ends before")
    return None, _("not within %d days") % last_hour.FARTHEST.days


def _would_stop(live: int) -> str:
    """Tell what STOP would do."""
    if not live:
        return _("STOP: no new call; none is under way")
    return ngettext("STOP: no new call; %d goes on to its end", "STOP: no new call; %d go on to their end", live) % live


def _would_run(campaign: Campaign, of: Counter[str], house: _House) -> str:
    """Tell what RUN would do."""
    waiting = sum(of[open_state] for open_state in OPEN_STATES)
    week, zones = campaign.calendar.as_hours(), house.zones.get(campaign.pk) or [""]
    if not house.lines.routed[campaign.pk] | house.lines.routed[None]:
        return _("RUN needs a route to a gateway")
    if hours.has_expired(week, house.now):
        return _("RUN: the last date of its calendar is over")
    if not waiting:
        return _("RUN: nobody is left who could be called")
    opening = hours.opens_for_any(week, zones, house.now)
    if opening is None:
        return _("RUN: its calendar never opens for those who are left")
    if opening > house.now:
        return _("RUN: waits %s") % _until(opening, campaign.calendar.time_zone)
    duty = house.staff[campaign.pk].on_duty
    told = ngettext("RUN: calls %d subscriber", "RUN: calls %d subscribers", waiting) % waiting
    staffed = ngettext("%d operator on duty", "%d operators on duty", duty) % duty
    return f"{told}, {staffed}"


def _why(campaign: Campaign, of: Counter[str], house: _House) -> str:
    """Tell in words why a campaign is in its state, and of one that runs what holds it back."""
    live, staff = house.lines.live[campaign.pk], house.staff[campaign.pk]
    match CampaignState(campaign.state):
        case CampaignState.IDLE:
            return _("never run")
        case CampaignState.STOPPED:
            return _("nobody is called")
        case CampaignState.STOPPING:
            if not live:
                return _("no call is left")
            return ngettext("%d call goes on to its end", "%d calls go on to their end", live) % live
        case CampaignState.SLEEPING:
            return _until(campaign.sleeping_until, campaign.calendar.time_zone)
        case CampaignState.COMPLETED:
            reason = campaign.get_completion_display().lower()
            left = campaign.completion_left
            return _("%(reason)s (%(left)d left)") % {"reason": reason, "left": left} if left else reason
    if not house.usable:
        return _("no switch takes calls")
    if not staff.assigned:
        return _("no operator is assigned")
    if not staff.on_duty:
        return _("no operator is on duty")
    if not of[MemberState.READY] and not live:
        return _("everyone left waits for a next try") if of[MemberState.WAITING] else _("nobody is left to call")
    if live >= campaign.limit:
        return _("dialling at its limit")
    if house.lines.are_full(campaign.pk):
        return _("dialling, no line of its gateways is free")
    if not staff.by_tone["free"]:
        return _("dialling, every operator is busy")
    return _("dialling")


def _fallen_back(campaign: Campaign) -> str:
    """Tell that too many answered calls were abandoned to go on subscriber first."""
    until = campaign.operator_first_until
    if campaign.state not in AT_WORK or until is None or until <= clock.now():
        return ""
    return _("; operator first %s, too many were abandoned") % _until(until, campaign.calendar.time_zone)


def _until(instant: datetime | None, zone: str) -> str:
    """Write an instant on the wall clock of a zone, with the date when it is not within this week."""
    if instant is None:
        return ""
    there = localtime(instant, pytz.timezone(zone))
    when = date_format(there, "D H:i" if (instant - clock.now()).days < 6 else "D j M H:i")
    return _("until %(when)s %(zone)s") % {"when": when, "zone": zone}


# --- gateways, switches and the loop ----------------------------------------------------------------------------


def _is_blocked(gateway: Gateway, now: datetime) -> bool:
    return gateway.blocked_until is not None and gateway.blocked_until > now


def _note_of_gateway(gateway: Gateway, now: datetime) -> str:
    if not gateway.enabled:
        return _("switched off")
    return _("no calls for a while: %s") % gateway.blocked_reason if _is_blocked(gateway, now) else ""


def _alerts_of_gateways(gateways: Iterable[Gateway], now: datetime) -> list[dict[str, str]]:
    return [
        {
            "code": f"gateway {gateway.pk}",
            "tone": "warn",
            "title": _("Gateway %s refuses calls.") % gateway.name,
            "text": _("It is tried again within a minute. It said: %s") % gateway.blocked_reason,
        }
        for gateway in gateways
        if gateway.enabled and _is_blocked(gateway, now)
    ]


def _alerts_of_switches(switches: list[Node], usable: set[int], now: datetime) -> list[dict[str, str]]:
    if not switches:
        return [
            {
                "code": "no switch",
                "tone": "bad",
                "title": _("No switch yet."),
                "text": _("The listener has not connected to one: does it run, and is FREESWITCH_URL right?"),
            }
        ]
    alerts = []
    for node in switches:
        if node.pk in usable:
            continue
        if node.blocked_until is not None and node.blocked_until > now:
            title = _("Switch %s refuses calls.")
            text = _("It is tried again within a minute. It said: %s") % node.blocked_reason
        elif node.connected and not node.ready:
            title = _("Switch %s is paused.")
            text = _("It says itself that it takes no calls: it was paused, or shuts down.")
        else:
            title = _("Switch %s is disconnected.")
            text = _("No new call is placed there. Calls under way go on, and the listener is trying again.")
        alerts.append({"code": f"switch {node.pk}", "tone": "bad", "title": title % node.name, "text": text})
    return alerts


def _pass_age() -> tuple[float | None, bool]:
    """Return how many real seconds ago the dial loop ran, and whether Redis answered."""
    try:
        return verbs.last_pass_age(), True
    except (RedisError, OSError):
        return None, False


def _alerts_of_loop(age: float | None, redis_answers: bool) -> list[dict[str, str]]:
    if not redis_answers:
        title = _("Redis does not answer.")
        text = _("Nothing wakes the dial loop: no new call is placed until it does.")
    elif age is None or age > LATE:
        title = _("The dial loop does not run.")
        text = _("Its last pass was %d s ago.") % age if age is not None else _("No pass was seen for a day.")
        text += " " + _("Do the dial worker and beat run?")
    else:
        return []
    return [{"code": "loop", "tone": "bad", "title": title, "text": text}]


# --- operators --------------------------------------------------------------------------------------------------


def _operators(now: datetime, only: Scope, campaign: int | None) -> list[dict[str, Any]]:
    """Read those who have not left, or those of one campaign, with whom they talk to, if it is for a campaign that is
    shown. One statement."""
    there = Operator.objects.filter(archived=False)
    rows = (
        (there if campaign is None else there.filter(tiers__campaign=campaign))
        .order_by("name", "pk")
        .values(
            "id", "name", "extension", "contact", "status", "next_status", "status_since", "forced_break", "state",
            "state_since", "ready_at", "registered", "uses_client", "client_connected", "call_centre_mode",
            "current_attempt__member_id", "current_attempt__member__name", "current_attempt__digits",
            "current_attempt__communication__number", "current_attempt__bridged_at", "current_attempt__campaign_id",
        )
    )  # fmt: skip
    # Translated once, not once an operator.
    labels = {value: str(label) for value, label in [*OperatorStatus.choices, *OperatorState.choices]}
    return [_operator(row, labels, now, only) for row in rows]


def _is_away(status: str, state: str) -> bool:
    return status in AWAY_STATUSES and state == OperatorState.IDLE


def _tone_of_operator(status: str, state: str) -> str:
    if _is_away(status, state):
        return "break" if status == OperatorStatus.ON_BREAK else "off"
    return OPERATOR_TONES[state]


def _operator(row: Mapping[str, Any], labels: Mapping[str, str], now: datetime, only: Scope) -> dict[str, Any]:
    status, state = row["status"], row["state"]
    away = _is_away(status, state)
    rests = state == OperatorState.WAITING and row["ready_at"] is not None and row["ready_at"] > now
    found = {
        "id": row["id"],
        "name": row["name"],
        "extension": row["extension"],
        "status": labels[status],
        "state": labels[state],
        "shown": labels[status if away else state],
        "tone": _tone_of_operator(status, state),
        "since": ms(row["status_since"] if away else row["state_since"]),
        "phone": None if row["contact"] else row["registered"],
        "on_duty": status in READY_STATUSES,
        "talks": row["current_attempt__bridged_at"] is not None,
        "forced": row["forced_break"],
        "note": _note_of_operator(row, labels),
        "rests_until": ms(row["ready_at"]) if rests else None,
    }
    if row["current_attempt__member_id"] and (only is None or row["current_attempt__campaign_id"] in only):
        found["with"] = row["current_attempt__member__name"] or f"#{row['current_attempt__member_id']}"
        found["number"] = row["current_attempt__communication__number"] or row["current_attempt__digits"]
    return found


def _note_of_operator(row: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    if row["forced_break"]:
        return _("forced: calls were not answered")
    if row["next_status"]:
        return _("then %s") % labels[row["next_status"]]
    if row["status"] in READY_STATUSES:
        if not row["registered"] and not row["contact"]:
            return _("phone not registered")
        if row["uses_client"] and not row["client_connected"]:
            return _("client not connected")
        if row["uses_client"] and not row["call_centre_mode"]:
            return _("call-centre mode off")
    return ""


# --- attempts ---------------------------------------------------------------------------------------------------


def _last_attempts(only: Scope) -> list[Attempt]:
    """Read the last attempts of all campaigns, or of some. One statement."""
    found = Attempt.objects.select_related("member", "operator", "campaign", "communication").order_by("-pk")
    return list((found if only is None else found.filter(campaign__in=only))[:ATTEMPTS])


def _attempt(attempt: Attempt) -> dict[str, Any]:
    live = attempt.ended_at is None
    talks = live and attempt.bridged_at is not None and attempt.talk_ended_at is None
    if live:
        label, tone = (
            str(STAGES[attempt.stage]),
            "talk" if attempt.bridged_at else "ring" if attempt.sending_at else "held",
        )
    else:
        outcome = Outcome(attempt.outcome)
        label, tone = str(outcome.label), OUTCOME_TONES.get(outcome, "off")
    return {
        "id": attempt.pk,
        "member": attempt.member_id,
        "at": ms(attempt.reserved_at),
        "subscriber": str(attempt.member),
        "number": attempt.communication.number if attempt.communication else attempt.digits,
        "campaign": attempt.campaign.name,
        "operator": attempt.operator.name,
        "live": live,
        "label": label,
        "tone": tone,
        "cause": attempt.cause,
        "talks_since": ms(attempt.bridged_at) if talks else None,
        "talk": None if attempt.bridged_at is None else round(attempt.talk_seconds),
    }


def ms(instant: datetime | None) -> int | None:
    return None if instant is None else round(instant.timestamp() * 1000)
