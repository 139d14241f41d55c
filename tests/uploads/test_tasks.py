from __future__ import annotations

from typing import Any

import pytest

from dialer import verbs
from members.uploads import actions, staging, tasks
from members.uploads.models import Upload
from tests.uploads.conftest import Begin

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return what is sent to workers."""
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(verbs, "send", lambda task, *args, queue: found.append((task, *args, queue)))
    return found


def test_a_wish_is_sent_to_the_worker_of_uploads(begin: Begin, sent: list[tuple[Any, ...]]) -> None:
    upload = actions.check(begin(["number", "0501"]))
    assert sent == [("members.uploads.tasks.work", upload.pk, "uploads")]


def test_the_sweep_sends_what_nobody_is_at(begin: Begin, sent: list[tuple[Any, ...]]) -> None:
    begin(["number", "0500"])
    upload = actions.check(begin(["number", "0501"]))
    sent.clear()
    with staging._alone(upload.pk):
        tasks.sweep()
    assert sent == []
    tasks.sweep()
    assert sent == [("members.uploads.tasks.work", upload.pk, "uploads")]
    tasks.work(upload.pk)
    assert Upload.objects.get(pk=upload.pk).state == "checked"
    sent.clear()
    tasks.sweep()
    assert sent == []


def test_the_history_is_read_in_the_admin(begin: Begin, admin_client: Any) -> None:
    upload = begin(["number", "0501"])
    assert "list.csv" in admin_client.get("/admin/uploads/upload/").content.decode()
    page = admin_client.get(f"/admin/uploads/upload/{upload.pk}/change/").content.decode()
    assert upload.sha256 in page
    assert "_save" not in page
    actions.save_template("Zeta", upload)
    assert "Zeta" in admin_client.get("/admin/uploads/uploadtemplate/").content.decode()
