from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DialerConfig(AppConfig):
    name = "dialer"
    verbose_name = _("Dialer")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # The first makes shared tasks belong to our application in every process that has Django.
        from dialer import celery, checks  # noqa: F401
