"""Lists as files: every column, safe cells, instants with an offset; little memory; and what is added meanwhile."""

from __future__ import annotations

import csv
import gc
import io
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import openpyxl
import pytest
import time_machine
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Campaign
from dialer import clock
from dialer import exports as files
from dialer.models import Attempt, Outcome
from members import actions, exports
from members.models import Communication, Member
from tests import factories

pytestmark = pytest.mark.django_db

FORMULA = "=cmd|' /C calc'!A0"


@pytest.fixture
def campaign() -> Campaign:
    factories.make_route()
    return factories.make_campaign(name="Борги: весна/осінь")


def of(campaign: Campaign) -> Any:
    return Member.objects.visible().filter(campaign=campaign)


def parts_of(answer: Any) -> Iterator[bytes]:
    """Yield a file part by part, as it is sent."""
    return iter(answer.streaming_content)


def content(answer: Any) -> bytes:
    return b"".join(parts_of(answer))


def in_csv(answer: Any) -> list[dict[str, str]]:
    text = content(answer).decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:], newline="")))


def in_xlsx(answer: Any) -> list[dict[str, Any]]:
    sheet: Any = openpyxl.load_workbook(io.BytesIO(content(answer))).active
    heading, *rows = sheet.values
    return [dict(zip(heading, row, strict=True)) for row in rows]


@pytest.fixture(params=["csv", "xlsx"])
def written(request: pytest.FixtureRequest) -> Callable[..., list[dict[str, Any]]]:
    """Return what reads the file of subscribers that some arguments make, in one format and the other."""
    read = in_csv if request.param == "csv" else in_xlsx
    return lambda campaign, **given: read(
        exports.members(campaign, of(campaign), file_format=request.param, **given)
    )  # fmt: skip


Written = Callable[..., list[dict[str, Any]]]


class TestCells:
    def test_text_of_any_script_and_of_several_lines_is_written_as_it_is(
        self, campaign: Campaign, written: Written
    ) -> None:
        names = ["Ольга «Ґ» Їжак", "李雷 🙂", 'with "quotes", commas\nand; lines', "O'Neil"]
        for name in names:
            factories.make_member(campaign, name=name)
        assert [row["name"] for row in written(campaign)] == names

    @pytest.mark.parametrize("text", [FORMULA, "+1+A1", "-2+3*cmd|' /C calc'!A0", "@SUM(A1)", "=1"])
    def test_no_text_is_a_formula(self, campaign: Campaign, written: Written, text: str) -> None:
        factories.make_member(campaign, name=text, external_id=text, variables={"note": text})
        (row,) = written(campaign, columns=["name", "external_id", "var:note"])
        assert set(row.values()) == {f"'{text}"}

    def test_a_number_has_its_plus_and_every_one_may_have_a_column(self, campaign: Campaign, written: Written) -> None:
        factories.make_member(campaign, ["+38 (050) 111-22-33", "+101"])
        (row,) = written(campaign, columns=["numbers", "number_1", "number_2", "number_3"])
        assert list(row.values())[:3] == ["+38 (050) 111-22-33; +101", "+38 (050) 111-22-33", "+101"]
        assert not row["number_3"]

    def test_variables_are_one_object_or_a_column_each(self, campaign: Campaign, written: Written) -> None:
        factories.make_member(campaign, variables={"debt": 20000, "language": "українська"})
        factories.make_member(campaign)
        first, second = written(campaign, columns=["var:none", "variables", "var:debt", "var:language", "state"])
        assert first["variables"] == '{"debt": 20000, "language": "українська"}'
        assert str(first["var:debt"]) == "20000"
        assert first["var:language"] == "українська"
        assert not first["var:none"]
        assert [value for value in second.values() if value] == ["ready"]

    def test_a_sheet_has_numbers_and_truths_as_such(self, campaign: Campaign) -> None:
        factories.make_member(campaign, priority=-7, variables={"small": 1.5, "large": 380501112233445566})
        columns = ["priority", "callback", "var:small", "var:large"]
        (row,) = in_xlsx(exports.members(campaign, of(campaign), columns=columns, file_format="xlsx"))
        # A spreadsheet keeps fifteen digits of a number.
        assert list(row.values()) == [-7, False, 1.5, "380501112233445566"]

    def test_a_cell_of_a_sheet_that_is_too_long_says_so(self, campaign: Campaign) -> None:
        factories.make_member(campaign, variables={"long": "x" * 40_000})
        (row,) = in_xlsx(exports.members(campaign, of(campaign), columns=["var:long"], file_format="xlsx"))
        assert row["var:long"] == "x" * 32_766 + "…"

    @pytest.mark.parametrize(
        ("zone", "shown"),
        [
            ("", "2031-03-30T02:59:59+02:00"),
            ("Europe/Kyiv", "2031-03-30T02:59:59+02:00"),
            ("Asia/Kolkata", "2031-03-30T06:29:59+05:30"),
            ("UTC", "2031-03-30T00:59:59+00:00"),
        ],
    )
    def test_instants_have_the_offset_of_the_zone(
        self, campaign: Campaign, written: Written, zone: str, shown: str
    ) -> None:
        factories.make_member(campaign, expire_at=datetime(2031, 3, 30, 0, 59, 59, tzinfo=UTC))
        assert [row["expire"] for row in written(campaign, zone=zone)] == [shown]


