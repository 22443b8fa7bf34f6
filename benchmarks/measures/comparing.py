"""What it costs each poll that the server's replication id and the number of its evicted keys are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.harness import environments
from benchmarks.harness.figures import Samples
from benchmarks.harness.row import Row
from benchmarks.harness.runs import SQLITE, Run
from benchmarks.harness.servers import pin
from benchmarks.harness.workers import Worker
from tests.servers import RedisServer, ServerMissing

from .polling import APPS, MIDDLEWARE

GOALS = ("compared",)
FEEDS = 100
CALLS = 200
REQUESTS = 40
# What each contender leaves out, and what it compares more than the one before.
CONTENDERS: tuple[tuple[list[str], str], ...] = (
    (["replication id", "evicted keys"], ""),
    (["evicted keys"], "the replication id"),
    ([], "the number of evicted keys"),
)
KINDS = {"valkey": "Valkey", "redis": "Redis", "redis62": "Redis 6.2"}

Turn = Callable[[], Mapping[str, Any]]


def measure(run: Run) -> Iterator[Row]:
    """Polls that find nothing: of each kind of server past Django, and of the first under Django, too."""
    kinds = list(KINDS)[:1] if run.quick and not run.only else list(KINDS)
    for kind in kinds:
        yield from run.attempt("compared", "reads", KINDS[kind], partial(_reads, run, kind))
    yield from run.attempt("compared", "polls", environments.current().label, partial(_polls, run))


def _reads(run: Run, kind: str) -> Iterator[Row]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(RedisServer(kind))
        except ServerMissing as error:
            yield run.row("compared", "a read that finds nothing", KINDS[kind], note=f"not measured: {error}")
            return
        pin(server.pid, run.worker_cpu)
        options: dict[str, Any] = {"DIFFS_SETTINGS": {"redis": server.options}}
        workers = _workers(run, stack, migrate=False, settings=options)
        # The same feeds for all: those of the last.
        for worker in workers:
            worker.ask("scale.fill", feeds=FEEDS, diffs=1)
        samples = run.interleave(
            _turns(workers, lambda worker: partial(worker.ask, "scale.poll", count=CALLS, limit=1, unread=0)),
            run.rounds(15, 60),
        )
    for key, where in (("microseconds", "through the store"), ("server", "in the server")):
        yield from _rows(run, samples, "a read that finds nothing", f"{KINDS[kind]}, {where}", key)


def _polls(run: Run) -> Iterator[Row]:
    with ExitStack() as stack:
        workers = _workers(run, stack, apps=APPS, settings={"MIDDLEWARE": MIDDLEWARE})

        def turn(worker: Worker) -> Turn:
            feed = worker.ask("polling.prepare_feed")
            request = {"path": feed["path"], "parameters": {"since": feed["end"]}, "etag": feed["etag"]}
            return partial(worker.ask, "polling.repeat", count=REQUESTS, **request)

        samples = run.interleave(_turns(workers, turn), run.rounds(15, 60))
    where = f"{environments.current().label}, {SQLITE}"
    yield from _rows(run, samples, "a poll that finds nothing", where, "microseconds")


def _workers(run: Run, stack: ExitStack, *, apps: list[str] | None = None, **options: Any) -> list[Worker]:
    workers = []
    for parts, _ in CONTENDERS:
        worker = stack.enter_context(run.worker("registered", apps=[*(apps or []), "diffs"], **options))
        worker.ask("comparing.leave_out", parts=parts)
        workers.append(worker)
    return workers


def _turns(workers: list[Worker], turn: Callable[[Worker], Turn]) -> dict[str, Turn]:
    return {more: turn(worker) for worker, (_, more) in zip(workers, CONTENDERS, strict=True)}


def _rows(run: Run, samples: Samples, what: str, where: str, key: str) -> Iterator[Row]:
    row = partial(run.row, "compared", where=where, unit="µs")
    yield row(f"{what}, with nothing compared", value=samples.figure("", key), samples=samples, key=key)
    before = ""
    for _, more in CONTENDERS[1:]:
        added = samples.combine(lambda after, less: after - less, more, before, key=key)
        yield row(f"{what}, added: {more}", value=added)
        before = more
