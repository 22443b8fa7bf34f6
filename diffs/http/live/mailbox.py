"""From the thread that listens to the event loop that acts on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from diffs.store import Ear


class Mailbox:
    """Takes what a thread hears to the running event loop, many words at once.

    Args:
        ear: is told there.
    """

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self._loop = asyncio.get_running_loop()
        self._words: deque[Callable[[], None]] = deque()
        self._is_rung = False
        self._is_closed = False

    def ready(self, channel: str) -> None:
        self._put(lambda: self._ear.ready(channel))

    def heard(self, channel: str, position: int) -> None:
        self._put(lambda: self._ear.heard(channel, position))

    def lost(self, *, is_refused: bool) -> None:
        self._put(lambda: self._ear.lost(is_refused=is_refused))

    def close(self) -> None:
        """Take nothing any more."""
        self._is_closed = True

    def _put(self, word: Callable[[], None]) -> None:
        self._words.append(word)
        if not (self._is_rung or self._is_closed):
            self._is_rung = True
            # The loop may just have been closed.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._open)

    def _open(self) -> None:
        # First, so that a word that comes while these are passed on rings again.
        self._is_rung = False
        while self._words and not self._is_closed:
            self._words.popleft()()
