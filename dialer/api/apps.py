from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AccessConfig(AppConfig):
    name = "dialer.api"
    label = "access"
    verbose_name = _("Access")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # The description learns of the authentication when its extension is imported; guard hears failed log-ins.
        from dialer.api import description, guard, roles  # noqa: F401

        # This app is the last of ours: the rights of the others exist by then.
        post_migrate.connect(roles.keep_roles, sender=self, dispatch_uid="dialer.api.roles")
