"""Read commands as the switch does: its own rules of quotes, backslashes, brackets and separators, with their traps.

Written to behave as ``switch_separate_string``, ``switch_find_end_paren``, ``switch_event_create_brackets`` and the
``originate`` command of FreeSWITCH 1.10 and 1.11 do: a value goes through several of them, and each takes its share of
quotes and backslashes away. Not read: several destinations at once (``,``, ``|`` and ``:_:`` between dial strings).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

USAGE: Final = (
    "-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] [<context>] [<cid_name>] [<cid_num>] "
    "[<timeout_sec>]\n"
)
SEVERAL_CALLS: Final = ":_:"
DEFAULT_TIMEOUT: Final = 60
"""Seconds that an originate without ``originate_timeout`` rings."""

_UNQUOTED_COMMA, _QUOTED_COMMA = "\x02", "\x01"
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "s": " "}
_VARIABLE = re.compile(r"\$\\*\{")
_EXPANSION = re.compile(r"\$\$?\{([^{}]*)\}")


class UsageError(Exception):
    """The command has too few words or too many."""


class ParseError(Exception):
    """The switch does not find a call in it, and fails it with ``cause``."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Destination:
    """One leg to create: the variables for it, and an endpoint with what it should reach."""

    variables: Mapping[str, str]
    endpoint: str
    target: str


@dataclass(frozen=True, slots=True)
class Originate:
    """The command ``originate``, its first leg not yet read: a fault in it fails the call, not the command."""

    dial: str
    program: tuple[tuple[str, str], ...]
    """The applications to run after the answer, with their arguments."""
    caller_name: str = ""
    caller_number: str = ""
    timeout: int = DEFAULT_TIMEOUT


def separate(text: str, separator: str, limit: int = 1024) -> list[str]:
    """Split at a separator outside quotes, into at most ``limit`` parts; trim each, and take its quotes and escapes."""
    if text.startswith("^^") and len(text) > 3:
        separator, text = text[2], text[3:]
    if "'" not in text and "\\" not in text:
        return _separate_plain(text, separator, limit)
    parts: list[str] = []
    start, quoted, at = 0, False, 0
    while at < len(text) and len(parts) < limit - 1:
        char = text[at]
        if char == "\\":
            at += 1
        elif char == "'" and (quoted or separator == " " or "'" in text[at + 1 :]):
            quoted = not quoted
        elif char == separator and not quoted:
            parts.append(text[start:at])
            if separator == " ":
                while at + 1 < len(text) and text[at + 1] == " ":
                    at += 1
            start = at + 1
        at += 1
    if start < len(text):
        parts.append(text[start:])
    return [_clean(part, separator) for part in parts]


def _separate_plain(text: str, separator: str, limit: int) -> list[str]:
    if separator == " ":
        parts = re.split(" +", text.strip(" "), maxsplit=limit - 1) if text.strip(" ") else []
    else:
        parts = text.split(separator, limit - 1)
        if parts[-1] == "":
            parts.pop()
    return [part.strip(" ") for part in parts]


def _clean(text: str, separator: str) -> str:
    """Trim spaces outside quotes; take quotes that have a partner away; resolve the escapes that the switch knows."""
    text = text.lstrip(" ")
    known = {"'", '"', "\\"} | ({separator} if separator != " " else set())
    found: list[str] = []
    kept, quoted, at = 0, False, 0
    while at < len(text):
        char = text[at]
        following = text[at + 1 : at + 2]
        if char == "\\" and following and (following in known or following in _ESCAPES):
            found.append(following if following in known else _ESCAPES[following])
            kept = len(found)
            at += 1
        elif char == "'" and (quoted or "'" in text[at + 1 :]):
            quoted = not quoted
            if quoted:
                kept = len(found)
        else:
            found.append(char)
            if char != " " or quoted:
                kept = len(found)
        at += 1
    return "".join(found[:kept])


def end_of_brackets(text: str, opening: str, closing: str) -> int:
    """Return where the bracket that ``text`` begins with is closed, or -1. Quotes protect nothing here."""
    depth = 0
    for match in re.finditer(f"[{re.escape(opening + closing)}]", text):
        depth += 1 if match[0] == opening else -1
        if depth == 0:
            return match.start()
    return -1


