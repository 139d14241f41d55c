"""Forms of calendars and campaigns: what is wrong is told at the field, before anything is written."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytz
from django import forms
from django.core.exceptions import ValidationError
from django.forms.models import BaseInlineFormSet, inlineformset_factory
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from campaigns import hours
from campaigns.fields import ranges_text
from campaigns.models import Calendar, CalendarRange, Campaign, Holiday, Weekday


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


class CampaignForm(forms.ModelForm):
    class Meta:
        model = Campaign
        fields = (
            "name", "calendar", "priority", "limit", "retry_wait", "max_retries", "min_duration", "wait_for_result",
            "wrap_up_time", "originate_timeout", "variables", "connect_order", "strategy", "caller_id",
            "error_stops_number_only", "minus_limit", "wrap_up_until_result",
        )  # fmt: skip


HolidayFormSet = inlineformset_factory(Calendar, Holiday, fields=("date", "name", "yearly", "hours"), extra=0)


class RangeFormSet(BaseInlineFormSet):
    """The working hours of a calendar: no overlaps within a day, and with dates and holidays they open some day.

    The calendar's row must be locked: ranges that somebody else added since the page was shown count too.
    """

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        kept = [form for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        self._refuse_overlaps(kept)
        if not any(self.errors):
            self._refuse_never_open([form.instance for form in kept])

    def _refuse_overlaps(self, kept: list[Any]) -> None:
        for weekday in Weekday:
            of_day: list[tuple[CalendarRange, Any]] = [
                (form.instance, form) for form in kept if form.cleaned_data["weekday"] == weekday
            ]
            of_day += [(item, None) for item in self._added_meanwhile() if item.weekday == weekday]
            of_day.sort(key=lambda pair: (pair[0].start, pair[0].end))
            for (first, form), (second, second_form) in pairwise(of_day):
                if second.start < first.end:
                    (second_form or form).add_error(
                        "start" if second_form else "end",
                        _("%(day)s %(one)s and %(other)s overlap.")
                        % {
                            "day": weekday.label,
                            "one": ranges_text([(first.start, first.end)]),
                            "other": ranges_text([(second.start, second.end)]),
                        },
                    )

    def _added_meanwhile(self) -> list[CalendarRange]:
        shown = [form.instance.pk for form in self.initial_forms]
        return list(CalendarRange.objects.filter(calendar=self.instance.pk).exclude(pk__in=shown))

    def _refuse_never_open(self, ranges: list[CalendarRange]) -> None:
        days = HolidayFormSet(self.data, instance=self.instance)
        if not days.is_valid() or self.instance.time_zone not in pytz.all_timezones_set:
            return  # told at their own fields
        holidays = [form.instance for form in days.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        faults = hours.validate(self.instance.hours_of([*ranges, *self._added_meanwhile()], holidays))
        if faults:
            raise ValidationError(faults)
