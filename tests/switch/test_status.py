"""What a switch says of itself, as it words it."""

from __future__ import annotations

from datetime import timedelta

from dialer.switch.status import Status, read_status

SAID = """UP 0 years, 1 day, 2 hours, 3 minutes, 4 seconds, 584 milliseconds, 806 microseconds
FreeSWITCH (Version 1.11.2-release  64bit) is not ready
2153 session(s) since startup
12 session(s) - peak 25, last 5min 0
-183 session(s) per Sec out of max 17, peak 200, last 5min 183
1000 session(s) max
min idle cpu 0.00/0.10
Current Stack Size/Max 240K/8192K
"""


def test_a_switch_that_was_paused_and_slowed_down_is_understood() -> None:
    """The rate is below 0 for the second in which its limit was lowered."""
    assert read_status(SAID) == Status(
        up=timedelta(days=1, hours=2, minutes=3, seconds=4),
        version="1.11.2-release  64bit",
        ready=False,
        sessions=12,
        sessions_per_second=0,
        rate_allowed=17,
        sessions_allowed=1000,
    )


def test_other_words_are_no_status() -> None:
    assert read_status("-ERR permission denied") is None
