"""Operators as users of the switch's directory: asked for, written to files, and read from an existing one."""

from __future__ import annotations

import base64
import hashlib
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from agents import actions, directory, directory_files
from agents.models import Operator
from tests import factories
from tests.admin.conftest import Browser, faults, messages

REALM = "phones.example"
PASSWORD = "correct horse"
URL = "/freeswitch/directory"


@pytest.fixture(autouse=True)
def _realm(settings: Any) -> None:
    settings.SIP_DOMAIN = REALM
    settings.DIRECTORY_PASSWORD = "of-the-switch"


@pytest.fixture
def browser(admin_client: Client) -> Browser:
    return Browser(admin_client)


@pytest.fixture
def alice(db: None) -> Operator:
    operator = factories.make_operator(extension="1001", name="Alice", wrap_up_time=25)
    return actions.set_sip_password(operator.pk, REALM, PASSWORD)


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def log_in(user: str = "freeswitch", password: str = "of-the-switch") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def question(user: str = "1001", **changes: str) -> dict[str, Any]:
    """Return what the switch posts when a phone logs in."""
    return {
        "hostname": "switch", "section": "directory", "tag_name": "domain", "key_name": "name", "key_value": REALM,
        "action": "sip_auth", "key": "id", "user": user, "domain": REALM, **changes,
    }  # fmt: skip


def ask(client: Client, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> ET.Element:
    response = client.post(URL, question() if body is None else body, headers=log_in() if headers is None else headers)
    assert response.status_code == 200
    return ET.fromstring(response.content)


def is_not_found(document: ET.Element) -> bool:
    result = document.find("section/result")
    return result is not None and result.get("status") == "not found"


def params(user: ET.Element | None) -> dict[str, str]:
    assert user is not None
    return {item.attrib["name"]: item.attrib["value"] for item in user.findall("params/param")}


# --- asked by the switch --------------------------------------------------------------------------------------------


def test_an_operator_is_a_user_with_the_hash_of_his_password(client: Client, alice: Operator) -> None:
    document = ask(client)
    domain = document.find("section[@name='directory']/domain")
    assert domain is not None
    assert domain.get("name") == REALM
    user = domain.find("users/user")
    assert user is not None
    assert user.get("id") == "1001"
    assert params(user) == {"a1-hash": md5(f"1001:{REALM}:{PASSWORD}"), "allow-empty-password": "false"}
    assert "sofia_contact" in params(domain)["dial-string"]
    assert [(v.get("name"), v.get("value")) for v in user.findall("variables/variable")] == [
        ("user_context", "default")
    ], "a variable of a user is set on each of his legs"


def test_the_question_costs_one_query(client: Client, alice: Operator, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        ask(client)


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "1002"},
        {"user": ""},
        {"section": "dialplan"},
        {"section": "configuration", "tag_name": "configuration"},
        {"tag_name": "group"},
        {"key_value": "elsewhere.example"},
        {"key_value": ""},
    ],
)
def test_anything_else_is_not_found(client: Client, alice: Operator, changes: dict[str, str]) -> None:
    assert is_not_found(ask(client, {**question(), **changes}))


def test_an_archived_operator_is_not_found(client: Client, alice: Operator) -> None:
    actions.update_operator(alice.pk, archived=True)
    assert is_not_found(ask(client))


def test_an_operator_without_a_password_is_not_found_for_the_switch_would_let_him_in(
    client: Client, alice: Operator
) -> None:
    Operator.objects.update(sip_password_a1="")
    assert is_not_found(ask(client))


def test_a_variable_of_a_call_named_user_asks_for_nobody_else(client: Client, alice: Operator) -> None:
    bob = factories.make_operator(extension="1002")
    actions.set_sip_password(bob.pk, REALM, PASSWORD)
    between = {"user": ["1002", "1001"], "key_value": [REALM, "elsewhere"], "section": ["directory", "dialplan"]}
    user = ask(client, {**question(), **between}).find("section/domain/users/user")
    assert user is not None
    assert user.get("id") == "1001"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        log_in(password="wrong"),
        log_in(user="admin"),
        {"Authorization": "Bearer of-the-switch"},
        {"Authorization": "Basic"},
        {"Authorization": "Basic ÿ"},
    ],
)
def test_whoever_is_not_the_switch_is_refused(client: Client, alice: Operator, headers: dict[str, str]) -> None:
    response = client.post(URL, question(), headers=headers)
    assert response.status_code == 401
    assert alice.sip_password_a1 not in response.content.decode()


