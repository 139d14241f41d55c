"""Pages of operators: the live board, one operator with his status change card, and his parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe

from agents import actions
from agents.models import (
    BUSY_STATES,
    READY_STATUSES,
    Operator,
    OperatorPeriod,
    OperatorState,
    OperatorStatus,
    Registration,
)
from dialer import clock, verbs
from dialer import live as live_page
from dialer.api import scope
from dialer.engine import coaching, why
from dialer.errors import Refused
from dialer.models import Attempt, CoachingMode, Outcome
from dialer.pages import for_supervisors, for_supervisors_scripts
from dialer.readings import COUNTS_TIMES, shared
from dialer.web import operators_board as board
from dialer.web.operators_forms import UNITS, OperatorPageForm

COACH = "dialer.coach_attempt"
PHONE = "coaching_phone"
"""Where the session keeps the extension on which a supervisor hears calls."""
MODES_TOLD = {
    CoachingMode.LISTEN: gettext_lazy("you listen"),
    CoachingMode.WHISPER: gettext_lazy("you whisper to the operator"),
    CoachingMode.BARGE: gettext_lazy("you speak to both"),
}
CALLS = 20
"""Last calls that the page of an operator lists."""
CHANGES = 10
"""Last changes of his status that it lists,"""
LOOKED_INTO = 400
"""among so many of his last periods."""


def _need(request: HttpRequest, right: str) -> None:
    if not request.user.has_perm(right):
        raise PermissionDenied


def _find(operator_id: int) -> Operator:
    """Return an operator with what keeps him from calls. Raises ``Http404``."""
    found = (
        Operator.objects.with_obstacles(clock.now())
        .select_related("user", "gateway", "current_attempt", "changed_by")
        .filter(pk=operator_id)
        .first()
    )
    if found is None:
        raise Http404(_("There is no operator %d.") % operator_id)
    return found


# --- the board --------------------------------------------------------------------------------------------------


@require_safe
@never_cache
@for_supervisors
def operators(request: HttpRequest) -> HttpResponse:
    """Show all operators as they are now."""
    _need(request, "agents.view_operator")
    return _board(request)


def _board(request: HttpRequest, typed: str | None = None, fault: str = "") -> HttpResponse:
    """Draw the board; ``typed`` and ``fault``: the phone that a supervisor named for coaching, and what is wrong."""
    may_coach = request.user.has_perm(COACH)
    phone = _phone(request) if may_coach else ""
    shown = {
        "may_coach": may_coach,
        "phone": phone,
        "typed_phone": phone if typed is None else typed,
        "phone_fault": fault,
        "snapshot": json.loads(board.snapshot_json(scope.of(request.user))),
        "may_add": request.user.has_perm("agents.add_operator"),
        "may_change": request.user.has_perm("access.change_status"),
    }
    return render(request, "operators/board.html", shown, status=400 if fault else 200)


@require_GET
@never_cache
@for_supervisors_scripts
def operators_json(request: HttpRequest) -> HttpResponse:
    """Give what the board shows now."""
    if not request.user.has_perm("agents.view_operator"):
        return JsonResponse({"message": _("You may not see operators.")}, status=403)
    return HttpResponse(board.snapshot_json(scope.of(request.user)), content_type="application/json")


# --- one operator -----------------------------------------------------------------------------------------------


@require_safe
@never_cache
@for_supervisors
def operator(request: HttpRequest, operator_id: int) -> HttpResponse:
    """Show an operator: what he is now, what keeps him from calls, what he did, whom he serves."""
    _need(request, "agents.view_operator")
    him = _find(operator_id)
    only = scope.of(request.user)
    tiers = scope.within(him.tiers.select_related("campaign").order_by("campaign__name"), request.user)
    today = board.shared_today(only)
    shown = {
        "him": him,
        "now": _now(request, him),
        "clock_now": live_page.ms(clock.now()),
        "clock_factor": f"{clock.FACTOR:g}",
        **_why(request, him),
        "tiers": tiers,
        "today": today.range,
        "duty": today.duties.get(him.pk),
        "calls": _last_calls(request, him),
        "changes": _last_changes(him),
        "parameters": [(OperatorPageForm.base_fields[name].label, _parameter(him, name)) for name in UNITS],
        "may_edit": request.user.has_perm("agents.change_operator"),
        "may_change": request.user.has_perm("access.change_status") and not him.archived,
        "may_view_attempts": request.user.has_perm("dialer.view_attempt"),
    }
    return render(request, "operators/operator.html", shown)


def _parameter(him: Operator, name: str) -> str:
    """Write a parameter of his with its unit: all but the count of calls not answered are seconds."""
    return str(him.max_no_answer) if name == "max_no_answer" else _("%d s") % getattr(him, name)


@require_GET
@never_cache
@for_supervisors_scripts
def operator_now(request: HttpRequest, operator_id: int) -> HttpResponse:
    """Give the part of his page that lives; nothing (204) while it is as the asker has seen it."""
    if not request.user.has_perm("agents.view_operator"):
        return JsonResponse({"message": _("You may not see operators.")}, status=403)
    now = _now(request, _find(operator_id))
    if request.GET.get("seen") == now["seen"]:
        return HttpResponse(status=204)
    return render(request, "operators/now.html", {"now": now | {"again": True}})


@require_GET
@never_cache
@for_supervisors_scripts
def operator_why(request: HttpRequest, operator_id: int) -> HttpResponse:
    """Give what keeps him from calls."""
    if not request.user.has_perm("agents.view_operator"):
        return JsonResponse({"message": _("You may not see operators.")}, status=403)
    return render(request, "operators/why.html", _why(request, _find(operator_id)))


def _why(request: HttpRequest, him: Operator) -> dict[str, Any]:
    """Return what keeps him from calls, in full for who may see all campaigns that he serves."""
    only = scope.of(request.user)
    found: dict[str, Any] = {"obstacles": him.obstacles(), "blockers": None}
    if only is None or only.issuperset(him.tiers.values_list("campaign_id", flat=True)):
        key = f"operators:why:{get_language()}:{him.pk}"
        found["blockers"] = shared(key, lambda: why.of_operator(him.pk), times=COUNTS_TIMES)
    return found


def _now(request: HttpRequest, him: Operator) -> dict[str, Any]:
    """Return the living part of his page, as HTML, and a mark that differs when it does. Five statements at most."""
    only = scope.of(request.user)
    [row] = board.rows(Operator.objects.filter(pk=him.pk), only, {}, {})
    phones = Registration.objects.filter(operator=him, registered=True).select_related("node").order_by("node__name")
    may_change = request.user.has_perm("access.change_status") and not him.archived
    statuses = [
        {
            "value": value,
            "label": label,
            "chosen": value == (him.next_status or him.status),
            "later": value == him.next_status,
        }
        for value, label in OperatorStatus.choices
    ]
    shown = {
        "him": him,
        "row": row,
        "statuses": statuses,
        "on_a_call": him.state in BUSY_STATES,
        "may_change": may_change,
        "can_be_ready": may_change and row["may"] == "ready",
        "may_hang_up": request.user.has_perm("access.hang_up") and "attempt" in row.get("call", {}),
        "call": him.current_attempt if "attempt" in row.get("call", {}) else None,
        "phones": [phone.node.name for phone in phones],
        "conditions": _conditions(him),
    }
    body, side = render_to_string("operators/card.html", shown), render_to_string("operators/side.html", shown)
    return {"him": him, "body": body, "side": side, "seen": sha256(f"{body}{side}".encode()).hexdigest()[:16]}


def _conditions(him: Operator) -> list[dict[str, Any]]:
    """Return what must hold for him to get calls, in the order in which one sees to it."""
    found = [
        {
            "holds": bool(him.contact) or him.registered,
            "what": _("He is called at %s") % him.contact if him.contact else _("His phone is registered"),
        },
        {"holds": him.status in READY_STATUSES, "what": _("His status is Available or Available (On Demand)")},
        {"holds": him.state == OperatorState.WAITING, "what": _("His state is Waiting")},
    ]
    if him.uses_client:
        found.insert(1, {"holds": him.client_connected, "what": _("His client is connected")})
        found.insert(2, {"holds": him.call_centre_mode, "what": _("Its call-centre mode is on")})
    found.append({"holds": getattr(him, "claim_serves"), "what": _("A campaign that he serves runs")})  # noqa: B009
    return found


def _last_calls(request: HttpRequest, him: Operator) -> list[dict[str, Any]]:
    """Return his last calls, those of campaigns that may be shown. One statement on an index."""
    if not request.user.has_perm("dialer.view_attempt"):
        return []
    found: QuerySet[Attempt] = scope.within(
        Attempt.objects.filter(operator=him).select_related("member", "communication", "campaign").order_by("-pk"),
        request.user,
    )
    return [
        {
            "attempt": attempt,
            "number": attempt.communication.number if attempt.communication else attempt.digits,
            "label": Outcome(attempt.outcome).label if attempt.outcome else attempt.stage,
            "tone": live_page.OUTCOME_TONES.get(Outcome(attempt.outcome), "off") if attempt.outcome else "talk",
            "talk": round(attempt.talk_seconds) if attempt.bridged_at else None,
        }
        for attempt in found[:CALLS]
    ]


def _last_changes(him: Operator) -> list[OperatorPeriod]:
    """Return the periods with which another status began, the newest first. One statement."""
    periods = list(him.periods.select_related("by").order_by("-since", "-pk")[:LOOKED_INTO])
    begun = [
        period
        for period, before in pairwise(periods)
        if (period.status, period.forced_break) != (before.status, before.forced_break)
    ]
    if len(periods) < LOOKED_INTO and periods:
        begun.append(periods[-1])
    return begun[:CHANGES]


# --- what is done with him --------------------------------------------------------------------------------------


@require_POST
@for_supervisors_scripts
def change_status(request: HttpRequest, operator_id: int) -> HttpResponse:
    """Give him the status that a person chose."""
    chosen = request.POST.get("status", "")
    return _act_on(
        request, operator_id,
        lambda him: actions.set_status(him.pk, chosen, by=request.user, reason=request.POST.get("reason", "").strip()),
    )  # fmt: skip


@require_POST
@for_supervisors_scripts
def end_break(request: HttpRequest, operator_id: int) -> HttpResponse:
    """Bring him back from a break, forced or not."""

    def act(him: Operator) -> Operator:
        if him.status != OperatorStatus.ON_BREAK:
            raise Refused("WRONG_STATE", _("%s is on no break.") % him)
        return actions.set_status(him.pk, OperatorStatus.AVAILABLE, by=request.user)

    return _act_on(request, operator_id, act)


@require_POST
@for_supervisors_scripts
def ready(request: HttpRequest, operator_id: int) -> HttpResponse:
    """End his wrap-up, or let one on demand have the next call."""
    return _act_on(request, operator_id, lambda him: actions.ready(him.pk))


@require_POST
@for_supervisors_scripts
def hang_up(request: HttpRequest, attempt_id: int) -> HttpResponse:
    """End a call. It is named itself, not by its operator: he may be on another one by now."""
    user = request.user
    if not user.is_authenticated or not user.has_perm("access.hang_up"):
        return _answer(request, "bad", _("You may look, but not hang up."), 403)
    attempt = scope.within(Attempt.objects.select_related("operator"), request.user).filter(pk=attempt_id).first()
    if attempt is None:
        return _answer(request, "bad", _("There is no call %d.") % attempt_id, 404)
    try:
        verbs.hang_up(attempt.pk, by=user)
    except Refused as refusal:
        return _answer(request, "bad", refusal.message, 409)
    finally:
        _forget(request)
    return _answer(request, "good", _("The call of %s is being hung up.") % attempt.operator)


# --- coaching ---------------------------------------------------------------------------------------------------


@require_POST
@never_cache
@for_supervisors
def coaching_phone(request: HttpRequest) -> HttpResponse:
    """Keep, for this browser's session, on which phone its supervisor hears calls."""
    _need(request, COACH)
    typed = request.POST.get("extension", "").strip()
    if not typed:
        request.session.pop(PHONE, None)
        return redirect("operators")
    try:
        request.session[PHONE] = coaching.phone_of(_user(request), typed)
    except ValidationError as error:
        return _board(request, typed, " ".join(error.messages))
    messages.success(request, _("Calls that you listen to ring at %s.") % typed)
    return redirect("operators")


