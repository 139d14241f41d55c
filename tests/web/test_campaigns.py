"""Pages of a campaign: what they show and save, to whom, and what two who change the same are told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.models import Tier
from campaigns import actions
from campaigns.actions import ChangedMeanwhile, merge
from campaigns.models import (
    DEFAULT_CAUSES,
    Calendar,
    Campaign,
    CampaignState,
    ConnectOrder,
    Gateway,
    Route,
    Treatment,
)
from dialer.api.models import CampaignAccess
from members.models import DoNotCall
from tests.factories import (
    make_attempt,
    make_calendar,
    make_campaign,
    make_gateway,
    make_member,
    make_node,
    make_operator,
    make_route,
)

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""14:00 in Kyiv, where the calendars are; a Monday."""
TABS = ("", "parameters/", "variables/", "causes/", "desk/", "operators/", "routes/")


@pytest.fixture(autouse=True)
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def campaign() -> Campaign:
    make_route(name="All")
    return make_campaign(name="Renewals")


def staff(*rights: str, campaigns: tuple[Campaign, ...] = ()) -> Client:
    """Return the client of one who is staff, with these rights, limited to these campaigns if any are given."""
    user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
    for right in ("campaigns.view_campaign", "campaigns.view_route", "agents.view_operator", *rights):
        app, codename = right.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    CampaignAccess.objects.bulk_create(CampaignAccess(user=user, campaign=campaign) for campaign in campaigns)
    client = Client()
    client.force_login(user)
    return client


def seen(client: Client, path: str, name: str = "seen") -> str:
    """Return what a page says of what it shows."""
    found = re.search(rf'name="{name}" value="([^"]+)"', client.get(path).content.decode())
    assert found, path
    return found[1]


def general_of(campaign: Campaign, **changed: Any) -> dict[str, Any]:
    return {"name": campaign.name, "calendar": campaign.calendar_id, "priority": campaign.priority, **changed}


def parameters_of(campaign: Campaign, **changed: Any) -> dict[str, Any]:
    """Return what the form of the parameters sends."""
    names = (
        "limit", "retry_wait", "max_retries", "min_duration", "wrap_up_time", "originate_timeout", "caller_id",
        "strategy", "connect_order", "waiting_sound", "answer_window", "abandon_message", "abandonment_cap",
        "default_region", "zone_from_number",
    )  # fmt: skip
    boxes = {name: "on" for name in ("wait_for_result", "wrap_up_until_result", "record") if getattr(campaign, name)}
    return {name: getattr(campaign, name) for name in names} | boxes | changed


def text_of(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


# --- changes of two ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "now", "mine", "merged"),
    [
        ({"a": 1}, {"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}, {"a": 2}),
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 3}, {"a": 2, "b": 3}),
        ({"a": 1}, {"a": 1, "c": 5}, {}, {"c": 5}),
        ({}, {"c": 5}, {"d": 6}, {"c": 5, "d": 6}),
        ({"a": 1}, {}, {}, {}),
    ],
)
def test_changes_of_two_are_merged(was: Any, now: Any, mine: Any, merged: Any) -> None:
    assert merge(was, now, mine) == merged


@pytest.mark.parametrize(
    ("was", "now", "mine", "clash"),
    [
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}),
        ({"a": 1}, {}, {"a": 3}, {"a": None}),
        ({"a": 1}, {"a": 2}, {}, {"a": 2}),
        ({}, {"a": 2}, {"a": 3}, {"a": 2}),
    ],
)
def test_changes_of_two_to_the_same_are_told(was: Any, now: Any, mine: Any, clash: Any) -> None:
    with pytest.raises(ChangedMeanwhile) as caught:
        merge(was, now, mine)
    assert caught.value.now == clash


# --- every page -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tab", TABS)
def test_a_page_is_shown_in_a_bounded_number_of_statements(supervisor: Client, campaign: Campaign, tab: str) -> None:
    path = f"/campaigns/{campaign.pk}/{tab}"
    cache.clear()
    with CaptureQueriesContext(
        connection,
    ) as few:
        assert supervisor.get(path).status_code == 200
    for _more in range(5):
        make_route(campaign=campaign, pattern="^1")
        make_operator(campaign)
    cache.clear()
    with CaptureQueriesContext(connection) as many:
        page = supervisor.get(path)
    assert len(many) <= len(few) + 3
    assert len(many) < 45
    text = page.content.decode()
    assert 'aria-current="page"' in text
    assert "<style" not in text
    assert " style=" not in text


