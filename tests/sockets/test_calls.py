"""What an operator's client is told of his calls, and what it may ask."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection

from agents.models import Operator, OperatorState, OperatorStatus
from campaigns.models import Campaign, CampaignState, ConnectOrder
from dialer import clock
from dialer.engine import calls, results
from dialer.models import Attempt, OperatorTry, ResultState
from dialer.sockets import actions, consumers, hub, views
from dialer.sockets.models import Client
from dialer.sockets.teller import LAYER
from members.models import Member
from tests import factories
from tests.engine.story import Story
from tests.sockets.conftest import Opener, Screen, Web, eventually, free_port, key_of


@pytest.fixture
def woken_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read again by itself: what is told must have been woken for."""
    monkeypatch.setattr(hub, "READ_EVERY", 600)


def a_story(**campaign: Any) -> Story:
    """A call that is sent, whose operator logs in as bob; the campaign waits for results."""
    user = User.objects.create_user("bob")
    return Story(
        operator={"user": user, "wrap_up_time": 20},
        member={"name": "Olha", "external_id": "crm-7", "variables": {"debt": 20000}},
        **{"wait_for_result": True, "wrap_up_time": 45, **campaign},
    )


def screen_of(story: Story, opened: Opener, **options: Any) -> Screen:
    screen = opened(headers=key_of(story.operator.user), **options)
    screen.until("snapshot")
    return screen


@pytest.mark.usefixtures("woken_alone")
def test_a_call_from_ringing_to_its_result(opened: Opener) -> None:
    story = a_story()
    screen = screen_of(story, opened)
    story.operator_rings()
    call = screen.until("call")
    assert call["attempt"] == story.attempt.pk
    assert (call["name"], call["external_id"], call["variables"]) == ("Olha", "crm-7", {"debt": 20000})
    assert call["number"] == story.member.communications.get().number
    assert call["campaign"] == {"id": story.campaign.pk, "name": story.campaign.name}
    assert screen.until("state")["state"] == "Receiving"
    story.bridged(5)
    assert screen.until("connected")["attempt"] == story.attempt.pk
    assert screen.until("result_wanted")["until"] is None
    story.both_end(35)
    ended = screen.until("ended")
    assert (ended["cause"], ended["talk"]) == ("NORMAL_CLEARING", 30)
    wanted = screen.until("result_wanted")
    assert wanted["until"] == views._iso(story.at(35 + 45))
    assert screen.until("state")["state"] == "Wrap up"
    answer = screen.ask("result", attempt=story.attempt.pk, success=True, comment="sold")
    assert (answer["ok"], answer["result"]) == (True, "applied")
    assert screen.until("result_taken", attempt=story.attempt.pk)["applied"]
    assert Member.objects.get(pk=story.member.pk).success
    assert screen.ask("ready")["ok"]
    assert screen.until("state")["state"] == "Waiting"


@pytest.mark.usefixtures("woken_alone")
def test_a_result_during_the_call_is_stored_and_applied_at_its_end(opened: Opener) -> None:
    story = a_story()
    screen = screen_of(story, opened)
    story.bridged(5)
    screen.until("result_wanted")
    assert screen.ask("result", attempt=story.attempt.pk, success=True)["result"] == "stored"
    assert not screen.until("result_taken")["applied"]
    story.both_end(35)
    assert screen.until("result_taken")["applied"]


@pytest.mark.usefixtures("woken_alone")
def test_a_result_that_does_not_come_is_told_to_have_timed_out(opened: Opener) -> None:
    story = a_story(wrap_up_time=0)
    story.talk(30)
    screen = screen_of(story, opened)
    Attempt.objects.update(result_deadline=clock.now() - timedelta(seconds=1))
    assert results.time_out(story.attempt.pk)
    assert screen.until("result_timed_out")["attempt"] == story.attempt.pk


def test_every_message_has_the_next_number(opened: Opener) -> None:
    story = a_story()
    screen = opened(headers=key_of(story.operator.user))
    screen.say(type="call_centre_mode", on=True)
    seen = [screen.receive()]
    story.bridged(5)
    # Which of them is told first is nobody's to say.
    while not {"answer", "state", "call", "connected"} <= {message["type"] for message in seen}:
        seen.append(screen.receive())
    assert seen[0]["type"] == "snapshot"
    assert [message["seq"] for message in seen] == list(range(1, len(seen) + 1))


