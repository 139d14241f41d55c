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
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Operator, OperatorState, OperatorStatus, Registration, Tier, claim_conditions
from campaigns.models import Campaign, CampaignState, Gateway
from dialer import clock, verbs
from dialer.engine import dispatch, lanes, why
from dialer.engine.why import Blocker, turns
from dialer.engine.why.members import Standing
from dialer.engine.why.operators import OF_OPERATOR
from dialer.models import Attempt, Node
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


@pytest.mark.parametrize("seed", range(8))
def test_with_lines_and_operators_for_all_the_claim_takes_exactly_those_whom_nothing_holds_back(seed: int) -> None:
    world = World(seed, scarce=False)
    told = {member.pk: why.of_member(member.pk) for member in world.members}
    free = {pk for pk, blockers in told.items() if not blockers}
    claimed = set(passes())
    assert claimed == free, {pk: told[pk] for pk in claimed ^ free}


@pytest.mark.parametrize("seed", range(100, 112))
def test_however_scarce_lines_and_operators_are_the_next_pass_takes_exactly_those_whom_nothing_holds_back(
    seed: int,
) -> None:
    world = World(seed, scarce=True)
    told = {member.pk: why.of_member(member.pk) for member in world.members}
    to_operators = {operator.pk: why.of_operator(operator.pk) for operator in world.operators}
    claimed = Attempt.objects.filter(pk__in=dispatch.run_pass().claimed)
    assert {pk for pk, blockers in told.items() if not blockers} == {attempt.member_id for attempt in claimed}
    assert {pk for pk, blockers in to_operators.items() if not blockers} == {attempt.operator_id for attempt in claimed}


@pytest.mark.parametrize("seed", range(200, 206))
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


# --- each kind of blocker ---------------------------------------------------------------------------------------


def only(blockers: list[Blocker]) -> Blocker:
    (found,) = blockers
    return found


@pytest.fixture
def gateway() -> Gateway:
    gateway = make_gateway()
    make_route(gateway, pattern="^3805")
    return gateway


@pytest.fixture
def campaign(gateway: Gateway) -> Campaign:
    """One that runs, with an operator who is free."""
    campaign = running(calendar=make_calendar(name="Office", weekly=HOURS))
    make_operator(campaign)
    return campaign


def test_whom_nothing_holds_back_has_no_blocker(campaign: Campaign) -> None:
    member = make_member(campaign)
    assert why.of_member(member.pk) == []
    assert dispatch.run_pass().claimed


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (CampaignState.IDLE, "campaign_idle"),
        (CampaignState.STOPPED, "campaign_stopped"),
        (CampaignState.STOPPING, "campaign_stopping"),
    ],
)
def test_a_campaign_that_does_not_run_says_so_and_what_to_do(campaign: Campaign, state: str, code: str) -> None:
    member = make_member(campaign)
    Campaign.objects.update(state=state)
    blocker = only(why.of_member(member.pk))
    assert (blocker.code, blocker.clears) == (code, False)
    assert "RUN" in blocker.remedy


def test_a_completed_campaign_says_why(campaign: Campaign) -> None:
    member = make_member(campaign)
    Campaign.objects.update(state=CampaignState.COMPLETED, completion="NOTHING_TO_DIAL")
    blocker = only(why.of_member(member.pk))
    assert blocker.code == "campaign_completed"
    assert "nobody left can be dialled" in blocker.text


def test_a_sleeping_campaign_says_until_when_and_holds_nobody_back_once_a_zone_is_open(campaign: Campaign) -> None:
    here, there = make_member(campaign), make_member(campaign, zones="America/New_York")
    Campaign.objects.update(state=CampaignState.SLEEPING, sleeping_until=NOW - SECOND)
    assert codes(here) == []
    end(here)
    opening = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
    sleeping, closed = why.of_member(there.pk)
    assert (sleeping.code, sleeping.until, sleeping.clears) == ("campaign_sleeping", opening, True)
    assert (closed.code, closed.until, closed.zone) == ("closed", opening, "America/New_York")


def test_one_who_is_on_a_call_held_or_done_is_told_alone(campaign: Campaign) -> None:
    talks, held, busy, done = (make_member(campaign) for _ in range(4))
    on_a_call(talks)
    hold(held, NOW + 60 * SECOND)
    end(busy)
    end(done, "NORMAL_CLEARING", success=True)
    assert only(why.of_member(talks.pk)).code == "live"
    awaits = only(why.of_member(held.pk))
    assert (awaits.code, awaits.until, awaits.clears) == ("held", NOW + 60 * SECOND, True)
    ended = only(why.of_member(busy.pk))
    assert (ended.code, ended.clears) == ("ended", False)
    assert "USER_BUSY" in ended.text
    assert only(why.of_member(done.pk)).code == "success"


