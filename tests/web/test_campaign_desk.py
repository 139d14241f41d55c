"""What a campaign says about the desk, as supervisors see and set it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from django.test import Client

from campaigns import actions
from campaigns.models import Campaign, Disposition
from dialer import clock
from tests.factories import make_attempt, make_campaign, make_member
from tests.web.test_campaigns import staff

pytestmark = pytest.mark.django_db

SOLD: dict[str, Any] = {"name": "Sold", "meaning": "success", "hotkey": "1"}
LATER: dict[str, Any] = {"name": "Later", "meaning": "call_back", "hotkey": "2", "requires": ["call_back_at"]}
NEVER: dict[str, Any] = {"name": "Never", "meaning": "failure", "hotkey": "3", "stop": "all"}


@pytest.fixture
def campaign(db: None) -> Campaign:
    found = make_campaign(name="Renewals", variables={"contact_id": "A 7", "debt": 20})
    actions.set_dispositions(found.pk, [SOLD, LATER, NEVER])
    return found


def page_of(campaign: Campaign) -> str:
    return f"/campaigns/{campaign.pk}/desk/"


def sealed(client: Client, campaign: Campaign) -> dict[str, str]:
    """Return what the page says of what it shows."""
    text = client.get(page_of(campaign)).content.decode()
    return dict(re.findall(r'name="(seen(?:_settings)?)" value="([^"]+)"', text))


def form_of(rows: Iterable[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return what the form of the page sends."""
    sent: dict[str, Any] = {
        "row": [],
        "script": "",
        "call_back_grace": 3600,
        "wrap_up_extension": 120,
        "coaching_shown": "on",
    }
    for key, row in enumerate(rows):
        sent["row"].append(str(key))
        sent |= {f"{'reset' if name == 'reset_retries' else name}-{key}": value for name, value in row.items()}
    return {**sent, "link_name": [""], "link_url": [""], **more}


def names(campaign: Campaign, **which: Any) -> list[str]:
    return list(campaign.dispositions.filter(**which).values_list("name", flat=True))


def test_the_page_shows_what_is_set(supervisor: Client, campaign: Campaign) -> None:
    campaign.script = "Hello {name}, your debt is {debt}."
    campaign.desk_links = [{"name": "CRM", "url": "https://crm.example/{contact_id}"}]
    campaign.save()
    text = supervisor.get(page_of(campaign)).content.decode()
    assert [re.search(rf'name="name-{key}" value="(\w+)"', text)[1] for key in range(3)] == ["Sold", "Later", "Never"]  # type: ignore[index]
    assert 'aria-current="page">Desk' in text
    assert '<mark title="debt">20</mark>' in text
    assert "https://crm.example/A%207" in text


def test_everything_is_saved_at_once(supervisor: Client, campaign: Campaign) -> None:
    again = {"wait": "600", "reset_retries": "on"}
    sent = form_of(
        [NEVER, {**SOLD, "colour": "held"}, {"name": "Busy", "meaning": "failure", **again}],
        script="Hi {name}\r\nBye", link_name=["CRM", ""], link_url=["https://crm.example/{contact_id}", ""],
        call_back_grace=60, wrap_up_extension=0, **sealed(supervisor, campaign),
    )  # fmt: skip
    answer = supervisor.post(page_of(campaign), sent, follow=True)
    assert answer.redirect_chain == [(page_of(campaign), 302)]
    assert "The dispositions are saved" in answer.content.decode()
    assert names(campaign) == ["Never", "Sold", "Busy"]
    busy = campaign.dispositions.get(name="Busy")
    assert (busy.wait, busy.reset_retries, busy.tone) == (600, True, "bad")
    assert campaign.dispositions.get(name="Sold").tone == "held"
    campaign.refresh_from_db()
    assert campaign.script == "Hi {name}\nBye"
    assert campaign.desk_links == [{"name": "CRM", "url": "https://crm.example/{contact_id}"}]
    assert (campaign.call_back_grace, campaign.wrap_up_extension) == (60, 0)


