"""Call records of the switch: in any order, twice, late, out of files; and what they say of the ledger."""

from __future__ import annotations

import base64
import json
import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from agents.models import Operator, OperatorState
from dialer import clock
from dialer.engine import calls, invariants, records, tidy
from dialer.models import Attempt, CallRecord, Outcome, Repair
from dialer.switch.records import RecordError, read_record
from tests.engine.story import Story

pytestmark = pytest.mark.django_db

SAMPLE = json.loads((Path(__file__).parent / "subscriber_leg.json").read_text("utf-8"))
"""A record that a real switch wrote, shortened."""
PASSWORD = "a password of sixteen"


def stamp(at: datetime | None) -> str:
    return str(round(at.timestamp() * 1_000_000)) if at else "0"


def record(
    leg: UUID,
    *,
    created: datetime,
    ended: datetime,
    cause: str = "NORMAL_CLEARING",
    answered: datetime | None = None,
    bridged: datetime | None = None,
    **more: str,
) -> dict[str, Any]:
    """Return what the switch would write of a leg."""
    instants = {"start": created, "end": ended, "answer": answered, "bridge": bridged}
    return {
        **SAMPLE,
        "variables": {
            **SAMPLE["variables"],
            "uuid": str(leg),
            "hangup_cause": cause,
            **{f"{name}_uepoch": stamp(at) for name, at in instants.items()},
            **more,
        },
    }


def of_talk(story: Story, talk: float = 20) -> list[dict[str, Any]]:
    """Return both records of a call that was bridged 5 s after it was sent."""
    legs = ("operator", 0.1, 1.0), ("subscriber", 1.0, 5.0)
    return [
        record(
            getattr(story.attempt, f"{role}_uuid"),
            created=story.at(created),
            answered=story.at(answered),
            bridged=story.at(5),
            ended=story.at(5 + talk),
        )
        for role, created, answered in legs
    ]


def take(raw: dict[str, Any]) -> records.Taken:
    return records.take(read_record(json.dumps(raw).encode()))


def waited_long_enough() -> None:
    """Let all records be older than the time in which an event may still come."""
    CallRecord.objects.update(received_at=clock.now() - records.EVENT_MAY_COME - timedelta(seconds=1))


# --- reading ----------------------------------------------------------------------------------------------------


def test_a_record_of_a_real_switch_is_read() -> None:
    read = read_record(json.dumps(SAMPLE).encode())
    assert str(read.leg) == SAMPLE["variables"]["uuid"]
    assert read.cause == "NORMAL_CLEARING"
    assert read.answered_at is not None
    assert read.bridged_at is not None
    assert read.created_at < read.answered_at < read.bridged_at < read.ended_at
    assert read.by_phone


@pytest.mark.parametrize("kind", ["json", "form", "base64", "percent"])
def test_every_encoding_of_the_switch_says_the_same(kind: str) -> None:
    text = json.dumps(SAMPLE)
    if kind == "percent":
        text = json.dumps({**SAMPLE, "variables": {name: quote(v) for name, v in SAMPLE["variables"].items()}})
    body = text.encode()
    if kind == "form":
        body = b"cdr=" + quote(text).encode()
    elif kind == "base64":
        body = b"cdr=" + base64.b64encode(text.encode())
    assert read_record(body) == read_record(json.dumps(SAMPLE).encode())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "cannot be read"),
        (b"[]", "no “variables”"),
        (b'{"variables": {}}', "no “uuid”"),
        (b'{"variables": {"uuid": "x"}}', "no “uuid”"),
        (b"a=b", "cannot be read"),
        (b"cdr=\xff", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(body: bytes, told: str) -> None:
    with pytest.raises(RecordError, match=told):
        read_record(body)


# --- closing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backwards", [False, True])
def test_an_attempt_whose_events_were_all_lost_is_closed_by_its_records(backwards: bool) -> None:
    story = Story(min_duration=10)
    for raw in sorted(of_talk(story), key=lambda raw: str(raw["variables"]["answer_uepoch"]), reverse=backwards):
        assert take(raw) == records.Taken.NEW
    tidy.run()
    assert story.now()[0].ended_at is None, "the event may still come"
    waited_long_enough()
    tidy.run()
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.cause) == (Outcome.SUCCESS, "NORMAL_CLEARING")
    assert attempt.talk_seconds == pytest.approx(20)
    assert operator.state == OperatorState.WRAP_UP
    assert member.success
    assert set(Repair.objects.values_list("kind", flat=True)) == {"record"}
    assert invariants.find_violations() == []


def test_a_record_before_the_events_changes_nothing() -> None:
    story = Story(min_duration=10)
    for raw in of_talk(story):
        take(raw)
    story.talk(20)
    waited_long_enough()
    tidy.run()
    assert story.now()[0].outcome == Outcome.SUCCESS
    assert not Repair.objects.exists()
    assert invariants.find_violations() == []


def test_a_record_that_comes_twice_counts_once() -> None:
    story = Story()
    story.talk(20)
    raw = of_talk(story)[0]
    assert [take(raw), take(raw)] == [records.Taken.NEW, records.Taken.KNOWN]
    assert CallRecord.objects.count() == 1


