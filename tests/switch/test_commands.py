"""No name, number or value becomes a second command, variable or endpoint; what is carried is carried exactly."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dialer import channel_variables
from dialer.esl.errors import CommandRefused
from dialer.esl.wire import CommandDecoder, encode_command
from dialer.switch import commands
from dialer.switch.commands import CallPlan, CoachPlan
from tests.switch import parser

OPERATOR = UUID("6f51d5e0-fd8a-4c4c-8396-9a272b9c6585")
SUBSCRIBER = UUID("cedffdc2-0a92-41e3-aaf0-504e0ad4732d")
JOB = UUID("7804d35c-90b1-4575-a31d-3831b13bd678")


def plan(**changes: Any) -> CallPlan:
    return CallPlan(
        **{
            "attempt_id": 4711,
            "job_uuid": JOB,
            "operator_uuid": OPERATOR,
            "subscriber_uuid": SUBSCRIBER,
            "operator_dial": "user/1001",
            "subscriber_dial": "sofia/gateway/trunk/380441234567",
            "operator_timeout": 15,
            "subscriber_timeout": 60,
            "operator_caller_id": "380441234567",
            "caller_id": "+4930000000",
            **changes,
        }
    )


def own(leg: parser.Leg) -> dict[str, str]:
    """Return a leg's variables, each of which must be there once."""
    names = [name for name, _ in leg.variables]
    assert len({name.lower() for name in names}) == len(names)
    return dict(leg.variables)


HOSTILE = st.text(st.sampled_from("ab '\"\\,{}[]()<>|&$^=:_;!%~`#\n\tnsé"), max_size=30)
VALUES = st.one_of(
    HOSTILE, st.text(max_size=30), st.sampled_from(["${system ls}", "x:_:y", "^^:a=b", "'q'", "ARRAY::a|:b"])
)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True).filter(
    lambda name: not channel_variables.is_reserved(name) and not name.lower().startswith("dialer_")
)
VARIABLES = st.dictionaries(NAMES, VALUES, max_size=5)


def passes(value: str) -> bool:
    try:
        channel_variables.check_value("x", value)
    except ValueError:
        return False
    return True


# --- the commands themselves ----------------------------------------------------------------------------------------


def test_operator_first_rings_him_and_bridges_the_subscriber() -> None:
    made = commands.originate(plan(operator_caller_name="Ivan Petrov"))
    packed = commands.pack_variables({})
    assert made.command == (
        f"originate {{origination_uuid={OPERATOR},originate_timeout=16,call_timeout=62,"
        "transfer_ringback=%(1000\\,4000\\,425),instant_ringback=true,ignore_early_media=true,"
        "origination_caller_id_number=380441234567,origination_caller_id_name='Ivan Petrov',"
        f"dialer_attempt=4711,dialer_leg=operator,export_vars=dialer_variables,dialer_variables={packed}}}user/1001 "
        f"&bridge([origination_uuid={SUBSCRIBER},leg_timeout=60,ignore_early_media=true,"
        "origination_caller_id_number=+4930000000,origination_caller_id_name=+4930000000,"
        f"dialer_attempt=4711,dialer_leg=subscriber]sofia/gateway/trunk/380441234567)"
    )
    assert (made.job_uuid, made.left_out, made.setvars) == (JOB, [], {OPERATOR: [], SUBSCRIBER: []})


def test_subscriber_first_parks_him_until_an_operator_takes_him() -> None:
    first = parser.originate(commands.originate(plan(connect_order="subscriber_first", message="sorry.wav")).command)
    (leg,) = first.first
    assert leg.endpoint == "sofia/gateway/trunk/380441234567"
    assert own(leg)["originate_timeout"] == "61"
    assert first.inline == [
        ("set", "playback_terminators=none"),
        ("set", "playback_delimiter=!"),
        ("set", "playback_timeout_sec=10"),
        ("playback", "tone_stream://%(1000,4000,425);loops=-1"),
        ("unset", "playback_timeout_sec"),
        ("playback", "sorry.wav"),
        ("hangup", "NORMAL_CLEARING"),
    ]
    made = commands.ring_operator(plan(operator_job_uuid=JOB))
    assert made.job_uuid == JOB
    then = parser.originate(made.command)
    assert (then.application, then.argument, then.first[0].endpoint) == ("intercept", str(SUBSCRIBER), "user/1001")
    assert own(then.first[0])["dialer_leg"] == "operator"


