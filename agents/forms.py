"""Forms of operators and of their places in campaigns."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from agents.actions import SHORTEST_PASSWORD
from agents.models import Operator, Tier


class OperatorForm(forms.ModelForm):
    phone_password = forms.CharField(
        label=_("phone password"), required=False, min_length=SHORTEST_PASSWORD, strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("Empty: it stays as it is. It cannot be read back."),
    )  # fmt: skip
    make_phone_password = forms.BooleanField(
        label=_("make a new phone password"), required=False, help_text=_("It is shown once, after saving.")
    )

    class Meta:
        model = Operator
        fields = (
            "name",
            "extension",
            "user",
            "contact",
            "gateway",
            "uses_client",
            "archived",
            "call_timeout",
            "wrap_up_time",
            "max_no_answer",
            "busy_delay",
            "reject_delay",
            "no_answer_delay",
        )

    def clean_phone_password(self) -> str:
        password: str = self.cleaned_data["phone_password"]
        if not password.isprintable():
            raise forms.ValidationError(_("No control characters."))
        return password


class Shown(forms.Widget):
    """A value to read."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        return format_html("{}", value)


class TierForm(forms.ModelForm):
    """A tier in the list of its campaign or operator; the other one is chosen once, so that rows cost no query."""

    chosen_once: str

    class Meta:
        model = Tier
        fields = ("campaign", "operator", "level", "position")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            name = self.chosen_once
            self.fields[name] = forms.Field(label=self.fields[name].label, disabled=True, widget=Shown)
            self.initial[name] = getattr(self.instance, name)


class TierOfCampaignForm(TierForm):
    chosen_once = "operator"


class TierOfOperatorForm(TierForm):
    chosen_once = "campaign"
