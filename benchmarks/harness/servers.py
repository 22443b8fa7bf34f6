"""The servers of a run, started when the first contender needs them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.servers import Postgres, RedisServer, best_kind

# Vacuuming and checkpoints in the middle of a round would be some contender's bad luck.
POSTGRES_SETTINGS = {"autovacuum": "off", "checkpoint_timeout": "'1h'", "max_wal_size": "'8GB'"}
TOLD_SETTINGS = (*POSTGRES_SETTINGS, "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
# Where it is and what it is called on this machine.
NOT_TOLD = ("executable", "config_file", "process_id", "run_id", "tcp_port", "listener")
REDIS_DATABASES = 64


class Servers:
    """Redis by its largest compact member and its place, and PostgreSQL; all end with the run."""

    def __init__(self, cpu: int | None, other_cpu: int | None) -> None:
        """Start nothing yet.

        Args:
            cpu: the core that servers are to run on; ``None``: wherever.
            other_cpu: the core of those that are to run apart.
        """
        self._cpu = cpu
        self._other_cpu = other_cpu
        self._redis: dict[tuple[int, bool], RedisServer] = {}
        self._postgres: Postgres | None = None
        self._count = 0

    def redis(self, listpack_value: int = 256, *, apart: bool = False) -> RedisServer:
        """A Valkey of this run.

        Args:
            listpack_value: the size in bytes up to which members are stored compactly; the server's own default is 64.
            apart: on another core than the contenders, for those that work on while the server does.
        """
        if (listpack_value, apart) not in self._redis:
            config = {"zset-max-ziplist-value": str(listpack_value), "databases": str(REDIS_DATABASES)}
            server = self._redis[listpack_value, apart] = RedisServer(best_kind(), config)
            pin(server.pid, self._other_cpu if apart else self._cpu)
        return self._redis[listpack_value, apart]

    def postgres_database(self) -> dict[str, Any]:
        """Make a new database and return Django's settings for it."""
        if self._postgres is None:
            self._postgres = Postgres()
            with _connect(self._postgres) as admin:
                for name, value in POSTGRES_SETTINGS.items():
                    admin.execute(f"ALTER SYSTEM SET {name} = {value}")
                admin.execute("SELECT pg_reload_conf()")
                folder = Path(admin.execute("SHOW data_directory").fetchone()[0])
            pin(int((folder / "postmaster.pid").read_text().split()[0]), self._cpu)
        self._count += 1
        name = f"contender_{self._count}"
        with _connect(self._postgres) as admin:
            admin.execute(f"CREATE DATABASE {name}")
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": self._postgres.host,
            "NAME": name,
            "USER": "postgres",
        }

    def as_dict(self) -> dict[str, Any]:
        """What the servers say of themselves, without the places where they are."""
        found: dict[str, Any] = {}
        for (listpack_value, apart), server in self._redis.items():
            sections = {
                section: {
                    name: value for name, value in server.client.info(section).items() if not name.startswith(NOT_TOLD)
                }
                for section in ("server", "memory", "commandstats")
            }
            place = ", on another core" if apart else ""
            found[f"redis, zset-max-listpack-value {listpack_value}{place}"] = sections
        if self._postgres is not None:
            with _connect(self._postgres) as admin:
                version = admin.execute("SHOW server_version").fetchone()[0]
                settings = {name: admin.execute(f"SHOW {name}").fetchone()[0] for name in TOLD_SETTINGS}
            found["postgresql"] = {"version": version, "settings": settings, "address": "unix socket"}
        return found

    def stop(self) -> None:
        """End all of them and remove their data."""
        for server in self._redis.values():
            server.stop()
        if self._postgres is not None:
            self._postgres.stop()


def pin(pid: int, cpu: int | None) -> None:
    """Keep a process and all of its threads on one core, where the system can do that."""
    if cpu is None or not hasattr(os, "sched_setaffinity"):
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {cpu})


def _connect(server: Postgres) -> Any:
    import psycopg

    return psycopg.connect(host=server.host, user="postgres", dbname="postgres", autocommit=True)
