"""Keys of the REST interface, and the answers that a repeated request gets again."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from dialer import clock


class AccessKeyQuerySet(models.QuerySet["AccessKey"]):
    def usable(self, now: datetime) -> AccessKeyQuerySet:
        """Those that open the interface at ``now``."""
        return self.filter(revoked_at__isnull=True, expires_at__gt=now)


class AccessKey(models.Model):
    """A key to the REST interface. Its token is shown once and kept nowhere: the row holds a digest of its secret."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    """What ``X-Key`` names."""
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="access_keys", verbose_name=_("user")
    )
    name = models.CharField(_("name"), max_length=120, blank=True, help_text=_("What it is for."))
    digest = models.CharField(max_length=64, editable=False)
    """SHA-256 (hexadecimal) of the random secret inside the token."""
    password_mark = models.CharField(max_length=64, blank=True, default="", editable=False)
    """Of a key made by log-in: which password it was; another password ends it."""
    created_at = models.DateTimeField(_("made"), editable=False)
    expires_at = models.DateTimeField(_("expires"))
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    """To the minute."""
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)

    objects = AccessKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("access key")
        verbose_name_plural = _("access keys")
        ordering: ClassVar = ["-created_at", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(digest__regex=r"^[0-9a-f]{64}$"), name="access_key_digest_is_a_digest")
        ]

    def __str__(self) -> str:
        return self.name or str(self.pk)

    @property
    def state(self) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked_at:
            return "revoked"
        return "active" if self.expires_at > clock.now() else "expired"


class StoredAnswer(models.Model):
    """What a POST with an ``Idempotency-Key`` was answered: the same request again gets it again and does nothing."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    """SHA-256 of address and body: under the same key another request is refused."""
    status = models.PositiveSmallIntegerField(null=True)
    body = models.TextField(blank=True, default="")
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "key"], name="stored_answer_once")]
        indexes: ClassVar = [models.Index(fields=["created_at"], name="stored_answer_age")]

    def __str__(self) -> str:
        return self.key


class CampaignAccess(models.Model):
    """A campaign that a user is limited to; who has none of these is not limited."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="campaign_access")
    campaign = models.ForeignKey(
        "campaigns.Campaign", models.SET_NULL, null=True, related_name="+", verbose_name=_("campaign")
    )
    """Empty when it was deleted: to lose the last one must not open all others."""

    class Meta:
        verbose_name = _("campaign he is limited to")
        verbose_name_plural = _("campaigns he is limited to")
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "campaign"], name="campaign_access_once")]

    def __str__(self) -> str:
        return str(self.campaign or "–")


class Right(models.Model):  # noqa: DJ008 (it has no rows)
    """Rights that belong to no table; it has none itself."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = (
            ("run_campaign", _("Can run and stop campaigns")),
            ("report_result", _("Can report results of own calls")),
            ("report_any_result", _("Can report results of all calls")),
            ("hang_up", _("Can end calls of others")),
            ("take_calls", _("Can take calls: change the own status, see the own calls")),
            ("change_status", _("Can change the status of operators")),
            ("see_live", _("Can see what goes on")),
            ("all_campaigns", _("Is never limited to campaigns")),
        )
