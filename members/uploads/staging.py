"""What a worker does with an upload: check the file into staging tables, load them in batches, undo in batches.

Two tables of an upload's own, without a log and dropped when they are done with, hold its rows as they were understood.
Whoever holds the advisory lock of an upload is its worker; the lock goes with his session, so that one who died is
replaced by the next. A check starts over; a load and an undo go on after the last batch that was committed, since each
batch notes in its own transaction how far it came. The row of the upload is locked first in each: after a wish that
changed its state nothing more is written.
"""

# ruff: noqa: S608 (the names that statements are made of are our own)

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.db.models import Count, F, QuerySet
from django.utils.translation import gettext, override

from campaigns import actions as campaigns
from campaigns.models import Campaign
from dialer import clock, verbs
from dialer.errors import Refused
from members import actions as members
from members import planning, rows
from members.models import Member
from members.uploads import reading
from members.uploads.layout import Destination, Layout
from members.uploads.models import (
    DUPLICATE_KINDS,
    RUNNING_STATES,
    DuplicateRule,
    FaultKind,
    Upload,
    UploadFault,
    UploadKind,
    UploadState,
)
from members.uploads.opening import FileRefused

log = logging.getLogger(__name__)

LOCKS: Final = 0x75706C64
"""The first key of the advisory locks of workers; the second is the upload's id."""
CHUNK = 5000
"""Rows that are staged at once."""
CHUNK_SECONDS = 0.5
"""Real seconds after which fewer are: a cancelled check ends within a second."""
BATCH = 5000
"""Rows that one transaction loads: some tenths of a second, during which nobody can run or stop the campaign."""
LIST_BATCH = 500
"""Do-not-call numbers that one transaction adds: no pass of the dial loop claims meanwhile."""
UNDO_BATCH = 1000
MOST_TRIES = 5
"""Workers that may die over the same piece of work."""
MOST_RACES = 10
"""Tries of a batch that lost a race for a number with another upload."""
SHOWN = 20
"""Rows of each kind in the report."""
VALUE_SHOWN = 200
_NULL: Final = "\\N"
"""No value, as COPY reads it."""
_WAS_FIRST: Final = ("23505", "40P01")
"""What the database says when another transaction was first: a unique violation, a deadlock."""

COPIED_MEMBERS = (
    "line", "name", "priority", "time_zone", "zones", "expire_at", "variables", "caller_id", "external_id", "given",
)  # fmt: skip
COPIED_NUMBERS = ("line", "place", "number", "dial", "digits", "priority", "description", '"column"')
COPIED_FAULTS = ("upload_id", "line", "kind", '"column"', "value", "told")


class Cancelled(Exception):
    """Somebody changed the state of the upload: the worker has nothing more to do."""


class Stopped(Exception):
    """The work cannot be finished, for a reason that people are told."""


# --- who works --------------------------------------------------------------------------------------------------


def work(upload_id: int) -> bool:
    """Do what an upload waits for; ``False`` when another worker is at it, or there is nothing to do."""
    with _alone(upload_id) as mine:
        upload = Upload.objects.filter(pk=upload_id, state__in=RUNNING_STATES).first() if mine else None
        if upload is None:
            return False
        with override(upload.language or settings.LANGUAGE_CODE):
            _work(upload)
        return True


def _work(upload: Upload) -> None:
    session, phase = connection.connection, UploadState(upload.state)
    extra = {"upload": upload.pk, "campaign": upload.campaign_id, "phase": phase.value, "try": upload.tries + 1}
    try:
        if upload.tries >= MOST_TRIES:
            raise Stopped(gettext("Several workers died of it. Look into their logs, then try again."))
        _note(upload, tries=upload.tries + 1, started_at=clock.now(), started_done=upload.done)
        log.info("uploads.taken", extra=extra)
        {UploadState.CHECKING: _check, UploadState.LOADING: _load, UploadState.UNDOING: _undo}[phase](upload)
    except Cancelled:
        log.info("uploads.let_go", extra=extra)
    except Stopped as stopped:
        _fail(upload, str(stopped))
    except FileRefused as refused:
        _fail(upload, _told_of(refused))
    except Exception as error:
        if isinstance(error, DatabaseError) and not (connection.connection is session and connection.is_usable()):
            # The lock is gone with the session; the next sweep sends another worker.
            log.exception("uploads.session_lost", extra=extra)
            connection.close()
            return
        log.exception("uploads.broken", extra=extra)
        _fail(upload, gettext("An error of the program (%s): see the log of the worker.") % type(error).__name__)


