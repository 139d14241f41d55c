"""Guessing how a file is to be read: its kind, character set, separator, quote, heading, columns and dates. Pure.

A guess is shown and may be changed; what it must do is read ordinary files right without a question.
"""

from __future__ import annotations

import codecs
import csv
import encodings
import itertools
import pkgutil
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path

import pytz
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from members.cells import Cell, as_text
from members.uploads.layout import OF_NUMBERS, Column, Destination, FileKind, Layout, is_charset
from members.uploads.opening import kind_of, opened
from members.uploads.reading import CUT, Lines, csv_reader, parse_iso, preview

SAMPLE_BYTES = 1 << 18
SAMPLE_LINES = 400
SAMPLE_ROWS = 500


def guess(path: Path, file_name: str) -> Layout:
    """Return how a file is probably to be read. Raises ``FileRefused`` for what is no list."""
    layout = Layout(kind=kind_of(path), heading=False)
    if layout.kind == FileKind.CSV:
        layout = replace(layout, charset=guess_charsets(path)[0])
        tabs_first = Path(file_name).suffix.lower() in {".tsv", ".tab"}
        separator, quote = _guess_separator(path, layout.charset, tabs_first)
        layout = replace(layout, separator=separator, quote=quote)
    first, body = _sample_rows(path, layout)
    return _mapped(replace(layout, heading=_is_heading(first, body)), first, body)


def guess_columns(path: Path, layout: Layout) -> Layout:
    """Return a layout with its columns, and the format of their dates, guessed anew; the rest is as it says.

    Raises ``FileRefused``.
    """
    return _mapped(layout, *_sample_rows(path, layout))


def _sample_rows(path: Path, layout: Layout) -> tuple[list[str], list[Sequence[Cell]]]:
    """Return the first row of a file as text, and the rows below."""
    seen = preview(path, replace(layout, heading=False, columns=()), SAMPLE_ROWS)
    return [as_text(cell) for cell in seen.records[0].cells], [record.cells for record in seen.records[1:]]


def _mapped(layout: Layout, first: list[str], body: list[Sequence[Cell]]) -> Layout:
    if not layout.heading:
        body = [first, *body]
    # Rows that are longer than most have a separator too many: that is told of them.
    usual = Counter(len(row) for row in body).most_common(1)[0][0] if body else 0
    columns = _columns(first if layout.heading else [], body, max(len(first) if layout.heading else 0, usual))
    return replace(layout, columns=columns, expire_format=_expire_format(columns, body))


# --- character sets ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Charset:
    """A way to write text."""

    name: str
    title: str | Promise
    usual: bool


USUAL = {
    "utf-8": _("Unicode (UTF-8)"),
    "utf-16": _("Unicode (UTF-16)"),
    "windows-1251": _("Cyrillic (Windows-1251)"),
    "koi8-u": _("Cyrillic (KOI8-U)"),
    "koi8-r": _("Cyrillic (KOI8-R)"),
    "cp866": _("Cyrillic (DOS, CP866)"),
    "cp1125": _("Ukrainian (DOS, CP1125)"),
    "iso-8859-5": _("Cyrillic (ISO 8859-5)"),
    "mac-cyrillic": _("Cyrillic (Macintosh)"),
    "windows-1252": _("Western European (Windows-1252)"),
    "iso-8859-1": _("Western European (ISO 8859-1)"),
    "windows-1250": _("Central European (Windows-1250)"),
    "iso-8859-2": _("Central European (ISO 8859-2)"),
    "windows-1254": _("Turkish (Windows-1254)"),
    "windows-1253": _("Greek (Windows-1253)"),
    "windows-1257": _("Baltic (Windows-1257)"),
}


@cache
def charsets() -> tuple[Charset, ...]:
    """Return every character set that Python decodes, the usual ones first."""
    usual = [Charset(name, title, True) for name, title in USUAL.items()]
    known = {codecs.lookup(charset.name).name for charset in usual} | {"utf-8-sig"}  # its mark is read over anyway
    others = {}
    for module in pkgutil.iter_modules(encodings.__path__):
        if is_charset(module.name) and codecs.lookup(module.name).name not in known:
            name = codecs.lookup(module.name).name.replace("_", "-")
            others[name] = Charset(name, name.upper(), False)
    return (*usual, *(others[name] for name in sorted(others, key=_by_number)))


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name) if part]


MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CYRILLIC = "оаинтеврслкдмпуіязьбгчйхжшюїцщєфґыэъё"
"""The letters of Ukrainian and Russian, the most frequent first."""
CENTRAL = "áéíóúýčďěňřšťůžąćęłńóśźżőűöüäôĺľŕăâîșțđß"
WESTERN = "éèäöüßáíóúñçàâêîôûëïœæøåãõ"
EIGHT_BIT: dict[str, str] = {
    "windows-1251": CYRILLIC,
    "koi8-u": CYRILLIC,
    "cp1125": CYRILLIC,
    "cp866": CYRILLIC,
    "iso-8859-5": CYRILLIC,
    "mac-cyrillic": CYRILLIC,
    "windows-1252": WESTERN,
    "windows-1250": CENTRAL,
    "iso-8859-2": CENTRAL,
    "cp852": CENTRAL,
    "windows-1254": "ğışçöüâîû",
    "windows-1253": "αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋ",
    "windows-1257": "ąčęėįšųūžāēģīķļņõäöü",
}
"""Of which letters their texts are made, besides the Latin ones."""


def guess_charsets(path: Path) -> list[str]:
    """Return character sets in which a file may be written, the likely ones first. Raises ``FileRefused``."""
    sample = _sample(path)
    for mark, charset in MARKS:
        if sample.startswith(mark):
            return [charset]
    if wide := _wide(sample):
        return [wide]
    if sample.isascii():
        return ["utf-8"]
    scores = {charset: _score(sample, charset, letters) for charset, letters in EIGHT_BIT.items()}
    ranked = sorted((charset for charset in scores if scores[charset] > -10), key=lambda charset: -scores[charset])
    found = ["utf-8", *ranked] if _is_utf8(sample) else ranked
    return found or ["windows-1252"]


def _sample(path: Path) -> bytes:
    """Return a part of a file that tells its character set: where the first bytes are that are not ASCII."""
    with opened(path, FileKind.CSV) as file:
        piece = first = file.read(SAMPLE_BYTES)
        while piece.isascii() and piece:
            piece = file.read(SAMPLE_BYTES)
        return piece or first


def _wide(sample: bytes) -> str:
    """Tell UTF-16 without its mark by every second byte; empty for anything else."""
    # No other text has bytes of 0 or 4, which are the upper ones of Latin and of Cyrillic letters.
    even, odd = (part.count(0) + part.count(4) for part in (sample[0:2048:2], sample[1:2048:2]))
    enough = min(len(sample), 2048) // 2 * 0.4
    if odd > enough and odd > 4 * even:
        return "utf-16-le"
    if even > enough and even > 4 * odd:
        return "utf-16-be"
    return ""


def _is_utf8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


WORD = re.compile(r"[^\W\d_]+")


def _score(sample: bytes, charset: str, letters: str) -> float:
    """Return how much a sample looks like text in a character set, for each of its characters that are not ASCII.

    Letters of its languages are good, frequent ones of Cyrillic more so; other characters are bad, and so are capitals
    behind small letters, and words of two alphabets.
    """
    try:
        text = sample.decode(charset)
    except UnicodeDecodeError:
        return -100
    if letters is CYRILLIC:
        worth = {letter: 1.5 - place / 25 for place, letter in enumerate(letters)}
    else:
        worth = dict.fromkeys(letters, 0.8)
    counted = Counter(char for char in text if char > "\x7f")
    score = 0.0
    for char, count in counted.items():
        if char.isalpha():
            score += count * worth.get(char.lower(), -1.5)
        elif char in "«»„“”‘’–—№…\xa0€°":
            score += count * (-0.2)
        else:
            score -= count * (3 if unicodedata.category(char) in {"Cc", "So", "Sm", "Sk"} else 2)
    for word, count in Counter(WORD.findall(text)).items():
        if not word.isascii():
            mixed = letters[0] in "оα" and any(char.isascii() for char in word)
            odd = sum(a.islower() and b.isupper() for a, b in itertools.pairwise(word))
            score -= count * (2 * mixed + 2 * odd)
    return score / sum(counted.values())


# --- separators -------------------------------------------------------------------------------------------------

SEPARATORS = ",;\t|"
"""The usual ones."""
RARE_SEPARATORS = "\x1f\x01~^§¦!#$%&*:="
LESS_LIKELY = 0.5
"""How much better a file must be read without quotes to be taken as one that has none."""


