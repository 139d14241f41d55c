"""Builders of what tests stand on: realistic by default, every field can be given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from agents.models import Operator, OperatorState, OperatorStatus, Tier
from campaigns import hours
from campaigns.models import DEFAULT_CAUSES, Calendar, CalendarRange, Campaign, CauseRule, Gateway, Route
from dialer import clock
from dialer.models import Attempt, Node, Outcome
from members import actions, planning
from members.models import Communication, Member, MemberState

_serial = count(1)

ALWAYS: dict[int, list[tuple[int, int]]] = {weekday: [(0, hours.DAY)] for weekday in range(1, 8)}


def make_calendar(*, weekly: dict[int, list[tuple[int, int]]] | None = None, **fields: Any) -> Calendar:
    """Add a calendar in Kyiv that is open day and night; ``weekly``: ranges of minutes by ISO weekday."""
    calendar = Calendar.objects.create(**{"name": f"Calendar {next(_serial)}", "time_zone": "Europe/Kyiv", **fields})
    CalendarRange.objects.bulk_create(
        CalendarRange(calendar=calendar, weekday=weekday, start=start, end=end)
        for weekday, ranges in (ALWAYS if weekly is None else weekly).items()
        for start, end in ranges
    )
    return calendar


def make_gateway(**fields: Any) -> Gateway:
    """Add a gateway of 30 lines."""
    return Gateway.objects.create(**{"name": f"trunk-{next(_serial)}", **fields})


def make_route(gateway: Gateway | None = None, **fields: Any) -> Route:
    """Add a common route that takes every number; numbers that exist already do not learn of it."""
    return Route.objects.create(**{"gateway": gateway or make_gateway(), **fields})


def make_campaign(calendar: Calendar | None = None, **fields: Any) -> Campaign:
    """Add an idle campaign with the default causes."""
    fields = {"name": f"Campaign {next(_serial)}", "state_since": clock.now(), **fields}
    campaign = Campaign.objects.create(calendar=calendar or make_calendar(), **fields)
    CauseRule.objects.bulk_create(
        CauseRule(campaign=campaign, cause=cause, treatment=treatment) for cause, treatment in DEFAULT_CAUSES.items()
    )
    return campaign


def make_operator(*campaigns: Campaign, **fields: Any) -> Operator:
    """Add an operator who is available and waiting, with a registered phone, assigned to ``campaigns``."""
    serial, now = next(_serial), clock.now()
    operator = Operator.objects.create(
        **{
            "name": f"Operator {serial}",
            "extension": str(1000 + serial),
            "status": OperatorStatus.AVAILABLE,
            "status_since": now,
            "state": OperatorState.WAITING,
            "state_since": now,
            "idle_since": now,
            "registered": True,
            **fields,
        }
    )
    Tier.objects.bulk_create(Tier(campaign=campaign, operator=operator) for campaign in campaigns)
    return operator


def make_number() -> str:
    """Return a Ukrainian mobile number that no other call returns."""
    return f"+38050{next(_serial):07}"


def make_member(campaign: Campaign, numbers: Sequence[str] | None = None, **fields: Any) -> Member:
    """Add a subscriber as an upload does (ready, if a route takes a number of his), then set ``fields`` as they are.

    Fields that planning reads (``due_at``, ``state`` …) are planned with; a state that is given stays.
    """
    row = {"communications": [{"number": number} for number in ([make_number()] if numbers is None else numbers)]}
    member = actions.add_members(campaign, [row])[0]
    if fields:
        Member.objects.filter(pk=member.pk).update(**fields)
        planning.plan([member.pk])
        if "state" in fields:
            Member.objects.filter(pk=member.pk).update(state=fields["state"])
        member.refresh_from_db()
    return member


def make_node(**fields: Any) -> Node:
    """Add a switch that is connected."""
    return Node.objects.create(**{"name": f"switch-{next(_serial)}:8021", "connected": True, **fields})


def make_attempt(member: Member, operator: Operator | None = None, **fields: Any) -> Attempt:
    """Add a live attempt of a ready subscriber on his next number, reserved now; he is put on a call with it.

    With ``ended_at`` it has ended and holds nobody.
    """
    number = member.next_communication or Communication.objects.filter(member=member).first()
    assert number is not None
    campaign, now = member.campaign, clock.now()
    ended = {"outcome": Outcome.RETRY, "cause": "NO_ANSWER", "counted": True} if fields.get("ended_at") else {}
    attempt = Attempt.objects.create(
        **{
            "campaign": campaign,
            "member": member,
            "communication": number,
            "digits": number.digits,
            "operator": operator or make_operator(campaign),
            "gateway": number.route.gateway if number.route else make_gateway(),
            "route": number.route,
            "connect_order": campaign.connect_order,
            "reserved_at": now,
            "limit_then": campaign.limit,
            "capacity_then": 30,
            "maximum_then": campaign.max_retries + member.extra_attempts,
            "counted_before": member.counted,
            "operator_timeout": 15,
            "subscriber_timeout": campaign.originate_timeout,
            **ended,
            **fields,
        }
    )
    if attempt.ended_at is None:
        assert actions.hold([(member.pk, attempt.pk)]), "only a ready subscriber can be held"
        member.refresh_from_db()
    return attempt


def states(members: Iterable[Member]) -> list[MemberState]:
    """Return the states of subscribers as the database has them, in order."""
    found = dict(Member.objects.filter(pk__in=[member.pk for member in members]).values_list("pk", "state"))
    return [MemberState(found[member.pk]) for member in members]