@pytest.mark.parametrize(
    ("sound", "waits"),
    [
        ("ringback", "tone_stream://%(1000,4000,425);loops=-1"),
        ("music", "local_stream://moh!tone_stream://%(1000,4000,425);loops=-1"),
    ],
)
def test_whoever_waits_hears_what_was_chosen(sound: str, waits: str) -> None:
    made = commands.originate(plan(connect_order="subscriber_first", waiting_sound=sound, answer_window=7))
    assert parser.originate(made.command).inline == [
        ("set", "playback_terminators=none"),
        ("set", "playback_delimiter=!"),
        ("set", "playback_timeout_sec=7"),
        ("playback", waits),
        ("hangup", "NORMAL_CLEARING"),
    ]
    operator = own(parser.originate(commands.originate(plan(waiting_sound=sound)).command).first[0])
    assert operator["transfer_ringback"] in waits
    assert operator["instant_ringback"] == "true"


def test_whoever_waits_in_silence_waits_as_long() -> None:
    made = commands.originate(plan(connect_order="subscriber_first", waiting_sound="silence", answer_window=7))
    assert parser.originate(made.command).inline[1:] == [("sleep", "7000"), ("hangup", "NORMAL_CLEARING")]
    operator = own(parser.originate(commands.originate(plan(waiting_sound="silence")).command).first[0])
    assert "transfer_ringback" not in operator


def test_the_operators_leg_records_from_the_bridge_on_in_both_orders() -> None:
    for made in (
        commands.operator_first(plan(record_to="/var/rec/2026/1.wav")),
        commands.ring_operator(plan(record_to="/var/rec/2026/1.wav", operator_job_uuid=JOB)),
    ):
        operator = own(parser.originate(made.command).first[0])
        assert operator["bridge_pre_execute_aleg_app"] == "record_session"
        assert operator["bridge_pre_execute_aleg_data"] == "/var/rec/2026/1.wav"
    first = own(parser.originate(commands.subscriber_first(plan(record_to="/var/rec/1.wav")).command).first[0])
    assert "bridge_pre_execute_aleg_app" not in first


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("message", "../etc/passwd"),
        ("message", "http://example.org/x.wav"),
        ("message", "x.wav^system:reboot"),
        ("message", "x y.wav"),
        ("message", "${x}.wav"),
        ("waiting_sound", "tone_stream://x"),
        ("answer_window", 1),
        ("answer_window", 4000),
    ],
)
def test_what_a_waiting_subscriber_could_be_made_to_hear_passes_a_narrow_gate(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        commands.subscriber_first(plan(**{field: value}))


@pytest.mark.parametrize(
    "path", ["1.wav", "/rec/../1.wav", "/rec/1.wav,api_on_answer=x", "/rec/ 1.wav", "/rec/{x}.wav"]
)
def test_a_recording_has_a_plain_and_whole_path(path: str) -> None:
    with pytest.raises(ValueError, match="record_to"):
        commands.operator_first(plan(record_to=path))


def test_ringing_an_operator_for_a_subscriber_is_a_job_of_its_own() -> None:
    with pytest.raises(ValueError, match="operator_job_uuid"):
        commands.ring_operator(plan())


def test_without_a_caller_id_the_subscriber_does_not_see_his_own_number() -> None:
    (leg,) = parser.originate(commands.originate(plan(caller_id="")).command).second
    assert own(leg)["origination_caller_id_number"] == "0000000000"
    assert own(leg)["origination_caller_id_name"] == "0000000000"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("operator_dial", "user/1001 &system(reboot)"),
        ("operator_dial", "user/1001,user/1002"),
        ("operator_dial", "{api_on_answer=x}user/1001"),
        ("operator_dial", ""),
        ("subscriber_dial", "sofia/gateway/trunk/1|user/2"),
        ("subscriber_dial", "sofia/gateway/trunk/1:_:user/2"),
        ("subscriber_dial", "sofia/gateway/trunk/1)"),
        ("subscriber_dial", "sofia/gateway/trunk/${x}"),
        ("subscriber_dial", "sofia/gateway/trunk/1\n\nbgapi shutdown"),
        ("subscriber_dial", "sofia/reload/mod_event_socket"),
        ("operator_caller_id", "1,api_on_answer=x"),
        ("caller_id", "1]user/2"),
        ("operator_timeout", 0),
        ("subscriber_timeout", 100000),
        ("operator_uuid", "x}y"),
        ("subscriber_uuid", "x]y"),
    ],
)
def test_what_could_be_misread_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        commands.originate(plan(**{field: value}))


