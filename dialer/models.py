"""The ledger: one row for each reservation of operator, subscriber, number and line, and what came of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Count, ExpressionWrapper, F, Q
from django.utils.translation import gettext_lazy as _

from campaigns.models import ConnectOrder


class Node(models.Model):
    """One FreeSWITCH: what is known of it, kept by its listener."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    """``host:port`` of its event socket."""
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Off: it drains. It gets no new calls; those it has go on.")
    )
    weight = models.PositiveSmallIntegerField(
        _("weight"), default=1, validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_("Its share of the calls, compared with the other switches."),
    )  # fmt: skip
    max_calls = models.PositiveIntegerField(
        _("calls at once"), null=True, blank=True, help_text=_("Empty: as many as the switch itself allows.")
    )
    max_rate = models.PositiveIntegerField(
        _("new calls per second"), null=True, blank=True, validators=[MinValueValidator(1)],
        help_text=_("Empty: as many as the switch itself allows."),
    )  # fmt: skip
    rate = models.FloatField(null=True, editable=False)
    """New calls per second that it is given since it refused some; empty: no pace is kept."""
    slowed_at = models.DateTimeField(null=True, editable=False)
    """When that pace was last made slower; refusals of calls sent before tell nothing of it."""
    tokens = models.FloatField(default=0, editable=False)
    """Calls that it might have been given at once at ``tokens_at``, by its rate; more have dripped in since."""
    tokens_at = models.DateTimeField(null=True, editable=False)
    listener = models.CharField(max_length=120, blank=True, default="", editable=False)
    """Which process hears it."""
    version = models.CharField(max_length=120, blank=True, default="", editable=False)
    sessions = models.PositiveIntegerField(null=True, editable=False)
    """Legs on it, ours and others', as it said last; likewise all down to ``started_at``."""
    sessions_of_others = models.PositiveIntegerField(default=0, editable=False)
    sessions_per_second = models.PositiveIntegerField(null=True, editable=False)
    sessions_allowed = models.PositiveIntegerField(null=True, editable=False)
    rate_allowed = models.PositiveIntegerField(null=True, editable=False)
    """Legs per second that the switch itself allows."""
    ready = models.BooleanField(default=True, editable=False)
    """Whether the switch says that it takes calls: not while it is paused or shuts down."""
    started_at = models.DateTimeField(null=True, editable=False)
    restarted_at = models.DateTimeField(null=True, editable=False)
    """When its listener found another run of the switch than the one it knew."""
    connected = models.BooleanField(default=False, editable=False)
    core_uuid = models.UUIDField(null=True, editable=False)
    connected_at = models.DateTimeField(null=True, editable=False)
    last_event_at = models.DateTimeField(null=True, editable=False)
    blocked_until = models.DateTimeField(null=True, editable=False)
    block_step = models.PositiveSmallIntegerField(default=0, editable=False)
    blocked_reason = models.CharField(max_length=200, blank=True, editable=False)

    class Meta:
        verbose_name = _("switch")
        verbose_name_plural = _("switches")
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Outcome(models.TextChoices):
    """What an attempt meant for its subscriber."""

    SUCCESS = "success", _("Success")
    RETRY = "retry", _("Retry")
    ERROR = "error", _("Error")
    MINUS = "minus", _("Minus")
    REFUNDED = "refunded", _("Not counted")
    ABANDONED = "abandoned", _("Abandoned")
    AWAITING_RESULT = "awaiting_result", _("Awaits a result")


class ResultState(models.TextChoices):
    """Where the result of a bridged call stands, in a campaign that waits for results."""

    NONE = "", _("Not awaited")
    AWAITED = "awaited", _("Awaited")
    STORED = "stored", _("Stored until the call ends")
    APPLIED = "applied", _("Applied")
    TIMED_OUT = "timed_out", _("Timed out")


class KillReason(models.TextChoices):
    """Why we hung up."""

    NONE = "", _("We did not")
    PERSON = "person", _("A person asked")
    LONE_LEG = "lone_leg", _("One leg was left alone")
    WITHDRAWN = "withdrawn", _("The attempt was withdrawn")


ABANDONMENT_DAYS = 30
"""The rate of abandonment is that of so many days."""
SLOW_BRIDGE = 2
"""Seconds from answer to bridge that are too many."""


TALK = ExpressionWrapper(F("talk_ended_at") - F("bridged_at"), models.DurationField())
"""How long the two of an attempt talked; empty while they do, and when they never did."""


