"""What is loaded of a checked file, and what becomes of the rest."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.models import Campaign, CampaignState, Route
from dialer import clock
from dialer.errors import Refused
from members import actions as members
from members import planning
from members.models import Communication, DoNotCall, Member
from members.uploads import actions, staging
from members.uploads.models import Upload
from tests import factories
from tests.uploads.conftest import Begin, checked, loaded, told, work

pytestmark = pytest.mark.django_db


def counts(upload: Upload) -> dict[str, int]:
    found = {name: getattr(upload, name) for name in ("added", "updated", "skipped", "refused")}
    return {name: count for name, count in found.items() if count}


def test_a_row_becomes_what_rest_makes_of_it(begin: Begin, campaign: Campaign) -> None:
    upload = loaded(
        begin(
            [
                "name,number_1,number_2,timezone,expire,priority,external_id,var:debt",
                "Анна,+380 50 111,0502,Europe/Kyiv,2026-12-31 18:00,7,crm-1,20\\000",
            ]
        )
    )
    assert (upload.state, counts(upload), upload.progress) == ("loaded", {"added": 1}, 1.0)
    loaded_one = Member.objects.get()
    raw = {
        "name": "Анна", "timezone": "Europe/Kyiv", "expire": "2026-12-31 18:00", "priority": 7, "external_id": "crm-1",
        "variables": {"debt": "20\\000"}, "communications": [{"number": "+380 50 111"}, {"number": "0502"}],
    }  # fmt: skip
    (by_rest,) = members.add_members(factories.make_campaign(), [raw])
    own = {"id", "campaign", "upload", "created_at", "due_at", "next_communication"}
    for field in Member._meta.fields:
        if field.name not in own:
            assert getattr(loaded_one, field.attname) == getattr(by_rest, field.attname), field.name
    assert loaded_one.upload == upload
    assert loaded_one.due_at == loaded_one.created_at
    of_number = ("number", "dial", "digits", "priority", "description", "tries", "stopped", "route")
    assert list(loaded_one.communications.values_list(*of_number)) == list(
        by_rest.communications.values_list(*of_number)
    )
    assert loaded_one.next_communication == loaded_one.communications.first()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_subscribers_are_planned_as_planning_would(begin: Begin, campaign: Campaign, data: st.DataObject) -> None:
    Member.objects.update(next_communication=None, state="waiting")
    for table in (Communication, Member, DoNotCall, Route):
        table.objects.all().delete()
    gateways = [factories.make_gateway(), factories.make_gateway()]
    patterns = st.sampled_from(["", "^1", "^2", "^12", "^9"])
    for _ in range(data.draw(st.integers(0, 3), label="routes")):
        Route.objects.create(
            gateway=data.draw(st.sampled_from(gateways)),
            pattern=data.draw(patterns),
            position=data.draw(st.integers(0, 2)),
            campaign=data.draw(st.sampled_from([None, campaign])),
            enabled=data.draw(st.booleans()),
        )
    digits = st.text("123", min_size=1, max_size=3)
    for number in data.draw(st.lists(digits, max_size=6, unique=True), label="listed"):
        DoNotCall.objects.create(
            digits=number,
            campaign=data.draw(st.sampled_from([None, campaign])),
            expire_at=data.draw(st.sampled_from([None, clock.now() + timedelta(hours=1), clock.now() - timedelta(1)])),
            created_at=clock.now(),
        )
    lines = data.draw(st.lists(st.tuples(digits, digits, digits), max_size=6), label="rows")
    upload = begin(["number_1,number_2,number_3", *map(",".join, lines)], on_duplicate="skip")
    layout = upload.layout
    for column in layout["columns"]:
        column["priority"] = data.draw(st.integers(0, 2), label="priority")
    upload = checked(actions.set_layout(upload, layout=layout, on_duplicate="skip"))
    if not upload.may_load:
        return
    work(actions.load(upload))

    def planned() -> list[Any]:
        return list(
            Member.objects.order_by("pk").values_list(
                "pk", "state", "due_at", "due_at_unlisted", "next_communication", "next_gateway", "zones"
            )
        )

    def routes() -> list[Any]:
        return list(Communication.objects.order_by("pk").values_list("pk", "route"))

    before, routed = planned(), routes()
    assert before
    planning.resolve_routes(communication_ids=[pk for pk, _ in routed])
    planning.zone([pk for pk, *_ in before])
    # At the instant at which they came: a listing that ends later still holds.
    planning.plan([pk for pk, *_ in before], Member.objects.order_by("pk").values_list("created_at", flat=True)[0])
    assert (planned(), routes()) == (before, routed)


def test_stop_loads_nothing_while_a_row_is_faulty_or_a_duplicate(begin: Begin) -> None:
    for lines in (["number", "0501", "x"], ["number", "0501", "0501"]):
        upload = checked(begin(lines))
        with pytest.raises(Refused, match="mend the file"):
            actions.load(upload)
    assert not Member.objects.exists()


def test_skip_leaves_out_the_faulty_and_the_duplicates(begin: Begin, campaign: Campaign) -> None:
    members.add_members(campaign, [{"name": "There", "communications": [{"number": "0501"}]}])
    upload = loaded(begin(["name,number", "New,0501", "X,x", "A,0502", "B,0502"]), on_duplicate="skip")
    assert counts(upload) == {"added": 1, "skipped": 2, "refused": 1}
    assert set(Member.objects.values_list("name", flat=True)) == {"There", "A"}


def test_update_changes_data_alone_and_adds_numbers(begin: Begin, campaign: Campaign) -> None:
    there, ended = members.add_members(
        campaign,
        [
            {"name": "There", "priority": 5, "communications": [{"number": "0501"}]},
            {"name": "Ended", "communications": [{"number": "0502"}]},
        ],
    )
    members.end_member(ended)
    lines = ["name,number_1,number_2", "Anna,0501,0601", "Borys,0502,0602", "Clara,0503,0603"]
    upload = loaded(begin(lines, on_duplicate="update"))
    assert counts(upload) == {"added": 1, "updated": 2}
    there.refresh_from_db()
    ended.refresh_from_db()
    assert (there.name, there.priority, there.upload) == ("Anna", 5, None)
    assert list(there.communications.values_list("digits", flat=True)) == ["0501", "0601"]
    assert (ended.name, ended.state, ended.end_cause) == ("Borys", "ended", "MANAGER_REQUEST")


def test_update_leaves_out_what_would_be_several_subscribers(begin: Begin, campaign: Campaign) -> None:
    for number in ("0501", "0502"):
        members.add_members(campaign, [{"communications": [{"number": number}]}])
    lines = ["name,number_1,number_2", "Both,0501,0502", "Fine,0503,", "Again,0503,"]
    upload = loaded(begin(lines, on_duplicate="update"))
    assert counts(upload) == {"added": 1, "skipped": 1, "refused": 1}
    assert not Member.objects.filter(name="Both").exists()


def test_two_rows_of_one_subscriber_change_him_once(begin: Begin, campaign: Campaign) -> None:
    members.add_members(campaign, [{"communications": [{"number": "0501"}, {"number": "0502"}]}])
    upload = loaded(begin(["name,number", "First,0501", "Second,0502"], on_duplicate="update"))
    assert counts(upload) == {"updated": 1, "refused": 1}
    assert Member.objects.get().name == "First"
    assert (3, "several") in told(upload)


def test_the_rule_may_be_chosen_once_the_check_is_known(begin: Begin) -> None:
    upload = checked(begin(["number", "0501", "0501"]))
    assert not upload.may_load
    upload = work(actions.load(upload, on_duplicate="skip"))
    assert (upload.state, upload.on_duplicate, counts(upload)) == ("loaded", "skip", {"added": 1, "skipped": 1})


def test_what_has_become_a_duplicate_since_the_check_is_found(begin: Begin, campaign: Campaign) -> None:
    upload = checked(begin(["number", "0501", "0502"], on_duplicate="skip"))
    members.add_members(campaign, [{"communications": [{"number": "0502"}]}])
    upload = work(actions.load(upload))
    assert counts(upload) == {"added": 1, "skipped": 1}
    assert told(upload) == [(3, "taken")]
    assert [entry["kind"] for entry in upload.report] == ["taken"]


def test_what_is_no_duplicate_any_more_is_loaded(begin: Begin, campaign: Campaign) -> None:
    (there,) = members.add_members(campaign, [{"communications": [{"number": "0501"}]}])
    upload = checked(begin(["number", "0501", "0502"], on_duplicate="skip"))
    assert upload.duplicates == 1
    members.delete_members(Member.objects.filter(pk=there.pk))
    upload = work(actions.load(upload))
    assert (counts(upload), told(upload)) == ({"added": 2}, [])


def test_stop_ends_where_a_row_has_become_a_duplicate(
    begin: Begin, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "BATCH", 2)
    upload = checked(begin(["number", "0501", "0502", "0503", "0504"]))
    members.add_members(campaign, [{"communications": [{"number": "0504"}]}])
    upload = work(actions.load(upload))
    assert (upload.state, counts(upload)) == ("failed", {"added": 2})
    assert "Line 5" in upload.fault
    assert upload.may_undo


def test_a_number_listed_since_the_check_is_told_and_not_due(begin: Begin, campaign: Campaign) -> None:
    upload = checked(begin(["number_1,number_2", "0501,0502", "0503,"]))
    members.add_do_not_call("0501")
    members.add_do_not_call("0503")
    upload = work(actions.load(upload))
    assert told(upload) == [(2, "listed"), (3, "listed")]
    first, second = Member.objects.order_by("pk")
    assert first.next_communication
    assert first.next_communication.digits == "0502"
    assert (second.state, second.next_communication) == ("waiting", None)


def test_batches_load_all(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "BATCH", 10)
    upload = loaded(begin(["number", *(f"05{at:04}" for at in range(35))]))
    assert (counts(upload), upload.done, Member.objects.count()) == ({"added": 35}, 35, 35)


def test_what_was_staged_and_is_gone_is_told(begin: Begin) -> None:
    upload = actions.load(checked(begin(["number", "0501"])))
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {staging.Tables.of(upload.pk).members}")
    upload = work(upload)
    assert upload.state == "failed"
    assert "Check the file again" in upload.fault


def test_the_campaign_runs_after_the_load_as_whoever_loaded_it(
    begin: Begin, campaign: Campaign, admin_user: Any
) -> None:
    upload = work(actions.load(checked(begin(["number", "0501"], auto_run=True)), admin_user))
    campaign.refresh_from_db()
    assert (upload.by, upload.by_name, upload.fault) == (admin_user, "admin", "")
    assert campaign.state != CampaignState.IDLE


def test_a_campaign_that_cannot_run_is_loaded_all_the_same_and_says_why(begin: Begin) -> None:
    Route.objects.all().delete()
    upload = loaded(begin(["number", "0501"], auto_run=True))
    assert (upload.state, counts(upload)) == ("loaded", {"added": 1})
    assert upload.fault.startswith("Loaded, but the campaign does not run: ")


def test_a_campaign_that_takes_zones_in_another_way_since_the_check_does_so_for_these(
    begin: Begin, campaign: Campaign
) -> None:
    upload = checked(begin(["number", "+380501112233"]))
    Campaign.objects.filter(pk=campaign.pk).update(zone_from_number="intersection", zoned_by="intersection")
    work(actions.load(upload))
    assert Member.objects.get().zones == "Europe/Kyiv"


# --- the rejected rows ------------------------------------------------------------------------------------------


def rejected(upload: Upload) -> list[list[str]]:
    return list(csv.reader(io.StringIO(b"".join(actions.rejected(upload)).decode("utf-8-sig"))))


def test_rejected_rows_come_in_the_columns_of_the_file_with_the_reason_and_the_line(begin: Begin) -> None:
    upload = loaded(begin(["name,number", "A,0501", "=cmd,+05x", "B,0501", "C,0502,more"]), on_duplicate="skip")
    heading, *found = rejected(upload)
    assert heading[:2] == ["name", "number"]
    assert [row[:2] + row[3:] for row in found] == [
        ["'=cmd", "'+05x", "3"], ["B", "0501", "4"], ["C", "0502", "5", "more"],
    ]  # fmt: skip
    assert "line 2" in found[1][2]


def test_many_rejected_rows_are_read_in_pages(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "PAGE", 3)
    upload = checked(begin(["number_1,number_2", *("x,y" for _ in range(10)), "0501,"]))
    assert [row[3] for row in rejected(upload)[1:]] == [str(line) for line in range(2, 12)]
    assert all("x" in row[2] and "y" in row[2] for row in rejected(upload)[1:])


def test_a_mended_file_of_rejected_rows_loads(begin: Begin, campaign: Campaign) -> None:
    upload = loaded(begin(["name,number", "A,0501", "B,05x2"]), on_duplicate="skip")
    mended = b"".join(actions.rejected(upload)).decode("utf-8-sig").replace("05x2", "0502", 1).splitlines()
    assert counts(loaded(begin(mended))) == {"added": 1}
    assert set(Member.objects.values_list("name", flat=True)) == {"A", "B"}


def test_what_update_changed_is_not_rejected(begin: Begin, campaign: Campaign) -> None:
    members.add_members(campaign, [{"communications": [{"number": "0501"}]}])
    upload = loaded(begin(["name,number", "A,0501", "B,x"], on_duplicate="update"))
    assert [row[0] for row in rejected(upload)[1:]] == ["B"]


# --- do-not-call ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [lambda campaign: campaign, lambda campaign: None], ids=["of a campaign", "of all"])
def test_a_list_of_do_not_call_numbers_is_loaded(
    begin: Begin, campaign: Campaign, of: Callable[[Campaign], Campaign | None]
) -> None:
    member = factories.make_member(campaign, ["0501"])
    to = of(campaign)
    lines = ["number,reason,expire", "0501,asked,", "0502,,2030-01-01 00:00", "0503,,2020-01-01 00:00", "05x,,"]
    upload = begin(lines, kind="do_not_call", to=to, reason="import", on_duplicate="skip")
    upload = loaded(upload)
    assert (counts(upload), told(upload)) == ({"added": 2, "refused": 2}, [(4, "expire"), (5, "number")])
    assert set(DoNotCall.objects.values_list("digits", "reason", "campaign")) == {
        ("0501", "asked", to and to.pk), ("0502", "import", to and to.pk),
    }  # fmt: skip
    member.refresh_from_db()
    assert member.next_communication is None
    assert not upload.may_undo


def test_terms_that_ended_since_the_check_are_told(begin: Begin) -> None:
    lines = ["number,expire", "0501,2030-01-01 00:00", "0502,"]
    upload = checked(begin(lines, kind="do_not_call", to=None))
    with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC)):
        upload = work(actions.load(upload))
    assert (upload.state, counts(upload), told(upload)) == ("loaded", {"added": 1, "refused": 1}, [(2, "expire")])


def test_a_listed_number_gets_new_terms_by_update_alone(begin: Begin) -> None:
    members.add_do_not_call("0501", reason="old")
    lines = ["number,reason", "0501,new", "0502,"]
    assert counts(loaded(begin(lines, kind="do_not_call", to=None), on_duplicate="skip")) == {"added": 1, "skipped": 1}
    assert DoNotCall.objects.get(digits="0501").reason == "old"
    assert counts(loaded(begin(lines, kind="do_not_call", to=None, on_duplicate="update"))) == {"updated": 2}
    assert DoNotCall.objects.get(digits="0501").reason == "new"