@require_POST
@for_supervisors_scripts
def coach(request: HttpRequest, attempt_id: int, mode: str) -> HttpResponse:
    """Let the supervisor's phone ring for a call, or change how he is on it."""

    def act(attempt: Attempt) -> str:
        row = verbs.coach(attempt.pk, mode, by=_user(request), extension=request.session.get(PHONE, ""))
        if row.answered_at is None:
            return _("Your phone %(phone)s rings: answer it, and you are on the call of %(operator)s.") % {
                "phone": row.extension, "operator": attempt.operator,
            }  # fmt: skip
        return f"{attempt.operator}: {MODES_TOLD[CoachingMode(row.mode)]}"

    return _act_on_call(request, attempt_id, act)


@require_POST
@for_supervisors_scripts
def stop_coaching(request: HttpRequest, attempt_id: int) -> HttpResponse:
    """Take the supervisor off a call, which goes on."""

    def act(attempt: Attempt) -> str:
        verbs.stop_coaching(attempt.pk, by=_user(request))
        return _("You leave the call of %s; it goes on.") % attempt.operator

    return _act_on_call(request, attempt_id, act)


def _act_on_call(request: HttpRequest, attempt_id: int, act: Callable[[Attempt], str]) -> HttpResponse:
    if not request.user.has_perm(COACH):
        return _answer(request, "bad", _("You may look, but not listen to calls."), 403)
    attempt = scope.within(Attempt.objects.select_related("operator"), request.user).filter(pk=attempt_id).first()
    if attempt is None:
        return _answer(request, "bad", _("There is no call %d.") % attempt_id, 404)
    try:
        told = act(attempt)
    except Refused as refusal:
        return _answer(request, "bad", refusal.message, 409)
    except ValidationError as error:
        return _answer(request, "bad", " ".join(error.messages), 400)
    finally:
        _forget(request)
    return _answer(request, "good", told)


