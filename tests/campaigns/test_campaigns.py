"""RUN, STOP, sleep, completion, and editing while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from agents.models import Tier
from campaigns import actions
from campaigns.actions import RunAnswer
from campaigns.models import (
    CAMPAIGN_EDGES,
    DEFAULT_CAUSES,
    Campaign,
    CampaignState,
    CauseRule,
    Completion,
    Route,
    Treatment,
)
from dialer import clock, locks
from dialer.errors import Refused
from dialer.models import Attempt
from members.models import Member, MemberState
from tests import factories

S = CampaignState


def put(campaign: Campaign, state: CampaignState) -> None:
    """Set a state without its history."""
    completion = Completion.LIST_COMPLETE if state == S.COMPLETED else ""
    Campaign.objects.filter(pk=campaign.pk).update(state=state, completion=completion)


def state_of(campaign: Campaign) -> CampaignState:
    return CampaignState(Campaign.objects.values_list("state", flat=True).get(pk=campaign.pk))


@pytest.fixture
def campaign(db: None) -> Campaign:
    """Return an idle campaign with a route and one subscriber to call."""
    factories.make_route()
    campaign = factories.make_campaign()
    factories.make_member(campaign)
    return campaign


# --- the edges --------------------------------------------------------------------------------------------------


def run_or_wake(campaign: Campaign) -> None:
    actions.wake_up(campaign.pk)
    actions.run(campaign.pk)


def stop_with_a_call(campaign: Campaign) -> None:
    """STOP while a call is under way, which keeps the campaign at stopping."""
    operator = factories.make_operator(campaign)
    factories.make_attempt(factories.make_member(campaign), operator, sending_at=clock.now())
    actions.stop(campaign.pk)


def complete_the_list(campaign: Campaign) -> None:
    Member.objects.filter(campaign=campaign).update(
        state=MemberState.ENDED, ended_at=clock.now(), end_cause="NO_ANSWER"
    )
    actions.complete(campaign.pk, Completion.LIST_COMPLETE)


TRANSITIONS: dict[CampaignState, Callable[[Campaign], Any]] = {
    S.RUNNING: run_or_wake,
    S.SLEEPING: lambda campaign: actions.fall_asleep(campaign.pk, clock.now() + timedelta(hours=1)),
    S.STOPPING: stop_with_a_call,
    S.STOPPED: lambda campaign: actions.finish_stopping(campaign.pk),
    S.COMPLETED: complete_the_list,
}


@pytest.mark.parametrize("target", TRANSITIONS)
@pytest.mark.parametrize("source", CampaignState)
def test_a_state_changes_along_the_edges_and_no_others(
    campaign: Campaign, source: CampaignState, target: CampaignState
) -> None:
    put(campaign, source)
    with suppress(Refused):
        TRANSITIONS[target](campaign)
    allowed = target in CAMPAIGN_EDGES[source]
    assert state_of(campaign) == (target if allowed else source)


def test_no_edge_leads_back_to_idle() -> None:
    assert not any(S.IDLE in targets for targets in CAMPAIGN_EDGES.values())


# --- RUN --------------------------------------------------------------------------------------------------------


def test_run_without_a_route_is_refused(campaign: Campaign) -> None:
    Route.objects.all().delete()

    with pytest.raises(Refused) as refused:
        actions.run(campaign.pk)

    assert refused.value.code == "NO_ROUTE"
    assert state_of(campaign) == S.IDLE


def test_a_route_that_is_off_or_belongs_to_another_campaign_is_none(campaign: Campaign) -> None:
    Route.objects.update(enabled=False)
    factories.make_route(campaign=factories.make_campaign())

    with pytest.raises(Refused, match="No route"):
        actions.run(campaign.pk)


def test_run_with_nobody_left_answers_nothing_to_dial(campaign: Campaign) -> None:
    Member.objects.update(state=MemberState.ENDED, ended_at=clock.now(), end_cause="USER_BUSY")

    assert actions.run(campaign.pk) is RunAnswer.NOTHING_TO_DIAL
    assert state_of(campaign) == S.IDLE


def test_run_finds_a_route_that_was_added_after_the_subscribers(db: None) -> None:
    """The numbers find their routes in the background; RUN does not answer before they have."""
    campaign = factories.make_campaign()
    member = factories.make_member(campaign)
    factories.make_route(campaign=campaign)

    assert actions.run(campaign.pk) is RunAnswer.STARTED
    member.refresh_from_db()
    assert member.next_communication is not None


def test_run_when_no_route_matches_a_number_answers_nothing_to_dial(db: None) -> None:
    factories.make_route(pattern="^49")
    campaign = factories.make_campaign()
    factories.make_member(campaign, ["+380501112233"])

    assert actions.run(campaign.pk) is RunAnswer.NOTHING_TO_DIAL


def test_run_counts_who_is_on_a_call_as_left(campaign: Campaign) -> None:
    factories.make_attempt(Member.objects.get(), sending_at=clock.now())
    put(campaign, S.STOPPING)

    assert actions.run(campaign.pk) is RunAnswer.STARTED


def test_run_after_the_calendars_last_date_answers_calendar_expired(db: None) -> None:
    factories.make_route()
    yesterday = (clock.now() - timedelta(days=2)).date()
    campaign = factories.make_campaign(factories.make_calendar(last_date=yesterday))
    factories.make_member(campaign)

    assert actions.run(campaign.pk) is RunAnswer.CALENDAR_EXPIRED
    assert state_of(campaign) == S.IDLE


@pytest.mark.parametrize("state", [S.RUNNING, S.SLEEPING])
def test_run_changes_nothing_of_a_running_or_sleeping_campaign(campaign: Campaign, state: CampaignState) -> None:
    until = clock.now() + timedelta(hours=3)
    put(campaign, state)
    Campaign.objects.update(sleeping_until=until)

    assert actions.run(campaign.pk) is RunAnswer.UNCHANGED
    assert state_of(campaign) == state
    assert Campaign.objects.get().sleeping_until == until


def test_run_of_a_completed_campaign_forgets_why_it_ended(campaign: Campaign) -> None:
    put(campaign, S.COMPLETED)
    Campaign.objects.update(completion_left=7)

    actions.run(campaign.pk)

    campaign.refresh_from_db()
    assert (campaign.state, campaign.completion, campaign.completion_left) == (S.RUNNING, "", 0)


# --- STOP -------------------------------------------------------------------------------------------------------


def test_stop_withdraws_what_is_reserved_and_not_sent(campaign: Campaign) -> None:
    operator = factories.make_operator(campaign)
    attempt = factories.make_attempt(Member.objects.get(), operator)
    hold(operator.pk, attempt)
    put(campaign, S.RUNNING)

    assert actions.stop(campaign.pk) == S.STOPPED

    attempt.refresh_from_db()
    operator.refresh_from_db()
    assert attempt.ended_at is not None
    assert not attempt.counted
    assert operator.state == "waiting"
    assert Member.objects.get().state == MemberState.READY


def test_stop_cuts_no_call(campaign: Campaign) -> None:
    attempt = factories.make_attempt(Member.objects.get(), sending_at=clock.now())
    put(campaign, S.RUNNING)

    assert actions.stop(campaign.pk) == S.STOPPING

    attempt.refresh_from_db()
    assert attempt.ended_at is None
    assert not attempt.kill_reason
    assert not actions.finish_stopping(campaign.pk)


def test_a_stopping_campaign_is_stopped_once_no_attempt_lives(campaign: Campaign) -> None:
    put(campaign, S.STOPPING)

    assert actions.finish_stopping(campaign.pk)
    assert state_of(campaign) == S.STOPPED


@pytest.mark.parametrize("state", [S.STOPPING, S.STOPPED])
def test_a_second_stop_changes_nothing(campaign: Campaign, state: CampaignState) -> None:
    factories.make_attempt(Member.objects.get(), sending_at=clock.now())
    put(campaign, state)

    assert actions.stop(campaign.pk) == state


@pytest.mark.parametrize("state", [S.IDLE, S.COMPLETED])
def test_stop_of_a_campaign_that_does_not_run_is_refused(campaign: Campaign, state: CampaignState) -> None:
    put(campaign, state)

    with pytest.raises(Refused) as refused:
        actions.stop(campaign.pk)
    assert refused.value.code == "WRONG_STATE"


# --- sleep and completion ---------------------------------------------------------------------------------------


def test_a_sleeping_campaign_says_until_when(campaign: Campaign) -> None:
    put(campaign, S.RUNNING)
    first, second = clock.now() + timedelta(hours=1), clock.now() + timedelta(hours=2)

    assert actions.fall_asleep(campaign.pk, first)
    assert actions.fall_asleep(campaign.pk, second)
    assert Campaign.objects.get().sleeping_until == second

    assert actions.wake_up(campaign.pk)
    assert Campaign.objects.get().sleeping_until is None


def test_no_campaign_completes_while_somebody_may_be_called(campaign: Campaign) -> None:
    put(campaign, S.RUNNING)

    assert not actions.complete(campaign.pk, Completion.LIST_COMPLETE)
    assert state_of(campaign) == S.RUNNING


@pytest.mark.parametrize("reason", Completion)
def test_no_campaign_completes_while_somebody_is_on_a_call(campaign: Campaign, reason: Completion) -> None:
    factories.make_attempt(Member.objects.get(), sending_at=clock.now())
    put(campaign, S.RUNNING)

    assert not actions.complete(campaign.pk, reason)


def test_the_end_of_the_calendar_leaves_subscribers_as_they_are(campaign: Campaign) -> None:
    put(campaign, S.SLEEPING)

    assert actions.complete(campaign.pk, Completion.CALENDAR_EXPIRED)

    campaign.refresh_from_db()
    assert (campaign.state, campaign.completion) == (S.COMPLETED, Completion.CALENDAR_EXPIRED)
    assert Member.objects.get().state == MemberState.READY


def test_completion_says_how_many_could_not_be_dialled(campaign: Campaign) -> None:
    Route.objects.all().delete()
    Member.objects.update(state=MemberState.WAITING, next_communication=None, next_gateway=None)
    put(campaign, S.RUNNING)

    assert actions.complete(campaign.pk, Completion.NOTHING_TO_DIAL, left=1)

    campaign.refresh_from_db()
    assert (campaign.completion, campaign.completion_left) == (Completion.NOTHING_TO_DIAL, 1)


# --- races on the campaign's row --------------------------------------------------------------------------------


class Elsewhere:
    """Another transaction, on a connection of its own, that stays open until told to end."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work, self.begun, self.finish = work, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        assert self.begun.wait(10)

    def _run(self) -> None:
        try:
            with transaction.atomic():
                self.work()
                self.begun.set()
                self.finish.wait(10)
        finally:
            self.begun.set()
            connection.close()

    def end(self) -> None:
        self.finish.set()
        self.thread.join(10)


