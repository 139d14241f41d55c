"""The ledger is for reading, and fast however long it is."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dialer import admin_tools, clock
from dialer.models import Attempt, Repair, ResultReport
from tests import factories
from tests.admin.conftest import Browser

LIST = reverse("admin:dialer_attempt_changelist")


@pytest.fixture
def attempt(db: None) -> Attempt:
    """Return an ended attempt with a repair and a result."""
    factories.make_route()
    member = factories.make_member(factories.make_campaign(), ["+380501234567"], name="Olena Shevchenko")
    attempt = factories.make_attempt(member, ended_at=clock.now(), node=factories.make_node())
    Repair.objects.create(at=clock.now(), attempt=attempt, node=attempt.node, kind="late_end", detail="It came late.")
    ResultReport.objects.create(
        attempt=attempt,
        member=member,
        received_at=clock.now(),
        body={"success": True},
        verdict="refused",
        reason="Late.",
    )
    return attempt


@pytest.mark.parametrize("model", ["attempt", "repair", "resultreport"])
def test_nobody_adds_changes_or_deletes(browser: Browser, attempt: Attempt, model: str) -> None:
    def url(name: str, *args: object) -> str:
        return reverse(f"admin:dialer_{model}_{name}", args=args)

    assert browser.client.get(url("changelist")).status_code == 200
    assert browser.client.get(url("add")).status_code == 403
    row = {"attempt": attempt, "repair": Repair.objects.get(), "resultreport": ResultReport.objects.get()}[model]
    shown = browser.client.get(url("change", row.pk))
    assert shown.status_code == 200
    assert 'name="_save"' not in shown.content.decode()
    assert browser.client.post(url("change", row.pk), {}).status_code == 403
    assert browser.client.post(url("delete", row.pk), {"post": "yes"}).status_code == 403


def test_an_attempt_shows_its_repairs_and_results(browser: Browser, attempt: Attempt) -> None:
    shown = browser.client.get(reverse("admin:dialer_attempt_change", args=[attempt.pk])).content.decode()
    assert "It came late." in shown
    assert "Late." in shown
    assert "Olena Shevchenko" in shown


@pytest.mark.parametrize("text", ["+380501234567", "38050", "4567", "olena", "shev"])
def test_an_attempt_is_found_by_its_subscriber(browser: Browser, attempt: Attempt, text: str) -> None:
    assert found(browser, q=text) == [attempt.pk]


def test_an_attempt_is_found_by_the_uuids_of_its_call(browser: Browser, attempt: Attempt) -> None:
    for call in (attempt.operator_uuid, attempt.subscriber_uuid, attempt.job_uuid):
        assert found(browser, q=str(call)) == [attempt.pk]
    assert found(browser, q="00000000-0000-4000-8000-000000000000") == []
    assert found(browser, q="nobody") == []


def found(browser: Browser, **query: str) -> list[int]:
    response = browser.client.get(LIST, query)
    assert response.status_code == 200
    return [row.pk for row in response.context["cl"].result_list]


def test_filters(browser: Browser, attempt: Attempt) -> None:
    live = factories.make_attempt(factories.make_member(attempt.campaign))
    assert found(browser) == [live.pk, attempt.pk]
    assert found(browser, live="1") == [live.pk]
    assert found(browser, live="0") == [attempt.pk]
    assert found(browser, outcome="retry") == [attempt.pk]
    assert found(browser, outcome="success") == []
    assert found(browser, campaign__id__exact=str(attempt.campaign_id)) == [live.pk, attempt.pk]


def test_no_list_counts_its_rows_to_the_end(
    browser: Browser, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_tools, "MOST_LISTED", 2)
    for _ in range(3):
        factories.make_attempt(factories.make_member(attempt.campaign))
    with CaptureQueriesContext(connection) as queries:
        response = browser.client.get(LIST)

    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counts
    assert all("LIMIT 2" in sql for sql in counts)
    assert response.context["cl"].result_count == 2


def test_a_list_says_that_there_are_more(browser: Browser, attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    assert b"Only the first" not in browser.client.get(LIST).content
    monkeypatch.setattr(admin_tools, "MOST_LISTED", 1)
    factories.make_attempt(factories.make_member(attempt.campaign))
    assert b"Only the first 1 are listed" in browser.client.get(LIST).content


def test_the_list_costs_the_same_for_any_number_of_attempts(
    browser: Browser, attempt: Attempt, django_assert_max_num_queries: Any
) -> None:
    for _ in range(10):
        factories.make_attempt(factories.make_member(attempt.campaign))
    with django_assert_max_num_queries(6):
        browser.client.get(LIST)


def test_the_index_bears_the_products_name(browser: Browser) -> None:
    shown = browser.client.get(reverse("admin:index")).content.decode()
    assert "Progressive dialer" in shown
    assert "Django administration" not in shown
