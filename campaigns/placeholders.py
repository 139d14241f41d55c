"""Texts with ``{placeholders}``: a campaign's script and the links that its operators get for each subscriber.

Pure: no Django but its translations. A placeholder is a name in braces; one that nothing is known of becomes empty
text. A value never changes where a link leads: nothing is filled in before its path, and what is filled in is encoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, urlsplit

from django.utils.translation import gettext

from dialer.channel_variables import as_text

NAMES = ("name", "number", "external_id", "campaign", "operator")
"""What each call fills in besides the variables of subscriber and campaign; a variable of the same name yields."""

MOST_LINKS = 10
"""Links that a campaign shows at most."""
LONGEST_URL = 2000
LONGEST_LINK_NAME = 60

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")
_HOST = re.compile(r"(?:(?:[A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def fill(text: str, values: Mapping[str, object]) -> str:
    """Return a text with its placeholders filled in; those without a value become empty."""
    return "".join(piece for piece, _name in pieces(text, values))


def pieces(text: str, values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield a text in pieces: what is written as it is, with no name, and each value with its placeholder's name."""
    since = 0
    for found in _PLACEHOLDER.finditer(text):
        yield text[since : found.start()], ""
        yield _text(values.get(found[1])), found[1]
        since = found.end()
    yield text[since:], ""


def fill_url(url: str, values: Mapping[str, object]) -> str:
    """Return a link with its placeholders filled in, each value percent-encoded; empty when the link is faulty.

    A value that is "." or ".." alone leaves nothing: a browser would walk up the path by it.
    """
    if url_faults(url):
        return ""

    def encoded(found: re.Match[str]) -> str:
        text = _text(values.get(found[1]))
        return "" if text in {".", ".."} else quote(text, safe="")

    return _PLACEHOLDER.sub(encoded, url)


def names_in(text: str) -> list[str]:
    """Return the names of the placeholders of a text, each once, in the order of their first use."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(text)))


def faults(text: str) -> list[str]:
    """Tell each brace that is no part of a placeholder, with its line and the place in it."""
    told = []
    for found in re.finditer(r"\{[^{}\n]*\}|[{}]", text):
        if _PLACEHOLDER.fullmatch(found[0]):
            continue
        if found[0] == "{":
            sentence = gettext("“{” (line %(line)d, character %(place)d) is not closed: write {contact_id}.")
        elif found[0] == "}":
            sentence = gettext("“}” (line %(line)d, character %(place)d) closes nothing: write {contact_id}.")
        else:
            sentence = gettext(
                "“%(found)s” (line %(line)d, character %(place)d) is no placeholder: write a name of Latin letters, "
                "digits and “_”, as {contact_id}."
            )
        line_start = text.rfind("\n", 0, found.start()) + 1
        line, place = text.count("\n", 0, found.start()) + 1, found.start() - line_start + 1
        told.append(sentence % {"found": found[0], "line": line, "place": place})
    return told


def url_faults(url: str) -> list[str]:
    """Tell what is wrong with a link: its braces, its scheme, its host, or a placeholder before its path."""
    if len(url) > LONGEST_URL:
        return [gettext("At most %d characters.") % LONGEST_URL]
    found = faults(url)
    if found:
        return found
    if re.search(r"[\s\\<>\"\x00-\x1f\x7f]", url):
        return [gettext("A link has no spaces, quotation marks, “<”, “>” or “\\”: write %20 for a space.")]
    scheme = re.match(r"https?://", url, re.IGNORECASE)
    if not scheme:
        return [gettext("Begin with https:// or http://, as https://crm.example/{contact_id}.")]
    host = re.split(r"[/?#]", url[scheme.end() :], maxsplit=1)[0]
    if "{" in host:
        told = gettext("No placeholder before the path: write the host itself, as https://crm.example/{contact_id}.")
        return [told]
    if not _HOST.fullmatch(host) or not _has_port(url):
        return [gettext("“%s” is no host: write one as crm.example, with its port if need be.") % host]
    return []


def _has_port(url: str) -> bool:
    """Tell whether the host and the port of a link can be read; no port is fine."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _text(value: object) -> str:
    return "" if value is None else as_text(value)
