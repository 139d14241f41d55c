"""Each way in which a conversation with a switch can go, and what is known of the commands afterwards."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from operator import sub
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from dialer.esl import wire
from dialer.esl.client import WINDOW, Connection, Outcome
from dialer.esl.errors import (
    AuthenticationFailed,
    CommandRefused,
    ConnectionFailed,
    Disconnected,
    ProtocolError,
    Timeout,
)
from dialer.esl.wire import Event
from tests.esl.scripted import CORE, Peer, accepted, switch

CAPTURES = Path(__file__).parent / "captures"
Connect = Callable[..., Connection]


@pytest.fixture
def connection(backend: type[Connection]) -> Connect:
    """Return what makes a connection to a port of this machine, with each backend in turn."""

    def make(port: int, password: str = "ClueCon", timeout: float = 5.0) -> Connection:
        return backend("127.0.0.1", port, password, connect_timeout=timeout, timeout=timeout)

    return make


def event(number: int) -> bytes:
    return wire.encode_event_json(Event({"Event-Name": "HEARTBEAT", "Event-Sequence": str(number)}))


# --- logging in -----------------------------------------------------------------------------------------------------


def test_log_in_learns_which_run_of_the_switch_it_talks_to(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        peer.expect("exit")
        peer.send(wire.encode_reply("+OK bye"), wire.encode_disconnect_notice())

    with switch(script) as port, connection(port) as link:
        assert link.core_uuid == UUID(CORE)
        assert link.connected


def test_a_wrong_password_is_told_apart(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.send(wire.encode_auth_request())
        peer.expect("auth nope")
        peer.send(wire.encode_reply("-ERR invalid"), wire.encode_disconnect_notice())

    with switch(script) as port:
        link = connection(port, "nope")
        with pytest.raises(AuthenticationFailed, match="refused the password"):
            link.connect()
        assert not link.connected


def test_an_address_outside_the_access_list_is_told_apart(connection: Connect) -> None:
    with (
        switch(lambda peer: peer.send(wire.encode_rude_rejection())) as port,
        pytest.raises(ConnectionFailed, match="access list"),
    ):
        connection(port).connect()


def test_nobody_listening_is_a_failed_connection(connection: Connect) -> None:
    with switch() as port:
        pass
    with pytest.raises(ConnectionFailed):
        connection(port).connect()


def test_a_server_that_says_nothing_is_given_up_in_time(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        with pytest.raises(EOFError):
            peer.read()

    with switch(script) as port:
        started = time.monotonic()
        with pytest.raises(Timeout):
            connection(port, timeout=0.2).connect()
        assert time.monotonic() - started < 1


def test_a_server_that_is_no_event_socket_is_refused(connection: Connect) -> None:
    with switch(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n\n\n")) as port, pytest.raises(ProtocolError):
        connection(port).connect()


def test_a_switch_that_closes_at_once_is_a_failed_connection(connection: Connect) -> None:
    with switch(lambda peer: None) as port, pytest.raises(ConnectionFailed, match="closed"):
        connection(port).connect()


# --- commands -------------------------------------------------------------------------------------------------------


def test_api_returns_what_the_command_prints(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        peer.expect("api uuid_exists x")
        peer.send(wire.encode_api_response("false"))
        peer.expect("api nothing")
        peer.send(wire.encode_reply("-ERR permission denied"))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        assert link.api("uuid_exists x") == "false"
        assert link.api("nothing") == "-ERR permission denied"
        link.close()


def test_bgapi_carries_our_own_job_uuid(connection: Connect) -> None:
    job = uuid4()

    def script(peer: Peer) -> None:
        peer.log_in()
        assert peer.accept_job().headers == {"Job-UUID": str(job)}
        peer.read()
        peer.send(wire.encode_reply("-ERR command not found"))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        assert link.bgapi("originate x y", job).outcome is Outcome.ACCEPTED
        refused = link.bgapi("originate x y", job)
        assert (refused.outcome, refused.text) == (Outcome.REFUSED, "-ERR command not found")
        link.close()


def test_a_command_that_could_be_read_as_two_is_never_sent(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        with pytest.raises(EOFError):
            peer.read()

    with switch(script) as port:
        link = connection(port)
        link.connect()
        with pytest.raises(ValueError, match="line break"):
            link.bgapi_many([("status", uuid4()), ("status\n\nbgapi shutdown", uuid4())])
        link.close()


def test_without_a_connection_nothing_is_sent(connection: Connect) -> None:
    link = connection(9)
    assert link.bgapi("originate x y", uuid4()).outcome is Outcome.NOT_SENT
    with pytest.raises(Disconnected):
        link.api("status")


def test_no_reply_in_time_is_unconfirmed_and_closes(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        peer.read()
        with pytest.raises(EOFError):
            peer.read()

    with switch(script) as port:
        link = connection(port, timeout=0.3)
        link.connect()
        assert link.bgapi("originate x y", uuid4()).outcome is Outcome.UNCONFIRMED
        assert not link.connected


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_that_ends_before_the_reply_is_unconfirmed(connection: Connect, end: str) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        peer.accept_job()
        peer.read()
        if end == "reset":
            time.sleep(0.1)  # let the first reply be read: a reset throws away what is on its way
            peer.reset()

    with switch(script) as port:
        link = connection(port)
        link.connect()
        assert link.bgapi("originate x y", uuid4()).outcome is Outcome.ACCEPTED
        assert link.bgapi("originate x y", uuid4()).outcome is Outcome.UNCONFIRMED
        assert link.bgapi("originate x y", uuid4()).outcome is Outcome.NOT_SENT
        assert not link.connected


def test_a_half_written_command_is_unconfirmed_and_those_behind_it_are_not_sent(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        peer.accept_job()
        time.sleep(1.0)  # reads nothing: the client's writing stalls inside a command

    big = "x" * 1_000_000
    with switch(script) as port:
        link = connection(port, timeout=0.5)
        link.connect()
        jobs = [("status", uuid4()), *((f"originate {big} {n}", uuid4()) for n in range(40))]
        outcomes = [reply.outcome for reply in link.bgapi_many(jobs)]
    assert outcomes[0] is Outcome.ACCEPTED
    first_unsent = outcomes.index(Outcome.NOT_SENT)
    assert first_unsent > 1
    assert set(outcomes[1:first_unsent]) == {Outcome.UNCONFIRMED}
    assert set(outcomes[first_unsent:]) == {Outcome.NOT_SENT}


def test_replies_that_came_before_the_end_count(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        commands = [peer.read() for _ in range(5)]
        peer.send(b"".join(map(accepted, commands[:3])), wire.encode_disconnect_notice("Shutting down."))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        replies = link.bgapi_many([("originate x y", uuid4()) for _ in range(5)])
        assert [reply.outcome for reply in replies] == [Outcome.ACCEPTED] * 3 + [Outcome.UNCONFIRMED] * 2
        assert replies[-1].text == "Shutting down."


def test_a_reply_for_another_job_leaves_the_rest_in_doubt(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        first, second = peer.read(), peer.read()
        peer.send(accepted(second), accepted(first))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        outcomes = [reply.outcome for reply in link.bgapi_many([("a b", uuid4()), ("c d", uuid4())])]
        assert outcomes == [Outcome.UNCONFIRMED] * 2
        assert not link.connected


def test_many_are_pipelined_within_the_window_and_answered_in_order(connection: Connect) -> None:
    total = 10 * WINDOW
    longest = 0

    def script(peer: Peer) -> None:
        nonlocal longest
        peer.log_in()
        answered = 0
        while answered < total:
            batch = [peer.read()]
            while peer._commands:
                batch.append(peer._commands.pop(0))
            longest = max(longest, len(batch))
            assert [command.line for command in batch] == [f"bgapi status {answered + n}" for n in range(len(batch))]
            for command in batch:
                peer.send(accepted(command))
            answered += len(batch)

    with switch(script) as port:
        link = connection(port)
        link.connect()
        replies = link.bgapi_many([(f"status {n}", uuid4()) for n in range(total)])
        assert {reply.outcome for reply in replies} == {Outcome.ACCEPTED}
        assert 1 < longest <= WINDOW
        link.close()


def test_full_buffers_on_both_sides_do_not_deadlock(connection: Connect) -> None:
    """The switch reads no further command until its events have been taken from it; neither side may wait for ever."""
    total = 100
    noise = wire.encode_event_json(Event({"Event-Name": "NOISE", "variable_x": "y" * 200_000}))

    def script(peer: Peer) -> None:
        peer.log_in()
        for _ in range(total):
            peer.send(noise)
            peer.accept_job()

    with switch(script) as port:
        link = connection(port)
        link.connect()
        replies = link.bgapi_many([("originate " + "z" * 100_000 + " &park()", uuid4()) for _ in range(total)])
        assert {reply.outcome for reply in replies} == {Outcome.ACCEPTED}
        assert sum(link.receive(1) is not None for _ in range(total)) == total
        link.close()


def test_nothing_is_begun_after_its_time(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        while True:
            peer.accept_job()
            time.sleep(0.01)

    with switch(script) as port:
        link = connection(port)
        link.connect()
        assert link.bgapi_many([("status", uuid4())], not_after=time.monotonic())[0].outcome is Outcome.NOT_SENT
        jobs = [("status", uuid4()) for _ in range(3 * WINDOW)]
        outcomes = [reply.outcome for reply in link.bgapi_many(jobs, not_after=time.monotonic() + 0.2)]
        assert outcomes[0] is Outcome.ACCEPTED
        assert outcomes[-1] is Outcome.NOT_SENT
        assert Outcome.UNCONFIRMED not in outcomes
        assert link.connected
        link.close()


# --- events ---------------------------------------------------------------------------------------------------------


def test_events_that_arrive_before_a_reply_are_kept_in_order(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        peer.expect("event json HEARTBEAT BACKGROUND_JOB CUSTOM sofia::register")
        peer.send(wire.encode_reply("+OK event listener enabled json"), event(1))
        peer.expect("api status")
        peer.send(event(2), event(3), wire.encode_api_response("UP"), event(4))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        link.subscribe(["HEARTBEAT", "sofia::register", "BACKGROUND_JOB"])
        assert link.api("status") == "UP"
        received = [link.receive(2) for _ in range(4)]
        assert [item.get("Event-Sequence") for item in received if item] == ["1", "2", "3", "4"]
        with pytest.raises(Disconnected):
            link.receive(2)


def test_what_arrived_before_the_end_can_still_be_received(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        peer.send(event(1), event(2), wire.encode_disconnect_notice("The system is being shut down.\n"))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        assert [item.get("Event-Sequence") for item in (link.receive(2), link.receive(2)) if item] == ["1", "2"]
        with pytest.raises(Disconnected, match="being shut down"):
            link.receive(2)


HOSTILE = {
    "variable_percent": "100%20 %n%n %s%s%p %",
    "variable_list_like": "x ARRAY::one|:two",
    "variable_list": "ARRAY::one|:two",
    "variable_none": "",
    "variable_braces": "{a=b}${system rm}[c]^^:d:_:e",
    "variable_lines": "a\nUnique-ID: forged\n\nContent-Length: 3\r\n\t\x07",
    "variable_words": "Київ 📞 𠜎 'q' \"w\" \\n",
    "variable_with[1]index": "kept",
}
"""Values that a library may take for something else: formats, lists, headers, escapes."""


def test_events_arrive_as_they_were_sent(connection: Connect) -> None:
    sent = Event({"Event-Name": "BACKGROUND_JOB", **HOSTILE}, "-ERR %n%n%s 100%20\n\nforged: yes\n")

    def script(peer: Peer) -> None:
        peer.log_in()
        peer.send(wire.encode_event_json(sent))
        peer.expect("api show %20")
        peer.send(wire.encode_api_response("100%20 %n%n%s ARRAY::a|:b\n"))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        assert link.receive(2) == sent
        assert link.api("show %20") == "100%20 %n%n%s ARRAY::a|:b\n"
        link.close()


def test_plain_events_arrive_but_for_what_the_format_cannot_tell(connection: Connect) -> None:
    sent = Event({"Event-Name": "BACKGROUND_JOB", **HOSTILE, "variable_percent": "100% %n"}, "-ERR %n%n%s\n")

    def script(peer: Peer) -> None:
        peer.log_in()
        peer.send(wire.encode_event_plain(sent))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        assert link.receive(2) == sent
        link.close()


def test_a_storm_of_events_loses_none_and_keeps_their_order(connection: Connect) -> None:
    total = 20_000

    def script(peer: Peer) -> None:
        peer.log_in()
        for start in range(0, total, 500):
            peer.send(*(event(number) for number in range(start, start + 500)))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        received = []
        while (item := link.receive(2)) is not None:
            received.append(int(item.get("Event-Sequence")))
            if len(received) == total:
                break
        assert received == list(range(total))
        link.close()


def test_an_event_of_many_megabytes_is_one_event(connection: Connect) -> None:
    sent = Event({"Event-Name": "CUSTOM", "variable_x": "y" * 20_000_000}, "z" * 1_000_000)

    def script(peer: Peer) -> None:
        peer.log_in()
        peer.send(event(1), wire.encode_event_json(sent), event(2))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        received = [link.receive(5) for _ in range(3)]
        assert received[1] == sent
        assert [item.get("Event-Sequence") for item in received if item] == ["1", "", "2"]
        link.close()


def test_a_head_cut_between_its_last_two_line_ends_is_whole(connection: Connect) -> None:
    """Behind long answers of line ends: what stands in a buffer from before is not what has arrived."""
    answer = "\n" * 4_000_000

    def script(peer: Peer) -> None:
        peer.log_in()
        for _ in range(2):
            peer.expect("api list")
            peer.send(wire.encode_api_response(answer))
        for number in range(1, 6):
            whole = event(number)
            place = whole.index(b"\n\n") + 1
            peer.send(whole[:place])
            time.sleep(0.05)
            peer.send(whole[place:])

    with switch(script) as port:
        link = connection(port)
        link.connect()
        assert link.api_many(["list", "list"]) == [answer, answer]
        received = [link.receive(2) for _ in range(5)]
        assert [item.get("Event-Sequence") for item in received if item] == ["1", "2", "3", "4", "5"]
        link.close()


def test_an_event_whose_rest_comes_late_is_whole(connection: Connect) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        whole = event(1)
        for place in range(0, len(whole), 20):
            peer.send(whole[place : place + 20])
            time.sleep(0.05)
        peer.send(event(2))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        received: list[Event] = []
        while len(received) < 2:
            item = link.receive(0.02)
            if item is not None:
                received.append(item)
        assert [item.get("Event-Sequence") for item in received] == ["1", "2"]
        link.close()


@pytest.mark.parametrize("place", [10, -1], ids=["in its head", "in its body"])
def test_a_reply_that_stops_in_the_middle_is_given_up_in_time(connection: Connect, place: int) -> None:
    def script(peer: Peer) -> None:
        peer.log_in()
        peer.read()
        peer.send(wire.encode_api_response("false")[:place])
        with pytest.raises(EOFError):
            peer.read()

    with switch(script) as port:
        link = connection(port, timeout=0.5)
        link.connect()
        started = time.monotonic()
        with pytest.raises(Timeout):
            link.api("uuid_exists x")
        assert time.monotonic() - started < 2
        assert not link.connected


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "dropped"])
def test_a_connection_leaves_nothing_behind(connection: Connect, closes: bool) -> None:
    def counted() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    scripts = [lambda peer: peer.log_in()] * 20
    # Each would leave one; others of this process may open a few of their own meanwhile.
    few = len(scripts) // 4
    with switch(*scripts) as port:
        before = counted()
        for _ in scripts:
            link = connection(port)
            link.connect()
            if closes:
                link.close()
            del link
        deadline = time.monotonic() + 5
        while max(map(sub, counted(), before)) > few and time.monotonic() < deadline:
            time.sleep(0.05)
        assert max(map(sub, counted(), before)) <= few


def test_receive_gives_none_when_its_time_is_over(connection: Connect) -> None:
    done = threading.Event()

    def script(peer: Peer) -> None:
        peer.log_in()
        done.wait(5)

    with switch(script) as port:
        link = connection(port)
        link.connect()
        assert link.receive(0) is None
        assert link.receive(0.05) is None
        assert link.alive()
        done.set()


def test_an_idle_connection_that_the_switch_closed_is_noticed_before_the_next_command(connection: Connect) -> None:
    with switch(lambda peer: peer.log_in()) as port:
        link = connection(port)
        link.connect()
        time.sleep(0.1)
        assert not link.alive()
        assert link.bgapi("originate x y", uuid4()).outcome is Outcome.NOT_SENT


def test_subscriptions_and_filters_are_what_the_switch_expects(connection: Connect) -> None:
    lines: list[str] = []

    def script(peer: Peer) -> None:
        peer.log_in()
        for _ in range(6):
            lines.append(peer.read().line)
            peer.send(wire.encode_reply("+OK"))
        peer.read()
        peer.send(wire.encode_reply("-ERR no keywords supplied"))

    with switch(script) as port:
        link = connection(port)
        link.connect()
        link.subscribe(["CHANNEL_CREATE", "sofia::expire"], "plain")
        link.unsubscribe(["CHANNEL_CREATE"])
        link.filter("variable_dialer_leg", "operator")
        link.filter_delete("variable_dialer_leg", "operator")
        link.filter_delete("all")
        link.unsubscribe_all()
        with pytest.raises(CommandRefused, match="no keywords"):
            link.subscribe([])
        with pytest.raises(ValueError, match="no name of an event"):
            link.subscribe(["A B"])
        link.close()
    assert lines == [
        "event plain CHANNEL_CREATE CUSTOM sofia::expire",
        "nixevent CHANNEL_CREATE",
        "filter variable_dialer_leg operator",
        "filter delete variable_dialer_leg operator",
        "filter delete all",
        "noevents",
    ]


def test_a_real_conversation_is_understood(connection: Connect) -> None:
    """What a switch sent in a whole session, cut at the places where the client spoke."""
    text = (CAPTURES / "handshake.txt").read_bytes()
    parts = [part.partition(b"\n")[2] if n else part for n, part in enumerate(text.split(b"#>>> "))]
    greeting, accepted_us, events_on, status, exists, job, filtered, events_off, linger, bye = (
        part.split(b"#---")[0] for part in parts
    )

    def script(peer: Peer) -> None:
        peer.send(greeting)
        peer.expect("auth ClueCon")
        peer.send(accepted_us)
        peer.read()
        peer.send(wire.encode_api_response("1950f310-8771-4504-a64e-861d87498aa9"))
        for answer in (events_on, status, exists, job, filtered, events_off, linger, bye):
            peer.read()
            peer.send(answer)

    with switch(script) as port:
        link = connection(port)
        link.connect()
        link.subscribe(["CHANNEL_ANSWER", "BACKGROUND_JOB"], "plain")
        assert link.api("status").startswith("UP 0 years")
        assert link.api("uuid_exists nope") == "false"
        assert link.bgapi("status", UUID("11111111-2222-3333-4444-555555555555")).outcome is Outcome.ACCEPTED
        link.filter("Event-Name", "BACKGROUND_JOB")
        link.unsubscribe_all()
        assert link.command("linger").reply_text == "-ERR not controlling a session"
        done = link.receive(1)
        assert done is not None
        assert (done.name, done.get("Job-Command")) == ("BACKGROUND_JOB", "status")
        assert done.body.startswith("UP 0 years")
        link.exit()
        assert not link.connected
