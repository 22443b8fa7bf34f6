"""One run: how much is measured, by whom, on which servers."""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from traceback import format_exception
from types import TracebackType
from typing import Any

from . import environments
from .environments import Environment
from .figures import Figure, Samples
from .row import Row
from .servers import REDIS_DATABASES, Servers, pin
from .workers import Worker, WorkerError

SQLITE = "SQLite"
POSTGRESQL = "PostgreSQL"
DATABASES = (SQLITE, POSTGRESQL)

# As Django's documents advise for production.
SQLITE_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"


class Run:
    """What measures are given; a context manager, at whose end the servers stop."""

    def __init__(
        self,
        *,
        quick: bool = True,
        only: Iterable[str] = (),
        rounds: int | None = None,
        seed: int = 1,
        pinned: bool = True,
    ) -> None:
        """Start nothing yet.

        Args:
            quick: less of everything, so that all of it takes less than three minutes.
            only: the goals that are wanted; all unless given.
            rounds: how often each contender measures; the measure's own number unless given.
            seed: of the order of contenders within the rounds.
            pinned: keep contenders and servers on one core, which makes trips to a server last equally long, as no
                other core has to be woken; servers that are to work beside a contender are kept on another.
        """
        self.quick = quick
        self.only = frozenset(only)
        self.seed = seed
        self.used: dict[Environment, set[str]] = {}
        """The environments that contenders ran in, with the packages of interest."""
        cpus = sorted(os.sched_getaffinity(0)) if pinned and hasattr(os, "sched_getaffinity") else []
        self.worker_cpu: int | None = None
        """The core of contenders, and of the servers that they wait for; ``None``: any."""
        self.server_cpu: int | None = None
        """The core of servers that are apart, and of what else works at the same time."""
        if len(cpus) > 1:
            self.worker_cpu, self.server_cpu = cpus[:2]
        self.servers = Servers(self.worker_cpu, self.server_cpu)
        # Contenders may be started by several threads.
        self._lock = threading.Lock()
        self._rounds = rounds
        self._random = random.Random(seed)
        self._folder = tempfile.TemporaryDirectory(prefix="diffs-bench-")
        self._names = itertools.count(1)
        # The first is left to whoever looks at the server by hand.
        self._redis_databases = itertools.cycle(range(1, REDIS_DATABASES))

    def wants(self, goal: str) -> bool:
        """Whether a goal is to be measured."""
        return not self.only or goal in self.only

    def rounds(self, quick: int, full: int) -> int:
        """How many rounds to measure, where the command line doesn't say."""
        return self._rounds or (quick if self.quick else full)

    def environments(self, *series: str) -> Iterator[tuple[str, Environment | None, str]]:
        """Environments with Djangos of several series.

        Yields:
            The label, the environment, and why there is none.
        """
        for name in series:
            try:
                environment = environments.of_django(name)
            except environments.EnvironmentMissing as error:
                yield f"Django {name}", None, f"not measured: {error}"
            else:
                yield environment.label, environment, ""

    def worker(
        self,
        contender: str,
        *,
        database: str = SQLITE,
        diffs: Mapping[str, Any] | None = None,
        listpack_value: int = 256,
        redis_apart: bool = False,
        database_apart: bool = False,
        apps: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
        without: Sequence[str] = (),
        environment: Environment | None = None,
        packages: Sequence[str] = (),
        pinned: bool = True,
        migrate: bool = True,
    ) -> Worker:
        """Start a contender in a process, a database and a numbered database of Redis of its own.

        Args:
            contender: a module of ``benchmarks.project.contenders``.
            database: ``"SQLite"`` or ``"PostgreSQL"``.
            diffs: ``DIFFS_SETTINGS`` besides ``redis``.
            listpack_value: which of the run's Redis servers: see `Servers.redis`.
            redis_apart: the one on another core, for a contender that works on while the server does.
            database_apart: the process of PostgreSQL that serves it is kept on another core, too.
            apps: installed apps that the contender takes besides.
            settings: Django settings that it takes besides.
            without: modules that can't be imported in it, although they are installed.
            environment: the interpreter; the one that runs this unless given.
            pinned: on one core, as the run's contenders are; ``False``: on any.
            packages: whose versions the result is to tell besides.
            migrate: make the tables.

        Returns:
            The worker, to be used as a context manager.
        """
        environment = environment or environments.current()
        with self._lock:
            self.used.setdefault(environment, set()).update(environments.PACKAGES, packages)
            server = self.servers.redis(listpack_value, apart=redis_apart)
            redis_options = {**server.options, "db": next(self._redis_databases)}
            database_settings = self._database(database)
        variables = {
            "contender": contender,
            "database": database_settings,
            "redis": redis_options,
            "diffs": dict(diffs or {}),
            "apps": list(apps),
            "settings": dict(settings or {}),
            "without": list(without),
            "folder": self._folder.name,
        }
        worker = Worker(
            contender,
            (environment.python, "-m", "benchmarks.harness.serving"),
            environment.folder,
            {"DIFFS_BENCH": json.dumps(variables), "PYTHONHASHSEED": str(self.seed)},
        )
        try:
            if migrate:
                worker.ask("tables.make")
            # Only now, so that several can be started at once.
            pin(worker.pid, self.worker_cpu if pinned else None)
            if database_apart and (served_by := worker.ask("tables.served_by")["pid"]):
                pin(served_by, self.server_cpu)
        except BaseException:
            worker.__exit__(None, None, None)
            raise
        return worker

    def interleave(
        self, contenders: Mapping[str, Callable[[], Mapping[str, Any]]], rounds: int, *, warmups: int = 1
    ) -> Samples:
        """Let contenders measure in turns; in each round every one once, in an order that chance gives.

        Args:
            contenders: by name what measures once and returns figures, usually an operation of a worker.
            rounds: how often; `Run.rounds` knows what the command line wants.
            warmups: rounds before those that count.
        """
        replies: dict[str, list[Mapping[str, Any]]] = {name: [] for name in contenders}
        for number in range(-warmups, rounds):
            for name in self._random.sample(sorted(contenders), len(contenders)):
                reply = contenders[name]()
                if number >= 0:
                    replies[name].append(reply)
        return Samples(replies)

    def row(
        self,
        goal: str,
        what: str,
        where: str = "",
        value: Figure | float | None = None,
        *,
        unit: str = "x",
        limit: float | None = None,
        at_least: bool = False,
        note: str = "",
        samples: Samples | None = None,
        key: str = "microseconds",
        **details: Any,
    ) -> Row:
        """A line of the table.

        Args:
            goal: its name.
            what: what was done.
            where: with which Django and database.
            value: what was measured; a figure brings its quartiles.
            unit: of the value; ``"x"`` for ratios.
            limit: the goal; ``None``: there is none.
            at_least: the limit is a lower bound.
            note: what has to be known beside the value.
            samples: whose contenders' figures the details show.
            key: which figure of the samples.
            details: whatever else explains the value; JSON.
        """
        if samples is not None:
            details[key] = samples.as_dict(key)
        figure = value if isinstance(value, Figure) else None
        if figure:
            details["rounds"] = figure.rounds
        return Row(
            goal=goal,
            what=what,
            where=where,
            value=value.median if isinstance(value, Figure) else value,
            low=figure.low if figure else None,
            high=figure.high if figure else None,
            unit=unit,
            limit=limit,
            at_least=at_least,
            note=note,
            details=details,
        )

    def attempt(self, goal: str, what: str, where: str, measure: Callable[[], Iterable[Row]]) -> Iterator[Row]:
        """Yield what one part of a measure yields; where it raises, a row with the error, so that the others go on."""
        try:
            yield from measure()
        except Exception as error:
            said = str(error) if isinstance(error, WorkerError) else "".join(format_exception(error))
            print(said, file=sys.stderr)
            message = (said.strip().splitlines() or [type(error).__name__])[-1]
            yield Row(goal=goal, what=what, where=where, error=message)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.servers.stop()
        self._folder.cleanup()

    def _database(self, kind: str) -> dict[str, Any]:
        if kind == POSTGRESQL:
            return self.servers.postgres_database()
        path = Path(self._folder.name, f"{next(self._names)}.sqlite3")
        options = {"timeout": 30, "init_command": SQLITE_PRAGMAS}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": options}
