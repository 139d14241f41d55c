"""What an operator is told of a supervisor on his call: what his campaign lets him know, and one who speaks, always."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from dialer import verbs
from dialer.engine import calls
from dialer.models import Coaching
from dialer.sockets import views
from dialer.switch import events
from tests.engine.story import Story
from tests.sockets.conftest import Opener
from tests.sockets.test_calls import a_story, screen_of
from tests.sockets.test_calls import woken_alone as woken_alone


def asks(story: Story, mode: str, name: str = "olha") -> Coaching:
    by, _new = get_user_model().objects.get_or_create(username=name)
    return verbs.coach(story.attempt.pk, mode, by=by, extension=f"70{name}")


def answers(row: Coaching, story: Story) -> None:
    calls.apply(
        events.JobDone(at=story.at(10), core_uuid=story.core, job_uuid=row.job_uuid, ok=True, cause="", text="+OK")
    )


def told(story: Story) -> Any:
    view = views.read([story.operator.pk], {})[story.operator.pk]
    return view.calls[story.attempt.pk]["coached"]


@pytest.mark.django_db
class TestWhatIsTold:
    @pytest.mark.parametrize(("mode", "shown"), [("listen", "listen"), ("whisper", "whisper"), ("barge", "barge")])
    def test_a_campaign_that_shows_it_tells_each_mode(self, mode: str, shown: str) -> None:
        story = a_story()
        story.bridged()
        assert told(story) == ""
        answers(asks(story, mode), story)
        assert told(story) == shown

    @pytest.mark.parametrize(("mode", "shown"), [("listen", ""), ("whisper", ""), ("barge", "barge")])
    def test_a_campaign_that_does_not_tells_only_of_who_speaks_to_both(self, mode: str, shown: str) -> None:
        story = a_story(coaching_shown=False)
        story.bridged()
        answers(asks(story, mode), story)
        assert told(story) == shown

    def test_whose_phone_only_rings_is_not_told(self) -> None:
        story = a_story()
        story.bridged()
        asks(story, "barge")
        assert told(story) == ""

    def test_of_several_who_speaks_is_told(self) -> None:
        story = a_story(coaching_shown=False)
        story.bridged()
        answers(asks(story, "barge", "petro"), story)
        answers(asks(story, "listen"), story)
        assert told(story) == "barge"

    def test_after_the_call_nobody_is_on_it(self) -> None:
        story = a_story()
        story.bridged()
        answers(asks(story, "listen"), story)
        story.both_end(30)
        assert told(story) == ""


@pytest.mark.usefixtures("woken_alone")
def test_each_change_is_told_at_once(opened: Opener) -> None:
    story = a_story()
    screen = screen_of(story, opened)
    story.bridged(5)
    assert screen.until("connected")
    row = asks(story, "listen")
    answers(row, story)
    assert screen.until("coached") | {"seq": 0} == {
        "type": "coached", "attempt": story.attempt.pk, "mode": "listen", "seq": 0,
    }  # fmt: skip
    asks(story, "barge")
    assert screen.until("coached")["mode"] == "barge"
    calls.apply(
        events.LegHungUp(
            leg=row.leg_uuid, at=story.at(20), core_uuid=story.core, attempt_id=None, role="supervisor",
            cause="NORMAL_CLEARING", created_at=None, progress_at=None, answered_at=None, bridged_at=None,
            originate_disposition="", last_bridge_hangup_cause="", by_phone=True,
        )
    )  # fmt: skip
    assert screen.until("coached")["mode"] == ""


@pytest.mark.usefixtures("woken_alone")
def test_a_campaign_that_does_not_show_it_sends_nothing_of_who_listens(opened: Opener) -> None:
    story = a_story(coaching_shown=False)
    screen = screen_of(story, opened)
    story.bridged(5)
    assert screen.until("connected")
    answers(asks(story, "listen"), story)
    asks(story, "barge")
    assert screen.until("coached")["mode"] == "barge"
    asks(story, "whisper")
    assert screen.until("coached")["mode"] == ""
    story.both_end(30)
    assert screen.until("ended")
