"""The board of operators and the pages of the system in a browser: by mouse, by keyboard, in each look."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, faults_of

pytestmark = pytest.mark.browser

LOOKS = [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]
PAGES = [
    "/operators/", "/operators/1/", "/operators/1/edit/", "/operators/new/", "/system/", "/system/repairs/",
    "/system/invariants/", "/system/webhooks/", "/switches/",
]  # fmt: skip


def names(page: Page) -> list[str]:
    return page.locator("#operators .o-name a").all_inner_texts()


def test_the_board_is_filtered_sorted_and_follows_what_is_done(open_page: Open) -> None:
    page = open_page("/operators/")
    rows = page.locator("#operators tr")
    expect(page.locator("#operators")).to_contain_text("Emma Castle")
    everybody = rows.count()  # those of the demo, and of other tests
    assert everybody > 12

    # Searched by name and by extension; nothing found says what to do.
    search = page.get_by_role("searchbox")
    search.fill("emma")
    expect(rows).to_have_count(1)
    search.fill("1012")
    expect(page.locator("#operators")).to_contain_text("Богдан Явір")
    search.fill("nobody like that")
    expect(page.get_by_text("Nobody is like that.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(rows).to_have_count(everybody)

    # Sorted by keyboard; the order is told to those who do not see it.
    in_order = names(page)
    page.get_by_role("button", name="Operator", exact=True).press("Enter")
    assert names(page) == in_order[::-1]
    expect(page.get_by_role("columnheader", name="Operator")).to_have_attribute("aria-sort", "descending")

    # All serve a campaign.
    page.get_by_label("Campaign").select_option(label="Contract renewals")
    expect(rows.first).to_be_visible()
    page.get_by_label("Campaign").select_option(label="In no campaign")
    expect(rows).to_have_count(0)
    page.get_by_label("Campaign").select_option("")

    # One is sent on a break on his page, and brought back from the board.
    page.get_by_role("link", name="Emma Castle").click()
    page.get_by_label("Reason of the change").fill("Lunch")
    page.get_by_role("button", name="On Break").click()
    expect(page.get_by_role("status").filter(has_text="Emma Castle")).to_be_visible()
    expect(page.get_by_role("button", name="On Break")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("section", has=page.get_by_role("heading", name="Status", exact=True))).to_contain_text(
        re.compile("On Break(?!.*after the call)", re.DOTALL), timeout=90_000
    )
    page.goto("/operators/")
    emma = page.locator("#operators tr", has_text="Emma Castle")
    back = emma.get_by_role("button", name="End the break")
    back.click(timeout=90_000)
    expect(emma).not_to_contain_text("On Break", timeout=10_000)
    page.goto("/operators/")
    expect(page.get_by_role("link", name="Emma Castle")).to_be_visible()
    page.get_by_role("link", name="Emma Castle").click()
    expect(page.get_by_role("row", name=re.compile("On Break supervisor Lunch"))).to_be_visible()


def test_what_is_typed_stays_while_the_page_lives(open_page: Open) -> None:
    page = open_page("/operators/2/")
    reason = page.get_by_label("Reason of the change")
    reason.press_sequentially("Back at")
    seen = page.locator("#now").get_attribute("hx-get") or ""
    # Somebody else changes his status: the card is drawn anew within seconds.
    other = open_page("/operators/2/")
    other.get_by_role("button", name="On Break").click()
    expect(page.get_by_role("button", name="On Break")).to_have_attribute("aria-pressed", "true", timeout=30_000)
    expect(page.locator("#now")).not_to_have_attribute("hx-get", seen)
    expect(reason).to_have_value("Back at")
    expect(reason).to_be_focused()
    other.get_by_role("button", name="Available", exact=True).click()
    expect(other.get_by_role("button", name="Available", exact=True)).to_have_attribute("aria-pressed", "true")


def test_a_new_operator_gets_a_phone_password(open_page: Open) -> None:
    page = open_page("/operators/")
    page.get_by_role("link", name="Add an operator").click()
    page.get_by_label("Extension").fill("2001")
    page.get_by_role("button", name="Add").click()
    expect(page.locator("#id_name_error")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("Нова людина")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("with the password")).to_be_visible()
    expect(page.get_by_role("heading", name="Нова людина")).to_be_visible()
    page.reload()
    expect(page.get_by_text("with the password")).to_have_count(0)


def test_the_system_works_and_its_invariants_hold(open_page: Open) -> None:
    page = open_page("/system/")
    expect(page.get_by_text("Everything works.")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("row", name=re.compile("worker of dial"))).to_contain_text("1 alive")
    page.get_by_role("link", name="Invariants").click()
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text("holds")).to_have_count(6, timeout=60_000)
    page.get_by_role("link", name="Repairs").click()
    page.get_by_label("What").select_option("result_in_part")
    expect(page.get_by_text("No repair is like that.")).to_be_visible()


@pytest.mark.parametrize(("look", "width"), LOOKS)
def test_no_page_has_a_serious_fault(open_page: Open, look: str, width: int) -> None:
    for path in PAGES:
        page = open_page(path, color_scheme=look, viewport={"width": width, "height": 900})
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_timeout(500)
        assert faults_of(page) == [], path


def test_a_board_that_scrolls_makes_its_page_no_longer(open_page: Open) -> None:
    page = open_page("/operators/", viewport={"width": 1440, "height": 420})
    expect(page.locator("#operators tr").nth(11)).to_be_attached()
    board = page.locator(".board-scrolls")
    assert board.evaluate("node => node.scrollHeight > node.clientHeight")
    end = page.locator("main").evaluate("node => Math.ceil(node.getBoundingClientRect().bottom)")
    assert page.evaluate("document.documentElement.scrollHeight") <= end


def test_a_page_that_asks_anew_says_when_it_cannot_and_is_right_again_after(open_page: Open) -> None:
    page = open_page("/operators/1/")
    sign = page.locator("#offline")
    expect(sign).to_be_empty()
    page.context.set_offline(True)
    expect(sign).to_contain_text("Connection lost", timeout=15_000)
    page.context.set_offline(False)
    expect(sign).to_be_empty(timeout=15_000)
