"""What a FreeSWITCH sent, and the same script played to the simulated one."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dialer.esl.wire import Event
from dialer.simulator.behaviour import Behaviour
from dialer.simulator.leg import Party
from dialer.simulator.scenario import GatewayPlan, Scenario, SwitchPlan
from tests.simulator.virtual import VirtualSwitch

FOLDER = Path(__file__).parent / "captures"
NAMES = sorted(path.name.removesuffix(".timeline.txt") for path in FOLDER.glob("*.timeline.txt"))
SEEDS = 400
"""Runs to search for one that goes exactly as the recorded one: its order was left to chance there too."""
NOISE = re.compile(
    r"variable_(rtp_|sip_(?!hangup_disposition|term_status)|.*_media_flow$|.*media_(ip|port)$|switch_[rm]_sdp|.*codec"
    r"|(original_)?read_rate|write_rate|dtmf_type|recovery_profile_name|sofia_profile_url|accountcode|user_context"
    r"|effective_caller_id)"
)
BY_CHANCE = {
    "variable_bridge_hangup_cause",  # two threads of the switch race for it
    "Other-Leg-Callee-ID-Name",  # on a leg of the directory, from a profile copied on the way
}

FAR_END = {
    "100": Behaviour(after=1),
    "101": Behaviour(after=1, patience=1),
    "102": Behaviour(after=1, patience=2),
    "105": Behaviour(after=1, talks=4, patience=5),
    "123": Behaviour(fault="NORMAL_TEMPORARY_FAILURE"),  # nothing listens there
    "200": Behaviour("USER_BUSY", 1),
    "300": Behaviour("NO_ANSWER"),
    "400": Behaviour("UNALLOCATED_NUMBER"),
    "500": Behaviour("NORMAL_TEMPORARY_FAILURE"),
    "600": Behaviour("CALL_REJECTED", 1),
    "700": Behaviour(after=1, talks=1, patience=1),
    "800": Behaviour("NETWORK_OUT_OF_ORDER"),
    "902": Behaviour(after=3, early_media=True, talks=2, patience=2),
    "10": Behaviour(after=1),
    "11": Behaviour("NO_ANSWER"),
    "12": Behaviour("CALL_REJECTED", 1),
    "13": Behaviour("USER_BUSY", 0),
    "14": Behaviour(after=1, talks=4, patience=5),
}
"""How the carrier and the phones of the recordings behaved, by what the number begins with."""


@dataclass(frozen=True)
class Line:
    """What a recording keeps of one event. Legs are numbered in the order in which they appear."""

    name: str
    leg: str
    channel: str = ""
    cause: str = ""
    disposition: str = ""
    originated: str = ""
    answer: str = ""
    other: str = ""
    bridge: str = ""
    custom: str = ""
    job: str = ""


class _Legs(dict[str, str]):
    def __missing__(self, name: str) -> str:
        self[name] = f"leg {len(self) + 1}"
        return self[name]


def recorded(name: str) -> list[Line]:
    """Return the events of our legs, and the ends of jobs."""
    legs = _Legs()
    return [line for row in _rows(name) if (line := _read(row, legs))]


def played(events: Iterable[Event]) -> list[Line]:
    """Return the same of what the simulated switch told."""
    legs = _Legs()
    return [_told(event, legs) for event in events]


def headers(name: str) -> list[tuple[str, str, set[str]]]:
    """Return name, states and names of headers of each recorded event."""
    found = json.loads((FOLDER / "headers.json").read_text())
    names, sets = found["names"], found["sets"]
    return [(event, states, {names[at] for at in sets[kept]}) for event, states, kept in found["events"][name]]


def header_names(event: Event) -> set[str]:
    return {header for header in event.headers if not NOISE.match(header)}


@cache
def replay(name: str) -> VirtualSwitch | None:
    """Play the script of a recording; return a run that went as recorded, or ``None``."""
    wanted = recorded(name)
    runs = (play(name, seed) for seed in range(SEEDS))
    return next((run for run in runs if played(run.told) == wanted), None)


def play(name: str, seed: int) -> VirtualSwitch:
    """Give the simulated switch the commands of a recording, each at its time."""
    run = VirtualSwitch(Scenario(switch=SwitchPlan(heartbeat=0), gateways={"sipp": GatewayPlan()}), seed)
    switch = run.switch

    def shut_down(restart: bool) -> None:
        run.timers.later(0.1, lambda: switch.hang_up_all("SYSTEM_SHUTDOWN"))

    switch.on_shutdown = shut_down
    if name.startswith("user_not_registered"):
        switch.router.registered.clear()
    rows, passed = _rows(name), 0.0
    jobs = iter(re.findall(r"<<< \+OK Job-UUID: (\S+)", "\n".join(rows)))
    for seconds, command in re.findall(r"^ *([0-9.]+)  >>> (.*?)(?: \| .*)?$", "\n".join(rows), re.MULTILINE):
        for number in re.findall(r"(\d{3,10})(?=@127| &)", command):
            party: Party = "operator" if len(number) == 4 else "subscriber"
            known = next((FAR_END[digits] for digits in (number[:3], number[:2]) if digits in FAR_END), None)
            if known and (len(number) > 4 or number[:2] != "19"):
                switch.router.overrides[(party, number)] = deque([known])
        run.run(float(seconds) - passed)
        passed = float(seconds)
        kind, _, line = command.partition(" ")
        if kind == "api":
            run.answers += run.api(line)
        elif kind == "bgapi":
            run.bgapi(line, next(jobs))
    run.run(60)
    return run


def _rows(name: str) -> list[str]:
    return (FOLDER / f"{name}.timeline.txt").read_text().splitlines()


def answers(name: str) -> list[str]:
    """Return the recorded answers to ``api``."""
    return re.findall(r"<<< api/response (.*?) *$", "\n".join(_rows(name)), re.MULTILINE)


_EVENT = re.compile(r" *[0-9.]+  (CHANNEL_\w+) +(\w+) +(\S+) +outbound +(.*?) ?\[(.*)\]$")
_JOB = re.compile(r" *[0-9.]+  BACKGROUND_JOB +job=(\w+) (.*)$")
_FAR_LEG = re.compile(r"[0-9a-f]{8}")


def _read(row: str, legs: _Legs) -> Line | None:
    if job := _JOB.match(row):
        text = re.sub(r"[0-9a-f-]{36}", "", job[2]).strip()
        return Line("BACKGROUND_JOB", "", job=f"{job[1]} {text}")
    match = _EVENT.match(row)
    if match is None or _FAR_LEG.fullmatch(match[2]):
        return None
    words = dict(word.split("=", 1) for word in match[4].split())
    leg = legs[row if match[3] == "N/A" else match[2]]  # several legs that never had a name share their label
    bridge = f"{legs[words['Bridge-A']]} {legs[words['Bridge-B']]}" if "Bridge-A" in words else ""
    return Line(
        match[1],
        leg,
        match[3],
        words.get("cause", ""),
        words.get("disp", ""),
        words.get("orig_disp", ""),
        words.get("ans", ""),
        legs[words["other"]] if "other" in words else "",
        bridge,
        match[5],
    )


def _told(event: Event, legs: _Legs) -> Line:
    get = event.get
    if event.name == "BACKGROUND_JOB":
        text = re.sub(r"[0-9a-f-]{36}", "", event.body).strip()
        return Line(event.name, "", job=f"{get('Job-UUID')[:8]} {text}")
    leg = legs[get("Unique-ID")]
    ends = [get("Bridge-A-Unique-ID"), get("Bridge-B-Unique-ID")]
    custom = {name.removeprefix("variable_"): text for name, text in event.headers.items() if "_dlr_" in name}
    return Line(
        event.name,
        leg,
        get("Channel-Name"),
        get("Hangup-Cause"),
        get("variable_sip_hangup_disposition"),
        get("variable_originate_disposition"),
        get("Answer-State"),
        legs[get("Other-Leg-Unique-ID")] if get("Other-Leg-Unique-ID") else "",
        " ".join(legs[end] for end in ends) if ends[0] else "",
        ",".join(f"{name}={text}" for name, text in sorted(custom.items())),
    )


def of_each_leg(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Part lines by leg, with jobs as one more; that is what no chance may change."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.leg, []).append(replace(line))
    return found
