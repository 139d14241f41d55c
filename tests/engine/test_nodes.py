"""Several switches: who gets the next call, within whose limits, and what refusals teach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine

from agents import actions as agents
from agents.models import Operator
from campaigns.models import Campaign, CampaignState, ConnectOrder
from dialer import clock, verbs
from dialer.engine import dispatch, nodes, tasks
from dialer.errors import Refused
from dialer.models import Attempt, Node
from dialer.switch import events
from tests.engine.story import Story
from tests.factories import make_attempt, make_campaign, make_gateway, make_member, make_node, make_operator, make_route

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def time() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def heard(**fields: Any) -> Node:
    """Add a switch whose listener hears it for the next hour."""
    return make_node(**{"last_event_at": clock.now() + timedelta(hours=1), **fields})


def calling(count: int, **fields: Any) -> Campaign:
    """Add a campaign that runs, with so many operators and subscribers."""
    make_route(make_gateway(capacity=1000))
    campaign = make_campaign(**{"limit": 1000, **fields})
    Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
    for _ in range(count):
        make_operator(campaign)
        make_member(campaign)
    campaign.refresh_from_db()
    return campaign


def passes() -> Counter[int | None]:
    """Run passes until nothing is claimed at once; count the live attempts by switch."""
    while dispatch.run_pass().full:
        pass
    return Counter(Attempt.objects.live().values_list("node_id", flat=True))


def registered(operator: Operator, *on: Node) -> None:
    for node in Node.objects.all():
        agents.set_registered(operator.extension, node.pk, node in on, clock.now())


# --- who gets the next call -------------------------------------------------------------------------------------


def test_calls_are_shared_by_weight() -> None:
    one, three = heard(weight=1), heard(weight=3)
    calling(12)
    assert passes() == {one.pk: 3, three.pk: 9}


def test_calls_that_live_count_for_the_share() -> None:
    busy, idle = heard(), heard()
    campaign = calling(0)
    for _ in range(4):
        make_attempt(make_member(campaign), make_operator(campaign, status="on_break", state="idle"), node=busy)
    for _ in range(6):
        make_operator(campaign), make_member(campaign)
    assert passes() == {busy.pk: 5, idle.pk: 5}


@pytest.mark.parametrize(
    "fault",
    [
        {"connected": False},
        {"enabled": False},
        {"ready": False},
        {"last_event_at": NOON - timedelta(seconds=11)},
        {"blocked_until": NOON + timedelta(seconds=1)},
        {"max_calls": 0},
        {"sessions_allowed": 1},
        {"sessions_allowed": 1000, "sessions_of_others": 999},
        {"rate_allowed": 1},
    ],
)
def test_a_switch_that_takes_none_gets_none_and_the_others_go_on(
    time: time_machine.Traveller, fault: dict[str, Any]
) -> None:
    heard(**fault)
    good = heard()
    calling(3)
    assert passes() == {good.pk: 3}
    Node.objects.filter(pk=good.pk).update(enabled=False)
    make_member(Campaign.objects.get())
    Attempt.objects.update(ended_at=NOON, outcome="success", cause="NORMAL_CLEARING")
    assert dispatch.run_pass().claimed == [], "nobody is reserved for a switch that cannot take the call"


def test_each_switch_stays_within_its_own_calls_at_once() -> None:
    small, big = heard(max_calls=2), heard(sessions_allowed=20, sessions_of_others=8)
    calling(12)
    assert passes() == {small.pk: 2, big.pk: 5}  # (20 - 8) * 95 % are five calls of two legs
    Attempt.objects.filter(node=small).update(ended_at=clock.now(), outcome="success", cause="NORMAL_CLEARING")
    assert passes() == {small.pk: 2, big.pk: 5}


def test_no_more_new_calls_in_any_second_than_allowed(time: time_machine.Traveller) -> None:
    heard(max_rate=3)
    calling(20)
    begun: list[datetime] = []
    for _ in range(40):
        begun += [clock.now()] * len(dispatch.run_pass().claimed)
        time.shift(0.05)
    for first in begun:
        assert sum(first <= other < first + timedelta(seconds=1) for other in begun) <= 3
    assert len(begun) >= 5


def test_the_bucket_is_one_for_all_dial_workers(time: time_machine.Traveller) -> None:
    heard(max_rate=1)
    calling(5)
    assert len(dispatch.run_pass().claimed) == 1
    assert dispatch.run_pass().claimed == []
    time.shift(0.9)
    assert dispatch.run_pass().claimed == []
    time.shift(0.3)
    assert len(dispatch.run_pass().claimed) == 1


def test_what_a_pace_holds_back_is_claimed_a_moment_later_not_at_the_next_tick(
    time: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard(max_rate=5)
    calling(5)
    waits: list[float] = []
    monkeypatch.setattr(verbs, "wake_in", waits.append)
    monkeypatch.setattr(tasks.placing, "place", lambda attempts: None)
    tasks.dispatch_pass()
    assert 0 < len(Attempt.objects.all()) < 5
    assert waits == [0.1]
    for _ in range(20):
        time.shift(0.1)
        tasks.dispatch_pass()
    assert len(Attempt.objects.all()) == 5
    waits.clear()
    tasks.dispatch_pass()
    assert waits == [], "nothing is held back any more"


# --- where a phone is registered --------------------------------------------------------------------------------


def test_an_operator_is_called_on_the_switch_where_his_phone_is_registered() -> None:
    one, other = heard(weight=100), heard()
    campaign = calling(6)
    for operator in Operator.objects.all():
        registered(operator, other)
    outside = make_operator(campaign, contact="0441112233", gateway=make_gateway())
    registered(outside)
    make_member(campaign)
    passes()
    assert set(Attempt.objects.exclude(operator=outside).values_list("node", flat=True)) == {other.pk}
    assert Attempt.objects.get(operator=outside).node_id == one.pk


def test_nobody_is_reserved_whose_switch_is_full_and_those_of_another_one_go_on() -> None:
    full, other = heard(max_calls=1), heard()
    campaign = calling(0)
    # Those of the full one come first in every order.
    first = [make_operator(campaign, idle_since=NOON - timedelta(days=1)) for _ in range(4)]
    second = [make_operator(campaign) for _ in range(2)]
    for _ in range(6):
        make_member(campaign)
    for operator in first:
        registered(operator, full)
    for operator in second:
        registered(operator, other)
    assert passes() == {full.pk: 1, other.pk: 2}
    assert Operator.objects.filter(state="waiting").count() == 3


def test_the_next_operator_for_an_answered_subscriber_is_one_whom_his_switch_can_ring() -> None:
    here, elsewhere = heard(), heard(max_calls=0)
    story = Story(connect_order=ConnectOrder.SUBSCRIBER_FIRST)
    registered(story.operator, here)
    assert story.attempt.node == here
    stranger = make_operator(story.campaign, idle_since=NOON - timedelta(days=1))
    registered(stranger, elsewhere)
    Attempt.objects.filter(pk=story.attempt.pk).update(
        subscriber_created_at=story.at(0), subscriber_answered_at=story.at(1), seeking_since=story.at(2),
        operator_uuid=uuid4(),
    )  # fmt: skip
    Operator.objects.filter(pk=story.operator.pk).update(current_attempt=None, state="idle", status="on_break")
    assert dispatch.run_pass().brought == []
    registered(stranger, here)
    assert dispatch.run_pass().brought == [story.attempt.pk]


# --- refusals ---------------------------------------------------------------------------------------------------


def sent(node: Node, count: int, *, taken: int) -> list[Attempt]:
    """Add calls that were sent to a switch just now, of which it has taken some."""
    campaign, now = calling(0), clock.now()
    return [
        make_attempt(
            make_member(campaign), node=node, sending_at=now, operator_ringing_at=now if number < taken else None
        )
        for number in range(count)
    ]


def refuse(attempt: Attempt, reason: str = "DESTINATION_OUT_OF_ORDER") -> Node:
    assert attempt.node is not None
    nodes.refused(attempt.node, reason, attempt.sending_at, clock.now())
    attempt.node.refresh_from_db()
    return attempt.node


def test_a_switch_that_refuses_everything_gets_none_for_longer_and_longer(time: time_machine.Traveller) -> None:
    node = heard()
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        # Second legs of calls that it has, while it gets no others.
        nodes.took_calls(node.pk, clock.now() - timedelta(seconds=3))
        for attempt in sent(node, 3, taken=0):
            node = refuse(attempt)
        assert node.blocked_until == clock.now() + timedelta(seconds=pause)
        assert node.blocked_reason == "DESTINATION_OUT_OF_ORDER"
        assert node.rate is None
        time.shift(pause + 2)
    assert node.block_step == 6, "it may refuse calls for weeks, and a column has an end"
    nodes.took_calls(node.pk, clock.now())
    node.refresh_from_db()
    assert (node.blocked_until, node.block_step, node.blocked_reason) == (None, 0, "")


def test_a_switch_that_refuses_some_gets_half_as_many_once_for_all_of_them(time: time_machine.Traveller) -> None:
    node = heard()
    *_, first, second = sent(node, 12, taken=4)
    time.shift(0.2)
    node = refuse(first)
    assert (node.rate, node.blocked_until) == (6.0, None)
    assert refuse(second).rate == 6.0, "sent before the pace was made slower"
    time.shift(1)
    late = sent(node, 6, taken=1)[-1]
    assert refuse(late).rate == 3.0


def test_what_is_refused_for_another_reason_is_no_question_of_pace(time: time_machine.Traveller) -> None:
    node = heard()
    attempt = sent(node, 5, taken=4)[-1]
    node = refuse(attempt, "CHAN_NOT_IMPLEMENTED")
    assert (node.rate, node.blocked_reason) == (None, "CHAN_NOT_IMPLEMENTED")
    assert node.blocked_until


def test_the_pace_quickens_while_calls_go_through_until_none_is_kept(time: time_machine.Traveller) -> None:
    node = heard(rate=4.0, slowed_at=clock.now(), max_rate=6)
    rates = []
    for _ in range(4):
        nodes.took_calls(node.pk, clock.now())
        rates.append(Node.objects.get(pk=node.pk).rate)
        time.shift(1)
    assert rates == [4.0, 4.5, 5.0, None]  # in the very second of a refusal it stays; 6 a second are 5.4 on average


def test_the_refused_second_leg_of_a_call_tells_of_the_pace_too(
    time: time_machine.Traveller, django_capture_on_commit_callbacks: Any
) -> None:
    story = Story()
    others = sent(story.node, 3, taken=3)
    story.operator_rings(0.1)
    story.tell(events.LegAnswered, "operator", 3)
    time.shift(3)
    Attempt.objects.filter(pk__in=[other.pk for other in others]).update(
        sending_at=clock.now(), operator_ringing_at=clock.now()
    )
    with django_capture_on_commit_callbacks(execute=True):
        story.hangs_up("operator", 3.1, "DESTINATION_OUT_OF_ORDER", originate_disposition="DESTINATION_OUT_OF_ORDER")
    story.attempt.refresh_from_db()
    story.node.refresh_from_db()
    assert (story.attempt.outcome, story.attempt.counted) == ("refunded", False)
    assert (story.node.rate, story.node.blocked_until) == (1.5, None)


def test_a_phone_that_is_always_refused_while_others_ring_rests_and_not_its_switch(
    django_capture_on_commit_callbacks: Any,
) -> None:
    story = Story()
    for number in range(1, 5):
        Node.objects.update(blocked_until=None, rate=None, tokens=1)
        if number > 1:
            story.reserve()
        if number == 2:
            now = clock.now()
            other = make_member(story.campaign)
            make_attempt(other, make_operator(), node=story.node, sending_at=now, operator_ringing_at=now)
        with django_capture_on_commit_callbacks(execute=True):
            story.job(0.1, "DESTINATION_OUT_OF_ORDER")
        attempt, operator, member = story.now()
        story.node.refresh_from_db()
        assert (attempt.outcome, member.counted) == ("refunded", 0)
        his = number == 4
        assert (operator.no_answer_count, operator.ready_at is not None) == (int(his), his)
        assert (story.node.rate is None and story.node.blocked_until is None) == his


# --- what a person asks -----------------------------------------------------------------------------------------


def test_a_drained_switch_gets_no_calls_and_keeps_those_it_has() -> None:
    node = heard()
    calling(2)
    Campaign.objects.update(limit=1)
    passes()
    Campaign.objects.update(limit=2)
    assert nodes.drain(node.pk).enabled is False
    assert passes() == {node.pk: 1}
    assert nodes.resume(node.pk).enabled is True
    assert passes() == {node.pk: 2}
    with pytest.raises(Refused):
        nodes.drain(0)
