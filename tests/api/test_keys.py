"""Log-in, keys and tokens: who gets in, who does not, and what a thief of the database could do with it."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import timedelta
from typing import Any

import jwt
import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from dialer import clock
from dialer.api import actions, counters, guard, tokens
from dialer.api.models import AccessKey, StoredAnswer
from dialer.api.roles import ROLES
from tests.api.conftest import PASSWORD, Caller, caller_for, faults, problem, user_in

pytestmark = pytest.mark.django_db


def log_in(username: str = "crm", password: str = PASSWORD, **headers: Any) -> Any:
    return Caller().post("/login", {"username": username, "password": password}, **headers)


def caller(answer: Any) -> Caller:
    given = answer.json()
    return Caller({"X-Access-Token": given["token"], "X-Key": given["key"]})


def token_of(claims: dict[str, Any], key: bytes | None = None) -> str:
    return jwt.encode(claims, key or tokens._signing_key(settings.SECRET_KEY), "HS256")


class TestLogIn:
    def test_a_name_and_a_password_give_a_key_that_opens(self) -> None:
        user_in("Integration", "crm")
        answer = log_in()
        assert answer.status_code == 200
        given = answer.json()
        assert set(given) == {"key", "token", "expires"}
        assert uuid.UUID(given["key"])
        assert answer.headers["Cache-Control"] == "no-store"
        assert caller(answer).get("keys").status_code == 200

    def test_the_token_is_a_jwt_with_the_key_its_expiry_and_its_audience(self) -> None:
        user_in("Integration", "crm")
        given = log_in().json()
        claims = json.loads(base64.urlsafe_b64decode(given["token"].split(".")[1] + "=="))
        assert set(claims) == {"aud", "sub", "jti", "exp"}
        assert claims["sub"] == given["key"]
        assert claims["exp"] == AccessKey.objects.get().expires_at.timestamp()

    def test_a_key_of_a_log_in_opens_for_a_day(self) -> None:
        with time_machine.travel("2031-05-01T08:00Z") as traveller:
            him = caller_for(user_in("Integration"))
            traveller.shift(timedelta(hours=23, minutes=59))
            assert him.get("keys").status_code == 200
            traveller.shift(timedelta(minutes=2))
            problem(him.get("keys"), 401)

    def test_log_out_ends_that_key_alone(self) -> None:
        user_in("Integration", "crm")
        first, second = caller(log_in()), caller(log_in())
        assert first.post("/logout").status_code == 204
        problem(first.get("keys"), 401)
        assert second.get("keys").status_code == 200

    def test_another_password_ends_the_keys_of_log_ins_and_leaves_named_ones(self) -> None:
        user = user_in("Integration", "crm")
        logged_in = caller(log_in())
        made = actions.create_key(user, "nightly", clock.now() + timedelta(days=30))
        named = Caller({"X-Access-Token": made.token, "X-Key": str(made.key.pk)})
        user.set_password("another one entirely")
        user.save()
        problem(logged_in.get("keys"), 401)
        assert named.get("keys").status_code == 200

    def test_an_account_that_is_switched_off_opens_nothing(self) -> None:
        him = caller_for(user_in("Integration"))
        User.objects.update(is_active=False)
        problem(him.get("keys"), 401)

    @pytest.mark.parametrize(
        ("username", "password"), [("crm", "wrong"), ("nobody", "wrong"), ("nobody", PASSWORD), ("asleep", PASSWORD)]
    )
    def test_whatever_was_wrong_the_answer_is_the_same(self, username: str, password: str) -> None:
        user_in("Integration", "crm")
        User.objects.create_user("asleep", password=PASSWORD, is_active=False)
        found = problem(log_in(username, password), 401)
        assert found["detail"] == "The name or the password is wrong."

    def test_an_unknown_name_costs_as_much_hashing_as_a_known_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        user_in("Integration", "crm")
        hashed: list[str] = []

        def hash_it(self: Any, password: str, salt: str) -> str:
            hashed.append(password)
            return "md5$a$b"

        hasher = "django.contrib.auth.hashers.MD5PasswordHasher"
        monkeypatch.setattr(f"{hasher}.encode", hash_it)
        for name in ("crm", "nobody"):
            log_in(name, "wrong")
        assert hashed == ["wrong", "wrong"]

    def test_what_is_missing_is_named(self) -> None:
        assert set(faults(Caller().post("/login", {}))) == {"username", "password"}

    def test_the_address_shows_a_person_the_page(self) -> None:
        assert Client().get("/login", headers={"Accept": "text/html"}).headers["Location"] == "/login/"
        problem(Client().get("/login"), 405)


class TestLock:
    def wrong(self, times: int, username: str = "crm", **headers: Any) -> list[int]:
        return [log_in(username, "wrong", **headers).status_code for _ in range(times)]

    def test_ten_wrong_passwords_lock_the_account_and_say_for_how_long(self, redis: Any) -> None:
        user_in("Integration", "crm")
        assert self.wrong(guard.PER_ACCOUNT) == [401] * guard.PER_ACCOUNT
        answer = log_in()
        problem(answer, 429)
        assert 0 < int(answer.headers["Retry-After"]) <= guard.WINDOW

    def test_an_account_that_does_not_exist_is_locked_the_same(self, redis: Any) -> None:
        assert self.wrong(guard.PER_ACCOUNT + 1, "nobody")[-2:] == [401, 429]

    def test_other_writings_of_the_name_are_the_same_account(self, redis: Any) -> None:
        self.wrong(guard.PER_ACCOUNT)
        assert self.wrong(1, "CRM") == [429]

    def test_others_and_other_addresses_are_not_locked(self, redis: Any) -> None:
        user_in("Integration", "crm")
        user_in("Supervisor", "olena")
        self.wrong(guard.PER_ACCOUNT + 1)
        assert log_in("olena").status_code == 200
        other = Client(REMOTE_ADDR="192.0.2.7")
        body = {"username": "crm", "password": PASSWORD}
        assert other.post("/login", body, content_type="application/json").status_code == 200

    def test_the_right_password_takes_the_count_back(self, redis: Any) -> None:
        user_in("Integration", "crm")
        self.wrong(guard.PER_ACCOUNT - 1)
        assert log_in().status_code == 200
        assert self.wrong(guard.PER_ACCOUNT) == [401] * guard.PER_ACCOUNT

    def test_many_names_from_one_address_lock_that_address(self, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(guard, "PER_ADDRESS", 5)
        assert [self.wrong(1, f"guess-{n}") for n in range(6)] == [[401]] * 5 + [[429]]
        assert len(redis.keys("login:*")) == 6, "what an address can have kept is bounded"

    def test_all_of_a_customers_ipv6_addresses_are_one(self) -> None:
        class Request:
            def __init__(self, address: str) -> None:
                self.META = {"REMOTE_ADDR": address}

        near: Any = Request("2001:db8:1:2::1")
        far: Any = Request("2001:db8:1:2:ffff::9")
        assert guard.address_of(near) == guard.address_of(far) == "2001:db8:1:2::/64"

    def test_the_page_is_behind_the_same_lock(self, redis: Any) -> None:
        user_in("superuser", "crm")
        self.wrong(guard.PER_ACCOUNT)
        page = Client()
        for door in ("/login/", "/admin/login/"):
            told = page.post(door, {"username": "crm", "password": PASSWORD}).content.decode()
            assert "Too many wrong passwords. Try again in 15 minutes." in told
        assert "_auth_user_id" not in page.session
        counters.forget(next(iter(redis.keys("login:127.0.0.1:*"))).decode())
        page.post("/login/", {"username": "crm", "password": PASSWORD})
        assert "_auth_user_id" in page.session

    def test_without_redis_one_can_log_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        user_in("Integration", "crm")
        counters._redis.cache_clear()
        monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
        try:
            assert log_in().status_code == 200
        finally:
            counters._redis.cache_clear()


class TestTheDoor:
    def test_without_a_key_one_is_asked_for_it(self, stranger: Caller) -> None:
        answer = stranger.get("keys")
        problem(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("X-Access-Token")

    @pytest.mark.parametrize("missing", ["X-Access-Token", "X-Key"])
    def test_both_headers_are_needed(self, crm: Caller, missing: str) -> None:
        del crm.headers[missing]
        assert "both" in problem(crm.get("keys"), 401)["detail"]

    def test_a_token_opens_with_its_own_key_alone(self, crm: Caller) -> None:
        other = actions.log_in(User.objects.get())
        crm.headers["X-Key"] = str(other.key.pk)
        problem(crm.get("keys"), 401)

    def test_a_database_and_the_signing_key_together_do_not_make_a_token(self, crm: Caller) -> None:
        key = AccessKey.objects.get()
        exp = int(key.expires_at.timestamp())
        for secret in (key.digest, "", tokens.new_secret()):
            forged = token_of({"aud": tokens.AUDIENCE, "sub": str(key.pk), "jti": secret, "exp": exp})
            crm.headers["X-Access-Token"] = forged
            problem(crm.get("keys"), 401)

    def test_the_secret_of_a_token_is_nowhere_in_the_database(self, crm: Caller) -> None:
        secret = jwt.decode(crm.headers["X-Access-Token"], options={"verify_signature": False})["jti"]
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_jsonb(k)::text FROM access_accesskey AS k")
            rows = cursor.fetchall()
        assert len(rows) == 1
        assert secret not in rows[0][0]
        assert crm.headers["X-Access-Token"].split(".")[2] not in rows[0][0]

    @pytest.mark.parametrize("change", [{"aud": "another"}, {"exp": 0}, {"sub": None}, {"jti": None}, {"jti": 5}])
    def test_a_token_without_what_it_needs_opens_nothing(self, crm: Caller, change: dict[str, Any]) -> None:
        claims = jwt.decode(crm.headers["X-Access-Token"], options={"verify_signature": False})
        changed = {name: value for name, value in {**claims, **change}.items() if value is not None}
        crm.headers["X-Access-Token"] = token_of(changed)
        problem(crm.get("keys"), 401)

    def test_a_token_of_another_signer_or_of_none_opens_nothing(self, crm: Caller) -> None:
        claims = jwt.decode(crm.headers["X-Access-Token"], options={"verify_signature": False})
        for forged in (token_of(claims, b"x" * 32), jwt.encode(claims, "", "none"), "a.b.c", "ÿ", "", "9" * 9000):
            crm.headers["X-Access-Token"] = forged
            problem(crm.get("keys"), 401)

    def test_a_call_costs_one_query_and_a_write_a_minute(self, crm: Caller, django_assert_num_queries: Any) -> None:
        crm.get("keys")
        first = AccessKey.objects.get().last_used_at
        with django_assert_num_queries(1):
            assert actions.open_with(crm.headers["X-Key"], crm.headers["X-Access-Token"])
        with time_machine.travel(clock.now() + timedelta(seconds=61)):
            crm.get("keys")
            last = AccessKey.objects.get().last_used_at
            assert first
            assert last
            assert first < last

    def test_a_session_of_the_pages_opens_too_but_writes_with_their_token_alone(self) -> None:
        user_in("Integration", "crm")
        browser = Client(enforce_csrf_checks=True)
        browser.login(username="crm", password=PASSWORD, request=None)
        assert browser.get("/api/v2/keys").status_code == 200
        assert "CSRF" in problem(browser.post("/logout"), 403)["detail"]


class TestKeys:
    def new(self, him: Caller, **fields: Any) -> Any:
        expires = (clock.now() + timedelta(days=90)).isoformat()
        return him.post("keys", {"name": "CRM", "expires": expires, **fields})

    def test_a_named_key_is_made_shown_once_and_listed_without_its_token(self, crm: Caller) -> None:
        made = self.new(crm)
        assert made.status_code == 201
        key = made.json()
        other = Caller({"X-Access-Token": key.pop("token"), "X-Key": key["id"]})
        listed = other.get("keys").json()
        assert [item["name"] for item in listed] == ["CRM", ""]
        assert set(listed[0]) == set(key)

    def test_it_is_revoked_by_its_owner(self, crm: Caller) -> None:
        made = self.new(crm).json()
        other = Caller({"X-Access-Token": made["token"], "X-Key": made["id"]})
        assert crm.delete(f"keys/{made['id']}").status_code == 204
        problem(other.get("keys"), 401)
        assert crm.get(f"keys/{made['id']}").json()["state"] == "revoked"

    def test_others_see_and_touch_it_only_as_administrators(self, crm: Caller, admin: Caller) -> None:
        made = self.new(crm).json()["id"]
        other = caller_for(user_in("Supervisor"))
        for answer in (other.get(f"keys/{made}"), other.delete(f"keys/{made}"), other.patch(f"keys/{made}", {})):
            problem(answer, 404)
        assert admin.delete(f"keys/{made}").status_code == 204

    def test_its_expiry_is_brought_forward_never_back(self, crm: Caller) -> None:
        made = self.new(crm).json()["id"]
        sooner, later = (clock.now() + timedelta(days=days) for days in (10, 100))
        assert crm.patch(f"keys/{made}", {"expires": sooner.isoformat(), "name": "Nightly"}).status_code == 200
        assert AccessKey.objects.get(pk=made).name == "Nightly"
        assert set(faults(crm.patch(f"keys/{made}", {"expires": later.isoformat()}))) == {"expires"}

    def test_every_fault_is_named(self, crm: Caller) -> None:
        found = faults(crm.post("keys", {"name": 5, "expires": "2031-01-01T10:00", "colour": "red"}))
        assert set(found) == {"name", "expires", "colour"}
        assert "offset" in found["expires"][0]
        assert set(faults(self.new(crm, expires="2001-01-01T00:00Z"))) == {"expires"}

    def test_only_administrators_make_keys_for_others(self, crm: Caller, admin: Caller) -> None:
        user_in("Integration", "other")
        problem(self.new(crm, user="other"), 403)
        assert self.new(admin, user="other").json()["user"] == "other"
        assert set(faults(self.new(admin, user="nobody"))) == {"user"}

    def test_an_administrator_makes_no_key_of_a_superuser(self, admin: Caller) -> None:
        user_in("superuser", "boss")
        problem(self.new(admin, user="boss"), 403)

    def test_a_repeated_request_makes_one_key_and_keeps_no_token(self, crm: Caller) -> None:
        body = {"name": "CRM", "expires": (clock.now() + timedelta(days=90)).isoformat()}
        first = crm.post("keys", body, Idempotency_Key="one")
        again = crm.post("keys", body, Idempotency_Key="one")
        assert (first.json()["id"], None) == (again.json()["id"], again.json()["token"])
        assert AccessKey.objects.count() == 2
        assert first.json()["token"] not in StoredAnswer.objects.get().body

    def test_old_keys_of_log_ins_are_forgotten_and_named_ones_kept(self, crm: Caller) -> None:
        self.new(crm)
        with time_machine.travel(clock.now() + timedelta(days=32)):
            assert actions.forget_old_keys() == 1
        assert AccessKey.objects.get().name == "CRM"


def test_the_roles_are_there_and_come_back() -> None:
    from django.contrib.auth.models import Group
    from django.core.management import call_command

    assert set(Group.objects.values_list("name", flat=True)) == set(ROLES)
    supervisor = Group.objects.get(name="Supervisor")
    rights = {f"{right.content_type.app_label}.{right.codename}" for right in supervisor.permissions.all()}
    assert rights == set(ROLES["Supervisor"])
    supervisor.permissions.clear()
    call_command("migrate", verbosity=0)
    assert supervisor.permissions.count() == len(ROLES["Supervisor"])
