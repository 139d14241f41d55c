"""Calendars, campaigns, gateways and routes in the admin: translation between pages and actions only."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from agents.forms import TierOfCampaignForm
from agents.models import Operator, Tier
from campaigns import actions, hours
from campaigns.forms import BaseHolidayFormSet, CalendarForm, CampaignForm, RangeFormSet
from campaigns.models import (
    ACTIVE_STATES,
    AllowedVariable,
    Calendar,
    CalendarRange,
    Campaign,
    CampaignState,
    CauseRule,
    Disposition,
    Gateway,
    Holiday,
    Route,
    Weekday,
)
from dialer import clock
from dialer.admin_tools import KeptWhileUsed, OfCampaigns, badge, seconds_left, wall_clock
from dialer.api import scope
from dialer.errors import Refused
from dialer.models import Attempt
from members.models import HELD_STATES, OPEN_STATES, Member, MemberState

CSS = {"all": ["admin/css/dialer.css"]}

STATE_TONES = {
    CampaignState.RUNNING: "good",
    CampaignState.SLEEPING: "busy",
    CampaignState.STOPPING: "busy",
    CampaignState.COMPLETED: "calm",
    CampaignState.STOPPED: "bad",
    CampaignState.IDLE: "calm",
}


def _count(of: QuerySet[Any], group: str) -> Coalesce:
    """Count the rows of a query that point to the row at hand by ``group``."""
    grouped = of.order_by().values(group).annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(grouped, output_field=IntegerField()), 0)


# --- calendars --------------------------------------------------------------------------------------------------


class RangeInline(admin.TabularInline):
    model = CalendarRange
    formset = RangeFormSet
    classes = ("plain-rows",)

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj else len(Weekday)

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Offer a new calendar one row a weekday; a row without times is not kept."""
        formset = super().get_formset(request, obj, **kwargs)
        if obj:
            return formset

        class WeekFormSet(formset):  # type: ignore[misc, valid-type]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **{**kwargs, "initial": [{"weekday": weekday} for weekday in Weekday]})

        return WeekFormSet


class HolidayInline(admin.TabularInline):
    model = Holiday
    formset = BaseHolidayFormSet
    extra = 0
    classes = ("plain-rows",)


@admin.register(Calendar)
class CalendarAdmin(KeptWhileUsed):
    form = CalendarForm
    inlines = (RangeInline, HolidayInline)
    fieldsets = ((None, {"fields": ("name", "time_zone", ("first_date", "last_date"))}),)
    list_display = ("name", "time_zone", "first_date", "last_date", "open_now")
    search_fields = ("name",)
    used_by = ("campaigns",)

    class Media:
        css = CSS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Calendar]:
        return super().get_queryset(request).prefetch_related("ranges", "holidays")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who is limited to campaigns changes none that others have, too."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or scope.may_change_calendar(request.user, obj))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Calendar | None:
        """Lock the calendar while it is saved, so that overlaps are looked for in what is really there."""
        found: Calendar | None = super().get_object(request, object_id, from_field)
        if found and request.method == "POST":
            actions.lock_calendar(found.pk)
        return found

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        actions.check_calendar(form.instance.pk)

    @admin.display(description=_("now"))
    def open_now(self, calendar: Calendar) -> SafeString:
        now = clock.now()
        opening = hours.next_opening(calendar.as_hours(), "", now)
        if opening is None:
            return badge(gettext("over"), "bad")
        if opening <= now:
            return badge(gettext("open"), "good")
        return badge(gettext("opens %s") % wall_clock(opening, calendar.time_zone), "calm")


# --- campaigns --------------------------------------------------------------------------------------------------


class CauseInline(admin.TabularInline):
    model = CauseRule
    extra = 0
    classes = ("collapse", "plain-rows")
    template = "admin/campaigns/campaign/causes.html"


