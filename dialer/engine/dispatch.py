"""The body of the dial loop: one pass serves all running campaigns.

A pass sweeps what the clock has changed, lets campaigns fall asleep, wake up and complete, claims operators,
subscribers, numbers and lines in sets, and after commit places the calls. The number of statements does not grow
with subscribers, calls or campaigns. Nothing is decided by the message that started it: a pass that runs twice, late
or not at all changes only latency.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection, transaction
from django.db.models import Count, OuterRef, Q, Subquery

from agents import actions as agents
from agents.models import Operator, Tier
from campaigns import actions as campaigns_actions
from campaigns import hours
from campaigns.models import ACTIVE_STATES, Calendar, Campaign, CampaignState, Completion, ConnectOrder, Gateway, Route
from dialer import clock, verbs
from dialer.engine import lanes, nodes, policy
from dialer.engine.plans import recording_name
from dialer.models import Attempt
from members import actions as members
from members.models import HELD_STATES, Communication, Member, MemberState

if TYPE_CHECKING:
    from dialer.engine.lanes import Lane, Ready

log = logging.getLogger(__name__)

PASS_LOCK = 0x6469_616C
"""Key of the advisory lock ("dial"): one pass at a time, and whatever else reserves takes it too."""
BATCH = 250
"""Claims of one pass at most; a pass that fills it asks for another."""
ROWS = 4000
"""Subscribers that one pass reads at most, but for ``LEAST_DEPTH`` of each lane."""
LEAST_DEPTH = 4
TIMER_LATE = 1
"""Seconds by which a phone may ring longer than its call timeout: the switch's timers are whole seconds."""
EXPIRES_SOON = timedelta(hours=2)
"""Longer than any phone rings: who expires later expires for no operator too soon."""
SENT_WITHIN = 1
"""Seconds that a claim leaves for the way to the switch: who comes later is not sent (``placing``)."""


@dataclass(slots=True)
class PassReport:
    """What a pass did."""

    claimed: list[int] = field(default_factory=list)
    """Ids of the attempts it reserved."""
    brought: list[int] = field(default_factory=list)
    """Ids of the attempts whose answered subscriber waits, and for whom it reserved another operator."""
    full: bool = False
    """The batch was filled, or a switch: there may be more to claim at once."""
    slow: bool = False
    """The pace of a switch held calls back: there may be more to claim a moment later."""
    parts: dict[str, float] = field(default_factory=dict)
    """Real seconds that its parts took, in order."""


def sweep(now: datetime) -> None:
    """Apply what the clock alone has changed: ends of wrap-up, lost clients, due and expired subscribers.

    Five statements, each bounded and reading a partial index.
    """
    agents.end_wrap_ups(now)
    agents.lose_clients(now)
    members.make_due_ready(now)
    members.expire_due(now)
    members.clear_past_stickies(now)


def run_pass() -> PassReport:
    """Sweep, mind the campaigns' states and claim, in this order; return what was claimed, not yet placed."""
    now = clock.now()
    watch = Stopwatch()
    sweep(now)
    watch.lap("sweep")
    mind_states(now)
    watch.lap("states")
    with transaction.atomic():
        lock_pass()
        watch.lap("lock")
        _forget_wake()
        report = _claim(clock.now())
    watch.lap("claim")
    report.parts = watch.parts
    return report


class Stopwatch:
    """Measures the parts of a pass in real time."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._since = time.monotonic()

    def lap(self, part: str) -> None:
        """Note what has passed since the lap before as the time of this part."""
        now = time.monotonic()
        self.parts[part] = now - self._since
        self._since = now


def lock_pass() -> None:
    """Take the lock of the pass until the transaction ends. Whatever else reserves, or must hold for every later
    claim, takes it too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [PASS_LOCK])


def _forget_wake() -> None:
    """Let the next wake through: whatever it wakes for comes too late for the reads of this pass. Note that it runs."""
    try:
        with verbs.redis() as client:
            client.delete(verbs.WAKE_KEY)
            client.set(verbs.PASS_KEY, "1", ex=verbs.PASS_TTL)
    except Exception as error:  # the broker only wakes: without it beat goes on
        log.warning("The wake key could not be deleted (%s); it expires by itself.", error)


