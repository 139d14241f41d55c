"""Where the switch posts its call records, and what reads those that it could not post."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse

from dialer.engine import records
from dialer.switch.records import RecordError, read_record
from dialer.switch_door import for_switches

log = logging.getLogger(__name__)

LARGEST = 1024 * 1024
"""Bytes of one record; a real one has 20 kB, its variables included."""
WRITTEN_WITHIN = 5.0
"""Real seconds for which a file that has just changed is left alone: the switch may still write it."""
IMPORTED, REFUSED = "imported", "refused"


@for_switches("CDR_PASSWORD")
def receive(request: HttpRequest) -> HttpResponse:
    """Take one record. Whatever is no record is answered 400, and the switch keeps it in a file."""
    try:
        if int(request.headers.get("Content-Length") or 0) > LARGEST:
            raise RecordError(f"It is longer than {LARGEST} bytes.")
        taken = records.take(read_record(request.body))
    except (RecordError, RequestDataTooBig, ValueError) as error:
        log.warning("A call record was refused: %s", error)
        return HttpResponse(f"{error}\n", status=400, content_type="text/plain; charset=utf-8")
    return HttpResponse(f"{taken}\n", content_type="text/plain")


def import_folder(folder: Path) -> Counter[str]:
    """Take in the records of a folder's files (``*.json``), and move each away; return what became of how many.

    Taken ones go to ``imported/DATE``, those that are no record to ``refused`` with the reason beside them. A file is
    moved once its record is in the database, so whoever dies in between does no harm: a record counts once.
    """
    found: Counter[str] = Counter()
    for path in sorted(folder.glob("*.json")):
        try:
            if time.time() - path.stat().st_mtime < WRITTEN_WITHIN:
                found["too new"] += 1
                continue
            if path.stat().st_size > LARGEST:
                raise RecordError(f"It is longer than {LARGEST} bytes.")
            taken = records.take(read_record(path.read_bytes()))
        except FileNotFoundError:
            continue  # another import was quicker
        except RecordError as error:
            found[REFUSED] += 1
            log.warning("%s is no call record: %s", path.name, error)
            _move(path, folder / REFUSED)
            (folder / REFUSED / f"{path.name}.reason").write_text(f"{error}\n", "utf-8")
            continue
        found[str(taken)] += 1
        _move(path, folder / IMPORTED / f"{datetime.now(UTC):%Y-%m-%d}")
    return found


def _move(path: Path, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(path, to / path.name)
    except FileNotFoundError:
        pass  # another import was quicker
    except OSError:
        shutil.move(path, to / path.name)
