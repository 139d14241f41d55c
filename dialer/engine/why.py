"""Why somebody is not called now, or gets no call: in words, in order, and when it clears by itself.

Asked of the code of the claim itself: the conditions on a subscriber and his number (``lanes.CONDITIONS``), on a lane
(``dispatch.LANE_CONDITIONS``) and on an operator (``agents.models.claim_conditions``), and the choice that the next
pass would make (``dispatch.choose``), of which nothing is written. Who has no blocker is claimed by the next pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection
from django.db.models import Count, Min, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from redis import RedisError

from agents.models import BUSY_STATES, READY_STATUSES, Operator, OperatorState, Tier, claim_conditions
from campaigns import hours
from campaigns.models import ACTIVE_STATES, Campaign, CampaignState, Gateway
from dialer import clock, readings, verbs
from dialer.engine import dispatch, lanes, policy
from dialer.engine.dispatch import Room
from dialer.engine.lanes import Lane, Ready
from dialer.engine.policy.allotment import RANKS
from dialer.models import Node
from members.models import OPEN_STATES, Communication, DoNotCall, Member, MemberState, StopReason

COUNTED: Final = 10_000
"""Those before a subscriber are counted so far; beyond it there are more."""
LATE: Final = 5.0
"""Real seconds without a pass of the dial loop, which runs each second, after which it holds everybody back."""
CAMPAIGNS: Final = 10
"""Campaigns of an operator that are spoken of."""
TRIES: Final = 32
"""Openings that are looked at for one that lasts as long as an operator's phone rings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """One thing that holds a call back now."""

    code: str
    """For programs."""
    text: str
    """A sentence for people. It names no instant: ``until`` does."""
    remedy: str = ""
    """What somebody may do about it."""
    clears: bool = False
    """It goes by itself."""
    until: datetime | None = None
    """When it does, if that is known."""
    zone: str = ""
    """Whose wall clock tells more of ``until`` than the viewer's."""
    count: int | None = None
    """How many come before; more than ``COUNTED`` are told as one more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of a list that nothing else counts."""

    code: str
    count: int
    until: datetime | None = None
    """When the first of them goes on, if that is known."""
    zone: str = ""
    parts: Sequence[tuple[str, int]] = ()
    """Ends by their cause."""

    @property
    def label(self) -> str:
        """What it is called, in the language of whoever asks."""
        return str(STEPS[self.code][0])

    @property
    def tone(self) -> str:
        return STEPS[self.code][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """Where the subscribers of a campaign stand. The counts of ``steps`` add up to ``total``."""

    campaign: int
    at: datetime
    total: int
    ready: int
    """Of the last step: those who are called as soon as there is an operator and a line."""
    steps: Sequence[Step]
    blockers: Sequence[Blocker] = field(default=())
    """What holds all of them back."""


# --- subscribers ------------------------------------------------------------------------------------------------


def of_member(member_id: int) -> list[Blocker]:
    """Tell what holds a subscriber back now, in order; nothing: the next pass calls him.

    Raises ``Member.DoesNotExist``. A constant number of statements.
    """
    member = Member.objects.select_related(
        "campaign__calendar", "next_communication", "sticky_operator", "current_attempt"
    ).get(pk=member_id)
    if member.state not in OPEN_STATES:
        return [_held_or_over(member)]
    view = _View.read(member.campaign_id)
    found = _standings(view, member.campaign, member)
    # Nothing is found when a pass has just claimed him.
    return list(_of_open(view, member, found[0])) if found else of_member(member_id)


def _of_open(view: _View, member: Member, standing: _Standing) -> Iterator[Blocker]:
    campaign = view.room.campaigns[member.campaign_id]
    yield from (found := [*view.of_loop(), *view.of_campaign(campaign)])
    own = [_of_code(code, view, member, standing) for code in _codes(view, campaign, standing)]
    yield from own
    ends = [item.until for item in (*found, *own) if item.until is not None]
    if member.expire_at and member.expire_at > view.now and ends and max(ends) >= member.expire_at:
        yield Blocker(
            code="expires_first",
            text=_("He expires before that, and is not called any more."),
            remedy=_("Give him a later “expire”."),
            until=member.expire_at,
        )
    if own:
        return
    capacity = list(view.of_capacity(campaign))
    yield from capacity
    if not found:
        yield from view.of_turn(member, standing, alone=not capacity)


def _held_or_over(member: Member) -> Blocker:
    """Tell of one who is on a call, held for a result or ended."""
    if member.state == MemberState.LIVE:
        return Blocker(code="live", text=_("He is on a call now."), clears=True)
    if member.state == MemberState.HELD:
        attempt = member.current_attempt
        return Blocker(
            code="held",
            text=_("His last call waits for its result."),
            remedy=_("Report the result; without one he is called again after that."),
            clears=True,
            until=attempt.result_deadline if attempt else None,
        )
    return Blocker(
        code="success" if member.success else "ended",
        text=_("He is done, with success.") if member.success else _("He has ended: %s.") % member.end_cause,
        remedy=_("Reset him to have him called again."),
    )


class _Standing(NamedTuple):
    """How one subscriber stands, or how many stand alike."""

    state: str
    end_cause: str
    success: bool
    due: bool
    """What depends on the number alone, as ``number_free``, is looked at only once he is due."""
    listed: bool
    """A do-not-call list holds his next number back for a time."""
    missing: str
    """Why he has no next number: no_number, no_route or do_not_call."""
    zones: str
    gateway: int
    sticky: int
    unexpired: bool
    under_maximum: bool
    active: bool
    routed: bool
    number_free: bool
    unlisted: bool
    many: int
    due_at: datetime
    """The earliest."""


_OF_NUMBER = ("active", "routed", "number_free", "unlisted")

_OPEN = f"""
SELECT m.state, '' AS end_cause, false AS success, m.due_at <= %(now)s AS due,
       m.due_at_unlisted IS NOT NULL AS listed,
       CASE WHEN m.next_communication_id IS NULL THEN COALESCE((
           SELECT CASE WHEN bool_or(n.route_id IS NOT NULL) THEN 'do_not_call' WHEN count(*) > 0 THEN 'no_route' END
           FROM members_communication AS n WHERE n.member_id = m.id AND n.stopped = ''
       ), 'no_number') ELSE '' END AS missing,
       m.zones, COALESCE(m.next_gateway_id, 0) AS gateway,
       CASE WHEN m.sticky_until > %(now)s THEN COALESCE(m.sticky_operator_id, 0) ELSE 0 END AS sticky,
       {
    ", ".join(
        f"CASE WHEN m.due_at <= %(now)s AND c.id IS NOT NULL THEN {sql} ELSE true END AS {name}"
        if name in _OF_NUMBER
        else f"{sql} AS {name}"
        for name, sql in lanes.CONDITIONS.items()
    )
},
       m.due_at AS due_at
FROM members_member AS m
LEFT JOIN members_communication AS c ON c.id = m.next_communication_id
CROSS JOIN (SELECT %(maximum)s::int AS maximum, %(unexpired)s::timestamptz AS unexpired) AS lane
WHERE m.state IN ('waiting', 'ready')
"""  # noqa: S608

_FIELDS = [name for name in _Standing._fields if name not in ("many", "due_at")]

_ONE = f"SELECT {', '.join(_FIELDS)}, 1, due_at FROM ({_OPEN} AND m.id = %(member)s) AS one"  # noqa: S608

_ALL = f"""
SELECT {", ".join(_FIELDS)}, count(*), min(due_at) FROM ({_OPEN} AND m.campaign_id = %(campaign)s) AS open
GROUP BY {", ".join(_FIELDS)}
UNION ALL
SELECT state, end_cause, success, true, false, '', '', 0, 0, {", ".join("true" for _name in lanes.CONDITIONS)},
       count(*), NULL
FROM members_member
WHERE campaign_id = %(campaign)s AND state IN ('live', 'held', 'ended') AND NOT hidden
GROUP BY state, end_cause, success
"""  # noqa: S608


def _standings(view: _View, campaign: Campaign, member: Member | None = None) -> list[_Standing]:
    """Return how an open subscriber stands, or how many of a whole campaign stand alike. One statement."""
    seconds = view.seconds(campaign.pk)
    with connection.cursor() as cursor:
        cursor.execute(
            _ALL if member is None else _ONE,
            {
                "now": view.now,
                "maximum": campaign.max_retries,
                "unexpired": view.now + timedelta(seconds=seconds),
                "campaign": campaign.pk,
                "member": member.pk if member else None,
            },
        )
        return [_Standing(*row) for row in cursor.fetchall()]


def _codes(view: _View, campaign: Campaign, standing: _Standing) -> list[str]:
    """Return what holds such a subscriber himself back, in order: first what does not clear by itself."""
    if standing.state == MemberState.ENDED:
        return ["success" if standing.success else "ended"]
    if standing.state in (MemberState.LIVE, MemberState.HELD):
        return [standing.state]
    lane = Lane(campaign.pk, standing.zones, standing.gateway, standing.sticky)
    holds = {
        name: condition(view.room, lane, view.seconds(campaign.pk), view.now)
        for name, condition in dispatch.LANE_CONDITIONS.items()
    }
    missing = standing.missing
    codes = {
        "expired": not standing.unexpired,
        "no_attempts": not standing.under_maximum,
        "no_number": missing == "no_number" or not standing.active,
        "no_route": missing == "no_route" or not standing.routed,
        "do_not_call": missing == "do_not_call" or not standing.unlisted or (standing.listed and not standing.due),
        "wait": not standing.due and not standing.listed,
        "closed": not holds["open"],
        "number_busy": not standing.number_free,
        view.code_of_gateway(standing.gateway): standing.due and not missing and not holds["line"],
        "sticky": standing.due and not missing and not holds["sticky"],
    }
    return [code for code, blocks in codes.items() if blocks]


def _of_code(code: str, view: _View, member: Member, standing: _Standing) -> Blocker:
    """Put a code of ``_codes`` into words."""
    campaign = member.campaign
    match code:
        case "expired":
            return Blocker(
                code=code,
                text=_("He expires before he could be called.")
                if member.expire_at and member.expire_at > view.now
                else _("He has expired."),
                remedy=_("Give him a later “expire”."),
            )
        case "no_attempts":
            return Blocker(
                code=code,
                text=_("He has had all his attempts: %(counted)d of %(maximum)d.")
                % {"counted": member.counted, "maximum": campaign.max_retries + member.extra_attempts},
                remedy=_("Raise the campaign's “maximum number of retry”, or reset him."),
            )
        case "no_number":
            return _without_number(member)
        case "no_route":
            return Blocker(
                code=code,
                text=_("No route takes his number."),
                remedy=_("Add a route whose pattern fits it, or switch one on."),
            )
        case "do_not_call":
            return _listed(view, member, standing)
        case "wait":
            return _waits(member)
        case "closed":
            return _closed(view, campaign, standing.zones)
        case "number_busy":
            return Blocker(code=code, text=_("His number is on a call now, for another subscriber."), clears=True)
        case "sticky":
            return _kept_for(view, member)
        case _:
            return view.of_gateway(code, standing.gateway)


def _without_number(member: Member) -> Blocker:
    reasons = Counter(Communication.objects.filter(member=member).values_list("stopped", flat=True))
    told = [f"{StopReason(reason).label}: {count}" for reason, count in sorted(reasons.items()) if reason]
    return Blocker(
        code="no_number",
        text=_("None of his numbers is active (%s).") % ", ".join(told) if told else _("He has no number."),
        remedy=_("Reactivate a number, or add one."),
    )


def _listed(view: _View, member: Member, standing: _Standing) -> Blocker:
    remedy = _("Take the number off the do-not-call list, or add another one.")
    number = member.next_communication
    if standing.listed and not standing.due:
        return Blocker(
            code="do_not_call", text=_("His number %s is on a do-not-call list.") % number, remedy=remedy,
            clears=True, until=member.due_at,
        )  # fmt: skip
    if number is None:
        return Blocker(code="do_not_call", text=_("His numbers are on a do-not-call list, for good."), remedy=remedy)
    ends = list(
        DoNotCall.objects.filter(Q(campaign=None) | Q(campaign=member.campaign_id), digits=number.digits)
        .filter(Q(expire_at=None) | Q(expire_at__gt=view.now))
        .values_list("expire_at", flat=True)
    )
    until = None if None in ends else max((end for end in ends if end is not None), default=None)
    return Blocker(
        code="do_not_call", text=_("His number %s is on a do-not-call list.") % number, remedy=remedy,
        clears=until is not None, until=until,
    )  # fmt: skip


def _waits(member: Member) -> Blocker:
    if member.callback:
        text = _("A call-back was agreed for a later time.")
    elif member.tried:
        text = _("The wait after his last attempt is not over.")
    else:
        text = _("He is not due yet.")
    return Blocker(code="wait", text=text, clears=True, until=member.due_at)


def _closed(view: _View, campaign: Campaign, zones: str) -> Blocker:
    calendar = view.room.calendars[campaign.calendar_id]
    names = {"calendar": campaign.calendar.name, "zones": zones.replace("|", ", ")}
    if hours.has_expired(calendar, view.now):
        return Blocker(
            code="closed",
            text=_("The last date of the calendar “%(calendar)s” is over.") % names,
            remedy=_("Give the calendar a later last date."),
        )
    until = view.opens(campaign, zones)
    if until is None:
        return Blocker(
            code="closed",
            text=_("The calendar “%(calendar)s” is never open all at once in %(zones)s.") % names
            if zones
            else _("The calendar “%(calendar)s” never opens again.") % names,
            remedy=_("Change the working hours of the calendar, or his time zone."),
        )
    if hours.is_open(calendar, zones, view.now):
        text = _("The calendar “%(calendar)s” closes before an operator's phone would have rung.")
    else:
        text = (
            _("The calendar “%(calendar)s” is closed in %(zones)s.") if zones
            else _("The calendar “%(calendar)s” is closed.")
        )  # fmt: skip
    zone = zones.split("|")[0] or calendar.zone
    return Blocker(code="closed", text=text % names, clears=True, until=until, zone=zone)


def _kept_for(view: _View, member: Member) -> Blocker:
    """Tell of a call-back that one operator alone may make, who has no time."""
    his = member.sticky_operator
    obstacles: list[str] = []
    if his is not None:
        found = Operator.objects.with_obstacles(view.now).filter(pk=his.pk).first()
        obstacles = found.obstacles() if found else []
    return Blocker(
        code="sticky",
        text=_("%(operator)s alone may call him, and has no time now (%(why)s).")
        % {"operator": his.name if his else "", "why": ", ".join(obstacles)}
        if obstacles
        else _("%(operator)s alone may call him, and has no time now.") % {"operator": his.name if his else ""},
        remedy=_("Plan the call-back for everybody."),
        clears=True,
        until=member.sticky_until,
    )


# --- campaigns --------------------------------------------------------------------------------------------------


def of_campaign(campaign_id: int) -> Funnel:
    """Tell where the subscribers of a campaign stand, each counted once, and what holds all of them back.

    Raises ``Campaign.DoesNotExist``. One statement reads the list, whatever its length; it is kept for ten times as
    long as it took.
    """
    view = _View.read(campaign_id)
    campaign = view.room.campaigns.get(campaign_id)
    if campaign is None:
        raise Campaign.DoesNotExist
    found = _counted(view, campaign)
    blockers = [*view.of_loop(), *view.of_campaign(campaign), *view.of_capacity(campaign)]
    return replace(found, blockers=blockers)


def _counted(view: _View, campaign: Campaign) -> Funnel:
    return readings.shared(f"why:{campaign.pk}", lambda: _count(view, campaign), times=readings.COUNTS_TIMES)


def _count(view: _View, campaign: Campaign) -> Funnel:
    by_code: dict[str, list[_Standing]] = {code: [] for code in STEPS}
    for standing in _standings(view, campaign):
        by_code[next(iter(_codes(view, campaign, standing)), "ready")].append(standing)
    steps = [_step(code, found, view, campaign) for code, found in by_code.items() if found or code == "ready"]
    return Funnel(
        campaign=campaign.pk,
        at=view.now,
        total=sum(step.count for step in steps),
        ready=steps[-1].count,
        steps=steps,
    )


def _step(code: str, found: list[_Standing], view: _View, campaign: Campaign) -> Step:
    until, zone = None, ""
    if code == "wait":
        until = min(standing.due_at for standing in found)
    elif code == "closed":
        opening = {zones: view.opens(campaign, zones) for zones in {standing.zones for standing in found}}
        until, zone = min(((at, zones) for zones, at in opening.items() if at), default=(None, ""))
        zone = zone.split("|")[0] or campaign.calendar.time_zone
    causes = Counter[str]()
    if code == "ended":
        for standing in found:
            causes[standing.end_cause] += standing.many
    return Step(
        code=code,
        count=sum(standing.many for standing in found),
        until=until,
        zone=zone if until else "",
        parts=causes.most_common(),
    )


STEPS: Final = {
    "success": (gettext_lazy("Done, with success"), "good"),
    "ended": (gettext_lazy("Ended without"), "bad"),
    "live": (gettext_lazy("On a call"), "talk"),
    "held": (gettext_lazy("Awaits a result"), "wrap"),
    "expired": (gettext_lazy("Expired"), "bad"),
    "no_attempts": (gettext_lazy("No attempts left"), "bad"),
    "no_number": (gettext_lazy("No active number"), "bad"),
    "no_route": (gettext_lazy("No route for the number"), "bad"),
    "do_not_call": (gettext_lazy("On a do-not-call list"), "warn"),
    "wait": (gettext_lazy("Waits for the next try"), "wrap"),
    "closed": (gettext_lazy("Outside of working hours"), "wrap"),
    "number_busy": (gettext_lazy("Number on another call"), "held"),
    "gateway_off": (gettext_lazy("Gateway switched off"), "bad"),
    "gateway_blocked": (gettext_lazy("Gateway refuses calls"), "warn"),
    "gateway_full": (gettext_lazy("All lines taken"), "held"),
    "sticky": (gettext_lazy("Waits for an operator of his own"), "held"),
    "ready": (gettext_lazy("Ready to be called"), "free"),
}
"""The parts of a list, in the order of ``_codes``: what they are called, and their tone."""


# --- operators --------------------------------------------------------------------------------------------------


def of_operator(operator_id: int, only: Collection[int] | None = None) -> list[Blocker]:
    """Tell why an operator gets no call now, in order; nothing: the next pass gives him one.

    ``only``: the campaigns that whoever asks may see; of others no name and no figure is told.
    Raises ``Operator.DoesNotExist``. A constant number of statements, but for the lists that nobody is ready of.
    """
    now = clock.now()
    him = Operator.objects.with_obstacles(now).select_related("gateway", "current_attempt").get(pk=operator_id)
    found = [
        _OF_OPERATOR[name](him)
        for name in claim_conditions(now)
        if not getattr(him, f"claim_{name}") and not (name == "waiting" and _is_away(him))
    ]
    served = list(Campaign.objects.filter(tiers__operator=operator_id).order_by("-priority", "name"))
    seen = [campaign for campaign in served if only is None or campaign.pk in only]
    view = _View.read(*(campaign.pk for campaign in served))
    found = [*view.of_loop(), *found]
    if not served:
        found.append(
            Blocker(
                code="no_tier",
                text=_("He is assigned to no campaign."),
                remedy=_("Assign him on the Operators tab of a campaign."),
            )
        )
        return found
    running = [campaign for campaign in served if campaign.pk in view.running]
    if not running:
        found.append(_none_runs(view, seen))
    if any(item.code != "loop" for item in found):
        return found
    if him.pk in view.unreachable:
        return [*found, view.of_switches()]
    if him.pk in view.brought:
        return found
    matches, looked_at = view.next_pass()
    if any(match.operator == him.pk for match in matches):
        return found
    told = [campaign for campaign in seen if campaign.pk in view.running]
    found += _not_chosen(view, him, told[:CAMPAIGNS], looked_at)
    if len(running) > min(len(told), CAMPAIGNS):
        found.append(
            Blocker(code="other_campaigns", text=_("Other campaigns of his have no call for him either."), clears=True)
        )
    return found


def _none_runs(view: _View, seen: list[Campaign]) -> Blocker:
    wakes = min((until for campaign in seen if (until := view.sleeps.get(campaign.pk))), default=None)
    names = [f"{campaign.name} ({campaign.get_state_display().lower()})" for campaign in seen[:CAMPAIGNS]]
    return Blocker(
        code="no_campaign",
        text=_("None of his campaigns runs now: %s.") % ", ".join(names) if names else _("None of his campaigns runs."),
        remedy="" if wakes else _("RUN one of them."),
        clears=wakes is not None,
        until=wakes,
    )


def _is_away(him: Operator) -> bool:
    return him.status not in READY_STATUSES and him.state == OperatorState.IDLE


def _not_chosen(view: _View, him: Operator, running: list[Campaign], looked_at: set[int]) -> Iterator[Blocker]:
    """Tell why an operator who is free gets nobody: of each campaign that runs, what it lacks."""
    for campaign in running:
        if full := view.of_limit(campaign):
            yield full
        elif campaign.pk in looked_at:
            before = view.before_operator(campaign, him)
            yield Blocker(
                code="behind",
                text=ngettext(
                    "%(campaign)s: %(count)d free operator comes before him, and nobody more is to be called.",
                    "%(campaign)s: %(count)d free operators come before him, and nobody more is to be called.",
                    before,
                ) % {"campaign": campaign.name, "count": before}
                if before
                else _("%(campaign)s: no line or no subscriber is left that suits him.") % {"campaign": campaign.name},
                remedy=_("His level and position on the Operators tab say when it is his turn.") if before else "",
                clears=True,
                count=before or None,
            )  # fmt: skip
        else:
            yield _nobody_ready(_counted(view, campaign), campaign)


def _nobody_ready(funnel: Funnel, campaign: Campaign) -> Blocker:
    open_steps = [step for step in funnel.steps if step.code not in ("success", "ended", "ready")]
    ends = [step.until for step in open_steps if step.until]
    return Blocker(
        code="no_subscribers",
        text=_("%(campaign)s: nobody is to be called now (%(why)s).")
        % {"campaign": campaign.name, "why": ", ".join(f"{step.label.lower()}: {step.count}" for step in open_steps)}
        if open_steps
        else _("%(campaign)s: nobody is left to be called.") % {"campaign": campaign.name},
        clears=any(step.code in ("live", "held", "wait", "closed") for step in open_steps),
        until=min(ends, default=None),
    )


def _away(him: Operator) -> Blocker:
    if him.forced_break:
        text = _("He was put on a break: he did not answer %d calls in a row.") % him.no_answer_count
    else:
        text = _("His status is “%s”.") % him.get_status_display()
    return Blocker(code="status", text=text, remedy=_("He chooses “Available”, or a supervisor does."))


def _not_waiting(him: Operator) -> Blocker:
    if him.state == OperatorState.WRAP_UP:
        return Blocker(
            code="wrap_up",
            text=_("He wraps up after a call."),
            remedy=_("He may end it early: “Ready”."),
            clears=True,
            until=him.wrap_up_until,
        )
    if him.state in BUSY_STATES:
        return Blocker(code="busy", text=_("He has a call: %s.") % him.get_state_display(), clears=True)
    return Blocker(
        code="idle",
        text=_("He is available on demand and has not said that he is ready."),
        remedy=_("He says “Ready”."),
    )


def _not_present(him: Operator) -> Blocker:
    if not him.client_connected:
        return Blocker(
            code="client", text=_("His client is not connected."), remedy=_("He opens it and logs in."),
        )  # fmt: skip
    return Blocker(
        code="call_centre_mode",
        text=_("The call-centre mode of his client is off."),
        remedy=_("He switches it on in his client."),
    )


_OF_OPERATOR = {
    "kept": lambda him: Blocker(code="archived", text=_("He has left."), remedy=_("Take “archived” back.")),
    "available": _away,
    "waiting": _not_waiting,
    "rested": lambda him: Blocker(
        code="rest", text=_("He rests after a call that he did not take."), clears=True, until=him.ready_at
    ),
    "reachable": lambda him: Blocker(
        code="not_registered",
        text=_("The phone of his extension %s is not registered.") % him.extension,
        remedy=_("He switches his phone on; does it log in with his password?"),
    ),
    "present": _not_present,
}
"""What to say of each of ``agents.models.claim_conditions`` that does not hold."""


# --- what a pass would see --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _View:
    """What the next pass would find, read without a lock, and what it would not serve beside it."""

    now: datetime
    room: Room
    running: set[int]
    """Campaigns that it would serve, those among them that it would wake."""
    brought: set[int]
    """Operators whom it would give to answered subscribers who wait."""
    unreachable: dict[int, Operator]
    """Free operators whom no switch with room can ring."""
    slow: bool
    """The pace of a switch alone holds calls back."""
    gateways: dict[int, Gateway]
    sleeps: dict[int, datetime | None]
    """Sleeping campaigns that stay so, and until when."""

    @classmethod
    def read(cls, *campaigns: int) -> _View:
        """Read it, and of these campaigns even if none of them runs. Twenty statements at most."""
        now = clock.now()
        active = dict(Campaign.objects.filter(state__in=ACTIVE_STATES).values_list("pk", "state"))
        waiting = dispatch.seeking()
        served = {*active, *(attempt.campaign_id for attempt in waiting), *campaigns}
        operators = {o.pk: o for o in Operator.objects.free(now).filter(tiers__campaign__in=served).distinct()}
        room = Room.read(sorted(served), operators)
        brought = {operator for _attempt, operator in dispatch.whom_to_bring(room, waiting, now)} if waiting else set()
        for operator in brought:
            room.give_up(operator)
        free = dict(room.operators)
        slow = room.keep_reachable()
        asleep = [pk for pk, state in active.items() if state == CampaignState.SLEEPING]
        zones = lanes.callable_zones(asleep) if asleep else {}
        nexts = {
            pk: dispatch.next_state(room.calendars[room.campaigns[pk].calendar_id], zones[pk], now) for pk in asleep
        }
        return cls(
            now=now,
            room=room,
            running={pk for pk in active if pk not in nexts or nexts[pk].state == CampaignState.RUNNING},
            brought=brought,
            unreachable={pk: operator for pk, operator in free.items() if pk not in room.operators},
            slow=slow,
            gateways=Gateway.objects.in_bulk(),
            sleeps={pk: found.until for pk, found in nexts.items() if found.state != CampaignState.RUNNING},
        )

    def seconds(self, campaign_id: int) -> int:
        """Return in how many seconds a subscriber would be dialled; 0 while no operator of the campaign is free."""
        return self.room.shortest_ring(campaign_id, self.now) or 0

    def free(self, campaign_id: int) -> list[Operator]:
        found = (self.room.operators.get(place.operator) for place in self.room.tiers[campaign_id])
        return [operator for operator in found if operator is not None]

    def opens(self, campaign: Campaign, zones: str) -> datetime | None:
        """Return when the calendar opens in these zones for long enough; ``None``: never."""
        calendar = self.room.calendars[campaign.calendar_id]
        if hours.has_expired(calendar, self.now):
            return None
        rings = timedelta(seconds=self.seconds(campaign.pk))
        opening = hours.next_opening(calendar, zones, self.now)
        for _try in range(TRIES):
            if opening is None or hours.has_expired(calendar, opening):
                return None
            if hours.is_open(calendar, zones, opening + rings):
                return opening
            closes = hours.open_until(calendar, zones, opening)
            opening = hours.next_opening(calendar, zones, closes) if closes else None
        return None

    # --- of all -------------------------------------------------------------------------------------------------

    def of_loop(self) -> Iterator[Blocker]:
        """Tell whether the dial loop runs."""
        try:
            age = verbs.last_pass_age()
        except (RedisError, OSError):
            yield Blocker(
                code="loop", text=_("Redis does not answer: nothing wakes the dial loop."), remedy=_("Start Redis.")
            )
            return
        if age is None or age > LATE:
            yield Blocker(
                code="loop", text=_("The dial loop does not run."), remedy=_("Do the dial worker and beat run?")
            )

    def of_campaign(self, campaign: Campaign) -> Iterator[Blocker]:
        """Tell why a campaign is not served."""
        if campaign.pk in self.running:
            return
        match CampaignState(campaign.state):
            case CampaignState.IDLE:
                yield Blocker(
                    code="campaign_idle", text=_("The campaign has never been run."), remedy=_("RUN starts it.")
                )
            case CampaignState.STOPPED:
                yield Blocker(code="campaign_stopped", text=_("The campaign is stopped."), remedy=_("RUN starts it."))
            case CampaignState.STOPPING:
                yield Blocker(
                    code="campaign_stopping",
                    text=_("The campaign is stopping: it places no new call."),
                    remedy=_("RUN lets it go on."),
                )
            case CampaignState.COMPLETED:
                yield Blocker(
                    code="campaign_completed",
                    text=_("The campaign has completed: %s.") % campaign.get_completion_display().lower(),
                    remedy=_("RUN starts it again."),
                )
            case _:
                until = self.sleeps.get(campaign.pk)
                yield Blocker(
                    code="campaign_sleeping",
                    text=_("The campaign sleeps: nobody's working hours have begun."),
                    clears=until is not None,
                    until=until,
                    zone=self.room.calendars[campaign.calendar_id].zone,
                )

    # --- of lines, switches and operators -----------------------------------------------------------------------

    def code_of_gateway(self, gateway_id: int) -> str:
        """Return why a gateway has no line, if it has none."""
        gateway = self.gateways.get(gateway_id)
        if gateway is None or not gateway.enabled:
            return "gateway_off"
        return "gateway_full" if gateway_id in self.room.capacities else "gateway_blocked"

    def of_gateway(self, code: str, gateway_id: int) -> Blocker:
        gateway = self.gateways[gateway_id]
        if code == "gateway_off":
            return Blocker(
                code=code,
                text=_("His gateway %s is switched off.") % gateway.name,
                remedy=_("Switch it on, or let a route lead through another."),
            )
        if code == "gateway_blocked":
            return Blocker(
                code=code,
                text=_("His gateway %(name)s refuses calls and gets none for a while. It said: %(reason)s")
                % {"name": gateway.name, "reason": gateway.blocked_reason},
                clears=True,
                until=gateway.blocked_until,
            )
        return Blocker(
            code=code,
            text=_("All %(capacity)d lines of his gateway %(name)s are taken.")
            % {"capacity": gateway.capacity, "name": gateway.name},
            remedy=_("Raise its capacity, if the trunk has more."),
            clears=gateway.capacity > 0,
        )

    def of_limit(self, campaign: Campaign) -> Blocker | None:
        """Tell whether a campaign is at its limit."""
        if self.room.lines_left(campaign):
            return None
        return Blocker(
            code="limit",
            text=_("%(campaign)s is at its limit of %(limit)d calls.")
            % {"campaign": campaign.name, "limit": campaign.limit},
            remedy=_("Raise the campaign's limit."),
            clears=campaign.limit > 0,
        )

    def of_capacity(self, campaign: Campaign) -> Iterator[Blocker]:
        """Tell what a campaign that runs lacks: lines of its limit, a switch, an operator."""
        if campaign.pk not in self.running:
            return
        if full := self.of_limit(campaign):
            yield full
        if self.free(campaign.pk):
            return
        serve = {place.operator for place in self.room.tiers[campaign.pk]}
        if not self.room.share.places or not serve.isdisjoint(self.unreachable):
            yield self.of_switches()
        if serve.isdisjoint(self.unreachable):
            yield self.of_staff(campaign)

    def of_switches(self) -> Blocker:
        """Tell why no switch takes a call now."""
        places = self.room.share.places
        if not places:
            return self._of_down()
        if self.slow:
            return Blocker(
                code="switch_pace", text=_("The switch is given no more new calls in this second."), clears=True
            )
        if not self.room.share.left:
            return Blocker(
                code="switch_full",
                text=_("The switch has as many calls as it may have."),
                remedy=_("Raise its limits, or add a switch."),
                clears=True,
            )
        return Blocker(
            code="switch_elsewhere",
            text=_("The phones of the free operators are registered at a switch that takes no calls now."),
            clears=True,
        )

    def _of_down(self) -> Blocker:
        found = list(Node.objects.all())
        if not found:
            return Blocker(
                code="switch_none",
                text=_("There is no switch yet."),
                remedy=_("Does the listener run, and is FREESWITCH_URL right?"),
            )
        blocked = [(n.blocked_until, n) for n in found if n.enabled and n.blocked_until and n.blocked_until > self.now]
        if blocked:
            until, first = min(blocked, key=lambda one: one[0])
            return Blocker(
                code="switch_blocked",
                text=_("Switch %(name)s refuses calls. It said: %(reason)s")
                % {"name": first.name, "reason": first.blocked_reason},
                clears=True,
                until=until,
            )
        if all(not node.enabled for node in found):
            return Blocker(
                code="switch_drained",
                text=_("Every switch drains: it is given no new calls."),
                remedy=_("Let one take calls again, on the page of the switches."),
            )
        return Blocker(
            code="switch_down",
            text=_("No switch is connected and takes calls."),
            remedy=_("Look at the page of the switches."),
            clears=True,
        )

    def of_staff(self, campaign: Campaign) -> Blocker:
        """Tell why no operator of a campaign is free. One statement, by the conditions of the claim."""
        found, so_far = {}, Q(operator__archived=False)
        for name, condition in claim_conditions(self.now).items():
            so_far &= _through("operator", condition.holds)
            found[name] = Count("pk", filter=so_far)
        on_duty = Q(operator__status__in=READY_STATUSES, operator__archived=False)
        counted = Tier.objects.filter(campaign=campaign.pk).aggregate(
            **found,
            wraps_until=Min("operator__wrap_up_until", filter=on_duty),
            rests_until=Min("operator__ready_at", filter=on_duty & Q(operator__ready_at__gt=self.now)),
        )
        if not counted["kept"]:
            return Blocker(
                code="operators_none",
                text=_("No operator is assigned to the campaign."),
                remedy=_("Assign some on its Operators tab."),
            )
        if not counted["available"]:
            return Blocker(
                code="operators_away",
                text=_("No operator is on duty."),
                remedy=_("One of them becomes “Available”."),
            )
        if not counted["waiting"]:
            return Blocker(
                code="operators_busy",
                text=ngettext(
                    "The operator on duty has no time: he is on a call, wraps up, or is not ready.",
                    "All %(count)d operators on duty have no time: they are on calls, wrap up, or are not ready.",
                    counted["available"],
                )
                % {"count": counted["available"]},
                clears=True,
                until=counted["wraps_until"],
            )
        if not counted["rested"]:
            return Blocker(
                code="operators_rest",
                text=_("The operators who wait rest after calls that they did not take."),
                clears=True,
                until=counted["rests_until"],
            )
        if not counted["reachable"]:
            return Blocker(
                code="operators_unregistered",
                text=_("The phones of the operators who wait are not registered."),
                remedy=_("They switch their phones on."),
            )
        if not counted["present"]:
            return Blocker(
                code="operators_absent",
                text=_("The operators who wait have no client connected in call-centre mode."),
                remedy=_("They open their clients."),
            )
        return Blocker(
            code="operators_busy", text=_("Its free operator takes an answered call that waits."), clears=True
        )

    # --- whose turn it is ---------------------------------------------------------------------------------------

    def next_pass(self) -> tuple[list[policy.Match], set[int]]:
        """Return the calls that the next pass would make, and the campaigns in which it finds somebody."""
        if not self.room.lines or not self.room.operators:
            return [], set()
        served = {pk: campaign for pk, campaign in self.room.campaigns.items() if pk in self.running}
        room = replace(self.room, campaigns=served)
        (matches, _cut), looked_at = dispatch.choose(room, int(min(dispatch.BATCH, room.share.left)), self.now)
        placed = [match for match in matches if room.share.take(room.operators[match.operator]) is not None]
        return placed, {ready.lane.campaign for ready in looked_at.values()}

    def of_turn(self, member: Member, standing: _Standing, *, alone: bool) -> Iterator[Blocker]:
        """Tell how many come before a subscriber whom nothing else holds back, unless it is his turn.

        ``alone``: there are operators and lines, so that it may be.
        """
        campaign = self.room.campaigns[member.campaign_id]
        lane = Lane(campaign.pk, standing.zones, standing.gateway, standing.sticky)
        if alone:
            if not self._suits_somebody(member, lane):
                yield Blocker(
                    code="no_operator_suits",
                    text=_("No free operator suits him: one has no line, or his phone would ring for too long."),
                    clears=True,
                )
                return
            # Who has just become due, or is his operator's no longer, is seen only after the sweep of the pass.
            swept = member.state != MemberState.READY or lane.sticky != (member.sticky_operator_id or 0)
            if swept or any(match.member == member.pk for match in self.next_pass()[0]):
                return
        before = self._before(member, lane)
        if before or alone:
            before = max(1, before)
            yield Blocker(
                code="behind",
                text=_("More than %d subscribers come before him.") % COUNTED
                if before > COUNTED
                else ngettext("%d subscriber comes before him.", "%d subscribers come before him.", before) % before,
                remedy=_("A bigger priority brings him to the front."),
                clears=True,
                count=before,
            )

    def _suits_somebody(self, member: Member, lane: Lane) -> bool:
        """Tell whether he would be called if he were the only one."""
        number = member.next_communication
        assert number is not None, "who lacks a number has been told so"
        campaign = self.room.campaigns[member.campaign_id]
        ready = Ready(
            lane=lane, member=member.pk, communication=number.pk, route=number.route_id or 0, digits=number.digits,
            expire_at=member.expire_at, due_at=member.due_at, counted=member.counted, extra=member.extra_attempts,
            order=(not member.callback, -member.priority, not member.tried, member.due_at, member.pk),
        )  # fmt: skip
        return bool(
            policy.allot(
                campaigns=[self.room.campaign_lines(campaign)],
                operators=[dispatch.free_operator(operator) for operator in self.room.operators.values()],
                tiers=self.room.tiers,
                lines=self.room.lines,
                candidates={campaign.pk: [dispatch.candidate(self.room, ready, False, self.now)]},
                most=1,
            ).matches
        )

    def _before(self, member: Member, lane: Lane) -> int:
        """Count who comes before him, of his campaign and of those that share operators with it. Five statements."""
        his = self.room.campaigns[member.campaign_id]
        rivals = set(
            Campaign.objects.filter(pk__in=self.running, tiers__operator__tiers__campaign=his.pk)
            .exclude(pk=his.pk)
            .values_list("pk", flat=True)
        )
        on_duty = set(
            Operator.objects.filter(status__in=READY_STATUSES, tiers__campaign=his.pk).values_list("pk", flat=True)
        )
        several = {
            found: self.room.campaigns[found.campaign].max_retries
            for found in lanes.ready_lanes([his.pk, *rivals])
            if self.room.is_open(found.campaign, found.zones, 0, self.now)
            and found.gateway in self.room.capacities
            and (not found.sticky or found.sticky in on_duty)
        }

        def count(which: Collection[int], before: int | None) -> dict[int, int]:
            chosen = {found: maximum for found, maximum in several.items() if found.campaign in which}
            return lanes.count_before(chosen, member=before, now=self.now, most=COUNTED + 1) if chosen else {}

        ahead = count({his.pk}, member.pk).get(his.pk, 0)
        of_rivals = count(rivals, None)
        of_equals = 0
        for pk, ready in of_rivals.items():
            rival = self.room.campaigns[pk]
            if rival.priority == his.priority:
                # Equals take turns, the least recently served first.
                of_equals += min(ready, ahead + (self.room.turn(pk) < self.room.turn(his.pk)))
        ahead += sum(ready for pk, ready in of_rivals.items() if self.room.campaigns[pk].priority > his.priority)
        return min(COUNTED + 1, ahead + of_equals)

    def before_operator(self, campaign: Campaign, him: Operator) -> int:
        """Count the free operators whom a campaign prefers to this one."""
        rank = RANKS[campaign.strategy]
        places = {place.operator: (place.level, place.position) for place in self.room.tiers[campaign.pk]}
        order = {
            operator.pk: (*places[operator.pk], rank(dispatch.free_operator(operator)))
            for operator in self.free(campaign.pk)
        }
        return sum(place < order[him.pk] for place in order.values())


def _through(path: str, condition: Q) -> Q:
    """Return a condition on a row for those that point to it."""
    found = Q(_connector=condition.connector, _negated=condition.negated)
    for child in condition.children:
        found.children.append(
            _through(path, child) if isinstance(child, Q) else (f"{path}__{child[0]}", child[1])  # type: ignore[index]
        )
    return found
