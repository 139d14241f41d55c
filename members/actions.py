"""Every write to subscribers, their numbers and the do-not-call lists that means something.

A subscriber's state changes only here, along ``MEMBER_EDGES``, by updates that name the states they may leave. What an
attempt does to him also says ``current_attempt = this one``: zero rows means that somebody was first. What may let a
subscriber be called who could not be before locks his campaign ``FOR SHARE``, so that it cannot complete meanwhile.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import CharField, Exists, F, Func, JSONField, Max, OuterRef, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Cast, Coalesce, Concat
from django.utils.translation import gettext

from agents.models import Operator, Tier
from campaigns import actions as campaigns
from campaigns.fields import allowed_variables
from campaigns.models import ACTIVE_STATES, Campaign
from dialer import clock, locks, verbs
from dialer.errors import Refused
from dialer.models import Attempt, ResultReport
from members import numbers, planning, rows
from members.models import (
    OPEN_STATES,
    Communication,
    DoNotCall,
    Member,
    MemberState,
    StopReason,
)
from members.rows import Row, RowsRefused

if TYPE_CHECKING:
    from typing import TypeAlias

    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    Person: TypeAlias = AbstractBaseUser | AnonymousUser | None

log = logging.getLogger(__name__)


_WAS_FIRST: Final = ("23505", "40P01")
"""What the database says when another transaction was first: a unique violation, a deadlock."""


# --- adding -----------------------------------------------------------------------------------------------------


def rules_of(campaign: Campaign, zone: str | None = None) -> rows.Rules:
    """Return how the rows of a campaign are read. ``zone``: for dates without an offset, instead of the calendar's."""
    zone = campaign.calendar.time_zone if zone is None else zone
    return rows.Rules(zone=zone, region=campaign.default_region, allowed=allowed_variables())


def add_members(
    campaign: Campaign,
    raws: Sequence[object],
    *,
    auto_run: bool = False,
    now: datetime | None = None,
    by: Person = None,
) -> list[Member]:
    """Add subscribers to a campaign, all of them or none, and with ``auto_run`` start it.

    A row is a dict as ``members.rows`` describes it. Raises ``RowsRefused`` (a ``ValidationError``) with every fault of
    every row by the path of its field, and with ``auto_run`` what RUN raises; nothing is added then. A constant number
    of statements for up to ``planning.BATCH`` rows. Holds the campaign for share from the first insert on.
    """
    now = now or clock.now()
    found, faults = rows.read_all(raws, rules_of(campaign))
    _find_taken(campaign.pk, found, faults)
    if faults:
        raise RowsRefused(faults, len(raws))
    for last_try in (False, True):
        try:
            with transaction.atomic():
                must_run = lock_to_add(campaign.pk, auto_run=auto_run)
                ids = [pk for batch in planning.batches(found) for pk in _insert(campaign.pk, batch, now)]
                if must_run:
                    campaigns.run(campaign.pk, by)
            break
        except (IntegrityError, OperationalError) as error:
            # Another upload was first with one of the numbers: now it can be seen which. After a deadlock with one
            # in another order it may not be done yet: then the second try waits for it.
            _find_taken(campaign.pk, found, faults)
            if faults:
                raise RowsRefused(faults, len(raws)) from None
            if last_try or getattr(error.__cause__, "sqlstate", "") not in _WAS_FIRST:
                raise
    verbs.wake()
    log.info("members.added", extra={"campaign": campaign.pk, "members": len(ids), "by": _pk(by)})
    return list(Member.objects.filter(pk__in=ids).order_by("pk"))


def check_members(campaign: Campaign, raws: Sequence[object]) -> dict[int, rows.Faults]:
    """Return what ``add_members`` would refuse: the faults of each row by its place. Writes nothing."""
    found, faults = rows.read_all(raws, rules_of(campaign))
    _find_taken(campaign.pk, found, faults)
    return dict(faults)


class OnDuplicate(StrEnum):
    """What becomes of a row that is a subscriber of the campaign already, by his external id or by a number."""

    ERROR = "error"
    SKIP = "skip"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one row: added, updated, skipped or refused; whose it is, or its faults by field."""

    became: str
    member: int | None = None
    faults: rows.Faults = field(default_factory=dict)


class Intake(NamedTuple):
    """What became of rows, in their order, and what RUN answered when it was asked for."""

    rows: list[Taken]
    run: campaigns.RunAnswer | None


def take_members(
    campaign: Campaign,
    raws: Sequence[object],
    *,
    on_duplicate: OnDuplicate = OnDuplicate.ERROR,
    auto_run: bool = False,
    by: Person = None,
) -> Intake:
    """Take those rows that can be taken, tell of each what became of it, and with ``auto_run`` start the campaign.

    A row is a dict as ``members.rows`` describes it, its ``expire`` with an offset. To update changes what the row
    gives of a subscriber, adds the numbers that he has not, and changes the others' priority and description; it
    neither stops a number nor lets anybody be called again, and a call under way keeps what it was decided by.
    Raises what RUN raises; nothing is taken then. A constant number of statements.
    """
    found, faults = rows.read_all(raws, rules_of(campaign, zone=""))
    for last_try in (False, False, True):
        try:
            with transaction.atomic():
                must_run = lock_to_add(campaign.pk, auto_run=auto_run)
                taken = _take(campaign.pk, raws, found, faults, on_duplicate)
                changed = any(row.became in ("added", "updated") for row in taken)
                answer = campaigns.RunAnswer.UNCHANGED if auto_run and changed else None
                if must_run and changed:
                    answer = campaigns.run(campaign.pk, by)
            break
        except (IntegrityError, OperationalError) as error:
            # Somebody else was first with one of the numbers: now it can be seen which. Two uploads that share numbers
            # in another order stand still, and the database ends one of them.
            if last_try or getattr(error.__cause__, "sqlstate", "") not in _WAS_FIRST:
                raise
    verbs.wake()
    counts = Counter(row.became for row in taken)
    log.info("members.taken", extra={"campaign": campaign.pk, **counts, "by": _pk(by)})
    return Intake(taken, answer)


def _take(
    campaign_id: int, raws: Sequence[object], found: Sequence[Row], faults: Mapping[int, rows.Faults],
    on_duplicate: OnDuplicate,
) -> list[Taken]:  # fmt: skip
    """Insert and update in the caller's transaction, which holds the campaign."""
    valid = {index: row for index, row in enumerate(found) if index not in faults}
    owners = _Owners.read(campaign_id, valid.values())
    taken: dict[int, Taken] = {index: Taken("refused", None, told) for index, told in faults.items()}
    new: list[int] = []
    known: dict[int, int] = {}
    for index, row in valid.items():
        whose = owners.of(row)
        if not whose:
            new.append(index)
        elif on_duplicate == OnDuplicate.SKIP:
            taken[index] = Taken("skipped", min(whose))
        elif on_duplicate == OnDuplicate.UPDATE and len(whose) == 1 and not whose & owners.hidden:
            (member,) = whose
            if member in known:
                told = gettext("This is the same subscriber as in row %d.") % (known[member] + 1)
                taken[index] = Taken("refused", None, {NON_FIELD_ERRORS: [told]})
            else:
                known[member] = index
        else:
            taken[index] = Taken("refused", None, owners.faults_of(row))
    ids = _insert(campaign_id, [found[index] for index in new], clock.now()) if new else []
    taken |= {index: Taken("added", pk) for index, pk in zip(new, ids, strict=True)}
    if known:
        _update({member: (found[index], _given(raws[index])) for member, index in known.items()})
        taken |= {index: Taken("updated", member) for member, index in known.items()}
    return [taken[index] for index in range(len(raws))]


