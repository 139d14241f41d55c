"""Uploads: what a row may hold, what is refused and how it is told, and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import AllowedVariable, Campaign, CampaignState, Route
from dialer import clock
from dialer.errors import Refused
from members import actions
from members.models import Communication, Member, MemberState
from members.rows import RowsRefused
from tests import factories


def add(campaign: Campaign, *rows: Any, **keywords: Any) -> list[Member]:
    return actions.add_members(campaign, rows, **keywords)


def faults(campaign: Campaign, *rows: Any) -> dict[str, list[str]]:
    with pytest.raises(RowsRefused) as refused:
        add(campaign, *rows)
    assert not Member.objects.filter(campaign=campaign).exclude(name="Before").exists()
    return refused.value.message_dict


def numbered(*numbers: str, **fields: Any) -> dict[str, Any]:
    return {"communications": [{"number": number} for number in numbers], **fields}


def test_the_body_of_the_document_is_taken(campaign: Campaign) -> None:
    body = {
        "name": " ",
        "priority": 0,
        "timezone": "",
        "variables": {"debt": 20000, "language": "", "productID": "8fd26a17-eb28-4c74-aa6f-a3794f4f466c"},
        "communications": [{"number": "099998888", "priority": 1}, {"number": "3434534534534", "priority": 2}],
    }
    member = add(campaign, body)[0]
    assert (member.name, member.time_zone, member.zones, member.expire_at) == ("", "", "", None)
    assert member.variables == body["variables"]
    assert list(member.communications.values_list("digits", "priority")) == [("099998888", 1), ("3434534534534", 2)]


def test_every_field_is_kept(campaign: Campaign) -> None:
    now = clock.now()
    member = add(
        campaign,
        {
            "name": "Anna Kovalenko",
            "priority": -3,
            "timezone": "America/New_York",
            "expire": "2031-05-01T18:00:00+03:00",
            "external_id": "crm-17",
            "variables": {"language": "uk"},
            "communications": [{"number": "+380 (50) 111-22-33", "priority": 7, "description": "mobile"}],
        },
        now=now,
    )[0]
    assert (member.name, member.priority, member.time_zone, member.zones) == (
        "Anna Kovalenko", -3, "America/New_York", "America/New_York",
    )  # fmt: skip
    assert member.expire_at == datetime(2031, 5, 1, 15, tzinfo=UTC)
    assert (member.external_id, member.created_at, member.due_at) == ("crm-17", now, now)
    number = member.communications.get()
    assert (number.number, number.dial, number.digits) == ("+380 (50) 111-22-33", "+380501112233", "380501112233")
    assert (number.priority, number.description, number.stopped, number.tries) == (7, "mobile", "", 0)


@pytest.mark.parametrize(
    ("wall_clock", "expire_at"),
    [
        ("2031-07-01 18:00", datetime(2031, 7, 1, 15, tzinfo=UTC)),
        ("2031-12-01T18:00:30", datetime(2031, 12, 1, 16, 0, 30, tzinfo=UTC)),
        ("2031-03-30 03:30", datetime(2031, 3, 30, 1, 30, tzinfo=UTC)),  # skipped: half an hour after the change
        ("2031-10-26 03:30", datetime(2031, 10, 26, 1, 30, tzinfo=UTC)),  # shown twice: the second time
    ],
)
def test_an_instant_without_an_offset_is_read_on_the_calendars_clock(
    campaign: Campaign, wall_clock: str, expire_at: datetime
) -> None:
    assert add(campaign, numbered("050", expire=wall_clock))[0].expire_at == expire_at  # Kyiv


def test_a_subscriber_is_ready_as_soon_as_he_is_added(campaign: Campaign) -> None:
    member = add(campaign, numbered("050"))[0]
    assert member.state == MemberState.READY
    assert member.next_communication == member.communications.get()
    assert member.next_gateway == Route.objects.get().gateway


def test_without_a_route_he_waits(db: None) -> None:
    member = add(factories.make_campaign(), numbered("050"))[0]
    assert (member.state, member.next_communication) == (MemberState.WAITING, None)


@pytest.mark.parametrize(
    ("row", "path", "told"),
    [
        ({}, "communications", "at least one number"),
        ({"communications": []}, "communications", "at least one number"),
        ({"communications": "050"}, "communications", "array"),
        ({"communications": [{}]}, "communications[0].number", "missing"),
        ({"communications": ["050"]}, "communications[0]", "object"),
        ({"communications": [{"number": 50}]}, "communications[0].number", "must be text, not a number"),
        (numbered("050", "1x"), "communications[1].number", "“x”"),
        (numbered("050", "+0 5-0"), "communications[1].number", "twice"),
        ({"communications": [{"number": "1", "priority": "2"}]}, "communications[0].priority", "number, not text"),
        ({"communications": [{"number": "1", "kind": "2"}]}, "communications[0].kind", "Unknown field"),
        (numbered("1", nmae="Anna"), "nmae", "Unknown field"),
        (numbered("1", name=5), "name", "text"),
        (numbered("1", name="x" * 201), "name", "at most 200"),
        (numbered("1", name="a\0b"), "name", "U+0000"),
        (numbered("1", name="\ud800"), "name", "U+D800"),
        (numbered("1", priority=1.5), "priority", "whole number"),
        (numbered("1", priority=True), "priority", "true or false"),
        (numbered("1", priority=2**31), "priority", "between"),
        (numbered("1", timezone="Mars/Base"), "timezone", "“Mars/Base” is not a time zone"),
        (numbered("1", expire="tomorrow"), "expire", "not a date with a time"),
        (numbered("1", expire="2031-01-01"), "expire", "not a date with a time"),
        (numbered("1", expire="2031-02-30 10:00"), "expire", "not a date with a time"),
        (numbered("1", expire="9999-12-31 23:59-10:00"), "expire", "beyond"),
        (numbered("1", expire=1767225600000), "expire", "text"),
        (numbered("1", variables=[1]), "variables", "object"),
        (numbered("1", variables={"api_on_answer": "system ls"}), "variables", "api_on_answer"),
        (numbered("1", variables={"a b": "1"}), "variables", "a b"),
        (numbered("1", variables={"a": {"b": 1}}), "variables", "“a”"),
        (numbered("1", variables={"a": "x\0"}), "variables", "“a”"),
        (numbered("1", external_id="x" * 101), "external_id", "at most 100"),
    ],
)
def test_a_fault_is_told_by_the_path_of_its_field(campaign: Campaign, row: Any, path: str, told: str) -> None:
    found = faults(campaign, row)
    assert list(found) == [path]
    assert told in found[path][0]


def test_every_fault_of_every_row_is_told_at_once(campaign: Campaign) -> None:
    found = faults(
        campaign,
        numbered("050", "051"),
        numbered("x", "050", timezone="Nowhere", priority="high"),
        "not an object",
    )
    assert set(found) == {
        "[1].timezone", "[1].priority", "[1].communications[0].number", "[1].communications[1].number",
        "[2].__all__",
    }  # fmt: skip
    assert "row 1 already" in found["[1].communications[1].number"][0]


def test_a_number_of_another_subscriber_is_refused_even_when_he_has_ended(campaign: Campaign) -> None:
    before = add(campaign, numbered("+380501112233", name="Before"))[0]
    actions.end_member(before)
    found = faults(campaign, numbered("0441", "380 50 111 22 33"))
    assert "belongs to another subscriber" in found["communications[1].number"][0]


def test_the_same_number_may_be_in_two_campaigns(campaign: Campaign) -> None:
    add(campaign, numbered("050"))
    assert add(factories.make_campaign(), numbered("050"))


def test_an_external_id_is_once_in_a_campaign(campaign: Campaign) -> None:
    add(campaign, numbered("1", name="Before", external_id="7"))
    rows = [numbered("2", external_id="7"), numbered("3", external_id="8"), numbered("4", external_id="8")]
    found = faults(campaign, *rows)
    assert set(found) == {"[0].external_id", "[2].external_id"}


def test_a_variable_that_an_administrator_allowed_is_taken(campaign: Campaign) -> None:
    AllowedVariable.objects.create(name="sip_h_X-Debt".replace("-", "_"))
    assert add(campaign, numbered("1", variables={"sip_h_X_Debt": "5"}))


def test_an_upload_is_all_or_nothing(campaign: Campaign) -> None:
    with pytest.raises(ValidationError):
        add(campaign, *[numbered(str(n)) for n in range(50)], numbered("0"))
    assert not Member.objects.exists()
    assert not Communication.objects.exists()


def test_two_uploads_of_one_number_at_the_same_time(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unique index decides what the check before it could not see; the loser is told at the field."""
    add(campaign, numbered("050", name="Before"))
    seen: list[int] = []
    find_taken = actions._find_taken

    def too_early(campaign_id: int, found: Any, faults: Any) -> None:
        if seen:
            find_taken(campaign_id, found, faults)
        seen.append(1)

    monkeypatch.setattr(actions, "_find_taken", too_early)
    assert "belongs to another" in faults(campaign, numbered("050"))["communications[0].number"][0]


