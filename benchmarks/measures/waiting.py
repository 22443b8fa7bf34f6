"""Rows without a goal: long polls, many feeds, a steady trickle, and what polls take on several servers."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.harness import listening
from benchmarks.harness.row import Row
from benchmarks.harness.runs import Run

from .polling import APPS, MIDDLEWARE

GOALS = ("live",)
QUICK_LISTENERS, LISTENERS = 1_000, 10_000
LISTENERS_OF_A_FEED = 10
WAIT_SECONDS = 60
TRICKLE_LISTENERS = 1_000
TRICKLES = (20, 100)
QUICK_TRICKLE_SECONDS, TRICKLE_SECONDS = 1.0, 5.0
CONNECTIONS = 16
QUICK_POLL_SECONDS, POLL_SECONDS = 0.2, 0.5
TOLD = {"p50": "median", "p99": "99th percentile"}


def measure(run: Run) -> Iterator[Row]:
    """Each part by itself; left out of a quick run of everything, which has no time for it."""
    if run.quick and not run.only:
        return
    if why := listening.reason_not_to_listen():
        yield run.row("live", "listeners that wait", note=f"not measured: {why}")
        return
    for what, part in (
        ("long polls", _long_polls),
        ("many feeds", _many_feeds),
        ("a trickle", _trickle),
        ("polls a second", _polls),
    ):
        yield from run.attempt("live", what, "", partial(part, run))


def _number(run: Run) -> int:
    return QUICK_LISTENERS if run.quick else LISTENERS


def _long_polls(run: Run) -> Iterator[Row]:
    number = _number(run)
    with ExitStack() as stack:
        contender = listening.diffs(run, stack)
        worker, server = contender.worker, contender.server
        worker.ask("polls.connect", port=server.port, path=contender.paths[0], count=number)

        def turn() -> dict[str, Any]:
            worker.ask("polls.wait", seconds=WAIT_SECONDS)
            server.wait_until_idle()
            return worker.ask("polls.answer")

        samples = run.interleave({"diffs": turn}, run.rounds(3, 10))
        server.check()
    for key, told in TOLD.items():
        what = f"from the commit to the answer of a long poll: {told}"
        yield run.row("live", what, f"{number:,} waiting, one feed", samples.figure("diffs", key), unit="ms")


def _many_feeds(run: Run) -> Iterator[Row]:
    number = _number(run)
    feeds = number // LISTENERS_OF_A_FEED
    where = f"{number:,} listeners, {feeds:,} feeds"
    with ExitStack() as stack:
        contender = listening.diffs(run, stack, feeds=feeds)
        # What a server makes once is then made.
        contender.listen(1)
        empty = contender.server.memory()
        contender.listen(number - 1)
        samples = run.interleave({"diffs": contender.turn}, run.rounds(5, 20))
        taken = contender.server.memory() - empty
        contender.worker.ask("live.expect_silence")
        contender.server.check()
    for key, told in TOLD.items():
        what = f"from one commit of a diff for each feed: {told}"
        yield run.row("live", what, where, samples.figure("diffs", key), unit="ms")
    yield run.row("live", "memory of a listener and its share of a feed", where, taken / number, unit="B")


def _trickle(run: Run) -> Iterator[Row]:
    with ExitStack() as stack:
        contender = listening.diffs(run, stack)
        contender.listen(TRICKLE_LISTENERS)
        seconds = QUICK_TRICKLE_SECONDS if run.quick else TRICKLE_SECONDS
        for rate in TRICKLES:
            turn = partial(contender.turn, writes=int(rate * seconds), rate=rate)
            samples = run.interleave({"diffs": turn}, run.rounds(2, 5))
            where = f"{TRICKLE_LISTENERS:,} listeners, {rate} diffs a second"
            for key, told in TOLD.items():
                what = f"from the commit of a trickle's diff: {told}"
                figure = samples.figure("diffs", key)
                yield run.row("live", what, where, figure, unit="ms", samples=samples, key="seconds")
        contender.worker.ask("live.expect_silence")
        contender.server.check()


def _polls(run: Run) -> Iterator[Row]:
    servers = {
        "the ASGI application, uvicorn": (listening.APPLICATION, "uvicorn"),
        "the view, uvicorn": (listening.DJANGO_ONLY, "uvicorn"),
        "the view under WSGI, granian": (listening.WSGI, "granian"),
    }
    if importlib.util.find_spec("granian") is None:
        del servers["the view under WSGI, granian"]
    with ExitStack() as stack:
        turns = {}
        for name, (application, kind) in servers.items():
            settings = {"MIDDLEWARE": MIDDLEWARE}
            contender = listening.diffs(run, stack, application=application, kind=kind, apps=APPS, settings=settings)
            worker, port = contender.worker, contender.server.port
            worker.ask("polls.connect", port=port, path=contender.paths[0], count=CONNECTIONS)
            turns[name] = partial(worker.ask, "polls.repeat", seconds=QUICK_POLL_SECONDS if run.quick else POLL_SECONDS)
        samples = run.interleave(turns, run.rounds(4, 20))
    for name in servers:
        rate = samples.combine(lambda microseconds: 1e6 / microseconds, name)
        yield run.row("live", "polls a second, empty", name, rate, unit="/s")
