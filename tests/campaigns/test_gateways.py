"""Gateways back off, routes are plain, and what they change is noticed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from campaigns import actions
from campaigns.models import Gateway, Route
from dialer import clock, verbs
from tests import factories


@pytest.fixture
def gateway(db: None) -> Gateway:
    return factories.make_gateway()


def test_a_gateway_that_refuses_gets_no_calls_for_1_2_4_to_60_seconds(gateway: Gateway) -> None:
    now, waits = clock.now(), []
    for _ in range(8):
        assert actions.block_gateway(gateway.pk, "GATEWAY_DOWN", now)
        gateway.refresh_from_db()
        assert gateway.blocked_until is not None
        waits.append((gateway.blocked_until - now).total_seconds())
        now = gateway.blocked_until
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert gateway.blocked_reason == "GATEWAY_DOWN"


def test_refusals_of_calls_that_were_under_way_are_the_same_trouble(gateway: Gateway) -> None:
    now = clock.now()
    assert actions.block_gateway(gateway.pk, "GATEWAY_DOWN", now)
    assert not actions.block_gateway(gateway.pk, "GATEWAY_DOWN", now + timedelta(milliseconds=500))

    gateway.refresh_from_db()
    assert gateway.blocked_until == now + timedelta(seconds=1)


def test_a_success_starts_the_back_off_anew(gateway: Gateway) -> None:
    now = clock.now()
    for _ in range(3):
        actions.block_gateway(gateway.pk, "GATEWAY_DOWN", now)
        now += timedelta(minutes=1)

    actions.unblock_gateway(gateway.pk)

    gateway.refresh_from_db()
    assert (gateway.blocked_until, gateway.blocked_reason) == (None, "")
    actions.block_gateway(gateway.pk, "GATEWAY_DOWN", now)
    gateway.refresh_from_db()
    assert gateway.blocked_until == now + timedelta(seconds=1)


def test_an_edit_of_a_gateway_leaves_its_back_off_alone(gateway: Gateway) -> None:
    actions.block_gateway(gateway.pk, "GATEWAY_DOWN", clock.now())

    actions.update_gateway(gateway.pk, capacity=5)

    gateway.refresh_from_db()
    assert (gateway.capacity, gateway.blocked_reason) == (5, "GATEWAY_DOWN")


@pytest.mark.parametrize("campaign_id", [None, 3])
def test_a_changed_route_has_the_numbers_find_theirs_again(
    db: None, campaign_id: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []
    monkeypatch.setattr(verbs, "replan_soon", asked.append)

    actions.route_changed(campaign_id)

    assert asked == [campaign_id]


@pytest.mark.parametrize("pattern", ["", "^380", r"^\d{3}", "^(380|49)", "[0-9]+$", "^0+1?"])
def test_a_pattern_is_a_regular_expression_on_digits(gateway: Gateway, pattern: str) -> None:
    Route(gateway=gateway, pattern=pattern).full_clean()


@pytest.mark.parametrize(
    "pattern", ["(380", "[0-9", "380{2,1}", "*380", "^380)", "a+", "^38 0", "\x00", "((((1{255}){255}){255}){255})"]
)
def test_a_pattern_that_postgresql_cannot_compile_is_refused_at_the_field(gateway: Gateway, pattern: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Route(gateway=gateway, pattern=pattern).full_clean()

    assert set(refused.value.message_dict) == {"pattern"}
    assert Gateway.objects.exists(), "the connection is of use after it"


def test_the_refusal_of_a_pattern_says_why(gateway: Gateway) -> None:
    with pytest.raises(ValidationError, match="parentheses"):
        Route(gateway=gateway, pattern="(380").full_clean()


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"variables": {"call_timeout": 45}}, None),
        ({"variables": {"call_timeout": "0"}}, "variables"),
        ({"variables": {"call_timeout": "601"}}, "variables"),
        ({"variables": {"call_timeout": "ten"}}, "variables"),
        ({"variables": {"api_hangup_hook": "x"}}, "variables"),
        ({"variables": ["language"]}, "variables"),
        ({"strip": -1}, "strip"),
        ({"prepend": "00;rm"}, "prepend"),
        ({"caller_id": "+380441112233"}, None),
        ({"caller_id": "Bank"}, "caller_id"),
    ],
)
def test_the_fields_of_a_route(gateway: Gateway, fields: dict[str, Any], wrong: str | None) -> None:
    route = Route(gateway=gateway, **fields)
    if wrong is None:
        route.full_clean()
        return
    with pytest.raises(ValidationError) as refused:
        route.full_clean()
    assert set(refused.value.message_dict) == {wrong}


@pytest.mark.parametrize(
    ("name", "dial_string", "fine"),
    [
        ("trunk-1", "sofia/gateway/{gateway}/{number}", True),
        ("trunk-1", "sofia/external/{number}@10.0.0.1", True),
        ("trunk-1", "sofia/gateway/{gateway}", False),
        ("trunk-1", "[x=y]sofia/gateway/a/{number}", False),
        ("trunk-1", "sofia/gateway/a/{number},sofia/b/{number}", False),
        ("trunk 1", "sofia/gateway/{gateway}/{number}", False),
    ],
)
def test_a_dial_string_is_one_endpoint(db: None, name: str, dial_string: str, fine: bool) -> None:
    gateway = Gateway(name=name, dial_string=dial_string)
    if fine:
        gateway.full_clean()
    else:
        with pytest.raises(ValidationError):
            gateway.full_clean()