@pytest.mark.parametrize("tab", TABS)
def test_who_may_not_see_a_campaign_finds_none(campaign: Campaign, tab: str) -> None:
    other = make_campaign()
    path = f"/campaigns/{campaign.pk}/{tab}"
    assert Client().get(path).status_code == 302
    assert staff(campaigns=(other,)).get(path).status_code == 404
    assert staff(campaigns=(campaign,)).get(path).status_code == 200


@pytest.mark.parametrize("tab", ["", "parameters/", "variables/", "causes/", "operators/"])
def test_who_may_only_look_sees_fields_that_cannot_be_changed(campaign: Campaign, tab: str) -> None:
    make_operator(campaign)
    campaign.variables = {"language": "uk"}
    campaign.save()
    client = staff()
    path = f"/campaigns/{campaign.pk}/{tab}"
    text = client.get(path).content.decode()
    assert "You may look, but not change this campaign." in text
    form = text[text.index("You may look") :]
    boxes = re.findall(r"<(?:input|select|textarea)[^>]*>", form)
    shown = [box for box in boxes if "hidden" not in box and 'type="search"' not in box and 'type="radio"' not in box]
    assert shown
    assert all("disabled" in box for box in shown)
    assert client.post(path, {}).status_code == 403


# --- general ----------------------------------------------------------------------------------------------------


def test_general_is_saved_and_says_what_changed(supervisor: Client, campaign: Campaign) -> None:
    path = f"/campaigns/{campaign.pk}/"
    night = make_calendar(name="Nights")
    sent = general_of(campaign, calendar=night.pk, priority=7, seen=seen(supervisor, path))
    answer = supervisor.post(path, sent, follow=True)
    campaign.refresh_from_db()
    assert (campaign.calendar, campaign.priority) == (night, 7)
    assert "Priority 0 → 7" in text_of(answer)
    assert "→ Nights" in text_of(answer)
    assert "with the next call" in text_of(answer)


def test_what_cannot_be_saved_is_told_at_its_field_and_stays_typed(supervisor: Client, campaign: Campaign) -> None:
    make_campaign(name="Taken")
    path = f"/campaigns/{campaign.pk}/"
    answer = supervisor.post(path, general_of(campaign, name="Taken", priority="x", seen=seen(supervisor, path)))
    assert answer.status_code == 400
    assert set(answer.context["form"].errors) == {"name", "priority"}
    text = answer.content.decode()
    assert 'value="x"' in text
    assert "<h1>Renewals</h1>" in text


def test_two_who_edit_general_do_not_overwrite_each_other(supervisor: Client, campaign: Campaign) -> None:
    path = f"/campaigns/{campaign.pk}/"
    mine = seen(supervisor, path)
    actions.update_campaign(campaign.pk, priority=5, name="Renewals 2026")
    # What I did not touch stays his; what we both changed is told with his value, and nothing is written.
    answer = supervisor.post(path, general_of(campaign, priority=9, seen=mine))
    assert answer.status_code == 400
    assert list(answer.context["form"].errors) == ["priority"]
    assert "“5”" in answer.context["form"].errors["priority"][0]
    campaign.refresh_from_db()
    assert (campaign.priority, campaign.name) == (5, "Renewals 2026")
    # Again, knowing it: now mine.
    again = general_of(campaign, name="Renewals", priority=9, seen=answer.context["form"].sealed())
    assert supervisor.post(path, again).status_code == 302
    campaign.refresh_from_db()
    assert (campaign.priority, campaign.name) == (9, "Renewals 2026")


def test_a_page_that_nobody_wrote_saves_nothing(supervisor: Client, campaign: Campaign) -> None:
    for forged in ("", "abc:def"):
        answer = supervisor.post(f"/campaigns/{campaign.pk}/", general_of(campaign, priority=9, seen=forged))
        assert answer.status_code == 400
        assert "Load it again" in answer.content.decode()
    campaign.refresh_from_db()
    assert campaign.priority == 0


