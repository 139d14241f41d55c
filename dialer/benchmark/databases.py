"""Databases of a benchmark: from one to another on the throwaway server, rows copied out of one and into the other."""

from __future__ import annotations

import io
import statistics
import time
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction


def use(name: str, *, create: bool = False) -> None:
    """Leave the database in use for another, made anew if so wished."""
    if create:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {connection.ops.quote_name(name)}")
    connection.close()
    connection.settings_dict["NAME"] = settings.DATABASES["default"]["NAME"] = name


def copy(name: str, of: str) -> None:
    """Make a copy of a database, and use the original."""
    use("postgres")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {connection.ops.quote_name(name)} TEMPLATE {connection.ops.quote_name(of)}")
    use(of)


def address() -> str:
    """Return DATABASE_URL of the database in use, for a process of its own."""
    found = connection.settings_dict
    if str(found["HOST"]).startswith("/"):
        return f"postgresql:///{found['NAME']}?host={found['HOST']}&user={found['USER']}"
    return f"postgresql://{found['USER']}:{found['PASSWORD']}@{found['HOST']}:{found['PORT']}/{found['NAME']}"


def write_out(table: str, which: str, folder: Path) -> Path:
    """Write rows of a table into a file of its name, as COPY reads them."""
    path = folder / table
    statement = f"COPY (SELECT * FROM {table} WHERE {which} ORDER BY id) TO STDOUT"  # noqa: S608
    with connection.cursor() as cursor, path.open("wb") as file, cursor.copy(statement) as copy:
        for piece in copy:
            file.write(piece)
    return path


def copy_in(files: dict[str, Path]) -> float:
    """Copy files into the tables of their names, in this order; return how many seconds it took."""
    began = time.monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        for table, path in files.items():
            with path.open("rb") as file, cursor.copy(f"COPY {table} FROM STDIN") as copy:
                while piece := file.read(io.DEFAULT_BUFFER_SIZE * 16):
                    copy.write(piece)
    return time.monotonic() - began


def p95(values: list[float]) -> float:
    """Return the 95th of a hundred."""
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else max(values, default=0.0)


def verdict(holds: bool, aim: str) -> str:
    """Return what stands behind a figure: the aim that it misses."""
    return "" if holds else f"(aim: {aim})"
