"""Receivers of webhooks on this machine, who subscribes, and what workers do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dialer.webhooks import actions
from dialer.webhooks.models import EventType, Subscription


@dataclass(frozen=True)
class Got:
    """A request as a receiver got it."""

    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found


@dataclass
class Receiver:
    """A web server on a port of this machine; ``answer`` gets the handler and the body, and answers."""

    answer: Callable[[BaseHTTPRequestHandler, Got], None]
    got: list[Got] = field(default_factory=list)
    url: str = ""

    @property
    def ids(self) -> list[str]:
        return [one.body["id"] for one in self.got]


def with_status(status: int, body: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler, Got], None]:
    """Return what answers with a status."""

    def answer(handler: BaseHTTPRequestHandler, got: Got) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@contextmanager
def listening() -> Iterator[Receiver]:
    """Give a receiver that answers 204 until it is told otherwise."""
    him = Receiver(with_status(204))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got = Got(dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])))
            him.got.append(got)
            him.answer(self, got)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        him.url = f"http://127.0.0.1:{server.server_address[1]}/calls?from=dialer"
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield him
        server.shutdown()
        thread.join()


def subscribe(url: str = "", **fields: Any) -> Subscription:
    """Subscribe to every type; an address of this machine is allowed."""
    return actions.save_subscription(
        None, **{"name": f"CRM {url}", "types": EventType.values, "url": url, "allow_private": bool(url), **fields}
    )


def deliver() -> int:
    """Do what a sweep and its workers do, once; return how many subscriptions had something to send."""
    actions.publish()
    taken = actions.take_due()
    for one in taken:
        actions.deliver(one)
    return len(taken)
