"""The field: what other packages cost that look at changes, beside ours, in one interleaved run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.harness import environments
from benchmarks.harness.environments import Environment, EnvironmentMissing
from benchmarks.harness.figures import Samples
from benchmarks.harness.row import Row
from benchmarks.harness.runs import DATABASES, POSTGRESQL, Run
from benchmarks.harness.workers import Worker

GOALS = ("peers",)
DJANGO = "5.2"
STARTED_AT_ONCE = 2
ROWS = 100
# A contender that sends in the background does most of its work after the end of a short turn.
ROWS_IN_BACKGROUND = 1000
LOADED = 5000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Peer:
    """A contender of the field."""

    name: str
    """How rows name it."""
    contender: str
    """The module of its models."""
    package: str = ""
    """What pip installs; empty: nothing besides Django."""
    apps: Sequence[str] = ()
    diffs: Mapping[str, Any] = field(default_factory=dict)
    background: bool = False
    """It works on while Redis does, and takes longer turns for that to be seen."""
    databases: Sequence[str] = DATABASES
    evalsha: bool = False
    """It appends by hand after each save."""
    original: bool = False
    """It needs the environment of the original, and is compared with plain models there."""
    keeps: bool = True
    """It keeps what changed, which is verified."""

    @property
    def rows(self) -> int:
        """How many it writes in a turn."""
        return ROWS_IN_BACKGROUND if self.background else ROWS

    @property
    def base(self) -> Peer:
        """The plain contender that it is compared with."""
        return PLAIN_OF_ORIGINAL if self.original else PLAIN_OF_BACKGROUND if self.background else PLAIN


PLAIN = Peer(name="plain", contender="plain", keeps=False)
PLAIN_OF_BACKGROUND = Peer(
    name=f"plain, turns of {ROWS_IN_BACKGROUND:,}", contender="plain", background=True, keeps=False
)
PLAIN_OF_ORIGINAL = Peer(name="plain, Django 2.2", contender="plain", original=True, keeps=False)
PEERS = (
    Peer(name="django-dirtyfields alone", contender="dirtyfields", package="django-dirtyfields", keeps=False),
    Peer(name="model-utils FieldTracker", contender="field_tracker", package="django-model-utils", keeps=False),
    Peer(name="django-auditlog", contender="auditlog", package="django-auditlog", apps=["auditlog"]),
    Peer(
        name="django-simple-history",
        contender="simple_history",
        package="django-simple-history",
        apps=["simple_history"],
    ),
    Peer(name="django-reversion", contender="reversion", package="django-reversion", apps=["reversion"]),
    Peer(
        name="django-easy-audit",
        contender="easy_audit",
        package="django-easy-audit",
        apps=["django.contrib.sessions", "easyaudit"],
    ),
    Peer(
        name="django-pghistory (triggers)",
        contender="pghistory",
        package="django-pghistory",
        apps=["pgtrigger", "pghistory"],
        databases=(POSTGRESQL,),
    ),
    Peer(name="the original django-diffs 0.1.16", contender="original", apps=["diffs"], original=True),
    Peer(name="plain save + EVALSHA", contender="plain", evalsha=True, keeps=False),
    Peer(name="django-diffs", contender="registered", apps=["diffs"]),
    Peer(
        name="django-diffs, flush in the background",
        contender="registered",
        apps=["diffs"],
        diffs={"flush": "background"},
        background=True,
    ),
)
PACKAGES = tuple(peer.package for peer in PEERS if peer.package)


def measure(run: Run) -> Iterator[Row]:
    """Compare creating, updating and loading with plain models, on each database."""
    rows = [
        row
        for database in DATABASES
        for row in run.attempt("peers", "the field", database, partial(_field, run, database))
    ]
    places = {peer.name: place for place, peer in enumerate(PEERS)}
    yield from sorted(rows, key=lambda row: places.get(row.details.get("peer", ""), -1))


def _field(run: Run, database: str) -> Iterator[Row]:
    with ExitStack() as stack, ThreadPoolExecutor(STARTED_AT_ONCE) as threads:
        contenders = (PLAIN, PLAIN_OF_BACKGROUND, PLAIN_OF_ORIGINAL, *PEERS)
        # Environments first: two threads must not make the same one.
        why = {peer: _reason_not_to_start(database, peer) for peer in contenders}
        starting = {peer: threads.submit(_start, run, database, peer) for peer in contenders if not why[peer]}
        workers = {peer: stack.enter_context(future.result()) for peer, future in starting.items()}
        measured = _measured(run, workers)
    for peer in PEERS:
        if why[peer]:
            yield run.row("peers", peer.name, database, note=f"not measured: {why[peer]}", peer=peer.name)
    for peer in workers:
        base = peer.base
        where = f"Django {'2.2' if peer.original else DJANGO}, {database}"
        for operation, samples in measured.items():
            if peer is base:
                figure = samples.figure(peer.name)
                yield run.row("peers", f"{peer.name}: {operation}", where, figure, unit="µs", operation=operation)
            else:
                ratio = samples.ratio(peer.name, base.name)
                figures = {each.name: samples.figure(each.name).as_dict() for each in (base, peer)}
                yield run.row(
                    "peers",
                    f"{peer.name}: {operation} / plain",
                    where,
                    ratio,
                    peer=peer.name,
                    operation=operation,
                    database=database,
                    microseconds=figures,
                )


def _reason_not_to_start(database: str, peer: Peer) -> str:
    """Why the contender can't be measured; empty: it can."""
    if database not in peer.databases:
        return f"it needs {' or '.join(peer.databases)}"
    try:
        environment = _environment(peer)
    except EnvironmentMissing as error:
        return str(error)
    if peer.package and peer.package not in environments.versions(environment, PACKAGES):
        return f"{peer.package} could not be installed"
    return ""


