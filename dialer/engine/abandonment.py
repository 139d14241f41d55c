"""Subscriber first: the share of answered calls that nobody took, and what follows when it is too great."""

from __future__ import annotations

import logging

from django.db.models import Q

from campaigns import actions as campaigns
from campaigns import hours
from campaigns.models import ACTIVE_STATES, Campaign, ConnectOrder
from dialer import clock
from dialer.engine import policy

log = logging.getLogger(__name__)


def mind() -> None:
    """Let campaigns over their cap ring the operator first, until the first day that starts below it.

    Runs at each abandoned call, and each minute for messages that were lost.
    """
    now = clock.now()
    chosen = Campaign.objects.filter(state__in=ACTIVE_STATES, connect_order=ConnectOrder.SUBSCRIBER_FIRST)
    decided = Q(operator_first_until__isnull=True) | Q(operator_first_until__lte=now)
    for campaign in chosen.filter(decided).select_related("calendar"):
        found = campaign.attempts.answering(now)
        if policy.too_many_abandoned(found.answered, found.abandoned, float(campaign.abandonment_cap)):
            until = hours.next_midnight(campaign.calendar.time_zone, now)
            if campaigns.ring_operator_first(campaign.pk, until):
                log.warning(
                    "Campaign %s: %s of %s answered calls were abandoned; operator first until %s.",
                    campaign.pk, found.abandoned, found.answered, until, extra={"campaign": campaign.pk},
                )  # fmt: skip
        elif campaign.operator_first_until is not None and campaigns.ring_operator_first(campaign.pk, None):
            log.info("Campaign %s: subscriber first again.", campaign.pk, extra={"campaign": campaign.pk})
