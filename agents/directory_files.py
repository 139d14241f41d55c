"""Reads an existing directory of a switch: which of its users are operators, and what it says of them.

The files are read as they are: a ``$${name}`` in them stands for a variable of the switch that the caller may give.
Nothing in them makes us read another file or expand an entity.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from agents.directory import PARAMETERS, digest_a1

SAME = {
    "agent-busy-delay-time": "agent-busy-delay",
    "agent-reject-delay-time": "agent-reject-delay",
    "agent-no-answer-delay-time": "agent-no-answer-delay",
}
"""Other names of parameters, as call centre modules of the switch have them; they may have ``cc-`` before them too."""
DOMAIN = "@domain"
"""Where the name of a user's domain is kept among what it says; no param has such a name."""
NAMES = ("agent-name", "effective-caller-id-name")
"""Where a user's name may stand, the first one that does."""
YES = {"yes", "on", "true", "t", "enabled", "active", "allow"}
"""What the switch takes for true, beside numbers other than 0."""

_VARIABLE = re.compile(r"\$\$\{([^}]*)\}")
_TIMEOUT = re.compile(r"(?:originate_timeout|leg_timeout|call_timeout)=(\d+)")
_A1 = re.compile(r"[0-9a-fA-F]{32}")
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")


@dataclass(slots=True)
class Found:
    """A user who is an operator. ``fields`` are those of ``Operator`` that the directory tells."""

    file: str
    extension: str
    fields: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What the reader of a report should know of him."""


@dataclass(slots=True)
class Reading:
    """What a directory holds."""

    files: int = 0
    operators: list[Found] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Users who are no operators."""
    faults: list[str] = field(default_factory=list)
    """Each begins with the file, and with the user when it is his."""
    left: dict[str, int] = field(default_factory=dict)
    """Names of params and variables of operators that mean nothing to us, and how many users have each."""


def read(path: Path, realm: str, variables: Mapping[str, str], *, everyone: bool = False) -> Reading:
    """Read a file, or every ``.xml`` file below a folder. ``OSError`` when PATH itself cannot be read.

    ``realm`` is what passwords are hashed for, ``variables`` what ``$${…}`` stands for. ``everyone``: users without
    the agent attribute are operators too.
    """
    reading = Reading()
    if path.is_dir():
        files = sorted(path.rglob("*.xml"))
    else:
        path.open().close()
        files = [path]
    seen: dict[str, str] = {}
    for file in files:
        reading.files += 1
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        try:
            root = _parse(file)
        except (ValueError, OSError) as error:
            reading.faults.append(f"{name}: {error}.")
            continue
        for user, values in _users(root, {}):
            _take(reading, name, user, values, seen, realm, variables, everyone=everyone)
    return reading


def _parse(file: Path) -> ET.Element:
    """Parse a file that may have several elements at its top; ``ValueError`` says what is wrong."""
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8: convert it") from None
    try:
        # Inside of an element there can be no document type, hence no entity of a file's own.
        return ET.fromstring("<directory>" + _DECLARATION.sub("", text) + "</directory>")  # noqa: S314
    except ET.ParseError as error:
        raise ValueError(f"it is not XML: {error}") from None


def _users(element: ET.Element, inherited: Mapping[str, str]) -> Iterator[tuple[ET.Element, dict[str, str]]]:
    """Yield each user with what its domain and groups say, the nearest winning; pointers to a user are none."""
    own = {**inherited, **_values(element)}
    if element.tag == "domain":
        own[DOMAIN] = element.get("name", "")
    for child in element:
        if child.tag == "user":
            if child.get("type") != "pointer":
                yield child, {**own, **_values(child)}
        elif child.tag not in ("params", "variables"):
            yield from _users(child, own)


def _values(element: ET.Element) -> dict[str, str]:
    """Return the params and variables of an element, by name in one spelling."""
    return {
        _spelled(item.get("name", "")): item.get("value", "")
        for item in (*element.findall("params/param"), *element.findall("variables/variable"))
    }


def _spelled(name: str) -> str:
    name = name.strip().lower().replace("_", "-").removeprefix("cc-")
    return SAME.get(name, name)


def _take(
    reading: Reading,
    file: str,
    user: ET.Element,
    values: Mapping[str, str],
    seen: dict[str, str],
    realm: str,
    variables: Mapping[str, str],
    *,
    everyone: bool,
) -> None:
    """Add a user to what was read: as an operator, as somebody else, or as a fault."""
    extension = _filled(user.get("id", "").strip(), variables)
    if not extension:
        reading.faults.append(f"{file}: a user has no id.")
        return
    values = {name: _filled(value, variables) for name, value in values.items()}
    if not (everyone or _is_true(values.get("agent", ""))):
        reading.others.append(extension)
        return
    if extension in seen:
        reading.faults.append(f"{file}: user {extension} is in {seen[extension]} too: keep one of the two.")
        return
    seen[extension] = file
    found = Found(file, extension)
    faults = _read_fields(found, values, realm)
    reading.faults += [f"{file}: user {extension}: {fault}" for fault in faults]
    reading.operators.append(found)
    known = {
        DOMAIN,
        "agent",
        "agent-contact",
        "a1-hash",
        "password",
        "allow-empty-password",
        "dial-string",
        "user-context",
    }
    for name in values.keys() - known - set(NAMES) - set(PARAMETERS):
        reading.left[name] = reading.left.get(name, 0) + 1


def _read_fields(found: Found, values: Mapping[str, str], realm: str) -> list[str]:
    """Fill in the fields; return what is wrong with them."""
    faults = []
    if name := next((values[name].strip() for name in NAMES if values.get(name, "").strip()), ""):
        found.fields["name"] = name
    timeout = _TIMEOUT.search(values.get("agent-contact", ""))
    if timeout:
        found.fields["call_timeout"] = int(timeout[1])
    for name, field_name in PARAMETERS.items():
        if (value := values.get(name, "").strip()) == "":
            continue
        if value.isascii() and value.isdigit():
            found.fields[field_name] = int(value)
        else:
            faults.append(f"{name} is “{value}”. Write a whole number{_of_what(value)}.")
    password, a1 = values.get("password", ""), values.get("a1-hash", "").strip()
    domain = values.get(DOMAIN, "")
    if a1 and domain and domain != realm:
        found.notes.append(f"no phone password, for that of the directory holds only at {domain}")
    elif a1 and _A1.fullmatch(a1):
        found.fields["sip_password_a1"] = a1.lower()
    elif a1:
        faults.append("a1-hash is not 32 hexadecimal digits (MD5 of id:realm:password).")
    elif _VARIABLE.search(password):
        found.notes.append(f"no phone password{_of_what(password)}")
    elif password:
        found.fields["sip_password_a1"] = digest_a1(found.extension, realm, password)
    else:
        found.notes.append("no phone password")
    return faults


def _filled(value: str, variables: Mapping[str, str]) -> str:
    """Put in the variables of the switch that are known."""
    return _VARIABLE.sub(lambda match: variables.get(match[1].strip(), match[0]), value)


def _of_what(value: str) -> str:
    variable = _VARIABLE.search(value)
    return f", or give the variable: --set {variable[1]}=VALUE" if variable else ""


def _is_true(value: str) -> bool:
    value = value.strip().lower()
    return value in YES or (value.isdigit() and int(value) != 0)
