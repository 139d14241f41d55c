"""A CRM hands over a whole list by REST, and reads it again, while a campaign dials."""

from __future__ import annotations

import json
import threading
import urllib.request
from typing import Any

import pytest
from django.db import connections

from campaigns.models import Campaign, CampaignState
from dialer.engine import tasks
from dialer.models import Attempt
from members.models import Member
from tests import factories
from tests.api.conftest import user_in
from tests.house import SimulatedHouse
from tests.house import house as house
from tests.sockets.conftest import Web, key_of
from tests.sockets.conftest import web as web

pytestmark = [pytest.mark.faults, pytest.mark.django_db(transaction=True)]

BATCH = 10_000
BATCHES = 10


def test_a_hundred_thousand_subscribers_are_added_and_listed_while_a_campaign_dials(
    web: Web, house: SimulatedHouse
) -> None:
    factories.make_route(factories.make_gateway())
    campaign = factories.make_campaign(min_duration=0, limit=5)
    for extension in range(1001, 1006):
        factories.make_operator(campaign, extension=str(extension), wrap_up_time=0)
    headers = key_of(user_in("Integration", "crm")) | {"Content-Type": "application/json"}
    members = f"/api/v2/dialer/{campaign.pk}/members"

    def ask(path: str, body: Any = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{web.port}{path}", sent, headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    over = threading.Event()

    def dial() -> None:
        while not over.wait(0.5):
            tasks.dispatch_pass()
            tasks.tidy_up()
        connections.close_all()

    dialling = threading.Thread(target=dial)
    dialling.start()
    claimed: list[int] = []
    given: list[int] = []
    try:
        for batch in range(BATCHES):
            rows = [
                {"external_id": f"crm-{at}", "communications": [{"number": f"+3805{at:08}"}]}
                for at in range(batch * BATCH, (batch + 1) * BATCH)
            ]
            answer = ask(f"{members}?autoRun=true", rows)
            given += [row["id"] for row in answer["rows"]]
            claimed.append(Attempt.objects.count())
        listed: list[int] = []
        page: Any = {"cursor": ""}
        while page["cursor"] is not None:
            cursor = f"&cursor={page['cursor']}" if page["cursor"] else ""
            page = ask(f"{members}?limit=1000{cursor}")
            listed += [row["id"] for row in page["results"]]
        claimed.append(Attempt.objects.count())
    finally:
        over.set()
        dialling.join()
    assert len(set(given)) == BATCH * BATCHES
    assert sorted(listed) == sorted(given), "each once"
    assert Member.objects.count() == BATCH * BATCHES
    # Before the first batch is there, nobody can be called.
    assert claimed == sorted(set(claimed)), "calls were placed during every batch, and during the reading"
    assert Campaign.objects.get(pk=campaign.pk).state == CampaignState.RUNNING
