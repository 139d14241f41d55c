from __future__ import annotations

import string

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from members import numbers
from members.models import Member


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


# --- with the region of a campaign --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "region", "dial"),
    [
        ("050 123-45-67", "UA", "+380501234567"),
        ("380501234567", "UA", "+380501234567"),
        ("00380501234567", "UA", "+380501234567"),
        ("+380501234567", "UA", "+380501234567"),
        ("+1 (202) 555-0100", "UA", "+12025550100"),
        ("(202) 555-0100", "US", "+12025550100"),
        ("8 (916) 123-45-67", "RU", "+79161234567"),
        ("06 1234 5678", "IT", "+390612345678"),
        ("+390612345678", "UA", "+390612345678"),
        ("020 7123 4567", "GB", "+442071234567"),
        ("+800 1234 5678", "UA", "+80012345678"),
    ],
)
def test_with_a_region_a_number_is_made_international(typed: str, region: str, dial: str) -> None:
    assert numbers.clean(typed, region) == (dial, dial[1:])


@pytest.mark.parametrize("code", ["*100#", "#31#0501234567", "*", "**"])
def test_codes_stay_as_typed_with_a_region_too(code: str) -> None:
    assert numbers.clean(code, "UA") == (code, code)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("0501234", "lacks its area code"),
        ("112", "too short for a number of Ukraine (+380)"),
        ("050123456789", "too long for a number of Ukraine (+380)"),
        ("+99912345678", "does not begin with the code of a country. Write + and the code first"),
        ("+0501234567", "does not begin with the code of a country"),
        ("+4420712345678", "too long for a number of Britain (UK) (+44)"),
        ("+" + "1" * 20, "too long for a number of United States (+1)"),
        ("00", "nothing follows the international prefix"),
        ("0", "is not a telephone number. Write it as +380501234567"),
        ("050 123 45 67 ext. 12", "has an extension, which cannot be dialled"),
        ("050 123 45 67 доб. 5", "write the number without it, and the extension into the description"),
        ("050 123 45 67x5", "has an extension"),
        ("mailbox", "“m”"),
        ("", "missing"),
    ],
)
def test_what_is_not_a_possible_number_of_a_region_is_refused_with_its_reason(typed: str, told: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        numbers.clean(typed, "UA")
    assert told in str(refused.value)


@pytest.mark.parametrize("typed", ["112", "050123456789", "0501234"])
def test_without_a_region_nothing_of_it_is_asked(typed: str) -> None:
    assert numbers.clean(typed) == (typed, typed)


def plausible() -> st.SearchStrategy[tuple[str, str]]:
    """Numbers around those that exist, and the region they are typed in."""
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    digits = st.text(alphabet=string.digits, max_size=15)
    prefixes = ["", "+", "00", "0", "8", "1", "011"]
    codes = ["", *map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE)]
    typed = st.tuples(st.sampled_from(prefixes), st.sampled_from(codes), digits).map("".join)
    examples = [
        phonenumbers.format_number(found, style)
        for region in regions
        if (found := phonenumbers.example_number(region))
        for style in (phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.E164)
    ]
    return st.tuples(typed | st.sampled_from(examples), st.sampled_from(["UA", "US", "RU", "IT", "GB", "BR", *regions]))


@given(plausible())
def test_a_number_is_taken_exactly_as_the_library_takes_it(case: tuple[str, str]) -> None:
    typed, region = case
    try:
        parsed = phonenumbers.parse(typed, region)
        possible = phonenumbers.is_possible_number_with_reason(parsed) == phonenumbers.ValidationResult.IS_POSSIBLE
        expected = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) if possible else None
    except phonenumbers.NumberParseException:
        expected = None
    try:
        found = numbers.clean(typed, region).dial
    except ValueError:
        found = None
    assert found == expected


# --- the zones that a number tells --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dial", "zones"),
    [
        ("+380501234567", ("Europe/Kyiv",)),
        ("+12025550100", ("America/New_York",)),
        ("+14165550100", ("America/Toronto",)),
        ("+447911123456", ("Europe/London",)),  # Jersey, Guernsey and the Isle of Man keep the same time
        ("+34612345678", ("Atlantic/Canary", "Europe/Madrid")),
        ("0501234567", ()),
        ("380501234567", ()),
        ("*100#", ()),
        ("+*100#", ()),
        ("+", ()),
        ("+99912345678", ()),
        ("+80012345678", ()),
        ("+1", ()),
        ("+1202555", ()),
    ],
)
def test_the_zones_that_a_number_tells(dial: str, zones: tuple[str, ...]) -> None:
    assert numbers.zones_of(dial) == zones


def test_a_number_that_may_ring_anywhere_has_all_zones_of_its_country() -> None:
    toll_free = numbers.zones_of("+18005550100")
    assert {"America/New_York", "America/Los_Angeles", "Pacific/Honolulu"} <= set(toll_free)


def test_the_zones_of_any_number_fit_into_their_column() -> None:
    room = Member._meta.get_field("zones").max_length
    assert room
    widest = {code: "|".join(numbers._of_country(code)) for code in map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE)}
    assert max(map(len, widest.values())) <= room


@given(plausible())
def test_zones_are_among_those_that_the_library_tells(case: tuple[str, str]) -> None:
    try:
        dial = numbers.clean(*case).dial
    except ValueError:
        return
    told = phonenumbers.timezone.time_zones_for_number(phonenumbers.parse(dial))
    found = numbers.zones_of(dial)
    clocks = {numbers.hours.clock_of(zone) for zone in told if zone != "Etc/Unknown"}
    if clocks:
        assert {numbers.hours.clock_of(zone) for zone in found} == clocks
    assert len(found) == len({numbers.hours.clock_of(zone) for zone in found})
