"""The compose files hold together: valid, complete, shut, and every command in them exists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from celery.bin.base import CLIContext
from celery.bin.celery import celery
from django.core.management import get_commands, load_command_class
from uvicorn.main import main as uvicorn

from dialer.celery import app as celery_app
from tests.docker import compose
from tests.docker.compose import DOCKER, ROOT
from tests.docker.conftest import SECRETS, SETTINGS, SITE

Services = dict[str, dict[str, Any]]
ONCE = {"volumes", "migrate"}
"""Steps that end."""


def is_ours(service: dict[str, Any]) -> bool:
    return "progressive-dialer" in service["image"]


# --- the files ------------------------------------------------------------------------------------------------------


def test_the_files_are_compose_files(file: str, loaded: dict[str, Any], tmp_path: Path) -> None:
    written = tmp_path / "compose.json"
    written.write_text(json.dumps(loaded))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(written)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_file_that_is_none_is_noticed(tmp_path: Path) -> None:
    written = tmp_path / "compose.json"
    written.write_text('{"services": {"web": {"imagge": "x"}}}')
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(written)]
    assert subprocess.run(command, capture_output=True).returncode != 0


def test_the_files_are_tidy_yaml() -> None:
    rules = (
        "{extends: default, rules: {line-length: {max: 140, allow-non-breakable-words: true}, document-start: disable,"
        " comments: {min-spaces-from-content: 1}, truthy: {allowed-values: ['true', 'false']}}}"
    )
    files = [str(DOCKER / name) for name in compose.FILES]
    checked = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "-d", rules, *files], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("a ${A} b", "a 1 b"),
        ("${B:-2}${A:-2}", "21"),
        ("${B:-x${A:?no}y}", "x1y"),
        ("$$A ${B}", "$A "),
        ("${A:-x${B:?not asked for}}", "1"),
    ],
)
def test_settings_are_put_in_as_compose_does(text: str, filled: str) -> None:
    assert compose.interpolate(text, {"A": "1", "B": ""}) == filled


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "name"),
    [(file, name) for file, settings in SETTINGS.items() for name in settings if name in compose.names(file)],
)
def test_whatever_is_missing_stops_the_start_and_says_what_to_set(file: str, name: str) -> None:
    left = {key: value for key, value in SETTINGS[file].items() if key != name}
    with pytest.raises(compose.Missing, match=rf"^{name}: (set it to|set it as|run docker/make-secrets\.sh)"):
        compose.load(file, left)


def test_no_secret_has_a_default(file: str) -> None:
    text = (DOCKER / file).read_text()
    for name in compose.names(file):
        if name == "PHONE_TURN_SECRET":  # of a server that most sites do without
            assert f"${{{name}:-}}" in text
        elif name in SECRETS or "PASSWORD" in name or "SECRET" in name:
            assert set(re.findall(rf"\$\{{{name}(.{{2}})", text)) == {":?"}, name


def test_the_example_tells_every_setting_and_no_secret() -> None:
    told = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    assert set(told) == compose.names("compose.yaml")
    assert not any(told[name] for name in (*SECRETS, *SITE))


def test_the_defaults_of_the_example_are_those_of_the_file() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    told = dict(re.findall(r"^#([A-Z_]+)=(.+)$", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    shown_otherwise = {"HTTPS", "CSRF_TRUSTED_ORIGINS", "ESL_BACKEND", "PHONE_WSS_URL", "PHONE_ICE_SERVERS"}
    for name, value in told.items():
        if name not in shown_otherwise:
            assert set(re.findall(rf"\$\{{{name}:-([^}}]*)", text)) == {value}, name


def test_every_setting_of_the_dialer_is_one_that_it_reads(services: Services) -> None:
    known = set(
        re.findall(r'\b(?:text|switch|number|words)\(\s*"([A-Z_]+)"', (ROOT / "dialer/settings.py").read_text())
    )
    known |= {"WEB_CONCURRENCY"}  # uvicorn's own
    for name, service in services.items():
        if is_ours(service):
            assert set(service.get("environment", {})) <= known, name


def test_every_setting_of_the_switch_is_one_that_it_reads(services: Services) -> None:
    start = (DOCKER / "freeswitch/start.sh").read_text()
    for setting in services["freeswitch"]["environment"]:
        assert re.search(rf"\b{setting}\b", start), setting


def test_web_and_switch_have_the_same_secrets_and_folders() -> None:
    services = compose.load("compose.yaml", SITE)["services"]
    web, switch = services["web"]["environment"], services["freeswitch"]["environment"]
    for name in ("DIRECTORY_PASSWORD", "CDR_PASSWORD", "SIP_DOMAIN"):
        assert web[name] == switch[name]
    assert f":{switch['EVENT_SOCKET_PASSWORD']}@switch:8021" in web["FREESWITCH_URL"]
    assert web["RECORDINGS_DIR"] == "/var/lib/freeswitch/recordings"
    assert "web" in web["ALLOWED_HOSTS"].split(","), "the switch asks http://web:8000"
    assert switch["APP_URL"] == "http://web:8000"


# --- what refers to what --------------------------------------------------------------------------------------------


def test_whatever_a_service_refers_to_exists(loaded: dict[str, Any], services: Services) -> None:
    volumes, networks = loaded["volumes"], loaded.get("networks", {})
    used = set()
    for name, service in services.items():
        for mount in service.get("volumes", []):
            source, target = mount.split(":")[:2]
            assert target.startswith("/"), name
            if source.startswith("."):
                assert (DOCKER / source).is_dir(), f"{name}: {source}"
                assert mount.endswith(":ro"), f"{name}: {source}"
            else:
                assert source in volumes, f"{name}: {source}"
                used.add(source)
        for network in service.get("networks", []):
            assert network in networks, f"{name}: {network}"
        for other, how in service.get("depends_on", {}).items():
            assert other in services, f"{name}: {other}"
            if how["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"], f"{name} waits for {other} to be healthy"
            else:
                assert other in ONCE, f"{name} waits for {other} to end"
    assert used == set(volumes)


def test_nothing_of_the_dialer_starts_before_the_database_is_migrated() -> None:
    services = compose.load("compose.yaml", SITE)["services"]
    for name, service in services.items():
        if is_ours(service) and name not in ONCE:
            assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully", name
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert "migrate" in services["migrate"]["command"]


def test_whoever_writes_a_shared_folder_waits_until_it_is_his(services: Services) -> None:
    shared = {"switch", "recordings", "spool", "certs"}
    given = {mount.split(":")[1] for mount in services["volumes"]["volumes"]}
    assert set(services["volumes"]["command"][2:]) == given
    for name, service in services.items():
        mounts = [mount for mount in service.get("volumes", []) if mount.split(":")[0] in shared]
        if name != "volumes" and any(not mount.endswith(":ro") for mount in mounts):
            assert "volumes" in service["depends_on"], name


def test_every_kind_of_process_is_there_once_and_the_clock_is_one() -> None:
    services = compose.load("compose.yaml", SITE)["services"]
    assert set(services) == {
        "volumes", "migrate", "web", "dial", "worker", "uploads", "beat", "listener", "cdr", "freeswitch", "postgres",
        "redis",
    }  # fmt: skip
    assert "deploy" not in services["beat"]


# --- commands -------------------------------------------------------------------------------------------------------


def commands(service: dict[str, Any]) -> list[list[str]]:
    """Return the commands of a service, those in a shell's line and that of its health too."""
    given: list[list[str]] = []
    test = service.get("healthcheck", {}).get("test")
    for command in (service.get("command"), test[1:] if test and test[0] == "CMD" else None):
        if command and command[:2] == ["sh", "-c"]:
            given += [found.split() for found in re.findall(r"python manage\.py [^;|&]+", command[2])]
        elif command:
            given.append(command)
    return given


