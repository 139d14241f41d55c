"""Lists, a page at a time: a cursor says after which row the next page begins, so that the last costs as the first."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers

from dialer.api.fields import LARGEST_ID, Query

MOST = 1000
"""Rows of a page."""


class Order(NamedTuple):
    """How a list is sorted: by a column and then by id, or by id alone. An index begins with the same columns."""

    column: str | None = None
    descending: bool = False
    whole: bool = False
    """The column has whole numbers; otherwise it has instants."""


class PageQuery(Query):
    """Which page of a list."""

    limit = serializers.IntegerField(
        min_value=1, max_value=MOST, default=100, help_text="How many rows the page has at most."
    )
    cursor = serializers.CharField(
        required=False, max_length=400, help_text="Where the page begins: `next` of the page before has it."
    )


class Page(NamedTuple):
    """Rows, and the cursor of the page after them; ``None`` when these were the last."""

    rows: list[Any]
    cursor: str | None


def page(rows: QuerySet[Any], *, sort: str, order: Order, limit: int, cursor: str | None) -> Page:
    """Return one page of a list. One query, which reads no more rows than it returns, and one.

    Raises ``ValidationError`` for a cursor that is not of this list.
    """
    sign = "-" if order.descending else ""
    after = ("lt", "lte") if order.descending else ("gt", "gte")
    if cursor is not None:
        column, pk = _read(cursor, sort, order)
        if order.column is None:
            rows = rows.filter(**{f"pk__{after[0]}": pk})
        else:
            # The first condition is what the index is entered with.
            rows = rows.filter(
                Q(**{f"{order.column}__{after[1]}": column}),
                Q(**{f"{order.column}__{after[0]}": column}) | Q(**{order.column: column, f"pk__{after[0]}": pk}),
            )
    elif order.column is not None:
        rows = rows.filter(**{f"{order.column}__isnull": False})
    columns = [f"{sign}pk"] if order.column is None else [f"{sign}{order.column}", f"{sign}pk"]
    found = list(rows.order_by(*columns)[: limit + 1])
    if len(found) <= limit:
        return Page(found, None)
    last = found[limit - 1]
    value = getattr(last, order.column) if order.column else None
    return Page(found[:limit], _write(sort, value, last.pk))


def _write(sort: str, value: datetime | int | None, pk: int) -> str:
    said = [sort, value.isoformat() if isinstance(value, datetime) else value, pk]
    return base64.urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).decode().rstrip("=")


def _read(cursor: str, sort: str, order: Order) -> tuple[Any, int]:
    try:
        said = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
        known, value, pk = said
        if known != sort or type(pk) is not int or not 0 < pk <= LARGEST_ID:
            raise ValueError
        if order.column is not None and order.whole:
            if type(value) is not int or abs(value) > LARGEST_ID:
                raise ValueError
        elif order.column is not None:
            value = datetime.fromisoformat(value)
            if value.tzinfo is None:
                raise ValueError
        elif value is not None:
            raise ValueError
    except (ValueError, TypeError, binascii.Error, RecursionError):
        told = _("This is no cursor of this list in this order: take it from “next” of the page before.")
        raise serializers.ValidationError({"cursor": [told]}) from None
    return value, pk


def next_address(request: Any, cursor: str | None) -> str | None:
    """Return the address of the page that a cursor begins; ``None`` for none. The host is left to the client."""
    if cursor is None:
        return None
    given = {name: value for name, value in request.query_params.items() if name != "cursor"}
    return f"{request.path}?{urlencode({**given, 'cursor': cursor})}"
