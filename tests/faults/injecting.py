"""What may happen to a Redis server while others work with it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from tests.servers import RedisServer


class Fault(NamedTuple):
    """Something that happens to a server, and its end."""

    begin: Callable[[RedisServer], object]
    end: Callable[[RedisServer], object]


def _nothing(_server: RedisServer) -> None:
    """It is over at once."""


def _fill(server: RedisServer) -> None:
    server.cli("CONFIG", "SET", "maxmemory", "1")


def _empty(server: RedisServer) -> None:
    server.cli("CONFIG", "SET", "maxmemory", "0")


def _flush(server: RedisServer) -> None:
    server.cli("FLUSHALL")


PAUSED = {"paused": Fault(RedisServer.pause, RedisServer.resume), "full": Fault(_fill, _empty)}
"""After which the data is as it was."""
LOSING = {
    "killed": Fault(RedisServer.kill, RedisServer.restart),
    "restarted": Fault(RedisServer.restart, _nothing),
    "flushed": Fault(_flush, _nothing),
}
"""After which there is none."""

LONGEST = 2.5
"""How long a fault lasts at most, in seconds; longer than a client of Redis waits."""
CALM = 1.0
"""How long nothing happens between two, at most."""


def inject(server: RedisServer, faults: dict[str, Fault], rng: random.Random, seconds: float) -> Counter[str]:
    """Let faults happen, one behind the other; at the end the server is well.

    Args:
        server: the one that they happen to.
        faults: by name.
        rng: chooses.
        seconds: how long, at least; one fault there is always.

    Returns:
        How often which of them happened.
    """
    happened: Counter[str] = Counter()
    deadline = time.monotonic() + seconds
    while not happened or time.monotonic() < deadline:
        time.sleep(rng.random() * CALM)
        name = rng.choice(sorted(faults))
        happened[name] += 1
        faults[name].begin(server)
        try:
            time.sleep(rng.random() * LONGEST)
        finally:
            faults[name].end(server)
    return happened
