"""P3: a row that is written all the time costs no more memory after an hour than after a few minutes."""

from __future__ import annotations

import pytest

from diffs.codec import Encoder, Row
from diffs.store import Entry, FeedRef, Store
from tests.servers import RedisServer

from .feeds import SECOND, Clock, feed

WRITES = 36_000
BETWEEN = 0.1
SAMPLE_EVERY = 600
"""Writes, and so each minute."""
A_DIFF = 160
"""Bytes of one in its feed, with room for how the server grows its tables."""


class HotRow:
    """A row that is written every tenth of a second for an hour, and what its feeds take."""

    def __init__(self, store: Store, clock: Clock, own: FeedRef, parent: FeedRef) -> None:
        self.store = store
        self.clock = clock
        self.feeds = own, parent
        self.sizes: list[list[int]] = []
        self.keys: list[int] = []
        self.most = 0

    def write_for_an_hour(self) -> None:
        for number in range(1, WRITES + 1):
            self.clock.advance(BETWEEN)
            encoder = Encoder("update", number, number.to_bytes(4, "big"), {"votes": number, "text": "x" * 40})
            own, parent = self.feeds
            self.store.append([Entry(own, encoder.own()), Entry(parent, encoder.foreign(Row("polls.choice", 1)))])
            if number % SAMPLE_EVERY == 0:
                self.sample()

    def sample(self) -> None:
        client = self.store.client
        names = [self.store.keys.feed(name) for name, *_ in self.feeds]
        self.sizes.append([client.memory_usage(name, samples=0) for name in names])
        self.keys.append(client.dbsize())
        self.most = max(self.most, *map(client.zcard, names))


@pytest.mark.parametrize(
    ("window", "bound", "kept"),
    [
        pytest.param(60, None, 601, id="by the window"),
        pytest.param(3600, 500, 500, id="by the bound"),
        pytest.param(60, 500, 500, id="by both"),
    ],
)
@pytest.mark.slow
def test_p3_row_written_for_an_hour_and_its_parent_keep_memory_flat(
    redis_server: RedisServer, window: int, bound: int | None, kept: int
) -> None:
    clock = Clock()
    store = Store(redis_server.client, "diffs", now=clock)
    own, parent = (feed(name, window * SECOND, bound) for name in ("polls.choice:1", "polls.question:1"))
    hot = HotRow(store, clock, own, parent)
    hot.write_for_an_hour()
    assert 0.99 * kept <= hot.most <= kept
    assert len(hot.sizes) == 60
    for sizes in zip(*hot.sizes, strict=True):
        assert max(sizes) < kept * A_DIFF
        # Numbers that have become longer, nothing else.
        assert max(sizes[2:]) < 1.03 * min(sizes[2:])
    # Both feeds, their shards' metas, and a floor each where there is a bound.
    assert set(hot.keys) == {4 if bound is None else 6}
    store.close()
