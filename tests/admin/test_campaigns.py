"""A campaign is set up, edited, run and stopped in the admin alone."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from agents.models import Tier
from campaigns import actions
from campaigns.models import DEFAULT_CAUSES, Calendar, Campaign, CampaignState, CauseRule, Gateway, Route
from dialer import clock, verbs
from members.models import Member, MemberState
from tests import factories
from tests.admin.conftest import Browser, faults, messages

ADD = reverse("admin:campaigns_campaign_add")
LIST = reverse("admin:campaigns_campaign_changelist")


def page(campaign: Campaign, name: str = "change") -> str:
    return reverse(f"admin:campaigns_campaign_{name}", args=[campaign.pk])


@pytest.fixture
def calendar(db: None) -> Calendar:
    return factories.make_calendar()


@pytest.fixture
def campaign(db: None) -> Campaign:
    """Return an idle campaign with a route and a subscriber."""
    factories.make_route()
    campaign = factories.make_campaign()
    factories.make_member(campaign)
    return campaign


@pytest.fixture
def replans(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    asked: list[int | None] = []
    monkeypatch.setattr(verbs, "replan_soon", asked.append)
    return asked


def state_of(campaign: Campaign) -> str:
    return Campaign.objects.get(pk=campaign.pk).state


# --- set-up -----------------------------------------------------------------------------------------------------


def test_a_new_campaign_is_idle_with_the_defaults(browser: Browser, calendar: Calendar) -> None:
    assert browser.send(ADD, name="Debt reminders", calendar=calendar.pk).status_code == 302

    campaign = Campaign.objects.get()
    assert (campaign.state, campaign.limit, campaign.max_retries, campaign.variables) == ("idle", 30, 5, {})
    assert dict(campaign.causes.values_list("cause", "treatment")) == DEFAULT_CAUSES


def test_a_new_campaign_with_operators_and_a_route(
    browser: Browser, calendar: Calendar, replans: list[int | None]
) -> None:
    operator, gateway = factories.make_operator(), factories.make_gateway()
    tier = browser.add_row(ADD, "tiers", operator=operator.pk, level="2", position="3")
    route = browser.add_row(
        ADD, "routes", name="Ukraine", position="0", enabled="on", pattern="^380", gateway=gateway.pk, strip="2",
        variables='{"call_timeout": 45}',
    )  # fmt: skip

    assert browser.send(ADD, name="Debt reminders", calendar=calendar.pk, **tier | route).status_code == 302

    campaign = Campaign.objects.get()
    assert list(Tier.objects.values_list("campaign", "operator", "level", "position")) == [
        (campaign.pk, operator.pk, 2, 3)
    ]
    found = Route.objects.get()
    assert (found.campaign, found.pattern, found.strip, found.call_timeout) == (campaign, "^380", 2, 45)
    assert replans == [campaign.pk]


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"limit": "-1"}, "limit", "greater than or equal to 0"),
        ({"limit": "many"}, "limit", "whole number"),
        ({"max_retries": "0"}, "max_retries", "greater than or equal to 1"),
        ({"retry_wait": "99999999999"}, "retry_wait", "less than or equal to"),
        ({"originate_timeout": "601"}, "originate_timeout", "less than or equal to 600"),
        ({"variables": '{"api_on_answer": "uuid_kill"}'}, "variables", "“api_on_answer” acts on the switch itself"),
        ({"variables": '{"execute_on_answer_1": "x"}'}, "variables", "“execute_on_answer_1” acts on the switch itself"),
        ({"variables": '{"1st": "x"}'}, "variables", "no name for a variable"),
        ({"variables": '{"debt": [1]}'}, "variables", "not text"),
        ({"variables": '{"debt": "\\u0007"}'}, "variables", "control character"),
        ({"variables": "[1]"}, "variables", "JSON object"),
        ({"variables": "{"}, "variables", "valid JSON"),
        ({"caller_id": "Bank"}, "caller_id", "Digits only"),
        ({"calendar": ""}, "calendar", "required"),
        ({"name": ""}, "name", "required"),
    ],
)
def test_a_bad_campaign_is_refused_at_the_field(
    browser: Browser, calendar: Calendar, changes: dict[str, Any], field: str, told: str
) -> None:
    found = faults(browser.send(ADD, **{"name": "Debt reminders", "calendar": calendar.pk, **changes}))

    assert list(found) == [field]
    assert told in found[field][0]
    assert not Campaign.objects.exists()


def test_a_second_campaign_of_one_name_is_refused_at_the_field(browser: Browser, campaign: Campaign) -> None:
    found = faults(browser.send(ADD, name=campaign.name, calendar=campaign.calendar_id))
    assert list(found) == ["name"]


def test_a_variable_that_an_administrator_allowed_is_taken(browser: Browser, campaign: Campaign) -> None:
    variables = json.dumps({"sip_h_X-Tenant": "7"})
    assert "variables" in faults(browser.send(page(campaign), variables=variables))
    added = browser.send(reverse("admin:campaigns_allowedvariable_add"), name="sip_h_X_Tenant")
    assert added.status_code == 302

    assert browser.send(page(campaign), variables=variables.replace("-", "_")).status_code == 302


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"pattern": "(380"}, "routes-0-pattern"),
        ({"pattern": "abc"}, "routes-0-pattern"),
        ({"strip": "-1"}, "routes-0-strip"),
        ({"variables": '{"call_timeout": 0}'}, "routes-0-variables"),
        ({"variables": '{"sip_route_uri": "x"}'}, "routes-0-variables"),
        ({"gateway": ""}, "routes-0-gateway"),
    ],
)
def test_a_bad_route_is_refused_at_the_field(
    browser: Browser, campaign: Campaign, fields: dict[str, str], field: str
) -> None:
    gateway = Gateway.objects.get()
    row = browser.add_row(page(campaign), "routes", **{"gateway": gateway.pk, "position": "0", "strip": "0"} | fields)
    assert list(faults(browser.send(page(campaign), **row))) == [field]
    assert not Route.objects.filter(campaign=campaign).exists()


def test_an_operator_twice_in_a_campaign_is_refused(browser: Browser, campaign: Campaign) -> None:
    operator = factories.make_operator(campaign)
    row = browser.add_row(page(campaign), "tiers", operator=operator.pk, level="1", position="1")
    assert "tiers" in faults(browser.send(page(campaign), **row))


# --- editing ----------------------------------------------------------------------------------------------------


def test_an_edit_changes_what_was_edited_and_nothing_that_the_system_wrote_meanwhile(
    browser: Browser, campaign: Campaign
) -> None:
    sent = browser.form(page(campaign)) | {"limit": "7"}
    actions.run(campaign.pk)
    actions.update_campaign(campaign.pk, priority=5)

    # The page still has the old priority, as it was when it was opened.
    assert browser.client.post(page(campaign), sent).status_code == 302

    campaign.refresh_from_db()
    assert (campaign.limit, campaign.state) == (7, CampaignState.RUNNING)


def test_a_lowered_maximum_ends_those_over_it(browser: Browser, campaign: Campaign) -> None:
    over = factories.make_member(campaign, counted=2)
    assert browser.send(page(campaign), max_retries="2").status_code == 302
    over.refresh_from_db()
    assert (over.state, over.end_cause) == (MemberState.ENDED, "MAX_TRY_COUNT")


def test_a_route_that_is_edited_or_deleted_has_numbers_find_theirs_again(
    browser: Browser, campaign: Campaign, replans: list[int | None]
) -> None:
    factories.make_route(campaign=campaign)
    assert browser.send(page(campaign), name="Renamed").status_code == 302
    assert replans == []
    assert browser.send(page(campaign), routes__0__pattern="^49").status_code == 302
    assert replans == [campaign.pk]
    assert browser.send(page(campaign), routes__0__DELETE="on").status_code == 302
    assert replans == [campaign.pk, campaign.pk]


def test_a_common_route_concerns_all_campaigns(browser: Browser, campaign: Campaign, replans: list[int | None]) -> None:
    route = Route.objects.get()
    url = reverse("admin:campaigns_route_change", args=[route.pk])
    assert browser.send(url, pattern="^380").status_code == 302
    assert browser.send(url, campaign=campaign.pk).status_code == 302
    assert browser.send(url, pattern="^49").status_code == 302
    assert replans == [None, None, campaign.pk]

    assert list(faults(browser.send(url, pattern="("))) == ["pattern"]
    assert browser.client.get(reverse("admin:campaigns_route_changelist")).status_code == 200
    assert browser.client.post(url.replace("change", "delete"), {"post": "yes"}).status_code == 302
    assert replans[3:] == [campaign.pk]


# --- causes -----------------------------------------------------------------------------------------------------


def cause_row(browser: Browser, campaign: Campaign, cause: str) -> int:
    form = browser.form(page(campaign))
    return next(n for n in range(int(form["causes-TOTAL_FORMS"])) if form[f"causes-{n}-cause"] == cause)


def test_causes_are_edited_added_and_deleted(browser: Browser, campaign: Campaign) -> None:
    busy, lost = (cause_row(browser, campaign, name) for name in ("USER_BUSY", "LOSE_RACE"))
    changes: dict[str, Any] = {f"causes-{busy}-treatment": "error", f"causes-{lost}-DELETE": "on"}
    row = browser.add_row(page(campaign), "causes", cause="MEDIA_TIMEOUT", treatment="minus")

    assert browser.send(page(campaign), **changes | row).status_code == 302

    expected: dict[str, str] = dict(DEFAULT_CAUSES) | {"USER_BUSY": "error", "MEDIA_TIMEOUT": "minus"}
    del expected["LOSE_RACE"]
    assert dict(campaign.causes.values_list("cause", "treatment")) == expected


def test_a_bad_cause_is_refused_at_the_field(browser: Browser, campaign: Campaign) -> None:
    row = browser.add_row(page(campaign), "causes", cause="user busy", treatment="minus")
    (field,) = faults(browser.send(page(campaign), **row))
    assert field.endswith("-cause")


def test_a_cause_in_two_treatments_is_refused(browser: Browser, campaign: Campaign) -> None:
    row = browser.add_row(page(campaign), "causes", cause="USER_BUSY", treatment="minus")
    assert "causes" in faults(browser.send(page(campaign), **row))
    assert CauseRule.objects.get(campaign=campaign, cause="USER_BUSY").treatment == "retry"


def test_restoring_the_default_causes_is_one_click(browser: Browser, campaign: Campaign) -> None:
    actions.set_causes(campaign.pk, {"USER_BUSY": "error"})
    url = page(campaign, "restore-causes")
    assert f'formaction="{url}"' in browser.client.get(page(campaign)).content.decode()

    # The button lies in the page's form, so the browser sends that.
    response = browser.client.post(url, browser.form(page(campaign)), follow=True)

    assert "defaults again" in messages(response)[0]
    assert dict(campaign.causes.values_list("cause", "treatment")) == DEFAULT_CAUSES


# --- RUN and STOP -----------------------------------------------------------------------------------------------


def act(browser: Browser, action: str, *campaigns: Campaign) -> list[str]:
    ids = [campaign.pk for campaign in campaigns]
    return messages(browser.client.post(LIST, {"action": action, "_selected_action": ids}, follow=True))


def test_run_and_stop_as_actions_on_the_list(browser: Browser, campaign: Campaign) -> None:
    nobody = factories.make_campaign()

    told = act(browser, "run_selected", campaign, nobody)
    assert sorted(told) == sorted([f"{campaign}: Started.", f"{nobody}: {actions.RunAnswer.NOTHING_TO_DIAL.label}"])
    assert (state_of(campaign), state_of(nobody)) == ("running", "idle")

    assert f"“{nobody}” does not run." in act(browser, "stop_selected", campaign, nobody)
    assert state_of(campaign) == "stopped"
    assert LogEntry.objects.filter(object_id=str(campaign.pk)).count() == 2


def test_run_without_a_route_shows_the_message(browser: Browser, campaign: Campaign) -> None:
    Route.objects.all().delete()
    response = browser.client.post(page(campaign, "run"), follow=True)
    assert messages(response) == [f"No route: add one that dials for “{campaign}”."]
    assert state_of(campaign) == "idle"


def test_the_buttons_ask_first_and_say_what_follows(browser: Browser, campaign: Campaign) -> None:
    factories.make_operator(campaign)
    shown = browser.client.get(page(campaign)).content.decode()
    assert page(campaign, "run") in shown
    assert page(campaign, "stop") not in shown

    asked = browser.client.get(page(campaign, "run")).content.decode()
    assert "1 subscriber is left to call." in asked
    assert "1 of 1 assigned operators are free now." in asked
    assert "calls begin at once" in asked
    assert state_of(campaign) == "idle"
    assert browser.client.post(page(campaign, "run")).status_code == 302
    assert state_of(campaign) == "running"

    factories.make_attempt(Member.objects.get(), sending_at=clock.now())
    assert page(campaign, "stop") in browser.client.get(page(campaign)).content.decode()
    assert "1 call goes on to its end." in browser.client.get(page(campaign, "stop")).content.decode()
    assert state_of(campaign) == "running"
    browser.client.post(page(campaign, "stop"))
    assert state_of(campaign) == "stopping"


def test_run_says_that_the_calendar_is_closed(browser: Browser) -> None:
    factories.make_route()
    campaign = factories.make_campaign(factories.make_calendar(first_date=date(2030, 1, 1)))
    assert "It sleeps until its calendar opens" in browser.client.get(page(campaign, "run")).content.decode()


@pytest.mark.parametrize("verb", ["run", "stop", "restore-causes", "clone"])
def test_one_who_may_only_look_changes_nothing(client: Client, campaign: Campaign, verb: str) -> None:
    guest = User.objects.create_user("guest", is_staff=True)
    guest.user_permissions.add(Permission.objects.get(codename="view_campaign"))
    client.force_login(guest)

    shown = client.get(page(campaign))
    assert shown.status_code == 200
    assert "row-actions" not in shown.content.decode()
    assert client.post(page(campaign, verb)).status_code == 403
    assert state_of(campaign) == "idle"


def test_the_state_is_shown_and_cannot_be_edited(browser: Browser, campaign: Campaign) -> None:
    Campaign.objects.update(state="completed", completion="NOTHING_TO_DIAL", completion_left=4)
    shown = browser.client.get(page(campaign)).content.decode()
    assert "Nobody left can be dialled (4 left)" in shown
    assert "0 of 1 subscribers ended" in shown

    assert browser.send(page(campaign), state="running", limit="8").status_code == 302
    assert state_of(campaign) == "completed"


def test_a_sleeping_campaign_says_until_when(browser: Browser, campaign: Campaign) -> None:
    Campaign.objects.update(state="sleeping", sleeping_until="2030-05-06T06:30Z")
    assert "until Mon 6 May 2030 09:30 Europe/Kyiv" in browser.client.get(LIST).content.decode()


# --- copies, deletion, cost -------------------------------------------------------------------------------------


def test_a_copy_is_one_click(browser: Browser, campaign: Campaign) -> None:
    factories.make_operator(campaign)
    for _ in range(2):
        browser.client.post(page(campaign, "clone"))

    assert set(Campaign.objects.values_list("name", flat=True)) == {
        campaign.name, f"{campaign.name} (2)", f"{campaign.name} (3)"
    }  # fmt: skip
    assert Tier.objects.count() == 3


def test_a_campaign_with_subscribers_cannot_be_deleted(browser: Browser, campaign: Campaign) -> None:
    url = page(campaign, "delete")
    assert browser.client.post(url, {"post": "yes"}).status_code == 403
    empty = factories.make_campaign()
    factories.make_route(campaign=empty)
    url = page(empty, "delete")
    assert browser.client.post(url, {"post": "yes"}).status_code == 302
    assert list(Campaign.objects.all()) == [campaign]


def test_the_list_costs_the_same_for_any_number_of_campaigns(
    browser: Browser, campaign: Campaign, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        factories.make_operator(factories.make_campaign())
    with django_assert_max_num_queries(6):
        browser.client.get(LIST)


def test_the_page_costs_the_same_for_any_number_of_operators(
    browser: Browser, campaign: Campaign, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        factories.make_operator(campaign)
    with django_assert_max_num_queries(16):
        browser.client.get(page(campaign))


def test_the_tier_of_an_operator_is_edited_and_his_name_is_not(browser: Browser, campaign: Campaign) -> None:
    alice, bob = factories.make_operator(campaign), factories.make_operator()
    response = browser.send(page(campaign), tiers__0__operator=bob.pk, tiers__0__level="4")
    assert response.status_code == 302
    assert Tier.objects.get().level == 4
    assert Tier.objects.get().operator == alice

    assert browser.send(page(campaign), tiers__0__DELETE="on").status_code == 302
    assert not Tier.objects.exists()


def test_gateways_show_their_lines_and_health(browser: Browser, campaign: Campaign) -> None:
    gateway = Gateway.objects.get()
    factories.make_attempt(Member.objects.get(), sending_at=clock.now())
    actions.block_gateway(gateway.pk, "GATEWAY_DOWN", clock.now())
    listed = reverse("admin:campaigns_gateway_changelist")

    shown = browser.client.get(listed).content.decode()
    assert "1 / 30" in shown
    assert "GATEWAY_DOWN" in shown
    browser.client.post(listed, {"action": "try_again", "_selected_action": [gateway.pk]})
    gateway.refresh_from_db()
    assert gateway.blocked_until is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"capacity": "-1"}, "capacity"), ({"name": "a b"}, "name"), ({"dial_string": "sofia/x"}, "dial_string")],
)
def test_a_bad_gateway_is_refused_at_the_field(browser: Browser, changes: dict[str, str], field: str) -> None:
    url = reverse("admin:campaigns_gateway_add")
    assert list(faults(browser.send(url, **{"name": "trunk-1", **changes}))) == [field]
    assert browser.send(url, name="trunk-1", capacity="0").status_code == 302
    edited = reverse("admin:campaigns_gateway_change", args=[Gateway.objects.get().pk])
    assert browser.send(edited, capacity="12").status_code == 302
    assert Gateway.objects.get().capacity == 12


def test_dispositions_are_shown_to_be_looked_at(browser: Browser, campaign: Campaign) -> None:
    actions.set_dispositions(campaign.pk, [{"name": "Wrong number", "meaning": "failure", "hotkey": "4"}])
    text = browser.client.get(page(campaign)).content.decode()
    assert "Wrong number" in text
    assert 'name="dispositions-0-name"' not in text


def test_a_script_is_kept_as_it_was_typed(browser: Browser, campaign: Campaign) -> None:
    assert browser.send(page(campaign), script="Hello {name}\r\nBye").status_code == 302
    campaign.refresh_from_db()
    assert campaign.script == "Hello {name}\nBye"
    assert faults(browser.send(page(campaign), script="Hello {name"))["script"]


def test_operators_are_told_of_coaching_unless_the_box_is_emptied(browser: Browser, campaign: Campaign) -> None:
    assert 'name="coaching_shown"' in browser.client.get(page(campaign)).content.decode()
    assert campaign.coaching_shown
    sent = browser.form(page(campaign))
    del sent["coaching_shown"]
    assert browser.client.post(page(campaign), sent).status_code == 302
    campaign.refresh_from_db()
    assert not campaign.coaching_shown