def test_without_the_setting_nobody_is_answered(client: Client, alice: Operator, settings: Any) -> None:
    settings.DIRECTORY_PASSWORD = ""
    assert client.post(URL, question(), headers=log_in(password="")).status_code == 503


def test_it_is_asked_by_post_alone(client: Client, alice: Operator) -> None:
    assert client.get(URL, question(), headers=log_in()).status_code == 405


@given(
    st.text(max_size=40),
    st.sampled_from(["", "$${domain}", "${system rm}", '"><user id="9">', "X-PRE-PROCESS", "&", "]]>"]),
)
def test_whatever_a_name_is_the_files_stay_what_they_are(text: str, trap: str) -> None:
    operator = Operator(extension="1001", name=text + trap + text, sip_password_a1="0" * 32)
    written = directory.exported([operator])
    assert "$" not in written
    assert "x-pre-process" not in written.lower()
    users = ET.fromstring(written).findall("domain/users/user")
    assert [user.get("id") for user in users] == ["1001"]
    told = params(users[0])["agent-name"]
    assert told == "".join(char for char in operator.name if not directory._NO_XML.match(char))


# --- passwords ------------------------------------------------------------------------------------------------------


def test_of_a_password_only_its_hash_is_kept(alice: Operator) -> None:
    alice.refresh_from_db()
    assert alice.sip_password_a1 == md5(f"1001:{REALM}:{PASSWORD}")
    assert PASSWORD not in str(Operator.objects.values().get())


