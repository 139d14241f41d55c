"""Webhooks in the admin: subscriptions, a test of them, and the log of deliveries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from dialer import clock
from dialer.admin_tools import OfCampaigns, ReadOnlyAdmin, badge, seconds_left
from dialer.api import scope
from dialer.errors import Refused
from dialer.webhooks import actions
from dialer.webhooks.models import Delivery, DeliveryState, Event, EventType, Subscription

CSS = {"all": ["admin/css/dialer.css"]}
TONES = {DeliveryState.PENDING: "busy", DeliveryState.DELIVERED: "good", DeliveryState.PARKED: "bad"}


class SubscriptionForm(forms.ModelForm):
    types = forms.MultipleChoiceField(
        label=_("Events"), choices=EventType.choices, widget=forms.CheckboxSelectMultiple
    )  # fmt: skip

    class Meta:
        model = Subscription
        fields = ("name", "campaign", "types", "url", "enabled", "allow_private")


@admin.register(Subscription)
class SubscriptionAdmin(OfCampaigns, admin.ModelAdmin):
    form = SubscriptionForm
    list_display = ("name", "url", "of", "enabled", "how_it_goes")
    list_select_related = ("campaign",)
    list_filter = ("enabled",)
    search_fields = ("name", "url")
    autocomplete_fields = ("campaign",)
    change_form_template = "admin/webhooks/subscription/change_form.html"

    class Media:
        css = CSS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        pending = Delivery.objects.filter(subscription=OuterRef("pk"), state=DeliveryState.PENDING).order_by()
        waiting = pending.values("subscription").annotate(count=Count("pk")).values("count")
        return super().get_queryset(request).annotate(waiting=Coalesce(Subquery(waiting), 0))

    def get_fields(self, request: HttpRequest, obj: Subscription | None = None) -> Any:
        own = ("name", "campaign", "types", "url", "enabled", "allow_private")
        return (*own, "how_it_goes") if obj else own

    def get_readonly_fields(self, request: HttpRequest, obj: Subscription | None = None) -> Any:
        shown: tuple[str, ...] = ("how_it_goes",)
        if not request.user.has_perm("webhooks.allow_private"):
            shown += ("allow_private",)
            # Nor does he turn one that may go there.
            shown += ("url",) if obj and obj.allow_private else ()
        return shown

    @admin.display(description=pgettext_lazy("whose events", "of"), ordering="campaign__name")
    def of(self, subscription: Subscription) -> str:
        return str(subscription.campaign or gettext("all campaigns"))

    @admin.display(description=_("how it goes"))
    def how_it_goes(self, subscription: Subscription) -> SafeString:
        told = gettext("%d wait") % subscription.waiting  # type: ignore[attr-defined]
        if not subscription.enabled:
            return format_html("{} {}", badge(gettext("off"), "calm"), told)
        if not subscription.failures:
            return format_html("{} {}", badge(gettext("in order"), "good"), told)
        failed = gettext("failed %d times in a row") % subscription.failures
        left = seconds_left(subscription.next_at) if subscription.next_at else 0
        return format_html("{} {}", badge(failed, "bad"), gettext("%(told)s, next try in %(left)d s")
                           % {"told": told, "left": int(clock.real_seconds(left))})  # fmt: skip

    def save_model(self, request: HttpRequest, obj: Subscription, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in form.changed_data} if change else dict(form.cleaned_data)
        saved = actions.save_subscription(obj if change else None, **values)
        obj.pk = saved.pk
        if not change:
            self._show(request, saved)

    def delete_model(self, request: HttpRequest, obj: Subscription) -> None:
        actions.delete_subscription(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> None:
        for subscription in queryset:
            actions.delete_subscription(subscription)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Tell what goes: the log goes along, though nobody deletes from it, and is counted, not listed."""
        chosen = list(objs)
        counts = {str(Subscription._meta.verbose_name_plural): len(chosen)}
        counts[str(Delivery._meta.verbose_name_plural)] = Delivery.objects.filter(subscription__in=chosen).count()
        return [str(subscription) for subscription in chosen], counts, set(), []

    def _show(self, request: HttpRequest, subscription: Subscription) -> None:
        told = gettext("The secret that deliveries are signed with, shown this once: {}")
        self.message_user(request, format_html(told, subscription.secret), messages.WARNING)

    def get_urls(self) -> list[URLPattern]:
        pages: dict[str, Callable[..., HttpResponse]] = {"test": self.test_view, "secret": self.secret_view}
        return [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"webhooks_subscription_{name}")
            for name, view in pages.items()
        ] + super().get_urls()

    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a test and tell what came of it."""
        subscription = self._changeable(request, pk)
        if request.method == "POST":
            try:
                delivery = actions.send_test(subscription)
            except Refused as refusal:
                self.message_user(request, refusal.message, messages.ERROR)
                return self._back(subscription)
            if delivery.state == DeliveryState.DELIVERED:
                told = gettext("Delivered: answered %(status)d in %(ms)d ms.")
                values = {"status": delivery.status_code, "ms": delivery.milliseconds}
                self.message_user(request, told % values, messages.SUCCESS)
            else:
                self.message_user(request, gettext("Not delivered. %s") % delivery.error, messages.ERROR)
        return self._back(subscription)

    def secret_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make a new secret and show it."""
        subscription = self._changeable(request, pk)
        if request.method == "POST":
            self._show(request, actions.renew_secret(subscription))
            self.log_change(request, subscription, "New secret")
        return self._back(subscription)

    def _changeable(self, request: HttpRequest, pk: int) -> Subscription:
        subscription = get_object_or_404(self.get_queryset(request), pk=pk)
        if not self.has_change_permission(request, subscription):
            raise PermissionDenied
        return subscription

    @staticmethod
    def _back(subscription: Subscription) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:webhooks_subscription_change", args=[subscription.pk]))


