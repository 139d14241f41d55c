"""Whole rehearsals over the real stack: processes that are killed, a day that comes twice, everything at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from dialer.processes import PROJECT

pytestmark = pytest.mark.faults

LONGEST = 400
"""Real seconds after which a rehearsal has hung."""


def rehearse(scenario: str, *kills: str, seed: int = 7) -> dict[str, Any]:
    """Play a scenario at full speed; return its outcome. It must end with no violation and nobody stuck."""
    command = [sys.executable, "manage.py", "rehearse", "--scenario", scenario, "--seed", str(seed), "--speed", "20"]
    command += ["--json", *(f"--kill={text}" for text in kills)]
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "dialer.settings", "LOG_LEVEL": "WARNING"}
    done = subprocess.run(
        command, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    assert done.returncode == 0, done.stderr[-5000:]
    outcome: dict[str, Any] = json.loads(done.stdout)
    assert outcome["done"]
    assert not outcome["stuck"]
    assert not outcome["violations"]
    return outcome


def everyone_ended(outcome: dict[str, Any]) -> bool:
    return sum(outcome["ended"].values()) == outcome["members"]


@pytest.mark.parametrize(
    "kills",
    [
        ("dial@60", "listener@150", "dial@240"),
        ("simulator@100", "listener@250"),
        ("beat@40", "worker@80", "broker@120", "database@200"),
    ],
    ids="+".join,
)
def test_processes_killed_in_the_middle_leave_nobody_behind(kills: tuple[str, ...]) -> None:
    outcome = rehearse("steady", *kills)
    assert [kill["process"] for kill in outcome["killed"]] == [text.partition("@")[0] for text in kills]
    assert everyone_ended(outcome)


def test_the_same_seed_ends_everyone_the_same_way() -> None:
    first, second = rehearse("steady"), rehearse("steady")
    assert everyone_ended(first)
    assert first["endings"] == second["endings"]
    assert first["ended"] == second["ended"]
    assert first["attempts"]["by_cause"] == second["attempts"]["by_cause"]


def test_everything_at_once_ends_without_violation() -> None:
    outcome = rehearse("hostile", seed=3)
    assert everyone_ended(outcome)
    assert outcome["repairs"]["switch_restarted"] > 0, "the switch restarts in the middle of calls"


@pytest.mark.parametrize(
    "kills", [(), ("listener@60", "dial@120", "simulator@200"), ("worker@80", "broker@120", "database@200")],
    ids=lambda kills: "+".join(kills) or "none",
)  # fmt: skip
def test_subscriber_first_leaves_nobody_behind_whatever_dies(kills: tuple[str, ...]) -> None:
    outcome = rehearse("subscriber_first", *kills)
    assert [kill["process"] for kill in outcome["killed"]] == [text.partition("@")[0] for text in kills]
    assert everyone_ended(outcome)
    assert outcome["successes"] > 0
