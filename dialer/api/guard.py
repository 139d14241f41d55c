"""A lock against guessing passwords, at every door: the interface, the pages and the admin.

Each try counts before the password is looked at, so that tries side by side get no further than tries in a row, and
whether the account exists changes neither the count nor the answer. A right password takes the account's count back.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest

from dialer.api import counters

WINDOW = 15 * 60
"""Seconds (real) after the first wrong password in which the others count."""
PER_ACCOUNT = 10
"""Tries of one account from one address."""
PER_ADDRESS = 100
"""Tries from one address, all accounts together: this bounds what is kept, too."""


def address_of(request: HttpRequest | None) -> str:
    """Return where a request comes from: an IPv4 address, or the /64 that an IPv6 customer has."""
    given = request.META.get("REMOTE_ADDR", "") if request is not None else ""
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        return "local"
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def locked_for(request: HttpRequest | None, username: str) -> int:
    """Count a try; return for how many seconds this account (or all of them) is locked for that address, else 0."""
    address = address_of(request)
    everyone = counters.add(f"login:{address}", WINDOW)
    if everyone.times > PER_ADDRESS:
        return everyone.seconds
    his = counters.add(_name(address, username), WINDOW)
    return his.seconds if his.times > PER_ACCOUNT else 0


def succeeded(request: HttpRequest | None, username: str) -> None:
    """Forget the tries of an account: its password was right."""
    counters.forget(_name(address_of(request), username))


def _name(address: str, username: str) -> str:
    normal = get_user_model().normalize_username(username).casefold()
    return f"login:{address}:{hashlib.sha256(normal.encode(errors='replace')).hexdigest()}"


class GuardBackend:
    """The first of the backends: stops a log-in that is locked before the password is looked at. It knows no users."""

    def authenticate(self, request: HttpRequest | None, username: str | None = None, **credentials: Any) -> None:
        """Raise ``PermissionDenied`` for a locked account; ``request.locked_for`` then tells for how many seconds."""
        if username is None or request is None:
            return
        seconds = locked_for(request, username)
        setattr(request, "locked_for", seconds)  # noqa: B010
        if seconds:
            raise PermissionDenied


@receiver(user_logged_in)
def _logged_in(request: HttpRequest | None, user: Any, **_: Any) -> None:
    succeeded(request, user.get_username())
