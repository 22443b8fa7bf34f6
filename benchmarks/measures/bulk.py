"""W4: what bulk operations add for each diff."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.harness import environments
from benchmarks.harness.row import Row
from benchmarks.harness.runs import DATABASES, Run

GOALS = ("W4",)
ROWS = 1000
LIMIT = 2.0


def measure(run: Run) -> Iterator[Row]:
    """Compare the time that each diff adds with a ``ZADD`` in a pipeline, on each database."""
    for database in DATABASES:
        where = f"{environments.current().label}, {database}"
        for operation in ("bulk_create", "bulk_update", "queryset_update"):
            name = operation.replace("queryset_", "QuerySet.")
            what = f"{name}() of {ROWS}: time added for a diff / ZADD in a pipeline"
            yield from run.attempt("W4", what, where, partial(_bulk, run, database, operation, what, where))


def _bulk(run: Run, database: str, operation: str, what: str, where: str) -> Iterator[Row]:
    arguments = {"rows": ROWS} if operation == "bulk_create" else {}
    keys = iter(range(0, 10**9, ROWS if operation == "bulk_create" else 10**9))
    first = next(keys)
    with (
        run.worker("plain", database=database) as plain,
        run.worker("plain", migrate=False) as pipeline,
        run.worker("registered", database=database, apps=["diffs"]) as registered,
    ):
        for worker in (plain, registered):
            worker.ask("bulk.prepare", rows=0 if operation == "bulk_create" else ROWS)
        samples = run.interleave(
            {
                "plain": partial(plain.ask, f"bulk.{operation}", **arguments),
                "registered": partial(registered.ask, f"bulk.{operation}", **arguments),
                "pipeline": lambda: pipeline.ask("floor.pipeline", count=ROWS, keys=next(keys, first)),
            },
            run.rounds(15, 60),
        )
    added = samples.combine(
        lambda recorded, bare, zadd: (recorded - bare) / zadd, "registered", "plain", "pipeline"
    )
    yield run.row("W4", what, where, added, limit=LIMIT, samples=samples)
    ratio = samples.ratio("registered", "plain")
    yield run.row("W4", f"{what.partition(':')[0]} / plain", where, ratio, samples=samples)
