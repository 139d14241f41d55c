"""The simulated switch speaks event socket as a FreeSWITCH does, over a real socket."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from dialer.esl.client import Connection, Outcome
from dialer.esl.errors import AuthenticationFailed, ConnectionFailed
from dialer.simulator.thread import SimulatorThread

NUMBER = "380501112233"


@pytest.fixture
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


class Raw:
    """A client that sees the bytes."""

    def __init__(self, simulator: SimulatorThread, *, log_in: bool = True) -> None:
        self.socket = socket.create_connection((simulator.host, simulator.port), 5)
        self.socket.settimeout(5)
        self.read = ""
        assert self.until("\n\n") == "Content-Type: auth/request\n\n"
        if log_in:
            assert self.ask(f"auth {simulator.password}") == "Content-Type: command/reply\nReply-Text: +OK accepted\n\n"

    def until(self, end: str) -> str:
        while end not in self.read:
            data = self.socket.recv(65536)
            assert data, f"Closed after {self.read!r}"
            self.read += data.decode()
        found, self.read = self.read[: self.read.index(end) + len(end)], self.read[self.read.index(end) + len(end) :]
        return found

    def say(self, text: str) -> None:
        self.socket.sendall(f"{text}\n\n".encode())

    def ask(self, text: str, end: str = "\n\n") -> str:
        self.say(text)
        return self.until(end)

    def reply(self, text: str) -> str:
        found = re.search(r"Reply-Text: (.*)", self.ask(text))
        assert found
        return found[1]

    def rest(self) -> str:
        """Read until the switch closes."""
        while data := self.socket.recv(65536):
            self.read += data.decode()
        return self.read

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def raw(simulator: SimulatorThread) -> Iterator[Raw]:
    client = Raw(simulator)
    yield client
    client.close()


@pytest.fixture
def connection(simulator: SimulatorThread) -> Iterator[Connection]:
    with Connection(simulator.host, simulator.port, simulator.password) as connected:
        yield connected


# --- log-in and the end -----------------------------------------------------------------------------------------------


GOODBYE = (
    "Content-Type: text/disconnect-notice\nContent-Length: 67\n\n"
    "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
)


def test_a_wrong_password_is_answered_and_shown_out(simulator: SimulatorThread) -> None:
    raw = Raw(simulator, log_in=False)
    raw.say("auth nope")
    assert raw.rest() == "Content-Type: command/reply\nReply-Text: -ERR invalid\n\n" + GOODBYE
    raw.close()
    with pytest.raises(AuthenticationFailed):
        Connection(simulator.host, simulator.port, "nope").connect()


def test_nothing_is_done_before_the_log_in(simulator: SimulatorThread) -> None:
    raw = Raw(simulator, log_in=False)
    assert raw.reply("api status") == "-ERR command not found"
    raw.close()


def test_whom_the_access_list_does_not_admit_is_turned_away(simulator: SimulatorThread) -> None:
    simulator.turn_away()
    with socket.create_connection((simulator.host, simulator.port), 5) as client:
        client.settimeout(5)
        assert client.recv(1000) == (
            b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n"
        )
        assert client.recv(1000) == b""
    with pytest.raises(ConnectionFailed):
        Connection(simulator.host, simulator.port, simulator.password).connect()
    simulator.turn_away(False)
    Raw(simulator).close()


def test_exit_says_goodbye(raw: Raw) -> None:
    raw.say("exit")
    assert raw.rest() == "Content-Type: command/reply\nReply-Text: +OK bye\n\n" + GOODBYE


def test_replies_are_those_of_the_switch(raw: Raw) -> None:
    job = "11111111-2222-3333-4444-555555555555"
    assert raw.reply("event plain CHANNEL_ANSWER BACKGROUND_JOB") == "+OK event listener enabled plain"
    assert raw.reply("event json ALL") == "+OK event listener enabled json"
    assert raw.reply("event plain") == "-ERR no keywords supplied"
    assert raw.reply("nixevent BACKGROUND_JOB") == "+OK events nixed"
    assert raw.reply("filter Event-Name BACKGROUND_JOB") == "+OK filter added. [Event-Name]=[BACKGROUND_JOB]"
    assert raw.reply("filter delete Event-Name BACKGROUND_JOB") == "+OK filter deleted. [Event-Name][BACKGROUND_JOB]"
    assert raw.reply("filter Event-Name") == "-ERR invalid syntax"
    assert raw.reply("noevents") == "+OK no longer listening for events"
    assert raw.reply("noevents") == "-ERR not listening for events"
    assert raw.reply("linger") == "-ERR not controlling a session"
    assert raw.reply("nosuchverb") == "-ERR command not found"
    assert raw.ask(f"bgapi status\nJob-UUID: {job}") == (
        f"Content-Type: command/reply\nReply-Text: +OK Job-UUID: {job}\nJob-UUID: {job}\n\n"
    )
    assert raw.ask("api uuid_exists nope", "false") == "Content-Type: api/response\nContent-Length: 5\n\nfalse"
    assert raw.ask("api nosuch x", "found!\n").endswith("-ERR nosuch Command not found!\n")
    assert raw.reply("sendmsg nobody") == "-ERR invalid session id [nobody]"


def test_the_status_reads_as_that_of_the_switch(connection: Connection) -> None:
    lines = connection.api("status").splitlines()
    assert lines[0].startswith("UP 0 years, 0 days, 0 hours, ")
    assert re.fullmatch(r"FreeSWITCH \(Version 1\.11\.2-release .*\) is ready", lines[1])
    assert lines[5] == "5000 session(s) max"


# --- events -----------------------------------------------------------------------------------------------------------


def names(connection: Connection, wait: float = 0.3) -> list[str]:
    found = []
    while event := connection.receive(wait):
        found.append(event.subclass or event.name)
    return found


def test_only_what_was_asked_for_comes(simulator: SimulatorThread, connection: Connection) -> None:
    simulator.operator("1001").register()
    connection.subscribe(["HEARTBEAT", "sofia::register"])
    simulator.operator("1001").unregister()
    simulator.operator("1001").register()
    simulator.fire("dialer::status", extension="1001", status="Available")
    assert names(connection) == ["sofia::register"]


def test_both_formats_tell_the_same(simulator: SimulatorThread) -> None:
    plain, as_json = Raw(simulator), Raw(simulator)
    plain.reply("event plain CUSTOM dialer::status")
    as_json.reply("event json CUSTOM dialer::status")
    simulator.fire("dialer::status", extension="1001", status="On Break")
    head, body = plain.until("\n\n"), plain.until("\n\n")
    assert f"Content-Length: {len(body)}\nContent-Type: text/event-plain" in head
    assert "status: On%20Break\n" in body
    as_json.until("\n\n")
    assert json.loads(as_json.until("}"))["status"] == "On Break"
    plain.close()
    as_json.close()


def test_a_filter_keeps_other_events_out(simulator: SimulatorThread, connection: Connection) -> None:
    connection.subscribe(["CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE"])
    connection.filter("Event-Name", "CHANNEL_ANSWER")
    connection.bgapi("originate user/1001 &hangup()", uuid4())
    assert names(connection, 0.5) == ["CHANNEL_ANSWER"]


def test_one_client_may_fire_what_another_hears(simulator: SimulatorThread, connection: Connection) -> None:
    connection.subscribe(["dialer::status"])
    raw = Raw(simulator)
    reply = raw.reply("sendevent CUSTOM\nEvent-Subclass: dialer::status\nExtension: 1001\nstatus: Available")
    assert reply.startswith("+OK ")
    event = connection.receive(2)
    assert event is not None
    assert (event.subclass, event.get("Extension"), event.get("status")) == ("dialer::status", "1001", "Available")
    raw.close()


# --- calls ------------------------------------------------------------------------------------------------------------


def test_the_reply_to_a_background_command_comes_before_its_job(raw: Raw) -> None:
    raw.reply("event plain BACKGROUND_JOB")
    for _ in range(20):
        job = str(uuid4())
        assert f"Reply-Text: +OK Job-UUID: {job}" in raw.ask(f"bgapi status\nJob-UUID: {job}")
        assert f"Job-UUID: {job}" in raw.until("Stack Size/Max 240K/240K\n")


def test_an_originate_by_api_holds_up_only_its_own_connection(
    simulator: SimulatorThread, raw: Raw, connection: Connection
) -> None:
    simulator.operator("1001").answers(after=0.3)
    began = time.monotonic()
    raw.say("api originate user/1001 &park()\n\napi uuid_exists nope")
    assert connection.api("uuid_exists nope") == "false"
    assert time.monotonic() - began < 0.25
    assert "+OK " in raw.until("false")
    assert time.monotonic() - began > 0.3


def test_jobs_of_a_client_that_left_go_on(simulator: SimulatorThread, connection: Connection) -> None:
    connection.subscribe(["BACKGROUND_JOB"])
    other = Connection(simulator.host, simulator.port, simulator.password)
    other.connect()
    job = uuid4()
    assert other.bgapi("originate user/1001 &park()", job).outcome is Outcome.ACCEPTED
    other.close()
    event = connection.receive(2)
    assert event is not None
    assert (event.get("Job-UUID"), event.body[:3]) == (str(job), "+OK")


def test_many_commands_at_once_are_all_answered_in_order(simulator: SimulatorThread, connection: Connection) -> None:
    commands = [(f"originate sofia/gateway/main/38050{at:07} &park()", uuid4()) for at in range(300)]
    replies = connection.bgapi_many(commands)
    assert [reply.text for reply in replies] == [f"+OK Job-UUID: {job}" for _, job in commands]
    assert [call.number for call in simulator.calls] == [f"38050{at:07}" for at in range(300)]


def test_a_message_sets_a_variable_as_it_is_and_hangs_up(simulator: SimulatorThread, raw: Raw) -> None:
    leg = str(uuid4())
    raw.ask(f"api originate {{origination_uuid={leg}}}user/1001 &park()", leg)
    body = "note= two\nlines "
    assert (
        raw.reply(
            f"sendmsg {leg}\ncall-command: execute\nexecute-app-name: set\ncontent-type: text/plain\n"
            f"content-length: {len(body)}\n\n{body}"
        )
        == "+OK"
    )
    assert raw.ask(f"api uuid_getvar {leg} note", "lines ").endswith("\n\n two\nlines ")
    assert raw.reply(f"sendmsg {leg}\ncall-command: hangup\nhangup-cause: USER_BUSY") == "+OK"
    deadline = time.monotonic() + 2
    while simulator.live_calls and time.monotonic() < deadline:
        time.sleep(0.01)
    assert simulator.calls[0].cause == "USER_BUSY"


def test_too_long_a_command_ends_the_connection(raw: Raw) -> None:
    raw.say("api " + "x" * 2_000_000)
    with pytest.raises((ConnectionError, AssertionError)):
        raw.until("never")
