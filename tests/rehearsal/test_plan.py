"""What a scenario says of whom to call is read strictly, and every mistake is told by its key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from dialer.rehearsal import plan
from dialer.simulator import scenario
from tests.rehearsal.plans import ONE_CALL

SHIPPED = sorted(path for path in scenario.SHIPPED.glob("*.toml") if "[rehearsal]" in path.read_text())


def read(text: str) -> plan.Plan:
    return plan.parse(tomllib.loads(text)["rehearsal"])


def faulty(text: str) -> str:
    with pytest.raises(plan.PlanError) as refused:
        read(text)
    return str(refused.value)


def test_a_small_plan_is_read() -> None:
    found = read(ONE_CALL)
    assert found.gateways == {"trunk": 4}
    (campaign,) = found.campaigns
    assert campaign.parameters == {"limit": 4, "retry_wait": 20}
    assert campaign.members[0].count == 3
    assert found.operators[0].numbers() == ["1001", "1002"]
    assert found.cues == (), "nobody does anything unless the plan says so"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("about =", "abuot =", "rehearsal.abuot is unknown"),
        ('about = "x"', "", "rehearsal.about is missing"),
        ("count = 3", "", "rehearsal.campaigns[0].members[0].count is missing"),
        ("count = 3", "cuont = 3\ncount = 3", "members[0].cuont is unknown"),
        ("[[rehearsal.routes]]", "[rehearsal.routes]", "rehearsal.routes is not a list of tables"),
        ('gateway = "trunk"', 'gateway = "other"', "There is no gateway “other”"),
        ('calendar = "always"', 'calendar = "never"', "There is no calendar “never”"),
        ('campaigns = ["survey"]', 'campaigns = ["surveys"]', "There is no campaign “surveys”"),
    ],
)
def test_a_mistake_is_told_by_its_key(before: str, after: str, told: str) -> None:
    assert before in ONE_CALL
    assert told in faulty(ONE_CALL.replace(before, after))


@pytest.mark.parametrize(
    ("cue", "told"),
    [
        ('at = 5\naction = "kill"\ntarget = "web"', "“web” cannot be chosen to kill"),
        ('at = 5\naction = "stop"\ntarget = "other"', "“other” cannot be chosen to stop"),
        ('at = 5\naction = "pause"\ntarget = "survey"', "“pause” is no action"),
    ],
)
def test_a_cue_names_what_there_is(cue: str, told: str) -> None:
    assert told in faulty(f"{ONE_CALL}\n[[rehearsal.cues]]\n{cue}\n")


def test_a_kill_of_the_command_line_is_a_cue() -> None:
    assert plan.kill("dial@30") == plan.Cue(30.0, "kill", "dial")


@pytest.mark.parametrize("text", ["dial", "dial@", "dial@soon", "web@30", "@30"])
def test_a_kill_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(plan.PlanError):
        plan.kill(text)


def test_a_scenario_without_a_plan_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "people.toml"
    file.write_text("[subscribers]\n")
    with pytest.raises(plan.PlanError, match="no table \\[rehearsal\\]"):
        plan.load(file)
    with pytest.raises(plan.PlanError, match="There is no file"):
        plan.load(tmp_path / "nothing.toml")


def test_there_are_several_scenarios_one_of_them_hostile() -> None:
    assert {"calm", "busy_gateway", "results", "hostile"} <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_scenario_fits_together(path: Path) -> None:
    """The simulator reads the same file, and knows every operator and gateway that the plan dials."""
    found, people = plan.load(path), scenario.load(path)
    extensions = {number for operators in found.operators if not operators.contact for number in operators.numbers()}
    assert extensions <= people.extensions
    assert all(people.gateway(name) for name in found.gateways)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_same_endings_are_promised_only_where_they_can_be_kept(path: Path) -> None:
    found, people = plan.load(path), scenario.load(path)
    disturbed: list[Any] = [
        people.switch.restarts,
        people.switch.disconnects,
        people.faults.failing_legs,
        people.faults.refused_commands,
        people.faults.lost_events,
        people.operators.leaves_early,
        any(gateway.capacity or gateway.congested for gateway in people.gateways.values()),
        any(calendar.hours != "00:00-24:00" for calendar in found.calendars),
        any(members.expire_after for campaign in found.campaigns for members in campaign.members),
        found.cues,
    ]
    assert not (found.same_endings and any(disturbed))
