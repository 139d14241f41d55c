"""Settings from the environment: typed, from files too, and loud when wrong."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

from dialer import embedded, logs

VALUES = (
    "DEBUG", "SECRET_KEY", "DATABASES", "REDIS_URL", "CELERY_BROKER_URL", "ALLOWED_HOSTS", "PORT", "EMBEDDED",
    "SIMULATED", "FREESWITCH_URL", "CLOCK_IS_REAL",
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def read(data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Read the settings in a process of their own, which prints those of VALUES as JSON."""
    code = f"import json; from dialer import settings as s; print(json.dumps({{n: getattr(s, n) for n in {VALUES}}}))"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(data), **environment},
        cwd=embedded.PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def values(data: Path, **environment: str) -> dict[str, Any]:
    done = read(data, **environment)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def complaint(data: Path, **environment: str) -> str:
    """Return the last line of what wrong settings say."""
    done = read(data, **environment)
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


def test_without_any_setting_it_is_safe_and_for_this_machine(data: Path) -> None:
    got = values(data)
    assert got["DEBUG"] is False
    assert got["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert got["EMBEDDED"] is True
    assert got["SIMULATED"] is True
    assert got["CLOCK_IS_REAL"] is True
    database = got["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert database["HOST"].endswith("/main/run")
    assert got["REDIS_URL"].startswith("unix:///")
    assert got["CELERY_BROKER_URL"].startswith("redis+socket:///")


def test_the_secret_key_is_made_once_and_kept_for_the_owner_alone(data: Path) -> None:
    first = values(data)["SECRET_KEY"]
    assert len(first) >= 50
    assert values(data)["SECRET_KEY"] == first
    assert (data / "secret-key").stat().st_mode & 0o777 == 0o600


def test_a_given_secret_key_is_not_kept(data: Path) -> None:
    assert values(data, SECRET_KEY="given")["SECRET_KEY"] == "given"
    assert not (data / "secret-key").exists()


def test_a_secret_may_come_from_a_file(data: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("of the file\n")
    assert values(data, SECRET_KEY_FILE=str(tmp_path / "key"))["SECRET_KEY"] == "of the file"
    (tmp_path / "url").write_text("postgresql://me:secret@db.example.org/calls\n")
    database = values(data, DATABASE_URL_FILE=str(tmp_path / "url"))["DATABASES"]["default"]
    assert (database["HOST"], database["NAME"], database["PASSWORD"]) == ("db.example.org", "calls", "secret")


def test_servers_of_ones_own(data: Path) -> None:
    got = values(
        data, DATABASE_URL="postgresql://me@db/calls", REDIS_URL="redis://r:6379/1", FREESWITCH_URL="esl://:p@fs:8021"
    )
    assert got["EMBEDDED"] is False
    assert got["SIMULATED"] is False
    assert got["CELERY_BROKER_URL"] == "redis://r:6379/1"
    assert got["FREESWITCH_URL"] == "esl://:p@fs:8021"


def test_workers_hold_connections_and_the_web_has_a_pool(data: Path) -> None:
    assert values(data)["DATABASES"]["default"]["CONN_MAX_AGE"] == 600
    web = values(data, DATABASE_POOL="true")["DATABASES"]["default"]
    assert web["OPTIONS"]["pool"]["max_size"] == 10
    assert "CONN_MAX_AGE" not in web


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DEBUG", "maybe", "DEBUG is “maybe”. Set it to true or false."),
        ("PORT", "eight", "PORT is “eight”. Set it to a whole number from 1 to 65535."),
        ("PORT", "0", "PORT is “0”."),
        ("DATABASE_URL", "mysql://localhost/x", "DATABASE_URL must name a PostgreSQL database"),
        ("REDIS_URL", "localhost:6379", "REDIS_URL must begin with redis://"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is “LOUD”."),
        ("LOG_FORMAT", "xml", "LOG_FORMAT is “xml”. Set it to text or json."),
        ("SECRET_KEY_FILE", "/nowhere", "SECRET_KEY_FILE names a file that cannot be read"),
        ("CLOCK_FACTOR", "0", "CLOCK_FACTOR must be above zero"),
        (
            "PHONE_WSS_URL",
            "https://sip.example.org",
            "PHONE_WSS_URL is “https://sip.example.org”. Set it to",
        ),
        ("PHONE_WSS_URL", "wss://sip.example.org; script-src *", "PHONE_WSS_URL is"),
        ("PHONE_ICE_SERVERS", "stun:a.example,b.example", "PHONE_ICE_SERVERS has “b.example”."),
        ("PHONE_LOGIN_MINUTES", "1", "PHONE_LOGIN_MINUTES is “1”."),
    ],
)
def test_a_wrong_setting_stops_the_start_and_says_what_to_do(data: Path, name: str, value: str, said: str) -> None:
    assert said in complaint(data, **{name: value})


def test_a_data_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Set DATA_DIR to one that can" in complaint(tmp_path / "file" / "data")


@pytest.mark.parametrize("wrong", ["tcp://:p@fs", "esl://fs:8021", "esl://:p@fs,esl://:p@fs"])
def test_an_address_of_a_switch_that_cannot_be_read_is_an_error(settings: Settings, wrong: str) -> None:
    settings.SIMULATED, settings.FREESWITCH_URL = False, wrong
    assert "dialer.E002" in {message.id for message in run_checks()}


@pytest.mark.parametrize(
    ("simulated", "real", "ids"), [(True, False, set()), (False, True, set()), (False, False, {"dialer.E001"})]
)
def test_a_clock_of_rehearsals_is_refused_with_a_real_switch(
    settings: Settings, simulated: bool, real: bool, ids: set[str]
) -> None:
    settings.SIMULATED, settings.CLOCK_IS_REAL, settings.FREESWITCH_URL = simulated, real, "esl://:p@fs:8021"
    found = [message for message in run_checks() if str(message.id).startswith("dialer.E")]
    assert {message.id for message in found} == ids
    assert all(message.hint for message in found)


def test_a_deployment_with_the_embedded_servers_is_warned(settings: Settings) -> None:
    settings.EMBEDDED = True
    assert "dialer.W001" in {message.id for message in run_checks(include_deployment_checks=True)}
    assert "dialer.W001" not in {message.id for message in run_checks()}


def record(**extra: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "dialer.engine", "levelname": "WARNING", "created": 1_777_885_200.123, "msg": "Call %s ended"}
        | {"args": ("7",)}
        | extra
    )


def test_a_log_line_tells_its_keys() -> None:
    line = logs.TextFormatter().format(record(attempt=17, campaign=3))
    assert line == "2026-05-04T09:00:00.123Z WARNING dialer.engine Call 7 ended campaign=3 attempt=17"


def test_a_log_line_may_be_json() -> None:
    event = json.loads(logs.JsonFormatter().format(record(attempt=17, note="x")))
    assert event == {
        "time": "2026-05-04T09:00:00.123Z",
        "level": "WARNING",
        "logger": "dialer.engine",
        "message": "Call 7 ended",
        "attempt": 17,
        "note": "x",
    }
