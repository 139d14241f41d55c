"""Why somebody is not called: it agrees with what the claim then does, on the real database."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache

from agents.models import Operator, OperatorState, OperatorStatus, Tier
from campaigns.models import Campaign, CampaignState
from dialer import verbs
from dialer.engine import dispatch, why
from dialer.engine.why import Blocker
from dialer.models import Attempt
from members import actions, planning
from members.models import Communication, DoNotCall, Member, MemberState
from tests.factories import (
    make_attempt,
    make_calendar,
    make_campaign,
    make_gateway,
    make_member,
    make_node,
    make_operator,
    make_route,
)

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
"""Monday: noon in Kyiv, ten in London, five in the morning in New York."""
HOURS = {weekday: [(9 * 60, 18 * 60)] for weekday in range(1, 6)}
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def _quiet_noon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock stands, a switch is heard and the dial loop runs."""
    cache.clear()
    monkeypatch.setattr(verbs, "last_pass_age", lambda: 0.0)
    with time_machine.travel(NOW, tick=False):
        make_node(last_event_at=NOW)
        yield
    cache.clear()


def running(**fields: Any) -> Campaign:
    campaign = make_campaign(**fields)
    Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
    campaign.refresh_from_db()
    return campaign


def codes(member: Member) -> list[str]:
    return [blocker.code for blocker in why.of_member(member.pk)]


def on_a_call(member: Member) -> Attempt:
    """Put a subscriber on a call with an operator of his own."""
    operator = make_operator()
    attempt = make_attempt(member, operator)
    Operator.objects.filter(pk=operator.pk).update(state=OperatorState.IN_CALL, current_attempt=attempt)
    return attempt


def hold(member: Member, deadline: datetime) -> None:
    """Let a subscriber's call be over and its result awaited."""
    attempt = on_a_call(member)
    Operator.objects.filter(current_attempt=attempt).update(state=OperatorState.WAITING, current_attempt=None)
    Attempt.objects.filter(pk=attempt.pk).update(
        ended_at=NOW, outcome="awaiting_result", cause="NORMAL_CLEARING", result_state="awaited",
        result_deadline=deadline,
    )  # fmt: skip
    Member.objects.filter(pk=member.pk).update(state=MemberState.HELD)


def end(member: Member, cause: str = "USER_BUSY", *, success: bool = False) -> None:
    Member.objects.filter(pk=member.pk).update(
        state=MemberState.ENDED, ended_at=NOW, end_cause=cause, success=success
    )  # fmt: skip


def stop_numbers(member: Member) -> None:
    Communication.objects.filter(member=member).update(stopped="person", stopped_at=NOW)
    planning.plan([member.pk])


def list_number(member: Member, until: datetime | None = None, campaign: Campaign | None = None) -> None:
    for number in member.communications.all():
        DoNotCall.objects.create(digits=number.digits, campaign=campaign, expire_at=until, created_at=NOW)
    planning.plan([member.pk])


def update(member: Member, **fields: Any) -> None:
    """Write fields as they are, as a race with the dial loop would leave them."""
    Member.objects.filter(pk=member.pk).update(**fields)


def passes() -> list[int]:
    """Run passes until nobody more is claimed; return the subscribers in the order of the claim."""
    claimed: list[int] = []
    while found := dispatch.run_pass().claimed:
        claimed += found
    return list(Attempt.objects.filter(pk__in=claimed).order_by("pk").values_list("member_id", flat=True))


# --- a world of every kind --------------------------------------------------------------------------------------


