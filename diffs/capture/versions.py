"""Numbers that order the diffs of one row by commit: from the clock, or from the database."""

from __future__ import annotations

import os
import threading
import time

from diffs.conf import settings

DATABASE = 4_000_000_000_000_000
"""From here on versions are the database's, below 2**53: no clock gets there before the year 2096, so that switching
from the clock to the database lets no row fall behind. The script that appends knows it, too."""

_lock = threading.Lock()
_last = 0


def _renew_lock() -> None:
    """In a forked child: the lock may have been held by a thread that isn't here."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def are_by_database() -> bool:
    """Whether versions are drawn in the transaction of the change, while its row is locked."""
    return settings.outbox or settings.versions == "database"


def next_version() -> int:
    """Microseconds since the Unix epoch, strictly rising in this process."""
    global _last
    with _lock:
        _last = max(time.time_ns() // 1000, _last + 1)
        return _last


def rise_above(version: int) -> None:
    """Let the clock's versions of this process be higher than one that another process has given (Lamport's clock)."""
    global _last
    with _lock:
        if version < DATABASE:
            _last = max(_last, version)


def provisional() -> int:
    """A version for a diff that is being made: the clock's, or 0 where `numbering` asks the database for it."""
    return 0 if are_by_database() else next_version()
