"""Opening a file of a list: what it is by its first bytes, a zip unpacked as it is read, and what is refused. Pure."""

from __future__ import annotations

import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from members.uploads.layout import FileKind

MAX_UNPACKED = 2 * 1024**3
"""Bytes that a packed file may have unpacked."""
MAX_SHARED = 64 * 1024**2
"""Of them, those of the texts of a workbook, which are kept in memory while it is read."""
HEAD = 4096
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip begins, and an empty one."""


class FileRefused(ValueError):
    """A file that cannot be read. ``told`` says why, and the remedy; ``line`` and ``byte`` (from 1) say where."""

    def __init__(self, told: str, line: int | None = None, byte: int | None = None) -> None:
        super().__init__(told)
        self.told = told
        self.line = line
        self.byte = byte


SAVE_AS = _("Open it in a spreadsheet, and save it as XLSX or as CSV.")
EXPORT_IT = _("Choose a file of rows: CSV, TSV or XLSX.")
UNPACK = _("Unpack it, and choose the CSV or XLSX file itself.")

SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF", _("a PDF document"), EXPORT_IT),
    (b"\x89PNG", _("a PNG image"), EXPORT_IT),
    (b"\xff\xd8\xff", _("a JPEG image"), EXPORT_IT),
    (b"GIF8", _("a GIF image"), EXPORT_IT),
    (b"RIFF", _("a sound or a film"), EXPORT_IT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _("an old Excel workbook (.xls), or a protected one"), SAVE_AS),
    (b"{\\rtf", _("an RTF document"), SAVE_AS),
    (b"SQLite format 3", _("a database (SQLite)"), EXPORT_IT),
    (b"\x7fELF", _("a program"), EXPORT_IT),
    (b"MZ\x90", _("a program"), EXPORT_IT),
    (b"Rar!", _("a RAR archive"), UNPACK),
    (b"7z\xbc\xaf\x27\x1c", _("a 7z archive"), UNPACK),
    (b"\x1f\x8b", _("a gzip archive"), UNPACK),
    (b"BZh", _("a bzip2 archive"), UNPACK),
    (b"\xfd7zXZ", _("an xz archive"), UNPACK),
)
"""How files begin that are no lists."""

HTML = re.compile(rb"<(!doctype\s+html|html|head|meta|body|table|script|div|p)\b", re.IGNORECASE)
PACKED: tuple[tuple[str, str, str], ...] = (
    ("xl/workbook.bin", _("a binary Excel workbook (.xlsb)"), SAVE_AS),
    ("word/document.xml", _("a Word document"), SAVE_AS),
    ("ppt/presentation.xml", _("a presentation"), EXPORT_IT),
    ("content.xml", _("an OpenDocument file (.ods)"), SAVE_AS),
)
"""What a zip is that holds such a file."""


def kind_of(path: Path) -> FileKind:
    """Return what kind of list a file is. Raises ``FileRefused`` with what it is instead, and the remedy."""
    with path.open("rb") as file:
        head = file.read(HEAD)
        if not head:
            raise FileRefused(gettext("The file is empty."))
        if head[:4] not in ZIP:
            _refuse_foreign(head)
            return FileKind.CSV
        with unzipped(file) as archive:
            if _is_workbook(archive):
                return FileKind.XLSX
            with archive.open(_only_member(archive)) as member:
                head = member.read(HEAD)
    if not head:
        raise FileRefused(gettext("The file in the zip is empty."))
    if head[:4] in ZIP:
        return FileKind.XLSX  # if it is none after all, that is told when it is read
    _refuse_foreign(head)
    return FileKind.CSV


@contextmanager
def opened(path: Path, kind: FileKind) -> Iterator[IO[bytes]]:
    """Open the text or the workbook itself. Raises ``FileRefused``, also for a zip that turns out to be damaged."""
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        packed = file.read(4) in ZIP
        file.seek(0)
        if packed:
            archive = stack.enter_context(unzipped(file))
            if _is_workbook(archive) and kind == FileKind.CSV:
                raise FileRefused(gettext("This is an XLSX workbook: choose XLSX as the kind of the file."))
            if not _is_workbook(archive):
                file = stack.enter_context(archive.open(_only_member(archive)))
                if kind == FileKind.XLSX:
                    file = stack.enter_context(_copied(file))
                    stack.enter_context(unzipped(file))
        elif kind == FileKind.XLSX:
            raise FileRefused(gettext("This is no XLSX workbook: choose CSV as the kind of the file."))
        yield file


@contextmanager
def unzipped(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose content is not too large. Whatever is wrong with it while it is open is told as damage."""
    damaged = gettext("The file is damaged, or not completely there: save it, or send it, again.")
    try:
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            shared = sum(member.file_size for member in archive.infolist() if "sharedStrings" in member.filename)
            if unpacked > MAX_UNPACKED or shared > MAX_SHARED:
                raise FileRefused(
                    gettext(
                        "Unpacked the file has %(size)d MB: at most %(most)d MB, of them %(shared)d MB of the texts"
                        " of a workbook. Split the list into several files, or save it as CSV."
                    )
                    % {
                        "size": max(unpacked, shared) // 1024**2,
                        "most": MAX_UNPACKED // 1024**2,
                        "shared": MAX_SHARED // 1024**2,
                    }
                )
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise FileRefused(damaged) from None
    except NotImplementedError:
        raise FileRefused(gettext("The zip is packed in a way that is not known here: pack it by Deflate.")) from None