def test_a_list_cannot_set_what_the_switch_acts_on_unless_an_administrator_allowed_it() -> None:
    for name in ("api_on_answer", "API_Hangup_Hook", "_nolocal_execute_on_answer", "dialer_leg", "a=b", "a,b"):
        with pytest.raises(ValueError, match=r"variable|switch|dialer"):
            commands.originate(plan(variables={name: "x"}))
    with pytest.raises(ValueError, match="dialer"):
        commands.originate(plan(variables={"dialer_leg": "x"}, allowed=["dialer_leg"]))
    (leg,) = parser.originate(
        commands.originate(plan(variables={"hold_music": "x"}, allowed=["hold_music"])).command
    ).first
    assert own(leg)["hold_music"] == "x"


def test_what_makes_the_call_is_nobodys_to_set_even_when_allowed() -> None:
    made = commands.originate(
        plan(variables={"Origination_UUID": "x", "leg_timeout": "1"}, allowed=["origination_uuid", "leg_timeout"])
    )
    parsed = parser.originate(made.command)
    assert made.left_out == ["Origination_UUID", "leg_timeout"]
    assert own(parsed.first[0])["origination_uuid"] == str(OPERATOR)
    assert own(parsed.second[0])["leg_timeout"] == "60"


def test_the_ringing_time_of_a_route_is_no_variable_left_out() -> None:
    made = commands.originate(plan(variables={"call_timeout": "45"}, subscriber_timeout=45))
    assert made.left_out == []
    assert own(parser.originate(made.command).first[0])["call_timeout"] == "47"


def test_one_call_cannot_outgrow_a_command() -> None:
    with pytest.raises(ValueError, match="variables"):
        commands.originate(plan(variables={f"v{n}": "x" * 4096 for n in range(100)}))


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("{a=1,b='x y',c=p\\,q}user/1 &park()", {"a": "1", "b": "x y", "c": "p,q"}),
        ("{a=x,api_on_answer=y,b=2}user/1 &park()", {"a": "x", "api_on_answer": "y", "b": "2"}),
        ("{a=x\\,b=2}user/1 &park()", {"a": "x,b=2"}),
        ("{a=x\\n,b='q'}user/1 &park()", {"a": "x\n", "b": "q"}),
        ("{^^;a=1,2;b=3}user/1 &park()", {"a": "1,2", "b": "3"}),
    ],
)
def test_the_parser_of_these_tests_is_misled_like_the_switch(text: str, variables: dict[str, str]) -> None:
    assert own(parser.originate(f"originate {text}").first[0]) == variables


def test_a_hostile_value_written_without_care_would_change_the_call() -> None:
    """The negative control of the properties below."""
    assert len(parser.originate("originate {a=x}user/1 &bridge([a=y]user/2,user/3)").second) == 2
    assert parser.originate("originate {a=x}user/1 &intercept(y)z)").argument == "y"
    assert len(parser.originate("originate {a=x}user/1:_:user/2 &park()").first) == 2
    for text in (
        "{a=x y}user/1 &park()",
        "{a={}user/1 &park()",
        "{a=x:_:y}user/1 &park()",
        "{a=x}user/1 &bridge([a=y|z]user/2)",
        "{a=x}user/1 &bridge([a=y)]user/2)",
    ):
        with pytest.raises((ValueError, AssertionError)):
            parser.originate(f"originate {text}")


