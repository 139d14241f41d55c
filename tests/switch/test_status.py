"""What a switch says of itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dialer.simulator.thread import SimulatorThread
from dialer.switch.nodes import SwitchNode
from dialer.switch.status import Status, read_status

ANSWER = """UP 0 years, 3 days, 1 hour, 0 minutes, 27 seconds, 361 milliseconds, 92 microseconds
FreeSWITCH (Version 1.10.12 -release 64bit) is ready
512 session(s) since startup
3 session(s) - peak 41, last 5min 7 
2 session(s) per Sec out of max 30, peak 29, last 5min 4 
1000 session(s) max
min idle cpu 0.00/97.13
Current Stack Size/Max 240K/8192K
"""  # noqa: W291


def test_it_is_read_from_its_words() -> None:
    assert read_status(ANSWER) == Status(
        up=timedelta(days=3, hours=1, seconds=27),
        version="1.10.12 -release 64bit",
        ready=True,
        sessions=3,
        sessions_per_second=2,
        rate_allowed=30,
        sessions_allowed=1000,
    )


def test_a_paused_switch_is_not_ready() -> None:
    status = read_status(ANSWER.replace("is ready", "is not ready"))
    assert status
    assert not status.ready


@pytest.mark.parametrize("answer", ["", "-ERR status Command not found!\n", ANSWER.replace("max 30", "max a few")])
def test_other_words_tell_nothing(answer: str) -> None:
    assert read_status(answer) is None


def test_the_simulated_switch_says_the_same_of_itself() -> None:
    with SimulatorThread() as simulator, SwitchNode("127.0.0.1", simulator.port, simulator.password).connect() as line:
        before = line.status()
        assert line._connection.api("fsctl sps 7").startswith("+OK")
        simulator.pause()
        after = line.status()
    assert before
    assert after
    assert (before.ready, after.ready) == (True, False)
    assert (after.rate_allowed, after.sessions_allowed, after.sessions) == (7, before.sessions_allowed, 0)


def test_for_the_second_in_which_its_limit_was_lowered_the_switch_counts_below_0() -> None:
    status = read_status(ANSWER.replace("2 session(s) per Sec", "-183 session(s) per Sec"))
    assert status
    assert status.sessions_per_second == 0
