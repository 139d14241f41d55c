"""Forms of a campaign's pages. What a reader saw goes with each form, so that he overwrites nobody else's change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from django import forms
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns import actions
from campaigns.actions import ChangedMeanwhile
from campaigns.fields import MinuteFormField, allowed_variables, check_time_zone
from campaigns.forms import CampaignForm, ZoneInput
from campaigns.models import Calendar, Campaign, CauseRule, Gateway, Route, Treatment, Weekday
from dialer import channel_variables
from members.page_forms import dress

UNITS: Final = {
    "limit": gettext_lazy("lines"),
    "retry_wait": gettext_lazy("seconds"),
    "max_retries": gettext_lazy("attempts"),
    "min_duration": gettext_lazy("seconds"),
    "wrap_up_time": gettext_lazy("seconds"),
    "originate_timeout": gettext_lazy("seconds"),
    "answer_window": gettext_lazy("seconds"),
    "abandonment_cap": gettext_lazy("percent"),
    "minus_limit": gettext_lazy("attempts"),
    "capacity": gettext_lazy("lines"),
}

HINTS: Final = {
    "limit": gettext_lazy("Outgoing lines that this campaign uses at a time, at most."),
    "retry_wait": gettext_lazy("At least so long after one attempt on a subscriber until the next."),
    "max_retries": gettext_lazy("Attempts on one subscriber, all his numbers together; then he ends as MAX_TRY_COUNT."),
    "min_duration": gettext_lazy("A shorter talk is no success: he is called again."),
    "wait_for_result": gettext_lazy("Only a result that is reported makes a call a success, however long it was."),
    "wrap_up_time": gettext_lazy("How long after the call the result may come; without one he is called again."),
    "wrap_up_until_result": gettext_lazy("He stays in wrap-up until the result is in, or its time is over."),
    "originate_timeout": gettext_lazy(
        "How long the subscriber's phone rings. A route can say otherwise (call_timeout)."
    ),
    "caller_id": gettext_lazy("What the subscriber sees, unless he or the route has one of his own."),
    "strategy": gettext_lazy("Who among free operators of the same level and position gets the call."),
    "answer_window": gettext_lazy("From the subscriber's answer until an operator must have taken the call."),
    "abandonment_cap": gettext_lazy(
        "Of the calls answered in 30 days. Over it, the campaign rings the operator first for a while."
    ),
    "minus_limit": gettext_lazy("After so many in a row one is counted, so that a list can end. 0: never."),
}
"""What is told of a setting on its page, where there is room for more than in the admin."""


# --- what somebody saw ------------------------------------------------------------------------------------------


def seal(seen: Mapping[Any, Any]) -> str:
    """Write what a page shows, by name, for the form that comes back from it."""
    return signing.dumps([[name, value] for name, value in seen.items()], salt="seen", compress=True)


def unseal(text: str) -> dict[Any, Any]:
    """Read what a page showed. Raises ``ValidationError`` for what no page of ours wrote."""
    try:
        return dict(signing.loads(text, salt="seen"))
    except signing.BadSignature:
        raise ValidationError(_("This page is out of date. Load it again.")) from None


def clash(value: str) -> str:
    """Tell that somebody else changed what this one changes."""
    return _(
        "Somebody else set this to “%(value)s” while you were editing. Save again to set yours, or load the page again "
        "to take theirs."
    ) % {"value": value}


def add_faults(form: forms.BaseForm, error: ValidationError) -> None:
    """Show what an action refused at its field, or above the form."""
    for name, faults in error.message_dict.items() if hasattr(error, "error_dict") else [(None, error.messages)]:
        for fault in faults:
            form.add_error(name if name in form.fields else None, fault)


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that was saved: what it is called, what it was and what it is."""

    name: str
    label: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.label} {self.before} → {self.after}"


