"""The sockets: log-in, signs of life, limits, and the way of messages to one client.

What a client is shown comes from the hub (operators) or the feed (supervisors); a slow client is shown the newest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
import uuid
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncWebsocketConsumer

from dialer import clock
from dialer.sockets import commands, database, feed, hub, sign_in
from dialer.sockets.sign_in import Identity
from dialer.sockets.views import Message, View, differences

log = logging.getLogger(__name__)

PING_EVERY = 10.0
SILENT_AFTER = 30.0
"""Seconds (real) without any message after which a client is lost."""
LOG_IN_WITHIN = 10.0
"""Seconds for the first message of a client that did not log in while it connected."""
LONGEST_MESSAGE = 64 * 1024
"""Characters."""
COMMANDS_AT_ONCE = 20
COMMANDS_PER_SECOND = 5.0

GONE = (OSError, RuntimeError)
"""What a server raises for a message to a client that has gone. That it has gone it tells by a message of its own."""

# Close codes
NOT_LOGGED_IN = 4401
NOT_ALLOWED = 4403
SILENT = 4408
TOO_LONG = 1009
FAILED = 1011


class Socket(AsyncWebsocketConsumer):
    """A connection of somebody who has proved, or is about to prove, who he is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.id = uuid.uuid4()
        self.identity: Identity | None = None
        self.news = asyncio.Event()
        self._sequence = 0
        self._sending = asyncio.Lock()
        self._heard_at = time.monotonic()
        self._tokens, self._tokens_at = float(COMMANDS_AT_ONCE), time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self._gone = False

    # What the two kinds do

    def admits(self, who: Identity) -> bool:
        """Tell whether this socket is for him."""
        raise NotImplementedError

    async def begin(self) -> None:
        """Take part, now that it is known who this is."""
        raise NotImplementedError

    async def follow(self) -> None:
        """Send what is new, whenever there is something."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Take part no more."""
        raise NotImplementedError

    async def obey(self, command: str, said: Message) -> Message:
        """Do what the client asks; return what its answer says."""
        raise NotImplementedError

    # Coming and going

    async def connect(self) -> None:
        await self.accept()
        self._tasks.append(asyncio.create_task(self._mind()))
        headers = self._headers()
        key, token = headers.get("x-key"), headers.get("x-access-token")
        if key is not None or token is not None:
            await self._let_in(await database.ask(sign_in.by_key, key, token))
        elif sign_in.is_ours(headers.get("origin"), headers.get("host", "")) and (
            who := await database.ask(sign_in.by_cookie, headers.get("cookie", ""))
        ):
            await self._let_in(who)
        else:
            await self.tell({"type": "login_wanted", "within": LOG_IN_WITHIN})

    def _headers(self) -> dict[str, str]:
        """Return what came with the wish to connect, by lower-case names."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}

    async def _let_in(self, who: Identity | None) -> None:
        if who is None:
            told = "This key does not open: it expired, was revoked or never was. Log in again."
            await self._refuse(HTTPStatus.UNAUTHORIZED, "NOT_AUTHENTICATED", told, NOT_LOGGED_IN)
        elif not self.admits(who):
            told = "This is not for you: your account is no operator's, no supervisor's, or may not see this campaign."
            await self._refuse(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", told, NOT_ALLOWED)
        else:
            self.identity = who
            try:
                await self.begin()
            except Exception:
                log.exception("A client could not be let in")
                await self.end(FAILED)
                return
            self._tasks.append(asyncio.create_task(self.follow()))

    async def _refuse(self, status: HTTPStatus, code: str, told: str, close_code: int) -> None:
        await self.tell({"type": "problem", "problem": commands.problem(status, code, told)["problem"]})
        await self.end(close_code)

    def expel(self) -> None:
        """End it: what let it in holds no more."""
        self._tasks.append(asyncio.create_task(self.end(NOT_LOGGED_IN)))

    async def end(self, code: int) -> None:
        """Take part no more, and close. The first comes first: closing waits for the other side."""
        if not self._gone:
            await self._depart()
            with contextlib.suppress(*GONE):
                await self.close(code)

    async def disconnect(self, code: int) -> None:
        await self._depart()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def _depart(self) -> None:
        if not self._gone:
            self._gone = True
            if self.identity is not None:
                await self.leave()

    async def _mind(self) -> None:
        """Ask for signs of life, and end what gives none or does not log in."""
        began_at = ping_at = time.monotonic()
        while not self._gone:
            now = time.monotonic()
            if self.identity is None and now - began_at >= LOG_IN_WITHIN:
                await self.end(NOT_LOGGED_IN)
            elif now - self._heard_at >= SILENT_AFTER:
                log.info("client.silent", extra={"client": str(self.id)})
                await self.end(SILENT)
            elif now - ping_at >= PING_EVERY:
                ping_at = now
                # A client that takes nothing must not keep this from its end.
                self._tasks.append(asyncio.create_task(self.tell({"type": "ping"})))
            self._tasks = [task for task in self._tasks if not task.done()]
            await asyncio.sleep(min(PING_EVERY, SILENT_AFTER, LOG_IN_WITHIN) / 10)

    # Messages

    async def tell(self, message: Message) -> None:
        """Send a message with the next number."""
        await self.tell_text(json.dumps(message, separators=(",", ":"), ensure_ascii=False))

    async def tell_text(self, text: str) -> None:
        """Send a message that is written already: a JSON object that is not empty."""
        async with self._sending:
            if not self._gone:
                self._sequence += 1
                with contextlib.suppress(*GONE):
                    await self.send(text_data=f'{{"seq":{self._sequence},{text[1:]}')

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._gone:
            return  # what came before the other side heard that this ends
        self._heard_at = time.monotonic()
        if text_data is None or len(text_data) > LONGEST_MESSAGE:
            await self.end(TOO_LONG)
            return
        try:
            said = json.loads(text_data)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict) or not isinstance(said.get("type"), str):
            told = "Send JSON objects with a type."
            await self._answer(None, commands.problem(HTTPStatus.BAD_REQUEST, "PARSE_ERROR", told))
            return
        kind, asked = said.pop("type"), said.pop("id", None)
        if not self._may_ask():
            told = f"At most {COMMANDS_PER_SECOND:g} messages a second: wait a moment."
            await self._answer(asked, commands.problem(HTTPStatus.TOO_MANY_REQUESTS, "THROTTLED", told))
        elif kind == "pong":
            return
        elif self.identity is None:
            await self._log_in(kind, said)
        else:
            await self._answer(asked, await self.obey(kind, said))

    async def _log_in(self, kind: str, said: Message) -> None:
        if kind == "login":
            await self._let_in(await database.ask(sign_in.by_key, said.get("key"), said.get("token")))
        else:
            told = "Log in first: {“type”: “login”, “key”: …, “token”: …}."
            await self._refuse(HTTPStatus.UNAUTHORIZED, "NOT_AUTHENTICATED", told, NOT_LOGGED_IN)

    async def _answer(self, asked: Any, said: Message) -> None:
        await self.tell({"type": "answer", "id": asked, **said})

    def _may_ask(self) -> bool:
        now = time.monotonic()
        dripped = (now - self._tokens_at) * COMMANDS_PER_SECOND
        self._tokens, self._tokens_at = min(float(COMMANDS_AT_ONCE), self._tokens + dripped), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class OperatorSocket(Socket):
    """What an operator's client is connected to: his calls, and what he says about them."""

    newest: View
    _shown: View

    def admits(self, who: Identity) -> bool:
        return who.operator_id is not None

    @property
    def operator_id(self) -> int:
        assert self.identity is not None
        assert self.identity.operator_id is not None
        return self.identity.operator_id

    async def begin(self) -> None:
        await hub.here().join(self, self.operator_id)
        self._shown = self.newest
        now = {"now": clock.now().isoformat().replace("+00:00", "Z"), "clock_factor": clock.FACTOR}
        await self.tell(self._shown.snapshot() | {"client": str(self.id)} | now)

    async def leave(self) -> None:
        await hub.here().leave(self, self.operator_id)

    def show(self, view: View) -> None:
        """Have the client shown this, or what is newer by the time it can take it."""
        self.newest = view
        self.news.set()

    async def follow(self) -> None:
        while True:
            await self.news.wait()
            self.news.clear()
            view = self.newest
            for message in differences(self._shown, view):
                await self.tell(message)
            self._shown = view

    async def obey(self, command: str, said: Message) -> Message:
        assert self.identity is not None
        answer = await database.ask(commands.obey, self.identity, self.operator_id, self.id, command, said)
        # Whether or not the broker tells of it.
        hub.here().wake([self.operator_id])
        return answer


