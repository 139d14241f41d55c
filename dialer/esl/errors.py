"""What can go wrong between us and the event socket of a switch."""

from __future__ import annotations


class EslError(Exception):
    """Any failure of the event socket."""


class ConnectionFailed(EslError):
    """The switch could not be reached, or its access list turned us away: nothing was sent."""


class AuthenticationFailed(EslError):
    """The switch refused the password."""


class CommandRefused(EslError):
    """The switch answered ``-ERR`` to a command that sets up the connection."""


class Timeout(EslError):
    """No reply came in time; the connection is closed, since a late reply would be taken for the next one's."""


class Disconnected(EslError):
    """The connection ended; whether the last command was read by the switch is unknown."""


class ProtocolError(EslError):
    """The bytes are not event socket; the connection cannot be trusted any further."""


class BackendMissing(EslError):
    """The library that was chosen to speak event socket is not installed."""
