"""Countries by their names in the reader's language."""

from __future__ import annotations

from collections.abc import Iterable

import pytz
from babel import Locale
from django.utils.translation import get_language

AFTER = str.maketrans({"Ґ": "Г\uffff", "Є": "Е\uffff", "І": "И\uffff", "Ї": "И\uffff\uffff"})
"""Letters that stand before А in Unicode, and where they belong in the alphabet."""


def name(code: str) -> str:
    """Return what a country is called, by its two letters (ISO 3166); unknown letters stay as they are."""
    language = get_language() or "en"
    known = pytz.country_names if language == "en" else Locale.parse(language, sep="-").territories
    return str(known.get(code, code))


def named(codes: Iterable[str]) -> list[tuple[str, str]]:
    """Return the codes and names of countries, in the order of their names."""
    return sorted(((code, name(code)) for code in codes), key=lambda one: one[1].translate(AFTER))
