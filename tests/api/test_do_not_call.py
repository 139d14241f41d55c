"""Do-not-call lists over REST: of every campaign and of one, up to ten thousand numbers at once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from campaigns.models import Campaign
from dialer import clock
from members.models import DoNotCall, Member, MemberState
from tests import factories
from tests.api.conftest import Caller, faults, problem

pytestmark = pytest.mark.django_db

FAR = "2040-01-01T00:00:00+02:00"


def listed() -> list[tuple[str, int | None]]:
    return list(DoNotCall.objects.order_by("pk").values_list("digits", "campaign"))


def numbers(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [entry["number"] for entry in answer.json()["results"]]


class TestAdding:
    def test_one_for_every_campaign(self, crm: Caller, campaign: Campaign) -> None:
        member = factories.make_member(campaign, ["+380501112233"])
        answer = crm.post("do-not-call", {"number": "+380 (50) 111-22-33", "reason": "Asked for it"})
        assert answer.status_code == 201
        entry = answer.json()
        assert (entry["number"], entry["campaign"], entry["expire"], entry["expired"], entry["reason"]) == (
            "380501112233", None, None, False, "Asked for it",
        )  # fmt: skip
        assert Member.objects.get(pk=member.pk).state != MemberState.READY, "it holds at once"

    def test_one_for_a_campaign_until_an_instant(self, crm: Caller, campaign: Campaign) -> None:
        other = factories.make_member(factories.make_campaign(), ["0501112233"])
        answer = crm.post(f"dialer/{campaign.pk}/do-not-call", {"number": "0501112233", "expire": FAR})
        assert answer.status_code == 201
        assert answer.json()["campaign"] == campaign.pk
        assert answer.json()["expire"] == "2039-12-31T22:00:00Z"
        assert Member.objects.get(pk=other.pk).state == MemberState.READY

    def test_a_number_without_its_code_is_made_international_by_the_region_of_the_campaign(
        self, crm: Caller, campaign: Campaign
    ) -> None:
        Campaign.objects.filter(pk=campaign.pk).update(default_region="UA")
        answer = crm.post(f"dialer/{campaign.pk}/do-not-call", {"number": "050 111-22-33"})
        assert answer.json()["number"] == "380501112233"
        assert numbers(crm.get(f"dialer/{campaign.pk}/do-not-call?number=0501112233")) == ["380501112233"]
        body = {"numbers": ["0501112233"]}
        assert crm.post(f"dialer/{campaign.pk}/do-not-call/remove", body).json() == {"removed": 1}

    def test_one_that_is_listed_gets_the_new_terms(self, crm: Caller) -> None:
        first = crm.post("do-not-call", {"number": "101", "expire": FAR}).json()
        again = crm.post("do-not-call", {"number": "101", "reason": "moved"})
        assert again.status_code == 200
        assert again.json() == {**first, "expire": None, "reason": "moved"}

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "number"), ({"number": "12a"}, "number"), ({"number": 5}, "number"), ({"number": ""}, "number"),
            ({"number": "5", "expire": "tomorrow"}, "expire"),
            ({"number": "5", "expire": "2020-01-01T00:00Z"}, "expire"),
            ({"number": "5", "reason": "x" * 201}, "reason"), ({"number": "5", "campaign": 1}, "campaign"),
            ("5", "body"), ([], "body"), ([{"number": "5"}] * 10_001, "body"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_told_by_its_field(self, crm: Caller, body: Any, field: str) -> None:
        assert list(faults(crm.post("do-not-call", json.dumps(body)))) == [field]
        assert not listed()

    def test_of_several_those_are_taken_that_can_be(self, crm: Caller, campaign: Campaign) -> None:
        crm.post(f"dialer/{campaign.pk}/do-not-call", {"number": "101"})
        body = [
            {"number": "101"}, {"number": "abc"}, {"number": "102"}, "103", {"number": "1-02", "reason": "twice"},
        ]  # fmt: skip
        answer = crm.post(f"dialer/{campaign.pk}/do-not-call", body)
        assert answer.status_code == 207
        told = answer.json()
        assert [told[name] for name in ("added", "updated", "unchanged", "refused")] == [1, 0, 1, 2]
        assert [list(row["errors"]) for row in told["rows"]] == [[], ["number"], [], ["body"], []]
        ids = {entry.digits: entry.pk for entry in DoNotCall.objects.all()}
        assert [row["id"] for row in told["rows"]] == [ids["101"], None, ids["102"], None, ids["102"]]
        assert DoNotCall.objects.get(digits="102").reason == "twice", "of a number twice the last entry holds"

    def test_all_good_is_created_all_known_is_fine_and_all_bad_is_invalid(self, crm: Caller) -> None:
        assert crm.post("do-not-call", [{"number": "1"}, {"number": "2"}]).status_code == 201
        assert crm.post("do-not-call", [{"number": "1"}, {"number": "2"}]).status_code == 200
        assert list(faults(crm.post("do-not-call", [{"number": "x"}, {}]))) == ["[0].number", "[1].number"]

    @pytest.mark.slow
    def test_ten_thousand_at_once(self, crm: Caller) -> None:
        answer = crm.post("do-not-call", [{"number": f"+3805{n:08}"} for n in range(10_000)])
        assert answer.status_code == 201
        assert answer.json()["added"] == DoNotCall.objects.count() == 10_000


class TestListing:
    def test_every_list_or_those_for_every_campaign_or_that_of_one(self, crm: Caller, campaign: Campaign) -> None:
        crm.post("do-not-call", {"number": "101"})
        crm.post(f"dialer/{campaign.pk}/do-not-call", {"number": "102"})
        assert numbers(crm.get("do-not-call")) == ["102", "101"]
        assert numbers(crm.get("do-not-call?everywhere=true")) == ["101"]
        assert numbers(crm.get("do-not-call?everywhere=false")) == ["102"]
        assert numbers(crm.get(f"do-not-call?campaign={campaign.pk}")) == ["102"]
        assert numbers(crm.get(f"dialer/{campaign.pk}/do-not-call")) == ["102"]
        assert numbers(crm.get(f"dialer/{factories.make_campaign().pk}/do-not-call")) == []

    def test_by_the_whole_number_or_by_its_first_or_last_digits(self, crm: Caller) -> None:
        crm.post("do-not-call", [{"number": "+380501112233"}, {"number": "+380671112244"}])
        assert numbers(crm.get("do-not-call?number=%2B380 50 111 22 33")) == ["380501112233"]
        assert numbers(crm.get("do-not-call?search=38067")) == ["380671112244"]
        assert numbers(crm.get("do-not-call?search=22-33")) == ["380501112233"]
        assert numbers(crm.get("do-not-call?search=1112")) == []
        assert list(faults(crm.get("do-not-call?search=anna"))) == ["search"]

    def test_those_whose_time_is_over_are_told(self, crm: Caller) -> None:
        soon = (clock.now() + timedelta(hours=1)).isoformat()
        crm.post("do-not-call", [{"number": "101", "expire": soon}, {"number": "102"}])
        assert numbers(crm.get("do-not-call?expired=true")) == []
        with time_machine.travel(clock.now() + timedelta(hours=2)):
            assert numbers(crm.get("do-not-call?expired=true")) == ["101"]
            assert numbers(crm.get("do-not-call?expired=false")) == ["102"]
            assert [entry["expired"] for entry in crm.get("do-not-call?sort=id").json()["results"]] == [True, False]

    def test_page_by_page_to_the_end(self, crm: Caller) -> None:
        crm.post("do-not-call", [{"number": str(100 + n)} for n in range(7)])
        found, address = [], "/api/v2/do-not-call?limit=3&sort=id"
        while address:
            page = crm.get(address).json()
            found += [entry["number"] for entry in page["results"]]
            address = page["next"]
        assert found == [str(100 + n) for n in range(7)]


class TestRemoving:
    def test_one_by_its_id_may_be_called_again(self, crm: Caller, campaign: Campaign) -> None:
        member = factories.make_member(campaign, ["101"])
        entry = crm.post("do-not-call", {"number": "101"}).json()
        assert crm.get(f"do-not-call/{entry['id']}").json() == entry
        assert crm.delete(f"do-not-call/{entry['id']}").status_code == 204
        assert not listed()
        assert Member.objects.get(pk=member.pk).state == MemberState.READY
        problem(crm.delete(f"do-not-call/{entry['id']}"), 404)

    def test_several_by_number_off_one_list_alone(self, crm: Caller, campaign: Campaign) -> None:
        crm.post("do-not-call", [{"number": "101"}, {"number": "102"}])
        crm.post(f"dialer/{campaign.pk}/do-not-call", {"number": "101"})
        body = {"numbers": ["1-01", "103"]}
        assert crm.post("do-not-call/remove", body).json() == {"removed": 1}
        assert listed() == [("102", None), ("101", campaign.pk)]
        assert crm.post(f"dialer/{campaign.pk}/do-not-call/remove", body).json() == {"removed": 1}
        assert listed() == [("102", None)]

    def test_a_bad_number_is_told_by_its_place_and_nothing_is_removed(self, crm: Caller) -> None:
        crm.post("do-not-call", {"number": "101"})
        assert list(faults(crm.post("do-not-call/remove", {"numbers": ["101", "x"]}))) == ["numbers[1]"]
        assert listed()
