"""Call records of the switch: in any order, twice, late, out of files; and what they say of the ledger."""

from __future__ import annotations

import base64
import json
import logging
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django import db
from django.core.management import call_command
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from agents.models import Operator, OperatorState
from dialer import clock
from dialer.engine import calls, invariants, records, tasks, tidy
from dialer.models import Attempt, CallRecord, OperatorTry, Outcome, Repair
from dialer.switch import events
from dialer.switch.records import LegRecord, RecordError, read_record
from members.models import Communication
from tests.engine.story import Story
from tests.engine.test_subscriber_first import Tale
from tests.records.making import SAMPLE, of_talk, record, take, waited_long_enough

pytestmark = pytest.mark.django_db

PASSWORD = "a password of sixteen"


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
        (b'{"variables": []}', "no “variables”"),
        (b'{"variables": {}}', "no “uuid”"),
        (b'{"variables": {"uuid": "x"}}', "no “uuid”"),
        (b"a=b", "cannot be read"),
        (b"cdr=\xff", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"{" + b'"a":[' * 100_000, "cannot be read"),
        (b'{"variables": ' + b"9" * 5000 + b"}", "cannot be read"),
        (json.dumps(SAMPLE).replace("1795418469205317", "253402300799000000").encode(), "days apart"),
        (json.dumps(SAMPLE).replace("NORMAL_CLEARING", "A\\u0000").encode(), "no “hangup_cause”"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(body: bytes, told: str) -> None:
    with pytest.raises(RecordError, match=told):
        read_record(body)


@pytest.mark.parametrize("inside", [",%22hangup_cause%22:%22USER_BUSY", "%7D,%22variables%22:%7B%22uuid%22:%22x"])
def test_a_value_cannot_say_what_the_record_says(inside: str) -> None:
    """As the switch posts it with ``encode`` set to true: what looks percent-encoded is left as it is."""
    text = json.dumps({**SAMPLE, "variables": {"note": f"x%22{inside}", **SAMPLE["variables"]}})
    body = b"cdr=" + quote(text, safe="%").encode()
    with pytest.raises(RecordError, match=r"twice\. Set “encode” to false"):
        read_record(body)


def test_quotes_that_the_switch_does_not_encode_twice_are_told_with_the_remedy() -> None:
    text = json.dumps({**SAMPLE, "variables": {"note": "%22a%22", **SAMPLE["variables"]}})
    with pytest.raises(RecordError, match="Set “encode” to false"):
        read_record(quote(text, safe="%").encode())


hostile = st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from(list(SAMPLE["variables"].values())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from(sorted(SAMPLE["variables"])), hostile), hostile)
def test_whatever_values_are_posted_a_record_is_read_or_refused(values: dict[str, Any], core: Any) -> None:
    body = json.dumps({"core-uuid": core, "variables": {**SAMPLE["variables"], **values}}).encode()
    try:
        read = read_record(body)
    except RecordError:
        return
    assert isinstance(read, LegRecord)
    assert f"{read.cause}{read.originate_disposition}".isascii()


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


@pytest.mark.parametrize("legs", [("operator", "subscriber"), ("subscriber", "operator")])
def test_an_attempt_that_the_switch_denies_is_decided_by_the_records_at_hand(legs: tuple[str, str]) -> None:
    story = Story(min_duration=10)
    by_role = dict(zip(("operator", "subscriber"), of_talk(story), strict=True))
    for role in legs:
        take(by_role[role])
    assert calls.lose(story.attempt.pk, "absent", at=story.at(60))
    attempt, operator, member = story.now()
    assert (attempt.outcome, attempt.cause, attempt.counted) == (Outcome.SUCCESS, "NORMAL_CLEARING", True)
    assert attempt.talk_seconds == pytest.approx(20)
    assert (attempt.operator_ringing_at, attempt.operator_answered_at) == (story.at(0.1), story.at(1))
    assert (attempt.subscriber_created_at, attempt.subscriber_answered_at) == (story.at(1), story.at(5))
    assert (attempt.bridged_at, attempt.talk_ended_at) == (story.at(5), story.at(25))
    assert (operator.calls, operator.talk_seconds, member.success) == (1, 20, True)
    assert {repair.kind for repair in Repair.objects.all()} == {"record"}
    assert invariants.find_violations() == []


def test_the_record_of_one_leg_decides_although_the_other_one_is_lost() -> None:
    story = Story()
    story.operator_answers()
    take(record(story.attempt.subscriber_uuid, created=story.at(1), ended=story.at(6), cause="USER_BUSY"))
    calls.lose(story.attempt.pk, "absent", at=story.at(20))
    attempt, operator, _ = story.now()
    assert (attempt.cause, attempt.outcome, attempt.counted) == ("USER_BUSY", Outcome.RETRY, True)
    assert operator.state == OperatorState.WAITING
    assert invariants.find_violations() == []


