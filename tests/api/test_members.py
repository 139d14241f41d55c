"""Subscribers over REST: what the document shows, word by word, and what an integrator needs beside it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign, CampaignState, Route
from dialer import clock
from members.models import Communication, Member, MemberState
from tests import factories
from tests.api.conftest import Caller, caller_for, faults, problem, user_in

pytestmark = pytest.mark.django_db

DOCUMENT = """
{
        "name":" ",
        "priority": 0,
        "timezone":"",
        "variables": {
                "debt": 20000,
                "language":"",
                 "productID": "8fd26a17-eb28-4c74-aa6f-a3794f4f466c"
        },
    "communications":[
                 {
                         "number": "099998888",
                         "priority":1
                 }, {
                         "number": "3434534534534",
                         "priority":2
                 }
    ]
}
"""


def row(*numbers: str, **fields: Any) -> dict[str, Any]:
    return {"communications": [{"number": number} for number in numbers or (factories.make_number(),)], **fields}


def add(him: Caller, campaign: Campaign, body: Any, query: str = "", **headers: str) -> Any:
    return him.post(f"dialer/{campaign.pk}/members{query}", body, **headers)


class TestAddingOne:
    def test_the_request_of_the_document_works_as_it_is_printed(self, crm: Caller, campaign: Campaign) -> None:
        answer = add(crm, campaign, DOCUMENT, "?autoRun=true")
        assert answer.status_code == 201
        campaign.refresh_from_db()
        assert campaign.state == CampaignState.RUNNING
        member = Member.objects.get()
        assert (member.name, member.priority, member.time_zone) == ("", 0, "")
        assert member.variables == {
            "debt": 20000, "language": "", "productID": "8fd26a17-eb28-4c74-aa6f-a3794f4f466c",
        }  # fmt: skip
        assert list(member.communications.values_list("digits", "priority")) == [("099998888", 1), ("3434534534534", 2)]
        shown = answer.json()
        assert (shown["id"], shown["became"], shown["run"], shown["state"]) == (member.pk, "added", "STARTED", "ready")

    @pytest.mark.parametrize(
        ("word", "runs"),
        [("true", True), ("TRUE", True), ("1", True), ("false", False), ("0", False), ("False", False)],
    )
    def test_auto_run_is_true_or_false_in_any_case(
        self, crm: Caller, campaign: Campaign, word: str, runs: bool
    ) -> None:
        assert add(crm, campaign, row(), f"?autoRun={word}").status_code == 201
        campaign.refresh_from_db()
        assert (campaign.state == CampaignState.RUNNING) is runs

    @pytest.mark.parametrize("query", ["?autoRun=yes", "?autoRun=", "?autoRun=true&autoRun=false", "?autorun=true"])
    def test_anything_else_is_a_fault(self, crm: Caller, campaign: Campaign, query: str) -> None:
        assert set(faults(add(crm, campaign, row(), query))) <= {"autoRun", "autorun"}
        assert not Member.objects.exists()

    def test_where_run_is_refused_nothing_is_added(self, crm: Caller, campaign: Campaign) -> None:
        Route.objects.all().delete()
        assert problem(add(crm, campaign, row(), "?autoRun=true"), 409)["code"] == "NO_ROUTE"
        assert not Member.objects.exists()

    def test_every_fault_is_told_by_the_path_of_its_field(self, crm: Caller, campaign: Campaign) -> None:
        body = {
            "name": 5,
            "timezone": "Kyiv",
            "expire": "2031-05-01T10:00",
            "variables": {"api_on_answer": "x"},
            "communications": [{"number": "12a"}, {"number": "5", "colour": 1}],
            "phone": "5",
        }
        found = faults(add(crm, campaign, body))
        assert set(found) == {
            "name", "timezone", "expire", "variables", "communications[0].number", "communications[1].colour", "phone",
        }  # fmt: skip
        assert "offset" in found["expire"][0]

    def test_the_number_that_he_sees_is_taken_shown_and_changed(self, crm: Caller, campaign: Campaign) -> None:
        shown = add(crm, campaign, row(caller_id="+380441234567")).json()
        assert shown["caller_id"] == Member.objects.get().caller_id == "+380441234567"
        address = f"dialer/{campaign.pk}/members/{shown['id']}"
        assert crm.patch(address, {"caller_id": "100"}).json()["caller_id"] == "100"
        assert crm.patch(address, {"caller_id": None}).json()["caller_id"] == crm.get(address).json()["caller_id"] == ""
        assert set(faults(crm.patch(address, {"caller_id": "Anna"}))) == {"caller_id"}
        assert set(faults(add(crm, campaign, row(caller_id=100)))) == {"caller_id"}

    def test_a_number_of_another_subscriber_is_a_fault_of_that_number(self, crm: Caller, campaign: Campaign) -> None:
        factories.make_member(campaign, ["0501112233"])
        found = faults(add(crm, campaign, row("44", "050 111-22-33")))
        assert set(found) == {"communications[1].number"}

    @pytest.mark.parametrize("given", ["571f2e2e6ea6478aba60581a", "0", "-1", "9" * 30, "999999"])
    def test_an_unknown_campaign_is_not_found(self, crm: Caller, campaign: Campaign, given: str) -> None:
        problem(crm.post(f"dialer/{given}/members", row()), 404)

    def test_who_may_not_run_campaigns_adds_without_auto_run(self, campaign: Campaign) -> None:
        from django.contrib.auth.models import Permission

        user = user_in(None, "clerk")
        user.user_permissions.add(Permission.objects.get(codename="add_member"))
        him = caller_for(user)
        problem(add(him, campaign, row(), "?autoRun=true"), 403)
        problem(add(him, campaign, row(), "?on_duplicate=update"), 403)
        assert add(him, campaign, row()).status_code == 201


class TestAddingMany:
    def test_each_row_is_told_its_id_or_its_faults_and_the_good_ones_are_taken(
        self, crm: Caller, campaign: Campaign
    ) -> None:
        answer = add(crm, campaign, [row("100"), row("abc"), "no object", row("101"), row("100")])
        assert answer.status_code == 207
        told = answer.json()
        assert (told["added"], told["refused"]) == (2, 3)
        assert [item["became"] for item in told["rows"]] == ["added", "refused", "refused", "added", "refused"]
        ids = [item["id"] for item in told["rows"] if item["id"]]
        assert ids == list(Member.objects.order_by("pk").values_list("pk", flat=True))
        assert [list(item["errors"]) for item in told["rows"] if item["errors"]] == [
            ["communications[0].number"], ["body"], ["communications[0].number"],
        ]  # fmt: skip

    def test_all_good_is_created_and_all_bad_is_invalid(self, crm: Caller, campaign: Campaign) -> None:
        assert add(crm, campaign, [row(), row()]).status_code == 201
        assert set(faults(add(crm, campaign, [row("a"), {}]))) == {
            "[0].communications[0].number", "[1].communications",
        }  # fmt: skip

    @pytest.mark.parametrize("body", [[], [{}] * 10_001])
    def test_from_one_to_ten_thousand(self, crm: Caller, campaign: Campaign, body: list[Any]) -> None:
        assert set(faults(add(crm, campaign, body))) == {"body"}

    def test_the_number_of_statements_does_not_grow_with_the_rows(self, crm: Caller, campaign: Campaign) -> None:
        def cost(rows: int, query: str = "", again: bool = False) -> int:
            numbers = used[-rows:] if again else [factories.make_number() for _ in range(rows)]
            used.extend(numbers)
            body = [row(number) for number in numbers]
            with CaptureQueriesContext(
                connection,
            ) as context:
                assert add(crm, campaign, body, query).status_code < 300
            return len(context)

        used: list[str] = []
        add(crm, campaign, [row()])
        assert cost(300) == cost(2) <= 30
        cost(300)
        assert cost(300, "?on_duplicate=update", again=True) == cost(2, "?on_duplicate=update", again=True) <= 30

    @pytest.mark.slow
    def test_ten_thousand_at_once(self, crm: Caller, campaign: Campaign) -> None:
        answer = add(crm, campaign, [row(f"7{n:06}", external_id=f"crm-{n}") for n in range(10_000)])
        assert answer.status_code == 201
        assert answer.json()["added"] == Member.objects.filter(state=MemberState.READY).count() == 10_000

    def test_a_body_that_is_too_large_is_refused(
        self, crm: Caller, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("members.api.Members.most_bytes", 1000)
        problem(add(crm, campaign, " " * 1001), 413)


class TestDuplicates:
    def test_by_default_they_are_faults(self, crm: Caller, campaign: Campaign) -> None:
        add(crm, campaign, row("100", external_id="a"))
        assert set(faults(add(crm, campaign, row("101", external_id="a")))) == {"external_id"}

    def test_skip_tells_who_it_is_and_changes_nothing(self, crm: Caller, campaign: Campaign) -> None:
        first = add(crm, campaign, row("100", name="Anna")).json()["id"]
        answer = add(crm, campaign, row("100", "101", name="Boris"), "?on_duplicate=skip")
        assert answer.status_code == 200
        assert (answer.json()["id"], answer.json()["became"]) == (first, "skipped")
        assert Member.objects.get().name == "Anna"
        assert Communication.objects.count() == 1

    def test_update_writes_what_is_given_and_adds_numbers(self, crm: Caller, campaign: Campaign) -> None:
        body = row("100", name="Anna", external_id="a", priority=7, variables={"debt": 1})
        first = add(crm, campaign, body).json()["id"]
        changed = {
            "external_id": "a", "name": "Anna K.", "timezone": "Europe/Kyiv",
            "communications": [{"number": "100", "priority": 5}, {"number": "101"}],
        }  # fmt: skip
        answer = add(crm, campaign, changed, "?on_duplicate=update")
        assert answer.status_code == 200
        assert (answer.json()["id"], answer.json()["became"]) == (first, "updated")
        member = Member.objects.get()
        assert (member.name, member.priority, member.variables) == ("Anna K.", 7, {"debt": 1})
        assert (member.time_zone, member.zones) == ("Europe/Kyiv", "Europe/Kyiv")
        numbers = Communication.objects.filter(route__isnull=False).order_by("pk").values_list("digits", "priority")
        assert list(numbers) == [("100", 5), ("101", 0)]

    def test_update_by_a_number_gives_the_external_id(self, crm: Caller, campaign: Campaign) -> None:
        add(crm, campaign, row("100"))
        assert add(crm, campaign, row("+1 00", external_id="a"), "?on_duplicate=update").status_code == 200
        assert Member.objects.get().external_id == "a"

    def test_an_ended_one_is_not_reopened_and_a_live_one_keeps_his_call(self, crm: Caller, campaign: Campaign) -> None:
        ended = factories.make_member(campaign, ["100"])
        live = factories.make_member(campaign, ["200"])
        crm.post(f"dialer/{campaign.pk}/members/{ended.pk}/end")
        attempt = factories.make_attempt(live)
        body = [row("100", "101", name="E"), row("200", "201", name="L")]
        told = add(crm, campaign, body, "?on_duplicate=update").json()
        assert told["updated"] == 2
        ended.refresh_from_db()
        live.refresh_from_db()
        assert (ended.name, ended.state, ended.next_communication_id) == ("E", "ended", None)
        assert (live.name, live.state, live.current_attempt_id) == ("L", "live", attempt.pk)

    def test_two_subscribers_are_never_made_one(self, crm: Caller, campaign: Campaign) -> None:
        add(crm, campaign, [row("100", external_id="a"), row("200")])
        found = faults(add(crm, campaign, row("200", external_id="a"), "?on_duplicate=update"))
        assert set(found) == {"external_id", "communications[0].number"}

    def test_two_rows_for_one_subscriber_are_a_fault_of_the_second(self, crm: Caller, campaign: Campaign) -> None:
        add(crm, campaign, row("100", external_id="a"))
        body = [row("100"), row("101", external_id="a")]
        told = add(crm, campaign, body, "?on_duplicate=update").json()
        assert [item["became"] for item in told["rows"]] == ["updated", "refused"]
        assert "row 1" in told["rows"][1]["errors"]["body"][0]

    def test_one_who_was_deleted_is_not_updated(self, crm: Caller, campaign: Campaign) -> None:
        member = factories.make_member(campaign, ["100"])
        factories.make_attempt(member, ended_at=clock.now())
        crm.delete(f"dialer/{campaign.pk}/members/{member.pk}")
        assert set(faults(add(crm, campaign, row("100"), "?on_duplicate=update"))) == {"communications[0].number"}


class TestList:
    def names(self, answer: Any) -> list[str]:
        assert answer.status_code == 200, answer.content
        return [item["name"] for item in answer.json()["results"]]

    @pytest.fixture
    def members(self, campaign: Campaign) -> list[Member]:
        return [factories.make_member(campaign, [f"050{n}"], name=f"N{n}") for n in range(5)]

    def all_pages(self, him: Caller, path: str) -> list[list[str]]:
        pages = []
        address: str | None = path
        while address:
            answer = him.get(address)
            pages.append(self.names(answer))
            address = answer.json()["next"]
        return pages

    def test_pages_follow_each_other_to_the_end(self, crm: Caller, campaign: Campaign, members: list[Member]) -> None:
        path = f"dialer/{campaign.pk}/members?limit=2"
        assert self.all_pages(crm, path) == [["N0", "N1"], ["N2", "N3"], ["N4"]]
        assert self.all_pages(crm, path + "&sort=-created") == [["N4", "N3"], ["N2", "N1"], ["N0"]]

    def test_who_comes_meanwhile_shifts_no_page(self, crm: Caller, campaign: Campaign, members: list[Member]) -> None:
        first = crm.get(f"dialer/{campaign.pk}/members?limit=2&sort=-created").json()
        factories.make_member(campaign, name="new")
        assert self.names(crm.get(first["next"])) == ["N2", "N1"]

    def test_by_when_they_ended_with_equal_instants(
        self, crm: Caller, campaign: Campaign, members: list[Member]
    ) -> None:
        at = clock.now()
        for place, minutes in enumerate((3, 1, 1, 1)):
            fields = {"ended_at": at + timedelta(minutes=minutes), "end_cause": "USER_BUSY"}
            Member.objects.filter(pk=members[place].pk).update(
                **fields, state="ended", next_communication=None, next_gateway=None
            )
        path = f"dialer/{campaign.pk}/members?limit=2"
        assert self.all_pages(crm, path + "&sort=ended") == [["N1", "N2"], ["N3", "N0"]]
        assert self.all_pages(crm, path + "&sort=-ended") == [["N0", "N3"], ["N2", "N1"]]
        since = (at + timedelta(minutes=2)).isoformat()
        assert self.names(crm.get(f"dialer/{campaign.pk}/members?ended_from={since}")) == ["N0"], "with a bare plus"

    def test_filters_find_and_the_count_agrees(self, crm: Caller, campaign: Campaign, members: list[Member]) -> None:
        Member.objects.filter(pk=members[3].pk).update(external_id="crm-3")
        crm.post(f"dialer/{campaign.pk}/members/{members[1].pk}/end")
        for query, found in {
            "state=ended": ["N1"],
            "end_cause=MANAGER_REQUEST": ["N1"],
            "success=true": [],
            "external_id=crm-3": ["N3"],
            "number=05-02": ["N2"],
            "search=n4": ["N4"],
            "search=0503": ["N3"],
            "": ["N0", "N1", "N2", "N3", "N4"],
        }.items():
            assert self.names(crm.get(f"dialer/{campaign.pk}/members?{query}")) == found
            assert crm.get(f"dialer/{campaign.pk}/members/count?{query}").json() == {"count": len(found)}

    def test_those_of_other_campaigns_and_the_deleted_are_not_in_it(
        self, crm: Caller, campaign: Campaign, members: list[Member]
    ) -> None:
        factories.make_member(factories.make_campaign(), name="other")
        factories.make_attempt(members[0], ended_at=clock.now())
        crm.delete(f"dialer/{campaign.pk}/members/{members[0].pk}")
        assert self.names(crm.get(f"dialer/{campaign.pk}/members")) == ["N1", "N2", "N3", "N4"]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("sort=name", "sort"),
            ("state=gone", "state"), ("success=maybe", "success"), ("number=abc", "number"), ("colour=red", "colour"),
            ("ended_from=yesterday", "ended_from"), ("cursor=abc", "cursor"), ("cursor=ÿ", "cursor"),
            ("cursor=WyJjcmVhdGVkIixudWxsLDFd", "cursor"), ("cursor=WyJlbmRlZCIsIjIwMzEiLDFd", "cursor"),
            ("cursor=W1tbW1tb", "cursor"), ("search=%00", "search"),
        ],
    )  # fmt: skip
    def test_a_fault_of_the_address_is_told_by_its_name(
        self, crm: Caller, campaign: Campaign, query: str, field: str
    ) -> None:
        assert set(faults(crm.get(f"dialer/{campaign.pk}/members?{query}"))) == {field}

    def test_a_page_costs_the_same_whatever_it_holds(self, crm: Caller, campaign: Campaign) -> None:
        def cost() -> int:
            with CaptureQueriesContext(connection) as context:
                crm.get(f"dialer/{campaign.pk}/members")
            return len(context)

        factories.make_member(campaign)
        crm.get("keys")
        first = cost()
        for _ in range(5):
            factories.make_member(campaign, [factories.make_number(), factories.make_number()])
        assert cost() == first <= 7


@pytest.mark.slow
class TestPlans:
    """A page of a large list is read off an index: nothing is sorted, nothing passed over."""

    @pytest.fixture
    def large(self, campaign: Campaign) -> Campaign:
        other = factories.make_campaign()
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO members_member (campaign_id, name, priority, time_zone, zones, variables, caller_id,
                    created_at, due_at, callback, tried, counted, minus_in_row, extra_attempts, counts_after, hidden,
                    end_requested, state, end_cause, success, ended_at)
                SELECT CASE WHEN n %% 10 = 0 THEN %(small)s ELSE %(large)s END, 'Name ' || n, 0, '', '', '{}', '',
                    %(now)s, %(now)s, false, false, 0, 0, 0, 0, false, false,
                    CASE WHEN n %% 3 = 0 THEN 'ended' ELSE 'waiting' END,
                    CASE WHEN n %% 3 = 0 THEN 'USER_BUSY' ELSE '' END, false,
                    CASE WHEN n %% 3 = 0 THEN %(now)s::timestamptz - n * interval '1 second' END
                FROM generate_series(1, 60000) AS n
                """,
                {"small": other.pk, "large": campaign.pk, "now": clock.now()},
            )
            cursor.execute("ANALYZE members_member")
        return campaign

    def plan(self, him: Caller, address: str) -> tuple[str, str]:
        """Return how the database reads a page, and the address of the next one."""
        with CaptureQueriesContext(connection) as context:
            answer = him.get(address)
        (statement,) = [
            item["sql"] for item in context if 'FROM "members_member"' in item["sql"] and "LIMIT 51" in item["sql"]
        ]  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {statement}")
            return "\n".join(line for (line,) in cursor.fetchall()), answer.json()["next"]

    def test_first_and_later_pages(self, crm: Caller, large: Campaign) -> None:
        for query, index in {
            "": "member_list",
            "sort=-created": "member_list",
            "sort=ended": "member_list_ended",
            "sort=-ended": "member_list_ended",
            "state=waiting": "member_list",
        }.items():
            address = f"dialer/{large.pk}/members?limit=50&{query}"
            for _page in range(2):
                plan, address = self.plan(crm, address)
                assert f"{index} " in plan, query
                assert "Sort" not in plan


