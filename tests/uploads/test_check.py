"""The whole file is validated before anything of it is loaded."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import translation

from campaigns.models import Campaign
from dialer import clock
from dialer.errors import Refused
from members import actions as members
from members.models import Member
from members.uploads import actions, staging
from members.uploads.models import UPLOAD_EDGES, Upload, UploadFault, UploadState, UploadTemplate
from tests import factories
from tests.uploads.conftest import Begin, checked, loaded, told, work

pytestmark = pytest.mark.django_db


def staged_tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE tablename ~ '^uploads_(members|numbers)_' ORDER BY 1")
        return [row[0] for row in cursor.fetchall()]


def test_a_good_file_is_counted_and_nothing_of_it_is_written(begin: Begin) -> None:
    upload = checked(begin(["name,number", "Anna,0501", "Borys,0502"]))
    assert (upload.state, upload.rows, upload.good, upload.faulty, upload.duplicates) == ("checked", 2, 2, 0, 0)
    assert upload.report == []
    assert not Member.objects.exists()
    assert staged_tables() == [f"uploads_members_{upload.pk}", f"uploads_numbers_{upload.pk}"]


def test_each_kind_of_fault_is_told_with_its_line_its_column_and_its_value(begin: Begin) -> None:
    upload = checked(
        begin(
            [
                "name,number,timezone,expire",
                "Anna,0501,Europe/Kyiv,2026-12-31 18:00",
                "Borys,05x2,,",
                "Clara,0503,Kyiv,",
                "Dana,0504,,soon",
                "Emil,0505",
            ]
        )
    )
    assert told(upload) == [(3, "number"), (4, "time_zone"), (5, "expire"), (6, "row")]
    assert (upload.rows, upload.good, upload.faulty) == (5, 1, 4)
    report = {entry["kind"]: entry for entry in upload.report}
    (first,) = report["number"]["first"]
    assert (report["number"]["count"], first["line"], first["column"], first["value"]) == (1, 3, 1, "05x2")
    assert "x" in first["told"]


def test_faults_are_told_in_the_language_of_whoever_asked_for_the_check(begin: Begin) -> None:
    told = {}
    for language in ("en", "uk"):
        upload = begin(["number", "05x2"])
        with translation.override(language):
            actions.check(upload)
        staging.work(upload.pk)  # by a worker, who has a language of his own
        told[language] = upload.faults.get().told
    assert "holds" in told["en"]
    assert "містить" in told["uk"]


def test_what_is_twice_in_the_file_is_told_at_the_later_row(begin: Begin) -> None:
    upload = checked(
        begin(["external_id,number", "a,0501", "b,0502", "a,0503", "c,+0502", "d,0504"])
    )  # fmt: skip
    assert told(upload) == [(4, "twice"), (5, "twice")]
    assert (upload.good, upload.duplicates) == (3, 2)


def test_what_the_campaign_has_is_told_by_number_and_by_external_id(begin: Begin, campaign: Campaign) -> None:
    members.add_members(campaign, [{"external_id": "crm-1", "communications": [{"number": "0501"}]}])
    members.add_members(factories.make_campaign(), [{"communications": [{"number": "0503"}]}])
    upload = checked(begin(["external_id,number", ",+0501", "crm-1,0502", ",0503"]))
    assert told(upload) == [(2, "taken"), (3, "taken")]


def test_a_row_of_several_subscribers_is_told_apart(begin: Begin, campaign: Campaign) -> None:
    for number in ("0501", "0502"):
        members.add_members(campaign, [{"communications": [{"number": number}]}])
    upload = checked(begin(["number_1,number_2", "0501,0502"]))
    assert told(upload) == [(2, "several"), (2, "several")]
    assert upload.duplicates == 1


def test_numbers_on_the_do_not_call_list_are_told_and_are_no_fault(begin: Begin, campaign: Campaign) -> None:
    members.add_do_not_call("0501")
    members.add_do_not_call("0502", campaign)
    members.add_do_not_call("0503", factories.make_campaign())
    upload = checked(begin(["number", "0501", "0502", "0503"]))
    assert told(upload) == [(2, "listed"), (3, "listed")]
    assert upload.good == 3


def test_a_check_again_forgets_what_the_one_before_found(begin: Begin) -> None:
    upload = checked(begin(["number", "x", "0502"]))
    assert upload.faulty == 1
    upload = checked(upload)
    assert (upload.faulty, told(upload)) == (1, [(2, "number")])


def test_the_report_shows_the_first_of_many_and_counts_all(begin: Begin) -> None:
    upload = checked(begin(["number", *(f"x{at}" for at in range(50))]))
    (entry,) = upload.report
    assert (entry["count"], len(entry["first"])) == (50, staging.SHOWN)
    assert [shown["line"] for shown in entry["first"]] == list(range(2, 2 + staging.SHOWN))


def test_rows_are_staged_in_chunks_and_all_arrive(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "CHUNK", 100)
    upload = checked(begin(["number", *(f"05{at:04}" for at in range(250)), "x"]))
    assert (upload.rows, upload.good, upload.faulty, upload.done) == (251, 250, 1, 252)


def test_a_cancelled_check_writes_nothing_more(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = actions.check(begin(["number", *(f"05{at:04}" for at in range(250))]))
    monkeypatch.setattr(staging, "CHUNK", 100)
    copy = staging._copy

    def cancel_then_copy(*given: Any) -> None:
        if Upload.objects.get(pk=upload.pk).running:
            actions.cancel(upload)
        copy(*given)

    monkeypatch.setattr(staging, "_copy", cancel_then_copy)
    upload = work(upload)
    assert (upload.state, upload.rows, upload.checked_at) == ("cancelled", 0, None)
    monkeypatch.setattr(staging, "_copy", copy)
    assert checked(upload).state == "checked"


def test_a_worker_of_the_past_writes_nothing_into_a_new_check(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was cancelled and asked for again, which it cannot see by the state alone."""
    upload = actions.check(begin(["number", *(f"05{at:04}" for at in range(250))]))
    monkeypatch.setattr(staging, "CHUNK", 100)
    copy = staging._copy

    def ask_again_and_copy(*given: Any) -> None:
        monkeypatch.setattr(staging, "_copy", copy)
        actions.check(actions.set_layout(actions.cancel(upload), layout=upload.layout))
        copy(*given)

    monkeypatch.setattr(staging, "_copy", ask_again_and_copy)
    upload = work(upload)
    assert (upload.state, upload.rows, upload.beat_at) == ("checking", 0, None)
    assert work(upload).state == "checked"


