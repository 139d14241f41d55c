"""The event socket protocol of FreeSWITCH, without I/O: bytes in, frames out, and back.

A frame is a block of ``Name: value`` lines, a blank line, and as many bytes of body as ``Content-Length`` says. An
event travels in the body of a frame: either as a second such block whose values are URL-encoded, with a body of its
own (event-plain), or as one JSON object whose ``_body`` is the event's body (event-json).

Both directions are here: ``Decoder`` and ``encode_command`` for a client, ``CommandDecoder`` and the other encoders
for what stands in for a switch. They were written from ``mod_event_socket.c`` and the bytes of a real switch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote

from dialer.esl.errors import ProtocolError

AUTH_REQUEST = "auth/request"
COMMAND_REPLY = "command/reply"
API_RESPONSE = "api/response"
DISCONNECT_NOTICE = "text/disconnect-notice"
RUDE_REJECTION = "text/rude-rejection"
EVENT_PLAIN = "text/event-plain"
EVENT_JSON = "text/event-json"

MAX_HEAD = 64 * 1024
"""Bytes of the header block of a frame or of a command."""
MAX_BODY = 64 * 1024 * 1024
"""Bytes of a body; a list of all channels of a large switch is the longest that comes."""
MAX_COMMAND = 1024 * 1024
"""Bytes of a command's head; the switch cuts one at 10 MB and reads its rest as the next command."""

GOODBYE = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
REJECTION = "Access Denied, go away.\n"

_UNDEFINED = "_undef_"
"""What event-plain says for an empty value."""


@dataclass(frozen=True, slots=True)
class Message:
    """A frame that is not an event: a request to log in, a reply, a notice. Header values are as they came."""

    headers: Mapping[str, str]
    body: str = ""

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "")

    @property
    def reply_text(self) -> str:
        """The one line of a command's reply, ``+OK …`` or ``-ERR …``."""
        return self.headers.get("Reply-Text", "")


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the switch, whichever format carried it. ``Content-Length`` is not among its headers."""

    headers: Mapping[str, str]
    body: str = ""

    @property
    def name(self) -> str:
        return self.headers.get("Event-Name", "")

    @property
    def subclass(self) -> str:
        """The second name of a CUSTOM event, for example ``sofia::register``."""
        return self.headers.get("Event-Subclass", "")

    def get(self, header: str, default: str = "") -> str:
        return self.headers.get(header, default)


Frame: TypeAlias = Message | Event


class AnyCase(Mapping[str, str]):
    """Headers that are found whatever the case of their names, as in the switch, and keep them as they were written."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs: dict[str, tuple[str, str]] = {}
        for name, value in pairs:
            self._pairs.setdefault(name.lower(), (name, value))

    def __getitem__(self, name: str) -> str:
        return self._pairs[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return repr(dict(self))


@dataclass(frozen=True, slots=True)
class Command:
    """What a client asks of a switch."""

    line: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


class _Blocks:
    """Cut a stream into header blocks and bodies, however its chunks fall, in time linear in its length."""

    def __init__(self, separator: bytes, max_head: int, max_body: int) -> None:
        self._separator = re.compile(separator)
        self._max_head = max_head
        self._max_body = max_body
        self._buffer = bytearray()
        self._searched = 0
        self._head: tuple[str, int, int] | None = None
        """Text of the head, where the body begins, where it ends."""

    def add(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> tuple[str, bytes] | None:
        """Return the next head and body, or ``None`` until more bytes have come."""
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        head, start, end = self._head
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[start:end])
        del self._buffer[:end]
        self._head, self._searched = None, 0
        return head, body

    def _read_head(self) -> bool:
        if self._searched == 0:
            blank = len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))
            del self._buffer[:blank]
        match = self._separator.search(self._buffer, self._searched)
        if (match.start() if match else len(self._buffer)) > self._max_head:
            raise ProtocolError(f"A header block is longer than {self._max_head} bytes.")
        if match is None:
            self._searched = max(0, len(self._buffer) - 3)
            return False
        head = self._buffer[: match.start()].decode("utf-8", "replace")
        length = _content_length(head)
        if length > self._max_body:
            raise ProtocolError(f"Content-Length {length} is over {self._max_body} bytes.")
        self._head = head, match.end(), match.end() + length
        return True