class TestOne:
    @pytest.fixture
    def member(self, campaign: Campaign) -> Member:
        return factories.make_member(campaign, ["100", "101"], name="Anna")

    def path(self, member: Member, rest: str = "") -> str:
        return f"dialer/{member.campaign_id}/members/{member.pk}{rest}"

    def test_it_is_shown_with_its_numbers(self, crm: Caller, member: Member) -> None:
        shown = crm.get(self.path(member)).json()
        assert (shown["name"], shown["state"], shown["timezone"]) == ("Anna", "ready", "")
        assert [(item["number"], item["active"]) for item in shown["communications"]] == [("100", True), ("101", True)]

    @pytest.mark.parametrize("given", ["431a2e3e6eb6453afa61583e", "0", "99999999999999999999"])
    def test_an_unknown_one_is_not_found_nor_is_one_of_another_campaign(
        self, crm: Caller, member: Member, given: str
    ) -> None:
        problem(crm.get(f"dialer/{member.campaign_id}/members/{given}"), 404)
        problem(crm.get(f"dialer/{factories.make_campaign().pk}/members/{member.pk}"), 404)

    def test_what_is_given_changes_and_null_takes_away(self, crm: Caller, member: Member) -> None:
        expire = "2031-05-01T18:00:00+03:00"
        shown = crm.patch(self.path(member), {"priority": 3, "expire": expire, "external_id": "a"}).json()
        assert (shown["name"], shown["priority"], shown["expire"]) == ("Anna", 3, "2031-05-01T15:00:00Z")
        assert crm.patch(self.path(member), {"expire": None}).json()["expire"] is None

    def test_faults_of_a_change_are_named(self, crm: Caller, member: Member) -> None:
        body = {"state": "ended", "expire": "2031-05-01 10:00", "priority": "high"}
        assert set(faults(crm.patch(self.path(member), body))) == {"state", "expire", "priority"}
        assert set(faults(crm.patch(self.path(member), [1]))) == {"body"}

    def test_he_is_ended_once(self, crm: Caller, member: Member) -> None:
        shown = crm.post(self.path(member, "/end")).json()
        assert (shown["state"], shown["end_cause"]) == ("ended", "MANAGER_REQUEST")
        assert problem(crm.post(self.path(member, "/end")), 409)["code"] == "WRONG_STATE"

    def test_one_without_attempts_is_deleted_and_one_with_them_hidden(
        self, crm: Caller, campaign: Campaign, member: Member
    ) -> None:
        called = factories.make_member(campaign)
        factories.make_attempt(called, ended_at=clock.now())
        for one in (member, called):
            assert crm.delete(self.path(one)).status_code == 204
            problem(crm.get(self.path(one)), 404)
        assert Member.objects.get().hidden

    def test_numbers_are_added_changed_stopped_and_deleted(self, crm: Caller, member: Member) -> None:
        shown = crm.post(self.path(member, "/communications"), {"number": "102", "priority": 9})
        assert shown.status_code == 201
        added = shown.json()["communications"][2]
        number = self.path(member, f"/communications/{added['id']}")
        shown = crm.patch(number, {"active": False, "description": "work"}).json()["communications"][2]
        assert (shown["active"], shown["stopped_by"], shown["description"]) == (False, "person", "work")
        assert shown["priority"] == 9
        assert crm.patch(number, {"active": True}).json()["communications"][2]["active"]
        assert crm.delete(number).status_code == 204
        assert [item.digits for item in member.communications.all()] == ["100", "101"]
        assert set(faults(crm.post(self.path(member, "/communications"), {"number": "100"}))) == {"number"}

    def test_a_call_back_is_promised_at_an_instant(self, crm: Caller, campaign: Campaign, member: Member) -> None:
        operator = factories.make_operator(campaign)
        at = clock.now() + timedelta(hours=2)
        shown = crm.put(self.path(member, "/callback"), {"at": at.isoformat(), "operator": operator.pk}).json()
        assert shown["callback"]
        member.refresh_from_db()
        assert (member.due_at, member.sticky_operator_id) == (at, operator.pk)
        stranger = factories.make_operator()
        body = {"at": at.isoformat(), "operator": stranger.pk}
        assert set(faults(crm.put(self.path(member, "/callback"), body))) == {"operator"}


