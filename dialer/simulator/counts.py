"""How often everybody has been called, so that a simulator that died and came back goes on with the same day."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TextIO


class Counts:
    """Count the calls to each number and extension, in a file when one is given, one line for each.

    The file begins with the rule time of the start of the day, in seconds since 1970.
    """

    def __init__(self, path: Path | None, now: float) -> None:
        self._counted: Counter[str] = Counter()
        self._file: TextIO | None = None
        self.start = now
        if path is None:
            return
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        if lines:
            self.start = float(lines[0])
            self._counted.update(lines[1:])
        self._file = path.open("a", encoding="utf-8", buffering=1)
        if not lines:
            self._file.write(f"{now}\n")

    def next(self, party: str, key: str) -> int:
        """Count one call and return its number, from 1."""
        name = f"{party} {key}"
        self._counted[name] += 1
        if self._file:
            self._file.write(f"{name}\n")
        return self._counted[name]

    def close(self) -> None:
        if self._file:
            self._file.close()