def _guess_separator(path: Path, charset: str, tabs_first: bool) -> tuple[str, str]:
    """Return separator and quote: those by which the rows are equally long, and a column has numbers."""
    with opened(path, FileKind.CSV) as file:
        lines = Lines(file, charset)
        first = _take(lines)
    order = "\t,;|" if tabs_first else SEPARATORS
    text = "".join(first)
    if lines.separator:
        order = lines.separator
    else:
        order += "".join(separator for separator in RARE_SEPARATORS if separator in text)
    best: tuple[float, ...] = (-1,)
    found = order[0], '"'
    for quote in ('"', *(["'"] if "'" in text else []), *([""] if '"' in text else [])):
        for separator in order:
            if separator != quote and (separator in text or separator == order[0]):
                looks = _look(first, separator, quote)
                if looks > best:
                    best, found = looks, (separator, quote)
    return found


def _take(lines: Lines) -> list[str]:
    """Return the first lines."""
    found: list[str] = []
    size = 0
    for line in lines:
        found.append(line)
        size += len(line)
        if len(found) >= SAMPLE_LINES or size > SAMPLE_BYTES:
            break
    return found


def _look(lines: Sequence[str], separator: str, quote: str) -> tuple[float, ...]:
    """Return how much lines look like rows: what is bigger is likelier."""
    rows, bad = _rows(lines, separator, quote)
    if not rows:
        return (-1.0,)
    (width, equal), *_ = Counter(map(len, rows)).most_common(1)
    share = equal / (len(rows) + bad) * (1 if quote else LESS_LIKELY)
    body = [row for row in rows if len(row) == width]
    numbers = any(_share(NUMBERS, [row[place] for row in body]) > 0.6 for place in range(width))
    usual = separator in SEPARATORS
    return (numbers, width > 1 and share >= 0.5, usual, share, width)


def _rows(lines: Sequence[str], separator: str, quote: str) -> tuple[list[list[str]], int]:
    """Return the rows of some lines that are not empty, and how many are broken (the last one may be cut off)."""
    reader = csv_reader(lines, Layout(separator=separator, quote=quote))
    rows: list[list[str]] = []
    bad = 0
    while True:
        try:
            rows += [row for row in reader if any(row)]
            return rows, bad
        except csv.Error:
            bad += 1


def _share(pattern: re.Pattern[str], cells: Sequence[str]) -> float:
    """Return how many of the cells that are not empty match; 0 when all are empty."""
    filled = [cell for cell in cells if cell.strip()]
    return sum(bool(pattern.fullmatch(cell)) for cell in filled) / len(filled) if filled else 0


ONE = r"\s*'?\+?\(?\d[\d\s().\-–]{4,28}|\s*\d([.,]\d+)?[eE]\+\d\d\s*"
NUMBERS = re.compile(rf"({ONE})([,;/]({ONE}))*[;,]?\s*")
"""A telephone number or several, or what a spreadsheet made of one."""


# --- headings ---------------------------------------------------------------------------------------------------

