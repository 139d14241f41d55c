from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from members import numbers


@pytest.mark.parametrize(
    ("typed", "dial", "digits"),
    [
        ("+380 (50) 123-45-67", "+380501234567", "380501234567"),
        ("099998888", "099998888", "099998888"),
        (" 050.123.45.67 ", "0501234567", "0501234567"),
        ("[044] 200–30—40", "0442003040", "0442003040"),
        ("*100#", "*100#", "*100#"),
        ("(+1) 202 555 0100", "+12025550100", "12025550100"),
        ("050\N{NO-BREAK SPACE}1234567", "0501234567", "0501234567"),
    ],
)
def test_spaces_dots_dashes_and_brackets_are_dropped(typed: str, dial: str, digits: str) -> None:
    assert numbers.clean(typed) == (dial, digits)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "missing"),
        ("   ", "missing"),
        ("+", "no digits"),
        ("()-", "no digits"),
        ("050 123 45 6x", "“x”"),
        ("050/123", "“/”"),
        ("050;123", "“;”"),
        ("050\n123", "U+000A"),
        ("050\0", "U+0000"),
        ("٠٥٠", "“٠”"),
        ("050+123", "not at its beginning"),
        ("++380501234567", "not at its beginning"),
        ("1" * 33, "33 digits"),
        ("1 " * 40, "too long"),
    ],
)
def test_anything_else_is_refused_and_named(typed: str, told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("+", r"\+")):
        numbers.clean(typed)


def test_thirty_two_digits_are_the_most() -> None:
    assert numbers.clean("+" + "1" * 32).digits == "1" * 32


@given(st.text(max_size=70))
def test_whatever_is_typed_is_refused_or_safe_to_dial(typed: str) -> None:
    try:
        dial, digits = numbers.clean(typed)
    except ValueError:
        return
    assert set(digits) <= set("0123456789*#")
    assert dial in (digits, "+" + digits)
    assert 1 <= len(digits) <= 32


@given(st.text(alphabet=string.digits + "*#", min_size=1, max_size=32), st.data())
def test_separators_anywhere_change_nothing(digits: str, data: st.DataObject) -> None:
    typed = "".join(char + data.draw(st.sampled_from(["", "", "-"])) for char in digits)
    assert numbers.clean(typed[:64]).digits == "".join(char for char in typed[:64] if char != "-")


@pytest.mark.parametrize(("text", "digits"), [("050 12", "05012"), ("+380", "380"), ("Anna", ""), ("", ""), ("1a", "")])
def test_the_beginning_of_a_number_is_told_from_a_name(text: str, digits: str) -> None:
    assert numbers.digits_of(text) == digits
