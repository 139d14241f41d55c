"""Keys in the admin: made and shown once, shortened, revoked."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dialer import clock
from dialer.api import actions
from dialer.api.models import AccessKey
from tests.api.conftest import Caller, user_in

pytestmark = pytest.mark.django_db

ADD = "/admin/access/accesskey/add/"


def fields(user: User, days: int = 30) -> dict[str, object]:
    at = clock.now() + timedelta(days=days)
    return {
        "user": user.pk, "name": "CRM", "expires_at_0": at.date().isoformat(), "expires_at_1": "12:00:00",
    }  # fmt: skip


@pytest.fixture
def crm_user(db: None) -> User:
    return user_in("Integration", "crm")


def test_a_key_is_made_and_its_token_shown_once(admin_client: Client, crm_user: User) -> None:
    page = admin_client.post(ADD, fields(crm_user), follow=True).content.decode()
    token = re.search(r"X-Access-Token: ([\w.-]+)", page)
    assert token
    key = AccessKey.objects.get()
    him = Caller({"X-Access-Token": token[1], "X-Key": str(key.pk)})
    assert him.get("keys").status_code == 200
    assert token[1] not in admin_client.get("/admin/access/accesskey/", follow=True).content.decode()
    assert AccessKey.objects.count() == 1


def test_its_expiry_is_brought_forward_never_back(admin_client: Client, crm_user: User) -> None:
    key = actions.create_key(crm_user, "CRM", clock.now() + timedelta(days=60)).key
    url = f"/admin/access/accesskey/{key.pk}/change/"
    assert "brought forward" in admin_client.post(url, fields(crm_user, 90)).content.decode()
    assert admin_client.post(url, fields(crm_user, 30)).status_code == 302
    assert AccessKey.objects.get().expires_at < clock.now() + timedelta(days=32)


def test_keys_are_revoked_and_not_deleted(admin_client: Client, crm_user: User) -> None:
    key = actions.log_in(crm_user).key
    chosen = {"action": "revoke", "_selected_action": [str(key.pk)]}
    page = admin_client.post("/admin/access/accesskey/", chosen, follow=True).content.decode()
    assert "1 key opens no more" in page
    assert AccessKey.objects.get().state == "revoked"
    assert admin_client.get(f"/admin/access/accesskey/{key.pk}/delete/").status_code == 403


def test_who_may_make_keys_for_himself_alone_makes_none_here(crm_user: User) -> None:
    user = user_in("Supervisor", "olena")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    assert client.get(ADD).status_code == 403


def test_an_administrator_makes_none_for_a_superuser() -> None:
    boss = user_in("superuser", "boss")
    user = user_in("Administrator", "anna")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    assert client.post(ADD, fields(boss)).status_code == 200
    assert not AccessKey.objects.exists()