def _content_length(head: str) -> int:
    """Read the length of the body that a head announces; two that differ are a fault, not a choice."""
    found = {value.strip() for value in re.findall(r"(?im)^content-length:(.*)$", head)}
    if not found:
        return 0
    if len(found) > 1 or not re.fullmatch(r"[0-9]{1,12}", text := found.pop()):
        raise ProtocolError("Content-Length is not one whole number.")
    return int(text)


def _parse_headers(lines: Iterable[str]) -> dict[str, str]:
    """Split lines at the first colon. The first of two equal names wins, as in the switch's own look-up."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise ProtocolError(f"“{line[:80]}” is not a header.")
        headers.setdefault(name, value.strip(" "))
    return headers


class Decoder:
    """Turn what a switch sends into frames, in order.

    ``feed`` returns every frame that is complete. A fault raises ``ProtocolError``, after the frames before it have
    been returned by the call that met it; every later call raises it again.
    """

    def __init__(self, max_head: int = MAX_HEAD, max_body: int = MAX_BODY) -> None:
        self._blocks = _Blocks(rb"\n\n", max_head, max_body)
        self._fault: ProtocolError | None = None

    def feed(self, data: bytes) -> list[Frame]:
        if self._fault:
            raise self._fault
        self._blocks.add(data)
        frames: list[Frame] = []
        try:
            while block := self._blocks.next():
                frames.append(frame(_parse_headers(block[0].split("\n")), block[1]))
        except ProtocolError as fault:
            self._fault = fault
            if not frames:
                raise
        return frames


def frame(headers: Mapping[str, str], body: bytes) -> Frame:
    """Return what a header block and its body mean; ``ProtocolError`` when they mean nothing."""
    match headers.get("Content-Type"):
        case None:
            raise ProtocolError("A frame came without Content-Type.")
        case "text/event-plain":
            return _parse_event_plain(body)
        case "text/event-json":
            return _parse_event_json(body)
        case _:
            return Message(headers, body.decode("utf-8", "replace"))


def _parse_event_plain(data: bytes) -> Event:
    # Values are decoded only after the block is cut into headers, so that an encoded newline forges none.
    head, _, rest = data.partition(b"\n\n")
    lines = head.decode("utf-8", "replace").rstrip("\n").split("\n")
    raw = _parse_headers(line for line in lines if line and not line.lower().startswith("content-length:"))
    length = _content_length(lines[-1])  # the body's own; an earlier one is a header that somebody put on the event
    if len(rest) < length:
        raise ProtocolError(f"An event announces a body of {length} bytes and brings {len(rest)}.")
    headers = {name: _url_decode(value) for name, value in raw.items()}
    return Event(headers, rest[:length].decode("utf-8", "replace"))


def _url_decode(value: str) -> str:
    if value == _UNDEFINED:
        return ""
    return unquote(value) if "%" in value else value


def _parse_event_json(data: bytes) -> Event:
    try:
        pairs = json.loads(data.decode("utf-8", "replace"), strict=False, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"An event is not JSON: {error}.") from None
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise ProtocolError("An event is not a JSON object.")
    headers: dict[str, str] = {}
    for name, value in pairs:
        headers.setdefault(name, _json_text(value))
    headers.pop("Content-Length", None)
    return Event(headers, headers.pop("_body", ""))


def _json_text(value: object) -> str:
    """Write a list as the switch's own text for it; all other values are text already."""
    if isinstance(value, list):
        return "ARRAY::" + "|:".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


class CommandDecoder:
    """Turn what a client sends into commands as the switch reads them: CR LF ends a line too, blank ones do nothing."""

    def __init__(self, max_head: int = MAX_COMMAND, max_body: int = MAX_BODY) -> None:
        self._blocks = _Blocks(rb"\r?\n\r?\n", max_head, max_body)

    def feed(self, data: bytes) -> list[Command]:
        """Return every command that is complete; ``ProtocolError`` on one that is over the limits."""
        self._blocks.add(data)
        commands = []
        while block := self._blocks.next():
            line, *rest = re.split(r"\r?\n", block[0])
            parts = (header.partition(":") for header in rest)
            # The switch ignores a line without a colon.
            headers = AnyCase((name, value.lstrip(" ")) for name, colon, value in parts if colon)
            commands.append(Command(line, headers, block[1].decode("utf-8", "replace")))
        return commands


