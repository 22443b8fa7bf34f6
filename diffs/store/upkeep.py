"""What keeps the feeds in order and tells of their state: pruning, measuring, asking the server."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import redis
import six
from redis.client import NEVER_DECODE

from diffs.errors import StoreUnavailable
from diffs.keys import SHARDS, FeedName

from .cluster import Cluster
from .connection import address_of
from .lines import Command
from .scripts import Argument, Call
from .store import AWAY, Store

SCAN_COUNT = 500
SCAN_COUNT_TO_PRUNE = 2000
PRUNED_FEEDS = 500
"""In one trip, so that others needn't wait for long."""
_CONFIG = ("zset-max-listpack-value", "zset-max-ziplist-value", "save")


@dataclasses.dataclass(slots=True)
class PruneResult:
    """What pruning did so far."""

    feeds: int = 0
    removed: int = 0
    freed: int = 0
    """Bytes, as Redis measures keys; of many small feeds it measures some."""
    wrong_type: list[str] = dataclasses.field(default_factory=list)
    """Keys in the place of feeds that are no sorted sets; left alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class FeedSurvey:
    """A feed's size."""

    name: FeedName
    diffs: int
    oldest: int
    """Timestamp, microseconds."""
    newest: int


class Survey(NamedTuple):
    """What measuring gave."""

    feeds: list[FeedSurvey]
    wrong_type: list[str]
    """Keys in the place of feeds that are no sorted sets."""


class ServerInfo(NamedTuple):
    """What a server says of itself."""

    address: str
    """Without user and password."""
    info: Mapping[str, Any]
    """``INFO``, and parts of its configuration; without what is forbidden."""


