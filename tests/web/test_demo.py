"""The demo: loaded once whatever is typed, running, and nobody real in it."""

from __future__ import annotations

import csv
import re

import pytest
from django.core.management import call_command
from django.db.models import Sum

from agents.models import Operator, OperatorStatus, Tier
from campaigns import hours
from campaigns.models import Calendar, Campaign, CampaignState, Gateway, Meaning, Route
from campaigns.placeholders import NAMES, names_in
from dialer import clock
from dialer.management.commands import demo
from members.models import Communication, Member, MemberState

FICTION = re.compile(
    r"""\+?(
    380(32|41|43|44|46|48|56|57)0\d{6}          # no subscriber's number in Ukraine begins with 0
    | 44(7700900\d{3}|2079460\d{3}|1614960\d{3}|1314960\d{3})
    | 1\d{3}55501\d{2}
    | 49(3023125|6990009|4066969|8999998)\d{3}
    | 33(63998|19900)\d{4}
    | 46(8465004\d{2}|313900[6]\d{2}|701740[6]\d{2})
    | 353209[1]\d{5}
    | 61[2378](5550|7010)\d{4}
    )""",
    re.VERBOSE,
)


@pytest.fixture
def loaded(db: None) -> None:
    call_command("demo", verbosity=0)


@pytest.mark.django_db
def test_it_runs_two_campaigns_that_share_their_lines(loaded: None) -> None:
    first, second = Campaign.objects.filter(name__in=demo.CAMPAIGNS).order_by("-priority")
    assert first.priority > second.priority
    assert {first.state, second.state} == {CampaignState.RUNNING}
    capacity = Gateway.objects.aggregate(Sum("capacity"))["capacity__sum"]
    assert capacity < first.limit + second.limit
    assert not Route.objects.exclude(campaign=None).exists()


@pytest.mark.django_db
def test_everyone_is_there_and_can_be_called(loaded: None) -> None:
    assert Member.objects.count() == 560
    assert Member.objects.filter(state=MemberState.READY).count() == 560
    assert Communication.objects.filter(route=None).count() == 0
    assert Communication.objects.count() > 550, "some have two numbers"
    assert Member.objects.exclude(time_zone="").values("time_zone").distinct().count() > 10
    assert Member.objects.filter(priority__gt=0).exists()
    assert Member.objects.filter(variables__language="uk").exists()
    assert Operator.objects.filter(status=OperatorStatus.AVAILABLE).count() == 12
    assert set(Operator.objects.values_list("extension", flat=True)) == {str(number) for number in range(1001, 1014)}
    assert Tier.objects.values("level").distinct().count() > 1


@pytest.mark.django_db
def test_one_campaign_waits_for_whoever_logs_in_at_the_desk(loaded: None) -> None:
    campaign = Campaign.objects.get(name=demo.WELCOME)
    assert (campaign.state, campaign.wait_for_result) == (CampaignState.RUNNING, True)
    (operator,) = Operator.objects.filter(tiers__campaign=campaign)
    assert (operator.extension, operator.status) == (demo.DESK[0], OperatorStatus.LOGGED_OUT)
    assert set(campaign.dispositions.values_list("meaning", flat=True)) == set(Meaning.values)
    filled = {name for member in campaign.members.all() for name in member.variables}
    assert set(names_in(campaign.script)) <= {*NAMES, *filled}


@pytest.mark.django_db
def test_its_calendar_is_open_now_and_stays_so(loaded: None) -> None:
    calendar = Calendar.objects.get().as_hours()
    assert hours.is_open(calendar, "", clock.now())
    assert hours.open_until(calendar, "", clock.now()) is None


@pytest.mark.django_db
def test_loading_it_again_changes_nothing(loaded: None) -> None:
    Operator.objects.filter(extension="1003").update(status=OperatorStatus.ON_BREAK, state="idle")
    Campaign.objects.filter(name="Customer survey").update(limit=3)

    def count() -> list[int]:
        return [model.objects.count() for model in (Campaign, Gateway, Route, Operator, Tier, Member, Communication)]

    before = count()
    call_command("demo", verbosity=0)
    assert count() == before
    assert Campaign.objects.get(name="Customer survey").limit == 3
    assert Operator.objects.get(extension="1003").status == OperatorStatus.ON_BREAK


@pytest.mark.parametrize("name", ["renewals.csv", "survey.csv", "welcome.csv"])
def test_no_number_is_anybodys(name: str) -> None:
    with (demo.FILES / name).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for number in filter(None, (row["number_1"], row["number_2"])):
                assert FICTION.fullmatch(re.sub(r"[ -]", "", number)), number
