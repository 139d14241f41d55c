"""The whole story, as a supervisor lives it: from an empty calendar to the statistics of a campaign that was run."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, faults_of
from tests.test_run import House

pytestmark = pytest.mark.browser

NAME = "Spring offer"
ANSWERED = 2
"""Subscribers whose results are reported before the campaign is stopped."""


class Crm:
    """What a CRM does over REST: it asks for calls that were connected, and reports what came of them."""

    def __init__(self, house: House) -> None:
        self.address = house.web.rstrip("/")
        self.headers = {"Content-Type": "application/json"}
        password = (house.data / "supervisor-password").read_text()
        key = self.ask("POST", "/login", {"username": "supervisor", "password": password})
        self.headers |= {"X-Key": key["key"], "X-Access-Token": key["token"]}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, sent, self.headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def report(self, campaign: str, wanted: int, page: Page) -> set[int]:
        """Report a success for each call as it is connected, until there are so many; return the attempts."""
        reported: set[int] = set()
        until = time.monotonic() + 180
        while len(reported) < wanted:
            assert time.monotonic() < until, f"{len(reported)} of {wanted} calls were connected"
            page.wait_for_timeout(500)
            for call in self.ask("GET", f"/api/v2/attempts?campaign={campaign}&connected=true")["results"]:
                if call["id"] not in reported and call["result_state"] == "awaited":
                    said = {"attempt": call["id"], "success": True, "comment": "Agreed"}
                    self.ask("PUT", f"/api/v2/dialer/{campaign}/members/{call['member']}/status", said)
                    reported.add(call["id"])
        return reported


def test_from_a_calendar_to_the_statistics(open_page: Open, house: House, tmp_path: Path) -> None:
    # A calendar.
    page = open_page("/calendars/")
    page.get_by_role("link", name="Add a calendar").click()
    page.get_by_label("Name", exact=True).first.fill("Every hour")
    page.get_by_role("button", name="Around the clock").click()
    expect(page.locator("#meaning")).to_contain_text("Every day, around the clock")
    page.get_by_role("button", name="Add", exact=True).last.click()
    expect(page.get_by_role("status").filter(has_text="is added")).to_be_visible()

    # A campaign that comes before those of the demo, and waits for results.
    page.goto("/")
    page.get_by_role("link", name="New campaign").click()
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_role("combobox", name="Calendar").fill("Every")
    page.keyboard.press("Enter")
    page.get_by_label("Priority", exact=True).fill("90")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name=NAME, level=1)).to_be_visible()
    campaign = re.search(r"/campaigns/(\d+)/", page.url)
    assert campaign
    tabs = page.get_by_role("navigation", name="Pages of the campaign")
    tabs.get_by_role("link", name="Parameters").click()
    page.get_by_label("Waiting for result status").check()
    page.get_by_label("Limit", exact=True).fill("8")
    page.get_by_label("Originate timeout", exact=True).fill("20")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".notice-good")).to_be_visible()

    # Operators.
    tabs.get_by_role("link", name="Operators").click()
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("button", name="Add the chosen ones").click()
    expect(page.locator(".notice-good")).to_contain_text("operators serve")

    # A list.
    tabs.get_by_role("link", name="Uploads").click()
    people = tmp_path / "people.csv"
    rows = "".join(f"Person {place},+38044{1_000_000 + place:07d}\n" for place in range(40))
    people.write_text(f"name,phone\n{rows}")
    page.locator("#file").set_input_files(people)
    page.wait_for_url("**/uploads/*/")
    page.get_by_role("button", name="Check the file").click()
    page.get_by_role("button", name="Load", exact=True).click(timeout=30_000)
    expect(page.get_by_role("heading", name="The list is loaded")).to_be_visible(timeout=30_000)

    # RUN, with its consequence told before.
    page.goto("/")
    card = page.locator("article.campaign", has_text=NAME)
    expect(card).to_contain_text("RUN: calls 40 subscribers")
    card.get_by_role("button", name=re.compile("^RUN")).press("Enter")
    expect(card.locator(".chip")).to_have_text("Running")
    card.get_by_role("link", name=NAME, exact=True).click()

    # Calls, and their results.
    expect(page.locator("#attempts")).to_contain_text("Person")
    assert faults_of(page) == []
    crm = Crm(house)
    reported = crm.report(campaign[1], ANSWERED, page)
    expect(page.locator("#kpi-success")).to_have_text(re.compile(r"[1-9]\d*"), timeout=30_000)

    # STOP: what is under way goes on to its end, and then it is stopped.
    page.get_by_role("button", name=re.compile("^STOP")).press("Enter")
    expect(page.locator("article.campaign .chip")).to_have_text("Stopped", timeout=120_000)

    # Who it was, and what was said of him.
    tabs.get_by_role("link", name="Attempts").click()
    expect(page.locator("main")).to_contain_text("Success")
    last = crm.ask("GET", f"/api/v2/attempts/{max(reported)}")
    page.goto(f"/subscribers/{last['member']}/")
    expect(page.locator("main")).to_contain_text("Agreed")
    assert faults_of(page) == []

    # The statistics agree with the ledger.
    attempts = crm.ask("GET", f"/api/v2/attempts?campaign={campaign[1]}&limit=500")["results"]
    page.goto(f"/campaigns/{campaign[1]}/statistics/")
    success = sum(attempt["outcome"] == "success" for attempt in attempts)
    for word, count in (("Attempts", len(attempts)), ("Success", success)):
        figure = page.locator(".tally-wide div", has=page.get_by_text(word, exact=True)).locator("dd")
        expect(figure).to_have_text(str(count))
    assert len(reported) <= success
    assert faults_of(page) == []