class RowForm(forms.ModelForm):
    """Settings of a row that others may change at the same time."""

    seen: dict[str, Any]
    seen_name = "seen"
    """Where the page keeps it."""

    def __init__(self, data: Any = None, *, instance: models.Model | None = None) -> None:
        """``instance`` stays as it is: a form tries what was typed on a copy of it."""
        super().__init__(data, instance=copy(instance))
        shown = {name: self._field(name).value_to_string(self.instance) for name in self._meta.fields or ()}
        self.seen = shown
        self.out_of_date = ""
        if data is not None and self.instance.pk:
            try:
                self.seen = shown | unseal(data.get(self.seen_name, ""))
            except ValidationError as error:
                self.out_of_date = error.messages[0]
        for name, field in self.fields.items():
            found: Any = field
            found.unit = UNITS.get(name, "")
            field.help_text = HINTS.get(name, field.help_text)
            if isinstance(field.widget, forms.NumberInput):
                field.widget.attrs["inputmode"] = "decimal" if name == "abandonment_cap" else "numeric"
        dress(self)

    def lock_fields(self) -> None:
        """Show the settings to one who may not change them."""
        for field in self.fields.values():
            field.disabled = True

    def sealed(self) -> str:
        return seal(self.seen)

    def clean(self) -> Any:
        if self.out_of_date:
            raise ValidationError(self.out_of_date)
        return super().clean()

    def _field(self, name: str) -> Any:
        return self._meta.model._meta.get_field(name)

    def _told(self, name: str, value: Any) -> str:
        """Write a value as the page shows it; of a foreign key, its id."""
        field = self._field(name)
        if isinstance(field, models.ForeignKey):
            return str(field.related_model._default_manager.filter(pk=value).first() or value)
        if isinstance(value, dict):
            return json.dumps(value, ensure_ascii=False)
        if isinstance(value, bool):
            return _("on") if value else _("off")
        return str(dict(field.flatchoices).get(value, value)) if value != "" else "–"

    def _saved(self, write: Callable[..., Any]) -> list[Change] | None:
        """Give ``write`` what was seen and what is set; return what that changed, or ``None`` with the faults shown."""
        seen = {name: self._field(name).to_python(text) for name, text in self.seen.items()}
        given = {name: self.cleaned_data[name] for name in self._meta.fields or () if name in self.cleaned_data}
        try:
            write(seen=seen, **given)
        except ChangedMeanwhile as changed:
            for name, value in changed.now.items():
                self.seen[name] = self._text(name, value)
                self.add_error(name if name in self.fields else None, clash(self._told(name, value)))
            return None
        except ValidationError as error:
            add_faults(self, error)
            return None
        plain = {name: value.pk if isinstance(value, models.Model) else value for name, value in given.items()}
        return [
            Change(
                name, capfirst(self._field(name).verbose_name), self._told(name, seen[name]), self._told(name, value)
            )
            for name, value in plain.items()
            if value != seen[name]
        ]

    def _text(self, name: str, value: Any) -> str:
        """Write a value as ``seen`` keeps it."""
        field = self._field(name)
        return str(field.value_to_string(self._meta.model(**{field.attname: value})))


# --- a campaign -------------------------------------------------------------------------------------------------

NEXT_CALL: Final = gettext_lazy("with the next call; calls under way go on as they began")
NEXT_END: Final = gettext_lazy("with the next call that ends, those under way among them")
EFFECTS: Final = {
    "name": gettext_lazy("at once"),
    "max_retries": gettext_lazy("at once; subscribers with as many attempts already are called no more"),
    "default_region": gettext_lazy("for numbers that are added from now on"),
    "zone_from_number": gettext_lazy("for all subscribers within minutes"),
    "abandonment_cap": gettext_lazy("within a minute"),
} | dict.fromkeys(
    ("retry_wait", "min_duration", "wait_for_result", "wrap_up_time", "wrap_up_until_result", "minus_limit",
     "error_stops_number_only"), NEXT_END,
)  # fmt: skip
"""When a setting takes effect; those that are not here: ``NEXT_CALL``."""


def told_of(changes: Iterable[Change]) -> str:
    """Tell in one text what was changed, and when it takes effect."""
    by_effect: dict[str, list[Change]] = {}
    for change in changes:
        by_effect.setdefault(str(EFFECTS.get(change.name, NEXT_CALL)), []).append(change)
    if not by_effect:
        return _("Nothing was changed.")
    parts = [f"{', '.join(map(str, found))} ({effect})" for effect, found in by_effect.items()]
    return _("Saved: %s.") % "; ".join(parts)


class Group(NamedTuple):
    """Settings that belong together."""

    name: str
    title: Any
    hint: Any
    fields: tuple[str, ...]


