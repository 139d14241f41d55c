"""Tell the ledger what a switch would, without one: the events of a call, in any order a test likes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import time_machine

from agents.models import Operator
from campaigns.models import Campaign, CampaignState
from dialer import clock
from dialer.engine import calls, dispatch
from dialer.models import Attempt, Node
from dialer.switch import events
from members.models import Member
from tests.factories import make_campaign, make_member, make_node, make_operator, make_route


class Story:
    """One campaign with an operator and a subscriber, and the call between them."""

    def __init__(
        self, operator: dict[str, Any] | None = None, member: dict[str, Any] | None = None, **campaign: Any
    ) -> None:
        self.node = Node.objects.first() or make_node(last_event_at=clock.now() + timedelta(hours=1))
        self.core = uuid4()
        make_route()
        self.campaign = make_campaign(**campaign)
        self.start_campaign(self.campaign)
        self.operator = make_operator(self.campaign, **(operator or {}))
        self.member = make_member(self.campaign, **(member or {}))
        self.orders: list[calls.Order] = []
        self.reserve()

    @staticmethod
    def start_campaign(campaign: Campaign) -> None:
        Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)

    def reserve(self) -> Attempt:
        """Let a pass claim, and note the call as sent."""
        (attempt_id,) = dispatch.run_pass().claimed
        self.start = clock.now()
        Attempt.objects.filter(pk=attempt_id).update(sending_at=self.start, core_uuid=self.core)
        self.attempt = Attempt.objects.get(pk=attempt_id)
        return self.attempt

    def at(self, seconds: float) -> datetime:
        return self.start + timedelta(seconds=seconds)

    def tell(self, kind: type, leg: str, seconds: float, **more: Any) -> None:
        """Apply one event of a leg, ``seconds`` after sending, when our clock says so too."""
        common = {"at": self.at(seconds), "core_uuid": self.core, "attempt_id": self.attempt.pk, "role": leg}
        event = kind(leg=getattr(self.attempt, f"{leg}_uuid"), **common, **more)
        with time_machine.travel(self.at(max(0, seconds))):
            self.orders += calls.apply(event)

    def job(self, seconds: float, cause: str = "") -> None:
        self.orders += calls.apply(
            events.JobDone(
                at=self.at(seconds), core_uuid=self.core, job_uuid=self.attempt.job_uuid, ok=not cause, cause=cause,
                text=f"-ERR {cause}" if cause else "+OK",
            )
        )  # fmt: skip

    def operator_rings(self, seconds: float = 0.1) -> None:
        self.tell(events.LegCreated, "operator", seconds)

    def operator_answers(self, seconds: float = 1) -> None:
        self.operator_rings()
        self.tell(events.LegAnswered, "operator", seconds)
        self.job(seconds)
        self.tell(events.LegCreated, "subscriber", seconds)
        self.tell(events.LegProgress, "subscriber", seconds, media=False)

    def bridged(self, seconds: float = 5) -> None:
        self.operator_answers()
        self.tell(events.LegAnswered, "subscriber", seconds)
        self.tell(events.LegBridged, "operator", seconds, other=self.attempt.subscriber_uuid)

    def hangs_up(self, leg: str, seconds: float, cause: str, **more: Any) -> None:
        details = {
            "created_at": None, "progress_at": None, "answered_at": None, "bridged_at": None,
            "originate_disposition": "", "last_bridge_hangup_cause": "", "by_phone": False, **more,
        }  # fmt: skip
        self.tell(events.LegHungUp, leg, seconds, cause=cause, **details)

    def both_end(self, seconds: float, cause: str = "NORMAL_CLEARING", operator_cause: str = "") -> None:
        self.hangs_up("subscriber", seconds, cause)
        self.hangs_up("operator", seconds, operator_cause or cause, originate_disposition=cause)

    def talk(self, seconds: float) -> None:
        """A whole call: the operator answers, the subscriber too, and they talk for ``seconds``."""
        self.bridged(5)
        self.both_end(5 + seconds)

    def now(self) -> tuple[Attempt, Operator, Member]:
        """Return attempt, operator and subscriber as the database has them."""
        return (
            Attempt.objects.get(pk=self.attempt.pk),
            Operator.objects.get(pk=self.operator.pk),
            Member.objects.get(pk=self.member.pk),
        )
