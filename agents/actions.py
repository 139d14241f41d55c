"""Every write to operators that means something: who may call, what it changes, and what it leaves to the call.

The status is chosen by a person, the state is kept by the system. A state is changed by guarded updates alone; one
that an attempt causes also asks that this attempt still holds the operator, and answers ``False`` when it does not:
in the listener that is normal (an event that came twice, or late).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Case, Exists, F, IntegerField, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, NullIf
from django.utils.translation import gettext as _

from agents import directory
from agents.models import (
    AWAY_STATUSES,
    BUSY_STATES,
    READY_STATUSES,
    Operator,
    OperatorPhone,
    OperatorState,
    OperatorStatus,
    Registration,
    Tier,
)
from dialer import clock, verbs
from dialer.errors import Refused

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

log = logging.getLogger(__name__)

SHORTEST_PASSWORD = 10
"""Characters of a phone password; the internet tries short ones within hours."""
CLIENT_GRACE = timedelta(seconds=60)
"""How long a lost client may take to come back before its operator is logged out."""
MOST_REASON = 200
"""Characters of a reason that are kept."""


# --- set-up -----------------------------------------------------------------------------------------------------


@transaction.atomic
def create_operator(**fields: Any) -> Operator:
    """Add an operator, logged out. Raises ``ValidationError`` by field."""
    operator = Operator(**fields)
    operator.full_clean()
    operator.save()
    return operator


@transaction.atomic
def update_operator(operator_id: int, **changes: Any) -> Operator:
    """Change parameters of an operator; a call that is under way keeps those it was decided by.

    An archived one is logged out, after his call if he is on one. A phone password is lost with the extension it was
    hashed for; the secret of a phone in the page with that, with its user and with the choice of another phone. Raises
    ``ValidationError`` by field.
    """
    operator = _lock(operator_id)
    if changes.get("extension", operator.extension) != operator.extension:
        changes.setdefault("sip_password_a1", "")
    if any(name in changes and changes[name] != getattr(operator, name) for name in ("extension", "phone", "user")):
        changes |= {"page_phone_a1": "", "page_phone_until": None}
    for name, value in changes.items():
        setattr(operator, name, value)
    operator.full_clean()
    operator.save(update_fields=list(changes))
    if operator.archived and "archived" in changes:
        operator = set_status(operator_id, OperatorStatus.LOGGED_OUT, reason="archived")
    verbs.wake()
    return operator


@transaction.atomic
def set_sip_password(operator_id: int, realm: str, password: str) -> Operator:
    """Let an operator's phone log in to ``realm`` with this password from now on. Kept is its hash alone.

    Raises ``ValidationError`` when it is shorter than 10 characters, or no password that one can type.
    """
    if len(password) < SHORTEST_PASSWORD or not password.isprintable():
        raise ValidationError(
            {"phone_password": _("At least %d characters, no control characters.") % SHORTEST_PASSWORD}
        )
    operator = _lock(operator_id)
    operator.sip_password_a1 = directory.digest_a1(operator.extension, realm, password)
    operator.save(update_fields=["sip_password_a1"])
    return operator


@transaction.atomic
def give_phone_secret(operator_id: int, realm: str, lasts: timedelta) -> tuple[str, datetime]:
    """Make the secret that an operator's phone in the page logs in to ``realm`` with; return it and its last instant.

    Kept is its hash alone. The one before is void from now on: one phone an operator. What is registered stays so until
    it must register again, which takes the new secret. Raises ``Refused`` (WRONG_PHONE) for one with a hard phone or
    who has left.
    """
    operator = _lock(operator_id)
    if operator.phone != OperatorPhone.PAGE or operator.archived:
        raise Refused("WRONG_PHONE", _("Your phone is not in the page. A supervisor can change that: Operators, Edit."))
    secret = secrets.token_urlsafe(32)
    operator.page_phone_a1 = directory.digest_a1(operator.extension, realm, secret)
    operator.page_phone_until = clock.now() + lasts
    operator.save(update_fields=["page_phone_a1", "page_phone_until"])
    return secret, operator.page_phone_until


@transaction.atomic
def set_tiers(campaign_id: int, places: Mapping[int, tuple[int, int]]) -> None:
    """Make ``places`` (operator to level and position) the whole of who serves a campaign.

    A call that is under way goes on. Raises ``ValidationError`` for operators that do not exist.
    """
    known = set(Operator.objects.filter(pk__in=places).values_list("pk", flat=True))
    if missing := sorted(set(places) - known):
        raise ValidationError({"operator": _("There is no operator %s.") % ", ".join(map(str, missing))})
    Tier.objects.filter(campaign=campaign_id).exclude(operator__in=places).delete()
    Tier.objects.bulk_create(
        (
            Tier(campaign_id=campaign_id, operator_id=operator, level=level, position=position)
            for operator, (level, position) in places.items()
        ),
        update_conflicts=True,
        unique_fields=["campaign", "operator"],
        update_fields=["level", "position"],
    )
    verbs.wake()


# --- what a person chooses --------------------------------------------------------------------------------------


@transaction.atomic
def set_status(
    operator_id: int, status: str, *, by: AbstractBaseUser | AnonymousUser | None = None, reason: str = ""
) -> Operator:
    """Change the status that a person chose, and return the operator as he then is.

    Reserved and nothing sent: his attempt is withdrawn first. Ringing or talking: the call goes on, the status is
    stored and holds after the wrap-up. In wrap-up an absence holds at once, otherwise the wrap-up goes on. Leaving a
    forced break sets the no-answer count to 0. ``by`` and ``reason`` are kept with the period that begins. Raises
    ``ValidationError`` for a word that is no status, ``Refused`` (ARCHIVED) for one who has left.
    """
    if status not in OperatorStatus.values:
        raise ValidationError({"status": _("“%(status)s” is not a status.") % {"status": status}})
    chosen = OperatorStatus(status)
    operator = _lock(operator_id)
    if operator.archived and chosen in READY_STATUSES:
        raise Refused("ARCHIVED", _("%(operator)s is archived: take that back first.") % {"operator": operator})
    if operator.state == OperatorState.RESERVED and chosen != operator.status:
        verbs.withdraw_unsent(operator_id=operator_id)
        operator.refresh_from_db()
    now = clock.now()
    changes: dict[str, Any] = {"changed_by": getattr(by, "pk", None), "change_reason": reason[:MOST_REASON]}
    if operator.state in BUSY_STATES:
        changes |= {"next_status": "" if chosen == operator.status else chosen}
    elif chosen == operator.status:
        changes = {"next_status": ""}
    else:
        changes |= {"status": chosen, "status_since": now, "next_status": "", "forced_break": False}
        if operator.forced_break:
            changes["no_answer_count"] = 0
        if chosen in AWAY_STATUSES and operator.state != OperatorState.IDLE:
            changes |= {"state": OperatorState.IDLE, "state_since": now, "wrap_up_until": None}
        elif chosen in READY_STATUSES and operator.state == OperatorState.IDLE:
            changes |= {"state": OperatorState.WAITING, "state_since": now, "idle_since": now}
    Operator.objects.filter(pk=operator_id, state=operator.state).update(**changes)
    verbs.wake()
    verbs.tell_operators(operator_id)
    log.info(
        "Status %s chosen in state %s%s",
        chosen.value,
        operator.state,
        f": {reason}" if reason else "",
        extra={"operator": operator_id, "by": getattr(by, "pk", None)},
    )
    operator.refresh_from_db()
    return operator


@transaction.atomic
def ready(operator_id: int) -> Operator:
    """Let an operator have calls again: end his wrap-up early, or take one on demand from Idle to Waiting.

    One who is Waiting stays so. Raises ``Refused`` (WRONG_STATE) on a call, or when his status is an absence.
    """
    operator = _lock(operator_id)
    now = clock.now()
    if operator.state == OperatorState.WRAP_UP:
        wrapping = Operator.objects.filter(pk=operator_id, state=OperatorState.WRAP_UP)
        _free(wrapping, now=now, rests=False, idle_since=now)
    elif operator.state == OperatorState.IDLE and operator.status in READY_STATUSES:
        Operator.objects.filter(pk=operator_id, state=OperatorState.IDLE).update(
            state=OperatorState.WAITING, state_since=now, idle_since=now
        )
    elif operator.state != OperatorState.WAITING:
        raise Refused(
            "WRONG_STATE",
            _("%(operator)s is on a call.") % {"operator": operator}
            if operator.state in BUSY_STATES
            else _("%(operator)s is %(status)s: he becomes Available first.")
            % {"operator": operator, "status": operator.get_status_display()},
        )
    verbs.wake()
    verbs.tell_operators(operator_id)
    operator.refresh_from_db()
    return operator


# --- what an attempt does to him --------------------------------------------------------------------------------


def reserve(pairs: Sequence[tuple[int, int]], now: datetime) -> set[int]:
    """Hold waiting operators for their attempts, given as (operator, attempt); return the operators it got.

    One statement; locks in the order of ids.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH pair AS (
                SELECT o.id, asked.attempt
                FROM unnest(%(operators)s::bigint[], %(attempts)s::bigint[]) AS asked(operator, attempt)
                JOIN agents_operator AS o ON o.id = asked.operator
                WHERE o.state = 'waiting'
                ORDER BY o.id FOR NO KEY UPDATE OF o
            )
            UPDATE agents_operator AS o
            SET state = 'reserved', state_since = %(now)s, current_attempt_id = pair.attempt
            FROM pair WHERE o.id = pair.id AND o.state = 'waiting'
            RETURNING o.id
            """,
            {"operators": [pair[0] for pair in pairs], "attempts": [pair[1] for pair in pairs], "now": now},
        )
        reserved = {row[0] for row in cursor.fetchall()}
    if reserved:
        verbs.tell_operators(*reserved)
    return reserved


def receiving(operator_id: int, attempt_id: int, at: datetime) -> bool:
    """His phone rings since ``at``; ``False`` when the attempt does not hold him, or he is further already."""
    verbs.tell_operators(operator_id)
    return bool(
        Operator.objects.filter(pk=operator_id, current_attempt=attempt_id, state=OperatorState.RESERVED).update(
            state=OperatorState.RECEIVING, state_since=at
        )
    )


def in_call(operator_id: int, attempt_id: int, at: datetime) -> bool:
    """He is in a queue call since ``at``; ``False`` when the attempt does not hold him, or he is in it already."""
    verbs.tell_operators(operator_id)
    earlier = (OperatorState.RESERVED, OperatorState.RECEIVING)
    return bool(
        Operator.objects.filter(pk=operator_id, current_attempt=attempt_id, state__in=earlier).update(
            state=OperatorState.IN_CALL, state_since=at
        )
    )


def release(
    operator_id: int,
    attempt_id: int,
    *,
    now: datetime,
    at: datetime,
    state: str,
    wrap_up_until: datetime | None,
    ready_at: datetime | None,
    no_answer_count: int,
    forced_break: bool,
    bridged: bool,
    talk_seconds: float,
) -> bool:
    """Let an operator go from his attempt, whose call was over for him at ``at``; ``False`` if it does not hold him.

    ``state`` is Wrap up (with ``wrap_up_until``) or Waiting. A status stored during the call holds after the wrap-up,
    or now when there is none; then he is Waiting only if that status is one to get calls in, and one on demand whose
    call was bridged is Idle until he says ready. A forced break gives way to an absence that he chose himself.
    Only a bridged call counts as his. It moves him to the end of the longest idle, and so does one that he did not take
    (it has a ``ready_at``): the phones that take none must not be rung in turn for ever, before one that would.
    """
    held = Operator.objects.filter(pk=operator_id, current_attempt=attempt_id, state__in=BUSY_STATES)
    values: dict[str, Any] = {
        "ready_at": ready_at,
        "no_answer_count": no_answer_count,
        "last_attempt": attempt_id,
    }
    if bridged:
        values |= {"calls": F("calls") + 1, "talk_seconds": F("talk_seconds") + round(talk_seconds), "idle_since": at}
    elif ready_at:
        values["idle_since"] = ready_at
    if state == OperatorState.WRAP_UP:
        freed = held.update(
            state=OperatorState.WRAP_UP, state_since=at, wrap_up_until=wrap_up_until, current_attempt=None, **values
        )
    else:
        freed = _free(held, now=now, rests=bridged, forced=forced_break, **values)
    if freed:
        verbs.wake()
        verbs.tell_operators(operator_id)
    return bool(freed)


def correct_talk(operator_id: int, seconds: int, *, calls: int = 0) -> None:
    """Add to what an operator has talked what later evidence tells of a call of his; negative takes away.

    ``calls`` is how many calls it makes more.
    """
    Operator.objects.filter(pk=operator_id).update(talk_seconds=F("talk_seconds") + seconds, calls=F("calls") + calls)


def end_wrap_ups(now: datetime) -> int:
    """End every wrap-up that is over; return how many. One statement over a partial index."""
    return _end_wrap_ups(Q(wrap_up_until__lte=now), now, F("wrap_up_until"))


def end_wrap_up_for(attempt_id: int, now: datetime) -> int:
    """End the wrap-up that waits for this attempt's result, for the result has come."""
    return _end_wrap_ups(Q(last_attempt=attempt_id), now, Value(now))


