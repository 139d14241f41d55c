"""Subscribers over REST: added, listed, changed, ended, reset; and the results of their calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from django.db import connection
from django.db.models import Prefetch, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, PolymorphicProxySerializer, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.response import Response

from agents.models import Operator
from campaigns.actions import RunAnswer
from campaigns.models import Campaign
from dialer import verbs
from dialer.api import limits, scope
from dialer.api.errors import BODY
from dialer.api.fields import (
    LARGEST_ID,
    Body,
    Flag,
    Moment,
    Query,
    QueryFlag,
    QueryId,
    QueryMoment,
    Reference,
    Text,
    Variables,
    Whole,
)
from dialer.api.paging import Order, PageQuery
from dialer.api.views import Endpoint, one
from dialer.models import Attempt
from members import actions, numbers, rows
from members.actions import OnDuplicate
from members.models import OPEN_STATES, Communication, Member, MemberState, ZoneSource

MOST_ROWS = 10_000
"""Subscribers that one request adds at most."""

# --- what is shown ----------------------------------------------------------------------------------------------


class CommunicationView(serializers.ModelSerializer):
    active = serializers.SerializerMethodField(help_text="Whether it may be called.")
    stopped_by = serializers.ChoiceField(
        ["cause", "result", "person"], source="stopped", allow_null=True, help_text="Why it is not called any more."
    )
    route = serializers.IntegerField(source="route_id", allow_null=True, help_text="Null: no route takes it.")

    class Meta:
        model = Communication
        fields: ClassVar = [
            "id", "number", "priority", "description", "active", "stopped_by", "stop_cause", "tries", "route",
        ]  # fmt: skip

    def get_active(self, number: Communication) -> bool:
        return not number.stopped

    def to_representation(self, instance: Any) -> Any:
        shown = super().to_representation(instance)
        shown["stopped_by"] = shown["stopped_by"] or None
        return shown


class MemberView(serializers.ModelSerializer):
    campaign = serializers.IntegerField(source="campaign_id")
    timezone = serializers.CharField(source="time_zone", help_text="Empty: the calendar's.")
    zones = serializers.ListField(
        child=serializers.CharField(), source="zones_that_count",
        help_text="Time zones in all of which the calendar must be open when he is called.",
    )  # fmt: skip
    zone_from = serializers.ChoiceField(
        ZoneSource.choices, help_text="Whose they are: his own time zone, told by his number, or the calendar's."
    )
    expire = serializers.DateTimeField(source="expire_at", allow_null=True)
    state = serializers.ChoiceField(MemberState.choices)
    due = serializers.DateTimeField(source="due_at", help_text="He is not called before this.")
    attempts = serializers.IntegerField(source="counted", help_text="Those that count.")
    ended = serializers.DateTimeField(source="ended_at", allow_null=True)
    created = serializers.DateTimeField(source="created_at")
    communications = CommunicationView(many=True)
    variables = serializers.DictField()

    class Meta:
        model = Member
        fields: ClassVar = [
            "id", "campaign", "external_id", "name", "priority", "timezone", "zones", "zone_from", "expire",
            "caller_id", "variables", "communications", "state", "due", "callback", "attempts", "end_cause", "success",
            "ended", "created",
        ]  # fmt: skip


def shown() -> QuerySet[Member]:
    """Return the subscribers that lists show, with what is shown of each. One query more for all of them."""
    found = Member.objects.visible().select_related("campaign__calendar")
    return found.prefetch_related(Prefetch("communications", Communication.objects.order_by("id")))


def _show(member_id: int) -> Any:
    return MemberView(shown().get(pk=member_id)).data


# --- what is sent -----------------------------------------------------------------------------------------------
# These describe rows; members.rows reads them, as it does those of files, with faults in the same words.


@extend_schema_field(
    {"type": "string", "pattern": r"^ *\+?[ .()\[\]-]*[0-9*#][0-9*# .()\[\]-]*$", "examples": ["+380 50 123-45-67"]}
)
class TypedNumber(Text):
    """A telephone number as people write it."""


@extend_schema_field({"type": "string", "pattern": r"^\s*(\+?[0-9*#]+)?\s*$", "examples": ["+380441234567"]})
class CallerId(Text):
    """The number that a subscriber sees."""


class CommunicationBody(Body):
    number = TypedNumber(
        max_length=numbers.MAX_TYPED, help_text="Digits, * and #, a leading +; blanks, dots, dashes, ( )."
    )
    priority = Whole(
        min_value=-rows.LARGEST, max_value=rows.LARGEST, required=False, allow_null=True, help_text="Bigger first."
    )
    description = Text(max_length=120, required=False, allow_null=True, allow_blank=True)


class OwnBody(Body):
    name = Text(max_length=200, required=False, allow_null=True, allow_blank=True)
    priority = Whole(
        min_value=-rows.LARGEST, max_value=rows.LARGEST, required=False, allow_null=True,
        help_text="Bigger is called first. The default is 0.",
    )  # fmt: skip
    timezone = Text(
        max_length=64, required=False, allow_null=True, allow_blank=True,
        help_text="IANA name, as Europe/Kyiv. Without one the calendar's zone counts.",
    )  # fmt: skip
    expire = Moment(
        required=False, allow_null=True, help_text="Not processed before this: no more calls, MEMBER_EXPIRED."
    )
    variables = Variables(
        required=False, allow_null=True,
        help_text="Names and values that go into the call's channel: text, numbers, true or false.",
    )  # fmt: skip
    caller_id = CallerId(
        max_length=32, required=False, allow_null=True, allow_blank=True,
        help_text="The number that he sees. Without one the route's counts, or else the campaign's.",
    )  # fmt: skip
    external_id = Text(
        max_length=100, required=False, allow_null=True, allow_blank=True, help_text="Your own key; once a campaign."
    )


class NewMemberBody(OwnBody):
    communications = CommunicationBody(many=True, help_text="At least one; no number twice in a campaign.")


class MemberBody(OwnBody):
    """Those fields of a subscriber that change; his numbers have addresses of their own."""


class AddQuery(Query):
    autoRun = QueryFlag(required=False, default=False, help_text="true or 1: RUN the campaign afterwards.")
    on_duplicate = serializers.ChoiceField(
        [word.value for word in OnDuplicate], default="error",
        help_text="What becomes of one who is there already, by external_id or a number: a fault; nothing; or what the "
        "row gives is written, numbers added. To update never lets anybody be called again.",
    )  # fmt: skip


class AddedView(MemberView):
    became = serializers.ChoiceField(["added", "updated", "skipped"])
    run = serializers.ChoiceField(RunAnswer.choices, allow_null=True, help_text="What RUN answered; null: not asked.")

    class Meta(MemberView.Meta):
        fields: ClassVar = [*MemberView.Meta.fields, "became", "run"]


class RowView(serializers.Serializer):
    became = serializers.ChoiceField(["added", "updated", "skipped", "refused"])
    id = serializers.IntegerField(allow_null=True)
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


class IntakeView(serializers.Serializer):
    added = serializers.IntegerField()
    updated = serializers.IntegerField()
    skipped = serializers.IntegerField()
    refused = serializers.IntegerField()
    run = serializers.ChoiceField(RunAnswer.choices, allow_null=True, help_text="What RUN answered; null: not asked.")
    rows = RowView(many=True, help_text="In the order of the request.")


class MembersQuery(Query):
    state = serializers.ChoiceField(MemberState.choices, required=False)
    end_cause = serializers.CharField(required=False, max_length=64, help_text="As MAX_TRY_COUNT.")
    success = QueryFlag(required=False, allow_null=True, default=None)
    external_id = serializers.CharField(required=False, max_length=100)
    number = serializers.CharField(required=False, max_length=64, help_text="The whole number, however it is written.")
    search = serializers.CharField(
        required=False, max_length=200,
        help_text="Beginnings of name words, first or last digits of a number, or an external_id.",
    )  # fmt: skip
    ended_from = QueryMoment(required=False, help_text="Ended at this instant or later.")
    ended_before = QueryMoment(required=False)
    due_from = QueryMoment(required=False, help_text="May be called again, and is due at this instant or later.")
    due_before = QueryMoment(required=False)
    attempts_from = serializers.IntegerField(
        required=False, min_value=0, max_value=rows.LARGEST, help_text="Had so many attempts that count, or more."
    )
    attempts_to = serializers.IntegerField(required=False, min_value=0, max_value=rows.LARGEST)
    called_in = serializers.CharField(
        required=False, max_length=64, help_text="A time zone by whose clock he is called."
    )
    operator = QueryId(required=False, help_text="Had an attempt with this operator.")
    upload = QueryId(required=False, help_text="Came with this file.")


ORDERS: Mapping[str, Order] = {
    "created": Order("created_at"),
    "-created": Order("created_at", descending=True),
    "ended": Order("ended_at"),
    "-ended": Order("ended_at", descending=True),
    "due": Order("due_at"),
    "-due": Order("due_at", descending=True),
    "attempts": Order("counted", whole=True),
    "-attempts": Order("counted", descending=True, whole=True),
}


class MemberListQuery(MembersQuery, PageQuery):
    sort = serializers.ChoiceField(
        list(ORDERS), default="created",
        help_text="By entry, by attempts, by when they ended (those who have), or by when they are due (the others).",
    )  # fmt: skip


class MemberPage(serializers.Serializer):
    results = MemberView(many=True)
    next = serializers.CharField(allow_null=True, help_text="The address of the next page; null: this is the last.")
    cursor = serializers.CharField(allow_null=True)


class CountView(serializers.Serializer):
    count = serializers.IntegerField()


class ResetFilter(Body):
    """Which of the ended; empty: all of the campaign."""

    members = serializers.ListField(
        child=Whole(min_value=1, max_value=LARGEST_ID), required=False, max_length=MOST_ROWS, help_text="Ids."
    )
    end_cause = Text(required=False, max_length=64)
    ended_from = Moment(required=False)
    ended_before = Moment(required=False)


class ResetBody(Body):
    filter = ResetFilter(required=False)
    include_successful = Flag(required=False, help_text="The successful ones too.")
    dry_run = Flag(required=False, help_text="Only count.")


class ResetView(serializers.Serializer):
    count = serializers.IntegerField(help_text="How many were reset, or would be.")
    dry_run = serializers.BooleanField()


class NumberBody(Body):
    priority = Whole(min_value=-rows.LARGEST, max_value=rows.LARGEST, required=False)
    description = Text(max_length=120, required=False, allow_blank=True)
    active = Flag(required=False, help_text="false: it is called no more; true: it may be called again.")


class CallbackBody(Body):
    at = Moment()
    operator = Reference(
        queryset=Operator.objects.filter(archived=False), required=False, allow_null=True,
        help_text="Who alone calls him, for an hour after that instant.",
    )  # fmt: skip


@extend_schema_field(
    {"oneOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}], "examples": ["all", ["0501234567"]]}
)
class Several(serializers.JSONField):
    """Numbers, one number, or all."""


class ResultBody(Body):
    success = Flag(
        required=False, allow_null=True,
        help_text="Required without a disposition. true: successful; no more calls, and of the other fields only "
        "comment counts. false: go on.",
    )  # fmt: skip
    disposition = Text(
        required=False, allow_null=True, allow_blank=True, max_length=60,
        help_text="The name of one of the campaign's dispositions: it stands for the fields that are left out.",
    )  # fmt: skip
    reset_retries = Flag(
        required=False, allow_null=True, help_text="true: all attempts on all numbers are forgotten; begin anew."
    )
    reset_retr = Flag(required=False, allow_null=True, help_text="The same as reset_retries.")
    next_after_sec = Whole(
        required=False, allow_null=True, min_value=0, max_value=366 * 24 * 3600,
        help_text="Seconds to the next attempt. Without it the campaign's wait between retries counts.",
    )  # fmt: skip
    next_communication = Text(
        required=False, allow_null=True, allow_blank=True,
        help_text="The number of the next attempt; a new one is added with a higher priority.",
    )  # fmt: skip
    stop_communications = Several(
        required=False, allow_null=True,
        help_text='Numbers that are called no more; or "all", then next_communication alone is spared.',
    )  # fmt: skip
    call_back_at = Moment(
        required=False, allow_null=True,
        help_text="When he is to be called back, before all others that are due then; not with next_after_sec.",
    )  # fmt: skip
    call_back_mine = Flag(
        required=False, allow_null=True,
        help_text="true, with call_back_at: by the operator of this call, for as long as the campaign waits for him.",
    )  # fmt: skip
    do_not_call = Flag(
        required=False, allow_null=True, help_text="true: none of his numbers is called any more, by any campaign."
    )
    comment = Text(required=False, allow_null=True, allow_blank=True, max_length=10_000)
    attempt = Whole(
        required=False, allow_null=True, min_value=0, max_value=LARGEST_ID,
        help_text="Which attempt it is about. Without it: the last that was connected.",
    )  # fmt: skip


class ResultView(serializers.Serializer):
    attempt = serializers.IntegerField()
    result = serializers.ChoiceField(
        ["stored", "applied", "repeated"], help_text="Stored until the call ends, applied, or the same again."
    )


# --- endpoints --------------------------------------------------------------------------------------------------

DOCUMENTED_MEMBER = {
    "name": "Anna",
    "priority": 0,
    "timezone": "",
    "variables": {"debt": 20000, "language": "", "productID": "8fd26a17-eb28-4c74-aa6f-a3794f4f466c"},
    "communications": [{"number": "099998888", "priority": 1}, {"number": "3434534534534", "priority": 2}],
}


class OfCampaign(Endpoint):
    """What belongs to a campaign."""

    renamed: ClassVar = {"time_zone": "timezone", "expire_at": "expire"}

    def campaign(self, given: str) -> Campaign:
        return one(scope.campaigns(self.request.user).select_related("calendar"), given)

    def member(self, campaign: str, given: str) -> Member:
        members = Member.objects.visible().select_related("campaign__calendar")
        return one(members.filter(campaign=self.campaign(campaign)), given)


@extend_schema(tags=["members"])
class Members(OfCampaign):
    needs: ClassVar = {"GET": ("members.view_member",), "POST": ("members.add_member",)}
    most_bytes: ClassVar = limits.MOST_BYTES

    @extend_schema(
        operation_id="list_members", parameters=[MemberListQuery], responses=MemberPage, summary="List subscribers"
    )
    def get(self, request: Any, campaign: str) -> Response:
        """A page at a time: `next` is the address of the next one. Every order reads an index."""
        asked = self.ask(MemberListQuery)
        found = in_order(filtered(shown(), asked, self.campaign(campaign)), asked["sort"])
        return self.listed(found, lambda rows: MemberView(rows, many=True).data, asked, ORDERS)

    @extend_schema(
        operation_id="add_members",
        parameters=[AddQuery],
        request=PolymorphicProxySerializer(
            "NewMembers", [NewMemberBody, NewMemberBody(many=True, max_length=MOST_ROWS)], None, many=False
        ),
        responses={
            201: PolymorphicProxySerializer("AddedMembers", [AddedView, IntakeView], None),
            200: PolymorphicProxySerializer("AddedMembers", [AddedView, IntakeView], None),
            207: IntakeView,
        },
        examples=[OpenApiExample("One subscriber", value=DOCUMENTED_MEMBER, request_only=True)],
        summary="Add subscribers",
    )
    def post(self, request: Any, campaign: str) -> Response:
        """One, or an array of up to 10,000. Of an array those rows are taken that can be; the answer tells of each
        its id or its faults, and its status is 207 when some were refused and 400 when all were.
        """
        asked = self.ask(AddQuery)
        found = self.campaign(campaign)
        self._check_rights(asked)
        several = isinstance(request.data, list)
        raws = request.data if several else [request.data]
        if not 1 <= len(raws) <= MOST_ROWS:
            raise ValidationError({BODY: [_("From 1 to %d subscribers at once.") % MOST_ROWS]})
        on_duplicate = OnDuplicate(asked["on_duplicate"])
        intake = actions.take_members(
            found, raws, on_duplicate=on_duplicate, auto_run=asked["autoRun"], by=request.user
        )
        refused = {index: row.faults for index, row in enumerate(intake.rows) if row.became == "refused"}
        if len(refused) == len(raws):
            raise rows.RowsRefused(refused, len(raws) if several else 1)
        anew = any(row.became == "added" for row in intake.rows)
        if not several:
            (row,) = intake.rows
            assert row.member is not None
            return Response(
                {**_show(row.member), "became": row.became, "run": intake.run}, 201 if anew else 200
            )  # fmt: skip
        counts = dict.fromkeys(("added", "updated", "skipped", "refused"), 0)
        for row in intake.rows:
            counts[row.became] += 1
        told = [
            {"became": row.became, "id": row.member, "errors": _named(row.faults)} for row in intake.rows
        ]  # fmt: skip
        return Response({**counts, "run": intake.run, "rows": told}, 207 if refused else 201 if anew else 200)

    def _check_rights(self, asked: Mapping[str, Any]) -> None:
        may = self.request.user.has_perm
        if asked["autoRun"] and not may("access.run_campaign"):
            raise PermissionDenied(_("You may add subscribers, but not run campaigns: leave autoRun out."))
        if asked["on_duplicate"] == OnDuplicate.UPDATE and not may("members.change_member"):
            raise PermissionDenied(_("You may add subscribers, but not change them."))


def _named(faults: rows.Faults) -> rows.Faults:
    return {BODY if path == "__all__" else path: told for path, told in faults.items()}


def filtered(members: QuerySet[Member], asked: Mapping[str, Any], campaign: Campaign) -> QuerySet[Member]:
    """Return those of a campaign that match a query."""
    members = members.filter(campaign=campaign)
    for name in ("state", "end_cause", "external_id", "upload"):
        if name in asked:
            members = members.filter(**{name: asked[name]})
    if asked.get("success") is not None:
        members = members.filter(success=asked["success"])
    if "number" in asked:
        members = members.filter(pk__in=with_number(digits_of(asked["number"])))
    if "search" in asked:
        members = members.search(asked["search"], campaign.default_region)  # type: ignore[attr-defined]
    if "operator" in asked:
        members = members.filter(pk__in=_called_by(asked["operator"], campaign))
    if "called_in" in asked:
        members = members.filter(zones__in=_zones_with(asked["called_in"], campaign))
    for name, lookup in (("attempts_from", "counted__gte"), ("attempts_to", "counted__lte")):
        if name in asked:
            members = members.filter(**{lookup: asked[name]})
    for name, comparison in (("from", "gte"), ("before", "lt")):
        # What an index is made for says so itself.
        if f"ended_{name}" in asked:
            members = members.filter(state=MemberState.ENDED, **{f"ended_at__{comparison}": asked[f"ended_{name}"]})
        if f"due_{name}" in asked:
            members = members.filter(state__in=OPEN_STATES, **{f"due_at__{comparison}": asked[f"due_{name}"]})
    return members


FEW = 5000


def _called_by(operator: int, campaign: Campaign) -> Collection[int] | QuerySet[Any]:
    """Return those of a campaign who had an attempt with an operator; one statement.

    A few are named one by one: asked for those "among his attempts", the database would look for them along the whole
    list. Many it finds on the way.
    """
    his = Attempt.objects.filter(operator=operator, campaign=campaign).order_by().values_list("member", flat=True)
    few = list(his[: FEW + 1])
    return set(few) if len(few) <= FEW else his


def in_order(members: QuerySet[Member], sort: str) -> QuerySet[Member]:
    """Return those who have a place in an order: an index of them has it."""
    column = ORDERS[sort].column
    if column == "ended_at":
        return members.filter(state=MemberState.ENDED)
    return members.filter(state__in=OPEN_STATES) if column == "due_at" else members


def zones_of(campaign: Campaign) -> list[str]:
    """Return the zones by whose clocks subscribers of a campaign are called, the calendar's among them, by name."""
    known = {zone for zones in _zones_kept(campaign) for zone in zones.split("|")}
    return sorted(known | {campaign.calendar.time_zone})


