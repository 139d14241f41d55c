"""Reads a compose file as ``docker compose config`` does: settings put in, the merged result as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
FILES = ("compose.yaml", "compose.switch.yaml")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Missing(Exception):
    """A setting is required and not there; the text is what the file says of it."""


def load(name: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """Read a file of docker/ with these settings. Raises ``Missing``."""
    raw = yaml.safe_load((DOCKER / name).read_text())
    loaded: dict[str, Any] = _filled(raw, settings)
    return loaded


def names(name: str) -> set[str]:
    """Return the settings that a file of docker/ reads."""
    return set(re.findall(r"\$\{([A-Za-z_][A-Za-z0-9_]*)", (DOCKER / name).read_text()))


def _filled(value: Any, settings: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, settings) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, settings) for item in value]
    return interpolate(value, settings) if isinstance(value, str) else value


def interpolate(text: str, settings: Mapping[str, str]) -> str:
    """Put settings in: ``${NAME}``, ``${NAME:-default}``, ``${NAME:?what to set}``, one inside the other, ``$$``."""
    done = ""
    while "$" in text:
        before, _, rest = text.partition("$")
        done += before
        if rest.startswith("$"):
            done, text = done + "$", rest[1:]
        elif rest.startswith("{"):
            end = _end(rest)
            done, text = done + _value(rest[1:end], settings), rest[end + 1 :]
        else:
            raise ValueError(f"a bare $ in “{text}”: write $$ or ${{NAME}}")
    return done + text


def _end(text: str) -> int:
    """Return where the brace that opens ``text`` closes."""
    depth = 0
    for place, char in enumerate(text):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth == 0:
            return place
    raise ValueError(f"an open brace in “{text}”")


def _value(expression: str, settings: Mapping[str, str]) -> str:
    match = _NAME.match(expression)
    if match is None:
        raise ValueError(f"no name in “{expression}”")
    name, rest = match[0], expression[match.end() :]
    if settings.get(name):
        return settings[name]
    if rest.startswith(":-"):
        return interpolate(rest[2:], settings)
    if rest.startswith(":?"):
        raise Missing(f"{name}: {rest[2:]}")
    if rest:
        raise ValueError(f"“{rest}” is not :- or :?")
    return ""