KNOWN: dict[Destination, str] = {
    Destination.NAME: (
        "name, full name, fullname, client name, customer name, contact name, subscriber, client, customer, contact,"
        " fio, піб, п і б, п.і.б., повне ім'я, ім'я, імя, клієнт, абонент, контакт, контактна особа, ім'я клієнта,"
        " боржник, фио, ф.и.о., полное имя, имя, клиент, контактное лицо, имя клиента, должник, last name, surname,"
        " прізвище, фамилия, first name, назва, название, company, компанія, компания"
    ),
    Destination.NUMBER: (
        "number, phone, telephone, tel, phone number, telephone number, mobile, mobile phone, mobile number, cell,"
        " cell phone, cellphone, cellular, msisdn, home phone, work phone, business phone, main phone, contact phone,"
        " телефон, тел, номер, номер телефону, номер телефона, мобільний, мобільний телефон, мобільний номер, моб,"
        " моб тел, мобильный, мобильный телефон, мобильный номер, контактний телефон, контактный телефон, домашній,"
        " домашній телефон, домашний, домашний телефон, робочий, робочий телефон, рабочий, рабочий телефон, дзвонити,"
        " додатковий телефон, дополнительный телефон, основний телефон, основной телефон"
    ),
    Destination.NUMBERS: "numbers, phones, telephones, phone numbers, телефони, телефоны, номери, номера",
    Destination.PRIORITY: "priority, пріоритет, приоритет",
    Destination.EXPIRE: (
        "expire, expires, expire at, expiry, expiry date, expiration, expiration date, valid until, valid to, until,"
        " deadline, дійсний до, дійсне до, термін дії, дата закінчення, телефонувати до, действует до,"
        " действителен до, срок действия, дата окончания, звонить до"
    ),
    Destination.TIME_ZONE: "timezone, time zone, tz, часовий пояс, годинний пояс, часовой пояс, таймзона",
    Destination.CALLER_ID: "caller id, callerid, cli, ani, caller number, номер для показу, аон",
    Destination.EXTERNAL_ID: (
        "external id, externalid, id, crm id, client id, customer id, contact id, member id, ід, ид, код, код клієнта,"
        " id клієнта, ід клієнта, код клиента, id клиента, ид клиента, зовнішній id, внешний id"
    ),
    Destination.VARIABLES: "variables, змінні, переменные",
    Destination.REASON: "reason, причина, підстава, основание",
}
"""What columns are usually called, the clearest names first; case, spaces and signs do not matter."""
KIND_OF_NUMBER = re.compile(r"mobile|cell|home|work|business|main|моб|дом|роб|раб|дод|доп|осн", re.IGNORECASE)
OF_A_PHONE = re.compile(r"\b(phone|telephone|mobile|cell|tel|телефон|тел|моб)")
VARIABLE = re.compile(r"var:(.+)", re.DOTALL | re.IGNORECASE)


def _plain(heading: str) -> str:
    """Return a heading as it is compared: small letters and digits with single spaces."""
    words = re.sub(r"['’ʼ`.]", "", unicodedata.normalize("NFC", heading).lower())
    return re.sub(r"[\W_]+", " ", words).strip()


@cache
def _known() -> dict[str, tuple[int, Destination]]:
    """Return what each name means, and how clear it is: 0 is the clearest of its kind."""
    return {
        _plain(name): (place, destination)
        for destination, names in KNOWN.items()
        for place, name in enumerate(names.split(","))
    }


def _meaning(heading: str, cells: Sequence[str] = ()) -> tuple[int, Destination] | None:
    """Return what a heading means, and how clearly; a number needs to be only in its words, when the cells are some."""
    plain = _plain(heading)
    known = _known()
    if found := known.get(plain):
        return found
    without_place = re.sub(r"^\d+ | ?\d+$", "", plain)  # “phone 2”, “телефон1”
    found = known.get(without_place)
    if found and found[1] in OF_NUMBERS:
        return found
    return (0, Destination.NUMBER) if OF_A_PHONE.search(plain) and _share(NUMBERS, cells) > 0.6 else None


def _is_heading(first: Sequence[str], body: Sequence[Sequence[Cell]]) -> bool:
    """Tell whether the first row names the columns."""
    if any(VARIABLE.fullmatch(cell) or _meaning(cell) for cell in first):
        return True
    filled = [cell for cell in first if cell]
    if any(NUMBERS.fullmatch(cell) or cell.isdigit() or _formats([cell]) for cell in filled):
        return False
    return any(_is_number_column(_column(body, place)) for place in range(len(first)))


def _column(rows: Sequence[Sequence[Cell]], place: int) -> list[str]:
    return [text for row in rows if place < len(row) and (text := as_text(row[place]))]


def _columns(heading: Sequence[str], body: Sequence[Sequence[Cell]], width: int) -> tuple[Column, ...]:
    """Return what each column is: by its name, and where names tell no number, by what stands in it."""
    columns = [Column()] * width
    clearest: dict[Destination, tuple[int, int]] = {}
    for place, name in enumerate(heading):
        if variable := VARIABLE.fullmatch(name):
            column = Column(Destination.VARIABLE, variable[1].strip())
            columns[place] = column if column not in columns else Column()
        elif meaning := _meaning(name, _column(body, place)):
            clear, destination = meaning
            if destination == Destination.NUMBER:
                described = name if KIND_OF_NUMBER.search(name) else ""
                columns[place] = Column(_one_or_several(_column(body, place)), description=described[:120])
            elif destination == Destination.NUMBERS:
                columns[place] = Column(Destination.NUMBERS)
            elif destination not in clearest or clear < clearest[destination][0]:
                clearest[destination] = (clear, place)
    for destination, (_clear, place) in clearest.items():
        columns[place] = Column(destination)
    if not any(column.destination in OF_NUMBERS for column in columns):
        _map_by_data(columns, body, several=not heading)
    return tuple(columns)


