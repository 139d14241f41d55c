"""Workers that are killed in the middle: what they did stands, what they did not is done by the next, nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection

from campaigns.models import Campaign
from dialer import processes
from members.models import Communication, Member
from members.uploads import actions, staging, tasks
from members.uploads.models import Upload, UploadFault
from tests.uploads.conftest import Begin, checked, loaded, work
from tests.webhooks.test_processes import database_url, eventually

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ROWS = 6000
WORKER = """
import sys, django
django.setup()
from members.uploads import staging
staging.CHUNK, staging.BATCH, staging.UNDO_BATCH = 100, 100, 20
staging.work(int(sys.argv[1]))
"""

CELERY = next(
    program.command for program in processes.stack(nodes=[], beat_schedule=Path()) if program.name == "uploads"
)

Start = Callable[[Upload | None], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path, settings: Any) -> Iterator[Start]:
    """Return what starts a worker of one upload with small batches, or the one of all, in a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(upload: Upload | None) -> subprocess.Popen[bytes]:
        own = {
            "DATA_DIR": str(tmp_path), "DATABASE_URL": database_url(), "REDIS_URL": django_settings.REDIS_URL,
            "UPLOADS_DIR": str(settings.UPLOADS_DIR), "DJANGO_SETTINGS_MODULE": "dialer.settings",
        }  # fmt: skip
        command = [sys.executable, "-c", WORKER, str(upload.pk)] if upload else CELERY
        started.append(subprocess.Popen(command, env={**os.environ, **own}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def lines() -> list[str]:
    """Return a list with a fault in each hundredth row, and a duplicate after it."""
    numbers = [("x" if at % 100 == 50 else f"0501{at - (at % 100 == 51) * 2:05}") for at in range(ROWS)]
    return ["name,number_1,number_2", *(f"N{at},{number},0601{at:05}" for at, number in enumerate(numbers))]


def kill_in_the_middle(start: Start, upload: Upload, least: int = 1) -> Upload:
    """Start a worker, kill it once it has come so far, and wait until its session is gone."""
    killed = start(upload)

    def came_far() -> bool:
        upload.refresh_from_db()
        return upload.done > least

    eventually(came_far, 40)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    upload.refresh_from_db()
    assert upload.running, "it was done before it was killed"
    eventually(lambda: staging.abandoned() == [upload.pk], 20)
    return upload


def assert_whole(upload: Upload) -> None:
    faulty = duplicates = ROWS // 100
    added = ROWS - faulty - duplicates
    assert (upload.state, upload.added, upload.skipped, upload.refused) == ("loaded", added, duplicates, faulty)
    assert Member.objects.filter(upload=upload).count() == Member.objects.count() == added
    assert Communication.objects.count() == 2 * added
    assert Member.objects.filter(state="ready", next_communication__isnull=False).count() == added


def test_a_check_whose_worker_is_killed_starts_over(begin: Begin, start: Start) -> None:
    upload = kill_in_the_middle(start, actions.check(begin(lines(), on_duplicate="skip")))
    upload = work(upload)
    faulty = duplicates = ROWS // 100
    assert (upload.state, upload.rows, upload.faulty, upload.duplicates) == ("checked", ROWS, faulty, duplicates)
    assert UploadFault.objects.filter(upload=upload).count() == faulty + duplicates
    assert_whole(work(actions.load(upload)))


def test_a_load_whose_workers_are_killed_goes_on_where_they_were(begin: Begin, start: Start) -> None:
    upload = actions.load(checked(begin(lines(), on_duplicate="skip")))
    upload = kill_in_the_middle(start, upload)
    first = upload.done
    upload = kill_in_the_middle(start, upload, first + 500)
    assert Member.objects.filter(upload=upload).count() == upload.added > 0
    assert_whole(work(upload))


def test_an_undo_whose_worker_is_killed_goes_on(begin: Begin, start: Start) -> None:
    upload = loaded(begin(lines(), on_duplicate="skip"))
    upload = kill_in_the_middle(start, actions.undo(upload))
    assert Member.objects.count() == upload.added - upload.undone
    upload = work(upload)
    assert (upload.state, upload.undone, upload.kept) == ("undone", upload.added, 0)
    assert not Member.objects.exists()


def test_the_worker_of_uploads_takes_over_from_one_who_was_killed(begin: Begin, start: Start) -> None:
    upload = kill_in_the_middle(start, actions.load(checked(begin(lines(), on_duplicate="skip"))))
    start(None)
    tasks.sweep()

    def is_loaded() -> bool:
        upload.refresh_from_db()
        return upload.state == "loaded"

    eventually(is_loaded, 60)
    assert_whole(upload)


def test_what_kills_every_worker_is_given_up(begin: Begin, campaign: Campaign) -> None:
    upload = actions.check(begin(["number", "0501"]))
    Upload.objects.filter(pk=upload.pk).update(tries=staging.MOST_TRIES)
    upload = work(upload)
    assert upload.state == "failed"
    assert "workers died" in upload.fault


def test_a_lost_session_leaves_the_upload_to_the_next_worker(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    upload = actions.load(checked(begin(["number", "0501"])))
    add = staging._add

    def die(*given: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(staging, "_add", die)
    staging.work(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.tries) == ("loading", 1)
    monkeypatch.setattr(staging, "_add", add)
    upload = work(upload)
    assert (upload.state, upload.added, upload.tries) == ("loaded", 1, 0)
