"""P1: removing half of very many diffs, and who has to wait for it."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness.row import Row
from benchmarks.harness.runs import Run
from benchmarks.harness.servers import pin
from benchmarks.harness.workers import Worker

GOALS = ("P1",)
FASTER = 20.0
LONGEST_MS = 3.0
IDLE_SECONDS = 1.0
DURING = {"prune": "pruning", "prune_one_by_one": "one call a key"}
PING = "99th percentile of PING"


def measure(run: Run) -> Iterator[Row]:
    """Prune in batches and one by one, in turns; then again while others ask the server for a sign of life."""
    yield from _compare(run, "Redis on a core of its own", apart=True)
    if not run.quick:
        # Where a trip takes least, there is least to save.
        yield from _compare(run, "Redis on the caller's core", apart=False)


def _compare(run: Run, where: str, *, apart: bool) -> Iterator[Row]:
    feeds = 10_000 if run.quick else 100_000
    what = f"one call a key / prune {feeds * 5:,} of {feeds * 10:,} diffs in {feeds:,} feeds"
    with (
        run.worker("registered", apps=["diffs"], migrate=False, redis_apart=apart) as batches,
        run.worker("registered", apps=["diffs"], migrate=False, redis_apart=apart) as single,
        run.worker("registered", apps=["diffs"], migrate=False, redis_apart=apart) as pinging,
    ):
        contenders = {
            "prune": partial(_prune, batches, "pruning.prune", feeds),
            "prune_one_by_one": partial(_prune, single, "pruning.prune_one_by_one", feeds),
        }
        samples = run.interleave(contenders, run.rounds(3, 3), warmups=0)
        ratio = samples.ratio("prune_one_by_one", "prune")
        yield run.row("P1", what, where, ratio, limit=FASTER if apart else None, at_least=True, samples=samples)
        if not apart:
            return
        # It loads what it needs, and then waits for the server, and not for the caller's core.
        _pings(pinging, lambda: None)
        pin(pinging.pid, run.server_cpu)
        for name, contender, limit in (("prune", batches, LONGEST_MS), ("prune_one_by_one", single, None)):
            took: list[float] = []
            for _ in range(run.rounds(3, 3)):
                contender.ask("pruning.prepare", feeds=feeds)
                took += _pings(pinging, partial(contender.ask, f"pruning.{name}", feeds=feeds))
            yield _ping_row(run, f"{PING} during {DURING[name]}", where, took, limit)
        yield _ping_row(run, f"{PING} of an idle server", where, _pings(pinging, partial(time.sleep, IDLE_SECONDS)))


def _prune(worker: Worker, operation: str, feeds: int) -> dict[str, Any]:
    worker.ask("pruning.prepare", feeds=feeds)
    return worker.ask(operation, feeds=feeds)


def _pings(pinging: Worker, work: Callable[[], Any]) -> list[float]:
    """How many microseconds each ``PING`` of another process took while the work was done."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        end = Path(folder, "end")
        pings = thread.submit(pinging.ask, "pruning.ping", until=str(end))
        try:
            work()
        finally:
            end.touch()
        took: list[float] = pings.result()["microseconds"]
        return took


def _ping_row(run: Run, what: str, where: str, took: list[float], limit: float | None = None) -> Row:
    cuts = statistics.quantiles(took, n=100)
    return run.row(
        "P1",
        what,
        where,
        cuts[98] / 1000,
        unit="ms",
        limit=limit,
        pings=len(took),
        median_ms=cuts[49] / 1000,
        longest_ms=max(took) / 1000,
    )