# --- variables ------------------------------------------------------------------------------------------------------


@given(VARIABLES, VALUES)
@example({"note": "Петренко, Іван"}, "Дем'янчук “Q”")
@example({"a": "x)", "b": "|y", "c": "[z", "d": " e", "f": "g\\"}, "n")
@example({"note": "reload mod_event_socket"}, "unload mod_event_socket")
def test_no_value_changes_the_variables_or_endpoints_of_a_call(variables: dict[str, str], name: str) -> None:
    variables = {key: value for key, value in variables.items() if passes(value)}
    made = commands.originate(plan(variables=variables, operator_caller_name=name))
    (command,) = CommandDecoder().feed(encode_command(f"bgapi {made.command}"))
    assert command.line == f"bgapi {made.command}"

    parsed = parser.originate(made.command)
    (operator,), (subscriber,) = parsed.first, parsed.second
    assert (operator.endpoint, subscriber.endpoint) == ("user/1001", "sofia/gateway/trunk/380441234567")
    for leg, role, mine in ((operator, "operator", 12), (subscriber, "subscriber", 7)):
        said = own(leg)
        assert said["dialer_leg"] == role
        carried = commands.sort_variables(variables).inline if role == "operator" else {}
        assert len(said) == mine + len(carried)
        assert said.items() >= carried.items()
    assert commands.unpack_variables(own(operator)["dialer_variables"]) == variables
    handed_on = parser.separate(own(operator)["export_vars"], ",", 256)
    assert set(handed_on) - {"dialer_variables"} <= variables.keys()
    assert own(operator).keys() - set(handed_on) == MADE_OF


@given(VARIABLES, VALUES)
def test_no_value_changes_what_becomes_of_a_subscriber_who_waits(variables: dict[str, str], name: str) -> None:
    variables = {key: value for key, value in variables.items() if passes(value)}
    made = plan(variables=variables, operator_caller_name=name, operator_job_uuid=JOB)
    waiting, calm = (parser.originate(commands.subscriber_first(one).command) for one in (made, plan()))
    assert (waiting.inline, waiting.first[0].endpoint) == (calm.inline, calm.first[0].endpoint)
    ringing, calm = (
        parser.originate(commands.ring_operator(one).command) for one in (made, plan(operator_job_uuid=JOB))
    )
    assert (ringing.application, ringing.argument) == (calm.application, calm.argument)
    assert ringing.first[0].endpoint == calm.first[0].endpoint
    for leg in (*waiting.first, *ringing.first):
        assert own(leg).items() >= commands.sort_variables(variables).inline.items()
        assert commands.unpack_variables(own(leg)["dialer_variables"]) == variables


MADE_OF = {
    "origination_uuid", "originate_timeout", "call_timeout", "transfer_ringback", "instant_ringback",
    "ignore_early_media", "origination_caller_id_number", "origination_caller_id_name", "dialer_attempt",
    "dialer_leg", "export_vars",
}  # fmt: skip


@given(VARIABLES)
@example({"a": "Дем'янчук", "b": "${system ls}", "c": "x", "C": "y", "d": "", "e": "two\nlines"})
def test_every_variable_is_carried_unchanged_or_left_out_by_name(variables: dict[str, str]) -> None:
    variables = {key: value for key, value in variables.items() if passes(value)}
    found = commands.sort_variables(variables)
    assert sorted([*found.inline, *found.by_setvar, *found.left_out]) == sorted(
        key for key, value in variables.items() if value
    )
    assert {**found.inline, **found.by_setvar}.items() <= variables.items()
    for name, value in found.by_setvar.items():
        line = commands.set_variable(SUBSCRIBER, name, value)
        encode_command(f"api {line}")
        assert parser.setvar(line) == (str(SUBSCRIBER), name, value)
    assert not any("${" in value for value in (*found.inline.values(), *found.by_setvar.values()))


