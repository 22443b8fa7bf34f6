"""M1, M2: what a diff takes in Redis; an update changes two of eight fields."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import redis

from benchmarks.harness import memory
from benchmarks.harness.row import Row
from benchmarks.harness.runs import Run
from benchmarks.harness.workers import Worker
from tests.servers import RedisServer, ServerMissing, best_kind

GOALS = ("M1", "M2")
COMPACT, DEFAULT = 256, 64
ENTRIES = 128
SAMPLED_KEYS = 200


class Case(NamedTuple):
    """What is stored, and how."""

    goal: str
    feeds: int
    """Three quarters of a power of two: the server's tables have neither just grown nor are about to."""
    updates: int
    created: bool = False
    listpack_value: int = DEFAULT
    limit: float | None = None
    original: bool = False
    entries: int = ENTRIES

    @property
    def what(self) -> str:
        """How the table names it."""
        updates = {0: "", 1: "one update"}.get(self.updates, f"{self.updates} updates")
        parts = " and ".join(filter(None, (updates, "a create" * self.created)))
        form = ", as the original stores it" if self.original else f"; compact up to {self.listpack_value} bytes"
        form += f" and {self.entries} diffs" if self.entries != ENTRIES else ""
        return f"memory of a diff: a feed of {parts}{form}"


CASES = (
    Case("M1", 3072, 10, limit=100),
    Case("M1", 384, 100, limit=100),
    Case("M1", 3072, 9, created=True, listpack_value=COMPACT, limit=100),
    Case("M1", 384, 99, created=True, listpack_value=COMPACT, limit=100),
    Case("M2", 12288, 1, limit=230),
    Case("M2", 12288, 0, created=True, listpack_value=COMPACT, limit=350),
    Case("M1", 3072, 9, created=True),
    Case("M2", 12288, 0, created=True),
    Case("M1", 192, 200),
    Case("M1", 192, 200, entries=512),
    Case("M1", 3072, 10, original=True),
    Case("M2", 12288, 1, original=True),
    Case("M2", 12288, 0, created=True, original=True),
)


def measure(run: Run) -> Iterator[Row]:
    """Store the same changes in different forms; on each server that this machine has, where there is time."""
    for kind in dict.fromkeys((best_kind(), *(() if run.quick else ("redis62", "redis")))):
        yield from run.attempt("M1", "memory of a diff", kind, partial(_on_server, run, kind))


def _on_server(run: Run, kind: str) -> Iterator[Row]:
    # What was slow is kept with its arguments, which take room.
    try:
        server = RedisServer(kind, {"slowlog-log-slower-than": "-1"})
    except ServerMissing as error:
        yield run.row("M1", "memory of a diff", kind, note=f"not measured: {error}")
        return
    settings = {"DIFFS_SETTINGS": {"redis": server.options, "max_bulk_diffs": 1_000_000}}
    with server, run.worker("registered", apps=["diffs"], settings=settings) as worker:
        where = _name(server.client)
        # Scripts and what else a server keeps once and for all.
        for created, original in itertools.product((True, False), repeat=2):
            _fill(worker, server, Case("", 64, 1, created=created, original=original))
        for case in CASES:
            if run.wants(case.goal) and not (case.original and kind != best_kind()):
                yield _row(run, worker, server, case, where)


def _row(run: Run, worker: Worker, server: RedisServer, case: Case, where: str) -> Row:
    client = server.client
    client.flushall()
    empty = memory.used(client)
    _fill(worker, server, case)
    taken = memory.used(client) - empty
    diffs = case.feeds * (case.updates + case.created)
    keys = [key for key in itertools.islice(client.scan_iter(count=1000), SAMPLED_KEYS) if client.type(key) == b"zset"]
    members = [len(member) for key in keys for member in client.zrange(key, 0, -1)]
    return run.row(
        case.goal,
        case.what,
        where,
        taken / diffs,
        unit="B",
        limit=case.limit,
        feeds=case.feeds,
        diffs=diffs,
        member_bytes=sum(members) / len(members),
        memory_usage=sum(client.memory_usage(key) or 0 for key in keys) / len(members),
        encoding=client.object("encoding", keys[0]).decode(),
        allocator=client.info("memory")["mem_allocator"],
    )


def _fill(worker: Worker, server: RedisServer, case: Case) -> None:
    server.cli("CONFIG", "SET", "zset-max-ziplist-value", case.listpack_value)
    server.cli("CONFIG", "SET", "zset-max-ziplist-entries", case.entries)
    if case.original:
        worker.ask(
            "memory.store_as_the_original",
            redis=server.options,
            rows=case.feeds,
            times=case.updates,
            created=case.created,
        )
        return
    worker.ask("memory.prepare", rows=case.feeds, created=case.created)
    worker.ask("memory.update", times=case.updates)
    worker.ask("memory.leave")


def _name(client: redis.Redis) -> str:
    info: dict[str, Any] = client.info("server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"
