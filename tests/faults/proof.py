"""Runs in which things go wrong."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.order.proof import PATIENCE, Run, add_rounds
from tests.order.scenario import Scenario

from .injecting import HARMLESS, Fault, clock_set_back, inject

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
    happening = _Happening(server, faults, scenario.seed, happened)
    with Run(scenario, database, server.options) as run:
        if scenario.tells_time:
            happening.add("clock set back", lambda _: clock_set_back(run))
        rounds = []
        while not rounds or time.monotonic() < deadline:
            happening.go_on(deadline - time.monotonic())
            rounds.append(run.compare())
        return {**add_rounds(run.finish(), rounds), "faults": happening.counts}


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
    happening = _Happening(server, faults, scenario.seed, happened)
    with Run(scenario, database, server.options) as run:
        rounds: list[Any] = []
        while not rounds or time.monotonic() < began + seconds or run.count()["killed"] < kills:
            assert time.monotonic() < began + seconds + PATIENCE, "Too few are killed."
            happening.go_on(began + seconds - time.monotonic())
            rounds.append(run.compare())
        account = run.account()
        return {**add_rounds(run.finish(), rounds), "faults": happening.counts, "account": account}


class _Happening:
    """What happens to a server during a run."""

    def __init__(self, server: Any, faults: Mapping[str, Fault], seed: int, happened: Counter[str] | None) -> None:
        self._server = server
        self._faults = dict(faults)
        self._rng = random.Random(seed)
        self._in_all = Counter() if happened is None else happened
        self._here: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """How often what happened in this run."""
        return dict(self._here)

    def add(self, name: str, fault: Fault) -> None:
        """Let this happen, too."""
        self._faults[name] = fault

    def go_on(self, seconds: float) -> None:
        """Let something happen, and go on for so long, but not longer than between two comparisons."""
        here = inject(self._server, self._faults, self._rng, min(seconds, ROUND), self._in_all)
        self._in_all.update(here)
        self._here.update(here)
