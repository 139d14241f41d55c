"""The switch's configuration: whole, shut, and what it tells us is what we listen for."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.urls import resolve

from agents import directory
from agents.models import OperatorStatus
from dialer import switch_door
from dialer.esl.wire import Event
from dialer.switch import events
from tests.docker import compose
from tests.docker.compose import DOCKER
from tests.docker.conftest import SITE

SWITCH = DOCKER / "freeswitch"
CONF = SWITCH / "conf"
FILES = sorted(CONF.rglob("*.xml"))
BUILT_IN = {"local_ip_v4"}


def xml(name: str) -> ET.Element:
    return ET.fromstring((CONF / name).read_text())


def settings(name: str) -> dict[str, list[str]]:
    """Return the params of a file, by name."""
    found: dict[str, list[str]] = {}
    for param in xml(name).iter("param"):
        found.setdefault(param.attrib["name"], []).append(param.attrib["value"])
    return found


def start(tmp_path: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run start.sh with a switch that only says what it was told."""
    told = tmp_path / "told"
    told.write_text('#!/bin/sh\necho "arguments: $*"\nenv\n')
    told.chmod(0o755)
    env = {
        "PATH": os.environ["PATH"], **SITE, "FREESWITCH": str(told), "STATE_DIR": str(tmp_path / "state"),
        "RECORDINGS_DIR": str(tmp_path / "recordings"), "SPOOL_DIR": str(tmp_path / "spool"),
        "CERTS_DIR": str(tmp_path / "certs"), "RUN_DIR": str(tmp_path / "run"), **changes,
    }  # fmt: skip
    return subprocess.run(["sh", str(SWITCH / "start.sh")], env=env, capture_output=True, text=True)


# --- whole ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CONF)))
def test_the_files_are_xml(file: Path) -> None:
    ET.fromstring(file.read_text())


def test_the_example_of_a_gateway_is_xml_and_is_not_read_as_one() -> None:
    example = SWITCH / "local/gateways/carrier.xml.example"
    assert ET.fromstring(example.read_text()).find("gateway") is not None
    assert not list((SWITCH / "local").rglob("*.xml"))


def test_every_variable_comes_from_the_environment_that_start_sh_makes(tmp_path: Path) -> None:
    variables = (CONF / "vars.xml").read_text()
    defined = dict(re.findall(r'cmd="env-set" data="(\w+)=\$(\w+)"', variables))
    used = {name for file in FILES for name in re.findall(r"\$\$\{(\w+)\}", file.read_text())}
    assert used - BUILT_IN == set(defined)
    told = start(tmp_path).stdout
    for environment in defined.values():
        assert environment == "BIND_IP" or re.search(rf"^{environment}=.", told, re.MULTILINE), environment


def test_what_is_included_is_there() -> None:
    for file in FILES:
        for pattern in re.findall(r'cmd="include" data="([^"$]+)"', file.read_text()):
            assert (
                list(file.parent.glob(pattern))
                or list(file.parent.resolve().glob(pattern.removeprefix("../")))
                or (list((file.parent / pattern).parent.resolve().glob(Path(pattern).name)))
            ), f"{file.name}: {pattern}"
    folders = set(re.findall(r'data="\$\$\{local_dir\}/(\w+)/', "".join(file.read_text() for file in FILES)))
    folders |= {"music"}
    assert folders == {path.name for path in (SWITCH / "local").iterdir() if path.is_dir()}


def test_the_modules_it_cannot_do_without_are_loaded_or_it_does_not_start() -> None:
    modules = {
        item.attrib["module"]: item.get("critical") for item in xml("autoload_configs/modules.conf.xml").iter("load")
    }
    assert {
        "mod_event_socket", "mod_xml_curl", "mod_json_cdr", "mod_sofia", "mod_dptools", "mod_commands",
        "mod_dialplan_xml", "mod_tone_stream", "mod_local_stream", "mod_sndfile", "mod_loopback", "mod_logfile",
    } == set(modules)  # fmt: skip
    assert set(modules.values()) == {"true"}


# --- shut -----------------------------------------------------------------------------------------------------------


def test_the_event_socket_has_a_password_of_the_site_and_a_list_of_who_may_come() -> None:
    socket = settings("autoload_configs/event_socket.conf.xml")
    assert socket["password"] == ["$${event_socket_password}"]
    assert socket["apply-inbound-acl"] == ["dialer"]
    assert socket["listen-ip"] == ["$${event_socket_address}"]
    lists = {item.attrib["name"]: item for item in xml("autoload_configs/acl.conf.xml").iter("list")}
    assert lists["dialer"].get("default") == lists["nobody"].get("default") == "deny"
    assert [node.get("cidr") for node in lists["dialer"]] == [
        "$${event_socket_allow}",
        "$${event_socket_address}/32",
    ]
    assert not list(lists["nobody"])


