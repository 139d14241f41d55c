"""Statistics in a browser: charts from tables, another while without a new page, by keyboard and without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, faults_of

pytestmark = pytest.mark.browser

LOOKS = [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
@pytest.mark.parametrize("path", ["/statistics/", "/campaigns/1/statistics/"])
def test_it_is_readable_in_every_look(open_page: Open, path: str, scheme: str, width: int) -> None:
    page = open_page(path, color_scheme=scheme, viewport={"width": width, "height": 900})
    expect(page.get_by_role("heading", name="Calls over time")).to_be_visible()
    expect(page.locator(".uplot")).to_have_count(2)
    assert faults_of(page) == []


def test_another_while_is_shown_at_once_and_the_address_keeps_it(open_page: Open) -> None:
    page = open_page("/statistics/")
    shown = page.locator(".told-of p")
    before = shown.text_content()
    page.get_by_role("radio", name="Today").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="7 days")).to_be_checked()
    expect(shown).not_to_have_text(before or "")
    expect(page.locator(".uplot")).to_have_count(2)
    page.wait_for_url("**preset=last_7_days**")
    page.reload()
    expect(page.get_by_role("radio", name="7 days")).to_be_checked()
    page.get_by_role("radio", name="From – to").check(force=True)
    expect(page.get_by_role("alert")).to_contain_text("Say from when.")
    page.get_by_label("From", exact=True).fill("2026-01-01T10:00")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_chart_follows_its_window_and_tells_what_is_pointed_at(open_page: Open) -> None:
    page = open_page("/statistics/", viewport={"width": 1440, "height": 900})
    chart = page.locator(".report-calls .chart")
    wide = chart.locator("canvas").bounding_box()
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_function("document.querySelector('.report-calls canvas').getBoundingClientRect().width < 700")
    narrow = chart.locator("canvas").bounding_box()
    assert wide
    assert narrow
    assert narrow["width"] < wide["width"]
    page.mouse.move(narrow["x"] + narrow["width"] / 2, narrow["y"] + narrow["height"] / 2)
    expect(chart.locator("time")).not_to_be_empty()
    # A day is drawn whole, whatever hours there were calls in.
    hours = page.locator(".report-hours_of_day .chart")
    hours.scroll_into_view_if_needed()
    whole = hours.locator(".u-over").bounding_box()
    assert whole
    for place, told in ((2, "00:00"), (whole["width"] - 2, "23:00")):
        page.mouse.move(whole["x"] + place, whole["y"] + whole["height"] / 2)
        expect(hours.locator("time")).to_have_text(told)


def test_without_scripts_the_tables_say_it_all(open_page: Open) -> None:
    page = open_page("/statistics/", java_script_enabled=False)
    expect(page.get_by_role("button", name="Show")).to_be_visible()
    page.get_by_role("radio", name="7 days").check(force=True)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("radio", name="7 days")).to_be_checked()
    expect(page.locator("#t-calls tbody tr").first).to_be_visible()
    expect(page.locator(".chart").first).to_be_hidden()
