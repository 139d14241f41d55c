"""Telephone numbers as people type them, made plain, and what a number tells of where it rings. Pure."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import NamedTuple

import phonenumbers
import pytz
from django.utils.translation import gettext, gettext_lazy
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, ValidationResult, timezone
from phonenumbers.tzdata import TIMEZONE_DATA

from campaigns import hours
from dialer import countries

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


def clean(text: str, region: str = "") -> Clean:
    """Return what a number as typed dials: spaces, dots, dashes and brackets are dropped.

    With a ``region`` (ISO code of a country) it is made international (E.164): a number with a leading ``+`` in the
    country that it names, any other as somebody in ``region`` dials it. Codes with ``*`` or ``#`` stay as typed.
    Raises ``ValueError`` with a sentence that says what is wrong, and what would be right.
    """
    typed = text.strip()
    kept = typed if _PLAIN.fullmatch(typed) else _kept(typed, region)
    if region and "*" not in kept and "#" not in kept:
        kept = _international(kept, typed, region)
    return Clean(kept, kept.removeprefix("+"))


_PLAIN = re.compile(rf"\+?[0-9*#]{{1,{MAX_DIGITS}}}")


def _kept(typed: str, region: str) -> str:
    if not typed:
        raise ValueError(gettext("A number is missing."))
    if len(typed) > MAX_TYPED:
        told = gettext("“%(typed)s…” is too long for a number: at most %(most)d characters.")
        raise ValueError(told % {"typed": typed[:20], "most": MAX_TYPED})
    kept = "".join(char for char in typed if not _is_dropped(char))
    digits = kept.removeprefix("+")
    for char in digits:
        if char == "+":
            raise ValueError(gettext("“%s” has a “+” that is not at its beginning.") % typed)
        if char not in _DIALLED:
            if region and _has_extension(typed, region):
                told = gettext(
                    "“%s” has an extension, which cannot be dialled: write the number without it, "
                    "and the extension into the description."
                )
                raise ValueError(told % typed)
            told = gettext(
                "“%(typed)s” holds %(sign)s: a number is made of the digits 0-9, *, # and a leading +; "
                "spaces, dots, dashes and brackets are ignored."
            )
            raise ValueError(told % {"typed": typed, "sign": _named(char)})
    if not digits:
        raise ValueError(gettext("“%s” has no digits.") % typed)
    if len(digits) > MAX_DIGITS:
        told = gettext("“%(typed)s” has %(has)d digits: at most %(most)d.")
        raise ValueError(told % {"typed": typed, "has": len(digits), "most": MAX_DIGITS})
    return kept


def _has_extension(typed: str, region: str) -> bool:
    try:
        return bool(phonenumbers.parse(typed, region).extension)
    except NumberParseException:
        return False


_NO_COUNTRY = gettext_lazy("“{typed}” does not begin with the code of a country. Write + and the code first.")
_TOO_SHORT = gettext_lazy("“{typed}” is too short for a number of {country}. Write it in full, area code included.")
_TOO_LONG = gettext_lazy("“{typed}” is too long for a number of {country}. Write one number without an extension.")
_UNREADABLE = {
    NumberParseException.INVALID_COUNTRY_CODE: _NO_COUNTRY,
    NumberParseException.NOT_A_NUMBER: gettext_lazy("“{typed}” is not a telephone number. Write it as +380501234567."),
    NumberParseException.TOO_SHORT_AFTER_IDD: gettext_lazy(
        "“{typed}” is too short: nothing follows the international prefix."
    ),
    NumberParseException.TOO_SHORT_NSN: _TOO_SHORT,
    NumberParseException.TOO_LONG: _TOO_LONG,
}
_IMPOSSIBLE = {
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: gettext_lazy(
        "“{typed}” lacks its area code. Write it in full, area code included."
    ),
    ValidationResult.TOO_SHORT: _TOO_SHORT,
    ValidationResult.TOO_LONG: _TOO_LONG,
    ValidationResult.INVALID_LENGTH: gettext_lazy(
        "“{typed}” has a length that no number of {country} has. Look whether a digit is missing."
    ),
    ValidationResult.INVALID_COUNTRY_CODE: _NO_COUNTRY,
}


def _international(kept: str, typed: str, region: str) -> str:
    try:
        number = phonenumbers.parse(kept, region)
    except NumberParseException as error:
        country = _country(region, int(_country_code(kept) or 0))
        raise ValueError(_UNREADABLE[error.error_type].format(typed=typed, country=country)) from None
    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible != ValidationResult.IS_POSSIBLE:
        country = _country(region, number.country_code or 0)
        raise ValueError(_IMPOSSIBLE[possible].format(typed=typed, country=country))
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _country(region: str, code: int = 0) -> str:
    """Return the name of a region, or of those that have a country code."""
    codes = phonenumbers.region_codes_for_country_code(code) if code else (region,)
    named = region if region in codes else codes[0]
    return f"{countries.name(named)} (+{code or phonenumbers.country_code_for_region(region)})"


def digits_of(text: str) -> str:
    """Return the digits that a typed beginning or end of a number stands for; empty when it is no such thing."""
    kept = "".join(char for char in text.strip() if not _is_dropped(char)).removeprefix("+")
    return kept if re.fullmatch(r"[0-9*#]+", kept) else ""


def beginnings(text: str, region: str = "") -> set[str]:
    """Return the first digits that numbers may have of which the beginning is typed: as it stands, and with a
    ``region`` as it would be stored if it is typed as people there dial it. Empty when it is no beginning.
    """
    digits = digits_of(text)
    if not digits:
        return set()
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region, None) if region else None
    if metadata is None or text.strip().startswith("+") or not digits.isdecimal():
        return {digits}
    code, prefix = str(metadata.country_code), metadata.national_prefix or ""
    found = {digits}
    if prefix and digits.startswith(prefix):
        found.add(code + digits.removeprefix(prefix))
    else:
        found.add(code + digits)
    abroad = re.match(metadata.international_prefix or "(?!)", digits)
    if abroad and abroad.end() < len(digits):
        found.add(digits[abroad.end() :])
    return found


def _is_dropped(char: str) -> bool:
    return char in _DROPPED or unicodedata.category(char) in {"Zs", "Pd"}


def _named(char: str) -> str:
    return f"“{char}”" if char.isprintable() else f"the character U+{ord(char):04X}"


# --- zones ------------------------------------------------------------------------------------------------------


def zones_of(dial: str) -> tuple[str, ...]:
    """Return the time zones (IANA names) in which a number may ring; several where it does not tell.

    Zones that keep the same time are one. Empty for a number without a leading ``+``, and for one that tells nothing:
    a code that no country has, or in a country of several zones a number of none of its kinds.
    """
    code = _country_code(dial)
    if not code:
        return ()
    of_country = _of_country(code)
    return of_country if len(of_country) < 2 else _of_number(dial, code)


def _country_code(dial: str) -> str:
    """Return the country's digits of a number with a leading ``+``; none is the beginning of another."""
    if dial[:1] == "+" and dial[1:].isdigit():
        for length in (1, 2, 3):
            if dial[1 : 1 + length] in _CODES:
                return dial[1 : 1 + length]
    return ""


