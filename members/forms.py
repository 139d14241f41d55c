"""Forms of subscribers: the rules of an upload's row, told at the fields of a page."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminSplitDateTime
from django.core.exceptions import ValidationError
from django.forms.models import BaseInlineFormSet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from import_export.forms import ConfirmImportForm, ImportForm

from agents.models import Operator
from campaigns.fields import allowed_variables
from campaigns.forms import ZoneInput
from campaigns.models import Campaign
from dialer import clock
from members import actions, numbers, rows
from members.models import Communication, DoNotCall, Member
from members.resources import UploadStorage
from members.rows import OWN_FIELDS, Faults

COLUMN_OF = {field: name for name, field in OWN_FIELDS.items()}


def tell(form: forms.BaseForm, faults: Faults) -> None:
    """Tell the faults of a row at the fields of a form; what has no field of its own is told for the whole of it."""
    for path, told in faults.items():
        field = OWN_FIELDS.get(path, path)
        for fault in told:
            form.add_error(field if field in form.fields else None, fault)


class MemberForm(forms.ModelForm):
    run_after = forms.BooleanField(
        label=_("Run after adding members"),
        required=False,
        help_text=_("Starts the campaign once the subscriber is added."),
    )

    class Meta:
        model = Member
        fields = ("campaign", "name", "priority", "time_zone", "expire_at", "variables", "caller_id", "external_id")
        widgets = {"time_zone": ZoneInput(attrs={"size": 30})}  # noqa: RUF012

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        _, faults = rows.read_changes(self.row(cleaned), rows.Rules("UTC", allowed=allowed_variables()))
        tell(self, {path: told for path, told in faults.items() if OWN_FIELDS.get(path) not in self.errors})
        self._refuse_taken_id(cleaned)
        return cleaned

    def _refuse_taken_id(self, cleaned: dict[str, Any]) -> None:
        campaign, external_id = cleaned.get("campaign", self.instance.campaign_id), cleaned.get("external_id")
        others = Member.objects.filter(campaign=campaign, external_id=external_id).exclude(pk=self.instance.pk)
        if campaign and external_id and others.exists():
            told = gettext("“%s” belongs to another subscriber of this campaign.") % external_id
            self.add_error("external_id", told)

    @staticmethod
    def row(cleaned: dict[str, Any]) -> dict[str, Any]:
        """Return the fields as a row of an upload has them."""
        return {COLUMN_OF[field]: value for field, value in cleaned.items() if field in COLUMN_OF}


class NumberForm(forms.ModelForm):
    active = forms.BooleanField(label=_("active"), required=False, initial=True, help_text=_("Off: no more calls."))

    class Meta:
        model = Communication
        fields = ("number", "priority", "description")

    def __init__(self, *args: Any, region: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.region = region
        if self.instance.pk:
            # What was dialled stays written: another number is another row.
            self.fields["number"].disabled = True
            self.initial["active"] = not self.instance.stopped
        else:
            self.fields["active"].disabled = True

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "number" in cleaned:
            # One that is there stays as it is: the campaign may have had no region when it was entered.
            region = "" if self.instance.pk else self.region
            number, faults = rows.read_number(self.row(cleaned), rows.Rules(region=region))
            tell(self, faults)
            self.digits = self.instance.digits or (number.digits if number else "")
        return cleaned

    @staticmethod
    def row(cleaned: dict[str, Any]) -> dict[str, Any]:
        """Return the fields as an upload has them."""
        return {name: cleaned.get(name) for name in rows.NUMBER_FIELDS}


class NumberFormSet(BaseInlineFormSet):
    """The numbers of a subscriber: at least one, none twice, none of another subscriber of his campaign."""

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        region = self.instance.campaign.default_region if self.instance.campaign_id else ""
        return {**super().get_form_kwargs(index), "region": region}

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        kept = [form for form in self.forms if form.cleaned_data and form not in self.deleted_forms]
        if not kept:
            raise ValidationError(gettext("A subscriber needs at least one number."), code="no_number")
        self._refuse_twice(kept)
        self._refuse_taken([form for form in kept if not form.instance.pk])
        self._refuse_called([form.instance for form in self.deleted_forms if form.instance.pk])

    def _refuse_twice(self, kept: list[Any]) -> None:
        seen: set[str] = set()
        for form in kept:
            if form.digits in seen:
                form.add_error("number", gettext("%s is twice in this subscriber.") % form.cleaned_data["number"])
            seen.add(form.digits)

    def _refuse_taken(self, added: list[Any]) -> None:
        others = Communication.objects.filter(
            campaign=self.instance.campaign_id, digits__in=[form.digits for form in added]
        ).exclude(member=self.instance.pk)
        taken = set(others.values_list("digits", flat=True))
        for form in added:
            if form.digits in taken:
                told = gettext("%s belongs to another subscriber of this campaign.")
                form.add_error("number", told % form.cleaned_data["number"])

    def _refuse_called(self, deleted: list[Communication]) -> None:
        for number in Communication.objects.filter(pk__in=[number.pk for number in deleted], attempts__isnull=False):
            told = gettext("%s has been called and is kept: make it inactive instead.") % number
            raise ValidationError(told, code="has_attempts")


class DoNotCallForm(forms.ModelForm):
    class Meta:
        model = DoNotCall
        fields = ("digits", "campaign", "expire_at", "reason")

    def clean_expire_at(self) -> datetime | None:
        until: datetime | None = self.cleaned_data["expire_at"]
        if until and until <= clock.now():
            raise ValidationError(gettext("This instant has passed."), code="past")
        return until

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        campaign: Campaign | None = cleaned.get("campaign")
        if "digits" in cleaned:
            try:
                digits = numbers.clean(cleaned["digits"], campaign.default_region if campaign else "").digits
            except ValueError as error:
                self.add_error("digits", ValidationError(str(error), code="number"))
            else:
                if DoNotCall.objects.filter(digits=digits, campaign=campaign).exists():
                    self.add_error("digits", gettext("This number is on the list already."))
        return cleaned


class CallbackForm(forms.Form):
    at = forms.SplitDateTimeField(label=_("call back at (UTC)"), widget=AdminSplitDateTime)
    operator = forms.ModelChoiceField(
        label=_("only by"), queryset=Operator.objects.none(), required=False, empty_label=_("any operator")
    )
    minutes = forms.IntegerField(
        label=_("for so many minutes"),
        initial=int(actions.STICKY_FOR.total_seconds() // 60),
        min_value=1,
        max_value=7 * 24 * 60,
        help_text=_("After them any operator may call."),
    )

    def __init__(self, member: Member, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        serving = Operator.objects.filter(tiers__campaign=member.campaign_id, archived=False)
        self.fields["operator"].queryset = serving  # type: ignore[attr-defined]

    @property
    def sticky_for(self) -> timedelta:
        return timedelta(minutes=self.cleaned_data["minutes"])


class UploadForm(ImportForm):
    campaign = forms.ModelChoiceField(label=_("Campaign"), queryset=Campaign.objects.order_by("name"))
    run_after = forms.BooleanField(label=_("Run after adding members"), required=False)

    field_order = ("resource", "campaign", "import_file", "format", "run_after")


class ConfirmUploadForm(ConfirmImportForm):
    campaign = forms.ModelChoiceField(queryset=Campaign.objects.all(), widget=forms.HiddenInput)
    run_after = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def clean_import_file_name(self) -> str:
        name: str = self.cleaned_data["import_file_name"]
        if not re.fullmatch(r"[0-9a-f]{32}", name) or not UploadStorage(name).path.exists():
            raise ValidationError(gettext("This upload is gone: choose the file again."), code="gone")
        return name