# --- states -----------------------------------------------------------------------------------------------------


def mind_states(now: datetime) -> None:
    """Let active campaigns fall asleep, wake up or complete, and stopping ones stop.

    Reads in a constant number of statements; each change is an action of its own, in a transaction of its own, that
    passes over a campaign whose row is locked (an upload): the next pass comes back to it.
    """
    watched = list(Campaign.objects.filter(state__in=[*ACTIVE_STATES, CampaignState.STOPPING]))
    if not watched:
        return
    ids = [campaign.pk for campaign in watched]
    calendars = calendars_of(ids)
    with_live = set(Attempt.objects.live().filter(campaign__in=ids).values_list("campaign_id", flat=True).distinct())
    busy = with_live | set(
        Campaign.objects.filter(pk__in=ids, members__state__in=HELD_STATES).values_list("pk", flat=True).distinct()
    )
    zones = lanes.callable_zones(ids)
    for campaign in watched:
        if campaign.state == CampaignState.STOPPING:
            if campaign.pk not in with_live:
                campaigns_actions.finish_stopping(campaign.pk)
            continue
        calendar = calendars[campaign.calendar_id]
        _mind_state(campaign, calendar, zones[campaign.pk], busy=campaign.pk in busy, now=now)


def calendars_of(campaign_ids: list[int]) -> dict[int, hours.Hours]:
    """Read the calendars of campaigns. Three statements."""
    found = Calendar.objects.filter(campaigns__in=campaign_ids).distinct().prefetch_related("ranges", "holidays")
    return {calendar.pk: calendar.as_hours() for calendar in found}


class NextState(NamedTuple):
    """What a running or sleeping campaign goes over to."""

    state: CampaignState
    until: datetime | None = None
    """When the first of its zones opens, if it sleeps."""
    expired: bool = False
    """It completes because its calendar has ended, whoever is left."""


def next_state(calendar: hours.Hours, zones: list[str], now: datetime) -> NextState:
    """Tell what the calendar makes of an active campaign, whose callable subscribers are in ``zones``."""
    openings = [hours.next_opening(calendar, zone, now) for zone in zones]
    possible = [opening for opening in openings if opening is not None]
    never = bool(zones) and not possible
    if hours.has_expired(calendar, now) or (never and hours.next_opening(calendar, "", now) is None):
        return NextState(CampaignState.COMPLETED, expired=True)
    if not possible:
        # Nobody is left, or only those whose zones are never open all at once.
        return NextState(CampaignState.COMPLETED)
    if min(possible) > now:
        return NextState(CampaignState.SLEEPING, until=min(possible))
    return NextState(CampaignState.RUNNING)


def _mind_state(campaign: Campaign, calendar: hours.Hours, zones: list[str], *, busy: bool, now: datetime) -> None:
    state, until, expired = next_state(calendar, zones, now)
    if state == CampaignState.COMPLETED:
        if busy:
            return
        if expired:
            campaigns_actions.complete(campaign.pk, Completion.CALENDAR_EXPIRED)
            return
        left = campaign.members.filter(state__in=[MemberState.WAITING, MemberState.READY]).count()
        reason = Completion.NOTHING_TO_DIAL if left else Completion.LIST_COMPLETE
        campaigns_actions.complete(campaign.pk, reason, left, never_open=zones)
    elif until is not None:
        if campaign.state == CampaignState.RUNNING or campaign.sleeping_until != until:
            campaigns_actions.fall_asleep(campaign.pk, until)
    elif campaign.state == CampaignState.SLEEPING:
        campaigns_actions.wake_up(campaign.pk)


# --- the claim --------------------------------------------------------------------------------------------------


