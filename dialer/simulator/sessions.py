"""Speak event socket with the clients of the simulated switch."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, cast
from uuid import uuid4

from dialer.esl import wire
from dialer.esl.errors import ProtocolError
from dialer.esl.wire import Command, Event
from dialer.simulator import api, behaviour
from dialer.simulator.switch import Switch

UNREAD_LIMIT: Final = 256 * 1024 * 1024
"""Bytes that a client may leave unread; then it is thrown out, as the switch throws out one that loses events."""

CUSTOM: Final = "CUSTOM"
ALL: Final = "ALL"
_EVENT_NAMES = """
CUSTOM CLONE CHANNEL_CREATE CHANNEL_DESTROY CHANNEL_STATE CHANNEL_CALLSTATE CHANNEL_ANSWER CHANNEL_HANGUP
CHANNEL_HANGUP_COMPLETE CHANNEL_EXECUTE CHANNEL_EXECUTE_COMPLETE CHANNEL_HOLD CHANNEL_UNHOLD CHANNEL_BRIDGE
CHANNEL_UNBRIDGE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_OUTGOING CHANNEL_PARK CHANNEL_UNPARK
CHANNEL_APPLICATION CHANNEL_ORIGINATE CHANNEL_UUID API LOG INBOUND_CHAN OUTBOUND_CHAN STARTUP SHUTDOWN PUBLISH
UNPUBLISH TALK NOTALK SESSION_CRASH MODULE_LOAD MODULE_UNLOAD DTMF MESSAGE PRESENCE_IN NOTIFY_IN PRESENCE_OUT
PRESENCE_PROBE MESSAGE_WAITING MESSAGE_QUERY ROSTER CODEC BACKGROUND_JOB DETECTED_SPEECH DETECTED_TONE PRIVATE_COMMAND
HEARTBEAT TRAP ADD_SCHEDULE DEL_SCHEDULE EXE_SCHEDULE RE_SCHEDULE RELOADXML NOTIFY PHONE_FEATURE
PHONE_FEATURE_SUBSCRIBE SEND_MESSAGE RECV_MESSAGE REQUEST_PARAMS CHANNEL_DATA GENERAL COMMAND SESSION_HEARTBEAT
CLIENT_DISCONNECTED SERVER_DISCONNECTED SEND_INFO RECV_INFO RECV_RTCP_MESSAGE SEND_RTCP_MESSAGE CALL_SECURE NAT
RECORD_START RECORD_STOP PLAYBACK_START PLAYBACK_STOP CALL_UPDATE FAILURE SOCKET_DATA MEDIA_BUG_START MEDIA_BUG_STOP
CONFERENCE_DATA_QUERY CONFERENCE_DATA CALL_SETUP_REQ CALL_SETUP_RESULT CALL_DETAIL DEVICE_STATE TEXT
SHUTDOWN_REQUESTED CERT_RELOAD ALL
"""
EVENT_NAMES: Final = frozenset(_EVENT_NAMES.split())


class Host(Protocol):
    """What a session needs of the process that it runs in."""

    switch: Switch
    password: str
    turns_away: bool
    """Whether an access list admits nobody."""
    sessions: set[Session]


class Sessions:
    """All clients, as the audience of the switch. An event is written once in each format that somebody reads."""

    def __init__(self, sessions: set[Session]) -> None:
        self._sessions = sessions

    def wants(self, name: str, subclass: str) -> bool:
        return any(session.wants(name, subclass) for session in self._sessions)

    def tell(self, event: Event) -> None:
        written: dict[str, bytes] = {}
        for session in list(self._sessions):
            if session.wants(event.name, event.subclass) and session.lets_through(event):
                if session.format not in written:
                    encode = wire.encode_event_json if session.format == "json" else wire.encode_event_plain
                    written[session.format] = encode(event)
                session.send(written[session.format])


class Session(asyncio.Protocol):
    """One client."""

    def __init__(self, host: Host) -> None:
        self.format = "plain"
        self._host = host
        self._decoder = wire.CommandDecoder()
        self._commands: deque[Command] = deque()
        self._admitted = False
        self._awaits = False
        """Whether an answer is outstanding: like the switch, we read no further command before it."""
        self._names: set[str] = set()
        self._subclasses: set[str] = set()
        self._filters: list[tuple[str, str]] = []
        self._transport: asyncio.Transport | None = None

    # --- the connection -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNREAD_LIMIT)
        if self._host.turns_away:
            self.send(wire.encode_rude_rejection())
            self._transport.close()
            return
        self._host.sessions.add(self)
        self.send(wire.encode_auth_request())

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._host.sessions.discard(self)

    def pause_writing(self) -> None:
        self.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._commands.extend(self._decoder.feed(data))
        except ProtocolError:
            self.abort()
            return
        self._work()

    def send(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        """Break the connection off."""
        if self._transport:
            self._transport.abort()

    def say_goodbye(self, text: str = wire.GOODBYE) -> None:
        """End the connection as the switch does."""
        self.send(wire.encode_disconnect_notice(text))
        self._host.sessions.discard(self)
        if self._transport:
            self._transport.close()

    # --- events ---------------------------------------------------------------------------------------------------

    def wants(self, name: str, subclass: str) -> bool:
        if ALL in self._names:
            return True
        return name in self._names and (name != CUSTOM or not subclass or subclass in self._subclasses)

    def lets_through(self, event: Event) -> bool:
        """Apply the client's filters: an event passes that one names and none forbids (``-``)."""
        if not self._filters:
            return True
        passes = False
        for header, wanted in self._filters:
            value = event.headers.get(header)
            if value is None:
                continue
            forbids, pattern = wanted.startswith("-"), wanted.lstrip("+- ")
            if pattern.startswith("/"):
                hit = re.search(pattern.strip("/"), value) is not None
            else:
                hit = value.lower() == pattern.lower()
            if hit and forbids:
                return False
            passes = passes or hit
        return passes

    # --- commands -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while self._commands and not self._awaits and self._transport and not self._transport.is_closing():
            self._obey(self._commands.popleft())

    def _reply(self, text: str) -> None:
        self.send(wire.encode_reply(text))

    def _obey(self, command: Command) -> None:
        verb, _, rest = command.line.partition(" ")
        if verb == "exit":
            self._reply("+OK bye")
            self.say_goodbye()
        elif not self._admitted:
            self._log_in(verb, rest)
        elif handler := _VERBS.get(verb.lower()):
            handler(self, rest, command)
        else:
            self._reply("-ERR command not found")

    def _log_in(self, verb: str, password: str) -> None:
        if verb != "auth":
            self._reply("-ERR command not found")
        elif password == self._host.password:
            self._admitted = True
            self._reply("+OK accepted")
        else:
            self._reply("-ERR invalid")
            self.say_goodbye()

    def _event(self, rest: str, command: Command) -> None:
        words = rest.split()
        if words and words[0].lower() in ("plain", "json"):
            self.format = words.pop(0).lower()
        names, subclasses = _cut_at_custom(words)
        if not names:
            self._reply("-ERR no keywords supplied")
            return
        self._names |= names
        self._subclasses |= subclasses
        self._reply(f"+OK event listener enabled {self.format}")

    def _nixevent(self, rest: str, command: Command) -> None:
        names, subclasses = _cut_at_custom(rest.split())
        if not names:
            self._reply("-ERR no keywords supplied")
            return
        if ALL in names:
            self._names.clear()
        elif ALL in self._names:
            self._names = set(EVENT_NAMES - {ALL})
        self._names -= names - ({CUSTOM} if subclasses else set())
        self._subclasses -= subclasses
        self._reply("+OK events nixed")

    def _noevents(self, rest: str, command: Command) -> None:
        listened = bool(self._names)
        self._names.clear()
        self._subclasses.clear()
        self._reply("+OK no longer listening for events" if listened else "-ERR not listening for events")

    def _filter(self, rest: str, command: Command) -> None:
        words = rest.split(maxsplit=1)
        if len(words) < 2:
            self._reply("-ERR invalid syntax")
            return
        if words[0].lower() == "delete":
            header, _, value = words[1].partition(" ")
            self._filters = [
                (name, wanted)
                for name, wanted in self._filters
                if header.lower() != "all" and not (name == header and (not value or wanted == value))
            ]
            self._reply(f"+OK filter deleted. [{header}][{value}]")
            return
        header, value = words
        if header.lower() == "add":
            header, _, value = value.partition(" ")
        self._filters.append((header, value))
        self._reply(f"+OK filter added. [{header}]=[{value}]")

    def _api(self, rest: str, command: Command) -> None:
        self._awaits = True
        name, _, argument = rest.strip().partition(" ")
        api.execute(self._host.switch, name, argument, self._answer)

    def _answer(self, text: str) -> None:
        self._awaits = False
        self.send(wire.encode_api_response(text))
        if self._commands:
            asyncio.get_running_loop().call_soon(self._work)

    def _bgapi(self, rest: str, command: Command) -> None:
        switch = self._host.switch
        job = command.headers.get("job-uuid") or str(uuid4())
        refused = switch.scenario.faults.refused_commands
        if refused and behaviour.dice(switch.seed, "refusal", job).random() < refused:
            self._reply("-ERR permission denied")
            return
        self.send(wire.encode_reply(f"+OK Job-UUID: {job}", {"Job-UUID": job}))
        name, _, argument = rest.strip().partition(" ")

        def done(text: str) -> None:
            switch.events.job(job, name, argument, text)

        switch.soon(lambda: api.execute(switch, name, argument, done))

    def _sendmsg(self, rest: str, command: Command) -> None:
        uuid = rest.strip() or command.headers.get("session-id", "")
        leg = self._host.switch.legs.get(uuid)
        if leg is None:
            self._reply(f"-ERR invalid session id [{uuid}]")
            return
        self._reply("+OK")
        api.send_message(self._host.switch, leg, command.headers, command.body)

    def _sendevent(self, rest: str, command: Command) -> None:
        uuid = str(uuid4())
        name = rest.strip().upper()
        self._reply(f"+OK {uuid}")
        if name in EVENT_NAMES:
            dropped = ("content-length", "event-subclass")
            kept = {key: value for key, value in command.headers.items() if key.lower() not in dropped}
            subclass = command.headers.get("event-subclass", "")
            events = self._host.switch.events
            events.tell(name, lambda: {**kept, "Event-UUID": uuid}, subclass=subclass, body=command.body)

    def _linger(self, rest: str, command: Command) -> None:
        self._reply("-ERR not controlling a session")


def _cut_at_custom(words: list[str]) -> tuple[set[str], set[str]]:
    """Return the names of events among these words, and the subclasses that follow CUSTOM."""
    upper = [word.upper() for word in words]
    end = upper.index(CUSTOM) + 1 if CUSTOM in upper else len(words)
    return {name for name in upper[:end] if name in EVENT_NAMES}, set(words[end:])


_VERBS: Final[dict[str, Callable[[Session, str, Command], None]]] = {
    "api": Session._api,
    "bgapi": Session._bgapi,
    "event": Session._event,
    "filter": Session._filter,
    "linger": Session._linger,
    "nixevent": Session._nixevent,
    "noevents": Session._noevents,
    "nolinger": Session._linger,
    "sendevent": Session._sendevent,
    "sendmsg": Session._sendmsg,
}
