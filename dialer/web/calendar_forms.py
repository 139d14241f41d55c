"""The form of a calendar: itself, its week as plain text, its special days, and public holidays to import."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Final

import holidays as public_holidays
import pytz
from django import forms
from django.core.exceptions import ValidationError
from django.forms import BaseFormSet, formset_factory
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from campaigns import actions, hours
from campaigns.actions import ChangedMeanwhile
from campaigns.fields import MinuteRangesFormField, clock_text, parse_clock, ranges_text
from campaigns.forms import CalendarForm, kept_forms, refuse_doubles
from campaigns.hours import Hours
from campaigns.models import Calendar, CalendarRange, Holiday, Weekday
from dialer import clock, countries
from dialer.web.campaign_forms import add_faults, clash, seal, unseal
from members.page_forms import dress

MOST_DAYS: Final = 1000
"""Special days that a calendar has at most, as this page has it."""
MOST_YEARS: Final = 10
"""Years that one look-up covers at most."""


# --- the calendar and its week ----------------------------------------------------------------------------------


class DayField(MinuteRangesFormField):
    """The working hours of a weekday; a range over midnight is two, and its writer is told which."""

    def __init__(self, weekday: Weekday) -> None:
        attrs = {"placeholder": _("closed"), "autocomplete": "off", "spellcheck": "false", "data-day": weekday.value}
        super().__init__(
            label=weekday.label, required=False, max_length=500, widget=forms.TextInput(attrs=attrs)
        )  # fmt: skip
        self.weekday = weekday

    def clean(self, value: Any) -> list[tuple[int, int]]:
        try:
            return super().clean(value)
        except ValidationError:
            self._explain_midnight(str(value or ""))
            raise

    def _explain_midnight(self, text: str) -> None:
        for part in re.split(r"[,;]", text):
            try:
                start, end = (parse_clock(piece) for piece in re.split(r"[-–—]", part))
            except ValueError:
                continue
            if end < start:
                told = _("%(range)s runs over midnight: write %(start)s-24:00 here and 00:00-%(end)s on %(next)s.")
                following = Weekday(self.weekday % 7 + 1).label
                names = {"range": ranges_text([(start, end)]), "start": clock_text(start), "end": clock_text(end)}
                raise ValidationError(told % {**names, "next": following})


@cache
def _former_names() -> dict[str, str]:
    """Return what zones are called now by what they were called: browsers tell Europe/Kiev still."""
    with pytz.open_resource("tzdata.zi") as file:  # type: ignore[attr-defined]
        links = [line.split() for line in file.read().decode().splitlines() if line.startswith("L ")]
    known = pytz.common_timezones_set
    return {former: name for _link, name, former in links if former not in known and name in known}


class CalendarPageForm(CalendarForm):
    class Meta(CalendarForm.Meta):
        widgets: dict[str, forms.Widget] = {  # type: ignore[assignment]  # noqa: RUF012
            "time_zone": forms.Select(attrs={"data-search": ""}),
            "first_date": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            "last_date": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        }

    def __init__(self, *args: Any, zone: str, **kwargs: Any) -> None:
        """``zone`` is the one of now, which may be one that is not proposed."""
        super().__init__(*args, **kwargs)
        known = (
            [*pytz.common_timezones]
            if not zone or zone in pytz.common_timezones_set
            else [zone, *pytz.common_timezones]
        )
        select: Any = self.fields["time_zone"].widget
        select.choices = [("", _("choose one")), *((name, name.replace("_", " ")) for name in known)]
        if not zone:
            select.attrs["data-former"] = json.dumps(_former_names())
        self.fields["time_zone"].help_text = ""
        self.fields["first_date"].label, self.fields["last_date"].label = _("valid from"), _("valid until")
        self.fields["last_date"].help_text = _("Included. Empty: without end.")
        for weekday in Weekday:
            self.fields[f"day_{weekday}"] = DayField(weekday)
        dress(self)

    def days(self) -> list[forms.BoundField]:
        return [self[f"day_{weekday}"] for weekday in Weekday]

    def ranges(self) -> list[dict[str, Any]]:
        """Return the rows of the working hours."""
        return [
            {"weekday": weekday.value, "start": start, "end": end}
            for weekday in Weekday
            for start, end in self.cleaned_data[f"day_{weekday}"]
        ]


# --- special days -----------------------------------------------------------------------------------------------


class SpecialDayForm(forms.ModelForm):
    class Meta:
        model = Holiday
        fields = ("date", "name", "yearly", "hours")
        widgets = {"date": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")}  # noqa: RUF012

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["hours"].widget.attrs["placeholder"] = _("closed all day")
        dress(self)

    @property
    def is_past(self) -> bool:
        """Whether it is one of a year that is over."""
        day, yearly = self["date"].value(), self["yearly"].value()
        return bool(day) and not yearly and str(day) < f"{clock.now().year}-" and not self.errors


class BaseSpecialDays(BaseFormSet):
    deletion_widget = forms.CheckboxInput

    def clean(self) -> None:
        refuse_doubles(self)


SpecialDays: Any = formset_factory(
    SpecialDayForm, formset=BaseSpecialDays, extra=0, can_delete=True, max_num=MOST_DAYS, validate_max=True
)


# --- the whole --------------------------------------------------------------------------------------------------


class Editor:
    """A calendar as its page has it: from the database, as somebody sent it, or as he sent it to have it changed."""

    def __init__(self, calendar: Calendar | None, data: Any = None, *, check: bool = True) -> None:
        """``check``: what was sent is to be saved, and its faults are shown; else it is only drawn anew."""
        self.calendar = calendar
        self.data = data
        initial = _initial(calendar) if data is None else {name: data.get(name, "") for name in _NAMES}
        days = _initial_days(calendar) if data is None else _typed_days(data)
        given = data if check else None
        instance = copy(calendar) if calendar else Calendar()
        zone = str(initial["time_zone"])
        self.form = CalendarPageForm(given, instance=instance, initial=initial, zone=zone)
        if given is None:
            self.days = SpecialDays(initial=days, prefix="days")
        else:
            self.days = SpecialDays(given, prefix="days")
        if data is None:
            seen = seal(_parts(calendar)) if calendar else ""
        else:
            seen = data.get("seen", "")
        self.seen = seen
        self.week_faults: list[str] = []

    def is_valid(self) -> bool:
        """Tell whether it may be given to be saved; faults are at their fields."""
        valid = all([self.form.is_valid(), self.days.is_valid()])
        week = self.hours()
        if week is not None and hours.never_opens(week):
            self.week_faults = [_("This calendar never opens. Add working hours on a day between its dates.")]
            return False
        return valid

    def hours(self) -> Hours | None:
        """Return what it would be; ``None`` while that cannot be read."""
        if self.data is None:
            return self.calendar.as_hours() if self.calendar else None
        if not self.form.is_bound:
            return Editor(self.calendar, self.data).hours()
        unread = [name for name in self.form.errors if name not in ("name", "__all__")]
        if unread or not self.days.is_valid():
            return None
        ranges = [CalendarRange(**item) for item in self.form.ranges()]
        read: Calendar = self.form.instance
        if read.first_date and read.last_date and read.last_date < read.first_date:
            return None
        return read.hours_of(ranges, [Holiday(**day) for day in self._special()])

    def faults(self) -> list[str]:
        """Tell what cannot be read, with the names of the fields. A name may still be missing."""
        if not self.form.is_bound:
            return Editor(self.calendar, self.data).faults() if self.data is not None else []
        told = [
            f"{self.form.fields[name].label}: {' '.join(map(str, faults))}"
            for name, faults in self.form.errors.items()
            if name in self.form.fields and name != "name"
        ]
        for form in self.days.forms:
            day = form["date"].value() or _("A special day")
            told += [f"{day}, {form.fields[name].label}: {' '.join(faults)}" for name, faults in form.errors.items()]
        return [*told, *map(str, self.days.non_form_errors())]

    def keep(self) -> Calendar | None:
        """Save it; ``None`` with the faults shown. Raises ``ValidationError`` for a page that is out of date."""
        given = {name: self.form.cleaned_data[name] for name in actions.CALENDAR_FIELDS}
        seen = unseal(self.seen) if self.calendar else None
        try:
            return actions.save_calendar(
                self.calendar.pk if self.calendar else None,
                ranges=self.form.ranges(), holidays=self._special(), seen=seen, **given,
            )  # fmt: skip
        except ChangedMeanwhile as changed:
            self._show_clashes({**(seen or {}), **changed.now}, changed.now)
        except ValidationError as error:
            add_faults(self.form, error)
        return None

    @property
    def past_days(self) -> int:
        """Count the special days of years that are over."""
        return sum(form.is_past for form in self.days.forms)

    def typed_days(self) -> list[dict[str, Any]]:
        """Return the special days as they were typed, without judging them."""
        return _typed_days(self.data)

    def _special(self) -> list[dict[str, Any]]:
        names = ("date", "name", "yearly", "hours")
        return [{name: form.cleaned_data[name] for name in names} for form in kept_forms(self.days)]

    def _show_clashes(self, seen: Mapping[str, Any], clashes: Mapping[str, Any]) -> None:
        """Tell at each field what somebody else made of it; saved again, what is typed holds."""
        self.seen = seal({name: value for name, value in seen.items() if value is not None})
        rows = {_key(form): form for form in kept_forms(self.days)}
        for part, value in clashes.items():
            if part in actions.CALENDAR_FIELDS:
                self.form.add_error(part, clash(value or "–"))
            elif part.isdigit():
                self.form.add_error(f"day_{part}", clash(ranges_text(value) or _("closed")))
            else:
                there = (value[0], ranges_text(value[1]) or _("closed")) if value else (_("removed"),)
                told = ", ".join(map(str, there))
                row = rows.get(part)
                if row:
                    row.add_error("date", clash(told))
                else:
                    self.form.add_error(None, f"{part}: {clash(told)}")


def _key(form: Any) -> str:
    """Name a special day as ``calendar_parts`` does."""
    return f"{form.cleaned_data['date'].isoformat()}{' yearly' if form.cleaned_data['yearly'] else ''}"


_NAMES: Final = (*actions.CALENDAR_FIELDS, *(f"day_{weekday.value}" for weekday in Weekday))


def _parts(calendar: Calendar) -> dict[str, Any]:
    return actions.calendar_parts(vars(calendar), calendar.ranges.all(), calendar.holidays.all())


def _initial(calendar: Calendar | None) -> dict[str, Any]:
    if calendar is None:
        return dict.fromkeys(_NAMES, "") | PRESETS["office"].as_fields()
    parts = _parts(calendar)
    week = {f"day_{weekday.value}": ranges_text(parts[str(weekday.value)]) for weekday in Weekday}
    return {name: getattr(calendar, name) for name in actions.CALENDAR_FIELDS} | week


def _initial_days(calendar: Calendar | None) -> list[dict[str, Any]]:
    if calendar is None:
        return []
    found = sorted(calendar.holidays.all(), key=lambda day: (not day.yearly, day.date))
    return [{"date": day.date, "name": day.name, "yearly": day.yearly, "hours": day.hours} for day in found]


def _typed_days(data: Any) -> list[dict[str, Any]]:
    """Read the special days as they were typed, without judging them; those to be removed and empty ones are left."""
    try:
        total = min(int(data.get("days-TOTAL_FORMS", 0)), MOST_DAYS)
    except ValueError:
        total = 0
    rows = []
    for place in range(total):
        row = {name: data.get(f"days-{place}-{name}", "").strip() for name in ("date", "name", "yearly", "hours")}
        if any(row.values()) and not data.get(f"days-{place}-DELETE"):
            rows.append({**row, "yearly": bool(row["yearly"])})
    return rows


# --- what buttons of the page make of it ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Preset:
    label: Any
    days: tuple[int, ...]
    text: str

    def as_fields(self) -> dict[str, str]:
        return {f"day_{weekday.value}": self.text if weekday in self.days else "" for weekday in Weekday}


PRESETS: Final = {
    "office": Preset(gettext_lazy("Mon–Fri 9–18"), (1, 2, 3, 4, 5), "09:00-18:00"),
    "lunch": Preset(gettext_lazy("Mon–Fri 9–13, 14–18"), (1, 2, 3, 4, 5), "09:00-13:00, 14:00-18:00"),
    "shop": Preset(gettext_lazy("Mon–Sat 9–20"), (1, 2, 3, 4, 5, 6), "09:00-20:00"),
    "daily": Preset(gettext_lazy("Every day 8–21"), (1, 2, 3, 4, 5, 6, 7), "08:00-21:00"),
    "always": Preset(gettext_lazy("Around the clock"), (1, 2, 3, 4, 5, 6, 7), "00:00-24:00"),
    "none": Preset(gettext_lazy("Clear"), (), ""),
}
COPY_TO: Final = {
    "work": (gettext_lazy("Mon–Fri"), (1, 2, 3, 4, 5)),
    "weekend": (gettext_lazy("Sat and Sun"), (6, 7)),
    "all": (gettext_lazy("every day"), (1, 2, 3, 4, 5, 6, 7)),
    **{str(weekday.value): (weekday.label, (weekday.value,)) for weekday in Weekday},
}


def apply(do: str, data: Any) -> Any:
    """Return what was sent, changed as a button of the page says; one that is not known changes nothing."""
    changed = data.copy()
    verb, _colon, which = do.partition(":")
    if verb == "preset" and which in PRESETS:
        for name, text in PRESETS[which].as_fields().items():
            changed[name] = text
    elif verb == "copy" and data.get("copy_to") in COPY_TO:
        text = data.get(f"day_{data.get('copy_from', '')}", "")
        for weekday in COPY_TO[data["copy_to"]][1]:
            changed[f"day_{weekday}"] = text
    elif verb == "add":
        _append(changed, [{"date": data.get("new_date", ""), "name": data.get("new_name", ""),
                           "yearly": data.get("new_yearly", ""), "hours": data.get("new_hours", "")}])  # fmt: skip
        for name in ("new_date", "new_name", "new_yearly", "new_hours"):
            changed.pop(name, None)
    elif verb == "take":
        _append(changed, [{"date": day.date.isoformat(), "name": day.name} for day in _taken(data)])
    return changed


def _append(data: Any, rows: Iterable[Mapping[str, str]]) -> None:
    """Add special days to what was sent, but none on a date that has one."""
    there = _occupied(_typed_days(data))
    total = int(data.get("days-TOTAL_FORMS") or 0)
    for row in rows:
        if _is_there(row["date"], there):
            continue
        for name, value in row.items():
            if value:
                data[f"days-{total}-{name}"] = value
        there.add(row["date"])
        total += 1
    data["days-TOTAL_FORMS"] = str(total)


def _occupied(days: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the dates of special days; of those of every year, month and day."""
    return {str(day["date"])[5:] if day["yearly"] else str(day["date"]) for day in days if day["date"]}