def _given(raw: object) -> frozenset[str]:
    """Return which fields of the model a row gives; a null is a field not given."""
    pairs = raw.items() if isinstance(raw, Mapping) else ()
    return frozenset(rows.OWN_FIELDS[name] for name, value in pairs if name in rows.OWN_FIELDS and value is not None)


@dataclass(frozen=True, slots=True)
class _Owners:
    """Whose numbers and external ids of rows are already."""

    by_digits: Mapping[str, int]
    by_external_id: Mapping[str | None, int]
    hidden: frozenset[int]

    @classmethod
    def read(cls, campaign_id: int, found: Collection[Row]) -> _Owners:
        """Two statements."""
        digits = [number.digits for row in found for number in row.numbers]
        numbers_found = list(
            Communication.objects.filter(campaign=campaign_id, digits__in=digits)
            .order_by()
            .values_list("digits", "member_id", "member__hidden")
        )
        external_ids = [row.external_id for row in found if row.external_id]
        ids_found = list(
            Member.objects.filter(campaign=campaign_id, external_id__in=external_ids)
            .order_by()
            .values_list("external_id", "pk", "hidden")
        )
        return cls(
            {number: member for number, member, _hidden in numbers_found},
            {external_id: member for external_id, member, _hidden in ids_found},
            frozenset(member for _key, member, hidden in (*numbers_found, *ids_found) if hidden),
        )

    def of(self, row: Row) -> set[int]:
        """Return whom a row is already, by his number or external id."""
        found = {self.by_digits[number.digits] for number in row.numbers if number.digits in self.by_digits}
        if row.external_id in self.by_external_id:
            found.add(self.by_external_id[row.external_id])
        return found

    def faults_of(self, row: Row) -> rows.Faults:
        faults: rows.Faults = {}
        for number in row.numbers:
            if number.digits in self.by_digits:
                faults[number.path] = [gettext("%s belongs to another subscriber of this campaign.") % number.number]
        if row.external_id in self.by_external_id:
            told = gettext("“%s” belongs to another subscriber of this campaign.") % row.external_id
            faults["external_id"] = [told]
        return faults


_UPDATE = """
UPDATE members_member AS m
SET name = row.name, priority = row.priority, time_zone = row.time_zone, expire_at = row.expire_at,
    variables = row.variables::jsonb, external_id = row.external_id
FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::text[], %s::timestamptz[], %s::text[], %s::text[])
    AS row(id, name, priority, time_zone, expire_at, variables, external_id)
WHERE m.id = row.id
"""

_UPDATE_NUMBERS = """
UPDATE members_communication AS c SET priority = row.priority, description = row.description
FROM unnest(%s::bigint[], %s::int[], %s::text[]) AS row(id, priority, description) WHERE c.id = row.id
"""


def _update(known: Mapping[int, tuple[Row, frozenset[str]]]) -> None:
    """Give subscribers what rows say of them, numbers included; those fields alone that a row gives. 11 statements."""
    if len(locks.no_key(Member, known)) < len(known):
        raise Refused("DELETED", gettext("One of them was deleted a moment ago: send the request again."))
    members = list(Member.objects.filter(pk__in=known).order_by("pk"))
    for member in members:
        row, given = known[member.pk]
        for name in given:
            setattr(member, name, getattr(row, name))
    columns = ("pk", "name", "priority", "time_zone", "expire_at", "variables", "external_id")
    values: list[list[Any]] = [[getattr(member, name) for member in members] for name in columns]
    values[columns.index("variables")] = [json.dumps(dict(member.variables)) for member in members]
    _execute(_UPDATE, values)
    his = {
        (member, digits): pk
        for pk, member, digits in Communication.objects.filter(member__in=known)
        .order_by()
        .values_list("pk", "member_id", "digits")
    }
    changed = []
    added = []
    for member in members:
        for number in known[member.pk][0].numbers:
            pk = his.get((member.pk, number.digits))
            if pk is None:
                added.append(_communication(member, number))
            else:
                changed.append((pk, number.priority, number.description))
    _execute(_UPDATE_NUMBERS, [list(column) for column in zip(*changed, strict=True)] or [[], [], []])
    if added:
        numbers_added = Communication.objects.bulk_create(added)
        planning.resolve_routes(communication_ids=[number.pk for number in numbers_added])
    planning.zone(known)
    planning.plan(known)


