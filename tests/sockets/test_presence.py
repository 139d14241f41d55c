"""Who is present: connections of clients, their signs of life, and the end of both."""

from __future__ import annotations

import time
import urllib.request
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from websockets.exceptions import InvalidStatus

from agents import actions as agents
from agents.models import Operator, OperatorStatus
from dialer import clock
from dialer.api.models import AccessKey
from dialer.sockets import actions, consumers, hub
from dialer.sockets.models import Client
from tests import factories
from tests.sockets.conftest import Opener, Screen, Web, cookie_of, eventually, key_of


def is_present(operator: Operator) -> bool:
    operator.refresh_from_db()
    return operator.client_connected


def opened_for(bob: Operator, opened: Opener) -> Screen:
    screen = opened(headers=key_of(bob.user))
    screen.until("snapshot")
    return screen


def test_who_connects_is_present_and_sees_everything_first(bob: Operator, opened: Opener) -> None:
    screen = opened(headers=key_of(bob.user))
    first = screen.receive()
    assert (first["type"], first["seq"]) == ("snapshot", 1)
    assert first["state"]["status"] == "Available"
    assert first["state"]["state"] == "Waiting"
    assert first["calls"] == []
    assert [campaign["state"] for campaign in first["campaigns"]] == ["idle"]
    assert is_present(bob)


def test_connection_and_call_centre_mode_are_both_needed(bob: Operator, opened: Opener) -> None:
    def free() -> bool:
        return Operator.objects.free(clock.now()).filter(pk=bob.pk).exists()

    assert not free()
    screen = opened_for(bob, opened)
    assert not free()
    assert screen.ask("call_centre_mode", on=True)["ok"]
    assert screen.until("state")["call_centre_mode"]
    assert free()
    screen.connection.close()
    eventually(lambda: not free())


def test_who_is_marked_present_without_any_client_is_lost(bob: Operator) -> None:
    agents.client_connected(bob.pk)
    assert actions.sweep(clock.now()) == 1
    assert not is_present(bob)


def test_he_is_lost_with_the_last_of_several_clients(bob: Operator, opened: Opener) -> None:
    first, second = opened_for(bob, opened), opened_for(bob, opened)
    first.connection.close()
    eventually(lambda: Client.objects.count() == 1)
    assert is_present(bob)
    second.connection.close()
    eventually(lambda: not is_present(bob))
    assert bob.client_lost_at is not None


def test_a_lost_one_is_logged_out_after_the_grace_unless_he_comes_back(bob: Operator, opened: Opener) -> None:
    opened_for(bob, opened).connection.close()
    eventually(lambda: not is_present(bob))
    agents.lose_clients(clock.now() + timedelta(seconds=55))
    bob.refresh_from_db()
    assert bob.status == OperatorStatus.AVAILABLE
    screen = opened_for(bob, opened)
    agents.lose_clients(clock.now() + timedelta(seconds=65))
    bob.refresh_from_db()
    assert bob.status == OperatorStatus.AVAILABLE
    screen.connection.close()
    eventually(lambda: not is_present(bob))
    agents.lose_clients(clock.now() + timedelta(seconds=65))
    bob.refresh_from_db()
    assert bob.status == OperatorStatus.LOGGED_OUT


def test_a_client_that_gives_no_sign_of_life_is_lost(
    bob: Operator, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "PING_EVERY", 0.1)
    monkeypatch.setattr(consumers, "SILENT_AFTER", 0.5)
    answers, silent = opened_for(bob, opened), opened_for(bob, opened)
    silent.alive = False
    since = time.monotonic()
    pings = 0
    while time.monotonic() - since < 1.2:
        pings += answers.receive()["type"] == "ping"
    assert pings > 5
    assert silent.close_code() == consumers.SILENT
    assert Client.objects.count() == 1
    assert is_present(bob)
    answers.alive = False
    assert answers.close_code() == consumers.SILENT
    assert not is_present(bob)


def test_a_lease_runs_on_while_the_client_is_there(
    bob: Operator, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "RENEW_EVERY", 0.1)
    opened_for(bob, opened)
    expired = clock.now() - timedelta(seconds=1)
    Client.objects.update(expires_at=expired)
    eventually(lambda: Client.objects.filter(expires_at__gt=clock.now() + timedelta(seconds=20)).exists())
    # One that was swept, since its process stood still, begins anew.
    Client.objects.update(expires_at=expired)
    actions.sweep(clock.now())
    eventually(lambda: is_present(bob) and Client.objects.count() == 1)