def parses(command: list[str]) -> bool:
    """Tell whether a command of ours exists and takes these arguments; raises what it says when it does not."""
    match command:
        case ["python", "manage.py", name, *arguments]:
            loaded = load_command_class(get_commands()[name], name)
            loaded.create_parser("manage.py", name).parse_args(arguments)
        case ["celery", *arguments]:
            context = celery.make_context("celery", list(arguments))
            assert context.params["app"] == "dialer"
            context.obj = CLIContext(app=celery_app, no_color=True, workdir=None)
            left = [*context._protected_args, *context.args]
            _, subcommand, rest = celery.resolve_command(context, left)
            assert subcommand is not None
            subcommand.make_context(left[0], rest, parent=context)
        case ["uvicorn", *arguments]:
            uvicorn.make_context("uvicorn", list(arguments))
        case ["chown", *_]:
            return True
        case _:
            return False
    return True


def test_every_command_exists_and_takes_its_arguments(services: Services) -> None:
    for name, service in services.items():
        if is_ours(service):
            assert commands(service), name
            for command in commands(service):
                assert parses(command), f"{name}: {command}"


@pytest.mark.parametrize(
    "command",
    [
        ["python", "manage.py", "listen", "--nodes", "x"],
        ["celery", "-A", "dialer", "worker", "-Q", "dial", "--no-such-option"],
        ["uvicorn", "dialer.asgi:application", "--prot", "8000"],
    ],
)
def test_a_command_that_does_not_parse_is_noticed(command: list[str]) -> None:
    with pytest.raises((click.UsageError, SystemExit, Exception), match=r".") as noticed:
        parses(command)
    assert "no such option" in str(noticed.value).lower() or "unrecognized" in str(noticed.value).lower()


