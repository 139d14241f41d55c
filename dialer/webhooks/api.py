"""Webhooks and events over REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from campaigns.models import Campaign
from dialer.api import scope
from dialer.api.fields import LARGEST_ID, Choice, ModelBody, Query, QueryId, Reference, Text
from dialer.api.paging import MOST, Order, PageQuery
from dialer.api.views import Endpoint, one
from dialer.webhooks import actions
from dialer.webhooks.models import Delivery, DeliveryState, Event, EventType, Subscription

ALLOW_PRIVATE = "webhooks.allow_private"
ORDERS: Mapping[str, Order] = {"-id": Order(descending=True), "id": Order()}


# --- subscriptions ----------------------------------------------------------------------------------------------


class WebhookBody(ModelBody):
    campaign = Reference(
        queryset=Campaign.objects.all(), required=False, allow_null=True, default=None,
        help_text="Null: of all campaigns.",
    )  # fmt: skip
    types = serializers.ListField(
        child=Choice(EventType.choices), min_length=1, max_length=len(EventType), help_text="Which events; none twice."
    )
    secret = Text(
        required=False, write_only=True, max_length=120,
        help_text="`whsec_` and 24 to 64 bytes in Base64. Left out, one is made and shown in the answer, this once.",
    )  # fmt: skip

    class Meta:
        model = Subscription
        fields: ClassVar = ["name", "campaign", "types", "url", "secret", "enabled", "allow_private"]


class WebhookView(WebhookBody):
    campaign = serializers.IntegerField(source="campaign_id", allow_null=True)
    failures = serializers.IntegerField(help_text="In a row, until now.")
    next_try = serializers.DateTimeField(source="next_at", allow_null=True, help_text="After failures: not before.")

    class Meta:
        model = Subscription
        fields: ClassVar = [
            "id", "name", "campaign", "types", "url", "enabled", "allow_private", "created_at", "failures", "next_try",
        ]  # fmt: skip
        extra_kwargs: ClassVar = {"created_at": {"read_only": True}}

    secret = None  # type: ignore[assignment]


class NewWebhookView(WebhookView):
    secret = serializers.CharField(
        allow_null=True, help_text="Shown this once; null in the repetition of a request with an Idempotency-Key."
    )

    class Meta(WebhookView.Meta):
        fields: ClassVar = [*WebhookView.Meta.fields, "secret"]


EXAMPLE = OpenApiExample(
    "Ends of calls and of subscribers, for a CRM",
    value={"name": "CRM", "types": ["attempt.ended", "member.ended"], "url": "https://crm.example.org/calls"},
    request_only=True,
)


def _webhooks(user: Any) -> QuerySet[Subscription]:
    """Return those that a user may see: for who is limited to campaigns, those of his alone."""
    return scope.within(Subscription.objects.all(), user)


def _may_save(user: Any, known: Subscription | None, given: Mapping[str, Any]) -> None:
    """Raise ``PermissionDenied`` for who lets a webhook into the private network, or turns one that may go there."""
    if user.has_perm(ALLOW_PRIVATE):
        return
    opens = given.get("allow_private", False)
    turns = known is not None and known.allow_private and given.get("allow_private") is not False
    if opens or (turns and "url" in given):
        raise PermissionDenied(_("Only an administrator lets a webhook into the private network."))


@extend_schema(tags=["webhooks"])
class Webhooks(Endpoint):
    needs: ClassVar = {"GET": ("webhooks.view_subscription",), "POST": ("webhooks.add_subscription",)}
    secret: ClassVar = ("secret",)

    @extend_schema(operation_id="list_webhooks", responses=WebhookView(many=True), summary="List webhooks")
    def get(self, request: Any) -> Response:
        """By name."""
        return Response(WebhookView(_webhooks(request.user)[:MOST], many=True).data)

    @extend_schema(
        operation_id="create_webhook", request=WebhookBody, responses={201: NewWebhookView}, examples=[EXAMPLE],
        summary="Subscribe to events",
    )  # fmt: skip
    def post(self, request: Any) -> Response:
        """From now on each event is sent to the address by a POST, signed with the secret as Standard Webhooks says
        (`webhook-id`, `webhook-timestamp`, `webhook-signature`). An answer other than 2xx within ten seconds is a
        failure; it is tried again, later and later. Without an address events are kept to be asked for alone.
        """
        given = self.read(WebhookBody)
        _may_save(request.user, None, given)
        scope.need(request.user, given["campaign"].pk if given["campaign"] else None)
        return Response(NewWebhookView(actions.save_subscription(None, **given)).data, 201)


@extend_schema(tags=["webhooks"])
class OneWebhook(Endpoint):
    needs: ClassVar = {
        "GET": ("webhooks.view_subscription",),
        "PATCH": ("webhooks.change_subscription",),
        "DELETE": ("webhooks.delete_subscription",),
    }

    @extend_schema(operation_id="get_webhook", responses=WebhookView, summary="Show a webhook")
    def get(self, request: Any, webhook: str) -> Response:
        """Its settings and how it goes; never its secret."""
        return Response(WebhookView(one(_webhooks(request.user), webhook)).data)

    @extend_schema(
        operation_id="update_webhook", request=WebhookBody, responses=WebhookView, summary="Change a webhook"
    )
    def patch(self, request: Any, webhook: str) -> Response:
        """What waits is tried at once, whatever failed before. What happens while it is disabled is not for it."""
        found = one(_webhooks(request.user), webhook)
        given = self.read(WebhookBody, partly=True, instance=found)
        _may_save(request.user, found, given)
        if "campaign" in given:
            scope.need(request.user, given["campaign"].pk if given["campaign"] else None)
        return Response(WebhookView(actions.save_subscription(found, **given)).data)

    @extend_schema(operation_id="delete_webhook", responses={204: None}, summary="Delete a webhook")
    def delete(self, request: Any, webhook: str) -> Response:
        """With its deliveries, those that wait too."""
        actions.delete_subscription(one(_webhooks(request.user), webhook))
        return Response(status=204)


# --- deliveries -------------------------------------------------------------------------------------------------


class DeliveryView(serializers.ModelSerializer):
    event = serializers.UUIDField(source="event.uuid", help_text="The id of the event.")
    type = serializers.CharField(source="event.type", help_text="Of the event.")
    status = serializers.IntegerField(
        source="status_code", allow_null=True, help_text="Of the last answer; null: there was none."
    )

    class Meta:
        model = Delivery
        fields: ClassVar = [
            "id", "event", "type", "state", "attempts", "created_at", "tried_at", "delivered_at", "status", "error",
            "milliseconds",
        ]  # fmt: skip


class DeliveryPage(serializers.Serializer):
    results = DeliveryView(many=True)
    next = serializers.CharField(allow_null=True, help_text="The address of the next page; null: this is the last.")
    cursor = serializers.CharField(allow_null=True)


class DeliveriesQuery(PageQuery):
    state = serializers.ChoiceField(DeliveryState.choices, required=False)
    sort = serializers.ChoiceField(list(ORDERS), default="-id")


def _deliveries(user: Any, webhook: str) -> QuerySet[Delivery]:
    owner = one(_webhooks(user), webhook)
    return Delivery.objects.filter(subscription=owner).select_related("event")


@extend_schema(tags=["webhooks"])
class Deliveries(Endpoint):
    needs: ClassVar = {"GET": ("webhooks.view_delivery",)}

    @extend_schema(
        operation_id="list_deliveries", parameters=[DeliveriesQuery], responses=DeliveryPage,
        summary="List the deliveries of a webhook",
    )  # fmt: skip
    def get(self, request: Any, webhook: str) -> Response:
        """The newest first, with what the receiver answered last."""
        asked = self.ask(DeliveriesQuery)
        found = _deliveries(request.user, webhook)
        if "state" in asked:
            found = found.filter(state=asked["state"])
        return self.listed(found, lambda rows: DeliveryView(rows, many=True).data, asked, ORDERS)


@extend_schema(tags=["webhooks"])
class DeliveryAgain(Endpoint):
    needs: ClassVar = {"POST": ("webhooks.change_subscription",)}

    @extend_schema(operation_id="send_again", request=None, responses=DeliveryView, summary="Try a delivery again")
    def post(self, request: Any, webhook: str, delivery: str) -> Response:
        """One that was given up goes back into the queue, before those of later events. Others stay as they are."""
        deliveries = _deliveries(request.user, webhook)
        found = one(deliveries, delivery)
        actions.send_again(found.subscription, [found.pk])
        return Response(DeliveryView(deliveries.get(pk=found.pk)).data)


@extend_schema(tags=["webhooks"])
class WebhookTest(Endpoint):
    needs: ClassVar = {"POST": ("webhooks.change_subscription",)}

    @extend_schema(operation_id="test_webhook", request=None, responses=DeliveryView, summary="Send a test")
    def post(self, request: Any, webhook: str) -> Response:
        """Sends an event of the type `test` now, past the queue, and answers what came of it."""
        return Response(DeliveryView(actions.send_test(one(_webhooks(request.user), webhook))).data)


# --- events -----------------------------------------------------------------------------------------------------


class EventView(serializers.Serializer):
    id = serializers.UUIDField(help_text="The same at each delivery.")
    number = serializers.IntegerField(help_text="Its place among all events; some numbers are of none.")
    type = serializers.CharField(help_text="One of those that webhooks subscribe to, or `test`.")
    timestamp = serializers.DateTimeField(help_text="When it happened.")
    campaign = serializers.IntegerField(allow_null=True)
    data = extend_schema_field({"type": "object", "additionalProperties": {}})(serializers.JSONField)(
        help_text="What happened; its fields go by the type, and more may come."
    )


class EventsAnswer(serializers.Serializer):
    results = EventView(many=True)
    after = serializers.IntegerField(help_text="What to ask with next time.")
    more = serializers.BooleanField(help_text="There are others already.")


class EventsQuery(Query):
    after = serializers.IntegerField(
        min_value=0, max_value=LARGEST_ID, default=0, help_text="The number of the last one that you have."
    )
    limit = serializers.IntegerField(min_value=1, max_value=MOST, default=100)
    type = serializers.ChoiceField(EventType.choices, required=False)
    campaign = QueryId(required=False)


@extend_schema(tags=["webhooks"])
class Events(Endpoint):
    needs: ClassVar = {"GET": ("webhooks.view_event",)}

    @extend_schema(
        operation_id="list_events", parameters=[EventsQuery], responses=EventsAnswer, summary="Replay events"
    )
    def get(self, request: Any) -> Response:
        """In the order of their numbers. To follow what happens, ask with `after` of the answer before: none is left
        out, and none comes twice. Kept are the events that an enabled webhook wanted when they happened.
        """
        asked = self.ask(EventsQuery)
        events = Event.objects.filter(number__gt=asked["after"]).order_by("number")
        events = scope.within(events, request.user, "campaign_id", common=True)
        if "type" in asked:
            events = events.filter(type=asked["type"])
        if "campaign" in asked:
            events = events.filter(campaign_id=asked["campaign"])
        found = list(events[: asked["limit"] + 1])
        shown = found[: asked["limit"]]
        after = shown[-1].number if shown else asked["after"]
        return Response(
            {"results": [actions.body_of(event) for event in shown], "after": after, "more": len(found) > len(shown)}
        )