@contextmanager
def _alone(upload_id: int) -> Iterator[bool]:
    """Hold the lock of an upload's worker, if nobody else does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCKS, upload_id])
        mine = bool(cursor.fetchone()[0])
    session = connection.connection
    try:
        yield mine
    finally:
        if mine and session is not None and connection.connection is session:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCKS, upload_id])


def abandoned() -> list[int]:
    """Return the uploads that wait for a worker, since none began or he died."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objsubid = 2 AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [LOCKS],
        )
        held = [row[0] for row in cursor.fetchall()]
    waiting = Upload.objects.filter(state__in=RUNNING_STATES).exclude(pk__in=held)
    return list(waiting.order_by("pk").values_list("pk", flat=True))


def _note(upload: Upload, **values: Any) -> None:
    """Write down how far the work is. Raises ``Cancelled`` when the upload is in another state by now."""
    if not _as_taken(upload).update(beat_at=clock.now(), **values):
        raise Cancelled


def _as_taken(upload: Upload) -> QuerySet[Upload]:
    """Return the row of an upload, unless somebody wished something else since the worker took it, be it the same."""
    return Upload.objects.filter(pk=upload.pk, state=upload.state, changed_at=upload.changed_at)


def _finish(upload: Upload, state: UploadState, **values: Any) -> None:
    _note(upload, state=state, changed_at=clock.now(), **values)
    log.info(f"uploads.{state}", extra={"upload": upload.pk, "campaign": upload.campaign_id, "by": upload.by_id})


def _fail(upload: Upload, told: str) -> None:
    try:
        _finish(upload, UploadState.FAILED, fault=told, report=_report(upload))
    except Cancelled:
        return
    log.warning("uploads.stopped", extra={"upload": upload.pk, "campaign": upload.campaign_id, "why": told})


def _told_of(refused: FileRefused) -> str:
    where = []
    if refused.line is not None:
        where.append(gettext("Line %d") % refused.line)
    if refused.byte is not None:
        where.append(gettext("byte %d") % refused.byte)
    return f"{', '.join(where)}: {refused.told}" if where else refused.told


# --- staging tables ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tables:
    """The names of an upload's staging tables."""

    members: str
    numbers: str

    @classmethod
    def of(cls, upload_id: int) -> Tables:
        return cls(f"uploads_members_{int(upload_id)}", f"uploads_numbers_{int(upload_id)}")

    @property
    def names(self) -> dict[str, str]:
        return {"members": self.members, "numbers": self.numbers}


def drop(upload_id: int) -> None:
    """Drop what is staged of an upload."""
    tables = Tables.of(upload_id)
    _execute(f"DROP TABLE IF EXISTS {tables.members}, {tables.numbers}")


def drop_orphans() -> None:
    """Drop what is staged of uploads that were deleted with their campaigns."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
            " AND tablename ~ '^uploads_(members|numbers)_[0-9]+$'"
        )
        staged = {int(row[0].rpartition("_")[2]) for row in cursor.fetchall()}
    for upload_id in staged - set(Upload.objects.filter(pk__in=staged).values_list("pk", flat=True)):
        drop(upload_id)


def _create(upload_id: int) -> Tables:
    drop(upload_id)
    tables = Tables.of(upload_id)
    _execute(
        f"CREATE UNLOGGED TABLE {tables.members} (line bigint NOT NULL, name text, priority int, time_zone text,"
        " zones text, expire_at timestamptz, variables jsonb, caller_id text, external_id text, given text);"
        f"CREATE UNLOGGED TABLE {tables.numbers} (line bigint NOT NULL, place int NOT NULL, number text, dial text,"
        ' digits text, priority int, description text, "column" int)'
    )
    return tables


def _execute(statement: str, parameters: Mapping[str, Any] | None = None) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


def _copy(table: str, columns: Sequence[str], lines: Sequence[str]) -> None:
    """Add rows to a table; each is a line in PostgreSQL's text format."""
    if lines:
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            copy.write("".join(lines))


def _cell(text: str) -> str:
    """Write a text as COPY reads it."""
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if text.isprintable():
        return text
    return text.replace("\0", "").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


# --- check ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Chunk:
    """Rows that are staged together, as COPY reads them."""

    members: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def clear(self) -> None:
        self.members.clear()
        self.numbers.clear()
        self.faults.clear()


