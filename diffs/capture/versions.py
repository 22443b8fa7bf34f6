"""Versions by the clock."""

from __future__ import annotations

import threading
import time

_lock = threading.Lock()
_last = 0


def next_version() -> int:
    """Microseconds since the Unix epoch, strictly rising in this process."""
    global _last
    with _lock:
        _last = max(time.time_ns() // 1000, _last + 1)
        return _last