class SettingsForm(RowForm, CampaignForm):
    """Settings of a campaign on one of its pages."""

    groups_of: ClassVar[tuple[Group, ...]] = ()

    def __init__(self, data: Any = None, *, instance: Campaign | None = None) -> None:
        super().__init__(data, instance=instance)
        for name, field in self.fields.items():
            default: Any = Campaign._meta.get_field(name)
            if default.has_default() and UNITS.get(name):
                found: Any = field
                found.default = default.get_default()

    def groups(self) -> Iterator[dict[str, Any]]:
        """Give the groups with their fields as they are on the page."""
        for group in self.groups_of:
            yield {"name": group.name, "title": group.title, "hint": group.hint,
                   "fields": [self[name] for name in group.fields]}  # fmt: skip

    def keep(self) -> list[Change] | None:
        """Save what was changed; return it, or ``None`` with the faults shown."""
        return self._saved(lambda **given: actions.update_campaign(self.instance.pk, **given))


class GeneralForm(SettingsForm):
    class Meta(CampaignForm.Meta):
        fields = ("name", "calendar", "priority")

    def __init__(self, data: Any = None, *, instance: Campaign | None = None) -> None:
        super().__init__(data, instance=instance)
        self.fields["calendar"].widget.attrs["data-search"] = ""
        self.fields["priority"].help_text = _(
            "Among campaigns that use the same lines, the one with the bigger priority is served first."
        )


class NewCampaignForm(GeneralForm):
    """A campaign as it is added: the rest has defaults that fit most."""

    class Meta(CampaignForm.Meta):
        fields = ("name", "calendar", "priority", "limit")

    def __init__(self, data: Any = None, *, calendar: Calendar | None = None) -> None:
        super().__init__(data)
        field: Any = self.fields["calendar"]
        field.empty_label = _("choose one")
        if calendar is not None:
            field.initial = calendar

    def add(self) -> Campaign | None:
        """Add the campaign; ``None`` with the faults shown."""
        try:
            return actions.create_campaign(**self.cleaned_data)
        except ValidationError as error:
            add_faults(self, error)
            return None


class ParametersForm(SettingsForm):
    """Every parameter, the document's own first and in its order."""

    groups_of = (
        Group("calls", gettext_lazy("Parameters"), "", (
            "limit", "retry_wait", "max_retries", "min_duration", "wait_for_result", "wrap_up_time",
            "wrap_up_until_result",
        )),
        Group("call", gettext_lazy("The call"), "", ("originate_timeout", "caller_id", "strategy", "record")),
        Group("connection", gettext_lazy("Connection"), "", ("connect_order", "waiting_sound")),
        Group("abandoning", gettext_lazy("Answered and nobody there"), gettext_lazy(
            "These count only when the subscriber is called first."
        ), ("answer_window", "abandon_message", "abandonment_cap")),
        Group("numbers", gettext_lazy("Numbers and time zones"), "", ("default_region", "zone_from_number")),
    )  # fmt: skip

    class Meta(CampaignForm.Meta):
        fields = (
            "limit", "retry_wait", "max_retries", "min_duration", "wait_for_result", "wrap_up_time",
            "wrap_up_until_result", "originate_timeout", "caller_id", "strategy", "record", "connect_order",
            "waiting_sound", "answer_window", "abandon_message", "abandonment_cap", "default_region",
            "zone_from_number",
        )  # fmt: skip

    def __init__(self, data: Any = None, *, instance: Campaign | None = None) -> None:
        super().__init__(data, instance=instance)
        self.fields["default_region"].widget.attrs["data-search"] = ""
        self.fields["connect_order"].help_text = ""
        self.fields["wrap_up_time"].label = _("wrap up time (for the result)")


class CauseSettingsForm(SettingsForm):
    """What a page of causes has beside the causes."""

    seen_name = "seen_settings"

    class Meta(CampaignForm.Meta):
        fields = ("minus_limit", "error_stops_number_only")


class CloneForm(forms.Form):
    """The name of a copy."""

    name = forms.CharField(label=gettext_lazy("name"), max_length=120)

    def __init__(self, campaign: Campaign, data: Any = None) -> None:
        super().__init__(data, initial={"name": actions.free_name(campaign.name)})
        self.campaign = campaign
        dress(self)

    def add(self) -> Campaign | None:
        """Add the copy; ``None`` with the faults shown."""
        try:
            return actions.clone_campaign(self.campaign.pk, self.cleaned_data["name"])
        except ValidationError as error:
            add_faults(self, error)
            return None


# --- variables --------------------------------------------------------------------------------------------------

SPARE: Final = 3
"""Empty rows at the end, for browsers without scripts."""


@dataclass(slots=True)
class Variable:
    """A row of the page: what was typed, and what is wrong with it."""

    name: str = ""
    value: str = ""
    fault: str = ""


