"""The form of an operator's parameters on the pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from agents.forms import OperatorForm
from agents.models import Operator
from members.page_forms import dress

UNITS = {
    "call_timeout": _("Seconds that his phone rings."),
    "wrap_up_time": _("Seconds after a call until he gets the next one; he may end them early."),
    "max_no_answer": _("Calls in a row not answered that force a break; 0: never."),
    "busy_delay": _("Seconds without calls after his phone was busy."),
    "reject_delay": _("Seconds without calls after he rejected one."),
    "no_answer_delay": _("Seconds without calls after he did not answer one."),
}
GROUPS = {
    "who": ("name", "extension", "user", "uses_client", "archived"),
    "phone": ("phone", "make_phone_password", "phone_password", "contact", "gateway"),
    "parameters": tuple(UNITS),
}


class OperatorPageForm(OperatorForm):
    """The fields of the admin, in three groups; a new operator gets a phone password unless one is typed."""

    domain = settings.SIP_DOMAIN

    def __init__(self, data: Any = None, *, instance: Operator | None = None) -> None:
        super().__init__(data, instance=instance)
        self.fields["name"].label = pgettext_lazy("of a person", "name")
        user: Any = self.fields["user"]
        taken = Q(operator__isnull=False)
        user.queryset = (
            get_user_model().objects.filter(is_active=True)
            .exclude(taken & ~Q(operator=instance.pk if instance else None)).order_by("username")
        )  # fmt: skip
        user.empty_label = _("nobody: he has no log-in")
        user.widget.attrs["data-search"] = ""
        gateway: Any = self.fields["gateway"]
        gateway.empty_label = _("none")
        for name, hint in UNITS.items():
            self.fields[name].help_text = hint
            self.fields[name].widget.attrs["inputmode"] = "numeric"
        if instance is None:
            del self.fields["archived"]
            self.fields["make_phone_password"].label = _("make a phone password")
            self.fields["make_phone_password"].initial = True
            self.fields["phone_password"].help_text = _("Or type one: at least 10 characters.")
        dress(self)

    def groups(self) -> dict[str, list[forms.BoundField]]:
        """Return the fields, by the group that they are shown in."""
        return {group: [self[name] for name in names if name in self.fields] for group, names in GROUPS.items()}

    def add_faults(self, error: ValidationError) -> None:
        """Show what an action refused at its field, or above the form."""
        for name, faults in error.message_dict.items() if hasattr(error, "error_dict") else [(None, error.messages)]:
            for fault in faults:
                self.add_error(name if name in self.fields else None, fault)
