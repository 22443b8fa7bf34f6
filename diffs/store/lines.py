"""Connections that are kept between trips.

redis-py's pool looks at each connection that it hands out whether it still is one, which takes about as long as a
script. Here one that turns out to be closed is opened again, and what was to be sent is sent once more: every script
may be repeated.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.client import NEVER_DECODE
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

_pack: Any = None
with contextlib.suppress(ImportError):
    # What redis-py calls, too, after it has looked at each argument.
    from hiredis import pack_command

    _pack = pack_command

TOGETHER = 16_384
"""Bytes of commands that are sent in one piece."""
NO_RETRY = Retry(NoBackoff(), 0)
# Older releases of redis-py don't, and their pools want to be told the command.
_CAN_COMPARE_RETRIES = Retry(NoBackoff(), 0) == NO_RETRY

# How a connection to a server that was replaced ends. One that is a replica now takes no writes, and its name may lead
# to another server.
_BROKEN = (redis.ConnectionError, redis.ReadOnlyError)

Command = tuple[str | bytes | int, ...]


class Lines:
    """Ways to a server, one for each thread that is on a trip.

    Args:
        client: whose pool the connections are of; what it says of trying again is heeded.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._pool: Any = client.connection_pool
        self._idle: deque[Any] = deque()
        self._most_idle = self._pool.max_connections // 2 if _is_ordinary(client) else 0
        alive.add(self)

    def trip(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together.

        Returns:
            For each its reply, bytes whatever the client's ``decode_responses``, or the error that the server
            answered with.

        Raises:
            redis.RedisError: the server could not be asked.
        """
        if not self._most_idle:
            return self._through_client(commands)
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._pool.get_connection()
            replies = self._exchange(connection, commands)
        else:
            try:
                replies = self._exchange(connection, commands, is_last_try=False)
            except _BROKEN:
                # It may be that only this connection was closed meanwhile.
                replies = self._exchange_again(connection, commands)
        self._keep(connection)
        return replies

    def begin(self, commands: Sequence[Command]) -> Any:
        """Send commands, where a connection is kept, so that others can be sent elsewhere meanwhile.

        Returns:
            What `end` or `abandon` takes.

        Raises:
            redis.RedisError: the server could not be asked; nothing has to be ended.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        try:
            connection.send_packed_command(_packed(connection, commands))
        except BaseException as error:
            self._drop(connection)
            if isinstance(error, redis.ConnectionError):
                return None
            raise
        return connection

    def end(self, commands: Sequence[Command], begun: Any) -> list[Any]:
        """Do what `trip` does with commands that were begun."""
        if begun is not None:
            try:
                replies = [_reply(begun) for _ in commands]
            except BaseException as error:
                self._drop(begun)
                if not isinstance(error, _BROKEN):
                    raise
            else:
                self._keep(begun)
                return replies
        return self.trip(commands)

    def abandon(self, begun: Any) -> None:
        """Give up commands that were begun."""
        if begun is not None:
            self._drop(begun)

    def servers(self) -> list[redis.Redis]:
        """Clients of all servers that have feeds."""
        return [self.client]

    def publisher(self) -> redis.Redis:
        """The client of a server that publishes the news of all feeds."""
        return self.client

    def close(self) -> None:
        """Give the connections back to their pool."""
        while self._idle:
            self._pool.release(self._idle.pop())

    def discard(self) -> None:
        """The server is not used any more: close the connections, but for those that a thread is using just now."""
        self.close()
        self._pool.disconnect(inuse_connections=False)

    def _exchange(self, connection: Any, commands: Sequence[Command], *, is_last_try: bool = True) -> list[Any]:
        try:
            connection.send_packed_command(_packed(connection, commands))
            return [_reply(connection) for _ in commands]
        except BaseException as error:
            if is_last_try or not isinstance(error, _BROKEN):
                self._drop(connection)
                # The others would fail one after the other, and each after the timeout.
                self._drop_kept()
            else:
                connection.disconnect()
            raise

    def _exchange_again(self, connection: Any, commands: Sequence[Command]) -> list[Any]:
        try:
            # Sending would open it, too, but where it was: only this asks Sentinel where the master is now.
            connection.connect()
        except BaseException:
            self._drop(connection)
            self._drop_kept()
            raise
        return self._exchange(connection, commands)

    def _keep(self, connection: Any) -> None:
        if len(self._idle) < self._most_idle:
            self._idle.append(connection)
        else:
            self._pool.release(connection)

    def _drop(self, connection: Any) -> None:
        # Whatever it was, replies may still be on their way.
        connection.disconnect()
        self._pool.release(connection)

    def _drop_kept(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._drop(self._idle.pop())

    def _through_client(self, commands: Sequence[Command]) -> list[Any]:
        if len(commands) == 1:
            try:
                return [self.client.execute_command(*commands[0], **{NEVER_DECODE: True})]
            except redis.ResponseError as error:
                return [error]
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command, **{NEVER_DECODE: True})
        return list(pipeline.execute(raise_on_error=False))

    def forget(self) -> None:
        """In a forked child: the connections are the parent's."""
        self._idle = deque()


def _packed(connection: Any, commands: Sequence[Command]) -> Iterator[bytes]:
    """Pack small commands together, and large ones by themselves: the server works on one while the next is packed."""
    pieces: list[bytes] = []
    size = 0
    for command in commands:
        pieces += connection.pack_command(*command) if _pack is None else (_pack(command),)
        size += len(pieces[-1])
        if size > TOGETHER:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except redis.ReadOnlyError:
        raise
    except redis.ResponseError as error:
        if "-READONLY " in str(error):
            # As Redis 6.2 tells it of a command in a script.
            raise redis.ReadOnlyError(str(error)) from None
        return error


def _is_ordinary(client: redis.Redis) -> bool:
    """Whether the client would do no more with a command than to send it."""
    pool: Any = client.connection_pool
    return (
        _CAN_COMPARE_RETRIES
        and type(client) is redis.Redis
        and type(pool) in (redis.ConnectionPool, redis.BlockingConnectionPool, SentinelConnectionPool)
        and client.connection is None
        and getattr(pool, "cache", None) is None
        and pool.connection_kwargs.get("retry") == NO_RETRY
    )


class Forgetful(Protocol):
    """What a forked child has to forget of."""

    def forget(self) -> None:
        """Give up what is the parent's."""


alive: weakref.WeakSet[Forgetful] = weakref.WeakSet()


def forget_all() -> None:
    """In a forked child: see `Lines`."""
    for each in list(alive):
        each.forget()


os.register_at_fork(after_in_child=forget_all)