def test_no_file_holds_a_password() -> None:
    for file in FILES:
        for name, value in re.findall(r'name="([^"]*(?:password|cred)[^"]*)" value="([^"]*)"', file.read_text()):
            assert re.search(r"\$\$\{\w+_password\}$", value), f"{file.name}: {name}"


def test_phones_need_a_password_and_are_only_themselves() -> None:
    phones = settings("sip_profiles/internal.xml")
    assert phones["auth-calls"] == phones["inbound-reg-force-matching-username"] == ["true"]
    assert phones["accept-blind-reg"] == phones["accept-blind-auth"] == ["false"]
    assert phones["challenge-realm"] == phones["force-register-domain"] == ["$${domain}"]
    assert phones["context"] == ["public"]
    assert "wss-binding" in phones


def test_carriers_bring_no_calls() -> None:
    carriers = settings("sip_profiles/external.xml")
    assert carriers["apply-inbound-acl"] == carriers["apply-register-acl"] == ["nobody"]
    assert carriers["context"] == ["public"]


def test_no_phone_sends_a_call_elsewhere_unless_that_is_allowed(tmp_path: Path) -> None:
    assert settings("sip_profiles/external.xml")["disable-transfer"] == ["true"]
    assert settings("sip_profiles/internal.xml")["disable-transfer"] == ["$${no_transfers}"]
    assert "\nNO_TRANSFERS=true\n" in start(tmp_path).stdout
    assert "\nNO_TRANSFERS=true\n" in start(tmp_path, PHONE_TRANSFERS="false").stdout
    assert "\nNO_TRANSFERS=false\n" in start(tmp_path, PHONE_TRANSFERS="true").stdout
    refused = start(tmp_path, PHONE_TRANSFERS="perhaps")
    assert refused.returncode != 0
    assert "PHONE_TRANSFERS" in refused.stderr


def applications(name: str) -> list[tuple[str, str]]:
    return [(item.attrib["application"], item.get("data", "")) for item in xml(f"dialplan/{name}.xml").iter("action")]


def test_strangers_are_hung_up_on() -> None:
    assert applications("public") == [("hangup", "CALL_REJECTED")]


def test_phones_can_dial_service_numbers_and_where_it_is_allowed_colleagues() -> None:
    assert {name for name, _ in applications("default")} == {"answer", "event", "playback", "hangup", "bridge"}
    (context,) = [xml("dialplan/default.xml")]
    *service, colleague, last = context.findall("extension")
    assert [item.get("data") for item in last.iter("action")] == ["CALL_REJECTED"]
    conditions = {item.get("field"): item.get("expression") for item in colleague.findall("condition")}
    assert conditions["${no_transfers}"] == "^false$"
    assert conditions["${user_exists(id ${destination_number} $${domain})}"] == "^true$"
    assert [item.get("data") for item in colleague.iter("action")] == ["user/${destination_number}@$${domain}"]
    for extension in service:
        conditions = {item.get("field"): item.get("expression") for item in extension.findall("condition")}
        assert conditions["${sip_authorized}"] == "^true$"
        assert set(conditions) == {"${sip_authorized}", "${user_name}", "destination_number"}


def test_each_service_number_asks_for_a_status_that_there_is() -> None:
    asked: dict[str, str] = {}
    for extension in xml("dialplan/default.xml").findall("extension")[:-2]:
        (number,) = (
            c.attrib["expression"] for c in extension.iter("condition") if c.get("field") == "destination_number"
        )
        (data,) = (a.attrib["data"] for a in extension.iter("action") if a.get("application") == "event")
        headers = dict(pair.split("=", 1) for pair in data.split(","))
        assert headers.pop("extension") == "${user_name}", "who he is comes from his log-in"
        told = events.parse(Event({**headers, "extension": "1001", "Event-Date-Timestamp": "1795000000000000"}))
        assert isinstance(told, events.StatusWanted)
        assert told.extension == "1001"
        asked[number] = told.status
    assert asked == {
        r"^\*50$": OperatorStatus.AVAILABLE, r"^\*51$": OperatorStatus.LOGGED_OUT, r"^\*52$": OperatorStatus.ON_BREAK,
        r"^\*53$": "ready", r"^\*54$": OperatorStatus.ON_DEMAND,
    }  # fmt: skip
    assert "dialer::status" in events.SUBSCRIPTION


