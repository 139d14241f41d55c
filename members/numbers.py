"""Telephone numbers as people type them, made plain. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

MAX_TYPED = 64
"""Characters of a number as typed."""
MAX_DIGITS = 32
"""Characters that are dialled, a leading ``+`` not among them."""

_DIALLED = frozenset("0123456789*#")
_DROPPED = frozenset(".()[]")


class Clean(NamedTuple):
    """A number that can be dialled."""

    dial: str
    """What is dialled: ``0-9 * #`` and a leading ``+`` when given."""
    digits: str
    """``dial`` without the ``+``: what tells one number from another."""


def clean(text: str) -> Clean:
    """Return what a number as typed dials: spaces, dots, dashes and brackets are dropped.

    Raises ``ValueError`` with a sentence that says what is wrong.
    """
    typed = text.strip()
    if not typed:
        raise ValueError("A number is missing.")
    if len(typed) > MAX_TYPED:
        raise ValueError(f"“{typed[:20]}…” is too long for a number: at most {MAX_TYPED} characters.")
    kept = "".join(char for char in typed if not _is_dropped(char))
    plus, digits = kept[:1] == "+", kept.removeprefix("+")
    for char in digits:
        if char == "+":
            raise ValueError(f"“{typed}” has a “+” that is not at its beginning.")
        if char not in _DIALLED:
            raise ValueError(
                f"“{typed}” holds {_named(char)}: a number is made of the digits 0-9, *, # and a leading +; "
                "spaces, dots, dashes and brackets are ignored."
            )
    if not digits:
        raise ValueError(f"“{typed}” has no digits.")
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"“{typed}” has {len(digits)} digits: at most {MAX_DIGITS}.")
    return Clean("+" + digits if plus else digits, digits)


def digits_of(text: str) -> str:
    """Return the digits that a typed beginning or end of a number stands for; empty when it is no such thing."""
    kept = "".join(char for char in text.strip() if not _is_dropped(char)).removeprefix("+")
    return kept if re.fullmatch(r"[0-9*#]+", kept) else ""


def _is_dropped(char: str) -> bool:
    return char in _DROPPED or unicodedata.category(char) in {"Zs", "Pd"}


def _named(char: str) -> str:
    return f"“{char}”" if char.isprintable() else f"the character U+{ord(char):04X}"
