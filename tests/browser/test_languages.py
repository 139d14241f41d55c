"""The pages in Ukrainian: chosen in the header, kept, and no wider than a phone for all its longer words."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from tests.browser.conftest import Open, faults_of
from tests.test_run import House

pytestmark = pytest.mark.browser

PHONE: ViewportSize = {"width": 390, "height": 844}


def test_a_language_is_chosen_and_kept(open_page: Open) -> None:
    page = open_page("/operators/", locale="en-GB")
    page.get_by_role("button", name="Українська").focus()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("lang", "uk")
    expect(page).to_have_url(re.compile("/operators/$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Оператори")
    page.goto("/")
    expect(page.get_by_role("navigation", name="Головне меню")).to_contain_text("Статистика")
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_the_log_in_page_speaks_as_the_browser_does(browser: Browser, house: House) -> None:
    page = browser.new_page(locale="uk-UA", viewport=PHONE)
    page.goto(f"{house.web}login/")
    expect(page.get_by_role("button", name="Увійти")).to_be_visible()
    assert faults_of(page) == []
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.close()


def test_longer_words_fit_a_phone(open_page: Open) -> None:
    page = open_page("/", locale="uk-UA", viewport=PHONE)
    expect(page.locator("html")).to_have_attribute("lang", "uk")
    campaign = page.locator("#campaigns a[href^='/campaigns/']").first.get_attribute("href") or ""
    assert re.fullmatch(r"/campaigns/\d+/live/", campaign), campaign
    campaign = campaign.removesuffix("live/")
    tabs = ("", "parameters/", "causes/", "operators/", "subscribers/", "attempts/", "live/", "statistics/", "uploads/")
    found = {}
    for path in ("/", "/operators/", "/system/", "/statistics/", "/calendars/", *(campaign + tab for tab in tabs)):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        if faults := faults_of(page):
            found[path] = faults
    assert found == {}
