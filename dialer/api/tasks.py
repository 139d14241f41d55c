"""What the interface does by itself."""

from celery import shared_task

from dialer.api import actions, idempotency


@shared_task
def forget() -> None:
    """Delete the answers and the keys of log-ins whose time is over."""
    idempotency.forget_old()
    actions.forget_old_keys()