class TestColumns:
    def test_results_are_those_of_the_last_attempt_and_sums_of_all(self, campaign: Campaign, written: Written) -> None:
        member = factories.make_member(campaign, ["0501112233"], name="Ганна")
        operator = factories.make_operator(campaign, name="Іван")
        now = clock.now()
        talk: dict[str, Any] = {"bridged_at": now - timedelta(seconds=90), "talk_ended_at": now - timedelta(seconds=30)}
        factories.make_attempt(member, ended_at=now, **talk)
        last = factories.make_attempt(
            member, operator, ended_at=now, cause="NORMAL_CLEARING", outcome=Outcome.SUCCESS, counted=True,
            result={"success": True}, disposition="Sold", comment=FORMULA, **talk,
        )  # fmt: skip
        factories.make_member(campaign)
        columns = ["attempts", "talk_seconds", *(name for name in exports.COLUMNS if name.startswith("last_"))]
        first, other = written(campaign, columns=columns)
        assert {name: str(value) for name, value in first.items() if name != "last_at"} == {
            "attempts": "2",
            "talk_seconds": str(first["talk_seconds"]),
            "last_attempt": str(last.pk),
            "last_dialled": "0501112233",
            "last_operator": "Іван",
            "last_cause": "NORMAL_CLEARING",
            "last_outcome": "success",
            "last_talk_seconds": str(first["last_talk_seconds"]),
            "last_result": '{"success": true}',
            "last_disposition": "Sold",
            "last_comment": f"'{FORMULA}",
        }
        assert (float(first["talk_seconds"]), float(first["last_talk_seconds"])) == (120, 60)
        assert {value for value in other.values() if value} <= {"0", "0.0"}

    def test_every_column_can_be_written(self, campaign: Campaign, written: Written) -> None:
        member = factories.make_member(campaign)
        factories.make_attempt(member, ended_at=clock.now())
        (row,) = written(campaign, columns=list(exports.COLUMNS))
        assert list(row) == list(exports.COLUMNS)

    @pytest.mark.parametrize(
        "columns", [["name", "colour"], ["number_0"], ["var:"], ["name", "name"], ["name", ""], ["last_number; "]]
    )
    def test_an_unknown_one_and_one_named_twice_are_faults(self, campaign: Campaign, columns: list[str]) -> None:
        with pytest.raises(ValidationError) as refused:
            exports.members(campaign, of(campaign), columns=columns)
        assert set(refused.value.message_dict) == {"columns"}

    @pytest.mark.parametrize(("name", "given"), [("format", {"file_format": "pdf"}), ("zone", {"zone": "Kyiv"})])
    def test_an_unknown_format_or_zone_is_a_fault(self, campaign: Campaign, name: str, given: dict[str, str]) -> None:
        with pytest.raises(ValidationError) as refused:
            exports.members(campaign, of(campaign), **given)
        assert set(refused.value.message_dict) == {name}


