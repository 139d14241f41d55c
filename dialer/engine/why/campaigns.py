"""Where the subscribers of a campaign stand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from campaigns.models import Campaign
from dialer import readings
from dialer.engine.why.members import Standing, codes, standings
from dialer.engine.why.view import View
from dialer.engine.why.words import STEPS, Funnel, Step


def of_campaign(campaign_id: int) -> Funnel:
    """Tell where the subscribers of a campaign stand, each counted once, and what holds all of them back.

    Raises ``Campaign.DoesNotExist``. One statement reads the list, whatever its length; it is kept for ten times as
    long as it took.
    """
    view = View.read(campaign_id)
    campaign = view.room.campaigns.get(campaign_id)
    if campaign is None:
        raise Campaign.DoesNotExist
    found = counted(view, campaign)
    blockers = [*view.of_loop(), *view.of_campaign(campaign), *view.of_capacity(campaign)]
    return replace(found, blockers=blockers)


def counted(view: View, campaign: Campaign) -> Funnel:
    """Count the list of a campaign, or return what was counted a while ago."""
    return readings.shared(f"why:{campaign.pk}", lambda: _count(view, campaign), times=readings.COUNTS_TIMES)


def _count(view: View, campaign: Campaign) -> Funnel:
    by_code: dict[str, list[Standing]] = {code: [] for code in STEPS}
    for standing in standings(view, campaign):
        by_code[next(iter(codes(view, campaign, standing)), "ready")].append(standing)
    steps = [_step(code, found, view, campaign) for code, found in by_code.items() if found or code == "ready"]
    return Funnel(
        campaign=campaign.pk,
        at=view.now,
        total=sum(step.count for step in steps),
        ready=steps[-1].count,
        steps=steps,
    )


def _step(code: str, found: list[Standing], view: View, campaign: Campaign) -> Step:
    until, zone = None, ""
    if code == "wait":
        until = min(standing.due_at for standing in found)
    elif code == "closed":
        opening = {zones: view.opens(campaign, zones) for zones in {standing.zones for standing in found}}
        until, zone = min(((at, zones) for zones, at in opening.items() if at), default=(None, ""))
        zone = zone.split("|")[0] or campaign.calendar.time_zone
    causes = Counter[str]()
    if code == "ended":
        for standing in found:
            causes[standing.end_cause] += standing.many
    return Step(
        code=code,
        count=sum(standing.many for standing in found),
        until=until,
        zone=zone if until else "",
        parts=causes.most_common(),
    )