@pytest.mark.parametrize(
    ("weekly", "dates", "label", "told"),
    [
        ({1: [(0, 1440)]}, {}, "open", "closes"),
        ({2: [(540, 1080)]}, {}, "closed", "opens"),
        ({1: [(0, 1440)]}, {"last_date": "2026-11-20"}, "over", "never opens again"),
    ],
)
def test_the_present_state_of_its_calendar(supervisor: Client, weekly: Any, dates: Any, label: str, told: str) -> None:
    campaign = make_campaign(make_calendar(weekly=weekly, **dates))
    page = supervisor.get(f"/campaigns/{campaign.pk}/")
    assert page.context["calendar_now"]["label"] == label
    assert told in page.context["calendar_now"]["told"]


# --- parameters -------------------------------------------------------------------------------------------------


def test_parameters_are_saved_with_when_they_take_effect(supervisor: Client, campaign: Campaign) -> None:
    path = f"/campaigns/{campaign.pk}/parameters/"
    sent = parameters_of(campaign, limit=12, retry_wait=90, record="on", seen=seen(supervisor, path))
    answer = supervisor.post(path, sent, follow=True)
    campaign.refresh_from_db()
    assert (campaign.limit, campaign.retry_wait, campaign.record) == (12, 90, True)
    told = text_of(answer)
    assert "Limit 30 → 12, Record off → on (with the next call" in told
    assert "Wait between retries 60 → 90 (with the next call that ends" in told


def test_a_lower_maximum_ends_those_over_it(supervisor: Client, campaign: Campaign) -> None:
    member = make_member(campaign, counted=3)
    path = f"/campaigns/{campaign.pk}/parameters/"
    supervisor.post(path, parameters_of(campaign, max_retries=3, seen=seen(supervisor, path)))
    member.refresh_from_db()
    assert member.end_cause == "MAX_TRY_COUNT"


def test_every_parameter_of_the_campaign_is_on_a_page(supervisor: Client, campaign: Campaign) -> None:
    from campaigns.forms import CampaignForm  # the admin's form: the whole of what may be set
    from dialer.web import campaign_forms as forms
    from dialer.web.campaign_desk_forms import DeskForm

    shown = {"variables"}
    for form in (forms.GeneralForm, forms.ParametersForm, forms.CauseSettingsForm, DeskForm):
        shown |= set(form.base_fields)
    assert shown == {*CampaignForm.base_fields, "desk_links"}  # links are rows: the admin has none
    grouped = [name for group in forms.ParametersForm.groups_of for name in group.fields]
    assert sorted(grouped) == sorted(forms.ParametersForm.base_fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "-1"), ("max_retries", "0"), ("originate_timeout", "601"), ("answer_window", "1"),
     ("abandon_message", "rm -rf"), ("abandonment_cap", "101"), ("caller_id", "abc"), ("connect_order", "both")],
)  # fmt: skip
def test_a_parameter_that_cannot_be(supervisor: Client, campaign: Campaign, name: str, value: str) -> None:
    path = f"/campaigns/{campaign.pk}/parameters/"
    answer = supervisor.post(path, parameters_of(campaign, **{name: value, "seen": seen(supervisor, path)}))
    assert answer.status_code == 400
    assert list(answer.context["form"].errors) == [name]
    assert '<p class="fault"' in answer.content.decode()


# --- variables --------------------------------------------------------------------------------------------------


def rows(**variables: str) -> dict[str, list[str]]:
    return {"name": [*variables, ""], "value": [*variables.values(), ""]}


def test_variables_are_rows_and_keep_their_kind(supervisor: Client, campaign: Campaign) -> None:
    actions.update_campaign(campaign.pk, variables={"debt": 20000, "language": "uk", "vip": True})
    path = f"/campaigns/{campaign.pk}/variables/"
    form = supervisor.get(path).context["form"]
    assert [(row.name, row.value) for row in form.rows if row.name] == [
        ("debt", "20000"), ("language", "uk"), ("vip", "true"),
    ]  # fmt: skip
    sent = rows(debt="20000", language="en", product="8fd2") | {"seen": [seen(supervisor, path)]}
    answer = supervisor.post(path, sent, follow=True)
    campaign.refresh_from_db()
    assert campaign.variables == {"debt": 20000, "language": "en", "product": "8fd2"}
    assert "added: product; changed: language; removed: vip" in text_of(answer)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("api_on_answer", "x", "acts on the switch"),
        ("dialer_id", "x", "belongs to the dialer"),
        ("2nd", "x", "no name for a variable"),
        ("", "x", "A name is missing"),
        ("note", "a\x07b", "control character"),
    ],
)
def test_a_fault_of_a_variable_is_told_at_its_row(
    supervisor: Client, campaign: Campaign, name: str, value: str, told: str
) -> None:
    path = f"/campaigns/{campaign.pk}/variables/"
    sent = {"name": ["good", name], "value": ["1", value], "seen": seen(supervisor, path)}
    answer = supervisor.post(path, sent)
    assert answer.status_code == 400
    first, second = answer.context["form"].rows
    assert not first.fault
    assert told in second.fault
    assert told in answer.content.decode()
    campaign.refresh_from_db()
    assert campaign.variables == {}


