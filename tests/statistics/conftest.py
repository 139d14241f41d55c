"""A ledger that tests write themselves, instant by instant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache

from agents.models import Operator, OperatorPeriod
from campaigns.models import Campaign
from dialer.models import Attempt
from members.models import Member
from tests.factories import make_attempt, make_member

NOON = datetime(2026, 5, 4, 9, tzinfo=UTC)
"""Noon of a Monday in Kyiv."""


@pytest.fixture(autouse=True)
def _no_shared_reading() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def _afternoon() -> Iterator[None]:
    """It is three in the afternoon."""
    with time_machine.travel(NOON + timedelta(hours=3), tick=False):
        yield


def at(hours: float = 0, seconds: float = 0) -> datetime:
    """Return an instant after noon."""
    return NOON + timedelta(hours=hours, seconds=seconds)


def a_call(
    campaign: Campaign, operator: Operator, when: datetime, *, talk: float | None = None, member: Member | None = None,
    **fields: Any,
) -> Attempt:  # fmt: skip
    """Add an attempt that has ended: dialled after 5 s, connected at 15 s for ``talk`` seconds if they are given."""

    def after(seconds: float) -> datetime:
        return when + timedelta(seconds=seconds)

    told: dict[str, Any] = {
        "reserved_at": when, "operator_free_at": after(-10), "sending_at": after(1), "operator_ringing_at": after(2),
        "operator_answered_at": after(5), "subscriber_created_at": after(6), "ended_at": after(20),
        "outcome": "retry", "cause": "NO_ANSWER", "counted": True,
    }  # fmt: skip
    if talk is not None:
        told |= {
            "subscriber_answered_at": after(14), "bridged_at": after(15), "talk_ended_at": after(15 + talk),
            "ended_at": after(15 + talk), "outcome": "success", "cause": "NORMAL_CLEARING",
        }  # fmt: skip
    return make_attempt(member or make_member(campaign), operator, **{**told, **fields})


def periods(operator: Operator, *told: tuple[datetime, str, str]) -> None:
    """Give an operator these periods and no others: since when, status, state."""
    OperatorPeriod.objects.filter(operator=operator).delete()
    for since, status, state in told:
        OperatorPeriod.objects.create(operator=operator, since=since, status=status, state=state)
