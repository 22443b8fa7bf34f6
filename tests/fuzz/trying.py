"""Trying a function with examples until a time is over."""

from __future__ import annotations

import datetime as dt
import faulthandler
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.strategies import SearchStrategy

SECONDS = float(os.environ.get("DIFFS_FUZZ_SECONDS", "0"))
"""For all fuzzers together; 0: each tries a few examples, always the same."""
EXAMPLES = 100
HANG = 120.0
"""Seconds of one round after which the whole run says where it hangs, and ends."""
CASE = 2.0
"""Seconds of work that one example may take."""

T = TypeVar("T")


def fuzz(check: Callable[[T], Any], examples: SearchStrategy[T], *, share: float, few: int = 60) -> int:
    """Try a function with examples: it must return, and soon.

    Args:
        check: raises where something is wrong.
        examples: what it is called with.
        share: which part of all the time it gets.
        few: how many examples it is tried with where there is no time.

    Returns:
        How many it was tried with.
    """
    count = 0

    def timed(example: T) -> None:
        nonlocal count
        count += 1
        begun = time.thread_time()
        check(example)
        taken = time.thread_time() - begun
        assert taken < CASE, f"It took {taken:.1f} seconds."

    chosen = hypothesis.settings(
        max_examples=EXAMPLES if SECONDS else few,
        deadline=None,
        database=None,
        derandomize=not SECONDS,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.target, Phase.shrink],
        report_multiple_bugs=False,
    )
    run = chosen(hypothesis.given(examples)(timed))
    end = time.monotonic() + SECONDS * share
    while True:
        faulthandler.dump_traceback_later(HANG, exit=True)
        try:
            run()
        finally:
            faulthandler.cancel_dump_traceback_later()
        if time.monotonic() >= end:
            return count


def told(name: str, count: int) -> None:
    """Say, where there was time, how much was tried."""
    if SECONDS:
        print(f"{dt.datetime.now():%H:%M:%S} {name}: {count} examples")
