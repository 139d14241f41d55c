"""Model fields that the apps share: minutes of a day, ranges of them, and channel variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import phonenumbers
import pytz
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import DataError, OperationalError, connection, models, transaction
from django.utils.deconstruct import deconstructible
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from campaigns import hours, placeholders
from dialer import channel_variables


def clock_text(minute: int) -> str:
    """Write minutes since midnight as ``HH:MM``."""
    return f"{minute // 60:02}:{minute % 60:02}"


def parse_clock(text: str) -> int:
    """Read ``HH:MM`` (or ``HH``) as minutes since midnight, ``24:00`` included; ``ValueError`` says how to write it."""
    match = re.fullmatch(r"(\d{1,2})(?::(\d{2}))?", text.strip())
    minute = int(match[1]) * 60 + int(match[2] or 0) if match else -1
    if not match or int(match[2] or 0) > 59 or not 0 <= minute <= hours.DAY:
        told = gettext("“%s” is not a time of day. Write hours and minutes from 00:00 to 24:00, as 09:30.")
        raise ValueError(told % text)
    return minute


def ranges_text(ranges: Iterable[Iterable[int]]) -> str:
    """Write ranges as ``09:00-13:00, 14:00-18:00``."""
    return ", ".join(f"{clock_text(start)}-{clock_text(end)}" for start, end in ranges)


def parse_ranges(text: str) -> list[tuple[int, int]]:
    """Read ``09:00-13:00, 14:00-18:00``; ``ValueError`` on what is no range, runs backwards or overlaps."""
    found = []
    for part in filter(None, (piece.strip() for piece in re.split(r"[,;]", text))):
        since, dash, until = re.sub(r"\s*[-–—]\s*", "-", part).partition("-")
        if not dash:
            raise ValueError(gettext("“%s” is not a range. Write it as 09:00-13:00.") % part)
        found.append((parse_clock(since), parse_clock(until)))
    found.sort()
    for start, end in found:
        if start >= end:
            raise ValueError(gettext("%s ends before it starts.") % ranges_text([(start, end)]))
    for first, second in pairwise(found):
        if second[0] < first[1]:
            told = gettext("%(one)s and %(other)s overlap.")
            raise ValueError(told % {"one": ranges_text([first]), "other": ranges_text([second])})
    return found


def check_time_zone(name: str) -> None:
    """Refuse a name that is not an IANA zone."""
    if name not in pytz.all_timezones_set:
        raise ValidationError(_("“%(name)s” is not a time zone. Use an IANA name, for example Europe/Kyiv."),
                              code="time_zone", params={"name": name})  # fmt: skip


def check_region(code: str) -> None:
    """Refuse a code that is not of a country (or region) with telephone numbers of its own."""
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValidationError(
            _("“%(code)s” is not the code of a country. Use two capital letters (ISO 3166), for example UA."),
            code="region", params={"code": code},
        )  # fmt: skip


def check_pattern(pattern: str) -> None:
    """Refuse a regular expression that PostgreSQL, which matches it, cannot compile, or not in reasonable time."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '1s'")
            cursor.execute("SELECT '' ~ %s", [pattern])
            cursor.execute("SET LOCAL statement_timeout = DEFAULT")
    except (DataError, OperationalError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0].rpartition("regular expression: ")[2]
        raise ValidationError(
            _("This is no regular expression that PostgreSQL understands: %(reason)s."),
            code="pattern", params={"reason": reason},
        ) from None  # fmt: skip


def check_sound_file(path: str) -> None:
    """Refuse what is no plain path of a sound file on the switch: it becomes part of a command."""
    if not re.fullmatch(r"[A-Za-z0-9_./-]+\.[A-Za-z0-9]{2,5}", path) or ".." in path:
        raise ValidationError(
            _("“%(path)s” is not the path of a sound file: letters, digits, “_”, “-”, “.” and “/”, as sorry.wav."),
            params={"path": path},
        )


def check_placeholders(text: str) -> None:
    """Refuse a text with a brace that is no part of a ``{placeholder}``, and tell where."""
    faults = placeholders.faults(text)
    if faults:
        raise ValidationError([ValidationError(fault, code="placeholder") for fault in faults])


def link_faults(links: Any) -> dict[tuple[int, str], list[str]]:
    """Tell what is wrong with the links of a campaign, by place (from 0) and part (``name`` or ``url``)."""
    faults: dict[tuple[int, str], list[str]] = {}
    names: set[str] = set()
    for place, link in enumerate(links):
        name, url = link["name"], link["url"]
        if not name.strip():
            faults[place, "name"] = [gettext("Name the link.")]
        elif len(name) > placeholders.LONGEST_LINK_NAME:
            faults[place, "name"] = [gettext("At most %d characters.") % placeholders.LONGEST_LINK_NAME]
        elif not name.isprintable():
            faults[place, "name"] = [gettext("A name is one line of text.")]
        elif name in names:
            faults[place, "name"] = [gettext("Another link has that name.")]
        names.add(name)
        wrong = placeholders.url_faults(url)
        if wrong:
            faults[place, "url"] = wrong
    return faults


