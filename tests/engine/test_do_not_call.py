"""A number that must not be called: it holds once it is listed, wherever its call stands, until it expires."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import connection, transaction

from campaigns.models import Campaign, CampaignState, ConnectOrder
from dialer import clock, verbs
from dialer.engine import dispatch, invariants, placing
from dialer.esl.client import Outcome, Reply
from dialer.models import Attempt
from dialer.switch import events
from dialer.switch.commands import Originate
from dialer.switch.nodes import SwitchNode
from members import actions as members
from members.actions import Listing
from members.models import DoNotCall, Member, MemberState
from tests.engine.story import Story
from tests.factories import make_campaign, make_member, make_node, make_operator, make_route

PATIENCE = 10.0
"""Seconds until a test that waits for another thread gives up."""

BOTH = pytest.mark.parametrize("order", [ConnectOrder.OPERATOR_FIRST, ConnectOrder.SUBSCRIBER_FIRST])


@pytest.fixture
def hung_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the attempts that the switch is asked to hang up."""
    found: list[int] = []
    monkeypatch.setattr(verbs, "send", lambda task, *args, **more: found.extend(args))
    return found


class Line:
    """Stands for a placer and its line: it takes every command and keeps it."""

    def __init__(self) -> None:
        self.core_uuid = uuid4()
        self.taken: list[Originate] = []

    def line(self) -> Line:
        return self

    def place(self, originates: Sequence[Originate], **_: Any) -> list[Reply]:
        self.taken += originates
        return [Reply(Outcome.ACCEPTED, "+OK")] * len(originates)


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Line:
    request.getfixturevalue("transactional_db" if "pool" in request.fixturenames else "db")
    line = Line()
    make_node(name="127.0.0.1:8021", last_event_at=clock.now() + timedelta(hours=1))
    monkeypatch.setattr(placing, "configured", lambda: [SwitchNode("127.0.0.1", 8021, "ClueCon")])
    monkeypatch.setattr(placing, "placer", lambda _: line)
    return line


def list_number(story: Story) -> None:
    members.add_do_not_call(story.attempt.digits)


def reserved(**more: Any) -> Story:
    """A story whose call was reserved and not yet sent."""
    story = Story(**more)
    Attempt.objects.filter(pk=story.attempt.pk).update(sending_at=None, core_uuid=None)
    return story


# --- where its call stands ----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.django_db
def test_what_was_reserved_and_not_sent_is_withdrawn_and_never_sent(
    order: ConnectOrder, hung_up: list[int], switch: Line
) -> None:
    story = reserved(connect_order=order)
    list_number(story)
    attempt, operator, member = story.now()
    assert (attempt.cause, attempt.outcome, attempt.counted) == ("WITHDRAWN", "refunded", False)
    assert (operator.state, operator.current_attempt_id) == ("waiting", None)
    assert (member.state, member.next_communication_id) == (MemberState.WAITING, None)
    placing.place([attempt.pk])
    assert (story.now()[0].sending_at, switch.taken) == (None, [])
    assert dispatch.run_pass().claimed == []
    assert hung_up == []


@BOTH
@pytest.mark.django_db
def test_what_was_sent_and_has_no_leg_of_the_subscriber_is_hung_up(order: ConnectOrder, hung_up: list[int]) -> None:
    story = Story(connect_order=order)
    list_number(story)
    assert story.now()[0].kill_reason == "withdrawn"
    assert hung_up == [story.attempt.pk]


@pytest.mark.django_db
def test_an_operator_who_rings_is_hung_up_and_his_subscriber_is_not_dialled(hung_up: list[int]) -> None:
    story = Story()
    story.operator_rings()
    list_number(story)
    assert (story.now()[0].kill_reason, hung_up) == ("withdrawn", [story.attempt.pk])
    story.hangs_up("operator", 2, "MANAGER_REQUEST")
    story.job(2, "MANAGER_REQUEST")
    attempt, operator, member = story.now()
    assert (attempt.cause, attempt.outcome, attempt.subscriber_created_at) == ("WITHDRAWN", "refunded", None)
    assert (operator.state, operator.no_answer_count) == ("waiting", 0)
    assert (member.state, member.counted, member.next_communication_id) == (MemberState.WAITING, 0, None)
    assert invariants.find_violations() == []


