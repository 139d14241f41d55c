"""What an operator's client is shown is read in a constant number of statements."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from agents.models import Operator
from dialer import clock
from dialer.models import Attempt
from dialer.sockets import sign_in, views
from tests import factories

pytestmark = pytest.mark.django_db


def scene(operators: int) -> list[int]:
    """Let so many operators be on a call each, in a campaign each."""
    now = clock.now()
    made = []
    for _ in range(operators):
        campaign = factories.make_campaign()
        operator = factories.make_operator(campaign)
        factories.make_attempt(
            factories.make_member(campaign), operator, sending_at=now, operator_ringing_at=now, bridged_at=now
        )
        made.append(operator.pk)
    return made


@pytest.mark.parametrize("operators", [1, 20])
def test_the_statements_do_not_grow_with_the_operators(operators: int, django_assert_num_queries: Any) -> None:
    factories.make_route()
    ids = scene(operators)
    known = dict(
        zip(ids, ({pk} for pk in Attempt.objects.order_by("operator_id").values_list("pk", flat=True)), strict=True)
    )
    with django_assert_num_queries(4):
        found = views.read(ids, known)
    assert [len(view.calls) for view in found.values()] == [1] * operators
    assert [len(view.campaigns) for view in found.values()] == [1] * operators


def test_an_operator_who_is_gone_is_left_out() -> None:
    operator = factories.make_operator()
    assert set(views.read([operator.pk, operator.pk + 1], {})) == {operator.pk}


def test_equal_readings_say_nothing() -> None:
    factories.make_route()
    (pk,) = scene(1)
    assert list(views.differences(views.read([pk], {})[pk], views.read([pk], {})[pk])) == []


def test_stages_that_were_missed_are_told_in_order() -> None:
    factories.make_route()
    (pk,) = scene(1)
    before = views.View(views.read([pk], {})[pk].state)
    now = clock.now()
    Operator.objects.update(last_attempt=Attempt.objects.get())
    Attempt.objects.update(ended_at=now, talk_ended_at=now, outcome="retry", cause="NORMAL_CLEARING")
    told = [message["type"] for message in views.differences(before, views.read([pk], {})[pk])]
    assert told == ["call", "connected", "ended", "campaign"]


@pytest.mark.parametrize("people", [1, 20])
def test_who_may_stay_is_read_in_a_constant_number_of_statements(people: int, django_assert_num_queries: Any) -> None:
    users = [User.objects.create_user(f"operator {number}") for number in range(people)]
    there = [
        sign_in.Identity(user.pk, factories.make_operator(user=user).pk, False, user.password, session_key="none")
        for user in users
    ]
    with django_assert_num_queries(3):
        assert sign_in.still_good(there) == set()


@pytest.mark.parametrize(
    ("origin", "ours"),
    [
        ("http://dialer.example.org", True),
        ("https://dialer.example.org", True),
        ("https://dialer.example.org:8443", False),
        ("https://example.org", False),
        ("https://dialer.example.org.evil.net", False),
        ("https://crm.example.net", True),
        ("http://crm.example.net", False),
        ("https://a.trusted.net", True),
        ("https://trusted.net.evil.net", False),
        ("null", False),
        ("", False),
        (None, False),
    ],
)
def test_pages_of_ours_are_those_of_the_same_host_or_trusted(settings: Any, origin: str | None, ours: bool) -> None:
    settings.ALLOWED_HOSTS = ["dialer.example.org"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://crm.example.net", "https://*.trusted.net"]
    assert sign_in.is_ours(origin, "dialer.example.org") is ours


def test_behind_tls_a_page_without_it_is_not_ours(settings: Any) -> None:
    settings.ALLOWED_HOSTS, settings.SESSION_COOKIE_SECURE = ["dialer.example.org"], True
    assert sign_in.is_ours("https://dialer.example.org", "dialer.example.org")
    assert not sign_in.is_ours("http://dialer.example.org", "dialer.example.org")


def test_a_host_that_is_not_allowed_is_not_ours(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["dialer.example.org"]
    assert not sign_in.is_ours("http://evil.net", "evil.net")
