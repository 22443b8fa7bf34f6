"""How much memory servers use for what they hold."""

from __future__ import annotations

import time
from pathlib import Path

import redis

QUIET_SECONDS = 10.0
PAUSE_SECONDS = 0.02


def used(client: redis.Redis) -> int:
    """Bytes, when nobody else is connected, whose buffers would be counted, and nothing is being moved any more.

    Raises:
        TimeoutError: there is no such moment.
    """
    deadline = time.monotonic() + QUIET_SECONDS
    before = 0
    while time.monotonic() < deadline:
        now = int(client.info("memory")["used_memory"])
        if now == before and client.info("clients")["connected_clients"] == 1:
            return now
        before = now
        time.sleep(PAUSE_SECONDS)
    raise TimeoutError("The server's memory doesn't settle.")


def of_process(pid: int) -> int:
    """Bytes of memory that a process has to itself, and its share of what it has in common with others.

    Raises:
        OSError: this system doesn't tell.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
