"""Forms of operators and of their places in campaigns."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.db import transaction
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from agents import actions, directory
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
            "phone",
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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["phone"].required = False

    def clean_phone(self) -> str:
        """Leave it as it is where nothing is chosen."""
        return self.cleaned_data["phone"] or self.instance.phone

    def clean_phone_password(self) -> str:
        password: str = self.cleaned_data["phone_password"]
        if not password.isprintable():
            raise forms.ValidationError(_("No control characters."))
        return password

    def keep(self) -> tuple[Operator, str]:
        """Add or change the operator by the actions; return him, and the phone password if one was made.

        One that was typed is taken as it is, and none is made. Raises ``ValidationError`` by field.
        """
        values = dict(self.cleaned_data)
        password, make = values.pop("phone_password"), values.pop("make_phone_password")
        made = directory.new_password() if make and not password else ""
        with transaction.atomic():
            if self.instance.pk:
                changed = {name: values[name] for name in self.changed_data if name in values}
                operator = actions.update_operator(self.instance.pk, **changed)
            else:
                operator = actions.create_operator(**values)
            if made or password:
                operator = actions.set_sip_password(operator.pk, settings.SIP_DOMAIN, made or password)
        return operator, made


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