def test_a_record_of_a_foreign_leg_is_ignored() -> None:
    assert take(SAMPLE) == records.Taken.FOREIGN
    assert not CallRecord.objects.exists()


def test_records_that_come_after_a_loss_correct_causes_and_talk_and_end_nothing_twice() -> None:
    story = Story(min_duration=10)
    story.bridged(5)
    calls.lose(story.attempt.pk, "absent", at=story.at(40))
    lost, _, _ = story.now()
    assert lost.talk_seconds == pytest.approx(35)
    for raw in of_talk(story, talk=20):
        take(raw)
    attempt, operator, _ = story.now()
    assert attempt.ended_at == lost.ended_at
    assert attempt.outcome == lost.outcome
    assert (attempt.operator_cause, attempt.subscriber_cause) == ("NORMAL_CLEARING", "NORMAL_CLEARING")
    assert attempt.talk_seconds == pytest.approx(20)
    assert operator.talk_seconds == 20
    assert invariants.find_violations() == []


def test_a_busy_subscriber_whose_own_events_were_lost_is_treated_by_his_cause() -> None:
    story = Story()
    story.operator_rings()
    take(
        record(
            story.attempt.operator_uuid, created=story.at(0.1), answered=story.at(1), ended=story.at(6),
            cause="USER_BUSY", originate_disposition="USER_BUSY",
        )
    )  # fmt: skip
    take(record(story.attempt.subscriber_uuid, created=story.at(1), ended=story.at(6), cause="USER_BUSY"))
    waited_long_enough()
    tidy.run()
    attempt, _, _ = story.now()
    assert (attempt.cause, attempt.outcome, attempt.counted) == ("USER_BUSY", Outcome.RETRY, True)


# --- auditing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"subscriber_cause": "USER_BUSY"}, "ended with “USER_BUSY”; the switch wrote NORMAL_CLEARING"),
        ({"talk_ended_at": timedelta(seconds=300)}, "was a talk of"),
        ({"bridged_at": None, "talk_ended_at": None}, "was bridged"),
    ],
)
def test_the_audit_finds_where_ledger_and_records_differ(changes: dict[str, Any], told: str) -> None:
    story = Story()
    story.talk(20)
    for raw in of_talk(story):
        take(raw)
    assert invariants.find_violations() == []
    values = {name: story.at(v.total_seconds()) if isinstance(v, timedelta) else v for name, v in changes.items()}
    Attempt.objects.update(**values)
    assert any(told in violation.text for violation in invariants.find_violations())


# --- the door ---------------------------------------------------------------------------------------------------


def post(body: bytes, *, password: str = PASSWORD, kind: str = "application/json") -> Any:
    login = base64.b64encode(f"freeswitch:{password}".encode()).decode()
    client = Client(headers={"Authorization": f"Basic {login}"}, enforce_csrf_checks=True)
    return client.post(f"/cdr?uuid={uuid4()}", data=body, content_type=kind)


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_the_switch_posts_records_whatever_it_calls_them(kind: str, settings: Any) -> None:
    settings.CDR_PASSWORD = PASSWORD
    story = Story()
    story.talk(20)
    answers = [post(json.dumps(raw).encode(), kind=kind) for raw in (*of_talk(story), SAMPLE)]
    assert [(answer.status_code, answer.content) for answer in answers] == [
        (200, b"new\n"), (200, b"new\n"), (200, b"foreign\n"),
    ]  # fmt: skip


def test_the_door_is_shut_to_others(settings: Any) -> None:
    settings.CDR_PASSWORD = ""
    assert post(b"{}").status_code == 503
    settings.CDR_PASSWORD = PASSWORD
    assert post(b"{}", password="another").status_code == 401
    assert Client().post("/cdr", data=b"{}", content_type="application/json").status_code == 401
    assert Client().get("/cdr").status_code == 405


def test_what_is_no_record_is_answered_400_so_that_the_switch_keeps_it(settings: Any) -> None:
    settings.CDR_PASSWORD = PASSWORD
    answer = post(b'{"variables": 1}')
    assert (answer.status_code, answer.content.decode()) == (400, "It has no “variables”.\n")
    assert post(b"x" * 2_000_000).status_code == 400


# --- files ------------------------------------------------------------------------------------------------------


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
        dying.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            call_command("import_cdrs", tmp_path)
    assert CallRecord.objects.count() == 1
    call_command("import_cdrs", tmp_path)
    assert CallRecord.objects.count() == 1
    assert not list(tmp_path.glob("*.json"))


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandError, match="is no folder"):
        call_command("import_cdrs", "/nowhere/at/all")


def test_nothing_is_stuck_in_the_books_of_operators() -> None:
    story = Story(operator={"wrap_up_time": 0})
    for raw in of_talk(story):
        take(raw)
    waited_long_enough()
    tidy.run()
    assert Operator.objects.get(pk=story.operator.pk).current_attempt_id is None
