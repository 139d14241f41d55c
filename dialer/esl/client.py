"""A blocking connection to the event socket of one switch, for a worker or for a listener.

One thread uses a connection at a time. Time-outs are real seconds. After any failure the connection is closed: a reply
that came late would be taken for the reply to the next command. Nothing is ever sent a second time.
"""

from __future__ import annotations

import math
import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Literal, Self
from uuid import UUID

from dialer.esl import wire
from dialer.esl.errors import (
    AuthenticationFailed,
    CommandRefused,
    ConnectionFailed,
    Disconnected,
    EslError,
    ProtocolError,
    Timeout,
)
from dialer.esl.wire import Event, Frame, Message

WINDOW = 64
"""Commands that may be unanswered at once: what is in doubt after a failure stays few."""
RECEIVE_SIZE = 256 * 1024

_REPLIES = {wire.AUTH_REQUEST, wire.RUDE_REJECTION, wire.COMMAND_REPLY, wire.API_RESPONSE}


class Outcome(Enum):
    """What is known of a command after it was handed to a connection."""

    NOT_SENT = "not sent"
    """None of its bytes left: it may be sent again."""
    UNCONFIRMED = "unconfirmed"
    """Bytes may have left and no reply came: ask the switch, never send it again."""
    ACCEPTED = "accepted"
    """The switch took it."""
    REFUSED = "refused"
    """The switch answered ``-ERR``: it did nothing."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcome of one command, and the switch's words, or why there are none."""

    outcome: Outcome
    text: str


