"""What a feed tells of an object, and what its reader would have."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from diffs.codec import MAX_SAFE_INTEGER
from diffs.cursor import Cursor
from diffs.diff import CREATE, DELETE, Diff
from diffs.keys import FeedName, join_pk


class Told(NamedTuple):
    """The last that was told of a field."""

    position: int
    """Timestamp of the diff, microseconds."""
    value: Any = None
    is_known: bool = True
    """Whether the diff held the value; it names a field that is too large without it."""


class Story:
    """What a feed tells of one object, folded; diffs that it has are passed over."""

    __slots__ = ("began", "fields", "last", "there")

    def __init__(self) -> None:
        self.there: bool | None = None
        """Whether the object is there; ``None``: nothing was told of it."""
        self.began = 0
        """Timestamp of the last creation or deletion: nothing from before it holds."""
        self.last = 0
        """Timestamp of the last diff."""
        self.fields: dict[str, Told] = {}

    def add(self, diff: Diff) -> None:
        """Apply a diff as a reader does: in the order of the feed."""
        if diff.position <= self.last:
            return
        self.last = diff.position
        self.there = diff.action != DELETE
        if diff.action in (CREATE, DELETE):
            self.began, self.fields = diff.position, {}
        for name, value in diff.data.items():
            self.fields[name] = Told(diff.position, value)
        for name in getattr(diff, "omitted", ()):
            self.fields[name] = Told(diff.position, is_known=False)

    def pack(self) -> str:
        """Its text, for `unpack`."""
        fields = {name: told[: 1 + told.is_known] for name, told in self.fields.items()}
        return json.dumps([self.there, self.began, self.last, fields])

    @classmethod
    def unpack(cls, text: str) -> Story:
        """The story of a text."""
        story = cls()
        story.there, story.began, story.last, fields = json.loads(text)
        story.fields = {
            name: Told(*told) if len(told) == 2 else Told(told[0], is_known=False) for name, told in fields.items()
        }
        return story


class Base(NamedTuple):
    """An object as an earlier run found it."""

    row: Mapping[str, bytes] | None
    """The tokens of its values; ``None``: it wasn't there."""
    feeds: Collection[str]
    """The names of its feeds then."""
    cursors: Mapping[str, Cursor]
    """By shard, taken before it was read."""

    def within(self, feed: FeedName) -> Base:
        """What a reader of one of its feeds, or of another one, had of it."""
        return self if str(feed) in self.feeds else self._replace(row=None)


class Saying(NamedTuple):
    """What a reader has for a field."""

    token: bytes
    position: int
    """Timestamp of the diff that said so, microseconds; 0: it was read with the object."""


class Expected(NamedTuple):
    """What a reader of a feed would have of an object."""

    there: bool | None
    """``None``: the feed says nothing."""
    fields: Mapping[str, Saying | None]
    """``None``: a reader has to fetch this one."""


def expected(story: Story, base: Base | None, feed: FeedName) -> Expected:
    """What a reader has who read the whole feed, or the object at an earlier run and since then the feed.

    Args:
        story: what the feed tells.
        base: the object at the earlier run, unless there was none whose cursor still holds.
        feed: which feed.
    """
    fields = {
        name: Saying(token(told.value), told.position) if told.is_known else None for name, told in story.fields.items()
    }
    if base is None:
        return Expected(story.there, fields)
    since, row = base.cursors[feed.shard].timestamp, base.within(feed).row
    if story.began > since:
        return Expected(story.there, fields)
    later = {name: fields[name] for name, told in story.fields.items() if told.position > since}
    return Expected(row is not None or bool(later), {**_as_read(row or {}), **later})


def _as_read(row: Mapping[str, bytes]) -> dict[str, Saying | None]:
    return {name: Saying(value, 0) for name, value in row.items()}


def token(value: Any) -> bytes:
    """What is the same for two values just when they are the same to a reader, whatever the database made of them.

    Args:
        value: as the endpoint would serve it.
    """
    text = json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _canonical(value: Any) -> Any:
    """Databases keep neither the order of keys in JSON nor whether a whole number had a point."""
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
        return value if abs(value) <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, Mapping):
        return {key: _canonical(item) for key, item in value.items()}
    return list(map(_canonical, value)) if isinstance(value, list) else value


def key_of(diff: Diff) -> tuple[str, str]:
    """The object of a diff: its model's label, and the text of its primary key by which its feed is named."""
    return diff.model, join_pk(list(map(str, diff.pk))) if isinstance(diff.pk, list) else str(diff.pk)


def fold(diffs: Iterable[Diff], stories: dict[tuple[str, str], Story]) -> None:
    """Add diffs to the stories of their objects, by `key_of`."""
    for diff in diffs:
        key = key_of(diff)
        story = stories.get(key)
        if story is None:
            story = stories[key] = Story()
        story.add(diff)
