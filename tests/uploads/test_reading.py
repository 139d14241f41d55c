"""Files like people have: what is read of them, what is told of a row, and which are refused."""

from __future__ import annotations

import csv
import io
import os
import random
import tracemalloc
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from members.uploads import opening
from members.uploads.layout import Column, Destination, FileKind, Layout
from members.uploads.reading import FileRefused, Record, compile_rows, headings, preview, records, row_of

D = Destination
TWO = (Column(D.NAME), Column(D.NUMBER))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list"


def cells(path: Path, **layout: Any) -> list[list[Any]]:
    return [list(record.cells) for record in records(path, Layout(**layout))]


def told(path: Path, **layout: Any) -> FileRefused:
    with pytest.raises(FileRefused) as refused:
        cells(path, **layout)
    return refused.value


def wall(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001 (a wall clock)


# --- text -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("charset", ["utf-8", "windows-1251", "koi8-u", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_ukrainian_names_in_every_charset_and_with_every_line_end(path: Path, charset: str, newline: str) -> None:
    rows = ["ім'я;тел", "Їжак Ґудзь;380501112233", '"Дві;\nлінії";5', "", ";", "Є;6"]
    path.write_bytes(newline.join(rows).encode(charset))
    found = list(records(path, Layout(charset=charset, separator=";")))
    assert [record.cells for record in found] == [["Їжак Ґудзь", "380501112233"], ["Дві;\nлінії", "5"], ["Є", "6"]]
    assert [record.line for record in found] == [2, 3, 7]


def test_marks_are_read_over(path: Path) -> None:
    for charset, mark in (("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")):
        path.write_bytes(mark + "name,тел\nА,1\n".encode(charset))
        assert headings(path, Layout(charset=charset)) == ["name", "тел"]
    path.write_bytes(b"\xef\xbb\xbfA,1\n")
    assert cells(path, charset="utf-8-sig", heading=False) == [["A", "1"]]


def test_lines_longer_than_a_piece_and_line_ends_on_its_border(path: Path) -> None:
    for size in range((1 << 18) - 3, (1 << 18) + 3):
        path.write_bytes(b"x" * size + b"\r\nA\r\nB\r\n")
        found = list(records(path, Layout(heading=False)))
        assert [(record.line, len(str(record.cells[0]))) for record in found] == [(1, size), (2, 1), (3, 1)]


def test_a_wrong_charset_is_told_with_line_and_byte(path: Path) -> None:
    good = "name,number\nАнна,1\n".encode()
    path.write_bytes(good + "Ганна,2\n".encode("windows-1251"))
    refused = told(path)
    assert (refused.line, refused.byte) == (3, len(good) + 1)
    assert "This is not UTF-8" in refused.told
    assert "save it as UTF-8" in refused.told


def test_a_wrong_charset_is_told_far_behind_and_across_pieces(path: Path) -> None:
    line = "Їжак,380501112233\n".encode()
    for count in (40_000, (1 << 18) // len(line)):
        good = line * count + b"x" * ((1 << 18) - 1)
        path.write_bytes(good + "Ї".encode()[:1] + b"A,1\n")
        refused = told(path, heading=False)
        assert (refused.line, refused.byte) == (count + 1, len(good) + 1)


def test_rows_before_the_broken_place_were_read(path: Path) -> None:
    path.write_bytes(b"A,1\nB,2\nC\xff,3\nD,4\n")
    reader = records(path, Layout(heading=False))
    assert [next(reader).cells, next(reader).cells] == [["A", "1"], ["B", "2"]]
    with pytest.raises(FileRefused):
        next(reader)


def test_an_odd_utf16_file_is_told(path: Path) -> None:
    path.write_bytes("A,1\n".encode("utf-16") + b"B")
    assert told(path, charset="utf-16").line == 2


def test_ragged_rows_come_as_they_are(path: Path) -> None:
    path.write_text("a,b\n1\n1,2,3\n")
    assert cells(path) == [["1"], ["1", "2", "3"]]


def test_one_column_and_sixty(path: Path) -> None:
    path.write_text("phone\n380501112233\n")
    assert cells(path) == [["380501112233"]]
    path.write_text("\t".join(map(str, range(60))) + "\n")
    assert len(cells(path, separator="\t", heading=False)[0]) == 60


def test_what_excel_is_told_of_the_separator_is_no_row(path: Path) -> None:
    path.write_bytes("sep=;\r\nname;phone\r\nA;1\r\n".encode("utf-16"))
    found = list(records(path, Layout(charset="utf-16", separator=";")))
    assert [(record.line, record.cells) for record in found] == [(3, ["A", "1"])]


def test_formulas_are_text_and_escaped_ones_are_themselves_again(path: Path) -> None:
    path.write_text("=cmd|'/c calc'!A0,1\n'=1+1,2\n'quoted',3\n")
    assert [
        row_of(record, Layout(heading=False, columns=TWO))[0]["name"] for record in records(path, Layout(heading=False))
    ] == ["=cmd|'/c calc'!A0", "=1+1", "'quoted'"]


def test_a_cell_of_ten_megabytes_is_a_cell(path: Path) -> None:
    path.write_bytes(b'a,b\n"' + b"x" * 10 * 1024**2 + b'",1\nB,2\n')
    found = cells(path)
    assert [len(found[0][0]), found[1]] == [10 * 1024**2, ["B", "2"]]


def test_a_line_without_end_is_refused_and_not_kept(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(200 * 1024**2)
    tracemalloc.start()
    assert "longer than 12000000" in told(path).told
    assert tracemalloc.get_traced_memory()[1] < 60 * 1024**2
    tracemalloc.stop()


def test_a_quote_never_closed_is_told_where_it_opened(path: Path) -> None:
    path.write_text('name,phone\nA,1\n"B,2\nC,3\nD,4\n')
    refused = told(path)
    assert refused.line == 3
    assert "never closed" in refused.told


def test_a_quote_never_closed_does_not_swallow_the_file(path: Path) -> None:
    path.write_text('A,1\n"B,2\n' + "Anna,380501112233\n" * 900_000)
    reads = []

    class Counting(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            piece = super().read(-1 if size is None else size)
            reads.append(len(piece))
            return piece

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", lambda self, _mode: Counting(self))
        refused = told(path, heading=False)
    assert refused.line == 2
    assert sum(reads) < 13_000_000 < path.stat().st_size


def test_a_quote_closed_too_early_is_told_of_its_row_alone(path: Path) -> None:
    path.write_text('"A"b,1\n"B ""b""",2\nC,3\n')
    found = list(records(path, Layout(heading=False, columns=TWO)))
    assert [record.cells for record in found] == [["Ab", "1"], ['B "b"', "2"], ["C", "3"]]
    assert 'Double each " inside a cell' in row_of(found[0], Layout(columns=TWO))[2][None][0]
    assert not found[1].fault


def test_no_quote_at_all(path: Path) -> None:
    path.write_text("\"A,1\nB',2\n")
    assert cells(path, quote="", heading=False) == [['"A', "1"], ["B'", "2"]]


def test_nothing_in_it_is_told(path: Path) -> None:
    for content in (b"", b"\n\n ,\n", b"\xef\xbb\xbf"):
        path.write_bytes(content)
        with pytest.raises(FileRefused, match="empty"):
            preview(path, Layout())


@pytest.mark.parametrize("layout", [{"separator": ""}, {"charset": "x"}, {"quote": ","}, {"separator": "\n"}])
def test_a_layout_that_reads_nothing_is_told(path: Path, layout: dict[str, str]) -> None:
    path.write_text("a,b\n")
    with pytest.raises(FileRefused):
        preview(path, Layout(**layout))  # type: ignore[arg-type]


def test_a_preview_reads_only_the_beginning(path: Path) -> None:
    path.write_bytes(b"name,phone\n" + b"A,1\n" * 300_000 + b"\xff")
    seen = preview(path, Layout(), 3)
    assert (seen.headings, len(seen.records), seen.width) == (["name", "phone"], 3, 2)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    table=st.lists(
        st.lists(st.text("abcЇґ;,\t|'\"\r\n =", max_size=8), min_size=1, max_size=5), min_size=1, max_size=8
    ),
    charset=st.sampled_from(["utf-8", "utf-8-sig", "windows-1251", "koi8-u", "utf-16", "utf-16-le", "utf-32"]),
    separator=st.sampled_from(",;\t|~"),
    quote=st.sampled_from("\"'"),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_table_is_read_as_it_was_written(
    path: Path, table: list[list[str]], charset: str, separator: str, quote: str, newline: str
) -> None:
    text = io.StringIO(newline="")
    # By itself the writer leaves ends of lines unquoted that are not its own.
    ends = any(end in cell for row in table for cell in row for end in "\r\n")
    quoting: Any = csv.QUOTE_ALL if ends else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=separator, quotechar=quote, lineterminator=newline, quoting=quoting).writerows(table)
    path.write_bytes(text.getvalue().encode(charset))
    layout = {"charset": charset, "separator": separator, "quote": quote, "heading": False}
    assert cells(path, **layout) == [row for row in table if any(cell.strip() for cell in row)]


@pytest.mark.slow
def test_memory_stays_flat(path: Path) -> None:
    with path.open("w", encoding="windows-1251") as file:
        file.writelines(f"Іваненко Іван {n};+38050{n:07};uk\n" for n in range(100_000))
    columns = (*TWO, Column(D.VARIABLE, "language"))
    layout = Layout(charset="windows-1251", separator=";", heading=False, columns=columns)
    read = compile_rows(layout)
    tracemalloc.start()
    count = 0
    for record in records(path, layout):
        read(record)
        count += 1
    assert count == 100_000
    assert tracemalloc.get_traced_memory()[1] < 6 * 1024**2
    tracemalloc.stop()


# --- rows -------------------------------------------------------------------------------------------------------


def mapped(columns: tuple[Column, ...], *values: Any, **layout: Any) -> tuple[dict[str, Any], dict[str, int], Any]:
    return row_of(Record(2, list(values)), Layout(columns=columns, **layout))


def test_every_destination_is_mapped() -> None:
    columns = (
        Column(D.NAME), Column(D.NUMBER, priority=5, description="home"), Column(D.NUMBERS), Column(D.PRIORITY),
        Column(D.EXPIRE), Column(D.TIME_ZONE), Column(D.CALLER_ID), Column(D.EXTERNAL_ID), Column(D.VARIABLE, "debt"),
        Column(D.VARIABLES), Column(D.REASON), Column(),
    )  # fmt: skip
    raw, paths, faults = mapped(
        columns, "Анна", "1", "2; 3;", "-7", "2031-07-01 18:00", "Asia/Tokyo", "+380", "crm-1", "200",
        '{"language": "uk"}', "asked", "skipped",
    )  # fmt: skip
    assert faults == {}
    assert raw == {
        "name": "Анна",
        "communications": [{"number": "1", "priority": 5, "description": "home"}, {"number": "2"}, {"number": " 3"}],
        "priority": -7,
        "expire": wall(2031, 7, 1, 18),
        "timezone": "Asia/Tokyo",
        "caller_id": "+380",
        "external_id": "crm-1",
        "variables": {"debt": "200", "language": "uk"},
        "reason": "asked",
    }
    assert [paths[f"communications[{index}].number"] for index in range(3)] == [1, 2, 2]
    assert (paths["name"], paths["communications"], paths["expire"], paths["variables"]) == (0, 1, 4, 9)


def test_empty_cells_say_nothing() -> None:
    columns = (*TWO, Column(D.NUMBER), Column(D.PRIORITY), Column(D.EXPIRE), Column(D.VARIABLE, "a"))
    raw, paths, faults = mapped(columns, " ", "", "5", " ", "", None)
    assert (raw, faults) == ({"communications": [{"number": "5"}]}, {})
    assert paths["communications[0].number"] == 2


@pytest.mark.parametrize("values", [["A"], ["A", "1", "x"], []])
def test_ragged_rows_are_told(values: list[str]) -> None:
    raw, _paths, faults = mapped(TWO, *values)
    assert raw == {}
    assert f"It has {len(values)} values, the file has 2 columns" in faults[None][0]


def test_empty_cells_too_many_do_not_matter() -> None:
    assert mapped(TWO, "A", "1", "", " ")[2] == {}


@pytest.mark.parametrize("cut", ["3.80991E+11", "3,80991E+11", "3.8e+11", "4E+11", " 3.80991E+11 ", 1.5e15, 10**15])
def test_numbers_that_a_spreadsheet_has_cut_are_told(cut: Any) -> None:
    for destination in (D.NUMBER, D.EXTERNAL_ID):
        raw, _paths, faults = mapped((Column(D.NUMBERS), Column(destination)), "1", cut)
        assert "Format the column as text" in faults[1][0]
        assert raw["communications"] == [{"number": "1"}]


def test_numbers_of_a_sheet_are_whole() -> None:
    assert mapped(TWO, 7.0, 380501112233.0)[0] == {"name": "7", "communications": [{"number": "380501112233"}]}
    assert "decimals" in mapped(TWO, None, 380.5)[2][1][0]
    assert mapped((Column(D.PRIORITY), Column(D.NUMBER)), 0, 1)[0]["priority"] == 0


def test_the_apostrophe_that_keeps_a_number_whole_is_not_dialled() -> None:
    assert mapped(TWO, "", "'+380501112233")[0]["communications"] == [{"number": "+380501112233"}]


EXPIRES = (Column(D.EXPIRE), Column(D.NUMBER))


@pytest.mark.parametrize(
    ("text_format", "cell", "until"),
    [
        ("", "2031-07-01 18:00", wall(2031, 7, 1, 18)),
        ("", "2031-07-01T18:00:05Z", datetime(2031, 7, 1, 18, 0, 5, tzinfo=UTC)),
        ("", "2031-07-01", wall(2031, 7, 1, 23, 59, 59)),
        ("%d.%m.%Y", " 01.07.2031 ", wall(2031, 7, 1, 23, 59, 59)),
        ("%d.%m.%Y", "31.12.9999", wall(9999, 12, 31, 23, 59, 59)),
        ("%m/%d/%y %H:%M", "07/01/31 00:00", wall(2031, 7, 1)),
        ("%d.%m.%Y", wall(2031, 7, 1), wall(2031, 7, 1, 23, 59, 59)),
        ("%d.%m.%Y", wall(2031, 7, 1, 8, 30), wall(2031, 7, 1, 8, 30)),
    ],
)
def test_dates_by_the_chosen_format_last_to_the_end_of_their_day(text_format: str, cell: Any, until: datetime) -> None:
    assert mapped(EXPIRES, cell, "1", expire_format=text_format)[0]["expire"] == until


def test_dates_are_in_the_zone_of_the_layout() -> None:
    raw = mapped(EXPIRES, "01.07.2031 18:00", "1", expire_format="%d.%m.%Y %H:%M", expire_zone="Asia/Tokyo")[0]
    assert raw["expire"] == datetime(2031, 7, 1, 9, tzinfo=UTC)
    told = mapped(EXPIRES, "31.12.9999", "1", expire_format="%d.%m.%Y", expire_zone="America/New_York")[2]
    assert "beyond what a calendar knows" in told[0][0]


def test_bad_cells_are_told_with_the_remedy() -> None:
    assert "Write it as 31.12.2026" in mapped(EXPIRES, "31.13.2031", "1", expire_format="%d.%m.%Y")[2][0][0]
    assert "choose the format of dates" in mapped(EXPIRES, "1.7.2031", "1")[2][0][0]
    assert "no whole number" in mapped((Column(D.PRIORITY), Column(D.NUMBER)), "high", "1")[2][0][0]
    assert "is no JSON" in mapped((Column(D.VARIABLES), Column(D.NUMBER)), "{", "1")[2][0][0]
    assert "is no JSON" in mapped((Column(D.VARIABLES), Column(D.NUMBER)), "[" * 100_000, "1")[2][0][0]


# --- workbooks and zips -----------------------------------------------------------------------------------------


def workbook(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    assert book.active
    for row in rows:
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_a_sheet_is_read_with_its_rows_and_filled_up(path: Path) -> None:
    path.write_bytes(workbook(["name", "phone", "until"], ["A", 3.80501112233e11, wall(2031, 7, 1)], [], ["B", 5]))
    layout = Layout(kind=FileKind.XLSX, columns=(*TWO, Column(D.EXPIRE)))
    found = list(records(path, layout))
    assert [(record.line, record.cells) for record in found] == [
        (2, ["A", 380501112233, wall(2031, 7, 1)]),
        (4, ["B", 5, None]),
    ]
    assert headings(path, layout) == ["name", "phone", "until"]


def test_how_long_a_file_is_is_told_at_its_beginning(path: Path) -> None:
    told: list[int | None] = []
    path.write_bytes(workbook(*(["A", n] for n in range(7))))
    assert next(records(path, Layout(kind=FileKind.XLSX, columns=TWO), told.append)).line == 2
    path.write_bytes(b"name,number\n" + b"A,1\n" * 5)
    assert next(records(path, Layout(columns=TWO), told.append)).line == 2
    path.write_bytes(b"name,number\r" + b"A,1\r" * 8)
    assert next(records(path, Layout(columns=TWO), told.append)).line == 2
    assert told == [7, 7, 10]


def test_the_first_rows_of_a_workbook_are_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_books: list[Any] = []
    load = openpyxl.load_workbook

    def noted(file: Any, **more: Any) -> Any:
        opened_books.append(file)
        return load(file, **more)

    monkeypatch.setattr(openpyxl, "load_workbook", noted)
    path.write_bytes(workbook(["name", "number"], ["A", 1], ["B"]))
    layout = Layout(kind=FileKind.XLSX, heading=False)
    assert [record.cells for record in preview(path, layout).records] == [["name", "number"], ["A", 1], ["B"]]
    seen = preview(path, replace(layout, heading=True, columns=TWO))
    assert (seen.headings, [record.cells for record in seen.records]) == (["name", "number"], [["A", 1], ["B", None]])
    assert len(opened_books) == 1
    os.utime(path, ns=(1, 1))
    preview(path, layout)
    assert len(opened_books) == 2, "another file of this name is read"


def test_a_workbook_and_a_text_in_a_zip(path: Path) -> None:
    path.write_bytes(zipped({"a/list.xlsx": workbook(["A", 1])}))
    assert cells(path, kind=FileKind.XLSX, heading=False) == [["A", 1]]
    path.write_bytes(zipped({"list.csv": "Ї;1\n".encode("windows-1251"), "__MACOSX/x": b"x", "dir/": b""}))
    assert cells(path, charset="windows-1251", separator=";", heading=False) == [["Ї", "1"]]


@pytest.mark.parametrize(
    ("content", "kind", "remedy"),
    [
        (zipped({"a": b"1", "b": b"2"}), FileKind.CSV, "holds 2 files"),
        (zipped({}), FileKind.CSV, "holds 0 files"),
        (zipped({"a": b"x" * 5000})[:60], FileKind.CSV, "damaged"),
        (b"PK\x03\x04 broken", FileKind.CSV, "damaged"),
        (workbook(["A"]), FileKind.CSV, "choose XLSX"),
        (b"a,b\n", FileKind.XLSX, "choose CSV"),
        (zipped({"xl/workbook.xml": b"<a"}), FileKind.XLSX, "damaged"),
        (zipped({"a": b"not a workbook"}), FileKind.XLSX, "damaged"),
    ],
    # Named by their place: the bytes hold the time at which they were packed.
    ids=range(8),
)
def test_what_cannot_be_opened_is_told(path: Path, content: bytes, kind: FileKind, remedy: str) -> None:
    path.write_bytes(content)
    assert remedy in told(path, kind=kind).told


def test_a_damaged_member_is_told(path: Path) -> None:
    content = bytearray(zipped({"a": random.Random(1).randbytes(5000).hex().encode()}))
    content[2000] ^= 255
    path.write_bytes(content)
    assert "damaged" in told(path, quote="").told


def test_a_bomb_is_refused_by_its_unpacked_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MAX_UNPACKED", 10 * 1024**2)
    path.write_bytes(zipped({"a": b"0" * 11 * 1024**2}))
    assert os.path.getsize(path) < 100_000
    refused = told(path)
    assert "11 MB: at most 10 MB" in refused.told
    monkeypatch.setattr(opening, "MAX_UNPACKED", 2 * 1024**3)
    monkeypatch.setattr(opening, "MAX_SHARED", 1024**2)
    path.write_bytes(zipped({"xl/workbook.xml": b"", "xl/sharedStrings.xml": b"0" * 2 * 1024**2}))
    assert "2 MB" in told(path, kind=FileKind.XLSX).told


def test_a_password_is_told(path: Path) -> None:
    content = bytearray(zipped({"a": b"1"}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "password" in told(path).told