_CODES = frozenset(map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))


@cache
def _of_country(code: str) -> tuple[str, ...]:
    return _distinct(
        {zone for prefix, zones in TIMEZONE_DATA.items() if prefix.startswith(code) for zone in zones}, code
    )


def _of_number(dial: str, code: str) -> tuple[str, ...]:
    national = dial[1 + len(code) :]
    if not national:
        return ()
    zeros = len(national) - len(national.lstrip("0"))
    number = PhoneNumber(
        int(code), int(national), italian_leading_zero=zeros > 0 or None, number_of_leading_zeros=zeros
    )
    return _known(timezone.time_zones_for_number(number), code)


@cache
def _known(zones: tuple[str, ...], code: str) -> tuple[str, ...]:
    return _distinct(set(zones), code)


def _distinct(zones: set[str], code: str) -> tuple[str, ...]:
    """Return one zone for each clock among these, by name; of equals that of the main region of the country code."""
    main = pytz.country_timezones.get(phonenumbers.region_code_for_country_code(int(code)), [])
    preferred = sorted(zones & pytz.all_timezones_set, key=lambda zone: (zone not in main, zone))
    by_clock: dict[hours.Clock, str] = {}
    for zone in preferred:
        by_clock.setdefault(hours.clock_of(zone), zone)
    return tuple(sorted(by_clock.values()))
