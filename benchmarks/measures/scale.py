"""S1: whether many diffs, and many feeds, slow each other down; and what a connection has to do with it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from benchmarks.harness.figures import Samples
from benchmarks.harness.row import Row
from benchmarks.harness.runs import Run
from benchmarks.harness.servers import REDIS_DATABASES
from benchmarks.harness.workers import Worker

GOALS = ("S1",)
WITHIN = 1.5
CALLS = 200


class Size(NamedTuple):
    """How much there is."""

    feeds: int
    diffs: int
    """In each feed."""
    name: str


class Family(NamedTuple):
    """Sizes that are compared, and what a reader has not read."""

    what: str
    sizes: tuple[Size, ...]
    unread: int


def measure(run: Run) -> Iterator[Row]:
    """Append and poll at different sizes, in turns."""
    most = 100_000 if run.quick else 1_000_000
    # Several of the smallest, which would else become another kind of set during a round.
    sizes = (Size(10, 100, "100"), Size(1, 10_000, "10,000"), Size(1, most, f"{most:,}"))
    yield from _family(run, Family("diffs in the feed", sizes, 10))
    yield from _family(run, Family("feeds", (Size(1000, 1, "1,000"), Size(most, 1, f"{most:,}")), 1))
    yield from _connections(run)


def _family(run: Run, family: Family) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:
        workers: dict[str, tuple[Worker, Size]] = {}
        for size in family.sizes:
            worker = stack.enter_context(run.worker("registered", apps=["diffs"], migrate=False))
            worker.ask("scale.fill", feeds=size.feeds, diffs=size.diffs)
            workers[size.name] = worker, size
        appends: dict[str, Callable[[], Mapping[str, Any]]] = {
            name: partial(worker.ask, "scale.append", count=CALLS, diffs=size.diffs)
            for name, (worker, size) in workers.items()
        }
        polls: dict[str, Callable[[], Mapping[str, Any]]] = {
            name: partial(worker.ask, "scale.poll", count=CALLS, limit=100, unread=family.unread)
            for name, (worker, _) in workers.items()
        }
        names = ", ".join(workers)
        for what, contenders in (("append", appends), ("poll of the tail", polls)):
            samples = run.interleave(contenders, run.rounds(10, 40))
            for key, where in (("microseconds", "through the store"), ("server", "in the server")):
                told = f"{what}, slowest / fastest with {names} {family.what}"
                value = _spread(samples, key)
                yield run.row("S1", told, where, value, limit=WITHIN, samples=samples, key=key)


def _spread(samples: Samples, key: str) -> float:
    medians = [samples.figure(name, key).median for name in samples.replies]
    return max(medians) / min(medians)


def _connections(run: Run) -> Iterator[Row]:
    """What a trip takes over a unix socket and over TCP, with and without hiredis."""
    server = run.servers.redis()

    def tcp(database: int) -> dict[str, Any]:
        return {"DIFFS_SETTINGS": {"redis": {"host": "127.0.0.1", "port": server.port, "db": database}}}

    kinds: dict[str, dict[str, Any]] = {
        "unix socket, hiredis": {},
        "TCP, hiredis": {"settings": tcp(0)},
        "unix socket, without hiredis": {"without": ["hiredis"]},
        "TCP, without hiredis": {"settings": tcp(REDIS_DATABASES - 1), "without": ["hiredis"]},
    }
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(run.worker("registered", apps=["diffs"], migrate=False, **options))
            for name, options in kinds.items()
        }
        for worker in workers.values():
            worker.ask("scale.fill", feeds=100, diffs=100)
        for what, operation, arguments in (
            ("an append", "scale.append", {"diffs": 100}),
            ("a poll of a page of 100", "scale.poll", {"limit": 100, "unread": 100}),
        ):
            samples = run.interleave(
                {name: partial(worker.ask, operation, count=CALLS, **arguments) for name, worker in workers.items()},
                run.rounds(5, 40),
            )
            for name in workers:
                yield run.row("S1", f"time of {what}", name, samples.figure(name), unit="µs")
