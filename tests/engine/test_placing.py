"""From a reservation to a command: what may still be sent, and what becomes of what may not."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine

from campaigns import actions as campaigns
from campaigns.models import ConnectOrder
from dialer import clock
from dialer.engine import calls, dispatch, placing
from dialer.esl.client import Outcome, Reply
from dialer.models import Attempt
from dialer.switch.commands import Originate
from dialer.switch.nodes import SwitchNode
from tests.engine.test_rules import MONDAY, claim, in_threads, office, running, served_by
from tests.factories import make_member, make_node, make_operator, make_route

pytestmark = pytest.mark.django_db


class Line:
    """Stands for a placer and its line: it takes every command and keeps it."""

    def __init__(self) -> None:
        self.core_uuid = uuid4()
        self.taken: list[Originate] = []

    def line(self) -> Line:
        return self

    def place(self, originates: Sequence[Originate], **_: Any) -> list[Reply]:
        self.taken += originates
        return [Reply(Outcome.ACCEPTED, "+OK")] * len(originates)


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Line:
    line = Line()
    make_node(name="127.0.0.1:8021", last_event_at=clock.now() + timedelta(hours=1))
    monkeypatch.setattr(placing, "configured", lambda: [SwitchNode("127.0.0.1", 8021, "ClueCon")])
    monkeypatch.setattr(placing, "placer", lambda _: line)
    return line


def test_what_cannot_be_said_is_not_tried_again_and_again(switch: Line) -> None:
    """The route strips more characters than its numbers have: nothing is left to dial."""
    make_route(strip=20)
    campaign = running(retry_wait=0)
    make_operator(campaign)
    member = make_member(campaign)
    (attempt_id,) = dispatch.run_pass().claimed
    placing.place([attempt_id])
    attempt = Attempt.objects.get(pk=attempt_id)
    assert (attempt.cause, attempt.outcome, attempt.counted) == ("NOT_SAYABLE", "refunded", False)
    assert switch.taken == []
    assert dispatch.run_pass().claimed == []
    member.refresh_from_db()
    assert attempt.ended_at
    assert member.due_at >= attempt.ended_at + timedelta(seconds=60)


@pytest.mark.parametrize("order", ConnectOrder.values)
@pytest.mark.parametrize("late", ["closed", "expired"])
def test_what_comes_too_late_to_be_dialled_while_it_is_allowed_is_not_sent(switch: Line, order: str, late: str) -> None:
    """A worker that was held up between the claim and the command."""
    make_route()
    campaign = running(office(), connect_order=order)
    make_operator(campaign, call_timeout=15)
    closes = MONDAY.replace(hour=16)
    if late == "expired":
        closes -= timedelta(hours=1)
    make_member(campaign, expire_at=closes if late == "expired" else None)
    before = 20 if order == ConnectOrder.OPERATOR_FIRST else 3
    claimed = claim(closes - timedelta(seconds=before))
    assert len(claimed) == 1
    with time_machine.travel(closes - timedelta(seconds=before - 5), tick=False):
        placing.place([claimed[0].pk])
    claimed[0].refresh_from_db()
    assert switch.taken == []
    assert (claimed[0].outcome, claimed[0].counted, claimed[0].sending_at) == ("refunded", False, None)


@pytest.mark.django_db(transaction=True)
def test_a_stop_while_calls_are_sent_withdraws_what_it_comes_to_first_and_neither_waits_for_the_other(
    switch: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A STOP goes by operators, the worker by attempts: it must not wait for one while the STOP waits for another."""
    make_route()
    campaign = running()
    second, first = make_operator(campaign, idle_since=clock.now()), make_operator(campaign, idle_since=MONDAY)
    make_member(campaign), make_member(campaign)
    attempts = [attempt.pk for attempt in claim()]
    assert served_by(Attempt.objects.order_by("pk")) == [first.pk, second.pk]
    withdraw, withdrawn = calls.withdraw, threading.Event()

    def withdraw_slowly(attempt_id: int) -> bool:
        was = withdraw(attempt_id)
        withdrawn.set()
        time.sleep(0.5)
        return was

    def send() -> None:
        withdrawn.wait(10)
        placing.place(attempts)

    monkeypatch.setattr(calls, "withdraw", withdraw_slowly)
    in_threads(lambda: campaigns.stop(campaign.pk), send)
    sent, stopped = Attempt.objects.order_by("pk")
    assert (len(switch.taken), sent.sending_at is None) == (1, False)
    assert (stopped.sending_at, stopped.cause) == (None, "WITHDRAWN")
