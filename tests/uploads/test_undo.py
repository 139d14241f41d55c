"""An upload is taken out again, but for those who were dialled, while its campaign runs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, models

from campaigns.models import Campaign
from dialer.errors import Refused
from dialer.models import Attempt
from members import actions as members
from members.models import Communication, Member
from members.uploads import actions, staging
from members.uploads.models import Upload
from tests import factories
from tests.members.test_races import PATIENCE, in_thread, uncommitted, wait_until_blocked
from tests.uploads.conftest import Begin, loaded, work


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def undone(upload: Upload) -> Upload:
    return work(actions.undo(upload))


@pytest.mark.django_db
def test_those_of_the_upload_go_and_nobody_else(
    begin: Begin, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "UNDO_BATCH", 2)
    factories.make_member(campaign, ["0601"])
    upload = undone(loaded(begin(["number_1,number_2", *(f"05{at},06{at}5" for at in range(5))])))
    assert (upload.state, upload.added, upload.undone, upload.kept) == ("undone", 5, 5, 0)
    assert list(Communication.objects.values_list("digits", flat=True)) == ["0601"]
    assert not upload.may_undo
    with pytest.raises(Refused, match="left"):
        actions.undo(upload)


@pytest.mark.django_db
def test_whoever_was_dialled_stays_and_is_counted(begin: Begin) -> None:
    upload = loaded(begin(["number", "0501", "0502"]))
    called = Member.objects.order_by("pk")[0]
    attempt = factories.make_attempt(called)
    upload = undone(upload)
    assert (upload.undone, upload.kept, upload.may_undo) == (1, 1, True)
    assert list(Member.objects.all()) == [called]
    attempt.refresh_from_db()
    assert attempt.ended_at is None


@pytest.mark.django_db
def test_what_update_changed_stays(begin: Begin, campaign: Campaign) -> None:
    members.add_members(campaign, [{"name": "There", "communications": [{"number": "0501"}]}])
    upload = undone(loaded(begin(["name,number", "Anna,0501", "New,0502"], on_duplicate="update")))
    assert (upload.undone, Member.objects.get().name) == (1, "Anna")


@pytest.mark.django_db
def test_an_undone_upload_may_be_mended_and_loaded_again(begin: Begin) -> None:
    upload = undone(loaded(begin(["number", "0501", "0502"])))
    upload = loaded(actions.set_layout(upload, layout=upload.layout))
    assert (upload.added, upload.undone, Member.objects.count()) == (4, 2, 2)
    assert upload.may_undo


@pytest.mark.django_db
def test_a_cancelled_load_can_be_undone(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "BATCH", 2)
    load_batch = staging._load_batch

    def load_one_and_cancel(upload: Upload, tables: staging.Tables) -> bool:
        found = load_batch(upload, tables)
        actions.cancel(Upload.objects.get(pk=upload.pk))
        return found

    monkeypatch.setattr(staging, "_load_batch", load_one_and_cancel)
    upload = loaded(begin(["number", "0501", "0502", "0503"]))
    assert (upload.state, upload.added, Member.objects.count()) == ("cancelled", 2, 2)
    upload = undone(upload)
    assert (upload.state, Member.objects.count()) == ("undone", 0)


# --- races ------------------------------------------------------------------------------------------------------


def undo_while_one_is_claimed(pool: ThreadPoolExecutor, begin: Begin) -> Upload:
    """Take an upload out while another transaction, which ends later, has reserved an attempt on its subscriber."""
    upload = actions.undo(loaded(begin(["number", "0501"])))
    member = Member.objects.get()

    def claim() -> None:
        Member.objects.select_for_update(no_key=True, skip_locked=True).get(pk=member.pk)
        factories.make_attempt(member)

    with uncommitted(pool, claim):
        taken_out = in_thread(pool, lambda: work(upload))
        wait_until_blocked()
    taken_out.result(PATIENCE)
    upload.refresh_from_db()
    return upload


@pytest.mark.django_db(transaction=True)
def test_whoever_is_claimed_in_the_same_moment_stays(pool: ThreadPoolExecutor, begin: Begin) -> None:
    upload = undo_while_one_is_claimed(pool, begin)
    assert (upload.state, upload.undone, upload.kept) == ("undone", 0, 1)
    assert Attempt.objects.get().member == Member.objects.get()


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_an_undo_breaks_over_a_claim(
    pool: ThreadPoolExecutor, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt is not seen, its subscriber deleted, and only the foreign key of the ledger saves him."""
    monkeypatch.setattr(models.QuerySet, "select_for_update", lambda self, **options: self.all())
    upload = undo_while_one_is_claimed(pool, begin)
    assert upload.state == "failed"
    assert Member.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_nobody_is_claimed_who_is_being_taken_out(pool: ThreadPoolExecutor, begin: Begin) -> None:
    loaded(begin(["number", "0501"]))
    member = Member.objects.get()
    with uncommitted(pool, lambda: members.take_out_uncalled([member.pk])), connection.cursor() as cursor:
        cursor.execute("SELECT id FROM members_member WHERE state = 'ready' FOR NO KEY UPDATE SKIP LOCKED")
        assert cursor.fetchall() == []
    assert not Member.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_uploads_of_the_same_numbers_add_each_once(
    pool: ThreadPoolExecutor, begin: Begin, campaign: Campaign
) -> None:
    """The one waits for the other's numbers, and finds them taken."""
    upload = begin(["number", "0501", "0502"], on_duplicate="skip")
    work(actions.check(upload))
    actions.load(upload)

    def be_first() -> None:
        members.add_members(campaign, [{"communications": [{"number": "0502"}]}])

    with uncommitted(pool, be_first):
        second = in_thread(pool, lambda: work(upload))
        wait_until_blocked()
    second.result(PATIENCE)
    upload.refresh_from_db()
    assert (upload.state, upload.added, upload.skipped) == ("loaded", 1, 1)
    assert Member.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_an_upload_has_one_worker(pool: ThreadPoolExecutor, begin: Begin) -> None:
    upload = actions.check(begin(["number", "0501"]))
    assert staging.abandoned() == [upload.pk]
    with staging._alone(upload.pk) as mine:
        assert mine
        assert not in_thread(pool, lambda: staging.work(upload.pk)).result(PATIENCE)
        assert in_thread(pool, staging.abandoned).result(PATIENCE) == []
    assert staging.work(upload.pk)
    assert staging.abandoned() == []


