"""Coaching over REST: by right, in the supervisor's own campaigns, on his own phone."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission

from dialer.api.models import CampaignAccess
from dialer.models import Coaching
from tests import factories
from tests.api.conftest import Caller, caller_for, faults, problem, user_in
from tests.engine.story import Story

pytestmark = pytest.mark.django_db


@pytest.fixture
def story() -> Story:
    story = Story()
    story.bridged()
    return story


def path(story: Story) -> str:
    return f"attempts/{story.attempt.pk}/coaching"


def test_a_supervisor_begins_changes_and_leaves(supervisor: Caller, story: Story) -> None:
    began = supervisor.post(path(story), {"mode": "listen", "extension": "7001"})
    assert began.status_code == 202
    body = began.json()
    assert (body["mode"], body["extension"], body["supervisor"]) == ("listen", "7001", "olena")
    assert (body["answered_at"], body["ended_at"], body["cause"]) == (None, None, "")
    changed = supervisor.post(path(story), {"mode": "barge"})
    assert (changed.status_code, changed.json()["id"], changed.json()["mode"]) == (202, body["id"], "barge")
    (listed,) = supervisor.get(path(story)).json()
    assert (listed["id"], listed["mode"]) == (body["id"], "barge")
    assert supervisor.delete(path(story)).status_code == 204
    assert Coaching.objects.get().ended_at is not None
    assert problem(supervisor.delete(path(story)), 409)["code"] == "NOT_COACHING"


def test_his_own_phone_as_an_operator_needs_no_words(supervisor: Caller, story: Story) -> None:
    factories.make_operator(extension="7042", user=supervisor.user)
    assert supervisor.post(path(story), {"mode": "whisper"}).json()["extension"] == "7042"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "mode"),
        ({"mode": "shout", "extension": "7001"}, "mode"),
        ({"mode": "listen"}, "extension"),
        ({"mode": "listen", "extension": "7001 &park()"}, "extension"),
        ({"mode": "listen", "extension": "7001", "phone": "1"}, "phone"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(supervisor: Caller, story: Story, body: Any, field: str) -> None:
    assert list(faults(supervisor.post(path(story), body))) == [field]
    assert not Coaching.objects.exists()


def test_a_call_that_is_over_is_a_conflict(supervisor: Caller, story: Story) -> None:
    story.both_end(30)
    answer = supervisor.post(path(story), {"mode": "listen", "extension": "7001"})
    assert problem(answer, 409)["code"] == "NOT_TALKING"


def test_calls_of_other_campaigns_are_not_there(supervisor: Caller, story: Story) -> None:
    """Not to begin, not to see who listens, not to leave."""
    assert supervisor.post(path(story), {"mode": "listen", "extension": "7001"}).status_code == 202
    assert supervisor.user
    CampaignAccess.objects.create(user=supervisor.user, campaign=factories.make_campaign())
    problem(supervisor.post(path(story), {"mode": "barge"}), 404)
    problem(supervisor.get(path(story)), 404)
    problem(supervisor.delete(path(story)), 404)
    assert Coaching.objects.get().mode == "listen"


def test_the_right_alone_opens_it(story: Story) -> None:
    him = user_in(None, "trainer")
    assert caller_for(him).post(path(story), {"mode": "listen", "extension": "7001"}).status_code == 403
    him.user_permissions.add(Permission.objects.get(codename="coach_attempt"))
    assert caller_for(him).post(path(story), {"mode": "listen", "extension": "7001"}).status_code == 202
