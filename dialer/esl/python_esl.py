"""The event socket through python-ESL 1.4.18, FreeSWITCH's own C library, behind the interface of our own client.

The library holds the connection: it receives, cuts what came into frames and reads their headers. Its C functions are
called, not its Python classes, and the rest stays with ``dialer.esl``, for what that version does:

- It logs in without a time limit, does not tell why that failed, and closes the standard input after a host name that
  does not resolve. We log in, and hand it the socket.
- ``send`` takes a full buffer for the end, and blocks until then, while the switch may wait for us to read. We write.
- ``sendRecv``, ``api`` and ``bgapi`` lose the events that came before the end of a connection, wait for ever, take one
  command at a time, and send whatever the text holds. Every command goes the way of our own client instead: checked,
  pipelined, each with an outcome.
- ``recvEvent`` and ``recvEventTimed`` give the body of an event in JSON to ``printf`` as its format: ``100%`` vanishes,
  and ``%n`` ends the process. They drop what is empty, cut up what has ``ARRAY::`` in it or ``[`` in its name, and copy
  each event. The function below them leaves the body of a frame as it came; ``dialer.esl.wire`` reads it.
- It looks for the end of a head one byte past what has arrived. In its buffer that is a byte of an earlier message once
  6 MB have come, and a newline there cuts the frame, and every later one, in the wrong place. We keep zeros there.

What remains: the library waits for the rest of a frame that stopped in the middle. ``receive`` may therefore last up to
``timeout`` longer than asked; a rest that has not come by then ends the connection (``Timeout``). What had arrived and
was not received when the other side reset the connection is lost. Of a reply, the headers in ``_HEADERS`` are known,
percent-decoded. And the library believes the switch: a negative or immense Content-Length ends the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import socket
import threading
import time
import weakref
from typing import Any

from dialer.esl import wire
from dialer.esl.client import Connection
from dialer.esl.errors import BackendMissing, ConnectionFailed, Disconnected, ProtocolError, Timeout

INSTALL = (
    "pip install swig==3.0.12 setuptools wheel",
    "pip install --no-build-isolation python-ESL==1.4.18",
)
"""How it comes into an environment that has a C++ compiler and the headers of Python."""

_SUCCESS, _BREAK = 0, 2
_HEADERS = ("Content-Type", "Reply-Text", "Job-UUID")
_GREETING = wire.encode_reply("+OK")
_WATCH_EVERY = 0.1
"""Real seconds between two looks at whether the library has been inside a frame for too long."""

try:
    _library: Any = ctypes.CDLL(importlib.import_module("_ESL").__file__)
except ImportError as error:
    raise BackendMissing(
        f"python-ESL is not installed ({error}). Run “make python-esl”, or: {' && '.join(INSTALL)} "
        "(needs a C++ compiler and the headers of Python). Or unset ESL_BACKEND: our own client needs neither."
    ) from error

_attach = _library.esl_attach_handle
_attach.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_receive = _library.esl_recv_event_timed
_receive.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p))
_disconnect = _library.esl_disconnect
_disconnect.argtypes = (ctypes.c_void_p,)
_header = _library.esl_event_get_header_idx
_header.argtypes, _header.restype = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int), ctypes.c_char_p
_body = _library.esl_event_get_body
_body.argtypes, _body.restype = (ctypes.c_void_p,), ctypes.c_char_p
_destroy = _library.esl_event_destroy
_destroy.argtypes, _destroy.restype = (ctypes.POINTER(ctypes.c_void_p),), None


class _Buffer(ctypes.Structure):
    """What the library has received: ``used`` bytes from ``head`` on are not given out yet."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("head", ctypes.c_void_p),
        ("used", ctypes.c_size_t),
        ("actually_used", ctypes.c_size_t),
        ("datalen", ctypes.c_size_t),
    )


class _Handle(ctypes.Structure):
    """The library's handle: its beginning, and room for all that follows (70 kB in this version)."""

    _fields_ = (
        ("sockaddr", ctypes.c_char * 128),
        ("hostent", ctypes.c_char * 32),
        ("hostbuf", ctypes.c_char * 256),
        ("sock", ctypes.c_int),
        ("err", ctypes.c_char * 256),
        ("errnum", ctypes.c_int),
        ("packet_buf", ctypes.POINTER(_Buffer)),
        ("rest", ctypes.c_char * (256 * 1024)),
    )