class Connection:
    """One log-in to the event socket at ``host:port``.

    ``connect_timeout`` bounds the whole log-in, ``timeout`` the wait for each reply. Events that arrive while a reply
    is awaited are kept, in order, for ``receive``.
    """

    def __init__(
        self, host: str, port: int, password: str, *, connect_timeout: float = 5.0, timeout: float = 5.0
    ) -> None:
        self.host = host
        self.port = port
        self._password = password
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._decoder = wire.Decoder()
        self._events: deque[Event] = deque()
        self._replies: deque[Message] = deque()
        self._farewell = ""
        self.core_uuid: UUID | None = None
        """The run of the switch that this connection talks to; it changes with each restart."""

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.exit()

    @property
    def connected(self) -> bool:
        """Whether the connection is open, as far as its last use told."""
        return self._socket is not None

    def connect(self) -> None:
        """Connect and log in, and learn the switch's Core-UUID.

        Raises ``ConnectionFailed``, ``AuthenticationFailed`` or another ``EslError``; then nothing is left open.
        """
        self.close()
        self._decoder, self._farewell = wire.Decoder(), ""
        self._events.clear()
        self._replies.clear()
        deadline = time.monotonic() + self._connect_timeout
        try:
            self._socket = socket.create_connection((self.host, self.port), self._connect_timeout)
        except OSError as error:
            raise ConnectionFailed(f"{self.host}:{self.port} does not answer: {error}.") from error
        try:
            self._socket.setblocking(False)
            self._tune(self._socket)
            self._log_in(deadline)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _tune(sock: socket.socket) -> None:
        """Send small commands at once, and notice within half a minute that the other machine is gone."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, seconds in {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}.items():
            if hasattr(socket, name):  # Linux has all three
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)

    def _log_in(self, deadline: float) -> None:
        try:
            greeting = self._next_reply(deadline)
        except Disconnected as error:
            raise ConnectionFailed(f"{self.host}:{self.port} closed the connection: {error}") from error
        if greeting.content_type == wire.RUDE_REJECTION:
            raise ConnectionFailed(f"The access list of {self.host}:{self.port} does not admit us.")
        if greeting.content_type != wire.AUTH_REQUEST:
            raise ProtocolError(f"{self.host}:{self.port} begins with {greeting.content_type}: not an event socket?")
        answer = self._ask(wire.encode_command(f"auth {self._password}"), deadline)
        if not answer.reply_text.startswith("+OK"):
            raise AuthenticationFailed(f"{self.host}:{self.port} refused the password: {answer.reply_text}")
        self._take_over()
        # Set at the start of every switch, from 1.6 to 1.11 at least, and as the Core-UUID header of its events.
        core = self._ask(wire.encode_command("api global_getvar core_uuid"), deadline).body
        try:
            self.core_uuid = UUID(core.strip())
        except ValueError:
            raise ProtocolError(f"{self.host}:{self.port} names “{core[:80]}” as its core_uuid.") from None

    def _take_over(self) -> None:
        """Begin to use a connection that has been admitted; nothing is under way on it."""

    def close(self) -> None:
        """Close at once. Events that have arrived can still be received."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def exit(self) -> None:
        """Take leave of the switch, and close. Never fails."""
        if self._socket is not None:
            try:
                self._ask(wire.encode_command("exit"), time.monotonic() + min(1.0, self._timeout))
            except EslError:
                pass  # it is gone already
            finally:
                self.close()

    def fileno(self) -> int:
        """Return the descriptor, to wait on it together with others once ``receive(0)`` has returned ``None``."""
        return self._open_socket().fileno()

    # --- commands ---------------------------------------------------------------------------------------------

    def command(self, line: str, headers: Mapping[str, str] | None = None, body: str = "") -> Message:
        """Send one command and return its reply, whatever it says. Raises ``Timeout``, ``Disconnected``, …"""
        return self._ask(wire.encode_command(line, headers, body), time.monotonic() + self._timeout)

    def api(self, command: str) -> str:
        """Run an API command and return what it prints; ``-ERR …`` and ``-USAGE: …`` are answers like any other."""
        return self.api_many([command])[0]

    def api_many(self, commands: Iterable[str]) -> list[str]:
        """Run API commands pipelined and return what each prints, in order. Raises when any answer fails to come."""
        messages, _, fault = self._converse([wire.encode_command(f"api {command}") for command in commands])
        if fault:
            raise fault
        return [message.body or message.reply_text for message in messages]

    def bgapi(self, command: str, job_uuid: UUID) -> Reply:
        """Run an API command in the background; its BACKGROUND_JOB will carry ``job_uuid``."""
        return self.bgapi_many([(command, job_uuid)])[0]

    def bgapi_many(self, commands: Iterable[tuple[str, UUID]], *, not_after: float = math.inf) -> list[Reply]:
        """Run API commands in the background, pipelined; return one reply for each, in order.

        No command is begun after the instant ``not_after`` of ``time.monotonic()``. Failures are outcomes, never an
        ``EslError``. ``ValueError``, before anything is sent, on a command that could be read as two.
        """
        jobs = list(commands)
        payloads = [wire.encode_command(f"bgapi {command}", {"Job-UUID": str(job)}) for command, job in jobs]
        messages, begun, fault = self._converse(payloads, not_after)
        replies: list[Reply] = []
        for message, (_, job) in zip(messages, jobs, strict=False):
            accepted = message.reply_text.startswith("+OK")
            if accepted and message.headers.get("Job-UUID", "").lower() != str(job):
                fault = ProtocolError(f"The reply to job {job} is “{message.reply_text}”: replies are out of step.")
                self.close()
                break
            replies.append(Reply(Outcome.ACCEPTED if accepted else Outcome.REFUSED, message.reply_text))
        why = str(fault or "Too late to be sent.")
        replies += [Reply(Outcome.UNCONFIRMED, why)] * (begun - len(replies))
        replies += [Reply(Outcome.NOT_SENT, why)] * (len(jobs) - len(replies))
        return replies

    # --- events -----------------------------------------------------------------------------------------------

    def subscribe(self, names: Iterable[str], format: Literal["plain", "json"] = "json") -> None:  # noqa: A002
        """Ask for events by name, those of CUSTOM by their subclass (``sofia::register``); adds to earlier ones."""
        self._require(f"event {format} {_event_names(names)}")

    def unsubscribe(self, names: Iterable[str]) -> None:
        """Ask for these events no more."""
        self._require(f"nixevent {_event_names(names)}")

    def unsubscribe_all(self) -> None:
        """Ask for no events any more; the switch drops those that it has not written yet."""
        self._require("noevents")

    def filter(self, header: str, value: str) -> None:
        """Let through only events with this header and value; several filters admit what any of them admits."""
        self._require(f"filter {header} {value}")

    def filter_delete(self, header: str, value: str = "") -> None:
        """Take a filter back; ``all`` takes back every one."""
        self._require(f"filter delete {header} {value}".rstrip())

    def receive(self, timeout: float | None = None) -> Event | None:
        """Return the next event, or ``None`` when none came within ``timeout`` seconds (``None``: wait for ever).

        Raises ``Disconnected`` once the connection has ended and every event that arrived has been returned.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not self._events:
            if self._replies:
                self.close()
                raise ProtocolError(f"A reply that nobody awaits: “{self._replies.popleft().reply_text}”.")
            if not self._wait(deadline):
                return None
            self._read()
        return self._events.popleft()

    def alive(self) -> bool:
        """Tell whether the switch has kept an idle connection open, reading what has arrived. Never waits."""
        if self._socket is None:
            return False
        try:
            while self._wait(0.0):
                self._read()
        except EslError:
            return False
        return not self._replies

    def _require(self, line: str) -> None:
        reply = self.command(line).reply_text
        if not reply.startswith("+OK"):
            raise CommandRefused(f"“{line}”: {reply}")

    # --- bytes ------------------------------------------------------------------------------------------------

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise Disconnected(self._farewell or "Not connected.")
        return self._socket

    def _ask(self, payload: bytes, deadline: float) -> Message:
        messages, _, fault = self._converse([payload], deadline=deadline)
        if fault:
            raise fault
        return messages[0]

    def _next_reply(self, deadline: float) -> Message:
        while not self._replies:
            if not self._wait(deadline):
                self.close()
                raise Timeout(f"No reply from {self.host}:{self.port} in time.")
            self._read()
        return self._replies.popleft()

    def _converse(
        self, payloads: Sequence[bytes], not_after: float = math.inf, deadline: float | None = None
    ) -> tuple[list[Message], int, EslError | None]:
        """Write commands and read their replies, both at once, so that full buffers never hold both sides up.

        Return the replies, the number of commands of which a byte may have left, and what went wrong. ``deadline``
        is for everything; without it each reply has ``timeout`` seconds from the one before.
        """
        replies: list[Message] = []
        begun = 0
        rest = memoryview(b"")
        fault: EslError | None = None
        wait_until = deadline if deadline is not None else time.monotonic() + self._timeout
        try:
            if not payloads:
                return replies, begun, None
            sock = self._open_socket()
            if self._replies:
                raise ProtocolError("A reply came before its command.")
            while True:
                more = fault is None and begun < len(payloads) and time.monotonic() < not_after
                if not rest and not more and len(replies) == begun:
                    break
                may_begin = more and begun - len(replies) < WINDOW
                if not self._wait(wait_until, write=bool(rest) or may_begin):
                    raise Timeout(f"No reply from {self.host}:{self.port} in time.")
                if rest or may_begin:
                    chunk = rest or memoryview(payloads[begun])
                    try:
                        written = sock.send(chunk)
                    except BlockingIOError:
                        written = 0
                    except OSError as error:
                        # No more can be written; replies to what was may still be waiting to be read.
                        fault, rest, written = Disconnected(f"The connection broke: {error}."), memoryview(b""), 0
                    if written:
                        begun += not rest
                        rest = chunk[written:]
                if self._wait(0.0):
                    self._read()
                while self._replies:
                    replies.append(self._replies.popleft())
                    if len(replies) > begun:
                        raise ProtocolError("A reply came before its command.")
                    if deadline is None:
                        wait_until = time.monotonic() + self._timeout
        except EslError as error:
            fault = fault or error
        if fault:
            self.close()
        return replies[:begun], begun, fault

    def _wait(self, deadline: float, *, write: bool = False) -> bool:
        """Wait until there is something to read (or room to write); tell whether there is."""
        poll = select.poll()
        poll.register(self._open_socket(), select.POLLIN | (select.POLLOUT if write else 0))
        left = deadline - time.monotonic()
        return bool(poll.poll(None if left == math.inf else max(0, math.ceil(left * 1000))))

    def _read(self) -> None:
        """Take in what has arrived, and sort it into events and replies."""
        try:
            data = self._open_socket().recv(RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._farewell = self._farewell or f"The connection broke: {error}."
            data = b""
        if not data:
            self.close()
            raise Disconnected(self._farewell or "The switch closed the connection.")
        try:
            frames = self._decoder.feed(data)
        except ProtocolError:
            self.close()
            raise
        for frame in frames:
            self._sort(frame)

    def _sort(self, frame: Frame) -> None:
        if isinstance(frame, Event):
            self._events.append(frame)
        elif frame.content_type == wire.DISCONNECT_NOTICE:
            self._farewell = frame.body.strip()
        elif frame.content_type in _REPLIES:
            self._replies.append(frame)


def _event_names(names: Iterable[str]) -> str:
    every = list(names)
    for name in every:
        if not name or any(char.isspace() for char in name):
            raise ValueError(f"“{name}” is no name of an event.")
    custom = [name for name in every if "::" in name]
    return " ".join([*(name for name in every if "::" not in name), *(["CUSTOM", *custom] if custom else [])])
