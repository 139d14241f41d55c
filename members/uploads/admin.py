"""Uploads in the admin: the history of who loaded what, to be read."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from dialer.admin_tools import OfCampaigns, OwnCampaigns, ReadOnlyAdmin, badge
from members.uploads.models import RUNNING_STATES, Upload, UploadState, UploadTemplate

TONES = {
    **dict.fromkeys(RUNNING_STATES, "busy"),
    UploadState.LOADED: "good",
    UploadState.FAILED: "bad",
}


@admin.register(Upload)
class UploadAdmin(OfCampaigns, ReadOnlyAdmin):
    common = True
    list_display = (
        "created_at", "file_name", "campaign", "kind", "shown_state", "by_name", "rows", "added", "updated", "skipped",
        "refused", "undone",
    )  # fmt: skip
    list_display_links = ("file_name",)
    list_select_related = ("campaign",)
    list_filter = ("state", "kind", ("campaign", OwnCampaigns))
    search_fields = ("file_name", "sha256", "by_name")
    ordering = ("-id",)
    sortable_by = ()
    fields = (
        "file_name", "size", "sha256", "same_as", "campaign", "kind", "shown_state", "fault", "by_name", "created_at",
        "checked_at", "loaded_at", "undone_at", "layout", "on_duplicate", "auto_run", "reason", "expire_at", "rows",
        "good", "faulty", "duplicates", "added", "updated", "skipped", "refused", "undone", "kept",
    )  # fmt: skip

    class Media:
        css = {"all": ["admin/css/dialer.css"]}  # noqa: RUF012

    @admin.display(description=_("state"))
    def shown_state(self, upload: Upload) -> SafeString:
        return badge(upload.get_state_display(), TONES.get(UploadState(upload.state), "calm"))


@admin.register(UploadTemplate)
class UploadTemplateAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "on_duplicate", "created_at", "by")
    list_select_related = ("by",)
    list_filter = ("kind",)
    search_fields = ("name",)
