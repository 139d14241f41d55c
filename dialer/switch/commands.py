"""What we say to a switch: the text of each command, and how to read its answer.

Whatever comes from a list, a person or a setting passes a narrow gate here, for the switch splits a command at spaces,
quotes, brackets, commas, ``|`` and ``:_:``, ends an application at the first ``)``, and expands ``${…}``. Numbers, dial
strings and causes that do not pass raise ``ValueError`` naming the field; a caller's name loses what cannot pass.

Values of variables are escaped, once for each time that the switch splits them, and stand in the variables of the leg
that a command begins with: an argument of ``bridge`` is expanded and cut at brackets, so the second leg takes them over
(``export_vars``). A brace without its partner and ``:_:`` have no escape there: ``uuid_setvar`` carries those. What
would act when a dialplan uses it travels in ``dialer_variables`` alone.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dialer import channel_variables
from dialer.esl.errors import CommandRefused

MAX_COMMAND = 512 * 1024
"""Bytes of one originate; what a list brings cannot come near the limit of the event socket."""
NO_CALLER_ID = "0000000000"
"""What the switch itself presents for a call without a caller id. Said aloud, since a bridged leg would else present
the operator's caller id, which is the subscriber's own number."""
CALL_TIMEOUT = "call_timeout"
"""A variable of ours that routes may carry too: there it is the ringing time, which the plan holds already."""
OURS = frozenset(
    {"origination_uuid", "originate_timeout", "leg_timeout", "ignore_early_media",
     "origination_caller_id_number", "origination_caller_id_name", "transfer_ringback", "instant_ringback",
     "intercept_unbridged_only", "bridge_pre_execute_aleg_app", "bridge_pre_execute_aleg_data", "record_stereo",
     "export_vars"}
)  # fmt: skip
"""Variables that make the call what it is, in lower case: nobody's list sets them, allowed or not."""
RINGBACK = "%(1000,4000,425)"
"""The ringing tone of most of Europe, in the switch's language of tones."""
MUSIC = "local_stream://moh"
"""The stream that a FreeSWITCH calls its music on hold."""

