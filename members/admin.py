"""Subscribers and do-not-call lists in the admin: translation between pages and actions only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from import_export.admin import ImportExportMixin
from import_export.forms import ExportForm

from campaigns import actions as campaigns
from campaigns.models import Campaign, CauseRule
from dialer.admin_tools import BoundedAdmin, OfCampaigns, OwnCampaigns, badge
from dialer.api import scope
from dialer.errors import Refused
from members import actions, resources
from members.forms import (
    CallbackForm,
    ConfirmUploadForm,
    DoNotCallForm,
    MemberForm,
    NumberForm,
    NumberFormSet,
    UploadForm,
)
from members.models import END_CAUSES, Communication, DoNotCall, Member, MemberState, ZoneSource
from members.tables import TableRefused

CSS = {"all": ["admin/css/dialer.css"]}

STATE_TONES = {
    MemberState.WAITING: "calm",
    MemberState.READY: "good",
    MemberState.LIVE: "busy",
    MemberState.HELD: "busy",
    MemberState.ENDED: "calm",
}


class EndCauseFilter(admin.SimpleListFilter):
    """The causes that may have ended somebody, from the rules: the subscribers are too many to look through."""

    title = _("end cause")
    parameter_name = "end_cause"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        causes = CauseRule.objects.order_by("cause").values_list("cause", flat=True).distinct()
        return [(cause, cause) for cause in (*END_CAUSES, *causes)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Member]) -> QuerySet[Member]:
        return queryset.filter(end_cause=self.value()) if self.value() else queryset


class HiddenFilter(admin.SimpleListFilter):
    title = _("deleted")
    parameter_name = "hidden"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Deleted, kept for their attempts"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Member]) -> QuerySet[Member]:
        return queryset.filter(hidden=self.value() == "1")


class NumberInline(admin.TabularInline):
    model = Communication
    form = NumberForm
    formset = NumberFormSet
    classes = ("plain-rows",)
    fields = ("number", "priority", "description", "active", "tries", "stopped_by", "gateway")
    readonly_fields = ("tries", "stopped_by", "gateway")

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj else 2

    def get_queryset(self, request: HttpRequest) -> QuerySet[Communication]:
        return super().get_queryset(request).select_related("route__gateway")

    @admin.display(description=_("stopped by"))
    def stopped_by(self, number: Communication) -> str:
        if not number.stopped:
            return "–"
        return " ".join(filter(None, [str(number.get_stopped_display()), number.stop_cause]))

    @admin.display(description=_("dialled through"))
    def gateway(self, number: Communication) -> str:
        if number.route:
            return str(number.route.gateway)
        return gettext("no route") if number.pk else "–"


class MemberImportExport(ImportExportMixin):
    """Files of subscribers: chosen with their campaign, previewed, then loaded all or not at all."""

    resource_classes = (resources.MemberResource,)
    import_form_class = UploadForm
    confirm_form_class = ConfirmUploadForm
    export_form_class = ExportForm
    tmp_storage_class = resources.UploadStorage
    import_template_name = "admin/members/member/import.html"

    def create_import_form(self, request: HttpRequest) -> Any:
        return self._among_his(super().create_import_form(request), request)

    def create_confirm_form(self, request: HttpRequest, import_form: Any = None) -> Any:
        return self._among_his(super().create_confirm_form(request, import_form), request)

    @staticmethod
    def _among_his(form: Any, request: HttpRequest) -> Any:
        form.fields["campaign"].queryset = scope.campaigns(request.user).order_by("name")
        return form

    def get_import_formats(self) -> list[Any]:
        return resources.IMPORT_FORMATS

    def get_export_formats(self) -> list[Any]:
        return resources.EXPORT_FORMATS

    def has_import_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_import_resource_kwargs(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        form = kwargs.get("form")
        chosen = form.cleaned_data.get("campaign") if form is not None and form.is_bound else None
        return {"campaign": chosen, "by": request.user}

    def get_confirm_form_initial(self, request: HttpRequest, import_form: Any) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_confirm_form_initial(request, import_form)
        if import_form:
            initial |= {
                "campaign": import_form.cleaned_data["campaign"].pk,
                "run_after": import_form.cleaned_data["run_after"],
            }
        return initial

    def add_data_read_fail_error_to_form(self, form: Any, e: Exception) -> None:
        if not isinstance(e, TableRefused):
            raise e
        for told in e.messages:
            form.add_error("import_file", told)

    def process_dataset(self, dataset: Any, form: Any, request: HttpRequest, **kwargs: Any) -> Any:
        result = super().process_dataset(dataset, form, request, **kwargs)
        result.form = form
        return result

    def process_result(self, result: Any, request: HttpRequest) -> HttpResponse:
        """Tell what was loaded and start the campaign if that was wished; or that nothing was loaded, and why."""
        campaign = result.form.cleaned_data["campaign"]
        if result.has_errors() or result.has_validation_errors():
            told = [str(error.error) for error in result.base_errors]
            told += [f"{row.number}: {', '.join(row.error.messages)}" for row in result.invalid_rows[:5]]
            messages.error(request, gettext("Nothing was loaded: %s") % " ".join(told))
            return HttpResponseRedirect(reverse("admin:members_member_import"))
        count = result.totals["new"]
        told_count = ngettext("%d subscriber was added.", "%d subscribers were added.", count) % count
        messages.success(request, f"{campaign}: {told_count}")
        self.log_change(request, campaign, told_count)
        if result.form.cleaned_data["run_after"]:
            run_after(request, campaign)
        return HttpResponseRedirect(reverse("admin:members_member_changelist") + f"?campaign__id__exact={campaign.pk}")


def run_after(request: HttpRequest, campaign: Campaign) -> None:
    """Start a campaign after subscribers were added; they stay added when it cannot start."""
    try:
        answer = campaigns.run(campaign.pk, request.user)
    except Refused as refusal:
        messages.warning(request, gettext("Added, but not started. %s") % refusal.message)
        return
    good = answer in (campaigns.RunAnswer.STARTED, campaigns.RunAnswer.UNCHANGED)
    messages.add_message(request, messages.SUCCESS if good else messages.WARNING, f"{campaign}: {answer.label}")


@admin.register(Member)
class MemberAdmin(MemberImportExport, OfCampaigns, BoundedAdmin):
    form = MemberForm
    inlines = (NumberInline,)
    list_display = ("shown_name", "campaign", "shown_state", "numbers", "priority", "counted", "due")
    list_filter = (("campaign", OwnCampaigns), "state", "success", EndCauseFilter, HiddenFilter)
    list_select_related = ("campaign",)
    ordering = ("-pk",)
    sortable_by = ()
    search_fields = ("name",)
    search_help_text = _("The beginning of a name, the first or last digits of a number, or the whole external id.")
    autocomplete_fields = ("campaign",)
    readonly_fields = ("shown_state", "due", "counted", "shown_callback", "shown_zones", "created_at")
    actions = ("end_selected", "reset_selected", "delete_selected", "anonymise_selected")
    change_form_template = "admin/members/member/change_form.html"

    class Media:
        css = CSS

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        own = ("name", "priority", "time_zone", "expire_at", "caller_id", "external_id", "variables")
        if obj is None:
            return ((None, {"fields": ("campaign", *own, "run_after")}),)
        return (
            (
                None,
                {
                    "fields": (
                        "campaign",
                        ("shown_state", "due", "counted"),
                        "shown_callback",
                        "shown_zones",
                        "created_at",
                    )
                },
            ),
            (None, {"fields": own}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "campaign") if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        return super().get_queryset(request).prefetch_related(
            Prefetch("communications", Communication.objects.order_by("-priority", "pk"))
        )  # fmt: skip

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset.search(search_term), False  # type: ignore[attr-defined]

    @admin.display(description=_("name"))
    def shown_name(self, member: Member) -> str:
        return str(member)

    @admin.display(description=_("state"))
    def shown_state(self, member: Member) -> SafeString:
        if member.state != MemberState.ENDED:
            state = badge(member.get_state_display(), STATE_TONES[MemberState(member.state)])
            return format_html("{} {}", state, gettext("then he ends")) if member.end_requested else state
        return badge(f"{member.get_state_display()}: {member.end_cause}", "good" if member.success else "calm")

    @admin.display(description=_("numbers"))
    def numbers(self, member: Member) -> str:
        return ", ".join(str(number) for number in member.communications.all())

    @admin.display(description=_("due"))
    def due(self, member: Member) -> str:
        instant = member.ended_at or member.due_at
        return gettext("ended %s") % localize(localtime(instant)) if member.ended_at else localize(localtime(instant))

    @admin.display(description=_("call-back"))
    def shown_callback(self, member: Member) -> str:
        if not member.callback:
            return "–"
        if member.sticky_operator is None or member.sticky_until is None:
            return gettext("by any operator")
        until = localize(localtime(member.sticky_until))
        return gettext("only by %(operator)s until %(until)s") % {"operator": member.sticky_operator, "until": until}

    @admin.display(description=_("called by the clock of"))
    def shown_zones(self, member: Member) -> str:
        named = ", ".join(member.zones_that_count)
        told = {
            ZoneSource.SUBSCRIBER: gettext("%s, his own"),
            ZoneSource.NUMBER: gettext("%s, by his number; all must be open"),
            ZoneSource.CALENDAR: gettext("%s, the calendar's"),
        }
        if member.zone_from == ZoneSource.NUMBER and len(member.zones_that_count) == 1:
            return gettext("%s, by his number") % named
        return told[member.zone_from] % named

    # Saving goes through the actions. A new subscriber and his numbers are one row.

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Tell what only the database knew, as a number that somebody has just taken; nothing is saved then."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except (ValidationError, Refused) as error:
            told = error.messages if isinstance(error, ValidationError) else [error.message]
            self.message_user(request, " ".join(told), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Member, form: Any, change: bool) -> None:
        """Leave it to ``save_related``, which has his numbers too."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        (formset,) = formsets
        if change:
            self._change(request, form, formset)
        else:
            self._add(request, form, formset)

    def _add(self, request: HttpRequest, form: Any, formset: Any) -> None:
        campaign = form.cleaned_data["campaign"]
        kept = [number for number in formset.forms if number.cleaned_data and number not in formset.deleted_forms]
        row = MemberForm.row(form.cleaned_data)
        row["communications"] = [NumberForm.row(number.cleaned_data) for number in kept]
        added = actions.add_members(campaign, [row], by=request.user)[0]
        form.instance.pk = added.pk
        self._tell_history(formset, new=list(added.communications.all()))
        if form.cleaned_data["run_after"]:
            # RUN locks the campaign more than adding does: after it, lest two of us wait for each other.
            transaction.on_commit(lambda: run_after(request, campaign))

    def _change(self, request: HttpRequest, form: Any, formset: Any) -> None:
        member, by = form.instance, request.user
        kept = [number for number in formset.forms if number.has_changed() and number not in formset.deleted_forms]
        known = [number for number in kept if number.instance.pk]
        stopped = [
            number.instance for number in known if not number.cleaned_data["active"] and not number.instance.stopped
        ]
        if stopped:
            actions.stop_numbers(member, stopped, by=by)
        if form.changed_data:
            changed = {name: form.cleaned_data[name] for name in form.changed_data}
            actions.update_member(member, MemberForm.row(changed), by=by)
        for number in known:
            stored, given = number.instance, number.cleaned_data
            actions.update_number(stored, priority=given["priority"], description=given["description"], by=by)
            if given["active"] and stored.stopped:
                actions.reactivate_number(stored, by=by)
        new = [
            actions.add_number(member, **NumberForm.row(number.cleaned_data), by=by)
            for number in kept
            if number not in known
        ]
        deleted = [number.instance for number in formset.deleted_forms if number.instance.pk]
        for stored in deleted:
            actions.delete_number(stored, by=by)
        changes = [(number.instance, number.changed_data) for number in known]
        self._tell_history(formset, new=new, changed=changes, deleted=deleted)

    @staticmethod
    def _tell_history(formset: Any, new: Any = (), changed: Any = (), deleted: Any = ()) -> None:
        """Let the page's history know what became of the numbers, as a formset that saves itself does."""
        formset.new_objects, formset.changed_objects, formset.deleted_objects = list(new), list(changed), list(deleted)

    # Deleting: who was called is hidden instead.

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        return self._fate_of(Member.objects.filter(pk__in=[obj.pk for obj in objs])), {}, set(), []

    def delete_model(self, request: HttpRequest, obj: Member) -> None:
        if actions.delete_members(Member.objects.filter(pk=obj.pk), by=request.user).hidden:
            self.message_user(request, gettext("He had been called: his attempts are kept, he is hidden."))

    @staticmethod
    def _fate_of(members: QuerySet[Member]) -> list[str]:
        called = members.filter(attempts__isnull=False).order_by().distinct().count()
        return [
            gettext("Never called, deleted for good: %d") % (members.count() - called),
            gettext("Called before, ended and hidden, their attempts kept: %d") % called,
        ]

    # Actions on many, each after a page that says what it would do.

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        found = super().get_actions(request)
        found.pop("export_admin_action", None)
        return found

    @admin.action(description=_("End the selected subscribers"), permissions=["change"])
    def end_selected(self, request: HttpRequest, queryset: QuerySet[Member]) -> HttpResponse | None:
        if "confirmed" in request.POST:
            count = actions.end_members(queryset, by=request.user)
            told = gettext("Ended: %(ended)d; after their calls: %(after)d.")
            self.message_user(request, told % {"ended": count.ended, "after": count.after_call}, messages.SUCCESS)
            return None
        live = queryset.filter(state=MemberState.LIVE).count()
        open_ = queryset.exclude(state__in=[MemberState.LIVE, MemberState.ENDED]).count()
        consequences = [
            gettext("Ended at once with MANAGER_REQUEST: %d") % open_,
            gettext("On a call, ended after it: %d") % live,
        ]
        return self._ask(request, gettext("End subscribers"), consequences, danger=True)

    @admin.action(description=_("Reset the selected subscribers…"), permissions=["change"])
    def reset_selected(self, request: HttpRequest, queryset: QuerySet[Member]) -> HttpResponse | None:
        if "confirmed" in request.POST:
            include = "include" in request.POST
            count = actions.reset_members(queryset, include_successful=include, by=request.user)
            told = ngettext("%d subscriber is called again.", "%d subscribers are called again.", count) % count
            self.message_user(request, told, messages.SUCCESS)
            return None
        without = actions.count_resettable(queryset)
        all_ = actions.count_resettable(queryset, include_successful=True)
        consequences = [
            gettext("Ended without success, called again from the beginning: %d") % without,
            gettext("Numbers that an error cause stopped start again; those that a result or a person stopped do not."),
            gettext("The expired, and those who have no number that could start, stay as they are."),
        ]
        choice = gettext("Reset the successful ones as well: %d more") % (all_ - without) if all_ > without else ""
        return self._ask(request, gettext("Reset subscribers"), consequences, choice=choice)

    @admin.action(description=_("Delete the selected subscribers…"), permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Member]) -> HttpResponse | None:
        if "confirmed" in request.POST:
            count = actions.delete_members(queryset, by=request.user)
            told = gettext("Deleted: %(deleted)d; hidden: %(hidden)d.")
            self.message_user(request, told % {"deleted": count.deleted, "hidden": count.hidden}, messages.SUCCESS)
            return None
        return self._ask(request, gettext("Delete subscribers"), self._fate_of(queryset), danger=True)

    @admin.action(description=_("Make the selected subscribers anonymous…"), permissions=["delete"])
    def anonymise_selected(self, request: HttpRequest, queryset: QuerySet[Member]) -> HttpResponse | None:
        if "confirmed" in request.POST:
            count = actions.anonymise(queryset, by=request.user)
            told = ngettext("%d subscriber is anonymous now.", "%d subscribers are anonymous now.", count) % count
            self.message_user(request, told, messages.SUCCESS)
            return None
        consequences = [
            *self._fate_of(queryset),
            gettext("Names, numbers, variables, external ids and comments are gone, from their attempts too."),
            gettext("Whoever is on a call stays as he is until it has ended: ask again then."),
        ]
        return self._ask(request, gettext("Make anonymous"), consequences, danger=True)

    def _ask(
        self, request: HttpRequest, verb: str, consequences: list[str], *, choice: str = "", danger: bool = False
    ) -> HttpResponse:
        return TemplateResponse(request, "admin/members/member/confirm_action.html", {
            **self.admin_site.each_context(request),
            "title": f"{verb}?", "opts": self.opts, "media": self.media, "verb": verb, "consequences": consequences,
            "choice": choice, "tone": "danger" if danger else "", "action": request.POST["action"],
            "checkbox": ACTION_CHECKBOX_NAME, "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "back": reverse("admin:members_member_changelist"),
        })  # fmt: skip

    # One subscriber: call-backs.

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.callback_view)
        return [path("<int:pk>/callback/", view, name="members_member_callback"), *super().get_urls()]

    def callback_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        member = get_object_or_404(self.get_queryset(request).select_related("campaign"), pk=pk)
        if not self.has_change_permission(request, member):
            raise PermissionDenied
        back = reverse("admin:members_member_change", args=[pk])
        form = CallbackForm(member, request.POST or None)
        if form.is_valid():
            at, operator = form.cleaned_data["at"], form.cleaned_data["operator"]
            try:
                actions.set_callback(member, at, operator, form.sticky_for, by=request.user)
            except ValidationError as error:
                form.add_error(None, error)
            except Refused as refusal:
                form.add_error(None, refusal.message)
            else:
                told = gettext("He is called back at %s.") % localize(localtime(at))
                self.message_user(request, told, messages.SUCCESS)
                self.log_change(request, member, told)
                return HttpResponseRedirect(back)
        return TemplateResponse(request, "admin/members/member/callback.html", {
            **self.admin_site.each_context(request),
            "title": gettext("Call back “%s”") % member, "opts": self.opts, "original": member, "form": form,
            "media": self.media + form.media, "back": back,
        })  # fmt: skip


