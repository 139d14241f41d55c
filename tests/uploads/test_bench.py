from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ("DATABASE_URL", "REDIS_URL")


@pytest.mark.slow
def test_the_benchmark_of_uploads_measures_them(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in SERVERS} | {
        "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "dialer.settings",
    }  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "manage.py", "bench_uploads", "--rows", "2000"],
        env=environ, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    *table, found = ran.stdout.splitlines()
    measured = json.loads(found)
    assert measured["rows"] == 2000
    for name in ("raw_seconds", "check_seconds", "load_seconds", "peak_megabytes", "meanwhile_p95_ms", "passes"):
        assert measured[name] > 0, name
    assert measured["speed"] == measured["raw_seconds"] / (measured["check_seconds"] + measured["load_seconds"])
    assert [line for line in table if line.startswith("speed, of raw COPY's")]
