"""What the next pass would find, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count, Min, Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from redis import RedisError

from agents.models import READY_STATUSES, Operator, Tier, claim_conditions
from campaigns import hours
from campaigns.models import ACTIVE_STATES, Campaign, CampaignState, Gateway
from dialer import clock, verbs
from dialer.engine import dispatch, lanes
from dialer.engine.dispatch import Room
from dialer.engine.why.words import Blocker
from dialer.models import Node

LATE: Final = 5.0
"""Real seconds without a pass of the dial loop, which runs each second, after which it holds everybody back."""
TRIES: Final = 32
"""Openings that are looked at for one that lasts as long as an operator's phone rings."""


@dataclass(slots=True)
class View:
    """What the next pass would find, read without a lock, and what it would not serve beside it."""

    now: datetime
    room: Room
    running: set[int]
    """Campaigns that it would serve, those among them that it would wake."""
    unreachable: dict[int, Operator]
    """Free operators whom no switch with room can ring."""
    slow: bool
    """The pace of a switch alone holds calls back."""
    gateways: dict[int, Gateway]
    sleeps: dict[int, datetime | None]
    """Sleeping campaigns that stay so, and until when."""

    @classmethod
    def read(cls, *campaigns: int) -> View:
        """Read it, and of these campaigns even if none of them runs. Twenty statements at most."""
        now = clock.now()
        active = dict(Campaign.objects.filter(state__in=ACTIVE_STATES).values_list("pk", "state"))
        waiting = dispatch.seeking()
        served = {*active, *(attempt.campaign_id for attempt in waiting), *campaigns}
        operators = {o.pk: o for o in Operator.objects.free(now).filter(tiers__campaign__in=served).distinct()}
        room = Room.read(sorted(served), operators)
        brought = {operator for _attempt, operator in dispatch.whom_to_bring(room, waiting, now)} if waiting else set()
        for operator in brought:
            room.give_up(operator)
        free = dict(room.operators)
        slow = room.keep_reachable()
        asleep = [pk for pk in active if pk in room.campaigns and active[pk] == CampaignState.SLEEPING]
        zones = lanes.callable_zones(asleep) if asleep else {}
        nexts = {
            pk: dispatch.next_state(room.calendars[room.campaigns[pk].calendar_id], zones[pk], now) for pk in asleep
        }
        return cls(
            now=now,
            room=room,
            running={pk for pk in active if pk not in nexts or nexts[pk].state == CampaignState.RUNNING},
            unreachable={pk: operator for pk, operator in free.items() if pk not in room.operators},
            slow=slow,
            gateways=Gateway.objects.in_bulk(),
            sleeps={pk: found.until for pk, found in nexts.items() if found.state != CampaignState.RUNNING},
        )

    def seconds(self, campaign_id: int) -> int:
        """Return in how many seconds a subscriber would be dialled; 0 while no operator of the campaign is free."""
        return self.room.shortest_ring(campaign_id, self.now) or 0

    def free(self, campaign_id: int) -> list[Operator]:
        found = (self.room.operators.get(place.operator) for place in self.room.tiers[campaign_id])
        return [operator for operator in found if operator is not None]

    def opens(self, campaign: Campaign, zones: str) -> datetime | None:
        """Return when the calendar opens in these zones for long enough; ``None``: never."""
        calendar = self.room.calendars[campaign.calendar_id]
        if hours.has_expired(calendar, self.now):
            return None
        rings = timedelta(seconds=self.seconds(campaign.pk))
        opening = hours.next_opening(calendar, zones, self.now)
        for _try in range(TRIES):
            if opening is None or hours.has_expired(calendar, opening):
                return None
            if hours.is_open(calendar, zones, opening + rings):
                return opening
            closes = hours.open_until(calendar, zones, opening)
            opening = hours.next_opening(calendar, zones, closes) if closes else None
        return None

    # --- of all -------------------------------------------------------------------------------------------------

    def of_loop(self) -> Iterator[Blocker]:
        """Tell whether the dial loop runs."""
        try:
            age = verbs.last_pass_age()
        except (RedisError, OSError):
            yield Blocker(
                code="loop", text=_("Redis does not answer: nothing wakes the dial loop."), remedy=_("Start Redis.")
            )
            return
        if age is None or age > LATE:
            yield Blocker(
                code="loop", text=_("The dial loop does not run."), remedy=_("Do the dial worker and beat run?")
            )

    def of_campaign(self, campaign: Campaign) -> Iterator[Blocker]:
        """Tell why a campaign is not served."""
        if campaign.pk in self.running:
            return
        match CampaignState(campaign.state):
            case CampaignState.IDLE:
                yield Blocker(
                    code="campaign_idle", text=_("The campaign has never been run."), remedy=_("RUN starts it.")
                )
            case CampaignState.STOPPED:
                yield Blocker(code="campaign_stopped", text=_("The campaign is stopped."), remedy=_("RUN starts it."))
            case CampaignState.STOPPING:
                yield Blocker(
                    code="campaign_stopping",
                    text=_("The campaign is stopping: it places no new call."),
                    remedy=_("RUN lets it go on."),
                )
            case CampaignState.COMPLETED:
                yield Blocker(
                    code="campaign_completed",
                    text=_("The campaign has completed: %s.") % campaign.get_completion_display().lower(),
                    remedy=_("RUN starts it again."),
                )
            case _:
                until = self.sleeps.get(campaign.pk)
                yield Blocker(
                    code="campaign_sleeping",
                    text=_("The campaign sleeps: nobody's working hours have begun."),
                    clears=until is not None,
                    until=until,
                    zone=self.room.calendars[campaign.calendar_id].zone,
                )

    # --- of lines, switches and operators -----------------------------------------------------------------------

    def code_of_gateway(self, gateway_id: int) -> str:
        """Return why a gateway has no line, if it has none."""
        gateway = self.gateways.get(gateway_id)
        if gateway is None or not gateway.enabled:
            return "gateway_off"
        return "gateway_full" if gateway_id in self.room.capacities else "gateway_blocked"

    def of_gateway(self, code: str, gateway_id: int) -> Blocker:
        gateway = self.gateways[gateway_id]
        if code == "gateway_off":
            return Blocker(
                code=code,
                text=_("His gateway %s is switched off.") % gateway.name,
                remedy=_("Switch it on, or let a route lead through another."),
            )
        if code == "gateway_blocked":
            return Blocker(
                code=code,
                text=_("His gateway %(name)s refuses calls and gets none for a while. It said: %(reason)s")
                % {"name": gateway.name, "reason": gateway.blocked_reason},
                clears=True,
                until=gateway.blocked_until,
            )
        return Blocker(
            code=code,
            text=_("All %(capacity)d lines of his gateway %(name)s are taken.")
            % {"capacity": gateway.capacity, "name": gateway.name},
            remedy=_("Raise its capacity, if the trunk has more."),
            clears=gateway.capacity > 0,
        )

    def of_limit(self, campaign: Campaign) -> Blocker | None:
        """Tell whether a campaign is at its limit."""
        if self.room.lines_left(campaign):
            return None
        return Blocker(
            code="limit",
            text=_("%(campaign)s is at its limit of %(limit)d calls.")
            % {"campaign": campaign.name, "limit": campaign.limit},
            remedy=_("Raise the campaign's limit."),
            clears=campaign.limit > 0,
        )

    def of_capacity(self, campaign: Campaign) -> Iterator[Blocker]:
        """Tell what a campaign that runs lacks: lines of its limit, a switch, an operator."""
        if campaign.pk not in self.running:
            return
        if full := self.of_limit(campaign):
            yield full
        if self.free(campaign.pk):
            return
        serve = {place.operator for place in self.room.tiers[campaign.pk]}
        if not self.room.share.places or not serve.isdisjoint(self.unreachable):
            yield self.of_switches()
        if serve.isdisjoint(self.unreachable):
            yield self.of_staff(campaign)

    def of_switches(self) -> Blocker:
        """Tell why no switch takes a call now."""
        places = self.room.share.places
        if not places:
            return self._of_down()
        if self.slow:
            return Blocker(
                code="switch_pace", text=_("The switch is given no more new calls in this second."), clears=True
            )
        if not self.room.share.left:
            return Blocker(
                code="switch_full",
                text=_("The switch has as many calls as it may have."),
                remedy=_("Raise its limits, or add a switch."),
                clears=True,
            )
        return Blocker(
            code="switch_elsewhere",
            text=_("The phones of the free operators are registered at a switch that takes no calls now."),
            clears=True,
        )

    def _of_down(self) -> Blocker:
        found = list(Node.objects.all())
        if not found:
            return Blocker(
                code="switch_none",
                text=_("There is no switch yet."),
                remedy=_("Does the listener run, and is FREESWITCH_URL right?"),
            )
        blocked = [(n.blocked_until, n) for n in found if n.enabled and n.blocked_until and n.blocked_until > self.now]
        if blocked:
            until, first = min(blocked, key=lambda one: one[0])
            return Blocker(
                code="switch_blocked",
                text=_("Switch %(name)s refuses calls. It said: %(reason)s")
                % {"name": first.name, "reason": first.blocked_reason},
                clears=True,
                until=until,
            )
        if all(not node.enabled for node in found):
            return Blocker(
                code="switch_drained",
                text=_("Every switch drains: it is given no new calls."),
                remedy=_("Let one take calls again, on the page of the switches."),
            )
        return Blocker(
            code="switch_down",
            text=_("No switch is connected and takes calls."),
            remedy=_("Look at the page of the switches."),
            clears=True,
        )

    def of_staff(self, campaign: Campaign) -> Blocker:
        """Tell why no operator of a campaign is free. One statement, by the conditions of the claim."""
        found, so_far = {}, Q(operator__archived=False)
        for name, condition in claim_conditions(self.now).items():
            so_far &= _through("operator", condition.holds)
            found[name] = Count("pk", filter=so_far)
        on_duty = Q(operator__status__in=READY_STATUSES, operator__archived=False)
        counted = Tier.objects.filter(campaign=campaign.pk).aggregate(
            **found,
            wraps_until=Min("operator__wrap_up_until", filter=on_duty),
            rests_until=Min("operator__ready_at", filter=on_duty & Q(operator__ready_at__gt=self.now)),
        )
        if not counted["kept"]:
            return Blocker(
                code="operators_none",
                text=_("No operator is assigned to the campaign."),
                remedy=_("Assign some on its Operators tab."),
            )
        if not counted["available"]:
            return Blocker(
                code="operators_away",
                text=_("No operator is on duty."),
                remedy=_("One of them becomes “Available”."),
            )
        if not counted["waiting"]:
            return Blocker(
                code="operators_busy",
                text=ngettext(
                    "The operator on duty has no time: he is on a call, wraps up, or is not ready.",
                    "All %(count)d operators on duty have no time: they are on calls, wrap up, or are not ready.",
                    counted["available"],
                )
                % {"count": counted["available"]},
                clears=True,
                until=counted["wraps_until"],
            )
        if not counted["rested"]:
            return Blocker(
                code="operators_rest",
                text=_("The operators who wait rest after calls that they did not take."),
                clears=True,
                until=counted["rests_until"],
            )
        if not counted["reachable"]:
            return Blocker(
                code="operators_unregistered",
                text=_("The phones of the operators who wait are not registered."),
                remedy=_("They switch their phones on."),
            )
        if not counted["present"]:
            return Blocker(
                code="operators_absent",
                text=_("The operators who wait have no client connected in call-centre mode."),
                remedy=_("They open their clients."),
            )
        return Blocker(
            code="operators_busy", text=_("Its free operator takes an answered call that waits."), clears=True
        )


def _through(path: str, condition: Q) -> Q:
    """Return a condition on a row for those that point to it."""
    found = Q(_connector=condition.connector, _negated=condition.negated)
    for child in condition.children:
        found.children.append(
            _through(path, child) if isinstance(child, Q) else (f"{path}__{child[0]}", child[1])  # type: ignore[index]
        )
    return found
