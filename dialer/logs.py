"""Log lines as events with keys: ``log.info("Call ended", extra={"campaign": 3, "attempt": 17})``."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
KEYS = ("campaign", "member", "operator", "attempt", "call_uuid", "node", "upload")
"""The keys that the text format shows; JSON has all that were given."""


def instant(record: logging.LogRecord) -> str:
    """Return when it was logged: real time, UTC, to the millisecond."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """``2026-05-04T09:00:00.123Z WARNING dialer.engine.calls Message key=value``"""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{instant(record)} {record.levelname} {record.name} {record.getMessage()}"
        for key in KEYS:
            value = record.__dict__.get(key)
            if value is not None:
                line += f" {key}={value}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object in a line."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {
            "time": instant(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        event |= {key: value for key, value in vars(record).items() if key not in _PLAIN}
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str, ensure_ascii=False)
