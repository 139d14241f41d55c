"""Every write to events, subscriptions and deliveries but the birth of an event (``migrations/0002_outbox.py``).

An event is published, which gives it its number, by one transaction at a time: so numbers become visible in their
order, whatever the transactions that wrote the events did meanwhile. A worker delivers for a subscription while it
holds its lease; if it dies, the lease runs out and the next sweep gives the subscription to another one.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext as _

from dialer import clock
from dialer.errors import Refused
from dialer.webhooks import sending
from dialer.webhooks.models import (
    TEST,
    Delivery,
    DeliveryState,
    Event,
    Subscription,
    check_secret,
    new_secret,
    secret_bytes,
)

log = logging.getLogger(__name__)

BATCH = 1000
"""Events that one transaction publishes."""
ONE_AT_A_TIME = 0x77656268
"""The key of the advisory lock of publishing and of handing out leases."""
TURN = 20.0
"""Real seconds for which a subscription is served before others get their turn."""
LEASE = 90.0
"""Real seconds after which a worker that said nothing is taken for dead: more than the longest try."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3600.0
"""Real seconds between two tries after failures in a row: doubled from one to the next."""
MOST_TRIES = 12
"""Of one delivery, over some three hours; then it is given up, and the next one has its turn."""
FAULTS_OF_THE_EVENT = frozenset({400, 409, 413, 415, 422})
"""Answers that mean this event and not all: given up sooner, since it holds up those behind it."""
MOST_TRIES_AT_FAULT = 3


class Taken(NamedTuple):
    """A subscription in the hands of a worker."""

    subscription: int
    lease: UUID


def _later(seconds: float) -> datetime:
    """Return the instant after so many real seconds."""
    return clock.now() + timedelta(seconds=seconds * clock.FACTOR)


# --- publishing -------------------------------------------------------------------------------------------------

_PUBLISH: Final = """
WITH next AS (
    SELECT id FROM webhooks_event WHERE number IS NULL ORDER BY id LIMIT %(batch)s
), numbered AS MATERIALIZED (
    SELECT ordered.id, nextval('webhooks_event_place') AS number FROM (SELECT id FROM next ORDER BY id) AS ordered
), published AS (
    UPDATE webhooks_event AS e SET number = numbered.number FROM numbered WHERE e.id = numbered.id
    RETURNING e.id, e.number, e.type, e.campaign_id
), wanted AS (
    INSERT INTO webhooks_delivery (subscription_id, event_id, state, attempts, created_at, error)
    SELECT s.id, p.id, 'pending', 0, %(now)s, ''
    FROM published AS p
    JOIN webhooks_subscription AS s
        ON s.enabled AND s.url <> '' AND p.type = ANY(s.types)
        AND (s.campaign_id IS NULL OR s.campaign_id = p.campaign_id)
    ORDER BY p.number, s.id FOR KEY SHARE OF s
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM published
"""


def publish() -> int:
    """Number the events that were committed and note to whom each goes; return how many. Three statements a batch.

    Whoever finds another at it leaves it to him.
    """
    total = 0
    while True:
        with transaction.atomic():
            if not Event.objects.filter(number__isnull=True).exists() or not _only_one():
                return total
            with connection.cursor() as cursor:
                cursor.execute(_PUBLISH, {"batch": BATCH, "now": clock.now()})
                count = int(cursor.fetchone()[0])
        total += count
        if count < BATCH:
            return total


