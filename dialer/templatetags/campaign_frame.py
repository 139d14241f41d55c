"""What the frame of a campaign's pages shows, for templates: pages of the apps have it without knowing the engine."""

from __future__ import annotations

from typing import Any

from django import template

from dialer.web import frame

register = template.Library()


@register.simple_tag(takes_context=True)
def campaign_frame(context: dict[str, Any]) -> dict[str, Any]:
    """Return the frame of the page's ``campaign``, of which ``tab`` is the page shown. Read once a page."""
    request = context["request"]
    if not hasattr(request, "campaign_frame"):
        request.campaign_frame = frame.of(request.user, context["campaign"], context.get("tab", ""))
    return dict(request.campaign_frame)