def _check(upload: Upload) -> None:
    """Read the whole file into staging tables, find what is there already, and report."""
    layout = Layout.from_json(upload.layout)
    UploadFault.objects.filter(upload=upload).delete()
    tables = _create(upload.pk)
    reader = _Reader(upload, layout)
    _note(upload, done=0, started_done=0, total=None)
    chunk, began = _Chunk(), time.monotonic()
    line = count = faulty = 0

    def put() -> None:
        _copy(tables.members, COPIED_MEMBERS, chunk.members)
        _copy(tables.numbers, COPIED_NUMBERS, chunk.numbers)
        _copy("uploads_uploadfault", COPIED_FAULTS, chunk.faults)
        chunk.clear()
        _note(upload, done=line, rows=count, faulty=faulty)

    for record in reading.records(upload.file, layout, lambda lines: _note(upload, total=lines)):
        line = record.line
        count += 1
        faulty += not reader.read(record, chunk)
        if not count % 100 and (not count % CHUNK or time.monotonic() - began > CHUNK_SECONDS):
            put()
            began = time.monotonic()
    put()
    _execute(
        f"ALTER TABLE {tables.members} ADD PRIMARY KEY (line);"
        f"ALTER TABLE {tables.numbers} ADD PRIMARY KEY (line, place);"
        f"ANALYZE {tables.members}, {tables.numbers}"
    )
    with transaction.atomic():
        _execute("SET LOCAL jit = off; SET LOCAL work_mem = '32MB'")
        _find_twice(upload, tables)
        _find_taken(upload, tables, -1, line)
        _find_listed(upload, tables, -1, line)
        staged = count - faulty
        duplicates = _lines_at_fault(upload, DUPLICATE_KINDS)
        _finish(
            upload, UploadState.CHECKED,
            staged=staged, good=staged - duplicates, duplicates=duplicates, zoned_by=reader.zoned_by,
            report=_report(upload), checked_at=clock.now(),
        )  # fmt: skip


class _Reader:
    """Reads records into what is copied to the staging tables."""

    def __init__(self, upload: Upload, layout: Layout) -> None:
        self.upload = upload
        self.map = reading.compile_rows(layout)
        self.destinations = {index: column.destination for index, column in enumerate(layout.columns)}
        campaign = upload.campaign
        self.rules = members.rules_of(campaign) if campaign else rows.Rules(zone="UTC")
        self.is_list = upload.kind == UploadKind.DO_NOT_CALL
        self.zoned_by = campaign.zone_from_number if campaign else "off"

    def read(self, record: reading.Record, chunk: _Chunk) -> bool:
        """Add a record to a chunk: what was understood, or its faults; ``False`` when it is faulty."""
        raw, columns, at_fault = self.map(record)
        if self.is_list:
            row, faults = self._listed(raw)
        else:
            row, faults = rows.read(raw, self.rules)
        if faults or at_fault:
            self._tell(record, columns, at_fault, faults, chunk)
            return False
        line = record.line
        expire = row.expire_at.isoformat() if row.expire_at else _NULL
        variables = _cell(json.dumps(row.variables, ensure_ascii=False)) if row.variables else "{}"
        external_id = _NULL if row.external_id is None else _cell(row.external_id)
        chunk.members.append(
            f"{line}\t{_cell(row.name)}\t{row.priority}\t{row.time_zone}\t{row.zones(self.zoned_by)}\t{expire}\t"
            f"{variables}\t{row.caller_id}\t{external_id}\t{','.join(raw)}\n"
        )
        for place, number in enumerate(row.numbers):
            column = columns.get(number.path)
            chunk.numbers.append(
                f"{line}\t{place}\t{_cell(number.number)}\t{number.dial}\t{number.digits}\t{number.priority}\t"
                f"{_cell(number.description)}\t{_NULL if column is None else column}\n"
            )
        return True

    def _listed(self, raw: dict[str, Any]) -> tuple[rows.Row, rows.Faults]:
        """Read a row of a do-not-call list: its reason stands where a subscriber has his name."""
        reason = raw.pop("reason", None)
        row, faults = rows.read({**raw, "name": reason}, self.rules)
        if "name" in faults:
            faults["reason"] = faults.pop("name")
        if row.expire_at and row.expire_at <= clock.now():
            faults["expire"] = [gettext("This instant has passed.")]
        return row, faults

    def _tell(
        self, record: reading.Record, columns: Mapping[str, int], at_fault: reading.CellFaults,
        faults: rows.Faults, chunk: _Chunk,
    ) -> None:  # fmt: skip
        told: dict[int | None, list[str]] = {column: list(several) for column, several in at_fault.items()}
        for path, several in faults.items():
            column = columns.get(path, columns.get(path.partition(".")[0]))
            # What the cell itself is at fault for is told once.
            if column not in at_fault:
                told.setdefault(column, []).extend(several)
        for column, several in told.items():
            value = record.cells[column] if column is not None and column < len(record.cells) else None
            chunk.faults.append(
                f"{self.upload.pk}\t{record.line}\t{self._kind(column)}\t{_NULL if column is None else column}\t"
                f"{_cell('' if value is None else str(value)[:VALUE_SHOWN])}\t{_cell(' '.join(several))}\n"
            )

    def _kind(self, column: int | None) -> FaultKind:
        if column is None:
            return FaultKind.ROW
        return _KINDS.get(self.destinations.get(column, Destination.NOTHING), FaultKind.FIELD)


