"""The phone in the page, in a Chromium with a microphone of its own: against a registrar that is told what to say, and
against a real FreeSWITCH where FREESWITCH_URL names one that has the configuration of docker/freeswitch/test."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from agents.directory import digest_a1
from agents.models import Operator
from dialer.embedded import PROJECT
from dialer.switch import events
from dialer.switch.events import LegAnswered, LegBridged, LegHungUp
from dialer.switch.nodes import parse_nodes
from tests import factories
from tests.browser.conftest import Launch, complaint, faults_of, is_complaint
from tests.contract.stage import ANSWERS, RealStage, carrier
from tests.test_run import House, free_port

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

DOMAIN = "contract.invalid"
EXTENSION = "6000"
DIRECTORY_PORT = int(os.environ.get("CONTRACT_DIRECTORY_PORT", "8029"))
"""Where a real switch asks for its users: the port of CONTRACT_DIRECTORY."""
BROWSERS_PORT = int(os.environ.get("CONTRACT_BROWSERS_PORT", "5066"))
PROMPT = "--use-fake-ui-for-media-stream"
"""A Chromium with it lets every page have the microphone, and without it none."""


# --- who is there ---------------------------------------------------------------------------------------------------


@pytest.fixture
def speaking(launch: Launch) -> Iterator[Browser]:
    """Return a Chromium whose microphone beeps."""
    found = launch(
        PROMPT, "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required",
        "--allow-loopback-in-peer-connection",
    )  # fmt: skip
    yield found
    found.close()


@pytest.fixture
def anna(settings: Any, transactional_db: None) -> Operator:
    settings.SIP_DOMAIN = DOMAIN
    user = User.objects.create_user("anna")
    return factories.make_operator(
        user=user, name="Anna", extension=EXTENSION, phone="page", registered=False, status="logged_out", state="idle"
    )


OpenPhone = Callable[..., Page]


@pytest.fixture
def open_phone(live_server: LiveServer, anna: Operator, launch: Launch) -> Iterator[OpenPhone]:
    """Return what opens the phone of Anna in a browser; what the browser complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_phone(browser: Browser, server: str = live_server.url, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 390, "height": 844}, **options})
        contexts.append(context)
        client = Client()
        client.force_login(anna.user)  # type: ignore[arg-type]
        cookie = client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": cookie, "url": server}])
        page = context.new_page()
        page.on("console", lambda said: complaints.append(complaint(said)) if is_complaint(said) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{server}/desk/phone/")
        return page

    yield open_phone
    for context in contexts:
        context.close()
    # That a server is not there, or refuses, the browser always says.
    noted = ("WebSocket connection to", "responded with a status of 503")
    assert [said for said in complaints if not any(note in said for note in noted)] == []


def chip(page: Page) -> Any:
    return page.locator("#phone-state")


def problem(page: Page) -> Any:
    return page.get_by_role("alert")


# --- a registrar that is told what to say ---------------------------------------------------------------------------


class Registrar:
    """Answers REGISTER over WebSockets by digest log-in, as the database knows the secret."""

    def __init__(self, port: int = 0) -> None:
        self.refuses = False
        self.heard: list[str] = []
        self.logged_in: list[str] = []
        self.expires = 120
        self._server: Server = serve(self._speak, "127.0.0.1", port, subprotocols=["sip"])  # type: ignore[list-item]
        self.port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()

    def _speak(self, line: ServerConnection) -> None:
        try:
            for message in line:
                if isinstance(message, str) and message.startswith("REGISTER"):
                    line.send(self._answer(message))
        except ConnectionClosed:
            pass

    def _answer(self, request: str) -> str:
        self.heard.append(request)
        said = dict(re.findall(r'(\w+)="?([^",\r]+)"?', re.search(r"Authorization: Digest (.*)", request)[1])) if (  # type: ignore[index]
            "Authorization:" in request
        ) else {}  # fmt: skip
        extra = ""
        if self.refuses:
            status = "403 Forbidden"
        elif said and self._is_right(said):
            status = "200 OK"
            contact = re.search(r"Contact: (<[^>]+>)", request)
            extra = f"Contact: {contact[1] if contact else ''};expires={self.expires}\r\n"
            if "\r\nExpires: 0\r\n" not in request:
                self.logged_in.append(said["response"])
        elif said:
            status = "403 Forbidden"
        else:
            status = "401 Unauthorized"
            extra = (
                f'WWW-Authenticate: Digest realm="{DOMAIN}", nonce="{len(self.heard)}", algorithm=MD5, qop="auth"\r\n'
            )
        kept = "".join(
            f"{line}\r\n" for line in request.split("\r\n") if re.match("(Via|From|To|Call-ID|CSeq):", line)
        ).replace(f"To: <sip:{EXTENSION}@{DOMAIN}>", f"To: <sip:{EXTENSION}@{DOMAIN}>;tag=r")
        return f"SIP/2.0 {status}\r\n{kept}{extra}Content-Length: 0\r\n\r\n"

    @staticmethod
    def _is_right(said: dict[str, str]) -> bool:
        """Tell whether a log-in was made with the secret whose hash the dialer keeps (RFC 2617)."""
        a1 = Operator.objects.get(extension=said["username"]).page_phone_a1
        connection.close()  # of this thread
        a2 = digest_a1("REGISTER", "sip", DOMAIN)
        expected = digest_a1(a1, said["nonce"], f"{said['nc']}:{said['cnonce']}:auth:{a2}")
        return said["response"] == expected


@pytest.fixture
def registrar(settings: Any) -> Iterator[Registrar]:
    registrar = Registrar()
    settings.PHONE_WSS_URL = registrar.address
    yield registrar
    registrar.close()


def test_it_registers_with_a_secret_of_its_own(registrar: Registrar, speaking: Browser, open_phone: OpenPhone) -> None:
    page = open_phone(speaking)
    expect(chip(page)).to_have_text("Ready")
    assert len(registrar.logged_in) == 1
    expect(problem(page)).to_have_count(0)
    # The microphone is not open while nobody speaks.
    expect(page.locator("#phone-mic-level")).to_have_js_property("value", 0)

    # Another window of this browser may have it instead; the first one says so and can take it back.
    other = page.context.new_page()
    other.goto(page.url)
    expect(chip(other)).to_have_text("In another window")
    other.get_by_role("button", name="Use it here").click()
    expect(chip(other)).to_have_text("Ready")
    expect(chip(page)).to_have_text("In another window")
    expect(problem(page)).to_contain_text("calls ring there")
    assert len(registrar.logged_in) == 2

    # The desk lets it go and takes it back.
    other.evaluate("document.dispatchEvent(new Event('desk:rests'))")
    expect(chip(other)).to_have_text("Off")
    other.evaluate("document.dispatchEvent(new Event('desk:leads'))")
    expect(chip(other)).to_have_text("Ready")


def test_it_registers_on_with_the_next_secret(
    registrar: Registrar, settings: Any, speaking: Browser, open_phone: OpenPhone, anna: Operator
) -> None:
    registrar.expires = 10  # the least that is kept; it registers anew after five seconds
    settings.PHONE_LOGIN_MINUTES = 0.1
    page = open_phone(speaking)
    expect(chip(page)).to_have_text("Ready")
    anna.refresh_from_db()
    first = anna.page_phone_a1
    deadline = time.monotonic() + 20
    while len(registrar.logged_in) < 3:
        assert time.monotonic() < deadline
        page.wait_for_timeout(200)
        assert page.evaluate("DialerPhone.state") == "ready"
    anna.refresh_from_db()
    assert anna.page_phone_a1 != first


def test_a_refusal_says_what_to_do_and_is_tried_again(
    registrar: Registrar, speaking: Browser, open_phone: OpenPhone
) -> None:
    registrar.refuses = True
    page = open_phone(speaking)
    expect(chip(page)).to_have_text("Not registered")
    expect(problem(page)).to_contain_text("refused the registration (403)")
    registrar.refuses = False
    page.get_by_role("button", name="Try again").click()
    expect(chip(page)).to_have_text("Ready")
    expect(problem(page)).to_have_count(0)


def test_it_comes_back_when_the_server_does(
    registrar: Registrar, settings: Any, speaking: Browser, open_phone: OpenPhone
) -> None:
    page = open_phone(speaking)
    expect(chip(page)).to_have_text("Ready")
    registrar.close()
    expect(chip(page)).to_have_text("No connection")
    expect(problem(page)).to_contain_text("The phone server cannot be reached, so no call comes to you")
    expect(problem(page)).to_contain_text(registrar.address)
    again = Registrar(registrar.port)
    try:
        expect(chip(page)).to_have_text("Ready", timeout=20_000)
        expect(problem(page)).to_have_count(0)
    finally:
        again.close()


def test_a_secret_given_elsewhere_leaves_it_to_that_window(
    registrar: Registrar, speaking: Browser, open_phone: OpenPhone
) -> None:
    registrar.expires = 10  # the least that is kept; it registers anew after five seconds
    page = open_phone(speaking)
    expect(chip(page)).to_have_text("Ready")
    other = open_phone(speaking)
    expect(chip(other)).to_have_text("Ready")
    expect(chip(page)).to_have_text("In another window", timeout=20_000)
    expect(page.get_by_role("button", name="Use it here")).to_be_visible()


def test_without_a_microphone_it_takes_no_calls_and_says_what_to_do(
    registrar: Registrar, launch: Launch, open_phone: OpenPhone
) -> None:
    for options, told in [
        (("--use-fake-device-for-media-stream",), "The browser may not use your microphone"),
        ((PROMPT,), "No microphone was found"),
    ]:
        page = open_phone(launch(*options))
        expect(chip(page)).to_have_text("Not ready")
        expect(problem(page)).to_contain_text(told)
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert registrar.heard == []


def test_what_is_not_set_up_says_who_can(settings: Any, speaking: Browser, open_phone: OpenPhone) -> None:
    settings.PHONE_WSS_URL = ""
    page = open_phone(speaking)
    expect(problem(page)).to_contain_text("PHONE_WSS_URL is not set")


@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_phone_has_no_serious_fault(
    registrar: Registrar, speaking: Browser, open_phone: OpenPhone, look: str
) -> None:
    page = open_phone(speaking, color_scheme=look)
    expect(chip(page)).to_have_text("Ready")
    page.get_by_text("Devices").click()
    page.get_by_role("button", name="Test").click()
    expect(page.locator("#phone-mic-level")).not_to_have_js_property("value", 0)
    assert faults_of(page) == []


# --- a real switch --------------------------------------------------------------------------------------------------

real = pytest.mark.skipif("FREESWITCH_URL" not in os.environ, reason="no FREESWITCH_URL names a real switch")


@pytest.fixture
def stage() -> Iterator[RealStage]:
    stage = RealStage(parse_nodes(os.environ["FREESWITCH_URL"])[0])
    stage.raw.subscribe(["CHANNEL_HANGUP_COMPLETE", "DTMF"])
    yield stage
    stage.close()


@pytest.fixture
def house(settings: Any, anna: Operator) -> Iterator[LiveServer]:
    """Return the dialer's web where the switch asks for its users."""
    settings.PHONE_WSS_URL = f"ws://127.0.0.1:{BROWSERS_PORT}"
    settings.DIRECTORY_PASSWORD = os.environ.get("CONTRACT_PASSWORD", "ClueCon")
    server = LiveServer(f"127.0.0.1:{DIRECTORY_PORT}")
    yield server
    server.stop()


COUNTS = """async () => {
  const found = {};
  for (const item of (await DialerPhone.connection.getStats()).values()) {
    if (item.type === "inbound-rtp") Object.assign(found, {got: item.packetsReceived, heard: item.totalAudioEnergy});
    if (item.type === "outbound-rtp") found.sent = item.packetsSent;
    if (item.type === "transport") found.encrypted = item.dtlsState;
  }
  return found;
}"""


def packets(stage: RealStage, leg: UUID) -> dict[str, int]:
    """Return how many packets of sound the switch counted on a leg that has ended."""
    event = stage.receive_raw("CHANNEL_HANGUP_COMPLETE", leg)
    return {way: int(event.get(f"variable_rtp_audio_{way}_media_packet_count") or 0) for way in ("in", "out")}


def registered(stage: RealStage) -> str:
    return stage.raw.api("sofia status profile internal reg")


def sent_on(stage: RealStage, leg: UUID) -> str:
    """Return how the switch says that a leg has ended which sent its call elsewhere."""
    told = events.parse(stage.receive_raw("CHANNEL_HANGUP_COMPLETE", leg))
    assert isinstance(told, LegHungUp)
    return told.sent_on


@real
@pytest.mark.switch
def test_a_call_through_a_real_switch(
    house: LiveServer, stage: RealStage, speaking: Browser, open_phone: OpenPhone, anna: Operator
) -> None:
    page = open_phone(speaking, house.url)
    expect(chip(page)).to_have_text("Ready")
    assert f"{EXTENSION}@{DOMAIN}" in registered(stage)
    assert "transport=ws" in registered(stage)

    # As the dialer calls: first the operator, whose phone answers by itself, then the subscriber, who plays a tone.
    story = stage.operator_first(carrier(ANSWERS), operator=EXTENSION)
    stage.hear(story, LegAnswered, "operator")
    stage.hear(story, LegBridged)
    expect(page.locator("#phone-call-state")).to_have_text("talking")
    time.sleep(5)
    counted = page.evaluate(COUNTS)
    assert counted["got"] > 150, counted
    assert counted["sent"] > 150, counted
    assert counted["encrypted"] == "connected"
    assert counted["heard"] > 0, "the subscriber's tone"
    expect(page.locator("#phone-quality-word")).to_have_text("good")
    expect(page.locator("#phone-sound-level")).not_to_have_js_property("value", 0)

    # Muted and held by keys; keys that the other side hears.
    page.keyboard.press("m")
    expect(page.get_by_role("button", name="Mute")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("m")
    page.keyboard.press("h")
    expect(page.locator("#phone-call-state")).to_have_text("on hold")
    page.keyboard.press("h")
    expect(page.locator("#phone-call-state")).to_have_text("talking")
    page.get_by_role("button", name="Keys").click()
    for key in "4#":
        page.get_by_role("button", name=key, exact=True).click()
    assert stage.receive_raw("DTMF", story.plan.operator_uuid).get("DTMF-Digit") == "4"
    assert stage.receive_raw("DTMF", story.plan.operator_uuid).get("DTMF-Digit") == "#"
    assert faults_of(page) == []

    # A headset that is pulled out: the call goes on with what microphone there is.
    sent = page.evaluate(COUNTS)["sent"]
    page.evaluate("DialerPhone.connection.getSenders()[0].track.dispatchEvent(new Event('ended'))")
    expect(problem(page)).to_contain_text("this call goes on with another one")
    page.wait_for_timeout(2000)
    assert page.evaluate(COUNTS)["sent"] > sent + 50

    page.get_by_role("button", name="Hang up").click()
    assert stage.hear(story, LegHungUp, "operator").cause == "NORMAL_CLEARING"
    expect(page.locator("#phone-call")).to_be_hidden()
    expect(page.locator("#phone-mic-level")).to_have_js_property("value", 0)
    told = packets(stage, story.plan.operator_uuid)
    assert told["in"] > 150, told
    assert told["out"] > 150, told

    # Answered by hand, and refused by hand.
    page.get_by_text("Devices").click()
    page.get_by_label("Answer by itself").uncheck()
    story = stage.operator_first(carrier(ANSWERS), operator=EXTENSION)
    expect(page.locator("#phone-call-state")).to_have_text("rings")
    assert not story.all(LegAnswered)
    page.get_by_role("button", name="Answer", exact=True).click()
    stage.hear(story, LegBridged)
    page.get_by_role("button", name="Hang up").click()
    stage.hear(story, LegHungUp, "operator")
    story = stage.operator_first(carrier(ANSWERS), operator=EXTENSION)
    page.get_by_role("button", name="Hang up").click()
    assert stage.hear(story, LegHungUp, "operator").cause == "CALL_REJECTED"


@real
@pytest.mark.switch
def test_a_call_is_sent_on_through_a_real_switch(
    house: LiveServer, settings: Any, stage: RealStage, speaking: Browser, open_phone: OpenPhone
) -> None:
    settings.PHONE_TRANSFERS = True
    page = open_phone(speaking, house.url)
    expect(chip(page)).to_have_text("Ready")

    # At once, to one who is busy: the switch sends the subscriber on and lets the operator go.
    story = stage.operator_first(carrier(ANSWERS), operator=EXTENSION)
    stage.hear(story, LegBridged)
    page.get_by_role("button", name="Transfer", exact=True).click()
    page.get_by_role("button", name="Transfer now").click()
    expect(page.locator("#phone-transfer-note")).to_contain_text("Type an extension or a number")
    page.get_by_label("Extension or number").fill("203000000")
    page.get_by_role("button", name="Transfer now").click()
    assert sent_on(stage, story.plan.operator_uuid) == "BLIND_TRANSFER"
    assert stage.hear(story, LegHungUp, "subscriber").cause == "USER_BUSY", "he went where the number says"
    expect(page.locator("#phone-call")).to_be_hidden()

    # After asking: the call waits, the second one is spoken to, then the two are brought together.
    story = stage.operator_first(carrier(ANSWERS), operator=EXTENSION)
    stage.hear(story, LegBridged)
    page.get_by_role("button", name="Transfer", exact=True).click()
    page.get_by_label("Extension or number").fill("103000000")
    page.get_by_role("button", name="Ask first").click()
    expect(page.locator("#phone-transfer-note")).to_contain_text("The call waits while you ask 103000000")
    expect(page.locator("#phone-call-state")).to_have_text("talking")
    expect(page.locator("#phone-who")).to_have_text("103000000")
    page.get_by_role("button", name="Connect the two").click()
    assert sent_on(stage, story.plan.operator_uuid) == "ATTENDED_TRANSFER"
    expect(page.locator("#phone-call")).to_be_hidden()
    stage.pass_time(1)
    assert not story.all(LegHungUp, "subscriber"), "he talks on with the other one"

    # Who is not reached is told, and the call is there again.
    story = stage.operator_first(carrier(ANSWERS), operator=EXTENSION)
    stage.hear(story, LegBridged)
    page.get_by_role("button", name="Transfer", exact=True).click()
    page.get_by_label("Extension or number").fill("203000000")
    page.get_by_role("button", name="Ask first").click()
    expect(page.locator("#phone-transfer-note")).to_contain_text("203000000 was not reached: Busy")
    expect(page.locator("#phone-call-state")).to_have_text("talking")
    page.get_by_role("button", name="Hang up").click()
    stage.hear(story, LegHungUp, "operator")


# --- the whole product with a real switch ---------------------------------------------------------------------------

PREPARE = """
from django.contrib.auth.models import User
from agents import actions as agents
from campaigns import actions
from campaigns.models import Calendar, CalendarRange, Gateway, Route
from members import actions as members
calendar = Calendar.objects.create(name="Always", time_zone="UTC")
for day in range(1, 8):
    CalendarRange.objects.create(calendar=calendar, weekday=day, start=0, end=1440)
Route.objects.create(gateway=Gateway.objects.create(name="contract"))
campaign = actions.create_campaign(name="Winter offer", calendar=calendar, limit=2, min_duration=1)
user = User.objects.create_user("anna", password="correct horse battery")
anna = agents.create_operator(name="Anna", extension="6000", user=user, phone="page", wrap_up_time=0)
agents.set_tiers(campaign.pk, {anna.pk: (1, 1)})
members.add_members(campaign, [{"communications": [{"number": "103000000" + last}]} for last in "012"])
actions.run(campaign.pk)
agents.set_status(anna.pk, "available")
"""
LEDGER = """
import json
from dialer.models import Attempt
told = [(call.talk_seconds, call.subscriber_cause, call.ended_by) for call in Attempt.objects.order_by("pk")]
print("TOLD" + json.dumps(told))
"""


def ask_django(house: House, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code], cwd=PROJECT, env=house.env, text=True, capture_output=True,
        timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def product() -> Iterator[House]:
    """Start everything on the real switch, which asks this product for its users."""
    base = Path("/var/tmp", f"progressive-dialer-tests-{os.getpid()}-{time.monotonic_ns()}")
    house = House(base, DIRECTORY_PORT, free_port())
    house.env |= {
        "SIP_DOMAIN": DOMAIN, "DIRECTORY_PASSWORD": os.environ.get("CONTRACT_PASSWORD", "ClueCon"),
        "PHONE_WSS_URL": f"ws://127.0.0.1:{BROWSERS_PORT}", "PHONE_TRANSFERS": "true",
    }  # fmt: skip
    house.run()
    try:
        house.wait_for("Ctrl-C ends it")
        yield house
    finally:
        house.end()
        house.assert_gone()
        shutil.rmtree(base, ignore_errors=True)


@real
@pytest.mark.switch
def test_a_campaign_calls_through_the_page(product: House, stage: RealStage, speaking: Browser) -> None:
    ask_django(product, PREPARE)
    page = speaking.new_context().new_page()
    page.goto(f"{product.web}login/?next=/desk/phone/")
    page.get_by_label("User name").fill("anna")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Log in").click()
    expect(chip(page)).to_have_text("Ready", timeout=15_000)

    # The dial loop finds her phone registered, rings it, and brings a subscriber to it.
    expect(page.locator("#phone-call-state")).to_have_text("talking", timeout=30_000)
    page.wait_for_timeout(3000)
    assert page.evaluate(COUNTS)["heard"] > 0
    page.get_by_role("button", name="Hang up").click()

    # The next one is sent on. She is free at once and has the third, while those two talk on, longer than the dialer
    # leaves a leg alone.
    expect(page.locator("#phone-time")).to_have_text(re.compile("0:0[123]"), timeout=30_000)
    page.get_by_role("button", name="Transfer", exact=True).click()
    page.get_by_label("Extension or number").fill("103000000")
    page.get_by_role("button", name="Transfer now").click()
    expect(page.locator("#phone-call")).to_be_hidden()
    expect(page.locator("#phone-call-state")).to_have_text("talking", timeout=30_000)
    page.wait_for_timeout(9000)
    page.get_by_role("button", name="Hang up").click()
    expect(page.locator("#phone-call")).to_be_hidden()
    page.wait_for_timeout(2000)
    left = stage.raw.api("show channels count")
    try:
        assert not left.strip().startswith("0 total"), "the two talk on"
        told = json.loads(ask_django(product, LEDGER).partition("TOLD")[2])
        assert [row[1] for row in told] == ["NORMAL_CLEARING", "BLIND_TRANSFER", "NORMAL_CLEARING"], told
        assert all(talk > 0 for talk, _, _ in told), told
        assert told[0][2] == "operator"
    finally:
        stage.raw.api("hupall NORMAL_CLEARING")
