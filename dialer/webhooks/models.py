"""Events, who subscribed to them, and what became of each delivery."""

from __future__ import annotations

import base64
import binascii
import secrets
import uuid
from typing import ClassVar
from urllib.parse import urlsplit

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

TEST = "test"
"""The type of an event that nothing made but the wish to see whether it arrives."""
SECRET_PREFIX = "whsec_"  # noqa: S105
LEAST_SECRET, MOST_SECRET = 24, 64
"""Bytes."""


class EventType(models.TextChoices):
    """What events tell of. Triggers write them: ``migrations/0002_outbox.py``."""

    ATTEMPT_ENDED = "attempt.ended", _("Attempt ended")
    MEMBER_ENDED = "member.ended", _("Subscriber ended")
    CAMPAIGN_STATE = "campaign.state", _("Campaign changed its state")
    OPERATOR_STATUS = "operator.status", _("Operator changed his status")


class Event(models.Model):
    """Something that happened, written by the transaction in which it did, if anybody subscribed to its type."""

    uuid = models.UUIDField(unique=True, default=uuid.uuid4)
    """The same at each delivery, so that a receiver knows a doubled one."""
    number = models.BigIntegerField(null=True, unique=True)
    """Its place in the order in which events became visible; empty until it is published. A reader who has seen one
    has seen all smaller ones, which cannot be said of ``id``."""
    type = models.CharField(_("type"), max_length=30)
    campaign_id = models.BigIntegerField(_("campaign"), null=True)
    """No foreign key: what happened stays when its campaign is deleted. Operators' events have none."""
    at = models.DateTimeField(_("at"))
    payload = models.JSONField(_("data"))

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            # what is to be published
            models.Index(fields=["id"], condition=Q(number__isnull=True), name="event_unpublished"),
            # what is old
            models.Index(fields=["at"], name="event_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.uuid}"


def new_secret() -> str:
    """Return a secret of 32 random bytes, as Standard Webhooks writes it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_bytes(secret: str) -> bytes:
    """Return the key that a secret writes. Raises ``ValidationError``."""
    try:
        if not secret.startswith(SECRET_PREFIX):
            raise ValueError
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        if not LEAST_SECRET <= len(key) <= MOST_SECRET:
            raise ValueError
    except (ValueError, binascii.Error):
        raise ValidationError(
            _("A secret is %(prefix)s and %(least)d to %(most)d bytes in Base64; left out, one is made.")
            % {"prefix": SECRET_PREFIX, "least": LEAST_SECRET, "most": MOST_SECRET}
        ) from None
    return key


def check_secret(secret: str) -> None:
    """Raise ``ValidationError`` by field for what is no secret."""
    try:
        secret_bytes(secret)
    except ValidationError as error:
        raise ValidationError({"secret": error.messages}) from None


class Subscription(models.Model):
    """Who wants to be told of which events, and where."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    campaign = models.ForeignKey(
        "campaigns.Campaign", models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("campaign"),
        help_text=_("Empty: of all campaigns."),
    )  # fmt: skip
    types = ArrayField(models.CharField(max_length=30, choices=EventType.choices), verbose_name=_("events"))
    url = models.CharField(
        _("address"), max_length=500, blank=True,
        help_text=_("https://… Empty: nothing is sent, the events are kept to be asked for."),
    )  # fmt: skip
    secret = models.CharField(max_length=120, default=new_secret, editable=False)
    """What each delivery is signed with."""
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Off: nothing new is noted, and what waits goes on waiting.")
    )
    allow_private = models.BooleanField(
        _("private network"), default=False,
        help_text=_("It may be an address inside the private network, and http without TLS."),
    )  # fmt: skip
    created_at = models.DateTimeField(_("made"), editable=False)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, editable=False)
    next_at = models.DateTimeField(_("next try"), null=True, editable=False)
    """Not tried before this."""
    served_at = models.DateTimeField(null=True, editable=False)
    """When a worker last took it: who waits longest comes first."""
    lease = models.UUIDField(null=True, editable=False)
    """The worker that delivers for it now, until ``leased_until``."""
    leased_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering: ClassVar = ["name"]
        permissions: ClassVar = [("allow_private", _("Can allow webhooks into the private network"))]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(lease__isnull=True, leased_until__isnull=True)
                | Q(lease__isnull=False, leased_until__isnull=False),
                name="subscription_lease_has_an_end",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse what could never be delivered. Whether the address may be reached is seen each time it is sent to."""
        faults: dict[str, str] = {}
        if fault := self._fault_of_url():
            faults["url"] = fault
        if not self.types:
            faults["types"] = str(_("Name at least one."))
        elif len(set(self.types)) < len(self.types):
            faults["types"] = str(_("One is named twice."))
        elif self.campaign_id and EventType.OPERATOR_STATUS in self.types:
            faults["types"] = str(_("operator.status belongs to no campaign: leave it or the campaign out."))
        if faults:
            raise ValidationError(faults)

    def _fault_of_url(self) -> str:
        if not self.url:
            return ""
        if not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            return str(_("An address is made of ASCII characters without blanks: write others as %XX, or xn--…"))
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            return str(_("This is no address: write it as https://crm.example.org/calls."))
        if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
            return str(_("This is no address: write it as https://crm.example.org/calls."))
        if parts.scheme == "http" and not self.allow_private:
            return str(_("Use https; an administrator may allow http, with the private network."))
        if parts.username is not None or parts.password is not None or parts.fragment:
            return str(_("Leave out name, password and fragment: the signature says who sends."))
        return ""


class DeliveryState(models.TextChoices):
    PENDING = "pending", _("Waits")
    DELIVERED = "delivered", _("Delivered")
    PARKED = "parked", _("Given up")


class Delivery(models.Model):
    """One event on its way to one subscription; by ``id`` they are in the order of their events."""

    subscription = models.ForeignKey(Subscription, models.CASCADE, related_name="deliveries", db_index=False)
    event = models.ForeignKey(Event, models.CASCADE, related_name="deliveries", db_index=False)
    state = models.CharField(_("state"), max_length=10, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    attempts = models.PositiveIntegerField(_("tries"), default=0)
    created_at = models.DateTimeField(_("since"))
    tried_at = models.DateTimeField(_("last try"), null=True)
    delivered_at = models.DateTimeField(_("delivered"), null=True)
    status_code = models.PositiveSmallIntegerField(_("status"), null=True)
    """Of the last answer; empty when there was none."""
    error = models.CharField(_("error"), max_length=600, blank=True, default="")
    milliseconds = models.PositiveIntegerField(_("took, ms"), null=True)
    """How long the last try took."""

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["event", "subscription"], name="delivery_once"),
            models.CheckConstraint(
                condition=Q(state=DeliveryState.DELIVERED, delivered_at__isnull=False)
                | (~Q(state=DeliveryState.DELIVERED) & Q(delivered_at__isnull=True)),
                name="delivery_has_its_instant",
            ),
        ]
        indexes: ClassVar = [
            # the next one of a subscription
            models.Index(fields=["subscription", "id"], condition=Q(state="pending"), name="delivery_pending"),
            # the log
            models.Index(fields=["subscription", "-id"], name="delivery_log"),
        ]

    def __str__(self) -> str:
        return f"{self.event} → {self.subscription}"
