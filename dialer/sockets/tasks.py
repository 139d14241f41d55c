"""What the sockets need done whether or not a web process lives."""

from celery import shared_task

from dialer import clock
from dialer.sockets import actions


@shared_task
def sweep() -> None:
    """Lose the operators whose clients, or whose clients' web process, gave no more signs of life."""
    actions.sweep(clock.now())
