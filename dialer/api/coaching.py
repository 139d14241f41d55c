"""Coaching over REST: a supervisor lets his own phone be rung to hear a call, and to speak in it."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from dialer import verbs
from dialer.api import scope
from dialer.api.fields import Body, Choice, Text
from dialer.api.views import Endpoint, one
from dialer.models import Attempt, Coaching, CoachingMode

COACH = "dialer.coach_attempt"


class CoachingBody(Body):
    mode = Choice(
        CoachingMode.values,
        help_text="listen: nobody hears you; whisper: the operator does; barge: the operator and the subscriber do.",
    )
    extension = Text(
        required=False, allow_blank=True, max_length=32,
        help_text="The phone that is rung: a user of the switch's directory. Left out: your own as an operator.",
    )  # fmt: skip


class CoachingView(serializers.ModelSerializer):
    attempt = serializers.IntegerField(source="attempt_id")
    supervisor = serializers.CharField(source="supervisor.username", allow_null=True, default=None)
    answered_at = serializers.DateTimeField(allow_null=True, help_text="Null while the phone rings.")
    ended_at = serializers.DateTimeField(allow_null=True)
    cause = serializers.CharField(help_text="Of the end of the supervisor's leg; empty while it lives.")

    class Meta:
        model = Coaching
        fields: ClassVar = [
            "id", "attempt", "supervisor", "extension", "mode", "asked_at", "answered_at", "ended_at", "cause",
        ]  # fmt: skip


@extend_schema(tags=["attempts"])
class AttemptCoaching(Endpoint):
    needs: ClassVar = {"GET": (COACH,), "POST": (COACH,), "DELETE": (COACH,)}

    @extend_schema(
        operation_id="list_coachings", responses=CoachingView(many=True), summary="Show who is or was on a call"
    )
    def get(self, request: Any, attempt: str) -> Response:
        """The supervisors who listened, whispered or spoke in it, the newest first."""
        found = self._find(request, attempt).coachings.select_related("supervisor")
        return Response(CoachingView(found, many=True).data)

    @extend_schema(
        operation_id="coach", request=CoachingBody, responses={202: CoachingView}, summary="Listen, whisper or speak",
        examples=[OpenApiExample("Hear a call", value={"mode": "listen", "extension": "1099"}, request_only=True)],
    )  # fmt: skip
    def post(self, request: Any, attempt: str) -> Response:
        """Rings your phone; when you answer you hear the call. Once you are on it, asks for another mode. The call
        itself goes on unchanged, and its end takes you off it.
        """
        found = self._find(request, attempt)
        body = self.read(CoachingBody)
        row = verbs.coach(found.pk, body["mode"], by=request.user, extension=body.get("extension", ""))
        return Response(CoachingView(row).data, status=202)

    @extend_schema(operation_id="stop_coaching", responses={204: None}, summary="Leave a call")
    def delete(self, request: Any, attempt: str) -> Response:
        """Hangs up your own phone; the call goes on."""
        verbs.stop_coaching(self._find(request, attempt).pk, by=request.user)
        return Response(status=204)

    @staticmethod
    def _find(request: Any, attempt: str) -> Attempt:
        return one(scope.within(Attempt.objects.all(), request.user), attempt)
