"""The commands of the README, run as they are printed, one after the other, against a server."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from dialer import verbs
from members.models import DoNotCall, Member
from members.uploads import staging
from tests import factories
from tests.api.conftest import PASSWORD, user_in

README = Path(__file__).parents[2] / "README.md"
LIST = "Ім'я;Телефон;Борг\nАнна;+380501112200;20\nБогдан;немає;0\nГанна;+380501112201;5\n"

pytestmark = pytest.mark.django_db(transaction=True, reset_sequences=True)


def commands() -> list[str]:
    """Return the commands of the section on REST, each with the lines that it goes on in."""
    (section,) = re.findall(r"^## REST API\n(.*?)^## ", README.read_text(), re.DOTALL | re.MULTILINE)
    found: list[str] = []
    for block in re.findall(r"^```\n(.*?)^```", section, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith(("curl", "HOST=", "KEY=", "HEADERS=")):
                found.append(line)
            elif line.startswith(" "):
                found[-1] += f"\n{line}"
    return found


def test_the_commands_do_what_they_are_said_to(
    live_server: Any, tmp_path: Path, settings: Any, monkeypatch: Any
) -> None:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    monkeypatch.setattr(verbs, "send", lambda task, *args, queue="": None)
    factories.make_route()
    campaign = factories.make_campaign()
    operator = factories.make_operator(campaign)
    assert (campaign.pk, operator.pk) == (1, 1)
    user_in("Integration", "crm")
    (tmp_path / "list.csv").write_bytes(LIST.encode("windows-1251"))
    before: list[str] = []

    def run(command: str) -> Any:
        """Run a command in the shell that has run those before; return what it printed."""
        if not command.startswith("curl"):
            before.append(command)
            return None
        command = command.replace("curl -s", "curl -s --fail-with-body", 1)
        done = subprocess.run(
            ["bash", "-c", "\n".join([*before, command])], cwd=tmp_path, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout else None

    host, log_in, key, headers, add, report, *rest = commands()
    run(host.replace("http://127.0.0.1:8000", live_server.url))
    given = run(log_in.replace('"…"', f'"{PASSWORD}"'))
    run(
        key.replace("X-Key: …", f"X-Key: {given['key']}").replace(
            "X-Access-Token: …", f"X-Access-Token: {given['token']}"
        )
    )
    run(headers)

    assert run(add)["run"] == "STARTED"
    assert "/status" in report, "it needs a call, which tests/api/test_results.py has"
    told: dict[str, Any] = {}
    for command in rest:
        (what,) = re.findall(r"\$HOST/api/v2/([^\s\"?]+)", command)
        told[what] = run(command)
        if what.endswith(("/check", "/load", "/undo")):
            staging.work(1)

    assert told["dialer/1/uploads"]["state"] == "new"
    assert [row["cells"][0] for row in told["uploads/1/preview"]["rows"]] == ["Анна", "Богдан", "Ганна"]
    assert (told["uploads/1"]["state"], told["uploads/1"]["good"], told["uploads/1"]["faulty"]) == ("checked", 2, 1)
    assert told["uploads/1/load"]["state"] == "loading"
    assert "Богдан;немає" in (tmp_path / "rejected.csv").read_text("utf-8-sig")
    assert [member.name for member in Member.objects.visible()] == ["Anna"], "the upload was undone"
    assert [entry["number"] for entry in told["do-not-call"]["results"]] == ["380501112244", "380501112233"]
    assert told["do-not-call/remove"] == {"removed": 1}
    assert list(DoNotCall.objects.values_list("campaign", flat=True)) == [1]
    with (tmp_path / "members.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.DictReader(file)) == []
    sheet: Any = openpyxl.load_workbook(tmp_path / "members.xlsx").active
    assert list(sheet.values) == [("name", "number_1", "var:debt", "last_cause"), ("Anna", "099998888", 20000, None)]
    assert (tmp_path / "attempts.csv").read_text("utf-8-sig").startswith("attempt,member,")
