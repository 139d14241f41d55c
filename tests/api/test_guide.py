"""The commands of the README, run as they are printed, one after the other, against a server."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from dialer import verbs
from members.models import DoNotCall, Member
from members.uploads import staging
from tests import factories
from tests.api.conftest import PASSWORD, user_in
from tests.engine.story import Story

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


@dataclass
class Reader:
    """Somebody who copies the commands into a shell, one after the other; those that set variables hold for all."""

    folder: Path
    before: list[str] = field(default_factory=list)

    def run(self, command: str) -> Any:
        """Run a command; return what it printed."""
        if not command.startswith("curl"):
            self.before.append(command)
            return None
        command = command.replace("curl -s", "curl -s --fail-with-body", 1)
        script = "\n".join([*self.before, command])
        done = subprocess.run(["bash", "-c", script], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout else None

    def log_in(self, address: str) -> list[str]:
        """Run the commands up to the log-in, as ``crm``; return those that follow."""
        user_in("Integration", "crm")
        host, log_in, key, headers, *rest = commands()
        self.run(host.replace("http://127.0.0.1:8000", address))
        given = self.run(log_in.replace('"…"', f'"{PASSWORD}"'))
        key = key.replace("X-Key: …", f"X-Key: {given['key']}")
        self.run(key.replace("X-Access-Token: …", f"X-Access-Token: {given['token']}"))
        self.run(headers)
        return rest


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def test_the_result_of_a_call_is_reported(live_server: Any, reader: Reader) -> None:
    story = Story(wait_for_result=True)
    assert (story.campaign.pk, story.member.pk) == (1, 1)
    story.talk(20)
    _add, report, *_rest = reader.log_in(live_server.url)
    assert reader.run(report) == {"attempt": story.attempt.pk, "result": "applied"}
    attempt, _operator, member = story.now()
    assert (attempt.comment, member.due_at) == ("Asked for a call at work", story.at(25 + 600))
    assert member.next_communication is not None
    assert member.next_communication.digits == "0501234567"


def test_the_commands_do_what_they_are_said_to(
    live_server: Any, reader: Reader, tmp_path: Path, settings: Any, monkeypatch: Any
) -> None:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    monkeypatch.setattr(verbs, "send", lambda task, *args, queue="": None)
    factories.make_route()
    campaign = factories.make_campaign()
    operator = factories.make_operator(campaign)
    assert (campaign.pk, operator.pk) == (1, 1)
    (tmp_path / "list.csv").write_bytes(LIST.encode("windows-1251"))

    add, _report, *rest = reader.log_in(live_server.url)
    assert reader.run(add)["run"] == "STARTED"
    told: dict[str, Any] = {}
    for command in rest:
        (what,) = re.findall(r"\$HOST/api/v2/([^\s\"?]+)", command)
        told[what] = reader.run(command)
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
