"""What is told: blockers, and where a list stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.utils.translation import gettext_lazy


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """One thing that holds a call back now."""

    code: str
    """For programs."""
    text: str
    """A sentence for people. It names no instant: ``until`` does."""
    remedy: str = ""
    """What somebody may do about it."""
    clears: bool = False
    """It goes by itself."""
    until: datetime | None = None
    """When it does, if that is known."""
    zone: str = ""
    """Whose wall clock tells more of ``until`` than the viewer's."""
    count: int | None = None
    """How many come before; more than ``COUNTED`` are told as one more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of a list that nothing else counts."""

    code: str
    count: int
    until: datetime | None = None
    """When the first of them goes on, if that is known."""
    zone: str = ""
    parts: Sequence[tuple[str, int]] = ()
    """Ends by their cause."""

    @property
    def label(self) -> str:
        """What it is called, in the language of whoever asks."""
        return str(STEPS[self.code][0])

    @property
    def tone(self) -> str:
        return STEPS[self.code][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """Where the subscribers of a campaign stand. The counts of ``steps`` add up to ``total``."""

    campaign: int
    at: datetime
    total: int
    ready: int
    """Of the last step: those who are called as soon as there is an operator and a line."""
    steps: Sequence[Step]
    blockers: Sequence[Blocker] = field(default=())
    """What holds all of them back."""


STEPS: Final = {
    "success": (gettext_lazy("Done, with success"), "good"),
    "ended": (gettext_lazy("Ended without success"), "bad"),
    "live": (gettext_lazy("On a call"), "talk"),
    "held": (gettext_lazy("Awaits a result"), "wrap"),
    "expired": (gettext_lazy("Expired"), "bad"),
    "no_attempts": (gettext_lazy("No attempts left"), "bad"),
    "no_number": (gettext_lazy("No active number"), "bad"),
    "no_route": (gettext_lazy("No route for the number"), "bad"),
    "do_not_call": (gettext_lazy("On a do-not-call list"), "warn"),
    "wait": (gettext_lazy("Waits for the next try"), "wrap"),
    "closed": (gettext_lazy("Outside of working hours"), "wrap"),
    "number_busy": (gettext_lazy("Number on another call"), "held"),
    "gateway_off": (gettext_lazy("Gateway switched off"), "bad"),
    "gateway_blocked": (gettext_lazy("Gateway refuses calls"), "warn"),
    "gateway_full": (gettext_lazy("All lines taken"), "held"),
    "sticky": (gettext_lazy("Waits for an operator of his own"), "held"),
    "ready": (gettext_lazy("Ready to be called"), "free"),
}
"""The parts of a list, in the order of ``members.codes``: what they are called, and their tone."""