def test_a_name_that_is_there_twice(supervisor: Client, campaign: Campaign) -> None:
    path = f"/campaigns/{campaign.pk}/variables/"
    sent = {"name": ["a", "a"], "value": ["1", "2"], "seen": seen(supervisor, path)}
    form = supervisor.post(path, sent).context["form"]
    assert [bool(row.fault) for row in form.rows] == [False, True]


def test_two_who_edit_variables(supervisor: Client, campaign: Campaign) -> None:
    actions.update_campaign(campaign.pk, variables={"a": "1", "b": "1"})
    path = f"/campaigns/{campaign.pk}/variables/"
    mine = seen(supervisor, path)
    actions.update_campaign(campaign.pk, variables={"a": "2", "b": "1", "c": "3"})
    answer = supervisor.post(path, rows(a="9", b="8") | {"seen": [mine]})
    assert answer.status_code == 400
    form = answer.context["form"]
    assert ["“2”" in row.fault for row in form.rows if row.name] == [True, False]
    answer = supervisor.post(path, rows(a="9", b="8") | {"seen": [form.sealed()]})
    campaign.refresh_from_db()
    assert campaign.variables == {"a": "9", "b": "8", "c": "3"}


# --- causes -----------------------------------------------------------------------------------------------------


def causes_of(campaign: Campaign, **changed: str) -> dict[str, Any]:
    known = dict(campaign.causes.values_list("cause", "treatment")) | changed
    return {f"cause-{cause}": treatment for cause, treatment in known.items()} | {
        "minus_limit": campaign.minus_limit, "new": "", "new_treatment": "error",
    }  # fmt: skip


def tokens(client: Client, path: str) -> dict[str, str]:
    return {name: seen(client, path, name) for name in ("seen", "seen_settings")}


def test_causes_move_between_columns(supervisor: Client, campaign: Campaign) -> None:
    path = f"/campaigns/{campaign.pk}/causes/"
    columns = supervisor.get(path).context["columns"]
    assert [column["value"] for column in columns] == ["error", "retry", "ok", "minus"]
    sent = causes_of(campaign, USER_BUSY="minus", NO_ROUTE="") | tokens(supervisor, path)
    answer = supervisor.post(path, sent | {"new": "quiet_line", "new_treatment": "ok", "minus_limit": 3}, follow=True)
    known = dict(campaign.causes.values_list("cause", "treatment"))
    assert (known["USER_BUSY"], known["QUIET_LINE"]) == (Treatment.MINUS, Treatment.OK)
    assert "NO_ROUTE" not in known
    campaign.refresh_from_db()
    assert campaign.minus_limit == 3
    told = text_of(answer)
    assert "3 causes moved: NO_ROUTE Error → not listed (Retry), QUIET_LINE not listed (Retry) → OK" in told
    assert "Minus causes in a row 20 → 3" in told
    assert supervisor.post(f"{path}restore").status_code == 302
    assert dict(campaign.causes.values_list("cause", "treatment")) == DEFAULT_CAUSES


@pytest.mark.parametrize(
    ("cause", "treatment", "told"),
    [("bad cause", "ok", "A hangup cause, as USER_BUSY."), ("USER_BUSY", "ok", "listed already, as Retry"),
     ("QUIET", "loud", "loud")],
)  # fmt: skip
def test_a_cause_that_cannot_be_added(
    supervisor: Client, campaign: Campaign, cause: str, treatment: str, told: str
) -> None:
    path = f"/campaigns/{campaign.pk}/causes/"
    sent = causes_of(campaign, NO_ANSWER="ok") | tokens(supervisor, path)
    answer = supervisor.post(path, sent | {"new": cause, "new_treatment": treatment})
    assert answer.status_code == 400
    assert told in answer.context["form"].faults["new"]
    assert dict(campaign.causes.values_list("cause", "treatment")) == DEFAULT_CAUSES


