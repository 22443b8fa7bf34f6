"""Where the time of a save goes: contenders that stop after one stage more than the one before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from benchmarks.harness import environments
from benchmarks.harness.row import Row
from benchmarks.harness.runs import DATABASES, Run

GOALS = ("stages",)
ROWS = 100

# Each with what it does more than the one before.
STAGES = (
    ("compare", "compare the instance with its row"),
    ("make", "make the diff, and remember the row"),
    ("pack", "sort it into a command"),
    ("trip", "a trip to Redis and a script that only adds a member"),
    ("whole", "what else the script does: the clock, trimming, expiry, publishing"),
)


def measure(run: Run) -> Iterator[Row]:
    """Measure saves that are written at once, on SQLite, and in a long run on PostgreSQL, too."""
    for database in DATABASES[:1] if run.quick else DATABASES:
        where = f"{environments.current().label}, {database}"
        yield from run.attempt("stages", "a save's stages", where, partial(_stages, run, database, where))


def _stages(run: Run, database: str, where: str) -> Iterator[Row]:
    with ExitStack() as stack:
        workers = {"plain": stack.enter_context(run.worker("plain", database=database))}
        for stage, _ in STAGES:
            workers[stage] = stack.enter_context(run.worker("registered", database=database, apps=["diffs"]))
            if stage != "whole":
                workers[stage].ask("stages.stop_after", stage=stage)
        for worker in workers.values():
            worker.ask("saving.prepare", model="Item", rows=ROWS)
        turns = {name: partial(worker.ask, "saving.update") for name, worker in workers.items()}
        samples = run.interleave(turns, run.rounds(15, 100))
    yield run.row("stages", "a plain save", where, samples.figure("plain"), unit="µs", samples=samples)
    before = "plain"
    for stage, what in STAGES:
        added = samples.combine(lambda more, less: more - less, stage, before)
        yield run.row("stages", f"a save, added: {what}", where, added, unit="µs")
        before = stage