def _claim(now: datetime) -> PassReport:
    """Reserve operators, subscribers, numbers and lines for as many calls as the rules allow, at most ``BATCH``.

    Runs under the pass lock. Rows are locked in the order campaign, operator, subscriber; what somebody else holds is
    passed over, and the unique indexes over live attempts have the last word.
    """
    with connection.cursor() as cursor:
        # For share: no claim follows a committed STOP, and uploads go on meanwhile. One that is just being changed,
        # which may take long, is passed over: no other must wait for it.
        cursor.execute("SELECT id FROM campaigns_campaign WHERE state = 'running' ORDER BY id FOR SHARE SKIP LOCKED")
        ids = [row[0] for row in cursor.fetchall()]
    waiting = seeking()
    served = {*ids, *(attempt.campaign_id for attempt in waiting)}
    if not served:
        return PassReport()
    operators = {o.pk: o for o in Operator.objects.free(now).filter(tiers__campaign__in=served).distinct()}
    if not operators:
        return PassReport()
    room = Room.read(sorted(served), operators)
    # Who has answered and waits comes before all who have not been called yet, in whatever state his campaign is.
    brought = _bring_operators(room, waiting, now) if waiting else []
    for campaign in served.difference(ids):
        del room.campaigns[campaign]
    slow = room.keep_reachable()
    if not room.lines or not room.operators:
        return PassReport(brought=brought, slow=slow)
    most = int(min(BATCH, room.share.left))
    (matches, cut), ready_of = choose(room, most, now)
    report = _reserve(room, matches, ready_of, now)
    report.brought = brought
    report.full |= bool(report.claimed) and (cut or len(matches) >= BATCH)
    report.slow = slow or (room.share.slow and len(matches) >= most)
    return report


def seeking() -> list[Attempt]:
    """Return the attempts whose answered subscriber waits for another operator. Two statements."""
    return list(
        Attempt.objects.live()
        .filter(seeking_since__isnull=False, subscriber_ended_at__isnull=True, kill_reason="")
        .prefetch_related("tries")
    )


def choose(room: Room, most: int, now: datetime) -> tuple[policy.Allotment, dict[int, Ready]]:
    """Decide who is called by whom, and return what was read of each subscriber too. Writes nothing. Two statements."""
    candidates = _candidates(room, now)
    allotment = policy.allot(
        campaigns=[room.campaign_lines(campaign) for campaign in room.campaigns.values()],
        operators=[free_operator(operator) for operator in room.operators.values()],
        tiers=room.tiers,
        lines=room.lines,
        candidates={campaign: [candidate(room, *one, now) for one in found] for campaign, found in candidates.items()},
        most=most,
    )
    return allotment, {ready.member: ready for found in candidates.values() for ready, _ in found}


def whom_to_bring(room: Room, waiting: list[Attempt], now: datetime) -> list[tuple[int, int]]:
    """Decide which operator each answered subscriber gets whose own failed: (attempt, operator). Writes nothing."""
    return policy.bring(
        [
            policy.Waiting(
                attempt=attempt.pk,
                campaign=attempt.campaign_id,
                priority=room.campaigns[attempt.campaign_id].priority,
                answered_at=attempt.subscriber_answered_at or attempt.reserved_at,
                window=attempt.answer_window or 0,
                tried={earlier.operator_id for earlier in attempt.tries.all()}
                | {pk for pk, him in room.operators.items() if not room.share.reaches(attempt.node_id, him)},
            )
            for attempt in waiting
        ],
        operators=[free_operator(operator) for operator in room.operators.values()],
        tiers=room.tiers,
        strategies={campaign.pk: campaign.strategy for campaign in room.campaigns.values()},
        lines=room.lines,
        now=now,
    )


