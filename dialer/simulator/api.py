"""The commands of the switch's API, as far as a dialer, its operator or a test would use them.

Answers are word for word those of a FreeSWITCH. A command that it does not know here is one that it does not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from dialer.simulator import causes, dialstring
from dialer.simulator.leg import Leg, Reply
from dialer.simulator.switch import READABLE_VERSION, Switch

NO_CHANNEL: Final = "-ERR No such channel!\n"
_KILL_USAGE = "-USAGE: <uuid> [cause]\n"
_TRANSFER_USAGE = "-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]\n"


def execute(switch: Switch, command: str, argument: str, reply: Reply) -> None:
    """Do one command. The reply comes at once, but for ``originate``: when its leg was answered or has failed."""
    if command == "originate":
        switch.originate(argument, reply)
    elif known := _COMMANDS.get(command):
        reply(known(switch, argument))
    else:
        reply(f"-ERR {command} Command not found!\n")


def _status(switch: Switch, argument: str) -> str:
    ready = "not ready" if switch.router.paused else "ready"
    peak = switch.router.peak_sessions
    second, most = switch.router.sessions_this_second, switch.router.sessions_per_second
    return (
        f"UP {switch.uptime()}\n"
        f"FreeSWITCH (Version {READABLE_VERSION}) is {ready}\n"
        f"{switch.router.sessions_since_startup} session(s) since startup\n"
        f"{len(switch.legs)} session(s) - peak {peak}, last 5min {peak} \n"
        f"{second} session(s) per Sec out of max {most}, peak {second}, last 5min {second} \n"
        f"{switch.router.max_sessions} session(s) max\n"
        "min idle cpu 0.00/97.00\n"
        "Current Stack Size/Max 240K/240K\n"
    )


def _version(switch: Switch, argument: str) -> str:
    return f"FreeSWITCH Version {READABLE_VERSION}\n"


def _global_getvar(switch: Switch, argument: str) -> str:
    return switch.globals.get(argument, "")


def _eval(switch: Switch, argument: str) -> str:
    return dialstring.expand(argument, switch.globals)


def _fsctl(switch: Switch, argument: str) -> str:
    match argument.split():
        case ["pause" | "resume" as word, *_]:
            switch.router.paused = word == "pause"
            return "+OK\n"
        case ["sps", *rest]:
            if rest and rest[0].isdigit():
                switch.router.limit_rate(int(rest[0]))
            return f"+OK sessions per second: {switch.router.sessions_per_second}\n"
        case ["max_sessions", *rest]:
            if rest and rest[0].isdigit():
                switch.router.max_sessions = int(rest[0])
            return f"+OK max sessions: {switch.router.max_sessions}\n"
        case ["hupall", *rest]:
            _hupall(switch, "".join(rest[:1]))
            return "+OK\n"
        case ["shutdown", *rest]:
            switch.soon(lambda: switch.on_shutdown("restart" in rest))
            return "+OK\n"
        case _:
            return "-ERR Invalid command\nUSAGE: fsctl [pause|resume|shutdown [restart]|sps|max_sessions|hupall]\n"


def _hupall(switch: Switch, argument: str) -> str:
    cause = causes.named(argument) if argument else "MANAGER_REQUEST"
    switch.soon(lambda: switch.hang_up_all(cause))
    return f"+OK hangup all channels with cause {cause}\n"


def _show(switch: Switch, argument: str) -> str:
    tables = {"channels": switch.channels, "registrations": switch.registrations}
    words = argument.split()
    if not words or words[0] not in tables:
        return "-USAGE: channels|registrations [count] [as json]\n"
    rows = tables[words[0]]()
    if words[1:2] == ["count"]:
        return json.dumps({"row_count": len(rows)}) if words[2:] == ["as", "json"] else f"\n{len(rows)} total.\n"
    if words[1:] == ["as", "json"]:
        if not rows:
            return '{"row_count": 0}\n'
        return json.dumps({"row_count": len(rows), "rows": rows}, separators=(",", ":"), ensure_ascii=False)
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)] if rows else []
    return "".join(f"{line}\n" for line in lines) + f"\n{len(rows)} total.\n"


def _uuid_exists(switch: Switch, argument: str) -> str:
    return "true" if argument in switch.legs else "false"


def _uuid_kill(switch: Switch, argument: str) -> str:
    uuid, _, cause = argument.partition(" ")
    if not uuid:
        return _KILL_USAGE
    leg = switch.legs.get(uuid)
    if leg is None:
        return NO_CHANNEL
    switch.soon(lambda: switch.hang_up(leg, causes.named(cause)))
    return "+OK\n"


def _uuid_getvar(switch: Switch, argument: str) -> str:
    words = dialstring.separate(argument, " ", 4)
    if len(words) < 2:
        return "-USAGE: <uuid> <var>\n"
    leg = switch.legs.get(words[0])
    if leg is None:
        return NO_CHANNEL
    return next((value for name, value in leg.variables.items() if name.lower() == words[1].lower()), "_undef_")


def _uuid_setvar(switch: Switch, argument: str) -> str:
    words = dialstring.separate(argument, " ", 3)
    if len(words) < 2:
        return "-USAGE: <uuid> <var> [value]\n"
    leg = switch.legs.get(words[0])
    if leg is None:
        return NO_CHANNEL
    switch.set_variable(leg, words[1], words[2] if len(words) == 3 else "")
    return "+OK\n"


def _uuid_setvar_multi(switch: Switch, argument: str) -> str:
    uuid, _, pairs = argument.partition(" ")
    if not pairs:
        return "-USAGE: <uuid> <var>=<value>;<var>=<value>...\n"
    leg = switch.legs.get(uuid)
    if leg is None:
        return NO_CHANNEL
    for pair in dialstring.separate(pairs, ";", 64):
        name, _, value = pair.partition("=")
        if name:
            switch.set_variable(leg, name, value)
    return "+OK\n"


def _uuid_bridge(switch: Switch, argument: str) -> str:
    words = dialstring.separate(argument, " ", 4)
    if len(words) < 2:
        return "-USAGE: <uuid> <other_uuid>\n"
    first, second = switch.legs.get(words[0]), switch.legs.get(words[1])
    if first is None or second is None or first.cause or not (first.up or second.up):
        return "-ERR Invalid uuid\n"
    if not first.up:
        first, second = second, first
    switch.bridge(first, second)
    return f"+OK {words[1]}\n"


def _uuid_park(switch: Switch, argument: str) -> str:
    return _let(switch, argument, [("park", "")])


def _uuid_transfer(switch: Switch, argument: str) -> str:
    words = dialstring.separate(argument, " ", 5)
    side = words.pop(1) if len(words) > 2 and words[1].startswith("-") else ""
    if len(words) < 2:
        return _TRANSFER_USAGE
    leg = switch.legs.get(words[0])
    if leg is None:
        return NO_CHANNEL
    if side == "-bleg":
        leg = leg.second or leg.first or leg
    return _let(switch, leg.uuid, dialstring.read_program(words[1], "".join(words[2:3])))


def _let(switch: Switch, uuid: str, program: list[tuple[str, str]]) -> str:
    leg = switch.legs.get(uuid)
    if leg is None:
        return NO_CHANNEL
    switch.run(leg, program)
    return "+OK\n"


def _uuid_broadcast(switch: Switch, argument: str) -> str:
    words = dialstring.separate(argument, " ", 3)
    if len(words) < 2:
        return "-USAGE: <uuid> <path> [aleg|bleg|holdb|both]\n"
    return "+OK Message sent\n" if words[0] in switch.legs else "-ERR Message not sent\n"


def _reloadxml(switch: Switch, argument: str) -> str:
    return "+OK [Success]\n"


_COMMANDS: Final[dict[str, Callable[[Switch, str], str]]] = {
    "eval": _eval,
    "fsctl": _fsctl,
    "global_getvar": _global_getvar,
    "hupall": _hupall,
    "reloadxml": _reloadxml,
    "show": _show,
    "status": _status,
    "uuid_bridge": _uuid_bridge,
    "uuid_broadcast": _uuid_broadcast,
    "uuid_exists": _uuid_exists,
    "uuid_getvar": _uuid_getvar,
    "uuid_kill": _uuid_kill,
    "uuid_park": _uuid_park,
    "uuid_setvar": _uuid_setvar,
    "uuid_setvar_multi": _uuid_setvar_multi,
    "uuid_transfer": _uuid_transfer,
    "version": _version,
}


def send_message(switch: Switch, leg: Leg, headers: Mapping[str, str], body: str) -> None:
    """Do what a ``sendmsg`` asks of a leg: run an application now, or hang up. Anything else does nothing."""
    match headers.get("call-command", "").lower():
        case "hangup":
            cause = causes.named(headers.get("hangup-cause", ""))
            switch.soon(lambda: switch.hang_up(leg, cause))
        case "execute":
            name = headers.get("execute-app-name", "")
            argument = dialstring.expand(headers.get("execute-app-arg", "") or body, leg.variables)
            if name in ("set", "export"):
                switch.set_variable(leg, *argument.partition("=")[::2])
            elif name:
                switch.run(leg, [(name, argument)])
