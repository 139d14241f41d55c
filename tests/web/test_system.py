"""Pages of the system: what they find wrong and what they say to do, repairs, invariants in the background."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from redis import Redis

from dialer import clock, heartbeats, verbs
from dialer.api.models import CampaignAccess
from dialer.engine import invariants, lease
from dialer.engine.lease import Listeners
from dialer.models import Attempt, Repair
from dialer.web import broker, checking, system_reading
from dialer.web.tasks import check_invariants
from dialer.webhooks.models import Delivery, Event, Subscription
from members.uploads.models import Upload
from tests.factories import make_attempt, make_campaign, make_member, make_node, make_operator, make_route

pytestmark = pytest.mark.django_db

NAME = "127.0.0.1:8021"


@pytest.fixture
def well(redis: Redis, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Redis:
    """Everything works: the loop, beat, a worker of each queue, and a switch that is heard."""
    settings.FREESWITCH_URL = f"esl://:secret@{NAME}"
    node = make_node(name=NAME, last_event_at=clock.now(), version="1.10.12")
    known = lease.listeners()
    known[node.pk] = Listeners("dialer-1:17", [])
    monkeypatch.setattr(lease, "listeners", lambda: known)
    for key in (verbs.PASS_KEY, heartbeats.BEAT_KEY):
        redis.set(key, "1", ex=verbs.PASS_TTL)
    heartbeats.show(*broker.QUEUES)
    return redis


def problems(only: frozenset[int] | None = None) -> list[str]:
    return [f"{problem.title} {problem.remedy}" for problem in system_reading.read(only)["problems"]]


def limited_to(*campaigns: Any, rights: tuple[str, ...] = ()) -> Client:
    user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=rights))
    CampaignAccess.objects.bulk_create(CampaignAccess(user=user, campaign=campaign) for campaign in campaigns)
    client = Client()
    client.force_login(user)
    return client


# --- what is wrong, and what to do ------------------------------------------------------------------------------


def test_when_all_is_well_it_says_so(well: Redis, supervisor: Client) -> None:
    assert problems() == []
    page = supervisor.get("/system/").content.decode()
    assert "Everything works." in page
    assert "FreeSWITCH 127.0.0.1:8021" in page
    assert 'href="/system/" aria-current="page"' in page
    assert 'href="/system/" aria-current="true"' in supervisor.get("/switches/").content.decode()


@pytest.mark.parametrize(
    ("gone", "title", "remedy"),
    [
        (verbs.PASS_KEY, "The dial loop does not run.", "celery -A dialer worker -Q dial"),
        (heartbeats.BEAT_KEY, "Beat does not tick.", "celery -A dialer beat"),
    ],
)
def test_a_loop_that_stands(well: Redis, gone: str, title: str, remedy: str) -> None:
    well.delete(gone)
    [told] = problems()
    assert title in told
    assert remedy in told
    well.set(gone, "1", ex=verbs.PASS_TTL - 11)
    assert title in problems()[0], "late is as bad as never"


def test_a_queue_without_a_worker(well: Redis) -> None:
    heartbeats.leave_for_good("uploads")
    [told] = problems()
    assert "No worker takes the queue “uploads”." in told
    assert "-Q uploads" in told
    for one in heartbeats.processes(well):
        well.expire(f"{heartbeats.PROCESSES_KEY}:{one.kind} {one.host} {one.pid}", heartbeats.PROCESS_TTL - 21)
    assert len(problems()) == 3, "who is silent for long does not count"


def test_a_queue_that_is_behind(well: Redis) -> None:
    current_app.send_task("dialer.engine.tasks.tidy", queue="default")
    assert problems() == []
    message = json.loads(well.lpop("default"))  # type: ignore[arg-type]
    message["headers"][heartbeats.SENT_AT] -= 31
    well.lpush("default", json.dumps(message))
    [told] = problems()
    assert "The queue “default” is behind." in told
    assert "Start more workers" in told


def test_redis_that_is_gone(well: Redis, settings: Any, supervisor: Client) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    [told] = problems()
    assert "Redis does not answer." in told
    assert "REDIS_URL" in told
    for path in ("/system/", "/system/invariants/"):
        assert b"Redis does not answer." in supervisor.get(path).content
    supervisor.post("/system/invariants/check")
    assert b"nothing can be checked" in supervisor.get("/system/").content


def test_a_switch_that_is_not_heard(well: Redis) -> None:
    make_node(name="127.0.0.1:9999", connected=False)
    make_node(name="old:8021")
    assert problems() == [], "one that is not configured is no fault"
    lease.listeners().clear()
    [told] = problems()
    assert told == f"Switch {NAME}: no listener. Nobody hears it, so it gets no calls: does manage.py listen run?"


def test_slow_and_full_servers(well: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_reading, "SLOW", -1)
    monkeypatch.setattr(system_reading, "FULL", 0)
    told = " ".join(problems())
    for title in ("PostgreSQL is slow.", "Redis is slow.", "PostgreSQL has hardly a session left."):
        assert title in told


def test_webhooks_that_fail_or_gave_up(well: Redis, supervisor: Client) -> None:
    crm = Subscription.objects.create(name="CRM", types=["attempt.ended"], created_at=clock.now(), failures=4)
    Subscription.objects.create(name="Quiet", types=["attempt.ended"], created_at=clock.now())
    for state in ("pending", "pending", "parked"):
        event = Event.objects.create(type="attempt.ended", at=clock.now(), payload={})
        Delivery.objects.create(subscription=crm, event=event, state=state, created_at=clock.now())
    fails, parked = problems()
    assert "The webhook “CRM” fails." in fails
    assert "4 tries in a row" in fails
    assert "1 event for “CRM” was given up." in parked
    [row] = system_reading.read(None)["webhooks"]
    assert (row.pending, row.parked) == (2, 1)
    assert b"Quiet" not in supervisor.get("/system/").content


def test_an_upload_that_stands(well: Redis) -> None:
    fields: dict[str, Any] = {
        "campaign": make_campaign(), "state": "loading", "size": 1, "sha256": "0", "created_at": clock.now(),
    }  # fmt: skip
    Upload.objects.create(file_name="moves.csv", changed_at=clock.now(), **fields)
    Upload.objects.create(file_name="stands.csv", changed_at=clock.now() - timedelta(minutes=11), **fields)
    [told] = problems()
    assert "The upload of stands.csv stands." in told
    assert [one.file_name for one in system_reading.read(None)["uploads"]] == ["moves.csv", "stands.csv"]


def test_the_number_of_statements_is_constant(well: Redis) -> None:
    def statements() -> int:
        cache.clear()
        with CaptureQueriesContext(connection) as queries:
            system_reading.read(None)
        return len(queries)

    few = statements()
    make_route()
    for number in range(3):
        campaign = make_campaign()
        make_attempt(make_member(campaign), make_operator(campaign), node=make_node())
        Subscription.objects.create(name=str(number), types=["x"], created_at=clock.now(), failures=1)
    assert statements() == few <= 13


# --- who may see what -------------------------------------------------------------------------------------------


def test_they_are_for_supervisors_alone(well: Redis) -> None:
    stranger, agent = Client(), Client()
    agent.force_login(User.objects.create_user("agent"))
    for path in ("/system/", "/system/repairs/", "/system/invariants/"):
        assert stranger.get(path)["Location"].startswith("/login/")
        assert agent.get(path).status_code == 403
        assert limited_to().get(path).status_code == 200
    assert stranger.post("/system/invariants/check").status_code == 302
    assert agent.post("/system/invariants/check").status_code == 403
    assert not well.exists(checking.RUNNING_KEY)


def test_who_is_limited_sees_what_is_of_his_campaigns(well: Redis) -> None:
    make_route()
    ours, theirs = make_campaign(), make_campaign()
    for campaign, number in ((ours, "+380501110000"), (theirs, "+380502220000")):
        attempt = make_attempt(make_member(campaign, [number]), make_operator(campaign))
        Repair.objects.create(at=clock.now(), attempt=attempt, kind="late_end", detail=number)
        Upload.objects.create(
            file_name=f"{number}.csv", campaign=campaign, state="loading", size=1, sha256="0",
            created_at=clock.now(), changed_at=clock.now(),
        )  # fmt: skip
        Subscription.objects.create(
            name=f"CRM {number}", campaign=campaign, types=["attempt.ended"], created_at=clock.now(), failures=1
        )
    client = limited_to(ours)
    for path in ("/system/", "/system/repairs/", "/switches/", "/switches.json"):
        page = client.get(path).content.decode()
        assert "380501110000" in page
        assert "380502220000" not in page
    everything = limited_to().get("/system/repairs/").content
    assert b"380502220000" in everything


# --- repairs ----------------------------------------------------------------------------------------------------


def test_repairs_are_filtered_and_paged(supervisor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert b"Nothing had to be repaired" in supervisor.get("/system/repairs/").content
    one, two = make_node(name="one:8021"), make_node(name="two:8021")
    for number, (node, kind, hours) in enumerate(
        [(one, "late_end", 1), (one, "absent", 30), (two, "late_end", 3), (two, "late_end", 200)]
    ):
        Repair.objects.create(at=clock.now() - timedelta(hours=hours), node=node, kind=kind, detail=f"detail-{number}")

    def listed(query: str) -> list[int]:
        page = supervisor.get(f"/system/repairs/?{query}").content.decode()
        return [number for number in range(4) if f"detail-{number}" in page]

    assert listed("") == [0, 1, 2, 3]
    assert listed("kind=late_end") == [0, 2, 3]
    assert listed(f"switch={one.pk}") == [0, 1]
    assert listed("within=24h") == [0, 2]
    assert listed(f"kind=late_end&switch={two.pk}&within=7d") == [2]
    assert listed("kind=nothing&switch=x&within=ever&before=y") == []
    assert b"No repair is like that." in supervisor.get("/system/repairs/?kind=nothing").content
    monkeypatch.setattr("dialer.web.system.PAGE", 2)
    first = supervisor.get("/system/repairs/?kind=late_end").content.decode()
    assert "Older repairs" in first
    before = Repair.objects.get(detail="detail-2").pk
    assert f"before={before}" in first
    assert listed(f"kind=late_end&before={before}") == [0]


# --- invariants -------------------------------------------------------------------------------------------------


def test_a_check_is_made_by_a_worker_and_kept(
    well: Redis, supervisor: Client, django_capture_on_commit_callbacks: Any
) -> None:
    assert b"No check was made yet." in supervisor.get("/system/invariants/").content
    with django_capture_on_commit_callbacks(execute=True):
        assert supervisor.post("/system/invariants/check")["Location"] == "/system/invariants/"
    assert well.llen("default") == 1, "not in the request"
    page = supervisor.get("/system/invariants/").content.decode()
    assert "A check runs." in page
    assert 'hx-trigger="every 2s"' in page
    again = supervisor.post("/system/invariants/check", follow=True)
    assert b"A check runs already" in again.content
    check_invariants("olena")
    page = supervisor.get("/system/invariants/").content.decode()
    assert "A check runs." not in page
    assert page.count("<b>holds</b>") == len({check.invariant for check in invariants.CHECKS})
    assert ", olena, " in page


def test_what_does_not_hold_is_listed_and_told_on_the_overview(well: Redis, supervisor: Client) -> None:
    make_route()
    campaign = make_campaign()
    attempt = make_attempt(make_member(campaign), make_operator(campaign), ended_at=clock.now())
    Attempt.objects.filter(pk=attempt.pk).update(counted=False)
    check_invariants("olena")
    page = supervisor.get("/system/invariants/").content.decode()
    assert f"Attempt {attempt.pk} meant “retry” and is not counted." in page
    assert "things in the ledger are not as they must be." in problems()[0]
    limited = limited_to(campaign).get("/system/invariants/").content.decode()
    assert f"Attempt {attempt.pk}" not in limited
    assert 'data-tone="bad"' in limited


def test_a_check_that_failed_says_so_and_the_next_one_may_begin(
    well: Redis, supervisor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(invariants, "find_violations", fail)
    checking.start("olena")
    check_invariants("olena")
    page = supervisor.get("/system/invariants/").content.decode()
    assert "It could not be made." in page
    assert "RuntimeError: no memory" in page
    checking.start("olena")


def test_only_who_sees_everything_and_may_see_switches_has_it_checked(well: Redis) -> None:
    campaign = make_campaign()
    assert limited_to().post("/system/invariants/check").status_code == 403
    assert limited_to(campaign, rights=("view_node",)).post("/system/invariants/check").status_code == 403
    assert not well.exists(checking.RUNNING_KEY)
    assert limited_to(rights=("view_node",)).post("/system/invariants/check").status_code == 302
    assert well.exists(checking.RUNNING_KEY)
    assert limited_to().get("/system/invariants/check").status_code == 405
