"""Uploads of lists: the file, how it is read, where it stands, and what became of its rows."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from dialer import clock


class UploadKind(models.TextChoices):
    """What the rows of a file are."""

    MEMBERS = "members", _("Subscribers")
    DO_NOT_CALL = "do_not_call", _("Do-not-call numbers")


class UploadState(models.TextChoices):
    """Where an upload stands."""

    NEW = "new", _("New")
    CHECKING = "checking", _("Being checked")
    CHECKED = "checked", _("Checked")
    LOADING = "loading", _("Being loaded")
    LOADED = "loaded", _("Loaded")
    UNDOING = "undoing", _("Being undone")
    UNDONE = "undone", _("Undone")
    CANCELLED = "cancelled", _("Cancelled")
    FAILED = "failed", _("Failed")


RUNNING_STATES = (UploadState.CHECKING, UploadState.LOADING, UploadState.UNDOING)
"""A worker is at it, or will be."""

CHECKABLE_STATES = (
    UploadState.NEW, UploadState.CHECKED, UploadState.CANCELLED, UploadState.FAILED, UploadState.UNDONE,
)  # fmt: skip
"""It may be changed and checked."""

_STILL = frozenset({UploadState.NEW, UploadState.CHECKING, UploadState.UNDOING})

UPLOAD_EDGES: dict[UploadState, frozenset[UploadState]] = {
    UploadState.NEW: frozenset({UploadState.CHECKING, UploadState.UNDOING}),
    UploadState.CHECKING: frozenset({UploadState.CHECKED, UploadState.CANCELLED, UploadState.FAILED}),
    UploadState.CHECKED: _STILL | {UploadState.LOADING},
    UploadState.LOADING: frozenset({UploadState.LOADED, UploadState.CANCELLED, UploadState.FAILED}),
    UploadState.LOADED: frozenset({UploadState.UNDOING}),
    UploadState.UNDOING: frozenset({UploadState.UNDONE, UploadState.CANCELLED, UploadState.FAILED}),
    UploadState.UNDONE: _STILL,
    UploadState.CANCELLED: _STILL,
    UploadState.FAILED: _STILL,
}
"""From a state to those that may follow it. What was loaded in part can be undone whatever came after."""


class DuplicateRule(models.TextChoices):
    """What becomes of rows that cannot be added as they are.

    A row is *faulty* when it cannot be understood; it is a *duplicate* when one of its numbers or its external id is
    in an earlier row of the file, or belongs to a subscriber of the campaign (for do-not-call: is on that list).
    """

    STOP = "stop", _("Stop: load nothing while any row is faulty or a duplicate")
    SKIP = "skip", _("Skip: leave faulty rows and duplicates out")
    UPDATE = "update", _("Update: change the data of those who are there already, leave faulty rows out")


class FaultKind(models.TextChoices):
    """What is wrong with a row."""

    ROW = "row", _("Rows that cannot be read")
    NUMBER = "number", _("Bad numbers")
    EXPIRE = "expire", _("Bad dates")
    TIME_ZONE = "time_zone", _("Unknown time zones")
    FIELD = "field", _("Other bad values")
    TWICE = "twice", _("Duplicates inside the file")
    TAKEN = "taken", _("In the list already")
    SEVERAL = "several", _("Not exactly one subscriber of the campaign")
    LISTED = "listed", _("On the do-not-call list (loaded, and not called while listed)")


FAULTY_KINDS = (FaultKind.ROW, FaultKind.NUMBER, FaultKind.EXPIRE, FaultKind.TIME_ZONE, FaultKind.FIELD)
"""The row cannot be understood."""
DUPLICATE_KINDS = (FaultKind.TWICE, FaultKind.TAKEN, FaultKind.SEVERAL)
"""The row is there already. One of several subscribers cannot be updated: whom would it change?"""
REJECTED_KINDS = (*FAULTY_KINDS, *DUPLICATE_KINDS)
"""The row is left out; what is told of others is a notice."""


class Upload(models.Model):
    """A file, and what is done with it. Only ``members.uploads.actions`` and the worker write it."""

    kind = models.CharField(_("kind"), max_length=11, choices=UploadKind.choices, default=UploadKind.MEMBERS)
    campaign = models.ForeignKey(
        "campaigns.Campaign", models.CASCADE, null=True, related_name="uploads", verbose_name=_("campaign")
    )
    """Empty: do-not-call numbers of every campaign."""
    state = models.CharField(_("state"), max_length=9, choices=UploadState.choices, default=UploadState.NEW)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("by"), db_index=False
    )
    """Who uploaded it, and who loaded it since."""
    by_name = models.CharField(_("by"), max_length=150, blank=True)
    """His name, which stays when the account goes."""
    created_at = models.DateTimeField(_("uploaded"))
    changed_at = models.DateTimeField(_("changed"))

    file_name = models.CharField(_("file"), max_length=255)
    size = models.BigIntegerField(_("size"), help_text=_("Bytes."))
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    path = models.CharField(max_length=255, blank=True)
    """Below ``UPLOADS_DIR``; empty once the file is deleted."""
    same_as = models.ForeignKey("self", models.SET_NULL, null=True, related_name="+", db_index=False)
    """The same file was loaded into this campaign before, by this upload."""

    language = models.CharField(max_length=10, blank=True, editable=False)
    """In which its rows' faults are told: that of whoever asked for the phase; empty: the installation's."""
    layout = models.JSONField(_("layout"), default=dict)
    on_duplicate = models.CharField(
        _("duplicates"), max_length=6, choices=DuplicateRule.choices, default=DuplicateRule.STOP
    )
    auto_run = models.BooleanField(_("run after adding members"), default=False)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    """Of do-not-call numbers whose row has none."""
    expire_at = models.DateTimeField(_("until"), null=True)
    """Of do-not-call numbers whose row has none."""

    rows = models.PositiveIntegerField(_("rows"), default=0)
    good = models.PositiveIntegerField(_("good"), default=0)
    """Rows neither faulty nor duplicates when the file was checked."""
    faulty = models.PositiveIntegerField(_("faulty"), default=0)
    duplicates = models.PositiveIntegerField(_("duplicates"), default=0)
    zoned_by = models.CharField(max_length=12, default="off", editable=False)
    """How the campaign took zones from numbers when the file was checked."""
    staged = models.PositiveIntegerField(default=0, editable=False)
    """Rows in the staging table: those that could be understood."""

    added = models.PositiveIntegerField(_("added"), default=0)
    """In all of its loads; those that were undone are still counted here."""
    updated = models.PositiveIntegerField(_("updated"), default=0)
    skipped = models.PositiveIntegerField(_("skipped"), default=0)
    """Duplicates that the last load left out."""
    refused = models.PositiveIntegerField(_("refused"), default=0)
    """Faulty rows that the last load left out, and those that could not be updated."""
    undone = models.PositiveIntegerField(_("taken out"), default=0)
    kept = models.PositiveIntegerField(_("kept"), default=0)
    """Subscribers that the last undo left, since they had been called."""

    done = models.BigIntegerField(default=0)
    """Rows (of a check: lines of the file) of the running phase that are behind it."""
    total = models.BigIntegerField(null=True)
    """All of them; empty while unknown."""
    last_line = models.BigIntegerField(default=0, editable=False)
    """The line up to which rows are loaded: where another worker goes on."""
    last_member = models.BigIntegerField(default=0, editable=False)
    """The subscriber up to whom an undo has come."""
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    """Workers that took it without getting any further."""
    report = models.JSONField(_("report"), default=list)
    fault = models.TextField(_("why it failed"), blank=True)

    beat_at = models.DateTimeField(_("worker's last sign"), null=True)
    started_at = models.DateTimeField(_("phase began"), null=True)
    started_done = models.BigIntegerField(default=0, editable=False)
    """What was behind it when the worker that is at it now began."""
    checked_at = models.DateTimeField(_("checked"), null=True)
    loaded_at = models.DateTimeField(_("loaded"), null=True)
    undone_at = models.DateTimeField(_("undone"), null=True)

    class Meta:
        verbose_name = _("upload")
        verbose_name_plural = _("uploads")
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=UploadState.values), name="upload_state_known"),
            models.CheckConstraint(
                condition=Q(kind=UploadKind.DO_NOT_CALL) | Q(campaign__isnull=False), name="upload_of_a_campaign"
            ),
            models.CheckConstraint(condition=Q(undone__lte=F("added")), name="upload_undoes_what_it_added"),
        ]
        indexes: ClassVar = [
            # what workers are at, or should be
            models.Index(fields=["id"], condition=Q(state__in=RUNNING_STATES), name="upload_running"),
            # files whose time is over
            models.Index(fields=["changed_at"], condition=~Q(path=""), name="upload_with_file"),
            # the same file again
            models.Index(fields=["sha256"], name="upload_of_file"),
        ]

    def __str__(self) -> str:
        return f"{self.file_name} (#{self.pk})"

    @property
    def file(self) -> Path:
        """The file itself; only while ``path`` names one."""
        return Path(settings.UPLOADS_DIR) / self.path

    @property
    def running(self) -> bool:
        return self.state in RUNNING_STATES

    @property
    def progress(self) -> float | None:
        """How much of the running phase is behind it, from 0 to 1; ``None`` while that cannot be said."""
        if not self.running:
            return 1.0
        if not self.total:
            return None
        return min(self.done / self.total, 1.0)

    @property
    def rows_per_second(self) -> float | None:
        """How fast the running phase goes on, in real time; ``None`` before that can be said."""
        if not self.running or self.started_at is None or self.done <= self.started_done:
            return None
        seconds = clock.real_age(self.started_at).total_seconds()
        return (self.done - self.started_done) / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Real seconds until the running phase is over, at this pace."""
        pace = self.rows_per_second
        if not pace or not self.total:
            return None
        return max(self.total - self.done, 0) / pace

    @property
    def may_check(self) -> bool:
        return self.state in CHECKABLE_STATES and bool(self.path)

    @property
    def may_load(self) -> bool:
        """It is checked, and something of it can be loaded by its rule of duplicates."""
        return self.state == UploadState.CHECKED and not self.obstacle

    @property
    def obstacle(self) -> str:
        """What keeps a checked upload from being loaded, in words; empty when nothing does."""
        if self.on_duplicate == DuplicateRule.STOP and (self.faulty or self.duplicates):
            return str(
                _("%(faulty)d faulty rows and %(duplicates)d duplicates: mend the file, or skip or update them.")
                % {"faulty": self.faulty, "duplicates": self.duplicates}
            )
        if not self.good and not (self.on_duplicate == DuplicateRule.UPDATE and self.duplicates):
            return str(_("No row of the file can be loaded."))
        return ""

    @property
    def may_cancel(self) -> bool:
        return self.running

    @property
    def may_undo(self) -> bool:
        """Subscribers whom it added may be taken out. Numbers put on a do-not-call list are removed there."""
        return self.kind == UploadKind.MEMBERS and not self.running and self.added > self.undone

    @property
    def rejected_exists(self) -> bool:
        """There is a file of the rows that were left out."""
        return bool(self.path) and self.checked_at is not None and bool(self.faulty or self.duplicates)


