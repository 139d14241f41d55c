"""The result of a call: stored during it, applied at its end, timed out, refused and kept."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import connection

from agents.models import OperatorState
from campaigns.models import Campaign, Disposition
from dialer import clock
from dialer.engine import dispatch, tidy
from dialer.engine.results import extend, report_result
from dialer.errors import Refused
from dialer.models import Attempt, Repair, ResultReport, ResultState
from members import actions as members
from members.models import Communication, DoNotCall, Member, MemberState
from tests.engine.story import Story
from tests.factories import make_campaign, make_member, make_number

pytestmark = pytest.mark.django_db


def waiting(numbers: int = 1, **more: Any) -> Story:
    """A story in a campaign that waits for results; its subscriber has so many numbers."""
    story = Story(**{"wait_for_result": True, "wrap_up_time": 45, "retry_wait": 60, **more})
    for _ in range(numbers - 1):
        members.add_number(story.member, make_number())
    return story


def report(story: Story, **body: Any) -> dict[str, Any]:
    return report_result(story.campaign.pk, story.member.pk, body)


def refusal(story: Story, **body: Any) -> str:
    with pytest.raises(Refused) as caught:
        report(story, **body)
    return caught.value.code


def digits_of(story: Story) -> list[str]:
    return list(story.member.communications.order_by("pk").values_list("digits", flat=True))


# --- when -------------------------------------------------------------------------------------------------------


def test_after_the_call_he_is_held_and_a_success_ends_him_however_short_the_talk() -> None:
    story = waiting(min_duration=10)
    story.talk(2)
    attempt, _, member = story.now()
    assert (attempt.outcome, attempt.result_state, attempt.counted) == ("awaiting_result", "awaited", False)
    assert attempt.result_deadline == story.at(7 + 45)
    assert (member.state, member.current_attempt_id, member.counted) == (MemberState.HELD, attempt.pk, 0)
    assert report(story, success=True, comment="sold") == {"attempt": attempt.pk, "result": "applied"}
    attempt, _, member = story.now()
    assert (attempt.outcome, attempt.result_state, attempt.counted) == ("success", "applied", True)
    assert attempt.comment == "sold"
    assert (member.state, member.end_cause, member.success, member.counted) == ("ended", "NORMAL_CLEARING", True, 1)


def test_a_long_talk_without_a_success_goes_on_after_the_wait_from_the_end_of_the_call() -> None:
    story = waiting(min_duration=10)
    story.talk(100)
    report(story, success=False)
    attempt, _, member = story.now()
    assert (attempt.outcome, attempt.counted) == ("retry", True)
    assert (member.state, member.counted, member.due_at) == (MemberState.WAITING, 1, story.at(105 + 60))


def test_during_the_call_it_is_stored_and_applied_at_its_end() -> None:
    story = waiting()
    story.bridged()
    assert report(story, success=True)["result"] == "stored"
    attempt, _, member = story.now()
    assert (attempt.result_state, attempt.ended_at, member.state) == ("stored", None, MemberState.LIVE)
    story.both_end(30)
    attempt, _, member = story.now()
    assert (attempt.result_state, attempt.outcome, member.end_cause) == ("applied", "success", "NORMAL_CLEARING")
    assert member.state == MemberState.ENDED


def test_next_after_sec_of_a_stored_result_runs_from_the_end_of_the_call() -> None:
    story = waiting()
    story.bridged()
    report(story, success=False, next_after_sec=600)
    story.both_end(300)
    assert story.now()[2].due_at == story.at(300 + 600)


def test_next_after_sec_of_a_later_result_runs_from_its_receipt() -> None:
    story = waiting()
    story.talk(10)
    with time_machine.travel(story.at(40), tick=False):
        report(story, success=False, next_after_sec=5)
    assert story.now()[2].due_at == story.at(45)


def test_without_a_result_in_time_the_call_is_counted_and_dialling_goes_on() -> None:
    story = waiting()
    story.talk(20)
    with time_machine.travel(story.at(25 + 44), tick=False):
        tidy.run()
    assert story.now()[2].state == MemberState.HELD
    with time_machine.travel(story.at(25 + 45), tick=False):
        tidy.run()
    attempt, _, member = story.now()
    assert (attempt.result_state, attempt.outcome, attempt.counted) == ("timed_out", "retry", True)
    assert (member.state, member.counted, member.due_at) == (MemberState.WAITING, 1, story.at(25 + 60))
    with time_machine.travel(story.at(25 + 46), tick=False):
        assert refusal(story, success=True) == "TIMED_OUT"


def test_when_the_wait_is_shorter_than_the_time_for_a_result_he_is_due_at_once_after_it() -> None:
    story = waiting(retry_wait=5)
    story.talk(20)
    with time_machine.travel(story.at(25 + 46), tick=False):
        tidy.run()
    assert story.now()[2].state == MemberState.READY


def test_a_result_after_the_deadline_is_too_late_even_before_anyone_noticed() -> None:
    story = waiting()
    story.talk(20)
    with time_machine.travel(story.at(25 + 46), tick=False):
        assert refusal(story, success=True) == "TIMED_OUT"
    assert ResultReport.objects.get().verdict == "refused"


def test_results_time_out_in_every_state_of_the_campaign() -> None:
    story = waiting()
    story.talk(20)
    Campaign.objects.filter(pk=story.campaign.pk).update(state="stopped")
    with time_machine.travel(story.at(25 + 46), tick=False):
        tidy.run()
    assert story.now()[0].result_state == ResultState.TIMED_OUT


# --- again, refused, kept ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("live", [True, False])
def test_the_same_result_again_acts_once_and_a_different_one_is_refused(live: bool) -> None:
    story = waiting()
    story.bridged() if live else story.talk(20)
    body = {"success": False, "next_after_sec": 30, "comment": "later"}
    report(story, **body)
    before = story.now()
    assert report(story, **body) == {"attempt": story.attempt.pk, "result": "repeated"}
    assert report(story, **body, attempt=story.attempt.pk)["result"] == "repeated"
    assert refusal(story, success=True) == "ALREADY_GIVEN"
    after = story.now()
    assert (before[2].counted, before[2].due_at, before[0].result) == (
        after[2].counted,
        after[2].due_at,
        after[0].result,
    )
    assert sorted(ResultReport.objects.values_list("verdict", flat=True)) == sorted(
        ["stored" if live else "applied", "repeated", "repeated", "refused"]
    )


def test_what_is_refused_is_kept_with_its_attempt_and_the_reason() -> None:
    story = Story(wait_for_result=False)
    story.talk(3)
    assert refusal(story, success=True, comment="he bought it") == "MODE_OFF"
    kept = ResultReport.objects.get()
    assert (kept.attempt_id, kept.member_id, kept.verdict) == (story.attempt.pk, story.member.pk, "refused")
    assert kept.body == {"success": True, "comment": "he bought it"}
    assert kept.reason


def test_before_the_call_is_connected_and_without_any_call_no_result_is_awaited() -> None:
    story = waiting()
    story.operator_answers()
    assert refusal(story, success=True) == "NOT_CONNECTED"
    other = make_member(story.campaign)
    with pytest.raises(Refused) as caught:
        report_result(story.campaign.pk, other.pk, {"success": True})
    assert caught.value.code == "NOT_CONNECTED"
    assert ResultReport.objects.get(member=other).attempt is None


def test_a_call_that_was_never_bridged_awaits_no_result() -> None:
    story = waiting()
    story.operator_answers()
    story.both_end(10, "USER_BUSY")
    assert refusal(story, success=True) == "NOT_CONNECTED"


def test_a_result_about_another_attempt_than_the_one_awaited_is_refused() -> None:
    story = waiting()
    story.talk(20)
    other = waiting()
    assert refusal(story, success=True, attempt=other.attempt.pk) == "NOT_CONNECTED"
    assert refusal(story, success=True, attempt=10**15) == "NOT_CONNECTED"
    assert story.now()[2].state == MemberState.HELD
    assert report(story, success=True, attempt=story.attempt.pk)["result"] == "applied"


def test_a_repeated_result_is_about_the_connected_call_although_the_next_one_has_begun() -> None:
    story = waiting(retry_wait=0)
    story.talk(20)
    first = story.attempt.pk
    report(story, success=False, next_after_sec=0)
    with time_machine.travel(story.at(120), tick=False):
        dispatch.sweep(story.at(120))
        story.node.last_event_at = story.at(120)
        story.node.save()
        story.reserve()
        assert story.attempt.pk != first
        assert report(story, success=False, next_after_sec=0) == {"attempt": first, "result": "repeated"}
        assert refusal(story, success=True) == "ALREADY_GIVEN"
        assert refusal(story, success=True, attempt=story.attempt.pk) == "NOT_CONNECTED"
        story.bridged()
        assert report(story, success=True) == {"attempt": story.attempt.pk, "result": "stored"}


def test_faults_are_named_by_field_and_nothing_is_kept() -> None:
    story = waiting()
    story.talk(20)
    with pytest.raises(ValidationError) as caught:
        report(story, success=False, next_after_sec=-1, next_communication="call me", colour="red")
    assert set(caught.value.message_dict) == {"next_after_sec", "next_communication", "colour"}
    with pytest.raises(ValidationError):
        report_result(story.campaign.pk, story.member.pk, ["success"])  # type: ignore[arg-type]
    assert not ResultReport.objects.exists()


def test_an_unknown_campaign_or_subscriber_does_not_exist() -> None:
    story = waiting()
    for campaign, member in (
        (10**6, story.member.pk),
        (story.campaign.pk, 10**6),
        (make_campaign().pk, story.member.pk),
    ):
        with pytest.raises(ObjectDoesNotExist):
            report_result(campaign, member, {"success": True})


# --- what it changes --------------------------------------------------------------------------------------------


def test_a_known_next_number_comes_next() -> None:
    story = waiting(numbers=3)
    story.talk(20)
    last = digits_of(story)[2]
    report(story, success=False, next_communication="+" + last, next_after_sec=0)
    member = story.now()[2]
    assert (member.next_communication.digits if member.next_communication else None) == last
    assert member.communications.count() == 3


def test_a_stopped_next_number_is_active_again() -> None:
    story = waiting(numbers=2)
    second = digits_of(story)[1]
    Communication.objects.filter(digits=second).update(stopped="person")
    story.talk(20)
    report(story, success=False, next_communication=second)
    number = Communication.objects.get(digits=second)
    assert (number.stopped, story.now()[2].next_communication_id) == ("", number.pk)


def test_a_new_next_number_is_added_above_the_highest_priority_and_comes_next() -> None:
    story = waiting(numbers=2)
    Communication.objects.filter(digits=digits_of(story)[1]).update(priority=7)
    story.talk(20)
    report(story, success=False, next_communication="+380 44 123-45-67")
    added = Communication.objects.get(digits="380441234567")
    assert (added.member_id, added.priority, added.number) == (story.member.pk, 8, "+380 44 123-45-67")
    assert story.now()[2].next_communication_id == added.pk


def test_after_the_number_that_was_asked_for_the_usual_order_holds_again() -> None:
    story = waiting(numbers=2)
    first, second = digits_of(story)
    story.talk(20)
    report(story, success=False, next_communication=first, next_after_sec=0)
    with time_machine.travel(story.at(300), tick=False):
        dispatch.sweep(story.at(300))
        story.node.last_event_at = story.at(300)
        story.node.save()
        assert story.reserve().digits == first
        story.operator_answers()
        story.both_end(10, "USER_BUSY")
    member = story.now()[2]
    assert member.requested_communication_id is None
    assert member.next_communication is not None
    assert member.next_communication.digits == second


def test_a_next_number_of_another_subscriber_is_refused_and_changes_nothing() -> None:
    story = waiting()
    other = make_member(story.campaign)
    story.talk(20)
    taken = other.communications.get().digits
    assert refusal(story, success=False, next_communication=taken) == "NUMBER_TAKEN"
    attempt, _, member = story.now()
    assert (attempt.result_state, attempt.result, member.state) == ("awaited", None, MemberState.HELD)
    assert report(story, success=False)["result"] == "applied"


def test_a_stored_next_number_that_another_has_got_meanwhile_is_left_out_and_the_rest_applied() -> None:
    story = waiting(numbers=2)
    first, second = digits_of(story)
    story.bridged()
    report(story, success=False, next_communication="380441234567", stop_communications=[second], next_after_sec=9)
    make_member(story.campaign, ["380441234567"])
    story.both_end(30)
    attempt, _, member = story.now()
    assert (attempt.result_state, attempt.outcome, attempt.counted) == ("applied", "retry", True)
    assert (member.state, member.counted, member.due_at) == (MemberState.WAITING, 1, story.at(30 + 9))
    assert digits_of(story) == [first, second]
    assert Communication.objects.get(digits=second).stopped == "result"
    assert Repair.objects.get().kind == "result_in_part"


@pytest.mark.parametrize("as_text", [True, False])
def test_stopped_numbers_get_no_more_attempts(as_text: bool) -> None:
    story = waiting(numbers=2)
    first, second = digits_of(story)
    story.talk(20)
    report(story, success=False, stop_communications=f"+{first}" if as_text else [first, "380000000000"])
    number = Communication.objects.get(digits=first)
    member = story.now()[2]
    assert (number.stopped, member.end_cause) == ("result", "")
    assert member.next_communication is not None
    assert member.next_communication.digits == second


def test_all_stops_all_numbers_but_the_next_one() -> None:
    story = waiting(numbers=3)
    second = digits_of(story)[1]
    story.talk(20)
    report(story, success=False, stop_communications="all", next_communication=second)
    active = story.member.communications.filter(stopped="")
    assert [number.digits for number in active] == [second]
    assert story.now()[2].next_communication_id == active[0].pk


def test_all_without_a_next_one_ends_him_as_no_communications() -> None:
    story = waiting(numbers=2)
    story.talk(20)
    report(story, success=False, stop_communications="all")
    member = story.now()[2]
    assert (member.state, member.end_cause, member.success) == ("ended", "NO_COMMUNICATIONS", False)


def test_all_with_a_new_next_one_leaves_that_alone() -> None:
    story = waiting(numbers=2)
    story.talk(20)
    report(story, success=False, stop_communications="all", next_communication="380441234567")
    assert [number.digits for number in story.member.communications.filter(stopped="")] == ["380441234567"]
    assert story.now()[2].end_cause == ""


@pytest.mark.parametrize("name", ["reset_retries", "reset_retr"])
def test_a_reset_sets_all_counters_to_zero_and_stopped_numbers_stay_stopped(name: str) -> None:
    story = waiting(numbers=2, max_retries=3)
    second = digits_of(story)[1]
    Communication.objects.filter(digits=second).update(stopped="result", tries=4)
    Member.objects.filter(pk=story.member.pk).update(counted=2, minus_in_row=3, extra_attempts=1)
    story.talk(20)
    report(story, success=False, **{name: True})
    attempt, _, member = story.now()
    assert (member.counted, member.minus_in_row, member.extra_attempts, member.state) == (0, 0, 0, MemberState.WAITING)
    assert attempt.counted
    assert set(member.communications.values_list("tries", flat=True)) == {0}
    assert Communication.objects.get(digits=second).stopped == "result"


def test_at_the_maximum_he_ends_unless_the_counters_are_reset() -> None:
    story = waiting(max_retries=1)
    story.talk(20)
    report(story, success=False)
    assert story.now()[2].end_cause == "MAX_TRY_COUNT"
    story = waiting(max_retries=1)
    story.talk(20)
    report(story, success=False, reset_retries=True)
    assert story.now()[2].state == MemberState.WAITING


def test_a_next_number_asked_for_at_the_maximum_is_called_once_more() -> None:
    story = waiting(max_retries=1)
    story.talk(20)
    report(story, success=False, next_communication=digits_of(story)[0], next_after_sec=0)
    member = story.now()[2]
    assert (member.counted, member.extra_attempts, member.end_cause) == (1, 1, "")
    with time_machine.travel(story.at(300), tick=False):
        dispatch.sweep(story.at(300))
        story.node.last_event_at = story.at(300)
        story.node.save()
        assert story.reserve().maximum_then == 2
        story.operator_answers()
        story.both_end(10, "USER_BUSY")
    assert story.now()[2].end_cause == "MAX_TRY_COUNT"


def test_a_success_changes_no_number_whatever_else_it_says() -> None:
    story = waiting(numbers=2)
    story.talk(20)
    report(story, success=True, stop_communications="all", next_communication="380441234567", reset_retries=True)
    assert not story.member.communications.exclude(stopped="").exists()
    assert story.member.communications.count() == 2
    assert story.now()[2].counted == 1


# --- what changes meanwhile -------------------------------------------------------------------------------------


def test_a_result_that_was_stored_counts_although_the_campaign_stopped_waiting_for_results() -> None:
    story = waiting()
    story.bridged()
    report(story, success=True)
    Campaign.objects.filter(pk=story.campaign.pk).update(wait_for_result=False, min_duration=100)
    story.both_end(10)
    attempt, _, member = story.now()
    assert (attempt.outcome, attempt.result_state, member.success) == ("success", "applied", True)


def test_an_awaited_result_is_taken_although_the_campaign_stopped_waiting_for_results() -> None:
    story = waiting()
    story.talk(20)
    Campaign.objects.filter(pk=story.campaign.pk).update(wait_for_result=False)
    assert report(story, success=True)["result"] == "applied"


def test_a_call_decided_by_its_talk_awaits_no_result_although_the_campaign_now_does() -> None:
    story = Story()
    story.talk(3)
    Campaign.objects.filter(pk=story.campaign.pk).update(wait_for_result=True)
    assert refusal(story, success=True) == "NOT_AWAITED"


def test_one_whom_a_person_ended_while_his_result_was_awaited_stays_ended_and_what_was_said_is_kept() -> None:
    story = waiting()
    story.talk(20)
    members.end_member(story.member)
    assert refusal(story, success=True) == "NOT_AWAITED"
    with time_machine.travel(story.at(25 + 46), tick=False):
        tidy.run()
        tidy.run()
    attempt, _, member = story.now()
    assert (member.state, member.end_cause, member.counted) == ("ended", "MANAGER_REQUEST", 0)
    assert (attempt.result_state, attempt.outcome, attempt.counted) == ("timed_out", "refunded", False)


def test_expiry_lets_the_result_finish() -> None:
    for success, cause in ((True, "NORMAL_CLEARING"), (False, "MEMBER_EXPIRED")):
        story = waiting()
        story.talk(20)
        Member.objects.filter(pk=story.member.pk).update(expire_at=story.at(1))
        dispatch.sweep(story.at(30))
        assert story.now()[2].state == MemberState.HELD
        with time_machine.travel(story.at(30), tick=False):
            report(story, success=success)
        assert story.now()[2].end_cause == cause


# --- the operator -----------------------------------------------------------------------------------------------


def test_the_operators_wrap_up_is_his_own_clock() -> None:
    story = waiting(operator={"wrap_up_time": 10})
    story.talk(20)
    assert story.now()[1].wrap_up_until == story.at(25 + 10)
    report(story, success=True)
    assert story.now()[1].state == OperatorState.WRAP_UP


def test_where_the_campaign_says_so_the_operator_waits_for_the_result() -> None:
    story = waiting(operator={"wrap_up_time": 10}, wrap_up_until_result=True)
    story.talk(20)
    assert (story.now()[1].state, story.now()[1].wrap_up_until) == (OperatorState.WRAP_UP, story.at(25 + 45))
    dispatch.sweep(story.at(25 + 30))
    assert story.now()[1].state == OperatorState.WRAP_UP
    report(story, success=False)
    assert story.now()[1].state == OperatorState.WAITING


def test_or_for_the_end_of_its_time() -> None:
    story = waiting(wrap_up_until_result=True)
    story.talk(20)
    dispatch.sweep(story.at(25 + 45))
    assert story.now()[1].state == OperatorState.WAITING


def test_a_result_given_during_the_call_leaves_him_his_own_wrap_up() -> None:
    story = waiting(operator={"wrap_up_time": 10}, wrap_up_until_result=True)
    story.bridged()
    report(story, success=True)
    story.both_end(30)
    assert (story.now()[1].state, story.now()[1].wrap_up_until) == (OperatorState.WRAP_UP, story.at(40))


def test_numbers_in_a_result_are_read_as_the_campaign_reads_them() -> None:
    story = waiting(default_region="UA", member={"numbers": ["050 123 45 67", "050 765 43 21"]})
    story.talk(20)
    with pytest.raises(ValidationError) as refused:
        report(story, success=False, stop_communications=["123 45 67"])
    assert set(refused.value.message_dict) == {"stop_communications"}
    report(story, success=False, stop_communications=["(050) 123-45-67"], next_communication="067 111 22 33")
    assert list(story.member.communications.order_by("pk").values_list("digits", "stopped")) == [
        ("380501234567", "result"), ("380507654321", ""), ("380671112233", ""),
    ]  # fmt: skip


def test_a_result_finds_a_number_that_was_entered_before_the_campaign_had_a_region() -> None:
    story = waiting(member={"numbers": ["0501234567", "0507654321"]})
    Campaign.objects.filter(pk=story.campaign.pk).update(default_region="UA")
    story.talk(20)
    report(story, success=False, stop_communications="050 123 45 67", next_communication="0507654321")
    assert dict(story.member.communications.values_list("digits", "stopped")) == {
        "0501234567": "result", "0507654321": "",
    }  # fmt: skip


def test_a_stored_number_that_the_new_region_does_not_know_is_left_out_and_the_rest_applied() -> None:
    story = waiting(member={"numbers": ["0501234567", "0507654321"]})
    story.bridged()
    report(story, success=False, stop_communications="0501234567", next_communication="112")
    Campaign.objects.filter(pk=story.campaign.pk).update(default_region="UA")
    story.both_end(30)
    assert dict(story.member.communications.values_list("digits", "stopped")) == {
        "0501234567": "result", "0507654321": "",
    }  # fmt: skip
    assert "too short" in Repair.objects.get(attempt=story.attempt, kind="result_in_part").detail
    assert story.now()[2].state == MemberState.WAITING


def test_the_ledger_agrees_with_what_is_cached_after_every_kind_of_result() -> None:
    for body in ({"success": True}, {"success": False}, {"success": False, "reset_retries": True}, None):
        story = waiting()
        story.talk(20)
        if body is not None:
            report(story, **body)
        with time_machine.travel(story.at(25 + 46), tick=False):
            tidy.run()
        member = story.now()[2]
        ledger = Attempt.objects.filter(member=member, counted=True, pk__gt=member.counts_after).count()
        assert ledger == member.counted, body
        assert timedelta(0) <= member.due_at - member.created_at


@pytest.mark.django_db(transaction=True)
def test_the_same_result_twice_at_the_same_moment_acts_once() -> None:
    story = waiting()
    story.talk(20)
    answers: list[Any] = []

    def send() -> None:
        try:
            answers.append(report(story, success=False, comment="later")["result"])
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == ["applied", "repeated", "repeated", "repeated"]
    assert story.now()[2].counted == 1


# --- dispositions and call backs --------------------------------------------------------------------------------


def defined(story: Story, name: str, meaning: str, **more: Any) -> None:
    Disposition.objects.create(campaign=story.campaign, name=name, meaning=meaning, **more)


def test_a_disposition_says_what_its_campaign_means_by_it() -> None:
    story = waiting(2)
    defined(story, "Wrong number", "failure", stop="number", wait=7200)
    story.talk(20)
    with time_machine.travel(story.at(30), tick=False):
        report(story, disposition="Wrong number")
    attempt, _, member = story.now()
    assert (attempt.disposition, attempt.outcome, attempt.result_state) == ("Wrong number", "retry", "applied")
    assert member.due_at == story.at(30 + 7200)
    assert [number.stopped for number in member.communications.order_by("pk")] == ["result", ""]


def test_a_success_by_its_name_during_the_call_is_applied_at_its_end() -> None:
    story = waiting()
    defined(story, "Sold", "success", requires=["comment"])
    story.bridged()
    with pytest.raises(ValidationError) as caught:
        report(story, disposition="Sold")
    assert caught.value.message_dict == {"comment": ["“Sold” asks for it."]}
    assert report(story, disposition="Sold", comment="two of them")["result"] == "stored"
    Disposition.objects.update(archived=True, meaning="failure", requires=[])
    story.both_end(30)
    attempt, _, member = story.now()
    assert (attempt.disposition, attempt.outcome, attempt.comment) == ("Sold", "success", "two of them")
    assert member.success


def test_a_disposition_that_the_campaign_does_not_define_is_named_with_those_it_does() -> None:
    story = waiting()
    defined(story, "Sold", "success")
    story.talk(20)
    with pytest.raises(ValidationError) as caught:
        report(story, disposition="Slod")
    assert caught.value.message_dict == {"success": ["Required: true or false."], "disposition": ["One of: Sold."]}


def test_one_that_is_offered_no_more_is_taken_from_a_desk_that_shows_it_still() -> None:
    story = waiting()
    defined(story, "Sold", "success", archived=True)
    story.talk(20)
    assert report(story, disposition="Sold")["result"] == "applied"


def test_the_same_disposition_again_acts_once() -> None:
    story = waiting()
    defined(story, "Not now", "failure", wait=60)
    story.talk(20)
    assert [report(story, disposition="Not now")["result"] for _ in range(2)] == ["applied", "repeated"]


def test_do_not_call_ends_him_and_lists_all_his_numbers_for_everybody() -> None:
    story = waiting(2)
    defined(story, "Do not call", "do_not_call")
    elsewhere = make_member(make_campaign(), numbers=[digits_of(story)[1]])
    story.talk(20)
    report(story, disposition="Do not call")
    _, _, member = story.now()
    assert (member.state, member.end_cause) == (MemberState.ENDED, "NO_COMMUNICATIONS")
    assert set(DoNotCall.objects.filter(campaign=None).values_list("digits", flat=True)) == set(digits_of(story))
    elsewhere.refresh_from_db()
    assert elsewhere.next_communication is None


def test_a_refused_result_lists_nobody() -> None:
    story = waiting()
    story.talk(20)
    report(story, success=True)
    assert refusal(story, success=False, do_not_call=True) == "ALREADY_GIVEN"
    assert not DoNotCall.objects.exists()


def test_a_call_back_comes_when_it_was_promised_and_before_the_others() -> None:
    story = waiting()
    story.talk(20)
    at = story.at(3600)
    report(story, success=False, call_back_at=at.isoformat())
    _, _, member = story.now()
    assert (member.callback, member.due_at, member.sticky_operator) == (True, at, None)


def test_a_call_back_for_me_waits_for_this_operator_until_the_grace_is_over() -> None:
    story = waiting(call_back_grace=900)
    story.bridged()
    at = story.at(3600)
    report(story, success=False, call_back_at=at.isoformat(), call_back_mine=True)
    story.both_end(30)
    _, _, member = story.now()
    assert (member.callback, member.due_at) == (True, at)
    assert (member.sticky_operator, member.sticky_until) == (story.operator, at + timedelta(seconds=900))


def test_a_call_back_promised_at_the_maximum_is_made() -> None:
    story = waiting(max_retries=1)
    story.talk(20)
    report(story, success=False, call_back_at=story.at(600).isoformat())
    _, _, member = story.now()
    assert (member.state, member.extra_attempts) == (MemberState.WAITING, 1)


def test_a_call_back_after_he_expires_is_a_fault() -> None:
    story = waiting(member={"expire_at": clock.now() + timedelta(hours=2)})
    story.talk(20)
    with pytest.raises(ValidationError) as caught:
        report(story, success=False, call_back_at=story.at(3 * 3600).isoformat())
    assert list(caught.value.message_dict) == ["call_back_at"]
    assert story.now()[0].result_state == ResultState.AWAITED


def test_the_time_for_a_result_is_extended_as_far_as_the_campaign_allows() -> None:
    story = waiting(wrap_up_extension=60)
    story.talk(20)
    with time_machine.travel(story.at(30), tick=False):
        extend(story.attempt.pk, 60)
        with pytest.raises(Refused, match="0 s more"):
            extend(story.attempt.pk, 1)
    with time_machine.travel(story.at(25 + 45 + 59), tick=False):
        tidy.run()
        assert report(story, success=True)["result"] == "applied"


def test_what_is_over_is_not_extended() -> None:
    story = waiting()
    story.talk(20)
    with time_machine.travel(story.at(25 + 46), tick=False), pytest.raises(Refused, match="over"):
        extend(story.attempt.pk, 10)
