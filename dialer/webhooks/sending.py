"""Send one event to one address: signed, to an address that was checked, within a few seconds, following nothing."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

LIMIT = 10.0
"""Real seconds from the connection to the end of the answer."""
MOST_READ = 4096
"""Bytes of an answer that are read."""
MOST_TOLD = 300
"""Characters of an answer that are kept."""

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefused(Exception):
    """The target is where webhooks must not go."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a try: the status of the answer (``None``: there was none), and what is wrong (empty: nothing)."""

    status: int | None
    error: str
    milliseconds: int

    @property
    def ok(self) -> bool:
        return not self.error


def signature(key: bytes, event: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a delivery as Standard Webhooks has it: HMAC-SHA256 over ``id.timestamp.body``."""
    signed = hmac.new(key, f"{event}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(signed.digest()).decode()


def send(url: str, key: bytes, event: str, body: bytes, *, allow_private: bool) -> Result:
    """POST a body; success is a status from 200 to 299. Never raises for what the other side or the network does.

    To look a name up takes as long as the system's resolver lets it; what comes after takes ``LIMIT`` at most.
    """
    started = time.monotonic()
    status: int | None = None
    try:
        status, told = _post(url, key, event, body, allow_private=allow_private)
        error = "" if 200 <= status < 300 else told
    except AddressRefused as refusal:
        error = str(refusal)
    except (OSError, http.client.HTTPException, UnicodeError, ValueError) as failure:
        if time.monotonic() - started >= LIMIT:
            error = f"No answer within {LIMIT:g} seconds."
        else:
            error = f"{type(failure).__name__}: {failure}"[: MOST_TOLD * 2]
    return Result(status, error, round((time.monotonic() - started) * 1000))


def _post(url: str, key: bytes, event: str, body: bytes, *, allow_private: bool) -> tuple[int, str]:
    """Return the status and, if it is no success, what to tell of the answer."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not allow_private:
        raise AddressRefused("http is not allowed: use https.")
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = resolve(host, port, allow_private=allow_private)
    timestamp = int(time.time())
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "progressive-dialer",
        "Webhook-Id": event,
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": signature(key, event, timestamp, body),
        "Connection": "close",
    }
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with _connected(addresses, port, host if parts.scheme == "https" else None) as line:
        connection = http.client.HTTPConnection(host, port)
        # Connected already, to the address that was checked: the name is not looked up a second time.
        connection.sock = line
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        status = answer.status
        if 200 <= status < 300:
            return status, ""
        if 300 <= status < 400:
            return status, f"Answered {status}: redirects are not followed. Give the webhook its final address."
        # Of an answer that breaks off or never ends, the status counts.
        with contextlib.suppress(OSError, http.client.HTTPException):
            said = answer.read(MOST_READ).decode(errors="replace")
            readable = "".join(letter if letter.isprintable() else " " for letter in said).strip()
            return status, f"Answered {status}: {readable[:MOST_TOLD]}"
        return status, f"Answered {status}."


def resolve(host: str, port: int, *, allow_private: bool) -> list[Address]:
    """Return the addresses of a host. Raises ``AddressRefused`` if any of them must not be reached, ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    for address in addresses:
        if fault := _fault_of(address, allow_private=allow_private):
            raise AddressRefused(f"{host} is {address}, {fault}.")
    return addresses


def _fault_of(address: Address, *, allow_private: bool) -> str:
    inner = _inside(address)
    # Link-local is where clouds keep the credentials of a machine: nobody's receiver is there.
    if inner.is_multicast or inner.is_unspecified or inner.is_link_local:
        return "where no receiver can be"
    if not inner.is_global and not allow_private:
        return "inside a private network: an administrator must allow that"
    return ""


def _inside(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does, else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


@contextlib.contextmanager
def _connected(addresses: list[Address], port: int, tls_name: str | None) -> Iterator[socket.socket]:
    """Connect to the first address that takes it. After ``LIMIT`` whatever goes on over the line fails."""
    deadline = time.monotonic() + LIMIT
    plain = _first_of(addresses, port, deadline)
    # A time-out of the socket bounds each read, not all of them: who sends a byte a second would hold us for ever.
    with contextlib.closing(plain.dup()) as other_end:
        cut = threading.Timer(max(0.0, deadline - time.monotonic()), _shut, [other_end])
        cut.daemon = True
        cut.start()
        line = plain
        try:
            if tls_name is not None:
                line = ssl.create_default_context().wrap_socket(plain, server_hostname=tls_name)
            yield line
        finally:
            cut.cancel()
            cut.join()
            line.close()
            plain.close()


def _shut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _first_of(addresses: list[Address], port: int, deadline: float) -> socket.socket:
    failure: OSError = OSError("The name has no address.")
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            return socket.create_connection((str(address), port), timeout=left)
        except OSError as error:
            failure = error
    raise failure