def test_a_record_that_came_while_the_attempt_lived_still_tells_after_its_end() -> None:
    """Its operator's leg told of no subscriber, for he had hung up while the phone rang."""
    story = Story()
    story.operator_rings()
    created, ended = story.at(1), story.at(6)
    take(record(story.attempt.subscriber_uuid, created=created, ended=ended, cause="ORIGINATOR_CANCEL"))
    story.hangs_up(
        "operator", 6, "NORMAL_CLEARING", answered_at=story.at(1), originate_disposition="failure", by_phone=True
    )
    assert story.now()[0].subscriber_created_at is None
    waited_long_enough()
    tidy.run()
    attempt, _, _ = story.now()
    assert (attempt.subscriber_created_at, attempt.subscriber_ended_at) == (created, ended)
    assert (attempt.subscriber_cause, attempt.outcome) == ("ORIGINATOR_CANCEL", Outcome.REFUNDED)
    assert Communication.objects.get(member=story.member).tries == 1
    assert invariants.find_violations() == []
    repairs = Repair.objects.count()
    tidy.run()
    assert Repair.objects.count() == repairs


def test_an_event_that_came_in_time_leaves_no_repair() -> None:
    """Between the look at the ledger and its lock."""
    story = Story()
    for raw in of_talk(story):
        take(raw)
    kept = CallRecord.objects.select_related("attempt").first()
    assert kept is not None
    story.talk(20)
    assert not calls.apply_record(kept)
    assert not Repair.objects.exists()


def test_a_record_that_cannot_be_used_holds_up_no_other(monkeypatch: Any, caplog: Any) -> None:
    first, second = Story(min_duration=10), Story(min_duration=10)
    for story in (first, second):
        for raw in of_talk(story):
            take(raw)
    waited_long_enough()
    apply = calls.apply_record

    def fail(kept: CallRecord) -> bool:
        if kept.attempt_id == first.attempt.pk:
            raise ZeroDivisionError
        return apply(kept)

    monkeypatch.setattr(calls, "apply_record", fail)
    tidy.run()
    assert second.now()[0].outcome == Outcome.SUCCESS
    assert "could not be used" in caplog.text
    assert not CallRecord.objects.filter(settled=False).exists()


@pytest.mark.parametrize("backwards", [False, True])
def test_subscriber_first_without_any_end_heard_is_closed_by_the_records(backwards: bool) -> None:
    tale = Tale(min_duration=10)
    tale.subscriber_answers()
    legs = [
        record(
            getattr(tale.attempt, f"{role}_uuid"), created=tale.at(created), answered=tale.at(answered),
            bridged=tale.at(8), ended=tale.at(28),
        )
        for role, created, answered in (("operator", 5.1, 8), ("subscriber", 0.1, 5))
    ]  # fmt: skip
    for raw in reversed(legs) if backwards else legs:
        take(raw)
    waited_long_enough()
    tidy.run()
    attempt, operator, _ = tale.now()
    assert attempt.outcome == Outcome.SUCCESS
    assert attempt.talk_seconds == pytest.approx(20)
    assert operator.state == OperatorState.WRAP_UP
    assert invariants.find_violations() == []


def test_the_record_of_an_operator_who_did_not_answer_brings_the_next_one() -> None:
    tale = Tale()
    tale.subscriber_answers()
    leg = tale.attempt.operator_uuid
    tale.tell(events.LegCreated, "operator", 5.1)
    raw = record(leg, created=tale.at(5.1), ended=tale.at(9), cause="NO_ANSWER")
    take(raw)
    waited_long_enough()
    tidy.run()
    given_up = OperatorTry.objects.get()
    assert (given_up.uuid, given_up.cause) == (leg, "NO_ANSWER")
    assert take(raw) == records.Taken.KNOWN
    waited_long_enough()
    tidy.run()
    assert OperatorTry.objects.count() == 1


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