_KINDS = {
    Destination.NUMBER: FaultKind.NUMBER,
    Destination.NUMBERS: FaultKind.NUMBER,
    Destination.EXPIRE: FaultKind.EXPIRE,
    Destination.TIME_ZONE: FaultKind.TIME_ZONE,
    # What is too much or too little in a row is told at a column that means nothing.
    Destination.NOTHING: FaultKind.ROW,
}


# --- what is there already --------------------------------------------------------------------------------------

_TWICE = """
INSERT INTO uploads_uploadfault (upload_id, line, kind, "column", value, told)
SELECT %(upload)s, again.line, 'twice', again."column", left(again.value, 200),
       format(%(told)s, again.value, again.first)
FROM (
    SELECT n.line, n."column", n.number AS value, once.first
    FROM (
        SELECT digits, min(line) AS first FROM {numbers} GROUP BY digits HAVING min(line) < max(line)
    ) AS once
    JOIN {numbers} AS n ON n.digits = once.digits AND n.line > once.first
    UNION ALL
    SELECT m.line, %(external_id)s, m.external_id, once.first
    FROM (
        SELECT external_id, min(line) AS first FROM {members} WHERE external_id IS NOT NULL
        GROUP BY external_id HAVING min(line) < max(line)
    ) AS once
    JOIN {members} AS m ON m.external_id = once.external_id AND m.line > once.first
) AS again
ORDER BY again.line
"""

# Lines of the file that are not twice in it.
_ONCE = """
    NOT EXISTS (
        SELECT FROM uploads_uploadfault AS f
        WHERE f.upload_id = %(upload)s AND f.line = {table}.line AND f.kind = 'twice'
    )
"""

# Each number and each external id is looked up by itself, in a campaign of which the planner does not know which one it
# is: by the statistics of a minute ago it may hold its list for short, and read all of it for each.
_TAKEN = f"""
WITH owned AS MATERIALIZED (
    SELECT n.line, n."column", n.number AS value, o.member_id
    FROM (SELECT %(campaign)s::bigint AS id OFFSET 0) AS campaign
    CROSS JOIN {{numbers}} AS n
    CROSS JOIN LATERAL (
        SELECT c.member_id FROM members_communication AS c
        WHERE c.campaign_id = campaign.id AND c.digits = n.digits OFFSET 0
    ) AS o
    WHERE n.line > %(after)s AND n.line <= %(upto)s AND {_ONCE.format(table="n")}
    UNION ALL
    SELECT m.line, %(external_id)s, m.external_id, o.id
    FROM (SELECT %(campaign)s::bigint AS id OFFSET 0) AS campaign
    CROSS JOIN {{members}} AS m
    CROSS JOIN LATERAL (
        SELECT o.id FROM members_member AS o
        WHERE o.campaign_id = campaign.id AND o.external_id = m.external_id OFFSET 0
    ) AS o
    WHERE m.line > %(after)s AND m.line <= %(upto)s AND m.external_id IS NOT NULL AND {_ONCE.format(table="m")}
), whose AS (
    SELECT owned.line, count(DISTINCT owned.member_id) > 1 OR bool_or(o.hidden) AS several
    FROM owned JOIN members_member AS o ON o.id = owned.member_id
    GROUP BY owned.line
)
INSERT INTO uploads_uploadfault (upload_id, line, kind, "column", value, told)
SELECT %(upload)s, owned.line, CASE WHEN whose.several THEN 'several' ELSE 'taken' END, owned."column",
       left(owned.value, 200), format(%(told)s, owned.value)
FROM owned JOIN whose USING (line)
ORDER BY owned.line
"""

_LISTED = """
INSERT INTO uploads_uploadfault (upload_id, line, kind, "column", value, told)
SELECT %(upload)s, n.line, %(kind)s, n."column", left(n.number, 200), format(%(told)s, n.number)
FROM {numbers} AS n
CROSS JOIN LATERAL (
    SELECT FROM members_donotcall AS d
    WHERE d.digits = n.digits AND {which} AND (d.expire_at IS NULL OR d.expire_at > %(now)s)
    OFFSET 0
) AS listed
WHERE n.line > %(after)s AND n.line <= %(upto)s
GROUP BY n.line, n.place
ORDER BY n.line, n.place
"""


