"""Whole calls over a real socket: the loop, the listener and a simulated switch, on the real database."""

from __future__ import annotations

import time

import pytest
from django.contrib.auth import get_user_model

from agents.models import Operator, OperatorState, OperatorStatus
from campaigns.models import Campaign, CampaignState, ConnectOrder
from dialer import clock, verbs
from dialer.engine import coaching, tasks
from dialer.models import Attempt, Coaching, Node, Repair
from members.models import Member, MemberState
from tests.factories import make_campaign, make_gateway, make_member, make_operator, make_route
from tests.house import SimulatedHouse
from tests.house import house as house

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def a_campaign(**fields: object) -> Campaign:
    make_route(make_gateway())
    campaign = make_campaign(**{"min_duration": 0, "retry_wait": 1, **fields})  # type: ignore[arg-type]
    Campaign.objects.filter(pk=campaign.pk).update(state=CampaignState.RUNNING)
    return campaign


def completed() -> bool:
    return not Campaign.objects.exclude(state=CampaignState.COMPLETED).exists()


def test_a_campaign_dials_its_list_to_the_end(house: SimulatedHouse) -> None:
    campaign = a_campaign(max_retries=2)
    for extension in ("1001", "1002"):
        make_operator(campaign, extension=extension, wrap_up_time=0)
    happy, busy, wrong = (make_member(campaign, [f"+38050000000{n}"]) for n in range(3))
    house.simulator.subscriber("380500000001").busy()
    house.simulator.subscriber("380500000002").fails("UNALLOCATED_NUMBER")
    house.until(completed)
    ends = dict(Member.objects.values_list("pk", "end_cause"))
    assert ends == {happy.pk: "NORMAL_CLEARING", busy.pk: "MAX_TRY_COUNT", wrong.pk: "UNALLOCATED_NUMBER"}
    assert len(house.simulator.calls_to("380500000000")) == 1
    assert len(house.simulator.calls_to("380500000001")) == 2
    assert set(Operator.objects.values_list("state", flat=True)) == {OperatorState.WAITING}
    assert not Repair.objects.exists()


def test_talk_and_causes_agree_with_the_switch(house: SimulatedHouse) -> None:
    campaign = a_campaign()
    make_operator(campaign, extension="1001")
    make_member(campaign, ["+380500000000"])
    house.until(completed)
    (call,) = house.simulator.calls_to("380500000000")
    attempt = Attempt.objects.get()
    assert attempt.subscriber_answered_at
    assert attempt.bridged_at
    assert attempt.talk_ended_at
    assert str(attempt.subscriber_uuid) == call.uuid
    assert call.answered_at
    assert abs((attempt.subscriber_answered_at - call.answered_at).total_seconds()) < 0.05
    assert call.ended_at
    assert abs((attempt.talk_ended_at - call.ended_at).total_seconds()) < 0.1
    assert attempt.operator.calls == 1


def test_an_operator_who_rejects_is_passed_over_and_the_subscriber_is_called_by_another(house: SimulatedHouse) -> None:
    campaign = a_campaign()
    first = make_operator(campaign, extension="1001", reject_delay=60)
    second = make_operator(campaign, extension="1002")
    first.tiers.update(level=1)
    second.tiers.update(level=2)
    house.simulator.operator("1001").rejects()
    member = make_member(campaign, ["+380500000000"])
    house.until(completed)
    member.refresh_from_db()
    assert member.success
    assert list(Attempt.objects.order_by("pk").values_list("operator", "outcome")) == [
        (first.pk, "refunded"),
        (second.pk, "success"),
    ]


def test_a_phone_that_leaves_gets_no_calls_until_it_registers_again(house: SimulatedHouse) -> None:
    campaign = a_campaign()
    operator = make_operator(campaign, extension="1001")
    house.until(lambda: Node.objects.filter(connected=True).exists())
    house.simulator.operator("1001").unregister()
    house.until(lambda: not Operator.objects.get(pk=operator.pk).registered)
    make_member(campaign, ["+380500000000"])
    for _ in range(5):
        tasks.dispatch_pass()
    assert not Attempt.objects.exists()
    house.simulator.operator("1001").register()
    house.until(completed)


def test_a_service_number_dialled_from_a_phone_changes_the_status(house: SimulatedHouse) -> None:
    operator = make_operator(a_campaign(), extension="1001")
    house.until(lambda: Node.objects.filter(connected=True).exists())
    house.simulator.fire("dialer::status", extension="1001", status="on_break")
    house.until(lambda: Operator.objects.get(pk=operator.pk).status == OperatorStatus.ON_BREAK)


def test_a_gateway_that_is_down_rests_and_nobody_is_counted(house: SimulatedHouse) -> None:
    campaign = a_campaign()
    make_operator(campaign, extension="1001")
    member = make_member(campaign, ["+380500000000"])
    house.simulator.subscriber("380500000000").faults("INVALID_GATEWAY").then.answers(after=0.1, talks=0.3)
    house.until(completed)
    member.refresh_from_db()
    assert (member.success, member.counted) == (True, 1)
    assert Attempt.objects.filter(outcome="refunded", operator_cause="INVALID_GATEWAY").count() == 1


