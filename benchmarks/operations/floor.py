"""What writing to Redis by hand costs, with redis-py and nothing else: the floor that saves are compared with."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import redis

from benchmarks.project.settings import BENCH

from .timing import stopwatch

# An append as one would write it: the server's time is the score.
APPEND = """
local time = redis.call('TIME')
local score = time[1] .. string.format('%06d', time[2])
return redis.call('ZADD', KEYS[1], score, ARGV[1])
"""
# One trip and no keys sent, as it is asked while a sender may be at work.
COUNT = """
local count, cursor = 0, '0'
repeat
  local reply = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 1000)
  cursor = reply[1]
  for _, key in ipairs(reply[2]) do
    count = count + redis.call('ZCARD', key)
  end
until cursor == '0'
return count
"""
PAYLOAD = b"what a diff of two fields takes, more or less"

_numbers = itertools.count(1)


@functools.cache
def client() -> redis.Redis:
    """The contender's own database of the server."""
    options: dict[str, Any] = BENCH["redis"]
    return redis.Redis(**options)


@functools.cache
def append_sha() -> str:
    """The name under which the server knows the script."""
    return str(client().script_load(APPEND))


def member() -> bytes:
    """A member that isn't there yet."""
    return next(_numbers).to_bytes(8, "big") + PAYLOAD


def count_members(pattern: str) -> int:
    """How many members all sets have together whose keys match; it costs the server next to nothing."""
    return int(client().eval(COUNT, 1, "", pattern))


def append(pk: object) -> None:
    """One trip: the script, called by its name."""
    client().execute_command("EVALSHA", append_sha(), 1, f"floor:{pk}", member())


def pipeline(*, count: int, keys: int = 0) -> dict[str, float]:
    """Add members to as many sets in one pipeline.

    Args:
        count: how many members, each to a set of its own.
        keys: what the sets' numbers start from, where they are to be others than the last time.
    """
    server = client()
    server.ping()
    with stopwatch() as watch:
        pipe = server.pipeline(transaction=False)
        for number in range(keys, keys + count):
            pipe.zadd(f"floor:{number}", {member(): number})
        pipe.execute()
    return watch.per(count)
