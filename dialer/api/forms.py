"""Log-in on pages, behind the same lock as over REST."""

from __future__ import annotations

from math import ceil

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import ngettext


class GuardedForm(AuthenticationForm):
    """Says that an account is locked, instead of that its password is wrong."""

    def get_invalid_login_error(self) -> ValidationError:
        seconds = getattr(self.request, "locked_for", 0)
        if not seconds:
            return super().get_invalid_login_error()
        minutes = ceil(seconds / 60)
        told = ngettext(
            "Too many wrong passwords. Try again in %d minute.",
            "Too many wrong passwords. Try again in %d minutes.",
            minutes,
        )
        return ValidationError(told % minutes, code="locked")


class GuardedAdminForm(GuardedForm, AdminAuthenticationForm):
    """The same at the door of the admin."""
