"""Numbers that must not be called, over REST: of every campaign, and of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from campaigns.models import Campaign
from dialer import clock
from dialer.api import limits, scope
from dialer.api.errors import BODY, flat
from dialer.api.fields import Body, Moment, QueryFlag, QueryId, Text
from dialer.api.paging import Order, PageQuery
from dialer.api.views import Endpoint, one
from members import actions, numbers
from members.api import TypedNumber
from members.models import DoNotCall

MOST_NUMBERS = 10_000
"""Numbers that one request adds at most."""


class ListedView(serializers.ModelSerializer):
    number = serializers.CharField(source="digits", help_text="Without +.")
    campaign = serializers.IntegerField(source="campaign_id", allow_null=True, help_text="Null: every campaign.")
    expire = serializers.DateTimeField(source="expire_at", allow_null=True, help_text="Null: for ever.")
    expired = serializers.SerializerMethodField(help_text="It may be called again.")
    created = serializers.DateTimeField(source="created_at")

    class Meta:
        model = DoNotCall
        fields: ClassVar = ["id", "number", "campaign", "expire", "expired", "reason", "created"]

    def get_expired(self, entry: DoNotCall) -> bool:
        return entry.expire_at is not None and entry.expire_at <= clock.now()


class ListedPage(serializers.Serializer):
    results = ListedView(many=True)
    next = serializers.CharField(allow_null=True, help_text="The address of the next page; null: this is the last.")
    cursor = serializers.CharField(allow_null=True)


class CampaignListQuery(PageQuery):
    number = serializers.CharField(required=False, max_length=64, help_text="The whole number, however it is written.")
    search = serializers.CharField(required=False, max_length=64, help_text="The first or last digits.")
    expired = QueryFlag(required=False, allow_null=True, default=None)
    sort = serializers.ChoiceField(["-id", "id"], default="-id")


class ListQuery(CampaignListQuery):
    campaign = QueryId(required=False, help_text="Those of its own list alone.")
    everywhere = QueryFlag(
        required=False, allow_null=True, default=None, help_text="true: those for every campaign; false: the rest."
    )


ORDERS: Mapping[str, Order] = {"-id": Order(descending=True), "id": Order()}


class ListedBody(Body):
    number = TypedNumber(max_length=numbers.MAX_TYPED)
    expire = Moment(required=False, allow_null=True, help_text="It may be called again from then on; null: never.")
    reason = Text(required=False, allow_null=True, allow_blank=True, max_length=200)


class ListedRowView(serializers.Serializer):
    id = serializers.IntegerField(allow_null=True, help_text="Null: refused.")
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


class ListedIntakeView(serializers.Serializer):
    added = serializers.IntegerField()
    updated = serializers.IntegerField(help_text="They were listed already, and have the new terms.")
    unchanged = serializers.IntegerField(help_text="They were listed already, with these terms.")
    refused = serializers.IntegerField()
    rows = ListedRowView(many=True, help_text="In the order of the request. Of a number twice the last entry holds.")


class RemoveBody(Body):
    numbers = serializers.ListField(
        child=TypedNumber(max_length=numbers.MAX_TYPED), min_length=1, max_length=MOST_NUMBERS
    )


class RemovedView(serializers.Serializer):
    removed = serializers.IntegerField(help_text="How many of them were listed.")


ADDED = {
    200: PolymorphicProxySerializer("AddedToDoNotCall", [ListedView, ListedIntakeView], None),
    201: PolymorphicProxySerializer("AddedToDoNotCall", [ListedView, ListedIntakeView], None),
    207: ListedIntakeView,
}
SENT = PolymorphicProxySerializer(
    "NewDoNotCall", [ListedBody, ListedBody(many=True, max_length=MOST_NUMBERS)], None, many=False
)  # fmt: skip
EXAMPLES = [
    OpenApiExample("For ever", value={"number": "+380 50 123-45-67", "reason": "Asked for it"}, request_only=True),
    OpenApiExample(
        "For a time", value={"number": "0501234567", "expire": "2031-12-31T18:00:00+02:00"}, request_only=True
    ),
]


class Listing(Endpoint):
    """A do-not-call list."""

    most_bytes: ClassVar = limits.MOST_BYTES
    renamed: ClassVar = {"digits": "number", "expire_at": "expire"}

    def page(self, entries: QuerySet[DoNotCall], asked: Mapping[str, Any], region: str = "") -> Response:
        if "number" in asked:
            try:
                entries = entries.filter(digits=numbers.clean(asked["number"], region).digits)
            except ValueError as error:
                raise ValidationError({"number": [str(error)]}) from None
        if "search" in asked:
            digits = numbers.digits_of(asked["search"])
            if not digits:
                raise ValidationError({"search": [_("This has no digits.")]})
            entries = entries.filter(Q(digits__startswith=digits) | Q(digits__endswith=digits))
        if asked["expired"] is not None:
            over = Q(expire_at__isnull=False, expire_at__lte=clock.now())
            entries = entries.filter(over if asked["expired"] else ~over)
        return self.listed(entries, lambda rows: ListedView(rows, many=True).data, asked, ORDERS)

    def take(self, campaign: Campaign | None) -> Response:
        """Add what was sent: one, or several of which those are taken that can be."""
        several = isinstance(self.request.data, list)
        raws = self.request.data if several else [self.request.data]
        if not 1 <= len(raws) <= MOST_NUMBERS:
            raise ValidationError({BODY: [_("From 1 to %d numbers at once.") % MOST_NUMBERS]})
        region = campaign.default_region if campaign else ""
        reader = ListedBody()
        entries = [_read(reader, raw, region) for raw in raws]
        refused = {index: entry for index, entry in enumerate(entries) if isinstance(entry, dict)}
        if len(refused) == len(raws):
            raise ValidationError(refused if several else refused[0])
        good = [entry for entry in entries if isinstance(entry, actions.Listing)]
        count = actions.add_many_do_not_call(good, campaign, by=self.request.user)
        found = DoNotCall.objects.filter(campaign=campaign, digits__in={entry.digits for entry in good})
        if not several:
            return Response(ListedView(found.get()).data, 201 if count.added else 200)
        ids = dict(found.values_list("digits", "pk"))
        told: list[dict[str, Any]] = [
            {"id": None, "errors": flat(entry)}
            if isinstance(entry, dict)
            else {"id": ids.get(entry.digits), "errors": {}}
            for entry in entries
        ]
        answer = {**asdict(count), "refused": len(refused), "rows": told}
        return Response(answer, 207 if refused else 201 if count.added else 200)

    def remove(self, campaign: Campaign | None) -> Response:
        """Take the numbers that were sent off a list."""
        region = campaign.default_region if campaign else ""
        faults: dict[str, list[str]] = {}
        digits = []
        for index, typed in enumerate(self.read(RemoveBody)["numbers"]):
            try:
                digits.append(numbers.clean(typed, region).digits)
            except ValueError as error:
                faults[f"numbers[{index}]"] = [str(error)]
        if faults:
            raise ValidationError(faults)
        return Response({"removed": actions.remove_many_do_not_call(digits, campaign, by=self.request.user)})


def _read(reader: ListedBody, raw: Any, region: str) -> actions.Listing | dict[str, Any]:
    """Return an entry as it was sent, or its faults by field."""
    try:
        given = reader.run_validation(raw)
    except ValidationError as error:
        return dict(error.detail) if isinstance(error.detail, Mapping) else {BODY: error.detail}
    try:
        digits = numbers.clean(given["number"], region).digits
    except ValueError as error:
        return {"number": [str(error)]}
    expire_at = given.get("expire")
    if expire_at and expire_at <= clock.now():
        return {"expire": [_("This instant has passed.")]}
    return actions.Listing(digits, expire_at, given.get("reason") or "")


@extend_schema(tags=["do-not-call"])
class DoNotCallList(Listing):
    needs: ClassVar = {"GET": ("members.view_donotcall",), "POST": ("members.add_donotcall",)}

    @extend_schema(
        operation_id="list_do_not_call", parameters=[ListQuery], responses=ListedPage,
        summary="List numbers that must not be called",
    )  # fmt: skip
    def get(self, request: Any) -> Response:
        """Of every list, the newest first: those for every campaign, and those of one."""
        asked = self.ask(ListQuery)
        entries = scope.within(DoNotCall.objects.all(), request.user, common=True)
        if "campaign" in asked:
            entries = entries.filter(campaign=asked["campaign"])
        if asked["everywhere"] is not None:
            entries = entries.filter(campaign__isnull=asked["everywhere"])
        return self.page(entries, asked)

    @extend_schema(
        operation_id="add_do_not_call", request=SENT, responses=ADDED, examples=EXAMPLES,
        summary="Have numbers called by nobody",
    )  # fmt: skip
    def post(self, request: Any) -> Response:
        """One, or an array of up to 10,000, for every campaign. It holds at once: a call whose subscriber is not being
        called yet is withdrawn. A number that is listed already gets the new terms. Of an array those are taken that
        can be; its answer is 207 when some were refused and 400 when all were.
        """
        scope.need_all(request.user)
        return self.take(None)


@extend_schema(tags=["do-not-call"])
class CampaignDoNotCall(Listing):
    needs: ClassVar = {"GET": ("members.view_donotcall",), "POST": ("members.add_donotcall",)}

    @extend_schema(
        operation_id="list_campaign_do_not_call", parameters=[CampaignListQuery], responses=ListedPage,
        summary="List numbers that a campaign must not call",
    )  # fmt: skip
    def get(self, request: Any, campaign: str) -> Response:
        """Those of its own list, the newest first; those for every campaign hold for it, too."""
        owner = one(scope.campaigns(request.user), campaign)
        entries = DoNotCall.objects.filter(campaign=owner)
        return self.page(entries, self.ask(CampaignListQuery), owner.default_region)

    @extend_schema(
        operation_id="add_campaign_do_not_call", request=SENT, responses=ADDED, examples=EXAMPLES,
        summary="Have numbers not called by a campaign",
    )  # fmt: skip
    def post(self, request: Any, campaign: str) -> Response:
        """As for every campaign; other campaigns may go on to call them."""
        return self.take(one(scope.campaigns(request.user).select_related("calendar"), campaign))


@extend_schema(tags=["do-not-call"])
class DoNotCallRemove(Listing):
    needs: ClassVar = {"POST": ("members.delete_donotcall",)}

    @extend_schema(
        operation_id="remove_from_do_not_call", request=RemoveBody, responses=RemovedView,
        summary="Take numbers off the list for every campaign",
    )  # fmt: skip
    def post(self, request: Any) -> Response:
        """Up to 10,000 at once. They may be called again at once, by campaigns whose own lists do not have them."""
        scope.need_all(request.user)
        return self.remove(None)


@extend_schema(tags=["do-not-call"])
class CampaignDoNotCallRemove(Listing):
    needs: ClassVar = {"POST": ("members.delete_donotcall",)}

    @extend_schema(
        operation_id="remove_from_campaign_do_not_call", request=RemoveBody, responses=RemovedView,
        summary="Take numbers off the list of a campaign",
    )  # fmt: skip
    def post(self, request: Any, campaign: str) -> Response:
        """Its own; what is listed for every campaign stays so."""
        return self.remove(one(scope.campaigns(request.user), campaign))


@extend_schema(tags=["do-not-call"])
class OneDoNotCall(Endpoint):
    needs: ClassVar = {"GET": ("members.view_donotcall",), "DELETE": ("members.delete_donotcall",)}

    @extend_schema(operation_id="get_do_not_call", responses=ListedView, summary="Show an entry")
    def get(self, request: Any, entry: str) -> Response:
        """Of a do-not-call list."""
        return Response(ListedView(one(scope.within(DoNotCall.objects.all(), request.user, common=True), entry)).data)

    @extend_schema(operation_id="remove_do_not_call", responses={204: None}, summary="Take a number off a list")
    def delete(self, request: Any, entry: str) -> Response:
        """It may be called again at once, if no other entry forbids it."""
        entries = DoNotCall.objects.select_related("campaign")
        found = one(scope.within(entries, request.user, common=True), entry)
        scope.need(request.user, found.campaign_id)
        actions.remove_do_not_call(found.digits, found.campaign, by=request.user)
        return Response(status=204)
