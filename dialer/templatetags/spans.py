"""How pages write lengths of time."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def hours(seconds: float | None) -> str:
    """Write seconds as hours and minutes: ``7:05``."""
    whole = round(seconds or 0)
    return f"{whole // 3600}:{whole // 60 % 60:02}"


@register.filter
def minutes(seconds: float | None) -> str:
    """Write seconds as minutes and seconds: ``7:05``; with hours when there are any."""
    whole = round(seconds or 0)
    rest = f"{whole // 60 % 60:02}:{whole % 60:02}" if whole >= 3600 else f"{whole // 60}:{whole % 60:02}"
    return f"{whole // 3600}:{rest}" if whole >= 3600 else rest
