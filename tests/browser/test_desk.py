"""The operators' desk on the real stack: two operators, calls of the simulator, a lost network and a second tab."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count, islice

import pytest
import pytz
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dialer.embedded import PROJECT
from dialer.simulator import behaviour, scenario
from tests.browser.conftest import Open, complaint, faults_of, is_complaint
from tests.test_run import House

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
PEOPLE = {"bob": "1021", "alice": "1022"}
"""Extensions that the simulator's phones register, by the names that their operators log in with."""
NAME = "Winter offer"
SOON = 90_000
"""Milliseconds within which a phone is seen registered, and the next call connected."""

PREPARE = """
import json
from django.contrib.auth.models import User
from agents import actions as agents
from campaigns import actions
from campaigns.models import Calendar
from members import actions as members
told = json.loads(TOLD)
campaign = actions.create_campaign(
    name=told["name"], calendar=Calendar.objects.get(name="Day and night"), priority=95, limit=4, wait_for_result=True,
    wrap_up_time=90, wrap_up_extension=120, retry_wait=3600, originate_timeout=20,
    script="Good day {name}, this is {operator}.", desk_links=[{"name": "CRM", "url": "https://crm.example/{tariff}"}],
)
actions.set_dispositions(campaign.pk, [
    {"name": "Sold", "meaning": "success", "hotkey": "1"},
    {"name": "Call back", "meaning": "call_back", "hotkey": "2", "requires": ["call_back_at"]},
    {"name": "Not interested", "meaning": "failure", "hotkey": "3", "requires": ["comment"]},
])
members.add_members(campaign, [
    {"name": f"Person {place}", "variables": {"tariff": "T 7", "profile": "https://crm.example/p"},
     "communications": [{"number": number}]}
    for place, number in enumerate(told["numbers"], start=1)
])
places = {}
for place, (name, extension) in enumerate(told["people"].items(), start=1):
    user = User.objects.create_user(name, password=told["password"])
    operator = agents.create_operator(name=name.title(), extension=extension, user=user, wrap_up_time=90)
    places[operator.pk] = (1, place)
agents.set_tiers(campaign.pk, places)
actions.run(campaign.pk)
"""


def numbers_that_talk() -> Iterator[str]:
    """Yield numbers of subscribers who answer soon and talk long, unless the operator hangs up."""
    day = scenario.load("demo")
    for last in count():
        digits = f"38057{last:07}"
        first = behaviour.subscriber(day.subscriber_plan(digits), day.faults, 1, digits, 1)
        if (
            first.outcome == "answer"
            and first.after < 6
            and first.talks is not None
            and first.talks > 45
            and not first.fault
        ):
            yield f"+{digits}"


@pytest.fixture(scope="module")
def staffed(house: House) -> House:
    """Give two operators their log-ins, and a campaign of their own."""
    told = {"name": NAME, "people": PEOPLE, "password": PASSWORD, "numbers": list(islice(numbers_that_talk(), 12))}
    code = f"TOLD = {json.dumps(told)!r}\n{PREPARE}"
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code], cwd=PROJECT, env=house.env, text=True, capture_output=True,
        timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return house


Desk = Callable[..., Page]


