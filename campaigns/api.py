"""Calendars, campaigns, gateways and routes over REST."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.cache import cache
from django.db import connection
from django.db.models import Count, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from agents import actions as agents
from agents.models import Operator, Tier
from campaigns import actions
from campaigns.actions import RunAnswer
from campaigns.fields import check_placeholders, link_faults
from campaigns.models import (
    Calendar,
    Campaign,
    CampaignState,
    CauseRule,
    Colour,
    Completion,
    Disposition,
    Gateway,
    Holiday,
    Meaning,
    Requirement,
    Route,
    Stop,
    Treatment,
)
from campaigns.placeholders import LONGEST_LINK_NAME, LONGEST_URL, MOST_LINKS
from dialer.api import scope, statistics
from dialer.api.fields import (
    LARGEST_ID,
    Body,
    Choice,
    Day,
    ModelBody,
    Number,
    Text,
    TimeOfDay,
    Whole,
)
from dialer.api.statistics import ReportView, StatisticsQuery
from dialer.api.views import Endpoint, one
from members.models import Member

MOST = 1000
"""Calendars, campaigns, gateways or routes that a list shows."""
MOST_DISPOSITIONS = 100
"""Dispositions of a campaign, archived ones among them."""
STATISTICS_FOR = 5
"""Seconds (real) that figures are kept."""


# --- calendars --------------------------------------------------------------------------------------------------


class Hours(Body):
    """One stretch of working hours, to the minute."""

    def get_fields(self) -> dict[str, Any]:
        """Name the ends of a stretch by words that Python keeps for itself."""
        return {"from": TimeOfDay(source="start"), "to": TimeOfDay(source="end", help_text="24:00 is the day's end.")}


class WeekdayHours(Hours):
    def get_fields(self) -> dict[str, Any]:
        """Say of which day they are."""
        return {"weekday": Whole(min_value=1, max_value=7, help_text="Monday is 1."), **super().get_fields()}


class HolidayBody(ModelBody):
    hours = Hours(many=True, required=False, help_text="Of a short day; without any it is closed.")

    class Meta:
        model = Holiday
        fields: ClassVar = ["date", "name", "yearly", "hours"]

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        if "hours" in values:
            values["hours"] = [[item["start"], item["end"]] for item in values["hours"]]
        return values

    def to_representation(self, instance: Any) -> Any:
        stretches = [{"start": start, "end": end} for start, end in instance.hours]
        return {
            "date": instance.date.isoformat(),
            "name": instance.name,
            "yearly": instance.yearly,
            "hours": Hours(stretches, many=True).data,
        }


class CalendarBody(ModelBody):
    timezone = Text(source="time_zone", max_length=64, help_text="IANA name, as Europe/Kyiv.")
    first_date = Day(required=False, allow_null=True)
    last_date = Day(required=False, allow_null=True, help_text="The last day of calls, included.")
    working_hours = WeekdayHours(source="ranges", many=True, help_text="Several stretches a day may be; none overlap.")
    holidays = HolidayBody(many=True, required=False)

    class Meta:
        model = Calendar
        fields: ClassVar = ["name", "timezone", "first_date", "last_date", "working_hours", "holidays"]


class CalendarView(CalendarBody):
    class Meta(CalendarBody.Meta):
        fields: ClassVar = ["id", *CalendarBody.Meta.fields]


CALENDAR_NAMES = {"time_zone": "timezone", "ranges": "working_hours"}


def _calendars() -> QuerySet[Calendar]:
    return Calendar.objects.prefetch_related("ranges", "holidays")


@extend_schema(tags=["calendars"])
class Calendars(Endpoint):
    needs: ClassVar = {"GET": ("campaigns.view_calendar",), "POST": ("campaigns.add_calendar",)}
    renamed: ClassVar = CALENDAR_NAMES

    @extend_schema(operation_id="list_calendars", responses=CalendarView(many=True), summary="List calendars")
    def get(self, request: Any) -> Response:
        """By name."""
        return Response(CalendarView(_calendars()[:MOST], many=True).data)

    @extend_schema(
        operation_id="create_calendar", request=CalendarBody, responses={201: CalendarView}, summary="Add a calendar",
        examples=[
            OpenApiExample(
                "Office hours",
                value={
                    "name": "Office",
                    "timezone": "Europe/Kyiv",
                    "working_hours": [{"weekday": day, "from": "09:00", "to": "18:00"} for day in range(1, 6)],
                    "holidays": [{"date": "2026-01-01", "name": "New Year", "yearly": True}],
                },
                request_only=True,
            )
        ],
    )  # fmt: skip
    def post(self, request: Any) -> Response:
        """When its campaigns may dial, on the wall clock of a zone."""
        calendar = actions.save_calendar(None, **self.read(CalendarBody))
        return Response(CalendarView(_calendars().get(pk=calendar.pk)).data, 201)


@extend_schema(tags=["calendars"])
class OneCalendar(Endpoint):
    needs: ClassVar = {
        "GET": ("campaigns.view_calendar",),
        "PATCH": ("campaigns.change_calendar",),
        "DELETE": ("campaigns.delete_calendar",),
    }
    renamed: ClassVar = CALENDAR_NAMES

    @extend_schema(operation_id="get_calendar", responses=CalendarView, summary="Show a calendar")
    def get(self, request: Any, calendar: str) -> Response:
        """With its working hours and holidays."""
        return Response(CalendarView(one(_calendars(), calendar)).data)

    @extend_schema(
        operation_id="update_calendar", request=CalendarBody, responses=CalendarView, summary="Change a calendar"
    )
    def patch(self, request: Any, calendar: str) -> Response:
        """Working hours and holidays are each given as a whole. Calls under way are not cut. Who is limited to
        campaigns changes none that others have, too.
        """
        found = one(Calendar.objects.all(), calendar)
        if not scope.may_change_calendar(request.user, found):
            scope.need_all(request.user)
        actions.save_calendar(found.pk, **self.read(CalendarBody, partly=True, instance=found))
        return Response(CalendarView(_calendars().get(pk=found.pk)).data)

    @extend_schema(operation_id="delete_calendar", responses={204: None}, summary="Delete a calendar")
    def delete(self, request: Any, calendar: str) -> Response:
        """Only one that no campaign has."""
        actions.delete_calendar(one(Calendar.objects.all(), calendar))
        return Response(status=204)


# --- campaigns --------------------------------------------------------------------------------------------------


class LinkBody(Body):
    name = Text(max_length=LONGEST_LINK_NAME)
    url = Text(
        max_length=LONGEST_URL,
        help_text="http:// or https://, with {placeholders} after the host; values are percent-encoded.",
    )


class CampaignBody(ModelBody):
    script = Text(
        required=False, allow_blank=True, max_length=10_000, trim_whitespace=False,
        validators=[check_placeholders],
        help_text="What operators read. {name}, {number}, {external_id}, {campaign}, {operator} and variables are "
        "filled in.",
    )  # fmt: skip
    desk_links = LinkBody(
        many=True, required=False, max_length=MOST_LINKS, help_text="Beside each call, in this order."
    )  # fmt: skip
    abandonment_cap = Number(
        required=False, min_value=0, max_value=100,
        help_text="Percent of answered calls, in 30 days, with one decimal. Over it the operator is rung first.",
    )  # fmt: skip

    class Meta:
        model = Campaign
        fields: ClassVar = [
            "name", "calendar", "priority", "limit", "retry_wait", "max_retries", "min_duration", "wait_for_result",
            "wrap_up_time", "originate_timeout", "variables", "connect_order", "answer_window", "waiting_sound",
            "abandon_message", "abandonment_cap", "record", "strategy", "caller_id", "error_stops_number_only",
            "minus_limit", "wrap_up_until_result", "default_region", "zone_from_number", "script", "desk_links",
            "call_back_grace", "wrap_up_extension", "coaching_shown",
        ]  # fmt: skip

    def validate_desk_links(self, links: Any) -> Any:
        """Tell what is wrong with a link at its name or its url."""
        faults: list[dict[str, list[str]]] = [{} for _link in links]
        for (place, part), told in link_faults(links).items():
            faults[place][part] = told
        if any(faults):
            raise serializers.ValidationError(faults)
        return [dict(link) for link in links]


class CampaignView(CampaignBody):
    state = serializers.ChoiceField(CampaignState.choices)
    completion = serializers.ChoiceField(Completion.choices, allow_null=True, help_text="Why it ended by itself.")
    left = serializers.IntegerField(
        source="completion_left", help_text="Subscribers that could not be dialled when it ended by itself."
    )
    state_since = serializers.DateTimeField(allow_null=True)
    sleeping_until = serializers.DateTimeField(allow_null=True)
    operator_first_until = serializers.DateTimeField(
        allow_null=True, help_text="Too many calls were abandoned: until then it rings the operator first."
    )
    variables = serializers.DictField()

    class Meta(CampaignBody.Meta):
        fields: ClassVar = [
            "id", "type", *CampaignBody.Meta.fields,
            "state", "state_since", "completion", "left", "sleeping_until", "operator_first_until",
        ]  # fmt: skip

    def to_representation(self, instance: Any) -> Any:
        shown = super().to_representation(instance)
        shown["completion"] = shown["completion"] or None
        return shown


class StateBody(Body):
    state = Choice(["run", "stop"])


class StateView(serializers.Serializer):
    state = serializers.ChoiceField(CampaignState.choices)
    answer = serializers.ChoiceField(
        RunAnswer.choices, allow_null=True, help_text="What RUN answered; STARTED alone changed the state."
    )


@extend_schema(tags=["campaigns"])
class Campaigns(Endpoint):
    needs: ClassVar = {"GET": ("campaigns.view_campaign",), "POST": ("campaigns.add_campaign",)}

    @extend_schema(operation_id="list_campaigns", responses=CampaignView(many=True), summary="List campaigns")
    def get(self, request: Any) -> Response:
        """By priority, the bigger first, then by name."""
        return Response(CampaignView(scope.campaigns(request.user)[:MOST], many=True).data)

    @extend_schema(
        operation_id="create_campaign", request=CampaignBody, responses={201: CampaignView}, summary="Add a campaign"
    )
    def post(self, request: Any) -> Response:
        """Idle, with the default causes. Not for who is limited to campaigns."""
        scope.need_all(request.user)
        campaign = actions.create_campaign(**self.read(CampaignBody))
        return Response(CampaignView(campaign).data, 201)


class OfCampaign(Endpoint):
    def campaign(self, given: str) -> Campaign:
        return one(scope.campaigns(self.request.user), given)


@extend_schema(tags=["campaigns"])
class OneCampaign(OfCampaign):
    needs: ClassVar = {
        "GET": ("campaigns.view_campaign",),
        "PATCH": ("campaigns.change_campaign",),
        "DELETE": ("campaigns.delete_campaign",),
    }

    @extend_schema(operation_id="get_campaign", responses=CampaignView, summary="Show a campaign")
    def get(self, request: Any, campaign: str) -> Response:
        """Its settings and its state."""
        return Response(CampaignView(self.campaign(campaign)).data)

    @extend_schema(
        operation_id="update_campaign", request=CampaignBody, responses=CampaignView, summary="Change a campaign"
    )
    def patch(self, request: Any, campaign: str) -> Response:
        """In any state. It takes effect with the next decision; a call under way keeps what it was decided by."""
        found = self.campaign(campaign)
        changes = self.read(CampaignBody, partly=True, instance=found)
        return Response(CampaignView(actions.update_campaign(found.pk, **changes)).data)

    @extend_schema(operation_id="delete_campaign", responses={204: None}, summary="Delete a campaign")
    def delete(self, request: Any, campaign: str) -> Response:
        """Only one without subscribers; its causes, operators and routes go with it."""
        actions.delete_campaign(self.campaign(campaign).pk)
        return Response(status=204)


@extend_schema(tags=["campaigns"])
class CampaignRun(OfCampaign):
    needs: ClassVar = {"PUT": ("access.run_campaign",)}

    @extend_schema(
        operation_id="set_campaign_state", request=StateBody, responses=StateView, summary="RUN and STOP a campaign"
    )
    def put(self, request: Any, campaign: str) -> Response:
        """`run` starts it from any state, or answers why there is nothing to start. `stop` places no new call and cuts
        none: it is stopping until the last has ended.
        """
        found = self.campaign(campaign)
        if self.read(StateBody)["state"] == "stop":
            return Response({"state": actions.stop(found.pk, by=request.user), "answer": None})
        answer = actions.run(found.pk, by=request.user)
        found.refresh_from_db()
        return Response({"state": found.state, "answer": answer})


class CausesBody(Body):
    """Hangup causes by what is made of them; one that is nowhere is a retry."""

    def get_fields(self) -> dict[str, Any]:
        """One list for each treatment."""
        told = {
            "error": "The subscriber is called no more.",
            "retry": "He is called again; the attempt counts.",
            "ok": "A success.",
            "minus": "He is called again; the attempt does not count.",
        }
        return {
            word: serializers.ListField(child=Text(max_length=64), max_length=200, help_text=told[word])
            for word in Treatment.values
        }

    def validate(self, attrs: Any) -> Any:
        seen: dict[str, str] = {}
        faults: dict[str, list[str]] = {}
        for treatment, causes in attrs.items():
            for cause in causes:
                if cause in seen:
                    faults.setdefault(treatment, []).append(f"{cause} is in {seen[cause]} already.")
                seen.setdefault(cause, treatment)
        if faults:
            raise serializers.ValidationError(faults)
        return attrs


@extend_schema(tags=["campaigns"])
class Causes(OfCampaign):
    needs: ClassVar = {"GET": ("campaigns.view_campaign",), "PUT": ("campaigns.change_campaign",)}

    @extend_schema(operation_id="get_causes", responses=CausesBody, summary="Show the causes of a campaign")
    def get(self, request: Any, campaign: str) -> Response:
        """What it makes of the hangup causes of calls that were never connected."""
        return Response(self._causes(self.campaign(campaign)))

    @extend_schema(
        operation_id="set_causes", request=CausesBody, responses=CausesBody, summary="Set the causes of a campaign"
    )
    def put(self, request: Any, campaign: str) -> Response:
        """All of them at once; it takes effect with the next attempt that ends."""
        found = self.campaign(campaign)
        asked = self.read(CausesBody)
        actions.set_causes(found.pk, {cause: word for word, causes in asked.items() for cause in causes})
        return Response(self._causes(found))

    @staticmethod
    def _causes(campaign: Campaign) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {word: [] for word in Treatment.values}
        for rule in CauseRule.objects.filter(campaign=campaign).order_by("cause"):
            found[rule.treatment].append(rule.cause)
        return found


class DispositionBody(ModelBody):
    meaning = Choice(Meaning.choices)
    colour = Choice([("", "by the meaning"), *Colour.choices], required=False, allow_blank=True)
    hotkey = Text(
        required=False, allow_blank=True, max_length=1, help_text="1 to 9 or a to z; each once among those offered."
    )
    requires = serializers.ListField(
        child=Choice(Requirement.choices), required=False, max_length=3,
        help_text="Fields that a result with it must say. call_back_at: only of a call back.",
    )  # fmt: skip
    stop = Choice(
        Stop.choices, required=False, allow_blank=True,
        help_text="Of a failure: which numbers are called no more.",
    )  # fmt: skip

    class Meta:
        model = Disposition
        fields: ClassVar = ["name", *actions.DISPOSITION_FIELDS]
        validators: ClassVar[list[Any]] = []  # the action tells what clashes


class DispositionsBody(Body):
    dispositions = DispositionBody(
        many=True, max_length=MOST_DISPOSITIONS, help_text="In the order in which operators see them."
    )


@extend_schema(tags=["campaigns"])
class Dispositions(OfCampaign):
    needs: ClassVar = {"GET": ("campaigns.view_campaign",), "PUT": ("campaigns.change_campaign",)}

    @extend_schema(
        operation_id="get_dispositions", responses=DispositionsBody, summary="Show the dispositions of a campaign"
    )
    def get(self, request: Any, campaign: str) -> Response:
        """What its operators may say of a call by one word; those that are archived are offered no more."""
        return Response(self._dispositions(self.campaign(campaign)))

    @extend_schema(
        operation_id="set_dispositions", request=DispositionsBody, responses=DispositionsBody,
        summary="Set the dispositions of a campaign",
        examples=[
            OpenApiExample(
                "Three words",
                value={
                    "dispositions": [
                        {"name": "Sold", "meaning": "success", "hotkey": "1"},
                        {"name": "Call back", "meaning": "call_back", "hotkey": "2", "requires": ["call_back_at"]},
                        {"name": "Wrong number", "meaning": "failure", "hotkey": "3", "stop": "number"},
                    ]
                },
                request_only=True,
            )
        ],
    )  # fmt: skip
    def put(self, request: Any, campaign: str) -> Response:
        """All of them at once. One that is left out is deleted, or archived when a call has it."""
        found = self.campaign(campaign)
        actions.set_dispositions(found.pk, self.read(DispositionsBody)["dispositions"])
        return Response(self._dispositions(found))

    @staticmethod
    def _dispositions(campaign: Campaign) -> dict[str, Any]:
        return {"dispositions": DispositionBody(campaign.dispositions.all(), many=True).data}


class TierBody(Body):
    operator = Whole(min_value=1, max_value=LARGEST_ID, help_text="His id.")
    level = Whole(min_value=0, max_value=32767, required=False, help_text="Lower ones come first. The default is 1.")
    position = Whole(min_value=0, max_value=32767, required=False, help_text="Within the level. The default is 1.")


class TiersBody(Body):
    tiers = TierBody(many=True, max_length=5000, help_text="All who serve the campaign.")

    def validate_tiers(self, tiers: Any) -> Any:
        """Refuse an operator who does not exist, or is there twice."""
        operators = [item["operator"] for item in tiers]
        known = set(Operator.objects.filter(pk__in=operators).values_list("pk", flat=True))
        faults: dict[int, dict[str, list[str]]] = {}
        seen: set[int] = set()
        for place, operator in enumerate(operators):
            if operator not in known:
                faults[place] = {"operator": [_("There is none with the id %d.") % operator]}
            elif operator in seen:
                faults[place] = {"operator": [_("Operator %d is there twice.") % operator]}
            seen.add(operator)
        if faults:
            raise serializers.ValidationError([faults.get(place, {}) for place in range(len(operators))])
        return tiers


@extend_schema(tags=["campaigns"])
class Tiers(OfCampaign):
    needs: ClassVar = {"GET": ("campaigns.view_campaign",), "PUT": ("campaigns.change_campaign",)}

    @extend_schema(operation_id="get_tiers", responses=TiersBody, summary="Show the operators of a campaign")
    def get(self, request: Any, campaign: str) -> Response:
        """Who serves it, in the order in which they are chosen."""
        return Response(self._tiers(self.campaign(campaign)))

    @extend_schema(
        operation_id="set_tiers", request=TiersBody, responses=TiersBody, summary="Set the operators of a campaign"
    )
    def put(self, request: Any, campaign: str) -> Response:
        """All of them at once; calls under way go on."""
        found = self.campaign(campaign)
        asked = self.read(TiersBody)["tiers"]
        agents.set_tiers(
            found.pk, {item["operator"]: (item.get("level", 1), item.get("position", 1)) for item in asked}
        )
        return Response(self._tiers(found))

    @staticmethod
    def _tiers(campaign: Campaign) -> dict[str, Any]:
        tiers = Tier.objects.filter(campaign=campaign)
        return {
            "tiers": [{"operator": tier.operator_id, "level": tier.level, "position": tier.position} for tier in tiers]
        }


class CountsView(serializers.Serializer):
    """Counts by word."""

    def get_fields(self) -> dict[str, Any]:
        """One for each figure."""
        return {word: serializers.IntegerField() for word in self.words}

    words: ClassVar[tuple[str, ...]] = ()


class MembersFigures(CountsView):
    words: ClassVar = ("total", "waiting", "ready", "live", "held", "ended", "success")


class AttemptsFigures(CountsView):
    words: ClassVar = ("total", "live", "counted", "dialled", "answered", "connected", "success", "abandoned")


class StatisticsView(serializers.Serializer):
    members = MembersFigures(help_text="Subscribers by state; success: those of the ended.")
    end_causes = serializers.DictField(child=serializers.IntegerField(), help_text="Of the ended, by cause.")
    attempts = AttemptsFigures(help_text="dialled: the subscriber's phone was called; connected: the two talked.")
    talk_seconds = serializers.IntegerField(help_text="Of all connected calls together.")
    report = ReportView(allow_null=True, help_text="Of a while, if one is asked for; all else is since the beginning.")


@extend_schema(tags=["campaigns"])
class Statistics(OfCampaign):
    needs: ClassVar = {"GET": ("campaigns.view_campaign",)}

    @extend_schema(
        operation_id="get_statistics", parameters=[StatisticsQuery], responses=StatisticsView,
        summary="Show the figures of a campaign",
    )  # fmt: skip
    def get(self, request: Any, campaign: str) -> Response:
        """From the ledger; a few seconds old at most. Any parameter asks for the figures of a while, too."""
        asked = self.ask(StatisticsQuery)
        found = one(scope.campaigns(request.user).select_related("calendar"), campaign)
        shown: Any = cache.get_or_set(f"statistics:{found.pk}", lambda: _statistics(found), STATISTICS_FOR)
        return Response({**shown, "report": statistics.report(request.user, found, asked) if asked else None})


def _statistics(campaign: Campaign) -> dict[str, Any]:
    """Two statements."""
    members = dict.fromkeys(MembersFigures.words, 0)
    end_causes: dict[str, int] = {}
    for state, cause, success, count in (
        Member.objects.visible()
        .filter(campaign=campaign)
        .order_by()
        .values_list("state", "end_cause", "success")
        .annotate(count=Count("*"))
    ):
        members["total"] += count
        members[state] += count
        members["success"] += count if success else 0
        if cause:
            end_causes[cause] = end_causes.get(cause, 0) + count
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES, {"campaign": campaign.pk})
        *counts, talk = cursor.fetchall()[0]
    return {
        "members": members,
        "end_causes": end_causes,
        "attempts": dict(zip(AttemptsFigures.words, counts, strict=True)),
        "talk_seconds": round(talk),
    }


# The attempts that have ended are read in an index alone; those that are live, which are not in it, are few. One
# statement, so that one which ends meanwhile is in neither twice nor in none.
_FIGURES = """
SELECT count(*), count(*) FILTER (WHERE live), count(*) FILTER (WHERE counted), count(subscriber_created_at),
       count(subscriber_answered_at), count(bridged_at), count(*) FILTER (WHERE outcome = 'success'),
       count(*) FILTER (WHERE outcome = 'abandoned'),
       coalesce(extract(epoch FROM sum(talk_ended_at - bridged_at)), 0)::float
