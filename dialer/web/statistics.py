"""Statistics of a while: tables, charts drawn from them, and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import pytz
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.formats import date_format, number_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from campaigns.models import Campaign
from dialer import clock, exports
from dialer.exports import FileFormat
from dialer.pages import for_supervisors
from dialer.statistics import reading
from dialer.statistics.queries import BUSY, DUTY, PARTS, Asked
from dialer.statistics.ranges import Step
from dialer.statistics.tables import Cell, Column, Table
from dialer.templatetags.spans import duration
from dialer.web import frame
from dialer.web.statistics_forms import StatisticsForm

RIGHT: Final = "campaigns.view_campaign"
MOST_ROWS: Final = 200
"""Of a table on the page; files have all of them."""
TONES: Final[Mapping[str, str]] = {
    "waiting": "free", "ringing": "ring", "talking": "talk", "wrap_up": "wrap", "not_ready": "off", "on_break": "break",
    "sending": "held", "switch": "off", "operator_rings": "ring", "subscriber_rings": "talk", "connecting": "wrap",
}  # fmt: skip
BARS: Final = {
    ("causes", "share"), ("dispositions", "share"), ("hours_of_day", "connect_rate"), ("numbers", "connect_rate"),
    ("tries", "share"),
}  # fmt: skip
"""Cells that are drawn, too."""


@dataclass(slots=True)
class Piece:
    """A part of a bar: where it begins and how wide it is, in percent."""

    tone: str
    start: str
    width: str


@dataclass(slots=True)
class Shown:
    """A cell as people read it; ``value`` is what a chart is drawn from."""

    text: str
    kind: str
    value: str = ""
    tone: str = ""
    bar: list[Piece] = field(default_factory=list)


@dataclass(slots=True)
class Card:
    """A table on the page."""

    table: Table
    columns: list[tuple[Column, str]]
    """With their tones."""
    rows: list[list[Shown]]
    total: list[Shown]
    hidden: int
    """Rows that are in the file alone."""
    bar: list[Piece]
    """Of the whole."""


@require_safe
@never_cache
@for_supervisors
def everything(request: HttpRequest) -> HttpResponseBase:
    """Show what the ledger tells of all campaigns that the user may see, or of one, or give it as a file."""
    return _answer(request, None, "statistics/all.html")


@require_safe
@never_cache
@for_supervisors
def of_campaign(request: HttpRequest, campaign_id: int) -> HttpResponseBase:
    """Show what the ledger tells of a campaign, or give it as a file."""
    return _answer(request, frame.find(request, campaign_id), "statistics/campaign.html")


def _answer(request: HttpRequest, campaign: Campaign | None, template: str) -> HttpResponseBase:
    if not request.user.has_perm(RIGHT):
        raise PermissionDenied
    form = StatisticsForm(request.user, campaign, request.GET.dict())
    shown: dict[str, Any] = {"form": form, "campaign": campaign, "tab": "statistics"}
    if not form.is_valid():
        return render(request, template, shown, status=400 if "file" in request.GET else 200)
    asked, step = form.asked()
    found = reading.report(request.user, asked, step)
    if request.GET.get("file") in FileFormat.values:
        return _file(asked, found, FileFormat(request.GET["file"]), request.GET.get("table", ""), campaign)
    query = request.GET.copy()
    for name in ("file", "table"):
        query.pop(name, None)
    shown |= {
        "cards": {name: _card(table, asked.range.zone, step) for name, table in found.items()},
        "figures": list(_figures(found)),
        "told": _told(asked),
        "zone": asked.range.zone,
        "query": query.urlencode(),
        "is_empty": not found["calls"].total[1],
    }
    return render(request, template, shown)


def _file(
    asked: Asked, found: Mapping[str, Table], kind: FileFormat, name: str, campaign: Campaign | None
) -> HttpResponseBase:
    """Return one table, or as XLSX all of them. Raises ``Http404`` for one that the user has not."""
    if not name:
        chosen = dict(found) if kind == FileFormat.XLSX else {"calls": found["calls"]}
    elif name in found:
        chosen = {name: found[name]}
    else:
        raise Http404(_("There is no table “%s”.") % name[:80])
    there = pytz.timezone(asked.range.zone)
    days = " – ".join(f"{localtime(instant, there):%Y-%m-%d %H.%M}" for instant in (asked.range.start, asked.range.end))
    what = [campaign.name if campaign else "", _("statistics"), *([name] if len(chosen) == 1 else []), days]
    return exports.tables(
        {
            name: ([column.name for column in table.columns], [_in_words(table, row) for row in table.rows])
            for name, table in chosen.items()
        },
        name=" ".join(filter(None, what)),
        file_format=kind,
        zone=asked.range.zone,
    )


def _in_words(table: Table, row: Sequence[Cell]) -> list[Cell]:
    return [
        str(column.words[cell]) if cell in column.words else cell
        for column, cell in zip(table.columns, row, strict=True)
    ]


def _told(asked: Asked) -> str:
    """Write the while on the wall clock of its zone."""
    there = pytz.timezone(asked.range.zone)
    first, last = (
        date_format(localtime(instant, there), "D j M Y H:i") for instant in (asked.range.start, asked.range.end)
    )
    return f"{first} – {last}"


# --- cells ------------------------------------------------------------------------------------------------------


def _card(table: Table, zone: str, step: Step) -> Card:
    place = {column.name: at for at, column in enumerate(table.columns)}
    keep = [at for at, column in enumerate(table.columns) if column.kind != "id"]

    def cells(row: Sequence[Cell]) -> list[Shown]:
        found = [_shown(table.columns[at], row[at], zone, step) for at in keep]
        for at, cell in zip(keep, found, strict=True):
            value = row[at]
            if (table.name, table.columns[at].name) in BARS and isinstance(value, int | float):
                cell.bar = _bar([("talk", value)], 100)
        if table.name == "operators":
            parts = [(TONES[word], _number(row[place[word]])) for word in DUTY]
            found[0].bar = _bar(parts, sum(seconds for _tone, seconds in parts))
        elif table.name == "next_call":
            found[0].tone = TONES.get(str(row[0]), "")
        return found

    whole: list[Piece] = []
    if table.name == "next_call" and table.rows:
        parts = [(TONES[word], max(0.0, _number(row[1]))) for word, row in zip(PARTS, table.rows, strict=False)]
        whole = _bar(parts, sum(seconds for _tone, seconds in parts))
    rows, last = _on_the_page(table)
    total = cells(last) if last else []
    if total:
        total[0].text = _("In all")
        total[0].tone = ""
    return Card(
        table=table,
        columns=[
            (column, TONES.get(column.name, "") if table.name == "operators" else "")
            for column in (table.columns[at] for at in keep)
        ],
        rows=[cells(row) for row in rows[:MOST_ROWS]],
        total=total,
        hidden=max(0, len(rows) - MOST_ROWS),
        bar=whole,
    )


def _on_the_page(table: Table) -> tuple[list[list[Cell]], list[Cell]]:
    """Return the rows that are worth a look, and that of all: of calls the latest first, and none to come; of the hours
    of the day those between the first and the last with attempts."""
    rows = table.rows
    if table.name == "calls":
        now = clock.now()
        return [row for row in reversed(rows) if isinstance(row[0], datetime) and row[0] <= now], table.total
    if table.name == "hours_of_day":
        worked = [place for place, row in enumerate(rows) if row[1]]
        return rows[worked[0] : worked[-1] + 1] if worked else [], []
    if table.name == "next_call":
        return rows[:-1], rows[-1] if rows else []
    return rows, table.total


def _number(cell: Cell) -> float:
    return float(cell) if isinstance(cell, int | float) else 0.0


def _bar(parts: Sequence[tuple[str, float]], whole: float) -> list[Piece]:
    """Return the pieces of a bar, one after another."""
    pieces, start = [], 0.0
    for tone, size in parts:
        width = 100 * size / whole if whole > 0 else 0.0
        if width > 0:
            pieces.append(Piece(tone, f"{start:.2f}%", f"{width:.2f}%"))
        start += width
    return pieces


def _shown(column: Column, cell: Cell, zone: str, step: Step) -> Shown:
    if cell in column.words:
        return Shown(str(column.words[cell]), column.kind)
    match cell:
        case None:
            return Shown("–", column.kind)
        case datetime():
            there = localtime(cell, pytz.timezone(zone))
            told = date_format(there, "D j M" if step == Step.DAY else "D j M H:i")
            return Shown(told, column.kind, str(int(cell.timestamp())))
        case str():
            return Shown(cell, column.kind, cell)
    text = {"percent": percent, "seconds": duration}.get(column.kind, whole_number)(cell)
    return Shown(text, column.kind, f"{cell:g}" if isinstance(cell, float) else str(cell))


def whole_number(count: float) -> str:
    return number_format(count, force_grouping=True)


def percent(share: float) -> str:
    return _("%s%%") % number_format(share, 1)


# --- the figures above all --------------------------------------------------------------------------------------


def _figures(found: Mapping[str, Table]) -> Iterator[tuple[str, str, str]]:
    """Yield what stands above all: a word, a figure, and what it is of."""
    total = {name: cell for name, cell in found["calls"].total_as_dict().items() if isinstance(cell, int | float)}
    live = int(total["live"])
    yield _("Attempts"), whole_number(total["attempts"]), _("%s live") % whole_number(live) if live else ""
    yield (
        _("Connected"),
        whole_number(total["connected"]),
        _("%s of the dialled") % percent(total["connect_rate"]) if "connect_rate" in total else "",
    )
    yield _("Success"), whole_number(total["success"]), ""
    answered = total["answered"]
    yield (
        _("Abandoned"),
        whole_number(total["abandoned"]),
        _("%s of the answered") % percent(100 * total["abandoned"] / answered) if answered else "",
    )
    talk, connected = total["talk_seconds"], total["connected"]
    yield _("Talk"), duration(talk), _("%s a call") % duration(talk / connected) if connected else ""
    if "operators" in found:
        team = found["operators"].total_as_dict()
        busy = team["occupancy"]
        worked = sum(_number(team[word]) for word in BUSY)
        yield (
            _("Occupancy"),
            percent(busy) if isinstance(busy, int | float) else "–",
            _("%s of work") % duration(worked) if worked else "",
        )
