"""Listeners: one hears a switch, others stand by and take over; several switches, of which one dies or refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from agents.models import Operator
from campaigns.models import Campaign, CampaignState, ConnectOrder
from dialer import clock
from dialer.engine import invariants, lease, listener, tasks
from dialer.engine.lease import Lease, LeaseLost
from dialer.engine.listener import Listener
from dialer.models import Attempt, Node, Repair
from dialer.processes import PROJECT
from dialer.simulator.thread import SimulatorThread
from dialer.switch import events
from dialer.switch.nodes import SwitchNode, configured
from members.models import Member
from tests.engine.story import Story
from tests.engine.test_rules import in_threads
from tests.factories import make_campaign, make_gateway, make_member, make_node, make_operator, make_route

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def eventually(condition: Callable[[], object], seconds: float = 15) -> float:
    """Wait until something holds; return how many seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "It never came to hold."
        time.sleep(0.05)
    return time.monotonic() - began


def dial_until(condition: Callable[[], object], seconds: float = 40) -> None:
    """Run passes until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"It never came to hold; live: {list(Attempt.objects.live())}"
        tasks.dispatch_pass()
        tasks.tidy_up()
        time.sleep(0.05)


def calling(count: int, **fields: Any) -> Campaign:
    """Add a campaign that runs, with so many subscribers and half as many operators."""
    make_route(make_gateway(capacity=1000))
    campaign = make_campaign(**{"limit": 1000, "min_duration": 0, "retry_wait": 1, **fields})
    Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
    for number in range(count // 2):
        make_operator(campaign, extension=str(1001 + number), wrap_up_time=0)
    for _ in range(count):
        make_member(campaign)
    return campaign


def completed() -> bool:
    return not Campaign.objects.exclude(state=CampaignState.COMPLETED).exists()


Start = Callable[..., Event]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start listeners in a thread; the event that is returned ends them. All have ended when the test is over."""
    started: list[tuple[Event, Thread]] = []

    def begin(*listeners: Listener) -> Event:
        stopping = Event()

        def run(one: Listener) -> None:
            try:
                one.listen_until_stopped()
            finally:
                connections.close_all()

        for one in listeners:
            one.stopping = stopping
            thread = Thread(target=run, args=(one,), daemon=True)
            thread.start()
            started.append((stopping, thread))
        return stopping

    yield begin
    for stopping, _ in started:
        stopping.set()
    for _, thread in started:
        thread.join(10)
        assert not thread.is_alive()
    assert invariants.find_violations() == []


@pytest.fixture
def simulator(settings: Any) -> Iterator[SimulatorThread]:
    with SimulatorThread() as simulator:
        settings.FREESWITCH_URL = simulator.url
        yield simulator


def who(node: Node | None = None) -> tuple[str, list[str]]:
    """Return who hears a switch, and who stands by."""
    found = lease.listeners()[(node or Node.objects.get()).pk]
    return found.hears, found.stand_by


# --- taking turns -----------------------------------------------------------------------------------------------


def test_one_hears_the_others_stand_by_and_one_of_them_takes_over(simulator: SimulatorThread, start: Start) -> None:
    (switch,) = configured()
    first = start(Listener(switch, "first"))
    eventually(lambda: Node.objects.filter(connected=True, listener="first").exists())
    start(Listener(switch, "second"))
    eventually(lambda: who() == ("first", ["second"]))
    time.sleep(2)
    assert who() == ("first", ["second"])
    first.set()
    eventually(lambda: Node.objects.filter(connected=True, listener="second").exists(), 3)
    eventually(lambda: who() == ("second", []))


def test_a_listener_whose_session_was_ended_steps_down(simulator: SimulatorThread, start: Start) -> None:
    (switch,) = configured()
    start(Listener(switch, "first"))
    eventually(lambda: Node.objects.filter(listener="first").exists())
    with Lease(Node.objects.get().pk, "second") as second:
        assert not second.take()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'first' AND datname = current_database()"
            )
        eventually(second.take, 3)
        # It has noticed that it no longer hears the switch, and says so.
        eventually(lambda: Node.objects.filter(connected=False, listener="").exists(), 5)
        eventually(lambda: who() == ("second", ["first"]))
        second.check()
    eventually(lambda: Node.objects.filter(connected=True, listener="first").exists(), 5)


