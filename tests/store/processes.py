"""Other processes and threads: where they find the package, and waiting for what they are about to do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import diffs

T = TypeVar("T")

SECONDS = 20.0
ENVIRONMENT: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(Path(diffs.__file__).parent.parent)}


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


def recovery_threads() -> list[threading.Thread]:
    """The threads that wait for a server to come back."""
    return [thread for thread in threading.enumerate() if thread.name == "diffs-outage"]