def extend_wrap_up(operator_id: int, attempt_id: int, by: timedelta, now: datetime) -> datetime | None:
    """Put off the end of an operator's wrap-up after this attempt; return when it ends now, ``None`` if it is over."""
    his = Operator.objects.filter(pk=operator_id, state=OperatorState.WRAP_UP, last_attempt=attempt_id)
    if not his.filter(wrap_up_until__gt=now).update(wrap_up_until=F("wrap_up_until") + by):
        return None
    return his.values_list("wrap_up_until", flat=True).get()


def _end_wrap_ups(which: Q, now: datetime, idle_since: Any) -> int:
    """End these wrap-ups, in the order of ids; who is just being changed by another is left to the next time."""
    over = (
        Operator.objects.filter(which, state=OperatorState.WRAP_UP)
        .order_by("pk")
        .select_for_update(no_key=True, skip_locked=True)
    )
    with transaction.atomic():
        ended = _free(
            Operator.objects.filter(pk__in=over.values("pk"), state=OperatorState.WRAP_UP),
            now=now, rests=True, idle_since=idle_since,
        )  # fmt: skip
        if ended:
            verbs.wake()
            verbs.tell_operators()
    return ended


def _free(operators: QuerySet[Operator], *, now: datetime, rests: bool, forced: bool = False, **values: Any) -> int:
    """End the call or wrap-up of these operators; return how many. One statement.

    The stored status comes to hold, and makes them Waiting or Idle; ``rests``: those on demand stay Idle. ``forced``:
    On Break, unless an absence is stored.
    """
    if forced:
        away = Q(next_status__in=AWAY_STATUSES)
        operators = operators.alias(
            chosen=Case(When(away, then=F("next_status")), default=Value(OperatorStatus.ON_BREAK.value))
        )
        values["forced_break"] = Case(When(away, then=Value(False)), default=Value(True))
        values["no_answer_count"] = Case(When(away, then=Value(0)), default=Value(values["no_answer_count"]))
        values["changed_by"] = Case(When(away, then=F("changed_by")), default=Value(None))
        values["change_reason"] = Case(When(away, then=F("change_reason")), default=Value("forced"))
    else:
        operators = operators.alias(chosen=Coalesce(NullIf("next_status", Value("")), "status"))
    waiting_in = (OperatorStatus.AVAILABLE,) if rests else READY_STATUSES
    return operators.update(
        status=F("chosen"),
        status_since=Case(When(chosen=F("status"), then=F("status_since")), default=Value(now)),
        next_status="",
        state=Case(
            When(chosen__in=waiting_in, then=Value(OperatorState.WAITING.value)),
            default=Value(OperatorState.IDLE.value),
        ),
        state_since=now,
        wrap_up_until=None,
        current_attempt=None,
        **values,
    )


