"""Files as people save them are read right without a question; what is no list is refused, and told what it is."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from members.uploads.guessing import charsets, date_formats, guess, guess_charsets
from members.uploads.layout import Column, Destination, FileKind, Layout, is_charset
from members.uploads.reading import FileRefused, headings, records, row_of

D = Destination


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list.csv"


def guessed(path: Path, content: str | bytes, charset: str = "utf-8") -> Layout:
    path.write_bytes(content.encode(charset) if isinstance(content, str) else content)
    return guess(path, path.name)


def destinations(layout: Layout) -> list[Destination]:
    return [column.destination for column in layout.columns]


# --- character sets ---------------------------------------------------------------------------------------------

UKRAINIAN = "ПІБ;Телефон\nШевченко Тарас;380501112233\nҐудзь Їжакевич Євген;380671112233\nМельник Олена;380631112233\n"
CAPITALS = "ПІБ;ТЕЛЕФОН\nБОНДАРЕНКО ІВАН;380501112233\nШЕВЧЕНКО ОЛЕНА;380501112234\n"
ONE_LINE = "Анна;380501112233\n"
RUSSIAN = "ФИО;Телефон\nЩербаков Алексей Юрьевич;79161112233\nОбъедков Семён;79161112234\n"
POLISH = (
    "Imię i nazwisko;Telefon\nŁukasz Wiśniewski;48501112233\nMałgorzata Dąbrowska;48501112234\nStanisław Zając;48501\n"
)
GERMAN = "Name;Straße\nJürgen Müller;Königsallee 5\nBärbel Größer;Münchner Straße 8\nHans Meier;Am Fluß 2\n"
FRENCH = "Nom;Téléphone\nFrançois Lefèvre;33612345678\nHélène Côté;33612345679\n"
CZECH = "jméno;telefon\nJiří Dvořák;420601112233\nTomáš Růžička;420601112234\nLukáš Černý;420601112235\n"
TURKISH = "isim;telefon\nAyşe Yılmaz;90532111\nOğuz Çağlar;90532112\nİbrahim Şahin;90532113\n"
GREEK = "Όνομα;Τηλέφωνο\nΓιώργος Παπαδόπουλος;306912345678\nΜαρία Κωνσταντίνου;306912345679\n"
OF_UNICODE = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        (text, charset)
        for text, several in (
            (UKRAINIAN, [*OF_UNICODE, "windows-1251", "koi8-u", "cp1125", "mac-cyrillic"]),
            (UKRAINIAN.replace("Ґ", "Г"), ["iso-8859-5"]),
            (CAPITALS, ["utf-8", "windows-1251", "koi8-u", "cp1125"]),
            (ONE_LINE, ["utf-8", "windows-1251", "koi8-u", "cp866"]),
            (RUSSIAN, ["utf-8", "windows-1251", "koi8-r", "cp866", "iso-8859-5"]),
            (POLISH, ["utf-8", "windows-1250", "iso-8859-2", "cp852", "utf-16"]),
            (GERMAN, ["utf-8", "windows-1252", "iso-8859-1"]),
            (FRENCH, ["windows-1252"]),
            (CZECH, ["windows-1250"]),
            (TURKISH, ["windows-1254"]),
            (GREEK, ["windows-1253"]),
        )
        for charset in several
    ],
)
def test_the_charset_is_guessed_from_a_few_lines(path: Path, text: str, charset: str) -> None:
    path.write_bytes(text.encode(charset))
    assert path.read_bytes().decode(guess_charsets(path)[0]).removeprefix("\ufeff") == text


def test_names_far_behind_plain_lines_tell_the_charset(path: Path) -> None:
    plain = b"id;phone;name\n" + b"1;380501112233;Anna\n" * 40_000
    for charset in ("utf-8", "windows-1251", "koi8-u"):
        path.write_bytes(plain + "2;380501112233;Наталія Ющенко\n".encode(charset))
        assert guess_charsets(path)[0] == charset


def test_unicode_of_two_bytes_is_told_without_its_mark_and_with_few_digits(path: Path) -> None:
    for charset in ("utf-16-le", "utf-16-be"):
        path.write_bytes("Ім'я\tКоментар\nНаталія\tпередзвонити пізніше, бажано завтра\n".encode(charset))
        assert guess_charsets(path) == [charset]


def test_a_few_damaged_characters_leave_other_charsets_to_choose(path: Path) -> None:
    path.write_bytes(UKRAINIAN.encode() + b"\xff")
    assert guess_charsets(path)


def test_every_charset_of_the_list_is_one_and_the_usual_come_first() -> None:
    listed = charsets()
    assert [charset.name for charset in listed[:3]] == ["utf-8", "utf-16", "windows-1251"]
    assert all(is_charset(charset.name) for charset in listed)
    assert len({charset.name for charset in listed}) == len(listed)
    usual = [charset.usual for charset in listed]
    assert usual == sorted(usual, reverse=True)
    names = {charset.name for charset in listed}
    assert {"cp874", "shift-jis", "gb18030", "utf-7", "cp037", "kz1048", "euc-kr"} <= names
    assert not {"idna", "punycode", "base64", "unicode-escape", "undefined"} & names


# --- separators, quotes, heading --------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "~", "^", "\x1f"])
def test_the_separator_is_the_one_that_makes_equal_rows(path: Path, separator: str) -> None:
    rows = [["name", "phone", "note"], ["Anna", "380501112233", "a b"], ["Ivan", "+380 (50) 111-22-34", ""]]
    layout = guessed(path, "\n".join(separator.join(row) for row in rows))
    assert (layout.separator, layout.quote, layout.heading) == (separator, '"', True)
    assert [record.cells for record in records(path, layout)] == rows[1:]


def test_commas_inside_names_are_no_separators(path: Path) -> None:
    layout = guessed(path, "Іваненко, Іван;380501112233\nПетренко, Петро;380501112234\n", "windows-1251")
    assert (layout.separator, destinations(layout)) == (";", [D.NAME, D.NUMBER])
    layout = guessed(path, "name;phone\nA;380501112233,380671112233\nB;380501112234,380671112234\n")
    assert layout.separator == ";"


def test_ragged_rows_do_not_hide_the_separator(path: Path) -> None:
    layout = guessed(
        path, "name;phone;a\nA;380501112233;x\nB;380501112234\nC;380501112235;1,5;6;7\n\nD;380501112236;2,5\n"
    )
    assert (layout.separator, len(layout.columns)) == (";", 3)


def test_one_column_has_no_separator(path: Path) -> None:
    for content in ("380501112233\n380501112234\n", "+380 50 111-22-33\n+380 50 111-22-34\n", "12345\n"):
        layout = guessed(path, content)
        assert (len(layout.columns), layout.heading, destinations(layout)) == (1, False, [D.NUMBER])


def test_single_quotes_are_told_from_apostrophes(path: Path) -> None:
    layout = guessed(path, "name,phone\n'Anna, B','380501112233'\n'C','380501112234'\n")
    assert layout.quote == "'"
    assert guessed(path, "name,phone\nO'Brien,380501112233\nД'яченко,'380501112234\n").quote == '"'


def test_quotes_that_are_part_of_names_are_no_quotes(path: Path) -> None:
    layout = guessed(path, 'name;phone\n"Ромашка" ТОВ;380501112233\n"Зоря" ПП;380501112234\n"Мрія" ФОП;380501112235\n')
    assert layout.quote == ""
    assert next(records(path, layout)).cells[0] == '"Ромашка" ТОВ'


def test_the_separator_that_excel_is_told_holds(path: Path) -> None:
    layout = guessed(path, "sep=%\r\nname%phone\r\nA%380501112233\r\n")
    assert (layout.separator, headings(path, layout)) == ("%", ["name", "phone"])


def test_excel_writes_unicode_text_with_tabs(path: Path) -> None:
    layout = guessed(path, "ПІБ\tТелефон\r\nАнна\t380501112233\r\n", "utf-16")
    assert (layout.charset, layout.separator, destinations(layout)) == ("utf-16", "\t", [D.NAME, D.NUMBER])


@pytest.mark.parametrize(
    ("content", "heading"),
    [
        ("name;phone\nA;380501112233\n", True),
        ("хто;куди\nА;380501112233\n", True),
        ("name;phone\n", True),
        ("Анна;380501112233\nІван;380501112234\n", False),
        ("1;2031-07-01\n2;2031-07-02\n", False),
        ("380501112233\n", False),
    ],
)
def test_a_heading_is_told_from_a_row(path: Path, content: str, heading: bool) -> None:
    assert guessed(path, content).heading is heading


NAMES = ["Шевченко Тарас", "Ґудзь Євген", "Мельник Олена", "Їжакевич Іван", "КОВАЛЬ ОЛЬГА", "Лук'яненко Наталія"]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.from_regex(r"380[0-9]{9}", fullmatch=True),
            st.text('abc d,;"\n', max_size=8),
        ),
        min_size=3,
        max_size=12,
    ),
    charset=st.sampled_from(["utf-8", "utf-8-sig", "windows-1251", "koi8-u", "utf-16"]),
    separator=st.sampled_from(",;\t|"),
    newline=st.sampled_from(["\n", "\r\n"]),
    heading=st.booleans(),
)
def test_any_list_is_guessed_as_it_was_written(
    path: Path, rows: list[tuple[str, str, str]], charset: str, separator: str, newline: str, heading: bool
) -> None:
    text = io.StringIO(newline="")
    table = [["Прізвище", "Телефон", "Примітка"]] * heading + [list(row) for row in rows]
    csv.writer(text, delimiter=separator, lineterminator=newline).writerows(table)
    layout = guessed(path, text.getvalue(), charset)
    assert (layout.heading, layout.columns[1].destination) == (heading, D.NUMBER)
    assert [list(record.cells) for record in records(path, layout)] == [list(row) for row in rows]


# --- columns ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "destination"),
    [
        ("name", D.NAME), ("Full Name", D.NAME), ("ПІБ", D.NAME), ("П.І.Б.", D.NAME), ("Ім’я", D.NAME), ("ФИО", D.NAME),
        ("number", D.NUMBER), ("number_1", D.NUMBER), ("Phone 2", D.NUMBER), ("tel", D.NUMBER), ("Mobile", D.NUMBER),
        ("Телефон", D.NUMBER), ("Мобільний телефон", D.NUMBER), ("тел.", D.NUMBER), ("Телефон №2", D.NUMBER),
        ("numbers", D.NUMBERS), ("Телефони", D.NUMBERS), ("priority", D.PRIORITY), ("Пріоритет", D.PRIORITY),
        ("expire", D.EXPIRE), ("Valid until", D.EXPIRE), ("Дійсний до", D.EXPIRE), ("timezone", D.TIME_ZONE),
        ("Часовий пояс", D.TIME_ZONE), ("caller_id", D.CALLER_ID), ("external_id", D.EXTERNAL_ID),
        ("ID", D.EXTERNAL_ID), ("Код клієнта", D.EXTERNAL_ID), ("variables", D.VARIABLES),
        ("reason", D.REASON), ("Город", D.NOTHING), ("state", D.NOTHING), ("", D.NOTHING),
    ],
)  # fmt: skip
def test_known_headings_are_mapped(path: Path, heading: str, destination: Destination) -> None:
    first, second = ("xyz", heading), ("a", "b")
    layout = guessed(path, "\n".join(";".join(row) for row in (("var:x", *first), ("1", *second))))
    assert layout.columns[2].destination == destination


def test_variables_keep_their_names(path: Path) -> None:
    layout = guessed(path, "phone,var:debtSum,VAR: lang\n1,2,3\n")
    assert layout.columns[1:] == (Column(D.VARIABLE, "debtSum"), Column(D.VARIABLE, "lang"))


def test_numbers_keep_their_order_and_what_they_are(path: Path) -> None:
    layout = guessed(path, "ФИО;Мобильный;Телефон 2;Рабочий телефон\nА;1;2;3\n")
    assert layout.columns[1:] == (
        Column(D.NUMBER, description="Мобильный"), Column(D.NUMBER), Column(D.NUMBER, description="Рабочий телефон"),
    )  # fmt: skip


def test_only_one_column_is_the_name_the_clearest(path: Path) -> None:
    layout = guessed(path, "Прізвище;Ім'я;ПІБ;Телефон;Ім'я\nА;Б;А Б;380501112233;x\n")
    assert destinations(layout) == [D.NOTHING, D.NOTHING, D.NAME, D.NUMBER, D.NOTHING]


def test_words_of_a_heading_tell_a_number_when_the_cells_are_numbers(path: Path) -> None:
    rows = "Name;Client phone;Phone type;№ телефону\nA;380501112233;home;+380 50 1\nB;380501112234;work;0501112233\n"
    assert destinations(guessed(path, rows)) == [D.NAME, D.NUMBER, D.NOTHING, D.NUMBER]


def test_headings_that_come_twice(path: Path) -> None:
    layout = guessed(path, "name,phone,phone,var:a,var:a,name\nA,1,2,3,4,5\n")
    assert destinations(layout) == [D.NAME, D.NUMBER, D.NUMBER, D.VARIABLE, D.NOTHING, D.NOTHING]
    assert layout.faults("members") == {}


def test_several_numbers_in_a_cell_are_several(path: Path) -> None:
    assert destinations(guessed(path, "name,phone\nA,380501112233; 380671112233\n")) == [D.NAME, D.NUMBERS]


def test_the_data_tells_what_headings_do_not(path: Path) -> None:
    layout = guessed(path, "хто;куди;коли\nАнна;380501112233;01.02.2031\nІван;380501112234;01.03.2031\n")
    assert destinations(layout) == [D.NOTHING, D.NUMBER, D.NOTHING]
    rows = "Анна;Europe/Kyiv;380501112233;31.12.2031;+380671112233\nІван;Asia/Tokyo;380501112234;30.12.2031;\n"
    assert destinations(guessed(path, rows)) == [D.NAME, D.TIME_ZONE, D.NUMBER, D.NOTHING, D.NUMBER]


def test_what_an_export_writes_is_mapped_whole(path: Path) -> None:
    heading = "name,priority,timezone,expire,caller_id,external_id,numbers,variables,state,end_cause,counted\n"
    layout = guessed(path, heading + "A,0,,,,,1,,Idle,,0\n")
    assert destinations(layout)[:8] == [
        D.NAME, D.PRIORITY, D.TIME_ZONE, D.EXPIRE, D.CALLER_ID, D.EXTERNAL_ID, D.NUMBERS, D.VARIABLES,
    ]  # fmt: skip
    assert not layout.faults("members")


def test_sixty_columns(path: Path) -> None:
    heading = ["name", "phone", *(f"var:v{n}" for n in range(58))]
    layout = guessed(path, ";".join(heading) + "\n" + ";".join(["x", "380501112233", *["1"] * 58]) + "\n")
    assert len(layout.columns) == 60
    assert layout.faults("members") == {}


# --- dates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "formats"),
    [
        (["2031-07-01", "2031-07-01 18:00"], [""]),
        (["31.12.2031", "01.02.2031"], ["%d.%m.%Y"]),
        (["05.06.2031", "01.02.2031"], ["%d.%m.%Y", "%m.%d.%Y"]),
        (["05/06/2031", "12/31/2031"], ["%m/%d/%Y"]),
        (["31.12.31"], ["%d.%m.%y"]),
        (["01.02.2031 18:30"], ["%d.%m.%Y %H:%M", "%m.%d.%Y %H:%M"]),
        (["20311231"], ["%Y%m%d"]),
        (["tomorrow"], []),
        ([" ", ""], []),
    ],
)
def test_dates_tell_their_formats_the_day_before_the_month(cells: list[str], formats: list[str]) -> None:
    assert date_formats(cells) == formats


def test_the_format_of_the_column_of_dates_is_taken(path: Path) -> None:
    layout = guessed(
        path, "phone;born;expire\n380501112233;1990-01-31;12/31/2031\n380501112234;1990-01-31;01/02/2031\n"
    )
    assert layout.expire_format == "%m/%d/%Y"


def test_a_few_bad_dates_do_not_hide_the_format(path: Path) -> None:
    dates = ["31.12.2031", "01.02.2031", "-", "2031-01-01", "15.03.2031"]
    layout = guessed(path, "phone;expire\n" + "".join(f"38050111223{n};{date}\n" for n, date in enumerate(dates)))
    assert layout.expire_format == "%d.%m.%Y"
    assert guessed(path, "phone;expire\n380501112233;soon\n").expire_format == ""


# --- workbooks, zips, and what is no list -----------------------------------------------------------------------


def workbook(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    assert book.active
    for row in rows:
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def test_a_workbook_whatever_it_is_called(path: Path) -> None:
    until = datetime(2031, 7, 1)  # noqa: DTZ001 (a wall clock)
    content = workbook(["Name", "Phone", "Expire"], ["Anna", 3.80991112233e11, until], ["Ivan", 380501112233, until])
    for packed in (content, zipped("a/list.xlsx", content)):
        layout = guessed(path, packed)
        assert (layout.kind, layout.heading) == (FileKind.XLSX, True)
        assert destinations(layout) == [D.NAME, D.NUMBER, D.EXPIRE]
        rows = [row_of(record, layout)[0] for record in records(path, layout)]
        assert [row["communications"][0]["number"] for row in rows] == ["380991112233", "380501112233"]


def test_a_zipped_text(path: Path) -> None:
    layout = guessed(path, zipped("list.csv", UKRAINIAN.encode("koi8-u")))
    assert (layout.kind, layout.charset, layout.separator) == (FileKind.CSV, "koi8-u", ";")


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (b"%PDF-1.7\n", "a PDF document", "CSV, TSV or XLSX"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a PNG image", "CSV, TSV or XLSX"),
        (b"\xff\xd8\xff\xe0", "a JPEG image", "CSV, TSV or XLSX"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, "old Excel workbook (.xls)", "save it as XLSX"),
        (zipped("content.xml", b"<a/>"), "OpenDocument file (.ods)", "save it as XLSX"),
        (zipped("xl/workbook.bin", b""), "binary Excel workbook", "save it as XLSX"),
        (b"<!DOCTYPE html>\n<html><table><tr><td>1", "a web page (HTML)", "save it as CSV"),
        (b"\xef\xbb\xbf\r\n <HTML>", "a web page (HTML)", "save it as CSV"),
        ("<html>".encode("utf-16"), "a web page (HTML)", "save it as CSV"),
        (b"<?xml version='1.0'?><Workbook/>", "an XML document", "save it as XLSX"),
        (b'[{"name": "Anna"}]', "a JSON document", "REST API"),
        (b"\x1f\x8b\x08\0", "a gzip archive", "Unpack it"),
        (bytes(range(1, 32)) * 20 + b"\0", "no text", "CSV, TSV or XLSX"),
        (zipped("a.pdf", b"%PDF"), "a PDF document", "CSV, TSV or XLSX"),
        (zipped("a.csv", b""), "empty", "empty"),
        (b"", "empty", "empty"),
        (b"\n \n", "empty", "empty"),
    ],
)
def test_what_is_no_list_is_refused_by_what_it_is(path: Path, content: bytes, what: str, remedy: str) -> None:
    with pytest.raises(FileRefused) as refused:
        guessed(path, content)
    assert what in refused.value.told
    assert remedy in refused.value.told
