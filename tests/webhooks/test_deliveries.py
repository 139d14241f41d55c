"""Deliveries: at least once, in order, signed, and never to where they must not go, whatever breaks."""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import time_machine
from celery import current_app
from django.conf import settings
from django.core.exceptions import ValidationError
from kombu.exceptions import OperationalError

from agents import actions as agents
from agents.models import Operator, OperatorStatus
from dialer import clock
from dialer.errors import Refused
from dialer.webhooks import actions, sending, tasks
from dialer.webhooks.models import Delivery, DeliveryState, Event, EventType, Subscription, new_secret, secret_bytes
from tests import factories
from tests.webhooks.receivers import Got, Receiver, deliver, subscribe, with_status

pytestmark = pytest.mark.django_db

README = Path(__file__).parents[2] / "README.md"
ON_BREAK, AVAILABLE = OperatorStatus.ON_BREAK, OperatorStatus.AVAILABLE


@pytest.fixture
def operator(db: None) -> Operator:
    return factories.make_operator()


@pytest.fixture
def travel() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(clock.now(), tick=True) as traveller:
        yield traveller


def happen(operator: Operator, times: int = 1) -> list[str]:
    """Let him change his status so often; return the ids of the events, in order."""
    for _ in range(times):
        operator.refresh_from_db()
        agents.set_status(operator.pk, AVAILABLE if operator.status == ON_BREAK else ON_BREAK)
    return [str(event.uuid) for event in Event.objects.order_by("-pk")[:times]][::-1]


def after(travel: time_machine.Traveller, seconds: float) -> None:
    travel.shift(timedelta(seconds=seconds))


def test_what_happened_arrives_in_order_signed_and_once(operator: Operator, receiver: Receiver) -> None:
    subscription = subscribe(receiver.url)
    ids = happen(operator, 3)
    assert deliver() == 1
    assert receiver.ids == ids
    for got in receiver.got:
        headers = {name.lower(): value for name, value in got.headers.items()}
        assert headers["webhook-id"] == got.body["id"]
        timestamp = int(headers["webhook-timestamp"])
        assert abs(timestamp - time.time()) < 60
        key = secret_bytes(subscription.secret)
        assert headers["webhook-signature"] == sending.signature(key, got.body["id"], timestamp, got.raw)
    assert [got.body["number"] for got in receiver.got] == sorted(got.body["number"] for got in receiver.got)
    assert receiver.got[0].body["data"]["status"] == ON_BREAK
    assert deliver() == 0
    assert not Delivery.objects.exclude(state=DeliveryState.DELIVERED, status_code=204, attempts=1).exists()


def test_the_code_of_the_readme_knows_ours_and_refuses_others(operator: Operator, receiver: Receiver) -> None:
    (code,) = re.findall(r"```python\n(.*?def is_ours.*?)```", README.read_text(), re.DOTALL)
    read: dict[str, Any] = {}
    exec(code, read)
    secret = subscribe(receiver.url).secret
    happen(operator)
    deliver()
    (got,) = receiver.got
    headers = {name.lower(): value for name, value in got.headers.items()}
    assert read["is_ours"](headers, got.raw, secret)
    assert not read["is_ours"](headers, got.raw + b" ", secret)
    assert not read["is_ours"](headers | {"webhook-id": "another"}, got.raw, secret)
    assert not read["is_ours"](headers, got.raw, new_secret())
    assert not read["is_ours"](headers | {"webhook-timestamp": str(int(time.time()) - 600)}, got.raw, secret)


