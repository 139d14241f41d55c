"""A plan becomes a database that could have been set up by hand, and on which everything holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine

from agents.models import Operator, OperatorState
from campaigns.models import Campaign, CampaignState, Gateway
from dialer.engine import invariants
from dialer.rehearsal.plan import Plan
from members.models import Communication, Member
from tests.rehearsal.plans import ONE_CALL, build

pytestmark = pytest.mark.django_db

START = Plan("", [], [], [], {}).start


@time_machine.travel(START, tick=False)
def test_a_plan_is_built() -> None:
    build()
    campaign = Campaign.objects.get()
    assert (campaign.state, campaign.limit, campaign.wait_for_result) == (CampaignState.IDLE, 4, True)
    assert Gateway.objects.get().capacity == 4
    assert set(Operator.objects.values_list("extension", "state", "wrap_up_time")) == {
        ("1001", OperatorState.WAITING, 5),
        ("1002", OperatorState.WAITING, 5),
    }
    assert list(Member.objects.order_by("pk").values_list("external_id", "priority", "time_zone", "expire_at")) == [
        ("survey-1", 0, "", START + timedelta(minutes=10)),
        ("survey-2", 10, "Europe/Warsaw", START + timedelta(minutes=10)),
        ("survey-3", 0, "", START + timedelta(minutes=10)),
    ]
    assert list(Communication.objects.order_by("pk").values_list("digits", flat=True)) == [
        f"38050000000{number}" for number in range(1, 7)
    ]
    assert not invariants.find_violations()


@time_machine.travel(START, tick=False)
def test_operators_with_outside_numbers_are_built() -> None:
    outside = 'contact = "38044000"\ngateway = "trunk"\ncampaigns = ["survey"]'
    build(ONE_CALL.replace('campaigns = ["survey"]', outside))
    operator = Operator.objects.order_by("pk")[0]
    assert operator.contact == "380440001001"
    assert operator.gateway == Gateway.objects.get()
