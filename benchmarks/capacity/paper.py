"""The formulas: how busy a server is, how long one waits for it, how much memory and network are needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SHARDS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured on a machine."""

    append: float
    """Microseconds of the server's core for an append of one diff to one feed, when there is always something to do."""
    empty_poll: float
    """The same for a poll that finds nothing."""
    full_poll: float
    """The same for a poll that finds ten diffs."""
    waking: float
    """Microseconds more for what comes when there was nothing to do: to sleep and to wake take most of a small load."""
    feed_bytes: float
    """Memory of a feed without diffs."""
    diff_bytes: float
    """Memory that each diff adds."""
    append_traffic: float
    """Bytes of an append's request and reply."""
    empty_traffic: float
    full_traffic: float
    site_poll: float
    """Microseconds of a process of the site for a poll, most of which find nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of a server."""

    name: str
    objects: int
    """That are written to, all equally often."""
    writes: float
    """A second."""
    feeds_of_a_diff: int = 1
    """The object's own, its parents' and the model's."""
    pollers: int = 0
    interval: float = 5.0
    """Seconds from one poll of a client to its next."""
    window: float = 3600.0
    """Seconds."""
    news: float = 0.1
    """The share of polls that find something."""

    @property
    def polls(self) -> float:
        """A second."""
        return self.pollers / self.interval

    @property
    def appends(self) -> float:
        """A second; each is a call of its own, as diffs of different feeds have different shards."""
        return self.writes * self.feeds_of_a_diff


class Stream(NamedTuple):
    """Requests of one kind."""

    rate: float
    """A second."""
    service: float
    """Seconds of the server."""


def streams(figures: Figures, load: Load) -> list[Stream]:
    """What arrives at the server."""
    return [
        Stream(load.appends, figures.append / 1e6),
        Stream(load.polls * (1 - load.news), figures.empty_poll / 1e6),
        Stream(load.polls * load.news, figures.full_poll / 1e6),
    ]


def work(arriving: Iterable[Stream]) -> float:
    """The share of what the server could do at most; from 1 on it falls behind."""
    return sum(stream.rate * stream.service for stream in arriving)


def busy(arriving: Sequence[Stream], waking: float) -> float:
    """The share of the time in which its core is busy, as the system shows it.

    Args:
        arriving: as chance has it.
        waking: seconds.
    """
    rate = sum(stream.rate for stream in arriving)
    # Whoever comes when it sleeps, and that is the share of the time in which it does, takes longer.
    return min(1.0, (work(arriving) + rate * waking) / (1 + rate * waking))


def mean_wait(arriving: Sequence[Stream], waking: float) -> float:
    """How many seconds a request waits for its turn: the formula of Pollaczek and Khinchine, and Welch's for waking.

    Args:
        arriving: as chance has it.
        waking: seconds.
    """
    idle = 1 - work(arriving)
    if idle <= 0:
        return math.inf
    rate = sum(stream.rate for stream in arriving)
    squares = sum(stream.rate * stream.service**2 for stream in arriving)
    squares_waking = sum(stream.rate * (stream.service + waking) ** 2 for stream in arriving)
    return squares / (2 * idle) + (squares_waking - squares) / (2 * (1 + rate * waking))


def kept(load: Load) -> tuple[float, float]:
    """How many feeds there are, and how many diffs in them, on average.

    A feed lives until two windows after its last diff, and was trimmed to one window when it got that.
    """
    rate = load.writes * load.feeds_of_a_diff * load.window / load.objects
    alive = -math.expm1(-2 * rate)
    return load.objects * alive, load.objects * alive * (1 + rate)


def memory(figures: Figures, load: Load) -> float:
    """Bytes."""
    feeds, diffs = kept(load)
    return feeds * figures.feed_bytes + diffs * figures.diff_bytes


def traffic(figures: Figures, load: Load) -> float:
    """Bytes a second between the site and the server, both ways."""
    return (
        load.appends * figures.append_traffic
        + load.polls * (1 - load.news) * figures.empty_traffic
        + load.polls * load.news * figures.full_traffic
    )


def site_processes(figures: Figures, load: Load, share: float) -> int:
    """How many processes of the site the polls take, each of which is busy for a share of its time."""
    return math.ceil(load.polls * figures.site_poll / 1e6 / share)


def most_appends(figures: Figures, share: float) -> float:
    """How many a second are a share of what the server can do, where nobody polls."""
    return share * 1e6 / figures.append


def most_polls(figures: Figures, share: float, news: float) -> float:
    """How many a second are a share of what the server can do, where nobody writes."""
    return share * 1e6 / ((1 - news) * figures.empty_poll + news * figures.full_poll)


def largest_share(servers: int) -> float:
    """The share of the load that the fullest of several servers gets, when they divide the shards among them."""
    return math.ceil(SHARDS / servers) / SHARDS


def polls_behind_a_cache(feeds: int, caches: int, age: float) -> float:
    """How many polls a second come through to the site, at the most, when caches keep public answers.

    Args:
        feeds: that are polled, however many clients poll each.
        caches: that do so independently of each other.
        age: for how many seconds.
    """
    return feeds * caches / age
