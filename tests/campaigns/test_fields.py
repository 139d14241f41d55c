"""Times of day and ranges, as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.fields import VariablesFormField, clock_text, parse_clock, parse_ranges, ranges_text


@pytest.mark.parametrize(
    ("text", "minute"), [("00:00", 0), ("9", 540), ("09:30", 570), (" 9:05 ", 545), ("23:59", 1439), ("24:00", 1440)]
)
def test_a_time_of_day_is_read_to_the_minute(text: str, minute: int) -> None:
    assert parse_clock(text) == minute


@pytest.mark.parametrize("text", ["", "24:01", "25:00", "09:60", "9:5", "-1:00", "nine", "09:00:00", "٠٩:٠٠x"])
def test_what_is_no_time_of_day_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"09:30"):
        parse_clock(text)


@given(st.integers(0, 1440))
def test_a_written_time_reads_as_itself(minute: int) -> None:
    assert parse_clock(clock_text(minute)) == minute


def test_ranges_are_read_in_order() -> None:
    assert parse_ranges("14:00-18:00, 09:00 – 13:00") == [(540, 780), (840, 1080)]
    assert parse_ranges("13:00-24:00; 09:00-13:00") == [(540, 780), (780, 1440)], "they may touch"
    assert parse_ranges(" ") == []
    assert ranges_text([(540, 780), (840, 1440)]) == "09:00-13:00, 14:00-24:00"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("09:00", "not a range"),
        ("18:00-09:00", "ends before it starts"),
        ("09:00-09:00", "ends before it starts"),
        ("09:00-13:00, 12:00-14:00", "overlap"),
        ("09:00-25:00", "not a time of day"),
    ],
)
def test_bad_ranges_are_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_ranges(text)


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000, "{"])
def test_json_that_python_cannot_read_is_a_fault_at_the_field(text: str) -> None:
    from django.core.exceptions import ValidationError

    with pytest.raises(ValidationError, match="valid JSON"):
        VariablesFormField().clean(text)


def test_no_variables_are_an_empty_object() -> None:
    assert VariablesFormField(required=False).clean("") == {}