# --- his phone and his client -----------------------------------------------------------------------------------


@transaction.atomic
def set_registered(extension: str, node_id: int, registered: bool, at: datetime) -> bool:
    """Note that a phone registered at a switch, or was lost there, at ``at``.

    ``False`` when it is unknown, or when later news of that switch came first. Registered anywhere, he can be called.
    """
    operator = Operator.objects.filter(extension=extension).select_for_update(no_key=True).first()
    if operator is None or not _note_registrations({operator.pk: registered}, node_id, at):
        return False
    if registered:
        verbs.wake()
    return True


@transaction.atomic
def set_registrations(extensions: Iterable[str], node_id: int, at: datetime) -> int:
    """Note which phones were registered at a switch at ``at``, all others not being so there; return how many changed.

    Later news stand. The instant is noted of the unchanged too, so that older news that come after it do nothing.
    """
    present = set(extensions)
    operators = Operator.objects.order_by("pk").select_for_update(no_key=True)
    was = {
        pk: (extension, registered)
        for pk, extension, registered in operators.values_list("pk", "extension", "registered")
    }
    _note_registrations({pk: extension in present for pk, (extension, _) in was.items()}, node_id, at)
    now = dict(Operator.objects.filter(pk__in=was).values_list("pk", "registered"))
    changed = [pk for pk, registered in now.items() if registered != was[pk][1]]
    if any(now[pk] for pk in changed):
        verbs.wake()
    return len(changed)


