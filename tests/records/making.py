"""Call records as a switch would write them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from dialer import clock
from dialer.engine import records
from dialer.models import CallRecord
from dialer.switch.records import read_record
from tests.engine.story import Story

SAMPLE = json.loads((Path(__file__).parent / "subscriber_leg.json").read_text("utf-8"))
"""A record that a real switch wrote, shortened."""


def stamp(at: datetime | None) -> str:
    return str(round(at.timestamp() * 1_000_000)) if at else "0"


def record(
    leg: UUID,
    *,
    created: datetime,
    ended: datetime,
    cause: str = "NORMAL_CLEARING",
    answered: datetime | None = None,
    bridged: datetime | None = None,
    **more: str,
) -> dict[str, Any]:
    """Return what the switch would write of a leg."""
    instants = {"start": created, "end": ended, "answer": answered, "bridge": bridged}
    return {
        **SAMPLE,
        "variables": {
            **SAMPLE["variables"],
            "uuid": str(leg),
            "hangup_cause": cause,
            **{f"{name}_uepoch": stamp(at) for name, at in instants.items()},
            **more,
        },
    }


def of_talk(story: Story, talk: float = 20) -> list[dict[str, Any]]:
    """Return both records of a call that was bridged 5 s after it was sent."""
    legs = ("operator", 0.1, 1.0), ("subscriber", 1.0, 5.0)
    return [
        record(
            getattr(story.attempt, f"{role}_uuid"),
            created=story.at(created),
            answered=story.at(answered),
            bridged=story.at(5),
            ended=story.at(5 + talk),
        )
        for role, created, answered in legs
    ]


def take(raw: dict[str, Any]) -> records.Taken:
    return records.take(read_record(json.dumps(raw).encode()))


def waited_long_enough() -> None:
    """Let all records be older than the time in which an event may still come."""
    CallRecord.objects.update(received_at=clock.now() - records.EVENT_MAY_COME - timedelta(seconds=1))
