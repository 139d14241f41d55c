"""How things stand, live, in a browser: through the socket, when it is lost, and where there is none."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.conftest import Open, faults_of

pytestmark = pytest.mark.browser

CAMPAIGN = "Customer survey"


def press(page: Page, verb: str) -> None:
    page.get_by_role("button", name=f"{verb} {CAMPAIGN}").press("Enter")


def test_run_and_stop_tell_what_they_do_and_the_socket_shows_it(open_page: Open) -> None:
    page = open_page("/")
    other = open_page("/")
    for seen in (page, other):
        shown = seen.locator("article.campaign", has_text=CAMPAIGN)
        expect(shown).to_contain_text("STOP: no new call;")
        expect(shown.locator(".curve")).to_contain_text(re.compile(r"Last hour: \d+ dialled, \d+ connected"))
        expect(shown.locator(".staff")).to_have_attribute("aria-label", re.compile(r"(Waiting|In a queue call) \d"))
    asked = []
    other.on("request", lambda request: asked.append(request.url))
    press(page, "STOP")
    expect(page.locator("#toasts")).to_contain_text(f"{CAMPAIGN}: ")
    for seen in (page, other):
        shown = seen.locator("article.campaign", has_text=CAMPAIGN)
        expect(shown.locator(".chip")).to_have_text(re.compile("Stopping|Stopped"), timeout=15000)
        expect(shown).to_contain_text(re.compile(r"RUN: calls \d+ subscribers, \d+ operators on duty"), timeout=15000)
    press(page, "RUN")
    for seen in (page, other):
        expect(seen.locator("article.campaign", has_text=CAMPAIGN).locator(".chip")).to_have_text("Running")
    assert asked == [], "what changes comes through the socket"


def test_a_lost_connection_is_seen_and_what_was_missed_is_shown_after(open_page: Open) -> None:
    page, other = open_page("/"), open_page("/")
    shown = page.locator("article.campaign", has_text=CAMPAIGN)
    expect(shown.locator(".chip")).to_have_text("Running")
    page.context.set_offline(True)
    expect(page.locator("#lost")).to_be_visible()
    expect(page.locator("#link")).to_contain_text("Connection lost")
    press(other, "STOP")
    expect(other.locator("article.campaign", has_text=CAMPAIGN).locator(".chip")).to_have_text(
        re.compile("Stopping|Stopped")
    )
    expect(shown.locator(".chip")).to_have_text("Running")
    page.context.set_offline(False)
    expect(page.locator("#lost")).to_be_hidden()
    expect(shown.locator(".chip")).to_have_text(re.compile("Stopping|Stopped"))
    press(other, "RUN")
    expect(shown.locator(".chip")).to_have_text("Running")


def test_where_no_socket_can_be_opened_it_asks(open_page: Open) -> None:
    page = open_page("/login/")
    page.route_web_socket(re.compile(".*"), lambda socket: refuse(socket))
    with page.expect_response("**/live.json"):
        page.goto("/")
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("article.campaign", has_text=CAMPAIGN)).to_be_visible()


def refuse(socket: WebSocketRoute) -> None:
    socket.close()


def test_one_campaign(open_page: Open) -> None:
    page = open_page("/")
    page.get_by_role("link", name=CAMPAIGN, exact=True).click()
    expect(page).to_have_url(re.compile(r"/campaigns/\d+/live/"))
    expect(page.get_by_role("link", name="Live", exact=True)).to_have_attribute("aria-current", "page")
    expect(page.locator("article.campaign")).to_have_count(1)
    expect(page.locator("#attempts tr").first).to_be_visible()
    campaigns = page.locator("#attempts .a-campaign").all_inner_texts()
    assert set(campaigns) == {CAMPAIGN}


@pytest.mark.parametrize("options", [{}, {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}])
def test_for_everyone(open_page: Open, options: dict[str, object]) -> None:
    page = open_page("/", **options)
    expect(page.locator("article.campaign").nth(1)).to_be_visible()
    assert faults_of(page) == []
    page.goto(page.locator("article.campaign h3 a").first.get_attribute("href") or "")
    expect(page.locator("article.campaign")).to_have_count(1)
    assert faults_of(page) == []
