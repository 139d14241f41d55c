"""What statistics are asked of: a while, a zone, and whose attempts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytz
from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from agents.models import Operator
from campaigns.models import Campaign
from dialer import clock
from dialer.api import scope
from dialer.statistics import reading
from dialer.statistics.queries import Asked
from dialer.statistics.ranges import Preset, Range, Step, of_preset
from members.page_forms import Moment, PlainSelect, dress

BETWEEN = "between"
"""No preset: from one instant to another."""


class WallClock(forms.Field):
    """A date and a time of day on a wall clock that another field names."""

    widget = Moment

    def to_python(self, value: Any) -> datetime | None:
        """Return it without a zone. Raises ``ValidationError``."""
        if not value:
            return None
        try:
            found = parse_datetime(str(value))
        except ValueError:
            found = None
        if found is None or found.tzinfo is not None:
            raise ValidationError(_("This must be a date and a time of day."))
        return found


class StatisticsForm(forms.Form):
    """Bound to the address; whatever that leaves out has its usual value."""

    preset = forms.ChoiceField(
        label=gettext_lazy("while"), widget=forms.RadioSelect,
        choices=[*Preset.choices, (BETWEEN, gettext_lazy("From – to"))],
    )  # fmt: skip
    start = WallClock(label=gettext_lazy("from"), required=False)
    end = WallClock(label=gettext_lazy("to"), required=False)
    campaign = forms.ModelChoiceField(
        label=gettext_lazy("campaign"), widget=PlainSelect, queryset=Campaign.objects.none(), required=False,
        empty_label=gettext_lazy("all campaigns"),
    )  # fmt: skip
    operator = forms.ModelChoiceField(
        label=gettext_lazy("operator"), widget=PlainSelect, required=False,
        queryset=Operator.objects.only("name", "extension").order_by("name", "pk"),
        empty_label=gettext_lazy("all operators"),
    )  # fmt: skip
    zone = forms.ChoiceField(label=gettext_lazy("time zone"), widget=PlainSelect)
    step = forms.ChoiceField(
        label=gettext_lazy("calls over time"),
        required=False,
        choices=[("", gettext_lazy("by the hour or the day")), *Step.choices],
    )

    def __init__(self, user: Any, campaign: Campaign | None, given: Mapping[str, Any]) -> None:
        usual = {"preset": Preset.TODAY.value, "zone": reading.usual_zone(user, campaign)}
        super().__init__(usual | {name: value for name, value in given.items() if value})
        self.user, self.owner = user, campaign
        zones = dict.fromkeys([usual["zone"], *pytz.common_timezones])
        self._field("zone").choices = [(name, name) for name in zones]
        if campaign is None:
            self._field("campaign").queryset = scope.campaigns(user).select_related("calendar").order_by("name")
        else:
            del self.fields["campaign"]
        if not user.has_perm(reading.SEE_OPERATORS):
            del self.fields["operator"]
        dress(self)
        for name in {"campaign", "operator", "zone"} & set(self.fields):
            self.fields[name].widget.attrs["data-search"] = ""
        self.fields["preset"].widget.attrs.pop("class")

    def _field(self, name: str) -> Any:
        return self.fields[name]

    def clean(self) -> dict[str, Any]:
        """Find the range. Its faults are told at the end, or at the beginning where that is missing."""
        given = super().clean() or self.cleaned_data
        zone = given.get("zone")
        if given.get("preset") != BETWEEN or zone is None or {"start", "end"} & self.errors.keys():
            return given
        if given["start"] is None:
            self.add_error("start", _("Say from when."))
            return given
        start = _instant(given["start"], zone)
        end = _instant(given["end"], zone) if given["end"] else clock.now()
        if fault := reading.fault_of(start, end):
            self.add_error("end" if given["end"] else "start", fault)
        given["range"] = Range(start, end, zone)
        return given

    def asked(self) -> tuple[Asked, Step]:
        """Return what a valid form asks for, and how finely."""
        given = self.cleaned_data
        found = given.get("range") or of_preset(given["preset"], given["zone"], clock.now())
        campaign, operator = self.owner or given.get("campaign"), given.get("operator")
        asked = reading.asked_by(self.user, campaign, found, operator.pk if operator else None)
        return asked, Step(given["step"] or found.step)


def _instant(clock_time: datetime, zone: str) -> datetime:
    """Return the instant of a time on a wall clock; of an hour that comes twice the first, of none the next one."""
    there = pytz.timezone(zone)
    return there.normalize(there.localize(clock_time, is_dst=True))
