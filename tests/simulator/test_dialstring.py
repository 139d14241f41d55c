"""Commands are read as the switch reads them, its traps included."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer.simulator.dialstring import (
    Destination,
    ParseError,
    UsageError,
    expand,
    read_destination,
    read_originate,
    separate,
)


def variables(command: str) -> dict[str, str]:
    return dict(read_destination(read_originate(command).dial).variables)


def test_an_originate_has_a_leg_and_an_application_with_its_argument() -> None:
    call = read_originate("{a=1,b=two}user/1001 &bridge([c=3]sofia/gateway/main/+380501112233)")
    assert call.program == (("bridge", "[c=3]sofia/gateway/main/+380501112233"),)
    assert read_destination(call.dial) == Destination({"a": "1", "b": "two"}, "user", "1001")
    assert read_destination(call.program[0][1]) == Destination({"c": "3"}, "sofia", "gateway/main/+380501112233")


def test_caller_and_timeout_may_follow_the_application() -> None:
    call = read_originate("user/1001 &park() XML default Anna 4930 25")
    assert (call.caller_name, call.caller_number, call.timeout) == ("Anna", "4930", 25)


@pytest.mark.parametrize("argument", ["", "user/1001", "a b c d e f g h"])
def test_too_few_or_too_many_words_are_a_usage_error(argument: str) -> None:
    with pytest.raises(UsageError):
        read_originate(argument)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("{a='b c'}user/1 &park()", "b c"),
        ("{a=b\\,c}user/1 &park()", "b,c"),
        ("{a='b,c'}user/1 &park()", "b"),  # the split at spaces has taken the quotes away already
        ("{a=' b '}user/1 &park()", "b"),
        ("{a=\\'b\\'}user/1 &park()", "b"),
        ("{a=b\\\\nc}user/1 &park()", "b\nc"),
        ("{a=x=y|z;%<>[q]^^}user/1 &park()", "x=y|z;%<>[q]^^"),
        ("{a=Привіт🙂}user/1 &park()", "Привіт🙂"),
        ("{^^:a=b,c:d=e}user/1 &park()", "b,c"),
        ("{a=1,A=2}user/1 &park()", "2"),
        ("{a=1}{a=2}user/1 &park()", "2"),
    ],
)
def test_values_go_through_every_parser_of_the_switch(said: str, read: str) -> None:
    assert next(value for name, value in variables(said).items() if name.lower() == "a") == read


def test_quotes_are_gone_before_the_square_brackets_are_read() -> None:
    assert read_destination("[a='b,c',d=e]user/1").variables == {"a": "b", "d": "e"}
    assert read_destination("[a=b\\\\,c,d=e]user/1").variables == {"a": "b,c", "d": "e"}


def test_an_application_ends_at_its_first_closing_bracket() -> None:
    assert read_originate("user/1 &bridge([a=(b)]user/2)").program == (("bridge", "[a=(b"),)


def test_a_backslash_at_the_end_of_a_value_swallows_the_next_variable() -> None:
    assert variables("{a=b\\,c=d}user/1 &park()") == {"a": "b,c=d"}


@pytest.mark.parametrize(
    ("dial", "cause"),
    [
        ("{a={b}user/1", "DESTINATION_OUT_OF_ORDER"),
        ("{a=b:_:c}user/1", "DESTINATION_OUT_OF_ORDER"),
        ("", "DESTINATION_OUT_OF_ORDER"),
        ("user/1|user/2", "CHAN_NOT_IMPLEMENTED"),
        ("user/1,user/2", "CHAN_NOT_IMPLEMENTED"),
    ],
)
def test_what_cannot_be_read_fails_the_call(dial: str, cause: str) -> None:
    with pytest.raises(ParseError) as caught:
        read_destination(dial)
    assert caught.value.cause == cause


def test_what_follows_an_unmatched_closing_bracket_is_no_endpoint() -> None:
    assert read_destination("{a=b}c}user/1").endpoint == "c}user"


def test_variables_expand_and_unknown_ones_vanish() -> None:
    assert expand("a${b}c$${core_uuid}${}", {"core_uuid": "1"}) == "ac1"


PLAIN = st.text(string.ascii_letters + string.digits + "=;<>%-_/@.+*#", min_size=1)


@given(st.dictionaries(st.text(string.ascii_lowercase, min_size=1), PLAIN))
def test_plain_values_survive_all_of_it(values: dict[str, str]) -> None:
    inside = ",".join(f"{name}={value}" for name, value in values.items())
    call = read_originate(f"{{{inside}}}user/1 &bridge([{inside}]user/2)")
    assert read_destination(call.dial).variables == values
    assert read_destination(call.program[0][1]).variables == values


@given(st.text(string.ascii_letters + "' \\,=|"), st.sampled_from(" ,|="))
def test_separate_takes_anything(text: str, separator: str) -> None:
    parts = separate(text, separator, 5)
    assert len(parts) <= 5
    assert all(part == part.strip(" ") or "'" in text or "\\" in text for part in parts)