_DIAL = re.compile(r"[A-Za-z][A-Za-z0-9_-]*/[A-Za-z0-9_./@:+*#;=%-]{1,400}")
_CALLER_ID = re.compile(r"\+?[A-Za-z0-9*#._-]{0,64}")
_NUMBER = re.compile(r"\+?[0-9*#]{1,40}")
_GATEWAY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FILE = re.compile(r"(?!.*\.\.)[A-Za-z0-9_/][A-Za-z0-9_./-]{0,299}")
"""A file of the switch: no URL, no way upwards, nothing that a parser reads."""
_OUTER_SPACE = re.compile(r"^ | \Z")
_CAUSE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_EVERYWHERE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./@:+;#*!?%- ")
"""The ASCII characters that have no meaning anywhere in an originate string; a space wants quotes around its value."""


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One attempt, as the switch must hear of it. Timeouts are in seconds of the switch's clock.

    ``allowed`` names those of the switch's own variables that an administrator let ``variables`` set.
    """

    attempt_id: int
    job_uuid: UUID
    operator_uuid: UUID
    subscriber_uuid: UUID
    operator_dial: str
    subscriber_dial: str
    operator_timeout: int
    subscriber_timeout: int
    operator_caller_id: str = ""
    operator_caller_name: str = ""
    caller_id: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)
    allowed: Collection[str] = ()
    connect_order: str = "operator_first"
    """Or ``subscriber_first``."""
    operator_job_uuid: UUID | None = None
    """The job of ``ring_operator``; ``job_uuid`` is that of the leg that the attempt began with."""
    answer_window: int = 10
    """Subscriber first: seconds that he waits for an operator, from his answer; at least 2."""
    waiting_sound: str = "ringback"
    """What the one who waits hears: ``ringback``, ``music`` or ``silence``."""
    message: str = ""
    """Subscriber first: the sound file of the switch that he hears when nobody has come for him."""
    record_to: str = ""
    """The file in which the switch keeps the conversation, from the bridge on, in stereo: its whole path there. The
    folder need not exist. ``global_getvar recordings_dir`` tells where a switch keeps recordings."""


@dataclass(frozen=True, slots=True)
class Originate:
    """A command, and what it leaves to be said."""

    command: str
    job_uuid: UUID
    setvars: dict[UUID, list[str]]
    """For each leg the ``uuid_setvar`` commands to send once it exists: values that only they carry."""
    left_out: list[str]
    """Names of variables that no harmless way carries under their own name."""


@dataclass(frozen=True, slots=True)
class SortedVariables:
    """Variables by the way that carries each unchanged under its own name."""

    packed: str
    """All of them exactly, for ``dialer_variables``."""
    inline: dict[str, str] = field(default_factory=dict)
    by_setvar: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


# --- placing a call -----------------------------------------------------------------------------------------------


def originate(plan: CallPlan) -> Originate:
    """Begin an attempt with the phone that its connect order names."""
    return subscriber_first(plan) if plan.connect_order == "subscriber_first" else operator_first(plan)


def operator_first(plan: CallPlan) -> Originate:
    """Ring the operator; when he answers, dial the subscriber and bridge the two.

    An operator who does not answer ends with NO_ANSWER: ``originate_timeout`` ends up to a second early, hence the one
    more. A subscriber who does not ends with ALLOTTED_TIMEOUT, by ``leg_timeout``; the bridge itself would give up
    after 60 s, so ``call_timeout`` tells it to outlast that.
    """
    ours = {"originate_timeout": _seconds(plan.operator_timeout, "operator_timeout") + 1,
            CALL_TIMEOUT: _seconds(plan.subscriber_timeout, "subscriber_timeout") + 2,
            **_while_ringing(plan), **_recording(plan)}  # fmt: skip
    variables = _sorted(plan)
    operator = _leg_variables(plan, "operator", ours, variables)
    subscriber = _leg_variables(plan, "subscriber", {"leg_timeout": plan.subscriber_timeout})
    application = f"&bridge([{subscriber}]{_checked(_DIAL, plan.subscriber_dial, 'subscriber_dial')})"
    legs = (plan.operator_uuid, plan.subscriber_uuid)
    return _originate(plan.job_uuid, operator, plan.operator_dial, "operator_dial", application, legs, variables)


def subscriber_first(plan: CallPlan) -> Originate:
    """Dial the subscriber; when he answers, he waits until ``ring_operator`` brings someone.

    The switch itself ends the wait: after ``answer_window`` he hears the message, if any, and is hung up.
    """
    variables = _sorted(plan)
    ours = {"originate_timeout": _seconds(plan.subscriber_timeout, "subscriber_timeout") + 1}
    subscriber = _leg_variables(plan, "subscriber", ours, variables)
    application = f"'m:^:{'^'.join(_waiting(plan))}' inline"
    legs = (plan.subscriber_uuid,)
    return _originate(plan.job_uuid, subscriber, plan.subscriber_dial, "subscriber_dial", application, legs, variables)


def ring_operator(plan: CallPlan) -> Originate:
    """Ring an operator for a subscriber who waits; when he answers, take the subscriber to him.

    Its job is ``operator_job_uuid``. When the subscriber has gone, or talks to another, the operator's leg ends at
    once with NORMAL_CLEARING.
    """
    variables = _sorted(plan)
    ours = {"originate_timeout": _seconds(plan.operator_timeout, "operator_timeout") + 1,
            "intercept_unbridged_only": "true", **_recording(plan)}  # fmt: skip
    operator = _leg_variables(plan, "operator", ours, variables)
    job = _uuid(plan.operator_job_uuid, "operator_job_uuid")
    application = f"&intercept({_uuid(plan.subscriber_uuid, 'subscriber_uuid')})"
    return _originate(job, operator, plan.operator_dial, "operator_dial", application, (plan.operator_uuid,), variables)


def _while_ringing(plan: CallPlan) -> dict[str, str]:
    """Return what lets an operator hear something while the subscriber is called, from the first moment on."""
    sound = {"ringback": RINGBACK, "music": MUSIC, "silence": ""}.get(plan.waiting_sound)
    if sound is None:
        raise ValueError(f"waiting_sound: “{plan.waiting_sound[:80]}” is none of ringback, music, silence.")
    return {"transfer_ringback": sound.replace(",", "\\,"), "instant_ringback": "true"} if sound else {}


def _recording(plan: CallPlan) -> dict[str, str]:
    """Return what lets the operator's leg begin a recording when it is bridged, whoever is still there to say so."""
    if not plan.record_to:
        return {}
    if not plan.record_to.startswith("/"):
        raise ValueError(f"record_to: “{plan.record_to[:80]}” is no whole path, which begins with “/”.")
    return {
        "bridge_pre_execute_aleg_app": "record_session",
        "bridge_pre_execute_aleg_data": _checked(_FILE, plan.record_to, "record_to"),
        "RECORD_STEREO": "true",
    }


