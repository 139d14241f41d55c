"""Access tokens: a JWT, signed by the server, around a random secret of which the database keeps a digest alone.

Who reads the database learns no secret and cannot sign; who learns the signing key cannot guess a secret.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import datetime
from functools import cache
from typing import NamedTuple

import jwt
from django.conf import settings
from django.utils.crypto import salted_hmac

ALGORITHM = "HS256"
AUDIENCE = "progressive-dialer"


class Claims(NamedTuple):
    """What a token says of itself."""

    key: uuid.UUID
    digest: str
    expires_at: float
    """Seconds since 1970."""


class BadToken(ValueError):
    """A token that this server did not sign, or that is no token."""


@cache
def _signing_key(secret_key: str) -> bytes:
    return salted_hmac("dialer.api.tokens", "", secret=secret_key, algorithm="sha256").digest()


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """Return what the database keeps of a secret. It is random and long: no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def write(key: uuid.UUID, secret: str, expires_at: datetime) -> str:
    """Return the token of a key."""
    claims = {"aud": AUDIENCE, "sub": str(key), "jti": secret, "exp": int(expires_at.timestamp())}
    return jwt.encode(claims, _signing_key(settings.SECRET_KEY), ALGORITHM)


def read(token: str) -> Claims:
    """Return what a token says, its signature checked; its expiry is the caller's to compare with his clock.

    Raises ``BadToken``.
    """
    try:
        claims = jwt.decode(
            token,
            _signing_key(settings.SECRET_KEY),
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            options={"require": ["aud", "sub", "jti", "exp"], "verify_exp": False},
        )
        return Claims(uuid.UUID(claims["sub"]), digest_of(claims["jti"]), float(claims["exp"]))
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError) as error:
        raise BadToken(str(error)) from None