def _values(upload: Upload, after: int, upto: int) -> dict[str, Any]:
    return {
        "upload": upload.pk, "campaign": upload.campaign_id, "after": after, "upto": upto, "now": clock.now(),
        "external_id": _column_of(Layout.from_json(upload.layout), Destination.EXTERNAL_ID),
    }  # fmt: skip


def _column_of(layout: Layout, destination: Destination) -> int | None:
    return next((at for at, column in enumerate(layout.columns) if column.destination == destination), None)


def _find_twice(upload: Upload, tables: Tables) -> None:
    """Tell the rows that share a number or an external id with an earlier one that can be read."""
    told = gettext("%s is in line %s already.")
    _execute(_TWICE.format(**tables.names), {**_values(upload, 0, 0), "told": told})


def _find_taken(upload: Upload, tables: Tables, after: int, upto: int) -> None:
    """Tell the rows of some lines that are in the campaign, or on the do-not-call list, already."""
    values = _values(upload, after, upto)
    if upload.kind == UploadKind.DO_NOT_CALL:
        which = f"d.campaign_id IS NOT DISTINCT FROM %(campaign)s::bigint AND {_ONCE.format(table='n')}"
        told = gettext("%s is on the list already.")
        statement = _LISTED.format(which=which, **tables.names)
        _execute(statement, {**values, "kind": FaultKind.TAKEN.value, "told": told})
    else:
        told = gettext("%s belongs to a subscriber of this campaign.")
        _execute(_TAKEN.format(**tables.names), {**values, "told": told})


def _find_listed(upload: Upload, tables: Tables, after: int, upto: int) -> None:
    """Tell the numbers of subscribers in some lines that must not be called: a notice."""
    if upload.kind == UploadKind.MEMBERS:
        which = "(d.campaign_id IS NULL OR d.campaign_id = %(campaign)s)"
        told = gettext("%s is on the do-not-call list, and is not called while it is.")
        statement = _LISTED.format(which=which, **tables.names)
        _execute(statement, {**_values(upload, after, upto), "kind": FaultKind.LISTED.value, "told": told})


def _lines_at_fault(upload: Upload, kinds: Sequence[str], after: int = -1, upto: int | None = None) -> int:
    """Return how many rows have faults of these kinds."""
    found = UploadFault.objects.filter(upload=upload, kind__in=kinds, line__gt=after)
    if upto is not None:
        found = found.filter(line__lte=upto)
    return found.order_by().aggregate(lines=Count("line", distinct=True))["lines"]


def _report(upload: Upload) -> list[dict[str, Any]]:
    """Return the faults by kind: how many rows, and the first of them."""
    found = UploadFault.objects.filter(upload=upload).order_by()
    counts = dict(found.values_list("kind").annotate(lines=Count("line", distinct=True)))
    return [
        {
            "kind": kind.value,
            "title": str(kind.label),
            "count": counts[kind.value],
            "first": list(
                found.filter(kind=kind).order_by("line", "pk").values("line", "column", "value", "told")[:SHOWN]
            ),
        }
        for kind in FaultKind
        if kind.value in counts
    ]


# --- load -------------------------------------------------------------------------------------------------------