def _only_one() -> bool:
    """Take the lock of who publishes or hands out leases, until the transaction ends; ``False`` if another has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
        return bool(cursor.fetchone()[0])


def forget_old() -> int:
    """Delete the published events, and their deliveries, that are older than ``EVENTS_KEPT_DAYS``; return how many."""
    before = clock.now() - timedelta(days=settings.EVENTS_KEPT_DAYS)
    total = 0
    while True:
        old = Event.objects.filter(at__lt=before, number__isnull=False).order_by("at").values_list("pk", flat=True)
        ids = list(old[:BATCH])
        with transaction.atomic():
            Delivery.objects.filter(event__in=ids).delete()
            Event.objects.filter(pk__in=ids).delete()
        total += len(ids)
        if len(ids) < BATCH:
            return total


# --- delivering -------------------------------------------------------------------------------------------------


@transaction.atomic
def take_due() -> list[Taken]:
    """Give leases of subscriptions that have something to send now, the longest waiting first.

    No more than ``WEBHOOKS_AT_ONCE`` are held at a time, so that slow receivers leave threads for other work.
    """
    now = clock.now()
    free = Q(leased_until__isnull=True) | Q(leased_until__lte=now)
    waiting = Exists(Delivery.objects.filter(subscription=OuterRef("pk"), state=DeliveryState.PENDING))
    due = Subscription.objects.filter(free, waiting, Q(next_at__isnull=True) | Q(next_at__lte=now), enabled=True)
    if not due.exists() or not _only_one():
        return []
    places = settings.WEBHOOKS_AT_ONCE - Subscription.objects.exclude(free).count()
    oldest = due.order_by(F("served_at").asc(nulls_first=True), "pk").values_list("pk", flat=True)
    taken = []
    for pk in oldest[: max(0, places)]:
        lease = uuid4()
        held = Subscription.objects.filter(free, pk=pk).update(lease=lease, leased_until=_later(LEASE), served_at=now)
        taken += [Taken(pk, lease)] * held
    return taken


def _keep(taken: Taken) -> Subscription | None:
    """Hold the lease for one try more and return the subscription; ``None`` when it is another's or switched off."""
    mine = Subscription.objects.filter(pk=taken.subscription, lease=taken.lease, enabled=True)
    return mine.first() if mine.update(leased_until=_later(LEASE)) else None


def give_back(taken: Taken) -> None:
    """End a lease, if it still is the holder's."""
    Subscription.objects.filter(pk=taken.subscription, lease=taken.lease).update(lease=None, leased_until=None)


def deliver(taken: Taken) -> None:
    """Send what waits for a subscription, oldest first, until one fails, nothing is left or the turn is over.

    A delivery is sent again when its worker died before it noted the answer: at least once, never less.
    """
    ends = time.monotonic() + TURN
    try:
        while time.monotonic() < ends:
            subscription = _keep(taken)
            if subscription is None:
                return
            delivery = (
                Delivery.objects.filter(subscription=subscription, state=DeliveryState.PENDING)
                .select_related("event")
                .order_by("pk")
                .first()
            )
            if delivery is None or not subscription.url:
                return
            result = _send(subscription, delivery.event)
            if not _note(taken, delivery, result):
                return
    finally:
        give_back(taken)


def body_of(event: Event) -> dict[str, Any]:
    """Return an event as it is sent, and as the list of events shows it."""
    return {
        "id": str(event.uuid),
        "number": event.number,
        "type": event.type,
        "timestamp": event.at.isoformat(),
        "campaign": event.campaign_id,
        "data": event.payload,
    }


def _send(subscription: Subscription, event: Event) -> sending.Result:
    body = json.dumps(body_of(event), ensure_ascii=False, separators=(",", ":")).encode()
    key = secret_bytes(subscription.secret)
    return sending.send(subscription.url, key, str(event.uuid), body, allow_private=subscription.allow_private)


