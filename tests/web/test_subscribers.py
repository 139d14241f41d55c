"""Pages of subscribers: who is found, what is done with many and with one, and the story of each attempt."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign
from dialer.api.models import CampaignAccess
from dialer.models import Attempt, KillReason, OperatorTry, Outcome, Repair, ResultReport, ResultState
from dialer.web import story, subscribers
from members import actions
from members.models import DoNotCall, Member, MemberState
from tests.factories import make_attempt, make_campaign, make_member, make_node, make_operator, make_route

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""14:00 in Kyiv, where the calendars are."""
ALL_RIGHTS = ("members.view_member", "members.change_member", "members.delete_member", "members.add_member")


@pytest.fixture(autouse=True)
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def campaign() -> Campaign:
    make_route()
    return make_campaign(name="Renewals", default_region="UA")


def staff(*rights: str, campaigns: tuple[Campaign, ...] = ()) -> Client:
    """Return the client of one who is staff, with these rights, limited to these campaigns if any are given."""
    user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
    for right in rights:
        app, codename = right.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    CampaignAccess.objects.bulk_create(CampaignAccess(user=user, campaign=campaign) for campaign in campaigns)
    client = Client()
    client.force_login(user)
    return client


def listed(client: Client, campaign: Campaign, query: str = "") -> list[str]:
    answer = client.get(f"/campaigns/{campaign.pk}/subscribers/?{query}")
    assert answer.status_code == 200, answer.content.decode()
    return sorted(member.name for member in answer.context.get("rows", []))


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def ended(member: Member, cause: str = "NO_ANSWER", **fields: Any) -> Member:
    Member.objects.filter(pk=member.pk).update(
        state=MemberState.ENDED, end_cause=cause, ended_at=NOON - timedelta(hours=1), next_communication=None,
        next_gateway=None, **fields,
    )  # fmt: skip
    member.refresh_from_db()
    return member


# --- the list ---------------------------------------------------------------------------------------------------


