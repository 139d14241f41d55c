"""Numbers as a country writes them, and the time zones that they tell, from every door to the claim."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import connection

from campaigns import actions as campaigns
from campaigns.models import Campaign, CampaignState, Completion, ZoneFromNumber
from dialer import clock, locks, verbs
from dialer.engine import dispatch
from dialer.models import Attempt
from members import actions, planning
from members.actions import OnDuplicate
from members.models import Member, MemberState, ZoneSource
from members.rows import RowsRefused
from tests import factories
from tests.members.test_races import in_thread, uncommitted, wait_until_blocked

KYIV, NEW_YORK, TOLL_FREE, SPAIN = "+380501234567", "+12025550100", "+18005550100", "+34612345678"
OFFICE = {weekday: [(9 * 60, 18 * 60)] for weekday in range(1, 6)}
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def row(*numbers: str, **more: Any) -> dict[str, Any]:
    """Return a row; the first number has the highest priority."""
    entries = [{"number": number, "priority": -place} for place, number in enumerate(numbers)]
    return {"communications": entries, **more}


def add(campaign: Campaign, *numbers: str, **more: Any) -> Member:
    return actions.add_members(campaign, [row(*numbers, **more)])[0]


def zoned(by: str, **fields: Any) -> Campaign:
    return factories.make_campaign(zone_from_number=by, zoned_by=by, **fields)


def zones_of(member: Member) -> str:
    member.refresh_from_db()
    return member.zones


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ukrainian(db: None) -> Campaign:
    factories.make_route()
    return factories.make_campaign(default_region="UA")


def test_a_number_is_kept_as_typed_and_dialled_internationally(ukrainian: Campaign) -> None:
    number = add(ukrainian, "050 123-45-67").communications.get()
    assert (number.number, number.dial, number.digits) == ("050 123-45-67", KYIV, KYIV[1:])


def test_one_number_in_two_spellings_is_one(ukrainian: Campaign) -> None:
    with pytest.raises(RowsRefused) as refused:
        actions.add_members(ukrainian, [row("050 123 45 67"), row("+380 50 123 45 67")])
    assert "is in row 1 already" in str(refused.value.rows[1])
    with pytest.raises(RowsRefused, match="twice in this subscriber"):
        add(ukrainian, "0501234567", "380501234567")
    add(ukrainian, "0501234567")
    with pytest.raises(RowsRefused, match="belongs to another subscriber"):
        add(ukrainian, KYIV)


def test_what_is_no_possible_number_is_a_fault_at_every_door(ukrainian: Campaign) -> None:
    member = add(ukrainian, KYIV)
    assert "area code" in str(actions.check_members(ukrainian, [row("123 45 67")]))
    for taken in (
        lambda: add(ukrainian, "123 45 67"),
        lambda: actions.add_number(member, "123 45 67"),
        lambda: actions.add_do_not_call("123 45 67", ukrainian),
    ):
        with pytest.raises(ValidationError, match="area code"):
            taken()
    (intake,) = actions.take_members(ukrainian, [row("123 45 67")]).rows
    assert "area code" in str(intake.faults)


def test_an_update_by_upload_finds_him_by_any_spelling(ukrainian: Campaign) -> None:
    member = add(ukrainian, KYIV)
    (taken,) = actions.take_members(
        ukrainian, [row("(050) 123-45-67", name="Anna")], on_duplicate=OnDuplicate.UPDATE
    ).rows
    assert (taken.became, taken.member) == ("updated", member.pk)


def test_numbers_from_before_the_region_stay_as_they_are(campaign: Campaign) -> None:
    member = add(campaign, "112")
    campaigns.update_campaign(campaign.pk, default_region="UA")
    number = member.communications.get()
    actions.update_number(number, priority=5, description="short")
    number.refresh_from_db()
    assert (number.digits, number.priority) == ("112", 5)


@pytest.mark.parametrize("region", ["XX", "ua", "380"])
def test_a_region_that_is_none_is_refused(campaign: Campaign, region: str) -> None:
    with pytest.raises(ValidationError) as refused:
        campaigns.update_campaign(campaign.pk, default_region=region)
    assert set(refused.value.message_dict) == {"default_region"}


# --- zones ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "numbers", "zones"),
    [
        ("off", [NEW_YORK], ""),
        ("intersection", [NEW_YORK], "America/New_York"),
        ("calendar", [NEW_YORK], "America/New_York"),
        ("intersection", [SPAIN], "Atlantic/Canary|Europe/Madrid"),
        ("calendar", [SPAIN], ""),
        ("intersection", ["0501234567"], ""),
        ("intersection", ["*100#", NEW_YORK], "America/New_York"),  # the first that tells one
        ("intersection", [KYIV, NEW_YORK], "Europe/Kyiv"),
        ("calendar", [SPAIN, NEW_YORK], ""),  # the first tells several: the calendar's
    ],
)
def test_the_first_number_that_tells_a_zone_decides(db: None, by: str, numbers: list[str], zones: str) -> None:
    assert add(zoned(by), *numbers).zones == zones


def test_all_zones_of_a_number_that_may_ring_anywhere_are_kept(db: None) -> None:
    member = add(zoned("intersection"), TOLL_FREE)
    assert len(member.zones.split("|")) > 10
    assert {"America/New_York", "Pacific/Honolulu"} <= set(member.zones_that_count)


def test_a_time_zone_of_his_own_goes_before_his_number(db: None) -> None:
    member = add(zoned("intersection"), NEW_YORK, timezone="Asia/Tokyo")
    assert (member.zones, member.zone_from) == ("Asia/Tokyo", ZoneSource.SUBSCRIBER)
    actions.update_member(member, {"timezone": ""})
    assert (zones_of(member), member.zone_from) == ("America/New_York", ZoneSource.NUMBER)
    actions.update_member(member, {"timezone": "Asia/Tokyo"})
    assert zones_of(member) == "Asia/Tokyo"


def test_the_zone_follows_his_numbers(db: None) -> None:
    factories.make_route()
    member = add(zoned("intersection"), KYIV)
    added = actions.add_number(member, NEW_YORK, priority=9)
    assert zones_of(member) == "America/New_York"
    actions.update_number(added, priority=-9, description="")
    assert zones_of(member) == "Europe/Kyiv"
    actions.update_number(added, priority=9, description="")
    actions.stop_number(added)
    assert zones_of(member) == "America/New_York"  # he has not moved
    actions.delete_number(added)
    assert zones_of(member) == "Europe/Kyiv"


def test_an_update_by_upload_zones_him_anew(db: None) -> None:
    campaign = zoned("intersection")
    member = add(campaign, KYIV, external_id="a")
    raw = {"external_id": "a", "communications": [{"number": NEW_YORK, "priority": 5}]}
    actions.take_members(campaign, [raw], on_duplicate=OnDuplicate.UPDATE)
    assert zones_of(member) == "America/New_York"
    raw["timezone"] = "Asia/Tokyo"
    actions.take_members(campaign, [raw], on_duplicate=OnDuplicate.UPDATE)
    assert zones_of(member) == "Asia/Tokyo"


# --- the option changes ----------------------------------------------------------------------------------------------


def test_another_option_reaches_those_who_are_there(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(planning, "BATCH", 2)
    asked: list[int] = []
    monkeypatch.setattr(verbs, "rezone_soon", lambda: asked.append(1))
    several = [add(campaign, f"+1202555{n:04}") for n in range(5)]
    own = add(campaign, "+12025550999", timezone="Asia/Tokyo")
    other = add(factories.make_campaign(), NEW_YORK)
    campaigns.update_campaign(campaign.pk, zone_from_number=ZoneFromNumber.CALENDAR)
    assert asked == [1]
    planning.rezone_changed()
    assert {zones_of(member) for member in several} == {"America/New_York"}
    assert (zones_of(own), zones_of(other)) == ("Asia/Tokyo", "")
    campaigns.update_campaign(campaign.pk, zone_from_number=ZoneFromNumber.OFF)
    planning.rezone_changed()
    assert {zones_of(member) for member in several} == {""}
    assert zones_of(own) == "Asia/Tokyo"
    campaigns.update_campaign(campaign.pk, retry_wait=5)
    assert asked == [1, 1]


def test_what_died_in_the_middle_is_done_again(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "BATCH", 1)
    several = [add(campaign, f"+1202555{n:04}") for n in range(3)]
    campaigns.update_campaign(campaign.pk, zone_from_number=ZoneFromNumber.CALENDAR)
    real = planning.zone
    done: list[Any] = []

    def dies(ids: Any) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(real(ids))

    monkeypatch.setattr(planning, "zone", dies)
    with pytest.raises(KeyboardInterrupt):
        planning.rezone_changed()
    assert sorted(zones_of(member) for member in several) == ["", "", "America/New_York"]
    monkeypatch.setattr(planning, "zone", real)
    planning.rezone_changed()
    assert {zones_of(member) for member in several} == {"America/New_York"}


def test_when_nothing_changed_nothing_is_read_of_subscribers(
    campaign: Campaign, django_assert_num_queries: Any
) -> None:  # fmt: skip
    with django_assert_num_queries(3):
        planning.rezone_changed()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.django_db(transaction=True)
def test_one_process_at_a_time_zones_anew(pool: ThreadPoolExecutor, campaign: Campaign) -> None:
    member = add(campaign, NEW_YORK)
    campaigns.update_campaign(campaign.pk, zone_from_number=ZoneFromNumber.CALENDAR)
    locked, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [planning.REZONING])
            locked.set()
            assert may_end.wait(10)
            cursor.execute("SELECT pg_advisory_unlock(%s)", [planning.REZONING])

    other = in_thread(pool, hold)
    assert locked.wait(10)
    planning.rezone_changed()
    assert zones_of(member) == ""
    may_end.set()
    other.result(10)
    planning.rezone_changed()
    assert zones_of(member) == "America/New_York"


def zone_during_an_upload(pool: ThreadPoolExecutor, *, blocks: bool) -> str:
    """Return the zones of one whose upload had seen the old option while it changed."""
    campaign = factories.make_campaign()
    with uncommitted(pool, lambda: actions.add_members(campaign, [row(NEW_YORK)])):
        changed = in_thread(pool, lambda: change_option(campaign))
        if blocks:
            wait_until_blocked()
        else:
            changed.result(10)
    changed.result(10)
    return Member.objects.get().zones


def change_option(campaign: Campaign) -> None:
    Campaign.objects.filter(pk=campaign.pk).update(zone_from_number=ZoneFromNumber.CALENDAR)
    planning.rezone_changed()


@pytest.mark.django_db(transaction=True)
def test_an_upload_under_way_is_zoned_by_the_new_option_in_the_end(pool: ThreadPoolExecutor) -> None:
    assert zone_during_an_upload(pool, blocks=True) == "America/New_York"


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_an_upload_keeps_the_old_option(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "share", lambda model, ids: sorted(ids))
    assert zone_during_an_upload(pool, blocks=False) == ""


# --- the dial loop ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dialling(db: None) -> Campaign:
    """Return a running campaign that takes all zones of a number, open in office hours, with an operator."""
    factories.make_node(last_event_at=MONDAY.replace(year=2027))
    factories.make_route()
    campaign = zoned("intersection", calendar=factories.make_calendar(weekly=OFFICE))
    Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
    factories.make_operator(campaign)
    return campaign


def claimed_at(hour: int) -> list[int]:
    with time_machine.travel(MONDAY.replace(hour=hour), tick=False):
        ids = dispatch.run_pass().claimed
    return list(Attempt.objects.filter(pk__in=ids).values_list("member_id", flat=True))


def test_he_is_called_by_the_clock_of_his_number(dialling: Campaign) -> None:
    with time_machine.travel(MONDAY, tick=False):
        member = add(dialling, NEW_YORK)
    assert claimed_at(10) == []  # 5 in New York, 12 in Kyiv
    dialling.refresh_from_db()
    assert (dialling.state, dialling.sleeping_until) == (CampaignState.SLEEPING, MONDAY.replace(hour=14))
    assert claimed_at(14) == [member.pk]
    assert Attempt.objects.get().zones_then == "America/New_York"


def test_all_candidate_zones_must_be_open(dialling: Campaign) -> None:
    with time_machine.travel(MONDAY, tick=False):
        member = add(dialling, SPAIN)
    assert claimed_at(8) == []  # 9 in Madrid, 8 on the Canaries
    assert claimed_at(9) == [member.pk]


def test_another_time_zone_wakes_the_campaign_for_him(dialling: Campaign) -> None:
    with time_machine.travel(MONDAY, tick=False):
        member = add(dialling, NEW_YORK)
        assert dispatch.run_pass().claimed == []
        actions.update_member(member, {"timezone": "Europe/Kyiv"})
    assert claimed_at(8) == [member.pk]


def test_a_campaign_ends_when_those_left_are_never_open_in_all_their_zones(dialling: Campaign) -> None:
    with time_machine.travel(MONDAY, tick=False):
        add(dialling, TOLL_FREE)
        member = add(dialling, KYIV)
    assert claimed_at(8) == [member.pk]
    dialling.refresh_from_db()
    assert dialling.state == CampaignState.RUNNING
    Attempt.objects.update(ended_at=clock.now(), outcome="refunded", cause="WITHDRAWN")
    Member.objects.filter(pk=member.pk).update(
        state=MemberState.ENDED, current_attempt=None, ended_at=MONDAY, end_cause="NORMAL_CLEARING"
    )
    assert claimed_at(9) == []
    dialling.refresh_from_db()
    assert (dialling.state, dialling.completion, dialling.completion_left) == (
        CampaignState.COMPLETED, Completion.NOTHING_TO_DIAL, 1,
    )  # fmt: skip
