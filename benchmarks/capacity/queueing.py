"""A simulation of one server and those who wait for it, which knows nothing of the formulas."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from .paper import Figures, Load

Arrival = tuple[float, float]
"""When it comes, and how long it takes, in seconds."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the requests met with."""

    requests: int
    mean_wait: float
    """Seconds until its turn."""
    wait_99: float
    """What one in a hundred exceeds."""
    longest_wait: float
    busy: float
    """The share of the time in which the server's core is busy."""


def simulate(figures: Figures, load: Load, *, seconds: float, seed: int = 1, spread: float | None = None) -> Outcome:
    """Let writers and pollers come to a server that serves one after the other.

    Args:
        figures: how long each request takes.
        load: who comes.
        seconds: for how long.
        seed: of chance.
        spread: within how many seconds all pollers first come, each of which then keeps to its interval; within the
            whole interval unless given.
    """
    chance = random.Random(seed)
    arrivals = heapq.merge(
        _writers(figures, load, random.Random(chance.random())),
        _pollers(figures, load, random.Random(chance.random()), load.interval if spread is None else spread),
    )
    busy = 0.0
    # It sleeps when it all begins.
    free_at = -math.inf
    waits: list[float] = []
    for at, service in itertools.takewhile(lambda arrival: arrival[0] < seconds, arrivals):
        if at > free_at:
            service += figures.waking / 1e6
        begins = max(at, free_at)
        waits.append(begins - at)
        free_at = begins + service
        busy += service
    if not waits:
        return Outcome(0, 0.0, 0.0, 0.0, 0.0)
    ordered = sorted(waits)
    return Outcome(
        requests=len(waits),
        mean_wait=sum(waits) / len(waits),
        wait_99=ordered[int(len(ordered) * 0.99)],
        longest_wait=ordered[-1],
        busy=busy / seconds,
    )


def simulate_keeping(load: Load, *, objects: int, windows: float = 8.0, seed: int = 1) -> tuple[float, float]:
    """Write, trim and expire as the server does, and count at the end.

    Args:
        load: how often an object is written to.
        objects: how many to look at.
        windows: how long, in windows.
        seed: of chance.

    Returns:
        The share of the objects that have a feed, and how many diffs there are for each object.
    """
    chance = random.Random(seed)
    rate = load.appends / load.objects
    now = windows * load.window
    feeds = diffs = 0
    for _ in range(objects):
        feed: deque[float] = deque()
        at = chance.expovariate(rate)
        while at < now:
            # What expired as a whole is older than the window, too.
            while feed and feed[0] < at - load.window:
                feed.popleft()
            feed.append(at)
            at += chance.expovariate(rate)
        if feed and now - feed[-1] < 2 * load.window:
            feeds += 1
            diffs += len(feed)
    return feeds / objects, diffs / objects


def _writers(figures: Figures, load: Load, chance: random.Random) -> Iterator[Arrival]:
    at = 0.0
    while load.appends:
        at += chance.expovariate(load.appends)
        yield at, figures.append / 1e6


def _pollers(figures: Figures, load: Load, chance: random.Random, spread: float) -> Iterator[Arrival]:
    phases = sorted(chance.uniform(0, spread) for _ in range(load.pollers))
    for turn in itertools.count() if phases else ():
        for phase in phases:
            finds = chance.random() < load.news
            yield turn * load.interval + phase, (figures.full_poll if finds else figures.empty_poll) / 1e6