class OwnSubscriptions(admin.RelatedFieldListFilter):
    """A choice among the webhooks that the user may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        return [(one.pk, str(one)) for one in scope.within(Subscription.objects.order_by("name"), request.user)]


@admin.register(Delivery)
class DeliveryAdmin(OfCampaigns, ReadOnlyAdmin):
    campaign_path = "subscription__campaign"
    list_display = ("created_at", "subscription", "kind", "shown_state", "attempts", "tried_at", "status_code", "error")
    list_select_related = ("subscription", "event")
    list_filter = ("state", ("subscription", OwnSubscriptions))
    ordering = ("-id",)
    sortable_by = ()
    actions = ("send_again",)

    class Media:
        css = CSS

    @admin.display(description=_("event"))
    def kind(self, delivery: Delivery) -> str:
        return delivery.event.type

    @admin.display(description=_("state"))
    def shown_state(self, delivery: Delivery) -> SafeString:
        return badge(delivery.get_state_display(), TONES[DeliveryState(delivery.state)])

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        """Whoever may change webhooks may send again."""
        return request.user.has_perm("webhooks.change_subscription")

    @admin.action(description=_("Send again (those given up)"), permissions=["send_again"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        chosen: dict[int, list[int]] = {}
        for pk, subscription in queryset.order_by().values_list("pk", "subscription_id"):
            chosen.setdefault(subscription, []).append(pk)
        count = sum(actions.send_again(Subscription.objects.get(pk=pk), ids) for pk, ids in chosen.items())
        self.message_user(request, ngettext("%d waits again.", "%d wait again.", count) % count)


@admin.register(Event)
class EventAdmin(OfCampaigns, ReadOnlyAdmin):
    campaign_path = "campaign_id"
    common = True
    list_display = ("number", "type", "campaign_id", "at", "payload")
    list_display_links = ("number",)
    list_filter = ("type",)
    ordering = ("-id",)
    sortable_by = ()