def _note_registrations(registered: Mapping[int, bool], node_id: int, at: datetime) -> bool:
    """Write what a switch said at ``at`` of operators who are locked, unless it has said later news; return whether
    any was written. Two statements."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO agents_registration AS known (operator_id, node_id, registered, at)
            SELECT said.operator, %(node)s, said.registered, %(at)s
            FROM unnest(%(operators)s::bigint[], %(registered)s::boolean[]) AS said(operator, registered)
            ON CONFLICT (operator_id, node_id) DO UPDATE SET registered = excluded.registered, at = excluded.at
            WHERE known.at <= excluded.at
            """,
            {"operators": list(registered), "registered": list(registered.values()), "node": node_id, "at": at},
        )
        written = cursor.rowcount > 0
    anywhere = Exists(Registration.objects.filter(operator=OuterRef("pk"), registered=True))
    Operator.objects.filter(pk__in=registered).exclude(registered=anywhere).update(registered=anywhere)
    return written


def client_connected(operator_id: int) -> None:
    """Note that a client of his is connected. The caller tells of the first and the last of several, not of each."""
    Operator.objects.filter(pk=operator_id).update(client_connected=True, client_lost_at=None)
    verbs.wake()


def client_lost(operator_id: int) -> None:
    """Note that his last client is gone: no calls from now on, and after a grace he is logged out."""
    Operator.objects.filter(pk=operator_id, client_connected=True).update(
        client_connected=False, client_lost_at=clock.now()
    )


