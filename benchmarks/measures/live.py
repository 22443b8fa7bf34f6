"""C1, C2: what it takes to tell many listeners of a diff, beside an application that only passes on a constant."""

from __future__ import annotations

import importlib.util
import select
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.harness.figures import Samples
from benchmarks.harness.row import Row
from benchmarks.harness.runs import Run
from benchmarks.harness.servers import pin
from benchmarks.harness.web import WebServer
from benchmarks.harness.workers import Worker

GOALS = ("C1", "C2", "live")
TAKES = ("uvicorn", "httptools", "uvloop")
LISTENERS = 10_000
QUICK_LISTENERS = 2_000
LIMIT = 1.5
# Streams that begin before memory is looked at: what a server makes once is then made.
FIRST = 50
WARMUPS = 3

FLOOR = "floor"
BY_ITSELF = "an application whose listeners wait by themselves"
OURS = "diffs"
# No other word than of diffs, and no end.
SETTINGS = {"heartbeat": 86_400, "stream_age": 86_400}
FLOORS = {FLOOR: "in turn", BY_ITSELF: "by itself"}
TOLD = {"first": "first listener", "p50": "median", "p99": "99th percentile", "last": "last listener"}

TRICKLE_LISTENERS = 1000
TRICKLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class _Contender:
    """A server, and a process that listens to it and writes."""

    worker: Worker
    server: WebServer
    paths: list[str]

    def listen(self, count: int) -> None:
        self.worker.ask("live.listen", port=self.server.port, paths=self.paths, count=count)


def measure(run: Run) -> Iterator[Row]:
    """Listen, and be told."""
    missing = [name for name in TAKES if importlib.util.find_spec(name) is None]
    if missing or not hasattr(select, "epoll"):
        why = f"it takes {', '.join(missing)}" if missing else "it takes Linux"
        yield run.row("C1", "a diff to many listeners", note=f"not measured: {why}")
        return
    yield from run.attempt("C1", "a diff to many listeners", "", partial(_fan_out, run))


def _fan_out(run: Run) -> Iterator[Row]:
    with ExitStack() as stack:
        contenders = {OURS: _ours(run, stack), **{name: _floor(run, stack, name) for name in FLOORS}}
        number = min(
            QUICK_LISTENERS if run.quick else LISTENERS, contenders[OURS].worker.ask("live.limit")["connections"]
        )
        for contender in contenders.values():
            contender.listen(FIRST)
        event_bytes = contenders[OURS].worker.ask("live.fan_out")["event_bytes"]
        turns = {
            name: partial(each.worker.ask, "live.publish", event_bytes=event_bytes) for name, each in contenders.items()
        }
        turns[OURS] = partial(contenders[OURS].worker.ask, "live.fan_out")
        run.interleave(turns, 1)
        before = {name: each.server.memory() for name, each in contenders.items()}
        for contender in contenders.values():
            contender.listen(number - FIRST)
        idle = {name: (each.server.memory() - before[name]) / (number - FIRST) for name, each in contenders.items()}
        samples = run.interleave(turns, run.rounds(12, 40), warmups=WARMUPS)
        used = {name: (each.server.memory() - before[name]) / (number - FIRST) for name, each in contenders.items()}
        for contender in contenders.values():
            contender.worker.ask("live.expect_silence")
            contender.server.check()
        yield from _fan_out_rows(run, samples, f"{number:,} listeners, uvicorn")
        for name in FLOORS:
            yield run.row(
                "C2",
                f"memory of a listener / {_named(name)}",
                f"{number:,} listeners, uvicorn",
                used[OURS] / used[name],
                limit=LIMIT if name == FLOOR else None,
                bytes_used=used,
                bytes_before_the_first_diff=idle,
            )
        yield run.row("C2", "memory of a listener", f"{number:,} listeners, uvicorn", used[OURS], unit="B")


def _fan_out_rows(run: Run, samples: Samples, where: str) -> Iterator[Row]:
    for name in FLOORS:
        yield run.row(
            "C1",
            f"from the commit to 99 % of the listeners / {_named(name)}",
            where,
            samples.ratio(OURS, name, key="p99"),
            limit=LIMIT if name == FLOOR else None,
            milliseconds={key: samples.as_dict(key) for key in TOLD},
            busy=samples.as_dict("busy"),
        )
    for key, told in TOLD.items():
        yield run.row("C1", f"from the commit: {told}", where, samples.figure(OURS, key), unit="ms")


def _named(floor: str) -> str:
    return "the floor" if floor == FLOOR else floor


def _ours(run: Run, stack: ExitStack, feeds: int = 1) -> _Contender:
    worker = stack.enter_context(run.worker("registered", apps=["diffs"], diffs=SETTINGS, redis_apart=True))
    paths = worker.ask("live.prepare", feeds=feeds)["paths"]
    return _served(run, stack, worker, "benchmarks.project.asgi:application", paths)


def _floor(run: Run, stack: ExitStack, name: str) -> _Contender:
    worker = stack.enter_context(run.worker("plain", redis_apart=True, migrate=False))
    return _served(run, stack, worker, "benchmarks.live.floor:application", ["/"], {"DIFFS_BENCH_FLOOR": FLOORS[name]})


def _served(
    run: Run,
    stack: ExitStack,
    worker: Worker,
    application: str,
    paths: list[str],
    more: Mapping[str, Any] | None = None,
) -> _Contender:
    # The server has a core to itself; what it is told by, and what listens to it, share the other.
    pin(worker.pid, run.server_cpu)
    server = stack.enter_context(WebServer(application, {**worker.environment, **(more or {})}, run.worker_cpu))
    return _Contender(worker, server, paths)
