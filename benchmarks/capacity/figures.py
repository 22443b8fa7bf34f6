"""What the formulas start from, measured on this machine with the package's own commands."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import redis

from benchmarks.harness import memory
from benchmarks.harness.servers import pin
from diffs.codec import Encoder, new_nonce
from diffs.cursor import Cursor
from diffs.keys import FeedName
from diffs.store import Entry, FeedRef, Read, Store
from tests.servers import RedisServer

from .paper import Figures

FEEDS = 1000
DIFFS = 10
WINDOW = 3_600_000_000
CONNECTIONS = 32
REQUESTS = 20_000
START = dt.datetime(2013, 6, 13, tzinfo=dt.timezone.utc)
MEMORY_FEEDS = 12_288
"""Three quarters of a power of two: the server's tables have neither just grown nor are about to."""


class Recorder:
    """Takes the place of a store's connections: what is sent is kept, and answered as an append is.

    Args:
        lines: where commands go all the same; ``None``: nowhere.
    """

    def __init__(self, lines: Any = None) -> None:
        self._lines = lines
        self._commands: list[Any] = []

    def last(self) -> bytes:
        """What was sent last, as it is sent."""
        return packed(self._commands[-1])

    def trip(self, commands: Sequence[Any]) -> list[Any]:
        """Keep what would be sent."""
        self._commands = list(commands)
        return [[b"", 0] for _ in commands] if self._lines is None else list(self._lines.trip(commands))


class Requests:
    """The bytes of requests as the package makes them, and a server with what they ask for."""

    def __init__(self, server: RedisServer) -> None:
        self._store = Store(server.client, "diffs")
        self._feeds = [FeedRef(FeedName("project.item", str(1_000_000 + number)), WINDOW) for number in range(FEEDS)]
        self._store.append([Entry(feed, member(number)) for number in range(DIFFS) for feed in self._feeds])
        self._append_recorder, self._poll_recorder = Recorder(), Recorder(self._store._lines)
        self._appended = _recorded(Store(server.client, "diffs"), self._append_recorder)
        self._polled = _recorded(Store(server.client, "diffs"), self._poll_recorder)

    def appends(self) -> list[bytes]:
        """Appends of a diff each, all different; no feed that is polled gets one."""
        return [self._recorded_append(feed) for _ in range(REQUESTS // FEEDS) for feed in self._feeds[::2]]

    def polls(self, unread: int) -> list[bytes]:
        """Polls by readers who have not read so many diffs."""
        return [self._recorded_poll(feed, unread) for feed in self._feeds[1::2]]

    def _recorded_append(self, feed: FeedRef) -> bytes:
        self._appended.append([Entry(feed, member(0))])
        return self._append_recorder.last()

    def _recorded_poll(self, feed: FeedRef, unread: int) -> bytes:
        page = self._store.read_one(Read(feed=feed, mode="desc", limit=DIFFS))
        at = page.stored[unread - 1].position - 1 if unread else page.cursor.timestamp
        found = self._polled.read_one(Read(feed=feed, cursor=Cursor(page.cursor.epoch, at), limit=100))
        assert len(found.stored) == unread
        return self._poll_recorder.last()


def _recorded(store: Store, recorder: Any) -> Store:
    store._lines = recorder
    return store


def measure(server: RedisServer, site_poll: float) -> Figures:
    """Measure all of it on a server that nobody else uses.

    Args:
        server: whatever it holds is removed.
        site_poll: microseconds of a process of the site for a poll, which the benchmarks measure.
    """
    feed_bytes, diff_bytes = _memory(server.client)
    server.client.flushall()
    requests = Requests(server)
    empty_polls = requests.polls(0)
    empty_poll, empty_traffic = _cost(server, empty_polls)
    full_poll, full_traffic = _cost(server, requests.polls(DIFFS))
    append, append_traffic = _cost(server, requests.appends())
    alone, _ = _cost(server, empty_polls, connections=1)
    return Figures(
        append=append,
        empty_poll=empty_poll,
        full_poll=full_poll,
        feed_bytes=feed_bytes,
        diff_bytes=diff_bytes,
        append_traffic=append_traffic,
        empty_traffic=empty_traffic,
        full_traffic=full_traffic,
        waking=alone - empty_poll,
        site_poll=site_poll,
    )


def member(number: int) -> bytes:
    """A diff of two fields, unlike any other."""
    data = {"status": "delivered", "starts": START + dt.timedelta(hours=number)}
    return Encoder("update", time.time_ns() // 1000, new_nonce(), data).own()


def packed(command: Sequence[str | bytes | int]) -> bytes:
    """A command as it is sent."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def ask(connection: socket.socket, request: bytes) -> None:
    """Send a request and wait for its reply."""
    connection.sendall(request)
    check(connection.recv(1 << 20))


def check(reply: bytes) -> None:
    """Make sure that a script was run.

    Raises:
        ValueError: the reply is an error.
    """
    # What is written to a unix socket at once comes at once: these replies are far smaller than its buffer.
    if not reply.startswith(b"*"):
        raise ValueError(f"The server says {reply!r}.")


def core_seconds(client: redis.Redis) -> float:
    """How long the server's main thread has worked."""
    found: dict[str, float] = client.info("cpu")
    return found["used_cpu_user_main_thread"] + found["used_cpu_sys_main_thread"]


def keep_apart(server: RedisServer) -> None:
    """Keep this process, and those that it starts, on one core, and the server on another, where there are two."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cpus) > 1:
        pin(os.getpid(), cpus[0])
        pin(server.pid, cpus[1])


def _cost(server: RedisServer, requests: Sequence[bytes], connections: int = CONNECTIONS) -> tuple[float, float]:
    """Microseconds of the server's core for each request, and bytes both ways.

    Args:
        server: nobody else uses it.
        requests: which are sent in turn.
        connections: how many come at once.
    """
    opened = [_connect(server) for _ in range(connections)]
    endless = itertools.cycle(requests)
    times = REQUESTS // CONNECTIONS * (1 if connections > 1 else 4)
    before, started = _traffic(server.client), core_seconds(server.client)
    for _ in range(times):
        for connection in opened:
            connection.sendall(next(endless))
        for connection in opened:
            check(connection.recv(1 << 20))
    spent = core_seconds(server.client) - started
    for connection in opened:
        connection.close()
    sent = times * connections
    return spent / sent * 1e6, (_traffic(server.client) - before) / sent


def _connect(server: RedisServer) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(server.socket))
    return connection


def _traffic(client: redis.Redis) -> int:
    found = client.info("stats")
    return int(found["total_net_input_bytes"]) + int(found["total_net_output_bytes"])


def _memory(client: redis.Redis) -> tuple[float, float]:
    """What a feed takes, and what a diff of two fields."""
    client.flushall()
    feeds = [FeedRef(FeedName("project.item", str(1_000_000 + number)), WINDOW) for number in range(MEMORY_FEEDS)]
    taken = [memory.used(client)]
    for numbers in (range(1), range(1, DIFFS)):
        store = Store(client, "diffs")
        for number in numbers:
            store.append([Entry(feed, member(number)) for feed in feeds])
        store.close()
        taken.append(memory.used(client))
    empty, one, ten = taken
    diff_bytes = (ten - one) / MEMORY_FEEDS / (DIFFS - 1)
    return (one - empty) / MEMORY_FEEDS - diff_bytes, diff_bytes
