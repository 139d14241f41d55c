"""From an attempt in the ledger to the call that a switch must hear of."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from agents.models import Operator
from campaigns.fields import allowed_variables
from campaigns.models import Gateway, Route
from dialer.models import Attempt
from dialer.switch import commands
from dialer.switch.commands import CallPlan

NEEDS = ("node", "member", "communication", "campaign", "operator__gateway", "gateway", "route")
"""What to select with the attempts that are put into words."""


def plan_of(attempt: Attempt, allowed: frozenset[str] | None = None) -> CallPlan:
    """Return the call of an attempt; ``allowed`` are the switch's own variables that lists may set, read if not given.

    The subscriber sees his own caller id if he has one, else his route's, else the campaign's.
    """
    number = attempt.communication.dial if attempt.communication else attempt.digits
    route_caller_id = attempt.route.caller_id if attempt.route else ""
    return CallPlan(
        attempt_id=attempt.pk,
        job_uuid=attempt.job_uuid,
        operator_job_uuid=attempt.operator_job_uuid,
        operator_uuid=attempt.operator_uuid,
        subscriber_uuid=attempt.subscriber_uuid,
        operator_dial=_operator_dial(attempt.operator),
        subscriber_dial=dialled(number, attempt.gateway, attempt.route),
        operator_timeout=attempt.operator_timeout,
        subscriber_timeout=attempt.subscriber_timeout,
        operator_caller_id=number,
        operator_caller_name=attempt.member.name,
        caller_id=attempt.member.caller_id or route_caller_id or attempt.campaign.caller_id,
        variables=attempt.variables,
        allowed=allowed_variables() if allowed is None else allowed,
        connect_order=attempt.connect_order,
        answer_window=attempt.answer_window or 0,
        waiting_sound=attempt.campaign.waiting_sound,
        message=attempt.campaign.abandon_message,
        record_to=f"{settings.RECORDINGS_DIR}/{attempt.recording}" if attempt.recording else "",
    )


def ring(attempt: Attempt) -> commands.Originate:
    """Return the command that rings an attempt's operator for its subscriber, who waits."""
    return commands.ring_operator(plan_of(attempt))


def dialled(number: str, gateway: Gateway, route: Route | None) -> str:
    """Return what the switch dials for a number, as typed to be dialled, through a gateway by a route."""
    return _through(gateway, _routed(number, route))


def recording_name(campaign_id: int, digits: str, at: datetime, uuid: object) -> str:
    """Return where a conversation is kept below the folder of recordings: a folder a day, then campaign and number."""
    return f"{at:%Y/%m/%d}/campaign-{campaign_id}-{at:%H%M%S}-{digits.strip('*#') or 'number'}-{uuid}.wav"


def _operator_dial(operator: Operator) -> str:
    if operator.contact and operator.gateway:
        return _through(operator.gateway, operator.contact)
    return commands.extension_dial(operator.extension)


def _through(gateway: Gateway, number: str) -> str:
    return commands.gateway_dial(gateway.dial_string, gateway.name, number)


def _routed(number: str, route: Route | None) -> str:
    """Strip and prepend, as the route says.

    A leading "+" is one of the characters stripped; what is left of it goes when something is set before it, for a "+"
    within a number cannot be dialled.
    """
    if route is None:
        return number
    rest = number[route.strip :]
    return route.prepend + rest.removeprefix("+") if route.prepend else rest