# Subscribers are inserted once, planned as planning.plan would: foreign keys are looked at when the transaction ends,
# so that a subscriber may name a number that comes after him.
_INSERT = f"""
WITH batch AS MATERIALIZED (
    SELECT ordered.*, nextval('members_member_id_seq') AS id
    FROM (
        SELECT m.* FROM {{members}} AS m
        WHERE m.line > %(after)s AND m.line <= %(upto)s AND NOT EXISTS (
            SELECT FROM uploads_uploadfault AS f
            WHERE f.upload_id = %(upload)s AND f.line = m.line AND f.kind = ANY(%(duplicates)s)
        )
        ORDER BY m.line
    ) AS ordered
), numbered AS MATERIALIZED (
    SELECT c.*, {planning.ROUTE_OF_C} AS route_id, nextval('members_communication_id_seq') AS id
    FROM (
        SELECT n.*, b.id AS member_id, %(campaign)s::bigint AS campaign_id
        FROM batch AS b JOIN {{numbers}} AS n ON n.line = b.line
        WHERE n.line > %(after)s AND n.line <= %(upto)s
        ORDER BY n.line, n.place
    ) AS c
), pick AS MATERIALIZED (
    SELECT DISTINCT ON (c.member_id) c.member_id, c.id, r.gateway_id, listed.until
    FROM numbered AS c
    JOIN campaigns_route AS r ON r.id = c.route_id
    CROSS JOIN LATERAL {planning.LISTED_OF_C} AS listed
    WHERE NOT listed.forever
    ORDER BY c.member_id, GREATEST(%(now)s, listed.until), c.priority DESC, c.id
), inserted AS (
    INSERT INTO members_member (
        id, campaign_id, upload_id, name, priority, time_zone, zones, expire_at, variables, caller_id, external_id,
        created_at, due_at, due_at_unlisted, state, next_communication_id, next_gateway_id, callback, tried, counted,
        minus_in_row, extra_attempts, counts_after, end_cause, success, end_requested, hidden
    )
    SELECT b.id, %(campaign)s, %(upload)s, b.name, b.priority, b.time_zone, b.zones, b.expire_at, b.variables,
           b.caller_id, b.external_id, %(now)s, GREATEST(%(now)s, pick.until),
           CASE WHEN pick.until > %(now)s THEN %(now)s END,
           CASE WHEN pick.id IS NOT NULL AND GREATEST(%(now)s, pick.until) <= %(now)s THEN 'ready' ELSE 'waiting' END,
           pick.id, pick.gateway_id, false, false, 0, 0, 0, 0, '', false, false, false
    FROM batch AS b LEFT JOIN pick ON pick.member_id = b.id
    ORDER BY b.id
), inserted_numbers AS (
    INSERT INTO members_communication (
        id, member_id, campaign_id, number, dial, digits, priority, description, tries, stopped, stop_cause, route_id
    )
    SELECT id, member_id, campaign_id, number, dial, digits, priority, description, 0, '', '', route_id FROM numbered
    ORDER BY id
)
SELECT count(*) FROM batch
"""

_KNOWN = """
SELECT m.line, m.name, m.priority, m.time_zone, m.expire_at, m.variables, m.caller_id, m.external_id, m.given,
       (
           SELECT jsonb_agg(jsonb_build_object(
               'number', n.number, 'priority', n.priority, 'description', n.description
           ) ORDER BY n.place)
           FROM {numbers} AS n WHERE n.line = m.line
       ) AS communications
FROM {members} AS m
WHERE m.line > %(after)s AND m.line <= %(upto)s
  AND EXISTS (
      SELECT FROM uploads_uploadfault AS f
      WHERE f.upload_id = %(upload)s AND f.line = m.line AND f.kind = 'taken'
  )
ORDER BY m.line
"""


@dataclass(slots=True)
class _Became:
    """What became of the rows of a batch."""

    added: int = 0
    updated: int = 0
    skipped: int = 0
    refused: int = 0


def _load(upload: Upload) -> None:
    """Load what is staged, batch by batch, from where a worker before this one came to."""
    tables = Tables.of(upload.pk)
    if _count_staged(tables) != upload.staged:
        # Tables without a log are emptied when the database recovers from a crash.
        raise Stopped(
            gettext("What was checked is gone, since the database was restarted after a crash. Check the file again.")
        )
    while _load_batch(upload, tables):
        pass
    with transaction.atomic():
        _lock(upload)
        fault = _run(upload) if upload.auto_run else ""
        _finish(upload, UploadState.LOADED, loaded_at=clock.now(), report=_report(upload), fault=fault)
        drop(upload.pk)
    verbs.wake()


def _run(upload: Upload) -> str:
    """Run the campaign as whoever loaded it; return why it does not run, in words."""
    assert upload.campaign_id is not None
    try:
        with transaction.atomic():
            campaigns.run(upload.campaign_id, upload.by)
    except Refused as refused:
        return gettext("Loaded, but the campaign does not run: %s") % refused.message
    except ValidationError as error:
        return gettext("Loaded, but the campaign does not run: %s") % " ".join(error.messages)
    return ""


def _count_staged(tables: Tables) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [tables.members])
        if not cursor.fetchone()[0]:
            return -1
        cursor.execute(f"SELECT count(*) FROM {tables.members}")
        return int(cursor.fetchone()[0])


def _lock(upload: Upload) -> None:
    """Lock the row of an upload and read it again. Raises ``Cancelled`` when it is in another state by now."""
    if not _as_taken(upload).select_for_update(no_key=True).exists():
        raise Cancelled
    upload.refresh_from_db()


