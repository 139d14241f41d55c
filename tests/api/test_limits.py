"""Bodies that are too large are refused before they are kept, whether their size is told or not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from dialer.api.limits import BodyLimit


async def _send(path: str, chunks: list[bytes], told: int | None) -> tuple[list[Any], list[bytes]]:
    """Send a body in chunks to a limit of ten bytes; return what was answered, and what the application read."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []
    read: list[bytes] = []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            read.append(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    headers = [] if told is None else [(b"content-length", str(told).encode())]
    await BodyLimit(app, most=10)({"type": "http", "path": path, "headers": headers}, receive, send)
    return sent, read


send = async_to_sync(_send)


@pytest.mark.parametrize(("chunks", "told", "kept"), [([b"x" * 11], 11, 0), ([b"x" * 6, b"x" * 6, b"x" * 6], None, 6)])
def test_too_much_is_refused_and_read_no_further(chunks: list[bytes], told: int | None, kept: int) -> None:
    sent, read = send("/api/v2/keys", chunks, told)
    assert [message.get("status") for message in sent] == [413, None]
    assert json.loads(sent[1]["body"])["code"] == "TOO_LARGE"
    assert sum(map(len, read)) == kept


@pytest.mark.parametrize(("path", "chunks", "told"), [("/api/v2/keys", [b"x" * 10], 10), ("/admin/", [b"x" * 99], 99)])
def test_what_is_within_the_limit_or_for_a_page_goes_through(path: str, chunks: list[bytes], told: int) -> None:
    sent, read = send(path, chunks, told)
    assert sent[0]["status"] == 200
    assert b"".join(read) == b"".join(chunks)
