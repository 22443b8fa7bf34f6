"""Web servers, each a process of its own with one application."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from . import memory
from .environments import ROOT
from .workers import HIDDEN

START_SECONDS = 30.0
IDLE_SHARE = 0.05
IDLE_SECONDS = 0.1


class WebServerError(Exception):
    """It didn't start, or has ended; the message has what it said."""


class WebServer:
    """Serves an application until the context ends."""

    def __init__(
        self, application: str, environment: Mapping[str, str], cpu: int | None, *, kind: str = "uvicorn"
    ) -> None:
        """Start it, and wait until it listens.

        Args:
            application: module and name: ``"benchmarks.project.asgi:application"``.
            environment: variables on top of this process's own, as its contender's.
            cpu: the core that it is to run on; ``None``: wherever.
            kind: ``"uvicorn"``, or ``"granian"`` for an application of WSGI.

        Raises:
            WebServerError: it doesn't start.
        """
        self._log = tempfile.TemporaryFile("w+", prefix="diffs-bench-")  # noqa: SIM115
        self._process = subprocess.Popen(
            (sys.executable, "-m", "benchmarks.live.serving", kind, application, "" if cpu is None else str(cpu)),
            cwd=ROOT,
            env={**{key: value for key, value in os.environ.items() if key not in HIDDEN}, **environment},
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            # Some servers are several processes, which are to end together.
            start_new_session=True,
        )
        try:
            self.port = self._read_port()
            self._wait_for_connections()
        except BaseException:
            self.stop()
            raise

    def memory(self) -> int:
        """Bytes that it uses.

        Raises:
            WebServerError: it has ended.
        """
        self.check()
        return memory.of_process(self._process.pid)

    def processor_seconds(self) -> float:
        """How long its threads, those that there are, have been at work."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def wait_until_idle(self) -> None:
        """Wait until it has done all that it was asked.

        Raises:
            WebServerError: it works on and on.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            before = self.processor_seconds()
            time.sleep(IDLE_SECONDS)
            if self.processor_seconds() - before < IDLE_SHARE * IDLE_SECONDS:
                return
        raise WebServerError("The web server doesn't come to rest.")

    def check(self) -> None:
        """Make sure that it runs and has complained of nothing.

        Raises:
            WebServerError: it has.
        """
        said = self._said()
        if said or self._process.poll() is not None:
            raise WebServerError(f"The web server has ended or complained.\n{said}")

    def stop(self) -> None:
        """End it."""
        assert self._process.stdout
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> WebServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _read_port(self) -> int:
        assert self._process.stdout
        ready = select.select([self._process.stdout], [], [], START_SECONDS)[0]
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise WebServerError(f"The web server doesn't start.\n{self._said()}")
        return int(line)

    def _wait_for_connections(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(IDLE_SECONDS)
            else:
                return
        raise WebServerError(f"The web server takes no connections.\n{self._said()}")

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read()[-4000:]
