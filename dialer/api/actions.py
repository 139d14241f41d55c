"""Every write to keys of the REST interface."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _

from dialer import clock
from dialer.api import tokens
from dialer.api.models import AccessKey

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    Person = AbstractBaseUser | AnonymousUser | None

log = logging.getLogger(__name__)

LOG_IN_LASTS = timedelta(hours=24)
"""How long a key made by log-in opens."""
LONGEST = timedelta(days=3660)
NOTE_USE_EVERY = timedelta(minutes=1)


class NewKey(NamedTuple):
    """A key and its token, which nobody can read again."""

    key: AccessKey
    token: str


def log_in(user: AbstractBaseUser) -> NewKey:
    """Make a key for somebody who gave his password; it ends with that password, or after a day."""
    return _make(user, "", clock.now() + LOG_IN_LASTS, password_mark=_password_mark(user))


def create_key(user: AbstractBaseUser, name: str, expires_at: datetime, *, by: Person = None) -> NewKey:
    """Make a named key for somebody. Raises ``ValidationError`` by field."""
    if not name.strip():
        raise ValidationError({"name": _("Say what it is for, as “CRM”.")})
    check_expiry(expires_at)
    made = _make(user, name.strip(), expires_at)
    log.info("access_key.created", extra={"key": made.key.pk, "user": user.pk, "by": getattr(by, "pk", None)})
    return made


def _make(user: AbstractBaseUser, name: str, expires_at: datetime, password_mark: str = "") -> NewKey:
    secret = tokens.new_secret()
    # The token tells its expiry in whole seconds, and so does the row.
    expires_at = expires_at.replace(microsecond=0)
    key = AccessKey.objects.create(
        user_id=user.pk,
        name=name,
        digest=tokens.digest_of(secret),
        password_mark=password_mark,
        created_at=clock.now(),
        expires_at=expires_at,
    )
    return NewKey(key, tokens.write(key.pk, secret, expires_at))


def update_key(key: AccessKey, *, name: str | None = None, expires_at: datetime | None = None) -> AccessKey:
    """Rename a key, or let it expire earlier; its token tells the latest that it can be. Raises ``ValidationError``."""
    if name is not None:
        key.name = name.strip()
    if expires_at is not None:
        check_expiry(expires_at, key.expires_at)
        key.expires_at = expires_at
    key.save(update_fields=["name", "expires_at"])
    return key


def revoke_keys(keys: QuerySet[AccessKey], *, by: Person = None) -> int:
    """Let keys open nothing any more; return how many did until now."""
    ids = list(keys.filter(revoked_at__isnull=True).values_list("pk", flat=True))
    count = AccessKey.objects.filter(pk__in=ids, revoked_at__isnull=True).update(revoked_at=clock.now())
    log.info("access_key.revoked", extra={"keys": [str(pk) for pk in ids], "by": getattr(by, "pk", None)})
    return count


def open_with(key_id: str, token: str) -> AccessKey | None:
    """Return the key, with its user, that a pair of headers proves, and note its use; ``None`` for any other pair.

    One query, and a write a minute.
    """
    try:
        claims = tokens.read(token)
        named = uuid.UUID(key_id)
    except ValueError:
        return None
    now = clock.now()
    key = AccessKey.objects.usable(now).select_related("user").filter(pk=claims.key).first()
    # The digests are compared even when there is no such key, for as long as when there is one.
    right = constant_time_compare(claims.digest, key.digest if key else "0" * 64)
    if key is None or not right or named != claims.key or claims.expires_at <= now.timestamp():
        return None
    if not key.user.is_active:
        return None
    if key.password_mark and not constant_time_compare(key.password_mark, _password_mark(key.user)):
        return None
    if key.last_used_at is None or key.last_used_at < now - NOTE_USE_EVERY:
        earlier = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - NOTE_USE_EVERY)
        AccessKey.objects.filter(earlier, pk=key.pk).update(last_used_at=now)
    return key


def _password_mark(user: AbstractBaseUser) -> str:
    """Return what tells one password of an account from the next, and nothing else."""
    return salted_hmac("dialer.api.password", user.password, algorithm="sha256").hexdigest()


def check_expiry(expires_at: datetime, until_now: datetime | None = None) -> None:
    """Refuse an expiry that a new key cannot have, or (``until_now``: the one it has) an old one. By field."""
    now = clock.now()
    if until_now is not None:
        if expires_at > until_now:
            told = _("It expires at %s, as its token says: it can only be brought forward.") % until_now.isoformat()
            raise ValidationError({"expires": told})
    elif not now < expires_at <= now + LONGEST:
        raise ValidationError({"expires": _("Give an instant from now until ten years ahead.")})


def forget_old_keys() -> int:
    """Delete the keys of log-ins that ended a month ago; named keys stay, as evidence. Return how many."""
    long_ago = clock.now() - timedelta(days=30)
    over = Q(expires_at__lt=long_ago) | Q(revoked_at__lt=long_ago)
    count, _rows = AccessKey.objects.filter(over).exclude(password_mark="").delete()
    return count
