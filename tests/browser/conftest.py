"""The whole product as ``manage.py run`` starts it, and a Chromium in front of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.test_run import House, free_port

NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
SERIOUS = {"serious", "critical"}
LONGEST = [Path(__file__).with_name(name) for name in ("test_story.py", "test_desk.py")]
"""Files that begin before all others, so that no process is left alone with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def _beside_a_loop() -> Iterator[None]:
    """Playwright keeps a loop in this thread, beside which Django would not ask its database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield


Launch = Callable[..., Browser]


@pytest.fixture(scope="session")
def launch() -> Iterator[Launch]:
    """Return what starts a Chromium with these options."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt install chromium)")
    # Chromium's sandbox refuses to run as root.
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        yield lambda *options: playwright.chromium.launch(executable_path=path, args=[*root, *options])


@pytest.fixture(scope="session")
def browser(launch: Launch) -> Iterator[Browser]:
    found = launch()
    yield found
    found.close()


@pytest.fixture(scope="session")
def house(browser: Browser) -> Iterator[House]:
    """Start the product with its demo; a file may have one megabyte."""
    base = Path("/var/tmp", f"progressive-dialer-tests-{os.getpid()}-{time.monotonic_ns()}")
    house = House(base, free_port(), free_port())
    house.env["UPLOAD_LIMIT_MB"] = "1"
    house.run()
    try:
        house.wait_for("Log in as supervisor", 240)  # several start at once
        house.wait_for("Ctrl-C ends it")
        yield house
    finally:
        house.end()
        house.assert_gone()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def signed_in(browser: Browser, house: House) -> Any:
    """Return what a browser keeps of a log-in."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{house.web}login/")
    page.get_by_label("User name").fill("supervisor")
    page.get_by_label("Password").fill((house.data / "supervisor-password").read_text())
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(house.web)
    state = context.storage_state()
    context.close()
    return state


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, house: House, signed_in: Any) -> Iterator[Open]:
    """Return what opens a page; whatever the browser complains of while it is open fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(path: str, **options: Any) -> Page:
        options = {"viewport": {"width": 1440, "height": 900}, "timezone_id": "Europe/Kyiv", **options}
        context = browser.new_context(base_url=house.web, storage_state=signed_in, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(complaint(said)) if is_complaint(said) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def complaint(said: ConsoleMessage) -> str:
    """Return what the browser said, and of which address."""
    return f"{said.text} ({said.location['url']})"


def is_complaint(said: ConsoleMessage) -> bool:
    """Tell whether the browser complains.

    It only notes that an answer was a refusal, that a test cut its line, or that a newer request took another's place.
    """
    noted = (
        "responded with a status of 400", "responded with a status of 409", "ERR_INTERNET_DISCONNECTED",
        "htmx:sendError", "htmx:sendAbort", "htmx:afterRequest",
    )  # fmt: skip
    return said.type in ("error", "warning") and not any(note in said.text for note in noted)


def faults_of(page: Page) -> list[str]:
    """Return what axe finds serious on a page, and whether it is wider than its window."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [
        f"{violation['id']}: {node['html'][:200]} ({node['failureSummary']})"
        for violation in found["violations"]
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]
    width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [*told, f"wider than the window by {width}"] if width > 0 else told