def test_a_right_that_is_not_held_is_noticed() -> None:
    with Lease(7, "first") as first, Lease(7, "second") as second:
        with pytest.raises(LeaseLost):
            first.check()
        assert first.take()
        assert first.take()
        first.check()
        assert not second.take()
        with pytest.raises(LeaseLost):
            second.check()
        with Lease(8, "second") as other:
            assert other.take(), "another switch is another turn"
            assert {node: (found.hears, found.stand_by) for node, found in lease.listeners().items()} == {
                7: ("first", ["second"]),
                8: ("second", []),
            }


def test_a_listener_that_was_replaced_notes_nothing_more(simulator: SimulatorThread, start: Start) -> None:
    """The database says so even where the locks do not: behind a pooler that shares sessions."""
    (switch,) = configured()
    start(Listener(switch, "first"))
    eventually(lambda: Node.objects.filter(connected=True).exists())
    Node.objects.update(listener="second")
    heard = Node.objects.get().last_event_at
    time.sleep(1.5)
    # It stood down and took its turn anew, as nobody else did.
    eventually(lambda: Node.objects.filter(listener="first", last_event_at__gt=heard).exists(), 5)


@pytest.mark.parametrize("order", ConnectOrder.values)
def test_events_that_two_listeners_apply_do_nothing_twice(
    simulator: SimulatorThread, start: Start, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """What must never be: the lock does not hold, and nobody steps down."""
    monkeypatch.setattr(Lease, "take", lambda lease: True)
    monkeypatch.setattr(Lease, "check", lambda lease: None)
    monkeypatch.setattr(Listener, "_note_heard", lambda self: Node.objects.update(last_event_at=clock.now()))
    (switch,) = configured()
    start(Listener(switch, "first"), Listener(switch, "second"))
    eventually(lambda: Node.objects.filter(connected=True).exists())
    calling(12, connect_order=order)
    dial_until(completed)
    assert Member.objects.filter(success=True, counted=1).count() == Attempt.objects.count() == 12
    assert len(simulator.calls) == 24, "one leg each for twelve subscribers and operators"
    assert sum(operator.calls for operator in Operator.objects.all()) == 12
    assert not Repair.objects.exists()


def test_an_event_that_loses_a_deadlock_is_applied_all_the_same() -> None:
    story = Story()
    story.operator_rings()
    listener = Listener(SwitchNode("127.0.0.1", 8021, "ClueCon"))
    end = events.LegHungUp(
        at=story.at(3), core_uuid=story.core, leg=story.attempt.operator_uuid, attempt_id=story.attempt.pk,
        role="operator", cause="CALL_REJECTED", created_at=None, progress_at=None, answered_at=None, bridged_at=None,
        originate_disposition="", last_bridge_hangup_cause="", by_phone=True,
    )  # fmt: skip
    has_member = Event()

    def another() -> None:
        """Lock the two rows of the call the wrong way round."""
        with transaction.atomic():
            Member.objects.select_for_update().get(pk=story.member.pk)
            has_member.set()
            time.sleep(0.5)  # the listener has the operator by now, and waits
            Operator.objects.select_for_update().get(pk=story.operator.pk)

    def listen() -> None:
        has_member.wait(10)
        listener._apply(end, None)  # type: ignore[arg-type]  # it orders nothing

    in_threads(another, listen)
    assert story.now()[0].cause == "CALL_REJECTED"


def test_a_switch_that_one_listener_cannot_reach_is_tried_by_the_other(start: Start, settings: Any) -> None:
    with SimulatorThread() as simulator:
        here = SwitchNode("127.0.0.1", simulator.port, simulator.password)
        wrong = SwitchNode("127.0.0.1", simulator.port, "wrong")
        start(Listener(wrong, "first"))
        eventually(lambda: Node.objects.exists())
        eventually(lambda: who() == ("", ["first"]))
        start(Listener(here, "second"))
        eventually(lambda: Node.objects.filter(connected=True, listener="second").exists())


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a process on the database of this test."""
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    return {**os.environ, "DATABASE_URL": url.geturl()}


@pytest.mark.parametrize("last_words", [signal.SIGKILL, signal.SIGTERM])
def test_when_its_listener_is_killed_the_stand_by_hears_a_switch_within_seconds(
    simulator: SimulatorThread, environment: dict[str, str], last_words: signal.Signals
) -> None:
    campaign = calling(4)
    for member in Member.objects.all():
        simulator.subscriber(member.communications.get().digits).answers(after=0.1, talks=4)
    command = [sys.executable, "manage.py", "listen"]
    processes = [
        subprocess.Popen(command, cwd=PROJECT, env={**environment, "FREESWITCH_URL": simulator.url}) for _ in range(2)
    ]
    try:
        eventually(lambda: Node.objects.exists() and all(who()), 30)
        pids = {process.pid: process for process in processes}
        active, (standing_by,) = who()
        eventually(lambda: Node.objects.filter(connected=True).exists())
        dial_until(lambda: Attempt.objects.filter(bridged_at__isnull=False).count() == 2)
        pids[int(active.rpartition(":")[2])].send_signal(last_words)
        took = eventually(lambda: Node.objects.filter(connected=True, listener=standing_by).exists())
        assert took < 3
        assert who() == (standing_by, [])
        dial_until(completed)
        assert Member.objects.filter(success=True).count() == 4
        assert Attempt.objects.filter(campaign=campaign).count() == 4, "nothing was doubled"
        assert not Repair.objects.exists()
        for attempt in Attempt.objects.all():
            assert 3.5 < attempt.talk_seconds < 4.5
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(10)
    assert invariants.find_violations() == []


def test_a_listener_that_hangs_is_relieved_by_the_stand_by(
    simulator: SimulatorThread, environment: dict[str, str], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HANGS_AFTER", timedelta(seconds=3))
    command = [sys.executable, "manage.py", "listen"]
    process = subprocess.Popen(command, cwd=PROJECT, env={**environment, "FREESWITCH_URL": simulator.url})
    try:
        eventually(lambda: Node.objects.filter(connected=True).exists(), 30)
        hanging = Node.objects.get().listener
        (switch,) = configured()
        start(Listener(switch, "standing-by"))
        eventually(lambda: who() == (hanging, ["standing-by"]))
        time.sleep(4)
        assert who()[0] == hanging, "one that hears keeps its right"
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: Node.objects.filter(connected=True, listener="standing-by").exists(), 8)
        process.send_signal(signal.SIGCONT)
        eventually(lambda: who() == ("standing-by", [hanging]))
        assert Node.objects.get().listener == "standing-by"
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(10)


# --- several switches -------------------------------------------------------------------------------------------


@pytest.fixture
def two(settings: Any) -> Iterator[list[SimulatorThread]]:
    with ExitStack() as stack:
        simulators = [stack.enter_context(SimulatorThread()) for _ in range(2)]
        settings.FREESWITCH_URL = ",".join(simulator.url for simulator in simulators)
        yield simulators


def heard() -> int:
    return Node.objects.filter(connected=True).count()


def test_two_switches_share_the_calls_and_when_one_dies_the_other_goes_on(
    two: list[SimulatorThread], start: Start
) -> None:
    start(*(Listener(switch) for switch in configured()))
    eventually(lambda: heard() == 2)
    calling(24, max_retries=10)
    dial_until(lambda: Attempt.objects.ended().count() >= 6)
    by_node = Counter(Attempt.objects.values_list("node__name", flat=True))
    assert set(by_node) == {switch.name for switch in configured()}
    dial_until(lambda: two[0].live_calls)
    two[0].stop()
    dial_until(completed)
    assert Member.objects.filter(success=True).count() == 24
    gone = Node.objects.get(name=configured()[0].name)
    assert not gone.connected
    after = Attempt.objects.filter(reserved_at__gt=gone.last_event_at)
    assert after.filter(node=gone).count() < after.exclude(node=gone).count()
    assert Operator.objects.filter(current_attempt__isnull=False).count() == 0


def test_a_phone_counts_as_registered_while_any_switch_has_it(two: list[SimulatorThread], start: Start) -> None:
    operator = make_operator(make_campaign(), extension="1001")
    start(*(Listener(switch) for switch in configured()))
    eventually(lambda: heard() == 2)

    def registered() -> bool:
        return Operator.objects.get(pk=operator.pk).registered

    two[0].operator("1001").unregister()
    eventually(lambda: operator.registrations.filter(registered=True).count() == 1)
    assert registered()
    two[1].operator("1001").unregister()
    eventually(lambda: not registered())
    two[0].operator("1001").register()
    eventually(registered)


def test_a_phone_that_leaves_counts_as_gone_at_once_and_his_other_phone_is_found_again(
    two: list[SimulatorThread], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch's own list tells a moment late that a phone has left."""
    monkeypatch.setattr(listener, "PHONES_EVERY", 3600.0)
    make_operator(make_campaign(), extension="1001")
    start(Listener(configured()[0]))
    eventually(lambda: heard() == 1)
    two[0].operator("1001").unregister(last=False)
    eventually(lambda: Operator.objects.filter(registered=False).exists())
    eventually(lambda: Operator.objects.filter(registered=True).exists())
    two[0].operator("1001").unregister()
    eventually(lambda: Operator.objects.filter(registered=False).exists())
    time.sleep(2 * listener.PHONES_LAG)
    assert Operator.objects.filter(registered=False).exists()


def fsctl(simulator: SimulatorThread, command: str) -> None:
    with SwitchNode("127.0.0.1", simulator.port, simulator.password).connect() as line:
        assert line._connection.api(f"fsctl {command}").startswith("+OK")


def test_what_a_switch_allows_is_known_and_kept_to(two: list[SimulatorThread], start: Start) -> None:
    fsctl(two[0], "max_sessions 4")
    fsctl(two[1], "sps 8")
    start(*(Listener(switch) for switch in configured()))
    small, slow = (switch.name for switch in configured())
    eventually(lambda: Node.objects.filter(name=small, sessions_allowed=4).exists())
    eventually(lambda: Node.objects.filter(name=slow, rate_allowed=8).exists())
    eventually(lambda: heard() == 2)
    calling(16)
    dial_until(completed)
    assert Member.objects.filter(success=True).count() == 16
    assert not Attempt.objects.filter(outcome="refunded").exists(), "no call was refused"


def test_a_paused_switch_gets_no_calls_until_it_resumes(simulator: SimulatorThread, start: Start) -> None:
    start(Listener(configured()[0]))
    eventually(lambda: heard() == 1)
    fsctl(simulator, "pause")
    eventually(lambda: Node.objects.filter(ready=False).exists())
    calling(2)
    for _ in range(5):
        tasks.dispatch_pass()
    assert not Attempt.objects.exists()
    fsctl(simulator, "resume")
    dial_until(completed)


def test_calls_beyond_an_unknown_limit_are_refunded_and_the_pace_adapts(
    simulator: SimulatorThread, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when others use up what the switch allows: the ledger cannot know of it."""
    monkeypatch.setattr("dialer.switch.nodes.Line.status", lambda line: None)
    fsctl(simulator, "sps 7")
    time.sleep(1)  # it holds from the next second on
    start(Listener(configured()[0]))
    eventually(lambda: heard() == 1)
    calling(30, max_retries=3)
    rates: list[float | None] = []

    def done() -> bool:
        rates.append(Node.objects.get().rate)
        return completed()

    dial_until(done, 60)
    assert Member.objects.filter(success=True, counted=1).count() == 30, "nobody was counted for a refused call"
    refused = Attempt.objects.filter(outcome="refunded")
    assert refused.exists()
    paces = [rate for rate in rates if rate is not None]
    assert paces, "it was given fewer calls a second"
    assert max(paces[paces.index(min(paces)) :]) > min(paces), "and more again, while they went through"


def test_a_restarted_switch_is_known_as_such(simulator: SimulatorThread, start: Start) -> None:
    start(Listener(configured()[0]))
    eventually(lambda: heard() == 1)
    before = Node.objects.get()
    assert before.started_at
    assert before.restarted_at is None
    simulator.restart()
    eventually(lambda: Node.objects.exclude(core_uuid=before.core_uuid).filter(connected=True).exists())
    assert Node.objects.get().restarted_at


# --- the command ------------------------------------------------------------------------------------------------


def test_one_process_hears_all_switches(two: list[SimulatorThread]) -> None:
    stopping = Event()
    thread = Thread(target=listener.listen, args=(configured(), stopping))
    thread.start()
    eventually(lambda: heard() == 2)
    stopping.set()
    thread.join(10)
    assert heard() == 0


def test_when_one_of_its_threads_fails_the_whole_process_ends(
    two: list[SimulatorThread], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = configured()[0]
    real = Listener.listen_until_stopped

    def fail(self: Listener) -> None:
        if self.switch == first:
            eventually(lambda: heard() == 1)
            raise RuntimeError("a fault of ours")
        real(self)

    monkeypatch.setattr(Listener, "listen_until_stopped", fail)
    assert listener.listen(configured(), Event()) is False
    assert heard() == 0


def test_a_switch_that_is_not_configured_cannot_be_heard(settings: Any) -> None:
    settings.FREESWITCH_URL = "esl://:secret@one:8021,esl://:secret@two:8021"
    make_node()
    with pytest.raises(CommandError, match="one:8021, two:8021"):
        call_command("listen", "--node", "three:8021")