def _phone(request: HttpRequest) -> str:
    """Return on which phone this supervisor hears calls: as he said in this session, else his own; empty: unknown."""
    try:
        return coaching.phone_of(_user(request), request.session.get(PHONE, ""))
    except ValidationError:
        return ""


def _user(request: HttpRequest) -> Any:
    return request.user


def _act_on(request: HttpRequest, operator_id: int, act: Callable[[Operator], Operator]) -> HttpResponse:
    if not request.user.has_perm("access.change_status"):
        return _answer(request, "bad", _("You may look, but not change the status of operators."), 403)
    him = Operator.objects.filter(pk=operator_id).first()
    if him is None:
        return _answer(request, "bad", _("There is no operator %d.") % operator_id, 404)
    try:
        then = act(him)
    except Refused as refusal:
        return _answer(request, "bad", refusal.message, 409)
    except ValidationError as error:
        return _answer(request, "bad", " ".join(error.messages), 400)
    finally:
        _forget(request)
    return _answer(request, "good", _told(then))


def _told(him: Operator) -> str:
    """Tell what he is now, and what he becomes after his call."""
    if him.next_status:
        return _("%(operator)s is on a call: %(status)s holds after it.") % {
            "operator": him, "status": him.get_next_status_display(),
        }  # fmt: skip
    return f"{him}: {him.get_status_display()}, {him.get_state_display()}."


