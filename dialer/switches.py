"""What the page "Switches" shows: one reading for all viewers, in a constant number of statements.

As on the live page instants are milliseconds since 1970 in rule time, and words come from here.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Max, Q, QuerySet
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from agents.models import Registration
from dialer import clock, live
from dialer.api import scope
from dialer.api.scope import Scope
from dialer.engine import lease, nodes
from dialer.engine.lease import Listeners
from dialer.engine.policy import pace
from dialer.models import Attempt, Node, Repair
from dialer.readings import shared
from dialer.switch.nodes import configured

RATED_OVER = 10
"""Real seconds that the rate of new calls is taken from."""
REPAIRED_OVER = timedelta(hours=24)
REPAIRS = 20
"""Newest repairs that are listed."""
LOOKED_INTO = 10_000
"""Newest repairs that are counted by kind."""


def snapshot_json(only: Scope = None) -> str:
    """Return what the page shows now, as JSON, with the repairs of all campaigns or of some.

    However many viewers of the same campaigns ask, the database is read once a second.
    """
    body = shared(_key(only), lambda: json.dumps(read(only), separators=(",", ":"), ensure_ascii=False))
    return f'{{"now":{live.ms(clock.now())},"factor":{clock.FACTOR:g},{body[1:]}'


def forget(only: Scope = None) -> None:
    """Let the next viewer see what was just done, instead of the last second's reading."""
    cache.delete_many([_key(None), _key(only)])


def _key(only: Scope) -> str:
    """Return under which name a reading is kept: words are of a language, and repairs of campaigns."""
    return f"switches:snapshot:{get_language()}{scope.mark(only)}"


def read(only: Scope = None) -> dict[str, Any]:
    """Read what the page shows. Seven statements."""
    now = clock.now()
    try:
        known = [switch.name for switch in configured()]
    except ValueError:
        known = []
    found = {node.name: node for node in Node.objects.all()}
    listeners, calls, rates = lease.listeners(), nodes.live_by_node(), _new_calls(now)
    phones = dict(
        Registration.objects.filter(registered=True).values_list("node_id").annotate(count=Count("*")).order_by()
    )
    repairs = _count_repairs(now, only)
    shown = []
    for name in sorted({*known, *found}):
        node = found.get(name) or Node(name=name)
        one = _switch(node, listeners[node.pk], calls.get(node.pk, 0), name in known, now)
        one["per_second"] = round(rates[node.pk] / RATED_OVER, 1)
        one["phones"] = phones.get(node.pk, 0)
        one["repairs"] = repairs[node.pk].total()
        shown.append(one)
    kinds = sum(repairs.values(), Counter[str]())
    return {
        "switches": shown,
        "repairs": {
            "total": kinds.total(),
            "kinds": [{"kind": kind, "label": in_words(kind), "count": count} for kind, count in kinds.most_common()],
            "newest": [_repair(row) for row in repairs_of(only)[:REPAIRS]],
        },
    }


def _switch(node: Node, listeners: Listeners, calls: int, is_configured: bool, now: datetime) -> dict[str, Any]:
    limits = nodes.limits_of(node)
    tone, label, why = _state(node, listeners, calls, is_configured, now)
    blocked = node.blocked_until is not None and node.blocked_until > now
    connected = node.connected and bool(listeners.hears)
    return {
        "id": node.pk,
        "name": node.name,
        "tone": tone,
        "label": label,
        "why": why,
        "enabled": node.enabled,
        "connected": connected,
        "blocked_until": live.ms(node.blocked_until) if blocked else None,
        "hears": listeners.hears,
        "stand_by": listeners.stand_by,
        "weight": node.weight,
        "calls": calls,
        "calls_limit": pace.calls_at_once(limits),
        "rate_limit": _rate_limit(node, limits),
        "pace": None if node.rate is None else round(node.rate, 1),
        "sessions": node.sessions if connected else None,
        "sessions_allowed": node.sessions_allowed,
        "sessions_per_second": node.sessions_per_second if connected else None,
        "rate_allowed": node.rate_allowed,
        "heard_at": live.ms(node.last_event_at),
        "version": node.version,
        "started_at": live.ms(node.started_at),
        "restarted_at": _recent(node.restarted_at, now),
        "setup": reverse("admin:dialer_node_change", args=[node.pk]) if node.pk else "",
    }


