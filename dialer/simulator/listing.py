"""The rows of ``show channels`` and ``show registrations``, with the columns of the switch's own tables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from dialer.simulator.leg import NETWORK, STAMP, Leg


def channels(legs: Iterable[Leg], hostname: str) -> list[dict[str, str]]:
    return [_channel(leg, hostname) for leg in legs if not leg.completed]


def _channel(leg: Leg, hostname: str) -> dict[str, str]:
    created = leg.times["created"] // 1_000_000
    codec, rate, bit_rate = ("PCMU", "8000", "64000") if leg.answered else ("", "", "")
    return {
        "uuid": leg.uuid,
        "direction": leg.direction,
        "created": datetime.fromtimestamp(created, UTC).strftime(STAMP),
        "created_epoch": str(created),
        "name": leg.name,
        "state": leg.state,
        "cid_name": leg.caller_name,
        "cid_num": leg.caller_number,
        "ip_addr": leg.network,
        "dest": leg.destination,
        "application": leg.application,
        "application_data": leg.argument,
        "dialplan": "",
        "context": "default",
        "read_codec": codec,
        "read_rate": rate,
        "read_bit_rate": bit_rate,
        "write_codec": codec,
        "write_rate": rate,
        "write_bit_rate": bit_rate,
        "secure": "",
        "hostname": hostname,
        "presence_id": leg.presence,
        "presence_data": "",
        "accountcode": "",
        "callstate": leg.call_state,
        "callee_name": leg.callee_name,
        "callee_num": leg.callee_number,
        "callee_direction": "",
        "call_uuid": leg.call_uuid,
        "sent_callee_name": "",
        "sent_callee_num": "",
        "initial_cid_name": leg.caller_name,
        "initial_cid_num": leg.original_number,
        "initial_ip_addr": leg.network,
        "initial_dest": leg.destination,
        "initial_dialplan": "",
        "initial_context": "default",
    }


def registrations(extensions: Iterable[str], domain: str, hostname: str, expires: int) -> list[dict[str, str]]:
    return [
        {
            "reg_user": extension,
            "realm": domain,
            "token": f"{extension}@{NETWORK}",
            "url": f"sofia/internal/sip:{extension}@{NETWORK}:5071",
            "expires": str(expires),
            "network_ip": NETWORK,
            "network_port": "5071",
            "network_proto": "udp",
            "hostname": hostname,
            "metadata": "",
        }
        for extension in sorted(extensions)
    ]
