"""Why, over REST: subscribers, lists, operators."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from agents.models import Operator
from campaigns.models import Campaign
from dialer import clock, verbs
from dialer.api.models import CampaignAccess
from members.models import Member
from tests import factories
from tests.api.conftest import Caller, caller_for, problem, user_in


@pytest.fixture(autouse=True)
def _a_switch_and_a_loop(db: None, redis: Redis) -> None:
    factories.make_node(last_event_at=clock.now() + timedelta(hours=1))
    redis.set(verbs.PASS_KEY, "1", ex=verbs.PASS_TTL)


def codes(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [blocker["code"] for blocker in answer.json()["blockers"]]


def test_a_subscriber_is_told_with_the_instant_and_the_remedy(supervisor: Caller, campaign: Campaign) -> None:
    member = factories.make_member(campaign, due_at=clock.now() + timedelta(hours=1))
    answer = supervisor.get(f"dialer/{campaign.pk}/members/{member.pk}/why")
    assert codes(answer) == ["campaign_idle", "wait"]
    idle, wait = answer.json()["blockers"]
    assert idle == {
        "code": "campaign_idle",
        "text": "The campaign has never been run.",
        "remedy": "RUN starts it.",
        "clears": False,
        "until": None,
        "count": None,
    }
    assert wait["clears"] is True
    assert wait["until"] == member.due_at.isoformat().replace("+00:00", "Z")


def test_the_funnel_of_a_campaign_adds_up(supervisor: Caller, campaign: Campaign) -> None:
    for _ in range(3):
        factories.make_member(campaign)
    mute = factories.make_member(campaign)
    Member.objects.filter(pk=mute.pk).update(state="ended", end_cause="USER_BUSY", ended_at=clock.now())
    found = supervisor.get(f"dialer/{campaign.pk}/funnel").json()
    assert (found["total"], found["ready"]) == (4, 3)
    assert [(step["code"], step["count"], step["parts"]) for step in found["steps"]] == [
        ("ended", 1, [{"cause": "USER_BUSY", "count": 1}]),
        ("ready", 3, []),
    ]
    assert [blocker["code"] for blocker in found["blockers"]] == ["campaign_idle"]


def test_an_operator_asks_for_himself_and_nobody_else(campaign: Campaign, operator: Operator) -> None:
    assert operator.user is not None
    him, other = caller_for(operator.user), factories.make_operator(campaign)
    assert codes(him.get("operators/me/why")) == ["no_campaign"]
    assert codes(him.get(f"operators/{operator.pk}/why")) == ["no_campaign"]
    problem(him.get(f"operators/{other.pk}/why"), 404)


def test_who_is_limited_is_not_told_of_other_campaigns(campaign: Campaign) -> None:
    secret = factories.make_campaign(name="Secret")
    member, him = factories.make_member(secret), factories.make_operator(campaign, secret)
    user = user_in("Supervisor", "limited")
    CampaignAccess.objects.create(user=user, campaign=campaign)
    limited, free = caller_for(user), caller_for(user_in("Supervisor", "free"))
    problem(limited.get(f"dialer/{secret.pk}/members/{member.pk}/why"), 404)
    problem(limited.get(f"dialer/{secret.pk}/funnel"), 404)
    problem(free.get(f"dialer/{campaign.pk}/members/{member.pk}/why"), 404)
    assert "Secret" not in limited.get(f"operators/{him.pk}/why").content.decode()
    assert "Secret" in free.get(f"operators/{him.pk}/why").content.decode()


def test_a_supervisors_session_may_ask_too(campaign: Campaign) -> None:
    client = Client()
    client.force_login(user_in("Supervisor"))
    assert client.get(f"/api/v2/dialer/{campaign.pk}/funnel").status_code == 200
