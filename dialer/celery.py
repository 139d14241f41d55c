"""The Celery application: a queue of its own for the dial loop, and the clock that drives it."""

import os

from celery import Celery
from celery.signals import setup_logging

from dialer import heartbeats

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dialer.settings")

app = Celery("dialer")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Named here because engine is no app of Django's: its tasks are found by module.
app.autodiscover_tasks(
    ["dialer.engine", "dialer.sockets", "dialer.api", "dialer.webhooks", "dialer.web", "members.uploads"], force=False
)
heartbeats.install(app)


@setup_logging.connect
def keep_django_logging(**_: object) -> None:
    """Leave logging as the settings made it; Celery replaces it unless someone listens here."""
