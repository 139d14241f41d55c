"""What statistics say of a ledger that is known call by call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Operator, OperatorPeriod, OperatorState, OperatorStatus
from dialer.statistics import queries, tables
from dialer.statistics.queries import Asked, Figures
from dialer.statistics.ranges import Range, Step
from members.actions import delete_number
from tests.engine.story import Story
from tests.factories import make_attempt, make_campaign, make_member, make_operator, make_route
from tests.statistics.conftest import NOON, a_call, at, periods

pytestmark = pytest.mark.django_db

KYIV = "Europe/Kyiv"
DAY = Range(datetime(2026, 5, 3, 21, tzinfo=UTC), datetime(2026, 5, 4, 21, tzinfo=UTC), KYIV)
"""Monday in Kyiv."""


def read(**more: Any) -> Figures:
    return queries.read(Asked(**{"range": DAY, **more}))


def rows(name: str, figures: Figures, step: Step = Step.HOUR, **more: Any) -> list[dict[str, Any]]:
    return tables.build(Asked(**{"range": DAY, **more}), figures, step)[name].as_dicts()


@pytest.fixture
def scene() -> tuple[Any, Operator]:
    make_route()
    campaign = make_campaign()
    return campaign, make_operator(campaign)


# --- attempts ---------------------------------------------------------------------------------------------------


def test_an_attempt_is_told_in_the_hour_of_its_reservation_by_the_clock_of_the_zone(scene: Any) -> None:
    campaign, operator = scene
    a_call(campaign, operator, at(), talk=60)
    a_call(campaign, operator, at(seconds=3599))
    a_call(campaign, operator, at(hours=1), subscriber_answered_at=at(1, 9), outcome="abandoned", cause="ABANDONED")
    hours = {row["since"]: row for row in rows("calls", read())}
    assert len(hours) == 24
    noon, one = hours[NOON], hours[at(1)]
    assert noon == {
        "since": NOON, "attempts": 2, "live": 0, "dialled": 2, "answered": 1, "connected": 1, "success": 1,
        "abandoned": 0, "talk_seconds": 60.0, "connect_rate": 50.0,
    }  # fmt: skip
    assert (one["attempts"], one["answered"], one["connected"], one["abandoned"]) == (1, 1, 0, 1)
    assert hours[at(2)]["connect_rate"] is None
    by_clock = {row["hour"]: row for row in rows("hours_of_day", read())}
    assert (by_clock["12:00"]["attempts"], by_clock["13:00"]["attempts"]) == (2, 1)


def test_what_is_live_is_counted_as_such_and_has_no_cause_yet(scene: Any) -> None:
    campaign, operator = scene
    make_attempt(make_member(campaign), operator, reserved_at=at(), bridged_at=at(seconds=20))
    figures = read()
    assert (figures.total["attempts"], figures.total["live"], figures.total["talk_seconds"]) == (1, 1, 0)
    assert figures.causes == []


def test_a_while_has_its_first_instant_and_not_its_last(scene: Any) -> None:
    campaign, operator = scene
    for instant in (at(), at(seconds=1800), at(hours=1)):
        a_call(campaign, operator, instant)
    figures = read(range=Range(at(), at(hours=1), KYIV))
    assert figures.total["attempts"] == 2
    assert read(range=Range(at(seconds=1), at(hours=1), KYIV)).total["attempts"] == 1


def test_days_are_those_of_the_zone_with_the_hour_that_comes_twice(scene: Any) -> None:
    campaign, operator = scene
    change = Range(datetime(2026, 10, 24, 21, tzinfo=UTC), datetime(2026, 10, 25, 22, tzinfo=UTC), KYIV)
    for instant in ("00:30", "01:30", "21:30"):
        a_call(campaign, operator, datetime.fromisoformat(f"2026-10-25T{instant}:00+00:00"))
    figures = read(range=change)
    hours = rows("calls", figures, range=change)
    assert len(hours) == 25
    assert [row["since"].hour for row in hours if row["attempts"]] == [3, 3, 23]
    assert len({row["since"] for row in hours}) == 25
    (day,) = rows("calls", figures, Step.DAY, range=change)
    assert (day["since"], day["attempts"]) == (change.start, 3)
    assert {row["hour"]: row["attempts"] for row in rows("hours_of_day", figures)}["03:00"] == 2


def test_causes_are_of_what_has_ended_the_most_frequent_first(scene: Any) -> None:
    campaign, operator = scene
    for _ in range(3):
        a_call(campaign, operator, at(), cause="USER_BUSY")
    a_call(campaign, operator, at(), talk=30)
    assert rows("causes", read()) == [
        {"cause": "USER_BUSY", "outcome": "retry", "attempts": 3, "share": 75.0},
        {"cause": "NORMAL_CLEARING", "outcome": "success", "attempts": 1, "share": 25.0},
    ]


def test_connected_calls_are_told_by_what_their_operators_called_them(scene: Any) -> None:
    campaign, operator = scene
    for name in ("", "Sold", "Later", "Sold"):
        a_call(campaign, operator, at(), talk=60, disposition=name)
    make_attempt(make_member(campaign), operator, reserved_at=at(), ended_at=at(1))
    assert [(row["disposition"], row["calls"], row["share"]) for row in rows("dispositions", read())] == [
        ("Sold", 2, 50.0), ("", 1, 25.0), ("Later", 1, 25.0),
    ]  # fmt: skip


def test_without_dispositions_there_is_no_table_of_them(scene: Any) -> None:
    campaign, operator = scene
    a_call(campaign, operator, at(), talk=60)
    assert rows("dispositions", read()) == []


def test_the_place_of_a_number_is_that_of_its_entry(scene: Any) -> None:
    campaign, operator = scene
    him = make_member(campaign, ["+380501111111", "+380502222222", "+380503333333"])
    first, second, third = him.communications.order_by("pk")
    for number, talk in ((first, None), (second, None), (second, 20.0), (third, None)):
        a_call(campaign, operator, at(), member=him, communication=number, digits=number.digits, talk=talk)
    a_call(campaign, operator, at(), subscriber_created_at=None)
    assert [(row["position"], row["dialled"], row["connected"]) for row in rows("numbers", read())] == [
        (1, 1, 0), (2, 2, 1), (3, 1, 0),
    ]  # fmt: skip
    third.delete()
    assert [(row["position"], row["dialled"]) for row in rows("numbers", read())] == [(0, 1), (1, 1), (2, 2)]


def test_the_place_that_an_attempt_keeps_stays_when_a_number_before_it_is_deleted(scene: Any) -> None:
    campaign, operator = scene
    him = make_member(campaign, ["+380501111111", "+380502222222"])
    first, second = him.communications.order_by("pk")
    a_call(campaign, operator, at(), member=him, communication=second, digits=second.digits, number_position=2)
    delete_number(first)
    assert [(row["position"], row["dialled"]) for row in rows("numbers", read())] == [(2, 1)]


def test_with_which_counted_attempt_a_subscriber_was_a_success(scene: Any) -> None:
    campaign, operator = scene
    for before in (0, 0, 2):
        a_call(campaign, operator, at(), talk=20, counted_before=before)
    a_call(campaign, operator, at(), counted_before=1)
    assert rows("tries", read()) == [
        {"attempt": 1, "success": 2, "share": 66.67, "up_to": 66.67},
        {"attempt": 3, "success": 1, "share": 33.33, "up_to": 100.0},
    ]


def test_the_parts_of_the_time_to_the_next_call_add_up(scene: Any) -> None:
    campaign, operator = scene
    a_call(campaign, operator, at(), talk=20)
    a_call(campaign, operator, at(hours=1), talk=20, sending_at=at(1, 3), operator_ringing_at=at(1, 4.5))
    a_call(campaign, operator, at(hours=2))
    parts = {row["part"]: row for row in rows("next_call", read())}
    means = {name: row["mean"] for name, row in parts.items()}
    assert means == {
        "waiting": 10.0, "sending": 2.0, "switch": 1.25, "operator_rings": 1.75, "subscriber_rings": 8.0,
        "connecting": 2.0, "total": 25.0,
    }  # fmt: skip
    assert sum(row["share"] for name, row in parts.items() if name != "total") == pytest.approx(100, abs=0.1)
    assert parts["total"]["median"] == 25.0


def test_subscriber_first_the_parts_add_up_too(scene: Any) -> None:
    campaign, operator = scene
    a_call(
        campaign, operator, at(), talk=20, connect_order="subscriber_first", subscriber_created_at=at(seconds=2),
        subscriber_answered_at=at(seconds=9), operator_ringing_at=at(seconds=10), operator_answered_at=at(seconds=12),
        bridged_at=at(seconds=13),
    )  # fmt: skip
    assert {row["part"]: row["mean"] for row in rows("next_call", read())} == {
        "waiting": 10.0, "sending": 1.0, "switch": 1.0, "operator_rings": 2.0, "subscriber_rings": 7.0,
        "connecting": 2.0, "total": 23.0,
    }  # fmt: skip


def test_an_empty_while_has_every_table(scene: Any) -> None:
    figures = read(range=Range(at(hours=-48), at(hours=-47), KYIV))
    assert figures.total == dict.fromkeys(queries.COUNTS, 0)
    found = tables.build(Asked(range=DAY), figures, Step.HOUR)
    assert {name: len(table.rows) for name, table in found.items()} == {
        "calls": 24, "hours_of_day": 24, "causes": 0, "dispositions": 0, "numbers": 0, "tries": 0, "operators": 0,
        "next_call": 0,
    }  # fmt: skip


def test_only_the_campaigns_and_the_operator_that_are_asked_for(scene: Any) -> None:
    campaign, operator = scene
    other = make_campaign()
    another = make_operator(other)
    a_call(campaign, operator, at(), talk=10)
    a_call(other, another, at(), talk=20)
    a_call(other, operator, at(), talk=30)
    assert read().total["attempts"] == 3
    assert read(campaigns=frozenset({campaign.pk})).total["talk_seconds"] == 10
    assert read(campaigns=frozenset()).total["attempts"] == 0
    assert read(campaigns=frozenset()).operators == []
    assert read(operator=operator.pk).total["talk_seconds"] == 40
    assert [him.operator for him in read(operator=operator.pk).operators] == [operator.pk]
    of_the_other = {him.operator: him.counts for him in read(campaigns=frozenset({other.pk})).operators}
    assert {pk: counts["attempts"] for pk, counts in of_the_other.items()} == {operator.pk: 1, another.pk: 1}


def test_there_are_three_statements_however_much_there_is(scene: Any) -> None:
    campaign, operator = scene
    for minute in range(5):
        a_call(campaign, operator, at(seconds=60 * minute), talk=30)
    with CaptureQueriesContext(connection) as seen:
        read(campaigns=frozenset({campaign.pk}))
    assert len([query for query in seen if "SAVEPOINT" not in query["sql"]]) == 3


# --- operators --------------------------------------------------------------------------------------------------


def duty(operator: Operator, **more: Any) -> dict[str, float]:
    (found,) = [him for him in read(**more).operators if him.operator == operator.pk]
    return {word: seconds for word, seconds in found.seconds.items() if seconds}


def test_an_operators_day_is_split_by_his_periods_and_cut_at_its_ends_and_at_the_present(scene: Any) -> None:
    _campaign, operator = scene
    periods(
        operator,
        (at(hours=-40), "available", "waiting"),
        (at(hours=-11), "on_break", "idle"),
        (at(hours=-10), "on_demand", "idle"),
        (at(hours=-9.5), "available", "waiting"),
        (at(hours=-9), "available", "wrap_up"),
        (at(hours=-8.5), "logged_out", "idle"),
        (at(hours=2), "available", "waiting"),
    )
    # The day began twelve hours before noon; now it is three hours after.
    assert duty(operator) == {
        "waiting": 3600 * (1 + 0.5 + 1), "on_break": 3600, "not_ready": 1800, "wrap_up": 1800,
    }  # fmt: skip


def test_one_call_is_ringing_until_it_is_a_talk(scene: Any) -> None:
    campaign, operator = scene
    a_call(campaign, operator, at(), talk=60)
    periods(
        operator,
        (at(hours=-13), "available", "waiting"),
        (at(), "available", "reserved"),
        (at(seconds=2), "available", "receiving"),
        (at(seconds=5), "available", "in_call"),
        (at(seconds=75), "available", "wrap_up"),
        (at(seconds=85), "on_break", "idle"),
        (at(seconds=85), "logged_out", "idle"),
    )
    assert duty(operator) == {"waiting": 12 * 3600.0, "ringing": 15.0, "talking": 60.0, "wrap_up": 10.0}
    (row,) = rows("operators", read())
    assert row["occupancy"] == round(100 * 85 / (12 * 3600 + 85), 2)


def test_a_talk_that_lasts_is_told_up_to_now_and_one_across_midnight_is_cut_there(scene: Any) -> None:
    campaign, operator = scene
    long_ago = DAY.start - timedelta(hours=5)
    attempt = a_call(campaign, operator, long_ago, talk=5 * 3600 + 600)
    live = make_attempt(make_member(campaign), operator, reserved_at=at(2), bridged_at=at(2.5))
    OperatorPeriod.objects.filter(operator=operator).delete()
    for since, state, held in (
        (long_ago, OperatorState.IN_CALL, attempt), (DAY.start + timedelta(seconds=615), "waiting", None),
        (at(2), OperatorState.IN_CALL, live),
    ):  # fmt: skip
        OperatorPeriod.objects.create(
            operator=operator, since=since, status=OperatorStatus.AVAILABLE, state=state, attempt=held
        )
    spent = duty(operator)
    assert spent["talking"] == 615 + 1800
    assert spent["ringing"] == 1800


def test_what_happened_in_a_real_call_is_what_is_told() -> None:
    story = Story(operator={"wrap_up_time": 30})
    story.talk(60)
    start = story.start - timedelta(minutes=1)
    figures = queries.read(Asked(Range(start, story.start + timedelta(minutes=5), KYIV)))
    assert figures.total["connected"] == figures.total["success"] == 1
    assert figures.total["talk_seconds"] == pytest.approx(60)
