"""P1 and P4 in any history: no reader skips a diff, or misses that one was lost, without having been refused before.

The real scripts are driven through appends, changes that could not be recorded, polls, clocks that step back, flushes,
failovers to an older copy, evictions, pruning, changed windows and bounds, and expiry; polls also go through a process
that remembers what it has read. Time is the test's, so what would expire is deleted; the rest the server does itself.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from diffs import cursor as cursors
from diffs.codec import Encoder, Row
from diffs.cursor import Cursor
from diffs.errors import CursorExpired
from diffs.http.documents import AS_JSON
from diffs.http.recent import Found, Recent
from diffs.store import Entry, FeedRef, Floors, Page, Read, Store, Stored, Upkeep
from tests.servers import RedisServer, best_kind

from .feeds import SECOND, Clock, feed

# Few lengths of time, so that histories come across the very edges.
WINDOWS = (600 * SECOND, 1200 * SECOND)
BOUNDS = (None, 1, 3, 6)
PRUNE_AGE = 300 * SECOND
FURTHEST_BACK = 3600 * SECOND
STEPS = st.sampled_from([0, 0, 0, 1, SECOND, 301 * SECOND, 600 * SECOND, 601 * SECOND])
STEPS_BACK = st.sampled_from([1, SECOND, 301 * SECOND, 600 * SECOND, 3600 * SECOND])
LIMITS = st.sampled_from([1, 2, 5])
READERS = st.integers(0, 3)
# Of another model, in the same shard: it moves the clock and nothing else.
NEIGHBOUR = next(
    one for one in (feed(f"polls.choice:{pk}") for pk in range(10_000)) if one.name.shard == feed().name.shard
)


def member(number: int) -> bytes:
    return Encoder("update", number, bytes(4), {}).own()


def numbers(diffs: list[Stored]) -> list[int]:
    return [int.from_bytes(stored.member[1:8], "big") for stored in diffs]


@dataclasses.dataclass
class Reader:
    """Who polls, and what he must see next."""

    cursor: Cursor
    next_change: int


@dataclasses.dataclass
class Copy:
    """What a replica had when it fell behind."""

    values: dict[bytes, bytes]
    expires: dict[str, int]


class Histories(RuleBasedStateMachine):
    """One feed, its neighbours in the shard, and its readers."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self.server = server
        self.client = client = server.client
        client.flushdb()
        self.clock = Clock()
        self.newest_time = self.clock.time
        self.store = Store(client, "diffs", now=self.clock)
        self.upkeep = Upkeep(self.store)
        # So small that it also forgets.
        self.process = Recent(max_entries=12)
        self.window = WINDOWS[0]
        self.bound: int | None = None
        self.changes = 0
        self.expires: dict[str, int] = {}
        self.replica = Copy({}, {})
        self.readers: list[Reader] = []

    @property
    def feed(self) -> FeedRef:
        return feed(window=self.window, bound=self.bound)

    @property
    def meta(self) -> str:
        return self.store.keys.meta(self.feed.name.shard)

    @initialize()
    def begin(self) -> None:
        self.readers = [Reader(*self.present()) for _ in range(4)]

    def present(self) -> tuple[Cursor, int]:
        return self.store.read_one(Read(feed=self.feed, mode="cursor")).cursor, self.changes

    @rule(step=STEPS, count=st.integers(1, 3), again=st.booleans(), replica_lags=st.booleans())
    def append(self, step: int, count: int, again: bool, replica_lags: bool) -> None:
        self.let_pass(step)
        if replica_lags:
            self.copy()
        entries = [Entry(self.feed, member(self.changes + number)) for number in range(count)]
        self.changes += count
        for _ in range(1 + again):
            self.append_once(entries)

    def note_expiry(self, key: str) -> None:
        """Let the key go when the test's time is where the script wanted the server's to be."""
        left = self.client.pttl(key)
        if left > 0:
            # To the second, so that histories can be repeated.
            self.expires[key] = self.clock.time + round(left / 1000) * SECOND

    def append_once(self, entries: list[Entry]) -> None:
        key = self.store.keys.floor(self.feed.name)
        before = self.client.get(key)
        self.store.append(entries)
        self.note_expiry(self.store.keys.feed(self.feed.name))
        if self.client.get(key) != before:
            self.note_expiry(key)

    @rule(step=STEPS, scope=st.sampled_from(["feed", "model", "everything"]), replica_lags=st.booleans())
    def change_without_a_diff(self, step: int, scope: str, replica_lags: bool) -> None:
        self.let_pass(step)
        if replica_lags:
            self.copy()
        self.changes += 1
        if scope == "feed":
            self.store.raise_floors(Floors([self.feed]))
            self.note_expiry(self.store.keys.floor(self.feed.name))
        else:
            self.store.raise_floors(Floors(models=[self.feed.name.model], everything=scope == "everything"))

    @rule(step=STEPS, polls=st.lists(st.tuples(READERS, LIMITS, st.booleans()), min_size=1, max_size=4))
    def poll(self, step: int, polls: list[tuple[int, int, bool]]) -> None:
        self.let_pass(step)
        for index, limit, directly in polls:
            self.poll_once(self.readers[index], limit, directly=directly)

    def poll_once(self, reader: Reader, limit: int, *, directly: bool = True) -> None:
        request = Read(feed=self.feed, cursor=reader.cursor, limit=limit)
        answer: Page | Found | CursorExpired
        if directly:
            (answer,) = self.store.read([request])
        else:
            (answer,) = self.process.read(self.store, [request], [Row("polls.question", 1)], AS_JSON)
        if isinstance(answer, CursorExpired):
            reader.cursor, reader.next_change = cursors.parse(answer.cursor), self.changes
        else:
            self.take(reader, answer)

    def take(self, reader: Reader, page: Page | Found) -> None:
        """The page goes on where the reader stood, and is whole unless it says that there is more."""
        diffs = [one.stored for one in page.rendered if one is not None] if isinstance(page, Found) else page.stored
        expected = range(reader.next_change, reader.next_change + len(diffs))
        assert numbers(diffs) == list(expected)
        assert expected.stop <= self.changes
        assert page.more or expected.stop == self.changes
        reader.cursor, reader.next_change = page.cursor, expected.stop

    @rule(index=READERS, limit=LIMITS, oldest=st.booleans())
    def begin_again(self, index: int, limit: int, oldest: bool) -> None:
        self.readers[index] = Reader(*self.present())
        if oldest:
            page = self.store.read_one(Read(feed=self.feed, limit=limit))
            self.readers[index].next_change = (numbers(page.stored) or [self.changes])[0]
            self.take(self.readers[index], page)

    def let_pass(self, step: int) -> None:
        self.clock.time += step
        self.newest_time = max(self.newest_time, self.clock.time)
        for key, at in list(self.expires.items()):
            if self.clock.time > at:
                self.client.delete(key)
                del self.expires[key]

    @rule(step=STEPS_BACK)
    def step_the_clock_back(self, step: int) -> None:
        self.clock.time = max(self.clock.time - step, self.newest_time - FURTHEST_BACK)

    @rule(window=st.sampled_from(WINDOWS))
    def change_the_window(self, window: int) -> None:
        self.window = window

    @rule(bound=st.sampled_from(BOUNDS))
    def change_the_bound(self, bound: int | None) -> None:
        self.bound = bound

    @rule(dry_run=st.booleans())
    def prune(self, dry_run: bool) -> None:
        for _ in self.upkeep.prune(lambda model: (self.window, PRUNE_AGE), dry_run=dry_run):
            pass

    @rule(what=st.sampled_from(["clear", "flush", "lose_the_epoch", "append_to_a_neighbour"]))
    def disturb(self, what: str) -> None:
        getattr(self, what)()

    def clear(self) -> None:
        self.store.clear(self.feed)
        self.note_expiry(self.store.keys.floor(self.feed.name))

    def flush(self) -> None:
        self.client.flushdb()
        self.expires = {}

    def lose_the_epoch(self) -> None:
        """As when the server evicts one key; not while its time lies behind what it has given."""
        self.let_pass(self.newest_time - self.clock.time + SECOND)
        self.client.delete(self.meta)
        self.present()

    def append_to_a_neighbour(self) -> None:
        self.store.append([Entry(NEIGHBOUR, member(self.changes))])

    def copy(self) -> None:
        self.replica = Copy({key: self.client.dump(key) for key in self.client.scan_iter()}, dict(self.expires))

    @rule()
    def fail_over_to_a_copy(self) -> None:
        self.client.flushdb()
        for key, value in self.replica.values.items():
            self.client.restore(key, 0, value)
        # A server that takes over names itself anew.
        self.server.lag_behind()
        self.server.take_over()
        self.expires = dict(self.replica.expires)
        self.let_pass(0)

    @rule(what=st.sampled_from(["feed", "feed", "floor", "another"]))
    def evict(self, what: str) -> None:
        self.client.set("another", 1)
        names = {"feed": self.store.keys.feed(self.feed.name), "floor": self.store.keys.floor(self.feed.name)}
        key = names.get(what, what)
        if self.server.evict(key):
            self.expires.pop(key, None)

    @invariant()
    def nothing_is_above_the_clock(self) -> None:
        clock = self.client.hget(self.meta, "clock")
        newest = self.client.zrange(self.store.keys.feed(self.feed.name), -1, -1, withscores=True)
        assert clock is None or all(score <= int(clock) for _, score in newest)

    def teardown(self) -> None:
        try:
            for reader in self.readers:
                # Each page that is not the last one brings him further.
                while reader.next_change != self.changes:
                    self.poll_once(reader, 5)
        finally:
            self.store.close()


@pytest.fixture(scope="module")
def history_server() -> Iterator[RedisServer]:
    """A server to which worse is done than being emptied."""
    with RedisServer(best_kind()) as server:
        yield server


def test_p4_no_history_makes_a_reader_skip_a_diff_or_miss_that_one_was_lost(history_server: RedisServer) -> None:
    run(history_server, max_examples=300, steps=30)


@pytest.mark.slow
def test_p4_no_long_history_does_so_either(history_server: RedisServer) -> None:
    run(history_server, max_examples=int(os.environ.get("DIFFS_TEST_HISTORIES", "400")), steps=40)


def run(server: RedisServer, max_examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: Histories(server),
        settings=hypothesis.settings(
            max_examples=max_examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
