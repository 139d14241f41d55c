"""Every word for people is translated, and everybody is told in his own language."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from tests.factories import make_campaign

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
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    for language in LANGUAGES:
        found = read(tmp_path / catalog(language).relative_to(ROOT), language)
        there = {message.id for message in messages(language)}
        assert {message.id for message in found if message.id} == there, "Run: make messages"


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
