"""Events: written with the change they tell of or not at all, only if somebody wants them, and in one order for all."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from agents import actions as agents
from agents.models import OperatorStatus
from campaigns import actions as campaigns
from campaigns.models import Campaign
from dialer import clock
from dialer.models import Outcome
from dialer.webhooks import actions
from dialer.webhooks.models import Delivery, Event, EventType
from members import actions as members
from members.models import Member
from tests import factories
from tests.engine.story import Story
from tests.webhooks.receivers import subscribe

pytestmark = pytest.mark.django_db


@pytest.fixture
def campaign() -> Campaign:
    factories.make_route()
    return factories.make_campaign()


def told(kind: str) -> list[dict[str, object]]:
    return [event.payload for event in Event.objects.filter(type=kind).order_by("pk")]


def test_a_campaign_tells_each_change_of_its_state(campaign: Campaign) -> None:
    subscribe()
    factories.make_member(campaign)
    campaigns.run(campaign.pk)
    campaigns.stop(campaign.pk)
    changes = [(one["before"], one["state"]) for one in told("campaign.state")]
    assert changes == [("idle", "running"), ("running", "stopping"), ("stopping", "stopped")]
    event = Event.objects.order_by("-pk").first()
    assert event is not None
    campaign.refresh_from_db()
    assert (event.campaign_id, event.at) == (campaign.pk, campaign.state_since)


def test_an_operator_tells_each_change_of_his_status_and_no_change_of_his_state() -> None:
    subscribe()
    operator = factories.make_operator()
    agents.set_status(operator.pk, OperatorStatus.ON_BREAK)
    agents.set_status(operator.pk, OperatorStatus.ON_BREAK)
    agents.set_status(operator.pk, OperatorStatus.AVAILABLE)
    changes = [(one["before"], one["status"]) for one in told("operator.status")]
    assert changes == [
        (OperatorStatus.AVAILABLE, OperatorStatus.ON_BREAK),
        (OperatorStatus.ON_BREAK, OperatorStatus.AVAILABLE),
    ]


def test_subscribers_who_end_together_are_told_one_by_one(campaign: Campaign) -> None:
    subscribe()
    past = clock.now() - timedelta(seconds=1)
    for place in range(3):
        factories.make_member(campaign, expire_at=past, external_id=f"crm-{place}")
    factories.make_member(campaign)
    assert members.expire_due(clock.now()) == 3
    assert {one["external_id"] for one in told("member.ended")} == {"crm-0", "crm-1", "crm-2"}
    assert {one["end_cause"] for one in told("member.ended")} == {"MEMBER_EXPIRED"}


def test_an_attempt_tells_its_end_once(campaign: Campaign) -> None:
    subscribe()
    member = factories.make_member(campaign, external_id="crm-1")
    attempt = factories.make_attempt(member)
    attempt.comment = "nothing that ends it"
    attempt.save(update_fields=["comment"])
    assert not told("attempt.ended")
    attempt.outcome, attempt.cause, attempt.counted, attempt.ended_at = Outcome.RETRY, "USER_BUSY", True, clock.now()
    attempt.save()
    attempt.save()
    (one,) = told("attempt.ended")
    assert (one["attempt"], one["member"], one["external_id"]) == (attempt.pk, member.pk, "crm-1")
    assert (one["number"], one["outcome"], one["cause"]) == (attempt.digits, "retry", "USER_BUSY")


def test_who_ends_again_after_a_reset_is_told_again(campaign: Campaign) -> None:
    subscribe()
    member = factories.make_member(campaign)
    for _ in range(2):
        Member.objects.filter(pk=member.pk).update(expire_at=clock.now() - timedelta(seconds=1))
        members.expire_due(clock.now())
        Member.objects.filter(pk=member.pk).update(expire_at=None)
        members.reset_members(Member.objects.filter(pk=member.pk))
    assert len(told("member.ended")) == 2


def test_what_is_rolled_back_did_not_happen(campaign: Campaign) -> None:
    subscribe()
    factories.make_member(campaign)
    with transaction.atomic():
        campaigns.run(campaign.pk)
        assert told("campaign.state")
        transaction.set_rollback(True)
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("fields", "noted"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"types": [EventType.MEMBER_ENDED]}, False),
        ({"types": [EventType.CAMPAIGN_STATE]}, True),
    ],
)
def test_only_what_somebody_wants_is_noted(campaign: Campaign, fields: dict[str, Any], noted: bool) -> None:
    subscribe(**fields)
    factories.make_member(campaign)
    campaigns.run(campaign.pk)
    assert bool(told("campaign.state")) is noted


def test_a_subscription_of_a_campaign_gets_its_events_alone(campaign: Campaign) -> None:
    types = [EventType.CAMPAIGN_STATE]
    his = subscribe("https://crm.example.org/one", campaign=campaign, types=types)
    everything = subscribe("https://crm.example.org/all", types=types)
    other = factories.make_campaign()
    for one in (campaign, other):
        factories.make_member(one)
        campaigns.run(one.pk)
    actions.publish()
    found = Delivery.objects.order_by("pk").values_list("subscription", "event__campaign_id")
    assert list(found) == [(his.pk, campaign.pk), (everything.pk, campaign.pk), (everything.pk, other.pk)]


def test_a_change_costs_no_statement_more_for_those_who_subscribed(campaign: Campaign) -> None:
    for one in (campaign, factories.make_campaign()):
        factories.make_member(one)
    other = Campaign.objects.exclude(pk=campaign.pk).get()
    with CaptureQueriesContext(connection) as without:
        campaigns.run(campaign.pk)
    subscribe()
    with CaptureQueriesContext(connection) as with_one:
        campaigns.run(other.pk)
    assert len(with_one) == len(without)
    assert told("campaign.state")


def test_publishing_nothing_is_one_statement() -> None:
    with CaptureQueriesContext(connection) as captured:
        assert actions.publish() == 0
    asked = [query["sql"] for query in captured if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(asked) == 1


def test_old_events_are_forgotten_with_their_deliveries(campaign: Campaign) -> None:
    subscribe("https://crm.example.org/")
    factories.make_member(campaign)
    campaigns.run(campaign.pk)
    campaigns.stop(campaign.pk)
    actions.publish()
    old = Event.objects.order_by("pk").first()
    assert old is not None
    Event.objects.filter(pk=old.pk).update(at=clock.now() - timedelta(days=settings.EVENTS_KEPT_DAYS, seconds=1))
    kept = Event.objects.exclude(pk=old.pk).count()
    assert actions.forget_old() == 1
    assert Event.objects.count() == Delivery.objects.count() == kept


@pytest.mark.django_db(transaction=True)
def test_numbers_become_visible_in_their_order_whoever_commits_first() -> None:
    """The first to write commits last: his event is numbered after what readers have seen, not before it.

    The negative control: by ``id`` a reader who has seen the second would never see the first.
    """
    subscribe()
    early, late = factories.make_operator(), factories.make_operator()
    written, may_commit = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            agents.set_status(early.pk, OperatorStatus.ON_BREAK)
            written.set()
            may_commit.wait(10)
        connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert written.wait(10)
        agents.set_status(late.pk, OperatorStatus.ON_BREAK)
        assert actions.publish() == 1
        seen = Event.objects.get()
    finally:
        may_commit.set()
        thread.join()
    assert actions.publish() == 1
    last = Event.objects.exclude(pk=seen.pk).get()
    assert last.pk < seen.pk
    assert last.number is not None
    assert seen.number is not None
    assert last.number > seen.number


@pytest.mark.django_db(transaction=True)
def test_two_who_publish_at_once_do_not_both() -> None:
    subscribe("https://crm.example.org/")
    agents.set_status(factories.make_operator().pk, OperatorStatus.ON_BREAK)
    counts: list[int] = []

    def publish() -> None:
        counts.append(actions.publish())
        connection.close()

    with transaction.atomic():
        assert actions._only_one()
        thread = threading.Thread(target=publish)
        thread.start()
        thread.join(10)
    assert counts == [0]
    assert actions.publish() == 1
    assert Delivery.objects.count() == 1


def test_a_call_from_end_to_end_is_told() -> None:
    """By the engine itself: a talk that is a success ends the attempt and its subscriber."""
    subscribe()
    story = Story(min_duration=5)
    story.talk(20)
    (attempt,), (member,) = told("attempt.ended"), told("member.ended")
    assert attempt["attempt"] == story.attempt.pk
    assert (attempt["outcome"], attempt["cause"], attempt["operator"]) == (
        "success",
        "NORMAL_CLEARING",
        story.operator.pk,
    )
    assert datetime.fromisoformat(str(attempt["talk_ended_at"])) - datetime.fromisoformat(
        str(attempt["bridged_at"])
    ) == (timedelta(seconds=20))
    assert (member["member"], member["success"]) == (story.member.pk, True)


@pytest.mark.django_db(transaction=True)
def test_a_subscription_deleted_meanwhile_holds_up_nobody() -> None:
    """Publishing waits for who deletes one, and then passes it over."""
    doomed = subscribe("https://doomed.example.org/", types=[EventType.OPERATOR_STATUS])
    other = subscribe("https://other.example.org/", types=[EventType.OPERATOR_STATUS])
    agents.set_status(factories.make_operator().pk, OperatorStatus.ON_BREAK)
    counts: list[int] = []

    def publish() -> None:
        try:
            counts.append(actions.publish())
        finally:
            connection.close()

    thread = threading.Thread(target=publish)
    with transaction.atomic():
        actions.delete_subscription(doomed)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "it waits"
    thread.join(10)
    assert counts == [1]
    assert [delivery.subscription_id for delivery in Delivery.objects.all()] == [other.pk]