class VariablesForm:
    """The variables of a campaign as rows of a name and a value."""

    def __init__(self, campaign: Campaign, data: Any = None) -> None:
        self.campaign = campaign
        self.seen: dict[str, Any] = dict(campaign.variables)
        self.fault = ""
        if data is None:
            rows = [Variable(name, channel_variables.as_text(value)) for name, value in sorted(self.seen.items())]
            self.rows = [*rows, *(Variable() for _spare in range(SPARE))]
            return
        pairs = zip(data.getlist("name"), data.getlist("value"), strict=False)
        self.rows = [Variable(name.strip(), value.replace("\r\n", "\n")) for name, value in pairs]
        try:
            self.seen = unseal(data.get("seen", ""))
        except ValidationError as error:
            self.fault = error.messages[0]

    def sealed(self) -> str:
        return seal(self.seen)

    def keep(self) -> tuple[list[str], list[str], list[str]] | None:
        """Save them; return the names that were added, changed and removed, or ``None`` with the faults shown."""
        filled = [row for row in self.rows if row.name or row.value]
        self._check(filled)
        if self.fault or any(row.fault for row in filled):
            return None
        # A value that stayed as it was shown keeps its kind: a number stays a number.
        shown = {name: channel_variables.as_text(value) for name, value in self.seen.items()}
        mine = {row.name: self.seen[row.name] if shown.get(row.name) == row.value else row.value for row in filled}
        try:
            actions.set_variables(self.campaign.pk, mine, seen=self.seen)
        except ChangedMeanwhile as changed:
            self._show(changed)
            return None
        except ValidationError as error:
            self.fault = " ".join(error.messages)
            return None
        added, removed = sorted(mine.keys() - self.seen.keys()), sorted(self.seen.keys() - mine.keys())
        return added, [name for name in mine if name in self.seen and mine[name] != self.seen[name]], removed

    def _check(self, rows: list[Variable]) -> None:
        allowed = allowed_variables()
        names: set[str] = set()
        for row in rows:
            try:
                if not row.name:
                    raise ValueError(_("A name is missing: give it one, or remove the value."))
                channel_variables.check_name(row.name, allowed)
                channel_variables.check_value(row.name, row.value)
                if row.name in names:
                    raise ValueError(_("“%s” is there twice.") % row.name)
            except ValueError as error:
                row.fault = str(error)
            names.add(row.name)

    def _show(self, changed: ChangedMeanwhile) -> None:
        for name, value in changed.now.items():
            row = next((row for row in self.rows if row.name == name), None)
            if row is None:
                row = Variable(name)
                self.rows.insert(0, row)
                row.value = "" if value is None else channel_variables.as_text(value)
                row.fault = _("Somebody else changed it while you removed it. Remove it again, or save it as it is.")
            elif value is None:
                row.fault = _("Somebody else removed it while you were editing. Save again to set yours.")
            else:
                row.fault = clash(channel_variables.as_text(value))
            if value is None:
                self.seen.pop(name, None)
            else:
                self.seen[name] = value


# --- causes -----------------------------------------------------------------------------------------------------

PREFIX: Final = "cause-"


