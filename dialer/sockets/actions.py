"""Every write to leases of clients. An operator is present from his first client on until the end of his last one.

All of it holds the operator's row, so that a client that comes while another goes finds him as it was left.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef

from agents import actions as agents
from agents.models import Operator
from dialer import clock, verbs
from dialer.sockets.models import Client

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
"""Real time after which a client whose lease nobody renewed is lost."""


@transaction.atomic
def connect(client_id: UUID, operator_id: int) -> None:
    """Note that a client is there. Raises ``Operator.DoesNotExist``."""
    operator = _lock(operator_id)
    now = clock.now()
    Client.objects.update_or_create(
        pk=client_id,
        defaults={"operator": operator, "expires_at": now + LEASE * clock.FACTOR},
        create_defaults={"operator": operator, "connected_at": now, "expires_at": now + LEASE * clock.FACTOR},
    )
    if not operator.client_connected:
        agents.client_connected(operator_id)


def lead(client_id: UUID, operator_id: int) -> None:
    """Make this client the one that its operator works at; his others are told."""
    Client.objects.filter(pk=client_id).update(leads_since=clock.now())
    verbs.tell_operators(operator_id)


@transaction.atomic
def disconnect(client_id: UUID, operator_id: int) -> None:
    """Note that a client is gone; with the last one its operator is lost. Twice does no harm."""
    operator = _lock(operator_id)
    Client.objects.filter(pk=client_id).delete()
    _lose_if_alone(operator, clock.now())
    verbs.tell_operators(operator_id)


def renew(clients: Mapping[UUID, int]) -> None:
    """Let the leases of these clients (with their operators) run on; two statements. One that ran out begins anew."""
    known = set(Client.objects.filter(pk__in=clients).values_list("pk", flat=True))
    Client.objects.filter(pk__in=known).update(expires_at=clock.now() + LEASE * clock.FACTOR)
    for client_id in clients.keys() - known:
        connect(client_id, clients[client_id])


def sweep(now: datetime) -> int:
    """End the leases that ran out, and lose the operators who have no other; return how many were lost.

    Two statements when there are none.
    """
    Client.objects.filter(expires_at__lte=now).delete()
    has_client = Exists(Client.objects.filter(operator=OuterRef("pk"), expires_at__gt=now))
    alone = Operator.objects.filter(client_connected=True).exclude(has_client).order_by("pk")
    lost = 0
    for operator_id in list(alone.values_list("pk", flat=True)):
        with transaction.atomic():
            # A client of his may have come since.
            lost += _lose_if_alone(_lock(operator_id), now)
    if lost:
        log.warning("Clients gave no more signs of life.", extra={"operators": lost})
    return lost


def _lose_if_alone(operator: Operator, now: datetime) -> bool:
    if not operator.client_connected or Client.objects.filter(operator=operator, expires_at__gt=now).exists():
        return False
    agents.client_lost(operator.pk)
    return True


def _lock(operator_id: int) -> Operator:
    return Operator.objects.select_for_update(no_key=True).get(pk=operator_id)