def test_the_signature_is_the_one_of_standard_webhooks() -> None:
    """The example that the specification gives."""
    key = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = sending.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_that_fails_is_tried_later_and_nothing_overtakes(
    operator: Operator, receiver: Receiver, travel: time_machine.Traveller
) -> None:
    subscription = subscribe(receiver.url)
    first, second = happen(operator, 2)
    receiver.answer = with_status(500, b"out of\x00 order")
    deliver()
    delivery = Delivery.objects.order_by("pk")[0]
    assert (delivery.attempts, delivery.status_code) == (1, 500)
    assert delivery.error == "Answered 500: out of  order"
    assert deliver() == 0, "it has a pause"
    for tries in range(2, 5):
        subscription.refresh_from_db()
        assert subscription.next_at is not None
        pause = (subscription.next_at - clock.now()).total_seconds()
        assert pause == pytest.approx(actions.FIRST_PAUSE * 2 ** (tries - 2), abs=1)
        after(travel, pause + 0.1)
        assert deliver() == 1
    assert receiver.ids == [first] * 4
    receiver.answer = with_status(200)
    after(travel, 60)
    deliver()
    assert receiver.ids == [first] * 5 + [second]
    subscription.refresh_from_db()
    assert (subscription.failures, subscription.next_at) == (0, None)


@pytest.mark.parametrize(("status", "tries"), [(503, actions.MOST_TRIES), (422, actions.MOST_TRIES_AT_FAULT)])
def test_what_never_succeeds_is_given_up_and_those_behind_it_go_on(
    operator: Operator, receiver: Receiver, travel: time_machine.Traveller, status: int, tries: int
) -> None:
    subscription = subscribe(receiver.url)
    first, second = happen(operator, 2)

    def refuse_the_first(handler: BaseHTTPRequestHandler, got: Got) -> None:
        with_status(status if got.body["id"] == first else 204)(handler, got)

    receiver.answer = refuse_the_first
    for _ in range(tries + 1):
        deliver()
        after(travel, actions.LONGEST_PAUSE + 1)
    assert receiver.ids == [first] * tries + [second]
    parked = Delivery.objects.get(state=DeliveryState.PARKED)
    assert (str(parked.event.uuid), parked.attempts) == (first, tries)
    receiver.answer = with_status(204)
    assert actions.send_again(subscription, [parked.pk]) == 1
    deliver()
    assert receiver.ids[-1] == first
    assert actions.send_again(subscription, [parked.pk]) == 0, "it was delivered"


def test_a_receiver_that_is_down(operator: Operator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    subscribe(f"http://127.0.0.1:{port}/")
    happen(operator)
    deliver()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.status_code) == (DeliveryState.PENDING, None)
    assert "ConnectionRefused" in delivery.error


def _silent(handler: BaseHTTPRequestHandler, got: Got) -> None:
    time.sleep(1)