@pytest.fixture
def uploading(transactional_db: None) -> Iterator[tuple[Campaign, Elsewhere]]:
    """A running campaign whose list is done, while an upload to it is under way."""
    factories.make_route()
    campaign = factories.make_campaign()
    put(campaign, S.RUNNING)
    upload = Elsewhere(lambda: (locks.share(Campaign, [campaign.pk]), factories.make_member(campaign)))
    yield campaign, upload
    upload.end()


def test_no_upload_slips_behind_a_completion(uploading: tuple[Campaign, Elsewhere]) -> None:
    campaign, upload = uploading

    assert not actions.complete(campaign.pk, Completion.LIST_COMPLETE), "it does not wait for the upload either"
    upload.end()
    assert not actions.complete(campaign.pk, Completion.LIST_COMPLETE)
    assert state_of(campaign) == S.RUNNING


def test_without_the_lock_an_upload_would_slip_behind(uploading: tuple[Campaign, Elsewhere]) -> None:
    """The negative control: the same steps without asking for the campaign's row first lose the subscriber."""
    campaign, upload = uploading

    with transaction.atomic():
        assert not actions._can_dial(campaign.pk)
        upload.end()
        assert actions._move(campaign.pk, S.COMPLETED, completion=Completion.LIST_COMPLETE)

    assert state_of(campaign) == S.COMPLETED
    assert Member.objects.filter(campaign=campaign, state=MemberState.READY).exists(), "left behind"


