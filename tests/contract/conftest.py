"""The switches that the contract is held against: the simulated one always, a real one when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TypeVar

import pytest

from dialer.simulator.thread import SimulatorThread
from dialer.switch.nodes import parse_nodes
from tests.contract.stage import NO_PHONE, RealStage, SimulatedStage, Stage, phones

AnyStage = TypeVar("AnyStage", bound=Stage)


@pytest.fixture(scope="session")
def simulated_switch() -> Iterator[SimulatorThread]:
    with SimulatedStage.simulator() as simulator:
        simulator.operator(NO_PHONE).unregister()
        yield simulator


@pytest.fixture
def simulated(simulated_switch: SimulatorThread) -> Iterator[SimulatedStage]:
    yield from _until_closed(SimulatedStage(simulated_switch))


@pytest.fixture
def real() -> Iterator[RealStage]:
    url = os.environ.get("FREESWITCH_URL", "")
    assert url, "Name the real switch: FREESWITCH_URL=esl://:password@host:8021 (see docker/freeswitch/test)."
    stage = RealStage(parse_nodes(url)[0])
    # Phones try again for a while after the start of the switch.
    stage.soon(lambda: stage.line.registrations() == phones().keys(), 60)
    yield from _until_closed(stage)


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.switch)])
def stage(request: pytest.FixtureRequest) -> Stage:
    """Return a switch with people on it; every test of the contract runs once on each."""
    found: Stage = request.getfixturevalue(request.param)
    return found


def _until_closed(stage: AnyStage) -> Iterator[AnyStage]:
    try:
        yield stage
    finally:
        stage.close()