class CausesForm:
    """What a campaign makes of each cause: four columns."""

    def __init__(self, campaign: Campaign, data: Any = None) -> None:
        self.campaign = campaign
        self.seen: dict[str, str] = dict(campaign.causes.values_list("cause", "treatment"))
        self.chosen = dict(self.seen)
        self.faults: dict[str, str] = {}
        self.new = self.new_treatment = self.fault = ""
        if data is None:
            return
        self.chosen = {name.removeprefix(PREFIX): data[name] for name in data if name.startswith(PREFIX)}
        self.new, self.new_treatment = data.get("new", "").strip().upper(), data.get("new_treatment", "")
        try:
            self.seen = unseal(data.get("seen", ""))
        except ValidationError as error:
            self.fault = error.messages[0]

    def sealed(self) -> str:
        return seal(self.seen)

    def columns(self, happened: Mapping[str, int]) -> list[dict[str, Any]]:
        """Return the causes by treatment; those that are not listed but happened are among the Retries."""
        found: dict[str, list[dict[str, Any]]] = {value: [] for value in Treatment.values}
        for cause in sorted(self.chosen.keys() | happened.keys() | self.faults.keys()):
            chosen = self.chosen.get(cause, "")
            row = {
                "cause": cause,
                "chosen": chosen,
                "count": happened.get(cause, 0),
                "fault": self.faults.get(cause, ""),
            }
            found[chosen if chosen in found else Treatment.RETRY].append(row)
        return [
            {"value": value, "label": label, "hint": TREATMENT_HINTS[Treatment(value)], "causes": found[value]}
            for value, label in Treatment.choices
        ]

    def keep(self) -> dict[str, tuple[str, str]] | None:
        """Save them; return those that changed, from and to, or ``None`` with the faults shown."""
        mine = {cause: treatment for cause, treatment in self.chosen.items() if treatment}
        if self.new:
            self._add(mine)
        if self.faults or self.fault:
            return None
        try:
            actions.set_causes(self.campaign.pk, mine, seen=self.seen)
        except ChangedMeanwhile as changed:
            for cause, now in changed.now.items():
                self.faults[cause] = clash(label_of(now))
                if now is None:
                    self.seen.pop(cause, None)
                else:
                    self.seen[cause] = now
            return None
        except ValidationError as error:
            self.faults |= {cause: " ".join(told) for cause, told in error.message_dict.items()}
            return None
        changed_causes = [cause for cause in sorted(mine.keys() | self.seen) if mine.get(cause) != self.seen.get(cause)]
        return {cause: (label_of(self.seen.get(cause)), label_of(mine.get(cause))) for cause in changed_causes}

    def _add(self, mine: dict[str, str]) -> None:
        rule = CauseRule(campaign=self.campaign, cause=self.new, treatment=self.new_treatment)
        try:
            rule.clean_fields(exclude=["campaign"])
        except ValidationError as error:
            self.faults["new"] = " ".join(error.messages)
            return
        if self.new in mine:
            self.faults["new"] = _("%(cause)s is listed already, as %(treatment)s.") % {
                "cause": self.new, "treatment": label_of(mine[self.new]),
            }  # fmt: skip
            return
        mine[self.new] = self.chosen[self.new] = self.new_treatment


def label_of(treatment: str | None) -> str:
    """Write a treatment; a cause without one is not listed."""
    return str(Treatment(treatment).label) if treatment else _("not listed (Retry)")


TREATMENT_HINTS: Final = {
    Treatment.ERROR: gettext_lazy("Dialling of this subscriber stops at once."),
    Treatment.RETRY: gettext_lazy("He is called again, as often as the attempts allow."),
    Treatment.OK: gettext_lazy("A success: he is not called again."),
    Treatment.MINUS: gettext_lazy("He is called again, and the attempt is not counted."),
}


# --- operators --------------------------------------------------------------------------------------------------


class PlaceForm(forms.Form):
    """A level and a position."""

    level = forms.IntegerField(label=gettext_lazy("level"), min_value=0, max_value=32767, initial=1)
    position = forms.IntegerField(label=gettext_lazy("position"), min_value=0, max_value=32767, initial=1)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self)

    def told(self) -> str:
        """Tell all faults in one line."""
        return " ".join(
            f"{capfirst(self[name].label)}: {' '.join(map(str, faults))}" for name, faults in self.errors.items()
        )

    @property
    def place(self) -> tuple[int, int]:
        return self.cleaned_data["level"], self.cleaned_data["position"]


# --- routes -----------------------------------------------------------------------------------------------------


class RouteForm(RowForm):
    """A route of a campaign."""

    call_timeout = forms.IntegerField(
        label=gettext_lazy("call timeout"), required=False, min_value=1, max_value=600,
        help_text=gettext_lazy("Empty: as long as the campaign says."),
    )  # fmt: skip

    class Meta:
        model = Route
        fields = ("name", "pattern", "gateway", "strip", "prepend", "caller_id", "enabled", "variables")

    def __init__(self, data: Any = None, *, instance: Route) -> None:
        super().__init__(data, instance=instance)
        del self.fields["variables"]
        self.fields["call_timeout"].initial = instance.call_timeout
        found: Any = self.fields["call_timeout"]
        found.unit = _("seconds")
        self.fields["gateway"].widget.attrs["data-search"] = ""
        self.fields["pattern"].widget.attrs |= {"placeholder": "^380", "spellcheck": "false", "autocomplete": "off"}
        self.fields["strip"].help_text = _("Leading characters taken away before it is dialled, a “+” among them.")
        self.fields["prepend"].help_text = _("What is set before the rest.")
        self.fields["caller_id"].help_text = _("Instead of the campaign's.")

    def keep(self) -> Route | None:
        """Add or change the route; ``None`` with the faults shown."""
        variables = {name: value for name, value in self.instance.variables.items() if name != "call_timeout"}
        if self.cleaned_data["call_timeout"]:
            variables["call_timeout"] = self.cleaned_data["call_timeout"]
        given = {name: self.cleaned_data[name] for name in self.fields if name in self.seen}
        if self.instance.pk is None:
            position = Route.objects.filter(campaign=self.instance.campaign).aggregate(models.Max("position"))
            try:
                return actions.save_route(
                    None, campaign=self.instance.campaign, variables=variables,
                    position=(position["position__max"] or 0) + 1, **given,
                )  # fmt: skip
            except ValidationError as error:
                add_faults(self, error)
                return None
        self.cleaned_data["variables"] = variables
        saved: list[Route] = []
        done = self._saved(lambda **values: saved.append(actions.save_route(self.instance.pk, **values)))
        return None if done is None else saved[0]


