"""The operator's form."""

from __future__ import annotations

from django import forms

from agents.models import Operator


class OperatorForm(forms.ModelForm):
    class Meta:
        model = Operator
        fields = (
            "name", "extension", "user", "contact", "gateway", "uses_client", "archived", "call_timeout",
            "wrap_up_time", "max_no_answer", "busy_delay", "reject_delay", "no_answer_delay",
        )  # fmt: skip
