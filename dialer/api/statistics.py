"""Statistics of a while over REST: the tables of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from campaigns.fields import check_time_zone
from campaigns.models import Campaign
from dialer import clock
from dialer.api import scope
from dialer.api.fields import Query, QueryId, QueryMoment
from dialer.api.views import Endpoint
from dialer.statistics import reading
from dialer.statistics.ranges import Preset, Range, Step, of_preset
from dialer.statistics.tables import COLUMNS, TITLES, Column

FIELDS: Mapping[str, type[serializers.Field]] = {
    "text": serializers.CharField,
    "id": serializers.IntegerField,
    "instant": serializers.DateTimeField,
    "count": serializers.IntegerField,
    "seconds": serializers.FloatField,
    "percent": serializers.FloatField,
}


def _field(column: Column) -> serializers.Field:
    told = str(column.hint)
    if column.kind == "seconds":
        told = f"Seconds. {told}".strip()
    elif column.kind == "percent":
        told = f"Percent; null: of none. {told}".strip()
    return FIELDS[column.kind](help_text=told or None, allow_null=column.kind == "percent")


def _row(name: str, *without: str) -> type[serializers.Serializer]:
    """Return what describes a row of a table."""
    fields = {column.name: _field(column) for column in COLUMNS[name] if column.name not in without}
    words = "".join(word.capitalize() for word in name.split("_"))
    return type(f"Statistics{words}{'Total' if without else 'Row'}", (serializers.Serializer,), fields)


class _Tables(serializers.Serializer):
    def get_fields(self) -> dict[str, Any]:
        """One for each table, beside those of the while."""
        rows = {
            name: _row(name)(many=True, allow_null=name == "operators", help_text=str(TITLES[name])) for name in COLUMNS
        }
        return super().get_fields() | {"total": _row("calls", "since")()} | rows


class ReportView(_Tables):
    reserved_from = serializers.DateTimeField(help_text="Of attempts reserved at this instant or later.")
    reserved_before = serializers.DateTimeField()
    zone = serializers.CharField(help_text="On whose wall clock hours and days are.")
    step = serializers.ChoiceField(Step.choices)


class StatisticsQuery(Query):
    preset = serializers.ChoiceField(
        Preset.choices, required=False, help_text="A while that has a name, in whole days. Without any: today."
    )
    reserved_from = QueryMoment(required=False, help_text="Instead: of attempts reserved at this instant or later.")
    reserved_before = QueryMoment(required=False, help_text="Without it: until now.")
    zone = serializers.CharField(
        required=False, max_length=64, validators=[check_time_zone],
        help_text="On whose wall clock hours and days are. Without one the calendar's.",
    )  # fmt: skip
    step = serializers.ChoiceField(
        Step.choices, required=False, help_text="Of `calls`. Without it by the hour up to eight days."
    )
    operator = QueryId(required=False, help_text="Of his attempts alone.")

    def validate(self, attrs: Any) -> Any:
        """Let a while be told in one way."""
        given = {"reserved_from", "reserved_before"} & attrs.keys()
        if "preset" in attrs and given:
            raise serializers.ValidationError({"preset": [_("Give a preset or instants, not both.")]})
        if "reserved_before" in attrs and "reserved_from" not in attrs:
            raise serializers.ValidationError({"reserved_from": [_("Say from when, too.")]})
        if "reserved_from" in attrs:
            attrs.setdefault("reserved_before", clock.now())
            if fault := reading.fault_of(attrs["reserved_from"], attrs["reserved_before"]):
                where = "reserved_before" if "reserved_before" in given else "reserved_from"
                raise serializers.ValidationError({where: [fault]})
        return attrs


class AllStatisticsQuery(StatisticsQuery):
    campaign = QueryId(required=False, help_text="Of this campaign alone.")


def report(user: Any, campaign: Campaign | None, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a query: of a campaign, or of all that the user may see."""
    zone = asked.get("zone") or reading.usual_zone(user, campaign)
    if "reserved_from" in asked:
        asked_range = Range(asked["reserved_from"], asked["reserved_before"], zone)
    else:
        asked_range = of_preset(asked.get("preset", Preset.TODAY), zone, clock.now())
    step = Step(asked.get("step", asked_range.step))
    found = reading.report(user, reading.asked_by(user, campaign, asked_range, asked.get("operator")), step)
    rows: dict[str, Any] = {name: found[name].as_dicts() if name in found else None for name in COLUMNS}
    total = found["calls"].total_as_dict()
    del total["since"]
    return ReportView(
        {"reserved_from": asked_range.start, "reserved_before": asked_range.end, "zone": zone, "step": step.value,
         "total": total, **rows}
    ).data  # fmt: skip


@extend_schema(tags=["attempts"])
class AllStatistics(Endpoint):
    needs: ClassVar = {"GET": ("campaigns.view_campaign",)}

    @extend_schema(
        operation_id="get_all_statistics", parameters=[AllStatisticsQuery], responses=ReportView,
        summary="Show the figures of a while",
    )  # fmt: skip
    def get(self, request: Any) -> Response:
        """Of all campaigns that you may see, or of one. Each attempt is told where it was reserved, those that are live
        among them; an operator's time is told by what he was and when. Some seconds old, those of a long while more.
        """
        asked = self.ask(AllStatisticsQuery)
        campaign = None
        if "campaign" in asked:
            campaign = scope.campaigns(request.user).select_related("calendar").filter(pk=asked["campaign"]).first()
            if campaign is None:
                raise serializers.ValidationError({"campaign": [_("There is no campaign %d.") % asked["campaign"]]})
        return Response(report(request.user, campaign, asked))