@BOTH
@pytest.mark.django_db
def test_a_subscriber_whose_phone_rings_already_is_not_cut_off(order: ConnectOrder, hung_up: list[int]) -> None:
    story = Story(connect_order=order)
    if order == ConnectOrder.OPERATOR_FIRST:
        story.operator_answers()
    else:
        story.tell(events.LegCreated, "subscriber", 0.1)
    list_number(story)
    assert (story.now()[0].kill_reason, story.now()[0].ended_at, hung_up) == ("", None, [])


@pytest.mark.django_db
def test_a_leg_that_appears_all_the_same_is_hung_up(hung_up: list[int]) -> None:
    story = Story()
    story.operator_rings()
    list_number(story)
    before = len(story.orders)
    story.operator_answers()
    killed = [order for order in story.orders[before:] if isinstance(order, str) and order.startswith("uuid_kill")]
    assert any(str(story.attempt.subscriber_uuid) in order for order in killed), story.orders[before:]


@pytest.mark.django_db
def test_the_list_of_a_campaign_leaves_the_calls_of_others_alone(hung_up: list[int]) -> None:
    story = Story()
    members.add_do_not_call(story.attempt.digits, campaign=make_campaign())
    assert (story.now()[0].kill_reason, hung_up) == ("", [])


# --- until when -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_expired_entry_frees_its_number_by_the_pass_alone() -> None:
    story = reserved()
    until = clock.now() + timedelta(hours=1)
    members.add_do_not_call(story.attempt.digits, expire_at=until, reason="asked for a pause")
    with time_machine.travel(until - timedelta(seconds=1), tick=False):
        assert dispatch.run_pass().claimed == []
    with time_machine.travel(until, tick=False):
        (claimed,) = dispatch.run_pass().claimed
    assert Attempt.objects.get(pk=claimed).member_id == story.member.pk
    entry = DoNotCall.objects.get()
    assert (entry.expire_at, entry.reason) == (until, "asked for a pause")


# --- at the same moment -----------------------------------------------------------------------------------------------


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def in_thread(pool: ThreadPoolExecutor, function: Callable[[], Any]) -> Future[Any]:
    def run() -> Any:
        try:
            return function()
        finally:
            connection.close()

    return pool.submit(run)


def list_during_a_claim(pool: ThreadPoolExecutor) -> Attempt:
    """List a number while a pass has claimed it and not yet committed; return the attempt."""
    make_node(last_event_at=clock.now() + timedelta(hours=1))
    make_route()
    campaign = make_campaign()
    Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
    make_operator(campaign)
    number = make_member(campaign).communications.get()
    claimed, may_commit = threading.Event(), threading.Event()

    def claim() -> None:
        with transaction.atomic():
            assert dispatch.run_pass().claimed
            claimed.set()
            assert may_commit.wait(PATIENCE)

    passing = in_thread(pool, claim)
    assert claimed.wait(PATIENCE)
    listing = in_thread(pool, lambda: members.add_do_not_call(number.digits))
    # It waits for the pass, or is done: then it has seen nothing of the claim.
    threading.Event().wait(0.5)
    may_commit.set()
    passing.result(PATIENCE)
    listing.result(PATIENCE)
    return Attempt.objects.get()


