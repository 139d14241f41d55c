"""Webhooks over REST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agents import actions as agents
from agents.models import OperatorStatus
from dialer.webhooks import actions
from dialer.webhooks.models import Delivery, DeliveryState, Subscription
from tests import factories
from tests.api.conftest import Caller, faults, problem
from tests.webhooks.receivers import Receiver, deliver, listening, subscribe, with_status

pytestmark = pytest.mark.django_db

GOOD: dict[str, Any] = {
    "name": "CRM", "types": ["attempt.ended", "operator.status"], "url": "https://crm.example.org/calls",
}  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as him:
        yield him


def happen(times: int = 1) -> None:
    for _ in range(times):
        agents.set_status(factories.make_operator().pk, OperatorStatus.ON_BREAK)
    actions.publish()


def test_a_crm_subscribes_and_sees_the_secret_once(crm: Caller) -> None:
    made = crm.post("webhooks", GOOD)
    assert made.status_code == 201, made.content
    found = made.json()
    assert found.pop("secret").startswith("whsec_")
    assert found["campaign"] is None
    assert found["enabled"] is True
    assert found["allow_private"] is False
    assert crm.get(f"webhooks/{found['id']}").json() == found
    assert crm.get("webhooks").json() == [found]
    assert crm.delete(f"webhooks/{found['id']}").status_code == 204
    problem(crm.get(f"webhooks/{found['id']}"), 404)


def test_a_repeated_request_does_not_tell_the_secret_again(crm: Caller) -> None:
    first = crm.post("webhooks", GOOD, Idempotency_Key="a").json()
    again = crm.post("webhooks", GOOD, Idempotency_Key="a").json()
    assert again == first | {"secret": None}
    assert Subscription.objects.count() == 1


def test_a_secret_may_be_given_and_changed(crm: Caller) -> None:
    given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = crm.post("webhooks", {**GOOD, "secret": given}).json()
    assert made["secret"] == given
    other = "whsec_" + "A" * 32
    assert "secret" not in crm.patch(f"webhooks/{made['id']}", {"secret": other}).json()
    assert Subscription.objects.get().secret == other


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "http://crm.example.org/"}, "url"),
        ({"url": 5}, "url"),
        ({"types": []}, "types"),
        ({"types": ["attempt.ended", "no.such"]}, "types[1]"),
        ({"types": ["attempt.ended", "attempt.ended"]}, "types"),
        ({"types": "attempt.ended"}, "types"),
        ({"campaign": 999999}, "campaign"),
        ({"secret": "short"}, "secret"),
        ({"name": None}, "name"),
        ({"failures": 0}, "failures"),
    ],
)
def test_faults_are_told_by_field(crm: Caller, change: dict[str, Any], field: str) -> None:
    assert set(faults(crm.post("webhooks", GOOD | change))) == {field}
    assert not Subscription.objects.exists()


def test_two_of_one_name_are_refused(crm: Caller) -> None:
    crm.post("webhooks", GOOD)
    assert set(faults(crm.post("webhooks", GOOD))) == {"name"}


def test_an_administrator_alone_opens_the_private_network(crm: Caller, admin: Caller) -> None:
    inside = {**GOOD, "url": "http://10.0.0.5/calls", "allow_private": True}
    problem(crm.post("webhooks", inside), 403)
    made = admin.post("webhooks", inside)
    assert made.status_code == 201, made.content
    address = f"webhooks/{made.json()['id']}"
    problem(crm.patch(address, {"url": "http://10.0.0.6/"}), 403)
    problem(crm.patch(address, {"url": "http://10.0.0.6/", "allow_private": True}), 403)
    assert crm.patch(address, {"enabled": False}).status_code == 200
    closed = crm.patch(address, {"url": "https://crm.example.org/", "allow_private": False})
    assert closed.status_code == 200, closed.content
    problem(crm.patch(address, {"allow_private": True}), 403)


def test_a_supervisor_has_nothing_to_do_with_them(supervisor: Caller) -> None:
    for path in ("webhooks", "events"):
        problem(supervisor.get(path), 403)


def test_events_are_replayed_from_a_cursor(crm: Caller) -> None:
    subscribe()
    happen(5)
    seen: list[dict[str, Any]] = []
    after, more = 0, True
    while more:
        page = crm.get(f"events?limit=2&after={after}").json()
        seen += page["results"]
        after, more = page["after"], page["more"]
    assert len(seen) == 5
    assert [event["number"] for event in seen] == sorted(event["number"] for event in seen)
    assert crm.get(f"events?after={after}").json() == {"results": [], "after": after, "more": False}
    happen()
    (new,) = crm.get(f"events?after={after}").json()["results"]
    assert new["data"]["status"] == OperatorStatus.ON_BREAK
    assert set(new) == {"id", "number", "type", "timestamp", "campaign", "data"}


def test_events_are_found_by_type_and_campaign(crm: Caller) -> None:
    subscribe()
    happen()
    assert crm.get("events?type=attempt.ended").json()["results"] == []
    assert crm.get("events?campaign=1").json()["results"] == []
    assert len(crm.get("events?type=operator.status").json()["results"]) == 1


def test_what_is_not_published_is_not_shown(crm: Caller) -> None:
    subscribe()
    agents.set_status(factories.make_operator().pk, OperatorStatus.ON_BREAK)
    assert crm.get("events").json()["results"] == []


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=1001", "type=no", "cursor=1"])
def test_a_wrong_question_is_told(crm: Caller, query: str) -> None:
    assert set(faults(crm.get(f"events?{query}"))) == {query.split("=")[0]}


def test_the_log_tells_how_each_delivery_went(crm: Caller, receiver: Receiver) -> None:
    subscription = subscribe(receiver.url)
    receiver.answer = with_status(422, b"unknown call")
    happen(2)
    for _ in range(actions.MOST_TRIES_AT_FAULT):
        Subscription.objects.update(next_at=None)
        deliver()
    log = f"webhooks/{subscription.pk}/deliveries"
    newest, oldest = crm.get(log).json()["results"]
    assert (newest["state"], newest["attempts"], newest["status"]) == ("pending", 0, None)
    assert (oldest["state"], oldest["attempts"], oldest["status"]) == ("parked", 3, 422)
    assert oldest["error"] == "Answered 422: unknown call"
    assert [one["id"] for one in crm.get(f"{log}?state=parked").json()["results"]] == [oldest["id"]]
    page = crm.get(f"{log}?limit=1&sort=id").json()
    assert crm.get(page["next"]).json()["results"][0]["id"] == newest["id"]
    again = crm.post(f"{log}/{oldest['id']}/again").json()
    assert (again["state"], again["attempts"]) == ("pending", 0)
    other = subscribe("https://other.example.org/")
    problem(crm.post(f"webhooks/{other.pk}/deliveries/{oldest['id']}/again"), 404)


def test_a_test_is_sent_at_once(crm: Caller, receiver: Receiver) -> None:
    subscription = subscribe(receiver.url)
    answer = crm.post(f"webhooks/{subscription.pk}/test").json()
    assert (answer["state"], answer["status"], answer["type"]) == ("delivered", 204, "test")
    assert receiver.got[0].body["id"] == answer["event"]
    receiver.answer = with_status(500)
    assert crm.post(f"webhooks/{subscription.pk}/test").json()["state"] == "parked"
    assert Delivery.objects.filter(state=DeliveryState.PENDING).count() == 0
    problem(crm.post(f"webhooks/{subscribe(name='pull').pk}/test"), 409)
