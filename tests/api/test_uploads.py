"""Uploads over REST: a file is sent, read as is said, checked, loaded, mended, and taken out again."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile

from campaigns.models import Campaign
from members.models import DoNotCall, Member
from members.uploads import staging
from members.uploads.models import Upload, UploadTemplate
from tests import factories
from tests.api.conftest import Caller, caller_for, faults, problem, user_in

pytestmark = pytest.mark.django_db

LIST = "name;number_1;number_2;debt\nАнна;+380501112233;101;20\nБогдан;102;;0\nГанна;abc;;5\nДмитро;102;;7\n"
COLUMNS = [
    {"destination": "name"},
    {"destination": "number", "priority": 2, "description": "mobile"},
    {"destination": "number"},
    {"destination": "variable", "name": "debt"},
]
LAYOUT = {"kind": "csv", "charset": "windows-1251", "separator": ";", "quote": '"', "heading": True, "columns": COLUMNS}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    return tmp_path / "uploads"


def send(him: Caller, address: str, content: bytes | str = LIST, name: str = "list.csv", **fields: Any) -> Any:
    """Send a file as a form, as browsers and curl do."""
    raw = content.encode("windows-1251") if isinstance(content, str) else content
    return him.client.post(
        f"/api/v2/{address}", {"file": SimpleUploadedFile(name, raw), **fields}, headers=him.headers
    )  # fmt: skip


@pytest.fixture
def upload(crm: Caller, campaign: Campaign) -> dict[str, Any]:
    """A file that was sent and not looked at yet."""
    answer = send(crm, f"dialer/{campaign.pk}/uploads")
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def worked(him: Caller, upload: dict[str, Any]) -> dict[str, Any]:
    """Do what the worker would, and show the upload."""
    staging.work(upload["id"])
    found: dict[str, Any] = him.get(f"uploads/{upload['id']}").json()
    return found


def checked(him: Caller, upload: dict[str, Any], **rules: Any) -> dict[str, Any]:
    answer = him.put(f"uploads/{upload['id']}", {"layout": LAYOUT, **rules})
    assert answer.status_code == 200, answer.content
    assert him.post(f"uploads/{upload['id']}/check").status_code == 202
    return worked(him, upload)


class TestFromFileToSubscribers:
    def test_the_whole_way(self, crm: Caller, campaign: Campaign, upload: dict[str, Any]) -> None:
        assert (upload["state"], upload["kind"], upload["campaign"]) == ("new", "members", campaign.pk)
        assert (upload["by"], upload["file_name"], upload["file_kept"]) == ("crm", "list.csv", True)
        assert upload["layout"]["separator"] == ";"
        assert not Member.objects.exists()
        found = checked(crm, upload)
        assert (found["state"], found["rows"], found["good"], found["faulty"]) == ("checked", 4, 2, 1)
        assert found["duplicates"] == 1
        assert found["obstacle"]
        assert found["may_load"] is False
        report = {finding["kind"]: finding for finding in found["report"]}
        assert report["number"]["count"] == 1
        assert report["number"]["first"][0]["line"] == 4
        assert problem(crm.post(f"uploads/{upload['id']}/load"), 409)["code"] == "NOTHING_TO_LOAD"
        answer = crm.post(f"uploads/{upload['id']}/load", {"on_duplicate": "skip"})
        assert (answer.status_code, answer.json()["state"]) == (202, "loading")
        found = worked(crm, upload)
        assert [found[name] for name in ("state", "added", "skipped", "refused", "progress")] == ["loaded", 2, 1, 1, 1]
        anna = Member.objects.get(name="Анна")
        assert anna.variables == {"debt": "20"}
        assert list(anna.communications.values_list("digits", "priority", "description")) == [
            ("380501112233", 2, "mobile"), ("101", 0, ""),
        ]  # fmt: skip
        assert crm.post(f"uploads/{upload['id']}/undo").status_code == 202
        found = worked(crm, upload)
        assert (found["state"], found["undone"]) == ("undone", 2)
        assert not Member.objects.visible().exists()

    def test_a_file_of_numbers_that_nobody_may_call(self, crm: Caller) -> None:
        content = "number,reason\n0501112233,court\n0501112244,\n"
        upload = send(crm, "do-not-call/uploads", content, "stop.csv").json()
        assert (upload["kind"], upload["campaign"]) == ("do_not_call", None)
        layout = {"kind": "csv", "columns": [{"destination": "number"}, {"destination": "reason"}]}
        rules = {"layout": layout, "reason": "asked", "expire": "2040-01-01T00:00:00Z"}
        assert crm.put(f"uploads/{upload['id']}", rules).json()["expire"] == "2040-01-01T00:00:00Z"
        crm.post(f"uploads/{upload['id']}/check")
        worked(crm, upload)
        assert crm.post(f"uploads/{upload['id']}/load").status_code == 202
        assert worked(crm, upload)["added"] == 2
        assert sorted(DoNotCall.objects.filter(campaign=None).values_list("reason", flat=True)) == ["asked", "court"]
        assert problem(crm.post(f"uploads/{upload['id']}/undo"), 409)["code"] == "NOT_MEMBERS"
        assert [found["id"] for found in crm.get("do-not-call/uploads").json()["results"]] == [upload["id"]]

    def test_what_is_under_way_can_be_cancelled(self, crm: Caller, upload: dict[str, Any]) -> None:
        problem(crm.post(f"uploads/{upload['id']}/cancel"), 409)
        crm.post(f"uploads/{upload['id']}/check")
        problem(crm.delete(f"uploads/{upload['id']}"), 409)
        assert crm.post(f"uploads/{upload['id']}/cancel").json()["state"] == "cancelled"


class TestSending:
    @pytest.mark.parametrize(
        ("content", "name", "field"),
        [
            (b"", "empty.csv", "file"),
            (b"<!DOCTYPE html><html><body>no list</body></html>", "list.csv", "file"),
            (b"%PDF-1.7 \xe2\xe3", "list.pdf", "file"),
        ],
    )
    def test_what_is_no_list_is_refused_with_the_reason(
        self, crm: Caller, campaign: Campaign, folder: Path, content: bytes, name: str, field: str
    ) -> None:
        assert list(faults(send(crm, f"dialer/{campaign.pk}/uploads", content, name))) == [field]
        assert not Upload.objects.exists()
        assert not (folder.exists() and list(folder.iterdir())), "nothing is left behind"

    def test_a_file_over_the_limit_is_refused_with_the_limit(
        self, crm: Caller, campaign: Campaign, settings: Any
    ) -> None:
        settings.UPLOAD_LIMIT_MB = 1
        (told,) = faults(send(crm, f"dialer/{campaign.pk}/uploads", b"number\n" + b"1234567\n" * 125_001))["file"]
        assert "1 MB" in told

    @pytest.mark.parametrize(("fields", "field"), [({"kind": "people"}, "kind"), ({"colour": 1}, "colour")])
    def test_what_is_wrong_in_the_form_is_told(
        self, crm: Caller, campaign: Campaign, fields: dict[str, Any], field: str
    ) -> None:
        assert list(faults(send(crm, f"dialer/{campaign.pk}/uploads", **fields))) == [field]

    def test_a_form_without_a_file_and_one_that_is_no_form(self, crm: Caller, campaign: Campaign) -> None:
        address = f"/api/v2/dialer/{campaign.pk}/uploads"
        assert list(faults(crm.client.post(address, {"kind": "members"}, headers=crm.headers))) == ["file"]
        problem(crm.post(f"dialer/{campaign.pk}/uploads", {"file": "x"}), 415)
        broken = crm.client.generic("POST", address, "x", content_type="multipart/form-data", headers=crm.headers)
        problem(broken, 400)
        large = crm.client.post(address, {"kind": "x" * 3_000_000}, headers=crm.headers)
        problem(large, 413)

    def test_a_file_sent_twice_with_a_key_is_one_upload(self, crm: Caller, campaign: Campaign) -> None:
        address = f"dialer/{campaign.pk}/uploads"
        crm.headers["Idempotency-Key"] = "list-1"
        first, again = send(crm, address), send(crm, address)
        assert first.status_code == again.status_code == 201
        assert again.headers["Idempotent-Replayed"] == "true"
        assert first.json() == again.json()
        assert Upload.objects.count() == 1
        assert problem(send(crm, address, LIST + "Єва;103;;1\n"), 409)["code"] == "KEY_REUSED"

    def test_the_same_file_again_is_told(self, crm: Caller, campaign: Campaign, upload: dict[str, Any]) -> None:
        checked(crm, upload)
        crm.post(f"uploads/{upload['id']}/load", {"on_duplicate": "skip"})
        worked(crm, upload)
        assert send(crm, f"dialer/{campaign.pk}/uploads").json()["same_as"] == upload["id"]


class TestLayout:
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "layout"),
            ({"layout": 5}, "layout"),
            ({"layout": {**LAYOUT, "separator": "ab"}}, "layout.separator"),
            ({"layout": {**LAYOUT, "charset": "klingon"}}, "layout.charset"),
            ({"layout": {**LAYOUT, "columns": [{"destination": "mood"}]}}, "layout.columns[0].destination"),
            ({"layout": {**LAYOUT, "columns": [{"destination": "name"}]}}, "layout.columns"),
            ({"layout": LAYOUT, "on_duplicate": "perhaps"}, "on_duplicate"),
            ({"layout": LAYOUT, "expire": "2020-01-01T00:00:00Z"}, "expire"),
            ({"layout": LAYOUT, "colour": 1}, "colour"),
        ],
    )
    def test_what_is_wrong_is_told_by_its_path(
        self, crm: Caller, upload: dict[str, Any], body: dict[str, Any], field: str
    ) -> None:
        assert list(faults(crm.put(f"uploads/{upload['id']}", body))) == [field]

    def test_the_first_rows_are_shown_as_it_reads_them(self, crm: Caller, upload: dict[str, Any]) -> None:
        crm.put(f"uploads/{upload['id']}", {"layout": LAYOUT})
        found = crm.get(f"uploads/{upload['id']}/preview?limit=2").json()
        assert found["headings"] == ["name", "number_1", "number_2", "debt"]
        assert found["width"] == 4
        assert [row["line"] for row in found["rows"]] == [2, 3]
        assert found["rows"][0]["cells"][:2] == ["Анна", "+380501112233"]

    def test_a_charset_that_does_not_fit_is_told(self, crm: Caller, upload: dict[str, Any]) -> None:
        crm.put(f"uploads/{upload['id']}", {"layout": {**LAYOUT, "charset": "utf-8"}})
        assert list(faults(crm.get(f"uploads/{upload['id']}/preview"))) == ["layout"]


class TestFaults:
    def test_they_are_listed_in_the_order_of_the_file(self, crm: Caller, campaign: Campaign) -> None:
        lines = "".join(f"Олена;x{n};;\n" for n in range(5))
        upload = send(crm, f"dialer/{campaign.pk}/uploads", f"name;number_1;number_2;debt\nАнна;101;;\n{lines}").json()
        checked(crm, upload)
        found, address = [], f"/api/v2/uploads/{upload['id']}/faults?limit=2&kind=number"
        while address:
            page = crm.get(address).json()
            found += page["results"]
            address = page["next"]
        assert [fault["line"] for fault in found] == [3, 4, 5, 6, 7]
        assert {fault["kind"] for fault in found} == {"number"}
        assert found[0]["value"] == "x0"
        problem(crm.get(f"uploads/{upload['id']}/faults?cursor=WyJsaW5lIiwieCIsMV0"), 400)

    def test_rejected_rows_are_a_file_that_can_be_mended(self, crm: Caller, upload: dict[str, Any]) -> None:
        assert checked(crm, upload, on_duplicate="skip")["rejected"]
        answer = crm.get(f"uploads/{upload['id']}/rejected")
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert "list%20rejected.csv" in answer.headers["Content-Disposition"].replace(" ", "%20")
        rows = list(csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig")), delimiter=";"))
        assert [row[:2] for row in rows] == [["name", "number_1"], ["Ганна", "abc"], ["Дмитро", "102"]]

    def test_once_the_file_is_deleted_the_upload_is_history(self, crm: Caller, upload: dict[str, Any]) -> None:
        checked(crm, upload)
        assert crm.delete(f"uploads/{upload['id']}").status_code == 204
        assert crm.get(f"uploads/{upload['id']}").json()["file_kept"] is False
        for what in ("preview", "rejected"):
            problem(crm.get(f"uploads/{upload['id']}/{what}"), 404)
        problem(crm.post(f"uploads/{upload['id']}/check"), 409)


class TestTemplates:
    def test_a_layout_is_kept_by_name_and_taken_for_the_next_file(
        self, crm: Caller, campaign: Campaign, upload: dict[str, Any]
    ) -> None:
        crm.put(f"uploads/{upload['id']}", {"layout": LAYOUT, "on_duplicate": "skip"})
        saved = crm.post("upload-templates", {"name": "Debtors", "upload": upload["id"]})
        assert saved.status_code == 201
        template = saved.json()
        assert template["headings"] == ["name", "number_1", "number_2", "debt"]
        assert crm.get("upload-templates?kind=members").json() == [template]
        assert crm.get(f"upload-templates/{template['id']}").json() == template
        again = send(crm, f"dialer/{campaign.pk}/uploads", template=template["id"]).json()
        assert again["layout"]["columns"][1]["description"] == "mobile"
        assert again["on_duplicate"] == "skip"
        other = send(crm, f"dialer/{campaign.pk}/uploads").json()
        answer = crm.put(f"uploads/{other['id']}", {"template": template["id"], "on_duplicate": "stop"})
        assert (answer.json()["layout"], answer.json()["on_duplicate"]) == (again["layout"], "stop")
        assert crm.delete(f"upload-templates/{template['id']}").status_code == 204
        assert not UploadTemplate.objects.exists()

    def test_one_of_another_kind_or_that_is_not_there_leaves_nothing(self, crm: Caller, campaign: Campaign) -> None:
        assert list(faults(send(crm, f"dialer/{campaign.pk}/uploads", template=99))) == ["template"]
        assert not Upload.objects.exists()


class TestRights:
    def test_each_kind_is_for_those_who_have_its_rights(self, crm: Caller, campaign: Campaign) -> None:
        user = user_in(None, "clerk")
        user.user_permissions.add(
            *Permission.objects.filter(codename__in=["view_donotcall", "add_donotcall", "view_member"])
        )
        clerk = caller_for(user)
        members = send(crm, f"dialer/{campaign.pk}/uploads").json()
        problem(send(clerk, f"dialer/{campaign.pk}/uploads"), 403)
        answer = send(clerk, f"dialer/{campaign.pk}/uploads", kind="do_not_call")
        assert answer.status_code == 201
        assert clerk.get(f"uploads/{members['id']}").status_code == 200
        for what in ("check", "load", "cancel"):
            problem(clerk.post(f"uploads/{members['id']}/{what}"), 403)
        problem(clerk.put(f"uploads/{members['id']}", {"layout": LAYOUT}), 403)

    def test_to_change_others_or_to_run_takes_the_right_to_it(self, campaign: Campaign) -> None:
        user = user_in(None, "clerk")
        user.user_permissions.add(*Permission.objects.filter(codename__in=["view_member", "add_member"]))
        clerk = caller_for(user)
        upload = send(clerk, f"dialer/{campaign.pk}/uploads").json()
        for rules in ({"on_duplicate": "update"}, {"auto_run": True}):
            problem(clerk.put(f"uploads/{upload['id']}", {"layout": LAYOUT, **rules}), 403)
        checked(clerk, upload)
        problem(clerk.post(f"uploads/{upload['id']}/load", {"on_duplicate": "update"}), 403)

    def test_the_history_of_a_campaign_is_its_own(
        self, crm: Caller, campaign: Campaign, upload: dict[str, Any]
    ) -> None:
        send(crm, f"dialer/{factories.make_campaign().pk}/uploads")
        page = crm.get(f"dialer/{campaign.pk}/uploads?kind=members&state=new").json()
        assert [found["id"] for found in page["results"]] == [upload["id"]]
        assert json.dumps(page["results"][0]["layout"])
