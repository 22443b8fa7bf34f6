"""A MariaDB server for the tests that need one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from .binaries import ServerMissing

START_SECONDS = 60.0
STOP_SECONDS = 30.0
# Debian has its servers' programs where only root's path leads.
FOLDERS = (Path("/usr/sbin"), Path("/usr/local/sbin"))
# Nobody wants the data after a crash of the machine.
OPTIONS = ("--skip-networking", "--skip-grant-tables", "--innodb-flush-log-at-trx-commit=0", "--max-connections=200")


class MariaDb:
    """A server on a unix socket in a folder of its own; started by the constructor, stopped as a context manager.

    Raises:
        ServerMissing: this machine doesn't have it.
        RuntimeError: it ended at once, or doesn't answer.
    """

    user = "root"

    def __init__(self) -> None:
        install, binary = _program("mariadb-install-db"), _program("mariadbd")
        self._folder = Path(tempfile.mkdtemp(prefix="diffs-mariadb-"))
        self.socket = self._folder / "server.sock"
        # Whoever runs the tests runs the server, root too.
        common = ("--no-defaults", "--user=root", f"--datadir={self._folder / 'data'}")
        try:
            subprocess.run(
                [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            files = (f"--socket={self.socket}", f"--pid-file={self._folder / 'pid'}")
            with (self._folder / "server.log").open("wb") as log:
                self._process = subprocess.Popen([binary, *common, *files, *OPTIONS], stdout=log, stderr=log)
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and remove its data."""
        process = getattr(self, "_process", None)
        if process is not None:
            process.kill()
            process.wait(STOP_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> MariaDb:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MariaDB does not answer:\n{(self._folder / 'server.log').read_text()}")
            time.sleep(0.05)


def _program(name: str) -> str:
    found = shutil.which(name) or next((str(folder / name) for folder in FOLDERS if (folder / name).exists()), None)
    if found is None:
        raise ServerMissing(f"There is no {name}: install the system's package mariadb-server.")
    return found
