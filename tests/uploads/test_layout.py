"""How a file is read: what a layout may say, and what is told of one that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from members.uploads.layout import Column, Destination, FileKind, Layout, is_date_format

NUMBER = Column(Destination.NUMBER)

layouts = st.builds(
    Layout,
    kind=st.sampled_from(FileKind),
    charset=st.sampled_from(["utf-8", "windows-1251", "koi8-u", "utf-16"]),
    separator=st.sampled_from(",;\t|~§"),
    quote=st.sampled_from(["", '"', "'"]),
    heading=st.booleans(),
    columns=st.lists(
        st.builds(
            Column,
            destination=st.sampled_from(Destination),
            name=st.sampled_from(["", "debt", "мова"]),
            priority=st.integers(-(2**31) + 1, 2**31 - 1),
            description=st.sampled_from(["", "home"]),
        )
    ).map(tuple),
    expire_format=st.sampled_from(["", "%d.%m.%Y", "%m/%d/%y %H:%M"]),
    expire_zone=st.sampled_from(["", "Europe/Kyiv"]),
)


@given(layouts)
def test_a_layout_is_the_same_after_a_journey_through_json(layout: Layout) -> None:
    assert Layout.from_json(layout.to_json()) == layout


def test_what_is_not_given_has_its_default() -> None:
    assert Layout.from_json({}) == Layout()


@pytest.mark.parametrize(
    ("raw", "path", "told"),
    [
        ([], "layout", "JSON object"),
        ({"kind": "ods"}, "kind", "one of csv, xlsx"),
        ({"charset": "klingon"}, "charset", "“klingon” is no character set"),
        ({"charset": "base64"}, "charset", "is no character set"),
        ({"charset": "a\0b"}, "charset", "is no character set"),
        ({"charset": "unicode_escape"}, "charset", "is no character set"),
        ({"separator": ""}, "separator", "one character"),
        ({"separator": "::"}, "separator", "one character"),
        ({"separator": "\n"}, "separator", "no end of a line"),
        ({"quote": "''"}, "quote", "one character"),
        ({"quote": ","}, "quote", "cannot be the separator"),
        ({"heading": 1}, "heading", "true or false"),
        ({"columns": {}}, "columns", "an array"),
        ({"columns": [{}] * 16_385}, "columns", "At most 16384"),
        ({"columns": [{}, 5]}, "columns[1]", "JSON object"),
        ({"columns": [{"destination": "moon"}]}, "columns[0].destination", "one of nothing, name"),
        ({"columns": [{"priority": True}]}, "columns[0].priority", "whole number"),
        ({"columns": [{"priority": 2**31}]}, "columns[0].priority", "2147483647"),
        ({"columns": [{"description": "x" * 121}]}, "columns[0].description", "120"),
        ({"columns": [{"title": "x"}]}, "columns[0].title", "Unknown field"),
        ({"expire_format": "%H:%M"}, "expire_format", "does not tell day, month and year"),
        ({"expire_format": "%Q"}, "expire_format", "does not tell"),
        ({"expire_format": "%d.%m.%Y %"}, "expire_format", "does not tell"),
        ({"expire_zone": "Mars"}, "expire_zone", "is not a time zone"),
        ({"speed": 5}, "speed", "Unknown field"),
    ],
)
def test_what_is_no_layout_is_told_by_its_field(raw: object, path: str, told: str) -> None:
    with pytest.raises(ValidationError) as error:
        Layout.from_json(raw)
    assert list(error.value.message_dict) == [path]
    assert told in error.value.message_dict[path][0]


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as error:
        Layout.from_json({"kind": 5, "columns": [{"priority": "high"}, {"name": 7}]})
    assert set(error.value.message_dict) == {"kind", "columns[0].priority", "columns[1].name"}


@pytest.mark.parametrize(
    ("columns", "path", "told"),
    [
        ([], "columns", "No column has numbers"),
        ([Column(Destination.NAME)], "columns", "No column has numbers"),
        ([NUMBER, Column(Destination.NAME), Column(Destination.NAME)], "columns[1].destination", "already"),
        ([NUMBER, Column(Destination.VARIABLE)], "columns[1].name", "Name the variable"),
        ([NUMBER, Column(Destination.VARIABLE, "1st")], "columns[1].name", "no name for a variable"),
        ([NUMBER, Column(Destination.VARIABLE, "dialer_x")], "columns[1].name", "belongs to the dialer"),
        ([NUMBER, *[Column(Destination.VARIABLE, "debt")] * 2], "columns[1].name", "as this variable already"),
        ([NUMBER, Column(Destination.REASON)], "columns[1].destination", "Only a do-not-call list"),
    ],
)
def test_what_cannot_be_loaded_is_told(columns: list[Column], path: str, told: str) -> None:
    assert told in Layout(columns=tuple(columns)).faults("members")[path][0]


def test_numbers_variables_and_what_is_not_loaded_may_be_several() -> None:
    columns = (NUMBER, NUMBER, Column(), Column(), Column(Destination.VARIABLE, "a"), Column(Destination.VARIABLE, "b"))
    assert Layout(columns=columns).faults("members") == {}


def test_a_do_not_call_list_has_numbers_reasons_and_dates_alone() -> None:
    fine = (NUMBER, Column(Destination.REASON), Column(Destination.EXPIRE), Column())
    assert Layout(columns=fine).faults("do_not_call") == {}
    found = Layout(columns=(NUMBER, Column(Destination.NAME))).faults("do_not_call")
    assert list(found) == ["columns[1].destination"]


def test_variables_of_the_switch_itself_are_refused_but_those_allowed() -> None:
    layout = Layout(columns=(NUMBER, Column(Destination.VARIABLE, "api_hangup_hook")))
    assert "acts on the switch itself" in layout.faults("members", ())["columns[1].name"][0]
    assert layout.faults("members", {"api_hangup_hook"}) == {}
    assert layout.faults("members") == {}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("%d.%m.%Y", True), ("%Y-%m-%d %H:%M", True), ("%d/%m/%y", True), ("%d.%m", False), ("", False), ("%", False)],
)
def test_a_date_format_tells_the_day(text: str, is_one: bool) -> None:
    assert is_date_format(text) is is_one


def test_json_of_a_layout_has_every_field() -> None:
    raw: dict[str, Any] = Layout(columns=(NUMBER,)).to_json()
    assert raw["columns"] == [{"destination": "number", "name": "", "priority": 0, "description": ""}]
    assert raw["kind"] == "csv"