def _find_taken(campaign_id: int, found: Sequence[Row], faults: dict[int, rows.Faults]) -> None:
    """Add the faults of rows whose numbers or external ids other subscribers of the campaign have. Two statements."""
    digits = [number.digits for row in found for number in row.numbers]
    taken_digits = set(
        Communication.objects.filter(campaign=campaign_id, digits__in=digits).values_list("digits", flat=True)
    )
    external_ids = [row.external_id for row in found if row.external_id]
    taken_ids = set(
        Member.objects.filter(campaign=campaign_id, external_id__in=external_ids).values_list("external_id", flat=True)
    )
    for index, row in enumerate(found):
        for number in row.numbers:
            if number.digits in taken_digits:
                faults.setdefault(index, {}).setdefault(number.path, []).append(
                    gettext("%s belongs to another subscriber of this campaign.") % number.number
                )
        if row.external_id in taken_ids:
            faults.setdefault(index, {}).setdefault("external_id", []).append(
                gettext("“%s” belongs to another subscriber of this campaign.") % row.external_id
            )


def lock_to_add(campaign_id: int, *, auto_run: bool = False) -> bool:
    """Lock a campaign against completion; return whether RUN must follow.

    RUN locks more than uploads do, and two that meet on the way from the one lock to the other would stand still; so
    whoever will run it takes that lock first. One that runs already is only shared: its pass goes on.
    """
    if auto_run and not Campaign.objects.filter(pk=campaign_id, state__in=ACTIVE_STATES).exists():
        locks.no_key(Campaign, [campaign_id])
        return True
    locks.share(Campaign, [campaign_id])
    return auto_run and not Campaign.objects.filter(pk=campaign_id, state__in=ACTIVE_STATES).exists()


def _insert(campaign_id: int, found: Sequence[Row], now: datetime) -> list[int]:
    """Insert rows that were checked, with their numbers, routes and plans; return the ids. Six statements."""
    zoned_by = Campaign.objects.values_list("zone_from_number", flat=True).get(pk=campaign_id)
    members = Member.objects.bulk_create(
        Member(
            campaign_id=campaign_id,
            name=row.name,
            priority=row.priority,
            time_zone=row.time_zone,
            zones=row.zones(zoned_by),
            expire_at=row.expire_at,
            variables=dict(row.variables),
            caller_id=row.caller_id,
            external_id=row.external_id,
            created_at=now,
            due_at=now,
        )
        for row in found
    )
    added = Communication.objects.bulk_create(
        _communication(member, number) for member, row in zip(members, found, strict=True) for number in row.numbers
    )
    planning.resolve_routes(communication_ids=[number.pk for number in added])
    planning.plan([member.pk for member in members], now)
    return [member.pk for member in members]


def _communication(member: Member, number: rows.Number) -> Communication:
    return Communication(
        member_id=member.pk,
        campaign_id=member.campaign_id,
        number=number.number,
        dial=number.dial,
        digits=number.digits,
        priority=number.priority,
        description=number.description,
    )


# --- what attempts do -------------------------------------------------------------------------------------------


def hold(pairs: Sequence[tuple[int, int]]) -> set[int]:
    """Put ready subscribers on a call, each by his attempt; return those taken. ``pairs``: member, attempt.

    One statement.
    """
    if not pairs:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE members_member AS m SET state = 'live', current_attempt_id = pair.attempt"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS pair(member, attempt)"
            " WHERE m.id = pair.member AND m.state = 'ready' RETURNING m.id",
            [[member for member, _ in pairs], [attempt for _, attempt in pairs]],
        )
        return {row[0] for row in cursor.fetchall()}


@transaction.atomic
def let_go(
    member_id: int,
    attempt_id: int,
    *,
    now: datetime,
    communication_id: int | None,
    tried: bool,
    counted: bool,
    minus_in_row: int,
    stop_number_cause: str | None,
    end_cause: str | None,
    success: bool,
    not_before: datetime | None,
    await_result: bool,
) -> bool:
    """End the call of a subscriber: he waits for the next one, is held for its result, or ends.

    ``tried``: his leg was created, so the number has one try more, and a call-back, a sticky operator or the number
    that a result had named are used up; a call-back promised during this very call stands. ``stop_number_cause``: the
    number stops for that cause. Without ``end_cause`` he ends all the same when a person asked for it, when no number
    is left that is not stopped, or when the maximum is reached. ``not_before`` (``None``: at once) is when he is due.
    ``False`` when this attempt does not hold him on a call. The caller wakes the dial loop.
    """
    member = _held_by(member_id, attempt_id, MemberState.LIVE)
    if member is None:
        return False
    number = Communication.objects.filter(pk=communication_id or 0, member=member_id)
    if tried:
        number.update(tries=F("tries") + 1)
        _use_up(member, communication_id)
    if stop_number_cause:
        number.filter(stopped="").update(stopped=StopReason.CAUSE, stop_cause=stop_number_cause, stopped_at=now)
    member.counted += counted
    member.minus_in_row = minus_in_row
    if await_result:
        member.state = MemberState.HELD
        _write(member, MemberState.LIVE)
    else:
        cause = end_cause or _end_of(member, stop_number_cause)
        _settle(member, MemberState.LIVE, now=now, cause=cause, success=success, not_before=not_before)
    return True


def count_late_try(communication_id: int | None, attempt_id: int) -> None:
    """Count a try of a number that became known only after its attempt had ended, unless he was reset since."""
    Communication.objects.filter(pk=communication_id or 0, member__counts_after__lt=attempt_id).update(
        tries=F("tries") + 1
    )


