"""Subscribers, their files and do-not-call lists in the admin alone."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import openpyxl
import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from campaigns.models import Campaign, CampaignState, Route
from dialer import clock
from dialer.models import Attempt
from members import actions, resources
from members.models import DoNotCall, Member, MemberState
from tests import factories
from tests.admin.conftest import Browser, faults, messages
from tests.members.conftest import RecordingEngine

LIST = reverse("admin:members_member_changelist")
ADD = reverse("admin:members_member_add")
IMPORT = reverse("admin:members_member_import")
CONFIRM = reverse("admin:members_member_process_import")
EXPORT = reverse("admin:members_member_export")
LISTED = reverse("admin:members_donotcall_changelist")
ADD_LISTED = reverse("admin:members_donotcall_add")

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(admin_client: Client) -> Browser:
    return Browser(admin_client)


def page(member: Member, name: str = "change") -> str:
    return reverse(f"admin:members_member_{name}", args=[member.pk])


def add(browser: Browser, campaign: Campaign, *numbers: str, **fields: Any) -> Any:
    rows = {f"communications__{place}__number": number for place, number in enumerate(numbers)}
    return browser.send(ADD, campaign=campaign.pk, **rows, **fields)


# --- one subscriber ---------------------------------------------------------------------------------------------


def test_a_subscriber_is_added_with_his_numbers(browser: Browser, campaign: Campaign) -> None:
    response = add(
        browser, campaign, "+380 (50) 1", "2",
        name="Anna", priority=5, time_zone="Asia/Tokyo", external_id="crm-1", variables='{"debt": 5}',
        expire_at_0="2031-05-01", expire_at_1="18:00:00", communications__1__description="office",
    )  # fmt: skip
    assert response.status_code == 302
    member = Member.objects.get()
    assert (member.name, member.priority, member.zones, member.external_id) == ("Anna", 5, "Asia/Tokyo", "crm-1")
    assert (member.variables, member.expire_at) == ({"debt": 5}, datetime(2031, 5, 1, 18, tzinfo=UTC))
    assert list(member.communications.values_list("dial", "description")) == [("+380501", ""), ("2", "office")]
    assert member.state == MemberState.READY
    assert Campaign.objects.get().state == CampaignState.IDLE
    assert LogEntry.objects.get().object_id == str(member.pk)


def test_run_after_adding_starts_the_campaign(
    browser: Browser, campaign: Campaign, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        add(browser, campaign, "1", run_after="on")
    assert Campaign.objects.get().state == CampaignState.RUNNING


@pytest.mark.django_db(transaction=True)
def test_he_stays_added_when_the_campaign_cannot_run(browser: Browser, campaign: Campaign) -> None:
    Route.objects.all().delete()
    add(browser, campaign, "1", run_after="on")
    assert Member.objects.exists()
    assert "Added, but not started. No route" in " ".join(messages(browser.client.get(LIST)))


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ({"time_zone": "Mars/Base"}, "time_zone", "not a time zone"),
        ({"variables": '{"api_on_answer": "system ls"}'}, "variables", "api_on_answer"),
        ({"variables": "[1]"}, "variables", "object"),
        ({"variables": "{"}, "variables", "valid JSON"),
        ({"name": "bell\a"}, "name", "U+0007"),
        ({"priority": "x"}, "priority", "whole number"),
        ({"external_id": "taken"}, "external_id", "another subscriber"),
        ({"communications__0__number": "050 x"}, "communications-0-number", "“x”"),
        ({"communications__0__number": "77"}, "communications-0-number", "belongs to another subscriber"),
        ({"communications__1__number": "+1"}, "communications-1-number", "twice"),
        ({"communications__0__number": ""}, "communications", "at least one number"),
        ({"communications__0__description": "x\x07y"}, "communications-0-description", "U+0007"),
        ({"expire_at_0": "soon"}, "expire_at", "valid date"),
    ],
)
def test_a_fault_is_told_at_its_field(
    browser: Browser, campaign: Campaign, fields: dict[str, str], field: str, told: str
) -> None:
    factories.make_member(campaign, ["77"], external_id="taken")
    response = browser.send(ADD, campaign=campaign.pk, **{"communications__0__number": "1", **fields})
    found = faults(response)
    assert list(found) == [field]
    assert any(told in message for message in found[field])
    assert Member.objects.count() == 1


def test_a_number_that_somebody_was_first_with_is_told_and_nothing_saved(
    browser: Browser, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.make_member(campaign, ["1"])
    monkeypatch.setattr("members.forms.NumberFormSet._refuse_taken", lambda formset, added: None)
    response = add(browser, campaign, "1")
    assert response.url == ADD
    assert "belongs to another subscriber" in messages(browser.client.get(ADD))[0]
    assert Member.objects.count() == 1


def test_a_change_goes_through_the_actions(browser: Browser, campaign: Campaign, engine: RecordingEngine) -> None:
    member = factories.make_member(campaign, ["1", "2"], name="Anna")
    changes = browser.add_row(page(member), "communications", number="3", priority="9")
    changes |= {"communications-0-priority": "4", "communications-1-active": ""}
    del (sent := {**browser.form(page(member)), **changes, "time_zone": "Asia/Tokyo"})["communications-1-active"]
    assert browser.client.post(page(member), sent).status_code == 302
    member.refresh_from_db()
    assert (member.name, member.zones) == ("Anna", "Asia/Tokyo")
    assert list(member.communications.values_list("digits", "priority", "stopped")) == [
        ("1", 4, ""), ("2", 0, "person"), ("3", 9, ""),
    ]  # fmt: skip
    assert member.next_communication == member.communications.get(digits="3")
    assert engine.withdrawn == [(["2"], campaign.pk)]
    history = LogEntry.objects.get().get_change_message()
    assert "Time zone" in history
    assert "3" in history


def test_a_number_is_started_again_and_deleted(browser: Browser, campaign: Campaign) -> None:
    member = factories.make_member(campaign, ["1", "2"])
    actions.stop_number(member.communications.get(digits="1"))
    browser.send(page(member), communications__0__active="on", communications__1__DELETE="on")
    assert list(member.communications.values_list("digits", "stopped")) == [("1", "")]


def test_a_number_that_was_dialled_is_neither_changed_nor_deleted(browser: Browser, campaign: Campaign) -> None:
    member = factories.make_member(campaign, ["1", "2"])
    factories.make_attempt(member, ended_at=clock.now())
    assert browser.send(page(member), communications__0__number="9").status_code == 302
    assert member.communications.filter(digits="1").exists()
    response = browser.send(page(member), communications__0__DELETE="on")
    assert "has been called" in str(faults(response)["communications"])


def test_a_taken_external_id_is_told_at_its_field_of_a_change(browser: Browser, campaign: Campaign) -> None:
    factories.make_member(campaign, external_id="7")
    member = factories.make_member(campaign)
    assert list(faults(browser.send(page(member), external_id="7"))) == ["external_id"]


def test_state_and_campaign_are_read_only(browser: Browser, campaign: Campaign) -> None:
    member = factories.make_member(campaign)
    browser.send(page(member), state="ended", campaign=factories.make_campaign().pk, counted=5, name="Anna")
    member.refresh_from_db()
    assert (member.name, member.state, member.campaign, member.counted) == ("Anna", MemberState.READY, campaign, 0)


def test_a_call_back_is_set_on_a_page_of_its_own(browser: Browser, campaign: Campaign) -> None:
    operator, stranger = factories.make_operator(campaign), factories.make_operator()
    member = factories.make_member(campaign, expire_at=datetime(2032, 1, 1, tzinfo=UTC))
    url = page(member, "callback")
    assert url in browser.client.get(page(member)).rendered_content  # type: ignore[attr-defined]
    at = {"at_0": "2031-05-01", "at_1": "18:00:00", "minutes": "30"}
    for wrong in ({"operator": stranger.pk}, {"at_0": "2033-01-01"}, {"at_1": ""}, {"minutes": "0"}):
        assert browser.client.post(url, {**at, **wrong}).context["form"].errors
    assert browser.client.post(url, {**at, "operator": operator.pk}).status_code == 302
    member.refresh_from_db()
    due = datetime(2031, 5, 1, 18, tzinfo=UTC)
    assert (member.callback, member.due_at, member.sticky_operator) == (True, due, operator)
    assert member.sticky_until == due + timedelta(minutes=30)
    assert f"only by {operator}" in browser.client.get(page(member)).rendered_content  # type: ignore[attr-defined]


# --- the list ---------------------------------------------------------------------------------------------------


def listed(browser: Browser, query: str = "") -> list[Member]:
    response = browser.client.get(LIST + query)
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def test_search_and_filters(browser: Browser, campaign: Campaign) -> None:
    anna = factories.make_member(campaign, ["380501112233"], name="Anna Kovalenko", external_id="7/3")
    ended = factories.make_member(campaign, name="Ivan")
    actions.end_member(ended)
    elsewhere = factories.make_member(factories.make_campaign())
    assert listed(browser) == [elsewhere, ended, anna]
    for query in ("?q=koval", "?q=1112233", "?q=3805011", "?q=7/3"):
        assert listed(browser, query) == [anna]
    assert listed(browser, f"?campaign__id__exact={campaign.pk}") == [ended, anna]
    assert listed(browser, "?state__exact=ended") == [ended]
    assert listed(browser, "?end_cause=MANAGER_REQUEST") == [ended]
    assert listed(browser, "?end_cause=USER_BUSY&success__exact=0") == []


def test_the_deleted_are_hidden_unless_asked_for(browser: Browser, campaign: Campaign) -> None:
    member = factories.make_member(campaign)
    factories.make_attempt(member, ended_at=clock.now())
    actions.delete_members(Member.objects.all())
    assert listed(browser) == []
    assert listed(browser, "?hidden=1") == [member]
    assert browser.client.get(page(member)).status_code == 200


def statements(browser: Browser, url: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert browser.client.get(url).status_code == 200
    return [query["sql"] for query in captured]


def test_the_list_costs_the_same_whoever_is_on_it(browser: Browser, campaign: Campaign) -> None:
    factories.make_member(campaign)
    browser.client.get(LIST)  # warms the content types
    one = statements(browser, LIST)
    for _ in range(9):
        factories.make_member(campaign, [factories.make_number(), factories.make_number()])
    ten = statements(browser, LIST)
    assert len(ten) == len(one)
    # Nothing counts or looks through the whole table.
    over_members = [sql for sql in ten if "members_member" in sql]
    assert all("LIMIT" in sql for sql in over_members if "COUNT" in sql)
    assert not [sql for sql in over_members if "DISTINCT" in sql]


def test_the_change_page_costs_the_same_whatever_numbers_he_has(browser: Browser, campaign: Campaign) -> None:
    one = factories.make_member(campaign)
    many = factories.make_member(campaign, [factories.make_number() for _ in range(9)])
    browser.client.get(page(one))
    assert len(statements(browser, page(one))) == len(statements(browser, page(many)))


# --- actions on many --------------------------------------------------------------------------------------------


def act(browser: Browser, action: str, *members: Member, url: str = LIST, **fields: Any) -> Any:
    sent = {"action": action, "_selected_action": [member.pk for member in members], **fields}
    return browser.client.post(url, sent, follow=True)


def test_ending_asks_first_and_says_what_it_would_do(browser: Browser, campaign: Campaign) -> None:
    open_, talking = factories.make_member(campaign), factories.make_member(campaign)
    factories.make_attempt(talking)
    asked = act(browser, "end_selected", open_, talking)
    assert "MANAGER_REQUEST: 1" in asked.rendered_content
    assert factories.states([open_, talking]) == [MemberState.READY, MemberState.LIVE]
    done = act(browser, "end_selected", open_, talking, confirmed="yes")
    assert messages(done) == ["Ended: 1; after their calls: 1."]
    assert factories.states([open_, talking]) == [MemberState.ENDED, MemberState.LIVE]


def test_reset_shows_the_count_first(browser: Browser, campaign: Campaign) -> None:
    ended, successful, open_ = (factories.make_member(campaign) for _ in range(3))
    actions.end_member(ended)
    Member.objects.filter(pk=successful.pk).update(
        state="ended", success=True, end_cause="NORMAL_CLEARING", ended_at=clock.now()
    )
    asked = act(browser, "reset_selected", ended, successful, open_)
    assert "from the beginning: 1" in asked.rendered_content
    assert "1 more" in asked.rendered_content
    assert messages(act(browser, "reset_selected", ended, successful, open_, confirmed="yes")) == [
        "1 subscriber is called again."
    ]
    assert factories.states([ended, successful]) == [MemberState.READY, MemberState.ENDED]
    act(browser, "reset_selected", ended, successful, open_, confirmed="yes", include="on")
    assert factories.states([ended, successful]) == [MemberState.READY, MemberState.READY]


def test_an_action_on_all_of_a_filter_keeps_to_the_filter(browser: Browser, campaign: Campaign) -> None:
    members = [factories.make_member(campaign) for _ in range(3)]
    other = factories.make_member(factories.make_campaign())
    url = f"{LIST}?campaign__id__exact={campaign.pk}"
    act(browser, "end_selected", members[0], url=url, select_across="1", confirmed="yes")
    assert factories.states([*members, other]) == [MemberState.ENDED] * 3 + [MemberState.READY]


def test_who_was_called_is_hidden_instead_of_deleted(browser: Browser, campaign: Campaign) -> None:
    fresh, called, one = (factories.make_member(campaign) for _ in range(3))
    for member in (called, one):
        factories.make_attempt(member, ended_at=clock.now())
    asked = act(browser, "delete_selected", fresh, called)
    assert "deleted for good: 1" in asked.rendered_content
    assert messages(act(browser, "delete_selected", fresh, called, confirmed="yes")) == ["Deleted: 1; hidden: 1."]
    assert browser.client.get(page(one, "delete")).status_code == 200
    browser.client.post(page(one, "delete"), {"post": "yes"})
    assert list(Member.objects.order_by("pk").values_list("pk", "hidden")) == [(called.pk, True), (one.pk, True)]
    assert Attempt.objects.count() == 2


def test_anonymous_on_request(browser: Browser, campaign: Campaign) -> None:
    member = factories.make_member(campaign, name="Anna")
    factories.make_attempt(member, ended_at=clock.now())
    assert "Names, numbers" in act(browser, "anonymise_selected", member).rendered_content
    act(browser, "anonymise_selected", member, confirmed="yes")
    member.refresh_from_db()
    assert (member.name, member.hidden) == ("", True)


# --- files ------------------------------------------------------------------------------------------------------


def upload(browser: Browser, campaign: Campaign, content: str | bytes, form: Any = resources.CSV, **fields: Any) -> Any:
    name = "list.xlsx" if form is resources.XLSX else "list.csv"
    file = SimpleUploadedFile(name, content.encode() if isinstance(content, str) else content)
    sent = {"campaign": campaign.pk, "import_file": file, "format": resources.IMPORT_FORMATS.index(form), "resource": 0}
    return browser.client.post(IMPORT, {**sent, **fields})


def confirm(browser: Browser, previewed: Any) -> Any:
    initial = previewed.context["confirm_form"].initial
    return browser.client.post(CONFIRM, {name: value for name, value in initial.items() if value}, follow=True)


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(settings, "DATA_DIR", tmp_path)
    return tmp_path


def test_a_list_is_previewed_then_loaded(browser: Browser, campaign: Campaign, data_dir: Any) -> None:
    previewed = upload(browser, campaign, "name;number_1;var:language\nАнна;+380501112233;uk\nIvan;2;\n")
    assert "Анна" in previewed.rendered_content
    assert "2 subscribers would be added" in " ".join(previewed.rendered_content.split())
    assert not Member.objects.exists()
    done = confirm(browser, previewed)
    assert messages(done) == [f"{campaign}: 2 subscribers were added."]
    assert list(Member.objects.order_by("pk").values_list("name", flat=True)) == ["Анна", "Ivan"]
    assert Member.objects.get(name="Анна").variables == {"language": "uk"}
    assert Campaign.objects.get().state == CampaignState.IDLE
    assert not list((data_dir / "uploads").iterdir())


def test_a_list_may_start_the_campaign(browser: Browser, campaign: Campaign) -> None:
    confirm(browser, upload(browser, campaign, "number\n1\n", run_after="on"))
    assert Campaign.objects.get().state == CampaignState.RUNNING


def test_every_bad_line_is_shown_and_nothing_can_be_confirmed(browser: Browser, campaign: Campaign) -> None:
    response = upload(browser, campaign, "name,number_1,timezone\nAnna,1,\nIvan,x,Mars\n\nOlha,1,\n<b>,2,\n")
    assert "confirm_form" not in response.context
    rows = {row.number: dict(row.field_specific_errors) for row in response.context["result"].invalid_rows}
    assert {line: sorted(columns) for line, columns in rows.items()} == {3: ["number_1", "timezone"], 5: ["number_1"]}
    assert "“Mars” is not a time zone" in response.rendered_content
    assert not Member.objects.exists()


def test_what_is_uploaded_is_shown_as_text(browser: Browser, campaign: Campaign) -> None:
    previewed = upload(browser, campaign, "name,number\n<script>alert(1)</script>,1\n")
    assert "<script>alert" not in previewed.rendered_content


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name,number\nАнна,1\n".encode("windows-1251"), "Line 2: This is not UTF-8"),
        ("name,number\nAnna,1,2\nIvan\n", "Line 3: It has 1 values, the heading has 2."),
        ("name,phone\nAnna,1\n", "“phone” is no column"),
        ("", "empty"),
        ('name,number\n"Anna,1\n', "no line of a CSV file"),
    ],
)
def test_a_broken_file_is_refused_at_its_field(
    browser: Browser, campaign: Campaign, content: str | bytes, told: str
) -> None:
    response = upload(browser, campaign, content)
    assert told in str(response.context["form"].errors["import_file"]) or not content


def test_the_right_character_set_reads_it(browser: Browser, campaign: Campaign) -> None:
    content = "name,number\nАнна,1\n".encode("windows-1251")
    confirm(browser, upload(browser, campaign, content, resources.WindowsCyrillicCSV))
    assert Member.objects.get().name == "Анна"


def test_a_workbook_is_loaded(browser: Browser, campaign: Campaign) -> None:
    book = openpyxl.Workbook()
    assert book.active
    for record in (["name", "number_1"], ["Анна", 380501112233]):
        book.active.append(record)
    stream = io.BytesIO()
    book.save(stream)
    confirm(browser, upload(browser, campaign, stream.getvalue(), resources.XLSX))
    assert Member.objects.get().communications.get().digits == "380501112233"
    broken = upload(browser, campaign, b"PK\x03\x04", resources.XLSX)
    assert "no XLSX workbook" in str(broken.context["form"].errors["import_file"])


def test_a_number_taken_between_preview_and_confirmation(browser: Browser, campaign: Campaign) -> None:
    previewed = upload(browser, campaign, "number\n1\n2\n")
    factories.make_member(campaign, ["2"])
    done = confirm(browser, previewed)
    assert "Nothing was loaded: 3: 2 belongs to another subscriber" in messages(done)[0]
    assert Member.objects.count() == 1


@pytest.mark.parametrize("name", ["../secret-key", "0" * 32, "/etc/passwd"])
def test_only_what_was_uploaded_can_be_confirmed(browser: Browser, campaign: Campaign, name: str) -> None:
    sent = {"import_file_name": name, "original_file_name": "x.csv", "format": 0, "campaign": campaign.pk}
    response = browser.client.post(CONFIRM, sent)
    assert "choose the file again" in str(response.context["confirm_form"].errors)


def test_an_export_keeps_to_the_filter(browser: Browser, campaign: Campaign) -> None:
    factories.make_member(campaign, ["+380 50 1"], name="Anna")
    factories.make_member(factories.make_campaign(), name="Ivan")
    response = browser.client.post(f"{EXPORT}?campaign__id__exact={campaign.pk}", {"format": 0, "resource": 0})
    text = response.content.decode("utf-8-sig")
    assert text.splitlines()[1] == "Anna,0,,,,,+380 50 1,,Ready,,0"
    assert len(text.splitlines()) == 2
    sheet = browser.client.post(EXPORT, {"format": 1, "resource": 0}).content
    assert openpyxl.load_workbook(io.BytesIO(sheet)).active.max_row == 3


# --- do not call ------------------------------------------------------------------------------------------------


def test_a_number_is_listed_and_taken_off(browser: Browser, campaign: Campaign) -> None:
    member = factories.make_member(campaign, ["+1"])
    assert browser.send(ADD_LISTED, digits="(+1)", campaign=campaign.pk, reason="asked").status_code == 302
    entry = DoNotCall.objects.get()
    assert (entry.digits, entry.campaign, entry.reason) == ("1", campaign, "asked")
    assert factories.states([member]) == [MemberState.WAITING]
    change = reverse("admin:members_donotcall_change", args=[entry.pk])
    assert browser.send(change, reason="again", digits="2").status_code == 302
    entry.refresh_from_db()
    assert (entry.digits, entry.reason) == ("1", "again")
    browser.client.post(LISTED, {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"})
    assert not DoNotCall.objects.exists()
    assert factories.states([member]) == [MemberState.READY]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"digits": "x"}, "digits"),
        ({"digits": "1"}, "digits"),
        ({"expire_at_0": "2020-01-01", "expire_at_1": "0:0"}, "expire_at"),
    ],
)
def test_a_bad_entry_is_told_at_its_field(browser: Browser, campaign: Campaign, fields: Any, field: str) -> None:
    actions.add_do_not_call("1")
    assert list(faults(browser.send(ADD_LISTED, **{"digits": "2", **fields}))) == [field]


# --- who may ----------------------------------------------------------------------------------------------------


def test_who_may_only_look_can_change_nothing(client: Client, campaign: Campaign) -> None:
    member = factories.make_member(campaign)
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_member"))
    client.force_login(user)
    assert client.get(LIST).status_code == client.get(page(member)).status_code == client.get(EXPORT).status_code == 200
    assert client.get(IMPORT).status_code == client.get(page(member, "callback")).status_code == 403
    client.post(LIST, {"action": "end_selected", "_selected_action": [member.pk], "confirmed": "yes"})
    client.post(LIST, {"action": "delete_selected", "_selected_action": [member.pk], "confirmed": "yes"})
    assert factories.states([member]) == [MemberState.READY]


# --- numbers by the region of a campaign ------------------------------------------------------------------------------


def test_a_number_is_read_by_the_region_of_the_campaign(browser: Browser, campaign: Campaign) -> None:
    Campaign.objects.filter(pk=campaign.pk).update(default_region="UA")
    assert "lacks its area code" in add(browser, campaign, "123 45 67").content.decode()
    assert add(browser, campaign, "050 123 45 67").status_code == 302
    member = Member.objects.get()
    assert member.communications.get().digits == "380501234567"
    more = {"communications__TOTAL_FORMS": 2, "communications__1__priority": 0}
    told = browser.send(page(member), **more, communications__1__number="+380 50 123-45-67").content.decode()
    assert "is twice in this subscriber" in told
    assert browser.send(page(member), **more, communications__1__number="067 123 45 67").status_code == 302
    assert member.communications.filter(digits="380671234567").exists()


def test_a_number_from_before_the_region_does_not_hold_up_its_page(browser: Browser, campaign: Campaign) -> None:
    member = actions.add_members(campaign, [{"communications": [{"number": "112"}]}])[0]
    Campaign.objects.filter(pk=campaign.pk).update(default_region="UA")
    assert browser.send(page(member), communications__0__description="short").status_code == 302
    assert member.communications.get().description == "short"


def test_the_page_shows_the_zones_that_count_and_whose_they_are(browser: Browser, campaign: Campaign) -> None:
    Campaign.objects.filter(pk=campaign.pk).update(zone_from_number="intersection")
    rows = [{"communications": [{"number": number}]} for number in ("1", "+12025550100", "+34612345678")]
    shown = [browser.client.get(page(member)).content.decode() for member in actions.add_members(campaign, rows)]
    assert "Europe/Kyiv, the calendar&#x27;s" in shown[0]
    assert "America/New_York, by his number" in shown[1]
    assert "Atlantic/Canary, Europe/Madrid, by his number; all must be open" in shown[2]


def test_an_entry_from_before_the_region_keeps_its_number(browser: Browser, campaign: Campaign) -> None:
    entry = actions.add_do_not_call("0501234567", campaign)
    Campaign.objects.filter(pk=campaign.pk).update(default_region="UA")
    url = reverse("admin:members_donotcall_change", args=[entry.pk])
    assert browser.send(url, reason="asked").status_code == 302
    assert list(DoNotCall.objects.values_list("digits", "reason")) == [("0501234567", "asked")]
    browser.send(reverse("admin:members_donotcall_add"), digits="050 123 45 67", campaign=campaign.pk)
    assert set(DoNotCall.objects.values_list("digits", flat=True)) == {"0501234567", "380501234567"}
    told = browser.send(reverse("admin:members_donotcall_add"), digits="+380501234567", campaign=campaign.pk)
    assert "on the list already" in told.content.decode()
