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
def test_the_benchmark_of_rest_measures_it(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in SERVERS} | {
        "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "dialer.settings",
    }  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "manage.py", "bench_rest", "--added", "200", "--short", "300", "--long", "600", "--tries=2"],
        env=environ, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    measured = json.loads(ran.stdout.splitlines()[-1])
    assert measured["raw_rate"] > 0
    assert list(measured["rates"]) == ["1", "100", "200"]
    assert all(rate > 0 for rate in measured["rates"].values())
    assert measured["growth"].keys() == measured["pages"].keys()
    assert all(short > 0 and long > 0 for short, long in measured["pages"].values())