def expand(text: str, known: Mapping[str, str]) -> str:
    """Put variables in place of ``${name}`` and ``$${name}``; those that nobody knows vanish."""
    return _EXPANSION.sub(lambda match: known.get(match[1], ""), text) if "${" in text else text


def read_originate(argument: str) -> Originate:
    """Read the words of ``originate``; raises ``UsageError``."""
    words = separate(argument, " ", 10)
    if not 2 <= len(words) <= 7:
        raise UsageError
    words = ["" if word.lower() == "undef" else word for word in words] + [""] * 5
    dial, action, dialplan, _context, name, number, timeout = words[:7]
    program = read_program(action, dialplan)
    if len(action) > 1 and action.startswith("&"):
        application, _, argument = action[1:].partition(")")[0].partition("(")
        program = [(application, argument)]
    seconds = int(timeout) if timeout.isdigit() else DEFAULT_TIMEOUT
    return Originate(dial, tuple(program), name, number, seconds)


def read_program(extension: str, dialplan: str) -> list[tuple[str, str]]:
    """Return the applications that an extension stands for; those of any dialplan but ``inline`` nobody has written."""
    if dialplan.lower() != "inline":
        return [("transfer", extension)]
    separator = ","
    if extension.startswith("m:") and extension[3:4] == ":":
        separator, extension = extension[2], extension[4:]
    found = (item.partition(":") for item in separate(extension, separator, 128))
    return [(name.lstrip(" "), argument) for name, _, argument in found]


def read_destination(dial: str) -> Destination:
    """Read a dial string with its ``{…}`` and ``[…]``; raises ``ParseError``."""
    variables: dict[str, tuple[str, str]] = {}
    if SEVERAL_CALLS in dial:
        raise ParseError("DESTINATION_OUT_OF_ORDER")
    dial = dial.lstrip(" ")
    while dial.startswith("{"):
        dial = _read_brackets(dial, "{}", ",", variables)
    dial = dial.lstrip(" ")
    if not dial:
        raise ParseError("DESTINATION_OUT_OF_ORDER")
    several = separate(dial, "|", 128)
    peers = separate(_mark_commas(several[0]), ",", 128) if several else []
    if len(several) != 1 or len(peers) != 1:
        raise ParseError("CHAN_NOT_IMPLEMENTED")
    peer = peers[0].lstrip(" ")
    while peer.startswith("["):
        peer = _read_brackets(peer.replace(_QUOTED_COMMA, ","), "[]", _UNQUOTED_COMMA, variables)
    endpoint, _, target = peer.lstrip(" ").partition("/")
    return Destination(dict(variables.values()), endpoint, target)


def _read_brackets(text: str, brackets: str, separator: str, variables: dict[str, tuple[str, str]]) -> str:
    """Add the variables of the brackets that ``text`` begins with, and return what follows them.

    A value that holds what looks like a variable is not taken.
    """
    end = end_of_brackets(text, *brackets)
    if end < 0:
        raise ParseError("DESTINATION_OUT_OF_ORDER")
    inside = text[1:end]
    if inside.startswith("^^") and len(inside) > 2:
        separator, inside = inside[2], inside[3:]
    for pair in separate(inside, separator):
        parts = separate(pair, "=", 2)
        if len(parts) == 2 and parts[1] and not _VARIABLE.search(parts[1]):
            variables[parts[0].lower()] = (parts[0], parts[1])
    return text[end + 1 :]


def _mark_commas(text: str) -> str:
    """Hide the commas inside ``[…]`` from the split into destinations: quoted and unquoted ones differ later."""
    start = text.find("[")
    if start < 0 or (end := end_of_brackets(text[start:], "[", "]")) < 0:
        return text
    end += start
    found, quoted = [text[:start]], False
    other_separator = text.startswith("[^^", start)
    for at in range(start, end):
        char = text[at]
        if char == "'":
            quoted = not quoted
        if char == "," and text[at - 1] != "\\":
            char = _QUOTED_COMMA if quoted or other_separator else _UNQUOTED_COMMA
        found.append(char)
    return "".join(found) + text[end:]