def _load_batch(upload: Upload, tables: Tables) -> bool:
    """Load the next rows in a transaction of their own; ``False`` when none are left."""
    for race in range(1, MOST_RACES + 1):
        try:
            with transaction.atomic():
                _lock(upload)
                after, upto, count = _next_lines(upload, tables)
                if not count:
                    return False
                # Of the statements below each is a dozen joins of a few thousand rows: to compile them takes longer.
                _execute("SET LOCAL jit = off")
                if upload.kind == UploadKind.DO_NOT_CALL:
                    became = _list(upload, tables, after, upto)
                else:
                    became = _add(upload, tables, after, upto)
                _note(
                    upload,
                    last_line=upto,
                    done=F("done") + count,
                    tries=0,
                    added=F("added") + became.added,
                    updated=F("updated") + became.updated,
                    skipped=F("skipped") + became.skipped,
                    refused=F("refused") + became.refused,
                )
            return True
        except (IntegrityError, OperationalError) as error:
            # Somebody else was first with one of the numbers: now it can be seen which.
            if race == MOST_RACES or getattr(error.__cause__, "sqlstate", "") not in _WAS_FIRST:
                raise
    raise AssertionError("the last race returns or raises")


def _next_lines(upload: Upload, tables: Tables) -> tuple[int, int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(line), count(*) FROM"
            f" (SELECT line FROM {tables.members} WHERE line > %s ORDER BY line LIMIT %s) AS batch",
            [upload.last_line, LIST_BATCH if upload.kind == UploadKind.DO_NOT_CALL else BATCH],
        )
        upto, count = cursor.fetchone()
    return upload.last_line, upto or 0, count


def _add(upload: Upload, tables: Tables, after: int, upto: int) -> _Became:
    """Add the subscribers of some lines, and do with the duplicates among them what the upload says."""
    campaign_id = upload.campaign_id
    assert campaign_id is not None
    members.lock_to_add(campaign_id)
    _find_again(upload, tables, after, upto)
    became = _Became()
    with connection.cursor() as cursor:
        # Of the rows between its parts the planner knows nothing, and would go through all of them for each.
        cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute(
            _INSERT.format(**tables.names),
            {**_values(upload, after, upto), "duplicates": [kind.value for kind in DUPLICATE_KINDS]},
        )
        became.added = int(cursor.fetchone()[0])
        cursor.execute("SET LOCAL enable_nestloop = on")
    campaign = Campaign.objects.get(pk=campaign_id)
    if became.added and campaign.zone_from_number != upload.zoned_by:
        # The campaign was changed since the check, and its own sweep may have been done before these rows came.
        added = Member.objects.filter(upload=upload).order_by("-pk").values_list("pk", flat=True)
        planning.zone(list(added[: became.added]))
    _settle_duplicates(upload, became, after, upto)
    if upload.on_duplicate == DuplicateRule.UPDATE:
        _update_known(upload, campaign, tables, became, after, upto)
    return became


def _find_again(upload: Upload, tables: Tables, after: int, upto: int) -> None:
    """Find anew what is there already: it may have come or gone since the check. Raises ``Stopped`` by the rule."""
    stale = UploadFault.objects.filter(upload=upload, line__gt=after, line__lte=upto)
    stale.filter(kind__in=[FaultKind.TAKEN, FaultKind.SEVERAL, FaultKind.LISTED]).delete()
    _find_taken(upload, tables, after, upto)
    _find_listed(upload, tables, after, upto)
    if upload.on_duplicate == DuplicateRule.STOP:
        first = stale.filter(kind__in=DUPLICATE_KINDS).order_by("line", "pk").first()
        if first is not None:
            told = gettext("Line %(line)d has become a duplicate since the check: %(told)s %(added)d rows were loaded.")
            raise Stopped(told % {"line": first.line, "told": first.told, "added": upload.done})


def _settle_duplicates(upload: Upload, became: _Became, after: int, upto: int) -> None:
    """Count the duplicates of some lines that are left out."""
    left_out: Sequence[str] = DUPLICATE_KINDS
    if upload.on_duplicate == DuplicateRule.UPDATE:
        became.refused += _lines_at_fault(upload, [FaultKind.SEVERAL], after, upto)
        left_out = [FaultKind.TWICE]
    became.skipped += _lines_at_fault(upload, left_out, after, upto)