class DispositionInline(admin.TabularInline):
    """The dispositions, to be looked at: they are set as a whole, on the campaign's page."""

    model = Disposition
    fields = ("position", "name", "meaning", "hotkey", "stop", "wait", "reset_retries", "archived")
    readonly_fields = fields
    extra = 0
    can_delete = False
    classes = ("collapse", "plain-rows")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who sees a campaign sees them."""
        return request.user.has_perm("campaigns.view_campaign") or request.user.has_perm("campaigns.change_campaign")


class TierInline(admin.TabularInline):
    model = Tier
    form = TierOfCampaignForm
    extra = 0
    autocomplete_fields = ("operator",)
    classes = ("plain-rows",)
    verbose_name = _("operator")
    verbose_name_plural = _("operators (tiers: lower level first, then lower position)")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tier]:
        return super().get_queryset(request).select_related("operator")


class RouteInline(admin.StackedInline):
    model = Route
    extra = 0
    autocomplete_fields = ("gateway",)
    verbose_name_plural = _("routes of this campaign (they come before the common ones)")
    fieldsets = (
        (None, {"fields": (
            ("name", "position", "enabled"), ("pattern", "gateway"), ("strip", "prepend", "caller_id"), "variables",
        )}),
    )  # fmt: skip


@admin.register(Campaign)
class CampaignAdmin(OfCampaigns, KeptWhileUsed):
    campaign_path = "pk"
    form = CampaignForm
    inlines = (TierInline, RouteInline, CauseInline, DispositionInline)
    list_display = ("name", "shown_state", "priority", "calendar", "lines", "operators")
    list_filter = ("state",)
    list_select_related = ("calendar",)
    search_fields = ("name",)
    autocomplete_fields = ("calendar",)
    readonly_fields = ("shown_state", "progress", "lines", "answering")
    actions = ("run_selected", "stop_selected")
    used_by = ("members", "attempts")
    change_form_template = "admin/campaigns/campaign/change_form.html"

    class Media:
        css = CSS

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        state = ((None, {"fields": ("shown_state", "progress", "lines", "answering")}),) if obj else ()
        return (
            *state,
            (_("General"), {"fields": ("name", "calendar", "priority")}),
            (_("Parameters"), {"fields": (
                "limit", "retry_wait", "max_retries", "min_duration", "wait_for_result", "wrap_up_time",
                "wrap_up_until_result", "originate_timeout", "caller_id", "strategy",
            )}),
            (_("Numbers"), {"fields": ("default_region", "zone_from_number")}),
            (_("Connection"), {"fields": (
                "connect_order", "waiting_sound", "answer_window", "abandon_message", "abandonment_cap", "record",
            )}),
            (_("Variables"), {"fields": ("variables",), "description": _("Put on every channel of the campaign.")}),
            (_("Desk"), {
                "fields": ("script", "call_back_grace", "wrap_up_extension", "coaching_shown"),
                "description": _("Its links and dispositions are set on the page “Desk” of the campaign."),
            }),
            (_("Cause"), {
                "fields": ("minus_limit", "error_stops_number_only"),
                "description": "" if obj else _("The usual causes are set; they can be changed once it is saved."),
            }),
        )  # fmt: skip

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else (TierInline, RouteInline)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Who is limited to campaigns adds none."""
        return super().has_add_permission(request) and scope.of(request.user) is None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Campaign]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                live=_count(Attempt.objects.live().filter(campaign=OuterRef("pk")), "campaign"),
                assigned=_count(Tier.objects.filter(campaign=OuterRef("pk"), operator__archived=False), "campaign"),
            )
        )

    @admin.display(description=_("state"), ordering="state")
    def shown_state(self, campaign: Campaign) -> SafeString:
        state = badge(campaign.get_state_display(), STATE_TONES[CampaignState(campaign.state)])
        told = ""
        if campaign.state == CampaignState.SLEEPING and campaign.sleeping_until:
            told = gettext("until %s") % wall_clock(campaign.sleeping_until, campaign.calendar.time_zone)
        elif campaign.state == CampaignState.COMPLETED:
            told = campaign.get_completion_display()
            if campaign.completion_left:
                told += gettext(" (%d left)") % campaign.completion_left
        if campaign.operator_first_until and campaign.operator_first_until > clock.now():
            told += gettext(" operator first until %s: too many answered calls were abandoned") % wall_clock(
                campaign.operator_first_until, campaign.calendar.time_zone
            )
        return format_html("{} {}", state, told) if told else state

    @admin.display(description=_("lines"))
    def lines(self, campaign: Any) -> str:
        return f"{campaign.live} / {campaign.limit}"

    @admin.display(description=_("operators"), ordering="assigned")
    def operators(self, campaign: Any) -> int:
        return campaign.assigned

    @admin.display(description=_("progress"))
    def progress(self, campaign: Campaign) -> SafeString:
        """Count subscribers by state; one statement, on an index alone."""
        rows = Member.objects.visible().filter(campaign=campaign).order_by()
        counts = Counter[str]()
        for state, success, count in rows.values_list("state", "success").annotate(count=Count("*")):
            counts[state] += count
            counts["success"] += count if success else 0
        ended, held = counts[MemberState.ENDED], sum(counts[state] for state in HELD_STATES)
        total = ended + held + sum(counts[state] for state in OPEN_STATES)
        told = gettext(
            "%(ended)d of %(total)d subscribers ended, %(success)d of them with success; "
            "%(held)d on a call or awaiting a result"
        ) % {"ended": ended, "total": total, "success": counts["success"], "held": held}
        return format_html(
            '<span class="progress-line"><progress max="{}" value="{}"></progress>{}</span>', total or 1, ended, told
        )

    @admin.display(description=_("answered calls"))
    def answering(self, campaign: Campaign) -> str:
        found = Attempt.objects.filter(campaign=campaign).answering(clock.now())
        return gettext(
            "%(answered)d in 30 days; %(abandoned)d abandoned (%(percent).1f %%), "
            "%(slow)d bridged after more than 2 s"
        ) % {
            "answered": found.answered, "abandoned": found.abandoned, "percent": found.abandoned_percent,
            "slow": found.slow,
        }  # fmt: skip

    # Saving goes through the actions, so that an edit has its effects.

    def save_model(self, request: HttpRequest, obj: Campaign, form: Any, change: bool) -> None:
        if change:
            actions.update_campaign(obj.pk, **{name: form.cleaned_data[name] for name in form.changed_data})
        else:
            obj.pk = actions.create_campaign(**form.cleaned_data).pk
            obj.refresh_from_db()

    def save_formset(
        self, request: HttpRequest, form: Any, formset: BaseInlineFormSet[Any, Any, Any], change: bool
    ) -> None:
        campaign_id = form.instance.pk
        if formset.model is CauseRule:
            formset.save(commit=False)  # tells the page's history what changed
            actions.set_causes(campaign_id, {
                rule.cleaned_data["cause"]: rule.cleaned_data["treatment"]
                for rule in formset.forms if rule.cleaned_data and rule not in formset.deleted_forms
            })  # fmt: skip
            return
        super().save_formset(request, form, formset, change)
        if formset.model is Route and formset.has_changed():
            actions.route_changed(campaign_id)

    # RUN and STOP, for one and for many.

    def get_urls(self) -> list[URLPattern]:
        pages = {"run": self.run_view, "stop": self.stop_view, "restore-causes": self.restore_causes_view,
                 "clone": self.clone_view}  # fmt: skip
        return [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"campaigns_campaign_{name}")
            for name, view in pages.items()
        ] + super().get_urls()

    @admin.action(description=_("RUN the selected campaigns"), permissions=["change"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        for campaign in queryset:
            self._run(request, campaign)

    @admin.action(description=_("STOP the selected campaigns (no call is cut)"), permissions=["change"])
    def stop_selected(self, request: HttpRequest, queryset: QuerySet[Campaign]) -> None:
        for campaign in queryset:
            self._stop(request, campaign)

    def _run(self, request: HttpRequest, campaign: Campaign) -> None:
        try:
            answer = actions.run(campaign.pk, request.user)
        except Refused as refusal:
            self.message_user(request, refusal.message, messages.ERROR)
            return
        good = answer in (actions.RunAnswer.STARTED, actions.RunAnswer.UNCHANGED)
        self.message_user(request, f"{campaign}: {answer.label}", messages.SUCCESS if good else messages.WARNING)
        self.log_change(request, campaign, f"RUN: {answer.label}")

    def _stop(self, request: HttpRequest, campaign: Campaign) -> None:
        try:
            state = actions.stop(campaign.pk, request.user)
        except Refused as refusal:
            self.message_user(request, refusal.message, messages.ERROR)
            return
        self.message_user(request, f"{campaign}: {state.label}", messages.SUCCESS)
        self.log_change(request, campaign, f"STOP: {state.label}")

    def run_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        campaign = self._changeable(request, pk)
        if request.method == "POST":
            self._run(request, campaign)
            return self._back(campaign)
        return self._confirm(request, campaign, gettext("RUN"), self._consequences_of_run(campaign), "")

    def stop_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        campaign = self._changeable(request, pk)
        if request.method == "POST":
            self._stop(request, campaign)
            return self._back(campaign)
        return self._confirm(request, campaign, gettext("STOP"), self._consequences_of_stop(campaign), "danger")

    def restore_causes_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        campaign = self._changeable(request, pk)
        if request.method == "POST":
            actions.restore_default_causes(campaign.pk)
            self.message_user(request, gettext("%s: the causes are the defaults again.") % campaign, messages.SUCCESS)
            self.log_change(request, campaign, "Default causes restored")
        return self._back(campaign)

    def clone_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        campaign = self._changeable(request, pk)
        if request.method != "POST":
            return self._back(campaign)
        if not self.has_add_permission(request):
            raise PermissionDenied
        clone = actions.clone_campaign(campaign.pk, actions.free_name(campaign.name))
        self.log_addition(request, clone, f"Copied from {campaign}")
        self.message_user(request, gettext("Copied from %s, without its subscribers.") % campaign, messages.SUCCESS)
        return self._back(clone)

    def _changeable(self, request: HttpRequest, pk: int) -> Campaign:
        campaign = get_object_or_404(scope.campaigns(request.user).select_related("calendar"), pk=pk)
        if not self.has_change_permission(request, campaign):
            raise PermissionDenied
        return campaign

    @staticmethod
    def _back(campaign: Campaign) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:campaigns_campaign_change", args=[campaign.pk]))

    def _confirm(
        self, request: HttpRequest, campaign: Campaign, verb: str, consequences: list[str], tone: str
    ) -> HttpResponse:
        return TemplateResponse(request, "admin/confirm.html", {
            **self.admin_site.each_context(request),
            "title": f"{verb} “{campaign}”?", "opts": self.opts, "original": campaign, "media": self.media,
            "verb": verb, "tone": tone, "consequences": consequences,
            "back": reverse("admin:campaigns_campaign_change", args=[campaign.pk]),
        })  # fmt: skip

    @staticmethod
    def _consequences_of_run(campaign: Campaign) -> list[str]:
        now = clock.now()
        callable_now = Member.objects.filter(campaign=campaign, state__in=OPEN_STATES).count()
        assigned = Operator.objects.filter(tiers__campaign=campaign)
        opening = hours.next_opening(campaign.calendar.as_hours(), "", now)
        told = [
            ngettext("%d subscriber is left to call.", "%d subscribers are left to call.", callable_now) % callable_now,
            gettext("%(free)d of %(all)d assigned operators are free now.")
            % {"free": assigned.free(now).count(), "all": assigned.filter(archived=False).count()},
            gettext("Up to %d calls at a time.") % campaign.limit,
        ]
        if opening is None:
            told.append(gettext("Its calendar “%s” does not open any more.") % campaign.calendar)
        elif opening > now:
            told.append(
                gettext("It sleeps until its calendar opens: %s.") % wall_clock(opening, campaign.calendar.time_zone)
            )
        else:
            told.append(gettext("Its calendar is open: calls begin at once."))
        return told

    @staticmethod
    def _consequences_of_stop(campaign: Campaign) -> list[str]:
        live = Attempt.objects.live().filter(campaign=campaign)
        unsent = live.filter(sending_at__isnull=True).count()
        going = live.count() - unsent
        return [
            gettext("No new call is placed."),
            ngettext("%d call goes on to its end.", "%d calls go on to their end.", going) % going,
            gettext("What is reserved and not yet sent (now %d) is withdrawn and not counted.") % unsent,
            gettext("RUN goes on where it was."),
        ]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        campaign = kwargs.get("obj")
        if campaign:
            context["can_stop"] = campaign.state in ACTIVE_STATES
            context["can_run"] = campaign.state not in ACTIVE_STATES
        return super().render_change_form(request, context, *args, **kwargs)


# --- gateways and routes ----------------------------------------------------------------------------------------


@admin.register(Gateway)
class GatewayAdmin(KeptWhileUsed):
    list_display = ("name", "lines", "enabled", "health", "dial_string")
    search_fields = ("name",)
    readonly_fields = ("lines", "health")
    fields = ("name", "dial_string", "capacity", "enabled", "lines", "health")
    actions = ("try_again",)
    used_by = ("routes", "operators", "attempts")

    class Media:
        css = CSS

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keep one that subscribers' next calls are planned on; only asked when nothing else keeps it."""
        return super().has_delete_permission(request, obj) and not Member.objects.filter(next_gateway=obj).exists()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Gateway]:
        live = Attempt.objects.live()
        return super().get_queryset(request).annotate(
            live=_count(live.filter(gateway=OuterRef("pk")), "gateway")
            + _count(live.filter(operator_gateway=OuterRef("pk")), "operator_gateway")
        )  # fmt: skip

    def save_model(self, request: HttpRequest, obj: Gateway, form: Any, change: bool) -> None:
        if change:
            actions.update_gateway(obj.pk, **{name: form.cleaned_data[name] for name in form.changed_data})
        else:
            super().save_model(request, obj, form, change)

    @admin.display(description=_("lines in use"))
    def lines(self, gateway: Any) -> str:
        return f"{getattr(gateway, 'live', 0)} / {gateway.capacity}"

    @admin.display(description=_("health"))
    def health(self, gateway: Gateway) -> SafeString:
        if not gateway.enabled:
            return badge(gettext("off"), "calm")
        if gateway.blocked_until and gateway.blocked_until > clock.now():
            left = gettext("no calls for %d s") % seconds_left(gateway.blocked_until)
            return format_html("{} {}", badge(left, "bad"), gateway.blocked_reason)
        return badge(gettext("in service"), "good")

    @admin.action(description=_("Try the selected gateways again at once"), permissions=["change"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Gateway]) -> None:
        for gateway in queryset:
            actions.unblock_gateway(gateway.pk)
        self.message_user(request, gettext("They take calls again."), messages.SUCCESS)


@admin.register(Route)
class RouteAdmin(OfCampaigns, admin.ModelAdmin):
    common = True
    list_display = ("__str__", "campaign", "position", "pattern", "gateway", "enabled")
    list_select_related = ("campaign", "gateway")
    list_filter = ("enabled", ("campaign", admin.RelatedOnlyFieldListFilter))
    search_fields = ("name", "pattern", "campaign__name", "gateway__name")
    ordering = (F("campaign").asc(nulls_first=True), "position", "pk")
    autocomplete_fields = ("campaign", "gateway")
    fieldsets = (
        (None, {"fields": (
            ("name", "position", "enabled"), "campaign", ("pattern", "gateway"), ("strip", "prepend", "caller_id"),
            "variables",
        )}),
    )  # fmt: skip

    def save_model(self, request: HttpRequest, obj: Route, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        moved = "campaign" in form.changed_data
        actions.route_changed(None if moved else obj.campaign_id)

    def delete_model(self, request: HttpRequest, obj: Route) -> None:
        campaign_id = obj.campaign_id
        super().delete_model(request, obj)
        actions.route_changed(campaign_id)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Route]) -> None:
        super().delete_queryset(request, queryset)
        actions.route_changed(None)


@admin.register(AllowedVariable)
class AllowedVariableAdmin(admin.ModelAdmin):
    list_display = ("name",)
    search_fields = ("name",)
