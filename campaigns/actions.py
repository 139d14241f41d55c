"""Every write to calendars, campaigns, gateways and routes that means something.

A campaign's state changes only here, along ``CAMPAIGN_EDGES``, by updates that name the states they may leave; the row
count tells who was first. RUN, STOP and completion lock the campaign's row ``FOR NO KEY UPDATE``: a pass of the dial
loop and an upload hold it ``FOR SHARE``, so no claim follows a committed STOP and no upload slips behind a completion.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.forms.models import model_to_dict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from agents import actions as agents
from agents.models import Tier
from campaigns import hours
from campaigns.models import (
    ACTIVE_STATES,
    CAMPAIGN_EDGES,
    DEFAULT_CAUSES,
    DEFAULT_DISPOSITIONS,
    MEANING_FIELDS,
    MEANING_REQUIREMENTS,
    Calendar,
    CalendarRange,
    Campaign,
    CampaignState,
    CauseRule,
    Completion,
    Disposition,
    Gateway,
    Holiday,
    Meaning,
    Route,
    Weekday,
)
from dialer import clock, verbs
from dialer.errors import Refused
from dialer.models import Attempt
from members import actions as members
from members import planning
from members.models import HELD_STATES, OPEN_STATES, Member

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

log = logging.getLogger(__name__)

LONGEST_BLOCK = 60
"""Seconds that a gateway gets no calls at most, before it is tried again."""


# --- two who change the same ------------------------------------------------------------------------------------


class ChangedMeanwhile(Exception):
    """What somebody sets was set otherwise by somebody else since he read it, and nothing was written.

    ``now`` is what it is now, by name; ``None`` where it was taken away.
    """

    def __init__(self, now: Mapping[Any, Any]) -> None:
        super().__init__(", ".join(map(str, now)))
        self.now = dict(now)


def merge(seen: Mapping[Any, Any], now: Mapping[Any, Any], mine: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what is ``now``, with the changes that ``mine`` makes to what its writer has ``seen``; all by name.

    What he left as he saw it stays as others made it. Raises ``ChangedMeanwhile`` for names that both changed, each to
    something else.
    """
    changed = [name for name in dict.fromkeys([*mine, *seen]) if seen.get(name) != mine.get(name)]
    clashes = {name: now.get(name) for name in changed if now.get(name) not in (seen.get(name), mine.get(name))}
    if clashes:
        raise ChangedMeanwhile(clashes)
    merged = dict(now)
    for name in changed:
        if name in mine:
            merged[name] = mine[name]
        else:
            merged.pop(name, None)
    return merged


