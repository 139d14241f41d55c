"""Call records, as ``mod_json_cdr`` writes one of each leg once it is over."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote, unquote_to_bytes
from uuid import UUID

from dialer.switch.events import LegHungUp, read_instant, read_uuid

FORM = b"cdr="
"""How a body begins that is no plain JSON, by the switch's setting ``encode``: JSON percent-encoded, or in base64. Its
Content-Type tells nothing: with ``disable-100-continue`` it says "form" of plain JSON too."""


class RecordError(ValueError):
    """What came is no call record; the message says why."""


@dataclass(frozen=True, slots=True)
class LegRecord:
    """What the switch wrote of one leg. Instants are its own, in UTC."""

    leg: UUID
    core_uuid: UUID | None
    created_at: datetime
    progress_at: datetime | None
    answered_at: datetime | None
    bridged_at: datetime | None
    ended_at: datetime
    cause: str
    originate_disposition: str
    last_bridge_hangup_cause: str
    by_phone: bool

    def as_event(self) -> LegHungUp:
        """Return what the switch told, or should have told, when the leg ended."""
        return LegHungUp(
            at=self.ended_at,
            core_uuid=self.core_uuid,
            leg=self.leg,
            attempt_id=None,
            role=None,
            cause=self.cause,
            created_at=self.created_at,
            progress_at=self.progress_at,
            answered_at=self.answered_at,
            bridged_at=self.bridged_at,
            originate_disposition=self.originate_disposition,
            last_bridge_hangup_cause=self.last_bridge_hangup_cause,
            by_phone=self.by_phone,
        )


def read_record(body: bytes) -> LegRecord:
    """Read a record as it is posted, or as it stands in a file. Raises ``RecordError``."""
    try:
        if body.startswith(FORM):
            value = body.removeprefix(FORM)
            percent = value.startswith((b"{", b"%7B", b"%7b"))
            body = unquote_to_bytes(value.replace(b"+", b" ")) if percent else base64.b64decode(value, validate=True)
        # Values that are not percent-encoded may hold anything that a phone sent: bytes that are no text are kept out.
        record = json.loads(body.decode("utf-8", "replace"), strict=False)
    except (binascii.Error, json.JSONDecodeError) as error:
        raise RecordError(f"It cannot be read: {error}") from None
    except RecursionError:
        raise RecordError("It cannot be read: it is nested too deeply.") from None
    if not isinstance(record, dict) or not isinstance(record.get("variables"), dict):
        raise RecordError("It has no “variables”.")
    return _read(record)


def _read(record: Mapping[str, Any]) -> LegRecord:
    variables: Mapping[str, Any] = record["variables"]

    def text(name: str) -> str:
        return unquote(str(variables.get(name, "")))

    def instant(name: str) -> datetime | None:
        return read_instant(text(f"{name}_uepoch"))

    leg, created, ended = read_uuid(text("uuid")), instant("start"), instant("end")
    if leg is None:
        raise RecordError("It has no “uuid” among its variables.")
    if created is None or ended is None:
        raise RecordError("It has no “start_uepoch” or no “end_uepoch” among its variables.")
    return LegRecord(
        leg=leg,
        core_uuid=read_uuid(str(record.get("core-uuid", ""))),
        created_at=created,
        progress_at=instant("progress") or instant("progress_media"),
        answered_at=instant("answer"),
        bridged_at=instant("bridge"),
        ended_at=ended,
        cause=text("hangup_cause")[:64],
        originate_disposition=text("originate_disposition")[:64],
        last_bridge_hangup_cause=text("last_bridge_hangup_cause")[:64],
        by_phone=text("sip_hangup_disposition").startswith("recv_"),
    )