@pytest.mark.usefixtures("woken_alone")
def test_a_client_that_comes_back_sees_the_call_that_it_missed(opened: Opener) -> None:
    story = a_story()
    screen_of(story, opened).connection.close()
    story.bridged(5)
    screen = opened(headers=key_of(story.operator.user))
    (call,) = screen.until("snapshot")["calls"]
    assert call["connected_at"]
    assert call["result_wanted"]
    screen.connection.close()
    story.both_end(35)
    (call,) = opened(headers=key_of(story.operator.user)).until("snapshot")["calls"]
    assert (call["cause"], call["talk"], call["result"]) == ("NORMAL_CLEARING", 30, ResultState.AWAITED)


@pytest.mark.usefixtures("woken_alone")
def test_the_first_message_says_by_which_clock_its_times_are(bob: Operator, opened: Opener) -> None:
    before = clock.now()
    told = opened(headers=key_of(bob.user)).until("snapshot")
    assert before <= datetime.fromisoformat(told["now"]) <= clock.now()
    assert told["clock_factor"] == clock.FACTOR


@pytest.mark.usefixtures("woken_alone")
def test_all_clients_of_an_operator_are_told(opened: Opener) -> None:
    story = a_story()
    screens = [screen_of(story, opened) for _ in range(2)]
    story.operator_rings()
    assert [screen.until("call")["attempt"] for screen in screens] == [story.attempt.pk] * 2


def test_without_a_broker_it_takes_seconds(settings: Any, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "READ_EVERY", 0.3)
    backend = settings.CHANNEL_LAYERS[LAYER]["BACKEND"]
    settings.CHANNEL_LAYERS = {LAYER: {"BACKEND": backend, "CONFIG": {"hosts": ["unix:///nowhere/redis.sock"]}}}
    story = a_story()
    screen = screen_of(story, opened)
    story.talk(30)
    assert screen.until("call")["attempt"] == story.attempt.pk
    assert screen.until("ended")["talk"] == 30


@pytest.mark.usefixtures("woken_alone")
def test_a_call_is_told_from_its_reservation_on_through_its_stages(opened: Opener) -> None:
    story = a_story()
    Attempt.objects.update(counted_before=1)
    screen = opened(headers=key_of(story.operator.user))
    (reserved,) = screen.until("snapshot")["calls"]
    assert (reserved["stage"], reserved["attempt_number"], reserved["ringing_at"]) == ("reserved", 2, None)
    assert (reserved["name"], reserved["time_zone"]) == ("Olha", story.campaign.calendar.time_zone)
    story.operator_rings()
    assert screen.until("call")["stage"] == "ringing"
    story.operator_answers()
    assert screen.until("stage", stage="dialling")["at"]
    story.bridged(5)
    assert screen.until("stage", stage="connected")["at"]
    story.hangs_up("subscriber", 30, "NORMAL_CLEARING", by_phone=True)
    story.hangs_up("operator", 30, "NORMAL_CLEARING")
    assert screen.until("ended")["ended_by"] == "subscriber"


@pytest.mark.usefixtures("woken_alone")
def test_one_that_is_withdrawn_before_his_phone_rang_ends_on_his_screen(opened: Opener) -> None:
    story = a_story()
    Attempt.objects.update(sending_at=None)
    screen = screen_of(story, opened)
    assert calls.withdraw(story.attempt.pk)
    assert screen.until("ended")["attempt"] == story.attempt.pk
    assert opened(headers=key_of(story.operator.user)).until("snapshot")["calls"] == []


@pytest.mark.usefixtures("woken_alone")
def test_he_may_extend_his_wrap_up_and_the_time_for_the_result_as_far_as_the_campaign_allows(opened: Opener) -> None:
    story = a_story(wrap_up_extension=50)
    story.talk(30)
    screen = opened(headers=key_of(story.operator.user))
    (call,) = screen.until("snapshot")["calls"]
    assert call["result_extendable"] == 50
    screen.say(type="extend", id=1, attempt=story.attempt.pk, seconds=30)
    answer = screen.until("answer")
    assert answer["result_until"] == story.at(35 + 45 + 30).isoformat()
    assert answer["wrap_up_until"] == story.at(35 + 20 + 30).isoformat()
    assert screen.until("result_wanted")["until"] > call["result_until"]
    screen.say(type="extend", id=2, attempt=story.attempt.pk, seconds=30)
    assert "20 s more" in screen.until("answer")["problem"]["detail"]


@pytest.mark.usefixtures("woken_alone")
def test_of_several_desks_the_one_that_asked_last_leads(bob: Operator, opened: Opener) -> None:
    first, second = (opened(headers=key_of(bob.user)) for _ in range(2))
    ids = [screen.until("snapshot")["client"] for screen in (first, second)]
    first.say(type="take_over")
    assert second.until("state")["leader"] == ids[0]
    second.say(type="take_over")
    assert first.until("state", leader=ids[1])
    second.connection.close()
    assert first.until("state", leader=ids[0]), "he who is left leads again"


