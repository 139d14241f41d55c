"""What ``manage.py check`` says about the settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

from dialer.switch import nodes


@checks.register()
def check_clock(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """Refuse a clock that is not the real one with a real switch: people would be called at night."""
    if not settings.SIMULATED and not settings.CLOCK_IS_REAL:
        return [
            checks.Error(
                "CLOCK_FACTOR and CLOCK_START change the time of the rules, and FREESWITCH_URL names a real switch.",
                hint="Unset CLOCK_FACTOR and CLOCK_START; they are for rehearsals with the simulator.",
                id="dialer.E001",
            )
        ]
    return []


@checks.register()
def check_switches(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """Read FREESWITCH_URL as the listener and the workers will."""
    if settings.SIMULATED:
        return []
    try:
        nodes.configured()
    except ValueError as error:
        return [checks.Error(str(error), hint="Unset FREESWITCH_URL for the simulator.", id="dialer.E002")]
    return []


@checks.register()
def check_phones(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """Refuse phones in the page that would send what they log in with over the network as it is."""
    address = urlsplit(settings.PHONE_WSS_URL)
    here = address.hostname in {"localhost", "127.0.0.1", "::1"}
    if address.scheme == "ws" and not here and not settings.DEBUG:
        return [
            checks.Error(
                f"PHONE_WSS_URL is {settings.PHONE_WSS_URL}, which is not encrypted: browsers refuse it.",
                hint="Set it to the wss:// address of the switch, with a certificate for that name (docker/README.md).",
                id="dialer.E003",
            )
        ]
    return []


@checks.register()
def check_phone_relays(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """Miss the secret that TURN servers want."""
    relays = [server for server in settings.PHONE_ICE_SERVERS if server.startswith("turn")]
    if relays and not settings.PHONE_TURN_SECRET:
        return [
            checks.Error(
                f"PHONE_ICE_SERVERS names {relays[0]}, which asks for a log-in.",
                hint="Set PHONE_TURN_SECRET to what the TURN server shares with us (coturn: static-auth-secret).",
                id="dialer.E004",
            )
        ]
    return []


@checks.register(deploy=True)
def check_embedded(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """Say that the embedded servers are for one machine."""
    if settings.EMBEDDED:
        return [
            checks.Warning(
                "PostgreSQL and Redis are the embedded ones: they serve this machine alone and nobody backs them up.",
                hint="Set DATABASE_URL and REDIS_URL to servers of your own.",
                id="dialer.W001",
            )
        ]
    return []
