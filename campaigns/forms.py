"""Forms of calendars and campaigns: what is wrong is told at the field, before anything is written."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import phonenumbers
import pytz
from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import BaseInlineFormSet, inlineformset_factory
from django.utils.choices import CallableChoiceIterator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from campaigns import hours
from campaigns.models import Calendar, CalendarRange, Campaign, Holiday
from dialer import countries


class ZoneInput(forms.TextInput):
    """A text box that proposes the names of time zones as one types."""

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        options = f"{name}-zones"
        box = super().render(name, value, {**(attrs or {}), "list": options, "autocomplete": "off"}, renderer)
        zones = format_html_join("", '<option value="{}">', ((zone,) for zone in pytz.common_timezones))
        return format_html('{}<datalist id="{}">{}</datalist>', box, options, zones)


class CalendarForm(forms.ModelForm):
    class Meta:
        model = Calendar
        fields = ("name", "time_zone", "first_date", "last_date")
        widgets = {"time_zone": ZoneInput(attrs={"size": 30})}  # noqa: RUF012


class RegionSelect(forms.Select):
    """Countries by their names."""

    def __init__(self) -> None:
        super().__init__(choices=CallableChoiceIterator(_regions))


def _regions() -> list[tuple[str, str]]:
    regions = countries.named(phonenumbers.SUPPORTED_REGIONS)
    named = [(code, f"{name} ({code}, +{phonenumbers.country_code_for_region(code)})") for code, name in regions]
    return [("", _("none: numbers stay as typed")), *named]


class CampaignForm(forms.ModelForm):
    class Meta:
        model = Campaign
        widgets = {"default_region": RegionSelect}  # noqa: RUF012
        fields: tuple[str, ...] = (
            "name", "calendar", "priority", "limit", "retry_wait", "max_retries", "min_duration", "wait_for_result",
            "wrap_up_time", "originate_timeout", "variables", "strategy", "caller_id",
            "error_stops_number_only", "minus_limit", "wrap_up_until_result", "connect_order", "answer_window",
            "waiting_sound", "abandon_message", "abandonment_cap", "record", "default_region", "zone_from_number",
            "script", "call_back_grace", "wrap_up_extension", "coaching_shown",
        )  # fmt: skip

    def clean_script(self) -> str:
        """Return the script with line ends as programs write them; browsers send others."""
        return str(self.cleaned_data["script"]).replace("\r\n", "\n")


class BaseHolidayFormSet(BaseInlineFormSet):
    """The holidays of a calendar: one a day, and one a day of the year among those of every year."""

    def clean(self) -> None:
        super().clean()
        refuse_doubles(self)


def refuse_doubles(formset: Any) -> None:
    """Tell at its date which of the holidays of a formset comes a second time."""
    seen = set()
    for form in kept_forms(formset):
        day, yearly = form.cleaned_data["date"], form.cleaned_data["yearly"]
        key = (day.month, day.day) if yearly else day
        if key in seen:
            form.add_error("date", _("This calendar has a holiday on that date already."))
        seen.add(key)


HolidayFormSet = inlineformset_factory(
    Calendar, Holiday, formset=BaseHolidayFormSet, fields=("date", "name", "yearly", "hours"), extra=0
)


def kept_forms(formset: Any) -> list[Any]:
    """Return the forms of a formset that will be rows: valid, filled in and not to be deleted."""
    return [
        form for form in formset.forms if not form.errors and form.cleaned_data and not form.cleaned_data.get("DELETE")
    ]


class RangeFormSet(BaseInlineFormSet):
    """The working hours of a calendar: no overlaps within a day, and with dates and holidays they open some day.

    The calendar's row must be locked: ranges that somebody else added since the page was shown count too.
    """

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        forms_kept = kept_forms(self)
        shown = [form.instance.pk for form in self.initial_forms]
        others = list(CalendarRange.objects.filter(calendar=self.instance.pk).exclude(pk__in=shown))
        self._refuse_overlaps([*((form.instance, form) for form in forms_kept), *((item, None) for item in others)])
        if not any(self.errors):
            self._refuse_never_open([*(form.instance for form in forms_kept), *others])

    def _refuse_overlaps(self, ranges: list[tuple[CalendarRange, Any]]) -> None:
        """Add a fault to the later of each two ranges that overlap (to the earlier if only that one is on the page)."""
        ranges.sort(key=lambda pair: (pair[0].weekday, pair[0].start, pair[0].end))
        for (first, first_form), (second, second_form) in pairwise(ranges):
            if first.weekday == second.weekday and second.start < first.end:
                told = _("%(one)s and %(other)s overlap.") % {"one": first, "other": second}
                (second_form or first_form).add_error("start" if second_form else "end", told)

    def _refuse_never_open(self, ranges: list[CalendarRange]) -> None:
        holidays = [form.instance for form in kept_forms(HolidayFormSet(self.data, instance=self.instance))]
        faults = hours.validate(self.instance.hours_of(ranges, holidays))
        if "ranges" in faults:  # the others are told at their own fields
            raise ValidationError(faults["ranges"])
