from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DialerConfig(AppConfig):
    name = "dialer"
    verbose_name = _("Dialer")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # The first makes shared tasks belong to our application in every process that has Django.
        from dialer import celery, checks, verbs  # noqa: F401
        from dialer.engine import calls, coaching, results

        verbs.register(
            verbs.Engine(
                report_result=results.report_result,
                extend=results.extend,
                hang_up=calls.hang_up,
                withdraw_unsent=calls.withdraw_unsent,
                withdraw_number=calls.withdraw_number,
                coach=coaching.coach,
                stop_coaching=coaching.stop,
            )
        )
