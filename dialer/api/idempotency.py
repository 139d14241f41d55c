"""``Idempotency-Key``: a POST that is sent twice with the same key acts once, whatever became of the first answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

from django.db import OperationalError, connection, transaction
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from dialer import clock
from dialer.api.models import StoredAnswer
from dialer.errors import Refused

HEADER = "Idempotency-Key"
KEPT_FOR = timedelta(hours=24)
PATIENCE = "10s"
"""How long a repetition waits for the first one to be done."""


def once(act: Callable[..., Response], secret: Collection[str], request: Any, *args: Any, **kwargs: Any) -> Response:
    """Act, and keep the answer with what was done, in one transaction; or return the answer that was kept.

    Fields that are ``secret`` are kept as null: who reads the database must not learn them.
    Of two requests side by side the second waits for the first: to insert the row is to hold it. A refused request
    (an exception) leaves nothing behind, and the next one with the key begins anew. Raises ``Refused``.
    """
    key = request.headers[HEADER]
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise ValidationError({HEADER: [_("1 to 255 printable ASCII characters.")]})
    digest = _digest(request)
    now = clock.now()
    StoredAnswer.objects.filter(user=request.user.pk, key=key, created_at__lt=now - KEPT_FOR).delete()
    with transaction.atomic():
        if not _take(request.user.pk, key, digest):
            return _kept(request.user.pk, key, digest)
        response = act(request, *args, **kwargs)
        kept = response.data
        if secret:
            kept = {name: None if name in secret else value for name, value in kept.items()}
        StoredAnswer.objects.filter(user=request.user.pk, key=key).update(
            status=response.status_code, body=JSONRenderer().render(kept).decode()
        )
    return response


def _digest(request: Any) -> str:
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":"), default=_digest_of_file)
    said = f"{request.method} {request.get_full_path()}\n{body}"
    return hashlib.sha256(said.encode()).hexdigest()


def _digest_of_file(file: Any) -> str:
    digest = hashlib.sha256()
    for piece in file.chunks():
        digest.update(piece)
    file.seek(0)
    return digest.hexdigest()


def _take(user: int, key: str, digest: str) -> bool:
    """Insert the row of a key; ``False`` when it is there already."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
            cursor.execute(
                "INSERT INTO access_storedanswer (user_id, key, digest, body, created_at)"
                " VALUES (%s, %s, %s, '', %s) ON CONFLICT DO NOTHING",
                [user, key, digest, clock.now()],
            )
            taken = cursor.rowcount == 1
            cursor.execute("SET LOCAL lock_timeout = DEFAULT")
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != "55P03":
            raise
        raise Refused("IN_PROGRESS", _("The first request with this key is not done yet: ask again.")) from None
    return taken


def _kept(user: int, key: str, digest: str) -> Response:
    found = StoredAnswer.objects.get(user=user, key=key)
    if found.digest != digest:
        raise Refused("KEY_REUSED", _("This Idempotency-Key was used for another request: take a new one."))
    return Response(
        json.loads(found.body) if found.body else None, found.status, headers={"Idempotent-Replayed": "true"}
    )


def forget_old() -> int:
    """Delete the answers that are kept no longer; return how many."""
    count, _rows = StoredAnswer.objects.filter(created_at__lt=clock.now() - KEPT_FOR).delete()
    return count
