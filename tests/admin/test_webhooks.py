"""Webhooks in the admin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from agents import actions as agents
from agents.models import OperatorStatus
from dialer.webhooks import actions
from dialer.webhooks.models import Delivery, DeliveryState, Event, Subscription
from tests import factories
from tests.admin.conftest import Browser, faults
from tests.webhooks.receivers import Receiver, deliver, listening, subscribe, with_status

ADD = reverse("admin:webhooks_subscription_add")


def change(subscription: Subscription, page: str = "change") -> str:
    return reverse(f"admin:webhooks_subscription_{page}", args=[subscription.pk])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as him:
        yield him


@pytest.fixture
def helper(db: None) -> Client:
    """Someone of the staff who may change webhooks, but is no administrator."""
    user = User.objects.create_user("helper", is_staff=True)
    names = [f"{verb}_subscription" for verb in ("view", "add", "change")]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


def test_one_is_made_and_its_secret_shown_once(browser: Browser) -> None:
    made = browser.client.post(
        ADD, {"name": "CRM", "types": ["member.ended"], "url": "https://crm.example.org/", "enabled": "on"}, follow=True
    )
    subscription = Subscription.objects.get()
    assert (subscription.types, subscription.enabled) == (["member.ended"], True)
    assert subscription.secret in made.content.decode().replace("&#x2B;", "+").replace("&#x3D;", "=")
    page = browser.client.get(change(subscription)).content.decode()
    assert subscription.secret not in page
    assert "Send a test" in page


def test_faults_are_told_at_their_fields(browser: Browser) -> None:
    refused = browser.client.post(ADD, {"name": "CRM", "types": ["member.ended"], "url": "http://crm.example.org/"})
    assert set(faults(refused)) == {"url"}


def test_a_changed_one_is_tried_at_once(browser: Browser) -> None:
    subscription = subscribe("https://crm.example.org/")
    Subscription.objects.update(failures=5, next_at="2100-01-01T00:00:00Z")
    assert browser.send(change(subscription), name="Other").status_code == 302
    subscription.refresh_from_db()
    assert (subscription.name, subscription.failures, subscription.next_at) == ("Other", 0, None)


def test_the_button_sends_a_test_and_tells_of_it(browser: Browser, receiver: Receiver) -> None:
    subscription = subscribe(receiver.url)
    page = browser.client.post(change(subscription, "test"), follow=True)
    assert "Delivered: answered 204" in page.content.decode()
    receiver.answer = with_status(500, b"<b>no</b>")
    page = browser.client.post(change(subscription, "test"), follow=True)
    assert "Answered 500: &lt;b&gt;no&lt;/b&gt;" in page.content.decode()
    browser.client.get(change(subscription, "test"))
    assert len(receiver.got) == 2, "to look is not to send"


def test_a_new_secret_takes_the_place_of_the_old_one(browser: Browser) -> None:
    subscription = subscribe("https://crm.example.org/")
    browser.client.post(change(subscription, "secret"))
    assert Subscription.objects.get().secret != subscription.secret


def test_who_is_no_administrator_does_not_open_the_private_network(helper: Client) -> None:
    fields = {"name": "CRM", "types": ["member.ended"], "url": "https://crm.example.org/", "allow_private": "on"}
    assert helper.post(ADD, fields).status_code == 302
    assert not Subscription.objects.get().allow_private
    inside = subscribe("http://10.0.0.5/")
    assert helper.post(change(inside), {**fields, "name": "inside"}).status_code == 302
    inside.refresh_from_db()
    assert (inside.name, inside.url) == ("inside", "http://10.0.0.5/")


def test_the_log_is_for_reading_and_for_sending_again(browser: Browser, receiver: Receiver) -> None:
    subscribe(receiver.url)
    receiver.answer = with_status(400)
    agents.set_status(factories.make_operator().pk, OperatorStatus.ON_BREAK)
    for _ in range(actions.MOST_TRIES_AT_FAULT):
        Subscription.objects.update(next_at=None)
        deliver()
    delivery = Delivery.objects.get()
    log = reverse("admin:webhooks_delivery_changelist")
    assert "Given up" in browser.client.get(f"{log}?state__exact=parked").content.decode()
    assert browser.client.get(reverse("admin:webhooks_delivery_add")).status_code == 403
    browser.client.post(log, {"action": "send_again", "_selected_action": [delivery.pk]})
    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.PENDING
    events = reverse("admin:webhooks_event_changelist")
    assert "operator.status" in browser.client.get(events).content.decode()
    assert browser.client.get(reverse("admin:webhooks_event_change", args=[Event.objects.get().pk])).status_code == 200
    assert (
        "failed 3 times in a row"
        in browser.client.get(reverse("admin:webhooks_subscription_changelist")).content.decode()
    )


def test_one_is_deleted_with_its_log(browser: Browser) -> None:
    subscription = subscribe("https://crm.example.org/")
    agents.set_status(factories.make_operator().pk, OperatorStatus.ON_BREAK)
    actions.publish()
    assert browser.client.post(change(subscription, "delete"), {"post": "yes"}).status_code == 302
    assert not Subscription.objects.exists()
    assert not Delivery.objects.exists()
    assert Event.objects.count() == 1
