"""What the database knows of changes by itself, as each is noted in its own transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .app.models import Journal, Parent, Row


class Note(NamedTuple):
    """A diff that there has to be, if its transaction is committed."""

    feed: str
    pk: int
    """Of the changed row; of a parent in its own feed it is negative."""


def feeds_of(row: Row) -> Iterator[Note]:
    """Where a change of a row belongs."""
    for feed in (f"order.row:{row.pk}", "order.row", f"order.parent:{row.parent_id}"):
        yield Note(feed, row.pk)


def write_down(text: str, notes: Iterable[Note]) -> None:
    """Note a change, behind it in its transaction.

    Args:
        text: what the change wrote, and nobody else did; its actor too.
        notes: of what it did besides.
    """
    written = [note for row in Row.objects.filter(text=text) for note in feeds_of(row)]
    parents = [Note(f"order.parent:{pk}", -pk) for pk in Parent.objects.filter(text=text).values_list("pk", flat=True)]
    lines = [*notes, *written, *parents]
    Journal.objects.bulk_create([Journal(token=text, feed=feed, row=pk) for feed, pk in lines])
