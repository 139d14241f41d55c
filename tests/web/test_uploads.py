"""The pages of uploads: what is guessed and chosen, what each state shows, and who may do what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from campaigns.models import Campaign
from dialer.api.models import CampaignAccess
from members.models import Communication, DoNotCall, Member
from members.uploads import staging
from members.uploads.models import Upload, UploadState, UploadTemplate
from tests.factories import make_attempt, make_campaign, make_member, make_operator, make_route
from tests.members.conftest import RecordingEngine
from tests.members.conftest import engine as engine
from tests.web_entry import application

pytestmark = pytest.mark.django_db

UKRAINIAN = "Ім'я;Телефон;Телефон 2;Борг\nОлена;0671000001;0441000001;200\nЇжакевич Ґалина;0671000002;;300\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, settings: Any) -> None:
    settings.UPLOADS_DIR = tmp_path / "uploads"


@pytest.fixture
def campaign(db: None, engine: RecordingEngine) -> Campaign:
    make_route()
    return make_campaign()


def send(client: Client, campaign: Campaign, content: str | bytes = UKRAINIAN, name: str = "list.csv") -> Upload:
    """Upload a file as a browser without scripts does; a text is of Windows."""
    raw = content.encode("cp1251") if isinstance(content, str) else content
    answer = client.post(f"/campaigns/{campaign.pk}/uploads/", {"file": SimpleUploadedFile(name, raw)})
    upload = Upload.objects.latest("pk")
    assert answer["Location"] == f"/uploads/{upload.pk}/"
    return upload


def fields(client: Client, upload: Upload, **other: str) -> dict[str, str]:
    """Return what the form of the page would send, with other choices."""
    form = client.get(f"/uploads/{upload.pk}/?edit=1").context["form"]
    found = {name: str(form[name].value() or "") for name in form.fields if name not in {"heading", "auto_run"}}
    found |= {name: "on" for name in ("heading", "auto_run") if form[name].value()}
    found |= {"read": form.signature, "width": str(len(form.columns)), "dated": form.dated}
    for column in form.columns:
        for name in ("destination", "name", "priority", "description"):
            found[f"c{column.place}-{name}"] = getattr(column, name)
    return found | other


def settled(client: Client, campaign: Campaign, content: str | bytes = UKRAINIAN, **other: str) -> Upload:
    """Upload a file and have it checked as guessed, with other choices."""
    upload = send(client, campaign, content)
    answer = client.post(f"/uploads/{upload.pk}/", fields(client, upload, **other))
    assert answer.status_code == 302, list(answer.context["form"].told())
    return work(upload)


def work(upload: Upload) -> Upload:
    """Do what a worker would, at once."""
    staging.work(upload.pk)
    return Upload.objects.get(pk=upload.pk)


def person(*rights: str) -> Client:
    user = User.objects.create_user("trainee", is_staff=True)
    for right in rights:
        app, codename = right.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client = Client()
    client.force_login(user)
    return client


# --- the file ---------------------------------------------------------------------------------------------------


def test_a_file_is_shown_as_it_is_guessed_before_anything_is_loaded(supervisor: Client, campaign: Campaign) -> None:
    upload = send(supervisor, campaign)
    page = supervisor.get(f"/uploads/{upload.pk}/")
    form = page.context["form"]
    assert (form["charset"].value(), form["separator"].value(), form["heading"].value()) == ("windows-1251", ";", True)
    assert [column.destination for column in form.columns] == ["name", "number", "number", "nothing"]
    text = page.content.decode()
    assert "Їжакевич Ґалина" in text
    assert "Олена · Їжакевич Ґалина" in text
    assert not Member.objects.exists()
    history = supervisor.get(f"/campaigns/{campaign.pk}/uploads/").content.decode()
    assert "list.csv" in history
    assert upload.sha256[:12] in history
    assert "olena" in history


def test_a_script_is_told_where_the_upload_is_or_why_there_is_none(supervisor: Client, campaign: Campaign) -> None:
    path = f"/campaigns/{campaign.pk}/uploads/"
    accept = {"Accept": "application/json"}
    answer = supervisor.post(path, {"file": SimpleUploadedFile("a.csv", b"number\n0501112233\n")}, headers=accept)
    assert (answer.status_code, answer.json()) == (201, {"url": f"/uploads/{Upload.objects.get().pk}/"})
    page = SimpleUploadedFile("a.csv", b"<html><body>No</body></html>")
    answer = supervisor.post(path, {"file": page}, headers=accept)
    assert answer.status_code == 400
    assert "HTML" in answer.json()["message"]
    assert supervisor.post(path, {}, headers=accept).json() == {"message": "Choose a file."}


def test_a_file_that_is_no_list_is_told_on_the_page(supervisor: Client, campaign: Campaign) -> None:
    path = f"/campaigns/{campaign.pk}/uploads/"
    answer = supervisor.post(path, {"file": SimpleUploadedFile("a.pdf", b"%PDF-1.7 no list")})
    assert answer.status_code == 400
    assert "a PDF document" in answer.content.decode()
    assert not Upload.objects.exists()


def test_a_file_over_the_limit_is_refused_with_the_limit_named(
    supervisor: Client, campaign: Campaign, settings: Any
) -> None:
    settings.UPLOAD_LIMIT_MB = 1
    path = f"/campaigns/{campaign.pk}/uploads/"
    page = supervisor.get(path).content.decode()
    assert 'data-limit="1000000" data-limit-text="1 MB"' in page
    answer = supervisor.post(path, {"file": SimpleUploadedFile("a.csv", b"0501112233\n" * 100_000)})
    assert answer.status_code == 400
    assert "larger than 1 MB" in answer.content.decode()


def test_a_file_far_over_the_limit_is_not_even_read(settings: Any) -> None:
    settings.UPLOAD_LIMIT_MB = 1

    async def ask() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            raise AssertionError("the body is read")

        async def tell(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-length", b"2000000000"), (b"host", b"localhost")]
        scope = {"type": "http", "method": "POST", "path": "/campaigns/1/uploads/", "headers": headers}
        await application()(scope, receive, tell)
        return sent

    sent = async_to_sync(ask)()
    assert sent[0]["status"] == 413
    assert "1 MB" in json.loads(sent[1]["body"])["detail"]


# --- how it is read ---------------------------------------------------------------------------------------------


def preview(client: Client, upload: Upload, **other: str) -> str:
    answer = client.post(f"/uploads/{upload.pk}/preview", fields(client, upload, **other))
    assert answer.status_code == 200
    return answer.content.decode()


def test_each_choice_changes_the_preview_and_writes_nothing(supervisor: Client, campaign: Campaign) -> None:
    upload = send(supervisor, campaign)
    before = Upload.objects.filter(pk=upload.pk).values().get()
    assert "Їжакевич Ґалина" in preview(supervisor, upload)
    other = preview(supervisor, upload, charset="koi8-u")
    assert "Їжакевич" not in other
    assert 'id="mapping"' in other
    assert "1 column<" in preview(supervisor, upload, separator="|")
    assert "Ім&#x27;я;Телефон;Телефон 2;Борг" in preview(supervisor, upload, separator="other", separator_other="^")
    whole = preview(supervisor, upload, heading="")
    assert "Column 1" in whole
    assert Upload.objects.filter(pk=upload.pk).values().get() == before


def test_a_choice_of_a_column_leaves_the_others_as_they_stand(supervisor: Client, campaign: Campaign) -> None:
    upload = send(supervisor, campaign)
    given = {"c3-destination": "variable", "c3-name": "debt"}
    shown = preview(supervisor, upload, **given)
    assert 'id="mapping"' not in shown
    assert '<span class="chip" data-tone="talk">debt</span>' in shown
    # Read in another way the file has the same columns: what was chosen for them stays.
    again = preview(supervisor, upload, charset="koi8-r", **given)
    assert 'name="c3-name" value="debt"' in again


def test_a_charset_that_does_not_fit_tells_the_line_and_the_byte(supervisor: Client, campaign: Campaign) -> None:
    upload = send(supervisor, campaign)
    shown = preview(supervisor, upload, charset="utf-8")
    assert "Line 1, byte 1 of the file: This is not UTF-8." in shown
    assert 'id="check" disabled' in shown
    answer = supervisor.post(f"/uploads/{upload.pk}/", fields(supervisor, upload, charset="utf-8"))
    assert answer.status_code == 400
    assert "This is not UTF-8." in answer.content.decode()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"c1-destination": "nothing", "c2-destination": "nothing"}, "No column has numbers"),
        ({"c3-destination": "name"}, "Another column is loaded as this already."),
        ({"c3-destination": "variable"}, "Name the variable."),
        ({"c3-destination": "variable", "c3-name": "борг"}, "is no name for a variable"),
        ({"c3-destination": "variable", "c3-name": "api_on_answer"}, "api_on_answer"),
        ({"c1-priority": "high"}, "This must be a whole number"),
        ({"c3-destination": "anything"}, "This must be one of"),
        ({"separator": "other", "separator_other": ""}, "The separator is one character"),
        ({"charset": "klingon"}, "is no character set"),
        ({"c3-destination": "expire", "dated": "3", "expire_format": "%d"}, "does not tell day, month and year"),
        ({"c3-destination": "expire", "dated": "3", "expire_zone": "Kyiv"}, "is not a time zone"),
        ({"on_duplicate": "perhaps"}, "Select a valid choice"),
    ],
)
def test_what_cannot_be_loaded_is_told_at_once_and_not_checked(
    supervisor: Client, campaign: Campaign, given: dict[str, str], told: str
) -> None:
    upload = send(supervisor, campaign)
    assert told in preview(supervisor, upload, **given).replace("&#x27;", "'")
    answer = supervisor.post(f"/uploads/{upload.pk}/", fields(supervisor, upload, **given))
    assert answer.status_code == 400
    assert told in answer.content.decode()
    assert Upload.objects.get().state == UploadState.NEW


def test_cells_that_would_be_rejected_are_marked_in_the_preview(supervisor: Client, campaign: Campaign) -> None:
    upload = send(supervisor, campaign, "number;name\n0671000001;A\nsoon;B\n")
    row = supervisor.get(f"/uploads/{upload.pk}/").context["first_rows"][1]
    assert row["cells"][0].told.startswith("“soon” holds")
    assert not row["cells"][1].told


def test_the_format_of_dates_is_taken_from_the_column_that_is_chosen(supervisor: Client, campaign: Campaign) -> None:
    upload = send(supervisor, campaign, "number;a;b\n0671000001;x;31.12.2030\n0671000002;y;no date\n")
    shown = preview(supervisor, upload, **{"c2-destination": "expire"})
    assert 'name="expire_format" value="%d.%m.%Y"' in shown
    # One that was typed stays.
    typed = {"c2-destination": "expire", "dated": "2", "expire_format": "%d/%m/%Y"}
    assert 'id="dates"' not in preview(supervisor, upload, **typed)


def test_dates_that_can_be_read_in_several_ways_are_doubted(supervisor: Client, campaign: Campaign) -> None:
    upload = send(supervisor, campaign, "number;expire\n0671000001;01/02/2030\n0671000002;03/04/2030\n")
    assert "01/02/2026 is taken for the first of February" in preview(supervisor, upload)
    clear = send(supervisor, campaign, "number;expire\n0671000001;01/02/2030\n0671000002;30/04/2030\n")
    assert "is taken for" not in preview(supervisor, clear)


def test_columns_guessed_for_another_reading_are_shown_before_they_are_acted_upon(
    supervisor: Client, campaign: Campaign
) -> None:
    upload = send(supervisor, campaign)
    # A browser without scripts: the mapping on its page is that of the old separator.
    given = fields(supervisor, upload, separator="|")
    answer = supervisor.post(f"/uploads/{upload.pk}/", given)
    assert answer.status_code in (200, 400)
    assert len(answer.context["form"].columns) == 1
    assert Upload.objects.get().state == UploadState.NEW


def test_a_file_with_sixty_columns_and_one_with_one(supervisor: Client, campaign: Campaign) -> None:
    wide = ";".join(["number", *(f"v{n}" for n in range(59))]) + "\n" + ";".join(["0671000001"] * 60) + "\n"
    page = supervisor.get(f"/uploads/{send(supervisor, campaign, wide).pk}/")
    assert len(page.context["form"].columns) == 60
    narrow = send(supervisor, campaign, "0671000001\n0671000002\n")
    page = supervisor.get(f"/uploads/{narrow.pk}/")
    assert [column.destination for column in page.context["form"].columns] == ["number"]


def test_the_statements_of_a_page_do_not_grow_with_the_file(
    supervisor: Client, campaign: Campaign, django_assert_max_num_queries: Any
) -> None:
    wide = ";".join(["number", *(f"v{n}" for n in range(59))]) + "\n" + (";".join(["0671000001"] * 60) + "\n") * 99
    upload = send(supervisor, campaign, wide)
    with django_assert_max_num_queries(12):
        supervisor.get(f"/uploads/{upload.pk}/")


# --- templates --------------------------------------------------------------------------------------------------


def test_a_mapping_is_saved_by_name_suggested_for_the_next_file_and_used(
    supervisor: Client, campaign: Campaign
) -> None:
    upload = send(supervisor, campaign)
    given = {"c3-destination": "variable", "c3-name": "debt", "on_duplicate": "skip"}
    saving = fields(supervisor, upload, **given, do="save", template_name="CRM")
    answer = supervisor.post(f"/uploads/{upload.pk}/", saving, follow=True)
    assert "The template “CRM” is saved." in answer.content.decode()
    template = UploadTemplate.objects.get()
    following = send(supervisor, campaign, UKRAINIAN.replace("200", "201"))
    page = supervisor.get(f"/uploads/{following.pk}/").content.decode()
    assert "The template “CRM” was saved for a file with these headings." in page
    used = supervisor.get(f"/uploads/{following.pk}/?edit=1&template={template.pk}").context["form"]
    assert (used.columns[3].destination, used.columns[3].name) == ("variable", "debt")
    assert used["on_duplicate"].value() == "skip"
    other = send(supervisor, campaign, "number\n0671000009\n")
    assert "was saved for a file" not in supervisor.get(f"/uploads/{other.pk}/").content.decode()


def test_a_template_needs_a_name(supervisor: Client, campaign: Campaign) -> None:
    upload = send(supervisor, campaign)
    answer = supervisor.post(f"/uploads/{upload.pk}/", fields(supervisor, upload, do="save", template_name=" "))
    assert answer.status_code == 400
    assert "Give it a name" in answer.content.decode()
    assert not UploadTemplate.objects.exists()


# --- check, load, undo ------------------------------------------------------------------------------------------

MIXED = "number;name\n0671000001;A\n0671000001;B\nsoon;C\n0671000003;D\n0671000004;E\n"


def test_a_file_goes_through_check_load_and_undo(supervisor: Client, campaign: Campaign) -> None:
    make_member(campaign, ["0671000003"])
    upload = send(supervisor, campaign, MIXED)
    path = f"/uploads/{upload.pk}/"
    assert supervisor.post(path, fields(supervisor, upload))["Location"] == path
    under_way = supervisor.get(path).content.decode()
    assert f'hx-get="{path}progress?state=checking" hx-trigger="every 1s"' in under_way

    work(upload)
    report = supervisor.get(path)
    page = report.content.decode()
    assert [(kind["title"], kind["count"]) for kind in report.context["report"]] == [
        ("Bad numbers", 1), ("Duplicates inside the file", 1), ("In the list already", 1),
    ]  # fmt: skip
    assert "1 faulty rows and 2 duplicates" in page
    assert 'id="load" disabled aria-describedby="obstacle"' in page
    skip = supervisor.get(path, {"on_duplicate": "skip"}).content.decode()
    assert "2 subscribers are added, 3 rows are left out." in skip
    assert 'id="load" disabled' not in skip
    update = supervisor.get(path, {"on_duplicate": "update"}).content.decode()
    assert "2 subscribers are added, 1 is updated, 2 rows are left out." in update

    supervisor.post(f"{path}load", {"on_duplicate": "skip"})
    assert Upload.objects.get().state == UploadState.LOADING
    work(upload)
    done = supervisor.get(path)
    assert "The list is loaded" in done.content.decode()
    assert Communication.objects.filter(digits__in=["0671000001", "0671000004"]).count() == 2
    rejected: Any = supervisor.get(f"{path}rejected")
    lines = b"".join(rejected.streaming_content).decode("utf-8-sig").splitlines()
    assert lines[0] == "number;name;Why it was left out;Line"
    assert [line.split(";")[1] for line in lines[1:]] == ["B", "C", "D"]

    make_attempt(Member.objects.get(name="A"), make_operator(campaign))
    supervisor.post(f"{path}undo")
    work(upload)
    undone = supervisor.get(path).content.decode()
    assert "The upload is undone" in undone
    assert "1 stays, since it was called." in undone
    assert set(Member.objects.values_list("name", flat=True)) >= {"A"}
    assert not Member.objects.filter(name="E").exists()
    history = supervisor.get(f"/campaigns/{campaign.pk}/uploads/").content.decode()
    assert "Undone" in history


def test_the_rule_that_the_page_told_of_is_the_one_that_is_loaded_by(supervisor: Client, campaign: Campaign) -> None:
    upload = settled(supervisor, campaign, MIXED, on_duplicate="skip")
    answer = supervisor.post(f"/uploads/{upload.pk}/load", {"on_duplicate": "stop"}, follow=True)
    assert "1 faulty rows and 1 duplicates" in answer.content.decode()
    assert Upload.objects.get().state == UploadState.CHECKED


def test_progress_is_told_until_the_state_is_another_and_then_the_page_asks_no_more(
    supervisor: Client, campaign: Campaign
) -> None:
    upload = send(supervisor, campaign)
    supervisor.post(f"/uploads/{upload.pk}/", fields(supervisor, upload))
    Upload.objects.update(done=400, total=1000)
    path = f"/uploads/{upload.pk}/progress?state=checking"
    answer = supervisor.get(path)
    assert "HX-Retarget" not in answer
    assert '<progress value="0.4000" max="1"' in answer.content.decode()
    work(upload)
    answer = supervisor.get(path)
    assert (answer["HX-Retarget"], answer["HX-Reswap"]) == ("#stage", "outerHTML")
    assert "every 1s" not in answer.content.decode()
    assert "What the check found" in answer.content.decode()


def test_cancel_holds_at_once_and_the_file_may_be_checked_again(supervisor: Client, campaign: Campaign) -> None:
    upload = send(supervisor, campaign)
    path = f"/uploads/{upload.pk}/"
    supervisor.post(path, fields(supervisor, upload))
    supervisor.post(f"{path}cancel")
    assert "Change how it is read, and check again" in supervisor.get(path).content.decode()
    supervisor.post(path, fields(supervisor, upload))
    assert work(upload).state == UploadState.CHECKED
    told = supervisor.post(f"{path}cancel", follow=True).content.decode()
    assert "nothing is under way" in told


def test_why_it_failed_is_told(supervisor: Client, campaign: Campaign) -> None:
    upload = send(supervisor, campaign)
    Upload.objects.update(state=UploadState.FAILED, fault="Line 7: the quote is never closed.")
    page = supervisor.get(f"/uploads/{upload.pk}/").content.decode()
    assert "Line 7: the quote is never closed." in page
    assert 'class="is-stopped"' in page


def test_a_deleted_file_leaves_its_history(supervisor: Client, campaign: Campaign) -> None:
    upload = settled(supervisor, campaign)
    path = f"/uploads/{upload.pk}/"
    assert "The file is deleted." in supervisor.post(f"{path}forget", follow=True).content.decode()
    assert supervisor.get(f"{path}rejected").status_code == 404
    assert supervisor.post(f"{path}preview", {}).status_code == 404
    assert "list.csv" in supervisor.get(f"/campaigns/{campaign.pk}/uploads/").content.decode()
    assert supervisor.get(f"{path}?edit=1").status_code == 200


def test_a_list_that_is_loaded_again_is_told(supervisor: Client, campaign: Campaign) -> None:
    upload = settled(supervisor, campaign)
    supervisor.post(f"/uploads/{upload.pk}/load", {"on_duplicate": "stop"})
    work(upload)
    again = settled(supervisor, campaign)
    page = supervisor.get(f"/uploads/{again.pk}/").content.decode()
    assert "The same file was loaded here before" in page
    assert f'href="/uploads/{upload.pk}/"' in page


def test_values_of_a_file_are_never_markup(supervisor: Client, campaign: Campaign) -> None:
    upload = settled(supervisor, campaign, "number;<i>name\n<b>x</b>;<script>1</script>\n")
    for path in (f"/uploads/{upload.pk}/", f"/uploads/{upload.pk}/?edit=1"):
        page = supervisor.get(path).content.decode()
        assert "<b>x</b>" not in page
        assert "<script>1" not in page


# --- do not call ------------------------------------------------------------------------------------------------


def test_a_list_of_numbers_that_must_not_be_called(supervisor: Client, campaign: Campaign) -> None:
    content = b"number;reason;name\n0671000001;asked;A\n0671000002;;B\n"
    file = SimpleUploadedFile("never.csv", content)
    answer = supervisor.post("/do-not-call/uploads/", {"file": file, "campaign": campaign.pk})
    upload = Upload.objects.get()
    assert (answer["Location"], upload.kind, upload.campaign) == (f"/uploads/{upload.pk}/", "do_not_call", campaign)
    page = supervisor.get(f"/uploads/{upload.pk}/")
    assert "external_id" not in dict(page.context["destinations"])
    given = fields(supervisor, upload, reason="Robinson list", **{"c2-destination": "nothing"})
    supervisor.post(f"/uploads/{upload.pk}/", given | {"expire_at": "2031-01-31T12:00", "zone": "Europe/Kyiv"})
    work(upload)
    assert "2 numbers are listed." in supervisor.get(f"/uploads/{upload.pk}/").content.decode()
    supervisor.post(f"/uploads/{upload.pk}/load", {"on_duplicate": "stop"})
    work(upload)
    entries = DoNotCall.objects.order_by("digits")
    assert [(entry.digits, entry.reason) for entry in entries] == [
        ("0671000001", "asked"), ("0671000002", "Robinson list"),
    ]  # fmt: skip
    assert {entry.expire_at.isoformat() for entry in entries if entry.expire_at} == {"2031-01-31T10:00:00+00:00"}
    assert "never.csv" in supervisor.get("/do-not-call/").content.decode()
    assert "Undo" not in supervisor.get(f"/uploads/{upload.pk}/").content.decode()


# --- who may ----------------------------------------------------------------------------------------------------

DOORS: list[tuple[str, str]] = [
    ("get", "/campaigns/{campaign}/uploads/"), ("post", "/campaigns/{campaign}/uploads/"),
    ("get", "/do-not-call/uploads/"), ("post", "/do-not-call/uploads/"),
    ("get", "/uploads/{upload}/"), ("post", "/uploads/{upload}/"), ("post", "/uploads/{upload}/preview"),
    ("get", "/uploads/{upload}/progress"), ("get", "/uploads/{upload}/rejected"),
    *(("post", f"/uploads/{{upload}}/{act}") for act in ("load", "cancel", "undo", "forget")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), DOORS)
def test_every_door_is_for_supervisors_with_the_right_alone(
    supervisor: Client, campaign: Campaign, method: str, path: str
) -> None:
    upload = settled(supervisor, campaign, MIXED)
    path = path.format(campaign=campaign.pk, upload=upload.pk)
    agent = Client()
    agent.force_login(User.objects.create_user("agent"))
    assert getattr(Client(), method)(path)["Location"] == f"/login/?next={path}"
    assert getattr(agent, method)(path).status_code == 403
    assert getattr(person(), method)(path).status_code in (403, 404)
    upload.refresh_from_db()
    assert upload.state == UploadState.CHECKED


def test_who_may_only_look_changes_nothing(supervisor: Client, campaign: Campaign) -> None:
    upload = settled(supervisor, campaign, MIXED)
    looks = person("members.view_member")
    assert "What the check found" in looks.get(f"/uploads/{upload.pk}/?edit=1").content.decode()
    assert "Choose a file" not in looks.get(f"/campaigns/{campaign.pk}/uploads/").content.decode()
    for act in ("load", "cancel", "undo", "forget", "preview", ""):
        assert looks.post(f"/uploads/{upload.pk}/{act}").status_code == 403, act
    upload.refresh_from_db()
    assert upload.state == UploadState.CHECKED


def test_rules_that_do_more_than_one_may_are_neither_offered_nor_taken(supervisor: Client, campaign: Campaign) -> None:
    upload = settled(supervisor, campaign, MIXED)
    adds = person("members.view_member", "members.add_member")
    assert "update" not in [rule["value"] for rule in adds.get(f"/uploads/{upload.pk}/").context["rules"]]
    assert adds.post(f"/uploads/{upload.pk}/load", {"on_duplicate": "update"}).status_code == 403
    given = fields(adds, upload, on_duplicate="update")
    assert adds.post(f"/uploads/{upload.pk}/", given).status_code == 403
    # A box that is disabled says nothing, whatever is sent.
    adds.post(f"/uploads/{upload.pk}/", fields(adds, upload, auto_run="on"))
    assert not Upload.objects.get().auto_run


def test_who_is_limited_to_campaigns_sees_and_changes_their_uploads_alone(
    supervisor: Client, campaign: Campaign
) -> None:
    other = make_campaign()
    here, there = settled(supervisor, campaign, MIXED), settled(supervisor, other, "number\n0671000009\n")
    common = Upload.objects.get(pk=_common(supervisor))
    rights = ("members.view_member", "members.add_member", "members.view_donotcall", "members.add_donotcall")
    limited = person(*rights)
    CampaignAccess.objects.create(user=User.objects.get(username="trainee"), campaign=campaign)
    assert limited.get(f"/uploads/{here.pk}/").status_code == 200
    assert limited.get(f"/uploads/{there.pk}/").status_code == 404
    assert limited.get(f"/campaigns/{other.pk}/uploads/").status_code == 404
    assert limited.get(f"/campaigns/{other.pk}/export/").status_code == 404
    assert limited.get(f"/uploads/{common.pk}/").status_code == 200
    assert limited.post(f"/uploads/{common.pk}/forget").status_code == 403
    everywhere = {"file": SimpleUploadedFile("a.csv", b"number\n0671000001\n")}
    assert limited.post("/do-not-call/uploads/", everywhere).status_code == 403
    assert limited.post("/do-not-call/", {"digits": "0671000001"}).status_code == 400


def _common(client: Client) -> int:
    client.post("/do-not-call/uploads/", {"file": SimpleUploadedFile("a.csv", b"number\n0671000001\n")})
    return Upload.objects.latest("pk").pk


def test_another_site_uploads_nothing(campaign: Campaign) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("taras"))
    file = SimpleUploadedFile("a.csv", b"number\n0671000001\n")
    assert client.post(f"/campaigns/{campaign.pk}/uploads/", {"file": file}).status_code == 403
    assert not Upload.objects.exists()
