"""Lists as files: CSV and XLSX in, every fault by line and column, and out again."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import openpyxl
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign
from members import actions, resources, tables
from members.models import Member
from members.tables import TableRefused
from tests import factories


def load(campaign: Campaign, text: str) -> resources.LoadCounts:
    return resources.load_csv(campaign, text)


def refused(campaign: Campaign, text: str) -> dict[int, dict[str, list[str]]]:
    with pytest.raises(TableRefused) as error:
        load(campaign, text)
    assert not Member.objects.exists()
    return error.value.lines


def numbers(member: Member) -> list[str]:
    return list(member.communications.order_by("pk").values_list("number", flat=True))


def test_every_column_is_taken(campaign: Campaign) -> None:
    counts = load(
        campaign,
        "Name,PRIORITY,timezone,expire,external id,number_1,number_2,numbers,variables,var:language\n"
        'Anna,5,Asia/Tokyo,2031-07-01 18:00,crm-1,+380 50 111-22-33,,"1; 2;","{""debt"": 5}",uk\n'
        ",,,,,3,,,,\n",
    )
    assert counts == resources.LoadCounts(members=2, numbers=4)
    anna, other = Member.objects.order_by("pk")
    assert (anna.name, anna.priority, anna.time_zone, anna.external_id) == ("Anna", 5, "Asia/Tokyo", "crm-1")
    assert anna.expire_at == datetime(2031, 7, 1, 15, tzinfo=UTC)  # on the calendar's clock
    assert anna.variables == {"debt": 5, "language": "uk"}
    assert numbers(anna) == ["+380 50 111-22-33", "1", "2"]
    assert (other.name, other.priority, other.external_id, other.variables) == ("", 0, None, {})


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_separator_and_line_ends_are_found_out(campaign: Campaign, separator: str, newline: str) -> None:
    lines = [["name", "number_1"], ["Anna", "1"], ["Ivan", "2"]]
    load(campaign, "\ufeff" + newline.join(separator.join(line) for line in lines))
    assert list(Member.objects.order_by("pk").values_list("name", flat=True)) == ["Anna", "Ivan"]


def test_blank_lines_are_read_over(campaign: Campaign) -> None:
    assert load(campaign, "\n\nname,number\n\nAnna,1\n,\n\n").members == 1


def test_every_bad_line_is_told_with_its_column(campaign: Campaign) -> None:
    factories.make_member(factories.make_campaign(), ["77"])
    found = {}
    actions.add_members(campaign, [{"communications": [{"number": "5"}]}])
    text = (
        "name,priority,timezone,number_1,number_2,numbers,variables,var:api_x\n"
        "Anna,high,Mars,1,x,,,\n"
        'Ivan,,,2,,"3;1",[1],\n'
        '"Two\nlines",,,,,,,ls\n'
        "Olha,,,5,,,,\n"
        "Good,,,77,,,,\n"
    )
    with pytest.raises(TableRefused) as error:
        load(campaign, text)
    found = {line: sorted(columns) for line, columns in error.value.lines.items()}
    assert found == {
        2: ["number_2", "priority", "timezone"],
        3: ["numbers", "variables"],
        4: ["name", "number_1", "variables"],
        6: ["number_1"],
    }
    assert "Line 6, number_1: 5 belongs to another subscriber of this campaign." in error.value.messages
    assert Member.objects.filter(campaign=campaign).count() == 1


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "empty"),
        ("\n \n", 1, "empty"),
        ("name,number_1\nAnna,1,extra\n", 2, "3 values, the heading has 2"),
        ("name,number_1\nAnna,1\nIvan\n", 3, "1 values"),
        ("name,number_1,name\nA,1,B\n", 1, "“name” heads 2 columns"),
        ("name,number_1,\nA,1,B\n", 1, "Column 3 has no heading"),
        ("name,phone\nA,1\n", 1, "“phone” is no column"),
        ("name,priority\nA,1\n", 1, "No column has numbers"),
        ('name,number_1\n"A,1\nB,2\n', 2, "no line of a CSV file"),
        ('name,number_1\n"A"b,1\n', 2, "no line of a CSV file"),
    ],
)
def test_a_broken_file_is_refused_at_its_line(campaign: Campaign, text: str, line: int, told: str) -> None:
    found = refused(campaign, text)
    assert list(found) == [line]
    assert told in " ".join(found[line][""])


def test_every_ragged_line_is_told(campaign: Campaign) -> None:
    assert list(refused(campaign, "name,number_1\nA\nB,1\nC,2,3\n")) == [2, 4]


def test_a_wrong_character_set_is_told_at_its_line() -> None:
    with pytest.raises(TableRefused, match="Line 3: This is not UTF-8"):
        tables.decode("name,number\nAnna,1\nАнна,2".encode("windows-1251"), "utf-8-sig")
    assert tables.decode("Анна".encode("windows-1251"), "windows-1251") == "Анна"


def workbook(*records: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    for record in records:
        assert book.active
        book.active.append(record)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def test_a_sheet_keeps_numbers_and_dates_as_such(campaign: Campaign) -> None:
    content = workbook(
        ["name", "priority", "expire", "number_1", None],
        ["Anna", 5.0, datetime(2031, 7, 1, 18, 0, tzinfo=UTC).replace(tzinfo=None), 380501112233, None],
        [],
        ["Ivan", None, None, 3.80501112244e11, None],
    )
    resources.load_table(campaign, tables.read_xlsx(content))
    anna, ivan = Member.objects.order_by("pk")
    assert (anna.priority, anna.expire_at, numbers(anna)) == (5, datetime(2031, 7, 1, 15, tzinfo=UTC), ["380501112233"])
    assert numbers(ivan) == ["380501112244"]


def test_what_is_no_workbook_is_refused() -> None:
    for content in (b"", b"name,number\nAnna,1\n", b"PK\x03\x04 broken"):
        with pytest.raises(TableRefused, match="no XLSX workbook"):
            tables.read_xlsx(content)


def test_a_sheet_tells_the_lines_that_are_wrong(campaign: Campaign) -> None:
    table = tables.read_xlsx(workbook(["name", "number_1"], ["Anna", 1], [], ["Ivan", "x"]))
    with pytest.raises(TableRefused, match="Line 4, number_1"):
        resources.load_table(campaign, table)


def export(*members: Member) -> str:
    pks = [member.pk for member in members]
    dataset = resources.MemberResource().export(Member.objects.filter(pk__in=pks).order_by("pk"))
    return str(resources.CSV().export_data(dataset))


def test_what_is_exported_can_be_loaded_again(campaign: Campaign) -> None:
    row = {
        "name": '=HYPERLINK("x")',
        "priority": -2,
        "timezone": "Asia/Tokyo",
        "expire": "2031-05-01T18:00:00+03:00",
        "caller_id": "+380441",
        "external_id": "@7",
        "variables": {"language": "українська", "debt": 20000, "vip": True},
        "communications": [{"number": "+380 50 1"}, {"number": "2"}],
    }
    member = actions.add_members(campaign, [row])[0]
    text = export(member)
    assert text.splitlines()[0].removeprefix("\ufeff") == (
        "name,priority,timezone,expire,caller_id,external_id,numbers,variables,state,end_cause,counted"
    )
    assert ",=" not in text.replace("\n", ",")  # no cell is a formula
    other = factories.make_campaign()
    load(other, text)
    copy = Member.objects.get(campaign=other)
    for name in ("name", "priority", "time_zone", "expire_at", "caller_id", "external_id", "variables"):
        assert getattr(copy, name) == getattr(member, name), name
    assert numbers(copy) == ["+380 50 1", "2"]


def test_an_export_tells_how_far_one_is(campaign: Campaign) -> None:
    member = factories.make_member(campaign, counted=3)
    actions.end_member(member)
    assert export(member).splitlines()[1].endswith(",Ended,MANAGER_REQUEST,3")


def test_an_export_reads_numbers_in_bulk(campaign: Campaign) -> None:
    members = [factories.make_member(campaign) for _ in range(5)]
    with CaptureQueriesContext(connection) as captured:
        export(*members)
    assert len(captured) == 2


@pytest.mark.slow
def test_thousands_of_lines_load_in_a_handful_of_statements(campaign: Campaign) -> None:
    lines = "\n".join(f"Name {n},+38050{n:07}" for n in range(6_000))
    with CaptureQueriesContext(connection) as captured:
        assert load(campaign, "name,number_1\n" + lines).members == 6_000
    assert len(captured) <= 36
