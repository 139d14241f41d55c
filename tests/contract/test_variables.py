"""Variables arrive unchanged, whatever is in them, and nothing in them becomes anything else."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialer import channel_variables
from dialer.switch import commands
from dialer.switch.events import LegAnswered, LegCreated, LegHungUp
from tests.contract.stage import ANSWERS, ANSWERS_LOOKING, RealStage, Stage, Story, carrier, number

AT_ONCE = "1005"
HOSTILE = [
    "Петренко, Іван", "🙂", "O'Brien", "'quoted'", "''", "it's 'q' it's", "\\", "ends with \\", "C:\\new\\table",
    "a\\,b", "\\'", "a,api_on_answer=log", "a=b", "^^:a=b:c=d", "^^", "50 % off", "%20", "%", '"', 'say "x"',
    "a|user/1001", "[x]", "]user/1001", "(x)", ")", "&park()", "<x>", "{x}", "{", "}", "}user/1001", "a:_:user/1001",
    ":_:", " outer  ", " ", "two\nlines", "\n", "\ttab", "\n\nbgapi fsctl shutdown\n\n", "literal \\n and \\s", "$5",
    "a$b", "a$$b", "undef", "a  b", "; # ! ` ~ * ? @",
]  # fmt: skip
"""Values that a switch could misread, and must not."""
ACTING = [
    "${system touch /tmp/x}", "$${system touch /tmp/x}", "$\\{x}", "ends with $", "ARRAY::a|:b",
    "reload mod_event_socket", "origination_nested_vars=true",
]  # fmt: skip
"""Values that would act in a dialplan which uses them: under their own names they do not travel at all."""
ORDERS = ["operator_first", "subscriber_first"]


def call(stage: Stage, order: str, variables: dict[str, str], subscriber: str = "") -> Story:
    """Place both legs of an attempt with these variables; those for ``uuid_setvar`` are set as soon as a leg exists."""
    story = stage.attempt(
        subscriber or carrier(ANSWERS, 0.2), AT_ONCE, connect_order=order, variables=variables, answer_window=10
    )
    made = commands.originate(story.plan)
    stage.place(made)
    first, second = ORDERS.index(order) * ["subscriber", "operator"] or ["operator", "subscriber"]
    set_variables(stage, story, first, made)
    stage.hear(story, LegAnswered, first)
    if order == "subscriber_first":
        made = commands.ring_operator(story.plan)
        stage.place(made)
    set_variables(stage, story, second, made)
    stage.hear(story, LegAnswered, second)
    assert not story.all(LegHungUp)
    return story


def set_variables(stage: Stage, story: Story, who: str, made: commands.Originate) -> None:
    leg = stage.hear(story, LegCreated, who).leg
    assert stage.line.carry_out(made.setvars[leg])


def carried(stage: Stage, leg: UUID, variables: dict[str, str]) -> dict[str, str]:
    assert commands.unpack_variables(stage.variable(leg, "dialer_variables") or "") == variables
    return {name: value for name in variables if (value := stage.variable(leg, name)) is not None}


@pytest.mark.parametrize("order", ORDERS)
def test_hostile_values_arrive_on_both_legs_byte_for_byte(stage: Stage, order: str) -> None:
    variables = {f"hostile_{at}": value for at, value in enumerate(HOSTILE)}
    story = call(stage, order, variables)
    for leg in story.legs:
        assert carried(stage, leg, variables) == variables


@pytest.mark.parametrize("order", ORDERS)
def test_values_that_would_act_arrive_packed_alone(stage: Stage, order: str) -> None:
    variables = {f"acting_{at}": value for at, value in enumerate(ACTING)}
    story = call(stage, order, {**variables, "calm": "x"})
    for leg in story.legs:
        assert carried(stage, leg, {**variables, "calm": "x"}) == {"calm": "x"}
    assert sorted(commands.originate(story.plan).left_out) == sorted(variables)


@pytest.mark.parametrize("order", ORDERS)
def test_long_values_arrive_whole(stage: Stage, order: str) -> None:
    variables = {"letters": "я" * 2048, "quotes": "'" * 4096, "backslashes": "\\" * 4096, "braces": "{" * 4096}
    story = call(stage, order, variables)
    for leg in story.legs:
        assert carried(stage, leg, variables) == variables


@pytest.mark.switch
def test_a_dialplan_that_a_route_hands_over_to_sees_them(real: RealStage) -> None:
    """The far half of a loopback call runs the dialplan; it takes a copy of the variables when it is created."""
    for order in ORDERS:
        note = 'Петренко, О\'Браєн = "q" (50 %) [x] | 🙂\nнове'
        story = call(real, order, {"note": note}, f"loopback/{number(ANSWERS_LOOKING, 0.2)}/contract")
        far = real.variable(story.plan.subscriber_uuid, "other_loopback_leg_uuid")
        assert far is not None
        assert real.variable(UUID(far), "contract_seen") == note
        assert commands.unpack_variables(real.variable(UUID(far), "dialer_variables") or "") == {"note": note}


VALUES = st.one_of(
    st.text(st.sampled_from("ab '\"\\,{}[]()<>|&$^=:_;!%~`#\n\tnsé🙂"), min_size=1, max_size=30),
    st.text(min_size=1, max_size=30),
).filter(lambda value: _passes(value))


def _passes(value: str) -> bool:
    try:
        channel_variables.check_value("x", value)
    except ValueError:
        return False
    return True


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(VALUES, min_size=10, max_size=20))
def test_any_value_arrives_or_is_left_out_by_name(stage: Stage, values: list[str]) -> None:
    variables = {f"v{at}": value for at, value in enumerate(values)}
    left_out = commands.sort_variables(variables).left_out
    for order in ORDERS:
        story = call(stage, order, variables)
        for leg in story.legs:
            assert carried(stage, leg, variables) == {
                name: value for name, value in variables.items() if name not in left_out
            }
        stage.line.kill(story.plan.subscriber_uuid, "NORMAL_CLEARING")
