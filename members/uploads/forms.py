"""The form of how a file is read: its character set and separator, what each column is, and the rules of loading.

It is one of plain fields, so that a page without scripts can send it, and it never refuses to be shown: what cannot be
loaded is told beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from campaigns.fields import allowed_variables
from campaigns.forms import ZoneInput
from members import actions as members
from members import rows
from members.cells import as_text
from members.page_forms import Moment, dress
from members.uploads import guessing
from members.uploads.layout import SEVERAL, Column, Destination, FileKind, Layout
from members.uploads.models import DuplicateRule, Upload, UploadKind
from members.uploads.reading import FileRefused, Preview, Record, compile_rows, preview

SHOWN_ROWS = 10
READ_ROWS = 200
"""Of which samples are taken, and dates are looked at."""
SHOWN_CHARACTERS = 80
OTHER = "other"

SEPARATORS = [
    (",", _("Comma  ,")), (";", _("Semicolon  ;")), ("tab", _("Tab")), ("|", _("Bar  |")), (OTHER, _("Other…")),
]  # fmt: skip
QUOTES = [('"', _('Double  "')), ("'", _("Single  '")), ("none", _("None"))]
EXPIRE_FORMATS = [
    ("", _("ISO: 2026-12-31 18:00")), ("%d.%m.%Y", "31.12.2026"), ("%d.%m.%Y %H:%M", "31.12.2026 18:00"),
    ("%d/%m/%Y", "31/12/2026"), ("%d/%m/%Y %H:%M", "31/12/2026 18:00"), ("%m/%d/%Y", "12/31/2026"),
    ("%m/%d/%Y %H:%M", "12/31/2026 18:00"), ("%d.%m.%y", "31.12.26"), ("%Y%m%d", "20261231"),
]  # fmt: skip
"""Proposed; any format of ``strptime`` may be typed."""

DESTINATIONS: Mapping[str, Any] = {
    Destination.NOTHING: _("not loaded"),
    Destination.NUMBER: _("Number"),
    Destination.NUMBERS: _("Several numbers, separated by ;"),
    Destination.NAME: _("Name"),
    Destination.VARIABLE: _("Variable…"),
    Destination.EXTERNAL_ID: _("External id"),
    Destination.PRIORITY: _("Priority"),
    Destination.EXPIRE: _("Expire"),
    Destination.TIME_ZONE: _("Time zone"),
    Destination.CALLER_ID: _("Caller id"),
    Destination.VARIABLES: _("Variables, as a JSON object"),
    Destination.REASON: _("Reason"),
}
OF_DO_NOT_CALL = (
    Destination.NOTHING, Destination.NUMBER, Destination.NUMBERS, Destination.EXPIRE, Destination.REASON,
)  # fmt: skip


def destinations_of(kind: str) -> list[tuple[str, Any]]:
    """Return what a column of such a file can be."""
    if kind == UploadKind.DO_NOT_CALL:
        titles = {**DESTINATIONS, Destination.EXPIRE: _("Until")}
        return [(value, titles[value]) for value in OF_DO_NOT_CALL]
    return [(value, title) for value, title in DESTINATIONS.items() if value != Destination.REASON]


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """A column of the file beside what it is loaded as. Its name and priority stand as they were typed."""

    place: int
    heading: str
    samples: str
    destination: str
    name: str = ""
    priority: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    told: str = ""


class FormatsInput(forms.TextInput):
    """A text box that proposes formats of dates by an example of each."""

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        options = f"{name}-formats"
        box = super().render(name, value, {**(attrs or {}), "list": options, "autocomplete": "off"}, renderer)
        proposed = format_html_join("", '<option value="{}">{}</option>', EXPIRE_FORMATS)
        return format_html('{}<datalist id="{}">{}</datalist>', box, options, proposed)


class ReadingForm(forms.Form):
    """How a file is read, out of a layout or out of what was posted.

    ``layout`` is what it says, ``problems`` what is wrong with that by the path of the field, ``preview`` how the file
    begins (``None`` where it cannot be read), ``columns`` what each column is loaded as.
    """

    charset = forms.ChoiceField(label=_("character set"), required=False)
    separator = forms.ChoiceField(label=_("separator"), choices=SEPARATORS, required=False)
    separator_other = forms.CharField(label=_("which one"), max_length=1, required=False, strip=False)
    quote = forms.ChoiceField(label=_("quote"), choices=QUOTES, required=False)
    heading = forms.BooleanField(
        label=_("Ignore the first line"), required=False, help_text=_("It names the columns and is not loaded.")
    )
    expire_format = forms.CharField(
        label=_("format of dates"), max_length=60, required=False, widget=FormatsInput,
        help_text=_("%d is the day, %m the month, %Y the year, %H:%M the time. Empty: ISO."),
    )  # fmt: skip
    expire_zone = forms.CharField(
        label=_("zone of dates"), max_length=64, required=False, widget=ZoneInput,
        help_text=_("Empty: that of the calendar."),
    )  # fmt: skip
    on_duplicate = forms.ChoiceField(choices=DuplicateRule.choices)
    auto_run = forms.BooleanField(
        label=_("Run after adding members"), required=False, help_text=_("Starts the campaign once the list is loaded.")
    )
    reason = forms.CharField(
        label=_("reason"), max_length=200, required=False, help_text=_("Of those whose row gives none.")
    )
    expire_at = forms.DateTimeField(
        label=_("until"), required=False, widget=Moment, help_text=_("Of those whose row gives none; empty: for ever.")
    )

    def __init__(self, upload: Upload, layout: Layout, data: Any = None, rule: str = "", may_run: bool = True) -> None:
        super().__init__(data if data is not None else self._initial(upload, layout, rule))
        self.upload = upload
        self.posted = data
        self.kind = layout.kind
        self._dress(may_run)
        self.is_valid()
        self.refused = ""
        self.problems: dict[str, list[str]] = {}
        self.preview: Preview | None = None
        raw = self._raw_reading()
        try:
            reads = Layout.from_json(raw)
            self.preview = preview(upload.file, reads, READ_ROWS)
            self.columns = self._columns(layout, reads)
        except ValidationError as error:
            self.problems = error.message_dict
            self.refused = " ".join(error.messages)
        except FileRefused as refused:
            self.refused = located(refused)
            self.problems = {"charset" if refused.byte is not None else "": [self.refused]}
        if self.preview is None:
            self.columns = []
        self.dates_anew = self._choose_dates()
        self._read_layout({**raw, "expire_format": self["expire_format"].value() or ""})

    @staticmethod
    def _initial(upload: Upload, layout: Layout, rule: str) -> dict[str, Any]:
        """Return a layout as the fields have it."""
        named = {value: value for value, _title in SEPARATORS} | {"\t": "tab"}
        separator = named.get(layout.separator, OTHER)
        return {
            "charset": layout.charset, "separator": separator, "quote": layout.quote or "none",
            "separator_other": layout.separator if separator == OTHER else "", "heading": layout.heading,
            "expire_format": layout.expire_format, "expire_zone": layout.expire_zone,
            "on_duplicate": rule or upload.on_duplicate, "auto_run": upload.auto_run, "reason": upload.reason,
            "expire_at": upload.expire_at,
        }  # fmt: skip

    def _dress(self, may_run: bool) -> None:
        charset = self.fields["charset"]
        charset.choices = charset_choices(self.data.get("charset", ""))  # type: ignore[attr-defined]
        charset.widget.attrs["data-search"] = True
        if self.is_text and self.posted is None:
            charset.help_text = self._likely()
        quote = self.data.get("quote", "")
        if len(quote) == 1 and quote not in dict(QUOTES):
            self.fields["quote"].choices = [*QUOTES, (quote, quote)]  # type: ignore[attr-defined]
        if not may_run:
            self.fields["auto_run"].disabled = True
            self.fields["auto_run"].help_text = gettext("You may add subscribers, but not run campaigns.")
        self.fields["expire_zone"].widget.attrs["placeholder"] = zone_of(self.upload)
        dress(self)

    def _likely(self) -> str:
        """Tell that the character set is a guess, and which others would be."""
        try:
            first, *others = guessing.guess_charsets(self.upload.file)
        except FileRefused:
            return ""
        if self.data["charset"] != first:
            return ""
        titles = {charset.name: str(charset.title) for charset in guessing.charsets()}
        likely = ", ".join(titles.get(name, name) for name in others[:2])
        return gettext("Guessed. Also likely: %s.") % likely if likely else gettext("Guessed from the file.")

    @property
    def is_text(self) -> bool:
        return self.kind == FileKind.CSV

    def _raw_reading(self) -> dict[str, Any]:
        """Return how the file is read, without its columns, as a layout's JSON has it."""
        value = {name: self[name].value() for name in ("charset", "separator", "separator_other", "quote", "heading")}
        raw: dict[str, Any] = {"kind": self.kind.value, "heading": bool(value["heading"])}
        if self.is_text:
            separator = {"tab": "\t", OTHER: value["separator_other"]}.get(value["separator"], value["separator"])
            quote = "" if value["quote"] == "none" else value["quote"]
            raw |= {"charset": value["charset"] or "", "separator": separator or "", "quote": quote or ""}
        return raw

    @property
    def signature(self) -> str:
        """What the columns depend on: when it changes they are another file's, so to say."""
        raw = self._raw_reading()
        return "\x1f".join(str(raw.get(name, "")) for name in ("charset", "separator", "quote", "heading"))

    @property
    def reads_anew(self) -> bool:
        """Tell whether the file is read otherwise than the page shows that was posted."""
        return self.posted is not None and self.posted.get("read") != self.signature

    # --- the columns ---

    def _columns(self, layout: Layout, reads: Layout) -> list[MappedColumn]:
        assert self.preview is not None
        width = max(self.preview.width, len(layout.columns) if self.posted is None else 0)
        if self.posted is None:
            chosen = [_typed(column) for column in layout.columns]
        elif not self.reads_anew:
            chosen = [self._posted(place) for place in range(width)]
        else:
            chosen = self._chosen_anew(guessing.guess_columns(self.upload.file, reads), width)
        chosen += [_typed(Column())] * (width - len(chosen))
        return [
            MappedColumn(place, self._heading(place), self._samples(place), **given)
            for place, given in enumerate(chosen[:width])
        ]

    def _posted(self, place: int) -> dict[str, str]:
        given = {name: self.data.get(f"c{place}-{name}", "") for name in ("name", "priority", "description")}
        return {"destination": self.data.get(f"c{place}-destination", Destination.NOTHING.value), **given}

    def _chosen_anew(self, guess: Layout, width: int) -> list[dict[str, str]]:
        """Return what the columns are after the file is read otherwise: as was chosen where that still fits.

        As many columns as before are the same ones; those that were not loaded may have a name now that is known.
        """
        guessed = [_typed(column) for column in guess.columns] + [_typed(Column())] * width
        if self.data.get("width") != str(width):
            return guessed[:width]
        before = [self._posted(place) for place in range(width)]
        taken = {given["destination"] for given in before}
        return [
            given if given["destination"] != Destination.NOTHING or new["destination"] in taken - SEVERAL else new
            for given, new in zip(before, guessed, strict=False)
        ]

    @property
    def dated(self) -> str:
        """The column whose dates are read; empty without one."""
        return next((str(column.place) for column in self.columns if column.destination == Destination.EXPIRE), "")

    def _choose_dates(self) -> bool:
        """Take the format of dates from them when another column than before is that of dates; tell whether it is."""
        if self.posted is None or not self.dated or self.posted.get("dated") == self.dated:
            return False
        found = guessing.usual_date_format(self._dates(int(self.dated)))
        self.data = {name: self.data.get(name) for name in self.data} | {"expire_format": found}
        return True

    def _dates(self, place: int) -> list[str]:
        """Return the first dates that are written as text; a sheet knows the others itself."""
        assert self.preview is not None
        cells = [record.cells[place : place + 1] for record in self.preview.records]
        return [cell.strip() for (cell,) in filter(None, cells) if isinstance(cell, str) and cell.strip()]

    def _heading(self, place: int) -> str:
        assert self.preview is not None
        named = self.preview.headings[place].strip() if place < len(self.preview.headings) else ""
        return named or gettext("Column %d") % (place + 1)

    def _samples(self, place: int) -> str:
        """Return the first values of a column that differ."""
        assert self.preview is not None
        cells = (record.cells[place] for record in self.preview.records if place < len(record.cells))
        found = dict.fromkeys(text for cell in cells if (text := as_text(cell).strip()))
        return " · ".join(text[:40] for text in list(found)[:3])

    def _read_layout(self, raw: dict[str, Any]) -> None:
        """Set ``layout``, and add what is wrong with it to ``problems``."""
        raw |= {"expire_zone": (self["expire_zone"].value() or "").strip()}
        self.raw = {**raw, "columns": [_raw_column(column) for column in self.columns]}
        if self.problems:
            return
        try:
            self.problems = dict(Layout.from_json(self.raw).faults(self.upload.kind, allowed_variables()))
        except ValidationError as error:
            self.problems = error.message_dict
        for name in ("on_duplicate", "reason", "expire_at"):
            if told := self.errors.get(name):
                self.problems[name] = [str(one) for one in told]

    # --- what is shown of it ---

    def told(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong: where, in words, and what."""
        for path, several in self.problems.items():
            where = ""
            if path.startswith("columns["):
                place = int(path[len("columns[") : path.index("]")])
                where = self.columns[place].heading if place < len(self.columns) else ""
            elif path in self.fields and path != "charset":
                where = str(self.fields[path].label)
            for told in several:
                yield where, told

    def shown_rows(self) -> list[dict[str, Any]]:
        """Return the first rows, each cell with what is wrong with it as far as that can be said now."""
        if self.preview is None:
            return []
        find = (lambda record: {}) if self.problems else faults_of(self.upload, Layout.from_json(self.raw))
        width = len(self.columns)
        found = []
        for record in self.preview.records[:SHOWN_ROWS]:
            faults = find(record)
            cells = [
                Cell(as_text(cell)[:SHOWN_CHARACTERS], faults.get(place, "")) for place, cell in enumerate(record.cells)
            ]
            cells += [Cell("")] * (width - len(cells))
            found.append({"line": record.line, "cells": cells, "told": faults.get(None, "")})
        return found

    def ambiguous(self) -> str:
        """Tell when the dates do not say whether the day or the month comes first; empty when they do."""
        if not self.dated:
            return ""
        chosen = (self["expire_format"].value() or "").strip()
        column = self.columns[int(self.dated)]
        formats = guessing.date_formats(self._dates(column.place))
        if chosen not in formats or len(formats) < 2:
            return ""
        day = datetime(2026, 2, 1)  # noqa: DTZ001 (an example)
        told = gettext(
            "The dates of “%(column)s” can be read in several ways: %(example)s is taken for the first of February. "
            "Choose another format if that is wrong."
        )
        return told % {"column": column.heading, "example": day.strftime(chosen or "%Y-%m-%d")}


def zone_of(upload: Upload) -> str:
    """Return the zone of dates that give none."""
    return upload.campaign.calendar.time_zone if upload.campaign else "UTC"


def located(refused: FileRefused) -> str:
    """Tell why a file cannot be read, and where."""
    if refused.line is not None and refused.byte is not None:
        where = gettext("Line %(line)d, byte %(byte)d of the file") % {"line": refused.line, "byte": refused.byte}
    elif refused.line is not None:
        where = gettext("Line %d") % refused.line
    else:
        return refused.told
    return f"{where}: {refused.told}"


def charset_choices(chosen: str) -> list[tuple[Any, Any]]:
    """Return the character sets, the usual ones first; a name that is known by another one is added."""
    usual = [(charset.name, charset.title) for charset in guessing.charsets() if charset.usual]
    others = [(charset.name, charset.title) for charset in guessing.charsets() if not charset.usual]
    known = {name for name, _title in [*usual, *others]}
    found: list[tuple[Any, Any]] = [(_("Usual"), usual), (_("All others"), others)]
    return found if not chosen or chosen in known else [(chosen, chosen), *found]


def _typed(column: Column) -> dict[str, str]:
    return {
        "destination": column.destination.value, "name": column.name, "description": column.description,
        "priority": str(column.priority) if column.priority else "",
    }  # fmt: skip


def _raw_column(column: MappedColumn) -> dict[str, Any]:
    """Return a column as a layout's JSON has it, without what is of other destinations."""
    raw: dict[str, Any] = {"destination": column.destination}
    if column.destination == Destination.VARIABLE:
        raw["name"] = column.name.strip()
    elif column.destination in (Destination.NUMBER, Destination.NUMBERS):
        typed = column.priority.strip()
        try:
            raw["priority"] = int(typed or "0")
        except ValueError:
            raw["priority"] = typed
        raw["description"] = column.description
    return raw


def faults_of(upload: Upload, layout: Layout) -> Callable[[Record], dict[int | None, str]]:
    """Return a function that tells what is wrong with a row by itself, by column; at ``None`` with the whole of it."""
    read = compile_rows(layout)
    rules = members.rules_of(upload.campaign) if upload.campaign else rows.Rules(zone="UTC")

    def find(record: Record) -> dict[int | None, str]:
        raw, columns, at_fault = read(record)
        found = {column: list(told) for column, told in at_fault.items()}
        raw = {name: value for name, value in raw.items() if name != "reason"}
        for path, told in rows.read(raw, rules)[1].items() if None not in found else ():
            column = columns.get(path, columns.get(path.partition(".")[0]))
            if column not in at_fault:
                found.setdefault(column, []).extend(told)
        return {column: " ".join(told) for column, told in found.items()}

    return find
