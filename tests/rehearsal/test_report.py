"""The numbers of a rehearsal, on ledgers small enough to count by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.models import Operator
from campaigns.models import Campaign
from dialer import clock
from dialer.models import Attempt
from dialer.rehearsal import report
from dialer.rehearsal.play import Played, Sightings
from members.models import Member
from tests.factories import make_attempt, make_campaign, make_gateway, make_member, make_operator, make_route

pytestmark = pytest.mark.django_db

START = clock.now() - timedelta(hours=1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def played(sightings: Sightings | None = None) -> Played:
    return Played(at(0), at(1000), True, sightings or Sightings(), [], {}, 0)


def attempt(operator: Operator, begin: float, end: float, **fields: Any) -> Attempt:
    campaign = Campaign.objects.get()
    return make_attempt(
        make_member(campaign),
        operator,
        **{"reserved_at": at(begin), "sending_at": at(begin), "ended_at": at(end), "member_due_at": at(0), **fields},
    )


@pytest.fixture
def operator() -> Operator:
    make_route(make_gateway(name="trunk", capacity=2))
    return make_operator(make_campaign(name="survey", limit=2), wrap_up_time=10)


def everything() -> list[Attempt]:
    return list(Attempt.objects.order_by("pk"))


def test_peaks_are_the_most_lines_at_one_instant(operator: Operator, tmp_path: Path) -> None:
    for begin, end in ((0, 10), (5, 20), (20, 30)):
        attempt(make_operator(), begin, end)
    told = report.outcome(played(), calls_of(tmp_path, everything()))
    assert told["peak_lines"] == {"campaigns": {"survey": 2}, "gateways": {"trunk": 2}}


def test_the_seconds_of_operators_add_up(operator: Operator) -> None:
    attempt(
        operator, 0, 60, operator_ringing_at=at(1), operator_answered_at=at(4), bridged_at=at(14),
        talk_ended_at=at(60), operator_ended_at=at(60),
    )  # fmt: skip
    attempt(operator, 65, 80, operator_ringing_at=at(66), operator_ended_at=at(80))
    assert report.operator_seconds(everything(), played()) == {
        "count": 1,
        "ring": 3 + 14,
        "dial": 10,
        "talk": 46,
        "wrap_up": 5,
        "idle": 1000 - 17 - 10 - 46 - 5,
    }


def test_latency_counts_from_when_the_operator_was_free(operator: Operator) -> None:
    attempt(operator, 10.25, 20, operator_free_at=at(10))
    assert report.dispatch_latencies(everything(), played()) == [pytest.approx(250)]


def test_latency_counts_from_the_end_of_the_wrap_up_not_from_when_it_was_noticed(operator: Operator) -> None:
    attempt(operator, 0, 50, bridged_at=at(20), operator_ended_at=at(50))
    attempt(operator, 61.5, 70, operator_free_at=at(61))
    assert report.dispatch_latencies(everything(), played())[1] == pytest.approx(1500)


def test_latency_counts_from_when_a_line_was_free(operator: Operator) -> None:
    attempt(make_operator(), 0, 30)
    attempt(make_operator(), 0, 40)
    attempt(operator, 30.5, 50, operator_free_at=at(10))
    assert report.dispatch_latencies(everything(), played())[2] == pytest.approx(500)


def test_latency_counts_from_when_the_subscriber_was_due(operator: Operator) -> None:
    attempt(operator, 31, 50, operator_free_at=at(10), member_due_at=at(30))
    assert report.dispatch_latencies(everything(), played()) == [pytest.approx(1000)]


def test_what_could_not_be_used_is_no_latency(operator: Operator) -> None:
    sightings = Sightings()
    sightings.seen["operator", operator.pk] = [at(12), at(28), at(40)]
    attempt(operator, 29, 35, operator_free_at=at(10))
    assert report.dispatch_latencies(everything(), played(sightings)) == [pytest.approx(1000)]


def test_percentiles() -> None:
    assert report.percentiles([float(value) for value in range(101)]) == {
        "count": 101, "p50": 50, "p95": 95, "p99": 99, "max": 100,
    }  # fmt: skip
    assert report.percentiles([]) == {"count": 0}


def calls_of(folder: Path, attempts: list[Attempt]) -> Path:
    """Write the list of the switch as if it had made every call of the ledger."""
    file = folder / "calls"
    lines = [f"subscriber {attempt.digits}" for attempt in attempts if attempt.sending_at]
    file.write_text("\n".join(["0.0", *lines]) + "\n")
    return file


def test_the_calls_of_the_switch_agree_with_the_ledger(operator: Operator, tmp_path: Path) -> None:
    attempt(operator, 0, 10, subscriber_created_at=at(5))
    assert not report.dialled_more_than_once(everything(), calls_of(tmp_path, everything()))


def test_a_number_that_the_switch_dialled_more_often_than_was_sent_is_found(operator: Operator, tmp_path: Path) -> None:
    one = attempt(operator, 0, 10)
    (found,) = report.dialled_more_than_once([one], calls_of(tmp_path, [one, one]))
    assert found.invariant == 4
    assert found.ids == {"digits": one.digits}


def test_a_call_that_the_ledger_does_not_know_is_found(operator: Operator, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    calls.write_text("0.0\nsubscriber 123\noperator 999\n")
    assert [violation.invariant for violation in report.dialled_more_than_once([], calls)] == [4, 4]


def test_a_call_that_the_switch_never_made_is_found(operator: Operator, tmp_path: Path) -> None:
    one = attempt(operator, 0, 10, subscriber_created_at=at(5))
    (found,) = report.dialled_more_than_once([one], calls_of(tmp_path, []))
    assert found.invariant == 6


def test_outside_operators_are_numbers_to_the_switch(tmp_path: Path) -> None:
    make_route()
    operator = make_operator(make_campaign(), contact="+380441", gateway=make_gateway())
    one = attempt(operator, 0, 10, operator_ringing_at=at(1))
    calls = tmp_path / "calls"
    calls.write_text(f"0.0\nsubscriber 380441\nsubscriber {one.digits}\n")
    assert not report.dialled_more_than_once([one], calls)


def test_endings_do_not_depend_on_the_order_in_which_they_came(operator: Operator) -> None:
    campaign = Campaign.objects.get()
    first, second = (make_member(campaign, external_id=name) for name in ("a", "b"))
    Member.objects.filter(pk=first.pk).update(state="ended", end_cause="X", ended_at=at(1))
    one = report.endings()
    Member.objects.filter(pk=first.pk).update(ended_at=at(2))
    assert report.endings() == one
    Member.objects.filter(pk=second.pk).update(state="ended", end_cause="Y", ended_at=at(3))
    assert report.endings() != one


def test_those_left_by_a_completed_list_are_stuck_and_those_of_a_stopped_one_are_not(operator: Operator) -> None:
    campaign = Campaign.objects.get()
    member = make_member(campaign)
    Campaign.objects.update(state="stopped")
    assert not report.stuck(played())
    Campaign.objects.update(state="completed", completion="CALENDAR_EXPIRED")
    assert not report.stuck(played())
    Campaign.objects.update(state="completed", completion="LIST_COMPLETE")
    assert report.stuck(played()) == [f"Subscriber {member} is ready"]


def test_a_campaign_that_still_runs_and_whoever_is_held_are_stuck(operator: Operator) -> None:
    live = make_attempt(make_member(Campaign.objects.get()), operator)
    Operator.objects.filter(pk=operator.pk).update(state="reserved", current_attempt=live)
    Campaign.objects.update(state="running")
    told = "\n".join(report.stuck(played()))
    assert "Campaign survey is running" in told
    assert f"Attempt {live} is reserved" in told
    assert "is held" in told


def test_the_tables_outlive_the_database(operator: Operator, tmp_path: Path) -> None:
    attempt(operator, 0, 10)
    report.keep_tables(tmp_path)
    ledger = (tmp_path / "dialer_attempt.csv").read_text().splitlines()
    assert len(ledger) == 2
    assert "reserved_at" in ledger[0]


def test_a_summary_tells_violations_and_the_stuck() -> None:
    told = {
        "members": 1, "rule_seconds": 10, "ended": {}, "left": {}, "campaigns": {}, "repairs": {}, "endings": "e",
        "attempts": {"all": 0, "counted": 0, "refunded": 0, "by_cause": {}}, "operators": {"count": 1, "idle": 10},
        "peak_lines": {"campaigns": {}, "gateways": {}}, "dispatch_latency_ms": {"count": 0},
        "stuck": ["Operator 1 is held"], "violations": [{"invariant": 4, "text": "twice", "ids": {}}],
    }  # fmt: skip
    lines = report.summary(told)
    assert "STUCK: Operator 1 is held" in lines
    assert "VIOLATION of 4: twice" in lines
    assert "Nobody stuck, no violation." not in lines