def _start(run: Run, database: str, peer: Peer) -> Worker:
    return run.worker(
        peer.contender,
        database=database,
        apps=peer.apps,
        diffs=peer.diffs,
        redis_apart=peer.background,
        environment=_environment(peer),
        packages=PACKAGES,
    )


def _measured(run: Run, workers: Mapping[Peer, Worker]) -> dict[str, Samples]:
    """What each operation took each contender."""
    rounds = run.rounds(4, 40)
    for worker in workers.values():
        worker.ask("loading.prepare", model="Item", rows=LOADED)
    turns = {f"load {LOADED}": _turns(workers, "loading.load", model="Item", rows=LOADED)}
    measured = {name: run.interleave(each, rounds) for name, each in turns.items()}
    before = {peer: worker.ask("saving.recorded")["count"] for peer, worker in workers.items() if peer.keeps}
    for peer, worker in workers.items():
        worker.ask("saving.prepare", model="Item", rows=peer.rows, fill=False)
    turns = {
        "create": {
            peer.name: partial(worker.ask, "saving.create", model="Item", rows=peer.rows, evalsha=peer.evalsha)
            for peer, worker in workers.items()
        },
        "update": {
            peer.name: partial(worker.ask, "saving.update", evalsha=peer.evalsha) for peer, worker in workers.items()
        },
    }
    measured = {**{name: run.interleave(each, rounds) for name, each in turns.items()}, **measured}
    # One that has quietly recorded nothing would look fast. There was one more round, to warm up.
    for peer, count in before.items():
        workers[peer].ask("saving.wait_for", count=count + len(turns) * (rounds + 1) * peer.rows)
    return measured


def _turns(workers: Mapping[Peer, Worker], operation: str, **arguments: Any) -> dict[str, Callable[[], dict[str, Any]]]:
    return {peer.name: partial(worker.ask, operation, **arguments) for peer, worker in workers.items()}


def _environment(peer: Peer) -> Environment:
    return environments.of_original() if peer.original else environments.with_packages(DJANGO, PACKAGES)
