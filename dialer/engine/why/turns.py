"""Whose turn it is: the choice that the next pass would make, and who comes before."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agents.models import READY_STATUSES, Operator
from campaigns.models import Campaign
from dialer.engine import dispatch, lanes, policy
from dialer.engine.lanes import Lane, Ready
from dialer.engine.policy.allotment import RANKS
from dialer.engine.why.view import View
from dialer.engine.why.words import Blocker
from members.models import Member, MemberState

COUNTED: Final = 10_000
"""Those before a subscriber are counted so far; beyond it there are more."""


def next_pass(view: View) -> tuple[list[policy.Match], set[int]]:
    """Return the calls that the next pass would make, and the campaigns in which it finds somebody."""
    if not view.room.lines or not view.room.operators:
        return [], set()
    served = {pk: campaign for pk, campaign in view.room.campaigns.items() if pk in view.running}
    room = replace(view.room, campaigns=served)
    (matches, _cut), looked_at = dispatch.choose(room, int(min(dispatch.BATCH, room.share.left)), view.now)
    placed = [match for match in matches if room.share.take(room.operators[match.operator]) is not None]
    return placed, {ready.lane.campaign for ready in looked_at.values()}


def of_turn(view: View, member: Member, lane: Lane, *, alone: bool) -> Iterator[Blocker]:
    """Tell how many come before a subscriber whom nothing else holds back, unless it is his turn.

    ``alone``: there are operators and lines, so that it may be.
    """
    if alone:
        if not _suits_somebody(view, member, lane):
            yield Blocker(
                code="no_operator_suits",
                text=_("No free operator suits him: one has no line, or his phone would ring for too long."),
                clears=True,
            )
            return
        # Who has just become due, or is his operator's no longer, is seen only after the sweep of the pass.
        swept = member.state != MemberState.READY or lane.sticky != (member.sticky_operator_id or 0)
        if swept or any(match.member == member.pk for match in next_pass(view)[0]):
            return
    before = _before(view, member, lane)
    if before or alone:
        before = max(1, before)
        yield Blocker(
            code="behind",
            text=_("More than %s subscribers come before him.") % number_format(COUNTED, force_grouping=True)
            if before > COUNTED
            else ngettext("%d subscriber comes before him.", "%d subscribers come before him.", before) % before,
            remedy=_("A bigger priority brings him to the front."),
            clears=True,
            count=before,
        )


def _suits_somebody(view: View, member: Member, lane: Lane) -> bool:
    """Tell whether he would be called if he were the only one."""
    number = member.next_communication
    if number is None:
        return True  # he has just been given one
    campaign = view.room.campaigns[member.campaign_id]
    ready = Ready(
        lane=lane, member=member.pk, communication=number.pk, route=number.route_id or 0, digits=number.digits,
        expire_at=member.expire_at, due_at=member.due_at, counted=member.counted, extra=member.extra_attempts,
        order=(not member.callback, -member.priority, not member.tried, member.due_at, member.pk),
    )  # fmt: skip
    return bool(
        policy.allot(
            campaigns=[view.room.campaign_lines(campaign)],
            operators=[dispatch.free_operator(operator) for operator in view.room.operators.values()],
            tiers=view.room.tiers,
            lines=view.room.lines,
            candidates={campaign.pk: [dispatch.candidate(view.room, ready, False, view.now)]},
            most=1,
        ).matches
    )


def _before(view: View, member: Member, lane: Lane) -> int:
    """Count who comes before him, of his campaign and of those that share operators with it. Five statements."""
    his = view.room.campaigns[member.campaign_id]
    rivals = set(
        Campaign.objects.filter(pk__in=view.running, tiers__operator__tiers__campaign=his.pk)
        .exclude(pk=his.pk)
        .values_list("pk", flat=True)
    )
    on_duty = set(
        Operator.objects.filter(status__in=READY_STATUSES, tiers__campaign=his.pk).values_list("pk", flat=True)
    )
    several = {
        found: view.room.campaigns[found.campaign].max_retries
        for found in lanes.ready_lanes([his.pk, *rivals])
        if view.room.is_open(found.campaign, found.zones, 0, view.now)
        and found.gateway in view.room.capacities
        and (not found.sticky or found.sticky in on_duty)
    }

    def count(which: Collection[int], before: int | None) -> dict[int, int]:
        chosen = {found: maximum for found, maximum in several.items() if found.campaign in which}
        return lanes.count_before(chosen, member=before, now=view.now, most=COUNTED + 1) if chosen else {}

    ahead = count({his.pk}, member.pk).get(his.pk, 0)
    of_rivals = count(rivals, None)
    of_equals = 0
    for pk, ready in of_rivals.items():
        rival = view.room.campaigns[pk]
        if rival.priority == his.priority:
            # Equals take turns, the least recently served first.
            of_equals += min(ready, ahead + (view.room.turn(pk) < view.room.turn(his.pk)))
    ahead += sum(ready for pk, ready in of_rivals.items() if view.room.campaigns[pk].priority > his.priority)
    return min(COUNTED + 1, ahead + of_equals)


def before_operator(view: View, campaign: Campaign, him: Operator) -> int:
    """Count the free operators whom a campaign prefers to this one."""
    rank = RANKS[campaign.strategy]
    places = {place.operator: (place.level, place.position) for place in view.room.tiers[campaign.pk]}
    order = {
        operator.pk: (*places[operator.pk], rank(dispatch.free_operator(operator)))
        for operator in view.free(campaign.pk)
    }
    return sum(place < order[him.pk] for place in order.values())