@transaction.atomic
def apply_result(
    member_id: int,
    attempt_id: int,
    *,
    now: datetime,
    reset_counters: bool,
    stop_ids: Sequence[int],
    reactivate_id: int | None,
    new_number: str | None,
    request_next: bool,
    extra_attempts: int,
    end_cause: str | None,
    success: bool,
    not_before: datetime | None,
    counted: bool,
    minus_in_row: int,
    callback: bool = False,
    sticky_operator_id: int | None = None,
) -> bool:
    """Let a result (or that none came) release a subscriber who was held for it: he waits for the next call, or ends.

    ``stop_ids`` stop by the result; ``reactivate_id`` or ``new_number`` (added above his highest priority) is active
    again, and with ``request_next`` the number of the next attempt. ``extra_attempts`` more are granted over the
    maximum. ``reset_counters`` sets his counters and those of his numbers to 0, this attempt's among them; numbers
    that are stopped stay so. Without ``end_cause`` he ends as ``let_go`` rules. ``callback``: ``not_before`` is when he
    is called back, by this operator alone until the campaign's grace is over if one is named; it takes the place of
    what was promised before.

    ``False`` when this attempt does not hold him for a result. Raises ``ValidationError`` for a number that cannot be
    dialled and ``Refused`` (NUMBER_TAKEN) for one of another subscriber. The caller wakes the dial loop.
    """
    member = _held_by(member_id, attempt_id, MemberState.HELD)
    if member is None:
        return False
    his = Communication.objects.filter(member=member_id)
    his.filter(pk__in=stop_ids).exclude(stopped=StopReason.PERSON).update(
        stopped=StopReason.RESULT, stop_cause="", stopped_at=now
    )
    if new_number is not None:
        priority = min((his.aggregate(highest=Max("priority"))["highest"] or 0) + 1, rows.LARGEST)
        try:
            raw = {"number": new_number, "priority": priority}
            reactivate_id = _add_communication(member, raw, rules_of(member.campaign)).pk
        except NumberTaken as error:
            raise Refused("NUMBER_TAKEN", " ".join(error.messages)) from None
    elif reactivate_id is not None:
        his.filter(pk=reactivate_id).update(stopped="", stop_cause="", stopped_at=None)
    if request_next:
        member.requested_communication_id = reactivate_id
    member.counted += counted
    member.minus_in_row = minus_in_row
    if reset_counters:
        his.update(tries=0)
        member.counted = member.minus_in_row = member.extra_attempts = 0
        member.tried = False
        member.counts_after = attempt_id
    member.extra_attempts += extra_attempts
    if callback and not_before is not None:
        member.callback, member.due_at = True, not_before
        grace = timedelta(seconds=member.campaign.call_back_grace)
        member.sticky_operator_id = sticky_operator_id
        member.sticky_until = not_before + grace if sticky_operator_id else None
    _settle(
        member, MemberState.HELD, now=now, cause=end_cause or _end_of(member), success=success, not_before=not_before
    )
    return True


def _held_by(member_id: int, attempt_id: int, state: MemberState) -> Member | None:
    """Read and lock the subscriber whom an attempt holds in a state, with his campaign and the attempt."""
    return (
        Member.objects.select_for_update(of=("self",), no_key=True)
        .select_related("campaign", "current_attempt")
        .filter(pk=member_id, current_attempt=attempt_id, state=state)
        .first()
    )


def _use_up(member: Member, communication_id: int | None) -> None:
    """Clear what was meant for the attempt that was made; a call-back promised since it was reserved stands."""
    attempt = member.current_attempt
    member.tried = True
    if member.requested_communication_id == communication_id:
        member.requested_communication_id = None
    if not (member.callback and attempt and member.due_at > attempt.reserved_at):
        member.callback = False
        member.sticky_operator_id = member.sticky_until = None


def _end_of(member: Member, stop_number_cause: str | None = None) -> str:
    """Return the cause that ends a subscriber whom nobody ended; empty when he goes on."""
    if member.end_requested:
        return "MANAGER_REQUEST"
    if not Communication.objects.filter(member=member.pk, stopped="").exists():
        return stop_number_cause or "NO_COMMUNICATIONS"
    # The maximum as it is now: a call that was on when it was lowered must not leave one over it behind.
    if member.counted >= member.campaign.max_retries + member.extra_attempts:
        return "MAX_TRY_COUNT"
    return ""


def _settle(
    member: Member, leaving: MemberState, *, now: datetime, cause: str, success: bool, not_before: datetime | None
) -> None:
    """Let a held subscriber end with a cause, or without one wait for his next call, planned."""
    member.current_attempt = None
    if cause:
        for name, value in _ended(now, cause, success=success).items():
            setattr(member, name, value)
        _write(member, leaving)
        return
    due_at = not_before or now
    if member.callback:
        # One that was promised meanwhile has its own time; the pause is kept all the same.
        due_at = max(due_at, member.due_at)
    member.state, member.due_at, member.due_at_unlisted = MemberState.WAITING, due_at, None
    _write(member, leaving)
    planning.plan([member.pk], now)


_WRITTEN = (
    "state", "current_attempt_id", "due_at", "due_at_unlisted", "callback", "tried", "sticky_operator_id",
    "sticky_until", "next_communication_id", "next_gateway_id", "requested_communication_id", "counted",
    "minus_in_row", "extra_attempts", "counts_after", "end_cause", "success", "ended_at", "end_requested",
)  # fmt: skip
"""What the end of an attempt may change of a subscriber."""


def _write(member: Member, leaving: MemberState) -> None:
    """Write a locked subscriber back, if he still is in the state that he leaves."""
    values = {name: getattr(member, name) for name in _WRITTEN}
    if not Member.objects.filter(pk=member.pk, state=leaving).update(**values):
        raise RuntimeError(f"Subscriber {member.pk} was changed by somebody who did not lock him.")


def _ended(now: datetime, cause: str, *, success: bool = False) -> dict[str, Any]:
    """Return the values of a subscriber who ends."""
    return {
        "state": MemberState.ENDED,
        "end_cause": cause,
        "success": success,
        "ended_at": now,
        "end_requested": False,
        "current_attempt_id": None,
        "callback": False,
        "sticky_operator_id": None,
        "sticky_until": None,
        "next_communication_id": None,
        "next_gateway_id": None,
        "requested_communication_id": None,
        "due_at_unlisted": None,
    }


# --- what the clock does ----------------------------------------------------------------------------------------


def make_due_ready(now: datetime, limit: int = 5000) -> int:
    """Make those ready whose due has come, the longest due first; return how many. One statement."""
    return _execute(
        "UPDATE members_member SET state = 'ready' WHERE id = ANY(ARRAY("
        " SELECT id FROM members_member"
        " WHERE state = 'waiting' AND next_communication_id IS NOT NULL AND due_at <= %s"
        " ORDER BY due_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED)) AND state = 'waiting'",
        [now, limit],
    )


