"""Runs in which things go wrong."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.order.proof import PATIENCE, Run, add_rounds
from tests.order.scenario import Scenario

from .injecting import AT_ONCE, CALM, HARMLESS, LONGEST, Fault, clock_set_back

ROUND = 5.0
"""How long things go wrong between comparisons at most, in seconds."""


def prove_refusals(
    scenario: Scenario,
    database: dict[str, Any],
    server: Any,
    faults: Mapping[str, Fault],
    seconds: float,
    happened: Counter[str] | None = None,
) -> dict[str, Any]:
    """A run during which a server fails; whenever it is well, the clients are compared with the database.

    Args:
        scenario: what it is to be like; where the processes tell the time, that is set back, too.
        database: an empty one, as ``DATABASES`` takes it.
        server: the one that fails, or a cluster, or one with sentinels.
        faults: what happens to it.
        seconds: how long, more or less.
        happened: how often what happened in runs before, so that each fault gets its turn; is added to.

    Returns:
        What was done, what happened to the server as ``faults``, and for each client the rows that it had wrong.
    """
    deadline = time.monotonic() + seconds
    with Run(scenario, database, server.options) as run:
        if scenario.tells_time:
            faults = {**faults, "clock set back": lambda _: clock_set_back(run)}
        happening = _Happening(run, server, faults, scenario.seed, happened)
        while not happening.rounds or time.monotonic() < deadline:
            happening.go_on(deadline - time.monotonic())
        return happening.add_to(run.finish())


def prove_delivery(
    scenario: Scenario,
    database: dict[str, Any],
    server: Any,
    seconds: float,
    kills: int = 1,
    faults: Mapping[str, Fault] = HARMLESS,
    happened: Counter[str] | None = None,
) -> dict[str, Any]:
    """A run with the outbox during which writers are killed and a server fails without losing data.

    Args:
        scenario: what it is to be like.
        database: an empty one, as ``DATABASES`` takes it.
        server: the one that fails, or a cluster.
        seconds: how long, at least.
        kills: how many writers have to be killed; on a busy machine that takes longer.
        faults: what happens to the server; its data outlives them.
        happened: as in `prove_refusals`.

    Returns:
        What `prove_refusals` does, and as ``account`` what became of each committed change.
    """
    began = time.monotonic()
    with Run(scenario, database, server.options) as run:
        happening = _Happening(run, server, faults, scenario.seed, happened)
        while not happening.rounds or time.monotonic() < began + seconds or run.count()["killed"] < kills:
            assert time.monotonic() < began + seconds + PATIENCE, "Too few are killed."
            happening.go_on(began + seconds - time.monotonic())
        account = run.account()
        return {**happening.add_to(run.finish()), "account": account}


class _Happening:
    """What happens to a server during a run."""

    def __init__(
        self, run: Run, server: Any, faults: Mapping[str, Fault], seed: int, happened: Counter[str] | None
    ) -> None:
        self._run = run
        self._server = server
        self._faults = faults
        self._rng = random.Random(seed)
        self._in_all: Counter[str] = Counter() if happened is None else happened
        self._here: Counter[str] = Counter()
        self.rounds: list[list[dict[str, list[str]]]] = []
        """What each comparison found."""

    def go_on(self, seconds: float) -> None:
        """Let one fault happen, and more for so long, but not longer than `ROUND`; then compare."""
        deadline = time.monotonic() + min(seconds, ROUND)
        self._fail()
        while time.monotonic() < deadline:
            self._fail()
        self.rounds.append(self._run.compare())

    def add_to(self, found: dict[str, Any]) -> dict[str, Any]:
        """Add to what `Run.finish` gives what happened, and what comparisons found."""
        return {**add_rounds(found, self.rounds), "faults": dict(self._here)}

    def _fail(self) -> None:
        time.sleep(self._rng.random() * CALM)
        name = self._choose()
        is_quiet = name in AT_ONCE and self._rng.random() < 0.5
        with self._faults[name](self._server):
            time.sleep(self._rng.random() * LONGEST)
            if is_quiet:
                self._run.pause()
        if is_quiet:
            self.rounds.append(self._run.compare())
            self._run.resume()

    def _choose(self) -> str:
        """One of those that happened least, so that each gets its turn."""
        least = min(self._in_all[name] for name in self._faults)
        name = self._rng.choice(sorted(name for name in self._faults if self._in_all[name] == least))
        self._in_all[name] += 1
        self._here[name] += 1
        return name
