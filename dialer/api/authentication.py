"""How a request says who sends it: the two headers of a key, or the session of our own pages."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from dialer.api import actions

CHALLENGE = 'X-Access-Token realm="progressive-dialer"'


class KeyAuthentication(BaseAuthentication):
    """``X-Access-Token`` and ``X-Key``, as log-in or the list of keys gave them."""

    def authenticate(self, request: Any) -> tuple[Any, Any] | None:
        """Return the user and the key; ``None`` without the headers. One answer for whatever is wrong with them."""
        token, key_id = request.headers.get("X-Access-Token"), request.headers.get("X-Key")
        if token is None and key_id is None:
            return None
        if not token or not key_id:
            raise AuthenticationFailed(_("Send both headers, X-Access-Token and X-Key."))
        key = actions.open_with(key_id, token)
        if key is None:
            raise AuthenticationFailed(_("This key does not open: it expired, was revoked or never was. Log in again."))
        return key.user, key

    def authenticate_header(self, request: Any) -> str:
        """Return the challenge: without one the answer would be 403."""
        return CHALLENGE
