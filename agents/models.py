"""Operators, their six parameters, their state, and the campaigns they serve."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, NamedTuple

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Exists, ExpressionWrapper, OuterRef, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from campaigns.models import CampaignState
from dialer import clock


class OperatorStatus(models.TextChoices):
    """What a person chose."""

    LOGGED_OUT = "logged_out", _("Logged Out")
    AVAILABLE = "available", _("Available")
    ON_DEMAND = "on_demand", _("Available (On Demand)")
    ON_BREAK = "on_break", _("On Break")


READY_STATUSES = (OperatorStatus.AVAILABLE, OperatorStatus.ON_DEMAND)
"""The statuses in which an operator may get calls."""

AWAY_STATUSES = (OperatorStatus.LOGGED_OUT, OperatorStatus.ON_BREAK)
"""The statuses in which he gets none."""


class OperatorState(models.TextChoices):
    """What the system keeps."""

    IDLE = "idle", _("Idle")
    WAITING = "waiting", _("Waiting")
    RESERVED = "reserved", _("Reserved")
    RECEIVING = "receiving", _("Receiving")
    IN_CALL = "in_call", _("In a queue call")
    WRAP_UP = "wrap_up", _("Wrap up")


class OperatorPhone(models.TextChoices):
    """What he speaks with at his extension."""

    HARD = "hard", _("hard phone")
    PAGE = "page", _("phone in the page")


BUSY_STATES = (OperatorState.RESERVED, OperatorState.RECEIVING, OperatorState.IN_CALL)
"""The states of an operator who is held by an attempt."""

OPERATOR_EDGES: dict[OperatorState, frozenset[OperatorState]] = {
    OperatorState.IDLE: frozenset({OperatorState.WAITING}),
    OperatorState.WAITING: frozenset({OperatorState.IDLE, OperatorState.RESERVED}),
    OperatorState.RESERVED: frozenset(
        {
            OperatorState.RECEIVING,
            OperatorState.IN_CALL,
            OperatorState.WRAP_UP,
            OperatorState.WAITING,
            OperatorState.IDLE,
        }
    ),
    OperatorState.RECEIVING: frozenset(
        {OperatorState.IN_CALL, OperatorState.WRAP_UP, OperatorState.WAITING, OperatorState.IDLE}
    ),
    OperatorState.IN_CALL: frozenset({OperatorState.WRAP_UP, OperatorState.WAITING, OperatorState.IDLE}),
    OperatorState.WRAP_UP: frozenset({OperatorState.WAITING, OperatorState.IDLE}),
}
"""From a state to those that may follow it; events may skip stages of a call, never go back."""


class ClaimCondition(NamedTuple):
    """One thing that must hold for an operator to get a call, and what to tell when it does not."""

    holds: Q
    obstacle: Callable[[Operator], str]


def _why_not_waiting(him: Operator) -> str:
    """Tell the state of who does not wait; away and idle is one thing, told once by his status."""
    away = him.status in AWAY_STATUSES and him.state == OperatorState.IDLE
    return "" if away else str(him.get_state_display())


def _why_not_rested(him: Operator) -> str:
    left = (him.ready_at - clock.now()).total_seconds() if him.ready_at else 0.0
    return gettext("no calls for %d s") % max(1, left)


def claim_conditions(now: datetime) -> dict[str, ClaimCondition]:
    """Return every condition on an operator that a claim at ``now`` has, but that a campaign has work for him."""
    return {
        "kept": ClaimCondition(Q(archived=False), lambda him: gettext("archived")),
        "available": ClaimCondition(
            Q(status__in=READY_STATUSES),
            lambda him: gettext("forced break") if him.forced_break else str(him.get_status_display()),
        ),
        "waiting": ClaimCondition(Q(state=OperatorState.WAITING), _why_not_waiting),
        "rested": ClaimCondition(
            Q(ready_at__isnull=True) | Q(ready_at__lte=now),
            _why_not_rested,
        ),
        "reachable": ClaimCondition(
            Q(registered=True) | ~Q(contact=""), lambda him: gettext("phone not registered")
        ),
        "present": ClaimCondition(
            Q(uses_client=False) | Q(client_connected=True, call_centre_mode=True),
            lambda him: gettext("call-centre mode off") if him.client_connected else gettext("client not connected"),
        ),
    }  # fmt: skip


class OperatorQuerySet(models.QuerySet["Operator"]):
    def free(self, now: datetime) -> OperatorQuerySet:
        """Those who may get a call at ``now``. Reads the partial index of the waiting."""
        return self.filter(*(condition.holds for condition in claim_conditions(now).values()))

    def with_obstacles(self, now: datetime) -> OperatorQuerySet:
        """Let ``Operator.obstacles`` tell of each why he would get no call at ``now``. No query of its own."""
        serves = Tier.objects.filter(operator=OuterRef("pk"), campaign__state=CampaignState.RUNNING)
        conditions = {name: condition.holds for name, condition in claim_conditions(now).items()}
        return self.annotate(
            claim_serves=Exists(serves),
            **{
                f"claim_{name}": ExpressionWrapper(holds, output_field=models.BooleanField())
                for name, holds in conditions.items()
            },
        )


class Operator(models.Model):
    """One who takes calls. Times are in seconds."""

    name = models.CharField(_("name"), max_length=120)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="operator",
        verbose_name=_("user"), help_text=_("His log-in, when he works through the desk."),
    )  # fmt: skip
    extension = models.CharField(
        _("extension"), max_length=32, unique=True,
        validators=[RegexValidator(r"\A[A-Za-z0-9_.-]+\Z", _("Letters, digits, “_”, “.” and “-” only."))],
        help_text=_("The directory user of the switch that his phone registers as."),
    )  # fmt: skip
    phone = models.CharField(
        _("phone"), max_length=4, choices=OperatorPhone.choices, default=OperatorPhone.HARD,
        help_text=_("In the page: he speaks through the browser of his desk, and his phone password opens nothing."),
    )  # fmt: skip
    page_phone_a1 = models.CharField(max_length=64, blank=True, default="", editable=False)
    """As the next, of the secret that the phone in the page was given last; it holds until the instant below."""
    page_phone_until = models.DateTimeField(null=True, editable=False)
    sip_password_a1 = models.CharField(max_length=64, blank=True, default="", editable=False)
    """MD5 of ``extension:realm:password``, as digest log-in wants it: the password itself is never kept."""
    contact = models.CharField(
        _("outside number"), max_length=32, blank=True,
        validators=[RegexValidator(r"\A\+?[0-9*#]*\Z", _("Digits only."))],
        help_text=_("He is called here, through the gateway below, instead of at his extension."),
    )  # fmt: skip
    gateway = models.ForeignKey(
        "campaigns.Gateway", models.PROTECT, null=True, blank=True, related_name="operators", verbose_name=_("gateway"),
        help_text=_("Whose line his leg takes when he has an outside number."),
    )  # fmt: skip

    call_timeout = models.PositiveIntegerField(_("call timeout"), default=15, validators=[MinValueValidator(1)])
    wrap_up_time = models.PositiveIntegerField(_("wrap up time"), default=10)
    max_no_answer = models.PositiveIntegerField(_("max no answer"), default=3, help_text=_("0: never a forced break."))
    busy_delay = models.PositiveIntegerField(_("busy delay"), default=15)
    reject_delay = models.PositiveIntegerField(_("reject delay"), default=15)
    no_answer_delay = models.PositiveIntegerField(_("no answer delay"), default=10)

    status = models.CharField(
        _("status"), max_length=12, choices=OperatorStatus.choices, default=OperatorStatus.LOGGED_OUT, editable=False
    )
    next_status = models.CharField(
        max_length=12, choices=OperatorStatus.choices, blank=True, default="", editable=False
    )
    """A status chosen during a call; it holds once the call and its wrap-up are over."""
    status_since = models.DateTimeField(null=True, editable=False)
    forced_break = models.BooleanField(_("forced break"), default=False, editable=False)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+", db_index=False
    )
    """Who chose the status, or the next one; empty: the system did. His periods keep it for each change."""
    change_reason = models.CharField(max_length=200, blank=True, default="", editable=False)
    """Why, in a word: ``forced``, ``client lost``, ``archived``, or what he who chose it said."""
    state = models.CharField(
        _("state"), max_length=10, choices=OperatorState.choices, default=OperatorState.IDLE, editable=False
    )
    state_since = models.DateTimeField(null=True, editable=False)
    ready_at = models.DateTimeField(null=True, editable=False)
    """No calls before this instant (busy, reject and no answer delays)."""
    wrap_up_until = models.DateTimeField(null=True, editable=False)
    no_answer_count = models.PositiveIntegerField(_("no answer count"), default=0, editable=False)
    current_attempt = models.ForeignKey("dialer.Attempt", models.PROTECT, null=True, editable=False, related_name="+")
    last_attempt = models.ForeignKey("dialer.Attempt", models.SET_NULL, null=True, editable=False, related_name="+")

    registered = models.BooleanField(_("phone registered"), default=False, editable=False)
    """On one switch at least: what ``registrations`` come to."""
    uses_client = models.BooleanField(
        _("works through a client"), default=False,
        help_text=_("Calls only while his WebSocket client is connected and its call-centre mode is on."),
    )  # fmt: skip
    client_connected = models.BooleanField(default=False, editable=False)
    call_centre_mode = models.BooleanField(default=False, editable=False)
    client_lost_at = models.DateTimeField(null=True, editable=False)

    idle_since = models.DateTimeField(null=True, editable=False)
    """When his last call (or its wrap-up) was over, or he came on duty: for "longest idle"."""
    calls = models.PositiveIntegerField(default=0, editable=False)
    talk_seconds = models.PositiveBigIntegerField(default=0, editable=False)
    archived = models.BooleanField(
        _("archived"), default=False, help_text=_("He has left: logged out for good, kept for the records.")
    )

    objects = OperatorQuerySet.as_manager()

    class Meta:
        verbose_name = _("operator")
        verbose_name_plural = _("operators")
        ordering: ClassVar = ["name", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state__in=BUSY_STATES, current_attempt__isnull=False)
                | (~Q(state__in=BUSY_STATES) & Q(current_attempt__isnull=True)),
                name="operator_held_by_his_attempt",
            ),
            models.CheckConstraint(
                condition=~Q(state=OperatorState.WAITING) | Q(status__in=READY_STATUSES),
                name="operator_waits_only_when_available",
            ),
            models.CheckConstraint(
                condition=(Q(state=OperatorState.WRAP_UP) & Q(wrap_up_until__isnull=False))
                | (~Q(state=OperatorState.WRAP_UP) & Q(wrap_up_until__isnull=True)),
                name="operator_wrap_up_has_an_end",
            ),
            models.CheckConstraint(
                condition=Q(contact="") | Q(gateway__isnull=False),
                name="operator_contact_has_a_gateway",
                violation_error_message=_("An outside number needs the gateway that dials it."),
            ),
            models.CheckConstraint(condition=Q(call_timeout__gte=1), name="operator_call_timeout_positive"),
            models.CheckConstraint(condition=Q(phone__in=OperatorPhone.values), name="operator_phone_known"),
            models.CheckConstraint(condition=Q(status__in=OperatorStatus.values), name="operator_status_known"),
            models.CheckConstraint(condition=Q(state__in=OperatorState.values), name="operator_state_known"),
            models.UniqueConstraint(
                fields=["current_attempt"], condition=Q(current_attempt__isnull=False), name="operator_attempt_once"
            ),
        ]
        indexes: ClassVar = [
            # dispatch: the free operators, and those whose wrap-up is over
            models.Index(fields=["ready_at"], condition=Q(state=OperatorState.WAITING), name="operator_waiting"),
            models.Index(fields=["wrap_up_until"], condition=Q(state=OperatorState.WRAP_UP), name="operator_wrap_up"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.extension})"

    def clean(self) -> None:
        if self.contact and self.gateway is None:
            raise ValidationError({"gateway": _("An outside number needs the gateway that dials it.")})
        if self.phone == OperatorPhone.PAGE and self.user is None and not self.archived:
            raise ValidationError({"phone": _("A phone in the page needs a log-in to the page: choose his user.")})

    def obstacles(self) -> list[str]:
        """Tell why he gets no call now, in words; empty when he could. Only after ``with_obstacles``."""
        conditions = claim_conditions(clock.now())
        told = [item.obstacle(self) for name, item in conditions.items() if not getattr(self, f"claim_{name}")]
        serves: bool = getattr(self, "claim_serves")  # noqa: B009
        return [*filter(None, told), *([] if serves else [gettext("in no campaign that runs now")])]


class OperatorPeriod(models.Model):
    """What an operator was, and since when: until his next period, or until now.

    A trigger on operators writes them, in the transaction and the statement of the change, whichever it is: the set
    statements of the dial loop stay as they are and no writer can forget it. There is no end to keep: periods that are
    only added neither overlap nor leave gaps, and each change costs one short row. The instants are those of the
    operator's row (rule time, the switch's own during a call); one that would lie before the period it ends is taken
    as that one's beginning. The first period begins when a status is first chosen for him.
    """

    operator = models.ForeignKey(Operator, models.CASCADE, related_name="periods", db_index=False)
    since = models.DateTimeField()
    status = models.CharField(_("status"), max_length=12, choices=OperatorStatus.choices)
    state = models.CharField(_("state"), max_length=10, choices=OperatorState.choices)
    forced_break = models.BooleanField(_("forced break"), default=False)
    attempt = models.ForeignKey(
        "dialer.Attempt", models.DO_NOTHING, null=True, related_name="+", db_index=False, db_constraint=False
    )
    """The one that holds him, or that his wrap-up follows. Attempts are never deleted: no constraint to pay for."""
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False)
    """Who chose the status that begins here; empty: a call or the system changed him."""
    reason = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering: ClassVar = ["operator", "since", "id"]
        indexes: ClassVar = [
            # the last one of an operator before an instant, and those after it, without a look at the rows
            models.Index(fields=["operator", "since", "id"], include=["status", "state"], name="operator_periods"),
        ]

    def __str__(self) -> str:
        return f"{self.operator_id} since {self.since}: {self.status}, {self.state}"


class Registration(models.Model):
    """What one switch said last of an operator's phone."""

    operator = models.ForeignKey(Operator, models.CASCADE, related_name="registrations")
    node = models.ForeignKey("dialer.Node", models.CASCADE, related_name="registrations", db_index=False)
    registered = models.BooleanField()
    at = models.DateTimeField()
    """When it was so; older news change nothing."""

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["operator", "node"], name="registration_once")]

    def __str__(self) -> str:
        return f"{self.operator_id} on {self.node_id}: {self.registered}"


class Tier(models.Model):
    """An operator's place in a campaign: lower level first, then lower position."""

    campaign = models.ForeignKey("campaigns.Campaign", models.CASCADE, related_name="tiers", verbose_name=_("campaign"))
    operator = models.ForeignKey(Operator, models.CASCADE, related_name="tiers", verbose_name=_("operator"))
    level = models.PositiveSmallIntegerField(_("level"), default=1)
    position = models.PositiveSmallIntegerField(_("position"), default=1)

    class Meta:
        verbose_name = _("tier")
        verbose_name_plural = _("tiers")
        ordering: ClassVar = ["level", "position", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["campaign", "operator"],
                name="tier_once",
                violation_error_message=_("This operator is assigned to this campaign already."),
            )
        ]

    def __str__(self) -> str:
        return f"{self.operator}: {self.level}/{self.position}"
