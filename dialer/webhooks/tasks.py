"""What Celery runs for webhooks. No message decides: the next sweep makes good one that was lost."""

from __future__ import annotations

import logging
from uuid import UUID

from celery import shared_task
from kombu.exceptions import OperationalError

from dialer.webhooks import actions

log = logging.getLogger(__name__)


@shared_task
def sweep() -> None:
    """Publish what happened, and give each subscription that has something to send to a worker; beat sends this."""
    actions.publish()
    for taken in actions.take_due():
        try:
            deliver.apply_async((taken.subscription, str(taken.lease)), expires=actions.LEASE)
        except OperationalError as error:
            log.warning("The broker did not take a delivery: %s", error)
            actions.give_back(taken)


@shared_task
def deliver(subscription: int, lease: str) -> None:
    """Send a subscription its events, in order, as long as it takes them and its turn lasts."""
    actions.deliver(actions.Taken(subscription, UUID(lease)))


@shared_task
def forget() -> None:
    """Delete the events whose time is over."""
    actions.forget_old()