def _state(
    node: Node, listeners: Listeners, calls: int, is_configured: bool, now: datetime
) -> tuple[str, str, str]:  # fmt: skip
    """Return the tone of a switch's state, its name, and why it is so or what to do."""
    if not is_configured:
        return "off", _("not configured"), _("FREESWITCH_URL does not name it. It gets no calls.")
    if not listeners.hears and not listeners.stand_by:
        return "bad", _("no listener"), _("Nobody hears it, so it gets no calls: does manage.py listen run?")
    if not node.connected or not listeners.hears:
        return "bad", _("not connected"), _("It does not answer, so it gets no calls. The listener is trying again.")
    if node.last_event_at is None or clock.real_age(node.last_event_at) > nodes.HEARD_WITHIN:
        return "bad", _("not heard"), _("Its listener is connected and says nothing, so it gets no calls.")
    if not node.enabled:
        left = ngettext("%d call goes on to its end.", "%d calls go on to their end.", calls) % calls
        return "wrap", _("draining") if calls else _("drained"), left if calls else _("It has no call left.")
    if not node.ready:
        return "warn", _("paused"), _("It says itself that it takes no calls: it was paused, or shuts down.")
    if node.blocked_until is not None and node.blocked_until > now:
        return "bad", _("refuses calls"), _("It said: %s") % node.blocked_reason
    at_once = pace.calls_at_once(nodes.limits_of(node))
    if at_once is not None and calls >= at_once:
        return "warn", _("full"), _("It has as many calls as it may.")
    if node.rate is not None:
        return "warn", _("slowed down"), _("It refused calls; it is given more again while it takes them.")
    return "good", _("connected"), ""


def _rate_limit(node: Node, limits: pace.Limits) -> float | None:
    """Return the new calls per second that a switch may have at most, as one would say it."""
    own = pace.rate(pace.Limits(rate_allowed=limits.rate_allowed))
    bounds = [bound for bound in (own, node.max_rate) if bound is not None]
    return round(min(bounds), 1) if bounds else None


def _recent(instant: datetime | None, now: datetime) -> int | None:
    return live.ms(instant) if instant is not None and now - instant < REPAIRED_OVER else None


def _new_calls(now: datetime) -> Counter[int | None]:
    """Count the calls that were sent to each switch of late. One statement, on the newest attempts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT node_id, count(*) FROM (SELECT node_id, sending_at FROM dialer_attempt ORDER BY id DESC LIMIT %s)"
            " AS newest WHERE sending_at > %s GROUP BY node_id",
            [nodes.LOOKED_INTO * RATED_OVER, now - timedelta(seconds=RATED_OVER) * clock.FACTOR],
        )
        return Counter(dict(cursor.fetchall()))


# --- repairs ----------------------------------------------------------------------------------------------------

KINDS = {
    "absent": gettext_lazy("call that the switch no longer had"),
    "late_end": gettext_lazy("end that came late"),
    "late_leg": gettext_lazy("call that came too late"),
    "lone_leg_absent": gettext_lazy("leg that was left alone and gone"),
    "lost_events": gettext_lazy("events that were lost"),
    "record": gettext_lazy("call known from the switch's record alone"),
    "result_in_part": gettext_lazy("result that was applied in part"),
    "switch_gone": gettext_lazy("call of a switch that is gone"),
    "switch_restarted": gettext_lazy("call of a switch that was started again"),
}


def in_words(kind: str) -> str:
    """Return what a kind of repair mended."""
    return str(KINDS.get(kind) or kind.replace("_", " "))


def _count_repairs(now: datetime, only: Scope) -> defaultdict[int | None, Counter[str]]:
    """Count the repairs of the last day by switch and kind. Two statements."""
    newest = Repair.objects.aggregate(newest=Max("pk"))["newest"] or 0
    found: defaultdict[int | None, Counter[str]] = defaultdict(Counter)
    for node_id, kind, count in (
        repairs_of(only)
        .filter(pk__gt=newest - LOOKED_INTO, at__gt=now - REPAIRED_OVER)
        .order_by()
        .values_list("node_id", "kind")
        .annotate(count=Count("*"))
    ):
        found[node_id][kind] = count
    return found


def repairs_of(only: Scope) -> QuerySet[Repair]:
    """Return the repairs that may be shown, the newest first: those of some campaigns, and of no attempt."""
    found = Repair.objects.select_related("node", "attempt").order_by("-pk")
    return found if only is None else found.filter(Q(attempt__isnull=True) | Q(attempt__campaign__in=only))


def _story_of(attempt: Attempt | None) -> str:
    """Return where a subscriber's page tells of an attempt; empty without one."""
    if attempt is None:
        return ""
    return f"{reverse('subscriber', args=[attempt.member_id])}?upto={attempt.pk}#attempt-{attempt.pk}"


def _repair(repair: Repair) -> dict[str, Any]:
    return {
        "id": repair.pk,
        "at": live.ms(repair.at),
        "label": capfirst(in_words(repair.kind)),
        "detail": repair.detail,
        "switch": repair.node.name if repair.node else "",
        "attempt": str(repair.attempt) if repair.attempt else "",
        "url": _story_of(repair.attempt),
    }
