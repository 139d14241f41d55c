"""A scenario is read strictly: what is wrong is named by its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dialer.simulator.scenario import (
    SHIPPED,
    GatewayPlan,
    Restart,
    Scenario,
    ScenarioError,
    Span,
    load,
    parse,
)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_what_is_shipped_can_be_read_by_path_and_by_name(path: Path) -> None:
    assert load(path) == load(path.stem)


def test_an_empty_file_is_a_scenario() -> None:
    assert parse({}) == Scenario()


def test_tables_of_others_are_passed_over() -> None:
    assert parse({"rehearsal": {"anything": 1}, "campaign": []}) == Scenario()


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ({"switch": {"hostnam": "x"}}, "switch.hostnam is unknown"),
        ({"switch": {"max_sessions": -1}}, "switch.max_sessions: -1 is not a whole number"),
        ({"switch": {"max_sessions": True}}, "switch.max_sessions"),
        ({"switch": {"restarts": [{"down": 3}]}}, "switch.restarts: at is missing"),
        ({"switch": {"restarts": [{"at": 3, "dwn": 1}]}}, "switch.restarts: [0].dwn is unknown"),
        ({"switch": 3}, "switch is not a table"),
        ({"subscribers": {"ring": "long"}}, "subscribers.ring: 'long' is not a number of seconds"),
        ({"subscribers": {"ring": {"min": 3, "max": 2}}}, "subscribers.ring: min is over max"),
        ({"subscribers": {"ring": {"min": 3}}}, "subscribers.ring: a span has min, max"),
        ({"subscribers": {"ring": {"max": 3, "median": 2}}}, "subscribers.ring: “median” is unknown"),
        ({"subscribers": {"hangs_up": 2}}, "subscribers.hangs_up: 2 is not a share"),
        ({"subscribers": {"outcomes": {"anser": 1}}}, "subscribers.outcomes: “anser” is none of answer, busy"),
        ({"subscribers": {"outcomes": {"INVALID_GATEWAY": 1}}}, "subscribers.outcomes"),
        ({"subscribers": {"outcomes": {"busy": 0}}}, "subscribers.outcomes: all weights are 0"),
        ({"subscribers": {"outcomes": {"busy": "x"}}}, "subscribers.outcomes: busy: 'x' is not a weight"),
        ({"subscribers": {"numbers": [{"ring": 1}]}}, "subscribers.numbers[0].pattern is missing"),
        ({"subscribers": {"numbers": [{"pattern": "("}]}}, "subscribers.numbers[0].pattern: '(' is not a regular"),
        ({"subscribers": {"numbers": [{"pattern": "1", "rng": 1}]}}, "subscribers.numbers[0].rng is unknown"),
        ({"operators": {"extensions": ["ten"], "away": []}}, "operators.away"),
        ({"operators": {"extensions": [10]}}, "operators.extensions: 10 is not an extension"),
        ({"gateways": {"main": {"capcity": 1}}}, "gateways.main.capcity is unknown"),
        ({"gateways": {"main": {"full": "CROWDED"}}}, "gateways.main.full: 'CROWDED' is not a hangup cause"),
        ({"faults": {"ways": {"EARTHQUAKE": 1}}}, "faults.ways: 'EARTHQUAKE' is not a hangup cause"),
    ],
)
def test_a_fault_is_named_by_its_key(tables: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(tables)
    assert complaint in str(caught.value)


def test_a_file_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "day.toml"
    path.write_text("[switch]\nheartbeat = 'often'\n")
    with pytest.raises(ScenarioError, match=r"day\.toml: switch\.heartbeat"):
        load(path)
    path.write_text("[switch\n")
    with pytest.raises(ScenarioError, match=r"day\.toml: "):
        load(path)
    with pytest.raises(ScenarioError, match="one of busy_gateway, calm, demo, hostile"):
        load("nowhere")


def test_all_of_it_is_understood() -> None:
    day = parse(
        {
            "switch": {"restarts": [{"at": 20, "down": 2, "graceful": True}, {"at": 10}], "disconnects": [7, 5]},
            "subscribers": {"talk": {"min": 1, "max": 9, "mean": 4}, "outcomes": {"answer": 1, "no_answer": 2}},
            "operators": {"extensions": ["008-011", "anna"], "registered": False},
            "gateways": {"main": {"capacity": 3}, "back*": {"congested": 0.5}},
            "faults": {"failing_legs": 0.1, "ways": {"LOST": 1}, "lateness": 2},
        }
    )
    assert day.switch.restarts == (Restart(10), Restart(20, 2, True))
    assert list(day.switch.disconnects) == [5, 7]
    assert day.subscribers.talk == Span(1, 9, 4)
    assert dict(day.subscribers.outcomes.of) == {"answer": 1, "NO_ANSWER": 2}
    assert day.operators.all_extensions() == ["008", "009", "010", "011", "anna"]
    assert day.gateway("main") == GatewayPlan(capacity=3)
    assert day.gateway("backup") == GatewayPlan(congested=0.5)
    assert day.gateway("other") is None
    assert day.faults.lateness == Span(2, 2)