def test_two_who_move_the_same_cause(supervisor: Client, campaign: Campaign) -> None:
    path = f"/campaigns/{campaign.pk}/causes/"
    mine = tokens(supervisor, path)
    sent = causes_of(campaign, USER_BUSY="minus") | {"minus_limit": 4}
    actions.set_causes(campaign.pk, DEFAULT_CAUSES | {"USER_BUSY": Treatment.ERROR, "NO_ANSWER": Treatment.OK})
    answer = supervisor.post(path, sent | mine)
    assert answer.status_code == 400
    form = answer.context["form"]
    assert list(form.faults) == ["USER_BUSY"]
    assert "“Error”" in form.faults["USER_BUSY"]
    assert supervisor.post(path, sent | mine | {"seen": form.sealed()}).status_code == 302
    known = dict(campaign.causes.values_list("cause", "treatment"))
    assert (known["USER_BUSY"], known["NO_ANSWER"]) == (Treatment.MINUS, Treatment.OK)


def test_causes_that_happened_are_counted_and_shown_though_not_listed(supervisor: Client, campaign: Campaign) -> None:
    node = make_node()
    for cause in ("USER_BUSY", "USER_BUSY", "STRANGE_END"):
        make_attempt(
            make_member(campaign), node=node, subscriber_created_at=NOON, ended_at=NOON, outcome="retry", cause=cause,
            counted=True,
        )  # fmt: skip
    cache.clear()
    columns = supervisor.get(f"/campaigns/{campaign.pk}/causes/").context["columns"]
    retry = {row["cause"]: (row["count"], row["chosen"]) for row in columns[1]["causes"]}
    assert retry["USER_BUSY"] == (2, "retry")
    assert retry["STRANGE_END"] == (1, "")


# --- operators --------------------------------------------------------------------------------------------------


def test_operators_are_added_many_at_once(supervisor: Client, campaign: Campaign) -> None:
    first, second, gone = make_operator(), make_operator(), make_operator(archived=True)
    other = make_operator(campaign)
    path = f"/campaigns/{campaign.pk}/operators/"
    offered = [row["id"] for row in supervisor.get(path).context["found"]]
    assert sorted(offered) == [first.pk, second.pk]
    sent = {"add": [first.pk, second.pk, gone.pk, other.pk], "level": 2, "position": 3}
    answer = supervisor.post(f"{path}add", sent, follow=True)
    assert "2 operators serve “Renewals” now, 2 of them free." in text_of(answer)
    places = dict(Tier.objects.filter(campaign=campaign).values_list("operator", "level"))
    assert places == {first.pk: 2, second.pk: 2, other.pk: 1}


def test_operators_are_searched(supervisor: Client, campaign: Campaign) -> None:
    olena, ivan = make_operator(campaign, name="Olena"), make_operator(name="Ivan", extension="7001")
    path = f"/campaigns/{campaign.pk}/operators/"
    page = supervisor.get(path, {"q": "ole", "find": "70"})
    assert [row["tier"].operator for row in page.context["rows"]] == [olena]
    assert [row["id"] for row in page.context["found"]] == [ivan.pk]
    found = supervisor.get(f"{path}found", {"find": "nobody"}).content.decode()
    assert "Nobody who could be added matches." in found
    assert "<html" not in found


def test_places_change_and_operators_are_taken_away(supervisor: Client, campaign: Campaign) -> None:
    first, second = make_operator(campaign), make_operator(campaign)
    path = f"/campaigns/{campaign.pk}/operators/"
    sent = {f"level-{first.pk}": 3, f"position-{first.pk}": 4, f"level-{second.pk}": 1, f"position-{second.pk}": 1}
    answer = supervisor.post(path, sent | {"seen": seen(supervisor, path)}, follow=True)
    assert "1 operator has another place" in text_of(answer)
    tier = Tier.objects.get(operator=first)
    assert (tier.level, tier.position) == (3, 4)
    gone = sent | {"seen": seen(supervisor, path), "operator": [second.pk], "remove": "1"}
    assert "1 operator is taken away" in text_of(supervisor.post(path, gone, follow=True))
    assert list(Tier.objects.filter(campaign=campaign).values_list("operator", flat=True)) == [first.pk]


