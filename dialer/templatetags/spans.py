"""How pages write lengths of time."""

from __future__ import annotations

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext as _

register = template.Library()


@register.filter
def duration(seconds: float) -> str:
    """Write seconds as people read them: to the tenth below a minute, to the minute from an hour on."""
    if not seconds:
        return _("0 s")
    if seconds < 59.95:
        return _("%s s") % number_format(seconds, 1)
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return _("%(minutes)d m %(seconds)02d s") % {"minutes": minutes, "seconds": rest}
    return _("%(hours)s h %(minutes)02d m") % {
        "hours": number_format(minutes // 60, force_grouping=True), "minutes": minutes % 60,
    }  # fmt: skip


@register.filter
def minutes(seconds: float | None) -> str:
    """Write seconds as minutes and seconds: ``7:05``; with hours when there are any."""
    whole = round(seconds or 0)
    rest = f"{whole // 60 % 60:02}:{whole % 60:02}" if whole >= 3600 else f"{whole // 60}:{whole % 60:02}"
    return f"{whole // 3600}:{rest}" if whole >= 3600 else rest
