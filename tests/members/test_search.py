"""Search reads indexes: on fifty thousand rows no way of it scans a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet

from campaigns.models import Campaign
from members import actions
from members.models import Member
from tests import factories

ROWS = 50_000

FILL_MEMBERS = """
INSERT INTO members_member (
    campaign_id, name, caller_id, external_id, priority, time_zone, variables, created_at, state, due_at, callback,
    tried, zones, counted, minus_in_row, extra_attempts, counts_after, end_cause, success, end_requested, hidden
)
SELECT %s, 'Name' || n || ' Family' || n %% 977, '', 'id-' || n, 0, '', '{}', now(), 'waiting', now(), false, false, '',
    0, 0, 0, 0, '', false, false, false
FROM generate_series(1, %s) AS n
"""
FILL_NUMBERS = """
INSERT INTO members_communication (
    member_id, campaign_id, number, dial, digits, priority, description, tries, stopped, stop_cause
)
SELECT id, campaign_id, digits, digits, digits, 0, '', 0, '', ''
FROM members_member, unnest(ARRAY['38050' || lpad(id::text, 7, '0'), '38044' || lpad(id::text, 7, '0')]) AS digits
"""


@pytest.fixture
def many(campaign: Campaign) -> Campaign:
    """Return a campaign of fifty thousand subscribers with two numbers each, and a few who are looked for."""
    with connection.cursor() as cursor:
        cursor.execute(FILL_MEMBERS, [campaign.pk, ROWS])
        cursor.execute(FILL_NUMBERS)
    wanted = [
        {"name": "Anna-Maria Kovalenko", "external_id": "crm/17", "communications": [{"number": "+49 30 901820"}]},
        {"name": "Анна Коваленко", "external_id": "49777", "communications": [{"number": "*100#"}]},
    ]
    actions.add_members(campaign, wanted)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE members_member, members_communication")
    return campaign


def names(found: QuerySet[Member]) -> list[str]:
    return sorted(found.values_list("name", flat=True))


def ending(digits: str) -> list[str]:
    return names(Member.objects.filter(communications__digits__endswith=digits).distinct())


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def assert_reads_indexes(found: QuerySet[Member]) -> None:
    plan = json.loads(found.explain(format="json"))[0]["Plan"]
    scanned = [node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    assert not scanned, found.explain()


@pytest.mark.slow
def test_search_finds_and_never_scans(many: Campaign) -> None:
    anna, other = "Anna-Maria Kovalenko", "Анна Коваленко"
    cases = {
        "anna": [anna],
        "KOVAL an": [anna],
        "maria-anna": [anna],
        "коваленко Ан": [other],
        "49 30 901820": [anna],
        "+493090": [anna],
        "49777": [other, *ending("49777")],  # his external id looks like a number
        "901820": [anna],
        "1820": [*ending("1820")],
        "crm/17": [anna],
        "CRM/17": [],
        "*100#": [other],
        "id-4711": ["Name4711 Family803"],
        "Name47112": ["Name47112 Family216"],
        "nobody": [],
        "o'; DROP TABLE x; --": [],
        "':* | anna": [anna],
    }
    for text, expected in cases.items():
        found = Member.objects.search(text)
        assert names(found) == sorted(set(expected)), text
        assert_reads_indexes(found)
        assert_reads_indexes(found.filter(campaign=many).order_by("-pk")[:50])


def test_blank_text_finds_everyone(campaign: Campaign) -> None:
    factories.make_member(campaign)
    assert Member.objects.search(" ").count() == Member.objects.search("-").count() == 1
