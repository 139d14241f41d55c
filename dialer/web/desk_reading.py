"""What an operator's desk shows beside what his socket tells: whom he speaks to, his day, and his call-backs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import phonenumbers
from django.db.models import Count
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from agents.models import Operator
from campaigns import hours, placeholders
from campaigns.models import Campaign, Disposition, Meaning
from dialer import clock
from dialer.models import Attempt
from dialer.web import operators_board as board
from dialer.web import story
from members.models import HELD_STATES, OPEN_STATES, Communication, Member

STORIES: Final = 10
"""Earlier attempts that are told."""
CALL_BACKS: Final = 50
"""Call-backs that are listed at most."""
LONGEST_AHEAD: Final = 366
"""Days within which an opening is of interest."""


# --- a call -----------------------------------------------------------------------------------------------------


def find(him: Operator, attempt_id: int) -> Attempt | None:
    """Return an attempt of his with whom it is about; ``None`` when it is none, or another's by now."""
    return (
        Attempt.objects.select_related("member", "campaign__calendar", "communication")
        .filter(pk=attempt_id, operator=him, seeking_since__isnull=True)
        .first()
    )


def numbers(attempt: Attempt) -> list[dict[str, Any]]:
    """Return the subscriber's numbers, those that may be dialled first. One statement."""
    found = Communication.objects.filter(member=attempt.member_id).order_by("-priority", "pk")
    told = [
        {
            "number": number.number,
            "read": grouped(number.number, attempt.campaign.default_region),
            "description": number.description,
            "stopped": bool(number.stopped),
            "dialled": number.pk == attempt.communication_id,
        }
        for number in found
    ]
    return sorted(told, key=lambda number: number["stopped"])


def grouped(number: str, region: str) -> str:
    """Write a number in groups, as people read it; one that no country knows stays as it is."""
    try:
        parsed = phonenumbers.parse(number, region or None)
    except phonenumbers.NumberParseException:
        return number
    if not phonenumbers.is_possible_number(parsed):
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def dispositions(campaign: Campaign) -> list[dict[str, Any]]:
    """Return what a campaign offers to say of a call. One statement."""
    return [
        {
            "name": one.name,
            "meaning": one.meaning,
            "tone": one.tone,
            "hotkey": one.hotkey,
            "asks": _asks(one),
            "stop": one.stop,
            "reset": one.reset_retries,
        }
        for one in campaign.dispositions.filter(archived=False).order_by("position", "pk")
    ]


def _asks(one: Disposition) -> list[str]:
    """Return the fields that must be filled in with it, in the order of the form."""
    asked = set(one.requires)
    if one.meaning == Meaning.CALL_BACK and one.wait is None:
        asked.add("call_back_at")
    return [name for name in ("call_back_at", "next_communication", "comment") if name in asked]


def text_of(attempt: Attempt, him: Operator) -> dict[str, Any]:
    """Return the script in pieces and the links of a call, filled in."""
    campaign, member = attempt.campaign, attempt.member
    values: Mapping[str, object] = {
        **campaign.variables,
        **member.variables,
        **attempt.variables,
        "name": member.name,
        "number": attempt.communication.number if attempt.communication else attempt.digits,
        "external_id": member.external_id or "",
        "campaign": campaign.name,
        "operator": him.name,
    }
    links = [{"name": link["name"], "url": placeholders.fill_url(link["url"], values)} for link in campaign.desk_links]
    return {
        "pieces": [(text, name) for text, name in placeholders.pieces(campaign.script, values) if text],
        "links": [link for link in links if link["url"]],
    }


def story_of(attempt: Attempt) -> list[dict[str, Any]]:
    """Return the subscriber's attempts before this one, the newest first. Two statements."""
    found = (
        Attempt.objects.filter(member=attempt.member_id, pk__lt=attempt.pk)
        .select_related("operator", "communication")
        .order_by("-pk")[:STORIES]
    )
    tones = {each.name: each.tone for each in attempt.campaign.dispositions.all()} if found else {}
    told = []
    for one in found:
        label, tone = story.standing(one)
        if one.disposition:
            label, tone = one.disposition, tones.get(one.disposition, tone)
        told.append(
            {
                "attempt": one,
                "number": grouped(
                    one.communication.number if one.communication else one.digits, attempt.campaign.default_region
                ),
                "label": label,
                "tone": tone,
                "talk": round(one.talk_seconds) if one.bridged_at else None,
            }
        )
    return told