@admin.register(DoNotCall)
class DoNotCallAdmin(OfCampaigns, BoundedAdmin):
    common = True
    form = DoNotCallForm
    list_display = ("digits", "campaign", "expire_at", "reason", "created_at")
    list_filter = (("campaign", OwnCampaigns),)
    list_select_related = ("campaign",)
    ordering = ("-pk",)
    sortable_by = ()
    search_fields = ("digits__startswith",)
    search_help_text = _("The beginning of a number.")
    autocomplete_fields = ("campaign",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("digits", "campaign", "created_at") if obj else ()

    def save_model(self, request: HttpRequest, obj: DoNotCall, form: Any, change: bool) -> None:
        if change:
            actions.update_do_not_call(obj, obj.expire_at, obj.reason, by=request.user)
            return
        listed = actions.add_do_not_call(obj.digits, obj.campaign, obj.expire_at, obj.reason, by=request.user)
        obj.pk, obj.digits = listed.pk, listed.digits

    def delete_model(self, request: HttpRequest, obj: DoNotCall) -> None:
        actions.remove_do_not_call(obj.digits, obj.campaign, by=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[DoNotCall]) -> None:
        chosen: dict[Campaign | None, list[str]] = {}
        for entry in queryset.select_related("campaign"):
            chosen.setdefault(entry.campaign, []).append(entry.digits)
        for campaign, digits in chosen.items():
            actions.remove_many_do_not_call(digits, campaign, by=request.user)
