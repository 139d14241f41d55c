"""Conventions of this code that no linter knows, held over the syntax tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("agents", "campaigns", "dialer", "members")
SOURCES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
    if "migrations" not in path.parts
)  # fmt: skip

KNOWS_THE_TIME = {
    "dialer/clock.py",
    "dialer/benchmark/lists.py",  # sets a scene in SQL and decides nothing
}
"""Where the current instant may come from anything but ``clock.now()``."""

ASSIGNS_STATES = (
    "agents/actions",
    "campaigns/actions",
    "members/actions",
    "members/planning",
    "dialer/engine/",
    "dialer/benchmark/",  # makes a million rows that stand as if they had been dialled
    # These know other states alone: of deliveries, of uploads, of a switch's channels, of the people of a rehearsal.
    "dialer/webhooks/actions",
    "members/uploads/",
    "dialer/simulator/",
    "dialer/rehearsal/",
)
"""Where the state of a campaign, an operator or a subscriber may be written: beginnings of paths."""

SQL_TIME = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\(\s*\)"
    r"|\b(current_timestamp|current_date|current_time|localtimestamp)\b",
    re.IGNORECASE,
)
SQL_STATE = re.compile(r"\bset\b[^;]*?\bstate\s*=", re.IGNORECASE | re.DOTALL)
PYTHON_TIME = {
    ("timezone", "now"), ("timezone", "localtime"), ("timezone", "localdate"),
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"),
}  # fmt: skip
WRITES = {"update", "create", "acreate", "aupdate", "get_or_create", "update_or_create"}
STATEFUL = {"Campaign", "Communication", "Member", "Operator"}


def name_of(node: ast.expr) -> str:
    """Return the last name of an expression: ``now`` of ``timezone.now``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module with their lines, but for its documentation."""
    said = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.lineno, node.value


def other_clocks(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the lines that ask another clock than the one of rules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked = (name_of(node.func.value), node.func.attr)
            # A localtime of a given instant is display, not a clock.
            if asked in PYTHON_TIME and not (node.args and asked[1].startswith("local")):
                yield node.lineno, ".".join(asked)
        if isinstance(node, ast.ImportFrom) and node.module == "django.db.models.functions":
            for alias in node.names:
                if alias.name == "Now":
                    yield node.lineno, "Now"
    for line, text in strings(tree):
        found = SQL_TIME.search(text)
        if found:
            yield line, f"SQL {found[0]}"


def written_states(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the lines that write a state."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr == "state":
            yield node.lineno, f"{name_of(node.value)}.state = …"
        if isinstance(node, ast.Call) and (name_of(node.func) in WRITES | STATEFUL):
            for keyword in node.keywords:
                if keyword.arg == "state":
                    yield node.lineno, f"{name_of(node.func)}(state=…)"
    for line, text in strings(tree):
        if SQL_STATE.search(text):
            yield line, "SQL SET state = …"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_house_rules_hold(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    tree = ast.parse(path.read_text())
    faults = []
    if name not in KNOWS_THE_TIME:
        faults += [f"{name}:{line}: {what} instead of clock.now()" for line, what in other_clocks(tree)]
    if not name.startswith(ASSIGNS_STATES):
        faults += [f"{name}:{line}: {what} outside of the actions" for line, what in written_states(tree)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "code",
    [
        "x = timezone.now()",
        "x = timezone.localtime()",
        "x = datetime.now(UTC)",
        "x = datetime.datetime.utcnow()",
        "x = date.today()",
        "from django.db.models.functions import Lower, Now",
        "cursor.execute('SELECT * FROM t WHERE due <= now()')",
        "cursor.execute(f'SELECT * FROM {t} WHERE due <= CURRENT_TIMESTAMP')",
    ],
)
def test_another_clock_is_noticed(code: str) -> None:
    assert list(other_clocks(ast.parse(code)))


@pytest.mark.parametrize("code", ['"""SQL now() is not used."""', "x = clock.now()", "x = timezone.localtime(at)"])
def test_the_clock_of_rules_is_no_fault(code: str) -> None:
    assert not list(other_clocks(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "operator.state = OperatorState.IDLE",
        "Operator.objects.filter(pk=1).update(state='idle')",
        "Member(state='ready')",
        "cursor.execute('UPDATE members_member SET due_at = %s, state = %s')",
    ],
)
def test_a_written_state_is_noticed(code: str) -> None:
    assert list(written_states(ast.parse(code)))


def test_a_read_state_is_no_fault() -> None:
    assert not list(written_states(ast.parse("Operator.objects.filter(state='idle', pk=operator.state)")))
