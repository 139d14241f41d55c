"""Fields that take what JSON says and nothing that could be read as it: ``"5"`` is no number and 1 is not true."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from campaigns.fields import MinuteField, VariablesField, clock_text, parse_clock
from dialer.api.errors import BODY

LARGEST_ID = 2**63 - 1


class Text(serializers.CharField):
    """Text. Blanks around it are dropped."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError(_("This must be text, not %s.") % kind(data))
        return str(super().to_internal_value(data))


class Whole(serializers.IntegerField):
    """A whole number."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            raise serializers.ValidationError(_("This must be a whole number, not %s.") % kind(data))
        return data


class Number(serializers.FloatField):
    """A number."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float) or abs(data) > 1e15:
            raise serializers.ValidationError(_("This must be a number, not %s.") % kind(data))
        return float(data)


class Flag(serializers.BooleanField):
    """true or false."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError(_("This must be true or false, not %s.") % kind(data))
        return data


class Choice(serializers.ChoiceField):
    """One of several words."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.choices:
            words = ", ".join(str(word) for word in self.choices)
            raise serializers.ValidationError(_("This must be one of: %s.") % words)
        return str(super().to_internal_value(data))


class Moment(serializers.DateTimeField):
    """An instant: ISO 8601 with an offset. It is written in UTC."""

    def to_internal_value(self, value: Any) -> datetime:
        fault = serializers.ValidationError(
            _("This must be an instant with an offset, as 2026-12-31T18:00:00+02:00 or 2026-12-31T16:00:00Z.")
        )
        if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", value, re.ASCII):
            raise fault
        try:
            found = datetime.fromisoformat(value.upper())
            if found.tzinfo is None:
                raise fault
            return found.astimezone(UTC)
        except (ValueError, OverflowError):
            raise fault from None


class Day(serializers.DateField):
    """A date: ``2026-12-31``."""

    def to_internal_value(self, value: Any) -> date:
        try:
            if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
                raise ValueError
            return date.fromisoformat(value)
        except ValueError:
            raise serializers.ValidationError(_("This must be a date, as 2026-12-31.")) from None


@extend_schema_field({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$", "examples": ["09:30"]})
class TimeOfDay(serializers.CharField):
    """A time of day on a wall clock, to the minute; 24:00 is the end of the day."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or not re.fullmatch(r"\d\d:\d\d", data, re.ASCII):
            raise serializers.ValidationError(_("This must be a time of day from 00:00 to 24:00, as 09:30."))
        try:
            return parse_clock(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None

    def to_representation(self, value: int) -> str:
        return clock_text(value)


@extend_schema_field(
    {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}, "examples": [{"debt": 20000}]}
)
class Variables(serializers.JSONField):
    """Channel variables: an object of names and values (text, numbers, true or false)."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise serializers.ValidationError(_("This must be an object of names and values, not %s.") % kind(data))
        return super().to_internal_value(data)


class Reference(serializers.PrimaryKeyRelatedField):
    """The id of something else."""

    default_error_messages: ClassVar = {"does_not_exist": gettext_lazy("There is none with the id {pk_value}.")}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool) or not isinstance(data, int):
            raise serializers.ValidationError(_("This must be an id, a whole number, not %s.") % kind(data))
        if not 0 < data <= LARGEST_ID:
            self.fail("does_not_exist", pk_value=data)
        return super().to_internal_value(data)


class Strict:
    # A serializer that takes no field it does not know.

    def to_internal_value(self, data: Any) -> Any:
        """Return the values by the names of the model. Raises ``ValidationError`` with every fault by field."""
        if not isinstance(data, Mapping):
            raise serializers.ValidationError({BODY: [_("This must be a JSON object, not %s.") % kind(data)]})
        writable = {name for name, field in self.fields.items() if not field.read_only}  # type: ignore[attr-defined]
        faults: dict[str, Any] = {}
        for name in data:
            if name in writable:
                continue
            known = ", ".join(sorted(writable))
            read_only = name in self.fields  # type: ignore[attr-defined]
            told = (
                _("This is read only: leave it out.") if read_only else _("Unknown field; those known are %s.") % known
            )
            faults[str(name)] = [told]
        if self.parent is not None:  # type: ignore[attr-defined]
            # A row of a list is given as a whole, also where the body around it says only what changes.
            for name, field in self.fields.items():  # type: ignore[attr-defined]
                if field.required and not field.read_only and name not in data:
                    faults[name] = [field.error_messages["required"]]
        try:
            values = super().to_internal_value(data)  # type: ignore[misc]
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**faults, **error.detail}) from None
        if faults:
            raise serializers.ValidationError(faults)
        return values


# No words of their own for these two: the description would repeat them at each body.
class Body(Strict, serializers.Serializer):
    pass


class ModelBody(Strict, serializers.ModelSerializer):
    serializer_field_mapping: ClassVar = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: Text,
        models.TextField: Text,
        models.IntegerField: Whole,
        models.PositiveIntegerField: Whole,
        models.PositiveSmallIntegerField: Whole,
        models.PositiveBigIntegerField: Whole,
        models.BooleanField: Flag,
        models.DateTimeField: Moment,
        models.DateField: Day,
        models.DecimalField: Number,
        MinuteField: TimeOfDay,
        VariablesField: Variables,
    }
    serializer_choice_field = Choice
    serializer_related_field = Reference


class QueryFlag(serializers.BooleanField):
    """true or 1, false or 0, in an address."""

    def to_internal_value(self, data: Any) -> bool:
        words = {"true": True, "1": True, "false": False, "0": False}
        if str(data).lower() not in words:
            raise serializers.ValidationError(_("This must be true, 1, false or 0."))
        return words[str(data).lower()]


class QueryId(serializers.IntegerField):
    """An id in an address."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(min_value=1, max_value=LARGEST_ID, **keywords)

    def to_internal_value(self, data: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", str(data), re.ASCII):
            raise serializers.ValidationError(_("This must be an id, a whole number."))
        return int(data)


class QueryMoment(Moment):
    """An instant in an address, where a bare ``+`` has become a blank."""

    def to_internal_value(self, value: Any) -> datetime:
        return super().to_internal_value(re.sub(r" (?=\d\d:?\d\d\Z)", "+", str(value)))


class Query(Body):
    """The parameters of an address; an unknown one is a fault."""


def kind(value: object) -> str:
    """Name a JSON value, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "an array"
    return "an object"
