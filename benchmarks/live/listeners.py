"""Many connections of one process that only read: the load on a server that is listened to."""

from __future__ import annotations

import gc
import os
import resource
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .events import DATA, Broken, Stream, check, diffs_of

HOST = "127.0.0.1"
PATIENCE = 20.0
"""Seconds without anything new after which no more is waited for."""
AT_ONCE = 200
"""Connections that are opened before the first is answered."""
READ_BYTES = 16 * 1024
OWN_FILES = 300
"""What a process needs besides its connections."""

_REQUEST = "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nUser-Agent: listener\r\n\r\n"


class Turn(NamedTuple):
    """What came of some writes."""

    starts: list[int]
    """When each was committed, nanoseconds."""
    reads: list[tuple[int, int, bytes]]
    """When which connection gave what."""
    busy: float
    """The share of the time until the last came in which this process had to do."""


class Listeners:
    """Connections with a stream each.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: dict[int, socket.socket] = {}
        self._streams: dict[int, Stream] = {}
        self._groups: dict[str, list[int]] = {}
        self._event = b""
        self._poll = select.epoll()

    def __len__(self) -> int:
        return len(self._sockets)

    def connect(self, paths: Sequence[str]) -> None:
        """Listen to more, and wait until the server says of each that it has told what there was before.

        Raises:
            Broken: it doesn't.
        """
        for start in range(0, len(paths), AT_ONCE):
            opening = {self._open(path) for path in paths[start : start + AT_ONCE]}
            while opening:
                for descriptor, _ in self._ready():
                    events = self._streams[descriptor].take(os.read(descriptor, READ_BYTES))
                    if diffs_of(events):
                        raise Broken("There were diffs already.")
                    if any(event.startswith(b"id: ") for event in events):
                        opening.discard(descriptor)

    def listen(self, write: Callable[[], int], times: Sequence[float]) -> Turn:
        """Write, and read what comes of it.

        Args:
            write: makes one diff for each listener, and returns when it was committed, nanoseconds.
            times: when to write, seconds from now.
        """
        now, read, poll = time.perf_counter_ns, os.read, self._poll.poll
        starts: list[int] = []
        reads: list[tuple[int, int, bytes]] = []
        missing = len(self._sockets) * len(times)
        gc.collect()
        gc.disable()
        begin, begin_busy = now(), time.process_time_ns()
        due = [begin + int(seconds * 1e9) for seconds in reversed(times)]
        while missing > 0:
            if due and now() >= due[-1]:
                due.pop()
                starts.append(write())
            timeout = max(0.0, (due[-1] - now()) / 1e9) if due else PATIENCE
            ready = poll(timeout)
            if not ready and not due:
                break
            for descriptor, _ in ready:
                data = read(descriptor, READ_BYTES)
                reads.append((now(), descriptor, data))
                # Who has gone can be read from for ever; what that is, is seen later.
                missing = missing - data.count(DATA) if data else 0
        busy = (time.process_time_ns() - begin_busy) / (now() - begin)
        gc.enable()
        return Turn(starts, reads, busy)

    def latencies(self, turn: Turn) -> list[float]:
        """How long each diff took to each listener, in milliseconds, in the order in which they came.

        Raises:
            Broken: somebody didn't get each diff once.
        """
        got: dict[int, list[bytes]] = {descriptor: [] for descriptor in self._sockets}
        took = []
        for moment, descriptor, data in turn.reads:
            for event in diffs_of(self._streams[descriptor].take(data)):
                if len(got[descriptor]) < len(turn.starts):
                    took.append((moment - turn.starts[len(got[descriptor])]) / 1e6)
                got[descriptor].append(event)
        for group in self._groups.values():
            check([got[descriptor] for descriptor in group], len(turn.starts))
        self._event = got[next(iter(got))][-1]
        return took

    @property
    def event(self) -> bytes:
        """One of those that came last."""
        return self._event

    def expect_silence(self, seconds: float) -> None:
        """Make sure that nobody is told of a diff who has got all.

        Raises:
            Broken: somebody is.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for descriptor, _ in self._poll.poll(left):
                if diffs_of(self._streams[descriptor].take(os.read(descriptor, READ_BYTES))):
                    raise Broken("A diff came twice.")

    def close(self) -> None:
        """Stop listening."""
        for connection in self._sockets.values():
            connection.close()
        self._poll.close()

    def _open(self, path: str) -> int:
        connection = socket.create_connection((HOST, self._port))
        connection.sendall((_REQUEST % path).encode())
        connection.setblocking(False)
        descriptor = connection.fileno()
        self._sockets[descriptor] = connection
        self._streams[descriptor] = Stream()
        self._groups.setdefault(path, []).append(descriptor)
        self._poll.register(descriptor, select.EPOLLIN)
        return descriptor

    def _ready(self) -> Iterator[tuple[int, int]]:
        ready = self._poll.poll(PATIENCE)
        if not ready:
            raise Broken(f"Of {len(self)} listeners, some are not answered.")
        return iter(ready)


def most() -> int:
    """How many connections a process of this machine can have, after it was allowed as many as it may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - OWN_FILES
