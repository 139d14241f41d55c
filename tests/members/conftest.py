from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest

from campaigns.models import Campaign
from dialer import verbs
from tests import factories


@dataclass
class RecordingEngine:
    """Stands where the engine registers: what subscribers ask of it is written down, nothing else happens."""

    withdrawn: list[tuple[list[str], int | None]] = field(default_factory=list)

    def withdraw_number(self, digits: Collection[str], *, campaign_id: int | None = None) -> int:
        self.withdrawn.append((sorted(digits), campaign_id))
        return 0

    def withdraw_unsent(self, *, campaign_id: int | None = None, operator_id: int | None = None) -> int:
        raise NotImplementedError

    def hang_up(self, attempt_id: int, *, by: Any = None) -> None:
        raise NotImplementedError

    def report_result(self, campaign_id: int, member_id: int, body: Any, *, by: Any = None) -> dict[str, Any]:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> RecordingEngine:
    engine = RecordingEngine()
    monkeypatch.setattr(verbs, "_engine", engine)
    return engine


@pytest.fixture
def campaign(db: None) -> Campaign:
    """Return a campaign whose numbers have a common route."""
    factories.make_route()
    return factories.make_campaign()