def test_a_lease_that_ran_out_loses_him_unless_he_has_another(bob: Operator) -> None:
    first, second = Client(), Client()
    actions.connect(first.pk, bob.pk)
    actions.connect(second.pk, bob.pk)
    now = clock.now()
    Client.objects.filter(pk=first.pk).update(expires_at=now)
    assert actions.sweep(now) == 0
    assert is_present(bob)
    assert Client.objects.get() == second
    assert actions.sweep(now + timedelta(seconds=31)) == 1
    assert not is_present(bob)
    actions.disconnect(second.pk, bob.pk)
    assert actions.sweep(now + timedelta(hours=1)) == 0


# --- who may ----------------------------------------------------------------------------------------------------


def test_a_wrong_token_opens_nothing(bob: Operator, opened: Opener) -> None:
    screen = opened(headers=key_of(bob.user) | {"X-Access-Token": "wrong"})
    assert screen.receive()["problem"]["code"] == "NOT_AUTHENTICATED"
    assert screen.close_code() == consumers.NOT_LOGGED_IN
    assert not is_present(bob)


def test_the_first_message_may_log_in(bob: Operator, opened: Opener) -> None:
    key = key_of(bob.user)
    screen = opened()
    assert screen.receive()["type"] == "login_wanted"
    screen.say(type="login", key=key["X-Key"], token=key["X-Access-Token"])
    assert screen.receive()["type"] == "snapshot"
    assert is_present(bob)


@pytest.mark.parametrize(
    "said",
    [
        {"type": "ready"},
        {"type": "login"},
        {"type": "login", "key": "x", "token": "y"},
        {"type": "login", "key": 5, "token": None},
    ],
)
def test_anything_else_first_is_refused(bob: Operator, opened: Opener, said: dict[str, object]) -> None:
    screen = opened()
    screen.say(**said)
    assert screen.close_code() == consumers.NOT_LOGGED_IN


def test_who_does_not_log_in_is_let_go(web: Web, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "LOG_IN_WITHIN", 0.2)
    assert opened().close_code() == consumers.NOT_LOGGED_IN


def test_a_session_opens_for_pages_of_ours_alone(bob: Operator, web: Web, opened: Opener) -> None:
    assert isinstance(bob.user, User)
    cookie = cookie_of(bob.user)
    assert opened(headers=cookie, origin=f"http://127.0.0.1:{web.port}").receive()["type"] == "snapshot"
    for origin in ("http://evil.example.org", f"http://127.0.0.1:{web.port + 1}", None):
        assert opened(headers=cookie, origin=origin).receive()["type"] == "login_wanted"


def test_an_account_without_an_operator_is_refused(web: Web, opened: Opener) -> None:
    screen = opened(headers=key_of(User.objects.create_superuser("olena")))
    assert screen.receive()["problem"]["code"] == "PERMISSION_DENIED"
    assert screen.close_code() == consumers.NOT_ALLOWED


def test_an_archived_operator_is_refused(bob: Operator, opened: Opener) -> None:
    agents.update_operator(bob.pk, archived=True)
    assert opened(headers=key_of(bob.user)).close_code() == consumers.NOT_ALLOWED


@pytest.mark.parametrize("end", ["key", "account", "operator", "password"])
def test_what_let_him_in_is_looked_at_again(
    bob: Operator, opened: Opener, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(hub, "RENEW_EVERY", 0.1)
    screen = opened_for(bob, opened)
    assert isinstance(bob.user, User)
    if end == "key":
        AccessKey.objects.update(revoked_at=clock.now())
    elif end == "account":
        User.objects.update(is_active=False)
    elif end == "password":
        bob.user.set_password("another one entirely")
        bob.user.save()
    else:
        agents.update_operator(bob.pk, user=None)
    assert screen.close_code() == consumers.NOT_LOGGED_IN
    assert not is_present(bob)


def test_a_log_out_ends_what_its_session_opened(
    bob: Operator, web: Web, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "RENEW_EVERY", 0.1)
    assert isinstance(bob.user, User)
    screen = opened(headers=cookie_of(bob.user), origin=f"http://127.0.0.1:{web.port}")
    screen.until("snapshot")
    Session.objects.all().delete()
    assert screen.close_code() == consumers.NOT_LOGGED_IN


@pytest.mark.parametrize("path", ["nowhere", "operator/1", "live/../admin"])
def test_elsewhere_there_is_nothing(web: Web, opened: Opener, path: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        opened(path)
    assert caught.value.response.status_code == 403


def test_pages_are_served_beside_the_sockets(web: Web) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{web.port}/healthz") as answer:
        assert answer.status == 200


def test_two_operators_do_not_see_each_other(bob: Operator, opened: Opener) -> None:
    alice = factories.make_operator(user=User.objects.create_user("alice"))
    his, hers = opened_for(bob, opened), opened_for(alice, opened)
    agents.set_status(alice.pk, OperatorStatus.ON_BREAK)
    assert hers.until("state")["status"] == "On Break"
    assert his.ask("ready")["ok"]
    with pytest.raises(TimeoutError):
        his.receive(hub.READ_EVERY + 0.5)