@transaction.atomic
def expire_due(now: datetime, limit: int = 5000) -> int:
    """End those who have expired and are not on a call nor held for a result; return how many. One statement."""
    expired = Member.objects.filter(state__in=OPEN_STATES, expire_at__lte=now).order_by("expire_at")
    return _end(expired[:limit], now, "MEMBER_EXPIRED", skip_locked=True)


def clear_past_stickies(now: datetime) -> int:
    """Let every operator have the subscribers whose own operator's time is over; return how many. One statement."""
    return _execute(
        "UPDATE members_member SET sticky_operator_id = NULL, sticky_until = NULL WHERE id = ANY(ARRAY("
        " SELECT id FROM members_member WHERE sticky_operator_id IS NOT NULL AND sticky_until <= %s"
        " FOR NO KEY UPDATE SKIP LOCKED))",
        [now],
    )


@transaction.atomic
def end_over_maximum(campaign_id: int) -> int:
    """End the open subscribers of a campaign who have reached its maximum; return how many. One statement."""
    over = Member.objects.filter(
        campaign=campaign_id,
        state__in=OPEN_STATES,
        counted__gte=F("campaign__max_retries") + F("extra_attempts"),
    ).order_by("pk")
    return _end(over, clock.now(), "MAX_TRY_COUNT")


def _end(members: QuerySet[Member], now: datetime, cause: str, *, skip_locked: bool = False) -> int:
    """End open subscribers. One statement, in the caller's transaction."""
    locked = members.select_for_update(no_key=True, skip_locked=skip_locked, of=("self",)).values("pk")
    return Member.objects.filter(pk__in=locked, state__in=OPEN_STATES).update(**_ended(now, cause))


