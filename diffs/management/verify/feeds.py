"""Reading very many feeds, and keeping what they tell in a file."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from diffs.cursor import Cursor, parse
from diffs.errors import CursorExpired
from diffs.feed import to_diffs
from diffs.keys import SHARDS, FeedName
from diffs.registration import window_of
from diffs.store import FeedRef, Page, Read, Store

from .stories import Story, fold, key_of

TRIP_FEEDS = 100
TRIP_DIFFS = 10_000
MAX_PAGE = 2_000
QUERY = 500
"""Values in one query; some builds of SQLite take no more than 999."""

_TABLES = """
PRAGMA cache_size = -4000;
CREATE TABLE story (model TEXT, pk TEXT, feed TEXT, text TEXT, PRIMARY KEY (model, pk, feed)) WITHOUT ROWID;
CREATE TABLE feed (name TEXT PRIMARY KEY, start INTEGER, first INTEGER, cursor TEXT) WITHOUT ROWID;
"""


class FeedInfo(NamedTuple):
    """How far a feed was read."""

    start: int
    """It holds all that came after this timestamp, microseconds."""
    first: int
    """The timestamp of the oldest diff that was read."""
    cursor: Cursor
    """Where to read on."""


def read_pages(store: Store, requests: Iterable[Read]) -> Iterator[tuple[Read, Page | None]]:
    """Read feeds to their ends, very many of them in a trip.

    Args:
        store: where.
        requests: what to read; the limits don't count.

    Yields:
        A request and its next page; ``None`` in its place, as the last, where the cursor is refused.

    Raises:
        StoreUnavailable: the server is away.
    """
    waiting = iter(requests)
    while some := list(itertools.islice(waiting, TRIP_FEEDS)):
        cursors = {request: request.cursor for request in some}
        while cursors:
            limit = min(MAX_PAGE, TRIP_DIFFS // len(cursors))
            asked = list(cursors)
            pages = store.read([one._replace(cursor=cursors[one], limit=limit) for one in asked])
            cursors = {}
            for request, page in zip(asked, pages, strict=True):
                yield request, None if isinstance(page, CursorExpired) else page
                if isinstance(page, Page) and page.more:
                    cursors[request] = page.cursor


def ref(name: FeedName) -> FeedRef:
    """A feed by its name."""
    return FeedRef(name, window_of(name.model))


def shard_cursors(store: Store, model: str) -> dict[str, Cursor]:
    """The present, in each shard.

    Args:
        store: where.
        model: some registered model's label.

    Raises:
        StoreUnavailable: the server is away.
    """
    found: dict[str, FeedName] = {}
    for number in itertools.count():
        name = FeedName(model, str(number))
        found.setdefault(name.shard, name)
        if len(found) == len(SHARDS):
            break
    pages = store.read([Read(ref(found[shard]), mode="cursor") for shard in SHARDS])
    return {shard: page.cursor for shard, page in zip(SHARDS, pages, strict=True) if isinstance(page, Page)}


class Stories:
    """What feeds tell of objects, in a file that goes when this is closed: memory doesn't grow with them."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TABLES)

    def close(self) -> None:
        """Remove the file."""
        self._database.close()

    def read(self, store: Store, names: Sequence[FeedName], models: Collection[str] | None = None) -> int:
        """Read feeds from their oldest diffs on.

        Args:
            store: where.
            names: some hundreds of feeds.
            models: only the stories of these models' objects; ``None``: all.

        Returns:
            How many diffs were read.

        Raises:
            StoreUnavailable: the server is away.
        """
        count, infos = 0, dict[FeedName, FeedInfo]()
        self._database.execute("BEGIN")
        for (feed, *_), page in read_pages(store, (Read(ref(name)) for name in names)):
            if page is None:
                # Something was dropped between two pages: all who have read the first ones are refused.
                infos.pop(feed.name, None)
                self._database.execute("DELETE FROM story WHERE feed = ?", (str(feed.name),))
                continue
            count += len(page.stored)
            self._add(feed, page, models, is_first=feed.name not in infos)
            first = page.stored[0].position if page.stored else page.cursor.timestamp
            before = infos.get(feed.name, FeedInfo(page.start, first, page.cursor))
            infos[feed.name] = before._replace(cursor=page.cursor)
        rows = [(str(name), info.start, info.first, str(info.cursor)) for name, info in infos.items()]
        self._database.executemany("INSERT OR REPLACE INTO feed VALUES (?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")
        return count

    def _add(self, feed: FeedRef, page: Page, models: Collection[str] | None, *, is_first: bool) -> None:
        name = str(feed.name)
        diffs = to_diffs(feed, page.stored, page.cursor.epoch)
        stories: dict[tuple[str, str], Story] = {}
        if not is_first:
            for model, pk in set(map(key_of, diffs)):
                found = self._database.execute(
                    "SELECT text FROM story WHERE model = ? AND pk = ? AND feed = ?", (model, pk, name)
                ).fetchone()
                if found is not None:
                    stories[model, pk] = Story.unpack(found[0])
        fold((diff for diff in diffs if models is None or diff.model in models), stories)
        rows = [(model, pk, name, story.pack()) for (model, pk), story in stories.items()]
        self._database.executemany("INSERT OR REPLACE INTO story VALUES (?, ?, ?, ?)", rows)

    def models(self) -> list[str]:
        """The labels of the models of whose objects there are stories."""
        return [model for (model,) in self._database.execute("SELECT DISTINCT model FROM story")]

    def count(self, model: str) -> int:
        """Of how many objects of a model there are stories."""
        (found,) = self._database.execute("SELECT COUNT(DISTINCT pk) FROM story WHERE model = ?", (model,)).fetchone()
        return int(found)

    def next_pks(self, model: str, limit: int) -> list[str]:
        """The texts of the primary keys of some objects of which there are stories."""
        query = "SELECT DISTINCT pk FROM story WHERE model = ? ORDER BY pk LIMIT ?"
        return [pk for (pk,) in self._database.execute(query, (model, limit))]

    def take(self, model: str, pks: Sequence[str]) -> dict[str, dict[str, Story]]:
        """Take the stories of objects out: by primary key and feed."""
        found: dict[str, dict[str, Story]] = {}
        for some, marks in in_parts(pks):
            where = f"FROM story WHERE model = ? AND pk IN ({marks})"
            for pk, feed, text in self._database.execute(f"SELECT pk, feed, text {where}", (model, *some)):
                found.setdefault(pk, {})[feed] = Story.unpack(text)
            self._database.execute(f"DELETE {where}", (model, *some))
        return found

    def infos(self, names: Collection[str]) -> dict[str, FeedInfo]:
        """How far feeds were read; those that were not are left out."""
        found = {}
        for some, marks in in_parts(sorted(names)):
            query = f"SELECT name, start, first, cursor FROM feed WHERE name IN ({marks})"
            for name, start, first, cursor in self._database.execute(query, some):
                found[name] = FeedInfo(start, first, parse(cursor))
        return found


def in_parts(values: Sequence[str]) -> Iterator[tuple[Sequence[str], str]]:
    """Values for some queries, each time with the marks that stand for them."""
    for start in range(0, len(values), QUERY):
        some = values[start : start + QUERY]
        yield some, ", ".join("?" * len(some))
