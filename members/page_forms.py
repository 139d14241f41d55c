"""Forms of the pages of members/views.py: a number that must not be called; what is exported, and how."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from agents.models import Operator
from campaigns.fields import check_time_zone
from campaigns.models import Campaign
from dialer.api import attempts as attempts_api
from dialer.exports import ATTEMPT_COLUMNS, ATTEMPT_DEFAULTS, FileAnswer, FileFormat
from dialer.exports import attempts as export_attempts
from dialer.models import Attempt, Outcome
from members import api as members_api
from members import exports
from members.forms import DoNotCallForm
from members.models import Member, MemberState

ANY = [("", _("any"))]


class Moment(forms.DateTimeInput):
    """A date and a time of day, in the zone that is current."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


def dress(form: forms.BaseForm) -> None:
    """Give the fields of a form the looks of the pages."""
    for field in form.fields.values():
        looks = {forms.CheckboxInput: "form-check-input", forms.Select: "form-select"}
        kind = next((look for widget, look in looks.items() if isinstance(field.widget, widget)), "form-control")
        field.widget.attrs.setdefault("class", kind)


class ListedForm(DoNotCallForm):
    """A number for the list of a campaign, or for that of every campaign."""

    def __init__(self, campaigns: QuerySet[Campaign], everywhere: bool, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["campaign"] = forms.ModelChoiceField(
            label=_("not called by"), queryset=campaigns, required=not everywhere,
            empty_label=_("every campaign") if everywhere else None,
        )  # fmt: skip
        self.fields["expire_at"].widget = Moment()
        self.fields["expire_at"].help_text = _("Empty: for ever.")
        self.fields["digits"].widget.attrs |= {"inputmode": "tel", "autocomplete": "off"}
        dress(self)


class AskedForm(forms.Form):
    """The part that both kinds of rows have in common."""

    filter_names: ClassVar[tuple[str, ...]]
    columns: ClassVar[Any]
    defaults: ClassVar[tuple[str, ...]]

    format = forms.ChoiceField(label=_("format"), choices=FileFormat.choices, initial=FileFormat.CSV)
    zone = forms.CharField(label=_("time zone of dates"), max_length=64, validators=[check_time_zone])

    def __init__(self, campaign: Campaign, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.campaign = campaign
        self.fields["zone"].initial = campaign.calendar.time_zone
        dress(self)

    @property
    def filters(self) -> Iterator[forms.BoundField]:
        return (self[name] for name in self.filter_names)

    def asked(self) -> dict[str, Any]:
        """Return the filters that say something, as the REST interface names them."""
        given = {name: self.cleaned_data[name] for name in self.filter_names}
        return {name: value for name, value in given.items() if value not in ("", None)}

    def columns_of(self, chosen: list[str]) -> list[str]:
        """Return the names of the columns of the file: those chosen, and what else is asked for."""
        return chosen

    def rows(self, user: Any) -> QuerySet[Any]:
        """Return the rows that are asked for, as far as the user may see them."""
        raise NotImplementedError

    def write(self, user: Any, **how: Any) -> FileAnswer:
        """Return the file."""
        raise NotImplementedError

    def file(self, user: Any, chosen: list[str]) -> FileAnswer:
        """Return what a valid form asks for. Raises ``ValidationError`` at ``columns``."""
        columns = self.columns_of(chosen)
        if not columns:
            raise ValidationError({"columns": gettext("Choose at least one column.")})
        given = self.cleaned_data
        return self.write(user, columns=columns, file_format=given["format"], zone=given["zone"])


class MembersAskedForm(AskedForm):
    """Which subscribers."""

    filter_names = ("search", "state", "success", "end_cause", "ended_from", "ended_before")
    columns = exports.COLUMNS
    defaults = exports.DEFAULTS

    search = forms.CharField(
        label=_("search"), required=False, max_length=200,
        help_text=_("Beginnings of names, first or last digits of a number, or an external id."),
    )  # fmt: skip
    state = forms.ChoiceField(label=_("state"), required=False, choices=[*ANY, *MemberState.choices])
    success = forms.TypedChoiceField(
        label=_("success"), required=False, choices=[*ANY, ("yes", _("yes")), ("no", _("no"))],
        coerce=lambda word: word == "yes", empty_value=None,
    )  # fmt: skip
    end_cause = forms.CharField(label=_("end cause"), required=False, max_length=64, help_text=_("As MAX_TRY_COUNT."))
    ended_from = forms.DateTimeField(label=_("ended at or after"), required=False, widget=Moment)
    ended_before = forms.DateTimeField(label=_("ended before"), required=False, widget=Moment)
    more = forms.CharField(label=_("further columns"), required=False, max_length=2000)

    def __init__(self, campaign: Campaign, *args: Any, **kwargs: Any) -> None:
        super().__init__(campaign, *args, **kwargs)
        self.fields["more"].widget.attrs["placeholder"] = "number_1 number_2 var:debt"
        told = [gettext("number_1, number_2 … give each number a column of its own, var:NAME a variable.")]
        if names := variables_of(campaign):
            told.append(gettext("Variables of this list: %s.") % ", ".join(names))
        self.fields["more"].help_text = " ".join(told)

    def rows(self, user: Any) -> QuerySet[Any]:
        shown = Member.objects.visible().filter(campaign=self.campaign)
        return members_api.filtered(shown, self.asked())

    def columns_of(self, chosen: list[str]) -> list[str]:
        return [*chosen, *filter(None, re.split(r"[,;\s]+", self.cleaned_data["more"]))]

    def write(self, user: Any, **how: Any) -> FileAnswer:
        return exports.members(self.campaign, self.rows(user), **how)


class AttemptsAskedForm(AskedForm):
    """Which attempts."""

    filter_names = ("outcome", "cause", "operator", "live")
    columns = ATTEMPT_COLUMNS
    defaults = ATTEMPT_DEFAULTS

    outcome = forms.ChoiceField(label=_("outcome"), required=False, choices=[*ANY, *Outcome.choices])
    cause = forms.CharField(label=_("cause"), required=False, max_length=64, help_text=_("As USER_BUSY."))
    operator = forms.ModelChoiceField(
        label=_("operator"), required=False, queryset=Operator.objects.order_by("name"), empty_label=_("any")
    )
    live = forms.TypedChoiceField(
        label=_("under way"), required=False, choices=[*ANY, ("yes", _("yes")), ("no", _("no"))],
        coerce=lambda word: word == "yes", empty_value=None,
    )  # fmt: skip

    def rows(self, user: Any) -> QuerySet[Attempt]:
        return attempts_api.filtered(attempts_api.visible_to(user).filter(campaign=self.campaign), self.asked())

    def write(self, user: Any, **how: Any) -> FileAnswer:
        return export_attempts(self.campaign, self.rows(user), **how)


def variables_of(campaign: Campaign) -> list[str]:
    """Return the names of the variables that the first thousand subscribers of a campaign have, in their order."""
    statement = """
        SELECT DISTINCT jsonb_object_keys(variables) AS name
        FROM (SELECT variables FROM members_member WHERE campaign_id = %s AND NOT hidden
              ORDER BY created_at, id LIMIT 1000) AS first
        ORDER BY name LIMIT 100
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, [campaign.pk])
        return [f"var:{name}" for (name,) in cursor.fetchall()]