def _forget(request: HttpRequest) -> None:
    only = scope.of(request.user)
    board.forget(only)
    live_page.forget(only=only)


def _answer(request: HttpRequest, tone: str, message: str, status: int = 200) -> HttpResponse:
    """Answer a form that names the ``next`` page by that page with a message, a script by JSON."""
    back = request.POST.get("next", "")
    if not back:
        return JsonResponse({"tone": tone, "message": message}, status=status)
    messages.add_message(request, messages.SUCCESS if tone == "good" else messages.ERROR, message)
    safe = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return redirect(back if safe else "operators")


# --- his parameters ---------------------------------------------------------------------------------------------


@never_cache
@for_supervisors
def add(request: HttpRequest) -> HttpResponse:
    """Take a new operator, and show once the password that his phone logs in with."""
    _need(request, "agents.add_operator")
    return _edit(request, None)


@never_cache
@for_supervisors
def edit(request: HttpRequest, operator_id: int) -> HttpResponse:
    """Change the parameters of an operator."""
    _need(request, "agents.change_operator")
    return _edit(request, _find(operator_id))


def _edit(request: HttpRequest, him: Operator | None) -> HttpResponse:
    form = OperatorPageForm(request.POST or None, instance=him)
    if request.method == "POST" and form.is_valid():
        try:
            saved, password = form.keep()
        except ValidationError as error:
            form.add_faults(error)
        else:
            _forget(request)
            messages.success(request, _("%s is saved.") % saved)
            if password:
                messages.warning(request, _phone_logs_in(saved, password))
            return redirect("operator", saved.pk)
    shown = {"form": form, "him": him, "domain": form.domain}
    return render(request, "operators/edit.html", shown, status=400 if form.errors else 200)


def _phone_logs_in(him: Operator, password: str) -> str:
    told = _("His phone logs in as %(extension)s at %(domain)s with the password %(password)s. It is shown this once.")
    return told % {"extension": him.extension, "domain": OperatorPageForm.domain, "password": password}