def _waiting(plan: CallPlan) -> list[str]:
    """Return the applications of a subscriber who waits, as ``name:argument``.

    Music that the switch does not have gives way to the ringing tone: an empty wait would hang up at once. A key that
    he presses must not end it.
    """
    seconds = _seconds(plan.answer_window, "answer_window", least=2)  # playback_timeout_sec knows no 1
    tone = f"tone_stream://{RINGBACK};loops=-1"
    match plan.waiting_sound:
        case "silence":
            wait = [f"sleep:{seconds * 1000}"]
        case "ringback" | "music" as sound:
            heard = tone if sound == "ringback" else f"{MUSIC}!{tone}"
            wait = ["set:playback_delimiter=!", f"set:playback_timeout_sec={seconds}", f"playback:{heard}"]
        case other:
            raise ValueError(f"waiting_sound: “{other[:80]}” is none of ringback, music, silence.")
    message = _checked(_FILE, plan.message, "message") if plan.message else ""
    last = ["unset:playback_timeout_sec", f"playback:{message}"] if message else []
    return ["set:playback_terminators=none", *wait, *last, "hangup:NORMAL_CLEARING"]


def sort_variables(variables: Mapping[str, Any], allowed: Collection[str] = ()) -> SortedVariables:
    """Sort variables by the way that carries each unchanged: in the originate string, by ``uuid_setvar``, or none.

    Checks every name and value again, whoever checked them before: ``ValueError`` names the first that is refused. The
    switch does not tell upper from lower case: of names that differ in that alone the last one counts. It has no empty
    variables: an empty value is carried by saying nothing.
    """
    last = {name.lower(): name for name in variables}
    found = SortedVariables(pack_variables(variables))
    for name, value in variables.items():
        channel_variables.check_name(name, {*allowed, CALL_TIMEOUT})
        channel_variables.check_value(name, value)
        text = channel_variables.as_text(value)
        if not text or name.lower() == CALL_TIMEOUT:
            continue
        if name.lower() in OURS or last[name.lower()] != name or not _is_harmless(text):
            found.left_out.append(name)
        elif _travels_inline(text):
            found.inline[name] = text
        else:
            found.by_setvar[name] = text
    return found


def pack_variables(variables: Mapping[str, Any]) -> str:
    """Write all values exactly, as base64url of JSON without padding: the alphabet has no meaning to the switch.

    The JSON is ASCII: so its base64 cannot spell what ``_is_harmless`` looks for.
    """
    return base64.urlsafe_b64encode(json.dumps(dict(variables), separators=(",", ":")).encode()).rstrip(b"=").decode()


def unpack_variables(packed: str) -> dict[str, Any]:
    """Read what ``pack_variables`` wrote."""
    unpacked = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    if not isinstance(unpacked, dict):
        raise ValueError("Packed variables are not an object.")
    return unpacked


def gateway_dial(template: str, gateway: str, number: str) -> str:
    """Fill ``{gateway}`` and ``{number}`` in a gateway's dial string."""
    dial = template.replace("{gateway}", _checked(_GATEWAY, gateway, "gateway"))
    return _checked(_DIAL, dial.replace("{number}", _checked(_NUMBER, number, "number")), "dial string")


def extension_dial(extension: str) -> str:
    """Dial whatever phones an extension of the directory has registered."""
    return f"user/{_checked(_GATEWAY, extension, 'extension')}"


def _sorted(plan: CallPlan) -> SortedVariables:
    return sort_variables(plan.variables, plan.allowed)


def _leg_variables(
    plan: CallPlan, role: str, ours: Mapping[str, object], variables: SortedVariables | None = None
) -> str:
    """Write the variables of one leg; ``variables`` on the first leg of a command, whose second leg takes them over."""
    if role == "operator":
        leg, number, name = plan.operator_uuid, plan.operator_caller_id, plan.operator_caller_name
    else:
        leg, number, name = plan.subscriber_uuid, plan.caller_id, plan.caller_id
    number = _checked(_CALLER_ID, number, "caller_id" if role == "subscriber" else "operator_caller_id") or NO_CALLER_ID
    pairs: dict[str, object] = {
        "origination_uuid": _uuid(leg, f"{role}_uuid"),
        **ours,
        "ignore_early_media": "true",
        "origination_caller_id_number": number,
        "origination_caller_id_name": display_name(name) or number,
        "dialer_attempt": int(plan.attempt_id),
        "dialer_leg": role,
    }
    written = [f"{name}={_quoted(str(value))}" for name, value in pairs.items()]
    if variables is not None:
        names = r"\,".join(["dialer_variables", *variables.inline, *variables.by_setvar])
        written += [f"export_vars={names}", f"dialer_variables={variables.packed}"]
        written += [f"{name}={_escaped(text)}" for name, text in variables.inline.items()]
    return ",".join(written)