def _is_there(day: str, there: set[str]) -> bool:
    return bool(day) and (day in there or day[5:] in there)


# --- public holidays --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A public holiday that may be taken into a calendar."""

    date: date
    name: str
    kind: str = ""
    """Why it is not proposed: what it is there, if not a day off for all."""
    known: bool = False
    """Whether the calendar has a special day on that date."""

    @property
    def value(self) -> str:
        return f"{self.date.isoformat()} {self.name}"


KINDS: Final = {
    "bank": gettext_lazy("bank holiday"),
    "government": gettext_lazy("offices of the state"),
    "half_day": gettext_lazy("half a day"),
    "optional": gettext_lazy("optional"),
    "school": gettext_lazy("schools"),
    "unofficial": gettext_lazy("not official"),
    "workday": gettext_lazy("worked by law"),
}
"""What holidays are that are not public. Others are those of a religion or of a people, as the package names them."""


@cache
def _supported() -> dict[str, list[str]]:
    """Return the countries whose holidays are known, with their subdivisions."""
    found = public_holidays.list_supported_countries(include_aliases=False)
    return {code: list(parts) for code, parts in found.items() if code in pytz.country_names}


class ImportForm(forms.Form):
    """Whose public holidays, and of which years."""

    country = forms.ChoiceField(label=gettext_lazy("country"), widget=forms.Select(attrs={"data-search": ""}))
    region = forms.ChoiceField(label=gettext_lazy("region"), required=False)
    year = forms.IntegerField(label=gettext_lazy("from year"), min_value=1970, max_value=2100)
    until = forms.IntegerField(label=gettext_lazy("to year"), min_value=1970, max_value=2100)

    def __init__(self, data: Any = None, *, zone: str = "") -> None:
        """``zone`` proposes a country."""
        year = clock.now().year
        country = next((code for code in _countries_of(zone) if code in _supported()), "")
        super().__init__(data, prefix="import", initial={"country": country, "year": year, "until": year + 1})
        country_field, region_field = self.fields["country"], self.fields["region"]
        assert isinstance(country_field, forms.ChoiceField) and isinstance(region_field, forms.ChoiceField)  # noqa: PT018
        country_field.choices = [("", _("choose one")), *countries.named(_supported())]
        chosen = str(self["country"].value() or "")
        self.regions = _regions(chosen)
        region_field.choices = [("", _("all of it")), *self.regions]
        dress(self)
        if data is not None and self.data.get("import-region") not in dict(region_field.choices):
            changed = data.copy()
            changed["import-region"] = ""
            self.data = changed

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        since, until = cleaned.get("year"), cleaned.get("until")
        if since and until and not 0 <= until - since < MOST_YEARS:
            told = _("Not before the first year, and %(count)d years at most.") % {"count": MOST_YEARS}
            self.add_error("until", told)
        return cleaned

    def find(self, days: Iterable[Mapping[str, Any]]) -> list[Found]:
        """Return the holidays that were asked for and are not over; those on dates of ``days`` are there already."""
        today = clock.now().date()
        there = _occupied(days)
        country, region = self.cleaned_data["country"], self.cleaned_data["region"]
        years = range(self.cleaned_data["year"], self.cleaned_data["until"] + 1)
        entity = public_holidays.country_holidays(country)
        kinds = sorted(entity.supported_categories, key=lambda kind: (kind != "public", kind))
        found: dict[date, Found] = {}
        for kind in kinds:
            listed = public_holidays.country_holidays(
                country, subdiv=region or None, years=years, language=_language(entity), categories=(kind,)
            )
            told = "" if kind == "public" else str(KINDS.get(kind, kind.replace("_", " ")))
            for day, name in listed.items():
                if day >= today:
                    known = _is_there(day.isoformat(), there)
                    found.setdefault(day, Found(day, name[:120], told, known))
        return sorted(found.values(), key=lambda day: day.date)


