"""Forms of pages: a number that must not be called; which subscribers and attempts; what is exported, and how."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import QuerySet
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from agents.models import Operator
from campaigns.fields import check_time_zone
from campaigns.models import Campaign
from dialer import clock
from dialer.api import attempts as attempts_api
from dialer.exports import ATTEMPT_COLUMNS, ATTEMPT_DEFAULTS, FileAnswer, FileFormat
from dialer.exports import attempts as export_attempts
from dialer.models import Attempt, Outcome
from members import api as members_api
from members import exports, numbers, rows
from members.forms import DoNotCallForm
from members.models import Member, MemberState
from members.uploads.models import Upload

ANY = [("", _("any"))]


class Moment(forms.DateTimeInput):
    """A date and a time of day, in the zone that is current."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class PlainSelect(forms.Select):
    """A select of a thousand options: written at once, where Django would render a template for each."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """Return it as HTML."""
        chosen = self.format_value(value)
        options = format_html_join(
            "",
            '<option value="{}"{}>{}</option>',
            ((key, mark_safe(" selected") if str(key) in chosen else "", label) for key, label in self.choices),
        )
        return format_html(
            "<select{}>{}</select>", flatatt(self.build_attrs(self.attrs, {"name": name, **(attrs or {})})), options
        )


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


class Filters(forms.Form):
    """Which rows of a campaign, as an address asks for them: on the pages of lists, and for a file of them."""

    filter_names: ClassVar[tuple[str, ...]]

    def __init__(self, campaign: Campaign, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.campaign = campaign

    @property
    def filters(self) -> Iterator[forms.BoundField]:
        return (self[name] for name in self.filter_names if name in self.fields)

    def asked(self) -> dict[str, Any]:
        """Return the filters that say something, as the REST interface names them."""
        given = {name: self.cleaned_data.get(name) for name in self.filter_names}
        return {name: value for name, value in given.items() if value not in ("", None)}

    def rows(self, user: Any) -> QuerySet[Any]:
        """Return the rows that are asked for, as far as the user may see them."""
        raise NotImplementedError


def only_those() -> forms.ModelChoiceField[Operator]:
    """Return a choice among the operators."""
    return forms.ModelChoiceField(
        label=_("operator"), required=False, widget=PlainSelect, empty_label=_("any"),
        queryset=Operator.objects.only("name", "extension").order_by("name", "pk"),
    )  # fmt: skip


class MembersFilters(Filters):
    """Which subscribers."""

    filter_names = (
        "search", "state", "success", "end_cause", "attempts_from", "attempts_to", "due", "due_from", "due_before",
        "called_in", "operator", "upload", "ended_from", "ended_before",
    )  # fmt: skip

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
    attempts_from = forms.IntegerField(
        label=_("attempts, at least"), required=False, min_value=0, max_value=rows.LARGEST
    )
    attempts_to = forms.IntegerField(label=_("attempts, at most"), required=False, min_value=0, max_value=rows.LARGEST)
    due = forms.ChoiceField(label=_("due"), required=False, choices=[*ANY, ("now", _("now")), ("later", _("later"))])
    due_from = forms.DateTimeField(label=_("due at or after"), required=False, widget=Moment)
    due_before = forms.DateTimeField(label=_("due before"), required=False, widget=Moment)
    called_in = forms.ChoiceField(label=_("called by the clock of"), required=False, widget=PlainSelect)
    operator = only_those()
    upload = forms.ModelChoiceField(
        label=_("upload"), required=False, widget=PlainSelect, empty_label=_("any"), queryset=Upload.objects.none()
    )
    ended_from = forms.DateTimeField(label=_("ended at or after"), required=False, widget=Moment)
    ended_before = forms.DateTimeField(label=_("ended before"), required=False, widget=Moment)
    chosen = forms.RegexField(r"\A[0-9]{1,18}(,[0-9]{1,18})*\Z", required=False, widget=forms.HiddenInput)
    """Ids, separated by commas: of all that match, those alone."""

    def __init__(self, campaign: Campaign, *args: Any, **kwargs: Any) -> None:
        super().__init__(campaign, *args, **kwargs)
        zones: Any = self.fields["called_in"]
        zones.choices = [*ANY, *((zone, zone) for zone in members_api.zones_of(campaign))]
        uploads: Any = self.fields["upload"]
        uploads.queryset = Upload.objects.filter(campaign=campaign).only("file_name").order_by("-pk")
        uploads.label_from_instance = lambda upload: f"{upload.file_name} (#{upload.pk})"

    def asked(self) -> dict[str, Any]:
        """Return the filters that say something, as the REST interface names them; of what is due now, the instant."""
        asked = super().asked()
        due, now = asked.pop("due", ""), clock.now()
        if due == "now":
            asked["due_before"] = min(asked.get("due_before", now), now)
        elif due == "later":
            asked["due_from"] = max(asked.get("due_from", now), now)
        for name in {"operator", "upload"} & asked.keys():
            asked[name] = asked[name].pk
        return asked

    def rows(self, user: Any) -> QuerySet[Member]:
        found = members_api.filtered(Member.objects.visible(), self.asked(), self.campaign)
        chosen = self.cleaned_data.get("chosen")
        return found.filter(pk__in=chosen.split(",")) if chosen else found


class AttemptsFilters(Filters):
    """Which attempts."""

    filter_names = (
        "number", "outcome", "cause", "disposition", "operator", "live", "talk_from", "reserved_from",
        "reserved_before",
    )  # fmt: skip

    number = forms.CharField(
        label=_("number"), required=False, max_length=64, help_text=_("The whole number, however it is written.")
    )
    outcome = forms.ChoiceField(label=_("outcome"), required=False, choices=[*ANY, *Outcome.choices])
    cause = forms.CharField(label=_("cause"), required=False, max_length=64, help_text=_("As USER_BUSY."))
    disposition = forms.CharField(label=_("disposition"), required=False, max_length=60)
    operator = only_those()
    live = forms.TypedChoiceField(
        label=_("under way"), required=False, choices=[*ANY, ("yes", _("yes")), ("no", _("no"))],
        coerce=lambda word: word == "yes", empty_value=None,
    )  # fmt: skip
    talk_from = forms.IntegerField(
        label=_("talked for, seconds"), required=False, min_value=0, max_value=24 * 3600, help_text=_("Or longer.")
    )
    reserved_from = forms.DateTimeField(label=_("from"), required=False, widget=Moment)
    reserved_before = forms.DateTimeField(label=_("to"), required=False, widget=Moment)

    def clean_number(self) -> str:
        number: str = self.cleaned_data["number"]
        if number:
            try:
                numbers.clean(number)
            except ValueError as error:
                raise ValidationError(str(error)) from None
        return number

    def asked(self) -> dict[str, Any]:
        """Return the filters that say something, as the REST interface names them."""
        asked = super().asked()
        return asked | {"operator": asked["operator"].pk} if "operator" in asked else asked

    def rows(self, user: Any) -> QuerySet[Attempt]:
        return attempts_api.filtered(attempts_api.visible_to(user).filter(campaign=self.campaign), self.asked())


class AskedForm(Filters):
    """What goes into a file, and how."""

    columns: ClassVar[Any]
    defaults: ClassVar[tuple[str, ...]]

    format = forms.ChoiceField(label=_("format"), choices=FileFormat.choices, initial=FileFormat.CSV)
    zone = forms.CharField(label=_("time zone of dates"), max_length=64, validators=[check_time_zone])

    def __init__(self, campaign: Campaign, *args: Any, **kwargs: Any) -> None:
        super().__init__(campaign, *args, **kwargs)
        self.fields["zone"].initial = campaign.calendar.time_zone
        dress(self)

    def columns_of(self, chosen: list[str]) -> list[str]:
        """Return the names of the columns of the file: those chosen, and what else is asked for."""
        return chosen

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


class MembersAskedForm(AskedForm, MembersFilters):
    """A file of subscribers."""

    columns = exports.COLUMNS
    defaults = exports.DEFAULTS

    more = forms.CharField(label=_("further columns"), required=False, max_length=2000)

    def __init__(self, campaign: Campaign, *args: Any, **kwargs: Any) -> None:
        super().__init__(campaign, *args, **kwargs)
        self.fields["more"].widget.attrs["placeholder"] = "number_1 number_2 var:debt"
        told = [gettext("number_1, number_2 … give each number a column of its own, var:NAME a variable.")]
        if names := variables_of(campaign):
            told.append(gettext("Variables of this list: %s.") % ", ".join(names))
        self.fields["more"].help_text = " ".join(told)

    def columns_of(self, chosen: list[str]) -> list[str]:
        return [*chosen, *filter(None, re.split(r"[,;\s]+", self.cleaned_data["more"]))]

    def write(self, user: Any, **how: Any) -> FileAnswer:
        return exports.members(self.campaign, self.rows(user), **how)


class AttemptsAskedForm(AskedForm, AttemptsFilters):
    """A file of attempts."""

    columns = ATTEMPT_COLUMNS
    defaults = ATTEMPT_DEFAULTS

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
