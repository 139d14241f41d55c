"""Configured switches, and the lines that are held to them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from dialer.esl import wire
from dialer.esl.client import Outcome
from dialer.esl.errors import CommandRefused
from dialer.esl.wire import Event
from dialer.switch.commands import Originate
from dialer.switch.events import Heartbeat
from dialer.switch.nodes import Placer, SwitchNode, parse_nodes, placer
from tests.esl.scripted import CORE, Peer, switch


def node(port: int) -> SwitchNode:
    return SwitchNode("127.0.0.1", port, "ClueCon")


def call() -> Originate:
    return Originate("originate user/1 &park()", uuid4(), {}, [])


# --- settings -------------------------------------------------------------------------------------------------------


def test_switches_are_read_from_urls() -> None:
    first, second = parse_nodes(" esl://:Clue%2CCon%40@fs1.example.org:8022 , esl://:x@[::1] ")
    assert (first.host, first.port, first.password, first.name) == (
        "fs1.example.org",
        8022,
        "Clue,Con@",
        "fs1.example.org:8022",
    )
    assert (second.host, second.port, second.name) == ("::1", 8021, "[::1]:8021")
    assert "Clue" not in repr(first)


@pytest.mark.parametrize(
    ("urls", "wrong"),
    [
        ("", "names no switch"),
        (" , ", "names no switch"),
        ("esl://:x@a:8021,http://:x@b:8021", "part 2 is no esl://"),
        ("esl://:x@a:port", "part 1 is no URL"),
        ("esl://:x@a:99999", "part 1 is no URL"),
        ("esl://:secret@:8021", "names no host"),
        ("esl://a:8021", "has no password"),
        ("esl://user:secret@a:8021", "or a user name besides"),
        ("esl://:secret@a:8021/x", "part 1 is no esl://"),
        ("esl://:secret%0A@a:8021", "control character"),
        ("esl://:x@a,esl://:y@a:8021", "a:8021 twice"),
    ],
)
def test_a_wrong_setting_says_what_to_write_and_no_password(urls: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as raised:
        parse_nodes(urls)
    assert "secret" not in str(raised.value)


# --- a line ---------------------------------------------------------------------------------------------------------


def test_what_a_line_can_do() -> None:
    legs = [uuid4(), uuid4(), uuid4()]

    def script(peer: Peer) -> None:
        peer.log_in()
        for leg, answer in zip(legs, ("true", "false", "true"), strict=True):
            peer.expect(f"api uuid_exists {leg}")
            peer.send(wire.encode_api_response(answer))
        peer.expect(f"api uuid_kill {legs[0]} MANAGER_REQUEST")
        peer.send(wire.encode_api_response("+OK\n"))
        peer.expect(f"api uuid_kill {legs[1]} MANAGER_REQUEST")
        peer.send(wire.encode_api_response("-ERR No such channel!\n"))
        peer.expect("api show registrations as json")
        peer.send(wire.encode_api_response(json.dumps({"row_count": 1, "rows": [{"reg_user": "1001"}]})))
        peer.expect("api show channels as json")
        peer.send(wire.encode_api_response(json.dumps({"row_count": 1, "rows": [{"uuid": str(legs[2])}]})))
        peer.expect(f"api uuid_setvar {legs[2]} note a,b")
        peer.send(wire.encode_api_response("+OK\n"))
        peer.expect(f"api uuid_exists {legs[0]}")
        peer.send(wire.encode_reply("-ERR permission denied"))
        peer.expect("exit")

    with switch(script) as port, node(port).connect() as line:
        assert line.core_uuid == UUID(CORE)
        assert line.existing(legs) == {legs[0], legs[2]}
        assert line.kill(legs[0], "MANAGER_REQUEST")
        assert not line.kill(legs[1], "MANAGER_REQUEST")
        assert line.registrations() == {"1001"}
        assert line.channels() == {str(legs[2])}
        assert line.carry_out([f"uuid_setvar {legs[2]} note a,b"])
        with pytest.raises(CommandRefused):
            line.existing(legs[:1])


def test_a_line_gives_events_of_use_alone_and_keeps_to_its_time() -> None:
    done = threading.Event()

    def script(peer: Peer) -> None:
        peer.log_in()
        assert peer.read().line.startswith("event json CHANNEL_CREATE ")
        peer.send(wire.encode_reply("+OK event listener enabled json"))
        for name in ("RE_SCHEDULE", "HEARTBEAT", "RE_SCHEDULE"):
            peer.send(wire.encode_event_json(Event({"Event-Name": name, "Event-Date-Timestamp": "1000000"})))
        done.wait(5)

    with switch(script) as port:
        line = node(port).connect()
        line.subscribe()
        assert isinstance(line.receive(2), Heartbeat)
        started = time.monotonic()
        assert line.receive(0.2) is None
        assert 0.1 < time.monotonic() - started < 1
        done.set()
        line.close()


# --- placing --------------------------------------------------------------------------------------------------------


def test_a_placer_holds_its_line_and_opens_another_when_the_switch_has_closed_it() -> None:
    placed: list[str] = []

    def serve(jobs: int) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            peer.log_in()
            for _ in range(jobs):
                placed.append(peer.accept_job().headers["job-uuid"])

        return script

    first, second, third = call(), call(), call()
    with switch(serve(2), serve(1)) as port:
        held = Placer(node(port))
        assert [reply.outcome for reply in held.place([first])] == [Outcome.ACCEPTED]
        assert [reply.outcome for reply in held.place([second])] == [Outcome.ACCEPTED]
        time.sleep(0.1)  # the first connection has been closed
        assert [reply.outcome for reply in held.place([third])] == [Outcome.ACCEPTED]
        held.close()
    assert placed == [str(item.job_uuid) for item in (first, second, third)]


def test_what_is_in_doubt_is_never_sent_again() -> None:
    seen: list[str] = []

    def dies(peer: Peer) -> None:
        peer.log_in()
        seen.append(peer.read().headers["job-uuid"])

    def lives(peer: Peer) -> None:
        peer.log_in()
        seen.append(peer.accept_job().headers["job-uuid"])

    doubtful, next_one = call(), call()
    with switch(dies, lives) as port:
        held = Placer(node(port))
        assert [reply.outcome for reply in held.place([doubtful])] == [Outcome.UNCONFIRMED]
        assert [reply.outcome for reply in held.place([next_one])] == [Outcome.ACCEPTED]
        held.close()
    assert seen == [str(doubtful.job_uuid), str(next_one.job_uuid)]


def test_calls_meant_for_one_run_of_a_switch_never_reach_the_next() -> None:
    def restarted(peer: Peer) -> None:
        peer.log_in(str(uuid4()))
        peer.expect("exit")

    with switch(lambda peer: peer.log_in(), restarted) as port:
        held = Placer(node(port))
        core = held.line().core_uuid
        time.sleep(0.1)  # the switch has closed
        assert [reply.outcome for reply in held.place([call()], core=core)] == [Outcome.NOT_SENT]
        held.close()


def test_a_switch_that_is_not_there_leaves_everything_not_sent() -> None:
    with switch() as port:
        pass
    replies = Placer(node(port)).place([call(), call()])
    assert [reply.outcome for reply in replies] == [Outcome.NOT_SENT] * 2
    assert "does not answer" in replies[0].text


def test_each_thread_holds_a_placer_of_its_own() -> None:
    here = placer(node(1))
    assert placer(node(1)) is here
    assert placer(node(2)) is not here
    others: list[Placer] = []
    thread = threading.Thread(target=lambda: others.append(placer(node(1))))
    thread.start()
    thread.join()
    assert others[0] is not here
