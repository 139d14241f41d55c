"""Who opens a socket: by the session of our own pages, or by a key, in headers or in the first message."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user, get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.http.request import validate_host
from django.utils.http import is_same_domain
from django.utils.translation import get_language_from_request

from agents.models import Operator
from dialer import clock
from dialer.api import actions, scope
from dialer.api.models import AccessKey
from dialer.api.scope import Scope


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who proved who he is, and how: both are looked at again for as long as he stays."""

    user_id: int
    operator_id: int | None
    sees_live: bool
    password: str
    """As it is stored; empty for a named key, which another password does not end."""
    key_id: UUID | None = None
    session_key: str | None = None
    campaigns: Scope = None
    """What he is limited to, of what goes on."""


def by_key(key_id: object, token: object) -> Identity | None:
    """Return whom a key and its token prove."""
    if not isinstance(key_id, str) or not isinstance(token, str):
        return None
    key = actions.open_with(key_id, token)
    if key is None:
        return None
    return _identity(key.user, password=key.user.password if key.password_mark else "", key_id=key.pk)


def by_cookie(header: str) -> Identity | None:
    """Return whose session a cookie names."""
    session_key = _cookies(header).get(settings.SESSION_COOKIE_NAME)
    if session_key is None:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    if not user.is_authenticated:
        return None
    return _identity(user, password=user.password, session_key=session_key)


def language_of(cookies: str, accepted: str) -> str:
    """Return the language in which a client is told words, by the headers that pages are chosen by, too."""
    request = HttpRequest()
    request.COOKIES = _cookies(cookies)
    request.META["HTTP_ACCEPT_LANGUAGE"] = accepted
    return get_language_from_request(request)


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: found.value for name, found in SimpleCookie(header).items()}
    except CookieError:
        return {}


def _identity(
    user: AbstractBaseUser, *, password: str, key_id: UUID | None = None, session_key: str | None = None
) -> Identity:
    operator_id = Operator.objects.filter(user=user.pk, archived=False).values_list("pk", flat=True).first()
    return Identity(user.pk, operator_id, _sees_live(user), password, key_id, session_key, scope.of(user))


def _sees_live(user: AbstractBaseUser) -> bool:
    return bool(getattr(user, "is_staff", False) or user.has_perm("access.see_live"))  # type: ignore[attr-defined]


def is_ours(origin: str | None, host: str) -> bool:
    """Tell whether a page of ours opened the socket: one of the same host, or of a trusted origin.

    A browser sends its cookies along with the wish of any page, so a session counts for pages of ours alone.
    """
    if not origin:
        return False
    parts = urlsplit(origin)
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        scheme, _colon, pattern = trusted.partition("://*")
        if pattern and parts.scheme == scheme and is_same_domain(parts.netloc, pattern):
            return True
    schemes = {"https"} if settings.SESSION_COOKIE_SECURE else {"http", "https"}
    hosts = settings.ALLOWED_HOSTS or [".localhost", "127.0.0.1", "[::1]"]
    bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return parts.scheme in schemes and parts.netloc == host and validate_host(bare, hosts)


def still_good(identities: Collection[Identity]) -> set[Identity]:
    """Return those who would be let in again as what they are. Four statements, and two per supervisor at most."""
    users = {
        user.pk: user
        for user in get_user_model().objects.filter(pk__in={who.user_id for who in identities}, is_active=True)
    }
    now = clock.now()
    keys = set(
        AccessKey.objects.usable(now)
        .filter(pk__in={who.key_id for who in identities if who.key_id})
        .values_list("pk", flat=True)
    )
    sessions = set(
        Session.objects.filter(
            session_key__in={who.session_key for who in identities if who.session_key}, expire_date__gt=now
        ).values_list("session_key", flat=True)
    )
    operators: Mapping[int, int | None] = dict(
        Operator.objects.filter(pk__in={who.operator_id for who in identities if who.operator_id}, archived=False)
        .values_list("pk", "user_id")
    )  # fmt: skip

    def good(who: Identity) -> bool:
        user = users.get(who.user_id)
        if user is None or (who.password and user.password != who.password):
            return False
        if who.key_id is not None and who.key_id not in keys:
            return False
        if who.session_key is not None and who.session_key not in sessions:
            return False
        if who.operator_id is not None and operators.get(who.operator_id) != who.user_id:
            return False
        return not who.sees_live or (_sees_live(user) and scope.of(user) == who.campaigns)

    return {who for who in identities if good(who)}
