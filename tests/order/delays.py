"""The time between a commit and its way to Redis, made long and uneven, so that commits overtake each other."""

from __future__ import annotations

import os
import random
import time
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from diffs.capture import sending
from diffs.codec import decode

OFTEN = 0.9


def delay_handovers(rng: random.Random, longest: float, log: Path) -> None:
    """Let this process wait before it hands diffs over, and note which ones it hands over then.

    Args:
        rng: says how long, each time.
        longest: seconds; now and then it is six times as long.
        log: a file that several processes add lines to: a row's own feed, and the version of its diff.
    """
    hand_over = sending.hand_over
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def hand_over_late(entries: Any, *args: Any, **options: Any) -> Any:
        time.sleep(rng.random() * longest * (1 if rng.random() < OFTEN else 6))
        os.write(file, "".join(_lines(entries)).encode())
        outcome = hand_over(entries, *args, **options)
        # Whoever is killed now has sent what stands in the outbox still.
        time.sleep(rng.random() * longest / 10)
        return outcome

    sending.hand_over = hand_over_late


def _lines(entries: Any) -> Iterable[str]:
    for entry in entries:
        change = decode(entry.member)
        if change.row is None:
            yield f"{entry.feed.name} {change.version}\n"


def count_handed_over(log: Path) -> tuple[int, int]:
    """How many diffs were handed over, and how many pairs of one row's in another order than that of their versions."""
    versions: dict[str, list[int]] = defaultdict(list)
    inversions = 0
    for line in log.read_text().splitlines() if log.exists() else ():
        row, version = line.split()
        before = versions[row]
        inversions += len(before) - bisect_right(before, int(version))
        insort(before, int(version))
    return sum(map(len, versions.values())), inversions
