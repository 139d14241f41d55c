"""The ledger in the admin, for reading: attempts, switches, results as reported, repairs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from dialer import clock
from dialer.admin_tools import BoundedAdmin, OfCampaigns, OwnCampaigns, ReadOnlyAdmin, badge, seconds_left
from dialer.engine import nodes
from dialer.models import Attempt, CallRecord, Coaching, Node, OperatorTry, Outcome, Repair, ResultReport
from members.models import Member

admin.site.site_header = _("Progressive dialer")
admin.site.site_title = _("Progressive dialer")
admin.site.index_title = _("Set-up")

CSS = {"all": ["admin/css/dialer.css"]}

RECENT = 100_000
"""Newest rows that a filter without an index looks through."""

OUTCOME_TONES = {
    Outcome.SUCCESS: "good",
    Outcome.AWAITING_RESULT: "busy",
    Outcome.ERROR: "bad",
    Outcome.ABANDONED: "bad",
}


COURSE = {
    "operator_free_at": _("operator free"),
    "member_due_at": _("subscriber due"),
    "reserved_at": _("reserved"),
    "sending_at": _("sent to the switch"),
    "operator_reserved_at": _("another operator reserved"),
    "operator_sending_at": _("operator's phone ordered to ring"),
    "operator_ringing_at": _("operator's phone rings"),
    "operator_answered_at": _("operator answered"),
    "subscriber_created_at": _("subscriber called"),
    "subscriber_ringing_at": _("subscriber's phone rings"),
    "subscriber_answered_at": _("subscriber answered"),
    "bridged_at": _("bridged"),
    "talk_ended_at": _("talk ended"),
    "operator_ended_at": _("operator's leg ended"),
    "subscriber_ended_at": _("subscriber's leg ended"),
    "kill_sent_at": _("hung up by us"),
    "ended_at": _("ended"),
    "result_at": _("result received"),
}
"""The instants of an attempt, in words."""


class LiveFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "live"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Live")), ("0", _("Ended"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in ("0", "1"):
            return queryset.filter(ended_at__isnull=self.value() == "1")
        return queryset


class RecentOutcomeFilter(admin.SimpleListFilter):
    """An outcome among the newest attempts: no index knows outcomes, and none is worth its writes."""

    title = _("outcome (of the newest 100,000)")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Outcome.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in Outcome.values:
            return queryset
        newest = Attempt.objects.aggregate(newest=Max("pk"))["newest"] or 0
        return queryset.filter(pk__gt=newest - RECENT, outcome=self.value())


class RepairInline(admin.TabularInline):
    model = Repair
    fields = readonly_fields = ("at", "kind", "detail")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OperatorTryInline(admin.TabularInline):
    model = OperatorTry
    fields = readonly_fields = ("operator", "cause", "sending_at", "ringing_at", "answered_at", "ended_at")
    extra = 0
    can_delete = False
    verbose_name_plural = _("operators who were rung and did not take the call")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class CallRecordInline(admin.TabularInline):
    model = CallRecord
    fields = readonly_fields = (
        "role", "cause", "by_phone", "created_at", "answered_at", "bridged_at", "ended_at", "received_at",
    )  # fmt: skip
    extra = 0
    can_delete = False
    verbose_name_plural = _("the switch's own records")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ResultReportInline(admin.TabularInline):
    model = ResultReport
    fields = readonly_fields = ("received_at", "verdict", "reason", "body", "by")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class CoachingInline(admin.TabularInline):
    model = Coaching
    fields = readonly_fields = ("supervisor", "extension", "mode", "asked_at", "answered_at", "ended_at", "cause")
    extra = 0
    can_delete = False
    verbose_name_plural = _("supervisors on the call")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Attempt)
class AttemptAdmin(OfCampaigns, ReadOnlyAdmin):
    list_display = ("id", "reserved", "campaign", "called", "who", "end")
    list_select_related = ("campaign", "member", "operator", "gateway")
    list_filter = (LiveFilter, RecentOutcomeFilter, ("campaign", OwnCampaigns))
    search_fields = ("id",)
    search_help_text = _("A number (its first or last digits), a name, an external id, or the UUID of a leg or job.")
    sortable_by = ("id",)
    ordering = ("-id",)
    inlines = (OperatorTryInline, CoachingInline, ResultReportInline, CallRecordInline, RepairInline)
    fieldsets = (
        (None, {"fields": (
            ("campaign", "connect_order"), ("member", "communication", "digits"), ("operator", "operator_gateway"),
            ("gateway", "route", "node"),
        )}),
        (_("Outcome"), {"fields": (
            ("came_of_it", "counted"), ("cause", "operator_cause", "subscriber_cause", "ended_by"),
            ("talk", "waited"), "recording",
            ("kill_reason", "kill_sent_at", "killed_by"),
        )}),
        (_("Result"), {"fields": (
            ("result_state", "result_deadline", "result_at"), "disposition", "result", "comment",
        )}),
        (_("Course (UTC)"), {"fields": ("course",)}),
        (_("Decided by"), {"fields": (
            ("limit_then", "capacity_then"), ("maximum_then", "counted_before"),
            ("zones_then", "open_until", "expire_then"), ("operator_timeout", "subscriber_timeout", "answer_window"),
            "variables", "variables_left_out",
        )}),
        (_("On the switch"), {"fields": (("operator_uuid", "subscriber_uuid"), ("job_uuid", "core_uuid"))}),
    )  # fmt: skip
    readonly_fields = ("came_of_it", "talk", "waited", "course")

    class Media:
        css = CSS

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Attempt], search_term: str
    ) -> tuple[QuerySet[Attempt], bool]:
        """Search by what an index knows: the subscriber, as his own list finds him, or a UUID of the call."""
        text = search_term.strip()
        if not text:
            return queryset, False
        try:
            call = UUID(text)
        except ValueError:
            return queryset.filter(member__in=Member.objects.search(text).values("pk")), False
        return queryset.filter(Q(operator_uuid=call) | Q(subscriber_uuid=call) | Q(job_uuid=call)), False

    @admin.display(description=_("reserved (UTC)"), ordering="id")
    def reserved(self, attempt: Attempt) -> str:
        return f"{attempt.reserved_at:%d.%m.%Y %H:%M:%S}"

    @admin.display(description=_("subscriber"))
    def called(self, attempt: Attempt) -> SafeString:
        return format_html("{}<br>{}", attempt.member, attempt.digits)

    @admin.display(description=_("operator"))
    def who(self, attempt: Attempt) -> str:
        return attempt.operator.name

    @admin.display(description=_("talk"))
    def talk(self, attempt: Attempt) -> str:
        return gettext("%.1f s") % attempt.talk_seconds if attempt.bridged_at else "–"

    @admin.display(description=_("answer to bridge"))
    def waited(self, attempt: Attempt) -> str:
        wait = attempt.answer_to_bridge
        return "–" if wait is None else gettext("%.1f s") % wait

    @admin.display(description=_("outcome"))
    def came_of_it(self, attempt: Attempt) -> SafeString:
        if not attempt.outcome:
            return badge(attempt.stage, "busy")
        return badge(attempt.get_outcome_display(), OUTCOME_TONES.get(Outcome(attempt.outcome), "calm"))

    @admin.display(description=_("outcome"))
    def end(self, attempt: Attempt) -> SafeString:
        talk = self.talk(attempt) if attempt.bridged_at else ""
        return format_html("{} {} {}", self.came_of_it(attempt), attempt.cause, talk)

    @admin.display(description=_("course"))
    def course(self, attempt: Attempt) -> SafeString:
        """Tell the instants in their order, to the millisecond, and how long after the reservation each was."""
        known = [(instant, word) for field, word in COURSE.items() if (instant := getattr(attempt, field))]
        rows = (
            (word, f"{instant:%d.%m.%Y %H:%M:%S}.{instant.microsecond // 1000:03}",
             f"{(instant - attempt.reserved_at).total_seconds():+.3f} s")
            for instant, word in sorted(known, key=lambda step: step[0])
        )  # fmt: skip
        steps = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
        return format_html('<table class="timeline">{}</table>', steps)


@admin.register(Node)
class NodeAdmin(BoundedAdmin):
    """Switches are those of FREESWITCH_URL; what a person rules of them is their share and their limits."""

    list_display = ("name", "health", "weight", "max_calls", "max_rate", "listener", "version", "last_event_at")
    readonly_fields = (
        "name", "health", "listener", "version", "core_uuid", "connected_at", "started_at", "last_event_at",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("name", "health", "enabled", "weight", "max_calls", "max_rate")}),
        (
            _("As its listener knows it"),
            {"fields": ("listener", "version", "core_uuid", "connected_at", "started_at", "last_event_at")},
        ),
    )

    class Media:
        css = CSS

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Node, form: Any, change: bool) -> None:
        nodes.configure(obj.pk, by=request.user, **{name: form.cleaned_data[name] for name in form.changed_data})

    @admin.display(description=_("health"))
    def health(self, node: Node) -> SafeString:
        if not node.enabled:
            return badge(gettext("draining"), "calm")
        if not node.connected:
            return badge(gettext("not connected"), "bad")
        if not node.ready:
            return badge(gettext("paused"), "bad")
        if node.blocked_until and node.blocked_until > clock.now():
            return badge(gettext("no calls for %d s") % seconds_left(node.blocked_until), "bad")
        return badge(gettext("in service"), "good")


@admin.register(Repair)
class RepairAdmin(OfCampaigns, ReadOnlyAdmin):
    campaign_path = "attempt__campaign"
    common = True
    list_display = ("at", "kind", "attempt", "node", "detail")
    list_select_related = ("attempt", "node")
    list_display_links = ("at",)
    ordering = ("-id",)
    sortable_by = ()


@admin.register(ResultReport)
class ResultReportAdmin(OfCampaigns, ReadOnlyAdmin):
    campaign_path = "member__campaign"
    list_display = ("received_at", "member", "attempt", "verdict", "reason", "by")
    list_select_related = ("member", "attempt", "by")
    ordering = ("-id",)
    sortable_by = ()
