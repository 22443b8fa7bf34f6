"""Versions by the clock."""

from __future__ import annotations

import os
import threading
import time

_lock = threading.Lock()
_last = 0


def _renew_lock() -> None:
    """In a forked child: the lock may have been held by a thread that isn't here."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def next_version() -> int:
    """Microseconds since the Unix epoch, strictly rising in this process."""
    global _last
    with _lock:
        _last = max(time.time_ns() // 1000, _last + 1)
        return _last
