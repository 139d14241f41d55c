"""The switches that the contract is held against: the simulated one always, a real one when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dialer.simulator.thread import SimulatorThread
from dialer.switch.nodes import parse_nodes
from tests.contract.stage import NO_PHONE, RealStage, SimulatedStage, Stage, phones


@pytest.fixture(scope="session")
def simulated_switch() -> Iterator[SimulatorThread]:
    with SimulatedStage.simulator() as simulator:
        simulator.operator(NO_PHONE).unregister()
        yield simulator


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.switch)])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Return a switch with people on it; every test of the contract runs once on each."""
    found: Stage
    if request.param == "simulated":
        found = SimulatedStage(request.getfixturevalue("simulated_switch"))
    else:
        url = os.environ.get("FREESWITCH_URL", "")
        assert url, "Name the real switch: FREESWITCH_URL=esl://:password@host:8021 (see docker/freeswitch/test)."
        found = RealStage(parse_nodes(url)[0])
        found.await_registrations(phones().keys(), 60)  # they try again for a while after the start of the switch
    try:
        yield found
    finally:
        found.close()
