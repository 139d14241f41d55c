"""One shape for whatever cannot be answered: ``application/problem+json``, with every fault by its field's path."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import django.core.exceptions
from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist
from django.core.signals import got_request_exception
from django.db import IntegrityError, OperationalError
from django.db.models import ProtectedError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from dialer.errors import Refused

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
TYPE = "urn:progressive-dialer:problem:"
BODY = "body"
"""The path of a fault of the whole body."""


class TooLarge(exceptions.APIException):
    """A body over the limit."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(_("The body is over %d bytes: send it in parts.") % limit)


class Later(exceptions.APIException):
    """Something that will work in a moment."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "unavailable"


class Locked(exceptions.Throttled):
    """Too many wrong passwords."""

    default_code = "locked"


def problem(
    status: int, code: str, detail: str, errors: Mapping[str, list[str]] | None = None, **headers: str
) -> Response:
    """Return the answer for something that went wrong. ``code`` is for programs, ``detail`` for people."""
    body: dict[str, Any] = {
        "type": TYPE + code.lower(),
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "errors": errors or {},
    }
    response = Response(body, status, headers={name.replace("_", "-"): value for name, value in headers.items()})
    setattr(response, "is_problem", True)  # noqa: B010
    return response


def answer(error: Exception, context: Mapping[str, Any]) -> Response:
    """Return the answer for an exception of an endpoint. What nobody foresaw is logged and answered 500."""
    set_rollback()
    if isinstance(error, Refused):
        return problem(HTTPStatus.CONFLICT, error.code, error.message)
    if isinstance(error, django.core.exceptions.ValidationError):
        return _invalid(by_field(error, getattr(context.get("view"), "renamed", {})))
    if isinstance(error, exceptions.ValidationError):
        return _invalid(flat(error.detail))
    if isinstance(error, ObjectDoesNotExist | Http404):
        return problem(HTTPStatus.NOT_FOUND, "NOT_FOUND", _("There is no such thing, or it is not for you."))
    if isinstance(error, django.core.exceptions.PermissionDenied):
        error = exceptions.PermissionDenied(*error.args)
    if isinstance(error, exceptions.APIException):
        return _of_the_framework(error)
    if isinstance(error, ProtectedError):
        kinds = sorted({str(row._meta.verbose_name_plural) for row in error.protected_objects})
        told = _("It is used: %s point to it.") % ", ".join(kinds)
        return problem(HTTPStatus.CONFLICT, "IN_USE", told)
    if isinstance(error, IntegrityError) and getattr(error.__cause__, "sqlstate", "") == "23505":
        told = _("Another request was first with the same name: look again, then decide.")
        return problem(HTTPStatus.CONFLICT, "DUPLICATE", told)
    return _unforeseen(error, context)


def _invalid(errors: dict[str, list[str]]) -> Response:
    count = len(errors)
    detail = ngettext("%d field is at fault.", "%d fields are at fault.", count)
    return problem(HTTPStatus.BAD_REQUEST, "INVALID", detail % count, errors)


def _of_the_framework(error: exceptions.APIException) -> Response:
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW_Authenticate"] = error.auth_header
    if getattr(error, "wait", None):
        headers["Retry_After"] = str(int(error.wait))
    code = error.get_codes()
    return problem(error.status_code, str(code).upper(), str(error.detail), None, **headers)


def _unforeseen(error: Exception, context: Mapping[str, Any]) -> Response:
    request: Any = context.get("request")
    view = context.get("view")
    got_request_exception.send(sender=type(view), request=getattr(request, "_request", request))
    log.error("%s %s failed", getattr(request, "method", ""), getattr(request, "path", ""), exc_info=error)
    if isinstance(error, OperationalError):
        told = _("The database cannot answer now: try again in a moment.")
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", told, Retry_After="5")
    told = str(error) if settings.DEBUG else _("This is our fault, not yours. It is in the log.")
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "ERROR", told)


def by_field(error: django.core.exceptions.ValidationError, renamed: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the faults of a model or an action by the names that the interface has for their fields."""
    if not hasattr(error, "error_dict"):
        return {BODY: list(error.messages)}
    found: dict[str, list[str]] = {}
    for name, told in error.message_dict.items():
        head, dot, tail = name.partition(".")
        name = BODY if name == NON_FIELD_ERRORS else renamed.get(head, head) + dot + tail
        found.setdefault(name.replace(NON_FIELD_ERRORS, BODY), []).extend(told)
    return found


def flat(detail: Any, path: str = "") -> dict[str, list[str]]:
    """Return the faults that a serializer found, nested as its fields are, as messages by path: ``hours[0].from``."""
    found: dict[str, list[str]] = {}
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            if name == BODY:
                found |= flat(inner, path)
            else:
                place = f"[{name}]" if isinstance(name, int) else f".{name}" if path else str(name)
                found |= flat(inner, path + place)
    elif isinstance(detail, list) and any(isinstance(inner, Mapping | list) for inner in detail):
        for index, inner in enumerate(detail):
            if inner:
                found |= flat(inner, f"{path}[{index}]")
    else:
        told = detail if isinstance(detail, list) else [detail]
        found[path or BODY] = [str(message) for message in told]
    return found


def as_http(response: Response) -> HttpResponse:
    """Write a problem outside of a view of the framework."""
    body = JSONRenderer().render(response.data)
    return HttpResponse(body, status=response.status_code, content_type=CONTENT_TYPE)


def not_found(request: HttpRequest, path: str = "") -> HttpResponse:
    """Answer an address of the interface that does not exist."""
    told = _("There is nothing at %s. The description of the interface is at /api/docs.") % request.path
    return as_http(problem(HTTPStatus.NOT_FOUND, "NOT_FOUND", told))