def test_faults_and_clashes_of_places_are_told_at_the_operator(supervisor: Client, campaign: Campaign) -> None:
    him, other = make_operator(campaign), make_operator(campaign)
    path = f"/campaigns/{campaign.pk}/operators/"
    rest = {f"level-{other.pk}": 1, f"position-{other.pk}": 1}
    bad = rest | {f"level-{him.pk}": "x", f"position-{him.pk}": 1, "seen": seen(supervisor, path)}
    answer = supervisor.post(path, bad)
    assert answer.status_code == 400
    faults = {row["tier"].operator_id: row["fault"] for row in answer.context["rows"]}
    assert faults[him.pk].startswith("Level")
    assert not faults[other.pk]
    mine = seen(supervisor, path)
    actions.set_places(campaign.pk, {him.pk: (5, 5)}, seen={him.pk: (1, 1)})
    good = rest | {f"level-{him.pk}": 2, f"position-{him.pk}": 1}
    answer = supervisor.post(path, good | {"seen": mine})
    assert answer.status_code == 400
    assert "level 5, position 5" in answer.content.decode()
    assert supervisor.post(path, good | {"seen": answer.context["sealed"]}).status_code == 302
    assert Tier.objects.get(operator=him).level == 2


# --- routes -----------------------------------------------------------------------------------------------------


def test_routes_stand_in_their_order_and_a_number_is_tried(supervisor: Client) -> None:
    common = make_route(name="Common", caller_id="4400")
    campaign = make_campaign(default_region="UA", originate_timeout=44)
    make_campaign(name="Other")
    off = make_route(campaign=campaign, position=1, name="Off", enabled=False)
    mobile = make_route(
        make_gateway(name="mobile"), campaign=campaign, position=2, name="Mobile", pattern="^38050", strip=3,
        prepend="00", variables={"call_timeout": 25},
    )  # fmt: skip
    path = f"/campaigns/{campaign.pk}/routes/"
    page = supervisor.get(path)
    assert [row["route"] for row in page.context["own"]] == [off, mobile]
    assert [row["route"] for row in page.context["common"]] == [common]
    tried = supervisor.get(path, {"number": "050 123-45-67"}).context["tried"]
    assert (tried.dial, tried.route, tried.rings) == ("+380501234567", mobile, 25)
    assert tried.dialled == "sofia/gateway/mobile/000501234567"
    page = supervisor.get(path, {"number": "044 234 56 78"})
    tried = page.context["tried"]
    assert (tried.route, tried.caller_id, tried.rings, tried.listed) == (common, "4400", 44, False)
    assert [row["takes"] for row in page.context["common"]] == [True]
    DoNotCall.objects.create(digits="380442345678", created_at=NOON)
    assert supervisor.get(path, {"number": "044 234 56 78"}).context["tried"].listed
    tried = supervisor.get(path, {"number": "12"}).context["tried"]
    assert tried.fault
    assert tried.route is None


def test_a_route_is_added_changed_moved_and_deleted(supervisor: Client, campaign: Campaign) -> None:
    gateway = make_gateway()
    path = f"/campaigns/{campaign.pk}/routes/"
    sent = {"name": "One", "pattern": "^1", "gateway": gateway.pk, "strip": 0, "enabled": "on", "call_timeout": 20}
    assert supervisor.post(f"{path}new/", sent).status_code == 302
    assert supervisor.post(f"{path}new/", sent | {"name": "Two"}).status_code == 302
    one, two = Route.objects.filter(campaign=campaign)
    assert (one.name, one.call_timeout, two.name) == ("One", 20, "Two")
    assert supervisor.post(f"{path}{two.pk}/move", {"up": "1"}).status_code == 302
    assert [route.name for route in Route.objects.filter(campaign=campaign)] == ["Two", "One"]
    # Two who change it: the pattern is his already.
    mine = seen(supervisor, f"{path}{one.pk}/")
    actions.save_route(one.pk, pattern="^2")
    answer = supervisor.post(f"{path}{one.pk}/", sent | {"pattern": "^3", "call_timeout": "", "seen": mine})
    assert list(answer.context["form"].errors) == ["pattern"]
    again = sent | {"pattern": "^3", "call_timeout": "", "seen": answer.context["form"].sealed()}
    assert supervisor.post(f"{path}{one.pk}/", again).status_code == 302
    one.refresh_from_db()
    assert (one.pattern, one.call_timeout) == ("^3", None)
    bad = supervisor.post(f"{path}{one.pk}/", sent | {"pattern": "(", "seen": seen(supervisor, f"{path}{one.pk}/")})
    assert list(bad.context["form"].errors) == ["pattern"]
    assert supervisor.post(f"{path}{one.pk}/delete").status_code == 302
    assert not Route.objects.filter(pk=one.pk).exists()


