"""Who gets whom: campaigns, their due subscribers, operators and lines, matched line by line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class CampaignLines:
    """A campaign that runs."""

    id: int
    priority: int
    """Bigger is served first."""
    served: int
    """Grows with the time it was served last; the smallest of equals is served next."""
    lines_left: int
    """Calls it may have more, by its limit."""
    strategy: str
    """longest_idle, fewest_calls, least_talk or random."""


@dataclass(frozen=True, slots=True)
class FreeOperator:
    """An operator who may get a call now."""

    id: int
    call_timeout: int
    """Seconds that his phone rings."""
    gateway: int | None
    """Whose line his leg takes; ``None``: he has a phone of the switch's own."""
    idle_since: float
    """Seconds since 1970; 0: ever."""
    calls: int
    talk_seconds: int
    dice: float
    """What the random strategy goes by: drawn anew for each pass."""


class TierPlace(NamedTuple):
    """An operator's place in a campaign, by level and then position."""

    operator: int
    level: int
    position: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A due subscriber and the number that would be dialled."""

    member: int
    digits: str
    gateway: int
    sticky_operator: int | None
    """The only operator who may call him."""
    suits: Callable[[int], bool]
    """Whether he may be claimed by an operator whose phone rings so many seconds."""
    kind: Hashable = None
    """Those of a campaign who are of one kind suit the same operators; ``None``: he is like nobody else."""
    last_read: bool = False
    """There are more like him, who were not read: whoever comes after him may be worse than they."""


@dataclass(frozen=True, slots=True)
class Match:
    """A call to make."""

    campaign: int
    operator: int
    member: int


class Allotment(NamedTuple):
    """The calls to make, in the order in which they were decided."""

    matches: list[Match]
    cut: bool
    """It ended where the next ones are among those who were not read."""


RANKS: dict[str, Callable[[FreeOperator], tuple[float, ...]]] = {
    "longest_idle": lambda o: (o.idle_since, o.id),
    "fewest_calls": lambda o: (o.calls, o.idle_since, o.id),
    "least_talk": lambda o: (o.talk_seconds, o.idle_since, o.id),
    "random": lambda o: (o.dice, o.id),
}
"""How each strategy orders equally tiered operators, the best first."""


def allot(
    *, campaigns: Sequence[CampaignLines], operators: Iterable[FreeOperator], tiers: Mapping[int, Sequence[TierPlace]],
    lines: Mapping[int, int], candidates: Mapping[int, Sequence[Candidate]], most: int,
) -> Allotment:  # fmt: skip
    """Decide who gets whom, line by line: the highest priority first, equals by the least recently served.

    A campaign gives its best candidate (they come in order) who can be called to its best operator for him; a lower
    one is served only when no higher one can use what is left. ``lines`` are the free lines by gateway. At most
    ``most`` matches. Time grows with candidates and tier places, not with their product: what is taken is never given
    back, so whoever cannot be called now cannot be later in this pass.
    """
    desk = _Desk({operator.id: operator for operator in operators}, dict(lines))
    waiting = {campaign.id: iter(candidates.get(campaign.id, ())) for campaign in campaigns}
    queues: dict[int, _Queue] = {}
    by_id = {campaign.id: campaign for campaign in campaigns}
    left = {campaign.id: campaign.lines_left for campaign in campaigns}
    heap = [(-campaign.priority, campaign.served, campaign.id) for campaign in campaigns if campaign.lines_left > 0]
    heapify(heap)
    turn = max((campaign.served for campaign in campaigns), default=0)
    matches: list[Match] = []
    while heap and desk.free and len(matches) < most:
        priority, _, campaign_id = heappop(heap)
        if campaign_id not in queues:
            queues[campaign_id] = _Queue(desk, tiers.get(campaign_id, ()), by_id[campaign_id].strategy)
        match = _next_match(desk, waiting[campaign_id], queues[campaign_id])
        if match is None:
            continue
        candidate, operator = match
        if not desk.is_taken(candidate):
            desk.take(candidate, operator)
            matches.append(Match(campaign_id, operator.id, candidate.member))
            left[campaign_id] -= 1
        if left[campaign_id] and candidate.last_read:
            return Allotment(matches, cut=True)
        turn += 1
        if left[campaign_id]:
            heappush(heap, (priority, turn, campaign_id))
    return Allotment(matches, cut=False)


class _Desk:
    """What is left to give: operators, lines, and the numbers and subscribers not yet called."""

    def __init__(self, free: dict[int, FreeOperator], lines: dict[int, int]) -> None:
        self.free = free
        self.lines = lines
        self.taken: set[str | int] = set()
        """Digits and members."""
        self._ranks: dict[str, dict[int, int]] = {}

    def rank(self, strategy: str) -> dict[int, int]:
        """Return the place of each operator who was free at first, by a strategy."""
        if strategy not in self._ranks:
            best = sorted(self.free.values(), key=RANKS[strategy])
            self._ranks[strategy] = {operator.id: place for place, operator in enumerate(best)}
        return self._ranks[strategy]

    def has_lines(self, candidate: Candidate, gateway: int | None) -> bool:
        """Tell whether there is a line for him, and one for an operator who is called through ``gateway``."""
        needed = 1 + (gateway == candidate.gateway)
        if self.lines.get(candidate.gateway, 0) < needed:
            return False
        return gateway is None or self.lines.get(gateway, 0) > 0

    def is_taken(self, candidate: Candidate) -> bool:
        return not self.taken.isdisjoint((candidate.digits, candidate.member))

    def take(self, candidate: Candidate, operator: FreeOperator) -> None:
        del self.free[operator.id]
        self.lines[candidate.gateway] -= 1
        if operator.gateway is not None:
            self.lines[operator.gateway] -= 1
        self.taken |= {candidate.digits, candidate.member}


class _Queue:
    """The operators of a campaign, the best first, apart by what decides whether they suit a candidate."""

    def __init__(self, desk: _Desk, places: Sequence[TierPlace], strategy: str) -> None:
        self._desk = desk
        rank = desk.rank(strategy)
        self._kinds: dict[tuple[int, int | None], list[tuple[int, int, int, int]]] = defaultdict(list)
        """Heaps by ring time and gateway: level, position, rank, operator."""
        for who, level, position in places:
            if (operator := desk.free.get(who)) is not None:
                self._kinds[operator.call_timeout, operator.gateway].append((level, position, rank[who], who))
        for heap in self._kinds.values():
            heapify(heap)
        self._operators: set[int] | None = None
        self._hopeless: set[Hashable] = set()
        """Kinds of candidates whom nobody who is left can call."""

    def best_for(self, candidate: Candidate) -> FreeOperator | None:
        """Return the best free operator of the campaign for a candidate."""
        if candidate.kind in self._hopeless:
            return None
        found = self._best_for(candidate)
        if found is None and candidate.kind is not None:
            self._hopeless.add(candidate.kind)
        return found

    def _best_for(self, candidate: Candidate) -> FreeOperator | None:
        free = self._desk.free
        if candidate.sticky_operator is not None:
            own = free.get(candidate.sticky_operator)
            return own if own is not None and self._has(own) and self._suits(candidate, own) else None
        heads = []
        for heap in self._kinds.values():
            while heap and heap[0][3] not in free:
                heappop(heap)
            if heap:
                heads.append(heap[0])
        heads.sort()
        return next((free[who] for *_, who in heads if self._suits(candidate, free[who])), None)

    def _has(self, operator: FreeOperator) -> bool:
        if self._operators is None:
            self._operators = {place[3] for heap in self._kinds.values() for place in heap}
        return operator.id in self._operators

    def _suits(self, candidate: Candidate, operator: FreeOperator) -> bool:
        return self._desk.has_lines(candidate, operator.gateway) and candidate.suits(operator.call_timeout)


def _next_match(desk: _Desk, candidates: Iterable[Candidate], queue: _Queue) -> tuple[Candidate, FreeOperator] | None:
    """Return the next of a campaign's candidates who can be called, with his operator; ``None`` when nobody can.

    It may be one whose number was taken meanwhile, if he is the last one read: the next ones come in his place.
    """
    for candidate in candidates:
        if desk.lines.get(candidate.gateway, 0) < 1 or (desk.is_taken(candidate) and not candidate.last_read):
            continue
        operator = queue.best_for(candidate)
        if operator is not None:
            return candidate, operator
    return None
