"""Two at a time on one list; each race is shown to be one when its lock is off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from campaigns import actions as campaigns
from campaigns.models import Campaign, CampaignState, Completion
from dialer import locks
from members import actions, planning
from members.models import Communication, Member, MemberState
from members.rows import RowsRefused
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 10.0
"""Seconds until a test that waits for another thread gives up."""


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def in_thread(pool: ThreadPoolExecutor, function: Callable[[], Any]) -> Future[Any]:
    """Run a function in a thread of its own, with a connection of its own."""

    def run() -> Any:
        try:
            return function()
        finally:
            connection.close()

    return pool.submit(run)


@contextmanager
def uncommitted(pool: ThreadPoolExecutor, function: Callable[[], Any]) -> Iterator[None]:
    """Have another transaction do something and hold it open for the body; it commits after."""
    done, may_commit = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            function()
            done.set()
            assert may_commit.wait(PATIENCE)

    held = in_thread(pool, hold)
    try:
        assert done.wait(PATIENCE)
        yield
    finally:
        may_commit.set()
        held.result(PATIENCE)


def wait_until_blocked() -> None:
    """Return once a session of this database waits for a lock."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def row(number: str) -> dict[str, Any]:
    return {"communications": [{"number": number}]}


def without_lock(model: type, ids: Any) -> list[int]:
    return sorted(ids)


@pytest.fixture
def running(campaign: Campaign) -> Campaign:
    Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
    return campaign


def complete_during_an_upload(pool: ThreadPoolExecutor, campaign: Campaign) -> bool:
    with uncommitted(pool, lambda: actions.add_members(campaign, [row("1")])):
        completed = campaigns.complete(campaign.pk, Completion.LIST_COMPLETE)
    return completed or campaigns.complete(campaign.pk, Completion.LIST_COMPLETE)


def test_no_upload_slips_behind_a_completion(pool: ThreadPoolExecutor, running: Campaign) -> None:
    assert not complete_during_an_upload(pool, running)


def test_without_the_lock_a_campaign_completes_over_a_fresh_subscriber(
    pool: ThreadPoolExecutor, running: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "share", without_lock)
    assert complete_during_an_upload(pool, running)
    assert Member.objects.get().state == MemberState.READY


def plan_while_a_number_is_tried(pool: ThreadPoolExecutor, campaign: Campaign) -> str:
    """Return the next number after somebody planned while another was writing down a try of the first one."""
    member = factories.make_member(campaign, ["1", "2"])

    def try_the_first() -> None:
        Member.objects.select_for_update(no_key=True).get(pk=member.pk)
        Communication.objects.filter(digits="1").update(tries=1)
        Member.objects.filter(pk=member.pk).update(tried=True)

    with uncommitted(pool, try_the_first):
        planned = in_thread(pool, lambda: planning.plan([member.pk]))
        wait_until_blocked()
    planned.result(PATIENCE)
    member.refresh_from_db()
    assert member.next_communication
    return member.next_communication.digits


def test_a_plan_reads_what_the_holder_of_the_row_has_written(pool: ThreadPoolExecutor, campaign: Campaign) -> None:
    assert plan_while_a_number_is_tried(pool, campaign) == "2"


def test_without_the_lock_a_plan_is_made_from_the_past(
    pool: ThreadPoolExecutor, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "no_key", without_lock)
    assert plan_while_a_number_is_tried(pool, campaign) == "1"


def resolve_during_an_upload(pool: ThreadPoolExecutor, *, blocks: bool) -> MemberState:
    """Return the state of a subscriber whose upload had seen no route while one was added."""
    campaign = factories.make_campaign()
    with uncommitted(pool, lambda: actions.add_members(campaign, [row("1")])):
        factories.make_route()
        resolved = in_thread(pool, lambda: planning.resolve_routes(campaign.pk))
        if blocks:
            wait_until_blocked()
        else:
            resolved.result(PATIENCE)
    resolved.result(PATIENCE)
    return MemberState(Member.objects.get().state)


def test_a_new_route_reaches_the_upload_that_was_under_way(pool: ThreadPoolExecutor, db: None) -> None:
    assert resolve_during_an_upload(pool, blocks=True) == MemberState.READY


def test_without_the_wait_an_upload_keeps_the_old_routes(
    pool: ThreadPoolExecutor, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "no_key", without_lock)
    assert resolve_during_an_upload(pool, blocks=False) == MemberState.WAITING


def test_two_uploads_that_start_the_campaign_do_not_wait_for_each_other(
    pool: ThreadPoolExecutor, campaign: Campaign
) -> None:
    for turn in range(5):
        Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.STOPPED)
        both = threading.Barrier(2)

        def upload(number: str, both: threading.Barrier = both) -> None:
            both.wait(PATIENCE)
            actions.add_members(campaign, [row(number)], auto_run=True)

        uploads = [in_thread(pool, lambda n=n, turn=turn: upload(f"{turn}{n}")) for n in range(2)]  # type: ignore[misc]
        for one in uploads:
            one.result(PATIENCE)
    assert Member.objects.count() == 10
    assert Campaign.objects.get().state == CampaignState.RUNNING


def test_one_number_in_two_uploads_at_once_is_taken_once(pool: ThreadPoolExecutor, campaign: Campaign) -> None:
    with uncommitted(pool, lambda: actions.add_members(campaign, [row("1")])):
        second = in_thread(pool, lambda: actions.add_members(campaign, [row("2"), row("1")]))
        wait_until_blocked()
    with pytest.raises(RowsRefused) as refused:
        second.result(PATIENCE)
    assert list(refused.value.rows) == [1]
    assert Member.objects.count() == 1


def test_of_two_uploads_in_opposite_order_one_is_taken_and_the_other_told_of_every_number(
    campaign: Campaign, pool: ThreadPoolExecutor
) -> None:
    rows = [{"communications": [{"number": f"7{n:04}"}]} for n in range(500)]

    def upload(order: list[dict[str, Any]]) -> str:
        try:
            actions.add_members(campaign, order)
        except RowsRefused as refused:
            return f"{len(refused.rows)} refused"
        return "taken"

    both = [in_thread(pool, lambda order=order: upload(order)) for order in (rows, rows[::-1])]  # type: ignore[misc]
    assert sorted(one.result(PATIENCE) for one in both) == ["500 refused", "taken"]
    assert Member.objects.filter(campaign=campaign).count() == 500