class TestFile:
    def test_its_name_has_the_campaign_and_the_date_there(self, campaign: Campaign) -> None:
        with time_machine.travel("2031-05-01T22:30:00Z", tick=False):
            answer = exports.members(campaign, of(campaign), file_format="xlsx")
        named = answer.headers["Content-Disposition"]
        assert named.startswith("attachment; filename*=utf-8''")
        assert named.endswith("%20subscribers%202031-05-02.xlsx")
        assert "%2F" not in named

    def test_without_rows_it_has_its_heading(self, campaign: Campaign) -> None:
        heading = ",".join(exports.DEFAULTS)
        assert content(exports.members(campaign, of(campaign))).decode() == f"\ufeff{heading}\r\n"
        book = openpyxl.load_workbook(
            io.BytesIO(content(exports.members(campaign, of(campaign), file_format="xlsx")))
        )  # fmt: skip
        sheet: Any = book.active
        assert list(sheet.values) == [exports.DEFAULTS]

    def test_more_rows_than_a_sheet_holds_go_into_another(
        self, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "MOST_ROWS_OF_A_SHEET", 3)
        made = [factories.make_member(campaign).pk for _ in range(5)]
        answer = exports.members(campaign, of(campaign), columns=["member"], file_format="xlsx")
        book = openpyxl.load_workbook(io.BytesIO(content(answer)))
        assert book.sheetnames == ["subscribers", "subscribers 2", "subscribers 3"]
        sheets = [[row[0] for row in sheet.values] for sheet in book.worksheets]
        assert sheets == [["member", *made[:2]], ["member", *made[2:4]], ["member", made[4]]]

    def test_the_temporary_files_of_one_that_nobody_takes_are_gone(
        self, campaign: Campaign, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        factories.make_member(campaign)
        answer = exports.members(campaign, of(campaign), file_format="xlsx")
        next(parts_of(answer))
        assert list(tmp_path.rglob("*"))
        answer.close()
        assert not list(tmp_path.rglob("*"))


class TestMeanwhile:
    @pytest.fixture(autouse=True)
    def _short_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "PAGE", 2)

    def test_who_is_added_is_not_in_it_and_who_is_deleted_is_left_out(self, campaign: Campaign) -> None:
        made = [factories.make_member(campaign).pk for _ in range(6)]
        parts = parts_of(exports.members(campaign, of(campaign), columns=["member"]))
        text = next(parts) + next(parts)
        factories.make_member(campaign)
        actions.delete_members(Member.objects.filter(pk=made[3]))
        text += b"".join(parts)
        assert text.decode().split()[1:] == [str(pk) for pk in made if pk != made[3]]

    def test_who_changes_so_that_a_filter_would_lose_or_double_him_is_there_once(self, campaign: Campaign) -> None:
        made = [factories.make_member(campaign, priority=1).pk for _ in range(6)]
        found = of(campaign).filter(priority=1).order_by("-priority", "-pk")
        parts = parts_of(exports.members(campaign, found, columns=["member"]))
        text = next(parts) + next(parts)
        of(campaign).update(priority=2)
        text += b"".join(parts)
        assert text.decode().split()[1:] == [str(pk) for pk in made], "in the order of entry, whatever order was asked"

    def test_a_page_costs_the_same_number_of_queries_whatever_it_holds(
        self, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def cost(page: int) -> int:
            monkeypatch.setattr(files, "PAGE", page)
            with CaptureQueriesContext(connection) as context:
                content(exports.members(campaign, of(campaign), columns=list(exports.COLUMNS)))
            return len(context)

        for _ in range(8):
            factories.make_attempt(factories.make_member(campaign), ended_at=clock.now())
        assert cost(8) == 5
        assert cost(4) == 9


def copy_of(member: Member, count: int) -> None:
    """Add many subscribers who are as one is, each with a number."""
    own = [str(field.column) for field in Member._meta.concrete_fields if field.column not in ("id", "external_id")]
    changed = ("id", "digits", "member_id")
    theirs = [str(field.column) for field in Communication._meta.concrete_fields if field.column not in changed]
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH made AS (INSERT INTO members_member ({', '.join(own)})"
            f" SELECT {', '.join(own)} FROM members_member, generate_series(1, %s) WHERE id = %s RETURNING id)"
            f" INSERT INTO members_communication ({', '.join(theirs)}, digits, member_id)"
            f" SELECT {', '.join('c.' + name for name in theirs)}, (1e9 + made.id)::bigint::text, made.id"
            " FROM made, members_communication AS c WHERE c.member_id = %s",
            [count, member.pk, member.pk],
        )


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
def test_memory_does_not_grow_with_the_rows(
    campaign: Campaign, file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PAGE", 250)
    first = factories.make_member(campaign, name="Олена Іваненко", variables={"debt": 20000, "language": "uk"})
    columns = ["member", "name", "numbers", "variables", "expire", "state"]

    def peak() -> float:
        """Return the megabytes that are in use at most while a file is taken."""
        gc.collect()
        tracemalloc.start()
        try:
            answer = exports.members(campaign, of(campaign), columns=columns, file_format=file_format)
            lines = sum(part.count(b"\n") for part in parts_of(answer))
            assert file_format == "xlsx" or lines == 1 + of(campaign).count()
            return tracemalloc.get_traced_memory()[1] / 1e6
        finally:
            tracemalloc.stop()

    copy_of(first, 1_500)
    few = peak()
    copy_of(first, 10_000)
    assert peak() < few + 0.5


@pytest.mark.django_db(transaction=True)
def test_the_web_server_sends_it_as_it_is_made(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    """An iterator that Django cannot await would be gathered whole, before the first byte is sent."""
    monkeypatch.setattr(files, "PAGE", 1)
    made = [factories.make_member(campaign).pk for _ in range(3)]

    async def take() -> list[bytes]:
        answer = await sync_to_async(exports.members)(campaign, of(campaign), columns=["member"])
        parts = []
        async for part in answer:
            parts.append(part)
            if len(parts) == 3:
                await sync_to_async(actions.delete_members)(Member.objects.filter(pk=made[2]))
        return parts

    assert async_to_sync(take)() == [
        b"\xef\xbb\xbfmember\r\n", f"{made[0]}\r\n".encode(), f"{made[1]}\r\n".encode(), b"",
    ]  # fmt: skip


class TestAttempts:
    def test_they_are_written_with_names_and_instants_the_oldest_first(self, campaign: Campaign) -> None:
        member = factories.make_member(campaign, ["+380501112233"], name=FORMULA, external_id="crm-1")
        operator = factories.make_operator(campaign, name="Іван")
        now = datetime(2031, 7, 1, 12, 0, 0, 250_000, tzinfo=UTC)
        made = [factories.make_attempt(member, operator, reserved_at=now, ended_at=now) for _ in range(2)]
        rows = in_csv(files.attempts(campaign, Attempt.objects.filter(campaign=campaign)))
        assert [int(row["attempt"]) for row in rows] == [attempt.pk for attempt in made]
        assert tuple(rows[0]) == files.ATTEMPT_DEFAULTS
        assert rows[0]["ended_at"] == "2031-07-01T15:00:00.250+03:00"
        assert [rows[0][name] for name in ("name", "external_id", "number", "operator", "counted")] == [
            f"'{FORMULA}", "crm-1", "380501112233", "Іван", "true",
        ]  # fmt: skip

    def test_every_column_can_be_written(self, campaign: Campaign) -> None:
        factories.make_attempt(factories.make_member(campaign), ended_at=clock.now(), node=factories.make_node())
        found = Attempt.objects.filter(campaign=campaign)
        (row,) = in_xlsx(files.attempts(campaign, found, columns=list(files.ATTEMPT_COLUMNS), file_format="xlsx"))
        assert list(row) == list(files.ATTEMPT_COLUMNS)
        assert row["stage"] == "ended"
