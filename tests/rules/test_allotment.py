"""Who gets whom, against an oracle that tries everything at every step. Without a database."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dialer.engine.policy import Allotment, CampaignLines, Candidate, FreeOperator, Match, TierPlace, allot


@dataclass
class Room:
    """What a pass has: the arguments of ``allot``."""

    campaigns: list[CampaignLines] = field(default_factory=list)
    operators: list[FreeOperator] = field(default_factory=list)
    tiers: dict[int, list[TierPlace]] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=lambda: {1: 100})
    candidates: dict[int, list[Candidate]] = field(default_factory=dict)
    most: int = 250

    def campaign(self, campaign: int, waiting: int = 0, **more: Any) -> None:
        facts = {"priority": 0, "served": 0, "lines_left": 100, "strategy": "longest_idle", **more}
        self.campaigns.append(CampaignLines(id=campaign, **facts))
        self.tiers.setdefault(campaign, [])
        self.candidates.setdefault(campaign, [])
        for serial in range(waiting):
            self.candidate(campaign, campaign * 1000 + serial)

    def operator(self, operator: int, *campaigns: int, level: int = 1, position: int = 1, **more: Any) -> None:
        facts = {"call_timeout": 15, "gateway": None, "idle_since": 0.0, "calls": 0, "talk_seconds": 0, "dice": 0.0}
        self.operators.append(FreeOperator(id=operator, **{**facts, **more}))
        for campaign in campaigns:
            self.tiers.setdefault(campaign, []).append(TierPlace(operator, level, position))

    def candidate(
        self, campaign: int, member: int, *, digits: str = "", gateway: int = 1, sticky: int | None = None,
        longest: int = 99, last_read: bool = False,
    ) -> None:  # fmt: skip
        kind = gateway, sticky, longest
        self.candidates.setdefault(campaign, []).append(
            Candidate(member, digits or str(member), gateway, sticky, lambda s: s <= longest, kind, last_read)
        )

    def allot(self) -> list[Match]:
        return self.whole().matches

    def whole(self) -> Allotment:
        return allot(
            campaigns=self.campaigns, operators=self.operators, tiers=self.tiers, lines=self.lines,
            candidates=self.candidates, most=self.most,
        )  # fmt: skip


def who(matches: list[Match]) -> list[tuple[int, int, int]]:
    return [(match.campaign, match.operator, match.member) for match in matches]


# --- campaigns --------------------------------------------------------------------------------------------------


def test_a_campaign_of_higher_priority_is_served_as_long_as_it_can_use_a_line() -> None:
    room = Room(lines={1: 3})
    room.campaign(1, waiting=2, priority=1)
    room.campaign(2, waiting=2, priority=5)
    for operator in range(1, 5):
        room.operator(operator, 1, 2)
    assert [match.campaign for match in room.allot()] == [2, 2, 1]


def test_a_lower_one_gets_what_no_higher_one_can_use_now() -> None:
    room = Room()
    room.campaign(1, waiting=2, priority=1)
    room.campaign(2, waiting=2, priority=5, lines_left=1)
    room.campaign(3, waiting=2, priority=9)  # nobody serves it
    room.operator(1, 1, 2)
    room.operator(2, 1, 2)
    assert [match.campaign for match in room.allot()] == [2, 1]


def test_equals_are_served_in_turn_the_least_recently_served_first() -> None:
    room = Room()
    for campaign, served in ((1, 30), (2, 10), (3, 20)):
        room.campaign(campaign, waiting=3, served=served)
    for operator in range(1, 7):
        room.operator(operator, 1, 2, 3)
    assert [match.campaign for match in room.allot()] == [2, 3, 1, 2, 3, 1]


def test_a_campaign_never_exceeds_its_limit() -> None:
    room = Room()
    room.campaign(1, waiting=9, lines_left=2)
    room.campaign(2, waiting=9, lines_left=0)
    for operator in range(1, 6):
        room.operator(operator, 1, 2)
    assert Counter(match.campaign for match in room.allot()) == {1: 2}


def test_no_more_matches_than_asked_for() -> None:
    room = Room(most=3)
    room.campaign(1, waiting=9)
    for operator in range(1, 9):
        room.operator(operator, 1)
    assert len(room.allot()) == 3


# --- lines ------------------------------------------------------------------------------------------------------


def test_for_a_full_gateway_nobody_is_reserved_and_those_of_others_go_on() -> None:
    room = Room(lines={2: 5})
    room.campaign(1)
    room.candidate(1, 11, gateway=1)
    room.candidate(1, 12, gateway=2)
    room.operator(1, 1)
    assert who(room.allot()) == [(1, 1, 12)]


def test_an_outside_operator_takes_a_line_of_his_gateway_too() -> None:
    room = Room(lines={1: 2, 2: 1})
    room.campaign(1, waiting=3)
    room.operator(1, 1, gateway=2)
    room.operator(2, 1, gateway=2)
    room.operator(3, 1)
    assert [match.operator for match in room.allot()] == [1, 3]


def test_both_lines_may_come_from_one_gateway_if_it_has_two() -> None:
    for free, matched in ((1, 0), (2, 1), (3, 1), (4, 2)):
        room = Room(lines={1: free})
        room.campaign(1, waiting=3)
        room.operator(1, 1, gateway=1)
        room.operator(2, 1, gateway=1)
        assert len(room.allot()) == matched


def test_an_operator_whose_gateway_takes_no_calls_is_passed_over() -> None:
    room = Room(lines={1: 5})
    room.campaign(1, waiting=3)
    room.operator(1, 1, gateway=7)
    room.operator(2, 1)
    assert [match.operator for match in room.allot()] == [2]


# --- operators --------------------------------------------------------------------------------------------------


def test_the_tier_level_comes_before_the_position_and_both_before_the_strategy() -> None:
    room = Room()
    room.campaign(1, waiting=4)
    room.operator(1, 1, level=2, position=1, idle_since=1.0)
    room.operator(2, 1, level=1, position=2, idle_since=2.0)
    room.operator(3, 1, level=1, position=1, idle_since=4.0)
    room.operator(4, 1, level=1, position=1, idle_since=3.0)
    assert [match.operator for match in room.allot()] == [4, 3, 2, 1]


def test_each_strategy_has_its_own_order() -> None:
    for strategy, order in (
        ("longest_idle", [1, 2, 3]),
        ("fewest_calls", [3, 1, 2]),
        ("least_talk", [2, 3, 1]),
        ("random", [2, 1, 3]),
    ):
        room = Room()
        room.campaign(1, waiting=3, strategy=strategy)
        room.operator(1, 1, idle_since=10.0, calls=5, talk_seconds=900, dice=0.5)
        room.operator(2, 1, idle_since=20.0, calls=6, talk_seconds=100, dice=0.1)
        room.operator(3, 1, idle_since=30.0, calls=2, talk_seconds=500, dice=0.9)
        assert [match.operator for match in room.allot()] == order, strategy


def test_one_of_several_campaigns_has_a_place_of_his_own_in_each() -> None:
    room = Room()
    room.campaign(1, waiting=1, priority=2)
    room.campaign(2, waiting=1, priority=1)
    room.operator(1, 1, 2)
    room.operator(2, 1, 2)
    room.tiers[1] = [TierPlace(1, 2, 1), TierPlace(2, 1, 1)]
    assert who(room.allot()) == [(1, 2, 1000), (2, 1, 2000)]


def test_one_whose_phone_rings_too_long_for_a_subscriber_is_passed_over() -> None:
    room = Room()
    room.campaign(1)
    room.candidate(1, 11, longest=20)
    room.candidate(1, 12)
    room.operator(1, 1, call_timeout=30)
    room.operator(2, 1, call_timeout=20, position=2)
    assert who(room.allot()) == [(1, 2, 11), (1, 1, 12)]


# --- subscribers ------------------------------------------------------------------------------------------------


def test_the_best_subscriber_comes_first() -> None:
    room = Room()
    room.campaign(1, waiting=3)
    room.operator(1, 1)
    assert who(room.allot()) == [(1, 1, 1000)]


def test_a_sticky_subscriber_is_called_by_his_operator_alone() -> None:
    room = Room()
    room.campaign(1)
    room.candidate(1, 11, sticky=2)
    room.candidate(1, 12, sticky=9)
    room.candidate(1, 13)
    room.operator(1, 1)
    room.operator(2, 1, position=2)
    assert who(room.allot()) == [(1, 2, 11), (1, 1, 13)]


def test_a_sticky_subscriber_is_not_called_by_his_operator_for_a_campaign_that_he_left() -> None:
    room = Room()
    room.campaign(1)
    room.campaign(2)
    room.candidate(1, 11, sticky=1)
    room.operator(1, 2)
    assert room.allot() == []


def test_a_number_is_called_once_in_all_campaigns() -> None:
    room = Room()
    room.campaign(1, priority=2)
    room.campaign(2, priority=1)
    room.candidate(1, 11, digits="5")
    room.candidate(2, 21, digits="5")
    room.candidate(2, 22, digits="6")
    for operator in (1, 2, 3):
        room.operator(operator, 1, 2)
    assert [match.member for match in room.allot()] == [11, 22]


def test_it_ends_where_the_next_ones_are_among_those_who_were_not_read() -> None:
    room = Room()
    room.campaign(1, priority=2, lines_left=2)
    room.campaign(2, priority=1)
    room.candidate(1, 11, digits="5")
    room.candidate(1, 12, digits="6", last_read=True)
    room.candidate(2, 21, digits="5")
    room.candidate(2, 22, digits="6", last_read=True)
    room.candidate(2, 23)
    room.operator(1, 1, 2)
    room.operator(2, 1, 2)
    assert room.whole() == ([Match(1, 1, 11), Match(1, 2, 12)], False), "nobody is free for the next ones"
    room.operator(3, 1, 2)
    assert room.whole() == ([Match(1, 1, 11), Match(1, 2, 12)], True), "two of the other list were passed over"


def test_whom_nobody_can_call_is_no_reason_to_end() -> None:
    room = Room()
    room.campaign(1, priority=2)
    room.campaign(2, priority=1)
    room.candidate(1, 11, longest=5, last_read=True)
    room.candidate(1, 12)
    room.candidate(2, 21)
    room.operator(1, 1, 2)
    room.operator(2, 1, 2)
    assert room.whole() == ([Match(1, 1, 12), Match(2, 2, 21)], False)


# --- the oracle -------------------------------------------------------------------------------------------------

KEYS: dict[str, Any] = {
    "longest_idle": lambda o: o.idle_since,
    "fewest_calls": lambda o: (o.calls, o.idle_since),
    "least_talk": lambda o: (o.talk_seconds, o.idle_since),
    "random": lambda o: o.dice,
}


def oracle(room: Room) -> list[Match]:
    """Decide line by line, each time looking at everything that is left, the campaigns in their order."""
    free = {operator.id: operator for operator in room.operators}
    lines = Counter(room.lines)
    left = {campaign.id: campaign.lines_left for campaign in room.campaigns}
    served = {campaign.id: campaign.served for campaign in room.campaigns}
    by_id = {campaign.id: campaign for campaign in room.campaigns}
    done: set[object] = set()
    matches: list[Match] = []

    def possible(campaign: int) -> tuple[Candidate, FreeOperator] | None:
        places = [place for place in room.tiers[campaign] if place.operator in free]
        key = KEYS[by_id[campaign].strategy]
        places.sort(key=lambda place: (place.level, place.position, key(free[place.operator]), place.operator))
        for candidate in room.candidates[campaign]:
            if candidate.member in done or candidate.digits in done:
                continue
            for place in places:
                operator = free[place.operator]
                needs = Counter([candidate.gateway] + ([operator.gateway] if operator.gateway else []))
                if (
                    candidate.sticky_operator in {None, operator.id}
                    and all(lines[gateway] >= count for gateway, count in needs.items())
                    and candidate.suits(operator.call_timeout)
                ):
                    return candidate, operator
        return None

    while len(matches) < room.most:
        for campaign in sorted(left, key=lambda c: (-by_id[c].priority, served[c], c)):
            found = possible(campaign) if left[campaign] > 0 else None
            if found:
                break
        else:
            break
        candidate, operator = found
        matches.append(Match(campaign, operator.id, candidate.member))
        del free[operator.id]
        lines.subtract([candidate.gateway] + ([operator.gateway] if operator.gateway else []))
        done |= {candidate.member, candidate.digits}
        left[campaign] -= 1
        served[campaign] = max(served.values()) + 1
    return matches


@st.composite
def rooms(draw: st.DrawFn) -> Room:
    room = Room(lines=draw(st.dictionaries(st.integers(1, 3), st.integers(1, 4))), most=draw(st.integers(1, 9)))
    small = st.integers(0, 3)
    for campaign in range(1, draw(st.integers(1, 4)) + 1):
        room.campaign(
            campaign, priority=draw(st.integers(-1, 1)), served=draw(small), lines_left=draw(small),
            strategy=draw(st.sampled_from(sorted(KEYS))),
        )  # fmt: skip
        for serial in range(draw(st.integers(0, 5))):
            room.candidate(
                campaign, campaign * 100 + serial, digits=draw(st.sampled_from(["", "", "", "1", "2"])),
                gateway=draw(st.integers(1, 3)), sticky=draw(st.sampled_from([None, None, 1, 2, 9])),
                longest=draw(st.sampled_from([99, 15, 5])),
            )  # fmt: skip
    for operator in range(1, draw(st.integers(0, 6)) + 1):
        room.operator(
            operator, call_timeout=draw(st.sampled_from([10, 15, 20])), gateway=draw(st.sampled_from([None, 1, 2])),
            idle_since=float(draw(small)), calls=draw(small), talk_seconds=draw(small), dice=operator * 0.37 % 1,
        )  # fmt: skip
        for campaign in draw(st.sets(st.sampled_from([each.id for each in room.campaigns]))):
            room.tiers[campaign].append(TierPlace(operator, draw(st.integers(1, 2)), draw(st.integers(1, 2))))
    return room


@settings(max_examples=500, deadline=None)
@given(rooms())
def test_it_decides_what_looking_at_everything_before_each_line_would(room: Room) -> None:
    assert who(room.allot()) == who(oracle(room))


@settings(max_examples=300, deadline=None)
@given(rooms())
def test_nobody_is_given_twice_no_line_is_exceeded_and_nothing_more_could_be_given(room: Room) -> None:
    matches = room.allot()
    for of in ("operator", "member"):
        assert max(Counter(getattr(match, of) for match in matches).values(), default=1) == 1
    candidates = {candidate.member: candidate for several in room.candidates.values() for candidate in several}
    operators = {operator.id: operator for operator in room.operators}
    used = Counter[int]()
    for match in matches:
        used[candidates[match.member].gateway] += 1
        if gateway := operators[match.operator].gateway:
            used[gateway] += 1
    assert all(room.lines[gateway] >= count for gateway, count in used.items())
    assert max(Counter(candidates[match.member].digits for match in matches).values(), default=1) == 1
    if len(matches) == room.most:
        return
    rest = Room(
        campaigns=[
            replace(campaign, lines_left=campaign.lines_left - sum(match.campaign == campaign.id for match in matches))
            for campaign in room.campaigns
        ],
        operators=[o for o in room.operators if o.id not in {match.operator for match in matches}],
        tiers=room.tiers,
        lines={gateway: free - used[gateway] for gateway, free in room.lines.items()},
        candidates={
            campaign: [c for c in several if c.digits not in {candidates[match.member].digits for match in matches}]
            for campaign, several in room.candidates.items()
        },
    )
    assert oracle(rest) == []


@given(rooms())
def test_the_same_dice_fall_the_same_way(room: Room) -> None:
    assert room.allot() == room.allot()


# --- the cost ---------------------------------------------------------------------------------------------------


def big_room(**candidate: Any) -> Room:
    dice = random.Random(7)
    room = Room(lines=dict.fromkeys(range(1, 6), 200))
    for campaign in range(1, 51):
        room.campaign(campaign, strategy=dice.choice(sorted(KEYS)), lines_left=30, served=campaign)
        for serial in range(60):
            room.candidate(campaign, campaign * 1000 + serial, gateway=dice.randint(1, 5), **candidate)
    for operator in range(1, 1001):
        room.operator(
            operator, *range(1, 51), level=dice.randint(1, 3), position=dice.randint(1, 5),
            call_timeout=dice.choice([10, 15, 20, 30]), idle_since=dice.random(), dice=dice.random(),
        )  # fmt: skip
    return room


def fastest(room: Room) -> float:
    """Return the processor seconds of the fastest of a few runs."""
    times = []
    for _ in range(5):
        began = time.process_time()
        room.allot()
        times.append(time.process_time() - began)
    return min(times)


def test_a_full_pass_of_fifty_campaigns_and_a_thousand_operators_is_a_matter_of_milliseconds() -> None:
    room = big_room()
    assert len(room.allot()) == 250
    assert fastest(room) < 0.15


def test_passing_over_those_who_cannot_be_called_is_as_cheap() -> None:
    for candidate in ({"longest": 1}, {"sticky": 5000}, {"digits": "1"}):
        room = big_room(**candidate)
        assert len(room.allot()) <= 1
        assert fastest(room) < 0.15