# --- the first campaign -----------------------------------------------------------------------------------------


class QuickCalendarForm(forms.Form):
    """A calendar of one stretch of hours on some days of the week."""

    name = forms.CharField(label=gettext_lazy("name"), max_length=120, initial=gettext_lazy("Office hours"))
    time_zone = forms.CharField(
        label=gettext_lazy("time zone"), max_length=64, validators=[check_time_zone], widget=ZoneInput(),
        help_text=gettext_lazy("IANA name, for example Europe/Kyiv."),
    )  # fmt: skip
    days = forms.TypedMultipleChoiceField(
        label=gettext_lazy("days"), choices=Weekday.choices, coerce=int, initial=[1, 2, 3, 4, 5],
        widget=forms.CheckboxSelectMultiple(),
    )  # fmt: skip
    start = MinuteFormField(label=gettext_lazy("from"), initial="09:00")
    end = MinuteFormField(label=gettext_lazy("to"), initial="18:00")

    def __init__(self, data: Any = None, *, zone: str = "") -> None:
        super().__init__(data, initial={"time_zone": zone})
        dress(self)
        self.fields["days"].widget.attrs["class"] = "form-check-input"

    def add(self) -> Calendar | None:
        """Add the calendar; ``None`` with the faults shown."""
        given = self.cleaned_data
        if given["end"] <= given["start"]:
            self.add_error("end", _("“To” must be later than “from”, and at most 24:00."))
            return None
        ranges = [{"weekday": day, "start": given["start"], "end": given["end"]} for day in given["days"]]
        try:
            return actions.save_calendar(None, name=given["name"], time_zone=given["time_zone"], ranges=ranges)
        except ValidationError as error:
            add_faults(self, error)
            return None


class LinesForm(forms.Form):
    """A gateway, there already or new, and the route of a campaign that leads to it."""

    gateway = forms.ModelChoiceField(
        label=gettext_lazy("gateway"), queryset=Gateway.objects.all(), required=False,
        empty_label=gettext_lazy("a new one, as below"),
    )  # fmt: skip
    name = forms.CharField(
        label=gettext_lazy("name of the new gateway"), max_length=64, required=False,
        help_text=gettext_lazy("As the switch calls it."),
    )  # fmt: skip
    capacity = forms.IntegerField(label=gettext_lazy("capacity"), min_value=1, max_value=100_000, initial=30)
    pattern = forms.CharField(
        label=gettext_lazy("pattern"), max_length=200, required=False,
        help_text=gettext_lazy("Regular expression on the digits without “+”, for example ^380. Empty: every number."),
    )  # fmt: skip

    def __init__(self, data: Any = None, *, may_add_gateway: bool = True) -> None:
        super().__init__(data)
        found: Any = self.fields["capacity"]
        found.unit = UNITS["capacity"]
        if not may_add_gateway:
            del self.fields["name"], self.fields["capacity"]
        if not may_add_gateway or not Gateway.objects.exists():
            field: Any = self.fields["gateway"]
            field.required, field.empty_label = not may_add_gateway, None
            if may_add_gateway:
                del self.fields["gateway"]
        dress(self)

    def add(self, campaign: Campaign) -> Route | None:
        """Add the route, and the gateway if it is new; ``None`` with the faults shown, and nothing added."""
        given = self.cleaned_data
        try:
            with transaction.atomic():
                gateway = given.get("gateway") or actions.create_gateway(name=given["name"], capacity=given["capacity"])
                return actions.save_route(None, campaign=campaign, gateway=gateway, pattern=given["pattern"])
        except ValidationError as error:
            add_faults(self, error)
            return None
