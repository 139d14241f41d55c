"""The result of a call over REST, as the document prints it, and attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from agents.models import Operator
from campaigns.models import Campaign
from dialer import clock
from dialer.models import Attempt, ResultReport
from members.models import Communication
from tests import factories
from tests.api.conftest import Caller, caller_for, faults, problem, user_in
from tests.engine.story import Story

pytestmark = pytest.mark.django_db


@pytest.fixture
def story(db: None) -> Story:
    """A call that has ended and whose result is awaited."""
    story = Story(wait_for_result=True, wrap_up_time=45, retry_wait=60)
    story.talk(20)
    return story


def report(him: Caller, story: Story, body: Any) -> Any:
    return him.put(f"dialer/{story.campaign.pk}/members/{story.member.pk}/status", body)


def test_the_fields_as_the_document_prints_them_are_taken(crm: Caller, story: Story) -> None:
    body = {
        "success": False,
        "reset_retr": True,
        "next_after_sec": 600,
        "next_communication": "050 765-43-21",
        "stop_communications": "all",
        "comment": "call at work",
    }
    assert report(crm, story, body).json() == {"attempt": story.attempt.pk, "result": "applied"}
    attempt, _operator, member = story.now()
    assert (attempt.comment, member.counted, member.state) == ("call at work", 0, "waiting")
    assert member.due_at == story.at(25 + 600), "from the end of the call, which is later than the receipt"
    numbers = dict(Communication.objects.values_list("digits", "stopped"))
    assert numbers.pop("0507654321") == ""
    assert set(numbers.values()) == {"result"}
    assert member.next_communication
    assert member.next_communication.digits == "0507654321"


@pytest.mark.parametrize("stopped", ["all", ["{number}"], "{number}"])
def test_numbers_to_stop_are_all_an_array_or_one(crm: Caller, story: Story, stopped: Any) -> None:
    number = story.attempt.digits
    stopped = [number] if isinstance(stopped, list) else stopped.format(number=number)
    assert report(crm, story, {"success": False, "stop_communications": stopped}).status_code == 200
    assert story.now()[2].end_cause == "NO_COMMUNICATIONS"


def test_a_success_ends_him(crm: Caller, story: Story) -> None:
    assert report(crm, story, {"success": True}).json()["result"] == "applied"
    member = story.now()[2]
    assert (member.state, member.success, member.end_cause) == ("ended", True, "NORMAL_CLEARING")


def test_during_the_call_it_is_stored(crm: Caller) -> None:
    story = Story(wait_for_result=True)
    story.bridged()
    assert report(crm, story, {"success": True}).json()["result"] == "stored"


def test_the_same_again_is_answered_again_and_another_is_refused(crm: Caller, story: Story) -> None:
    report(crm, story, {"success": False})
    assert report(crm, story, {"success": False}).json()["result"] == "repeated"
    assert problem(report(crm, story, {"success": True}), 409)["code"] == "ALREADY_GIVEN"
    assert story.now()[2].counted == 1
    assert ResultReport.objects.filter(verdict="refused").count() == 1


def test_every_fault_is_named_at_once(crm: Caller, story: Story) -> None:
    body = {
        "reset_retries": "yes", "next_after_sec": -1, "next_communication": "abc", "stop_communications": [5],
        "comment": 5, "attempt": "x", "colour": "red",
    }  # fmt: skip
    assert set(faults(report(crm, story, body))) == {"success", *body}
    assert set(faults(report(crm, story, [1]))) == {"success"}
    assert not ResultReport.objects.exists()


def test_the_next_number_cannot_be_one_that_stops(crm: Caller, story: Story) -> None:
    number = story.attempt.digits
    body = {"success": False, "next_communication": number, "stop_communications": [number]}
    assert set(faults(report(crm, story, body))) == {"stop_communications"}


def test_a_number_of_another_subscriber_is_a_conflict(crm: Caller, story: Story) -> None:
    other = factories.make_member(story.campaign, ["0509999999"])
    body = {"success": False, "next_communication": other.communications.get().number}
    assert problem(report(crm, story, body), 409)["code"] == "NUMBER_TAKEN"


def test_reasons_why_no_result_is_awaited(crm: Caller) -> None:
    story = Story()
    assert problem(report(crm, story, {"success": True}), 409)["code"] == "NOT_CONNECTED"
    story.talk(20)
    assert problem(report(crm, story, {"success": True}), 409)["code"] == "MODE_OFF"


@pytest.mark.parametrize("path", ["dialer/{c}/members/999999/status", "dialer/999999/members/{m}/status",
                                  "dialer/{c}/members/431a2e3e6eb6453afa61583e/status"])  # fmt: skip
def test_an_unknown_campaign_or_subscriber_is_not_found(crm: Caller, story: Story, path: str) -> None:
    problem(crm.put(path.format(c=story.campaign.pk, m=story.member.pk), {"success": True}), 404)


def test_what_nobody_reads_of_a_success_cannot_break_it(crm: Caller, story: Story) -> None:
    assert report(crm, story, {"success": True, "next_communication": {"a": [1]}}).status_code == 200
    assert report(crm, story, '{"success": true, "next_communication": "\\u0000"}').status_code == 400


class TestOperators:
    @pytest.fixture
    def him(self, story: Story) -> Caller:
        """The operator of the call."""
        user = user_in("Operator", "ivan")
        Operator.objects.filter(pk=story.operator.pk).update(user=user)
        return caller_for(user)

    @pytest.fixture
    def other(self, story: Story) -> Caller:
        user = user_in("Operator", "petro")
        factories.make_operator(story.campaign, user=user)
        return caller_for(user)

    def test_he_reports_on_his_own_call(self, him: Caller, story: Story) -> None:
        assert report(him, story, {"success": True}).json()["attempt"] == story.attempt.pk

    def test_the_same_again_is_the_same_for_him_too(self, him: Caller, story: Story) -> None:
        report(him, story, {"success": True})
        assert report(him, story, {"success": True}).json()["result"] == "repeated"

    @pytest.mark.parametrize("named", [True, False])
    def test_another_does_not(self, other: Caller, story: Story, named: bool) -> None:
        body = {"success": True, **({"attempt": story.attempt.pk} if named else {})}
        problem(report(other, story, body), 403)
        assert story.now()[2].state == "held"

    def test_one_who_had_an_earlier_call_reports_on_that_alone(self, other: Caller, story: Story) -> None:
        earlier = factories.make_attempt(
            story.member, Operator.objects.get(user=other.user), ended_at=clock.now(), bridged_at=clock.now()
        )
        assert problem(report(other, story, {"success": True}), 409)["code"] in ("MODE_OFF", "NOT_AWAITED")
        assert ResultReport.objects.get().attempt_id == earlier.pk
        assert story.now()[2].state == "held"

    def test_he_sees_his_own_attempts_alone(self, him: Caller, other: Caller, story: Story) -> None:
        assert [item["id"] for item in him.get("attempts").json()["results"]] == [story.attempt.pk]
        assert other.get("attempts").json()["results"] == []
        assert him.get(f"attempts/{story.attempt.pk}").status_code == 200
        problem(other.get(f"attempts/{story.attempt.pk}"), 404)

    def test_he_ends_his_own_calls_alone(self, him: Caller, other: Caller, story: Story) -> None:
        problem(other.post(f"attempts/{story.attempt.pk}/hangup"), 404)
        assert problem(him.post(f"attempts/{story.attempt.pk}/hangup"), 409)["code"] == "ENDED"


class TestAttempts:
    def test_one_is_shown_with_what_came_of_it(self, crm: Caller, story: Story) -> None:
        report(crm, story, {"success": True, "comment": "sold"})
        shown = crm.get(f"attempts/{story.attempt.pk}").json()
        assert (shown["stage"], shown["live"], shown["outcome"]) == ("ended", False, "success")
        assert (shown["result_state"], shown["comment"], shown["talk_seconds"]) == ("applied", "sold", 20.0)
        assert (shown["member"], shown["operator"]) == (story.member.pk, story.operator.pk)

    def test_a_live_one_has_no_outcome_yet_and_can_be_ended(self, supervisor: Caller) -> None:
        story = Story()
        shown = supervisor.get("attempts?live=true").json()["results"]
        assert [(item["id"], item["outcome"]) for item in shown] == [(story.attempt.pk, None)]
        assert supervisor.post(f"attempts/{story.attempt.pk}/hangup").status_code == 204
        assert Attempt.objects.get().kill_reason == "person"

    def test_the_list_is_filtered_and_followed(self, crm: Caller, story: Story) -> None:
        first = story.attempt
        member = factories.make_member(story.campaign)
        second = factories.make_attempt(member, ended_at=clock.now(), cause="USER_BUSY", disposition="Call back")
        for query, found in {
            "": [second, first],
            "sort=id": [first, second],
            f"after={first.pk}": [second],
            "cause=USER_BUSY": [second],
            "disposition=Call%20back": [second],
            "outcome=awaiting_result": [first],
            f"member={member.pk}": [second],
            f"operator={first.operator_id}": [first],
            "live=true": [],
        }.items():
            ids = [attempt.pk for attempt in found]
            assert [item["id"] for item in crm.get(f"attempts?{query}").json()["results"]] == ids
            path = f"dialer/{story.campaign.pk}/attempts?{query}"
            assert [item["id"] for item in crm.get(path).json()["results"]] == ids
        other = factories.make_campaign()
        assert crm.get(f"dialer/{other.pk}/attempts").json()["results"] == []
        assert crm.get(f"attempts?campaign={other.pk}").json()["results"] == []

    def test_the_list_of_a_while_is_sorted_by_what_is_asked_for(self, crm: Caller, campaign: Campaign) -> None:
        def make(reserved: int, ended: int | None, **values: Any) -> int:
            instants = {"reserved_at": began + timedelta(minutes=reserved)}
            if ended is not None:
                instants["ended_at"] = began + timedelta(minutes=ended)
            return factories.make_attempt(factories.make_member(campaign), **instants | values).pk

        began = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
        long = make(0, 9)
        connected = dict.fromkeys(("subscriber_answered_at", "bridged_at"), began)
        connected["talk_ended_at"] = began + timedelta(seconds=9)
        short, live, abandoned = make(1, 2, **connected), make(2, None), make(3, 4, outcome="abandoned")

        def found(query: str) -> list[int]:
            return [item["id"] for item in crm.get(f"dialer/{campaign.pk}/attempts?{query}").json()["results"]]

        assert found("reserved_from=2026-03-02T10:01:00Z") == [abandoned, live, short]
        assert found("reserved_from=2026-03-02T12:01:00%2B02:00&reserved_before=2026-03-02T10:03:00Z") == [live, short]
        assert found("ended_from=2026-03-02T10:04:00Z") == [long, abandoned]
        assert found("ended_before=2026-03-02T10:09:00Z&sort=ended") == [short, abandoned]
        assert found("ended_from=2026-03-02T10:04:00Z&reserved_before=2026-03-02T10:03:00Z") == [long]
        assert found("sort=ended") == [short, abandoned, long]
        assert found("sort=reserved&outcome=abandoned") == [abandoned]
        assert found("connected=true") == [short]
        assert (found("talk_from=9"), found("talk_from=10")) == ([short], [])
        assert found("talk_from=9&reserved_from=2026-03-02T10:00:00Z") == [short]
        assert found("connected=false&sort=id") == [long, live, abandoned]
        page = crm.get(f"dialer/{campaign.pk}/attempts?ended_from=2026-03-02T10:00:00Z&limit=2").json()
        assert [item["id"] for item in page["results"] + crm.get(page["next"]).json()["results"]] == [
            long, abandoned, short,
        ]  # fmt: skip
        assert set(faults(crm.get("attempts?reserved_from=yesterday"))) == {"reserved_from"}

    def test_a_number_is_found_however_it_is_written(self, crm: Caller, campaign: Campaign) -> None:
        member = factories.make_member(campaign, ["+380501112233", "+380501112244"])
        attempt = factories.make_attempt(member, ended_at=clock.now())
        factories.make_attempt(factories.make_member(campaign), ended_at=clock.now())
        typed = f"+{attempt.digits[:5]} {attempt.digits[5:]}"
        assert [item["id"] for item in crm.get(f"attempts?number={quote(typed)}").json()["results"]] == [attempt.pk]
        (other,) = {"380501112233", "380501112244"} - {attempt.digits}
        assert crm.get(f"attempts?number={other}").json()["results"] == [], "his other number was not dialled"
        assert set(faults(crm.get("attempts?number=Anna"))) == {"number"}

    def test_pages_follow_each_other(self, crm: Caller, story: Story) -> None:
        factories.make_attempt(factories.make_member(story.campaign), ended_at=clock.now())
        page = crm.get("attempts?limit=1").json()
        last = crm.get(page["next"]).json()
        assert [item["id"] for item in last["results"]] == [story.attempt.pk]
        assert last["next"] is None


def test_what_goes_on_is_told(supervisor: Caller, story: Story) -> None:
    shown = supervisor.get("live").json()
    assert [item["id"] for item in shown["campaigns"]] == [story.campaign.pk]
    assert shown["attempts"][0]["id"] == story.attempt.pk