def test_a_switch_that_refuses_everything_is_left_in_peace_and_tried_again(
    house: SimulatedHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.until(lambda: Node.objects.filter(connected=True).exists())
    monkeypatch.setattr("dialer.switch.nodes.Line.status", lambda line: None)  # else it would say so beforehand
    house.simulator.pause()
    campaign = a_campaign()
    make_operator(campaign, extension="1001")
    make_member(campaign, ["+380500000000"])
    house.until(lambda: Node.objects.filter(blocked_reason="DESTINATION_OUT_OF_ORDER").exists())
    house.simulator.resume()
    house.until(completed)
    assert Member.objects.get().counted == 1


def test_a_restarted_switch_ends_its_calls_and_nobody_is_stuck(house: SimulatedHouse) -> None:
    campaign = a_campaign(max_retries=5)
    make_operator(campaign, extension="1001", wrap_up_time=0)
    make_member(campaign, ["+380500000000"])
    house.simulator.subscriber("380500000000").no_answer().then.answers(after=0.1, talks=0.3)
    house.until(lambda: Attempt.objects.filter(subscriber_ringing_at__isnull=False).exists())
    house.simulator.restart()
    house.until(completed, 30)
    assert Repair.objects.filter(kind="switch_restarted").exists()
    lost = Attempt.objects.order_by("pk").first()
    assert lost is not None
    assert not lost.counted


def test_what_ended_while_nobody_listened_is_found_out(house: SimulatedHouse) -> None:
    campaign = a_campaign()
    operator = make_operator(campaign, extension="1001", wrap_up_time=0)
    member = make_member(campaign, ["+380500000000"])
    house.simulator.subscriber("380500000000").answers(after=0.1, talks=1.0)
    house.until(lambda: Attempt.objects.filter(bridged_at__isnull=False).exists())
    house.deafen()
    time.sleep(1.5)
    house.listen()
    house.until(completed, 40)
    operator.refresh_from_db()
    member.refresh_from_db()
    assert (operator.state, member.state) == (OperatorState.WAITING, MemberState.ENDED)
    assert len(house.simulator.calls_to("380500000000")) == 1


def test_a_person_hangs_up_a_call_that_rings(house: SimulatedHouse) -> None:
    campaign = a_campaign(retry_wait=600)
    make_operator(campaign, extension="1001")
    make_member(campaign, ["+380500000000"])
    house.simulator.subscriber("380500000000").no_answer()
    house.until(lambda: Attempt.objects.filter(subscriber_ringing_at__isnull=False).exists())
    attempt = Attempt.objects.get()
    verbs.hang_up(attempt.pk)
    tasks.hang_up(attempt.pk)
    house.until(lambda: Attempt.objects.filter(ended_at__isnull=False).exists())
    attempt.refresh_from_db()
    assert (attempt.cause, attempt.counted) == ("MANAGER_REQUEST", False)
    assert not house.simulator.live_calls


def test_values_of_variables_reach_the_switch_unchanged(house: SimulatedHouse) -> None:
    campaign = a_campaign(variables={"plain": "Привіт, світе", "braces": "{a} [b] 'c", "debt": 20000})
    make_operator(campaign, extension="1001")
    make_member(campaign, ["+380500000000"])
    house.until(completed)
    from dialer.switch.commands import unpack_variables

    call = house.simulator.calls_to("1001")[0]
    assert unpack_variables(call.variables["dialer_variables"]) == campaign.variables
    assert call.variables["debt"] == "20000"


# --- subscriber first -------------------------------------------------------------------------------------------


def test_subscriber_first_he_answers_the_operator_is_rung_and_they_talk(house: SimulatedHouse) -> None:
    campaign = a_campaign(connect_order=ConnectOrder.SUBSCRIBER_FIRST)
    make_operator(campaign, extension="1001", wrap_up_time=0)
    happy, busy = make_member(campaign, ["+380500000000"]), make_member(campaign, ["+380500000001"])
    house.simulator.subscriber("380500000001").fails("UNALLOCATED_NUMBER")
    house.until(completed)
    ends = dict(Member.objects.values_list("pk", "end_cause"))
    assert ends == {happy.pk: "NORMAL_CLEARING", busy.pk: "UNALLOCATED_NUMBER"}
    talked = Attempt.objects.get(member=happy)
    assert talked.subscriber_answered_at
    assert talked.operator_answered_at
    assert talked.bridged_at
    assert talked.subscriber_answered_at < talked.operator_answered_at <= talked.bridged_at
    assert Attempt.objects.get(member=busy).operator_sending_at is None
    assert not Repair.objects.exists()


def test_subscriber_first_the_next_operator_takes_him_when_the_first_one_does_not(house: SimulatedHouse) -> None:
    campaign = a_campaign(connect_order=ConnectOrder.SUBSCRIBER_FIRST)
    first = make_operator(campaign, extension="1001", wrap_up_time=0, reject_delay=60)
    second = make_operator(campaign, extension="1002", wrap_up_time=0)
    Operator.objects.filter(pk=first.pk).update(idle_since="2020-01-01T00:00:00Z")
    house.simulator.operator("1001").rejects()
    make_member(campaign, ["+380500000000"])
    house.until(completed)
    attempt = Attempt.objects.get()
    assert attempt.operator == second
    assert attempt.bridged_at
    assert [tried.cause for tried in attempt.tries.all()] == ["CALL_REJECTED"]
    assert not Repair.objects.exists()


def test_subscriber_first_one_whom_nobody_takes_is_abandoned_when_the_window_is_over(house: SimulatedHouse) -> None:
    campaign = a_campaign(connect_order=ConnectOrder.SUBSCRIBER_FIRST, answer_window=3, max_retries=1)
    operator = make_operator(campaign, extension="1001", reject_delay=60)
    house.simulator.operator("1001").rejects()
    make_member(campaign, ["+380500000000"])
    house.until(completed)
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.cause) == ("abandoned", "ABANDONED")
    assert attempt.subscriber_ended_at
    assert attempt.subscriber_answered_at
    waited = (attempt.subscriber_ended_at - attempt.subscriber_answered_at).total_seconds()
    assert 2.5 < waited < 6
    operator.refresh_from_db()
    assert operator.state == OperatorState.WAITING
    assert Member.objects.get().end_cause == "MAX_TRY_COUNT"


