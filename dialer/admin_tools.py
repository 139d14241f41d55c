"""What the admin pages of the apps share: lists that stay fast at a million rows, rows that nobody edits or loses."""

from __future__ import annotations

from datetime import datetime
from math import ceil
from typing import Any

import pytz
from django.contrib import admin
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from dialer import clock

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
