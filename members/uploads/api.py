"""Uploads over REST: a file is sent, read as is said, checked as a whole, and then loaded in the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ValidationError as Invalid
from django.db import transaction
from django.db.models import QuerySet
from django.utils.datastructures import MultiValueDict
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.response import Response

from campaigns.models import Campaign
from dialer import exports
from dialer.api import scope
from dialer.api.fields import Body, Choice, Flag, Moment, Query, QueryId, Reference, Text, Whole
from dialer.api.paging import Order, PageQuery
from dialer.api.parsers import FilesParser
from dialer.api.views import Endpoint, one
from dialer.exports import FileAnswer, FileFormat
from members.uploads import actions, reading
from members.uploads.layout import Destination, FileKind, Layout
from members.uploads.models import (
    DuplicateRule,
    FaultKind,
    Upload,
    UploadFault,
    UploadKind,
    UploadState,
    UploadTemplate,
)

SEES = {UploadKind.MEMBERS: "members.view_member", UploadKind.DO_NOT_CALL: "members.view_donotcall"}
ADDS = {UploadKind.MEMBERS: "members.add_member", UploadKind.DO_NOT_CALL: "members.add_donotcall"}
SEE = tuple(SEES.values())
ADD = tuple(ADDS.values())

# --- how a file is read -----------------------------------------------------------------------------------------


class ColumnBody(Body):
    destination = Choice([kind.value for kind in Destination], help_text="What it is loaded as.")
    name = Text(required=False, allow_blank=True, max_length=100, help_text="Of a variable.")
    priority = Whole(required=False, help_text="Of a number: bigger is called first.")
    description = Text(required=False, allow_blank=True, max_length=120, help_text="Of a number.")


class LayoutBody(Body):
    kind = Choice([kind.value for kind in FileKind])
    charset = Text(required=False, max_length=64, help_text="As Python names it: utf-8, windows-1251, utf-16.")
    separator = Text(required=False, min_length=1, max_length=1, trim_whitespace=False)
    quote = Text(required=False, allow_blank=True, max_length=1, help_text="Empty: none.")
    heading = Flag(required=False, help_text="The first line names the columns and is not loaded.")
    columns = ColumnBody(many=True, help_text="One for each column of the file.")
    expire_format = Text(
        required=False, allow_blank=True, max_length=60, help_text="Of dates, as strptime reads it; empty: ISO 8601."
    )
    expire_zone = Text(
        required=False, allow_blank=True, max_length=64, help_text="Of dates without an offset; empty: the calendar's."
    )


@extend_schema_field(LayoutBody)
class LayoutField(serializers.JSONField):
    """A layout: ``members.uploads.layout`` reads it and tells its faults."""


class LayoutView(LayoutBody):
    pass


class SettingsBody(Body):
    layout = LayoutField(required=False)
    template = Reference(
        queryset=UploadTemplate.objects.all(), required=False, help_text="Its layout and its rule, instead of a layout."
    )
    on_duplicate = Choice(
        DuplicateRule.values, required=False,
        help_text="What becomes of faulty rows and of duplicates. stop: load nothing while there is any; skip: they "
        "are left out; update: change the data of whom they are, faulty ones are left out.",
    )  # fmt: skip
    auto_run = Flag(required=False, help_text="Run the campaign once the list is loaded.")
    reason = Text(
        required=False, allow_blank=True, max_length=200, help_text="Of do-not-call numbers whose row gives none."
    )
    expire = Moment(
        required=False, allow_null=True, source="expire_at",
        help_text="Until when, of do-not-call numbers whose row says nothing; null: for ever.",
    )  # fmt: skip


DOCUMENTED_LAYOUT = {
    "kind": "csv",
    "charset": "windows-1251",
    "separator": ";",
    "quote": '"',
    "heading": True,
    "columns": [
        {"destination": "name"},
        {"destination": "number", "priority": 1, "description": "mobile"},
        {"destination": "number", "priority": 0, "description": "home"},
        {"destination": "variable", "name": "debt"},
        {"destination": "nothing"},
    ],
    "expire_format": "",
    "expire_zone": "",
}


# --- what is shown ----------------------------------------------------------------------------------------------


class FirstFaultView(serializers.Serializer):
    line = serializers.IntegerField()
    column = serializers.IntegerField(allow_null=True, help_text="From 0; null: it is about the whole row.")
    value = serializers.CharField()
    told = serializers.CharField()


class FindingView(serializers.Serializer):
    kind = serializers.ChoiceField(FaultKind.choices)
    title = serializers.CharField()
    count = serializers.IntegerField()
    first = FirstFaultView(many=True)


class UploadView(serializers.ModelSerializer):
    campaign = serializers.IntegerField(source="campaign_id", allow_null=True, help_text="Null: every campaign.")
    kind = serializers.ChoiceField(UploadKind.choices)
    state = serializers.ChoiceField(UploadState.choices)
    by = serializers.CharField(source="by_name", help_text="Who uploaded it, or who loaded it since.")
    created = serializers.DateTimeField(source="created_at")
    same_as = serializers.IntegerField(
        source="same_as_id", allow_null=True, help_text="The upload by which this very file was loaded before."
    )
    layout = LayoutView()
    on_duplicate = serializers.ChoiceField(DuplicateRule.choices)
    expire = serializers.DateTimeField(source="expire_at", allow_null=True)
    rows = serializers.IntegerField(help_text="All of the file, once it is checked.")
    progress = serializers.FloatField(
        allow_null=True, help_text="Of what is under way, from 0 to 1; null while that cannot be said."
    )
    rows_per_second = serializers.FloatField(allow_null=True)
    seconds_left = serializers.FloatField(allow_null=True)
    report = FindingView(many=True, help_text="What the check found, by kind, with the first lines of each.")
    fault = serializers.CharField(help_text="Why it failed.")
    obstacle = serializers.CharField(help_text="Why it cannot be loaded as it is; empty: it can, once it is checked.")
    may_check = serializers.BooleanField()
    may_load = serializers.BooleanField()
    may_cancel = serializers.BooleanField()
    may_undo = serializers.BooleanField()
    rejected = serializers.BooleanField(source="rejected_exists", help_text="There is a file of rejected rows.")
    file_kept = serializers.SerializerMethodField(help_text="false: the file was deleted; this is history.")
    checked = serializers.DateTimeField(source="checked_at", allow_null=True)
    loaded = serializers.DateTimeField(source="loaded_at", allow_null=True)
    taken_out = serializers.DateTimeField(source="undone_at", allow_null=True)

    class Meta:
        model = Upload
        fields: ClassVar = [
            "id", "kind", "campaign", "state", "by", "created", "file_name", "size", "sha256", "same_as", "file_kept",
            "layout", "on_duplicate", "auto_run", "reason", "expire", "rows", "good", "faulty", "duplicates", "added",
            "updated", "skipped", "refused", "undone", "kept", "progress", "rows_per_second", "seconds_left", "report",
            "fault", "obstacle", "may_check", "may_load", "may_cancel", "may_undo", "rejected", "checked", "loaded",
            "taken_out",
        ]  # fmt: skip

    def get_file_kept(self, upload: Upload) -> bool:
        return bool(upload.path)

    def to_representation(self, instance: Any) -> Any:
        shown = super().to_representation(instance)
        # Kept as it was checked; a serializer would ask for what an older one does not say.
        return {**shown, "layout": instance.layout, "report": instance.report}


class UploadPage(serializers.Serializer):
    results = UploadView(many=True)
    next = serializers.CharField(allow_null=True, help_text="The address of the next page; null: this is the last.")
    cursor = serializers.CharField(allow_null=True)


class UploadsQuery(PageQuery):
    kind = serializers.ChoiceField(UploadKind.choices, required=False)
    state = serializers.ChoiceField(UploadState.choices, required=False)
    sort = serializers.ChoiceField(["-id", "id"], default="-id")


ORDERS: Mapping[str, Order] = {"-id": Order(descending=True), "id": Order()}


class FileBody(Body):
    file = serializers.FileField(help_text="CSV, TSV or other separated text, XLSX, or a zip of one such file.")
    template = QueryId(required=False, help_text="How it is read; without one that is guessed.")


class CampaignFileBody(FileBody):
    kind = serializers.ChoiceField(
        UploadKind.choices, default=UploadKind.MEMBERS.value, help_text="Subscribers, or numbers it must not call."
    )


class LoadBody(Body):
    on_duplicate = Choice(DuplicateRule.values, required=False, help_text="Without it that of the upload.")


class PreviewQuery(Query):
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20, help_text="How many rows at most.")


@extend_schema_field(
    {"type": ["string", "number", "null"], "description": "As the file has it; instants of a workbook in ISO 8601."}
)
class CellField(serializers.JSONField):
    """A cell of a row."""


class PreviewRow(serializers.Serializer):
    line = serializers.IntegerField(help_text="Of the file, where the row begins.")
    cells = serializers.ListField(child=CellField(allow_null=True))


class PreviewView(serializers.Serializer):
    headings = serializers.ListField(child=serializers.CharField())
    width = serializers.IntegerField(help_text="Columns.")
    rows = PreviewRow(many=True)


class FaultView(serializers.ModelSerializer):
    kind = serializers.ChoiceField(FaultKind.choices)

    class Meta:
        model = UploadFault
        fields: ClassVar = ["line", "kind", "column", "value", "told"]


class FaultPage(serializers.Serializer):
    results = FaultView(many=True)
    next = serializers.CharField(allow_null=True, help_text="The address of the next page; null: this is the last.")
    cursor = serializers.CharField(allow_null=True)


class FaultsQuery(PageQuery):
    kind = serializers.ChoiceField(FaultKind.choices, required=False)
    sort = serializers.ChoiceField(["line"], default="line")


FAULT_ORDERS: Mapping[str, Order] = {"line": Order("line", whole=True)}


# --- endpoints --------------------------------------------------------------------------------------------------


class OfUploads(Endpoint):
    """What is done with uploads, each kind by those who may do it with its rows."""

    def see(self) -> QuerySet[Upload]:
        """Return the uploads whose rows the user may see."""
        found = Upload.objects.filter(
            kind__in=[kind for kind, right in SEES.items() if self.request.user.has_perm(right)]
        )
        return scope.within(found, self.request.user, common=True)

    def upload(self, given: str, rights: Mapping[UploadKind, str] = SEES) -> Upload:
        """Return an upload. Raises ``NotFound``, and ``PermissionDenied`` where a right is missing."""
        found = one(self.see(), given)
        self.need(rights[UploadKind(found.kind)])
        if self.request.method not in ("GET", "HEAD"):
            scope.need(self.request.user, found.campaign_id)
        return found

    def need(self, right: str) -> None:
        if not self.request.user.has_perm(right):
            raise PermissionDenied(_("Your role does not allow it: it lacks the right %s.") % right)

    def need_rules(self, on_duplicate: str, auto_run: bool) -> None:
        """Refuse rules that do more than the user may."""
        if on_duplicate == DuplicateRule.UPDATE:
            self.need("members.change_member")
        if auto_run:
            self.need("access.run_campaign")

    def page(self, uploads: QuerySet[Upload]) -> Response:
        asked = self.ask(UploadsQuery)
        for name in ("kind", "state"):
            if name in asked:
                uploads = uploads.filter(**{name: asked[name]})
        return self.listed(uploads, lambda rows: UploadView(rows, many=True).data, asked, ORDERS)

    def begin(self, campaign: Campaign | None, kind: str, given: Mapping[str, Any]) -> Response:
        """Take a file; with a template it is read as that says."""
        self.need(ADDS[UploadKind(kind)])
        template = None
        if "template" in given:
            template = UploadTemplate.objects.filter(pk=given["template"], kind=kind).first()
            if template is None:
                raise ValidationError({"template": [_("There is no such template for this kind of upload.")]})
            self.need_rules(template.on_duplicate, auto_run=False)
        file = given["file"]
        with transaction.atomic():  # a template that does not fit leaves no upload behind
            upload = actions.begin(file, file_name=file.name, campaign=campaign, kind=kind, by=self.request.user)
            if template:
                self.apply(upload, layout=template.layout, on_duplicate=template.on_duplicate)
        return Response(UploadView(upload).data, 201)

    def apply(self, upload: Upload, **settings: Any) -> Upload:
        """Say how a file is read; faults of the layout are told below ``layout``."""
        try:
            return actions.set_layout(upload, **settings, by=self.request.user)
        except Invalid as error:
            raise Invalid({_path(name): told for name, told in error.message_dict.items()}) from None


def _path(name: str) -> str:
    if name == "expire_at":
        return "expire"
    return name if name in ("on_duplicate", "auto_run", "reason", "layout") else f"layout.{name}"


def _fields(request: Any) -> dict[str, Any]:
    """Return the fields of a form. Raises ``ValidationError`` for one that is given twice."""
    if not isinstance(request.data, MultiValueDict):
        return {}  # a request without a body
    twice = [name for name, values in request.data.lists() if len(values) > 1]
    if twice:
        raise ValidationError({name: [_("This is given twice.")] for name in twice})
    return dict(request.data.items())


@extend_schema(tags=["uploads"])
class CampaignUploads(OfUploads):
    needs: ClassVar = {"GET": SEE, "POST": ADD}
    parser_classes: ClassVar = [FilesParser]

    @extend_schema(operation_id="list_uploads", parameters=[UploadsQuery], responses=UploadPage, summary="List uploads")
    def get(self, request: Any, campaign: str) -> Response:
        """The history of a campaign, the newest first: who, when, which file, how it was read, what came of it."""
        return self.page(self.see().filter(campaign=one(scope.campaigns(request.user), campaign)))

    @extend_schema(
        operation_id="upload",
        request={"multipart/form-data": CampaignFileBody},
        responses={201: UploadView},
        summary="Upload a file",
    )
    def post(self, request: Any, campaign: str) -> Response:
        """Nothing is loaded yet. The answer has the layout that was guessed: change it with a PUT, then check, then
        load. A file over the limit of the installation is answered 413 or 400.
        """
        owner = one(scope.campaigns(request.user).select_related("calendar"), campaign)
        given = self.read(CampaignFileBody, _fields(request))
        return self.begin(owner, given["kind"], given)


@extend_schema(tags=["do-not-call"])
class DoNotCallUploads(OfUploads):
    needs: ClassVar = {"GET": (SEES[UploadKind.DO_NOT_CALL],), "POST": (ADDS[UploadKind.DO_NOT_CALL],)}
    parser_classes: ClassVar = [FilesParser]

    @extend_schema(
        operation_id="list_do_not_call_uploads", parameters=[UploadsQuery], responses=UploadPage,
        summary="List uploads of numbers that nobody may call",
    )  # fmt: skip
    def get(self, request: Any) -> Response:
        """Those for every campaign, the newest first."""
        return self.page(self.see().filter(campaign=None))

    @extend_schema(
        operation_id="upload_do_not_call",
        request={"multipart/form-data": FileBody},
        responses={201: UploadView},
        summary="Upload numbers that nobody may call",
    )
    def post(self, request: Any) -> Response:
        """For every campaign. It is checked and loaded as any upload."""
        scope.need_all(request.user)
        return self.begin(None, UploadKind.DO_NOT_CALL, self.read(FileBody, _fields(request)))


@extend_schema(tags=["uploads"])
class OneUpload(OfUploads):
    needs: ClassVar = {"GET": SEE, "PUT": ADD, "DELETE": ADD}

    @extend_schema(operation_id="get_upload", responses=UploadView, summary="Show an upload")
    def get(self, request: Any, upload: str) -> Response:
        """Its layout, what its check found, and how far it is: ask every second or so while it is under way."""
        return Response(UploadView(self.upload(upload)).data)

    @extend_schema(
        operation_id="set_layout", request=SettingsBody, responses=UploadView, summary="Say how a file is read",
        examples=[
            OpenApiExample(
                "A list out of a spreadsheet",
                value={"layout": DOCUMENTED_LAYOUT, "on_duplicate": "skip", "auto_run": True},
                request_only=True,
            )
        ],
    )  # fmt: skip
    def put(self, request: Any, upload: str) -> Response:
        """The layout, or a template, and the rules of loading; those that are left out are as at the beginning. What
        was checked before is void.
        """
        found = self.upload(upload, ADDS)
        given = self.read(SettingsBody)
        template = given.pop("template", None)
        if (template is None) is ("layout" not in given):
            raise ValidationError({"layout": [_("Give either a layout or a template.")]})
        if template is not None:
            if template.kind != found.kind:
                raise ValidationError({"template": [_("This template is for another kind of upload.")]})
            given = {"on_duplicate": template.on_duplicate, **given, "layout": template.layout}
        self.need_rules(given.get("on_duplicate", ""), given.get("auto_run", False))
        return Response(UploadView(self.apply(found, **given)).data)

    @extend_schema(operation_id="delete_upload", responses={204: None}, summary="Delete the file of an upload")
    def delete(self, request: Any, upload: str) -> Response:
        """And the faults of its rows. What it loaded stays, and so does the upload itself, as history."""
        actions.forget(self.upload(upload, ADDS), by=request.user)
        return Response(status=204)


@extend_schema(tags=["uploads"])
class UploadPreview(OfUploads):
    needs: ClassVar = {"GET": SEE}

    @extend_schema(
        operation_id="preview_upload", parameters=[PreviewQuery], responses=PreviewView, summary="The first rows"
    )
    def get(self, request: Any, upload: str) -> Response:
        """As the layout reads them."""
        found = _with_file(self.upload(upload))
        asked = self.ask(PreviewQuery)
        try:
            seen = reading.preview(found.file, Layout.from_json(found.layout), asked["limit"])
        except reading.FileRefused as refused:
            raise ValidationError({"layout": [refused.told]}) from None
        told = [{"line": record.line, "cells": record.cells} for record in seen.records]
        return Response({"headings": seen.headings, "width": seen.width, "rows": told})


def _with_file(upload: Upload) -> Upload:
    if not upload.path:
        raise NotFound(_("The file of this upload is deleted."))
    return upload


@extend_schema(tags=["uploads"])
class UploadCheck(OfUploads):
    needs: ClassVar = {"POST": ADD}

    @extend_schema(
        operation_id="check_upload", request=None, responses={202: UploadView}, summary="Check the whole file"
    )
    def post(self, request: Any, upload: str) -> Response:
        """In the background; nothing is loaded. Afterwards `report` tells what was found."""
        return Response(UploadView(actions.check(self.upload(upload, ADDS), by=request.user)).data, 202)


@extend_schema(tags=["uploads"])
class UploadLoad(OfUploads):
    needs: ClassVar = {"POST": ADD}

    @extend_schema(
        operation_id="load_upload", request=LoadBody, responses={202: UploadView}, summary="Load a checked file",
        examples=[OpenApiExample("What is good", value={"on_duplicate": "skip"}, request_only=True)],
    )  # fmt: skip
    def post(self, request: Any, upload: str) -> Response:
        """In the background; the campaign may dial meanwhile."""
        found = self.upload(upload, ADDS)
        given = self.read(LoadBody)
        self.need_rules(given.get("on_duplicate", found.on_duplicate), found.auto_run)
        return Response(UploadView(actions.load(found, by=request.user, **given)).data, 202)


@extend_schema(tags=["uploads"])
class UploadCancel(OfUploads):
    needs: ClassVar = {"POST": ADD}

    @extend_schema(operation_id="cancel_upload", request=None, responses=UploadView, summary="Stop what is under way")
    def post(self, request: Any, upload: str) -> Response:
        """At once; what was loaded or taken out before stays so."""
        return Response(UploadView(actions.cancel(self.upload(upload, ADDS), by=request.user)).data)


@extend_schema(tags=["uploads"])
class UploadUndo(OfUploads):
    needs: ClassVar = {"POST": ("members.delete_member",)}

    @extend_schema(
        operation_id="undo_upload", request=None, responses={202: UploadView}, summary="Take its subscribers out"
    )
    def post(self, request: Any, upload: str) -> Response:
        """Those whom it added and who were never dialled, in the background. The others stay."""
        return Response(UploadView(actions.undo(self.upload(upload), by=request.user)).data, 202)


@extend_schema(tags=["uploads"])
class UploadFaults(OfUploads):
    needs: ClassVar = {"GET": SEE}

    @extend_schema(
        operation_id="list_upload_faults", parameters=[FaultsQuery], responses=FaultPage, summary="List faults of rows"
    )
    def get(self, request: Any, upload: str) -> Response:
        """What the check, and the load after it, told of rows: in the order of the file."""
        asked = self.ask(FaultsQuery)
        faults = UploadFault.objects.filter(upload=self.upload(upload))
        if "kind" in asked:
            faults = faults.filter(kind=asked["kind"])
        return self.listed(faults, lambda rows: FaultView(rows, many=True).data, asked, FAULT_ORDERS)


@extend_schema(tags=["uploads"])
class UploadRejected(OfUploads):
    needs: ClassVar = {"GET": SEE}

    @extend_schema(
        operation_id="get_rejected_rows", responses={(200, "text/csv"): OpenApiTypes.BINARY},
        summary="Rejected rows as a file",
    )  # fmt: skip
    def get(self, request: Any, upload: str) -> FileAnswer:
        """CSV with the columns of the file, the reason beside each row and its line: mend it, and upload it again."""
        found = _with_file(self.upload(upload))
        return rejected_file(found, head_only=request.method == "HEAD")


def rejected_file(upload: Upload, *, head_only: bool = False) -> FileAnswer:
    """Return the rejected rows as a file to download."""
    stem, rejected = upload.file_name.rpartition(".")[0] or upload.file_name, _("rejected")
    name = f"{stem} {rejected}.csv"
    return FileAnswer(
        iter(()) if head_only else actions.rejected(upload),
        content_type=exports.MEDIA_TYPES[FileFormat.CSV],
        headers={"Content-Disposition": content_disposition_header(True, name)},
    )


# --- templates --------------------------------------------------------------------------------------------------


class TemplateView(serializers.ModelSerializer):
    kind = serializers.ChoiceField(UploadKind.choices)
    headings = serializers.ListField(child=serializers.CharField())
    layout = LayoutView()
    on_duplicate = serializers.ChoiceField(DuplicateRule.choices)
    created = serializers.DateTimeField(source="created_at")

    class Meta:
        model = UploadTemplate
        fields: ClassVar = ["id", "name", "kind", "headings", "layout", "on_duplicate", "created"]

    def to_representation(self, instance: Any) -> Any:
        return {**super().to_representation(instance), "layout": instance.layout}


class TemplatesQuery(Query):
    kind = serializers.ChoiceField(UploadKind.choices, required=False)


class TemplateBody(Body):
    name = Text(max_length=120)
    upload = Reference(queryset=Upload.objects.all(), help_text="Whose layout and rule it takes.")


@extend_schema(tags=["uploads"])
class UploadTemplates(OfUploads):
    needs: ClassVar = {"GET": SEE, "POST": ADD}

    @extend_schema(
        operation_id="list_upload_templates", parameters=[TemplatesQuery], responses=TemplateView(many=True),
        summary="List templates",
    )  # fmt: skip
    def get(self, request: Any) -> Response:
        """Layouts by name, for files that come again."""
        found = UploadTemplate.objects.filter(**self.ask(TemplatesQuery)).order_by("kind", "name")
        return Response(TemplateView(found[:MOST_TEMPLATES], many=True).data)

    @extend_schema(
        operation_id="save_upload_template", request=TemplateBody, responses={201: TemplateView},
        summary="Save a template",
    )  # fmt: skip
    def post(self, request: Any) -> Response:
        """The layout of an upload under a name; one of that name and kind is replaced."""
        given = self.read(TemplateBody)
        self.upload(str(given["upload"].pk), ADDS)
        template = actions.save_template(given["name"], given["upload"], by=request.user)
        return Response(TemplateView(template).data, 201)


MOST_TEMPLATES = 1000
"""Templates that a list shows."""


@extend_schema(tags=["uploads"])
class OneUploadTemplate(OfUploads):
    needs: ClassVar = {"GET": SEE, "DELETE": ADD}

    @extend_schema(operation_id="get_upload_template", responses=TemplateView, summary="Show a template")
    def get(self, request: Any, template: str) -> Response:
        """As it was saved."""
        return Response(TemplateView(one(UploadTemplate.objects.all(), template)).data)

    @extend_schema(operation_id="delete_upload_template", responses={204: None}, summary="Delete a template")
    def delete(self, request: Any, template: str) -> Response:
        """Uploads that took it keep their layout."""
        found = one(UploadTemplate.objects.all(), template)
        self.need(ADDS[UploadKind(found.kind)])
        actions.delete_template(found, by=request.user)
        return Response(status=204)
