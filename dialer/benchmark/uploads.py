"""What an upload costs beside raw COPY of the same rows into the same tables, and what it costs a campaign that dials.

The scene is one database with a campaign that dials and one without subscribers, and a copy of it. A list is checked
and loaded into the one by a worker's process; the rows that this made are then copied raw into the other. All the while
passes of the dial loop are run and rolled back.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from campaigns.models import Campaign
from dialer.benchmark import databases, lists
from dialer.engine import dispatch
from members.uploads import actions
from members.uploads.layout import Column, Destination, Layout
from members.uploads.models import Upload, UploadState

AIM_SPEED = 1 / 3
"""Of raw COPY's."""
AIM_MEGABYTES = 400
AIM_LATENCY = 2.0
"""The 95th of a hundred passes during the upload may take so many times what it takes without one."""
DIALLING = lists.Group("dialling", 1, 1)
TARGET = 101
OPERATORS = 20
PAUSE = 0.2
"""Seconds between two passes."""
WORKER = """
import sys, django
django.setup()
from members.uploads import staging
staging.work(int(sys.argv[1]))
"""


@dataclass(slots=True)
class Measured:
    """What one run found. Seconds, megabytes, milliseconds."""

    rows: int
    raw_seconds: float = 0.0
    check_seconds: float = 0.0
    load_seconds: float = 0.0
    megabytes: list[float] = field(default_factory=list)
    """The worker's memory, sampled at each pass of the dial loop."""
    peak_megabytes: float = 0.0
    alone: list[float] = field(default_factory=list)
    meanwhile: list[float] = field(default_factory=list)

    @property
    def speed(self) -> float:
        return self.raw_seconds / (self.check_seconds + self.load_seconds)

    @property
    def latency(self) -> float:
        return databases.p95(self.meanwhile) / databases.p95(self.alone)

    @property
    def growth(self) -> float:
        """The memory of the second half of the work beside that of the first: 1 is flat."""
        half = len(self.megabytes) // 2
        return max(self.megabytes[half:], default=0.0) / max(self.megabytes[:half], default=1.0) if half else 1.0

    def as_dict(self) -> dict[str, Any]:
        found = {name: value for name, value in asdict(self).items() if not isinstance(value, list)}
        found |= {
            "alone_p95_ms": databases.p95(self.alone),
            "meanwhile_p95_ms": databases.p95(self.meanwhile),
            "passes": len(self.meanwhile),
        }
        return found | {"speed": self.speed, "latency": self.latency, "growth": self.growth}


def measure(rows: int, say: Callable[[str], None]) -> Measured:
    """Run once, on the throwaway servers that the settings name."""
    measured = Measured(rows)
    with TemporaryDirectory() as folder:
        settings.UPLOADS_DIR = Path(folder) / "uploads"
        databases.use("bench_upload", create=True)
        call_command("migrate", verbosity=0)
        _make_scene()
        databases.copy("bench_raw", "bench_upload")
        calm = 30.0 if rows >= 100_000 else 3.0
        databases.use("bench_upload")
        with _dialling(measured.alone, seconds=calm):
            pass
        say("passes without an upload measured")
        upload = _begin(rows, Path(folder) / "list.csv")
        with _dialling(measured.meanwhile):
            upload = actions.check(upload)
            measured.check_seconds = _work(upload, UploadState.CHECKED, measured)
            say(f"checked in {measured.check_seconds:.1f} s")
            actions.load(upload)
            measured.load_seconds = _work(upload, UploadState.LOADED, measured)
            say(f"loaded in {measured.load_seconds:.1f} s")
        tables = {"uploads_upload": f"id = {upload.pk}"}
        tables |= {"members_member": f"campaign_id = {TARGET}", "members_communication": f"campaign_id = {TARGET}"}
        files = {table: databases.write_out(table, which, Path(folder)) for table, which in tables.items()}
        databases.use("bench_raw")
        with _dialling([]):
            measured.raw_seconds = databases.copy_in(files)
        say(f"copied raw in {measured.raw_seconds:.1f} s")
        # Before and after: the machine may have become slower, or faster, meanwhile.
        databases.use("bench_upload")
        with _dialling(measured.alone, seconds=calm):
            pass
    return measured