def test_a_closed_calendar_says_when_it_opens_on_his_clock(campaign: Campaign) -> None:
    blocker = only(why.of_member(make_member(campaign, zones="America/New_York").pk))
    assert (blocker.code, blocker.clears, blocker.until) == ("closed", True, datetime(2026, 3, 2, 14, tzinfo=UTC))
    both = only(why.of_member(make_member(campaign, zones="Europe/Kyiv|America/New_York").pk))
    assert both.until == datetime(2026, 3, 2, 14, tzinfo=UTC)


def test_zones_that_are_never_open_at_once_do_not_clear(campaign: Campaign) -> None:
    blocker = only(why.of_member(make_member(campaign, zones="Europe/Kyiv|Pacific/Auckland").pk))
    assert (blocker.code, blocker.clears, blocker.until) == ("closed", False, None)


def test_a_calendar_that_is_over_does_not_clear(gateway: Gateway) -> None:
    campaign = running(calendar=make_calendar(last_date=date(2026, 3, 1)))
    make_operator(campaign)
    blocker = only(why.of_member(make_member(campaign).pk))
    assert (blocker.code, blocker.until) == ("closed", None)
    assert "is over" in blocker.text


def test_a_calendar_that_closes_while_the_operators_phone_rings_opens_for_long_enough_the_next_day(
    gateway: Gateway,
) -> None:
    campaign = running(calendar=make_calendar(weekly={1: [(540, 721)], 2: [(540, 720)]}))
    operator = make_operator(campaign, call_timeout=59)
    member = make_member(campaign)
    blocker = only(why.of_member(member.pk))
    assert (blocker.code, blocker.until) == ("closed", datetime(2026, 3, 3, 7, 0, tzinfo=UTC))
    Operator.objects.filter(pk=operator.pk).update(call_timeout=57)
    assert codes(member) == []


def test_waits_say_until_when_and_what_for(campaign: Campaign) -> None:
    later = NOW + 60 * SECOND
    texts = set()
    several: list[dict[str, Any]] = [{"tried": True}, {"callback": True}, {}]
    for fields in several:
        blocker = only(why.of_member(make_member(campaign, due_at=later, **fields).pk))
        assert (blocker.code, blocker.until, blocker.clears) == ("wait", later, True)
        texts.add(blocker.text)
    assert len(texts) == 3


def test_one_who_expires_before_what_holds_him_back_clears_is_told_so(campaign: Campaign) -> None:
    member = make_member(campaign, due_at=NOW + HOUR, expire_at=NOW + 30 * SECOND)
    wait, expires = why.of_member(member.pk)
    assert (wait.code, expires.code, expires.until) == ("wait", "expires_first", NOW + 30 * SECOND)


def test_the_expired_are_told_apart_from_those_who_expire_while_an_operators_phone_rings(campaign: Campaign) -> None:
    gone, goes = make_member(campaign), make_member(campaign)
    update(gone, expire_at=NOW)
    update(goes, expire_at=NOW + 17 * SECOND)
    assert only(why.of_member(gone.pk)).text == "He has expired."
    assert only(why.of_member(goes.pk)).text == "He expires before he could be called."
    update(goes, expire_at=NOW + 18 * SECOND)
    assert codes(goes) == []


def test_attempts_numbers_and_routes_are_told(campaign: Campaign) -> None:
    tired, mute, far = make_member(campaign), make_member(campaign), make_member(campaign, ["+4930111222"])
    update(tired, counted=5)
    stop_numbers(mute)
    assert "5 of 5" in only(why.of_member(tired.pk)).text
    assert "Supervisor: 1" in only(why.of_member(mute.pk)).text
    assert [codes(member) for member in (tired, mute, far)] == [["no_attempts"], ["no_number"], ["no_route"]]


def test_a_do_not_call_list_says_until_when(campaign: Campaign) -> None:
    forever, a_while, behind_the_plan = (make_member(campaign) for _ in range(3))
    list_number(forever)
    list_number(a_while, NOW + HOUR, campaign)
    DoNotCall.objects.create(digits=first_digits(behind_the_plan), expire_at=NOW + HOUR, created_at=NOW)
    found = [only(why.of_member(member.pk)) for member in (forever, a_while, behind_the_plan)]
    assert [(b.code, b.clears, b.until) for b in found] == [
        ("do_not_call", False, None),
        ("do_not_call", True, NOW + HOUR),
        ("do_not_call", True, NOW + HOUR),
    ]


