"""The last hour of a campaign: its curve, and when its list would be done at its pace."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache

from agents.models import OperatorState, OperatorStatus
from campaigns import hours
from campaigns.models import Campaign, CampaignState
from dialer import clock, last_hour, live
from dialer.last_hour import BARS, Asked, done_at
from members.models import Member, MemberState
from tests.factories import (
    make_attempt,
    make_calendar,
    make_campaign,
    make_member,
    make_node,
    make_operator,
    make_route,
)

MONDAY_10 = datetime(2026, 3, 2, 10, tzinfo=UTC)
EACH_HOUR = timedelta(hours=1)


def week(**fields: Any) -> hours.Hours:
    """Working days from 09:00 to 18:00, in UTC."""
    weekdays = {day: [(9 * 60, 18 * 60)] for day in range(1, 6)}
    return make_calendar(time_zone="UTC", weekly=weekdays, **fields).as_hours()


@pytest.mark.django_db
class TestForecast:
    def test_within_the_day(self) -> None:
        assert done_at(120, 60, EACH_HOUR, week(), MONDAY_10) == MONDAY_10 + timedelta(hours=2)

    def test_nights_and_week_ends_do_not_count(self) -> None:
        # 8 hours of Monday, 4 days of 9 hours, and an hour of the next Monday.
        assert done_at(8 + 36 + 1, 1, EACH_HOUR, week(), MONDAY_10) == datetime(2026, 3, 9, 10, tzinfo=UTC)

    def test_it_starts_with_the_next_opening(self) -> None:
        asleep = datetime(2026, 3, 1, 3, tzinfo=UTC)
        assert done_at(60, 60, EACH_HOUR, week(), asleep) == MONDAY_10

    def test_a_shorter_while_counts_for_what_it_is(self) -> None:
        assert done_at(30, 10, timedelta(minutes=20), week(), MONDAY_10) == MONDAY_10 + EACH_HOUR

    def test_a_calendar_that_ends_before(self) -> None:
        ends = week(last_date=MONDAY_10.date())
        assert done_at(8, 1, EACH_HOUR, ends, MONDAY_10) == datetime(2026, 3, 2, 18, tzinfo=UTC)
        assert done_at(9, 1, EACH_HOUR, ends, MONDAY_10) is None

    def test_too_far_to_tell(self) -> None:
        assert done_at(100_000, 1, EACH_HOUR, week(), MONDAY_10) is None


def ended(campaign: Campaign, at: datetime, **fields: Any) -> Member:
    member = make_member(campaign)
    values = {"state": MemberState.ENDED, "end_cause": "SUCCESS", "ended_at": at, "counted": 1, **fields}
    Member.objects.filter(pk=member.pk).update(**values)
    return member


@pytest.mark.django_db
class TestReading:
    def test_bars_of_two_minutes_with_the_talk(self) -> None:
        make_route()
        now = MONDAY_10 + timedelta(minutes=1)
        campaign, other = make_campaign(), make_campaign()
        for minutes, talk in ((0, 30), (1, None), (2, None), (57, 60), (63, 10)):
            at = now - timedelta(minutes=minutes)
            connected: dict[str, Any] = (
                {} if talk is None else {"bridged_at": at, "talk_ended_at": at + timedelta(seconds=talk)}
            )
            make_attempt(make_member(campaign), reserved_at=at, subscriber_created_at=at, ended_at=now, **connected)
        make_attempt(make_member(campaign), reserved_at=now, ended_at=now)
        found = last_hour.read([Asked(pk, now - EACH_HOUR, now) for pk in (campaign.pk, other.pk)], now)
        hour = found[campaign.pk]
        assert (hour.dialled[-1], hour.dialled[-2], hour.dialled[1], sum(hour.dialled)) == (2, 1, 1, 4)
        assert (hour.connected[-1], hour.connected[1], sum(hour.connected)) == (1, 1, 2)
        assert hour.talk == 90
        assert found[other.pk].dialled == [0] * BARS

    def test_those_count_who_were_called_and_ended_meanwhile(self) -> None:
        make_route()
        campaign = make_campaign()
        ended(campaign, MONDAY_10 - timedelta(minutes=5))
        ended(campaign, MONDAY_10 - timedelta(minutes=61))
        ended(campaign, MONDAY_10 - timedelta(minutes=5), counted=0)
        ended(campaign, MONDAY_10 - timedelta(minutes=5), hidden=True)
        found = last_hour.read([Asked(campaign.pk, MONDAY_10 - EACH_HOUR, MONDAY_10)], MONDAY_10)
        assert found[campaign.pk].ended == 1


@pytest.fixture
def monday(db: None) -> Iterator[None]:
    """Stop the clock, with a switch that takes calls."""
    with time_machine.travel(MONDAY_10, tick=False):
        make_node(last_event_at=clock.now())
        yield


@pytest.mark.django_db
@pytest.mark.usefixtures("monday")
class TestShown:
    def shown(self, campaign: Campaign) -> dict[str, Any]:
        cache.clear()
        return live.standing_of(Campaign.objects.select_related("calendar").get(pk=campaign.pk))

    def campaign(self, **fields: Any) -> Campaign:
        make_route()
        weekly = {day: [(9 * 60, 18 * 60)] for day in range(1, 6)}
        return make_campaign(make_calendar(time_zone="UTC", weekly=weekly), **fields)

    def test_when_it_ends(self) -> None:
        now = clock.now()
        campaign = self.campaign(state=CampaignState.RUNNING, state_since=now - timedelta(minutes=30))
        for place in range(20):
            ended(campaign, now - timedelta(minutes=place))
            make_member(campaign)
        shown = self.shown(campaign)
        assert shown["ends_at"] == live.ms(now + timedelta(minutes=30))
        assert shown["ends_note"] == ""

    def test_a_pace_is_not_made_up(self) -> None:
        now = clock.now()
        campaign = self.campaign(state=CampaignState.RUNNING, state_since=now - timedelta(minutes=9))
        make_member(campaign)
        for place in range(20):
            ended(campaign, now - timedelta(seconds=place))
        assert (self.shown(campaign)["ends_at"], self.shown(campaign)["ends_note"]) == (None, "not known yet")

    def test_one_that_sleeps_goes_on_as_before(self) -> None:
        now = clock.now()
        slept = datetime(2026, 2, 27, 18, tzinfo=UTC)
        campaign = self.campaign(state=CampaignState.SLEEPING, state_since=slept, sleeping_until=now)
        for place in range(20):
            ended(campaign, slept - timedelta(minutes=place))
            make_member(campaign)
        assert self.shown(campaign)["ends_at"] == live.ms(now + EACH_HOUR)

    def test_what_stop_would_do(self) -> None:
        campaign = self.campaign(state=CampaignState.RUNNING)
        assert self.shown(campaign)["would"] == "STOP: no new call; none is under way"
        make_attempt(make_member(campaign))
        assert self.shown(campaign)["would"] == "STOP: no new call; 1 goes on to its end"

    def test_what_run_would_do(self) -> None:
        campaign = make_campaign(make_calendar(time_zone="UTC", weekly={1: [(12 * 60, 13 * 60)]}))
        assert self.shown(campaign)["would"] == "RUN needs a route to a gateway"
        make_route()
        assert self.shown(campaign)["would"] == "RUN: nobody is left who could be called"
        make_member(campaign)
        make_operator(campaign)
        assert self.shown(campaign)["would"] == "RUN: waits until Mon 12:00 UTC"
        with time_machine.travel(MONDAY_10 + timedelta(hours=2), tick=False):
            assert self.shown(campaign)["would"] == "RUN: calls 1 subscriber, 1 operator on duty"
        type(campaign.calendar).objects.update(last_date=MONDAY_10.date() - timedelta(days=1))
        assert self.shown(campaign)["would"] == "RUN: the last date of its calendar is over"

    def test_operators_by_what_they_do(self) -> None:
        campaign = self.campaign()
        make_operator(campaign)
        make_operator(campaign, status=OperatorStatus.ON_BREAK, state=OperatorState.IDLE)
        make_operator(campaign, status=OperatorStatus.LOGGED_OUT, state=OperatorState.IDLE)
        make_operator(make_campaign())
        shown = self.shown(campaign)
        assert (shown["staff"], shown["on_duty"], shown["assigned"]) == ([["free", 1], ["break", 1], ["off", 1]], 1, 3)