def _map_by_data(columns: list[Column], body: Sequence[Sequence[Cell]], *, several: bool) -> None:
    """Say what the columns are that look like numbers (of several only the first when they have names) and others."""
    cells = {place: _column(body, place) for place, column in enumerate(columns) if column == Column()}
    numbers = [place for place in cells if _is_number_column(cells[place])]
    if not numbers and len(columns) == 1 and cells:
        numbers = [0]
    for place in numbers[: None if several else 1]:
        columns[place] = Column(_one_or_several(cells.pop(place)))
    if several:
        for destination, is_one in ((Destination.TIME_ZONE, _is_zone_column), (Destination.NAME, _is_name_column)):
            for place in [place for place in cells if is_one(cells[place])][:1]:
                columns[place] = Column(destination)
                del cells[place]


def _one_or_several(cells: Sequence[str]) -> Destination:
    return Destination.NUMBERS if any(";" in cell.strip(" ;") for cell in cells) else Destination.NUMBER


def _is_number_column(cells: Sequence[str]) -> bool:
    """Tell whether nearly all cells are numbers that can be dialled, and not dates."""
    dialled = [cell for cell in cells if sum(map(str.isdigit, cell)) >= 9 or CUT.fullmatch(cell) or "+" in cell]
    return bool(cells) and len(dialled) > 0.8 * len(cells) and _share(NUMBERS, cells) > 0.8 and not _formats(cells)


def _is_zone_column(cells: Sequence[str]) -> bool:
    return bool(cells) and all(cell in pytz.all_timezones_set for cell in cells)


NAME = re.compile(r"[^\W\d_][^\d_@/\\:;|]*")


def _is_name_column(cells: Sequence[str]) -> bool:
    """Tell whether cells are words, most of them different."""
    return _share(NAME, cells) > 0.9 and len(set(cells)) * 2 > len(cells)


# --- dates ------------------------------------------------------------------------------------------------------

DATE_FORMATS = tuple(
    day + time
    for time in ("", " %H:%M", " %H:%M:%S")
    for day in (
        "%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%m.%d.%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d",
        "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%Y%m%d",
    )
)  # fmt: skip
"""In the order of preference: the day before the month, and years of four digits."""


def date_formats(cells: Sequence[str]) -> list[str]:
    """Return the formats by which every date can be read, the likely one first; empty text is ISO.

    Several mean that the dates do not tell which it is: of day and month the day is taken to come first.
    """
    return _formats([cell.strip() for cell in cells if cell.strip()])


def _formats(cells: Sequence[str]) -> list[str]:
    filled = list(dict.fromkeys(cells))
    if not filled:
        return []
    found = [""] if all(_is_iso(cell) for cell in filled) else []
    return found + [text for text in DATE_FORMATS if all(_is_date(cell, text) for cell in filled)]


def _is_iso(cell: str) -> bool:
    try:
        parse_iso(cell)
    except ValueError:
        return False
    return True


def _is_date(cell: str, text_format: str) -> bool:
    try:
        return 1990 <= datetime.strptime(cell, text_format).year <= 2199  # noqa: DTZ007 (a wall clock)
    except ValueError:
        return False


def _expire_format(columns: Sequence[Column], body: Sequence[Sequence[Cell]]) -> str:
    """Return the format of the column of dates; where none is known as such, of the first that has dates."""
    for place, column in enumerate(columns):
        if column.destination == Destination.EXPIRE:
            return usual_date_format(_dates(body, place))
    for place in range(len(columns)):
        if found := _formats(_dates(body, place)):
            return found[0]
    return ""


def usual_date_format(cells: Sequence[str]) -> str:
    """Return the format by which most dates can be read: a few bad ones are told of their rows."""
    read = {text: sum(_is_date(cell, text) for cell in cells) for text in DATE_FORMATS}
    best = max(read, key=lambda text: read[text])
    return best if read[best] > sum(map(_is_iso, cells)) else ""


def _dates(body: Sequence[Sequence[Cell]], place: int) -> list[str]:
    """Return what is written as text in a column; a sheet knows its dates itself."""
    cells = [row[place] for row in body if place < len(row)]
    return [text for cell in cells if isinstance(cell, str) and (text := cell.strip())]