# --- editing ----------------------------------------------------------------------------------------------------


def test_a_new_campaign_has_the_defaults_of_the_document(db: None) -> None:
    campaign = actions.create_campaign(name="Debt reminders", calendar=factories.make_calendar())

    assert (campaign.limit, campaign.retry_wait, campaign.max_retries, campaign.min_duration) == (30, 60, 5, 10)
    assert (campaign.wait_for_result, campaign.wrap_up_time, campaign.originate_timeout) == (False, 60, 60)
    assert (campaign.variables, campaign.connect_order, campaign.state) == ({}, "operator_first", "idle")
    assert dict(campaign.causes.values_list("cause", "treatment")) == DEFAULT_CAUSES


def test_editing_a_running_campaign_keeps_its_state(campaign: Campaign) -> None:
    put(campaign, S.RUNNING)
    actions.update_campaign(campaign.pk, limit=5, variables={"language": "uk"})

    campaign.refresh_from_db()
    assert (campaign.limit, campaign.variables, campaign.state) == (5, {"language": "uk"}, S.RUNNING)


def test_a_lowered_maximum_ends_those_over_it(campaign: Campaign) -> None:
    over, under = factories.make_member(campaign, counted=3), factories.make_member(campaign, counted=2)
    put(campaign, S.RUNNING)

    actions.update_campaign(campaign.pk, max_retries=3)

    over.refresh_from_db()
    under.refresh_from_db()
    assert (over.state, over.end_cause) == (MemberState.ENDED, "MAX_TRY_COUNT")
    assert under.state == MemberState.READY


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", -1),
        ("max_retries", 0),
        ("originate_timeout", 601),
        ("variables", {"api_on_answer": "x"}),
        ("name", ""),
    ],
)
def test_a_bad_value_is_refused_by_its_field(campaign: Campaign, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        actions.update_campaign(campaign.pk, **{field: value})

    assert set(refused.value.message_dict) == {field}


def test_causes_are_replaced_as_a_whole(campaign: Campaign) -> None:
    actions.set_causes(campaign.pk, {"USER_BUSY": "error", "NORMAL_CLEARING": "ok"})
    assert dict(campaign.causes.values_list("cause", "treatment")) == {"USER_BUSY": "error", "NORMAL_CLEARING": "ok"}

    actions.restore_default_causes(campaign.pk)
    assert dict(campaign.causes.values_list("cause", "treatment")) == DEFAULT_CAUSES


def test_bad_causes_are_refused_by_cause_and_change_nothing(campaign: Campaign) -> None:
    with pytest.raises(ValidationError) as refused:
        actions.set_causes(campaign.pk, {"user busy": "error", "NO_ANSWER": "maybe", "USER_BUSY": "error"})

    assert set(refused.value.message_dict) == {"user busy", "NO_ANSWER"}
    assert campaign.causes.count() == len(DEFAULT_CAUSES)


def test_a_cause_is_in_one_treatment_at_most(campaign: Campaign) -> None:
    with pytest.raises(ValidationError, match="treatment in this campaign already"):
        CauseRule(campaign=campaign, cause="USER_BUSY", treatment=Treatment.ERROR).full_clean()


def test_a_copy_has_everything_but_subscribers_and_state(campaign: Campaign) -> None:
    operator = factories.make_operator(campaign)
    Tier.objects.update(level=2, position=3)
    factories.make_route(campaign=campaign, pattern="^380")
    actions.set_causes(campaign.pk, {"USER_BUSY": "error"})
    actions.update_campaign(campaign.pk, limit=7, variables={"language": "uk"})
    put(campaign, S.RUNNING)

    copy = actions.clone_campaign(campaign.pk, "Second round")

    copy.refresh_from_db()
    assert (copy.name, copy.limit, copy.variables, copy.state) == ("Second round", 7, {"language": "uk"}, S.IDLE)
    assert list(copy.causes.values_list("cause", "treatment")) == [("USER_BUSY", "error")]
    assert list(Tier.objects.filter(campaign=copy).values_list("operator", "level", "position")) == [
        (operator.pk, 2, 3)
    ]
    assert list(Route.objects.filter(campaign=copy).values_list("pattern", flat=True)) == ["^380"]
    assert not Member.objects.filter(campaign=copy).exists()
    assert Route.objects.filter(campaign=campaign).count() == 1


def hold(operator_id: int, attempt: Attempt) -> None:
    from agents.actions import reserve

    assert reserve([(operator_id, attempt.pk)], datetime.now(UTC)) == {operator_id}
