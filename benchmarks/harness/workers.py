"""Contenders, each in a process of its own that is asked to measure."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

# What a measure may take until it must have hung, in seconds.
PATIENCE = 600.0
STOP_SECONDS = 10.0
HIDDEN = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "PYTHONDEVMODE", "PYTHONWARNINGS")


class WorkerError(Exception):
    """An operation raised in the contender's process, or that ended; the message has the traceback."""


class Worker:
    """A process that runs operations and replies by JSON lines; ends with the context."""

    def __init__(self, name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> None:
        """Start it.

        Args:
            name: the contender.
            command: the program with its arguments; it reads requests from stdin and replies on stdout.
            folder: where it starts.
            environment: variables on top of this process's own.
        """
        self.name = name
        self.environment = dict(environment)
        """The variables that it was given."""
        self._log = tempfile.TemporaryFile("w+", prefix="diffs-bench-")  # noqa: SIM115
        self._process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env={**{key: value for key, value in os.environ.items() if key not in HIDDEN}, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Have an operation run, and wait for it.

        Args:
            operation: module and function below ``benchmarks.operations``: ``"saving.update"``.
            arguments: its keywords; JSON.

        Returns:
            What it returned.

        Raises:
            WorkerError: it raised, or the process ended or hung.
        """
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"operation": operation, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(f"{self.name} has ended.\n{self._said()}") from None
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise WorkerError(f"{self.name} doesn't come back from {operation}.\n{self._said()}")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self.name} ended in {operation}.\n{self._said()}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(f"{self.name}, {operation}:\n{reply['error']}")
        result: dict[str, Any] = reply["result"] or {}
        return result

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.close()
            self._process.wait(STOP_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read()[-4000:]
