"""Operators in the admin: translation between pages and actions only."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from agents import actions
from agents.forms import OperatorForm, TierOfOperatorForm
from agents.models import BUSY_STATES, Operator, OperatorPhone, OperatorState, OperatorStatus, Tier
from dialer import clock, verbs
from dialer.admin_tools import KeptWhileUsed, OfCampaigns, badge, seconds_left
from dialer.errors import Refused

STATE_TONES = {
    OperatorState.IDLE: "calm",
    OperatorState.WAITING: "good",
    OperatorState.RESERVED: "busy",
    OperatorState.RECEIVING: "busy",
    OperatorState.IN_CALL: "busy",
    OperatorState.WRAP_UP: "busy",
}


class TierInline(OfCampaigns, admin.TabularInline):
    model = Tier
    form = TierOfOperatorForm
    extra = 0
    autocomplete_fields = ("campaign",)
    classes = ("plain-rows",)
    verbose_name = _("campaign")
    verbose_name_plural = _("campaigns (tiers: lower level first, then lower position)")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tier]:
        return super().get_queryset(request).select_related("campaign", "operator")


@admin.register(Operator)
class OperatorAdmin(KeptWhileUsed):
    form = OperatorForm
    inlines = (TierInline,)
    list_display = ("name", "extension", "shown_status", "shown_state", "registration", "why_no_calls")
    list_filter = ("status", "state", "registered", "archived")
    search_fields = ("name", "extension")
    autocomplete_fields = ("user", "gateway")
    readonly_fields = ("shown_status", "shown_state", "registration", "client", "why_no_calls", "no_answer_count")
    actions = ("make_available", "make_on_demand", "send_on_break", "log_out", "say_ready")
    used_by = ("attempts",)
    change_form_template = "admin/agents/operator/change_form.html"

    class Media:
        css = {"all": ["admin/css/dialer.css"]}  # noqa: RUF012

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        state = (
            (None, {"fields": (
                ("shown_status", "shown_state"), ("registration", "client", "no_answer_count"), "why_no_calls",
            )}),
        ) if obj else ()  # fmt: skip
        return (
            *state,
            (_("General"), {"fields": (("name", "extension"), "user", "uses_client", *(("archived",) if obj else ()))}),
            (_("Phone"), {
                "fields": ("phone", ("phone_password", "make_phone_password")), "description": self.how_to_log_in(obj),
            }),
            (_("Outside number"), {"fields": (("contact", "gateway"),)}),
            (_("Parameters, in seconds"), {"fields": (
                ("call_timeout", "wrap_up_time", "max_no_answer"), ("busy_delay", "reject_delay", "no_answer_delay"),
            )}),
        )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Operator]:
        return Operator.objects.with_obstacles(clock.now())

    @admin.display(description=_("status"), ordering="status")
    def shown_status(self, operator: Operator) -> str:
        told = str(operator.get_status_display())
        if operator.forced_break:
            told = gettext("%s (forced)") % told
        if operator.next_status:
            told += gettext(", then %s") % operator.get_next_status_display()
        return told

    @admin.display(description=_("state"), ordering="state")
    def shown_state(self, operator: Operator) -> SafeString:
        state = badge(operator.get_state_display(), STATE_TONES[OperatorState(operator.state)])
        if operator.wrap_up_until:
            return format_html("{} {}", state, gettext("for %d s") % seconds_left(operator.wrap_up_until))
        return state

    @admin.display(description=_("phone"), ordering="registered")
    def registration(self, operator: Operator) -> str:
        if operator.contact:
            return operator.contact
        return gettext("registered") if operator.registered else gettext("not registered")

    @admin.display(description=_("client"))
    def client(self, operator: Operator) -> str:
        if not operator.client_connected:
            return gettext("not connected")
        return gettext("call-centre mode on") if operator.call_centre_mode else gettext("call-centre mode off")

    @admin.display(description=_("gets no calls because"))
    def why_no_calls(self, operator: Operator) -> str:
        return ", ".join(operator.obstacles()) or "–"

    # Saving goes through the actions, so that an edit has its effects.

    def save_model(self, request: HttpRequest, obj: Operator, form: Any, change: bool) -> None:
        kept, password = form.keep()
        if not change:
            obj.pk = kept.pk
            obj.refresh_from_db()
        if password:
            told = gettext("The phone of %(operator)s logs in with the password %(password)s. It is shown this once.")
            self.message_user(request, told % {"operator": obj, "password": password}, messages.WARNING)

    @staticmethod
    def how_to_log_in(operator: Operator | None) -> str:
        """Tell what to enter into his phone."""
        if operator is not None and operator.phone == OperatorPhone.PAGE:
            return gettext("His phone is in the page of his desk and logs in by itself.")
        if operator is None:
            return gettext("The phone registers as its extension at the domain %s.") % settings.SIP_DOMAIN
        has = gettext("has a password") if operator.sip_password_a1 else gettext("has no password, so cannot register")
        return gettext("The phone registers as %(user)s at the domain %(domain)s; it %(has)s.") % {
            "user": operator.extension,
            "domain": settings.SIP_DOMAIN,
            "has": has,
        }

    def save_formset(
        self, request: HttpRequest, form: Any, formset: BaseInlineFormSet[Any, Any, Any], change: bool
    ) -> None:
        super().save_formset(request, form, formset, change)
        verbs.wake()

    # Statuses, for one and for many.

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.status_view)
        return [path("<int:pk>/status/", view, name="agents_operator_status"), *super().get_urls()]

    def status_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Take one button of the change page: a status, or "ready"."""
        operator = get_object_or_404(Operator, pk=pk)
        if not self.has_change_permission(request, operator):
            raise PermissionDenied
        chosen = request.POST.get("status", "")
        if request.method == "POST" and chosen in (*OperatorStatus.values, "ready"):
            self._change(request, [operator], chosen)
        return HttpResponseRedirect(reverse("admin:agents_operator_change", args=[pk]))

    def _change(self, request: HttpRequest, operators: Any, chosen: str) -> None:
        for operator in operators:
            try:
                if chosen == "ready":
                    then = actions.ready(operator.pk)
                else:
                    then = actions.set_status(operator.pk, chosen, by=request.user, reason="admin")
            except Refused as refusal:
                self.message_user(request, refusal.message, messages.ERROR)
                continue
            told = f"{then}: {self.shown_status(then)}, {then.get_state_display()}"
            self.message_user(request, told, messages.SUCCESS)
            self.log_change(request, then, told)

    @admin.action(description=_("Available"), permissions=["change"])
    def make_available(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        self._change(request, queryset, OperatorStatus.AVAILABLE)

    @admin.action(description=_("Available (On Demand)"), permissions=["change"])
    def make_on_demand(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        self._change(request, queryset, OperatorStatus.ON_DEMAND)

    @admin.action(description=_("On Break (after the call, for those on one)"), permissions=["change"])
    def send_on_break(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        self._change(request, queryset, OperatorStatus.ON_BREAK)

    @admin.action(description=_("Logged Out (after the call, for those on one)"), permissions=["change"])
    def log_out(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        self._change(request, queryset, OperatorStatus.LOGGED_OUT)

    @admin.action(description=_("Ready (ends the wrap-up)"), permissions=["change"])
    def say_ready(self, request: HttpRequest, queryset: QuerySet[Operator]) -> None:
        self._change(request, queryset, "ready")

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        operator = kwargs.get("obj")
        if operator:
            context["statuses"] = [choice for choice in OperatorStatus.choices if choice[0] != operator.status]
            context["can_be_ready"] = operator.state == OperatorState.WRAP_UP or (
                operator.state == OperatorState.IDLE and operator.status == OperatorStatus.ON_DEMAND
            )
            context["on_a_call"] = operator.state in BUSY_STATES
        return super().render_change_form(request, context, *args, **kwargs)
