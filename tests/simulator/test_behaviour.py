"""A simulated day is the same whenever it is played with the same seed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.simulator import behaviour, scenario
from dialer.simulator.scenario import (
    ANSWER,
    NO_ANSWER,
    FaultPlan,
    OperatorPlan,
    Scenario,
    Span,
    SubscriberPlan,
    Weights,
)

DIGITS = st.text("0123456789", min_size=3, max_size=15)
SEEDS = st.integers(0, 2**63)
COUNTS = st.integers(1, 1000)
SHARES = st.floats(0, 1)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    low, high = sorted((draw(st.floats(0, 1000)), draw(st.floats(0, 1000))))
    return Span(low, high, draw(st.none() | st.floats(0.1, 100)))


WEIGHTS = st.dictionaries(
    st.sampled_from([ANSWER, NO_ANSWER, "USER_BUSY", "CALL_REJECTED"]), st.floats(0.1, 10), min_size=1
).map(Weights)
SUBSCRIBERS = st.builds(SubscriberPlan, WEIGHTS, spans(), spans(), SHARES, spans(), SHARES)
OPERATORS = st.builds(
    OperatorPlan,
    outcomes=WEIGHTS,
    answer=spans(),
    leaves_early=SHARES,
    leaves_after=spans(),
    flapping=SHARES,
    period=st.floats(1, 1000),
    away=spans(),
)
FAULTS = st.builds(FaultPlan, failing_legs=SHARES)


@given(SUBSCRIBERS, FAULTS, SEEDS, DIGITS, COUNTS)
def test_a_subscriber_follows_from_seed_digits_and_count(
    plan: SubscriberPlan, faults: FaultPlan, seed: int, digits: str, count: int
) -> None:
    before = random.getstate()
    first = behaviour.subscriber(plan, faults, seed, digits, count)
    behaviour.subscriber(plan, faults, seed + 1, digits, count + 1)
    assert behaviour.subscriber(plan, faults, seed, digits, count) == first
    assert random.getstate() == before
    assert first.outcome in plan.outcomes.of
    assert plan.ring.min <= first.after <= plan.ring.max
    assert first.talks is not None
    assert plan.talk.min <= first.talks <= plan.talk.max
    assert first.patience is not None
    assert plan.patience.min <= first.patience <= plan.patience.max


@given(OPERATORS, FAULTS, SEEDS, DIGITS, COUNTS)
def test_an_operator_follows_from_seed_extension_and_ring(
    plan: OperatorPlan, faults: FaultPlan, seed: int, extension: str, ring: int
) -> None:
    first = behaviour.operator(plan, faults, seed, extension, ring)
    assert behaviour.operator(plan, faults, seed, extension, ring) == first
    assert first.outcome in plan.outcomes.of
    assert plan.answer.min <= first.after <= plan.answer.max


@given(OPERATORS, SEEDS, DIGITS, st.integers(0, 1000))
def test_a_phone_is_away_within_one_period(plan: OperatorPlan, seed: int, extension: str, period: int) -> None:
    absence = behaviour.absence(plan, seed, extension, period)
    assert absence == behaviour.absence(plan, seed, extension, period)
    if absence is not None:
        begins, ends = absence
        assert period * plan.period <= begins <= ends <= (period + 1) * plan.period * 1.000001


def test_seed_digits_and_count_each_make_another_day() -> None:
    plan, faults = SubscriberPlan(), FaultPlan()
    days = {
        behaviour.subscriber(plan, faults, seed, digits, count)
        for seed in (1, 2)
        for digits in ("380501112233", "380501112234")
        for count in (1, 2)
    }
    assert len(days) == 8


def test_questions_that_read_alike_do_not_share_their_dice() -> None:
    assert behaviour.dice(1, "a", "bc").random() != behaviour.dice(1, "ab", "c").random()


def test_shares_come_out_as_the_scenario_wants_them() -> None:
    plan = SubscriberPlan(outcomes=Weights({ANSWER: 35, "USER_BUSY": 65}), hangs_up=0.25)
    people = [behaviour.subscriber(plan, FaultPlan(), 7, f"{number:09}", 1) for number in range(4000)]
    outcomes = Counter(person.outcome for person in people)
    assert outcomes[ANSWER] / len(people) == pytest.approx(0.35, abs=0.03)
    assert sum(person.other_hangs_up for person in people) / len(people) == pytest.approx(0.75, abs=0.03)


def test_faults_hit_their_share_of_legs_and_change_nothing_else() -> None:
    plan = SubscriberPlan()
    hit = 0
    for number in range(2000):
        with_faults = behaviour.subscriber(plan, FaultPlan(failing_legs=0.1), 1, str(number), 1)
        without = behaviour.subscriber(plan, FaultPlan(), 1, str(number), 1)
        hit += bool(with_faults.fault)
        assert replace(with_faults, fault="") == without
    assert hit / 2000 == pytest.approx(0.1, abs=0.03)


def test_an_exponential_span_keeps_to_its_mean_and_bounds() -> None:
    chance = behaviour.dice(3, "span")
    drawn = [Span(1, 500, 20).draw(chance) for _ in range(5000)]
    assert min(drawn) >= 1
    assert max(drawn) <= 500
    assert sum(drawn) / len(drawn) == pytest.approx(20, abs=1.5)


def test_numbers_have_plans_of_their_own_and_the_first_pattern_wins() -> None:
    day = scenario.parse(
        {
            "subscribers": {
                "ring": 3,
                "numbers": [
                    {"pattern": "^3805", "outcomes": {"busy": 1}},
                    {"pattern": "^380", "outcomes": {"answer": 1}},
                ],
            }
        }
    )
    assert set(day.subscriber_plan("380501112233").outcomes.of) == {"USER_BUSY"}
    assert set(day.subscriber_plan("380441112233").outcomes.of) == {ANSWER}
    assert day.subscriber_plan("380501112233").ring == Span(3, 3)
    assert day.subscriber_plan("4930") == Scenario(subscribers=SubscriberPlan(ring=Span(3, 3))).subscribers
