"""Access in the admin: keys of the REST interface, made, named, shortened and revoked; who is limited to campaigns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from dialer import clock
from dialer.admin_tools import badge
from dialer.api import actions
from dialer.api.forms import GuardedAdminForm
from dialer.api.models import AccessKey, CampaignAccess

admin.site.login_form = GuardedAdminForm

TONES = {"active": "good", "expired": "calm", "revoked": "bad"}


class AccessKeyForm(forms.ModelForm):
    """A key; the actions say what is wrong with it."""

    class Meta:
        model = AccessKey
        fields = ("user", "name", "expires_at")

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.fields["name"].required = True
        if "user" in self.fields:
            self.fields["expires_at"].initial = (clock.now() + timedelta(days=365)).replace(microsecond=0)

    def clean(self) -> dict[str, Any] | None:
        found = super().clean()
        if found and found.get("expires_at"):
            try:
                actions.check_expiry(found["expires_at"], self.instance.expires_at)
            except ValidationError as error:
                self.add_error("expires_at", error.message_dict["expires"])
        return found


@admin.register(AccessKey)
class AccessKeyAdmin(admin.ModelAdmin):
    form = AccessKeyForm
    list_display = ("shown_name", "user", "shown_state", "created_at", "last_used_at", "expires_at")
    list_select_related = ("user",)
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "user__username")
    readonly_fields = ("id", "shown_state", "created_at", "last_used_at", "revoked_at")
    autocomplete_fields = ("user",)
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: AccessKey | None = None) -> Any:
        own = ("user", "name", "expires_at")
        return (*own, *self.readonly_fields) if obj else own

    def get_readonly_fields(self, request: HttpRequest, obj: AccessKey | None = None) -> Any:
        return ("user", *self.readonly_fields) if obj else ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Who makes keys here makes them for others: as over REST, he must be one who sees them all."""
        return super().has_add_permission(request) and request.user.has_perm("access.view_accesskey")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **keywords: Any) -> Any:
        field: Any = super().formfield_for_foreignkey(db_field, request, **keywords)
        if not request.user.is_superuser:
            field.queryset = field.queryset.filter(is_superuser=False)
        return field

    def has_delete_permission(self, request: HttpRequest, obj: AccessKey | None = None) -> bool:
        return False

    @admin.display(description=_("name"), ordering="name")
    def shown_name(self, key: AccessKey) -> str:
        return key.name or gettext("log-in")

    @admin.display(description=_("state"))
    def shown_state(self, key: AccessKey) -> SafeString:
        return badge(gettext(key.state), TONES[key.state])

    def save_model(self, request: HttpRequest, obj: AccessKey, form: Any, change: bool) -> None:
        if change:
            actions.update_key(obj, name=obj.name, expires_at=obj.expires_at)
            return
        made = actions.create_key(obj.user, obj.name, obj.expires_at, by=request.user)
        obj.pk = made.key.pk
        told = gettext("Shown this once. X-Key: {} X-Access-Token: {}")
        messages.success(request, format_html(told, made.key.pk, made.token))

    @admin.action(description=_("Revoke the chosen keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[AccessKey]) -> None:
        count = actions.revoke_keys(queryset, by=request.user)
        self.message_user(request, ngettext("%d key opens no more.", "%d keys open no more.", count) % count)


# --- users ------------------------------------------------------------------------------------------------------


class CampaignAccessInline(admin.TabularInline):
    model = CampaignAccess
    extra = 0
    autocomplete_fields = ("campaign",)
    verbose_name_plural = _("limited to these campaigns (none: to no campaigns; administrators never are)")


admin.site.unregister(User)


@admin.register(User)
class LimitedUserAdmin(UserAdmin):
    inlines = (CampaignAccessInline,)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """Leave them to the second page: the first makes a user of a name and a password."""
        return self.inlines if obj else ()