def _bring_operators(room: Room, waiting: list[Attempt], now: datetime) -> list[int]:
    """Reserve free operators for answered subscribers whose own failed; return the attempts. Four statements.

    What they take is taken out of the room.
    """
    by_id = {attempt.pk: attempt for attempt in waiting}
    pairs = whom_to_bring(room, waiting, now)
    if not pairs:
        return []
    sure_operators = _lock_operators(operator for _, operator in pairs)
    still_waiting = set(
        Attempt.objects.live()
        .filter(pk__in=[attempt for attempt, _ in pairs], seeking_since__isnull=False, subscriber_ended_at__isnull=True)
        .order_by("pk")
        .select_for_update(no_key=True)
        .values_list("pk", flat=True)
    )
    reserved_at = clock.now()  # as in ``_reserve``
    brought = []
    for pk, operator_id in pairs:
        if operator_id not in sure_operators or pk not in still_waiting:
            continue
        attempt, operator = by_id[pk], room.give_up(operator_id)
        attempt.operator, attempt.operator_timeout = operator, operator.call_timeout
        attempt.operator_reserved_at, attempt.seeking_since = reserved_at, None
        if operator.contact and operator.gateway_id:
            attempt.operator_gateway_id = operator.gateway_id
            attempt.operator_capacity_then = room.capacities[operator.gateway_id]
        brought.append(attempt)
    Attempt.objects.bulk_update(
        brought,
        ["operator", "operator_timeout", "operator_reserved_at", "seeking_since", "operator_gateway",
         "operator_capacity_then"],
    )  # fmt: skip
    agents.reserve([(attempt.operator_id, attempt.pk) for attempt in brought], reserved_at)
    return [attempt.pk for attempt in brought]


