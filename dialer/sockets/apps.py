from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SocketsConfig(AppConfig):
    name = "dialer.sockets"
    label = "sockets"
    verbose_name = _("WebSockets")
    default_auto_field = "django.db.models.BigAutoField"