def _originate(
    job: UUID,
    variables: str,
    dial: str,
    dial_name: str,
    application: str,
    legs: Iterable[UUID],
    said: SortedVariables,
) -> Originate:
    command = f"originate {{{variables}}}{_checked(_DIAL, dial, dial_name)} {application}"
    if len(command.encode()) > MAX_COMMAND:
        raise ValueError(f"variables: together they are too long for one call ({MAX_COMMAND} bytes).")
    setvars = {leg: [set_variable(leg, name, text) for name, text in said.by_setvar.items()] for leg in legs}
    return Originate(command, job, setvars, said.left_out)


def display_name(text: str) -> str:
    """Return a caller's name with what a switch could misread taken out, at most 60 characters of it."""
    kept = "".join(char if _is_plain(char) else " " for char in text.replace("%", " "))
    kept = " ".join(kept.replace(":", " ").split())[:60].strip()
    return kept if _is_harmless(kept) else ""


# --- values -------------------------------------------------------------------------------------------------------


def _is_plain(char: str) -> bool:
    """Tell whether a character means nothing to the switch's parsers; they look at ASCII alone."""
    return char in _EVERYWHERE or (not char.isascii() and char.isprintable())


def _is_harmless(text: str) -> bool:
    """Tell whether a value does nothing, neither now nor when a dialplan uses it.

    A dialplan that says ``${note}`` expands the value's own ``${…}`` too, and with it runs any API command; the end and
    the beginning of two values could meet. A value that begins with ``ARRAY::`` becomes a list. A line that holds both
    "reload" or "unload" and "mod_event_socket" is replaced by that very command; one that holds
    "origination_nested_vars" is trusted more than it should be.
    """
    lowered = text.lower()
    acts = re.search(r"\$\\*\{|\$\\*$", text) or text.startswith("ARRAY::")
    return not (acts or "mod_event_socket" in lowered or "origination_nested_vars" in lowered)


def _travels_inline(text: str) -> bool:
    return not ({"{", "}"} & set(text) or ":_:" in text)


def _escaped(text: str) -> str:
    """Write a value so that it outlasts the three splits of an originate: at spaces, then at commas, then at ``=``.

    Each split takes a layer of backslashes and quotes away, and the spaces at both ends.
    """
    for_the_last = _OUTER_SPACE.sub(r"\\s", _layered(text))
    return _one_word(_layered(_layered(for_the_last, ",")))


def _layered(text: str, separator: str = "") -> str:
    return re.sub(rf"['\\{separator}]", r"\\\g<0>", text)


def _one_word(text: str) -> str:
    """Write the characters that a command's words cannot hold as the switch spells them."""
    return text.replace(" ", r"\s").replace("\n", r"\n").replace("\t", r"\t")


def _quoted(text: str) -> str:
    return f"'{text}'" if " " in text else text


def _checked(pattern: re.Pattern[str], text: str, name: str) -> str:
    if not pattern.fullmatch(text) or ":_:" in text or not _is_harmless(text):
        raise ValueError(f"{name}: the switch could misread “{text[:80]}”.")
    return text


def _uuid(value: UUID | None, name: str) -> UUID:
    if not isinstance(value, UUID):
        raise ValueError(f"{name}: “{str(value)[:80]}” is not a UUID.")
    return value


def _seconds(value: int, name: str, least: int = 1) -> int:
    if not least <= int(value) <= 3600:
        raise ValueError(f"{name}: {value} is not from {least} to 3600 seconds.")
    return int(value)


# --- calls that exist -----------------------------------------------------------------------------------------------


HEARD_BY: dict[str, tuple[bool, bool]] = {"listen": (False, False), "whisper": (False, True), "barge": (True, True)}
"""How a leg that listens may speak: whether the far side hears it, and whether the leg that it listens to does.

The switch calls the first ``eavesdrop_whisper_aleg`` and the second ``eavesdrop_whisper_bleg``, whichever of the two
legs of the bridge it listens to.
"""


