"""What time alone ends: reservations never sent, results that never came, legs of which a record alone tells."""

from __future__ import annotations

import logging
from datetime import timedelta

from dialer import clock, verbs
from dialer.engine import calls, records, results
from dialer.models import Attempt, ResultState

log = logging.getLogger(__name__)

UNSENT_AFTER = timedelta(seconds=10)
"""Real time after which a reservation that nobody sent is withdrawn: its worker has died."""
BATCH = 500
"""Rows of one kind that one run ends at most; the next second's run goes on."""


def run() -> None:
    """End what is overdue. Three indexed reads when there is nothing."""
    now = clock.now()
    unsent = Attempt.objects.live().filter(sending_at__isnull=True, reserved_at__lt=now - UNSENT_AFTER * clock.FACTOR)
    overdue = Attempt.objects.filter(result_state=ResultState.AWAITED, result_deadline__lte=now)
    ended = calls.for_each(list(unsent.values_list("pk", flat=True)[:BATCH]), calls.withdraw)
    ended += calls.for_each(list(overdue.values_list("pk", flat=True)[:BATCH]), results.time_out)
    ended += records.settle()
    if ended:
        verbs.wake()