# --- encoding -----------------------------------------------------------------------------------------------------


def encode_command(line: str, headers: Mapping[str, str] | None = None, body: str = "") -> bytes:
    """Write one command. ``ValueError`` on anything that the switch could read as another command or header."""
    _refuse_control(line, "The command")
    if not line.strip():
        raise ValueError("The command is empty.")
    lowered = line.lower()
    if "mod_event_socket" in lowered and ("reload" in lowered or "unload" in lowered):
        # Wherever both words stand in a line, the switch reloads its event socket instead of doing what the line says.
        raise ValueError("The command would make the switch reload its event socket.")
    lines = [line]
    for name, value in (headers or {}).items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) or name.lower() == "content-length":
            raise ValueError(f"“{name}” is not a name for a header.")
        _refuse_control(value, f"The header {name}")
        lines.append(f"{name}: {value}")
    data = body.encode()
    if b"\0" in data:
        raise ValueError("The body holds a NUL.")
    if data:
        lines.append(f"content-length: {len(data)}")
    head = "\n".join(lines).encode()
    if len(head) > MAX_COMMAND:
        raise ValueError(f"The command is longer than {MAX_COMMAND} bytes.")
    return head + b"\n\n" + data


def _refuse_control(text: str, what: str) -> None:
    if re.search(r"[\r\n\0]", text):
        raise ValueError(f"{what} holds a line break or a NUL.")


def encode_auth_request() -> bytes:
    """Write the greeting of a switch."""
    return b"Content-Type: auth/request\n\n"


def encode_reply(text: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Write the reply to a command: ``text`` is its ``+OK …`` or ``-ERR …``."""
    return _head({"Content-Type": COMMAND_REPLY, "Reply-Text": text, **(headers or {})})


def encode_api_response(body: str) -> bytes:
    """Write the answer to ``api``; the switch never sends an empty one."""
    return _with_body({"Content-Type": API_RESPONSE}, body or "-ERR no reply\n")


def encode_disconnect_notice(text: str = GOODBYE) -> bytes:
    """Write the last frame of a connection."""
    return _with_body({"Content-Type": DISCONNECT_NOTICE}, text)


def encode_rude_rejection() -> bytes:
    """Write the only frame that an address outside the access list gets."""
    return _with_body({"Content-Type": RUDE_REJECTION}, REJECTION)


def encode_event_plain(event: Event) -> bytes:
    """Write an event for those who subscribed to ``plain``."""
    block = "".join(f"{name}: {_url_encode(value) or _UNDEFINED}\n" for name, value in event.headers.items())
    if event.body:
        block += f"Content-Length: {len(event.body.encode())}\n"
    return _event_frame(EVENT_PLAIN, f"{block}\n{event.body}".encode())


def encode_event_json(event: Event) -> bytes:
    """Write an event for those who subscribed to ``json``."""
    headers = dict(event.headers)
    if event.body:
        headers |= {"Content-Length": str(len(event.body.encode())), "_body": event.body}
    return _event_frame(EVENT_JSON, json.dumps(headers, ensure_ascii=False, separators=(",", ":")).encode())


_URL_SAFE = re.compile(r"[A-Za-z0-9!$'()*,\-./_~]*")
_URL_UNSAFE = re.compile(rb"%(?![0-9A-F]{2})|[^%A-Za-z0-9!$'()*,\-./_~]")
"""The switch leaves ``%`` with two hex digits as it is: event-plain does not tell ``%20`` from a space."""


def _url_encode(value: str) -> str:
    if _URL_SAFE.fullmatch(value):  # most are
        return value
    return _URL_UNSAFE.sub(lambda match: b"%%%02X" % ord(match[0]), value.encode()).decode("ascii")


def _event_frame(content_type: str, data: bytes) -> bytes:
    return f"Content-Length: {len(data)}\nContent-Type: {content_type}\n\n".encode() + data


def _with_body(headers: Mapping[str, str], body: str) -> bytes:
    data = body.encode()
    return _head({**headers, "Content-Length": str(len(data))}) + data


def _head(headers: Mapping[str, str]) -> bytes:
    return ("".join(f"{name}: {value}\n" for name, value in headers.items()) + "\n").encode()
