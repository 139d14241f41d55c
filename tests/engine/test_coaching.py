"""A supervisor on a call: who may be heard, what the switch is told, and how it ends whatever is lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from dialer import clock, verbs
from dialer.engine import calls, coaching, reconcile
from dialer.engine.reconcile import Reconciler
from dialer.errors import Refused
from dialer.esl.client import Outcome, Reply
from dialer.models import Attempt, Coaching, Node
from dialer.switch import commands, events
from dialer.switch.commands import Originate
from dialer.switch.nodes import SwitchNode
from tests.engine.story import Story
from tests.factories import make_operator

pytestmark = pytest.mark.django_db


class Switch:
    """Stands for a placer, its line, and the line of a listener: a switch that keeps what it is told."""

    def __init__(self, core: UUID) -> None:
        self.core_uuid = core
        self.outcome = Outcome.ACCEPTED
        self.placed: list[Originate] = []
        self.told: list[str] = []
        self.killed: list[UUID] = []
        self.legs: set[UUID] = set()

    def line(self) -> Switch:
        return self

    def place(self, originates: Sequence[Originate], **_: Any) -> list[Reply]:
        self.placed += originates
        return [Reply(self.outcome, "")] * len(originates)

    def carry_out(self, orders: Iterable[str]) -> bool:
        self.told += orders
        return True

    def kill(self, leg: UUID, cause: str) -> bool:
        self.killed.append(leg)
        return leg in self.legs

    def existing(self, legs: Iterable[UUID]) -> set[UUID]:
        return self.legs & set(legs)


@pytest.fixture
def story() -> Story:
    story = Story(coaching_shown=True)
    story.bridged()
    return story


@pytest.fixture
def switch(story: Story, monkeypatch: pytest.MonkeyPatch) -> Switch:
    switch = Switch(story.core)
    host, _, port = story.node.name.partition(":")
    monkeypatch.setattr(coaching, "configured", lambda: [SwitchNode(host, int(port), "ClueCon")])
    monkeypatch.setattr(coaching, "placer", lambda _: switch)
    return switch


def a_supervisor(name: str = "olha") -> Any:
    return get_user_model().objects.create_user(name)


def asks(story: Story, by: Any, mode: str = "listen", extension: str = "7001") -> Coaching:
    return verbs.coach(story.attempt.pk, mode, by=by, extension=extension)


def read(row: Coaching) -> Coaching:
    return Coaching.objects.get(pk=row.pk)


def done(row: Coaching, story: Story, cause: str = "", seconds: float = 10) -> None:
    """Let the job of his leg end: answered, or failed."""
    story.orders += calls.apply(
        events.JobDone(
            at=story.at(seconds), core_uuid=story.core, job_uuid=row.job_uuid, ok=not cause, cause=cause, text=""
        )
    )


def tell(row: Coaching, story: Story, kind: type, seconds: float = 10, **more: Any) -> None:
    story.orders += calls.apply(
        kind(leg=row.leg_uuid, at=story.at(seconds), core_uuid=story.core, attempt_id=None, role="supervisor", **more)
    )


def hung_up(row: Coaching, story: Story, cause: str = "NORMAL_CLEARING", answered_at: datetime | None = None) -> None:
    tell(
        row, story, events.LegHungUp, 20, cause=cause, created_at=None, progress_at=None, answered_at=answered_at,
        bridged_at=None, originate_disposition="", last_bridge_hangup_cause="", by_phone=False,
    )  # fmt: skip


def on_the_call(story: Story, by: Any, mode: str = "listen") -> Coaching:
    row = asks(story, by, mode)
    coaching.act(row.pk)
    tell(row, story, events.LegCreated)
    done(row, story)
    return read(row)


# --- how it begins ------------------------------------------------------------------------------------------------


def test_his_phone_is_rung_for_the_leg_of_the_operator(story: Story, switch: Switch) -> None:
    olha = a_supervisor()
    row = asks(story, olha, "whisper")
    coaching.act(row.pk)
    (sent,) = switch.placed
    assert sent.job_uuid == row.job_uuid
    assert f"origination_uuid={row.leg_uuid}," in sent.command
    assert sent.command.endswith(f"user/7001 &eavesdrop({story.attempt.operator_uuid})")
    assert "dialer_attempt" not in sent.command
    row = read(row)
    assert (row.supervisor, row.mode, row.extension) == (olha, "whisper", "7001")
    assert (row.node, row.core_uuid) == (story.node, story.core)
    assert row.sending_at is not None
    assert row.answered_at is None


def test_his_phone_is_rung_once_however_often_the_task_comes(story: Story, switch: Switch) -> None:
    row = asks(story, a_supervisor())
    coaching.act(row.pk)
    coaching.act(row.pk)
    assert len(switch.placed) == 1
    assert switch.told == []


def test_an_operator_who_supervises_hears_it_on_his_own_phone(story: Story) -> None:
    olha = a_supervisor()
    make_operator(extension="7042", user=olha)
    assert asks(story, olha, extension="").extension == "7042"


def test_a_phone_outside_the_switch_takes_a_line_so_he_says_another(story: Story) -> None:
    olha = a_supervisor()
    make_operator(extension="7042", contact="+380501112233", gateway=story.attempt.gateway, user=olha)
    with pytest.raises(ValidationError) as caught:
        asks(story, olha, extension="")
    assert list(caught.value.message_dict) == ["extension"]


@pytest.mark.parametrize("typed", ["", "7001 &park()", "7001,7002", "../x", "x" * 33, "+380501112233", "${x}"])
def test_no_call_without_a_phone_of_the_directory(story: Story, typed: str) -> None:
    with pytest.raises(ValidationError) as caught:
        asks(story, a_supervisor(), extension=typed)
    assert list(caught.value.message_dict) == ["extension"]
    assert not Coaching.objects.exists()


def test_nobody_is_let_hear_a_call_on_the_phone_of_another_operator(story: Story) -> None:
    make_operator(extension="7043", name="Iryna")
    with pytest.raises(ValidationError, match="Iryna"):
        asks(story, a_supervisor(), extension="7043")


def test_an_unknown_mode_is_a_fault(story: Story) -> None:
    with pytest.raises(ValidationError) as caught:
        asks(story, a_supervisor(), "shout")
    assert list(caught.value.message_dict) == ["mode"]


def test_only_a_call_in_which_two_talk_can_be_heard() -> None:
    olha, story = a_supervisor(), Story()
    with pytest.raises(Refused) as before:
        asks(story, olha)
    story.bridged()
    assert asks(story, olha)
    verbs.stop_coaching(story.attempt.pk, by=olha)
    story.both_end(30)
    with pytest.raises(Refused) as after:
        asks(story, olha)
    assert (before.value.code, after.value.code) == ("NOT_TALKING", "NOT_TALKING")


def test_nobody_coaches_himself(story: Story) -> None:
    olha = a_supervisor()
    story.operator.user = olha
    story.operator.save()
    with pytest.raises(Refused) as caught:
        asks(story, olha)
    assert caught.value.code == "OWN_CALL"


def test_one_supervisor_is_on_one_call_and_one_phone_too(story: Story) -> None:
    other = Story()
    other.bridged()
    olha, petro = a_supervisor(), a_supervisor("petro")
    asks(story, olha)
    with pytest.raises(Refused) as his:
        asks(other, olha, extension="7002")
    with pytest.raises(Refused) as phones:
        asks(other, petro)
    assert (his.value.code, phones.value.code) == ("COACHING", "PHONE_TAKEN")
    assert asks(other, petro, extension="7002").attempt_id == other.attempt.pk


def test_two_supervisors_may_hear_the_same_call(story: Story) -> None:
    asks(story, a_supervisor())
    asks(story, a_supervisor("petro"), "barge", "7002")
    assert Coaching.objects.live().filter(attempt=story.attempt).count() == 2


def test_he_takes_no_line_and_holds_nobody(story: Story, switch: Switch) -> None:
    before = story.now()[0]
    on_the_call(story, a_supervisor(), "barge")
    attempt, operator, _member = story.now()
    unchanged = {name: value for name, value in vars(before).items() if not name.startswith("_")}
    assert {name: getattr(attempt, name) for name in unchanged} == unchanged
    assert Attempt.objects.live().count() == 1
    assert operator.current_attempt_id == attempt.pk


# --- the modes ----------------------------------------------------------------------------------------------------


def test_a_change_of_mode_is_noted_and_sent(story: Story, switch: Switch) -> None:
    olha = a_supervisor()
    row = on_the_call(story, olha)
    assert asks(story, olha, "barge").pk == row.pk
    coaching.act(row.pk)
    assert switch.told == commands.change_mode(row.leg_uuid, story.attempt.operator_uuid, "barge")
    row = read(row)
    assert row.mode == "barge"
    assert [mode for mode, _at in row.modes] == ["listen", "barge"]
    assert len(switch.placed) == 1


def test_what_he_wished_for_last_holds_whichever_task_comes_first(story: Story, switch: Switch) -> None:
    olha = a_supervisor()
    row = on_the_call(story, olha)
    asks(story, olha, "barge")
    asks(story, olha, "listen")
    coaching.act(row.pk)
    coaching.act(row.pk)
    assert switch.told[-2:] == commands.change_mode(row.leg_uuid, story.attempt.operator_uuid, "listen")
    assert not any("true" in order for order in switch.told)


def test_a_change_while_his_phone_rings_waits_for_his_answer(
    story: Story, switch: Switch, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    olha = a_supervisor()
    row = asks(story, olha)
    coaching.act(row.pk)
    asks(story, olha, "whisper")
    coaching.act(row.pk)
    assert switch.told == []  # a leg that is transferred while it rings fails
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(verbs, "send", lambda *task: sent.append(task))
    done(row, story)
    assert sent == [("dialer.engine.tasks.coach", row.pk)]
    coaching.act(row.pk)
    assert switch.told == commands.change_mode(row.leg_uuid, story.attempt.operator_uuid, "whisper")


# --- the end ------------------------------------------------------------------------------------------------------


def test_he_leaves_when_he_asks(story: Story, switch: Switch) -> None:
    olha = a_supervisor()
    row = on_the_call(story, olha)
    verbs.stop_coaching(story.attempt.pk, by=olha)
    coaching.act(row.pk)
    assert switch.killed == [row.leg_uuid]
    assert read(row).ended_at is None  # its own end tells
    hung_up(row, story)
    row = read(row)
    assert (row.ended_at, row.cause) == (story.at(20), "NORMAL_CLEARING")
    assert story.now()[0].ended_at is None


def test_what_was_not_sent_yet_is_never_sent_after_he_stopped_it(story: Story, switch: Switch) -> None:
    olha = a_supervisor()
    row = asks(story, olha)
    verbs.stop_coaching(story.attempt.pk, by=olha)
    coaching.act(row.pk)
    assert switch.placed == []
    assert read(row).cause == "MANAGER_REQUEST"


def test_a_leg_that_comes_after_its_end_is_hung_up(story: Story, switch: Switch) -> None:
    olha = a_supervisor()
    row = asks(story, olha)
    coaching.act(row.pk)
    verbs.stop_coaching(story.attempt.pk, by=olha)
    tell(row, story, events.LegCreated)
    assert story.orders[-1] == commands.hang_up(row.leg_uuid, "ORIGINATOR_CANCEL")


def test_who_is_on_no_call_has_nothing_to_stop(story: Story) -> None:
    asks(story, a_supervisor("petro"))
    with pytest.raises(Refused) as caught:
        verbs.stop_coaching(story.attempt.pk, by=a_supervisor())
    assert caught.value.code == "NOT_COACHING"


def test_a_phone_that_does_not_answer_ends_it_and_not_the_call(story: Story, switch: Switch) -> None:
    row = asks(story, a_supervisor())
    coaching.act(row.pk)
    done(row, story, "USER_NOT_REGISTERED")
    row = read(row)
    assert (row.cause, row.answered_at) == ("USER_NOT_REGISTERED", None)
    assert story.now()[0].ended_at is None


def test_the_end_of_his_leg_tells_that_he_answered_when_nothing_else_did(story: Story, switch: Switch) -> None:
    row = asks(story, a_supervisor())
    coaching.act(row.pk)
    hung_up(row, story, answered_at=story.at(9))
    assert read(row).answered_at == story.at(9)


def test_a_switch_that_does_not_take_it_ends_it(story: Story, switch: Switch) -> None:
    switch.outcome = Outcome.REFUSED
    row = asks(story, a_supervisor())
    coaching.act(row.pk)
    assert read(row).cause == "REFUSED"


def test_a_call_that_ended_meanwhile_rings_nobody(story: Story, switch: Switch) -> None:
    row = asks(story, a_supervisor())
    story.both_end(30)
    coaching.act(row.pk)
    assert switch.placed == []
    assert read(row).cause == "CALL_ENDED"


# --- what was lost ------------------------------------------------------------------------------------------------


def ago(row: Coaching, field: str, seconds: float) -> None:
    Coaching.objects.filter(pk=row.pk).update(**{field: clock.now() - timedelta(seconds=seconds)})


def look(reconciler: Reconciler) -> None:
    reconciler.step(force=True)


def of(story: Story, switch: Switch) -> Reconciler:
    return Reconciler(story.node, switch)  # type: ignore[arg-type]


def test_his_leg_is_left_alone_while_he_listens(story: Story, switch: Switch) -> None:
    row = on_the_call(story, a_supervisor())
    ago(row, "sending_at", 600)
    switch.legs = {row.leg_uuid, story.attempt.operator_uuid, story.attempt.subscriber_uuid}
    reconciler = of(story, switch)
    look(reconciler)
    look(reconciler)
    assert switch.killed == []
    assert read(row).ended_at is None


def test_a_leg_that_the_switch_denies_twice_has_ended(story: Story, switch: Switch) -> None:
    row = on_the_call(story, a_supervisor())
    ago(row, "sending_at", 4)
    switch.legs = {story.attempt.operator_uuid, story.attempt.subscriber_uuid}
    reconciler = of(story, switch)
    look(reconciler)
    assert read(row).ended_at is None
    look(reconciler)
    assert read(row).cause == "LOST"
    assert story.now()[0].ended_at is None


def test_a_leg_that_outlives_its_call_is_hung_up(story: Story, switch: Switch) -> None:
    row = on_the_call(story, a_supervisor())
    ago(row, "sending_at", 4)
    story.both_end(30)
    switch.legs = {row.leg_uuid}
    look(of(story, switch))
    assert switch.killed == [row.leg_uuid]


def test_a_leg_is_hung_up_though_the_task_that_should_was_lost(story: Story, switch: Switch) -> None:
    olha = a_supervisor()
    row = on_the_call(story, olha)
    ago(row, "sending_at", 4)
    verbs.stop_coaching(story.attempt.pk, by=olha)
    switch.legs = {row.leg_uuid, story.attempt.operator_uuid}
    look(of(story, switch))
    assert switch.killed == [row.leg_uuid]


def test_what_nobody_sent_for_10_seconds_is_given_up(story: Story, switch: Switch) -> None:
    row = asks(story, a_supervisor())
    ago(row, "asked_at", 9)
    look(of(story, switch))
    assert read(row).ended_at is None
    ago(row, "asked_at", 11)
    look(of(story, switch))
    assert read(row).cause == "NOT_SENT"
    coaching.act(row.pk)
    assert switch.placed == []


def test_a_phone_that_rings_no_more_has_been_answered_though_no_event_told(story: Story, switch: Switch) -> None:
    row = asks(story, a_supervisor())
    coaching.act(row.pk)
    switch.legs = {row.leg_uuid, story.attempt.operator_uuid}
    ago(row, "sending_at", coaching.RINGS_FOR)
    look(of(story, switch))
    assert read(row).answered_at is None
    ago(row, "sending_at", coaching.RINGS_FOR + 6)
    look(of(story, switch))
    assert read(row).answered_at is not None


@pytest.mark.parametrize("end", ["restarted", "gone"])
def test_nobody_listens_on_a_switch_that_has_gone(story: Story, switch: Switch, end: str) -> None:
    row = on_the_call(story, a_supervisor())
    if end == "restarted":
        of(story, Switch(uuid4())).end_lost_cores()
    else:
        reconcile.end_gone(Node.objects.get(pk=story.node.pk))
    assert read(row).cause == "LOST"


def test_a_restart_keeps_those_of_the_run_that_lives(story: Story, switch: Switch) -> None:
    row = on_the_call(story, a_supervisor())
    of(story, switch).end_lost_cores()
    assert read(row).ended_at is None