def test_a_number_on_a_call_for_another_campaign_is_told(campaign: Campaign) -> None:
    member = make_member(campaign)
    on_a_call(make_member(make_campaign(), [first_digits(member)]))
    blocker = only(why.of_member(member.pk))
    assert (blocker.code, blocker.clears) == ("number_busy", True)


def test_gateways_say_whether_they_are_off_refuse_or_are_full(campaign: Campaign, gateway: Gateway) -> None:
    member = make_member(campaign)
    Gateway.objects.update(blocked_until=NOW + 8 * SECOND, blocked_reason="NETWORK_OUT_OF_ORDER")
    refuses = only(why.of_member(member.pk))
    assert (refuses.code, refuses.clears, refuses.until) == ("gateway_blocked", True, NOW + 8 * SECOND)
    assert "NETWORK_OUT_OF_ORDER" in refuses.text
    Gateway.objects.update(blocked_until=None, capacity=1)
    on_a_call(make_member(make_campaign()))
    full = only(why.of_member(member.pk))
    assert (full.code, full.clears) == ("gateway_full", True)
    Gateway.objects.update(enabled=False)
    assert only(why.of_member(member.pk)).code == "gateway_off"


def test_a_campaign_at_its_limit_is_told(campaign: Campaign) -> None:
    Campaign.objects.filter(pk=campaign.pk).update(limit=1)
    on_a_call(make_member(campaign))
    member = make_member(campaign)
    assert codes(member) == ["limit"]


def test_a_call_back_for_one_operator_names_him_and_what_keeps_him(campaign: Campaign) -> None:
    anna = make_operator(campaign, name="Anna", status=OperatorStatus.ON_BREAK, state=OperatorState.IDLE)
    member = make_member(campaign, sticky_operator=anna, sticky_until=NOW + HOUR)
    blocker = only(why.of_member(member.pk))
    assert (blocker.code, blocker.until, blocker.clears) == ("sticky", NOW + HOUR, True)
    assert "Anna" in blocker.text
    assert "On Break" in blocker.text
    update(member, sticky_until=NOW)
    assert codes(member) == []


AWAY = {"status": OperatorStatus.LOGGED_OUT, "state": OperatorState.IDLE}


@pytest.mark.parametrize(
    ("fields", "code", "until"),
    [
        (AWAY, "operators_away", None),
        ({"archived": True}, "operators_none", None),
        ({"status": OperatorStatus.ON_DEMAND, "state": OperatorState.IDLE}, "operators_busy", None),
        ({"state": OperatorState.WRAP_UP, "wrap_up_until": NOW + SECOND}, "operators_busy", NOW + SECOND),
        ({"ready_at": NOW + SECOND}, "operators_rest", NOW + SECOND),
        ({"registered": False}, "operators_unregistered", None),
        ({"uses_client": True}, "operators_absent", None),
    ],
)
def test_without_a_free_operator_it_is_told_what_they_lack(
    campaign: Campaign, fields: dict[str, Any], code: str, until: datetime | None
) -> None:
    member = make_member(campaign)
    Operator.objects.update(**fields)
    blocker = only(why.of_member(member.pk))
    assert (blocker.code, blocker.until) == (code, until)
    assert dispatch.run_pass().claimed == []


def test_a_campaign_without_operators_says_where_to_assign_some(gateway: Gateway) -> None:
    blocker = only(why.of_member(make_member(running()).pk))
    assert (blocker.code, blocker.clears) == ("operators_none", False)
    assert blocker.remedy


@pytest.mark.parametrize(
    ("fields", "code", "until"),
    [
        ({"connected": False}, "switch_down", None),
        ({"enabled": False}, "switch_drained", None),
        ({"blocked_until": NOW + SECOND, "blocked_reason": "refused"}, "switch_blocked", NOW + SECOND),
        ({"max_calls": 0}, "switch_full", None),
        ({"max_rate": 1, "tokens": 0, "tokens_at": NOW}, "switch_pace", None),
    ],
)
def test_switches_say_why_they_take_no_call(
    campaign: Campaign, fields: dict[str, Any], code: str, until: datetime | None
) -> None:
    member = make_member(campaign)
    Node.objects.update(**fields)
    blocker = only(why.of_member(member.pk))
    assert (blocker.code, blocker.until) == (code, until)
    assert only(why.of_operator(Operator.objects.get().pk)).code == code
    assert dispatch.run_pass().claimed == []


