"""Subscribers and their numbers, in the shape that the claim reads them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchQuery, SearchVector
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce, Reverse
from django.utils.translation import gettext_lazy as _

from campaigns.fields import VariablesField, check_time_zone
from members import numbers

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class MemberState(models.TextChoices):
    """Where a subscriber stands."""

    WAITING = "waiting", _("Waiting")
    READY = "ready", _("Ready")
    LIVE = "live", _("On a call")
    HELD = "held", _("Awaits a result")
    ENDED = "ended", _("Ended")


OPEN_STATES = (MemberState.WAITING, MemberState.READY)
"""Nobody is calling him now and he may be called again."""

HELD_STATES = (MemberState.LIVE, MemberState.HELD)
"""His current attempt holds him: it lives, or its result is awaited."""

MEMBER_EDGES: dict[MemberState, frozenset[MemberState]] = {
    MemberState.WAITING: frozenset({MemberState.READY, MemberState.ENDED}),
    MemberState.READY: frozenset({MemberState.WAITING, MemberState.LIVE, MemberState.ENDED}),
    MemberState.LIVE: frozenset({MemberState.WAITING, MemberState.READY, MemberState.HELD, MemberState.ENDED}),
    MemberState.HELD: frozenset({MemberState.WAITING, MemberState.READY, MemberState.ENDED}),
    MemberState.ENDED: frozenset({MemberState.WAITING, MemberState.READY}),
}
"""From a state to those that may follow it."""

END_CAUSES = ("MAX_TRY_COUNT", "MEMBER_EXPIRED", "NO_COMMUNICATIONS", "MANAGER_REQUEST")
"""What may end a subscriber beside the hangup cause of his last call."""


class ZoneSource(models.TextChoices):
    """Where the zones come from that must be open for a subscriber."""

    SUBSCRIBER = "subscriber", _("The subscriber's own time zone")
    NUMBER = "number", _("His number")
    CALENDAR = "calendar", _("The calendar")


class MemberQuerySet(models.QuerySet["Member"]):
    def visible(self) -> MemberQuerySet:
        """Those that lists show: one who was deleted after he had been called is kept, and hidden."""
        return self.filter(hidden=False)

    def resettable(self, now: datetime, *, include_successful: bool = False) -> MemberQuerySet:
        """The ended who may be called again: not expired, and with a number that no result or person has stopped."""
        startable = Communication.objects.filter(member=OuterRef("pk"), stopped__in=["", StopReason.CAUSE])
        found = self.visible().filter(
            Exists(startable), Q(expire_at__isnull=True) | Q(expire_at__gt=now), state=MemberState.ENDED
        )
        return found if include_successful else found.filter(success=False)

    def search(self, text: str, region: str = "") -> MemberQuerySet:
        """Find by the beginnings of name words, by the first or last digits of a number, or by exact external id.

        With a ``region`` the first digits may also be written as people in that country dial them. Each way reads an
        index, so that a million rows answer at once; blank text finds everyone.
        """
        words = re.findall(r"\w+", text)
        if not words:
            return self
        found: models.QuerySet[Any, Any]
        if digits := numbers.digits_of(text):
            written = Q(reversed__startswith=digits[::-1])
            for beginning in numbers.beginnings(text, region):
                written |= Q(digits__startswith=beginning)
            found = Communication.objects.alias(reversed=Reverse("digits")).filter(written).values("member_id")
        else:
            query = SearchQuery(" & ".join(f"'{word}':*" for word in words), config="simple", search_type="raw")
            found = (
                self.model.objects.alias(words=SearchVector("name", config="simple")).filter(words=query).values("pk")
            )
        # A union, since an OR across tables would scan them.
        with_external_id = self.model.objects.filter(external_id=text.strip()).values("pk")
        return self.filter(pk__in=found.union(with_external_id))


class Member(models.Model):
    """A subscriber of a campaign: the person to call."""

    campaign = models.ForeignKey(
        "campaigns.Campaign", models.PROTECT, related_name="members", verbose_name=_("campaign"), db_index=False
    )
    name = models.CharField(_("name"), max_length=200, blank=True)
    priority = models.IntegerField(_("priority"), default=0, help_text=_("Bigger is called first."))
    time_zone = models.CharField(
        _("time zone"), max_length=64, blank=True, default="", validators=[check_time_zone],
        help_text=_("IANA name. Empty: the calendar's zone."),
    )  # fmt: skip
    expire_at = models.DateTimeField(
        _("expire"), null=True, blank=True, help_text=_("Not processed before this: no more calls, MEMBER_EXPIRED.")
    )
    variables = VariablesField(_("variables"), blank=True, default=dict)
    caller_id = models.CharField(
        _("caller id"), max_length=32, blank=True, default="",
        validators=[RegexValidator(r"\A\+?[0-9*#]*\Z", _("Digits only."))],
        help_text=_("The number that this subscriber sees; goes before the route's and the campaign's."),
    )  # fmt: skip
    external_id = models.CharField(_("external id"), max_length=100, null=True, blank=True)
    upload = models.ForeignKey(
        "uploads.Upload", models.SET_NULL, null=True, editable=False, related_name="members", db_index=False
    )
    """The file that he came with."""
    created_at = models.DateTimeField(_("added"), editable=False)

    state = models.CharField(
        _("state"), max_length=7, choices=MemberState.choices, default=MemberState.WAITING, editable=False
    )
    due_at = models.DateTimeField(
        _("due"), editable=False, help_text=_("Not called before this; after it, who waits longest comes first.")
    )
    due_at_unlisted = models.DateTimeField(null=True, editable=False)
    """When he would be due if no do-not-call list held back his next number; empty when none does."""
    current_attempt = models.ForeignKey(
        "dialer.Attempt", models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )

    # The order of the due, after call-backs: priority, then those tried before, then the longest waiting.
    callback = models.BooleanField(_("call-back"), default=False, editable=False)
    tried = models.BooleanField(default=False, editable=False)
    sticky_operator = models.ForeignKey(
        "agents.Operator", models.SET_NULL, null=True, editable=False, related_name="+", db_index=False
    )
    sticky_until = models.DateTimeField(null=True, editable=False)

    # What the next attempt would take: kept by members.planning whenever numbers, routes or tries change.
    zones = models.CharField(max_length=400, blank=True, default="", editable=False)
    """The zones that must all be open, joined by "|"; empty for the calendar's own."""
    next_communication = models.ForeignKey(
        "members.Communication", models.SET_NULL, null=True, editable=False, related_name="+", db_index=False
    )
    next_gateway = models.ForeignKey(
        "campaigns.Gateway", models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )
    requested_communication = models.ForeignKey(
        "members.Communication", models.SET_NULL, null=True, editable=False, related_name="+", db_index=False
    )
    """The number that a result named for the next attempt."""

    # Caches of what the ledger says; check_invariants recomputes them.
    counted = models.PositiveIntegerField(_("counted attempts"), default=0, editable=False)
    minus_in_row = models.PositiveIntegerField(default=0, editable=False)
    extra_attempts = models.PositiveIntegerField(default=0, editable=False)
    """Attempts over the maximum that results asked for."""
    counts_after = models.BigIntegerField(default=0, editable=False)
    """The counters take only attempts with a greater id: a reset took out those up to it."""

    end_cause = models.CharField(_("end cause"), max_length=64, blank=True, default="", editable=False)
    success = models.BooleanField(_("success"), default=False, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)
    end_requested = models.BooleanField(default=False, editable=False)
    """A person ended him during a call: he ends after it."""
    hidden = models.BooleanField(_("hidden"), default=False, editable=False)

    objects = MemberQuerySet.as_manager()
    communications: RelatedManager[Communication]

    class Meta:
        verbose_name = _("subscriber")
        verbose_name_plural = _("subscribers")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["campaign", "external_id"],
                name="member_external_id_once",
                violation_error_message=_("A subscriber of this campaign has this external id already."),
            ),
            models.CheckConstraint(
                condition=Q(state__in=HELD_STATES, current_attempt__isnull=False)
                | (~Q(state__in=HELD_STATES) & Q(current_attempt__isnull=True)),
                name="member_held_by_his_attempt",
            ),
            models.CheckConstraint(
                condition=(Q(state=MemberState.ENDED, ended_at__isnull=False) & ~Q(end_cause=""))
                | (~Q(state=MemberState.ENDED) & Q(ended_at__isnull=True, end_cause="", success=False)),
                name="member_ended_with_a_cause",
            ),
            models.CheckConstraint(
                condition=~Q(state=MemberState.READY) | Q(next_communication__isnull=False, next_gateway__isnull=False),
                name="member_ready_has_a_number",
            ),
            models.CheckConstraint(
                condition=Q(sticky_operator__isnull=True) | Q(sticky_until__isnull=False),
                name="member_sticky_has_an_end",
            ),
            models.CheckConstraint(condition=Q(state__in=MemberState.values), name="member_state_known"),
        ]
        indexes: ClassVar = [
            # the claim: the best of each campaign, zone, gateway and sticky operator
            models.Index(
                F("campaign"), F("zones"), F("next_gateway"), Coalesce("sticky_operator", 0),
                F("callback").desc(), F("priority").desc(), F("tried").desc(), F("due_at"), F("id"),
                condition=Q(state=MemberState.READY), name="member_claim",
            ),
            # the pass makes due rows ready
            models.Index(
                fields=["due_at"],
                condition=Q(state=MemberState.WAITING, next_communication__isnull=False),
                name="member_due",
            ),
            # sleeping and completion: the zones of those who can still be called
            models.Index(
                fields=["campaign", "zones"],
                condition=Q(state__in=OPEN_STATES, next_communication__isnull=False),
                name="member_callable",
            ),
            # the sweep of the expired
            models.Index(
                fields=["expire_at"],
                condition=Q(state__in=OPEN_STATES, expire_at__isnull=False),
                name="member_expiring",
            ),
            models.Index(
                fields=["sticky_until"],
                condition=Q(sticky_operator__isnull=False),
                name="member_sticky",
            ),
            # counts and lists
            models.Index(fields=["campaign", "state", "end_cause", "success", "hidden"], name="member_by_state"),
            # pages of lists: in the order of entry, and by when they ended. By id alone the planner would take the
            # primary key, and pass over the rows of all other campaigns.
            models.Index(fields=["campaign", "created_at", "id"], condition=Q(hidden=False), name="member_list"),
            models.Index(
                fields=["campaign", "ended_at", "id"],
                condition=Q(state=MemberState.ENDED, hidden=False),
                name="member_list_ended",
            ),
            # pages of lists by when they are due and by attempts, and of a time zone
            models.Index(
                fields=["campaign", "due_at", "id"],
                condition=Q(state__in=OPEN_STATES, hidden=False),
                name="member_list_due",
            ),
            models.Index(fields=["campaign", "counted", "id"], condition=Q(hidden=False), name="member_list_attempts"),
            models.Index(
                fields=["campaign", "zones", "id"],
                condition=Q(zones__gt="", hidden=False),
                name="member_list_zones",
            ),
            # those of an upload, to take them out again
            models.Index(fields=["upload", "id"], condition=Q(upload__isnull=False), name="member_upload"),
            # whoever points to a number that is deleted: the foreign keys ask for each one
            models.Index(
                fields=["next_communication"], condition=Q(next_communication__isnull=False), name="member_next_number"
            ),
            models.Index(
                fields=["requested_communication"],
                condition=Q(requested_communication__isnull=False),
                name="member_requested_number",
            ),
            # search
            models.Index(fields=["external_id"], condition=Q(external_id__isnull=False), name="member_external_id"),
            GinIndex(SearchVector("name", config="simple"), name="member_name_words"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.name or f"#{self.pk}"

    @property
    def zones_that_count(self) -> list[str]:
        """The zones that must all be open when he is called."""
        return self.zones.split("|") if self.zones else [self.campaign.calendar.time_zone]

    @property
    def zone_from(self) -> ZoneSource:
        """Where they come from."""
        if self.time_zone:
            return ZoneSource.SUBSCRIBER
        return ZoneSource.NUMBER if self.zones else ZoneSource.CALENDAR


class StopReason(models.TextChoices):
    """Why a number gets no more calls."""

    CAUSE = "cause", _("Error cause")
    RESULT = "result", _("Result")
    PERSON = "person", _("Supervisor")


class Communication(models.Model):
    """One number of a subscriber."""

    member = models.ForeignKey(Member, models.CASCADE, related_name="communications", verbose_name=_("subscriber"))
    campaign = models.ForeignKey("campaigns.Campaign", models.PROTECT, related_name="+", editable=False, db_index=False)
    number = models.CharField(_("number"), max_length=64)
    dial = models.CharField(max_length=33, editable=False)
    """What is dialled: digits, ``*``, ``#``, and a leading ``+`` when given."""
    digits = models.CharField(max_length=32, editable=False)
    """``dial`` without the ``+``: unique within a campaign, and the key of "one live call per number"."""
    priority = models.IntegerField(_("priority"), default=0, help_text=_("Bigger is called first."))
    description = models.CharField(_("description"), max_length=120, blank=True)
    tries = models.PositiveIntegerField(_("tries"), default=0, editable=False)
    stopped = models.CharField(
        _("stopped by"), max_length=6, choices=StopReason.choices, blank=True, default="", editable=False
    )
    stop_cause = models.CharField(max_length=64, blank=True, default="", editable=False)
    stopped_at = models.DateTimeField(null=True, editable=False)
    """Since when it is stopped; no attempt on it is reserved later."""
    route = models.ForeignKey("campaigns.Route", models.SET_NULL, null=True, editable=False, related_name="+")

    class Meta:
        verbose_name = _("number")
        verbose_name_plural = _("numbers")
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "digits"], name="communication_digits_once"),
            models.CheckConstraint(condition=Q(dial__regex=r"^\+?[0-9*#]+$"), name="communication_dial_is_plain"),
        ]
        indexes: ClassVar = [
            # search by the first and by the last digits
            models.Index(OpClass(F("digits"), "text_pattern_ops"), name="communication_digits"),
            models.Index(OpClass(Reverse("digits"), "text_pattern_ops"), name="communication_last_digits"),
        ]

    def __str__(self) -> str:
        return self.number


class DoNotCall(models.Model):
    """A number that must not be called: by any campaign, or by one; for ever, or for a time."""

    digits = models.CharField(_("number"), max_length=32)
    campaign = models.ForeignKey(
        "campaigns.Campaign", models.CASCADE, null=True, blank=True, related_name="do_not_call",
        verbose_name=_("campaign"), help_text=_("Empty: every campaign."),
    )  # fmt: skip
    expire_at = models.DateTimeField(_("until"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("added"), editable=False)

    class Meta:
        verbose_name = _("do-not-call number")
        verbose_name_plural = _("do-not-call numbers")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["digits", "campaign"], name="do_not_call_once", nulls_distinct=False,
                violation_error_message=_("This number is on the list already."),
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.digits
