"""The examples in the documentation do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from agents.models import Operator, OperatorStatus
from dialer.models import Attempt, ResultState
from members.models import Member
from tests import factories
from tests.api.conftest import PASSWORD, user_in
from tests.engine.story import Story
from tests.house import SimulatedHouse
from tests.house import house as house
from tests.sockets.conftest import Web, eventually

DOCS = Path(__file__).resolve().parents[2] / "docs"
Started = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(web: Web) -> Iterator[Started]:
    """Start a client against the server, in a process of its own."""
    running: list[subprocess.Popen[str]] = []

    def begin(name: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(DOCS / name), f"http://127.0.0.1:{web.port}", *map(str, arguments)]
        running.append(
            subprocess.Popen(command, env=os.environ | {"PASSWORD": PASSWORD}, stdout=subprocess.PIPE, text=True)
        )
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def on_duty(operator: Operator) -> bool:
    operator.refresh_from_db()
    return operator.client_connected and operator.call_centre_mode and operator.status == OperatorStatus.AVAILABLE


def bobs_story() -> Story:
    user = User.objects.create_user("bob", password=PASSWORD)
    return Story(operator={"user": user, "uses_client": False}, wait_for_result=True)


def test_the_client_of_an_operator_takes_a_call_and_reports_it(start: Started) -> None:
    story = bobs_story()
    client = start("operator_client.py", "bob")
    assert "snapshot" in told(client)
    eventually(lambda: on_duty(story.operator))
    story.talk(30)
    eventually(lambda: Member.objects.filter(pk=story.member.pk, success=True).exists())


def test_the_client_of_an_operator_dies_in_a_call_and_reports_it_when_it_is_back(start: Started) -> None:
    story = bobs_story()
    client = start("operator_client.py", "bob")
    assert "snapshot" in told(client)
    eventually(lambda: on_duty(story.operator))
    story.operator_answers()
    while "'call'" not in told(client):
        pass
    client.kill()
    client.wait()
    eventually(lambda: not Operator.objects.get(pk=story.operator.pk).client_connected)
    story.bridged(5)
    story.both_end(30)
    attempt = Attempt.objects.get(pk=story.attempt.pk)
    assert attempt.result_state == ResultState.AWAITED, "the call went on without him"
    assert Operator.objects.get(pk=story.operator.pk).status == OperatorStatus.AVAILABLE, "within his grace"
    back = start("operator_client.py", "bob")
    assert f"'attempt': {attempt.pk}" in told(back), "the snapshot tells it"
    eventually(lambda: Member.objects.filter(pk=story.member.pk, success=True).exists())
    eventually(lambda: on_duty(story.operator))


def test_a_crm_hands_over_a_subscriber_and_reports_his_call(start: Started, house: SimulatedHouse) -> None:
    """The whole way: log in, add with autoRun, the call, the result."""
    factories.make_route(factories.make_gateway())
    campaign = factories.make_campaign(wait_for_result=True, wrap_up_time=30, min_duration=0)
    factories.make_operator(campaign, extension="1001")
    user_in("Integration", "crm")
    client = start("crm_client.py", "crm", campaign.pk, "+380500000000")
    house.until(lambda: Member.objects.filter(success=True).exists(), seconds=40)
    client.wait(10)
    assert client.returncode == 0
    member = Member.objects.get()
    assert (member.name, member.variables) == ("Anna", {"debt": 20000})
    assert len(house.simulator.calls_to("380500000000")) == 1
    attempt = Attempt.objects.get(member=member)
    assert (attempt.result_state, attempt.comment) == (ResultState.APPLIED, "Paid")
    assert attempt.bridged_at is not None