def test_without_any_switch_it_is_told_what_to_look_at(campaign: Campaign) -> None:
    member = make_member(campaign)
    Node.objects.all().delete()
    assert only(why.of_member(member.pk)).code == "switch_none"


def test_a_phone_at_a_switch_that_takes_no_calls_is_told(campaign: Campaign) -> None:
    full = make_node(last_event_at=NOW, max_calls=0)
    operator = Operator.objects.get()
    Registration.objects.create(operator=operator, node=full, registered=True, at=NOW)
    assert codes(make_member(campaign)) == ["switch_elsewhere"]


def test_an_operator_outside_whose_line_is_taken_suits_nobody(campaign: Campaign, gateway: Gateway) -> None:
    trunk = make_gateway(capacity=0)
    Operator.objects.update(contact="380441112233", gateway=trunk)
    assert codes(make_member(campaign)) == ["no_operator_suits"]


def test_a_dial_loop_that_stands_still_holds_everybody_back(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = make_member(campaign)
    monkeypatch.setattr(verbs, "last_pass_age", lambda: 6.0)
    assert codes(member) == ["loop"]

    def broken() -> float:
        raise ConnectionError

    monkeypatch.setattr(verbs, "last_pass_age", broken)
    assert "Redis" in only(why.of_member(member.pk)).text


# --- whose turn it is -------------------------------------------------------------------------------------------


def in_turn() -> list[int]:
    """Free the one operator after each call; return the subscribers in the order in which they were claimed."""
    order = []
    while claimed := dispatch.run_pass().claimed:
        attempt = Attempt.objects.get(pk=only_id(claimed))
        order.append(attempt.member_id)
        Attempt.objects.filter(pk=attempt.pk).update(
            ended_at=NOW, outcome="error", cause="UNALLOCATED_NUMBER", counted=True
        )
        Member.objects.filter(pk=attempt.member_id).update(
            state=MemberState.ENDED, ended_at=NOW, end_cause="UNALLOCATED_NUMBER", current_attempt=None
        )
        Operator.objects.filter(pk=attempt.operator_id).update(state=OperatorState.WAITING, current_attempt=None)
    return order


def only_id(ids: list[int]) -> int:
    (found,) = ids
    return found


@pytest.mark.parametrize("seed", range(8))
def test_how_many_come_before_is_the_order_in_which_they_are_claimed(gateway: Gateway, seed: int) -> None:
    dice = random.Random(seed)
    several = [running(priority=priority) for priority in dice.choice([[0], [0, 1], [1, 1], [0, 1, 1]])]
    operator = make_operator(*several)
    for campaign in several:
        for member in actions.add_members(
            campaign,
            [
                {"communications": [{"number": f"+38050{campaign.pk:03}{n:04}"}], "priority": dice.randint(0, 2)}
                for n in range(dice.randint(1, 7))
            ],
        ):
            update(
                member, tried=dice.random() < 0.4, callback=dice.random() < 0.3,
                due_at=NOW - dice.randint(0, 3) * SECOND, zones=dice.choice(["", "Europe/London", "America/New_York"]),
                sticky_operator=operator if dice.random() < 0.2 else None, sticky_until=NOW + HOUR,
            )  # fmt: skip
    told = {}
    for pk in Member.objects.values_list("pk", flat=True):
        blockers = why.of_member(pk)
        told[pk] = only(blockers).count if blockers else 0
    claimed = in_turn()
    assert set(told) == set(claimed)
    assert {pk: told[pk] for pk in claimed} == {pk: place for place, pk in enumerate(claimed)}


def test_with_busy_operators_both_are_told_what_keeps_them_and_how_many_come_before(campaign: Campaign) -> None:
    members = [make_member(campaign) for _ in range(3)]
    on_a_call(make_member(campaign))
    Operator.objects.filter(tiers__campaign=campaign).update(
        state=OperatorState.WRAP_UP, wrap_up_until=NOW + 5 * SECOND
    )
    assert [codes(member) for member in members] == [
        ["operators_busy"],
        ["operators_busy", "behind"],
        ["operators_busy", "behind"],
    ]
    assert [why.of_member(member.pk)[-1].count for member in members[1:]] == [1, 2]


def test_those_before_are_counted_so_far_and_no_further(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "COUNTED", 4)
    members = [make_member(campaign) for _ in range(7)]
    assert [why.of_member(member.pk)[0].text for member in members[4:]] == [
        "4 subscribers come before him.",
        "More than 4 subscribers come before him.",
        "More than 4 subscribers come before him.",
    ]


# --- operators --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code", "until"),
    [
        ({"archived": True, **AWAY}, "archived", None),
        (AWAY, "status", None),
        ({"status": OperatorStatus.ON_BREAK, "state": OperatorState.IDLE, "forced_break": True}, "status", None),
        ({"status": OperatorStatus.ON_DEMAND, "state": OperatorState.IDLE}, "idle", None),
        ({"state": OperatorState.WRAP_UP, "wrap_up_until": NOW + SECOND}, "wrap_up", NOW + SECOND),
        ({"ready_at": NOW + SECOND}, "rest", NOW + SECOND),
        ({"registered": False}, "not_registered", None),
        ({"uses_client": True}, "client", None),
        ({"uses_client": True, "client_connected": True}, "call_centre_mode", None),
    ],
)
def test_an_operator_is_told_each_thing_that_keeps_him_from_calls(
    campaign: Campaign, fields: dict[str, Any], code: str, until: datetime | None
) -> None:
    make_member(campaign)
    Operator.objects.update(**fields)
    blocker = why.of_operator(Operator.objects.get().pk)[0]
    assert (blocker.code, blocker.until, blocker.clears) == (code, until, until is not None)