@pytest.mark.django_db(transaction=True)
def test_a_batch_under_way_ends_before_a_cancel_and_none_begins_after_it(
    pool: ThreadPoolExecutor, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "BATCH", 1)
    upload = begin(["number", "0501", "0502"])
    work(actions.check(upload))
    upload = actions.load(upload)
    cancelled: list[Any] = []
    add, load_batch = staging._add, staging._load_batch

    def add_while_one_cancels(*given: Any) -> Any:
        if not cancelled:
            cancelled.append(in_thread(pool, lambda: actions.cancel(Upload.objects.get(pk=upload.pk))))
            in_thread(pool, wait_until_blocked).result()  # a transaction sees who waits as it was when it first looked
        return add(*given)

    def load_batch_once_it_is_cancelled(*given: Any) -> bool:
        # Who waits for a lock may be overtaken: the next batch could have it first.
        for cancel in cancelled:
            cancel.result(PATIENCE)
        return load_batch(*given)

    monkeypatch.setattr(staging, "_add", add_while_one_cancels)
    monkeypatch.setattr(staging, "_load_batch", load_batch_once_it_is_cancelled)
    upload = work(upload)
    upload.refresh_from_db()
    assert (upload.state, upload.added, Member.objects.count()) == ("cancelled", 1, 1)