FROM (
    SELECT false AS live, counted, subscriber_created_at, subscriber_answered_at, bridged_at, talk_ended_at, outcome
    FROM dialer_attempt WHERE campaign_id = %(campaign)s AND ended_at IS NOT NULL
    UNION ALL
    SELECT true, counted, subscriber_created_at, subscriber_answered_at, bridged_at, talk_ended_at, outcome
    FROM dialer_attempt WHERE campaign_id = %(campaign)s AND ended_at IS NULL
) AS attempt
"""


# --- gateways and routes ----------------------------------------------------------------------------------------


class GatewayBody(ModelBody):
    class Meta:
        model = Gateway
        fields: ClassVar = ["name", "dial_string", "capacity", "enabled"]


class GatewayView(GatewayBody):
    blocked_until = serializers.DateTimeField(allow_null=True, help_text="It refused calls: none until then.")
    blocked_reason = serializers.CharField()

    class Meta(GatewayBody.Meta):
        fields: ClassVar = ["id", *GatewayBody.Meta.fields, "blocked_until", "blocked_reason"]


@extend_schema(tags=["lines"])
class Gateways(Endpoint):
    needs: ClassVar = {"GET": ("campaigns.view_gateway",), "POST": ("campaigns.add_gateway",)}

    @extend_schema(operation_id="list_gateways", responses=GatewayView(many=True), summary="List gateways")
    def get(self, request: Any) -> Response:
        """By name."""
        return Response(GatewayView(Gateway.objects.all()[:MOST], many=True).data)

    @extend_schema(
        operation_id="create_gateway", request=GatewayBody, responses={201: GatewayView}, summary="Add a gateway"
    )
    def post(self, request: Any) -> Response:
        """A trunk of the switch, by the name that the switch has for it."""
        return Response(GatewayView(actions.create_gateway(**self.read(GatewayBody))).data, 201)


@extend_schema(tags=["lines"])
class OneGateway(Endpoint):
    needs: ClassVar = {
        "GET": ("campaigns.view_gateway",),
        "PATCH": ("campaigns.change_gateway",),
        "DELETE": ("campaigns.delete_gateway",),
    }

    @extend_schema(operation_id="get_gateway", responses=GatewayView, summary="Show a gateway")
    def get(self, request: Any, gateway: str) -> Response:
        """Its lines, and whether it takes calls."""
        return Response(GatewayView(one(Gateway.objects.all(), gateway)).data)

    @extend_schema(
        operation_id="update_gateway", request=GatewayBody, responses=GatewayView, summary="Change a gateway"
    )
    def patch(self, request: Any, gateway: str) -> Response:
        """Calls under way keep the capacity that they were decided by."""
        found = one(Gateway.objects.all(), gateway)
        changes = self.read(GatewayBody, partly=True, instance=found)
        return Response(GatewayView(actions.update_gateway(found.pk, **changes)).data)

    @extend_schema(operation_id="delete_gateway", responses={204: None}, summary="Delete a gateway")
    def delete(self, request: Any, gateway: str) -> Response:
        """Only one that nothing ever used; switch others off."""
        actions.delete_gateway(one(Gateway.objects.all(), gateway))
        return Response(status=204)


class RouteBody(ModelBody):
    class Meta:
        model = Route
        fields: ClassVar = [
            "campaign", "position", "name", "pattern", "gateway", "strip", "prepend", "caller_id", "variables",
            "enabled",
        ]  # fmt: skip


class RouteView(RouteBody):
    variables = serializers.DictField()

    class Meta(RouteBody.Meta):
        fields: ClassVar = ["id", *RouteBody.Meta.fields]


class OfRoutes(Endpoint):
    def routes(self) -> QuerySet[Route]:
        return scope.within(Route.objects.all(), self.request.user, common=True)

    def save(self, known: Route | None, given: dict[str, Any]) -> Response:
        """Add or change a route, unless it is, or becomes, one of a campaign that is not the user's."""
        owners = {known.campaign_id} if known else set()
        if known is None or "campaign" in given:
            owners.add(given["campaign"].pk if given.get("campaign") else None)
        scope.need(self.request.user, *owners)
        route = actions.save_route(known.pk if known else None, **given)
        return Response(RouteView(route).data, 200 if known else 201)