def test_the_guide_tells_the_service_numbers_and_the_services_that_there_are() -> None:
    guide = (DOCKER / "README.md").read_text()
    numbers = re.findall(r"(?m)^\| `(\*\d+)` \|", guide)
    dialled = re.findall(r'"\^\\(\*\d+)\$"', (CONF / "dialplan/default.xml").read_text())
    assert sorted(numbers) == sorted(dialled)
    assert len(numbers) == 5
    table = guide.partition("| service | what it does |")[2].partition("\n\n")[0]
    told = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert told == set(compose.load("compose.yaml", SITE)["services"])


# --- what it asks and tells us ----------------------------------------------------------------------------------------


def test_it_asks_for_users_where_we_answer() -> None:
    asked = settings("autoload_configs/xml_curl.conf.xml")
    (url,) = asked["gateway-url"]
    assert resolve(url.removeprefix("$${app_url}")).func == directory.serve
    assert asked["gateway-credentials"] == [f"{switch_door.USERNAME}:$${{directory_password}}"]
    assert {"user"} <= set(asked["enable-post-var"]), "else all variables of a call are sent"


def test_it_sends_call_records_where_we_take_them_and_spools_what_we_did_not() -> None:
    records = settings("autoload_configs/json_cdr.conf.xml")
    (url,) = records["url"]
    assert resolve(url.removeprefix("$${app_url}"))
    assert records["cred"] == ["freeswitch:$${cdr_password}"]
    assert records["log-http-and-disk"] == ["false"]
    assert records["err-log-dir"] == ["$${spool_dir}"]
    assert int(records["queue-capacity"][0]) > 0, "else the end of each call waits for us"
    assert records["encode"] == ["false"], "else the spool holds no JSON"


# --- its start --------------------------------------------------------------------------------------------------------


def test_it_starts_in_the_foreground_with_our_folders(tmp_path: Path) -> None:
    started = start(tmp_path)
    assert started.returncode == 0, started.stderr
    (arguments,) = re.findall(r"arguments: (.*)", started.stdout)
    assert arguments.startswith("-nc -nonat -nf ")
    assert f"-recordings {tmp_path}/recordings" in arguments
    assert (tmp_path / "spool").is_dir()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"EVENT_SOCKET_PASSWORD": ""}, "EVENT_SOCKET_PASSWORD is not set"),
        ({"CDR_PASSWORD": "ClueCon"}, "CDR_PASSWORD is shorter than 16 characters"),
        ({"DIRECTORY_PASSWORD": 'x"/><param name="y"'}, "DIRECTORY_PASSWORD has other characters"),
        ({"SIP_DOMAIN": ""}, "SIP_DOMAIN is not set. Set it to"),
        ({"SIP_DOMAIN": "$${x}"}, "SIP_DOMAIN is “$${x}”. Set it to"),
        ({"EXTERNAL_IP": ""}, "EXTERNAL_IP is not set. Set it to"),
        ({"EVENT_SOCKET_ADDRESS": "::"}, "EVENT_SOCKET_ADDRESS is “::”. Set it to"),
        ({"APP_URL": "http://web <x>"}, "APP_URL is “http://web <x>”"),
        ({"RTP_START_PORT": "many"}, "RTP_START_PORT is “many”. Set it to a whole number."),
        ({"SPOOL_DIR": "/proc/spool"}, "/proc/spool cannot be written"),
    ],
)
def test_what_is_missing_or_could_be_misread_stops_it(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    started = start(tmp_path, **changes)
    assert started.returncode == 64
    assert said in started.stderr
    assert not started.stdout


def test_an_empty_address_leaves_the_choice_to_the_switch(tmp_path: Path) -> None:
    assert "BIND_IP" not in start(tmp_path, BIND_IP="").stdout
    assert "BIND_IP=10.0.0.6" in start(tmp_path, BIND_IP="10.0.0.6").stdout


def test_the_scripts_can_be_run() -> None:
    for name in ("start.sh", "cli"):
        assert os.access(SWITCH / name, os.X_OK), name


def test_a_user_of_ours_speaks_of_the_context_of_phones(db: Any) -> None:
    answered = directory.answer([])
    assert xml("dialplan/default.xml").get("name") == "default"
    assert "sofia_contact" in answered
