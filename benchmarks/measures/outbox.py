"""What it costs that nothing is lost: versions by the database, the outbox, and relaying what has gathered in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.harness import environments
from benchmarks.harness.row import Row
from benchmarks.harness.runs import DATABASES, Run

GOALS = ("outbox",)
ROWS = 100
FEW = 1_000
BATCH = 500

MODES: dict[str, dict[str, Any]] = {
    "registered": {},
    "versions by the database": {"versions": "database"},
    "the outbox": {"outbox": True},
}


def measure(run: Run) -> Iterator[Row]:
    """Compare saves in each mode with those of the default, and relaying from a small and a large table."""
    for database in DATABASES:
        where = f"{environments.current().label}, {database}"
        with ExitStack() as stack:
            workers = {
                name: stack.enter_context(run.worker("registered", database=database, apps=["diffs"], diffs=diffs))
                for name, diffs in MODES.items()
            }
            for worker in workers.values():
                worker.ask("saving.prepare", model="Item", rows=ROWS)
            for what, operation, rounds in (
                ("a save", "saving.update", run.rounds(15, 100)),
                (f"{ROWS} saves in one transaction", "saving.update_in_one_transaction", run.rounds(7, 50)),
            ):
                turns = {name: partial(worker.ask, operation) for name, worker in workers.items()}
                samples = run.interleave(turns, rounds)
                for name in list(MODES)[1:]:
                    ratio = samples.ratio(name, "registered")
                    yield run.row("outbox", f"{what}, {name} / {what}", where, ratio, samples=samples)
        yield from run.attempt("outbox", "relaying", where, partial(_relaying, run, database, where))


def _relaying(run: Run, database: str, where: str) -> Iterator[Row]:
    many = 20_000 if run.quick else 1_000_000
    with ExitStack() as stack:
        workers = {}
        for name, rows in (("few", FEW), ("many", many)):
            start = run.worker("registered", database=database, apps=["diffs"], diffs={"outbox": True})
            workers[name] = stack.enter_context(start)
            workers[name].ask("outbox.fill", rows=rows)
        for what, operation in (
            (f"relaying {BATCH} rows", "outbox.relay"),
            ("a save", "outbox.save"),
            ("looking how much waits, once", "outbox.backlog"),
        ):
            turns = {name: partial(worker.ask, operation, batch=BATCH) for name, worker in workers.items()}
            samples = run.interleave(turns, run.rounds(5, 20))
            title = f"{what}, {many:,} waiting / {FEW:,} waiting"
            yield run.row("outbox", title, where, samples.ratio("many", "few"), samples=samples)
            if operation == "outbox.relay":
                rate = samples.combine(lambda microseconds: 1e6 / microseconds, "many")
                yield run.row("outbox", f"rows relayed in a second, {many:,} waiting", where, rate, unit="/s")
