"""The next number of a subscriber, his gateway and when he is due: the SQL against a plain reading of the rule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.models import Campaign, Gateway, Route
from dialer import clock
from members import actions, planning
from members.models import Communication, DoNotCall, Member, MemberState
from tests import factories

NEVER = "never"
LISTINGS = st.sampled_from([None, None, None, NEVER, -60, 30, 600, 7200])
"""A do-not-call listing: none, for ever, or seconds from now until it ends (in the past: it has ended)."""


@dataclass(frozen=True)
class Choice:
    """A number as the rule sees it."""

    tries: int
    priority: int
    stopped: str
    routed: bool
    listed: str | int | None
    listed_here: str | int | None


@dataclass(frozen=True)
class Case:
    numbers: list[Choice]
    due_in: int
    ready: bool
    requested: int | None


choices = st.builds(
    Choice,
    tries=st.integers(0, 2),
    priority=st.integers(-1, 1),
    stopped=st.sampled_from(["", "", "", "cause", "result", "person"]),
    routed=st.sampled_from([True, True, True, False]),
    listed=LISTINGS,
    listed_here=LISTINGS,
)
cases = st.builds(
    Case,
    numbers=st.lists(choices, min_size=1, max_size=4),
    due_in=st.sampled_from([-3600, 0, 60, 3600]),
    ready=st.booleans(),
    requested=st.sampled_from([None, None, None, 0, 1, 2]),
)


def expected(case: Case) -> tuple[int | None, int]:
    """Return the place of the number that the rule picks, and in how many seconds he is due."""
    candidates = []
    for place, number in enumerate(case.numbers):
        listings = [number.listed, number.listed_here]
        if number.stopped or not number.routed or NEVER in listings:
            continue
        until = max([seconds for seconds in listings if isinstance(seconds, int) and seconds > 0], default=-10_000)
        callable_in = max(case.due_in, 0, until)
        candidates.append(((place != case.requested, callable_in, number.tries, -number.priority, place), until))
    if not candidates:
        return None, case.due_in
    order, until = min(candidates)
    return order[-1], max(case.due_in, until)


def build(campaign: Campaign, case: Case, now: datetime) -> tuple[Member, list[Communication]]:
    """Write a case as rows, whatever it was planned before."""
    due_at = now + timedelta(seconds=case.due_in)
    route = Route.objects.get()
    member = Member.objects.create(campaign=campaign, created_at=now, due_at=due_at)
    numbers = []
    for number in case.numbers:
        digits = factories.make_number().removeprefix("+")
        numbers.append(
            Communication.objects.create(
                member=member, campaign=campaign, number=digits, dial=digits, digits=digits, tries=number.tries,
                priority=number.priority, stopped=number.stopped, route=route if number.routed else None,
            )
        )  # fmt: skip
        for listing, where in ((number.listed, None), (number.listed_here, campaign)):
            if listing is not None:
                until = now + timedelta(seconds=listing) if isinstance(listing, int) else None
                DoNotCall.objects.create(digits=digits, campaign=where, expire_at=until, created_at=now)
    his = Member.objects.filter(pk=member.pk)
    if case.requested is not None and case.requested < len(numbers):
        his.update(requested_communication=numbers[case.requested])
    if case.ready:
        his.update(state="ready", next_communication=numbers[0], next_gateway=route.gateway)
    return member, numbers


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(several=st.lists(cases, min_size=1, max_size=8))
def test_the_choice_in_sql_is_the_choice_of_the_rule(campaign: Campaign, several: list[Case]) -> None:
    now = clock.now()
    built = [build(campaign, case, now) for case in several]
    planning.plan([member.pk for member, _ in built], now)
    for case, (member, numbers) in zip(several, built, strict=True):
        member.refresh_from_db()
        place, due_in = expected(case)
        assert member.next_communication == (None if place is None else numbers[place])
        assert member.next_gateway == (None if place is None else Gateway.objects.get())
        assert member.due_at == now + timedelta(seconds=due_in)
        assert (member.state == MemberState.READY) == (place is not None and due_in <= 0)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(several=st.lists(cases, min_size=1, max_size=8))
def test_planning_twice_is_planning_once(campaign: Campaign, several: list[Case]) -> None:
    now = clock.now()
    ids = [build(campaign, case, now)[0].pk for case in several]
    planning.plan(ids, now)
    once = list(Member.objects.filter(pk__in=ids).order_by("pk").values())
    planning.plan(ids, now)
    assert list(Member.objects.filter(pk__in=ids).order_by("pk").values()) == once


def numbers_of(member: Member) -> dict[str, Communication]:
    return {number.digits: number for number in member.communications.all()}


def next_digits(member: Member) -> str | None:
    member.refresh_from_db()
    return member.next_communication.digits if member.next_communication else None


def test_fewest_tries_then_highest_priority_then_first_entered(campaign: Campaign) -> None:
    member = factories.make_member(campaign, ["1", "2", "3"])
    assert next_digits(member) == "1"
    member.communications.filter(digits="3").update(priority=1)
    planning.plan([member.pk])
    assert next_digits(member) == "3"
    member.communications.filter(digits="3").update(tries=1)
    planning.plan([member.pk])
    assert next_digits(member) == "1"


def test_one_on_a_call_held_or_ended_is_left_alone(campaign: Campaign) -> None:
    member = factories.make_member(campaign, ["1", "2"])
    factories.make_attempt(member)
    member.communications.filter(digits="1").update(tries=5)
    planning.plan([member.pk])
    assert (next_digits(member), member.state) == ("1", MemberState.LIVE)


def test_a_removed_listing_gives_back_the_old_due(campaign: Campaign) -> None:
    """The pause between retries is not lost, and the end of the listing not kept."""
    now = clock.now()
    member = factories.make_member(campaign, ["1"], due_at=now + timedelta(minutes=5))
    actions.add_do_not_call("1", campaign, now + timedelta(days=30))
    member.refresh_from_db()
    assert member.due_at == now + timedelta(days=30)
    actions.remove_do_not_call("1", campaign)
    member.refresh_from_db()
    assert (member.due_at, member.due_at_unlisted) == (now + timedelta(minutes=5), None)


@pytest.mark.parametrize(
    ("own", "common", "digits", "found"),
    [
        ([], [("", "all")], "380501112233", "all"),
        ([], [("^380", "ua"), ("", "all")], "380501112233", "ua"),
        ([], [("^380", "ua"), ("", "all")], "12025550100", "all"),
        ([("", "own")], [("^380", "ua")], "380501112233", "own"),
        ([("^1", "own")], [("^380", "ua")], "380501112233", "ua"),
        ([("^7", "own")], [("^1", "us")], "380501112233", None),
        ([], [(r"^\*[0-9]{3}#$", "service")], "*100#", "service"),
    ],
)
def test_own_routes_before_common_ones_each_by_position(
    db: None, own: list[tuple[str, str]], common: list[tuple[str, str]], digits: str, found: str | None
) -> None:
    campaign = factories.make_campaign()
    # entered backwards, so that only the position can put them in order
    for where, routes in ((campaign, own), (None, common)):
        for position, (pattern, name) in reversed(list(enumerate(routes))):
            factories.make_route(campaign=where, position=position, pattern=pattern, name=name)
    factories.make_route(campaign=factories.make_campaign(), name="of another campaign", position=-1)
    factories.make_route(name="switched off", position=-1, enabled=False)
    number = factories.make_member(campaign, [digits]).communications.get()
    assert (number.route.name if number.route else None) == found


def test_a_new_route_finds_the_numbers_that_had_none(db: None) -> None:
    campaign = factories.make_campaign()
    members = [factories.make_member(campaign) for _ in range(3)]
    assert factories.states(members) == [MemberState.WAITING] * 3
    route = factories.make_route()
    planning.resolve_routes(campaign.pk)
    assert factories.states(members) == [MemberState.READY] * 3
    members[0].refresh_from_db()
    assert members[0].next_gateway == route.gateway


def test_a_number_whose_route_is_gone_is_passed_over_and_never_stopped(campaign: Campaign) -> None:
    member = factories.make_member(campaign, ["1"])
    Route.objects.update(enabled=False)
    planning.resolve_routes()
    member.refresh_from_db()
    assert (member.state, member.next_communication, member.next_gateway) == (MemberState.WAITING, None, None)
    assert member.communications.get().stopped == ""


def test_another_gateway_of_the_same_route_is_planned_anew(campaign: Campaign) -> None:
    member = factories.make_member(campaign)
    other = factories.make_gateway()
    Route.objects.update(gateway=other)
    planning.resolve_routes()
    member.refresh_from_db()
    assert member.next_gateway == other


def test_a_batch_that_nothing_changes_only_reads(campaign: Campaign) -> None:
    for _ in range(3):
        factories.make_member(campaign)
    with CaptureQueriesContext(connection) as captured:
        planning.resolve_routes(campaign.pk)
    assert not [query for query in captured if "UPDATE members" in query["sql"]]


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_a_long_list_is_resolved_to_its_end(db: None, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(planning, "BATCH", batch)
    campaign, other = factories.make_campaign(), factories.make_campaign()
    members = [factories.make_member(campaign, [f"{n}", f"9{n}"]) for n in range(1, 8)]
    factories.make_member(other, ["1"])
    factories.make_route()
    planning.resolve_routes(campaign.pk)
    assert factories.states(members) == [MemberState.READY] * 7
    assert Communication.objects.filter(route=None).count() == 1  # the other campaign's
    planning.resolve_routes()
    assert not Communication.objects.filter(route=None).exists()


def test_the_number_of_statements_does_not_grow_with_the_list(campaign: Campaign) -> None:
    rows = [{"communications": [{"number": factories.make_number()}]} for _ in range(300)]
    ids = [member.pk for member in actions.add_members(campaign, rows)]
    with CaptureQueriesContext(connection) as few:
        planning.plan(ids[:2])
    with CaptureQueriesContext(connection) as many:
        planning.plan(ids)
    assert len(few) == len(many)