def _a_byte_at_a_time(handler: BaseHTTPRequestHandler, got: Got) -> None:
    for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
        handler.wfile.write(bytes([letter]))
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [_silent, _a_byte_at_a_time])
def test_a_slow_receiver_is_cut_off(
    operator: Operator, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr(sending, "LIMIT", 0.3)
    receiver.answer = answer
    subscribe(receiver.url)
    happen(operator)
    started = time.monotonic()
    deliver()
    assert time.monotonic() - started < 0.9
    assert Delivery.objects.get().error == "No answer within 0.3 seconds."


def test_of_a_huge_answer_little_is_read_and_kept(operator: Operator, receiver: Receiver) -> None:
    receiver.answer = with_status(500, b"y" * 5_000_000)
    subscribe(receiver.url)
    happen(operator)
    deliver()
    assert Delivery.objects.get().error == "Answered 500: " + "y" * sending.MOST_TOLD


def test_a_redirect_is_not_followed(operator: Operator, receiver: Receiver) -> None:
    receiver.answer = with_status(307, Location=receiver.url)
    subscribe(receiver.url)
    happen(operator)
    deliver()
    assert len(receiver.got) == 1
    assert "redirects are not followed" in Delivery.objects.get().error


# --- workers and brokers that die ---------------------------------------------------------------------------------


def test_what_a_dead_worker_had_sent_is_sent_again_with_the_same_id(
    operator: Operator, receiver: Receiver, travel: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe(receiver.url)
    (happened,) = happen(operator)
    actions.publish()
    (dead,) = actions.take_due()
    with monkeypatch.context() as patched:
        patched.setattr(actions, "give_back", lambda taken: None)

        def die(*_: Any) -> bool:
            raise SystemExit

        patched.setattr(actions, "_note", die)
        with pytest.raises(SystemExit):
            actions.deliver(dead)
    assert receiver.ids == [happened]
    assert deliver() == 0, "the lease still runs"
    after(travel, actions.LEASE + 1)
    assert deliver() == 1
    assert receiver.ids == [happened, happened]
    assert Delivery.objects.get().state == DeliveryState.DELIVERED


def test_a_worker_that_lost_its_lease_sends_no_more(
    operator: Operator, receiver: Receiver, travel: time_machine.Traveller
) -> None:
    subscription = subscribe(receiver.url)
    happen(operator)
    actions.publish()
    (slow,) = actions.take_due()
    after(travel, actions.LEASE + 1)
    (other,) = actions.take_due()
    actions.deliver(slow)
    assert not receiver.got
    subscription.refresh_from_db()
    assert subscription.lease == other.lease, "it did not take the other's away"
    actions.deliver(other)
    assert len(receiver.got) == 1


def test_without_a_broker_a_subscription_is_given_back_for_the_next_sweep(
    operator: Operator, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = subscribe(receiver.url)
    happen(operator)

    def refuse(*_: Any, **__: Any) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(tasks.deliver, "apply_async", refuse)
    tasks.sweep()
    subscription.refresh_from_db()
    assert subscription.lease is None
    assert Delivery.objects.get().state == DeliveryState.PENDING
    monkeypatch.setattr(tasks.deliver, "apply_async", lambda arguments, **_: tasks.deliver(*arguments))
    tasks.sweep()
    assert len(receiver.got) == 1


def test_beat_sweeps_each_second() -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["webhooks"]
    assert entry["task"] in current_app.tasks
    assert settings.CELERY_BEAT_SCHEDULE["forget-events"]["task"] in current_app.tasks
    assert entry["schedule"] == 1.0


def test_slow_receivers_hold_no_more_threads_than_allowed(operator: Operator, settings: Any) -> None:
    settings.WEBHOOKS_AT_ONCE = 2
    made = [subscribe(f"https://{place}.example.org/").pk for place in range(3)]
    happen(operator)
    actions.publish()
    first = actions.take_due()
    assert [taken.subscription for taken in first] == made[:2]
    assert actions.take_due() == []
    actions.give_back(first[0])
    assert [taken.subscription for taken in actions.take_due()] == made[2:], "who waits longest comes first"


def test_what_waits_for_a_disabled_one_waits_on(operator: Operator, receiver: Receiver) -> None:
    subscription = subscribe(receiver.url)
    happened = happen(operator)
    actions.publish()
    actions.save_subscription(subscription, enabled=False)
    happen(operator)
    assert deliver() == 0
    actions.save_subscription(subscription, enabled=True)
    assert deliver() == 1
    assert receiver.ids == happened, "what happened meanwhile was not for it"


# --- where nothing may go -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "private", "ever"),
    [
        ("93.184.215.14", True, True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True, True),
        ("10.1.2.3", False, True),
        ("172.16.0.1", False, True),
        ("192.168.1.1", False, True),
        ("127.0.0.1", False, True),
        ("100.64.0.1", False, True),
        ("::1", False, True),
        ("fd00::1", False, True),
        ("::ffff:10.0.0.1", False, True),
        ("64:ff9b::a00:1", False, True),
        ("2002:a00:1::", False, True),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("ff02::1", False, False),
    ],
)
def test_which_addresses_are_refused(address: str, private: bool, ever: bool) -> None:
    found = ipaddress.ip_address(address)
    assert (not sending._fault_of(found, allow_private=False)) is private
    assert (not sending._fault_of(found, allow_private=True)) is ever


def test_an_address_inside_is_refused_however_it_is_written(operator: Operator, receiver: Receiver) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    for place, host in enumerate(("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]")):
        subscribe(f"https://{host}:{port}/", allow_private=False, name=f"Nosy {place}")
    happen(operator)
    for _ in range(5):
        deliver()
    errors = list(Delivery.objects.values_list("error", flat=True))
    assert len(errors) == 5
    assert all("inside a private network" in error for error in errors), errors
    assert not receiver.got


def test_the_name_is_looked_up_once_and_the_checked_address_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    connected: list[tuple[str, int]] = []

    def rebind(host: str, port: int, **_: Any) -> list[Any]:
        """The first answer is harmless, those after it are not."""
        asked.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14" if len(asked) == 1 else "127.0.0.1", port))
        ]

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", rebind)
    monkeypatch.setattr(socket, "create_connection", connect)
    result = sending.send("https://rebind.example.org/", b"k", "id", b"{}", allow_private=False)
    assert not result.ok
    assert asked == ["rebind.example.org"]
    assert connected == [("93.184.215.14", 443)]


def test_one_address_inside_among_others_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    result = sending.send("https://both.example.org/", b"k", "id", b"{}", allow_private=False)
    assert "10.0.0.1, inside a private network" in result.error


def test_a_certificate_of_nobody_known_is_refused(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """The receiver speaks no TLS at all: nothing is sent to it in the clear."""
    result = sending.send(receiver.url.replace("http:", "https:"), b"k", "id", b"{}", allow_private=True)
    assert "SSL" in result.error
    assert not receiver.got


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"url": "http://crm.example.org/", "allow_private": False}, "url"),
        ({"url": "ftp://crm.example.org/"}, "url"),
        ({"url": "https://name:word@crm.example.org/"}, "url"),
        ({"url": "https://crm.example.org/#part"}, "url"),
        ({"url": "https://crm.example.org:99999/"}, "url"),
        ({"url": "https://[::1/"}, "url"),
        ({"url": "https:///calls"}, "url"),
        ({"url": "https://crm.example.org/a b"}, "url"),
        ({"url": "https://crm.example.org/\r\nX-Header: 1"}, "url"),
        ({"types": []}, "types"),
        ({"types": ["nothing.known"]}, "types"),
        ({"types": [EventType.MEMBER_ENDED, EventType.MEMBER_ENDED]}, "types"),
        ({"secret": "short"}, "secret"),
        ({"secret": "whsec_c2hvcnQ="}, "secret"),
        ({"name": ""}, "name"),
    ],
)
def test_a_subscription_that_could_never_work_is_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        subscribe(**fields)
    assert set(refusal.value.message_dict) == {field}
    assert not Subscription.objects.exists()


def test_operators_belong_to_no_campaign() -> None:
    with pytest.raises(ValidationError, match="belongs to no campaign"):
        subscribe(campaign=factories.make_campaign())


# --- tests of persons ---------------------------------------------------------------------------------------------


def test_a_test_goes_past_the_queue_and_is_not_tried_again(operator: Operator, receiver: Receiver) -> None:
    subscription = subscribe(receiver.url, enabled=False)
    delivery = actions.send_test(subscription)
    assert (delivery.state, delivery.status_code) == (DeliveryState.DELIVERED, 204)
    assert receiver.got[0].body["type"] == "test"
    receiver.answer = with_status(404)
    delivery = actions.send_test(subscription)
    assert (delivery.state, delivery.status_code) == (DeliveryState.PARKED, 404)
    actions.save_subscription(subscription, enabled=True)
    assert deliver() == 0


def test_nothing_can_be_sent_without_an_address() -> None:
    with pytest.raises(Refused, match="no address"):
        actions.send_test(subscribe())
