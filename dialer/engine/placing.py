"""After commit: from a reservation to a command on the wire, at most once."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from campaigns.fields import allowed_variables
from campaigns.models import ConnectOrder
from dialer import clock
from dialer.engine import calls, dispatch, plans, policy
from dialer.esl.client import Outcome, Reply
from dialer.esl.errors import EslError
from dialer.models import Attempt
from dialer.switch import commands
from dialer.switch.nodes import SwitchNode, configured, placer

log = logging.getLogger(__name__)

SEND_WITHIN = 5.0
"""Seconds (real, of this worker's own clock) after ``sending_at`` was written in which a command may still be sent."""


def place(attempt_ids: Sequence[int]) -> None:
    """Send the calls that a pass has reserved and committed, each to its switch, pipelined.

    An outcome in doubt is left to the listener and to reconciliation, which ask the switch; nothing is sent again.
    """
    if not attempt_ids:
        return
    by_node: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in Attempt.objects.filter(pk__in=attempt_ids).select_related(*plans.NEEDS):
        by_node[attempt.node.name if attempt.node else ""].append(attempt)
    allowed = allowed_variables()
    switches = {switch.name: switch for switch in configured()}
    for name, attempts in by_node.items():
        if name in switches:
            _place_on(switches[name], attempts, allowed)
        else:
            for attempt in attempts:
                calls.not_sent(attempt.pk, "SWITCH_NOT_CONFIGURED", refused=True)


def _place_on(switch: SwitchNode, attempts: list[Attempt], allowed: frozenset[str]) -> None:
    originates: dict[int, commands.Originate] = {}
    for attempt in attempts:
        try:
            originates[attempt.pk] = commands.originate(plans.plan_of(attempt, allowed))
        except ValueError as error:
            log.error("Attempt %s cannot be put into words: %s", attempt.pk, error, extra={"attempt": attempt.pk})
            calls.not_sent(attempt.pk, policy.NOT_SAYABLE, refused=False)
    if not originates:
        return
    held = placer(switch)
    try:
        core = held.line().core_uuid
    except EslError as error:
        log.error("Switch %s cannot be reached: %s", switch.name, error)
        for attempt_id in originates:
            calls.not_sent(attempt_id, "SWITCH_UNREACHABLE", refused=True)
        return
    began = time.monotonic()
    sending = _mark_sending(originates, core)
    replies = held.place([originates[pk] for pk in sending], core=core, not_after=began + SEND_WITHIN)
    for pk, reply in zip(sending, replies, strict=True):
        match reply.outcome:
            case Outcome.NOT_SENT:
                calls.not_sent(pk, "NOT_SENT", refused=False)
            case Outcome.REFUSED:
                log.error("The switch refused attempt %s: %s", pk, reply.text, extra={"attempt": pk})
                calls.not_sent(pk, "REFUSED", refused=True)
            case Outcome.UNCONFIRMED:
                log.warning("The switch did not confirm attempt %s: %s", pk, reply.text, extra={"attempt": pk})


def _mark_sending(originates: Mapping[int, commands.Originate], core: UUID) -> list[int]:
    """Write ``sending_at`` on those that have not ended and may still be dialled; only these may be sent.

    Whom it comes too late for is withdrawn. One that somebody holds is just being withdrawn, so nobody waits for it:
    a STOP locks its attempts in another order.
    """
    late: list[int] = []
    with transaction.atomic():
        now = clock.now()
        unsent = (
            Attempt.objects.live()
            .filter(pk__in=list(originates), sending_at__isnull=True)
            .order_by("pk")
            .select_for_update(no_key=True, skip_locked=True)
            .only("connect_order", "operator_timeout", "open_until", "expire_then")
        )
        live: list[int] = []
        for attempt in unsent:
            (late if _comes_too_late(attempt, now) else live).append(attempt.pk)
        Attempt.objects.filter(pk__in=live).update(sending_at=now, core_uuid=core)
        for pk in live:
            if left_out := originates[pk].left_out:
                Attempt.objects.filter(pk=pk).update(variables_left_out=left_out)
    for pk in late:
        log.warning("Attempt %s comes too late for its subscriber's hours or expiry.", pk, extra={"attempt": pk})
        calls.withdraw(pk)
    return live


def _comes_too_late(attempt: Attempt, now: datetime) -> bool:
    """Tell whether the subscriber's leg, sent now, might begin when his calendar is closed or he has expired."""
    begins = now
    if attempt.connect_order == ConnectOrder.OPERATOR_FIRST:
        begins += timedelta(seconds=attempt.operator_timeout + dispatch.TIMER_LATE)
    return any(end is not None and end <= begins for end in (attempt.open_until, attempt.expire_then))


def ring(attempt_ids: Sequence[int]) -> None:
    """Ring the operators that a pass has reserved for answered subscribers who wait, pipelined to each switch.

    What cannot be sent leaves the subscriber waiting for the next operator; nothing is sent again.
    """
    if not attempt_ids:
        return
    by_core: dict[tuple[str | None, UUID | None], list[int]] = defaultdict(list)
    for pk, name, core in Attempt.objects.filter(pk__in=attempt_ids).values_list("pk", "node__name", "core_uuid"):
        by_core[name, core].append(pk)
    switches = {switch.name: switch for switch in configured()}
    for (switch_name, core), pks in by_core.items():
        originates = {pk: originate for pk in pks if (originate := calls.begin_ring(pk)) is not None}
        switch = switches.get(switch_name or "")
        if switch is not None:
            replies = placer(switch).place(
                list(originates.values()), core=core, not_after=time.monotonic() + SEND_WITHIN
            )
        else:
            replies = [Reply(Outcome.NOT_SENT, "")] * len(originates)
        for (pk, originate), reply in zip(originates.items(), replies, strict=True):
            if reply.outcome in (Outcome.NOT_SENT, Outcome.REFUSED):
                calls.ring_failed(pk, originate.job_uuid, reply.outcome.name)


def kill(attempt_id: int) -> None:
    """Hang up the legs of a live attempt on a person's request; the listener does so for a leg that appears later."""
    name, legs = calls.legs_of(attempt_id)
    switch = next((switch for switch in configured() if switch.name == name), None)
    if switch is None:
        return
    try:
        line = placer(switch).line()
        for leg in legs:
            line.kill(leg, "MANAGER_REQUEST")
    except EslError as error:
        log.error("Attempt %s could not be hung up: %s", attempt_id, error, extra={"attempt": attempt_id})