def test_whether_operators_are_told_of_coaching_is_set_here(supervisor: Client, campaign: Campaign) -> None:
    assert 'name="coaching_shown"' in supervisor.get(page_of(campaign)).content.decode()
    sent = form_of([SOLD, LATER, NEVER], **sealed(supervisor, campaign))
    del sent["coaching_shown"]  # a box that is not ticked
    supervisor.post(page_of(campaign), sent)
    campaign.refresh_from_db()
    assert not campaign.coaching_shown


def test_saving_what_is_shown_changes_nothing(supervisor: Client, campaign: Campaign) -> None:
    before = list(Disposition.objects.order_by("pk").values())
    answer = supervisor.post(
        page_of(campaign), form_of([SOLD, LATER, NEVER], **sealed(supervisor, campaign)), follow=True
    )
    assert "Nothing was changed." in answer.content.decode()
    assert list(Disposition.objects.order_by("pk").values()) == before


def test_what_a_meaning_has_nothing_of_is_left_out(supervisor: Client, campaign: Campaign) -> None:
    row = {**SOLD, "stop": "all", "wait": "60", "requires": ["comment", "call_back_at"], "reset_retries": "on"}
    supervisor.post(page_of(campaign), form_of([row], **sealed(supervisor, campaign)))
    sold = campaign.dispositions.get(name="Sold")
    assert (sold.stop, sold.wait, sold.requires, sold.reset_retries) == ("", None, ["comment"], False)


@pytest.mark.parametrize(
    ("row", "field", "told"),
    [
        ({"name": "Sold", "meaning": "failure"}, "name", "“Sold” is there twice."),
        ({"name": "", "meaning": "failure", "hotkey": "7"}, "name", "This field cannot be blank."),
        ({"name": "Other", "meaning": "failure", "hotkey": "1"}, "hotkey", "“Sold” has the key 1 already."),
        ({"name": "Other", "meaning": "failure", "hotkey": "0"}, "hotkey", "A digit from 1 to 9"),
        ({"name": "Other", "meaning": "failure", "wait": "soon"}, "wait", "A whole number of seconds."),
        ({"name": "Other", "meaning": "what"}, "meaning", "is not a valid choice"),
    ],
)
def test_a_fault_is_told_at_its_row_and_nothing_typed_is_lost(
    supervisor: Client, campaign: Campaign, row: dict[str, Any], field: str, told: str
) -> None:
    sent = form_of([SOLD, row], script="typed", **sealed(supervisor, campaign))
    answer = supervisor.post(page_of(campaign), sent)
    assert answer.status_code == 400
    found = answer.context["rows"].rows[1]
    assert told in found.faults[field]
    assert (found.name, found.wait) == (row["name"], row.get("wait", ""))
    assert f'id="d-{field}-1"' in answer.content.decode()
    assert "typed</textarea>" in answer.content.decode()
    assert names(campaign) == ["Sold", "Later", "Never"]
    campaign.refresh_from_db()
    assert campaign.script == ""


def test_faults_of_script_and_links_are_told_at_them(supervisor: Client, campaign: Campaign) -> None:
    sent = form_of(
        [SOLD], script="Hello {na me}", link_name=["", "CRM"], link_url=["https://a.example", "https://{host}/x"],
        **sealed(supervisor, campaign),
    )  # fmt: skip
    answer = supervisor.post(page_of(campaign), sent)
    text = answer.content.decode()
    assert answer.status_code == 400
    assert "“{na me}” (line 1, character 7) is no placeholder" in answer.context["form"].errors["script"][0]
    assert 'id="link-name-1">Name the link.' in text
    assert 'id="link-url-2">No placeholder before the path' in text
    assert 'value="https://{host}/x"' in text
    assert names(campaign) == ["Sold", "Later", "Never"]


