"""Pages of webhooks: how each goes, the log of deliveries, a test, what was given up sent again; who may."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.test import Client

from campaigns.models import Campaign
from dialer import clock
from dialer.api.models import CampaignAccess
from dialer.web import webhooks as pages
from dialer.webhooks import actions
from dialer.webhooks.models import Delivery, DeliveryState, Event, Subscription
from tests.factories import make_campaign

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh() -> None:
    cache.clear()


def make_webhook(name: str = "CRM", campaign: Campaign | None = None, **fields: Any) -> Subscription:
    return Subscription.objects.create(
        name=name, campaign=campaign, types=["attempt.ended"], created_at=clock.now(), **fields
    )


def make_delivery(webhook: Subscription, state: str, **fields: Any) -> Delivery:
    event = Event.objects.create(type="attempt.ended", at=clock.now(), payload={})
    done = {"delivered_at": clock.now()} if state == DeliveryState.DELIVERED else {}
    return Delivery.objects.create(
        subscription=webhook, event=event, state=state, created_at=clock.now(), **done, **fields
    )


def limited(*campaigns: Campaign, rights: tuple[str, ...]) -> Client:
    user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    CampaignAccess.objects.bulk_create(CampaignAccess(user=user, campaign=campaign) for campaign in campaigns)
    client = Client()
    client.force_login(user)
    return client


def test_each_is_shown_with_how_it_goes(supervisor: Client) -> None:
    assert "No webhook yet." in supervisor.get("/system/webhooks/").content.decode()
    crm = make_webhook(failures=3, next_at=clock.now())
    make_webhook("Quiet", enabled=False)
    for state in ("pending", "parked", "parked"):
        make_delivery(crm, state)
    cache.clear()
    page = supervisor.get("/system/webhooks/").content.decode()
    assert f'<a href="/system/webhooks/{crm.pk}/">CRM</a>' in page
    for told in ("failed 3 times in a row", "all campaigns", ">off<", "next try"):
        assert told in page
    counts = [(one.pending, one.parked) for one in supervisor.get("/system/webhooks/").context["rows"]]
    assert counts == [(1, 2), (0, 0)]


def test_the_system_page_leads_to_it(supervisor: Client) -> None:
    crm = make_webhook(failures=1)
    page = supervisor.get("/system/").content.decode()
    assert f'<a href="/system/webhooks/{crm.pk}/">' in page
    assert "/admin/webhooks/" not in page


def test_its_log_is_told_by_state_and_by_pages(supervisor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    crm = make_webhook()
    assert "Nothing was to be delivered yet." in supervisor.get(f"/system/webhooks/{crm.pk}/").content.decode()
    made = [make_delivery(crm, state, error=state) for state in ("delivered", "parked", "parked")]
    make_delivery(make_webhook("Other"), "parked")
    monkeypatch.setattr(pages, "PAGE", 2)

    def listed(query: str) -> list[int]:
        return [row.pk for row, _tone in supervisor.get(f"/system/webhooks/{crm.pk}/{query}").context["rows"]]

    first = supervisor.get(f"/system/webhooks/{crm.pk}/")
    assert [row.pk for row, _tone in first.context["rows"]] == [made[2].pk, made[1].pk]
    assert listed(first.context["next_url"]) == [made[0].pk]
    assert listed("?state=delivered") == [made[0].pk]
    assert listed("?state=pending") == []
    assert listed("?state=nonsense&before=x") == [made[2].pk, made[1].pk]


def test_what_was_given_up_is_sent_again(supervisor: Client) -> None:
    crm = make_webhook()
    one, other, third = [make_delivery(crm, "parked", attempts=12) for _ in range(3)]
    answer = supervisor.post(f"/system/webhooks/{crm.pk}/again", {"delivery": str(other.pk)}, follow=True)
    assert "1 waits again." in answer.content.decode()
    waiting = Delivery.objects.filter(state=DeliveryState.PENDING)
    assert set(waiting.values_list("pk", flat=True)) == {other.pk}
    # The rest of them, and those of no other webhook.
    foreign = make_delivery(make_webhook("Other"), "parked")
    supervisor.post(f"/system/webhooks/{crm.pk}/again", {"delivery": str(foreign.pk)})
    assert waiting.count() == 1
    answer = supervisor.post(f"/system/webhooks/{crm.pk}/again", follow=True)
    assert "2 wait again." in answer.content.decode()
    assert set(waiting.values_list("pk", flat=True)) == {one.pk, other.pk, third.pk}
    assert supervisor.get(f"/system/webhooks/{crm.pk}/again").status_code == 405


def test_a_test_tells_what_came_of_it(supervisor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    crm = make_webhook()
    answer = supervisor.post(f"/system/webhooks/{crm.pk}/test", follow=True)
    assert "has no address" in answer.content.decode()
    for state, told in (("delivered", "Delivered: answered 204 in 7 ms."), ("parked", "Not delivered. Refused.")):
        done = make_delivery(crm, state, status_code=204, milliseconds=7, error="Refused.")
        monkeypatch.setattr(actions, "send_test", lambda _webhook, done=done: done)
        assert told in supervisor.post(f"/system/webhooks/{crm.pk}/test", follow=True).content.decode()


def test_who_may(client: Client) -> None:
    mine, foreign = make_campaign(name="Mine"), make_campaign(name="Foreign")
    own, other, common = make_webhook("Own", mine), make_webhook("Other", foreign), make_webhook("Common")
    parked = make_delivery(own, "parked")
    assert client.get("/system/webhooks/").headers["Location"].startswith("/login/")
    assert limited(mine, rights=("view_campaign",)).get("/system/webhooks/").status_code == 403
    reader = limited(mine, rights=("view_subscription", "view_delivery"))
    page = reader.get("/system/webhooks/").content.decode()
    assert "Own" in page
    assert "Other" not in page
    assert "Common" not in page
    assert reader.get(f"/system/webhooks/{own.pk}/").status_code == 200
    for webhook in (other, common):
        assert reader.get(f"/system/webhooks/{webhook.pk}/").status_code == 404
    for act in ("test", "again"):
        assert reader.post(f"/system/webhooks/{own.pk}/{act}").status_code == 403
    keeper = limited(mine, rights=("view_subscription", "view_delivery", "change_subscription"))
    assert keeper.post(f"/system/webhooks/{other.pk}/again").status_code == 404
    assert keeper.post(f"/system/webhooks/{own.pk}/again").status_code == 302
    parked.refresh_from_db()
    assert parked.state == DeliveryState.PENDING
