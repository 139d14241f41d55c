"""How FreeSWITCH 1.11 takes an originate command apart, rewritten from its C, function by function.

``separate``, ``cleanup`` and ``brackets`` are switch_separate_string, cleanup_separated_string and
switch_event_create_brackets; ``originate`` follows originate_function and switch_ivr_originate as far as what the
command means: which variables, endpoints and application. It refuses nothing: it shows what the switch would do.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "s": " "}


@dataclass
class Leg:
    variables: list[tuple[str, str]] = field(default_factory=list)
    endpoint: str = ""


@dataclass
class Parsed:
    first: list[Leg]
    application: str
    argument: str
    second: list[Leg] = field(default_factory=list)
    inline: list[tuple[str, str]] = field(default_factory=list)
    """The applications of the ``inline`` dialplan, with their arguments."""


def cleanup(text: str, delimiter: str) -> str:
    text = text.lstrip(" ")
    out: list[str] = []
    end = 0
    found = False
    quoted = False
    place = 0
    while place < len(text):
        char = text[place]
        if char == "\\" and place + 1 < len(text):
            after = text[place + 1]
            if after in "'\"\\" or after == delimiter or after in ESCAPES:
                out.append(after if after == delimiter else ESCAPES.get(after, after))
                end, found = len(out), True
                place += 2
                continue
        if char == "'" and (quoted or "'" in text[place + 1 :]):
            quoted = not quoted
            if quoted:
                end, found = len(out), True
        else:
            out.append(char)
            if char != " " or quoted:
                end, found = len(out), True
        place += 1
    return "".join(out[:end] if found else out)


def separate(text: str, delimiter: str, limit: int) -> list[str]:
    if text.startswith("^^") and len(text) > 3:
        delimiter, text = text[2], text[3:]
    blank = delimiter == " "
    parts: list[str] = []
    place = 0
    while place < len(text):
        if len(parts) == limit - 1:  # the last part that fits takes the rest, unsplit
            parts.append(text[place:])
            break
        start, stop, quoted = place, len(text), False
        while blank and place < len(text) and text[place] == " ":
            place += 1
        while place < len(text):
            char = text[place]
            place += 1
            if char == "\\":
                place += 1
            elif char == "'" and (blank or quoted or "'" in text[place:]):
                quoted = not quoted
            elif char == delimiter and not quoted:
                stop = place - 1
                break
        while blank and place < len(text) and text[place] == " ":
            place += 1
        parts.append(text[start:stop])
    return [cleanup(part, "" if blank else delimiter) for part in parts]


def end_paren(text: str, opening: str, closing: str) -> int:
    depth = 0
    for place, char in enumerate(text):
        if char == opening:
            depth += 1
        elif char == closing:
            depth -= 1
            if depth == 0:
                return place
    return -1


def brackets(text: str, opening: str, closing: str, delimiter: str) -> tuple[list[tuple[str, str]], str]:
    end = end_paren(text, opening, closing)
    if end < 0:
        raise ValueError("Parse Error!")
    inside, rest = text[1:end], text[end + 1 :]
    pairs = []
    for item in separate(inside, delimiter, 1024):
        halves = separate(item, "=", 2)
        if len(halves) == 2:
            pairs.append((halves[0], halves[1]))
    return pairs, rest


def legs(data: str) -> list[Leg]:
    """Take a dial string apart: its global variables, then its endpoints with their own."""
    if ":_:" in data:
        return [leg for part in data.split(":_:") for leg in legs(part)]
    shared: list[tuple[str, str]] = []
    data = data.lstrip(" ")
    while data.startswith("{"):
        pairs, data = brackets(data, "{", "}", ",")
        shared += pairs
    found = []
    for alternative in separate(data.lstrip(" "), "|", 128):
        marked = list(alternative)
        end = -1
        quoted = False
        for place, char in enumerate(marked):
            if end < 0 and char == "[":
                end = place + end_paren(alternative[place:], "[", "]")
                quoted = False
            if char == "'":
                quoted = not quoted
            if place < end and char == "," and marked[place - 1] != "\\":
                marked[place] = "\x01" if quoted else "\x02"
            if place == end:
                end = -1
        for peer in separate("".join(marked), ",", 128):
            leg = Leg(list(shared))
            rest = peer.lstrip(" ")
            while rest.startswith("["):
                pairs, rest = brackets(rest.replace("\x01", ","), "[", "]", "\x02")
                leg.variables += pairs
            leg.endpoint = rest.lstrip(" ")
            found.append(leg)
    return found


def originate(command: str) -> Parsed:
    """Take ``originate …`` apart, and the argument of ``&bridge(…)`` as a dial string of its own."""
    name, _, text = command.partition(" ")
    assert name == "originate"
    arguments = separate(text.strip(), " ", 10)
    if not 2 <= len(arguments) <= 7:
        raise ValueError("-USAGE")
    first, extension = arguments[:2]
    if arguments[2:3] == ["inline"]:
        return Parsed(legs(first), "", "", inline=inline(extension))
    assert extension.startswith("&")
    application, _, argument = extension[1:].split(")")[0].partition("(")
    parsed = Parsed(legs(first), application, argument)
    if application == "bridge":
        assert "${" not in argument, "the switch would expand it"
        parsed.second = legs(argument)
    return parsed


def inline(text: str) -> list[tuple[str, str]]:
    """Follow inline_dialplan_hunt: applications and their arguments, ``m:X:`` naming another separator than a comma."""
    delimiter = ","
    if text.startswith("m:") and text[3:4] == ":":
        delimiter, text = text[2], text[4:]
    found = (item.partition(":") for item in separate(text, delimiter, 128))
    return [(name.lstrip(" "), rest) for name, _, rest in found]


def setvar(command: str) -> tuple[str, str, str]:
    """Take ``uuid_setvar …`` apart."""
    name, _, text = command.partition(" ")
    assert name == "uuid_setvar"
    leg, variable, value = separate(text.strip(), " ", 3)
    return leg, variable, value