def test_a_break_has_its_reason(bob: Operator, opened: Opener) -> None:
    screen = opened(headers=key_of(bob.user))
    screen.say(type="status", status="On Break", reason="Lunch")
    assert screen.until("state", status="On Break")["reason"] == "Lunch"


@pytest.mark.usefixtures("woken_alone")
def test_a_call_that_another_took_ends_for_him(opened: Opener) -> None:
    story = a_story()
    Attempt.objects.update(connect_order=ConnectOrder.SUBSCRIBER_FIRST, operator_ringing_at=clock.now())
    screen = screen_of(story, opened)
    OperatorTry.objects.create(
        attempt=story.attempt, operator=story.operator, uuid=story.attempt.operator_uuid, reserved_at=story.start,
        ended_at=story.at(9), cause="NO_ANSWER",
    )  # fmt: skip
    other = factories.make_operator(story.campaign)
    Operator.objects.filter(pk=story.operator.pk).update(state=OperatorState.WAITING, current_attempt=None)
    Attempt.objects.update(operator=other)
    screen.say(type="status", status="Available")
    ended = screen.until("ended")
    assert (ended["attempt"], ended["cause"], ended["talk"]) == (story.attempt.pk, "NO_ANSWER", 0)


def test_his_campaigns_are_told(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "READ_EVERY", 0.2)
    story = a_story()
    screen = screen_of(story, opened)
    Campaign.objects.update(state=CampaignState.STOPPING)
    assert screen.until("campaign")["state"] == "stopping"
    story.operator.tiers.all().delete()
    assert screen.until("campaign")["assigned"] is False


# --- commands ---------------------------------------------------------------------------------------------------


def test_a_status_is_chosen(bob: Operator, opened: Opener) -> None:
    screen = opened(headers=key_of(bob.user))
    screen.until("snapshot")
    assert screen.ask("status", status="On Break")["ok"]
    assert screen.until("state")["status"] == "On Break"
    bob.refresh_from_db()
    assert bob.status == OperatorStatus.ON_BREAK


def test_a_call_is_hung_up(opened: Opener) -> None:
    story = a_story()
    screen = screen_of(story, opened)
    story.bridged(5)
    assert screen.ask("hang_up", attempt=story.attempt.pk)["ok"]
    attempt = Attempt.objects.get()
    assert (attempt.kill_reason, attempt.killed_by) == ("person", story.operator.user)


@pytest.mark.parametrize(
    ("command", "code", "field"),
    [
        ({"type": "dance"}, "INVALID", "type"),
        ({"type": "status"}, "INVALID", "status"),
        ({"type": "status", "status": "Asleep"}, "INVALID", "status"),
        ({"type": "status", "status": "On Break", "until": 5}, "INVALID", "until"),
        ({"type": "ready", "now": True}, "INVALID", "now"),
        ({"type": "call_centre_mode", "on": "yes"}, "INVALID", "on"),
        ({"type": "result", "success": True}, "INVALID", "attempt"),
        ({"type": "result", "success": "yes", "attempt": "OWN"}, "INVALID", "success"),
        ({"type": "result", "success": True, "attempt": "OWN"}, "NOT_CONNECTED", None),
        ({"type": "result", "success": True, "attempt": 10**30}, "INVALID", "attempt"),
        ({"type": "result", "success": True, "attempt": 2**62}, "NOT_FOUND", None),
        ({"type": "hang_up", "attempt": True}, "INVALID", "attempt"),
        ({"type": "hang_up", "attempt": "OWN", "now": True}, "INVALID", "now"),
    ],
)
def test_what_cannot_be_done_is_answered_with_the_problem(
    opened: Opener, command: dict[str, Any], code: str, field: str | None
) -> None:
    story = a_story()
    screen = screen_of(story, opened)
    said = {name: story.attempt.pk if value == "OWN" else value for name, value in command.items()}
    answer = screen.ask(str(said.pop("type")), **said)
    assert answer["ok"] is False
    assert answer["problem"]["code"] == code
    assert set(answer["problem"]["errors"]) == ({field} if field else set())


@pytest.mark.parametrize("command", ["result", "hang_up"])
def test_the_call_of_another_is_not_his(opened: Opener, command: str) -> None:
    story = a_story()
    story.bridged(5)
    alice = factories.make_operator(user=User.objects.create_user("alice"))
    screen = opened(headers=key_of(alice.user))
    fields = {"success": True} if command == "result" else {}
    answer = screen.ask(command, attempt=story.attempt.pk, **fields)
    assert answer["problem"]["code"] == "NOT_FOUND"
    assert Attempt.objects.get().kill_reason == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"no": "type"}', '{"type": 5}', "[" * 30_000])