def _merge_fields(row: models.Model, seen: Mapping[str, Any], mine: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``mine``, values of fields, that change a locked row; foreign keys are ``seen`` as ids."""
    plain = {name: value.pk if isinstance(value, models.Model) else value for name, value in mine.items()}
    now = model_to_dict(row, list(mine))
    merged = merge({name: seen[name] for name in mine}, now, plain)
    return {name: value for name, value in mine.items() if merged[name] != now[name]}


# --- calendars --------------------------------------------------------------------------------------------------


def lock_calendar(calendar_id: int) -> Calendar:
    """Read a calendar and lock its row, so that nobody else adds a range. Must run in a transaction."""
    return Calendar.objects.select_for_update(no_key=True).get(pk=calendar_id)


@transaction.atomic
def check_calendar(calendar_id: int) -> None:
    """Refuse a calendar, as the database has it now, that breaks a rule; the writer calls this last.

    Raises ``ValidationError`` by field (``ranges`` and ``holidays`` among them); locks the calendar.
    """
    calendar = lock_calendar(calendar_id)
    calendar.full_clean()
    faults = hours.validate(calendar.as_hours())
    if faults:
        raise ValidationError(faults)
    verbs.wake()


CALENDAR_FIELDS = ("name", "time_zone", "first_date", "last_date")


def calendar_parts(
    fields: Mapping[str, Any], ranges: Iterable[CalendarRange], holidays: Iterable[Holiday]
) -> dict[str, Any]:
    """Write a calendar as plain parts by name: each field, the hours of each weekday ("1"), each special day by date.

    What two change at the same time is compared by these.
    """
    parts: dict[str, Any] = {name: fields[name] for name in CALENDAR_FIELDS[:2]}
    parts |= {name: fields[name] and fields[name].isoformat() for name in CALENDAR_FIELDS[2:]}
    parts |= {str(weekday): [] for weekday in Weekday.values}
    for item in sorted(ranges, key=lambda item: item.start):
        parts[str(item.weekday)].append([item.start, item.end])
    for day in holidays:
        key = f"{day.date.isoformat()}{' yearly' if day.yearly else ''}"
        parts[key] = [day.name, sorted([start, end] for start, end in day.hours)]
    return parts


def _merge_calendar(
    calendar: Calendar, seen: Mapping[str, Any], fields: Mapping[str, Any], ranges: Any, holidays: Any
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the fields, ranges and holidays of a locked calendar with what was changed of what was ``seen``."""
    now = calendar_parts(vars(calendar), calendar.ranges.all(), calendar.holidays.all())
    mine = calendar_parts(
        fields, [CalendarRange(**item) for item in ranges], [Holiday(**item) for item in holidays]
    )  # fmt: skip
    parts = merge(seen, now, mine)
    merged = {name: parts.pop(name) for name in CALENDAR_FIELDS}
    for name in CALENDAR_FIELDS[2:]:
        merged[name] = merged[name] and date.fromisoformat(merged[name])
    week = [
        {"weekday": weekday, "start": start, "end": end}
        for weekday in Weekday.values
        for start, end in parts.pop(str(weekday))
    ]
    special = [
        {"date": date.fromisoformat(key.split()[0]), "yearly": " " in key, "name": name, "hours": hours_of_day}
        for key, (name, hours_of_day) in parts.items()
    ]
    return merged, week, special


@transaction.atomic
def save_calendar(
    calendar_id: int | None,
    *,
    ranges: Sequence[Mapping[str, Any]] | None = None,
    holidays: Sequence[Mapping[str, Any]] | None = None,
    seen: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Calendar:
    """Add a calendar (``None``), or change one: what is given of it, its ranges and holidays each as a whole.

    With ``seen``, its ``calendar_parts`` as the writer has seen them, all of it is given, and of that only what he made
    otherwise is written. Raises ``ValidationError`` by field (``ranges`` and ``holidays`` among them) and
    ``ChangedMeanwhile`` by part, and changes nothing then.
    """
    calendar = Calendar() if calendar_id is None else lock_calendar(calendar_id)
    if seen is not None:
        fields, ranges, holidays = _merge_calendar(calendar, seen, fields, ranges, holidays)
    for name, value in fields.items():
        setattr(calendar, name, value)
    calendar.full_clean()
    new_ranges = None if ranges is None else [CalendarRange(calendar=calendar, **item) for item in ranges]
    new_holidays = None if holidays is None else [Holiday(calendar=calendar, **item) for item in holidays]
    if calendar_id is None:
        new_ranges, new_holidays = new_ranges or [], new_holidays or []
    # Before they are written: the database would refuse them without words.
    faults = hours.validate(
        calendar.hours_of(
            calendar.ranges.all() if new_ranges is None else new_ranges,
            calendar.holidays.all() if new_holidays is None else new_holidays,
        )
    )
    if faults:
        raise ValidationError(faults)
    calendar.save()
    if new_ranges is not None:
        calendar.ranges.all().delete()
        CalendarRange.objects.bulk_create(new_ranges)
    if new_holidays is not None:
        calendar.holidays.all().delete()
        Holiday.objects.bulk_create(new_holidays)
    verbs.wake()
    return calendar


def delete_calendar(calendar: Calendar) -> None:
    """Delete a calendar. Raises ``ProtectedError`` while a campaign has it."""
    calendar.delete()


# --- campaigns: set-up ------------------------------------------------------------------------------------------


@transaction.atomic
def create_campaign(**fields: Any) -> Campaign:
    """Add a campaign, idle, with the default causes. Raises ``ValidationError`` by field."""
    campaign = Campaign(**fields, state_since=clock.now())
    campaign.full_clean()
    campaign.save()
    restore_default_causes(campaign.pk)
    return campaign


@transaction.atomic
def update_campaign(campaign_id: int, *, seen: Mapping[str, Any] | None = None, **changes: Any) -> Campaign:
    """Change settings of a campaign, in any state; live attempts keep those they were decided by.

    A lowered maximum ends the subscribers over it; how zones are taken from numbers reaches those who are there in the
    background. With ``seen``, what the writer has seen of each, only what he made otherwise is written. Raises
    ``ValidationError`` by field, and ``ChangedMeanwhile``.
    """
    campaign = _lock(campaign_id)
    if seen is not None:
        changes = _merge_fields(campaign, seen, changes)
    maximum = campaign.max_retries
    for name, value in changes.items():
        setattr(campaign, name, value)
    campaign.full_clean()
    campaign.save(update_fields=list(changes))
    if campaign.max_retries < maximum:
        members.end_over_maximum(campaign_id)
    if campaign.zone_from_number != campaign.zoned_by:
        verbs.rezone_soon()
    verbs.wake()
    return campaign


@transaction.atomic
def clone_campaign(campaign_id: int, name: str) -> Campaign:
    """Add a campaign with all that another has but its subscribers, idle.

    Its archived dispositions stay with the calls that have them. Raises ``ValidationError`` by field.
    """
    original = Campaign.objects.get(pk=campaign_id)
    settings = {
        field.attname: getattr(original, field.attname)
        for field in Campaign._meta.concrete_fields
        if field.editable and not field.primary_key
    }
    clone = Campaign(**settings | {"name": name}, state_since=clock.now())
    clone.full_clean()
    clone.save()
    parts: tuple[type[models.Model], ...] = (CauseRule, Disposition, Tier, Route)
    for model in parts:
        rows = model._default_manager.filter(campaign=original)
        copies = [row for row in rows if not getattr(row, "archived", False)]
        for copy in copies:
            copy.pk = None
            setattr(copy, "campaign", clone)  # noqa: B010
        model._default_manager.bulk_create(copies)
    return clone


def free_name(name: str) -> str:
    """Return "name (2)", or the next such name that no campaign has."""
    number = 2
    while Campaign.objects.filter(name=f"{name[:110]} ({number})").exists():
        number += 1
    return f"{name[:110]} ({number})"


@transaction.atomic
def set_variables(campaign_id: int, variables: Mapping[str, Any], *, seen: Mapping[str, Any]) -> Campaign:
    """Make ``variables`` those of a campaign; those that others changed since they were ``seen`` stay theirs.

    Raises ``ValidationError`` by field, and ``ChangedMeanwhile``.
    """
    return update_campaign(campaign_id, variables=merge(seen, _lock(campaign_id).variables, variables))


@transaction.atomic
def set_places(campaign_id: int, places: Mapping[int, tuple[int, int]], *, seen: Mapping[int, tuple[int, int]]) -> None:
    """Change who serves a campaign: ``places`` (operator to level and position) instead of those that were ``seen``.

    Operators that are in neither stay as they are. A call that is under way goes on. Raises ``ValidationError`` for
    operators that do not exist, and ``ChangedMeanwhile``.
    """
    _lock(campaign_id)
    tiers = Tier.objects.filter(campaign=campaign_id)
    now = {operator: (level, place) for operator, level, place in tiers.values_list("operator", "level", "position")}
    agents.set_tiers(campaign_id, merge(seen, now, places))


@transaction.atomic
def set_causes(campaign_id: int, causes: Mapping[str, str], *, seen: Mapping[str, str] | None = None) -> None:
    """Make ``causes`` (hangup cause to treatment) the whole of what a campaign treats other than as a Retry.

    Takes effect with the next attempt that ends. With ``seen``, what others changed since stays theirs. Raises
    ``ValidationError`` by cause, and ``ChangedMeanwhile``.
    """
    _lock(campaign_id)
    if seen is not None:
        known = CauseRule.objects.filter(campaign=campaign_id).values_list("cause", "treatment")
        causes = merge(seen, dict(known), causes)
    rules = [CauseRule(campaign_id=campaign_id, cause=cause, treatment=value) for cause, value in causes.items()]
    faults: dict[str, list[str]] = {}
    for rule in rules:
        try:
            rule.clean_fields(exclude=["campaign"])
        except ValidationError as error:
            faults[rule.cause] = error.messages
    if faults:
        raise ValidationError(faults)
    CauseRule.objects.filter(campaign=campaign_id).exclude(cause__in=causes).delete()
    CauseRule.objects.bulk_create(
        rules, update_conflicts=True, unique_fields=["campaign", "cause"], update_fields=["treatment"]
    )


def restore_default_causes(campaign_id: int) -> None:
    """Give a campaign the treatments that a new one has."""
    set_causes(campaign_id, DEFAULT_CAUSES)


DISPOSITION_FIELDS = ("meaning", "colour", "hotkey", "requires", "wait", "stop", "reset_retries", "archived")


def disposition_parts(campaign_id: int) -> dict[str, dict[str, Any]]:
    """Return the dispositions of a campaign in their order, each as its fields by its name.

    What two change at the same time is compared by these.
    """
    return {row.name: _parts_of(row) for row in Disposition.objects.filter(campaign=campaign_id)}


def _parts_of(row: Disposition) -> dict[str, Any]:
    # What it asks for is a set: its order says nothing.
    return {name: getattr(row, name) for name in DISPOSITION_FIELDS} | {"requires": sorted(row.requires)}


@transaction.atomic
def set_dispositions(
    campaign_id: int, rows: Sequence[Mapping[str, Any]], *, seen: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Make ``rows``, each a name and ``DISPOSITION_FIELDS``, the dispositions of a campaign, in their order.

    One that is not among them is deleted, or archived when a call has it: a name that was used keeps its meaning. With
    ``seen``, its ``disposition_parts`` as the writer has seen them, what others changed since stays theirs. Raises
    ``ValidationError`` by row and field (``dispositions[0].name``), and ``ChangedMeanwhile`` by name.
    """
    _lock(campaign_id)
    given = [Disposition(campaign_id=campaign_id, **row) for row in rows]
    _check_dispositions(dict(enumerate(given)))
    if seen is not None:
        given = _merge_dispositions(campaign_id, given, seen)
    for position, row in enumerate(given):
        row.position = position
    known = Disposition.objects.filter(campaign=campaign_id)
    known.update(hotkey="")  # one statement below may hand a key from one to another
    Disposition.objects.bulk_create(
        given,
        update_conflicts=True,
        unique_fields=["campaign", "name"],
        update_fields=["position", *DISPOSITION_FIELDS],
    )
    gone = list(known.exclude(name__in=[row.name for row in given]).values_list("name", flat=True))
    if gone:
        told = Attempt.objects.filter(campaign=campaign_id, disposition__in=gone)
        used = set(told.order_by().values_list("disposition", flat=True).distinct())
        known.filter(name__in=used).update(archived=True, position=len(given))
        known.filter(name__in=set(gone) - used).delete()


def _merge_dispositions(
    campaign_id: int, given: list[Disposition], seen: Mapping[str, Mapping[str, Any]]
) -> list[Disposition]:
    """Return the dispositions that a locked campaign has now, with what was changed of what was ``seen``."""
    now = disposition_parts(campaign_id)
    mine = {row.name: _parts_of(row) for row in given}
    merged = merge(seen, now, mine)
    order = list(now) if list(mine) == list(seen) else [*mine, *now]
    names = [name for name in dict.fromkeys([*order, *mine]) if name in merged]
    places = {row.name: place for place, row in enumerate(given)}
    found = [Disposition(campaign_id=campaign_id, name=name, **merged[name]) for name in names]
    # Others may have given a key of these to one of theirs.
    _check_dispositions({places.get(row.name, len(given) + place): row for place, row in enumerate(found)})
    return found


def _check_dispositions(rows: Mapping[int, Disposition]) -> None:
    """Refuse dispositions that break a rule, by the place that each is told by, and those that clash."""
    faults: dict[str, list[str]] = {}
    names: set[str] = set()
    keys: dict[str, str] = {}
    for place, row in sorted(rows.items()):
        found = _faults_of_disposition(row)
        if row.name in names:
            found.setdefault("name", []).append(gettext("“%s” is there twice.") % row.name)
        if row.hotkey and not row.archived and (other := keys.get(row.hotkey)):
            told = gettext("“%(name)s” has the key %(key)s already.")
            found.setdefault("hotkey", []).append(told % {"name": other, "key": row.hotkey})
        names.add(row.name)
        if not row.archived:
            keys.setdefault(row.hotkey, row.name)
        faults |= {f"dispositions[{place}].{name}": told for name, told in found.items()}
    if faults:
        raise ValidationError(faults)


def _faults_of_disposition(row: Disposition) -> dict[str, list[str]]:
    try:
        row.clean_fields(exclude=["campaign"])
    except ValidationError as error:
        return dict(error.message_dict)
    found: dict[str, list[str]] = {}
    meaning, nothing = Meaning(row.meaning), Disposition()
    for name in ("wait", "stop", "reset_retries"):
        if name not in MEANING_FIELDS[meaning] and getattr(row, name) != getattr(nothing, name):
            found[name] = [gettext("“%s” has nothing of this: leave it out.") % meaning.label]
    if extra := sorted(set(row.requires) - MEANING_REQUIREMENTS[meaning]):
        told = gettext("“%(meaning)s” cannot ask for %(fields)s.")
        found["requires"] = [told % {"meaning": meaning.label, "fields": ", ".join(extra)}]
    elif len(set(row.requires)) < len(row.requires):
        found["requires"] = [gettext("Each field once.")]
    return found


def default_dispositions(taken: Collection[str] = (), taken_keys: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the dispositions that fit most campaigns, but for ``taken`` names, without ``taken_keys``."""
    rows = [{**row, "name": str(row["name"])} for row in DEFAULT_DISPOSITIONS]
    return [
        {**row, "hotkey": "" if row["hotkey"] in taken_keys else row["hotkey"]}
        for row in rows
        if row["name"] not in taken
    ]


@transaction.atomic
def delete_campaign(campaign_id: int) -> None:
    """Delete a campaign that nobody is in, with its causes, operators and routes. Raises ``ProtectedError``."""
    _lock(campaign_id).delete()


# --- campaigns: RUN, STOP and what follows ----------------------------------------------------------------------


class RunAnswer(models.TextChoices):
    """What RUN answers when it is not refused; only ``STARTED`` changed the state."""

    STARTED = "STARTED", _("Started.")
    UNCHANGED = "UNCHANGED", _("It runs already.")
    NOTHING_TO_DIAL = "NOTHING_TO_DIAL", _("Nothing to dial: nobody is left who could be called.")
    CALENDAR_EXPIRED = "CALENDAR_EXPIRED", _("The last date of its calendar is over.")


def run(campaign_id: int, by: AbstractBaseUser | AnonymousUser | None = None) -> RunAnswer:
    """Start a campaign from any state, or say why there is nothing to start.

    Raises ``Refused`` (NO_ROUTE) when no enabled route, its own or a common one, could dial for it.
    """
    answer = _run(campaign_id)
    unplanned = Member.objects.filter(campaign=campaign_id, state__in=OPEN_STATES)
    if answer is RunAnswer.NOTHING_TO_DIAL and unplanned.exists():
        # Somebody is left, but without a number that has a route: the routes may have changed a moment ago.
        planning.resolve_routes(campaign_id=campaign_id)
        answer = _run(campaign_id)
    log.info("RUN: %s", answer, extra={"campaign": campaign_id, "by": getattr(by, "pk", None)})
    return answer


@transaction.atomic
def _run(campaign_id: int) -> RunAnswer:
    campaign = _lock(campaign_id)
    if campaign.state in ACTIVE_STATES:
        return RunAnswer.UNCHANGED
    if not Route.objects.filter(Q(campaign=campaign) | Q(campaign=None), enabled=True).exists():
        raise Refused("NO_ROUTE", gettext("No route: add one that dials for “%(name)s”.") % {"name": campaign})
    if hours.has_expired(campaign.calendar.as_hours(), clock.now()):
        return RunAnswer.CALENDAR_EXPIRED
    if not _can_dial(campaign_id) and not _is_busy(campaign_id):
        return RunAnswer.NOTHING_TO_DIAL
    _move(campaign_id, CampaignState.RUNNING)
    verbs.wake()
    return RunAnswer.STARTED


@transaction.atomic
def stop(campaign_id: int, by: AbstractBaseUser | AnonymousUser | None = None) -> CampaignState:
    """Place no new call, withdraw what is reserved and not yet sent, and cut no call; return the state it is in then.

    It is stopped once no attempt lives, at once if none does. One that is stopping or stopped already stays so.
    Raises ``Refused`` (WRONG_STATE) for one that never ran or has completed.
    """
    campaign = _lock(campaign_id)
    if campaign.state in (CampaignState.STOPPING, CampaignState.STOPPED):
        return CampaignState(campaign.state)
    if not _move(campaign_id, CampaignState.STOPPING):
        raise Refused("WRONG_STATE", gettext("“%(name)s” does not run.") % {"name": campaign})
    verbs.withdraw_unsent(campaign_id=campaign_id)
    log.info("STOP", extra={"campaign": campaign_id, "by": getattr(by, "pk", None)})
    return CampaignState.STOPPED if finish_stopping(campaign_id) else CampaignState.STOPPING


@transaction.atomic
def finish_stopping(campaign_id: int) -> bool:
    """Let a stopping campaign be stopped if no attempt of it lives; ``False`` if one does, or it is not stopping."""
    if not _lock_or_pass(campaign_id) or Attempt.objects.live().filter(campaign=campaign_id).exists():
        return False
    return _move(campaign_id, CampaignState.STOPPED)


@transaction.atomic
def fall_asleep(campaign_id: int, until: datetime) -> bool:
    """Let a running campaign sleep until a calendar opens; one that sleeps gets the new instant."""
    if not _lock_or_pass(campaign_id):
        return False
    if _move(campaign_id, CampaignState.SLEEPING, sleeping_until=until):
        return True
    sleeping = Campaign.objects.filter(pk=campaign_id, state=CampaignState.SLEEPING)
    return bool(sleeping.update(sleeping_until=until))


@transaction.atomic
def wake_up(campaign_id: int) -> bool:
    """Let a sleeping campaign run on."""
    if not _lock_or_pass(campaign_id):
        return False
    woken = _move(campaign_id, CampaignState.RUNNING, leaving={CampaignState.SLEEPING})
    if woken:
        verbs.wake()
    return woken


@transaction.atomic
def complete(campaign_id: int, reason: str, left: int = 0, never_open: Collection[str] = ()) -> bool:
    """End a running or sleeping campaign for a ``Completion``; ``left`` subscribers could not be dialled.

    ``False`` if somebody is on a call or awaits a result, or (unless the calendar has ended) may still be called: not
    those in ``never_open``, zones that its calendar never opens all at once.
    """
    if not _lock_or_pass(campaign_id) or _is_busy(campaign_id):
        return False
    if reason != Completion.CALENDAR_EXPIRED and _can_dial(campaign_id, never_open):
        return False
    return _move(campaign_id, CampaignState.COMPLETED, completion=reason, completion_left=left)


@transaction.atomic
def ring_operator_first(campaign_id: int, until: datetime | None) -> bool:
    """Have a campaign ring the operator first for a while, or (``None``) in the order that was chosen for it again.

    ``False`` when its row is locked: whoever asked asks again.
    """
    if not _lock_or_pass(campaign_id):
        return False
    Campaign.objects.filter(pk=campaign_id).update(operator_first_until=until)
    verbs.wake()
    return True


def _lock(campaign_id: int) -> Campaign:
    """Read a campaign and lock its row. Raises ``Campaign.DoesNotExist``."""
    return Campaign.objects.select_for_update(no_key=True).get(pk=campaign_id)


def _lock_or_pass(campaign_id: int) -> bool:
    """Lock a campaign's row unless somebody holds it: an upload may be long, and the dial loop must not wait for it."""
    rows = Campaign.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=campaign_id)
    return bool(rows.values_list("pk").first())


def _can_dial(campaign_id: int, never_open: Collection[str] = ()) -> bool:
    """Tell whether a subscriber may be called, now or later."""
    callable_ = Member.objects.filter(campaign=campaign_id, state__in=OPEN_STATES, next_communication__isnull=False)
    return callable_.exclude(zones__in=never_open).exists()


def _is_busy(campaign_id: int) -> bool:
    """Tell whether a call is under way or a result awaited."""
    return (
        Attempt.objects.live().filter(campaign=campaign_id).exists()
        or Member.objects.filter(campaign=campaign_id, state__in=HELD_STATES).exists()
    )


def _move(
    campaign_id: int,
    to: CampaignState,
    *,
    leaving: set[CampaignState] | None = None,
    completion: str = "",
    completion_left: int = 0,
    sleeping_until: datetime | None = None,
) -> bool:
    """Change a campaign's state along an edge; ``False`` when its state has none there (or is not in ``leaving``)."""
    allowed = {state for state, targets in CAMPAIGN_EDGES.items() if to in targets}
    moved = Campaign.objects.filter(pk=campaign_id, state__in=allowed & leaving if leaving else allowed).update(
        state=to,
        state_since=clock.now(),
        completion=completion,
        completion_left=completion_left,
        sleeping_until=sleeping_until,
    )
    return bool(moved)


# --- gateways and routes ----------------------------------------------------------------------------------------


@transaction.atomic
def create_gateway(**fields: Any) -> Gateway:
    """Add a gateway. Raises ``ValidationError`` by field."""
    gateway = Gateway(**fields)
    gateway.full_clean()
    gateway.save()
    return gateway


def delete_gateway(gateway: Gateway) -> None:
    """Delete a gateway that nothing ever used. Raises ``ProtectedError``."""
    gateway.delete()


@transaction.atomic
def save_route(route_id: int | None, *, seen: Mapping[str, Any] | None = None, **fields: Any) -> Route:
    """Add a route (``None``), or change one; the numbers of its campaigns then find their routes again.

    With ``seen``, what the writer has seen of each field, only what he made otherwise is written. Raises
    ``ValidationError`` by field, and ``ChangedMeanwhile``.
    """
    route = Route() if route_id is None else Route.objects.select_for_update(no_key=True).get(pk=route_id)
    if seen is not None:
        fields = _merge_fields(route, seen, fields)
    served = set() if route_id is None else {route.campaign_id}
    for name, value in fields.items():
        setattr(route, name, value)
    route.full_clean()
    route.save()
    for campaign_id in served | {route.campaign_id}:
        route_changed(campaign_id)
    return route


@transaction.atomic
def delete_route(route: Route) -> None:
    """Delete a route; the numbers that it dialled find another, or none."""
    campaign_id = route.campaign_id
    route.delete()
    route_changed(campaign_id)


@transaction.atomic
def move_route(route: Route, places: int) -> None:
    """Move a route so many places down (up: negative) among those of its campaign, or among the common ones.

    Their positions are counted anew, from 1; the numbers then find their routes again.
    """
    if route.campaign_id is not None:
        _lock(route.campaign_id)
    siblings = list(
        Route.objects.filter(campaign=route.campaign_id).order_by("position", "pk").select_for_update(no_key=True)
    )
    at = siblings.index(route)
    siblings.insert(max(0, at + places), siblings.pop(at))
    for position, sibling in enumerate(siblings, 1):
        sibling.position = position
    Route.objects.bulk_update(siblings, ["position"])
    route_changed(route.campaign_id)


@transaction.atomic
def update_gateway(gateway_id: int, **changes: Any) -> Gateway:
    """Change settings of a gateway; live attempts keep the capacity they were decided by.

    Raises ``ValidationError`` by field.
    """
    gateway = Gateway.objects.select_for_update(no_key=True).get(pk=gateway_id)
    for name, value in changes.items():
        setattr(gateway, name, value)
    gateway.full_clean()
    gateway.save(update_fields=list(changes))
    verbs.wake()
    return gateway


def route_changed(campaign_id: int | None) -> None:
    """Have the numbers of a campaign (``None``: of all, for a common route) find their routes again."""
    verbs.replan_soon(campaign_id)
    verbs.wake()


def back_off(step: int) -> timedelta:
    """Return how long nothing is sent after the ``step``-th refusal in a row (from 0): 1, 2, 4 … 60 seconds."""
    return timedelta(seconds=min(2**step, LONGEST_BLOCK))


@transaction.atomic
def block_gateway(gateway_id: int, reason: str, now: datetime) -> bool:
    """Reserve nothing for a gateway that refused a call, each time for longer, and say why.

    Refusals of calls that were sent before the block change nothing (``False``): they are the same trouble.
    """
    gateway = Gateway.objects.select_for_update(no_key=True).get(pk=gateway_id)
    if gateway.blocked_until and gateway.blocked_until > now:
        return False
    gateway.blocked_until = now + back_off(gateway.block_step)
    gateway.block_step = min(gateway.block_step + 1, 6)
    gateway.blocked_reason = reason[:200]
    gateway.save(update_fields=["blocked_until", "block_step", "blocked_reason"])
    return True


def unblock_gateway(gateway_id: int, rang_at: datetime | None = None) -> None:
    """Forget the refusals of a gateway, or those before it took a call that rang at ``rang_at``.

    A call that rang before tells nothing of it. Writes only where there is something to forget.
    """
    refused = Gateway.objects.filter(pk=gateway_id, block_step__gt=0)
    if rang_at is not None:
        refused = refused.filter(Q(blocked_until__isnull=True) | Q(blocked_until__lte=rang_at))
    if refused.update(blocked_until=None, block_step=0, blocked_reason=""):
        verbs.wake()
