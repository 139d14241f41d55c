"""Set the stage: what a plan describes, put into an empty database through the actions that people use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

from agents import actions as agents
from agents.models import OperatorStatus, Tier
from campaigns import actions as campaigns
from campaigns.fields import parse_ranges
from campaigns.models import DEFAULT_CAUSES, Calendar, CalendarRange, Campaign, Gateway, Route, Weekday
from dialer.rehearsal.plan import CalendarPlan, CampaignPlan, MembersPlan, OperatorsPlan, Plan
from members import actions as members

DIGITS = 12
"""How long a number is; room for hundreds of thousands behind a prefix."""


def build(plan: Plan) -> None:
    """Build calendars, gateways, campaigns, routes, operators (available) and subscribers; nothing runs yet."""
    calendars = {calendar.name: _calendar(calendar) for calendar in plan.calendars}
    gateways = {name: Gateway.objects.create(name=name, capacity=lines) for name, lines in plan.gateways.items()}
    built = {campaign.name: _campaign(campaign, calendars[campaign.calendar]) for campaign in plan.campaigns}
    for position, route in enumerate(plan.routes):
        Route.objects.create(
            position=position,
            gateway=gateways[route.gateway],
            pattern=route.pattern,
            campaign=built.get(route.campaign),
            variables={} if route.call_timeout is None else {"call_timeout": str(route.call_timeout)},
        )
    for operators in plan.operators:
        _operators(operators, built, gateways)
    for campaign in plan.campaigns:
        serial = count(1)
        for row in campaign.members:
            # Each kind of subscriber has numbers of its own; two campaigns with one prefix share them.
            members.add_members(built[campaign.name], list(_rows(plan, campaign.name, row, serial)))


def _calendar(plan: CalendarPlan) -> Calendar:
    calendar = Calendar.objects.create(name=plan.name, time_zone=plan.time_zone)
    CalendarRange.objects.bulk_create(
        CalendarRange(calendar=calendar, weekday=weekday, start=start, end=end)
        for weekday in Weekday
        for start, end in parse_ranges(plan.hours)
    )
    campaigns.check_calendar(calendar.pk)
    return calendar


def _campaign(plan: CampaignPlan, calendar: Calendar) -> Campaign:
    campaign = campaigns.create_campaign(
        name=plan.name, calendar=calendar, wait_for_result=plan.results is not None, **plan.parameters
    )
    if plan.causes:
        campaigns.set_causes(campaign.pk, {**DEFAULT_CAUSES, **plan.causes})
    return campaign


def _operators(plan: OperatorsPlan, built: dict[str, Campaign], gateways: dict[str, Gateway]) -> None:
    for position, extension in enumerate(plan.numbers(), start=1):
        outside = {"contact": plan.contact + extension, "gateway": gateways[plan.gateway]} if plan.contact else {}
        operator = agents.create_operator(
            name=f"Operator {extension}", extension=extension, **outside, **plan.parameters
        )
        Tier.objects.bulk_create(
            Tier(campaign=built[name], operator=operator, level=plan.level, position=position)
            for name in plan.campaigns
        )
        agents.set_status(operator.pk, OperatorStatus.AVAILABLE, reason="rehearsal")


def _rows(plan: Plan, campaign: str, row: MembersPlan, serial: Iterator[int]) -> Iterator[dict[str, Any]]:
    for place in range(row.count):
        digits = [
            f"{row.prefix}{place * row.numbers + number + 1:0{DIGITS - len(row.prefix)}}"
            for number in range(row.numbers)
        ]
        raw: dict[str, Any] = {
            "external_id": f"{campaign}-{next(serial)}",
            "priority": row.priorities[place % len(row.priorities)],
            "timezone": row.zones[place % len(row.zones)],
            "communications": [{"number": f"+{number}"} for number in digits],
        }
        if row.expire_after is not None:
            raw["expire"] = (plan.start + timedelta(seconds=row.expire_after)).isoformat()
        yield raw
