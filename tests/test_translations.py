"""Every word for people is translated, and everybody is told in his own language."""

from __future__ import annotations

import ast
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from gettext import GNUTranslations
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from tests.factories import make_calendar, make_campaign, make_gateway, make_member, make_operator, make_route

ROOT = Path(settings.BASE_DIR)
LANGUAGES = [code for code, _name in settings.LANGUAGES if code != "en"]
HOLES = re.compile(r"%\(\w+\)[sd]|%(?:\.\d)?[sdf%]|\{\w*\}|</?[a-z]+[^>]*>")
"""What a text is filled with, and its tags."""


def catalog(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES" / "django.po"


def read(path: Path, language: str) -> Catalog:
    with path.open("rb") as opened:
        return read_po(opened, locale=language)


def forms(text: Any) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def messages(language: str) -> Iterator[Message]:
    return (message for message in read(catalog(language), language) if message.id)


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_left_untranslated_or_doubtful(language: str) -> None:
    left = [message.id for message in messages(language) if message.fuzzy or not all(forms(message.string))]
    assert left == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_is_filled_with_what_the_text_is(language: str) -> None:
    for message in messages(language):
        allowed = [sorted(HOLES.findall(form)) for form in forms(message.id)]
        for form in forms(message.string):
            assert sorted(HOLES.findall(form)) in allowed, (message.id, form)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_used_is_what_is_written(language: str) -> None:
    written = io.BytesIO()
    write_mo(written, read(catalog(language), language))
    written.seek(0)
    with catalog(language).with_suffix(".mo").open("rb") as opened:
        used = GNUTranslations(opened)
    told = "The catalogue was changed and not compiled: make messages"
    assert {**vars(used)["_catalog"], "": ""} == {**vars(GNUTranslations(written))["_catalog"], "": ""}, told


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="GNU gettext is not there (Debian: apt install gettext)")
def test_every_text_of_the_sources_is_in_the_catalogues(tmp_path: Path) -> None:
    for part in ("agents", "campaigns", "dialer", "members", "templates", "locale"):
        shutil.copytree(ROOT / part, tmp_path / part)
    command = [sys.executable, "-m", "django", "makemessages", "--all", "--no-wrap"]
    bare = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(command, cwd=tmp_path, env=bare, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for language in LANGUAGES:
        found = read(tmp_path / catalog(language).relative_to(ROOT), language)
        there = {message.id for message in messages(language)}
        assert {message.id for message in found if message.id} == there, "Run: make messages"


def test_no_text_is_marked_where_gettext_does_not_look() -> None:
    marks = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext", "npgettext"}
    hidden = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for part in ("agents", "campaigns", "dialer", "members")
        for path in (ROOT / part).rglob("*.py")
        for text in ast.walk(ast.parse(path.read_text()))
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in marks
    ]
    assert hidden == [], "xgettext sees no text inside an f-string: name it before"


class Shown(HTMLParser):
    """What a page shows and tells: its texts, and the attributes that are read aloud or shown by scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._unread = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unread += tag in UNREAD
        told = [value for name, value in attrs if value and name in ("title", "aria-label", "placeholder", "alt")]
        self.texts += told if not self._unread else []

    def handle_endtag(self, tag: str) -> None:
        self._unread -= tag in UNREAD

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._unread:
            self.texts.append(" ".join(data.split()))


UNREAD = {"script", "style", "code", "kbd", "time", "datalist"}
NAMES = {"English", "Eng", "JavaScript", "olena", "beat", "call_timeout", "Redis"}
ZONE = re.compile("[A-Z][A-Za-z]+/[A-Za-z_ /-]+")
"""What stays as it is: names of people, of languages, of techniques."""


def words(client: Client, address: str, **headers: str) -> str:
    answer = client.get(address, headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.django_db
class TestWhoIsTold:
    def test_by_the_browser_then_by_choice(self) -> None:
        client = Client()
        assert "Log in" in words(client, "/login/")
        assert '<html lang="uk">' in words(client, "/login/", accept_language="uk,en;q=0.5")
        assert "Log in" in words(client, "/login/", accept_language="de")
        client.post("/language", {"language": "uk", "next": "/login/"})
        chosen = words(client, "/login/", accept_language="en")
        assert '<html lang="uk">' in chosen
        assert "Log in" not in chosen

    def test_two_who_look_in_the_same_second(self) -> None:
        campaign = make_campaign(name="Renewals")
        client = Client()
        client.force_login(User.objects.create_superuser("olena"))
        shown = [
            client.get(address, headers={"accept-language": language}).json()["campaigns"][0]["label"]
            for address in ("/live.json", f"/campaigns/{campaign.pk}/live.json")
            for language in ("en", "uk", "en")
        ]
        assert shown[0] == shown[2] == shown[3] == shown[5] == "Idle"
        assert shown[1] == shown[4] != "Idle"

    def test_a_page_has_no_word_of_another_language(self) -> None:
        campaign = make_campaign(make_calendar(name="Щодня"), name="Поновлення")
        make_route(make_gateway(name="Шлюз"))
        operator = make_operator(campaign, name="Олена")
        member = make_member(campaign, name="Іван")
        client = Client()
        pages = ["/login/", "/", "/operators/", "/statistics/", "/do-not-call/", f"/operators/{operator.pk}/"]
        pages += [f"/subscribers/{member.pk}/", f"/subscribers/{member.pk}/edit/"]
        pages += [
            f"/campaigns/{campaign.pk}/{tab}"
            for tab in ("", "parameters/", "causes/", "operators/", "routes/", "subscribers/", "attempts/", "live/")
        ]
        foreign = {}
        for page in pages:
            shown = Shown()
            shown.feed(words(client, page, accept_language="uk"))
            assert len(shown.texts) > 5
            for text in shown.texts:
                if latin := set(re.findall(r"[A-Za-z_]*[a-z]{3,}\w*", ZONE.sub("", text))) - NAMES:
                    foreign[page, text] = latin
            if page == "/login/":
                client.force_login(User.objects.create_superuser("olena"))
        assert foreign == {}
