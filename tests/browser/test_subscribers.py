"""Subscribers in a browser: found without a new page, changed many at a time, added by hand; without scripts too."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, faults_of

pytestmark = pytest.mark.browser

LOOKS = [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]
LIST = "/campaigns/1/subscribers/"


def first_called(page: Page) -> str:
    """Return the address of a subscriber who has been called."""
    page.goto("/campaigns/1/attempts/?live=no")
    for _try in range(30):
        links = page.locator("tbody th a")
        if links.count():
            return links.first.get_attribute("href") or ""
        page.wait_for_timeout(1000)
        page.reload()
    raise AssertionError("Nobody was called.")


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_each_page_is_readable_in_every_look(open_page: Open, scheme: str, width: int) -> None:
    page = open_page(LIST, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.locator(".filters-more summary").click()
    assert faults_of(page) == []
    one = first_called(page)
    assert faults_of(page) == []
    for path in (f"{LIST}new/", one):
        page.goto(path)
        assert faults_of(page) == [], path
    expect(page.locator("article.story svg rect").first).to_be_attached()


def test_what_is_found_and_the_address_follow_the_filters(open_page: Open) -> None:
    page = open_page(LIST)
    rows = page.locator("tbody tr")
    name = page.locator("tbody th").nth(3).text_content() or ""
    page.evaluate("window.same = true")
    page.get_by_label("Name, number or external id").fill(name)
    expect(rows.first.locator("th")).to_have_text(name)
    expect(page).to_have_url(re.compile(r"\?search=[^&]+$"))
    page.get_by_label("State").select_option("ended")
    expect(page).to_have_url(re.compile(r"\?search=[^&]+&state=ended$"))
    assert page.evaluate("window.same")
    page.reload()
    expect(page.get_by_label("State")).to_have_value("ended")
    page.locator(".filters-more summary").click()
    page.get_by_label("Attempts, at least").fill("-1")
    page.keyboard.press("Tab")
    expect(page.get_by_role("alert")).to_contain_text("Attempts, at least")


def test_many_are_ended_by_keyboard_after_the_count(open_page: Open) -> None:
    page = open_page("/campaigns/2/subscribers/?sort=created&state=ready")
    assert page.get_by_role("button", name="End…").is_disabled()
    page.get_by_label("Choose all of this page").focus()
    page.keyboard.press("Space")
    expect(page.locator("#chosen-count")).to_have_text(re.compile(r"50 chosen"))
    page.keyboard.press("Space")
    names = [page.locator("tbody th").nth(place).text_content() for place in range(2)]
    for name in names:
        page.get_by_label(f"Choose {name}").first.focus()
        page.keyboard.press("Space")
    page.get_by_role("button", name="End…").press("Enter")
    expect(page.get_by_role("heading", name="End subscribers")).to_be_visible()
    assert faults_of(page) == []
    page.get_by_role("button", name="End", exact=True).press("Enter")
    expect(page.get_by_role("status").first).to_contain_text(re.compile("ended|ends after"))
    expect(page).to_have_url(re.compile("state=ready"))


def test_one_is_added_by_hand_with_rows_that_come_and_go(open_page: Open) -> None:
    page = open_page(f"{LIST}new/")
    page.get_by_label("Name", exact=True).first.fill("Hand Made")
    page.get_by_label("Number", exact=True).first.fill("many")
    page.get_by_role("button", name="Add a number").click()
    page.keyboard.type("+380 44 999 88 77")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".fault").first).to_contain_text("“many”")
    page.get_by_role("button", name="Remove this number").first.click()
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="Hand Made")).to_be_visible()
    page.get_by_role("button", name="Do not call").click()
    expect(page.get_by_role("button", name="Take off the list")).to_be_visible()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.wait_for_url(f"**{LIST}")
    expect(page.get_by_role("status").first).to_contain_text("1 subscriber is deleted")


def test_without_scripts_all_of_it_works(open_page: Open) -> None:
    page = open_page(LIST, java_script_enabled=False)
    page.get_by_label("State").select_option("ready")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(re.compile("state=ready"))
    page.locator("tbody input[name=chosen]").first.check()
    page.get_by_role("button", name="End…").click()
    page.get_by_role("button", name="End", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text(re.compile("ended|ends after"))
    page.locator("tbody th a").first.click()
    expect(page.get_by_role("heading", name="Numbers")).to_be_visible()