def test_the_usual_ones_are_added_by_one_button(supervisor: Client, db: None) -> None:
    campaign = make_campaign(name="New")
    sent = form_of([], script="Kept", standard="1", **sealed(supervisor, campaign))
    assert supervisor.post(page_of(campaign), sent).status_code == 302
    assert list(campaign.dispositions.values_list("name", "hotkey", "meaning", "stop")) == [
        ("Success", "1", "success", ""),
        ("Call back", "2", "call_back", ""),
        ("Not interested", "3", "failure", "all"),
        ("Wrong number", "4", "failure", "number"),
        ("Do not call", "9", "do_not_call", ""),
    ]
    campaign.refresh_from_db()
    assert campaign.script == "Kept"


@pytest.mark.parametrize(
    ("button", "expected"),
    [
        ({"add": "1"}, ["Sold", "Typed", "Never", ""]),
        ({"up": "1"}, ["Typed", "Sold", "Never"]),
        ({"up": "0"}, ["Sold", "Typed", "Never"]),
        ({"down": "1"}, ["Sold", "Never", "Typed"]),
        ({"down": "2"}, ["Sold", "Typed", "Never"]),
        ({"remove": "0"}, ["Typed", "Never"]),
        ({"preview": "1"}, ["Sold", "Typed", "Never"]),
    ],
)
def test_without_scripts_a_button_arranges_what_is_typed_and_saves_nothing(
    supervisor: Client, campaign: Campaign, button: dict[str, str], expected: list[str]
) -> None:
    sent = form_of([SOLD, {**LATER, "name": "Typed"}, NEVER], script="x {", **button, **sealed(supervisor, campaign))
    answer = supervisor.post(page_of(campaign), sent)
    assert answer.status_code == 200
    assert [row.name for row in answer.context["rows"].rows] == expected
    assert len({row.key for row in answer.context["rows"].rows}) == len(expected)
    assert "x {</textarea>" in answer.content.decode()
    assert names(campaign) == ["Sold", "Later", "Never"]


def test_one_that_a_call_has_is_archived_and_can_be_offered_again(supervisor: Client, campaign: Campaign) -> None:
    make_attempt(make_member(campaign), ended_at=clock.now(), disposition="Sold")
    supervisor.post(page_of(campaign), form_of([NEVER], **sealed(supervisor, campaign)))
    assert names(campaign, archived=False) == ["Never"]
    assert names(campaign, archived=True) == ["Sold"]
    assert "Offer “Sold” (Success) again" in supervisor.get(page_of(campaign)).content.decode()
    supervisor.post(page_of(campaign), form_of([NEVER], **sealed(supervisor, campaign)))
    assert names(campaign, archived=True) == ["Sold"]
    supervisor.post(page_of(campaign), form_of([NEVER], restore=["Sold"], **sealed(supervisor, campaign)))
    assert names(campaign, archived=False) == ["Never", "Sold"]


def test_what_another_added_meanwhile_stays(supervisor: Client, campaign: Campaign) -> None:
    mine = sealed(supervisor, campaign)
    actions.set_dispositions(campaign.pk, [SOLD, LATER, NEVER, {"name": "Theirs", "meaning": "failure"}])
    supervisor.post(page_of(campaign), form_of([SOLD, {**LATER, "hotkey": "5"}, NEVER], **mine))
    assert names(campaign) == ["Sold", "Later", "Never", "Theirs"]
    assert campaign.dispositions.get(name="Later").hotkey == "5"


