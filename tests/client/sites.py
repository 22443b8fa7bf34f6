"""The tests' site in a process of its own, which a test may kill."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Mapping

from .serve import HOST

PATIENCE = 60.0


class Site:
    """The site on a port of its own; `start` and `kill` it as often as needed.

    Args:
        kind: ``"wsgi"``, where nothing waits, or ``"asgi"``.
        environment: in which the process finds the test's servers.
    """

    def __init__(self, kind: str, environment: Mapping[str, str]) -> None:
        self.kind = kind
        self.port = free_port()
        self._environment = {**environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it mounts its diffs."""
        return f"http://{HOST}:{self.port}/diffs/"

    def start(self) -> None:
        """Serve, if it doesn't; returns when it answers."""
        if self._process and self._process.poll() is None:
            return
        command = [sys.executable, "-m", "tests.client.serve", self.kind, str(self.port)]
        self._process = subprocess.Popen(command, env=self._environment)
        deadline = time.monotonic() + PATIENCE
        while not self._is_open():
            assert self._process.poll() is None, "The site ended."
            assert time.monotonic() < deadline, "The site doesn't begin."
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait(PATIENCE)

    def _is_open(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
