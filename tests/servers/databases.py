"""Databases that a test makes for itself and drops, as what ``DATABASES`` takes."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .mariadb import MariaDb

_numbers = itertools.count(1)


def _new_name() -> str:
    return f"diffs_{os.getpid()}_{next(_numbers)}"


def sqlite_database(folder: Path) -> dict[str, Any]:
    """A file in a folder, for several processes that write to it."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(folder / f"{_new_name()}.sqlite3"),
        # A transaction that reads before it writes would otherwise find that another was faster.
        "OPTIONS": {"timeout": 60, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA synchronous=OFF"},
    }


@contextlib.contextmanager
def postgresql_database(host: str, user: str = "postgres") -> Iterator[dict[str, Any]]:
    """An empty one on a server.

    Args:
        host: the folder of its socket, or its name.
        user: who may make databases there.
    """
    import psycopg

    name = _new_name()
    with psycopg.connect(host=host, user=user, dbname="postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield {"ENGINE": "django.db.backends.postgresql", "HOST": host, "USER": user, "NAME": name}
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def mariadb_database(server: MariaDb) -> Iterator[dict[str, Any]]:
    """An empty one on a server; the settings have to let PyMySQL stand in for the driver that Django asks for."""
    import pymysql

    name = _new_name()
    with pymysql.connect(unix_socket=str(server.socket), user=server.user) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield {
                "ENGINE": "django.db.backends.mysql",
                "NAME": name,
                "USER": server.user,
                "OPTIONS": {"unix_socket": str(server.socket)},
            }
        finally:
            cursor.execute(f"DROP DATABASE {name}")