def _lock_operators(ids: Iterable[int]) -> set[int]:
    """Lock those of these operators who wait, passing over what somebody else holds; return them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM agents_operator WHERE id = ANY(%s) AND state = 'waiting' AND current_attempt_id IS NULL"
            " ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
            [list(ids)],
        )
        return {row[0] for row in cursor.fetchall()}


@dataclass(slots=True)
class Room:
    """What a pass may fill: campaigns under their limit, free operators, free lines, switches."""

    campaigns: dict[int, Campaign]
    served: dict[int, int | None]
    """The last attempt of each campaign: greater means served later."""
    calendars: dict[int, hours.Hours]
    operators: dict[int, Operator]
    tiers: dict[int, list[policy.TierPlace]]
    lines: dict[int, int]
    """Free lines by gateway."""
    capacities: dict[int, int]
    live_of: dict[int, int]
    """Live attempts by campaign."""
    share: nodes.Share
    _open: dict[tuple[int, str, int], bool] = field(default_factory=dict)

    @classmethod
    def read(cls, ids: list[int], operators: dict[int, Operator]) -> Room:
        """Read what there is. Eleven statements."""
        now = clock.now()
        last = Subquery(Attempt.objects.filter(campaign=OuterRef("pk")).order_by("-id").values("id")[:1])
        served = dict(Campaign.objects.filter(pk__in=ids).values_list("pk", last))
        campaigns = Campaign.objects.in_bulk(ids)
        tiers: dict[int, list[policy.TierPlace]] = defaultdict(list)
        for campaign, operator, level, position in Tier.objects.filter(
            campaign__in=ids, operator__in=operators
        ).values_list("campaign_id", "operator_id", "level", "position"):
            tiers[campaign].append(policy.TierPlace(operator, level, position))
        usable = Q(blocked_until__isnull=True) | Q(blocked_until__lte=now)
        gateways = Gateway.objects.filter(usable, enabled=True)
        capacities = {gateway.pk: gateway.capacity for gateway in gateways}
        used: Counter[int] = Counter()
        live_of: Counter[int] = Counter()
        for campaign, gateway, operator_gateway, count in (
            Attempt.objects.live()
            .order_by()
            .values_list("campaign_id", "gateway_id", "operator_gateway_id")
            .annotate(count=Count("*"))
        ):
            live_of[campaign] += count
            used[gateway] += count
            if operator_gateway:
                used[operator_gateway] += count
        lines = {pk: capacity - used[pk] for pk, capacity in capacities.items() if capacity > used[pk]}
        share = nodes.Share.read(operators.values(), now)
        return cls(campaigns, served, calendars_of(ids), operators, tiers, lines, capacities, live_of, share)

    def give_up(self, operator_id: int) -> Operator:
        """Take out an operator, and the line of his leg."""
        operator = self.operators.pop(operator_id)
        gateway = operator.gateway_id if operator.contact else None
        if gateway:
            self.lines[gateway] -= 1
            if not self.lines[gateway]:
                del self.lines[gateway]
        return operator

    def keep_reachable(self) -> bool:
        """Take out the operators whom no switch with room can ring; tell whether only the pace of one holds calls
        back."""
        reachable = {pk: operator for pk, operator in self.operators.items() if self.share.has_room(operator)}
        slow = self.share.slow and len(reachable) < len(self.operators)
        self.operators = reachable
        return slow

    def connect_order(self, campaign_id: int, now: datetime) -> str:
        """Return whose phone rings first. Where too many were abandoned it is the operator's, whatever was chosen."""
        campaign = self.campaigns[campaign_id]
        fallen_back = campaign.operator_first_until is not None and campaign.operator_first_until > now
        return ConnectOrder.OPERATOR_FIRST if fallen_back else campaign.connect_order

    def rings_before(self, campaign_id: int, call_timeout: int, now: datetime) -> int:
        """Return in how many seconds at most the subscriber is dialled: once an operator's phone has rung."""
        latest = call_timeout + TIMER_LATE + SENT_WITHIN
        return latest if self.connect_order(campaign_id, now) == ConnectOrder.OPERATOR_FIRST else 0

    def lines_left(self, campaign: Campaign) -> int:
        return max(0, campaign.limit - self.live_of[campaign.pk])

    def shortest_ring(self, campaign_id: int, now: datetime) -> int | None:
        """Return the seconds before the subscriber is dialled with the free operator whose phone rings shortest;
        ``None``: there is none."""
        free = (self.operators.get(place.operator) for place in self.tiers[campaign_id])
        shortest = min((operator.call_timeout for operator in free if operator), default=None)
        return None if shortest is None else self.rings_before(campaign_id, shortest, now)

    def need(self, campaign_id: int) -> int:
        """Return how many calls the campaign could use at most in one pass."""
        return min(BATCH, self.lines_left(self.campaigns[campaign_id]), len(self.tiers[campaign_id]))

    def turn(self, campaign_id: int) -> tuple[int, int, int]:
        """Sort campaigns by when they are served: by priority, equals by the least recently served."""
        return -self.campaigns[campaign_id].priority, self.served[campaign_id] or 0, campaign_id

    def campaign_lines(self, campaign: Campaign) -> policy.CampaignLines:
        return policy.CampaignLines(
            id=campaign.pk,
            priority=campaign.priority,
            served=self.served[campaign.pk] or 0,
            lines_left=self.lines_left(campaign),
            strategy=campaign.strategy,
        )

    def is_open(self, campaign_id: int, zones: str, seconds: int, now: datetime) -> bool:
        """Tell whether these zones are open both now and ``seconds`` later, when the subscriber is dialled at last."""
        key = campaign_id, zones, seconds
        if key not in self._open:
            calendar = self.calendars[self.campaigns[campaign_id].calendar_id]
            # With the last date over in the calendar's own zone nobody is called any more, wherever he is.
            self._open[key] = (
                not hours.has_expired(calendar, now)
                and hours.is_open(calendar, zones, now)
                and hours.is_open(calendar, zones, now + timedelta(seconds=seconds))
            )
        return self._open[key]


LANE_CONDITIONS: dict[str, Callable[[Room, Lane, int, datetime], bool]] = {
    "line": lambda room, lane, seconds, now: lane.gateway in room.lines,
    "sticky": lambda room, lane, seconds, now: not lane.sticky or lane.sticky in room.operators,
    "open": lambda room, lane, seconds, now: room.is_open(lane.campaign, lane.zones, seconds, now),
}
"""What must hold of a lane whose subscribers are dialled so many seconds later. The claim asks for all of it, ``why``
for each."""


