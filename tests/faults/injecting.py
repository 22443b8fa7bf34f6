"""What may happen to a Redis server while others work with it."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.servers import RedisServer

Fault = Callable[[RedisServer], contextlib.AbstractContextManager[None]]
"""Happens to a server while the context lasts; then that is well, with or without its data."""

LONGEST = 2.5
"""How long a fault lasts at most, in seconds; longer than a client of Redis waits."""
CALM = 1.0
"""How long nothing happens between two, at most."""
PATIENCE = 20.0
"""How long a replica may take to follow, in seconds."""


@contextlib.contextmanager
def paused(server: RedisServer) -> Iterator[None]:
    """It takes connections and doesn't answer; what was sent to it meanwhile it does afterwards."""
    server.pause()
    yield
    server.resume()


@contextlib.contextmanager
def full(server: RedisServer) -> Iterator[None]:
    """It takes no more data."""
    server.cli("CONFIG", "SET", "maxmemory", "1")
    yield
    server.cli("CONFIG", "SET", "maxmemory", "0")


@contextlib.contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    """It is gone, and comes back empty."""
    server.kill()
    yield
    server.restart()


@contextlib.contextmanager
def restarted(server: RedisServer) -> Iterator[None]:
    """It is ended properly, and comes back empty at once."""
    server.restart()
    yield


@contextlib.contextmanager
def flushed(server: RedisServer) -> Iterator[None]:
    """Somebody empties it."""
    server.cli("FLUSHALL")
    yield


@contextlib.contextmanager
def saved(server: RedisServer) -> Iterator[None]:
    """It is gone for a while, and comes back with all of its data."""
    with contextlib.suppress(Exception):  # what ends doesn't answer
        server.cli("SHUTDOWN", "SAVE")
    yield
    _restart_with_copy(server)


@contextlib.contextmanager
def restored(server: RedisServer) -> Iterator[None]:
    """It crashes, and comes back with an older copy of its data."""
    server.cli("SAVE")
    yield
    server.kill()
    _restart_with_copy(server)


@contextlib.contextmanager
def failed_over(server: RedisServer) -> Iterator[None]:
    """Its replica is promoted, which lacks the last writes; it follows that, and is promoted in its turn."""
    with RedisServer(server.kind) as replica:
        _follow(replica, server)
        replica.cli("REPLICAOF", "NO", "ONE")
        yield
        _follow(server, replica)
        server.cli("REPLICAOF", "NO", "ONE")


def _restart_with_copy(server: RedisServer) -> None:
    server.restart()
    # The next time it is to come back empty.
    Path(server.socket.parent, "dump.rdb").unlink()


def _follow(replica: RedisServer, server: RedisServer) -> None:
    replica.cli("REPLICAOF", "127.0.0.1", server.port)
    deadline = time.monotonic() + PATIENCE
    while replica.client.info("replication")["master_link_status"] != "up":
        assert time.monotonic() < deadline, "The replica doesn't follow."
        time.sleep(0.01)


HARMLESS: Mapping[str, Fault] = {"paused": paused, "full": full}
"""After which the data is as it was."""
LOSING: Mapping[str, Fault] = {"killed": killed, "restarted": restarted, "flushed": flushed}
"""After which there is none."""
REPLACING: Mapping[str, Fault] = {"saved": saved, "restored": restored, "failed over": failed_over}
"""After which there is some, older or not."""


def inject(server: RedisServer, faults: Mapping[str, Fault], rng: random.Random, seconds: float) -> Counter[str]:
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
        with faults[name](server):
            time.sleep(rng.random() * LONGEST)
    return happened