@dataclass(frozen=True, slots=True)
class Answering:
    """How the answered calls of a while went on."""

    answered: int
    abandoned: int
    """Nobody took them."""
    slow: int
    """Bridged, but after more than ``SLOW_BRIDGE`` seconds."""

    @property
    def abandoned_percent(self) -> float:
        return 100 * self.abandoned / self.answered if self.answered else 0.0


STAGES = {
    "reserved": _("reserved"),
    "sent": _("sent"),
    "operator ringing": _("operator ringing"),
    "operator answered": _("operator answered"),
    "calling": _("calling"),
    "connecting": _("connecting"),
    "talking": _("talking"),
    "ended": _("ended"),
}
"""How far an attempt came, and its words for people."""


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def live(self) -> AttemptQuerySet:
        """Those that hold an operator, a subscriber and a line."""
        return self.filter(ended_at__isnull=True)

    def ended(self) -> AttemptQuerySet:
        return self.filter(ended_at__isnull=False)

    def talked_for(self, length: timedelta) -> AttemptQuerySet:
        """Those whose two parties talked for so long, or longer."""
        return self.alias(talk=TALK).filter(talk__gte=length, bridged_at__isnull=False, talk_ended_at__isnull=False)

    def answering(self, now: datetime) -> Answering:
        """Count how the answered calls of the last 30 days went on; one statement."""
        since = now - timedelta(days=ABANDONMENT_DAYS)
        slow = F("subscriber_answered_at") + timedelta(seconds=SLOW_BRIDGE)
        return Answering(
            **self.filter(subscriber_answered_at__gt=since).aggregate(
                answered=Count("pk"),
                abandoned=Count("pk", filter=Q(outcome=Outcome.ABANDONED)),
                slow=Count("pk", filter=Q(bridged_at__gt=slow)),
            )
        )


