"""Lists as files over REST: by the filters of the lists, columns chosen, each role its own."""

from __future__ import annotations

import csv
import io
from typing import Any

import openpyxl
import pytest

from agents.models import Operator
from campaigns.models import Campaign
from dialer import clock, exports
from dialer.exports import ATTEMPT_DEFAULTS, MEDIA_TYPES
from members import exports as subscribers
from tests import factories
from tests.api.conftest import Caller, caller_for, faults, problem

pytestmark = pytest.mark.django_db


def rows(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.content
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"), newline="")))


class TestMembers:
    def test_a_file_has_those_that_the_list_has(self, crm: Caller, campaign: Campaign) -> None:
        anna, _bohdan = (factories.make_member(campaign, name=name) for name in ("Анна", "Богдан"))
        factories.make_member(factories.make_campaign(), name="Анна")
        factories.make_member(campaign, name="Анна", hidden=True)
        answer = crm.get(f"dialer/{campaign.pk}/members/export?search=анн")
        (row,) = rows(answer)
        assert (row["member"], row["name"]) == (str(anna.pk), "Анна")
        assert tuple(row) == subscribers.DEFAULTS
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Disposition"].startswith("attachment")

    @pytest.mark.parametrize(
        "query", ["state=ended", "end_cause=USER_BUSY", "success=true", "external_id=x", "number=9"]
    )
    def test_every_filter_counts(self, crm: Caller, campaign: Campaign, query: str) -> None:
        factories.make_member(campaign)
        assert rows(crm.get(f"dialer/{campaign.pk}/members/export?{query}")) == []

    def test_columns_format_and_zone_are_chosen(self, crm: Caller, campaign: Campaign) -> None:
        factories.make_member(campaign, ["101"], variables={"debt": 5})
        query = "columns=number_1,var:debt,created&format=xlsx&zone=Asia/Tokyo"
        answer = crm.get(f"dialer/{campaign.pk}/members/export?{query}")
        assert answer.headers["Content-Type"] == MEDIA_TYPES[exports.FileFormat.XLSX]
        heading, row = openpyxl.load_workbook(io.BytesIO(answer.getvalue())).active.values
        assert heading == ("number_1", "var:debt", "created")
        assert row[:2] == ("101", 5)
        assert row[2].endswith("+09:00")

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("columns=name,colour", "columns"), ("columns=", "columns"), ("columns=name,name", "columns"),
            ("format=pdf", "format"), ("zone=Kyiv", "zone"), ("limit=5", "limit"), ("state=dead", "state"),
        ],
    )  # fmt: skip
    def test_what_is_unknown_is_a_fault(self, crm: Caller, campaign: Campaign, query: str, field: str) -> None:
        assert list(faults(crm.get(f"dialer/{campaign.pk}/members/export?{query}"))) == [field]

    def test_who_asks_for_the_head_has_nobody_read(self, crm: Caller, campaign: Campaign) -> None:
        factories.make_member(campaign)
        answer = crm("HEAD", f"dialer/{campaign.pk}/members/export")
        assert answer.status_code == 200
        assert answer.getvalue() == b""


class TestAttempts:
    def test_a_file_has_those_that_the_list_has(self, crm: Caller, campaign: Campaign) -> None:
        busy = factories.make_attempt(factories.make_member(campaign), ended_at=clock.now(), cause="USER_BUSY")
        factories.make_attempt(factories.make_member(campaign), ended_at=clock.now())
        (row,) = rows(crm.get(f"dialer/{campaign.pk}/attempts/export?cause=USER_BUSY"))
        assert row["attempt"] == str(busy.pk)
        assert tuple(row) == ATTEMPT_DEFAULTS

    def test_an_operator_gets_his_own(self, operator: Operator, campaign: Campaign) -> None:
        assert operator.user
        his = factories.make_attempt(factories.make_member(campaign), operator, ended_at=clock.now())
        factories.make_attempt(factories.make_member(campaign), ended_at=clock.now())
        him = caller_for(operator.user)
        assert [row["attempt"] for row in rows(him.get(f"dialer/{campaign.pk}/attempts/export"))] == [str(his.pk)]
        problem(him.get(f"dialer/{campaign.pk}/members/export"), 403)

    def test_columns_are_chosen(self, crm: Caller, campaign: Campaign) -> None:
        factories.make_attempt(factories.make_member(campaign), ended_at=clock.now(), recording="a/1.wav")
        (row,) = rows(crm.get(f"dialer/{campaign.pk}/attempts/export?columns=recording,stage"))
        assert row == {"recording": "a/1.wav", "stage": "ended"}
        assert list(faults(crm.get(f"dialer/{campaign.pk}/attempts/export?columns=var:debt"))) == ["columns"]
