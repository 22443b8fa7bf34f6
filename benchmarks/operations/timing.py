"""How operations measure."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator


class Stopwatch:
    """The time that a block took."""

    def __init__(self) -> None:
        self.nanoseconds = 0

    def per(self, count: int) -> dict[str, float]:
        """The reply of an operation that did something so many times: microseconds for each."""
        return {"microseconds": self.nanoseconds / count / 1000}


@contextlib.contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time a block, without garbage of others being collected in it."""
    watch = Stopwatch()
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter_ns()
        yield watch
        watch.nanoseconds = time.perf_counter_ns() - start
    finally:
        gc.enable()