@pytest.mark.django_db(transaction=True)
def test_a_claim_that_is_being_written_is_withdrawn(pool: ThreadPoolExecutor) -> None:
    attempt = list_during_a_claim(pool)
    assert (attempt.cause, attempt.sending_at) == ("WITHDRAWN", None)
    assert Member.objects.get().state == MemberState.WAITING


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_of_the_pass_a_claim_outlives_the_listing(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = dispatch.lock_pass
    takers: list[str] = []

    def only_the_first() -> None:
        takers.append("pass")
        if len(takers) == 1:
            real()

    monkeypatch.setattr(dispatch, "lock_pass", only_the_first)
    assert list_during_a_claim(pool).ended_at is None


@BOTH
@pytest.mark.django_db(transaction=True)
def test_listing_and_sending_at_the_same_moment_never_leave_a_call_alone(
    order: ConnectOrder, pool: ThreadPoolExecutor, switch: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is first: it is not sent, or it is sent and then hung up."""
    for _ in range(12):
        switch.taken.clear()
        hung: list[int] = []
        monkeypatch.setattr(verbs, "send", lambda task, *args, hung=hung, **more: hung.extend(args))
        story = reserved(connect_order=order)
        both = threading.Barrier(2)

        def send(story: Story = story, both: threading.Barrier = both) -> None:
            both.wait(PATIENCE)
            placing.place([story.attempt.pk])

        def add(story: Story = story, both: threading.Barrier = both) -> None:
            both.wait(PATIENCE)
            list_number(story)

        for one in [in_thread(pool, send), in_thread(pool, add)]:
            one.result(PATIENCE)
        attempt = story.now()[0]
        sent = bool(switch.taken)
        assert attempt.kill_reason == "withdrawn"
        assert (attempt.ended_at is None, hung) == ((True, [attempt.pk]) if sent else (False, []))
        Campaign.objects.filter(pk=story.campaign.pk).update(state=CampaignState.STOPPED)


# --- many at once -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_many_are_added_updated_and_left_alone() -> None:
    until = clock.now() + timedelta(days=1)
    members.add_many_do_not_call([Listing("1"), Listing("2", until, "old"), Listing("3", until)])
    counts = members.add_many_do_not_call(
        [Listing("1"), Listing("2", until, "new"), Listing("3"), Listing("4"), Listing("4", until, "the last holds")]
    )
    assert counts == members.ListCount(added=1, updated=2, unchanged=1)
    assert list(DoNotCall.objects.order_by("digits").values_list("digits", "expire_at", "reason")) == [
        ("1", None, ""), ("2", until, "new"), ("3", None, ""), ("4", until, "the last holds"),
    ]  # fmt: skip


@pytest.mark.django_db
def test_one_whose_time_is_over_is_listed_anew() -> None:
    start = clock.now()
    members.add_many_do_not_call([Listing("1", start + timedelta(hours=1), "old")])
    with time_machine.travel(start + timedelta(hours=2), tick=False):
        assert members.add_many_do_not_call([Listing("1")]) == members.ListCount(added=1)
        assert DoNotCall.objects.get().created_at == clock.now()


@pytest.mark.django_db
def test_the_lists_of_a_campaign_and_of_all_are_two() -> None:
    campaign = make_campaign()
    members.add_many_do_not_call([Listing("1"), Listing("2")])
    assert members.add_many_do_not_call([Listing("1")], campaign) == members.ListCount(added=1)
    assert members.remove_many_do_not_call(["1", "2", "3"]) == 2
    assert DoNotCall.objects.get().campaign_id == campaign.pk


@pytest.mark.django_db
def test_many_numbers_take_as_many_statements_as_two(django_assert_max_num_queries: Any) -> None:
    make_route()
    campaign = make_campaign()
    for n in range(60):
        make_member(campaign, [f"7{n:03}"])
    with django_assert_max_num_queries(14):
        counts = members.add_many_do_not_call([Listing(f"7{n:03}") for n in range(60)])
    assert counts.added == 60
    assert not Member.objects.filter(state=MemberState.READY).exists()
    with django_assert_max_num_queries(10):
        assert members.remove_many_do_not_call([f"7{n:03}" for n in range(60)]) == 60
    assert Member.objects.filter(state=MemberState.READY).count() == 60


# --- as campaigns write their numbers ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_list_of_a_campaign_reads_numbers_by_its_region() -> None:
    make_route()
    campaign = make_campaign(default_region="UA")
    member = make_member(campaign, ["050 123 45 67"])
    assert members.add_do_not_call("(050) 123-45-67", campaign).digits == "380501234567"
    member.refresh_from_db()
    assert member.next_communication_id is None


@pytest.mark.django_db
def test_the_list_of_all_campaigns_knows_digits_alone() -> None:
    make_route()
    campaign = make_campaign(default_region="UA")
    member = make_member(campaign, ["050 123 45 67"])
    members.add_do_not_call("050 123 45 67")
    member.refresh_from_db()
    assert member.next_communication_id is not None
    members.add_do_not_call("+380 50 123 45 67")
    member.refresh_from_db()
    assert member.next_communication_id is None
