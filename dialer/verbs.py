"""What the apps may ask of the engine, by name: they never import it.

``wake``, ``send`` and ``replan_soon`` send tasks once the transaction has committed; the others call what the engine
registered when Django started.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery import current_app
from django.conf import settings
from django.db import transaction
from redis import Redis, RedisError

from dialer.sockets.teller import teller

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

    from dialer.models import Coaching

log = logging.getLogger(__name__)

WAKE_KEY = "dial:wake"
"""Set while a wake is on its way, so that wakes coalesce; the pass deletes it before its first read."""
WAKE_TTL = 3
"""Seconds (real) after which a lost wake no longer holds back the next one."""
PASS_KEY = "dial:pass"  # noqa: S105
"""Set by each pass for ``PASS_TTL``: what is left of it tells how long ago the last one ran."""
PASS_REPORT_KEY = "dial:pass:report"  # noqa: S105
"""What the last pass told of itself, as JSON, for as long."""
PASS_TTL = 24 * 3600


@dataclass(frozen=True, slots=True)
class Engine:
    """What ``dialer.engine`` registers; the functions below say what each does."""

    report_result: Callable[..., dict[str, Any]]
    extend: Callable[..., dict[str, datetime | None]]
    hang_up: Callable[..., None]
    withdraw_unsent: Callable[..., int]
    withdraw_number: Callable[..., int]
    coach: Callable[..., Coaching]
    stop_coaching: Callable[..., None]


_engine: Engine | None = None


def register(engine: Engine) -> None:
    """Let the engine take the calls; it does so once, when Django is ready."""
    global _engine
    _engine = engine


def engine() -> Engine:
    """Return what the engine registered."""
    if _engine is None:
        raise RuntimeError("The engine has not registered: is “dialer” in INSTALLED_APPS, and has Django started?")
    return _engine


def redis() -> Redis:
    """Return a client of the broker's Redis, with short time-outs: it only wakes, and must never hold anyone up."""
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)


def last_pass_age() -> float | None:
    """Return how many real seconds ago the last pass began, ``None`` if none did for a day. Raises ``RedisError``."""
    with redis() as client:
        left = int(client.pttl(PASS_KEY))
    return None if left < 0 else PASS_TTL - left / 1000


def note_pass(claimed: int, parts: Mapping[str, float]) -> None:
    """Note how many calls a pass reserved, and how many real seconds its parts took. Raises nothing: it is to look
    at."""
    try:
        with redis() as client:
            report = {"claimed": claimed, "parts": {part: round(seconds, 6) for part, seconds in parts.items()}}
            client.set(PASS_REPORT_KEY, json.dumps(report), ex=PASS_TTL)
    except (RedisError, OSError) as error:
        log.debug("Redis did not take the report of a pass: %s", error)


def wake() -> None:
    """Have a dispatch pass run at once, after commit. Many wakes make one pass; a lost one costs a tick of beat."""
    transaction.on_commit(_send_wake, robust=True)


def _send_wake() -> None:
    try:
        with redis() as client:
            if not client.set(WAKE_KEY, "1", nx=True, ex=WAKE_TTL):
                return
        current_app.send_task("dialer.engine.tasks.dispatch", queue="dial", expires=WAKE_TTL, retry=False)
    except (RedisError, OSError) as error:
        log.warning("The broker did not take a wake (%s); beat will.", error)
    except Exception:
        log.exception("A wake could not be sent; beat will.")


def wake_in(seconds: float) -> None:
    """Have a dispatch pass run so many real seconds (below a few) from now. Raises nothing: beat is the net."""
    wait, timer = max(1, int(seconds * 1000)), f"{WAKE_KEY}:timer"
    try:
        with redis() as client:
            # One timer at a time, the nearest; its pass sets the next one.
            if not 0 <= int(client.pttl(timer)) <= wait:
                client.set(timer, "1", px=wait)
                current_app.send_task(
                    "dialer.engine.tasks.dispatch",
                    queue="dial",
                    countdown=seconds,
                    expires=seconds + WAKE_TTL,
                    retry=False,
                )
    except Exception as error:
        log.warning("The broker did not take a timer (%s); beat will.", error)


def send(task: str, *args: Any, queue: str = "default") -> None:
    """Send a task after commit. A broker that is down is logged: a sweep does the same work later."""

    def deliver() -> None:
        try:
            current_app.send_task(task, args=args, queue=queue, retry=False)
        except Exception:
            log.exception("The broker did not take %s.", task)

    transaction.on_commit(deliver, robust=True)


def tell_operators(*operator_ids: int) -> None:
    """Have the clients of these operators, or of all when none is named, shown what has changed, after commit.

    It holds nobody up and raises nothing: a message that is lost costs seconds.
    """
    transaction.on_commit(lambda: teller.tell(operator_ids), robust=True)


def replan_soon(campaign_id: int | None = None) -> None:
    """Have the numbers of a campaign (or of all) resolved against the routes again, in the background, after commit."""
    send("dialer.engine.tasks.replan", campaign_id)


def rezone_soon() -> None:
    """Have the subscribers of campaigns that take zones from numbers in another way now zoned anew, after commit."""
    send("dialer.engine.tasks.rezone")


def report_result(
    campaign_id: int, member_id: int, body: dict[str, Any], *, by: AbstractBaseUser | None = None
) -> dict[str, Any]:
    """Take the result of a call, as ``PUT …/status`` rules it.

    Raises ``ValidationError`` with every fault by field, ``ObjectDoesNotExist``, or ``Refused``.
    """
    return engine().report_result(campaign_id, member_id, body, by=by)


def extend(attempt_id: int, seconds: int) -> dict[str, datetime | None]:
    """Put off the end of an operator's wrap-up after a call, and of the time for its result; return both ends.

    Raises ``DoesNotExist`` or ``Refused``.
    """
    return engine().extend(attempt_id, seconds)


def hang_up(attempt_id: int, *, by: AbstractBaseUser | None = None) -> None:
    """End a live call on a person's request. Raises ``Refused`` when it has ended."""
    engine().hang_up(attempt_id, by=by)


def withdraw_unsent(*, campaign_id: int | None = None, operator_id: int | None = None) -> int:
    """End the attempts that are reserved and not yet sent; return how many. Must run in a transaction."""
    return engine().withdraw_unsent(campaign_id=campaign_id, operator_id=operator_id)


def withdraw_number(digits: Collection[str], *, campaign_id: int | None = None) -> int:
    """End the attempts (of a campaign, or of all) on these numbers whose subscriber's leg does not exist yet.

    Returns how many. Must run in a transaction; until its end no pass claims, so that what the caller writes (a stop,
    a do-not-call entry) holds for every later claim. Call it before locking operators, members or numbers.
    """
    return engine().withdraw_number(digits, campaign_id=campaign_id)


def coach(attempt_id: int, mode: str, *, by: AbstractBaseUser, extension: str = "") -> Coaching:
    """Let a supervisor on a call: ring his phone, or change how he is on it: ``listen``, ``whisper`` or ``barge``.

    Raises ``ValidationError``, ``DoesNotExist`` or ``Refused``.
    """
    return engine().coach(attempt_id, mode, by=by, extension=extension)


def stop_coaching(attempt_id: int, *, by: AbstractBaseUser) -> None:
    """Take a supervisor off a call. Raises ``Refused`` when he is not on it."""
    engine().stop_coaching(attempt_id, by=by)
