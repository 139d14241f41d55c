"""What one word of an operator says of a call: a disposition of the campaign, made the fields of a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Faults = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Disposition:
    """A disposition as its campaign defines it."""

    name: str
    meaning: str
    """success, failure, call_back or do_not_call."""
    requires: frozenset[str] = frozenset()
    """Fields of the result that must be said with it."""
    wait: int | None = None
    """Seconds to the next attempt, when nothing else is said."""
    stop: str = ""
    """Which numbers are called no more, when nothing else is said: none, ``number`` (that was dialled) or ``all``."""
    reset_retries: bool = False


def complete(body: Mapping[str, Any], disposition: Disposition, dialled: str) -> tuple[dict[str, Any], Faults]:
    """Return a result with the fields that its disposition stands for, and what is wrong with it by field.

    What the body says itself holds, as far as the disposition allows it: a success is none that is not one.
    ``dialled``: the number of the call.
    """
    said = {name: value for name, value in body.items() if not _is_blank(value)}
    faults: Faults = {}
    success = disposition.meaning == "success"
    if said.get("success", success) is not success:
        told = "is a success" if success else "is not a success"
        faults["success"] = [f"“{disposition.name}” {told}: leave this field out."]
    for name in sorted(disposition.requires - said.keys()):
        faults[name] = [f"“{disposition.name}” asks for it."]
    whole = {**said, "success": success}
    if success:
        return whole, faults
    if disposition.reset_retries:
        whole.setdefault("reset_retries", True)
    if disposition.meaning == "do_not_call":
        whole["do_not_call"] = True
    elif disposition.stop:
        whole.setdefault("stop_communications", "all" if disposition.stop == "all" else [dialled])
    if not whole.keys() & {"call_back_at", "next_after_sec"}:
        if disposition.wait is not None:
            whole["next_after_sec"] = disposition.wait
        elif disposition.meaning == "call_back":
            faults.setdefault("call_back_at", [f"“{disposition.name}” asks when to call back."])
    return whole, faults


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
