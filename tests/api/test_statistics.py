"""Statistics of a while over REST."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from agents.models import Operator
from campaigns.models import Campaign
from dialer.api.models import CampaignAccess
from tests import factories
from tests.api.conftest import Caller, faults
from tests.statistics.conftest import a_call

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
TABLES = {"calls", "hours_of_day", "causes", "dispositions", "numbers", "tries", "operators", "next_call"}


@pytest.fixture(autouse=True)
def _afternoon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def test_of_all_campaigns_today_in_the_zone_of_their_calendars(
    supervisor: Caller, campaign: Campaign, operator: Operator
) -> None:
    a_call(campaign, operator, NOW - timedelta(hours=1), talk=30)
    a_call(campaign, operator, NOW - timedelta(hours=20))
    shown = supervisor.get("statistics").json()
    assert {*TABLES, "total", "reserved_from", "reserved_before", "zone", "step"} == set(shown)
    assert (shown["reserved_from"], shown["reserved_before"]) == ("2026-05-03T21:00:00Z", "2026-05-04T21:00:00Z")
    assert (shown["zone"], shown["step"], len(shown["calls"])) == ("Europe/Kyiv", "hour", 24)
    assert shown["total"] == {
        "attempts": 1, "live": 0, "dialled": 1, "answered": 1, "connected": 1, "success": 1, "abandoned": 0,
        "talk_seconds": 30.0, "connect_rate": 100.0,
    }  # fmt: skip
    (hour,) = (row for row in shown["calls"] if row["attempts"])
    assert hour["since"] == "2026-05-04T11:00:00Z"
    assert shown["causes"] == [{"cause": "NORMAL_CLEARING", "outcome": "success", "attempts": 1, "share": 100.0}]
    (him,) = shown["operators"]
    assert (him["operator"], him["name"], him["connected"]) == (operator.pk, operator.name, 1)
    assert [part["part"] for part in shown["next_call"]][-1] == "total"


def test_by_instants_a_zone_a_step_an_operator_and_a_campaign(
    supervisor: Caller, campaign: Campaign, operator: Operator
) -> None:
    for hours in (1, 30, 60):
        a_call(campaign, operator, NOW - timedelta(hours=hours))
    a_call(campaign, factories.make_operator(campaign), NOW - timedelta(hours=1))
    a_call(factories.make_campaign(), operator, NOW - timedelta(hours=1))
    shown = supervisor.get(
        f"statistics?reserved_from=2026-05-03T00:00:00Z&zone=Asia/Kathmandu&step=day&operator={operator.pk}"
        f"&campaign={campaign.pk}"
    ).json()
    assert shown["total"]["attempts"] == 2
    assert shown["reserved_before"] == "2026-05-04T12:30:00Z"
    assert [row["since"] for row in shown["calls"]] == ["2026-05-02T18:15:00Z", "2026-05-03T18:15:00Z"]


def test_a_campaign_tells_its_figures_since_the_beginning_and_those_of_a_while_that_is_asked_for(
    supervisor: Caller, campaign: Campaign, operator: Operator
) -> None:
    a_call(campaign, operator, NOW - timedelta(days=3), talk=10)
    path = f"dialer/{campaign.pk}/statistics"
    assert supervisor.get(path).json()["report"] is None
    shown = supervisor.get(f"{path}?preset=yesterday").json()
    assert shown["attempts"]["total"] == 1
    assert shown["report"]["total"]["attempts"] == 0
    assert supervisor.get(f"{path}?preset=last_7_days").json()["report"]["total"]["attempts"] == 1


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("preset=tomorrow", "preset"),
        ("preset=today&reserved_from=2026-05-03T00:00:00Z", "preset"),
        ("reserved_before=2026-05-03T00:00:00Z", "reserved_from"),
        ("reserved_from=2026-05-03T00:00:00Z&reserved_before=2026-05-03T00:00:00Z", "reserved_before"),
        ("reserved_from=2020-05-03T00:00:00Z", "reserved_from"),
        ("reserved_from=2026-05-05T00:00:00Z", "reserved_from"),
        ("zone=Europe/Nowhere", "zone"),
        ("step=minute", "step"),
        ("operator=me", "operator"),
        ("campaign=999999", "campaign"),
        ("from=2026-05-03", "from"),
    ],
)
def test_what_cannot_be_asked_is_told_by_its_name(
    supervisor: Caller, campaign: Campaign, query: str, where: str
) -> None:
    assert set(faults(supervisor.get(f"statistics?{query}"))) == {where}


def test_who_is_limited_is_told_of_his_campaigns_alone(
    supervisor: Caller, campaign: Campaign, operator: Operator
) -> None:
    theirs = factories.make_campaign()
    stranger = factories.make_operator(theirs, name="Stranger")
    a_call(campaign, operator, NOW - timedelta(hours=1), talk=10)
    a_call(theirs, stranger, NOW - timedelta(hours=1), talk=99)
    assert supervisor.get("statistics").json()["total"]["attempts"] == 2
    assert supervisor.user is not None
    CampaignAccess.objects.create(user=supervisor.user, campaign=campaign)
    shown = supervisor.get("statistics").json()
    assert (shown["total"]["attempts"], shown["total"]["talk_seconds"]) == (1, 10.0)
    assert [him["name"] for him in shown["operators"]] == [operator.name]
    assert set(faults(supervisor.get(f"statistics?campaign={theirs.pk}"))) == {"campaign"}
    assert supervisor.get(f"dialer/{theirs.pk}/statistics?preset=today").status_code == 404