class LibraryConnection(Connection):
    """As ``Connection``, received by python-ESL; the text above says where it differs."""

    def __init__(
        self, host: str, port: int, password: str, *, connect_timeout: float = 5.0, timeout: float = 5.0
    ) -> None:
        super().__init__(host, port, password, connect_timeout=connect_timeout, timeout=timeout)
        self._handle: _Handle | None = None
        self._place = 0
        """Where in its buffer the library was when it was last asked."""
        self._give_up_at: float | None = None
        """Set while the library may be waiting for the rest of a frame."""
        self._gave_up = False

    def _take_over(self) -> None:
        """Give the socket of the log-in to the library."""
        assert self._socket is not None
        ours, theirs = socket.socketpair()
        with ours:
            # It begins with “connect” and waits for the reply: it gets both before it gets the switch.
            ours.sendall(_GREETING)
            handle, descriptor = _Handle(), theirs.detach()  # from here on the library closes it
            # What it allocates, and the descriptor, are not Python's: it lets them go also when nobody closes.
            attached = _attach(ctypes.byref(handle), descriptor, None)
            self._let_go = weakref.finalize(self, _disconnect, ctypes.byref(handle))
            if attached != _SUCCESS or handle.sock != descriptor:
                raise ConnectionFailed("python-ESL did not take the connection over: is it version 1.4.18?")
            os.dup2(self._socket.fileno(), descriptor, inheritable=False)
        self._handle, self._place, self._gave_up = handle, 0, False
        threading.Thread(target=_watch, args=(weakref.ref(self), self._socket), name="esl-watch", daemon=True).start()

    def _is_stuck(self, sock: socket.socket) -> bool | None:
        """Tell the watch whether the library waits for too long on this socket; ``None`` once it is another's."""
        if self._socket is not sock:
            return None
        give_up_at = self._give_up_at
        self._gave_up = give_up_at is not None and time.monotonic() > give_up_at
        return self._gave_up

    def close(self) -> None:
        super().close()
        if self._handle is not None:
            self._let_go()
            self._handle = None

    def _wait(self, deadline: float, *, write: bool = False) -> bool:
        # What it has received and not given out no longer shows on the socket.
        holds_more = self._handle is not None and self._handle.packet_buf.contents.used > 0
        return holds_more or super()._wait(deadline, write=write)

    def _clean(self, buffer: _Buffer) -> None:
        """See to it that zeros follow what the library holds: move that to the front before the buffer has filled.

        It begins with zeros, and no frame between two calls fills the second half but one of megabytes; then the
        library has moved to the front by itself, and left old bytes behind it.
        """
        place = buffer.head - buffer.data
        if self._place <= place < buffer.datalen // 2:
            self._place = place
            return
        ctypes.memmove(buffer.data, buffer.head, buffer.used)
        ctypes.memset(buffer.data + buffer.used, 0, buffer.datalen - buffer.used)
        buffer.head, buffer.actually_used = buffer.data, buffer.used
        self._place = 0

    def _read(self) -> None:
        """Take one frame from the library, if it holds one or one is arriving."""
        if self._handle is None:
            super()._read()
            return
        frame = ctypes.c_void_p()
        self._clean(self._handle.packet_buf.contents)
        self._give_up_at = time.monotonic() + self._timeout
        # There is something, so the millisecond passes for a slow start alone; 0 would mean for ever.
        status = _receive(ctypes.byref(self._handle), 1, 0, ctypes.byref(frame))
        self._give_up_at = None
        if status == _BREAK:
            return
        if not frame:
            self.close()
            if self._gave_up:
                raise Timeout(f"{self.host}:{self.port} stopped in the middle of a frame.")
            raise Disconnected(self._farewell or "The switch closed the connection.")
        try:
            values = {name: _header(frame, name.encode(), -1) for name in _HEADERS}
            body = _body(frame) or b""
        finally:
            _destroy(ctypes.byref(frame))
        headers = {name: value.decode("utf-8", "replace") for name, value in values.items() if value is not None}
        try:
            self._sort(wire.frame(headers, body))
        except ProtocolError:
            self.close()
            raise


def _watch(connection: weakref.ref[LibraryConnection], sock: socket.socket) -> None:
    """Break a connection off once the rest of a frame has not come in time: that wakes the library."""
    while (held := connection()) is not None and (stuck := held._is_stuck(sock)) is not None:
        del held
        if stuck:
            with contextlib.suppress(OSError):  # it has been closed meanwhile
                sock.shutdown(socket.SHUT_RDWR)
            return
        time.sleep(_WATCH_EVERY)
