"""The switches that are configured, and lines to them: what the engine may ask a switch to do."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit
from uuid import UUID

from django.conf import settings

from dialer.esl.backends import connection_class
from dialer.esl.client import Connection, Outcome, Reply
from dialer.esl.errors import EslError
from dialer.switch import commands, events
from dialer.switch.commands import Originate
from dialer.switch.events import SwitchEvent
from dialer.switch.status import STATUS, Status, read_status

CONNECT_TIMEOUT = 3.0
"""Real seconds for a log-in."""
TIMEOUT = 5.0
"""Real seconds for a reply."""


@dataclass(frozen=True, slots=True)
class SwitchNode:
    """One configured switch."""

    host: str
    port: int
    password: str = field(repr=False)

    @property
    def name(self) -> str:
        """``host:port``, the key of the switch in the ledger."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def connect(self) -> Line:
        """Connect and log in; raises ``EslError``."""
        backend = connection_class(settings.ESL_BACKEND)
        connection = backend(self.host, self.port, self.password, connect_timeout=CONNECT_TIMEOUT, timeout=TIMEOUT)
        connection.connect()
        return Line(connection)


def parse_nodes(urls: str) -> list[SwitchNode]:
    """Read ``esl://:password@host:8021``, several separated by commas.

    The port may be left out (8021). What means something in a URL is written ``%2C``, ``%40``, … in a password.
    ``ValueError`` says what is wrong and what to write, and shows no password.
    """
    nodes = [_parse_node(url.strip(), place) for place, url in enumerate(urls.split(","), 1) if url.strip()]
    if not nodes:
        raise ValueError(f"FREESWITCH_URL names no switch. {_WRITE}")
    names = [node.name for node in nodes]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"FREESWITCH_URL names {', '.join(sorted(doubled))} twice. Name each switch once.")
    return nodes


_WRITE = "Write esl://:password@host:8021, several separated by commas, “,” in a password as %2C."


def _parse_node(url: str, place: int) -> SwitchNode:
    """Parse one URL; the text of an error shows nothing of the password."""
    try:
        parts = urlsplit(url)
        port = parts.port or 8021
    except ValueError:
        raise ValueError(f"FREESWITCH_URL: part {place} is no URL. {_WRITE}") from None
    if parts.scheme != "esl" or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"FREESWITCH_URL: part {place} is no esl:// URL of a host. {_WRITE}")
    if not parts.hostname:
        raise ValueError(f"FREESWITCH_URL: part {place} names no host. {_WRITE}")
    if parts.username or not parts.password:
        raise ValueError(f"FREESWITCH_URL: {parts.hostname} has no password, or a user name besides. {_WRITE}")
    password = unquote(parts.password)
    if not password.isprintable():
        raise ValueError(f"FREESWITCH_URL: the password of {parts.hostname} holds a control character.")
    return SwitchNode(parts.hostname, port, password)


def configured() -> list[SwitchNode]:
    """Return the switches of ``settings.FREESWITCH_URL``."""
    return parse_nodes(settings.FREESWITCH_URL)


class Line:
    """A connection to a switch that speaks of calls. One thread uses it at a time. Failures raise ``EslError``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take leave of the switch."""
        self._connection.exit()

    @property
    def core_uuid(self) -> UUID:
        """The run of the switch at the other end."""
        assert self._connection.core_uuid is not None  # learned at log-in
        return self._connection.core_uuid

    def alive(self) -> bool:
        """Tell whether the switch has kept the line open. Never waits."""
        return self._connection.alive()

    def place(self, originates: Sequence[Originate], *, not_after: float = math.inf) -> list[Reply]:
        """Send the commands of calls, pipelined; return one outcome for each, in order. Never raises ``EslError``.

        None is begun after the instant ``not_after`` of ``time.monotonic()``. None is ever sent twice.
        """
        return self._connection.bgapi_many([(item.command, item.job_uuid) for item in originates], not_after=not_after)

    def kill(self, leg: UUID, cause: str) -> bool:
        """Hang up a leg; ``False`` when there is none. The end itself is told by an event, up to 45 ms later."""
        return self._connection.api(commands.hang_up(leg, cause)).startswith("+OK")

    def existing(self, legs: Iterable[UUID]) -> set[UUID]:
        """Return those legs that live, asking for each, pipelined."""
        asked = list(legs)
        answers = self._connection.api_many(map(commands.exists, asked))
        return {leg for leg, answer in zip(asked, answers, strict=True) if commands.read_exists(answer)}

    def carry_out(self, orders: Iterable[str | Originate]) -> bool:
        """Carry out commands on legs that exist (``setvars``, ``hang_up``), then begin legs, each pipelined.

        ``False`` when one of the legs is gone, or the switch did not take one of those to begin.
        """
        given = list(orders)
        answers = self._connection.api_many([order for order in given if isinstance(order, str)])
        replies = self.place([order for order in given if isinstance(order, Originate)])
        return all(answer.startswith("+OK") for answer in answers) and all(
            reply.outcome is Outcome.ACCEPTED for reply in replies
        )

    def channels(self) -> set[str]:
        """Return the ids of all channels as far as the switch's list, which lags, knows them."""
        return commands.read_channels(self._connection.api(commands.SHOW_CHANNELS))

    def registrations(self) -> set[str]:
        """Return the users of the directory that have a phone registered."""
        return commands.read_registrations(self._connection.api(commands.SHOW_REGISTRATIONS))

    def status(self) -> Status | None:
        """Return what the switch says of itself; ``None`` when it does so in words that are not known."""
        return read_status(self._connection.api(STATUS))

    def subscribe(self, names: Iterable[str] = events.SUBSCRIPTION) -> None:
        """Have events sent from now on; they are kept until ``receive`` takes them."""
        self._connection.subscribe(names, "json")  # event-plain does not tell %20 from a space

    def receive(self, timeout: float) -> SwitchEvent | None:
        """Return the next event of use, or ``None`` when none came within ``timeout`` real seconds."""
        deadline = time.monotonic() + timeout
        while (event := self._connection.receive(max(0.0, deadline - time.monotonic()))) is not None:
            if (told := events.parse(event)) is not None:
                return told
        return None


class Placer:
    """A line that one worker thread holds open to place calls, and opens again when the switch has closed it."""

    def __init__(self, node: SwitchNode) -> None:
        self.node = node
        self._line: Line | None = None

    def line(self) -> Line:
        """Return an open line; raises ``EslError``. Its ``core_uuid`` is that of the calls placed next."""
        if self._line is None or not self._line.alive():
            self.close()
            self._line = self.node.connect()
        return self._line

    def place(
        self, originates: Sequence[Originate], *, core: UUID | None = None, not_after: float = math.inf
    ) -> list[Reply]:
        """As ``Line.place``; a switch that cannot be reached leaves all of them not sent.

        So does one that has been started again since it was ``core``: the ledger would look for the calls in a run of
        the switch that never had them.
        """
        try:
            line = self.line()
        except EslError as error:
            return [Reply(Outcome.NOT_SENT, str(error))] * len(originates)
        if core is not None and line.core_uuid != core:
            return [Reply(Outcome.NOT_SENT, "The switch has been started again.")] * len(originates)
        return line.place(originates, not_after=not_after)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


_held = threading.local()


def placer(node: SwitchNode) -> Placer:
    """Return this thread's placer for a switch. A child process never uses the line of its parent."""
    held: dict[tuple[int, SwitchNode], Placer] = vars(_held).setdefault("placers", {})
    return held.setdefault((os.getpid(), node), Placer(node))
