"""A process that writes rows until it is told to stop."""

from __future__ import annotations

import random
import time
from collections import Counter
from ctypes import c_int
from multiprocessing.connection import Connection
from pathlib import Path

from django.db import DatabaseError, ProgrammingError, transaction

import diffs
from diffs.capture.late import counts
from diffs.errors import StoreUnavailable
from diffs.store import drain, get_store

from .app.models import Row
from .delays import delay_handovers
from .journal import write_down
from .lateness import note_late_diffs
from .operations import Turn, operations_of
from .scenario import Scenario

HOT = 4
"""Half of all changes are of so many rows, so that writers meet."""
PATIENCE = 60.0
"""How long a writer waits for Redis, in seconds."""


class Rollback(Exception):
    """Raised to take back what a transaction did."""


class Writer:
    """Makes random changes.

    Args:
        scenario: what it takes part in.
        number: another one for each writer of a run.
    """

    def __init__(self, scenario: Scenario, number: int) -> None:
        self.counts: Counter[str] = Counter()
        self.rng = random.Random(f"{scenario.seed}/{number}")
        self._number = number
        self._scenario = scenario
        self._operations = operations_of(scenario)
        self._stale: dict[int, Row] = {}

    def step(self) -> None:
        """Make a change, or several in one transaction; what the database refuses is taken back."""
        self.counts["operations"] += 1
        try:
            self._transaction() if self.rng.random() < 0.3 else self._change()
        except ProgrammingError:
            raise
        except (DatabaseError, Row.DoesNotExist, Rollback):
            self.counts["rollbacks"] += 1
        else:
            self.counts["commits"] += 1

    def _transaction(self) -> None:
        with transaction.atomic():
            for _ in range(self.rng.randint(1, 3)):
                self._change()
                if self.rng.random() < 0.3:
                    self._savepoint()
            time.sleep(self.rng.random() * 0.002)
            if self.rng.random() < 0.2:
                raise Rollback

    def _savepoint(self) -> None:
        try:
            with transaction.atomic():
                self._change()
                if self.rng.random() < 0.7:
                    raise Rollback
        except (Rollback, Row.DoesNotExist):
            self.counts["savepoints rolled back"] += 1

    def _change(self) -> None:
        self.counts["changes"] += 1
        text = f"{self._number}-{self.counts['changes']}"
        turn = Turn(self._scenario, self.rng, self._pks(), text, self._stale, [])
        operation = self.rng.choice(self._operations)
        if self._scenario.journal:
            with transaction.atomic(), diffs.actor(text):
                operation(turn)
                write_down(text, turn.notes)
        else:
            operation(turn)

    def _pks(self) -> list[int]:
        pks = range(1, self._scenario.rows + 1)
        if self._scenario.own_rows:
            pks = pks[self._number % self._scenario.writers :: self._scenario.writers]
        first = self.rng.choice(pks[:HOT] if self.rng.random() < 0.5 else pks)
        others = self.rng.sample(pks, min(self.rng.randint(0, 3), len(pks)))
        return [first, *sorted({*others} - {first})]


def write(
    line: Connection, scenario: Scenario, number: int, phase: c_int, handed_over: Path, late: Path
) -> dict[str, int]:
    """Write, and pause between, until the run ends.

    Args:
        line: where it says that it pauses, with everything sent.
        scenario: what it takes part in.
        number: another one for each writer of a run.
        phase: even while there is to be written, odd during a pause, negative at the end.
        handed_over: a file for what is on the way to Redis.
        late: a file for what comes late.

    Returns:
        How often what was done.
    """
    writer = Writer(scenario, number)
    delay_handovers(writer.rng, scenario.delay, handed_over)
    note_late_diffs(late)
    while (now := phase.value) >= 0:
        if now % 2 == 0:
            writer.step()
            continue
        _settle()
        line.send("paused")
        while phase.value == now:
            time.sleep(0.002)
    _settle()
    return {**writer.counts, **counts}


def _settle() -> None:
    """Wait until nothing is left to be sent, and what Redis missed is repaired."""
    deadline = time.monotonic() + PATIENCE
    while not (drain() and _is_there()):
        assert time.monotonic() < deadline, "Redis doesn't come back."
        time.sleep(0.05)


def _is_there() -> bool:
    try:
        get_store().check()
    except StoreUnavailable:
        return False
    return True
