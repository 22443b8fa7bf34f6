"""Many connections of one process that ask, and may wait for an answer."""

from __future__ import annotations

import gc
import os
import select
import socket
import time
from typing import NamedTuple

from .events import Broken
from .listeners import HOST, PATIENCE, READ_BYTES

_END = b"\r\n\r\n"


class Answer(NamedTuple):
    """A whole one."""

    status: int
    head: bytes
    body: bytes


class Polls:
    """Connections that ask the same.

    Args:
        port: of the server.
        count: how many.
    """

    def __init__(self, port: int, count: int) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(count):
            connection = socket.create_connection((HOST, port))
            connection.setblocking(False)
            self._sockets[connection.fileno()] = connection
            self._poll.register(connection.fileno(), select.EPOLLIN)

    def ask(self, request: bytes) -> None:
        """Send a request over each connection."""
        for connection in self._sockets.values():
            connection.sendall(request)

    def answers(self) -> list[tuple[int, Answer]]:
        """Wait for an answer over each connection.

        Returns:
            When each was whole, nanoseconds, and the answer.

        Raises:
            Broken: one doesn't come, or isn't one.
        """
        parts = dict.fromkeys(self._sockets, b"")
        found: list[tuple[int, Answer]] = []
        while parts:
            ready = self._poll.poll(PATIENCE)
            if not ready:
                raise Broken(f"{len(parts)} of {len(self._sockets)} polls are not answered.")
            for descriptor, _ in ready:
                data = os.read(descriptor, READ_BYTES)
                moment = time.perf_counter_ns()
                if not data or descriptor not in parts:
                    raise Broken("The server has closed a connection, or answers twice.")
                parts[descriptor] += data
                answer = whole(parts[descriptor])
                if answer is not None:
                    del parts[descriptor]
                    found.append((moment, answer))
        return found

    def repeat(self, request: bytes, seconds: float) -> float:
        """Ask anew over each connection as soon as it is answered.

        Args:
            request: what to ask; all answers are taken to be as long as the first.
            seconds: for how long.

        Returns:
            Answers a second.
        """
        self.ask(request)
        ((_, first), *_) = self.answers()
        length = len(first.head) + len(_END) + len(first.body)
        got = dict.fromkeys(self._sockets, 0)
        count = 0
        gc.disable()
        self.ask(request)
        start = time.perf_counter()
        end = start + seconds
        while time.perf_counter() < end:
            for descriptor, _ in self._poll.poll(PATIENCE):
                got[descriptor] += len(os.read(descriptor, READ_BYTES))
                if got[descriptor] == length:
                    got[descriptor] = 0
                    count += 1
                    os.write(descriptor, request)
        rate = count / (time.perf_counter() - start)
        gc.enable()
        self._finish(got, length)
        return rate

    def close(self) -> None:
        """Ask no more."""
        for connection in self._sockets.values():
            connection.close()
        self._poll.close()

    def _finish(self, got: dict[int, int], length: int) -> None:
        while any(received < length for received in got.values()):
            ready = self._poll.poll(PATIENCE)
            if not ready:
                raise Broken("Answers are of different lengths, or don't come.")
            for descriptor, _ in ready:
                got[descriptor] += len(os.read(descriptor, READ_BYTES))


def whole(data: bytes) -> Answer | None:
    """The answer, where all of it is there.

    Raises:
        Broken: it is no answer, or there is more than one.
    """
    head, end, body = data.partition(_END)
    if not end:
        return None
    status, *lines = head.split(b"\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines)
    length = int(fields.get(b"content-length", b"0"))
    if not status.startswith(b"HTTP/1.1 ") or len(body) > length:
        raise Broken(f"That is no answer: {data!r}.")
    return None if len(body) < length else Answer(int(status.split()[1]), head, body)