def test_what_is_no_message_is_answered(bob: Operator, opened: Opener, text: str) -> None:
    screen = opened(headers=key_of(bob.user))
    screen.connection.send(text)
    assert screen.until("answer")["problem"]["code"] == "PARSE_ERROR"


@pytest.mark.parametrize("message", ["x" * (consumers.LONGEST_MESSAGE + 1), b"bytes"])
def test_a_message_that_is_too_long_or_no_text_ends_it(bob: Operator, opened: Opener, message: str | bytes) -> None:
    screen = opened(headers=key_of(bob.user))
    screen.connection.send(message)
    assert screen.close_code() == consumers.TOO_LONG


def test_commands_have_a_pace(bob: Operator, opened: Opener) -> None:
    screen = opened(headers=key_of(bob.user))
    screen.until("snapshot")
    for number in range(40):
        screen.say(type="ready", id=number)
    answers = [screen.until("answer", id=number) for number in range(40)]
    refused = [answer for answer in answers if not answer["ok"]]
    assert all(answer["ok"] for answer in answers[: consumers.COMMANDS_AT_ONCE])
    assert refused
    assert {answer["problem"]["status"] for answer in refused} == {429}
    time.sleep(1)
    assert screen.ask("ready")["ok"]


def test_idle_sockets_hold_no_connection_to_the_database(bob: Operator, opened: Opener) -> None:
    for _ in range(10):
        opened(headers=key_of(bob.user)).until("snapshot")

    def held() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            return int(cursor.fetchone()[0])

    eventually(lambda: held() == 0)


# --- a web process of its own -----------------------------------------------------------------------------------


@pytest.fixture
def web_process(transactional_db: None) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run the web server as a process, with its pool, on the database of the test; give its port."""
    port = free_port()
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "dialer.asgi:application", "--port", str(port), "--lifespan", "off"],
        env=os.environ | {"DATABASE_URL": address.geturl(), "DJANGO_SETTINGS_MODULE": "dialer.settings"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield port, process
    process.kill()
    process.wait()


def connect_to_process(story: Story, opened: Opener, port: int) -> Screen:
    deadline = time.monotonic() + 30
    while True:
        try:
            return screen_of(story, opened, port=port)
        except OSError:
            assert time.monotonic() < deadline, "The web process did not start."
            time.sleep(0.1)


@pytest.mark.slow
def test_a_web_process_that_is_killed_leaves_nobody_present(
    web_process: tuple[int, subprocess.Popen[bytes]], opened: Opener
) -> None:
    port, process = web_process
    story = a_story()
    screen = connect_to_process(story, opened, port)
    story.bridged(5)
    assert screen.until("connected")["attempt"] == story.attempt.pk
    process.send_signal(signal.SIGKILL)
    process.wait()
    story.operator.refresh_from_db()
    assert story.operator.client_connected
    # He opens another window, at another process, before anybody noticed.
    another = screen_of(story, opened)
    now = clock.now() + actions.LEASE
    Client.objects.filter(expires_at__gt=now - timedelta(seconds=1)).update(expires_at=now + actions.LEASE)
    oldest = Client.objects.order_by("connected_at")[0]
    Client.objects.filter(pk=oldest.pk).update(expires_at=now)
    assert actions.sweep(now) == 0
    assert Client.objects.count() == 1
    story.operator.refresh_from_db()
    assert story.operator.client_connected
    another.connection.close()
    eventually(lambda: not Operator.objects.get(pk=story.operator.pk).client_connected)


@pytest.mark.slow
def test_the_last_one_of_a_killed_process_is_lost_when_his_lease_runs_out(
    web_process: tuple[int, subprocess.Popen[bytes]], opened: Opener
) -> None:
    port, process = web_process
    story = a_story()
    connect_to_process(story, opened, port)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert actions.sweep(clock.now() + timedelta(seconds=15)) == 0
    assert actions.sweep(clock.now() + timedelta(seconds=31)) == 1
    story.operator.refresh_from_db()
    assert not story.operator.client_connected


@pytest.mark.slow
def test_a_process_that_ends_in_order_lets_go_at_once(
    web_process: tuple[int, subprocess.Popen[bytes]], opened: Opener, web: Web
) -> None:
    port, process = web_process
    story = a_story()
    connect_to_process(story, opened, port)
    process.send_signal(signal.SIGTERM)
    process.wait(15)
    eventually(lambda: not Client.objects.exists())
    story.operator.refresh_from_db()
    assert story.operator.client_lost_at is not None
