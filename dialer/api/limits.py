"""A limit on bodies, before they are read: the web server would keep any size on its disk."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from dialer.api import errors

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[..., Awaitable[None]]

MOST_BYTES = 32 * 1024 * 1024
"""Of any body that is sent to the interface; most endpoints take less."""
UPLOADS = re.compile(r"/api/v2/(dialer/[^/]+|do-not-call)/uploads|/(campaigns/[0-9]+|do-not-call)/uploads/")
"""Where files are sent, by programs and by pages: as large as an upload may be."""
AROUND_A_FILE = 64 * 1024
"""What a form is larger than the file in it, at most."""
PATHS = ("/api/", "/login", "/logout")


class BodyLimit:
    """Answers 413 to a body that is too large, told beforehand or not, and reads no more of it."""

    def __init__(self, app: App, most: int = MOST_BYTES) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        uploads = scope["type"] == "http" and UPLOADS.fullmatch(scope["path"]) is not None
        if not uploads and (scope["type"] != "http" or not scope["path"].startswith(PATHS)):
            await self.app(scope, receive, send)
            return
        most = settings.UPLOAD_LIMIT_MB * 1_000_000 + AROUND_A_FILE if uploads else self.most
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > most:
            await self._refuse(send, uploads)
            return
        size = 0
        refused = False

        async def counted() -> Any:
            nonlocal size, refused
            message = await receive()
            size += len(message.get("body", b""))
            if size > most and not refused:
                refused = True
                await self._refuse(send, uploads)
            return {"type": "http.disconnect"} if refused else message

        async def unless_refused(message: Any) -> None:
            if not refused:
                await send(message)

        await self.app(scope, counted, unless_refused)

    async def _refuse(self, send: Send, uploads: bool) -> None:
        if uploads:
            told = _("The file is larger than %d MB, the limit. Divide it, or compress it as a zip.")
            told %= settings.UPLOAD_LIMIT_MB
        else:
            told = str(errors.TooLarge(self.most).detail)
        answer = errors.as_http(errors.problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TOO_LARGE", told))
        headers = [(b"content-type", errors.CONTENT_TYPE.encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})
