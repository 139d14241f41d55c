"""Whatever is done to calls at whatever moment, every leg tells a whole story, and nothing is left."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from dialer.simulator.scenario import load
from tests.simulator.virtual import VirtualSwitch

HOSTILE = load("hostile")
FAULTS = replace(HOSTILE.faults, lost_events=0.0, doubled_events=0.0, late_events=0.0)
STORM = replace(HOSTILE, faults=FAULTS, switch=replace(HOSTILE.switch, heartbeat=0, sessions_per_second=8))
ORDER = ("CHANNEL_CREATE", "CHANNEL_ORIGINATE", "CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY")


def play(seed: int) -> tuple[VirtualSwitch, int]:
    """Place calls in every order and hit them with commands at any moment; return the run and the jobs given."""
    dice, run, legs, jobs = Random(seed), VirtualSwitch(STORM, seed), list[str](), 0
    for at in range(300):
        extension, number = dice.randint(1001, 1020), f"38050{dice.randint(0, 30):07}"
        first, second = f"first-{at}", f"second-{at}"
        timers = "originate_timeout=16,call_timeout=40"
        match dice.randint(0, 9):
            case 0 | 1 | 2:
                command = (
                    f"originate {{origination_uuid={first},{timers}}}user/{extension} "
                    f"&bridge([origination_uuid={second},leg_timeout=30]sofia/gateway/main/{number})"
                )
            case 3 | 4:
                command = (
                    f"originate {{origination_uuid={first},originate_timeout=31}}sofia/gateway/main/{number} &park()"
                )
            case 5:
                command = (
                    f"originate {{origination_uuid={first}}}user/{extension} &intercept({dice.choice([*legs, 'x'])})"
                )
            case 6:
                command = f"uuid_kill {dice.choice([*legs, 'x'])} MANAGER_REQUEST"
            case 7:
                command = f"uuid_bridge {dice.choice([*legs, 'x'])} {dice.choice([*legs, 'y'])}"
            case 8:
                command = f"uuid_transfer {dice.choice([*legs, 'x'])} playback:sorry.wav inline"
            case _:
                command = f"uuid_park {dice.choice([*legs, 'x'])}"
        run.bgapi(command, str(at))
        jobs += 1
        legs = [*legs, first, second][-16:]
        run.run(dice.choice((0.0, 0.01, 0.02, 0.03, 0.5, 3.0)))
    run.run(600)
    for leg in list(run.switch.legs):  # who waits for ever, parked by us
        run.bgapi(f"uuid_kill {leg}", f"end {leg}")
        jobs += 1
    run.run(60)
    return run, jobs


@pytest.mark.parametrize("seed", range(25))
def test_every_leg_tells_a_whole_story_and_nothing_is_left(seed: int) -> None:
    run, jobs = play(seed)
    assert not run.switch.legs
    assert not +run.switch.router.load
    done = Counter(event.get("Job-UUID") for event in run.told if event.name == "BACKGROUND_JOB")
    assert set(done.values()) == {1}
    lost = sum(call.cause == "LOST" for call in run.switch.router.calls)
    assert len(done) == jobs - lost
    stories: dict[str, list[str]] = {}
    for event in run.told:
        if event.get("Unique-ID") and event.get("Channel-Name") != "N/A":
            stories.setdefault(event.get("Unique-ID"), []).append(event.name)
    assert len(stories) > 50
    for story in stories.values():
        assert story[0] == "CHANNEL_OUTGOING"
        assert story[-1] == "CHANNEL_DESTROY"
        assert all(story.count(name) == 1 for name in ORDER), story
        assert all(story.index(one) < story.index(other) for one, other in pairwise(ORDER)), story
        assert story.count("CHANNEL_BRIDGE") == story.count("CHANNEL_UNBRIDGE"), story
        assert story.count("CHANNEL_PARK") == story.count("CHANNEL_UNPARK"), story
        assert story.count("CHANNEL_ANSWER") <= 1
