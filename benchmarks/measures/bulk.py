"""W4: what bulk operations add for each diff."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.harness import environments
from benchmarks.harness.row import Row
from benchmarks.harness.runs import DATABASES, Run
from benchmarks.harness.workers import Worker

GOALS = ("W4",)
ROWS = 1000
LIMIT = 2.0


def measure(run: Run) -> Iterator[Row]:
    """Compare the time that each diff adds with a ``ZADD`` in a pipeline, on each database."""
    for database in DATABASES:
        where = f"{environments.current().label}, {database}"
        yield from run.attempt("W4", "bulk operations", where, partial(_bulk, run, database, where))


def _bulk(run: Run, database: str, where: str) -> Iterator[Row]:
    with (
        run.worker("plain", database=database) as plain,
        run.worker("plain", migrate=False) as pipeline,
        run.worker("registered", database=database, apps=["diffs"]) as registered,
    ):
        for operation in ("bulk_create", "bulk_update", "queryset_update"):
            creates = operation == "bulk_create"
            arguments = {"rows": ROWS} if creates else {}
            # Created rows have new feeds each time.
            keys = itertools.count(0, ROWS if creates else 0)
            for worker in (plain, registered):
                worker.ask("bulk.prepare", rows=0 if creates else ROWS)
            samples = run.interleave(
                {
                    "plain": partial(plain.ask, f"bulk.{operation}", **arguments),
                    "registered": partial(registered.ask, f"bulk.{operation}", **arguments),
                    "pipeline": partial(_pipeline, pipeline, keys),
                },
                run.rounds(8, 60),
            )
            what = f"{operation.replace('queryset_', 'QuerySet.')}() of {ROWS}"
            added = samples.combine(_added, "registered", "plain", "pipeline")
            told = f"{what}: time added for a diff / ZADD in a pipeline"
            yield run.row("W4", told, where, added, limit=LIMIT, samples=samples)
            yield run.row("W4", f"{what} / plain", where, samples.ratio("registered", "plain"), samples=samples)


def _pipeline(worker: Worker, keys: Iterator[int]) -> dict[str, Any]:
    return worker.ask("floor.pipeline", count=ROWS, keys=next(keys))


def _added(registered: float, plain: float, zadd: float) -> float:
    return (registered - plain) / zadd
