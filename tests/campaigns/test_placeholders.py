"""Placeholders: what is filled in, what is refused, and that no value changes where a link leads."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import placeholders

TEXTS = st.text(max_size=40)


def test_values_are_filled_in_and_what_is_unknown_or_missing_becomes_empty() -> None:
    values = {"name": "Anna", "debt": 20.5, "vip": True, "nothing": None}
    text = "{name} owes {debt}, vip {vip}{nothing}{unknown}. {name}!"
    assert placeholders.fill(text, values) == "Anna owes 20.5, vip true. Anna!"
    assert placeholders.names_in(text) == ["name", "debt", "vip", "nothing", "unknown"]


def test_a_value_is_never_read_as_a_placeholder() -> None:
    assert placeholders.fill("{a}", {"a": "{b}", "b": "secret"}) == "{b}"
    assert placeholders.fill_url("https://x.example/{a}", {"a": "{b}", "b": "secret"}) == "https://x.example/%7Bb%7D"


@given(TEXTS, TEXTS)
def test_a_text_without_placeholders_stays_and_pieces_make_the_whole(before: str, value: str) -> None:
    plain = before.replace("{", "").replace("}", "")
    assert placeholders.fill(plain, {"a": value}) == plain
    assert not placeholders.faults(plain)
    assert placeholders.fill(f"{plain}{{a}}{plain}", {"a": value}) == plain + value + plain


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Hi {name", "“{” (line 1, character 4) is not closed"),
        ("Hi\n  name}", "“}” (line 2, character 7) closes nothing"),
        ("{}", "“{}” (line 1, character 1) is no placeholder"),
        ("{na me}", "“{na me}” (line 1, character 1) is no placeholder"),
        ("{1st}", "“{1st}” (line 1, character 1) is no placeholder"),
        ("{na\nme", "“{” (line 1, character 1) is not closed"),
    ],
)
def test_a_faulty_brace_is_named_with_its_place(text: str, told: str) -> None:
    (fault,) = placeholders.faults(text)
    assert told in fault


def test_each_faulty_brace_is_told() -> None:
    assert len(placeholders.faults("{{name}} { }")) == 3


@pytest.mark.parametrize(
    "url",
    [
        "https://crm.example/{contact_id}",
        "http://crm.example:8080/a/{b}?c={d}#{e}",
        "HTTPS://crm",
        "https://crm.example?x={a}",
        "https://[::1]:80/{a}",
    ],
)
def test_a_link_is_taken(url: str) -> None:
    assert not placeholders.url_faults(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "crm.example/{a}",
        "javascript:alert(1)//{a}",
        "//crm.example/{a}",
        "{scheme}://crm.example/",
        "https://{host}/",
        "https://crm.{zone}/a",
        "https://crm.example:{port}/",
        "https://{user}@crm.example/",
        "https://crm.example@evil.example/{a}",
        "https://crm.example\\@evil.example/{a}",
        "https://crm.example /{a}",
        "https://crm.example/\n{a}",
        "https:///{a}",
        "https://crm..example/{a}",
        "https://crm.example:99999/{a}",
        "https://crm.example/{a",
        f"https://crm.example/{'x' * 2000}",
    ],
)
def test_a_link_is_refused_and_never_filled_in(url: str) -> None:
    assert len(placeholders.url_faults(url)) == 1
    assert placeholders.fill_url(url, {"a": "1", "host": "evil.example"}) == ""


@given(TEXTS, TEXTS)
def test_no_value_changes_where_a_link_leads(first: str, second: str) -> None:
    template = "https://crm.example:8443/of/{a}/x?q={b}#{a}"
    values = {"a": first.encode("utf-8", "ignore").decode(), "b": second.encode("utf-8", "ignore").decode()}
    found = urlsplit(placeholders.fill_url(template, values))
    assert (found.scheme, found.netloc) == ("https", "crm.example:8443")
    folder, of, middle, last = found.path.split("/")
    assert (folder, of, last) == ("", "of", "x")
    assert unquote(middle) == ("" if values["a"] in {".", ".."} else values["a"])
    assert found.query.startswith("q=")
    assert "&" not in found.query
