"""The secret that a phone in the page registers with: who gets it, what is kept of it, how long it holds."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client

from agents import actions
from agents.models import Operator
from dialer import checks
from dialer.middleware import POLICY
from dialer.web import phone
from tests.factories import make_operator

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
URL = "/desk/phone/secret/"
ADDRESS = "wss://sip.example.org:7443"
REALM = "phones.example"


@pytest.fixture(autouse=True)
def now(settings: Any) -> Iterator[time_machine.Traveller]:
    settings.SIP_DOMAIN = REALM
    settings.PHONE_WSS_URL = ADDRESS
    settings.DIRECTORY_PASSWORD = "of-the-switch"
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def anna() -> Operator:
    operator = make_operator(user=User.objects.create_user("anna"), extension="1001", phone="page")
    return actions.set_sip_password(operator.pk, REALM, "of her hard phone")


def of(operator: Operator) -> Client:
    client = Client()
    assert operator.user is not None
    client.force_login(operator.user)
    return client


def given(operator: Operator) -> dict[str, Any]:
    response = of(operator).post(URL)
    assert response.status_code == 200, response.content
    return dict(response.json())


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def known_hash(extension: str = "1001") -> str | None:
    """Return what the switch would let this extension log in with."""
    user = asked(extension).find("section/domain/users/user")
    return None if user is None else next(
        param.attrib["value"] for param in user.findall("params/param") if param.get("name") == "a1-hash"
    )  # fmt: skip


def asked(extension: str) -> ET.Element:
    log_in = base64.b64encode(b"freeswitch:of-the-switch").decode()
    question = {"section": "directory", "tag_name": "domain", "key_value": REALM, "user": extension}
    response = Client().post("/freeswitch/directory", question, headers={"Authorization": f"Basic {log_in}"})
    assert response.status_code == 200
    return ET.fromstring(response.content)


# --- the secret -----------------------------------------------------------------------------------------------------


def test_an_operator_is_given_what_his_phone_registers_with(anna: Operator) -> None:
    told = given(anna)
    secret = told.pop("secret")
    assert len(secret) >= 32
    assert told == {
        "user": "1001", "name": anna.name, "domain": REALM, "expires": (NOON + timedelta(minutes=60)).isoformat(),
        "seconds": 3600, "address": ADDRESS, "ice_servers": [], "transfers": False,
    }  # fmt: skip


def test_its_hash_alone_is_kept_and_the_switch_is_told_it(anna: Operator) -> None:
    assert known_hash() is None, "the password of the hard phone opens nothing"
    secret = given(anna)["secret"]
    assert known_hash() == md5(f"1001:{REALM}:{secret}")
    row = Operator.objects.filter(pk=anna.pk).values().get()
    assert secret not in str(row)


def test_the_switch_remembers_no_secret(anna: Operator) -> None:
    given(anna)
    user = asked("1001").find("section/domain/users/user")
    assert user is not None
    assert "cacheable" not in user.attrib


def test_it_ends(anna: Operator, now: time_machine.Traveller, settings: Any) -> None:
    settings.PHONE_LOGIN_MINUTES = 5
    assert given(anna)["seconds"] == 300
    now.shift(timedelta(seconds=299))
    assert known_hash() is not None
    now.shift(timedelta(seconds=1))
    assert known_hash() is None


def test_the_next_one_makes_it_void(anna: Operator) -> None:
    first, second = given(anna)["secret"], given(anna)["secret"]
    assert first != second
    assert known_hash() == md5(f"1001:{REALM}:{second}")


@pytest.mark.parametrize(
    "change", [{"extension": "1002"}, {"phone": "hard"}, {"archived": True}], ids=lambda change: next(iter(change))
)
def test_it_ends_with_the_phone(anna: Operator, change: dict[str, Any]) -> None:
    secret = given(anna)["secret"]
    changed = actions.update_operator(anna.pk, **change)
    assert known_hash(changed.extension) != md5(f"{changed.extension}:{REALM}:{secret}")
    if change != {"phone": "hard"}:
        assert known_hash(changed.extension) is None


def test_the_hard_phone_has_its_password_again_after(anna: Operator) -> None:
    given(anna)
    actions.update_operator(anna.pk, phone="hard")
    assert known_hash() == md5(f"1001:{REALM}:of her hard phone")
    actions.update_operator(anna.pk, phone="page")
    assert known_hash() is None


# --- who gets it ----------------------------------------------------------------------------------------------------


def test_others_get_none(anna: Operator, settings: Any) -> None:
    hard = make_operator(user=User.objects.create_user("hard"))
    gone = make_operator(user=User.objects.create_user("gone"), phone="page", archived=True)
    stranger = Client()
    stranger.force_login(User.objects.create_superuser("olena"))
    assert Client().post(URL).status_code == 401
    refused = of(hard).post(URL)
    assert refused.status_code == 403
    assert "not in the page" in refused.json()["message"]
    assert of(gone).post(URL).status_code == 404
    assert stranger.post(URL).status_code == 404
    assert of(anna).get(URL).status_code == 405
    settings.PHONE_WSS_URL = ""
    unset = of(anna).post(URL)
    assert unset.status_code == 503
    assert "PHONE_WSS_URL" in unset.json()["message"]
    assert Operator.objects.exclude(page_phone_a1="").count() == 0


def test_a_page_elsewhere_cannot_ask_for_it(anna: Operator) -> None:
    client = Client(enforce_csrf_checks=True)
    assert anna.user is not None
    client.force_login(anna.user)
    assert client.post(URL).status_code == 403


def test_it_is_not_given_too_often(anna: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone, "PER_USER", 2)
    given(anna)
    last = given(anna)["secret"]
    refused = of(anna).post(URL)
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= phone.WINDOW
    assert known_hash() == md5(f"1001:{REALM}:{last}")


# --- what is around it ----------------------------------------------------------------------------------------------


def test_relays_get_a_log_in_that_ends_with_the_secret(anna: Operator, settings: Any) -> None:
    settings.PHONE_ICE_SERVERS = ["stun:stun.example.org:3478", "turns:turn.example.org:443?transport=tcp"]
    settings.PHONE_TURN_SECRET = "shared"
    stun, turn = given(anna)["ice_servers"]
    assert stun == {"urls": "stun:stun.example.org:3478"}
    until = int((NOON + timedelta(minutes=60)).timestamp())
    assert turn["username"] == f"{until}:1001"
    digest = hmac.new(b"shared", turn["username"].encode(), hashlib.sha1).digest()
    assert base64.b64decode(turn["credential"]) == digest


def test_its_page_reaches_the_switch_and_no_other_page_does(anna: Operator) -> None:
    page = of(anna).get("/desk/phone/")
    assert page.status_code == 200
    assert page["Content-Security-Policy"] == f"{POLICY}; connect-src 'self' {ADDRESS}"
    staff = Client()
    staff.force_login(User.objects.create_superuser("olena"))
    assert staff.get("/operators/")["Content-Security-Policy"] == POLICY
    assert staff.get("/desk/phone/").status_code == 403


def test_transfers_are_offered_where_the_switch_has_them(anna: Operator, settings: Any) -> None:
    settings.PHONE_TRANSFERS = True
    assert given(anna)["transfers"] is True


def test_who_has_a_hard_phone_is_told_so(anna: Operator) -> None:
    actions.update_operator(anna.pk, phone="hard")
    page = of(anna).get("/desk/phone/")
    assert page.status_code == 403
    assert b"You speak with a hard phone" in page.content
    assert b"jssip" not in page.content
    assert Client().get("/desk/phone/").status_code == 302


def test_a_phone_in_the_page_needs_a_log_in(db: None) -> None:
    operator = make_operator()
    with pytest.raises(ValidationError) as refused:
        actions.update_operator(operator.pk, phone="page")
    assert set(refused.value.message_dict) == {"phone"}


def test_a_supervisor_chooses_it_on_the_page_of_the_operator() -> None:
    operator = make_operator(user=User.objects.create_user("anna"))
    client = Client()
    client.force_login(User.objects.create_superuser("olena"))
    path = f"/operators/{operator.pk}/edit/"
    form = client.get(path).context["form"]
    data = {name: "" if (value := form[name].value()) is None else value for name in form.fields if name != "archived"}
    data = {name: value for name, value in data.items() if value is not False}
    assert data["phone"] == "hard"
    assert client.post(path, {**data, "phone": "page"}).status_code == 302
    operator.refresh_from_db()
    assert operator.phone == "page"


def test_files_for_switches_that_do_not_ask_leave_it_out(anna: Operator, tmp_path: Any) -> None:
    hard = actions.set_sip_password(make_operator(extension="1002").pk, REALM, "of his hard phone")
    given(anna)
    call_command("export_directory", str(tmp_path))
    users = [user.get("id") for user in ET.fromstring((tmp_path / "operators.xml").read_text()).iter("user")]
    assert users == [hard.extension]


@pytest.mark.parametrize(
    ("address", "debug", "faults"),
    [
        ("", False, []),
        (ADDRESS, False, []),
        ("ws://127.0.0.1:5066", False, []),
        ("ws://sip.example.org:5066", False, ["dialer.E003"]),
        ("ws://sip.example.org:5066", True, []),
    ],
)
def test_a_line_that_others_can_read_is_refused(settings: Any, address: str, debug: bool, faults: list[str]) -> None:
    settings.PHONE_WSS_URL, settings.DEBUG = address, debug
    assert [found.id for found in checks.check_phones(None)] == faults


def test_a_relay_without_its_secret_is_refused(settings: Any) -> None:
    settings.PHONE_ICE_SERVERS = ["stun:stun.example.org", "turn:turn.example.org"]
    assert [found.id for found in checks.check_phone_relays(None)] == ["dialer.E004"]
    settings.PHONE_TURN_SECRET = "shared"
    assert checks.check_phone_relays(None) == []


# --- on the desk ------------------------------------------------------------------------------------------------


def test_it_is_on_the_desk_of_who_speaks_through_the_page(anna: Operator) -> None:
    answer = of(anna).get("/desk/")
    assert f"connect-src 'self' {ADDRESS}" in answer["Content-Security-Policy"]
    page = answer.content.decode()
    assert 'data-start="desk"' in page
    assert page.index("phone.js") < page.index("desk.js"), "it hears what the desk says from the first word on"


def test_it_is_not_on_the_desk_of_who_has_a_hard_phone(anna: Operator) -> None:
    actions.update_operator(anna.pk, phone="hard")
    page = of(anna).get("/desk/").content.decode()
    assert "phone.js" not in page