@pytest.mark.parametrize(
    ("value", "way"),
    [
        ("Ivan Petrov", "inline"),
        ("Іван 🙂", "inline"),
        ("ivan@example.com", "inline"),
        ("100 %", "inline"),
        ("Petrov, Ivan", "inline"),
        ("O'Brien", "inline"),
        ("[y] (z) <a>", "inline"),
        ("a=b|c;d^^:", "inline"),
        ("$100", "inline"),
        ("'quoted'", "inline"),
        ("back\\slash\\", "inline"),
        (" outer ", "inline"),
        ("two\nlines\tand a tab", "inline"),
        ("%20", "inline"),
        ("{x}", "by_setvar"),
        ("x:_:y", "by_setvar"),
        ("${system rm}", "left_out"),
        ("$\\{system rm}", "left_out"),
        ("ends with $", "left_out"),
        ("ARRAY::a|:b", "left_out"),
        ("please reload mod_event_socket", "left_out"),
        ("origination_nested_vars=true", "left_out"),
    ],
)
def test_the_way_a_value_travels(value: str, way: str) -> None:
    found = commands.sort_variables({"note": value})
    assert "note" in getattr(found, way)
    assert commands.unpack_variables(found.packed) == {"note": value}


def test_numbers_and_yes_or_no_travel_as_in_json() -> None:
    found = commands.sort_variables({"debt": 20000, "vip": True, "rate_of": 1.5, "language": ""})
    assert found.inline == {"debt": "20000", "vip": "true", "rate_of": "1.5"}
    assert found.left_out == []
    assert commands.unpack_variables(found.packed) == {"debt": 20000, "vip": True, "rate_of": 1.5, "language": ""}


@given(st.dictionaries(NAMES, st.text(max_size=40)))
def test_packed_variables_mean_nothing_to_the_switch(variables: dict[str, str]) -> None:
    packed = commands.pack_variables(variables)
    assert not set(packed) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert commands.unpack_variables(packed) == variables


def test_a_callers_name_keeps_what_can_be_shown() -> None:
    assert commands.display_name("Петренко, Іван (син)  {x}") == "Петренко Іван син x"
    assert commands.display_name('"; api_on_answer=x') == "; api_on_answer x"
    assert commands.display_name("x" * 100) == "x" * 60
    assert commands.display_name("\n'\\") == ""


# --- dial strings and the rest --------------------------------------------------------------------------------------


def test_dial_strings_are_filled_in() -> None:
    assert (
        commands.gateway_dial("sofia/gateway/{gateway}/{number}", "trunk-1", "+380*1#")
        == "sofia/gateway/trunk-1/+380*1#"
    )
    assert commands.extension_dial("1001") == "user/1001"
    for number in ("", "1,2", "{gateway}", "12 34"):
        with pytest.raises(ValueError, match="number"):
            commands.gateway_dial("sofia/gateway/{gateway}/{number}", "trunk", number)
    with pytest.raises(ValueError, match="gateway"):
        commands.gateway_dial("sofia/gateway/{gateway}/{number}", "a/b", "1")
    with pytest.raises(ValueError, match="extension"):
        commands.extension_dial("1001@x")


def test_calls_that_exist() -> None:
    assert commands.hang_up(OPERATOR, "MANAGER_REQUEST") == f"uuid_kill {OPERATOR} MANAGER_REQUEST"
    with pytest.raises(ValueError, match="cause"):
        commands.hang_up(OPERATOR, "NORMAL CLEARING")
    assert commands.exists(OPERATOR) == f"uuid_exists {OPERATOR}"
    assert commands.read_exists("true")
    assert not commands.read_exists("false")
    with pytest.raises(CommandRefused):
        commands.read_exists("-ERR permission denied")
    with pytest.raises(ValueError, match="note"):
        commands.set_variable(OPERATOR, "note", "${x}")