def _zones_with(zone: str, campaign: Campaign) -> list[str]:
    """Return what ``zones`` of subscribers may be who are called by the clock of a zone."""
    found = [zones for zones in _zones_kept(campaign) if zone in zones.split("|")]
    return [*found, ""] if zone == campaign.calendar.time_zone else found


def _zones_kept(campaign: Campaign) -> list[str]:
    """Return the different ``zones`` of a campaign's subscribers. One statement, which leaps from one to the next."""
    statement = """
        WITH RECURSIVE found(zones) AS (
            (SELECT zones FROM members_member WHERE campaign_id = %(campaign)s AND NOT hidden AND zones > ''
             ORDER BY zones LIMIT 1)
            UNION ALL
            SELECT (SELECT m.zones FROM members_member AS m
                    WHERE m.campaign_id = %(campaign)s AND NOT m.hidden AND m.zones > '' AND m.zones > found.zones
                    ORDER BY m.zones LIMIT 1)
            FROM found WHERE found.zones IS NOT NULL
        )
        SELECT zones FROM found WHERE zones IS NOT NULL
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, {"campaign": campaign.pk})
        return [zones for (zones,) in cursor.fetchall()]


def digits_of(typed: str) -> set[str]:
    """Return the digits that a typed number may have: its own, and those in the regions that campaigns have.

    Raises ``ValidationError`` at ``number``.
    """
    try:
        found = {numbers.clean(typed).digits}
    except ValueError as error:
        raise ValidationError({"number": [str(error)]}) from None
    for region in Campaign.objects.exclude(default_region="").order_by().values_list("default_region", flat=True):
        with suppress(ValueError):
            found.add(numbers.clean(typed, region).digits)
    return found


def with_number(digits: Collection[str]) -> QuerySet[Any, int]:
    """Return the ids of those who have one of some numbers."""
    return Communication.objects.filter(digits__in=digits).order_by().values_list("member", flat=True)


@extend_schema(tags=["members"])
class MembersCount(OfCampaign):
    needs: ClassVar = {"GET": ("members.view_member",)}

    @extend_schema(
        operation_id="count_members", parameters=[MembersQuery], responses=CountView, summary="Count subscribers"
    )
    def get(self, request: Any, campaign: str) -> Response:
        """Exactly, by the same filters as the list."""
        found = filtered(Member.objects.visible(), self.ask(MembersQuery), self.campaign(campaign))
        return Response({"count": found.count()})


@extend_schema(tags=["members"])
class MembersReset(OfCampaign):
    needs: ClassVar = {"POST": ("members.change_member",)}

    @extend_schema(
        operation_id="reset_members", request=ResetBody, responses=ResetView, summary="Reset ended subscribers"
    )
    def post(self, request: Any, campaign: str) -> Response:
        """They are called again from the beginning. Expired ones, and those all of whose numbers a result or a person
        stopped, stay as they are; successful ones too, unless you say so. Ask with `dry_run` first.
        """
        found = self.campaign(campaign)
        asked = self.read(ResetBody)
        chosen = asked.get("filter", {})
        ended = Member.objects.visible().filter(state=MemberState.ENDED)
        members = filtered(ended, {name: value for name, value in chosen.items() if name != "members"}, found)
        if "members" in chosen:
            members = members.filter(pk__in=chosen["members"])
        include, dry_run = asked.get("include_successful", False), asked.get("dry_run", False)
        if dry_run:
            count = actions.count_resettable(members, include_successful=include)
        else:
            count = actions.reset_members(members, include_successful=include, by=request.user)
        return Response({"count": count, "dry_run": dry_run})


@extend_schema(tags=["members"])
class OneMember(OfCampaign):
    needs: ClassVar = {
        "GET": ("members.view_member",),
        "PATCH": ("members.change_member",),
        "DELETE": ("members.delete_member",),
    }

    @extend_schema(operation_id="get_member", responses=MemberView, summary="Show a subscriber")
    def get(self, request: Any, campaign: str, member: str) -> Response:
        """With his numbers, and where he stands."""
        return Response(_show(self.member(campaign, member).pk))

    @extend_schema(
        operation_id="update_member", request=MemberBody, responses=MemberView, summary="Change a subscriber"
    )
    def patch(self, request: Any, campaign: str, member: str) -> Response:
        """A call under way keeps what it was decided by."""
        found = self.member(campaign, member)
        if not isinstance(request.data, Mapping):
            self.read(MemberBody)
        actions.update_member(found, request.data, zone="", by=request.user)
        return Response(_show(found.pk))

    @extend_schema(operation_id="delete_member", responses={204: None}, summary="Delete a subscriber")
    def delete(self, request: Any, campaign: str, member: str) -> Response:
        """One who has been called is ended and hidden instead, since his attempts are kept."""
        found = self.member(campaign, member)
        actions.delete_members(Member.objects.filter(pk=found.pk), by=request.user)
        return Response(status=204)


@extend_schema(tags=["members"])
class MemberEnd(OfCampaign):
    needs: ClassVar = {"POST": ("members.change_member",)}

    @extend_schema(operation_id="end_member", request=None, responses=MemberView, summary="End a subscriber")
    def post(self, request: Any, campaign: str, member: str) -> Response:
        """With MANAGER_REQUEST; after his call if he is on one."""
        found = self.member(campaign, member)
        actions.end_member(found, by=request.user)
        return Response(_show(found.pk))


@extend_schema(tags=["members"])
class MemberCallback(OfCampaign):
    needs: ClassVar = {"PUT": ("members.change_member",)}

    @extend_schema(
        operation_id="set_callback", request=CallbackBody, responses=MemberView, summary="Promise a call-back"
    )
    def put(self, request: Any, campaign: str, member: str) -> Response:
        """He is called at that instant, before all others that are due then."""
        found = self.member(campaign, member)
        asked = self.read(CallbackBody)
        actions.set_callback(found, asked["at"], asked.get("operator"), by=request.user)
        return Response(_show(found.pk))


@extend_schema(tags=["members"])
class Communications(OfCampaign):
    needs: ClassVar = {"POST": ("members.change_member",)}

    @extend_schema(
        operation_id="add_number", request=CommunicationBody, responses={201: MemberView}, summary="Add a number"
    )
    def post(self, request: Any, campaign: str, member: str) -> Response:
        """To those at which a subscriber is reached."""
        found = self.member(campaign, member)
        raw = {"description": "", **self.read(CommunicationBody)}
        actions.add_number(
            found, raw["number"], priority=raw.get("priority") or 0, description=raw["description"] or "",
            by=request.user,
        )  # fmt: skip
        return Response(_show(found.pk), 201)


@extend_schema(tags=["members"])
class OneCommunication(OfCampaign):
    needs: ClassVar = {"PATCH": ("members.change_member",), "DELETE": ("members.change_member",)}

    def _number(self, campaign: str, member: str, given: str) -> Communication:
        numbers_of = Communication.objects.select_related("member").filter(member=self.member(campaign, member))
        return one(numbers_of, given)

    @extend_schema(operation_id="update_number", request=NumberBody, responses=MemberView, summary="Change a number")
    def patch(self, request: Any, campaign: str, member: str, communication: str) -> Response:
        """Its priority and description; or stop it, or let it be called again."""
        number = self._number(campaign, member, communication)
        asked = self.read(NumberBody)
        if {"priority", "description"} & set(asked):
            actions.update_number(
                number,
                priority=asked.get("priority", number.priority),
                description=asked.get("description", number.description),
                by=request.user,
            )
        if asked.get("active") is False and not number.stopped:
            actions.stop_number(number, by=request.user)
        elif asked.get("active") is True and number.stopped:
            actions.reactivate_number(number, by=request.user)
        return Response(_show(number.member_id))

    @extend_schema(operation_id="delete_number", responses={204: None}, summary="Delete a number")
    def delete(self, request: Any, campaign: str, member: str, communication: str) -> Response:
        """Only one that was never called, and not the only one."""
        actions.delete_number(self._number(campaign, member, communication), by=request.user)
        return Response(status=204)


@extend_schema(tags=["results"])
class MemberStatus(OfCampaign):
    needs: ClassVar = {"PUT": ("access.report_any_result", "access.report_result")}

    @extend_schema(
        operation_id="report_result",
        request=ResultBody,
        responses=ResultView,
        summary="Report the result of a call",
        examples=[
            OpenApiExample("A success", value={"success": True, "comment": "Agreed to pay"}, request_only=True),
            OpenApiExample(
                "Call again in ten minutes, at another number",
                value={
                    "success": False,
                    "reset_retr": True,
                    "next_after_sec": 600,
                    "next_communication": "0501234567",
                    "stop_communications": "all",
                    "comment": "Asked for a call at work",
                },
                request_only=True,
            ),
            OpenApiExample(
                "A disposition of the campaign",
                value={"disposition": "Call back", "call_back_at": "2026-12-01T10:00:00+02:00", "call_back_mine": True},
                request_only=True,
            ),
        ],
    )
    def put(self, request: Any, campaign: str, member: str) -> Response:
        """In a campaign that waits for results: from the moment the two are connected until its wrap up time after the
        end of the call. During the call it is stored. The same again acts once; another one, or one that nobody waits
        for, is answered 409 and kept with the attempt all the same. An operator reports on his own calls alone.
        """
        found = self.member(campaign, member)
        body = request.data
        if not request.user.has_perm("access.report_any_result"):
            body = _of_his_own(request.user, found, body)
        return Response(verbs.report_result(found.campaign_id, found.pk, body, by=request.user))


def _of_his_own(user: Any, member: Member, body: Any) -> Any:
    """Return a result that names an attempt of the operator who reports it. Raises ``PermissionDenied``."""
    if not isinstance(body, Mapping):
        return body
    his = Attempt.objects.filter(member=member, operator__user=user.pk)
    named = body.get("attempt")
    if type(named) is int and 0 <= named <= LARGEST_ID:
        his = his.filter(pk=named)
    attempt = his.filter(bridged_at__isnull=False).order_by("-pk").first() or his.order_by("-pk").first()
    if attempt is None:
        raise PermissionDenied(_("This was not your call: an operator reports on his own calls alone."))
    return body if named is not None else {**body, "attempt": attempt.pk}