class World:
    """Campaigns, lines, operators and subscribers as they come."""

    def __init__(self, seed: int, *, scarce: bool) -> None:
        self.dice = random.Random(seed)
        self.scarce = scarce
        dice = self.dice
        plenty = dice.randint(1, 4) if scarce else 500
        self.gateways = {
            "38050": make_gateway(capacity=plenty),
            "38051": make_gateway(capacity=plenty),
            "38052": make_gateway(enabled=False),
            "38053": make_gateway(blocked_until=NOW + HOUR, blocked_reason="CALL_REJECTED"),
            "38054": make_gateway(capacity=0),
        }
        for prefix, gateway in self.gateways.items():
            make_route(gateway, pattern=f"^{prefix}")
        hours = [
            make_calendar(),
            make_calendar(weekly=HOURS),
            make_calendar(weekly={1: [(600, 721)], 2: [(600, 700)]}),  # closes at 12:01
            make_calendar(weekly={1: [(600, 720)]}),  # has just closed
            make_calendar(last_date=date(2026, 3, 1)),
        ]
        states = [CampaignState.RUNNING] * 4 + [
            CampaignState.SLEEPING, CampaignState.STOPPED, CampaignState.STOPPING, CampaignState.IDLE,
        ]  # fmt: skip
        self.campaigns = []
        for _ in range(4):
            campaign = make_campaign(
                dice.choices(hours, [6, 3, 2, 1, 1])[0], priority=dice.randint(0, 1),
                limit=dice.randint(0, 4) if scarce else 500, max_retries=dice.randint(1, 3),
                connect_order=dice.choice(["operator_first", "subscriber_first"]),
            )  # fmt: skip
            state = dice.choice(states)
            until = NOW + HOUR if state == CampaignState.SLEEPING else None
            Campaign.objects.filter(pk=campaign.pk).update(state=state, sleeping_until=until)
            self.campaigns.append(campaign)
        self.operators = [self.operator() for _ in range(dice.randint(0, 8) if scarce else 160)]
        self.away = make_operator(*self.campaigns, status=OperatorStatus.ON_BREAK, state=OperatorState.IDLE)
        self.serial = 0
        self.members = self.some_members(40)
        for member in self.members:
            self.vary(member)
        dispatch.sweep(NOW) if scarce else None

    def operator(self) -> Operator:
        dice = self.dice
        served = dice.sample(self.campaigns, dice.randint(0, 4)) if self.scarce else self.campaigns
        fields: dict[str, Any] = {"idle_since": NOW - dice.randint(0, 99) * SECOND, "call_timeout": 15}
        if self.scarce:
            fields["call_timeout"] = dice.choice([5, 15, 120])
            kind = dice.randint(0, 9)
            if kind == 0:
                fields |= {"status": OperatorStatus.LOGGED_OUT, "state": OperatorState.IDLE}
            elif kind == 1:
                fields |= {"registered": False}
            elif kind == 2:
                fields |= {"ready_at": NOW + 10 * SECOND}
            elif kind == 3:
                fields |= {"state": OperatorState.WRAP_UP, "wrap_up_until": NOW + 10 * SECOND}
            elif kind == 4:
                fields |= {"uses_client": True}
            elif kind == 5:
                fields |= {"contact": "380501", "gateway": self.gateways[dice.choice(["38050", "38051", "38054"])]}
        operator = make_operator(*served, **fields)
        for tier in Tier.objects.filter(operator=operator):
            Tier.objects.filter(pk=tier.pk).update(level=dice.randint(1, 2), position=dice.randint(1, 2))
        return operator

    def number(self) -> str:
        self.serial += 1
        prefix = self.dice.choices(["38050", "38051", "38052", "38053", "38054", "38099"], [9, 5, 1, 1, 1, 1])[0]
        return f"+{prefix}{self.serial:07}"

    def some_members(self, how_many: int) -> list[Member]:
        dice, found = self.dice, []
        for campaign in self.campaigns:
            rows = [
                {
                    "communications": [{"number": self.number()} for _ in range(dice.choice([1, 1, 1, 2]))],
                    "priority": dice.randint(0, 3),
                }
                for _ in range(how_many // len(self.campaigns))
            ]
            found += actions.add_members(campaign, rows)
        for member in found:
            update(
                member, due_at=NOW - dice.randint(0, 500) * SECOND, tried=dice.random() < 0.3,
                callback=dice.random() < 0.2,
                zones=dice.choice(["", "", "", "America/New_York", "Europe/London", "Europe/London|America/New_York"]),
            )  # fmt: skip
            member.refresh_from_db()
        return found

    def vary(self, member: Member) -> None:
        """Make one of every kind of him, or leave him as he is."""
        dice, campaign = self.dice, member.campaign
        kinds: list[Callable[[], Any]] = [
            lambda: update(member, state="waiting") if not self.scarce else None,
            lambda: make_member_wait(member, NOW + dice.randint(1, 9999) * SECOND),
            lambda: update(member, expire_at=NOW - SECOND),
            lambda: update(member, expire_at=NOW + 3 * SECOND),
            lambda: update(member, counted=campaign.max_retries),
            lambda: update(member, counted=campaign.max_retries, extra_attempts=1),
            lambda: stop_numbers(member),
            lambda: Communication.objects.filter(member=member).update(stopped="person"),
            lambda: list_number(member),
            lambda: list_number(member, NOW + HOUR),
            lambda: list_number(member, NOW - HOUR),
            lambda: DoNotCall.objects.create(digits=first_digits(member), created_at=NOW),
            lambda: DoNotCall.objects.create(digits=first_digits(member), created_at=NOW, campaign=self.campaigns[0]),
            lambda: update(member, sticky_operator=self.away, sticky_until=NOW + HOUR),
            lambda: update(member, sticky_operator=dice.choice(self.operators or [self.away]), sticky_until=NOW + HOUR),
            lambda: update(member, sticky_operator=self.away, sticky_until=NOW - HOUR) if not self.scarce else None,
            lambda: on_a_call(member) if member.state == MemberState.READY else None,
            lambda: hold(member, NOW + HOUR) if member.state == MemberState.READY else None,
            lambda: end(member),
            lambda: end(member, success=True),
            lambda: self.busy_number(member),
        ]
        if dice.random() < 0.6:
            dice.choice(kinds)()

    def busy_number(self, member: Member) -> None:
        """Call his number for a subscriber of a campaign that nobody looks at."""
        other = make_member(make_campaign(), [first_digits(member)])
        if other.state == MemberState.READY:
            on_a_call(other)


def first_digits(member: Member) -> str:
    number = member.communications.first()
    assert number is not None
    return number.digits


def make_member_wait(member: Member, until: datetime) -> None:
    update(member, due_at=until)
    planning.plan([member.pk])


def first_of_his_own(blockers: list[Blocker]) -> str:
    """Return the part of the list in which a subscriber is counted."""
    return next((blocker.code for blocker in blockers if blocker.code in why.STEPS), "ready")


@pytest.mark.parametrize("seed", range(20))
def test_with_lines_and_operators_for_all_the_claim_takes_exactly_those_whom_nothing_holds_back(seed: int) -> None:
    world = World(seed, scarce=False)
    told = {member.pk: why.of_member(member.pk) for member in world.members}
    free = {pk for pk, blockers in told.items() if not blockers}
    claimed = set(passes())
    assert claimed == free, {pk: told[pk] for pk in claimed ^ free}


@pytest.mark.parametrize("seed", range(100, 130))
def test_however_scarce_lines_and_operators_are_the_next_pass_takes_exactly_those_whom_nothing_holds_back(
    seed: int,
) -> None:
    world = World(seed, scarce=True)
    told = {member.pk: why.of_member(member.pk) for member in world.members}
    to_operators = {operator.pk: why.of_operator(operator.pk) for operator in world.operators}
    claimed = Attempt.objects.filter(pk__in=dispatch.run_pass().claimed)
    assert {pk for pk, blockers in told.items() if not blockers} == {attempt.member_id for attempt in claimed}
    assert {pk for pk, blockers in to_operators.items() if not blockers} == {attempt.operator_id for attempt in claimed}


@pytest.mark.parametrize("seed", range(200, 215))
def test_the_funnel_counts_each_subscriber_once_by_what_holds_him_back_first(seed: int) -> None:
    world = World(seed, scarce=bool(seed % 2))
    for campaign in world.campaigns:
        funnel = why.of_campaign(campaign.pk)
        told = Counter(
            first_of_his_own(why.of_member(pk))
            for pk in campaign.members.filter(hidden=False).values_list("pk", flat=True)
        )
        assert {step.code: step.count for step in funnel.steps if step.count} == dict(told)
        assert funnel.total == sum(step.count for step in funnel.steps) == campaign.members.count()
        assert funnel.ready == told["ready"]
