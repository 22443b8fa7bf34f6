"""What may happen to a Redis server while others work with it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.order.proof import Run
from tests.servers import RedisServer
from tests.servers.redis_server import wait_until

Fault = Callable[[Any], contextlib.AbstractContextManager[None]]
"""Happens to a server while the context lasts; then that is well, with or without its data."""

LONGEST = 2.5
"""How long a fault lasts at most, in seconds; longer than a client of Redis waits."""
CALM = 1.0
"""How long nothing happens between two, at most."""
ROOM = 10_000
"""How much memory is missed, in bytes."""
HOUR = 3600.0
"""In seconds."""


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
def evicted(server: RedisServer) -> Iterator[None]:
    """Its memory is short, and it drops whole keys for what is written."""
    # Those that expire are feeds and floors; of what tells of the whole shard nothing is dropped.
    server.cli("CONFIG", "SET", "maxmemory-policy", "volatile-random")
    yield
    before = _evicted_keys(server)
    wait_until(lambda: _evicts(server, before))
    server.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")


def _evicts(server: RedisServer, before: int) -> bool:
    """Let it be short of a little memory for a moment; where it is empty, something has to be written first."""
    server.cli("CONFIG", "SET", "maxmemory", max(1, _used_memory(server) - ROOM))
    server.cli("PING")
    server.cli("CONFIG", "SET", "maxmemory", "0")
    return _evicted_keys(server) > before


def _evicted_keys(server: RedisServer) -> int:
    return int(server.client.info("stats")["evicted_keys"])


def _used_memory(server: RedisServer) -> int:
    return int(server.client.info("memory")["used_memory"])


@contextlib.contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    """It is gone, and comes back empty."""
    server.kill()
    yield
    server.restart()


@contextlib.contextmanager
def restarted(server: RedisServer) -> Iterator[None]:
    """It is ended properly, and comes back empty at once."""
    yield
    server.restart()


@contextlib.contextmanager
def flushed(server: RedisServer) -> Iterator[None]:
    """Somebody empties it."""
    yield
    server.cli("FLUSHALL")


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
        replica.follow(server)
        replica.take_over()
        yield
        server.follow(replica)
        server.take_over()


def _restart_with_copy(server: RedisServer) -> None:
    server.restart()
    # The next time it is to come back empty.
    Path(server.socket.parent, "dump.rdb").unlink()


@contextlib.contextmanager
def clock_set_back(run: Run) -> Iterator[None]:
    """The time that it goes by is an hour earlier, and then the right one again."""
    run.set_clock(-HOUR)
    yield
    run.set_clock(0)


HARMLESS: Mapping[str, Fault] = {"paused": paused, "full": full}
"""After which the data is as it was."""
LOSING: Mapping[str, Fault] = {"killed": killed, "restarted": restarted, "flushed": flushed}
"""After which there is none."""
EVICTING: Mapping[str, Fault] = {"evicted": evicted}
"""After which some of it is missing."""
REPLACING: Mapping[str, Fault] = {"saved": saved, "restored": restored, "failed over": failed_over}
"""After which there is some, older or not."""
AT_ONCE = frozenset(
    {"restarted", "flushed", "evicted", "restored", "failed over", "master killed", "sentinels' master"}
)
"""Until they end, all is well: they can also happen while nobody writes, so that nothing covers up what they did."""
