"""Periods of operators: every change of status or state begins one, with its instant, its reason and who wished it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection

from agents import actions
from agents.models import Operator, OperatorPeriod, OperatorState, OperatorStatus
from dialer import clock
from dialer.engine.invariants import find_violations
from tests.engine.story import Story
from tests.factories import make_operator

pytestmark = pytest.mark.django_db


def told(operator: Operator) -> list[tuple[str, str]]:
    """Return status and state of each period, in order."""
    return list(OperatorPeriod.objects.filter(operator=operator).values_list("status", "state"))


def last(operator: Operator) -> OperatorPeriod:
    found = OperatorPeriod.objects.filter(operator=operator).order_by("since", "pk").last()
    assert found is not None
    return found


def test_one_who_never_chose_a_status_has_no_period() -> None:
    operator = actions.create_operator(name="Ivan", extension="100")
    assert told(operator) == []
    assert find_violations() == []


def test_a_status_begins_a_period_at_its_instant_and_tells_who_chose_it_and_why() -> None:
    operator, user = actions.create_operator(name="Ivan", extension="100"), User.objects.create_user("olena")
    with time_machine.travel(datetime(2026, 5, 4, 9, tzinfo=UTC), tick=False):
        actions.set_status(operator.pk, OperatorStatus.AVAILABLE, by=user, reason="shift")
    with time_machine.travel(datetime(2026, 5, 4, 10, tzinfo=UTC), tick=False):
        actions.set_status(operator.pk, OperatorStatus.ON_BREAK)
    first, second = OperatorPeriod.objects.filter(operator=operator)
    assert (first.since, first.status, first.state) == (datetime(2026, 5, 4, 9, tzinfo=UTC), "available", "waiting")
    assert (first.by, first.reason) == (user, "shift")
    assert (second.since, second.status, second.state) == (datetime(2026, 5, 4, 10, tzinfo=UTC), "on_break", "idle")
    assert (second.by, second.reason) == (None, "")


def test_a_call_is_told_stage_by_stage_with_the_instants_of_the_switch() -> None:
    story = Story(operator={"wrap_up_time": 30})
    story.talk(60)
    periods = list(OperatorPeriod.objects.filter(operator=story.operator))
    assert [period.state for period in periods] == ["waiting", "reserved", "receiving", "in_call", "wrap_up"]
    assert [period.attempt_id for period in periods] == [None, *[story.attempt.pk] * 4]
    assert [period.since for period in periods[2:]] == [story.at(0.1), story.at(1), story.at(65)]
    actions.end_wrap_ups(story.at(100))
    assert (last(story.operator).state, last(story.operator).since) == ("waiting", story.at(100))
    assert find_violations() == []


def test_a_status_chosen_during_a_call_is_told_with_its_author_when_it_comes_to_hold() -> None:
    user = User.objects.create_user("olena")
    story = Story(operator={"wrap_up_time": 0})
    story.bridged()
    actions.set_status(story.operator.pk, OperatorStatus.ON_BREAK, by=user, reason="lunch")
    assert last(story.operator).state == "in_call"
    story.both_end(60)
    period = last(story.operator)
    assert (period.status, period.state, period.by, period.reason) == ("on_break", "idle", user, "lunch")


def test_a_forced_break_says_so_and_names_nobody() -> None:
    user = User.objects.create_user("olena")
    story = Story(operator={"max_no_answer": 1})
    Operator.objects.update(changed_by=user, change_reason="shift")
    story.operator_rings()
    story.job(16, "NO_ANSWER")
    story.hangs_up("operator", 16, "NO_ANSWER")
    period = last(story.operator)
    assert (period.status, period.state, period.forced_break) == ("on_break", "idle", True)
    assert (period.by, period.reason) == (None, "forced")


def test_a_lost_client_says_so() -> None:
    operator = make_operator(uses_client=True, client_lost_at=clock.now() - timedelta(minutes=2))
    actions.lose_clients(clock.now())
    assert (last(operator).status, last(operator).reason) == ("logged_out", "client lost")


def test_one_statement_for_many_writes_a_period_for_each() -> None:
    now = clock.now()
    operators = [make_operator(state=OperatorState.WRAP_UP, wrap_up_until=now - timedelta(seconds=1)) for _ in range(3)]
    actions.end_wrap_ups(now)
    assert [told(him) for him in operators] == [[("available", "wrap_up"), ("available", "waiting")]] * 3


def test_what_changes_neither_status_nor_state_begins_no_period() -> None:
    operator = make_operator()
    actions.update_operator(operator.pk, name="Another", wrap_up_time=5)
    actions.set_status(operator.pk, OperatorStatus.AVAILABLE)
    actions.ready(operator.pk)
    assert told(operator) == [("available", "waiting")]


def test_news_that_are_older_than_the_last_period_begin_with_it() -> None:
    operator = make_operator()
    began = last(operator).since
    Operator.objects.filter(pk=operator.pk).update(
        state=OperatorState.IDLE, status=OperatorStatus.ON_BREAK, state_since=began - timedelta(seconds=3)
    )
    assert last(operator).since == began
    assert find_violations() == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("DELETE FROM agents_operatorperiod WHERE state = 'waiting' AND attempt_id IS NULL AND id > %s", "last period"),
        ("DELETE FROM agents_operatorperiod WHERE state IN ('reserved', 'receiving') AND id > %s", "one is missing"),
        ("UPDATE agents_operatorperiod SET since = since - interval '1 day' WHERE state = 'in_call' AND id > %s",
         "begins before"),
    ],
)  # fmt: skip
def test_the_invariants_notice_periods_that_overlap_or_leave_a_gap(fault: str, words: str) -> None:
    story = Story(operator={"wrap_up_time": 1})
    first = last(story.operator).pk - 1
    story.talk(60)
    actions.end_wrap_ups(story.at(100))
    with connection.cursor() as cursor:
        cursor.execute(fault, [first])
    found = [violation.text for violation in find_violations()]
    assert any(words in text for text in found)
