"""Appends and polls of feeds, past Django, as large and as many as wanted."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from typing import Any

from diffs.codec import Encoder, new_nonce
from diffs.cursor import Cursor
from diffs.keys import FeedName
from diffs.store import Entry, FeedRef, Read, get_store

from .timing import Stopwatch, stopwatch

WINDOW = 3_600_000_000
BATCH = 5000
SCRIPTS = ("cmdstat_evalsha", "cmdstat_eval")

_random = random.Random(1)
_numbers = itertools.count(1)
_feeds: list[FeedRef] = []


def fill(*, feeds: int, diffs: int) -> None:
    """Fill feeds.

    Args:
        feeds: how many.
        diffs: how many each has.
    """
    _feeds[:] = [FeedRef(FeedName("project.item", str(1_000_000 + number)), WINDOW) for number in range(feeds)]
    store = get_store()
    store.client.flushdb()
    entries = (Entry(feed, _member()) for _ in range(diffs) for feed in _feeds)
    while batch := list(itertools.islice(entries, BATCH)):
        store.append(batch)


def append(*, count: int, diffs: int) -> dict[str, float]:
    """Append one diff each to some of the feeds, then make them as large as they were.

    Args:
        count: how many.
        diffs: how many a feed has.

    Returns:
        Microseconds for each, and those of them in which the server was busy with a script.
    """
    store = get_store()
    entries = [Entry(feed, _member()) for feed in _some(count)]
    server = _Server()
    with stopwatch() as watch:
        for entry in entries:
            store.append([entry])
    reply = server.reply(watch, count)
    pipeline = store.client.pipeline(transaction=False)
    for feed in {entry.feed for entry in entries}:
        pipeline.zremrangebyrank(store.keys.feed(feed.name), 0, -diffs - 1)
    pipeline.execute()
    return reply


def poll(*, count: int, limit: int, unread: int) -> dict[str, float]:
    """Read what some of the feeds have got most lately.

    Args:
        count: how often.
        limit: of a page.
        unread: how many diffs come after the reader's cursor.

    Returns:
        Microseconds for each, and those of them in which the server was busy with a script.

    Raises:
        ValueError: another number of diffs was found.
    """
    store = get_store()
    requests = [Read(feed=feed, cursor=_cursor(feed, unread), limit=limit) for feed in _some(count)]
    server = _Server()
    found = 0
    with stopwatch() as watch:
        for request in requests:
            found += len(store.read_one(request).stored)
    if found != count * min(limit, unread):
        raise ValueError(f"{found} diffs were found.")
    return server.reply(watch, count)


def _cursor(feed: FeedRef, unread: int) -> Cursor:
    page = get_store().read_one(Read(feed=feed, mode="desc", limit=unread or 1))
    oldest = page.stored[-1].position
    return Cursor(page.cursor.epoch, oldest - 1 if unread else oldest)


def _some(count: int) -> Iterator[FeedRef]:
    """Feeds as chance has it, none much more often than others."""
    chosen: list[FeedRef] = []
    while len(chosen) < count:
        chosen += _random.sample(_feeds, min(count - len(chosen), len(_feeds)))
    return iter(chosen)


def _member() -> bytes:
    number = next(_numbers)
    version = time.time_ns() // 1000 + number
    data = {"status": "delivered", "votes": number % 1000}
    return Encoder("update", version, new_nonce(), data).own()


class _Server:
    """What the server did since."""

    def __init__(self) -> None:
        self._client: Any = get_store().client
        self._before = self._now()

    def reply(self, watch: Stopwatch, count: int) -> dict[str, float]:
        """What an operation replies that ran so many scripts."""
        calls, busy = (after - before for after, before in zip(self._now(), self._before, strict=True))
        if calls != count:
            raise ValueError(f"{calls} scripts were run.")
        return {**watch.per(count), "server": busy / count}

    def _now(self) -> tuple[int, int]:
        stats = self._client.info("commandstats")
        found = [stats[name] for name in SCRIPTS if name in stats]
        return sum(each["calls"] for each in found), sum(each["usec"] for each in found)
