"""Which channel variables a campaign, a route or a list may set: a list must never be able to run anything on a switch.

A variable is a name and a text on a channel of the switch. Many names make the switch act (``api_on_answer`` runs a
command, ``origination_uuid`` changes which call it is): those are refused unless an administrator allowed them.
Pure: no Django but its translations, no I/O but the data file beside this one, which
``dialer/switch/extract_reserved.py`` makes.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from django.utils.translation import gettext

MAX_VALUE = 4096
"""Bytes (UTF-8) of a value."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FILE = Path(__file__).with_name("reserved_variables.txt")


def is_reserved(name: str) -> bool:
    """Tell whether the switch itself, or this dialer, reads or writes that variable. The switch ignores case."""
    names, patterns = _reserved()
    lowered = name.lower()
    return lowered in names or patterns.fullmatch(lowered) is not None


def check_name(name: object, allowed: Iterable[str] = ()) -> None:
    """Refuse a name that the switch cannot carry or that has power over it, unless it is among ``allowed``.

    Raises ``ValueError`` with a sentence for the person who wrote the name. Names that begin with ``dialer_`` are
    ours, whoever allows them.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        told = gettext("“%s” is no name for a variable: use up to 64 Latin letters, digits and “_”, no digit first.")
        raise ValueError(told % str(name)[:80])
    if name.lower().startswith("dialer_"):
        raise ValueError(gettext("“%s” belongs to the dialer: choose another name.") % name)
    if is_reserved(name) and name.lower() not in {item.lower() for item in allowed}:
        told = gettext("“%s” acts on the switch itself: choose another name, or have an administrator allow it.")
        raise ValueError(told % name)


def check_value(name: str, value: object) -> None:
    """Refuse a value that is not plain: text (or a number, or a yes/no) up to 4 kB without control characters.

    Newline and tab are text. Raises ``ValueError`` with a sentence that names the variable.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(gettext("“%s” is not a finite number.") % name)
    if not isinstance(value, str | int | float):
        told = gettext("“%s” is not text: lists, objects and null cannot be values of a variable.")
        raise ValueError(told % name)
    text = as_text(value)
    for char in text:
        if unicodedata.category(char) in {"Cc", "Cs"} and char not in "\n\t":
            told = gettext("“%(name)s” holds the control character U+%(code)s.")
            raise ValueError(told % {"name": name, "code": f"{ord(char):04X}"})
    if len(text.encode()) > MAX_VALUE:
        raise ValueError(gettext("“%(name)s” is longer than %(most)d bytes.") % {"name": name, "most": MAX_VALUE})


def as_text(value: object) -> str:
    """Write a value as a channel carries it: text as it is, the others as in JSON."""
    return value if isinstance(value, str) else json.dumps(value)


@cache
def _reserved() -> tuple[frozenset[str], re.Pattern[str]]:
    """Read the data file: a name a line, in lower case; ``*`` stands for any characters, ``#`` begins a remark."""
    lines = [line for line in _FILE.read_text("utf-8").split("\n") if line and not line.startswith("#")]
    patterns = (re.escape(line).replace(r"\*", ".*") for line in lines if "*" in line)
    return frozenset(line for line in lines if "*" not in line), re.compile("|".join(patterns))