def _make_scene() -> None:
    """Make a campaign that dials, with twenty thousand subscribers, and one without any."""
    with transaction.atomic():
        lists.make_common()
        lists.make_group(DIALLING, 20_000)
        lists.only(DIALLING, OPERATORS)
    source = Campaign.objects.get(pk=1)
    source.pk, source.name = TARGET, "Target"
    source.save(force_insert=True)
    # What was made in SQL named its ids itself.
    with connection.cursor() as cursor:
        for table in ("members_member", "members_communication"):
            cursor.execute(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))")  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _begin(rows: int, path: Path) -> Upload:
    """Take a list of subscribers with two numbers, an id and a variable each."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("name,number_1,number_2,external_id,var:debt\r\n")
        for at in range(rows):
            file.write(f"Олена Ковальчук {at},+380501{at:07},+380671{at:07},crm-{at},{at % 5000}\r\n")
    with path.open("rb") as kept:
        upload = actions.begin(kept, file_name="list.csv", campaign=Campaign.objects.get(pk=TARGET))
    path.unlink()
    columns = (
        Column(Destination.NAME), Column(Destination.NUMBER), Column(Destination.NUMBER),
        Column(Destination.EXTERNAL_ID), Column(Destination.VARIABLE, name="debt"),
    )  # fmt: skip
    return actions.set_layout(upload, layout=Layout(columns=columns).to_json())


def _work(upload: Upload, state: UploadState, measured: Measured) -> float:
    """Let a worker do what the upload waits for, in a process of its own; return how long it took but for its start."""
    environ = os.environ | {
        "DATABASE_URL": databases.address(),
        "UPLOADS_DIR": str(settings.UPLOADS_DIR),
        "LOG_LEVEL": "WARNING",
    }
    began = time.monotonic()
    started = None
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(upload.pk)], env=environ)
    while worker.poll() is None:
        if started is None:
            upload.refresh_from_db()
            if upload.beat_at is not None:
                started = time.monotonic()
        measured.megabytes.append(_megabytes(worker.pid))
        time.sleep(0.02 if started is None else 0.2)
    seconds = time.monotonic() - (started or began)
    upload.refresh_from_db()
    if upload.state != state:
        raise RuntimeError(f"The upload is {upload.state}: {upload.fault} {upload.report}")
    # Of all children so far: the greatest is what counts.
    measured.peak_megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return seconds


def _megabytes(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 1e6


@contextmanager
def _dialling(milliseconds: list[float], seconds: float = 0.0) -> Iterator[None]:
    """Run passes in a thread while the body runs, and for so many seconds at least."""
    over = threading.Event()
    failed: list[BaseException] = []

    def dial() -> None:
        try:
            while not over.is_set():
                with transaction.atomic():
                    began = time.perf_counter()
                    dispatch.run_pass()
                    milliseconds.append((time.perf_counter() - began) * 1000)
                    transaction.set_rollback(True)
                over.wait(PAUSE)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=dial)
    thread.start()
    try:
        yield
        over.wait(seconds)
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]


def report(measured: Measured, write: Callable[[str], None]) -> None:
    """Write what was measured as a table and as JSON, with what was aimed at."""
    seconds = measured.check_seconds + measured.load_seconds
    rate = f"{measured.rows / seconds:,.0f} rows/s"
    lines = [
        ("raw COPY", f"{measured.raw_seconds:.1f} s", f"{measured.rows / measured.raw_seconds:,.0f} rows/s"),
        ("check", f"{measured.check_seconds:.1f} s", f"{measured.rows / measured.check_seconds:,.0f} rows/s"),
        ("load", f"{measured.load_seconds:.1f} s", f"{measured.rows / measured.load_seconds:,.0f} rows/s"),
        ("check and load", f"{seconds:.1f} s", rate),
        ("speed, of raw COPY's", f"{measured.speed:.2f}",
         databases.verdict(measured.speed >= AIM_SPEED, f"{AIM_SPEED:.2f}")),
        ("peak memory", f"{measured.peak_megabytes:.0f} MB",
         databases.verdict(measured.peak_megabytes <= AIM_MEGABYTES, f"{AIM_MEGABYTES} MB")),
        ("memory, second half to first", f"{measured.growth:.2f}", ""),
        ("pass p95 alone", f"{databases.p95(measured.alone):.1f} ms", f"{len(measured.alone)} passes"),
        ("pass p95 meanwhile", f"{databases.p95(measured.meanwhile):.1f} ms", f"{len(measured.meanwhile)} passes"),
        ("pass p95, meanwhile to alone", f"{measured.latency:.2f}",
         databases.verdict(measured.latency <= AIM_LATENCY, f"{AIM_LATENCY:.2f}")),
    ]  # fmt: skip
    write(f"{measured.rows:,} subscribers of two numbers each")
    for name, value, more in lines:
        write(f"{name:<30}{value:>12}  {more}")
    write(json.dumps(measured.as_dict()))
