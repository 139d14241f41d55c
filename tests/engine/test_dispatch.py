"""A pass of the dial loop on the real database: who is claimed, and what is written of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
import time_machine

from agents.models import OperatorState
from campaigns import actions as campaigns_actions
from campaigns.models import Campaign, CampaignState
from dialer import clock
from dialer.engine import dispatch
from dialer.models import Attempt, Node
from members.models import MemberState
from tests.factories import (
    make_attempt,
    make_calendar,
    make_campaign,
    make_gateway,
    make_member,
    make_node,
    make_operator,
    make_route,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _switch() -> None:
    make_node(connected=True, last_event_at=clock.now() + timedelta(hours=1))


def running(**fields: Any) -> Campaign:
    campaign = make_campaign(**fields)
    Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
    campaign.refresh_from_db()
    return campaign


def test_a_pass_reserves_operator_subscriber_and_number_together() -> None:
    make_route()
    campaign = running()
    operator, member = make_operator(campaign), make_member(campaign)
    report = dispatch.run_pass()
    attempt = Attempt.objects.get()
    assert report.claimed == [attempt.pk]
    operator.refresh_from_db()
    member.refresh_from_db()
    assert (operator.state, operator.current_attempt_id) == (OperatorState.RESERVED, attempt.pk)
    assert (member.state, member.current_attempt_id) == (MemberState.LIVE, attempt.pk)
    assert attempt.digits == member.communications.get().digits
    assert attempt.sending_at is None


def test_an_attempt_keeps_which_of_his_numbers_it_is_on() -> None:
    make_route(pattern="^38067")
    campaign = running()
    make_operator(campaign)
    member = make_member(campaign, ["+380501111111", "+380672222222", "+380673333333"])
    dispatch.run_pass()
    attempt = Attempt.objects.get()
    assert (attempt.digits, attempt.number_position) == ("380672222222", 2)
    assert attempt.variables == member.variables


def test_a_second_pass_finds_nothing_more() -> None:
    make_route()
    campaign = running()
    make_operator(campaign), make_member(campaign)
    assert len(dispatch.run_pass().claimed) == 1
    assert dispatch.run_pass().claimed == []


def test_the_limit_of_a_campaign_is_never_exceeded() -> None:
    make_route()
    campaign = running(limit=2)
    for _ in range(4):
        make_operator(campaign), make_member(campaign)
    assert len(dispatch.run_pass().claimed) == 2
    assert dispatch.run_pass().claimed == []


def test_the_capacity_of_a_gateway_is_shared_by_all_campaigns() -> None:
    make_route(make_gateway(capacity=3))
    high, low = running(priority=2), running(priority=1)
    for campaign in (high, low):
        for _ in range(2):
            make_operator(campaign), make_member(campaign)
    dispatch.run_pass()
    assert Attempt.objects.filter(campaign=high).count() == 2
    assert Attempt.objects.filter(campaign=low).count() == 1


def test_a_number_on_a_live_call_is_passed_over_in_every_campaign() -> None:
    make_route()
    first, second = running(priority=2), running(priority=1)
    make_operator(first), make_operator(second)
    make_member(first, ["+380501112233"])
    make_member(second, ["380501112233"])
    other = make_member(second, ["380501112244"])
    dispatch.run_pass()
    assert set(Attempt.objects.values_list("digits", flat=True)) == {"380501112233", "380501112244"}
    assert Attempt.objects.filter(member=other).exists()


def test_a_campaign_whose_list_is_done_completes() -> None:
    make_route()
    campaign = running()
    dispatch.run_pass()
    campaign.refresh_from_db()
    assert (campaign.state, campaign.completion) == (CampaignState.COMPLETED, "LIST_COMPLETE")


def test_numbers_without_a_route_complete_a_campaign_as_nothing_to_dial() -> None:
    make_route(pattern="^1")
    campaign = running()
    make_member(campaign, ["380501112233"])
    dispatch.run_pass()
    campaign.refresh_from_db()
    assert (campaign.state, campaign.completion, campaign.completion_left) == (
        CampaignState.COMPLETED,
        "NOTHING_TO_DIAL",
        1,
    )


def test_a_stopped_campaign_claims_nothing() -> None:
    make_route()
    campaign = running()
    make_operator(campaign), make_member(campaign)
    campaigns_actions.stop(campaign.pk)
    assert dispatch.run_pass().claimed == []


def test_nobody_is_claimed_while_no_switch_is_heard() -> None:
    make_route()
    campaign = running()
    make_operator(campaign), make_member(campaign)
    Node.objects.update(last_event_at=clock.now() - timedelta(minutes=1))
    assert dispatch.run_pass().claimed == []


@time_machine.travel("2026-11-23 23:00:00+00:00", tick=False)
def test_a_calendar_that_has_ended_calls_nobody_in_zones_further_west() -> None:
    make_route()
    campaign = running(calendar=make_calendar(last_date=date(2026, 11, 23)))  # over in Kyiv, not in New York
    Node.objects.update(last_event_at=clock.now())
    busy = make_attempt(make_member(campaign))  # it keeps the campaign from completing
    make_operator(campaign)
    make_member(campaign, time_zone="America/New_York", zones="America/New_York")
    assert dispatch.run_pass().claimed == []
    assert Attempt.objects.live().get() == busy
