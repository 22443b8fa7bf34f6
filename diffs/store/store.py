"""What the rest of the package can ask of Redis."""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import redis

from diffs.codec import new_nonce
from diffs.cursor import Cursor
from diffs.errors import CursorExpired, StoreUnavailable
from diffs.keys import SHARDS, Keyspace

from .batch import Batch, Entry, FeedRef, Floors, Late, Outcome, by_shard
from .cluster import Cluster
from .lines import Command, Lines
from .marks import Marks
from .outage import IN_OUTBOX, NOT_KEPT, Outage
from .reading import Page, Read, page_of, refusal_of
from .scripts import Argument, Call
from .scripts import run as run_scripts

logger = logging.getLogger("diffs")

AWAY = (redis.ConnectionError, redis.TimeoutError, redis.ResponseError, OSError)
"""What the client raises because of the server; what it raises because of its caller is none of these."""

class Store:
    """The feeds on one server, or in one cluster.

    Args:
        client: a redis-py client, with or without ``decode_responses``, or a cluster.
        prefix: what all keys begin with.
        now: the time in microseconds as text, for tests; the server's own time where it gives ``""``.
        has_outbox: whether what can't be written stands elsewhere, too; for the log.
    """

    def __init__(
        self,
        client: redis.Redis | Cluster,
        prefix: str,
        now: Callable[[], str] = str,
        *,
        has_outbox: bool = False,
    ) -> None:
        self.client: Any = client
        self.keys = Keyspace(prefix)
        self._lines = client if isinstance(client, Cluster) else Lines(client)
        self._now = now
        self.marks = Marks()
        self._consequence = IN_OUTBOX if has_outbox else NOT_KEPT
        self._outage = Outage(self._repair, self._consequence)
        self._refusing = False

    def write(self, entries: Sequence[Entry], floors: Floors | None = None, *, keeps: bool = False) -> Outcome:
        """Raise floors, then append diffs; never raises, as the rows are already committed.

        Args:
            entries: the diffs.
            floors: what old cursors are to be refused for.
            keeps: whether the caller sends again what the server didn't take, so that nothing is refused for it.
        """
        is_floored = True
        try:
            if floors:
                is_floored = self.raise_floors(floors)
            outcome = self.append(entries, keeps=keeps)
            return outcome._replace(is_floored=is_floored and outcome.is_floored)
        except Exception:
            logger.exception("Diffs could not be handed to Redis; old cursors will be refused.")
            is_floored = self.raise_floors(Floors(entry.feed for entry in entries)) and is_floored
            return Outcome(is_floored=is_floored)

    def append(self, entries: Iterable[Entry], *, keeps: bool = False) -> Outcome:
        """Append diffs, all of one feed at once; never raises for what the server does.

        What can't be written raises the floors of the feeds concerned, now or as soon as the server is back.

        Args:
            entries: the diffs; a feed's in their order.
            keeps: hand back instead what can't be written.
        """
        batches = by_shard(entries if isinstance(entries, list) else list(entries))
        if not batches:
            return Outcome()
        try:
            replies = self.run([self._append_call(shard, batch) for shard, batch in batches])
        except StoreUnavailable as error:
            unsent = [entry for _, batch in batches for _, listed in batch for entry in listed]
            missed = None if keeps else Floors(entry.feed for entry in unsent)
            self._outage.begin(error.__cause__ or error, missed)
            return Outcome(unsent=unsent if keeps else ())
        is_plain = not self._refusing
        for (shard, _), reply in zip(batches, replies, strict=True):
            if isinstance(reply, list):
                self.marks.note(shard, Cursor(reply[0].decode(), reply[1]))
                is_plain = is_plain and len(reply) == 2
            else:
                is_plain = False
        return Outcome() if is_plain else self._look_into(batches, replies, keeps)

    def _look_into(self, batches: Sequence[tuple[str, Batch]], replies: Sequence[Any], keeps: bool) -> Outcome:
        """Some diffs were refused or came late, or are taken again."""
        refused = Floors()
        refusal: Exception | None = None
        unsent: list[Entry] = []
        late: list[Late] = []
        for (_, batch), reply in zip(batches, replies, strict=True):
            if isinstance(reply, Exception):
                refusal = reply
                if keeps:
                    unsent += [entry for _, listed in batch for entry in listed]
                else:
                    refused.add(Floors(feed for feed, _ in batch))
                continue
            if len(reply) > 2:
                wrong = [batch[int(number) - 1][0] for number in reply[2]]
                if wrong:
                    logger.error("No sorted set: %s. Its diffs are lost.", ", ".join(str(feed.name) for feed in wrong))
                    refused.add(Floors(wrong))
                listed = [entry for _, entries in batch for entry in entries]
                late += [
                    Late(listed[int(number) - 1], int(version))
                    for number, version in zip(reply[3][::2], reply[3][1::2], strict=True)
                ]
            if self._refusing:
                self._refusing = False
                logger.warning("Redis takes diffs again.")
        # A server that takes no floors either, such as a replica, is away: that has a line of its own in the log.
        is_floored = not refused or self.raise_floors(refused)
        if is_floored and refusal is not None:
            self._log_refusal(refusal)
        return Outcome(late, unsent, is_floored)

    def raise_floors(self, floors: Floors) -> bool:
        """Refuse all cursors handed out before; never raises for the server.

        Returns:
            Whether they are refused now; if not, they are as soon as the server is back.
        """
        try:
            self._outage.check()
            self._repair(floors)
        except StoreUnavailable as error:
            self._outage.begin(error.__cause__ or error, floors)
            return False
        return True

    def mark(self, shard: str) -> Cursor:
        """Where a shard stands, as far as this process knows.

        The first time, the server is asked for all shards. One that has no data begins then, so that later it can be
        told whether it lost any.

        Raises:
            StoreUnavailable: the server is away.
        """
        if not self.marks:
            self._learn_marks()
        if self.marks.lacks(shard):
            try:
                replies = self.run([self._floor_call(shard, [], [])])
            except StoreUnavailable as error:
                # The next of many marks is not to wait as long.
                if error.__cause__ is not None:
                    self._outage.begin(error.__cause__)
                raise
            self._note([shard], self.raise_if_failed(replies))
        return self.marks.of(shard)

    def _learn_marks(self) -> None:
        self._outage.check()
        commands = [("HMGET", self.keys.meta(shard), "epoch", "clock") for shard in SHARDS]
        try:
            replies = self.raise_if_failed(self._lines.trip(commands))
        except AWAY as error:
            self._outage.begin(error)
            raise StoreUnavailable("Redis can't be reached.") from error
        for shard, (epoch, clock) in zip(SHARDS, replies, strict=True):
            if epoch is not None:
                self.marks.note(shard, Cursor(epoch.decode(), int(clock)))

    def clear(self, feed: FeedRef) -> None:
        """Refuse all cursors of a feed, and remove its diffs.

        Raises:
            StoreUnavailable: nothing was removed.
        """
        shard = feed.name.shard
        self._note([shard], self.raise_if_failed(self.run([self._floor_call(shard, [feed], [], clear=True)])))

    def read(self, requests: Sequence[Read]) -> list[Page | CursorExpired]:
        """Read feeds in one trip, or two where a script has to write (a new epoch, a cursor to renew).

        Returns:
            For each request a page, or the error that says why its cursor is refused.

        Raises:
            StoreUnavailable: the server is away.
        """
        replies = self._read(requests, "")
        if None in replies:
            pending = [index for index, reply in enumerate(replies) if reply is None]
            again = self._read([requests[index] for index in pending], "1")
            for index, reply in zip(pending, again, strict=True):
                replies[index] = reply
        return [reply for reply in replies if reply is not None]

    def read_one(self, request: Read) -> Page:
        """Read one feed.

        Raises:
            CursorExpired: the cursor is no longer honoured.
            StoreUnavailable: the server is away.
        """
        (page,) = self.read([request])
        if isinstance(page, CursorExpired):
            raise page
        return page

    def count(self, request: Read) -> int:
        """How many diffs a reading without limit would give.

        Raises:
            CursorExpired: the cursor is no longer honoured.
            StoreUnavailable: the server is away.
        """
        for may_write in ("", "1"):
            (reply,) = self.raise_if_failed(self.run([self._read_call(request, may_write, "count")]))
            if reply[0] == b"count":
                return int(reply[1])
            if reply[0] == b"refused":
                raise refusal_of(reply)
        raise StoreUnavailable("Redis lost the shard's data twice in a row.")

    def close(self) -> None:
        """Give up what is held: connections, and waiting for the server to come back."""
        self._outage.close()
        self._lines.close()
        self.client.close()

    def _append_call(self, shard: str, batch: Batch) -> Call:
        since: dict[Cursor | None, None] = {}
        arguments: list[Argument] = []
        keys, floors = [], []
        for (name, window, bound), entries in batch:
            keys.append(self.keys.feed_in(shard, name))
            if bound is not None:
                floors.append(self.keys.floor_in(shard, name))
            since.update((entry.since, None) for entry in entries)
            named = any(entry.row for entry in entries)
            lengths = b"".join(entry.row.to_bytes(2, "big") for entry in entries) if named else b""
            arguments += (name.model, window, "" if bound is None else bound, lengths, len(entries))
            arguments += (entry.member for entry in entries)
        epoch, clock = self.marks.lowest(since.keys()) or ("", "")
        return self.call("append", shard, [*keys, *floors], [epoch, clock, *arguments])

    def _floor_call(self, shard: str, feeds: Sequence[FeedRef], fields: Iterable[str], *, clear: bool = False) -> Call:
        keys = itertools.chain.from_iterable((self.keys.feed(name), self.keys.floor(name)) for name, *_ in feeds)
        windows = [argument for name, window, _ in feeds for argument in (name.model, window)]
        return self.call("floor", shard, keys, ["1" if clear else "", *windows, *fields])

    def _read_call(self, request: Read, may_write: str, mode: str) -> Call:
        name, window, _ = request.feed
        epoch, timestamp = request.cursor or ("", "")
        new_epoch = new_nonce().hex() if may_write else ""
        arguments: tuple[Argument, ...] = (
            *(self._now(), new_epoch, may_write, name.model, window, epoch, timestamp, mode, request.limit),
            *(request.known or ()),
        )
        if request.offset or request.lower is not None or request.upper is not None:
            bounds = ("" if bound is None else bound for bound in (request.lower, request.upper))
            arguments = (*arguments, *(() if request.known else ("", "")), request.offset, *bounds)
        return Call("read", self.keys.of_feed(name), arguments)

    def call(self, script: str, shard: str, keys: Iterable[str | bytes], arguments: Iterable[Argument]) -> Call:
        """One call of a script, with what all scripts take: a random name serves, should the shard need an epoch."""
        return Call(script, (self.keys.meta(shard), *keys), (self._now(), new_nonce().hex(), *arguments))

    def check(self) -> None:
        """Return where the server may be asked.

        Raises:
            StoreUnavailable: it was away a moment ago.
        """
        self._outage.check()

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """Run scripts in one trip.

        Raises:
            StoreUnavailable: the server is away.
        """
        self._outage.check()
        try:
            return run_scripts(self._lines, calls)
        except AWAY as error:
            raise StoreUnavailable("Redis can't be reached.") from error

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one trip, each about keys of one shard; replies are bytes.

        Raises:
            StoreUnavailable: the server is away.
        """
        self._outage.check()
        try:
            return self._lines.trip(commands) if commands else []
        except AWAY as error:
            raise StoreUnavailable("Redis can't be reached.") from error

    def servers(self) -> list[redis.Redis]:
        """Clients of all servers that have feeds: one, or a cluster's masters.

        Raises:
            StoreUnavailable: the cluster is away.
        """
        try:
            return self._lines.servers()
        except AWAY as error:
            raise StoreUnavailable("Redis can't be reached.") from error

    def publisher(self) -> redis.Redis:
        """The client of a server on which news of all feeds are heard; in a cluster each time of another.

        Raises:
            redis.RedisError: the cluster is away.
        """
        return self._lines.publisher()

    def _read(self, requests: Sequence[Read], may_write: str) -> list[Page | CursorExpired | None]:
        try:
            replies = self.run([self._read_call(request, may_write, request.mode) for request in requests])
        except StoreUnavailable as error:
            if error.__cause__ is not None:
                self._outage.begin(error.__cause__)
            raise
        return [page_of(reply) for reply in self.raise_if_failed(replies)]

    def _repair(self, floors: Floors) -> None:
        """Raise floors, or ask whether the server is there.

        Raises:
            StoreUnavailable: it isn't, or it refuses.
        """
        feeds: dict[str, list[FeedRef]] = defaultdict(list)
        for feed in floors.feeds.items():
            feeds[feed[0].shard].append(FeedRef(*feed))
        fields = ["floor"] if floors.everything else [f"floor:{model}" for model in sorted(floors.models)]
        shards = SHARDS if fields else sorted(feeds)
        calls = [self._floor_call(shard, feeds.get(shard, []), fields) for shard in shards]
        try:
            if calls:
                self._note(shards, self.raise_if_failed(run_scripts(self._lines, calls)))
            else:
                # Of every shard: each may have a master of its own.
                asked = [("HMGET", self.keys.meta(shard), "epoch") for shard in SHARDS]
                self.raise_if_failed(self._lines.trip(asked))
        except AWAY as error:
            raise StoreUnavailable("Redis can't be reached.") from error

    def _note(self, shards: Iterable[str], replies: Iterable[Any]) -> None:
        """Take in where shards stand now."""
        for shard, (epoch, clock, *_) in zip(shards, replies, strict=True):
            self.marks.note(shard, Cursor(epoch.decode(), clock))

    @staticmethod
    def raise_if_failed(replies: list[Any]) -> list[Any]:
        """Hand replies back, unless one is an error of the server's."""
        for reply in replies:
            if isinstance(reply, Exception):
                raise StoreUnavailable(f"Redis refuses ({type(reply).__name__}).") from reply
        return replies

    def _log_refusal(self, error: Exception) -> None:
        if not self._refusing:
            self._refusing = True
            logger.error("Redis takes no diffs (%s): changes are saved %s", error, self._consequence)