# --- the file ---------------------------------------------------------------------------------------------------


def test_a_file_beyond_the_limit_is_refused_with_the_limit_and_leaves_nothing(
    campaign: Campaign, settings: Any, folder: Any
) -> None:
    settings.UPLOAD_LIMIT_MB = 1
    with pytest.raises(ValidationError, match="1 MB"):
        actions.begin(io.BytesIO(b"number\n" * 200_000), file_name="list.csv", campaign=campaign)
    assert list(folder.iterdir()) == []
    assert not Upload.objects.exists()


def test_an_empty_file_is_refused(campaign: Campaign) -> None:
    with pytest.raises(ValidationError, match="empty"):
        actions.begin(io.BytesIO(b""), file_name="list.csv", campaign=campaign)


def test_subscribers_need_a_campaign() -> None:
    with pytest.raises(ValidationError) as told:
        actions.begin(io.BytesIO(b"number\n1\n"), file_name="list.csv", campaign=None)
    assert list(told.value.message_dict) == ["campaign"]


def test_a_file_that_was_loaded_before_is_known_again(begin: Begin, campaign: Campaign) -> None:
    first = begin(["number", "0501"])
    assert begin(["number", "0501"]).same_as is None
    loaded(first)
    assert begin(["number", "0501"]).same_as == first
    assert begin(["number", "0501"], to=factories.make_campaign()).same_as is None


def test_a_forgotten_upload_stays_as_history_without_its_file(
    begin: Begin, folder: Any, django_capture_on_commit_callbacks: Any
) -> None:
    upload = checked(begin(["number", "x", "0502"]))
    with django_capture_on_commit_callbacks(execute=True):
        actions.forget(upload)
    assert (upload.path, upload.rows, list(folder.iterdir()), staged_tables()) == ("", 2, [], [])
    assert not UploadFault.objects.exists()
    with pytest.raises(Refused, match="upload it again"):
        actions.check(upload)


def test_files_go_when_their_time_is_over(
    begin: Begin, folder: Any, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    old, new = begin(["number", "0501"]), begin(["number", "0502"])
    before = clock.now() - timedelta(days=settings.UPLOADS_KEPT_DAYS, hours=1)
    Upload.objects.filter(pk=old.pk).update(changed_at=before)
    with django_capture_on_commit_callbacks(execute=True):
        assert actions.forget_old() == 1
    assert [path.name for path in folder.iterdir()] == [new.path]


# --- states -----------------------------------------------------------------------------------------------------


def test_every_state_has_its_edges() -> None:
    assert set(UPLOAD_EDGES) == set(UploadState)


@pytest.mark.parametrize("state", UploadState)
def test_a_wish_in_a_wrong_state_is_refused(begin: Begin, state: UploadState) -> None:
    upload = begin(["number", "0501"])
    Upload.objects.filter(pk=upload.pk).update(state=state)
    idle = UPLOAD_EDGES[state] >= {UploadState.CHECKING}
    wishes: dict[Any, bool] = {
        actions.check: idle,
        actions.cancel: state in ("checking", "loading", "undoing"),
        lambda one: actions.set_layout(one, layout=one.layout): idle,
        actions.undo: False,  # nobody was added
    }
    for wish, allowed in wishes.items():
        Upload.objects.filter(pk=upload.pk).update(state=state)
        upload.refresh_from_db()
        if allowed:
            wish(upload)
        else:
            with pytest.raises(Refused):
                wish(upload)


def test_another_layout_voids_the_check(begin: Begin) -> None:
    upload = checked(begin(["number", "0501"]))
    upload = actions.set_layout(upload, layout=upload.layout, on_duplicate="skip")
    assert (upload.state, upload.checked_at, upload.rows) == ("new", None, 0)
    with pytest.raises(Refused, match="check it first"):
        actions.load(upload)


def test_a_template_is_suggested_for_files_of_its_headings(begin: Begin) -> None:
    upload = begin(["name,number", "Anna,0501"])
    actions.save_template("Zeta", upload)
    actions.save_template("Alpha", begin(["number", "0501"]))
    assert [template.name for template in actions.templates_for("members", ["Name ", "NUMBER"])] == ["Zeta", "Alpha"]
    assert actions.templates_for("do_not_call", ["name", "number"]) == []
    actions.save_template("Zeta", upload)
    assert UploadTemplate.objects.count() == 2