@transaction.atomic
def _note(taken: Taken, delivery: Delivery, result: sending.Result) -> bool:
    """Write what came of a try; return whether the next delivery may follow at once."""
    values = _values(result)
    given_up = False
    if result.ok:
        values |= {"state": DeliveryState.DELIVERED, "delivered_at": values["tried_at"]}
    else:
        most = MOST_TRIES_AT_FAULT if result.status in FAULTS_OF_THE_EVENT else MOST_TRIES
        given_up = delivery.attempts + 1 >= most
        values |= {"state": DeliveryState.PARKED} if given_up else {}
    # The lease first, as everyone who locks both does.
    mine = Subscription.objects.select_for_update(no_key=True).filter(pk=taken.subscription, lease=taken.lease).first()
    Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.PENDING).update(attempts=F("attempts") + 1, **values)
    if mine is None:
        return False
    if result.ok:
        if mine.failures:
            Subscription.objects.filter(pk=mine.pk).update(failures=0, next_at=None)
        return True
    failures = mine.failures + 1
    pause = min(FIRST_PAUSE * 2 ** min(mine.failures, 30), LONGEST_PAUSE)
    Subscription.objects.filter(pk=mine.pk).update(failures=failures, next_at=_later(pause))
    log.warning(
        "webhook.failed: %s%s", result.error, "; given up" if given_up else "",
        extra={"webhook": mine.pk, "event": str(delivery.event.uuid), "failures": failures},
    )  # fmt: skip
    return False


def _values(result: sending.Result) -> dict[str, Any]:
    return {
        "tried_at": clock.now(),
        "status_code": result.status,
        "error": result.error[:600],
        "milliseconds": result.milliseconds,
    }


# --- by persons -------------------------------------------------------------------------------------------------


def save_subscription(subscription: Subscription | None, **fields: Any) -> Subscription:
    """Add a subscription (``None``) or change one. Raises ``ValidationError`` by field.

    A changed one is tried at once, however long its pause after failures was to be. The caller has seen to it that
    whoever asks may allow the private network.
    """
    with transaction.atomic():
        if subscription is None:
            subscription = Subscription(created_at=clock.now())
        else:
            subscription = Subscription.objects.select_for_update(no_key=True).get(pk=subscription.pk)
        for name, value in fields.items():
            setattr(subscription, name, value)
        subscription.full_clean()
        check_secret(subscription.secret)  # no form may show it, so that Django passes it over
        if subscription._state.adding:
            subscription.save()
        else:
            subscription.failures, subscription.next_at = 0, None
            subscription.save(update_fields=[*fields, "failures", "next_at"])
    return subscription


def renew_secret(subscription: Subscription) -> Subscription:
    """Give a subscription a new secret: from now on nothing is signed with the old one."""
    return save_subscription(subscription, secret=new_secret())


def delete_subscription(subscription: Subscription) -> None:
    """Delete a subscription with its deliveries, those that wait too."""
    with transaction.atomic():
        # So that none is added meanwhile: publishing passes over what is gone by then.
        Subscription.objects.select_for_update().filter(pk=subscription.pk).first()
        subscription.delete()


def send_test(subscription: Subscription) -> Delivery:
    """Send an event of the type ``test`` now, past the queue, and return what came of it. It is not tried again.

    Takes as long as the receiver does, ten seconds at most. Raises ``Refused`` (NO_ADDRESS).
    """
    if not subscription.url:
        raise Refused("NO_ADDRESS", _("“%s” has no address: nothing is sent.") % subscription)
    now = clock.now()
    with transaction.atomic():
        event = Event.objects.create(
            type=TEST, campaign_id=subscription.campaign_id, at=now, payload={"webhook": subscription.name}
        )
        delivery = Delivery.objects.create(
            subscription=subscription, event=event, created_at=now, tried_at=now, attempts=1,
            state=DeliveryState.PARKED, error="The process that sent it did not come back from it.",
        )  # fmt: skip
    result = _send(subscription, event)
    values: Mapping[str, Any] = _values(result)
    if result.ok:
        values = {**values, "state": DeliveryState.DELIVERED, "delivered_at": values["tried_at"]}
    for name, value in values.items():
        setattr(delivery, name, value)
    delivery.save(update_fields=list(values))
    return delivery


def send_again(subscription: Subscription, deliveries: Iterable[int]) -> int:
    """Let deliveries that were given up be tried again, in the order of their events; return how many."""
    with transaction.atomic():
        count = Delivery.objects.filter(
            pk__in=list(deliveries), subscription=subscription, state=DeliveryState.PARKED
        ).update(state=DeliveryState.PENDING, attempts=0)
        if count:
            Subscription.objects.filter(pk=subscription.pk).update(next_at=None)
    return count
