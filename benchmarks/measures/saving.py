"""W1, W2, W3: what a save costs, alone and among many in a transaction; and a real day's writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.harness import environments
from benchmarks.harness.figures import Figure
from benchmarks.harness.row import Row
from benchmarks.harness.runs import DATABASES, POSTGRESQL, SQLITE, Run
from benchmarks.harness.workers import Worker

GOALS = ("W1", "W2", "W3", "day")
# Short turns, and many of them: what disturbs the machine then hits every contender alike.
ROWS = 100
# Long ones where a sender works beside the writer: in short ones most of its work would come after the end.
ROWS_IN_BACKGROUND = 1000
ROWS_OF_A_TRANSACTION = 1000
AT_ONCE_LIMIT = 1.10
BACKGROUND = {"flush": "background"}
BACKGROUND_LIMITS = {SQLITE: 1.25, POSTGRESQL: 1.15}
TRANSACTION_LIMIT = 1.20


def measure(run: Run) -> Iterator[Row]:
    """Compare registered with plain saves, on each database."""
    for database in DATABASES:
        where = f"{environments.current().label}, {database}"
        with ExitStack() as stack:
            contenders = _Contenders(run, stack, database)
            for goal, what, part in (
                ("W1", "a save, written at once", _at_once),
                ("W2", "a save, flush in the background", _in_background),
                ("W3", f"{ROWS_OF_A_TRANSACTION} saves in one transaction", _in_transaction),
                ("day", "a day of flights replayed", _day),
            ):
                if goal == "day" and run.quick and database != SQLITE:
                    continue
                if run.wants(goal):
                    yield from run.attempt(goal, what, where, partial(part, run, contenders, what, where))


class _Contenders:
    """The contenders on one database; each is started when it is first needed."""

    def __init__(self, run: Run, stack: ExitStack, database: str) -> None:
        self._stack = stack
        self._workers: dict[str, Worker] = {}
        start = partial(run.worker, database=database)
        # While the writer waits for its database, the sender works; so nobody else may work on their core.
        apart = partial(start, database_apart=True)
        background = partial(apart, "registered", apps=["diffs"], diffs=BACKGROUND, redis_apart=True)
        self._starts: dict[str, Callable[[], Worker]] = {
            "plain": lambda: start("plain"),
            "evalsha": lambda: start("plain"),
            "registered": lambda: start("registered", apps=["diffs"]),
            "plain apart": lambda: apart("plain"),
            "background": background,
            "plain on any core": lambda: apart("plain", pinned=False),
            "evalsha on any core": lambda: apart("plain", redis_apart=True, pinned=False),
            "registered on any core": lambda: apart("registered", apps=["diffs"], redis_apart=True, pinned=False),
            "background on any core": lambda: background(pinned=False),
            "plain day": lambda: start("plain", apps=["board"]),
            "registered day": lambda: start("plain", apps=["diffs", "board"]),
        }
        self.database = database

    def __getitem__(self, name: str) -> Worker:
        if name not in self._workers:
            self._workers[name] = self._stack.enter_context(self._starts[name]())
        return self._workers[name]

    def turns(self, operation: str, *names: str, **arguments: Any) -> dict[str, Callable[[], dict[str, Any]]]:
        """The same operation of several contenders; the one by hand appends after each save."""
        return {
            name: partial(self[name].ask, operation, **arguments, **({"evalsha": True} if "evalsha" in name else {}))
            for name in names
        }

    def prepare(self, *names: str, model: str = "Item", rows: int = ROWS) -> None:
        for name in names:
            self[name].ask("saving.prepare", model=model, rows=rows)


def _at_once(run: Run, contenders: _Contenders, what: str, where: str) -> Iterator[Row]:
    names = ("plain", "evalsha", "registered")
    for model, told, rounds in (
        ("Item", "update", run.rounds(40, 200)),
        ("Item", "create", run.rounds(12, 100)),
        ("Member", "update with a parent", run.rounds(12, 100)),
    ):
        contenders.prepare(*names, model=model)
        if told == "create":
            turns = contenders.turns("saving.create", *names, model=model, rows=ROWS)
        else:
            turns = contenders.turns("saving.update", *names)
        samples = run.interleave(turns, rounds)
        limit = AT_ONCE_LIMIT if told == "update" else None
        ratio = samples.ratio("registered", "evalsha")
        yield run.row("W1", f"{what} / plain save + EVALSHA: {told}", where, ratio, limit=limit, samples=samples)
        ratio = samples.ratio("registered", "plain")
        yield run.row("W1", f"{what} / plain save: {told}", where, ratio, samples=samples)

    if not run.quick:
        names = ("plain on any core", "evalsha on any core", "registered on any core")
        contenders.prepare(*names)
        samples = run.interleave(contenders.turns("saving.update", *names), run.rounds(40, 200))
        ratio = samples.ratio("registered on any core", "evalsha on any core")
        yield run.row("W1", f"{what} / plain save + EVALSHA: update, on any core", where, ratio, samples=samples)


def _in_background(run: Run, contenders: _Contenders, what: str, where: str) -> Iterator[Row]:
    limit = BACKGROUND_LIMITS[contenders.database]
    yield from _against_plain(run, contenders, "plain apart", "background", f"{what} / plain save", where, limit)
    if not run.quick:
        # The sender may then run beside the writer, but for Python's lock, which costs more between cores than on one.
        names = ("plain on any core", "background on any core")
        yield from _against_plain(run, contenders, *names, f"{what} / plain save, on any core", where, None)


def _against_plain(
    run: Run, contenders: _Contenders, plain: str, background: str, what: str, where: str, limit: float | None
) -> Iterator[Row]:
    contenders.prepare(plain, background, rows=ROWS_IN_BACKGROUND)
    turns = {
        **contenders.turns("saving.update", plain),
        **contenders.turns("saving.update_and_drain", background),
    }
    samples = run.interleave(turns, run.rounds(15, 60))
    yield run.row("W2", what, where, samples.ratio(background, plain), limit=limit, samples=samples)
    # The plain contender has nothing to drain.
    ends = zip(samples.values(background, "drained"), samples.values(plain), strict=True)
    ratio = Figure.of([drained / base for drained, base in ends])
    yield run.row("W2", f"{what}, until the diffs of {ROWS_IN_BACKGROUND:,} are in Redis", where, ratio)


def _in_transaction(run: Run, contenders: _Contenders, what: str, where: str) -> Iterator[Row]:
    names = ("plain", "registered")
    contenders.prepare(*names, rows=ROWS_OF_A_TRANSACTION)
    samples = run.interleave(contenders.turns("saving.update_in_one_transaction", *names), run.rounds(7, 50))
    ratio = samples.ratio("registered", "plain")
    yield run.row("W3", f"{what} / plain", where, ratio, limit=TRANSACTION_LIMIT, samples=samples)


def _day(run: Run, contenders: _Contenders, what: str, where: str) -> Iterator[Row]:
    names = ("plain day", "registered day")
    for name in names:
        contenders[name].ask("day.prepare", recorded=name == "registered day")
    turns = contenders.turns("day.replay", *names)
    samples = run.interleave(turns, run.rounds(1, 9), warmups=0 if run.quick else 1)
    rows = samples.figure("plain day", "rows").median
    for name in names:
        rate = samples.combine(lambda microseconds: 1e6 / microseconds, name)
        yield run.row("day", f"rows written in a second, {name.split()[0]}", where, rate, unit="/s", rows=rows)
    yield run.row("day", f"{what} / plain", where, samples.ratio(*reversed(names)), samples=samples)