def test_every_condition_of_the_claim_on_an_operator_has_words() -> None:
    assert set(OF_OPERATOR) == set(claim_conditions(clock.now()))


def test_every_condition_of_the_claim_on_a_subscriber_has_words() -> None:
    assert set(lanes.CONDITIONS) <= set(Standing._fields)
    assert set(dispatch.LANE_CONDITIONS) == {"line", "sticky", "open"}


def test_an_operator_on_a_call_without_campaigns_or_with_none_that_runs(campaign: Campaign) -> None:
    attempt = on_a_call(make_member(campaign))
    assert [blocker.code for blocker in why.of_operator(attempt.operator_id)] == ["busy", "no_tier"]
    him = Operator.objects.get(tiers__campaign=campaign)
    Campaign.objects.update(state=CampaignState.STOPPED)
    stopped = only(why.of_operator(him.pk))
    assert (stopped.code, stopped.clears) == ("no_campaign", False)
    assert campaign.name in stopped.text


def test_a_free_operator_is_told_what_each_campaign_lacks(campaign: Campaign) -> None:
    him = Operator.objects.get()
    assert only(why.of_operator(him.pk)).code == "no_subscribers"
    cache.clear()
    make_member(campaign, due_at=NOW + HOUR)
    waits = only(why.of_operator(him.pk))
    assert (waits.code, waits.until, waits.clears) == ("no_subscribers", NOW + HOUR, True)
    make_member(campaign)
    assert why.of_operator(him.pk) == []
    Campaign.objects.filter(pk=campaign.pk).update(limit=0)
    assert only(why.of_operator(him.pk)).code == "limit"


def test_an_operator_of_a_later_level_is_told_how_many_come_before_him(campaign: Campaign) -> None:
    first, last = Operator.objects.get(), make_operator()
    Tier.objects.create(campaign=campaign, operator=last, level=2)
    make_member(campaign)
    assert why.of_operator(first.pk) == []
    behind = only(why.of_operator(last.pk))
    assert (behind.code, behind.count) == ("behind", 1)


def test_whoever_may_not_see_a_campaign_is_not_told_of_it(campaign: Campaign) -> None:
    him = Operator.objects.get()
    secret = running(name="Secret")
    Tier.objects.create(campaign=secret, operator=him)
    told = why.of_operator(him.pk, only={campaign.pk})
    assert [blocker.code for blocker in told] == ["no_subscribers", "other_campaigns"]
    Campaign.objects.update(state=CampaignState.STOPPED)
    told += why.of_operator(him.pk, only={campaign.pk})
    assert not any("Secret" in blocker.text for blocker in told)


# --- what it costs ----------------------------------------------------------------------------------------------


def test_the_statements_do_not_grow_with_what_there_is(gateway: Gateway) -> None:
    counts: list[tuple[int, ...]] = []
    for many in (2, 20):
        several = [running() for _ in range(many)]
        for campaign in several:
            make_operator(*several)
            make_member(campaign), make_member(campaign)
        found = []
        member, operator = Member.objects.latest("pk"), Operator.objects.latest("pk")
        for ask in (
            lambda member=member: why.of_member(member.pk),
            lambda campaign=campaign: why.of_campaign(campaign.pk),
            lambda operator=operator: why.of_operator(operator.pk),
        ):
            cache.clear()
            with CaptureQueriesContext(connection) as captured:
                ask()
            found.append(len(captured))
        counts.append(tuple(found))
    assert counts[0] == counts[1]
    assert max(counts[1]) <= 32
