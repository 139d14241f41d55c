"""Operators report results as the seed wants it, and a supervisor ends forced breaks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from agents.models import Operator, OperatorStatus
from campaigns.models import Campaign
from dialer import clock
from dialer.models import Attempt, ResultReport, ResultState
from dialer.rehearsal.people import Reporters, Supervisor
from dialer.rehearsal.plan import ResultsPlan
from members.models import Member, MemberState
from tests.engine.story import Story

pytestmark = pytest.mark.django_db


def reporters(campaign: Campaign, **plan: Any) -> Reporters:
    return Reporters(7, {campaign.pk: ResultsPlan(**plan)})


def test_a_report_comes_while_they_talk() -> None:
    story = Story(wait_for_result=True)
    people = reporters(story.campaign, during=1.0, success=1.0)
    people.step(clock.now())
    assert not ResultReport.objects.exists(), "they do not talk yet"
    story.bridged()
    people.step(clock.now())
    people.step(clock.now())
    assert story.now()[0].result_state == ResultState.STORED
    assert people.given == {"stored": 1}


def test_a_report_comes_some_time_after_the_call() -> None:
    with time_machine.travel(clock.now(), tick=False) as traveller:
        story = Story(wait_for_result=True)
        people = reporters(story.campaign, during=0.0, delay=(5.0, 5.0), success=1.0)
        traveller.shift(60)
        story.talk(30)
        ended = story.now()[0].subscriber_ended_at
        assert ended is not None
        people.step(ended + timedelta(seconds=4))
        assert not ResultReport.objects.exists()
        people.step(ended + timedelta(seconds=6))
        assert people.given == {"applied": 1}
        assert Member.objects.get().state == MemberState.ENDED


def test_one_who_never_reports_says_nothing() -> None:
    story = Story(wait_for_result=True)
    people = reporters(story.campaign, reported=0.0)
    story.bridged()
    people.step(clock.now())
    assert not ResultReport.objects.exists()


def test_a_report_that_comes_too_late_is_counted_as_refused() -> None:
    story = Story(wait_for_result=True)
    people = reporters(story.campaign, during=1.0)
    story.bridged()
    Attempt.objects.update(result_state=ResultState.TIMED_OUT)
    people.step(clock.now())
    assert people.given == {"TIMED_OUT": 1}


def test_the_seed_and_the_subscriber_decide_what_is_said() -> None:
    story = Story(wait_for_result=True, member={"external_id": "x-1"})
    attempt = Attempt.objects.select_related("member").get()
    plan: dict[str, Any] = {"success": 0.5, "next_after": 0.5, "reset": 0.5, "next_number": 0.5, "stop_number": 0.5}

    def said(seed: int) -> list[object]:
        people = Reporters(seed, {story.campaign.pk: ResultsPlan(**plan)})
        return [people._make_up(attempt, talk) for talk in range(1, 9)]

    assert said(7) == said(7)
    assert said(7) != said(8)


def test_a_supervisor_ends_a_forced_break_after_a_while() -> None:
    now = clock.now()
    story = Story()
    Operator.objects.filter(pk=story.operator.pk).update(
        state="idle", current_attempt=None, status=OperatorStatus.ON_BREAK, forced_break=True, status_since=now
    )
    supervisor = Supervisor(back_after=60)
    supervisor.step(now + timedelta(seconds=59))
    assert Operator.objects.get().status == OperatorStatus.ON_BREAK
    supervisor.step(now + timedelta(seconds=60))
    assert Operator.objects.get().status == OperatorStatus.AVAILABLE
    assert supervisor.ended_breaks == 1
