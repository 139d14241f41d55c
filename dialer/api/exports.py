"""Lists as files over REST: subscribers with their results, and attempts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers

from dialer import exports
from dialer.api import attempts, scope
from dialer.api.fields import Query
from dialer.api.views import Endpoint, one
from dialer.exports import MEDIA_TYPES, FileAnswer, FileFormat
from members import api as members
from members import exports as subscribers
from members.models import Member


class FileQuery(Query):
    """What kind of file."""

    format = serializers.ChoiceField(FileFormat.values, default=FileFormat.CSV.value)
    columns = serializers.CharField(required=False, max_length=4000)
    zone = serializers.CharField(
        required=False, max_length=64, help_text="Of all instants: an IANA name. Without one the calendar's."
    )


class MembersFileQuery(members.MembersQuery, FileQuery):
    pass


class AttemptsFileQuery(attempts.AttemptsFilter, FileQuery):
    pass


FILES = {(200, media_type.partition(";")[0]): OpenApiTypes.BINARY for media_type in MEDIA_TYPES.values()}


def columns_of(known: Iterable[str], *patterns: str) -> OpenApiParameter:
    """Describe the columns that can be chosen."""
    names: list[dict[str, Any]] = [{"type": "string", "enum": list(known)}]
    names += [{"type": "string", "pattern": pattern} for pattern in patterns]
    return OpenApiParameter(
        "columns", {"type": "array", "items": {"anyOf": names}, "minItems": 1, "uniqueItems": True},
        style="form", explode=False, description="Their names, separated by commas. Without them the usual ones.",
        examples=[OpenApiExample("Some", value=list(known)[:3])],
    )  # fmt: skip


def arguments(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what a request says of the file itself."""
    columns = asked["columns"].split(",") if "columns" in asked else ()
    return {"columns": columns, "file_format": asked["format"], "zone": asked.get("zone", "")}


class Export(Endpoint):
    """A file of what belongs to a campaign."""

    def rows(self, found: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the file; whoever asks for its head gets none of them made."""
        return found.none() if self.request.method == "HEAD" else found


@extend_schema(tags=["members"])
class MembersExport(Export):
    needs: ClassVar = {"GET": ("members.view_member",)}

    @extend_schema(
        operation_id="export_members",
        parameters=[MembersFileQuery, columns_of(subscribers.COLUMNS, r"^number_[1-9][0-9]?$", "^var:.+$")],
        responses=FILES,
        summary="Subscribers as a file",
    )
    def get(self, request: Any, campaign: str) -> FileAnswer:
        """CSV or XLSX of any size, by the filters of the list, in the order of entry. Beside the columns that are
        listed there are `number_1` to `number_99`, and `var:NAME` for a variable. The file can be loaded again.
        """
        asked = self.ask(MembersFileQuery)
        owner = one(scope.campaigns(request.user).select_related("calendar"), campaign)
        found = members.filtered(Member.objects.visible(), asked, owner)
        return subscribers.members(owner, self.rows(found), **arguments(asked))


@extend_schema(tags=["attempts"])
class AttemptsExport(Export):
    needs: ClassVar = {"GET": ("dialer.view_attempt", "access.take_calls")}

    @extend_schema(
        operation_id="export_attempts",
        parameters=[AttemptsFileQuery, columns_of(exports.ATTEMPT_COLUMNS)],
        responses=FILES,
        summary="Attempts as a file",
    )
    def get(self, request: Any, campaign: str) -> FileAnswer:
        """CSV or XLSX of any size, by the filters of the list, the oldest first. An operator gets his own."""
        asked = self.ask(AttemptsFileQuery)
        owner = one(scope.campaigns(request.user).select_related("calendar"), campaign)
        found = attempts.filtered(attempts.visible_to(request.user).filter(campaign=owner), asked)
        return exports.attempts(owner, self.rows(found), **arguments(asked))
