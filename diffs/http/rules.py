"""Rules that are asked from an event loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from asgiref.sync import AsyncToSync, sync_to_async
from django.db import connections
from django.http import HttpRequest

from .live.loops import PerLoop
from .permissions import Reader

T = TypeVar("T")

THREADS = 4
"""A few, so that one slow rule doesn't hold up all others, and no more, as each may keep connections to databases."""

_pools = PerLoop(
    lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="diffs-rules"), lambda pool: pool.shutdown(wait=False)
)


class Rules:
    """What the rules say of whoever holds a connection.

    Args:
        make_request: gives the request that rules are shown; called once, and in a thread.
    """

    __slots__ = ("_make_request", "_request", "reader")

    def __init__(self, make_request: Callable[[], HttpRequest]) -> None:
        self._make_request = make_request
        self._request: HttpRequest | None = None
        self.reader = Reader(self._get_request)
        """Who asks; to be used only in what `ask` or `in_thread` calls."""

    async def ask(self, function: Callable[[], T]) -> T:
        """Call a function that asks `reader`.

        It is called at once. Where it comes to a question that may take a database, it is called again in a thread: it
        must bear that. What was asked once is remembered, so that most calls end without a thread.

        Raises:
            Whatever `function` raises.
        """
        try:
            return function()
        except _MustAsk:
            pass
        return await in_thread(function)

    def _get_request(self) -> HttpRequest:
        if _in_event_loop():
            raise _MustAsk
        if self._request is None:
            self._request = self._make_request()
        return self._request


async def in_thread(function: Callable[[], T]) -> T:
    """Call a function where it may use databases.

    Raises:
        Whatever `function` raises.
    """
    call = functools.partial(_with_live_connections, function)
    if asyncio.get_running_loop() in getattr(AsyncToSync, "loop_thread_executors", ()):
        # A thread waits for all this, as a test does: its databases are meant.
        return await sync_to_async(call)()
    return await sync_to_async(call, thread_sensitive=False, executor=_pools.get())()


class _MustAsk(Exception):
    """This can't be said here: whoever is asked may block."""


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _with_live_connections(function: Callable[[], T]) -> T:
    """Call a function as Django's signals would have it called in a request: connections may have died meanwhile."""
    _close_old_connections()
    try:
        return function()
    finally:
        _close_old_connections()


def _close_old_connections() -> None:
    for connection in connections.all(initialized_only=True):
        # A transaction is that of a test case, which this thread belongs to.
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
