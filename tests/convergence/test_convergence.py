"""A client that only pulls diffs ends with the database's rows, while several processes write."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.servers import RedisServer

ROOT = Path(__file__).resolve().parents[2]
WRITERS = {"postgresql": 4, "sqlite": 3}
SECONDS = 150

pytestmark = [pytest.mark.database, pytest.mark.slow]


@pytest.fixture
def database(tmp_path: Path, django_db_setup: None) -> Iterator[dict[str, Any]]:
    """A database of the test's own, empty."""
    if connection.vendor == "sqlite":
        yield {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(tmp_path / "board.sqlite3"),
            # The replay reads before it writes, as the example's own settings allow for.
            "OPTIONS": {"timeout": 60, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA synchronous=OFF"},
        }
        return
    import psycopg

    settings = connection.settings_dict
    name = f"board_{os.getpid()}"
    with psycopg.connect(host=settings["HOST"], user=settings["USER"], dbname="postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        yield {"ENGINE": settings["ENGINE"], "HOST": settings["HOST"], "USER": settings["USER"], "NAME": name}
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def start(database: dict[str, Any], server: RedisServer) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python process in the example's project; those that are left over are ended."""
    environment = {
        **os.environ,
        "CONVERGENCE_DATABASE": json.dumps(database),
        "CONVERGENCE_SOCKET": str(server.socket),
        "DJANGO_SETTINGS_MODULE": "tests.convergence.settings",
        "PYTHONPATH": str(ROOT),
    }

    with contextlib.ExitStack() as stack:

        def start(*command: str, **options: Any) -> subprocess.Popen[str]:
            command = (sys.executable, *command)
            process = subprocess.Popen(command, env=environment, cwd=ROOT, text=True, **options)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def test_p7_a_client_that_only_pulls_ends_with_the_rows_that_several_processes_wrote(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    assert start("-m", "django", "migrate", "--verbosity", "0").wait(SECONDS) == 0
    client = start("-m", "tests.convergence.client", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdout is not None
    assert client.stdout.readline() == "ready\n"
    count = WRITERS[connection.vendor]
    writers = [
        start("-m", "django", "replay", "--speed", "0", "--share", f"{number}/{count}", "--verbosity", "0")
        for number in range(1, count + 1)
    ]
    assert [writer.wait(SECONDS) for writer in writers] == [0] * count
    found = json.loads(client.communicate(timeout=SECONDS)[0])
    print({name: found[name] for name in ("polls", "received", "refused", "twice")}, len(found["database"]), "rows")
    assert found["client"] == found["database"]
    assert (found["refused"], found["twice"]) == (0, 0)
    assert found["received"] > 3000
    assert found["database"]
