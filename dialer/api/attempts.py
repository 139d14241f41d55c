"""Attempts over REST: what the ledger knows of each call."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from dialer import verbs
from dialer.api import scope
from dialer.api.fields import Query, QueryFlag, QueryId, QueryMoment
from dialer.api.paging import Order, PageQuery
from dialer.api.views import Endpoint, one
from dialer.models import Attempt, AttemptQuerySet, Outcome, ResultState
from members import api as members

ORDERS: Mapping[str, Order] = {
    "-id": Order(descending=True),
    "id": Order(),
    "-reserved": Order("reserved_at", descending=True),
    "reserved": Order("reserved_at"),
    "-ended": Order("ended_at", descending=True),
    "ended": Order("ended_at"),
}

TIMES = ("reserved", "ended")
"""The instants of an attempt that are asked for, as ``reserved_from`` and ``reserved_before``."""


class AttemptView(serializers.ModelSerializer):
    campaign = serializers.IntegerField(source="campaign_id")
    member = serializers.IntegerField(source="member_id")
    operator = serializers.IntegerField(source="operator_id")
    gateway = serializers.IntegerField(source="gateway_id")
    number = serializers.CharField(source="digits", help_text="Without +.")
    stage = serializers.CharField(help_text="The furthest that was reached, in words.")
    live = serializers.SerializerMethodField()
    talk_seconds = serializers.FloatField()
    outcome = serializers.ChoiceField(Outcome.choices, allow_null=True, help_text="Null while it is live.")
    result_state = serializers.ChoiceField(
        [state for state in ResultState.values if state], allow_null=True, help_text="Null: no result is awaited."
    )
    result = serializers.DictField(allow_null=True, help_text="As it was reported.")

    class Meta:
        model = Attempt
        fields: ClassVar = [
            "id", "campaign", "member", "operator", "gateway", "number", "connect_order", "stage", "live",
            "reserved_at", "operator_ringing_at", "operator_answered_at", "subscriber_created_at",
            "subscriber_ringing_at", "subscriber_answered_at", "bridged_at", "talk_ended_at", "ended_at",
            "talk_seconds", "cause", "operator_cause", "subscriber_cause", "outcome", "counted", "disposition",
            "result_state", "result_deadline", "result", "result_at", "comment", "recording",
        ]  # fmt: skip

    def get_live(self, attempt: Attempt) -> bool:
        return attempt.ended_at is None

    def to_representation(self, instance: Any) -> Any:
        shown = super().to_representation(instance)
        for name in ("outcome", "result_state"):
            shown[name] = shown[name] or None
        return shown


class AttemptsFilter(Query):
    member = QueryId(required=False)
    operator = QueryId(required=False)
    live = QueryFlag(required=False, allow_null=True, default=None)
    outcome = serializers.ChoiceField(Outcome.choices, required=False, help_text="As abandoned.")
    cause = serializers.CharField(required=False, max_length=64, help_text="As USER_BUSY.")
    disposition = serializers.CharField(
        required=False, max_length=60, help_text="The name of a disposition, as it was then."
    )
    connected = QueryFlag(required=False, allow_null=True, default=None, help_text="Whether the two talked.")
    number = serializers.CharField(required=False, max_length=64, help_text="The whole number, however it is written.")
    talk_from = serializers.IntegerField(
        required=False, min_value=0, max_value=24 * 3600, help_text="Talked for so many seconds or longer."
    )
    reserved_from = QueryMoment(required=False, help_text="Reserved at this instant or later.")
    reserved_before = QueryMoment(required=False)
    ended_from = QueryMoment(required=False, help_text="Ended at this instant or later.")
    ended_before = QueryMoment(required=False)
    after = QueryId(required=False, help_text="Those with a greater id: what is new since you asked last.")


class AttemptsQuery(AttemptsFilter, PageQuery):
    sort = serializers.ChoiceField(
        list(ORDERS), required=False,
        help_text="By entry, by when they were reserved, or by when they ended (those that have). Without it: newest "
        "first, by the instants that are asked for.",
    )  # fmt: skip

    def validate(self, attrs: Any) -> Any:
        """Sort what a while is asked of by the instant that is asked for: an index has it in that order."""
        times = [time for time in TIMES if {f"{time}_from", f"{time}_before"} & attrs.keys()]
        attrs.setdefault("sort", f"-{times[0]}" if len(times) == 1 else "-id")
        return attrs


class AllAttemptsQuery(AttemptsQuery):
    campaign = QueryId(required=False)


class AttemptPage(serializers.Serializer):
    results = AttemptView(many=True)
    next = serializers.CharField(allow_null=True, help_text="The address of the next page; null: this is the last.")
    cursor = serializers.CharField(allow_null=True)


def visible_to(user: Any) -> AttemptQuerySet:
    """Return the attempts that a user may see: those of his campaigns, or an operator's own."""
    if not user.has_perm("dialer.view_attempt"):
        return Attempt.objects.filter(operator__user=user.pk)
    return scope.within(Attempt.objects.all(), user)


