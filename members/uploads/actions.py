"""Every write to uploads and their templates but what a worker does (``members.uploads.staging``).

A person's wish changes the state of the row, under its lock, and a worker is told; one that is never told, or dies, is
replaced by the next sweep. What a worker has not committed when a wish arrives does not happen.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import get_language, gettext

from campaigns.fields import allowed_variables
from campaigns.models import Campaign
from dialer import clock, verbs
from dialer.errors import Refused
from members import numbers
from members.cells import escape
from members.uploads import guessing, reading, staging
from members.uploads.layout import FileKind, Layout
from members.uploads.models import (
    CHECKABLE_STATES,
    REJECTED_KINDS,
    RUNNING_STATES,
    UPLOAD_EDGES,
    DuplicateRule,
    FaultKind,
    Upload,
    UploadFault,
    UploadKind,
    UploadState,
    UploadTemplate,
)
from members.uploads.opening import FileRefused

if TYPE_CHECKING:
    from typing import TypeAlias

    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    Person: TypeAlias = AbstractBaseUser | AnonymousUser | None

log = logging.getLogger(__name__)

WORK = "members.uploads.tasks.work"
QUEUE = "uploads"
PIECE = 1 << 20
"""Bytes that are read at once."""
SEPARATORS = ",;\t|"
"""With one of these the rejected rows are separated as their file was."""
PAGE = 5000
"""Faults that are read at once."""
ORPHAN_AGE = timedelta(days=1)
"""A file that no upload names is deleted after this: its upload may be under way before."""


# --- the file ---------------------------------------------------------------------------------------------------


def begin(
    file: IO[bytes],
    *,
    file_name: str,
    campaign: Campaign | None,
    kind: str = UploadKind.MEMBERS,
    by: Person = None,
) -> Upload:
    """Take a file, and guess how it is to be read.

    It is written to ``UPLOADS_DIR`` piece by piece. Raises ``ValidationError`` at ``file`` for one that is larger than
    ``UPLOAD_LIMIT_MB`` or that holds no table, and at ``campaign`` when subscribers come without one.
    """
    if kind not in UploadKind.values:
        raise ValidationError({"kind": gettext("“%s” is not known. Use members or do_not_call.") % kind})
    if kind == UploadKind.MEMBERS and campaign is None:
        raise ValidationError({"campaign": gettext("Subscribers need a campaign.")})
    file_name = file_name[-255:]
    folder = Path(settings.UPLOADS_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / uuid4().hex
    try:
        size, sha256 = _keep(file, path)
        layout = guessing.guess(path, file_name)
        now = clock.now()
        same = Upload.objects.filter(sha256=sha256, campaign=campaign, kind=kind, loaded_at__isnull=False)
        upload = Upload.objects.create(
            kind=kind,
            campaign=campaign,
            created_at=now,
            changed_at=now,
            file_name=file_name,
            size=size,
            sha256=sha256,
            path=path.name,
            same_as=same.order_by("-pk").first(),
            layout=layout.to_json(),
            **_signed(by),
        )
    except FileRefused as refused:
        path.unlink(missing_ok=True)
        raise ValidationError({"file": refused.told}) from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    _log("uploads.begun", upload, by, kind=kind, size=size)
    return upload


def _keep(file: IO[bytes], path: Path) -> tuple[int, str]:
    """Write a file; return its size and hash. Raises ``ValidationError`` beyond the limit."""
    limit = settings.UPLOAD_LIMIT_MB * 1_000_000
    told = gettext("The file is larger than %d MB, the limit. Divide it, or compress it as a zip.")
    size, digest = 0, hashlib.sha256()
    if (getattr(file, "size", None) or 0) > limit:
        raise ValidationError({"file": told % settings.UPLOAD_LIMIT_MB})
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as kept:
        while piece := file.read(PIECE):
            size += len(piece)
            if size > limit:
                raise ValidationError({"file": told % settings.UPLOAD_LIMIT_MB})
            digest.update(piece)
            kept.write(piece)
        kept.flush()
        os.fsync(kept.fileno())
    if not size:
        raise ValidationError({"file": gettext("The file is empty.")})
    return size, digest.hexdigest()


@transaction.atomic
def forget(upload: Upload, by: Person = None) -> Upload:
    """Delete the file, what is staged of it, and the faults of its rows; the upload stays as history.

    Raises ``Refused`` while a worker is at it.
    """
    locked = _locked(upload)
    if locked.running:
        raise Refused("WRONG_STATE", gettext("The upload is under way: cancel it first."))
    staging.drop(locked.pk)
    UploadFault.objects.filter(upload=locked).delete()
    if locked.path:
        file = locked.file
        transaction.on_commit(lambda: file.unlink(missing_ok=True))
    locked.path = ""
    locked.save(update_fields=["path"])
    _log("uploads.forgotten", locked, by)
    return _fresh(upload)


def forget_old() -> int:
    """Forget the uploads that nothing has happened to for ``UPLOADS_KEPT_DAYS``; return how many.

    Files that no upload names, since it was never made or was deleted with its campaign, go along.
    """
    before = clock.now() - timedelta(days=settings.UPLOADS_KEPT_DAYS)
    old = Upload.objects.filter(changed_at__lt=before).exclude(path="").exclude(state__in=RUNNING_STATES)
    count = 0
    for upload in old.order_by("changed_at"):
        try:
            forget(upload)
            count += 1
        except Refused:  # somebody took it up again
            continue
    folder = Path(settings.UPLOADS_DIR)
    files = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    for name in files.keys() - set(Upload.objects.filter(path__in=files).values_list("path", flat=True)):
        if clock.now().timestamp() - files[name].stat().st_mtime > ORPHAN_AGE.total_seconds() * clock.FACTOR:
            files[name].unlink(missing_ok=True)
    staging.drop_orphans()
    return count


# --- how it is read ---------------------------------------------------------------------------------------------


@transaction.atomic
def set_layout(
    upload: Upload,
    *,
    layout: object,
    on_duplicate: str = DuplicateRule.STOP,
    auto_run: bool = False,
    reason: str = "",
    expire_at: datetime | None = None,
    by: Person = None,
) -> Upload:
    """Say how the file is to be read and what becomes of duplicates; what was checked before is void.

    ``reason`` and ``expire_at`` are of do-not-call numbers whose rows give none. Raises ``ValidationError`` with every
    fault by field, ``Refused`` while a worker is at it, and once it is loaded.
    """
    locked = _locked(upload)
    _must_be_idle(locked)
    read = Layout.from_json(layout)
    faults: dict[str, Any] = dict(read.faults(locked.kind, allowed_variables()))
    if on_duplicate not in DuplicateRule.values:
        faults["on_duplicate"] = gettext("“%s” is not known. Use stop, skip or update.") % on_duplicate
    if auto_run and locked.kind != UploadKind.MEMBERS:
        faults["auto_run"] = gettext("Do-not-call numbers run no campaign.")
    if len(reason) > 200:
        faults["reason"] = gettext("This is %d characters long: at most 200.") % len(reason)
    if expire_at and expire_at <= clock.now():
        faults["expire_at"] = gettext("This instant has passed.")
    if faults:
        raise ValidationError(faults)
    _move(
        locked, UploadState.NEW, by,
        layout=read.to_json(), on_duplicate=on_duplicate, auto_run=auto_run, reason=reason, expire_at=expire_at,
        checked_at=None, report=[], fault="", rows=0, good=0, faulty=0, duplicates=0,
    )  # fmt: skip
    return _fresh(upload)


def save_template(name: str, upload: Upload, by: Person = None) -> UploadTemplate:
    """Keep the layout of an upload under a name; one of that name gets it instead of its own."""
    name = name.strip()
    if not name or len(name) > 120:
        raise ValidationError({"name": gettext("Give it a name of at most 120 characters.")})
    if not upload.path:
        raise Refused("FILE_GONE", gettext("The file is deleted: upload it again."))
    layout = Layout.from_json(upload.layout)
    try:
        headings = reading.headings(upload.file, layout)
    except FileRefused as refused:
        raise ValidationError({"layout": refused.told}) from None
    template, _ = UploadTemplate.objects.update_or_create(
        kind=upload.kind,
        name=name,
        defaults={
            "headings": headings,
            "layout": upload.layout,
            "on_duplicate": upload.on_duplicate,
            "created_at": clock.now(),
            "by_id": by.pk if by else None,
        },
    )
    log.info("uploads.template_saved", extra={"template": template.pk, "by": by.pk if by else None})
    return template


def delete_template(template: UploadTemplate, by: Person = None) -> None:
    """Forget a template; uploads keep the layouts that they have from it."""
    pk = template.pk
    template.delete()
    log.info("uploads.template_deleted", extra={"template": pk, "by": by.pk if by else None})


def templates_for(kind: str, headings: Sequence[str]) -> list[UploadTemplate]:
    """Return the templates for files of a kind: first those whose headings are these, then by name."""
    wanted = [_plain(heading) for heading in headings]
    found = UploadTemplate.objects.filter(kind=kind)
    return sorted(
        found, key=lambda template: (not fits(template, wanted), template.name.casefold())
    )  # fmt: skip


def fits(template: UploadTemplate, headings: Sequence[str]) -> bool:
    """Return whether a template was saved for a file of these headings."""
    return bool(headings) and [_plain(name) for name in template.headings] == [_plain(name) for name in headings]


def _plain(heading: object) -> str:
    return str(heading).strip().casefold()


# --- what is done with it ---------------------------------------------------------------------------------------


@transaction.atomic
def check(upload: Upload, by: Person = None) -> Upload:
    """Have the whole file validated; nothing but staged rows is written.

    Raises ``Refused`` in a wrong state, ``ValidationError`` by field for a layout that cannot be loaded.
    """
    locked = _locked(upload)
    _must_be_idle(locked)
    if not locked.path:
        raise Refused("FILE_GONE", gettext("The file is deleted: upload it again."))
    if faults := Layout.from_json(locked.layout).faults(locked.kind, allowed_variables()):
        raise ValidationError(faults)
    if locked.state == UploadState.NEW:
        _move(locked, UploadState.CHECKING, by, **_phase(), **_NOTHING_CHECKED)
    else:
        # What was checked before is void from this moment on, whatever becomes of the new check.
        _move(locked, UploadState.NEW, by)
        _move(locked, UploadState.CHECKING, by, **_phase(), **_NOTHING_CHECKED)
    verbs.send(WORK, locked.pk, queue=QUEUE)
    return _fresh(upload)


_NOTHING_CHECKED = {
    "rows": 0, "good": 0, "faulty": 0, "duplicates": 0, "staged": 0, "report": [], "checked_at": None,
}  # fmt: skip


@transaction.atomic
def load(upload: Upload, by: Person = None, *, on_duplicate: str | None = None) -> Upload:
    """Have the rows of a checked upload loaded.

    Faulty rows are never loaded. What becomes of the others that cannot be added as they are is the rule of
    duplicates, that of the upload or another one chosen now that the check is known: ``stop`` loads nothing while any
    row is faulty or a duplicate, and ends where one has become a duplicate meanwhile; ``skip`` leaves duplicates out;
    ``update`` changes the data of whom they are (as ``members.actions.take_members`` does), and leaves out what is
    twice in the file and what would be several subscribers. All that is left out is in ``rejected``.

    Raises ``Refused`` in a wrong state and when the rule leaves nothing to load.
    """
    locked = _locked(upload)
    if locked.state != UploadState.CHECKED:
        raise Refused("NOT_CHECKED", gettext("The upload is “%s”: check it first.") % locked.get_state_display())
    if on_duplicate is not None:
        if on_duplicate not in DuplicateRule.values:
            told = gettext("“%s” is not known. Use stop, skip or update.") % on_duplicate
            raise ValidationError({"on_duplicate": told})
        locked.on_duplicate = on_duplicate
    if locked.obstacle:
        raise Refused("NOTHING_TO_LOAD", locked.obstacle)
    _move(
        locked, UploadState.LOADING, by,
        **_phase(locked.staged), **_signed(by),
        on_duplicate=locked.on_duplicate, last_line=0, updated=0, skipped=0, refused=locked.faulty,
    )  # fmt: skip
    verbs.send(WORK, locked.pk, queue=QUEUE)
    return _fresh(upload)


@transaction.atomic
def cancel(upload: Upload, by: Person = None) -> Upload:
    """Stop what a worker is doing; what is loaded or taken out already stays so.

    Holds at once: a worker writes nothing after it. Raises ``Refused`` when none is at it.
    """
    locked = _locked(upload)
    if not locked.running:
        raise Refused("WRONG_STATE", gettext("The upload is “%s”: nothing is under way.") % locked.get_state_display())
    _move(locked, UploadState.CANCELLED, by)
    return _fresh(upload)


@transaction.atomic
def undo(upload: Upload, by: Person = None) -> Upload:
    """Have the subscribers taken out that this upload added and that were never dialled.

    Those with an attempt stay, and are counted; so does what ``update`` changed of others. The campaign may run.
    Raises ``Refused`` in a wrong state and when nobody is left whom it added.
    """
    locked = _locked(upload)
    if locked.running:
        raise Refused("WRONG_STATE", gettext("The upload is under way: cancel it first."))
    if locked.kind != UploadKind.MEMBERS:
        raise Refused("NOT_MEMBERS", gettext("Do-not-call numbers are removed on their page, one by one."))
    if not locked.may_undo:
        raise Refused("NOTHING_TO_UNDO", gettext("No subscriber of this upload is left."))
    total = locked.members.count()
    _move(locked, UploadState.UNDOING, by, **_phase(total), last_member=0, kept=0)
    verbs.send(WORK, locked.pk, queue=QUEUE)
    return _fresh(upload)


def _phase(total: int | None = None) -> dict[str, Any]:
    """Return what a phase begins with."""
    return {
        "done": 0, "total": total, "tries": 0, "fault": "", "started_at": clock.now(), "started_done": 0,
        "beat_at": None, "language": get_language() or "",
    }  # fmt: skip


def _must_be_idle(upload: Upload) -> None:
    if upload.state not in CHECKABLE_STATES:
        raise Refused(
            "WRONG_STATE",
            gettext("The upload is “%s”, and cannot be changed.") % upload.get_state_display(),
        )


def _locked(upload: Upload) -> Upload:
    return Upload.objects.select_for_update(no_key=True).get(pk=upload.pk)


def _fresh(upload: Upload) -> Upload:
    upload.refresh_from_db()
    return upload


def _move(locked: Upload, state: UploadState, by: Person, **values: Any) -> None:
    """Change the state of a locked upload along ``UPLOAD_EDGES``."""
    leaving = UploadState(locked.state)
    if state != leaving and state not in UPLOAD_EDGES[leaving]:
        raise Refused("WRONG_STATE", gettext("The upload is “%s”.") % locked.get_state_display())
    values |= {"state": state, "changed_at": clock.now()}
    Upload.objects.filter(pk=locked.pk).update(**values)
    for name, value in values.items():
        setattr(locked, name, value)
    _log(f"uploads.{state}", locked, by)


def _signed(by: Person) -> dict[str, Any]:
    return {"by_id": by.pk, "by_name": by.get_username()[:150]} if by and by.pk else {}


def _log(event: str, upload: Upload, by: Person, **keys: object) -> None:
    extra = {"upload": upload.pk, "campaign": upload.campaign_id, "by": by.pk if by else None, **keys}
    log.info(event, extra=extra)


# --- the rejected rows ------------------------------------------------------------------------------------------


def rejected(upload: Upload) -> Iterator[bytes]:
    """Yield a CSV file of the rows that were (or would be) left out, with the reason beside each.

    UTF-8 with its mark; the columns are those of the file, in their order, then the reasons and the line, so that it
    can be mended and loaded again. Cells that a spreadsheet would take for a formula are made plain. Raises
    ``Refused`` when the file is deleted.
    """
    if not upload.path:
        raise Refused("FILE_GONE", gettext("The file is deleted, and its rejected rows with it."))
    return _rejected(upload, Layout.from_json(upload.layout))


def _rejected(upload: Upload, layout: Layout) -> Iterator[bytes]:
    headings = reading.headings(upload.file, layout) if layout.heading else []
    width = max(len(headings), len(layout.columns))
    separator = layout.separator if layout.kind == FileKind.CSV and layout.separator in SEPARATORS else ","
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator)

    def written(cells: Iterable[object], last: Collection[object]) -> None:
        row = [_safe(cell) for cell in cells]
        # Of a row that is too long the rest comes last: the reasons are in a column of their own.
        writer.writerow([*row[:width], *[""] * (width - len(row)), *last, *row[width:]])

    buffer.write("\N{ZERO WIDTH NO-BREAK SPACE}")
    if layout.heading:
        written(headings, [gettext("Why it was left out"), gettext("Line")])
    for record, told in _with_reasons(upload, layout):
        written(record.cells, [" ".join(told), record.line])
        if buffer.tell() > PIECE:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def _with_reasons(upload: Upload, layout: Layout) -> Iterator[tuple[reading.Record, list[str]]]:
    """Yield the records that are left out, each with its reasons: both come in the order of lines."""
    kinds = set(REJECTED_KINDS)
    if upload.on_duplicate == DuplicateRule.UPDATE:
        kinds.discard(FaultKind.TAKEN)
    faults = _told(upload, kinds)
    fault = next(faults, None)
    if fault is None:
        return
    for record in reading.records(upload.file, layout):
        told: list[str] = []
        while fault is not None and fault[0] <= record.line:
            if fault[0] == record.line and fault[1] not in told:
                told.append(fault[1])
            fault = next(faults, None)
        if told:
            yield record, told
        if fault is None:
            return


def _told(upload: Upload, kinds: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield lines and what is told of them, by line; read in pages, so that no connection is held in between."""
    found = UploadFault.objects.filter(upload=upload, kind__in=kinds).order_by("line", "pk")
    after = (-1, 0)
    while page := list(found.filter(line__gte=after[0]).exclude(line=after[0], pk__lte=after[1])[:PAGE]):
        yield from ((fault.line, fault.told) for fault in page)
        after = page[-1].line, page[-1].pk


def _safe(cell: object) -> object:
    """Write a cell so that no spreadsheet takes it for a formula; numbers, which may begin with “+”, stay so."""
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    return escape(cell) if isinstance(cell, str) and not numbers.digits_of(cell) else cell


def titles() -> Mapping[str, str]:
    """Return what each kind of fault is called."""
    return {kind.value: str(kind.label) for kind in FaultKind}
