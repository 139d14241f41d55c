"""Who hears a switch: of several listeners one, by an advisory lock of the database that a dead process cannot keep.

The lock belongs to a session of the database, so each listener holds a connection of its own, outside of any pool. A
process that dies closes it; a machine that vanishes is missed by the server within seconds. Those who wait hold another
lock, shared: whoever wants to know who is there reads the locks, and nothing of a process outlives it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from django.db import DEFAULT_DB_ALIAS, connection, connections

log = logging.getLogger(__name__)

HEARS = 0x6865_6172
STANDS_BY = 0x6E65_7874
"""First halves of the keys of the advisory locks ("hear", "next"); the second is the id of the switch."""
LONGEST_NAME = 63
"""Characters that PostgreSQL keeps of the name of a session."""
SILENT_FOR = 2
SILENT_AT_MOST = 5
"""Real seconds of silence after which either side of the connection asks for the other, and gives it up."""


class LeaseLost(Exception):
    """Another listener may hear the switch by now."""


class Lease:
    """The right of a listener to be the one that hears a switch. One thread uses it, from the beginning to the end.

    Raises ``DatabaseError`` when the database does not answer: the right is lost then.
    """

    def __init__(self, node_id: int, name: str) -> None:
        self.node_id = node_id
        self._stands_by = False
        self._connection = connections[DEFAULT_DB_ALIAS].copy()
        given = self._connection.settings_dict
        self._connection.settings_dict = given | {
            "CONN_MAX_AGE": None,
            "OPTIONS": {key: value for key, value in given["OPTIONS"].items() if key != "pool"}
            | {
                "application_name": name[:LONGEST_NAME],
                "connect_timeout": SILENT_AT_MOST,
                "keepalives_idle": SILENT_FOR,
                "keepalives_interval": 1,
                "keepalives_count": SILENT_AT_MOST - SILENT_FOR,
                "tcp_user_timeout": SILENT_AT_MOST * 1000,
            },
        }

    def __enter__(self) -> Self:
        self._ask(
            "SELECT set_config('tcp_keepalives_idle', %s, false), set_config('tcp_keepalives_interval', '1', false),"
            " set_config('tcp_keepalives_count', %s, false), set_config('statement_timeout', %s, false)",
            str(SILENT_FOR),
            str(SILENT_AT_MOST - SILENT_FOR),
            f"{SILENT_AT_MOST}s",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def take(self) -> bool:
        """Take the right if nobody has it; else stand by, where others can see it."""
        if self._ask("SELECT pg_try_advisory_lock(%s, %s)", HEARS, self.node_id):
            self._stand_by(False)
            if not self._held():
                log.error(
                    "Listeners cannot take turns: DATABASE_URL leads to a pooler that gives each statement another "
                    "session. Let listeners reach PostgreSQL itself, or have the pooler keep sessions."
                )
            return True
        self._stand_by(True)
        return False

    def take_away(self) -> None:
        """End the session of whoever has the right; when he goes on he finds it lost, and stands by."""
        self._ask(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND classid = %s AND objid = %s",
            HEARS,
            self.node_id,
        )

    def give_up(self) -> None:
        """Let another listener have the right, and stand by."""
        self._stand_by(True)
        self._ask("SELECT pg_advisory_unlock(%s, %s)", HEARS, self.node_id)

    def check(self) -> None:
        """Raise ``LeaseLost`` unless the right is still held. One statement."""
        if not self._held():
            raise LeaseLost

    def _stand_by(self, stands_by: bool) -> None:
        if self._stands_by != stands_by:
            lock = "pg_advisory_lock_shared" if stands_by else "pg_advisory_unlock_shared"
            self._ask(f"SELECT {lock}(%s, %s)", STANDS_BY, self.node_id)
            self._stands_by = stands_by

    def _held(self) -> bool:
        return bool(
            self._ask(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
                " AND mode = 'ExclusiveLock' AND classid = %s AND objid = %s AND pid = pg_backend_pid())",
                HEARS,
                self.node_id,
            )
        )

    def _ask(self, statement: str, *parameters: int | str) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchone()[0]


@dataclass(slots=True)
class Listeners:
    """The listeners of a switch that run now, by name."""

    hears: str = ""
    """Empty: none does."""
    stand_by: list[str] = field(default_factory=list)


def listeners() -> defaultdict[int, Listeners]:
    """Return the listeners of each switch that has any. One statement."""
    found: defaultdict[int, Listeners] = defaultdict(Listeners)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT l.objid::bigint, l.classid::bigint, s.application_name"
            " FROM pg_locks AS l JOIN pg_stat_activity AS s USING (pid)"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid IN (%s, %s)"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " ORDER BY s.application_name",
            [HEARS, STANDS_BY],
        )
        for node_id, key, name in cursor.fetchall():
            if key == HEARS:
                found[node_id].hears = name
            else:
                found[node_id].stand_by.append(name)
    return found
