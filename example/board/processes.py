"""Child processes that end when their parent does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.conf import settings
from django.core.management import CommandError

PATIENCE = 5.0
"""Seconds that a process has for ending by itself."""


class Processes:
    """Runs this project's commands as processes of their own."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Prepare; nothing runs yet.

        Args:
            environment: Added to the processes' environment variables.
        """
        self._environment = {**os.environ, **(environment or {})}
        self._running: dict[subprocess.Popen[bytes], str] = {}

    def start(self, *arguments: str, quiet: bool = False) -> None:
        """Start ``manage.py`` with some arguments.

        Args:
            arguments: The command and what it takes.
            quiet: Whether to drop what it prints, errors excepted.
        """
        process = subprocess.Popen(
            [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else None,
            # Ctrl-C reaches the parent alone, which then ends its children in order.
            start_new_session=True,
        )
        self._running[process] = arguments[0]

    def run(self, *arguments: str, quiet: bool = False) -> None:
        """Run ``manage.py`` with some arguments to its end.

        Args:
            arguments: The command and what it takes.
            quiet: Whether to drop what it prints, errors excepted.

        Raises:
            CommandError: it failed.
        """
        self.start(*arguments, quiet=quiet)
        self.wait()

    def check(self) -> bool:
        """Look after the processes.

        Returns:
            Whether any is still running.

        Raises:
            CommandError: one has failed.
        """
        for process, name in list(self._running.items()):
            if process.poll() is not None:
                del self._running[process]
                if process.returncode:
                    raise CommandError(f"{name} ended with {process.returncode}.")
        return bool(self._running)

    def wait(self) -> None:
        """Return when all have ended.

        Raises:
            CommandError: one has failed.
        """
        while self.check():
            time.sleep(0.05)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *error: object) -> None:
        """End all that still run, and wait for it."""
        for process in self._running:
            process.terminate()
        deadline = time.monotonic() + PATIENCE
        for process in self._running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal end the block in order, and go on after it."""
    previous = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _interrupt(number: int, frame: object) -> None:
    # Impatient fingers must not stop the cleaning.
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt
