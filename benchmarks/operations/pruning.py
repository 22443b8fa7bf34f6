"""Removing the older half of many diffs."""

from __future__ import annotations

import os
import time
from typing import Any

from redis import Redis

from diffs.codec import Encoder
from diffs.keys import FeedName
from diffs.store import Upkeep, get_store

from .timing import stopwatch

MINUTE = 60_000_000
WINDOW = 60 * MINUTE
AGE = 30 * MINUTE
BATCH = 5000
PAUSE_SECONDS = 0.0002
DIFFS = 10
"""In each feed; the older half is older than `AGE`."""


def prepare(*, feeds: int) -> None:
    """Fill feeds, in place of what there is: past the package, which gives no diff a time of its own choice."""
    store = get_store()
    store.client.flushdb()
    now = time.time_ns() // 1000
    members = {
        Encoder("update", now + number, b"prun", {"status": f"status {number}", "votes": number}).own(): now
        - (WINDOW - MINUTE if number < DIFFS // 2 else MINUTE)
        + number
        for number in range(DIFFS)
    }
    for start in range(0, feeds, BATCH):
        pipeline = store.client.pipeline(transaction=False)
        for number in range(start, min(start + BATCH, feeds)):
            key = store.keys.feed(FeedName("project.item", str(1_000_000 + number)))
            pipeline.zadd(key, members)
            pipeline.pexpire(key, 2 * WINDOW // 1000)
        pipeline.execute()


def prune(*, feeds: int) -> dict[str, float]:
    """What ``prune_diffs --older-than 30m`` does; microseconds for each feed."""
    with stopwatch() as watch:
        *_, result = Upkeep(get_store()).prune(lambda model: (WINDOW, AGE))
    return _reply(watch.per(feeds), result.removed, feeds)


def prune_one_by_one(*, feeds: int) -> dict[str, float]:
    """One ``ZREMRANGEBYSCORE`` for each key that ``scan_iter`` gives, a trip each, as the original's command does."""
    client: Redis = get_store().client
    below = time.time_ns() // 1000 - AGE
    removed = 0
    with stopwatch() as watch:
        for key in client.scan_iter(match="diffs:{??}:feed:*"):
            removed += client.zremrangebyscore(key, "-inf", below)
    return _reply(watch.per(feeds), removed, feeds)


def ping(*, until: str) -> dict[str, Any]:
    """Ask the server for a sign of life every now and then, for as long as a file isn't there.

    Args:
        until: its path.

    Returns:
        How many microseconds each took.
    """
    client: Redis = get_store().client
    took: list[float] = []
    while not os.path.exists(until):
        started = time.perf_counter_ns()
        client.ping()
        took.append((time.perf_counter_ns() - started) / 1000)
        time.sleep(PAUSE_SECONDS)
    return {"microseconds": took}


def _reply(reply: dict[str, float], removed: int, feeds: int) -> dict[str, float]:
    if removed != feeds * DIFFS // 2:
        raise ValueError(f"{removed} diffs were removed.")
    return reply
