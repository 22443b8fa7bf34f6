"""W1, W2, W3: what a save costs, alone and among many in a transaction; and a real day's writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from benchmarks.harness import environments
from benchmarks.harness.row import Row
from benchmarks.harness.runs import DATABASES, POSTGRESQL, Run
from benchmarks.harness.workers import Worker

GOALS = ("W1", "W2", "W3", "day")
# Short turns, and many of them: what disturbs the machine then hits every contender alike.
ROWS = 100
ROWS_OF_A_TRANSACTION = 1000
BACKGROUND_LIMITS = {POSTGRESQL: 1.15}
BACKGROUND_LIMIT = 1.25


def measure(run: Run) -> Iterator[Row]:
    """Compare registered with plain saves, on each database."""
    for database in DATABASES:
        where = f"{environments.current().label}, {database}"
        for goal, what, part in (
            ("W1", "a save, written at once / plain save + EVALSHA", _at_once),
            ("W2", "a save, flush in the background / plain save", _in_background),
            ("W3", f"{ROWS_OF_A_TRANSACTION} saves in one transaction / plain", _in_transaction),
            ("day", "a day of flights replayed / plain", _day),
        ):
            if run.wants(goal):
                yield from run.attempt(goal, what, where, partial(part, run, database, what, where))


def _at_once(run: Run, database: str, what: str, where: str) -> Iterator[Row]:
    for model, operation, told, rounds in (
        ("Item", "update", "update", run.rounds(40, 200)),
        ("Item", "create", "create", run.rounds(15, 100)),
        ("Member", "update", "update with a parent", run.rounds(15, 100)),
    ):
        with ExitStack() as stack:
            workers = _contenders(run, stack, database, ("plain", "evalsha", "registered"))
            for worker in workers.values():
                worker.ask("saving.prepare", model=model, rows=ROWS)
            arguments = {"model": model, "rows": ROWS} if operation == "create" else {}
            samples = run.interleave(
                {
                    name: partial(worker.ask, f"saving.{operation}", evalsha=name == "evalsha", **arguments)
                    for name, worker in workers.items()
                },
                rounds,
            )
        goal = 1.10 if told == "update" else None
        ratio = samples.ratio("registered", "evalsha")
        yield run.row("W1", f"{what}: {told}", where, ratio, limit=goal, samples=samples)
        ratio = samples.ratio("registered", "plain")
        yield run.row("W1", f"a save, written at once / plain save: {told}", where, ratio, samples=samples)


def _in_background(run: Run, database: str, what: str, where: str) -> Iterator[Row]:
    with ExitStack() as stack:
        workers = _contenders(run, stack, database, ("plain", "background"))
        for worker in workers.values():
            worker.ask("saving.prepare", model="Item", rows=ROWS)
        samples = run.interleave(
            {
                "plain": partial(workers["plain"].ask, "saving.update"),
                "background": partial(workers["background"].ask, "saving.update_and_drain"),
            },
            run.rounds(40, 200),
        )
    limit = BACKGROUND_LIMITS.get(database, BACKGROUND_LIMIT)
    drained = samples.figure("background", "drained")
    ratio = samples.ratio("background", "plain")
    yield run.row("W2", what, where, ratio, limit=limit, samples=samples, drained=drained.as_dict())
    plain = samples.figure("plain").median
    yield run.row(
        "W2",
        f"until the diffs of {ROWS} such saves are in Redis / plain saves",
        where,
        drained.median / plain,
        samples=samples,
    )


def _in_transaction(run: Run, database: str, what: str, where: str) -> Iterator[Row]:
    with ExitStack() as stack:
        workers = _contenders(run, stack, database, ("plain", "registered"))
        for worker in workers.values():
            worker.ask("saving.prepare", model="Item", rows=ROWS_OF_A_TRANSACTION)
        samples = run.interleave(
            {name: partial(worker.ask, "saving.update_in_one_transaction") for name, worker in workers.items()},
            run.rounds(9, 50),
        )
    yield run.row("W3", what, where, samples.ratio("registered", "plain"), limit=1.20, samples=samples)


def _day(run: Run, database: str, what: str, where: str) -> Iterator[Row]:
    with ExitStack() as stack:
        plain = stack.enter_context(run.worker("plain", database=database, apps=["board"]))
        recorded = stack.enter_context(run.worker("plain", database=database, apps=["diffs", "board"]))
        plain.ask("day.prepare", recorded=False)
        recorded.ask("day.prepare", recorded=True)
        samples = run.interleave(
            {"plain": partial(plain.ask, "day.replay"), "recorded": partial(recorded.ask, "day.replay")},
            run.rounds(2, 9),
            warmups=0 if run.quick else 1,
        )
    rows = samples.figure("plain", "rows").median
    for name in ("plain", "recorded"):
        rate = samples.combine(lambda microseconds: 1e6 / microseconds, name)
        yield run.row("day", f"rows written a second, {name}", where, rate, unit="rows/s", rows=rows)
    yield run.row("day", what, where, samples.ratio("recorded", "plain"), samples=samples)


def _contenders(run: Run, stack: ExitStack, database: str, names: tuple[str, ...]) -> dict[str, Worker]:
    started = {
        "plain": lambda: run.worker("plain", database=database),
        "evalsha": lambda: run.worker("plain", database=database),
        "registered": lambda: run.worker("registered", database=database, apps=["diffs"]),
        "background": lambda: run.worker(
            "registered", database=database, apps=["diffs"], diffs={"flush": "background"}
        ),
    }
    return {name: stack.enter_context(started[name]()) for name in names}
