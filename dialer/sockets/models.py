"""Who is connected: one lease for each client, so that the end of a web process is noticed as that of a client."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models


class Client(models.Model):
    """A client of an operator that a web process holds a connection with."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    operator = models.ForeignKey("agents.Operator", models.CASCADE, related_name="clients")
    connected_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    """Its web process renews this for as long as the client gives signs of life."""
    leads_since = models.DateTimeField(null=True)
    """Of several desks of one operator the one that asked last is the one he works at; empty: it never asked."""

    class Meta:
        default_permissions = ()
        # leases that ran out
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="client_expires")]

    def __str__(self) -> str:
        return f"{self.operator_id}: {self.id}"
