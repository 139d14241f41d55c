"""What Celery runs for uploads. No message decides: the next sweep makes good one that was lost."""

from __future__ import annotations

from celery import shared_task

from dialer import verbs
from members.uploads import actions, staging


@shared_task
def work(upload_id: int) -> None:
    """Check, load or undo an upload, whichever it waits for."""
    staging.work(upload_id)


@shared_task
def sweep() -> None:
    """Give every upload that waits for a worker to one, those of workers who died among them; beat sends this."""
    for upload_id in staging.abandoned():
        verbs.send(actions.WORK, upload_id, queue=actions.QUEUE)


@shared_task
def forget() -> None:
    """Delete the files whose time is over."""
    actions.forget_old()
