"""Call records out of the files of a switch that could not post them."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from threading import Barrier, Thread
from typing import Any
from uuid import uuid4

import pytest
from django import db
from django.core.management import CommandError, call_command

from dialer import cdr, clock
from dialer.engine import records
from dialer.models import Attempt, CallRecord
from tests.engine.story import Story
from tests.records.making import SAMPLE, of_talk, record

pytestmark = pytest.mark.django_db


def put(folder: Path, name: str, text: str, age: float = 60) -> None:
    path = folder / f"{name}.cdr.json"
    path.write_text(text, "utf-8")
    os.utime(path, (time.time() - age, time.time() - age))


def test_five_hundred_records_that_were_spooled_come_in_without_loss(tmp_path: Path, capsys: Any) -> None:
    """Of a hundred calls, both legs' and both far ends', a quarter of ours twice, and some files that are broken."""
    story = Story()
    story.talk(20)
    own = {"id", "operator_uuid", "subscriber_uuid", "job_uuid"}
    sample = {name: value for name, value in vars(story.now()[0]).items() if name not in own and name[0] != "_"}
    attempts = Attempt.objects.bulk_create(Attempt(**sample) for _ in range(100))
    raws = []
    for number, attempt in enumerate(attempts):
        story.attempt = attempt
        ours = of_talk(story)
        raws += ours if number % 2 else [*ours, ours[0]]
        raws += [record(uuid4(), created=clock.now(), ended=clock.now()) for _ in ours]
    for number, raw in enumerate(raws):
        put(tmp_path, f"{number}", json.dumps(raw))
    for number in range(50):
        put(tmp_path, f"again-{number}", json.dumps(raws[0]))
    put(tmp_path, "broken", '{"variables": {"uuid"')
    put(tmp_path, "young", json.dumps(raws[0]), age=-600)  # as if it were written for ten minutes more
    with pytest.raises(CommandError, match="1 files are no call records"):
        call_command("import_cdrs", tmp_path)
    assert capsys.readouterr().out.strip() == "200 foreign, 100 known, 200 new, 1 refused, 1 too new"
    assert CallRecord.objects.count() == 200
    assert len(list((tmp_path / "imported").glob("*/*.json"))) == 500
    assert "cannot be read" in (tmp_path / "refused" / "broken.cdr.json.reason").read_text("utf-8")
    assert [path.name for path in tmp_path.glob("*.json")] == ["young.cdr.json"]


def test_an_import_that_died_before_it_moved_the_file_does_no_harm(tmp_path: Path, monkeypatch: Any) -> None:
    story = Story()
    story.talk(20)
    put(tmp_path, "one", json.dumps(of_talk(story)[0]))
    with monkeypatch.context() as dying:
        dying.setattr(shutil, "move", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            call_command("import_cdrs", tmp_path)
    assert CallRecord.objects.count() == 1
    call_command("import_cdrs", tmp_path)
    assert CallRecord.objects.count() == 1
    assert not list(tmp_path.glob("*.json"))


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandError, match="is no folder"):
        call_command("import_cdrs", "/nowhere/at/all")


def test_files_are_read_as_the_switch_encoded_them(tmp_path: Path) -> None:
    """With ``encode`` it writes to files what it would post, but without “cdr=” before it."""
    from base64 import b64encode
    from urllib.parse import quote

    text = json.dumps(SAMPLE)
    put(tmp_path, "form", quote(text))
    put(tmp_path, "base64", b64encode(text.encode()).decode() + "\n")
    assert cdr.import_folder(tmp_path) == {records.Taken.FOREIGN: 2}


def test_files_below_folders_that_the_switch_rotates_are_found(tmp_path: Path) -> None:
    rotated = tmp_path / "2026-11-23-08-00-00"
    rotated.mkdir()
    put(rotated, "one", json.dumps(SAMPLE))
    assert cdr.import_folder(tmp_path) == {records.Taken.FOREIGN: 1}
    assert cdr.import_folder(tmp_path) == {}


def test_a_file_that_may_not_be_read_holds_up_no_other(tmp_path: Path, monkeypatch: Any) -> None:
    put(tmp_path, "locked", json.dumps(SAMPLE))
    put(tmp_path, "open", json.dumps(SAMPLE))
    read = cdr._read

    def refuse(path: Path) -> bytes:
        if path.name.startswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(cdr, "_read", refuse)
    with pytest.raises(CommandError, match="1 files cannot be read"):
        call_command("import_cdrs", tmp_path)
    assert [path.name for path in tmp_path.glob("*.json")] == ["locked.cdr.json"]


def test_a_folder_out_of_which_nothing_can_be_moved_is_told(tmp_path: Path, monkeypatch: Any) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    put(tmp_path, "one", json.dumps(SAMPLE))
    monkeypatch.setattr(shutil, "move", refuse)
    with pytest.raises(CommandError, match="Let this account write in"):
        call_command("import_cdrs", tmp_path)


@pytest.mark.parametrize(
    "text", ['{"variables": {"uuid": ' + "9" * 5000 + "}}", "[" * 100_000, "\x00", "x" * 2_000_000]
)
def test_a_broken_file_is_put_aside_and_holds_up_no_other(text: str, tmp_path: Path) -> None:
    put(tmp_path, "broken", text)
    put(tmp_path, "whole", json.dumps(SAMPLE))
    assert cdr.import_folder(tmp_path) == {cdr.REFUSED: 1, records.Taken.FOREIGN: 1}
    assert {path.name for path in (tmp_path / "refused").iterdir()} == {"broken.cdr.json", "broken.cdr.json.reason"}


@pytest.mark.django_db(transaction=True)
def test_two_imports_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    story = Story()
    story.talk(20)
    for number in range(30):
        for raw in of_talk(story):
            put(tmp_path, f"{raw['variables']['uuid']}-{number}", json.dumps(raw))
    both, found = Barrier(2), []

    def run() -> None:
        both.wait()
        found.append(cdr.import_folder(tmp_path))
        db.connections.close_all()

    imports = [Thread(target=run) for _ in range(2)]
    for one in imports:
        one.start()
    for one in imports:
        one.join()
    assert len(found) == 2
    assert sum(some[records.Taken.NEW] for some in found) == CallRecord.objects.count() == 2
    assert len(list((tmp_path / "imported").glob("*/*.json"))) == 60
    assert not list(tmp_path.glob("*.json"))