class Attempt(models.Model):
    """One reservation. Instants of the call are the switch's own; ``ended_at`` is set once and never again."""

    campaign = models.ForeignKey("campaigns.Campaign", models.PROTECT, related_name="attempts", db_index=False)
    member = models.ForeignKey("members.Member", models.PROTECT, related_name="attempts")
    communication = models.ForeignKey(
        "members.Communication", models.SET_NULL, null=True, related_name="attempts", db_index=False
    )
    operator = models.ForeignKey("agents.Operator", models.PROTECT, related_name="attempts", db_index=False)
    gateway = models.ForeignKey("campaigns.Gateway", models.PROTECT, related_name="attempts", db_index=False)
    operator_gateway = models.ForeignKey(
        "campaigns.Gateway", models.PROTECT, null=True, related_name="+", db_index=False
    )
    """The gateway whose line an outside operator's leg takes."""
    route = models.ForeignKey("campaigns.Route", models.SET_NULL, null=True, related_name="+", db_index=False)
    node = models.ForeignKey(Node, models.PROTECT, null=True, related_name="attempts", db_index=False)
    digits = models.CharField(_("number"), max_length=32)
    """The number without "+": the key of "one live call per number"."""
    number_position = models.PositiveSmallIntegerField(null=True)
    """Which of the subscriber's numbers it was at the claim, as they were entered, from 1; empty in older attempts."""
    connect_order = models.CharField(max_length=20, choices=ConnectOrder.choices)

    operator_uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    subscriber_uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    job_uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    operator_job_uuid = models.UUIDField(unique=True, null=True)
    """Subscriber first: the job that rings ``operator``; those of earlier operators are in ``tries``."""
    core_uuid = models.UUIDField(null=True)
    """The run of the switch that it was sent to."""

    operator_free_at = models.DateTimeField(null=True)
    """Since when the operator could have got a call."""
    member_due_at = models.DateTimeField(null=True)
    """Since when the subscriber could have been called."""
    reserved_at = models.DateTimeField()
    sending_at = models.DateTimeField(null=True)
    operator_reserved_at = models.DateTimeField(null=True)
    """Subscriber first: since when it holds ``operator``, if not from the beginning."""
    operator_sending_at = models.DateTimeField(null=True)
    """Subscriber first: when the order to ring ``operator`` was given."""
    seeking_since = models.DateTimeField(null=True)
    """Subscriber first: since when he waits without an operator; ``operator`` is then the last one who failed."""
    operator_ringing_at = models.DateTimeField(null=True)
    operator_answered_at = models.DateTimeField(null=True)
    subscriber_created_at = models.DateTimeField(null=True)
    subscriber_ringing_at = models.DateTimeField(null=True)
    subscriber_answered_at = models.DateTimeField(null=True)
    bridged_at = models.DateTimeField(null=True)
    talk_ended_at = models.DateTimeField(null=True)
    operator_ended_at = models.DateTimeField(null=True)
    subscriber_ended_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    # What it was decided by.
    limit_then = models.PositiveIntegerField()
    capacity_then = models.PositiveIntegerField()
    operator_capacity_then = models.PositiveIntegerField(null=True)
    """The capacity of ``operator_gateway``."""
    maximum_then = models.PositiveIntegerField()
    """Counted attempts allowed, extras granted by results included."""
    counted_before = models.PositiveIntegerField()
    zones_then = models.CharField(max_length=400, blank=True)
    open_until = models.DateTimeField(null=True)
    """When the calendar closes next on the subscriber's wall clock, as known at the claim; empty: it never does."""
    expire_then = models.DateTimeField(null=True)
    operator_timeout = models.PositiveIntegerField()
    answer_window = models.PositiveSmallIntegerField(null=True)
    """Subscriber first: seconds from his answer in which an operator must take the call."""
    subscriber_timeout = models.PositiveIntegerField()
    variables = models.JSONField(default=dict)
    variables_left_out = models.JSONField(default=list)
    """Names of variables that no harmless way could carry under their own name."""

    operator_cause = models.CharField(max_length=64, blank=True, default="")
    subscriber_cause = models.CharField(max_length=64, blank=True, default="")
    cause = models.CharField(_("cause"), max_length=64, blank=True, default="")
    ended_by = models.CharField(
        _("ended by"), max_length=10, blank=True, default="",
        choices=[("operator", _("Operator")), ("subscriber", _("Subscriber"))],
    )  # fmt: skip
    """Whose phone hung up first, refused or cancelled; empty: the switch or we did, or nothing told."""
    outcome = models.CharField(_("outcome"), max_length=20, choices=Outcome.choices, blank=True, default="")
    counted = models.BooleanField(_("counted"), default=False)
    kill_reason = models.CharField(max_length=10, choices=KillReason.choices, blank=True, default="")
    kill_sent_at = models.DateTimeField(null=True)
    killed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False
    )

    result_state = models.CharField(max_length=10, choices=ResultState.choices, blank=True, default="")
    result_deadline = models.DateTimeField(null=True)
    result = models.JSONField(null=True)
    result_at = models.DateTimeField(null=True)
    disposition = models.CharField(_("disposition"), max_length=60, blank=True, default="")
    """What its operator called it: the name of a disposition of the campaign, as it was then."""
    extended = models.PositiveIntegerField(default=0)
    """Seconds by which the operator put off the end of his wrap-up and of the time for the result."""
    comment = models.TextField(blank=True, default="")
    recording = models.CharField(max_length=300, blank=True, default="")
    """Where the switch was told to keep the conversation, below its folder of recordings."""

    objects = AttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            # One live attempt per operator, per subscriber, and per number across all campaigns.
            models.UniqueConstraint(
                fields=["operator"],
                condition=Q(ended_at__isnull=True, seeking_since__isnull=True),
                name="attempt_live_operator_once",
            ),
            models.UniqueConstraint(
                fields=["member"], condition=Q(ended_at__isnull=True), name="attempt_live_member_once"
            ),
            models.UniqueConstraint(
                fields=["digits"], condition=Q(ended_at__isnull=True), name="attempt_live_number_once"
            ),
            models.CheckConstraint(
                condition=(Q(ended_at__isnull=True) & Q(outcome="", cause="", counted=False))
                | (Q(ended_at__isnull=False) & ~Q(outcome="") & ~Q(cause="")),
                name="attempt_ends_with_a_cause",
            ),
            models.CheckConstraint(
                condition=Q(subscriber_created_at__isnull=True)
                | Q(expire_then__isnull=True)
                | Q(reserved_at__lt=F("expire_then")),
                name="attempt_before_expiry",
            ),
            models.CheckConstraint(condition=Q(counted_before__lt=F("maximum_then")), name="attempt_under_the_maximum"),
            models.CheckConstraint(
                condition=~Q(result_state="awaited") | Q(result_deadline__isnull=False),
                name="attempt_result_has_a_deadline",
            ),
        ]
        indexes: ClassVar = [
            # lines in use, reconciliation
            models.Index(fields=["campaign", "gateway"], condition=Q(ended_at__isnull=True), name="attempt_live"),
            # results that did not come
            models.Index(
                fields=["result_deadline"],
                condition=Q(result_state="awaited", result_deadline__isnull=False),
                name="attempt_result_deadline",
            ),
            models.Index(fields=["campaign", "-id"], name="attempt_by_campaign"),
            models.Index(fields=["operator", "-id"], name="attempt_by_operator"),
            # lists and statistics of a while, of one campaign or of many, of one operator or of all
            models.Index(fields=["reserved_at", "id", "campaign", "operator"], name="attempt_reserved"),
            models.Index(
                fields=["ended_at", "id", "campaign"], condition=Q(ended_at__isnull=False), name="attempt_by_end"
            ),
            # how calls ended: lists, and the figures of a campaign without a look at the rows
            models.Index(
                fields=["campaign", "outcome", "cause", "id"],
                include=[
                    "counted",
                    "subscriber_created_at",
                    "subscriber_answered_at",
                    "bridged_at",
                    "talk_ended_at",
                ],
                condition=Q(ended_at__isnull=False),
                name="attempt_figures",
            ),
            # lists of what operators said of their calls
            models.Index(
                fields=["campaign", "disposition", "id"], condition=~Q(disposition=""), name="attempt_by_disposition"
            ),
            # lists of long talks
            models.Index(
                F("campaign"),
                TALK,
                F("id"),
                condition=Q(bridged_at__isnull=False, talk_ended_at__isnull=False),
                name="attempt_talk",
            ),
            # the rate of abandonment
            models.Index(
                fields=["campaign", "subscriber_answered_at"],
                include=["outcome", "bridged_at"],
                condition=Q(subscriber_answered_at__isnull=False),
                name="attempt_answered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.digits}"

    @property
    def talk_seconds(self) -> float:
        """Seconds from the bridge of the legs to its end; 0 while it lasts or when there was none."""
        if self.bridged_at is None or self.talk_ended_at is None:
            return 0.0
        return max(0.0, (self.talk_ended_at - self.bridged_at).total_seconds())

    @property
    def answer_to_bridge(self) -> float | None:
        """Seconds that the subscriber waited from his answer to the bridge; ``None`` when he was never bridged."""
        if self.bridged_at is None or self.subscriber_answered_at is None:
            return None
        return max(0.0, (self.bridged_at - self.subscriber_answered_at).total_seconds())

    @property
    def stage(self) -> str:
        """The furthest stage that was reached, of ``STAGES``."""
        stages: list[tuple[datetime | None, str]] = [
            (self.ended_at, "ended"),
            (self.bridged_at, "talking"),
            (self.subscriber_answered_at, "connecting"),
            (self.subscriber_created_at, "calling"),
            (self.operator_answered_at, "operator answered"),
            (self.operator_ringing_at, "operator ringing"),
            (self.sending_at, "sent"),
        ]
        return next((word for instant, word in stages if instant), "reserved")


class CoachingMode(models.TextChoices):
    """What a supervisor does on a call."""

    LISTEN = "listen", _("Listens")
    WHISPER = "whisper", _("Whispers to the operator")
    BARGE = "barge", _("Speaks to both")


class CoachingQuerySet(models.QuerySet["Coaching"]):
    def live(self) -> CoachingQuerySet:
        """Those that are asked for, ring or listen."""
        return self.filter(ended_at__isnull=True)


class Coaching(models.Model):
    """A supervisor on a call: by a leg of his own, which hears the operator's. It takes no line of a campaign."""

    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="coachings", verbose_name=_("attempt"))
    supervisor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("supervisor")
    )
    extension = models.CharField(_("extension"), max_length=32)
    """Of the phone on which he hears it: a user of the switch's directory."""
    mode = models.CharField(_("mode"), max_length=10, choices=CoachingMode.choices)
    modes = models.JSONField(default=list)
    """Each mode that he chose and when, as ``[mode, instant]``, in order."""
    leg_uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    job_uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    target_uuid = models.UUIDField()
    """The operator's leg, which it hears."""
    node = models.ForeignKey(Node, models.SET_NULL, null=True, related_name="+", db_index=False)
    core_uuid = models.UUIDField(null=True)
    """The run of the switch that it was sent to."""
    asked_at = models.DateTimeField(_("asked"))
    sending_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(_("began"), null=True)
    stopped_at = models.DateTimeField(null=True)
    """When somebody asked for its end."""
    ended_at = models.DateTimeField(_("ended"), null=True)
    cause = models.CharField(_("cause"), max_length=64, blank=True, default="")

    objects = CoachingQuerySet.as_manager()

    class Meta:
        verbose_name = _("coaching")
        verbose_name_plural = _("coachings")
        ordering: ClassVar = ["-id"]
        default_permissions = ("view",)
        permissions = (("coach_attempt", _("Can listen to calls, whisper and speak in them")),)
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["supervisor"], condition=Q(ended_at__isnull=True), name="coaching_live_supervisor_once"
            ),
            models.UniqueConstraint(
                fields=["extension"], condition=Q(ended_at__isnull=True), name="coaching_live_extension_once"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True, cause="") | (Q(ended_at__isnull=False) & ~Q(cause="")),
                name="coaching_ends_with_a_cause",
            ),
        ]
        indexes: ClassVar = [
            # what goes on: the board, the operators' clients, reconciliation
            models.Index(fields=["attempt"], condition=Q(ended_at__isnull=True), name="coaching_live"),
        ]

    def __str__(self) -> str:
        return f"{self.attempt_id}: {self.get_mode_display()}"


