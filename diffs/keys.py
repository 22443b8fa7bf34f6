"""Names of feeds and keys: the only place that spells them.

A feed's name is ``app.model`` or ``app.model:pk``. Its shard is a hash of the name, and the shard stands as a hash
tag in front of everything else, so that no pk, whatever it holds, can move a key to another slot.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from typing import NamedTuple

SHARDS = tuple(f"{number:02x}" for number in range(64))


class FeedName(NamedTuple):
    """What a feed is called."""

    model: str
    """``"polls.question"``."""
    pk: str | None = None
    """Canonical text of the object's primary key; ``None`` for the model's own feed."""

    def __str__(self) -> str:
        return self.model if self.pk is None else f"{self.model}:{self.pk}"

    @property
    def shard(self) -> str:
        """One of `SHARDS`."""
        return _shard(str(self))


def _shard(text: str) -> str:
    return SHARDS[binascii.crc32(text.encode("utf-8", "surrogatepass")) % len(SHARDS)]


def parse_feed(text: str) -> FeedName:
    """Read a feed's name: the model ends at the first colon."""
    model, colon, pk = text.partition(":")
    return FeedName(model, pk if colon else None)


def join_pk(parts: list[str]) -> str:
    """Canonical text of a composite primary key: its parts with commas between, commas and ``~`` escaped by ``~``."""
    return ",".join(part.replace("~", "~~").replace(",", "~,") for part in parts)


def split_pk(text: str) -> list[str]:
    """Undo `join_pk`."""
    parts = [""]
    characters = iter(text)
    for character in characters:
        if character == ",":
            parts.append("")
        else:
            parts[-1] += next(characters, "") if character == "~" else character
    return parts


FeedKeys = Sequence[MutableMapping[bytes, list[bytes]]]
"""Keys of feeds: for each of `SHARDS` by model, none of which has to be made first."""


class Keyspace(NamedTuple):
    """Redis keys under a prefix."""

    prefix: str

    def meta(self, shard: str) -> str:
        """The hash with the shard's epoch, clock, floors and windows."""
        return f"{self.prefix}:{{{shard}}}:meta"

    def feed(self, name: FeedName) -> str:
        """The sorted set with the feed's diffs; also the channel on which its news are published."""
        return self.feed_in(name.shard, name)

    def feed_in(self, shard: str, name: FeedName) -> str:
        """The same, where the shard is known."""
        return f"{self.prefix}:{{{shard}}}:feed:{name}"

    def floor(self, name: FeedName) -> str:
        """The feed's own floor."""
        return self.floor_in(name.shard, name)

    def floor_in(self, shard: str, name: FeedName) -> str:
        """The same, where the shard is known."""
        return f"{self.prefix}:{{{shard}}}:floor:{name}"

    def of_feed(self, name: FeedName) -> tuple[str, str, str]:
        """What `meta`, `feed` and `floor` give for a feed."""
        text = str(name)
        start = f"{self.prefix}:{{{_shard(text)}}}"
        return f"{start}:meta", f"{start}:feed:{text}", f"{start}:floor:{text}"

    def feed_pattern(self, model: str | None = None) -> Iterator[str]:
        """Glob patterns that together match the keys of all feeds, or of one model's (exactly: `feed_of_key`)."""
        prefix = _escape(self.prefix)
        if model is None:
            yield f"{prefix}:{{??}}:feed:*"
        else:
            yield f"{prefix}:{{??}}:feed:{_escape(model)}:*"
            yield f"{prefix}:{{??}}:feed:{_escape(model)}"

    def any_pattern(self) -> str:
        """A glob pattern that matches all keys under the prefix."""
        return f"{_escape(self.prefix)}:{{??}}:*"

    def sorter(self) -> Callable[[Iterable[bytes], FeedKeys], None]:
        """What tells very many feeds apart without making a name of each.

        Returns:
            A function that adds those of some keys that are feeds' to others.
        """
        starts = [f"{self.prefix}:{{{shard}}}:feed:".encode() for shard in SHARDS]
        length, count = len(starts[0]), len(SHARDS)
        crc32 = binascii.crc32

        def sort(keys: Iterable[bytes], into: FeedKeys) -> None:
            for key in keys:
                name = key[length:]
                number = crc32(name) % count
                if name and key.startswith(starts[number]):
                    into[number][name.partition(b":")[0]].append(key)

        return sort

    def feed_of_key(self, key: str) -> FeedName | None:
        """The feed whose key this is; ``None`` where it is the key of none."""
        start = f"{self.prefix}:{{"
        if not key.startswith(start):
            return None
        shard, _, rest = key[len(start) :].partition("}:feed:")
        name = parse_feed(rest)
        return name if rest and shard == name.shard else None


def _escape(text: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]^\\" else character for character in text)