def test_each_process_says_how_it_is(services: Services) -> None:
    without = {name for name, service in services.items() if service.get("healthcheck", {}).get("disable")}
    for name, service in services.items():
        assert name in without or "test" in service["healthcheck"], name
    assert without <= {*ONCE, "cdr"}, "steps that end, and a loop that says everything in its log"


# --- shut -----------------------------------------------------------------------------------------------------------


def test_nothing_that_stays_runs_as_root_or_may_become_it(services: Services) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
        if name == "volumes":
            assert (service["user"], service["cap_add"], service["network_mode"]) == ("0:0", ["CHOWN"], "none")
        else:
            assert service["user"] in {"10001:10001", "postgres", "redis"}, name
            assert "cap_add" not in service, name
        if name != "postgres":
            assert service["read_only"] is True, name


def test_what_dies_comes_back(services: Services) -> None:
    for name, service in services.items():
        assert service["restart"] == ("no" if name in ONCE else "unless-stopped"), name
        if name not in ONCE:
            assert service["logging"]["options"]["max-size"], f"{name} fills the disk with its log"


def test_database_broker_and_event_socket_cannot_be_reached_from_outside() -> None:
    loaded = compose.load("compose.yaml", SITE)
    networks, services = loaded["networks"], loaded["services"]
    assert networks["data"]["internal"]
    assert networks["control"]["internal"]
    assert services["postgres"]["networks"] == services["redis"]["networks"] == ["data"]
    assert "data" not in services["freeswitch"]["networks"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == {"web", "freeswitch"}
    assert published["web"] == ["127.0.0.1:8000:8000"]
    ports = {port.rpartition(":")[2].partition("/")[0] for port in published["freeswitch"]}
    assert ports == {"5060", "5080", "7443", "16384-16583"}
    switch = services["freeswitch"]
    control = switch["networks"]["control"]
    assert switch["environment"]["EVENT_SOCKET_ADDRESS"] == control["ipv4_address"]
    assert control["aliases"] == ["switch"], "the name of the service also means its address in the other network"
    assert switch["environment"]["EVENT_SOCKET_ALLOW"] == networks["control"]["ipam"]["config"][0]["subnet"]


def test_ports_that_sip_tells_are_the_same_inside_and_outside() -> None:
    moved = SITE | {"PHONE_SIP_PORT": "6060", "RTP_START_PORT": "20000", "RTP_END_PORT": "20099", "WSS_PORT": "8443"}
    switch = compose.load("compose.yaml", moved)["services"]["freeswitch"]
    for port in switch["ports"]:
        outside, inside = port.partition("/")[0].split(":")
        assert outside == inside
    assert switch["environment"]["PHONE_SIP_PORT"] == "6060"
    assert "20000-20099:20000-20099/udp" in switch["ports"]


def test_images_are_pinned(services: Services) -> None:
    for name, service in services.items():
        if not is_ours(service):
            assert re.search(r":\d+\.\d+(\.\d+)?(-[a-z]+)?(@sha256:[0-9a-f]{64})?$", service["image"]), name
    assert "@sha256:" in services["freeswitch"]["image"], "a volunteer's image, which could be replaced"


def test_what_must_stay_has_a_volume() -> None:
    services = compose.load("compose.yaml", SITE)["services"]
    assert "postgres:/var/lib/postgresql" in services["postgres"]["volumes"], "where PostgreSQL 18 keeps its data"
    switch = services["freeswitch"]["volumes"]
    assert "recordings:/var/lib/freeswitch/recordings" in switch
    assert "spool:/var/spool/freeswitch/cdr" in switch
    assert "spool:/var/spool/freeswitch/cdr" in services["cdr"]["volumes"]
    assert "recordings:/var/lib/freeswitch/recordings:ro" in services["web"]["volumes"]


# --- secrets --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("make-secrets.sh", ".env.example"):
        (tmp_path / name).write_bytes((DOCKER / name).read_bytes())
    return tmp_path


def make_secrets(folder: Path) -> str:
    return subprocess.run(["sh", str(folder / "make-secrets.sh")], capture_output=True, text=True, check=True).stdout


def env(folder: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", (folder / ".env").read_text(), re.MULTILINE))


def test_secrets_are_made_once_for_one_pair_of_eyes(folder: Path) -> None:
    told = make_secrets(folder)
    made = env(folder)
    assert all(re.fullmatch("[A-Za-z0-9]{40}", made[name]) for name in SECRETS)
    assert len({made[name] for name in SECRETS}) == len(SECRETS)
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert "Still to set in docker/.env: SIP_DOMAIN" in told
    assert not any(made[name] in told for name in SECRETS)

    make_secrets(folder)
    assert env(folder) == made


def test_a_secret_that_is_set_is_kept_and_a_new_one_is_added(folder: Path) -> None:
    (folder / ".env").write_text("SECRET_KEY=mine\nSIP_DOMAIN=sip.example.org\n")
    told = make_secrets(folder)
    made = env(folder)
    assert made["SECRET_KEY"] == "mine"
    assert len(made["CDR_PASSWORD"]) == 40
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert "SIP_DOMAIN" not in told


def test_what_was_made_is_enough_with_what_is_asked_for(folder: Path) -> None:
    make_secrets(folder)
    asked = {name: SITE[name] for name in ("SIP_DOMAIN", "EXTERNAL_IP", "ALLOWED_HOSTS")}
    assert compose.load("compose.yaml", env(folder) | asked)


def test_the_secrets_are_in_no_commit_and_no_image() -> None:
    assert ".env" in (DOCKER / ".gitignore").read_text().split()
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in ignored
    assert not any(line.startswith("!docker") for line in ignored)


def test_yaml_without_a_doubled_key(file: str) -> None:
    class Strict(yaml.SafeLoader):
        pass

    def once(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(keys) == len(set(keys)), f"{file}:{node.start_mark.line}: {keys}"
        return {}

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, once)
    yaml.load((DOCKER / file).read_text(), Strict)
