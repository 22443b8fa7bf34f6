"""What is handed to the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from diffs.keys import FeedName

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
