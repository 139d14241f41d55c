"""Coaching from the board of operators: whose call, on which phone, and what everyone is shown."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from campaigns.models import Campaign
from dialer import clock
from dialer.models import Attempt, Coaching
from dialer.web import operators_board as board
from dialer.web import story
from tests.factories import make_campaign, make_operator
from tests.web.test_operators import campaign as campaign
from tests.web.test_operators import now as now
from tests.web.test_operators import on_a_call, staff

pytestmark = pytest.mark.django_db

COACH = "dialer.coach_attempt"


@pytest.fixture
def attempt(campaign: Campaign) -> Attempt:
    return on_a_call(campaign)


def ask(client: Client, attempt: Attempt, mode: str) -> Any:
    return client.post(reverse("operator-coach", args=[attempt.pk, mode]))


def leave(client: Client, attempt: Attempt) -> Any:
    return client.post(reverse("operator-coach-stop", args=[attempt.pk]))


def keep_phone(client: Client, extension: str) -> Any:
    return client.post(reverse("coaching-phone"), {"extension": extension})


def ready_supervisor(*campaigns: Campaign) -> Client:
    client = staff(COACH, campaigns=campaigns)
    assert keep_phone(client, "7001").status_code == 302
    return client


def shown_of(attempt: Attempt, only: Any = None) -> Any:
    board.forget(only)
    row = next(row for row in board.read(only)["operators"] if row["id"] == attempt.operator_id)
    return row["call"].get("coached")


def test_a_supervisor_listens_whispers_speaks_and_leaves(attempt: Attempt) -> None:
    client = ready_supervisor()
    began = ask(client, attempt, "listen")
    assert (began.status_code, began.json()["tone"]) == (200, "good")
    assert "7001" in began.json()["message"]
    assert ask(client, attempt, "barge").status_code == 200
    row = Coaching.objects.get()
    assert (row.mode, row.extension, row.attempt) == ("barge", "7001", attempt)
    assert leave(client, attempt).json()["tone"] == "good"
    assert not Coaching.objects.live().exists()
    assert leave(client, attempt).status_code == 409
    attempt.refresh_from_db()
    assert attempt.ended_at is None


def test_who_is_on_a_call_is_shown_to_all_who_see_the_board(attempt: Attempt) -> None:
    assert shown_of(attempt) is None
    ask(ready_supervisor(), attempt, "whisper")
    him = User.objects.get()
    ringing = {"user": him.pk, "by": him.username, "mode": "whisper", "on": False}
    assert shown_of(attempt) == [ringing]
    Coaching.objects.update(answered_at=clock.now())
    assert shown_of(attempt) == [ringing | {"on": True}]
    Coaching.objects.update(ended_at=clock.now(), cause="NORMAL_CLEARING")
    assert shown_of(attempt) is None


def test_who_listens_to_calls_of_other_campaigns_is_not_told(attempt: Attempt) -> None:
    ask(ready_supervisor(), attempt, "listen")
    assert shown_of(attempt, frozenset({make_campaign().pk})) is None
    assert shown_of(attempt, frozenset({attempt.campaign_id}))


def test_a_call_of_another_campaign_cannot_be_heard_nor_left(attempt: Attempt) -> None:
    client = ready_supervisor(make_campaign())
    assert ask(client, attempt, "listen").status_code == 404
    assert leave(client, attempt).status_code == 404
    assert not Coaching.objects.exists()
    assert ask(ready_supervisor(attempt.campaign), attempt, "listen").status_code == 200


def test_without_the_right_there_is_nothing_to_press_and_no_way_in(attempt: Attempt) -> None:
    client = staff("access.change_status")
    page = client.get(reverse("operators")).content.decode()
    assert 'data-action="listen"' not in page
    assert 'id="extension"' not in page
    assert ask(client, attempt, "listen").status_code == 403
    assert leave(client, attempt).status_code == 403
    assert keep_phone(client, "7001").status_code == 403
    assert not Coaching.objects.exists()
    with_right = staff(COACH).get(reverse("operators")).content.decode()
    assert 'data-action="listen"' in with_right
    assert 'id="extension"' in with_right


def test_nothing_is_begun_by_looking(attempt: Attempt) -> None:
    client = ready_supervisor()
    for address in (
        reverse("operator-coach", args=[attempt.pk, "listen"]),
        reverse("operator-coach-stop", args=[attempt.pk]),
        reverse("coaching-phone"),
    ):
        assert client.get(address).status_code == 405
    assert not Coaching.objects.exists()


def test_without_a_phone_it_says_what_to_write(attempt: Attempt) -> None:
    answer = ask(staff(COACH), attempt, "listen")
    assert answer.status_code == 400
    assert "extension" in answer.json()["message"]


def test_a_mode_that_does_not_exist_is_refused(attempt: Attempt) -> None:
    assert ask(ready_supervisor(), attempt, "shout").status_code == 400
    assert not Coaching.objects.exists()


def test_the_phone_is_kept_for_the_session_and_can_be_forgotten() -> None:
    client = ready_supervisor()
    assert 'data-phone="7001"' in client.get(reverse("operators")).content.decode()
    keep_phone(client, "")
    assert 'data-phone=""' in client.get(reverse("operators")).content.decode()


def test_a_supervisor_who_takes_calls_has_his_own_phone() -> None:
    client = staff(COACH)
    make_operator(extension="7042", user=User.objects.get())
    assert 'data-phone="7042"' in client.get(reverse("operators")).content.decode()


@pytest.mark.parametrize("typed", ["70 01", "7001)", "${x}", "7043"])
def test_a_phone_that_cannot_be_is_told_at_the_field_and_kept_there(typed: str) -> None:
    make_operator(extension="7043", name="Iryna")
    client = staff(COACH)
    answer = keep_phone(client, typed)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert 'aria-describedby="extension-fault"' in page
    assert f'value="{typed}"' in page
    assert 'data-phone=""' in client.get(reverse("operators")).content.decode()


def test_the_story_of_a_call_tells_who_was_on_it(attempt: Attempt) -> None:
    client = ready_supervisor()
    for mode in ("listen", "barge"):
        ask(client, attempt, mode)
    him = User.objects.get().username
    facts = [value for name, value in story_of(attempt) if name == "Supervisor on the call"]
    assert facts == [f"{him}: his phone rings"]
    Coaching.objects.update(answered_at=clock.now())
    facts = [value for name, value in story_of(attempt) if name == "Supervisor on the call"]
    assert facts == [f"{him}: Listens, Speaks to both"]


def story_of(attempt: Attempt) -> Any:
    return story.of(story.told_with(Attempt.objects.filter(pk=attempt.pk)).get()).facts
