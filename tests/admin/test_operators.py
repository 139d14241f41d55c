"""Operators are set up in the admin, and a supervisor changes their status there."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from agents import actions
from agents.models import Operator, Tier
from campaigns.models import Campaign
from dialer import clock
from tests import factories
from tests.admin.conftest import Browser, faults, messages

ADD = reverse("admin:agents_operator_add")
LIST = reverse("admin:agents_operator_changelist")


def page(operator: Operator, name: str = "change") -> str:
    return reverse(f"admin:agents_operator_{name}", args=[operator.pk])


@pytest.fixture
def campaign(db: None) -> Campaign:
    factories.make_route()
    return factories.make_campaign()


@pytest.fixture
def alice(campaign: Campaign) -> Operator:
    return factories.make_operator(campaign, name="Alice")


def test_a_new_operator_is_logged_out_with_the_defaults_of_the_document(browser: Browser, campaign: Campaign) -> None:
    tier = browser.add_row(ADD, "tiers", campaign=campaign.pk, level="1", position="2")
    assert browser.send(ADD, name="Alice", extension="1001", **tier).status_code == 302

    alice = Operator.objects.get()
    assert (alice.status, alice.state) == ("logged_out", "idle")
    assert (alice.call_timeout, alice.wrap_up_time, alice.max_no_answer) == (15, 10, 3)
    assert (alice.busy_delay, alice.reject_delay, alice.no_answer_delay) == (15, 15, 10)
    assert list(Tier.objects.values_list("campaign", "operator", "position")) == [(campaign.pk, alice.pk, 2)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"call_timeout": "0"}, "call_timeout"),
        ({"wrap_up_time": "-1"}, "wrap_up_time"),
        ({"max_no_answer": "-1"}, "max_no_answer"),
        ({"busy_delay": "-1"}, "busy_delay"),
        ({"reject_delay": "x"}, "reject_delay"),
        ({"no_answer_delay": ""}, "no_answer_delay"),
        ({"extension": "10 01"}, "extension"),
        ({"extension": "1001&park"}, "extension"),
        ({"contact": "+380441112233"}, "gateway"),
        ({"contact": "sip:x"}, "contact"),
        ({"name": ""}, "name"),
    ],
)
def test_a_bad_operator_is_refused_at_the_field(browser: Browser, changes: dict[str, str], field: str) -> None:
    assert field in faults(browser.send(ADD, **{"name": "Alice", "extension": "1001", **changes}))
    assert not Operator.objects.exists()


def test_a_second_operator_of_one_extension_is_refused_at_the_field(browser: Browser, alice: Operator) -> None:
    assert list(faults(browser.send(ADD, name="Bob", extension=alice.extension))) == ["extension"]


def test_an_edit_leaves_alone_what_the_system_keeps(browser: Browser, alice: Operator) -> None:
    sent = browser.form(page(alice)) | {"wrap_up_time": "20"}
    actions.set_status(alice.pk, "on_break")

    assert browser.client.post(page(alice), sent).status_code == 302

    alice.refresh_from_db()
    assert (alice.wrap_up_time, alice.status, alice.state) == (20, "on_break", "idle")


def test_archiving_logs_him_out(browser: Browser, alice: Operator) -> None:
    assert browser.send(page(alice), archived="on").status_code == 302
    alice.refresh_from_db()
    assert (alice.archived, alice.status, alice.state) == (True, "logged_out", "idle")


def test_statuses_are_buttons_on_the_page(browser: Browser, alice: Operator) -> None:
    shown = browser.client.get(page(alice)).content.decode()
    assert '<button class="button" name="status" value="on_break">On Break</button>' in shown
    assert 'value="available"' not in shown
    assert 'value="ready"' not in shown

    response = browser.client.post(page(alice, "status"), {"status": "on_break"}, follow=True)
    assert messages(response) == [f"{alice}: On Break, Idle"]
    alice.refresh_from_db()
    assert alice.status == "on_break"


@pytest.mark.parametrize(
    ("action", "status", "state"),
    [
        ("make_available", "available", "waiting"),
        ("make_on_demand", "on_demand", "waiting"),
        ("send_on_break", "on_break", "idle"),
        ("log_out", "logged_out", "idle"),
    ],
)
def test_statuses_are_actions_on_the_list(
    browser: Browser, alice: Operator, action: str, status: str, state: str
) -> None:
    bob = factories.make_operator(status="logged_out", state="idle")
    browser.client.post(LIST, {"action": action, "_selected_action": [alice.pk, bob.pk]})
    assert set(Operator.objects.values_list("status", "state")) == {(status, state)}


def test_a_refusal_names_the_operator(browser: Browser, alice: Operator) -> None:
    actions.set_status(alice.pk, "logged_out")
    response = browser.client.post(LIST, {"action": "say_ready", "_selected_action": [alice.pk]}, follow=True)
    assert messages(response) == [f"{alice} is Logged Out: he becomes Available first."]


def test_a_status_chosen_during_a_call_is_shown_with_what_holds_now(browser: Browser, alice: Operator) -> None:
    campaign = Campaign.objects.get()
    attempt = factories.make_attempt(factories.make_member(campaign), alice, sending_at=clock.now())
    actions.reserve([(alice.pk, attempt.pk)], clock.now())
    assert "what you choose holds after it" in browser.client.get(page(alice)).content.decode()

    response = browser.client.post(page(alice, "status"), {"status": "on_break"}, follow=True)
    assert messages(response) == [f"{alice}: Available, then On Break, Reserved"]


def test_the_list_tells_why_one_gets_no_calls(browser: Browser, alice: Operator) -> None:
    Campaign.objects.update(state="running")
    factories.make_operator(Campaign.objects.get(), registered=False)
    factories.make_operator(status="on_break", state="idle", forced_break=True)

    shown = browser.client.get(LIST).content.decode()

    assert "phone not registered" in shown
    assert "forced break, in no campaign that runs now" in shown
    assert '<td class="field-why_no_calls">–</td>' in shown


def test_the_list_costs_the_same_for_any_number_of_operators(
    browser: Browser, campaign: Campaign, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        factories.make_operator(campaign)
    with django_assert_max_num_queries(6):
        browser.client.get(LIST)


def test_one_who_had_calls_is_archived_and_not_deleted(browser: Browser, alice: Operator) -> None:
    factories.make_attempt(factories.make_member(Campaign.objects.get()), alice, ended_at=clock.now())
    assert browser.client.post(page(alice, "delete"), {"post": "yes"}).status_code == 403
    bob = factories.make_operator()
    assert browser.client.post(page(bob, "delete"), {"post": "yes"}).status_code == 302
