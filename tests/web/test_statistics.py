"""The pages of statistics: who may, what they tell, and their files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import openpyxl
import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.test import Client

from agents.models import Operator
from campaigns.models import Campaign
from dialer.api.models import CampaignAccess
from dialer.templatetags.spans import duration
from dialer.web.statistics import MOST_ROWS
from tests.factories import make_campaign, make_operator, make_route
from tests.statistics.conftest import a_call

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _afternoon() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def scene(supervisor: Client) -> tuple[Campaign, Operator]:
    """A campaign that talked an hour ago and rang in vain yesterday."""
    make_route()
    campaign = make_campaign(name="Renewals")
    operator = make_operator(campaign, name="Ivan")
    a_call(campaign, operator, NOW - timedelta(hours=1), talk=75)
    a_call(campaign, operator, NOW - timedelta(hours=24), cause="USER_BUSY")
    return campaign, operator


def figures(answer: Any) -> dict[str, str]:
    return {word: figure for word, figure, _of in answer.context["figures"]}


def text_of(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode("utf-8-sig")


def test_the_first_look_is_at_today_in_the_zone_of_the_campaign(supervisor: Client, scene: Any) -> None:
    campaign, _operator = scene
    answer = supervisor.get(f"/campaigns/{campaign.pk}/statistics/")
    assert answer.status_code == 200
    assert figures(answer)["Attempts"] == "1"
    assert figures(answer)["Talk"] == "1 m 15 s"
    assert (answer.context["zone"], answer.context["told"]) == (
        "Europe/Kyiv", "Mon 4 May 2026 00:00 – Tue 5 May 2026 00:00"
    )  # fmt: skip
    page = answer.content.decode()
    assert 'aria-current="page">Statistics</a>' in page
    assert "NORMAL_CLEARING" in page
    assert "USER_BUSY" not in page


@pytest.mark.parametrize(
    ("query", "attempts"),
    [
        ("preset=yesterday", "1"),
        ("preset=last_7_days", "2"),
        ("preset=this_month", "2"),
        ("preset=between&start=2026-05-04T14:00&end=2026-05-04T15:00&zone=Europe/Kyiv", "1"),
        ("preset=between&start=2026-05-04T14:00&end=2026-05-04T15:00&zone=UTC", "0"),
        ("preset=between&start=2026-05-03T00:00", "2"),
    ],
)
def test_a_while_is_a_preset_or_two_instants_on_the_clock_of_a_zone(
    supervisor: Client, scene: Any, query: str, attempts: str
) -> None:
    assert figures(supervisor.get(f"/statistics/?{query}"))["Attempts"] == attempts


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("preset=between", "Say from when."),
        ("preset=between&start=2026-05-04T14:00&end=2026-05-04T13:00", "The end must be after the beginning."),
        ("preset=between&start=2020-05-04T14:00", "At most 400 days at once."),
        ("preset=between&start=soon", "This must be a date and a time of day."),
        ("preset=tomorrow", "Select a valid choice."),
        ("zone=Europe/Nowhere", "Select a valid choice."),
        ("operator=99999", "Select a valid choice."),
        ("campaign=99999", "Select a valid choice."),
    ],
)
def test_what_cannot_be_asked_is_told_and_gives_no_file(supervisor: Client, scene: Any, query: str, told: str) -> None:
    answer = supervisor.get(f"/statistics/?{query}")
    assert told in answer.content.decode()
    assert "cards" not in answer.context
    assert supervisor.get(f"/statistics/?{query}&file=csv").status_code == 400


def test_one_operator_or_one_campaign_of_all(supervisor: Client, scene: Any) -> None:
    campaign, operator = scene
    other = make_campaign()
    a_call(other, make_operator(other), NOW - timedelta(hours=2), talk=5)
    assert figures(supervisor.get("/statistics/"))["Attempts"] == "2"
    assert figures(supervisor.get(f"/statistics/?campaign={campaign.pk}"))["Attempts"] == "1"
    assert figures(supervisor.get(f"/statistics/?operator={operator.pk}"))["Talk"] == "1 m 15 s"


def test_a_table_is_a_file_with_safe_cells(supervisor: Client, scene: Any) -> None:
    _campaign, operator = scene
    Operator.objects.filter(pk=operator.pk).update(name="=cmd()")
    answer = supervisor.get("/statistics/?file=csv&table=operators")
    assert (
        'filename="statistics operators 2026-05-04 00.00 – 2026-05-05 00.00.csv"'
        in answer.headers["Content-Disposition"]
        or "filename*=" in answer.headers["Content-Disposition"]
    )
    heading, *lines = csv.reader(io.StringIO(text_of(answer)))
    assert heading[:4] == ["operator", "name", "attempts", "connected"]
    assert lines[0][:4] == [str(operator.pk), "'=cmd()", "1", "1"]


def test_calls_are_a_file_with_instants_of_the_zone(supervisor: Client, scene: Any) -> None:
    answer = supervisor.get("/statistics/?file=csv&table=calls&zone=Asia/Tokyo&preset=last_7_days&step=day")
    rows = list(csv.DictReader(io.StringIO(text_of(answer))))
    assert rows[0]["since"] == "2026-04-28T00:00:00+09:00"
    assert sum(int(row["attempts"]) for row in rows) == 2


def test_all_tables_are_one_workbook(supervisor: Client, scene: Any) -> None:
    campaign, _operator = scene
    answer: Any = supervisor.get(f"/campaigns/{campaign.pk}/statistics/?file=xlsx")
    book = openpyxl.load_workbook(io.BytesIO(b"".join(answer.streaming_content)))
    assert book.sheetnames == [
        "calls", "hours_of_day", "causes", "dispositions", "numbers", "tries", "operators", "next_call",
    ]  # fmt: skip
    assert [cell.value for cell in book["causes"][2]] == ["NORMAL_CLEARING", "Success", 1, 100]
    one: Any = supervisor.get(f"/campaigns/{campaign.pk}/statistics/?file=xlsx&table=causes")
    assert openpyxl.load_workbook(io.BytesIO(b"".join(one.streaming_content))).sheetnames == ["causes"]


def test_a_long_table_is_whole_in_the_file_alone(supervisor: Client, scene: Any) -> None:
    campaign, _operator = scene
    for number in range(MOST_ROWS):
        make_operator(campaign, name=f"One {number:03}", state_since=NOW - timedelta(hours=1))
    answer = supervisor.get("/statistics/")
    assert (len(answer.context["cards"]["operators"].rows), answer.context["cards"]["operators"].hidden) == (
        MOST_ROWS, 1
    )  # fmt: skip
    assert len(text_of(supervisor.get("/statistics/?file=csv&table=operators")).splitlines()) == MOST_ROWS + 2


def test_the_statements_of_a_page_do_not_grow(
    supervisor: Client, scene: Any, django_assert_max_num_queries: Any
) -> None:
    campaign, operator = scene
    for minute in range(10):
        a_call(campaign, operator, NOW - timedelta(minutes=minute), talk=5)
    with django_assert_max_num_queries(12):
        supervisor.get("/statistics/")


def limited(*campaigns: Campaign, rights: tuple[str, ...] = ("view_campaign", "view_operator")) -> Client:
    user = User.objects.create_user("trainee", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    for campaign in campaigns:
        CampaignAccess.objects.create(user=user, campaign=campaign)
    client = Client()
    client.force_login(user)
    return client


def test_who_is_limited_sees_his_campaigns_alone(scene: Any) -> None:
    campaign, _operator = scene
    theirs = make_campaign(name="Strangers")
    a_call(theirs, make_operator(theirs, name="Stranger"), NOW - timedelta(hours=2), talk=900)
    client = limited(campaign)
    answer = client.get("/statistics/")
    assert figures(answer)["Attempts"] == "1"
    assert [row[0].text for row in answer.context["cards"]["operators"].rows] == ["Ivan"]
    assert "Strangers" not in answer.content.decode()
    assert client.get(f"/campaigns/{theirs.pk}/statistics/").status_code == 404
    assert client.get(f"/campaigns/{theirs.pk}/statistics/?file=csv").status_code == 404
    assert client.get(f"/statistics/?campaign={theirs.pk}&file=csv").status_code == 400
    assert "Stranger" not in text_of(client.get("/statistics/?file=csv&table=operators"))


def test_who_may_not_see_operators_is_told_nothing_of_them(scene: Any) -> None:
    client = limited(rights=("view_campaign",))
    answer = client.get("/statistics/")
    assert "operators" not in answer.context["cards"]
    assert "Occupancy" not in figures(answer)
    assert "Ivan" not in answer.content.decode()
    assert client.get("/statistics/?file=csv&table=operators").status_code == 404
    assert text_of(client.get("/statistics/?file=csv")).startswith("since,attempts")


def test_it_is_for_staff_with_the_right(scene: Any, client: Client) -> None:
    assert client.get("/statistics/").headers["Location"].startswith("/login/")
    assert limited(rights=("view_operator",)).get("/statistics/").status_code == 403


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (59.94, "59.9 s"), (59.96, "1 m 00 s"), (3599.6, "1 h 00 m"), (90_000, "25 h 00 m")],
)
def test_seconds_are_told_as_people_read_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told
