"""What Celery runs for the pages and for those who watch."""

from __future__ import annotations

from celery import shared_task

from dialer.web import checking, metrics


@shared_task(name="dialer.web.tasks.log_figures", ignore_result=True)
def log_figures() -> None:
    """Log the figures of the house."""
    metrics.log_events()


@shared_task(name="dialer.web.tasks.check_invariants", ignore_result=True)
def check_invariants(by: str) -> None:
    """Check what always holds, for somebody who asked."""
    checking.run(by)