@dataclass(frozen=True, slots=True)
class CoachPlan:
    """A leg that listens to another. ``target`` is the leg of the operator, ``timeout`` in seconds."""

    coaching_id: int
    job_uuid: UUID
    leg_uuid: UUID
    target_uuid: UUID
    extension: str
    mode: str
    caller_name: str = ""
    timeout: int = 20


def coach(plan: CoachPlan) -> Originate:
    """Ring a supervisor's phone; when he answers he hears the target's call, and speaks as the mode says.

    The leg ends with the call that it listens to. It carries nothing of an attempt: ``dialer_leg`` alone tells whose
    it is. The keys of the phone change nothing: the ledger would not know.
    """
    far, near = _heard_by(plan.mode)
    number = _checked(_GATEWAY, plan.extension, "extension")
    pairs: dict[str, object] = {
        "origination_uuid": _uuid(plan.leg_uuid, "leg_uuid"),
        "originate_timeout": _seconds(plan.timeout, "timeout") + 1,
        "ignore_early_media": "true",
        "origination_caller_id_number": number,
        "origination_caller_id_name": display_name(plan.caller_name) or number,
        "dialer_leg": "supervisor",
        "dialer_coaching": int(plan.coaching_id),
        "eavesdrop_enable_dtmf": "false",
        "eavesdrop_whisper_aleg": far,
        "eavesdrop_whisper_bleg": near,
    }
    variables = ",".join(f"{name}={_quoted(str(value))}" for name, value in pairs.items())
    target = _uuid(plan.target_uuid, "target_uuid")
    command = f"originate {{{variables}}}{extension_dial(plan.extension)} &eavesdrop({target})"
    return Originate(command, plan.job_uuid, {}, [])


def change_mode(leg: UUID, target: UUID, mode: str) -> list[str]:
    """Let a leg that listens to another speak otherwise: two commands, in this order; it begins to listen anew.

    Only for one that has answered: one that still rings would leave its originate.
    """
    far, near = _heard_by(mode)
    return [
        f"uuid_setvar_multi {_uuid(leg, 'leg')} eavesdrop_whisper_aleg={far};eavesdrop_whisper_bleg={near}",
        f"uuid_transfer {leg} eavesdrop:{_uuid(target, 'target')} inline",
    ]


def _heard_by(mode: str) -> tuple[str, str]:
    if mode not in HEARD_BY:
        raise ValueError(f"mode: “{mode[:80]}” is none of {', '.join(HEARD_BY)}.")
    far, near = HEARD_BY[mode]
    return str(far).lower(), str(near).lower()


def hang_up(leg: UUID, cause: str) -> str:
    """End a leg; the switch answers ``+OK`` at once, or ``-ERR No such channel!``."""
    return f"uuid_kill {_uuid(leg, 'leg')} {_checked(_CAUSE, cause, 'cause')}"


def exists(leg: UUID) -> str:
    """Ask whether a leg lives."""
    return f"uuid_exists {_uuid(leg, 'leg')}"


def read_exists(answer: str) -> bool:
    """Read the answer to ``exists``. Anything but yes or no raises ``CommandRefused``: silence is no evidence."""
    if answer not in ("true", "false"):
        raise CommandRefused(f"uuid_exists: {answer[:200]}")
    return answer == "true"


def set_variable(leg: UUID, name: str, text: str) -> str:
    """Set a variable on a leg that exists; ``ValueError`` on a value that could act, and on none."""
    if not text or not _is_harmless(text):
        raise ValueError(f"{name}: uuid_setvar must not carry this value.")
    return f"uuid_setvar {_uuid(leg, 'leg')} {name} {_one_word(_layered(text))}"


SHOW_CHANNELS = "show channels as json"
SHOW_REGISTRATIONS = "show registrations as json"


def read_rows(answer: str) -> list[dict[str, str]]:
    """Read the rows of a ``show … as json``; the switch leaves them out when there are none."""
    try:
        table = json.loads(answer, strict=False)
        return [dict(row) for row in table.get("rows", [])]
    except (ValueError, AttributeError, TypeError):
        raise CommandRefused(f"show: {answer[:200]}") from None


def read_channels(answer: str) -> set[str]:
    """Read the ids of all channels. The list lags behind the calls: what it does not hold may live."""
    return {row["uuid"] for row in read_rows(answer) if row.get("uuid")}


def read_registrations(answer: str) -> set[str]:
    """Read which users of the directory have a phone registered."""
    return {row["reg_user"] for row in read_rows(answer) if row.get("reg_user")}