class TestReset:
    @pytest.fixture
    def ended(self, crm: Caller, campaign: Campaign) -> list[Member]:
        members = [factories.make_member(campaign) for _ in range(3)]
        for member in members[:2]:
            crm.post(f"dialer/{campaign.pk}/members/{member.pk}/end")
        Member.objects.filter(pk=members[1].pk).update(end_cause="USER_BUSY")
        return members

    def reset(self, him: Caller, campaign: Campaign, **body: Any) -> Any:
        return him.post(f"dialer/{campaign.pk}/members/reset", body)

    def test_a_dry_run_counts_and_changes_nothing(self, crm: Caller, campaign: Campaign, ended: list[Member]) -> None:
        assert self.reset(crm, campaign, dry_run=True).json() == {"count": 2, "dry_run": True}
        assert factories.states(ended) == ["ended", "ended", "ready"]

    def test_those_that_the_filter_finds_are_called_again(
        self, crm: Caller, campaign: Campaign, ended: list[Member]
    ) -> None:
        assert self.reset(crm, campaign, filter={"end_cause": "USER_BUSY"}).json() == {"count": 1, "dry_run": False}
        assert factories.states(ended) == ["ended", "ready", "ready"]
        assert self.reset(crm, campaign, filter={"members": [ended[0].pk]}).json()["count"] == 1

    def test_successful_ones_only_when_asked_for(self, crm: Caller, campaign: Campaign, ended: list[Member]) -> None:
        Member.objects.filter(pk=ended[0].pk).update(success=True)
        assert self.reset(crm, campaign, dry_run=True).json()["count"] == 1
        assert self.reset(crm, campaign, dry_run=True, include_successful=True).json()["count"] == 2

    def test_faults_are_named_inside_the_filter_too(self, crm: Caller, campaign: Campaign) -> None:
        found = faults(self.reset(crm, campaign, filter={"ended_from": "x", "members": ["1"], "a": 1}, dry_run="yes"))
        assert set(found) == {"filter.ended_from", "filter.members[0]", "filter.a", "dry_run"}


