"""Dispositions of a campaign: what may be one, who stays when the list is set, and what the database holds."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from campaigns import actions
from campaigns.actions import ChangedMeanwhile
from campaigns.models import Campaign, Disposition, Meaning, Stop
from dialer import clock
from tests import factories

pytestmark = pytest.mark.django_db

SOLD: dict[str, Any] = {"name": "Sold", "meaning": "success", "hotkey": "1"}
NO: dict[str, Any] = {"name": "No", "meaning": "failure", "hotkey": "2", "stop": "all"}
LATER: dict[str, Any] = {"name": "Later", "meaning": "call_back", "hotkey": "3", "requires": ["call_back_at"]}


@pytest.fixture
def campaign() -> Campaign:
    found = factories.make_campaign()
    actions.set_dispositions(found.pk, [SOLD, NO, LATER])
    return found


def listed(campaign: Campaign, **which: Any) -> list[tuple[str, str]]:
    return list(campaign.dispositions.filter(**which).values_list("name", "hotkey"))


def faults(campaign: Campaign, *rows: dict[str, Any]) -> dict[str, list[str]]:
    before = listed(campaign)
    with pytest.raises(ValidationError) as refused:
        actions.set_dispositions(campaign.pk, rows)
    assert listed(campaign) == before
    return refused.value.message_dict


def test_they_are_set_as_a_whole_in_their_order(campaign: Campaign) -> None:
    kept = campaign.dispositions.get(name="Later").pk
    actions.set_dispositions(campaign.pk, [LATER, SOLD])
    assert listed(campaign) == [("Later", "3"), ("Sold", "1")]
    assert campaign.dispositions.get(name="Later").pk == kept


def test_keys_and_names_change_hands(campaign: Campaign) -> None:
    actions.set_dispositions(campaign.pk, [{**SOLD, "hotkey": "2"}, {**NO, "hotkey": "3"}, {**LATER, "hotkey": "1"}])
    assert listed(campaign) == [("Sold", "2"), ("No", "3"), ("Later", "1")]
    actions.set_dispositions(campaign.pk, [{**SOLD, "name": "No"}, {**NO, "name": "Sold"}])
    assert dict(campaign.dispositions.values_list("name", "meaning")) == {"No": "success", "Sold": "failure"}


def test_one_that_a_call_of_this_campaign_has_is_archived_and_others_are_deleted(campaign: Campaign) -> None:
    other = factories.make_campaign()
    factories.make_attempt(factories.make_member(campaign), ended_at=clock.now(), disposition="Sold")
    factories.make_attempt(factories.make_member(other), ended_at=clock.now(), disposition="No")
    actions.set_dispositions(campaign.pk, [LATER])
    assert listed(campaign, archived=False) == [("Later", "3")]
    assert listed(campaign, archived=True) == [("Sold", "")]
    actions.set_dispositions(campaign.pk, [{**NO, "hotkey": "1"}, SOLD | {"hotkey": "4"}])
    assert listed(campaign, archived=False) == [("No", "1"), ("Sold", "4")]


def test_the_key_of_an_archived_one_is_free(campaign: Campaign) -> None:
    actions.set_dispositions(campaign.pk, [{**SOLD, "archived": True}, {**NO, "hotkey": "1"}])
    assert listed(campaign) == [("Sold", "1"), ("No", "1")]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"name": "Sold"}, "name"),
        ({"meaning": "maybe"}, "meaning"),
        ({"colour": "pink"}, "colour"),
        ({"hotkey": "1"}, "hotkey"),
        ({"hotkey": "0"}, "hotkey"),
        ({"hotkey": "Q"}, "hotkey"),
        ({"hotkey": "é"}, "hotkey"),
        ({"requires": ["blood"]}, "requires"),
        ({"requires": ["call_back_at"]}, "requires"),
        ({"requires": ["comment", "comment"]}, "requires"),
        ({"wait": -1}, "wait"),
        ({"wait": 366 * 24 * 3600 + 1}, "wait"),
        ({"stop": "some"}, "stop"),
        ({"meaning": "call_back", "stop": "all"}, "stop"),
        ({"meaning": "success", "stop": "number"}, "stop"),
        ({"meaning": "success", "wait": 5}, "wait"),
        ({"meaning": "success", "reset_retries": True}, "reset_retries"),
        ({"meaning": "success", "requires": ["next_communication"]}, "requires"),
        ({"meaning": "do_not_call", "stop": "all"}, "stop"),
        ({"meaning": "do_not_call", "wait": 0}, "wait"),
    ],
)
def test_a_fault_is_told_by_row_and_field(campaign: Campaign, row: dict[str, Any], field: str) -> None:
    found = faults(campaign, SOLD, {"name": "New", "meaning": "failure", **row})
    assert set(found) == {f"dispositions[1].{field}"}


def test_what_others_did_since_stays_and_what_two_changed_is_told(campaign: Campaign) -> None:
    seen = actions.disposition_parts(campaign.pk)
    actions.set_dispositions(campaign.pk, [NO, SOLD, {**LATER, "hotkey": "7"}, {"name": "New", "meaning": "failure"}])
    actions.set_dispositions(campaign.pk, [SOLD, {**NO, "wait": 60}, LATER], seen=seen)
    assert listed(campaign) == [("No", "2"), ("Sold", "1"), ("Later", "7"), ("New", "")]
    assert campaign.dispositions.get(name="No").wait == 60
    with pytest.raises(ChangedMeanwhile) as refused:
        actions.set_dispositions(campaign.pk, [SOLD, NO, {**LATER, "hotkey": "8"}], seen=seen)
    assert set(refused.value.now) == {"Later"}


def test_a_key_that_another_gave_away_meanwhile_is_a_fault(campaign: Campaign) -> None:
    seen = actions.disposition_parts(campaign.pk)
    actions.set_dispositions(campaign.pk, [SOLD, NO, {**LATER, "hotkey": "7"}])
    with pytest.raises(ValidationError) as refused:
        actions.set_dispositions(campaign.pk, [SOLD, {**NO, "hotkey": "7"}, LATER], seen=seen)
    assert set(refused.value.message_dict) == {"dispositions[2].hotkey"}


def test_the_usual_ones_are_whole_and_spare_what_is_taken(campaign: Campaign) -> None:
    actions.set_dispositions(campaign.pk, actions.default_dispositions())
    assert [key for _name, key in listed(campaign)] == ["1", "2", "3", "4", "9"]
    rest = actions.default_dispositions({"Success", "Do not call"}, {"2"})
    assert [(row["name"], row["hotkey"]) for row in rest] == [
        ("Call back", ""), ("Not interested", "3"), ("Wrong number", "4"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        {"name": "Sold"},
        {"name": ""},
        {"hotkey": "1"},
        {"hotkey": "0"},
        {"hotkey": "A"},
        {"meaning": "maybe"},
        {"colour": "pink"},
        {"requires": ["blood"]},
        {"requires": ["call_back_at"]},
        {"stop": "some"},
        {"meaning": Meaning.SUCCESS, "wait": 1},
        {"meaning": Meaning.DO_NOT_CALL, "reset_retries": True},
        {"meaning": Meaning.CALL_BACK, "stop": Stop.ALL},
    ],
)
def test_the_database_holds_the_rules(campaign: Campaign, row: dict[str, Any]) -> None:
    fields = {"name": "New", "meaning": Meaning.FAILURE, **row}
    with pytest.raises(IntegrityError), transaction.atomic():
        Disposition.objects.create(campaign=campaign, **fields)


def test_one_without_a_colour_has_that_of_its_meaning() -> None:
    assert {Disposition(meaning=meaning).tone for meaning in Meaning} == {"good", "bad", "talk", "off"}
    assert Disposition(meaning=Meaning.SUCCESS, colour="wrap").tone == "wrap"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"script": "Hello {na me}"}, "script"),
        ({"script": "x" * 10_001}, "script"),
        ({"desk_links": {"name": "CRM"}}, "desk_links"),
        ({"desk_links": [{"name": "CRM"}]}, "desk_links"),
        ({"desk_links": [{"name": "CRM", "url": 5}]}, "desk_links"),
        ({"desk_links": [{"name": "CRM", "url": "https://{host}/"}]}, "desk_links"),
        ({"desk_links": [{"name": "C\nM", "url": "https://a.example/"}]}, "desk_links"),
        ({"desk_links": [{"name": str(n), "url": "https://a.example/"} for n in range(11)]}, "desk_links"),
        ({"desk_links": [{"name": "CRM", "url": "https://a.example/"}] * 2}, "desk_links"),
        ({"call_back_grace": 366 * 24 * 3600 + 1}, "call_back_grace"),
        ({"wrap_up_extension": 3601}, "wrap_up_extension"),
    ],
)
def test_settings_of_the_desk_are_checked(campaign: Campaign, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        actions.update_campaign(campaign.pk, **changes)
    assert set(refused.value.message_dict) == {field}
