"""Call records, as ``mod_json_cdr`` writes one of each leg once it is over."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, unquote_to_bytes
from uuid import UUID

from dialer.switch.events import read_instant, read_uuid

LONGEST_LEG = timedelta(days=7)
"""No leg of ours lives longer; instants further apart are no instants."""
READ_ONCE = frozenset(
    ("variables", "uuid", "start_uepoch", "end_uepoch", "answer_uepoch", "bridge_uepoch", "hangup_cause")
)
"""What every record says once. With ``encode`` set to true the switch leaves alone what looks encoded, so that a value
could say it too: a record that says one of these twice is refused."""


class RecordError(ValueError):
    """What came is no call record; the message says why."""


@dataclass(frozen=True, slots=True)
class LegRecord:
    """What the switch wrote of one leg. Instants are its own, in UTC."""

    leg: UUID
    core_uuid: UUID | None
    created_at: datetime
    answered_at: datetime | None
    bridged_at: datetime | None
    """When it was bridged last."""
    ended_at: datetime
    cause: str
    originate_disposition: str
    """On an operator's leg: how dialling the subscriber ended."""
    by_phone: bool
    """The phone itself ended it: it hung up, refused or cancelled."""


def read_record(body: bytes) -> LegRecord:
    """Read a record as it is posted, or as it stands in a file. Raises ``RecordError``."""
    try:
        # Values that are not percent-encoded may hold anything that a phone sent: bytes that are no text are kept out.
        text = _as_json(body).decode("utf-8", "replace")
        record = json.loads(text, strict=False, object_pairs_hook=_said_once)
    except ValueError as error:
        told = f"It cannot be read: {error}."
        if _is_percent_encoded(body):
            told += " Set “encode” to false in json_cdr.conf: values that hold quotes do not survive it."
        raise RecordError(told) from None
    except RecursionError:
        raise RecordError("It cannot be read: it is nested too deeply.") from None
    if not isinstance(record, dict) or not isinstance(record.get("variables"), dict):
        raise RecordError("It has no “variables”.")
    return _read(record)


def _as_json(body: bytes) -> bytes:
    """Undo what ``encode`` does. The Content-Type says “form” of anything with ``disable-100-continue``."""
    body = body.strip()
    if body.startswith(b"{"):
        return body
    body = body.removeprefix(b"cdr=")  # which files do not have
    return unquote_to_bytes(body) if _is_percent_encoded(body) else base64.b64decode(body, validate=True)


def _is_percent_encoded(body: bytes) -> bool:
    return body.strip().removeprefix(b"cdr=")[:3].lower() == b"%7b"


def _said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs if name in READ_ONCE]
    if len(names) != len(set(names)):
        raise ValueError("it says something twice")
    return dict(pairs)


def _read(record: Mapping[str, Any]) -> LegRecord:
    variables: Mapping[str, Any] = record["variables"]

    def text(name: str, pattern: str = ".*") -> str:
        value = variables.get(name)
        found = unquote(value) if isinstance(value, str) else ""
        return found if re.fullmatch(pattern, found) else ""

    leg, core = read_uuid(text("uuid")), record.get("core-uuid")
    created, ended = read_instant(text("start_uepoch")), read_instant(text("end_uepoch"))
    if leg is None:
        raise RecordError("It has no “uuid” among its variables.")
    if created is None or ended is None:
        raise RecordError("It has no “start_uepoch” or no “end_uepoch” among its variables.")
    answered, bridged = read_instant(text("answer_uepoch")), read_instant(text("bridge_uepoch"))
    if any(abs(ended - instant) > LONGEST_LEG for instant in (created, answered, bridged) if instant):
        raise RecordError(f"Its instants are more than {LONGEST_LEG.days} days apart.")
    cause = text("hangup_cause", "[A-Z0-9_]{1,64}")
    if not cause:
        raise RecordError("It has no “hangup_cause” among its variables.")
    return LegRecord(
        leg=leg,
        core_uuid=read_uuid(core) if isinstance(core, str) else None,
        created_at=created,
        answered_at=answered,
        bridged_at=bridged,
        ended_at=ended,
        cause=cause,
        originate_disposition=text("originate_disposition", "[A-Za-z0-9_]{1,64}"),
        by_phone=text("sip_hangup_disposition").startswith("recv_"),
    )
