"""What the overview costs while it is open: the server for each second of it, and the memory of a browser.

A thousand operators in fifty campaigns that run; each second every seventh operator changes and calls end. One Chromium
looks at it throughout, and more listeners join for the last part.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction

from agents.models import OperatorState
from dialer import clock, static_files
from dialer.api import actions
from dialer.benchmark import databases, lists
from dialer.benchmark.server import Server, running
from dialer.benchmark.statistics import make_attempts

AIM = 1.3
"""The last part may cost so many times as much as the first one, and take so many times the memory."""
GROUP = lists.Group("running", 1, lists.FIFTY)
MEMBERS = 20_000
ATTEMPTS = 20_000
ENDED_A_SECOND = 10
PARTS = 6
JOIN = 20
"""Listeners that join for one part more."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_OPERATORS = """
UPDATE agents_operator
SET state = CASE WHEN state = %(waiting)s THEN %(wrap_up)s ELSE %(waiting)s END,
    wrap_up_until = CASE WHEN state = %(waiting)s THEN %(now)s + interval '1 minute' END, state_since = %(now)s
WHERE id %% 7 = %(turn)s %% 7
"""


@dataclass(slots=True)
class Part:
    """What a part of the run cost."""

    cpu: float
    """Milliseconds that the server computed in each second."""
    heap: float
    """Megabytes of the page's objects, after the rubbish is gone."""
    nodes: int
    """Nodes of its document, those held by scripts included."""


@dataclass(slots=True)
class Measured:
    """What one run found."""

    seconds: int
    parts: list[Part] = field(default_factory=list)
    joined: float = 0.0
    """Milliseconds that the server computed in each second with ``JOIN`` listeners more."""
    updates: int = 0
    """Messages that the page was told."""

    @property
    def growth(self) -> dict[str, float]:
        """Return by how much the last part exceeds the second: the first one warms up."""
        first, last = self.parts[1], self.parts[-1]
        return {"cpu": last.cpu / first.cpu, "heap": last.heap / first.heap, "nodes": last.nodes / first.nodes}

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"growth": self.growth}


def measure(seconds: int, say: Callable[[str], None]) -> Measured:
    """Look for so many seconds in all, on the throwaway servers that the settings name. Raises ``RuntimeError``
    without a Chromium or Playwright."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        raise RuntimeError("There is no Chromium on this machine (Debian: apt install chromium).")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise RuntimeError("This needs Playwright: make setup installs it.") from error

    static_files.collect()  # the server refuses pages without
    password = _make_scene()
    say(f"{lists.OPERATORS:,} operators in {GROUP.campaigns} campaigns, {ATTEMPTS:,} attempts")
    measured = Measured(seconds)
    with running() as server, _changes(), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )  # fmt: skip
        page = browser.new_page(viewport={"width": 1440, "height": 900}, base_url=f"http://127.0.0.1:{server.port}")
        page.goto("/login/")
        page.locator("#id_username").fill("bench")
        page.locator("#id_password").fill(password)
        told: list[object] = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda _frame: told.append(None)))
        page.locator("button[type=submit].btn-primary").click()
        page.locator("article.campaign").first.wait_for()
        session = page.context.new_cdp_session(page)
        for place in range(PARTS):
            began, computed = time.monotonic(), server.cpu_seconds()
            page.wait_for_timeout(1000 * seconds / PARTS)
            cpu = 1000 * (server.cpu_seconds() - computed) / (time.monotonic() - began)
            session.send("HeapProfiler.collectGarbage")
            heap = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
            nodes = session.send("Memory.getDOMCounters")["nodes"]
            measured.parts.append(Part(cpu, heap, nodes))
            say(f"part {place + 1} of {PARTS}: server {cpu:.0f} ms/s, page {heap:.1f} MB, {nodes:,} nodes")
        measured.updates = len(told)
        with _listeners(server):
            began, computed = time.monotonic(), server.cpu_seconds()
            page.wait_for_timeout(1000 * seconds / PARTS)
            measured.joined = 1000 * (server.cpu_seconds() - computed) / (time.monotonic() - began)
        browser.close()
    return measured


def report(measured: Measured, write: Callable[[str], None]) -> None:
    """Write the ratios, with the aims that are missed."""
    for name, ratio in measured.growth.items():
        write(f"{name:<8} {ratio:5.2f} times from part 2 to part {PARTS} {databases.verdict(ratio <= AIM, f'{AIM}')}")
    more = measured.joined / measured.parts[-1].cpu
    write(f"server with {JOIN} listeners more: {more:.2f} times {databases.verdict(more <= 2, '2')}")
    write(f"{measured.updates} updates in {measured.seconds} s")


def _make_scene() -> str:
    """Fill a database; return the password of its supervisor."""
    databases.use("bench_live", create=True)
    call_command("migrate", verbosity=0)
    with transaction.atomic():
        lists.make_common()
        lists.make_group(GROUP, MEMBERS)
        make_attempts(ATTEMPTS, MEMBERS, clock.now(), GROUP.campaigns)
    lists.only(GROUP, lists.OPERATORS)
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('dialer_attempt_id_seq', (SELECT max(id) FROM dialer_attempt))")
        cursor.execute("VACUUM ANALYZE")
    password = "correct horse battery staple"  # noqa: S105 - of a throwaway database
    User.objects.create_superuser("bench", password=password)
    return password


@contextmanager
def _changes() -> Iterator[None]:
    """Change operators and end calls each second, in a thread."""
    over = threading.Event()
    words = {"waiting": OperatorState.WAITING, "wrap_up": OperatorState.WRAP_UP}
    columns = _attempt_columns()

    def change() -> None:
        turn = 0
        try:
            while not over.wait(1):
                turn += 1
                with connection.cursor() as cursor:
                    now = clock.now()
                    cursor.execute(_OPERATORS, {**words, "turn": turn, "now": now})
                    cursor.execute(columns, {"now": now, "count": ENDED_A_SECOND, "skip": turn * ENDED_A_SECOND})
        finally:
            connection.close()

    thread = threading.Thread(target=change, name="changes")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _attempt_columns() -> str:
    """Return a statement that adds copies of old attempts that ended just now."""
    with connection.cursor() as cursor:
        names = [column.name for column in connection.introspection.get_table_description(cursor, "dialer_attempt")]
    fresh = {"id": "nextval('dialer_attempt_id_seq')", "reserved_at": "%(now)s - (ended_at - reserved_at)"}
    fresh |= dict.fromkeys(("operator_uuid", "subscriber_uuid", "job_uuid"), "gen_random_uuid()")
    fresh |= {"ended_at": "%(now)s"}
    asked = ", ".join(fresh.get(name, name) for name in names)
    return (
        f"INSERT INTO dialer_attempt ({', '.join(names)}) SELECT {asked} FROM dialer_attempt "  # noqa: S608
        "WHERE ended_at IS NOT NULL ORDER BY id LIMIT %(count)s OFFSET %(skip)s"
    )


@contextmanager
def _listeners(server: Server) -> Iterator[None]:
    """Have more supervisors listen."""
    from websockets.sync.client import connect

    made = actions.log_in(User.objects.get(username="bench"))
    headers = {"X-Key": str(made.key.pk), "X-Access-Token": made.token}
    with ExitStack() as stack:
        for _ in range(JOIN):
            # Nobody here reads them: without a limit they are taken all the same, as a browser would.
            unlimited: dict[str, Any] = {"max_size": None, "max_queue": None, "proxy": None}
            stack.enter_context(
                connect(f"ws://127.0.0.1:{server.port}/ws/live/", additional_headers=headers, **unlimited)
            )
        yield