def set_call_centre_mode(operator_id: int, on: bool) -> None:
    """Note whether his client is in call-centre mode."""
    Operator.objects.filter(pk=operator_id).update(call_centre_mode=on)
    verbs.tell_operators(operator_id)
    if on:
        verbs.wake()


@transaction.atomic
def lose_clients(now: datetime) -> int:
    """Log out those who work through a client and have lost it for longer than the grace; return how many.

    Who is on a call stays in it and is logged out after it. Who is just being changed by another waits for the next
    time.
    """
    gone = (
        Operator.objects.filter(uses_client=True, client_lost_at__lte=now - CLIENT_GRACE)
        .order_by("pk")
        .select_for_update(no_key=True, skip_locked=True)
    )
    busy = Q(state__in=BUSY_STATES)
    logged_out = Value(OperatorStatus.LOGGED_OUT.value)
    return Operator.objects.filter(pk__in=gone.values("pk")).update(
        client_lost_at=None,
        next_status=Case(When(busy, then=logged_out), default=Value("")),
        status=Case(When(busy, then=F("status")), default=logged_out),
        status_since=Case(When(busy | Q(status=logged_out), then=F("status_since")), default=Value(now)),
        state=Case(When(busy, then=F("state")), default=Value(OperatorState.IDLE.value)),
        state_since=Case(When(busy | Q(state=OperatorState.IDLE), then=F("state_since")), default=Value(now)),
        wrap_up_until=Case(When(busy, then=F("wrap_up_until")), default=Value(None)),
        no_answer_count=Case(
            When(forced_break=True, then=Value(0)), default=F("no_answer_count"), output_field=IntegerField()
        ),
        forced_break=False,
        changed_by=None,
        change_reason="client lost",
    )


def _lock(operator_id: int) -> Operator:
    """Read an operator and lock his row. Raises ``Operator.DoesNotExist``."""
    return Operator.objects.select_for_update(no_key=True).get(pk=operator_id)