def _candidates(room: Room, now: datetime) -> dict[int, list[tuple[Ready, bool]]]:
    """Return for each campaign the subscribers to choose from, the best first; with each whether his lane has more.

    A lane is read only as deep as its share of ``ROWS``: the last one read of it stands for those behind him.
    """
    shortest = {
        campaign: seconds for campaign in room.campaigns if (seconds := room.shortest_ring(campaign, now)) is not None
    }
    depths = _depths(
        room,
        [
            lane
            for lane in lanes.ready_lanes(shortest)
            if room.need(lane.campaign)
            and all(holds(room, lane, shortest[lane.campaign], now) for holds in LANE_CONDITIONS.values())
        ],
    )
    if not depths:
        return {}
    found: dict[int, list[tuple[Ready, bool]]] = defaultdict(list)
    by_lane: Counter[Lane] = Counter()
    for ready in lanes.best_of(
        depths,
        maximums=[room.campaigns[lane.campaign].max_retries for lane in depths],
        unexpired=[now + timedelta(seconds=shortest[lane.campaign]) for lane in depths],
        now=now,
    ):
        by_lane[ready.lane] += 1
        found[ready.lane.campaign].append((ready, by_lane[ready.lane] == depths[ready.lane]))
    for several in found.values():
        several.sort(key=lambda one: one[0].order)
    return found


