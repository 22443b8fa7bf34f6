"""The outbox: a table of the database, in which what was committed stands until Redis has it.

A row is written in the transaction of the change, past Django's models, so that no receiver of theirs sees it. Its
primary key serves as the version of the diffs in it: it is drawn while the changed rows are locked. Where there is no
outbox, versions are drawn from the same sequence.

A row's payload is a msgpack array: the format, the diffs (each with feed, member, length of the row's name and mark),
and the floors to raise.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgpack
from django.apps import apps
from django.db import Error, connections, models
from django.db.models.functions import Now

from diffs.conf import NAME
from diffs.cursor import Cursor
from diffs.errors import ConfigurationError, MemberError
from diffs.keys import parse_feed
from diffs.store import Entry, FeedRef, Floors
from diffs.typing import AnyQuerySet

TABLE = "diffs_outbox"
FORMAT = 1
DELETED_AT_ONCE = 500


class Item(NamedTuple):
    """A row of the outbox."""

    row: int
    age: dt.timedelta
    """By the database's clock."""
    payload: bytes

    def contents(self) -> tuple[list[Entry], Floors]:
        """The diffs, whose version is not in them yet, and the floors to raise before them.

        Raises:
            MemberError: the row is damaged, or of a format that this release doesn't know.
        """
        return decode(self.payload)


class Backlog(NamedTuple):
    """What waits."""

    rows: int
    lag: dt.timedelta
    """The age of the oldest row."""


def put(using: str, entries: Sequence[Entry], floors: Floors | None) -> int:
    """Write a row, in the transaction that is under way.

    Args:
        using: the database alias.
        entries: diffs without a version.
        floors: what old cursors are to be refused for.

    Returns:
        The row's primary key.

    Raises:
        ConfigurationError: there is no such table.
    """
    return _insert(connections[using], encode(entries, floors))


def draw(connection: Any) -> int:
    """The next number of the outbox's sequence; no row is left behind."""
    if connection.vendor == "postgresql":
        with _table_missing(), connection.cursor() as cursor:
            cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [TABLE])
            return int(cursor.fetchone()[0])
    row = _insert(connection, b"")
    _delete(connection, [row])
    return row


def delete(using: str, rows: Iterable[int]) -> None:
    """Remove rows that Redis has; those that are gone already are no matter."""
    listed = list(rows)
    for start in range(0, len(listed), DELETED_AT_ONCE):
        _delete(connections[using], listed[start : start + DELETED_AT_ONCE])


def oldest(using: str, limit: int, *, grace: float = 0.0, above: int = 0) -> list[Item]:
    """The oldest rows, in their order.

    Args:
        using: the database alias.
        limit: how many at the most.
        grace: leave out what is younger than so many seconds: whoever wrote it is probably sending it.
        above: only rows behind this one.
    """
    rows = _rows(using).order_by("pk").filter(pk__gt=above)
    if grace:
        rows = rows.filter(created__lte=Now() - dt.timedelta(seconds=grace))
    found = rows.values_list("pk", "created", "payload", Now())[:limit]
    return [Item(pk, now - created, bytes(payload)) for pk, created, payload, now in found]


def backlog(using: str) -> Backlog:
    """How much waits, and since when."""
    rows = _rows(using)
    first = rows.order_by("pk").values_list("created", Now()).first()
    return Backlog(rows.count(), max(first[1] - first[0], dt.timedelta()) if first else dt.timedelta())


def _rows(using: str) -> AnyQuerySet:
    # The model can't be imported with the package, which models are decorated with before all apps are loaded.
    return models.QuerySet(apps.get_model("diffs", "OutboxItem"), using=using)


def encode(entries: Sequence[Entry], floors: Floors | None) -> bytes:
    """Diffs and floors as a row holds them."""
    listed = [(str(name), *rest, member, row, since) for (name, *rest), member, since, row in entries]
    kept = None
    if floors:
        feeds = [(str(name), window) for name, window in floors.feeds.items()]
        kept = (feeds, sorted(floors.models), floors.everything)
    packed: bytes = msgpack.packb((FORMAT, listed, kept))
    return packed


def decode(payload: bytes) -> tuple[list[Entry], Floors]:
    """Undo `encode`.

    Raises:
        MemberError: the bytes are damaged, or of a format that this release doesn't know.
    """
    try:
        version, listed, kept = msgpack.unpackb(payload, use_list=False)
        if version != FORMAT:
            raise MemberError(f"A row of the outbox has the format {version}, which this release doesn't know.")
        entries = [
            Entry(_feed(text, *rest), member, None if since is None else Cursor(*since), row)
            for text, *rest, member, row, since in listed
        ]
        if kept is None:
            return entries, Floors()
        feeds, models, everything = kept
        return entries, Floors((_feed(*feed) for feed in feeds), models, everything=everything)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise MemberError("A row of the outbox is damaged.") from error


def _feed(text: str, *rest: Any) -> FeedRef:
    return FeedRef(parse_feed(text), *rest)


def _insert(connection: Any, payload: bytes) -> int:
    operations, quote = connection.ops, connection.ops.quote_name
    placeholder = "_binary %s" if connection.vendor == "mysql" else "%s"
    statement = f"INSERT INTO {quote(TABLE)} ({quote('payload')}) VALUES ({placeholder})"
    returns = connection.vendor == "postgresql"
    if returns:
        statement += f" RETURNING {quote('id')}"
    with _table_missing(), connection.cursor() as cursor:
        cursor.execute(statement, [connection.Database.Binary(payload)])
        return int(cursor.fetchone()[0] if returns else operations.last_insert_id(cursor, TABLE, "id"))


def _delete(connection: Any, rows: Sequence[int]) -> None:
    quote = connection.ops.quote_name
    places = ", ".join(["%s"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {quote(TABLE)} WHERE {quote('id')} IN ({places})", list(rows))


@contextlib.contextmanager
def _table_missing() -> Iterator[None]:
    """A database that lacks the table is one that was not migrated."""
    try:
        yield
    except Error as error:
        if TABLE not in str(error):
            raise
        raise ConfigurationError(
            f"{NAME} asks for the outbox or for versions by the database, and this database has no table {TABLE!r}: "
            "run manage.py migrate diffs, for each database whose changes are recorded."
        ) from error