@extend_schema(tags=["lines"])
class Routes(OfRoutes):
    needs: ClassVar = {"GET": ("campaigns.view_route",), "POST": ("campaigns.add_route",)}

    @extend_schema(operation_id="list_routes", responses=RouteView(many=True), summary="List routes")
    def get(self, request: Any) -> Response:
        """Those of campaigns, then the common ones, each in the order in which they are tried."""
        return Response(RouteView(self.routes()[:MOST], many=True).data)

    @extend_schema(operation_id="create_route", request=RouteBody, responses={201: RouteView}, summary="Add a route")
    def post(self, request: Any) -> Response:
        """Which gateway dials which numbers. Those that exist find it within a moment."""
        return self.save(None, self.read(RouteBody))


@extend_schema(tags=["lines"])
class OneRoute(OfRoutes):
    needs: ClassVar = {
        "GET": ("campaigns.view_route",),
        "PATCH": ("campaigns.change_route",),
        "DELETE": ("campaigns.delete_route",),
    }

    @extend_schema(operation_id="get_route", responses=RouteView, summary="Show a route")
    def get(self, request: Any, route: str) -> Response:
        """What it dials, and how."""
        return Response(RouteView(one(self.routes(), route)).data)

    @extend_schema(operation_id="update_route", request=RouteBody, responses=RouteView, summary="Change a route")
    def patch(self, request: Any, route: str) -> Response:
        """The numbers of its campaigns find their routes again."""
        return self.save(one(self.routes(), route), self.read(RouteBody, partly=True))

    @extend_schema(operation_id="delete_route", responses={204: None}, summary="Delete a route")
    def delete(self, request: Any, route: str) -> Response:
        """The numbers that it dialled find another, or none."""
        found = one(self.routes(), route)
        scope.need(request.user, found.campaign_id)
        actions.delete_route(found)
        return Response(status=204)