def filtered(attempts: AttemptQuerySet, asked: Mapping[str, Any]) -> AttemptQuerySet:
    """Return those that match a query."""
    for name in ("campaign", "member", "operator", "outcome", "cause", "disposition"):
        if name in asked:
            attempts = attempts.filter(**{name: asked[name]})
    # What an index is made for says so itself.
    if {"outcome", "cause", "ended_from", "ended_before"} & asked.keys():
        attempts = attempts.ended()
    if asked.get("live") is not None:
        attempts = attempts.filter(ended_at__isnull=asked["live"])
    if asked.get("connected") is not None:
        attempts = attempts.filter(bridged_at__isnull=not asked["connected"])
        if asked["connected"]:
            attempts = attempts.filter(subscriber_answered_at__isnull=False)
    if "number" in asked:
        digits = members.digits_of(asked["number"])
        # A number that was dialled stays with its subscriber, and an index knows whose it is.
        attempts = attempts.filter(digits__in=digits, member__in=members.with_number(digits))
    if "talk_from" in asked:
        attempts = attempts.talked_for(timedelta(seconds=asked["talk_from"]))
    for column in TIMES:
        for name, comparison in (("from", "gte"), ("before", "lt")):
            if f"{column}_{name}" in asked:
                attempts = attempts.filter(**{f"{column}_at__{comparison}": asked[f"{column}_{name}"]})
    if "after" in asked:
        attempts = attempts.filter(pk__gt=asked["after"])
    return attempts


@extend_schema(tags=["attempts"])
class Attempts(Endpoint):
    needs: ClassVar = {"GET": ("dialer.view_attempt", "access.take_calls")}

    @extend_schema(
        operation_id="list_attempts", parameters=[AllAttemptsQuery], responses=AttemptPage, summary="List attempts"
    )
    def get(self, request: Any) -> Response:
        """The newest first. To follow what happens, ask with `sort=id` and `after` the last id that you have. An
        operator sees his own.
        """
        asked = self.ask(AllAttemptsQuery)
        found = filtered(visible_to(request.user), asked)
        return self.listed(found, lambda rows: AttemptView(rows, many=True).data, asked, ORDERS)


@extend_schema(tags=["attempts"])
class CampaignAttempts(Endpoint):
    needs: ClassVar = {"GET": ("dialer.view_attempt", "access.take_calls")}

    @extend_schema(
        operation_id="list_campaign_attempts", parameters=[AttemptsQuery], responses=AttemptPage,
        summary="List the attempts of a campaign",
    )  # fmt: skip
    def get(self, request: Any, campaign: str) -> Response:
        """The newest first."""
        asked = self.ask(AttemptsQuery)
        owner = one(scope.campaigns(request.user), campaign)
        found = filtered(visible_to(request.user).filter(campaign=owner), asked)
        return self.listed(found, lambda rows: AttemptView(rows, many=True).data, asked, ORDERS)


@extend_schema(tags=["attempts"])
class OneAttempt(Endpoint):
    needs: ClassVar = {"GET": ("dialer.view_attempt", "access.take_calls")}

    @extend_schema(operation_id="get_attempt", responses=AttemptView, summary="Show an attempt")
    def get(self, request: Any, attempt: str) -> Response:
        """Its instants, as the switch told them, and what came of it."""
        return Response(AttemptView(one(visible_to(request.user), attempt)).data)


@extend_schema(tags=["attempts"])
class AttemptHangUp(Endpoint):
    needs: ClassVar = {"POST": ("access.hang_up", "access.take_calls")}

    @extend_schema(operation_id="hang_up", request=None, responses={204: None}, summary="End a call")
    def post(self, request: Any, attempt: str) -> Response:
        """Hangs up both legs, or withdraws what was not sent yet. An operator ends his own calls alone."""
        attempts = scope.within(Attempt.objects.all(), request.user)
        if not request.user.has_perm("access.hang_up"):
            attempts = Attempt.objects.filter(operator__user=request.user.pk)
        verbs.hang_up(one(attempts, attempt).pk, by=request.user)
        return Response(status=204)
