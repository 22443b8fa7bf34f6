"""What can be asked of a feed, and what the script's replies say."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from diffs.cursor import Cursor
from diffs.errors import CursorExpired

from .batch import FeedRef

Mode = Literal["asc", "desc", "cursor"]


class Stored(NamedTuple):
    """A member as it stands in a feed."""

    member: bytes
    position: int
    """Its timestamp, microseconds."""


class Page(NamedTuple):
    """What reading a feed gave."""

    stored: list[Stored]
    cursor: Cursor
    """Where to go on."""
    more: bool
    """Whether the limit cut something off."""
    start: int
    """The feed holds nothing else from here on up to the last of them: a timestamp, microseconds."""


class Known(NamedTuple):
    """What a reader has of a feed, without a gap behind its cursor."""

    number: int
    last: int
    """The timestamp of the last of them, microseconds."""


class Read(NamedTuple):
    """What to read of a feed."""

    feed: FeedRef
    limit: int = 0
    cursor: Cursor | None = None
    """Read what comes after it, and refuse one that is no longer honoured."""
    lower: int | None = None
    """Only above this timestamp, microseconds; nothing is refused."""
    upper: int | None = None
    """Only up to this timestamp, microseconds."""
    mode: Mode = "asc"
    """Oldest first, newest first, or nothing but a cursor to begin from now."""
    offset: int = 0
    """How many to pass over."""
    known: Known | None = None
    """What needn't be read, but counts for `limit`; only with `cursor` and oldest first. The page's `start` tells
    whether the feed holds just that: then it is `Known.last`."""


def refusal_of(reply: list[bytes]) -> CursorExpired:
    """The error that a refusal says."""
    _, reason, epoch, timestamp = reply
    return CursorExpired(reason.decode(), str(Cursor(epoch.decode(), int(timestamp))))


def page_of(reply: list[Any]) -> Page | CursorExpired | None:
    """What a reply says; ``None`` where the script would have had to write."""
    if reply[0] == b"write":
        return None
    if reply[0] == b"refused":
        return refusal_of(reply)
    _, epoch, timestamp, more, start, found = reply
    pairs = zip(found[::2], found[1::2], strict=True)
    return Page(
        [Stored(member, int(float(score))) for member, score in pairs],
        Cursor(epoch.decode(), timestamp),
        more == 1,
        start,
    )
