"""What the admin pages of the apps share: lists that stay fast at a million rows, rows that nobody edits or loses."""

from __future__ import annotations

from datetime import datetime
from math import ceil
from typing import Any

import pytz
from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from campaigns.models import Campaign
from dialer import clock
from dialer.api import scope

MOST_LISTED = 10_000
"""Rows that a bounded list counts and pages through at most; filters and search find the others."""


class BoundedPaginator(Paginator):
    """Count ``MOST_LISTED`` rows at most, so that a list costs the same at a million rows."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return rows.order_by()[:MOST_LISTED].count()


class BoundedAdmin(admin.ModelAdmin):
    """A list that never counts all of its rows and says so when there are more than it shows."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    change_list_template = "admin/bounded_change_list.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"most_listed": MOST_LISTED, **(extra_context or {})})


class ReadOnlyAdmin(BoundedAdmin):
    """Rows that only the system writes."""

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class OwnCampaigns(admin.RelatedFieldListFilter):
    """A choice among the campaigns that the user may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        return [(campaign.pk, str(campaign)) for campaign in scope.campaigns(request.user).order_by("name")]


class OfCampaigns(BaseModelAdmin):
    """Rows of campaigns: who is limited to some sees and changes theirs alone."""

    campaign_path = "campaign"
    common = False
    """Whether he sees those of no campaign, too. He does not change them."""

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return scope.within(super().get_queryset(request), request.user, self.campaign_path, common=self.common)

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        if db_field.related_model is Campaign:
            return scope.campaigns(request.user).order_by("name")
        return super().get_field_queryset(db, db_field, request)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **keywords: Any) -> Any:
        field: Any = super().formfield_for_foreignkey(db_field, request, **keywords)
        if db_field.related_model is Campaign and scope.of(request.user) is not None:
            field.required = True
        return field

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may_change(request, obj)

    def _may_change(self, request: HttpRequest, obj: Any) -> bool:
        return not self.common or obj is None or scope.may_change(request.user, obj.campaign_id)


class KeptWhileUsed(admin.ModelAdmin):
    """Rows that may be deleted one at a time, and only while nothing named in ``used_by`` points to them."""

    used_by: tuple[str, ...] = ()

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        if obj is None or not super().has_delete_permission(request, obj):
            return False
        return not any(getattr(obj, name).exists() for name in self.used_by)


def wall_clock(instant: datetime, zone: str) -> str:
    """Write an instant on the wall clock of a zone, to the minute, with the zone's name."""
    return f"{date_format(localtime(instant, pytz.timezone(zone)), 'D j M Y H:i')} {zone}"


def seconds_left(instant: datetime) -> int:
    """Return how many seconds there are until an instant; 0 when it is over."""
    return max(0, ceil((instant - clock.now()).total_seconds()))


def badge(word: object, tone: str) -> SafeString:
    """Show a state as a coloured word; ``tone`` is good, busy, calm or bad."""
    return format_html('<span class="badge badge-{}">{}</span>', tone, word)