class TestList:
    def test_a_number_is_found_by_its_ends_and_as_it_is_dialled_at_home(
        self, supervisor: Client, campaign: Campaign
    ) -> None:
        make_member(campaign, ["+380501234567"], name="Anna Kovalenko", external_id="crm/17")
        make_member(campaign, ["+380671112233"], name="Bohdan")
        for text in ("0501", "050 123", "+38050", "4567", "38050", "501234567", "kov an", "crm/17", "0038050"):
            assert listed(supervisor, campaign, f"search={text.replace('+', '%2B')}") == ["Anna Kovalenko"], text
        assert listed(supervisor, campaign, "search=ovalenko") == []

    def test_every_filter_finds_and_leaves_out(self, supervisor: Client, campaign: Campaign) -> None:
        olha = make_operator(campaign, name="Olha")
        make_member(campaign, name="due")
        make_member(campaign, name="later", due_at=NOON + timedelta(hours=2), counted=2)
        make_member(campaign, name="tokyo", time_zone="Asia/Tokyo", zones="Asia/Tokyo|Asia/Seoul")
        talked = make_member(campaign, name="talked")
        make_attempt(talked, olha, reserved_at=NOON - timedelta(hours=2), ended_at=NOON - timedelta(hours=1))
        ended(talked, counted=1, success=True)
        Member.objects.filter(name="due").update(due_at=NOON - timedelta(minutes=1))
        for query, found in {
            "": ["due", "later", "talked", "tokyo"],
            "state=ended": ["talked"],
            "end_cause=NO_ANSWER": ["talked"],
            "success=yes": ["talked"],
            "due=now": ["due"],
            "due=later": ["later", "tokyo"],
            "due_before=2026-11-23T16:01": ["due", "later", "tokyo"],
            "due_before=2026-11-23T15:59": ["due", "tokyo"],
            "due_from=2026-11-23T16:00": ["later"],
            "attempts_from=1": ["later", "talked"],
            "attempts_to=1": ["due", "talked", "tokyo"],
            "called_in=Asia/Seoul": ["tokyo"],
            "called_in=Europe/Kyiv": ["due", "later", "talked"],
            f"operator={olha.pk}": ["talked"],
            "ended_from=2026-11-23T13:00": ["talked"],
            "ended_before=2026-11-23T13:00": [],
            "state=ended&due=now": [],
        }.items():
            assert listed(supervisor, campaign, query) == found, query

    @pytest.mark.parametrize("few", [0, 5000])
    def test_those_of_an_operator_are_found_be_they_few_or_many(
        self, supervisor: Client, campaign: Campaign, few: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("members.api.FEW", few)
        olha, other = make_operator(campaign), make_operator(campaign)
        twice = make_member(campaign, name="twice")
        for operator, member in ((olha, twice), (olha, twice), (other, make_member(campaign, name="of another"))):
            make_attempt(member, operator, ended_at=NOON)
        assert listed(supervisor, campaign, f"operator={olha.pk}") == ["twice"]

    def test_those_of_an_upload(self, supervisor: Client, campaign: Campaign) -> None:
        from members.uploads.models import Upload

        fields = {"created_at": NOON, "changed_at": NOON, "size": 1, "sha256": "", "file_name": "list.csv"}
        upload = Upload.objects.create(campaign=campaign, **fields)
        make_member(campaign, name="of the file", upload=upload)
        make_member(campaign, name="by hand")
        assert listed(supervisor, campaign, f"upload={upload.pk}") == ["of the file"]

    @pytest.mark.parametrize(
        ("query", "told"),
        [("attempts_from=-1", "Attempts, at least"), ("due_before=soon", "Due before"), ("state=gone", "State"),
         ("called_in=Mars/Base", "Called by the clock of"), ("operator=999999", "Operator")],
    )  # fmt: skip
    def test_what_cannot_be_asked_is_told_by_its_field(
        self, supervisor: Client, campaign: Campaign, query: str, told: str
    ) -> None:
        answer = supervisor.get(f"/campaigns/{campaign.pk}/subscribers/?{query}")
        assert answer.status_code == 400
        assert f"<b>{told}</b>" in answer.content.decode()

    def test_pages_go_on_where_the_last_one_ended_in_every_order(
        self, supervisor: Client, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dialer.web.subscribers_forms.PAGE", 2)
        for place in range(5):
            make_member(campaign, name=f"{place}", counted=place // 2, due_at=NOON + timedelta(minutes=9 - place))
        for sort, order in {"created": "01234", "-created": "43210", "due": "43210", "-attempts": "43210"}.items():
            found, address = "", f"/campaigns/{campaign.pk}/subscribers/?sort={sort}&search="
            for _page in range(3):
                answer = supervisor.get(address)
                found += "".join(member.name for member in answer.context["rows"])
                address = answer.context["next_url"]
            assert (found, address) == (order, ""), sort

    def test_a_cursor_of_nothing_leads_to_the_first_page(self, supervisor: Client, campaign: Campaign) -> None:
        answer = supervisor.get(f"/campaigns/{campaign.pk}/subscribers/?state=ready&cursor=nonsense")
        assert answer["Location"] == f"/campaigns/{campaign.pk}/subscribers/?state=ready"

    def test_a_long_list_is_not_counted_in_full(
        self, supervisor: Client, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _member in range(4):
            make_member(campaign)
        monkeypatch.setattr(subscribers, "MOST_COUNTED", 3)
        with CaptureQueriesContext(connection) as statements:
            shown = page(supervisor, f"/campaigns/{campaign.pk}/subscribers/")
        assert "More than <b>3</b> subscribers" in shown
        # What the frame of the page tells of the state is grouped, and kept for all who look.
        counts = [one["sql"] for one in statements if "COUNT(" in one["sql"] and "GROUP BY" not in one["sql"]]
        assert len(counts) == 1
        assert "LIMIT 4" in counts[0]

    def test_a_page_asks_as_often_for_many_as_for_one(self, supervisor: Client, campaign: Campaign) -> None:
        def statements() -> int:
            with CaptureQueriesContext(connection) as asked:
                page(supervisor, f"/campaigns/{campaign.pk}/subscribers/?attempts_to=9")
            return len(asked)

        make_member(campaign)
        statements()
        one = statements()
        for _member in range(20):
            make_member(
                campaign,
                [
                    "+380" + str(500000000 + Member.objects.count() * 7),
                    "+380" + str(670000000 + Member.objects.count() * 7),
                ],
            )
        assert statements() <= one
        assert one <= 22

    def test_an_empty_list_tells_what_comes_next(self, supervisor: Client, campaign: Campaign) -> None:
        shown = page(supervisor, f"/campaigns/{campaign.pk}/subscribers/")
        assert "There are no subscribers yet." in shown
        assert f'href="/campaigns/{campaign.pk}/subscribers/new/"' in shown

    def test_hidden_ones_and_those_of_others_are_not_listed(self, supervisor: Client, campaign: Campaign) -> None:
        make_member(campaign, name="gone", hidden=True)
        make_member(make_campaign(), name="of others")
        assert listed(supervisor, campaign) == []


# --- many at a time ---------------------------------------------------------------------------------------------


def do(client: Client, campaign: Campaign, what: str, **given: Any) -> Any:
    return client.post(
        f"/campaigns/{campaign.pk}/subscribers/many/", {"do": what, **given}, follow="confirmed" in given
    )


class TestMany:
    def test_nothing_is_changed_before_it_is_confirmed_and_the_count_is_told(
        self, supervisor: Client, campaign: Campaign
    ) -> None:
        make_route()
        one, two = ended(make_member(campaign)), ended(make_member(campaign), success=True)
        waits, expired = make_member(campaign), ended(make_member(campaign), expire_at=NOON - timedelta(days=1))
        answer = do(supervisor, campaign, "reset", all="1", filters="")
        shown = html.unescape(answer.content.decode())
        assert answer.context["total"] == 4
        assert [count for _told, count, _tone in answer.context["changes"]] == [1]
        assert sorted(count for _told, count in answer.context["kept"]) == [1, 1, 1]
        assert "The successful one as well: 1 more" in shown
        assert set(Member.objects.values_list("state", flat=True)) >= {"ended"}
        assert Member.objects.filter(state="ended").count() == 3
        answer = do(supervisor, campaign, "reset", all="1", filters="", confirmed="1", include_successful="1")
        assert "2 subscribers are called again. 2 stayed as they were" in html.unescape(answer.content.decode())
        for member in (one, two, waits, expired):
            member.refresh_from_db()
        assert [member.state == "ended" for member in (one, two, waits, expired)] == [False, False, False, True]

    def test_all_that_match_are_those_of_the_filters_alone(self, supervisor: Client, campaign: Campaign) -> None:
        anna, bohdan = make_member(campaign, name="Anna"), make_member(campaign, name="Bohdan")
        do(supervisor, campaign, "end", all="1", filters="search=ann&sort=due", chosen=[bohdan.pk], confirmed="1")
        anna.refresh_from_db()
        bohdan.refresh_from_db()
        assert (anna.end_cause, bohdan.end_cause) == ("MANAGER_REQUEST", "")

    def test_ending_tells_who_is_on_a_call_and_who_had_ended(self, supervisor: Client, campaign: Campaign) -> None:
        live, waits, done = make_member(campaign), make_member(campaign), ended(make_member(campaign))
        make_attempt(live, subscriber_created_at=NOON)
        ids = [live.pk, waits.pk, done.pk]
        answer = do(supervisor, campaign, "end", chosen=ids)
        assert [count for _told, count, _tone in answer.context["changes"]] == [1, 1]
        answer = do(supervisor, campaign, "end", chosen=ids, confirmed="1")
        told = "1 subscriber has ended. 1 is on a call and ends after it. 1 had ended already."
        assert told in answer.content.decode()
        live.refresh_from_db()
        assert live.end_requested

    def test_deleting_keeps_those_who_were_called(self, supervisor: Client, campaign: Campaign) -> None:
        called, never = make_member(campaign), make_member(campaign)
        make_attempt(called, ended_at=NOON)
        answer = do(supervisor, campaign, "delete", chosen=[called.pk, never.pk])
        assert [count for _told, count, _tone in answer.context["changes"]] == [1, 1]
        answer = do(supervisor, campaign, "delete", chosen=[called.pk, never.pk], confirmed="1")
        assert "1 subscriber is deleted. 1 had been called" in answer.content.decode()
        called.refresh_from_db()
        assert (called.hidden, Member.objects.filter(pk=never.pk).exists()) == (True, False)

    @pytest.mark.parametrize("headers", [{}, {"HX-Request": "1"}], ids=["without scripts", "with scripts"])
    def test_one_who_was_deleted_from_his_own_page_leads_to_the_list(
        self, supervisor: Client, campaign: Campaign, headers: dict[str, str]
    ) -> None:
        member = make_member(campaign)
        its_list = f"/campaigns/{campaign.pk}/subscribers/"
        given = {"do": "delete", "chosen": member.pk, "next": f"/subscribers/{member.pk}/", "confirmed": "1"}
        answer = supervisor.post(f"{its_list}many/", given, headers=headers)
        assert (answer.get("HX-Redirect") or answer["Location"]) == its_list
        assert "1 subscriber is deleted." in page(supervisor, its_list)

    @pytest.mark.parametrize(("what", "back"), [
        ("end", "/subscribers/{member}/"), ("delete", "/campaigns/{campaign}/subscribers/?state=ready"),
        ("delete", "/no-such-page/"),
    ])  # fmt: skip
    def test_afterwards_one_is_where_one_came_from(
        self, supervisor: Client, campaign: Campaign, what: str, back: str
    ) -> None:
        member = make_member(campaign)
        back = back.format(member=member.pk, campaign=campaign.pk)
        given = {"do": what, "chosen": member.pk, "next": back, "confirmed": "1"}
        answer = supervisor.post(f"/campaigns/{campaign.pk}/subscribers/many/", given)
        assert answer["Location"] == back

    def test_a_long_list_is_changed_in_batches_each_once(
        self, supervisor: Client, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(subscribers, "BATCH", 2)
        monkeypatch.setattr(subscribers, "WORKS_FOR", 0.0)
        several = [make_member(campaign, due_at=NOON - timedelta(minutes=1)) for _place in range(5)]
        given = {"do": "end", "all": "1", "filters": "due=now", "confirmed": "1"}
        done = []
        for _request in range(9):
            answer = supervisor.post(f"/campaigns/{campaign.pk}/subscribers/many/", given, headers={"HX-Request": "1"})
            if "HX-Redirect" in answer:
                break
            done.append(answer.context["progress"].done)
            given["progress"] = answer.context["progress"].seal()
            # Who is added meanwhile was not among those that were counted.
            make_member(campaign, due_at=NOON - timedelta(minutes=1))
        assert done == [2, 4, 5]
        assert Member.objects.filter(state="ended").count() == len(several)
        assert "5 subscribers have ended." in page(supervisor, answer["HX-Redirect"])

    def test_a_forged_progress_is_refused(self, supervisor: Client, campaign: Campaign) -> None:
        member = make_member(campaign)
        answer = do(supervisor, campaign, "end", chosen=[member.pk], confirmed="1", progress="forged")
        assert "This page is out of date." in answer.content.decode()
        member.refresh_from_db()
        assert member.state == "ready"

    def test_export_goes_on_with_the_filters_or_with_the_chosen(self, supervisor: Client, campaign: Campaign) -> None:
        anna, _bohdan = make_member(campaign, name="Anna"), make_member(campaign, name="Bohdan")
        for given in ({"all": "1", "filters": "search=ann&due=&sort=due"}, {"chosen": [anna.pk]}):
            answer = do(supervisor, campaign, "export", **given)
            asked = parse_qs(urlsplit(answer["Location"]).query)
            assert asked["zone"] == ["Europe/Kyiv"]
            assert supervisor.get(answer["Location"]).context["found"] == 1
            rows = supervisor.get(answer["Location"] + "&file=1").getvalue().decode()
            assert "Anna" in rows
            assert "Bohdan" not in rows

    @pytest.mark.parametrize(
        "given", [{"do": "reset"}, {"do": "reset", "chosen": ["x"]}, {"do": "explode", "all": "1"}]
    )
    def test_nobody_chosen_changes_nobody(self, supervisor: Client, campaign: Campaign, given: Any) -> None:
        make_member(campaign)
        answer = supervisor.post(f"/campaigns/{campaign.pk}/subscribers/many/", given, follow=True)
        assert "Choose " in answer.content.decode()

    def test_it_leads_back_to_our_own_pages_alone(self, supervisor: Client, campaign: Campaign) -> None:
        member = make_member(campaign)
        given = {"do": "end", "chosen": [member.pk], "confirmed": "1", "next": "https://evil.example/"}
        answer = supervisor.post(f"/campaigns/{campaign.pk}/subscribers/many/", given)
        assert answer["Location"] == f"/campaigns/{campaign.pk}/subscribers/"


# --- by hand ----------------------------------------------------------------------------------------------------


def row_of(*numbers: tuple[str, str, str], **given: Any) -> dict[str, Any]:
    """Return what the form sends: numbers with priority and description, and the rest."""
    return {
        "number_id": given.pop("ids", [""] * len(numbers)),
        "number": [number for number, _priority, _description in numbers],
        "number_priority": [priority for _number, priority, _description in numbers],
        "number_description": [description for _number, _priority, description in numbers],
        "variable": [],
        "value": [],
        **given,
    }


class TestByHand:
    def test_all_that_the_document_lists_is_added(self, supervisor: Client, campaign: Campaign) -> None:
        sent = row_of(
            ("050 123-45-67", "2", "work"), ("+49 30 901820", "", ""), ("", "", ""),
            name="Anna", priority="7", expire="2026-12-31T18:00", timezone="Asia/Tokyo", external_id="crm/17",
            caller_id="+380441112233", variable=["debt", ""], value=["20000", ""],
        )  # fmt: skip
        answer = supervisor.post(f"/campaigns/{campaign.pk}/subscribers/new/", sent)
        anna = Member.objects.get()
        assert answer["Location"] == f"/subscribers/{anna.pk}/"
        assert (anna.name, anna.priority, anna.external_id, anna.time_zone) == ("Anna", 7, "crm/17", "Asia/Tokyo")
        assert anna.expire_at == datetime(2026, 12, 31, 16, 0, tzinfo=UTC)
        assert (anna.caller_id, anna.variables) == ("+380441112233", {"debt": "20000"})
        found = anna.communications.values_list("digits", "priority", "description")
        assert list(found) == [("380501234567", 2, "work"), ("4930901820", 0, "")]
        campaign.refresh_from_db()
        assert campaign.state == "idle"

    def test_run_after_adding_members(self, supervisor: Client, campaign: Campaign) -> None:
        supervisor.post(f"/campaigns/{campaign.pk}/subscribers/new/", row_of(("0501234567", "", ""), run_after="on"))
        campaign.refresh_from_db()
        assert campaign.state == "running"

    def test_added_but_not_started_is_told(self, supervisor: Client) -> None:
        campaign = make_campaign()
        sent = row_of(("+380501234567", "", ""), run_after="on")
        answer = supervisor.post(f"/campaigns/{campaign.pk}/subscribers/new/", sent, follow=True)
        assert "Added, but not started." in answer.content.decode()
        assert Member.objects.count() == 1

    def test_who_may_not_run_is_not_offered_it(self, campaign: Campaign) -> None:
        client = staff(*ALL_RIGHTS)
        assert "run_after" not in page(client, f"/campaigns/{campaign.pk}/subscribers/new/")
        client.post(f"/campaigns/{campaign.pk}/subscribers/new/", row_of(("0501234567", "", ""), run_after="on"))
        campaign.refresh_from_db()
        assert (campaign.state, Member.objects.count()) == ("idle", 1)

    @pytest.mark.parametrize(
        ("numbers", "given", "told"),
        [
            ([("12", "", "")], {}, "too short"),
            ([("0501234567", "high", "")], {}, "“high” is no whole number"),
            ([("0501234567", "", ""), ("+380501234567", "", "")], {}, "twice in this subscriber"),
            ([], {}, "A subscriber needs at least one number."),
            ([("0501234567", "", "")], {"timezone": "Mars/Base"}, "is not a time zone"),
            ([("0501234567", "", "")], {"priority": "x"}, "Enter a whole number."),
            ([("0501234567", "", "")], {"expire": "soon"}, "Enter a valid date/time."),
            ([("0501234567", "", "")], {"variable": ["api_on_answer"], "value": ["x"]}, "api_on_answer"),
            ([("0501234567", "", "")], {"variable": [""], "value": ["x"]}, "A name is missing"),
            ([("0501234567", "", "")], {"caller_id": "me"}, "This must be a number"),
        ],
    )
    def test_a_fault_is_told_and_what_was_typed_stays(
        self, supervisor: Client, campaign: Campaign, numbers: Any, given: Any, told: str
    ) -> None:
        sent = row_of(*numbers, name="typed long", **given)
        answer = supervisor.post(f"/campaigns/{campaign.pk}/subscribers/new/", sent)
        shown = html.unescape(answer.content.decode())
        assert answer.status_code == 400
        assert told in shown
        assert 'value="typed long"' in shown
        assert not Member.objects.exists()

    def test_whoever_has_the_number_or_the_id_is_told_with_a_link(self, supervisor: Client, campaign: Campaign) -> None:
        bohdan = make_member(campaign, ["+380501234567"], name="Bohdan")
        olha = make_member(campaign, name="Olha", external_id="crm/1")
        sent = row_of(("050 123 45 67", "", ""), external_id="crm/1")
        answer = supervisor.post(f"/campaigns/{campaign.pk}/subscribers/new/", sent)
        shown = answer.content.decode()
        assert f'<a href="/subscribers/{bohdan.pk}/">Show Bohdan</a>' in shown
        assert f'<a href="/subscribers/{olha.pk}/">Show Olha</a>' in shown

    def test_what_was_changed_is_saved_and_nothing_else(self, supervisor: Client, campaign: Campaign) -> None:
        anna = make_member(
            campaign, ["+380501234567", "+380671112233"], name="Anna", variables={"debt": 20000, "x": "1"}
        )
        first, second = anna.communications.order_by("pk")
        form = supervisor.get(f"/subscribers/{anna.pk}/edit/").context["form"]
        # Somebody else gives her another priority meanwhile.
        actions.update_member(anna, {"priority": 9})
        sent = row_of(
            (str(first), "5", "mobile"), (str(second), "0", ""), ("0631112233", "", "new"),
            ids=[str(first.pk), str(second.pk), ""], remove=[str(second.pk)], seen=form.sealed(), name="Anna K.",
            priority="0", variable=["debt", "x"], value=["20000", "2"],
        )  # fmt: skip
        answer = supervisor.post(f"/subscribers/{anna.pk}/edit/", sent)
        assert answer.status_code == 302, html.unescape(answer.content.decode())
        anna.refresh_from_db()
        assert (anna.name, anna.priority, anna.variables) == ("Anna K.", 9, {"debt": 20000, "x": "2"})
        found = anna.communications.order_by("pk").values_list("digits", "priority", "description")
        assert list(found) == [("380501234567", 5, "mobile"), ("380631112233", 0, "new")]

    def test_the_same_field_changed_by_two_is_told_to_the_second(self, supervisor: Client, campaign: Campaign) -> None:
        anna = make_member(campaign, name="Anna")
        [number] = anna.communications.all()
        form = supervisor.get(f"/subscribers/{anna.pk}/edit/").context["form"]
        actions.update_member(anna, {"name": "Hanna"})
        sent = row_of((str(number), "0", ""), ids=[str(number.pk)], seen=form.sealed(), name="Anna K.", priority="0")
        answer = supervisor.post(f"/subscribers/{anna.pk}/edit/", sent)
        assert "Somebody else set this to “Hanna”" in html.unescape(answer.content.decode())
        sent["seen"] = answer.context["form"].sealed()
        assert supervisor.post(f"/subscribers/{anna.pk}/edit/", sent).status_code == 302
        anna.refresh_from_db()
        assert anna.name == "Anna K."

    def test_nothing_is_saved_when_one_part_is_wrong(self, supervisor: Client, campaign: Campaign) -> None:
        anna = make_member(campaign, ["+380501234567"], name="Anna")
        [number] = anna.communications.all()
        make_attempt(anna, ended_at=NOON)
        form = supervisor.get(f"/subscribers/{anna.pk}/edit/").context["form"]
        sent = row_of(
            (str(number), "0", ""), ids=[str(number.pk)], remove=[str(number.pk)], seen=form.sealed(), name="Other",
            priority="0",
        )  # fmt: skip
        answer = supervisor.post(f"/subscribers/{anna.pk}/edit/", sent)
        assert "has been called: stop it instead." in html.unescape(answer.content.decode())
        anna.refresh_from_db()
        assert anna.name == "Anna"


# --- one subscriber ---------------------------------------------------------------------------------------------


def call(member: Member, **fields: Any) -> Attempt:
    """Add a call of 40 s that was answered, and talked for 20 s."""
    begin = NOON - timedelta(minutes=5)
    return make_attempt(
        member,
        **{
            "node": make_node(), "reserved_at": begin, "sending_at": begin + timedelta(seconds=1),
            "operator_ringing_at": begin + timedelta(seconds=2), "operator_answered_at": begin + timedelta(seconds=6),
            "subscriber_created_at": begin + timedelta(seconds=7),
            "subscriber_ringing_at": begin + timedelta(seconds=9),
            "subscriber_answered_at": begin + timedelta(seconds=19), "bridged_at": begin + timedelta(seconds=20),
            "talk_ended_at": begin + timedelta(seconds=40), "operator_ended_at": begin + timedelta(seconds=40),
            "subscriber_ended_at": begin + timedelta(seconds=40), "ended_at": begin + timedelta(seconds=40),
            "operator_cause": "NORMAL_CLEARING", "subscriber_cause": "NORMAL_CLEARING", "cause": "NORMAL_CLEARING",
            "outcome": Outcome.SUCCESS, "ended_by": "subscriber", **fields,
        },
    )  # fmt: skip


class TestOne:
    def test_who_he_is_his_numbers_and_what_blocks_him(self, supervisor: Client, campaign: Campaign) -> None:
        anna = make_member(campaign, ["+380501234567", "*12"], name="Anna", variables={"debt": 5}, external_id="crm/1")
        actions.add_do_not_call("+380501234567", campaign)
        actions.stop_number(anna.communications.get(digits="*12"))
        anna.refresh_from_db()
        shown = page(supervisor, f"/subscribers/{anna.pk}/")
        for told in ("Anna", "+380501234567", "do not call", "stopped: Supervisor", "debt", "crm/1"):
            assert told in shown
        assert 'data-code="do_not_call"' in shown

    def test_the_page_asks_as_often_for_many_attempts_as_for_few(self, supervisor: Client, campaign: Campaign) -> None:
        anna = make_member(campaign)

        def statements() -> int:
            with CaptureQueriesContext(connection) as asked:
                page(supervisor, f"/subscribers/{anna.pk}/")
            return len(asked)

        call(anna)
        statements()
        one = statements()
        for _attempt in range(7):
            call(anna)
        assert statements() <= one

    def test_long_stories_are_told_in_pages(self, supervisor: Client, campaign: Campaign) -> None:
        anna = make_member(campaign)
        calls = [call(anna).pk for _call in range(7)]
        first = supervisor.get(f"/subscribers/{anna.pk}/")
        assert [one.attempt.pk for one in first.context["stories"]] == calls[:1:-1]
        second = supervisor.get(f"/subscribers/{anna.pk}/?upto={first.context['older']}")
        assert [one.attempt.pk for one in second.context["stories"]] == calls[1::-1]
        assert second.context["older"] is None

    def test_what_lives_is_given_again_by_itself(self, supervisor: Client, campaign: Campaign) -> None:
        anna = make_member(campaign)
        make_attempt(anna)
        shown = page(supervisor, f"/subscribers/{anna.pk}/now")
        assert 'hx-trigger="every 3s"' in shown
        assert 'hx-swap-oob="true"' in shown
        assert "On a call" in shown
        assert "Hang up" in shown
        [seen] = re.findall(r"seen=([0-9a-f]{16})", shown)
        assert supervisor.get(f"/subscribers/{anna.pk}/now?seen={seen}").status_code == 204
        Member.objects.filter(pk=anna.pk).update(end_requested=True)
        assert "ends after this call" in page(supervisor, f"/subscribers/{anna.pk}/now?seen={seen}")

    def test_a_page_that_is_open_tells_once_that_its_subscriber_is_gone(
        self, supervisor: Client, campaign: Campaign
    ) -> None:
        anna = make_member(campaign)
        gone = anna.pk
        do(supervisor, campaign, "delete", chosen=[gone], confirmed="1")
        assert not Member.objects.filter(pk=gone).exists()
        shown = page(supervisor, f"/subscribers/{gone}/now")
        assert f"There is no subscriber {gone}." in shown
        assert 'id="now"' in shown
        assert "hx-get" not in shown

    def test_numbers_are_stopped_listed_and_started_again(self, supervisor: Client, campaign: Campaign) -> None:
        anna = make_member(campaign, ["+380501234567", "+380671112233"])
        number = anna.communications.get(digits="380501234567")

        def act(name: str) -> str:
            answer = supervisor.post(f"/subscribers/{anna.pk}/numbers/{number.pk}/{name}", follow=True)
            number.refresh_from_db()
            return html.unescape(answer.content.decode())

        assert "is called no more." in act("stop")
        assert number.stopped == "person"
        assert "may be called again." in act("start")
        assert number.stopped == ""
        assert "is on the do-not-call list of Renewals." in act("do-not-call")
        assert DoNotCall.objects.get().campaign == campaign
        DoNotCall.objects.create(digits=number.digits, created_at=NOON)
        assert "is on no do-not-call list any more." in act("may-call")
        assert not DoNotCall.objects.exists()

    def test_a_call_back_is_promised_by_his_own_clock(self, supervisor: Client, campaign: Campaign) -> None:
        anna = make_member(campaign, time_zone="Asia/Tokyo", zones="Asia/Tokyo")
        olha = make_operator(campaign)
        address = f"/subscribers/{anna.pk}/call-back"
        sent = {"at": "2026-11-24T10:00", "operator": olha.pk, "minutes": "30"}
        answer = supervisor.post(address, sent, follow=True)
        assert "(Asia/Tokyo)" in answer.content.decode()
        anna.refresh_from_db()
        assert (anna.due_at, anna.callback) == (datetime(2026, 11, 24, 1, 0, tzinfo=UTC), True)
        assert (anna.sticky_operator, anna.sticky_until) == (olha, datetime(2026, 11, 24, 1, 30, tzinfo=UTC))

    def test_a_call_back_that_cannot_be_is_told_at_its_field(self, supervisor: Client, campaign: Campaign) -> None:
        anna = make_member(campaign, expire_at=NOON + timedelta(hours=1))
        sent = {"at": "2026-11-24T10:00", "minutes": "30"}
        answer = supervisor.post(f"/subscribers/{anna.pk}/call-back", sent)
        assert answer.status_code == 400
        assert answer.context["promise"].errors == {"at": ["He expires before that."]}

    def test_one_who_was_deleted_is_shown_for_his_calls_and_cannot_be_changed(
        self, supervisor: Client, campaign: Campaign
    ) -> None:
        anna = make_member(campaign)
        call(anna)
        actions.delete_members(Member.objects.filter(pk=anna.pk))
        shown = page(supervisor, f"/subscribers/{anna.pk}/")
        assert "He is deleted." in shown
        assert "Edit" not in re.sub(r"<nav.*?</nav>", "", shown, flags=re.S)
        assert supervisor.get(f"/subscribers/{anna.pk}/edit/").status_code == 404


# --- stories ----------------------------------------------------------------------------------------------------


def told(attempt: Attempt) -> story.Story:
    return story.of(story.told_with(Attempt.objects.filter(pk=attempt.pk)).get())


class TestStory:
    def test_both_legs_are_drawn_to_scale(self, campaign: Campaign) -> None:
        operator, subscriber = told(call(make_member(campaign))).legs
        # 40 s on a scale of 40 s (marks of 10): 25 units a second.
        assert [(part.x, part.width, part.tone) for part in operator.parts] == [
            (0, 25, "off"), (25, 25, "held"), (50, 100, "ring"), (150, 350, "wrap"), (500, 500, "talk"),
        ]  # fmt: skip
        assert [(part.x, part.width, part.tone) for part in subscriber.parts] == [
            (175, 50, "held"), (225, 250, "ring"), (475, 25, "break"), (500, 500, "talk"),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("seconds", "step", "marks"),
        [(1, 1, 1), (6, 1, 6), (7, 2, 4), (40, 10, 4), (61, 15, 5), (3600, 600, 6), (50000, 10800, 5)],
    )
    def test_the_scale_has_round_marks_and_holds_the_call(self, seconds: int, step: int, marks: int) -> None:
        assert story._scale(seconds) == (step, marks)
        assert step * marks >= seconds

    def test_all_that_is_known_is_told_in_its_order(self, campaign: Campaign) -> None:
        olena = User.objects.create_user("olena")
        attempt = call(
            make_member(campaign), connect_order="subscriber_first", kill_reason=KillReason.PERSON, killed_by=olena,
            kill_sent_at=NOON - timedelta(seconds=262), result_state=ResultState.APPLIED, comment="Agreed",
            recording="2026/1.wav", operator_reserved_at=NOON - timedelta(seconds=297),
        )  # fmt: skip
        taras = make_operator(campaign, name="Taras")
        OperatorTry.objects.create(
            attempt=attempt, operator=taras, uuid="0" * 32, reserved_at=NOON - timedelta(seconds=300),
            sending_at=NOON - timedelta(seconds=299), ringing_at=NOON - timedelta(seconds=298),
            ended_at=NOON - timedelta(seconds=297), cause="NO_ANSWER",
        )  # fmt: skip
        ResultReport.objects.create(
            member=attempt.member, attempt=attempt, received_at=NOON, body={"success": True}, by=olena,
            verdict=ResultReport.Verdict.REFUSED, reason="Too late",
        )  # fmt: skip
        Repair.objects.create(
            at=NOON + timedelta(minutes=1), attempt=attempt, kind="late_cause", detail="from the switch"
        )
        shown = told(attempt)
        words = [step.told for step in shown.steps]
        assert [step.at for step in shown.steps] == sorted(step.at for step in shown.steps)
        assert "Taras was rung for him and did not take the call" in words
        assert words[-2:] == ["Result reported by olena", "Repaired by later evidence: late_cause"]
        assert "Refused · Too late · success: true" in [step.more for step in shown.steps]
        facts = dict(shown.facts)
        assert (facts["Comment"], facts["Recording"]) == ("Agreed", "2026/1.wav")
        assert facts["Hung up first"] == "we did (A person asked: olena)"
        assert facts["Operators tried"].startswith("Taras, ")
        assert any("Taras's phone rings" in part.told for part in shown.legs[0].parts)

    def test_a_call_that_lives_is_drawn_until_now(self, campaign: Campaign) -> None:
        begin = NOON - timedelta(seconds=30)
        attempt = make_attempt(
            make_member(campaign),
            reserved_at=begin,
            sending_at=begin,
            operator_ringing_at=begin + timedelta(seconds=15),
        )
        operator, subscriber = told(attempt).legs
        assert [(part.x, part.width) for part in operator.parts][-1] == (500, 500)
        assert subscriber.parts == []


# --- who may ----------------------------------------------------------------------------------------------------


class TestRights:
    def test_every_door_asks_for_its_right(self, campaign: Campaign) -> None:
        anna = make_member(campaign)
        number = anna.communications.get()
        viewer = staff("members.view_member")
        nobody = staff()
        doors: list[tuple[str, str, dict[str, Any]]] = [
            ("get", f"/campaigns/{campaign.pk}/subscribers/", {}), ("get", f"/subscribers/{anna.pk}/", {}),
            ("get", f"/subscribers/{anna.pk}/now", {}),
        ]  # fmt: skip
        changes = [
            ("get", f"/campaigns/{campaign.pk}/subscribers/new/", {}), ("get", f"/subscribers/{anna.pk}/edit/", {}),
            ("post", f"/subscribers/{anna.pk}/edit/", {}), ("post", f"/campaigns/{campaign.pk}/subscribers/new/", {}),
            ("post", f"/subscribers/{anna.pk}/call-back", {}),
            *[("post", f"/campaigns/{campaign.pk}/subscribers/many/", {"do": act, "chosen": anna.pk, "confirmed": "1"})
              for act in ("reset", "end", "delete")],
            *[("post", f"/subscribers/{anna.pk}/numbers/{number.pk}/{act}", {})
              for act in ("stop", "start", "do-not-call", "may-call")],
        ]  # fmt: skip
        for method, address, given in doors:
            assert getattr(viewer, method)(address, given).status_code == 200, address
            assert getattr(nobody, method)(address, given).status_code == 403, address
        for method, address, given in changes:
            assert getattr(viewer, method)(address, given).status_code == 403, address
        anna.refresh_from_db()
        assert (anna.state, anna.hidden) == ("ready", False)
        assert Client().get(doors[0][1]).status_code == 302

    def test_who_is_limited_finds_those_of_his_campaigns_alone_through_every_door(self, campaign: Campaign) -> None:
        other = make_campaign(name="Others")
        theirs = make_member(other, name="Theirs")
        number = theirs.communications.get()
        client = staff(
            *ALL_RIGHTS, "campaigns.view_campaign", "dialer.view_attempt", "members.add_donotcall",
            "members.delete_donotcall", campaigns=(campaign,),
        )  # fmt: skip
        assert listed(client, campaign) == []
        for method, address, given in [
            ("get", f"/campaigns/{other.pk}/subscribers/", {}),
            ("get", f"/campaigns/{other.pk}/subscribers/new/", {}),
            ("post", f"/campaigns/{other.pk}/subscribers/new/", {}),
            ("post", f"/campaigns/{other.pk}/subscribers/many/", {"do": "end", "all": "1", "confirmed": "1"}),
            ("get", f"/subscribers/{theirs.pk}/", {}),
            ("get", f"/subscribers/{theirs.pk}/edit/", {}),
            ("post", f"/subscribers/{theirs.pk}/call-back", {}),
            ("post", f"/subscribers/{theirs.pk}/numbers/{number.pk}/stop", {}),
        ]:
            assert getattr(client, method)(address, given).status_code == 404, address
        assert "Theirs" not in page(client, f"/subscribers/{theirs.pk}/now")
        # Nor does a door of his own campaign lead to them.
        do(client, campaign, "end", chosen=[theirs.pk], confirmed="1")
        theirs.refresh_from_db()
        assert theirs.state == "ready"

    def test_who_is_limited_takes_nothing_off_the_list_of_every_campaign(self, campaign: Campaign) -> None:
        anna = make_member(campaign, ["+380501234567"])
        number = anna.communications.get()
        actions.add_do_not_call(number.digits)
        client = staff(*ALL_RIGHTS, "members.delete_donotcall", campaigns=(campaign,))
        answer = client.post(f"/subscribers/{anna.pk}/numbers/{number.pk}/may-call", follow=True)
        assert "which you may not change" in html.unescape(answer.content.decode())
        assert DoNotCall.objects.filter(campaign=None).count() == 1

    def test_a_page_changes_nothing_by_get(self, supervisor: Client, campaign: Campaign) -> None:
        anna = make_member(campaign)
        number = anna.communications.get()
        for address in (
            f"/campaigns/{campaign.pk}/subscribers/many/", f"/subscribers/{anna.pk}/call-back",
            f"/subscribers/{anna.pk}/numbers/{number.pk}/stop",
        ):  # fmt: skip
            assert supervisor.get(address).status_code == 405
