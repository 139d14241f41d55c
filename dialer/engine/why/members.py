"""Why a subscriber is not called now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection
from django.db.models import Q
from django.utils.translation import gettext as _

from agents.models import Operator
from campaigns import hours
from campaigns.models import Campaign
from dialer.engine import dispatch, lanes
from dialer.engine.lanes import Lane
from dialer.engine.why.turns import of_turn
from dialer.engine.why.view import View
from dialer.engine.why.words import Blocker
from members.models import OPEN_STATES, Communication, DoNotCall, Member, MemberState, StopReason


def of_member(member_id: int) -> list[Blocker]:
    """Tell what holds a subscriber back now, in order; nothing: the next pass calls him.

    Raises ``Member.DoesNotExist``. A constant number of statements.
    """
    member = Member.objects.select_related(
        "campaign__calendar", "next_communication", "sticky_operator", "current_attempt"
    ).get(pk=member_id)
    if member.state not in OPEN_STATES:
        return [_held_or_over(member)]
    view = View.read(member.campaign_id)
    found = standings(view, member.campaign, member)
    # Nothing is found when a pass has just claimed him.
    return list(_of_open(view, member, found[0])) if found else of_member(member_id)


def _of_open(view: View, member: Member, standing: Standing) -> Iterator[Blocker]:
    campaign = view.room.campaigns[member.campaign_id]
    yield from (found := [*view.of_loop(), *view.of_campaign(campaign)])
    own = [_of_code(code, view, member, standing) for code in codes(view, campaign, standing)]
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
        yield from of_turn(view, member, _lane(member.campaign_id, standing), alone=not capacity)


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


class Standing(NamedTuple):
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
_FIELDS = [name for name in Standing._fields if name not in ("many", "due_at")]


def _stand(*, looked_at: bool) -> str:
    """Write the reading of open subscribers ``m``; those whose number ``c`` is not looked at are taken to pass."""
    conditions = {
        name: sql if name not in _OF_NUMBER
        else f"CASE WHEN m.due_at <= %(now)s AND c.id IS NOT NULL THEN {sql} ELSE true END" if looked_at
        else "true"
        for name, sql in lanes.CONDITIONS.items()
    }  # fmt: skip
    return f"""
        SELECT m.state, '' AS end_cause, false AS success, m.due_at <= %(now)s AS due,
               m.due_at_unlisted IS NOT NULL AS listed,
               CASE WHEN m.next_communication_id IS NULL THEN COALESCE((
                   SELECT CASE WHEN bool_or(n.route_id IS NOT NULL) THEN 'do_not_call'
                               WHEN count(*) > 0 THEN 'no_route' END
                   FROM members_communication AS n WHERE n.member_id = m.id AND n.stopped = ''
               ), 'no_number') ELSE '' END AS missing,
               m.zones, COALESCE(m.next_gateway_id, 0) AS gateway,
               CASE WHEN m.sticky_until > %(now)s THEN COALESCE(m.sticky_operator_id, 0) ELSE 0 END AS sticky,
               {", ".join(f"{sql} AS {name}" for name, sql in conditions.items())}, m.due_at
        FROM members_member AS m
        {"LEFT JOIN members_communication AS c ON c.id = m.next_communication_id" if looked_at else ""}
        CROSS JOIN (SELECT %(maximum)s::int AS maximum, %(unexpired)s::timestamptz AS unexpired) AS lane
        WHERE m.state IN ('waiting', 'ready')
    """  # noqa: S608


_ONE = f"SELECT {', '.join(_FIELDS)}, 1, due_at FROM ({_stand(looked_at=True)} AND m.id = %(member)s) AS one"  # noqa: S608

# Whose number fails is found by joins of sets, one for each way to fail, and looked at one by one: they are few.
_FAILING = " UNION ".join(
    f"""
    SELECT m.id FROM members_member AS m JOIN members_communication AS c ON c.id = m.next_communication_id
    WHERE m.campaign_id = %(campaign)s AND m.state IN ('waiting', 'ready') AND m.due_at <= %(now)s AND {fails}
    """  # noqa: S608
    for fails in (
        f"NOT ({lanes.CONDITIONS['active']} AND {lanes.CONDITIONS['routed']})",
        lanes.ON_A_CALL,
        lanes.LISTED,
    )
)

_ALL = f"""
WITH failing AS MATERIALIZED ({_FAILING}),
open AS (
    {_stand(looked_at=True)} AND m.campaign_id = %(campaign)s AND m.id IN (SELECT id FROM failing)
    UNION ALL
    {_stand(looked_at=False)} AND m.campaign_id = %(campaign)s
        AND NOT EXISTS (SELECT FROM failing WHERE failing.id = m.id)
)
SELECT {", ".join(_FIELDS)}, count(*), min(due_at) FROM open GROUP BY {", ".join(_FIELDS)}
UNION ALL
SELECT state, end_cause, success, true, false, '', '', 0, 0, {", ".join("true" for _name in lanes.CONDITIONS)},
       count(*), NULL
FROM members_member
WHERE campaign_id = %(campaign)s AND state IN ('live', 'held', 'ended') AND NOT hidden
GROUP BY state, end_cause, success
"""  # noqa: S608


def standings(view: View, campaign: Campaign, member: Member | None = None) -> list[Standing]:
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
        return [Standing(*row) for row in cursor.fetchall()]


def _lane(campaign_id: int, standing: Standing) -> Lane:
    return Lane(campaign_id, standing.zones, standing.gateway, standing.sticky)


def codes(view: View, campaign: Campaign, standing: Standing) -> list[str]:
    """Return what holds such a subscriber himself back, in order: first what does not clear by itself."""
    if standing.state == MemberState.ENDED:
        return ["success" if standing.success else "ended"]
    if standing.state in (MemberState.LIVE, MemberState.HELD):
        return [standing.state]
    lane = _lane(campaign.pk, standing)
    holds = {
        name: condition(view.room, lane, view.seconds(campaign.pk), view.now)
        for name, condition in dispatch.LANE_CONDITIONS.items()
    }
    missing = standing.missing
    blocking = {
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
    return [code for code, blocks in blocking.items() if blocks]


def _of_code(code: str, view: View, member: Member, standing: Standing) -> Blocker:
    """Put a code of ``codes`` into words."""
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


def _listed(view: View, member: Member, standing: Standing) -> Blocker:
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


def _closed(view: View, campaign: Campaign, zones: str) -> Blocker:
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


def _kept_for(view: View, member: Member) -> Blocker:
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