def test_lists_of_the_switch() -> None:
    table = {"row_count": 2, "rows": [{"uuid": "a", "reg_user": "1001"}, {"uuid": "b", "reg_user": "1002"}]}
    assert commands.read_channels(json.dumps(table)) == {"a", "b"}
    assert commands.read_registrations(json.dumps(table)) == {"1001", "1002"}
    assert commands.read_registrations('{"row_count": 0}\n') == set()
    for answer in ("-ERR SQL disabled, no data available!\n", "[1]", '{"rows": 7}', ""):
        with pytest.raises(CommandRefused):
            commands.read_rows(answer)


# --- a supervisor's leg ---------------------------------------------------------------------------------------------

LISTENER = UUID("11111111-2222-4333-8444-555555555555")


def coaching(**changes: Any) -> CoachPlan:
    return CoachPlan(
        **{
            "coaching_id": 17,
            "job_uuid": JOB,
            "leg_uuid": LISTENER,
            "target_uuid": OPERATOR,
            "extension": "7001",
            "mode": "listen",
            **changes,
        }
    )


def test_a_supervisors_phone_rings_and_he_hears_the_operators_leg() -> None:
    made = commands.coach(coaching(caller_name="Iryna Koval"))
    assert made.command == (
        f"originate {{origination_uuid={LISTENER},originate_timeout=21,ignore_early_media=true,"
        "origination_caller_id_number=7001,origination_caller_id_name='Iryna Koval',dialer_leg=supervisor,"
        "dialer_coaching=17,eavesdrop_enable_dtmf=false,eavesdrop_whisper_aleg=false,eavesdrop_whisper_bleg=false}"
        f"user/7001 &eavesdrop({OPERATOR})"
    )
    assert made.job_uuid == JOB
    assert made.setvars == {}


@pytest.mark.parametrize(
    ("mode", "far", "near"), [("listen", "false", "false"), ("whisper", "false", "true"), ("barge", "true", "true")]
)
def test_a_mode_says_who_hears_him_at_the_beginning_and_later(mode: str, far: str, near: str) -> None:
    begun = own(parser.originate(commands.coach(coaching(mode=mode)).command).first[0])
    assert (begun["eavesdrop_whisper_aleg"], begun["eavesdrop_whisper_bleg"]) == (far, near)
    assert commands.change_mode(LISTENER, OPERATOR, mode) == [
        f"uuid_setvar_multi {LISTENER} eavesdrop_whisper_aleg={far};eavesdrop_whisper_bleg={near}",
        f"uuid_transfer {LISTENER} eavesdrop:{OPERATOR} inline",
    ]


@given(VALUES)
@example("Дем'янчук, “Q”")
@example("x)}user/1 &system(ls")
@example("${system ls}")
def test_no_name_changes_what_a_supervisors_phone_is_told(name: str) -> None:
    made = commands.coach(coaching(caller_name=name))
    (command,) = CommandDecoder().feed(encode_command(f"bgapi {made.command}"))
    assert command.line == f"bgapi {made.command}"
    parsed, calm = parser.originate(made.command), parser.originate(commands.coach(coaching()).command)
    assert (parsed.application, parsed.argument) == ("eavesdrop", str(OPERATOR))
    (leg,), (plain,) = parsed.first, calm.first
    assert leg.endpoint == "user/7001"
    unlike = {"origination_caller_id_name"}
    assert {n: v for n, v in own(leg).items() if n not in unlike} == {
        n: v for n, v in own(plain).items() if n not in unlike
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("extension", "7001 &park()"),
        ("extension", "7001,user/1"),
        ("extension", ""),
        ("extension", "+380501112233"),
        ("extension", "${x}"),
        ("mode", "shout"),
        ("mode", "listen,x=1"),
        ("target_uuid", "all"),
        ("leg_uuid", "x"),
        ("timeout", 0),
    ],
)
def test_what_could_be_misread_makes_no_supervisors_leg(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        commands.coach(coaching(**{field: value}))


def test_a_change_of_mode_takes_ids_and_known_modes_alone() -> None:
    for leg, target, mode in (("all", OPERATOR, "listen"), (LISTENER, "all", "listen"), (LISTENER, OPERATOR, "x")):
        with pytest.raises(ValueError):  # noqa: PT011 (each names its own field)
            commands.change_mode(leg, target, mode)  # type: ignore[arg-type]