def test_what_two_changed_is_told_and_saving_again_decides(supervisor: Client, campaign: Campaign) -> None:
    mine = sealed(supervisor, campaign)
    actions.set_dispositions(campaign.pk, [SOLD, {**LATER, "hotkey": "6"}])
    sent = form_of([SOLD, {**LATER, "hotkey": "5"}, {**NEVER, "hotkey": "7"}], **mine)
    answer = supervisor.post(page_of(campaign), sent)
    assert answer.status_code == 400
    faults = [row.faults.get("name", "") for row in answer.context["rows"].rows]
    assert "changed it while you were editing" in faults[1]
    assert "removed it while you were editing" in faults[2]
    assert names(campaign) == ["Sold", "Later"]
    again = dict(re.findall(r'name="(seen(?:_settings)?)" value="([^"]+)"', answer.content.decode()))
    assert supervisor.post(page_of(campaign), {**sent, **again}).status_code == 302
    assert list(campaign.dispositions.values_list("name", "hotkey")) == [("Sold", "1"), ("Later", "5"), ("Never", "7")]


def test_a_page_that_is_not_ours_is_out_of_date(supervisor: Client, campaign: Campaign) -> None:
    answer = supervisor.post(page_of(campaign), form_of([SOLD]))
    assert answer.status_code == 400
    assert "This page is out of date." in answer.content.decode()
    assert names(campaign) == ["Sold", "Later", "Never"]


def test_the_preview_is_of_a_subscriber_of_this_campaign(supervisor: Client, campaign: Campaign) -> None:
    member = make_member(campaign, name="Ivan Franko", variables={"contact_id": "../B&7"})
    stranger = make_member(make_campaign(name="Other"), name="Lesia Ukrainka")
    sent = form_of(
        [], script="<b>{name}</b> {contact_id} {nothing}", link_name=["CRM"],
        link_url=["https://crm.example/{contact_id}?a={nothing}"],
    )  # fmt: skip
    path = f"{page_of(campaign)}preview"
    text = supervisor.post(path, {**sent, "subscriber": "Franko"}).content.decode()
    assert f"For {member.name}" in text
    assert '&lt;b&gt;<mark title="name">Ivan Franko</mark>&lt;/b&gt; <mark title="contact_id">../B&amp;7</mark>' in text
    assert "https://crm.example/..%2FB%267?a=" in text
    text = supervisor.post(path, {**sent, "subscriber": stranger.name}).content.decode()
    assert "Nobody in this campaign is found by that" in text
    assert "Anna Example" in text
    assert "[nothing]" in text
    assert supervisor.get(path).status_code == 405


def test_who_may_only_look_changes_nothing(campaign: Campaign) -> None:
    reader = staff()
    text = reader.get(page_of(campaign)).content.decode()
    assert "You may look, but not change this campaign." in text
    assert ">Save<" not in text
    assert reader.post(page_of(campaign), form_of([SOLD])).status_code == 403
    make_member(campaign, name="Ivan Franko")
    seen = reader.post(f"{page_of(campaign)}preview", {"script": "{name}", "subscriber": "Franko"}).content.decode()
    assert "Ivan" not in seen
    assert names(campaign) == ["Sold", "Later", "Never"]


def test_it_is_not_for_who_is_limited_to_other_campaigns(campaign: Campaign) -> None:
    client = staff("campaigns.change_campaign", campaigns=(make_campaign(name="Other"),))
    assert client.get(page_of(campaign)).status_code == 404
    assert client.post(page_of(campaign), form_of([SOLD])).status_code == 404
    assert client.post(f"{page_of(campaign)}preview", {}).status_code == 404


def test_a_copy_has_those_that_are_offered(supervisor: Client, campaign: Campaign) -> None:
    actions.set_dispositions(campaign.pk, [SOLD, {**LATER, "archived": True}, NEVER])
    campaign.script = "Hello"
    campaign.coaching_shown = False
    campaign.save()
    assert "2 dispositions" in supervisor.get(f"/campaigns/{campaign.pk}/clone/").content.decode()
    copy = actions.clone_campaign(campaign.pk, "Copy")
    assert names(copy) == ["Sold", "Never"]
    assert (copy.script, copy.coaching_shown) == ("Hello", False)
