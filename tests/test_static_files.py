"""The collection of the static files, by several processes of one clone at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dialer import static_files


def test_of_several_that_start_at_once_one_collects_and_the_others_wait(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STATIC_ROOT = tmp_path / "collected"
    collections: list[float] = []

    def collect(*_: Any, **__: Any) -> None:
        collections.append(time.monotonic())
        time.sleep(0.3)
        (settings.STATIC_ROOT / "staticfiles.json").write_text("{}")

    monkeypatch.setattr(static_files, "call_command", collect)
    several = [threading.Thread(target=static_files.collect) for _ in range(3)]
    for each in several:
        each.start()
    for each in several:
        each.join()
    assert len(collections) == 1
