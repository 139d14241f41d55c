"""Row locks that Django's ``select_for_update`` does not know, or not as plainly.

Everyone locks in one order: campaign, gateway, operator, member, communication, attempt; rows of a table by their id.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection, models, transaction


def share(model: type[models.Model], ids: Iterable[int]) -> list[int]:
    """Lock rows ``FOR SHARE`` until the transaction ends; return the ids that exist. One statement.

    Nobody changes them meanwhile, and any number of transactions may hold this at once.
    """
    return _lock(model, ids, "FOR SHARE")


def no_key(model: type[models.Model], ids: Iterable[int]) -> list[int]:
    """Lock rows ``FOR NO KEY UPDATE`` until the transaction ends; return the ids that exist. One statement.

    The lock of who changes a row: rows that point to it may still be inserted.
    """
    return _lock(model, ids, "FOR NO KEY UPDATE")


def _lock(model: type[models.Model], ids: Iterable[int], strength: str) -> list[int]:
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("A row lock outside a transaction is gone at once.")
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        statement = f"SELECT id FROM {table} WHERE id = ANY(%s) ORDER BY id {strength}"  # noqa: S608
        cursor.execute(statement, [list(ids)])
        return [row[0] for row in cursor.fetchall()]
