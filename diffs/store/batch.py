"""What is handed to the store, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from diffs.cursor import Cursor
from diffs.keys import FeedName

APPEND_MEMBERS = 500
"""How many diffs one call of the script appends, more or less."""
MAX_FEEDS = 10_000
MAX_MODELS = 1_000


class FeedRef(NamedTuple):
    """A feed and how long it keeps its diffs."""

    name: FeedName
    window: int
    """Microseconds."""
    max_elements: int | None = None
    """The most diffs that it keeps; ``None``: all of its window. Matters to whoever appends."""


class Entry(NamedTuple):
    """One diff for one feed."""

    feed: FeedRef
    member: bytes
    since: Cursor | None = None
    """Where the feed's shard stood when the change was captured: no earlier diff of its row has a higher version (see
    `marks`). ``None``: it is not looked whether it comes late."""
    row: int = 0
    """How many bytes of the member name its row; 0 where it is the one that the feed is named after."""


def in_order(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Diffs of several commits that leave in one call, each row's by version: what is late is looked for in feeds only.

    Two threads may hand over in another order than they committed in.
    """
    newest: dict[tuple[FeedName, bytes], bytes] = {}
    for feed, member, since, named in entries:
        if since is not None:
            row, version = (feed.name, member[12 : 12 + named]), member[1:8]
            if newest.get(row, b"") > version:
                return sorted(entries, key=lambda entry: entry.member[1:8])
            newest[row] = version
    return entries


class Late(NamedTuple):
    """A diff that came after one of the same row with a higher version, and so was not appended."""

    entry: Entry
    version: int
    """The higher version; 0 where what the feed holds doesn't tell, and so it may have come in time."""


class Outcome(NamedTuple):
    """What became of diffs, besides those that were appended and those whose readers will be refused."""

    late: Sequence[Late] = ()
    unsent: Sequence[Entry] = ()
    """What the server didn't take, where the sender keeps it."""
    is_floored: bool = True
    """Whether the floors that came with them are raised."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing of it has to be sent again."""
        return self.is_floored and not self.unsent

    def split(self, parts: Iterable[Sequence[Entry]]) -> Iterator[Outcome]:
        """What became of each part of what was sent; entries are told apart as objects, as two may be equal."""
        late = {id(one.entry): one for one in self.late}
        unsent = {id(entry) for entry in self.unsent}
        for entries in parts:
            yield Outcome(
                [late[id(entry)] for entry in entries if id(entry) in late],
                [entry for entry in entries if id(entry) in unsent],
                self.is_floored,
            )


class Receipt(NamedTuple):
    """For whoever handed something over, and wants to know what became of it."""

    using: str
    """The database alias of the change."""
    settle: Callable[[Sequence[tuple[Receipt, Outcome]]], None]
    """Is told, with others of the same sender; in the thread that sent."""
    rows: Sequence[int] = ()
    """Where it is kept until it was sent; nothing is refused for it meanwhile."""
    tries: int = 0
    """How often these diffs were late before."""


class Floors:
    """What old cursors are to be refused for: feeds, whole models, or everything.

    Bounded: very many feeds become their models, very many models everything, so that an outage costs no memory.
    """

    def __init__(self, feeds: Iterable[FeedRef] = (), models: Iterable[str] = (), *, everything: bool = False) -> None:
        self.feeds = {feed.name: feed.window for feed in feeds}
        self.models = set(models)
        self.everything = everything
        self._bound()

    def __bool__(self) -> bool:
        return self.everything or bool(self.feeds or self.models)

    def __repr__(self) -> str:
        if self.everything:
            return "<Floors: everything>"
        return f"<Floors: {len(self.feeds)} feeds, {len(self.models)} models>"

    @property
    def models_text(self) -> str:
        """Which models they are about, for people."""
        if self.everything:
            return "all models"
        return ", ".join(sorted(self.models | {name.model for name in self.feeds}))

    def add(self, other: Floors) -> None:
        """Take in what `other` names."""
        self.feeds.update(other.feeds)
        self.models |= other.models
        self.everything = self.everything or other.everything
        self._bound()

    def _bound(self) -> None:
        if len(self.feeds) > MAX_FEEDS:
            self.models.update(name.model for name in self.feeds)
            self.feeds.clear()
        if len(self.models) > MAX_MODELS:
            self.everything = True
        if self.everything:
            self.feeds.clear()
            self.models.clear()


Batch = list[tuple[FeedRef, list[Entry]]]
"""Feeds of one shard with their diffs."""


def by_shard(entries: Sequence[Entry]) -> list[tuple[str, Batch]]:
    """By shard feeds with their diffs, a feed's never apart, about `APPEND_MEMBERS` diffs in each batch."""
    if len(entries) == 1:
        (entry,) = entries
        return [(entry.feed.name.shard, [(entry.feed, [entry])])]
    feeds: dict[FeedRef, list[Entry]] = {}
    for entry in entries:
        if entry.feed in feeds:
            feeds[entry.feed].append(entry)
        else:
            feeds[entry.feed] = [entry]
    batches: list[tuple[str, Batch]] = []
    filling: dict[str, tuple[Batch, int]] = {}
    for each in feeds.items():
        feed, members = each
        shard = feed.name.shard
        batch, size = filling.get(shard, ([], 0))
        if not batch or size + len(members) > APPEND_MEMBERS:
            batch, size = [], 0
            batches.append((shard, batch))
        batch.append(each)
        filling[shard] = batch, size + len(members)
    return batches