def test_subscriber_first_a_listener_that_was_away_rings_for_whoever_answered_meanwhile(house: SimulatedHouse) -> None:
    campaign = a_campaign(connect_order=ConnectOrder.SUBSCRIBER_FIRST, answer_window=30)
    make_operator(campaign, extension="1001", wrap_up_time=0)
    make_member(campaign, ["+380500000000"])
    house.until(lambda: Attempt.objects.filter(subscriber_created_at__isnull=False).exists())
    house.deafen()
    house.until(lambda: any(call.answered_at for call in house.simulator.calls_to("380500000000")))
    house.listen()
    house.until(completed, 40)
    attempt = Attempt.objects.get()
    assert attempt.bridged_at or attempt.outcome == "abandoned"


def test_phones_that_take_no_calls_do_not_keep_the_longest_idle_from_one_that_would(house: SimulatedHouse) -> None:
    campaign = a_campaign()
    for extension in ("1001", "1002", "1003"):
        make_operator(campaign, extension=extension, reject_delay=1)
        house.simulator.operator(extension).rejects(after=0.6)
    willing = make_operator(campaign, extension="1004")
    Operator.objects.filter(pk=willing.pk).update(idle_since=clock.now())
    make_member(campaign, ["+380500000000"])
    house.until(completed)
    assert Attempt.objects.get(bridged_at__isnull=False).operator == willing
    assert Attempt.objects.count() == 4


def test_a_supervisor_hears_a_call_from_his_wish_to_its_end(house: SimulatedHouse) -> None:
    """Listener, ledger and switch agree; the call's own end takes him off it."""
    campaign = a_campaign()
    make_operator(campaign, extension="1001", wrap_up_time=0)
    member = make_member(campaign, ["+380500000000"])
    house.simulator.subscriber("380500000000").answers(talks=6)
    house.simulator.operator("1050").answers()
    house.until(lambda: Attempt.objects.filter(bridged_at__isnull=False).exists())
    attempt = Attempt.objects.get()
    olha = get_user_model().objects.create_user("olha")
    row = verbs.coach(attempt.pk, "listen", by=olha, extension="1050")
    coaching.act(row.pk)
    house.until(lambda: Coaching.objects.filter(answered_at__isnull=False).exists())
    leg = str(row.leg_uuid)
    assert house.simulator.listening(leg) == (str(attempt.operator_uuid), set())
    verbs.coach(attempt.pk, "whisper", by=olha)
    coaching.act(row.pk)
    house.until(lambda: house.simulator.listening(leg)[1] == {str(attempt.operator_uuid)})
    house.until(completed)
    house.until(lambda: not Coaching.objects.live().exists())
    row = Coaching.objects.get()
    attempt.refresh_from_db()
    assert (row.cause, row.mode) == ("NORMAL_CLEARING", "whisper")
    assert attempt.ended_at is not None
    assert row.ended_at is not None
    assert abs((row.ended_at - attempt.ended_at).total_seconds()) < 1
    assert Member.objects.get(pk=member.pk).success
    assert Attempt.objects.count() == 1
    assert not Repair.objects.exists()
    assert not house.simulator.live_calls
