"""Feeds, members and a clock to test the store with."""

from __future__ import annotations

import itertools

from diffs.cursor import Cursor, parse
from diffs.errors import CursorExpired
from diffs.keys import parse_feed
from diffs.store import Entry, FeedRef, Page, Read, Store

SECOND = 1_000_000
WINDOW = 3600 * SECOND
START = 1_700_000_000_123_457


class Clock:
    """The time in microseconds, as a store's `now` gives it; it stands still unless a test moves it."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> str:
        return str(self.time)

    def advance(self, seconds: float) -> None:
        self.time += round(seconds * SECOND)


def feed(name: str = "polls.question:1", window: int = WINDOW, bound: int | None = None) -> FeedRef:
    return FeedRef(parse_feed(name), window, bound)


def neighbours(count: int) -> list[FeedRef]:
    """Feeds of different objects in one shard, and so under one clock."""
    feeds = (feed(f"polls.question:{pk}") for pk in itertools.count(1))
    return list(itertools.islice((one for one in feeds if one.name.shard == feed().name.shard), count))


def member(number: int) -> bytes:
    """Bytes that are no text."""
    return b"\x11\xff\x00\xc3" + str(number).encode()


def add(store: Store, *numbers: int, to: FeedRef | None = None) -> None:
    """Append members in one call."""
    store.append([Entry(to or feed(), member(number)) for number in numbers])


def numbers(page: Page) -> list[int]:
    """What `member` was called with for what was read."""
    return [int(stored.member[4:]) for stored in page.stored]


def positions(page: Page) -> list[int]:
    return [stored.position for stored in page.stored]


def read_all(store: Store, of: FeedRef | None = None) -> Page:
    return store.read_one(Read(feed=of or feed(), limit=100_000))


def cursor_now(store: Store, of: FeedRef | None = None) -> Cursor:
    """Where a reader begins who wants no more than what comes."""
    return store.read_one(Read(feed=of or feed(), mode="cursor")).cursor


def refusal(store: Store, cursor: Cursor, of: FeedRef | None = None) -> str | None:
    """Why a cursor is refused, after making sure that the one given instead is honoured."""
    (answer,) = store.read([Read(feed=of or feed(), cursor=cursor, limit=10)])
    if not isinstance(answer, CursorExpired):
        return None
    again = store.read_one(Read(feed=of or feed(), cursor=parse(answer.cursor), limit=10))
    assert again.stored == []
    return answer.reason