@pytest.mark.parametrize("state", [CampaignState.IDLE, CampaignState.STOPPED, CampaignState.STOPPING])
def test_auto_run_starts_the_campaign(campaign: Campaign, state: CampaignState) -> None:
    Campaign.objects.filter(pk=campaign.pk).update(state=state)
    add(campaign, numbered("1"), auto_run=True)
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.RUNNING


@pytest.mark.parametrize("state", [CampaignState.RUNNING, CampaignState.SLEEPING])
def test_auto_run_changes_nothing_in_one_that_runs_or_sleeps(campaign: Campaign, state: CampaignState) -> None:
    Campaign.objects.filter(pk=campaign.pk).update(state=state)
    add(campaign, numbered("1"), auto_run=True)
    campaign.refresh_from_db()
    assert campaign.state == state


def test_auto_run_that_is_refused_adds_nobody(db: None) -> None:
    campaign = factories.make_campaign()
    with pytest.raises(Refused):
        add(campaign, numbered("1"), auto_run=True)
    assert not Member.objects.exists()


def test_without_auto_run_the_campaign_stays_as_it_is(campaign: Campaign) -> None:
    add(campaign, numbered("1"))
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.IDLE


def statements_of(campaign: Campaign, size: int, prefix: str) -> int:
    rows = [numbered(f"{prefix}{n}", f"{prefix}0{n}00", external_id=f"{prefix}{n}") for n in range(1, size + 1)]
    with CaptureQueriesContext(connection) as captured:
        add(campaign, *rows)
    return len(captured)


def test_the_number_of_statements_does_not_grow_with_the_rows(campaign: Campaign) -> None:
    few, many = statements_of(campaign, 2, "1"), statements_of(campaign, 500, "7777")
    assert many == few <= 22
    assert Member.objects.filter(state=MemberState.READY).count() == 502


def test_an_upload_of_nobody_changes_nothing(campaign: Campaign) -> None:
    assert add(campaign) == []


def test_a_check_tells_what_an_upload_would_and_writes_nothing(campaign: Campaign) -> None:
    found = actions.check_members(campaign, [numbered("1"), numbered("1")])
    assert list(found) == [1]
    assert not Member.objects.exists()
