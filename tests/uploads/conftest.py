from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from campaigns.models import Campaign
from members.uploads import actions, staging
from members.uploads.layout import Column, Destination, Layout
from members.uploads.models import Upload, UploadFault
from tests import factories
from tests.members.conftest import RecordingEngine
from tests.members.conftest import engine as engine


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    return tmp_path / "uploads"


@pytest.fixture
def campaign(db: None, engine: RecordingEngine) -> Campaign:
    """Return a campaign whose numbers have a common route."""
    factories.make_route()
    return factories.make_campaign()


def column(heading: str) -> Column:
    """Return what a heading of these tests means."""
    if heading.startswith("number"):
        return Column(Destination.NUMBER)
    if heading.startswith("var:"):
        return Column(Destination.VARIABLE, name=heading.removeprefix("var:"))
    known = {"timezone": Destination.TIME_ZONE}
    return Column(known.get(heading) or (Destination(heading) if heading in set(Destination) else Destination.NOTHING))


Begin = Callable[..., Upload]


@pytest.fixture
def begin(campaign: Campaign) -> Begin:
    """Return what takes lines, the heading first, as a file of the campaign, with rules of its own."""

    def begin(lines: Iterable[str], *, kind: str = "members", to: Campaign | None = campaign, **rules: Any) -> Upload:
        lines = list(lines)
        content = "".join(f"{line}\n" for line in lines).encode()
        upload = actions.begin(io.BytesIO(content), file_name="list.csv", campaign=to, kind=kind)
        columns = tuple(map(column, lines[0].split(",")))
        return actions.set_layout(upload, layout=Layout(columns=columns).to_json(), **rules)

    return begin


def work(upload: Upload) -> Upload:
    """Do what a worker would, at once."""
    staging.work(upload.pk)
    upload.refresh_from_db()
    return upload


def checked(upload: Upload) -> Upload:
    return work(actions.check(upload))


def loaded(upload: Upload, **rules: Any) -> Upload:
    return work(actions.load(checked(upload), **rules))


def told(upload: Upload) -> list[tuple[int, str]]:
    """Return the lines that something is told of, with the kind of each."""
    return list(UploadFault.objects.filter(upload=upload).order_by("line", "pk").values_list("line", "kind"))