class UploadFault(models.Model):
    """Something told of a row: why it is left out, or a notice. Deleted with the file."""

    upload = models.ForeignKey(Upload, models.CASCADE, related_name="faults", db_index=False)
    line = models.BigIntegerField(_("line"))
    kind = models.CharField(_("kind"), max_length=9, choices=FaultKind.choices)
    column = models.PositiveIntegerField(_("column"), null=True)
    """From 0; empty when it is about the whole row."""
    value = models.CharField(_("value"), max_length=200, blank=True)
    """What stands there, its beginning."""
    told = models.TextField(_("reason"))

    class Meta:
        verbose_name = _("fault of a row")
        verbose_name_plural = _("faults of rows")
        ordering: ClassVar = ["line", "id"]
        indexes: ClassVar = [
            # of a line, and in the order of lines
            models.Index(fields=["upload", "line"], name="upload_fault_line"),
            # the first ones of a kind, and how many
            models.Index(fields=["upload", "kind", "line"], name="upload_fault_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.line}: {self.told}"


class UploadTemplate(models.Model):
    """A layout by name, for files of the same kind."""

    name = models.CharField(_("name"), max_length=120)
    kind = models.CharField(_("kind"), max_length=11, choices=UploadKind.choices, default=UploadKind.MEMBERS)
    headings = models.JSONField(_("headings"), default=list)
    layout = models.JSONField(_("layout"), default=dict)
    on_duplicate = models.CharField(
        _("duplicates"), max_length=6, choices=DuplicateRule.choices, default=DuplicateRule.STOP
    )
    created_at = models.DateTimeField(_("saved"))
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", db_index=False)

    class Meta:
        verbose_name = _("upload template")
        verbose_name_plural = _("upload templates")
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "name"], name="upload_template_once",
                violation_error_message=_("A template of this name exists already."),
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.name
