"""Whole campaigns on the switch: everyone ends as his phone behaved, and nobody is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model

from agents.models import Operator, OperatorState
from campaigns.models import Campaign, CampaignState, ConnectOrder
from dialer import verbs
from dialer.engine import coaching, invariants
from dialer.models import Attempt, Coaching, Repair
from members.models import Member
from tests.contract.stage import (
    ANSWERS,
    BUSY,
    EARLY_MEDIA,
    FAILS,
    REJECTS,
    RINGS,
    UNALLOCATED,
    Stage,
    number,
    phones,
)
from tests.factories import make_campaign, make_gateway, make_member, make_operator, make_route
from tests.house import House

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

HOSTILE = {"note": "a, b; {c} [d] ^^ 'e' \\n ${f} $${g} %20 Привіт 🎈 ", "debt": 20000}
PEOPLE = [
    (number(ANSWERS, 0.3, 8), "NORMAL_CLEARING", "NORMAL_CLEARING", 6),
    (number(EARLY_MEDIA, 0.3, 8), "NORMAL_CLEARING", "NORMAL_CLEARING", 2),
    (number(BUSY, 0.1), "USER_BUSY", "MAX_TRY_COUNT", 2),
    (number(REJECTS, 0.1), "CALL_REJECTED", "MAX_TRY_COUNT", 2),
    (number(RINGS), "NO_ANSWER", "MAX_TRY_COUNT", 2),
    (number(UNALLOCATED, 0.1), "UNALLOCATED_NUMBER", "UNALLOCATED_NUMBER", 2),
    (number(FAILS, 0.1), "NORMAL_TEMPORARY_FAILURE", "MAX_TRY_COUNT", 1),
]
"""Numbers, the cause of an attempt on them, what ends their owners, and how many there are."""


@pytest.fixture
def house(stage: Stage, settings: Any) -> Iterator[House]:
    """Return the product around the switch of the stage."""
    settings.FREESWITCH_URL = f"esl://:{quote(stage.node.password)}@{stage.node.name}"
    found = House()
    found.listen()
    yield found
    found.deafen()


@pytest.mark.parametrize("order", ConnectOrder.values)
def test_a_mixed_list_is_dialled_to_its_end(house: House, stage: Stage, order: str) -> None:
    gateway = make_gateway(name="contract", capacity=6)
    make_route(gateway, caller_id="+4930000000")
    campaign = make_campaign(
        connect_order=order, retry_wait=1, max_retries=1, min_duration=1, originate_timeout=3, minus_limit=1,
        answer_window=10, limit=10, abandonment_cap=100,
    )  # fmt: skip
    # Each phone that fails does so to another subscriber, and once: nobody's patience is tried by three in a row.
    for extension in sorted(phones(), key=lambda extension: extension[::-1]):
        stage.behaves(extension)
        make_operator(
            campaign, extension=extension, call_timeout=3, wrap_up_time=0, max_no_answer=0, busy_delay=60,
            reject_delay=60, no_answer_delay=60,
        )  # fmt: skip
    expected = {}
    for digits, cause, end_cause, count in PEOPLE:
        for serial in range(count):
            person = f"{digits}{serial:03}{order == ConnectOrder.SUBSCRIBER_FIRST:d}"
            stage.behaves(person)
            expected[make_member(campaign, [person], variables=HOSTILE).pk] = cause, end_cause
    Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
    house.until(lambda: Campaign.objects.get(pk=campaign.pk).state == CampaignState.COMPLETED, 90)

    for member in Member.objects.all():
        cause, end_cause = expected[member.pk]
        assert member.end_cause == end_cause, member
        last = Attempt.objects.filter(member=member).exclude(outcome="refunded").latest("pk")
        assert last.cause == cause
        assert bool(last.bridged_at) == (cause == "NORMAL_CLEARING")
        if last.bridged_at:
            assert 1 <= last.talk_seconds < 9
    assert not Operator.objects.exclude(periods__state=OperatorState.RESERVED).exists(), "those who fail too"
    assert set(Operator.objects.values_list("state", flat=True)) == {OperatorState.WAITING}
    assert invariants.find_violations() == []
    assert not Repair.objects.exists()


def test_a_supervisor_is_on_a_call_of_a_campaign_as_he_wishes(house: House, stage: Stage) -> None:
    """From his wish over REST's own verb to the sound in the phones, and off it by the call's end."""
    make_route(make_gateway(name="contract"))
    campaign = make_campaign(min_duration=1)
    for extension in ("1000", "5000"):
        stage.behaves(extension)
    make_operator(campaign, extension="1000", wrap_up_time=0)
    person = number(ANSWERS, 0.1) + "77"
    stage.behaves(person)
    make_member(campaign, [person])
    Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
    house.until(lambda: Attempt.objects.filter(bridged_at__isnull=False).exists())
    attempt = Attempt.objects.get()
    olha = get_user_model().objects.create_user("olha")
    row = verbs.coach(attempt.pk, "listen", by=olha, extension="5000")
    coaching.act(row.pk)
    house.until(lambda: Coaching.objects.filter(answered_at__isnull=False).exists())
    story = stage.attempt(
        f"sofia/gateway/contract/{person}", operator_uuid=attempt.operator_uuid,
        subscriber_uuid=attempt.subscriber_uuid,
    )  # fmt: skip
    stage.pass_time(0.5)
    assert stage.sound(story, row) == {"call"}
    verbs.coach(attempt.pk, "whisper", by=olha)
    coaching.act(row.pk)
    stage.pass_time(0.5)
    assert stage.sound(story, row) == {"call", "operator"}
    verbs.coach(attempt.pk, "barge", by=olha)
    coaching.act(row.pk)
    stage.pass_time(0.5)
    assert stage.sound(story, row) == {"call", "operator", "subscriber"}

    stage.line.kill(attempt.subscriber_uuid, "NORMAL_CLEARING")
    house.until(lambda: not Attempt.objects.live().exists())
    house.until(lambda: not Coaching.objects.live().exists())
    row = Coaching.objects.get()
    assert row.cause == "NORMAL_CLEARING"
    assert [mode for mode, _at in row.modes] == ["listen", "whisper", "barge"]
    assert not stage.line.existing([row.leg_uuid])
    assert Attempt.objects.count() == 1
    assert invariants.find_violations() == []
    assert not Repair.objects.exists()
