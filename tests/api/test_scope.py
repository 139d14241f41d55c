"""Who is limited to campaigns sees and changes what belongs to them alone, through every door."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from agents.models import Operator, OperatorState
from campaigns.models import Campaign, Route
from dialer import clock, live
from dialer.api import scope
from dialer.api.models import CampaignAccess
from dialer.models import Attempt, Repair, ResultReport
from dialer.webhooks.models import Delivery, Event, Subscription
from members.models import DoNotCall, Member
from members.uploads.layout import Layout
from members.uploads.models import Upload
from tests import factories
from tests.api.conftest import Caller, caller_for, problem, user_in
from tests.api.test_access import MAY, endpoints

pytestmark = pytest.mark.django_db

FOREIGN = "Strangers"
"""Stands in the names of all that belongs to the other campaign."""
DIGITS = {"Ours": "380501111111", FOREIGN: "380992222222"}


class Scene:
    """A campaign with one of everything that belongs to it."""

    def __init__(self, name: str) -> None:
        now = clock.now()
        self.campaign = factories.make_campaign(name=name, calendar=factories.make_calendar(name=f"{name} hours"))
        self.route = factories.make_route(campaign=self.campaign, name=f"{name} route")
        self.member = factories.make_member(self.campaign, [DIGITS[name]], name=f"{name} Anna")
        self.operator = factories.make_operator(self.campaign)
        self.attempt = factories.make_attempt(self.member, self.operator)
        self.entry = DoNotCall.objects.create(
            digits=DIGITS[name][::-1], campaign=self.campaign, reason=f"{name} asked", created_at=now
        )
        self.upload = Upload.objects.create(
            campaign=self.campaign, kind="members", file_name=f"{name}.csv", path="", size=1, sha256="0" * 64,
            created_at=now, changed_at=now, layout=Layout().to_json(),
        )  # fmt: skip
        self.webhook = Subscription.objects.create(
            name=f"{name} CRM", campaign=self.campaign, types=["attempt.ended"], created_at=now
        )
        self.event = Event.objects.create(
            type="attempt.ended", campaign_id=self.campaign.pk, at=now, payload={"name": name}, number=self.campaign.pk
        )
        self.delivery = Delivery.objects.create(subscription=self.webhook, event=self.event, created_at=now)
        Repair.objects.create(at=now, attempt=self.attempt, kind="lost", detail=f"{name} repair")
        ResultReport.objects.create(
            member=self.member, attempt=self.attempt, received_at=now, body={"comment": f"{name} result"},
            verdict="refused",
        )  # fmt: skip

    def address(self, path: str) -> str:
        """Return an address with the ids of what is here."""
        found = {
            "campaign": self.campaign.pk, "member": self.member.pk,
            "communication": self.member.communications.get().pk,
            "attempt": self.attempt.pk, "route": self.route.pk, "webhook": self.webhook.pk,
            "delivery": self.delivery.pk, "entry": self.entry.pk, "upload": self.upload.pk,
            "calendar": self.campaign.calendar_id, "gateway": self.route.gateway_id, "operator": self.operator.pk,
            "template": 1, "key": "00000000-0000-0000-0000-000000000000",
        }  # fmt: skip
        for name, pk in found.items():
            path = path.replace(f"<str:{name}>", str(pk))
        return path


@pytest.fixture
def ours(db: None) -> Scene:
    return Scene("Ours")


@pytest.fixture
def theirs(db: None) -> Scene:
    return Scene(FOREIGN)


def limited(user: User, *scenes: Scene) -> User:
    for scene in scenes:
        CampaignAccess.objects.create(user=user, campaign=scene.campaign)
    return user


def tells_of_others(answer: Any) -> bool:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return FOREIGN.encode() in body or DIGITS[FOREIGN].encode() in body


OF_A_CAMPAIGN = ("campaign", "member", "attempt", "route", "webhook", "entry", "upload")


@pytest.mark.parametrize("role", ["Supervisor", "Integration"])
def test_every_endpoint_hides_what_is_of_other_campaigns(role: str, ours: Scene, theirs: Scene) -> None:
    him, free = caller_for(limited(user_in(role, "him"), ours)), caller_for(user_in(role, "free"))
    for name, path, view in endpoints():
        bound = any(f"<str:{parameter}>" in path for parameter in OF_A_CAMPAIGN)
        for method in view.needs:
            if role not in MAY[name][method] or name == "api-logout":
                continue
            body: Any = None if method in ("GET", "DELETE") else {}
            where = f"{method} {path}"
            if bound:
                assert him(method, theirs.address(path), body).status_code == 404, where
            elif method == "GET":
                answer = him.get(theirs.address(path))
                cache.clear()
                if name != "api-calendars" and name != "api-calendar":  # hours are anybody's to read
                    assert not tells_of_others(answer), where
            if method == "GET":
                assert him.get(ours.address(path)).status_code == free.get(ours.address(path)).status_code, where
                cache.clear()


@pytest.mark.parametrize("role", ["Supervisor", "Integration"])
def test_who_is_not_limited_sees_all_of_it(role: str, ours: Scene, theirs: Scene) -> None:
    free = caller_for(user_in(role, "free"))
    for path in (
        "dialer",
        f"dialer/{theirs.campaign.pk}/members",
        f"attempts/{theirs.attempt.pk}",
        "do-not-call",
        "live",
    ):
        answer = free.get(path)
        assert answer.status_code == 200
        assert tells_of_others(answer), path


def test_an_administrator_is_never_limited(ours: Scene, theirs: Scene) -> None:
    for role in ("Administrator", "superuser"):
        him = caller_for(limited(user_in(role), ours))
        assert him.get(f"dialer/{theirs.campaign.pk}").status_code == 200


def test_what_holds_for_all_campaigns_is_not_his_to_change(ours: Scene, theirs: Scene) -> None:
    common = DoNotCall.objects.create(digits="380500000000", campaign=None, reason="", created_at=clock.now())
    him = caller_for(limited(user_in("Supervisor"), ours))
    calendar = theirs.campaign.calendar_id
    problem(him.post("dialer", {"name": "Third", "calendar": calendar}), 403)
    problem(him.patch(f"calendars/{calendar}", {"name": "Never"}), 403)
    assert him.patch(f"calendars/{ours.campaign.calendar_id}", {"name": "Ours, later"}).status_code == 200
    problem(him.post("do-not-call", {"number": "380500000001"}), 403)
    problem(him.post("do-not-call/remove", {"numbers": ["380500000000"]}), 403)
    assert him.get(f"do-not-call/{common.pk}").status_code == 200
    problem(him.delete(f"do-not-call/{common.pk}"), 403)
    assert him.post(f"dialer/{ours.campaign.pk}/do-not-call", {"number": "380500000001"}).status_code == 201
    crm = caller_for(limited(user_in("Integration"), ours))
    hook = {"name": "new", "types": ["attempt.ended"]}
    problem(crm.post("webhooks", hook), 403)
    problem(crm.post("webhooks", hook | {"campaign": theirs.campaign.pk}), 403)
    assert crm.post("webhooks", hook | {"campaign": ours.campaign.pk}).status_code == 201
    problem(crm.patch(f"webhooks/{ours.webhook.pk}", {"campaign": None}), 403)


def test_routes_are_set_up_for_his_campaigns_alone(ours: Scene, theirs: Scene) -> None:
    user = limited(user_in("Supervisor"), ours)
    user.user_permissions.add(*Permission.objects.filter(codename__endswith="_route"))
    him = caller_for(user)
    common = factories.make_route()
    body = {"gateway": ours.route.gateway_id, "pattern": "^7"}
    problem(him.post("routes", body), 403)
    problem(him.post("routes", body | {"campaign": theirs.campaign.pk}), 403)
    made = him.post("routes", body | {"campaign": ours.campaign.pk})
    assert made.status_code == 201
    problem(him.patch(f"routes/{made.json()['id']}", {"campaign": None}), 403)
    problem(him.patch(f"routes/{common.pk}", {"campaign": ours.campaign.pk}), 403)
    problem(him.delete(f"routes/{common.pk}"), 403)
    assert him.delete(f"routes/{made.json()['id']}").status_code == 204
    assert Route.objects.filter(pk=common.pk).exists()


def test_to_lose_the_last_campaign_opens_no_other(ours: Scene) -> None:
    user = user_in("Supervisor")
    gone = factories.make_campaign()
    CampaignAccess.objects.create(user=user, campaign=gone)
    gone.delete()
    assert scope.of(user) == frozenset()
    assert caller_for(user).get("dialer").json() == []


def test_whom_an_operator_talks_to_is_not_told_to_others(ours: Scene, theirs: Scene) -> None:
    for scene in (ours, theirs):
        Operator.objects.filter(pk=scene.operator.pk).update(
            current_attempt=scene.attempt, state=OperatorState.RESERVED
        )
    shown = live.read(frozenset({ours.campaign.pk}))
    assert [campaign["name"] for campaign in shown["campaigns"]] == ["Ours"]
    assert {row["id"]: row.get("with") for row in shown["operators"]} == {
        ours.operator.pk: "Ours Anna", theirs.operator.pk: None,
    }  # fmt: skip
    assert [row["id"] for row in shown["attempts"]] == [ours.attempt.pk]


@pytest.fixture
def staff(ours: Scene) -> Client:
    """A browser of somebody who may do everything, in one campaign."""
    user = limited(User.objects.create_user("staff", password="correct horse battery", is_staff=True), ours)
    user.user_permissions.add(*Permission.objects.exclude(codename="all_campaigns"))
    client = Client()
    client.force_login(user)
    return client


def test_pages_show_and_start_his_campaigns_alone(staff: Client, ours: Scene, theirs: Scene) -> None:
    for address in ("/", "/live.json", "/do-not-call/"):
        answer = staff.get(address)
        assert answer.status_code == 200
        assert b"Ours" in answer.content
        assert not tells_of_others(answer), address
    for verb in ("run", "stop"):
        assert staff.post(f"/campaigns/{theirs.campaign.pk}/{verb}").status_code == 404
        assert staff.post(f"/campaigns/{ours.campaign.pk}/{verb}").status_code in (200, 409)
    assert staff.get(f"/campaigns/{theirs.campaign.pk}/export/").status_code == 404
    assert staff.get(f"/campaigns/{ours.campaign.pk}/export/").status_code == 200


OBJECTS: dict[type[Any], str] = {
    Campaign: "campaign", Route: "route", Member: "member", Attempt: "attempt", DoNotCall: "entry", Upload: "upload",
    Subscription: "webhook", Delivery: "delivery", Event: "event",
}  # fmt: skip


def test_the_admin_shows_and_changes_his_campaigns_alone(staff: Client, ours: Scene, theirs: Scene) -> None:
    theirs.operator.tiers.all().delete()
    for model in admin.site._registry:
        answer = staff.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
        assert answer.status_code == 200, model
        if model._meta.model_name not in ("calendar", "logentry"):
            assert not tells_of_others(answer), model
    for model, name in OBJECTS.items():
        change = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        assert staff.get(reverse(change, args=[getattr(theirs, name).pk])).status_code == 302, model
        answer = staff.get(reverse(change, args=[getattr(ours, name).pk]))
        assert answer.status_code == 200, model
        assert not tells_of_others(answer), model
    for page in ("run", "stop", "clone", "restore-causes"):
        assert staff.post(f"/admin/campaigns/campaign/{theirs.campaign.pk}/{page}/").status_code == 404
    assert staff.post(f"/admin/campaigns/campaign/{ours.campaign.pk}/clone/").status_code == 403
    assert staff.get("/admin/campaigns/campaign/add/").status_code == 403
    assert staff.get(f"/admin/members/member/{theirs.member.pk}/callback/").status_code == 404
    assert staff.post(f"/admin/webhooks/subscription/{theirs.webhook.pk}/secret/").status_code == 404
    chosen = staff.get("/admin/autocomplete/?app_label=members&model_name=member&field_name=campaign&term=").json()[
        "results"
    ]
    assert [item["text"] for item in chosen] == ["Ours"]


def test_the_admin_takes_nothing_for_another_campaign(staff: Client, ours: Scene, theirs: Scene) -> None:
    for campaign in (theirs.campaign.pk, ""):
        answer = staff.post(
            "/admin/members/donotcall/add/", {"digits": "380501234567", "campaign": campaign, "reason": ""}
        )
        assert answer.status_code == 200, "the form is shown again"
        assert answer.context["adminform"].form.errors.keys() == {"campaign"}
    loaded = staff.post("/admin/members/member/import/", {"campaign": theirs.campaign.pk})
    assert "campaign" in loaded.context["form"].errors
    change = reverse("admin:campaigns_calendar_change", args=[theirs.campaign.calendar_id])
    assert staff.post(change, {"name": "Never"}).status_code == 403


def test_an_administrator_limits_a_user(client: Client, ours: Scene) -> None:
    client.force_login(User.objects.create_superuser("root"))
    user = user_in("Supervisor", "olena")
    page = client.get(f"/admin/auth/user/{user.pk}/change/")
    form = page.context["adminform"].form
    values = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    values |= {"groups": list(user.groups.values_list("pk", flat=True)), "user_permissions": []}
    for name in ("last_login", "date_joined"):
        values.pop(name, None)
    values |= {"date_joined_0": "2026-01-01", "date_joined_1": "10:00:00"}
    values |= {
        "campaign_access-TOTAL_FORMS": 1, "campaign_access-INITIAL_FORMS": 0,
        "campaign_access-0-campaign": ours.campaign.pk, "campaign_access-0-user": user.pk,
    }  # fmt: skip
    answer = client.post(f"/admin/auth/user/{user.pk}/change/", values)
    assert answer.status_code == 302, answer.context and answer.context["errors"]
    assert scope.of(User.objects.get(pk=user.pk)) == frozenset({ours.campaign.pk})


def test_readings_of_the_live_page_are_shared_by_those_of_the_same_campaigns(ours: Scene, theirs: Scene) -> None:
    cache.clear()
    one, other = frozenset({ours.campaign.pk}), frozenset({theirs.campaign.pk})
    for only, name in ((one, "Ours"), (other, FOREIGN), (one, "Ours")):
        assert [row["name"] for row in json.loads(live.snapshot_json(only))["campaigns"]] == [name]
    assert len(json.loads(live.snapshot_json())["campaigns"]) == 2


def test_a_key_of_another_user_tells_nothing(ours: Scene) -> None:
    problem(Caller().get(f"dialer/{ours.campaign.pk}"), 401)