class TestIdempotency:
    def test_the_same_request_twice_adds_once_and_is_answered_the_same(self, crm: Caller, campaign: Campaign) -> None:
        body = row("100")
        first = add(crm, campaign, body, Idempotency_Key="k1")
        again = add(crm, campaign, body, Idempotency_Key="k1")
        assert (first.status_code, first.json()) == (again.status_code, again.json())
        assert again.headers["Idempotent-Replayed"] == "true"
        assert "Idempotent-Replayed" not in first.headers
        assert Member.objects.count() == 1

    def test_the_key_with_another_body_or_address_is_refused(self, crm: Caller, campaign: Campaign) -> None:
        add(crm, campaign, row("100"), Idempotency_Key="k1")
        for answer in (
            add(crm, campaign, row("101"), Idempotency_Key="k1"),
            add(crm, campaign, row("100"), "?autoRun=true", Idempotency_Key="k1"),
        ):
            assert problem(answer, 409)["code"] == "KEY_REUSED"

    def test_a_refused_request_leaves_the_key_free(self, crm: Caller, campaign: Campaign) -> None:
        faults(add(crm, campaign, row("abc"), Idempotency_Key="k1"))
        assert add(crm, campaign, row("100"), Idempotency_Key="k1").status_code == 201

    def test_keys_of_others_are_others(self, crm: Caller, supervisor: Caller, campaign: Campaign) -> None:
        assert add(crm, campaign, row("100"), Idempotency_Key="k1").status_code == 201
        assert add(supervisor, campaign, row("101"), Idempotency_Key="k1").status_code == 201

    def test_after_a_day_the_key_is_new(self, crm: Caller, campaign: Campaign) -> None:
        add(crm, campaign, row("100"), Idempotency_Key="k1")
        with time_machine.travel(clock.now() + timedelta(hours=23)):
            him = caller_for(crm.user)  # type: ignore[arg-type]
        with time_machine.travel(clock.now() + timedelta(hours=25)):
            assert add(him, campaign, row("101"), Idempotency_Key="k1").status_code == 201

    @pytest.mark.parametrize("key", ["", "x" * 256, "\x07"])
    def test_a_key_is_short_and_printable(self, crm: Caller, campaign: Campaign, key: str) -> None:
        assert set(faults(add(crm, campaign, row(), Idempotency_Key=key))) == {"Idempotency-Key"}


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_with_one_key_side_by_side_one_acts(crm: Caller, campaign: Campaign) -> None:
    from concurrent.futures import ThreadPoolExecutor

    body = row("100")

    def send(_: int) -> Any:
        try:
            answer = Caller(crm.headers).post(f"dialer/{campaign.pk}/members", body, Idempotency_Key="k1")
            return answer.status_code, json.loads(answer.content)["id"]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        answers = set(threads.map(send, range(4)))
    assert answers == {(201, Member.objects.get().pk)}


