"""The time that Redis goes by in a run, where the processes tell it, so that it can be set back under all of them.

The scripts take it in place of the server's own, and with it all that they decide: timestamps, windows and floors. Keys
expire by the server's own clock still, after two windows, which no run lasts.
"""

from __future__ import annotations

import functools
import time
from ctypes import c_longlong

from diffs.store import process
from diffs.store.store import Store


def tell_time(offset: c_longlong) -> None:
    """Let this process, and those forked from it, tell the time; before its first use of Redis.

    Args:
        offset: how far the time is from the right one, in microseconds.
    """
    process.Store = functools.partial(Store, now=lambda: str(time.time_ns() // 1000 + offset.value))