def _language(entity: Any) -> str | None:
    """Return the language of the package that is that of the page, else English, else the country's own."""
    supported = entity.supported_languages or ()
    wanted = (get_language() or "en")[:2]
    order = ["en_US", "en_GB"] if wanted == "en" else [wanted]
    order += [name for name in supported if name.startswith(wanted)] + ["en_US", "en_GB"]
    return next((name for name in order if name in supported), None)


def _regions(country: str) -> list[tuple[str, str]]:
    """Return the parts of a country with holidays of their own: code and name."""
    codes = _supported().get(country, [])
    if not codes:
        return []
    aliases: Mapping[str, str] = public_holidays.country_holidays(country).subdivisions_aliases or {}
    names: dict[str, str] = {}
    for name, code in aliases.items():
        names.setdefault(code, name)
    return sorted(((code, names.get(code, code)) for code in codes), key=lambda part: part[1])


def _countries_of(zone: str) -> list[str]:
    return [code for code, zones in pytz.country_timezones.items() if zone in zones]


def _taken(data: Any) -> list[Found]:
    """Read the holidays that somebody chose from those found."""
    chosen = []
    for value in data.getlist("take"):
        day, _space, name = value.partition(" ")
        try:
            chosen.append(Found(date.fromisoformat(day), name[:120]))
        except ValueError:
            continue
    return chosen