@pytest.mark.django_db(transaction=True)
def test_of_two_uploads_side_by_side_that_share_numbers_each_number_is_added_once(
    crm: Caller, campaign: Campaign
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    numbers = [f"7{n:04}" for n in range(100)]

    def send(order: int) -> int:
        try:
            body = [row(number) for number in (numbers if order else reversed(numbers))]
            answer = Caller(crm.headers).post(f"dialer/{campaign.pk}/members?on_duplicate=skip", body)
            assert answer.status_code in (200, 201), answer.content
            return int(answer.json()["added"])
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(send, range(2))) == 100
    assert Member.objects.count() == 100


class TestNumbersAndZones:
    def test_the_zones_that_count_are_shown_and_whose_they_are(self, crm: Caller, campaign: Campaign) -> None:
        Campaign.objects.filter(pk=campaign.pk).update(zone_from_number="intersection")
        bodies = [row("+34612345678"), row("+34612345679", timezone="Asia/Tokyo"), row("1")]
        shown = [add(crm, campaign, body).json() for body in bodies]
        assert [(one["zones"], one["zone_from"]) for one in shown] == [
            (["Atlantic/Canary", "Europe/Madrid"], "number"),
            (["Asia/Tokyo"], "subscriber"),
            ([campaign.calendar.time_zone], "calendar"),
        ]

    def test_a_number_is_found_however_it_is_written(self, crm: Caller, campaign: Campaign) -> None:
        Campaign.objects.filter(pk=campaign.pk).update(default_region="UA")
        added = add(crm, campaign, row("050 123 45 67")).json()
        for typed in ("0501234567", "%2B380501234567", "380-50-123-45-67"):
            page = crm.get(f"dialer/{campaign.pk}/members?number={typed}").json()
            assert [one["id"] for one in page["results"]] == [added["id"]], typed

    def test_what_is_no_possible_number_is_refused_by_its_field(self, crm: Caller, campaign: Campaign) -> None:
        Campaign.objects.filter(pk=campaign.pk).update(default_region="UA")
        answer = add(crm, campaign, row("123 45 67"))
        assert answer.status_code == 400
        assert "area code" in str(faults(answer)["communications[0].number"])