@pytest.fixture
def open_desk(browser: Browser, staffed: House) -> Iterator[Desk]:
    """Return what logs an operator in; whatever the browser complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def watch(page: Page) -> None:
        page.on("console", lambda said: complaints.append(complaint(said)) if is_complaint(said) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))

    def open_desk(name: str) -> Page:
        # Without motion colours change at once, which axe measures.
        context = browser.new_context(
            base_url=staffed.web, viewport={"width": 1440, "height": 900}, timezone_id="Europe/Berlin",
            reduced_motion="reduce",
        )  # fmt: skip
        context.on("page", watch)
        contexts.append(context)
        page = context.new_page()
        page.goto("/login/")
        page.get_by_label("User name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/desk/")
        return page

    yield open_desk
    for context in contexts:
        context.close()
    assert complaints == []


def connected(page: Page) -> str:
    """Wait for the next call to be connected; return with whom."""
    expect(page.locator("#state")).to_have_text("In a call", timeout=SOON)
    expect(page.locator("#outcomes button").first).to_be_visible()
    return page.locator("#call-name").inner_text()


def seconds_left(page: Page) -> int:
    found = re.match(r"(\d+):(\d\d) left", page.locator("#left").inner_text())
    assert found, page.locator("#left").inner_text()
    return 60 * int(found[1]) + int(found[2])


def listen_to_alice(supervisor: Page, alice: Page) -> None:
    """Have a supervisor hear her call, see that she is told, and leave it."""
    field = supervisor.get_by_label("Calls that you listen to ring at extension")
    field.fill("1098")
    field.press("Enter")
    alice_link = supervisor.get_by_role("link", name="Alice", exact=True)
    row = supervisor.locator("#operators tr", has=alice_link)
    for last in (False, False, True):
        row.get_by_role("button", name="Listen").press("Enter")
        try:
            expect(alice.locator("#coached")).to_have_text("A supervisor listens.", timeout=10_000)
            break
        except AssertionError:
            if last:  # a simulated phone may be busy once
                raise
    row.get_by_role("button", name="Stop").press("Enter")
    expect(alice.locator("#coached")).to_be_hidden(timeout=10_000)


def test_a_day_at_the_desk(open_desk: Desk, open_page: Open) -> None:
    bob, alice = open_desk("bob"), open_desk("alice")
    supervisor = open_page("/operators/")

    # Both become available by a key. Idle pages are sound in light and dark, wide and narrow.
    expect(bob.locator("#state")).to_have_text("Logged Out")
    expect(bob.locator("#h-idle")).to_contain_text("Choose Available")
    assert faults_of(bob) == []
    bob.emulate_media(color_scheme="dark")
    bob.set_viewport_size({"width": 390, "height": 844})
    assert faults_of(bob) == []
    bob.emulate_media(color_scheme="light")
    bob.set_viewport_size({"width": 1440, "height": 900})
    for page in (bob, alice):
        expect(page.locator("#registered")).to_have_text("Phone registered", timeout=SOON)
        page.keyboard.press("F2")
        expect(page.locator("[data-status=Available]")).to_have_attribute("aria-pressed", "true")

    # A call comes with its card: whom, the script, the link, the variables.
    person = connected(bob)
    assert re.fullmatch(r"Person \d+", person)
    expect(bob.locator("#text")).to_contain_text(f"Good day {person}")
    expect(bob.get_by_role("link", name="CRM", exact=True)).to_have_attribute("href", "https://crm.example/T%207")
    expect(bob.locator("#variables a")).to_have_attribute("href", "https://crm.example/p")
    expect(bob.locator("#path [aria-current]")).to_contain_text("Connected")
    expect(bob).to_have_title(re.compile(rf"In a call · {person}$"))
    assert faults_of(bob) == []
    assert connected(alice) != person
    listen_to_alice(supervisor, alice)

    # The network goes in the call: it is said at once, and a result is kept until it is back.
    bob.context.set_offline(True)
    expect(bob.locator("#lost")).to_be_visible(timeout=1000)
    bob.keyboard.press("1")
    expect(bob.locator("#kept")).to_contain_text(f"{person}: Sold")
    bob.context.set_offline(False)
    expect(bob.locator("#lost")).to_be_hidden()
    expect(bob.locator("#given")).to_contain_text("Sold", timeout=15_000)
    expect(bob.locator("#given-word")).to_have_text(re.compile("^(Noted|Taken)"), timeout=15_000)
    expect(bob.locator("#kept")).to_be_hidden()

    # He hangs up by a key, and has the next call by another.
    bob.keyboard.press("End")
    expect(bob.locator("#state")).to_have_text("Wrap-up")
    expect(bob.locator("#call-end")).to_contain_text("You hung up")
    expect(bob.locator("#given-word")).to_have_text("Taken: Sold")
    expect(bob.locator("#day")).to_contain_text("Sold")
    bob.keyboard.press("0")

    # She says that she is not asked without a comment, and is asked for it.
    alice.keyboard.press("3")
    expect(alice.locator("#comment")).to_be_focused()
    alice.keyboard.type("Has a contract elsewhere")
    alice.keyboard.press("Escape")
    alice.keyboard.press("3")
    expect(alice.locator("#given")).to_contain_text("Not interested")

    # A reload in the wrap-up: the countdown goes on, and what was typed is there.
    second = connected(bob)
    assert second != person
    bob.locator("#comment").fill("Asks for the price of gas")
    bob.locator("#comment").press("Escape")
    bob.keyboard.press("End")
    expect(bob.locator("#left")).to_contain_text("left")
    before = seconds_left(bob)
    bob.reload()
    expect(bob.locator("#comment")).to_have_value("Asks for the price of gas")
    expect(bob.locator("#call-name")).to_have_text(second)
    expect(bob.locator("#left")).to_contain_text("left")
    assert before - 20 < seconds_left(bob) <= before
    bob.keyboard.press("=")
    expect(bob.locator("#left")).to_have_text(re.compile(r"^(1:[45]\d|2:\d\d) left"))
    assert seconds_left(bob) > before

    # A second tab takes over, and the first says so; then it is the other way round.
    other = bob.context.new_page()
    other.goto("/desk/")
    expect(bob.locator("#other-tab")).to_be_visible()
    expect(other.locator("#call-name")).to_have_text(second)
    expect(other.locator("#other-tab")).to_be_hidden()
    bob.get_by_role("button", name="Work here").click()
    expect(other.locator("#other-tab")).to_be_visible()
    expect(bob.locator("#other-tab")).to_be_hidden()
    other.close()

    # A call back for himself, by keys alone, in the other's time.
    expect(bob.locator("#outcomes button").first).to_be_visible()
    bob.bring_to_front()
    bob.keyboard.press("2")
    expect(bob.get_by_role("button", name="In 15 min")).to_be_focused()
    bob.keyboard.press("Enter")
    expect(bob.locator("#at")).to_have_value(re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d$"))
    expect(bob.locator("#zone")).to_have_text("(Europe/Kyiv)")
    due = (datetime.now(pytz.timezone("Europe/Kyiv")) + timedelta(seconds=75)).replace(second=0, microsecond=0)
    bob.locator("#at").fill(f"{due:%Y-%m-%dT%H:%M}")
    expect(bob.locator("#at-closed")).to_have_text("The calendar is open then.")
    bob.get_by_label("By me").check()
    assert faults_of(bob) == []
    bob.get_by_role("button", name="Send the result").press("Enter")
    expect(bob.locator("#given-word")).to_have_text("Taken: Call back")
    expect(bob.locator("#call-backs")).to_contain_text(second)
    expect(alice.locator("#call-backs")).not_to_contain_text(second)
    bob.emulate_media(color_scheme="dark")
    assert faults_of(bob) == []

    # A break has its reason, which is offered the next time; it holds after the wrap-up.
    bob.keyboard.press("F8")
    bob.get_by_role("textbox", name="Reason").fill("Lunch")
    bob.keyboard.press("Enter")
    bob.keyboard.press("0")
    expect(bob.locator("#state")).to_have_text("On Break")
    expect(bob.locator("#note")).to_have_text("Lunch")
    bob.keyboard.press("F8")
    expect(bob.locator("#reasons button")).to_have_text(["Lunch"])
    bob.keyboard.press("Escape")

    # The call back comes when it is due, before those who were never called.
    bob.wait_for_function("due => Date.now() > due", arg=due.timestamp() * 1000, timeout=SOON)
    bob.keyboard.press("F2")
    expect(bob.locator("#call [data-try]")).to_have_text("attempt 2", timeout=SOON)
    expect(bob.locator("#call-name")).to_have_text(second)
    for page in (bob, alice):
        page.keyboard.press("F9")
        expect(page.locator("[data-status='Logged Out']")).to_have_attribute("aria-pressed", "true")
