"""How many requests a key may send a minute."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.throttling import BaseThrottle

from dialer.api import counters, guard
from dialer.api.models import AccessKey

WINDOW = 60


class PerKey(BaseThrottle):
    """Counts the requests of a key, or of a session's user, in all web processes; strangers count by address."""

    def allow_request(self, request: Any, view: Any) -> bool:
        """Count a request; ``False`` when it is one too many."""
        found = counters.add(f"requests:{self._who(request)}", WINDOW)
        self._seconds = found.seconds
        return found.times <= settings.API_REQUESTS_PER_MINUTE

    def wait(self) -> float:
        """Return the seconds until the count begins anew."""
        return float(self._seconds)

    @staticmethod
    def _who(request: Any) -> str:
        if isinstance(request.auth, AccessKey):
            return str(request.auth.pk)
        if request.user and request.user.is_authenticated:
            return f"user {request.user.pk}"
        return guard.address_of(request)
