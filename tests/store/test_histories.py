"""P1 and P4 in any history: no reader skips a diff, or misses that one was lost, without having been refused before.

The real scripts are driven through appends, changes that could not be recorded, polls, clocks that step back, flushes,
failovers to an older copy, pruning, changed windows and expiry. Time is the test's, so what would expire is deleted.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import hypothesis
import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from diffs import cursor as cursors
from diffs.cursor import Cursor
from diffs.errors import CursorExpired
from diffs.store import Entry, FeedRef, Floors, Page, Read, Store, Upkeep
from tests.servers import RedisServer

from .feeds import SECOND, WINDOW, Clock, feed, member, neighbours, numbers

WINDOWS = (600 * SECOND, WINDOW, 2 * WINDOW)
LONGEST_STEP_BACK = 60 * SECOND
FURTHEST_BACK = 600 * SECOND
PRUNE_AGE = 600 * SECOND
LIMITS = st.sampled_from([1, 2, 5])


@dataclasses.dataclass
class Reader:
    """Who polls, and what he must see next."""

    cursor: Cursor
    next_change: int

    def take(self, page: Page) -> None:
        for number in numbers(page):
            assert number == self.next_change
            self.next_change += 1
        self.cursor = page.cursor


@dataclasses.dataclass
class Copy:
    """What a replica had when it fell behind."""

    values: dict[bytes, bytes]
    expires: dict[str, int]


class Histories(RuleBasedStateMachine):
    """One feed, its neighbours in the shard, and its readers."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__()
        client.flushdb()
        self.client = client
        self.clock = Clock()
        self.newest_time = self.clock.time
        self.store = Store(client, "diffs", now=self.clock)
        self.upkeep = Upkeep(self.store)
        self.window = WINDOW
        self.changes = 0
        self.retriable: list[Entry] = []
        self.expires: dict[str, int] = {}
        self.copies: list[Copy] = []
        self.epochs = 0
        self.readers: list[Reader] = []

    @property
    def feed(self) -> FeedRef:
        return feed(window=self.window)

    @property
    def meta(self) -> str:
        return self.store.keys.meta(self.feed.name.shard)

    @initialize()
    def begin(self) -> None:
        self.readers = [Reader(*self.present()) for _ in range(3)]

    def present(self) -> tuple[Cursor, int]:
        return self.store.read_one(Read(feed=self.feed, mode="cursor")).cursor, self.changes

    @rule(count=st.integers(1, 3))
    def append(self, count: int) -> None:
        self.retriable = [Entry(self.feed, member(self.changes + number)) for number in range(count)]
        self.changes += count
        self.store.append(self.retriable)
        self.expires[self.store.keys.feed(self.feed.name)] = self.clock.time + 2 * self.window

    @precondition(lambda self: self.retriable)
    @rule()
    def append_the_same_again(self) -> None:
        self.store.append(self.retriable)

    @rule()
    def append_to_neighbours(self) -> None:
        self.store.append(Entry(neighbour, member(self.changes)) for neighbour in neighbours(3)[1:])

    @rule(scope=st.sampled_from(["feed", "model", "everything"]))
    def change_without_a_diff(self, scope: str) -> None:
        self.changes += 1
        if scope == "feed":
            self.store.raise_floors(Floors([self.feed]))
            self.expires[self.store.keys.floor(self.feed.name)] = self.clock.time + 2 * self.window
        else:
            self.store.raise_floors(Floors(models=[self.feed.name.model], everything=scope == "everything"))

    def poll_once(self, reader: Reader, limit: int) -> None:
        (answer,) = self.store.read([Read(feed=self.feed, cursor=reader.cursor, limit=limit)])
        if isinstance(answer, CursorExpired):
            reader.cursor, reader.next_change = cursors.parse(answer.cursor), self.changes
        else:
            reader.take(answer)

    @rule(index=st.integers(0, 2), limit=LIMITS)
    def poll(self, index: int, limit: int) -> None:
        self.poll_once(self.readers[index], limit)

    @rule(index=st.integers(0, 2), limit=LIMITS)
    def poll_from_the_oldest(self, index: int, limit: int) -> None:
        page = self.store.read_one(Read(feed=self.feed, limit=limit))
        self.readers[index].next_change = (numbers(page) or [self.changes])[0]
        self.readers[index].take(page)

    @rule(index=st.integers(0, 2))
    def begin_from_now(self, index: int) -> None:
        self.readers[index] = Reader(*self.present())

    @rule(seconds=st.sampled_from([0.001, 1, 30, 300, 2000]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.newest_time = max(self.newest_time, self.clock.time)
        self.expire()

    @rule(step=st.integers(1, LONGEST_STEP_BACK))
    def step_the_clock_back(self, step: int) -> None:
        self.clock.time = max(self.clock.time - step, self.newest_time - FURTHEST_BACK)

    @rule(window=st.sampled_from(WINDOWS))
    def change_the_window(self, window: int) -> None:
        self.window = window

    @rule()
    def clear(self) -> None:
        self.store.clear(self.feed)
        self.expires[self.store.keys.floor(self.feed.name)] = self.clock.time + 2 * self.window
        self.retriable = []

    @rule(dry_run=st.booleans())
    def prune(self, dry_run: bool) -> None:
        for _ in self.upkeep.prune(lambda model: (self.window, PRUNE_AGE), dry_run=dry_run):
            pass
        self.retriable = []

    @rule()
    def flush(self) -> None:
        self.client.flushdb()
        self.expires, self.retriable = {}, []

    @rule()
    def copy(self) -> None:
        self.copies.append(Copy({key: self.client.dump(key) for key in self.client.keys()}, dict(self.expires)))

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def fail_over_to_an_older_copy(self, data: st.DataObject) -> None:
        copy = self.copies[data.draw(st.integers(0, len(self.copies) - 1))]
        self.client.flushdb()
        for key, value in copy.values.items():
            self.client.restore(key, 0, value)
        # Whoever notices it gives the shard a new name and refuses what was before.
        self.epochs += 1
        self.client.hset(self.meta, "epoch", f"copy{self.epochs:04}")
        self.store.raise_floors(Floors(everything=True))
        self.expires, self.retriable = dict(copy.expires), []
        self.expire()

    def expire(self) -> None:
        for key, at in list(self.expires.items()):
            if self.clock.time > at:
                self.client.delete(key)
                del self.expires[key]
                self.retriable = []

    @invariant()
    def nothing_is_above_the_clock(self) -> None:
        clock = int(self.client.hget(self.meta, "clock") or 0)
        newest = self.client.zrange(self.store.keys.feed(self.feed.name), -1, -1, withscores=True)
        assert all(score <= clock for _, score in newest)

    def teardown(self) -> None:
        for reader in self.readers:
            for _ in range(self.changes + 2):
                if reader.next_change == self.changes:
                    break
                self.poll_once(reader, 5)
            assert reader.next_change == self.changes
        self.store.close()


@pytest.fixture
def client(redis_server: RedisServer) -> redis.Redis:
    return redis_server.client


def test_p4_no_history_makes_a_reader_skip_a_diff_or_miss_that_one_was_lost(client: redis.Redis) -> None:
    run(client, max_examples=150, steps=60)


@pytest.mark.slow
def test_p4_no_long_history_does_so_either(client: redis.Redis) -> None:
    run(client, max_examples=150, steps=600)


def run(client: redis.Redis, max_examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: Histories(client),
        settings=hypothesis.settings(
            max_examples=max_examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
