"""Waiting for what another process or thread is about to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SECONDS = 20.0


def wait_for(condition: Callable[[], T], seconds: float = SECONDS) -> T:
    """Ask until the answer is true, and return it.

    Raises:
        AssertionError: it never was.
    """
    deadline = time.monotonic() + seconds
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {seconds} seconds in vain.")
        time.sleep(0.01)