class Upkeep:
    """The slow work on a store's feeds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def feeds(self, model: str | None = None) -> Iterator[list[FeedName]]:
        """All feeds, or those of one model, in lists of a few hundred.

        Raises:
            StoreUnavailable: the server is away.
        """
        for pattern in self._keys.feed_pattern(model):
            for found in self._scan(pattern, SCAN_COUNT):
                names = map(self._keys.feed_of_key, (six.ensure_str(key, errors="replace") for key in found))
                yield [name for name in names if name is not None and model in (None, name.model)]

    def remove_everything(self) -> None:
        """Remove all keys under the store's prefix, for tests; cursors from before are refused as those of lost data.

        No diff may be on its way.

        Raises:
            StoreUnavailable: the server is away.
        """
        for found in self._scan(self._keys.any_pattern(), SCAN_COUNT):
            self._store.raise_if_failed(self._store.ask([("UNLINK", key) for key in found]))
        self._store.marks.clear()

    def prune(
        self, ages: Callable[[str], tuple[int, int]], model: str | None = None, *, dry_run: bool = False
    ) -> Iterator[PruneResult]:
        """Remove what is older than an age, with every reader's floor raised first.

        Args:
            ages: for a model's label its window and the age above which diffs go, in microseconds.
            model: only this model's feeds.
            dry_run: count only.

        Yields:
            The same result after each trip, grown.

        Raises:
            StoreUnavailable: the server went away; what was pruned so far is in order.
        """
        result = PruneResult()
        for batches in self._batches(model):
            yield result
            while batches:
                batches = self._prune(batches, ages, dry_run, result)
                yield result

    def survey(self, names: Sequence[FeedName]) -> Survey:
        """Measure feeds in one trip; those that are empty by now are left out.

        Raises:
            StoreUnavailable: the server is away, or refuses.
        """
        commands: list[Command] = []
        for name in names:
            key = self._keys.feed(name)
            commands.append(("ZCARD", key))
            commands += (("ZRANGE", key, rank, rank, "WITHSCORES") for rank in (0, -1))
        replies = self._store.ask(commands)
        survey = Survey([], [])
        for name, start in zip(names, itertools.count(0, 3), strict=False):
            found = replies[start : start + 3]
            if any(_is_wrong_type(reply) for reply in found):
                survey.wrong_type.append(self._keys.feed(name))
                continue
            count, oldest, newest = self._store.raise_if_failed(found)
            if oldest and newest:
                survey.feeds.append(FeedSurvey(name, count, _score(oldest), _score(newest)))
        return survey

    @property
    def address(self) -> str:
        """Where the server is, or the nodes of a cluster that the settings name; without user and password."""
        client = self._store.client
        if isinstance(client, Cluster):
            return f"the cluster of {', '.join(f'{host}:{port}' for host, port in client.seeds)}"
        return address_of(client)

    def servers(self) -> list[ServerInfo]:
        """What each server says of itself: one, or a cluster's masters.

        Raises:
            StoreUnavailable: one is away.
        """
        found = []
        for server in self._store.servers():
            info = self._info(server)
            # Sentinel has said by now where it is.
            found.append(ServerInfo(address_of(server), info))
        return found

    def _info(self, server: redis.Redis) -> Mapping[str, Any]:
        info: dict[str, Any] = {}
        try:
            with contextlib.suppress(redis.ResponseError):
                info.update(server.info())
            for name in _CONFIG:
                with contextlib.suppress(redis.ResponseError):
                    config: dict[Any, Any] = server.config_get(name)
                    info.update({six.ensure_str(key): six.ensure_str(value or "") for key, value in config.items()})
        except AWAY as error:
            raise StoreUnavailable("Redis can't be reached.") from error
        return info

    def _scan(self, pattern: str, count: int) -> Iterator[list[bytes]]:
        for server in self._store.servers():
            position = 0
            while True:
                position, found = self._ask(server, "SCAN", position, "MATCH", pattern, "COUNT", count)
                yield found
                if not position:
                    break

    def _ask(self, server: redis.Redis, *command: Argument) -> Any:
        self._store.check()
        try:
            return server.execute_command(*command, **{NEVER_DECODE: True})
        except AWAY as error:
            raise StoreUnavailable("Redis can't be reached.") from error

    def _batches(self, model: str | None) -> Iterator[list[_Batch]]:
        """All feeds in batches, of which each list makes others wait for no more than a moment; some are empty."""
        sort = self._keys.sorter()
        waiting: list[dict[bytes, list[bytes]]] = [defaultdict(list) for _ in SHARDS]
        for pattern in self._keys.feed_pattern(model):
            for found in self._scan(pattern, SCAN_COUNT_TO_PRUNE):
                sort(found, waiting)
                yield []
                for number, keys in enumerate(waiting):
                    if sum(map(len, keys.values())) >= PRUNED_FEEDS:
                        yield [_Batch(SHARDS[number], keys)]
                        waiting[number] = defaultdict(list)
        rest = [_Batch(SHARDS[number], keys) for number, keys in enumerate(waiting) if keys]
        while rest:
            few = [rest.pop()]
            while rest and sum(len(batch.keys) for batch in few) + len(rest[-1].keys) <= PRUNED_FEEDS:
                few.append(rest.pop())
            yield few

    def _prune(
        self, batches: list[_Batch], ages: Callable[[str], tuple[int, int]], dry_run: bool, result: PruneResult
    ) -> list[_Batch]:
        """Prune as much as one trip may; what is left of the batches."""
        calls = [self._prune_call(batch, ages, dry_run) for batch in batches]
        replies = self._store.raise_if_failed(self._store.run(calls))
        rest: list[_Batch] = []
        for batch, (done, removed, freed, *wrong) in zip(batches, replies, strict=True):
            result.feeds += done - len(wrong)
            result.removed += removed
            result.freed += freed
            result.wrong_type += [six.ensure_str(batch.keys[number - 1], errors="replace") for number in wrong]
            if done < len(batch.keys):
                rest.append(batch.behind(done))
        return rest

    def _prune_call(self, batch: _Batch, ages: Callable[[str], tuple[int, int]], dry_run: bool) -> Call:
        arguments: list[Argument] = ["1" if dry_run else ""]
        for label, keys in batch.feeds.items():
            arguments += (label, *ages(six.ensure_str(label, errors="replace")), len(keys))
        return self._store.call("prune", batch.shard, batch.keys, arguments)


class _Batch:
    """What one call prunes: keys of feeds of one shard, by model."""

    def __init__(self, shard: str, feeds: Mapping[bytes, list[bytes]]) -> None:
        self.shard = shard
        self.feeds = feeds
        self.keys = [key for keys in feeds.values() for key in keys]

    def behind(self, count: int) -> _Batch:
        """What follows the first so many keys."""
        rest = {}
        for label, keys in self.feeds.items():
            if count < len(keys):
                rest[label] = keys[count:]
            count = max(0, count - len(keys))
        return _Batch(self.shard, rest)


def _is_wrong_type(reply: Any) -> bool:
    return isinstance(reply, redis.ResponseError) and str(reply).startswith("WRONGTYPE")


def _score(reply: list[Any]) -> int:
    """The score in a reply of one member, flat in protocol 2 and a pair in protocol 3."""
    return int(float(reply[0][1] if isinstance(reply[0], list | tuple) else reply[1]))
