"""Operators over REST. Their statuses and states are the words that screens use: Available, Waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.response import Response

from agents import actions
from agents.models import Operator, OperatorState, OperatorStatus
from dialer.api import scope
from dialer.api.fields import Body, Choice, ModelBody, Query, QueryFlag, QueryId, Text
from dialer.api.views import Endpoint, one

MOST = 1000
"""Operators that a list shows."""

STATUSES: Mapping[str, str] = {
    OperatorStatus.LOGGED_OUT: "Logged Out",
    OperatorStatus.AVAILABLE: "Available",
    OperatorStatus.ON_DEMAND: "Available (On Demand)",
    OperatorStatus.ON_BREAK: "On Break",
}
STATES: Mapping[str, str] = {
    OperatorState.IDLE: "Idle",
    OperatorState.WAITING: "Waiting",
    OperatorState.RESERVED: "Reserved",
    OperatorState.RECEIVING: "Receiving",
    OperatorState.IN_CALL: "In a queue call",
    OperatorState.WRAP_UP: "Wrap up",
}
"""Words for programs: they are the same in every language."""


class OperatorBody(ModelBody):
    user = Text(
        max_length=150, required=False, allow_null=True, help_text="The name that he logs in with."
    )  # fmt: skip

    class Meta:
        model = Operator
        fields: ClassVar = [
            "name", "extension", "user", "phone", "contact", "gateway", "call_timeout", "wrap_up_time", "max_no_answer",
            "busy_delay", "reject_delay", "no_answer_delay", "uses_client", "archived",
        ]  # fmt: skip

    def validate_user(self, name: str | None) -> Any:
        """Return the user of that name."""
        if name is None:
            return None
        user = get_user_model().objects.filter(username=name).first()
        if user is None:
            raise serializers.ValidationError(_("There is no user “%s”.") % name)
        if Operator.objects.filter(user=user).exclude(pk=getattr(self.instance, "pk", 0)).exists():
            raise serializers.ValidationError(_("“%s” is another operator's.") % name)
        return user


class OperatorView(serializers.ModelSerializer):
    user = serializers.CharField(source="user.username", allow_null=True, default=None)
    status = serializers.ChoiceField(list(STATUSES.values()), help_text="What a person chose.")
    next_status = serializers.ChoiceField(
        list(STATUSES.values()), allow_null=True, help_text="Chosen during a call: holds after it and its wrap-up."
    )
    state = serializers.ChoiceField(list(STATES.values()), help_text="What the system keeps.")
    status_since = serializers.DateTimeField(allow_null=True)
    state_since = serializers.DateTimeField(allow_null=True)
    no_calls_before = serializers.DateTimeField(source="ready_at", allow_null=True)
    wrap_up_until = serializers.DateTimeField(allow_null=True)
    current_attempt = serializers.IntegerField(source="current_attempt_id", allow_null=True)

    class Meta:
        model = Operator
        fields: ClassVar = [
            "id", *OperatorBody.Meta.fields,
            "status", "next_status", "status_since", "forced_break", "state", "state_since", "no_calls_before",
            "wrap_up_until", "registered", "client_connected", "call_centre_mode", "current_attempt", "calls",
            "talk_seconds",
        ]  # fmt: skip

    def to_representation(self, instance: Any) -> Any:
        shown = super().to_representation(instance)
        shown["status"] = STATUSES[instance.status]
        shown["next_status"] = STATUSES.get(instance.next_status)
        shown["state"] = STATES[instance.state]
        return shown


class OperatorsQuery(Query):
    status = serializers.ChoiceField(list(STATUSES.values()), required=False)
    state = serializers.ChoiceField(list(STATES.values()), required=False)
    campaign = QueryId(required=False, help_text="Those who serve it.")
    extension = serializers.CharField(required=False, max_length=32)
    archived = QueryFlag(required=False, default=False)


class StatusBody(Body):
    status = Choice(list(STATUSES.values()))
    reason = Text(
        required=False, allow_blank=True, max_length=actions.MOST_REASON,
        help_text="Why, in a word: kept with his periods, and shown on the board.",
    )  # fmt: skip


def _show(operator_id: int) -> Any:
    return OperatorView(Operator.objects.select_related("user").get(pk=operator_id)).data


def find_operator(user: Any, given: str, rights: tuple[str, ...]) -> Operator:
    """Return an operator by his id, or ``me``; without one of these rights nobody but himself."""
    operators: QuerySet[Operator] = Operator.objects.select_related("user")
    if given == "me":
        found = operators.filter(user=user.pk).first()
        if found is None:
            raise NotFound(_("You are no operator."))
        return found
    if not any(map(user.has_perm, rights)):
        operators = operators.filter(user=user.pk)
    return one(operators, given)


@extend_schema(tags=["operators"])
class Operators(Endpoint):
    needs: ClassVar = {"GET": ("agents.view_operator",), "POST": ("agents.add_operator",)}

    @extend_schema(
        operation_id="list_operators", parameters=[OperatorsQuery], responses=OperatorView(many=True),
        summary="List operators",
    )  # fmt: skip
    def get(self, request: Any) -> Response:
        """By name; those who have left only when asked for."""
        asked = self.ask(OperatorsQuery)
        operators = Operator.objects.select_related("user").filter(archived=asked["archived"])
        for name, words in (("status", STATUSES), ("state", STATES)):
            if name in asked:
                operators = operators.filter(**{name: next(key for key, word in words.items() if word == asked[name])})
        if "campaign" in asked:
            operators = operators.filter(tiers__campaign__in=scope.campaigns(request.user).filter(pk=asked["campaign"]))
        if "extension" in asked:
            operators = operators.filter(extension=asked["extension"])
        return Response(OperatorView(operators[:MOST], many=True).data)

    @extend_schema(
        operation_id="create_operator", request=OperatorBody, responses={201: OperatorView}, summary="Add an operator"
    )
    def post(self, request: Any) -> Response:
        """Logged out, in no campaign."""
        operator = actions.create_operator(**self.read(OperatorBody))
        return Response(_show(operator.pk), 201)


@extend_schema(tags=["operators"])
class OneOperator(Endpoint):
    needs: ClassVar = {
        "GET": ("agents.view_operator", "access.take_calls"),
        "PATCH": ("agents.change_operator",),
    }

    @extend_schema(operation_id="get_operator", responses=OperatorView, summary="Show an operator")
    def get(self, request: Any, operator: str) -> Response:
        """His parameters, his status and his state. `me` is yourself."""
        return Response(_show(find_operator(request.user, operator, ("agents.view_operator",)).pk))

    @extend_schema(
        operation_id="update_operator", request=OperatorBody, responses=OperatorView, summary="Change an operator"
    )
    def patch(self, request: Any, operator: str) -> Response:
        """A call under way keeps what it was decided by. One who is archived is logged out."""
        found = find_operator(request.user, operator, ("agents.change_operator",))
        actions.update_operator(found.pk, **self.read(OperatorBody, partly=True, instance=found))
        return Response(_show(found.pk))


ANY_STATUS = ("access.change_status",)


@extend_schema(tags=["operators"])
class OperatorStatusView(Endpoint):
    needs: ClassVar = {"PUT": ("access.change_status", "access.take_calls")}

    @extend_schema(
        operation_id="set_operator_status", request=StatusBody, responses=OperatorView,
        summary="Change the status of an operator",
        examples=[OpenApiExample("Ready for calls", value={"status": "Available"}, request_only=True)],
    )  # fmt: skip
    def put(self, request: Any, operator: str) -> Response:
        """During a call it is stored (`next_status`) and holds after the wrap-up."""
        found = find_operator(request.user, operator, ANY_STATUS)
        body = self.read(StatusBody)
        chosen = next(status for status, known in STATUSES.items() if known == body["status"])
        actions.set_status(found.pk, chosen, by=request.user, reason=body.get("reason", ""))
        return Response(_show(found.pk))


@extend_schema(tags=["operators"])
class OperatorReady(Endpoint):
    needs: ClassVar = {"POST": ("access.change_status", "access.take_calls")}

    @extend_schema(
        operation_id="set_operator_ready", request=None, responses=OperatorView, summary="Let an operator have calls"
    )
    def post(self, request: Any, operator: str) -> Response:
        """Ends his wrap-up early, or takes one on demand from Idle to Waiting."""
        found = find_operator(request.user, operator, ANY_STATUS)
        actions.ready(found.pk)
        return Response(_show(found.pk))