def test_a_common_route_is_changed_by_no_page_of_a_campaign(supervisor: Client, campaign: Campaign) -> None:
    route = Route.objects.get(campaign=None)
    for page in ("", "move", "delete"):
        assert supervisor.post(f"/campaigns/{campaign.pk}/routes/{route.pk}/{page}").status_code == 404
    assert Route.objects.filter(pk=route.pk).exists()


# --- add, copy, delete ------------------------------------------------------------------------------------------


def test_a_campaign_is_added(supervisor: Client) -> None:
    calendar = make_calendar()
    bad = supervisor.post("/campaigns/new/", {"name": "", "calendar": calendar.pk, "priority": 0, "limit": 5})
    assert bad.status_code == 400
    assert list(bad.context["form"].errors) == ["name"]
    sent = {"name": "New", "calendar": calendar.pk, "priority": 0, "limit": 5}
    answer = supervisor.post("/campaigns/new/", sent)
    campaign = Campaign.objects.get()
    assert answer["Location"] == f"/campaigns/{campaign.pk}/operators/"
    assert (campaign.limit, campaign.causes.count()) == (5, len(DEFAULT_CAUSES))


def test_a_copy_has_everything_but_subscribers(supervisor: Client, campaign: Campaign) -> None:
    actions.update_campaign(campaign.pk, variables={"a": "1"}, limit=7, connect_order=ConnectOrder.SUBSCRIBER_FIRST)
    make_route(campaign=campaign, name="Own")
    operator = make_operator(campaign)
    make_member(campaign)
    path = f"/campaigns/{campaign.pk}/clone/"
    form = supervisor.get(path).context["form"]
    assert form["name"].value() == "Renewals (2)"
    assert supervisor.post(path, {"name": "Renewals"}).status_code == 400
    answer = supervisor.post(path, {"name": "Spring"})
    copy = Campaign.objects.get(name="Spring")
    assert answer["Location"] == f"/campaigns/{copy.pk}/"
    assert (copy.variables, copy.limit, copy.connect_order) == ({"a": "1"}, 7, ConnectOrder.SUBSCRIBER_FIRST)
    assert copy.state == CampaignState.IDLE
    assert [route.name for route in Route.objects.filter(campaign=copy)] == ["Own"]
    assert [tier.operator for tier in Tier.objects.filter(campaign=copy)] == [operator]
    assert copy.causes.count() == campaign.causes.count()
    assert not copy.members.exists()


def test_a_campaign_is_deleted_while_nobody_is_in_it(supervisor: Client, campaign: Campaign) -> None:
    path = f"/campaigns/{campaign.pk}/delete/"
    make_member(campaign)
    page = supervisor.get(path)
    assert page.context["kept"]
    assert " disabled" in page.content.decode()
    assert "has subscribers" in text_of(supervisor.post(path, follow=True))
    assert Campaign.objects.filter(pk=campaign.pk).exists()
    empty = make_campaign()
    make_operator(empty)
    path = f"/campaigns/{empty.pk}/delete/"
    assert not supervisor.get(path).context["kept"]
    assert supervisor.post(path).status_code == 302
    assert list(Campaign.objects.all()) == [campaign]


def test_who_may_not_add_copy_or_delete(campaign: Campaign) -> None:
    limited = staff("campaigns.add_campaign", "campaigns.change_campaign", campaigns=(campaign,))
    for client in (staff(), limited):
        for path in ("/campaigns/new/", f"/campaigns/{campaign.pk}/clone/", f"/campaigns/{campaign.pk}/delete/"):
            assert client.get(path).status_code == 403
            assert client.post(path, {"name": "X"}).status_code == 403
    routes = f"/campaigns/{campaign.pk}/routes/new/"
    assert limited.get(routes).status_code == 403
    assert Campaign.objects.count() == 1


