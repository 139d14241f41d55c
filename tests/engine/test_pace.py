"""How many calls a switch gets and how fast, as arithmetic."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.engine.policy import pace
from dialer.engine.policy.pace import Limits, Place

rates = st.floats(0.5, 200)


@pytest.mark.parametrize(
    ("limits", "calls"),
    [
        (Limits(), None),
        (Limits(max_calls=7), 7),
        (Limits(sessions_allowed=1000), 475),
        (Limits(sessions_allowed=1000, sessions_of_others=980), 9),
        (Limits(sessions_allowed=1000, sessions_of_others=1200), 0),
        (Limits(sessions_allowed=10, max_calls=3), 3),
        (Limits(sessions_allowed=2, max_calls=3), 0),
    ],
)
def test_a_call_takes_two_sessions_and_some_are_left_to_others(limits: Limits, calls: int | None) -> None:
    assert pace.calls_at_once(limits) == calls


def test_no_limit_no_rate() -> None:
    assert pace.rate(Limits()) is None
    assert pace.rate(Limits(), 3.5) == 3.5


def test_the_slowest_limit_counts() -> None:
    assert pace.rate(Limits(max_rate=2, rate_allowed=500), 3.5) == pytest.approx(1.99 / 1.1)
    assert pace.rate(Limits(max_rate=100, rate_allowed=30), 50) == pytest.approx((28 / 2 - 1) / 1.1 * 0.8)
    assert pace.rate(Limits(max_rate=100, rate_allowed=30), 1) == 1


@given(st.integers(6, 200), st.lists(st.floats(0, 0.3), max_size=120), st.floats(0, 2), st.floats(0, 1))
def test_both_legs_of_all_calls_stay_below_what_the_switch_refuses(
    allowed: int, gaps: list[float], answer: float, begin: float
) -> None:
    """Its seconds begin at any instant; every operator answers after the same time."""
    rate = pace.rate(Limits(rate_allowed=allowed))
    assert rate is not None
    at, had = begin, 1000.0
    begun = Counter[int]()
    for gap in gaps:
        at += gap
        had = pace.tokens(had, rate, gap)
        begun[int(at)] += int(had)
        begun[int(at + answer)] += int(had)
        had -= int(had)
    assert max(begun.values(), default=0) < allowed


@given(st.integers(2, 10_000))
def test_where_one_call_hardly_fits_into_a_second_calls_go_on_slowly(allowed: int) -> None:
    rate = pace.rate(Limits(rate_allowed=allowed))
    assert rate is not None
    assert 0.1 <= rate < allowed / 2


def test_a_switch_that_allows_no_session_a_second_gets_no_call() -> None:
    assert pace.rate(Limits(rate_allowed=1)) == 0
    assert pace.tokens(1.0, 0.0, 100) == 0


@given(st.integers(1, 200), st.lists(st.floats(0, 1.5), max_size=60))
def test_never_more_new_calls_in_any_second_than_a_person_allowed(limit: int, gaps: list[float]) -> None:
    """Passes at any instants, each taking all it may."""
    rate = pace.rate(Limits(max_rate=limit))
    assert rate is not None
    at, had, begun = 0.0, 1000.0, []
    for gap in gaps:
        at += gap
        had = pace.tokens(had, rate, gap)
        taken = int(had)
        had -= taken
        begun += [at] * taken
    for first in begun:
        assert sum(first <= other < first + 1 for other in begun) <= limit


@given(rates, st.integers(1, 400))
def test_a_bucket_that_is_emptied_often_lets_the_whole_rate_through(rate: float, seconds: int) -> None:
    had, taken = 0.0, 0
    for _ in range(seconds * 20):
        had = pace.tokens(had, rate, 0.05)
        taken += int(had)
        had -= int(had)
    assert taken <= rate * seconds + 1e-6
    assert taken >= rate * seconds - 2


@given(st.none() | rates, st.integers(1, 1000))
def test_a_refusal_halves_what_was_tried(before: float | None, sent: int) -> None:
    after = pace.slowed(before, sent)
    assert after == max(pace.LEAST, min(before or sent, sent) / 2)
    assert after <= max(pace.LEAST, sent / 2)


@given(rates, st.integers(2, 500))
def test_it_grows_by_steps_until_no_pace_is_kept(started: float, allowed: int) -> None:
    limits, now, seconds = Limits(rate_allowed=allowed), started, 0
    top = pace.rate(limits)
    assert top is not None
    while (faster := pace.quickened(now, limits)) is not None:
        assert faster == now + pace.STEP < top
        now, seconds = faster, seconds + 1
    assert seconds <= max(0.0, (top - started) / pace.STEP) + 1


def test_where_no_limit_is_known_the_pace_ends_too() -> None:
    assert pace.quickened(29.0, Limits()) == 29.5
    assert pace.quickened(29.5, Limits()) is None


@given(
    st.lists(st.tuples(st.integers(1, 100), st.integers(0, 50)), min_size=1, max_size=6),
    st.integers(1, 300),
)
def test_calls_are_shared_by_weight(nodes: list[tuple[int, int]], calls: int) -> None:
    places = [Place(number, weight, live, None) for number, (weight, live) in enumerate(nodes)]
    begun = Counter[int]()
    for _ in range(calls):
        place = pace.lightest(places)
        assert place is not None
        place.calls += 1
        begun[place.id] += 1
    for place in places:
        for other in places:
            # Nobody got a call while another had a smaller share, counting that call.
            if begun[place.id]:
                assert place.calls / place.weight <= (other.calls + 1) / other.weight + 1e-9


def test_a_full_switch_gets_nothing_and_the_others_go_on() -> None:
    full, other = Place(1, 100, 0, 0), Place(2, 1, 40, 1)
    assert pace.lightest([full, other]) is other
    other.left = 0
    assert pace.lightest([full, other]) is None
    assert pace.lightest([]) is None
