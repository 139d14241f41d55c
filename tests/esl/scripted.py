"""A switch that says what a test tells it to say, over a real socket."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dialer.esl import wire
from dialer.esl.wire import Command

CORE = "f3a1874f-6d9c-4ecd-9177-9745e964d9e0"


class Peer:
    """The switch's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._decoder = wire.CommandDecoder()
        self._commands: list[Command] = []

    def read(self) -> Command:
        """Return the next command; ``EOFError`` when the client has closed."""
        while not self._commands:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self._commands += self._decoder.feed(data)
        return self._commands.pop(0)

    def expect(self, line: str) -> Command:
        command = self.read()
        assert command.line == line, command
        return command

    def send(self, *data: bytes) -> None:
        self.sock.sendall(b"".join(data))

    def accept_job(self) -> Command:
        """Read a bgapi and accept it."""
        command = self.read()
        self.send(accepted(command))
        return command

    def reset(self) -> None:
        """Break the connection the hard way."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def log_in(self, core: str = CORE) -> None:
        self.send(wire.encode_auth_request())
        self.expect("auth ClueCon")
        self.send(wire.encode_reply("+OK accepted"))
        self.expect("api global_getvar core_uuid")
        self.send(wire.encode_api_response(core))


def accepted(command: Command) -> bytes:
    job = command.headers["job-uuid"]
    return wire.encode_reply(f"+OK Job-UUID: {job}", {"Job-UUID": job})


@contextmanager
def switch(*scripts: Callable[[Peer], None]) -> Iterator[int]:
    """Serve one connection per script, one after another; yield the port. A failed script fails the test."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            for script in scripts:
                sock, _ = listener.accept()
                sock.settimeout(10)
                with sock:
                    script(Peer(sock))
        except EOFError:
            pass
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(10)
        listener.close()
    assert not failures, failures