def _update_known(
    upload: Upload, campaign: Campaign, tables: Tables, became: _Became, after: int, upto: int
) -> None:  # fmt: skip
    """Change the data of subscribers that some lines are already."""
    found = _rows(_KNOWN, upload, tables, after, upto)
    if not found:
        return
    intake = members.take_members(
        campaign, [_raw(row) for row in found], on_duplicate=members.OnDuplicate.UPDATE, by=upload.by
    )
    added = [taken.member for taken in intake.rows if taken.became == "added" and taken.member]
    Member.objects.filter(pk__in=added).update(upload=upload)
    became.added += len(added)
    became.updated += sum(taken.became == "updated" for taken in intake.rows)
    refused = [(row, taken) for row, taken in zip(found, intake.rows, strict=True) if taken.became == "refused"]
    became.refused += len(refused)
    again = gettext("This is the same subscriber as in an earlier row.")
    UploadFault.objects.bulk_create(
        UploadFault(
            upload=upload,
            line=row["line"],
            kind=FaultKind.SEVERAL,
            told=again
            if NON_FIELD_ERRORS in taken.faults
            else " ".join(told for several in taken.faults.values() for told in several),
        )
        for row, taken in refused
    )


def _rows(statement: str, upload: Upload, tables: Tables, after: int, upto: int) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statement.format(**tables.names), _values(upload, after, upto))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _raw(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a staged row as it is sent by REST: what it gave, and no more."""
    given = row["given"].split(",")
    raw = {name: row[column] for name, column in rows.OWN_FIELDS.items() if name in given}
    for name in ("variables", "communications"):
        value = row[name]
        if name in given:
            raw[name] = json.loads(value) if isinstance(value, str) else value
    return raw


_ENTRIES = """
SELECT m.line, m.name AS reason, m.expire_at, n.digits, f.line IS NOT NULL AS taken
FROM {members} AS m
JOIN {numbers} AS n ON n.line = m.line
LEFT JOIN LATERAL (
    SELECT f.line FROM uploads_uploadfault AS f
    WHERE f.upload_id = %(upload)s AND f.line = m.line AND f.kind = 'taken' LIMIT 1
) AS f ON TRUE
WHERE m.line > %(after)s AND m.line <= %(upto)s AND NOT EXISTS (
    SELECT FROM uploads_uploadfault AS t
    WHERE t.upload_id = %(upload)s AND t.line = m.line AND t.kind = 'twice'
)
ORDER BY m.line, n.place
"""


def _list(upload: Upload, tables: Tables, after: int, upto: int) -> _Became:
    """Put the numbers of some lines on the do-not-call list; those that are there get new terms only by ``update``."""
    _find_again(upload, tables, after, upto)
    became = _Became()
    _settle_duplicates(upload, became, after, upto)
    entries = _rows(_ENTRIES, upload, tables, after, upto)
    if upload.on_duplicate != DuplicateRule.UPDATE:
        entries = [entry for entry in entries if not entry["taken"]]
    for entry in entries:
        entry["expire_at"] = entry["expire_at"] or upload.expire_at
    now = clock.now()
    past = {entry["line"] for entry in entries if entry["expire_at"] and entry["expire_at"] <= now}
    if past:
        told = gettext("This instant has passed.")
        UploadFault.objects.bulk_create(
            UploadFault(upload=upload, line=line, kind=FaultKind.EXPIRE, told=told) for line in sorted(past)
        )
        became.refused += len(past)
        entries = [entry for entry in entries if entry["line"] not in past]
    listings = [
        members.Listing(entry["digits"], entry["expire_at"], entry["reason"] or upload.reason) for entry in entries
    ]
    if listings:
        members.add_many_do_not_call(listings, upload.campaign, by=upload.by)
    became.added = len({entry["line"] for entry in entries if not entry["taken"]})
    became.updated = len({entry["line"] for entry in entries if entry["taken"]})
    return became


# --- undo -------------------------------------------------------------------------------------------------------


def _undo(upload: Upload) -> None:
    """Take the upload's subscribers out, batch by batch, from where a worker before this one came to."""
    while _undo_batch(upload):
        pass
    with transaction.atomic():
        _lock(upload)
        _finish(upload, UploadState.UNDONE, undone_at=clock.now())


def _undo_batch(upload: Upload) -> bool:
    """Take out the next ones who were never dialled; ``False`` when none are left."""
    for race in range(1, MOST_RACES + 1):
        try:
            with transaction.atomic():
                _lock(upload)
                his = Member.objects.filter(upload=upload, pk__gt=upload.last_member).order_by("pk")
                batch = list(his.values_list("pk", flat=True)[:UNDO_BATCH])
                if not batch:
                    return False
                gone = members.take_out_uncalled(batch)
                _note(
                    upload,
                    last_member=batch[-1],
                    tries=0,
                    done=F("done") + len(batch),
                    undone=F("undone") + gone,
                    kept=F("kept") + len(batch) - gone,
                )
            return True
        except (IntegrityError, OperationalError) as error:
            if race == MOST_RACES or getattr(error.__cause__, "sqlstate", "") not in _WAS_FIRST:
                raise
    raise AssertionError("the last race returns or raises")
