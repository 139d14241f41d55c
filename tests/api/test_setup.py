"""Calendars, campaigns, causes, operators of a campaign, gateways and routes over REST."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Operator, Tier
from campaigns.api import CampaignBody, GatewayBody, RouteBody
from campaigns.models import DEFAULT_CAUSES, Calendar, Campaign, CampaignState, CauseRule, Gateway, Route
from dialer import clock
from tests import factories
from tests.api.conftest import Caller, faults, problem

pytestmark = pytest.mark.django_db

OFFICE = {
    "name": "Office",
    "timezone": "Europe/Kyiv",
    "last_date": "2031-12-31",
    "working_hours": [{"weekday": 1, "from": "09:00", "to": "13:00"}, {"weekday": 1, "from": "14:00", "to": "24:00"}],
    "holidays": [
        {"date": "2031-01-01", "name": "New Year", "yearly": True},
        {"date": "2031-12-24", "name": "Eve", "hours": [{"from": "09:00", "to": "12:00"}]},
    ],
}


class TestCalendars:
    def test_one_is_added_and_shown_as_it_was_given(self, supervisor: Caller) -> None:
        answer = supervisor.post("calendars", OFFICE)
        assert answer.status_code == 201
        shown = answer.json()
        assert shown["working_hours"] == OFFICE["working_hours"]
        assert shown["holidays"][1]["hours"] == [{"from": "09:00", "to": "12:00"}]
        assert (shown["timezone"], shown["first_date"], shown["last_date"]) == ("Europe/Kyiv", None, "2031-12-31")
        calendar = Calendar.objects.get(pk=shown["id"])
        assert calendar.as_hours().on(date(2031, 12, 24)) == ((540, 720),)
        assert supervisor.get(f"calendars/{calendar.pk}").json() == shown
        assert supervisor.get("calendars").json() == [shown]

    def test_what_is_given_changes_and_the_rest_stays(self, supervisor: Caller) -> None:
        pk = supervisor.post("calendars", OFFICE).json()["id"]
        shown = supervisor.patch(f"calendars/{pk}", {"holidays": [], "timezone": "Asia/Tokyo"}).json()
        assert (shown["holidays"], shown["timezone"], len(shown["working_hours"])) == ([], "Asia/Tokyo", 2)

    def test_every_fault_is_named(self, supervisor: Caller) -> None:
        body = {
            "timezone": 5,
            "first_date": "1.1.2031",
            "working_hours": [{"weekday": 8, "from": "9:00", "to": "25:00"}],
            "holidays": [{"date": "2031-01-01", "name": "", "hours": [{"from": "09:00"}]}],
        }
        assert set(faults(supervisor.post("calendars", body))) == {
            "name", "timezone", "first_date", "working_hours[0].weekday", "working_hours[0].from",
            "working_hours[0].to", "holidays[0].name", "holidays[0].hours[0].to",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"timezone": "Kyiv"}, "timezone"),
            ({"working_hours": [], "holidays": []}, "working_hours"),
            ({"working_hours": [{"weekday": 1, "from": "13:00", "to": "09:00"}]}, "working_hours"),
            (
                {
                    "working_hours": [
                        {"weekday": 1, "from": "09:00", "to": "13:00"},
                        {"weekday": 1, "from": "12:00", "to": "14:00"},
                    ]
                },
                "working_hours",
            ),
            ({"holidays": [{"date": "2031-01-01", "name": "a"}, {"date": "2031-01-01", "name": "b"}]}, "holidays"),
            ({"first_date": "2032-01-01"}, "last_date"),
        ],
    )
    def test_a_calendar_that_breaks_a_rule_is_refused_and_stays_as_it_was(
        self, supervisor: Caller, change: dict[str, Any], field: str
    ) -> None:
        before = supervisor.post("calendars", OFFICE).json()
        assert field in faults(supervisor.patch(f"calendars/{before['id']}", change))
        assert field in faults(supervisor.post("calendars", {**OFFICE, "name": "Other", **change}))
        assert supervisor.get("calendars").json() == [before]

    def test_one_that_a_campaign_has_is_not_deleted(self, supervisor: Caller) -> None:
        pk = supervisor.post("calendars", OFFICE).json()["id"]
        campaign = factories.make_campaign(Calendar.objects.get(pk=pk))
        assert problem(supervisor.delete(f"calendars/{pk}"), 409)["code"] == "IN_USE"
        campaign.delete()
        assert supervisor.delete(f"calendars/{pk}").status_code == 204

    def test_a_list_costs_the_same_however_long(self, supervisor: Caller) -> None:
        factories.make_calendar()
        supervisor.get("calendars")
        with CaptureQueriesContext(connection) as first:
            supervisor.get("calendars")
        for _ in range(4):
            factories.make_calendar()
        with CaptureQueriesContext(connection) as second:
            supervisor.get("calendars")
        assert len(first) == len(second)

    def test_a_change_gives_each_of_its_rows_as_a_whole(self, supervisor: Caller) -> None:
        calendar = factories.make_calendar()
        short = {"date": "2026-01-01", "name": "New Year", "hours": [{"from": "09:00"}]}
        body = {"working_hours": [{"weekday": 1}], "holidays": [short, {"name": "No date"}]}
        assert set(faults(supervisor.patch(f"calendars/{calendar.pk}", body))) == {
            "working_hours[0].from", "working_hours[0].to", "holidays[0].hours[0].to", "holidays[1].date",
        }  # fmt: skip


class TestCampaigns:
    def test_the_interface_knows_every_setting(self) -> None:
        for body, model in ((CampaignBody, Campaign), (GatewayBody, Gateway), (RouteBody, Route)):
            editable = {field.name for field in model._meta.fields if field.editable and not field.primary_key}
            assert set(body.Meta.fields) == editable

    def test_one_is_added_idle_with_the_default_causes(self, supervisor: Caller) -> None:
        calendar = factories.make_calendar()
        answer = supervisor.post(
            "dialer", {"name": "Spring", "calendar": calendar.pk, "limit": 5, "variables": {"language": "uk"}}
        )
        assert answer.status_code == 201
        shown = answer.json()
        assert (shown["state"], shown["type"], shown["limit"], shown["retry_wait"]) == ("idle", "progressive", 5, 60)
        assert (shown["abandonment_cap"], shown["completion"]) == (3.0, None)
        assert CauseRule.objects.filter(campaign=shown["id"]).count() == len(DEFAULT_CAUSES)
        assert supervisor.get(f"dialer/{shown['id']}").json() == shown
        assert supervisor.get("dialer").json() == [shown]

    def test_settings_change_in_any_state(self, supervisor: Caller, campaign: Campaign) -> None:
        Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
        shown = supervisor.patch(f"dialer/{campaign.pk}", {"limit": 2, "abandonment_cap": 2.5}).json()
        assert (shown["limit"], shown["abandonment_cap"], shown["name"]) == (2, 2.5, campaign.name)

    def test_every_fault_is_named(self, supervisor: Caller, campaign: Campaign) -> None:
        body = {
            "name": "", "calendar": "1", "limit": -1, "max_retries": 0, "wait_for_result": "yes", "strategy": "best",
            "variables": {"api_on_answer": "x"}, "abandonment_cap": 101, "state": "running", "colour": 1,
        }  # fmt: skip
        assert set(faults(supervisor.patch(f"dialer/{campaign.pk}", body))) == set(body)
        assert set(faults(supervisor.post("dialer", {}))) == {"name", "calendar"}
        assert set(faults(supervisor.post("dialer", {"name": campaign.name, "calendar": 10**30}))) == {
            "name", "calendar",
        }  # fmt: skip

    def test_run_and_stop(self, supervisor: Caller, campaign: Campaign) -> None:
        path = f"dialer/{campaign.pk}/state"
        assert supervisor.put(path, {"state": "run"}).json() == {"state": "idle", "answer": "NOTHING_TO_DIAL"}
        factories.make_member(campaign)
        assert supervisor.put(path, {"state": "run"}).json() == {"state": "running", "answer": "STARTED"}
        assert supervisor.put(path, {"state": "run"}).json() == {"state": "running", "answer": "UNCHANGED"}
        assert supervisor.put(path, {"state": "stop"}).json() == {"state": "stopped", "answer": None}
        assert set(faults(supervisor.put(path, {"state": "pause"}))) == {"state"}

    def test_a_wish_that_cannot_be_met_is_a_conflict_with_its_code(
        self, supervisor: Caller, campaign: Campaign
    ) -> None:
        assert problem(supervisor.put(f"dialer/{campaign.pk}/state", {"state": "stop"}), 409)["code"] == "WRONG_STATE"
        Route.objects.all().delete()
        assert problem(supervisor.put(f"dialer/{campaign.pk}/state", {"state": "run"}), 409)["code"] == "NO_ROUTE"

    def test_one_without_subscribers_is_deleted(self, supervisor: Caller, campaign: Campaign) -> None:
        member = factories.make_member(campaign)
        assert problem(supervisor.delete(f"dialer/{campaign.pk}"), 409)["code"] == "IN_USE"
        supervisor.delete(f"dialer/{campaign.pk}/members/{member.pk}")
        assert supervisor.delete(f"dialer/{campaign.pk}").status_code == 204
        problem(supervisor.get(f"dialer/{campaign.pk}"), 404)

    def test_causes_are_read_and_set_as_a_whole(self, supervisor: Caller, campaign: Campaign) -> None:
        path = f"dialer/{campaign.pk}/causes"
        assert "USER_BUSY" in supervisor.get(path).json()["retry"]
        causes = {"error": ["USER_BUSY"], "retry": [], "ok": ["NORMAL_CLEARING"], "minus": []}
        assert supervisor.put(path, causes).json() == causes
        assert dict(CauseRule.objects.filter(campaign=campaign).values_list("cause", "treatment")) == {
            "USER_BUSY": "error", "NORMAL_CLEARING": "ok",
        }  # fmt: skip
        assert set(faults(supervisor.put(path, {**causes, "minus": ["USER_BUSY"]}))) == {"minus"}
        assert set(faults(supervisor.put(path, {**causes, "minus": ["busy!"]}))) == {"busy!"}
        assert set(faults(supervisor.put(path, {"error": []}))) == {"retry", "ok", "minus"}

    def test_dispositions_are_read_and_set_as_a_whole(self, supervisor: Caller, campaign: Campaign) -> None:
        path = f"dialer/{campaign.pk}/dispositions"
        assert supervisor.get(path).json() == {"dispositions": []}
        rows: list[dict[str, Any]] = [
            {"name": "Sold", "meaning": "success", "hotkey": "1"},
            {"name": "Later", "meaning": "call_back", "hotkey": "2", "requires": ["call_back_at"], "colour": "wrap"},
            {"name": "Gone", "meaning": "failure", "stop": "number", "wait": 60, "reset_retries": True},
        ]
        usual: dict[str, Any] = {
            "colour": "", "hotkey": "", "requires": [], "wait": None, "stop": "", "reset_retries": False,
            "archived": False,
        }  # fmt: skip
        whole = {"dispositions": [{**usual, **row} for row in rows]}
        assert supervisor.put(path, {"dispositions": rows}).json() == whole
        assert supervisor.put(path, supervisor.get(path).json()).json() == whole
        bad = [
            rows[0], {"name": "Sold", "meaning": "maybe", "colour": "pink", "hotkey": 1, "requires": "comment"},
            {"meaning": "failure", "wait": "60", "what": 1},
        ]  # fmt: skip
        assert set(faults(supervisor.put(path, {"dispositions": bad}))) == {
            "dispositions[1].meaning", "dispositions[1].colour", "dispositions[1].hotkey", "dispositions[1].requires",
            "dispositions[2].name", "dispositions[2].wait", "dispositions[2].what",
        }  # fmt: skip
        assert set(faults(supervisor.put(path, {"dispositions": [*rows, {**rows[2], "hotkey": "1"}]}))) == {
            "dispositions[3].name", "dispositions[3].hotkey",
        }  # fmt: skip
        assert supervisor.get(path).json() == whole
        assert supervisor.put(path, {"dispositions": []}).json() == {"dispositions": []}

    def test_script_and_links_are_settings(self, supervisor: Caller, campaign: Campaign) -> None:
        path = f"dialer/{campaign.pk}"
        given = {
            "script": "Hello {name}\n ", "desk_links": [{"name": "CRM", "url": "https://crm.example/{contact_id}"}],
            "call_back_grace": 60, "wrap_up_extension": 0, "coaching_shown": False,
        }  # fmt: skip
        shown = supervisor.patch(path, given).json()
        assert {name: shown[name] for name in given} == given
        links = [{"name": "CRM", "url": "https://crm.example/"}, {"name": "CRM", "url": "ftp://x"}, {"name": "Old"}]
        assert set(faults(supervisor.patch(path, {"desk_links": links}))) == {"desk_links[2].url"}
        assert set(faults(supervisor.patch(path, {"desk_links": links[:2]}))) == {
            "desk_links[1].name", "desk_links[1].url",
        }  # fmt: skip
        assert set(faults(supervisor.patch(path, {"script": "{", "wrap_up_extension": 3601}))) == {
            "script", "wrap_up_extension",
        }  # fmt: skip

    def test_operators_are_read_and_set_as_a_whole(self, supervisor: Caller, campaign: Campaign) -> None:
        first, second = factories.make_operator(campaign), factories.make_operator()
        path = f"dialer/{campaign.pk}/tiers"
        assert supervisor.get(path).json() == {"tiers": [{"operator": first.pk, "level": 1, "position": 1}]}
        tiers = [{"operator": second.pk, "level": 2, "position": 3}]
        assert supervisor.put(path, {"tiers": tiers}).json() == {"tiers": tiers}
        assert set(Tier.objects.values_list("operator_id", flat=True)) == {second.pk}
        assert set(faults(supervisor.put(path, {"tiers": tiers * 2}))) == {"tiers[1].operator"}
        unknown = supervisor.put(path, {"tiers": [*tiers, {"operator": 999_999}]})
        assert faults(unknown) == {"tiers[1].operator": ["There is none with the id 999999."]}
        assert supervisor.put(path, {"tiers": []}).json() == {"tiers": []}

    def test_statistics_agree_with_the_ledger(self, supervisor: Caller, campaign: Campaign) -> None:
        now = clock.now()
        talked, busy, waiting = (factories.make_member(campaign) for _ in range(3))
        factories.make_attempt(
            talked, ended_at=now, subscriber_created_at=now, subscriber_answered_at=now, bridged_at=now,
            talk_ended_at=now + timedelta(seconds=40), outcome="success", cause="NORMAL_CLEARING",
        )  # fmt: skip
        factories.make_attempt(busy, ended_at=now, subscriber_created_at=now, cause="USER_BUSY")
        factories.make_attempt(waiting, subscriber_created_at=now)
        factories.make_attempt(factories.make_member(factories.make_campaign()), ended_at=now)
        supervisor.post(f"dialer/{campaign.pk}/members/{busy.pk}/end")
        shown = supervisor.get(f"dialer/{campaign.pk}/statistics").json()
        assert shown["members"] == {
            "total": 3, "waiting": 0, "ready": 1, "live": 1, "held": 0, "ended": 1, "success": 0,
        }  # fmt: skip
        assert shown["end_causes"] == {"MANAGER_REQUEST": 1}
        assert shown["attempts"] == {
            "total": 3, "live": 1, "counted": 2, "dialled": 3, "answered": 1, "connected": 1, "success": 1,
            "abandoned": 0,
        }  # fmt: skip
        assert shown["talk_seconds"] == 40


class TestLines:
    def test_a_gateway_is_added_changed_and_deleted_until_it_is_used(self, admin: Caller) -> None:
        made = admin.post("gateways", {"name": "trunk", "capacity": 10})
        assert made.status_code == 201
        gateway = made.json()
        assert gateway["dial_string"] == "sofia/gateway/{gateway}/{number}"
        path = f"gateways/{gateway['id']}"
        assert admin.patch(path, {"capacity": 3, "enabled": False}).json() == {
            **gateway, "capacity": 3, "enabled": False,
        }  # fmt: skip
        assert admin.get("gateways").json() == [admin.get(path).json()]
        route = factories.make_route(Gateway.objects.get())
        assert problem(admin.delete(path), 409)["code"] == "IN_USE"
        route.delete()
        assert admin.delete(path).status_code == 204

    def test_faults_of_a_gateway_are_named(self, admin: Caller) -> None:
        body = {"name": "a b", "dial_string": "x", "capacity": 1.5}
        assert set(faults(admin.post("gateways", body))) == set(body)

    def test_a_route_is_added_changed_and_deleted_and_numbers_find_it(
        self, admin: Caller, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replanned: list[int | None] = []
        monkeypatch.setattr("campaigns.actions.route_changed", replanned.append)
        gateway = factories.make_gateway()
        made = admin.post("routes", {"gateway": gateway.pk, "pattern": "^380", "variables": {"call_timeout": 20}})
        assert made.status_code == 201
        path = f"routes/{made.json()['id']}"
        assert admin.patch(path, {"campaign": campaign.pk, "strip": 2}).json()["strip"] == 2
        assert admin.get(path).json() in admin.get("routes").json()
        assert admin.delete(path).status_code == 204
        assert replanned[0] is None
        assert set(replanned[1:3]) == {None, campaign.pk}
        assert replanned[3:] == [campaign.pk]

    def test_faults_of_a_route_are_named(self, admin: Caller) -> None:
        body = {"gateway": 999_999, "pattern": "(", "prepend": "x", "variables": {"call_timeout": "soon"}}
        found = faults(admin.post("routes", body))
        assert set(found) == set(body)
        assert found["gateway"] == ["There is none with the id 999999."]


class TestOperators:
    def test_one_is_added_logged_out(self, supervisor: Caller) -> None:
        made = supervisor.post("operators", {"name": "Ivan", "extension": "1001", "user": "olena"})
        assert made.status_code == 201
        shown = made.json()
        assert (shown["status"], shown["state"], shown["user"]) == ("Logged Out", "Idle", "olena")
        assert shown["call_timeout"] == 15

    def test_the_six_parameters_change(self, supervisor: Caller) -> None:
        operator = factories.make_operator()
        six = {
            "call_timeout": 1, "wrap_up_time": 2, "max_no_answer": 3, "busy_delay": 4, "reject_delay": 5,
            "no_answer_delay": 6,
        }  # fmt: skip
        shown = supervisor.patch(f"operators/{operator.pk}", six).json()
        assert {name: shown[name] for name in six} == six

    def test_faults_are_named(self, supervisor: Caller) -> None:
        factories.make_operator(extension="1001")
        body = {
            "name": "", "extension": "1001", "user": "nobody", "contact": "x", "call_timeout": 0, "status": "Available",
        }  # fmt: skip
        assert set(faults(supervisor.post("operators", body))) == set(body)
        operator = factories.make_operator()
        assert set(faults(supervisor.patch(f"operators/{operator.pk}", {"contact": "0501112233"}))) == {"gateway"}

    def test_the_words_of_the_document_are_used(self, crm: Caller) -> None:
        operator = factories.make_operator(status="logged_out", state="idle")
        shown = crm.put(f"operators/{operator.pk}/status", {"status": "Available"}).json()
        assert (shown["status"], shown["state"]) == ("Available", "Waiting")

    @pytest.mark.parametrize("word", ["available", "Free", None, 5, ["Available"]])
    def test_another_word_is_a_fault_that_names_them(self, crm: Caller, word: Any) -> None:
        operator = factories.make_operator()
        told = faults(crm.put(f"operators/{operator.pk}/status", {"status": word}))["status"]
        assert word is None or "Available (On Demand)" in told[0]

    def test_a_status_chosen_during_a_call_is_shown_as_the_next(self, crm: Caller, campaign: Campaign) -> None:
        operator = factories.make_operator(campaign)
        attempt = factories.make_attempt(factories.make_member(campaign), operator)
        Operator.objects.filter(pk=operator.pk).update(state="in_call", current_attempt=attempt)
        shown = crm.put(f"operators/{operator.pk}/status", {"status": "On Break"}).json()
        assert (shown["status"], shown["next_status"], shown["state"]) == ("Available", "On Break", "In a queue call")
        assert shown["current_attempt"] == attempt.pk
        assert problem(crm.post(f"operators/{operator.pk}/ready"), 409)["code"] == "WRONG_STATE"

    def test_ready_ends_a_wrap_up(self, crm: Caller) -> None:
        until = clock.now() + timedelta(minutes=5)
        operator = factories.make_operator(state="wrap_up", wrap_up_until=until)
        assert crm.post(f"operators/{operator.pk}/ready").json()["state"] == "Waiting"

    def test_an_operator_sees_and_changes_himself_alone(self, operator: Operator) -> None:
        from tests.api.conftest import caller_for

        assert operator.user
        him, other = caller_for(operator.user), factories.make_operator()
        assert him.get("operators/me").json()["id"] == operator.pk
        assert him.put("operators/me/status", {"status": "On Break"}).json()["status"] == "On Break"
        assert him.get(f"operators/{operator.pk}").status_code == 200
        for answer in (
            him.get(f"operators/{other.pk}"),
            him.put(f"operators/{other.pk}/status", {"status": "On Break"}),
            him.post(f"operators/{other.pk}/ready"),
        ):
            problem(answer, 404)

    def test_who_is_no_operator_is_told_so(self, crm: Caller) -> None:
        problem(crm.get("operators/me"), 404)

    def test_the_list_is_filtered(self, crm: Caller, campaign: Campaign) -> None:
        one = factories.make_operator(campaign, name="A")
        factories.make_operator(name="B", status="on_break", state="idle")
        factories.make_operator(name="C", archived=True)
        for query, names in {
            "": ["A", "B"], "status=Available": ["A"], "state=Idle": ["B"], f"campaign={campaign.pk}": ["A"],
            f"extension={one.extension}": ["A"], "archived=true": ["C"],
        }.items():  # fmt: skip
            assert [item["name"] for item in crm.get(f"operators?{query}").json()] == names
        assert set(faults(crm.get("operators?status=Free&campaign=x"))) == {"status", "campaign"}
