"""The attempts of a campaign, a page at a time, by the filters of REST."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from rest_framework.exceptions import ValidationError

from campaigns.models import Campaign, CauseRule, Disposition
from dialer.api.attempts import ORDERS
from dialer.api.paging import Page, page
from dialer.pages import for_supervisors
from dialer.web import frame, story
from dialer.web.subscribers import export_address
from dialer.web.subscribers_forms import without
from members.page_forms import AttemptsFilters, dress
from members.views import need

PAGE: Final = 50
"""Attempts of a page."""


class AttemptsForm(AttemptsFilters):
    """Which attempts of a campaign are listed, and in which order; bound to the address."""

    sort = forms.ChoiceField(
        label=gettext_lazy("order"), required=False,
        choices=[("", gettext_lazy("newest first")), ("id", gettext_lazy("oldest first"))],
    )  # fmt: skip

    def __init__(self, campaign: Campaign, given: Any, user: Any) -> None:
        super().__init__(campaign, given)
        if not user.has_perm("agents.view_operator"):
            del self.fields["operator"]
        dress(self)
        if "operator" in self.fields:
            self.fields["operator"].widget.attrs["data-search"] = ""
        self.fields["cause"].widget.attrs["list"] = "causes"
        self.fields["disposition"].widget.attrs["list"] = "dispositions"
        self.fields["number"].widget.attrs["inputmode"] = "tel"
        for name in ("reserved_from", "reserved_before"):
            self.fields[name].help_text = campaign.calendar.time_zone

    @property
    def order(self) -> str:
        """The order that is asked for; within a while it is that of the index that knows the while."""
        oldest = self.cleaned_data["sort"] == "id"
        within = self.cleaned_data["reserved_from"] or self.cleaned_data["reserved_before"]
        return ("" if oldest else "-") + ("reserved" if within else "id")

    def page(self, user: Any, cursor: str | None) -> Page:
        """Return one page. Raises ``serializers.ValidationError`` for no cursor of ours."""
        found = self.rows(user).select_related("member", "operator", "communication")
        return page(found, sort=self.order, order=ORDERS[self.order], limit=PAGE, cursor=cursor)


@require_safe
@never_cache
@for_supervisors
def attempts(request: HttpRequest, campaign_id: int) -> HttpResponse:
    """Show the attempts that are asked for."""
    need(request, "dialer.view_attempt")
    campaign = frame.find(request, campaign_id)
    with timezone.override(campaign.calendar.time_zone):
        form = AttemptsForm(campaign, request.GET, request.user)
        shown: dict[str, Any] = {"campaign": campaign, "tab": "attempts", "form": form}
        if form.is_valid():
            cursor = request.GET.get("cursor") or None
            address = without(request.GET, "cursor")
            try:
                rows, after = form.page(request.user, cursor)
            except ValidationError:
                messages.warning(request, _("This page of the list is no more: here is the first one."))
                return redirect(f"{request.path}?{address}")
            for attempt in rows:
                attempt.label, attempt.tone = story.standing(attempt)
                attempt.number = str(attempt.communication or attempt.digits)
            shown |= {
                "rows": rows,
                "first_url": f"{request.path}?{address}" if cursor else "",
                "next_url": f"{request.path}?{address}{'&' if address else ''}cursor={after}" if after else "",
                "export_url": export_address(campaign, request.GET, "attempts"),
                "narrow": bool(form.asked()),
            }
        causes = CauseRule.objects.filter(campaign=campaign).order_by("cause").values_list("cause", flat=True)
        dispositions = Disposition.objects.filter(campaign=campaign).values_list("name", flat=True)
        shown |= {
            "causes": causes, "dispositions": dispositions,
            "may_view_members": request.user.has_perm("members.view_member"),
        }  # fmt: skip
        return render(request, "attempts/list.html", shown, status=400 if form.errors else 200)