def opening(attempt: Attempt, at: datetime | None = None) -> dict[str, Any]:
    """Tell whether the campaign's calendar is open for this subscriber at an instant (now), and when it opens next."""
    week, zones = attempt.campaign.calendar.as_hours(), attempt.member.zones
    instant = at or clock.now()
    if hours.is_open(week, zones, instant):
        until = hours.open_until(week, zones, instant)
        if at is not None or until is None:
            return {"open": True, "told": _("The calendar is open then.") if at else _("Open now.")}
        return {"open": True, "told": _("Open now, until %s.") % _moment(attempt, until)}
    opens = hours.next_opening(week, zones, instant)
    if opens is None:
        return {"open": False, "told": _("The calendar is closed then, and never opens again.")}
    if at is None:
        return {"open": False, "told": _("Closed now; opens %s.") % _moment(attempt, opens)}
    told = _("The calendar is closed then: he is called from %s on.")
    return {"open": False, "told": told % _moment(attempt, opens)}


def zone_of(attempt: Attempt) -> str:
    """Return the zone whose clock the subscriber is told of by."""
    return attempt.member.time_zone or attempt.campaign.calendar.time_zone


def _moment(attempt: Attempt, instant: datetime) -> str:
    zone = zone_of(attempt)
    with timezone.override(zone):
        local = localtime(instant)
        return f"{date_format(local, 'D j M')}, {date_format(local, 'H:i')} ({zone})"


# --- his day ----------------------------------------------------------------------------------------------------


def day(him: Operator) -> dict[str, Any]:
    """Return his figures of today: those of the operators' board, and what came of his calls. Six statements at most,
    of which four are shared by all operators."""
    today = board.shared_today(None)
    duty = today.duties.get(him.pk)
    counted = (
        Attempt.objects.filter(operator=him, reserved_at__gte=today.range.start, bridged_at__isnull=False)
        .exclude(disposition="")
        .values("disposition")
        .annotate(count=Count("pk"))
        .order_by("-count", "disposition")
    )
    counts = [(row["disposition"], row["count"]) for row in counted]
    tones: dict[str, str] = {}
    if counts:
        known = Disposition.objects.filter(campaign__tiers__operator=him, name__in=[name for name, _count in counts])
        tones = {one.name: one.tone for one in known}
    most = max((count for _name, count in counts), default=1)
    connected = duty.counts["connected"] if duty else 0
    return {
        "today": today.range,
        "duty": duty,
        "average": duty.counts["talk_seconds"] / connected if duty and connected else None,
        "results": [
            {"name": name, "count": count, "tone": tones.get(name, "off"), "of": most} for name, count in counts
        ],
    }


def call_backs(him: Operator) -> dict[str, Any]:
    """Return those whom he himself is to call back, the soonest first. One statement."""
    found = list(
        Member.objects.visible()
        .filter(sticky_operator=him, callback=True, state__in=[*OPEN_STATES, *HELD_STATES])
        .select_related("campaign__calendar", "next_communication", "requested_communication")
        .order_by("due_at", "pk")[: CALL_BACKS + 1]
    )
    now = clock.now()
    rows = [
        {
            "member": member,
            "zone": member.time_zone or member.campaign.calendar.time_zone,
            "number": _number_of(member),
            "overdue": member.due_at <= now,
            "for_anyone": member.sticky_until is not None and member.sticky_until <= now,
        }
        for member in found[:CALL_BACKS]
    ]
    return {"rows": rows, "more": len(found) > CALL_BACKS}


def _number_of(member: Member) -> str:
    number = member.requested_communication or member.next_communication
    return grouped(number.number, member.campaign.default_region) if number else ""
