"""Coaching on the board of operators in a browser: by keyboard, with the state shown, without serious faults."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as TookTooLong

from tests.browser.conftest import Open, faults_of

pytestmark = pytest.mark.browser

PHONE = "1099"
"""An extension of the simulated directory that is no operator's."""


def talking(page: Page) -> Locator:
    """Return the row of an operator whose call can be heard."""
    page.locator("[data-listen]:visible").first.wait_for(timeout=90_000)
    name = page.locator("#operators tr", has=page.locator("[data-listen]:visible")).first.locator(".o-name a")
    return page.locator("#operators tr", has=page.get_by_role("link", name=name.inner_text(), exact=True))


def be_on_a_call(page: Page) -> None:
    """Listen, whisper and leave, by keyboard."""
    row = talking(page)
    row.get_by_role("button", name="Listen").press("Enter", timeout=3_000)
    expect(row).to_contain_text("You are listening", timeout=12_000)
    expect(row.get_by_role("button", name="Listen")).to_have_attribute("aria-pressed", "true")
    assert faults_of(page) == []
    row.get_by_role("button", name="Whisper").press("Space", timeout=3_000)
    expect(row).to_contain_text("You are whispering to the operator")
    expect(row.get_by_role("button", name="Whisper")).to_have_attribute("aria-pressed", "true")
    row.get_by_role("button", name="Stop").press("Enter", timeout=3_000)
    expect(row).not_to_contain_text("You are")
    expect(row.get_by_role("button", name="Stop")).to_be_hidden()


def test_a_phone_is_asked_for_where_it_is_written(open_page: Open) -> None:
    page = open_page("/operators/")
    field = page.get_by_label("Calls that you listen to ring at extension")
    field.fill("")  # other tests may have named one
    page.get_by_role("button", name="Keep").click()
    expect(field).to_have_value("")
    talking(page).get_by_role("button", name="Listen").press("Enter")
    expect(page.get_by_text("Which phone shall ring?")).to_be_visible()
    expect(field).to_be_focused()
    field.fill("10 99")
    field.press("Enter")
    expect(page.locator("#extension-fault")).to_be_visible()
    expect(field).to_have_value("10 99")
    assert faults_of(page) == []


def test_a_supervisor_is_on_a_call_by_keyboard_and_leaves_it(open_page: Open) -> None:
    page = open_page("/operators/")
    field = page.get_by_label("Calls that you listen to ring at extension")
    field.fill(PHONE)
    field.press("Enter")
    expect(page.get_by_text(f"Calls that you listen to ring at {PHONE}.")).to_be_visible()
    for turn in range(6):
        try:
            be_on_a_call(page)
            break
        except (AssertionError, TookTooLong):
            # The simulated people hang up, or do not answer, when they like.
            if turn == 5:
                raise


@pytest.mark.parametrize(("look", "width"), [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)])
def test_the_board_with_a_call_to_hear_has_no_serious_fault(open_page: Open, look: str, width: int) -> None:
    page = open_page("/operators/", color_scheme=look, viewport={"width": width, "height": 900})
    page.locator("[data-listen]:visible").first.wait_for(timeout=90_000)
    assert faults_of(page) == []
