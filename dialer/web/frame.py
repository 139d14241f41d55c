"""The frame of a campaign's pages: its name, its state with RUN and STOP, its tabs."""

from __future__ import annotations

from typing import Any, Final

from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.models import Campaign
from dialer import live
from dialer.api import scope

TABS: Final = (
    ("campaign", gettext_lazy("General"), "campaigns.view_campaign"),
    ("campaign-parameters", gettext_lazy("Parameters"), "campaigns.view_campaign"),
    ("campaign-variables", gettext_lazy("Variables"), "campaigns.view_campaign"),
    ("campaign-causes", gettext_lazy("Causes"), "campaigns.view_campaign"),
    ("campaign-desk", gettext_lazy("Desk"), "campaigns.view_campaign"),
    ("campaign-operators", gettext_lazy("Operators"), "agents.view_operator"),
    ("campaign-routes", gettext_lazy("Routes"), "campaigns.view_route"),
    ("subscribers", gettext_lazy("Subscribers"), "members.view_member"),
    ("attempts", gettext_lazy("Attempts"), "dialer.view_attempt"),
    ("campaign-live", gettext_lazy("Live"), "campaigns.view_campaign"),
    ("statistics", gettext_lazy("Statistics"), "campaigns.view_campaign"),
    ("uploads", gettext_lazy("Uploads"), "members.view_member"),
    ("export", gettext_lazy("Export"), "members.view_member"),
)
"""The tabs in their order: the name of the page's address, what it is called, the right that it asks for."""


def find(request: HttpRequest, campaign_id: int) -> Campaign:
    """Return a campaign that this user may see, with its calendar. Raises ``Http404``."""
    campaign = scope.campaigns(request.user).select_related("calendar").filter(pk=campaign_id).first()
    if campaign is None:
        raise Http404(_("There is no campaign %d.") % campaign_id)
    return campaign


def of(user: Any, campaign: Campaign, tab: str) -> dict[str, Any]:
    """Return what ``campaigns/frame.html`` shows around the page that ``tab`` names."""
    return {
        "standing": live.standing_of(campaign),
        "tabs": [
            {"url": reverse(name, args=[campaign.pk]), "label": label, "now": name == tab}
            for name, label, right in TABS
            if user.has_perm(right)
        ],
        "may_run": user.has_perm("campaigns.change_campaign"),
    }
