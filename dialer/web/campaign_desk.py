"""What a campaign says about the operators' desk: its dispositions, its script with a preview, its links and times."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from campaigns import placeholders
from campaigns.fields import link_faults
from campaigns.models import Campaign
from dialer.web.campaign_desk_forms import DeskForm, DispositionsForm
from dialer.web.campaign_forms import told_of
from dialer.web.campaigns import changes, of_campaign, page
from members.models import Member

ARRANGE: Final = ("add", "up", "down", "remove", "preview")
"""Buttons that change what is shown and save nothing."""


@of_campaign()
def desk(request: HttpRequest, campaign: Campaign) -> HttpResponseBase:
    """Show and change what operators are shown and may say. A button that arranges rows saves nothing."""
    data = request.POST if changes(request) else None
    form, rows = DeskForm(data, instance=campaign), DispositionsForm(campaign, data)
    arranged = data is not None and any(name in data for name in ARRANGE)
    if data is not None and arranged:
        rows.arrange(data)
    elif data is not None:
        if "standard" in data:
            rows.add_defaults()
        valid = form.is_valid()
        with transaction.atomic():
            kept = rows.keep()
            changed = form.keep() if valid else None
            if kept is None or changed is None:
                transaction.set_rollback(True)
        if kept is not None and changed is not None:
            messages.success(request, _told(kept, told_of(changed) if changed else ""))
            return redirect(request.path)
    bad = data is not None and not arranged
    shown = {
        "form": form,
        "rows": rows,
        "choices": rows.choices,
        "bad": bad,
        "arranged": arranged,
        "names": placeholders.NAMES,
        "variables": sorted(campaign.variables),
        "preview": _preview(request, campaign, form),
    }
    return page(request, campaign, "campaign-desk", "campaigns/desk.html", shown, bad=bad)


@of_campaign()
@require_POST
def preview(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    """Show the script and the links as they are typed, filled in, as a part of the page. Saves nothing."""
    shown = {"preview": _preview(request, campaign, DeskForm(request.POST, instance=campaign)), "campaign": campaign}
    return render(request, "campaigns/desk_preview.html", shown)


def _told(kept: bool, settings: str) -> str:
    """Tell what was saved."""
    told = [_("The dispositions are saved; they hold for results from now on.")] if kept else []
    return " ".join([*told, settings] if settings else told) or _("Nothing was changed.")


def _preview(request: HttpRequest, campaign: Campaign, form: DeskForm) -> dict[str, Any]:
    """Fill in the script and the links as they are on the page, with a subscriber that is asked for or an example."""
    asked = request.POST.get("subscriber", "").strip()[:100]
    may_look = request.user.has_perm("members.view_member")
    member = _member(campaign, asked) if asked and may_look else None
    script = str(form["script"].value() or "").replace("\r\n", "\n")
    links = form.typed_links()
    values = _values(request, campaign, member, script + "".join(link["url"] for link in links))
    faulty = {place for place, _part in link_faults(links)}
    return {
        "asked": asked,
        "may_look": may_look,
        "member": member,
        "pieces": [(text, name) for text, name in placeholders.pieces(script, values) if text or name],
        "faults": placeholders.faults(script),
        "links": [
            {"name": link["name"], "url": placeholders.fill_url(link["url"], values)}
            for place, link in enumerate(links)
            if place not in faulty
        ],
    }


def _member(campaign: Campaign, asked: str) -> Member | None:
    found = Member.objects.visible().filter(campaign=campaign).search(asked, campaign.default_region)
    return found.order_by("pk").first()


def _values(request: HttpRequest, campaign: Campaign, member: Member | None, text: str) -> dict[str, Any]:
    """Return what fills the placeholders: of a subscriber, or an example in which a variable shows its own name."""
    reader: Any = request.user
    own = {"campaign": campaign.name, "operator": reader.get_full_name() or reader.get_username()}
    if member is None:
        example = {name: f"[{name}]" for name in placeholders.names_in(text)}
        person = {"name": _("Anna Example"), "number": "+380501234567", "external_id": "C-1001"}
        return example | campaign.variables | person | own
    first = member.communications.order_by("-priority", "pk").first()
    person = {"name": member.name, "number": first.number if first else "", "external_id": member.external_id or ""}
    return {**campaign.variables, **member.variables, **person, **own}
