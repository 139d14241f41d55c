"""The simulated switch tells what a FreeSWITCH told, in the same order, with the same headers."""

from __future__ import annotations

import pytest

from tests.simulator import recordings
from tests.simulator.recordings import BY_CHANCE, NAMES, of_each_leg, played, recorded


@pytest.mark.parametrize("name", NAMES)
def test_a_run_goes_exactly_as_recorded(name: str) -> None:
    run = recordings.replay(name)
    assert run is not None, f"No run in {recordings.SEEDS} goes as {name}."
    counted = [
        (said, told) for said, told in zip(recordings.answers(name), run.answers, strict=True) if "total" not in said
    ]
    assert [told.strip() for _, told in counted] == [said for said, _ in counted]


@pytest.mark.parametrize("name", NAMES)
def test_every_event_has_the_headers_and_states_that_were_recorded(name: str) -> None:
    run = recordings.replay(name)
    assert run is not None
    for (event, states, wanted), told in zip(recordings.headers(name), run.told, strict=True):
        assert told.name == event
        assert recordings.header_names(told) ^ wanted <= BY_CHANCE, told.name
        names = ("Channel-State", "Channel-Call-State", "Channel-State-Number")
        assert " ".join(told.get(header) for header in names).strip() == states, told.name


@pytest.mark.parametrize("name", NAMES)
def test_chance_changes_only_the_order_between_legs(name: str) -> None:
    wanted = of_each_leg(recorded(name))
    for seed in range(5):
        assert of_each_leg(played(recordings.play(name, seed).told)) == wanted


def test_a_failed_job_comes_before_the_end_of_its_leg_and_after_it() -> None:
    orders = set()
    for seed in range(20):
        names = recordings.play("busy", seed).names()
        orders.add(names.index("BACKGROUND_JOB") < names.index("CHANNEL_HANGUP_COMPLETE"))
    assert orders == {True, False}
