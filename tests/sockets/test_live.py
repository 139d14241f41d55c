"""What supervisors are told of all that goes on."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents import actions as agents
from agents.models import OperatorStatus
from dialer import live
from dialer.api.models import CampaignAccess
from dialer.api.scope import Scope
from dialer.sockets import consumers, feed
from tests import factories
from tests.api.conftest import user_in
from tests.sockets.conftest import Opener, Screen, Web, cookie_of, key_of


def applied(reading: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """Return a reading with changes, as a client makes it."""
    result = {**reading, **message["values"]}
    for name, change in message["rows"].items():
        rows = {row["id"]: row for row in reading[name] if row["id"] not in change.get("gone", ())}
        rows |= {row["id"]: row for row in change.get("set", ())}
        result[name] = [rows[pk] for pk in change.get("order", rows)]
    return result


def listening(opened: Opener, name: str = "olena") -> tuple[Screen, dict[str, Any]]:
    screen = opened("live", headers=key_of(User.objects.create_superuser(name)))
    first = screen.receive()
    assert (first["type"], first["seq"]) == ("snapshot", 1)
    return screen, first["live"]


def test_a_snapshot_and_then_what_changes(web: Web, opened: Opener) -> None:
    bob, _alice = factories.make_operator(), factories.make_operator()
    screen, reading = listening(opened)
    assert len(reading["operators"]) == 2
    agents.set_status(bob.pk, OperatorStatus.ON_BREAK)
    changes = screen.until("changes")
    (row,) = changes["rows"]["operators"]["set"]
    assert (row["id"], row["status"]) == (bob.pk, "On Break")
    reading = applied(reading, changes)
    assert [row["status"] for row in reading["operators"]] == ["On Break", "Available"]


def test_nothing_is_said_while_nothing_changes_and_at_most_two_a_second_otherwise(web: Web, opened: Opener) -> None:
    bob = factories.make_operator()
    screen, _reading = listening(opened)
    with pytest.raises(TimeoutError):
        screen.receive(2.5)
    since, told = time.monotonic(), 0
    place = 0
    while time.monotonic() - since < 3:
        place += 1
        agents.set_status(bob.pk, (OperatorStatus.ON_BREAK, OperatorStatus.ON_DEMAND)[place % 2])
        try:
            told += screen.receive(0.01)["type"] == "changes"
        except TimeoutError:
            continue
    assert place > 20
    assert 1 <= told <= 6


def test_it_is_read_once_for_all_listeners(web: Web, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = 0
    read = live.read

    def counted(only: Scope, campaign: int | None) -> dict[str, Any]:
        nonlocal readings
        readings += 1
        return read(only, campaign)

    monkeypatch.setattr(live, "read", counted)
    screens = [listening(opened, f"listener-{number}")[0] for number in range(8)]
    cache.clear()
    readings, since = 0, time.monotonic()
    factories.make_operator()
    for screen in screens:
        screen.until("changes")
    assert readings <= (time.monotonic() - since) / feed.READ_EVERY + 2


def test_supervisors_alone(web: Web, opened: Opener) -> None:
    for role in ("Administrator", "Supervisor", "Integration"):
        assert opened("live", headers=key_of(user_in(role))).receive()["type"] == "snapshot"
    for outsider in ("Operator", None):
        screen = opened("live", headers=key_of(user_in(outsider)))
        assert screen.receive()["problem"]["code"] == "PERMISSION_DENIED"
        assert screen.close_code() == consumers.NOT_ALLOWED


def test_pages_of_ours_listen_with_their_session(web: Web, opened: Opener) -> None:
    cookie = cookie_of(User.objects.create_superuser("olena"))
    assert opened("live", headers=cookie, origin=f"http://127.0.0.1:{web.port}").receive()["type"] == "snapshot"
    assert opened("live", headers=cookie, origin="http://evil.example.org").receive()["type"] == "login_wanted"


def test_there_is_nothing_to_ask_for(web: Web, opened: Opener) -> None:
    screen, _reading = listening(opened)
    assert screen.ask("ready")["problem"]["code"] == "INVALID"


def test_who_may_no_longer_see_it_is_let_go(web: Web, opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "RENEW_EVERY", 0.1)
    user = user_in("Supervisor")
    screen = opened("live", headers=key_of(user))
    screen.until("snapshot")
    user.groups.clear()
    assert screen.close_code() == consumers.NOT_LOGGED_IN


ROWS = st.dictionaries(st.integers(1, 5), st.integers(0, 2), max_size=5).map(
    lambda rows: [{"id": pk, "value": value} for pk, value in rows.items()]
)
READINGS = st.fixed_dictionaries(
    dict.fromkeys(feed.BY_ROW, ROWS) | {"now": st.integers(), "alerts": st.lists(st.text())}
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(READINGS, READINGS)
def test_changes_lead_from_one_reading_to_the_next(old: dict[str, Any], new: dict[str, Any]) -> None:
    message = feed.differences(old, new)
    if message is None:
        assert {**old, "now": 0} == {**new, "now": 0}
    else:
        assert applied(old, message) == new


def test_who_is_limited_to_campaigns_is_told_of_those_and_logs_in_again_when_they_change(
    web: Web, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "RENEW_EVERY", 0.3)
    his, other = factories.make_campaign(name="his"), factories.make_campaign(name="other")
    olena = user_in("Supervisor", "olena")
    factories.make_route()
    access = CampaignAccess.objects.create(user=olena, campaign=his)
    limited = opened("live", headers=key_of(olena))
    everything, _reading = listening(opened, "root")
    assert [row["name"] for row in limited.receive()["live"]["campaigns"]] == ["his"]
    factories.make_attempt(factories.make_member(other))
    (row,) = everything.until("changes")["rows"]["attempts"]["set"]
    assert row["campaign"] == "other"
    factories.make_operator(name="Bohdan")
    told: list[dict[str, Any]] = []
    while "Bohdan" not in str(told):
        told.append(limited.receive(8))
    assert not any(message.get("rows", {}).keys() & {"attempts", "campaigns"} for message in told)
    access.delete()
    assert limited.close_code() == consumers.NOT_LOGGED_IN
    again = opened("live", headers=key_of(olena))
    assert {row["name"] for row in again.receive()["live"]["campaigns"]} == {"his", "other"}


def test_what_goes_on_in_one_campaign(web: Web, opened: Opener) -> None:
    factories.make_route()
    mine, other = factories.make_campaign(name="mine"), factories.make_campaign(name="other")
    factories.make_operator(mine, name="Bohdan")
    factories.make_operator(other, name="Alina")
    limited = user_in("Supervisor", "olena")
    CampaignAccess.objects.create(user=limited, campaign=mine)
    for user in (limited, User.objects.create_superuser("root")):
        screen = opened(f"live?campaign={mine.pk}", headers=key_of(user))
        reading = screen.receive()["live"]
        assert [row["name"] for row in reading["campaigns"]] == ["mine"]
        assert [row["name"] for row in reading["operators"]] == ["Bohdan"]
    attempts = [factories.make_attempt(factories.make_member(owner)) for owner in (mine, other)]
    rows: list[int] = []
    while not rows:
        rows = [row["id"] for row in screen.until("changes")["rows"].get("attempts", {}).get("set", [])]
    assert rows == [attempts[0].pk]
    for closed in (other.pk, 0, "x", "7'"):
        screen = opened(f"live?campaign={closed}", headers=key_of(limited))
        assert screen.receive()["problem"]["code"] == "PERMISSION_DENIED", closed


def test_each_is_told_in_his_language(web: Web, opened: Opener) -> None:
    factories.make_route()
    factories.make_campaign(name="Renewals")
    user = User.objects.create_superuser("olena")
    told = {}
    for language, headers in {
        "en": key_of(user),
        "uk": key_of(user) | {"Accept-Language": "uk,en;q=0.5"},
        "chosen": cookie_of(user, django_language="uk"),
    }.items():
        screen = opened("live", headers=headers, origin=f"http://127.0.0.1:{web.port}")
        (campaign,) = screen.receive()["live"]["campaigns"]
        told[language] = campaign["label"]
    assert told["en"] == "Idle"
    assert told["uk"] == told["chosen"] != "Idle"
