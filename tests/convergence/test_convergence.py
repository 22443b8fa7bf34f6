"""A client that only pulls diffs ends with the database's rows, while several processes write."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from tests.programs import Programs
from tests.servers import RedisServer

WRITERS = {"postgresql": 4, "sqlite": 3}
SECONDS = 150

pytestmark = [pytest.mark.database, pytest.mark.slow]


@pytest.fixture
def programs(own_database: dict[str, Any], server: RedisServer) -> Iterator[Programs]:
    """Starts processes in the example's project, which has a database of the test's own."""
    environment = {
        "CONVERGENCE_DATABASE": json.dumps(own_database),
        "CONVERGENCE_SOCKET": str(server.socket),
        "DJANGO_SETTINGS_MODULE": "tests.convergence.settings",
    }
    with Programs(environment) as programs:
        yield programs


def test_p7_a_client_that_only_pulls_ends_with_the_rows_that_several_processes_wrote(programs: Programs) -> None:
    start = programs.start
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
