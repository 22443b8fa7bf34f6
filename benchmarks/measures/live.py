"""C1, C2: what it takes to tell many listeners of a diff, beside an application that only passes on a constant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from benchmarks.harness import listening
from benchmarks.harness.figures import Samples
from benchmarks.harness.listening import Contender
from benchmarks.harness.row import Row
from benchmarks.harness.runs import Run

GOALS = ("C1", "C2")
LIMIT = 1.5
QUICK_LISTENERS, LISTENERS = 2_000, 10_000
# Streams that begin before memory is looked at: what a server makes once is then made.
FIRST = 50
WARMUPS = 3

OURS = "diffs"
FLOOR, USUAL = "in turn", "by itself"
NAMES = {FLOOR: "the floor", USUAL: "an application whose listeners wait by themselves"}
TOLD = {
    "first": "the first listener",
    "p50": "half of the listeners",
    "p99": "99 % of the listeners",
    "last": "the last listener",
}


def measure(run: Run) -> Iterator[Row]:
    """Listen, and be told."""
    if why := listening.reason_not_to_listen():
        yield run.row("C1", "a diff to many listeners", note=f"not measured: {why}")
        return
    yield from run.attempt("C1", "a diff to many listeners", "", partial(_fan_out, run))


def _fan_out(run: Run) -> Iterator[Row]:
    with ExitStack() as stack:
        ours = listening.diffs(run, stack)
        ours.listen(FIRST)
        event_bytes = ours.turn()["event_bytes"]
        contenders = {OURS: ours}
        for name in NAMES:
            contenders[name] = listening.floor(run, stack, name, event_bytes)
            contenders[name].listen(FIRST)
            if contenders[name].turn()["event_bytes"] != event_bytes:
                raise ValueError("The floor's events aren't as long as ours.")
        empty = _memory(contenders)
        number = min(QUICK_LISTENERS if run.quick else LISTENERS, ours.worker.ask("live.limit")["connections"])
        began = {name: (number - FIRST) / contender.listen(number - FIRST) for name, contender in contenders.items()}
        idle = _memory(contenders)
        turns = {name: contender.turn for name, contender in contenders.items()}
        samples = run.interleave(turns, run.rounds(15, 40), warmups=WARMUPS)
        used = _memory(contenders)
        for contender in contenders.values():
            contender.worker.ask("live.expect_silence")
            contender.server.check()
    where = f"{number:,} listeners, uvicorn"
    yield from _times(run, samples, where)
    taken = {name: (used[name] - empty[name]) / (number - FIRST) for name in contenders}
    for name, told in NAMES.items():
        yield run.row(
            "C2",
            f"memory of a listener / {told}",
            where,
            taken[OURS] / taken[name],
            limit=LIMIT if name == FLOOR else None,
            bytes=taken,
            bytes_before_the_first_diff={name: (idle[name] - empty[name]) / (number - FIRST) for name in contenders},
        )
    yield run.row("C2", "memory of a listener", where, taken[OURS], unit="B")
    yield run.row("C2", "streams that begin in a second", where, began[OURS], unit="/s", began=began)


def _memory(contenders: dict[str, Contender]) -> dict[str, int]:
    return {name: contender.server.memory() for name, contender in contenders.items()}


def _times(run: Run, samples: Samples, where: str) -> Iterator[Row]:
    for name, told in NAMES.items():
        yield run.row(
            "C1",
            f"from the commit to {TOLD['p99']} / {told}",
            where,
            samples.ratio(OURS, name, key="p99"),
            limit=LIMIT if name == FLOOR else None,
            milliseconds={key: samples.as_dict(key) for key in TOLD},
            share_that_the_listening_process_works=samples.as_dict("busy"),
        )
    for name, told in NAMES.items():
        ratio = samples.ratio(OURS, name, key="seconds")
        yield run.row("C1", f"work of the server / {told}", where, ratio, samples=samples, key="seconds")
    for key, told in TOLD.items():
        yield run.row("C1", f"from the commit to {told}", where, samples.figure(OURS, key), unit="ms")