def check_links(links: Any) -> None:
    """Refuse what are no links: at most ten objects of a ``name`` and a ``url`` of text."""
    shaped = isinstance(links, list) and all(
        isinstance(link, dict)
        and link.keys() == {"name", "url"}
        and all(isinstance(part, str) for part in link.values())
        for link in links
    )
    if not shaped:
        raise ValidationError(_("Links are a list of objects, each with a “name” and a “url”."), code="links")
    if len(links) > placeholders.MOST_LINKS:
        raise ValidationError(
            _("At most %(most)d links."), code="links", params={"most": placeholders.MOST_LINKS}
        )  # fmt: skip
    told = _("Link %(place)d, %(part)s: %(fault)s")
    faults = [
        ValidationError(told, code="links", params={"place": place + 1, "part": part, "fault": fault})
        for (place, part), found in link_faults(links).items()
        for fault in found
    ]
    if faults:
        raise ValidationError(faults)


class MinuteFormField(forms.CharField):
    """``HH:MM`` on a form, minutes since midnight inside."""

    def prepare_value(self, value: Any) -> Any:
        return clock_text(value) if isinstance(value, int) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)

    def clean(self, value: Any) -> int | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_clock(text)
        except ValueError as error:
            raise ValidationError(str(error), code="minute") from None


class MinuteField(models.PositiveSmallIntegerField):
    """A time of day in whole minutes since midnight; 1440 is 24:00, the end of the day."""

    default_validators = [MinValueValidator(0), MaxValueValidator(hours.DAY)]  # noqa: RUF012

    def formfield(self, **kwargs: Any) -> Any:
        kwargs.pop("min_value", None)
        return models.Field.formfield(
            self, form_class=MinuteFormField, widget=forms.TextInput(attrs={"placeholder": "hh:mm", "size": 6}),
            **{k: v for k, v in kwargs.items() if k != "widget"},
        )  # fmt: skip


class MinuteRangesFormField(forms.CharField):
    """``09:00-13:00, 14:00-18:00`` on a form, a list of pairs of minutes inside."""

    def prepare_value(self, value: Any) -> Any:
        return ranges_text(value) if isinstance(value, list | tuple) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)

    def clean(self, value: Any) -> list[tuple[int, int]]:
        try:
            return parse_ranges(super().clean(value))
        except ValueError as error:
            raise ValidationError(str(error), code="ranges") from None


class MinuteRangesField(models.JSONField):
    """Half-open ranges of a day, ``[[540, 780], …]``."""

    def formfield(self, **kwargs: Any) -> Any:
        kwargs.pop("encoder", None), kwargs.pop("decoder", None)
        return models.Field.formfield(
            self, form_class=MinuteRangesFormField, widget=forms.TextInput(attrs={"placeholder": "09:00-13:00"}),
            **{k: v for k, v in kwargs.items() if k != "widget"},
        )  # fmt: skip


def allowed_variables() -> frozenset[str]:
    """Return the otherwise refused names that an administrator allowed. One query."""
    from campaigns.models import AllowedVariable

    return frozenset(AllowedVariable.objects.values_list("name", flat=True))


def variable_faults(value: Any, allowed: Iterable[str] = ()) -> list[str]:
    """Tell what is wrong with channel variables: each name or value that is refused, in words."""
    if not isinstance(value, dict):
        return [str(_("Variables are a JSON object of names and values."))]
    faults = []
    for name, item in value.items():
        try:
            channel_variables.check_name(name, allowed)
            channel_variables.check_value(name, item)
        except ValueError as error:
            faults.append(str(error))
    return faults


@deconstructible
class VariablesValidator:
    """Refuse channel variables that are not an object of harmless names and plain values, naming each bad one.

    ``allow`` names those of the switch's own variables that this field may set.
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self.allow = frozenset(allow)

    def __call__(self, value: Any) -> None:
        faults = variable_faults(value, self.allow)
        if faults:
            faults = variable_faults(value, self.allow | allowed_variables())
        if faults:
            raise ValidationError([ValidationError(fault, code="variable") for fault in faults])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VariablesValidator) and self.allow == other.allow


def check_call_timeout(variables: Any) -> None:
    """Refuse a ``call_timeout`` that is no whole number of seconds from 1 to 600."""
    value = variables.get("call_timeout") if isinstance(variables, dict) else None
    if value is not None and not (re.fullmatch(r"[0-9]{1,3}", str(value)) and 1 <= int(value) <= 600):
        raise ValidationError(_("call_timeout is a whole number of seconds from 1 to 600."), code="call_timeout")


class VariablesFormField(forms.JSONField):
    """Channel variables on a form: a JSON object, an empty one when nothing is written."""

    def to_python(self, value: Any) -> Any:
        try:
            found = super().to_python(value)
        except (ValueError, RecursionError):  # JSON, but with a number or a depth that Python refuses
            raise ValidationError(self.error_messages["invalid"], code="invalid", params={"value": value}) from None
        return {} if found is None else found


class VariablesField(models.JSONField):
    """Channel variables: a JSON object; names that have power over the switch are refused, but for ``allow``."""

    def __init__(self, *args: Any, allow: Iterable[str] = (), **kwargs: Any) -> None:
        self.allow = tuple(allow)
        kwargs["validators"] = [VariablesValidator(self.allow), *kwargs.get("validators", ())]
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("validators", None)
        return name, path, args, kwargs

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(
            form_class=VariablesFormField,
            widget=forms.Textarea(attrs={"rows": 3, "cols": 60, "placeholder": json.dumps({"language": "uk"})}),
            **{k: v for k, v in kwargs.items() if k != "widget"},
        )