def _is_workbook(archive: zipfile.ZipFile) -> bool:
    return "xl/workbook.xml" in archive.namelist()


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the only file of a zip; what systems put beside it does not count."""
    names = set(archive.namelist())
    for inside, what, remedy in PACKED:
        if inside in names:
            raise _foreign(what, remedy)
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not member.filename.startswith("__MACOSX/")
        and Path(member.filename).name not in {".DS_Store", "Thumbs.db", "desktop.ini"}
    ]
    if len(members) != 1:
        told = gettext("The zip holds %d files: it must hold exactly one CSV or XLSX file.")
        raise FileRefused(told % len(members))
    if members[0].flag_bits & 1:
        raise FileRefused(gettext("The zip wants a password: pack the file without one."))
    return members[0]


@contextmanager
def _copied(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Copy a stream to where it can be read from any place."""
    with tempfile.TemporaryFile() as copy:
        while piece := file.read(1 << 20):
            copy.write(piece)
        copy.seek(0)
        yield copy


def _refuse_foreign(head: bytes) -> None:
    for begins, what, remedy in SIGNATURES:
        if head.startswith(begins):
            raise _foreign(what, remedy)
    plain = head.replace(b"\0", b"").removeprefix(b"\xef\xbb\xbf").lstrip(b"\xff\xfe \t\r\n")
    if HTML.match(plain):
        raise _foreign(
            _("a web page (HTML)"),
            _("Download the list itself; or open the page in a spreadsheet, and save it as CSV."),
        )
    if plain.startswith(b"<?xml"):
        raise _foreign(_("an XML document"), SAVE_AS)
    if re.match(rb"\[?\s*\{\s*\"", plain):
        raise _foreign(_("a JSON document"), _("Save it as CSV, or send it to the REST API."))
    controls = sum(byte < 32 and byte not in b"\0\t\n\r\f\x1a\x1b\x1c\x1d\x1e\x1f\x01" for byte in head)
    if controls > len(head) // 20 and head[:2] not in {b"\xff\xfe", b"\xfe\xff"} and b"\0" in head:
        raise FileRefused(gettext("This is no text. %s") % gettext(EXPORT_IT))


def _foreign(what: str, remedy: str) -> FileRefused:
    return FileRefused(
        gettext("This is %(what)s, no list. %(remedy)s") % {"what": gettext(what), "remedy": gettext(remedy)}
    )
