"""Objects as an earlier run found them, in a SQLite file: digests of their values, no values."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgpack

from diffs.cursor import Cursor, parse

from .feeds import in_parts
from .rows import Row
from .stories import Base

APPLICATION = 0x64696666
VERSION = 1

_TABLES = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE cursor (generation INTEGER, shard TEXT, text TEXT, PRIMARY KEY (generation, shard)) WITHOUT ROWID;
CREATE TABLE pass (scope TEXT PRIMARY KEY, generation INTEGER) WITHOUT ROWID;
CREATE TABLE object (
    scope TEXT, pk TEXT, generation INTEGER, seen INTEGER, row BLOB, PRIMARY KEY (scope, pk)
) WITHOUT ROWID;
"""


class BaselineError(Exception):
    """The file can't be used: the message says why, and what to do."""


class Baseline:
    """What earlier runs left, and what this one leaves; the file is this run's alone until it is closed.

    Args:
        path: of the file, which need not be there.

    Raises:
        BaselineError: it can't be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cursors: dict[int, Mapping[str, Cursor]] = {}
        self._generation = 0
        try:
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None)
        except sqlite3.Error as error:
            raise self._unusable(f"it can't be opened ({error})") from error
        try:
            self._open()
        except sqlite3.Error as error:
            self._database.close()
            raise self._why(error) from error
        except BaselineError:
            self._database.close()
            raise

    def _open(self) -> None:
        # The first transaction takes a lock that stays until the file is closed.
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("BEGIN EXCLUSIVE")
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        (tables,) = self._database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        self._database.execute("COMMIT")
        if application != APPLICATION and tables:
            raise self._unusable("it is a database of something else")
        if application == APPLICATION and version != VERSION:
            raise self._unusable("it was left by another release of diffs; delete it, and the next run begins anew")
        if application != APPLICATION:
            self._database.executescript(f"BEGIN; {_TABLES} COMMIT;")

    def _why(self, error: sqlite3.Error) -> BaselineError:
        if "locked" in str(error):
            return self._unusable("another run is using it; wait until that has ended, or give this one its own")
        if "not a database" in str(error):
            return self._unusable("it isn't a file of diffs_verify")
        return self._unusable(f"SQLite says: {error}")

    def _unusable(self, why: str) -> BaselineError:
        return BaselineError(f"{self._path} can't keep the state: {why}.")

    def begin(self, cursors: Mapping[str, Cursor]) -> None:
        """Begin a run.

        Args:
            cursors: by shard, taken before anything else is read.
        """
        (last,) = self._database.execute("SELECT COALESCE(MAX(generation), 0) FROM cursor").fetchone()
        self._generation = last + 1
        rows = [(self._generation, shard, str(cursor)) for shard, cursor in cursors.items()]
        self._change(("INSERT INTO cursor VALUES (?, ?, ?)", rows))

    def find(self, scope: str, pks: Sequence[str]) -> dict[str, Base | None]:
        """Objects as they were found last.

        Args:
            scope: whose they are.
            pks: texts of their primary keys.

        Returns:
            By primary key, also those that weren't there when a run saw all objects; ``None`` where nothing is known.
        """
        found: dict[str, Base | None] = dict.fromkeys(pks, self._absent(scope))
        for some, marks in in_parts(pks):
            query = f"SELECT pk, generation, row FROM object WHERE scope = ? AND pk IN ({marks})"
            for pk, generation, row in self._database.execute(query, (scope, *some)):
                cursors = self._cursors_of(generation)
                tokens, feeds = (None, ()) if row is None else msgpack.unpackb(row)
                found[pk] = Base(tokens, feeds, cursors) if tokens is not None and cursors else None
        return found

    def _absent(self, scope: str) -> Base | None:
        complete = self._database.execute("SELECT generation FROM pass WHERE scope = ?", (scope,)).fetchone()
        cursors = self._cursors_of(complete[0]) if complete else {}
        return Base(None, (), cursors) if cursors else None

    def _cursors_of(self, generation: int) -> Mapping[str, Cursor]:
        if generation not in self._cursors:
            query = "SELECT shard, text FROM cursor WHERE generation = ?"
            found = self._database.execute(query, (generation,))
            self._cursors[generation] = {shard: parse(text) for shard, text in found}
        return self._cursors[generation]

    def put(self, scope: str, rows: Mapping[str, Row | None]) -> None:
        """Leave objects for the next run.

        Args:
            scope: whose they are.
            rows: by primary key as they are now; ``None``: it isn't there.
        """
        there = [(scope, pk, _packed(row)) for pk, row in rows.items() if row is not None]
        gone = [(scope, pk) for pk, row in rows.items() if row is None]
        insert = f"INSERT OR REPLACE INTO object VALUES (?, ?, {self._generation}, {self._generation}, ?)"
        self._change((insert, there), ("DELETE FROM object WHERE scope = ? AND pk = ?", gone))

    def keep(self, scope: str, pks: Iterable[str]) -> None:
        """Leave objects as they are, and count them as seen."""
        update = f"UPDATE object SET seen = {self._generation} WHERE scope = ? AND pk = ?"
        self._change((update, [(scope, pk) for pk in pks]))

    def _change(self, *changes: tuple[str, Sequence[Any]]) -> None:
        self._database.execute("BEGIN")
        for statement, values in changes:
            self._database.executemany(statement, values)
        self._database.execute("COMMIT")

    def unseen(self, scope: str, limit: int, after: str) -> list[str]:
        """Some objects, in the order of their keys' texts, that this run hasn't come across."""
        query = "SELECT pk FROM object WHERE scope = ? AND pk > ? AND seen != ? ORDER BY pk LIMIT ?"
        return [pk for (pk,) in self._database.execute(query, (scope, after, self._generation, limit))]

    def complete(self, scope: str) -> None:
        """This run has seen all objects: what comes to be from here on was not there."""
        self._database.execute("INSERT OR REPLACE INTO pass VALUES (?, ?)", (scope, self._generation))

    def close(self) -> None:
        """Give the file back."""
        with_objects = "SELECT generation FROM object UNION SELECT generation FROM pass"
        self._database.execute(f"DELETE FROM cursor WHERE generation NOT IN ({with_objects})")
        self._database.close()


def _packed(row: Row) -> bytes | None:
    if not row.is_comparable:
        return None
    packed: bytes = msgpack.packb([dict(row.tokens), list(row.feeds)])
    return packed
