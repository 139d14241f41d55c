"""Who may see the pages, what their buttons do, and what every answer carries."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from campaigns.models import Campaign, CampaignState
from tests.factories import make_attempt, make_campaign, make_member, make_route

pytestmark = pytest.mark.django_db


class TestDoor:
    def test_a_stranger_is_sent_to_the_log_in_and_back(self) -> None:
        client = Client()
        User.objects.create_superuser("olena", password="correct horse")
        response = client.get("/", follow=True)
        assert response.redirect_chain == [("/login/?next=/", 302)]
        response = client.post("/login/", {"username": "olena", "password": "correct horse", "next": "/"})
        assert (response.status_code, response["Location"]) == (302, "/")
        assert client.get("/").status_code == 200

    def test_a_wrong_password_is_told(self) -> None:
        response = Client().post("/login/", {"username": "olena", "password": "wrong"})
        assert response.status_code == 200
        assert b'role="alert"' in response.content

    def test_logging_out_ends_it(self, supervisor: Client) -> None:
        supervisor.post("/logout/")
        assert supervisor.get("/").status_code == 302

    def test_one_who_is_no_supervisor_is_refused(self) -> None:
        client = Client()
        client.force_login(User.objects.create_user("agent"))
        page = client.get("/")
        assert page.status_code == 403
        assert b"for supervisors" in page.content
        assert b'action="/logout/"' in page.content, "no dead end"
        assert client.get("/live.json").status_code == 403

    def test_the_data_is_not_for_strangers(self) -> None:
        response = Client().get("/live.json")
        assert (response.status_code, response["Content-Type"]) == (401, "application/json")

    def test_the_page_brings_its_first_snapshot(self, supervisor: Client) -> None:
        make_campaign(name="Renewals")
        response = supervisor.get("/")
        found = re.search(rb'<script id="snapshot" type="application/json">(.+?)</script>', response.content)
        assert found
        assert json.loads(found[1])["campaigns"][0]["name"] == "Renewals"
        assert supervisor.get("/live.json").json()["campaigns"][0]["name"] == "Renewals"

    def test_a_name_cannot_break_out_of_the_page(self, supervisor: Client) -> None:
        make_campaign(name="</script><script>alert(1)</script>")
        assert b"<script>alert" not in supervisor.get("/").content


class TestButtons:
    def post(self, client: Client, campaign: Campaign, action: str) -> Any:
        return client.post(reverse(f"campaign-{action}", args=[campaign.pk]))

    def state(self, campaign: Campaign) -> str:
        return Campaign.objects.get(pk=campaign.pk).state

    def test_run_starts_and_says_so(self, supervisor: Client) -> None:
        make_route()
        campaign = make_campaign(name="Renewals")
        make_member(campaign)
        answer = self.post(supervisor, campaign, "run").json()
        assert answer == {"tone": "good", "message": "Renewals: Started."}
        assert self.state(campaign) == CampaignState.RUNNING
        assert self.post(supervisor, campaign, "run").json()["message"] == "Renewals: It runs already."

    def test_the_next_snapshot_shows_it_at_once(self, supervisor: Client) -> None:
        make_route()
        campaign = make_campaign()
        make_member(campaign)
        assert supervisor.get("/live.json").json()["campaigns"][0]["label"] == "Idle"
        self.post(supervisor, campaign, "run")
        assert supervisor.get("/live.json").json()["campaigns"][0]["label"] == "Running"

    def test_run_without_a_route_is_refused_with_what_to_do(self, supervisor: Client) -> None:
        campaign = make_campaign(name="Renewals")
        response = self.post(supervisor, campaign, "run")
        assert response.status_code == 409
        assert response.json()["code"] == "NO_ROUTE"
        assert "Renewals" in response.json()["message"]

    def test_run_with_nobody_left_says_so(self, supervisor: Client) -> None:
        make_route()
        answer = self.post(supervisor, make_campaign(), "run").json()
        assert answer["tone"] == "warn"
        assert "Nothing to dial" in answer["message"]

    def test_stop_without_a_call_stops_at_once(self, supervisor: Client) -> None:
        campaign = make_campaign(name="Renewals", state=CampaignState.RUNNING)
        assert self.post(supervisor, campaign, "stop").json()["message"] == "Renewals: Stopped."

    def test_stop_lets_calls_go_on_and_says_so(self, supervisor: Client) -> None:
        make_route()
        campaign = make_campaign(state=CampaignState.RUNNING)
        attempt = make_attempt(make_member(campaign))
        type(attempt).objects.update(sending_at=attempt.reserved_at)
        assert "go on to their end" in self.post(supervisor, campaign, "stop").json()["message"]
        assert self.state(campaign) == CampaignState.STOPPING

    def test_stop_of_one_that_does_not_run_is_refused(self, supervisor: Client) -> None:
        assert self.post(supervisor, make_campaign(), "stop").status_code == 409

    def test_a_campaign_that_is_gone(self, supervisor: Client) -> None:
        assert supervisor.post("/campaigns/12345/run").status_code == 404

    def test_a_link_starts_nothing(self, supervisor: Client) -> None:
        assert supervisor.get(f"/campaigns/{make_campaign().pk}/run").status_code == 405

    def test_another_site_starts_nothing(self) -> None:
        make_route()
        campaign = make_campaign()
        make_member(campaign)
        client = Client(enforce_csrf_checks=True)
        client.force_login(User.objects.create_superuser("olena"))
        assert self.post(client, campaign, "run").status_code == 403
        assert self.state(campaign) == CampaignState.IDLE
        client.get("/")
        token = client.cookies["csrftoken"].value
        response = client.post(f"/campaigns/{campaign.pk}/run", headers={"X-CSRFToken": token})
        assert response.status_code == 200

    def test_staff_without_the_permission_may_look_only(self) -> None:
        make_route()
        campaign = make_campaign()
        make_member(campaign)
        user = User.objects.create_user("trainee", is_staff=True)
        client = Client()
        client.force_login(user)
        assert b'data-may-run="no"' in client.get("/").content
        assert self.post(client, campaign, "run").status_code == 403
        assert self.state(campaign) == CampaignState.IDLE
        user.user_permissions.add(Permission.objects.get(codename="change_campaign"))
        assert self.post(client, campaign, "run").status_code == 200


class TestPolicy:
    @pytest.mark.parametrize(
        "path", ["/", "/switches/", "/login/", "/live.json", "/admin/", "/healthz", "/readyz", "/nowhere"]
    )
    def test_every_answer_allows_our_own_files_alone(self, supervisor: Client, path: str) -> None:
        policy = supervisor.get(path)["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy

    @pytest.mark.parametrize(
        "template", sorted(Path(settings.BASE_DIR, "templates").rglob("*.html")), ids=lambda path: path.name
    )
    def test_no_template_needs_more(self, template: Path) -> None:
        text = template.read_text()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|javascript:|https?://", text)
        assert not re.search(r"<script(?![^>]* src=)", text)

    def test_no_script_writes_markup_that_it_was_given(self) -> None:
        for script in Path(settings.BASE_DIR, "static").glob("*.js"):
            for markup in re.findall(r"innerHTML = (.+);", script.read_text()):
                assert set(re.findall(r"\$\{(\w+)\}", markup)) <= {"icons"}

    def test_the_admin_has_the_same_look(self, supervisor: Client) -> None:
        for path in ("/admin/", "/admin/campaigns/campaign/", "/admin/login/"):
            page = supervisor.get(path, follow=True).content.decode()
            # After Django's own colours, so that ours count.
            assert page.index("admin/css/dark_mode.css") < page.index("admin/css/theme.css")

    def test_what_is_not_there_has_a_page(self) -> None:
        response = Client().get("/nowhere")
        assert response.status_code == 404
        assert b"There is nothing here" in response.content

    def test_what_breaks_has_a_page_that_needs_nothing(
        self, monkeypatch: pytest.MonkeyPatch, supervisor: Client
    ) -> None:
        monkeypatch.setattr("dialer.live.read", lambda: 1 / 0)
        supervisor.raise_request_exception = False
        response = supervisor.get("/")
        assert response.status_code == 500
        assert b"Something went wrong" in response.content
        assert "Content-Security-Policy" in response


class TestFrameOfACampaign:
    def test_its_pages_show_its_state_and_tabs(self, supervisor: Client) -> None:
        campaign = make_campaign(name="Renewals")
        page = supervisor.get(f"/campaigns/{campaign.pk}/export/").content.decode()
        assert "never run" in page
        assert f'<a href="/campaigns/{campaign.pk}/export/" aria-current="page">Export</a>' in page
        assert f'action="/campaigns/{campaign.pk}/run"' in page

    def test_a_button_of_a_form_leads_back_to_its_page(self, supervisor: Client) -> None:
        campaign = make_campaign()
        make_member(campaign)
        make_route()
        page = f"/campaigns/{campaign.pk}/uploads/"
        answer = supervisor.post(f"/campaigns/{campaign.pk}/run", {"next": page}, follow=True)
        assert answer.redirect_chain == [(page, 302)]
        assert 'class="notice notice-good"' in answer.content.decode()

    def test_a_button_leads_to_no_other_site(self, supervisor: Client) -> None:
        campaign = make_campaign()
        answer = supervisor.post(f"/campaigns/{campaign.pk}/stop", {"next": "https://elsewhere.example/"})
        assert answer.headers["Location"] == "/"