def _execute(statement: str, parameters: Sequence[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


# --- what people do to subscribers ------------------------------------------------------------------------------


@transaction.atomic
def update_member(member: Member, changes: Mapping[str, Any], *, zone: str | None = None, by: Person = None) -> Member:
    """Change fields of a subscriber, named and written as in a row of an upload; his numbers have actions of their own.

    An ``expire`` without an offset is read on the wall clock of ``zone``, else of the calendar; with an empty ``zone``
    it is a fault. A live attempt keeps what it was decided by. Raises ``RowsRefused`` with every fault by field.
    """
    locks.share(Campaign, [member.campaign_id])  # another zone may let him be called
    values, faults = rows.read_changes(changes, rules_of(member.campaign, zone))
    external_id = values.get("external_id")
    others = Member.objects.filter(campaign=member.campaign_id, external_id=external_id).exclude(pk=member.pk)
    if external_id and others.exists():
        faults["external_id"] = [gettext("“%s” belongs to another subscriber of this campaign.") % external_id]
    if faults:
        raise RowsRefused({0: faults}, 1)
    if values:
        Member.objects.filter(pk=member.pk).update(**values)
        if "time_zone" in values:
            planning.zone([member.pk])
        verbs.wake()
        _log("members.changed", member, by, fields=sorted(changes))
    member.refresh_from_db()
    return member


@dataclass(frozen=True, slots=True)
class EndCount:
    """How many a person's wish ended at once, and how many end after the call they are on."""

    ended: int = 0
    after_call: int = 0


def end_member(member: Member, *, by: Person = None) -> EndCount:
    """End a subscriber with ``MANAGER_REQUEST``, after his call if he is on one.

    Raises ``Refused`` when he has ended.
    """
    count = end_members(Member.objects.filter(pk=member.pk), by=by)
    if count == EndCount():
        raise Refused("WRONG_STATE", gettext("“%s” has ended already.") % member)
    return count


def end_members(members: QuerySet[Member], *, by: Person = None) -> EndCount:
    """End subscribers with ``MANAGER_REQUEST``; those on a call after it, those who are not yet being called at once.

    In batches, each in a transaction of its own.
    """
    ids = list(members.exclude(state=MemberState.ENDED).order_by("pk").values_list("pk", flat=True))
    ended = after_call = 0
    for batch in planning.batches(ids):
        with transaction.atomic():
            _withdraw_those_of(batch)
            locks.no_key(Member, batch)
            chosen = Member.objects.filter(pk__in=batch)
            ended += chosen.filter(state__in=[*OPEN_STATES, MemberState.HELD]).update(
                **_ended(clock.now(), "MANAGER_REQUEST")
            )
            after_call += chosen.filter(state=MemberState.LIVE).update(end_requested=True)
    log.info("members.ended", extra={"ended": ended, "after_call": after_call, "by": _pk(by)})
    return EndCount(ended, after_call)


def _withdraw_those_of(member_ids: Collection[int]) -> None:
    """Withdraw the attempts on subscribers whose own phones do not ring yet. Before any of them is locked."""
    unbegun = Attempt.objects.live().filter(member__in=member_ids, subscriber_created_at__isnull=True)
    digits: dict[int, list[str]] = {}
    for campaign_id, number in unbegun.values_list("campaign_id", "digits"):
        digits.setdefault(campaign_id, []).append(number)
    for campaign_id, several in digits.items():
        verbs.withdraw_number(several, campaign_id=campaign_id)


def count_resettable(members: QuerySet[Member], *, include_successful: bool = False) -> int:
    """Return how many ``reset_members`` would reset."""
    return _resettable(members, include_successful).count()


def reset_members(members: QuerySet[Member], *, include_successful: bool = False, by: Person = None) -> int:
    """Let ended subscribers be called again from the beginning; return how many.

    Their counters start at 0, and numbers that an error cause stopped start again; those that a result or a person
    stopped do not. Successful ones only if ``include_successful``; the expired, the hidden and those without a number
    that could start stay as they are. In batches, each in a transaction of its own.
    """
    ids = list(_resettable(members, include_successful).order_by("pk").values_list("pk", flat=True))
    count = sum(_reset(batch, include_successful) for batch in planning.batches(ids))
    verbs.wake()
    log.info("members.reset", extra={"members": count, "by": _pk(by)})
    return count


def _resettable(members: QuerySet[Member], include_successful: bool) -> QuerySet[Member]:
    chosen = Member.objects.filter(pk__in=members.order_by().values("pk"))
    return chosen.resettable(clock.now(), include_successful=include_successful)


@transaction.atomic
def _reset(ids: Sequence[int], include_successful: bool) -> int:
    now = clock.now()
    locks.share(Campaign, set(Member.objects.filter(pk__in=ids).values_list("campaign_id", flat=True)))
    locks.no_key(Member, ids)
    still = list(_resettable(Member.objects.filter(pk__in=ids), include_successful).values_list("pk", flat=True))
    numbers_of = Communication.objects.filter(member__in=still)
    numbers_of.filter(stopped=StopReason.CAUSE).update(stopped="", stop_cause="", stopped_at=None)
    numbers_of.filter(tries__gt=0).update(tries=0)
    last_attempt = Attempt.objects.filter(member=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    count = Member.objects.filter(pk__in=still, state=MemberState.ENDED).update(
        state=MemberState.WAITING,
        end_cause="",
        success=False,
        ended_at=None,
        due_at=now,
        tried=False,
        counted=0,
        minus_in_row=0,
        extra_attempts=0,
        counts_after=Coalesce(Subquery(last_attempt), 0),
    )
    planning.plan(still, now)
    return count


@dataclass(frozen=True, slots=True)
class DeleteCount:
    """How many were deleted, and how many are kept, hidden and ended, since they had been called."""

    deleted: int = 0
    hidden: int = 0


def delete_members(members: QuerySet[Member], *, by: Person = None) -> DeleteCount:
    """Delete the subscribers who never had an attempt; end (a call goes on to its end) and hide the others.

    In batches, each in a transaction of its own.
    """
    deleted = hidden = 0
    for batch in planning.batches(list(members.order_by("pk").values_list("pk", flat=True))):
        with transaction.atomic():
            _withdraw_those_of(batch)
            chosen = Member.objects.filter(pk__in=batch)
            # The strongest lock: no claim may insert an attempt on one who is being deleted.
            locked = list(chosen.select_for_update().order_by("pk").values_list("pk", flat=True))
            called = chosen.filter(Exists(Attempt.objects.filter(member=OuterRef("pk"))))
            kept = set(called.values_list("pk", flat=True))
            hidden += called.update(hidden=True)
            end_members(chosen)
            chosen.exclude(pk__in=kept).delete()
            deleted += len(locked) - len(kept)
    log.info("members.deleted", extra={"deleted": deleted, "hidden": hidden, "by": _pk(by)})
    return DeleteCount(deleted, hidden)


_TAKE_OUT = """
WITH numbers AS (DELETE FROM members_communication WHERE member_id = ANY(%(ids)s))
DELETE FROM members_member WHERE id = ANY(%(ids)s)
"""


def take_out_uncalled(member_ids: Collection[int]) -> int:
    """Delete those of some subscribers who never had an attempt; return how many. Three statements.

    Must run in a transaction.
    """
    # The strongest lock: no claim may insert an attempt on one who is being deleted; whoever has one is seen after it.
    chosen = Member.objects.filter(pk__in=member_ids)
    locked = list(chosen.select_for_update().order_by("pk").values_list("pk", flat=True))
    called = set(Attempt.objects.filter(member__in=locked).order_by().values_list("member_id", flat=True))
    gone = [pk for pk in locked if pk not in called]
    if gone:
        with connection.cursor() as cursor:
            cursor.execute(_TAKE_OUT, {"ids": gone})
    return len(gone)


def anonymise(members: QuerySet[Member], *, by: Person = None) -> int:
    """Take out of subscribers, their numbers and their attempts whatever tells who they are; return how many.

    Those who were never called are deleted, the others ended and hidden first. Whoever is on a call stays as he is
    until it has ended, and is not in the count: ask again then.
    """
    ids = list(members.values_list("pk", flat=True))
    gone = delete_members(Member.objects.filter(pk__in=ids), by=by).deleted
    made = sum(_anonymise(batch) for batch in planning.batches(ids))
    log.info("members.anonymised", extra={"members": made + gone, "by": _pk(by)})
    return made + gone


@transaction.atomic
def _anonymise(ids: Sequence[int]) -> int:
    ended = list(
        Member.objects.select_for_update(no_key=True)
        .filter(pk__in=ids, state=MemberState.ENDED)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    Member.objects.filter(pk__in=ended).update(name="", external_id=None, variables={})
    # What stands for a number can be neither dialled nor typed by chance, and stays the key to its attempts.
    alias = Concat(Value("*#*"), Cast("pk", CharField()))
    Communication.objects.filter(member__in=ended).update(
        number=alias, dial=alias, digits=alias, description="", stopped=StopReason.PERSON
    )
    Attempt.objects.filter(member__in=ended).update(
        digits=Concat(Value("*#*"), Cast("communication_id", CharField())),
        variables={},
        variables_left_out=[],
        comment="",
        result=_without_words("result"),
    )
    ResultReport.objects.filter(member__in=ended).update(body=_without_words("body"))
    LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Member), object_id__in=[str(pk) for pk in ended]
    ).update(object_repr="", change_message="")
    return len(ended)


def _without_words(column: str) -> Func:
    """Return a reported result without its comment and its numbers."""
    words = Value(["comment", "next_communication", "stop_communications"], ArrayField(TextField()))
    return Func(F(column), words, template="(%(expressions)s)", arg_joiner=" - ", output_field=JSONField())


STICKY_FOR: Final = timedelta(hours=1)


@transaction.atomic
def set_callback(
    member: Member,
    at: datetime,
    operator: Operator | None = None,
    sticky_for: timedelta = STICKY_FOR,
    *,
    by: Person = None,
) -> Member:
    """Have a subscriber called back at an instant, before all others that are due then.

    With ``operator`` nobody else calls him until ``sticky_for`` after that instant. During a call, or while its result
    is awaited, it holds for the time after. Raises ``Refused`` when he has ended, ``ValidationError`` by field.
    """
    now = clock.now()
    locked = Member.objects.select_for_update(no_key=True).get(pk=member.pk)
    if locked.state == MemberState.ENDED or locked.end_requested:
        raise Refused("WRONG_STATE", gettext("“%s” has ended: reset him before he can be called back.") % member)
    if locked.expire_at and at >= locked.expire_at:
        raise ValidationError({"at": gettext("He expires before that.")})
    if operator and not Tier.objects.filter(campaign=locked.campaign_id, operator=operator).exists():
        raise ValidationError({"operator": gettext("%s is not assigned to this campaign.") % operator})
    at = max(at, now)
    Member.objects.filter(pk=member.pk).exclude(state=MemberState.ENDED).update(
        callback=True,
        due_at=at,
        due_at_unlisted=None,
        sticky_operator=operator,
        sticky_until=at + sticky_for if operator else None,
    )
    planning.plan([member.pk], now)
    verbs.wake()
    _log("members.callback", member, by, at=at.isoformat(), operator=operator and operator.pk)
    member.refresh_from_db()
    return member


# --- what people do to numbers ----------------------------------------------------------------------------------


@transaction.atomic
def add_number(
    member: Member, number: str, *, priority: int = 0, description: str = "", by: Person = None
) -> Communication:
    """Give a subscriber one number more. Raises ``RowsRefused`` with every fault by field; a number may be taken."""
    _lock(member)
    rules = rules_of(member.campaign)
    added = _add_communication(member, {"number": number, "priority": priority, "description": description}, rules)
    planning.plan([member.pk])
    verbs.wake()
    _log("members.number_added", member, by, number=added.pk)
    return added


@transaction.atomic
def update_number(number: Communication, *, priority: int, description: str, by: Person = None) -> Communication:
    """Change the priority and the description of a number. Raises ``RowsRefused`` with every fault by field."""
    _lock(number.member)
    # Without the region: the number stays as it is, which the campaign may not have had when it was entered.
    raw = {"number": number.dial, "priority": priority, "description": description}
    read, faults = rows.read_number(raw, rows.Rules())
    if faults or read is None:
        raise RowsRefused({0: faults}, 1)
    Communication.objects.filter(pk=number.pk).update(priority=read.priority, description=read.description)
    planning.zone([number.member_id])
    planning.plan([number.member_id])
    number.refresh_from_db()
    return number


def stop_number(number: Communication, *, by: Person = None) -> None:
    """Call a number no more. See ``stop_numbers``."""
    stop_numbers(number.member, [number], by=by)


@transaction.atomic
def stop_numbers(member: Member, several: Sequence[Communication], *, by: Person = None) -> None:
    """Call these numbers of a subscriber no more; a call goes on to its end, one that has not begun is withdrawn.

    He ends when they were his last ones: ``NO_COMMUNICATIONS``. Must come before whatever else locks him.
    """
    verbs.withdraw_number([number.digits for number in several], campaign_id=member.campaign_id)
    _lock(member)
    his = Communication.objects.filter(member=member.pk)
    his.filter(pk__in=[number.pk for number in several]).update(
        stopped=StopReason.PERSON, stop_cause="", stopped_at=clock.now()
    )
    _end_without_numbers(member.pk)
    _log("members.numbers_stopped", member, by, numbers=[number.pk for number in several])


@transaction.atomic
def reactivate_number(number: Communication, *, by: Person = None) -> None:
    """Let a stopped number be called again; a subscriber who has ended stays so until he is reset."""
    _lock(number.member)
    Communication.objects.filter(pk=number.pk).update(stopped="", stop_cause="", stopped_at=None)
    planning.plan([number.member_id])
    verbs.wake()
    _log("members.number_reactivated", number.member, by, number=number.pk)


@transaction.atomic
def delete_number(number: Communication, *, by: Person = None) -> None:
    """Delete a number. Raises ``Refused`` for one that was called (stop it), and for a subscriber's only one."""
    _lock(number.member)
    if Attempt.objects.filter(communication=number).exists():
        raise Refused("HAS_ATTEMPTS", gettext("%s has been called: stop it instead.") % number)
    if not Communication.objects.filter(member=number.member_id).exclude(pk=number.pk).exists():
        raise Refused("LAST_NUMBER", gettext("%s is the only number: a subscriber needs one.") % number)
    # Nobody is ready without the number that he is ready for.
    Member.objects.filter(pk=number.member_id, state=MemberState.READY, next_communication=number).update(
        state=MemberState.WAITING, next_communication=None, next_gateway=None
    )
    Communication.objects.filter(pk=number.pk).delete()
    planning.zone([number.member_id])
    _end_without_numbers(number.member_id)
    _log("members.number_deleted", number.member, by)


def _lock(member: Member) -> None:
    """Lock a subscriber's campaign against completion, then him."""
    locks.share(Campaign, [member.campaign_id])
    locks.no_key(Member, [member.pk])


def _end_without_numbers(member_id: int) -> None:
    """End a locked subscriber who has no number left that is not stopped, or plan him anew."""
    if Communication.objects.filter(member=member_id, stopped="").exists():
        planning.plan([member_id])
    else:
        Member.objects.filter(pk=member_id, state__in=OPEN_STATES).update(**_ended(clock.now(), "NO_COMMUNICATIONS"))


class NumberTaken(RowsRefused):
    """A number that another subscriber of the campaign has."""


def _add_communication(member: Member, raw: Mapping[str, Any], rules: rows.Rules) -> Communication:
    """Insert a number of a locked subscriber, with its route, and zone him anew.

    Raises ``RowsRefused``, ``NumberTaken`` among them.
    """
    read, faults = rows.read_number(raw, rules)
    if read is None or faults:
        raise RowsRefused({0: faults}, 1)
    try:
        with transaction.atomic():
            added = _communication(member, read)
            added.save(force_insert=True)
    except IntegrityError:
        owner = Communication.objects.filter(campaign=member.campaign_id, digits=read.digits).first()
        if owner is None:
            raise
        if owner.member_id == member.pk:
            raise RowsRefused({0: {"number": [gettext("He has %s already.") % read.number]}}, 1) from None
        told = gettext("%s belongs to another subscriber of this campaign.") % read.number
        raise NumberTaken({0: {"number": [told]}}, 1) from None
    planning.resolve_routes(communication_ids=[added.pk])
    planning.zone([member.pk])
    return added


# --- do-not-call lists ------------------------------------------------------------------------------------------


def add_do_not_call(
    number: str,
    campaign: Campaign | None = None,
    expire_at: datetime | None = None,
    reason: str = "",
    *,
    by: Person = None,
) -> DoNotCall:
    """Have a number never called, or not before an instant, by a campaign or by any.

    It is read as the campaign reads its numbers; for all campaigns there is no region, and the digits are what counts.
    One that is listed already gets the new terms. Whoever has it is planned anew, and an attempt on it whose
    subscriber's leg does not exist yet is withdrawn. Raises ``ValidationError`` by field.
    """
    try:
        digits = numbers.clean(number, campaign.default_region if campaign else "").digits
    except ValueError as error:
        raise ValidationError({"digits": str(error)}) from None
    add_many_do_not_call([Listing(digits, expire_at, reason)], campaign, by=by)
    return DoNotCall.objects.get(digits=digits, campaign=campaign)


class Listing(NamedTuple):
    """A number for a do-not-call list, as ``numbers.clean`` gives its digits, and until when it is not called."""

    digits: str
    expire_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ListCount:
    """What became of numbers for a do-not-call list."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0


def add_many_do_not_call(
    entries: Collection[Listing], campaign: Campaign | None = None, *, by: Person = None
) -> ListCount:
    """Have numbers never called, or not before an instant, by a campaign or by any; the last entry of a number holds.

    In batches of a constant number of statements, each of which holds at once for every later claim: those listed
    already get the new terms, attempts on them whose subscriber's leg does not exist yet are withdrawn, and whoever has
    one is planned anew. To do it again changes nothing. Raises ``ValidationError`` for an instant that has passed.
    """
    begun = clock.now()
    if any(entry.expire_at and entry.expire_at <= begun for entry in entries):
        raise ValidationError({"expire_at": gettext("This instant has passed.")})
    campaign_id = campaign.pk if campaign else None
    last = {entry.digits: entry for entry in entries}
    added = updated = 0
    for batch in planning.batches([last[digits] for digits in sorted(last)]):
        digits = [entry.digits for entry in batch]
        with transaction.atomic():
            # No pass claims from here to the end of the transaction: whatever was reserved was so before the entry,
            # and is found. What takes long comes after it.
            verbs.withdraw_number(digits, campaign_id=campaign_id)
            for is_new in _list(batch, campaign_id, clock.now()):
                added, updated = added + is_new, updated + (not is_new)
        planning.plan_those_with(digits, campaign_id)
    verbs.wake()
    count = ListCount(added, updated, len(last) - added - updated)
    log.info("do_not_call.added", extra={**asdict(count), "campaign": campaign_id, "by": _pk(by)})
    return count


_LIST = """
INSERT INTO members_donotcall AS d (digits, campaign_id, expire_at, reason, created_at)
SELECT entry.digits, %(campaign)s::bigint, entry.expire_at, entry.reason, %(now)s
FROM unnest(%(digits)s::text[], %(expire_at)s::timestamptz[], %(reason)s::text[]) AS entry(digits, expire_at, reason)
ORDER BY entry.digits
ON CONFLICT ON CONSTRAINT do_not_call_once DO UPDATE SET expire_at = EXCLUDED.expire_at, reason = EXCLUDED.reason
WHERE (d.expire_at, d.reason) IS DISTINCT FROM (EXCLUDED.expire_at, EXCLUDED.reason)
RETURNING d.xmax = 0
"""


def _list(batch: Sequence[Listing], campaign_id: int | None, now: datetime) -> list[bool]:
    """Write entries; return of each that was added or changed whether it is new. Two statements."""
    columns = {name: [getattr(entry, name) for entry in batch] for name in Listing._fields}
    # An entry whose time is over says nothing of the time since: this is a new one.
    DoNotCall.objects.filter(digits__in=columns["digits"], campaign=campaign_id, expire_at__lte=now).delete()
    with connection.cursor() as cursor:
        cursor.execute(_LIST, {**columns, "campaign": campaign_id, "now": now})
        return [row[0] for row in cursor.fetchall()]


def update_do_not_call(entry: DoNotCall, expire_at: datetime | None, reason: str, *, by: Person = None) -> None:
    """Give an entry new terms; its number stays as it is. Raises ``ValidationError`` by field."""
    add_many_do_not_call([Listing(entry.digits, expire_at, reason)], entry.campaign, by=by)


def remove_do_not_call(digits: str, campaign: Campaign | None = None, *, by: Person = None) -> bool:
    """Take a number off a do-not-call list and plan anew whoever has it; ``False`` when it was not listed there."""
    return bool(remove_many_do_not_call([digits], campaign, by=by))


def remove_many_do_not_call(digits: Collection[str], campaign: Campaign | None = None, *, by: Person = None) -> int:
    """Take numbers off a do-not-call list and plan anew whoever has one; return how many were listed there.

    In batches of a constant number of statements, each in a transaction of its own.
    """
    campaign_id = campaign.pk if campaign else None
    removed = 0
    for batch in planning.batches(sorted(set(digits))):
        with transaction.atomic():
            count, _ = DoNotCall.objects.filter(digits__in=batch, campaign=campaign).delete()
            if count:
                planning.plan_those_with(batch, campaign_id)
                verbs.wake()
        removed += count
    log.info("do_not_call.removed", extra={"removed": removed, "campaign": campaign_id, "by": _pk(by)})
    return removed


def _log(event: str, member: Member, by: Person, **keys: object) -> None:
    log.info(event, extra={"campaign": member.campaign_id, "member": member.pk, "by": _pk(by), **keys})


def _pk(by: Person) -> int | None:
    return by.pk if by else None
