"""Where the switch posts its call records, and what reads those that it could not post."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django import db
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse

from dialer import clock
from dialer.engine import records
from dialer.switch.records import RecordError, read_record
from dialer.switch_door import for_switches

log = logging.getLogger(__name__)

LARGEST = 1024 * 1024
"""Bytes of one record; a real one has 20 kB, its variables included."""
WRITTEN_WITHIN = 5.0
"""Real seconds for which a file that has just changed is left alone: the switch may still write it."""
IMPORTED, REFUSED, UNREADABLE = "imported", "refused", "unreadable"
ROTATED = re.compile(r"\d{4}(-\d{2}){5}")
"""Folders that the switch makes below its own at each rotation."""


@for_switches("CDR_PASSWORD")
def receive(request: HttpRequest) -> HttpResponse:
    """Take one record. What is not answered 2xx the switch keeps in a file: 400 is no record, 503 another time."""
    try:
        if len(request.body) > LARGEST:
            raise RequestDataTooBig
        taken = records.take(read_record(request.body))
    except RequestDataTooBig:
        return _refuse(f"It is longer than {LARGEST} bytes.")
    except RecordError as error:
        return _refuse(str(error))
    except db.Error as error:
        log.error("A call record could not be written: %s", error)
        return HttpResponse("The database does not answer.\n", status=503, content_type="text/plain")
    log.info("call record: %s", taken)
    return HttpResponse(f"{taken}\n", content_type="text/plain")


def _refuse(reason: str) -> HttpResponse:
    log.warning("A call record was refused: %s", reason)
    return HttpResponse(f"{reason}\n", status=400, content_type="text/plain; charset=utf-8")


def import_folder(folder: Path) -> Counter[str]:
    """Take in the records of a folder's files (``*.json``), and move each away; return what became of how many.

    Taken ones go to ``imported/DATE``, those that are no record to ``refused`` with the reason beside them. A file is
    moved once its record is in the database, so whoever dies in between, or reads it at the same time, does no harm: a
    record counts once. One that may not be read is passed over. Raises ``OSError`` when none can be moved.
    """
    found: Counter[str] = Counter()
    for path in _spooled(folder):
        try:
            if time.time() - path.stat().st_mtime < WRITTEN_WITHIN:
                found["too new"] += 1
                continue
            body = _read(path)
        except FileNotFoundError:
            continue  # another import was quicker
        except OSError as error:
            log.warning("A call record cannot be read: %s", error)
            found[UNREADABLE] += 1
            continue
        try:
            if len(body) > LARGEST:
                raise RecordError(f"It is longer than {LARGEST} bytes.")
            taken = records.take(read_record(body))
        except RecordError as error:
            log.warning("%s is no call record: %s", path.name, error)
            refused = _folder(folder / REFUSED)
            (refused / f"{path.name}.reason").write_text(f"{error}\n", "utf-8")
            _move(path, refused)
            found[REFUSED] += 1
            continue
        _move(path, _folder(folder / IMPORTED / f"{clock.now():%Y-%m-%d}"))
        found[taken] += 1
    return found


def _spooled(folder: Path) -> Iterator[Path]:
    """Walk through the files of records as they come, however many there are."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
            elif ROTATED.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield from _spooled(Path(entry.path))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _move(path: Path, to: Path) -> None:
    with suppress(FileNotFoundError):  # another import was quicker
        shutil.move(path, to / path.name)
