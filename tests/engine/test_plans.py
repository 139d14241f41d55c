"""What is dialled for an attempt."""

from __future__ import annotations

import pytest

from dialer.engine import plans
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("number", "strip", "prepend", "dialled"),
    [
        ("+380501112233", 0, "", "+380501112233"),
        ("380501112233", 2, "", "0501112233"),
        ("+380501112233", 3, "", "0501112233"),
        ("0501112233", 0, "9", "90501112233"),
        ("+380501112233", 0, "9", "9380501112233"),
        ("+380501112233", 1, "00", "00380501112233"),
        ("380501112233", 0, "+", "+380501112233"),
        ("+380501112233", 0, "+", "+380501112233"),
    ],
)
def test_a_route_strips_and_prepends(number: str, strip: int, prepend: str, dialled: str) -> None:
    """A "+" is dialled at the beginning alone: one that something is set before goes."""
    route = factories.make_route(strip=strip, prepend=prepend)
    member = factories.make_member(factories.make_campaign(), numbers=[number])
    attempt = factories.make_attempt(member, route=route, gateway=route.gateway)
    assert plans.plan_of(attempt).subscriber_dial.endswith(f"/{dialled}")
