"""Starts runs, and tells what came of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Any

from tests.programs import Programs

from .scenario import VARIABLE, Scenario

ROUND = 1.0
"""How long is written between comparisons, in seconds."""
LAST_WORDS = 5000
PATIENCE = 120.0
"""How much longer a run may take until enough has happened, in seconds."""


class Run:
    """A run under way, from when its writers write; as a context manager it leaves no process behind.

    Args:
        scenario: what it is to be like.
        database: an empty one, as ``DATABASES`` takes it.
        redis: where the server is, as ``DIFFS_SETTINGS`` takes it.
    """

    def __init__(self, scenario: Scenario, database: dict[str, Any], redis: dict[str, Any]) -> None:
        self._programs = Programs(
            {
                "DJANGO_SETTINGS_MODULE": "tests.order.settings",
                "ORDER_DATABASE": json.dumps(database),
                "ORDER_REDIS": json.dumps(redis),
                VARIABLE: scenario.to_text(),
            }
        )
        # This process's, as a run that is given up can't remove anything.
        self._folder = tempfile.TemporaryDirectory(prefix="diffs-order-", ignore_cleanup_errors=True)
        # Not a pipe, which would be full some time.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = self._programs.start(
            "-m",
            "tests.order.run",
            self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Of the process that forks all others; also their group."""
        return self._process.pid

    def compare(self) -> list[dict[str, list[str]]]:
        """Have everybody pause, and the clients catch up; the wrong rows of each, by how it takes diffs."""
        found: list[dict[str, list[str]]] = self._ask("compare")
        return found

    def account(self) -> dict[str, Any]:
        """Have everybody pause; what became of each committed change, as `Account` has it."""
        found: dict[str, Any] = self._ask("account")
        return found

    def count(self) -> dict[str, int]:
        """How many ``diffs`` were on the way to Redis, pairs of them ``inversions``, and writers ``killed``."""
        found: dict[str, int] = self._ask("count")
        return found

    def pause(self) -> None:
        """Have nobody write until `resume`, once Redis has all that was committed."""
        self._ask("pause")

    def resume(self) -> None:
        """Have everybody write again."""
        self._ask("resume")

    def set_clock(self, seconds: float) -> None:
        """Set the time that Redis goes by, in a scenario that tells it: so many seconds after the right one."""
        self._ask(f"clock {seconds}")

    def finish(self) -> dict[str, Any]:
        """Let it come to its end; what was done."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        found: dict[str, Any] = self._hear()
        return found

    def _ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            # What it failed with; before that it has told of every fault.
            raise AssertionError(self._errors.read()[-LAST_WORDS:])
        return json.loads(line)

    def __enter__(self) -> Run:
        self._programs.__enter__()
        try:
            assert self._hear() == "writing"
        except BaseException:
            # Given up while it begins.
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # With all that it has forked, which nothing else would end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._programs.__exit__(kind, error, traceback)
        self._errors.close()
        self._folder.cleanup()


def prove_order(
    scenario: Scenario, database: dict[str, Any], redis: dict[str, Any], seconds: float, inversions: int = 1
) -> dict[str, Any]:
    """A run in which nothing goes wrong but the order; the clients are compared with the database every second.

    Args:
        scenario: what it is to be like.
        database: an empty one, as ``DATABASES`` takes it.
        redis: where the server is.
        seconds: how long, at least.
        inversions: how many there have to be; on a busy machine that takes longer.

    Returns:
        What was done, and, for each client, the rows that it had ``wrong`` and those that it had wrong by version.
    """
    began = time.monotonic()
    with Run(scenario, database, redis) as run:
        rounds = []
        while time.monotonic() < began + seconds or run.count()["inversions"] < inversions:
            assert time.monotonic() < began + seconds + PATIENCE, "Too few overtake each other."
            time.sleep(ROUND)
            rounds.append(run.compare())
        return add_rounds(run.finish(), rounds)


def add_rounds(found: dict[str, Any], rounds: list[list[dict[str, list[str]]]]) -> dict[str, Any]:
    """Add the comparisons of a run to what `Run.finish` gives: to each client's counts what it had wrong."""
    for place, client in enumerate(found["clients"]):
        for name in ("wrong", "versioned"):
            client[name] = [text for one in rounds for text in one[place][name]]
    return {**found, "comparisons": len(rounds)}