@pytest.mark.parametrize("legs", [("operator", "subscriber"), ("subscriber", "operator")])
def test_a_talk_of_which_nothing_was_heard_is_written_down_late(legs: tuple[str, str]) -> None:
    """As when all was down: reconciliation ends it first, then the files are imported."""
    story = Story(min_duration=10)
    story.operator_rings()
    calls.lose(story.attempt.pk, "absent", at=story.at(40))
    lost, _, _ = story.now()
    assert lost.outcome == Outcome.REFUNDED
    by_role = dict(zip(("operator", "subscriber"), of_talk(story), strict=True))
    for role in legs:
        take(by_role[role])
    attempt, operator, member = story.now()
    assert (attempt.ended_at, attempt.outcome, attempt.counted) == (lost.ended_at, lost.outcome, lost.counted)
    assert (attempt.subscriber_created_at, attempt.subscriber_answered_at) == (story.at(1), story.at(5))
    assert (attempt.bridged_at, attempt.talk_ended_at) == (story.at(5), story.at(25))
    assert (operator.calls, operator.talk_seconds) == (1, 20)
    assert (Communication.objects.get(member=member).tries, member.success) == (1, False)
    assert any("It had been a talk of 20 s" in repair.detail for repair in Repair.objects.filter(kind="late_end"))
    assert invariants.find_violations() == []


def test_an_answer_that_is_learned_late_does_not_make_an_attempt_abandoned() -> None:
    tale = Tale()
    calls.lose(tale.attempt.pk, "absent", at=tale.at(40))
    outcome = tale.now()[0].outcome
    leg = tale.attempt.subscriber_uuid
    take(record(leg, created=tale.at(0.1), answered=tale.at(3), ended=tale.at(9)))
    attempt, _, _ = tale.now()
    assert (attempt.outcome, attempt.subscriber_answered_at) == (outcome, tale.at(3))
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


def test_the_audit_looks_at_operators_who_were_given_up() -> None:
    tale = Tale()
    tale.subscriber_answers()
    leg = tale.operator_fails(9, "NO_ANSWER")
    tale.hangs_up("subscriber", 12, "NORMAL_CLEARING")
    take(record(leg, created=tale.at(8), ended=tale.at(9), cause="NO_ANSWER"))
    waited_long_enough()
    tidy.run()
    assert invariants.find_violations() == []
    OperatorTry.objects.update(cause="USER_BUSY")
    (violation,) = invariants.find_violations()
    assert "ended with “USER_BUSY”; the switch wrote NO_ANSWER" in violation.text


def test_a_talk_may_differ_by_two_seconds() -> None:
    story = Story()
    story.talk(20)
    for raw in of_talk(story, talk=21.9):
        take(raw)
    assert invariants.find_violations() == []
    CallRecord.objects.update(ended_at=story.at(5 + 22.1))
    assert len(invariants.find_violations()) == 2


def test_legs_without_a_record_are_counted_and_no_fault(capsys: Any) -> None:
    story = Story()
    story.talk(20)
    assert invariants.count_unrecorded() == 0, "no switch writes records"
    take(of_talk(story)[0])
    assert invariants.find_violations() == []
    call_command("check_invariants")
    assert "1 legs have no call record (yet)." in capsys.readouterr().out
    take(of_talk(story)[1])
    assert invariants.count_unrecorded() == 0


def test_records_are_forgotten_after_a_while(settings: Any) -> None:
    settings.CDRS_KEPT_DAYS = 30
    story = Story()
    story.talk(20)
    for raw in of_talk(story):
        take(raw)
    old, kept = CallRecord.objects.order_by("pk")
    CallRecord.objects.filter(pk=old.pk).update(received_at=clock.now() - timedelta(days=30, seconds=1))
    CallRecord.objects.filter(pk=kept.pk).update(received_at=clock.now() - timedelta(days=29))
    tasks.forget_records()
    assert CallRecord.objects.get() == kept


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


@pytest.mark.parametrize("error", [db.OperationalError, db.InterfaceError, db.DataError])
def test_a_database_that_does_not_answer_lets_the_switch_keep_the_record(
    error: type[Exception], settings: Any, monkeypatch: Any
) -> None:
    def fail(_: Any) -> None:
        raise error("gone")

    settings.CDR_PASSWORD = PASSWORD
    monkeypatch.setattr(records, "take", fail)
    assert post(json.dumps(SAMPLE).encode()).status_code == 503


def test_each_record_that_came_is_in_the_log(settings: Any, caplog: Any) -> None:
    settings.CDR_PASSWORD = PASSWORD
    with caplog.at_level(logging.INFO, "dialer.cdr"):
        post(json.dumps(SAMPLE).encode())
    assert "call record: foreign" in caplog.text


def test_nothing_is_stuck_in_the_books_of_operators() -> None:
    story = Story(operator={"wrap_up_time": 0})
    for raw in of_talk(story):
        take(raw)
    waited_long_enough()
    tidy.run()
    assert Operator.objects.get(pk=story.operator.pk).current_attempt_id is None
