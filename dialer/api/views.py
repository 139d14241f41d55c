"""What every endpoint is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound
from rest_framework.response import Response
from rest_framework.views import APIView

from dialer.api import errors, idempotency, paging, parsers
from dialer.api.authentication import CHALLENGE
from dialer.api.fields import LARGEST_ID

M = TypeVar("M", bound=Model)


class Endpoint(APIView):
    """An address of the interface. ``needs`` says for each method which rights open it, any one of them."""

    needs: ClassVar[Mapping[str, tuple[str, ...] | None]] = {}
    most_bytes: ClassVar[int] = parsers.MOST_BYTES
    secret: ClassVar[tuple[str, ...]] = ()
    """Fields of its answer that must not be kept."""
    renamed: ClassVar[Mapping[str, str]] = {}
    """Fields of models that the interface calls otherwise."""
    http_method_names: ClassVar = ["get", "post", "put", "patch", "delete", "head"]

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Let in who may, and have a POST with an ``Idempotency-Key`` act once."""
        super().initial(request, *args, **kwargs)
        if request.method == "POST" and idempotency.HEADER in request.headers and request.user.is_authenticated:
            setattr(self, "post", partial(idempotency.once, self.post, self.secret))  # noqa: B010

    def get_authenticate_header(self, request: Any) -> str:
        """Return the challenge of a 401, at the log-in too."""
        return CHALLENGE

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Name the type of a problem, and let nobody keep an answer."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if getattr(response, "is_problem", False):
            response.content_type = errors.CONTENT_TYPE
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    def read(self, body: type[Any], data: Any = None, *, partly: bool = False, instance: Any = None) -> dict[str, Any]:
        """Return what the body says, by the names of the model. Raises ``ValidationError`` with every fault."""
        given = self.request.data if data is None else data
        reader = body(instance, data=given, partial=partly, context={"request": self.request})
        reader.is_valid(raise_exception=True)
        return dict(reader.validated_data)

    def ask(self, query: type[Any]) -> dict[str, Any]:
        """Return the parameters of the address. Raises ``ValidationError``: for an unknown one too."""
        twice = [name for name, values in self.request.query_params.lists() if len(values) > 1]
        if twice:
            raise errors.exceptions.ValidationError({name: [_("This is given twice.")] for name in twice})
        return self.read(query, self.request.query_params.dict())

    def listed(
        self, rows: QuerySet[Any], show: Callable[[list[Any]], Any], asked: Mapping[str, Any],
        orders: Mapping[str, paging.Order],
    ) -> Response:  # fmt: skip
        """Answer with a page of a list."""
        sort = asked["sort"]
        found = paging.page(
            rows, sort=sort, order=orders[sort], limit=asked["limit"], cursor=asked.get("cursor")
        )  # fmt: skip
        address = paging.next_address(self.request, found.cursor)
        return Response({"results": show(found.rows), "next": address, "cursor": found.cursor})


def one(rows: QuerySet[M], given: str, what: str = "") -> M:
    """Return the row with an id as an address has it. Raises ``NotFound``, for what is no id of ours too."""
    if not re.fullmatch(r"[0-9]{1,19}", given, re.ASCII) or int(given) > LARGEST_ID:
        told = _("There is no %(what)s “%(id)s”: ids are whole numbers.")
        raise NotFound(told % {"what": what or rows.model._meta.verbose_name, "id": given[:80]})
    found = rows.filter(pk=int(given)).first()
    if found is None:
        told = _("There is no %(what)s %(id)s.")
        raise NotFound(told % {"what": what or rows.model._meta.verbose_name, "id": given})
    return found
