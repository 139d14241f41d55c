"""A day with the simulated switch: what a test wants of people, restarts, interruptions, and the end of a process."""

from __future__ import annotations

import asyncio
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from dialer.esl.client import Connection
from dialer.esl.errors import ConnectionFailed, Disconnected
from dialer.simulator.scenario import FaultPlan, Restart, Scenario, Span, SwitchPlan
from dialer.simulator.server import Simulator
from dialer.simulator.thread import PROMPT, SimulatorThread

NUMBER = "380501112233"
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


def connect(simulator: SimulatorThread) -> Connection:
    connection = Connection(simulator.host, simulator.port, simulator.password)
    connection.connect()
    return connection


def call(connection: Connection, number: str = NUMBER) -> str:
    """Dial a number and return how its originate ended."""
    connection.subscribe(["BACKGROUND_JOB"])
    connection.bgapi(f"originate {{originate_timeout=2}}sofia/gateway/main/+{number} &park()", uuid4())
    event = connection.receive(5)
    assert event is not None
    return event.body.split()[-1] if event.body.startswith("-ERR") else event.body[:3]


def wait_for(condition: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not come true."
        time.sleep(0.01)


def drain(connection: Connection) -> None:
    while connection.receive(2):
        pass


# --- handles ----------------------------------------------------------------------------------------------------------


def test_a_subscriber_does_as_he_is_told_call_by_call(simulator: SimulatorThread) -> None:
    boris = simulator.subscriber("+" + NUMBER)
    boris.busy().then.fails("UNALLOCATED_NUMBER").then.faults("DESTINATION_OUT_OF_ORDER").then.answers(after=0.05)
    connection = connect(simulator)
    said = [call(connection) for _ in range(5)]
    assert said == ["USER_BUSY", "UNALLOCATED_NUMBER", "DESTINATION_OUT_OF_ORDER", "+OK", "+OK"]
    boris.no_answer()
    assert call(connection) == "NO_ANSWER"
    assert [one.cause for one in boris.calls[:3]] == said[:3]
    assert len(simulator.calls_to(NUMBER)) == 6
    connection.close()


def test_an_operator_does_as_he_is_told(simulator: SimulatorThread) -> None:
    anna = simulator.operator("1001").rejects().then.busy().then.answers()
    connection = connect(simulator)
    assert connection.api("originate user/1001 &park()") == "-ERR CALL_REJECTED\n"
    assert connection.api("originate user/1001 &park()") == "-ERR USER_BUSY\n"
    assert connection.api("originate user/1001 &park()").startswith("+OK ")
    anna.unregister()
    assert connection.api("originate user/1001 &park()") == "-ERR USER_NOT_REGISTERED\n"
    simulator.operator("7000").register()
    assert connection.api("originate user/7000 &park()").startswith("+OK ")
    simulator.operator("380440000001").rejects()
    assert connection.api("originate sofia/gateway/main/380440000001 &park()") == "-ERR CALL_REJECTED\n"
    assert simulator.calls[-1].party == "operator"
    connection.close()


def test_a_cause_that_does_not_exist_is_refused(simulator: SimulatorThread) -> None:
    with pytest.raises(ValueError, match="GONE_FISHING"):
        simulator.subscriber(NUMBER).fails("GONE_FISHING")


def test_gateways_go_down_and_the_switch_pauses(simulator: SimulatorThread) -> None:
    connection = connect(simulator)
    simulator.gateway_down("main")
    assert call(connection) == "GATEWAY_DOWN"
    simulator.gateway_up("main")
    simulator.pause()
    assert call(connection) == "DESTINATION_OUT_OF_ORDER"
    simulator.resume()
    assert call(connection) == "+OK"
    assert simulator.peak("main") == 1
    connection.close()


def test_events_can_be_lost_doubled_and_late(simulator: SimulatorThread) -> None:
    connection = connect(simulator)
    connection.subscribe(["CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_PARK", "BACKGROUND_JOB"])

    def heard() -> list[str]:
        connection.bgapi("originate user/1001 &park()", uuid4())
        events = []
        while event := connection.receive(0.5):
            events.append(event.name.removeprefix("CHANNEL_"))
        return events

    simulator.lose("CHANNEL_ANSWER")
    simulator.double("CHANNEL_CREATE")
    simulator.delay(0.3, "BACKGROUND_JOB")
    assert heard() == ["CREATE", "CREATE", "PARK", "BACKGROUND_JOB"]
    simulator.deliver("CHANNEL_ANSWER")
    assert heard() == ["CREATE", "CREATE", "ANSWER", "PARK", "BACKGROUND_JOB"]
    simulator.deliver()
    assert heard() == ["CREATE", "ANSWER", "BACKGROUND_JOB", "PARK"]
    connection.close()


# --- restarts and interruptions ---------------------------------------------------------------------------------------


def test_a_restart_loses_all_calls_and_changes_the_core(simulator: SimulatorThread) -> None:
    connection = connect(simulator)
    assert call(connection) == "+OK"
    before, core, port = simulator.live_calls, connection.core_uuid, simulator.port
    assert len(before) == 1
    simulator.restart()
    with pytest.raises(Disconnected):
        drain(connection)
    again = connect(simulator)
    assert again.core_uuid not in (None, core)
    assert str(again.core_uuid) == simulator.core_uuid
    assert simulator.port == port
    assert again.api("show channels count") == "\n0 total.\n"
    assert simulator.live_calls == []
    assert call(again) == "+OK"
    again.close()


def test_a_graceful_restart_hangs_up_and_says_so(simulator: SimulatorThread) -> None:
    connection = connect(simulator)
    assert call(connection) == "+OK"
    connection.subscribe(["CHANNEL_HANGUP_COMPLETE"])
    simulator.restart(graceful=True)
    event = connection.receive(2)
    assert event is not None
    assert event.get("Hangup-Cause") == "SYSTEM_SHUTDOWN"
    with pytest.raises(Disconnected, match="shut down"):
        connection.receive(2)


def test_a_switch_that_is_down_refuses_connections(simulator: SimulatorThread) -> None:
    connection = connect(simulator)
    assert connection.api("fsctl shutdown") == "+OK\n"

    def gone() -> bool:
        try:
            connect(simulator).close()
        except (ConnectionFailed, Disconnected):
            return True
        return False

    wait_for(gone)


def test_a_dropped_connection_ends_no_call(simulator: SimulatorThread) -> None:
    connection = connect(simulator)
    assert call(connection) == "+OK"
    simulator.drop_connections()
    with pytest.raises(Disconnected):
        connection.receive(2)
    again = connect(simulator)
    assert again.api("show channels count") == "\n1 total.\n"
    again.close()


def test_a_scenario_restarts_the_switch_by_itself() -> None:
    plan = SwitchPlan(restarts=(Restart(at=0.3, down=0.1),), disconnects=(0.1,))
    with SimulatorThread(Scenario(switch=plan)) as simulator:
        connection = connect(simulator)
        core = simulator.core_uuid
        with pytest.raises(Disconnected):
            connection.receive(2)
        wait_for(lambda: simulator.core_uuid != core)
        wait_for(lambda: _listens(simulator))


def _listens(simulator: SimulatorThread) -> bool:
    try:
        connect(simulator).close()
    except (ConnectionFailed, Disconnected):
        return False
    return True


def test_a_refused_command_was_not_done() -> None:
    faulty = Scenario(faults=FaultPlan(refused_commands=1.0))
    with SimulatorThread(faulty) as simulator:
        connection = connect(simulator)
        assert connection.bgapi("originate user/1001 &park()", uuid4()).text.startswith("-ERR")
        assert simulator.calls == []
        connection.close()


# --- the day goes on --------------------------------------------------------------------------------------------------


def test_a_killed_simulator_goes_on_with_the_same_day(tmp_path: Path) -> None:
    day = Scenario(subscribers=replace(PROMPT.subscribers, talk=Span(1, 1000)))

    def play(pieces: list[int], state: Path) -> list[float | None]:
        talks: list[float | None] = []
        for calls in pieces:
            with SimulatorThread(day, seed=9, state=state) as simulator:
                connection = connect(simulator)
                for _ in range(calls):
                    leg = uuid4()
                    connection.api(f"originate {{origination_uuid={leg}}}sofia/gateway/main/{NUMBER} &park()")
                    talks.append(simulator.switch.legs[str(leg)].behaviour.talks)
                connection.close()
        return talks

    whole, in_pieces = play([6], tmp_path / "whole"), play([1, 2, 3], tmp_path / "pieces")
    assert in_pieces == whole
    assert len(set(whole)) == 6
    assert len((tmp_path / "pieces").read_text().splitlines()) == 7


def test_it_also_runs_on_a_loop_of_the_test() -> None:
    async def day() -> list[str]:
        async with Simulator(PROMPT) as simulator:
            reader, writer = await asyncio.open_connection(simulator.host, simulator.port)
            assert await reader.readuntil(b"\n\n") == b"Content-Type: auth/request\n\n"
            writer.write(f"auth {simulator.password}\n\napi originate user/1001 &park()\n\n".encode())
            await reader.readuntil(b"+OK accepted\n\n")
            await reader.readuntil(b"+OK ")
            writer.close()
            return [one.number for one in simulator.calls]

    assert asyncio.run(day()) == ["1001"]


# --- the process ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_its_port_and_ends_on_a_signal(number: signal.Signals) -> None:
    command = [sys.executable, "manage.py", "simulate", "--listen", "127.0.0.1:0", "--password", "secret"]
    arguments = ["--scenario", "calm", "--seed", "3", "--operators", "1001-1003"]
    with subprocess.Popen([*command, *arguments], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], 60)[0]
            said = re.fullmatch(r"Simulated switch on 127\.0\.0\.1:(\d+), seed 3\.\n", process.stdout.readline())
            assert said
            with Connection("127.0.0.1", int(said[1]), "secret") as connection:
                assert connection.api("show registrations count") == "\n3 total.\n"
            process.send_signal(number)
            assert process.wait(20) == 0
        finally:
            process.kill()