@pytest.mark.parametrize("password", ["short", "", "nine chars"[:9], "with a \n line end", "with a \0 in it"])
def test_a_password_nobody_should_have_is_refused(alice: Operator, password: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        actions.set_sip_password(alice.pk, REALM, password)
    assert list(refusal.value.message_dict) == ["phone_password"]


def test_another_extension_loses_the_password_that_was_hashed_for_the_old_one(alice: Operator) -> None:
    assert actions.update_operator(alice.pk, extension="1001").sip_password_a1
    assert not actions.update_operator(alice.pk, extension="1009").sip_password_a1


def change_page(operator: Operator) -> str:
    return reverse("admin:agents_operator_change", args=[operator.pk])


def test_a_supervisor_sets_a_phone_password_and_cannot_read_it_back(browser: Browser, alice: Operator) -> None:
    response = browser.send(change_page(alice), phone_password="a better one")
    assert response.status_code == 302
    alice.refresh_from_db()
    assert alice.sip_password_a1 == md5(f"1001:{REALM}:a better one")
    page = browser.client.get(change_page(alice)).content.decode()
    assert "a better one" not in page
    assert alice.sip_password_a1 not in page


def test_a_generated_phone_password_is_shown_once(browser: Browser, alice: Operator) -> None:
    response = browser.client.post(
        change_page(alice), {**browser.form(change_page(alice)), "make_phone_password": "on"}, follow=True
    )
    (told,) = (text for text in messages(response) if "password" in text)
    password = told.split("the password ")[1].split(".")[0]
    alice.refresh_from_db()
    assert alice.sip_password_a1 == md5(f"1001:{REALM}:{password}")
    assert password not in browser.client.get(change_page(alice)).content.decode()


def test_a_new_operator_gets_a_phone_password_at_once(browser: Browser, db: None) -> None:
    add = reverse("admin:agents_operator_add")
    assert browser.send(add, name="Bob", extension="1005", phone_password=PASSWORD).status_code == 302
    assert Operator.objects.get().sip_password_a1 == md5(f"1005:{REALM}:{PASSWORD}")


@pytest.mark.parametrize("password", ["short", "with a \x07 bell"])
def test_a_bad_phone_password_is_refused_at_the_field(browser: Browser, alice: Operator, password: str) -> None:
    assert list(faults(browser.send(change_page(alice), phone_password=password))) == ["phone_password"]


def test_saving_without_a_password_keeps_it(browser: Browser, alice: Operator) -> None:
    browser.send(change_page(alice), name="Alice B.")
    was = alice.sip_password_a1
    alice.refresh_from_db()
    assert (alice.name, alice.sip_password_a1) == ("Alice B.", was)


def test_made_passwords_differ_and_can_be_typed() -> None:
    made = {directory.new_password() for _ in range(50)}
    assert len(made) == 50
    assert all(len(password) == 16 and password.isalnum() for password in made)


# --- files ----------------------------------------------------------------------------------------------------------


def run(name: str, *args: Any, **options: Any) -> str:
    out = StringIO()
    call_command(name, *map(str, args), stdout=out, **options)
    return out.getvalue()


def test_what_is_exported_can_be_imported_and_nothing_is_lost(alice: Operator, tmp_path: Path) -> None:
    run("export_directory", tmp_path)
    kept = Operator.objects.filter(pk=alice.pk).values(*directory.PARAMETERS.values(), "name", "sip_password_a1").get()
    Operator.objects.all().delete()

    run("import_directory", tmp_path)

    assert Operator.objects.values(*kept).get(extension="1001") == kept


def test_exported_files_are_not_for_everyone_to_read(alice: Operator, tmp_path: Path) -> None:
    run("export_directory", tmp_path)
    assert (tmp_path / "operators.xml").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["operators.xml"]


def test_an_export_into_nowhere_says_so(alice: Operator, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"DIR: .*cannot be written"):
        run("export_directory", tmp_path / "missing")


VANILLA = """<?xml version="1.0" encoding="utf-8"?>
<include>
  <domain name="$${domain}">
    <params><param name="dial-string" value="x"/></params>
    <variables><variable name="cc_agent_wrap_up_time" value="30"/></variables>
    <groups>
      <group name="sales">
        <users>
          <user id="1001">
            <params><param name="password" value="$${default_password}"/><param name="vm-password" value="1"/></params>
            <variables>
              <variable name="agent" value="true"/>
              <variable name="effective_caller_id_name" value="Олена &amp; Co"/>
            </variables>
          </user>
          <user id="1002">
            <params>
              <param name="password" value="of his own"/>
              <param name="cc-agent" value="true"/>
              <param name="cc-agent-contact" value="{originate_timeout=22,presence_id=1@x}user/1002"/>
              <param name="cc-agent-max-no-answer" value="4"/>
              <param name="cc-agent-busy-delay-time" value="5"/>
              <param name="cc-agent-reject-delay-time" value="6"/>
              <param name="cc-agent-no-answer-delay-time" value="7"/>
              <param name="cc-agent-wrap-up-time" value="8"/>
            </params>
          </user>
          <user id="1003"><params><param name="password" value="x"/></params></user>
          <user id="1004" type="pointer"/>
        </users>
      </group>
    </groups>
  </domain>
</include>
"""


def agent(name: str, value: str) -> str:
    return f'''<user id="20">
        <params><param name="agent" value="true"/><param name="{name}" value="{value}"/></params>
    </user>'''


@pytest.fixture
def vanilla(tmp_path: Path) -> Path:
    (tmp_path / "default").mkdir()
    (tmp_path / "default.xml").write_text(VANILLA)
    (tmp_path / "default" / "1010.xml").write_text(
        '<include>\n<user id="1010"><variables><variable name="agent" value="1"/></variables></user>\n'
        '<user id="1011"><params><param name="a1-hash" value="' + "A" * 32 + '"/>'
        '<param name="agent" value="yes"/></params></user>\n</include>\n'
    )
    return tmp_path


@pytest.mark.django_db
def test_agents_of_a_directory_become_operators_with_their_parameters(vanilla: Path) -> None:
    told = run("import_directory", vanilla, set=["default_password=ten letters"])

    found = {him.extension: him for him in Operator.objects.all()}
    assert set(found) == {"1001", "1002", "1010", "1011"}
    olena, second = found["1001"], found["1002"]
    assert (olena.name, olena.wrap_up_time, olena.call_timeout) == ("Олена & Co", 30, 15)
    assert olena.sip_password_a1 == md5(f"1001:{REALM}:ten letters")
    assert second.sip_password_a1 == md5(f"1002:{REALM}:of his own")
    assert [getattr(second, name) for name in directory.PARAMETERS.values()] == [22, 8, 4, 5, 6, 7]
    assert found["1011"].sip_password_a1 == "a" * 32
    assert olena.status == "logged_out"
    assert "1 users are no agents (--all takes them): 1003\n" in told
    assert "1010: new, 1010 (no phone password)" in told
    assert "Not taken over, as it means nothing here: vm-password (1)" in told


@pytest.mark.django_db
def test_a_password_that_is_a_variable_of_the_switch_is_told(vanilla: Path) -> None:
    told = run("import_directory", vanilla)
    assert "(no phone password, or give the variable: --set default_password=VALUE)" in told
    assert not Operator.objects.get(extension="1001").sip_password_a1


@pytest.mark.django_db
def test_a_hash_for_another_domain_is_told_and_not_kept(tmp_path: Path) -> None:
    user = agent("a1-hash", "a" * 32)
    for domain in ("$${domain}", REALM):
        (tmp_path / "users.xml").write_text(f'<domain name="{domain}">{user}</domain>')
        run("import_directory", tmp_path)
        assert Operator.objects.get().sip_password_a1 == "a" * 32
        Operator.objects.all().delete()

    (tmp_path / "users.xml").write_text(f'<domain name="old.example">{user}</domain>')
    told = run("import_directory", tmp_path)
    assert "(no phone password, for that of the directory holds only at old.example)" in told
    assert not Operator.objects.get().sip_password_a1


@pytest.mark.django_db
def test_all_takes_those_who_are_no_agents_but_never_a_pointer(vanilla: Path) -> None:
    run("import_directory", vanilla, all=True)
    assert set(Operator.objects.values_list("extension", flat=True)) == {"1001", "1002", "1003", "1010", "1011"}


@pytest.mark.django_db
def test_a_dry_run_tells_the_same_and_writes_nothing(vanilla: Path) -> None:
    told = run("import_directory", vanilla, dry_run=True)
    assert not Operator.objects.exists()
    assert told == run("import_directory", vanilla) + "Nothing was written (--dry-run).\n"


@pytest.mark.django_db
def test_a_second_import_changes_nothing_and_keeps_what_the_directory_does_not_tell(vanilla: Path) -> None:
    run("import_directory", vanilla)
    Operator.objects.filter(extension="1010").update(name="Bob", wrap_up_time=99, call_timeout=33)
    Operator.objects.filter(extension="1002").update(call_timeout=1)

    told = run("import_directory", vanilla)

    bob = Operator.objects.get(extension="1010")
    assert (bob.name, bob.wrap_up_time, bob.call_timeout) == ("Bob", 99, 33)
    assert "1010: as he was" in told
    assert "1002: call_timeout 1 → 22" in told


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (agent("agent-busy-delay", "soon"),
         "bad.xml: user 20: agent-busy-delay is “soon”. Write a whole number."),
        (agent("agent-busy-delay", "$${b}"),
         "bad.xml: user 20: agent-busy-delay is “$${b}”. Write a whole number, or give the variable: --set b=VALUE."),
        (agent("agent-call-timeout", "0"),
         "bad.xml: user 20: call_timeout: "),
        ('<user id="2 0"><params><param name="agent" value="true"/></params></user>', "bad.xml: user 2 0: extension: "),
        (agent("a1-hash", "xyz"),
         "bad.xml: user 20: a1-hash is not 32 hexadecimal digits"),
        ('<user id="1002"><params><param name="agent" value="true"/></params></user>',
         "default.xml: user 1002 is in bad.xml too"),
        ('<user><params/></user>', "bad.xml: a user has no id."),
        ('<user id="20">', "bad.xml: it is not XML"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><user id="&a;"/>', "bad.xml: it is not XML"),
        ('<user id="&a;"/>', "bad.xml: it is not XML"),
    ],
)  # fmt: skip
def test_with_a_fault_nothing_is_written_and_it_is_told_by_file_and_user(vanilla: Path, text: str, fault: str) -> None:
    (vanilla / "bad.xml").write_text(text)
    with pytest.raises(CommandError) as refusal:
        run("import_directory", vanilla)
    assert fault in str(refusal.value)
    assert "Nothing was written, 1 faults" in str(refusal.value)
    assert not Operator.objects.exists()


@pytest.mark.django_db
def test_a_file_in_another_encoding_is_a_fault(vanilla: Path) -> None:
    (vanilla / "bad.xml").write_bytes('<user id="ü"/>'.encode("latin-1"))
    with pytest.raises(CommandError, match=r"bad\.xml: it is not UTF-8"):
        run("import_directory", vanilla)


@pytest.mark.django_db
def test_a_path_that_cannot_be_read_and_a_bad_assignment_are_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"PATH: .* cannot be read"):
        run("import_directory", tmp_path / "missing.xml")
    with pytest.raises(CommandError, match="--set: “x” is not NAME=VALUE"):
        run("import_directory", tmp_path, set=["x"])


@pytest.mark.django_db
def test_one_file_is_read_alone(vanilla: Path) -> None:
    reading = directory_files.read(vanilla / "default" / "1010.xml", REALM, {})
    assert [found.extension for found in reading.operators] == ["1010", "1011"]
    assert reading.files == 1
