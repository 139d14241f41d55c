"""The files of ``static/`` as the web server gives them out: collected, with a mark of their content in their names."""

from __future__ import annotations

import fcntl
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command


def collect() -> None:
    """Collect the static files anew if one of them is newer than the last collection.

    One process at a time: two that collect into one folder take each other's files away.
    """
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    with open(settings.STATIC_ROOT / "collect.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _has_changed():
            call_command("collectstatic", interactive=False, verbosity=0)


def _has_changed() -> bool:
    manifest = settings.STATIC_ROOT / "staticfiles.json"
    if not manifest.exists():
        return True
    collected_at = manifest.stat().st_mtime
    return any(
        Path(storage.path(path)).stat().st_mtime > collected_at
        for finder in get_finders()
        for path, storage in finder.list([])
    )
