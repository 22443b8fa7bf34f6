"""What there is one of for each event loop: nearly always one of each in a process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes a thing for each running event loop, at its first use.

    Args:
        make: makes one.
        close: called, from whichever thread, for one whose loop has been closed since.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], None]) -> None:
        self._make = make
        self._close = close
        self._lock = threading.Lock()
        self._things: dict[asyncio.AbstractEventLoop, T] = {}

    def get(self) -> T:
        """The running event loop's."""
        loop = asyncio.get_running_loop()
        thing = self._things.get(loop)
        if thing is None:
            with self._lock:
                for other in [loop for loop in self._things if loop.is_closed()]:
                    self._close(self._things.pop(other))
                thing = self._things[loop] = self._make()
        return thing

    def drop(self, thing: T) -> None:
        """Let the next use make another."""
        with self._lock:
            for loop in [loop for loop, one in self._things.items() if one is thing]:
                del self._things[loop]