class OperatorTry(models.Model):
    """Subscriber first: an operator who was rung for an answered subscriber and did not take the call."""

    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="tries")
    operator = models.ForeignKey("agents.Operator", models.PROTECT, related_name="tries")
    uuid = models.UUIDField(unique=True)
    """Of his leg."""
    job_uuid = models.UUIDField(unique=True, null=True)
    gateway = models.ForeignKey("campaigns.Gateway", models.PROTECT, null=True, related_name="+", db_index=False)
    """Whose line the leg of an outside operator took, and its capacity then."""
    capacity_then = models.PositiveIntegerField(null=True)
    reserved_at = models.DateTimeField()
    sending_at = models.DateTimeField(null=True)
    ringing_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField()
    cause = models.CharField(max_length=64)

    class Meta:
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"{self.operator}: {self.cause}"


class CallRecord(models.Model):
    """What the switch itself wrote of a leg, once it was over: it audits the ledger."""

    uuid = models.UUIDField(unique=True)
    """Of the leg; a record that is sent again is known by it."""
    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="call_records")
    role = models.CharField(max_length=10)
    """operator or subscriber."""
    core_uuid = models.UUIDField(null=True)
    received_at = models.DateTimeField()
    created_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    bridged_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField()
    cause = models.CharField(max_length=64)
    originate_disposition = models.CharField(max_length=64, blank=True, default="")
    """On an operator's leg: how dialling the subscriber ended."""
    by_phone = models.BooleanField(default=False)
    """The phone itself ended it: it hung up, refused or cancelled."""
    settled = models.BooleanField(default=False)
    """The ledger has all that it tells; until then the leg's own event may still come."""

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            # those too old to be kept
            models.Index(fields=["received_at"], name="call_record_received"),
            # those whose event has not come
            models.Index(fields=["received_at"], condition=Q(settled=False), name="call_record_unsettled"),
        ]

    def __str__(self) -> str:
        return f"{self.uuid}: {self.cause}"


class ResultReport(models.Model):
    """A result as it was reported, whether it was taken or refused: nothing said is lost."""

    class Verdict(models.TextChoices):
        STORED = "stored", _("Stored until the call ends")
        APPLIED = "applied", _("Applied")
        REPEATED = "repeated", _("The same again")
        REFUSED = "refused", _("Refused")

    member = models.ForeignKey("members.Member", models.CASCADE, related_name="result_reports")
    attempt = models.ForeignKey(Attempt, models.CASCADE, null=True, related_name="result_reports")
    received_at = models.DateTimeField()
    body = models.JSONField()
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    reason = models.CharField(max_length=300, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    class Meta:
        verbose_name = _("result report")
        verbose_name_plural = _("result reports")
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()}: {self.body}"


class Repair(models.Model):
    """One correction of the ledger by later evidence, for a supervisor to read."""

    at = models.DateTimeField()
    attempt = models.ForeignKey(Attempt, models.CASCADE, null=True, related_name="repairs")
    node = models.ForeignKey(Node, models.SET_NULL, null=True, related_name="repairs")
    kind = models.CharField(max_length=40)
    detail = models.TextField(blank=True)

    class Meta:
        verbose_name = _("repair")
        verbose_name_plural = _("repairs")
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"