class LiveSocket(Socket):
    """What a supervisor is connected to: all that goes on, or what goes on in one campaign (``?campaign=7``)."""

    @property
    def campaign(self) -> int | None:
        """Return the campaign that the address names; 0, which is none of anybody's, when what it names is no id."""
        named = parse_qs(self.scope["query_string"].decode("latin-1")).get("campaign")
        if named is None:
            return None
        return int(named[-1]) if re.fullmatch(r"[0-9]{1,18}", named[-1], re.ASCII) else 0

    def admits(self, who: Identity) -> bool:
        one = self.campaign
        return who.sees_live and (one is None or (one > 0 and (who.campaigns is None or one in who.campaigns)))

    readings: feed.Feed

    async def begin(self) -> None:
        assert self.identity is not None
        headers = self._headers()
        language = sign_in.language_of(headers.get("cookie", ""), headers.get("accept-language", ""))
        self.readings = feed.here(self.identity.campaigns, self.campaign, language)
        self.readings.join(self)

    async def leave(self) -> None:
        self.readings.leave(self)

    def offer(self) -> None:
        """Have it fetch what is new."""
        self.news.set()

    async def follow(self) -> None:
        version: int | None = None
        while True:
            await self.news.wait()
            self.news.clear()
            if version != self.readings.version:
                text, version = self.readings.since(version), self.readings.version
                await self.tell_text(text)

    async def obey(self, command: str, said: Message) -> Message:
        return commands.problem(HTTPStatus.BAD_REQUEST, "INVALID", "There is nothing to ask for here.")


class Nowhere(AsyncWebsocketConsumer):
    """The answer at an address where there is no socket."""

    async def connect(self) -> None:
        await self.close()
