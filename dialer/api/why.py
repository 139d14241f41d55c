"""Why, over REST: what holds a subscriber back, where a list stands, why an operator gets no call."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from agents import api as agents
from dialer.api import scope
from dialer.api.views import Endpoint
from dialer.engine import why
from members import api as members


class BlockerView(serializers.Serializer):
    code = serializers.CharField(help_text="As closed, wait, no_route, operators_away, behind.")
    text = serializers.CharField(help_text="A sentence for people, without the instant.")
    remedy = serializers.CharField(help_text="What somebody may do about it; may be empty.")
    clears = serializers.BooleanField(help_text="It goes by itself.")
    until = serializers.DateTimeField(allow_null=True, help_text="When it does; null: that is not known.")
    count = serializers.IntegerField(
        allow_null=True, help_text=f"How many come before; {why.COUNTED + 1} means more than {why.COUNTED}."
    )


class WhyView(serializers.Serializer):
    blockers = BlockerView(many=True, help_text="In order; none: it is the turn of the next pass.")


class PartView(serializers.Serializer):
    cause = serializers.CharField()
    count = serializers.IntegerField()


class StepView(serializers.Serializer):
    code = serializers.CharField(help_text="As a blocker's, or ready.")
    label = serializers.CharField()
    count = serializers.IntegerField()
    until = serializers.DateTimeField(allow_null=True, help_text="When the first of them goes on, if that is known.")
    parts = serializers.SerializerMethodField(help_text="Of those who ended: by their cause.")

    @extend_schema_field(PartView(many=True))
    def get_parts(self, step: why.Step) -> list[dict[str, Any]]:
        return [{"cause": cause, "count": count} for cause, count in step.parts]


class FunnelView(serializers.Serializer):
    at = serializers.DateTimeField(help_text="When the list was counted.")
    total = serializers.IntegerField()
    ready = serializers.IntegerField(help_text="Those who are called as soon as there is an operator and a line.")
    steps = StepView(many=True, help_text="Their counts add up to the total.")
    blockers = BlockerView(many=True, help_text="What holds all of them back.")


@extend_schema(tags=["members"])
class MemberWhy(members.OfCampaign):
    needs: ClassVar = {"GET": ("members.view_member",)}

    @extend_schema(operation_id="why_member", responses=WhyView, summary="Why a subscriber is not called now")
    def get(self, request: Any, campaign: str, member: str) -> Response:
        """All that holds him back, by the code of the claim itself: who has no blocker is called by the next pass."""
        found = self.member(campaign, member)
        return Response(WhyView({"blockers": why.of_member(found.pk)}).data)


@extend_schema(tags=["campaigns"])
class CampaignFunnel(members.OfCampaign):
    needs: ClassVar = {"GET": ("campaigns.view_campaign",)}

    @extend_schema(operation_id="get_funnel", responses=FunnelView, summary="Show where a list stands")
    def get(self, request: Any, campaign: str) -> Response:
        """Each subscriber is counted once, by what holds him back first. A long list is counted once in a while."""
        return Response(FunnelView(why.of_campaign(self.campaign(campaign).pk)).data)


@extend_schema(tags=["operators"])
class OperatorWhy(Endpoint):
    needs: ClassVar = {"GET": ("agents.view_operator", "access.take_calls")}

    @extend_schema(operation_id="why_operator", responses=WhyView, summary="Why an operator gets no call now")
    def get(self, request: Any, operator: str) -> Response:
        """All that keeps him from calls; an operator asks for himself alone."""
        found = agents.find_operator(request.user, operator, ("agents.view_operator",))
        return Response(WhyView({"blockers": why.of_operator(found.pk, only=scope.of(request.user))}).data)
