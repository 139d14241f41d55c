"""The codec: what a real switch sent, however it is cut, what nobody may forge, and both directions together."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dialer.esl import wire
from dialer.esl.errors import ProtocolError
from dialer.esl.wire import AnyCase, Command, CommandDecoder, Decoder, Event, Frame, Message, encode_command

CAPTURES = Path(__file__).parent / "captures"
RECORDINGS = ["json_events.txt", "operator_busy.txt", "subscriber_busy.txt", "user_not_registered.txt"]

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,30}", fullmatch=True).filter(
    lambda name: name.lower() != "content-length" and name != "_body"
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
EVENTS = st.builds(Event, st.dictionaries(NAMES, TEXTS, max_size=8), TEXTS)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def decode(chunks: list[bytes]) -> list[Frame]:
    decoder = Decoder()
    return [frame for chunk in chunks for frame in decoder.feed(chunk)]


def capture(name: str) -> bytes:
    return (CAPTURES / name).read_bytes()


# --- what a real switch sent ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_byte_by_byte_gives_the_same_frames_as_in_one_piece(name: str) -> None:
    data = capture(name)
    assert decode([data[place : place + 1] for place in range(len(data))]) == decode([data])


@pytest.mark.parametrize("name", RECORDINGS)
def test_what_we_encode_is_what_the_switch_sent(name: str) -> None:
    """Byte for byte, but for HANGUP events, in which the switch repeats the header Hangup-Cause."""
    data, again = capture(name), b""
    for frame in decode([data]):
        if isinstance(frame, Event):
            encode = wire.encode_event_json if name.startswith("json") else wire.encode_event_plain
            again += encode(frame)
        else:
            headers = dict(frame.headers)
            del headers["Content-Type"]
            again += wire.encode_reply(headers.pop("Reply-Text"), headers)
    repeated = b"Hangup-Cause: " if not name.startswith("json") else b'"Hangup-Cause":'
    if repeated not in data:
        assert again == data
    else:
        assert decode([again]) == decode([data])


def test_both_formats_carry_the_same_event() -> None:
    event = next(frame for frame in decode([capture("json_events.txt")]) if isinstance(frame, Event))
    assert event.name == "CHANNEL_CREATE"
    assert event.get("variable_sip_destination_url") == "sip:7005551234@127.0.0.1:5080"
    assert decode([wire.encode_event_plain(event)]) == decode([wire.encode_event_json(event)]) == [event]


def test_a_job_has_its_body_in_both_formats() -> None:
    for name in ("json_events.txt", "user_not_registered.txt"):
        jobs = [
            frame for frame in decode([capture(name)]) if isinstance(frame, Event) and frame.name == "BACKGROUND_JOB"
        ]
        assert [job.body[:4] for job in jobs] == (["+OK "] if name.startswith("json") else ["-ERR", "-ERR"])
        assert "Content-Length" not in jobs[0].headers


def test_the_frames_of_a_log_in() -> None:
    frames = decode([capture("handshake.txt").split(b"#>>>")[0], wire.encode_rude_rejection()])
    assert [frame.content_type for frame in frames if isinstance(frame, Message)] == [
        "auth/request",
        "text/rude-rejection",
    ]
    assert wire.encode_auth_request() + wire.encode_reply("+OK accepted") in capture("handshake.txt").replace(
        b"#>>> auth ClueCon\n", b""
    )
    assert wire.encode_reply("+OK bye") + wire.encode_disconnect_notice() in capture("handshake.txt")
    assert wire.encode_api_response("false") in capture("handshake.txt")


# --- every cut, every value -----------------------------------------------------------------------------------------


@given(
    st.lists(EVENTS, max_size=4), st.lists(TEXTS, max_size=3), st.lists(st.integers(0, 10**6), max_size=12), st.data()
)
def test_replies_and_events_come_out_in_order_however_they_are_cut(
    events: list[Event], bodies: list[str], places: list[int], data: st.DataObject
) -> None:
    sent = [
        *((wire.encode_event_json(event), event) for event in events),
        *((wire.encode_api_response(body), body or "-ERR no reply\n") for body in bodies),
    ]
    sent = data.draw(st.permutations(sent))
    frames = decode(cut(b"".join(item[0] for item in sent), places))
    assert [frame if isinstance(frame, Event) else frame.body for frame in frames] == [item[1] for item in sent]


@given(EVENTS, st.lists(st.integers(0, 10**6), max_size=6))
@example(Event({"A": "x%0aForged: yes"}), [])
@example(Event({"A": "_undef_"}), [])
@settings(deadline=None)
def test_event_plain_carries_any_event_but_for_what_the_format_cannot_tell(event: Event, places: list[int]) -> None:
    (decoded,) = decode(cut(wire.encode_event_plain(event), places))
    assert isinstance(decoded, Event)
    assert list(decoded.headers) == list(event.headers)
    assert decoded.body == event.body
    for name, value in event.headers.items():
        if "%" not in value and value not in ("_undef_", ""):
            assert decoded.get(name) == value


@given(TEXTS)
@example("x\nUnique-ID: forged\n\nContent-Length: 3")
@example("x%0AUnique-ID: forged")
def test_no_value_can_forge_a_header(value: str) -> None:
    for encode in (wire.encode_event_plain, wire.encode_event_json):
        (frame,) = decode([encode(Event({"Event-Name": "X", "variable_a": value, "Z": "last"}))])
        assert isinstance(frame, Event)
        assert list(frame.headers) == ["Event-Name", "variable_a", "Z"]
        assert frame.get("Z") == "last"


def test_a_percent_sign_followed_by_two_hex_digits_is_the_formats_own_loss() -> None:
    event = Event({"a": "100%20", "b": "100%", "c": "%zz"})
    (plain,), (exact,) = decode([wire.encode_event_plain(event)]), decode([wire.encode_event_json(event)])
    assert isinstance(plain, Event)
    assert dict(plain.headers) == {"a": "100 ", "b": "100%", "c": "%zz"}
    assert exact == event


def test_of_two_equal_names_the_first_wins_as_in_the_switch() -> None:
    plain = b"A: 1\nA: 2\n\n"
    (frame,) = decode([b"Content-Length: %d\nContent-Type: text/event-plain\n\n%s" % (len(plain), plain)])
    body = b'{"A":"1","A":"2","_body":"b","_body":"c"}'
    (other,) = decode([b"Content-Length: %d\nContent-Type: text/event-json\n\n%s" % (len(body), body)])
    assert frame == Event({"A": "1"})
    assert other == Event({"A": "1"}, "b")


def test_a_list_reads_the_same_in_both_formats() -> None:
    body = json.dumps({"variable_x": ["one", "two"], "n": 1}).encode()
    (frame,) = decode([b"Content-Length: %d\nContent-Type: text/event-json\n\n%s" % (len(body), body)])
    assert frame == Event({"variable_x": "ARRAY::one|:two", "n": "1"})


def test_bytes_that_are_not_utf8_do_not_stop_the_stream() -> None:
    body = b'{"A":"\xff\xfe"}'
    (frame,) = decode([b"Content-Length: %d\nContent-Type: text/event-json\n\n%s" % (len(body), body)])
    assert frame == Event({"A": "\ufffd\ufffd"})
    (frame,) = decode([b"Content-Length: 10\nContent-Type: text/event-plain\n\nA: %FF%FE\n"[:-1] + b"\n"])
    assert frame == Event({"A": "\ufffd\ufffd"})


# --- limits and faults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"no colon\n\n",
        b"A: 1\n\n",
        b"Content-Type: api/response\nContent-Length: -1\n\n",
        b"Content-Type: api/response\nContent-Length: x\n\n",
        b"Content-Type: api/response\nContent-Length: 1\nContent-Length: 2\n\n",
        b"Content-Type: api/response\nContent-Length: 99999999999\n\n",
        b"Content-Type: text/event-json\nContent-Length: 3\n\n{x}",
        b"Content-Type: text/event-json\nContent-Length: 1\n\n7",
        b"Content-Type: text/event-json\nContent-Length: 4\n\n[[]]",
        b"Content-Type: text/event-plain\nContent-Length: 27\n\nA: 1\nContent-Length: 99\n\n\nab",
        b"Content-Type: text/event-plain\nContent-Length: 4\n\nxyz\n",
        b"A" * 70000,
    ],
)
def test_what_is_no_event_socket_is_a_protocol_error(data: bytes) -> None:
    decoder = Decoder()
    with pytest.raises(ProtocolError):
        decoder.feed(data)
    with pytest.raises(ProtocolError):
        decoder.feed(wire.encode_reply("+OK"))


def test_what_came_before_a_fault_is_returned_first() -> None:
    decoder = Decoder()
    assert len(decoder.feed(wire.encode_reply("+OK") + b"garbage\n\n")) == 1
    with pytest.raises(ProtocolError, match="garbage"):
        decoder.feed(b"")


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_noise_is_refused_or_ignored_but_never_crashes(data: bytes, places: list[int]) -> None:
    decoder = Decoder()
    try:
        for chunk in cut(data, places):
            decoder.feed(chunk)
    except ProtocolError:
        pass


# --- commands -------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.builds(
            Command,
            st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip),
            st.dictionaries(
                st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True).filter(lambda name: name != "content-length"),
                st.text(st.characters(exclude_categories=["Cc", "Cs"])).map(lambda text: text.lstrip(" ")),
                max_size=3,
            ),
            TEXTS,
        ),
        max_size=4,
    ),
    st.lists(st.integers(0, 10**6), max_size=8),
)
def test_commands_reach_the_switch_as_they_were_given(commands: list[Command], places: list[int]) -> None:
    data = b"".join(encode_command(command.line, command.headers, command.body) for command in commands)
    decoder = CommandDecoder()
    decoded = [command for chunk in cut(data, places) for command in decoder.feed(chunk)]
    assert [(item.line, item.body) for item in decoded] == [(item.line, item.body) for item in commands]
    for command, expected in zip(decoded, commands, strict=True):
        assert {name: value for name, value in command.headers.items() if name != "content-length"} == expected.headers


@given(st.text())
def test_one_line_is_one_command_or_is_refused(line: str) -> None:
    try:
        data = encode_command(line, {"Job-UUID": "x"})
    except (ValueError, UnicodeEncodeError):
        return
    assert CommandDecoder().feed(data + encode_command("next")) == [
        Command(line, AnyCase([("Job-UUID", "x")])),
        Command("next", AnyCase()),
    ]


@pytest.mark.parametrize(
    ("line", "headers", "body"),
    [
        ("status\n\nbgapi shutdown", {}, ""),
        ("status\r", {}, ""),
        ("status\0", {}, ""),
        ("", {}, ""),
        ("  ", {}, ""),
        ("status", {"Job-UUID": "x\n\nexit"}, ""),
        ("status", {"Job-UUID\n": "x"}, ""),
        ("status", {"Content-Length": "5"}, ""),
        ("status", {}, "a\0b"),
        ("bgapi originate {note=Reload MOD_event_socket}user/1 &park()", {}, ""),
        ("x" * (wire.MAX_COMMAND + 1), {}, ""),
    ],
)
def test_what_a_switch_could_take_for_something_else_is_refused(line: str, headers: dict[str, str], body: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        encode_command(line, headers, body)


def test_a_person_at_a_terminal_is_understood() -> None:
    decoder = CommandDecoder()
    message = b"sendmsg x\r\nCall-Command: execute\r\nnonsense\r\ncontent-length: 2\r\n\r\nhi"
    assert decoder.feed(b"\r\n\nauth ClueCon\r\n\r\n" + message + b"exit\n\n") == [
        Command("auth ClueCon", AnyCase()),
        Command("sendmsg x", AnyCase([("Call-Command", "execute"), ("content-length", "2")]), "hi"),
        Command("exit", AnyCase()),
    ]


def test_a_header_of_a_command_is_found_in_any_case_and_keeps_the_one_it_was_written_in() -> None:
    """A switch finds ``job-uuid`` by Job-UUID, and fires an event with the names that ``sendevent`` brought."""
    (command,) = CommandDecoder().feed(
        b"sendevent CUSTOM\nEvent-Subclass: a::b\nDialer-Status: x\ndialer-status: y\n\n"
    )
    assert command.headers["event-subclass"] == command.headers["EVENT-SUBCLASS"] == "a::b"
    assert dict(command.headers) == {"Event-Subclass": "a::b", "Dialer-Status": "x"}
    assert "Status" not in command.headers
