"""Reading rows that are about to be written."""

from __future__ import annotations

from django.db import connections, models

from diffs.typing import AnyQuerySet


def prepare(using: str, model: type[models.Model]) -> None:
    """Take SQLite's write lock before a read that leads to a write.

    A transaction that reads first and finds another writer ahead of it when it writes fails at once with "database is
    locked", whatever the timeout. Writing no row first makes it wait its turn instead.

    Args:
        using: the database alias; other databases lock rows and need nothing.
        model: whose table.
    """
    connection = connections[using]
    if connection.vendor != "sqlite" or getattr(connection, "transaction_mode", None) in ("IMMEDIATE", "EXCLUSIVE"):
        return
    quote = connection.ops.quote_name
    table, column = quote(model._meta.db_table), quote(str(model._meta.pk_fields[0].column))
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = {column} WHERE 0 = 1")


def locked(queryset: AnyQuerySet, *, skips: bool = False) -> AnyQuerySet:
    """The same rows, locked where the database can, as an UPDATE locks them.

    Rows that refer to these by foreign key can still be inserted, and nobody waits longer than without capture.

    Args:
        queryset: which rows.
        skips: leave out those that somebody else has locked.
    """
    features = connections[queryset.db].features
    if not features.has_select_for_update:
        return queryset
    return queryset.select_for_update(skip_locked=skips, no_key=features.has_select_for_no_key_update)
