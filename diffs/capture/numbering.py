"""Versions by the database, and the outbox: what diffs get in their change's transaction, while its row is locked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import connections

from diffs.codec import version_of, with_version
from diffs.conf import settings
from diffs.store import Entry, Floors

from . import outbox
from .versions import DATABASE, are_by_database


def numbered(using: str, entries: Sequence[Entry], floors: Floors | None) -> tuple[Sequence[Entry], Sequence[int]]:
    """Give diffs the version that the database draws, and put them into the outbox, where that is asked for.

    Args:
        using: the database alias.
        entries: diffs; those that have a version keep it.
        floors: what old cursors are to be refused for.

    Returns:
        The diffs, and the rows of the outbox in which they stand.

    Raises:
        ConfigurationError: the database lacks the table.
    """
    if settings.outbox:
        if not entries and not floors:
            return entries, ()
        row = outbox.put(using, entries, floors)
        return stamped(entries, row), (row,)
    if entries and are_by_database():
        return stamped(entries, outbox.draw(connections[using])), ()
    return entries, ()


def stamped(entries: Iterable[Entry], row: int) -> list[Entry]:
    """Diffs with the version of a row of the outbox, those that have none yet.

    Args:
        entries: the diffs.
        row: the row's number, or one drawn from the same sequence.
    """
    return [
        entry if version_of(entry.member) else entry._replace(member=with_version(entry.member, DATABASE + row))
        for entry in entries
    ]
