"""Why an operator gets no call now."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agents.models import BUSY_STATES, READY_STATUSES, Operator, OperatorState, claim_conditions
from campaigns.models import Campaign
from dialer import clock
from dialer.engine.why.campaigns import counted
from dialer.engine.why.turns import before_operator, next_pass
from dialer.engine.why.view import View
from dialer.engine.why.words import Blocker, Funnel

CAMPAIGNS: Final = 10
"""Campaigns of an operator that are spoken of."""


def of_operator(operator_id: int, only: Collection[int] | None = None) -> list[Blocker]:
    """Tell why an operator gets no call now, in order; nothing: the next pass gives him one.

    ``only``: the campaigns that whoever asks may see; of others no name and no figure is told. Raises
    ``Operator.DoesNotExist``. A constant number of statements, and one for each list (``CAMPAIGNS`` at most) that has
    nobody for him.
    """
    now = clock.now()
    him = Operator.objects.with_obstacles(now).select_related("gateway", "current_attempt").get(pk=operator_id)
    found = [
        OF_OPERATOR[name](him)
        for name in claim_conditions(now)
        if not getattr(him, f"claim_{name}") and not (name == "waiting" and _is_away(him))
    ]
    served = list(Campaign.objects.filter(tiers__operator=operator_id).order_by("-priority", "name"))
    seen = [campaign for campaign in served if only is None or campaign.pk in only]
    view = View.read(*(campaign.pk for campaign in served))
    found = [*view.of_loop(), *found]
    if not served:
        found.append(
            Blocker(
                code="no_tier",
                text=_("He is assigned to no campaign."),
                remedy=_("Assign him on the Operators tab of a campaign."),
            )
        )
        return found
    running = [campaign for campaign in served if campaign.pk in view.running]
    if not running:
        found.append(_none_runs(view, seen))
    if any(item.code != "loop" for item in found):
        return found
    if him.pk in view.unreachable:
        return [*found, view.of_switches()]
    if him.pk not in view.room.operators:
        return found  # an answered subscriber who waits gets him, or a pass has just taken him
    matches, looked_at = next_pass(view)
    if any(match.operator == him.pk for match in matches):
        return found
    told = [campaign for campaign in seen if campaign.pk in view.running]
    found += _not_chosen(view, him, told[:CAMPAIGNS], looked_at)
    if len(running) > min(len(told), CAMPAIGNS):
        found.append(
            Blocker(code="other_campaigns", text=_("Other campaigns of his have no call for him either."), clears=True)
        )
    return found


def _none_runs(view: View, seen: list[Campaign]) -> Blocker:
    wakes = min((until for campaign in seen if (until := view.sleeps.get(campaign.pk))), default=None)
    names = [f"{campaign.name} ({campaign.get_state_display().lower()})" for campaign in seen[:CAMPAIGNS]]
    return Blocker(
        code="no_campaign",
        text=_("None of his campaigns runs now: %s.") % ", ".join(names) if names else _("None of his campaigns runs."),
        remedy="" if wakes else _("RUN one of them."),
        clears=wakes is not None,
        until=wakes,
    )


def _is_away(him: Operator) -> bool:
    return him.status not in READY_STATUSES and him.state == OperatorState.IDLE


def _not_chosen(view: View, him: Operator, running: list[Campaign], looked_at: set[int]) -> Iterator[Blocker]:
    """Tell why an operator who is free gets nobody: of each campaign that runs, what it lacks."""
    for campaign in running:
        if full := view.of_limit(campaign):
            yield full
        elif campaign.pk in looked_at:
            before = before_operator(view, campaign, him)
            yield Blocker(
                code="behind",
                text=ngettext(
                    "%(campaign)s: %(count)d free operator comes before him, and nobody more is to be called.",
                    "%(campaign)s: %(count)d free operators come before him, and nobody more is to be called.",
                    before,
                ) % {"campaign": campaign.name, "count": before}
                if before
                else _("%(campaign)s: no line or no subscriber is left that suits him.") % {"campaign": campaign.name},
                remedy=_("His level and position on the Operators tab say when it is his turn.") if before else "",
                clears=True,
                count=before or None,
            )  # fmt: skip
        else:
            yield _nobody_ready(counted(view, campaign), campaign)


def _nobody_ready(funnel: Funnel, campaign: Campaign) -> Blocker:
    open_steps = [step for step in funnel.steps if step.code not in ("success", "ended", "ready")]
    ends = [step.until for step in open_steps if step.until]
    return Blocker(
        code="no_subscribers",
        text=_("%(campaign)s: nobody is to be called now (%(why)s).")
        % {"campaign": campaign.name, "why": ", ".join(f"{step.label.lower()}: {step.count}" for step in open_steps)}
        if open_steps
        else _("%(campaign)s: nobody is left to be called.") % {"campaign": campaign.name},
        clears=any(step.code in ("live", "held", "wait", "closed") for step in open_steps),
        until=min(ends, default=None),
    )


def _away(him: Operator) -> Blocker:
    if him.forced_break:
        text = _("He was put on a break: he did not answer %d calls in a row.") % him.no_answer_count
    else:
        text = _("His status is “%s”.") % him.get_status_display()
    return Blocker(code="status", text=text, remedy=_("He chooses “Available”, or a supervisor does."))


def _not_waiting(him: Operator) -> Blocker:
    if him.state == OperatorState.WRAP_UP:
        return Blocker(
            code="wrap_up",
            text=_("He wraps up after a call."),
            remedy=_("He may end it early: “Ready”."),
            clears=True,
            until=him.wrap_up_until,
        )
    if him.state in BUSY_STATES:
        return Blocker(code="busy", text=_("He has a call: %s.") % him.get_state_display(), clears=True)
    return Blocker(
        code="idle",
        text=_("He is available on demand and has not said that he is ready."),
        remedy=_("He says “Ready”."),
    )


def _not_present(him: Operator) -> Blocker:
    if not him.client_connected:
        return Blocker(
            code="client", text=_("His client is not connected."), remedy=_("He opens it and logs in."),
        )  # fmt: skip
    return Blocker(
        code="call_centre_mode",
        text=_("The call-centre mode of his client is off."),
        remedy=_("He switches it on in his client."),
    )


OF_OPERATOR = {
    "kept": lambda him: Blocker(code="archived", text=_("He has left."), remedy=_("Take “archived” back.")),
    "available": _away,
    "waiting": _not_waiting,
    "rested": lambda him: Blocker(
        code="rest", text=_("He rests after a call that he did not take."), clears=True, until=him.ready_at
    ),
    "reachable": lambda him: Blocker(
        code="not_registered",
        text=_("The phone of his extension %s is not registered.") % him.extension,
        remedy=_("He switches his phone on; does it log in with his password?"),
    ),
    "present": _not_present,
}
"""What to say of each of ``agents.models.claim_conditions`` that does not hold."""
