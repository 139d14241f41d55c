"""What the simulated switch does with calls, beyond the recordings."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace

import pytest

from dialer.simulator.behaviour import Behaviour
from dialer.simulator.leg import Party
from dialer.simulator.scenario import (
    ANSWER,
    LOST,
    FaultPlan,
    GatewayPlan,
    OperatorPlan,
    Scenario,
    Span,
    SubscriberPlan,
    SwitchPlan,
    Weights,
)
from tests.simulator.virtual import VirtualSwitch

CALM = Scenario(
    switch=SwitchPlan(heartbeat=0),
    subscribers=SubscriberPlan(Weights({ANSWER: 1}), Span(2, 2), Span(30, 30), 1.0, Span(20, 20), 0.0),
    operators=OperatorPlan(answer=Span(1, 1)),
)
ANNA, BORIS = "a1b2c3d4-0000-4000-8000-000000000001", "a1b2c3d4-0000-4000-8000-000000000002"
OPERATOR_FIRST = (
    f"originate {{origination_uuid={ANNA},originate_timeout=16,call_timeout=62}}user/1001 "
    f"&bridge([origination_uuid={BORIS},leg_timeout=60]sofia/gateway/main/+380501112233)"
)
SUBSCRIBER_FIRST = f"originate {{origination_uuid={BORIS},originate_timeout=61}}sofia/gateway/main/380501112233 &park()"
RING_OPERATOR = f"originate {{origination_uuid={ANNA},originate_timeout=16}}user/1001 &intercept({BORIS})"


def behave(run: VirtualSwitch, party: Party, key: str, *acts: Behaviour) -> None:
    run.switch.router.overrides[party, key] = deque(acts)


def causes(run: VirtualSwitch) -> dict[str, str]:
    ends = [event for event in run.told if event.name == "CHANNEL_HANGUP_COMPLETE"]
    return {event.get("Unique-ID"): event.get("Hangup-Cause") for event in ends}


def job(run: VirtualSwitch) -> str:
    return next(event.body.strip() for event in run.told if event.name == "BACKGROUND_JOB")


# --- whole calls ------------------------------------------------------------------------------------------------------


def test_operator_first_ends_with_a_bridge_and_leaves_nothing_behind() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(OPERATOR_FIRST)
    run.run(200)
    assert job(run) == f"+OK {ANNA}"
    assert causes(run) == {ANNA: "NORMAL_CLEARING", BORIS: "NORMAL_CLEARING"}
    assert not run.switch.legs
    operator, subscriber = run.switch.router.calls
    assert (operator.number, operator.party, subscriber.number, subscriber.gateway) == (
        "1001",
        "operator",
        "380501112233",
        "main",
    )
    assert subscriber.bridged_at is not None
    assert subscriber.ended_at is not None
    assert (subscriber.ended_at - subscriber.bridged_at).total_seconds() == pytest.approx(30, abs=0.1)


def test_an_operator_who_takes_a_waiting_subscriber_is_bridged_to_him() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(SUBSCRIBER_FIRST, "first")
    run.run(5)
    run.bgapi(RING_OPERATOR, "second")
    run.run(5)
    bridge = next(event for event in run.told if event.name == "CHANNEL_BRIDGE")
    assert (bridge.get("Unique-ID"), bridge.get("Bridge-B-Unique-ID")) == (ANNA, BORIS)
    run.run(100)
    assert causes(run) == {ANNA: "NORMAL_CLEARING", BORIS: "NORMAL_CLEARING"}


def test_an_operator_who_comes_too_late_is_hung_up() -> None:
    run = VirtualSwitch(CALM)
    behave(run, "subscriber", "380501112233", Behaviour(after=1, patience=0.5))
    run.bgapi(SUBSCRIBER_FIRST, "first")
    run.run(1)
    run.bgapi(RING_OPERATOR, "second")
    run.run(100)
    assert causes(run) == {ANNA: "NORMAL_CLEARING", BORIS: "NORMAL_CLEARING"}
    assert "CHANNEL_BRIDGE" not in run.names()


def waits(program: str) -> str:
    return (
        f"originate {{origination_uuid={BORIS},originate_timeout=61}}sofia/gateway/main/380501112233 {program} inline"
    )


@pytest.mark.parametrize(
    ("program", "seconds"),
    [
        ("sleep:4000,hangup:USER_BUSY", 4),
        ("'m:^:set:playback_timeout_sec=6^playback:tone_stream://%(1000,4000,425);loops=-1^hangup:USER_BUSY'", 6),
        ("'m:^:set:playback_timeout_sec=6^playback:local_stream://moh^hangup:USER_BUSY'", 6),
        ("'m:^:set:playback_delimiter=!^playback:silence_stream://500!/a.wav!/b.wav^hangup:USER_BUSY'", 2.5),
        ("'set:playback_timeout_sec=2,unset:playback_timeout_sec,playback:silence_stream://5000,hangup:USER_BUSY'", 5),
        ("'set:why=17,hangup:${why}'", 0),
    ],
)
def test_applications_run_one_after_the_other_each_for_its_time(program: str, seconds: float) -> None:
    run = VirtualSwitch(CALM)
    behave(run, "subscriber", "380501112233", Behaviour(after=1))
    run.bgapi(waits(program))
    run.run(60)
    assert causes(run) == {BORIS: "USER_BUSY"}
    (call,) = run.switch.router.calls
    assert call.answered_at is not None
    assert call.ended_at is not None
    assert (call.ended_at - call.answered_at).total_seconds() == pytest.approx(seconds, abs=0.1)


def test_one_who_is_taken_while_he_waits_does_not_go_on_waiting_afterwards() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(waits("'sleep:10000,playback:/sorry.wav,hangup'"), "first")
    run.run(5)
    run.bgapi(RING_OPERATOR, "second")
    run.run(100)
    first, _ = run.switch.router.calls
    assert first.bridged_at is not None
    assert first.ended_at is not None
    assert (first.ended_at - first.bridged_at).total_seconds() == pytest.approx(30, abs=0.1)


def test_variables_are_handed_on_to_the_second_leg_as_they_stand_when_it_is_called() -> None:
    run = VirtualSwitch(CALM)
    first = f"{{origination_uuid={ANNA},export_vars=a\\,B\\,c,a=1,b=2,d=4}}user/1001"
    run.bgapi(f"originate {first} &bridge([origination_uuid={BORIS},b=3]sofia/gateway/main/380501112233)")
    run.run(0.5)
    run.api(f"uuid_setvar {ANNA} c }}:_:{{")
    run.run(2)
    leg = run.switch.legs[BORIS]
    assert {name: leg.variables.get(name) for name in "abcd"} == {"a": "1", "b": "3", "c": "}:_:{", "d": None}
    assert leg.variables["export_vars"] == "a,B,c"


def test_a_value_that_looks_like_a_variable_is_not_set_by_an_originate() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(f"originate {{origination_uuid={ANNA},a=x${{b}},c=1}}user/1001 &park()")
    assert "a" not in run.switch.legs[ANNA].variables
    assert run.switch.legs[ANNA].variables["c"] == "1"


def test_the_one_who_ends_a_conversation_says_goodbye() -> None:
    run = VirtualSwitch(CALM)
    behave(run, "subscriber", "380501112233", Behaviour(after=1, talks=3, other_hangs_up=True))
    run.bgapi(OPERATOR_FIRST)
    run.run(100)
    ends = {event.get("Unique-ID"): event for event in run.told if event.name == "CHANNEL_HANGUP_COMPLETE"}
    assert ends[ANNA].get("variable_sip_hangup_disposition") == "recv_bye"
    assert ends[BORIS].get("variable_sip_hangup_disposition") == "send_bye"


@pytest.mark.parametrize(("victim", "other"), [(ANNA, BORIS), (BORIS, ANNA)])
def test_killing_one_leg_of_a_bridge_ends_the_other_normally(victim: str, other: str) -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(OPERATOR_FIRST)
    run.run(10)
    assert run.api(f"uuid_kill {victim} MANAGER_REQUEST") == ["+OK\n"]
    run.run(1)
    assert causes(run) == {victim: "MANAGER_REQUEST", other: "NORMAL_CLEARING"}


@pytest.mark.parametrize("cause", ["NO_ANSWER", "NO_USER_RESPONSE"])
def test_some_failures_of_the_second_leg_let_the_first_end_normally(cause: str) -> None:
    run = VirtualSwitch(CALM)
    behave(run, "subscriber", "380501112233", Behaviour(cause, 1))
    run.bgapi(OPERATOR_FIRST.replace("leg_timeout=60", "leg_timeout=90"))
    run.run(200)
    assert causes(run) == {ANNA: "NORMAL_CLEARING", BORIS: cause}
    end = next(e for e in run.told if e.name == "CHANNEL_HANGUP_COMPLETE" and e.get("Unique-ID") == ANNA)
    assert end.get("variable_originate_disposition") == cause


def test_a_loopback_call_has_another_half_that_carries_its_variables() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(f"originate {{origination_uuid={BORIS},dialer_attempt=7}}loopback/380501112233/pstn &park()")
    run.run(60)
    halves = {event.get("Call-Direction"): event for event in run.told if event.name == "CHANNEL_ANSWER"}
    assert halves["outbound"].get("Unique-ID") == BORIS
    assert halves["inbound"].get("Unique-ID") not in ("", BORIS)
    assert halves["inbound"].get("variable_dialer_attempt") == "7"


def test_without_ignoring_early_media_an_originate_succeeds_before_the_answer() -> None:
    run = VirtualSwitch(CALM)
    behave(run, "subscriber", "380501112233", Behaviour(after=0.03, early_media=True, patience=5))
    run.bgapi(SUBSCRIBER_FIRST)
    run.run(60)
    names = run.names()
    assert names.index("CHANNEL_PROGRESS_MEDIA") < names.index("BACKGROUND_JOB")
    assert causes(run) == {BORIS: "NORMAL_CLEARING"}


# --- timers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_an_originate_ends_up_to_a_second_early(seed: int) -> None:
    run = VirtualSwitch(CALM, seed)
    behave(run, "operator", "1001", Behaviour("NO_ANSWER"))
    run.bgapi(OPERATOR_FIRST)
    run.run(100)
    call = run.switch.router.calls[0]
    assert call.ended_at is not None
    assert 15 <= (call.ended_at - call.at).total_seconds() <= 16
    assert call.cause == "NO_ANSWER"


@pytest.mark.parametrize("seed", range(5))
def test_a_leg_ends_up_to_a_second_late(seed: int) -> None:
    run = VirtualSwitch(CALM, seed)
    behave(run, "subscriber", "380501112233", Behaviour("NO_ANSWER"))
    run.bgapi(OPERATOR_FIRST)
    run.run(100)
    call = run.switch.router.calls[1]
    assert call.ended_at is not None
    assert 60 <= (call.ended_at - call.at).total_seconds() <= 61
    assert call.cause == "ALLOTTED_TIMEOUT"


def test_times_and_durations_of_a_call_add_up() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(OPERATOR_FIRST)
    run.run(100)
    end = next(e for e in run.told if e.name == "CHANNEL_HANGUP_COMPLETE" and e.get("Unique-ID") == BORIS)
    answered, bridged = int(end.get("variable_answer_uepoch")), int(end.get("variable_bridge_uepoch"))
    ended = int(end.get("variable_end_uepoch"))
    assert int(end.get("Caller-Channel-Answered-Time")) == answered
    assert int(end.get("Caller-Channel-Bridged-Time")) == bridged
    assert int(end.get("variable_billusec")) == ended - answered
    assert int(end.get("variable_billsec")) == ended // 1_000_000 - answered // 1_000_000
    assert int(end.get("variable_uduration")) == ended - int(end.get("variable_start_uepoch"))


# --- what cannot be ---------------------------------------------------------------------------------------------------


def refused(run: VirtualSwitch, command: str) -> str:
    answers = run.api(command)
    assert answers, "An originate without a channel is answered at once."
    return answers[0].strip()


def test_a_phone_must_be_in_the_directory_and_registered() -> None:
    run = VirtualSwitch(CALM)
    run.switch.unregister("1002")
    assert refused(run, "originate user/1002 &park()") == "-ERR USER_NOT_REGISTERED"
    assert refused(run, "originate user/9999@simulator.invalid &park()") == "-ERR SUBSCRIBER_ABSENT"
    run.switch.register("1002")
    assert run.api("originate user/1002 &park()") == []


@pytest.mark.parametrize(
    ("dial", "answer"),
    [
        ("sofia/gateway/nowhere/123", "-ERR INVALID_GATEWAY"),
        ("sofia/nowhere/123@127.0.0.1", "-ERR INVALID_PROFILE"),
        ("freetdm/1/123", "-ERR CHAN_NOT_IMPLEMENTED"),
        ("{a=b}c}user/1001", "-ERR CHAN_NOT_IMPLEMENTED"),
        ("error/user_busy", "-ERR USER_BUSY"),
    ],
)
def test_what_leads_nowhere_makes_no_leg(dial: str, answer: str) -> None:
    run = VirtualSwitch(replace(CALM, gateways={"main": GatewayPlan()}))
    assert refused(run, f"originate {dial} &park()") == answer
    assert not run.switch.legs
    assert set(run.names()) <= {"CHANNEL_DESTROY"}


def test_a_live_uuid_cannot_be_used_again() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(SUBSCRIBER_FIRST)
    assert refused(run, SUBSCRIBER_FIRST) == "-ERR DESTINATION_OUT_OF_ORDER"
    assert list(run.switch.legs) == [BORIS]


def test_a_paused_switch_takes_no_legs() -> None:
    run = VirtualSwitch(CALM)
    run.api("fsctl pause")
    assert refused(run, SUBSCRIBER_FIRST) == "-ERR DESTINATION_OUT_OF_ORDER"
    run.api("fsctl resume")
    assert run.api(SUBSCRIBER_FIRST) == []


def test_a_limit_of_five_sessions_a_second_lets_four_pass() -> None:
    run = VirtualSwitch(CALM)
    assert run.api("fsctl sps 5") == ["+OK sessions per second: 5\n"]
    run.run(1)  # it counts from the next second on
    for _ in range(10):
        run.bgapi("originate sofia/gateway/main/123 &park()")
    assert len(run.switch.legs) == 4
    run.run(1)
    run.bgapi("originate sofia/gateway/main/123 &park()")
    assert len(run.switch.legs) == 5


def test_there_are_never_more_sessions_than_the_maximum() -> None:
    run = VirtualSwitch(CALM)
    run.api("fsctl max_sessions 3")
    for _ in range(10):
        run.bgapi("originate sofia/gateway/main/123 &park()")
    assert len(run.switch.legs) == 3


def test_a_full_gateway_refuses_and_the_peak_is_remembered() -> None:
    run = VirtualSwitch(replace(CALM, gateways={"main": GatewayPlan(capacity=2)}))
    for _ in range(3):
        run.bgapi("originate sofia/gateway/main/123 &park()")
    run.run(1)
    assert [call.cause for call in run.switch.router.calls] == ["", "", "NORMAL_CIRCUIT_CONGESTION"]
    assert run.switch.router.peak["main"] == 3
    run.run(100)
    assert run.switch.router.load["main"] == 0


@pytest.mark.parametrize(
    ("way", "events"),
    [
        ("DESTINATION_OUT_OF_ORDER", set()),
        ("INVALID_GATEWAY", {"CHANNEL_DESTROY"}),
        ("NETWORK_OUT_OF_ORDER", {"CHANNEL_CREATE", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"}),
    ],
)
def test_every_fault_fails_in_its_own_manner(way: str, events: set[str]) -> None:
    run = VirtualSwitch(replace(CALM, faults=FaultPlan(failing_legs=1, ways=Weights({way: 1}))))
    run.bgapi(SUBSCRIBER_FIRST)
    run.run(5)
    assert job(run) == f"-ERR {way}"
    noted = {"CHANNEL_CREATE", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"}
    assert set(run.names()) & noted == events


def test_a_lost_command_is_never_heard_of() -> None:
    run = VirtualSwitch(replace(CALM, faults=FaultPlan(failing_legs=1, ways=Weights({LOST: 1}))))
    run.bgapi(SUBSCRIBER_FIRST)
    run.run(200)
    assert run.told == []


def test_events_are_lost_doubled_and_late_by_their_shares() -> None:
    faults = FaultPlan(lost_events=0.2, doubled_events=0.2, late_events=0.2)
    run, whole = VirtualSwitch(replace(CALM, faults=faults)), VirtualSwitch(CALM)
    for each in (run, whole):
        for at in range(100):
            each.bgapi(f"originate sofia/gateway/main/38050{at:07} &park()", str(at))
        each.run(200)
    counts = [event.get("Event-Sequence") for event in run.told]
    assert len(set(counts)) / len(whole.told) == pytest.approx(0.8, abs=0.05)
    assert len(counts) / len(set(counts)) == pytest.approx(1.2, abs=0.05)
    assert counts != sorted(counts, key=int)


# --- commands ---------------------------------------------------------------------------------------------------------


def test_variables_of_a_live_leg_can_be_read_and_set() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(SUBSCRIBER_FIRST)
    assert run.api(f"uuid_getvar {BORIS} note") == ["_undef_"]
    assert run.api(f"uuid_setvar {BORIS} note {{a}}, ${{b}} 100%") == ["+OK\n"]
    assert run.api(f"uuid_getvar {BORIS} Note") == ["{a}, ${b} 100%"]
    assert run.api(f"uuid_setvar_multi {BORIS} note=1;other=2") == ["+OK\n"]
    assert run.api(f"uuid_getvar {BORIS} other") == ["2"]
    assert run.api(f"uuid_setvar {BORIS} note") == ["+OK\n"]
    assert run.api(f"uuid_getvar {BORIS} note") == ["_undef_"]
    run.run(60)
    end = next(event for event in run.told if event.name == "CHANNEL_HANGUP_COMPLETE")
    assert end.get("variable_other") == "2"


@pytest.mark.parametrize(
    "command", ["uuid_kill", "uuid_getvar", "uuid_setvar", "uuid_bridge", "uuid_transfer", "uuid_setvar_multi"]
)
def test_a_command_without_its_words_tells_its_usage(command: str) -> None:
    assert VirtualSwitch(CALM).api(command)[0].startswith("-USAGE: ")


@pytest.mark.parametrize("command", ["uuid_kill x", "uuid_getvar x y", "uuid_setvar x y z", "uuid_park x"])
def test_a_leg_that_is_gone_is_no_channel(command: str) -> None:
    assert VirtualSwitch(CALM).api(command) == ["-ERR No such channel!\n"]


def test_lists_have_the_rows_of_the_switch() -> None:
    run = VirtualSwitch(replace(CALM, operators=OperatorPlan(extensions=("1001-1003",))))
    assert run.api("show channels as json") == ['{"row_count": 0}\n']
    assert run.api("show channels count") == ["\n0 total.\n"]
    run.bgapi(SUBSCRIBER_FIRST)
    channels = json.loads(run.api("show channels as json")[0])
    assert channels["row_count"] == 1
    assert channels["rows"][0]["uuid"] == BORIS
    assert run.api("show channels count") == ["\n1 total.\n"]
    run.switch.unregister("1002")
    run.run(1)  # the list lags behind
    phones = json.loads(run.api("show registrations as json")[0])
    assert [row["reg_user"] for row in phones["rows"]] == ["1001", "1003"]


def test_the_switch_names_its_run() -> None:
    run = VirtualSwitch(CALM)
    assert run.api("global_getvar core_uuid") == run.api("eval ${core_uuid}") == [run.switch.events.core_uuid]


def test_a_waiting_subscriber_can_hear_a_message_and_be_hung_up() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(SUBSCRIBER_FIRST)
    run.run(5)
    assert run.api(f"uuid_transfer {BORIS} 'playback:/sorry.wav,hangup:NORMAL_CLEARING' inline") == ["+OK\n"]
    run.run(10)
    assert causes(run) == {BORIS: "NORMAL_CLEARING"}
    call = run.switch.router.calls[0]
    assert call.ended_at is not None
    assert call.answered_at is not None
    assert (call.ended_at - call.answered_at).total_seconds() < 7


def test_everybody_can_be_hung_up_at_once() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(OPERATOR_FIRST)
    run.run(10)
    assert run.api("hupall") == ["+OK hangup all channels with cause MANAGER_REQUEST\n"]
    run.run(1)
    assert causes(run) == {ANNA: "MANAGER_REQUEST", BORIS: "MANAGER_REQUEST"}
    assert not run.switch.legs


# --- phones and the day -----------------------------------------------------------------------------------------------


def test_phones_lose_and_find_their_registrations() -> None:
    plan = OperatorPlan(extensions=("1001-1050",), flapping=0.5, period=100, away=Span(10, 20))
    run = VirtualSwitch(replace(CALM, operators=plan))
    run.switch.flap()
    run.run(1000)
    left = [event.get("user") for event in run.told if event.subclass == "sofia::expire"]
    back = [event.get("from-user") for event in run.told if event.subclass == "sofia::register"]
    assert len(left) / (50 * 10) == pytest.approx(0.5, abs=0.1)
    assert abs(len(left) - len(back)) <= 50


def test_a_heartbeat_comes_every_twenty_seconds() -> None:
    run = VirtualSwitch(Scenario())
    run.run(101)
    assert [event.get("Session-Count") for event in run.told if event.name == "HEARTBEAT"] == ["0"] * 5


def test_the_order_of_calls_does_not_change_how_they_end() -> None:
    numbers = [f"38050{at:07}" for at in range(200)]

    def endings(order: list[str], pace: float) -> dict[str, tuple[str, float]]:
        run = VirtualSwitch(Scenario(switch=SwitchPlan(heartbeat=0)), seed=5)
        for number in order:
            run.bgapi(f"originate {{originate_timeout=60,ignore_early_media=true}}sofia/gateway/main/{number} &park()")
            run.run(pace)
        run.run(300)
        return {
            call.number: (call.cause, round(((call.ended_at or call.at) - call.at).total_seconds(), 1))
            for call in run.switch.router.calls
        }

    assert endings(numbers, 0.1) == endings(numbers[::-1], 0.7)


# --- one who listens --------------------------------------------------------------------------------------------------

CLARA = "a1b2c3d4-0000-4000-8000-000000000003"


def listens(mode: str = "", target: str = ANNA) -> str:
    return f"originate {{origination_uuid={CLARA}{mode}}}user/1002 &eavesdrop({target})"


def test_one_who_listens_is_heard_as_his_variables_say_and_ends_with_the_call() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(OPERATOR_FIRST)
    run.run(5)
    run.bgapi(listens(), "listens")
    run.run(3)
    clara, anna, boris = (run.switch.legs[uuid] for uuid in (CLARA, ANNA, BORIS))
    assert (clara.listens_to, clara.heard_by()) == (anna, ())
    for far, near, heard in (("false", "true", (anna,)), ("true", "true", (anna, boris)), ("false", "false", ())):
        run.api(f"uuid_setvar_multi {CLARA} eavesdrop_whisper_aleg={far};eavesdrop_whisper_bleg={near}")
        assert run.api(f"uuid_transfer {CLARA} eavesdrop:{ANNA} inline") == ["+OK\n"]
        run.run(0.1)
        assert clara.listens_to is anna
        assert clara.heard_by() == heard
        assert anna.listeners == [clara]
    run.run(100)
    assert causes(run) == dict.fromkeys((ANNA, BORIS, CLARA), "NORMAL_CLEARING")
    assert not run.switch.legs


def test_one_who_hangs_up_leaves_the_call_as_it_was() -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(OPERATOR_FIRST)
    run.run(5)
    run.bgapi(listens(), "listens")
    run.run(3)
    run.api(f"uuid_kill {CLARA}")
    run.run(1)
    assert causes(run) == {CLARA: "NORMAL_CLEARING"}
    assert run.switch.legs[ANNA].listeners == []
    assert run.switch.legs[ANNA].second is run.switch.legs[BORIS]


@pytest.mark.parametrize("target", [BORIS, CLARA, "nobody"])
def test_nothing_to_hear_ends_his_leg(target: str) -> None:
    run = VirtualSwitch(CALM)
    run.bgapi(listens(target=target))
    run.run(3)
    assert causes(run) == {CLARA: "NORMAL_CLEARING"}
