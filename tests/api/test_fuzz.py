"""The interface, driven by its description: whatever is sent, no call fails and no answer is one not described."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks

from campaigns.models import Calendar, Gateway, Route
from dialer import clock
from tests import factories
from tests.api.conftest import caller_for, user_in
from tests.api.test_access import MAY
from tests.engine.story import Story

pytestmark = [pytest.mark.fuzz, pytest.mark.django_db]

load_all_checks()
# Rules that no description can tell (a number once in a campaign, a calendar that opens) may refuse what it allows.
UNFIT = CHECKS.get_by_names(["positive_data_acceptance"])

answered: defaultdict[str, set[int]] = defaultdict(set)

schema = schemathesis.openapi.from_wsgi("/api/v2/openapi.json", get_wsgi_application())


@pytest.fixture(autouse=True)
def _one_transaction() -> Iterator[None]:
    """Let a request leave the connection of the test alone, as Django's own client does."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def house(db: None) -> dict[str, Any]:
    """A call whose result is awaited, and one of everything else; who calls, and the ids."""
    story = Story(wait_for_result=True)
    story.talk(20)
    user = user_in("superuser", "root")
    type(story.operator).objects.filter(pk=story.operator.pk).update(user=user)
    ended = factories.make_member(story.campaign)
    factories.make_attempt(ended, ended_at=clock.now())
    caller = caller_for(user)
    return {
        "headers": caller.headers,
        "campaign": story.campaign.pk,
        "member": story.member.pk,
        "communication": story.member.communications.get().pk,
        "attempt": story.attempt.pk,
        "operator": story.operator.pk,
        "calendar": Calendar.objects.get().pk,
        "gateway": Gateway.objects.get().pk,
        "route": Route.objects.get().pk,
        "key": caller.headers["X-Key"],
    }


@schema.parametrize()
@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_every_call_is_answered_as_described(case: Any, house: dict[str, Any]) -> None:
    if case.meta is None or case.meta.generation.mode.is_positive:
        # Of those that exist, but for every third: else nearly all would be 404.
        for name, value in (case.path_parameters or {}).items():
            if name in house and (not isinstance(value, int) or value % 3):
                case.path_parameters[name] = house[name]
    with transaction.atomic():
        answer = case.call_and_validate(headers=house["headers"], excluded_checks=UNFIT)
        transaction.set_rollback(True)
    answered[f"{case.method} {case.path}"].add(answer.status_code)


def test_the_calls_got_through() -> None:
    """Each call succeeded at least once: what was driven is the interface, not its doors."""
    described = {call: seen for call, seen in answered.items() if seen != {405}}
    assert len(described) == sum(map(len, MAY.values()))
    shut = {call: seen for call, seen in described.items() if not any(200 <= status < 300 for status in seen)}
    assert not shut
