"""A limit on bodies, before they are read: the web server would keep any size on its disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from dialer.api import errors

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[..., Awaitable[None]]

MOST_BYTES = 32 * 1024 * 1024
"""Of any body that is sent to the interface; most endpoints take less."""
PATHS = ("/api/", "/login", "/logout")


class BodyLimit:
    """Answers 413 to a body that is too large, told beforehand or not, and reads no more of it."""

    def __init__(self, app: App, most: int = MOST_BYTES) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or not scope["path"].startswith(PATHS):
            await self.app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > self.most:
            await self._refuse(send)
            return
        size = 0
        refused = False

        async def counted() -> Any:
            nonlocal size, refused
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.most and not refused:
                refused = True
                await self._refuse(send)
            return {"type": "http.disconnect"} if refused else message

        async def unless_refused(message: Any) -> None:
            if not refused:
                await send(message)

        await self.app(scope, counted, unless_refused)

    async def _refuse(self, send: Send) -> None:
        error = errors.TooLarge(self.most)
        answer = errors.as_http(errors.problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TOO_LARGE", str(error.detail)))
        headers = [(b"content-type", errors.CONTENT_TYPE.encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})
