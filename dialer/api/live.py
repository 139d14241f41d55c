"""What goes on, over REST: the same reading as the live page's."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from dialer import live
from dialer.api import scope
from dialer.api.views import Endpoint


class LiveView(serializers.Serializer):
    """Instants are milliseconds since 1970."""

    now = serializers.IntegerField()
    factor = serializers.FloatField(help_text="How fast the clock runs; 1 but in a rehearsal.")
    alerts = serializers.ListField(child=serializers.DictField())
    pass_at = serializers.IntegerField(allow_null=True, help_text="When the dial loop ran last.")
    switches = serializers.ListField(child=serializers.DictField())
    campaigns = serializers.ListField(child=serializers.DictField())
    curves = serializers.ListField(
        child=serializers.DictField(),
        help_text="The last hour of campaigns, in bars of two minutes, the oldest first: attempts dialled, connected.",
    )
    more_campaigns = serializers.IntegerField()
    gateways = serializers.ListField(child=serializers.DictField())
    causes = serializers.ListField(child=serializers.JSONField())
    recent = serializers.DictField(help_text="Of the last attempts, how many were dialled and connected.")
    per_minute = serializers.IntegerField()
    operators = serializers.ListField(child=serializers.DictField())
    attempts = serializers.ListField(child=serializers.DictField())


@extend_schema(tags=["live"])
class Live(Endpoint):
    needs: ClassVar = {"GET": ("access.see_live",)}

    @extend_schema(operation_id="get_live", responses=LiveView, summary="Show what goes on")
    def get(self, request: Any) -> Response:
        """Campaigns, lines, operators and the last attempts. Read once a second, however many ask."""
        return Response(json.loads(live.snapshot_json(scope.of(request.user))))