def _depths(room: Room, chosen: list[Lane]) -> dict[Lane, int]:
    """Share ``ROWS`` out among the lanes, in the order in which their campaigns are served.

    A campaign can use no more of a lane than it has operators and lines.
    """
    by_campaign: dict[int, list[Lane]] = defaultdict(list)
    for lane in chosen:
        by_campaign[lane.campaign].append(lane)
    depths: dict[Lane, int] = {}
    left = ROWS
    for campaign in sorted(by_campaign, key=room.turn):
        # A few more than it can use: some may be on a number that another campaign takes in this very pass.
        need, its = room.need(campaign) + LEAST_DEPTH, by_campaign[campaign]
        depth = min(need, max(LEAST_DEPTH, left // len(its)))
        depths |= dict.fromkeys(its, depth)
        left = max(0, left - depth * len(its))
    return depths


def free_operator(operator: Operator) -> policy.FreeOperator:
    return policy.FreeOperator(
        id=operator.pk,
        call_timeout=operator.call_timeout,
        gateway=operator.gateway_id if operator.contact else None,
        idle_since=operator.idle_since.timestamp() if operator.idle_since else 0.0,
        calls=operator.calls,
        talk_seconds=operator.talk_seconds,
        dice=random.random(),  # noqa: S311 - no secret hangs on it
    )


def candidate(room: Room, ready: Ready, last_read: bool, now: datetime) -> policy.Candidate:
    expires_soon = ready.expire_at is not None and ready.expire_at <= now + EXPIRES_SOON

    def suits(call_timeout: int) -> bool:
        seconds = room.rings_before(ready.lane.campaign, call_timeout, now)
        then = now + timedelta(seconds=seconds)
        return (ready.expire_at is None or ready.expire_at > then) and room.is_open(
            ready.lane.campaign, ready.lane.zones, seconds, now
        )

    return policy.Candidate(
        member=ready.member,
        digits=ready.digits,
        gateway=ready.lane.gateway,
        sticky_operator=ready.lane.sticky or None,
        suits=suits,
        kind=None if expires_soon else ready.lane,
        last_read=last_read,
    )


def _reserve(room: Room, matches: list[policy.Match], ready_of: dict[int, Ready], now: datetime) -> PassReport:
    """Write what was decided: lock, insert, hold. Nine statements."""
    if not matches:
        return PassReport()
    operators = _lock_operators(match.operator for match in matches)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM members_member WHERE id = ANY(%s) AND state = 'ready'"
            " ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
            [[match.member for match in matches]],
        )
        held = {row[0] for row in cursor.fetchall()}
    # Not the instant of the decision: calls that ended since have let go what is locked here.
    reserved_at = clock.now()
    sure = [match for match in matches if match.operator in operators and match.member in held]
    # Where his phone is registered the switch may be full by now; others have room, which the next pass gives.
    taken = [(match, node) for match in sure if (node := room.share.take(room.operators[match.operator])) is not None]
    numbers = Communication.objects.filter(member=OuterRef("pk")).values("pk")
    found = Member.objects.filter(pk__in=[match.member for match, _ in taken])
    subscribers = {
        pk: Subscriber(variables, ids)
        for pk, variables, ids in found.values_list("pk", "variables", ArraySubquery(numbers))
    }
    routes = Route.objects.in_bulk({ready_of[match.member].route for match, _ in taken})
    attempts = [
        _attempt(room, match, node, ready_of[match.member], subscribers[match.member], routes, now, reserved_at)
        for match, node in taken
    ]
    Attempt.objects.bulk_create(attempts, ignore_conflicts=True)
    room.share.save(now)
    written = list(
        Attempt.objects.filter(operator_uuid__in=[attempt.operator_uuid for attempt in attempts]).values_list(
            "pk", "operator_id", "member_id"
        )
    )
    agents.reserve([(operator, pk) for pk, operator, _ in written], reserved_at)
    members.hold([(member, pk) for pk, _, member in written])
    return PassReport(claimed=[row[0] for row in written], full=len(taken) < len(sure))


class Subscriber(NamedTuple):
    """What an attempt keeps of its subscriber."""

    variables: dict[str, str]
    numbers: list[int]
    """Ids of all his numbers."""


def _attempt(
    room: Room, match: policy.Match, node: int, ready: Ready, subscriber: Subscriber, routes: dict[int, Route],
    now: datetime, reserved_at: datetime,
) -> Attempt:  # fmt: skip
    campaign, operator, route = room.campaigns[match.campaign], room.operators[match.operator], routes[ready.route]
    connect_order = room.connect_order(campaign.pk, now)
    subscriber_uuid = uuid4()
    free_since = [instant for instant in (operator.state_since, operator.ready_at) if instant]
    return Attempt(
        campaign=campaign,
        member_id=match.member,
        communication_id=ready.communication,
        operator=operator,
        gateway_id=ready.lane.gateway,
        operator_gateway_id=operator.gateway_id if operator.contact else None,
        route=route,
        node_id=node,
        digits=ready.digits,
        number_position=sum(number <= ready.communication for number in subscriber.numbers),
        subscriber_uuid=subscriber_uuid,
        recording=recording_name(campaign.pk, ready.digits, now, subscriber_uuid) if campaign.record else "",
        connect_order=connect_order,
        answer_window=campaign.answer_window if connect_order == ConnectOrder.SUBSCRIBER_FIRST else None,
        operator_free_at=max(free_since, default=None),
        member_due_at=ready.due_at,
        reserved_at=reserved_at,
        limit_then=campaign.limit,
        capacity_then=room.capacities[ready.lane.gateway],
        operator_capacity_then=room.capacities.get(operator.gateway_id or 0) if operator.contact else None,
        maximum_then=campaign.max_retries + ready.extra,
        counted_before=ready.counted,
        zones_then=ready.lane.zones,
        open_until=hours.open_until(room.calendars[campaign.calendar_id], ready.lane.zones, now),
        expire_then=ready.expire_at,
        operator_timeout=operator.call_timeout,
        subscriber_timeout=route.call_timeout or campaign.originate_timeout,
        variables={
            **campaign.variables,
            **{name: value for name, value in route.variables.items() if name != "call_timeout"},
            **subscriber.variables,
        },
    )


# --- the next instant -------------------------------------------------------------------------------------------

_NEXT_INSTANT = """
SELECT least(
    (SELECT min(wrap_up_until) FROM agents_operator WHERE state = 'wrap_up' AND wrap_up_until > %(now)s),
    (SELECT min(ready_at) FROM agents_operator WHERE state = 'waiting' AND ready_at > %(now)s),
    (SELECT min(due_at) FROM members_member
     WHERE state = 'waiting' AND next_communication_id IS NOT NULL AND due_at > %(now)s)
)
"""


def wake_at_next_instant(*, slow: bool = False) -> None:
    """Have a pass run at the very instant something falls due, when that is before the next tick of beat.

    ``slow``: a switch's pace holds calls back; it takes more a moment later.
    """
    now = clock.now()
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_INSTANT, {"now": now})
        instant = cursor.fetchone()[0]
    wait = 1.0 if instant is None else clock.real_seconds((instant - now).total_seconds())
    if slow:
        wait = min(wait, policy.BURST)
    if wait < 1.0:
        verbs.wake_in(wait)
