from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dialer.benchmark.statistics import WORK

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ("DATABASE_URL", "REDIS_URL")


@pytest.mark.slow
def test_the_benchmark_of_statistics_measures_them(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in SERVERS} | {
        "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "dialer.settings",
    }  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "manage.py", "bench_statistics", "--quick", "--rounds", "1"],
        env=environ, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    heading, *lines, about = ran.stdout.splitlines()
    assert heading.split()[-3:] == ["30,000", "60,000", "ratio"]
    assert "20,000 attempts" in about
    for name, line in zip(WORK, lines, strict=True):
        assert line.startswith(name)
        short, long, ratio = map(float, line.removeprefix(name).split("(")[0].split())
        assert short > 0
        assert ratio == pytest.approx(long / short, rel=0.1), "one round has one ratio"
