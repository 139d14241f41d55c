"""What Celery runs. No decision lies in a message: each task looks at the database and does what is due."""

from __future__ import annotations

import logging

from celery import shared_task

from dialer import verbs
from dialer.engine import abandonment, coaching, dispatch, placing, records, tidy
from members import planning

log = logging.getLogger(__name__)


@shared_task(name="dialer.engine.tasks.dispatch", ignore_result=True)
def dispatch_pass() -> None:
    """Run passes until nothing more can be claimed at once; beat sends this each second, ``wake()`` in between."""
    while True:
        report = dispatch.run_pass()
        watch = dispatch.Stopwatch()
        placing.ring(report.brought)
        placing.place(report.claimed)
        watch.lap("place")
        verbs.note_pass(len(report.claimed), report.parts | watch.parts)
        if not report.full:
            break
    dispatch.wake_at_next_instant(slow=report.slow)


@shared_task(name="dialer.engine.tasks.tidy", ignore_result=True)
def tidy_up() -> None:
    """Withdraw what was reserved and never sent, time out the results that did not come, use records of lost ends."""
    tidy.run()


@shared_task(name="dialer.engine.tasks.forget_records", ignore_result=True)
def forget_records() -> None:
    """Delete the call records whose time is over."""
    records.forget_old()


@shared_task(name="dialer.engine.tasks.mind_abandonment", ignore_result=True)
def mind_abandonment() -> None:
    """Hold the campaigns that dial the subscriber first against their caps of abandoned calls."""
    abandonment.mind()


@shared_task(name="dialer.engine.tasks.hang_up", ignore_result=True)
def hang_up(attempt_id: int) -> None:
    """Hang up the legs of an attempt; the listener does the same for legs that appear later."""
    placing.kill(attempt_id)


@shared_task(name="dialer.engine.tasks.coach", ignore_result=True)
def coach(coaching_id: int) -> None:
    """Ring a supervisor's phone, let him speak otherwise, or hang up, as he wished last."""
    coaching.act(coaching_id)


@shared_task(name="dialer.engine.tasks.replan", ignore_result=True)
def replan(campaign_id: int | None = None) -> None:
    """Resolve the numbers of a campaign (or of all) against the routes again."""
    planning.resolve_routes(campaign_id=campaign_id)


@shared_task(name="dialer.engine.tasks.rezone", ignore_result=True)
def rezone() -> None:
    """Give the subscribers of campaigns that take zones from numbers in another way now their zones."""
    planning.rezone_changed()
