"""The interface, driven by its description: whatever is sent, no call fails and no answer is one not described."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks

from campaigns.models import Campaign, Gateway, Route
from dialer import clock, verbs
from dialer.webhooks.actions import send_test
from members import actions
from members.uploads import staging
from members.uploads.actions import begin, check, load, save_template, set_layout
from members.uploads.models import Upload
from tests import factories
from tests.api.conftest import PASSWORD, caller_for, user_in
from tests.api.test_access import MAY
from tests.engine.story import Story
from tests.webhooks.receivers import subscribe

pytestmark = [pytest.mark.fuzz, pytest.mark.django_db]

load_all_checks()
# Rules that no description can tell (a number once in a campaign, a calendar that opens) may refuse what it allows.
UNFIT = CHECKS.get_by_names(["positive_data_acceptance"])

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
def answered() -> Iterator[defaultdict[str, set[int]]]:
    """Gather how a call was answered. It succeeds at least once: what is driven is the interface, not its doors."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    yield found
    for call, statuses in found.items():
        assert statuses == {405} or any(200 <= status < 300 for status in statuses), f"{call}: {statuses}"


@dataclass
class House:
    """Who calls, and what there is to call about: of each the ids of some that differ."""

    headers: dict[str, str]
    ids: dict[str, list[Any]]
    turns: Counter[str] = field(default_factory=Counter)

    def fit(self, values: Any) -> None:
        """Let what was made up point to what there is, by turns, but for every fourth. Else nearly all is refused."""
        for name, value in list(values.items()):
            if isinstance(value, dict):
                self.fit(value)
            elif isinstance(value, list):
                for item in value:
                    if isinstance(item, dict):
                        self.fit(item)
            elif name in self.ids and value is not None and not (isinstance(value, int) and value % 4 == 3):
                values[name] = self.ids[name][self.turns[name] % len(self.ids[name])]
                self.turns[name] += 1


@pytest.fixture
def house(db: None) -> House:
    """A call whose result is awaited, one that goes on, one that was; things that are used, and things that are not."""
    story = Story(wait_for_result=True)
    story.talk(20)
    user = user_in("superuser", "root")
    type(story.operator).objects.filter(pk=story.operator.pk).update(user=user)
    ended, waiting, live = (factories.make_member(story.campaign) for _ in range(3))
    factories.make_attempt(ended, ended_at=clock.now())
    actions.end_member(ended)
    on_call = factories.make_attempt(live, bridged_at=clock.now(), node=story.attempt.node)
    verbs.coach(on_call.pk, "listen", by=user)
    free = {
        "campaign": factories.make_campaign(),
        "calendar": factories.make_calendar(),
        "gateway": factories.make_gateway(),
        "operator": factories.make_operator(),
    }
    uploads = _uploads(story.campaign)
    number = actions.add_number(waiting, factories.make_number())
    webhook = subscribe("http://127.0.0.1:9/")  # nobody is there
    caller = caller_for(user)
    return House(
        caller.headers,
        {
            "campaign": [story.campaign.pk, free["campaign"].pk],
            "member": [waiting.pk, story.member.pk, ended.pk, live.pk],
            "communication": [number.pk],
            "attempt": [on_call.pk, story.attempt.pk],
            "operator": [story.operator.pk, free["operator"].pk],
            "calendar": [free["calendar"].pk, story.campaign.calendar_id],
            "gateway": [free["gateway"].pk, *Gateway.objects.values_list("pk", flat=True)[:1]],
            "route": list(Route.objects.values_list("pk", flat=True)),
            "upload": [upload.pk for upload in uploads],
            "template": [save_template("Fuzz", uploads[0]).pk],
            "file": [LIST],
            "entry": [actions.add_do_not_call(factories.make_number()).pk],
            "webhook": [webhook.pk],
            "delivery": [send_test(webhook).pk],
            "url": ["https://crm.example.org/"],
            "secret": [webhook.secret],
            "key": [caller.headers["X-Key"]],
            "user": ["root"],
            "username": ["root"],
            "password": [PASSWORD],
            "expires": [(clock.now() + timedelta(hours=1)).isoformat()],
        },
    )


LIST = b"name,number_1\nAnna,+380501112233\nBohdan,none\n"


def _uploads(campaign: Campaign) -> list[Upload]:
    """Return one that is checked, one that is under way, one that is loaded, and two that are new."""
    new, checked, running, loaded, other = (
        begin(io.BytesIO(LIST + f"Clara,10{n}\n".encode()), file_name="list.csv", campaign=campaign) for n in range(5)
    )
    for upload in (checked, running, loaded):
        set_layout(upload, layout=upload.layout, on_duplicate="skip")
        check(upload)
    for upload in (checked, loaded):
        staging.work(upload.pk)
    load(loaded)
    staging.work(loaded.pk)
    return [new, checked, running, loaded, other]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, settings: Any) -> None:
    settings.UPLOADS_DIR = tmp_path / "uploads"


@schema.parametrize()
@settings(max_examples=20, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
def test_every_call_is_answered_as_described(case: Any, house: House, answered: defaultdict[str, set[int]]) -> None:
    if case.meta is None or case.meta.generation.mode.is_positive:
        for part in (case.path_parameters, case.body):
            if isinstance(part, dict):
                house.fit(part)
        if "member" in (case.path_parameters or {}):
            case.path_parameters["campaign"] = house.ids["campaign"][0]
    with transaction.atomic():
        answer = case.call_and_validate(headers=house.headers, excluded_checks=UNFIT)
        transaction.set_rollback(True)
    answered[f"{case.method} {case.path}"].add(answer.status_code)


def test_every_call_is_driven() -> None:
    assert sum(len(schema[path]) for path in schema) == sum(map(len, MAY.values()))