# --- step by step -----------------------------------------------------------------------------------------------


def test_the_first_campaign_from_nothing(supervisor: Client) -> None:
    path = "/campaigns/first/"
    page = supervisor.get(path)
    assert page.context["open"] == "calendar"
    assert page.context["reachable"] == ["calendar", "campaign"]
    hours = {"step": "calendar", "name": "Office", "time_zone": "Europe/Kyiv", "days": [1, 2], "start": "9:00"}
    bad = supervisor.post(path, hours | {"end": "8:00"})
    assert list(bad.context["form"].errors) == ["end"]
    answer = supervisor.post(path, hours | {"end": "18:00"}, follow=True)
    calendar = Calendar.objects.get()
    assert [(item.weekday, item.start, item.end) for item in calendar.ranges.all()] == [(1, 540, 1080), (2, 540, 1080)]
    assert (answer.context["open"], answer.context["form"]["calendar"].value()) == ("campaign", calendar.pk)
    sent = {"step": "campaign", "name": "First", "calendar": calendar.pk, "priority": 0, "limit": 2}
    answer = supervisor.post(path, sent, follow=True)
    campaign = Campaign.objects.get()
    here = f"/campaigns/first/{campaign.pk}/"
    assert answer.redirect_chain[-1][0] == here
    assert answer.context["open"] == "operators"
    assert "There is no operator yet." in answer.content.decode()
    operator = make_operator()
    answer = supervisor.post(here, {"step": "operators", "add": [operator.pk]}, follow=True)
    assert answer.context["open"] == "lines"
    bad = supervisor.post(here, {"step": "lines", "name": "no spaces", "capacity": 4, "pattern": "("})
    assert bad.status_code == 400
    assert not Gateway.objects.exists()
    answer = supervisor.post(here, {"step": "lines", "name": "trunk", "capacity": 4, "pattern": ""}, follow=True)
    assert Route.objects.get().gateway == Gateway.objects.get(name="trunk", capacity=4)
    assert answer.context["open"] == "list"
    make_member(campaign)
    page = supervisor.get(here)
    assert page.context["open"] == "run"
    assert f"/campaigns/{campaign.pk}/run" in page.content.decode()
    actions.run(campaign.pk)
    page = supervisor.get(here)
    assert all(step.done for step in page.context["steps"])
    assert supervisor.get(f"{here}?step=lines").context["open"] == "lines"


def test_the_steps_skip_what_is_there(supervisor: Client, campaign: Campaign) -> None:
    make_operator(campaign)
    page = supervisor.get(f"/campaigns/first/{campaign.pk}/")
    assert [step.done for step in page.context["steps"]] == [True, True, True, True, False, False]
    assert page.context["open"] == "list"
    assert supervisor.get("/campaigns/first/").context["open"] == "campaign"


def test_the_steps_tell_who_may_not(campaign: Campaign) -> None:
    client = staff(campaigns=(campaign,))
    assert client.get("/campaigns/first/999999/").status_code == 404
    here = f"/campaigns/first/{campaign.pk}/"
    assert client.post(here, {"step": "operators", "add": []}).status_code == 403
    page = client.post("/campaigns/first/", {"step": "campaign", "name": "X"})
    assert [one.pk for one in page.context["known"]] == [campaign.pk]
    client.post(here, {"step": "lines", "name": "x", "capacity": 1})
    client.post("/campaigns/first/", {"step": "calendar", "name": "x"})
    assert (Campaign.objects.count(), Gateway.objects.count(), Calendar.objects.count()) == (1, 1, 1)


def test_general_shows_where_the_list_stands(supervisor: Client, campaign: Campaign) -> None:
    make_member(campaign)
    path = f"/campaigns/{campaign.pk}/funnel"
    assert f'hx-get="{path}"' in supervisor.get(f"/campaigns/{campaign.pk}/").content.decode()
    assert re.search(r"<tfoot>.*<b>1</b>", supervisor.get(path).content.decode())
    assert staff("campaigns.view_campaign").get(path).status_code == 403
    other = staff("members.view_member", campaigns=(make_campaign(),))
    assert other.get(path).status_code == 404
