"""How much memory a Redis server uses for what it holds."""

from __future__ import annotations

import time

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
